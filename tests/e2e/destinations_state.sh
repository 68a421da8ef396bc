#!/bin/bash
# destinations_state.sh - without a store, undelivered records of the log are kept whatever an
# operator or a disk does: while destinations are reloaded, when a state is damaged or missing, and
# until an operator decides where to continue.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 4)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
slow=http://127.0.0.1:${ports[2]}
spare=${ports[3]}
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
none=(--storage.mode=none --wal.segment-bytes=1MiB --wal.budget=64MiB --web.enable-admin-api --web.enable-lifecycle)

# Samples of 100 series, COUNT in all, the first at minute FROM.
make_load() { # FILE FROM COUNT
    awk -v from="$2" -v count="$3" 'BEGIN {
        for (i = 0; i < count; i++) {
            minute = from + int(i / 100)
            printf "load{series=\"%d\",padding=\"%064d\"} %d.%06d %.0f\n", i % 100, i % 100, i, (i * 7919) % 1000000, 1700000000000 + 60000 * minute
            if (i % 1000 == 999) print "---"
        }
    }' | "$TOOLS/rwmake" >"$1"
}

# Does not wait for a cut: the log is removed when no destination holds it.
give_up_log() {
    quiet_curl --max-time 60 -X POST "$url/api/v1/admin/tsdb/flush" >/dev/null
}

reload() {
    quiet_curl -X POST "$url/-/reload" >/dev/null
}

begin_none() { # NAME
    start_firekeep "$1" "$work/$1" "${ports[0]}" "${none[@]}" --config.file="$work/firekeep.yml"
}

config() { # BATCH: other settings each time, so that a reload changes both
    write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    batch: {max_age: $1}
    retry: {min_backoff: 100ms, max_backoff: 200ms}
  - name: slow
    type: remote_write
    url: $slow/api/v1/write
    batch: {max_age: $1}
    timeout: 30s
END
}

make_load "$work/first.rw" 0 30000
make_load "$work/second.rw" 300 30000
cat "$work/first.rw" "$work/second.rw" >"$work/all.rw"

# --- a reload changes a destination with a backlog, beside one that is slow to end ---------------------

# Accepts everything, and stops answering when the file `hang` exists.
start slow /usr/bin/python3 -c "
import http.server, os, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        if os.path.exists('$work/hang'): threading.Event().wait()
        self.send_response(204); self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('127.0.0.1', ${ports[2]}), Answer).serve_forever()"
config 100ms
# A log without a sample has another id at each start.
starts_again_in_silence() {
    within 20 all_open && stop reload && begin_none reload && within 20 all_open && ! grep 'does not match' "$work/reload.log"
}
claim "reload: starts without a store" begin_none reload
claim "reload: a restart before the first sample warns of nothing" starts_again_in_silence
claim "reload: both destinations are open" within 20 all_open
claim "reload: everything is acknowledged" is_acknowledged "$work/first.rw" --retry 60
claim "reload: one has everything" within 20 sums_are slow samples_queued = 0 samples_delivered_total = 30000
claim "reload: for the other all of it waits" within 20 sums_are twin samples_queued = 30000
touch "$work/hang"
make_load "$work/last.rw" 300 100
claim "reload: a little more is acknowledged" is_acknowledged "$work/last.rw" --retry 60
both_wait() {
    sums_are slow samples_queued = 100 && sums_are twin samples_queued = 30100
}
claim "reload: a call of the first hangs" within 20 both_wait
for age in 200ms 300ms; do
    config $age
    (while :; do give_up_log && doze 0.05; done) &
    trimmer=$!
    claim "reload: both destinations get other settings while the log is trimmed ($age)" reload
    kill "$trimmer"
    wait "$trimmer" 2>/dev/null
done
claim "reload: all of it waits as before" within 20 sums_are twin samples_queued = 30100
config 400ms
(reload) &
sleep 0.2 # not awaited: any moment within the reload is a good one
crash reload
wait $!
claim "reload: starts again after SIGKILL in the midst of a reload" begin_none reload
claim "reload: all of it waits then, too" within 20 sums_are twin samples_queued = 30100
claim "reload: the other server comes" start_firekeep twin "$work/reload-twin" "${ports[1]}"
claim "reload: everything arrives" within 60 has_delivered twin 30100
claim "reload: the account is right" balances twin
cat "$work/first.rw" "$work/last.rw" >"$work/sent.rw"
claim "reload: the other server has the same" equals "$there" "$work/sent.rw"
crash reload
crash slow
stop twin

