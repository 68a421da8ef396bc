#!/bin/bash
# lambda.sh - `firekeep lambda` from its package, as AWS Lambda runs it: a double of the runtime API
# and of the gateways, and one of Timestream. With ARCHITECTURE=arm64 the package is that for
# arm64, which qemu runs: too slowly for what ends in seconds, so those tests are left out.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 2)
lambda_port=${ports[0]} timestream_port=${ports[1]}
lambda=http://127.0.0.1:$lambda_port timestream=http://127.0.0.1:$timestream_port
kinds="http default http1 rest" # and stream, or url
now_s=$(date +%s)

quiet() {
    curl -s --noproxy '*' --max-time 60 "$@"
}

# --- the package -------------------------------------------------------------------------------------

makes_the_package_twice() {
    ARCHIVE=no packaging/make_tree "$work/tree" &&
        TREE=$(echo "$work"/tree/*) packaging/aws/make_zip "$work/one" &&
        TREE=$(echo "$work"/tree/*) packaging/aws/make_zip "$work/two" &&
        cmp "$work"/one/*.zip "$work"/two/*.zip && rm -rf "$work/two" "$work/tree" &&
        (umask 022 && python3 -m zipfile -e "$work"/one/*.zip "$work/task" && chmod 755 "$work/task/bootstrap" "$work/task/lib/ld.so")
}
leaves_no_half_package() {
    mkdir -p "$work/broken/lib"
    ! TREE=$work/broken packaging/aws/make_zip "$work/half" && ! compgen -G "$work/half/*.zip"
}
claim "the package is made, twice the same" makes_the_package_twice || exit 1
claim "a package that cannot be completed has no name" leaves_no_half_package

# --- the function ------------------------------------------------------------------------------------

patience=()
[[ ${ARCHITECTURE-} != arm64 ]] || patience=(--init-timeout 60 --timeout 60)
begin_function() { # FLAG-OF-THE-DOUBLE...
    stop function
    rm -rf "$work/tmp"
    mkdir "$work/tmp"
    start function python3 tests/doubles/lambda_runtime.py --listen "$lambda_port" --environment TMPDIR="$work/tmp" \
        --environment default_database=metrics --environment default_table=samples --environment region=us-east-1 \
        --environment write_base_endpoint="$timestream" --environment query_base_endpoint="$timestream" \
        "${patience[@]}" "$@" -- "$work/task/bootstrap"
    within 20 quiet -f "$lambda/stats" -o "$work/stats"
}

stat_is() { # JQ-EXPRESSION
    quiet "$lambda/stats" | tee "$work/stats"
    jq -e "$1" "$work/stats"
}

fault() { # MEMBERS: of Timestream; none: it is mended
    if (($# > 0)); then quiet "$timestream/fault" -d "{$1}" -o "$work/said"; else quiet -X POST "$timestream/mend" -o "$work/said"; fi
}

sample() { # NAME TEXT: a capture of one, of now
    echo "$2 ${now_s}000" | "$TOOLS/rwmake" >"$work/$1.rw"
}

# One sample of each kind of gateway, at the path of the old connector.
for kind in $kinds stream url; do
    sample "$kind" "by{gateway=\"$kind\"} 1.5"
done

writes() { # KIND PATH [ARGUMENT...]
    "$TOOLS/rwreplay" "$work/$1.rw" "$lambda/$1$2" --check "${@:3}"
}

writes_through_all() { # KIND-OF-FUNCTION-URL
    local kind
    for kind in $kinds $1; do
        writes "$kind" /write || return 1
    done
}

has_gateways() { # COUNT
    quiet "$timestream/dump" >"$work/dump"
    [[ $(grep -c '"gateway"' "$work/dump") == "$1" ]]
}

queries() { # KIND [SUM]
    quiet "$lambda/$1/api/v1/query" -d "time=$now_s" --data-urlencode 'query=count(by{gateway!=""}) + sum(by)' |
        jq -e --arg sum "${2:-12.5}" '.data.result[0].value[1] == $sum'
}

reads_through_all() {
    local kind
    for kind in $kinds stream; do
        queries "$kind" && "$TOOLS/rrcompare" "$lambda/$kind/read" "$lambda/stream/read" --streamed --start "${now_s}000" --end "${now_s}999" --quiet || return 1
    done
}

status_of() { # EXPECTED CURL-ARGUMENT...
    local status
    status=$(quiet -o "$work/body" -w '%{http_code}' "${@:2}")
    echo "$status $(head -c 300 "$work/body" | tr -d '\0')"
    [[ $status == "$1" ]]
}

start timestream python3 tests/doubles/timestream.py --port "$timestream_port" --region us-east-1 --table metrics.samples
claim "a double of Timestream starts" within 20 quiet -f "$timestream/stats" -o "$work/stats" || exit 1
claim "the function starts" begin_function --environment response_stream=true || exit 1
claim "each kind of gateway writes" writes_through_all stream
claim "Timestream has the samples of each answered write" has_gateways 5
claim "each kind of gateway reads, as JSON, protobuf and streams" reads_through_all
claim "a path without a meaning is told by the header" eval 'writes http /prometheus/remote && writes rest /'
claim "a path of reads takes no write" eval '! writes http /read'
claim "gzip passes through base64" eval \
    '[[ $(quiet --compressed "$lambda/http/api/v1/labels" | jq -r .status) == success ]]'
claim "what is not a request gets 400" eval \
    '[[ $(quiet "$lambda/invoke" -d "{}" | jq .statusCode) == 400 && $(quiet "$lambda/invoke" -d "nonsense" | jq .statusCode) == 400 ]]'
claim "other routes than those of writes and reads are closed" eval \
    'status_of 403 -X POST "$lambda/stream/-/reload" && status_of 403 "$lambda/http/api/v1/status/config" && status_of 403 "$lambda/rest/metrics"'

for i in {1..60}; do
    echo "many{i=\"$i\"} $i ${now_s}000"
done | "$TOOLS/rwmake" >"$work/http.rw"
many=(-d query=many -d "start=$now_s" -d "end=$((now_s + 220))" -d step=0.02)
has_many() {
    quiet "$timestream/dump" | grep -c '"many"' | grep -qx 60
}
streams_more_than_6_mb() {
    status_of 200 "$lambda/stream/api/v1/query_range" "${many[@]}" && [[ $(stat -c %s "$work/body") -gt 7000000 ]] &&
        jq -e '.data.result | length == 60' "$work/body"
}
refuses_more_than_6_mb() {
    status_of 422 "$lambda/http/api/v1/query_range" "${many[@]}" && grep -q 'more than 6 MB' "$work/body"
}
claim "60 series arrive" eval 'writes http /write && has_many'
claim "a stream has an answer of more than 6 MB" streams_more_than_6_mb
claim "without a stream it gets 422, with a sentence" refuses_more_than_6_mb
head -c 4800000 /dev/zero >"$work/large"
claim "a body above 6 MB as base64 is refused by Lambda" status_of 413 "$lambda/http/write" -H 'Content-Type: application/x-protobuf' --data-binary "@$work/large"
claim "no invocation has failed" stat_is '.failures == [] and .init_errors == [] and .starts == 1'

if ((${#patience[@]} > 0)); then
    stop function
    done_testing
    exit
fi

# --- time --------------------------------------------------------------------------------------------

is_too_late() {
    status_of 503 "$lambda/http/api/v1/query" -d "time=$((now_s - 100))" -d query=slow && grep -q 'takes too long' "$work/body"
}
claim "a function that has three seconds starts" begin_function --timeout 3
fault '"kind": "slow", "operation": "Query", "seconds": 6, "times": 9'
claim "what takes too long gets 503 before the function's end" is_too_late
claim "Lambda has ended nothing" stat_is '.failures == [] and .starts == 1'
fault

# --- nothing after the answer ------------------------------------------------------------------------

late_write() {
    "$TOOLS/rwreplay" "$work/late.rw" "$lambda/http/write" --check >"$work/replayed" 2>&1 && return 1
    grep 'status 503: 1' "$work/replayed"
}
has_late() {
    quiet "$timestream/dump" | grep -q '"late"'
}
sample late 'late{way="late"} 1'
claim "a function starts whose Timestream does not answer" begin_function --timeout 4
fault '"kind": "error", "operation": "WriteRecords", "times": 1000000'
claim "a write that Timestream does not take gets 503 in time" late_write
fault
claim "no invocation has failed for it" stat_is '.failures == []'
claim "the next write is answered" writes http /write
claim "of the one before nothing has come" eval '! has_late'

# --- frozen, in parallel, and restarted --------------------------------------------------------------

writes_in_parallel() {
    local senders=() sender
    for sender in 1 2 3 4 5 6 7 8; do
        writes url /write >"$work/parallel.$sender" &
        senders+=($!)
    done
    for sender in "${senders[@]}"; do wait "$sender" || return 1; done
}
claim "a function that is frozen between invocations answers" eval 'begin_function --freeze && writes_through_all url && queries url 15'
claim "no invocation of a frozen function has failed" stat_is '.failures == []'
claim "a function with four loops answers eight at a time" eval 'begin_function --concurrency 4 && writes_in_parallel'
claim "killed between invocations, it starts again" eval 'status_of 204 -X POST "$lambda/restart" && writes rest /write && stat_is ".starts == 2 and .failures == []"'

refuses_to_start() { # WORDS VARIABLE=VALUE: an error of the start says so
    begin_function --environment "$2" && within 20 stat_is "any(.init_errors[]; .errorMessage | contains(\"$1\"))"
}

# --- users -------------------------------------------------------------------------------------------

hash=$(printf 'hunter' | "$work/task/lib/ld.so" --library-path "$work/task/lib" "$work/task/lib/firekeep" hash --kind=bcrypt 2>"$work/said")
claim "without IAM a user is required" refuses_to_start "basic_auth_user" enable_sigv4_auth=false
claim "with a user the function starts" begin_function --environment enable_sigv4_auth=false --environment basic_auth_user=prom \
    --environment "basic_auth_password_hash=$hash"
claim "requests without the password get 401" eval 'status_of 401 "$lambda/http/read" -X POST && status_of 401 -u prom:wrong "$lambda/rest/api/v1/labels"'
claim "requests with it are answered" status_of 200 -u prom:hunter "$lambda/rest/api/v1/labels"
claim "the keys of AWS are not the password" status_of 401 -u ASIAEXAMPLE:secret "$lambda/http/api/v1/labels"

# --- three ways from Prometheus through IAM, and its own signature -----------------------------------

peer=$PEERS/prometheus/usr/bin/prometheus
read -r prometheus_port < <(free_ports 1)
writes_itself() { # WAY PATH SIGV4: a Prometheus with that remote write sends its own samples
    stop prometheus
    rm -rf "$work/prometheus"
    cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, external_labels: {way: "$1"}}
scrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:$prometheus_port"]}], metric_relabel_configs: [{source_labels: [__name__], regex: up, action: keep}]}]
remote_write: [{url: "$lambda/$2", $3}]
END
    start prometheus "$peer" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" --web.listen-address="127.0.0.1:$prometheus_port"
    within 30 came "$1"
}
came() { # WAY
    quiet "$timestream/dump" | grep -F '"way"' | grep -qF "\"$1\""
}
keys='region: us-east-1, access_key: AKIACALLER, secret_key: callersecret'

claim "gateways with IAM start" begin_function --iam AKIACALLER:callersecret
claim "they refuse what is not signed" eval 'status_of 403 "$lambda/http/write" -X POST && status_of 403 "$lambda/url/write" -X POST'
if [[ -x $peer ]]; then
    claim "a Prometheus that signs for execute-api writes" writes_itself prometheus http/write "sigv4: {$keys, service_name: execute-api}"
    claim "a Prometheus that signs for lambda writes to a function URL" writes_itself url url/write "sigv4: {$keys, service_name: lambda}"
else
    skip "a Prometheus that signs for execute-api writes" "no Prometheus 3"
fi
relays() {
    sample relayed 'relayed{way="relay"} 1'
    echo "destinations: [{name: gateway, type: remote_write, url: '$lambda/http/write', batch: {max_age: 100ms}, sigv4: {$keys, service_name: execute-api}}]" >"$work/relay.yml"
    start relay build/firekeep serve --storage.mode=none --storage.path="$work/relay" --web.listen-address="127.0.0.1:$prometheus_port" --config.file="$work/relay.yml"
    wait_ready relay "http://127.0.0.1:$prometheus_port/-/ready" || return 1
    "$TOOLS/rwreplay" "$work/relayed.rw" "http://127.0.0.1:$prometheus_port" --check && within 30 came relay
}
stop prometheus
claim "a Firekeep beside Prometheus signs for it" relays
stop relay
stop function

# A user is the caller whom the gateway has verified.
has_user() { # KEYS
    printf '%s\n' "destinations: [{name: timestream, type: timestream, database: metrics, table: samples, region: us-east-1, write_endpoint: '$timestream'}]" \
        "users: [{name: prom, $1}]" >"$work/task/firekeep.yml"
}
has_user "iam_callers: ['arn:aws:iam::123456789012:user/AKIACALL*'], permissions: [read]"
signed() { # CURL-ARGUMENT...
    status_of "$1" --aws-sigv4 aws:amz:us-east-1:execute-api -u AKIACALLER:callersecret "${@:2}"
}
claim "a function with users and IAM starts" begin_function --iam AKIACALLER:callersecret
claim "the caller has the permissions of a user" eval 'signed 200 "$lambda/http/api/v1/format_query?query=up" && signed 200 "$lambda/rest/api/v1/format_query?query=up" &&
    signed 403 "$lambda/http/write" -X POST -d "" && signed 403 "$lambda/http/metrics"'
stop function

# Signatures for aps, which no gateway takes: the function verifies them, with keys of its own.
echo ownsecret0123456789 >"$work/task/own.secret"
has_user "access_keys: [{id: OWNKEY, secret_file: own.secret}], permissions: [write]"
if [[ -x $peer ]]; then
    claim "a function with a configuration of its own starts" begin_function --root url
    claim "it verifies what Prometheus signs for aps" writes_itself aps api/v1/write 'sigv4: {region: us-east-1, access_key: OWNKEY, secret_key: ownsecret0123456789}'
    claim "it refuses other keys" status_of 401 "$lambda/api/v1/write" -X POST -H 'Authorization: AWS4-HMAC-SHA256 x'
    stop prometheus
    stop function
fi
rm "$work/task/firekeep.yml"
claim "a missing variable is reported as an error of the start" refuses_to_start "default_table is missing" default_table=
claim "so is a word that is not understood" refuses_to_start "response_stream must be true or false" response_stream=yes
stop function
ends_with_1() {
    mkdir "$work/alone"
    env AWS_LAMBDA_RUNTIME_API=127.0.0.1:1 TMPDIR="$work/alone" default_database=a default_table=b region=us-east-1 \
        "$work/task/bootstrap" >"$work/said" 2>&1
    (($? == 1)) && grep -q 'the runtime API does not work' "$work/said"
}
claim "without the runtime API it ends with 1" ends_with_1
done_testing
