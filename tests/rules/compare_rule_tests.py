#!/usr/bin/python3
"""compare_rule_tests.py - compares the verdicts on unit tests of rules with those of a real promtool.

    compare_rule_tests.py FIREKEEP PROMTOOL DIRECTORY COUNT [SEED]

Makes COUNT test files at random, each with rules of its own, in DIRECTORY. First nothing is
expected, so that promtool prints all results; then some of them are expected, unchanged or changed
at random. Both times the verdicts and the texts of failures must be the same, except as in
excused(). Prints each difference, and a last line with their number and the shares of files that
passed; status 1 if there are differences, or if next to all files passed or failed.
"""

import json
import os
import random
import re
import subprocess
import sys

BATCH = 40

# --- series ---------------------------------------------------------------------------------------


def number(r):
    return r.choice(["0", "1", "2", "5", "10", "-1", "0.5", "1e3", "-2.5", "100", "07", "1_000", "3.", ".25", "1e-5"])


def layout(r, custom):
    """The properties that all histograms of a series share: others rarely change in one."""
    if custom:
        return ["schema:-53", "custom_values:[1 2 5]"]
    said = ["schema:%d" % r.choice([0, 0, 1, 3, -1])]
    if r.random() < 0.3:
        said.append("z_bucket_w:0.001")
    if r.random() < 0.4:
        said.append("offset:%d" % r.randint(-3, 4))
    if r.random() < 0.1:
        said.append("counter_reset_hint:gauge")
    return said


def histogram(r, common):
    said = list(common)
    buckets = [r.choice([0, 1, 2, 3, 7]) for _ in range(r.randint(1, 4))]
    count = r.randint(0, 5) + sum(buckets)
    if "z_bucket_w:0.001" in common:
        said.append("z_bucket:2")
        count += 2
    if "schema:-53" not in common and r.random() < 0.3:
        said.append("n_buckets:[%s]" % " ".join(str(r.randint(0, 3)) for _ in range(2)))
        count += 6
    said += ["sum:%s" % r.choice(["4", "2.5", "-1", "100"]), "count:%d" % count, "buckets:[%s]" % " ".join(map(str, buckets))]
    r.shuffle(said)
    return "{{%s}}" % " ".join(said)


def values(r, kind, mixed):
    """`mixed`: of a step there is one value, so that promtool, which sorts those of a step by kind, loses none."""
    items = []
    common = layout(r, kind == "custom")
    for _ in range(r.randint(1, 6)):
        which = r.random()
        if which < 0.12:
            items.append(r.choice(["_", "_x2", "_x5"]))
        elif which < 0.18 and (mixed or kind == "float"):
            items.append("stale")
        elif which < 0.21 and (mixed or kind == "float"):
            items.append(r.choice(["NaN", "Inf", "-Inf"]))
        elif kind != "float":
            h = histogram(r, common)
            items.append(r.choice([h, h + "x3", "%s+%sx4" % (h, h)]))
        else:
            n = number(r)
            step = r.choice(["", "", "+%s" % r.choice("0125"), "-%s" % r.choice(["1", "0.5"])])
            items.append(n + (step + "x%d" % r.randint(0, 6) if step or r.random() < 0.5 else ""))
    return r.choice([" ", " ", "  "]).join(items)


def series(r, mixed):
    made = []
    for name, kind in (("m", "float"), ("n", "float"), ("h", "histogram"), ("c", "custom")):
        for _ in range(r.choice([0, 1, 1, 2, 3])):
            labels = ['%s="%s"' % (label, r.choice("ab")) for label in "jk" if r.random() < 0.7]
            made.append({"series": name + ("{%s}" % ",".join(labels) if labels else ""), "values": values(r, kind, mixed)})
    if r.random() < 0.03 and made:
        broken = r.choice(made)
        broken["values"] += r.choice([" x", " foo", " 1x", "1+2", " {{", " 1,2", "}", " 1x1.5"])
    return made


# --- rules ----------------------------------------------------------------------------------------

