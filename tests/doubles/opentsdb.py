#!/usr/bin/env python3
"""opentsdb.py - a stand-in for OpenTSDB 2.4, which needs HBase: points in by /api/put, out by /api/query.

    opentsdb.py --port 4242 [--max-tags 8] [--no-auto-metrics] [--limit-points N] [--special CHARACTERS]

From OpenTSDB 2.4's documents ("HTTP API", "Query Filters", "Writing Data", "Dates and Times", "Configuration"):

  /api/put        an object or an array; metric, timestamp (up to ten digits are seconds), value, one to --max-tags
                  tags; letters (Unicode, too), digits, `-_./` and --special. 204, or 200 with `summary` or `details`;
                  400 if a point was refused, the others are stored. The last value of a series and time stays.
                  `sync` waits for nothing here. Unknown metrics are made, unless --no-auto-metrics.
  bodies          of more than 8192 bytes: 400 "Chunked request not supported", as with default settings.
  /api/query      POST: start, end, msResolution, showTSUIDs, queries of a metric or tsuids with aggregator none,
                  downsample (only 0all-count), explicitTags, filters: literal_or, not_literal_or, iliteral_or,
                  not_iliteral_or, wildcard, iwildcard, regexp (searched for anywhere, as Java's find() does),
                  not_key. All but not_key select only series that have the tag. Names of metrics, of the tags of
                  filters, and the values of literal_or and not_literal_or up to the expansion limit (4096) must be
                  known: 400 "No such name for 'tagv': 'x'" for all of the request. `arrays` as a parameter: points as
                  pairs. Without msResolution times are seconds, and of several points in one the last is left.
                  Equal start and end are refused. Milliseconds below 2^32 are read as seconds.
                  --limit-points (tsd.query.limits.data_points): a sub-query that reads more, in whole hours as rows
                  are stored, is refused with 413.
  /api/suggest    GET or POST: type metrics, tagk or tagv, q a prefix, max (25).
  /api/search/lookup  m=metric{tagk=tagv,...} with `*`; useMeta is refused, as without a meta table it knows
                  nothing. limit (25).
  /api/version, /api/config, /api/config/filters, /api/aggregators

In addition, for tests:

    GET /dump    the stored points, one JSON object per line, in the order of arrival
    GET /stats   {"calls": {path: N}, "bodies": [the last 50 bodies of queries], "largest": bytes of the largest}
    POST /fault  {"kind": ..., "times": N, "path": "/api/query", ...}: the next N calls of the path fail:
                 throttle   429                    error      500                     unavailable  503
                 too_much   413, as above          timeout    400 "Sorry, your query timed out"
                 slow       answers after "seconds": 1.5, otherwise normally
                 cut        ends the connection in the middle of the answer
                 short      the first half of the answer, and an orderly end
                 garbage    200 with something that is not JSON
                 endless    200 and points without end
                 answer     "status" and "body" as given

It prints "listening on PORT" when it is ready. Python's standard library is all it needs.
"""

import argparse
import gzip
import json
import math
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 8192
EXPANSION_LIMIT = 4096
HOUR_MS = 3600 * 1000
FILTERS = ("literal_or", "not_literal_or", "iliteral_or", "not_iliteral_or", "wildcard", "iwildcard", "regexp",
           "not_key")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def bad(message):
    return Refused(400, message)


# --- the store ----------------------------------------------------------------------------------------------------


class Uids:
    """Names of a kind and their ids of three bytes."""

    def __init__(self, kind):
        self.kind = kind
        self.ids = {}

    def make(self, name):
        return self.ids.setdefault(name, f"{len(self.ids) + 1:06X}")

    def find(self, name):
        if name not in self.ids:
            raise bad(f"No such name for '{self.kind}': '{name}'")
        return self.ids[name]


class Store:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.metrics, self.tagks, self.tagvs = Uids("metrics"), Uids("tagk"), Uids("tagv")
        self.series = {}  # TSUID -> (metric, tags, {ms: value})
        self.by_metric = {}  # metric -> TSUIDs
        self.arrived = []
        self.faults = []
        self.calls, self.bodies, self.largest = {}, [], 0

    def check_name(self, what, text):
        if not isinstance(text, str) or not text:
            raise ValueError(f"Invalid {what}: empty")
        for c in text:
            if not (c.isalpha() or c in "0123456789-_./" or c in self.args.special):
                raise ValueError(f"Invalid {what} (\"{text}\"): illegal character: {c}")

    def put(self, point):
        metric, tags = point.get("metric"), point.get("tags")
        self.check_name("metric name", metric)
        if not isinstance(tags, dict) or not tags:
            raise ValueError("Missing tags")
        if len(tags) > self.args.max_tags:
            raise ValueError(f"Too many tags: {len(tags)} maximum allowed: {self.args.max_tags}")
        for k, v in tags.items():
            self.check_name("tag name", k)
            self.check_name("tag value", v)
        at = time_of_point(point.get("timestamp"))
        value = value_of(point.get("value"))
        if metric not in self.metrics.ids and self.args.no_auto_metrics:
            raise ValueError("Unknown metric")
        pairs = sorted((self.tagks.make(k), self.tagvs.make(v)) for k, v in tags.items())
        tsuid = self.metrics.make(metric) + "".join(k + v for k, v in pairs)
        if tsuid not in self.series:
            self.series[tsuid] = (metric, dict(tags), {})
            self.by_metric.setdefault(metric, []).append(tsuid)
        self.series[tsuid][2][at] = value
        self.arrived.append(point)


