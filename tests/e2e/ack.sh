#!/bin/bash
# ack.sh - with --wal.ack=destination, a write is answered with 2xx when all destinations have it,
# and with 503 before its sender gives up; then nothing of it is sent any more, also not by a process
# that was stopped meanwhile, or killed. What a destination refuses is the sender's to know.
#
# Timestream is doubles/timestream.py; the other destination is another Firekeep. With LONG=1 Kinesis
# (kinesalite) and Firehose (moto) as well.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control timestream_service receiver kinesis moto
timestream=$(url_of timestream_service) receiver=$(url_of receiver)

retry='retry: {min_backoff: 50ms, max_backoff: 300ms}'

serve() { # NAME [ARGUMENT...]
    local name=$1
    shift
    start "$name" env LD_PRELOAD="$work/clock.so" CLOCK_AHEAD="$work/ahead" build/firekeep serve "$small_log" --storage.path="$work/$name" \
        --web.listen-address="127.0.0.1:${port[firekeep]}" --config.file="$work/firekeep.yml" --storage.mode=none --wal.ack=destination \
        --wal.ack-timeout=5s "$@" && wait_ready "$name" "$url/-/ready"
}

start_receiver() {
    start_firekeep receiver "$work/receiver" "${port[receiver]}"
}

prepare() {
    "${CC:-cc}" -shared -fPIC -O1 -o "$work/clock.so" tests/doubles/clock.c || return 1
    set_clock 0
    start_timestream --table metrics.acks && start_receiver
}

set_clock() { # SECONDS ahead
    echo "$1" >"$work/next" && mv "$work/next" "$work/ahead"
}

sends() { # STATUS FIRST COUNT [ARGUMENT...]: the answer is in `answer`
    local status=$1
    shift
    answer=$(/usr/bin/python3 tests/tools/ack_writer.py "$url/api/v1/write" "$@")
    echo "$answer"
    [[ ${answer%% *} == "$status" ]]
}

begins() { # FIRST COUNT: a write whose answer is waited for by `answers_with`
    /usr/bin/python3 tests/tools/ack_writer.py "$url/api/v1/write" "$@" >"$work/answer.txt" &
    writer=$!
    within 10 waits
}

answers_with() { # STATUS
    wait "$writer"
    answer=$(<"$work/answer.txt")
    echo "$answer"
    [[ ${answer%% *} == "$1" ]]
}

waits() {
    [[ $("$TOOLS/metrics" "$url" 0 sum firekeep_waiting_writes) == 1 ]]
}

