#!/bin/bash
# destinations_hour.sh - an hour of samples that continue a real capture arrives in a destination of
# each type, each sample, bit for bit and in the order of its series, with all kinds of failures:
# SIGKILL of Firekeep and of all counterparts, throttling, calls that fail in part, slow,
# half-closed, stored but the answer cut off, storms of 5xx, a full disk, expired sessions. Samples
# that a counterpart refuses for good are dead letters, and the arrived samples and the dead letters
# together are what was sent.
#
# The hour is sent in rounds, with one kind of trouble per round; in addition, single calls of all
# kinds fail all the time. With LONG=1 it has twenty times as many series, and each trouble happens
# six times.
#
# Late samples, series that come and go and every kind of value are part of it. The content is read
# as in aws.sh; the proxy before InfluxDB and remote write records the order of arrival there.

set -u
# Firekeep gets a disk of its own, which can be full.
if [[ -z ${OWN_MOUNTS-} ]]; then
    # A chroot has no user namespaces, and / cannot be made private.
    for how in '-rm' '-m --propagation unchanged'; do
        # shellcheck disable=SC2086 # words
        unshare $how true 2>/dev/null && exec unshare $how env OWN_MOUNTS=1 bash "$0"
    done
    printf '%s\n' "skip an hour - no disk can be mounted here" "all tests ran"
    exit 0
fi
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
if [[ ${LONG-} == 1 ]]; then
    series=400 times=6 patience=900
else
    series=10 times=1 patience=120
fi
scrapes=120
region=eu-west-1
name_ports firekeep control kinesis s3 moto timestream_service influxd influxd_meta influxd_opentsdb twin_service \
    ndjson packed kpl plain gz timestream influxdb opentsdb twin
disk=$work/disk
end_ms=$(now_ms)
recorded=(influxdb opentsdb twin)

if ! can_read_aws || ! has kinesis || ! has s3 || ! has moto || ! has influxd; then
    skip_all "an hour" "kinesalite, s3rver, moto, botocore, zstd or influxd is not there"
fi
if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip_all "an hour" "no captures beside the project"
fi
signed=(ndjson packed kpl plain gz timestream)
routed=("${signed[@]}" "${recorded[@]}")
all=("${routed[@]}" lines)

# --- sent samples -----------------------------------------------------------------------------------

# Makes every kind of value; series that InfluxDB has as integers, and some whose labels are too
# long for the other Firekeep.
specials() {
    local i
    every_kind | grep -v '^@exemplar' | sed "s/1700000000000/$end_ms/"
    for ((i = 0; i < 5; i++)); do
        echo "clash{i=\"$i\"} $i.5 $end_ms"
        echo "wide{i=\"$i\",text=\"$(printf '%0250d' "$i")\"} $i $end_ms"
    done
}

make_hour() {
    specials | "$TOOLS/rwmake" >"$work/specials.rw" &&
        "$TOOLS/rwspan" "$SAMPLES/node15s.rw" --series "$series" --scrapes $scrapes --interval-ms 30000 --churn 100 --late 1 --end-ms "$end_ms" >"$work/span.rw" &&
        cat "$work/specials.rw" "$work/span.rw" >"$work/sent.rw"
}

# --- counterparts -----------------------------------------------------------------------------------

start_services() {
    start_kinesis && start_s3 && start_moto "$work/moto.jsonl" && start_influxd &&
        start_timestream --table metrics.hour --journal "$work/timestream.jsonl" &&
        start_firekeep twin "$work/twin" "${port[twin_service]}" --write.max-value-bytes=200 --wal.segment-bytes=1MiB --wal.budget=16MiB
}

start_proxy_of_all() {
    local name records=()
    for name in "${recorded[@]}"; do records+=(--record "$name=$work/$name.recorded"); done
    start_proxy {ndjson,packed,kpl}=kinesis:kinesis plain=firehose:moto gz=s3:s3 timestream=timestream:timestream_service influxdb=influxdb:influxd \
        opentsdb=opentsdb:influxd_opentsdb twin=remote_write:twin_service -- "${records[@]}"
}

make_places() {
    make_streams hour "${all[@]}" && client "$(url_of s3)" make-bucket metrics && client "$(url_of moto)" make-bucket delivered &&
        influx_query 'CREATE DATABASE influxdb WITH DURATION INF' && influx_query 'CREATE DATABASE opentsdb WITH DURATION INF' &&
        quiet_curl -X POST "$(url_of influxd)/write?db=influxdb&precision=ms" --data-binary "clash value=1i $end_ms"
}

