"""timestream_query.py - queries as Amazon Timestream for LiveAnalytics answers them: pages, tokens, cancellation, and
tables as its old connector for Prometheus left them. It is a part of timestream.py, which describes its use;
timestream_sql.py executes statements.

From "Query" of the API reference (Amazon Timestream Query), and the model of that API in AWS' SDKs:

- QueryString has 1 to 262144 characters, MaxRows is 1 to 1000, ClientToken has 32 to 128 characters.
- With MaxRows the first answer has rows only if there are fewer than MaxRows and they fit into 1 MB. Otherwise it has
  nothing but NextToken. Any page may be empty while a query runs; --empty-pages is their percentage.
- A page has 1 MB at most, or MaxRows rows. A row of more than 1 MB: "Query aborted as max page response size has been
  exceeded by the output result row".
- NextToken is for the same statement and the same principal, else "Invalid pagination token". It can be used again.
- The same ClientToken with the same parameters, and no NextToken, is the same query; with others it is refused.
- CancelQuery may be repeated. A cancelled query has no further page.
- QueryStatus: ProgressPercentage, CumulativeBytesScanned and CumulativeBytesMetered, which grow from page to page;
  metered are 10 MB at least ("Pricing"). A scanned row counts 256 bytes here, which is not documented.

From the source of the connector (awslabs/amazon-timestream-connector-prometheus): the metric's name
is the measure's, other labels are dimensions, values have six decimals; values that are not finite,
and series with too long labels, are not written.
"""

import base64
import json
import math
import random
import time

from timestream_sql import Executor, QueryError

STATEMENT_CHARACTERS_MAX = 262144
ROWS_MAX = 1000
PAGE_BYTES_MAX = 1 << 20
METERED_BYTES_MIN = 10 * 1000 * 1000
ROW_SCANNED_BYTES = 256
CLIENT_TOKEN_S = 300
EMPTY_IN_A_ROW_MAX = 2
RUNS_MAX, KEPT_ROWS_MAX = 1000, 3000000


class Refusal(Exception):
    """An answer with an error."""

    def __init__(self, status, code, message, **more):
        super().__init__(message)
        self.status = status
        self.body = {"__type": "com.amazonaws.timestream.v20181101#" + code, "message": message, **more}


def invalid(message):
    return Refusal(400, "ValidationException", message)


def constraint(value, member, what):
    return invalid(f"1 validation error detected: Value {value!r} at '{member}' failed to satisfy constraint: {what}")


class Run:
    """A query that has begun, and its result."""

    def __init__(self, number, statement, principal, max_rows, result, seed):
        self.random = random.Random(f"{seed} {statement}")
        self.number, self.statement, self.principal, self.max_rows = number, statement, principal, max_rows
        self.id = "".join(self.random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(40)) + f"{number:010}"
        self.result = result
        self.is_cancelled = False
        self.client_token = None
        self.begun = time.time()


