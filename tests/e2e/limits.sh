#!/bin/bash
# limits.sh - readers that do not read, answers of any size: they cost neither writers, nor
# monitoring, nor memory.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port

begin() { # NAME ARGUMENT...
    start_firekeep "$1" "$work/data" "$port" "${@:2}"
}

# 100 series of 2400 samples each: some 2 MB as chunks.
fill() {
    awk 'BEGIN {
        srand(7)
        for (r = 0; r < 240; r++) {
            for (s = 0; s < 1000; s++)
                printf "load{series=\"%03d\"} %.3f %.0f\n", s % 100, rand(), 1700000000000 + (r * 10 + int(s / 100)) * 15000
            print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/load.rw"
    "$TOOLS/rwreplay" "$work/load.rw" "$url" --check --concurrency 4
}

# read_load QUERIES [CURL-ARGUMENT...]: streamed; sets status and the number of bytes received.
read_load() {
    body "$(snappy "$(read_queries "$1" load)")"
    shift
    read -r status bytes < <(curl -s --noproxy '*' --max-time 60 -o /dev/null -D "$work/head" \
        -w '%{http_code} %{size_download}\n' -H Expect: -H 'Content-Encoding: snappy' "$@" \
        --data-binary "@$work/request" "$url/api/v1/read")
}

samples_request() { # QUERIES
    local hex
    hex=$(read_queries "$1" load)
    body "$(snappy "${hex:0:${#hex}-6}")" # without the wish for chunks
}

# --- limits ---

sample_limit() {
    samples_request 1
    send /api/v1/read -H 'Content-Encoding: snappy'
    status_is 400 'more than 100000 samples' && header_is Content-Type 'text/plain; charset=utf-8'
}

streams_without_limit() {
    read_load 1
    status_is 200 && ((bytes > 1000000))
}

bytes_have_a_limit() {
    samples_request 1
    send /api/v1/read -H 'Content-Encoding: snappy'
    status_is 400 'reads more than 10240 bytes'
}

series_have_a_limit() {
    samples_request 1
    send /api/v1/read -H 'Content-Encoding: snappy'
    status_is 400 'reads more than 3 series'
}

a_lookup_has_the_limit() {
    curl -sg "$url/api/v1/series?match[]={__name__=~\".%2B\"}" | tee /dev/stderr | grep -q 'reads more than 3 series' &&
        curl -sg "$url/api/v1/series?match[]={__name__=~\".%2B\"}&limit=2" | grep -q '"status":"success"'
}

a_long_query_is_told_of_the_stop() {
    local client
    curl -sg --noproxy '*' --max-time 60 -w ' %{http_code}' -d time=1700000000 \
        -d 'query=sum_over_time((sum_over_time(vector(1)[1d:1s]))[30d:1s])' \
        "$url/api/v1/query" >"$work/told" &
    client=$!
    within 20 query_is_active && stop series && wait "$client"
    cat "$work/told"
    [[ $(<"$work/told") == *'"query canceled: the server is shutting down"} 503' ]]
}

query_is_active() {
    curl -sg --noproxy '*' "$url/api/v1/status/active_queries" | grep -q sum_over_time
}

a_stream_is_cut() {
    read_load 1
    echo "status $status, $bytes bytes"
    ((bytes < 100000)) && within 10 grep 'reads more than 10240 bytes' "$work/bytes.log"
}

# --- expressions ---

# query STATUS WORD [CURL-ARGUMENT...]: of the text in $work/expression.
query() {
    local got
    got=$(curl -s --noproxy '*' --max-time 60 -w '\n%{http_code}' --data-urlencode "query@$work/expression" \
        -d time=1700000300 "${@:3}" "$url/api/v1/query")
    echo "${got:0:300} ... ${got: -3}"
    [[ ${got: -3} == "$1" && $got == *"$2"* ]]
}

a_comparison_of_many_labels_ends() {
    { printf 'sort_by_label(load' && seq -f ',"l%.0f"' 60000 && printf ')'; } | tr -d '\n' >"$work/expression"
    query 503 'timed out after 0.100 s' -d timeout=100ms
}

a_join_of_many_labels_ends() {
    { printf 'label_join(load,"a","b"' && seq -f ',"l%.0f"' 60000 && printf ')'; } | tr -d '\n' >"$work/expression"
    query 503 'timed out after 0.100 s' -d timeout=100ms
}

a_costly_regex_is_refused() {
    { printf 'load{series=~"' && printf 'a{0,1000}%.0s' {1..7000} && printf '"}'; } >"$work/expression"
    query 400 'regex is too large'
}

regexes_have_the_limit() {
    { printf 'load' && printf ' or load{series=~"%s.*[0-9]y"}' {1..500}; } >"$work/expression"
    query 422 'not enough memory'
}

ordinary_regexes_do_not() {
    { printf 'load' && printf ' or load{series=~"%s.*[0-9]y"}' {1..10}; } >"$work/expression"
    query 200 '"status":"success"'
}

# --- stalled readers ---

write_again() { # duration of the load if everything is stored already
    local began
    began=$(now_ms)
    "$TOOLS/rwreplay" "$work/load.rw" "$url" --check || return 1
    took=$(($(now_ms) - began))
}

writes_go_on() {
    write_again || return 1
    local quiet=$took
    stall_reads 16 400 load
    within 10 metric_is firekeep_reads_running 16 >/dev/null || return 1
    is_as_quick() {
        write_again || return 1
        echo "240 requests took $quiet ms without readers, $took ms with 16 that are stalled"
        metric_is firekeep_reads_running 16 && ((took < 3 * quiet + 1000))
    }
    once_of_three is_as_quick
}

# Other scripts may hold up one attempt; readers in the way hold up each.
once_of_three() { # COMMAND...
    "$@" || "$@" || "$@"
}

answers_within_a_second() { # PATH
    curl -fs --noproxy '*' --max-time 1 -o /dev/null "$url$1" || {
        echo "no answer"
        return 1
    }
}

# Connections that read nothing for two seconds are closed to make room; before that, others get 503
# after read.queue-timeout, and try again.
another_read() {
    local began
    began=$(now_ms)
    until read_load 1 && [[ $status == 200 ]]; do
        status_is 503 && [[ $(header Retry-After) =~ ^[0-9]+$ ]] || return 1
        (($(now_ms) - began < 10000)) || return 1
    done
}

reads_come_back() {
    stall_ends
    within 10 metric_is firekeep_reads_running 0 >/dev/null || metric_is firekeep_queries_running 0
    read_load 1
    status_is 200
}

# Readers that do not read use all places: one that reads gets its turn.
makes_room() {
    stall_reads 4 400 load
    within 10 metric_is firekeep_reads_running 4 >/dev/null || return 1
    read_load 1
    echo "status $status, $bytes bytes"
    status_is 200 && ((bytes > 1000000)) || return 1
    stall_ends
}

# --- memory ---

status_kib() { # NAME
    sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/${pids[$(_index_of memory)]}/status"
}

memory_stays() {
    local before after
    read_load 1
    before=$(status_kib VmRSS)
    echo 5 >"/proc/${pids[$(_index_of memory)]}/clear_refs" # resets the peak
    read_load 100
    after=$(status_kib VmHWM)
    echo "$bytes bytes streamed, $before KiB before, $after KiB at most"
    status_is 200 && ((bytes > 100000000)) && ((after - before < 32 * 1024))
}

too_large_an_answer() {
    samples_request 200
    send /api/v1/read -H 'Content-Encoding: snappy'
    status_is 422 memory
}

is_small_again() { # KIB
    (($(status_kib VmRSS) < $1 + 16 * 1024))
}

# Each query runs on any free thread: none may keep its memory.
memory_goes_back() {
    local before i
    before=$(status_kib VmRSS)
    samples_request 6
    for ((i = 0; i < 12; i++)); do
        send /api/v1/read -H 'Content-Encoding: snappy'
        status_is 200 || return 1
    done
    within 10 is_small_again "$before"
    echo "$before KiB before, $(status_kib VmRSS) KiB after"
    is_small_again "$before"
}

claim "starts" begin limits --read.max-concurrent=16 --read.queue-timeout=1s --read.max-samples=100k || exit 1
claim "there is something to read" fill
claim "SAMPLES beyond read.max-samples get 400" sample_limit
claim "chunks have no such limit" streams_without_limit
claim "a sort by many labels ends at its timeout" a_comparison_of_many_labels_ends
claim "so does a join of many labels" a_join_of_many_labels_ends
claim "a regex that takes long to compile is refused" a_costly_regex_is_refused
claim "16 stalled readers do not slow writers" writes_go_on
for path in /metrics /-/ready /-/healthy /api/v1/status/runtimeinfo; do
    claim "nor $path" once_of_three answers_within_a_second "$path"
done
claim "another read has its turn within two seconds, and a Retry-After before" another_read
claim "when they have gone, reads go on" reads_come_back
claim "SIGTERM ends it with status 0" stop limits
claim "starts with a limit of bytes" begin bytes --read.max-bytes=10KiB || exit 1
claim "SAMPLES beyond read.max-bytes get 400" bytes_have_a_limit
claim "chunks beyond it are cut off, and the log says why" a_stream_is_cut
stop bytes
claim "starts with a limit of series" begin series --read.max-series=3 || exit 1
claim "SAMPLES of more than read.max-series get 400" series_have_a_limit
claim "so do look-ups" a_lookup_has_the_limit
claim "a query that lasts while the server stops is told so" a_long_query_is_told_of_the_stop
claim "starts with four places for reads" begin four --read.max-concurrent=4 || exit 1
claim "who takes nothing makes room for who waits" makes_room
stop four
claim "starts with little memory" begin memory --memory.limit=64MiB || exit 1
claim "memory does not grow with an answer in chunks" memory_stays
claim "a SAMPLES answer beyond memory gets 422" too_large_an_answer
claim "so do regexes that take too much" regexes_have_the_limit
claim "but not those of a dashboard" ordinary_regexes_do_not
if ldd build/firekeep | grep -q jemalloc; then
    claim "what large answers took goes back to the machine" memory_goes_back
else
    skip "what large answers took goes back to the machine" "built without jemalloc"
fi
claim "and nobody else suffers" streams_without_limit
claim "SIGTERM ends it with status 0 after all that" stop memory
done_testing
