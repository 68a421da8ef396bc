#!/bin/bash
# lookup.sh - label names, label values and series: the same answers as Prometheus with the same
# samples, from the head and from parts, by GET and as a form.

. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
capture=$SAMPLES/node15s.rw
program=$PEERS/prometheus/usr/bin/prometheus
[[ -x $program ]] || program=$(command -v prometheus)

everything='{__name__=~".+"}'
questions=(
    '/api/v1/labels'
    '/api/v1/label/__name__/values'
    '/api/v1/label/instance/values'
    '/api/v1/label/nothing/values'
    '/api/v1/series match[]=up'
    '/api/v1/series match[]=up match[]=node_load1'
    '/api/v1/series match[]={__name__=~"node_cpu.*|node_l.*",mode!="idle"}'
    '/api/v1/series match[]={job=~"node.*",__name__!~".*_total"}'
    "/api/v1/series match[]=$everything"
    "/api/v1/labels match[]=$everything"
    '/api/v1/labels match[]=up match[]=node_cpu_seconds_total'
    '/api/v1/label/mode/values match[]=node_cpu_seconds_total'
    "/api/v1/label/job/values match[]=$everything"
    '/api/v1/label/__name__/values match[]={instance!=""}'
    '/api/v1/series match[]=up start=5 end=4'
    '/api/v1/labels start=10 end=20'
)

begin() {
    start_firekeep "$1" "$work/data" "$port" --web.enable-admin-api
}

begin_peer() {
    echo 'global: {}' >"$work/prometheus.yml"
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --web.listen-address="127.0.0.1:$peer_port" --web.enable-remote-write-receiver \
        --log.level=warn
    wait_ready peer "$peer_url/-/ready"
}

takes_the_capture() { # URL
    "$TOOLS/rwreplay" "$capture" "$1" --check
}

# ask URL METHOD QUESTION: the answer's data, sorted
ask() {
    local words arguments=() word
    read -ra words <<<"$3"
    for word in "${words[@]:1}"; do
        arguments+=(--data-urlencode "$word")
    done
    [[ $2 == POST ]] || arguments+=(-G)
    curl -s --noproxy '*' "${arguments[@]}" "$1${words[0]}" | jq -cS '.status, (.data | sort)'
}

same_answer() { # METHOD QUESTION
    ask "$url" "$1" "$2" >"$work/ours"
    ask "$peer_url" "$1" "$2" >"$work/theirs"
    jq -s '.[1] | length' "$work/ours"
    [[ -s $work/theirs ]] && cmp "$work/ours" "$work/theirs"
}

same_answers() { # STAGE
    local question
    for question in "${questions[@]}"; do
        claim "$1: $question" same_answer GET "$question"
    done
    claim "$1: series as a form" same_answer POST "/api/v1/series match[]=$everything"
    claim "$1: labels as a form" same_answer POST '/api/v1/labels match[]=up'
}

admin() { # PATH [CURL-ARGUMENT...]
    curl -fsG --noproxy '*' -XPOST -o "$work/answer" "$url/api/v1/admin/tsdb/$1" "${@:2}"
}

# DATA PATH [CURL-ARGUMENT...]: exactly that answer
answers() {
    local got
    got=$(curl -s --noproxy '*' -G "$url$2" "${@:3}" | jq -c .)
    echo "$got"
    [[ $got == "$1" ]]
}

deletes() {
    admin delete_series --data-urlencode 'match[]=up' &&
        grep -q '"samples":[1-9]' "$work/answer"
}

claim "starts" begin lookup || exit 1
claim "no series without a selector" answers \
    '{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}' /api/v1/series
claim "nothing is an empty list" answers '{"status":"success","data":[]}' /api/v1/labels
if [[ -z $SAMPLES || ! -f $capture ]]; then
    skip "the same answers as Prometheus" "no captures beside the project"
elif [[ -z $program ]]; then
    skip "the same answers as Prometheus" "it is not installed"
else
    claim "takes a capture" takes_the_capture "$url"
    claim "Prometheus starts" begin_peer
    claim "and takes it" takes_the_capture "$peer_url"
    same_answers head
    claim "the head becomes a part" admin flush
    same_answers part
    claim "an answer is cut at its limit, and says so" answers \
        '{"status":"success","data":["GOARCH"],"warnings":["results truncated due to limit"]}' \
        /api/v1/labels -d limit=1
    claim "a name may come escaped" answers "$(curl -s --noproxy '*' "$url/api/v1/label/job/values" | jq -c .)" \
        /api/v1/label/U__jo_62_/values
    claim "deletes a metric" deletes
    claim "it is gone from series" answers '{"status":"success","data":[]}' /api/v1/series -d 'match[]=up'
    claim "and from values" answers '{"status":"success","data":[]}' /api/v1/label/__name__/values -d 'match[]=up'
    stop peer
fi
claim "SIGTERM ends it with status 0" stop lookup
done_testing
