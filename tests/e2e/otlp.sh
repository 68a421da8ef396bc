#!/bin/bash
# otlp.sh - metrics that arrive by OTLP: responses, compression, what is refused; and the series that a
# real Prometheus makes of the same requests, by each strategy of translation.

. tests/lib.sh
read -r port peer_port receiver_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus
requests=$([[ ${LONG-0} == 1 ]] && echo 5000 || echo 250)

# message [NAME [POINT]]: a gauge
message() {
    printf '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"%s","gauge":{"dataPoints":[{"timeUnixNano":"%s000000","asDouble":1.5}%s]}}]}]}]}' \
        "${1:-a.b}" "$(now_ms)" "${2-}"
}

# post PATH FILE [CURL-ARGUMENT...]: prints the response, then its status and type. TYPE is that of the message.
post() {
    curl -s --noproxy '*' -w '\n%{http_code} %{content_type}' -H "Content-Type: ${TYPE-application/json}" --data-binary "@$2" "${@:3}" "$url$1"
}

answered() { # STATUS TEXT PATH FILE [CURL-ARGUMENT...]
    local said
    said=$(post "${@:3}" 2>&1)
    echo "$said"
    [[ ${said##*$'\n'} == "$1 "* && $said == *"$2"* ]]
}

has() { # SERIES
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1")
    echo "$said"
    [[ $said == *'"1.5"'* ]]
}

taken_by_all_paths() {
    local path
    for path in /api/v1/otlp/v1/metrics /v1/metrics /otlp/v1/metrics /opentelemetry/v1/metrics; do
        message "path${path//\//_}" >"$work/message"
        answered 200 '{}' "$path" "$work/message" || return 1
        has "path${path//\//_}" || return 1
    done
}

points() { # NAME TEMPORALITY VALUE...: a sum with a point each minute, the last one at $last
    local name=$1 temporality=$2 start=$((last - 60 * ($# - 2))) t text=
    t=$start
    shift 2
    for value; do
        ((temporality == 2)) || start=$t
        t=$((t + 60))
        text+=,'{"asDouble":'$value',"startTimeUnixNano":"'$start'000000000","timeUnixNano":"'$t'000000000"}'
    done
    echo '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"'"$name"'","sum":{"isMonotonic":true,' \
        '"aggregationTemporality":'"$temporality"',"dataPoints":['"${text#,}"']}}]}]}]}' >"$work/points"
}

histograms() { # NAME COUNT...: a native histogram of deltas, with a point each minute, the last one at $last
    local name=$1 t=$((last - 60 * ($# - 1))) text=
    shift
    for count; do
        text+=,'{"count":"'$count'","sum":1,"scale":0,"positive":{"bucketCounts":["'$count'"]},"startTimeUnixNano":"'$t'000000000",'
        t=$((t + 60))
        text+='"timeUnixNano":"'$t'000000000"}'
    done
    echo '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"'"$name"'","exponentialHistogram":{' \
        '"aggregationTemporality":1,"dataPoints":['"${text#,}"']}}]}]}]}' >"$work/points"
}

is() { # VALUE QUERY, at $last
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$2" --data-urlencode time="$last")
    echo "$said"
    [[ $said == *"\"$1\"]"* ]]
}

increases() { # NAME VALUE
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=increase($1[6m])" --data-urlencode time="$last")
    echo "$said"
    [[ $said == *"\"$2\"]"* ]]
}

asks() {
    local last=$(($(date +%s) / 60 * 60))
    points deltas 1 3 5 2 4 6
    claim "deltas are taken" answered 200 '{}' /v1/metrics "$work/points"
    claim "their increase is their sum" increases deltas_total 20
    histograms native 2 3 4
    claim "native histograms of deltas are taken" answered 200 '{}' /v1/metrics "$work/points"
    claim "each of them is a reset" is 2 'resets(native[3m])'
    claim "their increase is their sum, too" is 9 'histogram_count(increase(native[3m]))'
    points cumulative 2 3 8 10 14 20
    claim "cumulative sums are taken" answered 200 '{}' /v1/metrics "$work/points"
    claim "their increase is extrapolated" increases cumulative_total 19.125
    claim "all paths take metrics" taken_by_all_paths
    message zipped | gzip >"$work/zipped"
    claim "gzip is unpacked" answered 200 '{}' /v1/metrics "$work/zipped" -H 'Content-Encoding: gzip'
    claim "the sample is there" has zipped
    message zstd | zstd -q >"$work/zstd"
    claim "zstd is unpacked" answered 200 '{}' /v1/metrics "$work/zstd" -H 'Content-Encoding: zstd'
    claim "its sample is there" has zstd
    head -c 10 "$work/zipped" >"$work/cut"
    claim "a body that is cut is refused" answered 400 '"code":3' /v1/metrics "$work/cut" -H 'Content-Encoding: gzip'
    claim "a body without the compression that it names is refused" \
        answered 400 'not compressed' /v1/metrics "$work/message" -H 'Content-Encoding: gzip'
    claim "another compression is refused" answered 415 'gzip, zstd' /v1/metrics "$work/message" -H 'Content-Encoding: br'
    head -c 100000000 /dev/zero | gzip >"$work/bomb"
    claim "a body that unpacks to too much is refused" answered 413 '"code":8' /v1/metrics "$work/bomb" -H 'Content-Encoding: gzip'
    echo '{"resourceMetrics":[}' >"$work/wrong"
    claim "what is no message is refused" answered 400 '"code":3' /v1/metrics "$work/wrong"
    TYPE=application/xml claim "another type is refused" answered 415 'application/json' /v1/metrics "$work/wrong"
    message partial ',{"asInt":1}' >"$work/partial"
    claim "points that are refused are counted, and named" \
        answered 200 '"rejectedDataPoints":"1","errorMessage":"1 of 2 points refused' /v1/metrics "$work/partial"
    claim "those beside them are taken" has partial
    message refused | sed 's/"timeUnixNano":"[0-9]*",//' >"$work/refused"
    claim "a request of which nothing can be taken is refused" answered 400 'without time' /v1/metrics "$work/refused"
    TYPE=application/x-protobuf claim "a protobuf message that is empty is taken" \
        answered 200 'application/x-protobuf' /v1/metrics /dev/null
}

begin_peer() { # STRATEGY
    printf 'storage: {tsdb: {out_of_order_time_window: 30d}}\n' >"$work/prometheus.yml"
    printf 'otlp: {translation_strategy: %s, promote_resource_attributes: [host.name, k8s.pod.name]}\n' "$1" |
        tee "$work/firekeep.yml" >>"$work/prometheus.yml"
    start "peer-$1" "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer-$1" \
        --web.listen-address="127.0.0.1:$peer_port" --log.level=warn --web.enable-otlp-receiver \
        --enable-feature=native-histograms
    wait_ready "peer-$1" "$peer_url/-/ready"
}

compares() { # STRATEGY
    claim "$1: Prometheus starts" begin_peer "$1" || return
    claim "$1: a server starts" start_firekeep "server-$1" "$work/data-$1" "$port" "--config.file=$work/firekeep.yml"
    claim "$1: the series are those of Prometheus" tests/api/compare_otlp.py "$url" "$peer_url" "$requests" 1
    stop "server-$1"
    stop "peer-$1"
}

claim "a server starts" start_firekeep server "$work/data" "$port" && asks
claim "the log names refused points" within 10 grep -q 'msg="points refused" input=otlp count=1 of=2 first=".*a point without time"' "$work/server.log"
claim "and warns of deltas" grep -q 'msg="otlp: deltas are stored' "$work/server.log"
stop server

# Says that a reload refuses another mapping of names, which would make new series of all.
keeps_translation() {
    echo 'otlp: {translation_strategy: NoTranslation}' >"$work/firekeep.yml"
    kill -HUP "${pids[$(_index_of translating)]}"
    within 10 grep -q 'configuration reload failed.*otlp or line_listeners have changed: restart' "$work/translating.log"
}

translates() { # NAME
    message "$1" >"$work/message" && answered 200 '{}' /v1/metrics "$work/message" && has "$2"
}

echo 'otlp: {translation_strategy: UnderscoreEscapingWithSuffixes}' >"$work/firekeep.yml"
claim "a server starts with a translation" start_firekeep translating "$work/data" "$port" "--config.file=$work/firekeep.yml"
claim "a reload refuses another one" keeps_translation
claim "the old one is used" translates c.d c_d
stop translating
claim "the server starts with the other" start_firekeep translating "$work/data" "$port" "--config.file=$work/firekeep.yml"
claim "and uses it" translates c.d '{"c.d"}'
stop translating

# A gauge of 50,000 points, whose series no head of that memory holds.
larger_than_memory() {
    local points
    points=$(seq -f ',{"attributes":[{"key":"n","value":{"intValue":"%.0f"}}],"timeUnixNano":"1","asInt":1}' 50000 | tr -d '\n')
    message large "$points" >"$work/large"
    answered 413 '"code":8,"message":"not enough memory in the head for 50001 series' /v1/metrics "$work/large"
}
claim "a server starts with little memory for writes" start_firekeep small "$work/small" "$port" --memory.limit=64MiB
claim "a request that never fits is refused, with the reason" larger_than_memory
claim "and the next one is taken" translates e.f e_f
stop small

start_direct() {
    echo "destinations: [{name: other, type: remote_write, url: 'http://127.0.0.1:$receiver_port/api/v1/write', retry: {min_backoff: 50ms, max_backoff: 300ms}}]" \
        >"$work/firekeep.yml"
    start_firekeep direct "$work/direct" "$port" --config.file="$work/firekeep.yml" --storage.mode=none --wal.ack=destination --wal.ack-timeout=5s
}
reaches() { # NAME
    message "$1" >"$work/message" && answered 200 '{}' /v1/metrics "$work/message" && url=http://127.0.0.1:$receiver_port has "$1"
}
claim "a destination is there" start_firekeep receiver "$work/receiver" "$receiver_port"
claim "a server starts without a log" start_direct
claim "at the answer the destination has the sample" reaches acknowledged
crash receiver
claim "without the destination it is refused, for now" answered 503 '"code":14' /v1/metrics "$work/message"
stop direct
if "$program" --help 2>&1 | grep -q otlp-receiver; then
    for strategy in UnderscoreEscapingWithSuffixes NoUTF8EscapingWithSuffixes NoTranslation; do
        compares "$strategy"
    done
else
    skip "the series of Prometheus" "the one here has no receiver of OTLP"
fi
done_testing
