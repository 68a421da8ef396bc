#!/bin/bash
# source_clickhouse.sh - samples that a destination of type clickhouse wrote into a real ClickHouse
# are read back through a source of that type, bit for bit, with the answers of a store that has
# them all.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control clickhouse_server clickhouse_tcp clickhouse reader
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all clickhouse "no captures beside the project"
has clickhouse || skip_all clickhouse "no clickhouse-server"

at="type: clickhouse, url: '$(url_of clickhouse_server)'"
claim "ClickHouse starts" start_clickhouse || exit 1
claim "a server with a store starts" writes random "$at, table: random, unrepresentable: drop" || exit 1
claim "a server without a store starts" reads random "$at, table: random" || exit 1
captures_are_the_same captures 600 40 60

# Smaller answers than a block would be: blocks become smaller.
stop reader
claim "limits: a server without a store starts" reads limits \
    "type: clickhouse, url: '$(url_of clickhouse_server)/?max_result_bytes=${RESULT:-500000}&result_overflow_mode=throw', table: random"
claim "limits: everything comes back, bit for bit" same
stop reader
claim "a server without a store starts again" reads random "$at, table: random" || exit 1
hard_series_are_the_same random "${CASES:-50}"

state_of_tables() {
    clickhouse_query "SELECT database, name, engine FROM system.tables WHERE database != 'system' ORDER BY database, name" &&
        clickhouse_query "SELECT count(), sum(cityHash64(metric, labels, time, value, bits, histogram)) FROM random FINAL"
}
before=$(state_of_tables)
claim "seed $seed: hostile texts find what the store finds" hostile_texts_find_the_same
claim "seed $seed: and change nothing" test "$before" == "$(state_of_tables)"
stop reader

# --- tables of other kinds --------------------------------------------------------------------------

tables_are_made() {
    local query shard replaced="SELECT metric, labels, time, value + 1, 0, '', 0 FROM random"
    for shard in one two; do
        clickhouse_query "CREATE DATABASE $shard" && clickhouse_query "CREATE TABLE $shard.part AS random" || return 1
    done
    for query in "CREATE TABLE twice ENGINE = ReplacingMergeTree() ORDER BY (metric, labels, time) AS SELECT * FROM random" \
        "INSERT INTO twice SELECT * FROM random WHERE cityHash64(metric, labels, time) % 3 = 0" \
        "CREATE TABLE plain ENGINE = MergeTree() ORDER BY (time, metric) AS SELECT * FROM random" \
        "INSERT INTO plain SELECT * FROM random WHERE cityHash64(metric, labels, time) % 3 = 0" \
        "CREATE TABLE replaced AS random" "INSERT INTO replaced $replaced" "INSERT INTO replaced SELECT * FROM random" \
        "CREATE TABLE spread AS random ENGINE = Distributed(pair, '', part, sipHash64(metric, labels))" \
        "INSERT INTO one.part SELECT * FROM random WHERE sipHash64(metric, labels) % 2 = 0" \
        "INSERT INTO two.part $replaced WHERE sipHash64(metric, labels) % 2 = 1" \
        "INSERT INTO two.part SELECT * FROM random WHERE sipHash64(metric, labels) % 2 = 1" \
        "CREATE TABLE foreign (name String, \`la\\\`bels\` String, at Int64, metric Float64, labels UInt64, h String) ENGINE = MergeTree() ORDER BY at" \
        "INSERT INTO foreign SELECT metric, labels, time, value, bits, histogram FROM random FINAL" \
        "CREATE TABLE bare (metric String, tags String, at DateTime, value Float32) ENGINE = MergeTree() ORDER BY at" \
        "INSERT INTO bare VALUES ('bare', '{\"b\": 200, \"a\": \"x\"}', toDateTime(1700000099), 0.5)" \
        "CREATE TABLE wrong (metric String, labels String, time Date, value Float64) ENGINE = Memory"; do
        clickhouse_query "$query" || { echo "$query"; return 1; }
    done
}
claim "tables: they are made" tables_are_made
# Rows that are there twice, twice for good, or replaced; on two shards; columns of other names.
foreign="columns: {metric: name, labels: 'la\`bels', time: at, value: metric, bits: labels, histogram: h}"
for table in twice plain replaced spread "foreign, $foreign"; do
    name=${table%%,*}
    claim "$name: a server without a store starts" reads "$name" "$at, table: $table" || continue
    claim "$name: everything comes back, bit for bit" same
    claim "$name: random questions are answered the same" answers_alike 12
    stop reader
done
claim "bare: seconds, and neither bits nor histograms: a server without a store starts" reads bare "$at, table: bare, columns: {labels: tags, time: at}"
claim "bare: the row is read" gives '.data.result == [{"metric": {"__name__": "bare", "a": "x", "b": "200"}, "values": [[1700000099, "0.5"]]}]' \
    'bare{a="x",b=~"2.+"}[10s]'
stop reader

# --- users and failures -----------------------------------------------------------------------------

while IFS='|' read -r name status words keys; do
    claim "test: $name" tested "$status" "$words" "$keys"
done <<END
a user who may but read will do|0|ok      series|$at, table: random, basic_auth: {username: guest, password: hush}
a wrong password is told|1|Wrong password for user guest|$at, table: random, basic_auth: {username: guest, password: x}
a missing table is told|1|table default.nowhere does not exist, or the user may not see it|$at, table: nowhere
a missing database is told|1|table nowhere.random does not exist|$at, table: random, database: nowhere
a column that does not fit is told|1|column time of table default.wrong has type Date, expected Int64 or DateTime|$at, table: wrong
a column that is not there is told|1|has no column lables: name the column with columns.labels|$at, table: random, columns: {labels: lables}
who answers, but is no ClickHouse, is told|1|status 405|type: clickhouse, url: '$url', table: random
END

all='count(last_over_time({__name__=~".+"}[1d]))' many='.data.result[0].value[1] | tonumber > 100'
claim "faults: the proxy is there" start_proxy clickhouse=clickhouse:clickhouse_server
claim "faults: a server without a store starts" reads faults "type: clickhouse, url: '$(url_of clickhouse)', table: random, timeout: 2s"
for kind in error throttle half_closed; do
    fault clickhouse $kind '"times": 1'
    claim "faults: after $kind it is asked again" gives "$many" "$all"
done
while IFS='|' read -r name words kind members; do
    fault clickhouse "$kind" "\"times\": 9$members"
    claim "faults: $name is told" fails_with "$words" "$all"
    mend
done <<'END'
what breaks off|source there: |cut|
an error after the status 200|Code: |late|
a slow answer|no data for 2 s|slow|, "seconds": 4
END
claim "faults: afterwards all is well" gives "$many" "$all"
done_testing