# Without what another version of Prometheus answers otherwise: docs/promql-differences.md.
FLOATS = """m n m{j="a"} n{k=~"a|b"} {__name__=~"m|n"} m+n m-on(j)n m*2 m>1 n==bool~1 m<Inf sum(m) sum~by(j)(m) count(n)
max~by(k)(n) avg(m) min~without(j)(m) rate(m[2m]) increase(n[3m]) delta(m[4m]) sum_over_time(m[2m]) avg_over_time(n[3m])
max_over_time(m[5m]) last_over_time(n[10m]) count_over_time(m[1m:20s]) changes(m[5m]) resets(n[5m]) deriv(m[3m])
m~offset~1m n~offset~90s m~@~60 m~@~end() absent(m) absent(nope{x="y"}) vector(time()) vector(1) time() scalar(m)+1
m~and~n m~or~n m~unless~n abs(m) ceil(n) clamp(m,0,3) timestamp(m) label_replace(m,"x","$1","j","(.*)") -m
m~or~vector(7) histogram_count(h) histogram_sum(h) histogram_avg(h)
quantile(0.3,m) group(m) count_values("v",n) m/0 sort(m) hour(m) minute() m%2 sgn(n) count(h)
irate(m[5m]) idelta(n[3m]) present_over_time(m[1m]) quantile_over_time(0.5,m[5m]) day_of_week()
ALERTS ALERTS_FOR_STATE r0 r1 r2 sum(r0) r1>2 rate(r0[3m]) r0~offset~1m count(ALERTS) r2~or~m m~or~r1 max_over_time(r0[4m:])
m~and~on()~vector(1) predict_linear(m[5m],60) 1
m+on(j,k)group_left()n m*on()group_right()n sum(m)/count(m) m>n n!=m clamp_min(m,1) round(m,2)""".split()
HISTOGRAMS = """h c sum(h) sum(c) h*2 h/4 sum~by(j)(h) h+h h~and~c h>1 m+h h==h
{j="a"} {__name__!=""} h-c h~offset~1m max(h) h+c hr0 hr1 sum(hr2) hr0~or~r0""".split()
ALL_HISTOGRAMS = [text.replace("~", " ") for text in HISTOGRAMS]
BAD = ["sum(", "rate(m)", "m + ", "nope(m)", "m{j=", '"text"', "m[5m]"]


def expression(r, histograms=True):
    which = r.random()
    if which < 0.01:
        return r.choice(BAD)
    return r.choice(HISTOGRAMS if histograms and which < 0.2 else FLOATS).replace("~", " ")


# Without empty buckets of histograms: promtool's store adds some.
TEXTS = ["", "text", "{{ $labels.j }}", "{{ $value }}", "{{ $value | humanize }}", "{{ .Labels.k }}-{{ $labels.j }}",
         "{{ $externalLabels.el }}", "{{ $externalURL }}", "{{ printf \"%v|%12v\" $value $value }}", "{{ if gt $value 1.0 }}high{{ else }}low{{ end }}",
         "{{ range query \"m\" | sortByLabel \"k\" }}x{{ end }}", "{{ $labels.nope }}", "{{ humanizeDuration $value }}",
         "{{ query \"sum(m)\" | first | value }}", "{{ 1 | index }}", "é \"quoted\"\n",
         "{{ print $value | printf \"%q\" }}", "{{ $value.Count }} {{ $value.Sum }} {{ $value.Schema }}",
         "{{ range query \"h\" | sortByLabel \"k\" | sortByLabel \"j\" }}{{ .Value }};{{ end }}", "{{ query \"sum(c)\" | first | value }}",
         "{{ $value.ZeroCount }} {{ $value.ZeroThreshold }}"]


def texts(r, names, most):
    return {r.choice(names): r.choice(TEXTS) for _ in range(r.randint(0, most))}


def rules(r):
    made = []
    for i in range(r.randint(1, 4)):
        if r.random() < 0.5:
            text = expression(r)
            # Apart, so that what reads r0 finds floats.
            rule = {"record": ("hr%d" if text in ALL_HISTOGRAMS else "r%d") % r.randint(0, 2), "expr": text}
            if r.random() < 0.7:
                rule["labels"] = {"rule": str(i)}
        else:
            rule = {"alert": "A%d" % r.randint(0, 2), "expr": expression(r), "labels": texts(r, ["l", "s", "j", "alertname"], 2),
                    "annotations": texts(r, ["a", "b", "c d"], 3)}
            rule["labels"]["rule"] = str(i)
            for field in ("for", "keep_firing_for"):
                if r.random() < 0.5:
                    rule[field] = r.choice(["0s", "30s", "1m", "2m", "3m"])
        made.append(rule)
    return made


def groups(r):
    made = []
    for i in range(r.choice([1, 1, 2])):
        group = {"name": "g%d" % i, "rules": rules(r)}
        for rule in group["rules"]:  # no two groups write the same
            rule.setdefault("labels", {})["group"] = "g%d" % i
        if r.random() < 0.1:
            group["limit"] = r.randint(1, 3)
        if r.random() < 0.15:
            group["query_offset"] = r.choice(["30s", "1m", "90s"])
        if r.random() < 0.2:
            group["labels"] = {"gl": "x", "rule": "of the group"}
        made.append(group)
    return made


# --- test files -----------------------------------------------------------------------------------


