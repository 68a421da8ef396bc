#!/bin/bash
# http_api.sh - the HTTP API compared with that of a real Prometheus: parameters, their errors,
# access of pages from other origins; prefixes, and URLs of any length.

. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus

begin_peer() {
    echo 'global: {}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --web.listen-address="127.0.0.1:$peer_port" --log.level=warn --web.enable-remote-write-receiver \
        --enable-feature=exemplar-storage,promql-experimental-functions,promql-duration-expr
    wait_ready peer "$peer_url/-/ready"
}

# Makes current samples, which a Prometheus accepts in any order.
make_samples() {
    local t_ms
    t_ms=$(now_ms)
    "$TOOLS/rwmake" >"$work/samples.rw" <<EOF
up{job="a",instance="x"} 1 $t_ms
up{job="b",a.b="c"} 1 $t_ms
other{odd-name="1",a_b="2"} 1 $t_ms
@exemplar up{job="a",instance="x"} {trace="1"} 0.25 $t_ms
EOF
}

takes_samples() { # URL
    "$TOOLS/rwreplay" "$work/samples.rw" "$1/api/v1/write" --check
}

# More names than a batch of a search has.
takes_many() {
    awk -v now="$(now_ms)" 'BEGIN { for (i = 0; i < 3000; i++) printf "many{number=\"%d\"} 1 %.0f\n", i, now }' |
        "$TOOLS/rwmake" >"$work/many.rw" && "$TOOLS/rwreplay" "$work/many.rw" "$url/api/v1/write" --check
}

get() { # PATH [CURL-ARGUMENT...]
    curl -s --noproxy '*' -D "$work/header" "${@:2}" "$url$1"
}

header() { # NAME
    sed -n "s/^$1: \(.*\)\r\$/\1/Ip" "$work/header"
}

searches() {
    local got
    got=$(get '/api/v1/search/label_values?label=number&search[]=299&limit=3&batch_size=2' -g)
    echo "$got"
    [[ $(header Content-Type) == application/x-ndjson* && $got == '{"results":[{"value":"1299"},{"value":"2299"}]}
{"results":[{"value":"299"}]}
{"status":"success","has_more":true}' ]]
}

# asked PATH [CURL-ARGUMENT...]: the status; the parameters of a GET come from files, as no command
# line is as long.
asked() {
    get "$1" -G -o "$work/answer" -w '%{http_code}' "${@:2}"
}

# A dashboard variable with many selected values: names of hosts, their dots escaped.
selected() { # COUNT
    printf 'up{instance=~"x'
    seq -f '|host-%05g\\.example:9100' -s '' 1 "$1"
    printf '"}'
}

long_urls_are_taken() {
    local count
    for count in 200 1000 4000 8000; do
        selected "$count" | tr -d '\n' >"$work/match"
        [[ $(asked /api/v1/label/job/values --data-urlencode "match[]@$work/match") == 200 ]] &&
            [[ $(jq -c .data "$work/answer") == '["a"]' ]] || return 1
        [[ $(asked /api/v1/query --data-urlencode "query@$work/match") == 200 ]] || return 1
    done
    (($(stat -c %s "$work/match") > 200 * 1024))
}

unclean=('//api/v1/query?query=1' '/api/v1//query?query=1&x=//' '//-/ready' '//metrics' '/api/./v1/query?query=1' '/../metrics'
    '/api/x/../v1/query?query=1' '/%2e%2e/metrics' '/..' '//evil.example/..' '/.//evil.example' '/x//y/' '//')

# Prints the final answer to a client that follows, and the first location.
unclean_paths_are_redirected() { # [PEER-URL]
    local path got
    for path in "${unclean[@]}"; do
        got=$(curl -s -g --noproxy '*' --path-as-is -o /dev/null -w '%{http_code} %{redirect_url}' "$url$path")
        echo "$path: $got"
        [[ $got == "301 $url/"[!/]* || $got == "301 $url/" ]] || return 1
        [[ -z ${1-} ]] || [[ ${got/$url/} == "$(curl -s -g --noproxy '*' --path-as-is -o /dev/null \
            -w '%{http_code} %{redirect_url}' "$1$path" | sed "s|$1||")" ]] || return 1
    done
    for path in "${unclean[@]:0:6}"; do
        [[ $(curl -sL -g --noproxy '*' --path-as-is -o /dev/null -w '%{http_code}' "$url$path") == 200 ]] || return 1
    done
}

# Their dots are not escaped, as people write them: each matches any character.
addresses_are_looked_up() {
    local text
    text=$(seq -f '10.0.%g.1:9100|' -s '' 1 20000)
    for text in "up{instance=~\"${text}x\"}" "up{instance=~\"(?i)(${text}X)\"}" "up{instance!~\"${text}y\"}" \
        "label_replace(up,\"a\",\"\$1\",\"instance\",\"(${text}x)\")"; do
        curl -s --noproxy '*' --data-urlencode query@- "$url/api/v1/query" <<<"$text" >"$work/answer"
        [[ $(jq -c '[.status, (.data.result | length)]' "$work/answer") == '["success",'[12]']' ]] || return 1
    done
    jq -c '.data.result[].metric' "$work/answer" | grep -q '"a":"x"'
}

status_of() { # PATH
    get "$1" -o /dev/null -w '%{http_code}'
}

below_prefix() {
    [[ $(status_of /keep/api/v1/labels) == 200 && $(status_of /keep/prometheus/api/v1/labels) == 200 ]] &&
        [[ $(status_of /keep/-/ready) == 200 && $(status_of /keep/metrics) == 200 ]] &&
        [[ $(status_of /api/v1/labels) == 404 && $(status_of /-/ready) == 404 ]] &&
        [[ $(status_of /) == 302 && $(header Location) == /keep/ && $(status_of /keep/) == 200 ]]
}

begin_below_prefix() {
    start firekeep build/firekeep serve --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" \
        --web.external-url=https://example.com/keep/
    wait_ready firekeep "$url/keep/-/ready"
}

claim "starts" start_firekeep firekeep "$work/data" "$port"
claim "samples are made" make_samples
claim "it takes them" takes_samples "$url"
if [[ ! -x $program ]]; then
    skip "requests are answered as Prometheus 3 answers them" "tests/peers/fetch gets it"
else
    claim "a Prometheus 3 starts" begin_peer
    claim "and takes them" takes_samples "$peer_url"
    claim "requests are answered as Prometheus 3 answers them" tests/api/compare_requests.py "$url" "$peer_url"
    claim "paths with empty or dot segments are redirected as Prometheus 3 does it" unclean_paths_are_redirected "$peer_url"
fi
claim "it takes many series" takes_many
claim "a search streams the best names first" searches
claim "a URL may have hundreds of kilobytes, as a dashboard with many values makes it" long_urls_are_taken
claim "twenty thousand addresses in a regular expression are looked up" addresses_are_looked_up
claim "SIGTERM ends it with status 0" stop firekeep
claim "starts below a prefix" begin_below_prefix
claim "all paths are there, and nowhere else" below_prefix
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
