#!/bin/bash
# source_clickhouse.sh - samples that a destination of type clickhouse wrote into a real ClickHouse
# are read back through a source of that type, bit for bit, with the answers of a store that has
# them all.

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
name_ports firekeep control clickhouse_server clickhouse_tcp clickhouse reader

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all clickhouse "no captures beside the project"
has clickhouse || skip_all clickhouse "no clickhouse-server"

reader=http://127.0.0.1:${port[reader]}
direct=$(url_of clickhouse_server)

# Both have the capture: the writer's own store, and ClickHouse through its destination.
writes() { # TABLE CAPTURE [ARGUMENT...]
    cat >"$work/writer.yml" <<YML
destinations:
  - {name: clickhouse, type: clickhouse, url: '$direct', table: $1, batch: {max_age: 50ms}, unrepresentable: drop}
YML
    start_firekeep writer "$work/writer-$1" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    is_acknowledged "$2" "${@:3}" || return 1
    within 120 all_settled clickhouse || return 1
    [[ $(samples dead_lettered_total clickhouse) == 0 ]]
}

reads() { # TABLE [KEYS]
    cat >"$work/reader.yml" <<YML
storage: {mode: none}
sources:
  - {name: clickhouse, type: clickhouse, url: '$direct', table: $1${2-}}
YML
    start_firekeep reader "$work/reader-$1" "${port[reader]}" --config.file="$work/reader.yml"
}

every_kind | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"

round() { # NAME CAPTURE [ARGUMENT...]
    claim "$1: it is given the capture" writes "$@" || return
    claim "$1: a server without a store starts" reads "$1" || return
    claim "$1: everything comes back, bit for bit" within 30 same
    if [[ $1 != kinds ]]; then
        set_bounds
        claim "$1: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
        claim "$1: PromQL answers the same" results_are_the_same
    fi
    stop reader
    [[ $1 != floats ]] || limits_round
    stop writer
}

# Series that are hard to write, and random questions about them.
seed=${SEED:-$RANDOM}
is_imported() {
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson" &&
        "$firekeep" import --url="$url" "$work/random.ndjson" &&
        within 60 has_delivered clickhouse $(($(wc -l <"$work/random.ndjson") + 15)) # after those of every kind
}

state_of_tables() {
    clickhouse_query "SELECT database, name, engine FROM system.tables WHERE database != 'system' ORDER BY database, name" &&
        clickhouse_query "SELECT count(), sum(cityHash64(metric, labels, time, value, bits, histogram)) FROM random FINAL"
}
injections() {
    local before
    before=$(state_of_tables)
    claim "seed $seed: hostile texts find what the store finds" python3 tests/tools/random_matchers.py hostile "$url" "$reader"
    claim "seed $seed: and change nothing" test "$before" == "$(state_of_tables)"
}

random_round() { # CASES
    claim "seed $seed: it is given what every kind is" writes random "$work/kinds.rw" || return
    claim "seed $seed: and series that are hard to write" is_imported
    claim "seed $seed: a server without a store starts" reads random || return
    claim "seed $seed: everything comes back, bit for bit" same
    claim "seed $seed: $1 random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" "$1" "$url" "$reader"
    injections
    stop reader
    tables_round
    tests_round
    stop writer
}

asks() { # EXPRESSION: of the reader
    quiet_curl -G "$reader/api/v1/query" --data-urlencode "query=$1" -d time=1700000100
}

# --- tables of other kinds --------------------------------------------------------------------------

copies() { # TABLE ENGINE: of the random table, with some rows twice
    clickhouse_query "CREATE TABLE $1 ENGINE = $2 AS SELECT * FROM random" &&
        clickhouse_query "INSERT INTO $1 SELECT * FROM random WHERE cityHash64(metric, labels, time) % 3 = 0"
}
has_bare() {
    asks 'bare{a="x",b=~"2.+"}[10s]' | jq -c '.data.result' | tee "$work/bare.json"
    jq -e '. == [{"metric": {"__name__": "bare", "a": "x", "b": "200"}, "values": [[1700000099, "0.5"]]}]' "$work/bare.json"
}
replaces() { # rows by themselves, after others of the same key
    clickhouse_query "INSERT INTO replaced SELECT metric, labels, time, value + 1, 0, '', 0 FROM random" &&
        clickhouse_query "INSERT INTO replaced SELECT * FROM random"
}
distributes() {
    local shard
    for shard in one two; do
        clickhouse_query "CREATE DATABASE $shard" && clickhouse_query "CREATE TABLE $shard.part AS random" || return 1
    done
    clickhouse_query "CREATE TABLE spread AS random ENGINE = Distributed(pair, '', part, sipHash64(metric, labels))" &&
        clickhouse_query "INSERT INTO one.part SELECT * FROM random WHERE sipHash64(metric, labels) % 2 = 0" &&
        clickhouse_query "INSERT INTO two.part SELECT metric, labels, time, value + 1, 0, '', 0 FROM random WHERE sipHash64(metric, labels) % 2 = 1" &&
        clickhouse_query "INSERT INTO two.part SELECT * FROM random WHERE sipHash64(metric, labels) % 2 = 1"
}
reads_the_same() { # TABLE [KEYS]
    claim "$1: a server without a store starts" reads "$@" || return
    claim "$1: everything comes back, bit for bit" same
    claim "$1: random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" 20 "$url" "$reader"
    stop reader
}

