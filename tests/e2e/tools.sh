#!/bin/bash
# tools.sh - the tools that other tests rely on find all differences, and only those. They are
# compared with Prometheus, which has none of our code.

. tests/lib.sh
compare=$TOOLS/rrcompare
range=(--start 1000 --end 4102444800000)

cat >"$work/base.txt" <<'END'
float{job="a"} 1.5 1700000000000
float{job="a"} -0 1700000015000
float{job="a"} 0x7ff0000000000002 1700000030000
nan 0x7ff8000000000001 1700000000000
nan 0x7ff80000000000ff 1700000015000
text{path="a \"b\" \\ c",unit="µs"} 5e-324 1700000000000
END

# make_capture NAME [SED-SCRIPT]: a capture of the base text, changed.
make_capture() {
    sed "${2-}" "$work/base.txt" | "$TOOLS/rwmake" >"$work/$1.rw"
}

# Status and text of a comparison of two captures.
equals() {
    "$compare" "$work/$1.rw" "$work/$2.rw"
}

differs() { # NAME NAME PATTERN [OPTION...]
    local output status
    output=$("$compare" "$work/$1.rw" "$work/$2.rw" "${@:4}")
    status=$?
    echo "$output"
    ((status == 1)) && grep -q -- "$3" <<<"$output"
}

in_order() { # NAME NAME STATUS PATTERN
    local output status
    output=$("$compare" "$work/$1.rw" "$work/$2.rw" --in-order)
    status=$?
    echo "$output"
    ((status == $3)) && grep -q -- "$4" <<<"$output"
}

compare_captures() {
    make_capture base
    make_capture zero 's/ -0 / 0 /'
    make_capture marker 's/0002 /0003 /'
    make_capture payload 's/00ff /00fe /'
    make_capture missing 2d
    make_capture later 's/1700000015000/1700000015001/'
    make_capture label 's/µs/us/'
    sed 's/$/\n---/' "$work/base.txt" | tac | "$TOOLS/rwmake" --version 2 >"$work/shuffled.rw"
    claim "order, requests and version of a capture do not matter" equals base shuffled
    printf 'a 1 1000\n---\na 2 2000\n---\nb 1 1000\n' | "$TOOLS/rwmake" >"$work/first.rw"
    printf 'b 1 1000\n---\na 1 1000\n---\na 2 2000\n---\na 1 1000\n' | "$TOOLS/rwmake" >"$work/again.rw"
    printf 'a 2 2000\n---\nb 1 1000\n---\na 1 1000\n' | "$TOOLS/rwmake" >"$work/turned.rw"
    claim "in order: what came again, and other series, do not matter, and it is counted" in_order first again 0 'repeats=1 '
    claim "in order: a series that came in another order is found" in_order first turned 1 'came earlier in B: .*"a"'
    claim "in common: what only one has does not matter" "$compare" "$work/base.rw" "$work/missing.rw" --common
    claim "in common: values do, and order" differs base zero 'values differ' --common
    claim "sign of zero is found" differs base zero 'values differ.*float'
    claim "changed staleness marker is found" differs base marker 'values differ.*float'
    claim "NaN payload is found" differs base payload 'values differ.*nan'
    claim "missing sample is found" differs base missing 'sample only in A.*1700000015000'
    claim "shifted sample is found" differs base later '1 only in B, 0 values\|2 only in B'
    claim "changed label is found" differs base label '1 series only in A, 1 only in B'
}

status_is() { # STATUS COMMAND...
    local want=$1 got
    shift
    "$@"
    got=$?
    ((got == want)) || {
        echo "status $got instead of $want"
        return 1
    }
}

fail_with() { # COMMAND...
    "$@"
    return 1
}

# peer NAME PROGRAM: starts an empty Prometheus, sets `url`.
peer() {
    local port
    port=$(free_ports 1)
    url=http://127.0.0.1:$port
    echo 'global: {}' >"$work/empty.yml"
    start "$1" "$2" "--config.file=$work/empty.yml" "--storage.tsdb.path=$work/$1" \
        "--web.listen-address=127.0.0.1:$port" --web.enable-remote-write-receiver \
        --enable-feature=native-histograms --storage.tsdb.retention.time=100y
    wait_ready "$1" "$url/-/ready"
}

replay() {
    "$TOOLS/rwreplay" "$1" "$2" --check
}

same() {
    "$compare" "$1" "$2" "${range[@]}" "${@:3}"
}

# Prometheus returns -0 as 0 in SAMPLES form, which is its own doing.
with_peer() { # NAME PROGRAM VERSION
    local name=$1 program=$2 url
    if ! command -v "$program" >/dev/null; then
        skip "$name: all" "$program is not there"
        return
    fi
    if ! peer "$name" "$program"; then
        claim "$name starts" fail_with tail -n 1 "$work/$name.log"
        return
    fi
    sed '/ -0 /d' "$work/base.txt" | "$TOOLS/rwmake" --version "$3" >"$work/$name.rw"
    claim "$name: replay is acknowledged" replay "$work/$name.rw" "$url"
    claim "$name: remote read gives what was sent" same "$url" "$work/$name.rw"
    claim "$name: slices give the same" same "$url" "$work/$name.rw" --match '{job="a"}' \
        --start 1699999999999 --end 1700000030001 --split 15000
    claim "$name: ignoring a label on both sides" same "$url" "$work/$name.rw" --ignore-label job
    echo 'float{job="a"} 2 1700000045000' | "$TOOLS/rwmake" >"$work/more.rw"
    claim "$name: one more sample is acknowledged" replay "$work/more.rw" "$url"
    claim "$name: one more sample is found" status_is 1 same "$url" "$work/$name.rw"
    claim "$name: a refused sample is told" status_is 1 replay "$work/payload.rw" "$url"
    stop "$name"
}

compare_captures
claim "no server is an error, not a difference" \
    status_is 2 same http://127.0.0.1:1 "$work/base.rw"
claim "replay to no server is an error" status_is 2 replay "$work/base.rw" http://127.0.0.1:1
with_peer prometheus-2 prometheus 1
with_peer prometheus-3 "$PEERS/prometheus/usr/bin/prometheus" 2
done_testing
