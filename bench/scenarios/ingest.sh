# shellcheck shell=bash disable=SC2034,SC2154
# ingest.sh - sends samples of known series, or new series, at full speed, and measures until the
# server has settled: flush and merge are forced, then it is stopped; all CPU until its end counts.

ingest100k_about() {
    echo "100 000 known series at full speed; cases: connections"
}

ingest100k_load() {
    sizes series 100000 100000
    sizes scrapes 1000 40
    sizes connections "1 16" "1 16"
    read -ra cases <<<"$connections"
}

ingest100k_turn() {
    connections=$case
    ingest_begin
    # The first scrape creates the series and is not counted.
    send 0 1
    settle
    note bytes_per_series "$(calc "($(memory_kib VmRSS) - $idle_kib) * 1024 / $series" %.0f)"
    mark begin
    send 1 "$((scrapes - 1))"
    ingest_end "$((scrapes * series))"
}

ingest_begin() {
    start_server "$name"
    settle
    idle_kib=$(memory_kib VmRSS)
    note idle_rss_mib "$(calc "$idle_kib / 1024" %.1f)"
}

ingest_end() { # SAMPLES EVER SENT
    mark sent
    note_load
    note log_on_disk_bytes_per_sample "$(calc "$(log_bytes "$name") / $1" %.3f)"
    force "$name"
    settle
    mark settled
    note_storage "$name"
    note_own_metrics
    finish
    note_costs
    note_kept "$1"
}

ingest100k_rows() {
    cat <<'END'
samples_per_second|samples/s while sending|%d
cpu_s_per_million|CPU s per million samples, settled|%.3f
cpu_s_per_million_ingest|  while sending|%.3f
cpu_s_per_million_settling|  flush, merge, stop|%.3f
peak_rss_mib|peak RSS, MiB|%.0f
bytes_per_series|bytes of RSS per active series|%d
kept_bytes_per_sample|bytes per sample, kept|%.3f
log_on_disk_bytes_per_sample|bytes per sample, log on disk|%.2f
device_bytes_per_sample|device bytes written per sample|%.2f
device_bytes_per_sample_ingest|  while sending|%.2f
device_bytes_per_sample_settling|  flush, merge, stop|%.2f
log_bytes_per_sample|  of them log|%.2f
merge_bytes_per_sample|  of them merges|%.2f
flushes|flushes while sending|%d
merges|merges|%d
commits|commits (fdatasync)|%d
bytes_per_commit|bytes per commit|%d
commit_p50_ms|commit p50, ms|%.2f
commit_p99_ms|commit p99, ms|%.2f
request_p50_ms|request p50, ms|%.2f
request_p99_ms|request p99, ms|%.2f
request_max_ms|request max, ms|%.1f
retries|requests repeated|%d
sender_cpu_s_per_million|sender's CPU s per million|%.3f
END
}

ingest1m_about() {
    echo "1 000 000 known series at full speed; cases: connections"
}

ingest1m_load() {
    sizes series 1000000 1000000
    sizes scrapes 101 3
    sizes connections "1 16" "1 16"
    read -ra cases <<<"$connections"
}

ingest1m_turn() {
    ingest100k_turn
}

ingest1m_rows() {
    ingest100k_rows
}

new1m_about() {
    echo "1 000 000 new series, one sample each"
}

new1m_load() {
    sizes series 1000000 1000000
    sizes scrapes 1 1
}

new1m_turn() {
    ingest_begin
    mark begin
    send 0 "$scrapes"
    ingest_end "$((scrapes * series))"
}

new1m_rows() {
    ingest100k_rows | grep -v -e '^bytes_per_series' -e '^flushes' -e '^merge'
}
