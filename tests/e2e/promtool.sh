#!/bin/bash
# promtool.sh - `check` and `test rules` judge the files of tests/promtool as the promtool of a real
# Prometheus 3: rule files, their unit tests, files for web.config.file, and configurations of rules
# and Alertmanagers. The same tests fail, with the same words. Hostile files end with an error that
# has a position.

. tests/lib.sh
promtool=$(realpath -m "$PEERS/promtool/usr/bin/promtool")
firekeep=$PWD/build/firekeep
root=$PWD
has_promtool=
[[ ! -x $promtool ]] || has_promtool=1

# Goes to a directory of the files of a list.
files_of() { # LIST DIRECTORY SUFFIX
    mkdir -p "$2/rules" && cd "$2" && awk -v suffix="$3" '/^=== / { close(file); file = $2 suffix; printf "" >file; next }
        file { print >file }' "$root/tests/promtool/$1.txt"
}

by_promtool() { # CLAIM COMMAND...: the claim begins with its name
    if [[ $has_promtool ]]; then claim "$@"; else skip "$1" "tests/peers/fetch gets promtool"; fi
}

# Says whether a command accepts (0) or refuses (1) all files of some kinds, with such words.
judges() { # STATUS KINDS WORDS COMMAND...
    local file said status count=0 bad=0
    for file in *.yml; do
        [[ $file =~ ^($2)[-.] ]] || continue
        count=$((count + 1))
        said=$("${@:4}" "$file" 2>&1)
        status=$?
        ((status == $1)) && [[ $said =~ $3 ]] && continue
        bad=$((bad + 1))
        echo "$file: status $status: ${said:0:500}"
    done
    ((count > 0 && bad == 0))
}

# --- rule files -------------------------------------------------------------------------------------

# Prints a tool's result for a file in numbers: its status, rules, duplicates, errors (of wrong-*).
numbers() { # TOOL FILE FLAG...
    local said status
    said=$("$1" check rules "${@:3}" "$2" 2>&1)
    status=$?
    echo "status $status"
    grep -oE 'SUCCESS: [0-9]+ rules|[0-9]+ duplicate rule' <<<"$said"
    [[ $2 != wrong-* ]] || echo "errors $(grep -cE "^ *$2:" <<<"$said")"
}

# Says whether both tools report the same for all files of some kinds.
agree() { # KINDS FLAG...
    local file differ=0
    for file in *.yml; do
        [[ $file =~ ^($1)- ]] || continue
        diff <(numbers "$firekeep" "$file" "${@:2}") <(numbers "$promtool" "$file" "${@:2}") && continue
        differ=$((differ + 1))
        echo "$file"
    done
    ((differ == 0))
}

on_terminal() {
    script -qec "'$firekeep' check rules" /dev/null </dev/null >said.txt
    local status=$?
    cat said.txt
    ((status == 2)) && grep -q 'missing FILE' said.txt
}

of_standard_input() {
    "$promtool" check rules <good-all-keys.yml | diff - <("$firekeep" check rules <good-all-keys.yml)
}

check=("$firekeep" check rules)
claim "the rules that come with Firekeep are right" says 'SUCCESS: ' 0 "${check[@]}" --lint-fatal docs/firekeep.rules.yml
claim "alerts about alerts come when they should" "$firekeep" test rules tests/rules/firekeep_rules_test.yml
by_promtool "promtool says so, too" "$promtool" test rules tests/rules/firekeep_rules_test.yml
files_of rule_files "$work/files" .yml || exit 1
claim "good files are accepted" judges 0 'good|twice' '' "${check[@]}"
claim "wrong files are refused" judges 1 'wrong|form|strict' '' "${check[@]}"
claim "rules are counted" says $'Checking good-all-keys.yml\n  SUCCESS: 3 rules found' 0 "${check[@]}" good-all-keys.yml
claim "an error is told with its place" says $'  FAILED:\n    form-unknown-of-rule.yml:1:49: unknown key \'foo\' in \'rules\'' 1 \
    "${check[@]}" form-unknown-of-rule.yml
