#!/bin/bash
# http.sh - every path, answers to invalid requests, and tenants.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
t=1700000000000
write_paths=(/api/v1/write /write /receive /api/v1/receive /api/v1/push /api/v1/prom/write
    /api/v1/prom/remote/write)
read_paths=(/api/v1/read /read /api/v1/prom/read /api/v1/prom/remote/read)
pages=(/ /metrics /-/healthy /-/ready /api/v1/metadata /api/v1/status/buildinfo
    /api/v1/status/runtimeinfo /api/v1/status/flags /api/v1/status/config /api/v1/status/tsdb)
snappy_1=(-H "$protobuf" -H 'Content-Encoding: snappy')

message() { # METRIC VALUE T
    field 1 "$(field 1 "$(field_text 1 __name__)$(field_text 2 "$1")")$(
    )$(field 2 "$(field_double 1 "$2")$(field_int 2 "$3")")"
}

matcher() { # TYPE NAME VALUE
    field 3 "$(field_int 1 "$1")$(field_text 2 "$2")$(field_text 3 "$3")"
}

query() { # MATCHERS
    field 1 "$(field_int 1 0)$(field_int 2 4102444800000)$1"
}

streamed=$(packed 2 1)

read_back() { # HEX [CURL-ARGUMENT...]
    body "$(snappy "$1")"
    shift
    send /api/v1/read "${snappy_1[@]}" "$@"
}

has() { # METRIC VALUE T [RRCOMPARE-ARGUMENT...]: exactly this sample is there
    capture "$(message "$1" "$2" "$3")" "$work/has.rw"
    "$TOOLS/rrcompare" "$url" "$work/has.rw" --start 0 --end 4102444800000 \
        --match "{__name__=\"$1\"}" "${@:4}"
}

# ask METHOD PATH [CURL-ARGUMENT...]: without a body; a page ends up in $work/answer.
ask() {
    local method=$1 path=$2
    shift 2
    ! exchange "$method" '' "$path" "$@" || return 0
    [[ $method != HEAD ]] || set -- -I "$@"
    status=$(curl -s --noproxy '*' --max-time 30 -o "$work/answer" -D "$work/head" \
        -w '%{http_code}' -X "$method" "$@" "$url$path")
}

# --- paths and methods ---

write_path() {
    body "$(snappy "$(message path 1 "$t")")"
    send "$1" "${snappy_1[@]}"
    status_is 204 && [[ ! -s $work/answer ]]
}

read_path() {
    body "$(snappy "$(query "$(matcher 0 __name__ path)")")"
    send "$1" "${snappy_1[@]}"
    status_is 200 && header_is Content-Encoding snappy && header_is Content-Type application/x-protobuf
}