def make(r, index):
    made = groups(r)
    times = ["0", "15s", "1m", "90s", "2m", "3m", "4m", "5m", "7m", "10m", "1m1ms"]
    interval, step = r.choice(["15s", "30s", "1m", "1m", "2m"]), r.choice(["15s", "1m", "1m", "2m"])
    mixed = step == "15s" or interval in (step, "2m")
    test = {"input_series": series(r, mixed), "interval": interval}
    if r.random() < 0.3:
        test["name"] = "name %d" % index
    if r.random() < 0.5:
        test["external_labels"] = {"el": "ev"}
        test["external_url"] = "http://host:1/path"
    test["promql_expr_test"] = [{"expr": expression(r), "eval_time": r.choice(times)} for _ in range(r.randint(1, 5))]
    test["alert_rule_test"] = [{"alertname": "A%d" % r.randint(0, 2), "eval_time": r.choice(times)} for _ in range(r.randint(0, 4))]
    order = [group["name"] for group in made]
    r.shuffle(order)
    return {"rule_files": ["rules%d.yml" % index], "evaluation_interval": step,
            "fuzzy_compare": r.random() < 0.5, "group_eval_order": order, "tests": [test]}, {"groups": made}


# Parses the results that promtool prints.
LABEL = re.compile(r'("(?:[^"\\]|\\.)*"|\w+)=("(?:[^"\\]|\\.)*")')
SAMPLE = re.compile(r'(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}) (\{\{.*?\}\}|[^ ,]+)')


def labels_of(text):
    return {json.loads(name) if name[0] == '"' else name: json.loads(value) for name, value in LABEL.findall(text)}


def alerts_of(failure):
    got = failure.split("\n        got:", 1)[1]
    labels = [labels_of(text) for text in re.findall(r"^ *Labels:(.*?),?$", got, re.M)]
    notes = [labels_of(text) for text in re.findall(r"^ *Annotations:(.*?),?$", got, re.M)]
    return [{"exp_labels": a, "exp_annotations": b} for a, b in zip(labels, notes)]


def samples_of(failure):
    made = []
    for labels, value in SAMPLE.findall(failure.split("\n        got: ", 1)[1]):
        made.append({"labels": labels, "histogram": value} if value[0] == "{" else {"labels": labels, "value": float(value)})
    return made


def change(r, case):
    """Makes something of what is expected wrong, mostly."""
    expected = case["exp_samples" if "expr" in case else "exp_alerts"]
    if not expected or r.random() < 0.2:
        expected.append({"labels": "up", "value": 1} if "expr" in case else {"exp_labels": {"x": "y"}})
        return
    which = r.choice(expected)
    if r.random() < 0.2:
        expected.remove(which)
    elif "value" in which:
        which["value"] += r.choice([1, -0.5, 1e-16, 0])
    elif "histogram" in which:
        which["histogram"] = which["histogram"].replace("count:", "count:1", 1)
    elif "exp_labels" in which:
        r.choice([which["exp_labels"], which["exp_annotations"]])["x"] = ""
    if "labels" in which and r.random() < 0.2:
        which["labels"] = which["labels"].replace("{", '{zz="1",', 1)


def failures_of(lines):
    """The failures of a file, each as one text."""
    made = []
    for line in lines:
        if made and line.startswith("     "):
            made[-1] += "\n" + line
        elif made and line.startswith("    alertname: ") and made[-1].startswith("    name: ") and "\n" not in made[-1]:
            made[-1] += "\n" + line
        else:
            made.append(line)
    return made


def expect(r, document, failures):
    """Takes what there is as what is expected, as far as it is known."""
    test = document["tests"][0]
    by_key = {}
    for failure in failures:
        found = re.match(r'(?:    name: .*\n)?    (expr: .*|alertname: .*), time: (\w+),', failure)
        if found and "\n        got:" in failure:
            by_key.setdefault((found.group(1), found.group(2)), failure)
    wrong = r.random() < 0.5
    for case in test["promql_expr_test"]:
        failure = by_key.get(("expr: %s" % json.dumps(case["expr"], ensure_ascii=False), time_text(case["eval_time"])))
        case["exp_samples"] = samples_of(failure) if failure else []
    for case in test["alert_rule_test"]:
        failure = by_key.get(("alertname: %s" % case["alertname"], time_text(case["eval_time"])))
        case["exp_alerts"] = alerts_of(failure) if failure else []
    for case in test["promql_expr_test"] + test["alert_rule_test"]:
        r.shuffle(case.get("exp_samples", case.get("exp_alerts")))
    if wrong:
        change(r, r.choice(test["promql_expr_test"] + test["alert_rule_test"]))


def time_text(time):
    return {"0": "0s", "90s": "1m30s"}.get(time, time)


# --- running --------------------------------------------------------------------------------------


