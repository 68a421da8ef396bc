#!/usr/bin/env python3
"""compare_grafana.py - sends the requests of Grafana's Prometheus data source to two servers and prints differences.

usage: compare_grafana.py URL PEER_URL START END

URL may have a path, and both have the same samples, from START to END (Unix seconds). The paths,
methods, headers and forms of parameters are those of the data source of Grafana 11 and 12: its
server part asks queries and the health check, its pages request names, values, series, metadata and
rules through it. The status, the type of the content and the JSON are compared, times digit by
digit; sums may be made in another order (1e-9). Exit status: 0 all the same, 1 differences, 2 an
error.
"""

import gzip
import http.client
import json
import math
import re
import sys
import urllib.parse

HEADERS = {
    "User-Agent": "Grafana/12.1.1",
    "Accept-Encoding": "gzip",
    "X-Grafana-Org-Id": "1",
    "X-Dashboard-Uid": "rYdddlPWk",
    "X-Panel-Id": "77",
    "X-Panel-Plugin-Id": "timeseries",
    "X-Datasource-Uid": "P8E80F9AEF21F6940",
    "X-Query-Group-Id": "a0b1c2d3-0000-4000-8000-000000000000",
    "X-Grafana-From-Expr": "false",
}
# its pages send this to Grafana; a proxy may pass it on
CACHE = {"X-Grafana-Cache": "private, max-age=60"}
SERIES_LIMIT = "40000"
LONG_AT_LEAST = 200  # answers, or there were no samples

# Queries as in dashboards; Panel has the variables that Grafana replaces.
PANELS = [
    "up",
    "rate(node_cpu_seconds_total[$__rate_interval])",
    '100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval])))',
    'sum by (instance, mode) (irate(node_cpu_seconds_total{job="node",instance=~"node.*|.*:.*"}[$__rate_interval]))',
    "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes",
    "topk(3, sum by (__name__) ({__name__=~\"node_memory_.+\"}))",
    "sum(increase(prometheus_http_requests_total[$__range]))",
    "avg_over_time(node_load1[$__interval])",
    "max_over_time(node_load1[${__range_s}s])",
    "node_load1 offset $__range",
    "histogram_quantile(0.95, sum(rate(shop_request_seconds_bucket[$__rate_interval])) by (le))",
    "histogram_quantile(0.95, sum(rate(shop_request_seconds[$__rate_interval])))",
    "sum by (job) (rate(shop_request_seconds[$__rate_interval]))",
    "shop_request_seconds",
    '{job="nhcb"}',
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    'changes(process_start_time_seconds[1h]) > 0 # restarts\n  or\n up == 0',
    "absent(nothing)",
    "nothing",
    "1 / 0",
    '"text"',
    "rate(node_load1[$__rate_interval])",  # a note: it might be no counter
    "sum(up",
    "rate(up)",
    "up{job=~\"(\"}",
    "up * on (job) up",
    "",
]
RANGES = [(900, 1000, 15), (1800, 43, 60), (300, 1000, 1), (6 * 3600, 300, 15)]  # seconds, points, least step
SELECTORS = ["up", '{__name__="up"}', '{__name__="node_cpu_seconds_total",instance="localhost:9100",cpu=~"0|1"}',
             '{job="shop",__name__!=""}', '{__name__=~".*http.*"}', 'node_cpu_seconds_total{mode="idle"}', "nothing",
             '{__name__!=""}', "up{", '{}', '{"job"="node","cpu"!=""}']


class Panel:
    """An expression and a time range as Grafana sends them: the step, and what it replaces."""

    def __init__(self, expression, end, seconds, points, least):
        step = next((s for s in [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600] if s >= max(seconds / points, least)), 600)
        self.step = float(step)
        rate = max(step + least, 4 * least)
        self.start, self.end = end - seconds, end
        for name, text in [("__rate_interval", go_duration(rate)), ("__interval_ms", f"{step * 1000}"),
                           ("__interval", f"{step}s" if step < 60 else f"{step // 60}m"),
                           ("__range_ms", f"{seconds * 1000}"), ("__range_s", f"{seconds}"),
                           ("__range", f"{seconds}s")]:
            expression = expression.replace("${" + name + "}", text).replace("$" + name, text)
        self.expression = expression

    def over_time(self):
        return {"query": self.expression, "start": number(self.aligned(self.start)),
                "end": number(self.aligned(self.end)), "step": number(self.step)}

    def aligned(self, time):
        return math.floor(time / self.step) * self.step

    def at_end(self):
        return {"query": self.expression, "time": number(self.end)}


