#!/usr/bin/python3
"""aws_content.py - converts the content of a service to a capture of write requests that rrcompare can read.

    aws_content.py [--rows | --letters] [--any-order] CAPTURE.rw < LINES

LINES are NDJSON as in docs/destinations/codings.md, in the order of each series; with --rows they
are rows of doubles/timestream.py, with --letters the output of `firekeep dead-letters show --format
json`. Each is decoded only by the rules of that page. The capture has one request of remote write
1.0, each series once, each sample once.

Fails if a line is invalid, a sample is repeated with other bits, or (without --any-order) the times
of a series do not rise, repeats left out: then the order was not kept. Prints the numbers of
samples, repeats and exemplars. Python's standard library is all it needs.
"""

import argparse
import json
import re
import struct
import sys

HEX = re.compile(r"[0-9a-f]{16}")


class Wrong(Exception):
    """Not what the page says."""


def bits_of(number):
    return struct.unpack("<Q", struct.pack("<d", float(number)))[0]


def bits_of_float(value):
    """A number, or 16 hex digits."""
    return int(value, 16) if isinstance(value, str) else bits_of(value)


# --- lines ----------------------------------------------------------------------------------------


def labels_of_line(line):
    labels = {name.encode(): value.encode() for name, value in line["labels"].items()}
    for name, value in line.get("labels_hex", {}).items():
        labels[bytes.fromhex(name)] = bytes.fromhex(value)
    if labels.get(b"__name__", b"").decode(errors="replace") != line["name"]:
        raise Wrong(f"name is {line['name']!r}")
    return tuple(sorted(labels.items()))


def take_letter(line):
    return take_line({"name": line["labels"].get("__name__", ""), "value": None, **line})


def take_line(line):
    """Labels, time, and what is there: a float's bits, a histogram's members, None; and the number of exemplars."""
    labels, value = labels_of_line(line), line["value"]
    exemplars = len(line.get("exemplars", ()))
    if value is not None:
        return labels, line["time"], bits_of(value), exemplars
    if "bits" in line:
        return labels, line["time"], int(line["bits"], 16), exemplars
    return labels, line["time"], line.get("histogram"), exemplars


# --- rows of Timestream ---------------------------------------------------------------------------


def plain_word_undone(name):
    """`U__` and what follows, back to bytes."""
    if not name.startswith("U__"):
        return name.encode()
    out, at, text = b"", 0, name[3:]
    while at < len(text):
        if text[at] != "_":
            out += text[at].encode()
            at += 1
        elif text[at : at + 2] == "__":
            out += b"_"
            at += 2
        else:
            end = text.index("_", at + 1)
            code = int(text[at + 1 : end], 16)
            out += bytes([code - 0x110000]) if code >= 0x110000 else chr(code).encode()
            at = end + 1
    return out


def name_of_row(name, mark, dimensions):
    """The name of a row; a name that was too long is in a dimension of its own."""
    if name.startswith("H__"):
        name = dimensions[mark + name[-16:]]
    return plain_word_undone(name)


def take_row(row):
    dimensions = row["dimensions"]
    labels = {b"__name__": name_of_row(row["measure_name"], "M__", dimensions)}
    for name, value in dimensions.items():
        if not name.startswith(("N__", "M__")):
            labels[name_of_row(name, "N__", dimensions)] = value.encode()
    labels = tuple(sorted((name, value) for name, value in labels.items() if value))
    value = row["measure_value"]
    if row["type"] == "DOUBLE":
        return labels, row["time"], bits_of(value), 0
    return labels, row["time"], int(value, 16) if HEX.fullmatch(value) else json.loads(value), 0


# --- a capture ------------------------------------------------------------------------------------


def varint(number):
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return varint(number << 1 if number >= 0 else ~number << 1 | 1)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def fixed(number, bits):
    return varint(number << 3 | 1) + struct.pack("<Q", bits)


def spans(number, at):
    return b"".join(field(number, b"\x08" + zigzag(each["offset"]) + b"\x10" + varint(each["length"])) for each in at)


def floats(number, values):
    return field(number, b"".join(struct.pack("<Q", bits_of_float(each)) for each in values))


def count(number, histogram, name):
    if name + "_int" in histogram:
        return varint(number << 3) + varint(histogram[name + "_int"])
    if name + "_float" in histogram:
        return fixed(number + 1, bits_of_float(histogram[name + "_float"]))
    return b""


def histogram_message(histogram, time):
    body = count(1, histogram, "count") + fixed(3, bits_of_float(histogram["sum"])) + b"\x20" + zigzag(histogram["schema"])
    body += fixed(5, bits_of_float(histogram.get("zero_threshold", 0))) + count(6, histogram, "zero_count")
    for first, sign in ((8, "negative"), (11, "positive")):
        body += spans(first, histogram.get(sign + "_spans", ()))
        body += field(first + 1, b"".join(map(zigzag, histogram.get(sign + "_deltas", ()))))
        body += floats(first + 2, histogram.get(sign + "_counts", ()))
    body += b"\x70" + varint(histogram.get("reset_hint", 0)) + b"\x78" + varint(time)
    return body + floats(16, histogram.get("custom_values", ()))


def series_message(labels, samples):
    body = b"".join(field(1, field(1, name) + field(2, value)) for name, value in labels)
    for time, what in samples.items():
        if isinstance(what, int):
            body += field(2, fixed(1, what) + b"\x10" + varint(time))
        else:
            body += field(4, histogram_message(what, time))
    return body


def write_capture(path, series):
    message = b"".join(field(1, series_message(labels, samples)) for labels, samples in series.items())
    # Snappy's block format, with one literal in it.
    block = varint(len(message)) + (b"\xfc" + struct.pack("<I", len(message) - 1) + message if message else b"")
    with open(path, "wb") as to:
        to.write(struct.pack("<I", len(block)) + block)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--letters", action="store_true")
    parser.add_argument("--any-order", action="store_true")
    parser.add_argument("capture")
    args = parser.parse_args()
    take = take_row if args.rows else take_letter if args.letters else take_line
    series, repeats, exemplars, disorder = {}, 0, 0, 0
    for number, text in enumerate(sys.stdin.buffer, 1):
        try:
            labels, time, what, more = take(json.loads(text))
        except (ValueError, KeyError, Wrong) as error:
            sys.exit(f"line {number}: {error!r}: {text[:200]!r}")
        exemplars += more
        if what is None:
            continue
        samples = series.setdefault(labels, {})
        if time in samples:
            repeats += 1
            if samples[time] != what:
                sys.exit(f"line {number}: another value came before: {text[:200]!r}")
            continue
        if samples and time < next(reversed(samples)):
            disorder += 1
            if not args.any_order and disorder == 1:
                print(f"line {number}: out of order: {text[:300]!r}")
        samples[time] = what
    write_capture(args.capture, series)
    print(f"samples={sum(map(len, series.values()))} repeats={repeats} exemplars={exemplars} disorder={disorder}")
    if disorder and not args.any_order:
        sys.exit(1)


if __name__ == "__main__":
    main()
