# shellcheck shell=bash disable=SC2034,SC2154
# inputs.sh - the same samples in the forms of other protocols than remote write, from files: CPU of the server per
# million samples while they are sent, without a forced flush or merge. The first scrape creates the series and is not
# counted. InfluxDB takes its own lines.

inputs_about() {
    echo "samples in other forms than remote write; cases: forms"
}

inputs_load() {
    all_servers=(firekeep victoriametrics influxdb)
    victoriametrics_flags=(-opentsdbHTTPListenAddr=127.0.0.1:PORT1)
    sizes series 50000 10000
    sizes scrapes 41 11
    sizes connections 2 2
    sizes batch 5000 5000
    cases=(influx otlp opentsdb text json_lines csv)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

inputs_url() {
    local columns=1:label:host,2:label:region i=3 each
    for each in idle user system iowait irq softirq steal nice guest load; do
        columns+=,$i:metric:cpu_$each
        i=$((i + 1))
    done
    case $case in
    influx) [[ $name == influxdb ]] && echo "$url/write?db=d" || echo "$url/write?db=d&precision=ns" ;;
    otlp) [[ $name == firekeep ]] && echo "$url/v1/metrics" || echo "$url/opentelemetry/v1/metrics" ;;
    opentsdb) [[ $name == firekeep ]] && echo "$url/api/put" || echo "http://127.0.0.1:$((port + 1))/api/put" ;;
    text) echo "$url/api/v1/import/prometheus" ;;
    json_lines) echo "$url/api/v1/import" ;;
    csv) echo "$url/api/v1/import/csv?format=$columns,$i:time:unix_s" ;;
    esac
}

inputs_send() { # DIR
    local header=()
    [[ $case != otlp ]] || header=('Content-Type: application/x-protobuf')
    python3 bench/lib/inputs.py send "$(inputs_url)" "$1" "$connections" "${header[@]}" >"$work/sent" 2>&1 ||
        give_up "$(tail -n 1 "$work/sent")"
}

inputs_turn() {
    local bodies=$base/inputs-$case-$series-$scrapes first
    [[ $name != influxdb || $case == influx ]] || {
        note cpu_s_per_million_ingest 0
        return
    }
    rm -rf "$base"/inputs-*
    mkdir -p "$bodies/first" "$bodies/rest"
    python3 bench/lib/inputs.py make "$case" "$bodies/rest" "$series" "$scrapes" "$batch" "$((start_ms / 1000))" ||
        give_up "no load"
    for first in "$bodies/rest"/*; do
        ((10#${first##*/} < series / batch)) || break
        mv "$first" "$bodies/first"
    done
    start_server "$name"
    [[ $name != influxdb ]] || ask -o /dev/null -XPOST "$url/query" --data-urlencode 'q=CREATE DATABASE d'
    inputs_send "$bodies/first"
    settle 3
    mark begin
    inputs_send "$bodies/rest"
    mark sent
    rm -rf "$bodies"
    local samples=$((series * (scrapes - 1)))
    note cpu_s_per_million_ingest "$(calc "$(cpu_between begin sent) / $samples * 1e6")"
    note samples_per_cpu_s "$(calc "$samples / ($(cpu_between begin sent) + 1e-9)" %.0f)"
    note peak_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.0f)"
}

inputs_rows() {
    cat <<'END'
samples_per_cpu_s|samples per CPU second|%d
cpu_s_per_million_ingest|CPU s per million samples, while sending|%.3f
peak_rss_mib|peak RSS, MiB|%.0f
END
}
