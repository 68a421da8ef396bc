#!/bin/bash
# readback.sh - PromQL over Firekeep says what it says over Prometheus' own storage.
#
#   capture --remote write--> Firekeep <--remote read-- a Prometheus without data
#           --remote write--> a Prometheus with data
#
# Both answer the same questions. Half of the capture lies in a part, half in the head, so every
# answer is merged from both. Prometheus 2.42 asks for SAMPLES (and does not read histograms from
# them), Prometheus 3 for chunks.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/wire.sh
. tests/wire.sh
newer=$PEERS/prometheus/usr/bin/prometheus
mapfile -t ports < <(free_ports 3)
port=${ports[0]}
url=http://127.0.0.1:$port
declare -A at

floats=(
    'up'
    'sum by (job) (up)'
    'count({__name__=~".+"})'
    'count by (__name__) ({__name__!="up", job=~"node|churn|prom.*"})'
    '{__name__=~"node_mem.*|node_load.", job="node"}'
    'up{nothing=""}'
    'up{nothing!="x", job!~"node|prom.*"}'
    'up{job=~"nod"}'
    '{__name__=~"up|churn_run_id", job=~".*u.*"}'
    'churn_run_id'
    'absent(never_there)'
    'rate(node_cpu_seconds_total[1m])'
    'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[2m]))'
    'histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[2m])))'
    'topk(3, node_scrape_collector_duration_seconds)'
    'max_over_time(rate(node_cpu_seconds_total{mode="user"}[1m])[5m:30s])'
    'count_over_time(churn_run_id[3m])'
    'changes(push_time_seconds[10m]) + resets(push_time_seconds[10m])'
    'node_load1 offset 3m'
    'quantile_over_time(0.5, go_gc_duration_seconds[4m])'
    'timestamp(node_load1)'
)
histograms=(
    '{__name__=~".+_duration_seconds", job!="nhcb"}'
    'histogram_count(prometheus_http_request_duration_seconds)'
    'histogram_sum(prometheus_http_request_duration_seconds)'
    'histogram_avg(alertmanager_http_request_duration_seconds)'
    'histogram_quantile(0.9, alertmanager_http_request_duration_seconds)'
    'histogram_quantile(0.5, sum(rate(prometheus_http_request_duration_seconds[2m])))'
    'histogram_fraction(0, 0.1, rate(alertmanager_http_request_duration_seconds[1m]))'
    'sum by (job) (increase(prometheus_http_request_duration_seconds[5m]))'
    'count({__name__=~".+", job!="nhcb"})'
    '{job="nhcb"}'
    'histogram_count({job="nhcb"})'
    'histogram_quantile(0.9, rate(shop_request_seconds[2m]))'
)

# --- the actors ---

# prometheus_at NAME PROGRAM PORT [REMOTE-READ-URL]
prometheus_at() {
    local name=$1 program=$2
    at[$name]=http://127.0.0.1:$3
    echo 'global: {}' >"$work/$name.yml"
    [[ -z ${4-} ]] || cat >>"$work/$name.yml" <<END
remote_read:
  - url: $4/api/v1/read
    read_recent: true
END
    [[ -n ${4-} ]] || cat >>"$work/$name.yml" <<END
storage: {tsdb: {out_of_order_time_window: 10y}}
END
    start "$name" "$program" "--config.file=$work/$name.yml" "--storage.tsdb.path=$work/$name" \
        "--web.listen-address=127.0.0.1:$3" --web.enable-remote-write-receiver \
        --enable-feature=native-histograms --storage.tsdb.retention.time=100y --log.level=warn
    wait_ready "$name" "${at[$name]}/-/ready"
}

is_sent() { # CAPTURE URL [ARGUMENT...]
    "$TOOLS/rwreplay" "$1" "$2" --check "${@:3}"
}

# One half is written out by stopping, the other stays in the head.
firekeep_has() { # NAME CAPTURE HALF
    start_firekeep "$1" "$work/$1" "$port" || return 1
    is_sent "$2" "$url" --first "$3" || return 1
    stop "$1"
    start_firekeep "$1" "$work/$1" "$port" || return 1
    is_sent "$2" "$url" --skip "$3"
}

# --- questions ---

# The times the capture covers, as whole seconds.
find_range() {
    local page
    page=$(curl -fs --noproxy '*' "$url/api/v1/status/tsdb")
    start_s=$(($(jq .data.partStats.minTime <<<"$page") / 1000))
    end_s=$(($(jq .data.headStats.maxTime <<<"$page") / 1000))
    echo "from $start_s to $end_s"
    ((end_s - start_s > 60 && end_s - start_s < 86400))
}

