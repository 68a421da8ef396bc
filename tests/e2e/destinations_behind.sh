#!/bin/bash
# destinations_behind.sh - a destination that is behind the log gets what it lacks from the store, and
# then from the log, and its account is right: one that fails for a day, one that begins in the past,
# one for which a record of the log cannot be read. Without a store the log waits, and then the
# senders do.
#
# The day is simulated: samples 30 s apart, an hour of them as fast as they are accepted, and the next
# hour when the working destination has it and the queue of the other one is counted: in reality both
# have an hour for that. Their values are random, so that the log of the day exceeds all budgets. With
# LONG=1 it has 1000 series, else 150.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 4)
url=http://127.0.0.1:${ports[0]}
healthy=http://127.0.0.1:${ports[1]}
dead=http://127.0.0.1:${ports[2]}
spare=${ports[3]}
mib=1048576
budget_mib=1 wal_mib=4
limit=$((3 * mib)) # of the log
series=150 patience=120
[[ ${LONG-} != 1 ]] || series=1000 patience=900
scrapes=120 batch=50
hour=$((scrapes * series / batch)) # requests
day=$((24 * hour))
live_slices=20
sent=$work/sent.rw
last_ms=$(now_ms)

# The last hour arrives while the failing destination catches up.
make_day() {
    awk -v series="$series" -v scrapes=$((25 * scrapes)) -v batch="$batch" -v end="$last_ms" 'BEGIN {
        for (n = 0; n < scrapes; n++) for (i = 0; i < series; i++) {
            printf "day{series=\"%d\"} %.17g %.0f\n", i, rand(), end - (scrapes - n) * 30000
            if (++count % batch == 0) print "---"
        }
    }' | "$TOOLS/rwmake" >"$sent"
}

counterpart() { # NAME PORT
    start_firekeep "$1" "$work/$1" "$2" --wal.segment-bytes=16MiB --wal.budget=256MiB
}

# Takes calls, and never answers.
hang() {
    start hang python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1e6)' "${ports[2]}"
}

send() { # FROM TO: only answers of 2xx are accepted
    "$TOOLS/rwreplay" "$sent" "$url" --skip "$1" --first "$2" --check >"$work/replay.txt" 2>&1 || {
        cat "$work/replay.txt"
        return 1
    }
}

own_metric() { # NAME
    quiet_curl "$url/metrics" | awk -v want="$1" '$1 == want { printf "%.0f\n", $2 }'
}

watch() {
    rss+=("$(own_metric process_resident_memory_bytes)")
    log+=("$(own_metric firekeep_wal_bytes)")
}

most() { # NUMBER...
    printf '%s\n' "$@" | sort -n | tail -n 1
}

# --- a day ------------------------------------------------------------------------------------------

it=day
small=(--wal.segment-bytes=1MiB "--wal.budget=${wal_mib}MiB")
entry_of() { # NAME URL [MORE]
    echo "{name: $1, type: remote_write, url: '$2/api/v1/write', batch: {max_age: 100ms}, retry: {min_backoff: 20ms, max_backoff: 1s}${3:+, $3}}"
}

send_day() {
    local i
    for ((i = 0; i < 24; i++)); do
        ((i != 12)) || hang # until then it did not answer at all
        send $((i * hour)) $(((i + 1) * hour)) && within 60 has_delivered healthy $(((i + 1) * hour * batch)) &&
            within 60 is_known_to_wait $(((i + 1) * hour * batch)) || return 1
        watch
    done
}

log_is_within_budget() {
    local bytes
    bytes=$(most "${log[@]}")
    echo "the log had $bytes bytes, $limit are allowed, and $(own_metric firekeep_wal_commit_bytes_total) were written"
    ((bytes <= limit))
}

# The memory that a day costs after its first hours is small.
memory_is_flat() {
    local first last
    first=$(most "${rss[@]:0:6}")
    last=$(most "${rss[@]:18:6}")
    echo "$first bytes at most in the first quarter, $last in the last"
    ((last <= first + first / 4 + 8 * mib))
}

is_known_to_wait() { # COUNT
    sums_are dead samples_taken_total = "$1" && balances dead
}

has_left_the_log() {
    grep 'far behind' "$work/day.log" | tee "$work/far.txt" | tail -n 1
    grep -q 'destination=dead' "$work/far.txt" && ! grep -q 'destination=healthy' "$work/far.txt"
}

has_a_part() { # PARTS of all: this much was delivered
    local delivered
    delivered=$(samples delivered_total dead)
    ((delivered * live_slices >= day_count * $1))
}