tables_round() {
    claim "tables: rows that are there twice" copies twice "ReplacingMergeTree() ORDER BY (metric, labels, time)"
    claim "tables: rows that are there twice for good" copies plain "MergeTree() ORDER BY (time, metric)"
    claim "tables: rows that were replaced" clickhouse_query "CREATE TABLE replaced AS random"
    claim "tables: and replaced again" replaces
    claim "tables: rows on two shards" distributes
    claim "tables: columns of other names" clickhouse_query "CREATE TABLE foreign (name String, \`la\\\`bels\` String, at Int64, metric Float64, labels UInt64, h String) ENGINE = MergeTree() ORDER BY at"
    claim "tables: with rows" clickhouse_query "INSERT INTO foreign SELECT metric, labels, time, value, bits, histogram FROM random FINAL"
    claim "tables: seconds, and neither bits nor histograms" clickhouse_query "CREATE TABLE bare (metric String, tags String, at DateTime, value Float32) ENGINE = MergeTree() ORDER BY at"
    claim "tables: with a row" clickhouse_query "INSERT INTO bare VALUES ('bare', '{\"b\": 200, \"a\": \"x\"}', toDateTime(1700000099), 0.5)"
    reads_the_same twice
    reads_the_same plain
    reads_the_same replaced
    reads_the_same spread
    reads_the_same foreign ", columns: {metric: name, labels: 'la\`bels', time: at, value: metric, bits: labels, histogram: h}"
    claim "bare: a server without a store starts" reads bare ', columns: {labels: tags, time: at}'
    claim "bare: the row is read" has_bare
    stop reader
}

# --- users and failures -----------------------------------------------------------------------------

tested() { # STATUS WORDS KEYS
    local status
    cat >"$work/tested.yml" <<YML
sources:
  - {name: clickhouse, type: clickhouse, timeout: 3s, $3}
YML
    "$firekeep" sources test clickhouse --config.file="$work/tested.yml" --from 2023-11-01T00:00:00Z | tee "$work/tested.txt"
    status=${PIPESTATUS[0]}
    [[ $status == "$1" ]] && grep -qF "$2" "$work/tested.txt"
}

tests_round() {
    local at="url: '$direct'"
    clickhouse_query "CREATE TABLE wrong (metric String, labels String, time Date, value Float64) ENGINE = Memory"
    claim "test: a user who may but read will do" tested 0 'ok      series' "$at, table: random, basic_auth: {username: guest, password: hush}"
    claim "test: a wrong password is told" tested 1 'Wrong password for user guest' "$at, table: random, basic_auth: {username: guest, password: x}"
    claim "test: a missing table is told" tested 1 'table default.nowhere does not exist, or the user may not see it' "$at, table: nowhere"
    claim "test: a missing database is told" tested 1 'table nowhere.random does not exist' "$at, table: random, database: nowhere"
    claim "test: a column that does not fit is told" tested 1 'column time of table default.wrong has type Date, expected Int64 or DateTime' "$at, table: wrong"
    claim "test: a column that is not there is told" tested 1 'has no column lables: name the column with columns.labels' "$at, table: random, columns: {labels: lables}"
    claim "test: who answers, but is no ClickHouse, is told" tested 1 'status 405' "url: '$url', table: random"
}

fails_with() { # WORDS EXPRESSION
    curl -sG --noproxy '*' "$reader/api/v1/query" --data-urlencode "query=$2" -d time=1700000100 | tee "$work/failed.txt"
    grep -qF "$1" "$work/failed.txt"
}
counts_again() { # EXPRESSION
    asks "$1" | jq -e '.data.result[0].value[1] | tonumber > 100'
}

faults_round() {
    local all='count(last_over_time({__name__=~".+"}[1d]))' kind
    claim "faults: the proxy is there" start_proxy clickhouse=clickhouse:clickhouse_server || return
    direct=$(url_of clickhouse) claim "faults: a server without a store starts" reads random ', timeout: 2s' || return
    claim "faults: at first there are none" counts_again "$all"
    for kind in error throttle half_closed; do
        claim "faults: $kind" fault clickhouse $kind '"times": 1'
        claim "faults: after $kind it is asked again" counts_again "$all"
    done
    claim "faults: cut" fault clickhouse cut '"times": 9'
    claim "faults: what breaks off is told" fails_with 'source clickhouse: ' "$all"
    mend
    claim "faults: late" fault clickhouse late '"times": 9'
    claim "faults: an error after the status 200 is told" fails_with 'Code: ' "$all"
    mend
    claim "faults: slow" fault clickhouse slow '"times": 9, "seconds": 4'
    claim "faults: a slow answer is told" fails_with 'no data for 2 s' "$all"
    mend
    claim "faults: afterwards all is well" counts_again "$all"
    stop reader
    stop proxy
}

# Smaller answers than a block would be: blocks become smaller.
limits_round() {
    claim "limits: a server without a store starts" reads_limited || return
    claim "limits: everything comes back, bit for bit" same
    stop reader
}
reads_limited() {
    direct="$direct/?max_result_bytes=${RESULT:-1000000}\&result_overflow_mode=throw" reads floats
}

claim "ClickHouse starts" start_clickhouse || exit 1
random_round "${CASES:-60}"
faults_round
round kinds "$work/kinds.rw"
round floats "$SAMPLES/node15s.rw" --first 100
round histograms "$SAMPLES/v2hist.rw"
done_testing
