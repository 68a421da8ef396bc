# shellcheck shell=bash disable=SC2034,SC2154
# sources.sh - reads 10 M samples, 1000 series of 42 hours, from another store by remote read
# through a Firekeep that stores nothing. `firekeep copy` writes them there. The first read warms;
# the others count: the CPU of the Firekeep between, and its peak above the resident memory before.
#
# Cases: another Firekeep by remote read; archives in a directory; ClickHouse 18.16; InfluxDB 1.6;
# and, with a twentieth of the samples, doubles of OpenTSDB and Timestream, whose own speed has no
# meaning.

READS=${READS:-3}

sources_about() {
    echo "samples of other stores, read through a Firekeep; cases: types of sources"
}

sources_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 1000 1000
    sizes scrapes 10000 1000
    sizes connections 2 2
    cases=(remote_read ndjson ndjson-gzip ndjson-zstd clickhouse influxdb opentsdb timestream)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

start_store_clickhouse() { # PORT
    mkdir -p "$work/clickhouse/tmp"
    cat >"$work/clickhouse.xml" <<END
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host><http_port>$1</http_port>
  <path>$work/clickhouse/</path><tmp_path>$work/clickhouse/tmp/</tmp_path>
  <users_config>$work/clickhouse.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <profiles><default></default></profiles><quotas><default></default></quotas>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
</yandex>
END
    start clickhouse clickhouse-server "--config-file=$work/clickhouse.xml"
    wait_ready clickhouse "http://127.0.0.1:$1/ping" || give_up "ClickHouse does not start"
}

start_store_influxdb() { # PORT
    mkdir -p "$work/influxd"
    cat >"$work/influxd.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:$(free_ports 1)"
[meta]
  dir = "$work/influxd/meta"
[data]
  dir = "$work/influxd/data"
  wal-dir = "$work/influxd/wal"
[http]
  bind-address = "127.0.0.1:$1"
  log-enabled = false
[monitor]
  store-enabled = false
END
    start influxd influxd -config "$work/influxd.conf"
    wait_ready influxd "http://127.0.0.1:$1/ping" || give_up "InfluxDB does not start"
    ask -o /dev/null "http://127.0.0.1:$1/query" --data-urlencode "q=CREATE DATABASE store" || give_up "InfluxDB makes no database"
}

# Starts the store of the case, and sets the lines of the destination and source that use it.
begin_store() {
    local on
    on=$(free_ports 1)
    case $case in
    remote_read)
        destination_lines=()
        source_lines=("type: remote_read" "url: $url/api/v1/read")
        ;;
    ndjson*)
        local compression=${case#ndjson}
        compression=${compression#-}
        destination_lines=("type: file" "path: $work/archive" "compression: ${compression:-none}")
        source_lines=("type: archive" "path: $work/archive" "layout: flat")
        ;;
    clickhouse)
        start_store_clickhouse "$on"
        destination_lines=("type: clickhouse" "url: http://127.0.0.1:$on" "table: samples")
        source_lines=("use: store")
        ;;
    influxdb)
        start_store_influxdb "$on"
        destination_lines=("type: influxdb" "url: http://127.0.0.1:$on" "version: 1" "database: store")
        source_lines=("use: store")
        ;;
    opentsdb)
        start_double opentsdb.py "$on"
        destination_lines=("type: opentsdb" "url: http://127.0.0.1:$on" "max_tags: 8")
        source_lines=("use: store")
        ;;
    timestream)
        start_double timestream.py "$on" --table metrics.bench --magnetic-writes
        destination_lines=("type: timestream" "region: us-east-1" "database: metrics" "table: bench"
            "write_endpoint: http://127.0.0.1:$on" "access_key: AKID" "secret_key: SECRET")
        source_lines=("use: store" "query_endpoint: http://127.0.0.1:$on")
        ;;
    esac
}

start_double() { # FILE PORT ARGUMENT...
    start double python3 "tests/doubles/$1" --port "$2" "${@:3}"
    local i
    for ((i = 0; i < 100; i++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && return
        is_running double || break
        sleep 0.1
    done
    give_up "$1 does not start: $(tail -n 1 "$work/double.log")"
}

write_between() {
    {
        ((${#destination_lines[@]} == 0)) || printf '%s\n' 'destinations:' '  - name: store' "${destination_lines[@]/#/    }"
        printf '%s\n' 'sources:' '  - name: store' "${source_lines[@]/#/    }"
    } >"$work/between.yml"
}

# Copies all samples of the server at $url to the store, then stops the server.
fill_store() {
    ((${#destination_lines[@]} > 0)) || return
    build/firekeep copy "--config.file=$work/between.yml" "--url=$url" "--work=$work/copying" \
        "--start=$((start_ms / 1000 - 60))" local store >"$work/copy.log" 2>&1 ||
        give_up "copy: $(tail -n 1 "$work/copy.log")"
    stop "$name"
}

sources_turn() {
    local destination_lines source_lines i cpu before peak seconds=0 count=$scrapes
    [[ $case != opentsdb && $case != timestream ]] || count=$((scrapes / 20))
    start_server "$name"
    send 0 "$count"
    force "$name"
    begin_store
    write_between
    fill_store
    port=$(free_ports 1) url=http://127.0.0.1:$port
    start between build/firekeep serve "--config.file=$work/between.yml" --storage.mode=none \
        "--storage.path=$work/between" "--web.listen-address=127.0.0.1:$port"
    wait_ready between "$url/-/ready" || give_up "does not start: $(tail -n 1 "$work/between.log")"
    pid=${pids[$(_index_of between)]}
    between_read || give_up "refuses the read: $(tail -n 1 "$work/read")"
    settle
    cpu=$(cpu_ticks)
    before=$(memory_kib VmRSS)
    note idle_rss_mib "$(calc "$before / 1024" %.1f)"
    forget_peak
    for ((i = 0; i < READS; i++)); do
        between_read || give_up "refuses the read: $(tail -n 1 "$work/read")"
        seconds=$(calc "$seconds + $(value_of seconds <"$work/read")")
    done
    peak=$(memory_kib VmHWM)
    settle
    samples=$(value_of samples <"$work/read")
    note samples "$samples"
    note lost "$(($(value_of samples <"$work/load") - samples))"
    note samples_per_cpu_s "$(calc "$samples * $READS * $ticks / ($(cpu_ticks) - $cpu)" %.0f)"
    note samples_per_second "$(calc "$samples * $READS / $seconds" %.0f)"
    note rss_above_mib "$(calc "($peak - $before) / 1024" %.1f)"
    stop_all
    rm -rf "$work/archive" "$work/between" "$work/clickhouse" "$work/influxd"
}

between_read() {
    "$BUILD/bench/fetch" "$url" --form xor --start "$((start_ms - 60000))" >"$work/read" 2>&1
}

sources_rows() {
    cat <<END
samples|samples|%d
lost|  of these not read|%d
samples_per_cpu_s|  samples/CPU s|%d
samples_per_second|  samples/s|%d
rss_above_mib|  RSS above idle, MiB|%.1f
idle_rss_mib|RSS before, MiB|%.0f
END
}
