#!/usr/bin/env python3
"""compare.py - compares the samples that two servers recorded, and the alerts that they sent.

    compare.py series URL URL SELECTOR START END [EXCEPT_START EXCEPT_END]...
    compare.py since URL URL SELECTOR START END [EXCEPT_START EXCEPT_END]...
    compare.py within URL URL SELECTOR START END [EXCEPT_START EXCEPT_END]...
    compare.py told FILE FILE START END [EXCEPT_START EXCEPT_END]...

Of series: all samples of the selector between the times, staleness markers too as far as they show: a series that
ended shows for no time after. `since`: values are times, as those of ALERTS_FOR_STATE, and values that are excepted times do
not count, either. `within`: the second server may have more samples than the first one, and show one of these as the last
of its series. `told`, of files as world.py gives them: which alerts began to fire when, with what, were resolved when, and
were sent as firing again with the same start. What touches an excepted time does not count. Prints what differs, and exits
with 1.
"""

import calendar
import json
import sys
import time
import urllib.parse
import urllib.request


EXCEPTED = "at an excepted time"


def excepted(seconds, ranges):
    return any(begin <= seconds <= end for begin, end in ranges)


def series(url, selector, start, end, ranges):
    samples = {}
    query = urllib.parse.urlencode({"query": "%s[%ds]" % (selector, end - start), "time": end})
    with urllib.request.urlopen("%s/api/v1/query?%s" % (url, query)) as answer:
        for one in json.load(answer)["data"]["result"]:
            labels = json.dumps(one["metric"], sort_keys=True)
            for t, value in one.get("values", []):
                if not excepted(t, ranges):
                    samples[labels, t] = value
    # Gets the times at which each series exists: once per second.
    query = urllib.parse.urlencode({"query": selector, "start": start, "end": end, "step": 1})
    with urllib.request.urlopen("%s/api/v1/query_range?%s" % (url, query)) as answer:
        for one in json.load(answer)["data"]["result"]:
            labels = json.dumps(one["metric"], sort_keys=True)
            for t, value in one["values"]:
                if not excepted(t, ranges):
                    samples["last of " + labels, t] = value
    return samples


def seconds_of(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0." + (text[20:].rstrip("Z") or "0"))


def resolved(alert):
    """Says whether a notification ends an alert: firing ones end minutes later."""
    return alert["told"] >= seconds_of(alert["endsAt"])


def told(path, start, end, ranges):
    found = {}
    with open(path) as file:
        for line in file:
            alert = json.loads(line)
            labels = json.dumps(alert["labels"], sort_keys=True)
            begins, ends = seconds_of(alert["startsAt"]), seconds_of(alert["endsAt"])
            if not start <= begins <= end or excepted(begins, ranges):
                continue
            found.setdefault(("fires " + labels, alert["startsAt"]), alert["generatorURL"])
            over = "is over " + labels, alert["startsAt"]
            if resolved(alert) and ends <= end:
                found[over] = EXCEPTED if excepted(ends, ranges) else alert["endsAt"]
            if not resolved(alert):
                if over in found:
                    found["fires again " + labels, alert["startsAt"]] = alert["told"]
                found["says " + labels, json.dumps(alert.get("annotations", {}), sort_keys=True)] = ""
    return found


def main():
    what, one, other = sys.argv[1:4]
    rest = sys.argv[4:]
    if what != "told":
        selector, rest = rest[0], rest[1:]
    numbers = [float(n) for n in rest]
    start, end = numbers[0], numbers[1]
    ranges = list(zip(numbers[2::2], numbers[3::2]))
    if what == "told":
        a, b = (told(path, start, end, ranges) for path in (one, other))
    else:
        a, b = (series(url, selector, int(start), int(end), ranges) for url in (one, other))
    times = {}  # of the second server's samples
    for labels, t in b if what == "within" else ():
        times.setdefault("last of " + labels, []).append(t)
    differ = 0
    for key in sorted(set(a) | set(b), key=str):
        values = a.get(key), b.get(key)
        if values[0] == values[1] or EXCEPTED in values or (what == "within" and values[0] is None):
            continue
        last = max((t for t in times.get(key[0], ()) if t <= key[1]), default=None)
        if last is not None and (key[0].removeprefix("last of "), last) not in a:
            continue
        if what == "since" and any(v is not None and excepted(float(v), ranges) for v in values):
            continue
        differ += 1
        if differ <= 40:
            print("%s: %r and %r" % (key, *values))
    print("%d compared, %d differ" % (len(set(a) | set(b)), differ))
    sys.exit(1 if differ or not a else 0)


main()
