#!/bin/bash
# source_timestream.sh - samples that a destination of type timestream wrote are read back through a
# source of that type, bit for bit, with the answers of a store that has them all; so are samples of
# the old connector.
#
# Timestream is doubles/timestream.py, which also plays the proxy before all of AWS.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control timestream reader cells cells_proxy

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all timestream "no captures beside the project"

reader=http://127.0.0.1:${port[reader]}
direct=$(url_of timestream)
seed=${SEED:-$RANDOM}
keys="region: $region, access_key: TSKEY, secret_key: TSSECRET"

claim "timestream_sql.py executes what its tests say" python3 tests/doubles/timestream_sql.py --self-test

start_double() { # TABLE [ARGUMENT...]: with that table, and nothing in it
    start timestream python3 tests/doubles/timestream.py --port "${port[timestream]}" --region "$region" --table "metrics.$1" \
        --magnetic-writes --access-key TSKEY --secret-key TSSECRET --seed "$seed" "${@:2}"
    within 20 answers timestream "$direct/stats"
}

ask_double() { # PATH [ARGUMENT...]
    quiet_curl --max-time 60 "$direct/$1" "${@:2}"
}

# Both have the capture: the writer's own store, and Timestream through its destination.
writes() { # TABLE CAPTURE [ARGUMENT...]
    cat >"$work/writer.yml" <<END
destinations:
  - {name: timestream, type: timestream, $keys, write_endpoint: '$direct', database: metrics, table: $1, batch: {max_age: 50ms}, unrepresentable: drop}
END
    start_firekeep writer "$work/writer-$1" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    is_acknowledged "$2" "${@:3}" || return 1
    within 300 all_settled timestream || return 1
    [[ $(samples dead_lettered_total timestream) == 0 ]]
}

reads() { # TABLE [KEYS]
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - {name: timestream, type: timestream, $keys, query_endpoint: '$direct', database: metrics, table: $1${2-}}
END
    start_firekeep reader "$work/reader-$1" "${port[reader]}" --config.file="$work/reader.yml"
}

every_kind | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"

round() { # NAME CAPTURE [ARGUMENT...]
    claim "$1: the double starts" start_double "$1" || return
    claim "$1: it is given the capture" writes "$@" || return
    claim "$1: a server without a store starts" reads "$1" || return
    claim "$1: everything comes back, bit for bit" within 30 same
    if [[ $1 != kinds ]]; then
        set_bounds
        claim "$1: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
        claim "$1: look-ups without bounds answer the same" look_ups_are_the_same
        claim "$1: PromQL answers the same" results_are_the_same
    fi
    stop reader
    [[ $1 != floats ]] || expensive_round
    stop writer
    stop timestream
}

# --- queries that cost too much ---------------------------------------------------------------------

fails_with() { # WORDS EXPRESSION [ARGUMENT...]
    curl -sG --noproxy '*' --max-time 60 "$reader/api/v1/query" --data-urlencode "query=$2" -d "time=${end_s:-1700000100}" "${@:3}" | tee "$work/failed.txt"
    grep -qF -e "$1" "$work/failed.txt"
}
was_cancelled() { # AT LEAST
    ask_double stats | tee "$work/stats.json"
    jq -e ".cancelled >= $1 and .answers.QueryExecutionException == null" "$work/stats.json"
}
lookup_fails_with() { # WORDS SELECTOR
    curl -sG --noproxy '*' --max-time 60 "$reader/api/v1/series" --data-urlencode "match[]=$2" -d "start=$start_s" -d "end=$end_s" | tee "$work/failed.txt"
    grep -qF -e "$1" "$work/failed.txt"
}
expensive_round() {
    local all='{__name__!=""}'
    claim "max_bytes: a server without a store starts" reads floats ', max_bytes: 2MB' || return
    claim "max_bytes: what scans more is told" lookup_fails_with 'Timestream has scanned' "$all"
    claim "max_bytes: and names the key" grep -qF max_bytes "$work/failed.txt"
    claim "max_bytes: the query was cancelled" was_cancelled 1
    claim "max_bytes: what answers more is told" fails_with 'max_bytes' "count(last_over_time(${all}[1d]))"
    claim "max_bytes: and was cancelled, too" was_cancelled 2
    claim "max_bytes: what scans less is answered" asks_one 'count(up)'
    stop reader
}
asks_one() { # EXPRESSION: something
    quiet_curl -G "$reader/api/v1/query" --data-urlencode "query=$1" -d "time=$((end_s - 10))" | tee "$work/asked.txt"
    jq -e '.data.result | length > 0' "$work/asked.txt"
}