class Queries:
    def __init__(self, args, databases):
        self.args, self.databases = args, databases
        self.clear()

    def clear(self):
        self.runs = {}  # id -> Run, the oldest first
        self.kept_rows = 0  # number of rows of all runs
        self.tokens = {}  # NextToken -> (Run, offset, number of empty pages before)
        self.client_tokens = {}  # ClientToken -> Run
        self.count = 0
        self.scanned_bytes = self.cancelled = self.pages = self.empty_pages = self.rows = 0
        self.statements = []

    def stats(self):
        return {"queries": self.count, "pages": self.pages, "empty_pages": self.empty_pages, "rows": self.rows,
                "cancelled": self.cancelled, "scanned_bytes": self.scanned_bytes,
                "last": self.statements[-1] if self.statements else None}

    def expire_tokens(self):
        self.tokens = {}

    # --- operations ---------------------------------------------------------------------------

    def query(self, body, principal):
        statement, max_rows = body.get("QueryString"), body.get("MaxRows")
        client_token, next_token = body.get("ClientToken"), body.get("NextToken")
        if not isinstance(statement, str) or not 1 <= len(statement) <= STATEMENT_CHARACTERS_MAX:
            raise constraint(str(statement)[:50], "queryString", "Member must have length between 1 and 262144")
        if max_rows is not None and not (type(max_rows) is int and 1 <= max_rows <= ROWS_MAX):
            raise constraint(max_rows, "maxRows", "Member must have value between 1 and 1000")
        if client_token is not None and not (isinstance(client_token, str) and 32 <= len(client_token) <= 128 and client_token.isascii()):
            raise constraint(client_token, "clientToken", "Member must have length between 32 and 128")
        if next_token is not None:
            return self.next_page(statement, principal, next_token, max_rows)
        run = self.client_tokens.get(client_token) if client_token else None
        if run and time.time() - run.begun < CLIENT_TOKEN_S:
            if (run.statement, run.max_rows, run.principal) != (statement, max_rows, principal):
                raise invalid("The client token was used for a query with other parameters.")
        else:
            run = self.begin(statement, principal, max_rows, client_token)
        return self.page(run, 0, 0, max_rows)

    def begin(self, statement, principal, max_rows, client_token):
        self.statements = self.statements[-199:] + [statement]
        try:
            result = Executor(self.databases).execute(statement)
        except QueryError as error:
            raise invalid(str(error)) from error
        self.count += 1
        run = Run(self.count, statement, principal, max_rows, result, self.args.seed)
        if result.scanned and not result.is_ordered:
            run.random.shuffle(result.rows)
        run.client_token = client_token
        if client_token:
            self.client_tokens[client_token] = run
        self.runs[run.id] = run
        self.kept_rows += len(result.rows)
        self.forget_old(run)
        return run

    def forget_old(self, newest):
        while len(self.runs) > RUNS_MAX or (self.kept_rows > KEPT_ROWS_MAX and len(self.runs) > 1):
            run = next(iter(self.runs.values()))
            if run is newest:
                return
            self.kept_rows -= len(run.result.rows)
            del self.runs[run.id]
            self.client_tokens.pop(run.client_token, None)
            self.tokens = {token: x for token, x in self.tokens.items() if x[0] is not run}

    def next_page(self, statement, principal, token, max_rows):
        run, offset, empty = self.tokens.get(token, (None, 0, 0))
        if run is None or (run.statement, run.principal) != (statement, principal):
            raise invalid("Invalid pagination token.")
        if run.is_cancelled:
            raise Refusal(400, "QueryExecutionException", "The query was cancelled.")
        return self.page(run, offset, empty, max_rows)

    def cancel(self, body, principal):
        run = self.runs.get(body.get("QueryId"))
        if run is None or run.principal != principal:
            raise invalid(f"Query {body.get('QueryId')} was not found.")
        if run.is_cancelled:
            return {"CancellationMessage": f"Query {run.id} has already been cancelled."}
        run.is_cancelled = True
        self.cancelled += 1
        return {"CancellationMessage": f"Query {run.id} was cancelled."}

    # --- pages --------------------------------------------------------------------------------

    @staticmethod
    def row_bytes(texts):
        """The length of {"Data": [{"ScalarValue": "a"}, {"NullValue": true}]}, without writing it."""
        names = sum(17 + len(json.encoder.encode_basestring_ascii(v)) if v is not None else 19 for v in texts)
        return 12 + names + 2 * (len(texts) - 1)

    def rows_of_page(self, run, offset, max_rows):
        rows, size = [], 2
        for row in run.result.rows[offset : offset + (max_rows or len(run.result.rows))]:
            texts = run.result.texts(row)
            size += self.row_bytes(texts) + 2
            if size > PAGE_BYTES_MAX:
                break
            rows.append({"Data": [{"NullValue": True} if v is None else {"ScalarValue": v} for v in texts]})
        if not rows and offset < len(run.result.rows):
            raise invalid("Query aborted as max page response size has been exceeded by the output result row")
        return rows

    def page(self, run, offset, empty, max_rows):
        total = len(run.result.rows)
        rows = self.rows_of_page(run, offset, max_rows)
        end = offset + len(rows)
        begins = offset == 0 and empty == 0
        is_short = end == total and not (max_rows and len(rows) >= max_rows)
        runs_on = run.random.uniform(0, 100) < self.args.empty_pages and empty < EMPTY_IN_A_ROW_MAX
        if (begins and max_rows and not is_short) or runs_on:
            rows, end, empty = [], offset, empty + 1
            self.empty_pages += 1
            token = self.make_token(run, end, empty)
        else:
            token = self.make_token(run, end, 0) if end < total else None
        self.pages += 1
        self.rows += len(rows)
        done = end / total if total else float(token is None)
        scanned = math.ceil(run.result.scanned * ROW_SCANNED_BYTES * done)
        self.scanned_bytes += math.ceil(run.result.scanned * ROW_SCANNED_BYTES * len(rows) / total) if total else 0
        answer = {
            "QueryId": run.id,
            "Rows": rows,
            "ColumnInfo": run.result.column_info(),
            "QueryStatus": {
                "ProgressPercentage": 100.0 * done,
                "CumulativeBytesScanned": scanned,
                "CumulativeBytesMetered": max(scanned, METERED_BYTES_MIN),
            },
        }
        if token:
            answer["NextToken"] = token
        return answer

    def make_token(self, run, offset, empty):
        text = f"{run.id}/{offset}/{empty}/" + "x" * 100  # the tokens of the service are long, too
        token = base64.b64encode(text.encode()).decode()
        self.tokens[token] = (run, offset, empty)
        return token


# --- the old connector --------------------------------------------------------------------------------------------


def connector_rows(lines):
    """Yields (labels without the name, measure, time in ms, value as text) of lines of NDJSON, as `firekeep export`
    writes them: {"time": ms, "value": 1.5, "labels": {"__name__": "up", ...}}"""
    for line in lines:
        if not line.strip():
            continue
        sample = json.loads(line)
        labels = dict(sample["labels"])
        name, value = labels.pop("__name__", ""), sample["value"]
        too_long = any(len(n.encode()) > 60 for n in labels) or not 1 <= len(name.encode()) <= 256
        if value is None or not math.isfinite(value) or too_long:
            continue
        yield labels, name, sample["time"], f"{value:.6f}"
