#!/usr/bin/env python3
"""quoted_messages.py - checks that the texts quoted by documents exist; `make check` runs it.

A quote is in backticks and has three plain words or more. Numbers, words in capitals, texts in
quotes, and ... match anything; between them it must have the words of one line of
tests/golden/messages.txt. Commands (`firekeep check FILE`) are not quotes, and neither are the
texts of other authors in FOREIGN. Prints each quote without such a text, one per line, and exits
with 1.
"""

import os
import re
import sys

QUOTE = re.compile(r"`([^`]+)`")
ANYTHING = re.compile(r"\.\.\.|…|'[^']*'|\"[^\"]*\"|\b[A-Z][A-Z_0-9]*\b|\d+(?:\.\d+)*|%<n>|%[-0-9.*]*(?:ll|z)?[a-z]|\\n")
PLAIN = re.compile(r"\.?[A-Za-z][A-Za-z'-]*[,;:.)]*$")
COMMANDS = {"firekeep", "influx", "influxdb", "make", "promtool", "systemctl", "dead-letters", "not", "tests", "bench"}
# Texts of InfluxDB, ClickHouse and of commits.
FOREIGN = {
    "Too many parts",
    "Too many partitions for single INSERT",
    "area: what it does",
    "database not found",
    "points beyond retention policy",
    "retention policy not found",
    "shard … is pending deletion",
}


def pieces(text):
    """The words between placeholders, as texts without blanks at their ends."""
    parts = (re.sub(r"\s+", " ", part).strip(" ,;:.()") for part in ANYTHING.split(text))
    return [part for part in parts if re.search(r"[A-Za-z]{2}", part)]


def is_quote(text):
    words = [word for piece in pieces(text) for word in piece.split()]
    return len(words) >= 3 and all(PLAIN.match(word) for word in words) and words[0] not in COMMANDS


def has(message, quote):
    at = 0
    for piece in quote:
        found = message.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def main():
    with open("tests/golden/messages.txt", encoding="utf-8") as file:
        messages = [line.replace("\\", "") for line in file if not line.startswith(("== ", "keys: "))]
    files = [name for name in os.listdir(".") if name.endswith(".md")]
    for folder, _, names in os.walk("docs"):
        files += [os.path.join(folder, name) for name in names if name.endswith(".md")]
    wrong = 0
    for path in sorted(files):
        with open(path, encoding="utf-8") as document:
            text = re.sub(r"^```.*?^```", lambda m: "\n" * m.group().count("\n"), document.read(), flags=re.M | re.S)
        for match in QUOTE.finditer(text):
            quote = re.sub(r"\s+", " ", match.group(1))
            if not is_quote(quote) or quote in FOREIGN:
                continue
            if not any(has(message, pieces(quote)) for message in messages):
                print(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: no message says: {quote}")
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
