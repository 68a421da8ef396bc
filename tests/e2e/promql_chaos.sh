#!/bin/bash
# promql_chaos.sh - whatever happens to the store while queries run, queries about the past get the
# right answer, or else a clear error, and samples acknowledged meanwhile are stored.

. tests/lib.sh
. tests/wire.sh
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
past_s=1700000000 # when the past begins: 200 series, 1,200 samples of each; of series N all are N
sum='sum(sum_over_time(past[7h] @ 1700021600))'
sum_value=$((1200 * 199 * 200 / 2))
# At each of 7,200 steps each series has a sample that is not too old: a second of work or more.
heavy='sum(count_over_time(past[1h:500ms] @ 1700010000)) + count(count_over_time(past[1h:500ms] @ 1700010001)) * 0'
heavy_value=$((200 * 7200))
# 86,400 windows of 86,400 values each.
long='count_over_time(sum_over_time(vector(1)[1d:1s])[1d:1s])'

# Each series has a time of its own, and therefore a part of its own.
series() { # NAME{[LABEL=...,] FIRST_MS SERIES SAMPLES
    awk -v name="$1" -v first="$2" -v series="$3" -v samples="$4" 'BEGIN {
        for (i = 0; i < samples; i++) {
            for (s = 0; s < series; s++)
                printf "%sseries=\"%03d\"} %d %.0f\n", name, s, s, first + i * 15000
            if (i % 10 == 9) print "---"
        }
    }' | "$TOOLS/rwmake"
}

configure() { # LINE...
    printf '%s\n' "$@" >"$work/firekeep.yml"
}

begin() { # ARGUMENT...
    start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml" --web.enable-lifecycle \
        --web.enable-admin-api --memory.limit=1GiB "$@"
}

fill() {
    series "old{" 1500000000000 10 100 >"$work/old.rw"
    series "past{" ${past_s}000 200 1200 >"$work/past.rw"
    series "doomed{" ${past_s}000 50 100 >"$work/doomed.rw"
    local name
    for name in old past doomed; do
        "$TOOLS/rwreplay" "$work/$name.rw" "$url" --check >"$work/replay.txt" 2>&1 || {
            cat "$work/replay.txt"
            return 1
        }
        [[ $name != old ]] || admin flush || return 1
    done
}

admin() { # PATH
    curl -fsg --noproxy '*' --max-time 60 -X POST "$url/api/v1/admin/tsdb/$1" >"$work/admin.txt" 2>&1 ||
        { cat "$work/admin.txt"; return 1; }
}

# value_of QUERY: of its one series; "" if it has none.
value_of() {
    curl -s --noproxy '*' --max-time 60 --data-urlencode "query=$1" "$url/api/v1/query" |
        sed -nE 's/.*"result":\[\{"metric":\{[^}]*\},"value":\[[^,]*,"([^"]*)"\]\}\].*/\1/p'
}

has_value() { # QUERY VALUE
    local got
    got=$(value_of "$1")
    [[ $got == "$2" ]] && return
    echo "$1 is '$got' instead of '$2'"
    return 1
}

# --- samples that come meanwhile ---

now_first_ms=$(($(now_ms) - 3600 * 1000))
sent=0
# Each call has samples of its own.
write_more() {
    series "live{batch=\"$sent\"," "$now_first_ms" 100 40 >"$work/live.rw"
    "$TOOLS/rwreplay" "$work/live.rw" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 || {
        cat "$work/replay.txt"
        return 1
    }
    sent=$((sent + 1))
}

acknowledged_is_there() {
    has_value 'sum(count_over_time(live[2h]))' $((sent * 100 * 40))
}

# --- while queries run ---

asking() { # prefix of the query
    coproc ASKER { exec tests/promql/ask_meanwhile.py "$url" "$sum" "$sum_value" "$heavy" "$heavy_value" 2>"$work/asker.txt"; }
}

tell() { # WORD: sends it, and waits for the answer
    echo "$1" >&"${ASKER[1]}"
    read -r -t 120 said <&"${ASKER[0]}"
}

# meanwhile COMMAND...: queries that ran meanwhile have the right answer, and written samples are
# stored.
meanwhile() {
    tell begin && "$@" && write_more && tell end || {
        echo "$said"
        cat "$work/asker.txt"
        return 1
    }
    echo "$said"
    [[ $said =~ ^small=[0-9]+\ heavy=[0-9]+$ ]] && acknowledged_is_there
}

flushes() {
    local i
    for i in 1 2 3; do
        write_more && admin flush || return 1
    done
}

deletes() {
    local i
    for i in 0 1 2 3 4; do
        admin "delete_series?match[]=doomed{series=~\"0${i}.\"}" || return 1
    done
    has_value 'count(count_over_time(doomed[6h] @ 1700021600))' '' && admin clean_tombstones
}

