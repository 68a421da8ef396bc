#!/bin/bash
# rules_check.sh - `check rules` finds the same in rule files as the promtool of a real Prometheus
# 3: the same exit status, the same numbers of rules, of errors and of duplicate rules.

. tests/lib.sh
promtool=$(realpath -m "$PEERS/promtool/usr/bin/promtool")
firekeep=$PWD/build/firekeep

# Writes files with these names: good, twice (with duplicate rules), wrong (valid YAML, all errors
# are reported), form (the first error ends reading), strict (only Firekeep refuses it).
files() {
    cat <<'END'
=== good-nothing
=== good-comment
# nothing
=== good-null
~
=== good-groups-null
groups:
=== good-all-keys
groups:
- name: node
  interval: 1m30s
  limit: 10
  query_offset: 10s
  labels: {team: infra}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {source: rules}
  - alert: NodeDown
    expr: |
      up{job="node"}
        == 0
    for: 5m
    keep_firing_for: 1h
    labels: {severity: page, "a b": c, alertname: d, __foo__: e}
    annotations:
      summary: >-
        {{ $labels.instance }}
        is {{ $value | humanize }}
- name: empty
- name: web
  rules:
  - {record: web, expr: "rate(requests_total[5m])"}
=== good-nulls
groups: [~, {name: a, limit: , labels: , interval: , query_offset: ~, rules: [~,
  {record: a, alert: , expr: 1, for: , labels: ~, annotations: }]}]
=== good-scalars
groups: [{name: true, interval: 0, rules: [{record: 1, expr: 0x1F, labels: {a: 1, b: true, 1: ~}}]}]
=== good-durations
groups: [{name: a, interval: 1y2w3d4h5m6s7ms}, {name: b, interval: 292y}, {name: c, interval: "5m"}]
=== good-zero
groups: [{name: a, rules: [{record: a, expr: 1, for: 0s, keep_firing_for: 0, annotations: {}}]}]
=== good-names
groups: [{name: a b, rules: [{record: "9 é", expr: 1}, {alert: "a b", expr: 1, annotations: {"c d": e}}]}]
=== good-template-of-recording
groups: [{name: a, rules: [{record: a, expr: 1, labels: {b: "{{ foo }}"}}]}]
=== good-types
groups: [{name: a, rules: [{record: a, expr: "up[5m]"}, {alert: a, expr: '"text"'}, {record: b, expr: up}]}]
=== good-mark
groups: [{name: a, rules: [{record: a, expr: up, labels: {b: "é"}}]}]
=== good-anchor
groups: [{name: &x a, rules: [{record: *x, expr: up}]}]
=== good-merge
groups:
- name: a
  rules:
  - &down {alert: Down, expr: up == 0, for: &five 5m, labels: &page {severity: page, team: a}}
  - {alert: DownLong, <<: *down, for: 1h, keep_firing_for: *five, labels: {<<: *page, team: b}}
- {name: b, rules: [*down, {<<: [{expr: b}, {expr: c, record: d}]}]}
=== form-merge
groups: [{name: a, rules: [{record: a, expr: up, <<: b}]}]
=== form-alias
groups: [{name: a, rules: [{record: a, expr: *b}]}]
=== twice-two
groups: [{name: a, rules: [{record: b, expr: up}, {record: b, expr: down}]}]
=== twice-many
groups:
- name: a
  labels: {g: a}
  rules:
  - {record: b, expr: up}
  - {record: b, expr: up}
  - {record: b, expr: up}
  - {record: a, expr: up}
  - {record: c, expr: up, labels: {x: "1", a: "2"}}
- name: b
  labels: {g: b}
  rules:
  - {record: c, expr: up, labels: {a: "2", x: "1", g: a}}
  - {record: a, expr: up}
  - {alert: a, expr: up, labels: {g: b}}
=== twice-alert
groups: [{name: a, rules: [{alert: b, expr: up, labels: {c: d}}]}, {name: b, rules: [{record: b, expr: up, labels: {c: d}}]}]
=== wrong-names-of-groups
groups: [{interval: 1m}, {name: a}, {name: a}, {name: a}]
=== wrong-name-empty
groups: [{name: "", rules: [{record: a, expr: up}]}]
=== wrong-kind
groups: [{name: a, rules: [{expr: up}, {record: a, alert: b, expr: up}, {record: "", alert: "", expr: up}]}]
=== wrong-expressions
groups:
- name: a
  rules:
  - {record: a, expr: "sum("}
  - {record: b}
  - {record: c, expr: }
  - {record: d, expr: ""}
  - {alert: e, expr: "up == "}
  - {alert: f, expr: 'rate(up)'}
  - {alert: g, expr: ' '}
=== wrong-keys-of-recording
groups: [{name: a, rules: [{record: a, expr: up, for: 1m, keep_firing_for: 1m, annotations: {b: c}}]}]
=== wrong-braces
groups: [{name: a, rules: [{record: 'a{b="c"}', expr: up}, {record: "b}", expr: up}, {record: "{", expr: up}]}]
=== wrong-labels
groups:
- name: a
  labels: {__name__: a, "": b}
  rules:
  - {record: a, expr: up, labels: {__name__: b, "": c}}
  - {alert: a, expr: up, labels: {__name__: b, "": c}, annotations: {"": d}}
=== wrong-templates
groups: [{name: a, rules: [{alert: b, expr: up, labels: {c: "{{ foo }}", d: "{{ $labels.x }}"}, annotations: {e: "{{ if }}", f: "{{"}}]}]
=== form-root-list
[]
=== form-root-text
x
=== form-groups-mapping
groups: {a: b}
=== form-group-text
groups: [a]
=== form-rules-mapping
groups: [{name: a, rules: {a: b}}]
=== form-rule-text
groups: [{name: a, rules: [b]}]
=== form-labels-list
groups: [{name: a, labels: [b]}]
=== form-label-mapping
groups: [{name: a, labels: {b: {}}}]
=== form-expression-list
groups: [{name: a, rules: [{record: a, expr: [1]}]}]
=== form-unknown-of-file
foo: 1
=== form-unknown-of-group
groups: [{name: a, foo: {a: [b]}}]
=== form-unknown-of-rule
groups: [{name: a, rules: [{record: a, expr: 1, foo: 1}]}]
=== form-key-twice
groups: [{name: a, name: b}]
=== form-label-twice
groups: [{name: a, labels: {a: b, a: c}}]
=== form-tab
groups:
	- name: a
=== form-limit
groups: [{name: a, limit: "10"}]
=== form-duration-unit
groups: [{name: a, interval: 5}]
=== form-duration-empty
groups: [{name: a, interval: ""}]
=== form-duration-negative
groups: [{name: a, query_offset: -5m}]
=== form-duration-order
groups: [{name: a, rules: [{alert: a, expr: up, for: 5s1m}]}]
=== form-duration-fraction
groups: [{name: a, rules: [{alert: a, expr: up, keep_firing_for: 1.5m}]}]
=== form-duration-long
groups: [{name: a, interval: 300y}]
=== strict-tag
groups: [{name: !!str a}]
=== strict-documents
groups: []
---
groups: []
=== strict-limit-negative
groups: [{name: a, limit: -1}]
=== strict-limit-float
groups: [{name: a, limit: 1e3}]
=== strict-nul
groups: [{name: a, labels: {a: "x\0y"}}]
=== strict-null-name
groups: [{name: a, labels: {~: x}}]
END
}

