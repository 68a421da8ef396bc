#!/usr/bin/python3
"""timestream.py - a double of Amazon Timestream for LiveAnalytics, for tests.

    timestream.py --port 8086 --table metrics.prometheus [--access-key AKID --secret-key SECRET]

It takes WriteRecords, DescribeTable, CreateTable, CreateDatabase, Query, CancelQuery and
DescribeEndpoints as the service does (AWS JSON 1.0, POST /), keeps records in memory, and enforces
the rules of the service. The limits are those of "Quotas" in the Timestream Developer Guide and of
the API reference:

- 1 to 100 records, at most 128 dimensions a record, names of 60 (dimension) and 256 bytes, 2048 bytes of
  dimensions, of a measure's value and of a record, names that are reserved, the types of values, finite numbers, a
  dimension not both in CommonAttributes and in a record. A call that breaks these: 400 ValidationException.
- 8192 measures and 128 dimensions a table, times beyond the table's retention or more than 15 minutes ahead, another
  value for an existing record without a higher version. Such records: 419 RejectedRecordsException, which names them;
  the others of the call are stored.
- A signature: the region, the service, a date within five minutes. With --access-key and --secret-key it is computed
  again from the request, and must be the same; --session-token is required if it is given.

Records can be queried at once: timestream_sql.py parses statements, checks and executes them, and
timestream_query.py makes pages of the rows; both name the document for each behaviour. Rows come in
no order unless there is an ORDER BY, pages may be empty (--empty-pages), the first one of a large
result always is. With --query-throttle this percentage of the calls of Query is answered with 429.
--seed repeats all of it.

With --tls-cert and --tls-key it speaks HTTPS, and answers CONNECT to any host by becoming that
host: named as a destination's `proxy_url` it acts as the real address of the service, with
discovery. (DescribeEndpoints names --address, or the requested Host; with --strict-address any
other host is answered with 421.) The proxy itself then uses plain HTTP, on --proxy-port.

With --latency every WriteRecords is answered after at least this many seconds, and with --throttle
this percentage of them, by a fixed sequence of random numbers, is answered with 429 and stores
nothing.

With --journal it writes records into that file before it answers, and begins with its content:
after a kill and a start it has the same records.

In addition, for tests:

    GET /dump    the stored records, one JSON object per line, in the order of arrival
    GET /stats   numbers of calls and answers of each operation; of records that existed already; of queries, pages,
                 empty pages, rows, cancelled queries and scanned bytes
    GET /queries the last 200 statements, one JSON text per line
    POST /clear  forgets records, counts and faults; tables stay
    POST /connector?table=DATABASE.TABLE  NDJSON: stored as by the old connector for Prometheus, rounded
    POST /mend   forgets faults
    POST /expire all tokens of further pages have expired
    POST /move   {"address": ...}: from now on the address is another one
    POST /fault  {"kind": ..., "times": N, "operation": "WriteRecords", ...}: the next N calls (default 1) of the
                 operation fail; with "match": those whose body has that text; "message" replaces the message:
                 throttle   429 ThrottlingException
                 error      500 InternalServerException
                 endpoint   421 InvalidEndpointException
                 expired    403 ExpiredTokenException
                 denied     403 AccessDeniedException
                 validation 400 ValidationException
                 reject     the records "indexes": [0, 2] are refused with "reason": "...", and "existing_version";
                            "for_good": true: each time, until the double ends
                 slow       answers after "seconds": 1.5, otherwise normally
                 cut        stores, then ends the connection within the answer's first lines
                 cut_before the same, and nothing is stored
                 garbage    status 200 and a page of HTML, or "body"
                 truncated  the first half of the answer, as a complete one
                 endless    an answer that does not end; with "seconds" between its parts

It prints "listening on PORT" when it is ready. Python's standard library is all it needs.
"""

import argparse
import hashlib
import hmac
import json
import math
import random
import re
import ssl
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

sys.dont_write_bytecode = True  # the tree of the sources stays as it is

from timestream_query import Queries, Refusal, connector_rows, invalid
from timestream_sql import StoredTable

