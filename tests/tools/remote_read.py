"""remote_read.py - Prometheus' remote read in SAMPLES form, for tests: sends requests, and decodes answers.

    ask(url, selector_matchers, start_ms, end_ms) -> [(labels, [sample, ...]), ...]

Matchers are (type, name, value) with the types "=", "!=", "=~", "!~". Labels are pairs in the order of
the answer, samples the bytes of the messages Sample and Histogram, so that every bit is compared. Written
from the protocol's definition (remote.proto, types.proto) and the description of snappy's block format.
"""
import urllib.request

TYPES = ["=", "!=", "=~", "!~"]


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def snappy_pack(data):
    """Literals only."""
    out = bytearray(varint(len(data)))
    for at in range(0, len(data), 60):
        piece = data[at:at + 60]
        out.append((len(piece) - 1) << 2)
        out += piece
    return bytes(out)


def take_varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return n, at


def snappy_unpack(data):
    size, at = take_varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        kind, at = tag & 3, at + 1
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at:at + extra], "little")
                at += extra
            out += data[at:at + length + 1]
            at += length + 1
            continue
        if kind == 1:
            length, offset = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise ValueError("snappy: another size than announced")
    return bytes(out)


def fields(message):
    """(number, value) of each; of doubles and other fixed numbers the bytes."""
    at = 0
    while at < len(message):
        key, at = take_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = take_varint(message, at)
        else:
            if kind == 2:
                length, at = take_varint(message, at)
            else:
                length = {1: 8, 5: 4}[kind]
            value, at = message[at:at + length], at + length
        yield key >> 3, value


def read_series(message):
    labels, samples = [], []
    for number, value in fields(message):
        if number == 1:
            label = dict(fields(value))
            labels.append((label.get(1, b"").decode(), label.get(2, b"").decode()))
        else:
            samples.append((number, value))
    return labels, samples


def ask(url, matchers, start_ms, end_ms, opener=urllib.request.urlopen):
    query = field(1, start_ms) + field(2, end_ms)
    for kind, name, value in matchers:
        query += field(3, field(1, TYPES.index(kind)) + field(2, name.encode()) + field(3, value.encode()))
    request = urllib.request.Request(url, snappy_pack(field(1, query)), {
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Read-Version": "0.1.0"})
    with opener(request, timeout=60) as answer:
        body = snappy_unpack(answer.read())
    results = [value for number, value in fields(body) if number == 1]
    if len(results) != 1:
        raise ValueError(f"{len(results)} results of one query")
    return [read_series(series) for number, series in fields(results[0]) if number == 1]
