#!/bin/bash
# destinations.sh - samples written to one server arrive in another one, in other stores and in
# files, each one, whichever process is killed meanwhile; and the account of each destination is
# right.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
mapfile -t ports < <(free_ports 4)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
spare=${ports[2]}
firekeep=build/firekeep

every_kind >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"

# --- every kind of value, to a server like this one and into files ---------------------------------

write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    batch: {max_age: 100ms}
  - name: twin-1
    type: remote_write
    url: $there/api/v1/write
    protobuf_message: prometheus.WriteRequest
    batch: {max_age: 100ms}
  - name: lines
    type: file
    path: $work/lines
    batch: {max_age: 100ms}
  - name: packed
    type: file
    path: $work/packed
    compression: zstd
    batch: {max_age: 100ms}
  - name: some
    type: file
    path: $work/some
    format: csv
    select: ['late', '{sign="minus"}']
    external_labels: {site: north}
    relabel:
      - {source_labels: [sign], target_label: way}
    batch: {max_age: 100ms}
END
claim "bits: check counts the destinations" bash -c "'$firekeep' check '$work/firekeep.yml' | grep -q '5 destinations'"
printf 'destinations:\n  - {name: a, type: file, path: /x}\n  - {name: b, type: file, path: //x/}\n' >"$work/twice.yml"
claim "bits: two that write into one directory are refused" bash -c "! '$firekeep' check '$work/twice.yml' 2>'$work/said' && grep -q 'a and b write to the same target' '$work/said'"
claim "bits: the other server starts" start_firekeep twin "$work/twin" "${ports[1]}"
claim "bits: starts" start_firekeep bits "$work/bits" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "bits: every request is acknowledged in full" is_acknowledged "$work/bits.rw"
for name in twin twin-1 lines packed; do
    claim "bits: $name confirms all samples" within 15 has_delivered "$name" 15
    claim "bits: $name: the account is right" balances "$name"
done
claim "bits: the other server has the same" equals "$there" "$work/bits.rw"
claim "bits: SIGTERM ends it with status 0" stop bits

for name in lines packed; do
    claim "bits: $name: a stop leaves whole files" files_are_whole "$work/$name"
    claim "bits: $name: imported, they are what was sent" imports_as "$work/$name" "$work/bits.rw"
done

