#!/bin/bash
# ledger.sh - the store's ledger can fail: samples that are lost without an explanation are a
# difference in the metrics and an error in the log, and verify finds them. Its counts never
# decrease.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
firekeep=build/firekeep
t=1700000000000

begin() { # NAME DIR
    start_firekeep "$1" "$work/$2" "$port"
}

label_1() { # NAME VALUE
    field 1 "$(field_text 1 "$1")$(field_text 2 "$2")"
}

# One series; a sample for each value.
series_1() { # VALUE...
    local value samples='' at=$t
    for value in "$@"; do
        at=$((at + 1000))
        samples+=$(field 2 "$(field_double 1 "$value")$(field_int 2 "$at")")
    done
    field 1 "$(label_1 __name__ up)$(label_1 job a)$samples"
}

taken() { # VALUE...
    send_1 "$(series_1 "$@")"
    status_is 204
}

# Sends two new samples, a repeat, and another value for a time that has one.
mixed() {
    send_1 "$(series_1 1 2 7 4 5)"
    status_is 400
}

difference_is() { # VALUE
    metric_is 'firekeep_ledger_difference{tenant="anonymous",kind="float"}' "$1"
}

counts() {
    metrics | grep -E '^firekeep_samples_[a-z_]*_total[{]' | sort
}

# Checks that each earlier count exists, and has not decreased.
none_less() { # FILE
    counts >"$work/now"
    join "$1" "$work/now" | awk '$3 < $2 { print; bad = 1 } END { exit bad }' || return 1
    (($(wc -l <"$1") > 0 && $(join "$1" "$work/now" | wc -l) == $(wc -l <"$1")))
}

# The part of the one directory in place of the other's, under its name.
change_parts() {
    local one other
    one=$(ls -d "$work"/one/parts/*) other=$(ls -d "$work"/other/parts/*)
    [[ $(basename "$one") == "$(basename "$other")" ]] || return 1
    rm -r "$one" && cp -r "$other" "$one"
}

says_so() {
    grep 'level=error.*the ledger does not balance.*tenant=anonymous kind=float difference=2' \
        "$work/changed.log"
}

verify_finds_it() {
    ! "$firekeep" verify "$work/one" >"$work/said" 2>&1 || return 1
    cat "$work/said"
    grep -q 'the ledger does not balance' "$work/said"
}

claim "starts" begin one one || exit 1
claim "three samples are taken" taken 1 2 3
claim "nothing is missing while they are in the head" difference_is 0
claim "two, a repeat twice, and a conflict are told apart" mixed
claim "nothing is missing then" difference_is 0
counts >"$work/before"
crash one
claim "starts after a crash" begin again one
claim "no count is less than it was shown" none_less "$work/before"
claim "nothing is missing after the crash" difference_is 0
stop again
claim "starts from parts" begin parts one
claim "nothing is missing in parts" difference_is 0
claim "no count is less" none_less "$work/before"
stop parts
claim "verify finds nothing wrong" "$firekeep" verify "$work/one"

claim "another store starts" begin other other
claim "three samples are taken there" taken 1 2 3
stop other
claim "its part comes in place of the first one's" change_parts
claim "the first store starts" begin changed one
claim "two samples are missing" difference_is 2
claim "they are not called damaged, or anything else" \
    metric_is 'firekeep_samples_damaged_total{tenant="anonymous",kind="float"}' 0
claim "what is stored is what is there" \
    metric_is 'firekeep_samples_stored{tenant="anonymous",kind="float"}' 3
claim "the log says so" within 20 says_so
stop changed
claim "verify finds it, too" verify_finds_it
done_testing
