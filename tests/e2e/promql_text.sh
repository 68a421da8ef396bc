#!/bin/bash
# promql_text.sh - PromQL is parsed, formatted and refused as by a real Prometheus 3, including
# words and positions of errors.

. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus

begin_peer() {
    echo 'global: {}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --enable-feature=promql-experimental-functions,promql-duration-expr
    wait_ready peer "$peer_url/-/ready"
}

answers_with() { # STATUS TEXT ARGUMENT...
    local text
    text=$(curl -s --noproxy '*' -w ' %{http_code}' "${@:3}")
    echo "$text"
    [[ $text == "$2 $1" ]]
}

formats() {
    answers_with 200 '{"status":"success","data":"sum by (a) (rate(b[5m]))"}' "$url/api/v1/format_query" "$@"
}

refuses() {
    answers_with 400 '{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}' \
        "$url/api/v1/format_query" "$@"
}

claim "starts" start_firekeep firekeep "$work/data" "$port"
claim "format_query answers a GET" formats -G --data-urlencode 'query=sum(rate(b[5m]))by(a)'
claim "and a form" formats --data-urlencode 'query=sum(rate(b[5m]))by(a)'
claim "what is wrong is said" refuses -G --data-urlencode 'query=sum('
if [[ ! -x $program ]]; then
    skip "expressions are read as Prometheus 3 reads them" "tests/peers/fetch gets it"
else
    claim "a Prometheus 3 starts" begin_peer
    claim "4,000 expressions are read, formatted and refused as Prometheus 3 does" \
        tests/promql/compare_text.py "$url" "$peer_url" 4000
fi
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
