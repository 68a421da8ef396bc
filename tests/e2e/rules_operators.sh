#!/bin/bash
# rules_operators.sh - operators change the rule files of a running server: they edit, rename, empty
# and delete them, replace them by unreadable ones, and replace them while their groups run. Alerts
# stay as they are, or end with their rules, and nothing is recorded twice.
#
#   world --remote write--> Firekeep --alerts--> world
#         <----------a source that answers on command----

. tests/lib.sh
. tests/rules_lib.sh
read -r port world_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
world=http://127.0.0.1:$world_port
rules=$work/rules

# Without the right of root to read everything.
as_others=()
if ((EUID == 0)) && setpriv --bounding-set=-dac_override,-dac_read_search true 2>/dev/null; then
    as_others=(setpriv "--bounding-set=-dac_override,-dac_read_search")
fi

write_a() { # SUMMARY [RULE]
    cat <<END
groups:
- name: a
  rules:
  - {record: "load:sum", expr: "sum(load)"}
  - {alert: High, expr: "load > 50", annotations: {summary: "$1"}}
  - {alert: Waits, expr: "load > 50", for: 2s}
${2-}
END
}

write_single() {
    printf '%s\n' 'groups:' '- {name: single, rules: [{alert: Single, expr: "load > 60", keep_firing_for: 2s}]}'
}

write_config() { # [EVALUATION_INTERVAL]
    cat >"$work/firekeep.yml" <<END
global: {evaluation_interval: ${1:-1s}}
rule_files: ['$rules/*.yml', '$work/single.yml']
rules: {resend_delay: 3s, catch_up_wait: 5s}
alerting: {alertmanagers: [{path_prefix: /firekeep, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
END
}

serve() {
    start firekeep "${as_others[@]}" build/firekeep serve "$small_log" --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" \
        --config.file="$work/firekeep.yml" --web.enable-lifecycle
    wait_ready firekeep "$url/-/ready" || {
        tail -n 5 "$work/firekeep.log"
        return 1
    }
}

starts() {
    mkdir -p "$rules"
    write_a first >"$rules/a.yml"
    write_single >"$work/single.yml"
    write_config
    begin_world "$url/api/v1/write" && serve && within 20 fires High Waits Single && within 20 is_told Single firing
}

# --- edited, renamed, removed --------------------------------------------------------------------

# NAME...: fires since then, and no other state was sent.
goes_on() { # SINCE NAME...
    local name now
    for name in "${@:2}"; do
        now=$(alert "$name")
        echo "before: $1; now: $now"
        [[ $1 == *"$now"* && $now == *firing* ]] || return 1
    done
    never_told_as_resolved "${@:2}"
}

state_of() { # NAME...
    local name
    for name; do
        alert "$name"
    done
}

# After the next evaluations.
is_evaluated_on() { # FILE;GROUP
    local metric="firekeep_rule_group_iterations_total{rule_group=\"$1\"}" now
    now=$("$TOOLS/metrics" "$url" 0 sum "$metric")
    within 20 metric_is_above "$metric" "$((now + 1))"
}

is_edited_in_place() {
    local since
    since=$(state_of High Waits)
    write_a second "  - {record: more, expr: vector(1)}" >"$rules/a.yml"
    reloads && is_evaluated_on "$rules/a.yml;a" && goes_on "$since" High Waits && value_is more 1 &&
        "$TOOLS/get" "$url/api/v1/alerts" | jq -e '.data.alerts[] | select(.labels.alertname == "High") | .annotations.summary == "second"'
}

# One for each evaluation of a group, and of a rule; and how long each group took to be restored.
durations_are_measured() {
    metric_is_above firekeep_rule_group_duration_seconds_count 2 &&
        metric_is_above firekeep_rule_evaluation_duration_seconds_count 4 &&
        curl -sf --noproxy '*' "$url/metrics" | grep -F "firekeep_rule_group_last_restore_duration_seconds{rule_group=\"$rules/a.yml;a\"}"
}

ends_what_it_no_more_records() {
    write_a second >"$rules/a.yml"
    reloads && within 10 value_is more ""
}

is_renamed() {
    local since
    since=$(state_of High Waits)
    mv "$rules/a.yml" "$rules/b.yml" && reloads && has_groups b.yml:a single.yml:single &&
        is_evaluated_on "$rules/b.yml;a" && goes_on "$since" High Waits && value_is 'sum(load:sum)' 80
}

is_renamed_back_and_forth() {
    local since i
    since=$(state_of High Waits)
    for i in 1 2 3 4 5; do
        mv "$rules/b.yml" "$rules/c.yml" && reloads && mv "$rules/c.yml" "$rules/b.yml" && reloads || return 1
    done
    is_evaluated_on "$rules/b.yml;a" && goes_on "$since" High Waits
}

is_away_for_one_reload() {
    local since
    since=$(state_of High Waits Single)
    mv "$work/single.yml" "$work/away" && mv "$rules/b.yml" "$work/b.away" && reloads && mv "$work/away" "$work/single.yml" &&
        mv "$work/b.away" "$rules/b.yml" && reloads || return 1
    is_evaluated_on "$work/single.yml;single" && is_evaluated_on "$rules/b.yml;a" && goes_on "$since" High Waits Single
}

is_emptied() {
    : >"$rules/b.yml"
    reloads && has_groups single.yml:single && has_no_alert High Waits && fires Single || return 1
    within 20 value_is 'ALERTS{alertname="High"}' "" && within 20 value_is load:sum "" && never_told_as_resolved High Waits
}

comes_back_after_its_end() {
    write_a third >"$rules/a.yml"
    rm "$rules/b.yml"
    reloads && within 10 fires High Waits && never_told_as_resolved High Waits
}

is_deleted() {
    local since
    since=$(lines_of_log)
    rm "$rules/a.yml" "$work/single.yml"
    reloads && has_groups && has_no_alert High Waits Single || return 1
    log_says_since "$since" 'level=warn msg="no rule file matches a pattern" pattern=.*/rules/\*.yml' &&
        log_says_since "$since" 'level=warn msg="a rule file does not exist" file=.*/single.yml' || return 1
    write_a fourth >"$rules/a.yml"
    write_single >"$work/single.yml"
    reloads && within 10 fires High Waits Single && never_told_as_resolved High Waits Single
}

# Checks rules and queries.
has_points() { # COUNT: a subquery of ten seconds that gives no step
    within 20 value_is points "$1" && value_is 'count_over_time(vector(1)[10s:])' "$1"
}

has_the_interval_as_step() {
    printf '%s\n' 'groups:' '- {name: points, interval: 1s, rules: [{record: points, expr: "count_over_time(vector(1)[10s:])"}]}' \
        >"$rules/points.yml"
    reloads && has_points 10 && write_config 2s && reloads && has_points 5 && write_config && reloads && has_points 10 &&
        rm "$rules/points.yml" && reloads
}

claim "alerts fire, and are told" starts || exit 1
claim "edited in place: alerts go on with other annotations, and a new rule records" is_edited_in_place
claim "metrics: how long evaluations and restoring take" durations_are_measured
claim "edited in place: what is recorded no more ends" ends_what_it_no_more_records
claim "renamed: alerts go on" is_renamed
claim "renamed back and forth: alerts go on" is_renamed_back_and_forth
claim "away for one reload: alerts go on" is_away_for_one_reload
claim "emptied: its alerts are gone, and nobody is told that they are resolved" is_emptied
claim "it comes back: its alerts fire again" comes_back_after_its_end
claim "deleted: the log names the pattern, alerts are gone, and come back with the files" is_deleted

claim "reloaded with another evaluation interval: it is the step of subqueries" has_the_interval_as_step

# --- unreadable, wrong --------------------------------------------------------------------------

put() { # KIND PATH
    case $1 in
    dangling) ln -s "$work/nowhere/a.yml" "$2" ;;
    pipe) mkfifo "$2" ;;
    forbidden) write_single >"$2" && chmod 000 "$2" ;;
    wrong) printf '%s\n' 'groups:' '- {name: wrong, rules: [{record: a, expr: "sum("}]}' >"$2" ;;
    esac
}

