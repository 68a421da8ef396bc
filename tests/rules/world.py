#!/usr/bin/env python3
"""world.py - what servers with rules look at, and whom they tell: a target to scrape whose numbers are set from outside,
and an Alertmanager for each of them, which only remembers.

    world.py PORT [WRITE_URL...]

To each WRITE_URL it sends what a scrape each second would have found, and keeps what is not taken.

    GET  /set?NAME=VALUE&...     load{n="NAME"} is VALUE from now on; an empty one: it is gone
    GET  /metrics                what is scraped; 503 while `down` is set to 1
    POST /WHO/api/v2/alerts      remembered, as alerts WHO has told; or what an Alertmanager sends to a webhook
    POST /read                   a source without any series; it answers only while `held` is not 1
    GET  /held                   questions that wait for that
    GET  /told?who=WHO           all of them, a line of JSON each, in the order in which they came
"""

import collections
import http.server
import json
import os
import struct
import sys
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import remote_read as wire  # noqa: E402

lock = threading.Lock()
released = threading.Condition(lock)
loads = {"a": 10.0, "b": 70.0}
down = False
held = False
waiting = 0
told = {}
began = time.time()
STALE = struct.pack("<Q", 0x7FF0000000000002)


class Sender(threading.Thread):
    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.before, self.kept = url, set(), collections.deque()

    def look(self, t_ms):
        with lock:
            now = {name: struct.pack("<d", value) for name, value in loads.items()}
        gone = dict.fromkeys(self.before - set(now), STALE)
        self.before = set(now)
        self.kept.append((t_ms, {**now, **gone}))

    def run(self):
        second = int(time.time())
        while True:
            second += 1
            time.sleep(max(0, second - time.time()))
            self.look(second * 1000)
            while self.kept and self.send(list(self.kept)[:60]):
                pass

    def send(self, looks):
        body = b""
        for name in sorted({name for _, values in looks for name in values}):
            one = b"".join(wire.field(1, wire.field(1, k.encode()) + wire.field(2, v.encode()))
                           for k, v in (("__name__", "load"), ("n", name)))
            one += b"".join(wire.field(2, b"\x09" + values[name] + wire.field(2, t_ms))
                            for t_ms, values in looks if name in values)
            body += wire.field(1, one)
        request = urllib.request.Request(self.url, wire.snappy_pack(body), {
            "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0"})
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()
        except OSError:
            return False
        for _ in looks:
            self.kept.popleft()
        return True


class World(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global down, held
        url = urllib.parse.urlsplit(self.path)
        fields = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        with lock:
            if url.path == "/metrics":
                lines = ["load{n=\"%s\"} %r\n" % (n, v) for n, v in sorted(loads.items())]
                lines.append("work_total %d\n" % ((time.time() - began) * 10))
                self.answer("".join(lines), 503 if down else 200)
            elif url.path == "/set":
                down = fields.pop("down", "1" if down else "") == "1"
                held = fields.pop("held", "1" if held else "") == "1"
                released.notify_all()
                for name, value in fields.items():
                    if value == "":
                        loads.pop(name, None)
                    else:
                        loads[name] = float(value)
                self.answer("")
            elif url.path == "/told":
                self.answer("".join(json.dumps(a, sort_keys=True) + "\n" for a in told.get(fields["who"], [])))
            elif url.path == "/held":
                self.answer("%d\n" % waiting)
            else:
                self.answer("not found\n", 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/read":
            self.answer_nothing(body)
            return
        alerts = json.loads(body)
        if isinstance(alerts, dict):
            alerts = alerts["alerts"]
        with lock:
            told.setdefault(self.path.split("/")[1], []).extend(dict(alert, told=time.time()) for alert in alerts)
        self.answer("")

    def answer_nothing(self, body):
        global waiting
        queries = [value for number, value in wire.fields(wire.snappy_unpack(body)) if number == 1]
        with lock:
            waiting += 1
            released.wait_for(lambda: not held)
            waiting -= 1
        answer = wire.snappy_pack(wire.field(1, b"") * len(queries))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Encoding", "snappy")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


for write_url in sys.argv[2:]:
    Sender(write_url).start()
http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), World).serve_forever()
