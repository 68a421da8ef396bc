#!/usr/bin/python3
"""timestream_sql.py - the part of the query language of Amazon Timestream for LiveAnalytics that readers of metrics
use: parsed, checked, translated to SQLite and executed there. timestream.py serves it.

    timestream_sql.py --self-test     checks the parser and the executor; prints the number of statements

The subset, with the pages of the Timestream Developer Guide ("Query language reference") or of the
documentation of Trino, which that reference names as its origin:

  SELECT          "SELECT": [DISTINCT] expressions [AS name], *, FROM "database"."table" [[AS] alias], WHERE, GROUP
                  BY (expressions and positions), HAVING, ORDER BY (with ASC, DESC, NULLS FIRST, NULLS LAST; the
                  default is NULLS LAST), LIMIT. The rest of the page (WITH, JOIN, UNION, windows, subqueries) is
                  refused.
  DESCRIBE, SHOW  "DESCRIBE statements", "SHOW statements". The columns of DESCRIBE's answer are those that the
                  console shows: Column, Type, Timestream attribute type.
  operators       "Logical operators", "Comparison operators", "Mathematical operators", "String operators" (||);
                  LIKE with ESCAPE, BETWEEN, IN, IS NULL. A comparison with NULL is NULL. Types must fit: '=' of a
                  varchar and a bigint is an error, as in Trino.
  names           "Quotas", section "Reserved keywords", and Trino's "Language": a reserved word must be quoted; in
                  "..." a quote is written twice, in '...' as well; there are no escapes with a backslash, and a
                  backquote is an error. Letters' case does not matter, unless two columns differ by nothing else:
                  then a quoted name must match exactly. (The pages do not say this.)
  columns         "Data modeling": a dimension is a varchar, and is there when a record has had it;
                  measure_value::double and its like the same. An unknown column is "line 1:8: Column 'x' does not
                  exist", a missing database "Requested database 'd' not found for identifier 'd.t' at line 1:15":
                  both are quoted in public reports (aws/aws-iot-fleetwise-edge issue 54, aws/aws-sdk-pandas issue
                  1036). That of a missing table is modelled on the second one, as no report quotes it.
  time            "Date / time functions": now, ago, bin, from_milliseconds, from_nanoseconds, to_milliseconds,
                  to_nanoseconds; intervals as 1h, 50ns. "Timestream does not support negative time values. Any
                  operation resulting in negative time results in error": so from_milliseconds(-1) is one, though
                  "Supported data types" has a range that begins in 1677. Printed with nine digits.
  REGEXP_LIKE     "Regular expression functions": Java's patterns, found anywhere in the text. As java.util.regex
                  documents them, `$` also matches before a line terminator at the end, `.` does not match any of
                  the five, \\d and (?i) are ASCII. A pattern that cannot be translated exactly to Python is
                  refused like an invalid one.
  numbers         A double is printed as Java's Double.toString() does: 1.0E10, 4.9E-324.

Any other statement is a ValidationException, which begins with the position of the error, `line
1:15: `, as Trino's messages do. Literals become bound parameters of SQLite; no text of the
statement becomes part of SQLite's.

A row of SQLite is one time of one series: `series` has the measure's name and a column for each dimension, `points`
the values.
"""

import functools
import re
import sqlite3
import struct
import sys
import time

NS_MAX = (1 << 63) - 1
RESERVED = frozenset(
    "ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP "
    "CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE EXISTS EXTRACT FALSE FOR FROM "
    "FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO IS JOIN LEFT LIKE LOCALTIME LOCALTIMESTAMP NATURAL "
    "NORMALIZE NOT NULL ON OR ORDER OUTER PREPARE RECURSIVE RIGHT ROLLUP SELECT TABLE THEN TRUE UESCAPE UNION UNNEST "
    "USING VALUES WHEN WHERE WITH".split()
)
UNITS = {
    "nanosecond": 1, "ns": 1, "microsecond": 10**3, "us": 10**3, "millisecond": 10**6, "ms": 10**6, "second": 10**9,
    "s": 10**9, "minute": 60 * 10**9, "m": 60 * 10**9, "hour": 3600 * 10**9, "h": 3600 * 10**9,
    "day": 86400 * 10**9, "d": 86400 * 10**9,
}
VALUE_TYPES = ("double", "bigint", "varchar", "boolean", "timestamp")


class QueryError(Exception):
    """The message of a ValidationException."""


def wrong(at, message):
    return QueryError(f"line {at[0]}:{at[1]}: {message}")


