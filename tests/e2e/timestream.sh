#!/bin/bash
# timestream.sh - particular properties of Timestream: its address is discovered and changes, its
# tables drop old records, and stored records are overwritten only with the option for that. aws.sh
# has the rest.
#
# Timestream is doubles/timestream.py, which also plays the proxy before all of AWS.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control cells cells_proxy tables
keys="type: timestream, region: $region, database: metrics, access_key: TSKEY, secret_key: TSSECRET, batch: {max_age: 100ms}, retry: {min_backoff: 20ms, max_backoff: 300ms}"
make_kinds bits

# Its address is discovered through a proxy that plays all of AWS, and discovered again when the
# service says that it has changed. Two series that relabelling makes one have two values for one
# time: one of them is refused, and nothing else.
start_all_of_aws() {
    make_certificate aws aws "DNS:ingest.timestream.$region.amazonaws.com,DNS:cell1.timestream.$region.amazonaws.com" || return 1
    start services python3 tests/doubles/timestream.py --port "${port[cells]}" --proxy-port "${port[cells_proxy]}" --region "$region" \
        --table metrics.prometheus --magnetic-writes --access-key TSKEY --secret-key TSSECRET --session-token TSTOKEN \
        --tls-cert "$work/aws.pem" --tls-key "$work/aws.key" --address "cell1.timestream.$region.amazonaws.com"
    within 20 answers services "$(url_of cells_proxy)/stats"
}
cells() { # PATH [ARGUMENT...]
    quiet_curl "$(url_of cells_proxy)/$1" "${@:2}"
}
claim "cells: the double is there" start_all_of_aws
cells fault -o "$work/answer.txt" -d '{"kind": "endpoint"}'
cells fault -o "$work/answer.txt" -d '{"kind": "throttle", "times": 2}'
cells fault -o "$work/answer.txt" -d '{"kind": "cut"}'
it=cells
configure "{name: cells, $keys, table: prometheus, proxy_url: '$(url_of cells_proxy)', tls_config: {ca_file: $work/aws.pem}, session_token: TSTOKEN, select: [zero, small, '{kind=\"ordinary\"}'], relabel: [{regex: sign, action: labeldrop}]}"
claim "cells: starts" serve
takes bits
claim "cells: the value that came second is a dead letter, the rest is delivered" within 20 shows cells delivered=3 dead_lettered=1 queued=0
address_was_asked_twice() {
    cells stats | tee "$work/stats.json"
    jq -e '.calls.DescribeEndpoints == 2 and .answers.InvalidEndpointException == 1 and .answers.ThrottlingException == 2' "$work/stats.json"
}
claim "cells: the address was asked for, and once more when it had changed" address_was_asked_twice
ends
claim "cells: the dead letter says that it was a conflict" tells conflict 0 build/firekeep dead-letters list --storage.path="$work/cells"

# Tables accept only recent records: samples from the store are sent as far as they are accepted,
# the rest is counted. Two series for each of two tables have a sample for each hour of two days,
# half an hour off, so that none grows too old meanwhile.
young=$(url_of tables)
start_young() {
    start young python3 tests/doubles/timestream.py --port "${port[tables]}" --region "$region" --access-key TSKEY --secret-key TSSECRET \
        --table metrics.keeps_x:2 --table metrics.keeps_y:24 --table metrics.mended
    within 20 answers young "$young/stats"
}
ask_young() { # PATH [ARGUMENT...]
    quiet_curl "$young/$1" "${@:2}"
}
went_wrong() { # FAULT
    ask_young fault -o "$work/answer.txt" -d "$1"
}
young_entry() { # NAME TABLE [KEYS]
    echo "{name: $1, $keys, table: $2, write_endpoint: '$young'${3:+, $3}}"
}
became() { # DESTINATION DELIVERED DEAD DROPPED: dropped as too old, and nothing waits
    shows "$1" delivered="$2" dead_lettered="$3" dropped="$4" queued=0 && { (($4 == 0)) || dropped "$1" outside_table_retention "$4"; }
}
now=$(now_ms)
by_hour() { # HOURS HOURS: of the table x, of the table y
    local site host hour hours=$1
    for site in x y; do
        [[ $site == x ]] || hours=$2
        for host in a b; do
            for ((hour = hours; hour-- > 0;)); do
                echo "up{site=\"$site\",host=\"$host\"} $hour $((now - hour * 3600000 - 1800000))"
            done
        done
    done
}
by_hour 48 48 | "$TOOLS/rwmake" >"$work/two-days.rw"
by_hour 2 24 | "$TOOLS/rwmake" >"$work/taken.rw"
claim "old: the double is there" start_young
it=old
configure
claim "old: starts without destinations" serve
takes two-days
claim "old: what is there goes into parts" admin tsdb/flush
step stop old
went_wrong '{"kind": "throttle", "operation": "DescribeTable"}'
went_wrong '{"kind": "error", "operation": "DescribeTable"}'
went_wrong '{"kind": "slow", "operation": "DescribeTable", "seconds": 0.5}'
configure "$(young_entry old "'keeps_\${site}'" 'start: beginning')"
claim "old: starts with a destination that begins at the beginning" serve
crash old
claim "old: starts again after SIGKILL" serve
claim "old: what the tables take is delivered, the rest counted as too old" within 20 became old 52 0 140
claim "old: it goes on with the log" within 10 is_in_state old running
nothing_was_refused() {
    ask_young stats | tee "$work/stats.json"
    jq -e '.calls.DescribeTable >= 2 and (.answers | has("RejectedRecordsException") | not)' "$work/stats.json"
}
claim "old: nothing was sent that was too old" nothing_was_refused
taken_arrived() {
    ask_young dump | python3 tests/tools/aws_content.py --rows "$work/old-there.rw" && "$TOOLS/rrcompare" "$work/taken.rw" "$work/old-there.rw" "${whole[@]}"
}
claim "old: what arrived is what the tables take" taken_arrived
ends
claim "old: nothing is damaged, and the ledger balances" build/firekeep verify "$work/old"

