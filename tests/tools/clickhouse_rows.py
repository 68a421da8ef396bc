#!/usr/bin/python3
"""clickhouse_rows.py - rows of a table in ClickHouse as lines of NDJSON, for aws_content.py, by docs/destinations/codings.md.

    clickhouse_rows.py URL DATABASE TABLE            each sample once, as the table's engine merges equal ones
    clickhouse_rows.py --all URL DATABASE TABLE      every row, in the order of the key

Reads RowBinary. Fails if `bits` and `value` do not agree as in that document, or the text of labels
is not canonical. Python's standard library is all it needs.
"""

import json
import struct
import sys
import urllib.parse
import urllib.request

ORDINARY_NAN = 0x7FF8000000000001
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Rows:
    """RowBinary: one value after another."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def fixed(self, form):
        value = struct.unpack_from(form, self.text, self.at)[0]
        self.at += 8
        return value

    def string(self):
        size = shift = 0
        while True:
            byte = self.text[self.at]
            self.at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if self.at + size > len(self.text):
            sys.exit("a row is cut off")
        self.at += size
        return self.text[self.at - size : self.at]


def canonical(text):
    """A string as docs/destinations/codings.md writes it."""
    return '"' + "".join(SHORT.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def labels_of(text):
    """Pairs of bytes."""
    text = text.decode(errors="surrogateescape")
    pairs = list(json.loads(text, object_pairs_hook=list))
    again = "{" + ",".join(canonical(name) + ":" + canonical(value) for name, value in pairs) + "}"
    coded = [(name.encode(errors="surrogateescape"), value.encode(errors="surrogateescape")) for name, value in pairs]
    if again != text or sorted(coded) != coded:
        sys.exit(f"labels are not canonical: {text}")
    return coded


def put_line(metric, labels, time, bits, histogram):
    texts, others = {}, {}
    for name, value in ([(b"__name__", metric)] if metric else []) + labels:
        try:
            texts[name.decode()] = value.decode()
        except UnicodeDecodeError:
            others[name.hex()] = value.hex()
    line = {"name": texts.get("__name__", ""), "time": time, "value": None, "labels": texts}
    if others:
        line["labels_hex"] = others
    if histogram:
        line["histogram"] = json.loads(histogram)
    elif bits >> 52 & 0x7FF == 0x7FF:
        line["bits"] = f"{bits:016x}"
    else:
        line["value"] = struct.unpack("<d", struct.pack("<Q", bits))[0]
    print(json.dumps(line))


def main():
    final = sys.argv[1:2] != ["--all"]
    url, database, table = sys.argv[1 if final else 2 :]
    query = f"SELECT metric, labels, time, value, bits, histogram FROM `{database}`.`{table}`"
    query += f"{' FINAL' if final else ''} ORDER BY metric, labels, time FORMAT RowBinary"
    with urllib.request.urlopen(url + "/?wait_end_of_query=1", query.encode()) as answer:
        rows = Rows(answer.read())
    while rows.at < len(rows.text):
        metric, labels, time = rows.string(), labels_of(rows.string()), rows.fixed("<q")
        value, bits, histogram = rows.fixed("<Q"), rows.fixed("<Q"), rows.string()
        if bits != (value if value >> 52 & 0x7FF == 0x7FF else 0) or (histogram and value != ORDINARY_NAN):
            sys.exit(f"value {value:016x} has bits {bits:016x}")
        put_line(metric, labels, time, value, histogram)


if __name__ == "__main__":
    main()
