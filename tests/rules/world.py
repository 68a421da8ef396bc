#!/usr/bin/env python3
"""world.py - the surroundings of servers with rules: a target to scrape whose numbers are set from
outside, and an Alertmanager for each server, which only keeps the alerts.

    world.py PORT [WRITE_URL...]

To each WRITE_URL it sends the samples of a scrape each second, and keeps those that are not
accepted.

    GET  /set?NAME=VALUE&...     load{n="NAME"} is VALUE from now on; an empty value removes it
    GET  /metrics                the metrics; 503 while `down` is set to 1
    POST /WHO/api/v2/alerts      keeps them as alerts sent by WHO; also accepts webhooks of an Alertmanager
    POST /read                   a source without any series; it answers only while `held` is not 1
    GET  /held                   number of requests that wait for that
    GET  /told?who=WHO           its alerts, one line of JSON each, in the order of arrival
    GET  /told?who=WHO&about=A   of the alert A a line each: firing|resolved STARTS ENDS
"""

import calendar
import collections
import json
import struct
import sys
import threading
import time
import urllib.parse

import actor
from actor import wire

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
        names = sorted({name for _, values in looks for name in values})
        if not actor.write(self.url, [((("__name__", "load"), ("n", name)),
                                       [(values[name], t_ms) for t_ms, values in looks if name in values])
                                      for name in names]):
            return False
        for _ in looks:
            self.kept.popleft()
        return True


def in_short(alert):
    ends = calendar.timegm(time.strptime(alert["endsAt"][:19], "%Y-%m-%dT%H:%M:%S"))
    return "%s %s %s\n" % ("resolved" if ends <= alert["told"] else "firing", alert["startsAt"], alert["endsAt"])


class World(actor.Handler):
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
                alerts = told.get(fields["who"], [])
                if "about" in fields:
                    self.answer("".join(in_short(a) for a in alerts if a["labels"]["alertname"] == fields["about"]))
                else:
                    self.answer("".join(json.dumps(a, sort_keys=True) + "\n" for a in alerts))
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
        self.answer(wire.snappy_pack(wire.field(1, b"") * len(queries)), 200,
                    (("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")))


for write_url in sys.argv[2:]:
    Sender(write_url).start()
actor.Server(("127.0.0.1", int(sys.argv[1])), World).serve_forever()