# Live samples come in all along, at the pace at which it catches up; the last ones when it has.
catch_up() {
    local i
    counterpart dead "${ports[2]}" || return 1
    for ((i = 0; i < live_slices - 1; i++)); do
        within "$patience" has_a_part "$i" || {
            echo "delivered $(samples delivered_total dead) of $day_count, $(state_of dead), $(last_error dead)"
            return 1
        }
        send $((day + i * hour / live_slices)) $((day + (i + 1) * hour / live_slices)) || return 1
        watch
    done
    within "$patience" is_in_state dead running && within "$patience" all_settled dead &&
        send $((day + i * hour / live_slices)) $((day + hour))
}

same() { # URL
    "$TOOLS/rrcompare" "$1" "$sent" --split 7200000 --start $((last_ms - 26 * 3600000)) --end "$last_ms"
}

claim "the day is made" make_day || exit 1
day_count=$((series * 24 * scrapes)) count=$((series * 25 * scrapes))
configure "$(entry_of dead "$dead" "log_budget: ${budget_mib}MiB, timeout: 3s")" "$(entry_of healthy "$healthy")"
claim "the healthy one is there" counterpart healthy "${ports[1]}" || exit 1
claim "it starts, though the other is not" serve "${small[@]}" || exit 1
rss=() log=()
claim "no write of the day is refused" send_day
claim "memory is flat" memory_is_flat
claim "the log is within its budget" log_is_within_budget
claim "the log of the day exceeds that" [ "$(own_metric firekeep_wal_commit_bytes_total)" -gt "$limit" ]
claim "the log never reached that of all" [ "$(own_metric firekeep_wal_over_budget)" == 0 ]
claim "only the dead one has left the log" within 30 has_left_the_log
claim "nothing came to the dead one" [ "$(samples delivered_total dead)" == 0 ]
crash hang
crash day
claim "after SIGKILL it starts again" serve "${small[@]}"
claim "it is still known what waits, to the sample" within 30 is_known_to_wait "$day_count"
claim "it catches up while live samples come in" catch_up
claim "the store was read for it" grep 'finished reading the store, following the log again.*destination=dead' "$work/day.log"
claim "then these come to it at once" within 60 sums_are dead samples_delivered_total '>=' "$count" samples_queued = 0
claim "nothing was given up" shows dead dead_lettered=0 dropped=0
claim "and to the healthy one" within 60 shows healthy queued=0 dead_lettered=0 dropped=0
claim "memory is bounded while it catches up" [ "$(most "${rss[@]:24}")" -le $(($(most "${rss[@]:0:24}") * 2 + 64 * mib)) ]
claim "the log stays within its budget" log_is_within_budget
claim "healthy: it has what was sent" same "$healthy"
claim "dead: it has what was sent" same "$dead"
mebibytes() {
    local each
    for each; do printf ' %d' $((each / mib)); done
}
echo "resident MiB, an hour each:$(mebibytes "${rss[@]:0:24}"); while it caught up:$(mebibytes "${rss[@]:24}")"
echo "MiB of log, an hour each:$(mebibytes "${log[@]:0:24}"); while it caught up:$(mebibytes "${log[@]:24}")"

# --- what is stored, again and from the beginning ---------------------------------------------------------

crash dead
rm -rf "$work/dead"
claim "replay: the dead one has lost everything" counterpart dead "${ports[2]}"
claim "replay: a replay needs a time" bash -c "curl -sg --noproxy '*' -X POST '$url/api/v1/admin/destinations/dead/replay' | grep -q 'missing parameter .from.'"
before=$(samples delivered_total dead)
claim "replay: it is told to give everything again" admin "destinations/dead/replay?from=0"
claim "replay: everything arrives again" within 60 shows dead delivered=$((before + count)) queued=0
claim "replay: the dead one has what was sent again" same "$dead"
claim "SIGTERM ends it with status 0" stop day
stop dead
stop healthy
claim "nothing is damaged, and the ledger balances" build/firekeep verify "$work/day"
files="type: file, batch: {max_age: 100ms}"
configure "{name: lines, path: $work/lines, start: '2000-01-01T00:00:00Z', $files}" "{name: now, path: $work/now, $files}"
claim "beginning: starts with destinations of files" begins "${small[@]}"
sleep 0.3 # not awaited: any moment is a good one
crash day
claim "beginning: starts again after SIGKILL" serve "${small[@]}"
claim "beginning: who begins in the past is given all there is" within 60 shows lines delivered="$count" queued=0
claim "beginning: and goes on with the log" within 10 is_in_state lines running
claim "beginning: who begins now is given nothing" has_delivered now 0
claim "beginning: it ends with status 0" stop day
claim "beginning: the files are what was sent" imports_as "$work/lines" "$sent"

# --- without a store --------------------------------------------------------------------------------

