#!/usr/bin/python3
"""point_lines.py - points of InfluxDB and OpenTSDB as lines of NDJSON, for aws_content.py, by docs/destinations/codings.md.

    point_lines.py stored influxdb URL DATABASE   points in an InfluxDB 1, written by a destination of type influxdb
    point_lines.py stored opentsdb URL DATABASE   ... or by one of type opentsdb, through its listener for that
    point_lines.py sent influxdb FILE             requests recorded by doubles/fault_proxy.py: bodies of
    point_lines.py sent opentsdb FILE             line protocol, or of /api/put

Python's standard library is all it needs.
"""

import gzip
import json
import re
import struct
import sys
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from aws_content import plain_word_undone

FIELDS = ("value", "bits", "histogram")


# --- names and values -----------------------------------------------------------------------------


def percent_undone(text):
    """`~%` and what follows, back to bytes."""
    return urllib.parse.unquote_to_bytes(text[2:]) if text.startswith("~%") else text.encode()


def adapter_undone(text):
    """The escaping of Prometheus' own adapter: `__`, `_.`, `_XX`."""
    out, at, text = b"", 0, text.encode()
    while at < len(text):
        if text[at : at + 1] != b"_":
            out, at = out + text[at : at + 1], at + 1
        elif text[at + 1 : at + 2] in (b"_", b"."):
            out, at = out + (b"_" if text[at + 1 : at + 2] == b"_" else b":"), at + 2
        else:
            out, at = out + bytes([int(text[at + 1 : at + 3], 16)]), at + 3
    return out


def put_line(labels, time, kind, value):
    """A line; labels are pairs of bytes."""
    texts, others = {}, {}
    for name, what in labels:
        try:
            texts[name.decode()] = what.decode()
        except UnicodeDecodeError:
            others[name.hex()] = what.hex()
    line = {"name": texts.get("__name__", ""), "time": time, "value": None, "labels": texts}
    if others:
        line["labels_hex"] = others
    line[kind] = json.loads(value) if kind == "histogram" else value
    print(json.dumps(line))


def put_influxdb(tags, time, kind, value):
    put_line([(percent_undone(name), percent_undone(what)) for name, what in tags], time, kind, value)


def put_opentsdb(metric, tags, time, value):
    labels = [(b"__name__", adapter_undone(metric))]
    labels += [(plain_word_undone(name), adapter_undone(what)) for name, what in tags]
    put_line(labels, time, "value", value)


# --- stored points --------------------------------------------------------------------------------


def number(text):
    return -0.0 if text == "-0" else int(text)


def series_of(url, database):
    """Every row of every measurement: its name, its tags, its time, its fields."""
    query = {"db": database, "q": "SELECT * FROM /.*/ GROUP BY *", "epoch": "ns", "chunked": "true", "chunk_size": "20000"}
    with urllib.request.urlopen(url + "/query?" + urllib.parse.urlencode(query)) as answer:
        for text in answer:
            for result in json.loads(text, parse_int=number)["results"]:
                if "error" in result:
                    sys.exit(result["error"])
                for series in result.get("series", ()):
                    for row in series["values"]:
                        yield series["name"], series.get("tags", {}), dict(zip(series["columns"], row))


def stored(kind, url, database):
    for name, tags, row in series_of(url, database):
        tags = [(tag, value) for tag, value in tags.items() if value]
        time = row["time"] // 1000000
        if kind == "opentsdb":  # the listener takes milliseconds of a second for microseconds
            time = row["time"] // 1000000000 * 1000 + row["time"] % 1000000000 // 1000
        for field in FIELDS:
            if row.get(field) is None:
                continue
            if kind == "influxdb":
                put_influxdb(tags, time, field, row[field])
            else:
                put_opentsdb(name, tags, time, row[field])


# --- sent points ----------------------------------------------------------------------------------


def records_of(path):
    with open(path, "rb") as file:
        while head := file.read(4):
            yield file.read(struct.unpack("<I", head)[0])


def unescaped(text):
    return re.sub(r"\\([,= ])", r"\1", text)


def take_line_protocol(text):
    # Quotes mean something in fields only.
    match = re.fullmatch(r"((?:\\.|[^\\ ])+) (\w+)=(.*) (-?\d+)", text, re.DOTALL)
    series, field, value, time = match.groups()
    tags = [re.fullmatch(r"((?:\\[,= ]|[^=])*?)=(.*)", tag, re.DOTALL).groups() for tag in re.split(r"(?<!\\),", series)[1:]]
    if field == "value":
        value = float(value)
    else:
        value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
    put_influxdb([(unescaped(name), unescaped(what)) for name, what in tags], int(time), field, value)


def sent(kind, path):
    for body in records_of(path):
        if kind == "influxdb":
            for text in gzip.decompress(body).decode().split("\n"):
                if text:
                    take_line_protocol(text)
        else:
            for point in json.loads(body):
                put_opentsdb(point["metric"], point["tags"].items(), point["timestamp"], point["value"])


if __name__ == "__main__":
    {"stored": stored, "sent": sent}[sys.argv[1]](*sys.argv[2:])
