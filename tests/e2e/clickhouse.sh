#!/bin/bash
# clickhouse.sh - samples written to Firekeep arrive in a table of ClickHouse, bit for bit and once,
# with any failure between them and whichever process is killed; tables are made, or reported as
# unfit; and clusters.
#
# ClickHouse is Debian's, 18.16. doubles/fault_proxy.py is between it and Firekeep. Tables are read
# with SQL and decoded by tools/clickhouse_rows.py, which does not use Firekeep's decoder.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=none
name_ports firekeep control clickhouse_server clickhouse_tcp clickhouse
direct=$(url_of clickhouse_server)

if ! has clickhouse; then
    skip_all "clickhouse" "no clickhouse-server"
fi
claim "ClickHouse starts" start_clickhouse || exit 1
claim "the proxy is there" start_proxy clickhouse=clickhouse:clickhouse_server || exit 1

relay() { # NAME: Firekeep, with all destinations open
    start_firekeep "$1" "$work/$1" "${port[firekeep]}" --config.file="$work/firekeep.yml" --web.enable-admin-api --web.enable-lifecycle && within 20 all_open
}
count() { # FROM: rows
    clickhouse_query "SELECT count() FROM $1"
}
counts() { # FROM COUNT
    local rows
    rows=$(count "$1")
    echo "$rows rows, not $2"
    [[ $rows == "$2" ]]
}
direct_entry() { # NAME TABLE [LINE...]: without the proxy
    printf '  - name: %s\n' "$1"
    printf '    %s\n' 'type: clickhouse' "url: $direct" "table: $2" 'batch: {max_age: 100ms}' 'retry: {min_backoff: 20ms, max_backoff: 300ms}' "${@:3}"
}

# --- every kind of value ----------------------------------------------------------------------------

{
    every_kind
    echo 'odd{__A="1",a.b="dots",le="+Inf",quote="\"a\":\"b\"",comma=",\"x\":\"y\"",slash="C:\\",lines="two\nlines"} 1 1700000000000'
    echo 'odd 1 -9000000000000'
    echo '@histogram bounds 1700000000000 kind=int schema=-53 sum=3.5 count=6 bounds=0.5,1,2.5 pos=0:4/1,2,0,3'
    echo '@histogram latency{code="stale"} 1700000000000 kind=float schema=0 sum=0x7ff0000000000002 count=0'
} >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"
{
    echo 'destinations:'
    entry clickhouse bits
} | write_config
claim "bits: a test finds that the table is to be made, and makes nothing" bash -c \
    "build/firekeep destinations test clickhouse --config.file='$work/firekeep.yml' | grep 'ClickHouse 18.16.1; the table does not exist and will be created'"
claim "bits: no table was made" counts "system.tables WHERE database = 'default'" 0
claim "bits: starts" relay bits
claim "bits: the table is made before anything is written" within 10 counts "system.tables WHERE name = 'bits' AND engine = 'ReplacingMergeTree'" 1
claim "bits: every request is acknowledged in full" is_acknowledged "$work/bits.rw"
claim "bits: all samples are confirmed" within 15 has_delivered clickhouse 19
claim "bits: the account is right" balances clickhouse
exemplar_is_letter() {
    build/firekeep dead-letters list --storage.path="$work/bits" | tee "$work/letters.txt"
    grep -q unrepresentable "$work/letters.txt"
}
claim "bits: the exemplar is a dead letter" exemplar_is_letter
claim "bits: what arrived is what was sent" arrived clickhouse bits "$work/bits.rw" 1 --any-order
with_sql() { # WHERE COUNT: the query of a reader
    counts "bits FINAL WHERE $1" "$2"
}
claim "bits: a label is found by its value" with_sql "match(labels, '[{,]\"sign\":\"minus\"[,}]')" 2
claim "bits: what looks like a label in a value is none" with_sql "match(labels, '[{,]\"x\":\"y\"[,}]') OR match(labels, '[{,]\"a\":\"b\"[,}]')" 0
claim "bits: a label is extracted" with_sql "visitParamExtractString(labels, 'lines') = 'two\\nlines'" 1
claim "bits: people leave out what is not a number" with_sql "bits = 0 AND isNaN(value)" 0

