#!/bin/bash
# replicas.sh - two real Prometheus servers scrape the same target and write to Firekeep, which
# reads them as one. They are killed in turns, and the target is restarted: rates have neither gaps
# nor spikes.
#
#   target <--scrape-- Prometheus a --remote write--> Firekeep <--remote read-- Prometheus c
#          <--scrape-- Prometheus b --remote write-->

. tests/lib.sh
program=$PEERS/prometheus/usr/bin/prometheus
read -r port target_port a_port b_port c_port < <(free_ports 5 | tr '\n' ' ')
url=http://127.0.0.1:$port

if [[ ! -x $program ]]; then
    skip_all "replicas are read as one" "tests/peers/fetch gets a Prometheus 3"
fi

# --- the actors ----------------------------------------------------------------------------------

begin_target() { # FIRST
    start target tests/tools/counting_target.py "$target_port" "$1"
    wait_ready target "http://127.0.0.1:$target_port/metrics"
}

begin_replica() { # a|b PORT
    cat >"$work/$1.yml" <<END
global: {scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {replica: $1}}
scrape_configs:
  - job_name: t
    static_configs: [{targets: ['127.0.0.1:$target_port']}]
remote_write:
  - url: $url/api/v1/write
    queue_config: {batch_send_deadline: 100ms, min_backoff: 50ms}
END
    start "$1" "$program" --config.file="$work/$1.yml" --storage.tsdb.path="$work/$1" \
        --web.listen-address="127.0.0.1:$2" --log.level=warn
    wait_ready "$1" "http://127.0.0.1:$2/-/ready"
}

begin_reader() {
    cat >"$work/c.yml" <<END
remote_read: [{url: '$url/api/v1/read', read_recent: true}]
END
    start c "$program" --config.file="$work/c.yml" --storage.tsdb.path="$work/c" \
        --web.listen-address="127.0.0.1:$c_port" --log.level=warn
    wait_ready c "http://127.0.0.1:$c_port/-/ready"
}

# --- questions -----------------------------------------------------------------------------------

ask() { # URL PATH [CURL-ARGUMENT...]
    curl -sG --noproxy '*' --max-time 30 "$1/api/v1/$2" "${@:3}"
}

# The number that an expression has at one time; empty: none, or several.
number() { # EXPRESSION [CURL-ARGUMENT...]
    ask "$url" query --data-urlencode "query=$1" "${@:2}" |
        jq -r 'if (.data.result | length) == 1 then .data.result[0].value[1] else "" end'
}

now_s() {
    date +%s.%3N
}

# While it waits, it checks each answer: the merged series must have a rate at the newest sample.
has_samples_since() { # a|b SECONDS
    local newest
    newest=$(number 'max(timestamp(requests_total))' -d dedup=false)
    [[ -z $newest ]] || number 'min(rate(requests_total{code="200",path=""}[6s]))' -d "time=$newest" >>"$work/live.txt"
    [[ $(number "min(timestamp(requests_total{replica=\"$1\"})) > bool $2" -d dedup=false) == 1 ]]
}

has_answers() { # COUNT a|b
    has_samples_since "$2" 0 && (($(wc -l <"$work/live.txt") >= $1))
}

# It scrapes for five more seconds, and five more answers are checked.
goes_on() { # a|b
    local answers
    answers=$(($(wc -l <"$work/live.txt") + 5))
    within 60 has_samples_since "$1" "$(jq -n "$(now_s) + 5")" && within 60 has_answers "$answers" "$1"
}

# Compares an expression at a moment over the range since an earlier one.
resets_since() { # EXPECTED FUNCTION SECONDS
    local moment
    moment=$(now_s)
    counts "$1" "$2(resets(requests_total[$(jq -rn "($moment - $3) * 1000 | ceil")ms]))" -d "time=$moment"
}

# Each step has a value, and all are between two numbers.
is_steady() { # URL EXPRESSION LEAST MOST
    ask "$1" query_range --data-urlencode "query=$2" -d "start=$from" -d "end=$to" -d step=0.1 >"$work/answer.json"
    jq -ce --argjson least "$3" --argjson most "$4" --argjson steps "$(jq -n "(($to - $from) * 10 | floor)")" '
        .data.result | map(.values | map(.[1] | tonumber)) | map([length, min, max]) |
        if length == 3 and all(.[0] >= $steps and .[1] >= $least and .[2] <= $most) then true
        else error("\(.) of \($steps) steps") end' "$work/answer.json"
}

