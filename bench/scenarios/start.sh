# shellcheck shell=bash disable=SC2034,SC2154
# start.sh - measures the time from the start of a server to its first answer that it is ready: with
# an empty directory, and after SIGKILL with the longest log that Firekeep allows (8 M samples and
# 12 per series, less one scrape). The scenario `crash` counts acknowledged samples that SIGKILL
# loses.

start_about() {
    echo "ready after SIGKILL; cases: active series"
}

start_load() {
    sizes connections 16 16
    sizes series "0 100000 1000000" "0 20000 100000"
    read -ra cases <<<"$series"
}

# Starts the server on the existing data, and notes the time until it is ready.
start_again() {
    local began=${EPOCHREALTIME/./} ready
    launch_server "$name"
    ready=$("$BUILD/bench/await" "$(ready_url "$name")" 300) || give_up "is not ready in 300 s"
    note ready_ms "$(calc "($ready - $began) / 1000" %.1f)"
    note ready_cpu_s "$(calc "$(cpu_ticks) / $ticks" %.2f)"
    note ready_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
}

start_turn() {
    series=$case samples=0
    if ((series > 0)); then
        scrapes=$(((8000000 + 12 * series) / series / (QUICK == 1 ? 8 : 1) - 1))
        start_ms=$(($(now_ms) - scrapes * 15000))
        start_server "$name"
        send 0 "$scrapes" --kill "$pid"
        crash "$name"
        note log_mib "$(calc "$(log_bytes "$name") / 1048576" %.1f)"
    fi
    note samples "$samples"
    start_again
    settle
    note settled_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    finish
}

start_rows() {
    cat <<'END'
ready_ms|ready after, ms|%.0f
ready_cpu_s|  CPU s until then|%.2f
ready_rss_mib|  RSS then, MiB|%.0f
settled_rss_mib|RSS settled, MiB|%.0f
peak_rss_mib|peak RSS, MiB|%.0f
samples|samples before the kill|%d
log_mib|log on disk, MiB|%.0f
END
}

crash_about() {
    echo "acknowledged samples that SIGKILL loses"
}

crash_load() {
    sizes series 20000 20000
    sizes scrapes 100 100
}

crash_count() { # KEY
    local got
    got=$(count_kept "$name" "$((start_ms / 1000 + scrapes * 15 + 60))")
    [[ -n $got ]] || give_up "cannot be asked for its samples"
    note "$1" "$got"
}

# Sends the same load twice: to a server that is stopped in order, which shows how many samples it
# keeps at all (some drop NaN), and to one that is killed at the last acknowledgment.
crash_turn() {
    start_ms=$((start_ms - 600000))
    dir=$work/control
    mkdir "$dir"
    start_server "$name"
    send 0 "$scrapes"
    stop "$name"
    start_server "$name"
    crash_count expected_samples
    crash "$name"
    dir=$work/data
    start_server "$name"
    send 0 "$scrapes" --kill "$pid"
    crash "$name"
    note acknowledged_samples "$samples"
    start_server "$name"
    crash_count found_samples
    note lost_samples $((figure[expected_samples] - figure[found_samples]))
    finish
}

crash_rows() {
    cat <<'END'
acknowledged_samples|samples acknowledged|%d
expected_samples|kept if stopped in order|%d
found_samples|found after SIGKILL|%d
lost_samples|lost|%d
END
}
