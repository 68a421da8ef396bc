#!/usr/bin/python3
"""compare_results.py - compares the answers of two servers with the same samples to PromQL.

    compare_results.py OURS THEIRS COUNT [SEED]      OURS, THEIRS: http://HOST:PORT

Makes COUNT expressions from a grammar over the samples in the head of THEIRS, a Prometheus 3.5, and
sends each to both, at one time or over a range. Values may differ by 1e-12 of the greater one, or
by 1e-9 if sums may be made in another order. Warnings, infos and errors are compared, too, except
those in DIFFERENCES. A difference is reduced to the smallest part that shows it. The last line has
their number; status 1 if there are any.
"""

import http.client
import json
import math
import os
import random
import re
import sys
import urllib.parse

# Texts of 3.5 that were changed or added since: a pattern of theirs, of ours, and the change.
DIFFERENCES = [
    (r"multiple matches for labels.*theirs success", "comparisons that drop all matches count among the matches"),
    (r"mad_over_time\(.*NaN", "with a NaN among the samples it is NaN since"),
    (r"histogram_fraction.*NaN", "an observation below the first bound of a histogram that begins at -Inf"),
    (r"changes\(.*_seconds(\[|\{).* value:", "of histograms: empty buckets that a chunk's layout adds are changes to it"),
    (r"^(rate|increase)\(\(?[^()]*\)?[^()]*\) value: .*\"count\"", "rates of histograms are not stretched below zero either"),
    (r"histogram_count\(\(?(rate|increase)\(\(?[^()]*\)+\[", "the same in a subquery"),
    (r"(last|first)_over_time\(\(.*:[^]]*\].*(value|series|status|error):.*(__name__|same labelset)", "names that delayed removal takes away stayed there"),
    (r"(found duplicate series for the match group).*theirs execution: \1", "of several such groups one is told, there by chance"),
    (r"(rate|delta|deriv)\(.* atan2 .* / .*e-\d", "the last digit of atan2 where nothing but that is left"),
]
REWORDED = [
    # Names are removed already, so these are one, at the position of the last.
    (r'(bucket label .*? has a malformed value of "[^"]*")( for metric name "[^"]*")? \(.*\)', r"\1"),
    (r"hand-side of the operation: \[.*\];many", "hand-side of the operation: [];many"),  # the two are sorted
    # the first of a range, not the greatest
    (r"(between 0 and 1, got) \d\.\d+e\+09", r"\1 a time"),
    (r'set to "counter"( or "histogram")?, got', 'set to "counter", got'),
]
ADDED = "sort is ineffective for range queries"
GONE = 'set to "counter", got "histogram"'  # it is also a type of counters, since


class Server:
    def __init__(self, url):
        self.netloc = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.netloc)

    def ask(self, path, **arguments):
        body = urllib.parse.urlencode(arguments)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST" if arguments else "GET", "/api/v1/" + path, body or None, headers)
        return json.loads(self.connection.getresponse().read())


# --- expressions -----------------------------------------------------------------------------------------


