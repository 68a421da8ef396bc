#!/usr/bin/python3
"""same_pages.py - requests the same pages of /api/v1 from two servers, and compares the answers, byte for byte.

    same_pages.py [--data] URL_A URL_B <PAGES

A line is a page: its path below /api/v1 and its parameters, NAME=VALUE, each after a tab. The first
page for which A's answer is not a success, or B's differs, is printed with the start of both; the
status is 1 then. With --data warnings may differ.
"""

import http.client
import json
import sys
import urllib.parse


class Server:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)

    def page(self, path, parameters, only_data):
        self.connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = self.connection.getresponse().read()
        if only_data:
            parts = {name: part for name, part in json.loads(answer).items() if name not in ("warnings", "infos")}
            answer = json.dumps(parts, separators=(",", ":")).encode()
        return answer


def main():
    only_data = sys.argv[1] == "--data"
    a, b = map(Server, sys.argv[1 + only_data :])
    count = 0
    for line in sys.stdin.read().splitlines():
        path, *parameters = line.split("\t")
        parameters = [tuple(parameter.split("=", 1)) for parameter in parameters]
        ours, theirs = a.page(path, parameters, only_data), b.page(path, parameters, only_data)
        count += 1
        if not ours.startswith(b'{"status":"success",') or ours != theirs:
            print(line, ours[:300], theirs[:300], sep="\n")
            return 1
    print(f"{count} pages are the same")
    return 0 if count else 1


sys.exit(main())
