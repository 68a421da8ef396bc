#!/usr/bin/env python3
"""m3.py - a stand-in for the coordinator of M3, whose database cannot run here: remote write in, remote read out.

From the public documents of M3 (API of the coordinator; "Resource Limits and Preventing Abusive
Reads/Writes") and of Prometheus' protocols:
  /api/v1/prom/remote/write  remote write 1.0; floats only: native histograms are not stored. Of two values of
                             a series at one time the last counts. 200.
  /api/v1/prom/remote/read   always answers with SAMPLES; series in no order.
  /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series
                             as in Prometheus, by start, end and match[]; names without their matchers.
  limits                     above --series-limit series the rest is left out, and the header
                             M3-Results-Limited is max_fetch_series_limit_applied; a request with
                             M3-Limit-Require-Exhaustive: true is refused with 400 instead, unless --old.
  errors                     400 and a JSON object for what cannot be read.

Regexes are Go's, anchored; a missing label is the empty text.

  GET /stats                 {"reads": N, "last_headers": {...}}
"""
import argparse
import http.server
import json
import os
import random
import re
import sys
import threading
import urllib.parse

from go_regex import go_regex

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import remote_read as wire  # noqa: E402


class Refused(Exception):
    pass


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.series = {}  # labels -> {time in ms: the 8 bytes of a double}

    def write(self, message):
        for number, series in wire.fields(message):
            if number != 1:
                continue
            labels, samples = [], {}
            for kind, value in wire.fields(series):
                parts = dict(wire.fields(value))
                if kind == 1:
                    labels.append((parts.get(1, b"").decode(), parts.get(2, b"").decode()))
                elif kind == 2:
                    time = parts.get(2, 0)
                    samples[time - (1 << 64) if time >> 63 else time] = parts.get(1, b"\0" * 8)
            if samples:
                with self.lock:
                    self.series.setdefault(tuple(sorted(labels)), {}).update(samples)

    def find(self, matchers, first, last):
        """(labels, times) of series with a sample between both, in a random but fixed order."""
        tests = [matcher(*m) for m in matchers]
        found = []
        with self.lock:
            for labels, samples in self.series.items():
                own = dict(labels)
                if all(test(own) for test in tests):
                    times = sorted(t for t in samples if first <= t <= last)
                    if times:
                        found.append((labels, [(t, samples[t]) for t in times]))
        random.Random(len(found)).shuffle(found)
        return found


def matcher(kind, name, value):
    if kind in ("=", "!="):
        return lambda labels: (labels.get(name, "") == value) == (kind == "=")
    try:
        regex = re.compile("(?s:" + go_regex(value) + r")\Z")
    except re.error as e:
        raise Refused(f"invalid regex: {e}") from None
    return lambda labels: (regex.match(labels.get(name, "")) is not None) == (kind == "=~")


def selector(text):
    """{a="x","b"=~"y"}, as JSON-like texts."""
    matchers, at = [], 0
    token = re.compile(r'\s*(?:([A-Za-z_:][\w:]*)|("(?:[^"\\]|\\.)*")|(=~|!~|!=|=|[{},]))\s*', re.ASCII)
    tokens = []
    while at < len(text):
        m = token.match(text, at)
        if m is None:
            raise Refused(f"parse error at {text[at:at + 10]!r}")
        tokens.append(unquote(m[2]) if m[2] else m[1] or m[3])
        at = m.end()
    if tokens and tokens[0] != "{":
        matchers.append(("=", "__name__", tokens.pop(0)))
    words = tokens[1:-1]
    while words:
        matchers.append((words[1], words[0], words[2]))
        words = words[4:]
    return matchers


def unquote(text):
    def one(m):
        c = m[1]
        return {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}.get(c) or (
            chr(int(c[1:], 16)) if c[0] in "xuU" else c)
    return re.sub(r'\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)', one, text[1:-1])


