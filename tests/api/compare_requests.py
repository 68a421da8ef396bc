#!/usr/bin/env python3
"""compare_requests.py - sends the same requests to two servers and prints differences between their answers.

usage: compare_requests.py URL PEER_URL

The status, the type of the content, the headers for pages of other origins, and the JSON are
compared; lists without a promised order are sorted. Requests whose answers changed between versions
of Prometheus are left out. Exit status: 0 all the same, 1 differences, 2 an error.
"""

import http.client
import json
import sys
import urllib.parse

WRONG_TIMES = ["x", "2024-01-01", "0x10x", " 1", '"', "é", "1e", "--1", "2024-01-01T00:00:00", "now"]
# Beyond 64 bits of milliseconds Prometheus computes some other time.
TIMES = ["", "0", "-1.5", "1e3", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5+02:00", "253402300799",
         "-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z"]
# Prometheus rounds the fraction of the nearest double.
HALVES = ["1726616971.4915", "1655845211.5405", "1562039827.9315", "1795500570.0005", "1795500570.0015",
          "1700000000.1235", "1726616971.9995", "-1726616971.4915", "0.0005", "-0.0005", "1e-4", "1.7266169714915e9"]
LIMITS = ["", "0", "1", "2", "+1", "007", "9223372036854775807"]
WRONG_LIMITS = ["x", "-1", "1.5", " 1", "99999999999999999999", "9223372036854775808", "0x10", "1_0", "+", "-",
                "1e3", "é"]
SELECTORS = ["up", '{job="a"}', '{__name__=~"u.+"}', '{"a.b"!=""}', "{'odd-name'=~'.+'}", "up{job!='a'}"]
WRONG_SELECTORS = ["{", "{}", "", "sum(up)", '{x=~".*"}', "up[5m]", "up offset 5m", "up{", '{a=~"("}', "{a=}",
                   "1", '"up"', 'up{a="b"}x', '{x=""}']
NAMES = ["job", "__name__", "a.b", "odd-name", "a%20b", "U__a_2e_b", "U__odd_2d_name", "U__a__b", "U__", "U__a_", "U__a_zz_b",
         "U__a_d800_", "U__job", "U__a_2E_b", "%ff", "a%ffb", "%22", "nothing", "a/b", "U___", "U__a_110000_",
         "%C3%A9", "U__%C3%A9", "U__a_e9_"]


def lookups():
    for path in ["labels", "label/job/values", "series"]:
        base = [("match[]", "up")] if path == "series" else []
        for time in TIMES + WRONG_TIMES:
            yield path, base + [("start", time)]
            yield path, base + [("end", time)]
        for limit in LIMITS + WRONG_LIMITS:
            if path == "series" and limit in ["1", "+1"]:
                continue # Prometheus returns either of the two
            yield path, base + [("limit", limit)]
        for selector in SELECTORS + WRONG_SELECTORS:
            yield path, [("match[]", selector)]
            yield path, [("match[]", "up"), ("match[]", selector)]
        yield path, [("match[]", "{}"), ("match[]", "{")]
        yield path, [("match[]", "{"), ("start", "x"), ("end", "x"), ("limit", "x")]
        yield path, [("start", "x"), ("end", "y")]
        yield path, base + [("start", "5"), ("end", "4")]
        yield path, base + [("limit", "x"), ("limit", "1")]
        yield path, []
    for name in NAMES:
        yield f"label/{name}/values", []
    yield "label/%ff/values", [("limit", "x")]
    yield "label", []
    yield "label/job", []


def expressions():
    for path in ["query_exemplars", "format_query"]:
        for text in ["up", "1", "", "{", "sum(", "sum(up) + rate(up[5m])"]:
            yield path, [("query", text)]
        yield path, []
    for time in WRONG_TIMES + TIMES:
        yield "query_exemplars", [("query", "up"), ("start", time)]
        yield "query_exemplars", [("query", "up"), ("end", time)]
    yield "query_exemplars", [("query", "up"), ("start", "5"), ("end", "4")]
    yield "query_exemplars", [("query", "{"), ("start", "x")]


def queries():
    for time in HALVES:
        yield "query", [("query", "1"), ("time", time)]
        yield "query_range", [("query", "1"), ("start", time), ("end", time), ("step", "1")]
    for step in ["0.001", "0.29", "0.57", "1.0015", "2.003", "1e-3"]:
        yield "query_range", [("query", "1"), ("start", "1"), ("end", "1.01"), ("step", step)]
    for time in WRONG_TIMES:
        yield "query", [("query", "1"), ("time", time)]
        yield "query", [("query", "1"), ("lookback_delta", time)]
        yield "query_range", [("query", "1"), ("start", time), ("end", "2"), ("step", "1")]
        yield "query_range", [("query", "1"), ("start", "1"), ("end", time), ("step", "1")]
        yield "query", [("query", "1"), ("timeout", time)]
        yield "query_range", [("query", "1"), ("start", "1"), ("end", "2"), ("step", time)]
    for limit in LIMITS + WRONG_LIMITS:
        yield "query", [("query", "vector(1)"), ("time", "5"), ("limit", limit)]
        yield "query_range", [("query", "1"), ("start", "1"), ("end", "2"), ("step", "1"), ("limit", limit)]
    for query in ["", "{", "up[5m]", "sum(", "{}"]:
        yield "query", [("query", query)]
        yield "query_range", [("query", query), ("start", "1"), ("end", "2"), ("step", "1")]
    yield "query_range", [("query", "{"), ("start", "x")]
    yield "query_range", [("query", "1"), ("start", "0"), ("end", "11001"), ("step", "1")]
    yield "query_range", [("query", "1"), ("start", "2"), ("end", "1"), ("step", "1")]
    yield "query_range", [("query", "1"), ("start", "1"), ("end", "2"), ("step", "0")]
    yield "query_range", []
    yield "query", []


