#!/bin/bash
# promql_ends.sh - an expression that takes too long, or whose client has left, ends; one that needs
# too much is refused; others are answered meanwhile.

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

canceled() {
    local list id
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/answer" &
    local client=$!
    within 10 views_are 1 || { echo "it did not begin"; return 1; }
    list=$(curl -s --noproxy '*' "$url/api/v1/status/active_queries")
    echo "$list"
    [[ $list == *'"tenant":"anonymous","query":"count_over_time('* && $list == *'"running_ms":'* ]] || return 1
    id=${list#*\"id\":}
    [[ $(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' -X DELETE "$url/api/v1/status/active_queries/${id%%,*}") == 204 ]] || return 1
    wait "$client"
    cat "$work/answer"
    [[ $(cat "$work/answer") == *'"errorType":"canceled","error":"query canceled: by DELETE '* ]]
}

logs_what_it_cost() {
    grep -F 'query: slow' "$work/firekeep.log" | tail -n 1
    grep -qF 'msg="query: slow" query=count_over_time(' "$work/firekeep.log"
}

ends_with_it() {
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/answer" &
    within 10 views_are 1 || { echo "it did not begin"; return 1; }
    stop firekeep
}

claim "starts" start_firekeep firekeep "$work/data" "$port" --memory.limit=512MiB --query.timeout=300s \
    --query.max-samples=1M --query.slow-log=1ms
claim "a query whose client hangs up ends, and others are answered meanwhile" hangs_up
claim "a query that runs is listed, and ends when an operator cancels it" canceled
claim "slow queries are in the log, with what they cost" within 10 logs_what_it_cost
claim "a result of too many samples is refused" answers_with 422 'more than 1000000 at a time (query.max_samples)' \
    'last_over_time(vector(1)[20d:1s])'
claim "a subquery of too many steps is refused" answers_with 422 'too many samples' 'sum_over_time(vector(1)[100y:1ms])'
claim "what does not fit into memory is refused" answers_with 422 'not enough memory' 'sum_over_time(vector(1)[1y:1s])'
claim "SIGTERM does not wait for a query" ends_with_it
claim "starts with a shorter time limit" start_firekeep firekeep "$work/data" "$port" --query.timeout=1s
claim "a query that takes longer is ended" answers_with 503 '"errorType":"timeout"' "$long"
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
