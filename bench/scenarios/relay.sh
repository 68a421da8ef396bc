# shellcheck shell=bash disable=SC2034,SC2154
# relay.sh - sends live traffic at a steady rate for a minute, without destinations and with one of
# each type, which writes to a local sink (sink.c): measures their CPU and memory, and the CPU of
# ingestion beside them.

RELAY_SECONDS=${RELAY_SECONDS:-$((QUICK == 1 ? 10 : 60))}

relay_about() {
    echo "live traffic, handed on to eight destinations at once; cases: how many, samples a second"
}

relay_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 10000 2000
    scrapes=0 # set by the turn, for RELAY_SECONDS
    cases=(none-40000 eight-40000 none-200000 eight-200000)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

relay_config() { # SINK-PORT
    local sink_port=$1 each
    echo 'destinations:'
    for each in kinesis-packed firehose s3-zstd timestream opentsdb influxdb remote_write-1 file-zstd; do
        echo "  - name: ${each%-*}"
        destination_lines "$each" | sed 's/^/    /'
    done
}

# Prints the CPU ticks of threads whose names match PATTERN, or with `not` of all others.
threads_cpu() { # PATTERN [not]
    local task name sum=0
    for task in "/proc/$pid/task"/*; do
        name=$(<"$task/comm") || continue
        # shellcheck disable=SC2053 # a pattern
        [[ $name == $1 ]] && [[ ${2-} == not ]] && continue
        [[ $name == $1 || ${2-} == not ]] || continue
        sum=$((sum + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "$task/stat")))
    done
    echo "$sum"
}

are_open() {
    metrics_of "$work/metrics.now"
    [[ $(sum_of firekeep_destination_open "$work/metrics.now") == 8 ]]
}

sum_of() { # METRIC FILE
    awk -v name="$1{" 'index($1, name) == 1 { sum += $NF } END { printf "%.0f\n", sum }' "$2"
}

greatest_of() { # METRIC FILE
    awk -v name="$1{" 'index($1, name) == 1 && $NF > most { most = $NF } END { printf "%.2f\n", most }' "$2"
}

relay_turn() {
    local many=${case%-*} rate=${case#*-} sink_port taken relays others
    scrapes=$((rate * RELAY_SECONDS / series))
    start_ms=$(($(now_ms) - scrapes * 15000))
    sink_port=$(free_ports 1)
    if [[ $many == eight ]]; then
        start sink "$BUILD/bench/sink" "$sink_port"
        relay_config "$sink_port" >"$work/destinations.yml"
        flags=("--config.file=$work/destinations.yml")
    fi
    start_server "$name"
    [[ $many == none ]] || within 20 are_open || give_up "does not open its destinations"
    settle 3
    note idle_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    relays=$(threads_cpu 'relay:*') others=$(threads_cpu 'relay:*' not)
    mark begin
    send 0 "$scrapes" --rate "$rate"
    mark end
    taken=$(value_of samples <"$work/load")
    note samples "$taken"
    note samples_per_second "$(calc "$taken / $(value_of seconds <"$work/load")" %.0f)"
    note cpu_others_per_million "$(calc "($(threads_cpu 'relay:*' not) - $others) / $ticks / $taken * 1e6")"
    note cpu_relays_per_million "$(calc "($(threads_cpu 'relay:*') - $relays) / $ticks / $taken * 1e6")"
    note peak_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    note request_p99_ms "$(value_of request_p99_ms <"$work/load")"
    note retries "$(value_of retries <"$work/load")"
    if [[ $many == eight ]]; then
        note greatest_lag_s "$(greatest_of firekeep_destination_lag_seconds "$work/metrics.end")"
        note memory_of_relays_mib "$(calc "($(ask "$url/api/v1/status/destinations" |
            grep -o '"memoryBytes":[0-9]*' | cut -d : -f 2 | paste -sd +)) / 1048576" %.1f)"
        within 120 are_handed_on || note left "$(sum_of firekeep_destination_samples_queued "$work/metrics.now")"
        note delivered "$(sum_of firekeep_destination_samples_delivered_total "$work/metrics.now")"
    fi
    stop "$name" || note ended_badly 1
    rm -rf "$dir.out"
}

are_handed_on() {
    metrics_of "$work/metrics.now"
    [[ $(sum_of firekeep_destination_samples_queued "$work/metrics.now") == 0 &&
        $(sum_of firekeep_destination_lag_bytes "$work/metrics.now") == 0 ]]
}

relay_rows() {
    cat <<'END'
samples_per_second|samples taken in a second|%.0f
cpu_others_per_million|CPU s per million, taking in|%.3f
cpu_relays_per_million|  handing on to all|%.3f
request_p99_ms|p99 of write requests, ms|%.1f
retries|requests repeated|%.0f
idle_rss_mib|RSS before, MiB|%.0f
peak_rss_mib|peak RSS, MiB|%.0f
memory_of_relays_mib|  relays' own count, MiB|%.1f
greatest_lag_s|greatest lag at the end, s|%.1f
left|samples left two minutes later|%.0f
END
}