def time_of_point(t):
    if isinstance(t, str) and t.isdigit():
        t = int(t)
    if not isinstance(t, int) or isinstance(t, bool) or t <= 0 or len(str(t)) > 13:
        raise ValueError(f"Invalid timestamp: {t}")
    return t if len(str(t)) > 10 else t * 1000


def value_of(v):
    if isinstance(v, str):
        v = json.loads(v)
    if isinstance(v, bool) or not isinstance(v, (int, float)):
        raise ValueError("Unable to parse value to a number")
    if isinstance(v, int):
        if not -2**63 <= v < 2**63:
            raise ValueError("Unable to parse value to a number")
        return v
    if math.isnan(v) or math.isinf(v):
        raise ValueError("Unable to parse value to a number")
    return v


# --- queries ------------------------------------------------------------------------------------------------------


def time_of_query(t):
    text = str(t)
    if not text.isdigit():
        raise bad(f"Invalid time: {text}")
    ms = int(text) * (1000 if len(text) <= 10 else 1)
    return ms * 1000 if 0 < ms < 2**32 else ms


class Filter:
    def __init__(self, store, given):
        self.type, self.tagk, self.filter = given["type"], given["tagk"], given.get("filter", "")
        if self.type not in FILTERS:
            raise bad(f"Could not find a tag value filter of the type: {self.type}")
        if self.type == "not_key":
            if self.filter:
                raise bad("Filter value must be null or empty")
        elif not self.filter:
            raise bad("Filter cannot be null or empty")
        store.tagks.find(self.tagk)
        if "literal_or" in self.type:
            self.values = self.filter.split("|")
            if "iliteral" in self.type:
                self.values = [v.lower() for v in self.values]
            elif len(self.values) <= EXPANSION_LIMIT:
                for value in self.values:
                    store.tagvs.find(value)
        elif "wildcard" in self.type:
            if "*" not in self.filter:
                raise bad("Filter must contain an asterisk")
            parts = [re.escape(p) for p in self.filter.split("*")]
            self.pattern = re.compile("^" + ".*".join(parts) + "$", re.I if self.type[0] == "i" else 0)
        elif self.type == "regexp":
            try:
                self.pattern = re.compile(self.filter)
            except re.error as e:
                raise bad(f"Unable to parse the regular expression: {e}") from None

    def selects(self, tags):
        value = tags.get(self.tagk)
        if self.type == "not_key":
            return value is None
        if value is None:
            return False
        if "literal_or" in self.type:
            compared = value.lower() if "iliteral" in self.type else value
            return (compared in self.values) != self.type.startswith("not_")
        return self.pattern.search(value) is not None


def series_of(store, query):
    if query.get("aggregator") != "none":
        raise bad("this double knows only the aggregator none")
    if "tsuids" in query:
        for tsuid in query["tsuids"]:
            if tsuid not in store.series:
                raise Refused(404, f"No such unique ID for 'metrics': {tsuid}")
        if len({t[:6] for t in query["tsuids"]}) > 1:
            raise bad("One or more TSUIDs for a different metric")
        return list(query["tsuids"])
    store.metrics.find(query["metric"])
    filters = [Filter(store, f) for f in query.get("filters", [])]
    keys = {f.tagk for f in filters}
    return [t for t in store.by_metric.get(query["metric"], [])
            if all(f.selects(store.series[t][1]) for f in filters) and
            (not query.get("explicitTags") or set(store.series[t][1]) == keys)]


