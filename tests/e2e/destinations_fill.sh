#!/bin/bash
# destinations_fill.sh - a destination that begins in the past, or failed for longer than the log
# reaches back, gets the missing samples from the store and then the log, and its account is right;
# without a store the log waits, and then the senders do.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 3)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
spare=${ports[2]}
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
long=$SAMPLES/v2hist.rw # takes more than two of the smallest log budgets
small=(--wal.segment-bytes=1MiB --wal.budget=16MiB --web.enable-admin-api)

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip_all "filling" "no captures beside the project"
fi
capture=$SAMPLES/node15s.rw
count=$(sent_samples "$capture")
long_count=$(sent_samples "$long")

flush() {
    quiet_curl --max-time 60 -X POST "$url/api/v1/admin/tsdb/flush"
}

log_segments() {
    compgen -G "$1/wal/*.wal" | wc -l
}

has_taken() { # DESTINATION COUNT
    local taken
    taken=$(samples taken_total "$1")
    echo "taken $taken of $2, state $(state_of "$1")"
    [[ $taken == "$2" ]] && balances "$1"
}

# --- from the beginning -----------------------------------------------------------------------------

claim "beginning: starts without destinations" start_firekeep first "$work/first" "${ports[0]}" "${small[@]}"
claim "beginning: everything is acknowledged" is_acknowledged "$capture" --retry 60
claim "beginning: what is there goes into parts" flush
claim "beginning: SIGTERM ends it with status 0" stop first
write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    start: beginning
    batch: {max_age: 100ms}
  - name: lines
    type: file
    path: $work/first-lines
    start: 2000-01-01T00:00:00Z
    batch: {max_age: 100ms}
  - name: now
    type: file
    path: $work/first-now
    batch: {max_age: 100ms}
END
claim "beginning: the other server starts" start_firekeep twin "$work/first-twin" "${ports[1]}"
claim "beginning: starts with destinations" start_firekeep first "$work/first" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
sleep 0.3 # not awaited: any moment is a good one
crash first
claim "beginning: starts again after SIGKILL" start_firekeep first "$work/first" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
for name in twin lines; do
    claim "beginning: $name takes all there is" within 60 has_delivered "$name" "$count"
    claim "beginning: $name: the account is right" balances "$name"
    claim "beginning: $name goes on with the log" within 10 is_in_state "$name" running
done
claim "beginning: who begins now is given nothing" has_delivered now 0
claim "beginning: the other server has the same" equals "$there" "$capture"
claim "beginning: it ends with status 0" stop first
claim "beginning: the files are what was sent" imports_as "$work/first-lines" "$capture"
stop twin

# --- dead for longer than the log reaches back ------------------------------------------------------

write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    log_budget: 1MiB
    batch: {max_age: 100ms}
END
claim "dead: starts, though nobody is there" start_firekeep dead "$work/dead" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
claim "dead: half of it is acknowledged" is_acknowledged "$long" --retry 60 --first 900
claim "dead: what is there goes into parts" flush
claim "dead: the rest is acknowledged" is_acknowledged "$long" --retry 60 --skip 900
claim "dead: it is known what waits, to the sample" within 20 has_taken twin "$long_count"
no_log_is_held() {
    flush >/dev/null
    echo "$(log_segments "$work/dead") segments, state $(state_of twin)"
    (($(log_segments "$work/dead") <= 4))
}
claim "dead: the log is given up all the same" within 20 no_log_is_held
crash dead
claim "dead: starts again after SIGKILL" start_firekeep dead "$work/dead" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
claim "dead: it is still known what waits" within 20 has_taken twin "$long_count"
claim "dead: the other server comes back" start_firekeep twin "$work/dead-twin" "${ports[1]}"
claim "dead: everything arrives" within 60 has_delivered twin "$long_count"
claim "dead: the account is right" balances twin
claim "dead: the store was read for it" grep -q 'far behind, reading queued samples from the store' "$work/dead.log"
claim "dead: the other server has the same" equals "$there" "$long"
claim "dead: it follows the log again" within 10 is_in_state twin running
crash twin
rm -rf "$work/dead-twin"
claim "dead: the other server has lost everything" start_firekeep twin "$work/dead-twin" "${ports[1]}"
claim "dead: a replay needs a time" bash -c "curl -sg --noproxy '*' -X POST '$url/api/v1/admin/destinations/twin/replay' | grep -q 'missing parameter .from.'"
claim "dead: it is told to give everything again" quiet_curl -X POST "$url/api/v1/admin/destinations/twin/replay?from=0"
claim "dead: everything arrives again" within 60 has_delivered twin $((2 * long_count))
claim "dead: the account is right then, too" balances twin
claim "dead: the other server has everything again" equals "$there" "$long"
claim "dead: SIGTERM ends it with status 0" stop dead
claim "dead: nothing is damaged, and the ledger balances" "$firekeep" verify "$work/dead"
stop twin

# --- a state that cannot be read for a while --------------------------------------------------------

