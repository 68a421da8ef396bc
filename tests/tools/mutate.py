#!/usr/bin/python3
"""mutate.py - shows that tests can fail: it changes a statement in a copy of the sources, and some unit test must fail.

    mutate.py [--invariants] [--only FILE[:LINE]]... [--list] [--again] [--timeout SECONDS] [--jobs N]
    mutate.py --sample N [--seed S] [--only FILE]...

Three lists of changes:

  * Statements that count (COUNTING) are removed in turn. A statement counts if it increments or decrements something,
    also if it calls one of CALLS; NOT_TERMS lists those that are not a term of an account, with the reason. So a new
    counter in these files needs a test, or a reason why not.
  * Statements of tests/tools/invariants.txt are replaced, and an assertion of the program must stop a test. --invariants
    tries only these.
  * With --sample, N statements drawn from ROOMS are removed. The seed decides which. For those of src/promql the
    scripts in Prometheus' language are run after the unit tests: see SCRIPTED. All N are built at once; MUTANT in
    the environment has the number of the statement to leave out, so only tests are run for each. --jobs of them are
    tried at a time. The last lines are a table of the rooms.

The copy is build/mutation, so the tree is never touched, and the run may be ended at any time. The
next run continues: a change that a test noticed is not tried again while its file is the same;
survivors are tried again once any source has changed, or with --again. A test that hangs has
noticed the change, too. --list only prints the changes. The status is 1 if a change survived, 2 if
a test fails without any change.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import functools
import glob
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "build", "mutation")
TREE = os.path.join(WORK, "tree")  # a copy of what is compiled
FILE_BYTES_MAX = 4 << 30  # of a file that a child writes
KNOWN_SECONDS = 10  # of processor time, or four times what it took, for a test that has passed before
IDLE_FACTOR = 20  # a test that waits, or gets little of the machine, has so many times its time
COPIED = (
    "Makefile", "src", "docs", "tests/sys", "tests/lib", "tests/sim", "tests/proto", "tests/corpus", "tests/golden",
    "tests/promql/scripts", "tests/tools/promqlrun.c", "web/embed.sh", "web/dist",
)
MAKE = ["make", "-s", "VARIANT=mutation", "OPTIMIZE=-O1 -ffp-contract=off", "WARNINGS=-w", "CXXWARNINGS=-w"]

# The file of the copy that reads MUTANT, and what a file with statements to leave out declares.
SWITCH = "src/base/mutant.c"
SWITCH_TEXT = """#include <stdlib.h>
int mutant;
__attribute__((constructor)) static void mutant_read(void)
{
    const char *number = getenv("MUTANT");
    mutant = number == NULL ? 0 : atoi(number);
}
"""
SWITCH_DECLARED = "extern int mutant; "
CANDIDATES = 1.3  # of the statements drawn, so many are looked at: not all can be left out

# Files, and the folders whose tests are run until one fails.
COUNTING = (
    ("src/model/ledger.c", "model tsdb relay"),
    ("src/wal/wal.c src/wal/reader.c src/wal/recover.c", "wal tsdb relay"),
    (
        "src/tsdb/head/tenant.c src/tsdb/head/ingest/ingest*.c src/tsdb/store/edit.c src/tsdb/store/flush.c src/tsdb/read/interleave*.c src/tsdb/store/merging.c"
        " src/tsdb/merge/parts.c src/tsdb/merge/samples.c src/tsdb/store/log_replay.c src/tsdb/read/select.c src/tsdb/store/stats.c src/tsdb/store/store.c src/tsdb/store/verify.c",
        "tsdb relay",
    ),
    (
        "src/relay/state/account.c src/relay/state/window.c src/relay/relay.c src/relay/state/saving.c"
        " src/relay/letters/letters.c src/relay/letters/letters_tend.c src/relay/letters/letters_old.c src/relay/state/state.c"
        " src/relay/catch_up.c src/relay/begin.c src/relay/operate/examine.c"
        " src/relay/feed/log_items.c src/relay/feed/feed.c src/relay/lane/lane_verdict.c src/relay/feed/fill.c",
        "relay",
    ),
)

# Functions that count, called as statements.
CALLS = r"move|add_stored|tenants_undo|take_part|ledger_add|ledger_subtract|fates_add|wal_count|tenant_count|merge_count_fate|move_counts|window_note_taken|add_margin|shown_keep\w*|(?:count|note|uncount|account|letters)_\w+"

# File, statement (both as regular expressions), and why no test has to notice that it is gone.
NOT_TERMS = (
    (".*", r"bytes (\+|-)=|(->|\.)size \+=|->text_used|^size|\bneed\b|^tenants \+=|bytes_|tokens|^gain|^samples \+=", "bytes, work or time, not items"),
    (".*", r"^m->work|^active|^used|^number|pair_count|page_count", "of series and pages, not of items"),
    (".*", r"^(i|end|first|child|from|at|kept)(\+\+|--|\W.=)|->(at|row|pair|next_\w+|at_float)(\+\+| \+=)", "a place"),
    (".*", r"stats\.|now\.", "a statistic that is no term"),
    (".*", r"^note_(error|unread|range|new)", "a text for people"),
    ("src/tsdb/store/merging.c", r"^count_kinds|^\*samples|^\*exemplars|^ret->|^count\+\+|^end\+\+|output_count", "tells of parts and merges"),
    ("src/relay/begin.c", r"fill_count", "the number of a fill"),
    ("src/tsdb/head/ingest/ingest.c", r"metadata_rejected", "metadata is in no ledger"),
    ("src/tsdb/store/verify.c", r"report->|orphans|ref_count", "findings, how much was looked at, the size of a table"),
    ("src/tsdb/read/select.c", r"_seen|^\*ret_", "what a query costs"),
    ("src/relay/feed/fill(_walk)?.c", r"w->|rest|^c->count", "a place"),
    ("src/relay/operate/examine.c", r"report->(files|destinations)", "how much was looked at"),
    ("src/relay/letters/letters(_old|_tend)?.c", r"^lost \+=|^back \+=|^lines \+=", "what is logged"),
    ("src/relay/letters/letters.c", r"->count\+\+|p->first", "a place"),
    ("src/relay/relay.c", r"^account_found", "has_news() did before each save but the last; what is lost is found at the next start, too"),
    ("src/relay/relay.c", r"^account_counted", "how often is saved, not what"),
    ("src/tsdb/store/store.c", r"^s(->|\.)", "a statistic that is no term: of parts and of the head, as they are"),
    ("src/relay/state/state.c|src/relay/feed/log_items.c|src/tsdb/(head/tenant|store/edit).c", r"^n->count|^index->count|^s->count|^p->count|_life|family_count|db->edit", "numbers of something else"),
)

# Arrays whose elements are counts: what is assigned to them counts, too.
COUNTS = r"counts?|taken|base_taken|taken_before|counted|fed|margin|totals|stored|pending|in_parts|replaying|lost|of|again"

# Rooms that --sample draws from, and the folders whose tests are run until one fails.
ROOMS = (
    ("src/promql", "promql scripts api/query"),
    ("src/views", "views api"),
    ("src/backend", "backend"),
    ("src/rules", "rules sim"),
    ("src/notify", "notify sim"),
    ("src/api", "api"),
    ("src/cli", "cli"),
    ("src/tsdb", "tsdb"),
    ("src/wal", "wal tsdb"),
    ("src/relay", "relay"),
    ("src/net", "net"),
    ("src/app", "app sim"),
)
INVARIANTS = "tests/tools/invariants.txt"

# Tests of the folder "scripts": runs of promqlrun, a part of those of stage_promql in tests/run.sh. A run is left out
# if its files do not exist, as Prometheus' own scripts, which lie beside the project where the captures do.
SCRIPTED = (
    "promqlrun --features '' tests/promql/scripts/*.test tests/promql/scripts/plain/*.test",
    "promqlrun --flush --shards 3 --measured tests/promql/scripts/*.test",
    "promqlrun tests/promql/scripts/delayed*/*.test",
    "promqlrun --features type-and-unit-labels tests/promql/scripts/type*/*.test",
    f"promqlrun {shlex.quote(os.path.dirname(ROOT))}/*/promqltest/*.test",
)

LVALUE = r"\*?[A-Za-z_]\w*(?:(?:->|\.)\w+|\[(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*\]|\([^()]*\))*"
BEGIN = r"(?:(?<=[;{})])|(?<=else))\s+"
STATEMENT = re.compile(
    BEGIN
    + r"(?P<what>(?:(?:\+\+|--)"
    + LVALUE
    + r"|"
    + LVALUE
    + r"\s*(?:\+\+|--|[+-]=[^;]*)|"
    + r"[\w.>-]*\b(?:"
    + COUNTS
    + r")(?:\[[^\]]*\])+\s*=[^=;][^;]*|(?:"
    + CALLS
    + r")\((?:[^();]|\((?:[^();]|\([^();]*\))*\))*\));)"
)


# Statements of one line or more that begin a line: assignments, counts and calls, also with an `if` before.
SIMPLE = re.compile(
    r"(?<=[;{}])[ ]*\n\s*(?P<what>(?!(?:return|break|continue|goto|static|const|struct|enum|union|assert|case|default|typedef)\b)[A-Za-z_*+(-][^;{}]*;)"
)


class Mutant:
    def __init__(self, path, text, begin, end, replacement=";", test=None):
        self.path = path
        self.replacement = replacement
        self.test = test  # the one that an assertion must stop; None: any test that fails
        self.begin, self.end = begin, end
        self.line = text.count("\n", 0, begin) + 1
        self.what = " ".join(text[begin:end].split())
        self.text = text[begin:end]
        self.key = hashlib.sha256(f"{path} {begin} {replacement if test else ''}{text}".encode()).hexdigest()[:24]

    def changed(self, text):
        return text[: self.begin] + self.replacement + text[self.end :]

    def switched(self, number):
        """The statement, left out if MUTANT is its number; an `else` before it stays."""
        before, rest = re.fullmatch(r"(else\b|)(.*)", self.text, flags=re.S).groups()
        return f"{before} {{ if (mutant != {number}) {{ {rest} }} }}"

    def reason(self):
        for path, what, reason in NOT_TERMS:
            if re.fullmatch(path, self.path) and re.search(what, self.what):
                return reason
        return None


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    """The same length, so that offsets stay."""
    return re.sub(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"",
        lambda m: re.sub(r"[^\n]", "}" if m[0][0] == "/" else "_", m[0]),
        text,
        flags=re.S,
    )


def is_source(path):
    return not re.search(r"_(test|fuzz)\.c$|_testing", path)


def find_counting():
    for patterns, folders in COUNTING:
        for pattern in patterns.split():
            paths = sorted(filter(is_source, glob.glob(pattern, root_dir=ROOT)))
            if not paths:
                sys.exit(f"{pattern}: no such file, mend COUNTING")
            for path in paths:
                text = read(path)
                for m in STATEMENT.finditer(without_comments(text)):
                    if m["what"].count("(") != m["what"].count(")"):
                        continue  # the head of a loop
                    yield Mutant(path, text, *m.span("what")), folders.split()


def find_invariants():
    """Blocks of four lines: a file, "- STATEMENT", "+ WHAT REPLACES IT", "! TEST"."""
    for block in re.findall(r"^(src/\S+)\n- (.*)\n\+ ?(.*)\n! (\S+)$", read(INVARIANTS), flags=re.M):
        path, before, after, test = block
        text = read(path)
        if text.count(before) != 1:
            sys.exit(f"{INVARIANTS}: {path} has {text.count(before)} times: {before}")
        begin = text.index(before)
        yield Mutant(path, text, begin, begin + len(before), after, test), []


def find_sample(options):
    """All simple statements of the rooms, in the order in which they are drawn. A statement has its place by its own
    text, so edits elsewhere draw the same ones."""
    found, same = [], collections.Counter()
    for room, folders in ROOMS:
        for path in sorted(filter(is_source, glob.glob(f"{room}/**/*.c", root_dir=ROOT, recursive=True))):
            text = read(path)
            for m in SIMPLE.finditer(without_comments(text)):
                what = m["what"]
                is_declared = re.match(r"[A-Za-z_]\w*(?:\s+\*?|\s*\*)[A-Za-z_]\w*\s*[=;,\[(]", what)
                if what.count("(") == what.count(")") and not is_declared:
                    mutant = Mutant(path, text, *m.span("what"))
                    same[path, mutant.what] += 1
                    drawn_by = f"{options.seed} {path} {mutant.what} {same[path, mutant.what]}"
                    found.append((hashlib.sha256(drawn_by.encode()).digest(), mutant, folders.split()))
    return [(mutant, folders) for _, mutant, folders in sorted(found, key=lambda f: f[0])]


def sources():
    """Path and content of each file to copy."""
    for top in COPIED:
        full = os.path.join(ROOT, top)
        walked = os.walk(full) if os.path.isdir(full) else [(os.path.dirname(full), [], [os.path.basename(full)])]
        for folder, dirs, names in walked:
            dirs.sort()
            for name in sorted(names):
                with open(os.path.join(folder, name), "rb") as file:
                    yield os.path.relpath(os.path.join(folder, name), ROOT), file.read()


def sum_of_sources():
    everything = hashlib.sha256()
    for path, content in sources():
        everything.update(path.encode() + b"\0" + content)
    return everything.hexdigest()


def sync(changed=None):
    """Makes the copy like the tree, but for changed files; what is the same keeps its time, so make builds the rest."""
    left = dict(changed or {})
    kept = set(left)
    for path, content in sources():
        kept.add(path)
        write(path, left.pop(path, content))
        shutil.copymode(os.path.join(ROOT, path), os.path.join(TREE, path))
    for path, content in left.items():
        write(path, content)
    for folder, dirs, names in os.walk(TREE):
        if folder == TREE and "build" in dirs:
            dirs.remove("build")
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), TREE)
            if path not in kept:
                os.unlink(os.path.join(TREE, path))


def write(path, content):
    to = os.path.join(TREE, path)
    if os.path.exists(to):
        with open(to, "rb") as file:
            if file.read() == content:
                return
    os.makedirs(os.path.dirname(to), exist_ok=True)
    with open(to, "wb") as file:
        file.write(content)


def limit(cpu_seconds):
    """Limits a child: a mutant may run or write without end."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))


