# shellcheck shell=bash disable=SC2034,SC2154
# servers.sh - sourced by bench/run: controls the compared servers with the same functions.
#
#   program_of NAME, version_of NAME, command_of NAME     print program, version and command line
#   start_server NAME       starts it in $dir at $port; it is ready on return
#   force NAME              makes it flush and merge everything
#   log_bytes NAME          prints the bytes that a restart would read again
#   kept_bytes NAME, index_bytes NAME     print the bytes of its final files and their index
#   kept_samples NAME       prints the number of samples in its final files
#   count_kept NAME         reads samples back and prints their number
#
# Prometheus cannot be made to compact: it checks once a minute, and a snapshot then writes the rest
# of the head to a block.

all_servers=(firekeep prometheus prometheus3 victoriametrics)
peers=build/peers
flags=() # arguments for Firekeep that the scenario sets; below those of the others
prometheus_flags=()
victoriametrics_flags=()
out_of_order= # Prometheus' window for late samples; empty: none
features=()   # for Prometheus' --enable-feature

program_of() {
    case $1 in
    firekeep) echo "build/firekeep" ;;
    prometheus) command -v prometheus ;;
    prometheus3) echo "$peers/prometheus/usr/bin/prometheus" ;;
    victoriametrics) echo "$peers/victoria-metrics/usr/bin/victoria-metrics" ;;
    influxdb) command -v influxd ;;
    *) return 1 ;;
    esac
}

is_there() {
    local program
    program=$(program_of "$1") && [[ -x $program ]]
}

version_of() {
    local log=$peers/victoria-metrics/usr/share/doc/victoria-metrics/changelog.Debian.gz
    case $1 in
    firekeep) build/firekeep version | sed 's/ (.*//' ;;
    influxdb) influxd version | sed 's/ (.*//' ;;
    victoriametrics) zcat "$log" | sed -n '1s/) .*/)/p' ;; # has no command for it
    *) "$(program_of "$1")" --version 2>&1 | sed -n '1s/ (.*//p' ;;
    esac
}

# Prints the arguments, one per line, with DIR and PORT as placeholders of a run's values.
arguments_of() {
    case $1 in
    firekeep)
        printf '%s\n' serve "--storage.path=DIR" "--web.listen-address=127.0.0.1:PORT" \
            --wal.ack=fsync --web.enable-admin-api
        ;;
    prometheus | prometheus3)
        printf '%s\n' "--config.file=DIR.yml" "--storage.tsdb.path=DIR" \
            "--web.listen-address=127.0.0.1:PORT" --web.enable-remote-write-receiver \
            --web.enable-admin-api --log.level=warn
        ((${#features[@]} == 0)) || printf '%s\n' "--enable-feature=$(IFS=, && echo "${features[*]}")"
        ((${#prometheus_flags[@]} == 0)) || printf '%s\n' "${prometheus_flags[@]}"
        ;;
    influxdb) printf '%s\n' run -config DIR.conf ;;
    victoriametrics)
        printf '%s\n' "-storageDataPath=DIR" "-httpListenAddr=127.0.0.1:PORT" \
            -retentionPeriod=10y -loggerLevel=WARN -selfScrapeInterval=0
        ((${#victoriametrics_flags[@]} == 0)) || printf '%s\n' "${victoriametrics_flags[@]}"
        ;;
    esac
    ((${#flags[@]} == 0)) || [[ $1 != firekeep ]] || printf '%s\n' "${flags[@]}"
}

command_of() {
    local name=$1 window=
    [[ $name != prometheus* || -z $out_of_order ]] || window=" out_of_order_time_window=$out_of_order"
    echo "$(basename "$(program_of "$name")") $(arguments_of "$name" | tr '\n' ' ')$window"
}

ready_url() {
    case $1 in
    victoriametrics) echo "$url/health" ;;
    influxdb) echo "$url/ping" ;;
    *) echo "$url/-/ready" ;;
    esac
}

# Starts the server without waiting until it is ready.
launch_server() {
    local arguments
    mapfile -t arguments < <(arguments_of "$1" | sed "s|DIR|$dir|g; s|PORT1|$((port + 1))|g; s|PORT|$port|g")
    url=http://127.0.0.1:$port
    echo 'global: {}' >"$dir.yml"
    [[ -z $out_of_order ]] ||
        printf 'storage:\n  tsdb:\n    out_of_order_time_window: %s\n' "$out_of_order" >>"$dir.yml"
    printf '%s\n' "bind-address = \"127.0.0.1:$((port + 1))\"" '[meta]' "dir = \"$dir/meta\"" '[data]' "dir = \"$dir/data\"" \
        "wal-dir = \"$dir/wal\"" 'query-log-enabled = false' '[http]' "bind-address = \"127.0.0.1:$port\"" \
        'log-enabled = false' >"$dir.conf"
    start "$1" "$(program_of "$1")" "${arguments[@]}"
    # shellcheck disable=SC2154 # set by tests/lib.sh
    pid=${pids[$(_index_of "$1")]}
}

start_server() {
    launch_server "$1"
    "$BUILD/bench/await" "$(ready_url "$1")" 120 >"$work/ready" ||
        give_up "does not start: $(tail -n 1 "$work/$1.log")"
}

# Calls curl with a time limit, so that a server that never answers costs one turn.
ask() { # CURL-ARGUMENT...
    curl -fsS --noproxy '*' --max-time 1800 "$@"
}

force() {
    case $1 in
    firekeep)
        ask -o /dev/null -XPOST "$url/api/v1/admin/tsdb/flush" &&
            ask -o /dev/null -XPOST "$url/api/v1/admin/tsdb/merge?full=true"
        ;;
    prometheus*)
        # A head of more than three hours is compacted at the next check, which comes within a
        # minute.
        ((span_s < 3 * 3600 || QUICK == 1)) || settle 65
        ask -o /dev/null -XPOST "$url/api/v1/admin/tsdb/snapshot"
        ;;
    victoriametrics)
        ask -o /dev/null "$url/internal/force_flush" && ask -o /dev/null "$url/internal/force_merge"
        ;;
    esac || give_up "cannot be told to flush and merge"
}

bytes_in() { # PATH...
    local path sum=0 size
    for path; do
        [[ -e $path ]] || continue
        size=$(du -s --block-size=1 "$path" | cut -f 1)
        sum=$((sum + size))
    done
    echo "$sum"
}

kept_bytes() {
    case $1 in
    firekeep) bytes_in "$dir/parts" ;;
    prometheus*) bytes_in "$dir/snapshots" ;;
    *) bytes_in "$dir/data" "$dir/indexdb" ;;
    esac
}

