#!/bin/bash
# tenants.sh - several tenants read as one, by each path that reads, before and after a flush.

. tests/lib.sh
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
firekeep=build/firekeep

# Writes series of the second tenant, one that has the label itself, and one that is the start of
# another.
make_samples() {
    t_ms=$(now_ms)
    "$TOOLS/rwmake" >"$work/a.rw" <<EOF
up{job="x"} 1 $t_ms
requests_total{job="x"} 10 $((t_ms - 60000))
requests_total{job="x"} 70 $t_ms
@exemplar up{job="x"} {trace="1"} 0.25 $t_ms
EOF
    "$TOOLS/rwmake" >"$work/b.rw" <<EOF
up{job="x"} 2 $t_ms
up 3 $t_ms
up{__replica__="r"} 4 $t_ms
up{__tenant_id__="old"} 5 $t_ms
@exemplar up{job="x"} {trace="2"} 0.5 $t_ms
EOF
}

takes_samples() {
    local who
    for who in a b; do
        "$TOOLS/rwreplay" "$work/$who.rw" "$url/api/v1/write" --check --header "X-Scope-OrgID: $who" || return 1
    done
}

get() { # TENANTS PATH [CURL-ARGUMENT...]
    curl -sg --noproxy '*' -H "X-Scope-OrgID: $1" "${@:3}" "$url$2"
}

gives() { # WANTED JQ TENANTS PATH [CURL-ARGUMENT...]
    local got
    got=$(get "${@:3}" | jq -c "$2")
    [[ $got == "$1" ]] || {
        printf 'got    %s\nwanted %s\n' "$got" "$1"
        return 1
    }
}

# In the order of labels.
series_are_marked() {
    gives '[["b",null,null,"r"],["a","x",null,null],["b",null,null,null],["b","x",null,null],["b",null,"old",null]]' \
        '[.data[] | [.__tenant_id__, .job, .original___tenant_id__, .__replica__]]' \
        'b|a' '/api/v1/series?match[]=up'
}

marked='[.data.result[] | [.metric.__tenant_id__, .metric.job, (.value // .values[-1])[1]]]'

queries_work() {
    gives '[["a","x","1"],["b",null,"4"],["b",null,"3"],["b",null,"5"],["b","x","2"]]' \
        "$marked | sort_by([.[0], .[1] // \"\", if .[2] == \"4\" then 0 else 1 end])" 'a|b' /api/v1/query \
        --data-urlencode 'query=up' &&
        gives '[["a",null,"1"],["b",null,"14"]]' "$marked" 'a|b' /api/v1/query \
            --data-urlencode 'query=sum by (__tenant_id__) (up)' &&
        gives '[["b","x","2"]]' "$marked" 'a|b' /api/v1/query --data-urlencode 'query=up{__tenant_id__!="a",job="x"}' &&
        gives '[["b",null,"5"]]' "$marked" 'a|b' /api/v1/query --data-urlencode 'query=up{original___tenant_id__="old"}' &&
        gives '[[null,"x","1"]]' "$marked" 'a|a' /api/v1/query --data-urlencode 'query=up' &&
        gives '[["a","x","60"]]' "$marked" 'a|b' /api/v1/query --data-urlencode \
            'query=sum by (__tenant_id__, job) (max_over_time(requests_total[5m]) - min_over_time(requests_total[5m]))' &&
        gives '[["a",null,"1"],["b",null,"14"]]' "$marked" 'a|b' /api/v1/query_range \
            --data-urlencode 'query=sum by (__tenant_id__) (up)' -d "start=$((t_ms / 1000))&end=$((t_ms / 1000 + 60))&step=15"
}

# The reads of both tenants are reported as those of one.
explained() { # WHICH
    get 'a|b' "/api/v1/explain?query=up$1" | jq -c '.data | [.blocks, .samples, .bytes, .series]'
}

runs_are_explained() {
    local plan run
    plan=$(explained '') && run=$(explained '&analyze=true')
    echo "plan $plan, run $run"
    [[ $run == "$plan" && $run != *null* ]]
}

