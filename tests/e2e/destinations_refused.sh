#!/bin/bash
# destinations_refused.sh - destinations that refuse some samples, all of them, or credentials, or that
# fail now and then: exactly the refused samples become dead letters, in few calls; one request at a
# time checks whether a destination works again; and refused credentials are reported before there
# are samples.
#
# InfluxDB and Prometheus are real; doubles/fault_proxy.py counts the calls and lets them fail.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control influxd influxd_meta twin twin_service whole prometheus
now=$(now_ms)

stat_of() { # MEMBER
    quiet_curl "$control/stats" | jq ".twin$1"
}

entry_of() { # NAME KEYS: of a remote write through the proxy
    echo "{name: $1, type: remote_write, url: '$(url_of "$1")/api/v1/write', $2}"
}
version_1='protobuf_message: prometheus.WriteRequest'

made() { # NAME AWK-STATEMENTS [VARIABLE=VALUE...]: a capture of what they print
    local variables=() variable
    for variable in "now=$now" "${@:3}"; do variables+=(-v "$variable"); done
    awk "${variables[@]}" "BEGIN { $2 }" | "$TOOLS/rwmake" >"$work/$1.rw"
}

letters() { # DESTINATION: each as an object
    build/firekeep dead-letters show --storage.path="$work/$it" --destination "$1" --format json
}

only_bad_letters() { # DESTINATION COUNT [WORDS of each]
    letters "$1" >"$work/letters.txt" || return 1
    jq -s -c 'length' "$work/letters.txt"
    jq -s -e --argjson count "$2" --arg said "${3-}" 'length == $count and all(.[]; .labels.kind == "bad" and ((.answer // "") | test($said)))' "$work/letters.txt"
}

calls_at_most() { # DESTINATION COUNT
    local calls
    calls=$(metric firekeep_destination_calls_total "$1")
    echo "$calls calls"
    ((calls <= $2))
}

claim "another Firekeep is there" start_firekeep twin "$work/twin" "${port[twin_service]}" --write.max-value-bytes=100
claim "a proxy counts the calls" start_proxy twin=remote_write:twin_service whole=remote_write:prometheus

# --- one request at a time --------------------------------------------------------------------------------

# 4000 samples in 40 requests, for four lanes.
it=knocks
configure "$(entry_of twin "$version_1, concurrency: 4, batch: {max_age: 100ms, max_samples: 100}")"
delivered=0
while IFS='|' read -r name members least; do
    made knocks 'for (i = 0; i < 4000; i++) printf "knocks{i=\"%d\"} 1 %.0f\n", i, now + time' "time=$((delivered + 1000))"
    step fault twin status "\"every\": 1, \"seconds\": 0.2, $members"
    calls=$(stat_of .calls)
    step serve
    takes knocks
    claim "knocks: $name: it is tried again" within 60 told twin ".calls >= $calls + $least"
    claim "knocks: $name: one request at a time" told twin '.most == 1'
    mend twin
    delivered=$((delivered + 4000))
    claim "knocks: $name: once it works all is delivered" within 60 shows twin delivered="$delivered" queued=0
    claim "knocks: $name: by several requests at a time" told twin '.most > 1'
    ends
    mend twin
done <<'END'
503|"status": 503|8
429 with Retry-After|"status": 429, "retry_after": 2|3
401|"status": 401|2
END

it=credentials
step fault twin status '"every": 1, "status": 401'
step serve
claim "credentials: the destination is blocked with nothing to send" within 10 is_in_state twin blocked
claim "credentials: its status says why" has_error twin http_401
claim "credentials: the log names it, the answer and what to do" logs 'level=error .*destination=twin.* reason=http_401.*advice="check user, password or token"'
mend twin
claim "credentials: accepted ones end that, with nothing sent" within 30 is_in_state twin running
claim "credentials: no request is counted" [ "$(metric firekeep_destination_calls_total twin)" == 0 ]
ends

# --- 400 to everything ------------------------------------------------------------------------------------