def signed(n):
    return n - (1 << 64) if n >> 63 else n


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def answer(self, status, body, kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def limited(self, found):
        """The part of it within the limit, and headers that report the limit."""
        double = self.server.double
        limit = double.series_limit
        if limit == 0 or len(found) <= limit:
            return found, ()
        if self.headers.get("M3-Limit-Require-Exhaustive") == "true" and not double.old:
            raise Refused("query exceeded limit: require_exhaustive=true, series_limit=%d" % limit)
        return found[:limit], (("M3-Results-Limited", "max_fetch_series_limit_applied"),)

    def read(self, body):
        results, headers = [], ()
        for number, query in wire.fields(wire.snappy_unpack(body)):
            if number != 1:
                continue
            first = last = 0
            matchers = []
            for field, value in wire.fields(query):
                if field == 1:
                    first = signed(value)
                elif field == 2:
                    last = signed(value)
                elif field == 3:
                    m = dict(wire.fields(value))
                    matchers.append((wire.TYPES[m.get(1, 0)], m.get(2, b"").decode(), m.get(3, b"").decode()))
            found, limited = self.limited(self.server.double.store.find(matchers, first, last))
            headers = limited or headers
            results.append(b"".join(wire.field(1, put_series(labels, samples)) for labels, samples in found))
        packed = wire.snappy_pack(b"".join(wire.field(1, result) for result in results))
        self.answer(200, packed, "application/x-protobuf", (("Content-Encoding", "snappy"), *headers))

    def look_up(self, path, form):
        def seconds(name, otherwise):
            return round(float(form[name][0]) * 1000) if name in form else otherwise
        first, last = seconds("start", -1 << 62), seconds("end", 1 << 62)
        sets = [selector(text) for text in form.get("match[]", [])] if path == "/api/v1/series" else [[]]
        found = {labels: 0 for one in sets for labels, _ in self.server.double.store.find(one, first, last)}
        found, headers = self.limited(list(found))
        if path == "/api/v1/series":
            data = [dict(labels) for labels in found]
        elif path == "/api/v1/labels":
            data = sorted({name for labels in found for name, _ in labels})
        else:
            data = sorted({value for labels in found for name, value in labels if name == path.split("/")[4]})
        self.answer(200, json.dumps({"status": "success", "data": data}).encode(), headers=headers)

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        double = self.server.double
        try:
            if url.path == "/stats":
                self.answer(200, json.dumps({"reads": double.reads, "last_headers": double.last}).encode())
            elif url.path == "/api/v1/prom/remote/write":
                double.store.write(wire.snappy_unpack(body))
                self.answer(200, b"")
            elif url.path == "/api/v1/prom/remote/read":
                double.reads, double.last = double.reads + 1, dict(self.headers)
                self.read(body)
            elif re.fullmatch(r"/api/v1/(labels|series|label/[^/]+/values)", url.path):
                self.look_up(url.path, urllib.parse.parse_qs(url.query + "&" + body.decode(), keep_blank_values=True))
            else:
                self.answer(404, b"404 page not found")
        except (Refused, ValueError, IndexError, KeyError) as e:
            self.answer(400, json.dumps({"status": "error", "error": str(e)}).encode())


def put_series(labels, samples):
    out = b"".join(wire.field(1, wire.field(1, name.encode()) + wire.field(2, value.encode())) for name, value in labels)
    for time, bits in samples:
        out += wire.field(2, wire.varint(1 << 3 | 1) + bits + wire.field(2, time))
    return out


class Double:
    def __init__(self, arguments):
        self.store, self.series_limit, self.old = Store(), arguments.series_limit, arguments.old
        self.reads, self.last = 0, {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--series-limit", type=int, default=0, help="of an answer; 0: none")
    parser.add_argument("--old", action="store_true", help="knows no M3-Limit-Require-Exhaustive")
    arguments = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    server.double = Double(arguments)
    server.serve_forever()


if __name__ == "__main__":
    main()