def run(command, cpu_seconds=resource.RLIM_INFINITY):
    """Status (None: it took too long) and output; nothing that it started stays."""
    child = subprocess.Popen(
        command,
        cwd=TREE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=functools.partial(limit, cpu_seconds),
    )
    try:
        output = child.communicate(timeout=None if cpu_seconds < 0 else IDLE_FACTOR * cpu_seconds)[0]
        status = None if child.returncode == -signal.SIGKILL else child.returncode
    except subprocess.TimeoutExpired:
        status, output = None, b""
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    return status, output.decode(errors="replace")


def command(test):
    if test not in SCRIPTED:
        return ["build/mutation/test/" + test]
    words = shlex.split(test)[1:]
    return ["build/mutation/tools/promqlrun"] + [file for word in words for file in sorted(glob.glob(word, root_dir=ROOT)) or [word]]


def build(options, targets):
    return run(MAKE + [f"-j{options.jobs}"] + targets)


def failed_name(test, output):
    """Which of a program's tests failed: cmocka names it, or, if the program died, the one that ran."""
    if test in SCRIPTED:
        passed = re.findall(r"^(\S+): \d+ passed, 0 failed$", output, flags=re.M)
        return next((word for word in command(test) if word.endswith(".test") and word not in passed), "?")
    failed = re.search(r"\[  FAILED  \] (test_\w+)", output)
    ran = re.findall(r"\[ RUN      \] (\w+)", output)
    return failed[1] if failed else ran[-1] if ran else "?"