PREFIX = "Timestream_20181101."
BODY_BYTES_MAX = 16 << 20
RECORDS_MAX = 100
DIMENSIONS_MAX = 128
MEASURES_MAX = 8192
DIMENSION_NAME_BYTES_MAX = 60
NAME_BYTES_MAX = 256
RECORD_BYTES_MAX = 2048
AHEAD_MS = 15 * 60 * 1000
CLOCK_SLACK_S = 300
TYPES = ("DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP")
NAME = re.compile(r"[a-zA-Z0-9_.-]{3,256}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
UNITS_PER_MS = {"NANOSECONDS": 1e6, "MICROSECONDS": 1e3, "MILLISECONDS": 1, "SECONDS": 1e-3}


class Cut(Exception):
    """Sends only the start of an answer."""


COMPACT = json.JSONEncoder(separators=(",", ":"))


def as_json(answer):
    """JSON without blanks, as services of AWS write it."""
    return COMPACT.encode(answer).encode()


def size_of(text):
    return len(text.encode())


# --- tables -------------------------------------------------------------------------------------------------------


class Table:
    def __init__(self, hours, days, magnetic_writes):
        self.hours = hours
        self.days = days
        self.magnetic_writes = magnetic_writes
        self.dimensions = set()
        self.types = {}  # types of measures, in the order of arrival
        self.rows = {}  # (dimensions, measure, time in ns) -> row
        self.refused = {}  # the same keys -> the refusal for each arrival
        self.stored = StoredTable()  # the same rows, for queries

    def describe(self, database, name):
        return {
            "Arn": f"arn:aws:timestream:us-east-1:000000000000:database/{database}/table/{name}",
            "DatabaseName": database,
            "TableName": name,
            "TableStatus": "ACTIVE",
            "RetentionProperties": {
                "MemoryStoreRetentionPeriodInHours": self.hours,
                "MagneticStoreRetentionPeriodInDays": self.days,
            },
            "MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": self.magnetic_writes},
        }


