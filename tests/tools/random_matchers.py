#!/usr/bin/env python3
"""random_matchers.py - random series with labels that are hard to write, and random queries about them.

  series SEED COUNT              NDJSON for `firekeep import`
  finite SEED COUNT              the same, without values that are not finite and series that have only a name
  compare SEED CASES A B         sends both servers the same, and prints differences
  hostile A B                    the same, with texts that could end a literal or a statement, each as a
                                 value, a regex, and the name of a metric and of a label

Queries are selectors of up to four matchers of all types, with bounds, by /api/v1/series, as
samples by /api/v1/query, as values over time by /api/v1/query_range, and by remote read, of which
each bit and the order are compared. Exit status 1: an answer differs; the seed makes it again.
"""
import http.client
import json
import random
import sys
import urllib.parse
import urllib.request

import remote_read

NAMES = ["up", "node_load1", "a:b", "_hidden", "#hash", "my.metric", "m\u00e9t", "x=y", "with space", "~%25",
         "quote\"d", "back\\slash", "it's"]
LABELS = ["job", "instance", "code", "_under", "time", "value", "bits", "my label", "a,b", "\u00e9", "~%x", "A",
          "q\"q", "s's"]
VALUES = ["x", "y", "xy", "a b", "a,b", "a=b", "it's", "\"", "\\", "C:\\", "a\\,b", "two\nlines", "tab\t", "$", "${x}",
          "~%", "~%25", "~%two%0Alines", "/", "'; DROP SERIES --", "' OR 'a'='a", "\u00e9\u6f22\U0001f30d", ".*", "(", "[a]",
          "^x$", "null", "0", " ", "%0A", "a|b", "\u0001", "~%zz"]
REGEXES = [".*", ".+", "x|y", "x", "", "x.*", ".*y", "[xy]+", "(x|y|)", "a.b", ".*\\\\.*", ".*/.*", ".*\n.*", "\\$.*",
           "(?i)X", "[^x]*", "~%.*", ".*'.*", ".", "\\d", "(a|c):?.*", "\\p{L}+", ".*\".*", "x{1,2}", "a b|a,b", "[[:word:]]+",
           "\\Qa.b\\E.*", ".*\\Q/", "\\S+", "\\W.*", "[^\\S]*", "\\D+", ".*\\bx"]
HOSTILE = ["'", "''", "\\", "\\'", "' OR 1 = 1 --", "' OR '1' = '1", "'; DROP TABLE metrics.random; --", "') OR ('' = '", "\"; DROP TABLE metrics.random; --",
           "\" IS NULL OR \"x", "' UNION ALL SELECT measure_name FROM metrics.random --", "'/*", "*/", "\\x27 OR 1 = 1", "?1", ":x", "%", "_", "%27",
           "${x}", "`", "measure_value::double", "x\"", "\n--", "\r\n", "\",\"job\":\"x", "H__x__0123456789abcdef", "U__x",
           "N__0123456789abcdef", "') OR 1 = 1 --", "'; DROP TABLE random; --", "' UNION ALL SELECT 0, name, '{}' FROM system.tables --",
           "')) UNION ALL SELECT 1, '', '', 0, 0, 0) --", "`; DROP TABLE random", "{x:String}", "x\0"]
FIRST_MS = 1700000000000


def series(seed, count, finite=False):
    rng = random.Random(seed)
    seen = set()
    while len(seen) < count:
        labels = {"__name__": rng.choice(NAMES)}
        for name in rng.sample(LABELS, rng.randrange(5)):
            labels[name] = rng.choice(VALUES)
        text = json.dumps(labels, sort_keys=True)
        if text in seen:
            continue
        seen.add(text)
        at = FIRST_MS + rng.randrange(1000)
        for _ in range(rng.randrange(1, 8)):
            at += rng.choice([1, 999, 15000, 60001])
            line = {"name": labels["__name__"], "time": at, "labels": labels}
            if rng.random() < 0.2:
                line.update(value=None, bits=rng.choice(["7ff0000000000002", "7ff8000000000001", "fff0000000000000"]))
            else:
                line["value"] = rng.choice([0, -0.0, 1, 0.1, 1e-7, 1e300, 5e-324, rng.random()])
            if not finite or (line["value"] is not None and len(labels) > 1):
                print(json.dumps(line))


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def selector(rng):
    matchers = []
    for _ in range(rng.randrange(1, 5)):
        name = "__name__" if rng.random() < 0.3 else rng.choice(LABELS)
        kind = rng.choice(["=", "!=", "=~", "!~"])
        if "~" in kind:
            value = rng.choice(REGEXES)
        else:
            value = rng.choice((NAMES if name == "__name__" else VALUES) + [""])
        matchers.append((kind, name, value))
    return matchers + [("!=", "__name__", "")]