# OPTIONS is answered for the whole API.
allowed() { # PATH METHODS
    [[ $1 == /api/* ]] && echo "$2, OPTIONS" || echo "$2"
}

page() { # PATH
    ask GET "$1"
    status_is 200 && [[ -s $work/answer ]] || return 1
    if [[ $1 == /api/* ]]; then
        header_is Content-Type application/json &&
            [[ $(jq -r .status "$work/answer") == success ]] || return 1
    fi
    ask HEAD "$1"
    status_is 200 || return 1
    ask POST "$1"
    status_is 405 && header_is Allow "$(allowed "$1" 'GET, HEAD')"
}

# An invalid limit gets 400 in Prometheus' envelope, and the server still runs.
bad_limits() {
    local path status
    for path in 'metadata?limit=x' 'metadata?limit=5x' 'status/tsdb?limit=x' 'status/tsdb?limit=0'; do
        status=$(curl -s --noproxy '*' -o "$work/answer" -w '%{http_code}' "$url/api/v1/$path")
        [[ $status == 400 ]] && grep -q '"errorType":"bad_data","error":"limit must be a ' "$work/answer" || {
            echo "$path: $status $(cat "$work/answer")"
            return 1
        }
    done
    curl -fs --noproxy '*' "$url/api/v1/metadata?limit=-1" && curl -fs --noproxy '*' "$url/api/v1/status/tsdb?limit=1"
}

# An alert on a metric that does not exist never fires, and its panel stays empty.
alerts_know_metrics() {
    local name page
    page=$'\n'$(metrics) || return
    for name in $(grep -oh 'firekeep_[a-z_]*' docs/firekeep.rules.yml docs/firekeep.dashboard.json | grep -v firekeep_bucket_ | sort -u); do
        [[ $page == *$'\n'"$name"[{\ ]* ]] || {
            echo "$name"
            return 1
        }
    done
}

unknown_paths() {
    local path
    for path in /api/v1/write/ /api/v1/writes /api/v4/write /Write /favicon.ico /metrics/x; do
        ask POST "$path"
        status_is 404 || return 1
        ask GET "$path"
        status_is 404 || return 1
    done
}

reload_methods() {
    ask GET /-/reload
    status_is 405 && header_is Allow 'POST, PUT' || return 1
    ask POST /-/reload
    status_is 403 web.enable-lifecycle
}

all_paths() {
    local path
    for path in "${write_paths[@]}"; do
        claim "write: POST $path" write_path "$path"
    done
    for path in "${read_paths[@]}"; do
        claim "read: POST $path" read_path "$path"
    done
    for path in "${pages[@]}"; do
        claim "page: $path" page "$path"
    done
    claim "unknown paths get 404" unknown_paths
    claim "limits that are no numbers get 400" bad_limits
    claim "the alerts in docs name metrics that exist" alerts_know_metrics
    claim "reload by request is off by default" reload_methods
}

# --- bodies ---

# hostile HEX: as a body, before compression; nothing of it may remain.
hostile() {
    leaves_no_trace hostile_now "$@"
}

hostile_now() {
    body "$1"
    send /api/v1/write "${snappy_1[@]}"
    status_is "${2:-400}" && [[ -s $work/answer ]] && (($(wc -c <"$work/answer") < 1024))
}

every_cut() {
    local whole size
    whole=$(snappy "$(message cut 1 "$t")")
    for ((size = ${#whole} - 2; size >= 0; size -= 2)); do
        hostile_now "${whole:0:size}" || return 1
    done
}

# Makes one byte and then copies of it: 64 bytes of zeros from 3.
bomb() { # COPIES
    from_hex "$(varint $(($1 * 64 + 1)))0000" >"$work/request"
    head -c $(($1 * 3)) < <(while :; do printf '\xfe\x01\x00\xfe\x01\x00\xfe\x01\x00\xfe\x01\x00'; done) \
        >>"$work/request"
}

bomb_is() { # STATUS COPIES
    bomb "$2"
    send /api/v1/write "${snappy_1[@]}"
    status_is "$1"
}

large_is_413() { # CURL-ARGUMENT...
    head -c 70000 /dev/zero >"$work/request"
    send /api/v1/write "${snappy_1[@]}" "$@"
    status_is 413
}

all_bodies() {
    claim "a body cut anywhere gets 400 and leaves nothing" leaves_no_trace every_cut
    claim "a length prefix of 4 GiB gets 400 and leaves nothing" hostile ffffffff0f00
    claim "a body that unpacks to 1 MiB of nothing gets 400" leaves_no_trace bomb_is 400 16383
    claim "a body that unpacks to more than web.max-decoded-bytes gets 413" leaves_no_trace \
        bomb_is 413 16385
    claim "a body beyond web.max-body-bytes gets 413" large_is_413
    claim "a transfer coding beside a length gets 400" wrong_header 400 'Transfer-Encoding: gzip'
    claim "an unknown expectation gets 417" wrong_header 417 'Expect: miracles'
    claim "headers beyond web.max-header-bytes get 431" wrong_header 431 \
        "X-Long: $(printf 'x%.0s' {1..20000})"
    claim "a URL beyond it gets 414, in the form of the route's other errors" long_url_is_refused
    claim "check and serve agree on the range of web.max-header-bytes" check_and_serve_agree
}

long_url_is_refused() {
    local long
    long=$(printf 'x%.0s' {1..20000})
    ask GET "/api/v1/query?query=$long"
    status_is 414 '"errorType":"bad_data"' && header_is Content-Type application/json || return 1
    ask GET "/metrics?$long"
    status_is 414 'request target too long' && header_is Content-Type 'text/plain; charset=utf-8'
}

# The range of a setting is that of the server: `serve` starts with exactly the values that `check`
# accepts.
check_and_serve_agree() {
    local dir=$work/header_limit error port
    mkdir -p "$dir"
    port=$(free_ports 1)
    printf 'web:\n  max_header_bytes: 1MiB\n' >"$dir/good.yml"
    printf 'web:\n  max_header_bytes: 2MiB\n' >"$dir/bad.yml"
    build/firekeep check "$dir/good.yml" || return 1
    start_firekeep header_limit "$dir/data" "$port" "--config.file=$dir/good.yml" || return 1
    stop header_limit || return 1
    error="$dir/bad.yml:2:21: web.max_header_bytes: must be between 1KiB and 1MiB, got 2MiB"
    build/firekeep check "$dir/bad.yml" 2>&1 | grep -F "$error" || return 1
    build/firekeep serve "--storage.path=$dir/data" "--config.file=$dir/bad.yml" 2>&1 |
        grep -F "$error"
}

wrong_header() { # STATUS HEADER
    body "$(snappy "$(message wrong 1 "$t")")"
    send /api/v1/write "${snappy_1[@]}" -H "$2"
    status_is "$1"
}

# --- reads ---

read_is() { # STATUS PATTERN HEX [CURL-ARGUMENT...]
    local want=$1 pattern=$2
    shift 2
    read_back "$@"
    status_is "$want" "$pattern"
}

all_reads() {
    local good
    good=$(query "$(matcher 0 __name__ path)")
    claim "read: a bad regular expression gets 400 and is named" read_is 400 'regular\|regexp\|parenthes\|missing' \
        "$(query "$(matcher 2 job '(')")"
    claim "read: a query without matchers gets 400" read_is 400 matchers "$(query '')"
    claim "read: a malformed message gets 400" read_is 400 '' 0aff
    body "$(snappy "$good")"
    send /api/v1/read -H "$protobuf" -H 'Content-Encoding: gzip'
    claim "read: another content encoding gets 415" status_is 415 snappy
}

# --- connections and compression ---

same_connection() { # the second of two requests opens none, whatever the first was
    local first opened
    body "$(snappy "$(message alive 1 "$t")")"
    for first in /api/v1/write /nowhere /-/healthy; do
        opened=$(curl -s --noproxy '*' -o "$work/answer" -w '%{num_connects} ' -H Expect: \
            "${snappy_1[@]}" --data-binary "@$work/request" "$url$first" "$url/api/v1/write")
        [[ $opened == '1 0 '* || $opened == '10' ]] || {
            echo "connections opened: $opened (after $first)"
            return 1
        }
    done
}

compressed() {
    ask GET /metrics -H 'Accept-Encoding: gzip'
    header_is Content-Encoding gzip && gunzip <"$work/answer" | grep -q ^firekeep_build_info || return 1
    ask GET /metrics -H 'Accept-Encoding: gzip;q=0, identity'
    header_is Content-Encoding '' && grep -q ^firekeep_build_info "$work/answer" || return 1
    ask GET /metrics
    header_is Content-Encoding '' && [[ $(header Content-Type) == 'text/plain; version=0.0.4'* ]]
}

# Prometheus' own rules for the text: each family once, HELP and TYPE before its samples.
metrics_are_sound() {
    metrics | awk '
        /^# TYPE / { if (seen[$3]++) { print "twice: " $3; bad = 1 } family = $3; next }
        /^#/ || /^$/ { next }
        { name = $1; sub(/\{.*/, "", name); sub(/_(bucket|sum|count)$/, "", name)
          base = family; sub(/_(bucket|sum|count)$/, "", base)
          if (name != base && index($1, family) != 1) { print "outside its family: " $1; bad = 1 }
          if (samples[$0]++) { print "twice: " $0; bad = 1 } }
        END { exit bad }'
}

