#!/bin/bash
# ruler_api.sh - rules are changed through the ruler API of Mimir and Cortex with the requests of
# mimirtool, cortextool and Grafana: they take effect at once, and remain after kill -9, restarts,
# reloads and damage.

. tests/lib.sh
firekeep=$PWD/build/firekeep
port=$(free_ports 1)
url=http://127.0.0.1:$port
files=$work/files
mkdir -p "$files"

client() { # [--tenant NAME] CLIENT COMMAND [ARGUMENT...]
    local tenant=()
    [[ $1 != --tenant ]] || { tenant=("$1" "$2"); shift 2; }
    case $1 in
    grafana) python3 tests/tools/ruler_clients.py "${tenant[@]}" "${base:-$url/prometheus}" "$@" ;;
    *) python3 tests/tools/ruler_clients.py "${tenant[@]}" "$url" "$@" ;;
    esac
}

says() { # STATUS TEXT COMMAND...
    local said status
    said=$("${@:3}" 2>&1)
    status=$?
    echo "status $status: $said"
    [[ $status == "$1" && $said == *"$2"* ]]
}

says_all() { # TEXT COMMAND...: exactly that
    local said
    said=$("${@:2}" 2>&1)
    echo "said: $said"
    [[ $said == "$1" ]]
}

answers() { # STATUS TEXT CURL-ARGUMENT...: the last line of the output is the status
    local said
    said=$(curl -s -m 20 -w '\n%{http_code}' "${@:3}")
    echo "$said"
    [[ ${said##*$'\n'} == "$1" && ${said%$'\n'*} == *"$2"* ]]
}

group() { # NAME EXPRESSION: a group of one rule
    printf 'name: "%s"\nrules: [{record: "r:%s", expr: "%s"}]\n' "$1" "$1" "$2"
}

post() { # STATUS TEXT NAMESPACE-AS-SENT BODY [CURL-ARGUMENT...]
    answers "$1" "$2" -X POST -H 'Content-Type: application/yaml' --data-binary "$4" "${@:5}" \
        "$url/prometheus/config/v1/rules/$3"
}

metric_is() { # NAME VALUE
    "$TOOLS/get" "$url/metrics" | grep -Fx "$1 $2" || {
        "$TOOLS/get" "$url/metrics" | grep stored_rules
        return 1
    }
}

# Prints the evaluated rules, one per line: FILE | GROUP | RULE | HEALTH.
evaluated() {
    curl -s "$@" "$url/prometheus/api/v1/rules" |
        jq -r '.data.groups[] | .file as $f | .name as $g | .rules[] | "\($f) | \($g) | \(.name) | \(.health)"'
}

# Prints the group whose interval is a minute, without its health.
slow_ones_without_health() {
    evaluated | sed '/^node | node /s/ | [a-z]*$//'
}

serve() { # [ARGUMENT...]
    start_firekeep server "$work/data" "$port" --config.file="$work/conf.yml" --rules.api "$@"
}

in_log() { # PATTERN
    grep -q -- "$1" "$work/server.log" || {
        tail -n 5 "$work/server.log"
        return 1
    }
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

# --- files of rules ---------------------------------------------------------------------------------

cat >"$files/node.yml" <<'END'
groups:
- name: node
  interval: 60s
  rules:
  - {record: "job:up:sum", expr: sum by (job) (up), labels: {yes: "no", "1": "1e3"}}
  - alert: Down
    expr: |
      vector(1)
        and on () vector(2)
    for: 90s
    keep_firing_for: 1h
    labels: {severity: page, "a label": "null"}
    annotations:
      summary: "{{ $value }} of {{ $labels.instance }}: \"down\"\n  since #1\n"
      empty: ""
- name: a group/with 100% of ü
  interval: 1s
  limit: 7
  query_offset: 0s
  labels: {team: infra}
  rules:
  - {record: "one", expr: vector(1)}
END
cat >"$files/more.yml" <<'END'
namespace: team/a b/100% ü
groups:
- {name: first, interval: 1s, rules: [{record: "two", expr: vector(2)}]}
- {name: second, interval: 1s, rules: [{alert: Always, expr: vector(1)}]}
END
echo '{rule_files: [file*.yml], global: {evaluation_interval: 1s}}' >"$work/conf.yml"

claim "starts without stored rules" serve
claim "mimirtool: the list is empty" says_all "" client mimirtool list
claim "mimirtool: diff tells of new groups" says 0 '4 Groups Created, 0 Groups Updated, 0 Groups Deleted' \
    client mimirtool diff "$files"/*.yml

# --- mimirtool --------------------------------------------------------------------------------------

claim "mimirtool: loads files" says_all "group: 'first', ns: 'team/a b/100% ü'
group: 'second', ns: 'team/a b/100% ü'
group: 'node', ns: 'node'
group: 'a group/with 100% of ü', ns: 'node'" client mimirtool load "$files"/*.yml
listed="node | a group/with 100% of ü
node | node
team/a b/100% ü | first
team/a b/100% ü | second"
claim "mimirtool: lists them" says_all "$listed" client mimirtool list
claim "they are evaluated at once" within 10 says_all "node | a group/with 100% of ü | one | ok
node | node | job:up:sum
node | node | Down
team/a b/100% ü | first | two | ok
team/a b/100% ü | second | Always | ok" slow_ones_without_health
recorded() { # EXPRESSION VALUE
    [[ $(curl -s "$url/prometheus/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[].value[1]') == "$2" ]]
}
claim "what they record can be read" within 10 recorded 'one{team="infra"} + on () two' 3
claim "mimirtool: what comes back is what was loaded" says 0 '0 Groups Created, 0 Groups Updated, 0 Groups Deleted' \
    client mimirtool diff "$files"/*.yml
load_again() {
    [[ $(client mimirtool load "$files"/*.yml | grep -c 'group already exists') == 4 ]]
}
claim "mimirtool: loading them again changes nothing" load_again
claim "mimirtool: gets a group" says 0 'expr: vector(2)' client mimirtool get 'team/a b/100% ü' first
claim "mimirtool: gets none that is not there" says_all 'this rule group does not currently exist' \
    client mimirtool get 'team/a b/100% ü' third
claim "mimirtool: prints all" says 0 'summary: ' client mimirtool print

# --- kill -9 ----------------------------------------------------------------------------------------

listed_after_start() {
    serve && says_all "$listed" client mimirtool list
}
crash server
claim "after kill -9 they are there" listed_after_start
claim "and evaluated" within 10 says 0 "team/a b/100% ü | second | Always | ok" evaluated
stop server
claim "after a stop they are there" listed_after_start

# Sets, replaces and deletes groups one after the other; notes acknowledged edits, and the last
# request.
edit_all_the_time() {
    local i=0 name status
    while :; do
        i=$((i + 1))
        name=g$((i % 7))
        echo "$name $i" >"$work/asked.txt"
        if ((i % 5 == 0)); then
            status=$(curl -s -m 60 -o "$work/answer.txt" -w '%{http_code}' -X DELETE "$url/api/prom/rules/k/$name")
            [[ $status == 202 || $status == 404 ]] || return
            echo "$name -" >>"$work/acknowledged.txt"
        else
            status=$(curl -s -m 60 -o "$work/answer.txt" -w '%{http_code}' -X POST \
                -H Content-Type:application/yaml --data-binary "$(group "$name" "vector($i)")" "$url/api/prom/rules/k")
            [[ $status == 202 ]] || return
            echo "$name $i" >>"$work/acknowledged.txt"
        fi
    done
}

# Each group is in its last acknowledged state; after a request without an answer, in either state.
is_as_acknowledged() {
    local name is was asked number
    read -r asked number <"$work/asked.txt"
    curl -s "$url/config/v1/rules/k" >"$work/k.yml"
    for name in g0 g1 g2 g3 g4 g5 g6; do
        is=$(curl -s "$url/config/v1/rules/k/$name" | sed -n 's/.*vector(\([0-9]*\)).*/\1/p')
        was=$(grep "^$name " "$work/acknowledged.txt" | tail -n 1 | cut -d ' ' -f 2)
        [[ ${is:--} == "${was:--}" ]] && continue
        [[ $name == "$asked" && (${is:--} == - || $is == "$number") ]] && continue
        echo "$name is ${is:-not there}, was acknowledged as ${was:-nothing}; asked last: $asked $number"
        return 1
    done
}

has_acknowledged() { # EDITS
    (($(wc -l <"$work/acknowledged.txt") >= $1))
}

# Each time after some edits, and at any moment of one.
killed_while_edited() {
    local round editor last edits
    : >"$work/acknowledged.txt"
    for ((round = 0; round < ${ROUNDS:-10}; round++)); do
        edits=$(wc -l <"$work/acknowledged.txt")
        edit_all_the_time &
        editor=$!
        within 60 has_acknowledged $((edits + 3 + RANDOM % 20)) || return 1
        doze "0.0$((RANDOM % 10))"
        crash server
        wait "$editor"
        serve || return 1
        is_as_acknowledged || return 1
        # The request without an answer is decided now.
        read -r last _ <"$work/asked.txt"
        curl -s -o "$work/answer.txt" -X DELETE "$url/api/prom/rules/k/$last"
        echo "$last -" >>"$work/acknowledged.txt"
    done
    (($(wc -l <"$work/acknowledged.txt") > round * 3))
}
claim "kill -9 between edits: what was acknowledged is there, each time" killed_while_edited
claim "the namespace can be deleted" answers 202 '"status":"success"' -X DELETE "$url/config/v1/rules/k"
claim "the others are as before" says_all "$listed" client mimirtool list

# --- reloads ----------------------------------------------------------------------------------------

printf 'groups:\n- {name: f, interval: 1s, rules: [{record: f, expr: vector(4)}]}\n' >"$work/file1.yml"
claim "a reload reads files of rules" hangup 'configuration reloaded'
claim "rules of files are beside stored ones" within 10 says 0 "$work/file1.yml | f | f | ok
node | a group/with" evaluated
echo 'groups: [' >"$work/file1.yml"
claim "a file that is wrong hinders a reload" hangup 'reload failed'
claim "and no edit" post 202 success n "$(group a 'vector(5)')"
claim "nor does an edit read it" within 10 says 0 "$work/file1.yml | f | f | ok
n | a | r:a | ok" evaluated
printf 'groups:\n- {name: f, interval: 1s, rules: [{record: f, expr: vector(6)}]}\n' >"$work/file1.yml"
escaped=$(jq -rn --arg path "$work/file1.yml" '$path | @uri')
claim "a group of a file cannot be set" post 400 "has a group 'f', which is in force" "$escaped" "$(group f 'vector(7)')"
claim "another one in a namespace of its name can" post 202 success "$escaped" "$(group g 'vector(7)')"
printf 'groups:\n- {name: f, rules: [{record: f, expr: vector(6)}]}\n- {name: g, rules: [{record: g, expr: vector(8)}]}\n' \
    >"$work/file1.yml"
claim "a file may get a group of the names of a stored one" hangup 'configuration reloaded'
claim "which is told" within 20 in_log 'stored groups of rules are not evaluated, rule files have groups of their names'
claim "that of the file is evaluated" within 10 says 0 "$work/file1.yml | g | g | ok" evaluated
claim "the stored one is kept" answers 200 'vector(7)' "$url/config/v1/rules/$escaped/g"
claim "and can be deleted" answers 202 success -X DELETE "$url/config/v1/rules/$escaped"
rm "$work/file1.yml"
claim "a reload drops rules of files" hangup 'configuration reloaded'
claim "and keeps stored ones" says 0 "$listed" client mimirtool list
claim "cleanup" answers 202 success -X DELETE "$url/config/v1/rules/n/a"

# --- mimirtool, the rest ----------------------------------------------------------------------------

cat >"$files/more.yml" <<'END'
namespace: team/a b/100% ü
groups:
- {name: first, interval: 2s, rules: [{record: "two", expr: vector(2)}]}
- {name: third, interval: 1s, rules: [{record: "three", expr: vector(3)}]}
END
claim "mimirtool: syncs" says 0 'Sync Summary: 1 Groups Created, 1 Groups Updated, 1 Groups Deleted' \
    client mimirtool sync "$files"/*.yml
claim "mimirtool: is in sync" says 0 'Sync Summary: 0 Groups Created, 0 Groups Updated, 0 Groups Deleted' \
    client mimirtool sync "$files"/*.yml
claim "what was deleted is not evaluated" says_all "" eval "evaluated | grep Always"
for i in {1..60}; do
    printf '%s\n' "- {name: many$i, rules: [{record: many, expr: vector($i)}]}"
done | sed '1s/^/groups:\n/' >"$work/many.yml"
claim "mimirtool: syncs many groups at a time" says 0 '60 Groups Created, 0 Groups Updated, 4 Groups Deleted' \
    client mimirtool sync "$work/many.yml"
crash server
serve
claim "after kill -9 all are there" says 0 '0 Groups Created, 0 Groups Updated, 0 Groups Deleted' \
    client mimirtool diff "$work/many.yml"
claim "mimirtool: deletes a group" says_all "" client mimirtool delete many many1
claim "mimirtool: deletes none that is not there" says_all 'requested resource not found' client mimirtool delete many many1
claim "mimirtool: deletes a namespace" says_all "" client mimirtool delete-namespace many
claim "mimirtool: deletes none that is not there" says_all 'requested resource not found' \
    client mimirtool delete-namespace many
claim "nothing is left" says_all "" client mimirtool list
claim "of no group there is no file" says_all "" ls --ignore=state "$work/data/rules"

# --- cortextool -------------------------------------------------------------------------------------

claim "cortextool: loads files" says 0 "group: 'third', ns: 'team/a b/100% ü'" client cortextool load "$files"/*.yml
claim "cortextool: lists them" says 0 "team/a b/100% ü | third" client cortextool list
claim "cortextool: syncs" says 0 '0 Groups Created, 0 Groups Updated, 2 Groups Deleted' \
    client cortextool sync "$files/node.yml"
claim "cortextool: deletes a namespace" says_all "" client cortextool delete-namespace node
claim "cortextool: nothing is left" says_all "" client cortextool list

# --- Grafana ----------------------------------------------------------------------------------------

claim "Grafana takes it for Mimir, and edits rules" says_all "Mimir True" client grafana discover
grafana_of_prometheus() {
    local base=$url
    client grafana discover
}
claim "at the root it is a Prometheus" says_all "Prometheus False" grafana_of_prometheus
grafana_of_cortex() {
    local base=$url/api/prom
    client grafana discover-cortex
}
claim "where Cortex has it, rules can be edited" says_all "ruler" grafana_of_cortex
cat >"$work/group.json" <<'END'
{"name": "from the page", "interval": "1s", "rules": [
  {"alert": "Up", "expr": "vector(1)", "for": "0s", "labels": {"severity": "page"}, "annotations": {"summary": "a\nb"}},
  {"record": "page:one", "expr": "vector(1)"}]}
END
claim "Grafana: no group" says_all "group does not exist" client grafana group 'a/b c' 'from the page'
claim "Grafana: sets a group" says_all "" client grafana set 'a/b c' "$work/group.json"
claim "Grafana: shows it beside what is evaluated" says_all "a/b c | from the page | Up | alerting
a/b c | from the page | page:one | recording" client grafana rules
claim "Grafana: its alert fires" within 10 says_all "Up | firing" client grafana alerts
claim "Grafana: moves it" says_all "" client grafana move 'a/b c' 'from the page' 'd' 'renamed'
claim "Grafana: it has moved" says_all "d | renamed | Up | alerting
d | renamed | page:one | recording" client grafana rules
claim "Grafana: deletes it" says_all "" client grafana delete d renamed
claim "Grafana: sets another" says_all "" client grafana set d "$work/group.json"
claim "Grafana: deletes its namespace" says_all "" client grafana delete-namespace d
claim "Grafana: shows none" says_all "" client grafana rules

# --- refusals ---------------------------------------------------------------------------------------

claim "an invalid group: all reasons" post 400 "body:2:31: group 'a', rule 1 'r:a': invalid expression: 1:5: parse error" \
    n "$(group a 'sum(')"
claim "refusals are counted" metric_is 'firekeep_stored_rules_edits_total{result="refused"}' 3
claim "nothing was stored" metric_is firekeep_stored_rules_groups 0
claim "a group" post 202 success n "$(group a 1)"
stop server

# --- off --------------------------------------------------------------------------------------------

claim "off: starts" start_firekeep server "$work/data" "$port"
claim "off: Grafana takes it for a Prometheus" says_all "Prometheus False" client grafana discover
claim "off: stored rules are evaluated" says 0 "n | a | r:a" evaluated
stop server
rm -r "$work/data"

# --- tenants ----------------------------------------------------------------------------------------

echo '{tenancy: {enabled: true}, global: {evaluation_interval: 1s}}' >"$work/conf.yml"
claim "tenants: starts" serve
claim "tenants: one is named" answers 401 'missing header X-Scope-OrgID' "$url/config/v1/rules"
claim "tenants: and no more than one" answers 400 'invalid X-Scope-OrgID' -H 'X-Scope-OrgID: a|b' "$url/config/v1/rules"
claim "tenants: mimirtool loads for one" says 0 'node' client --tenant one mimirtool load "$files/node.yml"
claim "tenants: and for another" says 0 'third' client --tenant two mimirtool load "$files/more.yml"
claim "tenants: each has its own" says_all "team/a b/100% ü | first
team/a b/100% ü | third" client --tenant two mimirtool list
claim "tenants: which are evaluated for it" within 10 says_all "node | a group/with 100% of ü | one | ok" \
    eval "evaluated -H 'X-Scope-OrgID: one' | grep ' one '"
claim "tenants: Grafana sees its own" says 0 "node | node | Down | alerting" client --tenant one grafana rules
claim "tenants: verify finds all well" stop server
claim "tenants: verify finds all well" says 0 ': ok (' "$firekeep" verify "$work/data"

# --- a backup ---------------------------------------------------------------------------------------

serve_copy() { # serves the snapshot
    stop server
    cp -a "$work/data/snapshots/$(jq -r .data.name "$work/snapshot.json")" "$work/copy" &&
        start_firekeep server "$work/copy" "$port" --config.file="$work/conf.yml" --rules.api
}
claim "snapshot: starts" start_firekeep server "$work/data" "$port" --config.file="$work/conf.yml" --rules.api --web.enable-admin-api
touch "$work/data/rules/one.groups.tmp"
claim "snapshot: one is made" eval 'curl -sf -X POST "$url/api/v1/admin/tsdb/snapshot" >"$work/snapshot.json"'
claim "snapshot: what is stored then is not in it" post 202 success later "$(group a 'vector(1)')" -H 'X-Scope-OrgID: one'
claim "snapshot: a copy of it is served" serve_copy
claim "snapshot: the groups of a tenant are there" says 0 node client --tenant one mimirtool list
claim "snapshot: none was added" eval '! client --tenant one mimirtool list | grep later'
claim "snapshot: those of another tenant are there" says 0 third client --tenant two mimirtool list
claim "snapshot: they can be changed" post 202 success more "$(group a 'vector(1)')" -H 'X-Scope-OrgID: one'
claim "snapshot: an unfinished file is not in it" eval 'stop server && [[ ! -e $work/copy/rules/one.groups.tmp ]]'
claim "snapshot: verify finds all well" says 0 ': ok (' "$firekeep" verify "$work/copy"
claim "snapshot: so it does where it was made" says 0 ': ok (' "$firekeep" verify "$work/data"

# --- damage -----------------------------------------------------------------------------------------

printf '\377' | dd of="$work/data/rules/one.groups" bs=1 seek=100 conv=notrunc status=none
claim "damage: verify names it" says 1 'stored rules of tenant one: '"$work"'/data/rules/one.groups: the file is damaged' \
    "$firekeep" verify "$work/data"
claim "damage: the server starts" serve
claim "damage: the log tells" in_log 'level=error msg="cannot read stored rules, those of this tenant are not evaluated" tenant=one'
claim "damage: the metric tells" metric_is firekeep_stored_rules_unreadable_tenants 1
claim "damage: the API tells" answers 500 'cannot read the stored rules of tenant one: the file is damaged' \
    -H 'X-Scope-OrgID: one' "$url/prometheus/config/v1/rules"
claim "damage: mimirtool does not take it for empty" says 1 'server returned HTTP status: 500' \
    client --tenant one mimirtool sync "$files/node.yml"
claim "damage: nothing can be deleted" answers 500 damaged -X DELETE -H 'X-Scope-OrgID: one' "$url/config/v1/rules/node"
claim "damage: nothing is evaluated of it" says_all "" evaluated -H 'X-Scope-OrgID: one'
claim "damage: others are served" says 0 'third' client --tenant two mimirtool list
cp "$work/data/rules/one.groups" "$work/damaged"
claim "damage: others can be changed" says 0 "group: 'node'" client --tenant two mimirtool load "$files/node.yml"
claim "damage: the file is left alone" cmp "$work/damaged" "$work/data/rules/one.groups"
claim "damage: a group can be stored" post 202 success n "$(group a 'vector(1)')" -H 'X-Scope-OrgID: one'
claim "damage: the file was set aside" cmp "$work/damaged" "$work/data/rules/one.groups.damaged"
claim "damage: which the log tells" in_log 'was set aside.*one.groups.damaged'
claim "damage: and the metric" metric_is firekeep_stored_rules_unreadable_tenants 0
claim "damage: now mimirtool restores the rest" says 0 '2 Groups Created, 0 Groups Updated, 1 Groups Deleted' \
    client --tenant one mimirtool sync "$files/node.yml"
claim "damage: it is evaluated" within 10 says 0 'ü | one | ok' evaluated -H 'X-Scope-OrgID: one'
stop server
claim "damage: without tenancy, tenants are left alone" start_firekeep server "$work/data" "$port"
claim "damage: which the log tells" in_log 'stored rules of tenants are not evaluated with tenancy.enabled=false.*tenants=2'
stop server

# --- without a store --------------------------------------------------------------------------------

cat >"$work/conf.yml" <<END
sources: [{name: other, type: remote_read, url: 'http://127.0.0.1:1/read'}]
END
claim "storage.mode=none: starts" start_firekeep server "$work/none" "$port" --config.file="$work/conf.yml" --rules.api \
    --storage.mode=none
claim "storage.mode=none: a group" post 202 success n "$(group a 'vector(1)')"
crash server
claim "storage.mode=none: starts again" start_firekeep server "$work/none" "$port" --config.file="$work/conf.yml" \
    --rules.api --storage.mode=none
claim "storage.mode=none: it is there" answers 200 'vector(1)' "$url/config/v1/rules/n/a"
claim "storage.mode=none: SIGTERM ends it" stop server
done_testing
