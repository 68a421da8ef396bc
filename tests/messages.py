#!/usr/bin/env python3
"""messages.py - every text of the sources that a user can see, a line each, in the order of files.

    messages.py [--root DIR]          prints them
    messages.py --check FILE          says what differs from FILE, and exits with 1 if anything does
    messages.py --write FILE          FILE becomes what they are now

A text is a string of at least two words, with what the compiler joins to it; strings of assertions, of
ignored errors, of comments and of tests are left out. Whoever changes a message changes
tests/golden/messages.txt, where a reviewer reads all of them in one sitting.
"""

import argparse
import difflib
import os
import re
import sys

TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*|^[ \t]*#[^\n]*(?:\\\n[^\n]*)*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[A-Za-z_][A-Za-z_0-9]*|\s+|.',
    re.DOTALL | re.MULTILINE,
)
FOR_TESTS = re.compile(r"(_test|_fuzz)\.c$|(testing|_test|_test_rig)\.h$")
WORDS = re.compile(r"[A-Za-z']{2,}[,:;)]* +[(<'%]*[A-Za-z%]")
CONVERSIONS = re.compile(r"PRI[a-zA-Z0-9]+$")


# Their strings are for readers of the source.
NOT_SHOWN = {"err_ignore", "assert", "_Static_assert", "expect"}


def texts_of(source):
    """Strings of a source, those that stand beside each other joined, but for those in NOT_SHOWN."""
    joined, calls, last = None, [], ""
    for match in TOKEN.finditer(source):
        token = match.group(0)
        if token.isspace() or token.startswith(("/*", "//")) or token.lstrip().startswith("#"):
            continue
        if token.startswith('"'):
            joined = (joined or "") + token[1:-1]
            continue
        if joined is not None and CONVERSIONS.match(token):
            joined += "<n>"
            continue
        if joined is not None:
            if not NOT_SHOWN.intersection(calls):
                yield joined
            joined = None
        if token == "(":
            calls.append(last)
        elif token == ")" and calls:
            calls.pop()
        last = token


def messages(root):
    lines = []
    for folder, _, names in sorted(os.walk(os.path.join(root, "src"))):
        for name in sorted(names):
            if not name.endswith((".c", ".h")) or FOR_TESTS.search(name):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                texts = dict.fromkeys(text for text in texts_of(file.read()) if WORDS.search(text))
            if texts:
                lines.append(f"== {os.path.relpath(path, root)}")
                lines += [re.sub(r"(\\\\n)+$", "", text) for text in texts]
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=".")
    parser.add_argument("--check", metavar="FILE")
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    now = messages(args.root)
    if args.write:
        with open(args.write, "w", encoding="utf-8") as file:
            file.write("\n".join(now) + "\n")
        return 0
    if args.check is None:
        print("\n".join(now))
        return 0
    with open(args.check, encoding="utf-8") as file:
        before = file.read().splitlines()
    difference = list(difflib.unified_diff(before, now, args.check, "src", lineterm="", n=0))
    print("\n".join(difference), end="\n" if difference else "")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