# Firekeep has index and data in one file and reports their sizes while it runs (note_storage).
index_bytes() {
    case $1 in
    firekeep) echo "${firekeep_index_bytes:-0}" ;;
    prometheus*) bytes_in "$dir"/snapshots/*/*/index ;;
    *) bytes_in "$dir/indexdb" "$dir/data/indexdb" ;;
    esac
}

note_storage() {
    [[ $1 == firekeep ]] || return 0
    firekeep_index_bytes=$(ask "$url/api/v1/status/storage" |
        sed 's/.*"parts":{"parts"//; s/.*"indexBytes":\([0-9]*\)},"partitions".*/\1/')
}

# Makes Firekeep downsample all samples that are an hour old, from its next start on.
downsample_to() { # RESOLUTION
    printf '%s\n' 'downsampling:' "    - {match: '{}', after: 1h, resolution: $1}" >"$work/levels.yml"
    flags+=("--config.file=$work/levels.yml")
}

# Fewer samples than were sent if a server drops NaN, or has some only in its log.
kept_samples() {
    case $1 in
    firekeep) sed -n 's/^firekeep_part_samples //p' "$work/metrics.settled" ;;
    prometheus*)
        cat "$dir"/snapshots/*/*/meta.json | awk '
            /"numSamples"/ { gsub(/[^0-9]/, ""); sum += $0 }
            END { printf "%.0f\n", sum }'
        ;;
    *)
        awk '/^vm_rows\{type="storage/ { sum += $2 } END { printf "%.0f\n", sum }' \
            "$work/metrics.settled"
        ;;
    esac
}

log_bytes() {
    case $1 in
    firekeep) bytes_in "$dir/wal" ;;
    prometheus*) bytes_in "$dir/wal" "$dir/wbl" "$dir/chunks_head" ;;
    *) echo 0 ;;
    esac
}

# Reads from Prometheus and Firekeep by remote read; VictoriaMetrics counts in a query at the time
# $2.
count_kept() { # NAME UNIX-SECONDS
    case $1 in
    victoriametrics)
        ask -G "$url/api/v1/query" --data-urlencode 'query=sum(count_over_time({__name__=~".+"}[1d]))' \
            -d "time=$2" -d nocache=1 |
            sed -n 's/.*"result":\[\].*/0/p; s/.*\[[0-9.]*,"\([0-9]*\)"\].*/\1/p'
        ;;
    *) "$BUILD/bench/fetch" "$url" --form xor | value_of samples ;;
    esac
}
