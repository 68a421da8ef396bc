#!/bin/bash
# lookup_times.sh - times in requests for label names, label values and series: those that
# Prometheus accepts, its own limits and infinities included, and no others.

. tests/lib.sh
. tests/wire.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=${PEERS:-}/prometheus/usr/bin/prometheus
[[ -x $program ]] || program=$(command -v prometheus)
now=$(date +%s)

least=-292273086-05-16T16:47:06Z
greatest=292277025-08-18T07:12:54.999999999Z

taken=(0 -1 1.5 .5 5. +7 1.7e9 1700000000.123 "$now" Inf +Inf -Inf inf infinity -Infinity +iNfInItY
    "$least" "$greatest" 2026-11-20T00:00:00Z 2026-11-20T00:00:00.25+01:00 0000-01-01T00:00:00Z
    9999-12-31T23:59:59.999Z 1e15)
refused=(now now-1d now+1h 2026-11-20 '2026-11-20 00:00:00Z' 2026-11-20T00:00:00 2026-11-20T00:00Z
    2026-11-20t00:00:00Z 2026-11-20T00:00:00z 2026-02-30T00:00:00Z 1d 5m '1 ' ' 1' -- x e5 1e -
    292277025-08-18T07:12:54Z 292277025-08-18T07:12:55Z -292273086-05-16T16:47:05Z Infi in)

ask() { # URL PATH ARGUMENT...: the status; the answer in $work/answer
    local server=$1 path=$2 arguments=() argument
    shift 2
    for argument; do
        arguments+=(--data-urlencode "$argument")
    done
    curl -s --noproxy '*' -G -o "$work/answer" -w '%{http_code}' "${arguments[@]}" "$server$path"
}

paths=(labels label/job/values 'series?match[]=up')

# By PATHS of them, 1.
is_taken() { # TIME [PATHS]
    local name path
    for path in "${paths[@]:0:${2:-1}}"; do
        for name in start end; do
            [[ $(ask "$url" "/api/v1/$path" "$name=$1") == 200 ]] || { cat "$work/answer"; return 1; }
        done
    done
}

is_refused() { # TIME [PATHS]
    local name path
    for path in "${paths[@]:0:${2:-1}}"; do
        for name in start end; do
            [[ $(ask "$url" "/api/v1/$path" "$name=$1") == 400 ]] || { cat "$work/answer"; return 1; }
            jq -e --arg name "$name" '.errorType == "bad_data" and (.error | startswith("invalid parameter \"" + $name + "\": invalid time value for "))' \
                "$work/answer" || return 1
        done
    done
}

# Compares with the answer of Prometheus.
as_the_peer() { # STATUS TIME
    [[ $(ask "$peer_url" /api/v1/labels "start=$2") == "$1" ]] || { cat "$work/answer"; return 1; }
}

finds() { # COUNT START END
    [[ $(ask "$url" /api/v1/series 'match[]=up' "start=$2" "end=$3") == 200 ]] &&
        [[ $(jq '.data | length' "$work/answer") == "$1" ]] || { cat "$work/answer"; return 1; }
}

stores() {
    send_1 "$(field 1 "$(field 1 "$(field_text 1 __name__)$(field_text 2 up)")$(
        )$(field 2 "$(field_double 1 1)$(field_int 2 "${now}000")")")"
    status_is 204
}

claim "starts" start_firekeep firekeep "$work/data" "$port" || exit 1
claim "takes a sample" stores
claim "taken by each path: '$now'" is_taken "$now" 3
claim "refused by each path: 'now'" is_refused now 3
for text in "${taken[@]}"; do
    claim "taken: '$text'" is_taken "$text"
done
for text in "${refused[@]}"; do
    claim "refused: '$text'" is_refused "$text"
done
claim "an empty time is none" is_taken ''
claim "between the limits lies everything" finds 1 "$least" "$greatest"
claim "between the infinities, too" finds 1 -Inf +Inf
claim "what lies beyond a time that can be is that one" finds 1 -1e300 1e300
claim "behind the greatest lies nothing" finds 0 "$greatest" +Inf
claim "before the least lies nothing" finds 0 -Inf "$least"
claim "the wrong way round there is nothing" finds 0 "$greatest" "$least"
if [[ -z $program ]]; then
    skip "Prometheus takes and refuses the same" "there is none"
else
    echo 'global: {}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --web.listen-address="127.0.0.1:$peer_port" --log.level=warn
    claim "Prometheus starts" wait_ready peer "$peer_url/-/ready"
    for text in "${taken[@]}"; do
        claim "Prometheus takes '$text'" as_the_peer 200 "$text"
    done
    for text in "${refused[@]}"; do
        claim "Prometheus refuses '$text'" as_the_peer 400 "$text"
    done
    stop peer
fi
stop firekeep
done_testing
