#!/bin/bash
# dropin.sh - the commands that take the place of other adapters: a real Prometheus with the
# configuration that it had for them, their flags, and the stores that they wrote to.

. tests/lib.sh
firekeep=build/firekeep
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep prometheus influxd influxd_meta timestream control
adapter=http://127.0.0.1:${port[firekeep]} prometheus=http://127.0.0.1:${port[prometheus]}

# What people have: nothing in it says Firekeep.
begin_prometheus() { # PATH-OF-WRITES [PATH-OF-READS]
    {
        echo 'global: {scrape_interval: 1s}'
        echo "scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:${port[prometheus]}']}]}]"
        echo "remote_write: [{url: '$adapter$1', basic_auth: {username: AKID, password: secret}}]"
        [[ -z ${2-} ]] || echo "remote_read: [{url: '$adapter$2', read_recent: true}]"
    } >"$work/prometheus.yml"
    rm -rf "$work/prometheus"
    start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="127.0.0.1:${port[prometheus]}"
    wait_ready prometheus "$prometheus/-/ready"
}

begin_adapter() { # WORD...
    start adapter env STATE_DIRECTORY="$work/state-$1" "$firekeep" "$@"
    wait_ready adapter "$adapter/-/ready" || {
        tail -n 5 "$work/adapter.log"
        return 1
    }
}

printed() { # PATTERN...
    local pattern
    for pattern; do
        grep -q -- "$pattern" "$work/adapter.log" || {
            echo "$pattern"
            return 1
        }
    done
}

refuses() { # PATTERN WORD...
    local status
    "$firekeep" "${@:2}" >"$work/said" 2>&1
    status=$?
    cat "$work/said"
    ((status == 2)) && grep -q -- "$1" "$work/said"
}

influxdb_has_samples() {
    influx_query 'SELECT count(value) FROM up' prom | grep -q '"up"'
}

# A Prometheus without samples of its own asks the adapter.
reads_back() {
    curl -fs --noproxy '*' "$prometheus/api/v1/query" -d 'query=count_over_time(up{job="self"}[5m])' | jq -e '.data.result[0].value[1] | tonumber > 0'
}

after_a_new_start() {
    stop prometheus
    begin_prometheus /write /read && within 20 reads_back
}

# --- remote_storage_adapter --------------------------------------------------------------------------

if has influxd; then
    claim "InfluxDB starts" start_influxd || exit 1
    influx_query 'CREATE DATABASE "prom"' >"$work/created"
    export INFLUXDB_PW=hunter-of-secrets
    claim "remote-storage-adapter: starts with the old flags" begin_adapter remote-storage-adapter "--influxdb-url=$(url_of influxd)" \
        --influxdb.database prom --influxdb.retention-policy=autogen --send-timeout=20s --web.listen-address="127.0.0.1:${port[firekeep]}" \
        --web.telemetry-path=/telemetry --log.level=info
    claim "remote-storage-adapter: metrics are at the old path, too" eval 'curl -fs --noproxy "*" "$adapter/telemetry" | grep -q ^firekeep_ && curl -fs --noproxy "*" "$adapter/metrics" | grep -q ^firekeep_'
    claim "remote-storage-adapter: prints its configuration" printed 'type: influxdb' 'use: influxdb' 'mode: none'
    claim "remote-storage-adapter: Prometheus writes to /write" begin_prometheus /write /read
    claim "remote-storage-adapter: InfluxDB has the samples" within 60 influxdb_has_samples
    claim "remote-storage-adapter: Prometheus reads /read" after_a_new_start
    claim "remote-storage-adapter: SIGHUP reads the flags' configuration again" eval 'kill -HUP "${pids[$(_index_of adapter)]}" &&
        within 10 printed "configuration reloaded"'
    claim "remote-storage-adapter: it ends" eval 'stop prometheus && stop adapter'
    "$firekeep" remote-storage-adapter --storage.path="$work/none" --influxdb-url=http://127.0.0.1:1 --influxdb.username=u --web.listen-address=192.0.2.1:9 >"$work/secret.log" 2>&1
    "$firekeep" remote-storage-adapter --storage.path="$work/none" --influxdb-url=http://u:hunter-of-secrets@127.0.0.1:1 --opentsdb-url=http://u:hunter-of-secrets@127.0.0.1:1 \
        --web.listen-address=192.0.2.1:9 >>"$work/secret.log" 2>&1
    INFLUXDB_AUTH_TOKEN=hunter-of-secrets "$firekeep" remote-storage-adapter --storage.path="$work/none" --influxdb-url=http://127.0.0.1:1 --influxdb.bucket=b \
        --influxdb.organization=o --web.listen-address=192.0.2.1:9 >>"$work/secret.log" 2>&1
    claim "remote-storage-adapter: a password is not printed" eval '! grep -r hunter-of-secrets "$work/secret.log" "$work/adapter.log"'
    claim "remote-storage-adapter: passwords of URLs and tokens are taken" eval '[[ $(grep -c "password: <secret>" "$work/secret.log") == 3 && $(grep -c "token: <secret>" "$work/secret.log") == 1 &&
        $(grep -c "cannot listen" "$work/secret.log") == 3 ]]'
    unset INFLUXDB_PW
