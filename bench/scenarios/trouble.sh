# shellcheck shell=bash disable=SC2034,SC2154
# trouble.sh - measures the rate of samples to a destination that throttles or refuses some: the log
# fills while the destination is paused, then it is sent to tests/doubles/timestream.py, which
# answers after 50 ms and throttles a share of the calls, or to an InfluxDB 1 that refuses every
# ninth sample.
#
#   timestream-P        P percent of the calls are throttled
#   influxdb-none       nothing is refused
#   influxdb-metric-N   of N metrics every ninth exists with integers, so its doubles are refused
#   influxdb-old        every ninth sample is older than the retention policy

trouble_about() {
    echo "samples that lie in the log, handed on to who throttles or refuses some; cases: who, and how much"
}

trouble_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 10000 2000
    sizes scrapes 30 10
    cases=(timestream-0 timestream-0.5 timestream-2 timestream-20 influxdb-none influxdb-metric-9 influxdb-metric-900 influxdb-old)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

# Sends 25 samples of 4500 series; with `old` every ninth series is two days old.
influxdb_load() { # METRICS
    local hosts=$((4500 / $1)) now
    now=$(now_ms)
    awk -v metrics="$1" -v hosts="$hosts" -v now="$now" -v old="$([[ $case == *-old ]] && echo 1)" 'BEGIN {
        for (t = 0; t < 25; t++) {
            if (t > 0) print "---"
            for (m = 0; m < metrics; m++) for (h = 0; h < hosts; h++) {
                back = old && (m * hosts + h) % 9 == 4 ? 172800000 : 0
                printf "m%d{host=\"h%d\",job=\"bench\"} %d.5 %.0f\n", m, h, t, now - (25 - t) * 1000 - back
            }
        }
    }' | "$BUILD/tools/rwmake" >"$work/trouble.rw" || give_up "makes no load"
    "$BUILD/tools/rwreplay" "$work/trouble.rw" "$url" >"$work/replayed" 2>&1 || give_up "the load is refused"
}

influxdb_ask() { # QUERY
    ask -o /dev/null -X POST "http://127.0.0.1:$influxd_port/query" --data-urlencode "q=$1"
}

influxdb_writes() {
    ask "http://127.0.0.1:$influxd_port/debug/vars" | tr ',{}' '\n\n\n' | sed -n 's/^"writeReq"://p' | head -n 1
}

# Writes an integer to every ninth metric, so that its doubles are refused.
influxdb_conflicts() { # METRICS
    awk -v metrics="$1" 'BEGIN { for (m = 4; m < metrics; m += 9) printf "m%d,host=other value=1i\n", m }' |
        ask -o /dev/null -X POST "http://127.0.0.1:$influxd_port/write?db=metrics" --data-binary @-
}

start_influxdb() { # RETENTION
    local ports
    command -v influxd >/dev/null || give_up "no influxd"
    mapfile -t ports < <(free_ports 2)
    influxd_port=${ports[0]}
    cat >"$work/influxd.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:${ports[1]}"
[meta]
  dir = "$dir.influxd/meta"
[data]
  dir = "$dir.influxd/data"
  wal-dir = "$dir.influxd/wal"
[http]
  bind-address = "127.0.0.1:$influxd_port"
  log-enabled = false
[monitor]
  store-enabled = false
END
    mkdir -p "$dir.influxd"
    start influxd influxd -config "$work/influxd.conf"
    wait_ready influxd "http://127.0.0.1:$influxd_port/ping" || give_up "influxd does not start"
    influxdb_ask "CREATE DATABASE metrics WITH DURATION $1" || give_up "makes no database"
}

trouble_destination() {
    printf 'destinations:\n  - name: there\n    paused: true\n'
    case $case in
    timestream-*)
        printf '    %s\n' 'type: timestream' 'region: us-east-1' 'access_key: KEY' 'secret_key: SECRET' 'database: metrics' \
            'table: metrics' "write_endpoint: http://127.0.0.1:$double_port"
        ;;
    influxdb-*) printf '    %s\n' 'type: influxdb' 'version: 1' 'database: metrics' "url: http://127.0.0.1:$influxd_port" 'batch: {max_age: 1s}' ;;
    esac
}

there() { # METRIC
    awk -v name="firekeep_destination_$1{destination=\"there\"" 'index($1, name) == 1 { sum += $NF } END { printf "%.0f\n", sum }' \
        "$work/metrics.now"
}

trouble_turn() {
    local metrics=900 began_ms took_ms writes=0
    case $case in
    timestream-*)
        double_port=$(free_ports 1)
        start double python3 tests/doubles/timestream.py --port "$double_port" --table metrics.metrics --magnetic-writes \
            --latency 0.05 --throttle "${case#*-}"
        within 20 ask -o /dev/null "http://127.0.0.1:$double_port/stats" || give_up "the double does not start"
        ;;
    influxdb-old) start_influxdb 25h ;;
    influxdb-*) start_influxdb INF ;;
    esac
    trouble_destination >"$work/destination.yml"
    flags=("--config.file=$work/destination.yml")
    start_server "$name"
    case $case in
    timestream-*) send 0 "$scrapes" ;;
    influxdb-metric-*)
        metrics=${case##*-}
        influxdb_conflicts "$metrics" || give_up "no conflicts"
        influxdb_load "$metrics"
        ;;
    influxdb-*) influxdb_load "$metrics" ;;
    esac
    settle 3
    [[ $case != influxdb-* ]] || writes=$(influxdb_writes)
    mark begin
    began_ms=$(now_ms)
    ask -o /dev/null -XPOST "$url/api/v1/admin/destinations/there/resume" || give_up "does not resume"
    within 600 is_handed_on || give_up "does not hand everything on: $(grep -m 1 destination "$work/$name.log")"
    took_ms=$(($(now_ms) - began_ms))
    mark end
    note samples "$(($(there samples_delivered_total) + $(there samples_dead_lettered_total)))"
    note dead_letters "$(there samples_dead_lettered_total)"
    note seconds "$(calc "$took_ms / 1000" %.2f)"
    note samples_per_second "$(calc "${figure[samples]} / $took_ms * 1000" %.0f)"
    note calls "$(there calls_total)"
    note failures "$(there call_failures_total)"
    note lanes "$(there lanes)"
    note cpu_s "$(cpu_between begin end)"
    [[ $case != influxdb-* ]] || note writes "$(($(influxdb_writes) - writes))"
    stop "$name" || note ended_badly 1
    rm -rf "$dir.influxd"
}

trouble_rows() {
    cat <<'END'
samples|samples handed on|%.0f
dead_letters|of them dead letters|%.0f
seconds|seconds|%.2f
samples_per_second|samples a second|%.0f
calls|calls|%.0f
writes|writes that InfluxDB counted|%.0f
failures|calls that failed|%.0f
lanes|calls at a time, at the end|%.0f
cpu_s|CPU seconds|%.2f
END
}
