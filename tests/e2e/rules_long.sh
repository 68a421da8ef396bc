#!/bin/bash
# rules_long.sh - a real Prometheus and Firekeep evaluate the same rules for half an hour, while
# values, series and targets come and go, rules are edited, added, removed and get other intervals,
# and Firekeep is killed, stopped, suspended, and away for up to three minutes. At the end both have
# recorded the same samples and sent the same alerts, with the exceptions in docs/rules.md.
#
#   weather --> world <--scrape-- Prometheus --remote write--> Firekeep
#                     <---------------alerts--------------------/
#
# The troubles go on for MINUTES, 30 with LONG=1; without both, a few of them take three minutes.
# SEED decides the events. events.txt lists them with their times, and except.WHAT.txt the times
# that are not compared.

minutes=${MINUTES:-$([[ ${LONG-} == 1 ]] && echo 30 || echo 0)}
. tests/lib.sh
. tests/rules_lib.sh
program=$PEERS/prometheus/usr/bin/prometheus
read -r port world_port prometheus_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port
prometheus=http://127.0.0.1:$prometheus_port
world=http://127.0.0.1:$world_port
late=${LATE:-6} # seconds (query_offset): samples have reached both servers by then; rules of recorded series are that much later
seed=${SEED:-1}
settle=22 # seconds: the longest `for`, `keep_firing_for` and two intervals
RANDOM=$seed

if [[ ! -x $program ]]; then
    skip_all "rules are evaluated as by Prometheus for long" "tests/peers/fetch gets a Prometheus 3"
fi

# --- the actors ----------------------------------------------------------------------------------

threshold=50     # in the rules that are edited
gap_threshold=50 # in the rule that is edited while Firekeep has a gap
edits=0
interval=2 # of the group with a changing interval
pages=warn

write_rules() {
    mkdir -p "$work/rules"
    cat >"$work/main.yml" <<EOF
groups:
- name: plain
  interval: 2s
  query_offset: ${late}s
  labels: {team: all}
  rules:
  - {record: "plain:sum", expr: "sum(load)"}
  - {record: "plain:by", expr: "sum by (n) (load)"}
  - {record: "plain:high", expr: "load > 50", labels: {kind: high}}
  - {record: "plain:rate", expr: "rate(work_total[10s])"}
  - {record: "plain:up", expr: "up"}
  - {record: "plain:absent", expr: "absent(load{n=\"c\"})"}
  - {record: "plain:twice", expr: "plain:sum * 2"}
  - {record: "plain:before", expr: "plain:sum offset 2s"}
  - {record: "plain:acc", expr: "(plain:acc offset 2s or on () vector(0)) * 0.5 + on () sum(load)"}
  - {record: "plain:max", expr: "max_over_time(load[15s])"}
  - {record: "plain:quantile", expr: "quantile by (instance) (0.9, load)"}
  - {record: "plain:time", expr: "vector(time())"}
- name: second
  interval: 5s
  query_offset: $((2 * late))s
  rules:
  - {record: "second:avg", expr: "avg_over_time(plain:rate[10s])"}
  - {record: "second:count", expr: "count by (kind) (plain:high)"}
- name: slow
  interval: 15s
  query_offset: $((2 * late))s
  rules:
  - {record: "slow:sum", expr: "sum_over_time(plain:sum[15s])"}
  - {record: "slow:max", expr: "max_over_time(load[1m])"}
- name: minute
  interval: 1m
  query_offset: ${late}s
  rules:
  - {record: "minute:avg", expr: "avg_over_time(load[1m])"}
- name: pace
  interval: ${interval}s
  query_offset: ${late}s
  rules:
  - {record: "pace:sum", expr: "sum(load)"}
  - {record: "pace:high", expr: "load > 50"}
- name: edited
  interval: 2s
  query_offset: ${late}s
  rules:
  - {record: "edit:high", expr: "load > $threshold"}
  - {record: "edit:labelled", expr: "load", labels: {edit: "$((edits / 2))"}}
$( ((edits % 2)) && echo '  - {record: "edit:added", expr: "load * 2"}')
- name: alerts
  interval: 2s
  query_offset: ${late}s
  rules:
  - alert: High
    expr: load > $threshold
    for: 6s
    labels: {severity: '{{ if gt \$value 80.0 }}page{{ else }}warn{{ end }}', of: '{{ \$labels.n }}'}
    annotations: {summary: 'load of {{ \$labels.n | toUpper }} is high in {{ \$externalLabels.where }}'}
  - {alert: Kept, expr: "load > 65", keep_firing_for: 8s, annotations: {note: "", about: '{{ \$labels.instance }}'}}
  - {alert: Down, expr: "up == 0", for: 4s}
  - {alert: Labelled, expr: "load > 30", labels: {pages: $pages}}
- name: alerts of recorded
  interval: 5s
  query_offset: $((3 * late))s
  rules:
  - {alert: Many, expr: "second:count > 3", for: 5s, annotations: {at: '{{ \$externalURL }}{{ pathPrefix }}/x {{ externalURL }}'}}
  - {alert: Absent, expr: "absent(plain:high)"}
EOF
    cat >"$work/gap.yml" <<EOF
groups:
- name: gap
  interval: 2s
  query_offset: ${late}s
  rules: [{record: "gap:high", expr: "load > $gap_threshold"}]
EOF
    mv "$work/main.yml" "$work/gap.yml" "$work/rules"
}