class Store:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.databases = {}
        self.faults = []
        self.random = random.Random(1)
        self.query_random = random.Random(args.seed)
        self.journal = None
        self.address = args.address
        self.queries = Queries(args, self.databases)
        self.clear()
        for name in args.table:
            name, _, hours = name.partition(":")
            database, _, table = name.partition(".")
            made = Table(int(hours or args.memory_hours), args.magnetic_days, args.magnetic_writes)
            self.databases.setdefault(database, {})[table] = made
        if args.journal:
            self.begin_with(args.journal)
        for text in args.load_connector:
            name, _, path = text.partition("=")
            with open(path, encoding="utf-8") as lines:
                self.take_connector(name, lines)

    def begin_with(self, path):
        with open(path, "a+b") as journal:
            journal.seek(0)
            end = 0
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                row = json.loads(line)
                table = self.databases[row["database"]][row["table"]]
                self.take_row(table, row, row["time"] * 1000000)
            journal.truncate(end)  # a line that was being written
        self.journal = open(path, "ab")

    def clear(self):
        self.rows = []
        self.repeats = 0
        self.calls = {}
        self.answers = {}
        self.faults = []
        if self.journal:
            self.journal.truncate(0)
        for tables in self.databases.values():
            for table in tables.values():
                table.dimensions, table.types, table.rows, table.refused = set(), {}, {}, {}
                table.stored.clear()
        self.queries.clear()

    def take_connector(self, name, lines):
        """Stores rows as the old connector for Prometheus left them, whatever their age."""
        database, _, table = name.partition(".")
        found = self.databases.get(database, {}).get(table)
        if found is None:
            raise invalid(f"The table {name} does not exist.")
        count = 0
        for labels, measure, time_ms, value in connector_rows(lines):
            if any(is_reserved(label) for label in labels):
                raise invalid(f"A label of {labels} has a name that is reserved")
            row = {"database": database, "table": table, "dimensions": labels, "measure_name": measure,
                   "measure_value": value, "type": "DOUBLE", "time": time_ms, "version": 1}
            self.take_row(found, row, time_ms * 1000000)
            count += 1
        return count

    def take_fault(self, operation, body):
        with self.lock:
            if operation == "WriteRecords" and self.random.uniform(0, 100) < self.args.throttle:
                return {"kind": "throttle"}
            if operation == "Query" and self.query_random.uniform(0, 100) < self.args.query_throttle:
                return {"kind": "throttle"}
            for fault in self.faults:
                if fault.get("operation", "WriteRecords") != operation or fault.get("match", "").encode() not in body:
                    continue
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def table_of(self, body):
        database, name = body.get("DatabaseName"), body.get("TableName")
        for what in (database, name):
            if not isinstance(what, str) or not NAME.fullmatch(what):
                raise invalid(f"1 validation error detected: Value {what!r} is no name")
        if name not in self.databases.get(database, {}):
            raise Refusal(404, "ResourceNotFoundException", f"The table {name} of database {database} does not exist.")
        return self.databases[database][name]

    # --- operations ---------------------------------------------------------------------------

    def describe_endpoints(self, _body, host):
        address = self.address or host
        return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": self.args.cache_minutes}]}

    def describe_table(self, body, _host):
        table = self.table_of(body)
        return {"Table": table.describe(body["DatabaseName"], body["TableName"])}

    def create_database(self, body, _host):
        name = body.get("DatabaseName")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise invalid(f"1 validation error detected: Value {name!r} is no name")
        if name in self.databases:
            raise Refusal(409, "ConflictException", f"The database {name} exists already.")
        self.databases[name] = {}
        return {"Database": {"DatabaseName": name}}

    def create_table(self, body, _host):
        database, name = body.get("DatabaseName"), body.get("TableName")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise invalid(f"1 validation error detected: Value {name!r} is no name")
        if database not in self.databases:
            raise Refusal(404, "ResourceNotFoundException", f"The database {database} does not exist.")
        if name in self.databases[database]:
            raise Refusal(409, "ConflictException", f"The table {name} exists already.")
        retention = body.get("RetentionProperties", {})
        hours = retention.get("MemoryStoreRetentionPeriodInHours", 6)
        days = retention.get("MagneticStoreRetentionPeriodInDays", 73000)
        if not 1 <= hours <= 8766 or not 1 <= days <= 73000:
            raise invalid("A retention period is out of its range.")
        magnetic = body.get("MagneticStoreWriteProperties", {}).get("EnableMagneticStoreWrites", False)
        self.databases[database][name] = Table(hours, days, magnetic)
        return {"Table": self.databases[database][name].describe(database, name)}

    def write_records(self, body, _host, fault=None):
        table = self.table_of(body)
        records = body.get("Records")
        if not isinstance(records, list) or not 1 <= len(records) <= RECORDS_MAX:
            raise invalid("1 validation error detected: Value at 'records' must have 1 to 100 members")
        common = body.get("CommonAttributes", {})
        merged = [merge(common, record, index) for index, record in enumerate(records)]
        rejected, stored = [], 0
        for index, record in enumerate(merged):
            rejection = table.refused.get(key_of(record))
            if fault and index in fault.get("indexes", [0]):
                rejection = {"Reason": fault.get("reason", "The record was refused.")}
                if "existing_version" in fault:
                    rejection["ExistingVersion"] = fault["existing_version"]
                if fault.get("for_good"):
                    table.refused[key_of(record)] = rejection
            rejection = rejection or self.store(table, body, record)
            if rejection:
                rejected.append({"RecordIndex": index, **rejection})
            else:
                stored += 1
        if self.journal:
            self.journal.flush()
        if rejected:
            raise Refusal(
                419,
                "RejectedRecordsException",
                "One or more records have been rejected. See RejectedRecords for details.",
                RejectedRecords=rejected,
            )
        return {"RecordsIngested": {"Total": stored, "MemoryStore": stored, "MagneticStore": 0}}

    def store(self, table, body, record):
        """Stores a record, or returns the reason of its refusal."""
        now_ms = time.time() * 1000
        time_ms = record["time_ns"] / 1e6
        hours = max(table.hours, table.days * 24) if table.magnetic_writes else table.hours
        oldest_ms = now_ms - hours * 3600e3
        if time_ms < oldest_ms or time_ms > now_ms + AHEAD_MS:
            return {"Reason": "The record timestamp is outside the time range of the data ingestion window."}
        if len(table.dimensions | record["dimensions"].keys()) > DIMENSIONS_MAX:
            return {"Reason": "The number of dimensions of the table exceeds the limit of 128."}
        measure = record["measure"]
        if measure not in table.types and len(table.types) >= MEASURES_MAX:
            return {"Reason": "The number of measure names of the table exceeds the limit of 8192."}
        if self.args.first_type_wins and table.types.get(measure, record["type"]) != record["type"]:
            return {"Reason": f"The type of measure {measure} is {table.types[measure]}."}
        before = table.rows.get(key_of(record))
        if before:
            same = (before["type"], before["measure_value"]) == (record["type"], record["value"])
            if record["version"] < before["version"] or (record["version"] == before["version"] and not same):
                return {
                    "Reason": "A record with the same dimensions, timestamp and measure name exists already; a higher "
                    "version is needed to update it.",
                    "ExistingVersion": before["version"],
                }
        row = {
            "database": body["DatabaseName"],
            "table": body["TableName"],
            "dimensions": record["dimensions"],
            "measure_name": measure,
            "measure_value": record["value"],
            "type": record["type"],
            "time": record["time_ns"] // 1000000,
            "version": record["version"],
        }
        self.take_row(table, row, record["time_ns"])
        if self.journal:
            self.journal.write(json.dumps(row).encode() + b"\n")
        return None

    def take_row(self, table, row, time_ns):
        """Stores a row, in place of an existing one."""
        key = key_of(row | {"measure": row["measure_name"], "time_ns": time_ns})
        before = table.rows.get(key)
        table.stored.put(key[0], row["measure_name"], time_ns, row["type"], row["measure_value"])
        if before:
            self.repeats += before == row
            before.update(row)
        else:
            table.rows[key] = row
            self.rows.append(row)
        table.dimensions |= row["dimensions"].keys()
        table.types.setdefault(row["measure_name"], row["type"])


