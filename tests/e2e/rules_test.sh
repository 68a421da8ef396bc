#!/bin/bash
# rules_test.sh - `test rules` runs unit tests of rules as the promtool of a real Prometheus 3 does:
# the same tests fail, with the same words and the same exit status. Hostile files end with an error
# that has a position.

. tests/lib.sh
promtool=$(realpath -m "$PEERS/promtool/usr/bin/promtool")
firekeep=$PWD/build/firekeep
compare=$PWD/tests/rules/compare_rule_tests.py

# Writes files with these names: rules (for rule_files), pass and fail (as in promtool), broken
# (cannot run; promtool has other words), ours and ours_fail (with features that promtool 3.5
# lacks), order_pass and order_fail (promtool evaluates these groups in any order).
files() {
    cat <<'END'
=== rules/up.yml
groups:
- name: up
  rules:
  - {record: "job:up:sum", expr: sum by (job) (up)}
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} of {{ $labels.job }} is down"}
=== rules/kept.yml
groups:
- name: kept
  rules:
  - {alert: Kept, expr: load > 5, keep_firing_for: 3m, annotations: {load: "{{ $value | humanize }}"}}
  - {alert: Both, expr: load > 8, labels: {level: high}}
  - {alert: Both, expr: load > 2, labels: {level: low}}
=== rules/templates.yml
groups:
- name: templates
  labels: {group: "{{ $externalLabels.region }}"}
  rules:
  - alert: Told
    expr: sum by (job) (up)
    labels: {region: "{{ $externalLabels.region }}", rounded: '{{ printf "%.1f" $value }}'}
    annotations:
      url: "{{ $externalURL }}/graph{{ .ExternalURL }}"
      up: '{{ with query "count(up)" }}{{ . | first | value }}{{ end }}'
      each: '{{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}'
      wrong: '{{ .Nothing }}'
=== rules/order_a.yml
groups: [{name: a, rules: [{record: a, expr: b + 1}]}]
=== rules/order_b.yml
groups: [{name: b, rules: [{record: b, expr: c + 1}]}, {name: c, rules: [{record: c, expr: up}]}]
=== rules/failing.yml
groups: [{name: f, rules: [{record: f, expr: 'label_replace(up, "a", "x", "", "")'}, {record: g, expr: up}]}]
=== rules/offset.yml
groups: [{name: o, query_offset: 1m, limit: 1, interval: 5m, rules: [{record: o, expr: up}, {record: p, expr: up > 1}]}]
=== rules/invalid.yml
groups: [{name: a, rules: [{record: a, expr: "sum("}]}]
=== rules/unknown.yml
groups: [{name: a, owner: me, rules: [{record: a, expr: up}]}]
=== pass-nothing.yml
=== pass-null.yml
~
=== pass-all-keys.yml
rule_files: [rules/up.yml, "rules/k*.yml", "rules/template?.yml"]
evaluation_interval: 1m
fuzzy_compare: true
group_eval_order: [kept, up, templates]
tests:
- name: everything
  interval: 30s
  input_series:
  - {series: 'up{job="a",instance="x"}', values: 1 1 0x20}
  - {series: 'up{job="a",instance="y"}', values: 1x30}
  - {series: load, values: 1x4 6 6 9x3 1x20}
  external_labels: {region: eu}
  external_url: http://host:1/p
  alert_rule_test:
  - {eval_time: 2m, alertname: Down}
  - eval_time: 3m
    alertname: Down
    exp_alerts:
    - exp_labels: {job: a, instance: x, severity: page}
      exp_annotations: {summary: x of a is down}
  - eval_time: 3m
    alertname: Told
    exp_alerts:
    - exp_labels: {job: a, region: eu, rounded: "1.0", group: eu}
      exp_annotations:
        url: http://host:1/p/graphhttp://host:1/p
        up: "2"
        each: "x=0 y=1 "
        wrong: '<error expanding template: error executing template __alert_Told: template: __alert_Told:1:115: executing "__alert_Told" at <.Nothing>: can''t evaluate field Nothing in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>'
  - {eval_time: 4m, alertname: Both, exp_alerts: [{exp_labels: {level: low}}, {exp_labels: {level: high}}]}
  - {eval_time: 6m, alertname: Kept, exp_alerts: [{exp_annotations: {load: "9"}}]}
  - {eval_time: 10m, alertname: Kept, exp_alerts: []}
  promql_expr_test:
  - {expr: "job:up:sum", eval_time: 3m, exp_samples: [{labels: 'job:up:sum{job="a"}', value: 1}]}
  - {expr: sum(load) / 0.3, eval_time: 0s, exp_samples: [{value: 3.3333333333333335}]}