write_extra() { # FILE SERIES EXPRESSION
    cat >"$work/extra.yml" <<EOF
groups: [{name: $1, interval: 2s, query_offset: ${late}s, rules: [{record: "$2", expr: "$3", labels: {file: $1}}]}]
EOF
    mv "$work/extra.yml" "$work/rules/$1.yml"
}

write_configs() {
    cat >"$work/prometheus.yml" <<EOF
global: {scrape_interval: 1s, scrape_timeout: 900ms, external_labels: {where: here}}
rule_files: ['$work/rules/*.yml']
scrape_configs: [{job_name: world, file_sd_configs: [{files: ['$work/targets.json'], refresh_interval: 5s}]}]
alerting: {alertmanagers: [{path_prefix: /prometheus, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
remote_write:
  - url: $url/api/v1/write
    remote_timeout: 5s
    queue_config: {batch_send_deadline: 100ms, min_backoff: 50ms, max_backoff: 500ms, max_shards: 2}
    write_relabel_configs: [{source_labels: [__name__], regex: 'load|work_total|up', action: keep}, {regex: where, action: labeldrop}]
EOF
    cat >"$work/firekeep.yml" <<EOF
global: {external_labels: {where: here}}
rule_files: ['$work/rules/*.yml']
web: {external_url: 'http://outside.example/'}
rules: {resend_delay: 10s}
alerting: {alertmanagers: [{path_prefix: /firekeep, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
EOF
}

begin_prometheus() {
    start prometheus "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="127.0.0.1:$prometheus_port" --web.external-url=http://outside.example/ --web.route-prefix=/ \
        --web.enable-lifecycle --rules.alert.resend-delay=10s --log.level=warn
    wait_ready prometheus "$prometheus/-/ready"
}

begin_firekeep() {
    start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml" --web.enable-lifecycle
}

now() {
    date +%s.%1N
}

happens() { # TEXT...
    echo "$(date +%T) $(date +%s) $*" >>"$work/events.txt"
    echo "$*"
}

calc() { # EXPRESSION
    awk "BEGIN {printf \"%.1f\", $1}"
}

# Samples of these times are not compared.
except() { # WHAT FROM TO
    echo "$2 $3" >>"$work/except.$1.txt"
}

is_live() {
    metric_is 'firekeep_rule_catch_up{tenant="anonymous",state="live"}' 1
}

# A fill may be over before it is seen.
fills_or_has_filled() {
    metric_is_above firekeep_rule_evaluations_filled_total 0
}

# --- reloads -------------------------------------------------------------------------------------

# Reloads both servers at once. An evaluation between `reload_from` and `reload_to` may have the rules of before or after.
reload() {
    reload_from=$(now)
    curl -sf -X POST "$prometheus/-/reload" &
    local other=$!
    curl -sf -o "$work/reload.txt" -X POST "$url/-/reload" || return 1
    wait "$other" || return 1
    reload_to=$(now)
}

# Results of such an evaluation are not compared until SECONDS later, nor are alerts for $settle seconds.
reload_edits() { # EVENT SECONDS WHAT...
    local what
    reload || return 1
    happens "$1"
    for what in "${@:3}"; do
        case $what in
        alerts) except alerts "$(calc "$reload_from - $late - 5")" "$(calc "$reload_to - $late + $settle")"
            except since "$(calc "$reload_from - $late - 5")" "$(calc "$reload_to - $late + $settle")" ;;
        *) except "$what" "$(calc "$reload_from - $late - 0.1")" "$(calc "$reload_to - $late + $2 + 0.2")" ;;
        esac
    done
}

removed_at=-9 edited_at=-9

rules_are_edited() {
    edits=$((edits + 1))
    threshold=$((40 + RANDOM % 30))
    [[ $pages == warn ]] && pages=page || pages=warn
    write_rules
    # Series of a rule that was removed or renamed are marked stale two intervals later.
    reload_edits "rules are edited: $threshold, edit $edits, $pages" 6 edit alerts
    edited_at=$SECONDS
}

interval_changes() {
    local intervals=(2 3 7 20) before=$interval
    while [[ $interval == "$before" ]]; do
        interval=${intervals[RANDOM % 4]}
    done
    write_rules
    reload_edits "the interval changes from $before to $interval s" "$((before > interval ? before : interval))" pace
}

# Both servers mark the series of a removed group stale about two intervals later, at different times.
group_comes_and_goes() {
    local name=fresh$edits$RANDOM
    write_extra "$name" fresh:load "load * 3" && reload_edits "group $name is added" 2 fresh || return 1
    # Firekeep begins with the evaluation time before the reload, Prometheus with the one after it.
    except fresh "$(calc "$reload_from - $late - 2.1")" "$reload_to"
    doze $((8 + RANDOM % 20))
    rm "$work/rules/$name.yml"
    reload && happens "group $name is removed"
    except fresh "$(calc "$reload_from - $late - 0.1")" "$(calc "$reload_to + 9")"
    removed_at=$SECONDS
}

# Before an outage. Series of a rule that was removed less than two intervals before would get their
# markers after the gap if Firekeep is suspended, and none if it ends.
await_markers() {
    while ((SECONDS - removed_at < 9 || SECONDS - edited_at < 9)); do
        doze 1
    done
}

end_firekeep() { # KILL|TERM
    await_markers
    if [[ $1 == KILL ]]; then crash firekeep; else stop firekeep; fi
}

group_goes_and_comes() {
    rm "$work/rules/back.yml"
    reload && happens "group back is removed" || return 1
    doze $((1 + RANDOM % 20))
    write_extra back back:load "load * 4"
    reload && happens "group back is there again"
}

# --- outages -------------------------------------------------------------------------------------

goes_down() { # TERM|KILL
    down_at=$(now)
    end_firekeep "$1"
}

# Alerts are not evaluated during an outage, and held until the gap is filled, which delays those that are pending.
outage_ends() {
    within 300 is_live || return 1
    local live_at
    live_at=$(now)
    happens "live again after $(calc "$live_at - $down_at") s"
    except alerts "$(calc "$down_at - 3 * $late - 5")" "$(calc "$live_at + $settle")"
    except since "$(calc "$down_at - 3 * $late - 20")" "$(calc "$live_at + $settle")"
}

outage() { # TERM|KILL SECONDS
    happens "$1, and away for $2 s"
    goes_down "$1" && doze "$2" && begin_firekeep && outage_ends
}

outage_in_outage() { # TERM|KILL SECONDS AFTER
    happens "$1, away for $2 s, $1 again after $3 s"
    goes_down "$1" && doze "$2" && begin_firekeep && doze "$3" || return 1
    end_firekeep "$1"
    doze 3 && begin_firekeep && outage_ends
}

outage_in_fill() { # TERM|KILL SECONDS
    happens "$1, away for $2 s, $1 again while it fills the gap"
    goes_down "$1" && doze "$2" && begin_firekeep && within 120 fills_or_has_filled || return 1
    end_firekeep "$1"
    begin_firekeep && outage_ends
}

edit_in_outage() { # TERM|KILL SECONDS
    happens "$1, away for $2 s, and rules are edited before the gap is filled"
    goes_down "$1" && doze "$2" && begin_firekeep || return 1
    gap_threshold=$((40 + RANDOM % 30))
    doze $((RANDOM % 20))
    write_rules
    reload && happens "rules are edited in a gap: $gap_threshold"
    outage_ends || return 1
    # The cursor may be ten seconds old. A series that the edit ends is marked two intervals after the gap is filled.
    except gap "$(calc "$down_at - $late - 14")" "$(calc "$(now) - $late + 6.2")"
}

suspend() { # SECONDS
    await_markers
    happens "suspended for $1 s"
    down_at=$(now)
    kill -STOP "$(pid_of firekeep)"
    doze "$1"
    kill -CONT "$(pid_of firekeep)"
    doze 3
    outage_ends
}

# --- events --------------------------------------------------------------------------------------

everybody_is_there() {
    write_rules
    write_extra back back:load "load * 4"
    write_configs
    echo '[]' >"$work/targets.json"
    begin_world && begin_firekeep && begin_prometheus || return 1
    start weather tests/rules/weather.py "$world" "$work/targets.json" "$seed"
    happens "begins (seed $seed)"
    began=$(($(date +%s) + 24)) # Prometheus does not write ALERTS of its first evaluations
}

# Notes how late the sender is: both servers evaluate the same samples only if it is less than $late seconds.
watch_lag() {
    while sleep 1; do
        curl -s "$prometheus/metrics" | awk -v now="$(date +%s.%N)" '
            /^prometheus_remote_storage_queue_highest_sent_timestamp_seconds/ {printf "%s %.1f\n", now, now - $2}' >>"$work/lag.txt"
    done
}

rests() {
    doze $((25 + RANDOM % 30))
}

few_troubles=(rules_are_edited interval_changes group_comes_and_goes group_goes_and_comes 'outage KILL 5')
signals=(TERM KILL)
outages=(20 5 60 10 180 40 90)
troubles=(
    rules_are_edited 'outage KILL 20' interval_changes group_comes_and_goes 'outage TERM 5' 'outage_in_outage KILL 30 12'
    group_goes_and_comes 'outage_in_fill KILL 60' 'edit_in_outage TERM 25' interval_changes 'outage KILL 180'
    rules_are_edited 'suspend 20' 'outage_in_outage TERM 10 40' 'edit_in_outage KILL 60'
)

choose() {
    local signal=${signals[RANDOM % 2]} seconds=${outages[RANDOM % ${#outages[@]}]}
    case $((RANDOM % 10)) in
    0 | 1) echo "outage $signal $seconds" ;;
    2) echo "outage_in_outage $signal $seconds $((RANDOM % 40))" ;;
    3) echo "outage_in_fill $signal $seconds" ;;
    4) echo "edit_in_outage $signal $seconds" ;;
    5) echo "suspend $seconds" ;;
    6) echo rules_are_edited ;;
    7) echo interval_changes ;;
    8) echo group_comes_and_goes ;;
    9) echo group_goes_and_comes ;;
    esac
}

