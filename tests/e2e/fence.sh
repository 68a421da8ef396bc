#!/bin/bash
# fence.sh - extra_filters[] and extra_label: two servers whose data differ only in hidden series
# answer alike on each path that reads. noninterference.sh has parts, merges and sources.

. tests/lib.sh
read -r port other_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
other_url=http://127.0.0.1:$other_port

make_samples() {
    t_ms=$(now_ms)
    "$TOOLS/rwmake" --version 2 >"$work/visible.rw" <<EOT
up{job="x",team="a"} 1 $t_ms
up{job="y",team="a"} 2 $t_ms
requests_total{job="x",team="a"} 10 $((t_ms - 60000))
requests_total{job="x",team="a"} 70 $t_ms
@exemplar up{job="x",team="a"} {trace="1"} 0.25 $t_ms
EOT
    "$TOOLS/rwmake" --version 2 >"$work/hidden.rw" <<EOT
up{job="x",secret="s",team="b"} 100 $((t_ms - 120000))
up{job="x",secret="s",team="b"} 200 $t_ms
up{job="z"} 300 $t_ms
secret_total{team="b"} 400 $t_ms
@exemplar up{job="x",secret="s",team="b"} {trace="2"} 0.5 $t_ms
EOT
}

begin() {
    start_firekeep alone "$work/alone" "$port" &&
        start_firekeep both "$work/both" "$other_port"
}

takes_samples() {
    "$TOOLS/rwreplay" "$work/hidden.rw" "$other_url/api/v1/write" --check &&
        "$TOOLS/rwreplay" "$work/visible.rw" "$url/api/v1/write" --check &&
        "$TOOLS/rwreplay" "$work/visible.rw" "$other_url/api/v1/write" --check
}

# A path and its parameters. None of them has the time of the request in its answer.
questions=(
    '/api/v1/query query=up time=T'
    '/api/v1/query query={team="b"} time=T'
    '/api/v1/query query=count({__name__=~".+"}) time=T'
    '/api/v1/query query=absent(secret_total) time=T'
    '/api/v1/query_range query=sum(up) start=B end=T step=15'
    '/api/v1/query_range query={job=~".*",__name__=~".+"} start=B end=T step=15'
    '/api/v1/explain query=sum(rate(requests_total[5m])) time=T'
    '/api/v1/explain query=up{team=~"a|b"} time=T'
    '/api/v1/labels'
    '/api/v1/labels match[]=secret_total'
    '/api/v1/label/team/values'
    '/api/v1/label/secret/values'
    '/api/v1/label/__name__/values limit=1'
    '/api/v1/series match[]=up match[]=secret_total'
    '/api/v1/series match[]={__name__=~".+"} limit=2'
    '/api/v1/query_exemplars query=up start=B end=T'
    '/api/v1/search/metric_names search[]=secret'
    '/api/v1/search/label_names'
    '/api/v1/search/label_values label=team'
    '/api/v1/metadata'
    '/api/v1/rules'
    '/api/v1/alerts'
    '/api/v1/status/tsdb'
    '/api/v1/status/active_queries'
    '/federate match[]={__name__=~".+"}'
)

# ask URL METHOD QUESTION [PARAMETER...]: status and answer
ask() {
    local words arguments=() word
    read -ra words <<<"$3"
    for word in "${words[@]:1}" "${@:4}"; do
        word=${word/%=T/=$((t_ms / 1000 + 1))}
        word=${word/%=B/=$((t_ms / 1000 - 600))}
        arguments+=(--data-urlencode "$word")
    done
    [[ $2 == POST ]] || arguments+=(-G)
    curl -sg --noproxy '*' -w '\n%{http_code}\n' "${arguments[@]}" "$1${words[0]}"
}

same_answer() { # METHOD QUESTION FENCE...
    ask "$url" "$@" >"$work/alone.txt"
    ask "$other_url" "$@" >"$work/both.txt"
    [[ -s $work/alone.txt ]] && ! grep -q 'secret="\|"s"\|trace":"2' "$work/both.txt" &&
        cmp "$work/alone.txt" "$work/both.txt"
}

# DATA PATH [CURL-ARGUMENT...]: the value of the query
gives() {
    local got
    got=$(curl -sg --noproxy '*' "$other_url$2" "${@:3}" | jq -c '.data.result[0].value[1] // .error')
    echo "$got"
    [[ $got == "$1" ]]
}

claim "two servers start" begin || exit 1
make_samples
claim "they take samples" takes_samples || exit 1
for question in "${questions[@]}"; do
    claim "a label: $question" same_answer GET "$question" extra_label=team=a
    claim "filters: $question" same_answer GET "$question" \
        'extra_filters[]={team="a",job="x"}' 'extra_filters[]={team="a",job!="x"}'
done
for question in "${questions[@]:0:8}"; do
    claim "a form: $question" same_answer POST "$question" 'extra_filters={team="a",job="x" or team="a",job!="x"}'
done
claim "without a restriction there is more" gives '"4"' '/api/v1/query?query=count(up)'
claim "a label restricts" gives '"2"' '/api/v1/query?query=count(up)&extra_label=team=a'
claim "alternatives in a filter restrict" gives '"3"' /api/v1/query -d 'query=count(up)' \
    --data-urlencode 'extra_filters[]={team="a" or job="z"}'
claim "a form does not widen the URL" gives '"2"' '/api/v1/query?extra_label=team=a' \
    -d 'query=count(up)' --data-urlencode 'extra_filters[]={team=~".*"}'
claim "a malformed restriction is refused" gives \
    '"invalid parameter \"extra_label\": expected name=value, got \"team\""' \
    '/api/v1/query?query=up&extra_label=team'
claim "SIGTERM ends the first with status 0" stop alone
claim "SIGTERM ends the second with status 0" stop both
done_testing
