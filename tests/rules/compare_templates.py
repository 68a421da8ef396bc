#!/usr/bin/python3
"""compare_templates.py - compares expanded templates of alerts with those of a real Prometheus.

    compare_templates.py TEMPLATERUN PROMTOOL DIRECTORY COUNT [SEED]

Expands each line of templates.txt and COUNT more: programs made at random, and lines that are
changed at random places; half of them for an alert whose value is a native histogram. TEMPLATERUN
is our tool. PROMTOOL is that of Prometheus 3: an alert has a template in each annotation, `check
rules` reports those that cannot be parsed, and `test rules` prints the results of the others, since
it expects nothing. DIRECTORY is for its files. Texts must be the same, and errors must be in the
same line, with the exceptions in EXCUSED. Prints each difference, and a last line with their
number; status 1 if there are any.
"""

import json
import os
import random
import re
import resource
import subprocess
import sys

BATCH = 250
SERIES = [
    ("up", {"instance": "a.b.c:9090", "job": "node", "le": "x<y"}, "42.5"),
    ("m", {"n": "z", "__value__": "v"}, "1"),
    ("m", {"n": "y"}, "-2"),
    ("m", {"n": "x"}, "0.00001"),
]
# Each is the value of an alert, and what `query "h"` finds.
HISTOGRAMS = """{{schema:0 sum:-3.5 count:12.5 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 2.5 4] offset:-1 n_buckets:[2 1] n_offset:1}}
{{schema:-53 sum:4 count:7 custom_values:[1 2.5 10] buckets:[1 0 2 4]}}
{{schema:-53 sum:NaN count:2 custom_values:[-1e-7 1e21] buckets:[2] offset:1}}
{{sum:0 count:0}}
{{schema:3 sum:Inf count:1e300 buckets:[1e300 0 0 0 5] counter_reset_hint:gauge}}
{{schema:-4 sum:-1e-9 count:3 buckets:[1 2] offset:-3 n_buckets:[0 1] z_bucket_w:1e-128}}
{{schema:8 sum:1 count:4 buckets:[1 1] offset:7 z_bucket:0.25 z_bucket_w:0.5 n_buckets:[1.75]}}
{{schema:0 sum:-Inf count:4 buckets:[1 3] offset:1022}}""".split("\n")
EXTERNAL = {"el": "ev", "region": "eu"}
URL = "http://h:1/p%20q/x"
# Ours, and why it may differ.
EXCUSED = [
    (r"0[xX][0-9a-fA-F]{8,}|&\{|%2526%257B", "pointers"),
    (r"%!.?\(|has no argument|of the format has no verb|the format has verbs for", "verbs that do not fit"),
    (r"error calling query: .*(parse error|rule result)", "the tool's query, which only knows names"),
    (r"error calling (pathPrefix|externalURL): runtime error", "promtool has no URL for these"),
    (r"can't evaluate field \w+ in type (\*?time\.|int|\*histogram|histogram)", "fields and methods that are missing"),
    (r"can't convert (uint8|int32|int64) to float", "ours has one type of integers"),
    (r"(got|convert) template.HTML", "ours are strings"),
    (r"expected time.Duration; got (int|uint8|float64)", "constants that are durations"),
    (r"integer overflow|overflows int|illegal number syntax: .*_", "what ours take for numbers"),
    (r"multiple definition", "definitions that are empty"),
    (r"(got <nil>|cannot assign nil to|index of untyped|nil pointer evaluating)", "nil"),
    (r"syntax: .*(0x[0-9a-f_.]*p|i\\?\"$)", "hexadecimal floats, complex numbers"),
    (r"values of type .* cannot be compared|incompatible types for comparison: struct", "equality of structs"),
]

# --- random templates -----------------------------------------------------------------------------

