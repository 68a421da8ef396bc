# shellcheck shell=bash disable=SC2034,SC2154
# promql.sh - runs the queries of bench/promql/queries.txt over four sets of settled data: 1,000
# series of a month, 10,000 of a day, 100,000 of an hour, and native histograms. Prometheus serves a
# snapshot, so that every server reads from its files and not from its head. The case `head` is the
# hour in the heads of servers that were not stopped since they received it. The modes are
#
#   first     each query once, one after the other, after a start with the files not in the page
#             cache; caches of results are off (nocache=1)
#   warm      each query many times by one client, with nocache=1
#   cached    each query many times, each time a step later, as a dashboard refreshes: the server's
#             own cache of results counts
#   eight     each query by eight clients at a time, with nocache=1
#   fresh     each heavy query once after a start; the server's peak of memory counts
#
# Before that the answers are compared by their digests (bench/lib/digest.h). The data stay in
# $base/promql for the rounds; KEEP=1 keeps them for the next run, too. SETS="day hour" chooses.

read -ra SETS <<<"${SETS:-month day hour head native}"
KEEP=${KEEP:-0}
promql_modes=(first warm cached eight fresh)

promql_about() {
    echo "PromQL of dashboards; cases: the data"
}

promql_load() {
    cases=("${SETS[@]}")
    unfit=(prometheus) # Prometheus 2.42 lacks some functions
    features=(native-histograms)
    connections=2
    series=0 scrapes=0 # set by promql_sizes
    flags+=(--read.timeout=1h)
    prometheus_flags=(--storage.tsdb.retention.time=10y --query.timeout=1h
        --query.max-samples=2000000000)
    victoriametrics_flags=(-search.maxQueryDuration=1h -search.maxQueueDuration=1h
        -search.maxSamplesPerQuery=10000000000 -search.maxUniqueTimeseries=1000000)
}

# Prints the set of queries of a case.
promql_set() { # CASE
    echo "${1/#head/hour}"
}

# Sets `series` and `scrapes` for the set of the case.
promql_sizes() {
    set=$(promql_set "$case")
    case $set in
    month) series=1000 scrapes=$((QUICK ? 11520 : 172800)) ;;
    day) series=$((QUICK ? 2000 : 10000)) scrapes=5760 ;;
    hour) series=$((QUICK ? 5000 : 100000)) scrapes=240 ;;
    native) series=37 scrapes=12 ;; # 22 minutes each
    esac
    ((QUICK == 0 || scrapes != 5760)) || scrapes=1440
    span_s=$((scrapes * 15))
    note series "$series"
    note scrapes "$scrapes"
}

promql_send() {
    if [[ $set != native ]]; then
        start_ms=$(((end_s - span_s) * 1000))
        send 0 "$scrapes" --cluster bench/promql/cluster.txt
        return
    fi
    span_s=$((scrapes * 1320))
    "$BUILD/bench/histograms" "$SAMPLES/v2hist.rw" "$url" --times "$scrapes" \
        --end-ms "${end_s}000" >"$work/load" 2>"$work/load.trouble" ||
        give_up "refuses samples: $(head -n 1 "$work/load.trouble")"
}

# Sets `end_s`, the same for all servers: the time at which the first of them was loaded.
promql_end() {
    local file=$base/promql/$set.end
    stamp="$series $scrapes $(cat bench/promql/cluster.txt "$capture" | cksum)"
    mkdir -p "$base/promql"
    [[ $(head -n 1 "$file" 2>/dev/null) == "$stamp" ]] ||
        printf '%s\n' "$stamp" "$(date +%s)" >"$file"
    end_s=$(sed -n 2p "$file")
}

# Prints the seconds for which a server must be quiet after its start; Prometheus checks once a
# minute.
promql_look_s() {
    if [[ $name == prometheus* ]] && ((QUICK == 0)); then
        echo 65
    else
        echo "$QUIET"
    fi
}

