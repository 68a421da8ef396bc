#!/bin/bash
# destinations_plan.sh - `firekeep destinations test` reports what fails and stores nothing;
# `firekeep destinations plan` predicts samples and costs, and changes nothing.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 5)
url=http://127.0.0.1:${ports[0]}
influx=http://127.0.0.1:${ports[1]}
timestream=http://127.0.0.1:${ports[2]}
firekeep=build/firekeep
config=$work/firekeep.yml
# The environment of the machine must not provide credentials.
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none
mkdir -p "$work/tmp"
export TMPDIR=$work/tmp

quiet_curl() {
    curl -fsg --noproxy '*' --max-time 10 "$@"
}

# Says whether a test ends with this status and output.
tried() { # STATUS PATTERN NAME FLAG...
    local status=$1 pattern=$2
    shift 2
    "$firekeep" destinations test --config.file="$config" "$@" >"$work/said" 2>&1
    local got=$?
    cat "$work/said"
    [[ $got == "$status" ]] && grep -q -e "$pattern" "$work/said"
}

plan() { # NAME DIR FLAG...
    "$firekeep" destinations plan "$1" --config.file="$config" --storage.path="$2" --format=json "${@:3}"
}

# Says whether a plan matches a filter of jq.
planned() { # FILTER NAME DIR FLAG...
    plan "${@:2}" | tee "$work/plan.json"
    jq -e "$1" "$work/plan.json"
}

cat >"$config" <<END
destinations:
  - {name: lines, type: file, path: $work/out/lines}
  - {name: packed, type: file, path: $work/out/packed, compression: zstd}
  - {name: csv, type: file, path: $work/out/csv, format: csv, unrepresentable: drop}
  - {name: influx, type: influxdb, version: 1, url: "$influx", database: metrics, basic_auth: {username: keeper, password: right}}
  - {name: stranger, type: influxdb, version: 1, url: "$influx", database: metrics, basic_auth: {username: keeper, password: wrong}}
  - {name: nowhere, type: influxdb, version: 1, url: "$influx", database: nothere, basic_auth: {username: keeper, password: right}}
  - {name: closed, type: influxdb, version: 1, url: "http://127.0.0.1:${ports[3]}", database: metrics}
  - {name: unknown, type: influxdb, version: 1, url: "http://no-such-host.invalid:8086", database: metrics}
  - {name: stream, type: kinesis, stream: s, region: eu-west-1, access_key: A, secret_key: b, endpoint: "http://127.0.0.1:${ports[3]}"}
  - {name: aggregated, type: kinesis, format: kpl, stream: s, region: eu-west-1, access_key: A, secret_key: b, endpoint: "http://127.0.0.1:${ports[3]}"}
  - {name: table, type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: A, secret_key: b, write_endpoint: "$timestream"}
  - {name: opentsdb, type: opentsdb, url: "http://127.0.0.1:${ports[3]}"}
  - {name: bucket, type: s3, bucket: metrics, region: eu-west-1, access_key: A, secret_key: b, endpoint: "http://127.0.0.1:${ports[3]}"}
  - {name: one, type: file, path: $work/out/one, select: ['late']}
  - {name: twin, type: remote_write, url: "$url/api/v1/write"}
  - {name: path, type: remote_write, url: "$url/api/v1/nothing"}
END

# --- test -----------------------------------------------------------------------------------------

leaves_nothing() { # DIR...
    ls -A "$@" 2>/dev/null
    [[ -z $(ls -A "$@" 2>/dev/null) ]]
}