CONSTANTS = """0 1 2 3 -1 42 1.5 -0.25 1e3 1e-7 0x1F 017 1_000 'a' '\\n' "" "a" "abc" "a b" "3.5" "x.y.z:80" `r\\n`
"1h" "é€" true false nil "%d" "<a>&'" 9007199254740993 1e21 0.1 123456.789 1000000 "-inf" "NaN" "up" -0.0""".split(" ")
CONSTANTS = [c for c in " ".join(CONSTANTS).split() if c.count('"') != 1 and c != "b\""]
FIELDS = """. $ .Labels .Labels.job .Value .ExternalURL .ExternalLabels .ExternalLabels.el .Nope $labels $labels.job
$labels.nope $value $externalLabels.region $externalURL $x $y $labels.job.x .Value.x .Labels.job""".split()
VERBS = "vdsqtfegGocUE"
ONE = """humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp toTime title toUpper toLower
safeHtml stripPort stripDomain graphLink tableLink parseDuration len not html js urlquery print println first value
strvalue""".split()
TWO = "eq ne lt le gt ge index slice and or match label sortByLabel".split()
METHODS = "Year Day Hour Minute Second Unix UTC String Foo".split()
LAYOUTS = """2006-01-02T15:04:05Z07:00 Jan Mon,Monday January/_2 3:04PM 02.01.06 .000 15:04:05.999 MST-0700 __2 002 pm
Z0700 05,000000 1/2""".split()
REGEXES = """a b.c (a)(b)? ^a a$ [a-c]+ \\\\d+ (?i)A x* (?P<n>b) ( [ a** \\\\b .* (?<n>a) a{2,3} a|b (?s). \\\\q [[:alpha:]] é""".split()
REPLACEMENTS = "$1 <$0> ${n} $$ - $1x ${1}x".split()


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.sane = 0.9
        self.is_histogram = False  # the value of the alert

    def format(self):
        text = ""
        for _ in range(self.rng.randint(1, 3)):
            text += self.rng.choice(["", "a", "é", "%%", " "])
            text += "%" + "".join(self.rng.sample("+- 0", self.rng.choice([0, 0, 0, 1, 2])))
            text += self.rng.choice(["", "", "", "5", "12"])
            text += self.rng.choice(["", "", "", ".2", ".0", ".", ".10"])
            text += self.rng.choice(["", "", "", "", "[1]", "[2]"])
            text += self.rng.choice(VERBS + "vvvdds")
        return '"' + text + '"'

    def moment(self, depth):
        r = self.rng
        time = "(toTime %s)" % r.choice(["0", "1435065584.128", "-1.5", "1e9", "$value", "951782400", "4e9"])
        kind = r.randint(0, 4)
        if kind == 0:
            return "(%s.Format \"%s\")" % (time, " ".join(r.sample(LAYOUTS, 2)))
        if kind == 1:
            return "(%s.Add %s)" % (time, r.choice(["1", "-3600000000000", "1.0", "86400000000001"] if self.sane == 1 else ["1.5", self.operand(depth)]))
        if kind == 2:
            return "(%s.Sub %s)%s" % (time, "(toTime 5.25)" if self.sane == 1 else self.moment(0), r.choice(["", ".Seconds", ".Hours", ".String", ".Minutes", ".Milliseconds"]))
        if kind == 3:
            return "%s.%s" % (time, r.choice(METHODS if self.sane < 1 else [m for m in METHODS if m != "Foo"]))
        return time

    def result(self):
        return self.rng.choice(['(query "up")', '(sortByLabel "n" (query "m"))', '(query "nosuch")', '(query "up" | first)',
                                '(sortByLabel "n" (query "m") | first)', "(args 1 \"a\" $value)", '(args)'])

    def regexes(self):
        return REGEXES if self.sane < 1 else [r for r in REGEXES if r not in ("(", "a**", "\\\\q")]

    def number(self, depth):
        r = self.rng
        kind = r.random()
        if self.is_histogram and r.random() < 0.4:
            return r.choice(["$value.Count", ".Value.Sum", "$value.Schema", "$value.ZeroCount", "$value.ZeroThreshold", '(query "h" | first | value).Sum'])
        if depth <= 0 or kind < 0.5:
            return r.choice(["0", "1", "3", "-7", "2.5", "1e6", "123456789", "0.00123", "1e-9", ".Value", "$value", "98765.4321", "1e15", "-1e21"])
        if kind < 0.6:
            return "(len %s)" % self.string(depth - 1)
        if kind < 0.7:
            return r.choice(['(query "up" | first | value)', '(toTime 5).Unix', "(toTime 1e9).Year", '(parseDuration "1h30m")', "((toTime 9).Sub (toTime 2.5)).Seconds"])
        if kind < 0.8:
            return "(index %s 0)" % r.choice(['"abc"', "$labels.job"])
        return "(%s %s %s)" % (r.choice(["and", "or"]), self.number(depth - 1), self.number(depth - 1))

    def string(self, depth):
        r = self.rng
        kind = r.random()
        if depth <= 0 or kind < 0.3:
            return r.choice(['"abc"', '""', '"aéb"', '"a b-c.d"', '"10.0.0.1:80"', '"x.y:9"', "`r\n<&>`", "$labels.job", ".Labels.instance", "$externalURL",
                             "$labels.nope", ".ExternalLabels.el", '"\\x01\\u2028=\\""', '(index $labels "le")', '"o\'neil 1st a:b éx"'])
        if kind < 0.5:
            return "(%s %s)" % (r.choice("title toUpper toLower stripPort stripDomain graphLink html js urlquery print println tableLink".split()), self.string(depth - 1))
        if kind < 0.6:
            return "(%s %s)" % (r.choice("humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp print html".split()), self.number(depth - 1))
        if kind < 0.8:
            return "(printf %s %s)" % (self.format(), " ".join(self.any(depth - 1) for _ in range(r.randint(0, 3))))
        if kind < 0.85:
            return '(slice %s %d)' % (r.choice(['"abcdef"', "$labels.job"]), r.randint(0, 4))
        if kind < 0.95:
            return '(reReplaceAll "%s" "%s" %s)' % (r.choice(self.regexes()), r.choice(REPLACEMENTS), self.string(depth - 1))
        return '(query "up" | first | label "job")'

    def truth(self, depth):
        r = self.rng
        kind = r.random()
        if depth <= 0 or kind < 0.3:
            return "(%s %s %s)" % (r.choice("eq ne lt le gt ge".split()), *([self.string(0), self.string(0)] if kind < 0.15 else [r.choice(["1.0", ".Value"]), "$value"]))
        if kind < 0.6:
            return "(%s %s)" % (r.choice(["not", "and 1", "or 0"]), self.any(depth - 1))
        if kind < 0.8:
            return '(match "%s" %s)' % (r.choice(REGEXES[:8]), self.string(depth - 1))
        return "(%s %s %s)" % (r.choice(["and", "or"]), self.truth(depth - 1), self.truth(depth - 1))

    def any(self, depth):
        r = self.rng
        if self.is_histogram and r.random() < 0.3:
            return r.choice(["$value", ".Value", '(query "h")', '(query "h" | first)', '(query "h" | first | value)', "$value.String", "."])
        return r.choice([self.number, self.string, self.string, self.truth, lambda d: self.moment(d) if r.random() < 0.5 else self.number(d),
                         lambda d: self.result() if r.random() < 0.3 else r.choice(["$labels", "true", "nil", "$externalLabels"])])(depth)

    def operand(self, depth):
        r = self.rng
        if r.random() < self.sane:
            return self.any(depth)
        kind = r.random()
        if depth <= 0 or kind < 0.3:
            return r.choice(CONSTANTS) if r.random() < 0.5 else r.choice(FIELDS)
        if kind < 0.4:
            return self.moment(depth - 1)
        if kind < 0.5:
            return self.result()
        return "(" + self.pipeline(depth - 1) + ")" + (r.choice([".Foo", ".Labels", ".arg0", ".Value", ".job"]) if r.random() < 0.07 else "")

    def command(self, depth):
        r = self.rng
        kind = r.random()
        if r.random() < self.sane:
            text = self.any(depth + 1)
            return text[1:-1] if text[0] == "(" and text[-1] == ")" and "(" not in text[1:-1] else text
        if kind < 0.2:
            return "printf %s %s" % (self.format(), " ".join(self.operand(depth) for _ in range(r.randint(0, 3))))
        if kind < 0.28:
            return 'reReplaceAll "%s" "%s" %s' % (r.choice(self.regexes()), r.choice(REPLACEMENTS), r.choice(['"abcab"', '"aéb"', '""', "$labels.instance", self.operand(depth)]))
        if kind < 0.32:
            return 'match "%s" %s' % (r.choice(self.regexes()), r.choice(['"abc"', '"A\\nb"', "$labels.job"]))
        if kind < 0.52:
            return r.choice(ONE) + " " + self.operand(depth)
        if kind < 0.72:
            return "%s %s %s" % (r.choice(TWO), self.operand(depth), self.operand(depth))
        if kind < 0.78:
            return "%s %s" % (r.choice(["print", "args", "eq", "and", "or", "index", "slice", "html", "println"]), " ".join(self.operand(depth) for _ in range(r.randint(0, 4))))
        return self.operand(depth)

    def pipeline(self, depth):
        text = self.command(depth)
        while self.rng.random() < 0.25 * (1 - self.sane):
            text += " | " + self.rng.choice(ONE + ONE + ["printf \"%v\"", "eq 1", "printf " + self.format(), "index $labels", ".Labels", "and 1"])
        return text

    def delims(self, inner):
        r = self.rng.random()
        return ("{{- " if r < 0.1 else "{{ ") + inner + (" -}}" if 0.05 < r < 0.15 else " }}")

    def items(self, depth):
        return "".join(self.item(depth) for _ in range(self.rng.randint(1, 3)))

    def item(self, depth):
        r = self.rng
        kind = r.random()
        if kind < 0.15:
            return r.choice(["text ", "\n", " \t", "é", "}} ", "{ ", "a\n b"])
        if depth <= 0 or kind < 0.55:
            return self.delims(self.pipeline(2))
        if kind < 0.63:
            return self.delims("$%s %s %s" % (r.choice("xy"), r.choice([":=", ":=", "="]), self.pipeline(1)))
        if kind < 0.73:
            middle = r.choice(["", self.delims("else") + self.items(depth - 1), self.delims("else if " + self.pipeline(1)) + self.items(depth - 1)])
            return self.delims("if " + self.pipeline(1)) + self.items(depth - 1) + middle + self.delims("end")
        if kind < 0.85:
            over = r.choice(["$labels", "(args 1 2)", '(sortByLabel "n" (query "m"))', "3", ".Labels", '(query "nosuch")', self.operand(1)])
            if self.is_histogram and r.random() < 0.3:
                over = r.choice(['(query "h")', "$value"])
            names = r.choice(["", "$x := ", "$x, $y := ", "$x = ", ""])
            leave = r.choice(["", "", self.delims("break"), self.delims("if eq . 1") + self.delims("continue") + self.delims("end")])
            middle = r.choice(["", "", self.delims("else") + "none"])
            return self.delims("range " + names + over) + self.items(depth - 1) + leave + self.items(0) + middle + self.delims("end")
        if kind < 0.92:
            middle = r.choice(["", self.delims("else") + self.items(depth - 1), self.delims("else with " + self.operand(1)) + self.items(depth - 1)])
            return self.delims("with " + r.choice(["", "$x := "]) + self.pipeline(1)) + self.items(depth - 1) + middle + self.delims("end")
        if kind < 0.95:
            return self.delims('define "t"') + self.items(0) + self.delims("end")
        if kind < 0.98:
            return self.delims('template "t" ' + self.operand(1))
        return self.delims('block "b" .') + self.items(depth - 1) + self.delims("end")

    def program(self):
        """Most have types that fit together: else the first mistake would be all that is seen."""
        self.sane = self.rng.choice([0.3, 0.9, 0.98, 1, 1])
        start = "{{ $x := 1 }}{{ $y := `s` }}" if self.rng.random() < 0.9 else ""
        start += "{{ define \"t\" }}[{{ . }}]{{ end }}" if self.rng.random() < 0.6 else ""
        return start + self.items(2)

    def changed(self, line):
        r = self.rng
        pieces = re.findall(r"\{\{-?|-?\}\}|\w+|\s+|.", line)
        for _ in range(r.randint(1, 3)):
            at = r.randrange(len(pieces) + 1)
            kind = r.random()
            if kind < 0.35:
                pieces[at:at + 1] = []
            elif kind < 0.7:
                pieces.insert(at, r.choice(["(", ")", "|", ".", "$x", " ", "\n", '"', "`", "'", ":=", "=", ",", "{{", "}}", "{{-", "-}}", "end", "else",
                                            "if", "range", "nil", "1", "é", "€", "#", "\\", "{{/*", "*/}}", ".x", "{{end}}", "{{else}}", "\t"]))
            elif len(pieces) > 1:
                other = r.randrange(len(pieces))
                if at < len(pieces):
                    pieces[at], pieces[other] = pieces[other], pieces[at]
        return "".join(pieces)