lookups_work() {
    gives '["__name__","__replica__","__tenant_id__","job","original___tenant_id__"]' .data 'a|b' /api/v1/labels &&
        gives '["__name__","__tenant_id__","job"]' .data 'a|nobody' /api/v1/labels &&
        gives '["a","b"]' .data 'b|a|nobody' /api/v1/label/__tenant_id__/values &&
        gives '["b"]' .data 'a|b' '/api/v1/label/__tenant_id__/values?match[]={__replica__="r"}' &&
        gives '["old"]' .data 'a|b' /api/v1/label/original___tenant_id__/values &&
        gives '["requests_total","up"]' .data 'a|b' '/api/v1/label/__name__/values' &&
        gives '[["a","1"],["b","2"]]' '[.data[] | [.seriesLabels.__tenant_id__, .exemplars[0].labels.trace]]' \
            'a|b' '/api/v1/query_exemplars?query=up' &&
        gives '["__tenant_id__","original___tenant_id__"]' 'select(.results) | [.results[].name]' \
            'a|b' '/api/v1/search/label_names?search[]=__tenant'
}

federates() {
    get 'a|b' '/federate?match[]=up{job="x"}' >"$work/answer"
    grep -q '^up{.*__tenant_id__="a".*} 1 ' "$work/answer" && grep -q '^up{.*__tenant_id__="b".*} 2 ' "$work/answer"
}

# Any order but that of labels would be found.
reads_remotely() {
    "$TOOLS/rrcompare" "$url" "$url" --start $((t_ms - 3600000)) --end $((t_ms + 1000)) \
        --streamed --header 'X-Scope-OrgID: a|b' >"$work/compared" && grep -q '7 samples' "$work/compared"
}

is_refused() { # TENANTS PATH [CURL-ARGUMENT...]
    [[ $(get "$@" -o "$work/answer" -w '%{http_code}') == 400 ]] && grep -q 'invalid X-Scope-OrgID' "$work/answer"
}

writes_are_refused() {
    if "$TOOLS/rwreplay" "$work/a.rw" "$url/api/v1/write" --check --header 'X-Scope-OrgID: a|b' >"$work/refused"; then
        return 1
    fi
    is_refused 'a|b' /api/v1/status/tsdb && is_refused 'a|' /api/v1/labels &&
        is_refused "$(printf 'a|%.0s' {1..256})a" /api/v1/labels
}

command_sums() { # WANTED TENANTS TARGET
    local got
    got=$("$firekeep" query "$3" --tenant="$2" --format=json 'sum by (__tenant_id__) (up)' |
        jq -c '[.result[] | [.metric.__tenant_id__, .value[1]]]')
    [[ $got == "$1" ]] || echo "got $got, wanted $1"
    [[ $got == "$1" ]]
}

commands_work() { # TARGET
    command_sums '[["a","1"],["b","14"]]' 'a|b' "$1" && command_sums '[[null,"9"],["old","5"]]' b "$1" || return 1
    "$firekeep" query "$1" --tenant='a|/' up >"$work/answer" 2>"$work/said"
    [[ $? == 2 ]] && grep -q -e '--tenant' "$work/said"
}

read_all() { # WHEN
    claim "$1: series say whose they are" series_are_marked
    claim "$1: queries" queries_work
    claim "$1: a run tells what it has read of both" runs_are_explained
    claim "$1: names, values, exemplars, searches" lookups_work
    claim "$1: federation" federates
    claim "$1: remote read" reads_remotely
}

flushes() {
    curl -sf --noproxy '*' -X POST "$url/api/v1/admin/tsdb/flush" >"$work/answer"
}

claim "starts with tenancy" start_firekeep firekeep "$work/data" "$port" --tenancy.enabled --web.enable-admin-api
claim "samples are made" make_samples
claim "both tenants' samples are taken" takes_samples
read_all "in memory"
claim "flushes" flushes
read_all "in parts"
claim "several tenants are not written to" writes_are_refused
claim "firekeep query asks a server for several" commands_work "--url=$url"
claim "SIGTERM ends it with status 0" stop firekeep
claim "firekeep query reads several in a directory" commands_work "--storage.path=$work/data"
done_testing
