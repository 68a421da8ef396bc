#!/bin/bash
# build.sh - a build shows its progress, and goes on after a compiler's warning unless it must not.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=packaging/steps.sh
. packaging/steps.sh

# --- steps ----------------------------------------------------------------------------------------

make_says() { # make's output: 40 steps, and an error at the 13th
    local n
    for ((n = 1; n <= 40; n++)); do
        echo "  CC      src/file$n.c"
        ((n != 13)) || printf '%s\n' 'src/file13.c: In function' '   75 |     int x' "cc1: note"
    done
}

few_lines() {
    make_says | show_steps 40 | tee "$work/steps.txt"
    [[ $(grep -c '^\[' "$work/steps.txt") == 10 && $(tail -n 1 "$work/steps.txt") == '[40/40] CC      src/file40.c' ]]
}

whole_errors() {
    make_says | show_steps 40 | grep -v '^\[' | diff - <(make_says | grep -v '^  CC')
}

one_line() { # on a terminal, which script(1) makes
    make_says >"$work/make.txt"
    script -qec "bash -c '. packaging/steps.sh; show_steps 40 <$work/make.txt'" /dev/null >"$work/terminal.txt" </dev/null
    cat -v "$work/terminal.txt"
    # Three lines of the error, and the steps before each other in one.
    [[ $(grep -c '' "$work/terminal.txt") == 4 ]] && grep -q $'\r\e\[K\[40/40\] CC      src/file40.c\r\e\[K$' "$work/terminal.txt"
}

apt_says() { # FETCHED: apt-get's output, of 20 packages
    local n
    printf '%s\n' 'Get:1 http://deb.debian.org/debian trixie InRelease [140 kB]' 'Reading package lists...' \
        '0 upgraded, 20 newly installed, 0 to remove and 3 not upgraded.'
    for ((n = 1; n <= $1; n++)); do
        echo "Get:$n http://deb.debian.org/debian trixie/main amd64 p$n amd64 1.0 [9 kB]"
    done
    for ((n = 1; n <= 20; n++)); do
        echo "Unpacking p$n (1.0) ..."
    done
    for ((n = 1; n <= 20; n++)); do
        echo "Setting up p$n (1.0) ..."
    done
}

packages_are_counted() { # FETCHED LINES
    apt_says "$1" | show_packages | tee "$work/packages.txt"
    [[ $(wc -l <"$work/packages.txt") == "$2" && $(tail -n 1 "$work/packages.txt") == '[60/60] Setting up p20 (1.0) ...' ]]
}

# In a directory where nothing is built.
makes_the_program() {
    make --no-print-directory -n BUILD="$work/new" | grep -F "LD      $work/new/firekeep"
}

claim "make without a goal makes the program" makes_the_program
claim "steps: packages are fetched, unpacked and set up" packages_are_counted 20 10
claim "steps: packages that were fetched before count, too" packages_are_counted 0 8
claim "steps: a line for each tenth where there is no terminal" few_lines
claim "steps: errors are whole" whole_errors
if command -v script >/dev/null; then
    claim "steps: one line that changes on a terminal" one_line
else
    skip "steps: one line that changes on a terminal" "no script"
fi

# --- warnings -------------------------------------------------------------------------------------

# A compiler that warns of every file, as a newer one may.
printf 'static int that_is_not_used;\n' >"$work/warned.h"
printf '#!/bin/sh\nexec gcc -include %s/warned.h "$@"\n' "$work" >"$work/warning-gcc"
chmod +x "$work/warning-gcc"
object=$work/out/src/base/text/quote.o

makes() { # COMPILER [VARIABLE...]
    env -u WERROR -u MAKEFLAGS make --no-print-directory BUILD="$work/out" CC="$1" "${@:2}" "$object" 2>&1
}

warns() {
    local output
    output=$(makes "$work/warning-gcc") && echo "$output" && [[ $output == *"warning: "*that_is_not_used* && -f $object ]]
}

stops() {
    local output
    output=$(makes "$work/warning-gcc" WERROR=1) && return 1
    echo "$output"
    [[ $output == *"error: "*that_is_not_used* ]]
}

compiles_nothing() {
    local output
    output=$(makes "$@") || return 1
    echo "$output"
    [[ $output != *"  CC "* ]]
}

# What ./check makes of them.
counts() { # EXPECTED VERSION
    local got
    got=$(
        eval "$(sed -n '/^count_warnings()/,/^}/p' tests/run.sh)"
        gcc() { echo "$of"; }
        pass() { echo pass; }
        fail() { echo "fail: $2"; }
        skip() { echo "skip: $2"; }
        of=$2 BUILD=$work/out
        count_warnings
    )
    echo "$got"
    [[ $got == $1* ]] # a pattern
}

claim "warnings: a build goes on, and shows them" warns
claim "warnings: ./check fails after the tests" counts 'fail: gcc 14 warns of 1 files' 14
claim "warnings: and shows them" counts $'fail: gcc 12.2.0 warns of 1 files\n    *that_is_not_used*' 12.2.0
claim "warnings: with a newer compiler it only says so" counts 'skip: gcc 15 warns of 1 files' 15
claim "warnings: with WERROR=1 they are errors, also of what was compiled before" stops
claim "warnings: and again" stops
claim "warnings: without them WERROR=1 is content" makes gcc WERROR=1
claim "warnings: and compiles nothing a second time" compiles_nothing gcc WERROR=1
claim "warnings: nor does a build without it" compiles_nothing gcc
claim "warnings: ./check is content, too" counts pass 12
done_testing