# --- records ------------------------------------------------------------------------------------------------------


def key_of(record):
    return tuple(sorted(record["dimensions"].items())), record["measure"], record["time_ns"]


def is_reserved(name):
    """Says whether the name of a dimension is reserved."""
    return name in ("time", "measure_name") or name.startswith(("ts_", "measure_value")) or ":" in name


def dimensions_of(attributes, index):
    found = {}
    for dimension in attributes.get("Dimensions", []):
        name, value = dimension.get("Name"), dimension.get("Value")
        if not isinstance(name, str) or not isinstance(value, str):
            raise invalid(f"Record {index}: a dimension without a name or a value")
        if dimension.get("DimensionValueType", "VARCHAR") != "VARCHAR":
            raise invalid(f"Record {index}: dimension {name} has an unknown type")
        if not 1 <= size_of(name) <= DIMENSION_NAME_BYTES_MAX:
            raise invalid(f"Record {index}: the name of dimension {name} has not 1 to 60 bytes")
        if is_reserved(name):
            raise invalid(f"Record {index}: the name of dimension {name} is reserved")
        if name in found:
            raise invalid(f"Record {index}: dimension {name} comes twice")
        found[name] = value
    return found


def check_value(kind, value, index):
    if kind not in TYPES:
        raise invalid(f"Record {index}: {kind} is no type of a measure")
    if not isinstance(value, str) or size_of(value) > RECORD_BYTES_MAX:
        raise invalid(f"Record {index}: no value, or one of more than 2048 bytes")
    if kind == "DOUBLE" and not (NUMBER.fullmatch(value) and math.isfinite(float(value))):
        raise invalid(f"Record {index}: {value} is no finite number")
    if kind in ("BIGINT", "TIMESTAMP") and not re.fullmatch(r"-?[0-9]+", value):
        raise invalid(f"Record {index}: {value} is no integer")
    if kind == "BOOLEAN" and value not in ("true", "false"):
        raise invalid(f"Record {index}: {value} is no boolean")