# --- series that are hard to write, and random questions --------------------------------------------

is_imported() {
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson" &&
        "$firekeep" import --url="$url" "$work/random.ndjson" && within 60 all_settled timestream &&
        [[ $(samples dead_lettered_total timestream):$(samples dropped_total timestream) == 0:0 ]]
}

state_of_tables() {
    ask_double dump | sha256sum
    ask_double stats | jq -c '.calls | del(.Query)'
}
all_were_understood() {
    ask_double stats | tee "$work/stats.json"
    jq -e '.answers.ValidationException == null' "$work/stats.json"
}
pages_were_empty() {
    ask_double stats | tee "$work/stats.json"
    jq -e '.empty_pages > 20' "$work/stats.json"
}
injections() {
    local before
    before=$(state_of_tables)
    claim "seed $seed: hostile texts find what the store finds" python3 tests/tools/random_matchers.py hostile "$url" "$reader"
    claim "seed $seed: and change nothing" test "$before" == "$(state_of_tables)"
}

random_round() { # CASES
    claim "seed $seed: the double starts" start_double random --query-throttle 5 || return
    claim "seed $seed: it is given what every kind is" writes random "$work/kinds.rw" || return
    claim "seed $seed: and series that are hard to write" is_imported
    claim "seed $seed: a server without a store starts" reads random || return
    claim "seed $seed: everything comes back, bit for bit" same
    claim "seed $seed: $1 random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" "$1" "$url" "$reader"
    injections
    claim "seed $seed: each statement was one of Timestream" all_were_understood
    claim "seed $seed: many pages were empty" pages_were_empty
    claim "seed $seed: and some calls throttled" jq -e '.answers.ThrottlingException > 5' "$work/stats.json"
    stop reader
    stop timestream
    claim "tests: the double starts" start_double random --empty-pages 100 || return
    claim "connector: samples are rounded" rounds
    claim "tests: it has some rows" ask_double 'connector?table=metrics.random' -o "$work/rows.txt" --data-binary @"$work/old.ndjson"
    tests_round
    faults_round
    stop timestream
    connector_round
    stop writer
}

# --- tables of the old connector --------------------------------------------------------------------

# The same samples as it would have stored them: six decimals, finite values, and no label that Timestream reserves.
rounds() {
    jq -c 'select(.value != null and (.labels | has("time") | not))' "$work/random.ndjson" >"$work/old.ndjson" &&
        python3 -c 'import json, sys
for line in sys.stdin:
    sample = json.loads(line)
    print(json.dumps(sample | {"value": float("%.6f" % sample["value"])}))' <"$work/old.ndjson" >"$work/rounded.ndjson"
}
has_old() { # a store with the samples of the connector's table
    start_firekeep writer "$work/writer-old" "${port[firekeep]}" && "$firekeep" import --url="$url" "$work/rounded.ndjson"
}
finds_raw() { # a name that looks like a coded one is read as it is
    quiet_curl -G "$reader/api/v1/query" --data-urlencode 'query={__name__="U__time"}[1h]' -d time=1700000100 | jq -c '.data.result' | tee "$work/raw.json"
    jq -e '. == [{"metric": {"__name__": "U__time", "U__time": "1"}, "values": [[1700000001, "0.333333"]]}]' "$work/raw.json"
}
finds_decoded() {
    quiet_curl -G "$reader/api/v1/query" --data-urlencode 'query={__name__="time"}[1h]' -d time=1700000100 | jq -c '.data.result' | tee "$work/raw.json"
    jq -e '. == [{"metric": {"__name__": "time", "time": "1"}, "values": [[1700000001, "0.333333"]]}]' "$work/raw.json"
}
connector_round() {
    stop writer
    claim "connector: a store has them" has_old
    claim "connector: the double starts with its table" start_double old --load-connector "metrics.old=$work/old.ndjson" || return
    claim "connector: a server without a store starts" reads old ', schema: connector' || return
    claim "connector: everything comes back as it was rounded" same
    claim "connector: random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" 25 "$url" "$reader"
    stop reader
    # A column that is new may be unknown for a minute.
    ask_double 'connector?table=metrics.old' -o "$work/rows.txt" \
        -d '{"time": 1700000001000, "value": 0.3333333333, "labels": {"__name__": "U__time", "U__time": "1"}}'
    claim "connector: a server starts that has not seen the table" reads old ', schema: connector' || return
    claim "connector: names stand for themselves" finds_raw
    stop reader
    claim "connector: a server starts that is not told whose table it is" reads old || return
    claim "connector: it decodes names" finds_decoded
    stop reader
    stop timestream
}