class Grammar:
    def __init__(self, server, rng):
        self.rng = rng
        self.earlier = []
        names = server.ask("label/__name__/values")["data"]
        self.plain = [n for n in names if not n.endswith(("_bucket", "_total", "_sum", "_count"))]
        self.counters = [n for n in names if n.endswith(("_total", "_count", "_sum"))]
        self.classic = [n for n in names if n.endswith("_bucket")]
        self.labels = ["job", "instance", "le", "mode", "handler", "code", "device", "cpu", "quantile", "nosuch",
                       "__type__", "__unit__"]
        self.native = []
        for name in names:
            answer = server.ask("query", query="count(last_over_time(%s[1h] @ end()))" % quoted(name))
            kind = server.ask("query", query="count(histogram_count(last_over_time(%s[30m] @ %s)))" % (
                quoted(name), LAST / 1000))
            if kind["data"]["result"]:
                self.native.append(name)
            del answer

    def pick(self, *of):
        return self.rng.choice(of)

    def metric(self):
        kind = self.rng.random()
        pool = self.counters if kind < 0.35 else self.plain if kind < 0.65 else self.classic if kind < 0.8 else self.native
        return self.rng.choice(pool or self.plain)

    def matchers(self):
        if self.rng.random() < 0.5:
            return ""
        label = self.rng.choice(self.labels[:6] + ["__type__"])
        return "{%s%s%s}" % (label, self.pick("=", "!=", "=~", "!~"),
                             json.dumps(self.pick("", ".*", ".+", "prometheus", "node", "demo.*", "a|b|2..", "nhcb", "churn", "counter")))

    def duration(self):
        return self.pick("10s", "30s", "1m", "2m", "5m", "17s", "90s")

    def shift(self):
        if self.rng.random() < 0.8:
            return ""
        return self.pick(" offset 1m", " offset -30s", " @ %.3f" % (self.time() / 1000), " @ start()", " @ end()",
                         " @ end() offset 45s")

    def time(self):
        return self.rng.randrange(FIRST, LAST)

    def selector(self):
        return quoted(self.metric()) + self.matchers() + self.shift()

    def range_of(self, depth):
        if depth > 0 and self.rng.random() < 0.25:
            return "(%s)[%s:%s]%s" % (self.vector(depth - 1), self.duration(), self.pick("", "5s", "13s", "1m"), self.shift())
        return "%s%s[%s]%s" % (quoted(self.metric()), self.matchers(), self.duration(), self.shift())

    def scalar(self, depth):
        if depth > 0 and self.rng.random() < 0.2:
            return "scalar(%s)" % self.vector(depth - 1)
        return self.pick("0", "1", "2", "-1", "0.5", "1e3", "NaN", "Inf", "time()", "0.9", "100", "pi()")

    def vector(self, depth):
        """A vector, sometimes one that the query has already."""
        if self.earlier and self.rng.random() < 0.12:
            return self.rng.choice(self.earlier)
        vector = self.new_vector(depth)
        self.earlier.append(vector)
        return vector

    def query(self):
        self.earlier = []
        return self.vector(self.rng.randrange(0, 4))

    def new_vector(self, depth):
        if depth <= 0 or self.rng.random() < 0.1:
            return self.selector()
        return self.pick(self.over_time, self.over_time, self.over_time, self.aggregated, self.aggregated, self.mapped,
                         self.binary, self.binary, self.of_histograms, self.relabelled, self.rest)(depth)

    def over_time(self, depth):
        function = self.pick("rate", "rate", "increase", "delta", "irate", "idelta", "changes", "resets", "deriv",
                             "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "count_over_time",
                             "last_over_time", "first_over_time", "stddev_over_time", "stdvar_over_time",
                             "present_over_time", "absent_over_time", "mad_over_time", "ts_of_last_over_time",
                             "ts_of_max_over_time", "ts_of_min_over_time", "quantile_over_time", "predict_linear",
                             "double_exponential_smoothing")
        if function in ("first_over_time", "ts_of_first_over_time"):
            function = "last_over_time"
        if function == "quantile_over_time":
            return "quantile_over_time(%s, %s)" % (self.scalar(0), self.range_of(depth))
        if function == "predict_linear":
            return "predict_linear(%s, %s)" % (self.range_of(depth), self.scalar(0))
        if function == "double_exponential_smoothing":
            return "double_exponential_smoothing(%s, %s, %s)" % (self.range_of(depth), self.pick("0.5", "0.1"), self.pick("0.5", "0.9"))
        return "%s(%s)" % (function, self.range_of(depth))

    def grouping(self):
        if self.rng.random() < 0.3:
            return ""
        names = self.rng.sample(self.labels + ["__name__"], self.rng.randrange(0, 3))
        return " %s (%s)" % (self.pick("by", "by", "without"), ", ".join(names))

    def aggregated(self, depth):
        inner = self.vector(depth - 1)
        op = self.pick("sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk",
                       "bottomk", "count_values", "limit_ratio", "limitk")
        if op == "quantile":
            inner = "%s, %s" % (self.scalar(0), inner)
        elif op in ("topk", "bottomk", "limitk"):
            if op == "limitk":  # it takes the first in any order
                inner = self.selector()
            inner = "%s, %s" % (self.pick("1", "3", "10"), inner)
        elif op == "limit_ratio":
            inner = "%s, %s" % (self.pick("0.5", "-0.5", "0.1", "1"), inner)
        elif op == "count_values":
            inner = '"v", %s' % self.pick(self.selector(), "round(%s, 0.001)" % inner)  # its text has all digits
        return "%s%s(%s)" % (op, self.grouping(), inner)

    def mapped(self, depth):
        inner = self.vector(depth - 1)
        function = self.pick("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "clamp",
                             "clamp_min", "clamp_max", "timestamp", "sort", "sort_desc", "hour", "minute", "day_of_week",
                             "month", "year", "days_in_month", "day_of_year", "absent", "sin", "atan", "tanh", "deg", "-",
                             "sort_by_label")
        if function == "-":
            return "-(%s)" % inner
        if function == "clamp":
            return "clamp(%s, %s, %s)" % (inner, self.scalar(0), self.scalar(0))
        if function in ("clamp_min", "clamp_max"):
            return "%s(%s, %s)" % (function, inner, self.scalar(depth - 1))
        if function == "sort_by_label":
            return 'sort_by_label(%s, "instance", "job")' % inner
        return "%s(%s)" % (function, inner)

    def binary(self, depth):
        op = self.pick("+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=")
        matching = ""
        if op in ("==", "!=", ">", "<", ">=", "<=") and self.rng.random() < 0.4:
            matching = " bool"
        kind = self.rng.random()
        if kind < 0.3:
            return "(%s) %s%s %s" % (self.vector(depth - 1), op, matching, self.scalar(depth - 1))
        if kind < 0.4:
            return "%s %s%s (%s)" % (self.scalar(depth - 1), op, matching, self.vector(depth - 1))
        left = self.vector(depth - 1)
        right = left if kind < 0.6 else self.vector(depth - 1)
        if self.rng.random() < 0.25:
            op, matching = self.pick("and", "or", "unless"), ""
        if self.rng.random() < 0.5:
            names = self.rng.sample(self.labels, self.rng.randrange(0, 3))
            matching += " %s(%s)" % (self.pick("on", "ignoring"), ", ".join(names))
            if op not in ("and", "or", "unless") and self.rng.random() < 0.5:
                extra = self.pick("", "job", "mode")
                if "on(" not in matching or extra not in names:
                    matching += " %s(%s)" % (self.pick("group_left", "group_right"), extra)
        return "(%s) %s%s (%s)" % (left, op, matching, right)

    def of_histograms(self, depth):
        source = self.pick("rate(%s[%s])" % (quoted(self.rng.choice(self.native or self.plain)), self.duration()),
                           "sum by (le, job) (rate(%s[%s]))" % (quoted(self.rng.choice(self.classic)), self.duration()),
                           quoted(self.rng.choice(self.native or self.plain)), quoted(self.rng.choice(self.classic)),
                           self.vector(depth - 1))
        function = self.pick("histogram_quantile", "histogram_quantile", "histogram_fraction", "histogram_count",
                             "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar")
        if function == "histogram_quantile":
            return "histogram_quantile(%s, %s)" % (self.pick("0.5", "0.9", "0.99", "0", "1", "1.5", "NaN"), source)
        if function == "histogram_fraction":
            return "histogram_fraction(%s, %s, %s)" % (self.pick("0", "-Inf", "0.01"), self.pick("1", "0.1", "Inf"), source)
        return "%s(%s)" % (function, source)

    def relabelled(self, depth):
        inner = self.vector(depth - 1)
        if self.rng.random() < 0.5:
            return 'label_replace(%s, "%s", "%s", "%s", "%s")' % (
                inner, self.pick("x", "instance", "__name__", "__type__"), self.pick("$1", "a$1b", "", "counter"),
                self.pick("job", "instance", "nosuch", "__name__"), self.pick("(.*)", "(.).*", "node.*", ""))
        return 'label_join(%s, "%s", "-", "job", "instance")' % (inner, self.pick("x", "job"))

    def rest(self, depth):
        return self.pick("vector(%s)" % self.scalar(depth - 1), "vector(time())", "absent(%s)" % self.selector(),
                         "%s" % self.scalar(depth), "time() - %s" % self.selector(), "(%s)" % self.vector(depth - 1))


