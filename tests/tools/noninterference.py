#!/usr/bin/env python3
"""noninterference.py - two servers whose data differ only in hidden series must answer alike, byte for byte.

  samples DIR END_MS SEED              writes DIR/STAGE-NUMBER-TENANT-(visible|hidden).txt, for rwmake
  users                                prints the configuration's list of users
  routes ALONE BOTH END_MS [VIEWER...] every route of src/api/api.c for every viewer, twice
  power ALONE BOTH END_MS              whether these requests have other answers for one who sees everything
  limits ALONE BOTH END_MS             those routes that read series, once
  queries ALONE BOTH END_MS SEED COUNT generated queries and look-ups
  own ALONE BOTH END_MS                queries that run or have run are shown to their users only
  costs ALONE BOTH END_MS              prints numbers of series, samples and bytes that a viewer's query reads

ALONE has what the viewers may see; BOTH has hidden series of the same tenant besides, and a hidden
tenant. A viewer is a user with read_matchers, a user of one tenant, or one whose requests have
extra_filters[] or extra_label. Times of execution are masked; everything else must be the same, with
headers but for Date and cookies, which differ between servers. A route without a request in REQUESTS is a failure. Prints differences; the status
is 1 if there are any. The seed makes the same queries again.
"""
import collections
import functools
import gzip
import json
import os
import random
import re
import socket
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "promql"), HERE]
import compare_results  # noqa: E402
import remote_read  # noqa: E402
import routes  # noqa: E402

MINUTE_MS = 60000
SHOWN_MAX, SHOWN_ALIKE_MAX = 20, 2  # differences that are printed, those of one viewer and path

# --- users and viewers ---------------------------------------------------------------------------

MATCHERS = ['{team="a",replica!="hidden"}', '{team="",env="shared",replica!="hidden"}']
# Name and the rest of the entry. The token of each is its name.
USERS = [
    ("root", "permissions: [read, write, rules, admin, metrics]"),
    ("fenced", f"permissions: [read], tenants: [shop, alerts], read_matchers: {json.dumps(MATCHERS)}"),
    ("wide", f"permissions: [read, write], tenants: ['sh*', quiet], read_matchers: {json.dumps(MATCHERS)}"),
    ("reader", "permissions: [read], tenants: [shop, alerts]"),
    ("quiet", "permissions: [read], tenants: [quiet]"),
    ("ruler", "permissions: [rules, write], tenants: [quiet], tenant_header: ignore"),
]
FILTERS = [("extra_filters[]", matcher) for matcher in MATCHERS]
ONE_FILTER = [("extra_filters[]", "{" + " or ".join(matcher[1:-1] for matcher in MATCHERS) + "}")]
LABEL = [("extra_label", "team=a"), ("extra_filters", '{replica!="hidden"}')]


class Viewer:
    """A user, the tenants that it names, and what its requests have besides."""

    def __init__(self, user, tenant, fence=(), in_form=False):
        self.user, self.tenant, self.fence, self.in_form = user, tenant, list(fence), in_form

    def headers(self):
        named = {"X-Scope-OrgID": self.tenant} if self.tenant else {}
        return named | ({"Authorization": f"Bearer {self.user}"} if self.user else {})


VIEWERS = {
    "fenced": Viewer("fenced", "shop"),
    "fenced too": Viewer("fenced", "shop", [("extra_label", "team=a"), ("extra_filters[]", '{team!="b"}')]),
    "several": Viewer("wide", "quiet|shop"),
    "filtered": Viewer("reader", "shop", FILTERS),
    "by a form": Viewer("reader", "shop", ONE_FILTER, in_form=True),
    "labelled": Viewer("reader", "shop", LABEL),
    "of one tenant": Viewer("quiet", ""),
    "another tenant's": Viewer("quiet", "secret"),
    "of no tenant": Viewer("wide", ""),
    "without rights": Viewer("ruler", "secret"),
    "unknown": Viewer("nobody", "shop"),
    "anonymous": Viewer("", "shop"),
    "of alerts": Viewer("fenced", "alerts"),
    "of filtered alerts": Viewer("reader", "alerts", FILTERS),
}
# In the tenant of the rules, the server itself writes series, at times of its own.
OF_ALERTS = ("of alerts", "of filtered alerts")
REFUSED = ("another tenant's", "of no tenant", "without rights", "unknown", "anonymous")
READERS = ("fenced", "fenced too", "several", "filtered", "by a form", "labelled", "of one tenant")
EVERYTHING = Viewer("root", "shop")


def print_users():
    import hashlib

    print("users:")
    for name, rest in USERS:
        print(f"- {{name: {name}, tokens: [{hashlib.sha256(name.encode()).hexdigest()}], {rest}}}")


# --- samples -------------------------------------------------------------------------------------

STALE = "0x7ff0000000000002"
HISTOGRAM = "kind=int schema=3 hint=0 threshold=0.001 zero={z} sum={s} count={c} pos=-2:2,3:1/{p},{q},{r}"


class Batch:
    """The lines of a request: the samples of one stage, visible or hidden."""

    def __init__(self, rng, begin_ms, end_ms):
        self.rng, self.times, self.lines = rng, range(begin_ms, end_ms, 15000), []

    def add(self, name, labels, value):
        for i, t in enumerate(self.times):
            number = value(i)
            if number is not None:
                self.lines.append(f"{name}{text_of(labels)} {number} {t}")

    def histogram(self, name, labels):
        for i, t in enumerate(self.times):
            p, q, r, z = i + self.rng.randrange(3), self.rng.randrange(5) + i, i, i // 2
            numbers = HISTOGRAM.format(z=z, s=i * 3.25, c=p + q + r + z, p=p, q=q, r=r)
            self.lines.append(f"@histogram {name}{text_of(labels)} {t} {numbers}")

    def exemplar(self, name, labels, trace):
        self.lines.append(f'@exemplar {name}{text_of(labels)} {{trace="{trace}"}} 0.25 {self.times[-1]}')


def text_of(labels):
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items())) + "}"