=== pass-notation.yml
tests:
- interval: 1m
  input_series:
  - {series: a, values: '-2+4x3'}
  - {series: b, values: ' 1-2x4'}
  - {series: c, values: ' 1x4'}
  - {series: d, values: ' 1 _x3 stale'}
  - {series: '{"quoted name", "l l"="v"}', values: 1 2}
  - {series: e, values: Inf -Inf NaN 1e3 0x10 .5}
  promql_expr_test:
  - {expr: 'sum_over_time(a[10m])', eval_time: 9m, exp_samples: [{labels: '{}', value: 16}]}
  - {expr: b, eval_time: 4m, exp_samples: [{labels: b, value: -7}]}
  - {expr: 'count_over_time(c[10m])', eval_time: 9m, exp_samples: [{labels: '{}', value: 5}]}
  - {expr: d, eval_time: 3m, exp_samples: [{labels: d, value: 1}]}
  - {expr: d, eval_time: 4m, exp_samples: []}
  - {expr: 'present_over_time(d[2m])', eval_time: 3m}
  - {expr: '{"quoted name"}', eval_time: 5m, exp_samples: [{labels: '{"quoted name", "l l"="v"}', value: 2}]}
  - {expr: e, eval_time: 1m, exp_samples: [{labels: e, value: -.inf}]}
  - {expr: 'time() + hour() + minute()', eval_time: 1h2m3s, exp_samples: [{labels: '{}', value: 3726}]}
=== pass-interval.yml
evaluation_interval: 20s
tests:
- input_series: [{series: a, values: 0+1x20}]
  promql_expr_test: [{expr: a, eval_time: 1m, exp_samples: [{labels: a, value: 3}]}]
=== pass-histograms.yml
tests:
- interval: 1m
  input_series:
  - series: h
    values: '{{schema:1 sum:-0.3 count:26.1 z_bucket:1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 n_buckets:[1 2] n_offset:-5 counter_reset_hint:gauge}}x2'
  - {series: i, values: '{{count:4 sum:5 buckets:[1 2 1]}}+{{count:1 sum:1 buckets:[0 1]}}x3 {{count:2 sum:1 buckets:[2]}}'}
  - {series: j, values: '{{count:9 sum:5 buckets:[1 7 1]}}-{{count:2 sum:1 buckets:[0 2]}}x3'}
  - {series: k, values: '{{schema:-53 custom_values:[1 5] count:6 sum:20 buckets:[1 2 3]}} _ stale'}
  promql_expr_test:
  - expr: h
    eval_time: 2m
    exp_samples:
    - labels: h
      histogram: '{{n_offset:-5 n_buckets:[1 2] buckets:[5.1 10 7] counter_reset_hint:gauge schema:1 offset:-3 z_bucket_w:0.05 sum:-0.3 z_bucket:1 count:26.1}}'
  - {expr: i, eval_time: 3m, exp_samples: [{labels: i, histogram: '{{count:7 sum:8 buckets:[1 5 1] counter_reset_hint:not_reset}}'}]}
  - {expr: 'resets(i[10m])', eval_time: 4m, exp_samples: [{labels: '{}', value: 1}]}
  - {expr: histogram_count(j), eval_time: 3m, exp_samples: [{labels: '{}', value: 3}]}
  - {expr: k, eval_time: 1m, exp_samples: [{labels: k, histogram: '{{schema:-53 sum:20 custom_values:[1 5] count:6 buckets:[1 2 3]}}'}]}
  - {expr: k, eval_time: 2m}
=== pass-order.yml
rule_files: [rules/order_a.yml, rules/order_b.yml]
group_eval_order: [c, b, a]
tests:
- input_series: [{series: up, values: 1x5}]
  promql_expr_test: [{expr: a, eval_time: 0, exp_samples: [{labels: a, value: 3}]}]
=== order_pass.yml
rule_files: [rules/order_*.yml]
tests:
- input_series: [{series: up, values: 1x5}]
  promql_expr_test: [{expr: a, eval_time: 1m}, {expr: a, eval_time: 2m, exp_samples: [{labels: a, value: 3}]}]
