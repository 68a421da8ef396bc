#!/usr/bin/env python3
"""repeat_capture.py - makes hours of samples of a short capture, for the pictures of docs/images.

    firekeep export --format=ndjson ... | repeat_capture.py HOURS STEP AGO | firekeep import --format=ndjson -

The capture of each job, and of its histograms, is repeated until it ends a quarter of an hour after
AGO hours ago. Counters go on from one repetition to the next, so their rates are those of the
capture, except that the load of the job "shop" rises and falls. One sample in STEP seconds is kept,
and staleness markers are not.
"""

import json
import math
import re
import sys
import time

COUNTER = re.compile(r"_(total|count|sum|bucket)$")
AHEAD_MS = 900_000


def read(lines, step):
    """The samples of each series, in the order of time: (ms, value, histogram)."""
    series = {}
    for line in lines:
        item = json.loads(line)
        histogram = item.get("histogram")
        if "labels" not in item or (histogram is None and not isinstance(item.get("value"), (int, float))):
            continue
        labels = json.dumps(item["labels"], sort_keys=True)
        kept = series.setdefault(labels, [])
        if not kept or item["time"] // step > kept[-1][0] // step:
            kept.append((item["time"], item.get("value"), histogram))
    return series


def by_job(series):
    """The series of each job, and its histograms: their captures have lengths of their own."""
    jobs = {}
    for labels, samples in series.items():
        jobs.setdefault((json.loads(labels)["job"], samples[0][2] is not None), {})[labels] = samples
    return jobs


def repeat(series, hours, step, end):
    first = min(samples[0][0] for samples in series.values())
    last = max(samples[-1][0] for samples in series.values())
    length = last - first + step
    count = int(hours * 3_600_000 / length) + 1
    for labels, samples in series.items():
        parsed = json.loads(labels)
        is_counter = COUNTER.search(parsed["__name__"]) is not None
        total, before = 0.0, None
        for turn in range(count):
            for ms, value, histogram in samples:
                at = ms + end - last - (count - 1 - turn) * length
                item = {"name": parsed["__name__"], "time": at, "labels": parsed, "value": value}
                if histogram is not None:
                    item["histogram"] = histogram
                elif is_counter:
                    grown = 0 if before is None or value < before else value - before
                    total += grown * load(at, end) if parsed["job"] == "shop" else grown
                    item["value"], before = total, value
                print(json.dumps(item))
            if before is not None:
                before = samples[0][1]


def load(ms, end):
    """The shop has more and fewer customers, so that repetitions look different."""
    return 1 + 0.5 * math.sin((ms - end) / 3_000_000) + 0.2 * math.sin((ms - end) / 1_100_000)


def main():
    hours, step, ago = (float(argument) for argument in sys.argv[1:])
    end = int(time.time() * 1000) + AHEAD_MS - int(ago * 3_600_000)
    for series in by_job(read(sys.stdin, int(step * 1000))).values():
        repeat(series, hours, int(step * 1000), end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