def tests_of(folder):
    if folder == "scripts":
        return [test for test in SCRIPTED if os.path.exists(os.path.join(ROOT, command(test)[-1]))]
    top = "tests/" if folder == "sim" else "src/"
    names = sorted(glob.glob(f"{top}{folder}/**/*_test.c", root_dir=ROOT, recursive=True))
    return [name[len(top) : -len(".c")] for name in names]


class Results:
    """Known results, and the time of each test without any change."""

    def __init__(self, everything):
        self.path = os.path.join(WORK, "results.json")
        self.everything = everything
        self.known, self.seconds, self.passed, self.compiles = {}, {}, {}, {}
        try:
            with open(self.path, encoding="utf-8") as file:
                self.known, self.seconds, self.passed, self.compiles = json.load(file)
        except (OSError, ValueError):
            pass

    def save(self):
        with open(self.path + ".tmp", "w", encoding="utf-8") as file:
            json.dump([self.known, self.seconds, self.passed, self.compiles], file, indent=0)
        os.replace(self.path + ".tmp", self.path)

    def of(self, mutant, again):
        killer, everything = self.known.get(mutant.key, (None, None))
        if killer is None and (again or everything != self.everything):
            return False, None
        return True, killer


def run_test(options, results, test):
    """Status (None: it hangs) and output of a test, which is built before."""
    status, output = build(options, command(test)[:1])
    if status != 0:
        raise RuntimeError(output)
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    known = results.seconds.get(test)
    least = options.timeout if known is None else min(options.timeout, KNOWN_SECONDS)
    status, output = run(command(test), max(least, int(4 * (known or 0))))
    if status == 0:
        results.seconds[test] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun
    return status, output