only_some() {
    cat "$work"/some/*
    [[ $(grep -c '^late' <(sed 's/^"//' "$work"/some/*)) == 3 ]] && grep -q minus <(cat "$work"/some/*) &&
        ! grep -q plus <(cat "$work"/some/*) && grep -q 'site' <(cat "$work"/some/*) && grep -q 'way' <(cat "$work"/some/*)
}
claim "bits: selected and relabelled, others are left out" only_some
stop twin

# --- another name after a crash ---------------------------------------------------------------------

files_of() { # NAME
    write_config <<END
destinations:
  - {name: $1, type: file, path: $work/moved, batch: {max_age: 100ms}}
END
}
files_of first
claim "renamed: starts" start_firekeep moved "$work/moved-store" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "renamed: the destination is open" within 20 all_open
claim "renamed: writes are acknowledged" is_acknowledged "$work/bits.rw"
claim "renamed: all is confirmed" within 20 has_delivered first 15
crash moved
files_of second
claim "renamed: starts again after SIGKILL, with another name" start_firekeep moved "$work/moved-store" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "renamed: it is open" within 20 all_open
grep -v late "$work/bits.txt" | sed 's/1700000000000/1700000001000/' | "$TOOLS/rwmake" --version 2 >"$work/more.rw"
claim "renamed: more is acknowledged" is_acknowledged "$work/more.rw"
claim "renamed: all of it is confirmed" within 20 has_delivered second 10
claim "renamed: SIGTERM ends it with status 0" stop moved
first_is_there() {
    ls "$work/moved"
    [[ $(cat "$work"/moved/*.ndjson.tmp | wc -l) == 16 && $(cat "$work"/moved/*.ndjson | wc -l) == 10 ]]
}
claim "renamed: what was confirmed to the first name is there" first_is_there

# --- real data, everybody is killed now and then ----------------------------------------------------

hammer() { # CAPTURE...: writes captures while this server and the others are killed
    local capture
    for capture; do
        "$TOOLS/rwreplay" "$capture" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 &
        local sender=$!
        for _ in 1 2 3; do
            sleep 0.3 # not awaited: any moment is a good one
            crash hammer
            crash twin
            start_firekeep twin "$work/hammer-twin" "${ports[1]}" || return 1
            start_firekeep hammer "$work/hammer" "${ports[0]}" --config.file="$work/firekeep.yml" || return 1
        done
        wait "$sender" || {
            cat "$work/replay.txt"
            return 1
        }
    done
}

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "captures" "no captures beside the project"
else
    write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    batch: {max_age: 200ms}
  - name: lines
    type: file
    path: $work/hammer-lines
    roll_bytes: 8MiB
    batch: {max_age: 200ms}
END
    for name in node15s v2hist; do
        capture=$SAMPLES/$name.rw
        rm -rf "$work"/hammer*
        claim "$name: both start" start_firekeep twin "$work/hammer-twin" "${ports[1]}" &&
            claim "$name: both start" start_firekeep hammer "$work/hammer" "${ports[0]}" --config.file="$work/firekeep.yml"
        claim "$name: everything is acknowledged while all are killed again and again" hammer "$capture"
        claim "$name: everything arrives" within 60 all_settled twin lines
        claim "$name: the other server has the same" equals "$there" "$capture"
        for destination in twin lines; do
            claim "$name: $destination: the account is right" balances "$destination"
        done
        crash hammer
        claim "$name: starts again" start_firekeep hammer "$work/hammer" "${ports[0]}" --config.file="$work/firekeep.yml"
        claim "$name: SIGTERM ends it with status 0" stop hammer
        claim "$name: the files are what was sent" imports_as "$work/hammer-lines" "$capture"
        stop twin
    done
fi

# --- counterparts that refuse -----------------------------------------------------------------------

write_config <<END
destinations:
  - name: nobody
    type: remote_write
    url: http://127.0.0.1:${ports[3]}/api/v1/write
    batch: {max_age: 100ms}
  - name: wrong
    type: remote_write
    url: $there/api/v1/status/flags
    batch: {max_age: 100ms}
  - name: lines
    type: file
    path: $work/refusal-lines
    batch: {max_age: 100ms}
END
claim "refusal: the other server starts" start_firekeep twin "$work/twin" "${ports[1]}"
claim "refusal: starts" start_firekeep refusal "$work/refusal" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-admin-api --web.enable-lifecycle
claim "refusal: writes are acknowledged" is_acknowledged "$work/bits.rw"
claim "refusal: where nobody answers it is tried again" within 10 is_in_state nobody retrying
claim "refusal: a wrong address blocks, and says so" within 10 is_in_state wrong blocked
claim "refusal: the third one has everything" within 10 has_delivered lines 15
pause() {
    quiet_curl -X POST "$url/api/v1/admin/destinations/$1/$2"
}
claim "refusal: it pauses when told" pause nobody pause
claim "refusal: it is paused" within 20 is_in_state nobody paused
claim "refusal: who is not there cannot be paused" bash -c "! curl -fsg --noproxy '*' -X POST '$url/api/v1/admin/destinations/who/pause' 2>&1"
claim "refusal: it goes on when told" pause nobody resume
sed -i "s|:${ports[3]}/|:${ports[1]}/|; s|/status/flags|/write|" "$work/firekeep.yml"
claim "refusal: a reload gives them an address" quiet_curl -X POST "$url/-/reload"
claim "refusal: now the first one delivers" within 20 has_delivered nobody 15
claim "refusal: and the second" within 20 has_delivered wrong 15
claim "refusal: the page shows all of them" bash -c "curl -fsg --noproxy '*' '$url/api/v1/status/destinations' | python3 -c 'import json,sys; d=json.load(sys.stdin)[\"data\"]; assert [x[\"name\"] for x in d]==[\"nobody\",\"wrong\",\"lines\"], d; assert all(x[\"state\"]==\"running\" for x in d), d'"
stop refusal
stop twin

# --- stores of others ---------------------------------------------------------------------------------

prometheus3=$PEERS/prometheus/usr/bin/prometheus
victoria=$PEERS/victoria-metrics/usr/bin/victoria-metrics
start_prometheus() { # NAME PROGRAM PORT FLAG...
    local name=$1 program=$2 port=$3
    shift 3
    mkdir -p "$work/$name"
    printf 'storage:\n  tsdb:\n    out_of_order_time_window: 30d\n' >"$work/$name.yml"
    start "$name" "$program" --config.file="$work/$name.yml" --storage.tsdb.path="$work/$name" --storage.tsdb.retention.time=100y \
        --web.listen-address="127.0.0.1:$port" --web.enable-remote-write-receiver "$@"
    wait_ready "$name" "http://127.0.0.1:$port/-/ready"
}
grep -v -e '^late' -e '@' "$work/bits.txt" | "$TOOLS/rwmake" >"$work/floats.rw"
for peer in prometheus prometheus3 victoriametrics; do
    program=prometheus path=/api/v1/write
    [[ $peer == prometheus3 ]] && program=$prometheus3
    [[ $peer == victoriametrics ]] && program=$victoria
    if ! command -v "$program" >/dev/null; then
        skip "$peer" "not there"
        continue
    fi
    rm -rf "${work:?}/$peer" "$work/to-$peer"
    write_config <<END
destinations:
  - name: store
    type: remote_write
    url: http://127.0.0.1:${ports[3]}$path
    batch: {max_age: 100ms}
END
    case $peer in
    victoriametrics)
        mkdir -p "$work/$peer"
        start "$peer" "$program" -storageDataPath="$work/$peer" -httpListenAddr="127.0.0.1:${ports[3]}" -retentionPeriod=100y
        wait_ready "$peer" "http://127.0.0.1:${ports[3]}/health" || continue
        ;;
    prometheus) start_prometheus "$peer" "$program" "${ports[3]}" --enable-feature=native-histograms || continue ;;
    *) start_prometheus "$peer" "$program" "${ports[3]}" || continue ;;
    esac
    claim "$peer: starts" start_firekeep store "$work/to-$peer" "${ports[0]}" --config.file="$work/firekeep.yml"
    claim "$peer: writes are acknowledged" is_acknowledged "$work/floats.rw"
    claim "$peer: confirms all samples" within 20 has_delivered store 10
    claim "$peer: the account is right" balances store
    if [[ $peer != victoriametrics ]]; then
        claim "$peer: has the same, bit for bit" "$TOOLS/rrcompare" "http://127.0.0.1:${ports[3]}" "$work/floats.rw" "${whole[@]}" --streamed
    fi
    stop store
    stop "$peer"
done

# --- InfluxDB, and programs with its protocol ---------------------------------------------------------

# Prints the result of a query as CSV, without its header.
influx_rows() { # QUERY
    quiet_curl -G "http://127.0.0.1:${ports[3]}/query" -H 'Accept: application/csv' --data-urlencode db=metrics \
        --data-urlencode epoch=ms --data-urlencode "q=$1" | tail -n +2
}

has_row() { # QUERY PATTERN
    influx_rows "$1" | tee "$work/rows"
    grep -q -e "$2" "$work/rows"
}

port[influxd]=${ports[3]} port[influxd_meta]=$(free_ports 1)
if ! has influxd; then
    skip "influxdb" "not there"
elif claim "influxdb: it starts" start_influxd && claim "influxdb: a database is made" influx_query 'CREATE DATABASE metrics WITH DURATION INF'; then
    write_config <<END
destinations:
  - name: store
    type: influxdb
    version: 1
    url: http://127.0.0.1:${ports[3]}
    database: metrics
    batch: {max_age: 100ms}
END
    rm -rf "$work/to-influxdb"
    claim "influxdb: starts" start_firekeep store "$work/to-influxdb" "${ports[0]}" --config.file="$work/firekeep.yml"
    claim "influxdb: writes are acknowledged" is_acknowledged "$work/bits.rw"
    claim "influxdb: confirms all samples" within 20 has_delivered store 15
    claim "influxdb: the account is right" balances store
    claim "influxdb: a number is there, exact" has_row 'SELECT value FROM large' ',17976931348623157'
    claim "influxdb: what is no number is there as its bits" has_row "SELECT bits FROM nan WHERE kind='payload'" 'fff8dead0000beef'
    claim "influxdb: times are milliseconds" has_row 'SELECT value FROM late' '1680000000001,1$'
    claim "influxdb: a label with all kinds of characters is there" has_row 'SELECT value, unit FROM text' 'µs'
    claim "influxdb: a histogram is there as JSON" has_row 'SELECT histogram FROM latency' 'schema'
    claim "influxdb: exemplars became dead letters" within 10 bash -c "[[ \$('$firekeep' dead-letters list --storage.path='$work/to-influxdb' | grep -c unrepresentable) == 1 ]]"
    stop store
    stop influxd
fi

if [[ -x $victoria ]]; then
    for type in influxdb opentsdb; do
        rm -rf "$work/victoria" "$work/to-victoria"
        mkdir -p "$work/victoria"
        mapfile -t more < <(free_ports 1)
        start victoria "$victoria" -storageDataPath="$work/victoria" -httpListenAddr="127.0.0.1:${ports[3]}" -retentionPeriod=100y \
            -opentsdbHTTPListenAddr="127.0.0.1:${more[0]}"
        claim "victoriametrics as $type: it starts" wait_ready victoria "http://127.0.0.1:${ports[3]}/health" || continue
        if [[ $type == influxdb ]]; then
            lines="    version: 2
    url: http://127.0.0.1:${ports[3]}
    org: o
    bucket: b
    token: t"
        else
            lines="    url: http://127.0.0.1:${more[0]}"
        fi
        write_config <<END
destinations:
  - name: store
    type: $type
$lines
    select: ['large', 'small', 'zero']
    batch: {max_age: 100ms}
END
        claim "victoriametrics as $type: starts" start_firekeep store "$work/to-victoria" "${ports[0]}" --config.file="$work/firekeep.yml"
        claim "victoriametrics as $type: writes are acknowledged" is_acknowledged "$work/bits.rw"
        claim "victoriametrics as $type: all samples are settled" within 20 bash -c "curl -fsg --noproxy '*' '$url/api/v1/status/destinations' | jq -es '.[0].data[0].samples | .taken == 4 and .queued == 0 and .delivered + .deadLettered == 4 and .delivered >= 2'"
        claim "victoriametrics as $type: the account is right" balances store
        stop store
        stop victoria
    done
fi

done_testing
