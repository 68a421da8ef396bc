# shellcheck shell=bash disable=SC2034,SC2154
# read.sh - measures remote read of 10 M samples, 1736 series of a day, in both forms, from settled
# servers. The first read of each form warms; the others count, with their peak above the resident
# memory before.

READS=${READS:-3}

read_about() {
    echo "remote read of everything, in both forms"
}

read_load() {
    sizes series 1736 1736
    sizes scrapes 5760 576
    sizes connections 2 2
    unfit=(victoriametrics) # has no remote read
}

read_form() { # FORM
    local i cpu rss peak=0 now seconds=0 before
    "$BUILD/bench/fetch" "$url" --form "$1" >"$work/read" 2>&1 ||
        give_up "refuses the read: $(tail -n 1 "$work/read")"
    settle
    cpu=$(cpu_ticks)
    before=$(memory_kib VmRSS)
    forget_peak
    for ((i = 0; i < READS; i++)); do
        "$BUILD/bench/fetch" "$url" --form "$1" >"$work/read" || give_up "refuses the read"
        seconds=$(calc "$seconds + $(value_of seconds <"$work/read")")
    done
    peak=$(memory_kib VmHWM)
    settle
    now=$(cpu_ticks)
    samples=$(value_of samples <"$work/read")
    note "$1_samples" "$samples"
    note "$1_samples_per_second" "$(calc "$samples * $READS / $seconds" %.0f)"
    note "$1_cpu_s_per_million" \
        "$(calc "($now - $cpu) / $ticks / $READS / $samples * 1e6")"
    note "$1_rss_above_mib" "$(calc "($peak - $before) / 1024" %.1f)"
    note "$1_bytes_per_sample" "$(calc "$(value_of bytes <"$work/read") / $samples" %.3f)"
    note "$1_first_byte_ms" "$(calc "$(value_of first_byte_seconds <"$work/read") * 1000" %.1f)"
}

read_turn() {
    start_server "$name"
    send 0 "$scrapes"
    force "$name"
    settle
    note idle_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    read_form xor
    read_form samples
    finish
}

read_form_rows() { # FORM LABEL
    cat <<END
$1_samples|$2: samples|%d
$1_samples_per_second|  samples/s|%d
$1_cpu_s_per_million|  CPU s per million|%.4f
$1_rss_above_mib|  RSS above idle, MiB|%.1f
$1_bytes_per_sample|  bytes of answer per sample|%.2f
$1_first_byte_ms|  first byte after, ms|%.1f
END
}

read_rows() {
    read_form_rows xor STREAMED_XOR_CHUNKS
    read_form_rows samples SAMPLES
    echo "idle_rss_mib|RSS before, MiB|%.0f"
}