=== pass-keys-of-groups.yml
rule_files: [rules/offset.yml]
tests:
- input_series: [{series: up, values: 1+1x5}]
  promql_expr_test: [{expr: o, eval_time: 2m, exp_samples: [{labels: o, value: 2}]}, {expr: p, eval_time: 2m, exp_samples: [{labels: p, value: 2}]}]
=== pass-anchors.yml
tests:
- &base
  input_series: &series [{series: up, values: 1x5}]
  promql_expr_test: [{expr: up, eval_time: 1m, exp_samples: [{labels: up, value: 1}]}]
- {<<: *base, name: again}
- {input_series: *series}
=== pass-alerts-as-series.yml
rule_files: [rules/up.yml]
tests:
- input_series: [{series: up, values: 0x9}]
  promql_expr_test:
  - {expr: ALERTS, eval_time: 1m, exp_samples: [{labels: 'ALERTS{alertname="Down",alertstate="pending",severity="page"}', value: 1}]}
  - {expr: ALERTS, eval_time: 2m, exp_samples: [{labels: 'ALERTS{alertname="Down",alertstate="firing",severity="page"}', value: 1}]}
  - {expr: ALERTS_FOR_STATE, eval_time: 4m, exp_samples: [{labels: 'ALERTS_FOR_STATE{alertname="Down",severity="page"}', value: 0}]}
=== pass-no-rule-file.yml
rule_files: [nothing.yml, "no*.yaml"]
tests: [{promql_expr_test: [{expr: 1, exp_samples: [{labels: '{}', value: 1}]}]}]
=== fail-values.yml
tests:
- name: first
  input_series: [{series: 'a{b="c"}', values: 1 2}, {series: h, values: '{{count:1 sum:2}}'}]
  promql_expr_test:
  - {expr: a, eval_time: 1m, exp_samples: [{labels: 'a{b="c"}', value: 2.5}]}
  - {expr: a, eval_time: 1m, exp_samples: [{labels: 'a{b="d"}', value: 2}]}
  - {expr: a, eval_time: 1m}
  - {expr: a, eval_time: 1m, exp_samples: [{labels: 'a{b="c"}', value: 2}, {labels: up, value: 1}]}
  - {expr: h, exp_samples: [{labels: h, histogram: '{{count:2}}'}]}
  - {expr: h, exp_samples: [{labels: h, value: 2}]}
  - {expr: 0.1 + 0.2, exp_samples: [{labels: '{}', value: 0.3}]}
  - {expr: NaN, exp_samples: [{labels: '{}', value: .nan}]}
- promql_expr_test: [{expr: 1, exp_samples: [{labels: '{}', value: 1}]}]
=== fail-expressions.yml
tests:
- promql_expr_test:
  - {expr: 'sum(', eval_time: 1h}
  - {expr: '"text"'}
  - {expr: 'up[5m]'}
  - {expr: 1, exp_samples: [{labels: 'a{', value: 1}]}
  - {expr: 1, exp_samples: [{labels: a, histogram: '{{count:1'}]}
  - {expr: 1, exp_samples: [{labels: a, histogram: '1'}]}
=== fail-alerts.yml
rule_files: [rules/up.yml, rules/kept.yml]
tests:
- name: alerts
  input_series: [{series: 'up{job="a",instance="x"}', values: 0x9}, {series: load, values: 6x9}]
  alert_rule_test:
  - {eval_time: 1m, alertname: Down, exp_alerts: [{exp_labels: {job: a}}]}
  - {eval_time: 5m, alertname: Down, exp_alerts: [{exp_labels: {job: a, instance: x, severity: page}}]}
  - {eval_time: 5m, alertname: Down}
  - {eval_time: 5m, alertname: Both, exp_alerts: [{exp_labels: {level: high}}]}
  - {eval_time: 2m, alertname: Kept, exp_alerts: [{exp_annotations: {load: "7"}}]}
  - {eval_time: 2m, alertname: Nobody, exp_alerts: [{}]}
=== fail-alert-without-name.yml
tests: [{name: unnamed, alert_rule_test: [{eval_time: 3m, exp_alerts: []}]}]
=== fail-rule.yml
rule_files: [rules/failing.yml]
tests:
- input_series: [{series: 'up{a="b"}', values: 1x3}, {series: 'up{a="c"}', values: 1x3}]
  promql_expr_test: [{expr: g, eval_time: 2m}]
=== fail-limit.yml
rule_files: [rules/offset.yml]
tests:
- input_series: [{series: 'up{a="b"}', values: 1x3}, {series: 'up{a="c"}', values: 1x3}]
  promql_expr_test: [{expr: o, eval_time: 2m}]
