#!/bin/bash
# rules.sh - a real Prometheus and Firekeep evaluate the same rules over the same data, and send the
# same alerts: through values that change, series that come and go, a target that is down, a reload,
# and an outage of Firekeep, to which Prometheus then sends its backlog.
#
#   world <--scrape-- Prometheus --remote write--> Firekeep
#         <---------------alerts--------------------/
#
# Both evaluate three seconds late (query_offset; LATE), when the scraped samples have reached both,
# and rules of recorded series three seconds later.

. tests/lib.sh
program=$PEERS/prometheus/usr/bin/prometheus
read -r port world_port prometheus_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port
prometheus=http://127.0.0.1:$prometheus_port
world=http://127.0.0.1:$world_port
outage=${OUTAGE:-20} # seconds
late=${LATE:-3}      # seconds

if [[ ! -x $program ]]; then
    skip_all "rules are evaluated as by Prometheus" "tests/peers/fetch gets a Prometheus 3"
fi

# --- the actors ----------------------------------------------------------------------------------

write_rules() { # BEFORE|AFTER
    local threshold=50 more=
    if [[ $1 == AFTER ]]; then
        threshold=60
        more='  - {record: "load:added", expr: "load * 2", labels: {kind: new}}'
    fi
    cat >"$work/rules.yml" <<END
groups:
- name: recorded
  interval: 2s
  query_offset: ${late}s
  labels: {team: all}
  rules:
  - {record: "load:sum", expr: "sum(load)"}
  - {record: "load:high", expr: "load > $threshold", labels: {kind: high}}
  - {record: "work:rate", expr: "rate(work_total[10s])"}
  - {record: "load:sum:twice", expr: "load:sum offset 2s * 2"}
$more
- name: second
  interval: 5s
  query_offset: $((2 * late))s
  rules:
  - {record: "work:rate:avg", expr: "avg_over_time(work:rate[10s])"}
  - {record: "load:count", expr: "count(load:high) by (kind)"}
- name: alerts
  interval: 2s
  query_offset: ${late}s
  rules:
  - alert: High
    expr: load > $threshold
    for: 6s
    labels: {severity: '{{ if gt \$value 80.0 }}page{{ else }}warn{{ end }}', of: '{{ \$labels.n }}'}
    annotations: {summary: 'load of {{ \$labels.n | toUpper }} is above {{ $threshold }} in {{ \$externalLabels.where }}'}
  - {alert: Kept, expr: "load > 65", keep_firing_for: 8s, annotations: {note: "", about: '{{ with query "count(up)" }}{{ . | first | value }}{{ end }} up'}}
  - {alert: Down, expr: "up == 0", for: 4s}
- name: alerts of recorded
  interval: 2s
  query_offset: $((2 * late))s
  rules:
  - {alert: Summed, expr: "load:sum > 100", labels: {sum: yes}, annotations: {at: '{{ \$externalURL }}{{ pathPrefix }}/x {{ externalURL }}'}}
END
}

write_configs() {
    cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 900ms, external_labels: {where: here}}