declare -A reasons=(
    [dangling]='cannot open .*/single.yml: what it links to does not exist'
    [pipe]='cannot open .*/single.yml: it is not a regular file'
    [forbidden]='cannot open .*/single.yml: Permission denied'
    [wrong]="single.yml:2:43: group 'wrong', rule 1 'a': invalid expression: 1:5: parse error: unclosed left parenthesis"
)

# In the place of a file that is named, and of one that a pattern finds.
is_refused() { # KIND
    local since status=500
    [[ $1 != wrong ]] || status=400
    since=$(state_of High Waits Single)
    mv "$work/single.yml" "$work/away"
    put "$1" "$work/single.yml"
    refuses_reload $status "${reasons[$1]}" || return 1
    mv "$work/single.yml" "$work/put" && mv "$work/away" "$work/single.yml" && reloads || return 1
    rm -rf "$work/put"
    put "$1" "$rules/z_single.yml"
    refuses_reload $status "${reasons[$1]/single/z_single}" || return 1
    is_evaluated_on "$rules/a.yml;a" && goes_on "$since" High Waits Single || return 1
    rm -rf "$rules/z_single.yml"
    reloads
}

has_no_directory() {
    local since
    since=$(state_of High Waits)
    chmod 000 "$rules"
    refuses_reload 500 "cannot list directory .*/rules/: Permission denied"
    local refused=$?
    chmod 755 "$rules"
    ((refused == 0)) && goes_on "$since" High Waits && reloads
}

for kind in dangling wrong; do
    claim "a file, $kind: the reload fails, and the rules of before go on" is_refused $kind
