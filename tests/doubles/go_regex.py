"""go_regex.py - a regex of Go (RE2) in the words of Python's `re`. For doubles of programs in Go.

What differs: POSIX classes and \\p{L}; \\d, \\w and \\s are ASCII alone; `$` in Python also ends before a
last line feed; flags in the middle hold until the end of their group, and so they do here at the start.
"""
import re

POSIX = {"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": "\\t ", "cntrl": "\\x00-\\x1f\\x7f", "digit": "0-9",
         "lower": "a-z", "print": " -~", "space": "\\t\\n\\v\\f\\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f"}
ESCAPES = {"\\d": "0-9", "\\w": "0-9A-Za-z_", "\\s": "\\t\\n\\f\\r "}


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
        elif piece == "$":
            piece = "\\Z"
        out.append(piece)
        at += size
    return "".join(out)
