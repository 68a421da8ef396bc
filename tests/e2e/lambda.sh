#!/bin/bash
# lambda.sh - `firekeep lambda` from its package, as AWS Lambda runs it: a double of the runtime API
# and of the gateways, and one of Timestream.

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
claim "the package is made, twice the same" makes_the_package_twice || exit 1

# --- the function ------------------------------------------------------------------------------------

begin_function() { # FLAG-OF-THE-DOUBLE...
    stop function
    rm -rf "$work/tmp"
    mkdir "$work/tmp"
    start function python3 tests/doubles/lambda_runtime.py --listen "$lambda_port" --environment TMPDIR="$work/tmp" \
        --environment default_database=metrics --environment default_table=samples --environment region=us-east-1 \
        --environment write_base_endpoint="$timestream" --environment query_base_endpoint="$timestream" \
        "$@" -- "$work/task/bootstrap"
    within 20 quiet -f "$lambda/stats" -o "$work/stats"
}

stat_is() { # JQ-EXPRESSION
    quiet "$lambda/stats" >"$work/stats"
    jq -e "$1" "$work/stats" >"$work/said" || {
        cat "$work/stats"
        return 1
    }
}

# One sample of each kind of gateway, at the path of the old connector.
for kind in $kinds stream url; do
    echo "by{gateway=\"$kind\"} 1.5 ${now_s}000" | "$TOOLS/rwmake" >"$work/$kind.rw"
done

writes() { # KIND PATH [ARGUMENT...]
    "$TOOLS/rwreplay" "$work/$1.rw" "$lambda/$1$2" --check "${@:3}"
}

writes_through_all() { # KIND-OF-FUNCTION-URL
    local kind
    for kind in $kinds $1; do
        writes "$kind" /write || {
            echo "$kind"
            return 1
        }
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
        queries "$kind" && "$TOOLS/rrcompare" "$lambda/$kind/read" "$lambda/stream/read" --streamed --start "${now_s}000" --end "${now_s}999" --quiet ||
            {
                echo "$kind"
                return 1
            }
    done
}

status_of() { # EXPECTED CURL-ARGUMENT...
    local status
    status=$(quiet -o "$work/body" -w '%{http_code}' "${@:2}")
    [[ $status == "$1" ]] || {
        echo "$status" "$(head -c 300 "$work/body")"
        return 1
    }
}

start timestream python3 tests/doubles/timestream.py --port "$timestream_port" --region us-east-1 --table metrics.samples
claim "a double of Timestream starts" within 20 quiet -f "$timestream/stats" -o "$work/stats" || exit 1
claim "the function starts" begin_function --environment response_stream=true || exit 1
claim "each kind of gateway writes" writes_through_all stream
claim "Timestream has the samples, signed with the role's keys" within 30 has_gateways 5
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
claim "60 series arrive" eval 'writes http /write && within 30 has_many'
claim "a stream has an answer of more than 6 MB" streams_more_than_6_mb
claim "without a stream it gets 422, with a sentence" refuses_more_than_6_mb
head -c 4800000 /dev/zero >"$work/large"
claim "a body above 6 MB as base64 is refused by Lambda" status_of 413 "$lambda/http/write" -H 'Content-Type: application/x-protobuf' --data-binary "@$work/large"
claim "no invocation has failed" stat_is '.failures == [] and .init_errors == [] and .starts == 1'

# --- time --------------------------------------------------------------------------------------------

is_too_late() {
    status_of 503 "$lambda/http/api/v1/query" -d "time=$((now_s - 100))" -d query=slow && grep -q 'takes too long' "$work/body"
}
claim "a function that has three seconds starts" begin_function --timeout 3
quiet "$timestream/fault" -d '{"kind": "slow", "operation": "Query", "seconds": 6, "times": 9}' -o "$work/said"
claim "what takes too long gets 503 before the function's end" is_too_late
claim "Lambda has ended nothing" stat_is '.failures == [] and .starts == 1'
quiet -X POST "$timestream/mend" -o "$work/said"

# --- frozen, in parallel, and restarted --------------------------------------------------------------

writes_in_parallel() {
    local pids=() pid
    for pid in 1 2 3 4 5 6 7 8; do
        writes url /write >"$work/parallel.$pid" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || return 1
    done
}
claim "a function that is frozen between invocations answers" eval 'begin_function --freeze && writes_through_all url && within 20 queries url 15'
claim "no invocation of a frozen function has failed" stat_is '.failures == []'
claim "a function with four loops answers eight at a time" eval 'begin_function --concurrency 4 && writes_in_parallel'
claim "killed between invocations, it starts again" eval 'status_of 204 -X POST "$lambda/restart" && writes rest /write && stat_is ".starts == 2 and .failures == []"'

# --- users -------------------------------------------------------------------------------------------

hash=$(printf 'hunter' | "$work/task/lib/ld.so" --library-path "$work/task/lib" "$work/task/lib/firekeep" hash --kind=bcrypt 2>"$work/said")
claim "without IAM a user is required" eval 'begin_function --environment enable_sigv4_auth=false
    within 20 stat_is "any(.init_errors[]; .errorMessage | contains(\"basic_auth_user\"))"'
claim "with a user the function starts" begin_function --environment enable_sigv4_auth=false --environment basic_auth_user=prom \
    --environment "basic_auth_password_hash=$hash"
claim "requests without the password get 401" eval 'status_of 401 "$lambda/http/read" -X POST && status_of 401 -u prom:wrong "$lambda/rest/api/v1/labels"'
claim "requests with it are answered" status_of 200 -u prom:hunter "$lambda/rest/api/v1/labels"
claim "the keys of AWS are not the password" status_of 401 -u ASIAEXAMPLE:secret "$lambda/http/api/v1/labels"
stop function
claim "a missing variable is reported as an error of the start" eval 'begin_function --environment default_table=
    within 20 stat_is "any(.init_errors[]; .errorMessage | contains(\"default_table is missing\"))"'
stop function
done_testing