# --- the state is damaged, or gone -------------------------------------------------------------------

only_twin() {
    write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    batch: {max_age: 100ms}
END
}

says_closed() {
    quiet_curl "$url/api/v1/status/destinations" | tee "$work/status.json"
    jq -e '.data[0] | .state == "closed" and (.lastError | contains("firekeep destinations reset twin"))' "$work/status.json" >/dev/null
}

reset_to() { # DIR FROM
    "$firekeep" destinations reset twin --storage.path="$1" --from="$2"
}

refuses_to_reset() { # DIR
    ! reset_to "$1" now 2>"$work/refused.txt" && grep -q 'is readable' "$work/refused.txt"
}

# The state is saved each second.
has_saved() { # NAME
    cp -a "$work/$1" "$work/look"
    "$firekeep" verify "$work/look" | grep '^destination twin: floats: taken 30000 = delivered 30000 '
    local status=$?
    rm -rf "$work/look"
    return $status
}

# The twin has the first half; then COMMAND spoils its state, and the second half arrives.
spoil() { # NAME COMMAND...
    local name=$1
    shift
    only_twin
    claim "$name: the other server starts" start_firekeep twin "$work/$name-twin" "${ports[1]}"
    claim "$name: starts without a store" begin_none "$name"
    claim "$name: the destination is open" within 20 all_open
    claim "$name: half of it is acknowledged" is_acknowledged "$work/first.rw" --retry 60
    claim "$name: half of it arrives" within 60 has_delivered twin 30000
    claim "$name: and is saved as delivered" within 20 has_saved "$name"
    claim "$name: a readable state is not reset" refuses_to_reset "$work/$name"
    stop twin
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: the state is spoilt" "$@"
    claim "$name: starts all the same" begin_none "$name"
    claim "$name: says that it is closed, and what to do" within 20 says_closed
    claim "$name: the rest is acknowledged" is_acknowledged "$work/second.rw" --retry 60
    give_up_log
    crash "$name"
    claim "$name: starts again" begin_none "$name"
    give_up_log
    claim "$name: the log says how much is kept" grep -q 'cannot open destination.*log_bytes_kept=[1-9]' "$work/$name.log"
    claim "$name: the other server comes back" start_firekeep twin "$work/$name-twin" "${ports[1]}"
}

has_all() { # NAME
    claim "$1: opens again" within 30 all_open
    claim "$1: nothing waits any more" within 60 all_settled twin
    claim "$1: the account is right" balances twin
    claim "$1: the other server has all of it" equals "$there" "$work/all.rw"
    crash "$1"
    stop twin
}

flip_state() {
    flip "$work/$1/relay/twin/state" 40
}
spoil damaged flip_state damaged
claim "damaged: the operator takes the state before" reset_to "$work/damaged" previous
has_all damaged

cut_state() {
    cp "$work/$1/relay/twin/state" "$work/kept"
    head -c 10 "$work/kept" >"$work/$1/relay/twin/state"
}
spoil cut cut_state cut
claim "cut: the file is put back" cp "$work/kept" "$work/cut/relay/twin/state"
has_all cut

spoil gone rm "$work/gone/relay/twin/state"
claim "gone: the operator takes the oldest" reset_to "$work/gone" oldest
has_all gone

both_gone() {
    rm "$work/$1/relay/twin/state" "$work/$1/relay/twin/state.previous"
}
spoil lost both_gone lost
fails_to_go_back() {
    ! reset_to "$work/lost" previous 2>"$work/refused.txt" && grep -q 'choose another --from' "$work/refused.txt"
}
claim "lost: there is no state before" fails_to_go_back
claim "lost: the operator takes what comes from now on" reset_to "$work/lost" now
claim "lost: opens again" within 30 all_open
make_load "$work/third.rw" 600 1000
claim "lost: what comes then is acknowledged" is_acknowledged "$work/third.rw" --retry 60
claim "lost: and arrives" within 60 has_delivered twin 1000
claim "lost: the account is right" balances twin
crash lost
stop twin

done_testing
