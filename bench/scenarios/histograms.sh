# shellcheck shell=bash disable=SC2034,SC2154
# histograms.sh - measures streamed remote read of native histograms in parts or blocks: those of a
# capture (exponential and custom buckets, scraped every second), sent $scrapes times, with integer
# and with float counts. Servers are restarted before the reads, Prometheus on a snapshot, so that
# all samples come from files. All are read once and READS times more; then hours with different
# begins.

HOURS=${HOURS:-40}

histograms_about() {
    echo "streamed remote read of native histograms; cases: their counts"
}

histograms_load() {
    sizes scrapes 100 8
    cases=(integer float)
    # Prometheus 2.42 does not accept custom buckets.
    unfit=(prometheus victoriametrics)
    features=(native-histograms)
}

histograms_send() {
    local form=()
    [[ $case == integer ]] || form=(--float)
    end_ms=$(now_ms)
    "$BUILD/bench/histograms" "$SAMPLES/v2hist.rw" "$url" --times "$scrapes" --end-ms "$end_ms" \
        "${form[@]}" >"$work/load" 2>"$work/load.trouble" ||
        give_up "refuses samples: $(head -n 1 "$work/load.trouble")"
    begin_ms=$(value_of begin_ms <"$work/load")
    span_s=$(((end_ms - begin_ms) / 1000))
}

histograms_restart() {
    stop "$name" || give_up "ends badly"
    [[ $name != prometheus* ]] || dir=$(compgen -G "$dir/snapshots/*" | head -n 1)
    start_server "$name"
    settle
}

histograms_fetch() { # [ARGUMENT...]
    "$BUILD/bench/fetch" "$url" --form xor "$@" >"$work/read" 2>&1 ||
        give_up "refuses the read: $(tail -n 1 "$work/read")"
}

histograms_first() {
    local cpu
    cpu=$(cpu_ticks)
    histograms_fetch
    settle 2
    note first_cpu_s_per_million \
        "$(calc "($(cpu_ticks) - $cpu) / $ticks / $(value_of samples <"$work/read") * 1e6")"
}

histograms_hours() {
    local i cpu from samples=0
    cpu=$(cpu_ticks)
    for ((i = 0; i < HOURS; i++)); do
        from=$((begin_ms + (end_ms - begin_ms - 3600000) / HOURS * i + i * 977))
        histograms_fetch --start "$from" --end $((from + 3600000))
        samples=$((samples + $(value_of samples <"$work/read")))
    done
    settle 2
    note hours_cpu_s_per_million "$(calc "($(cpu_ticks) - $cpu) / $ticks / $samples * 1e6")"
}

histograms_turn() {
    local begin_ms end_ms
    start_server "$name"
    histograms_send
    force "$name"
    histograms_restart
    histograms_first
    read_form xor
    histograms_hours
    finish
}

histograms_rows() {
    read_form_rows xor STREAMED_XOR_CHUNKS
    echo "first_cpu_s_per_million|the first read: CPU s per million|%.4f"
    echo "hours_cpu_s_per_million|an hour of it: CPU s per million|%.4f"
}