def put_service(batch, owner, instances):
    """Series of all kinds with the labels of an owner. Sums of these gauges depend on their order."""
    rng = batch.rng
    for i in range(instances):
        at = {"job": ("prometheus", "node", "demo")[i % 3], "instance": f"i{i}", **owner}
        batch.add("up", at, lambda n: 1 if n % 7 else 0)
        batch.add("load", at, lambda n: rng.choice((1e16, -1e16, 1, 0.1, 1e-9, rng.random())))
        batch.add("ties", at, lambda n: n % 3)
        batch.add("gone", at, lambda n: n if n < 9 else STALE if n == 9 else None)
        for code in ("200", "500"):
            batch.add("requests_total", {**at, "code": code, "handler": f"/{i % 2}"}, lambda n, i=i: (n % 11) * (i + 1))
        for le in ("0.1", "1", "+Inf"):
            batch.add("latency_seconds_bucket", {**at, "le": le}, lambda n, le=le: n * len(le))
        batch.add("latency_seconds_count", at, lambda n: n * 4)
        batch.add("latency_seconds_sum", at, lambda n: n * 1.5)
        batch.add("target_info", {**at, "version": f"v{i}"}, lambda n: 1)
        batch.histogram("native", at)
    for i in range(40):
        batch.add("many", {"cpu": str(i), "mode": ("idle", "user")[i % 2], **owner}, lambda n, i=i: i + n if n % 4 == 0 else None)


def put_visible(batch, half):
    if half == 0:
        put_service(batch, {"team": "a"}, 3)
        batch.add("replicated", {"team": "a", "replica": "r1"}, lambda n: n if n % 5 else None)
        batch.exemplar("up", {"team": "a", "job": "prometheus", "instance": "i0"}, "seen")
        batch.add("|last", {"team": "a", "|name": "|"}, lambda n: n)
    else:
        put_service(batch, {"env": "shared"}, 2)
        batch.add("replicated", {"team": "a", "replica": "r2"}, lambda n: n + 1000)


def put_hidden(batch, half):
    if half == 0:
        put_service(batch, {"team": "b", "hidden_label": "h"}, 4)
        put_service(batch, {"team": "A"}, 1)
        batch.add("#first", {"team": "b", "#name": "#"}, lambda n: n)
        batch.add("replicated", {"team": "a", "replica": "hidden"}, lambda n: n + 1000000)
        batch.exemplar("up", {"team": "b", "hidden_label": "h", "job": "prometheus", "instance": "i0"}, "unseen")
    else:
        put_service(batch, {"env": "secret"}, 2)
        put_service(batch, {"team": "a", "replica": "hidden"}, 3)
        batch.add("hidden_metric", {"team": "b", "job": "demo"}, lambda n: "NaN" if n % 2 else "+Inf")
        batch.add("up", {"team": "b", "job": "a" * 300}, lambda n: n)
        batch.histogram("up", {"team": "b", "kind": "mixed"})
        batch.histogram("latency_seconds_bucket", {"team": "b"})
        for i in range(60):
            batch.add("many", {"cpu": f"{i}x", "team": "b"}, lambda n: n)


METADATA = {
    "visible": ("up 2 - Visible.", "load 2 bytes Visible.", "requests 1 - Visible.", "latency_seconds 3 seconds Visible."),
    "hidden": ("hidden_metric 2 - Hidden.", "aaa 1 - Hidden.", "zzz 2 - Hidden.", "up_total 1 - Hidden."),
}


def write_samples(folder, end_ms, seed):
    os.makedirs(folder, exist_ok=True)
    stages = {"a": (-40, -20), "b": (-20, 0), "c": (-70, -40)}  # minutes before the end
    for stage, (begin, end) in stages.items():
        # Hidden series are longer, and begin before and between the others.
        for number, (kind, half, put, early) in enumerate((
                ("hidden", 0, put_hidden, 7), ("visible", 0, put_visible, 0),
                ("hidden", 1, put_hidden, 0), ("visible", 1, put_visible, 0))):
            rng = random.Random(f"{seed} {stage} {kind} {half}")
            batch = Batch(rng, end_ms + (begin - early) * MINUTE_MS, end_ms + end * MINUTE_MS)
            put(batch, half)
            save(folder, f"{stage}-{number}-shop-{kind}", batch.lines)
        for number, (tenant, kind) in enumerate((("quiet", "visible"), ("secret", "hidden")), 4):
            batch = Batch(random.Random(f"{seed} {stage} {tenant}"), end_ms + begin * MINUTE_MS, end_ms + end * MINUTE_MS)
            put_service(batch, {"team": "a"}, 2)
            save(folder, f"{stage}-{number}-{tenant}-{kind}", batch.lines)
    for kind, families in METADATA.items():
        save(folder, f"m-0-shop-{kind}", [f"@metadata {family}" for family in families])


def save(folder, name, lines):
    with open(os.path.join(folder, name + ".txt"), "w", encoding="utf-8") as file:
        for i, line in enumerate(lines):
            file.write(("---\n" if i and i % 4000 == 0 else "") + line + "\n")


# --- requests ------------------------------------------------------------------------------------


def times(end_ms):
    return {"T": f"{end_ms / 1000:.3f}", "B": f"{end_ms / 1000 - 2400:.3f}", "E": f"{end_ms / 1000 - 6000:.3f}"}


def values_of(servers, end_ms):
    """Those of parameters: times, and the token of a group of rules that is hidden."""
    request = Request("GET", "/api/v1/rules", [("group_limit", "1")])
    page = json.loads(servers[1].ask(request, Viewer(EVERYTHING.user, "alerts")).body)
    return {**times(end_ms), "TOKEN": page["data"].get("groupNextToken", "none")}