claim "files after a wrong one are checked" says $'good-mark.yml\n  SUCCESS: 1 rules found' 1 "${check[@]}" form-tab.yml good-mark.yml
claim "a missing file fails" says 'cannot open missing.yml' 1 "${check[@]}" missing.yml good-mark.yml
claim "duplicate rules are told with their places" says 'twice-alert.yml:1:86: duplicate of the rule on line 1: b{c="d"}' 0 \
    "${check[@]}" twice-alert.yml
claim "duplicate rules are fatal if they are to be" says '  FAILED: 3 duplicate rule(s) found' 3 \
    "${check[@]}" --lint-fatal twice-many.yml good-mark.yml
claim "a wrong file is worse than duplicate rules" says FAILED 1 "${check[@]}" --lint-fatal twice-many.yml form-tab.yml
claim "duplicate rules need not be looked for" says 'SUCCESS: 2 rules found' 0 "${check[@]}" --lint=none --lint-fatal twice-two.yml
claim "unknown keys can be ignored" says 'SUCCESS: 1 rules found' 0 "${check[@]}" --ignore-unknown-fields form-unknown-of-rule.yml
claim "on a terminal without a file the usage is told" on_terminal
claim "standard input is read for -, among files" says \
    $'good-mark.yml\n  SUCCESS: 1 rules found\n\nChecking standard input\n  FAILED:\n    standard input:1:49: unknown key' 1 \
    "${check[@]}" good-mark.yml - <form-unknown-of-rule.yml
claim "standard input that cannot be read fails" says 'cannot read standard input: ' 1 "${check[@]}" <.
claim "standard input has a limit" says 'standard input: must be at most 16384 KiB' 1 "${check[@]}" \
    < <(head -c 17000000 /dev/zero | tr '\0' '#')
rmdir rules && printf 'web:\n  listen_address: 127.0.0.1:1\n' >rules
claim "a configuration file may be named rules" says './rules: ok' 0 "$firekeep" check ./rules
by_promtool "promtool judges these files as the names say" judges 0 'good|twice|strict' '' "$promtool" check rules
by_promtool "promtool finds the same in good and wrong files" agree 'good|twice|wrong|form'
by_promtool "promtool says the same of duplicate rules that are fatal" agree 'twice' --lint-fatal
by_promtool "promtool says the same without lint" agree 'twice' --lint=none
by_promtool "promtool ignores the same unknown keys" agree 'form' --ignore-unknown-fields
by_promtool "promtool reads standard input, too" of_standard_input

# --- unit tests of rules ----------------------------------------------------------------------------

# Status, output and errors of a tool, without how long tests took, without the names of files, which promtool does not
# print, and without what is wrong with an expected histogram.
told() { # TOOL ARGUMENT...
    local said status
    said=$("$1" test rules "${@:2}" 2>&1)
    status=$?
    sed -E '/^Unit Testing: /d; s/took [0-9.]+(ms|µs|s)/took T/;
        s/(err: labels "[^"]*": [0-9:]+ parse error:).*/\1/' <<<"$said"
    echo "status $status"
}

same_tests() { # ARGUMENT...
    diff <(told "$promtool" "$@") <(told "$firekeep" "$@")
}

each_agrees() { # KIND
    local file differ=0
    for file in "$1"-*.yml; do
        same_tests "$file" && continue
        echo "$file: promtool and Firekeep differ"
        differ=$((differ + 1))
    done
    ((differ == 0))
}