each_has_a_gap() {
    local replica gaps
    for replica in a b; do
        gaps=$(ask "$url" query_range --data-urlencode "query=absent_over_time(requests_total{replica=\"$replica\"}[2s])" \
            -d dedup=false -d "start=$from" -d "end=$to" -d step=0.1 | jq '.data.result[0].values | length')
        echo "$replica: $gaps steps without a sample"
        ((gaps > 10)) || return 1
    done
}

is_found_once() {
    local series all values
    series=$(ask "$url" series --data-urlencode 'match[]=requests_total')
    all=$(ask "$url" series --data-urlencode 'match[]=requests_total' -d dedup=false)
    values=$(ask "$url" label/replica/values)$(ask "$url" label/replica/values -d dedup=false)
    echo "$series" "$all" "$values"
    jq -e '.data | length == 3 and all(has("replica") | not)' <<<"$series" &&
        jq -e '.data | length == 6 and all(has("replica"))' <<<"$all" &&
        [[ $values == *'"data":[]}'*'"data":["a","b"]}' ]]
}

counts() { # EXPECTED EXPRESSION [CURL-ARGUMENT...]
    local got
    got=$(number "$2" "${@:3}")
    echo "$2 is $got, expected $1"
    [[ $got == "$1" ]]
}

was_never_without_a_rate() {
    sort -n "$work/live.txt" | sed -n '1p;$p'
    (($(wc -l <"$work/live.txt") > 20)) && awk '$1 == "" || $1 < 40 || $1 > 160 {bad = 1; print} END {exit bad}' "$work/live.txt"
}

# --- they die in turns ---------------------------------------------------------------------------

printf 'query:\n  replica_labels: [replica, prometheus_replica]\n' >"$work/firekeep.yml"
claim "starts" start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml"
claim "a target starts" begin_target 1000000
claim "a replica starts" begin_replica a "$a_port"
claim "another one starts" begin_replica b "$b_port"
claim "both write" within 60 has_samples_since a 0
claim "both do" within 60 has_samples_since b 0
: >"$work/live.txt"
claim "both go on" goes_on a
begun=$(now_s)
: >"$work/live.txt"
claim "both have scraped for a while" goes_on b
crash a
claim "the other one goes on when one is killed" goes_on b
claim "it comes back" begin_replica a "$a_port"
claim "and writes again" goes_on a
crash b
claim "it goes on alone when the other one is killed" goes_on a
claim "the other one comes back" begin_replica b "$b_port"
claim "and writes again, too" goes_on b
from=$begun to=$(jq -n "$(now_s) - 2")
claim "each replica has a gap" each_has_a_gap
claim "rates have neither gaps nor spikes" is_steady "$url" 'rate(requests_total[4s])' 70 130
claim "nor have those of short ranges" is_steady "$url" 'rate(requests_total[2s])' 50 150
claim "there was a rate at any moment" was_never_without_a_rate
claim "counters are not reset" resets_since 0 max "$begun"
claim "without deduplication there are two of each" within 10 counts 6 'count(requests_total)' -d dedup=false
claim "with it there is one" within 10 counts 3 'count(requests_total)'
claim "the target counts once" within 10 counts 1 'count(up{job="t"})'
claim "labels in a request do the same" within 10 counts 3 'count(requests_total)' -d 'replicaLabels[]=replica'
claim "other labels do other things" within 10 counts 6 'count(requests_total)' -d 'replicaLabels[]=other'
claim "one replica can be chosen" within 10 counts 3 'count(requests_total{replica="a"})'
claim "look-ups have each series once" is_found_once

claim "a Prometheus that reads starts" begin_reader
claim "it reads rates without gaps and spikes" is_steady "http://127.0.0.1:$c_port" 'rate(requests_total[4s])' 70 130

# --- the target is restarted ---------------------------------------------------------------------

again=$(jq -n "$(number 'min(timestamp(requests_total))' -d dedup=false) - 1") # has the last samples of both
crash target
claim "the target begins anew" begin_target 0
claim "one replica goes on" goes_on a
claim "so does the other one" goes_on b
claim "counters are reset once" resets_since 1 max "$again"
claim "each is" resets_since 1 min "$again"

for each in a b c; do
    crash "$each"
done
claim "stops" stop firekeep
done_testing