QUERIES = [
    "up", '{team="b"}', 'count({__name__=~".+"})', '{__name__=~".*",team=~".*",job!=""}', "absent(hidden_metric)", "1", "up{",
    'absent(up{team="b"})', 'count_values("v", up)', 'label_replace(up, "team", "b", "job", ".*")', "info(up)",
    'info(up, {__name__="target_info",version=~".+"})', "max_over_time(sum(up)[20m:1m])", "up @ end() offset 5m",
    'up{team!="a"}', 'up{team=""}', 'up{hidden_label!=""}', 'up{team=~"b|A|"}', "sort_desc(load)", "topk(2, ties)",
    "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))", "sum(load)", "avg(load)", "stddev(load)",
    "histogram_quantile(0.5, sum(native))", "up + on (job, instance) group_left (version) target_info", "ties / on (job) up",
    "sum by (team) (rate(requests_total[5m]))", "replicated", "last_over_time(gone[1h])", "quantile(0.3, load)", "limitk(3, many)",
    'sum({__name__=~"up|hidden.*"})', 'count by (__name__) ({__name__!=""})', "count_over_time(many[2h])", "scalar(hidden_metric)",
    'sort_by_label(up, "team")', 'absent_over_time(hidden_metric[10m])', "limit_ratio(0.5, many)", "group by (hidden_label) (up)",
]
SELECTORS = ["up", '{__name__=~".+"}', "hidden_metric", '{team="b"}', '{team!="a",job!=""}', 'many{cpu=~".*x|1."}', '{"|last"}']
MATCHES = [[("match[]", s)] for s in SELECTORS] + [[("match[]", "up"), ("match[]", "hidden_metric")]]
TERMS = [[("search[]", "hidden")], [("search[]", "u"), ("case_sensitive", "false")],
         [("limit", "3")], [("limit", "6"), ("batch_size", "2")],
         [("search[]", "HIDDEN"), ("case_sensitive", "false")], [("match[]", "hidden_metric")], [("include_metadata", "true")]]
LOOKUPS = [[]] + MATCHES + [m + [("limit", n)] for m in MATCHES[:2] for n in "123"] + \
    [[("start", "B"), ("end", "T"), ("match[]", "many")], [("start", "E"), ("end", "B")], [("match[]", "{")], [("dedup", "false")],
     [("match[]", '{__name__=~".+"}'), ("replicaLabels[]", "replica")], [("source", "")], [("source", "none")]]
AT, OVER = [("time", "T")], [("start", "B"), ("end", "T"), ("step", "31")]
ALL_QUERIES = [[("query", q)] for q in QUERIES]
LABELS = ("team", "hidden_label", "__name__", "job", "le", "replica", "%23name", "U__hidden__label", "none", "__tenant_id__")
PARAMETERS = [[]]

# The requests to a route: what follows the part of its path before `*`, and parameters, with the values of values_of().
REQUESTS = {
    "/api/v1/labels": [("", p) for p in LOOKUPS],
    "/api/v1/label/*": [(f"{name}/values", p) for name in LABELS for p in LOOKUPS[:6]] +
                       [(f"{name}/values", [("limit", n)]) for name in LABELS[:4] for n in ("1", "2", "5")] + [("x", []), ("", [])],
    "/api/v1/series": [("", p) for p in LOOKUPS],
    "/api/v1/search/metric_names": [("", p) for p in TERMS],
    "/api/v1/search/label_names": [("", p) for p in TERMS],
    "/api/v1/search/label_values": [("", [("label", name)] + p) for name in LABELS[:4] for p in TERMS],
    "/api/v1/query": [("", q + AT) for q in ALL_QUERIES] +
                     [("", q + AT + [("stats", "all")]) for q in ALL_QUERIES] +
                     [("", [("query", "many")] + AT + [("limit", n)]) for n in ("1", "40", "41", "80", "81")] +
                     [("", [("query", "replicated[1h]")] + AT + [(k, v)]) for k, v in
                      (("replicaLabels[]", "replica"), ("dedup", "false"))] +
                     [("", [("query", "up")] + AT + p) for p in
                      ([("extra_label", "team=b")], [("extra_label", "=")], [("timeout", "x")])],
    "/api/v1/query_range": [("", q + OVER) for q in ALL_QUERIES] +
                           [("", q + OVER + [("stats", "all")]) for q in ALL_QUERIES[::3]] +
                           [("", [("query", "sum(up)"), ("start", "E"), ("end", "T"), ("step", "601")])] +
                           [("", [("query", "replicated"), ("replicaLabels[]", "replica")] + OVER)],
    "/api/v1/explain": [("", q + AT) for q in ALL_QUERIES] + [("", q + OVER) for q in ALL_QUERIES] +
                       [("", q + OVER + [("analyze", "true")]) for q in ALL_QUERIES],
    "/api/v1/status/active_queries": [("", [])],
    "/api/v1/status/active_queries/*": [("1", []), ("999999", []), ("x", [])],
    "/api/v1/status/top_queries": [("", [("by", "samples"), ("limit", "1000")]), ("", [("by", "x")])],
    "/api/v1/status/metric_usage": [("", [("limit", "1000")]), ("", [("metric", "up")]), ("", [("limit", "x")])],
    "/api/v1/query_exemplars": [("", [("query", q), ("start", "B"), ("end", "T")]) for q in ("up", '{job!=""}', 'up{team="b"}', "1")],
    "/api/v1/format_query": [("", q) for q in ALL_QUERIES],
    "/api/v1/parse_query": [("", q) for q in ALL_QUERIES],
    "/api/v1/rules": [("", p) for p in (
        [], [("type", "alert")], [("type", "record")], [("exclude_alerts", "true")], [("match[]", '{team=~".+"}')],
        [("match[]", '{shared="{{ $labels.team }}"}')], [("rule_name[]", "Hidden")], [("rule_group[]", "hidden")],
        [("rule_group[]", "shared")], [("group_limit", "1")], [("group_limit", "1"), ("group_next_token", "TOKEN")])],
    "/api/v1/alerts": [("", [])],
    "/api/v1/alertmanagers": [("", [])],
    "/api/v1/targets": [("", [])],
    "/api/v1/targets/metadata": [("", [])],
    "/api/v1/targets/relabel_steps": [("", []), ("", [("scrapePool", "x"), ("labels", "{}")])],
    "/api/v1/scrape_pools": [("", [])],
    "/api/v1/notifications": [("", [])],
    "/api/v1/notifications/live": [("", [])],
    "/api/v1/metadata": [("", p) for p in ([], [("limit", "1")], [("limit", "4")], [("limit", "5")], [("metric", "up")],
                                           [("metric", "hidden_metric")], [("limit_per_metric", "1")])],
    "/api/v1/session": [("", [])],
    "/api/v1/sources": [("", [])],
    "/api/v1/features": [("", [])],
    "/api/v1/status/buildinfo": [("", [])],
    "/api/v1/status/tsdb": [("", []), ("", [("limit", "1")])],
    "/api/v1/status/tsdb/bytes": [("", []), ("", [("match[]", "up")])],
    "/api/v1/status/config/check": [("", [])],
    "/api/v1/status/self_metrics": [("", []), ("", [("metric_name_pattern", "firekeep_head.*")])],
    "/api/v1/admin/tsdb/delete_series": [("", [("match[]", "up")])],
    "/api/v1/admin/tsdb/delete_series/preview": [("", [("match[]", "up")])],
    "/api/v1/admin/tsdb/deletions": [("", [])],
    "/api/v1/admin/tsdb/deletions/*": [("1", []), ("1/undo", []), ("", [])],
    "/api/v1/admin/tsdb/plan": [("", [])],
    "/api/v1/admin/tsdb/snapshots": [("", [])],
    "/api/v1/admin/tsdb/snapshots/*": [("20260101T000000Z-0000000000000000", []), ("", [])],
    "/api/v1/admin/destinations/*": [("x/pause", []), ("", [])],
    "/api/v1/explain_write": [("", [("series", "up")]), ("", [])],
    "/api/v1/admin/dead_letters/*": [("x", []), ("x", [("action", "drop")]), ("", [])],
    "/api/v1/admin/destination_test/*": [("x", []), ("", [])],
    "/federate": [("", p) for p in MATCHES + [[("match[]", "{")], []]],
    "/prometheus/federate": [("", MATCHES[1])],
    "/api/v1/*": [("query", []), ("nothing", []), ("status/tsdb", [])],
    "/metrics": [("", [])],
    "/-/healthy": [("", [])],
    "/health": [("", [])],
    "/version": [("", [])],
    "/-/ready": [("", [])],
    "/": [("", []), ("nothing", []), ("graph", [])],
}
for name in ("runtimeinfo", "flags", "config", "tsdb/blocks", "walreplay", "storage", "destinations", "sources", "log"):
    REQUESTS[f"/api/v1/status/{name}"] = [("", [])]