# First each trouble in its turn, then at random.
all_of_them() {
    local i=0 trouble until=$((SECONDS + minutes * 60))
    ((minutes > 0)) || troubles=("${few_troubles[@]}")
    doze 30
    while ((SECONDS < until || (minutes == 0 && i < ${#troubles[@]}))); do
        trouble=${troubles[i]:-$(choose)}
        RANDOM=$((seed + i)) # a subshell does not advance it here
        i=$((i + 1))
        # shellcheck disable=SC2086 # words
        $trouble || { echo "failed: $trouble"; return 1; }
        [[ $trouble == *outage* || $trouble == suspend* ]] && rests || doze $((3 + RANDOM % 10))
    done
    happens "ends"
    doze $((settle + 3 * late))
    finished=$(($(date +%s) - 3 * late - 6))
}

# --- comparisons ---------------------------------------------------------------------------------

excepted() { # WHAT
    [[ -f $work/except.$1.txt ]] && tr '\n' ' ' <"$work/except.$1.txt"
}

same() { # HOW SELECTOR [WHAT]
    # shellcheck disable=SC2046 # words
    tests/rules/compare.py "$1" "$prometheus" "$url" "$2" "$began" "$finished" $(excepted "${3-}") | tee "$work/differ.${3-$1}.txt"
    return "${PIPESTATUS[0]}"
}

same_sent() {
    curl -sf "$world/told?who=prometheus" >"$work/told.prometheus"
    curl -sf "$world/told?who=firekeep" >"$work/told.firekeep"
    # shellcheck disable=SC2046 # words
    tests/rules/compare.py told "$work/told.prometheus" "$work/told.firekeep" "$began" "$finished" $(excepted alerts) | tee "$work/differ.sent.txt"
    return "${PIPESTATUS[0]}"
}

# Outages are left out: the sender waits then.
sender_was_quick() {
    awk -v late="$late" -v file="$work/except.since.txt" '
        BEGIN {while ((getline <file) > 0) {from[n] = $1; to[n++] = $2}}
        {for (i = 0; i < n; i++) if ($1 >= from[i] && $1 <= to[i]) next}
        $2 > most {most = $2; at = $1}
        END {printf "at most %.1f s late, at %d\n", most, at; exit most >= late - 1}' "$work/lag.txt"
}

nothing_was_left_out() {
    local missed
    missed=$(curl -s "$prometheus/metrics" | awk '/^prometheus_rule_group_iterations_missed_total/ {n += $2} END {print n + 0}')
    echo "Prometheus missed $missed evaluations"
    "$TOOLS/metrics" "$url" 0 are firekeep_rule_group_iterations_missed_total = 0 firekeep_samples_rejected_total = 0 \
        firekeep_samples_superseded_total = 0 && ((missed == 0))
}

shows() { # CLAIM...
    claim "$@" && sed 's/^/  /' "$work/claim.txt"
}

claim "Prometheus, Firekeep and the target are ready" everybody_is_there || exit 1
watch_lag &
watcher=$!
shows "rules change, and Firekeep is killed, stopped, suspended and away (seed $seed)" all_of_them
kill "$watcher"
stop weather
shows "samples reached Firekeep before their evaluation, except during outages" sender_was_quick
shows "no evaluation was left out, nothing was refused" nothing_was_left_out
shows "rules that do not change record the same samples, also during outages" same series '{__name__=~"(plain|second|slow|minute):.+"}' plain
shows "edited rules record the same samples" same series '{__name__=~"edit:.+"}' edit
shows "a group whose interval changes records the same samples" same series '{__name__=~"pace:.+"}' pace
shows "groups that are added and removed record the same samples" same series '{__name__=~"fresh:.+"}' fresh
shows "a rule that is edited during a gap records the same samples after it" same series '{__name__=~"gap:.+"}' gap
shows "a group that is removed and added again records all samples of Prometheus" same within '{__name__=~"back:.+"}' back
shows "ALERTS are the same, except around outages" same series ALERTS alerts
shows "ALERTS_FOR_STATE are the same, except around outages" same since ALERTS_FOR_STATE since
shows "the same alerts are sent, except around outages" same_sent
done_testing