# --- users and failures -----------------------------------------------------------------------------

tested() { # STATUS WORDS KEYS
    local status
    cat >"$work/tested.yml" <<END
sources:
  - {name: timestream, type: timestream, timeout: 3s, region: $region, $3}
END
    "$firekeep" sources test timestream --config.file="$work/tested.yml" --from 2023-11-01T00:00:00Z | tee "$work/tested.txt"
    status=${PIPESTATUS[0]}
    [[ $status == "$1" ]] && grep -qF -e "$2" "$work/tested.txt"
}
goes_wrong() { # KIND [MEMBERS]
    ask_double fault -o "$work/answer.txt" -d "{\"kind\": \"$1\", \"operation\": \"Query\"${2:+, $2}}"
}
tests_round() {
    local at="query_endpoint: '$direct', database: metrics" ours='access_key: TSKEY, secret_key: TSSECRET'
    claim "test: keys that are good will do" tested 0 'ok      series' "$at, table: random, $ours"
    claim "test: a wrong secret is told" tested 1 'The request signature we calculated does not match' "$at, table: random, access_key: TSKEY, secret_key: x"
    claim "test: an unknown key is told" tested 1 'the keys that the service refused' "$at, table: random, access_key: X, secret_key: x"
    claim "test: a missing table is told" tested 1 "Requested table 'nowhere' not found" "$at, table: nowhere, $ours"
    claim "test: a missing database is told" tested 1 "Requested database 'nowhere' not found" "query_endpoint: '$direct', database: nowhere, table: random, $ours"
    goes_wrong denied
    claim "test: a missing permission is told" tested 1 'timestream:Select' "$at, table: random, $ours"
    claim "test: who answers, but is no Timestream, is told" tested 1 'status 40' "query_endpoint: '$url', database: metrics, table: random, $ours"
}

counts_again() { # EXPRESSION
    quiet_curl --max-time 60 -G "$reader/api/v1/query" --data-urlencode "query=$1" -d time=1700000100 | jq -e '.data.result[0].value[1] | tonumber > 50'
}
is_told() { # CLAIM WORDS KIND [MEMBERS]: an error, and afterwards all is well
    claim "faults: $1 comes" goes_wrong "$3" "$4, \"times\": 9"
    claim "faults: $1 is told" fails_with "$2" "$all" "${@:5}"
    ask_double mend -o "$work/answer.txt" -d ''
    claim "faults: after $1 all is well" counts_again "$all"
}
faults_round() {
    local all='count(last_over_time({__name__=~".+"}[1d]))' kind
    claim "faults: a server without a store starts" reads random ', timeout: 2s' || return
    claim "faults: at first there are none" counts_again "$all"
    for kind in throttle error cut cut_before; do
        claim "faults: $kind" goes_wrong $kind '"times": 1'
        claim "faults: after $kind it is asked again" counts_again "$all"
    done
    is_told 'a page of HTML' 'is not a page of rows' garbage '"match": "COUNT"'
    is_told 'a row without values' 'a row has too few values' garbage '"match": "COUNT", "body": "{\"Rows\":[{\"Data\":[]}]}"'
    is_told 'half a page' 'is not a page of rows' truncated '"match": "COUNT"'
    is_told 'a page without an end' 'the response is too large' endless '"match": "COUNT"'
    is_told 'a page that comes in drops' 'timeout' endless '"match": "COUNT", "seconds": 0.1' -d timeout=3s
    is_told 'a page that trickles in' 'bytes in 2 s' endless '"match": "COUNT", "seconds": 0.5'
    is_told 'a slow answer' 'no data for 2 s' slow '"match": "COUNT", "seconds": 4'
    is_told 'a token that has expired' 'Invalid pagination token' validation '"match": "NextToken", "message": "Invalid pagination token."'
    is_told 'a missing permission' 'timestream:Select' denied '"match": "COUNT"'
    stop reader
}