rule_files: ['$work/rules.yml']
scrape_configs: [{job_name: world, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]
alerting: {alertmanagers: [{path_prefix: /prometheus, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
remote_write:
  - url: $url/api/v1/write
    queue_config: {batch_send_deadline: 100ms, min_backoff: 50ms, max_backoff: 500ms, max_shards: 2}
    write_relabel_configs: [{source_labels: [__name__], regex: 'load|work_total|up|scrape_.*', action: keep}, {regex: where, action: labeldrop}]
END
    cat >"$work/firekeep.yml" <<END
global: {external_labels: {where: here}}
rule_files: ['$work/rules.yml']
web: {external_url: 'http://outside.example/'}
rules: {resend_delay: 10s, catch_up_wait: 60s}
alerting: {alertmanagers: [{path_prefix: /firekeep, static_configs: [{targets: ['127.0.0.1:$world_port']}]}]}
END
}

begin_world() {
    start world tests/rules/world.py "$world_port" && wait_ready world "$world/metrics"
}

begin_prometheus() {
    start prometheus "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="127.0.0.1:$prometheus_port" --web.external-url=http://outside.example/ \
        --rules.alert.resend-delay=10s --log.level=warn
    wait_ready prometheus "$prometheus/-/ready"
}

begin_firekeep() {
    start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml"
}

set_world() { # NAME=VALUE...
    local IFS='&'
    curl -sf --noproxy '*' "$world/set?$*" >/dev/null
}

seconds() {
    date +%s
}


pid_of() { # NAME
    local found
    _find "$1" && echo "${pids[found]}"
}

# --- events --------------------------------------------------------------------------------------

everybody_is_there() {
    write_rules BEFORE
    write_configs
    begin_world && begin_firekeep && begin_prometheus
}

time_passes() {
    began=$(($(seconds) + 9 + late)) # before, Prometheus has alerts and does not write them
    doze $((13 + late))
    set_world a=90 b=20
    doze 9
    set_world a=40 b=72 c=55
    doze 5
    set_world b=10 c=
    doze 5
    set_world down=1
    doze 9
    set_world down=0 a=95
    doze 6
}

a_reload_changes_rules() {
    write_rules AFTER
    reloaded=$(seconds)
    kill -HUP "$(pid_of firekeep)" && kill -HUP "$(pid_of prometheus)" || return 1
    doze 8
    set_world a=55 b=88
    doze 8
    set_world b=30
    doze 4
}

an_outage() {
    crash firekeep
    crashed=$(seconds)
    doze "$((outage / 2))"
    set_world a=70 c=99
    doze "$((outage - outage / 2))"
    begin_firekeep || return 1
    restarted=$(seconds)
    doze 44 # alerts are held for half a minute
    set_world a=45
    doze 10
}

nothing_is_missing() {
    curl -s --noproxy '*' "$url/metrics" | grep -F 'firekeep_rule_catch_up{' | grep -F 'state="live"} 1'
}

ended() {
    within "$((90 + outage / 4))" nothing_is_missing || return 1
    finished=$(($(seconds) - 2 - 2 * late)) # the last evaluation has twice the offset
}

same_series() { # SELECTOR [EXCEPT_START EXCEPT_END]...
    tests/rules/compare.py series "$prometheus" "$url" "$1" "$began" "$finished" "${@:2}"
}

same_told() {
    curl -sf --noproxy '*' "$world/told?who=prometheus" >"$work/told.prometheus"
    curl -sf --noproxy '*' "$world/told?who=firekeep" >"$work/told.firekeep"
    tests/rules/compare.py told "$work/told.prometheus" "$work/told.firekeep" "$began" "$finished" \
        "$((crashed - 9 - late))" "$((restarted + 34 + late))"
}

claim "a Prometheus, Firekeep and what both look at are there" everybody_is_there
claim "values change, series come and go, a target is down" time_passes
claim "a reload changes thresholds and adds a rule" a_reload_changes_rules
claim "Firekeep is killed, and Prometheus keeps what it cannot send" an_outage
claim "all that was missed has been made up" ended
claim "what was recorded is the same, through all of it" same_series '{__name__=~"load:.+|work:.+"}'
# An alert that fired before the outage, and has ended since, is held until the backlog has arrived,
# and then kept firing.
claim "ALERTS are the same, but for the outage" same_series 'ALERTS' "$((crashed - 2 - 2 * late))" "$((restarted + 40 + late))"
# Since when an alert is pending, that began in the outage, Firekeep cannot know.
claim "ALERTS_FOR_STATE are the same before the outage" same_series 'ALERTS_FOR_STATE' "$((crashed - 2 - 2 * late))" "$finished"
claim "alerts are told alike, but around the outage" same_told
done_testing