def merge(common, record, index):
    """A record with the attributes it has in common with the others, checked."""
    ours, theirs = dimensions_of(record, index), dimensions_of(common, index)
    twice = ours.keys() & theirs.keys()
    if twice:
        raise invalid(f"Record {index}: dimension {min(twice)} is in the common attributes, too")
    dimensions = {**theirs, **ours}
    if len(dimensions) > DIMENSIONS_MAX:
        raise invalid(f"Record {index}: more than 128 dimensions")

    def attribute(name, otherwise=None):
        return record.get(name, common.get(name, otherwise))

    measure, value = attribute("MeasureName"), attribute("MeasureValue")
    kind = attribute("MeasureValueType", "DOUBLE")
    if not isinstance(measure, str) or not 1 <= size_of(measure) <= NAME_BYTES_MAX:
        raise invalid(f"Record {index}: the measure's name has not 1 to 256 bytes")
    if measure == "time" or measure.startswith(("ts_", "measure_value")):
        raise invalid(f"Record {index}: the name of measure {measure} is reserved")
    check_value(kind, value, index)
    text, unit, version = attribute("Time"), attribute("TimeUnit", "MILLISECONDS"), attribute("Version", 1)
    if not isinstance(text, str) or not re.fullmatch(r"-?[0-9]{1,19}", text) or unit not in UNITS_PER_MS:
        raise invalid(f"Record {index}: {text!r} {unit!r} is no time")
    if not isinstance(version, int) or version < 1:
        raise invalid(f"Record {index}: {version!r} is no version")
    dimension_bytes = sum(size_of(n) + size_of(v) for n, v in dimensions.items())
    value_bytes = size_of(value) if kind == "VARCHAR" else 8
    if dimension_bytes > RECORD_BYTES_MAX or dimension_bytes + size_of(measure) + value_bytes + 8 > RECORD_BYTES_MAX:
        raise invalid(f"Record {index}: more than 2048 bytes")
    return {
        "dimensions": dimensions,
        "measure": measure,
        "type": kind,
        "value": value,
        "time_ns": int(text) * round(1e6 / UNITS_PER_MS[unit]),
        "version": version,
    }


# --- signatures ---------------------------------------------------------------------------------------------------


def signature_of(secret, scope, date, canonical):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(("AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def check_signature(args, headers, path, body):
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/,]+)/([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})",
        headers.get("Authorization", ""),
    )
    if not match:
        raise Refusal(403, "MissingAuthenticationTokenException", "The request has no signature.")
    key, scope, signed, signature = match.groups()
    date = headers.get("X-Amz-Date", "")
    if scope.split("/")[0] != date[:8] or scope.split("/")[1:] != [args.region, "timestream", "aws4_request"]:
        raise Refusal(400, "InvalidSignatureException", f"Credential should be scoped to {args.region}/timestream.")
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", date):
        raise Refusal(400, "IncompleteSignatureException", f"X-Amz-Date is {date!r}.")
    at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    if abs(time.time() - at) > CLOCK_SLACK_S:
        raise Refusal(400, "InvalidSignatureException", f"Signature expired: {date} is not now.")
    if args.access_key is None:
        return
    if key != args.access_key or headers.get("X-Amz-Security-Token") != args.session_token:
        raise Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    names = signed.split(";")
    if "host" not in names or "x-amz-date" not in names:
        raise Refusal(400, "IncompleteSignatureException", "Host and date must be signed.")
    lines = "".join(f"{n}:{' '.join(headers.get(n, '').split())}\n" for n in names)
    where = quote(path, safe="/-_.~")
    canonical = "\n".join(("POST", where, "", lines, signed, hashlib.sha256(body).hexdigest()))
    if not hmac.compare_digest(signature, signature_of(args.secret_key, scope, date, canonical)):
        raise Refusal(403, "InvalidSignatureException", "The request signature we calculated does not match.")


# --- HTTP ---------------------------------------------------------------------------------------------------------

