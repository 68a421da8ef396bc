#!/usr/bin/env python3
"""influxdb.py - a stand-in for InfluxDB 2 and 3, which cannot run here: their doors, before a real InfluxDB 1.

What comes in is checked as the public documents of the version say, and handed on to an InfluxDB 1 with the same database;
its answers go back as they are.

  write   /api/v2/write?org=&bucket=&precision= (ns, us, ms, s) answers 204; version 3 has no organizations.
  /query  InfluxQL in the form of InfluxDB 1, with its parameters db, rp, epoch, chunked. Version 2 maps db and rp to the
          bucket "db/rp", or "db" for the policy autogen, and has no SHOW RETENTION POLICIES. Version 3 has no policies,
          takes one statement, and a tag that a series lacks is NULL, for which no comparison holds: comparisons with an
          empty text, negative ones and regexes are refused here, so that no test relies on what only version 1 does.
  errors  401 without the token ("Token" for version 2, "Bearer" for 3), 404 for another bucket, database or organization,
          400 for what is refused.

  GET /stats       {"queries": N, "last": the last query}
"""
import argparse
import gzip
import http.client
import http.server
import json
import re
import urllib.parse


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


# The names of InfluxDB 1 for the precisions.
PRECISIONS = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}
# Texts and quoted names of InfluxQL, in which nothing is syntax.
QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)


def check_query(version, query):
    plain = QUOTED.sub(lambda m: "''" if m.group() == "''" else "x", query)
    if version == 2 and "SHOW RETENTION POLICIES" in plain:
        raise Refused(400, "SHOW RETENTION POLICIES is not supported")
    if version == 3 and ";" in plain:
        raise Refused(400, "must provide only one InfluxQL statement per query")
    if version == 3 and re.search(r"''|!=|=~|!~|FROM /", plain):
        raise Refused(400, "a comparison that version 3 reads otherwise than version 1")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of 40 ms

    def log_message(self, *words):
        pass

    def answer(self, status, kind, data):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def do_GET(self):
        double = self.server.double
        if self.path == "/stats":
            self.answer(200, "application/json", json.dumps({"queries": double.queries, "last": double.last}).encode())
        else:
            self.answer(404, "text/plain", b"not found")

    def do_POST(self):
        url = urllib.parse.urlsplit(self.path)
        params = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            self.handle_call(self.server.double, url.path, params, body)
        except Refused as e:
            self.answer(e.status, "application/json", json.dumps({"code": "invalid", "message": str(e)}).encode())

    def handle_call(self, double, path, params, body):
        word = self.headers.get("Authorization")
        if word not in (f"Token {double.token}", f"Bearer {double.token}"):
            raise Refused(401, "unauthorized access")
        version = 3 if word.startswith("Bearer") else 2
        if path == "/api/v2/write":
            self.expect(params.get("bucket"), double.place, "bucket or database")
            self.expect(version == 3 or params.get("org") == double.org, True, "organization")
            precision = PRECISIONS.get(params.get("precision", "ns"))
            if precision is None:
                raise Refused(400, "unknown precision")
            self.hand_on(double, "/write", {"db": double.place, "precision": precision}, body, {})
        elif path == "/query":
            query = dict(urllib.parse.parse_qsl(body.decode())).get("q", "")
            self.expect(params.get("db"), double.place, "database")
            check_query(version, query)
            double.queries += 1
            double.last = query
            self.hand_on(double, "/query", params, body, {"Content-Type": "application/x-www-form-urlencoded"})
        else:
            raise Refused(404, "path not found")

    def hand_on(self, double, path, params, body, headers):
        there = http.client.HTTPConnection("127.0.0.1", double.influxd)
        there.request("POST", path + "?" + urllib.parse.urlencode(params), body, headers)
        answer = there.getresponse()
        self.answer(answer.status, answer.getheader("Content-Type", ""), answer.read())
        there.close()

    @staticmethod
    def expect(got, wanted, what):
        if got != wanted:
            raise Refused(404, f"could not find the {what}")


class Double:
    def __init__(self, arguments):
        self.influxd, self.place, self.org, self.token = arguments.influxd, arguments.place, arguments.org, arguments.token
        self.queries, self.last = 0, ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--influxd", type=int, required=True, help="the port of an InfluxDB 1")
    parser.add_argument("--place", default="metrics", help="the bucket or database there is")
    parser.add_argument("--org", default="ours")
    parser.add_argument("--token", default="secret")
    arguments = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    server.double = Double(arguments)
    server.serve_forever()


main()