for name in ("flush", "merge", "snapshot", "clean_tombstones"):
    REQUESTS[f"/api/v1/admin/tsdb/{name}"] = [("", [])]
for name in ("/config/v1/rules", "/prometheus/config/v1/rules", "/api/prom/rules"):
    REQUESTS[name] = [("", [])]
    REQUESTS[name + "/*"] = [("space", []), ("space/group", []), ("", [])]
for name in ("query", "graph", "alerts", "rules", "status", "tsdb-status", "queries", "config", "flags", "keep", "destinations",
             "sources", "targets", "explore", "dashboards", "tools", "tenants", "service-discovery", "alertmanager-discovery",
             "discovered-alertmanagers"):
    REQUESTS[f"/{name}"] = [("", [])]
REQUESTS["/assets/*"] = [("licences.txt", []), ("none", []), ("", [])]
REQUESTS["/-/reload"] = [("", [])]
for name in ("/ping", "/influx/ping", "/influx/health"):
    REQUESTS[name] = [("", [])]
STATEMENTS = ("SHOW DATABASES", "SHOW MEASUREMENTS", "SHOW FIELD KEYS", "SHOW TAG KEYS", "SHOW TAG VALUES WITH KEY =~ /./",
              "SHOW SERIES", "SHOW SERIES EXACT CARDINALITY", "SHOW TAG KEY CARDINALITY", "SELECT * FROM /./ LIMIT 50",
              "SELECT count(*) FROM /./ GROUP BY *", "SELECT max(value) FROM hidden_metric, up WHERE team != ''", "SELECT x")
SELECTS = ("SELECT * FROM samples LIMIT 150", "SELECT count(*), sum(value), min(time), max(time) FROM samples",
           "SELECT * FROM metric.up ORDER BY series, time LIMIT 100", "SELECT * FROM hidden_metric LIMIT 5", "SELECT * FROM series",
           "SELECT * FROM metrics", "SELECT * FROM label_values", "SELECT * FROM exemplars", "SELECT name FROM metric.sqlite_schema",
           "SELECT series, time, count, max FROM samples_agg('1h')", "SELECT team, count(*) FROM up GROUP BY team", "SELECT x",
           "EXPLAIN QUERY PLAN SELECT * FROM up WHERE team = 'a'")
REQUESTS["/api/v1/sql"] = [("", [("query", statement)]) for statement in SELECTS] + \
                          [("", [("query", SELECTS[0]), ("format", form)]) for form in ("jsonl", "csv", "parquet", "arrow", "x")]
for name in ("/query", "/influx/query"):
    REQUESTS[name] = REQUESTS.get(name, []) + [("", [("q", statement), ("db", "prometheus")]) for statement in STATEMENTS]
WRITES = ("/api/v1/write", "/write", "/receive", "/api/v1/receive", "/api/v1/push", "/api/v1/prom/write", "/api/v1/prom/remote/write")
READS = ("/api/v1/read", "/read", "/api/v1/prom/read", "/api/v1/prom/remote/read")
OTLP = ("/api/v1/otlp/v1/metrics", "/v1/metrics", "/otlp/v1/metrics", "/opentelemetry/v1/metrics")
LINES = ("/api/v2/write", "/api/v3/write_lp", "/influx/write", "/influx/api/v2/write", "/influx/api/v3/write_lp")
TEXTS = ("/api/put", "/api/v1/import", "/api/v1/import/prometheus", "/api/v1/import/csv")
for name in ("/metrics/job/*", "/metrics/job@base64/*"):
    REQUESTS[name] = [("", [])]