def check_passes(options, results, test):
    """Without any change it passes, so the change was noticed."""
    if results.passed.get(test) == results.everything:
        return
    status, output = run_test(options, results, test)
    if status != 0:
        print(output)
        print(f"{test}: fails without any change: {failed_name(test, output)}")
        sys.exit(2)
    results.passed[test] = results.everything


def in_order(tests, mutant, results, killers):
    """Its own test, those that noticed others of its file, then quick ones first."""
    own = mutant.path[len("src/") : -len(".c")] + "_test"
    folder = os.path.dirname(own)
    before = killers.get(mutant.path, [])
    return sorted(
        tests, key=lambda t: (t != own, -before.count(t), os.path.dirname(t) != folder, results.seconds.get(t, 0), t)
    )


def with_switches(path, numbered):
    """The text of a file in which each of the numbered statements can be left out."""
    text = read(path)
    for number, mutant in sorted(numbered, key=lambda n: -n[1].begin):
        text = text[: mutant.begin] + mutant.switched(number) + text[mutant.end :]
    return SWITCH_DECLARED + text


def drawn(options, found, results):
    """The first that can be left out: what remains compiles."""
    found = found[: int(options.sample * CANDIDATES) + 1]
    new = [mutant for mutant, _ in found if mutant.key not in results.compiles]
    if new:
        sync({f"src/mutants/{m.key}.c": with_switches(m.path, [(0, m)]).encode() for m in new})
        objects = {m.key: f"build/syntax/src/mutants/{m.key}.o" for m in new}
        run(MAKE + [f"-j{options.jobs}", "-k", "SYNTAX=1", "BUILD=build/syntax"] + list(objects.values()))
        for key, path in objects.items():
            results.compiles[key] = os.path.exists(os.path.join(TREE, path))
        results.save()
    return [(mutant, folders) for mutant, folders in found if results.compiles[mutant.key]][: options.sample]