make_disk() {
    mkdir -p "$disk" && mount -t tmpfs -o size=192m tmpfs "$disk" || return 1
    trap 'stop_all; umount "$disk"' EXIT # others may see it
}

session=0
renew_session() {
    session=$((session + 1))
    echo "TOKEN$session" >"$work/token.new" && mv "$work/token.new" "$work/token"
}

entries() {
    local name lines
    echo 'destinations:'
    for name in "${routed[@]}"; do
        lines=('timeout: 3s')
        [[ " ${signed[*]} " != *" $name "* ]] || lines+=('access_key: S3RVER' 'secret_key: S3RVER' "session_token_file: $work/token")
        # Many small calls: each may be the one that goes wrong.
        entry "$name" hour "${lines[@]}" | sed "s/roll_bytes: .*/roll_bytes: 16KiB/; /name: \(influxdb\|twin\)/,/batch:/s/max_age: 100ms/&, max_samples: $series/"
    done
    printf '%s\n' '  - name: lines' '    type: file' "    path: $disk/lines" '    roll_bytes: 256KiB' '    batch: {max_age: 100ms}'
}

relay_to_all() {
    start_firekeep hour "$disk/hour" "${port[firekeep]}" --config.file="$work/firekeep.yml" --storage.min-free=1 \
        --wal.segment-bytes=1MiB --wal.budget=16MiB && within 30 all_open
}

# --- failures ---------------------------------------------------------------------------------------

# Numbers that have no common divisor: faults meet in many orders. Where there are few calls, more of
# them fail.
let_calls() { # {KIND EVERY EVERY-OF-FEW [MEMBERS]}...: of all routes
    local name kind every few members fault_of
    for name in "${routed[@]}"; do
        for fault_of; do
            IFS='|' read -r kind every few members <<<"$fault_of"
            [[ ! $name =~ ^(gz|packed|kpl|plain)$ ]] || every=${few:-$every}
            [[ $kind != partial || $(kind_of "$name") =~ kinesis|firehose|opentsdb ]] || continue
            fault "$name" "$kind" "\"every\": $every$members" || return 1
        done
    done
}
let_calls_be_refused() {
    let_calls 'throttle|23|9' 'error|17|7' 'cut_before|13|5' 'partial|7||, "third": 2'
}
# Requests whose answers are lost have been carried out.
let_answers_be_lost() {
    let_calls 'cut|11|4' 'half_closed|19|6' 'slow|29|8|, "seconds": 0.3' 'slow|97||, "seconds": 4'
}

# The proxy is killed, too, and its counts start again.
keep_stats() {
    quiet_curl "$control/stats" >>"$work/stats.json"
}

not_yet_wrong() { # DESTINATION: kinds of faults that it has not met
    local kinds='"throttle", "error", "cut", "cut_before", "half_closed", "slow"'
    [[ ! $(kind_of "$1") =~ kinesis|firehose|opentsdb ]] || kinds+=', "partial"'
    [[ " ${signed[*]} " != *" $1 "* ]] || kinds+=', "expired"'
    jq -rs "[$kinds] - (map(.[\"$1\"].faults | keys) | add) | .[]" "$work/stats.json"
}

all_went_wrong() { # DESTINATION
    jq -c ".[\"$1\"].faults" "$work/stats.json"
    [[ -z $(not_yet_wrong "$1") ]]
}

# The number of calls depends on the speed of the machine: failures that have not happened apply to
# the next call.
send_rest() {
    local i name kind pieces=5 from=$for_rounds
    for ((i = 0; i < pieces; i++)); do
        keep_stats || return 1
        for name in "${routed[@]}"; do
            for kind in $(not_yet_wrong "$name"); do
                fault "$name" "$kind" '"times": 1, "third": 2, "seconds": 0.3' || return 1
            done
        done
        send $((from + (requests - from) * i / pieces)) $((from + (requests - from) * (i + 1) / pieces)) && settles || return 1
    done
}

kill_firekeep() {
    local i
    for i in 1 2; do
        sleep "0.$i" # not awaited: any moment is a good one
        crash hour
        relay_to_all || return 1
    done
}

