"""go_regex.py - translates a regex of Go (RE2) for Python's `re`. For doubles of programs in Go.

Differences (https://github.com/google/re2/wiki/Syntax): POSIX classes and \\p{L}; \\d, \\w, \\s,
\\b and their complements are only ASCII; \\Q...\\E quotes; \\x{...}; `$` in Python also ends before
a last line feed; flags in the middle apply until the end of their group, here also at the start.
"""
import re

POSIX = {"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": "\\t ", "cntrl": "\\x00-\\x1f\\x7f", "digit": "0-9",
         "lower": "a-z", "print": " -~", "space": "\\t\\n\\v\\f\\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f"}
ESCAPES = {"\\d": "0-9", "\\w": "0-9A-Za-z_", "\\s": "\\t\\n\\f\\r ", "\\D": "\\x00-/:-\\U0010ffff",
           "\\W": "\\x00-/:-@\\[-\\^`{-\\U0010ffff", "\\S": "\\x00-\\x08\\x0b\\x0e-\\x1f!-\\U0010ffff"}
OTHERS = {"$": "\\Z", "\\z": "\\Z", "\\b": "(?a:\\b)", "\\B": "(?a:\\B)"}


def go_regex(text):
    flags = re.match(r"\(\?([a-z]+)\)", text)
    if flags:
        return f"(?{flags[1]}:{go_regex(text[flags.end():])})"
    out, in_class, first, at = [], False, False, 0
    while at < len(text):
        posix = re.match(r"\[:(\w+):\]", text[at:]) if in_class else None
        if posix and posix[1] in POSIX:
            out.append(POSIX[posix[1]])
            at += posix.end()
            continue
        if text.startswith("\\p{L}", at) and not in_class:
            out.append(r"[^\W\d_]")
            at += 5
            continue
        quoted = None if in_class else re.match(r"\\Q(.*?)(\\E|\Z)", text[at:], re.S)
        hexadecimal = re.match(r"\\x\{([0-9A-Fa-f]+)\}", text[at:])
        if quoted or hexadecimal:
            out.append(re.escape(quoted[1] if quoted else chr(int(hexadecimal[1], 16))))
            at += (quoted or hexadecimal).end()
            continue
        size = 2 if text[at] == "\\" else 1
        piece = text[at:at + size]
        if piece in ESCAPES:
            piece = ESCAPES[piece] if in_class else f"[{ESCAPES[piece]}]"
        elif in_class:
            in_class = piece != "]" or first
            first = first and piece == "^"
            piece = "\\[" if piece == "[" else piece
        elif piece == "[":
            in_class = first = True
        else:
            piece = OTHERS.get(piece, piece)
        out.append(piece)
        at += size
    return "".join(out)