# As of a proxy in front of nothing, or of another API. An empty write is refused, too.
it=nothing
made nothing 'for (i = 0; i < 200; i++) printf "nothing{i=\"%d\"} 1 %.0f\n", i, now + 20000'
tries() { # PATTERN ARGUMENT...
    build/firekeep destinations test twin --config.file="$work/firekeep.yml" "${@:2}" | tee "$work/tried.txt"
    grep -q -e "$1" "$work/tried.txt"
}
is_logged_once() {
    [[ $(grep -c 'refuses the first samples like the empty write.*reason=http_400' "$work/nothing.log") == 1 ]]
}
step fault twin status '"every": 1, "status": 400'
claim "nothing: the test says what that means" tries 'ok .*an empty write: answered 400, so only a sample shows'
claim "nothing: with a sample, that it is refused" tries 'FAILED .*sample ' --write
step serve
takes nothing
claim "nothing: none of them becomes a dead letter" within 20 eval 'is_in_state twin refusing && shows twin queued=200 dead_lettered=0'
claim "nothing: the status says why" has_error twin http_400
claim "nothing: and the log, once" is_logged_once
mend twin
claim "nothing: once it works all is delivered" within 30 shows twin delivered=200 queued=0 dead_lettered=0
ends

# --- one sample of 4096 -----------------------------------------------------------------------------------

# The store refuses requests that have one such sample, and names neither it nor their number.
it=one
configure "$(entry_of twin "$version_1, concurrency: 1, batch: {max_age: 1s, max_samples: 4096}")"
step serve
answered() {
    quiet_curl "$control/stats" | jq '.twin | .calls - (.faults.error // 0)'
}
delivered=0 dead=0
while IFS='|' read -r name place share series; do
    # The value of one is eight bytes of ASCII: zqxjkvbw.
    made one 'for (i = 0; i < 4096; i++)
        printf "one_of_%d{i=\"%d\"} %s %.0f\n", series, i % series, i == at ? "1.1906345477222775e+267" : "1", now + time + int(i / series)' \
        "at=$place" "series=$series" "time=$((30000 + delivered * 10))"
    name="one of 4096: $name, $share of all calls fail: number $place"
    step fault twin containing '"text": "zqxjkvbw", "status": 400'
    [[ $share == 0 ]] || step fault twin error "\"share\": $share, \"seed\": $place"
    before=$(answered)
    takes one
    delivered=$((delivered + 4095)) dead=$((dead + 1))
    claim "$name: it alone becomes a dead letter" within 120 shows twin delivered="$delivered" dead_lettered="$dead" queued=0
    calls=$(($(answered) - before))
    echo "# $name: found in $calls answers"
    claim "$name: in 40 answers at most" [ "$calls" -le 40 ]
    mend twin
done <<'END'
many series|0|0|4096
many series|2048|0.5|4096
one series|4095|0.5|1
four series|2048|0|4
four series|4095|0.5|4
END
ends

# --- another Firekeep states how many it refuses ------------------------------------------------------------

# 20,000 samples of 100 series, 11 of which have a value that is too long.
it=counted
made counted 'long = sprintf("%200s", ""); gsub(" ", "x", long)
    for (i = 0; i < 20000; i++) {
        if (i > 0 && i % 1000 == 0) print "---"
        bad = i % 100 < 11
        printf "counted{series=\"%d\",kind=\"%s\",value=\"%s\"} %d %.0f\n", i % 100, bad ? "bad" : "good", bad ? long : "short", i, now - 1000000 + 1000 * int(i / 100)
    }'
while IFS='|' read -r message isolate delivered dead calls; do
    rm -rf "$work/counted"
    configure "{name: twin, type: remote_write, url: '$(url_of twin_service)/api/v1/write', protobuf_message: $message, isolate: $isolate, batch: {max_age: 300ms}}"
    name="counted: $message, isolate $isolate"
    step serve
    takes counted
    claim "$name: what is refused becomes dead letters, and none waits" within 30 shows twin delivered="$delivered" dead_lettered="$dead" queued=0
    claim "$name: in so few calls" calls_at_most twin "$calls"
    [[ $isolate != true ]] || claim "$name: nobody else does" within 20 only_bad_letters twin 2200
    claim "$name: it goes on" is_in_state twin running
    step stop counted
done <<'END'
io.prometheus.write.v2.Request|true|17800|2200|110
prometheus.WriteRequest|true|17800|2200|110
prometheus.WriteRequest|false|0|20000|30
END

# --- Prometheus refuses a call as a whole ---------------------------------------------------------------------