write_hostile() {
    mkdir -p hostile && cd hostile || return
    echo 'tests: [{interval: 1s, input_series: [{series: up, values: 1x1000000000}], promql_expr_test: [{expr: up, eval_time: 1h, exp_samples: [{labels: up, value: 1}]}]}]' >ok-repetitions.yml
    {
        printf 'rule_files: [many_rules]\ntests:\n- input_series:\n'
        seq -f '  - {series: up{i="%.0f"}, values: 1x3}' 20000 | sed "s/up{/'up{/; s/\"},/\"}',/" | sort -R --random-source=/dev/zero
        echo "  promql_expr_test: [{expr: count(copy), eval_time: 1m, exp_samples: [{labels: '{}', value: 20000}]}]"
    } >ok-20000-series.yml
    echo 'groups: [{name: a, rules: [{record: copy, expr: up}]}]' >many_rules
    : >ok-empty.yml
    echo 'tests: [{interval: 1ms, input_series: [{series: up, values: 1+1x100000000000}], promql_expr_test: [{expr: up, eval_time: 100d}]}]' >bad-samples.yml
    printf 'evaluation_interval: 1ms\ntests: [{promql_expr_test: [{expr: 1, eval_time: 100y}]}]\n' >bad-steps.yml
    { echo -n 'tests: '; head -c 100000 /dev/zero | tr '\0' '['; } >bad-lists.yml
    head -c 100000 /dev/zero | tr '\0' '{' >bad-mappings.yml
    seq -f '- &a%.0f x' 20000 >bad-anchors.yml
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
little_memory() { # COMMAND...
    (ulimit -v 4000000 && "$@")
}

# The blocks of code in docs/rules.md as files: FIRST-LINE FILE...
write_examples() {
    mkdir -p example/rules
    while (($# > 0)); do
        awk -v first="$1" '
            /^    / { text = substr($0, 5); if (!inside) { inside = 1; wanted = text == first }; if (wanted) print text; next }
            /^$/ { if (wanted) print; next }
            { inside = wanted = 0 }' "$root/docs/rules.md" >"example/$2"
        shift 2
    done
}

says_what_the_document_says() {
    write_examples 'groups:' rules/node.yml 'rule_files: [rules/node.yml]' node_test.yml 'Unit Testing:  node_test.yml' expected
    (cd example && "$firekeep" test rules node_test.yml 2>&1) | grep . >example/said
    grep . example/expected | diff - example/said
}

selects_the_same() {
    same_tests --run=o fail-second.yml && same_tests --run='^$' fail-second.yml && same_tests --run=x --run='ba+d' fail-second.yml
}

test=("$firekeep" test rules)
files_of rule_tests "$work/tests" '' || exit 1
claim "tests that should pass do" judges 0 pass SUCCESS "${test[@]}"
claim "tests that should fail do" judges 1 fail FAILED "${test[@]}"
claim "what is wrong with a file is told with its place" judges 1 broken '[a-z]\.yml:([0-9]+:[0-9]+| rule_files): ' "${test[@]}"
claim "groups are evaluated as they stand in the files" judges 0 order_pass SUCCESS "${test[@]}"
claim "so they are if that fails a test" judges 1 order_fail FAILED "${test[@]}"
claim "a test begins at its start_timestamp" judges 0 ours SUCCESS "${test[@]}"
claim "a start_timestamp is a time" judges 1 ours_fail FAILED "${test[@]}"
claim "a series that cannot be read is told by name" says \
    $'broken-notation.yml:4:5: series \'down{a="b"}\': 1:17: parse error: unexpected' 1 "${test[@]}" broken-notation.yml
claim "files after one that fails are tested" says $'pass-notation.yml\n  SUCCESS' 1 \
    "${test[@]}" fail-fuzzy.yml broken-yaml.yml pass-notation.yml
claim "a missing file of tests fails" says 'cannot open missing.yml' 1 "${test[@]}" missing.yml pass-null.yml
claim "the example of the documentation fails as it is described" says_what_the_document_says
claim "unknown keys of rule files can be ignored" says SUCCESS 0 "${test[@]}" --ignore-unknown-fields broken-rule-file-key.yml
claim "only tests that are named are run" says SUCCESS 0 "${test[@]}" --run=good fail-second.yml
claim "--run may be given again" says 'expr: "1"' 1 "${test[@]}" --run=nothing --run='^ba' fail-second.yml
claim "a regular expression has to be one" says '--run' 2 "${test[@]}" --run='(' fail-second.yml
claim "without a file the usage is told" says 'missing FILE' 2 "${test[@]}"
claim "features of a server can be enabled" says SUCCESS 0 "${test[@]}" --query.features=delayed-name-removal fail-names.yml
by_promtool "promtool passes what should pass" judges 0 pass SUCCESS "$promtool" test rules
by_promtool "promtool fails the others" judges 1 'broken|ours' FAILED "$promtool" test rules
by_promtool "promtool says the same of tests that pass" each_agrees pass
by_promtool "promtool says the same of tests that fail" each_agrees fail
by_promtool "promtool says the same of several files" same_tests pass-order.yml fail-second.yml fail-alerts.yml pass-null.yml
by_promtool "promtool selects the same tests" selects_the_same
by_promtool "promtool has the same feature" judges 0 fail-names SUCCESS \
    "$promtool" test rules --enable-feature=promql-delayed-name-removal
by_promtool "promtool says the same of files made at random" "$root/tests/rules/compare_rule_tests.py" "$firekeep" "$promtool" \
    "$work/random" 40 20240229
write_hostile || exit 1
claim "large and empty files are tested" judges 0 ok SUCCESS little_memory "${test[@]}"
claim "hostile files end with an error and its place" judges 1 bad 'bad-[a-z0-9]+\.yml:[0-9]+:[0-9]+: ' little_memory "${test[@]}"
claim "what is no file of tests is named" judges 1 long 'long-[a-z]+\.yml' little_memory "${test[@]}"

# --- files for web.config.file ----------------------------------------------------------------------

write_web_files() {
    files_of web_files "$work/web" .yml && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj /CN=localhost -keyout server.key -out server.crt -days 2 2>/dev/null
}

check_web() { # FILE
    printf 'web: {config_file: %s}\n' "$1" >"${1%.yml}.conf" && "$firekeep" check "${1%.yml}.conf"
}

claim "web files and a certificate can be made" write_web_files || skip_all "web files" "no openssl"
claim "good web files are accepted" judges 0 'good|loose' '' check_web
claim "wrong web files are refused" judges 1 'wrong|strict' '' check_web
claim "an error has its place in the web file" says \
    'wrong-hash.yml:1:27: basic_auth_users: unknown kind of password hash: expected bcrypt' 1 check_web wrong-hash.yml
claim "users are counted" says 'good-all-keys.conf: ok, 2 users' 0 check_web good-all-keys.yml
claim "suites without forward secrecy are warned of" says \
    'warning: tls_server_config: TLS_RSA_WITH_AES_128_GCM_SHA256 has no forward secrecy' 0 check_web loose-no-forward-secrecy.yml
claim "names that are ignored are warned of" says \
    'warning: tls_server_config: X25519MLKEM768 is not supported and is ignored' 0 check_web loose-new-curve.yml
claim "a section without a certificate is warned of" says \
    'warning: tls_server_config: there is no certificate, and so no TLS' 0 check_web good-versions-alone.yml
by_promtool "promtool accepts the same web files" judges 0 'good|strict' '' "$promtool" check web-config
by_promtool "promtool refuses the same web files" judges 1 'wrong|loose' '' "$promtool" check web-config

# --- configurations ---------------------------------------------------------------------------------

# Lines that begin with '-' are refused, too.
write_configurations() {
    mkdir -p "$work/configurations" && cd "$work/configurations" || return
    grep -v '^#' "$root/tests/promtool/configurations.txt" | awk '{ kind = sub(/^-/, "") ? "wrong" : "good"; print >(kind "-" NR ".yml") }'
}

write_configurations
claim "keys of Prometheus are accepted" judges 0 good '' "$firekeep" check
claim "wrong ones are refused" judges 1 wrong '' "$firekeep" check
by_promtool "promtool accepts these keys" judges 0 good '' "$promtool" check config
by_promtool "promtool refuses the wrong ones" judges 1 wrong '' "$promtool" check config
done_testing