def go_duration(seconds):
    hours, rest = divmod(seconds, 3600)
    return (f"{hours}h" if hours else "") + (f"{rest // 60}m" if seconds >= 60 else "") + f"{rest % 60}s"


def number(value):
    """The shortest decimal text, without an exponent."""
    return repr(value).removesuffix(".0")


def javascript(parameters):
    """Parameters encoded as by encodeURIComponent."""
    return "&".join(f"{urllib.parse.quote(k, safe=ESCAPED_NOT)}={urllib.parse.quote(v, safe=ESCAPED_NOT)}"
                    for k, v in parameters)


ESCAPED_NOT = "!'()*~-_."


def form(path, parameters, headers=None):
    """From its server part: sorted, a space is a plus."""
    text = urllib.parse.urlencode(sorted(parameters.items()))
    sent = {**HEADERS, **(headers or {})}
    yield "POST", path, {**sent, "Content-Type": "application/x-www-form-urlencoded"}, text
    yield "GET", f"{path}?{text}", sent, None


def resource(path, parameters):
    """From its pages: GET alone where Prometheus takes no form."""
    text = javascript(parameters)
    sent = {**HEADERS, **CACHE}
    yield "GET", f"{path}?{text}" if text else path, sent, None
    if path in ("/api/v1/labels", "/api/v1/series", "/api/v1/query", "/api/v1/query_exemplars"):
        yield "POST", path, {**sent, "Content-Type": "application/x-www-form-urlencoded"}, text


def health_check():
    yield from form("/api/v1/query", {"query": "1+1", "time": "4"})
    yield from form("/api/v1/query", {"query": "1+1", "time": "4", "timeout": "60s"})


def first_look(start, end):
    """Requests when a data source is opened, in this order."""
    yield from resource("/api/v1/rules", [])
    # This asks whether there are exemplars; its milliseconds are read as seconds.
    yield from resource("/api/v1/query_exemplars", [("query", "test"), ("start", f"{start * 1000:.0f}"),
                                                    ("end", f"{end * 1000:.0f}")])
    snapped = [("start", str(math.floor(start / 60) * 60)), ("end", str(math.ceil(end / 60) * 60))]
    for limit in ([], [("limit", SERIES_LIMIT)]):
        yield from resource("/api/v1/label/__name__/values", limit + snapped)
        yield from resource("/api/v1/labels", limit + snapped)


def browser(start, end):
    """The label browser, the metrics explorer, completion, and variables of dashboards."""
    times = [("start", str(math.floor(start / 60) * 60)), ("end", str(math.ceil(end / 60) * 60))]
    for selector in SELECTORS:
        match = [("match[]", selector)]
        for limit in ([], [("limit", SERIES_LIMIT)], [("limit", "0")]):
            yield from resource("/api/v1/labels", limit + times + match)
            yield from resource("/api/v1/series", times + match + limit)
            for name in ("__name__", "job", "instance", "U__a_2e_b", "le"):
                yield from resource(f"/api/v1/label/{name}/values", limit + times + match)
    yield from resource("/api/v1/labels", times + [("match[]", "up"), ("match[]", "node_load1")])
    yield from resource("/api/v1/series", [("match[]", "up")])
    yield from resource("/api/v1/query", [("query", 'count by (job) (up)'), ("time", str(math.ceil(end)))])


def panels(end):
    for seconds, points, least in RANGES:
        for expression in PANELS:
            panel = Panel(expression, end, seconds, points, least)
            yield from form("/api/v1/query_range", panel.over_time())
            yield from form("/api/v1/query", panel.at_end())
    panel = Panel(PANELS[1], end, 1800, 1000, 15)
    for more in [{"timeout": "60s"}, {"timeout": "30"}, {"timeout": "x"}, {"stats": ""}, {"limit": "2"}]:
        if more != {"limit": "2"}:  # Prometheus takes any two
            yield from form("/api/v1/query_range", {**panel.over_time(), **more})
            yield from form("/api/v1/query", {**panel.at_end(), **more})
    for expression in ["shop_request_seconds_bucket", PANELS[10], "shop_request_seconds", "nothing", "1", "sum("]:
        over = Panel(expression, end, 1800, 1000, 15).over_time()
        del over["step"]
        yield from form("/api/v1/query_exemplars", over)


