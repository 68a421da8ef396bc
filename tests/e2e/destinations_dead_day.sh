#!/bin/bash
# destinations_dead_day.sh - a destination fails for a day of samples, and another one works: no
# write is refused, memory use stays constant, the log within its budget, and the working one gets
# everything. Then the first works again, and gets the day from the store and the log while live
# samples arrive; in the end it has all that was sent, bit for bit, and its account is right.
#
# The day is simulated: samples 15 s apart, an hour of them as fast as they are accepted, and the
# next hour when the working destination has it and the queue of the other one is counted: in
# reality both have an hour for that. With LONG=1 it has 1000 series, else 200.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 3)
url=http://127.0.0.1:${ports[0]}
healthy=http://127.0.0.1:${ports[1]}
dead=http://127.0.0.1:${ports[2]}
mib=1048576
if [[ ${LONG-} == 1 ]]; then
    series=1000 budget_mib=4 wal_mib=16 patience=900
else
    series=200 budget_mib=1 wal_mib=4 patience=120
fi
scrapes=240 batch=100
hour=$((scrapes * series / batch)) # requests
day=$((24 * hour))
live_slices=20
sent=$work/sent.rw

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip_all "a dead day" "no captures beside the project"
fi

# Requests are so small that they compress badly: the log of the day exceeds all budgets. The last
# hour arrives while the failing destination catches up.
make_day() {
    "$TOOLS/rwspan" "$SAMPLES/node15s.rw" --series "$series" --scrapes $((25 * scrapes)) --churn 4 --batch "$batch" >"$sent"
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

# --- the day ----------------------------------------------------------------------------------------

send_day() {
    local i
    for ((i = 0; i < 24; i++)); do
        ((i != 12)) || hang # until then it did not answer at all
        send $((i * hour)) $(((i + 1) * hour)) || return 1
        within 60 has_delivered healthy $(((i + 1) * hour * batch)) || return 1
        within 60 is_known_to_wait $(((i + 1) * hour * batch)) || return 1
        watch
    done
}

log_is_within_budget() {
    local bytes limit=$(((budget_mib + wal_mib / 2 + 2) * mib))
    bytes=$(most "${log[@]}")
    echo "the log had $bytes bytes, $limit are allowed, and $(own_metric firekeep_wal_commit_bytes_total) were written"
    ((bytes <= limit && $(own_metric firekeep_wal_commit_bytes_total) > limit))
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
    local taken
    taken=$(samples taken_total dead)
    echo "taken $taken of $1"
    [[ $taken == "$1" ]] && balances dead
}

has_left_the_log() {
    grep 'far behind' "$work/day.log" | tee "$work/far.txt" | tail -n 1
    grep -q 'destination=dead' "$work/far.txt" && ! grep -q 'destination=healthy' "$work/far.txt"
}

# --- it comes back ----------------------------------------------------------------------------------

has_a_part() { # PARTS of all: this much was delivered
    local delivered
    delivered=$(samples delivered_total dead)
    ((delivered * live_slices >= day_count * $1))
}

# Live samples come in all along, at the pace at which it catches up; the last ones when it has.
catch_up() {
    local i
    began_ms=$(now_ms)
    counterpart dead "${ports[2]}" || return 1
    for ((i = 0; i < live_slices - 1; i++)); do
        within "$patience" has_a_part "$i" || {
            echo "delivered $(samples delivered_total dead) of $day_count, $(state_of dead), $(last_error dead)"
            return 1
        }
        send $((day + i * hour / live_slices)) $((day + (i + 1) * hour / live_slices)) || return 1
        watch
    done
    within "$patience" is_there || return 1
    took_ms=$(($(now_ms) - began_ms))
    send $((day + i * hour / live_slices)) $((day + hour))
}

is_there() {
    is_in_state dead running && all_settled dead >"$work/settled.txt"
}

same() { # URL
    "$TOOLS/rrcompare" "$1" "$sent" --split 7200000 --start "$first_ms" --end "$last_ms"
}

claim "the day is made" make_day || exit 1
last_ms=$(now_ms)
first_ms=$((last_ms - 26 * 3600 * 1000))
count=$(sent_samples "$sent")
day_count=$((series * 24 * scrapes))
write_config <<END
destinations:
  - name: dead
    type: remote_write
    url: $dead/api/v1/write
    log_budget: ${budget_mib}MiB
    timeout: 3s
    batch: {max_age: 100ms}
    retry: {min_backoff: 20ms, max_backoff: 1s}
  - name: healthy
    type: remote_write
    url: $healthy/api/v1/write
    batch: {max_age: 100ms}
END
claim "the healthy one is there" counterpart healthy "${ports[1]}" || exit 1
claim "it starts, though the other is not" start_firekeep day "$work/day" "${ports[0]}" --config.file="$work/firekeep.yml" \
    --wal.segment-bytes=1MiB "--wal.budget=${wal_mib}MiB" --web.enable-admin-api || exit 1
within 20 all_open >/dev/null
rss=() log=()
claim "no write of the day is refused" send_day
claim "memory is flat" memory_is_flat
claim "the log is within its budget" log_is_within_budget
claim "the log never reached that of all" [ "$(own_metric firekeep_wal_over_budget)" == 0 ]
claim "the healthy one has the day at once" within 30 has_delivered healthy "$day_count"
claim "it is known what waits, to the sample" within 30 is_known_to_wait "$day_count"
claim "only the dead one has left the log" within 30 has_left_the_log
claim "nothing came to the dead one" [ "$(samples delivered_total dead)" == 0 ]
crash hang

took_ms=0
claim "it catches up while live samples come in" catch_up
claim "the store was read for it" grep 'finished reading the store, following the log again.*destination=dead' "$work/day.log"
claim "then these come to it at once" within 60 has_delivered dead "$count"
claim "and to the healthy one" within 60 has_delivered healthy "$count"
for name in dead healthy; do
    claim "$name: the account is right" balances "$name"
    claim "$name: nothing was given up" [ "$(samples dead_lettered_total "$name"):$(samples dropped_total "$name"):$(samples queued "$name")" == 0:0:0 ]
done
claim "memory is bounded while it catches up" [ "$(most "${rss[@]:24}")" -le $(($(most "${rss[@]:0:24}") * 2 + 64 * mib)) ]
claim "the log stays within its budget" log_is_within_budget
claim "healthy: it has what was sent" same "$healthy"
claim "dead: it has what was sent" same "$dead"
mebibytes() {
    local each
    for each; do printf ' %d' $((each / mib)); done
}
echo "$day_count samples of a day, caught up within $took_ms ms; $(metric firekeep_destination_repeated_samples_total dead) came again"
echo "resident MiB, an hour each:$(mebibytes "${rss[@]:0:24}"); while it caught up:$(mebibytes "${rss[@]:24}")"
echo "MiB of log written: $(($(own_metric firekeep_wal_commit_bytes_total) / mib)); kept, an hour each:$(mebibytes "${log[@]:0:24}"); while it caught up:$(mebibytes "${log[@]:24}")"
claim "SIGTERM ends it with status 0" stop day
claim "nothing is damaged, and the ledger balances" build/firekeep verify "$work/day"

done_testing