# --- programs -------------------------------------------------------------------------------------


def label_text(name, labels):
    return name + "{" + ",".join('%s="%s"' % pair for pair in labels.items()) + "}"


def ask_ours(tool, texts, histogram):
    name, labels, value = SERIES[0]
    options = ["--value=" + value, "--url=" + URL, "--label=__name__=" + ("subject" if histogram else name)]
    options += ["--label=%s=%s" % pair for pair in labels.items()]
    options += ["--external=%s=%s" % pair for pair in EXTERNAL.items()]
    options += ["--sample=%s=%s" % (",".join([n] + ["%s=%s" % p for p in l.items()]), v) for n, l, v in SERIES]
    options += ["--histogram=" + histogram] if histogram else []
    run = subprocess.run([tool] + options, input=b"\0".join(t.encode() for t in texts) + b"\0", stdout=subprocess.PIPE, check=False)
    answers, rest = [], run.stdout
    while rest:
        head, rest = rest.split(b"\n", 1)
        word, size = head.split()
        answers.append(word + b" " + rest[:int(size)])
        rest = rest[int(size) + 1:]
    if run.returncode != 0 or len(answers) != len(texts):
        print("%s ended with status %d after %d of %d templates" % (tool, run.returncode, len(answers), len(texts)))
        sys.exit(1)
    return [a.decode("utf-8", "replace") for a in answers]


