# shellcheck shell=bash
# questions_lib.sh - sourced, after lib.sh, by tests that send the same PromQL queries to two
# servers: the queries about the captures, and comparisons. `at` has the URLs by name; the caller
# sets start_s and end_s.

declare -A at
# shellcheck disable=SC2154 # work, start_s, end_s are the caller's

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

# --- answers ---

# Sums depend on the order of series, which differs: 12 digits must agree.
rounded() {
    jq -S 'def rounded: if test("^-?[0-9]") then tonumber as $v | if $v == 0 then 0 else
               ($v | fabs | log10 | floor) as $e | ($v / pow(10; $e) * 1e12 | round) as $m | [$m, $e] end
           else . end;
           if .status == "success" then .data.result | sort_by(.metric | tostring) else . end |
           walk(if type == "string" and test("^(-?[0-9.]+(e[-+]?[0-9]+)?)$") then rounded else . end)' "$1"
}

# Both of both, by one process: into $work/NUMBER.range and $work/NUMBER.instant.
ask_both() { # QUESTION NAME NAME
    local all=(-s --noproxy '*' --max-time 60 --data-urlencode "query=$1") number=0 name arguments=()
    for name in "${@:2}"; do
        arguments+=(--next "${all[@]}" -o "$work/$number.range" "${at[$name]}/api/v1/query_range"
            -d "start=$start_s" -d "end=$end_s" -d step=20
            --next "${all[@]}" -o "$work/$number.instant" "${at[$name]}/api/v1/query"
            -d "time=$(((start_s + end_s) / 2)).5")
        number=$((number + 1))
    done
    rm -f "$work"/[01].{range,instant}
    curl "${arguments[@]:1}"
}

# same_answers A B QUESTION: over a range and at an instant; neither may be an error, and one must
# have a result.
same_answers() {
    local how a b something=0
    ask_both "$3" "$1" "$2"
    for how in range instant; do
        a=$(<"$work/0.$how")
        b=$(<"$work/1.$how")
        [[ $a == '{"status":"success"'* ]] || {
            echo "${a:0:300}"
            return 1
        }
        [[ $a == *'"result":[]'* ]] || something=1
        [[ $a == "$b" ]] && continue
        diff <(rounded "$work/0.$how") <(rounded "$work/1.$how") >"$work/diff.txt" && continue
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
