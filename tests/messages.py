#!/usr/bin/env python3
"""messages.py - lists the texts of the sources that users can see, in the order of files.

    messages.py [--root DIR]          prints the texts
    messages.py --check FILE          prints differences from FILE, and exits with 1 if any
    messages.py --write FILE          writes the texts to FILE

A text is a string of at least two words, with the strings that the compiler joins to it. Strings of
assertions, ignored errors, comments and tests are left out, and those that are searched for in the
texts of other programs: arguments of the functions in NOT_SHOWN, and strings between a comment that
begins with "not shown" and the next semicolon. Single words are in two lines after the texts of a
file: `words:`, of tables whose names end in "words" and of reasons beside a VERDICT, and `keys:` of
log lines. A commit that changes a message changes tests/golden/messages.txt, in which reviewers
read all messages together.
"""

import argparse
import difflib
import os
import re
import sys

TOKEN = re.compile(
    r"""/\*.*?\*/|//[^\n]*|^[ \t]*\#[ \t]*define[ \t]+\w+(?:\([^)\n]*\))?|^[ \t]*\#[^\n]*"""
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[A-Za-z_][A-Za-z_0-9]*|\n|[^\S\n]+|.""",
    re.DOTALL | re.MULTILINE,
)
FOR_TESTS = re.compile(r"(_test|_fuzz)\.c$|(testing|_test|_test_rig)\.h$")
WORDS = re.compile(r"[A-Za-z']{2,}[,:;)]* +[(<'%]*[A-Za-z%]")
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*$")
CONVERSIONS = re.compile(r"PRI[a-zA-Z0-9]+$")


# Functions whose strings are for readers of the source, or are searched for in responses and files.
NOT_SHOWN = {"err_ignore", "assert", "_Static_assert", "expect", "sscanf", "strstr", "strcasestr", "says", "begins", "find_after", "until"}


class Texts:
    """Collects the strings of a source; adjacent strings are joined."""

    def __init__(self, source):
        self.texts, self.words, self.keys = {}, {}, {}  # keys in the order of the source
        self.joined, self.calls, self.last, self.before = None, [], "", ""
        self.in_define = self.hidden = False
        self.table = ""  # the name before the last [ of a declaration
        for match in TOKEN.finditer(source.replace("\\\n", " ")):
            self.take(match.group(0))

    def take(self, token):
        if token.startswith(("/*", "//")):
            self.hidden = self.hidden or token[2:].lstrip().startswith("not shown")
        elif token == "\n" and self.in_define:
            self.end_text()
            self.calls, self.in_define = [], False
        elif token.isspace():
            pass
        elif token.lstrip().startswith("#"):
            self.end_text()
            self.in_define = "define" in token
        elif token.startswith('"'):
            self.joined = (self.joined or "") + token[1:-1]
        elif self.joined is not None and CONVERSIONS.match(token):
            self.joined += "<n>"
        else:
            self.end_text()
            self.take_code(token)

    def take_code(self, token):
        if token == "(":
            self.calls.append(self.last)
        elif token == ")" and self.calls:
            self.calls.pop()
        elif token == "[" and re.match(r"[A-Za-z_]", self.last):
            self.table = self.last
        elif token == ";":
            self.table, self.hidden = "", False
        self.before, self.last = self.last, token

    def end_text(self):
        text, self.joined = self.joined, None
        if text is None or NOT_SHOWN.intersection(self.calls):
            return
        if WORDS.search(text):
            if not self.hidden:
                self.texts[re.sub(r"(\\\\n)+$", "", text)] = True
        elif not WORD.match(text):
            pass
        elif self.calls and self.calls[-1] == "KV" and self.last == "(":
            self.keys[text] = True
        elif self.table.lower().endswith("words") or (self.last == "," and self.before.startswith("VERDICT_")):
            self.words[text] = True
        self.last = ""


def messages(root):
    lines = []
    for folder, _, names in sorted(os.walk(os.path.join(root, "src"))):
        for name in sorted(names):
            if not name.endswith((".c", ".cc", ".h")) or FOR_TESTS.search(name):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                found = Texts(file.read())
            if found.texts or found.words or found.keys:
                lines.append(f"== {os.path.relpath(path, root)}")
                lines += found.texts
                lines += [f"words: {' '.join(found.words)}"] if found.words else []
                lines += [f"keys: {' '.join(found.keys)}"] if found.keys else []
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
