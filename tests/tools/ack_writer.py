#!/usr/bin/env python3
"""ack_writer.py - sends one write request, and prints what the answer is and how long it took.

    ack_writer.py URL FIRST COUNT [--timeout-ms MS] [--giving-up SECONDS]

The samples are ack{n="FIRST"} FIRST, ack{n="FIRST+1"} ... of now.
Prints STATUS, milliseconds and the text of the answer; status 0 if there was none.
"""

import argparse
import http.client
import struct
import time
import urllib.parse


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def label(name, value):
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def series(number, value, t_ms):
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(t_ms)
    return field(1, label("__name__", "ack") + label("n", str(number)) + field(2, sample))


def snappy(message):
    """One block of literals."""
    out = bytearray(varint(len(message)))
    for at in range(0, len(message), 60):
        piece = message[at : at + 60]
        out.append(len(piece) - 1 << 2)
        out += piece
    return bytes(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--timeout-ms")
    parser.add_argument("--giving-up", type=float, default=30)
    args = parser.parse_args()
    now_ms = int(time.time() * 1000)
    message = b"".join(series(args.first + i, float(args.first + i), now_ms) for i in range(args.count))
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    if args.timeout_ms:
        headers["X-Firekeep-Timeout-Ms"] = args.timeout_ms
    url = urllib.parse.urlsplit(args.url)
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=args.giving_up)
        connection.request("POST", url.path, snappy(message), headers)
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode().strip()
    except OSError as error:
        status, text = 0, str(error)
    print(status, int((time.monotonic() - began) * 1000), text)


main()