start_prometheus() {
    mkdir -p "$work/prometheus"
    echo 'global: {}' >"$work/prometheus.yml"
    start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" --web.enable-remote-write-receiver \
        --web.listen-address="127.0.0.1:${port[prometheus]}"
    wait_ready prometheus "$(url_of prometheus)/-/ready"
}
ended_as_a_whole() {
    local dead
    dead=$(samples dead_lettered_total whole)
    echo "$dead dead"
    ((dead > 1)) && shows whole delivered=$((40 - dead)) dead_lettered="$dead" queued=0
}
it=whole
if ! command -v prometheus >/dev/null; then
    skip "whole" "prometheus is not there"
elif claim "whole: prometheus is there" start_prometheus; then
    now=$(now_ms)
    for isolate in true false; do
        configure "$(entry_of whole "$version_1, isolate: $isolate, batch: {max_age: 300ms}")"
        made first 'for (i = 0; i < 20; i++) printf "whole{isolate=\"%s\",i=\"%d\"} 1 %.0f\n", isolate, i, now - 1000' "isolate=$isolate"
        made second 'for (i = 0; i < 20; i++) printf "whole{isolate=\"%s\",i=\"%d\"} 2 %.0f\n", isolate, i, now - (i == 7 ? 2000 : 0)' "isolate=$isolate"
        rm -rf "$work/whole"
        step serve
        takes first
        claim "whole: $isolate: the first samples are delivered" within 20 has_delivered whole 20
        before=$(metric firekeep_destination_calls_total whole)
        takes second
        if [[ $isolate == true ]]; then
            claim "whole: $isolate: the one that comes too late alone becomes a dead letter" within 20 shows whole delivered=39 dead_lettered=1 queued=0
        else
            claim "whole: $isolate: with it all of its call becomes dead letters" within 20 ended_as_a_whole
            claim "whole: $isolate: and nothing is sent again" calls_at_most whole $((before + 4))
        fi
        step stop whole
    done
    stop prometheus
fi
stop proxy
stop twin

# --- InfluxDB refuses a ninth -----------------------------------------------------------------------

# 9 samples of 900 series, m0 to m179, of which every ninth metric is bad: the type of its field, or its age.
points_of() { # DATABASE KIND
    influx_query "SELECT count(value) FROM /.*/ WHERE kind='$2'" "$1" | jq '[.results[].series[]?.values[][1]] | add // 0'
}
it=ninths
if ! has influxd; then
    skip "ninths" "influxd is not there"
elif claim "ninths: influxd starts" start_influxd; then
    influx_query 'CREATE DATABASE conflict WITH DURATION INF' >/dev/null
    influx_query 'CREATE DATABASE aged WITH DURATION 25h' >/dev/null
    awk 'BEGIN { for (m = 4; m < 180; m += 9) printf "m%d,host=other value=1i\n", m }' >"$work/integers"
    claim "ninths: every ninth metric is there with integers" quiet_curl -X POST "$(url_of influxd)/write?db=conflict" --data-binary @"$work/integers"
    while IFS='|' read -r name back words; do
        now=$(now_ms)
        made ninths 'for (t = 0; t < 9; t++) {
            if (t > 0) print "---"
            for (m = 0; m < 180; m++) for (h = 0; h < 5; h++)
                printf "m%d{host=\"h%d\",kind=\"%s\"} %d.5 %.0f\n", m, h, m % 9 == 4 ? "bad" : "good", t, now - (9 - t) * 1000 - (m % 9 == 4 ? back : 0)
        }' "back=$back"
        configure "{name: $name, type: influxdb, version: 1, database: $name, url: '$(url_of influxd)', batch: {max_age: 200ms}, paused: true}"
        rm -rf "$work/ninths"
        step serve
        takes ninths
        step admin "destinations/$name/resume"
        claim "ninths: $name: what is refused becomes dead letters, the rest is delivered" within 60 shows "$name" delivered=7200 dead_lettered=900 queued=0
        claim "ninths: $name: in calls that are few" calls_at_most "$name" 800
        claim "ninths: $name: all good ones are there, and no bad one" [ "$(points_of "$name" good) $(points_of "$name" bad)" == "7200 0" ]
        claim "ninths: $name: dead letters are the bad ones, with its words" within 20 only_bad_letters "$name" 900 "$words"
        step stop ninths
    done <<'END'
conflict|0|field type conflict
aged|172800000|beyond retention policy
END
    stop influxd
fi
done_testing