def points_of(points, first, last, query, ms):
    chosen = sorted((t, v) for t, v in points.items() if first <= t <= last)
    if query.get("downsample") is not None:
        if query["downsample"] != "0all-count":
            raise bad("this double knows only the downsampling 0all-count")
        return [(first, len(chosen))] if chosen else []
    return chosen if ms else sorted({t // 1000: v for t, v in chosen}.items())


def number(v):
    return str(v) if isinstance(v, int) else repr(v)


def run_query(store, asked, arrays):
    if "start" not in asked:
        raise bad("Missing start time")
    first = time_of_query(asked["start"])
    last = time_of_query(asked.get("end", int(time.time() * 1000)))
    if last <= first:
        raise bad(f"End time [{last}] must be greater than the start time [{first}]")
    if not asked.get("queries"):
        raise bad("Missing queries")
    found = []
    for query in asked["queries"]:  # all names, before anything is read
        found.append((query, series_of(store, query)))
    for query, tsuids in found:
        hours = range_of_hours(first, last)
        read = sum(1 for t in tsuids for at in store.series[t][2] if hours[0] <= at < hours[1])
        if store.args.limit_points and read > store.args.limit_points:
            raise Refused(413, "Sorry, you have attempted to fetch more than our limit of "
                          f"{store.args.limit_points} data points. Please try filtering using more tags or decrease "
                          "your time range.")
    ms = asked.get("msResolution", False)
    comma = "["
    for query, tsuids in found:
        for tsuid in tsuids:
            metric, tags, points = store.series[tsuid]
            points = points_of(points, first, last, query, ms)
            if not points:
                continue
            head = {"metric": metric, "tags": tags, "aggregateTags": []}
            if asked.get("showTSUIDs"):
                head["tsuids"] = [tsuid]
            yield comma + json.dumps(head, ensure_ascii=False)[:-1] + ', "dps": ' + ("[" if arrays else "{")
            for i in range(0, len(points), 1000):
                form = "[%d,%s]" if arrays else '"%d":%s'
                yield ("," if i else "") + ",".join(form % (t, number(v)) for t, v in points[i:i + 1000])
            yield ("]" if arrays else "}") + "}"
            comma = ","
    yield "]" if comma == "," else "[]"


def range_of_hours(first, last):
    return first - first % HOUR_MS, last - last % HOUR_MS + HOUR_MS


def suggest(store, asked):
    kinds = {"metrics": store.metrics, "tagk": store.tagks, "tagv": store.tagvs}
    if asked.get("type") not in kinds:
        raise bad("Invalid 'type' parameter:" + str(asked.get("type")))
    try:
        most = int(asked.get("max", 25))
    except ValueError:
        raise bad("Unable to parse 'max' as a number") from None
    names = sorted(n for n in kinds[asked["type"]].ids if n.startswith(asked.get("q", "")))
    return names[:most]


def lookup(store, asked):
    match = re.fullmatch(r"([^{]*)(?:\{(.*)\})?", asked.get("m", ""))
    if match is None or not asked.get("m"):
        raise bad("Missing query")
    if asked.get("use_meta", asked.get("useMeta", "false")) == "true":
        return {"type": "LOOKUP", "metric": match[1], "results": [], "totalResults": 0}
    pairs = [p.partition("=")[::2] for p in (match[2] or "").split(",") if p]
    if match[1] not in ("", "*"):
        store.metrics.find(match[1])
    for key, value in pairs:
        if key != "*":
            store.tagks.find(key)
        if value != "*":
            store.tagvs.find(value)
    results = []
    for tsuid, (metric, tags, _) in store.series.items():
        if match[1] not in ("", "*", metric):
            continue
        if all(any(k in ("*", tk) and v in ("*", tv) for tk, tv in tags.items()) for k, v in pairs):
            results.append({"tags": tags, "metric": metric, "tsuid": tsuid})
    most = int(asked.get("limit", 25))
    return {"type": "LOOKUP", "metric": match[1], "limit": most, "startIndex": 0, "totalResults": len(results),
            "results": results[:most]}


# --- HTTP ---------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of 40 ms

    def log_message(self, *words):
        pass

    def answer(self, status, pieces, kind="application/json; charset=UTF-8"):
        self.send_response(status)
        if status == 204:
            self.end_headers()
            return
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.put_piece(piece)
        self.wfile.write(b"0\r\n\r\n")

    def put_piece(self, piece):
        data = piece.encode()
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def refuse(self, e):
        self.answer(e.status, [json.dumps({"error": {"code": e.status, "message": str(e), "details": "a double"}})])

    def do_GET(self):
        self.handle_call(b"")

    def do_POST(self):
        self.handle_call(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def take_fault(self, path):
        store = self.server.store
        for fault in store.faults:
            if fault.get("path", "/api/query") == path:
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    store.faults.remove(fault)
                return fault
        return None

    def handle_call(self, body):
        store = self.server.store
        url = urllib.parse.urlsplit(self.path)
        params = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        path = url.path.rstrip("/")
        with store.lock:
            if path == "/fault":
                store.faults.append(json.loads(body))
                return self.answer(204, [])
            if path == "/stats":
                return self.answer(200, [json.dumps({"calls": store.calls, "bodies": store.bodies,
                                                     "largest": store.largest})])
            if path == "/dump":
                return self.answer(200, [json.dumps(p) + "\n" for p in store.arrived])
            store.calls[path] = store.calls.get(path, 0) + 1
            if path == "/api/query":
                store.bodies = store.bodies[-49:] + [body.decode("utf-8", "replace")]
                store.largest = max(store.largest, len(body))
            fault = self.take_fault(path)
        try:
            if fault is None or self.go_wrong(fault):
                self.handle_api(store, path, params, body, fault)
        except Refused as e:
            self.refuse(e)
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as e:
            self.refuse(bad(f"Unable to parse the given JSON: {e}"))

    def go_wrong(self, fault):
        """Makes a call fail. True: the call is handled all the same."""
        kind = fault["kind"]
        if kind == "slow":
            time.sleep(fault.get("seconds", 1.5))
        elif kind == "throttle":
            raise Refused(429, "Please throttle")
        elif kind == "error":
            raise Refused(500, "Internal Server Error")
        elif kind == "unavailable":
            raise Refused(503, "Service Unavailable")
        elif kind == "too_much":
            raise Refused(413, "Sorry, you have attempted to fetch more than our maximum amount of 1MB from storage. "
                          "Please try filtering using more tags or decrease your time range.")
        elif kind == "timeout":
            raise bad("Sorry, your query timed out. Time limit: 1000 ms, fetched points: 0")
        elif kind == "garbage":
            self.answer(200, ["<html>Gateway</html>"])
            return False
        elif kind == "endless":
            self.answer(200, self.endless())
            return False
        elif kind == "answer":
            self.answer(fault["status"], [fault["body"]])
            return False
        return True

    @staticmethod
    def endless():
        yield '[{"metric":"up","tags":{"a":"b"},"aggregateTags":[],"tsuids":["01"],"dps":{"1":1'
        at = 2
        while True:
            yield "".join(f',"{t}":1' for t in range(at, at + 1000))
            at += 1000

    def handle_api(self, store, path, params, body, fault):
        if len(body) > BODY_BYTES_MAX:
            raise bad("Chunked request not supported.")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with store.lock:
            if path == "/api/put":
                status, pieces = self.put(store, params, body)
            elif path == "/api/query":
                status, pieces = 200, list(run_query(store, json.loads(body), "arrays" in params))
            elif path == "/api/suggest":
                status, pieces = 200, [json.dumps(suggest(store, json.loads(body) if body else params))]
            elif path == "/api/search/lookup":
                status, pieces = 200, [json.dumps(lookup(store, params))]
            else:
                status, pieces = 200, [json.dumps(self.constant(path))]
        if fault is not None and fault["kind"] in ("cut", "short"):
            self.put_half("".join(pieces), fault["kind"] == "cut")
        else:
            self.answer(status, pieces)

    def put_half(self, text, is_cut):
        if not is_cut:
            self.answer(200, [text[:len(text) // 2]])
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text[:len(text) // 2].encode())
        self.wfile.flush()
        self.close_connection = True

    @staticmethod
    def put(store, params, body):
        points = json.loads(body)
        points = points if isinstance(points, list) else [points]
        if not points:
            raise bad("No datapoints found in content")
        errors = []
        for point in points:
            try:
                store.put(point)
            except (ValueError, TypeError) as e:
                errors.append({"datapoint": point, "error": str(e)})
        said = {"success": len(points) - len(errors), "failed": len(errors)}
        if "details" in params:
            said["errors"] = errors
        told = "details" in params or "summary" in params
        if not errors:
            return (200, [json.dumps(said)]) if told else (204, [])
        if told:
            return 400, [json.dumps(said)]
        raise bad("One or more data points had errors")

    @staticmethod
    def constant(path):
        if path == "/api/version":
            return {"version": "2.4.1", "short_revision": "", "host": "double", "repo_status": "MINT"}
        if path == "/api/config":
            return {"tsd.query.filter.expansion_limit": str(EXPANSION_LIMIT)}
        if path == "/api/config/filters":
            return {name: {"examples": "", "description": ""} for name in FILTERS}
        if path == "/api/aggregators":
            return ["none", "count"]
        raise Refused(404, "Endpoint not found")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-tags", type=int, default=8)
    parser.add_argument("--no-auto-metrics", action="store_true")
    parser.add_argument("--limit-points", type=int, default=0)
    parser.add_argument("--special", default="", help="tsd.core.tag.allow_specialchars")
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    server.store = Store(args)
    print(f"listening on {args.port}")
    sys.stdout.flush()
    server.serve_forever()


main()