# Everything is sent again: the rows are the same, each once.
again() {
    quiet_curl -X POST "$url/api/v1/admin/destinations/clickhouse/replay?from=1600000000"
}
claim "again: all is sent once more" again
claim "again: it arrives" within 20 has_delivered clickhouse 37 # the oldest is older than that
claim "again: ClickHouse has some rows twice" test "$(count bits)" -gt 19
claim "again: FINAL has them once" counts "bits FINAL" 19
claim "again: what is there is what was sent" arrived clickhouse bits "$work/bits.rw" 1 --any-order
claim "again: ClickHouse merges them" clickhouse_query "OPTIMIZE TABLE bits FINAL"
claim "again: now it has them once, too" counts "bits" 19
claim "bits: SIGTERM ends it with status 0" stop bits
claim "bits: a test with a sample is right" build/firekeep destinations test clickhouse --config.file="$work/firekeep.yml" --write

# --- tables and users -------------------------------------------------------------------------------

clickhouse_query "CREATE TABLE wrong (metric String, labels String, time DateTime, value Float64, bits UInt64, histogram String) ENGINE = ReplacingMergeTree() ORDER BY (metric, labels, time)"
clickhouse_query "CREATE TABLE losing (metric String, labels String, time Int64, value Float64, bits UInt64, histogram String) ENGINE = ReplacingMergeTree() ORDER BY (metric, time)"
clickhouse_query "CREATE TABLE short (host String DEFAULT hostName(), metric String, labels String, time Int64, value Float64, bits UInt64, histogram String) ENGINE = MergeTree() PARTITION BY tuple() ORDER BY time"
echo wrong >"$work/password"
grep '^late' "$work/bits.txt" | "$TOOLS/rwmake" --version 2 >"$work/late.rw"
{
    echo 'destinations:'
    direct_entry missing missing 'create: false'
    direct_entry wrong wrong
    direct_entry losing losing
    direct_entry short short 'create: false'
    direct_entry stranger made "basic_auth: {username: firekeep, password_file: $work/password}"
    direct_entry guest short 'basic_auth: {username: guest, password: hush}'
    direct_entry nowhere made 'database: nowhere'
} | write_config
claim "tables: starts" relay tables
claim "tables: writes are acknowledged" is_acknowledged "$work/late.rw"
for name in missing wrong losing stranger guest nowhere; do
    claim "tables: $name is blocked" within 20 is_in_state "$name" blocked
done
claim "tables: what is missing is named" says missing 'table default.missing does not exist, or the user may not see it: create it, or set create: true'
claim "tables: a column that does not fit is named" says wrong 'column time of table default.wrong has type DateTime, expected Int64'
claim "tables: a key that would lose samples is named" says losing 'ORDER BY (metric, time) lacks labels'
claim "tables: a wrong password is told" says stranger 'Wrong password for user firekeep'
claim "tables: a user who may only read is told" says guest 'readonly mode'
claim "tables: a missing database is told" says nowhere "Database nowhere doesn't exist"
claim "tables: a table without start_time, with a column of its own, will do" within 20 has_delivered short 3
claim "tables: it has them" counts "short WHERE metric = 'late' AND host != ''" 3
claim "tables: nothing else was written" counts "system.parts WHERE database = 'default' AND active AND table NOT IN ('bits', 'short')" 0
echo hush >"$work/password"
clickhouse_query "CREATE TABLE missing (metric String, labels String, time Int64, value Float64, bits UInt64, histogram String, start_time Int64) ENGINE = ReplacingMergeTree() ORDER BY (metric, labels, time)"
clickhouse_query "DROP TABLE wrong"
for name in missing stranger wrong; do
    claim "tables: $name goes on once it is mended" within 30 has_delivered "$name" 3
    claim "tables: $name: the account is right" balances "$name"
done
claim "tables: nothing was given up" [ "$(samples dead_lettered_total missing):$(samples dead_lettered_total guest)" == 0:0 ]

# While it runs: a table that is dropped is made again, one that has another column now is looked at again.
clickhouse_query "DROP TABLE wrong"
clickhouse_query "ALTER TABLE missing DROP COLUMN start_time"
sed 's/17000000000/17000000001/; s/16800000000/16800000001/' <(grep '^late' "$work/bits.txt") | "$TOOLS/rwmake" --version 2 >"$work/later.rw"
claim "tables: more is acknowledged" is_acknowledged "$work/later.rw"
claim "tables: a table that was dropped is made again" within 30 has_delivered wrong 6
claim "tables: it has what came since" counts "wrong" 3
claim "tables: a column that was dropped is done without" within 30 has_delivered missing 6
claim "tables: it has all" counts "missing FINAL" 6
clickhouse_query "ALTER TABLE missing DROP COLUMN bits"
sed 's/17000000000/17000000002/; s/16800000000/16800000002/' <(grep '^late' "$work/bits.txt") | "$TOOLS/rwmake" --version 2 >"$work/latest.rw"
claim "tables: still more is acknowledged" is_acknowledged "$work/latest.rw"
claim "tables: a column that cannot be done without is missed" within 20 says missing 'has no column bits: add it with type UInt64'
claim "tables: SIGTERM ends it with status 0" stop tables