=== order_fail.yml
rule_files: [rules/order_a.yml, rules/order_b.yml]
tests:
- input_series: [{series: up, values: 1x5}]
  promql_expr_test: [{expr: a, eval_time: 0, exp_samples: [{labels: a, value: 3}]}]
=== fail-fuzzy.yml
fuzzy_compare: false
tests: [{promql_expr_test: [{expr: 0.1 + 0.2, exp_samples: [{labels: '{}', value: 0.3}]}]}]
=== fail-second.yml
rule_files: [rules/up.yml]
tests:
- {name: good, promql_expr_test: [{expr: 1, exp_samples: [{labels: '{}', value: 1}]}]}
- {name: bad, promql_expr_test: [{expr: 1, exp_samples: [{labels: '{}', value: 2}]}]}
- {promql_expr_test: [{expr: 2, exp_samples: [{labels: '{}', value: 1}]}]}
=== fail-names.yml
tests:
- input_series: [{series: a, values: 1x3}]
  promql_expr_test: [{expr: 'label_replace(rate(a[3m]), "of", "$1", "__name__", "(.*)")', eval_time: 3m, exp_samples: [{labels: '{of="a"}', value: 0}]}]
=== broken-notation.yml
tests:
- input_series:
  - {series: up, values: 1 2}
  - {series: 'down{a="b"}', values: 1 2 three}
=== ours_fail-repetition.yml
tests: [{input_series: [{series: up, values: 1x18446744073709551616}]}]
=== broken-unknown-key.yml
tests: [{input_serie: []}]
=== broken-key-twice.yml
tests: []
tests: []
=== broken-interval.yml
evaluation_interval: 5
=== broken-value.yml
tests: [{promql_expr_test: [{expr: 1, exp_samples: [{value: one}]}]}]
=== broken-yaml.yml
tests: [
=== broken-text.yml
some text
=== broken-rule-file.yml
rule_files: [rules/invalid.yml]
tests: [{promql_expr_test: [{expr: 1}]}]
=== broken-rule-file-key.yml
rule_files: [rules/unknown.yml]
tests: [{}]
=== broken-rule-file-is-a-test.yml
rule_files: ["broken-rule-file-is-a-*.yml"]
tests: [{}]
=== broken-pattern.yml
rule_files: ["rules/[a"]
=== broken-order.yml
group_eval_order: [a, a]
=== ours-start.yml
rule_files: [rules/up.yml]
tests:
- name: at a time
  start_timestamp: 2021-01-01T00:00:00Z
  input_series: [{series: up, values: 1 0x9}]
  promql_expr_test:
  - {expr: time(), eval_time: 1m, exp_samples: [{labels: '{}', value: 1609459260}]}
  - {expr: timestamp(up), eval_time: 2m, exp_samples: [{labels: '{}', value: 1609459320}]}
  - {expr: year(), exp_samples: [{labels: '{}', value: 2021}]}
  - {expr: 'up @ 1609459200', eval_time: 5m, exp_samples: [{labels: up, value: 1}]}
  - {expr: ALERTS_FOR_STATE, eval_time: 5m, exp_samples: [{labels: 'ALERTS_FOR_STATE{alertname="Down",severity="page"}', value: 1609459260}]}
  alert_rule_test:
  - {alertname: Down, eval_time: 2m}
  - {alertname: Down, eval_time: 3m, exp_alerts: [{exp_labels: {severity: page}, exp_annotations: {summary: " of  is down"}}]}
- name: in seconds
  start_timestamp: 1609459200
  promql_expr_test: [{expr: month(), exp_samples: [{labels: '{}', value: 1}]}]
- name: from the beginning
  promql_expr_test: [{expr: time(), eval_time: 1m, exp_samples: [{labels: '{}', value: 60}]}]
=== ours-experimental.yml
tests:
- input_series: [{series: a, values: 1x3}]
  promql_expr_test: [{expr: 'mad_over_time(a[3m])', eval_time: 3m, exp_samples: [{labels: '{}', value: 0}]}]
=== ours_fail-start.yml
tests: [{start_timestamp: 2021-01-01T00:00:00Z, promql_expr_test: [{expr: time(), exp_samples: [{labels: '{}', value: 0}]}]}]
=== ours_fail-start-is-no-time.yml
tests: [{start_timestamp: yesterday}]
END
}

