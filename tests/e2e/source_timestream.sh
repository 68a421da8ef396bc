#!/bin/bash
# source_timestream.sh - samples that a destination of type timestream wrote are read back through a
# source of that type, bit for bit, with the answers of a store that has them all; so are samples of
# the old connector.
#
# Timestream is doubles/timestream.py, which also plays the proxy before all of AWS.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control timestream reader cells cells_proxy
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all timestream "no captures beside the project"

direct=$(url_of timestream)
keys="type: timestream, region: $region, database: metrics, access_key: TSKEY, secret_key: TSSECRET"
from="$keys, query_endpoint: '$direct'"

claim "timestream_sql.py executes what its tests say" python3 tests/doubles/timestream_sql.py --self-test

start_double() { # [ARGUMENT...]: with the tables that the samples are in
    start timestream python3 tests/doubles/timestream.py --port "${port[timestream]}" --region "$region" --table metrics.captures \
        --table metrics.random --table metrics.old --magnetic-writes --access-key TSKEY --secret-key TSSECRET --seed "$seed" "$@"
    within 20 answers timestream "$direct/stats"
}

ask_double() { # PATH [ARGUMENT...]
    quiet_curl --max-time 60 "$direct/$1" "${@:2}"
}

begins() { # TABLE: a writer and a reader
    writes "$1" "$keys, write_endpoint: '$direct', table: $1, unrepresentable: drop" && reads "$1" "$from, table: $1"
}

# --- captures, and queries that cost too much -------------------------------------------------------

was_cancelled() { # AT LEAST
    ask_double stats | tee "$work/stats.json"
    jq -e ".cancelled >= $1 and .answers.QueryExecutionException == null" "$work/stats.json"
}
lookup_fails_with() { # WORDS SELECTOR
    curl -sG --noproxy '*' --max-time 60 "$reader/api/v1/series" --data-urlencode "match[]=$2" "${bounds[@]}" | tee "$work/failed.txt"
    grep -qF -e "$1" "$work/failed.txt"
}
claim "captures: the double starts" start_double || exit 1
claim "captures: a server with a store starts, and one without" begins captures || exit 1
captures_are_the_same captures 1500 12 12
claim "captures: look-ups without bounds answer the same" look_ups_are_the_same
stop reader
asked_at=$((end_s - 10))
claim "max_bytes: a server without a store starts" reads limited "$from, table: captures, max_bytes: 2MB"
claim "max_bytes: what scans more is told" lookup_fails_with 'Timestream has scanned' '{__name__!=""}'
claim "max_bytes: and names the key" grep -qF max_bytes "$work/failed.txt"
claim "max_bytes: the query was cancelled" was_cancelled 1
claim "max_bytes: what answers more is told" fails_with 'max_bytes' 'count(last_over_time({__name__!=""}[1d]))'
claim "max_bytes: and was cancelled, too" was_cancelled 2
claim "max_bytes: what scans less is answered" gives '.data.result | length > 0' 'count(up)'
asked_at=
stop reader
stop writer
stop timestream

# --- series that are hard to write, and random questions --------------------------------------------

state_of_tables() {
    ask_double dump | sha256sum
    ask_double stats | jq -c '.calls | del(.Query)'
}
stats_are() { # JQ
    ask_double stats | tee "$work/stats.json"
    jq -e "$1" "$work/stats.json"
}
claim "random: the double starts" start_double --query-throttle 5 || exit 1
claim "random: a server with a store starts, and one without" begins random || exit 1
hard_series_are_the_same random "${CASES:-30}"
before=$(state_of_tables)
claim "seed $seed: hostile texts find what the store finds" hostile_texts_find_the_same
claim "seed $seed: and change nothing" test "$before" == "$(state_of_tables)"
claim "seed $seed: each statement was one of Timestream" stats_are '.answers.ValidationException == null'
claim "seed $seed: many pages were empty" stats_are '.empty_pages > 20'
claim "seed $seed: and some calls throttled" stats_are '.answers.ThrottlingException > 5'
stop reader
stop timestream

# --- users and failures -----------------------------------------------------------------------------

# The same samples as the old connector would have stored them: six decimals, finite values, and no
# label that Timestream reserves.
rounds() {
    jq -c 'select(.value != null and (.labels | has("time") | not))' "$work/random.ndjson" >"$work/old.ndjson" &&
        python3 -c 'import json, sys
for line in sys.stdin:
    sample = json.loads(line)
    print(json.dumps(sample | {"value": float("%.6f" % sample["value"])}))' <"$work/old.ndjson" >"$work/rounded.ndjson"
}
goes_wrong() { # KIND [MEMBERS]
    ask_double fault -o "$work/answer.txt" -d "{\"kind\": \"$1\", \"operation\": \"Query\"${2:+, $2}}"
}
claim "connector: samples are rounded" rounds
claim "tests: the double starts" start_double --empty-pages 100 --load-connector "metrics.old=$work/old.ndjson" || exit 1
claim "tests: it has some rows" ask_double 'connector?table=metrics.random' -o "$work/rows.txt" --data-binary @"$work/old.ndjson"
at="type: timestream, region: $region, query_endpoint: '$direct'" ours="access_key: TSKEY, secret_key: TSSECRET"
while IFS='|' read -r name status words keys_of; do
    [[ $words != timestream:Select ]] || goes_wrong denied
    claim "test: $name" tested "$status" "$words" "$keys_of"