def targets():
    for path in ["rules", "alerts", "alertmanagers", "targets", "targets/metadata", "scrape_pools", "metadata",
                 "notifications", "status/walreplay"]:
        yield path, []
    for value in ["x", "alert", "RECORD", "", "é"]:
        yield "rules", [("type", value)]
    for value in ["x", "t", "TRUE", "False", "0", "yes", ""]:
        yield "rules", [("exclude_alerts", value)]
    for value in WRONG_LIMITS + ["0", "1", "2147483647", "2147483648", "-2147483649", ""]:
        yield "rules", [("group_limit", value)]
        yield "targets/metadata", [("limit", value)]
        yield "metadata", [("limit", value)]
        yield "metadata", [("limit_per_metric", value)]
    yield "rules", [("group_next_token", "x")]
    yield "rules", [("group_next_token", "x'y"), ("group_limit", "1")]
    yield "rules", [("group_next_token", ""), ("group_limit", "1")]
    yield "rules", [("match[]", "{"), ("type", "x"), ("exclude_alerts", "x"), ("group_limit", "x")]
    yield "rules", [("type", "x"), ("exclude_alerts", "x"), ("group_limit", "x")]
    yield "rules", [("exclude_alerts", "x"), ("group_limit", "x")]
    for selector in SELECTORS + WRONG_SELECTORS:
        yield "rules", [("match[]", selector)]
        yield "targets/metadata", [("match_target", selector)]
    for state in ["active", "dropped", "any", "ANY", "other", ""]:
        yield "targets", [("state", state), ("scrapePool", "a")]
    yield "metadata", [("limit", "x"), ("limit_per_metric", "x")]
    yield "targets/metadata", [("limit", "x"), ("match_target", "{")]
    for value in ["x", "0", "-1", "1.5"]:
        yield "status/tsdb", [("limit", value)]


FORMS = {"labels", "series", "query", "query_range", "query_exemplars", "format_query", "parse_query"}


def requests():
    """(method, target, headers, body)"""
    origin = {"Origin": "http://a.example"}
    for source in [lookups, expressions, queries, targets]:
        for path, parameters in source():
            text = urllib.parse.urlencode(parameters)
            yield "GET", f"/api/v1/{path}?{text}", {}, None
            if path in FORMS:
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                yield "POST", f"/api/v1/{path}", form, text
    for method in ["GET", "OPTIONS"]:
        for headers in [{}, origin, {"Origin": ""}]:
            for path in ["labels", "labels?limit=x", "query?query=1&time=1", "rules", "targets", "alerts",
                         "metadata", "status/walreplay", "notifications", "nothing"]:
                yield method, "/api/v1/" + path, headers, None
    for path in ["labels", "query", "metadata", "rules", "status/config", "targets"]:
        yield "DELETE", "/api/v1/" + path, {}, None
    for path in ["metadata", "rules", "targets", "alerts", "status/flags", "label/job/values"]:
        yield "POST", "/api/v1/" + path, {}, ""
    yield "GET", "/nothing", {}, None
    yield "GET", "/api/v1/rules/test/test", {}, None


def ask(url, method, target, headers, body):
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    connection.request(method, target, body=body, headers=headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    answer = {"status": response.status, "type": (response.getheader("Content-Type") or "").split(";")[0]}
    for name in ["Vary", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
                 "Access-Control-Allow-Headers", "Access-Control-Expose-Headers"]:
        if response.status != 404:
            answer[name] = response.getheader(name)
    if answer["type"] == "application/json":
        data = json.loads(text)
        if isinstance(data.get("data"), list):
            data["data"].sort(key=json.dumps)
        if "error" in data: # we add which limit it is
            data["error"] = data["error"].partition(": query.max_points is ")[0]
        answer["body"] = data
    elif response.status != 405: # the words for that are everyone's own
        answer["body"] = text.decode("utf-8", "replace")
    return answer


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    count = different = 0
    for method, target, headers, body in requests():
        ours, theirs = (ask(url, method, target, headers, body) for url in sys.argv[1:])
        count += 1
        if ours == theirs:
            continue
        different += 1
        print(method, target, headers or "", body or "")
        for key in theirs:
            if ours.get(key) != theirs[key]:
                print(f"    {key}: {json.dumps(ours.get(key))[:400]}\n    not: {json.dumps(theirs[key])[:400]}")
    print(f"{count} requests, {different} answered differently")
    return 1 if different else 0


sys.exit(main())
