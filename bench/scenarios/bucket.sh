# shellcheck shell=bash disable=SC2034,SC2154
# bucket.sh - a year of 1,000 series, a sample each minute, and a dashboard of ten panels over all of
# it: once with the parts on the disk, once with all of them only in a bucket, a double of S3 that
# answers each call 20 ms later (LATENCY_MS). Each part is uploaded as soon as it is written, also if
# a merge replaces it a minute later: no setting makes more PUTs. Cold: the first panel, and the sum
# over all, after a start, without caches and with the files not in the page cache, the median of
# five starts; warm as in `years`. CPU of uploads is that of their two threads. Both stores are loaded in
# the same turn. SERIES=250 has all series that the dashboard reads, and is loaded faster.

bucket_about() {
    echo "a dashboard over a year of 1,000 series on the disk, and in a bucket with a latency of 20 ms"
}

bucket_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 1000 200
    sizes days 365 20
    sizes latency_ms 20 20
    connections=2
    sizes interval_s 60 60
    scrapes=$((days * 86400 / interval_s))
    flags+=(--read.timeout=1h --wal.ack=written "--config.file=$work/bucket.yml") # loading is not measured
}

bucket_metric() { # NAME
    ask "$url/metrics" | sed -n "s/^firekeep_$1 //p"
}

# Does the metric count all parts of the server?
bucket_has_all() { # METRIC
    [[ $(bucket_metric "$1") == "$(bucket_metric parts)" ]]
}

bucket_fill() { # FORM
    dir=$work/data/$1
    start_server "$name"
    send 0 "$scrapes" --cluster bench/promql/cluster.txt
    settle
    force "$name"
    [[ $1 == disk ]] || within 300 bucket_has_all bucket_parts || give_up "does not upload all parts"
    settle
    note "$1.cpu_s" "$(calc "$(cpu_ticks) / $ticks" %.2f)"
    note "$1.parts" "$(bucket_metric parts)"
    note "$1.mib" "$(calc "$(bucket_metric part_bytes) / 1048576" %.1f)"
}

# Notes calls of these kinds for each million samples.
bucket_calls() { # KEY OPERATION...
    note "$1_per_million" "$(jq "[.calls[\"${*:2:1}\", \"${*:3:1}\", \"${*:4:1}\", \"${*:5:1}\"] // 0] | add / $samples * 1e6" "$work/stats")"
}

bucket_costs() {
    ask "$s3/-/stats" >"$work/stats"
    bucket_calls puts PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload
    bucket_calls gets GetObject HeadObject ListObjectsV2 GetBucketLifecycle
    note uploaded_bytes_per_sample "$(calc "$(bucket_metric bucket_upload_bytes_total) / $samples" %.3f)"
    note upload_cpu_s "$(grep -lxe bucket -e http-pull /proc/"$pid"/task/*/comm | sed 's/comm$/stat/' | xargs cat |
        awk -v ticks="$ticks" '{ sub(/.*\) /, ""); sum += $12 + $13 } END { print sum / ticks }')"
    note upload_cpu_percent "$(calc "100 * ${figure[upload_cpu_s]} / ${figure[disk.cpu_s]}" %.2f)"
    note more_cpu_percent "$(calc "100 * (${figure[bucket.cpu_s]} / ${figure[disk.cpu_s]} - 1)" %.2f)"
}

# Asks all panels, and prints the times of the first one and of all, in ms.
bucket_ask() { # TIMES
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set year --end-s "$end_s" --pid "$pid" \
        --nocache --least "$1" --most "$1" >"$work/asked" || give_up "ends while it is asked"
    ! grep '\.failed=' "$work/asked" >"$work/failed" || give_up "fails: $(head -n 1 "$work/failed")"
    sed -n 's/.*\.p50_ms=//p' "$work/asked" | awk 'NR == 1 { first = $1 } { all += $1 } END { print first, all }'
}

bucket_queries() { # FORM
    local i
    for i in 1 2 3 4 5; do
        stop "$name" || give_up "ends badly"
        promql_forget_pages
        start_server "$name"
        [[ $1 == disk ]] || within 300 bucket_has_all bucket_remote_parts || give_up "keeps local parts"
        settle 1
        bucket_ask 1 >>"$work/$1.cold"
    done
    note "$1.panel_ms" "$(cut -d ' ' -f 1 "$work/$1.cold" | sort -g | sed -n 3p)"
    note "$1.cold_ms" "$(cut -d ' ' -f 2 "$work/$1.cold" | sort -g | sed -n 3p)"
    bucket_ask 5 >"$work/warm"
    note "$1.warm_ms" "$(cut -d ' ' -f 2 "$work/warm")"
    note "$1.peak_rss_mib" "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
}

bucket_turn() {
    local end_s s3_port s3 keys
    rm -f "$work"/*.cold
    start_ms=$((start_ms - 2 * 86400000)) # so that no sample is too young to be in the bucket only
    end_s=$((start_ms / 1000 + span_s))
    : >"$work/bucket.yml"
    bucket_fill disk
    bucket_queries disk
    stop "$name" || give_up "ends badly"
    s3_port=$(free_ports 1) s3=http://127.0.0.1:$s3_port
    start s3 /usr/bin/python3 tests/doubles/s3.py --port "$s3_port" --latency "$(calc "$latency_ms / 1000")"
    wait_ready s3 "$s3/-/stats" || give_up "the double of S3 does not start"
    export AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=KEY AWS_SECRET_ACCESS_KEY=SECRET
    keys="type: s3, bucket: parts, endpoint: $s3, path_style: true, upload_after: 0s"
    echo "object_storage: {$keys}" >"$work/bucket.yml"
    bucket_fill bucket
    bucket_costs
    echo "object_storage: {$keys, keep_local: {time: 1d}}" >"$work/bucket.yml"
    bucket_queries bucket
    note panel_over_ms "$(calc "${figure[bucket.panel_ms]} - 3 * ${figure[disk.panel_ms]}" %.1f)"
    note warm_ratio "$(calc "${figure[bucket.warm_ms]} / ${figure[disk.warm_ms]}" %.3f)"
    finish
}

bucket_rows() {
    local form
    echo 'samples|samples|%d'
    for form in disk bucket; do
        printf '%s\n' "$form.parts|$form: parts|%d" "$form.mib|  MiB|%.1f" "$form.cpu_s|  CPU of storing them, s|%.1f" \
            "$form.panel_ms|  first panel, cold, ms|%.1f" "$form.cold_ms|  dashboard, cold, ms|%.1f" \
            "$form.warm_ms|  dashboard, warm, ms|%.1f" "$form.peak_rss_mib|  peak RSS, MiB|%.1f"
    done
    printf '%s\n' 'panel_over_ms|first panel in the bucket - 3 x disk|%.1f' 'warm_ratio|warm, bucket / disk|%.3f' \
        'puts_per_million|PUTs per million samples|%.2f' 'gets_per_million|GETs per million samples|%.2f' \
        'uploaded_bytes_per_sample|uploaded bytes per sample|%.3f' 'upload_cpu_s|CPU of uploads, s|%.2f' \
        'upload_cpu_percent|  % of storing on disk|%.2f' 'more_cpu_percent|all CPU, more than on disk, %|%.2f'
}