# --- words of a statement -----------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+ | --[^\r\n]* | /\*.*?\*/)
  | (?P<text>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<double>[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]+ | \.[0-9]+(?:[eE][+-]?[0-9]+)? | [0-9]+\.[0-9]*)
  | (?P<interval>[0-9]+[A-Za-z]+)(?![A-Za-z0-9_])
  | (?P<integer>[0-9]+)(?![A-Za-z_])
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign><>|!=|<=|>=|\|\||::|[=<>+\-*/%(),.])
    """,
    re.VERBOSE | re.DOTALL,
)


class Token:
    __slots__ = ("kind", "text", "at")

    def __init__(self, kind, text, at):
        self.kind, self.text, self.at = kind, text, at

    def is_sign(self, text):
        return self.kind == "sign" and self.text == text

    def is_word(self, word):
        return self.kind == "word" and self.text.upper() == word

    def shown(self):
        return "<EOF>" if self.kind == "end" else self.text


def tokens_of(statement):
    found, offset, line, begin = [], 0, 1, 0
    while offset < len(statement):
        at = (line, offset - begin + 1)
        match = TOKEN.match(statement, offset)
        if match is None:
            character = statement[offset]
            if character == "`":
                raise wrong(at, "backquoted identifiers are not supported; use double quotes to quote identifiers")
            if character.isdigit():
                raise wrong(at, "identifiers must not start with a digit; surround the identifier with double quotes")
            raise wrong(at, f"mismatched input '{character}'. Expecting: <expression>")
        kind, text = match.lastgroup, match.group(match.lastgroup)
        if kind == "quoted":
            text = text[1:-1].replace('""', '"')
            if not text:
                raise wrong(at, "Zero-length delimited identifier not allowed")
        elif kind == "text":
            text = text[1:-1].replace("''", "'")
        if kind != "blank":
            found.append(Token(kind, text, at))
        lines = statement.count("\n", offset, match.end())
        if lines:
            line += lines
            begin = statement.rindex("\n", offset, match.end()) + 1
        offset = match.end()
    found.append(Token("end", "", (line, offset - begin + 1)))
    return found


# --- the parser ---------------------------------------------------------------------------------------------------


class Node:
    """Has a kind, a position, and the fields of the kind."""

    __slots__ = ("kind", "at", "parts")

    def __init__(self, kind, at, *parts):
        self.kind, self.at, self.parts = kind, at, parts


class Select:
    def __init__(self):
        self.items = []  # (node or None for *, name or None)
        self.distinct = False
        self.table = None  # (database, table, place, alias)
        self.where = self.having = self.limit = None
        self.group = None
        self.order = []  # (node, descending, nulls first)


COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")
AGGREGATES = ("count", "min", "max", "sum", "avg")
DEPTH_MAX = 200


class Parser:
    def __init__(self, statement):
        self.tokens = tokens_of(statement)
        self.next = 0
        self.depth = 0

    @property
    def token(self):
        return self.tokens[self.next]

    def advance(self):
        token = self.token
        self.next += 1
        return token

    def unexpected(self, *expected):
        token = self.token
        return wrong(token.at, f"mismatched input '{token.shown()}'. Expecting: " + ", ".join(expected))

    def take_sign(self, *texts):
        if self.token.kind == "sign" and self.token.text in texts:
            return self.advance()
        return None

    def take_word(self, *words):
        if self.token.kind == "word" and self.token.text.upper() in words:
            return self.advance()
        return None

    def need_sign(self, text):
        return self.take_sign(text) or self._fail(f"'{text}'")

    def need_word(self, word):
        return self.take_word(word) or self._fail(f"'{word}'")

    def _fail(self, *expected):
        raise self.unexpected(*expected)

    def name(self):
        token = self.token
        if token.kind == "quoted" or (token.kind == "word" and token.text.upper() not in RESERVED):
            return self.advance()
        raise self.unexpected("<identifier>")

    # --- statements ---------------------------------------------------------------------------

    def statement(self):
        token = self.token
        if self.take_word("SELECT"):
            made = self.select()
        elif self.take_word("DESCRIBE", "DESC"):
            made = Node("describe", token.at, self.table_name())
        elif self.take_word("SHOW"):
            made = self.show(token.at)
        else:
            raise self.unexpected("'DESCRIBE'", "'SELECT'", "'SHOW'")
        if self.token.kind != "end":
            raise self.unexpected("<EOF>")
        return made

    def table_name(self):
        first = self.name()
        if not self.take_sign("."):
            raise wrong(first.at, "Schema must be specified when session schema is not set")
        return first.text, self.name().text, first.at

    def show(self, at):
        what = self.take_word("DATABASES", "TABLES", "MEASURES")
        if what is None:
            raise self.unexpected("'DATABASES'", "'MEASURES'", "'TABLES'")
        kind, where, pattern = what.text.upper(), None, None
        if kind == "MEASURES":
            self.need_word("FROM")
            where = self.table_name()
        elif kind == "TABLES" and self.take_word("FROM"):
            where = self.name()
        if self.take_word("LIKE"):
            if self.token.kind != "text":
                raise self.unexpected("<string>")
            pattern = self.advance().text
        return Node("show", at, kind, where, pattern)

    def select(self):
        made = Select()
        made.distinct = self.take_word("DISTINCT") is not None
        if not made.distinct:
            self.take_word("ALL")
        while True:
            made.items.append(self.select_item())
            if not self.take_sign(","):
                break
        if self.take_word("FROM"):
            made.table = (*self.table_name(), self.alias())
        if self.take_word("WHERE"):
            made.where = self.expression()
        if self.take_word("GROUP"):
            self.need_word("BY")
            made.group = self.list_of(self.expression)
        if self.take_word("HAVING"):
            made.having = self.expression()
        if self.take_word("ORDER"):
            self.need_word("BY")
            made.order = self.list_of(self.order_item)
        if self.take_word("LIMIT") and not self.take_word("ALL"):
            if self.token.kind != "integer":
                raise self.unexpected("'ALL'", "<integer>")
            made.limit = int(self.advance().text)
        return made

    def list_of(self, what):
        found = [what()]
        while self.take_sign(","):
            found.append(what())
        return found

    def alias(self):
        if self.take_word("AS"):
            return self.name().text
        token = self.token
        if token.kind == "quoted" or (token.kind == "word" and token.text.upper() not in RESERVED | {"LIMIT"}):
            return self.name().text
        return None

    def select_item(self):
        if self.take_sign("*"):
            return None, None
        return self.expression(), self.alias()

    def order_item(self):
        node = self.expression()
        descending = self.take_word("ASC", "DESC")
        first = None
        if self.take_word("NULLS"):
            first = self.take_word("FIRST", "LAST") or self._fail("'FIRST'", "'LAST'")
        return (node, descending is not None and descending.text.upper() == "DESC",
                first is not None and first.text.upper() == "FIRST")

    # --- expressions --------------------------------------------------------------------------

    def expression(self):
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise wrong(self.token.at, "statement is too large (stack overflow while parsing)")
        node = self.chain("OR", lambda: self.chain("AND", self.negation))
        self.depth -= 1
        return node

    def chain(self, word, part):
        first = part()
        parts = [first]
        while self.take_word(word):
            parts.append(part())
        return first if len(parts) == 1 else Node(word.lower(), first.at, parts)

    def negation(self):
        negations, at = 0, self.token.at
        while self.take_word("NOT"):
            negations += 1
        node = self.predicate()
        return Node("not", at, node) if negations % 2 else node

    def predicate(self):
        node = self.sum()
        while True:
            at = self.token.at
            sign = self.take_sign(*COMPARISONS)
            if sign:
                node = Node("compare", at, "<>" if sign.text == "!=" else sign.text, node, self.sum())
                continue
            if self.take_word("IS"):
                negated = self.take_word("NOT") is not None
                self.need_word("NULL")
                node = Node("is null", at, node, negated)
                continue
            save = self.next
            negated = self.take_word("NOT") is not None
            if self.take_word("BETWEEN"):
                low = self.sum()
                self.need_word("AND")
                node = Node("between", at, node, low, self.sum(), negated)
            elif self.take_word("IN"):
                self.need_sign("(")
                node = Node("in", at, node, self.list_of(self.expression), negated)
                self.need_sign(")")
            elif self.take_word("LIKE"):
                pattern = self.sum()
                escape = self.sum() if self.take_word("ESCAPE") else None
                node = Node("like", at, node, pattern, escape, negated)
            else:
                self.next = save
                return node

    def sum(self):
        node = self.product()
        while True:
            sign = self.take_sign("+", "-", "||")
            if not sign:
                return node
            node = Node("arithmetic", sign.at, sign.text, node, self.product())

    def product(self):
        node = self.signed()
        while True:
            sign = self.take_sign("*", "/", "%")
            if not sign:
                return node
            node = Node("arithmetic", sign.at, sign.text, node, self.signed())

    def signed(self):
        sign = self.take_sign("-", "+")
        if sign is None:
            return self.primary()
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise wrong(sign.at, "statement is too large (stack overflow while parsing)")
        node = self.signed()
        self.depth -= 1
        return Node("minus", sign.at, node) if sign.text == "-" else node

    def primary(self):
        token = self.token
        if token.kind == "text":
            return Node("constant", self.advance().at, token.text, "varchar")
        if token.kind == "integer":
            return Node("constant", self.advance().at, int(token.text), "bigint")
        if token.kind == "double":
            return Node("constant", self.advance().at, float(token.text), "double")
        if token.kind == "interval":
            match = re.fullmatch(r"([0-9]+)([A-Za-z]+)", token.text)
            if match.group(2).lower() not in UNITS:
                raise wrong(token.at, "identifiers must not start with a digit; surround the identifier with double quotes")
            self.advance()
            return Node("constant", token.at, int(match.group(1)) * UNITS[match.group(2).lower()], "interval")
        if self.take_sign("("):
            node = self.expression()
            self.need_sign(")")
            return node
        for word, value, kind in (("NULL", None, "unknown"), ("TRUE", 1, "boolean"), ("FALSE", 0, "boolean")):
            if self.take_word(word):
                return Node("constant", token.at, value, kind)
        if self.take_word("CURRENT_TIMESTAMP"):
            return Node("call", token.at, "now", [], False)
        if self.take_word("CAST"):
            self.need_sign("(")
            node = self.expression()
            self.need_word("AS")
            kind = self.name()
            self.need_sign(")")
            return Node("cast", token.at, node, kind.text.lower())
        return self.named()

    def named(self):
        first = self.token
        if first.kind not in ("quoted", "word") or (first.kind == "word" and first.text.upper() in RESERVED):
            raise self.unexpected("<expression>")
        self.advance()
        if first.kind == "word" and self.take_sign("("):
            return self.call(first)
        parts = [first]
        if self.take_sign("::"):
            kind = self.token
            if first.text.lower() != "measure_value" or kind.kind != "word" or kind.text.lower() not in VALUE_TYPES:
                raise wrong(kind.at, f"mismatched input '{kind.shown()}'. Expecting: <type of measure_value>")
            self.advance()
            first = Token("word", "measure_value::" + kind.text.lower(), first.at)
            return Node("column", first.at, None, first.text, False)
        if self.take_sign("."):
            second = self.name()
            if self.take_sign("::"):
                return Node("column", first.at, first.text, f"{second.text}::{self.name().text.lower()}", False)
            return Node("column", first.at, first.text, second.text, second.kind == "quoted")
        return Node("column", parts[0].at, None, first.text, first.kind == "quoted")

    def call(self, name):
        function = name.text.lower()
        distinct = self.take_word("DISTINCT") is not None
        if self.take_sign("*"):
            self.need_sign(")")
            if function != "count" or distinct:
                raise wrong(name.at, f"mismatched input '*' in a call of {function}")
            return Node("call", name.at, "count", None, False)
        arguments = []
        if not self.take_sign(")"):
            arguments = self.list_of(self.expression)
            self.need_sign(")")
        if self.token.is_word("OVER") or self.token.is_word("FILTER"):
            raise wrong(self.token.at, f"{self.token.text} is not supported by this double")
        return Node("call", name.at, function, arguments, distinct)


# --- patterns -----------------------------------------------------------------------------------------------------

ENDS = "\\n\\r\\u0085\\u2028\\u2029"
AT_END = f"(?=(?:\\r\\n|[{ENDS}])?\\Z)(?!(?<=\\r)\\n)"
ESCAPED_CLASSES = {
    "d": "[0-9]", "D": "[^0-9]", "w": "[A-Za-z0-9_]", "W": "[^A-Za-z0-9_]", "s": "[ \\t\\n\\x0b\\f\\r]",
    "S": "[^ \\t\\n\\x0b\\f\\r]", "h": "[ \\t\\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000]",
}
ESCAPED_CHARACTERS = {"t": "\\t", "n": "\\n", "r": "\\r", "f": "\\f", "a": "\\x07", "e": "\\x1b"}


class JavaPattern:
    """A pattern of java.util.regex, as one of Python."""

    def __init__(self, pattern):
        self.pattern, self.at = pattern, 0
        self.flags = [frozenset()]
        self.made = []
        self.open_rest = [0]  # for each group: the number of groups of flags open in it

    def bad(self, why):
        return QueryError(f"Invalid regular expression: {why} near index {self.at}")

    def take(self):
        if self.at == len(self.pattern):
            raise self.bad("unexpected end")
        self.at += 1
        return self.pattern[self.at - 1]

    def hex(self, digits):
        text = self.pattern[self.at : self.at + digits]
        if not re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", text):
            raise self.bad("Illegal hexadecimal escape sequence")
        self.at += digits
        return re.escape(chr(int(text, 16)))

    def escape(self, in_class):
        letter = self.take()
        if letter in ESCAPED_CHARACTERS:
            return ESCAPED_CHARACTERS[letter]
        if letter in ESCAPED_CLASSES:
            found = ESCAPED_CLASSES[letter]
            if not in_class:
                return found
            if found.startswith("[^"):
                raise self.bad("a complement within a class, which this double does not translate,")
            return found[1:-1]
        if letter == "x" and not self.pattern.startswith("{", self.at):
            return self.hex(2)
        if letter == "u":
            return self.hex(4)
        if not in_class and letter in "bBA":
            return "\\" + letter
        if not in_class and letter == "z":
            return "\\Z"
        if not in_class and letter == "Z":
            return AT_END
        if not in_class and letter in "123456789":
            return "\\" + letter
        if letter == "Q":
            end = self.pattern.find("\\E", self.at)
            end = len(self.pattern) if end < 0 else end
            text = self.pattern[self.at : end]
            self.at = min(end + 2, len(self.pattern))
            return "".join(re.escape(c) for c in text)
        if letter.isascii() and letter.isalnum():
            raise self.bad("Illegal/unsupported escape sequence")
        return re.escape(letter)

    def char_class(self):
        made = ["["]
        if self.pattern.startswith("^", self.at):
            self.at += 1
            made.append("^")
        begin = self.at
        while True:
            if self.at == len(self.pattern):
                raise self.bad("Unclosed character class")
            c = self.take()
            if c == "]" and self.at > begin + 1:
                return "".join(made) + "]"
            if c == "[" or (c == "&" and self.pattern.startswith("&", self.at)):
                raise self.bad("a class of classes, which this double does not translate,")
            if c == "\\":
                made.append(self.escape(True))
            elif c == "-":
                made.append("-")
            else:
                made.append(re.escape(c))

    def group(self):
        inherited = self.flags[-1]
        if not self.pattern.startswith("?", self.at):
            self.flags.append(inherited)
            return "("
        for begin in ("?:", "?=", "?!", "?<=", "?<!", "?>"):
            if self.pattern.startswith(begin, self.at):
                self.at += len(begin)
                self.flags.append(inherited)
                return "(" + begin
        match = re.compile(r"\?<([A-Za-z][A-Za-z0-9]*)>").match(self.pattern, self.at)
        if match:
            self.at = match.end()
            self.flags.append(inherited)
            return f"(?P<{match.group(1)}>"
        match = re.compile(r"\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])").match(self.pattern, self.at)
        if not match:
            raise self.bad("Unknown inline modifier")
        on, off = set(match.group(1)), set(match.group(2) or "")
        if (on | off) - {"s", "i"}:
            raise self.bad("Unknown inline modifier, or one that this double does not translate,")
        self.at = match.end()
        flags = frozenset((inherited | on) - off)
        if match.group(3) == ":":
            self.flags.append(flags)
            return self.flag_group(flags)
        # The flags apply to the rest of this group: a group around that has them.
        self.flags[-1] = flags
        self.open_rest[-1] += 1
        return self.flag_group(flags)

    @staticmethod
    def flag_group(flags):
        return "(?i:" if "i" in flags else "(?-i:"

    def translate(self):
        while self.at < len(self.pattern):
            c = self.take()
            if c == "\\":
                self.made.append(self.escape(False))
            elif c == "[":
                self.made.append(self.char_class())
            elif c == "(":
                depth = len(self.flags)
                self.made.append(self.group())
                if len(self.flags) > depth:
                    self.open_rest.append(0)
            elif c == ")":
                if len(self.flags) == 1:
                    raise self.bad("Unmatched closing ')'")
                self.made.append(")" * (self.open_rest.pop() + 1))
                self.flags.pop()
            elif c == ".":
                self.made.append("[\\s\\S]" if "s" in self.flags[-1] else f"[^{ENDS}]")
            elif c == "$":
                self.made.append(AT_END)
            elif c == "^":
                self.made.append("\\A")
            elif c == "{":
                match = re.compile(r"[0-9]+(,[0-9]*)?\}").match(self.pattern, self.at)
                if not match:
                    raise self.bad("Illegal repetition")
                self.made.append("{" + match.group())
                self.at = match.end()
            elif c == "|" and self.open_rest[-1]:  # flags are those of the rest of the group, not of the alternative
                self.made.append(")" * self.open_rest[-1] + "|" + self.flag_group(self.flags[-1]))
                self.open_rest[-1] = 1
            elif c in "*+?|":
                self.made.append(c)
            else:
                self.made.append(re.escape(c))
        if len(self.flags) > 1:
            raise self.bad("Unclosed group")
        self.made.append(")" * self.open_rest.pop())
        try:
            return re.compile("".join(self.made), re.ASCII)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.bad(str(error)) from error


@functools.lru_cache(maxsize=1000)
def java_pattern(pattern):
    return JavaPattern(pattern).translate()


def regexp_like(text, pattern):
    if text is None or pattern is None:
        return None
    return java_pattern(pattern).search(text) is not None


@functools.lru_cache(maxsize=1000)
def like_pattern(pattern, escape):
    made, escaped = [], False
    for c in pattern:
        if escaped:
            if c not in ("%", "_", escape):
                raise QueryError("Escape character must be followed by '%', '_' or the escape character itself")
            made.append(re.escape(c))
            escaped = False
        elif c == escape:
            escaped = True
        else:
            made.append({"%": ".*", "_": "."}.get(c) or re.escape(c))
    if escaped:
        raise QueryError("Escape character must be followed by '%', '_' or the escape character itself")
    return re.compile("".join(made), re.DOTALL)


def like(text, pattern, escape):
    if text is None or pattern is None:
        return None
    return like_pattern(pattern, escape).fullmatch(text) is not None


# --- values as text -----------------------------------------------------------------------------------------------


def java_double(value):
    """A number as Double.toString() prints it."""
    if 1e-3 <= abs(value) < 1e7:  # as Python does
        return repr(float(value))
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0.0" if struct.pack(">d", value)[0] else "0.0"
    digits, _, exponent = f"{value!r}e0".partition("e") if "e" not in repr(value) else repr(value).partition("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, fraction = digits.lstrip("-").partition(".")
    fraction = "" if fraction == "0" else fraction
    shift = int(exponent.partition("e")[0] or 0)
    mantissa = (whole + fraction).lstrip("0")
    # position of the point in the mantissa
    place = len(whole) + shift - (len(whole + fraction) - len(mantissa))
    mantissa = mantissa.rstrip("0") or "0"
    if len(mantissa) == 1:  # it has at least two digits, the nearest ones
        two = f"{abs(value):.1e}"
        if float(two) == abs(value):
            mantissa = two[0] + two[2]
            place = int(two.partition("e")[2]) + 1
    return f"{sign}{mantissa[0]}.{mantissa[1:] or '0'}E{place - 1}"


@functools.lru_cache(maxsize=100000)
def _second(seconds):
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def timestamp_text(ns):
    return f"{_second(ns // 10**9)}.{ns % 10**9:09}"


def interval_text(ns):
    return f"{ns // (86400 * 10**9)} {_second(ns // 10**9 % 86400)[11:]}.{ns % 10**9:09}"


PRINTED = {
    "double": java_double,
    "bigint": str,
    "varchar": str,
    "boolean": lambda value: "true" if value else "false",
    "timestamp": timestamp_text,
    "interval": interval_text,
    "unknown": str,
}
SCALAR_TYPES = {"interval": "INTERVAL_DAY_TO_SECOND"}


# --- tables -------------------------------------------------------------------------------------------------------


class StoredTable:
    """The rows of a table in SQLite, where they are written when a query needs them."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = OFF")
        self.connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, 32767)
        for name, count, function in (
            ("regexp_like", 2, regexp_like),
            ("ts_like", 3, like),
            ("ts_lower", 1, lambda x: None if x is None else x.lower()),
            ("ts_upper", 1, lambda x: None if x is None else x.upper()),
            ("ts_length", 1, lambda x: None if x is None else len(x)),
            ("ts_join", 2, lambda x, y: None if x is None or y is None else x + y),
            ("ts_time", 2, self.make_time),
        ):
            self.connection.create_function(name, count, self.guarded(function), deterministic=True)
        self.error = None
        self.clear()

    def guarded(self, function):
        """Keeps the error of a function, as SQLite only reports that one has failed."""

        def call(*arguments):
            try:
                return function(*arguments)
            except QueryError as error:
                self.error = error
                raise

        return call

    @staticmethod
    def make_time(value, factor):
        if value is None:
            return None
        ns = int(value * factor)
        if not 0 <= ns <= NS_MAX:
            raise QueryError(f"Time {value} is out of the range of timestamps")
        return ns

    def clear(self):
        run = self.connection.execute
        run("DROP TABLE IF EXISTS series")
        run("DROP TABLE IF EXISTS points")
        run("CREATE TABLE series (id INTEGER PRIMARY KEY, measure_name TEXT)")
        run("CREATE INDEX measures ON series (measure_name)")
        # Columns of values have no type, so that -0.0 stays.
        run("CREATE TABLE points (sid INTEGER, time INTEGER, v_double, v_bigint, v_varchar, v_boolean, v_timestamp, "
            "PRIMARY KEY (sid, time)) WITHOUT ROWID")
        self.ids = {}  # (dimensions, measure) -> id
        self.dimensions = {}  # name -> column, in the order of arrival
        self.types = []  # types of measure_value, in the order of arrival
        self.waiting = {}

    def put(self, dimensions, measure, time_ns, kind, text):
        """Adds a value; `dimensions` are pairs in the order of names."""
        self.waiting[dimensions, measure, time_ns] = kind.lower(), text

    def id_of(self, dimensions, measure):
        key = dimensions, measure
        if key in self.ids:
            return self.ids[key]
        for name, _ in dimensions:
            if name not in self.dimensions:
                self.dimensions[name] = f"d{len(self.dimensions)}"
                self.connection.execute(f"ALTER TABLE series ADD COLUMN {self.dimensions[name]} TEXT")
        number = self.ids[key] = len(self.ids) + 1
        columns = ["id", "measure_name", *(self.dimensions[name] for name, _ in dimensions)]
        self.connection.execute(
            f"INSERT INTO series ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            (number, measure, *(value for _, value in dimensions)),
        )
        return number

    def flush(self):
        if not self.waiting:
            return
        by_type = {}
        self.connection.execute("BEGIN")
        for (dimensions, measure, time_ns), (kind, text) in self.waiting.items():
            value = text
            if kind == "double":
                value = float(text)
            elif kind in ("bigint", "timestamp"):
                value = int(text)
            elif kind == "boolean":
                value = int(text == "true")
            by_type.setdefault(kind, []).append((self.id_of(dimensions, measure), time_ns, value))
        for kind, rows in by_type.items():
            if kind not in self.types:
                self.types.append(kind)
            self.connection.executemany(f"REPLACE INTO points (sid, time, v_{kind}) VALUES (?, ?, ?)", rows)
        self.connection.execute("COMMIT")
        self.waiting = {}

    def columns(self):
        """Yields (name, type, attribute type, in SQLite), as DESCRIBE lists them."""
        found = [(name, "varchar", "DIMENSION", f"s.{column}") for name, column in self.dimensions.items()]
        found.append(("measure_name", "varchar", "MEASURE_NAME", "s.measure_name"))
        found.append(("time", "timestamp", "TIMESTAMP", "p.time"))
        found += [(f"measure_value::{kind}", kind, "MEASURE_VALUE", f"p.v_{kind}") for kind in self.types]
        return found

    def run(self, statement, parameters):
        self.error = None
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            if self.error:
                raise self.error from error
            raise QueryError(f"The query cannot be executed: {error}") from error


