#!/usr/bin/env python3
"""constant_time.py - secrets, tags, MACs, digests and signatures are compared in constant time.

Lists the lines of src/auth in which another comparison than gnutls_memcmp() has an
operand that is named like one, and fails if there is any."""

import pathlib
import re
import sys

COMPARISON = re.compile(
    r"(?<!gnutls_)\b(?:memcmp|strn?cmp|strn?casecmp|bytes_equal|bytes_equal_text|bytes_compare)\((.*)")
SECRET = re.compile(
    r"\b(?:secrets?|(?:own_)?tag|mac|digest|digest_at|signature|session_token|password"
    r"|(?:TAG|MAC|DIGEST|SECRET)_BYTES)\b")
# Both sides are the operator's: the files of keys before and after they were read again.
EXCEPTIONS = {("src/auth/signing_keys.c", "is_same_key")}
FUNCTION = re.compile(r"^(?:[a-z].*\s)?\*?([a-z_0-9]+)\(")

wrong = []
for path in sorted(pathlib.Path("src/auth").rglob("*.c")):
    if re.search(r"_(test|fuzz)\.c$", path.name):
        continue
    function = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        begins = FUNCTION.match(line)
        if begins:
            function = begins[1]
        found = COMPARISON.search(line)
        if found and SECRET.search(found[1]) and (str(path), function) not in EXCEPTIONS:
            wrong.append(f"{path}:{number}: {line.strip()}")
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
