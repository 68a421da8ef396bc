#!/bin/bash
# promql_ends.sh - an expression that takes too long, or whose client is gone, ends; one that needs too much
# is refused; others are answered meanwhile.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
# 86,400 windows of 86,400 values each.
long='count_over_time(sum_over_time(vector(1)[1d:1s])[1d:1s])'

answers_with() { # STATUS TEXT QUERY
    local text
    text=$(curl -s --noproxy '*' --max-time 60 -w ' %{http_code}' --data-urlencode "query=$3" "$url/api/v1/query")
    echo "${text:0:400}"
    [[ $text == *"$2"*" $1" ]]
}

views_are() { # NUMBER
    [[ $(curl -s --noproxy '*' "$url/metrics" | awk '$1 == "firekeep_views" { print $2 }') == "$1" ]]
}

hangs_up() {
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/answer" &
    local client=$!
    within 10 views_are 1 || { echo "it did not begin"; return 1; }
    answers_with 200 '"1"' 'vector(1)' || return 1
    kill -KILL "$client"
    within 10 views_are 0 || { echo "it goes on"; return 1; }
}

ends_with_it() {
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/answer" &
    within 10 views_are 1 || { echo "it did not begin"; return 1; }
    stop firekeep
}

claim "starts" start_firekeep firekeep "$work/data" "$port" --memory.limit=512MiB --read.timeout=300s
claim "a query whose client hangs up ends, and others are answered meanwhile" hangs_up
claim "a subquery of too many steps is refused" answers_with 422 'too many samples' 'sum_over_time(vector(1)[100y:1ms])'
claim "what does not fit into memory is refused" answers_with 422 'not enough memory' 'sum_over_time(vector(1)[1y:1s])'
claim "SIGTERM does not wait for a query" ends_with_it
claim "starts with a shorter time limit" start_firekeep firekeep "$work/data" "$port" --read.timeout=1s
claim "a query that takes longer is ended" answers_with 503 '"errorType":"timeout"' "$long"
claim "SIGTERM ends it with status 0" stop firekeep