done
if ((EUID != 0)) || ((${#as_others[@]} > 0)); then
    claim "a file, forbidden: the reload fails, and the rules of before go on" is_refused forbidden
    claim "a directory, forbidden: the reload fails, and the rules of before go on" has_no_directory
else
    skip "a file that may not be read" "root reads everything here"
fi

# --- while a group runs -------------------------------------------------------------------------

# Adds a source that answers on command: it has `slow`, and the store has the rest.
write_slow() { # MORE
    printf '%s\n' 'groups:' '- name: slow' '  rules:' '  - {record: "slow:sum", expr: "sum(slow) or vector(1)"}' \
        '  - {alert: Slow, expr: "vector(1) unless slow"}' "${1-}"
}

is_held() {
    local held
    held=$(curl -sf "$world/held")
    echo "$held questions wait"
    ((held > 0))
}

has_slow_group() {
    echo "sources: [{name: slow, type: remote_read, url: 'http://127.0.0.1:$world_port/read', protobuf: samples, timeout: 1m, select: [slow]}]" \
        >>"$work/firekeep.yml"
    write_slow >"$rules/slow.yml"
    reloads && within 10 fires Slow High Waits && within 10 is_told Slow firing
}

# The rule file is changed, replaced, removed and restored during the evaluation.
is_changed_while_it_runs() {
    local i
    set_world held=1 && within 10 is_held || return 1
    for i in 1 2 3 4 5; do
        write_slow "  - {record: \"slow:$i\", expr: vector($i)}" >"$work/next" && mv "$work/next" "$rules/slow.yml" && hangup || return 1
    done
    rm "$rules/slow.yml"
    reloads || return 1
    doze 4 # more than two intervals: its series get staleness markers, unless it runs
    set_world held=0 && within 10 value_is slow:sum "" && has_no_alert Slow && never_told_as_resolved Slow || return 1
    write_slow >"$rules/slow.yml"
    reloads && within 10 fires Slow && within 10 fires High
}

is_replaced_while_it_runs() {
    local since
    since=$(state_of Slow)
    set_world held=1 && within 10 is_held || return 1
    write_slow "  - {record: slow:more, expr: vector(7)}" >"$work/next" && mv "$work/next" "$rules/slow.yml" && reloads || return 1
    mv "$rules/slow.yml" "$rules/slower.yml" && reloads && mv "$rules/slower.yml" "$rules/slow.yml" && reloads || return 1
    set_world held=0 && within 20 value_is slow:more 7 && goes_on "$since" Slow
}

is_reloaded_often() {
    local since i requests=()
    since=$(state_of High Waits Slow)
    for i in {1..20}; do
        write_a "number $i" >"$rules/a.yml"
        kill -HUP "$(pid_of firekeep)"
        post_reload >"$work/reload.$i" &
        requests+=($!)
    done
    wait "${requests[@]}"
    cat "$work"/reload.* | sort | uniq -c
    ! grep -L 200 "$work"/reload.* | grep . && reloads && is_evaluated_on "$rules/a.yml;a" && goes_on "$since" High Waits Slow
}

# Stored samples are not written again with another value; the same value does no harm.
wrote_nothing_twice() {
    "$TOOLS/metrics" "$url" 0 are firekeep_samples_superseded_total = 0 firekeep_samples_rejected_total = 0
}

claim "a group that waits for a slow source is there" has_slow_group
claim "changed and removed while it runs: it ends after that" is_changed_while_it_runs
claim "replaced and renamed while it runs: its alert goes on" is_replaced_while_it_runs
claim "twenty reloads by signals and requests at once: alerts go on" is_reloaded_often
claim "nothing was recorded twice" wrote_nothing_twice
claim "its alert, and no other, is told as resolved when it is over" eval 'set_world b=55 && within 20 is_told Single resolved && never_told_as_resolved High Waits'
claim "SIGTERM ends it" stop firekeep

# --- at startup ---------------------------------------------------------------------------------

refuses_to_start() { # KIND
    local status
    mv "$work/single.yml" "$work/away"
    put "$1" "$work/single.yml"
    timeout 60 "${as_others[@]}" build/firekeep serve "$small_log" --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" \
        --config.file="$work/firekeep.yml" >"$work/refused.txt" 2>&1
    status=$?
    rm -rf "$work/single.yml"
    mv "$work/away" "$work/single.yml"
    echo "status $status"
    cat "$work/refused.txt"
    ((status == 1)) && grep -q -e "${reasons[$1]}" "$work/refused.txt"
}

for kind in pipe wrong; do
    claim "at startup, $kind: the server refuses to start and says why" refuses_to_start $kind
done
claim "with the file it starts, and alerts go on" eval 'serve && within 20 fires High Waits && never_told_as_resolved High Waits'
claim "SIGTERM ends it after that" stop firekeep
done_testing