kill_counterparts() {
    local name
    sleep 0.2 # the same
    keep_stats || return 1
    for name in proxy kinesis s3 moto influxd timestream twin; do
        crash "$name"
    done
    start_services && start_proxy_of_all && let_calls_be_refused && let_answers_be_lost
}

storm_gathers() {
    local name
    before=$(quiet_curl "$control/stats")
    for name in "${routed[@]}"; do
        fault "$name" error '"times": 12' || return 1
    done
}

met() { # HOW-MANY KIND OF-WHICH ROUTE...: faults of this kind, OF-WHICH of them before
    local name wanted
    for name in "${@:4}"; do
        wanted=$(($1 + $(jq ".[\"$name\"].faults.$2 // 0" <<<"$3")))
        within "$patience" told "$name" ".faults.$2 >= $wanted" >"$work/met.txt" || {
            echo "$name did not meet $1 $2: $(tail -n 1 "$work/told.json")"
            return 1
        }
    done
}

storm() {
    met 12 error "$before" "${routed[@]}" &&
        quiet_curl "$(url_of timestream_service)/fault" -d '{"kind": "reject", "times": 2, "indexes": [0], "for_good": true, "reason": "Not this one."}'
}

sessions_end() {
    local name
    for name in "${signed[@]}"; do
        fault "$name" expired "\"token\": \"TOKEN$session\"" || return 1
    done
}

sessions_are_renewed() {
    met "$session" expired '{}' "${signed[@]}" && renew_session
}

fill_disk() {
    before=$(grep -c 'No space left' "$work/hour.log")
    head -c 1G /dev/zero >"$disk/fill"
    df "$disk" | tail -n 1
}

disk_is_full() {
    within 60 eval '(($(grep -c "No space left" "$work/hour.log") > before))' || return 1
    ((round % 2)) || crash hour # every second time
    rm "$disk/fill"
    is_running hour || relay_to_all
}

send() { # FROM TO
    "$TOOLS/rwreplay" "$work/sent.rw" "$url" --skip "$1" --first "$2" --retry 300 --check >>"$work/replay.txt" 2>&1
}

before='' # failures before this round
round=0
rounds=$((5 * times + 1))
send_round() { # TROUBLE [WHAT COMES BEFORE]: a round may be over at once, and then there is nothing to go wrong
    local from=$((for_rounds * round / rounds)) to=$((for_rounds * (round + 1) / rounds)) sender
    round=$((round + 1))
    [[ -z ${2-} ]] || "$2" || return 1
    send "$from" "$to" &
    sender=$!
    "$1" || return 1
    wait "$sender" || {
        tail -n 5 "$work/replay.txt"
        return 1
    }
}

settles() {
    within "$patience" all_settled "${all[@]}"
}

# --- arrived samples --------------------------------------------------------------------------------

# Writes into $work/NAME.rw; if the counterpart keeps no order, the requests go into
# $work/NAME-sent.rw.
take_all() { # DESTINATION
    case $1 in
    lines)
        cat "$disk"/lines/* | python3 tests/tools/aws_content.py --any-order "$work/lines.rw" | tee "$work/lines.txt"
        return "${PIPESTATUS[1]}"
        ;;
    twin) cp "$work/twin.recorded" "$work/twin-sent.rw" ;;
    influxdb | opentsdb)
        take_content "$1" hour --any-order || return 1
        python3 tests/tools/point_lines.py sent "$1" "$work/$1.recorded" | python3 tests/tools/aws_content.py --any-order "$work/$1-sent.rw" |
            tee "$work/$1.txt"
        return "${PIPESTATUS[1]}"
        ;;
    *) take_content "$1" hour --any-order ;;
    esac
}

take_letters() { # DESTINATION
    build/firekeep dead-letters show --storage.path="$disk/hour" --destination "$1" --format json |
        python3 tests/tools/aws_content.py --letters --any-order "$work/$1-letters.rw"
}

is_what_was_sent() { # DESTINATION: what arrived and the dead letters
    local side=$work/$1-all.rw arrived=$work/$1.rw
    take_letters "$1" || return 1
    if [[ $1 == twin ]]; then
        arrived=$work/twin-sent.rw
        "$TOOLS/rrcompare" "$(url_of twin_service)" "$arrived" "${whole[@]}" || return 1
    fi
    cat "$arrived" "$work/$1-letters.rw" >"$side" && "$TOOLS/rrcompare" "$work/sent.rw" "$side" "${whole[@]}"
}

is_in_order() { # DESTINATION
    local side=$work/$1.rw
    [[ " ${recorded[*]} " != *" $1 "* ]] || side=$work/$1-sent.rw
    "$TOOLS/rrcompare" "$work/sent.rw" "$side" --common --in-order "${whole[@]}" | tee "$work/$1-order.txt"
    return "${PIPESTATUS[0]}"
}

repeats_of() { # DESTINATION: how often a sample came again
    case $1 in
    timestream) quiet_curl "$(url_of timestream_service)/stats" | jq .repeats ;;
    twin) sed -n 's/^repeats=\([0-9]*\).*/\1/p' "$work/twin-order.txt" ;;
    *) found repeats "$1" ;;
    esac
}

