#!/usr/bin/env python3
"""named_tests.py - checks that the tests that tests/attacks.txt names exist; `make check` runs it.

A test is named in backquotes: `test_claim`, a unit test or a test in tests/sim; `script.sh`, all claims
of tests/e2e/script.sh; or `script.sh: claim`, without a variable that the claim begins with. Each line
with a bar names one after it. Prints what does not exist, and exits with 1.
"""

import glob
import os
import re
import sys

DOCUMENT = "tests/attacks.txt"
QUOTED = re.compile(r"`([^`]+)`")
UNIT_TEST = re.compile(r"\b(?:UNIT_TEST\(|cmocka_unit_test\w*\()\s*(test_\w+)")


def unit_tests():
    found = set()
    for top in ("src", "tests"):
        for path in glob.glob(f"{top}/**/*_test.c", recursive=True):
            with open(path, encoding="utf-8") as source:
                found.update(UNIT_TEST.findall(source.read()))
    return found


def exists(name, known):
    if name.startswith("test_"):
        return name in known
    script, _, wanted = name.partition(": ")
    path = os.path.join("tests/e2e", script)
    if not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8") as source:
        claim = rf'claim "(?:\$\w+: )?{re.escape(wanted)}"'
        return not wanted or re.search(claim, source.read()) is not None


def main():
    known, wrong = unit_tests(), 0
    with open(DOCUMENT, encoding="utf-8") as document:
        for number, line in enumerate(document, 1):
            attack, bar, tests = line.partition(" | ")
            if not bar:
                continue
            names = QUOTED.findall(tests)
            if not names:
                print(f"{DOCUMENT}:{number}: a line without a test: {attack}")
                wrong = 1
            for name in names:
                if not exists(name, known):
                    print(f"{DOCUMENT}:{number}: there is no test `{name}`")
                    wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
