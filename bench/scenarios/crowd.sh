# shellcheck shell=bash disable=SC2034,SC2154
# crowd.sh - runs queries of bench/promql/queries.txt over a billion samples, 5,800 series of a
# month, under a memory limit: one at a time those that read all samples; then 64 at a time those
# that read the last days, while samples arrive at a steady rate. The traffic is measured alone as
# well.

CROWD_BESIDE=${CROWD_BESIDE:-$((QUICK == 1 ? 10 : 120))} # seconds of traffic beside queries
CROWD_RATE=${CROWD_RATE:-20000}
crowd_queries=(crowd_rates crowd_top crowd_quantile crowd_changes)

crowd_about() {
    echo "queries that read everything, 64 at a time beside live traffic; cases: memory.limit"
}

crowd_load() {
    unfit=(prometheus prometheus3 victoriametrics)
    cases=(512MiB)
    sizes series 5800 580
    sizes scrapes 172800 17280
    sizes connections 2 2
}

crowd_ask() { # SET ARGUMENT...
    local mode=$1 key value
    shift
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set "$mode" --end-s "$end_s" \
        --pid "$pid" --nocache "$@" >"$work/asked" || give_up "ends while it is asked ($mode)"
    while IFS='=' read -r key value; do
        value=$(tr -c 'A-Za-z0-9.:/%+\n-' '_' <<<"$value")
        note "$mode.$key" "${value:0:120}"
    done <"$work/asked"
}

# Sends live scrapes from FIRST on; the figures go to $work/traffic.NAME.
crowd_traffic() { # NAME FIRST SECONDS
    "$BUILD/bench/load" "$capture" "$url" --cluster bench/promql/cluster.txt --skip "$2" \
        --scrapes "$(calc "$CROWD_RATE * $3 / $series + 1" %d)" --rate "$CROWD_RATE" \
        --series "$series" --connections "$connections" --batch "$batch" --start-ms "$start_ms" \
        >"$work/traffic.$1" 2>"$work/traffic.$1.trouble"
}

crowd_turn() {
    local traffic more
    more=$(calc "$CROWD_RATE * (20 + $CROWD_BESIDE) / $series + 3" %d) # scrapes that come live
    start_ms=$(($(now_ms) - (scrapes + more) * 15000))
    end_s=$((start_ms / 1000 + scrapes * 15))
    # With delayed removal of names, functions do not fail because two series become equal.
    flags=(--query.features=delayed-name-removal --memory.limit="$case" --query.timeout=10m --query.queue-timeout=5m --read.timeout=1h)
    start_server "$name"
    send 0 "$scrapes" --cluster bench/promql/cluster.txt
    note samples "$samples"
    force "$name"
    settle
    note kept_bytes_per_sample "$(calc "$(kept_bytes "$name") / $samples")"
    note idle_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
    crowd_ask billion --least 2 --most 2
    crowd_traffic before "$scrapes" 20 || give_up "refuses samples"
    crowd_traffic beside "$(calc "$scrapes + $CROWD_RATE * 20 / $series + 1" %d)" "$CROWD_BESIDE" &
    traffic=$!
    forget_peak
    crowd_ask crowd --clients 64 --least 64 --most 100000 --budget-s 0 --refusals
    note crowd_rss_mib "$(calc "$(memory_kib VmHWM) / 1024" %.1f)"
    wait "$traffic" || give_up "refuses samples beside queries"
    local key
    for key in request_p50_ms request_p99_ms request_max_ms retries; do
        note "before_$key" "$(value_of "$key" <"$work/traffic.before")"
        note "beside_$key" "$(value_of "$key" <"$work/traffic.beside")"
    done
    finish
}

crowd_rows() {
    local query
    echo "samples|samples read by each query|%d"
    echo "kept_bytes_per_sample|bytes kept per sample|%.3f"
    echo "idle_rss_mib|RSS before, MiB|%.0f"
    for query in "${crowd_queries[@]}"; do
        cat <<END
billion.$query.p50_ms|$query, alone, ms|%.0f
billion.$query.cpu_ms|  CPU, ms|%.0f
billion.$query.above_kib|  memory above, without mapped files, KiB|%.0f
crowd.$query.requests|  64 at a time: answered|%d
crowd.$query.refused|    refused|%d
crowd.$query.p50_ms|    p50, ms|%.0f
END
    done
    cat <<END
crowd_rss_mib|peak RSS with 64 queries, MiB|%.0f
before_request_p50_ms|writes, no queries: p50, ms|%.2f
before_request_p99_ms|  p99, ms|%.2f
beside_request_p50_ms|writes beside 64 queries: p50, ms|%.2f
beside_request_p99_ms|  p99, ms|%.2f
beside_request_max_ms|  greatest, ms|%.1f
beside_retries|  requests repeated|%d
END
}
