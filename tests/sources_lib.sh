# shellcheck shell=bash disable=SC2154
# sources_lib.sh - sourced by tests of sources, after destinations_lib.sh: compares the Firekeep at
# $url, which has stored all samples, with the one at $reader, which reads them from a source.

same() { # ARGUMENT...
    "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --streamed --quiet "$@"
}

# Sets `bounds`, arguments of requests for all samples that are stored, and start_s and end_s.
set_bounds() {
    read -r start_s end_s < <(quiet_curl "$url/api/v1/status/tsdb" |
        jq -r '[.data.headStats.minTime, .data.headStats.maxTime] | map(. / 1000 | floor) | join(" ")')
    end_s=$((end_s + 10)) # all of the last second, too
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