# --- its address ------------------------------------------------------------------------------------

# It is asked of the service, through a proxy that plays all of AWS, and asked again when it has moved.
cells() { # PATH [ARGUMENT...]
    quiet_curl "$(url_of cells_proxy)/$1" "${@:2}"
}
start_all_of_aws() {
    local at=timestream.$region.amazonaws.com
    make_certificate aws aws "DNS:query.$at,DNS:query-cell1.$at,DNS:query-cell2.$at" || return 1
    start services python3 tests/doubles/timestream.py --port "${port[cells]}" --proxy-port "${port[cells_proxy]}" --region "$region" \
        --table metrics.cells --access-key TSKEY --secret-key TSSECRET --session-token TSTOKEN --empty-pages 50 \
        --tls-cert "$work/aws.pem" --tls-key "$work/aws.key" --address "query-cell1.$at" --strict-address
    within 20 answers services "$(url_of cells_proxy)/stats"
}
start_reader_of_cells() {
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - name: timestream
    type: timestream
    region: $region
    database: metrics
    table: cells
    proxy_url: http://127.0.0.1:${port[cells_proxy]}
    tls_config: {ca_file: $work/aws.pem}
END
    start reader env AWS_ACCESS_KEY_ID=TSKEY AWS_SECRET_ACCESS_KEY=TSSECRET AWS_SESSION_TOKEN=TSTOKEN build/firekeep serve \
        "--storage.path=$work/reader-cells" "--web.listen-address=127.0.0.1:${port[reader]}" --config.file="$work/reader.yml"
    wait_ready reader "$reader/-/ready"
}
finds_up() {
    quiet_curl -G "$reader/api/v1/query" --data-urlencode 'query=up' -d time=1700000100 | jq -c '.data.result' | tee "$work/up.json"
    jq -e '. == [{"metric": {"__name__": "up", "job": "x"}, "value": [1700000100, "1"]}]' "$work/up.json"
}
address_was_asked() { # TIMES MISTAKES
    cells stats | tee "$work/stats.json"
    jq -e ".calls.DescribeEndpoints == $1 and (.answers.InvalidEndpointException // 0) == $2" "$work/stats.json"
}
cells_round() {
    claim "cells: the double is there" start_all_of_aws || return
    cells 'connector?table=metrics.cells' -o "$work/rows.txt" -d '{"time": 1700000099000, "value": 1, "labels": {"__name__": "up", "job": "x"}}'
    claim "cells: a server without a store starts, with keys of the environment" start_reader_of_cells || return
    claim "cells: the source is read" finds_up
    claim "cells: the address was asked for once" address_was_asked 1 0
    claim "cells: and read again" finds_up
    claim "cells: no more often" address_was_asked 1 0
    cells move -o "$work/answer.txt" -d "{\"address\": \"query-cell2.timestream.$region.amazonaws.com\"}"
    claim "cells: it is found where it has moved" finds_up
    claim "cells: after one mistake" address_was_asked 2 1
    cells fault -o "$work/answer.txt" -d '{"kind": "error", "operation": "DescribeEndpoints", "times": 1000}'
    cells move -o "$work/answer.txt" -d "{\"address\": \"query-cell1.timestream.$region.amazonaws.com\"}"
    claim "cells: an address that cannot be had is told" fails_with 'source timestream: ' up -d timeout=5s
    cells clear -o "$work/answer.txt" -d ''
    cells 'connector?table=metrics.cells' -o "$work/rows.txt" -d '{"time": 1700000099000, "value": 1, "labels": {"__name__": "up", "job": "x"}}'
    claim "cells: afterwards all is well" finds_up
    stop reader
    stop services
}

random_round "${CASES:-40}"
[[ -n ${ONLY_RANDOM-} ]] || cells_round
[[ -n ${ONLY_RANDOM-} ]] || round kinds "$work/kinds.rw"
[[ -n ${ONLY_RANDOM-} ]] || round floats "$SAMPLES/node15s.rw" --first "${FLOATS:-40}"
[[ -n ${ONLY_RANDOM-} ]] || round histograms "$SAMPLES/v2hist.rw" --first 12
done_testing
