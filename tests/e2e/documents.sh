#!/bin/bash
# documents.sh - what documents tell people to type is what the program understands, and leaves nothing
# in the directory where it is typed; and nothing of that kind lies in the source tree.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# docs/format tells of bytes.
mapfile -t documents < <(find . \( -path ./build -o -path ./data -o -path ./.git -o -path ./docs/format \) -prune -o -name '*.md' -print | sort)

# Lines of code, and code within lines, which call the program: FILE COMMAND FLAG...
commands() {
    awk '
        function tell(text,    n, i, words, line) {
            while (match(text, /(^|[ (|$])(build\/)?firekeep [a-z-]+/)) {
                text = substr(text, RSTART)
                sub(/^[ (|$]*(build\/)?firekeep /, "", text)
                line = text
                sub(/ [&|;#].*/, "", line)
                n = split(line, words, " ")
                line = words[1]
                for (i = 2; i <= n; i++) if (words[i] ~ /^--[a-z]/) line = line " " words[i]
                if (words[1] ~ /^[a-z-]+$/) print FILENAME, line
            }
        }
        /^    / { tell($0); next }
        {
            n = split($0, pieces, "`")
            for (i = 2; i <= n; i += 2) tell(pieces[i])
        }' "${documents[@]}"
}

are_understood() {
    local file command flags flag unknown=0
    while read -r file command flags; do
        "$firekeep" help "$command" >"$work/help.txt" 2>&1 || {
            echo "$file: firekeep has no command '$command'"
            unknown=1
            continue
        }
        for flag in $flags; do
            flag=${flag%%=*}
            grep -q -e "$flag\>" "$work/help.txt" && continue
            echo "$file: firekeep $command has no flag $flag"
            unknown=1
        done
    done <"$work/commands.txt"
    return "$unknown"
}

# A word for a directory, typed as it stands, would become one.
name_directories() {
    ! grep -E -e '--storage\.path=([^/.]|$)' "$work/commands.txt"
}

holds_no_store() {
    local found
    found=$(find . \( -path ./build -o -path ./data -o -path ./.git \) -prune -o \( -name LOCK -o -name FORMAT \) -print)
    echo "$found"
    [[ -z $found ]]
}

# With no reason lib.sh ends the script, on machines that lack something only.
all_say_why() {
    ! grep -nE '^ *skip +("[^"]*"|[^" ]+) *$' tests/e2e/*.sh tests/crash/*.sh
}

commands >"$work/commands.txt"
claim "documents have commands" [ "$(wc -l <"$work/commands.txt")" -gt 30 ]
claim "the program understands what documents tell to type" are_understood
claim "where documents name a storage directory it is a path" name_directories
claim "no storage directory lies in the source tree" holds_no_store
claim "each test that is skipped says why" all_say_why
((failures == 0))
