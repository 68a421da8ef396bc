#!/bin/bash
# rules_disks.sh - events in the life of a server with rules, except changes of rule files: its
# directory is restored from an older copy, or emptied; two servers have copies of it; the store
# refuses recorded samples; its disk hangs. Alerts go on as far as their state is known, missed
# evaluations are filled, and nothing is recorded twice.

. tests/lib.sh
. tests/rules_lib.sh
read -r port two_port third_port alertmanager_port world_port < <(free_ports 5 | tr '\n' ' ')
url=http://127.0.0.1:$port
third=http://127.0.0.1:$third_port
world=http://127.0.0.1:$world_port
data=$work/data

write_config() { # MEMBER... of `alertmanagers`, or lines
    cat >"$work/firekeep.yml" <<END
global: {evaluation_interval: 1s}
rule_files: ['$work/rules.yml']
rules: {resend_delay: 3s, catch_up_wait: 4s}
alerting: {alertmanagers: [{path_prefix: /firekeep, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
END
    (($# == 0)) || printf '%s\n' "$@" >>"$work/firekeep.yml"
}

write_rules() { # [LINE...]
    printf '%s\n' 'groups:' '- name: g' '  rules:' '  - {record: "load:sum", expr: "sum(load)"}' \
        '  - {record: one, expr: vector(1)}' '  - {alert: High, expr: "load > 50"}' \
        '  - {alert: Late, expr: "load{n=\"c\"} > 50", for: 2s}' "$@" >"$work/rules.yml"
}

serve() { # ARGUMENT...
    start_firekeep firekeep "$data" "$port" --config.file="$work/firekeep.yml" --web.enable-lifecycle "$@"
}

# The times of all evaluations of a group in the last minutes, in milliseconds.
evaluations() {
    ask 'one[5m]' |
        jq -r '.data.result[].values[] | .[0] * 1000 | round'
}

# Checks that no sample is missing between the first and the last, and none is repeated.
are_complete() { # INTERVAL_MS
    evaluations >"$work/evaluations.txt"
    wc -l <"$work/evaluations.txt"
    awk -v interval="$1" 'NR > 1 && $1 - before != interval {print before, $1; bad = 1} {before = $1} END {exit bad || NR < 3}' "$work/evaluations.txt"
}

wrote_nothing_twice() { # [URL]
    "$TOOLS/metrics" "${1-$url}" 0 are firekeep_samples_superseded_total = 0 firekeep_samples_rejected_total = 0
}

nothing_is_missing() {
    metric_is 'firekeep_rule_catch_up{tenant="anonymous",state="live"}' 1
}

active_at() { # NAME
    alert "$1" | cut -d ' ' -f 3
}

# --- a directory from before ----------------------------------------------------------------------

has_copy() {
    write_rules
    write_config
    begin_world "$url/api/v1/write" && serve && within 20 fires High && within 20 is_told High firing && stop firekeep && cp -a "$data" "$work/copy"
}

# Lets things happen after the copy was made.
lives_on() {
    since=$(active_at High)
    serve && within 20 fires High && set_world c=90 && within 20 fires Late && within 20 is_told Late firing &&
        within 20 nothing_is_missing && never_told_as_resolved High Late && wrote_nothing_twice && stop firekeep
}

restored() {
    rm -rf "$data"
    cp -a "$work/copy" "$data" && serve && within 20 fires High Late
}

claim "alerts fire; a copy of the directory is made" has_copy || exit 1
since=
claim "the server goes on, and another alert fires" lives_on
claim "restored: what fired before the copy and after it fires" restored
claim "restored: nobody was told that anything is resolved" never_told_as_resolved High Late
claim "restored: the evaluations since the copy are made up" eval 'within 30 nothing_is_missing && within 20 metric_is_above firekeep_rule_evaluations_filled_total 2'
claim "restored: each evaluation is there once" within 20 are_complete 1000
claim "restored: the store took nothing twice" wrote_nothing_twice
claim "restored: what is over is told so" eval 'set_world c= && within 20 is_told Late resolved'

# An alert resolved since then is restored, until its input shows that it has ended.
was_resolved_since() {
    set_world b=10 && within 20 is_told High resolved && stop firekeep && rm -rf "$data" && cp -a "$work/copy" "$data" &&
        serve && within 20 has_no_alert High && within 20 is_told High resolved
}

claim "restored: what was resolved since then is resolved" was_resolved_since

is_emptied() {
    set_world b=70 && within 20 fires High && within 20 is_told High firing && stop firekeep && rm -rf "$data" || return 1
    told_before=$(told High | grep -c resolved)
    serve && within 20 fires High && is_told High firing && [[ $(told High | grep -c resolved) == "$told_before" ]] &&
        nothing_is_missing && metric_is firekeep_rule_evaluations_filled_total 0
}

claim "emptied: alerts fire again, nothing is made up, nobody is told that they are resolved" is_emptied

claim "SIGTERM ends it" stop firekeep

# --- two with the same rules ----------------------------------------------------------------------

# ALERTS_FOR_STATE is left out: each server has its own time since when the alert is active.
write_twins() {
    sed -i 's/^- name: g/&\n  query_offset: 2s/' "$work/rules.yml"
    write_config 'destinations:' "  - {name: third, type: remote_write, url: '$third/api/v1/write', select: ['{__name__=~\"ALERTS|load:sum|one|firekeep_rule.*\"}'], batch: {max_age: 100ms}}"
    sed -i "s|path_prefix: /firekeep, static_configs.*|static_configs: [{targets: ['127.0.0.1:$alertmanager_port']}]}]}|" "$work/firekeep.yml"
    cat >"$work/alertmanager.yml" <<END
route: {receiver: world, group_by: ['...'], group_wait: 1s, group_interval: 1s, repeat_interval: 1d}
receivers: [{name: world, webhook_configs: [{url: '$world/pager'}]}]
END
}

has_alertmanager() {
    command -v prometheus-alertmanager >/dev/null
}

twins_start() {
    write_twins
    stop world
    if has_alertmanager; then
        start alertmanager prometheus-alertmanager --config.file="$work/alertmanager.yml" --storage.path="$work/alertmanager" \
            --web.listen-address="127.0.0.1:$alertmanager_port" --cluster.listen-address= --log.level=warn
        wait_ready alertmanager "http://127.0.0.1:$alertmanager_port/-/ready" || return 1
    fi
    begin_world "$url/api/v1/write" "http://127.0.0.1:$two_port/api/v1/write" &&
        start_firekeep third "$work/third" "$third_port" &&
        start_firekeep firekeep "$work/one" "$port" --config.file="$work/firekeep.yml" &&
        start_firekeep two "$work/two" "$two_port" --config.file="$work/firekeep.yml" && within 20 fires High
}

duplicates() {
    "$TOOLS/metrics" "$third" 0 sum firekeep_samples_duplicate_total
}

writes_duplicates() {
    local before
    before=$(duplicates)
    within 20 eval "((\$(duplicates) > $before + 10))"
}

twins_agree() {
    within 20 writes_duplicates && crash two && start_firekeep two "$work/two" "$two_port" --config.file="$work/firekeep.yml" &&
        within 20 writes_duplicates && wrote_nothing_twice "$third"
}

is_notified() { # NAME STATUS
    curl -sf "$world/told?who=pager" | jq -r "select(.labels.alertname == \"$1\") | .status" | tee "$work/notified.txt"
    grep -q "$2" "$work/notified.txt"
}

notified_once() {
    within 20 is_notified High firing && set_world b=10 && within 30 is_notified High resolved || return 1
    [[ $(cat "$work/notified.txt") == $'firing\nresolved' ]]
}

claim "two with the same rules: both write to a third" twins_start
claim "two with the same rules: their samples are the same, also when one is killed and comes back" twins_agree
if has_alertmanager; then
    claim "two with the same rules: an Alertmanager notifies once" notified_once
else
    skip "two with the same rules: an Alertmanager notifies once" "no prometheus-alertmanager"
fi
for name in firekeep two third alertmanager world; do
    stop $name
done

# --- samples that the store refuses -------------------------------------------------------------

long=$(printf 'x%.0s' {1..400})
# shellcheck disable=SC2016 # PromQL's own
serve_refused() {
    write_rules "  - {alert: Long, expr: vector(1), labels: {text: '$long'}}" \
        '  - {alert: Broken, expr: vector(1), labels: {text: "{{ slice \"µ\" 0 1 }}"}}' \
        "  - {record: long, expr: vector(1), labels: {text: '$long'}}" \
        '  - {record: same, expr: "label_replace(load, \"n\", \"x\", \"\", \"\") * 1"}' \
        '  - {record: many, expr: "load or label_replace(load, \"n\", \"${1}x\", \"n\", \"(.*)\")"}' \
        '- name: few' '  limit: 1' '  rules: [{record: few, expr: load}, {alert: Few, expr: "load >= 0"}]' \
        '- name: old' '  query_offset: 3h' '  rules: [{record: old, expr: vector(1)}, {alert: Old, expr: vector(1)}]'
    write_config
    data=$work/refused
    begin_world "$url/api/v1/write" && set_world c=30 && serve --write.max-value-bytes=300 --write.max-series-per-metric=2 --retention.time=1h && within 20 fires High
}

says_why() {
    local bad=0
    for said in "$@"; do
        within 20 rule_says "${said%%|*}" "err ${said#*|}" || bad=1
    done
    return $bad
}

is_bounded() {
    local lines took=$((SECONDS - began))
    lines=$(grep -c 'results of a rule were not stored\|evaluation of a rule failed' "$work/firekeep.log")
    echo "$lines lines in $took s"
    grep -q 'level=warn msg="results of a rule were not stored" .*error="refused: .*more_held_back=' "$work/firekeep.log" && ((lines <= 4 * (took + 2)))
}

began=$SECONDS
: >>"$work/firekeep.log"
mv "$work/firekeep.log" "$work/firekeep.before.log"
claim "refused: a server with rules of all sorts" serve_refused
claim "refused: /api/v1/rules says why" says_why 'long|refused: 1 value_too_long' \
    'Long|refused: 2 value_too_long' 'Broken|refused: 2 ' 'same|.*same labelset' 'many|refused: 2 series_limit' \
    'few|exceeded limit of 1 with 2 series' 'Few|exceeded limit of 1 with 2 alerts' 'old|refused: 1 too_old' 'Old|refused: 2 too_old'
claim "refused: the others are well" eval 'rule_says load:sum ok && rule_says one ok && rule_says High ok && value_is one 1'
claim "refused: alerts are told although ALERTS is not stored" eval 'within 10 is_told Long firing && within 10 is_told Old firing && within 10 is_told Broken firing'
claim "refused: failures are counted" eval 'metric_is_above firekeep_rule_evaluation_failures_total 5 && metric_is_above firekeep_samples_rejected_total 5'
claim "refused: that is not missing, as it would be refused again" nothing_is_missing
claim "refused: lines of the log are bounded" is_bounded
claim "refused: SIGTERM ends it" stop firekeep

# --- a disk that hangs ----------------------------------------------------------------------------

serve_on_hanging() {
    "${CC:-cc}" -shared -fPIC -O1 -o "$work/hang.so" tests/doubles/hang.c || return 1
    rm -f "$work/hangs"
    start firekeep env LD_PRELOAD="$work/hang.so" DISK_HANGS="$work/hangs" build/firekeep serve "$small_log" --storage.path="$data" \
        --web.listen-address="127.0.0.1:$port" --config.file="$work/firekeep.yml" --rules.api=true
    wait_ready firekeep "$url/-/ready" && within 20 fires High && within 20 is_told High firing
}

starts_on_hanging() {
    data=$work/hanging
    write_rules
    write_config
    set_world b=70 c= && serve_on_hanging
}

# /-/healthy, too, is 200.
hangs() {
    touch "$work/hangs"
    within 30 rule_says High 'err the disk hangs' && within 20 metric_is_above firekeep_wal_commit_age_seconds 10 &&
        within 20 grep 'level=error msg="the disk hangs' "$work/firekeep.log" && curl -sf "$url/-/healthy" || return 1
    curl -s "$url/-/ready" | tee "$work/answer.txt"
    grep -q 'not ready: the disk hangs' "$work/answer.txt"
}

# More than once, as each but the first needs an evaluation that has ended.
tells_while_it_hangs() {
    local count
    for _ in 1 2; do
        count=$(told_count High)
        within 20 is_told_again High "$count" || return 1
    done
    is_told High firing && never_told_as_resolved High
}

# It is answered when it is durable.
stores_group() {
    printf '%s\n' 'name: stored' 'rules: [{record: stored, expr: vector(1)}]' >"$work/group.yml"
    start edit curl -sf --max-time 300 -X POST -H Content-Type:application/yaml --data-binary "@$work/group.yml" "$url/prometheus/config/v1/rules/one"
    within 20 test -d "$data/rules" # it is made, and synced
}

shows_pages() {
    local page
    for page in metrics api/v1/rules api/v1/alerts api/v1/status/config api/v1/status/flags; do
        curl -sf --max-time 10 -o "$work/page.txt" -w "$page %{http_code}\n" "$url/$page" || return 1
    done
    [[ ! -s $work/edit.log ]]
}

goes_on() {
    rm "$work/hangs"
    within 20 grep success "$work/edit.log" || return 1
    within 20 rule_says High ok && within 20 rule_says load:sum ok && within 30 nothing_is_missing &&
        metric_is_above firekeep_rule_evaluations_filled_total 5 && within 20 metric_is firekeep_wal_commit_age_seconds 0 &&
        within 20 grep 'the commit to the write-ahead log that hung has ended' "$work/firekeep.log"
}

# A change of stored rules hangs, and a reload waits for it.
ends_while_it_hangs() {
    touch "$work/hangs"
    start edit curl -sf --max-time 300 -X POST -H Content-Type:application/yaml --data-binary "@$work/group.yml" "$url/prometheus/config/v1/rules/two"
    within 20 eval 'compgen -G "$data/rules/*.tmp" >/dev/null' || return 1
    kill -HUP "$(pid_of firekeep)"
    within 30 rule_says High 'err the disk hangs' && stop firekeep && grep 'the last commit failed.*the disk hangs' "$work/firekeep.log"
}

claim "a disk that hangs: alerts fire" starts_on_hanging
claim "a disk that hangs: rules, /-/ready, a metric and the log say so" hangs
claim "a disk that hangs: alerts are evaluated and told" tells_while_it_hangs
claim "a disk that hangs: a change of stored rules waits" stores_group
claim "a disk that hangs: pages are answered meanwhile" shows_pages
claim "a disk that hangs no more: what was not stored is made up" goes_on
claim "a disk that hangs no more: nothing was recorded twice" wrote_nothing_twice
claim "a disk that hangs, a change of stored rules and a reload hang, too: SIGTERM ends the server" ends_while_it_hangs
claim "a disk that hung: after a restart, alerts are as they were" eval 'serve_on_hanging && never_told_as_resolved High && stop firekeep'

done_testing
