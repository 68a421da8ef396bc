#!/usr/bin/env python3
"""influxdb.py - a stand-in for InfluxDB 2 and 3, which cannot run here: line protocol in, Flux or SQL out.

From the public documents of InfluxDB:
  write            /api/v2/write?org=&bucket=&precision= answers 204; /api/v3/write_lp?db=&precision=
                   (nanosecond|microsecond|millisecond|second|auto). The last value of a series, field
                   and time wins. A field has one type; another one is refused.
  /api/v2/query    Flux in {"query", "type", "dialect"}; annotated CSV with CRLF, a block of annotations
                   and names whenever the columns change, an empty line after each block. Floats as Go
                   writes them with 'f' and the fewest digits, times as RFC 3339. A column that a table
                   lacks is null; range() has an exclusive stop; drop() merges tables whose group keys
                   become equal, and fails if types of a column then differ. Line feeds in texts become
                   CRLF and carriage returns vanish, as in the reference of its CSV.
  /api/v3/query_sql  SQL in {"db", "q", "format"}: jsonl. A table has columns of tags, Dictionary(Int32,
                   Utf8), and of fields; one that it lacks is an error of planning. A tag that a row
                   lacks is NULL, with three-valued logic. NULLs are left out of JSON.
                   information_schema.columns lists all.
  errors           401 without the token, 404 for another bucket or database, 400 for what cannot be
                   parsed.

Both languages are parsed and evaluated, in this subset: Flux from() |> range() |> filter() |>
first() |> drop(); SQL SELECT [DISTINCT] ... FROM ... WHERE ... [ORDER BY ...]. Anything else is
refused with 400, as errors are.

  GET /stats       {"queries": N, "last": the last query}
"""
import argparse
import functools
import gzip
import http.server
import json
import re
import threading
import urllib.parse

from go_regex import go_regex


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def bad(text):
    return Refused(400, text)


# --- the store ----------------------------------------------------------------------------------------

FACTORS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "nanosecond": 1, "microsecond": 10**3,
           "millisecond": 10**6, "second": 10**9}


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.series = {}  # measurement -> {tags: {time: {field: value}}}
        self.types = {}   # (measurement, field) -> type
        self.rows = {}    # measurement -> rows and columns of its table, since it was last written
        self.keys = None  # keys of all Flux tables, sorted; None after a write

    def write(self, body, factor):
        for line in body.split(b"\n"):
            if line and not line.startswith(b"#"):
                self.write_line(line.decode("utf-8"), factor)

    def write_line(self, line, factor):
        head, fields, time = split_line(line)
        name, tags = series_of(head)
        values = {}
        for field in split_unescaped(fields, ",", quotes=True):
            at = unescaped_index(field, "=")
            key, value = unescape(field[:at]), field_value(field[at + 1:])
            kind = self.types.setdefault((name, key), type(value))
            if kind is not type(value):
                raise bad(f"field type conflict: {key}")
            values[key] = value
        series = self.series.setdefault(name, {}).setdefault(tags, {})
        series.setdefault(int(time) * factor, {}).update(values)
        self.rows.pop(name, None)
        self.keys = None

    def table(self, name):
        if name not in self.rows:
            rows, columns = [], set()
            for tags, points in self.series.get(name, {}).items():
                rows += ({**dict(tags), **fields, "time": at} for at, fields in points.items())
                columns.update(tag for tag, _ in tags)
                for fields in points.values():
                    columns.update(fields)
            self.rows[name] = rows, columns | {"time"}
        return self.rows[name]

    def tables(self):
        """Yields (group key, types, points, field) of each series and field."""
        if self.keys is None:
            self.keys = []
            for name, series in sorted(self.series.items()):
                for tags, points in sorted(series.items()):
                    for field in sorted({field for fields in points.values() for field in fields}):
                        key = {"_field": field, "_measurement": name, **dict(tags)}
                        types = {"_time": TIME, "_value": FLUX_TYPES[self.types[name, field]], **dict.fromkeys(key, "string")}
                        self.keys.append((key, types, points, field))
        return self.keys


def unescaped_index(text, char, start=0, quotes=False):
    if "\\" not in text and not (quotes and '"' in text):
        return text.find(char, start)
    quoted, i = False, start
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text) and (text[i + 1] in ',= "' or quoted):
            i += 2
            continue
        if quotes and text[i] == '"':
            quoted = not quoted
        elif text[i] == char and not quoted:
            return i
        i += 1
    return -1