in_time() { # answered 2 s before its sender gives up, or shortly after
    local took=${answer#* }
    took=${took%% *}
    ((took >= 2900 && took < 5000))
}

timestream_has() { # FIRST LENGTH COUNT: of this range
    quiet_curl "$timestream/dump" >"$work/dump.json"
    [[ $(jq -s --argjson first "$1" --argjson length "$2" \
        '[.[].measure_value | tonumber | select(. >= $first and . < $first + $length)] | unique | length' "$work/dump.json") == "$3" ]]
}

receiver_has() { # FIRST COUNT: of these; COUNT 0: none of the ten from FIRST on
    local found
    found=$(quiet_curl "$receiver/api/v1/query?query=count(ack%20%3E=%20$1%20and%20ack%20%3C%20$(($1 + ($2 > 0 ? $2 : 10))))" |
        jq -r '.data.result[0].value[1] // "0"')
    [[ $found == "$2" ]]
}

claim "the counterparts are there" prepare || exit 1
configure "{name: ts, type: timestream, region: $region, database: metrics, table: acks, write_endpoint: '$timestream', access_key: KEY, secret_key: SECRET, $retry}" \
    "{name: other, type: remote_write, url: '$receiver/api/v1/write', $retry}"
claim "starts" serve direct
claim "a write is answered with 204" sends 204 0 10
claim "at the answer Timestream has it" timestream_has 0 10 10
claim "at the answer the other destination has it" receiver_has 0 10
claim "an invalid timeout is a bad request" sends 400 10 1 --timeout-ms soon

claim "Timestream refuses a sample" quiet_curl "$timestream/fault" -d '{"kind": "reject", "indexes": [0], "reason": "it is cursed", "times": 1}'
claim "refused samples are a bad request" sends 400 20 10
claim "the answer names the destination and the reason" grep -q 'destination ts refused 1 of 10: .*it is cursed' <<<"$answer"
claim "the samples that are not refused were delivered" timestream_has 20 10 9

crash receiver
claim "with one destination down, a write is answered with 503" sends 503 40 10
claim "it is answered in time" in_time
claim "the answer names the destination" grep -q 'destination other has not confirmed' <<<"$answer"
claim "the other destination is there again" start_receiver
claim "a later write arrives" sends 204 60 10
claim "nothing of the one before came after its answer" receiver_has 40 0

slow() { # SECONDS
    quiet_curl "$timestream/fault" -d "{\"kind\": \"slow\", \"seconds\": $1}"
}
claim "a destination answers too late" slow 6
claim "a write to a slow destination is answered with 503" sends 503 80 10
claim "it is answered in time, too" in_time
claim "a sender with less time" slow 6
claim "a sender with less time gets 503 earlier" sends 503 100 10 --timeout-ms 3000
within 10 sends 204 120 1 >/dev/null

# A stop, while a request is pending: the time of day jumps, as in a machine that was suspended.
crash receiver
claim "a write waits" begins 140 10
kill -STOP -- "-$(pgrep -f "storage.path=$work/direct" | head -n 1)"
set_clock 10800
claim "the other destination is there while the process is stopped" start_receiver
kill -CONT -- "-$(pgrep -f "storage.path=$work/direct" | head -n 1)"
claim "after a stop of hours the write is answered with 503" answers_with 503
set_clock 0
claim "a write after that arrives" sends 204 160 10
claim "nothing of the one before the stop came after its answer" receiver_has 140 0

crash receiver
claim "another write waits" begins 180 10
crash direct
claim "SIGKILL: there is no answer" answers_with 0
claim "the other destination is there" start_receiver
claim "starts again" serve direct
claim "after SIGKILL a write arrives" sends 204 200 10
claim "nothing is left of the one before" receiver_has 180 0

ends_well() {
    [[ $("$TOOLS/metrics" "$url" 0 sum 'firekeep_waited_writes_total{outcome="confirmed"') == 1 ]] &&
        [[ $("$TOOLS/metrics" "$url" 0 sum firekeep_waiting_writes) == 0 ]] &&
        [[ $("$TOOLS/metrics" "$url" 0 sum firekeep_ledger_difference) == 0 ]] && balances ts && balances other
}
claim "the accounts are right" within 20 ends_well
claim "no log was made" [ "$(du -sk "$work/direct" | cut -f 1)" -lt 256 ]
claim "SIGTERM ends it with status 0" stop direct

claim "a store is refused" tells "wal.ack=destination requires storage.mode=none" 2 \
    build/firekeep serve --storage.path="$work/x" --wal.ack=destination
stop receiver
claim "a directory with a log is refused" tells 'contains \(a write-ahead log\|stored samples\)' 1 timeout 20 build/firekeep serve \
    --storage.path="$work/receiver" --storage.mode=none --wal.ack=destination --config.file="$work/firekeep.yml" --web.listen-address=127.0.0.1:0

if [[ ${LONG-} != 1 ]]; then
    skip "Kinesis and Firehose" "LONG is not 1"
elif ! has kinesis || ! has moto || ! can_read_aws; then
    skip "Kinesis and Firehose" "kinesalite, moto or boto3 is missing"
else
    port[packed]=${port[kinesis]} port[plain]=${port[moto]}
    {
        echo 'destinations:'
        entry packed acks 'access_key: KEY' 'secret_key: SECRET'
        entry plain acks 'access_key: KEY' 'secret_key: SECRET'
    } | write_config
    start_streams() {
        start_kinesis && start_moto && client "$(url_of moto)" make-bucket delivered && make_streams acks packed plain
    }
    claim "Kinesis and Firehose are there" start_streams
    claim "starts with both" serve streams
    claim "a write to both is answered with 204" sends 204 300 10
    for name in packed plain; do
        claim "at the answer $name has it" [ "$(content "$name" acks | grep -ao '"n":"3[0-9][0-9]"' | sort -u | wc -l)" == 10 ]
    done
    claim "SIGTERM ends it with status 0, too" stop streams
fi
done_testing
