#!/usr/bin/python3
"""prk_archive.py - makes an archive like that of prometheus_remote_kinesis and a delivery stream into S3.

    prk_archive.py DIR FLAT [--stretch N] [--delay SECONDS] [--junk N] < our.ndjson

The adapter writes one JSON object per line with the members name, time, value and labels, in this
order and without blanks; value is null for a NaN of any kind, and samples of plus or minus infinity
are missing. A series without float samples (native histograms) becomes a row with time 0 and value
null. The delivery stream puts records of some minutes into one gzip object, named for the hour in UTC
in which they arrived: YYYY/MM/DD/HH/stream-1-<time>-<number>.gz. Objects have several members.

FLAT gets the same lines as one file, for an import. --stretch makes the time between samples N
times longer, --delay lets records arrive later by SECONDS, --junk adds a row without a sample after
each N thousand lines.
"""
import argparse
import collections
import gzip
import json
import os
import struct
import sys
import time


def row_of(line, first, options):
    """A line of ours as the adapter writes it; None: it does not."""
    sample = json.loads(line)
    if first[0] is None:
        first[0] = sample["time"]
    at = first[0] + (sample["time"] - first[0]) * options.stretch
    value = sample["value"]
    if "histogram" in sample or ("exemplars" in sample and value is None):
        at, value = 0, None
    elif "bits" in sample:
        number = struct.unpack(">d", bytes.fromhex(sample["bits"]))[0]
        if number in (float("inf"), float("-inf")):
            return None
    return {"name": sample["name"], "time": at, "value": value, "labels": sample["labels"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("flat")
    parser.add_argument("--stretch", type=int, default=1)
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--junk", type=int, default=0)
    options = parser.parse_args()
    objects = collections.defaultdict(list)
    first, count = [None], 0
    with open(options.flat, "w", encoding="utf-8") as flat:
        for line in sys.stdin:
            row = row_of(line, first, options)
            if row is None:
                continue
            text = json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n"
            arrival = row["time"] // 1000 + options.delay if row["time"] else first[0] // 1000
            count += 1
            if options.junk and count % (1000 * options.junk) == 0:
                text += json.dumps({**row, "time": 0, "value": None}, separators=(",", ":")) + "\n"
            flat.write(text)
            objects[arrival // 600].append(text)
    for number, (slot, lines) in enumerate(sorted(objects.items())):
        hour = time.gmtime(slot * 600)
        path = os.path.join(options.dir, time.strftime("%Y/%m/%d/%H", hour))
        os.makedirs(path, exist_ok=True)
        name = time.strftime("stream-1-%Y-%m-%d-%H-%M-%S-", hour) + f"{number:08d}.gz"
        with open(os.path.join(path, name), "wb") as to:
            for at in range(0, len(lines), 2000):
                to.write(gzip.compress("".join(lines[at:at + 2000]).encode("utf-8"), 1))


main()