def split_unescaped(text, char, quotes=False):
    if "\\" not in text and not (quotes and '"' in text):
        return text.split(char)
    parts, start = [], 0
    while True:
        at = unescaped_index(text, char, start, quotes)
        if at < 0:
            return parts + [text[start:]]
        parts.append(text[start:at])
        start = at + 1


def split_line(line):
    first = unescaped_index(line, " ")
    second = unescaped_index(line, " ", first + 1, quotes=True)
    if first < 0 or second < 0:
        raise bad(f"no fields or no time in {line!r}")
    return line[:first], line[first + 1:second], line[second + 1:]


def unescape(text):
    return re.sub(r"\\([,= ])", r"\1", text) if "\\" in text else text


@functools.lru_cache(maxsize=1 << 16)  # series have many lines
def series_of(head):
    """(measurement, sorted tags) of the text before the fields."""
    parts = split_unescaped(head, ",")
    tags = []
    for part in parts[1:]:
        pair = split_unescaped(part, "=")
        if len(pair) != 2 or not pair[0] or not pair[1]:
            raise bad(f"missing tag in {head!r}")
        tags.append((unescape(pair[0]), unescape(pair[1])))
    name = unescape(parts[0])
    if not name or name.startswith("_"):
        raise bad(f"bad measurement in {head!r}")
    return name, tuple(sorted(tags))