def limit_memory():
    """Limits memory, so that a template that calls itself in ways unknown to RECURSIVE does no
    harm."""
    resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))


def write_rules(directory, texts, histogram):
    rule = {"alert": "X", "expr": "subject" if histogram else "up", "annotations": {"a%d" % i: t for i, t in texts}}
    with open(directory + "/rules.yml", "w", encoding="utf-8") as to:
        json.dump({"groups": [{"name": "g", "rules": [rule]}]}, to)


def unquoted(text):
    names = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "\\": 92, '"': 34}

    def one(match):
        c = match.group(1)
        if c[0] in "xuU":
            number = int(c[1:], 16)
            return bytes([number]).decode("latin-1") if c[0] == "x" and number < 128 else "\ufffd" if c[0] == "x" else chr(number)
        return chr(names[c])

    return re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)", one, text)


def ask_theirs(promtool, directory, texts, histogram):
    """The same answers, by number; of what cannot be parsed first."""
    answers = {}
    write_rules(directory, enumerate(texts), histogram)
    run = subprocess.run([promtool, "check", "rules", "--lint=none", directory + "/rules.yml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = run.stdout.decode("utf-8", "replace")
    for match in re.finditer(r'annotation "a(\d+)": (template: .*?)(?=\n[^\n]*annotation "a\d+": template|\s*\Z)', said, re.DOTALL):
        answers[int(match.group(1))] = "input error parsing template __alert_X: " + match.group(2)
    left = [(i, t) for i, t in enumerate(texts) if i not in answers]
    if not left:
        return answers
    write_rules(directory, left, histogram)
    series = [{"series": label_text(n, l), "values": v + "x9"} for n, l, v in SERIES]
    if histogram:
        series += [{"series": label_text(name, l), "values": histogram + "x9"} for name, l in (("subject", SERIES[0][1]), ("h", {"n": "x"}))]
    test = {"interval": "1m", "external_labels": EXTERNAL, "external_url": URL, "input_series": series,
            "alert_rule_test": [{"eval_time": "2m", "alertname": "X", "exp_alerts": []}]}
    with open(directory + "/test.yml", "w", encoding="utf-8") as to:
        json.dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}, to)
    run = subprocess.run([promtool, "test", "rules", directory + "/test.yml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60, preexec_fn=limit_memory)
    said = run.stdout.decode("utf-8", "replace")
    said = said[said.find("got:"):]
    for match in re.finditer(r'\ba(\d+)="((?:[^"\\]|\\.)*)"', said[said.find("Annotations:{"):]):
        text = unquoted(match.group(2))
        failed = re.match(r"<error expanding template: (.*)>$", text, re.DOTALL)
        answers[int(match.group(1))] = "input " + failed.group(1) if failed else "ok " + text
    return answers


def place_of(answer):
    """The cause of a failure, and its line, from a sentence."""
    match = re.match(r"input error (parsing|executing) template __alert_X: template: __alert_X:(\d+):", answer)
    return match and match.groups()


def are_same(ours, theirs):
    return ours == theirs or (place_of(ours) is not None and place_of(ours) == place_of(theirs))


def main():
    tool, promtool, directory, count = sys.argv[1:4] + [int(sys.argv[4])]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 31)
    print("seed %d" % seed)
    maker = Maker(random.Random(seed))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates.txt"), encoding="utf-8") as lines:
        fixed = [line.rstrip("\n") for line in lines if line.strip()]
    batches = []
    for histogram in [None] * len(HISTOGRAMS) + HISTOGRAMS:
        maker.is_histogram = histogram is not None
        texts = fixed if histogram or not batches else []
        for _ in range(count // len(HISTOGRAMS) // 2):
            made = maker.rng.random()
            texts = texts + [maker.changed(maker.rng.choice(fixed)) if made < 0.25 else maker.changed(maker.program()) if made < 0.35 else maker.program()]
        batches += [(histogram, texts[i:i + BATCH]) for i in range(0, len(texts), BATCH)]
    different = excused = failed = limited = 0
    for histogram, batch in batches:
        batch = [t for t in batch if "\0" not in t and t]
        ours = ask_ours(tool, batch, histogram)
        # A template that exceeds our limits may make the other program run for very long, and use
        # all memory.
        limited += sum(a.startswith("limit ") for a in ours)
        batch = [t for t, a in zip(batch, ours) if not a.startswith("limit ")]
        ours = [a for a in ours if not a.startswith("limit ")]
        try:
            theirs = ask_theirs(promtool, directory, batch, histogram)
        except subprocess.TimeoutExpired:  # ours fails before it meets a limit
            limited += len(batch)
            continue
        for i, text in enumerate(batch):
            answer = theirs.get(i, "(no answer)")
            failed += answer.startswith("input ")
            if are_same(ours[i], answer):
                continue
            # Our tool's query knows names only.
            names = re.findall(r'query\s*"([^"]*)"', text)
            other = any(name not in ("up", "m", "nosuch", "h") for name in names)
            # Flags that ours does not have for a verb: it prints the value as %v then.
            other |= re.search(r"%[-0-9.\[\]]*[+# ]", text) is not None
            # The length of what a verb that does not fit prints: the text itself is not there to see.
            other |= re.search(r"len \(printf", text) is not None
            if other or any(re.search(pattern, ours[i] + answer) for pattern, _ in EXCUSED):
                excused += 1
                continue
            different += 1
            print("template %r of %s\n  theirs %r\n  ours   %r" % (text, histogram, answer[:700], ours[i][:700]))
    print("%d of %d templates differ; %d of them fail in both, %d are excused, %d met limits" % (different, sum(len(batch) for _, batch in batches), failed, excused, limited))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
