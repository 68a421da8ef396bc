# shellcheck shell=bash disable=SC2034,SC2154
# archive.sh - queries an archive of a month, 10 GB of lines in 8640 gzip objects like those of a
# delivery stream, in a directory and in a bucket of s3rver. Figures are duration, bytes read and
# requests of the first and the second query, and the memory. The archive is made once for all
# rounds; KEEP=1 keeps it for the next run.

KEEP=${KEEP:-0}

archive_about() {
    echo "an archive of a month, 10 GB of lines: first and second queries; cases: where it is"
}

archive_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 1000 100
    sizes days 30 1
    cases=(directory bucket)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

# Makes the archive: lines of the capture, repeated for the days before today.
make_archive() {
    [[ -f $base/month/about ]] && return
    mkdir -p "$base/month"
    start_server "$name"
    "$BUILD/tools/rwreplay" "$SAMPLES/node15s.rw" "$url" >"$work/load" 2>&1 || give_up "refuses the capture: $(tail -n 1 "$work/load")"
    printf '%s\n' 'destinations:' '  - name: lines' '    type: file' "    path: $work/lines" '    compression: none' >"$work/lines.yml"
    local from
    from=$(curl -fs --noproxy '*' "$url/api/v1/status/tsdb" | sed -n 's/.*"minTime":\([0-9]*\)[0-9]\{3\}[,}].*/\1/p')
    build/firekeep copy "--config.file=$work/lines.yml" "--url=$url" "--work=$work/copying" "--start=$from" "--end=$((from + 3600))" local lines >"$work/copy.log" 2>&1 ||
        give_up "copy: $(tail -n 1 "$work/copy.log")"
    stop "$name"
    cat "$work"/lines/*.ndjson | bench/lib/month.py "$base/month/files" "$base/month/s3" "--series=$series" \
        "--days=$days" "--end=$(date -u -d 00:00 +%s)" >"$work/about" || give_up "no archive was made"
    sync -f "$base/month"
    mv "$work/about" "$base/month/about"
    date -u -d 00:00 +%s >"$base/month/end"
}

# Sets `source`, lines of the configuration, and starts s3rver for the case of a bucket.
begin_archive() {
    if [[ $case == directory ]]; then
        source="    path: $base/month/files"
        return
    fi
    local port
    port=$(free_ports 1)
    # s3rver encrypts its tokens for the next page with a cipher of OpenSSL's legacy provider.
    start s3 node --openssl-legacy-provider build/peers/npm/node_modules/s3rver/bin/s3rver.js --address 127.0.0.1 --port "$port" \
        --directory "$base/month/s3" --silent --no-vhost-buckets
    wait_ready s3 "http://127.0.0.1:$port/" || give_up "s3rver does not start"
    source=$(printf '    %s\n' "endpoint: http://127.0.0.1:$port" 'region: eu-west-1' 'bucket: metrics' 'path_style: true' \
        'access_key: S3RVER' 'secret_key: S3RVER')
}

archive_metric() { # NAME
    curl -fs --noproxy '*' "$url/metrics" | awk -v name="$1" 'index($0, name "{") == 1 { sum += $NF } END { printf "%.0f", sum }'
}

# Notes NAME_s, NAME_mib and NAME_requests.
archive_query() { # NAME QUERY START END STEP
    local bytes requests began
    bytes=$(archive_metric firekeep_source_received_bytes_total)
    requests=$(archive_metric firekeep_source_requests_total)
    began=$(now_ms)
    curl -fsG --noproxy '*' -o "$work/answer" "$url/api/v1/query_range" --data-urlencode "query=$2" -d "start=$3&end=$4&step=$5" ||
        give_up "refuses $1: $(head -c 200 "$work/answer")"
    note "$1_s" "$(calc "($(now_ms) - $began) / 1000" %.2f)"
    note "$1_mib" "$(calc "($(archive_metric firekeep_source_received_bytes_total) - $bytes) / 1048576" %.1f)"
    note "$1_requests" "$(($(archive_metric firekeep_source_requests_total) - requests))"
}

archive_turn() {
    local end first cpu source
    make_archive
    end=$(<"$base/month/end") first=$((end - days * 86400))
    begin_archive
    printf '%s\n' 'sources:' '  - name: month' '    type: archive' '    timeout: 20m' "    cache: {path: $work/cache, max_bytes: 1GiB}" "$source" >"$work/month.yml"
    rm -rf "$work/cache"
    port=$(free_ports 1) url=http://127.0.0.1:$port
    start between build/firekeep serve "--config.file=$work/month.yml" --storage.mode=none --query.timeout=20m \
        "--storage.path=$work/between" "--web.listen-address=127.0.0.1:$port"
    wait_ready between "$url/-/ready" || give_up "does not start: $(tail -n 1 "$work/between.log")"
    pid=${pids[$(_index_of between)]}
    note plain_gb "$(calc "$(value_of plain_bytes <"$base/month/about") / 1e9" %.2f)"
    note gzip_mib "$(calc "$(value_of bytes <"$base/month/about") / 1048576" %.0f)"
    note samples "$(value_of samples <"$base/month/about")"
    note idle_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    forget_peak
    archive_query day_first up $((end - 86400)) $((end - 60)) 60
    archive_query day_second up $((end - 86400)) $((end - 60)) 60
    cpu=$(cpu_ticks)
    archive_query month_first 'sum by (mode) (rate(node_cpu_seconds_total[10m]))' "$first" "$end" 3600
    note month_first_cpu_s "$(calc "($(cpu_ticks) - $cpu) / $ticks" %.1f)"
    archive_query month_second 'sum by (mode) (rate(node_cpu_seconds_total[10m]))' "$first" "$end" 3600
    archive_query nothing nosuch "$first" "$end" 3600
    note peak_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    note cache_mib "$(calc "$(du -sk "$work/cache" | cut -f 1) / 1024" %.1f)"
    stop_all
    rm -rf "$work/between" "$work/cache"
    [[ $KEEP == 1 || $case != "${cases[-1]}" || $round != "$RUNS" ]] || rm -rf "$base/month"
}

archive_rows() {
    local each
    echo 'plain_gb|archive, GB of lines|%.2f'
    echo 'gzip_mib|  compressed, MiB|%.0f'
    for each in 'day_first|a day of one metric, first query' 'day_second|  second query' \
        'month_first|a rate over the month, first query' 'month_second|  second query' 'nothing|a metric that is nowhere'; do
        echo "${each%%|*}_s|${each#*|}, s|%.2f"
        echo "${each%%|*}_mib|    fetched, MiB|%.1f"
        echo "${each%%|*}_requests|    requests|%d"
    done
    cat <<'END'
month_first_cpu_s|CPU of the first query of the month, s|%.1f
peak_rss_mib|peak RSS, MiB|%.1f
idle_rss_mib|  before, MiB|%.1f
cache_mib|cache on disk, MiB|%.1f
END
}