def quoted(name):
    return name if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) else "{%s}" % json.dumps(name)


# --- comparing -------------------------------------------------------------------------------------------


def number(text):
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}.get(text) if text in ("NaN", "+Inf", "-Inf") else float(text)


def near(a, b, tolerance):
    x, y = number(a), number(b)
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    if x == y:
        return True
    if math.isinf(x) or math.isinf(y):
        return False
    return abs(x - y) <= tolerance * max(abs(x), abs(y))


def counted(histogram):
    """Its buckets; those of NaN were empty, and their number depends on the chunk that has them."""
    return [b for b in histogram.get("buckets", []) if b[3] != "NaN"]


def same_histogram(a, b, tolerance):
    if not near(a["count"], b["count"], tolerance) or not near(a["sum"], b["sum"], tolerance):
        return False
    x, y = counted(a), counted(b)
    return len(x) == len(y) and all(
        p[0] == q[0] and near(p[1], q[1], 1e-12) and near(p[2], q[2], 1e-12) and near(p[3], q[3], tolerance)
        for p, q in zip(x, y))


def same_point(a, b, tolerance):
    if a[0] != b[0] or isinstance(a[1], dict) != isinstance(b[1], dict):
        return False
    if isinstance(a[1], dict):
        return same_histogram(a[1], b[1], tolerance)
    return near(a[1], b[1], tolerance)


