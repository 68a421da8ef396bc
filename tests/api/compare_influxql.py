#!/usr/bin/env python3
"""compare_influxql.py FIREKEEP INFLUXDB COUNT SEED: writes the same points to both, asks both the same random statements of
InfluxQL, and reports the first results that differ; floats may differ in the last bits. Documented differences are not asked for."""
import json
import math
import random
import sys
import time
import urllib.parse
import urllib.request

FIELDS = {"cpu": {"idle": "float", "busy": "float", "cores": "integer", "up": "boolean"},
          "mem": {"free": "float", "used": "integer"},
          "disk io": {"value": "float", "ops": "integer"}}
TAGS = {"cpu": {"host": ["a", "b", "c d", "e,f"], "dc": ["x1", "x2", ""]},
        "mem": {"host": ["a", "b", "c d"]},
        "disk io": {"host": ["a", "b"], "path": ["/", "/var=1"]}}
NUMERIC = ("float", "integer")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
HOURS = 6
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC"]
CHANGES = [1774746000, 1792890000]  # when summer begins and ends in Europe


def escape(text):
    return text.replace(",", "\\,").replace(" ", "\\ ").replace("=", "\\=")


def make_lines(rng, begin):
    """One value in a millisecond of a series, at most one point in 200 of the same time in another series."""
    lines = []
    for measurement, fields in FIELDS.items():
        combinations = [[]]
        for tag, values in TAGS[measurement].items():
            combinations = [c + [(tag, v)] for c in combinations for v in values]
        for tags in combinations:
            t = begin + rng.randrange(3600)
            while t < begin + HOURS * 3600:
                key = "".join(f",{escape(k)}={escape(v)}" for k, v in tags if v)
                values = []
                for field, kind in fields.items():
                    if rng.random() < 0.2:
                        continue
                    value = {"float": rng.choice([rng.randrange(100), rng.random() * 1000, -rng.random()]),
                             "integer": f"{rng.randrange(-5, 20)}i", "boolean": rng.choice(["true", "false"])}[kind]
                    values.append(f"{field}={value}")
                if values:
                    ms = t * 1000 + rng.randrange(1000)
                    lines.append(f"{measurement.replace(' ', chr(92) + ' ')}{key} {','.join(values)} {ms}")
                t += rng.choice([10, 60, 60, 60, 317, 2000])
    return lines