# --- tenants ---

as() {
    echo "X-Scope-OrgID: $1"
}

tenant_refused() { # STATUS CURL-ARGUMENT...
    local want=$1 path
    shift
    send_2 "$(field_text 4 '')" "$@"
    status_is "$want" && written_is 0 0 0 || return 1
    read_back "$(query "$(matcher 0 __name__ path)")" "$@"
    status_is "$want" || return 1
    for path in /api/v1/metadata /api/v1/status/tsdb; do
        ask GET "$path" "$@"
        status_is "$want" || return 1
    done
}

no_tenant_needed() {
    local path
    for path in /metrics /-/ready /-/healthy /api/v1/status/buildinfo /api/v1/status/flags \
        /api/v1/status/runtimeinfo /api/v1/status/config; do
        ask GET "$path"
        status_is 200 || return 1
    done
}

isolation() {
    local who
    for who in 1 2; do
        send_1 "$(message shared "$who" "$t")$(field 3 \
            "$(field_int 1 1)$(field_text 2 shared)$(field_text 4 "help of $who")")" -H "$(as "team-$who")"
        status_is 204 || return 1
    done
    for who in 1 2; do
        has shared "$who" "$t" --header "$(as "team-$who")" || return 1
        ask GET /api/v1/metadata -H "$(as "team-$who")"
        [[ $(jq -r '.data.shared[0].help' "$work/answer") == "help of $who" ]] || return 1
        ask GET /api/v1/status/tsdb -H "$(as "team-$who")"
        [[ $(jq -c .data.seriesCountByMetricName "$work/answer") == '[{"name":"shared","value":1}]' ]] || {
            cat "$work/answer"
            return 1
        }
    done
    read_back "$(query "$(matcher 0 __name__ shared)")$streamed" -H "$(as team-3)"
    status_is 200 && [[ ! -s $work/answer ]]
}

