#!/bin/bash
# destinations_trouble.sh - destinations that refuse some samples, all requests with wrong keys, or
# some calls: exactly the refused samples become dead letters, in few calls; and problems are
# reported at once.
#
# InfluxDB is a real one, S3 is s3rver, which checks signatures, Timestream is doubles/timestream.py.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control influxd influxd_meta s3 timestream_service twin twin_service prometheus
now=$(now_ms)

relay_to() { # NAME
    start_firekeep "$1" "$work/$1" "${port[firekeep]}" --config.file="$work/firekeep.yml" --web.enable-admin-api && within 20 all_open
}

settled_as() { # DESTINATION DELIVERED DEAD
    local is
    is="$(samples delivered_total "$1") $(samples dead_lettered_total "$1") $(samples queued "$1")"
    echo "$is"
    [[ $is == "$2 $3 0" ]]
}

calls_at_most() { # DESTINATION COUNT
    local calls
    calls=$(metric firekeep_destination_calls_total "$1")
    echo "$calls calls"
    ((calls <= $2))
}

start_prometheus() {
    mkdir -p "$work/prometheus"
    echo 'global: {}' >"$work/prometheus.yml"
    start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" --web.enable-remote-write-receiver \
        --web.listen-address="127.0.0.1:${port[prometheus]}"
    wait_ready prometheus "$(url_of prometheus)/-/ready"
}

letters() { # STORAGE DESTINATION: each as an object
    build/firekeep dead-letters show --storage.path="$1" --destination "$2" --format json
}

# --- InfluxDB refuses a ninth -----------------------------------------------------------------------

# 9 samples of 4500 series, m0 to m899, of which every ninth metric is bad, and BACK-MS old.
ninths() { # BACK-MS
    awk -v now="$(now_ms)" -v back="$1" 'BEGIN {
        for (t = 0; t < 9; t++) {
            if (t > 0) print "---"
            for (m = 0; m < 900; m++) for (h = 0; h < 5; h++)
                printf "m%d{host=\"h%d\",kind=\"%s\"} %d.5 %.0f\n", m, h, m % 9 == 4 ? "bad" : "good", t, \
                    now - (9 - t) * 1000 - (m % 9 == 4 ? back : 0)
        }
    }' | "$TOOLS/rwmake"
}
points_of() { # DATABASE KIND
    influx_query "SELECT count(value) FROM /.*/ WHERE kind='$2'" "$1" | jq '[.results[].series[]?.values[][1]] | add // 0'
}
has_points() { # DATABASE GOOD BAD
    local is
    is="$(points_of "$1" good) $(points_of "$1" bad)"
    echo "$is"
    [[ $is == "$2 $3" ]]
}
only_bad_letters() { # DESTINATION COUNT REASON-PATTERN
    letters "$work/ninths" "$1" >"$work/letters.txt" || return 1
    jq -s -c --arg said "$3" '[length, map(select(.labels.kind == "bad")) | length] | tostring' "$work/letters.txt"
    jq -s -e --argjson count "$2" --arg said "$3" 'length == $count and all(.[]; .labels.kind == "bad" and (.answer | test($said)))' "$work/letters.txt"
}
influx_entry() { # NAME
    printf '  - name: %s\n' "$1"
    printf '    %s\n' 'type: influxdb' 'version: 1' "database: $1" "url: $(url_of influxd)" 'batch: {max_age: 200ms}' 'paused: true' "${@:2}"
}

if ! has influxd; then
    skip "ninths" "influxd is not there"