# --- translation --------------------------------------------------------------------------------------------------


class Typed:
    """An expression of SQLite. `constant`: its value is known, and is `value`."""

    __slots__ = ("sql", "type", "constant", "value")

    def __init__(self, sql, kind, constant=False, value=None):
        self.sql, self.type, self.constant, self.value = sql, kind, constant, value


NUMERIC = ("bigint", "double")
FUNCTIONS = {  # name -> types of arguments, type of the result, function of SQLite
    "regexp_like": (("varchar", "varchar"), "boolean", "regexp_like"),
    "lower": (("varchar",), "varchar", "ts_lower"),
    "upper": (("varchar",), "varchar", "ts_upper"),
    "length": (("varchar",), "bigint", "ts_length"),
    "abs": (("double",), "double", "abs"),
}


def fits(kind, wanted):
    return kind in (wanted, "unknown") or (kind == "bigint" and wanted == "double")


def common_type(a, b):
    if a == b or b == "unknown":
        return a
    if a == "unknown":
        return b
    return "double" if a in NUMERIC and b in NUMERIC else None


def balanced(word, parts):
    """Joins parts in a balanced tree, as SQLite limits the depth of expressions."""
    while len(parts) > 1:
        pairs = [f"({a} {word} {b})" for a, b in zip(parts[::2], parts[1::2])]
        parts = pairs + parts[len(parts) // 2 * 2 :]
    return parts[0]


class Translation:
    def __init__(self, table, alias, names, now_ns):
        self.table, self.alias, self.names, self.now_ns = table, alias, names, now_ns
        self.columns = table.columns() if table else []
        self.named = {}  # the same by their names in small letters
        for column in self.columns:
            self.named.setdefault(column[0].lower(), []).append(column)
        self.parameters, self.numbers = [], {}
        self.groups = None  # SQL of the groups; None: not grouped
        self.inside = False  # says whether it is inside of an aggregate

    def bind(self, value):
        key = type(value), struct.pack(">d", value) if isinstance(value, float) else value
        if key not in self.numbers:
            self.parameters.append(value)
            self.numbers[key] = len(self.parameters)
        return f"?{self.numbers[key]}"

    def constant(self, value, kind):
        if value is None:
            return Typed("NULL", kind, True, None)
        return Typed(self.bind(value), kind, True, value)

    def boolean(self, node, where):
        made = self.expression(node)
        if made.type not in ("boolean", "unknown"):
            raise wrong(node.at, f"{where} must evaluate to a boolean: actual type {made.type}")
        return made.sql

    def expression(self, node):
        visit = getattr(self, "on_" + node.kind.replace(" ", "_"))
        if self.groups is not None and not self.inside and not has_aggregate(node):
            # An expression of the groups represents itself, whatever it is made of.
            groups, self.groups = self.groups, None
            made = visit(node, *node.parts)
            self.groups = groups
            if made.constant or made.sql in groups:
                return made
        return visit(node, *node.parts)

    # --- columns, and groups --------------------------------------------------------------------

    def find(self, node, qualifier, name, quoted):
        if qualifier is not None and qualifier.lower() not in (q.lower() for q in self.names):
            raise wrong(node.at, f"Column '{qualifier}.{name}' does not exist")
        same = self.named.get(name.lower(), [])
        exact = [c for c in same if c[0] == name]
        if len(same) > 1 and not (quoted and exact):
            raise wrong(node.at, f"Column '{name}' is ambiguous")
        if not same:
            raise wrong(node.at, f"Column '{name}' does not exist")
        return exact[0] if exact else same[0]

    def on_column(self, node, qualifier, name, quoted):
        _, kind, _, sql = self.find(node, qualifier, name, quoted)
        if self.groups is not None and not self.inside and sql not in self.groups:
            raise wrong(node.at, f"'{name}' must be an aggregate expression or appear in GROUP BY clause")
        return Typed(sql, kind)

    def on_constant(self, _node, value, kind):
        if kind == "bigint" and value > NS_MAX:
            raise wrong(_node.at, f"Invalid numeric literal: {value}")
        return self.constant(value, kind)

    # --- operators ----------------------------------------------------------------------------

    def on_or(self, _node, parts):
        return Typed(balanced("OR", [self.operand(part, "OR") for part in parts]), "boolean")

    def on_and(self, _node, parts):
        return Typed(balanced("AND", [self.operand(part, "AND") for part in parts]), "boolean")

    def operand(self, node, word):
        return self.boolean(node, f"Logical expression term of {word}")

    def on_not(self, _node, part):
        return Typed(f"(NOT {self.boolean(part, 'Value of logical NOT expression')})", "boolean")

    def compared(self, node, sign, a, b):
        if common_type(a.type, b.type) is None:
            raise wrong(node.at, f"'{sign}' cannot be applied to {a.type}, {b.type}")

    def on_compare(self, node, sign, left, right):
        a, b = self.expression(left), self.expression(right)
        self.compared(node, sign, a, b)
        return Typed(f"({a.sql} {sign} {b.sql})", "boolean")

    def on_is_null(self, _node, part, negated):
        made = self.expression(part)
        return Typed(f"({made.sql} IS {'NOT ' if negated else ''}NULL)", "boolean")

    def on_between(self, node, part, low, high, negated):
        a, b, c = self.expression(part), self.expression(low), self.expression(high)
        self.compared(node, "BETWEEN", a, b)
        self.compared(node, "BETWEEN", a, c)
        return Typed(f"({a.sql} {'NOT ' if negated else ''}BETWEEN {b.sql} AND {c.sql})", "boolean")

    def on_in(self, node, part, items, negated):
        a = self.expression(part)
        found = []
        for item in items:
            made = self.expression(item)
            if common_type(a.type, made.type) is None:
                raise wrong(item.at, f"IN value and list items must be the same type: {a.type}")
            found.append(made.sql)
        return Typed(f"({a.sql} {'NOT ' if negated else ''}IN ({', '.join(found)}))", "boolean")

    def on_like(self, node, part, pattern, escape, negated):
        made = [self.expression(part), self.expression(pattern)]
        made.append(self.expression(escape) if escape else self.constant(None, "unknown"))
        for typed in made:
            if not fits(typed.type, "varchar"):
                raise wrong(node.at, f"Left side of LIKE expression must evaluate to a varchar (actual: {typed.type})")
        if escape and made[2].constant and len(made[2].value or "") != 1:
            raise wrong(node.at, "Escape string must be a single character")
        if made[1].constant and made[1].value is not None and made[2].constant:
            like_pattern(made[1].value, made[2].value)
        return Typed(f"({'NOT ' if negated else ''}ts_like({', '.join(t.sql for t in made)}))", "boolean")

    def on_minus(self, node, part):
        made = self.expression(part)
        if made.type not in (*NUMERIC, "interval"):
            raise wrong(node.at, f"'-' cannot be applied to {made.type}")
        if made.constant and made.value is not None:
            return self.constant(-made.value, made.type)
        return Typed(f"(-{made.sql})", made.type)

    def on_arithmetic(self, node, sign, left, right):
        a, b = self.expression(left), self.expression(right)
        kind = self.arithmetic_type(sign, a.type, b.type)
        if kind is None:
            raise wrong(node.at, f"'{sign}' cannot be applied to {a.type}, {b.type}")
        if sign == "||":
            return Typed(f"ts_join({a.sql}, {b.sql})", kind)
        known = a.constant and b.constant and a.value is not None and b.value is not None
        if known and sign in "+-*":
            value = a.value + b.value if sign == "+" else a.value - b.value if sign == "-" else a.value * b.value
            return self.made_time(node, value) if kind == "timestamp" else self.constant(value, kind)
        if sign in "/%" and b.constant and b.value == 0 and kind == "bigint":
            raise wrong(node.at, "Division by zero")
        return Typed(f"({a.sql} {sign} {b.sql})", kind)

    @staticmethod
    def arithmetic_type(sign, a, b):
        if "unknown" in (a, b):
            return common_type(a, b)
        if sign == "||":
            return "varchar" if a == b == "varchar" else None
        if a in NUMERIC and b in NUMERIC:
            return common_type(a, b)
        if sign in "+-" and b == "interval" and a in ("timestamp", "interval"):
            return a
        if sign == "+" and a == "interval" and b == "timestamp":
            return b
        if sign == "-" and a == b == "timestamp":
            return "interval"
        return "interval" if sign == "*" and {a, b} == {"interval", "bigint"} else None

    def made_time(self, node, ns):
        if not 0 <= ns <= NS_MAX:
            raise wrong(node.at, f"Time {ns} ns is out of the range of timestamps: negative times are not supported")
        return self.constant(int(ns), "timestamp")

    def on_cast(self, node, part, kind):
        made = self.expression(part)
        sql = {"varchar": "TEXT", "double": "REAL", "bigint": "INTEGER"}.get(kind)
        if sql is None or made.type not in (*NUMERIC, "varchar", "unknown"):
            raise wrong(node.at, f"Cannot cast {made.type} to {kind}")
        return Typed(f"CAST({made.sql} AS {sql})", kind)

    # --- functions ----------------------------------------------------------------------------

    def on_call(self, node, name, arguments, distinct):
        if name in AGGREGATES:
            return self.aggregate(node, name, arguments, distinct)
        if distinct:
            raise wrong(node.at, "DISTINCT is not supported for non-aggregation functions")
        made = [self.expression(argument) for argument in arguments]
        special = getattr(self, "call_" + name, None)
        if special:
            return special(node, made)
        if name not in FUNCTIONS:
            raise wrong(node.at, f"Function {name} not registered")
        wanted, kind, sql = FUNCTIONS[name]
        if len(made) != len(wanted) or not all(fits(a.type, w) for a, w in zip(made, wanted)):
            given = ", ".join(a.type for a in made)
            raise wrong(node.at, f"Unexpected parameters ({given}) for function {name}. Expected: {name}({', '.join(wanted)})")
        if name == "regexp_like" and made[1].constant and made[1].value is not None:
            java_pattern(made[1].value)
        return Typed(f"{sql}({', '.join(a.sql for a in made)})", kind)

    def need(self, node, made, *wanted):
        if len(made) != len(wanted) or not all(fits(a.type, w) for a, w in zip(made, wanted)):
            given = ", ".join(a.type for a in made)
            raise wrong(node.at, f"Unexpected parameters ({given}) for function {node.parts[0]}. Expected: ({', '.join(wanted)})")

    def aggregate(self, node, name, arguments, distinct):
        if self.groups is None:
            raise wrong(node.at, f"WHERE clause cannot contain aggregations or grouping operations: [{name}]")
        if self.inside:
            raise wrong(node.at, f"Cannot nest aggregations inside aggregation '{name}'")
        if arguments is None:
            return Typed("COUNT(*)", "bigint")
        self.inside = True
        made = [self.expression(argument) for argument in arguments]
        self.inside = False
        if len(made) != 1 or (name in ("sum", "avg") and not fits(made[0].type, "double")):
            given = ", ".join(a.type for a in made)
            raise wrong(node.at, f"Unexpected parameters ({given}) for function {name}")
        kind = {"count": "bigint", "avg": "double"}.get(name, made[0].type)
        return Typed(f"{name.upper()}({'DISTINCT ' if distinct else ''}{made[0].sql})", kind)

    def call_coalesce(self, node, made):
        kind = "unknown"
        if len(made) < 2:
            raise wrong(node.at, "The 'coalesce' function must have at least two arguments")
        for argument in made:
            kind = common_type(kind, argument.type)
            if kind is None:
                raise wrong(node.at, "All COALESCE operands must be the same type")
        return Typed(f"COALESCE({', '.join(a.sql for a in made)})", kind)

    def call_nullif(self, node, made):
        if len(made) != 2 or common_type(made[0].type, made[1].type) is None:
            raise wrong(node.at, "Types are not comparable with NULLIF")
        return Typed(f"NULLIF({made[0].sql}, {made[1].sql})", made[0].type)

    def call_now(self, node, made):
        self.need(node, made)
        return self.constant(self.now_ns, "timestamp")

    def call_ago(self, node, made):
        self.need(node, made, "interval")
        if not made[0].constant:
            raise wrong(node.at, "ago() of what is no literal is not supported by this double")
        return self.made_time(node, self.now_ns - made[0].value)

    def from_number(self, node, made, factor):
        self.need(node, made, "bigint")
        if made[0].constant and made[0].value is not None:
            return self.made_time(node, made[0].value * factor)
        return Typed(f"ts_time({made[0].sql}, {self.bind(factor)})", "timestamp")

    def call_from_milliseconds(self, node, made):
        return self.from_number(node, made, 10**6)

    def call_from_nanoseconds(self, node, made):
        return self.from_number(node, made, 1)

    def call_to_milliseconds(self, node, made):
        self.need(node, made, "timestamp")
        return Typed(f"({made[0].sql} / {self.bind(10**6)})", "bigint")

    def call_to_nanoseconds(self, node, made):
        self.need(node, made, "timestamp")
        return Typed(made[0].sql, "bigint")

    def call_bin(self, node, made):
        self.need(node, made, "timestamp", "interval")
        return Typed(f"({made[0].sql} / {made[1].sql} * {made[1].sql})", "timestamp")


# --- statements ---------------------------------------------------------------------------------------------------


class Result:
    """Names, types and rows of values; the number of table rows read for it."""

    def __init__(self, names, types, rows, scanned):
        self.names, self.types, self.rows, self.scanned = names, types, rows, scanned
        self.is_ordered = False
        self.printers = [PRINTED[t] for t in types]

    def texts(self, row):
        return [None if v is None else printed(v) for v, printed in zip(row, self.printers)]

    def column_info(self):
        return [{"Name": n, "Type": {"ScalarType": SCALAR_TYPES.get(t, t.upper())}} for n, t in zip(self.names, self.types)]


def has_aggregate(node):
    if isinstance(node, list):
        return any(has_aggregate(part) for part in node)
    if not isinstance(node, Node):
        return False
    if node.kind == "call" and node.parts[0] in AGGREGATES:
        return True
    return any(has_aggregate(part) for part in node.parts)


class Executor:
    """Executes statements. `databases`: name -> {table's name -> object with `stored`, a
    StoredTable}"""

    def __init__(self, databases, now_ns=None):
        self.databases = databases
        self.now_ns = time.time_ns() if now_ns is None else now_ns

    def table(self, database, name, at):
        if database not in self.databases:
            raise QueryError(f"Requested database '{database}' not found for identifier '{database}.{name}' at line {at[0]}:{at[1]}")
        if name not in self.databases[database]:
            raise QueryError(f"Requested table '{name}' not found for identifier '{database}.{name}' at line {at[0]}:{at[1]}")
        stored = self.databases[database][name].stored
        stored.flush()
        return stored

    def execute(self, statement):
        try:
            parsed = Parser(statement).statement()
            if isinstance(parsed, Select):
                return self.select(parsed)
            return getattr(self, parsed.kind)(parsed)
        except RecursionError as error:
            raise wrong((1, 1), "statement is too large (stack overflow while parsing)") from error

    def describe(self, node):
        stored = self.table(*node.parts[0])
        rows = [(name, kind, attribute) for name, kind, attribute, _ in stored.columns()]
        return Result(["Column", "Type", "Timestream attribute type"], ["varchar"] * 3, rows, 0)

    def show(self, node):
        kind, where, pattern = node.parts
        if kind == "DATABASES":
            rows = [(name,) for name in self.databases]
            names = ["Database"]
        elif kind == "TABLES":
            chosen = self.databases if where is None else {where.text: self.databases.get(where.text, {})}
            rows = [(name,) for tables in chosen.values() for name in tables]
            names = ["Table"]
        else:
            stored = self.table(*where)
            rows = []
            for value_type in stored.types:
                found = stored.run(
                    "SELECT DISTINCT s.measure_name FROM series s JOIN points p ON p.sid = s.id "
                    f"WHERE p.v_{value_type} IS NOT NULL", ())
                rows += [(measure, value_type) for (measure,) in found]
            names = ["measure_name", "data_type"]
        if pattern is not None:
            rows = [row for row in rows if like(row[0], pattern, None)]
        return Result(names, ["varchar"] * len(names), sorted(rows), 0)

    def select(self, q):
        stored = alias = None
        names = []
        if q.table:
            database, name, at, alias = q.table
            stored = self.table(database, name, at)
            names = [alias] if alias else [name]
        t = Translation(stored, alias, names, self.now_ns)
        where = t.boolean(q.where, "WHERE clause") if q.where else None
        items = self.items(q, t)
        is_grouped = q.group is not None or q.having or has_aggregate([n for n, _ in items] + [n for n, _, _ in q.order])
        groups = self.groups(q, t, items) if q.group else []
        if is_grouped:
            t.groups = set(groups)
        made = [t.expression(node) for node, _ in items]
        result = Result(self.names_of(items), [m.type for m in made], None, 0)
        order = self.order(q, t, items, made)
        having = t.boolean(q.having, "HAVING clause") if q.having else None
        chosen = [f"{m.sql} AS c{i}" for i, m in enumerate(made)]
        counts = is_grouped and not q.distinct
        if counts:
            chosen.append("COUNT(*)")
        sql = f"SELECT {'DISTINCT ' if q.distinct else ''}{', '.join(chosen)}"
        if stored:
            sql += " FROM series s CROSS JOIN points p ON p.sid = s.id"
        if where:
            sql += f" WHERE {where}"
        if groups:
            # A series has all of its dimensions and its measure, so it is grouped without comparing
            # texts.
            keys = {c[3] for c in t.columns if c[3].startswith("s.")}
            sql += " GROUP BY " + ("s.id" if keys == set(groups) else ", ".join(groups))
        if having:
            sql += f" HAVING {having}"
        sql += order
        if q.limit is not None:
            sql += f" LIMIT {q.limit}"
        rows = stored.run(sql, t.parameters) if stored else self.without_table(sql, t.parameters)
        if counts:
            result.scanned = sum(row[-1] for row in rows)
            rows = [row[:-1] for row in rows]
        else:
            result.scanned = len(rows)
        result.rows, result.is_ordered = rows, bool(q.order)
        return result

    @staticmethod
    def without_table(sql, parameters):
        return StoredTable().run(sql, parameters)

    @staticmethod
    def items(q, t):
        found = []
        for node, name in q.items:
            if node is not None:
                found.append((node, name))
                continue
            if not t.table:
                raise wrong((1, 8), "SELECT * not allowed in queries without FROM clause")
            found += [(Node("column", (1, 8), None, column[0], True), column[0]) for column in t.columns]
        return found

    @staticmethod
    def names_of(items):
        return [name or (node.parts[1] if node.kind == "column" else f"_col{i}") for i, (node, name) in enumerate(items)]

    @staticmethod
    def position(node, items, clause):
        """Position 1 is the first of the selected expressions."""
        if node.kind != "constant" or node.parts[1] != "bigint":
            return None
        if not 1 <= node.parts[0] <= len(items):
            raise wrong(node.at, f"{clause} position {node.parts[0]} is not in select list")
        return node.parts[0] - 1

    def groups(self, q, t, items):
        found = []
        for node in q.group:
            position = self.position(node, items, "GROUP BY")
            node = node if position is None else items[position][0]
            if has_aggregate(node):
                raise wrong(node.at, "GROUP BY clause cannot contain aggregations or grouping operations")
            made = t.expression(node)
            found.append(made.sql)
        return found

    def order(self, q, t, items, made):
        found = []
        names = {(name or "").lower(): i for i, (_, name) in enumerate(items)}
        for node, descending, first in q.order:
            position = self.position(node, items, "ORDER BY")
            if position is None and node.kind == "column" and node.parts[0] is None:
                position = names.get(node.parts[1].lower())
            sql = t.expression(node).sql if position is None else made[position].sql
            found.append(f"{sql} {'DESC' if descending else 'ASC'} NULLS {'FIRST' if first else 'LAST'}")
        return " ORDER BY " + ", ".join(found) if found else ""


# --- self-test ----------------------------------------------------------------------------------------------------


class _Table:
    def __init__(self):
        self.stored = StoredTable()


def _sample():
    table, empty = _Table(), _Table()
    put = table.stored.put
    for i in range(4):
        put((("host", "a"), ("job", "x")), "up", (1000 + i) * 10**9, "DOUBLE", ["1", "-0.0", "1e10", "5e-324"][i])
    put((("host", "b"),), "up", 1000 * 10**9, "VARCHAR", "7ff0000000000002")
    put((("host", "two\nlines"), ("it's", '"')), "it's", 2000 * 10**9 + 1, "DOUBLE", "0.1")
    put((("host", "nul\0"), ("A", "x"), ("a", "y")), "n", 3000 * 10**9, "BIGINT", "9007199254740993")
    return {"d": {"t": table, "empty": empty}}


NOTHING = "SELECT 1 FROM d.t WHERE "
SELF_TESTS = (  # a statement, and its rows as text, sorted; or the beginning of the message
    ("SELECT host, COUNT(*), MIN(time) FROM d.t WHERE measure_name = 'up' GROUP BY host",
     [["a", "4", "1970-01-01 00:16:40.000000000"], ["b", "1", "1970-01-01 00:16:40.000000000"]]),
    ('select "measure_value::double" from "d"."t" where time > from_milliseconds(1000000) and HOST=\'a\'',
     [["-0.0"], ["1.0E10"], ["4.9E-324"]]),
    ("SELECT measure_value::double, NULL FROM d.t WHERE measure_value::varchar IS NOT NULL", [[None, None]]),
    ("SELECT DISTINCT measure_name FROM d.t -- all\nWHERE /* of\nthem */ NOT (host IS NULL)", [["it's"], ["n"], ["up"]]),
    ("SELECT COALESCE(job, '') FROM d.t WHERE job <> 'y'", [["x"]] * 4),
    ("SELECT host FROM d.t WHERE job NOT IN ('y', 'z') AND time = from_milliseconds(1000000)", [["a"]]),
    ("SELECT host FROM d.t WHERE COALESCE(job, '') NOT IN ('x') AND measure_name LIKE '_p'", [["b"]]),
    ("SELECT \"it's\" FROM d.t WHERE measure_name = 'it''s'", [['"']]),
    ("SELECT time FROM d.t WHERE measure_name = 'it''s'", [["1970-01-01 00:33:20.000000001"]]),
    ("SELECT host FROM d.t WHERE host = 'nul\0'", [["nul\0"]]),
    ("SELECT length(host) FROM d.t WHERE host LIKE 'nul_'", [["4"]]),
    ("SELECT measure_value::bigint + 1 FROM d.t WHERE \"A\" = 'x' AND \"a\" = 'y'", [["9007199254740994"]]),
    ("SELECT measure_name FROM d.t WHERE REGEXP_LIKE(measure_name, '^(?:u|n)') GROUP BY 1", [["n"], ["up"]]),
    ("SELECT COUNT(*) FROM d.t WHERE REGEXP_LIKE(host, '^two.lines$')", [["0"]]),
    ("SELECT COUNT(*) FROM d.t WHERE REGEXP_LIKE(host, '(?s)^two.lines$')", [["1"]]),
    ("SELECT COUNT(DISTINCT host), COUNT(job), MAX(measure_value::double) FROM d.t", [["4", "4", "1.0E10"]]),
    ("SELECT bin(time, 10s) AS b, count(*) FROM d.t WHERE host = 'a' GROUP BY bin(time, 10s) HAVING count(*) > 1",
     [["1970-01-01 00:16:40.000000000", "4"]]),
    ("SELECT x.host FROM d.t AS x WHERE x.time BETWEEN from_milliseconds(1000000) AND from_milliseconds(1000000) "
     "ORDER BY x.host DESC LIMIT 1", [["b"]]),
    ("SELECT lower('ÄB') || upper('c'), 7 / 2, 7.0 / 2, -3, true, 1h", [["äbC", "3", "3.5", "-3", "true", "0 01:00:00.000000000"]]),
    ("SELECT to_milliseconds(from_milliseconds(5)), now() - ago(2m), CAST('1.5' AS double)",
     [["5", "0 00:02:00.000000000", "1.5"]]),
    ("SELECT COUNT(*) FROM d.t WHERE host = 'a' AND (" + " OR ".join(f"job = 'j{i}'" for i in range(9000)) + " OR job = 'x')",
     [["4"]]),
    ("DESCRIBE d.t", sorted([n, "varchar", "DIMENSION"] for n in ("host", "job", "it's", "A", "a")) + [
        ["measure_name", "varchar", "MEASURE_NAME"], ["measure_value::bigint", "bigint", "MEASURE_VALUE"],
        ["measure_value::double", "double", "MEASURE_VALUE"], ["measure_value::varchar", "varchar", "MEASURE_VALUE"],
        ["time", "timestamp", "TIMESTAMP"]]),
    ('DESCRIBE "d"."empty"', [["measure_name", "varchar", "MEASURE_NAME"], ["time", "timestamp", "TIMESTAMP"]]),
    ("SHOW TABLES FROM d LIKE 'e%'", [["empty"]]),
    ("SHOW MEASURES FROM d.t LIKE 'u%'", [["up", "double"], ["up", "varchar"]]),
    ("SELECT x FROM d.t", "line 1:8: Column 'x' does not exist"),
    ("SELECT host FROM d.t\nWHERE x = 1", "line 2:7: Column 'x' does not exist"),
    ("SELECT host FROM d.empty", "line 1:8: Column 'host' does not exist"),
    ("SELECT A FROM d.t", "line 1:8: Column 'A' is ambiguous"),
    ("SELECT 1 FROM d.x", "Requested table 'x' not found for identifier 'd.x' at line 1:15"),
    ("SELECT 1 FROM e.t", "Requested database 'e' not found for identifier 'e.t' at line 1:15"),
    ("SELECT 1 FROM t", "line 1:15: Schema must be specified"),
    (NOTHING + "host = 1", "line 1:30: '=' cannot be applied to varchar, bigint"),
    (NOTHING + "time > 'x'", "line 1:30: '>' cannot be applied to timestamp, varchar"),
    (NOTHING + "host", "line 1:25: WHERE clause must evaluate to a boolean"),
    (NOTHING + "time > from_milliseconds(-1)", "line 1:32: Time -1000000 ns is out of the range"),
    (NOTHING + "time > from_milliseconds(9223372036855)", "line 1:32: Time "),
    (NOTHING + "host = 'a'; DROP TABLE t", "line 1:35: mismatched input ';'"),
    (NOTHING + "host = 'a\\' OR '1'='1'", [["1"]] * 7),
    (NOTHING + "host = 'a", "line 1:32: mismatched input"),
    (NOTHING + "host = `a`", "line 1:32: backquoted"),
    (NOTHING + "COUNT(*) > 1", "line 1:25: WHERE clause cannot contain aggregations"),
    (NOTHING + "REGEXP_LIKE(host, 'a**')", "Invalid regular expression"),
    (NOTHING + "REGEXP_LIKE(host, '{')", "Invalid regular expression: Illegal repetition"),
    (NOTHING + "x.host = 'a'", "line 1:25: Column 'x.host' does not exist"),
    (NOTHING + "host IN (1)", "line 1:34: IN value and list items must be the same type"),
    (NOTHING + "host LIKE 'a' ESCAPE 'bc'", "line 1:30: Escape string must be a single character"),
    ("SELECT host, COUNT(*) FROM d.t", "line 1:8: 'host' must be an aggregate expression"),
    ("SELECT nothing(1)", "line 1:8: Function nothing not registered"),
    ("SELECT host FROM d.t JOIN d.empty", "line 1:22: mismatched input 'JOIN'"),
    ("SELECT order FROM d.t", "line 1:8: mismatched input 'order'"),
    ("SELECT " + "(" * 5000 + "1", "line 1:"),
    ("DROP TABLE d.t", "line 1:1: mismatched input 'DROP'"),
    ("", "line 1:1: mismatched input '<EOF>'"),
    ("SELECT sum(measure_value::bigint), sum(measure_value::bigint) + NULL FROM d.t", [["9007199254740993", None]]),
)
PATTERN_TESTS = (  # a pattern of Java, a text, whether it is found there
    ("^a$", "a\n", True), ("^a$", "a\r\n", True), ("^a$", "a\n\n", False), ("^a\\z", "a\n", False), ("a.b", "a\nb", False),
    ("a.b", "a\rb", False), ("(?s)a.b", "a\u2028b", True), ("^\\d$", "\u0661", False), ("(?i)k", "\u212a", False),
    ("(?i)X", "x", True), ("^(?:x|(?i)y)$", "Y", True), ("^(?:a(?i)b|c)$", "C", True), ("^(?:a(?i)b|c)$", "Ab", False),
    ("\\Qa.b\\E", "a.b", True), ("\\Qa.b\\E", "axb", False), ("[]a]", "]", True),
    ("[^x]*", "", True), ("a{2}", "aa", True), ("^(?:a++a)$", "aaa", False), ("\\$", "a$", True), ("a|", "b", True),
    ("(?<n>a)\\1", "aa", True), ("\\x41\\u0042", "AB", True), ("^(?i:a)b$", "AB", False),
)
DOUBLE_TESTS = (
    (1.0, "1.0"), (0.001, "0.001"), (0.00099, "9.9E-4"), (9999999.0, "9999999.0"), (1e7, "1.0E7"), (123.456, "123.456"),
    (-1e300, "-1.0E300"), (1.7976931348623157e308, "1.7976931348623157E308"), (5e-324, "4.9E-324"), (12345678.9, "1.23456789E7"),
    (0.1, "0.1"), (100.0, "100.0"), (1e-7, "1.0E-7"), (-0.0, "-0.0"), (2.0**53, "9.007199254740992E15"),
)


def self_test():
    failures = 0

    def check(what, got, wanted):
        nonlocal failures
        if got != wanted:
            failures += 1
            print(f"{what[:200]!r}\n  wanted {wanted!r}\n  got    {got!r}")

    executor = Executor(_sample())
    for statement, wanted in SELF_TESTS:
        try:
            result = executor.execute(statement)
            got = sorted((result.texts(row) for row in result.rows), key=repr)
            wanted = sorted(wanted, key=repr) if isinstance(wanted, list) else wanted
        except QueryError as error:
            got = str(error)
            if isinstance(wanted, str) and got.startswith(wanted):
                got = wanted
        check(statement, got, wanted)
    for pattern, text, wanted in PATTERN_TESTS:
        try:
            got = regexp_like(text, pattern)
        except QueryError as error:
            got = str(error)
        check(f"{pattern} in {text}", got, wanted)
    for value, wanted in DOUBLE_TESTS:
        check(f"{value}", java_double(value), wanted)
        check(f"{value} and back", struct.pack(">d", float(java_double(value))), struct.pack(">d", value))
    count = len(SELF_TESTS) + len(PATTERN_TESTS) + len(DOUBLE_TESTS)
    print(f"{count} statements, patterns and numbers, {failures} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:] != ["--self-test"]:
        sys.exit(__doc__)
    sys.exit(self_test())
