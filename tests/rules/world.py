#!/usr/bin/env python3
"""world.py - what servers with rules look at, and whom they tell: a target to scrape whose numbers are set from outside,
and an Alertmanager for each of them, which only remembers.

    world.py PORT

    GET  /set?NAME=VALUE&...     load{n="NAME"} is VALUE from now on; an empty one: it is gone
    GET  /metrics                what is scraped; 503 while `down` is set to 1
    POST /WHO/api/v2/alerts      remembered, as alerts WHO has told
    GET  /told?who=WHO           all of them, a line of JSON each, in the order in which they came
"""

import http.server
import json
import sys
import threading
import time
import urllib.parse

lock = threading.Lock()
loads = {"a": 10.0, "b": 70.0}
down = False
told = {}
began = time.time()


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
        global down
        url = urllib.parse.urlsplit(self.path)
        fields = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        with lock:
            if url.path == "/metrics":
                lines = ["load{n=\"%s\"} %r\n" % (n, v) for n, v in sorted(loads.items())]
                lines.append("work_total %d\n" % ((time.time() - began) * 10))
                self.answer("".join(lines), 503 if down else 200)
            elif url.path == "/set":
                down = fields.pop("down", "1" if down else "") == "1"
                for name, value in fields.items():
                    if value == "":
                        loads.pop(name, None)
                    else:
                        loads[name] = float(value)
                self.answer("")
            elif url.path == "/told":
                self.answer("".join(json.dumps(a, sort_keys=True) + "\n" for a in told.get(fields["who"], [])))
            else:
                self.answer("not found\n", 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            alerts = told.setdefault(self.path.split("/")[1], [])
            alerts.extend(dict(alert, told=time.time()) for alert in json.loads(body))
        self.answer("")

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), World).serve_forever()
