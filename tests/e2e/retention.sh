#!/bin/bash
# retention.sh - rules of retention: a plan says what they remove, a reload and restarts keep their
# grace, then every reader and the ledger agree on what is left.

. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
dir=$work/data
now=$(now_ms)
all=(--start $(((now - 10 * 86400000) / 1000)) --end $((now / 1000 + 3600)))

fetch() { # PATH [ARGUMENT...]
    curl -fsSg --noproxy '*' --max-time 20 "$url$1" "${@:2}"
}

metric() { # NAME-AND-LABELS
    fetch /metrics | grep -F "$1 " | sed 's/.* //'
}

has_metric() { # NAME-AND-LABELS VALUE
    local got
    got=$(metric "$1")
    [[ $got == "$2" ]] || {
        echo "$1 is $got"
        return 1
    }
}

send() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/some.rw" && "$TOOLS/rwreplay" "$work/some.rw" "$url" --check
}

# A sample per hour of three days, in the middle of each, and one now.
days() {
    local h job
    for ((h = 71; h >= 0; h--)); do
        for job in ci web; do echo "m{job=\"$job\"} $h $((now - h * 3600000 - 1800000))"; done
    done
    for job in ci web; do echo "m{job=\"$job\"} 0 $now"; done
}

settings() { # GRACE [RULES]
    printf 'web: {enable_admin_api: true}\nretention:\n  time: 1y\n  grace: %s\n  share: 90\n  rules: %s\n' \
        "$1" "${2:-[]}" >"$work/firekeep.yml"
}

reload() {
    local lines
    lines=$(wc -l <"$work/server.log")
    kill -HUP "${pids[$(_index_of server)]}"
    within 20 eval "tail -n +$((lines + 1)) '$work/server.log' | grep -q 'configuration reloaded'"
}

begin() {
    start_firekeep server "$dir" "$port" --config.file="$work/firekeep.yml"
}

counted() { # JOB COUNT
    local got
    got=$(fetch /api/v1/query --data-urlencode "query=sum(count_over_time(m{job=\"$1\"}[10d]))" |
        jq -r '.data.result[0].value[1] // 0')
    [[ $got == "$2" ]] || {
        echo "$got of $1"
        return 1
    }
}

exported() { # JOB COUNT ARGUMENT...
    local got
    got=$(build/firekeep export "${@:3}" --format=jsonl "${all[@]}" --match="m{job=\"$1\"}" | jq -s '[.[].values | length] | add // 0')
    [[ $got == "$2" ]] || {
        echo "$got of $1"
        return 1
    }
}

plan() { # SERIES SAMPLES ARGUMENT...
    build/firekeep plan --format=json "${@:3}" "$work/new.yml" >"$work/plan.json" &&
        jq -e ".rules[0] | .rule == \"retention\" and .match == \"{job=\\\"ci\\\"}\" and .age == \"2d\" and
            .series == $1 and .samples == $2 and (.bytes > 0) == ($2 > 0)" "$work/plan.json"
}

# By look-ups of the time before the cut.
is_looked_up() { # JOB
    fetch "/api/v1/series?match[]=m&start=$((now / 1000 - 9 * 86400))&end=$((now / 1000 - 50 * 3600))" |
        jq -e --arg jobs "$1" '[.data[].job] | sort | join(" ") == $jobs'
}

grace_left() {
    send "now 1 $(now_ms)" >/dev/null && fetch /api/v1/status/storage | jq -er .data.retention.graceLeftSeconds
}

grace_goes_on() {
    local before after
    within 20 eval '(($(grace_left) < 3600))' || return 1
    before=$(grace_left) || return 1
    crash server
    begin || return 1
    after=$(grace_left) || return 1
    echo "$before, then $after"
    ((after > 0 && after <= before))
}

# With another grace than that of the server, as without its configuration.
import_into_directory() {
    echo 'retention: {grace: 0s}' >"$work/other.yml"
    stop server && echo "imported 1 $(now_ms)" >"$work/some.prom" &&
        build/firekeep import --storage.path="$dir" --config.file="$work/other.yml" "$work/some.prom" && begin
}

is_removed() {
    jq -e '.data.retention.rules[0] | .removed.samples == 24 and .removed.bytes > 0 and .expired.samples == 0' \
        <(fetch /api/v1/status/storage)
}

rule='[{match: '"'{job=\"ci\"}'"', time: 2d}]'
settings 1h "$rule"
mv "$work/firekeep.yml" "$work/new.yml"
settings 1h
claim "starts" begin || done_testing
claim "takes three days of two series" send "$(days)"
claim "flushes" fetch /api/v1/admin/tsdb/flush -X POST
claim "a plan says what rules would remove" plan 1 24 --url="$url"
claim "a plan says what a shorter retention.time would remove" eval \
    'build/firekeep plan --format=json --url="$url" <(echo "retention: {time: 2d}") |
        jq -e ".rules | length == 1 and (.[0] | .match == \"{}\" and .samples == 48)"'
claim "a plan of an invalid file says where" says "rules.match" 1 build/firekeep plan --url="$url" \
    <(echo 'retention: {rules: [{match: "{", time: 2d}]}')
cp "$work/new.yml" "$work/firekeep.yml"
claim "a reload takes the rules" reload
claim "it logs what they will remove" within 20 \
    grep -q 'retention rule will remove samples.*series=1 samples=24 .*' "$work/server.log"
claim "within the grace all is shown" counted ci 73
claim "within the grace a full merge removes nothing" eval 'fetch "/api/v1/admin/tsdb/merge?full=true" -X POST && counted ci 73'
claim "the grace goes on after a crash" grace_goes_on
claim "all is still shown" counted ci 73
claim "a command writes into the directory" import_into_directory
claim "it has not ended the grace" counted ci 73
settings 0s "$rule"
claim "a reload ends the grace" reload
claim "then queries show what is left" counted ci 49
claim "others lose nothing" counted web 73
claim "exports agree" exported ci 49 --url="$url"
claim "look-ups agree" is_looked_up web
claim "it counts as stored until it is removed" has_metric 'firekeep_samples_expired_total{tenant="anonymous",kind="float"}' 0
claim "the survey knows what is left to remove" within 20 \
    has_metric 'firekeep_retention_rule_expired_samples{match="{job=\"ci\"}",tenants=""}' 24
claim "a full merge removes it" fetch "/api/v1/admin/tsdb/merge?full=true" -X POST
claim "the ledger counts it" has_metric 'firekeep_samples_expired_total{tenant="anonymous",kind="float"}' 24
claim "so does the rule" has_metric 'firekeep_retention_rule_removed_samples_total{match="{job=\"ci\"}",tenants=""}' 24
settings 0s
claim "a reload without rules brings nothing back that is removed" eval 'reload && counted ci 49'
settings 0s "$rule"
crash server
claim "starts with the rules again" begin
claim "the status has what they removed" within 20 is_removed
claim "SIGTERM ends it with status 0" stop server
claim "verify finds nothing wrong" says 'expired by rules of retention, float: 24 of 24: balanced' 0 build/firekeep verify "$dir"
claim "an export of the directory agrees" exported ci 49 --storage.path="$dir"
claim "so does a plan" plan 0 0 --storage.path="$dir"
done_testing