done <<END
keys that are good will do|0|ok      series|$from, table: random
a wrong secret is told|1|The request signature we calculated does not match|$at, database: metrics, table: random, access_key: TSKEY, secret_key: x
an unknown key is told|1|the keys that the service refused|$at, database: metrics, table: random, access_key: X, secret_key: x
a missing table is told|1|Requested table 'nowhere' not found|$from, table: nowhere
a missing database is told|1|Requested database 'nowhere' not found|$at, database: nowhere, table: random, $ours
a missing permission is told|1|timestream:Select|$from, table: random
who answers, but is no Timestream, is told|1|status 40|$keys, query_endpoint: '$url', table: random
END

all='count(last_over_time({__name__=~".+"}[1d]))' many='.data.result[0].value[1] | tonumber > 50'
claim "faults: a server without a store starts" reads faults "$from, table: random, timeout: 2s"
for kind in throttle error cut cut_before; do
    goes_wrong $kind '"times": 1'
    claim "faults: after $kind it is asked again" gives "$many" "$all"
done
# A match of COUNT: rows of samples only.
while IFS='|' read -r name words kind members timeout; do
    goes_wrong "$kind" "${members:-"\"match\": \"COUNT\""}, \"times\": 9"
    # shellcheck disable=SC2086 # words
    claim "faults: $name is told" fails_with "$words" "$all" $timeout
    ask_double mend -o "$work/answer.txt" -d ''
done <<'END'
a page of HTML|is not a page of rows|garbage
a row without values|a row has too few values|garbage|"match": "COUNT", "body": "{\"Rows\":[{\"Data\":[]}]}"
half a page|is not a page of rows|truncated
a page without an end|the response is too large|endless
a page that comes in drops|timeout|endless|"match": "COUNT", "seconds": 0.1|-d timeout=3s
a page that trickles in|bytes in 2 s|endless|"match": "COUNT", "seconds": 0.5
a slow answer|no data for 2 s|slow|"match": "COUNT", "seconds": 4
a token that has expired|Invalid pagination token|validation|"match": "NextToken", "message": "Invalid pagination token."
a missing permission|timestream:Select|denied
END
claim "faults: afterwards all is well" gives "$many" "$all"
stop reader
stop writer

# --- tables of the old connector --------------------------------------------------------------------

has_old() { # a store with the samples of the connector's table
    start_firekeep writer "$work/writer-old" "${port[firekeep]}" && build/firekeep import --url="$url" "$work/rounded.ndjson"
}
finds() { # NAME LABEL
    gives ".data.result == [{\"metric\": {\"__name__\": \"$1\", \"$2\": \"1\"}, \"values\": [[1700000001, \"0.333333\"]]}]" "{__name__=\"$1\"}[1h]"
}
claim "connector: a store has them" has_old
claim "connector: a server without a store starts" reads old "$from, table: old, schema: connector"
claim "connector: everything comes back as it was rounded" same
claim "connector: random questions are answered the same" answers_alike 20
stop reader
# A column that is new may be unknown for a minute.
ask_double 'connector?table=metrics.old' -o "$work/rows.txt" \
    -d '{"time": 1700000001000, "value": 0.3333333333, "labels": {"__name__": "U__time", "U__time": "1"}}'
claim "connector: a server starts that has not seen the table" reads unseen "$from, table: old, schema: connector"
claim "connector: names stand for themselves" finds U__time U__time
stop reader
claim "connector: a server starts that is not told whose table it is" reads untold "$from, table: old"
claim "connector: it decodes names" finds time time
stop reader
stop writer
stop timestream

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
has_row() {
    cells 'connector?table=metrics.cells' -o "$work/rows.txt" -d '{"time": 1700000099000, "value": 1, "labels": {"__name__": "up", "job": "x"}}'
}
finds_up() {
    gives '.data.result == [{"metric": {"__name__": "up", "job": "x"}, "value": [1700000100, "1"]}]' up
}
moves() { # NUMBER of its cell
    cells move -o "$work/answer.txt" -d "{\"address\": \"query-cell$1.timestream.$region.amazonaws.com\"}"
}
address_was_asked() { # TIMES MISTAKES
    cells stats | tee "$work/stats.json"
    jq -e ".calls.DescribeEndpoints == $1 and (.answers.InvalidEndpointException // 0) == $2" "$work/stats.json"
}
claim "cells: the double is there" start_all_of_aws || exit 1
has_row
export AWS_ACCESS_KEY_ID=TSKEY AWS_SECRET_ACCESS_KEY=TSSECRET AWS_SESSION_TOKEN=TSTOKEN
claim "cells: a server without a store starts, with keys of the environment" reads cells \
    "type: timestream, region: $region, database: metrics, table: cells, proxy_url: 'http://127.0.0.1:${port[cells_proxy]}', tls_config: {ca_file: $work/aws.pem}"
claim "cells: the source is read" finds_up
claim "cells: the address was asked for once" address_was_asked 1 0
claim "cells: and read again" finds_up
claim "cells: no more often" address_was_asked 1 0
moves 2
claim "cells: it is found where it has moved" finds_up
claim "cells: after one mistake" address_was_asked 2 1
cells fault -o "$work/answer.txt" -d '{"kind": "error", "operation": "DescribeEndpoints", "times": 1000}'
moves 1
claim "cells: an address that cannot be had is told" fails_with 'source there: ' up -d timeout=5s
cells clear -o "$work/answer.txt" -d ''
has_row
claim "cells: afterwards all is well" finds_up
stop reader
stop services
done_testing
