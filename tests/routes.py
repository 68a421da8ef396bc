#!/usr/bin/env python3
"""routes.py - the routes of the HTTP API, read from the table in src/api/api.c, as a table of a document.

    routes.py                       prints the table
    routes.py --check FILE          prints differences from the table in FILE, and exits with 1 if any
    routes.py --write FILE          replaces the table in FILE

The table follows the line `### Routes`. A commit that changes a route changes docs/security.md.
Tests import this module: e2e/noninterference.sh must have a request for each route.
"""

import argparse
import difflib
import itertools
import re
import sys

SOURCE = "src/api/api.c"
HEADING = "### Routes\n"
ROW = re.compile(r'\{\s*"(?P<path>[^"]*)",\s*(?P<methods>[A-Z_| \n]+),\s*ACCESS_(?P<access>[A-Z]+),\s*QUEUE_[A-Z]+,'
                 r"\s*(?P<run>\w+)(?:,\s*(?P<needs>[A-Z| \n]+))?\s*\}")
COMMENT = re.compile(r'("[^"]*")|/\*.*?\*/', re.DOTALL)
PERMISSIONS = {
    "WRITE": "`write`", "READ": "`read`", "EITHER": "`read`, or `write` to create", "RULES": "`rules`", "ADMIN": "`admin`", "METRICS": "`metrics`",
    "PROCESS": "`admin` or `metrics`", "KNOWN": "every user", "OPEN": "everyone",
}
WITHOUT_SERIES = {"WRITE", "KNOWN", "OPEN"}


class Route:
    def __init__(self, match):
        self.path = match["path"]
        self.methods = re.findall(r"HTTP_([A-Z]+)", match["methods"])
        self.access = match["access"]
        self.needs = set(re.findall(r"[A-Z]+", match["needs"] or ""))
        if self.access not in PERMISSIONS or not self.methods:
            raise SystemExit(f"{SOURCE}: cannot read the route {self.path}")
        # The help of --web.enable-admin-api says so.
        if ("ADMIN" in self.needs) != self.path.startswith("/api/v1/admin/"):
            raise SystemExit(f"{SOURCE}: {self.path} is not below /api/v1/admin/, or does not need ADMIN")

    def changing(self):
        """The methods that change something: all but those that ask, of which POST has a form."""
        asks = {"GET", "OPTIONS"} | ({"POST"} if self.access in ("READ", "EITHER") else set())
        return [method for method in self.methods if method not in asks]

    def label_access(self):
        """How the answer depends on the series that the request may see, as lacks_fence() of api.c decides it."""
        if self.access in WITHOUT_SERIES:
            return "no series"
        if "FENCED" in self.needs:
            return "restricted"
        return "own queries" if "OWN" in self.needs else "403"

    def is_of_api(self):
        """True if the path is also served below /prometheus."""
        return self.path.startswith("/api/v1/")


def routes():
    with open(SOURCE, encoding="utf-8") as source:
        text = source.read()
    table = re.search(r"\broute_table\[\] = \{(.*?)\n\};", text, re.DOTALL)
    if not table:
        raise SystemExit(f"{SOURCE}: there is no route_table")
    rows = COMMENT.sub(lambda match: match[1] or "", table[1])
    found = [Route(match) for match in ROW.finditer(rows)]
    if not found or len(found) != rows.count("{"):
        raise SystemExit(f"{SOURCE}: {rows.count('{')} routes, of which {len(found)} can be read")
    return found


def cells(route):
    """The cells of a route's row besides its path."""
    changing = ", ".join(route.changing()) or "–"
    return ", ".join(route.methods), PERMISSIONS[route.access], changing, route.label_access()


def table():
    """Rows of the document. Routes that follow each other and differ only in their paths have one row."""
    yield "| Methods | Paths | Permission | Changes something | Label access |\n"
    yield "|---|---|---|---|---|\n"
    for (methods, *rest), group in itertools.groupby(routes(), cells):
        paths = ", ".join(f"`{route.path}{'?q=' * ('ASKED' in route.needs)}`" for route in group)
        yield f"| {' | '.join([methods, paths, *rest])} |\n"


def place(lines, file):
    """The first line of the table in a document, and the one after it."""
    try:
        begin = lines.index(HEADING)
    except ValueError:
        raise SystemExit(f"{file}: there is no line {HEADING.strip()!r}") from None
    while begin < len(lines) and not lines[begin].startswith("|"):
        begin += 1
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return begin, end


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", metavar="FILE")
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    wanted, file = list(table()), args.check or args.write
    if file is None:
        sys.stdout.writelines(wanted)
        return 0
    with open(file, encoding="utf-8") as document:
        lines = document.readlines()
    begin, end = place(lines, file)
    if args.check:
        differences = list(difflib.unified_diff(lines[begin:end], wanted, file, SOURCE))
        sys.stdout.writelines(differences)
        if differences:
            print(f"make routes writes the table in {file}")
        return 1 if differences else 0
    lines[begin:end] = wanted
    with open(file, "w", encoding="utf-8") as document:
        document.writelines(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