class Statements:
    def __init__(self, rng, begin):
        self.rng, self.begin = rng, begin

    def when(self):
        rng = self.rng
        second = self.begin + rng.randrange(-600, HOURS * 3600 + 600)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return rng.choice([f"'{text}Z'", f"'{text.replace('T', ' ')}'", f"{second}s", f"{second * 10**9}", f"{second * 1000}ms"])

    def times(self, bounded):
        rng = self.rng
        parts = []
        if bounded or rng.random() < 0.5:
            parts.append(f"time {rng.choice(['>', '>='])} {self.when()}")
        if bounded or rng.random() < 0.3:
            parts.append(f"time {rng.choice(['<', '<='])} {self.when()}")
        return parts

    def condition(self, m, with_fields=True, depth=0):
        rng = self.rng
        if depth < 2 and rng.random() < 0.3:
            op = rng.choice(["AND", "OR"])
            return f"({self.condition(m, with_fields, depth + 1)} {op} {self.condition(m, with_fields, depth + 1)})"
        fields = [f for f, kind in FIELDS[m].items() if kind in NUMERIC]
        if with_fields and rng.random() < 0.4:
            return f'"{rng.choice(fields)}" {rng.choice(["<", "<=", ">", ">=", "=", "!="])} {rng.choice([0, 5, 10, 50.5, 300])}'
        tag = rng.choice(list(TAGS[m]))
        if rng.random() < 0.3:
            return f'"{tag}" {rng.choice(["=~", "!~"])} {rng.choice(["/a/", "/^x/", "/[bc]/", "/1$/", "/./"])}'
        return f'"{tag}" {rng.choice(["=", "!="])} \'{rng.choice(TAGS[m][tag] + ["none"])}\''

    def where(self, m, bounded=False, with_fields=True):
        parts = self.times(bounded)
        if self.rng.random() < 0.5:
            parts.append(self.condition(m, with_fields))
        self.rng.shuffle(parts)
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def tags(self, m):
        rng = self.rng
        if rng.random() < 0.4:
            return []
        return rng.choice([["*"], [rng.choice(list(TAGS[m]))], list(TAGS[m]), ["/h/"]])

    def limits(self, m, with_series=False):
        rng, text = self.rng, ""
        for word, offset in (("LIMIT", "OFFSET"), ("SLIMIT", "SOFFSET")):
            if rng.random() < 0.2 and (word == "LIMIT" or (m != "cpu" and with_series)):
                text += f" {word} {rng.randrange(1, 6)}"
                text += f" {offset} {rng.randrange(1, 6)}" if rng.random() < 0.3 else ""
        return text

    def source(self, m):
        return self.rng.choice([f'"{m}"', f'"{m}"', f'"d".."{m}"', f'"d"."autogen"."{m}"'])

    def raw(self):
        rng = self.rng
        m = rng.choice(list(FIELDS))
        fields, tags = list(FIELDS[m]), list(TAGS[m])
        numeric = [f for f in fields if FIELDS[m][f] in NUMERIC]
        choices = ["*", ", ".join(f'"{f}"' for f in rng.sample(fields, rng.randrange(1, len(fields) + 1))),
                   f'"{rng.choice(fields)}", "{rng.choice(tags)}"', f'"{rng.choice(numeric)}" {rng.choice("+-*/")} {rng.choice([2, 1.5])} AS x',
                   f'"{numeric[0]}" {rng.choice("+-*/")} "{numeric[-1]}"', "*::field", f"/{rng.choice('aeiou')}/",
                   f'"{rng.choice(fields)}"::field', f'-"{numeric[0]}", ("{numeric[-1]}" + 1) * 2']
        group = self.tags(m)
        order = " ORDER BY time DESC" if rng.random() < 0.15 else ""
        return (f"SELECT {rng.choice(choices)} FROM {self.source(m)}{self.where(m)}"
                f"{' GROUP BY ' + ', '.join(group) if group else ''}{order}{self.limits(m)}")

    def call(self, m, in_windows):
        rng = self.rng
        field = f'"{rng.choice([f for f, kind in FIELDS[m].items() if kind in NUMERIC])}"'
        plain = [f"{name}({field})" for name in ("count", "mean", "sum", "min", "max", "median", "spread", "stddev", "first", "last")]
        plain += [f"percentile({field}, {rng.choice([50, 90.5, 99])})"] * in_windows + [f"count(distinct({field}))"]
        return rng.choice(plain)

    def change(self, m, in_windows):
        rng = self.rng
        inner = self.call(m, in_windows) if in_windows else f'"{rng.choice([f for f, kind in FIELDS[m].items() if kind in NUMERIC])}"'
        while in_windows and not inner.startswith(("mean", "sum", "max", "min", "count(\"", "last", "first")):
            inner = self.call(m, in_windows)
        return rng.choice([f"derivative({inner}, 1m)", f"non_negative_derivative({inner}, 10s)", f"difference({inner})",
                           f"non_negative_difference({inner})", f"moving_average({inner}, 3)", f"cumulative_sum({inner})",
                           f"elapsed({inner}, 1s)"])

    def aggregate(self):
        rng = self.rng
        m = rng.choice(list(FIELDS))
        in_windows = rng.random() < 0.6
        kind = rng.random()
        if kind < 0.45:
            several = {self.call(m, in_windows) for _ in range(rng.choice([1, 1, 2, 3]))}
            calls = ", ".join(sorted(c for c in several if len(several) == 1 or "distinct" not in c) or ['count(*)'])
        elif kind < 0.6:
            calls = "stddev"
            while "stddev" in calls or "distinct" in calls:
                one, other = self.call(m, in_windows), self.call(m, in_windows)
                calls = f"{one} {rng.choice('+-*/')} {other if one != other and rng.random() < 0.5 else 2} AS x"
        elif kind < 0.8:
            calls = self.change(m, in_windows)
        elif kind < 0.9:
            numeric = [f for f, k in FIELDS[m].items() if k in NUMERIC]
            calls = rng.choice([f'distinct("{numeric[0]}")', f'top("{numeric[0]}", {rng.randrange(1, 5)})',
                                f'bottom("{numeric[-1]}", {rng.randrange(1, 5)})', f"{rng.choice(['mean', 'max', 'count', 'last'])}(*)"])
        else:
            field = f'"{rng.choice([f for f, k in FIELDS[m].items() if k in NUMERIC])}"'
            calls = f'{rng.choice(["max", "min", "first", "last"])}({field}), "{rng.choice(list(TAGS[m]) + list(FIELDS[m]))}"'
        group = self.tags(m)
        fill = order = zone = ""
        if rng.random() < 0.3:
            zone = f" tz('{rng.choice(ZONES)}')"
        if in_windows:
            windows = ["time(1m)", "time(10m)", "time(1h)", "time(10m, 3m)", "time(1h, -10m)"]
            longer = ["time(12h)", "time(1d)", "time(1d, 6h)"] + ["time(2h)"] * (self.begin < CHANGES[1] - HOURS * 3600)
            group = group + [rng.choice(windows + (longer if zone else ["time(7m)"]))]
            fill = rng.choice(["", "", " fill(none)", " fill(0)", " fill(previous)", " fill(linear)", " fill(null)"])
        if rng.random() < 0.1 and kind < 0.45 and "previous" not in fill:
            order = " ORDER BY time DESC"
        limits = "" if calls.startswith(("top", "bottom", "distinct")) or "none" in fill else self.limits(m)
        if kind >= 0.9 and fill in (" fill(0)", " fill(previous)"):
            fill = ""
        if rng.random() < 0.03 and not in_windows:
            field = rng.choice([f for f, k in FIELDS[m].items() if k in NUMERIC])
            return f'SELECT integral("{field}", {rng.choice(["1m", "10s"])}) FROM "{m}"'
        bounded = in_windows
        return (f"SELECT {calls} FROM {self.source(m)}{self.where(m, bounded)}"
                f"{' GROUP BY ' + ', '.join(group) if group else ''}{fill}{order}{limits}{zone}")

    def subquery(self):
        rng = self.rng
        m = rng.choice(list(FIELDS))
        inner = f'SELECT {rng.choice(["mean", "max", "sum"])}("{rng.choice([f for f, k in FIELDS[m].items() if k in NUMERIC])}") AS v ' \
                f'FROM "{m}"{self.where(m, True)} GROUP BY time({rng.choice(["1m", "10m"])}), host fill(none)'
        return f'SELECT {rng.choice(["mean", "max", "sum", "count"])}(v) FROM ({inner}){rng.choice(["", " GROUP BY host"])}'

    def show(self):
        rng = self.rng
        m = rng.choice(list(FIELDS))
        source = rng.choice(["", f' FROM "{m}"', " FROM /m/"])
        where = f" WHERE {self.condition(m, False)}" if rng.random() < 0.4 else ""
        key = rng.choice(['= "host"', '!= "host"', "=~ /h/", "!~ /o/", 'IN ("host", "dc")'])
        limit = rng.choice(["", "", " LIMIT 2", " LIMIT 2 OFFSET 1"])
        return rng.choice([f"SHOW MEASUREMENTS{rng.choice(['', ' ON d', ' WITH MEASUREMENT =~ /e/'])}{limit}",
                           f"SHOW FIELD KEYS{source}", f"SHOW TAG KEYS{source}{where}{limit}",
                           f"SHOW TAG VALUES{source} WITH KEY {key}{where}{limit}", f"SHOW SERIES{source}{where}{limit}",
                           "SHOW RETENTION POLICIES ON d", "SHOW SERIES EXACT CARDINALITY", "SHOW MEASUREMENT EXACT CARDINALITY"])

    def next(self):
        return self.rng.choices([self.raw, self.aggregate, self.subquery, self.show], [3, 5, 1, 1])[0]()


