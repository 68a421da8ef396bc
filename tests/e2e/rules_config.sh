#!/bin/bash
# rules_config.sh - rules and Alertmanagers in a configuration file: checked with the rule files
# that it names, and shown by a server without secrets. promtool.sh has the keys of Prometheus.

. tests/lib.sh
firekeep=$PWD/build/firekeep
port=$(free_ports 1)
url=http://127.0.0.1:$port

prints() { # STATUS EXPECTED COMMAND...
    local said status
    said=$("${@:3}" 2>&1)
    status=$?
    echo "status $status: $said"
    [[ $status == "$1" && $said == *"$2"* ]]
}

lacks() { # TEXT FILE
    ! grep -F -- "$1" "$2"
}

# --- a file and the rule files that it names ----------------------------------------------------------

mkdir -p "$work/conf/rules"
cat >"$work/conf/rules/good.yml" <<'END'
groups:
- name: good
  rules:
  - {record: job:up:sum, expr: sum by (job) (up)}
  - {alert: Down, expr: up == 0, for: 5m}
END
cat >"$work/conf/firekeep.yml" <<'END'
rule_files: ['rules/*.yml', 'more*.yml']
global:
  evaluation_interval: 15s
  external_labels: {site: one}
alerting:
  queue_capacity: 500
  alert_relabel_configs: [{action: labeldrop, regex: replica}]
  alertmanagers:
  - static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]
    basic_auth: {username: u, password: hush1}
    http_headers: {X-Scope: {values: [a, b], secrets: [hush2]}}
  - file_sd_configs: [{files: [am/*.json]}]
    authorization: {credentials: hush3}
END
conf=$work/conf/firekeep.yml
claim "check: rules and Alertmanagers are counted" prints 0 \
    "$conf: ok, 2 Alertmanagers, 1 rule file with 2 rules" "$firekeep" check "$conf"
claim "check: a pattern without files is a warning" prints 0 \
    "warning: no rule file matches $work/conf/more*.yml" "$firekeep" check "$conf"
printf 'groups:\n- name: bad\n  rules: [{record: a, expr: "sum("}, {expr: up}]\n' >"$work/conf/more.yml"
printf 'groups: [{nam: x}]\n' >"$work/conf/more2.yml"
for expected in "more.yml:3:29: group 'bad', rule 1 'a': invalid expression: " \
    "more.yml:3:38: group 'bad', rule 2: 'record' or 'alert' is required" \
    "more2.yml:1:11: unknown key 'nam' in 'groups'; did you mean 'name'?"; do
    claim "check: told of rule files: ${expected%%:*}, ${expected##*: }" prints 1 "$expected" \
        "$firekeep" check "$conf"
done
rm "$work/conf/more.yml" "$work/conf/more2.yml"
sed 's/more\*/more/' "$conf" >"$work/conf/missing.yml"
claim "check: a missing rule file is an error" prints 1 "rule file not found: $work/conf/more.yml" \
    "$firekeep" check "$work/conf/missing.yml"
sed 's/authorization/bearer_token: x, authorization/' "$conf" >"$work/conf/wrong.yml"

# --- a server -----------------------------------------------------------------------------------------

shown() {
    curl -s "$url/api/v1/status/config" | jq -r .data.yaml >"$work/shown.yml"
}

hangup() { # PATTERN-IN-LOG
    local lines
    lines=$(wc -l <"$work/server.log")
    kill -HUP "${pids[$(_index_of server)]}"
    within 20 eval "tail -n +$((lines + 1)) '$work/server.log' | grep -q -- '$1'" || {
        tail -n +$((lines + 1)) "$work/server.log"
        return 1
    }
}

cp "$conf" "$work/served.yml"
sed -i "s|rules/|$work/conf/rules/|; s|more\*|$work/conf/more*|" "$work/served.yml"
claim "serve: starts" start_firekeep server "$work/data" "$port" --config.file="$work/served.yml"
claim "serve: the configuration is shown" shown
for expected in 'evaluation_interval: 15s' '"site": "one"' 'queue_capacity: 500' '"127.0.0.1:2"' \
    'credentials: <secret>' 'rule_files:' "\"$work/conf/rules/\*.yml\""; do
    claim "serve: shown: ${expected/$work/}" grep "$expected" "$work/shown.yml"
done
claim "serve: no secret is shown" lacks hush "$work/shown.yml"
claim "serve: what is shown is a configuration file" prints 0 '2 Alertmanagers, 1 rule file with 2 rules' \
    "$firekeep" check "$work/shown.yml"
cp "$work/served.yml" "$work/kept.yml"
sed 's/authorization:/bearer_token:/' "$work/kept.yml" >"$work/served.yml"
claim "reload: a wrong Alertmanager is refused" hangup \
    'reload failed.*served.yml:13:5: .bearer_token. is not supported'
lacks_warning() { # FILE
    "$firekeep" check "$1" >"$work/said.txt" 2>&1 && lacks warning "$work/said.txt"
}
shows() { # TEXT...
    local text
    shown || return 1
    for text; do
        grep -F -- "$text" "$work/shown.yml" || return 1
    done
}
claim "reload: the old one stays" shows 'credentials: <secret>' '"one"'
sed 's/site: one/site: three/; s/127.0.0.1:2/127.0.0.1:3/' "$work/kept.yml" >"$work/served.yml"
claim "reload: another is taken" hangup 'configuration reloaded'
claim "check: tenants whose alerts cannot be told apart are a warning" prints 0 'without alerting.tenant_label, equal alerts' \
    "$firekeep" check <(echo "{tenancy: {enabled: true}, alerting: {alertmanagers: [{static_configs: [{targets: [a]}]}]}}")
claim "check: with a label they can" lacks_warning \
    <(echo "{tenancy: {enabled: true}, alerting: {tenant_label: t, alertmanagers: [{static_configs: [{targets: [a]}]}]}}")
claim "check: an Alertmanager that nothing finds members of is a warning" prints 0 \
    'the Alertmanager on line 1 has no targets and no discovery' \
    "$firekeep" check <(echo "{alerting: {alertmanagers: [{static_configs: [{targets: []}]}]}}")
claim "check: one with a discovery is none" lacks_warning <(echo "{alerting: {alertmanagers: [{dns_sd_configs: [{names: [a]}]}]}}")
claim "check: an environment variable that is not set is a warning" prints 0 'environment variable NO_SUCH is not set' \
    env -u NO_SUCH "$firekeep" check <(echo 'global: {external_labels: {host: "${NO_SUCH}"}}')
claim "check: one that is set is none" lacks_warning <(echo 'global: {external_labels: {host: "$HOME"}}')
claim "reload: it is shown" shows '"three"' 127.0.0.1:3
claim "serve: SIGTERM ends it with status 0" stop server

# --- nothing is stored --------------------------------------------------------------------------------

lacking() { # KEYS
    printf 'storage: {mode: none}\nrule_files: [%s/conf/rules/*.yml]\n%s\n' "$work" "$1" >"$work/served.yml"
}
warns() { # EXPECTED: a warning; empty: none
    "$firekeep" check "$work/served.yml" 2>&1 | tee "$work/said.txt"
    if [[ -n $1 ]]; then grep -q "^warning: $1" "$work/said.txt"; else lacks warning "$work/said.txt"; fi
}
source="sources: [{name: s, type: remote_read, url: 'http://127.0.0.1:1/api/v1/read'}]"
destination="destinations: [{name: d, type: remote_write, url: 'http://127.0.0.1:1/api/v1/write'}]"
lost='results of rules are lost: storage.mode is not local, and no destination is configured'
unread='no rule can be evaluated: storage.mode is not local, and there is no source to read'
lacking "$source"$'\n'"$destination"
claim "storage.mode none: with a source and a destination there is no warning" warns ''
claim "storage.mode none: the server starts" start_firekeep server "$work/none" "$port" --config.file="$work/served.yml"
claim "storage.mode none: nor does the server warn" lacks 'rules do not work' "$work/server.log"
lacking "$source"
claim "storage.mode none: without a destination, check warns" warns "$lost"
claim "storage.mode none: without a destination, a reload warns" \
    hangup "level=warn msg=\"rules do not work as configured\" groups=1 why=\"$lost\""
lacking "$destination"
claim "storage.mode none: without a source, check warns" warns "$unread"
claim "storage.mode none: without a source, a reload warns" hangup "groups=1 why=\"$unread\""
claim "storage.mode none: the server stops" stop server
claim "storage.mode none: it starts again" start_firekeep server "$work/none" "$port" --config.file="$work/served.yml"
claim "storage.mode none: a start warns, too" grep "groups=1 why=\"$unread\"" "$work/server.log"
sed -i '/rule_files/d' "$work/served.yml"
claim "storage.mode none: without rules there is no warning" warns ''
claim "storage.mode none: SIGTERM ends it with status 0" stop server
done_testing
