# shellcheck shell=bash disable=SC2154
# measure.sh - sourced by bench/run: measures the CPU, memory and disk traffic of a server. `name`,
# `dir`, `port`, `url` and `pid` are those of the current turn.
#
#   note KEY VALUE          records a figure of this turn
#   calc EXPRESSION [FMT]   prints the value of an awk expression
#   give_up REASON          ends this turn; the others go on
#   settle [S]              waits until the server used less than 1 % of a processor for S seconds
#   mark NAME               records CPU, bytes written, and metrics up to now
#   send FIRST COUNT        sends these scrapes of the load; answers go to $work/load
#   finish                  stops the server and marks `end`, which includes the work of stopping

ticks=$(getconf CLK_TCK)
declare -A figure cpu_at io_at
figure_keys=()

note() {
    [[ -n $2 ]] || give_up "found no $1"
    [[ -n ${figure[$1]-} ]] || figure_keys+=("$1")
    figure[$1]=${2// /_}
}

calc() {
    awk "BEGIN { printf \"${2:-%.4f}\", $1 }"
}

value_of() { # KEY < LINES
    sed -n "s/^$1=//p"
}

cpu_ticks() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"
}

memory_kib() { # FIELD
    awk -v field="$1:" '$1 == field { print $2 }' "/proc/$pid/status"
}

# Resets the peak VmHWM to VmRSS.
forget_peak() {
    echo 5 >"/proc/$pid/clear_refs"
}

# Prints the bytes written to the disk by all processes of the machine: the kernel's count of one
# process has whole folios for every small write that is synced.
written_bytes() {
    sync -f "$base"
    awk '{ printf "%.0f\n", $7 * 512 }' "/sys/dev/block/$device/stat"
}

settle() { # [SECONDS]
    local quiet=${1:-$QUIET} now second before=()
    for ((second = 0; second < SETTLE_MAX + quiet; second++)); do
        now=$(cpu_ticks 2>/dev/null)
        [[ -n $now ]] || give_up "ended by itself"
        before+=("$now")
        ((second < quiet)) || ((now - before[second - quiet] >= ticks * quiet / 100)) || return 0
        sleep 1
    done
    note unsettled 1
}

metrics_of() { # FILE
    ask "$url/metrics" >"$1" 2>/dev/null || : >"$1"
}

mark() { # NAME
    cpu_at[$1]=$(cpu_ticks)
    metrics_of "$work/metrics.$1"
    io_at[$1]=$(written_bytes)
}

cpu_between() { # FROM TO: seconds
    calc "(${cpu_at[$2]} - ${cpu_at[$1]}) / $ticks"
}

io_between() { # FROM TO
    echo $((io_at[$2] - io_at[$1]))
}

# Prints the increase of a counter; 0 if the server does not have it.
rose() { # METRIC FROM TO
    awk -v name="$1" '
        FNR == 1 { file++ }
        $1 == name { value[file] = $2 }
        END { printf "%.0f\n", value[2] - value[1] }' "$work/metrics.$2" "$work/metrics.$3"
}

