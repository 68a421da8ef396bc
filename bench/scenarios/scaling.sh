# shellcheck shell=bash disable=SC2034,SC2154
# scaling.sh - the machines of docs/scaling.md beside a Firekeep with its own store, one after the
# other, with the same samples: two shards of ClickHouse 18.16, two Firekeeps without a store, nginx.
# CPU is that of all processes of a case. After the write all parts are merged; then each query is
# sent READS times, and the median counts.
#
# Cases: store; scaled; scaled-log (the Firekeeps keep a log, wal.ack=fsync, instead of waiting).

READS=${READS:-5}

scaling_about() {
    echo "Firekeeps without a store before two shards of ClickHouse, and a store; samples per CPU second, query latency"
}

scaling_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    sizes series 10000 2000
    sizes scrapes 100 20
    sizes connections 8 8
    cases=(store scaled scaled-log)
    [[ -z ${CASES-} ]] || read -ra cases <<<"$CASES"
}

# Prints the CPU ticks of all processes of the case.
all_ticks() {
    local each sum=0
    for each in "${pids[@]}"; do
        [[ -z $each ]] || sum=$((sum + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$each/stat")))
    done
    echo "$sum"
}

# Merges all parts, as the others do it for a store.
merge_all() {
    local shard
    if [[ $case == store ]]; then
        force "$name"
    else
        for shard in ch1 ch2; do
            shard_query "$shard" 'OPTIMIZE TABLE metrics.samples_local FINAL' || give_up "$shard does not merge"
        done
    fi
}

all_are_delivered() { # with a log, after the last answer
    [[ $case == store || $(shard_query ch1 'SELECT count() FROM metrics.samples') -ge $samples ]]
}

start_machines() { # WAL-ACK
    local shard work
    work=$(realpath -m "$dir") # which the turn removes after its line is written
    name_machines
    for shard in ch1 ch2; do
        start_shard "$shard" && create_tables "$shard" || return 1
    done
    start_front fk1 ch1 --wal.ack="$1" && start_front fk2 ch2 --wal.ack="$1" && start_balancer || return 1
    url=http://${at[lb:9200]}
}

# Notes the median of the times of a query over the last hour of the load.
ask_often() { # KEY EXPRESSION
    local i end_s=$((start_ms / 1000 + scrapes * 15))
    for ((i = 0; i <= READS; i++)); do
        ask -o "$work/answer" -w '%{time_total}\n' "$url/api/v1/query_range" --data-urlencode "query=$2" \
            -d "start=$((end_s - 3600))" -d "end=$end_s" -d step=60 || give_up "refuses a query"
        ((i > 0)) || grep -q '"values":' "$work/answer" || give_up "a query has no result"
    done | sed 1d | sort -n >"$work/times" # the first one warms
    note "$1_ms" "$(calc "$(sed -n "$((READS / 2 + 1))p" "$work/times") * 1000" %.1f)"
}

scaling_turn() {
    local before ingested
    case $case in
    store) start_server "$name" ;;
    scaled) start_machines destination ;;
    scaled-log) start_machines fsync ;;
    esac || give_up "a shard, a Firekeep or nginx does not start"
    before=$(all_ticks)
    send 0 "$scrapes"
    samples=$(value_of samples <"$work/load")
    within 120 all_are_delivered || give_up "does not deliver"
    ingested=$(all_ticks)
    merge_all
    note samples "$samples"
    note samples_per_second "$(calc "$samples / $(value_of seconds <"$work/load")" %.0f)"
    note request_p99_ms "$(value_of request_p99_ms <"$work/load")"
    note samples_per_cpu_s "$(calc "$samples * $ticks / ($(all_ticks) - $before)" %.0f)"
    note samples_per_cpu_s_ingest "$(calc "$samples * $ticks / ($ingested - $before)" %.0f)"
    ask_often one 'sum(node_load1)'
    ask_often rate 'sum by (mode) (rate(node_cpu_seconds_total[5m]))'
    ask_often many 'count({__name__=~"node_.+"})'
    stop_all
}

scaling_rows() {
    cat <<END
samples|samples|%d
samples_per_second|  samples/s|%d
request_p99_ms|  request p99, ms|%.1f
samples_per_cpu_s_ingest|  samples/CPU s, until all is delivered|%d
samples_per_cpu_s|  samples/CPU s, with merges|%d
one_ms|query: sum(node_load1), ms|%.1f
rate_ms|query: rate by mode, ms|%.1f
many_ms|query: count of all, ms|%.1f
END
}
