#!/usr/bin/env python3
"""named_files.py - checks that the files named by comments and documents exist; `make check` runs it.

A name may leave out folders: it means every file of the tree that ends with it. Prints each name
without a file, one per line, and exits with 1. So it does for a comment whose lines were joined, with
the mark of a line left between two sentences.
"""

import os
import re
import sys

NAME = re.compile(r"(?<![\w/.$*{}<>-])[a-z_0-9][a-z_0-9/-]*\.(?:c|h|md|sh|py|png)\b(?![\w*(])")
COMMENT = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
JOINED = re.compile(r"[a-z][.:;)] \* [A-Z]")
# These are files of other projects and of the system.
FOREIGN = {"cmocka.h", "linux/tcp.h", "tsdb/docs/format/chunks.md"}


def main():
    files = [name for name in os.listdir(".") if os.path.isfile(name)]
    for root in ("bench", "docs", "packaging", "src", "tests", "web"):
        files += [os.path.join(folder, name) for folder, _, names in os.walk(root)
                  if "/node_modules" not in folder for name in names]
    known = set(FOREIGN)
    for path in files:
        parts = path.split("/")
        known.update("/".join(parts[i:]) for i in range(len(parts)))
    wrong = 0
    for path in sorted(files):
        if not path.endswith((".c", ".h", ".md")):
            continue
        with open(path, encoding="utf-8") as source:
            text = source.read()
        places = [(0, text)]
        if not path.endswith(".md"):
            places = [(m.start(), m.group()) for m in COMMENT.finditer(text) if m.group().startswith("/*")]
        for start, place in places:
            for joined in JOINED.finditer(place) if place.startswith("/*") else ():
                print(f"{path}:{text.count(chr(10), 0, start + joined.start()) + 1}: lines of a comment were joined")
                wrong = 1
            for name in NAME.finditer(place):
                if name.group() not in known:
                    line = text.count("\n", 0, start + name.start()) + 1
                    print(f"{path}:{line}: there is no {name.group()}")
                    wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
