#!/bin/bash
# http_api.sh - the HTTP API compared with that of a real Prometheus: parameters, their errors,
# access of pages from other origins; and tests that need real sockets: prefixes and encodings.

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

# A stream: more than is sent as one.
takes_many() {
    awk -v now="$(now_ms)" 'BEGIN {
        for (i = 0; i < 3000; i++)
            printf "many{number=\"%d\",text=\"a text that is like those of the others\"} 1 %.0f\n", i, now
    }' | "$TOOLS/rwmake" >"$work/many.rw" && "$TOOLS/rwreplay" "$work/many.rw" "$url/api/v1/write" --check
}

get() { # PATH [CURL-ARGUMENT...]
    curl -s --noproxy '*' -D "$work/header" "${@:2}" "$url$1"
}

header() { # NAME
    sed -n "s/^$1: \(.*\)\r\$/\1/Ip" "$work/header"
}

compressed_stream() {
    get '/api/v1/series?match[]=many' -g >"$work/plain" && [[ -z $(header Content-Encoding) ]] || return 1
    get '/api/v1/series?match[]=many' -g -H 'Accept-Encoding: gzip' >"$work/packed"
    [[ $(header Content-Encoding) == gzip && $(header Transfer-Encoding) == chunked ]] &&
        gunzip <"$work/packed" | cmp - "$work/plain" &&
        (($(stat -c %s "$work/plain") > 10 * $(stat -c %s "$work/packed")))
}

compressed_whole() { # PATH
    get "$1" -g >"$work/plain"
    get "$1" -g -H 'Accept-Encoding: gzip' >"$work/packed"
    [[ $(header Content-Encoding) == gzip && $(header Vary) == *Origin* ]] &&
        gunzip <"$work/packed" | cmp - "$work/plain"
}

searches() {
    local got
    got=$(get '/api/v1/search/label_values?label=number&search[]=299&limit=3&batch_size=2' -g)
    echo "$got"
    [[ $(header Content-Type) == application/x-ndjson* && $got == '{"results":[{"value":"1299"},{"value":"2299"}]}
{"results":[{"value":"299"}]}
{"status":"success","has_more":true}' ]]
}

# An invalid escape removes the argument; invalid URLs get an error in the API's form.
bad_urls() {
    [[ $(get '/api/v1/query?query=%31%ZZ') == *'"errorType":"bad_data"'*'no expression found'* ]] &&
        [[ $(get '/api/v1/query?query=up%00') == '{"status":"error","errorType":"bad_data",'* ]] &&
        [[ $(header Content-Type) == application/json ]]
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

many_arguments_are_taken() {
    local count
    for count in 97 10000; do
        seq -f 'match[]=none_%g' -s '&' "$count" | tr -d '\n' >"$work/form"
        printf '&match[]=up' >>"$work/form"
        [[ $(asked /federate -g --data "@$work/form") == 200 ]] && grep -q '^up{' "$work/answer" || return 1
        [[ $(asked /api/v1/series -g --data "@$work/form") == 200 ]] &&
            [[ $(jq -c '.data | length' "$work/answer") == 2 ]] || return 1
    done
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

# A base URL that ends in a slash loses no samples of a sender that follows redirects.
posts_keep_their_body() {
    local got
    got=$(curl -sL --noproxy '*' --path-as-is -d query=1 "$url//api/v1/query" -w ' %{http_code} %{num_redirects}')
    echo "$got"
    [[ $got == *'"resultType":"scalar"'*' 200 1' ]]
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

wrong_lengths_get_one_answer() {
    local value
    for value in abc -1 +14 99999999999999999999999 0x5; do
        exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
        printf 'POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n' "$value" >&3
        cat <&3 >"$work/answer" # to its end
        exec 3>&-
        [[ $(grep -c '^HTTP/1.1 4' "$work/answer") == 1 && $(grep -c '^HTTP/' "$work/answer") == 1 ]] || return 1
        [[ $(sed '1,/^\r$/d' "$work/answer" | jq -r .status) == error ]] || return 1
    done
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
claim "a streamed answer is compressed for those who take it" compressed_stream
claim "so is one that is sent whole" compressed_whole '/api/v1/series?match[]=many&limit=100'
claim "and a page" compressed_whole /api/v1/features
claim "a search streams the best names first" searches
claim "a URL may have hundreds of kilobytes, as a dashboard with many values makes it" long_urls_are_taken
claim "and ten thousand arguments" many_arguments_are_taken
claim "paths with empty or dot segments are redirected to the clean path" unclean_paths_are_redirected
claim "a POST that is redirected stays a POST" posts_keep_their_body
claim "twenty thousand addresses in a regular expression are looked up" addresses_are_looked_up
claim "a wrong Content-Length gets one answer" wrong_lengths_get_one_answer
claim "URLs that are wrong are told as Prometheus tells them" bad_urls
claim "SIGTERM ends it with status 0" stop firekeep
claim "starts below a prefix" begin_below_prefix
claim "all paths are there, and nowhere else" below_prefix
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
