#!/bin/bash
# source_clickhouse.sh - what a destination of type clickhouse wrote into a real ClickHouse comes back
# through a source of that type, bit for bit, and answers as the store that had it all along.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control clickhouse_server clickhouse_tcp clickhouse reader

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || { skip clickhouse "no captures beside the project"; exit 0; }
has clickhouse || { skip clickhouse "no clickhouse-server"; exit 0; }

reader=http://127.0.0.1:${port[reader]}
direct=$(url_of clickhouse_server)

# Both have the capture: the writer's own store, and ClickHouse through its destination.
writes() { # TABLE CAPTURE [ARGUMENT...]
    cat >"$work/writer.yml" <<YML
destinations:
  - {name: clickhouse, type: clickhouse, url: '$direct', table: $1, batch: {max_age: 50ms}, unrepresentable: drop}
YML
    start_firekeep writer "$work/writer-$1" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    is_acknowledged "$2" "${@:3}" || return 1
    within 120 all_settled clickhouse || return 1
    [[ $(samples dead_lettered_total clickhouse) == 0 ]]
}

reads() { # TABLE [KEYS]
    cat >"$work/reader.yml" <<YML
storage: {mode: none}
sources:
  - {name: clickhouse, type: clickhouse, url: '$direct', table: $1${2-}}
YML
    start_firekeep reader "$work/reader-$1" "${port[reader]}" --config.file="$work/reader.yml"
}

same() { # ARGUMENT...
    "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --streamed --quiet "$@"
}

# The same answer of both, byte for byte, and not an empty one.
ask_both() { # PATH [ARGUMENT...]
    local path=$1 a b
    shift
    echo "$path $*"
    a=$(curl -sgG --noproxy '*' --max-time 60 "$url$path" -d "start=$start_s" -d "end=$end_s" "$@")
    b=$(curl -sgG --noproxy '*' --max-time 60 "$reader$path" -d "start=$start_s" -d "end=$end_s" "$@")
    [[ $a == '{"status":"success"'* && $b == '{"status":"success"'* ]] || { echo "${a:0:300}" "${b:0:300}"; return 1; }
    [[ $a == *'"data":[]'* || $a == *'"result":[]'* ]] && echo "nothing to compare" && return 1
    diff <(jq -S . <<<"$a") <(jq -S . <<<"$b") | head -n 20
    return "${PIPESTATUS[0]}"
}

look_ups_are_the_same() {
    local name
    ask_both /api/v1/labels || return 1
    ask_both /api/v1/labels --data-urlencode 'match[]={job=~".+"}' || return 1
    for name in __name__ job instance; do
        ask_both "/api/v1/label/$name/values" || return 1
    done
    ask_both /api/v1/label/job/values -d "limit=1" || return 1
    ask_both /api/v1/label/__name__/values --data-urlencode 'match[]={__name__=~"n.*|p.*"}' || return 1
    ask_both /api/v1/label/instance/values --data-urlencode 'match[]={__name__=~"n.*|p.*"}' || return 1
    ask_both /api/v1/series --data-urlencode 'match[]={__name__=~"up|.*_total",job!=""}' || return 1
}

expressions=(
    '{__name__=~".*_total", job!="x", nothing=""}'
    'count by (job) ({__name__=~"n.+|p.+"})'
    'up'
    'count({__name__!=""}) by (__name__)'
)
results_are_the_same() {
    local expression
    for expression in "${expressions[@]}"; do
        ask_both /api/v1/query_range --data-urlencode "query=$expression" -d step=10 || return 1
    done
}

times_of() { # in whole seconds, of all there is
    quiet_curl "$url/api/v1/status/tsdb" | jq -r '[.data.headStats.minTime, .data.headStats.maxTime] | map(. / 1000 | floor) | join(" ")'
}

every_kind | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"

round() { # NAME CAPTURE [ARGUMENT...]
    claim "$1: it is given the capture" writes "$@" || return
    claim "$1: a server without a store starts" reads "$1" || return
    claim "$1: everything comes back, bit for bit" same
    if [[ $1 != kinds ]]; then
        read -r start_s end_s < <(times_of)
        end_s=$((end_s + 10)) # all of the last second, too
        claim "$1: look-ups answer the same" look_ups_are_the_same
        claim "$1: PromQL answers the same" results_are_the_same
    fi
    stop reader
    stop writer
}

# Series that are hard to write, and random questions about them.
seed=${SEED:-$RANDOM}
is_imported() {
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson" &&
        "$firekeep" import --url="$url" "$work/random.ndjson" && within 60 all_settled clickhouse
}

random_round() { # CASES
    claim "seed $seed: it is given what every kind is" writes random "$work/kinds.rw" || return
    claim "seed $seed: and series that are hard to write" is_imported
    claim "seed $seed: a server without a store starts" reads random || return
    claim "seed $seed: everything comes back, bit for bit" same
    claim "seed $seed: $1 random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" "$1" "$url" "$reader"
    stop reader
    stop writer
}

claim "ClickHouse starts" start_clickhouse || exit 1
random_round "${CASES:-300}"
round kinds "$work/kinds.rw"
round floats "$SAMPLES/node15s.rw"
round histograms "$SAMPLES/v2hist.rw"
((failures == 0))