def same_series(a, b, tolerance):
    if a["metric"] != b["metric"]:
        return False
    for key in ("value", "histogram"):
        if (key in a) != (key in b) or (key in a and not same_point(a[key], b[key], tolerance)):
            return False
    for key in ("values", "histograms"):
        x, y = a.get(key, []), b.get(key, [])
        if len(x) != len(y) or not all(same_point(p, q, tolerance) for p, q in zip(x, y)):
            return False
    return True


def key_of(series):
    return json.dumps(series["metric"], sort_keys=True)


def points_of(result):
    return [p for s in result for p in s.get("values", []) + s.get("histograms", []) + [s[k] for k in ("value", "histogram") if k in s]]


def reworded(text):
    for old, new in REWORDED:
        text = re.sub(old, new, text)
    return text


def by_value(series):
    """The key of a sorted vector: equal values may have any order."""
    return (series["value"][1], key_of(series)) if "value" in series else ("", key_of(series))


def difference(ours, theirs, query):
    """The difference, in a few words; None: the results are equal."""
    if ours["status"] != theirs["status"]:
        return "status: %s, theirs %s" % (ours.get("error", "success"), theirs.get("error", "success"))
    if ours["status"] != "success":
        if ours["errorType"] != theirs["errorType"] or reworded(ours["error"]) != reworded(theirs["error"]):
            return "error: %s: %s, theirs %s: %s" % (ours["errorType"], ours["error"], theirs["errorType"], theirs["error"])
        return None
    a, b = ours["data"], theirs["data"]
    if a["resultType"] != b["resultType"]:
        return "type: %s, theirs %s" % (a["resultType"], b["resultType"])
    tolerance = 1e-9 if re.search(r"sum|avg|std|deriv|predict|smoothing|quantile|rate|increase|delta|fraction", query) else 1e-12
    x, y = a["result"], b["result"]
    if a["resultType"] == "scalar":
        return None if same_point(x, y, tolerance) else "scalar: %s, theirs %s" % (x, y)
    if a["resultType"] == "string":
        return None if x == y else "string: %s, theirs %s" % (x, y)
    ordered = re.match(r"\(*(sort|sort_desc|sort_by_label|sort_by_label_desc)\(", query)
    if not ordered or a["resultType"] == "matrix":
        y = sorted(y, key=key_of)
        x = sorted(x, key=key_of)
    elif [by_value(s)[0] for s in x] == [by_value(s)[0] for s in y] and "by_label" not in query:
        x, y = sorted(x, key=by_value), sorted(y, key=by_value)
    if re.search(r"(topk|bottomk)", query):  # among equal values they choose any
        x, y = ([{"metric": {}, "values": sorted(points_of(a), key=str)}] for a in (x, y))
    if "limitk" in query:  # takes any
        return None
    if len(x) != len(y):
        extra = set(map(key_of, x)) - set(map(key_of, y)) or set(map(key_of, y)) - set(map(key_of, x))
        return "series: %d, theirs %d: %s" % (len(x), len(y), sorted(extra)[:1])
    for p, q in zip(x, y):
        if not same_series(p, q, tolerance):
            return "value: %s, theirs %s" % (shown(p, q), "")
    for kind in ("warnings", "infos"):
        mine, others = (
            sorted({reworded(note) for note in answer.get(kind, []) if ADDED not in note and GONE not in note})
            for answer in (ours, theirs)
        )
        if mine != others:
            return "%s: %s, theirs %s" % (kind, mine, others)
    return None