def build_switched(options, mutants):
    """Builds all tests of the rooms over a library that has all mutants."""
    files = collections.defaultdict(list)
    tests = set()
    for number, (mutant, folders) in enumerate(mutants, 1):
        files[mutant.path].append((number, mutant))
        tests.update(test for folder in folders for test in tests_of(folder))
    changed = {path: with_switches(path, numbered).encode() for path, numbered in files.items()}
    sync(changed | {SWITCH: SWITCH_TEXT.encode()})
    status, output = build(options, sorted({command(test)[0] for test in tests}))
    if status != 0:
        raise RuntimeError(output)


def try_switched(number, tests, seconds, timeout):
    """The first test that fails, how, and seconds of processor time of those that passed."""
    passed = {}
    os.environ["MUTANT"] = str(number)
    for test in tests:
        begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        least = KNOWN_SECONDS if test in seconds else timeout
        status, output = run(command(test), max(least, int(4 * seconds.get(test, 0))))
        if status != 0:
            return test, how_failed(test, status, output), passed
        passed[test] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun
    return None, None, passed


def try_sample(options, mutants, results):
    """Tries all that have no result yet, --jobs at a time."""
    new = [number for number, (mutant, _) in enumerate(mutants, 1) if not results.of(mutant, options.again)[0]]
    if not new:
        return
    build_switched(options, mutants)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        try:
            try_all(options, mutants, new, results, pool)
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # which ends the test that it runs
            raise


def try_all(options, mutants, new, results, pool):
    killers, trying = {}, {}
    while new or trying:
        while new and len(trying) < options.jobs:
            mutant, folders = mutants[new[0] - 1]
            order = [t for folder in folders for t in in_order(tests_of(folder), mutant, results, killers)]
            order = [t for t in order if results.seconds.get(t, 0) <= options.longest]
            trying[pool.submit(try_switched, new.pop(0), order, results.seconds, options.timeout)] = mutant
        for done in concurrent.futures.wait(trying, return_when=concurrent.futures.FIRST_COMPLETED).done:
            mutant = trying.pop(done)
            test, how, passed = done.result()
            results.seconds.update(passed)
            if test:
                killers.setdefault(mutant.path, []).append(test)
                check_passes_switched(options, results, test)
            results.known[mutant.key] = (how, results.everything)
            results.save()
            print_result(mutant, how)


def check_passes_switched(options, results, test):
    """The same as check_passes(), without a build."""
    if results.passed.get(test) == results.everything:
        return
    failed, how, _ = try_switched(0, [test], results.seconds, options.timeout)
    if failed:
        print(f"fails without any change: {how}")
        sys.exit(2)
    results.passed[test] = results.everything


def asserted(output):
    """The assertion of the program that failed: file and line."""
    failed = re.search(r"(src/[\w/]+\.c):(\d+): .*Assertion", output)
    return f"{failed[1]}:{failed[2]}" if failed and is_source(failed[1]) else None


