# shellcheck shell=bash disable=SC2154
# sources_lib.sh - sourced by tests of sources, after destinations_lib.sh and counterparts_lib.sh:
# the Firekeep at $url stores all samples and sends them to a destination; the one at $reader stores
# nothing and reads them from a source. The caller has called name_ports with `reader`, too.

reader=http://127.0.0.1:${port[reader]}
seed=${SEED:-$RANDOM}

writes() { # DIR KEYS [ARGUMENT...]: the writer starts, with the destination `there`
    printf '%s\n' 'destinations:' "  - {name: there, $2, batch: {max_age: 50ms}}" >"$work/writer.yml"
    start_firekeep writer "$work/writer-$1" "${port[firekeep]}" --config.file="$work/writer.yml" "${@:3}" && within 20 all_open
}

reads() { # DIR KEYS: the reader starts, with the source `there`
    printf '%s\n' 'storage: {mode: none}' 'sources:' "  - {name: there, $2}" >"$work/reader.yml"
    start_firekeep reader "$work/reader-$1" "${port[reader]}" --config.file="$work/reader.yml"
}

all_is_there() { # all that the writer has, nothing refused
    within 120 all_settled there && [[ $(samples dead_lettered_total there):$(samples dropped_total there) == "${refused:-0}:0" ]]
}

is_given() { # CAPTURE [ARGUMENT...]
    is_acknowledged "$@" && all_is_there
}

imports() { # FILE: sends it to the writer
    build/firekeep import --url="$url" "$1" && all_is_there
}

# Series that are hard to write, after every kind of value.
makes_series() { # [KIND]
    python3 tests/tools/random_matchers.py "${1:-series}" "$seed" 120 >"$work/random.ndjson"
    every_kind | grep -v '^@exemplar' | sed 's/^text{/&time="t",/' | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"
}

answers_alike() { # CASES: random questions
    python3 tests/tools/random_matchers.py compare "$seed" "$1" "$url" "$reader"
}

hostile_texts_find_the_same() {
    python3 tests/tools/random_matchers.py hostile "$url" "$reader"
}

# Series of a capture of floats for some minutes, and requests of one of histograms.
captures_are_the_same() { # WHO SERIES SCRAPES REQUESTS
    claim "$1: it is given a capture of histograms" is_given "$SAMPLES/v2hist.rw" --first "$4"
    set_bounds
    "$TOOLS/rwspan" "$SAMPLES/node15s.rw" --series "$2" --scrapes "$3" --end-ms "${end_s}000" >"$work/floats.rw"
    claim "$1: and one of floats" is_given "$work/floats.rw"
    set_bounds
    claim "$1: captures come back, bit for bit" within 30 same
    claim "$1: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
    claim "$1: PromQL answers the same" results_are_the_same
}

hard_series_are_the_same() { # WHO CASES
    makes_series
    claim "$1, seed $seed: it is given what every kind is" is_given "$work/kinds.rw"
    claim "$1, seed $seed: and series that are hard to write" imports "$work/random.ndjson"
    claim "$1, seed $seed: everything comes back, bit for bit" same
    claim "$1, seed $seed: $2 random questions are answered the same" answers_alike "$2"
}

# The status and words of `sources test` of a source with these keys.
tested() { # STATUS WORDS KEYS
    printf '%s\n' 'sources:' "  - {name: there, timeout: 3s, $3}" >"$work/tested.yml"
    build/firekeep sources test there --config.file="$work/tested.yml" --from 2023-11-01T00:00:00Z >"$work/tested.txt"
    local status=$?
    cat "$work/tested.txt"
    [[ $status == "$1" ]] && grep -qF -e "$2" "$work/tested.txt"
}

# An answer of the reader for $asked_at, or a time at which the hard series are.
asks() { # EXPRESSION [ARGUMENT...]
    curl -sgG --noproxy '*' --max-time 60 "$reader/api/v1/query" --data-urlencode "query=$1" -d "time=${asked_at:-1700000100}" "${@:2}"
}

fails_with() { # WORDS EXPRESSION [ARGUMENT...]
    asks "${@:2}" | tee "$work/failed.txt"
    jq -e '.status == "error"' "$work/failed.txt" && grep -qF -e "$1" "$work/failed.txt"
}

gives() { # JQ EXPRESSION [ARGUMENT...]: true of the answer
    asks "${@:2}" >"$work/given.json"
    jq -e "$1" "$work/given.json" || { head -c 600 "$work/given.json"; return 1; }
}

same() { # ARGUMENT...
    "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --streamed --quiet "$@"
}

# Sets `bounds`, arguments of requests for the last ten minutes that are stored, and start_s and end_s.
set_bounds() {
    end_s=$(quiet_curl "$url/api/v1/status/tsdb" | jq -r '.data.headStats.maxTime / 1000 | floor + 10') # all of the last second, too
    start_s=$((end_s - 600))
    bounds=(-d "start=$start_s" -d "end=$end_s")
}

# The same answer of both, byte for byte, and not an empty one.
ask_both() { # PATH [ARGUMENT...]
    local path=$1 a b
    shift
    echo "$path $*"
    a=$(curl -sgG --noproxy '*' --max-time 60 "$url$path" "$@")
    b=$(curl -sgG --noproxy '*' --max-time 60 "$reader$path" "$@")
    [[ $a == '{"status":"success"'* && $b == '{"status":"success"'* ]] || { echo "${a:0:300}" "${b:0:300}"; return 1; }
    [[ $a == *'"data":[]'* || $a == *'"result":[]'* ]] && echo "nothing to compare" && return 1
    [[ $a == "$b" ]] || { diff <(jq -S . <<<"$a") <(jq -S . <<<"$b") | head -n 20; return "${PIPESTATUS[0]}"; }
}

look_ups_are_the_same() { # [ARGUMENT...]: bounds
    local name
    ask_both /api/v1/labels "$@" || return 1
    ask_both /api/v1/labels "$@" --data-urlencode 'match[]={job=~".+"}' || return 1
    for name in __name__ job instance; do
        ask_both "/api/v1/label/$name/values" "$@" || return 1
    done
    ask_both /api/v1/label/job/values "$@" -d "limit=1" || return 1
    ask_both /api/v1/label/__name__/values "$@" --data-urlencode 'match[]={__name__=~"n.*|p.*"}' || return 1
    ask_both /api/v1/label/instance/values "$@" --data-urlencode 'match[]={__name__=~"n.*|p.*"}' || return 1
    ask_both /api/v1/series "$@" --data-urlencode 'match[]={__name__=~"up|.*_total",job!=""}' || return 1
}

results_are_the_same() { # [EXPRESSION...]: besides those for all sources
    local expression
    for expression in '{__name__=~".*_total", job!="x", nothing=""}' 'count by (job) ({__name__=~"n.+|p.+"})' up \
        'count({__name__!=""}) by (__name__)' "$@"; do
        ask_both /api/v1/query_range "${bounds[@]}" --data-urlencode "query=$expression" -d step=10 || return 1
    done
}