for name in WRITES + READS + OTLP + LINES + TEXTS:
    REQUESTS[name] = []  # of_messages() has them
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ACCEPTS = ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0",
           "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
OTLP_WITHOUT_TIME = (b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"hidden_metric","gauge":{"dataPoints":['
                     b'{"asInt":1}]}}]}]}]}')
READ_MATCHERS = [[(0, "__name__", "up")], [(2, "__name__", ".+")], [(0, "team", "b")], [(1, "team", "a"), (1, "job", "")],
                 [(0, "__name__", "hidden_metric")], [(0, "__name__", "native")]]


def read_message(matchers, first_ms, last_ms, streamed):
    query = remote_read.field(1, first_ms) + remote_read.field(2, last_ms)
    for kind, name, value in matchers:
        query += remote_read.field(3, remote_read.field(1, kind) + remote_read.field(2, name.encode()) +
                                   remote_read.field(3, value.encode()))
    return remote_read.snappy_pack(remote_read.field(1, query) + (remote_read.field(2, 1) if streamed else b""))


def of_messages(route, end_ms):
    """(headers, body) of requests of binary routes."""
    if route.path in READS:
        for matchers in READ_MATCHERS:
            for streamed in (False, True):
                yield PROTOBUF, read_message(matchers, end_ms - 5000000, end_ms, streamed)
    if route.path in OTLP:
        for body in (b"{}", b"{", OTLP_WITHOUT_TIME):
            yield {"Content-Type": "application/json"}, body
    if route.path in LINES:
        for body in (b"", b"x", b"hidden_metric value=x"):
            yield {}, body
    if route.path in TEXTS:
        for body in (b"x", b"hidden_metric x", b'{"metric":"hidden_metric"}', b"[7]"):
            yield {}, body
    for body in (b"", b"x", b"\x01\x00"):
        yield PROTOBUF, body
        yield {"Content-Type": "text/plain"}, body


class Request:
    def __init__(self, method, path, parameters=(), headers=None, body=None):
        self.method, self.path, self.parameters = method, path, list(parameters)
        self.headers, self.body = headers or {}, body

    def sent_by(self, viewer):
        """(method, target, headers, body)"""
        given, fence = list(self.parameters), viewer.fence
        headers, body = {**viewer.headers(), **self.headers}, self.body
        if headers.get("Content-Type") == FORM["Content-Type"]:
            body = urllib.parse.urlencode(given + (fence if viewer.in_form else []))
            given, fence = [], [] if viewer.in_form else fence
        text = urllib.parse.urlencode(given + fence)
        return self.method, self.path + ("?" + text if text else ""), headers, body

    def is_timed(self):
        """True if the answer has times of execution, also if it has no body."""
        return self.path.endswith(("/api/v1/status/top_queries", "/api/v1/status/metric_usage", "/api/v1/rules", "/api/v1/alerts"))

    def __str__(self):
        body = f" {len(self.body)} bytes {self.body[:20].hex()}" if isinstance(self.body, bytes) else ""
        return f"{self.method} {self.path} {urllib.parse.urlencode(self.parameters)}{body}"


def requests_of(route, now, end_ms):
    """All requests to a route, with each of its methods."""
    begin = route.path.removesuffix("*")
    prefixes = ["", "/prometheus"] if route.is_of_api() else [""]
    for suffix, parameters in REQUESTS[route.path]:
        given = [(name, now.get(value, value)) for name, value in parameters]
        for method in route.methods:
            headers = FORM if method == "POST" and route.access == "READ" else {}
            for prefix in prefixes if suffix == REQUESTS[route.path][0][0] and not parameters else prefixes[:1]:
                yield Request(method, prefix + begin + suffix, given, headers)
    suffix, parameters = REQUESTS[route.path][0] if REQUESTS[route.path] else ("", [])
    given = [(name, now.get(value, value)) for name, value in parameters]
    for method in ("HEAD", "OPTIONS", "PATCH"):
        yield Request(method, begin + suffix, given)
    yield Request("GET", begin + suffix, given, {"Origin": "http://page.example", "Accept-Encoding": "gzip"})
    if route.path in WRITES + READS + OTLP + LINES + TEXTS:
        for headers, body in of_messages(route, end_ms):
            yield Request("POST", begin, (), headers, body)
    if route.path == "/federate":
        for accept in ACCEPTS:
            yield Request("GET", begin, MATCHES[1], {"Accept": accept})


# --- comparing -----------------------------------------------------------------------------------

MASKS = [
    (re.compile(rb'"(evalTotalTime|resultSortTime|queryPreparationTime|innerEvalTime|execQueueTime|execTotalTime|ms|total_ms|max_ms)":'
                rb"[0-9.e+-]+"), rb'"\1":0'),
    (re.compile(rb'"(begun|since|last)":[0-9.]+'), rb'"\1":0'),
    (re.compile(rb'"(activeAt|keepFiringSince)":"[^"]*"'), rb'"\1":0'),
]


class Server:
    """A connection. Its answers are parsed here: http.client takes longer for that than the server for the answer."""

    def __init__(self, url):
        self.netloc = urllib.parse.urlsplit(url).netloc
        self.stream = None

    def send(self, method, target, headers, body):
        body = body.encode() if isinstance(body, str) else body or b""
        length = {"Content-Length": len(body)} if body or method in ("POST", "PUT", "PATCH") else {}
        lines = {"Host": self.netloc, "Accept-Encoding": "identity", **headers, **length}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        if self.stream is None:
            host, port = self.netloc.split(":")
            with socket.create_connection((host, int(port)), timeout=120) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.stream = connection.makefile("rwb")
        self.stream.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body)
        self.stream.flush()

    def read(self, count):
        part = self.stream.read(count)
        if len(part) < count:
            raise ConnectionError("the answer is cut off")
        return part

    def line(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the answer is cut off")
        return line[:-2].decode("latin-1")

    def chunks(self):
        while size := int(self.line(), 16):
            yield self.read(size)
            assert not self.line()
        while self.line():
            pass

    def receive(self, method):
        """(status, headers, body)"""
        status, headers = int(self.line().split(" ")[1]), []
        while line := self.line():
            headers.append(tuple(line.split(": ", 1)))
        named = dict(headers)
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif named.get("Transfer-Encoding") == "chunked":
            body = b"".join(self.chunks())
        else:
            body = self.read(int(named["Content-Length"]))
        if named.get("Connection") == "close":
            self.close()
        return status, headers, body

    def close(self):
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def ask(self, request, viewer):
        return ask_all([self], request, viewer)[0]


def try_to(step, server, *arguments):
    """The result, or None if the connection is closed: it was idle, or a stream is cut off."""
    try:
        return step(server, *arguments)
    except ConnectionError:
        server.close()
        return None


def ask_all(servers, request, viewer):
    """The answers of servers that are asked at the same time. Who closes the connection is asked once more."""
    sent = request.sent_by(viewer)
    for server in servers:
        try_to(Server.send, server, *sent)
    answers = []
    for server in servers:
        parts = try_to(Server.receive, server, sent[0]) if server.stream is not None else None
        if parts is None:
            try_to(Server.send, server, *sent)
            parts = try_to(Server.receive, server, sent[0]) if server.stream is not None else None
        answers.append(Answer(parts, request.is_timed()))
    return answers


class Answer:
    """None instead of the parts of an answer: the connection was closed before its end."""

    def __init__(self, parts, is_timed):
        self.status, headers, self.sent = parts or (0, [], b"")
        self.headers = [(name, value) for name, value in headers if name not in ("Date", "Set-Cookie")]
        self.is_timed = is_timed

    @functools.cached_property
    def body(self):
        return gzip.decompress(self.sent) if ("Content-Encoding", "gzip") in self.headers else self.sent

    @functools.cached_property
    def masked(self):
        masked = self.body
        for pattern, text in MASKS:
            masked = pattern.sub(text, masked)
        return masked

    def key(self):
        headers = self.headers
        if self.is_timed or self.masked != self.body:  # the length is that of the numbers, too
            headers = [(name, value) for name, value in headers if name != "Content-Length"]
        return self.status, headers, self.masked

    def is_same(self, other):
        """Most answers are the same byte for byte: only others are masked."""
        sent = (self.status, self.headers, self.sent) == (other.status, other.headers, other.sent)
        return sent or self.key() == other.key()

    def text(self, at):
        """The first lines, and what follows a difference."""
        begin = max(0, at - 150)
        return f"{self.status} {self.headers}\n      {self.masked[:200]!r} ... {self.masked[begin:at + 200]!r}"


class Comparison:
    def __init__(self, alone, both):
        self.servers = [Server(alone), Server(both)]
        self.asked = self.different = self.answered = 0
        self.where = collections.Counter()

    def same(self, request, viewer, name):
        alone, both = ask_all(self.servers, request, viewer)
        self.asked += 1
        self.answered += alone.status == 200
        if alone.is_same(both):
            return True
        self.different += 1
        self.where[f"{name} at {request.path}"] += 1
        if self.different <= SHOWN_MAX and self.where[f"{name} at {request.path}"] <= SHOWN_ALIKE_MAX:
            at = len(os.path.commonprefix([alone.masked, both.masked]))
            print(f"{name}: {request}\n   alone {alone.text(at)}\n   both  {both.text(at)}", flush=True)
        return False

    def end(self, what):
        for where, count in self.where.most_common():
            print(f"{count} answers differ for {where}")
        print(f"{what}: {self.asked} requests, {self.answered} with status 200, {self.different} answers differ")
        return self.different


# --- routes --------------------------------------------------------------------------------------

# The second answer may come from a cache.
CACHED = {"/api/v1/query_range", "/api/v1/query", "/api/v1/series", "/api/v1/labels"}
# Routes that read, and answer everyone alike.
CONSTANT = {"/api/v1/format_query", "/api/v1/parse_query", "/api/v1/alertmanagers", "/api/v1/targets", "/api/v1/targets/metadata",
            "/api/v1/targets/relabel_steps", "/api/v1/scrape_pools", "/api/v1/notifications", "/api/v1/notifications/live", "/api/v1/sources"}


def check_power(alone, both, end_ms):
    """Each route that restricts its answers answers differently to one who sees everything."""
    servers, wrong = [Server(alone), Server(both)], 0
    now = values_of(servers, end_ms)
    for route in routes.routes():
        if "FENCED" not in route.needs or route.path in CONSTANT:
            continue
        viewer = Viewer(EVERYTHING.user, "alerts" if route.path in ("/api/v1/rules", "/api/v1/alerts") else EVERYTHING.tenant)
        for request in requests_of(route, now, end_ms):
            answers = ask_all(servers, request, viewer)
            if answers[0].status == 200 and not answers[0].is_same(answers[1]):
                break
        else:
            print(f"{route.path}: all answers are the same for one who sees everything")
            wrong += 1
    return wrong


def is_asked(request, index, name):
    """Who is refused has few requests, and who reads has forms if the restriction is in them."""
    if name in REFUSED:
        return request.headers != FORM and (index % 10 == 0 or request.method not in ("GET", "POST"))
    return index < 2 or (request.headers == FORM) == (name == "by a form") or request.method not in ("GET", "POST")


def compare_routes(alone, both, end_ms, only):
    comparison, bad = Comparison(alone, both), 0
    now = values_of(comparison.servers, end_ms)
    for route in routes.routes():
        if route.path not in REQUESTS:
            print(f"{route.path}: there is no request for this route in {os.path.basename(__file__)}")
            bad += 1
            continue
        requests = list(requests_of(route, now, end_ms))
        for name, viewer in VIEWERS.items():
            if only and name not in only:
                continue
            if name in OF_ALERTS and route.path not in ("/api/v1/rules", "/api/v1/alerts"):
                continue
            for i, request in enumerate(requests):
                if is_asked(request, i, name):
                    comparison.same(request, viewer, name)
                    if route.path in CACHED and name in READERS:
                        comparison.same(request, viewer, name)
    for path in set(REQUESTS) - {route.path for route in routes.routes()}:
        print(f"{path}: there is no such route")
        bad += 1
    return comparison.end("routes") + bad


def compare_limits(alone, both, end_ms):
    comparison = Comparison(alone, both)
    now = values_of(comparison.servers, end_ms)
    for route in routes.routes():
        if "READABLE" not in route.needs:
            continue
        for i, request in enumerate(requests_of(route, now, end_ms)):
            for name in ("fenced", "labelled", "several"):
                if is_asked(request, i, name):
                    comparison.same(request, VIEWERS[name], name)
    return comparison.end("limits")


# --- generated queries ---------------------------------------------------------------------------

VALUES = {
    "team": ("a", "b", "A", "", ".*", ".+", "a|b", "[^a]", "(a|)", "b.*"), "replica": ("hidden", "r1", "", ".*", "r.|hidden"),
    "hidden_label": ("h", "", ".+"), "env": ("shared", "secret", "", "s.*", "sec.+|"), "job": ("prometheus", "node", "demo", "", ".*", "x|demo"),
    "instance": ("i0", "i3", "i[12]", ""), "version": ("v0", "v3", ".+"), "cpu": ("1", "1x", ".*x", "[0-9]"), "le": ("0.1", "+Inf", ""),
    "__name__": ("up", "hidden_metric", ".*", ".+", "", "(up|load)", "hidden.*|many"), "kind": ("mixed", ""),
    "#name": ("#", ""), "__tenant_id__": ("quiet", "shop", "secret", "", ".*"),
}
TRICKS = [
    "absent(%s)", 'count_values("v", %s)', "info(%s)", 'info(%s, {version=~".+"})', 'info(%s, {__name__=~".+_info",team="b"})',
    "topk(2, %s)", "bottomk(3, %s)", "limitk(4, %s)", "limit_ratio(-0.4, %s)", "sort(%s)", "sort_desc(%s)", 'sort_by_label(%s, "team")',
    'label_replace(%s, "t", "$1", "team", "(.*)")', 'label_join(%s, "j", "/", "team", "replica", "hidden_label")',
    "%s * on (job, instance) group_left (version) target_info", "scalar(%s)", "count(count by (__name__) (%s))", "timestamp(%s)",
    "max_over_time((%s)[15m:47s])", "last_over_time(%s[5h])", "sum(%s @ end())", "sum(%s @ start() offset 3m)", "absent_over_time(%s[3m])",
    "histogram_quantile(0.9, %s)", "sum by (team) (%s)", "sum without (instance, job) (%s)", "group by (hidden_label, env) (%s)",
    "%s or hidden_metric", "%s unless on (job) hidden_metric", "vector(1) and on () %s", "stddev(%s)", "avg by (job) (%s)",
    "quantile by (job) (0.4, %s)", "rate(%s[4m])", "changes(%s[30m])", "deriv(%s[10m])", "sum(rate(%s[7m]))", "sum(count_over_time(%s[50m]))",
    "resets(%s[1h])", "predict_linear(%s[20m], 60)", "double_exponential_smoothing(%s[9m], 0.5, 0.4)", "irate(%s[3m])",
]


class Names:
    """Answers the questions of compare_results.Grammar about all series, hidden ones included. All servers get
    all questions: they remember the last ones."""

    def __init__(self, servers, end_ms):
        self.servers, self.end_ms = servers, end_ms

    def ask(self, path, **arguments):
        if path == "query":
            arguments["time"] = times(self.end_ms)["T"]
        request = Request("GET", "/api/v1/" + path, arguments.items())
        return json.loads(ask_all(self.servers, request, EVERYTHING)[-1].body)


class Grammar(compare_results.Grammar):
    def __init__(self, names, rng):
        super().__init__(names, rng)
        self.labels = list(VALUES)

    def matchers(self):
        if self.rng.random() < 0.4:
            return ""
        chosen = self.rng.sample([name for name in VALUES if name != "__name__"], self.rng.randrange(1, 4))
        return "{" + ",".join(self.matcher(name) for name in chosen) + "}"

    def matcher(self, name):
        return f'{json.dumps(name)}{self.pick("=", "!=", "=~", "!~")}{json.dumps(self.rng.choice(VALUES[name]))}'

    def selectors(self):
        """A selector that may select several metrics."""
        if self.rng.random() < 0.6:
            return compare_results.quoted(self.metric()) + self.matchers()
        chosen = self.rng.sample(list(VALUES), self.rng.randrange(0, 3))
        return "{" + ",".join([self.matcher(name) for name in chosen] + ['__name__!=""']) + "}"

    def query(self):
        if self.rng.random() < 0.45:
            query = self.rng.choice(TRICKS) % self.selectors()
            return query if self.rng.random() < 0.7 else self.rng.choice(TRICKS[:20]) % f"({query})"
        return super().query()


def generated(grammar, rng, end_ms):
    """A request. Its times end a minute after end_ms at the latest."""
    now = times(end_ms)
    until = lambda ms: min(ms, end_ms + MINUTE_MS)  # noqa: E731
    at = lambda: f"{end_ms / 1000 - rng.randrange(-60, 4600):.3f}"  # noqa: E731
    kind = rng.random()
    extras = [extra for extra in (("stats", "all"), ("limit", rng.choice("1259")), ("replicaLabels[]", "replica"), ("dedup", "false"),
                                  ("nocache", "true"), ("partial_response", "true"), ("lookback_delta", rng.choice(("1s", "20m"))))
              if rng.random() < 0.08] + ([("lookback_delta", "5m")] if rng.random() < 0.5 else [])
    if kind < 0.35:
        return Request("GET", "/api/v1/query", [("query", grammar.query()), ("time", at())] + extras)
    if kind < 0.65:
        start = end_ms / 1000 - rng.randrange(0, 4500)
        step = rng.choice((5, 15, 60, 17.3, 600))
        over = [("start", f"{start:.3f}"), ("end", f"{until((start + step * rng.randrange(40)) * 1000) / 1000:.3f}"), ("step", str(step))]
        return Request(rng.choice(("GET", "POST")), "/api/v1/query_range", [("query", grammar.query())] + over + extras, FORM)
    if kind < 0.75:
        analyze = [("analyze", "true")] if rng.random() < 0.5 else []
        over = [("time", at())] if rng.random() < 0.5 else [("start", now["B"]), ("end", now["T"]), ("step", "60")]
        return Request("GET", "/api/v1/explain", [("query", grammar.query())] + over + analyze)
    if kind < 0.8:
        matchers = [(rng.randrange(4), name, rng.choice(VALUES[name])) for name in rng.sample(list(VALUES), rng.randrange(1, 3))]
        first = end_ms - rng.randrange(5000000)
        body = read_message(matchers, first, until(first + rng.choice((0, MINUTE_MS, 5000000))), rng.random() < 0.5)
        return Request("POST", "/api/v1/read", (), PROTOBUF, body)
    match = [("match[]", grammar.selectors()) for _ in range(rng.randrange(1, 3))]
    start = end_ms / 1000 - rng.randrange(-60, 5000)
    limits = [("limit", str(rng.choice((1, 2, 3, 5, 8, 40, 41, 80))))] if rng.random() < 0.5 else []
    bounds = [("start", f"{start:.3f}"), ("end", f"{start + rng.choice((0, 30, 900, 9000)):.3f}")] if rng.random() < 0.5 else []
    path = rng.choice(("labels", "series", "series", f"label/{rng.choice(list(VALUES))}/values", "search/metric_names", "query_exemplars"))
    if path == "query_exemplars":
        return Request("GET", "/api/v1/query_exemplars", [("query", grammar.query())] + bounds)
    if rng.random() < 0.1:
        return Request("GET", "/federate", match)
    return Request("GET", "/api/v1/" + urllib.parse.quote(path), match + bounds + limits)


def compare_queries(alone, both, end_ms, seed, count):
    comparison, rng = Comparison(alone, both), random.Random(seed)
    compare_results.FIRST, compare_results.LAST = end_ms - 4500000, end_ms
    grammar = Grammar(Names(comparison.servers, end_ms), rng)
    for _ in range(count):
        request = generated(grammar, rng, end_ms)
        name = rng.choice(READERS)
        comparison.same(request, VIEWERS[name], name)
        if rng.random() < 0.3:
            comparison.same(request, VIEWERS[name], name)
    bad = comparison.end(f"queries of seed {seed}")
    return bad + (comparison.answered < comparison.asked // 2)


# --- queries of others ---------------------------------------------------------------------------


def is_true(what, holds):
    print(("" if holds else "wrong: ") + what)
    return not holds


def check_own(url, end_ms):
    """A query of one user runs while another one asks for it, and tries to cancel it."""
    import threading
    import time

    server, viewer, path = Server(url), VIEWERS["fenced"], "/api/v1/status/active_queries"
    slow = Request("GET", "/api/v1/query", [("query", 'max_over_time(sum(sqrt({__name__=~".+"}))[70m:1ms])'), ("time", times(end_ms)["T"])])
    answers = []
    thread = threading.Thread(target=lambda: answers.append(Server(url).ask(slow, EVERYTHING)))
    thread.start()

    def active(who):
        return json.loads(server.ask(Request("GET", path), who).body)["data"]

    for _ in range(600):
        running = active(EVERYTHING)
        if running or answers:
            break
        time.sleep(0.05)
    wrong = is_true("an operator sees the query", len(running) == 1 and "70m" in running[0]["query"])
    identity = running[0]["id"] if running else 0
    wrong += is_true("another user does not", active(viewer) == [])
    wrong += is_true("and cannot cancel it", server.ask(Request("DELETE", f"{path}/{identity}"), viewer).status == 404)
    wrong += is_true("it runs", len(active(EVERYTHING)) == 1)
    wrong += is_true("the operator cancels it", server.ask(Request("DELETE", f"{path}/{identity}"), EVERYTHING).status == 204)
    thread.join()
    past = Request("GET", "/api/v1/status/top_queries", [("limit", "1000")])
    wrong += is_true("it was canceled", b"query canceled" in answers[0].body)
    wrong += is_true("an operator sees that it ran", b"70m:1ms" in server.ask(past, EVERYTHING).body)
    wrong += is_true("another user does not see that", b"70m:1ms" not in server.ask(past, viewer).body)
    return wrong


def print_costs(alone, both, end_ms):
    """Prints what the query costs that reads everything that the first viewer may see."""
    request = Request("GET", "/api/v1/explain", [("query", 'count(last_over_time({__name__=~".+"}[2h]))'), ("analyze", "true"),
                                                 ("time", times(end_ms)["T"])])
    answers = [json.loads(Server(url).ask(request, VIEWERS["fenced"]).body) for url in (alone, both)]
    run = answers[0]["data"]["stats"]
    print(run["series"], run["samples"], run["bytes"])


def main():
    command, args = sys.argv[1], sys.argv[2:]
    if command == "samples":
        write_samples(args[0], int(args[1]), int(args[2]))
    elif command == "users":
        print_users()
    elif command == "routes":
        return compare_routes(args[0], args[1], int(args[2]), args[3:]) > 0
    elif command == "power":
        return check_power(args[0], args[1], int(args[2])) > 0
    elif command == "limits":
        return compare_limits(args[0], args[1], int(args[2])) > 0
    elif command == "queries":
        return compare_queries(args[0], args[1], int(args[2]), int(args[3]), int(args[4])) > 0
    elif command == "own":
        return sum(check_own(url, int(args[2])) for url in args[:2]) > 0
    elif command == "costs":
        print_costs(args[0], args[1], int(args[2]))
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
