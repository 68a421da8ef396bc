#!/bin/bash
# kill.sh - SIGKILL at any moment loses nothing that was acknowledged.
#
# A sender that repeats only what was not acknowledged goes through several crashes, ROUNDS times
# over. Each time Firekeep must have exactly what was sent: a missing sample was acknowledged and
# lost. SEED repeats the moments of a run as far as the machine lets them be repeated.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
seed=${SEED:-$RANDOM}
rounds=${ROUNDS:-10}
RANDOM=$seed

# 400 requests of 50 samples.
awk 'BEGIN {
    for (r = 0; r < 400; r++) {
        for (s = 0; s < 50; s++)
            printf "load{series=\"%03d\"} %.3f %.0f\n", s, s + r / 7, 1700000000000 + r * 15000
        print "---"
    }
}' | "$TOOLS/rwmake" >"$work/load.rw"

in_words() {
    echo "round $1, SEED=$seed: $2"
}

# One directory, one replay, killed after a random while and started again until it is through.
one_round() {
    local round=$1 dir=$work/data sender status
    rm -rf "$dir"
    start_firekeep firekeep "$dir" "$port" || return 1
    setpriv --pdeathsig TERM "$TOOLS/rwreplay" "$work/load.rw" "$url" --check --retry 60 --concurrency 4 \
        >"$work/replay.txt" 2>&1 &
    sender=$!
    while kill -0 "$sender" 2>/dev/null; do
        sleep "0.$(printf '%03d' $((RANDOM % 500 + 10)))"
        crash firekeep
        crashes=$((crashes + 1))
        start_firekeep firekeep "$dir" "$port" || {
            in_words "$round" "does not start after a crash"
            kill "$sender"
            return 1
        }
    done
    wait "$sender"
    status=$?
    if ((status != 0)); then
        in_words "$round" "the sender failed"
        cat "$work/replay.txt"
        return 1
    fi
    "$TOOLS/rrcompare" "$url" "$work/load.rw" --start 0 --end 4102444800000 >"$work/compare.txt" || {
        in_words "$round" "differs from what was acknowledged"
        cat "$work/compare.txt"
        return 1
    }
    stop firekeep || {
        in_words "$round" "does not stop cleanly"
        return 1
    }
    build/firekeep verify "$dir" || {
        in_words "$round" "verify finds damage"
        return 1
    }
}

all_rounds() {
    local round
    for ((round = 1; round <= rounds; round++)); do
        one_round "$round" || return 1
    done
}

# A refused sample makes a series that is not in the log: after each crash the remaining series are
# counted again, while the log still has the old count.
series_survive_two_crashes() {
    local dir=$work/twice step
    printf 'a 1 1700000000000\nb 2 4102444800000\nc 3 1700000000000\nd 4 1700000000000\n' |
        "$TOOLS/rwmake" >"$work/step-1.rw"
    printf 'd 5 1700000001000\n---\nc 6 1700000001000\n---\na 7 1700000001000\n' |
        "$TOOLS/rwmake" >"$work/step-2.rw"
    for step in 1 2; do
        start_firekeep twice "$dir" "$port" || return 1
        "$TOOLS/rwreplay" "$work/step-$step.rw" "$url" || return 1
        crash twice
    done
    start_firekeep twice "$dir" "$port" || return 1
    cat "$work"/step-[12].rw >"$work/steps.rw"
    "$TOOLS/rrcompare" "$url" "$work/steps.rw" --start 0 --end 1800000000000 || return 1
    stop twice
}

crashes=0
claim "series keep their samples through two crashes" series_survive_two_crashes
claim "nothing acknowledged is lost by SIGKILL" all_rounds
echo "$crashes crashes in $rounds rounds, SEED=$seed"
done_testing
