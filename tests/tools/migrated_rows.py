#!/usr/bin/env python3
"""Checks the tables of docs/migrate.md: what they say about configurations is accepted.

    migrated_rows.py FIREKEEP PROMTOOL DOCUMENT

A row of a table whose head is "X | Firekeep" names keys of X on the left and of Firekeep on the right. Code with a colon
is YAML, with a key as a path (`rules.resend_delay: 1m`): on the right `firekeep check` has to accept it, and on the left
of the table of Prometheus `promtool check config`. Code that is only a path of
two keys or more has to be one that `firekeep check` knows. Other code is not looked at. Prints what is refused; the status is 1 then, or if no row was found.
"""
import json, os, re, subprocess, sys, tempfile

PATH = re.compile(r'^[a-z_]+(\.[a-z_]+)*$')


def nested(path, value):
    """YAML in one line of a value below a path."""
    for key in reversed(path.split('.')):
        value = f'{{{key}: {value}}}' if not value.startswith('{') or value.endswith('}') else value
    return value


def run(command, text, directory):
    name = os.path.join(directory, 'file.yml')
    with open(name, 'w') as f:
        f.write(text + '\n')
    done = subprocess.run([*command, name], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def main():
    firekeep, promtool, document = sys.argv[1:]
    head, rows, bad = None, 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for number, line in enumerate(open(document), 1):
            cells = [c.strip() for c in re.split(r'(?<!\\)\|', line.strip())[1:-1]]
            if len(cells) != 2 or not line.startswith('|'):
                head = None
                continue
            if head is None:
                head = cells[0] if cells[1] == 'Firekeep' else ''
                continue
            if head == '' or cells[0].startswith('---'):
                continue
            rows += 1
            for side, cell in enumerate(cells):
                for code in re.findall(r'`([^`]*)`', cell):
                    path, _, value = code.partition(': ')
                    if not PATH.match(path) or not (value or '.' in path):
                        continue
                    if side == 0 and not (value and head == 'Prometheus'):
                        continue
                    if side == 0:
                        status, answer = run([promtool, 'check', 'config', '--syntax-only'], nested(path, value), directory)
                    elif value:
                        status, answer = run([firekeep, 'check', '--syntax-only'], nested(path, value), directory)
                    else:
                        _, answer = run([firekeep, 'check', '--syntax-only'], nested(path, '0'), directory)
                        status = 'unknown' in answer
                    if status:
                        bad += 1
                        print(f'{document}:{number}: {json.dumps(code)}: {answer}')
    if rows < 20:
        print(f'{document}: {rows} rows, expected at least 20')
    return 1 if bad or rows < 20 else 0


sys.exit(main())
