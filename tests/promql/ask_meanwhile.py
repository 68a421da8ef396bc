#!/usr/bin/python3
"""ask_meanwhile.py - sends queries to a server again and again, while something happens to it.

    ask_meanwhile.py URL SMALL SMALL_VALUE HEAVY HEAVY_VALUE

Three threads send the expression SMALL, one sends HEAVY; each must return the given value. A line
"begin" on standard input is answered while a heavy query runs, "end" after queries that began after
the "begin", a heavy one and twenty small ones: with "small=N heavy=N" and, if any, the first wrong
answer since. The end of the input ends it.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse

SMALL_THREADS, SMALL_ANSWERS = 3, 20
SMALL_PAUSE_S = 0.1  # per thread: the heavy query should get most of the processor


class Asker:
    def __init__(self, url, small, heavy):
        self.netloc = urllib.parse.urlsplit(url).netloc
        self.changed = threading.Condition()
        self.queries = {"small": small, "heavy": heavy}
        self.begun = {"small": 0, "heavy": 0}
        self.answered = {"small": 0, "heavy": 0}
        self.round = 0  # queries that began before it do not count
        self.running = False  # says whether a heavy query of the round runs
        self.wrong = None
        self.stopping = False

    def ask(self, connection, query):
        body = urllib.parse.urlencode({"query": query})
        connection.request("POST", "/api/v1/query", body, {"Content-Type": "application/x-www-form-urlencoded"})
        return connection.getresponse().read().decode()

    def wrong_about(self, text, value):
        try:
            answer = json.loads(text)
            result = answer["data"]["result"]
            right = len(result) == 1 and result[0]["value"][1] == value and not answer.get("warnings")
        except (ValueError, KeyError, TypeError):
            right = False
        return None if right else text[:500]

    def work(self, kind):
        query, value = self.queries[kind]
        connection = http.client.HTTPConnection(self.netloc, timeout=120)
        while not self.stopping:
            with self.changed:
                mine = self.round
                if kind == "heavy":
                    self.running = mine > 0
                    self.changed.notify_all()
            try:
                wrong = self.wrong_about(self.ask(connection, query), value)
            except (OSError, http.client.HTTPException) as e:
                wrong = repr(e)
                connection.close()
            with self.changed:
                if wrong and not self.wrong:
                    self.wrong = "%s: %s" % (query, wrong)
                self.answered[kind] += mine == self.round
                self.changed.notify_all()
            if kind == "small":
                time.sleep(SMALL_PAUSE_S)

    def begin(self):
        with self.changed:
            self.round += 1
            self.running = False
            self.wrong = None
            self.answered = {"small": 0, "heavy": 0}
            self.changed.wait_for(lambda: self.running or self.wrong)
        print("begun", flush=True)

    def end(self):
        with self.changed:
            self.changed.wait_for(
                lambda: self.wrong or (self.answered["heavy"] > 0 and self.answered["small"] >= SMALL_ANSWERS))
            print("small=%d heavy=%d %s" % (self.answered["small"], self.answered["heavy"], self.wrong or ""), flush=True)


def main():
    url, small, small_value, heavy, heavy_value = sys.argv[1:]
    asker = Asker(url, (small, small_value), (heavy, heavy_value))
    threads = [threading.Thread(target=asker.work, args=(kind,), daemon=True)
               for kind in ["heavy"] + ["small"] * SMALL_THREADS]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        asker.begin() if line.strip() == "begin" else asker.end()
    asker.stopping = True


if __name__ == "__main__":
    main()
