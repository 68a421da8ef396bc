# shellcheck shell=bash disable=SC2034,SC2154
# memory.sh - measures the peak memory with a million active series: after 12 scrapes; then over 120
# scrapes with churn, with a forced merge and a read of about 10 M samples in the middle.

memory1m_about() {
    echo "1 000 000 active series, 120 scrapes, 5 % churn an hour, a large read meanwhile"
}

memory1m_load() {
    sizes series 1000000 100000
    sizes scrapes 120 24
    sizes connections 16 16
    sizes churn 5 5
}

# Prints the number of copies of the fleet that have SAMPLES together when half of the load was
# sent.
copies_for() { # SAMPLES
    local models
    models=$(value_of models <"$work/load")
    calc "($1 / ($scrapes / 2 * $models)) + 1" %d
}

# Prints a regular expression for the instances of the first copies, at most 99.
memory_matcher() { # COPIES
    local copies=$(($1 < 99 ? $1 : 99))
    local tens=$((copies / 10)) ones=$((copies % 10)) parts=()
    ((tens == 0)) || parts+=("[0-$((tens - 1))][0-9]")
    ((ones == 0)) || parts+=("${tens}[0-$((ones - 1))]")
    echo "c00(${parts[0]}${parts[1]:+|${parts[1]}})[-.].*"
}

memory_read() { # MATCHER
    case $name in
    victoriametrics) # finds the latest samples only after a flush
        ask -o /dev/null "$url/internal/force_flush"
        "$BUILD/bench/fetch" "$url/api/v1/export?match%5B%5D=%7Binstance%3D~%22$1%22%7D" --form plain
        ;;
    *) "$BUILD/bench/fetch" "$url" --form xor --match "instance=$1" ;;
    esac >"$work/read" 2>"$work/read.trouble"
}

memory_merge() {
    case $name in
    firekeep) ask -o /dev/null -XPOST "$url/api/v1/admin/tsdb/merge?full=true" ;;
    victoriametrics) ask -o /dev/null "$url/internal/force_merge" ;;
    esac
}

memory1m_turn() {
    local first=$((scrapes / 10)) middle=$((scrapes / 2)) wanted=10000000 matcher reader merger
    ((QUICK == 0)) || wanted=1000000
    ingest_begin
    mark begin
    send 0 "$first"
    note peak_rss_mib_first "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    note bytes_per_series "$(calc "($(memory_kib VmHWM) - $idle_kib) * 1024 / $series" %.0f)"
    send "$first" "$((middle - first))"
    note rss_mib_middle "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    matcher=$(memory_matcher "$(copies_for $wanted)")
    memory_read "$matcher" &
    reader=$!
    memory_merge &
    merger=$!
    send "$middle" "$((scrapes - middle))"
    note_load
    wait "$reader" || give_up "refuses the read: $(tail -n 1 "$work/read.trouble")"
    wait "$merger" || give_up "refuses to merge"
    mark sent
    [[ $name == victoriametrics ]] || note read_samples "$(value_of samples <"$work/read")"
    note read_mib "$(calc "$(value_of bytes <"$work/read") / 1048576" %.1f)"
    note read_seconds "$(value_of seconds <"$work/read")"
    samples=$((scrapes * series))
    settle
    note rss_mib_settled "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    mark settled
    note_own_metrics
    finish
    note_costs
}

memory1m_rows() {
    cat <<'END'
peak_rss_mib_first|peak RSS after a tenth, MiB|%.0f
bytes_per_series|  bytes per active series|%d
peak_rss_mib|peak RSS in all, MiB|%.0f
rss_mib_middle|RSS before the read, MiB|%.0f
rss_mib_settled|RSS settled, MiB|%.0f
read_samples|samples read meanwhile|%d
read_mib|  MiB|%.1f
read_seconds|  seconds|%.2f
flushes|flushes|%d
merges|merges|%d
cpu_s_per_million|CPU s per million samples, all|%.3f
request_p99_ms|request p99 beside the read, ms|%.1f
request_max_ms|request max, ms|%.0f
retries|requests repeated|%d
END
}