# Without the permission to describe tables, everything is sent, and too old records are refused.
went_wrong '{"kind": "denied", "operation": "DescribeTable", "times": 1000}'
configure "$(young_entry unasked "'keeps_\${site}'" 'start: beginning')" "$(young_entry plain keeps_x)" \
    "$(young_entry absent "'absent_\${site}'" "select: ['up{site=\"x\"}'], start: beginning")"
: >"$work/old.log"
claim "unasked: starts" serve
claim "unasked: what the tables take is delivered, the rest is dead letters" within 20 became unasked 52 140 0
warned_once() {
    grep 'allow the action timestream:DescribeTable' "$work/old.log" | grep -c destination=unasked | grep -qx 1
}
claim "unasked: a warning says why, once" within 20 warned_once
claim "absent: a table that is missing blocks" within 20 is_in_state absent blocked
claim "absent: and is named" within 20 has_error absent 'table absent_x of database metrics'
claim "absent: nothing is given up" shows absent dead_lettered=0 dropped=0
claim "unasked: a test of the destination tells of the optional permission" tells '^ok .*the optional permission timestream:DescribeTable is missing' 0 \
    build/firekeep destinations test plain --config.file="$work/firekeep.yml"
ends
ask_young clear -o "$work/cleared.txt" -d ''

# An old connector has rounded a range: another value is refused, and overwritten by a replay; the
# next one is accepted, too, and so are later ones from the log.
versions() { # the versions in the table, each once
    ask_young dump | jq -s -c 'map(.version) | unique'
}
for series in a b c; do
    echo "third{of=\"$series\"} 0.333333 $((now - 60000))" >>"$work/rounded.txt"
    echo "third{of=\"$series\"} 0.3333333333333333 $((now - 60000))" >>"$work/exact.txt"
done
"$TOOLS/rwmake" <"$work/rounded.txt" >"$work/rounded.rw"
"$TOOLS/rwmake" <"$work/exact.txt" >"$work/exact.rw"
echo "third{of=\"a\"} 0.6666666666666666 $((now - 30000))" | "$TOOLS/rwmake" >"$work/later.rw"
cat "$work/exact.rw" "$work/later.rw" >"$work/mended.rw"
it=rounded
configure "$(young_entry rounding mended)"
claim "mended: starts as the old connector" serve
takes rounded
claim "mended: rounded values are in the table" within 20 has_delivered rounding 3
ends
claim "mended: without a version" [ "$(versions)" == '[1]' ]
it=exact
configure "$(young_entry plain mended)" "$(young_entry mending mended 'overwrite: true, relabel: [{source_labels: [__name__], regex: never, action: keep}]')"
claim "mended: starts with what is exact" serve
takes exact
claim "mended: each is a dead letter where nothing is overwritten" within 20 became plain 0 3 0
claim "mended: what is there goes into parts" admin tsdb/flush
ends
are_conflicts() {
    build/firekeep dead-letters list --storage.path="$work/exact" --destination plain --format json | tee "$work/letters.txt"
    jq -e '.letters | length == 1 and .[0].reason == "conflict" and .[0].letters == 3' "$work/letters.txt"
}
claim "mended: for a conflict" are_conflicts
sed -i 's/, relabel:.*\]}/}/' "$work/firekeep.yml"
claim "mended: starts again" serve
replay() { # DESTINATION
    admin "destinations/$1/replay?from=0"
}
went_wrong '{"kind": "cut"}'
claim "mended: a replay is begun" within 20 replay mending
claim "mended: all of it is delivered" within 20 has_delivered mending 3
mended_arrived() { # CAPTURE
    ask_young dump | python3 tests/tools/aws_content.py --rows "$work/mended-there.rw" && "$TOOLS/rrcompare" "$1" "$work/mended-there.rw" "${whole[@]}"
}
claim "mended: the table has what is exact" mended_arrived "$work/exact.rw"
first=$(versions | jq '.[]')
claim "mended: under one version" [ "$(versions)" == "[$first]" ]
went_wrong '{"kind": "slow", "seconds": 1}'
claim "mended: a second replay is told to begin" within 20 replay mending
claim "mended: and begins" within 10 is_in_state mending filling
crash exact
went_wrong '{"kind": "cut_before"}'
claim "mended: starts again after SIGKILL" serve
claim "mended: all of it is delivered once more" within 20 became mending 6 0 0
claim "mended: under the next version" [ "$(versions)" == "[$((first + 1))]" ]
takes later
claim "mended: it is delivered" within 20 became mending 7 0 0
claim "mended: the table has it, too" mended_arrived "$work/mended.rw"
claim "mended: under no lower version" [ "$(versions)" == "[$((first + 1))]" ]
ends

# Metrics with names that Timestream keeps to itself have mapped ones, and come back under their own.
for name in time ts_x measure_value measure_values timezone; do
    echo "$name{reserved=\"yes\"} 1 $now"
done | "$TOOLS/rwmake" >"$work/reserved.rw"
it=reserved
configure "$(young_entry reserved keeps_y)"
step serve
takes reserved
claim "reserved: all of them are delivered" within 20 became reserved 5 0 0
reserved_arrived() {
    ask_young dump | grep '"yes"' | python3 tests/tools/aws_content.py --rows "$work/reserved-there.rw" &&
        "$TOOLS/rrcompare" "$work/reserved.rw" "$work/reserved-there.rw" "${whole[@]}"
}
claim "reserved: the table has them, under names that say what they were" reserved_arrived
ends

done_testing