def run(tool, directory, files):
    """The status of the tool, and what it says of each file."""
    done = subprocess.run([tool, "test", "rules"] + files, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = []
    for line in done.stdout.decode("utf-8", "replace").split("\n"):
        if line.startswith("Unit Testing:"):
            continue
        if line in ("  SUCCESS", "  FAILED:"):
            said.append([line])
        elif line and said:
            said[-1].append(line)
    if len(said) != len(files):
        sys.exit("%s: %d files, %d results, status %d: %s" % (tool, len(files), len(said), done.returncode, done.stdout[-2000:]))
    return done.returncode, said


# A mistake of promtool's store: sums of histograms it cannot take.
MISTAKE = "histogram has a span whose offset is negative"


HINT = re.compile(r"counter_reset_hint:\w+ ?")


def is_about_hint(failure):
    """The sample before is too old for a query to see it, and a hint is about it: docs/rules.md."""
    found = re.search(r"\n        exp: (.*)\n        got: (.*)$", failure)
    return found is not None and HINT.sub("", found[1]) == HINT.sub("", found[2])


def excused(ours, theirs):
    """Failures whose texts may differ."""
    # The order of series in a sentence about several is that of a hash table.
    duplicate = r"(found duplicate series for the match group|multiple matches for labels)"
    if re.search(duplicate, ours) and re.search(duplicate, theirs):
        return True
    # So is which of several series with a sample at that time is named.
    conflict = "overrides not allowed: existing "
    if conflict in ours and ours.split(conflict)[0] == theirs.split(conflict)[0]:
        return True
    # Newer versions report other histograms as gauges after a subtraction.
    if HINT.search(ours + theirs) and HINT.sub("", ours) == HINT.sub("", theirs):
        return True
    # Sentences about series that cannot be read are our own.
    place = re.compile(r"^(?:\S+: series '.*': )?\d+:\d+: parse error: ")
    if place.search(ours) and place.search(theirs):
        return True
    # Sentences about rule files that cannot be read are our own, in front of those of parsers.
    if "could not parse expression: " in theirs:
        return ours.split("invalid expression: ")[-1] == theirs.split("could not parse expression: ")[-1]
    # Sentences about histograms that cannot be stored are our own.
    return "histogram" in theirs and "err:" in theirs and "err:" in ours and ours.split("err:")[0] == theirs.split("err:")[0]


def compare(index, what, ours, theirs, directory):
    """Says whether both report the same about a file; prints differences."""
    a, b = ([x for x in failures_of(said[1:]) if not is_about_hint(x)] for said in (ours, theirs))
    if any(MISTAKE in failure for failure in b):
        return True
    same = (ours[0] == theirs[0] or a == b == []) and len(a) == len(b) and all(x == y or excused(x, y) for x, y in zip(a, b))
    if not same:
        print("--- %s/test%d.yml, %s" % (directory, index, what))
        for x in range(max(len(a), len(b))):
            x_ours, x_theirs = a[x] if x < len(a) else "nothing", b[x] if x < len(b) else "nothing"
            if x_ours != x_theirs and not excused(x_ours, x_theirs):
                print("ours:   %s\ntheirs: %s" % (x_ours, x_theirs))
                break
    return same


def main():
    firekeep, promtool, directory, count = sys.argv[1:5]
    firekeep, promtool = os.path.abspath(firekeep), os.path.abspath(promtool)
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 32)
    print("seed %d" % seed)
    os.makedirs(directory, exist_ok=True)
    differ = passed = 0
    r = random.Random(seed)
    for begin in range(0, int(count), BATCH):
        numbers = range(begin, min(begin + BATCH, int(count)))
        files, documents = ["test%d.yml" % i for i in numbers], []
        for i in numbers:
            document, with_rules = make(r, i)
            documents.append(document)
            with open("%s/rules%d.yml" % (directory, i), "w", encoding="utf-8") as out:
                json.dump(with_rules, out, indent=1)
        for what in ("nothing expected", "expected"):
            for document, name in zip(documents, files):
                with open("%s/%s" % (directory, name), "w", encoding="utf-8") as out:
                    text = json.dumps(document, indent=1)
                    text = re.sub(r'("value": )(-?)(NaN|Infinity)', lambda m: m[1] + m[2] + "." + m[3][:3].lower(), text)
                    out.write(text)
            (our_status, ours), (their_status, theirs) = run(firekeep, directory, files), run(promtool, directory, files)
            differ += our_status != their_status
            for i, a, b, document in zip(numbers, ours, theirs, documents):
                differ += not compare(i, what, a, b, directory)
                passed += what == "expected" and b[0] == "  SUCCESS"
                expect(r, document, failures_of(b[1:]))
    share = passed / int(count)
    print("%d files, %d passed, %d differences" % (int(count), passed, differ))
    sys.exit(differ > 0 or (int(count) >= 50 and not 0.1 < share < 0.9))


main()