claim "closed: starts, though nobody is there" start_firekeep closed "$work/closed" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
claim "closed: half of it is acknowledged" is_acknowledged "$long" --retry 60 --first 900
crash closed
state=$work/closed/relay/twin/state
cp "$state" "$work/state"
head -c 10 "$work/state" >"$state"
is_closed() {
    quiet_curl "$url/api/v1/status/destinations" | tee "$work/status.json"
    jq -e '.data[0] | .state == "closed" and (.lastError | contains("state"))' "$work/status.json" >/dev/null
}
claim "closed: starts though a destination cannot be opened" start_firekeep closed "$work/closed" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml"
claim "closed: and says so" within 10 is_closed
claim "closed: the rest is acknowledged" is_acknowledged "$long" --retry 60 --skip 900
claim "closed: what is there goes into parts" flush
claim "closed: and these are merged" quiet_curl --max-time 60 -X POST "$url/api/v1/admin/tsdb/merge?full=true"
cp "$work/state" "$state"
claim "closed: the other server comes" start_firekeep twin "$work/closed-twin" "${ports[1]}"
claim "closed: once it can be opened everything arrives" within 60 has_delivered twin "$long_count"
claim "closed: the account is right" balances twin
claim "closed: the other server has the same" equals "$there" "$long"
claim "closed: SIGTERM ends it with status 0" stop closed
stop twin

# --- it was named, but wrongly ----------------------------------------------------------------------

# The environment must not name the bucket's service.
unset "${!AWS_@}"
export HOME=$work
write_config <<END
destinations:
  - {name: twin, type: s3, bucket: bbb, batch: {max_age: 100ms}}
END
claim "named: starts though a destination can never be opened" start_firekeep named "$work/named" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "named: half of it is acknowledged" is_acknowledged "$long" --retry 60 --first 900
crash named
claim "named: starts again after SIGKILL" start_firekeep named "$work/named" "${ports[0]}" "${small[@]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "named: the rest is acknowledged" is_acknowledged "$long" --retry 60 --skip 900
write_config <<END
destinations:
  - {name: twin, type: remote_write, url: $there/api/v1/write, batch: {max_age: 100ms}}
END
claim "named: the other server comes" start_firekeep twin "$work/named-twin" "${ports[1]}"
claim "named: a reload mends it" quiet_curl -X POST "$url/-/reload"
claim "named: all since it was named arrives" within 60 has_delivered twin "$long_count"
claim "named: the account is right" balances twin
claim "named: the other server has the same" equals "$there" "$long"
claim "named: SIGTERM ends it with status 0" stop named
stop twin
write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    log_budget: 1MiB
    batch: {max_age: 100ms}
END

# --- without a store --------------------------------------------------------------------------------

none=("${small[@]}" --storage.mode=none --config.file="$work/firekeep.yml")
claim "none: who keeps samples is not started without a store" bash -c "! timeout 20 '$firekeep' serve --storage.path='$work/dead' --storage.mode=none --config.file='$work/firekeep.yml' --web.listen-address=127.0.0.1:$spare 2>'$work/said' && grep -q 'contains stored samples' '$work/said'"
claim "none: starts, though nobody is there" start_firekeep none "$work/none" "${ports[0]}" "${none[@]}"
"$TOOLS/rwreplay" "$long" "$url" --retry 120 --check >"$work/replay.txt" 2>&1 &
sender=$!
is_full() {
    local status
    status=$(curl -sg --noproxy '*' -o "$work/body" -D "$work/head" -w '%{http_code}' -X POST -H 'Content-Type: application/x-protobuf' -H 'Content-Encoding: snappy' --data-binary x "$url/api/v1/write")
    echo "$status $(cat "$work/body")"
    [[ $status == 503 ]] && grep -qi '^retry-after' "$work/head" && grep -q 'used up its log budget' "$work/body"
}
claim "none: once the log is full, writes have to wait" within 60 is_full
claim "none: and it is not ready" bash -c "! curl -fsg --noproxy '*' '$url/-/ready'"
claim "none: there is nothing to read" bash -c "curl -sg --noproxy '*' '$url/api/v1/labels' | grep -q 'no samples are stored'"
flush >/dev/null
crash none
start_unready() { # it is full, so it is not ready
    start none "$firekeep" serve --storage.path="$work/none" --web.listen-address="127.0.0.1:${ports[0]}" "${none[@]}"
    wait_ready none "$url/-/healthy"
}
claim "none: starts again after SIGKILL" start_unready
claim "none: the other server comes" start_firekeep twin "$work/none-twin" "${ports[1]}"
claim "none: then everything is acknowledged" wait "$sender"
claim "none: everything arrives" within 60 all_settled twin
claim "none: the account is right" balances twin
claim "none: the other server has the same" equals "$there" "$long"
claim "none: SIGTERM ends it with status 0" stop none
claim "none: nothing is kept" bash -c "! compgen -G '$work/none/parts/*'"
claim "none: nothing is damaged, and the ledger balances" "$firekeep" verify "$work/none"
stop twin
done_testing