reloads() {
    local i
    for i in 1 2 3 4 5 6 7 8; do
        configure 'query:' "  max_points: $((11000 + i))" "  lookback_delta: $((4 + i % 2))m" "  max_samples: $((50 + i))M"
        curl -fs --noproxy '*' -X POST "$url/-/reload" >/dev/null || return 1
    done
}

old_is_gone() {
    has_value 'count(count_over_time(old[1d] @ 1500002000))' ''
}

retention() {
    has_value 'count(count_over_time(old[1d] @ 1500002000))' 10 || return 1
    configure 'retention:' '  time: 5y'
    curl -fs --noproxy '*' -X POST "$url/-/reload" >/dev/null && { within 90 old_is_gone >/dev/null || old_is_gone; }
}

# --- clients that go ---

nobody_asks() {
    metric_is firekeep_queries_running 0 && metric_is firekeep_queries_waiting 0 && metric_is firekeep_views 0
}

hangs_up_while_it_waits() {
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/first" &
    local first=$! second
    within 10 metric_is firekeep_queries_running 1 >/dev/null || return 1
    curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/second" &
    second=$!
    within 10 metric_is firekeep_queries_waiting 1 >/dev/null || return 1
    kill -KILL "$second" "$first"
    wait "$second" "$first" 2>/dev/null
    within 10 nobody_asks >/dev/null || nobody_asks || return 1
    has_value "$sum" "$sum_value"
}

# A million points, of which the client takes the first ones.
hangs_up_while_it_is_answered() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET /api/v1/query_range?query=past&start=%s&end=%s&step=2 HTTP/1.1\r\nHost: localhost\r\n\r\n' \
        $past_s $((past_s + 18000)) >&3
    local begun
    begun=$(head -c 65536 <&3 | tr -d '\0' | grep -c '"resultType":"matrix"')
    metric_is firekeep_queries_running 1 || return 1
    exec 3>&-
    [[ $begun -gt 0 ]] || { echo "it did not begin"; return 1; }
    within 20 nobody_asks >/dev/null || nobody_asks || return 1
    has_value "$sum" "$sum_value"
}

# --- refusals ---

refused_by_bytes() {
    local text i pids_of_curl=() bad=0
    for i in 1 2 3 4 5 6; do
        curl -s --noproxy '*' --data-urlencode "query=$sum" "$url/api/v1/query" >"$work/refused.$i" &
        pids_of_curl+=($!)
    done
    write_more || return 1
    wait "${pids_of_curl[@]}"
    for i in 1 2 3 4 5 6; do
        text=$(cat "$work/refused.$i")
        [[ $text == *'"errorType":"execution","error":"query reads more than 1024 bytes of samples (query.max_bytes): use narrower matchers or a shorter time range; '* ]] ||
            { bad=1; echo "$text"; }
    done
    ((bad == 0)) || return 1
    has_value 'sum(sum_over_time(past{series="007"}[2h] @ 1700021600))' $((7 * 239)) && within 10 nobody_asks
}

ends_with_queries() {
    local i clients=()
    for i in 1 2 3 4; do
        curl -s --noproxy '*' --data-urlencode "query=$long" "$url/api/v1/query" >"$work/ended.$i" &
        clients+=($!)
    done
    within 10 metric_is firekeep_queries_running 4 >/dev/null || return 1
    write_more || return 1
    stop firekeep || return 1
    wait "${clients[@]}"
    for i in 1 2 3 4; do # an answer with a reason, or none: never half an answer
        [[ ! -s $work/ended.$i ]] || grep -q '"status":"error"' "$work/ended.$i" || { cat "$work/ended.$i"; return 1; }
    done
}

all_is_there() {
    has_value "$sum" "$sum_value" && acknowledged_is_there
}

configure
claim "starts" begin
claim "takes a past" fill
claim "the sum of the past is known" has_value "$sum" "$sum_value"
claim "so is what the heavy query gives" has_value "$heavy" "$heavy_value"
asking
claim "flushes meanwhile" meanwhile flushes
claim "a merge meanwhile" meanwhile admin merge
claim "deletion of other series meanwhile" meanwhile deletes
claim "reloads meanwhile" meanwhile reloads
claim "retention drops an old part meanwhile" meanwhile retention
claim "a merge of all meanwhile" meanwhile admin merge
exec {ASKER[1]}>&-
claim "a client hangs up while it is answered" hangs_up_while_it_is_answered
claim "SIGTERM ends queries that run, and loses nothing acknowledged" ends_with_queries
claim "starts again, one query at a time" begin --query.max-concurrent=1
claim "all is there" all_is_there
claim "a client hangs up while its query waits" hangs_up_while_it_waits
stop firekeep
configure 'query:' '  max_bytes: 1KiB'
claim "starts with few bytes for a query" begin
claim "queries that need more are refused, small ones answered, writes taken" refused_by_bytes
claim "SIGTERM ends it with status 0, too" stop firekeep
done_testing