rules_of() { # DIRECTORY
    local dir=$1
    mkdir -p "$dir"
    files | awk -v dir="$dir" '/^=== / { close(file); file = dir "/" $2 ".yml"; printf "" >file; next }
        { print >file }'
}

# Prints a tool's result for a file in numbers: its status, rules, duplicates, errors (only for
# wrong-*).
numbers() { # TOOL FILE FLAG...
    local tool=$1 file=$2 said status
    shift 2
    said=$("$tool" check rules "$@" "$file" 2>&1)
    status=$?
    echo "status $status"
    grep -oE 'SUCCESS: [0-9]+ rules|[0-9]+ duplicate rule' <<<"$said"
    [[ $file != wrong-* ]] || echo "errors $(grep -cE "^ *$file:" <<<"$said")"
}

# Says whether both tools report the same for all files of some kinds.
agree() { # KINDS FLAG...
    local kinds=$1 file ours theirs count=0 differ=0
    shift
    for file in *.yml; do
        [[ $file =~ ^($kinds)- ]] || continue
        count=$((count + 1))
        ours=$(numbers "$firekeep" "$file" "$@")
        theirs=$(numbers "$promtool" "$file" "$@")
        [[ $ours == "$theirs" ]] && continue
        differ=$((differ + 1))
        echo "$file: ours ${ours//$'\n'/, }; theirs ${theirs//$'\n'/, }"
    done
    ((count > 0 && differ == 0))
}

# Says whether the status is that of the file's kind.
judges() { # TOOL STATUS KINDS
    local file status bad=0
    for file in *.yml; do
        [[ $file =~ ^($3)- ]] || continue
        "$1" check rules "$file" >/dev/null 2>&1
        status=$?
        ((status == $2)) && continue
        bad=$((bad + 1))
        echo "$file: status $status"
    done
    ((bad == 0))
}