else
    skip "remote-storage-adapter" "influxd is not there"
fi
claim "remote-storage-adapter: Graphite is refused by name" refuses 'Graphite' remote-storage-adapter --graphite-address=a:1

# --- timestream-connector ----------------------------------------------------------------------------

timestream_has_samples() {
    [[ $(samples delivered_total timestream) -gt 0 ]]
}

export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret
start timestream python3 tests/doubles/timestream.py --port "${port[timestream]}" --region us-east-1 --table metrics.samples
claim "a double of Timestream starts" within 20 answers timestream "$(url_of timestream)/stats"
url=$adapter
claim "timestream-connector: starts with the old flags" begin_adapter timestream-connector --default-database=metrics --default-table=samples \
    --region=us-east-1 --write-base-endpoint="$(url_of timestream)" --query-base-endpoint="$(url_of timestream)" --max-write-retries=3 \
    --fail-on-long-label --enable-sigv4-auth=true --enable-logging=true --web.listen-address="127.0.0.1:${port[firekeep]}"
claim "timestream-connector: names flags without effect" eval 'printed "--max-write-retries has no effect" "--fail-on-long-label has no effect" "--enable-logging has no effect" &&
    ! printed "--max-read-retries"'
claim "timestream-connector: Prometheus writes to /write" begin_prometheus /write /read
claim "timestream-connector: Timestream has the samples" within 60 timestream_has_samples
claim "timestream-connector: Prometheus reads /read" after_a_new_start
claim "timestream-connector: it ends" eval 'stop prometheus && stop adapter'

# As in a unit with User= and nothing else, or a container with a read-only root.
writes_without_a_directory() {
    echo "written_without_a_directory 1 $(date +%s)000" | "$TOOLS/rwmake" >"$work/one.rw"
    within 20 "$TOOLS/rwreplay" "$work/one.rw" "$adapter/write" --check &&
        curl -fs --noproxy '*' "$(url_of timestream)/dump" | grep -q written_without_a_directory
}
start adapter env -C /proc/self TMPDIR="$work" "$PWD/$firekeep" timestream-connector --default-database=metrics --default-table=samples \
    --write-base-endpoint="$(url_of timestream)" --query-base-endpoint="$(url_of timestream)" --web.listen-address="127.0.0.1:${port[firekeep]}"
claim "timestream-connector: needs no directory that it can write" wait_ready adapter "$adapter/-/ready"
claim "timestream-connector: then Timestream has what is answered" writes_without_a_directory
claim "timestream-connector: then it says that nothing waits on disk" printed 'samples do not wait on disk' 'ack: destination'
stop adapter
stop timestream

# --- prometheus_remote_kinesis -----------------------------------------------------------------------

takes_receive() {
    begin_prometheus /receive && within 60 eval '[[ $(curl -fs --noproxy "*" "$adapter/metrics" | sed -n "s/^firekeep_samples_received_total{.*kind=\"float\".*} //p" | head -n 1) -gt 0 ]]'
}
export STREAM_NAME=other AWS_REGION=eu-central-1 # flags come first
claim "kinesis-adapter: starts with the old flags" begin_adapter kinesis-adapter -stream-name metrics -region eu-west-1 -write-interval 2.5s \
    -firehose=0 -listen-addr "127.0.0.1:${port[firekeep]}"
claim "kinesis-adapter: prints its configuration" printed 'stream: "metrics"' 'region: "eu-west-1"' 'max_age: "2500ms"' 'format: "ndjson"'
claim "kinesis-adapter: Prometheus writes to /receive" takes_receive
claim "kinesis-adapter: it ends" eval 'stop prometheus && stop adapter'
claim "kinesis-adapter: stream and region may come from the environment" begin_adapter kinesis-adapter --listen-addr "127.0.0.1:${port[firekeep]}"
claim "kinesis-adapter: they are in its configuration" printed 'stream: "other"' 'region: "eu-central-1"'
claim "kinesis-adapter: it ends again" stop adapter
unset STREAM_NAME AWS_REGION
done_testing
