#!/usr/bin/python3
"""month.py - makes an archive like a delivery stream: gzip objects of five minutes of NDJSON.

    month.py FILES S3RVER --series N --days D --end UNIX_SECONDS < lines.ndjson

The lines are samples of a capture, as Firekeep's destinations write them. N of the series that
have many samples are continued, a sample each minute, with the values of the capture over and over.
Objects are named FILES/YYYY/MM/DD/HH/metrics-1-YYYY-MM-DD-HH-MM-SS-NUMBER.gz for the time at which
their first sample arrived. S3RVER gets the same objects as s3rver's bucket "metrics", by hard links.
It prints objects=, samples=, plain_bytes= and bytes=.
"""
import argparse
import hashlib
import os
import re
import sys
import time
import zlib

OBJECT_S = 300
INTERVAL_S = 60
SAMPLES_MIN = 60  # series of the capture with fewer samples are not used


def read_series(lines, wanted):
    """Returns the lines of each chosen series, each split at its time."""
    series = {}
    pattern = re.compile(r'^(.*"time":)\d+(,.*\n)$')
    for line in lines:
        match = pattern.match(line)
        labels = line[line.index('"labels":') :]
        labels = line[: line.index('"time":')] + labels
        series.setdefault(labels, []).append(match.groups())
    long = [pieces for pieces in series.values() if len(pieces) >= SAMPLES_MIN]
    if len(long) < wanted:
        sys.exit(f"month.py: {len(long)} series have {SAMPLES_MIN} samples and more, {wanted} are wanted")
    return [long[i * len(long) // wanted] for i in range(wanted)]


def write_object(options, series, start, number):
    parts = []
    for at in range(start, start + OBJECT_S, INTERVAL_S):
        scrape = at // INTERVAL_S
        text = str(at * 1000)
        for pieces in series:
            before, after = pieces[scrape % len(pieces)]
            parts.append(before + text + after)
    plain = "".join(parts).encode()
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = packer.compress(plain) + packer.flush()
    hour = time.strftime("%Y/%m/%d/%H/", time.gmtime(start))
    name = hour + time.strftime("metrics-1-%Y-%m-%d-%H-%M-%S-", time.gmtime(start)) + f"{number:08d}.gz"
    path = os.path.join(options.files, name)
    linked = os.path.join(options.s3rver, "metrics", name + "._S3rver_object")
    for each in (path, linked):
        os.makedirs(os.path.dirname(each), exist_ok=True)
    with open(path, "wb") as file:
        file.write(packed)
    os.link(path, linked)
    with open(linked + ".md5", "w", encoding="ascii") as file:
        file.write(hashlib.md5(packed).hexdigest())
    return len(parts), len(plain), len(packed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files")
    parser.add_argument("s3rver")
    parser.add_argument("--series", type=int, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--end", type=int, required=True)
    options = parser.parse_args()
    series = read_series(sys.stdin, options.series)
    end = options.end // 3600 * 3600
    starts = range(end - options.days * 86400, end, OBJECT_S)
    sums = [0, 0, 0]
    pids = []
    # Each processor has a process, which writes its share of the objects.
    count = os.cpu_count() or 1
    for share in range(count):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            mine = [0, 0, 0]
            for i, start in enumerate(starts):
                if i % count == share:
                    mine = [a + b for a, b in zip(mine, write_object(options, series, start, i))]
            os.write(write_end, " ".join(map(str, mine)).encode())
            os._exit(0)
        os.close(write_end)
        pids.append((pid, read_end))
    for pid, read_end in pids:
        sums = [a + int(b) for a, b in zip(sums, os.read(read_end, 200).split())]
        if os.waitpid(pid, 0)[1] != 0:
            sys.exit("month.py: an object cannot be written")
    print(f"objects={len(starts)}\nsamples={sums[0]}\nplain_bytes={sums[1]}\nbytes={sums[2]}")


if __name__ == "__main__":
    main()