prints() { # STATUS EXPECTED ARGUMENT...
    local said status
    said=$("$firekeep" check "${@:3}" 2>&1)
    status=$?
    echo "status $status: $said"
    [[ $status == "$1" && $said == *"$2"* ]]
}

test_rules() { # TOOL
    "$1" test rules tests/rules/firekeep_rules_test.yml
}

claim "the rules that come with Firekeep are right" prints 0 'SUCCESS: ' \
    rules --lint-fatal docs/firekeep.rules.yml
claim "alerts about alerts come when they should" test_rules build/firekeep
if [[ -x $promtool ]]; then
    claim "promtool says so, too" test_rules "$promtool"
else
    skip "promtool says so, too" "tests/peers/fetch gets promtool"
fi
rules_of "$work/files"
cd "$work/files" || exit 1
printf 'web:\n  listen_address: 127.0.0.1:1\n' >rules

claim "good files are accepted" judges "$firekeep" 0 'good|twice'
claim "wrong files are refused" judges "$firekeep" 1 'wrong|form|strict'
claim "rules are counted" prints 0 $'Checking good-all-keys.yml\n  SUCCESS: 3 rules found' \
    rules good-all-keys.yml
claim "an error is told with its place" prints 1 \
    $'  FAILED:\n    form-unknown-of-rule.yml:1:49: unknown key \'foo\' in \'rules\'' \
    rules form-unknown-of-rule.yml
claim "files after a wrong one are checked" prints 1 $'good-mark.yml\n  SUCCESS: 1 rules found' \
    rules form-tab.yml good-mark.yml
claim "a missing file fails" prints 1 'cannot open missing.yml' rules missing.yml good-mark.yml
claim "duplicate rules are told with their places" prints 0 \
    'twice-alert.yml:1:86: duplicate of the rule on line 1: b{c="d"}' rules twice-alert.yml
claim "duplicate rules are fatal if they are to be" prints 3 '  FAILED: 3 duplicate rule(s) found' \
    rules --lint-fatal twice-many.yml good-mark.yml
claim "a wrong file is worse than duplicate rules" prints 1 'FAILED' \
    rules --lint-fatal twice-many.yml form-tab.yml
claim "duplicate rules need not be looked for" prints 0 'SUCCESS: 2 rules found' \
    rules --lint=none --lint-fatal twice-two.yml
claim "unknown keys can be ignored" prints 0 'SUCCESS: 1 rules found' \
    rules --ignore-unknown-fields form-unknown-of-rule.yml
on_terminal() {
    script -qec "'$firekeep' check rules" /dev/null </dev/null >said.txt
    local status=$?
    cat said.txt
    ((status == 2)) && grep -q 'missing FILE' said.txt
}
claim "on a terminal without a file the usage is told" on_terminal
claim "without a file standard input is read" prints 0 $'Checking standard input\n  SUCCESS: 3 rules found' \
    rules <good-all-keys.yml
claim "so it is for -, among files" prints 1 \
    $'good-mark.yml\n  SUCCESS: 1 rules found\n\nChecking standard input\n  FAILED:\n    standard input:1:49: unknown key' \
    rules good-mark.yml - <form-unknown-of-rule.yml
claim "standard input that cannot be read fails" prints 1 'cannot read standard input: ' rules <.
claim "standard input has a limit" prints 1 'standard input: must be at most 16384 KiB' rules \
    < <(head -c 17000000 /dev/zero | tr '\0' '#')
claim "a configuration file may be named rules" prints 0 './rules: ok' ./rules
if [[ ! -x $promtool ]]; then
    for name in "promtool judges these files as the names say" \
        "promtool finds the same in good and wrong files" \
        "promtool says the same of duplicate rules that are fatal" \
        "promtool says the same without lint" \
        "promtool ignores the same unknown keys" "promtool reads standard input, too"; do
        skip "$name" "tests/peers/fetch gets promtool"
    done
else
    claim "promtool judges these files as the names say" judges "$promtool" 0 'good|twice|strict'
    claim "promtool finds the same in good and wrong files" agree 'good|twice|wrong|form'
    claim "promtool says the same of duplicate rules that are fatal" \
        agree 'good|twice|wrong' --lint-fatal
    claim "promtool says the same without lint" agree 'good|twice' --lint=none
    claim "promtool ignores the same unknown keys" agree 'form' --ignore-unknown-fields
    of_promtool() {
        "$promtool" check rules <good-all-keys.yml | diff - <("$firekeep" check rules <good-all-keys.yml)
    }
    claim "promtool reads standard input, too" of_promtool
fi
done_testing