# Prints a quantile of the observations of a histogram between two marks, interpolated in its
# bucket.
quantile() { # HISTOGRAM SHARE FROM TO
    awk -v name="$1_bucket" -v share="$2" '
        FNR == 1 { file++; n = 0 }
        index($1, name "{le=\"") == 1 {
            bound = $1
            sub(/.*le="/, "", bound)
            sub(/".*/, "", bound)
            n++
            if (file == 1) before[n] = $2
            else { count[n] = $2 - before[n]; le[n] = bound; last = n }
        }
        END {
            for (i = 1; i <= last; i++) {
                if (count[i] < share * count[last] || count[i] == 0) continue
                low = i > 1 ? le[i - 1] : 0
                under = i > 1 ? count[i - 1] : 0
                if (le[i] == "+Inf") { print low; exit }
                print low + (le[i] - low) * (share * count[last] - under) / (count[i] - under)
                exit
            }
            print 0
        }' "$work/metrics.$3" "$work/metrics.$4"
}

load_arguments() {
    printf '%s\n' --series "$series" --connections "$connections" --batch "$batch" \
        --version "$version" --churn "$churn" --late "$late" --start-ms "$start_ms" \
        --interval-ms "$((interval_s * 1000))"
}

send() { # FIRST COUNT [ARGUMENT...]
    local first=$1 count=$2 arguments
    shift 2
    mapfile -t arguments < <(load_arguments)
    "$BUILD/bench/load" "$capture" "$url" --skip "$first" --scrapes "$count" "${arguments[@]}" "$@" \
        >"$work/load" 2>"$work/load.trouble" ||
        give_up "refuses samples: $(head -n 1 "$work/load.trouble")"
    samples=$(value_of samples <"$work/load")
}

# Writes the CPU time into FILE until the process is gone, so that at most its last 20 ms are
# missing.
watch_end() { # FILE
    local now
    while now=$(cpu_ticks 2>/dev/null) && [[ -n $now ]]; do
        echo "$now" >"$1"
        sleep 0.02
    done
}

finish() {
    note peak_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    cpu_ticks >"$work/last" # the server may be gone before the first look
    watch_end "$work/last" &
    local watcher=$!
    stop "$name" || note ended_badly 1
    wait "$watcher"
    read -r "cpu_at[end]" <"$work/last"
    io_at[end]=$(written_bytes)
}

# --- figures that several scenarios have ----------------------------------------------------------

note_load() {
    local seconds make
    seconds=$(value_of seconds <"$work/load") make=$(value_of make_seconds <"$work/load")
    note samples "$samples"
    note seconds "$seconds"
    note paused_seconds "$make"
    note samples_per_second "$(calc "$samples / $seconds" %.0f)"
    local key
    for key in retries request_p50_ms request_p99_ms request_max_ms; do
        note "$key" "$(value_of "$key" <"$work/load")"
    done
    note sender_cpu_s_per_million \
        "$(calc "$(value_of sender_cpu_seconds <"$work/load") / $samples * 1e6")"
}

# Notes CPU and bytes written per sample of $samples, from `begin` to `sent` and from there to
# `end`.
note_costs() {
    local ingest after
    ingest=$(cpu_between begin sent) after=$(cpu_between sent end)
    note cpu_s_per_million_ingest "$(calc "$ingest / $samples * 1e6")"
    note cpu_s_per_million_settling "$(calc "$after / $samples * 1e6")"
    note cpu_s_per_million "$(calc "($ingest + $after) / $samples * 1e6")"
    note device_bytes_per_sample_ingest "$(calc "$(io_between begin sent) / $samples" %.3f)"
    note device_bytes_per_sample_settling "$(calc "$(io_between sent end) / $samples" %.3f)"
    note device_bytes_per_sample "$(calc "$(io_between begin end) / $samples" %.3f)"
}

# Notes metrics that only Firekeep has, from `begin` to `sent`; those of merges to `settled`.
note_own_metrics() {
    [[ $name == firekeep ]] || return 0
    local commits bytes seconds=firekeep_wal_commit_duration_seconds
    commits=$(rose firekeep_wal_commits_total begin sent)
    bytes=$(rose firekeep_wal_commit_bytes_total begin sent)
    note commits "$commits"
    note commit_p50_ms "$(calc "$(quantile $seconds 0.5 begin sent) * 1000" %.3f)"
    note commit_p99_ms "$(calc "$(quantile $seconds 0.99 begin sent) * 1000" %.3f)"
    note bytes_per_commit "$(calc "$bytes / ($commits > 0 ? $commits : 1)" %.0f)"
    note log_bytes_per_sample "$(calc "$bytes / $samples" %.3f)"
    note flushes "$(rose firekeep_flushes_total begin sent)"
    note merges "$(rose firekeep_merges_total begin settled)"
    note merge_bytes_per_sample \
        "$(calc "$(rose firekeep_merge_written_bytes_total begin settled) / $samples" %.3f)"
}

# Notes the stored bytes per sample; follows finish(). ALL is the number of samples ever sent.
note_kept() { # ALL
    local kept index
    kept=$(kept_bytes "$name") index=$(index_bytes "$name")
    note kept_bytes_per_sample "$(calc "$kept / $1")"
    note kept_samples "$(kept_samples "$name")"
    note kept_data_bytes_per_sample "$(calc "($kept - $index) / $1")"
    note kept_index_bytes_per_sample "$(calc "$index / $1")"
}
