#!/usr/bin/env python3
"""counting_target.py - a target for Prometheus whose counters rise by 100 each second.

    counting_target.py PORT FIRST [SLOW_MS]

Each response takes up to SLOW_MS (80), and values are read at its end: two servers that scrape it
may see an older value at a newer timestamp. Counters begin with FIRST, so that a wrongly detected
reset is noticed.
"""

import http.server
import random
import sys
import time

FIRST = float(sys.argv[2])
SLOW_MS = float(sys.argv[3]) if len(sys.argv) > 3 else 80
BEGAN = time.monotonic()

# In label order the first of these comes after the second if a label `replica` follows, and before it if not.
SERIES = ('code="200"', 'code="200",path="/a"', 'code="500",zone="z"')


class Target(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(random.random() * SLOW_MS / 1000)
        value = FIRST + 100 * (time.monotonic() - BEGAN)
        lines = ["# TYPE requests_total counter"]
        lines += [f"requests_total{{{labels}}} {value:.3f}" for labels in SERIES]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Target).serve_forever()
