#!/usr/bin/env python3
"""includes.py - checks that every #include of src/ follows docs/rooms.txt; `make check` runs it.

The table lists folders from the bottom up:

    FOLDER    PUBLIC HEADERS    may include FOLDERS

A folder may include the folders in its line (FOLDER/ names the folders inside as well), all of
which are above it in the table: so there is no cycle. Other folders may include its public headers
only (* means all but those with a - before their name; *_private.h never are public). A folder
within a folder may also include the folders of the outer one, and public headers of the outer one
itself, unless these include a header of the inner folder. The outer folder may include public
headers of inner folders, and so make them available to others. A header that no other folder
includes must not be listed as public. Tests may include every header of their outermost folder. No
two files define the same struct tag.

    includes.py [--root DIR] [--lines]      --lines: prints the lines of each folder as well

Prints each violation on a line and exits with 1 if there is one.
"""

import argparse
import os
import re
import sys

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
ASSERTS = re.compile(r"\bassert\(")
TAG = re.compile(r"^(?:static |const |extern )*(?:struct|union|enum) (\w+)\s*\{", re.MULTILINE)
PRIVATE = re.compile(r"_private\.h$")
FOR_TESTS = re.compile(r"(_test|_fuzz)\.c$")


class Folder:
    def __init__(self, name, headers, uses):
        self.name = name
        self.headers = headers
        self.uses = uses
        self.outer = os.path.dirname(name)

    def shows(self, header):
        if PRIVATE.search(header) or f"-{header}" in self.headers:
            return False
        return "*" in self.headers or header in self.headers


def read_table(path, problems):
    folders = {}
    with open(path, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            line = line.split("#")[0]
            if not line.strip():
                continue
            fields = [field.split() for field in line.split("|")]
            if len(fields) != 3 or len(fields[0]) != 1:
                problems.append(f"{path}:{number}: expected FOLDER | HEADERS | FOLDERS")
                continue
            name = fields[0][0]
            uses = set()
            for use in fields[2]:
                named = [f for f in folders if f == use.rstrip("/") or use[-1] == "/" and f.startswith(use)]
                if not named:
                    problems.append(f"{path}:{number}: {name} may not include {use}, which does not stand above it")
                uses.update(named)
            folders[name] = Folder(name, fields[1], uses)
    return folders


def may_use(folders, user, used):
    """Returns True if files of folder `user` may include public headers of folder `used`."""
    if used in folders[user].uses or used == folders[user].outer:
        return True
    outer = folders[user].outer
    return outer != "" and may_use(folders, outer, used)


def leads_to(includes, header, folder, seen):
    """Returns the first header of `folder` that `header` includes, also by others; or None."""
    for name in includes.get(header, []):
        if os.path.dirname(name) == folder:
            return name
        if name not in seen:
            seen.add(name)
            found = leads_to(includes, name, folder, seen)
            if found:
                return found
    return None


def problem_of(folders, includes, path, header):
    user, used = os.path.dirname(path), os.path.dirname(header)
    name = os.path.basename(header)
    if used not in folders:
        return f"{used or header} is not in the table"
    if user == used:
        return None
    if FOR_TESTS.search(path) and user.split("/")[0] == used.split("/")[0]:
        return None
    inside = used.startswith(f"{user}/")
    if not inside and not may_use(folders, user, used):
        return f"{user} may not include {used}"
    if not folders[used].shows(name):
        return f"{name} is private to {used}"
    back = leads_to(includes, header, user, set()) if used == folders[user].outer else None
    return f"{header} leads back to {back}" if back else None


def shared_tags(tags):
    for tag, paths in sorted(tags.items()):
        if len(paths) > 1:
            yield f"{tag} is a tag in {', '.join(sorted(paths))}: give each a name of its own"


def sources(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if name.endswith((".c", ".cc", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=".")
    parser.add_argument("--lines", action="store_true")
    args = parser.parse_args()
    root = os.path.join(args.root, "src")
    problems = []
    folders = read_table(os.path.join(args.root, "docs/rooms.txt"), problems)
    lines = dict.fromkeys(folders, 0)
    includes, wanted = {}, set()  # headers by file; headers that other folders include
    tags = {}  # files that define a tag, by tag
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as source:
            text = source.read()
        if os.path.dirname(path) not in folders:
            problems.append(f"src/{path}: its folder is not in docs/rooms.txt")
            continue
        if not FOR_TESTS.search(path):
            lines[os.path.dirname(path)] += text.count("\n")
            for match in TAG.finditer(text):
                tags.setdefault(match.group(1), set()).add(f"src/{path}")
        # Other headers may include it, or not, on another system.
        if ASSERTS.search(text) and "#include <assert.h>" not in text:
            problems.append(f"src/{path}: asserts without <assert.h>")
        includes[path] = []
        for match in INCLUDE.finditer(text):
            header = match.group(1)
            if os.path.exists(os.path.join(root, header)):  # a header for tests may be generated
                includes[path].append(header)
                if not FOR_TESTS.search(path) and os.path.dirname(header) != os.path.dirname(path):
                    wanted.add(header)
    for path, headers in includes.items():
        problems += [f"src/{path}: {p}" for p in (problem_of(folders, includes, path, h) for h in headers) if p]
    problems += shared_tags(tags)
    for folder in folders.values():
        public = (f"{folder.name}/{header}" for header in folder.headers if header[0] not in "*-")
        problems += [f"docs/rooms.txt: no other folder includes {h}" for h in public if h not in wanted]
    if args.lines:
        for name, count in lines.items():
            print(f"{count:7} {name}")
        print(f"{sum(lines.values()):7} in all, tests not counted")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