came_once() { # DESTINATION
    local repeats
    take_all "$1" >/dev/null && is_in_order "$1" && repeats=$(repeats_of "$1") || return 1
    echo "$repeats came again"
    [[ $repeats == 0 ]]
}

# --- the hour ---------------------------------------------------------------------------------------

claim "the hour is made" make_hour || exit 1
count=$(sent_samples "$work/sent.rw")
requests=$((scrapes + 1)) for_rounds=$((scrapes * 9 / 10))
claim "there is a disk" make_disk || exit 1
claim "the counterparts are there" start_services || exit 1
claim "the proxy is there" start_proxy_of_all || exit 1
claim "places to write to are made" make_places || exit 1
renew_session
entries | write_config
claim "it starts" relay_to_all || exit 1

# Samples are repeated only if an answer was lost, or Firekeep lost its memory.
claim "refused: calls are to be refused" let_calls_be_refused
claim "refused: everything is acknowledged" send_round true
claim "refused: everything arrives" settles
for name in ndjson plain timestream influxdb twin; do
    claim "refused: $name: nothing comes twice" came_once "$name"
done

claim "answers are to be lost, too" let_answers_be_lost
for ((i = 0; i < times; i++)); do
    claim "everything is acknowledged while Firekeep is killed" send_round kill_firekeep
    claim "everything is acknowledged while the counterparts are killed" send_round kill_counterparts
    claim "everything is acknowledged in a storm of 5xx" send_round storm storm_gathers
    claim "everything is acknowledged while sessions end" send_round sessions_are_renewed sessions_end
    claim "everything is acknowledged though the disk is full for a while" send_round disk_is_full fill_disk
done
claim "everything arrives while calls go wrong" settles
claim "the rest comes while what has not gone wrong yet does" send_rest
keep_stats
for name in "${routed[@]}"; do
    claim "$name: all kinds of faults happened" all_went_wrong "$name"
done
claim "nothing goes wrong any more" mend
for name in "${all[@]}"; do
    claim "$name: the account is right, and nothing was dropped" shows "$name" dropped=0 queued=0
    # Items that SIGKILL made come again count as taken again, with their fates.
    settled=$(($(samples delivered_total "$name") + $(samples dead_lettered_total "$name") - $(samples taken_again_total "$name")))
    claim "$name: everything is accounted for" [ "$settled" == "$count" ]
    refuses=$([[ $name =~ ^(timestream|influxdb|opentsdb|twin)$ ]] && echo '!=' || echo '==')
    claim "$name: samples are refused only where they may be" [ "$(samples dead_lettered_total "$name")" "$refuses" 0 ]
done
letters=$(build/firekeep dead-letters list --storage.path="$disk/hour")
claim "SIGTERM ends it with status 0" stop hour
claim "the files are whole" files_are_whole "$disk/lines"
influx_query 'DROP SERIES FROM clash' influxdb >/dev/null # the integers
for name in "${all[@]}"; do
    claim "$name: it can be read" take_all "$name"
    claim "$name: what arrived, and the dead letters, are what was sent" is_what_was_sent "$name"
    claim "$name: each series came in the order of the log" is_in_order "$name"
    echo "$name: $count samples sent, $(repeats_of "$name") came again"
done
echo "$letters"
# Names of objects and lengths of files show what has arrived.
for name in gz lines; do
    claim "$name: nothing came twice" [ "$(repeats_of "$name")" == 0 ]
done
claim "nothing is damaged, and the ledger balances" build/firekeep verify "$disk/hour"

done_testing
