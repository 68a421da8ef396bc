#!/bin/bash
# documents.sh - commands in documents are valid, and leave nothing in the directory where they run;
# and no such files are in the source tree. Commands of clouds and containers are not run:
# tools/cloud_commands.py compares them with the models of AWS and with --help.

. tests/lib.sh
firekeep=build/firekeep
# docs/format describes bytes, not commands.
mapfile -t documents < <(find . \( -path ./build -o -path ./web/node_modules -o -path ./data -o -path ./.git -o -path ./docs/format \) -prune -o -name '*.md' -print | sort)

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
        [[ -e $work/help.$command ]] || "$firekeep" help "$command" >"$work/help.$command" 2>&1 || {
            echo "$file: firekeep has no command '$command'"
            unknown=1
            continue
        }
        for flag in $flags; do
            flag=${flag%%=*}
            grep -q -e "$flag\>" -e "--\[no-\]${flag#--}\>" "$work/help.$command" && continue
            echo "$file: firekeep $command has no flag $flag"
            unknown=1
        done
    done <"$work/commands.txt"
    return "$unknown"
}

# A word for a directory, typed as it is, would become one.
name_directories() {
    ! grep -E -e '--storage\.path=([^/.]|$)' "$work/commands.txt"
}

holds_no_store() {
    local found
    found=$(find . \( -path ./build -o -path ./web/node_modules -o -path ./data -o -path ./.git \) -prune -o \( -name LOCK -o -name FORMAT \) -print)
    echo "$found"
    [[ -z $found ]]
}

# Checks that each row of a table has as many cells as the head, which a row of dashes follows. A
# `|` within code ends a cell, too, unless it is escaped. Lines of code are indented by four blanks
# or between fences.
tables_are_whole() {
    awk '
        function is_dashes(row) { return row ~ /^(\|[ ]*:?-+:?[ ]*)+\|$/ }
        function complain(what) { print FILENAME ":" FNR ": " what ": " substr($0, 1, 80); bad = 1 }
        FNR == 1 { row = 0; fenced = 0 }
        /^ *```/ { fenced = !fenced }
        fenced || /^(    |\t)/ { row = 0; next }
        {
            text = $0
            gsub(/^[ >]+|[ ]+$/, "", text)
            if (text !~ /^\|/) {
                row = 0
                if (text ~ /\|[ ]*:?-+:?[ ]*\|/) complain("a row of dashes within a line")
                next
            }
            plain = text
            gsub(/\\\|/, "", plain)
            cells = gsub(/\|/, "|", plain) - 1
            if (plain !~ /\|$/) complain("a row without an end")
            row++
            if (row == 1) head = cells
            if (row == 2 && !is_dashes(plain)) complain("a table without a row of dashes below its head")
            if (row != 2 && plain ~ /\|[ ]*:?--+:?[ ]*\|/) complain("a row of dashes elsewhere than below the head")
            if (cells != head) complain("a row of " cells " cells in a table of " head)
        }
        END { exit bad }' "$@"
}
all_tables_are_whole() {
    local tables
    mapfile -t tables < <(find . \( -path ./build -o -path ./web/node_modules -o -path ./data -o -path ./.git \) -prune -o -name '*.md' -print | sort)
    tables_are_whole "${tables[@]}"
}
notices_broken_tables() {
    printf '| a | b | |---|---| | c | d |\n' >"$work/joined.md"
    printf '| a | b |\n|---|---|\n| c |\n' >"$work/short.md"
    printf '| a | b |\n| c | d |\n' >"$work/headless.md"
    printf '| a |\n|---|\n| `b|c` |\n' >"$work/code.md"
    printf '| a |\n|---|\n| `b\\|c` |\n\n    | no table\n' >"$work/whole.md"
    local name
    for name in joined short headless code; do
        tables_are_whole "$work/$name.md" && return 1
    done
    tables_are_whole "$work/whole.md"
}

# With no reason lib.sh ends the script, on machines that lack something only.
all_say_why() {
    ! grep -nE '^ *skip(_all)? +("[^"]*"|[^" ]+) *$' tests/e2e/*.sh tests/crash/*.sh
}

cloud_commands_are_valid() { # FILE...
    /usr/bin/python3 tests/tools/cloud_commands.py "$@"
}
notices_wrong_cloud_commands() {
    local line
    while IFS= read -r line; do
        printf 'Text\n\n<!-- parsed -->\n    %s\n' "$line" >"$work/cloud.md"
        ! cloud_commands_are_valid "$work/cloud.md" || return 1
    done <<'END'
aws kinesis create-streams --stream-name metrics
aws kinesis create-stream --stream-names metrics
aws kinesis list-shards && aws kinesis get-records --limit 3
aws iam create-role --role-name a --assume-role-policy-document '{}' --tags '[{"Name": "a"}]'
aws s3 cp --recursively a b
docker-compose --file packaging/compose/docker-compose.yml begin
END
    printf 'Text\n\n    aws s3 ls\n' >"$work/cloud.md"
    ! cloud_commands_are_valid "$work/cloud.md"
}

commands >"$work/commands.txt"
claim "documents have commands" [ "$(wc -l <"$work/commands.txt")" -gt 30 ]
claim "the program understands what documents tell to type" are_understood
claim "where documents name a storage directory it is a path" name_directories
if /usr/bin/python3 -c 'import botocore' 2>/dev/null; then
    claim "commands of clouds are marked, and have valid parameters" cloud_commands_are_valid "${documents[@]}"
    claim "wrong commands of clouds are noticed" notices_wrong_cloud_commands
else
    skip "commands of clouds" "no python3-botocore"
fi
# Tables of what keys of Prometheus and of rulers are here.
rows_hold() {
    /usr/bin/python3 tests/tools/migrated_rows.py "$firekeep" "$(command -v promtool)" docs/migrate.md
}
claim "each row of the tables of docs/migrate.md holds" rows_hold
has_all_keys() {
    "$TOOLS/configuration" docs/configuration.md | diff docs/configuration.md -
}
claim "docs/configuration.md has all settings and keys (make configuration writes them)" has_all_keys
claim "no storage directory lies in the source tree" holds_no_store
claim "broken tables are noticed" notices_broken_tables
claim "tables of documents are whole" all_tables_are_whole
claim "each test that is skipped says why" all_say_why
done_testing
