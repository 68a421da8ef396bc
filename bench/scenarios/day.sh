# shellcheck shell=bash disable=SC2034,SC2154
# day.sh - measures the size on disk after everything is merged: of one day, midnight to midnight
# UTC, with series that come and go and samples that arrive late; and of the captures.

day_about() {
    echo "a day at 15 s, 5 % churn an hour, 2 % late by up to 10 minutes"
}

day_load() {
    sizes series 17400 3000
    sizes scrapes 5760 5760
    sizes connections 4 4
    sizes churn 5 5
    sizes late 2 2
    out_of_order=30m
}

day_turn() {
    local today
    today=$(date -u -d 00:00 +%s)
    start_ms=$(((today - 86400) * 1000))
    ingest_begin
    mark begin
    send 0 "$scrapes"
    ingest_end "$((scrapes * series))"
}

day_rows() {
    cat <<'END'
kept_bytes_per_sample|bytes per sample, kept|%.3f
kept_data_bytes_per_sample|  data|%.3f
kept_index_bytes_per_sample|  index|%.3f
kept_samples|  samples there|%d
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