def field_value(text):
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise bad("unbalanced quotes")
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("t", "T", "true", "True", "TRUE"):
        return True
    if text in ("f", "F", "false", "False", "FALSE"):
        return False
    if text.endswith("i"):
        return int(text[:-1])
    try:
        value = float(text)
    except ValueError:
        raise bad(f"invalid number {text!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise bad("unsupported value")
    return value


# --- reading both languages ---------------------------------------------------------------------------

class Tokens:
    def __init__(self, items):
        self.items, self.at = items + [("end", None)], 0

    def peek(self):
        return self.items[self.at]

    def take(self):
        token = self.items[self.at]
        self.at += 1
        return token

    def accept(self, kind, value):
        if self.peek() != (kind, value):
            return False
        self.at += 1
        return True

    def expect(self, kind, value=None):
        token = self.take()
        if token[0] != kind or (value is not None and token[1] != value):
            raise bad(f"expected {value or kind}, got {token}")
        return token[1]


def all_of(parts):
    def conjunction(r):
        result = True
        for part in parts:
            value = part(r)
            if value is False:
                return False
            if value is None:
                result = None
        return result
    return parts[0] if len(parts) == 1 else conjunction


def any_of(parts):
    def disjunction(r):
        result = False
        for part in parts:
            value = part(r)
            if value is True:
                return True
            if value is None:
                result = None
        return result
    return parts[0] if len(parts) == 1 else disjunction


def negated(a):
    return None if a is None else not a


# --- Flux ---------------------------------------------------------------------------------------------

FLUX = re.compile(r"""\s+ | (?P<word>[A-Za-z_][A-Za-z0-9_]*) | (?P<int>\d+)
    | (?P<op>\|>|=>|==|!=|=~|!~|[()\[\]{},:.-])""", re.X)
FLUX_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$"}


def flux_string(text, at):
    out = bytearray()
    while True:
        if at >= len(text):
            raise bad("string has no end")
        c = text[at]
        if c == '"':
            return out.decode("utf-8"), at + 1
        if c == "$" and text[at + 1:at + 2] == "{":
            raise bad("string interpolation")
        if c == "\\":
            e = text[at + 1]
            if e == "x":
                out.append(int(text[at + 2:at + 4], 16))
                at += 4
                continue
            if e not in FLUX_ESCAPES:
                raise bad(f"unknown escape \\{e}")
            out += FLUX_ESCAPES[e].encode()
            at += 2
            continue
        out += c.encode("utf-8")
        at += 1


def flux_regex(text, at):
    out = ""
    while True:
        if at >= len(text) or text[at] == "\n":
            raise bad("regex has no end")
        if text[at] == "/":
            return out, at + 1
        if text[at] == "\\":
            out += "/" if text[at + 1] == "/" else text[at:at + 2]
            at += 2
            continue
        out += text[at]
        at += 1


def flux_tokens(text):
    items, at = [], 0
    while at < len(text):
        if text[at] == '"':
            value, at = flux_string(text, at + 1)
            items.append(("string", value))
        elif text[at] == "/":
            value, at = flux_regex(text, at + 1)
            try:
                items.append(("regex", re.compile(go_regex(value))))
            except re.error as e:
                raise bad(f"invalid regex: {e}") from None
        else:
            m = FLUX.match(text, at)
            if m is None:
                raise bad(f"undefined token at {text[at:at + 20]!r}")
            at = m.end()
            if m.lastgroup == "int":
                items.append(("int", int(m["int"])))
            elif m.lastgroup:
                items.append((m.lastgroup, m[m.lastgroup]))
    return Tokens(items)


class Flux:
    """Compiles expressions to functions of a row."""

    def __init__(self, text):
        self.t = flux_tokens(text)

    def query(self):
        calls = [self.call()]
        while self.t.accept("op", "|>"):
            calls.append(self.call())
        self.t.expect("end")
        return calls

    def call(self):
        name, args = self.t.expect("word"), {}
        self.t.expect("op", "(")
        while not self.t.accept("op", ")"):
            key = self.t.expect("word")
            self.t.expect("op", ":")
            args[key] = self.disjunction()
            if self.t.peek() != ("op", ")"):
                self.t.expect("op", ",")
        return name, args

    def disjunction(self):
        parts = [self.conjunction()]
        while self.t.accept("word", "or"):
            parts.append(self.conjunction())
        return any_of(parts)

    def conjunction(self):
        parts = [self.unary()]
        while self.t.accept("word", "and"):
            parts.append(self.unary())
        return all_of(parts)

    def unary(self):
        if self.t.accept("word", "not"):
            inner = self.unary()
            return lambda r: negated(inner(r))
        if self.t.accept("word", "exists"):
            inner = self.primary()
            return lambda r: inner(r) is not None
        return self.comparison()

    def comparison(self):
        left = self.primary()
        kind, op = self.t.peek()
        if kind != "op" or op not in ("==", "!=", "=~", "!~"):
            return left
        self.t.take()
        right = self.primary()

        def compare(r):
            a, b = left(r), right(r)
            if a is None or b is None:
                return None
            if op in ("==", "!="):
                return (a == b) == (op == "==")
            return (b.search(a) is not None) == (op == "=~")
        return compare

    def primary(self):
        kind, value = self.t.take()
        if kind in ("string", "int", "regex"):
            return lambda r: value
        if (kind, value) == ("op", "-"):
            number = self.t.expect("int")
            return lambda r: -number
        if (kind, value) == ("op", "["):
            items = []
            while not self.t.accept("op", "]"):
                items.append(self.primary())
                if self.t.peek() != ("op", "]"):
                    self.t.expect("op", ",")
            return lambda r: [item(r) for item in items]
        if (kind, value) == ("op", "("):
            if self.t.items[self.t.at] == ("word", "r") and self.t.items[self.t.at + 2] == ("op", "=>"):
                self.t.at += 3
                body = self.disjunction()
                return lambda r: body
            inner = self.disjunction()
            self.t.expect("op", ")")
            return inner
        if (kind, value) == ("word", "r"):
            self.t.expect("op", "[")
            name = self.t.expect("string")
            self.t.expect("op", "]")
            if name in ("_time", "_value"):
                raise bad("rows are not filtered here")
            return lambda r: r.get(name)
        if (kind, value) == ("word", "time"):
            self.t.at -= 1
            _, args = self.call()
            return args["v"]
        if kind == "word" and value in ("true", "false"):
            return lambda r: value == "true"
        raise bad(f"undefined identifier {value}")


FLUX_TYPES = {float: "double", int: "long", str: "string", bool: "boolean"}
TIME = "dateTime:RFC3339"


def flux_run(store, text, bucket):
    tables, source = None, None  # a table: (group key, types, rows)
    for name, args in Flux(text).query():
        values = {key: value({}) for key, value in args.items()}
        if name == "from":
            if values["bucket"] != bucket:
                raise Refused(404, "could not find bucket")
            source = True
        elif name == "range" and source:
            tables = flux_range(store, values["start"], values["stop"])
        elif name == "filter" and tables is not None:
            tables = [table for table in tables if values["fn"](table[0]) is True]
        elif name == "first" and tables is not None:
            tables = [(k, t, rows_of(rows)[:1]) for k, t, rows in tables]
        elif name == "drop" and tables is not None:
            tables = flux_drop(tables, set(values["columns"]))
        else:
            raise bad(f"undefined identifier {name}")
    if tables is None:
        raise bad("cannot query an unbounded range")
    tables = [(k, t, rows_of(rows)) for k, t, rows in tables]
    return [t for t in tables if t[2]]


def rows_of(rows):
    return rows() if callable(rows) else rows


# Group keys are filtered here: rows are made from the rest.
def flux_range(store, start, stop):
    if start > stop:
        raise bad("cannot query an empty range")
    bounds, found = {"_start": start, "_stop": stop}, []
    for key, types, points, field in store.tables():
        key = {**bounds, **key}

        def make(key=key, points=points, field=field):
            return [{**key, "_time": at, "_value": points[at][field]} for at in sorted(points)
                    if start <= at < stop and field in points[at]]
        found.append((key, {"_start": TIME, "_stop": TIME, **types}, make))
    return found


def flux_drop(tables, columns):
    merged = {}
    for key, types, rows in tables:
        key = {k: v for k, v in key.items() if k not in columns}
        types = {k: v for k, v in types.items() if k not in columns}
        rows = [{k: v for k, v in r.items() if k not in columns} for r in rows_of(rows)]
        if not rows:
            continue
        table = merged.setdefault(tuple(sorted(key.items())), (key, dict(types), []))
        for column, kind in types.items():
            if table[1].setdefault(column, kind) != kind:
                raise bad("schema collision detected")
        table[2].extend(rows)
    return list(merged.values())


def rfc3339(ns):
    import datetime
    s, rest = divmod(ns, 10**9)
    text = (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S")
    text = text.rjust(19, "0")
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def plain_float(value):
    from decimal import Decimal
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text


def csv_field(kind, value):
    if value is None:
        return ""
    if kind == TIME:
        return rfc3339(value)
    if kind == "double":
        return plain_float(value)
    if kind == "boolean":
        return "true" if value else "false"
    text = str(value)
    if re.search(r'[",\r\n]|^\s', text):
        text = '"' + text.replace('"', '""').replace("\r", "").replace("\n", "\r\n") + '"'
    return text


def csv_blocks(tables):
    last = None
    for number, (key, types, rows) in enumerate(tables):
        columns = list(types.items())
        if columns != last:
            names = [csv_field("string", name) for name, _ in columns]
            yield ("\r\n" if last is not None else "") + "".join(
                ",".join(fields) + "\r\n" for fields in (
                    ["#datatype", "string", "long"] + [kind for _, kind in columns],
                    ["#group", "false", "false"] + ["true" if n in key else "false" for n, _ in columns],
                    ["#default", "_result", ""] + [""] * len(columns),
                    ["", "result", "table"] + names))
            last = columns
        for start in range(0, len(rows), 1000):
            yield "".join(",".join(["", "", str(number)] + [csv_field(kind, row.get(name))
                                                            for name, kind in columns]) + "\r\n"
                          for row in rows[start:start + 1000])
    yield "\r\n"


# --- SQL ----------------------------------------------------------------------------------------------

SQL = re.compile(r"""\s+ | "(?P<name>(?:[^"]|"")*)" | '(?P<string>(?:[^']|'')*)' | (?P<int>\d+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*) | (?P<op><>|!=|>=|<=|=|<|>|[(),.*-])""", re.X | re.S)
KEYWORDS = {"select", "distinct", "from", "where", "and", "or", "not", "as", "is", "null", "in", "case",
            "when", "then", "else", "end", "order", "by", "true", "false", "cast", "asc", "desc"}


def sql_tokens(text):
    items, at = [], 0
    while at < len(text):
        m = SQL.match(text, at)
        if m is None:
            raise bad(f"SQL error: unexpected {text[at:at + 20]!r}")
        at, kind = m.end(), m.lastgroup
        if kind == "name":
            items.append(("name", m["name"].replace('""', '"')))
        elif kind == "string":
            items.append(("string", m["string"].replace("''", "'")))
        elif kind == "int":
            items.append(("int", int(m["int"])))
        elif kind == "word":
            word = m["word"].lower()
            items.append(("key" if word in KEYWORDS else "name", word))
        elif kind == "op":
            items.append(("op", m["op"]))
    return Tokens(items)


class Sql:
    def __init__(self, store, text):
        self.store, self.t, self.columns, self.used = store, sql_tokens(text), None, []

    def run(self):
        t = self.t
        t.expect("key", "select")
        distinct = t.accept("key", "distinct")
        items = [self.item()]
        while t.accept("op", ","):
            items.append(self.item())
        t.expect("key", "from")
        rows = self.table()
        where = lambda r: True
        if t.accept("key", "where"):
            where = self.disjunction()
        order = []
        if t.accept("key", "order"):
            t.expect("key", "by")
            order.append(t.expect("name"))
            while t.accept("op", ","):
                order.append(t.expect("name"))
        t.expect("end")
        for name in self.used:
            if name not in self.columns:
                raise bad(f"Error during planning: No field named {name!r}")
        found = [{name: item(r) for name, item in items} for r in rows if where(r) is True]
        if distinct:
            found = [dict(f) for f in {tuple(f.items()): f for f in found}]
        for name in reversed(order):
            found.sort(key=lambda f, n=name: (f[n] is None, f[n]))
        return found

    def table(self):
        name = self.t.expect("name")
        if name == "information_schema":
            self.t.expect("op", ".")
            self.t.expect("name", "columns")
            return self.schema()
        rows, self.columns = self.store.table(name)
        if not rows:
            raise bad(f"Error during planning: table 'public.iox.{name}' not found")
        return rows

    def schema(self):
        self.columns = {"table_schema", "table_name", "column_name", "data_type"}
        kinds = {float: "Float64", int: "Int64", str: "Utf8", bool: "Boolean"}
        found = {}
        for measurement, series in self.store.series.items():
            found[measurement, "time"] = "Timestamp(Nanosecond, None)"
            for tag in {tag for tags in series for tag, _ in tags}:
                found[measurement, tag] = "Dictionary(Int32, Utf8)"
        for (measurement, field), kind in self.store.types.items():
            found[measurement, field] = kinds[kind]
        return [{"table_schema": "iox", "table_name": m, "column_name": c, "data_type": k}
                for (m, c), k in found.items()]

    def item(self):
        begin = self.t.peek()
        value = self.disjunction()
        if self.t.accept("key", "as"):
            return self.t.expect("name"), value
        return (begin[1] if begin[0] == "name" else "column"), value

    def disjunction(self):
        parts = [self.conjunction()]
        while self.t.accept("key", "or"):
            parts.append(self.conjunction())
        return any_of(parts)

    def conjunction(self):
        parts = [self.negation()]
        while self.t.accept("key", "and"):
            parts.append(self.negation())
        return all_of(parts)

    def negation(self):
        if self.t.accept("key", "not"):
            inner = self.negation()
            return lambda r: negated(inner(r))
        return self.comparison()

    def comparison(self):
        left = self.primary()
        if self.t.accept("key", "is"):
            no = self.t.accept("key", "not")
            self.t.expect("key", "null")
            return lambda r: (left(r) is None) != no
        no = self.t.accept("key", "not")
        if self.t.accept("key", "in"):
            self.t.expect("op", "(")
            items = [self.primary()]
            while self.t.accept("op", ","):
                items.append(self.primary())
            self.t.expect("op", ")")

            def is_in(r):
                value = left(r)
                return None if value is None else (value in [i(r) for i in items]) != no
            return is_in
        kind, op = self.t.peek()
        if kind != "op" or op not in ("=", "<>", "!=", ">=", "<=", "<", ">"):
            return left
        self.t.take()
        right = self.primary()

        def compare(r):
            a, b = left(r), right(r)
            if a is None or b is None:
                return None
            return {"=": a == b, "<>": a != b, "!=": a != b}[op] if op in ("=", "<>", "!=") else \
                {">=": a >= b, "<=": a <= b, "<": a < b, ">": a > b}[op]
        return compare

    def primary(self):
        kind, value = self.t.take()
        if kind in ("string", "int"):
            return lambda r: value
        if (kind, value) == ("op", "-"):
            number = self.t.expect("int")
            return lambda r: -number
        if (kind, value) == ("op", "("):
            inner = self.disjunction()
            self.t.expect("op", ")")
            return inner
        if kind == "key" and value in ("true", "false"):
            return lambda r: value == "true"
        if (kind, value) == ("key", "cast"):
            self.t.expect("op", "(")
            inner = self.disjunction()
            self.t.expect("key", "as")
            self.t.expect("name", "bigint")
            self.t.expect("op", ")")
            return inner
        if (kind, value) == ("key", "case"):
            return self.case()
        if kind == "name" and self.t.accept("op", "("):
            if value != "to_timestamp_nanos":
                raise bad(f"Invalid function '{value}'")
            inner = self.disjunction()
            self.t.expect("op", ")")
            return inner
        if kind == "name":
            self.used.append(value)
            return lambda r: r.get(value)
        raise bad(f"SQL error: unexpected {value!r}")

    def case(self):
        branches = []
        while self.t.accept("key", "when"):
            condition = self.disjunction()
            self.t.expect("key", "then")
            branches.append((condition, self.disjunction()))
        self.t.expect("key", "end")

        def choose(r):
            for condition, value in branches:
                if condition(r) is True:
                    return value(r)
            return None
        return choose


# --- HTTP ---------------------------------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of 40 ms

    def log_message(self, *words):
        pass

    def answer(self, status, kind, pieces):
        self.send_response(status)
        if status == 204:
            self.end_headers()
            return
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            data = piece.encode("utf-8")
            if data:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        double = self.server.double
        if self.path == "/stats":
            self.answer(200, "application/json", [json.dumps({"queries": double.queries, "last": double.last})])
        else:
            self.answer(404, "text/plain", ["not found"])

    def do_POST(self):
        double = self.server.double
        url = urllib.parse.urlsplit(self.path)
        params = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            self.handle_call(double, url.path, params, body)
        except Refused as e:
            self.answer(e.status, "application/json", [json.dumps({"code": "invalid", "message": str(e)})])

    def handle_call(self, double, path, params, body):
        word = "Bearer" if path.startswith("/api/v3") else "Token"
        if self.headers.get("Authorization") != f"{word} {double.token}":
            raise Refused(401, "unauthorized access")
        if path in ("/api/v2/write", "/api/v3/write_lp"):
            self.expect_place(double, params.get("bucket") or params.get("db"))
            factor = FACTORS.get(params.get("precision", "ns"))
            if factor is None:
                raise bad("unknown precision")
            with double.store.lock:
                double.store.write(body, factor)
            self.answer(204, None, [])
        elif path == "/api/v2/query":
            if params.get("org") != double.org:
                raise Refused(404, "organization name not found")
            text = self.asked(double, body, "query")
            with double.store.lock:
                tables = flux_run(double.store, text, double.place)
            self.answer(200, "text/csv; charset=utf-8", csv_blocks(tables))
        elif path == "/api/v3/query_sql":
            text = self.asked(double, body, "q")
            asked = json.loads(body)
            self.expect_place(double, asked.get("db"))
            if asked.get("format") != "jsonl":
                raise bad("format is not known here")
            with double.store.lock:
                rows = Sql(double.store, text).run()
            self.answer(200, "application/jsonl", self.lines(rows))
        else:
            raise Refused(404, "path not found")

    @staticmethod
    def expect_place(double, place):
        if place != double.place:
            raise Refused(404, "could not find database or bucket")

    @staticmethod
    def asked(double, body, key):
        text = json.loads(body)[key]
        double.queries += 1
        double.last = text
        return text

    @staticmethod
    def lines(rows):
        for start in range(0, len(rows), 1000):
            yield "".join(json.dumps({k: v for k, v in r.items() if v is not None}, ensure_ascii=False) + "\n"
                          for r in rows[start:start + 1000])


class Double:
    def __init__(self, arguments):
        self.store = Store()
        self.place, self.org, self.token = arguments.place, arguments.org, arguments.token
        self.queries, self.last = 0, ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--place", default="metrics", help="the bucket or database there is")
    parser.add_argument("--org", default="ours")
    parser.add_argument("--token", default="secret")
    arguments = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    server.double = Double(arguments)
    server.serve_forever()


main()