write_files() {
    mkdir -p rules
    files | awk '/^=== / { close(file); file = $2; printf "" >file; next } { print >file }'
}

# --- results of the tools ------------------------------------------------------------------------

# Status, output and errors of a tool, without how long tests took, without the names of files, which promtool does not
# print, and without what is wrong with an expected histogram.
says() { # TOOL ARGUMENT...
    local said status
    said=$("$1" test rules "${@:2}" 2>&1)
    status=$?
    sed -E '/^Unit Testing: /d; s/took [0-9.]+(ms|µs|s)/took T/;
        s/(err: labels "[^"]*": [0-9:]+ parse error:).*/\1/' <<<"$said"
    echo "status $status"
}

agree() { # ARGUMENT...
    diff <(says "$promtool" "$@") <(says "$firekeep" "$@")
}

each_agrees() { # KIND [FLAG...]
    local file differ=0
    for file in "$1"-*.yml; do
        agree "${@:2}" "$file" && continue
        echo "$file: promtool and Firekeep differ"
        differ=$((differ + 1))
    done
    ((differ == 0))
}

# Says whether the status of each file is that of its kind.
judges() { # TOOL STATUS KIND WORDS [FLAG...]: all must have such words
    local file said bad=0
    for file in "$3"[-.]*; do
        said=$(says "$1" "${@:5}" "$file")
        [[ $said == *"status $2" && $said =~ $4 ]] && continue
        bad=$((bad + 1))
        echo "$file: $said"
    done
    ((bad == 0))
}

prints() { # STATUS EXPECTED ARGUMENT...
    local said status
    said=$("$firekeep" test rules "${@:3}" 2>&1)
    status=$?
    echo "status $status: $said"
    [[ $status == "$1" && $said == *"$2"* ]]
}

# --- hostile files -------------------------------------------------------------------------------

write_hostile() {
    mkdir -p hostile && cd hostile || return
    echo 'tests: [{interval: 1s, input_series: [{series: up, values: 1x1000000000}], promql_expr_test: [{expr: up, eval_time: 1h, exp_samples: [{labels: up, value: 1}]}]}]' >ok-repetitions.yml
    {
        printf 'rule_files: [many_rules]\ntests:\n- input_series:\n'
        seq -f '  - {series: up{i="%.0f"}, values: 1x3}' 100000 | sed "s/up{/'up{/; s/\"},/\"}',/" | sort -R --random-source=/dev/zero
        echo "  promql_expr_test: [{expr: count(copy), eval_time: 1m, exp_samples: [{labels: '{}', value: 100000}]}]"
    } >ok-100000-series.yml
    echo 'groups: [{name: a, rules: [{record: copy, expr: up}]}]' >many_rules
    : >ok-empty.yml
    echo 'tests: [{interval: 1ms, input_series: [{series: up, values: 1+1x100000000000}], promql_expr_test: [{expr: up, eval_time: 100d}]}]' >bad-samples.yml
    printf 'evaluation_interval: 1ms\ntests: [{promql_expr_test: [{expr: 1, eval_time: 100y}]}]\n' >bad-steps.yml
    { echo -n 'tests: '; head -c 1000000 /dev/zero | tr '\0' '['; } >bad-lists.yml
    head -c 1000000 /dev/zero | tr '\0' '{' >bad-mappings.yml
    seq -f '- &a%.0f x' 100000 >bad-anchors.yml
    echo 'tests: [&a {<<: *a}]' >bad-merge.yml
    printf 'tests: [{name: "a\0b"}]\n' >bad-nul.yml
    head -c 100 /dev/zero >bad-nuls.yml
    printf 'tests: [{name: \xff}]\n' >bad-utf8.yml
    echo 'rule_files: ["*.yml", "./*.yml", "../hostile/*"]' >bad-all.yml
    echo 'tests: [{}]' >>bad-all.yml
    head -c 17000000 /dev/zero | tr '\0' ' ' >long-file.yml
    mkdir -p long-directory.yml
}

# With less memory than it took before there were limits.
ends_well() { # STATUS KIND WORDS
    local file said status bad=0
    for file in "$2"-*; do
        said=$(ulimit -v 4000000 && "$firekeep" test rules "$file" 2>&1)
        status=$?
        [[ $status == "$1" && $said =~ $3 ]] && continue
        bad=$((bad + 1))
        echo "$file: status $status: ${said:0:500}"
    done
    ((bad == 0))
}