elif claim "ninths: influxd starts" start_influxd; then
    claim "ninths: a database is made" influx_query 'CREATE DATABASE conflict WITH DURATION INF'
    claim "ninths: and one that keeps a day" influx_query 'CREATE DATABASE aged WITH DURATION 25h'
    awk 'BEGIN { for (m = 4; m < 900; m += 9) printf "m%d,host=other value=1i\n", m }' >"$work/integers"
    claim "ninths: every ninth metric is there with integers" quiet_curl -X POST "$(url_of influxd)/write?db=conflict" --data-binary @"$work/integers"
    {
        echo 'destinations:'
        influx_entry conflict
        influx_entry aged
    } | write_config
    claim "ninths: starts" relay_to ninths
    ninths 0 >"$work/ninths.rw"
    claim "ninths: samples are acknowledged" is_acknowledged "$work/ninths.rw"
    claim "ninths: they go to who refuses some of them for their type" quiet_curl -X POST "$url/api/v1/admin/destinations/conflict/resume"
    claim "ninths: what is refused becomes dead letters, the rest is delivered" within 60 settled_as conflict 36000 4500
    claim "ninths: in calls that are few" calls_at_most conflict 4000
    claim "ninths: the account is right" balances conflict
    claim "ninths: all good ones are there, and no bad one" has_points conflict 36000 0
    claim "ninths: dead letters are the bad ones, with its words" within 20 only_bad_letters conflict 4500 'field type conflict'
    stop ninths
    rm -rf "$work/ninths"
    claim "ninths: starts again with nothing" relay_to ninths
    ninths 172800000 >"$work/ninths.rw"
    claim "ninths: samples of which some are old are acknowledged" is_acknowledged "$work/ninths.rw"
    claim "ninths: they go to who keeps nothing that old" quiet_curl -X POST "$url/api/v1/admin/destinations/aged/resume"
    claim "ninths: what is too old becomes dead letters, the rest is delivered" within 60 settled_as aged 36000 4500
    claim "ninths: in calls that are few, too" calls_at_most aged 4000
    claim "ninths: all good ones are there, and no old one" has_points aged 36000 0
    claim "ninths: dead letters are the old ones" within 20 only_bad_letters aged 4500 'beyond retention policy'
    claim "ninths: SIGTERM ends it with status 0" stop ninths
    stop influxd
fi

# --- remote write: as a whole, or one by one ----------------------------------------------------------

if ! command -v prometheus >/dev/null; then
    skip "whole" "prometheus is not there"
else
    claim "whole: prometheus is there" start_prometheus
    claim "whole: a proxy counts the calls" start_proxy twin=remote_write:prometheus
    ended_as_a_whole() {
        local dead
        dead=$(samples dead_lettered_total twin)
        echo "$dead dead"
        ((dead > 1)) && settled_as twin $((40 - dead)) "$dead"
    }
    for isolate in true false; do
        write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $(url_of twin)/api/v1/write
    protobuf_message: prometheus.WriteRequest
    isolate: $isolate
    batch: {max_age: 300ms}
END
        for ((i = 0; i < 20; i++)); do
            echo "whole{isolate=\"$isolate\",i=\"$i\"} 1 $((now - 1000))" >&3
            echo "whole{isolate=\"$isolate\",i=\"$i\"} 2 $((now - (i == 7 ? 2000 : 0)))" >&4
        done 3>"$work/first.txt" 4>"$work/second.txt"
        "$TOOLS/rwmake" <"$work/first.txt" >"$work/first.rw"
        "$TOOLS/rwmake" <"$work/second.txt" >"$work/second.rw"
        rm -rf "$work/whole"
        claim "whole: $isolate: starts" relay_to whole
        claim "whole: $isolate: the first samples are acknowledged" is_acknowledged "$work/first.rw"
        claim "whole: $isolate: they are delivered" within 20 has_delivered twin 20
        before=$(metric firekeep_destination_calls_total twin)
        claim "whole: $isolate: one that comes too late is acknowledged with the others" is_acknowledged "$work/second.rw"
        if [[ $isolate == true ]]; then
            claim "whole: $isolate: it alone becomes a dead letter" within 20 settled_as twin 39 1
        else
            claim "whole: $isolate: with it all of its call becomes dead letters" within 20 ended_as_a_whole
            claim "whole: $isolate: and nothing is sent again" calls_at_most twin $((before + 4))
        fi
        claim "whole: $isolate: the account is right" balances twin
        claim "whole: $isolate: SIGTERM ends it with status 0" stop whole
    done
    stop proxy
    stop prometheus
fi

# --- another Firekeep, which states how many it refuses -------------------------------------------------

