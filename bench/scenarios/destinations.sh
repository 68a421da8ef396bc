# shellcheck shell=bash disable=SC2034,SC2154
# destinations.sh - measures the CPU per sample of each type of destination: the log fills while the
# destination is paused, then it is sent to a local sink that accepts everything (sink.c, which also
# counts units as AWS bills them). Only the CPU of Firekeep counts, from `resume` to an empty queue.

destinations_about() {
    echo "samples that lie in the log, handed on to a local sink; cases: types and forms"
}

destinations_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 10000 2000
    sizes scrapes 300 50
    cases=(kinesis-ndjson kinesis-packed kinesis-kpl firehose firehose-gzip s3-gzip s3-zstd timestream
        opentsdb influxdb clickhouse-gzip clickhouse-zstd remote_write-1 remote_write-2 file file-gzip file-zstd)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

destination_lines() { # TYPE-FORM
    local type=${1%%-*} form=${1#*-} sink=http://127.0.0.1:$sink_port
    local aws=('region: eu-west-1' 'access_key: KEY' 'secret_key: SECRET')
    echo "type: $type"
    case $type in
    kinesis) printf '%s\n' "${aws[@]}" 'stream: metrics' "format: $form" "endpoint: $sink" ;;
    firehose) printf '%s\n' "${aws[@]}" 'delivery_stream: metrics' "endpoint: $sink" ;;
    s3) printf '%s\n' "${aws[@]}" 'bucket: metrics' "endpoint: $sink" 'path_style: true' 'roll_age: 5s' "compression: $form" ;;
    timestream) printf '%s\n' "${aws[@]}" 'database: metrics' 'table: metrics' "write_endpoint: $sink" ;;
    influxdb) printf '%s\n' "url: $sink" 'version: 1' 'database: metrics' ;;
    clickhouse) printf '%s\n' "url: $sink/$([[ $form == gzip ]] && echo clickhouse || echo modern)" 'table: samples' ;;
    opentsdb) printf '%s\n' "url: $sink" ;;
    remote_write)
        printf '%s\n' "url: $sink/api/v1/write"
        echo "protobuf_message: $([[ $form == 1 ]] && echo prometheus.WriteRequest || echo io.prometheus.write.v2.Request)"
        ;;
    file) printf '%s\n' "path: $dir.out" 'format: ndjson' 'roll_age: 5s' "compression: $([[ $form == file ]] && echo none || echo "$form")" ;;
    esac
    [[ $1 != firehose-gzip ]] || echo 'compression: gzip'
}

is_handed_on() {
    metrics_of "$work/metrics.now"
    awk '/^firekeep_destination_(samples_queued|lag_bytes)/ { n++; left += $NF }
        END { exit !(n == 2 && left == 0) }' "$work/metrics.now"
}

sink_figure() { # KEY
    value_of "$1" <"$work/sink"
}

destinations_turn() {
    local sink_port cpu_s
    sink_port=$(free_ports 1)
    [[ $case == file* ]] || start sink "$BUILD/bench/sink" "$sink_port"
    {
        printf 'destinations:\n  - name: %s\n    paused: true\n' "$case"
        destination_lines "$case" | sed 's/^/    /'
    } >"$work/destination.yml"
    flags=("--config.file=$work/destination.yml")
    start_server "$name"
    send 0 "$scrapes"
    settle 3
    mark begin
    ask -o /dev/null -XPOST "$url/api/v1/admin/destinations/$case/resume" || give_up "does not resume"
    within 120 is_handed_on || give_up "does not hand everything on: $(grep -m 1 destination "$work/$name.log")"
    mark end
    cpu_s=$(cpu_between begin end)
    delivered=$(awk '/^firekeep_destination_samples_delivered_total/ { print $NF }' "$work/metrics.end")
    note samples "$delivered"
    note cpu_s_per_million "$(calc "$cpu_s / $delivered * 1e6")"
    note million_per_cpu_s "$(calc "$delivered / $cpu_s / 1e6")"
    note peak_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    if [[ $case == file* ]]; then
        note bytes_per_sample "$(calc "$(bytes_in "$dir.out") / $delivered")"
    else
        ask "http://127.0.0.1:$sink_port/stats" >"$work/sink"
        note requests "$(sink_figure requests)"
        note bytes_per_sample "$(calc "$(sink_figure bytes) / $delivered")"
        note records_per_million "$(calc "$(sink_figure records) / $delivered * 1e6" %.0f)"
        note units_per_million "$(calc "$(sink_figure units) / $delivered * 1e6" %.0f)"
        note plain_units_per_million "$(calc "$(sink_figure plain_units) / $delivered * 1e6" %.0f)"
    fi
    finish
    rm -rf "$dir.out"
}

destinations_rows() {
    cat <<'END'
million_per_cpu_s|million samples a CPU second|%.3f
bytes_per_sample|bytes sent a sample|%.2f
records_per_million|records per million samples|%.0f
units_per_million|units billed per million samples|%.0f
plain_units_per_million|  without CommonAttributes|%.0f
peak_rss_mib|peak RSS, MiB|%.0f
END
}