header_ignored() {
    send_1 "$(message ignored 1 "$t")" -H "$(as somebody)"
    status_is 204 && has ignored 1 "$t" && has ignored 1 "$t" --header "$(as 'not/valid')"
}

with_tenants() {
    claim "tenancy off: the header is ignored" header_ignored
    stop firekeep
    claim "tenancy on: starts" start_firekeep tenants "$work/data" "$port" --tenancy.enabled || return
    claim "tenancy on: 401 without a tenant" tenant_refused 401
    claim "tenancy on: 401 with an empty one" tenant_refused 401 -H 'X-Scope-OrgID;'
    local name
    for name in .. a/b 'a||b'; do
        claim "tenancy on: 400 for ${name:0:10}" tenant_refused 400 -H "$(as "$name")"
    done
    claim "tenancy on: 400 for two" tenant_refused 400 -H "$(as a)" -H "$(as b)"
    claim "tenancy on: what watches the process needs none" no_tenant_needed
    claim "tenancy on: 150 characters of all kinds" has_long_name
    claim "tenancy on: tenants do not see each other" isolation
    claim "tenancy on: what came before belongs to anonymous" has ignored 1 "$t" \
        --header "$(as anonymous)"
    stop tenants
    claim "tenants: verify finds nothing wrong" build/firekeep verify "$work/data"
}

has_long_name() {
    local name
    name="a-Z_9.*'()!$(printf 'x%.0s' {1..139})"
    send_1 "$(message long 1 "$t")" -H "$(as "$name")"
    status_is 204 && has long 1 "$t" --header "$(as "$name")"
}

cat >"$work/firekeep.yml" <<END
destinations:
  - {name: lines, type: file, path: $work/lines}
sources: # asked for a time that no test asks for
  - name: store
    type: remote_read
    url: http://127.0.0.1:1/read
    on_error: warn
    time: {from: 1960-01-01T00:00:00Z, to: 1960-01-02T00:00:00Z}
  - name: archive
    type: archive
    path: $work
    layout: flat
    time: {from: 1960-01-01T00:00:00Z, to: 1960-01-02T00:00:00Z}
    cache: {path: $work/cache}
  - name: table
    type: timestream
    region: eu-west-1
    database: d
    table: t
    query_endpoint: http://127.0.0.1:1
    time: {from: 1960-01-01T00:00:00Z, to: 1960-01-02T00:00:00Z}
END
# The group is never evaluated here: metrics of groups need one.
echo 'groups: [{name: yearly, interval: 1y, rules: [{record: one, expr: vector(1)}]}]' >"$work/rules.yml"
echo "rule_files: ['$work/rules.yml']" >>"$work/firekeep.yml"
# no alert is sent
echo "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:1']}]}]}" >>"$work/firekeep.yml"
claim "starts" start_firekeep firekeep "$work/data" "$port" --web.max-body-bytes=64KiB --web.max-header-bytes=16KiB --backup.to="$work/none" \
    --web.max-decoded-bytes=1MiB --config.file="$work/firekeep.yml" || exit 1
all_paths
all_bodies
all_reads
claim "connections are kept, also after refusals" same_connection
claim "text is sent with gzip to those who take it" compressed
claim "/metrics keeps the rules of its format" metrics_are_sound
with_tenants
done_testing