def ask(url, statement):
    epoch = {} if "tz(" in statement and len(statement) % 2 else {"epoch": "ns"}
    query = urllib.parse.urlencode({"q": statement, "db": "d", **epoch})
    try:
        with OPENER.open(f"{url}/query?{query}", timeout=120) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def difference(a, b, path=""):
    """Where two results differ first, and how; None if they are the same."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys() and "error" not in a:
        pairs = [(f"{path}.{key}", a[key], b[key]) for key in a]
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{path}: {len(a)} and {len(b)} items"
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(a, b))]
    else:
        return None if same(a, b) else f"{path}: {str(a)[:300]} and {str(b)[:300]}"
    return next((found for found in (difference(x, y, at) for at, x, y in pairs) if found), None)


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        if "error" in a or "error" in b:
            return ("error" in a) == ("error" in b)
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


def main():
    firekeep, influxdb, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    begin = rng.choice([int(time.time()) // 3600 * 3600 - (HOURS + 1) * 3600] + [t - HOURS * 1800 for t in CHANGES])
    lines = make_lines(rng, begin)
    ask(influxdb, "CREATE DATABASE d")
    OPENER.open(urllib.request.Request(f"{influxdb}/query?q=CREATE+DATABASE+d", method="POST")).read()
    for url in (firekeep, influxdb):
        for at in range(0, len(lines), 1000):
            body = "\n".join(lines[at:at + 1000]).encode()
            OPENER.open(urllib.request.Request(f"{url}/write?db=d&precision=ms", data=body)).read()
    statements = Statements(rng, begin)
    bad = results = endless = 0
    for _ in range(count):
        statement = statements.next()
        ours, theirs = ask(firekeep, statement), ask(influxdb, statement)
        if "SELECT distinct" in statement:  # values of a window have no order in InfluxDB
            for answer in (ours, theirs):
                for series in answer["results"][0].get("series", ()):
                    series["values"].sort()
        text = json.dumps(theirs)
        if "max-select-buckets" in text or "timeout" in text:  # it has endless windows from the least time of all
            endless += 1
            continue
        results += "series" in text
        if same(ours, theirs):
            continue
        bad += 1
        if bad <= 10:
            print(statement, "  " + difference(ours, theirs), sep="\n")
            if len(sys.argv) > 5:
                print("  ours:   " + json.dumps(ours)[:3000], "  theirs: " + json.dumps(theirs)[:3000], sep="\n")
    print(f"{count} statements, {results} with results, {bad} differ, {endless} without an end in InfluxDB; {len(lines)} lines, seed {seed}")
    sys.exit(bad > 0)


main()