# The blocks of code in docs/rules.md as files: FIRST-LINE FILE...
write_examples() {
    local document=$1
    mkdir -p example/rules && shift
    while (($# > 0)); do
        awk -v first="$1" '
            /^    / { text = substr($0, 5); if (!inside) { inside = 1; wanted = text == first }; if (wanted) print text; next }
            /^$/ { if (wanted) print; next }
            { inside = wanted = 0 }' "$document" >"example/$2"
        shift 2
    done
}

says_what_the_document_says() {
    (cd example && "$firekeep" test rules node_test.yml 2>&1) | grep . >example/said
    grep . example/expected | diff - example/said
}

# --- claims --------------------------------------------------------------------------------------

mkdir "$work/files" && cd "$work/files" && write_files || exit 1
claim "tests that should pass do" judges "$firekeep" 0 pass SUCCESS
claim "tests that should fail do" judges "$firekeep" 1 fail FAILED
claim "what is wrong with a file is told with its place" judges "$firekeep" 1 broken '[a-z]\.yml:([0-9]+:[0-9]+| rule_files): '
# shellcheck disable=SC2016 # eval expands it
claim "groups are evaluated as they stand in the files" eval 'judges "$firekeep" 0 order_pass SUCCESS &&
    judges "$firekeep" 1 order_fail FAILED'
claim "a test begins at its start_timestamp" judges "$firekeep" 0 ours SUCCESS
claim "a start_timestamp is a time" judges "$firekeep" 1 ours_fail FAILED
claim "a series that cannot be read is told by name" prints 1 \
    $'broken-notation.yml:4:5: series \'down{a="b"}\': 1:17: parse error: unexpected' broken-notation.yml
claim "files after one that fails are tested" prints 1 $'pass-notation.yml\n  SUCCESS' \
    fail-fuzzy.yml broken-yaml.yml pass-notation.yml
claim "a missing file fails" prints 1 'cannot open missing.yml' missing.yml pass-null.yml
write_examples "$OLDPWD/docs/rules.md" 'groups:' rules/node.yml 'rule_files: [rules/node.yml]' node_test.yml \
    'Unit Testing:  node_test.yml' expected
claim "the example of the documentation fails as it is described" says_what_the_document_says
claim "unknown keys of rule files can be ignored" prints 0 SUCCESS --ignore-unknown-fields broken-rule-file-key.yml
claim "only tests that are named are run" prints 0 SUCCESS --run=good fail-second.yml
claim "--run may be given again" prints 1 'expr: "1"' --run=nothing --run='^ba' fail-second.yml
claim "a regular expression has to be one" prints 2 '--run' --run='(' fail-second.yml
claim "without a file the usage is told" prints 2 'missing FILE'
claim "features of a server can be enabled" prints 0 SUCCESS --query.features=delayed-name-removal fail-names.yml
if [[ ! -x $promtool ]]; then
    for name in "promtool judges these files as their names say" "promtool says the same of tests that pass" \
        "promtool says the same of tests that fail" "promtool says the same of several files" \
        "promtool selects the same tests" "promtool has the same feature" "promtool says the same of files made at random"; do
        skip "$name" "tests/peers/fetch gets promtool"
    done
else
    # shellcheck disable=SC2016 # eval expands it
    claim "promtool judges these files as their names say" eval 'judges "$promtool" 0 pass SUCCESS &&
        judges "$promtool" 1 fail FAILED && judges "$promtool" 1 broken FAILED && judges "$promtool" 1 ours FAILED'
    claim "promtool says the same of tests that pass" each_agrees pass
    claim "promtool says the same of tests that fail" each_agrees fail
    claim "promtool says the same of several files" agree pass-order.yml fail-second.yml fail-alerts.yml pass-null.yml
    claim "promtool selects the same tests" eval 'agree --run=o fail-second.yml && agree --run="^$" fail-second.yml &&
        agree --run=x --run="ba+d" fail-second.yml'
    claim "promtool has the same feature" judges "$promtool" 0 fail-names SUCCESS --enable-feature=promql-delayed-name-removal
    claim "promtool says the same of files made at random" "$compare" "$firekeep" "$promtool" "$work/random" 80 20240229
fi
write_hostile || exit 1
claim "large and empty files are tested" ends_well 0 ok SUCCESS
claim "hostile files end with an error and its place" ends_well 1 bad 'bad-[a-z0-9]+\.yml:[0-9]+:[0-9]+: '
claim "what is no file of tests is named" ends_well 1 long 'long-[a-z]+\.yml'
done_testing
