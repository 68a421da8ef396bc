#!/bin/bash
# destinations_failing.sh - a destination that fails completely, now and then, or for its
# credentials: one request at a time checks whether it works, refused samples are found meanwhile,
# and refused credentials are reported before there are samples.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control twin twin_service
now=$(now_ms)

relay_to() { # NAME
    start_firekeep "$1" "$work/$1" "${port[firekeep]}" --config.file="$work/firekeep.yml" --web.enable-admin-api && within 20 all_open
}

stat_of() { # MEMBER
    quiet_curl "$control/stats" | jq ".twin$1"
}

twin_config() { # [LINE...]
    {
        printf '%s\n' 'destinations:' '  - name: twin' '    type: remote_write' "    url: $(url_of twin)/api/v1/write"
        printf '    %s\n' 'protobuf_message: prometheus.WriteRequest' "$@"
    } | write_config
}

claim "another Firekeep is there" start_firekeep twin "$work/twin" "${port[twin_service]}"
claim "a proxy counts the calls" start_proxy twin=remote_write:twin_service

# --- one request at a time --------------------------------------------------------------------------------

# 8000 samples in 80 requests, for four lanes.
knocks() { # NAME WHAT MEMBERS: of a destination that answers so at first
    local calls
    rm -rf "$work/knocks"
    fault twin status "\"every\": 1, \"seconds\": 0.2, $3"
    calls=$(stat_of .calls)
    claim "knocks: $1: starts" relay_to knocks
    awk -v t=$((now + $2)) 'BEGIN { for (i = 0; i < 8000; i++) printf "knocks{i=\"%d\"} 1 %.0f\n", i, t }' | "$TOOLS/rwmake" >"$work/knocks.rw"
    claim "knocks: $1: samples are acknowledged" is_acknowledged "$work/knocks.rw"
    claim "knocks: $1: it is tried again" within 60 told twin ".calls >= $calls + $4"
    claim "knocks: $1: one request at a time" told twin '.most == 1'
    mend twin
    claim "knocks: $1: once it works all is delivered" within 60 has_delivered twin 8000
    claim "knocks: $1: by several requests at a time" told twin '.most > 1'
    fault twin status "\"every\": 1, \"seconds\": 0.2, $3"
    claim "knocks: $1: the account is right" balances twin
    claim "knocks: $1: SIGTERM ends it with status 0" stop knocks
    mend twin
}
twin_config 'concurrency: 4' 'batch: {max_age: 100ms, max_samples: 100}'
knocks "503" 1000 '"status": 503' 8
knocks "429 with Retry-After" 2000 '"status": 429, "retry_after": 2' 3
knocks "401" 3000 '"status": 401' 2

# --- credentials ------------------------------------------------------------------------------------------

claim "credentials: from now on they are refused" fault twin status '"every": 1, "status": 401'
claim "credentials: starts" relay_to credentials
claim "credentials: the destination is blocked with nothing to send" within 10 is_in_state twin blocked
claim "credentials: its status says why" says twin http_401
says_what_to_do() {
    grep 'level=error' "$work/credentials.log" | grep 'destination=twin' | grep 'reason=http_401' | grep 'advice="check user, password or token"'
}
claim "credentials: the log names it, the answer and what to do" within 10 says_what_to_do
mend twin
claim "credentials: accepted ones end that, with nothing sent" within 30 is_in_state twin running
claim "credentials: no request is counted" [ "$(metric firekeep_destination_calls_total twin)" == 0 ]
claim "credentials: SIGTERM ends it with status 0" stop credentials

# --- 400 to everything ------------------------------------------------------------------------------------