canonical() {
    jq -S 'if .status == "success" then .data.result | sort_by(.metric | tostring) else . end'
}

range_of() { # NAME QUESTION
    curl -s --noproxy '*' --max-time 60 "${at[$1]}/api/v1/query_range" --data-urlencode "query=$2" \
        -d "start=$start_s" -d "end=$end_s" -d step=20
}

instant_of() { # NAME QUESTION
    curl -s --noproxy '*' --max-time 60 "${at[$1]}/api/v1/query" --data-urlencode "query=$2" \
        -d "time=$(((start_s + end_s) / 2)).5"
}

# Sums are taken in the order in which series come, which differs: 12 digits must agree.
rounded() {
    jq -S 'def rounded: if test("^-?[0-9]") then tonumber as $v | if $v == 0 then 0 else
               ($v | fabs | log10 | floor) as $e | ($v / pow(10; $e) * 1e12 | round) as $m | [$m, $e] end
           else . end;
           walk(if type == "string" and test("^(-?[0-9.]+(e[-+]?[0-9]+)?)$") then rounded else . end)'
}

# same_answers A B QUESTION: by range and at an instant; neither may be an error, one has to say something.
same_answers() {
    local how a b something=0
    for how in range_of instant_of; do
        a=$("$how" "$1" "$3")
        b=$("$how" "$2" "$3")
        [[ $a == '{"status":"success"'* ]] || {
            echo "${a:0:300}"
            return 1
        }
        [[ $a == *'"result":[]'* ]] || something=1
        [[ $a == "$b" ]] && continue
        diff <(canonical <<<"$a" | rounded) <(canonical <<<"$b" | rounded) >"$work/diff.txt" && continue
        echo "$how differs:"
        head -n 20 "$work/diff.txt"
        return 1
    done
    ((something)) || [[ $3 == *'"nod"'* ]] || {
        echo "nothing to compare"
        return 1
    }
}

all_the_same() { # WHO A B QUESTION...
    local who=$1 a=$2 b=$3 question
    shift 3
    for question; do
        claim "$who: $question" same_answers "$a" "$b" "$question"
    done
}

form_was() { # FORM
    (($(metric "firekeep_read_requests_total.form=\"$1\".") > 0))
}

# --- rounds ---

need() { # WHAT: false, and told, if something is missing
    [[ -n $SAMPLES && -f $SAMPLES/$2 ]] || {
        skip "$1" "no captures beside the project"
        return 1
    }
    command -v "$3" >/dev/null || {
        skip "$1" "$3 is not there"
        return 1
    }
}

round_floats() { # NAME PROGRAM FORM
    local name=$1 program=$2 capture=$SAMPLES/node15s.rw
    need "$name: floats" node15s.rw "$program" || return
    claim "$name: Firekeep has the capture" firekeep_has "$name-firekeep" "$capture" 132 || return
    claim "$name: the capture covers some time" find_range || return
    claim "$name: a Prometheus with data starts" prometheus_at "$name-owner" "$program" "${ports[1]}" || return
    claim "$name: it has the capture" is_sent "$capture" "${at[$name-owner]}" || return
    claim "$name: one without data starts" prometheus_at "$name-reader" "$program" "${ports[2]}" "$url" || return
    all_the_same "$name" "$name-owner" "$name-reader" "${floats[@]}"
    claim "$name: it asked for $3" form_was "$3"
    stop "$name-reader"
    stop "$name-owner"
    stop "$name-firekeep"
}

round_histograms() {
    local capture=$SAMPLES/v2hist.rw
    need histograms v2hist.rw "$newer" || return
    claim "histograms: Firekeep has the capture" firekeep_has histograms "$capture" 870 || return
    claim "histograms: the capture covers some time" find_range || return
    claim "histograms: a Prometheus 3 with data starts" prometheus_at owner "$newer" "${ports[1]}" || return
    claim "histograms: it has the capture" is_sent "$capture" "${at[owner]}" || return
    claim "histograms: one without data starts" prometheus_at reader "$newer" "${ports[2]}" "$url" || return
    all_the_same histograms owner reader "${histograms[@]}"
}

round_floats prometheus-2 prometheus samples
round_floats prometheus-3 "$newer" streamed_xor_chunks
round_histograms
((failures == 0))
