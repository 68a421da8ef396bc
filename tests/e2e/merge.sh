#!/bin/bash
# merge.sh - parts become fewer while the server runs, and nothing that was written changes by it;
# parts beyond retention go.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
range=(--start 0 --end 4102444800000)
pieces=30

metric() { # PATTERN
    curl -fs --noproxy '*' "$url/metrics" | sed -n "s/^$1 //p"
}

# Some requests at a time, each time by a process of its own, every third of which is killed.
in_pieces() { # NAME CAPTURE
    local piece size=55 last=() dir=$work/$1
    for ((piece = 0; piece < pieces; piece++)); do
        last=(--first $(((piece + 1) * size)))
        ((piece + 1 < pieces)) || last=()
        start_firekeep "$1" "$dir" "$port" || return 1
        "$TOOLS/rwreplay" "$2" "$url" --check --skip $((piece * size)) "${last[@]}" || return 1
        if ((piece % 3 == 2)); then
            crash "$1"
        else
            stop "$1" || return 1
        fi
    done
}

few_parts() {
    (($(metric firekeep_parts) < 8)) && [[ $(metric firekeep_merge_failures_total) == 0 ]]
}

reads_back() { # CAPTURE
    "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" &&
        "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" --streamed
}

merged() { # NAME CAPTURE
    local name=$1 dir=$work/$1
    claim "$name: is taken in pieces, through crashes" in_pieces "$name" "$2"
    claim "$name: starts" start_firekeep "$name" "$dir" "$port" || return
    claim "$name: the pieces become less than eight parts" within 30 few_parts
    claim "$name: reads back" reads_back "$2"
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: verify finds nothing wrong" build/firekeep verify "$dir"
    claim "$name: starts again" start_firekeep "$name" "$dir" "$port" || return
    claim "$name: reads back after the restart" reads_back "$2"
    stop "$name"
}

# --- retention ---

is_taken() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/some.rw" && "$TOOLS/rwreplay" "$work/some.rw" "$url" --check
}

has_expired() { # COUNT
    [[ $(metric 'firekeep_samples_expired_total{tenant="anonymous",kind="float"}') == "$1" ]]
}

holds_only() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/only.rw" && "$TOOLS/rrcompare" "$url" "$work/only.rw" "${range[@]}"
}

retention() {
    local dir=$work/retention old new
    old=$'old{a="1"} 1 1690000000000\nold{a="2"} 2 1690000001000'
    new=$'new 3 1700000000000'
    claim "retention: starts" start_firekeep retention "$dir" "$port" || return
    claim "retention: takes new samples" is_taken "$new" # it counts from here
    stop retention
    start_firekeep retention "$dir" "$port"
    claim "retention: takes old samples" is_taken "$old"
    stop retention
    claim "retention: starts with a shorter one" start_firekeep retention "$dir" "$port" --retention.time=30d || return
    claim "retention: the old part goes, and is counted" within 20 has_expired 2
    claim "retention: the new one stays" holds_only "$new"
    stop retention
    claim "retention: verify finds nothing wrong" build/firekeep verify "$dir"
    claim "retention: starts with one by size" start_firekeep retention "$dir" "$port" --retention.size=1 || return
    claim "retention: nothing fits into one byte" within 20 has_expired 3
    stop retention
    claim "retention: verify finds nothing wrong, either" build/firekeep verify "$dir"
}

for name in node15s v2hist; do
    if [[ -z $SAMPLES || ! -f $SAMPLES/$name.rw ]]; then
        skip "$name" "no captures beside the project"
        continue
    fi
    merged "$name" "$SAMPLES/$name.rw"
done
retention
((failures == 0))
