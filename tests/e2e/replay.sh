#!/bin/bash
# replay.sh - written samples are read back, bit for bit, before and after a restart, also with many
# senders at once. Unless LONG=1, it uses a quarter of each capture.

. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
range=(--start 0 --end 4102444800000)
part=() # for a capture

# Both forms of answer.
reads_back() { # CAPTURE
    "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" "${part[@]}" &&
        "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" "${part[@]}" --streamed
}

is_acknowledged() { # CAPTURE ARGUMENT...
    "$TOOLS/rwreplay" "$1" "$url" --check "${part[@]}" "${@:2}"
}

# Checks that this many samples were refused for another value.
counts_conflicts() { # NUMBER
    local count
    count=$(curl -s --noproxy '*' "$url/metrics" |
        awk '$1 == "firekeep_samples_rejected_total{tenant=\"anonymous\",kind=\"float\",reason=\"conflict\"}" {print $2}')
    echo "counted: $count"
    [[ $count == "$1" ]]
}

is_refused() {
    "$TOOLS/rwreplay" "$1" "$url" | grep -q '^status 400: 1$'
}

# round_trip NAME CAPTURE REPLAY-ARGUMENT...: written, read, stopped, verified, read again.
round_trip() {
    local name=$1 capture=$2 dir=$work/$1
    shift 2
    claim "$name: starts" start_firekeep "$name" "$dir" "$port" || return
    claim "$name: every request is acknowledged in full" is_acknowledged "$capture" "$@"
    claim "$name: reads back" reads_back "$capture"
    claim "$name: the same again changes nothing" is_acknowledged "$capture" "$@"
    claim "$name: still reads back" reads_back "$capture"
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: verify finds nothing wrong" build/firekeep verify "$dir"
    claim "$name: starts again" start_firekeep "$name-again" "$dir" "$port" || return
    claim "$name: reads back after the restart" reads_back "$capture"
    stop "$name-again"
}

cat >"$work/bits.txt" <<'END'
zero{sign="plus"} 0 1700000000000
zero{sign="minus"} -0 1700000000000
inf{sign="plus"} inf 1700000000000
inf{sign="minus"} -inf 1700000000000
nan{kind="ordinary"} 0x7ff8000000000001 1700000000000
nan{kind="stale"} 0x7ff0000000000002 1700000000000
nan{kind="payload"} 0xfff8dead0000beef 1700000000000
small{kind="subnormal"} 5e-324 1700000000000
large 1.7976931348623157e308 1700000000000
text{q="a \"b\" \\ c",unit="µs",empty=""} 1 1700000000000
old 1 1680000000001
old 2 1680000000000
old 3 1700000000000
END
for version in 1 2; do
    "$TOOLS/rwmake" --version "$version" <"$work/bits.txt" >"$work/bits-$version.rw"
    round_trip "bits-$version" "$work/bits-$version.rw"
done

# Samples in the head are compared at once; the first value in a part stays, too.
sed -n 's/^old 2 /old 7 /p' "$work/bits.txt" | "$TOOLS/rwmake" >"$work/conflict.rw"
sed -n 's/^old 2 /old 8 /p' "$work/bits.txt" | "$TOOLS/rwmake" >"$work/third.rw"
if claim "conflict: starts" start_firekeep conflict "$work/conflict" "$port"; then
    claim "conflict: the first value is stored" is_acknowledged "$work/bits-1.rw"
    claim "conflict: another value at a time that has one is refused" is_refused "$work/conflict.rw"
    claim "conflict: the first one stays" reads_back "$work/bits-1.rw"
    stop conflict
    claim "conflict: starts again" start_firekeep conflict "$work/conflict" "$port"
    "$TOOLS/rwreplay" "$work/conflict.rw" "$url" >/dev/null
    claim "conflict: the first one stays when it lies in a part" reads_back "$work/bits-1.rw"
    claim "conflict: the one of the part, sent again, is acknowledged" is_acknowledged "$work/bits-1.rw"
    claim "conflict: by 2.0, too" is_acknowledged "$work/bits-2.rw"
    claim "conflict: and not counted as one" counts_conflicts 1
    claim "conflict: a third value is refused" is_refused "$work/third.rw"
    claim "conflict: and counted" counts_conflicts 2
    claim "conflict: still the first one is read" reads_back "$work/bits-1.rw"
    crash conflict
    claim "conflict: starts after a crash" start_firekeep conflict "$work/conflict" "$port"
    claim "conflict: the one of the part is acknowledged after a crash" is_acknowledged "$work/bits-1.rw"
    stop conflict
    claim "conflict: verify finds nothing wrong" build/firekeep verify "$work/conflict"
fi

# A crash, and then less memory than the head had: replay writes parts as it goes.
new_series() { # ROUND COUNT
    awk -v round="$1" -v count="$2" 'BEGIN {
        for (s = 0; s < count; s++) {
            printf "fresh{instance=\"host-%06d.example.org:9100\",pod=\"pod-%06d\"} %d %.0f\n", s, s * 7, s, 1700000000000 + round * 15000
            if (s % 2000 == 1999) print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/fresh-$1.rw"
}

fresh_are() { # COUNT
    query_is 1700000020 'sum(count_over_time(fresh[1m]))' "$1"
}

query_is() { # TIME EXPRESSION VALUE
    local got
    got=$(curl -s --noproxy '*' --data-urlencode "query=$2" -d "time=$1" "$url/api/v1/query")
    echo "${got:0:300}"
    [[ $got == *"\"$3\"]"* ]]
}

replayed() { # LOG SAMPLES PARTS
    grep 'storage opened' "$work/$1.log" | tail -n 1 | tee /dev/stderr |
        grep -Eq "replayed_samples=$2 .*replayed_parts=$3 "
}

new_series 0 200000
new_series 1 100000
if claim "lower: starts" start_firekeep lower "$work/lower" "$port" --memory.limit=1GiB; then
    claim "lower: 200000 new series are acknowledged" is_acknowledged "$work/fresh-0.rw"
    claim "lower: half of them come again" is_acknowledged "$work/fresh-1.rw"
    crash lower
    claim "lower: starts after a crash with the least memory there may be" \
        start_firekeep lower "$work/lower" "$port" --memory.limit=64MiB
    claim "lower: the log was written to parts" replayed lower 300000 '[1-9][0-9]*'
    claim "lower: each sample is there once" fresh_are 300000
    crash lower
    claim "lower: verify finds nothing wrong" build/firekeep verify "$work/lower"
    claim "lower: starts again" start_firekeep lower "$work/lower" "$port" --memory.limit=64MiB
    claim "lower: nothing is replayed twice" replayed lower 0 0
    claim "lower: each sample is still there once" fresh_are 300000
    stop lower
fi

declare -A quarter=([node15s]=66 [node1s]=328 [v2hist]=435) # requests
for name in node15s node1s v2hist; do
    capture=$SAMPLES/$name.rw
    if [[ -z $SAMPLES || ! -f $capture ]]; then
        skip "$name" "no captures beside the project"
        continue
    fi
    [[ ${LONG-} == 1 ]] || part=(--first "${quarter[$name]}")
    round_trip "$name" "$capture"
    round_trip "$name-concurrent" "$capture" --concurrency 16
    part=()
done
done_testing