# --- shards -----------------------------------------------------------------------------------------

for shard in one two; do
    clickhouse_query "CREATE DATABASE $shard"
    clickhouse_query "CREATE TABLE $shard.spread_local (metric String, labels String, time Int64, value Float64, bits UInt64, histogram String, start_time Int64) ENGINE = ReplacingMergeTree() ORDER BY (metric, labels, time)"
done
clickhouse_query "CREATE TABLE spread AS one.spread_local ENGINE = Distributed(pair, '', spread_local, sipHash64(metric, labels))"
for ((i = 0; i < 200; i++)); do
    echo "work{shop=\"$i\"} $i 1700000000000"
done | "$TOOLS/rwmake" >"$work/work.rw"
{
    echo 'destinations:'
    direct_entry spread spread
} | write_config
claim "shards: starts" relay shards
claim "shards: writes are acknowledged" is_acknowledged "$work/work.rw"
claim "shards: all is confirmed" within 20 has_delivered spread 200
both_have_some() {
    local one two
    one=$(count one.spread_local) two=$(count two.spread_local)
    echo "$one and $two"
    ((one > 50 && two > 50 && one + two == 200))
}
claim "shards: when it is confirmed the shards have it, each its own" both_have_some
claim "shards: SIGTERM ends it with status 0" stop shards

# --- everything goes wrong, everybody is killed -----------------------------------------------------

# Numbers that have no common divisor: faults meet in many orders.
let_all_go_wrong() {
    fault_again clickhouse throttle 11 && fault_again clickhouse error 7 && fault_again clickhouse late 3 &&
        fault_again clickhouse cut 5 && fault_again clickhouse cut_before 6 && fault_again clickhouse slow 13 '"seconds": 0.2'
}
storm() { # CAPTURE: writes while both are killed
    "$TOOLS/rwreplay" "$1" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 &
    local sender=$!
    for _ in 1 2 3; do
        sleep 0.4 # not awaited: any moment is a good one
        crash storm
        crash clickhouse
        start_clickhouse && relay storm || return 1
    done
    wait "$sender" || {
        cat "$work/replay.txt"
        return 1
    }
}
all_went_wrong() { # each fault happened, and calls got through all the same
    told clickhouse '(.faults | keys) as $had | ["throttle", "error", "late", "cut", "cut_before", "slow"] - $had | . == []'
}

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "captures" "no captures beside the project"
else
    for name in node15s v2hist; do
        capture=$SAMPLES/$name.rw
        rm -rf "$work/storm"
        {
            echo 'destinations:'
            entry clickhouse "$name"
        } | sed 's/batch: .*/batch: {max_age: 100ms, max_samples: 2000}/' | write_config
        claim "$name: starts" relay storm
        claim "$name: things are to go wrong" let_all_go_wrong
        claim "$name: everything is acknowledged while both are killed again and again" storm "$capture"
        claim "$name: all kinds of faults happen" within 60 all_went_wrong
        claim "$name: everything arrives while things go wrong" within 120 all_settled clickhouse
        claim "$name: nothing goes wrong any more" mend
        claim "$name: the account is right" balances clickhouse
        sent=$(sent_samples "$capture")
        claim "$name: no sample was given up" [ "$(metric firekeep_destination_samples_dropped_total clickhouse)" == 0 ]
        claim "$name: SIGTERM ends it with status 0" stop storm
        claim "$name: each sample is there once" counts "$name FINAL" "$sent"
        claim "$name: what arrived is what was sent, bit for bit" arrived clickhouse "$name" "$capture" 1000000
        echo "$name: $(count "$name") rows, $(count "$name FINAL") with FINAL; $(clickhouse_query "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = '$name'") bytes"
    done
fi
claim "SIGTERM ends ClickHouse" stop clickhouse
done_testing
