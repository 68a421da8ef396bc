#!/usr/bin/python3
"""compare_text.py - compares how two servers parse, format and refuse PromQL.

    compare_text.py OURS THEIRS COUNT [SEED]      OURS, THEIRS: http://HOST:PORT

Sends each line of expressions.txt, and COUNT more that are made of these by random changes, to
format_query and parse_query of both. THEIRS is a Prometheus 3.5; DIFFERENCES has the features that
it lacks, and texts that have changed since. Prints each other difference, and a last line with
their number; status 1 if there are any.
"""

import http.client
import json
import os
import random
import re
import sys
import urllib.parse

PIECES = """( ) { } [ ] , " = =~ != 5m : offset @ by (a) on(a) bool + - ^ * 1 0x1f 1_000 foo sum rate and start()
end() step() #x ` ' \\ \u00e9 / % atan2 group_left min_of(1m,2m) without(b) a:b __name__ NaN Inf $ ! ~ ; .""".split()

# Pairs of an answer of Prometheus 3.5 and ours, with the reason.
DIFFERENCES = [
    (r"unknown function with name", r"", "functions that came later"),
    (r"parse error", r"unexpected character: '\w', expected ':'", "a letter within brackets"),
    (r"number or duration", r"", "step(), range(), min_of() and max_of() in durations"),
    (r'unexpected "\("', r"", "start(), end(), step() and range() as functions"),
    (r"<Item \d+>", r"<op:@>", "@ had no name"),
    (r"^unexpected error$", r"", "its parser fails"),
    (r"unexpected character in duration expression", r"", "step(), range(), min_of() and max_of() in durations"),
    (r"parse error", r"duration out of range|greater than 0", "the order of two errors"),
    (r"duration out of range|greater than 0", r"parse error", "the order of two errors"),
    (r"\b\w*:\w*\b", r'"\w*:\w*"', "labels with a colon are quoted"),
    (r"parse error", r"[<>]/", "the operators that trim histograms"),
    (r"[<>]/|<op:/>", r"", "the operators that trim histograms"),
]
NEWER_WORDS = re.compile(r"\b(step|range|min_of|max_of|anchored|smoothed|fill|fill_left|fill_right)\b", re.I)


class Server:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)

    def ask(self, path, query):
        body = urllib.parse.urlencode({"query": query})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", "/api/v1/" + path, body, headers)
        return json.loads(self.connection.getresponse().read())


def without_newer(value):
    """The tree without members that 3.5 lacks."""
    if isinstance(value, dict):
        hidden = ("anchored", "smoothed", "fillValues", "offsetExpr", "rangeExpr", "stepExpr")
        return {k: without_newer(v) for k, v in value.items() if k not in hidden}
    if isinstance(value, list):
        return [without_newer(v) for v in value]
    return value


def answer(server, query):
    text = server.ask("format_query", query)
    if text["status"] != "success":
        return text["error"].replace('invalid parameter "query": ', "", 1), None
    return text["data"], without_newer(server.ask("parse_query", query)["data"])


def change(expressions, dice):
    text = dice.choice(expressions)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        at, how = dice.randrange(len(text) + 1), dice.random()
        if how < 0.35:
            text = text[:at] + text[at + dice.choice([1, 1, 2, 5]):]
        elif how < 0.8:
            space = " " if dice.random() < 0.4 else ""
            text = text[:at] + space + dice.choice(PIECES) + space + text[at:]
        else:
            other = dice.choice(expressions)
            text = text[:at] + other[dice.randrange(len(other)):]
    return text


def is_known(query, theirs, ours):
    if NEWER_WORDS.search(query):
        return True
    return any(re.search(t, theirs) and re.search(o, ours) for t, o, _ in DIFFERENCES)


def main():
    ours, theirs = Server(sys.argv[1]), Server(sys.argv[2])
    count, seed = int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1
    dice = random.Random(seed)
    with open(os.path.join(os.path.dirname(__file__), "expressions.txt"), encoding="utf-8") as file:
        expressions = file.read().splitlines()
    queries = expressions + [change(expressions, dice) for _ in range(count)]
    same = known = 0
    for query in queries:
        (their_text, their_tree), (our_text, our_tree) = answer(theirs, query), answer(ours, query)
        if (their_text, their_tree) == (our_text, our_tree):
            same += 1
        elif is_known(query, their_text, our_text):
            known += 1
        else:
            print(f"{query!r}\n  theirs {their_text}\n  ours   {our_text}")
            if their_text == our_text:
                print(f"  theirs {their_tree}\n  ours   {our_tree}")
    other = len(queries) - same - known
    print(f"seed {seed}: {len(queries)} expressions, {same} alike, {known} differ as they should, {other} do not")
    sys.exit(other > 0)


main()
