#!/usr/bin/env python3
"""compare_otlp.py - sends the same OTLP metrics to two servers and prints differences between their series.

usage: compare_otlp.py URL PEER_URL REQUESTS SEED

The requests are JSON of random metrics of all types: names, units, attributes and values of the kinds
that matter for what Prometheus makes of them. What the peer refuses whole is not sent: deltas, points
without time. Exit status: 0 all the same, 1 differences, 2 an error.
"""

import json
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

NAMES = ["http.server.duration", "process_cpu_time", "a.total", "total.b", "queue-size", "ratio.x", "x_ratio", "2xx",
         "memory.usage_bytes", "a__b", "_under", "system.io:rate", "température", "seconds", "latency.seconds.total"]
UNITS = ["", "1", "s", "ms", "By", "KiBy", "By/s", "{req}", "{req}/s", "1/s", "m/s", "%", "Cel", "km", "foo bar", " s ", "s/m",
         "requests", "MBy", "GiBy", "d/w", "/s", "s/"]
KEYS = ["http.method", "http_method", "k8s.pod.name", "_lone", "3com", "key", "ünicode", "a..b", "job", "instance",
        "host", "le_x", "x-y", "x.y", "x_y"]
RESOURCE_KEYS = ["service.name", "service.namespace", "service.instance.id", "host.name", "cloud.region", "k8s.pod.name",
                 "os-type", "3rd"]
EDGES = [0.005, 0.25, 1, 2.5, 10, 1000, 1e7, 1e21]


def any_value(r, depth=0):
    kind = r.randrange(9 if depth < 2 else 5)
    if kind < 3:
        return {"stringValue": r.choice(["GET", "a b", "", "ü", '<q"\\>', "x" * 40, "1"])}
    if kind == 3:
        return {"boolValue": r.random() < 0.5}
    if kind == 4:
        return {"intValue": str(r.choice([0, -1, 7, 2**53 + 1, -2**63]))}
    if kind == 5:
        return {"doubleValue": r.choice([0.5, 1e-7, 1e21, 3, -2.25, 1e100])}
    if kind == 6:
        return {"arrayValue": {"values": [any_value(r, depth + 1) for _ in range(r.randrange(3))]}}
    if kind == 7:
        keys = r.sample(["k", "b", "z<"], r.randrange(3))
        return {"kvlistValue": {"values": [{"key": k, "value": any_value(r, depth + 1)} for k in keys]}}
    return {"bytesValue": r.choice(["", "AQI=", "/w=="])}


def attributes(r, keys, most):
    return [{"key": k, "value": any_value(r)} for k in r.sample(keys, r.randrange(most))]


def number(r):
    return r.choice([{"asInt": str(r.randrange(-5, 1000))}, {"asDouble": r.choice([0.1, -1.5, 1e300, 12345.678])}])


def point(r, t_ns, n):
    p = {"timeUnixNano": str(t_ns), "attributes": attributes(r, KEYS, 5) + [{"key": "n", "value": {"intValue": str(n)}}]}
    if r.random() < 0.7:
        p["startTimeUnixNano"] = str(t_ns - 60 * 10**9)
    if r.random() < 0.05:
        p["flags"] = 1
    return p


def gauge(r, p):
    return {**p, **number(r)}


def classic(r, p):
    bounds = sorted(r.sample(EDGES, r.randrange(5)))
    counts = [r.randrange(4) for _ in range(len(bounds) + 1)]
    p = {**p, "count": str(sum(counts)), "bucketCounts": [str(c) for c in counts], "explicitBounds": bounds}
    if r.random() < 0.8:
        p["sum"] = float(r.randrange(100))
    return p


def buckets(r):
    return {"offset": r.randrange(-20, 20), "bucketCounts": [str(r.choice([0, 0, 1, 3])) for _ in range(r.randrange(12))]}


def exponential(r, p):
    positive, negative, zeros = buckets(r), buckets(r), r.randrange(3)
    counts = sum(int(c) for b in (positive, negative) for c in b["bucketCounts"]) + zeros
    return {**p, "count": str(counts), "sum": float(r.randrange(100)), "scale": r.randrange(-4, 12),
            "zeroCount": str(zeros), "positive": positive, "negative": negative}


def summary(r, p):
    quantiles = [{"quantile": q, "value": float(r.randrange(9))} for q in r.sample([0, 0.5, 0.99, 1], r.randrange(4))]
    return {**p, "count": str(r.randrange(9)), "sum": float(r.randrange(9)), "quantileValues": quantiles}


def metric(r, t_ns, numbers):
    m = {"name": r.choice(NAMES), "unit": r.choice(UNITS), "description": "of a test"}
    points = [point(r, t_ns, next(numbers)) for _ in range(r.randrange(1, 4))]
    kind = r.randrange(6)
    if kind == 0:
        m["gauge"] = {"dataPoints": [gauge(r, p) for p in points]}
    elif kind < 3:
        m["sum"] = {"aggregationTemporality": 2, "isMonotonic": kind == 1, "dataPoints": [gauge(r, p) for p in points]}
    elif kind == 3:
        m["histogram"] = {"aggregationTemporality": 2, "dataPoints": [classic(r, p) for p in points]}
    elif kind == 4:
        m["exponentialHistogram"] = {"aggregationTemporality": 2, "dataPoints": [exponential(r, p) for p in points]}
    else:
        m["summary"] = {"dataPoints": [summary(r, p) for p in points]}
    return m


def message(r, t_ns):
    numbers = iter(range(1000))
    resources = []
    for _ in range(r.randrange(1, 3)):
        scopes = []
        for _ in range(r.randrange(1, 3)):
            scope = {"name": r.choice(["", "lib"]), "version": r.choice(["", "1.2"]), "attributes": attributes(r, KEYS, 3)}
            scopes.append({"scope": scope, "schemaUrl": r.choice(["", "https://example/1"]),
                           "metrics": [metric(r, t_ns, numbers) for _ in range(r.randrange(1, 4))]})
        resources.append({"resource": {"attributes": attributes(r, RESOURCE_KEYS, 6)}, "scopeMetrics": scopes})
    return {"resourceMetrics": resources}


def post(url, body):
    request = urllib.request.Request(url + "/api/v1/otlp/v1/metrics", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def series(url, t_s):
    found = {}
    query = urllib.parse.urlencode({"query": '{__name__=~".+"}[6h]', "time": t_s})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}") as answer:
        for s in json.load(answer)["data"]["result"]:
            found[json.dumps(s["metric"], sort_keys=True)] = (s.get("values"), s.get("histograms"))
    return found


def main():
    url, peer, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    r = random.Random(seed)
    now_s = int(time.time())
    sent = 0
    for i in range(count):
        body = message(r, (now_s - 3 * 3600 + i) * 10**9 + 123456789)
        status, said = post(peer, body)
        if status != 200:
            continue
        sent += 1
        status, said = post(url, body)
        if status != 200 or said != "{}":
            print(f"request {i} is answered with {status}: {said[:500]}\n{json.dumps(body)[:2000]}")
            return 1
    ours, theirs = series(url, now_s + 60), series(peer, now_s + 60)
    different = 0
    for labels in sorted(set(ours) | set(theirs)):
        a, b = ours.get(labels), theirs.get(labels)
        if a == b:
            continue
        different += 1
        if different <= 10:
            print(f"{labels}\n  {str(a)[:600]}\n  {str(b)[:600]}")
    print(f"{sent} of {count} requests, {len(theirs)} series, {different} differ")
    return 1 if different or sent < count / 2 else 0


sys.exit(main())