def alerts():
    """Requests about rules that a data source evaluates itself."""
    for path in ("/api/v1/rules", "/api/v1/alerts", "/api/v1/alertmanagers"):
        yield from resource(path, [])
    yield from resource("/api/v1/rules", [("group_limit", "40")])
    yield from resource("/api/v1/rules", [("exclude_alerts", "true"), ("type", "alert")])
    # Whether the ruler can be written to is asked by GET /rules, where Prometheus has a page, and so has
    # Firekeep; the Prometheus that Debian builds has no pages.


def requests(start, end):
    """(method, target, headers, body)"""
    end += 0.123
    yield from health_check()
    yield from first_look(start, end)
    yield from browser(start, end)
    yield from panels(end)
    yield from alerts()


# --- asking and comparing ----------------------------------------------------------------------------------


class Server:
    def __init__(self, url):
        place = urllib.parse.urlsplit(url)
        self.prefix = place.path.rstrip("/")
        self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)

    def ask(self, method, target, headers, body):
        self.connection.request(method, self.prefix + target, body=body, headers=headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        answer = {"status": response.status, "type": response.getheader("Content-Type")}
        if answer["type"] == "application/json":
            answer["body"] = in_order(json.loads(text, parse_float=lambda digits: ("number", digits)))
        return answer


def in_order(answer):
    """Series and values in an order of their own: Prometheus promises none."""
    data = answer.get("data")
    if isinstance(data, list):
        data.sort(key=key_of)
    elif isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        data["result"].sort(key=key_of)
    for kind in ("warnings", "infos"):
        answer.get(kind, []).sort()
    if "error" in answer:  # it names two of several series
        answer["error"] = re.sub(r"(hand-side of the operation: )\[.*\];many", r"\1[];many", answer["error"])
    return answer


def key_of(thing):
    if isinstance(thing, dict):
        thing = thing.get("metric", thing.get("seriesLabels", thing))
    return json.dumps(thing, sort_keys=True)


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, str) and isinstance(b, str) and a != b:
        try:
            return math.isclose(float(a), float(b), rel_tol=1e-9)
        except ValueError:
            return False
    return a == b


def different_facts(ours, theirs):
    """Compares only the form of facts that depend on the program and on its scrapes."""
    headers = {**HEADERS, **CACHE}
    build, peer_build = (s.ask("GET", "/api/v1/status/buildinfo", headers, None) for s in (ours, theirs))
    if build["status"] != 200 or not peer_build["body"]["data"].keys() <= build["body"]["data"].keys():
        yield f"buildinfo: {build}"
    if build["body"]["data"].get("features"):
        yield "buildinfo: `features` make Grafana take it for a Mimir"
    version = [int(n) for n in build["body"]["data"]["version"].split(".")]
    if len(version) != 3 or version < [3, 0, 0]:
        yield f"buildinfo: {version} is not the version of a Prometheus 3"
    for target in ("/api/v1/metadata", f"/api/v1/metadata?limit={SERIES_LIMIT}", "/api/v1/metadata?metric=up"):
        answer, peer_answer = (s.ask("GET", target, headers, None) for s in (ours, theirs))
        if (answer["status"], answer["type"]) != (peer_answer["status"], peer_answer["type"]):
            yield f"{target}: {answer}, not {peer_answer}"
        for name, entries in answer["body"]["data"].items():
            if not entries or any(e.keys() != {"type", "help", "unit"} for e in entries):
                yield f"{target}: {name}: {entries}"


def main():
    if len(sys.argv) != 5:
        print(__doc__)
        return 2
    ours, theirs = map(Server, sys.argv[1:3])
    count, found, different = 0, 0, 0
    for line in different_facts(ours, theirs):
        print(line)
        different += 1
    for request in requests(*map(float, sys.argv[3:5])):
        answer, peer_answer = ours.ask(*request), theirs.ask(*request)
        count += 1
        found += len(json.dumps(peer_answer)) > 1000
        if same(answer, peer_answer):
            continue
        different += 1
        method, target, _, body = request
        print(method, target, body or "")
        for key in peer_answer:
            if not same(answer.get(key), peer_answer[key]):
                print(f"    {key}: {json.dumps(answer.get(key))[:500]}\n    not: {json.dumps(peer_answer[key])[:500]}")
    print(f"{count} requests, {found} with long answers, {different} answered differently")
    return 1 if different or found < LONG_AT_LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
