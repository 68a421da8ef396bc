# shellcheck shell=bash disable=SC2034,SC2154
# years.sh - a year of 1,000 series, a sample each minute, and a dashboard of ten panels over all of
# it. Every server stores the samples as they came; Firekeep then replaces them by levels of 5 m and
# of 1 h. Figures of each form: bytes, the dashboard's time (first: with the files not in the page
# cache; warm: the sum of medians of each query, without caches of results), peak of memory, and the
# CPU of the merge that makes the level. DAYS=60 chooses another time. SERIES=250 has all series that
# the dashboard reads, and is loaded faster; Prometheus takes DAYS=40 of them in two minutes.

years_about() {
    echo "a year of 1,000 series each minute, a dashboard of ten panels over it; downsampled, too"
}

years_load() {
    unfit=(prometheus)
    sizes series 1000 200
    sizes days 365 20
    connections=2
    sizes interval_s 60 60
    scrapes=$((days * 86400 / interval_s))
    flags+=(--read.timeout=1h --wal.ack=written) # loading is not measured
    prometheus_flags=(--storage.tsdb.retention.time=10y --query.timeout=1h
        --query.max-samples=2000000000)
    victoriametrics_flags=(-search.maxQueryDuration=1h -search.maxQueueDuration=1h
        -search.maxSamplesPerQuery=10000000000)
}

# Asks each query of the dashboard, notes the sums over them.
years_ask() { # FORM MODE ARGUMENT...
    local form=$1 mode=$2
    shift 2
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set year --end-s "$end_s" \
        --pid "$pid" --nocache "$@" >"$work/asked" || give_up "ends while it is asked ($form)"
    ! grep '\.failed=' "$work/asked" >"$work/failed" || give_up "fails: $(head -n 1 "$work/failed")"
    note "$form.$mode.ms" "$(sed -n 's/.*\.p50_ms=//p' "$work/asked" | awk '{ s += $1 } END { printf "%.1f", s }')"
    note "$form.$mode.cpu_ms" "$(sed -n 's/.*\.cpu_ms=//p' "$work/asked" | awk '{ s += $1 } END { printf "%.1f", s }')"
}

# Asks a server that was started on settled files.
years_queries() { # FORM
    promql_forget_pages
    years_ask "$1" first --least 1 --most 1
    years_ask "$1" warm --least 5 --most 5
    note "$1.peak_rss_mib" "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
}

# Rolls everything up to the resolution, then asks again.
years_level() { # RESOLUTION
    local cpu
    stop "$name" || give_up "ends badly"
    downsample_to "$1"
    start_server "$name"
    cpu=$(cpu_ticks)
    force "$name"
    settle
    note "$1.merge_cpu_s" "$(calc "($(cpu_ticks) - $cpu) / $ticks" %.1f)"
    note "$1.mib" "$(calc "$(kept_bytes "$name") / 1048576" %.1f)"
    stop "$name" || give_up "ends badly"
    start_server "$name"
    settle 1
    years_queries "$1"
}

years_turn() {
    local end_s=$((start_ms / 1000 + span_s))
    start_server "$name"
    send 0 "$scrapes" --cluster bench/promql/cluster.txt
    note samples "$samples"
    settle
    note load_cpu_s "$(calc "$(cpu_ticks) / $ticks" %.1f)"
    force "$name"
    settle
    note raw.mib "$(calc "$(kept_bytes "$name") / 1048576" %.1f)"
    stop "$name" || give_up "ends badly"
    if [[ $name == prometheus* ]]; then
        mv "$dir"/snapshots/* "$work/snapshot" && rm -rf "$dir" && mv "$work/snapshot" "$dir"
    fi
    start_server "$name"
    settle "$(promql_look_s)"
    years_queries raw
    if [[ $name == firekeep ]]; then
        years_level 5m
        years_level 1h
    fi
    finish
}

years_rows() {
    local form
    cat <<'END'
samples|samples|%d
load_cpu_s|CPU of storing them, s|%.0f
END
    for form in raw 5m 1h; do
        cat <<END
$form.mib|$form: MiB|%.1f
$form.merge_cpu_s|  CPU of the merge, s|%.1f
$form.first.ms|  dashboard, first, ms|%.1f
$form.warm.ms|  dashboard, warm, ms|%.1f
$form.warm.cpu_ms|  its CPU, ms|%.1f
$form.peak_rss_mib|  peak RSS, MiB|%.1f
END
    done
}
