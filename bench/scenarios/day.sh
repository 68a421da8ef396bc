# shellcheck shell=bash disable=SC2034,SC2154
# day.sh - measures the size on disk after everything is merged: of one day, midnight to midnight
# UTC, with series that come and go and samples that arrive late; and of the captures. The day is one
# of a month that is over. Firekeep then replaces its samples by windows of 5 m, and from the same
# files by windows of 1 h.

day_about() {
    echo "a day, 5 % churn an hour, 2 % late by up to 10 minutes; downsampled, too"
}

day_load() {
    sizes series 17400 3000
    sizes scrapes "$((86400 / interval_s))" "$((86400 / interval_s))"
    sizes connections 4 4
    sizes churn 5 5
    sizes late 2 2
    out_of_order=30m
    prometheus_flags=(--storage.tsdb.retention.time=10y)
}

day_turn() {
    start_ms=$(date -u -d "$(date -u +%Y-%m-10) -3 months" +%s000)
    ingest_begin
    [[ $name != firekeep ]] || day_later
    mark begin
    send 0 "$scrapes"
    ingest_end "$((scrapes * series))"
    if [[ $name == firekeep ]]; then
        day_level 5m
        day_level 1h
    fi
}

# Sends a sample that is newer than the day, since rules count ages from the newest one.
day_later() {
    local series=1 connections=1 churn=0 late=0
    send "$((scrapes + 10800 / interval_s))" 1
}

# Downsamples the settled files, then restores them.
day_level() { # RESOLUTION
    local kept=("${flags[@]}") cpu left
    cp -a "$dir" "$work/raw"
    downsample_to "$1"
    start_server "$name"
    cpu=$(cpu_ticks)
    force "$name"
    settle
    note "$1.merge_cpu_s" "$(calc "($(cpu_ticks) - $cpu) / $ticks" %.2f)"
    metrics_of "$work/metrics.settled"
    note_storage "$name"
    stop "$name" || give_up "ends badly"
    left=$(calc "$(kept_samples "$name") / ${figure[kept_samples]}")
    note "$1.replaced" "$(calc "1 - $left")"
    note "$1.share" "$(calc "($(kept_bytes "$name") - $(index_bytes "$name")) / (${figure[kept_data_bytes_per_sample]} * $scrapes * $series)")"
    flags=("${kept[@]}")
    rm -rf "$dir" && mv "$work/raw" "$dir"
}

day_rows() {
    cat <<'END'
kept_bytes_per_sample|bytes per sample, kept|%.3f
kept_data_bytes_per_sample|  data|%.3f
kept_index_bytes_per_sample|  index|%.3f
kept_samples|  samples there|%d
5m.replaced|5 m: share of samples replaced|%.3f
5m.share|  bytes of data, share of those before|%.3f
5m.merge_cpu_s|  CPU of the merge, s|%.2f
1h.replaced|1 h: share of samples replaced|%.3f
1h.share|  bytes of data, share of those before|%.3f
1h.merge_cpu_s|  CPU of the merge, s|%.2f
END
    ingest100k_rows | grep -v -e '^bytes_per_series' -e '^kept_'
}

capture_about() {
    echo "captures sent as they are; cases: which"
}

capture_load() {
    cases=(node15s node1s)
}

capture_turn() {
    span_s=1320
    start_server "$name"
    # shellcheck disable=SC2153 # the directory, not the count
    "$BUILD/tools/rwreplay" "$SAMPLES/$case.rw" "$url" >"$work/load" 2>&1 ||
        give_up "refuses the capture: $(tail -n 1 "$work/load")"
    samples=$(sed -n 's/^sent: .* \([0-9]*\) samples,.*/\1/p' "$work/load")
    note samples "$samples"
    force "$name"
    settle
    note_storage "$name"
    metrics_of "$work/metrics.settled"
    cpu_at[begin]=0 io_at[begin]=0
    finish
    note cpu_s "$(cpu_between begin end)"
    note_kept "$samples"
}

capture_rows() {
    cat <<'END'
kept_bytes_per_sample|bytes per sample, kept|%.3f
kept_data_bytes_per_sample|  data|%.3f
kept_index_bytes_per_sample|  index|%.3f
kept_samples|  samples there|%d
cpu_s|CPU s in all|%.2f
peak_rss_mib|peak RSS, MiB|%.0f
END
}
