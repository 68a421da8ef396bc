#!/usr/bin/env python3
"""test_names.py - checks names of tests; `make check` runs it.

Names are functions that begin with test_, and claims of SCRIPT() and STORY(). A name has at most 70
characters, does not begin with "what", and has none of the words that CONTRIBUTING.md replaces.
Prints the others, a line each, and exits with 1.
"""

import os
import re
import sys

LENGTH_MAX = 70
WORDS = re.compile(
    r"^(?:test_)?what_"
    r"|(?:^|_)(?:told|tells?|stands?|nobody|somebody|whoever|anew|lest)(?=_|$)"
    r"|(?<!there)_(?:is|are|was|were)_no_(?!longer(?:_|$))"
    r"|_(?:is|are)_none(?=_|$)"
)
FUNCTION = re.compile(r"^(?:UNIT_TEST\()?(test_\w+)\(?", re.MULTILINE)
CLAIM = re.compile(r'\b(?:SCRIPT|STORY)\(\s*((?:"(?:\\.|[^"\\])*"\s*)+)')
TEXT = re.compile(r'"((?:\\.|[^"\\])*)"')


def names(source):
    for match in FUNCTION.finditer(source):
        yield match.start(), match.group(1)
    for match in CLAIM.finditer(source):
        yield match.start(), "".join(TEXT.findall(match.group(1)))


def faults(name):
    if len(name) > LENGTH_MAX:
        yield f"a name of {len(name)} characters"
    word = WORDS.search(re.sub(r"\W+", "_", name))
    if word:
        yield f"'{word.group().strip('_')}' in a name"


def main():
    bad = 0
    for top in ("src", "tests"):
        for folder, _, files in os.walk(top):
            for file in sorted(files):
                path = os.path.join(folder, file)
                if not file.endswith((".c", ".h")):
                    continue
                with open(path, encoding="utf-8") as opened:
                    source = opened.read()
                for at, name in names(source):
                    for fault in faults(name):
                        line = source.count("\n", 0, at) + 1
                        print(f"{path}:{line}: {fault}: {name}")
                        bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