# 20,000 samples of 100 series, 11 of which have a value that is too long.
awk -v now="$now" 'BEGIN {
    long = sprintf("%200s", ""); gsub(" ", "x", long)
    for (i = 0; i < 20000; i++) {
        if (i > 0 && i % 1000 == 0) print "---"
        printf "counted{series=\"%d\",kind=\"%s\",value=\"%s\"} %d %.0f\n", i % 100, \
            i % 100 < 11 ? "bad" : "good", i % 100 < 11 ? long : "short", i, now - 1000000 + 1000 * int(i / 100)
    }
}' | "$TOOLS/rwmake" >"$work/counted.rw"
only_bad_ones() {
    letters "$work/counted" twin >"$work/letters.txt" && jq -s -e 'length == 2200 and all(.[]; .labels.kind == "bad")' "$work/letters.txt"
}
for message in io.prometheus.write.v2.Request prometheus.WriteRequest; do
    for isolate in true false; do
        write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $(url_of twin_service)/api/v1/write
    protobuf_message: $message
    isolate: $isolate
    batch: {max_age: 300ms}
END
        rm -rf "$work/counted" "$work/twin"
        name="counted: $message, isolate $isolate"
        claim "$name: another Firekeep is there" start_firekeep twin "$work/twin" "${port[twin_service]}" --write.max-value-bytes=100
        claim "$name: starts" relay_to counted
        claim "$name: samples are acknowledged" is_acknowledged "$work/counted.rw"
        if [[ $isolate == true ]]; then
            claim "$name: the refused ones become dead letters" within 20 settled_as twin 17800 2200
            claim "$name: in one call for 20 of them" calls_at_most twin 110
            claim "$name: nobody else does" within 20 only_bad_ones
        else
            claim "$name: all calls become dead letters, and none waits" within 20 settled_as twin 0 20000
            claim "$name: and nothing is sent again" calls_at_most twin 30
            claim "$name: it goes on" is_in_state twin running
        fi
        claim "$name: the account is right" balances twin
        claim "$name: SIGTERM ends it with status 0" stop counted
        stop twin
    done
done

# --- half the calls fail --------------------------------------------------------------------------------

now=$(now_ms)
if ! command -v prometheus >/dev/null; then
    skip "half" "prometheus is not there"
elif claim "half: prometheus is there" start_prometheus && claim "half: a proxy is there" start_proxy twin=remote_write:prometheus; then
    write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $(url_of twin)/api/v1/write
    protobuf_message: prometheus.WriteRequest
    concurrency: 1
    batch: {max_age: 300ms, max_samples: 1000}
    retry: {give_up_after: 5s}
END
    awk -v t=$((now - 1000)) 'BEGIN { for (i = 0; i < 1000; i++) printf "half{i=\"%d\"} 1 %.0f\n", i, t }' | "$TOOLS/rwmake" >"$work/first.rw"
    awk -v t="$now" 'BEGIN { for (i = 0; i < 1000; i++) printf "half{i=\"%d\"} 2 %.0f\n", i, t - (i == 500 ? 2000 : 0) }' | "$TOOLS/rwmake" >"$work/second.rw"
    claim "half: starts" relay_to half
    claim "half: the first samples are acknowledged" is_acknowledged "$work/first.rw"
    claim "half: they are delivered" within 20 has_delivered twin 1000
    claim "half: from now on each second call fails" fault twin error '"every": 2'
    claim "half: one that comes too late is acknowledged with the others" is_acknowledged "$work/second.rw"
    began=$(now_ms)
    claim "half: it alone becomes a dead letter, and soon" within 20 settled_as twin 1999 1
    echo "# one of 1000 found in $(($(now_ms) - began)) ms and $(metric firekeep_destination_calls_total twin) calls"
    claim "half: the account is right" balances twin
    claim "half: SIGTERM ends it with status 0" stop half
    stop proxy
    stop prometheus
fi

# --- remote write 2.0 of families alone ----------------------------------------------------------------

write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $(url_of twin)/api/v1/write
    protobuf_message: io.prometheus.write.v2.Request
    batch: {max_age: 100ms}