it=none
none=(--wal.segment-bytes=1MiB --wal.budget=16MiB --storage.mode=none)
configure "$(entry_of twin "$dead" "log_budget: 1MiB")"
claim "none: who keeps samples is not started without a store" tells 'contains stored samples' 1 timeout 20 build/firekeep serve \
    --storage.path="$work/day" --storage.mode=none --config.file="$work/firekeep.yml" --web.listen-address=127.0.0.1:0
claim "none: starts, though nobody is there" serve "${none[@]}"
some=$((10 * hour)) # more than the budget
"$TOOLS/rwreplay" "$sent" "$url" --first "$some" --retry 120 --check >"$work/replay.txt" 2>&1 &
sender=$!
is_full() {
    local status
    status=$(curl -sg --noproxy '*' -o "$work/body" -D "$work/head" -w '%{http_code}' -X POST -H 'Content-Type: application/x-protobuf' -H 'Content-Encoding: snappy' --data-binary x "$url/api/v1/write")
    echo "$status $(<"$work/body")"
    [[ $status == 503 ]] && grep -qi '^retry-after' "$work/head" && grep -q 'used up its log budget' "$work/body"
}
claim "none: once the log is full, writes have to wait" within 60 is_full
claim "none: and it is not ready" bash -c "! curl -fsg --noproxy '*' '$url/-/ready'"
claim "none: there is nothing to read" bash -c "curl -sg --noproxy '*' '$url/api/v1/labels' | grep -q 'no samples are stored'"
crash none
start_unready() { # it is full, so it is not ready
    start none build/firekeep serve --storage.path="$work/none" --web.listen-address="${url#http://}" --config.file="$work/firekeep.yml" "${none[@]}"
    wait_ready none "$url/-/healthy"
}
claim "none: starts again after SIGKILL" start_unready
claim "none: the other server comes" counterpart none-twin "${ports[2]}"
claim "none: then everything is acknowledged" wait "$sender"
claim "none: everything arrives" within 60 all_settled twin
claim "none: the account is right" balances twin
claim "none: the other server has the same" "$TOOLS/rrcompare" "$dead" "$sent" --first "$some" --start $((last_ms - 26 * 3600000)) --end "$last_ms"
ends
claim "none: nothing is kept" bash -c "! compgen -G '$work/none/parts/*'"
claim "none: nothing is damaged, and the ledger balances" build/firekeep verify "$work/none"
stop none-twin

# --- records of the log that cannot be read -----------------------------------------------------------

# Changes a byte in the records of floats from number FROM on, COUNT of them, of the only segment.
spoil_log() { # FROM COUNT
    /usr/bin/python3 - "$work/$it"/wal/*.wal "$1" "$2" <<'END'
import sys
path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "r+b") as file:
    content = file.read()
    at, floats = 8192, 0
    while at + 16 <= len(content) and content[at + 3] != 0:
        size = int.from_bytes(content[at:at + 3], "little")
        if content[at + 3] == 3:
            if first <= floats < first + count:
                file.seek(at + 20)
                file.write(bytes([content[at + 20] ^ 8]))
            floats += 1
        at += 16 + (size + 7) // 8 * 8
    if floats < first + count:
        sys.exit("only %d records of floats" % floats)
END
}
make_load first 0 8000
make_load more 8000 1000
cat "$work/first.rw" "$work/more.rw" >"$work/all.rw"
configure "$(entry_of twin "$dead")"

it=hole-none
claim "hole-none: starts" serve --storage.mode=none
takes first
claim "hole-none: all of them wait" within 20 shows twin queued=8000
crash "$it"
claim "hole-none: one record of the log is spoilt" spoil_log 3 1
claim "hole-none: starts again" serve --storage.mode=none
claim "hole-none: the other server comes" counterpart hole-none-twin "${ports[2]}"
claim "hole-none: the others arrive, and 1000 are counted as damaged" within 30 eval 'shows twin delivered=7000 queued=0 && dropped twin damaged 1000'
claim "hole-none: the log says how many are lost" logs 'is damaged or missing, its samples are lost for this destination.*items=1000.*dropped_as=damaged'
ends
stop hole-none-twin

it=hole-local
claim "hole-local: starts" serve
claim "hole-local: nothing is read of the log" within 20 admin destinations/twin/pause
takes first
claim "hole-local: all of them wait" within 20 shows twin queued=8000
claim "hole-local: three records of the log are spoilt" spoil_log 2 3
claim "hole-local: the other server comes" counterpart hole-local-twin "${ports[2]}"
takes more
claim "hole-local: reading goes on" admin destinations/twin/resume
claim "hole-local: everything arrives, and nothing is dropped" within 60 shows twin delivered=9000 dropped=0 queued=0
claim "hole-local: the other server has the same" equals "$dead" "$work/all.rw"
claim "hole-local: the store was read for it" logs 'part of the log is damaged, reading it from the store instead'
ends
done_testing