one_marked_line() {
    cat "$work"/out/lines/*
    [[ $(cat "$work"/out/lines/*.ndjson | jq -c '[.name, .value, .labels.destination]') == '["firekeep_destination_test",1,"lines"]' ]]
}

claim "test: a directory that can be made is fine" tried 0 'will be created' lines
claim "test: and is not made" bash -c "! [[ -e '$work/out' ]]"
claim "test: with --write a sample is confirmed" tried 0 'ok .*firekeep_destination_test{destination="lines"} 1' lines --write
claim "test: and stands in a file, marked" one_marked_line
claim "test: as JSON" bash -c "'$firekeep' destinations test lines --config.file='$config' --format=json | jq -es '.[0] | .ok and .name == \"lines\" and (.findings | length) == 1 and .findings[0].ok'"
claim "test: a closed port is a connection that failed" tried 1 'FAILED .*connection: connect' closed
claim "test: a host that nobody knows is told so" tried 1 'FAILED .*name resolution: resolve' unknown
claim "test: and nothing after it is tried" bash -c "! grep -q 'a write, of nothing' '$work/said'"
claim "test: a name that no destination has is told so, with the nearest" tried 1 "destination 'line' not found; did you mean 'lines'" line
claim "test: a wrong use is status 2" bash -c "'$firekeep' destinations test lines 2>'$work/said'; [[ \$? == 2 ]] && grep -q 'config.file is required' '$work/said'"

influx_rows() { # QUERY
    quiet_curl -G "$influx/query" -u keeper:right -H 'Accept: application/csv' --data-urlencode db=metrics --data-urlencode "q=$1"
}

start_influxdb() {
    mkdir -p "$work/influxdb"
    cat >"$work/influxdb.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:${ports[4]}"
[meta]
  dir = "$work/influxdb/meta"
[data]
  dir = "$work/influxdb/data"
  wal-dir = "$work/influxdb/wal"
[http]
  bind-address = "127.0.0.1:${ports[1]}"
  auth-enabled = true
[monitor]
  store-enabled = false
END
    start influxdb influxd -config "$work/influxdb.conf"
    wait_ready influxdb "$influx/ping" &&
        quiet_curl -X POST "$influx/query" --data-urlencode "q=CREATE USER keeper WITH PASSWORD 'right' WITH ALL PRIVILEGES" &&
        quiet_curl -X POST "$influx/query" -u keeper:right --data-urlencode 'q=CREATE DATABASE metrics'
}

has_row() { # QUERY PATTERN
    influx_rows "$1" | tee "$work/rows"
    grep -q -e "$2" "$work/rows"
}

if ! command -v influxd >/dev/null; then
    skip "influxdb" "not there"
elif claim "influxdb: it starts" start_influxdb; then
    claim "influxdb: all is well" tried 0 'influx: ok; nothing was written' influx
    claim "influxdb: and nothing was stored" bash -c "! curl -fsg --noproxy '*' -G '$influx/query' -u keeper:right --data-urlencode db=metrics --data-urlencode 'q=SHOW SERIES' | grep firekeep"
    claim "influxdb: a wrong password is told, and what to do" tried 1 'http_401' stranger
    claim "influxdb: and that is a password to be checked" grep -q 'check user, password or token' "$work/said"
    claim "influxdb: --write sends nothing after a failure" bash -c "'$firekeep' destinations test stranger --config.file='$config' --write | grep -c firekeep_destination_test | grep -qx 0"
    claim "influxdb: a database that is not there is told" tried 1 'database not found' nowhere
    claim "influxdb: with --write a sample is confirmed" tried 0 'ok .*firekeep_destination_test' influx --write
    claim "influxdb: and is there" has_row "SELECT value FROM firekeep_destination_test WHERE destination='influx'" ',1$'
    stop influxdb
fi

if start timestream python3 tests/doubles/timestream.py --port "${ports[2]}" --region eu-west-1 --table metrics.prometheus &&
    claim "timestream: its double answers" wait_ready timestream "$timestream/stats"; then
    claim "timestream: all is well" tried 0 'timestream:WriteRecords' table
    claim "timestream: and nothing was stored" bash -c "[[ -z \$(curl -fsg --noproxy '*' '$timestream/dump') ]]"
    quiet_curl -X POST "$timestream/fault" -d '{"kind": "denied", "operation": "WriteRecords", "times": 1}' >/dev/null
    claim "timestream: an action that is not allowed is named" tried 1 'allow the action timestream:WriteRecords' table
    claim "timestream: with --write a sample is confirmed" tried 0 'ok .*firekeep_destination_test' table --write
    claim "timestream: and is there" bash -c "curl -fsg --noproxy '*' '$timestream/dump' | grep -q firekeep_destination_test"
    stop timestream
fi

if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
    cat >"$work/tls.yml" <<END
destinations:
  - {name: strange, type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: A, secret_key: b, write_endpoint: "https://127.0.0.1:${ports[2]}"}
  - {name: trusted, type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: A, secret_key: b, write_endpoint: "https://127.0.0.1:${ports[2]}", tls_config: {ca_file: $work/cert.pem}}
END
    start tls python3 tests/doubles/timestream.py --port "${ports[2]}" --region eu-west-1 --table metrics.prometheus --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
    claim "tls: the double answers" within 20 curl -fsk --noproxy '*' -o "$work/stats" "https://127.0.0.1:${ports[2]}/stats"
    config=$work/tls.yml claim "tls: a certificate that is not trusted is told" tried 1 'FAILED .*TLS certificate: tls' strange
    config=$work/tls.yml claim "tls: one that is trusted is fine" tried 0 'ok .*TLS certificate' trusted
    stop tls
else
    skip "tls" "no openssl"
fi

# --- plan -----------------------------------------------------------------------------------------

cat >"$work/bits.txt" <<'END'
zero{sign="plus"} 0 1700000000000
zero{sign="minus"} -0 1700000000000
inf{sign="plus"} inf 1700000000000
inf{sign="minus"} -inf 1700000000000
nan{kind="ordinary"} 0x7ff8000000000001 1700000000000
nan{kind="stale"} 0x7ff0000000000002 1700000000000
job:sum{time="x"} 1 1700000000000
late 1 1680000000001
late 2 1680000000000
late 3 1700000000000
@histogram latency{code="200"} 1700000000000 kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=9 pos=-2:2,3:1/2,3,2
@exemplar late {trace_id="abc"} 3 1700000000000
END
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"

claim "plan: the server starts" start_firekeep server "$work/store" "${ports[0]}" --web.enable-admin-api
claim "plan: writes are acknowledged" "$TOOLS/rwreplay" "$work/bits.rw" "$url" --check
claim "test: a store like this one takes writes" tried 0 'twin: ok' twin
claim "test: with --write it has the sample" tried 0 'ok .*firekeep_destination_test' twin --write
claim "test: and gives it back" bash -c "'$firekeep' query --url='$url' 'firekeep_destination_test' | grep -q twin"
claim "test: a path that is wrong is told" tried 1 'http_404' path
says_snapshot() {
    ! "$firekeep" destinations plan lines --config.file="$config" --storage.path="$work/store" 2>"$work/said" &&
        cat "$work/said" && grep -q 'a running server uses .*snapshot' "$work/said"
}
claim "plan: beside a server it says that a snapshot is wanted" says_snapshot
snapshot_is_planned() {
    quiet_curl -X POST "$url/api/v1/admin/tsdb/snapshot" >"$work/snapshot.json" || return 1
    planned '.given.floats == 11 and .given.histograms == 1' lines "$work/store/snapshots/$(jq -r .data.name "$work/snapshot.json")" --from=beginning
}
claim "plan: of a snapshot it knows all" snapshot_is_planned
claim "plan: the server stops" stop server
sum() { # DIR
    (cd "$1" && find . -type f -exec sha256sum {} + | sort && find . | sort)
}
rm -rf "$work/store"
claim "plan: a store is made of the samples" "$firekeep" import --storage.path="$work/store" "$work/bits.rw"
sum "$work/store" >"$work/before"
claim "plan: from the beginning, all kinds are counted" planned '.given.floats == 10 and .given.histograms == 1 and .given.exemplars == 1 and .deadLetters == 0' lines "$work/store" --from=beginning
claim "plan: the last day is what is meant if nobody says" planned '.given.samples == 9 and .given.stored == 9' lines "$work/store"
claim "plan: from a time on" planned '.given.floats == 9 and .given.firstMs == 1680000000001' lines "$work/store" --from=1680000000.001
claim "plan: what is not selected is not given" planned '.given.samples == 3 and .given.series == 1' one "$work/store" --from=beginning
claim "plan: what would be dropped is told as that" planned '.dropped == 2 and (.unrepresentable | map(.histograms + .exemplars) | add) == 2' csv "$work/store" --from=beginning
claim "plan: dead letters by reason, with an example" planned '.deadLetters == 7 and (.unrepresentable | length) == 4 and (.unrepresentable | map(select(.floats == 4 and (.why | test("finite")) and (.example | test("inf")))) | length) == 1' opentsdb "$work/store" --from=1690000000
claim "plan: influxdb has no place for exemplars, and codes what is not finite" planned '.deadLetters == 1 and (.mapped | map({(.what): .samples}) | add) == {"label names": 1, "NaN, +Inf, -Inf": 4, "native histograms": 1} and .cost.unit == null and .cost.bytes > 0' influx "$work/store" --from=beginning
claim "plan: timestream writes names in another form" planned '(.mapped | map({(.what): .samples}) | add) == {"metric names": 1, "label names": 1, "NaN, +Inf, -Inf": 4, "native histograms": 1} and .cost.unit == "write_kib" and .cost.units >= 1' table "$work/store" --from=beginning
claim "plan: as text, too" bash -c "'$firekeep' destinations plan table --config.file='$config' --storage.path='$work/store' | grep -q 'billed by .*write_kib'"
claim "plan: nothing in the directory has changed" bash -c "cd '$work/store' && { find . -type f -exec sha256sum {} + | sort && find . | sort; } | diff - '$work/before'"
claim "plan: a directory that is none is told so" bash -c "! '$firekeep' destinations plan lines --config.file='$config' --storage.path='$work/none' 2>&1 | grep -v 'not a Firekeep storage directory'"

# --- real data --------------------------------------------------------------------------------------

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "captures" "no captures beside the project"
else
    rm -rf "$work/out" "$work/capture"
    cat >"$work/live.yml" <<END
destinations:
  - {name: lines, type: file, path: $work/out/lines, batch: {max_age: 100ms}}
END
    real_bytes() {
        cat "$work"/out/lines/* | wc -c
    }
    has_all() { # the status may be a moment older than the last write
        local here
        here=$(quiet_curl "$url/metrics" | awk '/^firekeep_samples_(stored|pending)[{].*kind="float"/ { n += $2 } END { printf "%d", n }')
        quiet_curl "$url/api/v1/status/destinations" >"$work/status.json"
        jq -e --argjson here "$here" '.data[0].samples | .queued == 0 and .delivered == $here' "$work/status.json" && jq -e '.data[0].lagBytes == 0' "$work/status.json"
    }
    claim "capture: a server that hands on to files starts" start_firekeep live "$work/capture" "${ports[0]}" --config.file="$work/live.yml"
    claim "capture: writes are acknowledged" "$TOOLS/rwreplay" "$SAMPLES/node15s.rw" "$url" --check
    claim "capture: the files have all" within 60 has_all
    claim "capture: it stops" stop live
    delivered=$(jq '.data[0].samples.delivered' "$work/status.json")
    sum "$work/capture" >"$work/before"
    claim "capture: as many samples are planned as were delivered" planned ".given.samples == $delivered" lines "$work/capture"
    claim "capture: and as many bytes as the files really hold" planned ".cost.bytes == $(real_bytes)" lines "$work/capture"
    claim "capture: packed they are fewer" planned ".cost.bytes < $(real_bytes) / 4" packed "$work/capture"
    claim "capture: influxdb: all of it, nothing is billed" planned ".given.samples == $delivered and .deadLetters == 0 and .cost.unit == null and .cost.calls > 0" influx "$work/capture"
    claim "capture: kinesis: units of 25 KiB at least" planned ".given.samples == $delivered and .cost.unit == \"put_units\" and .cost.units >= (.cost.bytes * 3 / 4 / 25600 | floor) * 9 / 10 and .cost.unitsPerDay > .cost.units" stream "$work/capture"
    plan stream "$work/capture" >"$work/one-shard.json"
    claim "capture: kinesis: one shard, if nobody says how many" jq -e '.destination.shards == 1' "$work/one-shard.json"
    claim "capture: kinesis: with more shards records are smaller and units more" planned ".destination.shards == 64 and .given.samples == $delivered and .cost.units > $(jq .cost.units "$work/one-shard.json")" stream "$work/capture" --shards=64
    claim "capture: kinesis: kpl, too" planned ".destination.shards == 64 and .cost.units > $(plan aggregated "$work/capture" | jq .cost.units)" aggregated "$work/capture" --shards=64
    claim "capture: timestream: calls of many series" planned ".given.samples == $delivered and .cost.calls < $delivered / 20 and .cost.units >= .cost.calls" table "$work/capture"
    mkdir "$work/here"
    s3_is_planned() { # in a directory of its own, so that it would be seen if anything was made
        (
            root=$PWD
            cd "$work/here" &&
                "$root/$firekeep" destinations plan bucket --config.file="$config" --storage.path="$work/capture" --format=json >"$work/plan.json"
        ) || return 1
        cat "$work/plan.json"
        jq -e ".given.samples == $delivered and .cost.unit == \"put_requests\" and .cost.units >= 2 * .cost.calls" "$work/plan.json"
    }
    claim "capture: s3: requests by objects" s3_is_planned
    claim "capture: and nothing was made where it ran" leaves_nothing "$work/here"
    claim "capture: nothing in the directory has changed" bash -c "cd '$work/capture' && { find . -type f -exec sha256sum {} + | sort && find . | sort; } | diff - '$work/before'"
fi

claim "no temporary directory is left" leaves_nothing "$work/tmp"

# --- a dry run ------------------------------------------------------------------------------------------

every_kind >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"
write_config <<END
destinations:
  - {name: stream, type: kinesis, region: eu-west-1, stream: s, endpoint: "http://127.0.0.1:9", dry_run: true, batch: {max_age: 100ms}}
  - {name: points, type: opentsdb, url: "http://127.0.0.1:9", dry_run: true, batch: {max_age: 100ms}}
END
claim "dry: starts" start_firekeep dry "$work/dry" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "dry: it is open" within 20 all_open
claim "dry: writes are acknowledged" is_acknowledged "$work/bits.rw"
would_send() { # DESTINATION SAMPLES OTHERS UNREPRESENTABLE
    quiet_curl "$url/api/v1/status/destinations" | jq -c ".data[] | select(.name == \"$1\") | [.state, .dryRun, .samples]" | tee "$work/dry.json"
    jq -e ".[0] == \"dry_run\" and .[1].samples == $2 and .[1].others == $3 and .[1].unrepresentable == $4 and .[1].bytesPerDay > 0 and .[2].taken == 0" "$work/dry.json"
}
claim "dry: what a stream would be given is told" within 20 would_send stream 15 1 0
claim "dry: and what has no form elsewhere" within 20 would_send points 4 0 12
claim "dry: nobody was asked" is_in_state stream dry_run
claim "dry: SIGTERM ends it with status 0" stop dry
claim "dry: the log has the sums" grep -q 'dry run ended, it would have sent.*destination=points samples=4' "$work/dry.log"

done_testing