def how_failed(test, status, output):
    where = asserted(output)
    how = "hangs" if status is None else failed_name(test, output)
    return f"{test}: {how}" + (f" by the assertion in {where}" if where else "")


def print_result(mutant, killer):
    print(f"{mutant.path}:{mutant.line}: {mutant.what}  -- {'killed by ' + killer if killer else 'SURVIVED'}", flush=True)


def print_rooms(mutants, results):
    """A row of the table in tests/README.md for each room."""
    print("| room | mutants | stopped by a test | of these by an assertion | survived |\n|---|---|---|---|---|")
    for room, _ in ROOMS:
        killers = [results.known[mutant.key][0] for mutant, _ in mutants if mutant.path.startswith(room + "/")]
        by_assertion = sum(" by the assertion in " in (killer or "") for killer in killers)
        survived = killers.count(None)
        print(f"| {room[len('src/'):]} | {len(killers)} | {len(killers) - survived} | {by_assertion} | {survived} |")


def try_mutant(options, mutant, folders, results, killers):
    text = read(mutant.path)
    tests = [mutant.test] if mutant.test else []
    for folder in folders:
        tests += in_order(tests_of(folder), mutant, results, killers)
    try:
        for test in tests:
            write(mutant.path, mutant.changed(text).encode())
            status, output = run_test(options, results, test)
            where = asserted(output)
            if status == 0 or (mutant.test and not where):
                continue
            write(mutant.path, text.encode())
            check_passes(options, results, test)
            killers.setdefault(mutant.path, []).append(test)
            return how_failed(test, status, output)
    finally:
        write(mutant.path, text.encode())
    return None


def chosen(options):
    """The changes to try, and those that are left out."""
    counting = [] if options.invariants else find_counting()
    found = find_sample(options) if options.sample else itertools.chain(counting, find_invariants())
    mutants, left_out = [], []
    for mutant, folders in found:
        names = mutant.path, f"{mutant.path}:{mutant.line}"
        if options.only and not any(fnmatch.fnmatch(name, only) for name in names for only in options.only):
            continue
        is_term = options.sample or mutant.test or not mutant.reason()
        (mutants if is_term else left_out).append((mutant, folders))
    return mutants, left_out


def main():
    parser = argparse.ArgumentParser(description="Changes statements one at a time and runs the unit tests.")
    parser.add_argument("--only", action="append", metavar="FILE[:LINE]", help="only these, as a pattern of the shell (repeatable)")
    parser.add_argument("--list", action="store_true", help="print the statements, run nothing")
    parser.add_argument("--invariants", action="store_true", help="only those of tests/tools/invariants.txt")
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="remove N statements, drawn from all rooms")
    parser.add_argument("--seed", default="1", help="decides which are drawn (default 1)")
    parser.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="of processor time for a test that has not passed before (default 120)")
    parser.add_argument("--longest", type=float, default=1e9, metavar="SECONDS", help="of processor time: with --sample, leave out tests that take longer")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="for make, and of --sample at a time (default 1)")
    options = parser.parse_args()

    os.nice(5)
    os.environ["MALLOC_PERTURB_"] = "165"  # as in tests/run.sh: a read of freed memory is noticed
    mutants, left_out = chosen(options)
    if options.list:
        for mutant, _ in mutants + left_out:
            print(f"{mutant.path}:{mutant.line}: {mutant.what}" + (f"  -- {mutant.reason()}" if mutant.reason() else ""))
        print(f"{len(mutants)} statements, {len(left_out)} left out")
        return 0

    os.makedirs(WORK, exist_ok=True)
    results = Results(sum_of_sources())
    if not options.sample:
        sync()
    killers, survivors = {}, 0
    if options.sample:
        mutants = drawn(options, mutants, results)
        try_sample(options, mutants, results)
    for mutant, folders in mutants:
        known, killer = results.of(mutant, options.again and not options.sample)  # try_sample() tried them
        if not known:
            killer = try_mutant(options, mutant, folders, results, killers)
            results.known[mutant.key] = (killer, results.everything)
            results.save()
        survivors += killer is None
        if killer is None or not options.sample:
            print_result(mutant, killer)
    if options.sample:
        print_rooms(mutants, results)
    print(f"{len(mutants)} statements, {len(mutants) - survivors} killed, {survivors} survived, {len(left_out)} left out")
    return 1 if survivors else 0


def end(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)  # its children end with it
    signal.signal(signal.SIGINT, end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