def shown(p, q):
    for key in ("values", "histograms"):
        x, y = p.get(key, []), q.get(key, [])
        for a, b in zip(x, y):
            if a != b:
                return "%s %s / %s" % (json.dumps(p["metric"]), json.dumps(a)[:300], json.dumps(b)[:300])
    return "%s / %s" % (json.dumps(p)[:400], json.dumps(q)[:400])


# --- the run ---------------------------------------------------------------------------------------------


class Asked:
    """A query at one time or over a range."""

    def __init__(self, rng):
        self.path = "query"
        if rng.random() < 0.5:
            self.arguments = {"time": "%.3f" % (rng.randrange(FIRST, LAST) / 1000)}
            return
        self.path = "query_range"
        start = rng.randrange(FIRST, LAST)
        step = rng.choice([1000, 5000, 15000, 60000, 17300])
        self.arguments = {"start": "%.3f" % (start / 1000), "end": "%.3f" % ((start + step * rng.randrange(0, 30)) / 1000),
                          "step": "%.3f" % (step / 1000)}

    def compare(self, query):
        ours, theirs = (server.ask(self.path, query=query, **self.arguments) for server in SERVERS)
        return difference(ours, theirs, query)


def parts_of(query):
    """Smaller expressions inside: those in parentheses."""
    stack, parts = [], []
    for i, c in enumerate(query):
        if c == "(":
            stack.append(i)
        elif c == ")" and stack:
            parts.append(query[stack.pop() + 1 : i])
            begin = len(query[: i - len(parts[-1]) - 1].rstrip())
            word = re.search(r"[a-z_0-9]+( (by|without) \([^()]*\))?$", query[:begin])
            if word:
                parts.append(query[word.start() : i + 1])
    return sorted(set(parts) - {query}, key=len)


def shrink(asked, query, what):
    kind = what.split(":")[0]
    for part in parts_of(query):
        found = asked.compare(part)
        if found and found.split(":")[0] == kind and "parse error" not in found:
            return part, found
    return query, what


def main():
    global SERVERS, FIRST, LAST
    ours, theirs, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else int(os.environ.get("SEED", "1"))
    SERVERS = [Server(ours), Server(theirs)]
    head = SERVERS[1].ask("status/tsdb")["data"]["headStats"]
    FIRST, LAST = head["minTime"], head["maxTime"]
    rng = random.Random(seed)
    grammar = Grammar(SERVERS[1], rng)
    different, answered, known = 0, 0, {}
    for _ in range(count):
        query, asked = grammar.query(), Asked(rng)
        what = asked.compare(query)
        if what is None:
            answered += 1
            continue
        query, what = shrink(asked, query, what)
        if any(re.search(t, query + " " + what) for t, _ in DIFFERENCES):
            continue
        different += 1
        print("%s %s %s\n    %s" % (asked.path, json.dumps(asked.arguments), query, what[:900]), flush=True)
    print("%d expressions (seed %d), %d alike, %d different" % (count, seed, answered, different))
    return different > 0


if __name__ == "__main__":
    sys.exit(main())