def as_text(matchers):
    return "{" + ",".join(quoted(name) + kind + quoted(value) for kind, name, value in matchers) + "}"


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


CONNECTIONS = {}


def body_of(url, path, params):
    """By one connection to each server: most of the time of a new one would be that of this program."""
    place = urllib.parse.urlsplit(url).netloc
    connection = CONNECTIONS.setdefault(place, http.client.HTTPConnection(place, timeout=60))
    connection.request("POST", path, urllib.parse.urlencode(params), {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status >= 400 and body.get("errorType") != "bad_data":
        raise SystemExit(f"{url}{path} {params}: {body}")
    return body


def ask(url, path, params):
    body = body_of(url, path, params)
    if body["status"] == "error":
        return "refused"
    data = body["data"]
    items = data["result"] if isinstance(data, dict) else data
    return sorted(json.dumps(item, sort_keys=True) for item in items)


def hostile(a, b):
    wrong = []
    for text in HOSTILE:
        for matchers in (
                [("=", "job", text)], [("!=", "job", text), ("=", "__name__", "up")], [("=", "__name__", text)],
                [("=~", "__name__", f"\\Q{text}\\E.*")], [("=~", "job", f"\\Q{text}\\E|x")],
                [("=~", "job", f"({text}).*"), ("=", "__name__", "up")], [("=", text, "x")],
                [("!=", text, "x"), ("=", "__name__", "up")], [("=~", text, "x|"), ("=", "__name__", "up")]):
            params = {"query": f"last_over_time({as_text(matchers)}[1d])", "time": 1700000100}
            ours, theirs = body_of(a, "/api/v1/query", params), body_of(b, "/api/v1/query", params)
            if ours != theirs:
                wrong.append(f"{params['query']}\n  A: {ours}\n  B: {theirs}"[:2000])
    print("\n".join(wrong[:5]), f"{len(wrong)} answers differ")
    return 1 if wrong else 0


def read(url, matchers, first, last):
    try:
        return remote_read.ask(url + "/api/v1/read", matchers, first, last, OPENER.open)
    except urllib.error.HTTPError as e:
        raise SystemExit(f"{url}: remote read of {as_text(matchers)}: {e.read().decode()}") from None


def compare(seed, cases, a, b):
    rng = random.Random(seed)
    different = something = case = 0
    # More than were asked for, where too few of them find anything.
    while case < cases or something < cases // 2 and case < 20 * cases:
        matchers = selector(rng)
        text = as_text(matchers)
        first = FIRST_MS + rng.randrange(-5000, 100000)
        last = first + rng.choice([0, 1, 1000, 30000, 1000000])
        bounds = {"start": f"{first / 1000:.3f}", "end": f"{last / 1000:.3f}"}
        for path, params in (
                ("/api/v1/series", {"match[]": text, **bounds}),
                ("/api/v1/query", {"query": f"{text}[{max(last - first, 1)}ms]", "time": f"{last / 1000:.3f}"}),
                ("/api/v1/query_range", {"query": text, **bounds, "step": "7.001"}),
                ("/api/v1/read", {})):
            if params:
                ours, theirs = ask(a, path, params), ask(b, path, params)
            else:
                ours, theirs = read(a, matchers, first, last), read(b, matchers, first, last)
            something += len(ours) > 0
            # The series may be those with a sample in the range: the store may return more. OpenTSDB refuses a
            # range whose begin is its end, so its range ends a millisecond later.
            if path.endswith("series") and not set(theirs) <= set(ours):
                ours = ask(a, path, {**params, "end": f"{(last + 1) / 1000:.3f}"})
            if ours == theirs or (path.endswith("series") and set(theirs) <= set(ours)):
                continue
            different += 1
            print(f"seed {seed}, case {case}: {path} {text} {bounds}\n  A: {ours}\n  B: {theirs}"[:2000])
        case += 1
    print(f"seed {seed}: {case} cases, {something} answers with something, {different} differ")
    return 1 if different or something < cases // 2 else 0


if sys.argv[1] in ("series", "finite"):
    series(int(sys.argv[2]), int(sys.argv[3]), sys.argv[1] == "finite")
elif sys.argv[1] == "hostile":
    sys.exit(hostile(sys.argv[2], sys.argv[3]))
else:
    sys.exit(compare(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