ERRORS = {
    "throttle": (429, "ThrottlingException", "Rate exceeded"),
    "error": (500, "InternalServerException", "An internal error occurred."),
    "endpoint": (421, "InvalidEndpointException", "The requested endpoint is not valid."),
    "expired": (403, "ExpiredTokenException", "The security token included in the request is expired"),
    "denied": (403, "AccessDeniedException", "User is not authorized to perform: timestream:{} on resource: *"),
    "validation": (400, "ValidationException", "The request is not valid."),
}
OTHER_FAULTS = ("reject", "slow", "cut", "cut_before", "garbage", "truncated", "endless")
ACTIONS = {"Query": "Select"}  # the action in a policy, if its name is not the operation's
ENDLESS_BYTES_MAX = 1 << 30


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store = None
    tls = None

    def log_message(self, *_arguments):
        pass

    def answer(self, status, body, kind="application/x-amz-json-1.0"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read_body(self):
        size = int(self.headers.get("Content-Length", "0"))
        if size > BODY_BYTES_MAX:
            raise Refusal(413, "RequestEntityTooLarge", "The request is too large.")
        return self.rfile.read(size)

    def do_CONNECT(self):
        """Turns this connection into one to the requested host."""
        if self.tls is None:
            self.answer(405, b"")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self):
        with self.store.lock:
            if self.path == "/dump":
                body = "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.store.rows)
            elif self.path == "/stats":
                body = json.dumps({"calls": self.store.calls, "answers": self.store.answers, "repeats": self.store.repeats,
                                   **self.store.queries.stats()})
            elif self.path == "/queries":
                body = "".join(json.dumps(statement) + "\n" for statement in self.store.queries.statements)
            else:
                body = None
        if body is None:
            self.answer(404, b"")
        else:
            self.answer(200, body.encode(), "application/json")

    def do_POST(self):
        try:
            body = self.read_body()
            path = urlsplit(self.path)
            if path.path == "/fault":
                self.take_fault(json.loads(body))
            elif path.path == "/mend":
                with self.store.lock:
                    self.store.faults.clear()
                self.answer(200, b"{}")
            elif path.path == "/expire":
                with self.store.lock:
                    self.store.queries.expire_tokens()
                self.answer(200, b"{}")
            elif path.path == "/move":
                with self.store.lock:
                    self.store.address = json.loads(body)["address"]
                self.answer(200, b"{}")
            elif path.path == "/connector":
                self.take_connector(parse_qs(path.query)["table"][0], body)
            elif self.path == "/clear":
                with self.store.lock:
                    self.store.clear()
                self.answer(200, b"{}")
            else:
                self.serve(body)
        except Cut:
            # After an empty answer, clients send again by themselves on a connection that was used
            # before.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
            self.close_connection = True

    def take_fault(self, fault):
        if fault.get("kind") not in (*ERRORS, *OTHER_FAULTS):
            self.answer(400, b"no such kind of fault\n", "text/plain")
            return
        fault["times"] = int(fault.get("times", 1))
        with self.store.lock:
            self.store.faults.append(fault)
        self.answer(200, b"{}")

    def take_connector(self, name, body):
        try:
            with self.store.lock:
                count = self.store.take_connector(name, body.decode().splitlines())
            self.answer(200, json.dumps({"rows": count}).encode())
        except Refusal as refusal:
            self.answer(refusal.status, json.dumps(refusal.body).encode())

    def principal(self):
        match = re.match(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/", self.headers.get("Authorization", ""))
        return match.group(1) if match else None

    def answer_endlessly(self, fault):
        """Sends rows without an end, in chunks; "seconds" is the pause between them."""
        row = json.dumps({"Data": [{"ScalarValue": "x" * 100}]}).encode() + b","
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pause, count, sent = float(fault.get("seconds", 0)), 1 if "seconds" in fault else 1000, 0
        part = b'{"Rows":['
        try:
            while sent < ENDLESS_BYTES_MAX:
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                sent += len(part)
                part = row * count
                time.sleep(pause)
        except OSError:
            pass
        self.close_connection = True

    def answer_damaged(self, fault, answer):
        if fault["kind"] == "endless":
            self.answer_endlessly(fault)
        elif fault["kind"] == "truncated":
            whole = as_json(answer)
            self.answer(200, whole[: len(whole) // 2])
        else:
            self.answer(200, fault.get("body", "<html><body>It works!</body></html>").encode())

    def serve(self, body):
        self.damage = None
        operation = self.headers.get("X-Amz-Target", "").removeprefix(PREFIX)
        code = "OK"
        try:
            status, answer = 200, self.operate(operation, body)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
            code = answer["__type"].partition("#")[2]
        with self.store.lock:
            self.store.answers[code] = self.store.answers.get(code, 0) + 1
        if self.damage and status == 200:
            self.answer_damaged(self.damage, answer)
        else:
            self.answer(status, as_json(answer))

    def operate(self, operation, body):
        operations = {
            "DescribeEndpoints": self.store.describe_endpoints,
            "DescribeTable": self.store.describe_table,
            "CreateDatabase": self.store.create_database,
            "CreateTable": self.store.create_table,
            "WriteRecords": self.store.write_records,
            "Query": lambda request, _host: self.store.queries.query(request, self.principal()),
            "CancelQuery": lambda request, _host: self.store.queries.cancel(request, self.principal()),
        }
        if not self.headers.get("X-Amz-Target", "").startswith(PREFIX) or operation not in operations:
            raise Refusal(404, "UnknownOperationException", "")
        if self.headers.get("Content-Type") != "application/x-amz-json-1.0":
            raise Refusal(400, "SerializationException", "The content's type is not AWS JSON 1.0.")
        with self.store.lock:
            self.store.calls[operation] = self.store.calls.get(operation, 0) + 1
        check_signature(self.store.args, self.headers, self.path, body)
        if operation == "WriteRecords":
            time.sleep(self.store.args.latency)
        fault = self.store.take_fault(operation, body)
        kind = fault["kind"] if fault else None
        if kind in ERRORS:
            status, code, message = ERRORS[kind]
            raise Refusal(status, code, fault.get("message", message.format(ACTIONS.get(operation, operation))))
        if self.store.args.strict_address and operation != "DescribeEndpoints" and self.headers.get("Host") != self.store.address:
            raise Refusal(421, "InvalidEndpointException", "The requested endpoint is not valid.")
        if kind == "slow":
            time.sleep(float(fault.get("seconds", 1)))
        if kind == "cut_before":
            raise Cut
        if kind in ("garbage", "truncated", "endless"):
            self.damage = fault
        try:
            request = json.loads(body)
        except ValueError as error:
            raise Refusal(400, "SerializationException", "The body is no JSON.") from error
        more = {"fault": fault} if kind == "reject" and operation == "WriteRecords" else {}
        try:
            with self.store.lock:
                return operations[operation](request, self.headers.get("Host", ""), **more)
        finally:
            if kind == "cut":
                raise Cut


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--table", action="append", default=[], metavar="DATABASE.TABLE[:HOURS]",
                        help="is there from the start; of its memory store, if not as all")
    parser.add_argument("--memory-hours", type=int, default=6, help="of these tables")
    parser.add_argument("--magnetic-days", type=int, default=73000, help="of these tables")
    parser.add_argument("--magnetic-writes", action="store_true", help="these tables take old records")
    parser.add_argument("--journal", metavar="FILE", help="what is stored outlives this program")
    parser.add_argument("--first-type-wins", action="store_true", help="a measure has one type of values")
    parser.add_argument("--latency", type=float, default=0, metavar="SECONDS", help="of each WriteRecords")
    parser.add_argument("--throttle", type=float, default=0, metavar="PERCENT", help="of all WriteRecords")
    parser.add_argument("--query-throttle", type=float, default=0, metavar="PERCENT", help="of all calls of Query")
    parser.add_argument("--empty-pages", type=float, default=25, metavar="PERCENT", help="of pages, while a query runs")
    parser.add_argument("--seed", type=int, default=1, help="of the order of rows, of empty pages and throttled queries")
    parser.add_argument("--load-connector", action="append", default=[], metavar="DATABASE.TABLE=FILE",
                        help="NDJSON, stored as the old connector for Prometheus would have")
    parser.add_argument("--access-key", help="with the next one: signatures are verified")
    parser.add_argument("--secret-key")
    parser.add_argument("--session-token")
    parser.add_argument("--address", help="what DescribeEndpoints gives; else the host that was asked")
    parser.add_argument("--strict-address", action="store_true", help="calls to another host than that are answered with 421")
    parser.add_argument("--cache-minutes", type=int, default=1440)
    parser.add_argument("--tls-cert", help="PEM; with --tls-key: --port speaks HTTPS")
    parser.add_argument("--tls-key")
    parser.add_argument("--proxy-port", type=int, help="plain HTTP, whose CONNECT ends here")
    args = parser.parse_args()
    if (args.access_key is None) != (args.secret_key is None) or (args.tls_cert is None) != (args.tls_key is None):
        parser.error("a key without the other half")
    return args


def main():
    args = arguments()
    Handler.store = Store(args)
    server = Server((args.host, args.port), Handler)
    if args.tls_cert:
        Handler.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Handler.tls.load_cert_chain(args.tls_cert, args.tls_key)
        server.socket = Handler.tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if args.proxy_port is not None:
        proxy = Server((args.host, args.proxy_port), Handler)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(f"listening on {server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