END
printf '@metadata requests 1 - how many\n' | "$TOOLS/rwmake" >"$work/family.rw"
echo "requests{job=\"x\"} 1 $now" | "$TOOLS/rwmake" >"$work/requests.rw"
family_is_settled() {
    [[ $(metric firekeep_destination_metadata_delivered_total twin) == 1 && $(metric firekeep_destination_metadata_queued twin) == 0 ]]
}
claim "families: another Firekeep is there" start_firekeep twin "$work/twin" "${port[twin_service]}"
claim "families: a proxy counts the calls" start_proxy twin=remote_write:twin_service
claim "families: starts" relay_to families
claim "families: a family is acknowledged" "$TOOLS/rwreplay" "$work/family.rw" "$url"
claim "families: it is settled" within 20 family_is_settled
claim "families: without a request but the check at the start" told twin '.calls <= 1'
claim "families: a sample is acknowledged" is_acknowledged "$work/requests.rw"
claim "families: it is delivered" within 20 has_delivered twin 1
has_family() {
    quiet_curl "$(url_of twin_service)/api/v1/metadata?metric=requests" | tee "$work/answer.txt"
    jq -e '.data.requests[0].help == "how many"' "$work/answer.txt"
}
claim "families: the family with it" within 10 has_family
claim "families: SIGTERM ends it with status 0" stop families
stop proxy
stop twin

# --- S3 with wrong keys -------------------------------------------------------------------------------

if ! has s3 || ! can_read_aws; then
    skip "keys" "s3rver or botocore is not there"
elif claim "keys: s3rver is there" start_s3 && claim "keys: the bucket is made" client "$(url_of s3)" make-bucket metrics; then
    echo NOBODY >"$work/key"
    write_config <<END
destinations:
  - name: archive
    type: s3
    region: $region
    bucket: metrics
    endpoint: $(url_of s3)
    path_style: true
    access_key_file: $work/key
    secret_key: S3RVER
    roll_age: 1h
  - name: nowhere
    type: s3
    region: $region
    bucket: absent
    endpoint: $(url_of s3)
    path_style: true
    access_key: S3RVER
    secret_key: S3RVER
    roll_age: 1h
END
    claim "keys: starts" relay_to keys
    claim "keys: wrong ones block at once, with nothing to upload" within 10 is_in_state archive blocked
    claim "keys: and it says why" bash -c "grep -q InvalidAccessKeyId '$work/keys.log'"
    claim "keys: a bucket that is not there, too" within 10 is_in_state nowhere blocked
    claim "keys: it says so" says nowhere NoSuchBucket
    echo S3RVER >"$work/key"
    claim "keys: right ones end that, with nothing uploaded" within 30 is_in_state archive running
    claim "keys: nothing was given up" [ "$(samples dead_lettered_total archive):$(samples dropped_total archive)" == 0:0 ]
    claim "keys: SIGTERM ends it with status 0" stop keys
    stop s3
fi

# --- throttled now and then -----------------------------------------------------------------------------

few_at_a_time() { # LEAST
    local lanes
    lanes=$(metric firekeep_destination_lanes throttled)
    echo "$lanes at a time"
    ((lanes >= $1))
}
write_config <<END
destinations:
  - name: throttled
    type: timestream
    region: $region
    database: metrics
    table: bits
    write_endpoint: $(url_of timestream_service)
    access_key: KEY
    secret_key: SECRET
    batch: {max_age: 100ms, max_samples: 20}
    retry: {min_backoff: 20ms, max_backoff: 300ms}
END
awk -v now="$now" 'BEGIN { for (i = 0; i < 8000; i++) printf "throttled{i=\"%d\"} %d.25 %.0f\n", i, i, now }' | "$TOOLS/rwmake" >"$work/throttled.rw"
claim "throttled: the double is there" start_timestream --throttle 5 --latency 0.01
claim "throttled: starts" relay_to throttled
claim "throttled: samples are acknowledged" is_acknowledged "$work/throttled.rw"
claim "throttled: all of them arrive" within 60 settled_as throttled 8000 0
claim "throttled: as many calls at a time as before" few_at_a_time 14
claim "throttled: the account is right" balances throttled
claim "throttled: SIGTERM ends it with status 0" stop throttled
stop timestream

done_testing
