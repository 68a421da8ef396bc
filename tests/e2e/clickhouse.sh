#!/bin/bash
# clickhouse.sh - samples written to Firekeep arrive in a table of ClickHouse, bit for bit and once,
# with any failure between them and whichever process is killed; tables are made, or reported as
# unfit; and clusters.
#
# ClickHouse is Debian's, 18.16. doubles/fault_proxy.py is between it and Firekeep. Tables are read
# with SQL and decoded by tools/clickhouse_rows.py, which does not use Firekeep's decoder.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control clickhouse_server clickhouse_tcp clickhouse
firekeep=build/firekeep

if ! has clickhouse; then
    skip_all "clickhouse" "no clickhouse-server"
fi
claim "ClickHouse starts" start_clickhouse || exit 1
claim "the proxy is there" start_proxy clickhouse=clickhouse:clickhouse_server || exit 1

counts() { # FROM COUNT: rows
    local rows
    rows=$(clickhouse_query "SELECT count() FROM $1")
    echo "$rows rows, not $2"
    [[ $rows == "$2" ]]
}
entry_of() { # NAME TABLE [KEYS]: without the proxy
    echo "{name: $1, type: clickhouse, url: '$(url_of clickhouse_server)', table: $2, batch: {max_age: 100ms}, retry: {min_backoff: 20ms, max_backoff: 300ms}${3:+, $3}}"
}
proxied() { # TABLE
    { echo 'destinations:' && entry clickhouse "$1"; } | sed 's/max_age: 100ms/&, max_samples: 2000/' | write_config
}
columns='metric String, labels String, time Int64, value Float64, bits UInt64, histogram String'
key='ORDER BY (metric, labels, time)'

# --- every kind of value ----------------------------------------------------------------------------

{
    every_kind
    echo 'odd{__A="1",a.b="dots",le="+Inf",quote="\"a\":\"b\"",comma=",\"x\":\"y\"",slash="C:\\",lines="two\nlines"} 1 1700000000000'
    echo 'odd 1 -9000000000000'
    echo '@histogram bounds 1700000000000 kind=int schema=-53 sum=3.5 count=6 bounds=0.5,1,2.5 pos=0:4/1,2,0,3'
    echo '@histogram latency{code="stale"} 1700000000000 kind=float schema=0 sum=0x7ff0000000000002 count=0'
} >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"
it=bits
proxied bits
claim "bits: a test finds that the table is to be made, and makes nothing" tells 'ClickHouse 18.16.1; the table does not exist and will be created' 0 \
    "$firekeep" destinations test clickhouse --config.file="$work/firekeep.yml"
claim "bits: no table was made" counts "system.tables WHERE database = 'default'" 0
step serve
claim "bits: the table is made before anything is written" within 10 counts "system.tables WHERE name = 'bits' AND engine = 'ReplacingMergeTree'" 1
takes bits
claim "bits: all samples are confirmed, and the account is right" within 15 shows clickhouse delivered=19 queued=0
claim "bits: the exemplar is a dead letter" tells unrepresentable 0 "$firekeep" dead-letters list --storage.path="$work/bits"
claim "bits: what arrived is what was sent" arrived clickhouse bits "$work/bits.rw" 1 --any-order
# The query of a reader.
while IFS='#' read -r name where count; do
    claim "bits: $name" counts "bits FINAL WHERE $where" "$count"
done <<'END'
a label is found by its value#match(labels, '[{,]"sign":"minus"[,}]')#2
what looks like a label in a value is none#match(labels, '[{,]"x":"y"[,}]') OR match(labels, '[{,]"a":"b"[,}]')#0
a label is extracted#visitParamExtractString(labels, 'lines') = 'two\nlines'#1
people leave out what is not a number#bits = 0 AND isNaN(value)#0
END

# Everything is sent again: the rows are the same, each once.
claim "again: all is sent once more" admin "destinations/clickhouse/replay?from=1600000000"
claim "again: it arrives" within 20 has_delivered clickhouse 37 # the oldest is older than that
claim "again: ClickHouse has some rows twice" test "$(clickhouse_query 'SELECT count() FROM bits')" -gt 19
claim "again: FINAL has them once" counts "bits FINAL" 19
claim "again: what is there is what was sent" arrived clickhouse bits "$work/bits.rw" 1 --any-order
claim "again: ClickHouse merges them" clickhouse_query "OPTIMIZE TABLE bits FINAL"
claim "again: now it has them once, too" counts "bits" 19
ends
claim "bits: a test with a sample is right" "$firekeep" destinations test clickhouse --config.file="$work/firekeep.yml" --write

# --- tables and users -------------------------------------------------------------------------------

late() { # NAME: three samples, later ones each time
    grep '^late' "$work/bits.txt" | sed "s/17000000000/1700000000$1/; s/16800000000/1680000000$1/" | "$TOOLS/rwmake" --version 2 >"$work/late$1.rw"
    takes "late$1"
}
clickhouse_query "CREATE TABLE wrong (${columns/Int64/DateTime}) ENGINE = ReplacingMergeTree() $key"
clickhouse_query "CREATE TABLE losing ($columns) ENGINE = ReplacingMergeTree() ${key/labels, /}"
clickhouse_query "CREATE TABLE short (host String DEFAULT hostName(), $columns) ENGINE = MergeTree() PARTITION BY tuple() ORDER BY time"
echo wrong >"$work/password"
it=tables
configure "$(entry_of missing missing 'create: false')" "$(entry_of wrong wrong)" "$(entry_of losing losing)" "$(entry_of short short 'create: false')" \
    "$(entry_of stranger made "basic_auth: {username: firekeep, password_file: $work/password}")" \
    "$(entry_of guest short 'basic_auth: {username: guest, password: hush}')" "$(entry_of nowhere made 'database: nowhere')"