# Makes the data in $dir, or takes them from the rounds before if they are the same.
promql_prepare() {
    local kept=$base/promql/$set-$name
    stamp+=" $end_s $(version_of "$name")"
    dir=$kept/data
    [[ $name != prometheus* ]] || dir=$kept/snapshot
    [[ $(cat "$kept/stamp" 2>/dev/null) != "$stamp" ]] || return 0
    rm -rf "$kept"
    mkdir -p "$kept/data"
    dir=$kept/data
    start_server "$name"
    promql_send
    settle
    force "$name"
    settle
    stop "$name" || give_up "ends badly"
    if [[ $name == prometheus* ]]; then
        mv "$kept"/data/snapshots/* "$kept/snapshot" && rm -rf "$kept/data"
        dir=$kept/snapshot
    fi
    # The server may rewrite its files after a start, so it is started once more.
    start_server "$name"
    settle "$(promql_look_s)"
    stop "$name" || give_up "ends badly"
    echo "$stamp" >"$kept/stamp"
}

promql_forget_pages() {
    local file
    sync -f "$dir"
    find "$dir" -type f | while read -r file; do
        dd if="$file" iflag=nocache count=0 2>/dev/null
    done
}

promql_bytes() {
    case $name in
    prometheus*) bytes_in "$dir" ;;
    *) kept_bytes "$name" ;;
    esac
}

promql_ask() { # MODE ARGUMENT...
    local mode=$1 key value
    shift
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set "$set" --end-s "$end_s" \
        --pid "$pid" "$@" >"$work/asked" || give_up "ends while it is asked ($mode)"
    while IFS='=' read -r key value; do
        value=$(tr -c 'A-Za-z0-9.:/%+\n-' '_' <<<"$value")
        note "$mode.$key" "${value:0:120}"
    done <"$work/asked"
}

# Prints the queries whose digests differ by more than the order in which sums are computed
# explains.
promql_unlike() { # FILE FILE
    awk '
        function near(a, b, scale) { return (a - b) ^ 2 <= (1e-9 * scale) ^ 2 }
        NR == FNR { line[$1] = $0; next }
        {
            split(line[$1], other, " ")
            same = $2 == other[2] && $3 == other[3] && $4 == other[4]
            if ($2 == "failed") same = 0
            if (!same || !near($5, other[5], $6) || !near($7, other[7], $6)) print $1
        }' "$1" "$2"
}

promql_compare() {
    local other query digests=$work/digests.$case
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set "$set" --end-s "$end_s" \
        --digest >"$digests.$name" || give_up "ends while it is compared"
    note answers "$(grep -vc ' failed ' "$digests.$name")"
    for other in firekeep prometheus3; do
        [[ $other != "$name" && -s $digests.$other ]] || continue
        promql_unlike "$digests.$other" "$digests.$name" >"$work/unlike"
        note "unlike_$other" "$(grep -c . "$work/unlike")"
        while read -r query; do
            note "unlike_$other.$query" 1
        done <"$work/unlike"
    done
}

# Each heavy query has a fresh server: memory that an earlier query left would hide what this one
# takes.
promql_fresh() {
    local query
    "$BUILD/bench/query_load" "$url" bench/promql/queries.txt --set "$set" --heavy --list |
        cut -d ' ' -f 1 >"$work/heavy"
    while read -r query; do
        stop "$name" || give_up "ends badly"
        start_server "$name"
        settle 1
        promql_ask fresh --nocache --least 1 --most 1 --only "$query"
    done <"$work/heavy"
}

# Starts a server with the data, ready for queries.
promql_begin() {
    promql_sizes
    promql_end
    if [[ $case == head ]]; then
        start_server "$name"
        promql_send
        # VictoriaMetrics finds the latest samples only after a flush.
        [[ $name != victoriametrics ]] || ask -o /dev/null "$url/internal/force_flush"
        settle
    else
        promql_prepare
        promql_forget_pages
        start_server "$name"
        settle 1
        note data_mib "$(calc "$(promql_bytes) / 1048576" %.1f)"
    fi
    note idle_rss_mib "$(calc "$(memory_kib VmRSS) / 1024" %.1f)"
}

promql_turn() {
    [[ $case != native || $name != victoriametrics ]] || return 0 # has no native histograms
    local set end_s stamp budget_s=$((QUICK ? 0 : 1))
    promql_begin
    [[ $case == head ]] || promql_ask first --nocache --least 1 --most 1
    promql_compare
    promql_ask warm --nocache --least 3 --most 200 --budget-s "$budget_s"
    promql_ask cached --slide --least 3 --most 40 --budget-s "$budget_s"
    promql_ask eight --nocache --clients 8 --least 16 --most 1600 --budget-s "$budget_s"
    [[ $case == head ]] || promql_fresh
    finish
}

promql_rows() {
    cat <<'END'
series|series|%d
scrapes|scrapes|%d
answers|queries answered|%d
unlike_firekeep|  not as by Firekeep|%d
unlike_prometheus3|  not as by Prometheus|%d
data_mib|data, MiB|%.0f
idle_rss_mib|RSS before, MiB|%.0f
peak_rss_mib|peak RSS, MiB|%.0f
END
}

# Prints the medians of each query, then geometric means of their ratios.
promql_verdict() {
    local each
    for each in "${cases[@]}"; do
        "$BUILD/bench/query_load" http://nobody:1 bench/promql/queries.txt --list \
            --set "$(promql_set "$each")" | sed "s/^/class $each /"
    done | cat - <(summaries) | awk -f bench/promql/verdict.awk
    ((KEEP == 1)) || rm -rf "$base/promql"
}