# As of a proxy in front of nothing, or of another API. An empty write is refused, too.
keeps_all() {
    is_in_state twin refusing && sums_are twin samples_queued = 200 samples_dead_lettered_total = 0
}
is_logged_once() {
    grep -c 'refuses the first samples like the empty write.*reason=http_400' "$work/nothing.log" | grep -qx 1
}
tries() { # PATTERN ARGUMENT...
    build/firekeep destinations test twin --config.file="$work/firekeep.yml" "${@:2}" >"$work/tried.txt"
    cat "$work/tried.txt"
    grep -q -e "$1" "$work/tried.txt"
}
awk -v t=$((now + 4000)) 'BEGIN { for (i = 0; i < 200; i++) printf "nothing{i=\"%d\"} 1 %.0f\n", i, t }' | "$TOOLS/rwmake" >"$work/nothing.rw"
claim "nothing: from now on everything is refused" fault twin status '"every": 1, "status": 400'
claim "nothing: the test says what that means" tries 'ok .*an empty write: answered 400, so only a sample shows'
claim "nothing: with a sample, that it is refused" tries 'FAILED .*sample ' --write
claim "nothing: starts" relay_to nothing
claim "nothing: samples are acknowledged" is_acknowledged "$work/nothing.rw"
claim "nothing: none of them becomes a dead letter" within 20 keeps_all
claim "nothing: the status says why" says twin http_400
claim "nothing: and the log, once" is_logged_once
mend twin
claim "nothing: once it works all is delivered" within 30 has_delivered twin 200
claim "nothing: nothing was given up" sums_are twin samples_queued = 0 samples_dead_lettered_total = 0
claim "nothing: SIGTERM ends it with status 0" stop nothing

# --- one sample of 4096 -----------------------------------------------------------------------------------

# The store refuses requests that have one such sample, and names neither it nor their number.
twin_config 'concurrency: 1' 'batch: {max_age: 1s, max_samples: 4096}'
# Its value is eight bytes of ASCII: zqxjkvbw.
one_of() { # PLACE TIME METRIC SERIES: 4096 samples of so many series
    awk -v at="$1" -v t="$2" -v metric="$3" -v series="$4" 'BEGIN {
        for (i = 0; i < 4096; i++)
            printf metric "{i=\"%d\"} %s %.0f\n", i % series, i == at ? "1.1906345477222775e+267" : "1", t + int(i / series)
    }' | "$TOOLS/rwmake"
}
answered() {
    quiet_curl "$control/stats" | jq '.twin | .calls - (.faults.error // 0)'
}
rm -rf "$work/one"
claim "one of 4096: starts" relay_to one
delivered=0 dead=0
isolates() { # NAME PLACE SHARE METRIC SERIES
    local name="one of 4096: $1, $3 of all calls fail: number $2" before began calls
    one_of "$2" $((now += 10000)) "$4" "$5" >"$work/one.rw"
    claim "$name: the store refuses it" fault twin containing '"text": "zqxjkvbw", "status": 400'
    [[ $3 == 0 ]] || claim "$name: and fails" fault twin error "\"share\": $3, \"seed\": $2"
    before=$(answered) began=$(now_ms)
    claim "$name: all are acknowledged" is_acknowledged "$work/one.rw"
    delivered=$((delivered + 4095)) dead=$((dead + 1))
    claim "$name: it alone becomes a dead letter" within 120 sums_are twin samples_delivered_total = "$delivered" samples_dead_lettered_total = "$dead"
    calls=$(($(answered) - before))
    echo "# $name: found in $calls answers and $(($(now_ms) - began)) ms"
    claim "$name: in 40 answers at most" [ "$calls" -le 40 ]
    mend twin
}
for share in 0 0.5; do
    for place in 0 2048 4095; do
        isolates "many series" "$place" "$share" "many_${place}_${share/./_}" 4096
        # The next times, the sample is one that was refused lately.
        isolates "one series" "$place" "$share" one 1
        isolates "four series" "$place" "$share" four 4
    done
done
claim "one of 4096: the account is right" balances twin
claim "one of 4096: SIGTERM ends it with status 0" stop one
stop proxy
stop twin
done_testing