step serve
late 0
while IFS='|' read -r name what words; do
    claim "tables: $name is blocked" within 20 is_in_state "$name" blocked
    claim "tables: $what" has_error "$name" "$words"
done <<'END'
missing|what is missing is named|table default.missing does not exist, or the user may not see it: create it, or set create: true
wrong|a column that does not fit is named|column time of table default.wrong has type DateTime, expected Int64
losing|a key that would lose samples is named|ORDER BY (metric, time) lacks labels
stranger|a wrong password is told|Wrong password for user firekeep
guest|a user who may only read is told|readonly mode
nowhere|a missing database is told|Database nowhere doesn't exist
END
claim "tables: a table without start_time, with a column of its own, will do" within 20 has_delivered short 3
claim "tables: it has them" counts "short WHERE metric = 'late' AND host != ''" 3
claim "tables: nothing else was written" counts "system.parts WHERE database = 'default' AND active AND table NOT IN ('bits', 'short')" 0
echo hush >"$work/password"
clickhouse_query "CREATE TABLE missing ($columns, start_time Int64) ENGINE = ReplacingMergeTree() $key"
clickhouse_query "DROP TABLE wrong"
for name in missing stranger wrong; do
    claim "tables: $name goes on once it is mended, and its account is right" within 30 shows "$name" delivered=3 dead_lettered=0 queued=0
done
# While it runs: a table that is dropped is made again, one that has another column now is looked at again.
clickhouse_query "DROP TABLE wrong"
clickhouse_query "ALTER TABLE missing DROP COLUMN start_time"
late 1
claim "tables: a table that was dropped is made again" within 30 has_delivered wrong 6
claim "tables: it has what came since" counts "wrong" 3
claim "tables: a column that was dropped is done without" within 30 has_delivered missing 6
claim "tables: it has all" counts "missing FINAL" 6
clickhouse_query "ALTER TABLE missing DROP COLUMN bits"
late 2
claim "tables: a column that cannot be done without is missed" within 20 has_error missing 'has no column bits: add it with type UInt64'
ends

# --- shards -----------------------------------------------------------------------------------------

for shard in one two; do
    clickhouse_query "CREATE DATABASE $shard"
    clickhouse_query "CREATE TABLE $shard.spread_local ($columns, start_time Int64) ENGINE = ReplacingMergeTree() $key"
done
clickhouse_query "CREATE TABLE spread AS one.spread_local ENGINE = Distributed(pair, '', spread_local, sipHash64(metric, labels))"
for ((i = 0; i < 200; i++)); do
    echo "work{shop=\"$i\"} $i 1700000000000"
done | "$TOOLS/rwmake" >"$work/work.rw"
it=shards
configure "$(entry_of spread spread)"
step serve
takes work
claim "shards: all is confirmed" within 20 shows spread delivered=200 queued=0
both_have_some() {
    local one two
    one=$(clickhouse_query "SELECT count() FROM one.spread_local") two=$(clickhouse_query "SELECT count() FROM two.spread_local")
    echo "$one and $two"
    ((one > 50 && two > 50 && one + two == 200))
}
claim "shards: when it is confirmed the shards have it, each its own" both_have_some
ends

# --- everything goes wrong, everybody is killed -----------------------------------------------------

# Numbers that have no common divisor: faults meet in many orders.
let_all_go_wrong() {
    fault_again clickhouse throttle 11 && fault_again clickhouse error 7 && fault_again clickhouse late 3 &&
        fault_again clickhouse cut 5 && fault_again clickhouse cut_before 6 && fault_again clickhouse slow 13 '"seconds": 0.2'
}
storm() { # CAPTURE: writes while both are killed
    "$TOOLS/rwreplay" "$1" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 &
    local sender=$!
    for _ in 1 2; do
        sleep 0.4 # not awaited: any moment is a good one
        crash storm
        crash clickhouse
        start_clickhouse && serve || return 1
    done
    wait "$sender" || {
        cat "$work/replay.txt"
        return 1
    }
}
all_went_wrong() { # each fault happened, and calls got through all the same
    told clickhouse '(.faults | keys) as $had | ["throttle", "error", "late", "cut", "cut_before", "slow"] - $had | . == []'
}

if [[ -z $SAMPLES || ! -f $SAMPLES/v2hist.rw ]]; then
    skip "captures" "no captures beside the project"
    done_testing
    exit
fi
it=storm
head_of "$SAMPLES/v2hist.rw" 400 >"$work/storm.rw"
"$TOOLS/rwspan" "$SAMPLES/node15s.rw" --version 2 --series 500 --scrapes 20 >>"$work/storm.rw"
proxied storm
claim "storm: starts" serve
claim "storm: things are to go wrong" let_all_go_wrong
claim "storm: everything is acknowledged while both are killed again and again" storm "$work/storm.rw"
claim "storm: all kinds of faults happen" within 60 all_went_wrong
claim "storm: everything arrives while things go wrong" within 120 all_settled clickhouse
claim "storm: nothing goes wrong any more" mend
claim "storm: the account is right, and no sample was given up" shows clickhouse dropped=0 queued=0
ends
claim "storm: each sample is there once" counts "storm FINAL" "$(sent_samples "$work/storm.rw")"
claim "storm: what arrived is what was sent, bit for bit" arrived clickhouse storm "$work/storm.rw" 1000000
claim "SIGTERM ends ClickHouse" stop clickhouse
done_testing
