#!/usr/bin/env python3
"""inputs.py - the load of bench/scenarios/inputs.sh: samples of the same series in the forms of other protocols.

    inputs.py make FORM DIR SERIES SCRAPES BATCH START_S   writes the bodies of requests
    inputs.py send URL DIR CONNECTIONS [HEADER...]         sends them; prints samples and refusals

Forms: influx, otlp, opentsdb, text, json_lines, csv. A series is a field of a host: ten fields for each. Values have two
decimals and change by little, as those of real gauges."""
import http.client
import json
import os
import random
import struct
import sys
import threading
import urllib.parse

FIELDS = ("idle", "user", "system", "iowait", "irq", "softirq", "steal", "nice", "guest", "load")


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(number, key, value):
    return field(number, field(1, key.encode()) + field(2, field(1, value.encode())))


class Load:
    def __init__(self, series, start):
        rng = random.Random(1)
        self.hosts = [f"web-{i:05d}" for i in range(series // len(FIELDS))]
        self.start, self.rng = start, rng
        self.values = [[rng.randrange(100, 10000) for _ in FIELDS] for _ in self.hosts]

    def scrape(self, number, first, count):
        """(host, time in s, values) of some hosts"""
        for i in range(first, first + count):
            values = self.values[i]
            for k in range(len(FIELDS)):
                values[k] = max(0, values[k] + self.rng.randrange(-40, 41))
            yield self.hosts[i], self.start + 15 * number, [v / 100 for v in values]


def put_influx(rows):
    return "".join(f"cpu,host={h},region=eu {','.join(f'{n}={v}' for n, v in zip(FIELDS, vs))} {t}000000000\n"
                   for h, t, vs in rows).encode()


def put_opentsdb(rows):
    return json.dumps([{"metric": f"cpu_{n}", "timestamp": t, "value": v, "tags": {"host": h, "region": "eu"}}
                       for h, t, vs in rows for n, v in zip(FIELDS, vs)], separators=(",", ":")).encode()


def put_text(rows):
    return "".join(f'cpu_{n}{{host="{h}",region="eu"}} {v} {t}000\n' for h, t, vs in rows for n, v in zip(FIELDS, vs)).encode()


def put_json_lines(rows):
    return "".join(f'{{"metric":{{"__name__":"cpu_{n}","host":"{h}","region":"eu"}},"values":[{v}],"timestamps":[{t}000]}}\n'
                   for h, t, vs in rows for n, v in zip(FIELDS, vs)).encode()


def put_csv(rows):
    return "".join(f"{h},eu,{','.join(map(str, vs))},{t}\n" for h, t, vs in rows).encode()


def put_otlp(rows):
    metrics = [b""] * len(FIELDS)
    for host, t, values in rows:
        labels = attribute(7, "host", host) + attribute(7, "region", "eu")
        time = b"\x19" + struct.pack("<Q", t * 10**9)
        for i, v in enumerate(values):
            metrics[i] += field(1, time + b"\x21" + struct.pack("<d", v) + labels)
    body = b"".join(field(2, field(1, f"cpu_{n}".encode()) + field(5, points)) for n, points in zip(FIELDS, metrics))
    return field(1, field(1, attribute(1, "service.name", "node")) + field(2, body))


FORMS = {"influx": put_influx, "otlp": put_otlp, "opentsdb": put_opentsdb, "text": put_text, "json_lines": put_json_lines,
         "csv": put_csv}


def make(form, directory, series, scrapes, batch, start):
    load, hosts, number = Load(series, start), max(1, batch // len(FIELDS)), 0
    for scrape in range(scrapes):
        for first in range(0, len(load.hosts), hosts):
            body = FORMS[form](list(load.scrape(scrape, first, min(hosts, len(load.hosts) - first))))
            with open(f"{directory}/{number:06d}", "wb") as f:
                f.write(body)
            number += 1


def send(url, directory, connections, headers):
    parts = urllib.parse.urlsplit(url)
    names, lock, bad = iter(sorted(os.listdir(directory))), threading.Lock(), []

    def run():
        there = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            with open(f"{directory}/{name}", "rb") as f:
                body = f.read()
            there.request("POST", parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = there.getresponse()
            text = answer.read()
            if answer.status >= 300:
                bad.append(f"{answer.status} {text[:200]!r}")

    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bad:
        sys.exit(f"{len(bad)} requests were refused: {bad[0]}")


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:8]))
else:
    send(sys.argv[2], sys.argv[3], int(sys.argv[4]), dict(h.split(": ", 1) for h in sys.argv[5:]))
