#!/bin/bash
# rules_replay.sh - firekeep rules: recording rules evaluated over the past, through a server and on
# a directory, interrupted in every way; and the list of rules that a server evaluates.

. tests/lib.sh
firekeep=$PWD/build/firekeep
read -r port port2 < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
hours=5
now=$((EPOCHSECONDS / 60 * 60 - 600)) # later times are evaluated by the server
start=$((now - hours * 3600))

# --- helpers ----------------------------------------------------------------------------------------

replay() { # ARGUMENT...
    "$firekeep" rules replay --start="$start" --end="$now" --config.file="$work/conf.yml" "$@" >"$work/replay.out" 2>&1
    local status=$?
    cat "$work/replay.out"
    return $status
}

through() { # ARGUMENT...: the server
    replay --url="$url" "$@"
}

fails() { # STATUS TEXT COMMAND...
    local said status
    said=$("${@:3}" 2>&1)
    status=$?
    echo "status $status: $said"
    [[ $status == "$1" && $said == *"$2"* ]]
}

says() { # TEXT
    grep -qF -- "$1" "$work/replay.out"
}

holds() { # TARGET EXPRESSION: it has a result
    "$firekeep" query "$1" --time="$now" "$2" | tee "$work/holds.out"
    [[ -s $work/holds.out ]]
}

recorded() { # TARGET FILE [SELECTOR]: recorded samples, as sorted lines
    local selector=${3:-'{__name__=~".*:.*|st"}'}
    "$firekeep" export "$1" --start="$start" --end="$now" --match="$selector" --format=csv -o "$2.tmp" 2>"$work/export.out" ||
        return 1
    sort "$2.tmp" >"$2"
    [[ -s $2 ]]
}

same() { # FILE FILE
    cmp "$1" "$2" || diff "$1" "$2" | head -n 5
    cmp -s "$1" "$2"
}

serve() { # NAME DIRECTORY ARGUMENT...
    start_firekeep "$1" "$2" "$port" --config.file="$work/conf.yml" "${@:3}"
}

done_slices() { # COUNT FILE
    [[ $(sed -n 's/^slices //p' "$2" 2>/dev/null | tr -dc c | wc -c) -ge $1 ]]
}

# --- stored samples ---------------------------------------------------------------------------------

cat >"$work/rules.yml" <<'END'
groups:
- name: base
  interval: 1m
  rules:
  - {record: "job:requests:rate5m", expr: "sum by (job) (rate(requests_total[5m]))"}
  - {record: "instance:requests:rate5m", expr: "sum by (instance) (rate(requests_total[5m])) > 0.3", labels: {busy: "yes"}}
  - {record: "job:requests:max", expr: "max(job:requests:rate5m)"}
  - {alert: Busy, expr: "job:requests:max > 1"}
- name: upper
  interval: 2m
  query_offset: 30s
  rules:
  - {record: "job:requests:rate1h", expr: "avg_over_time(job:requests:rate5m[1h])"}
  - {record: "job:latency", expr: "sum by (job) (latency)"}
- name: itself
  interval: 5m
  rules:
  - {record: "steps:count", expr: "last_over_time(steps:count[7m]) + 1 or vector(1)"}
END
cat >"$work/conf.yml" <<END
rule_files: [$work/rules.yml]
rules: {api: true, catch_up: 0s}
END
/usr/bin/python3 - "$work/in.om" "$start" "$now" <<'END'
import sys
path, start, now = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "w") as to:
    to.write("# TYPE requests counter\n")
    for job in range(3):
        for instance in range(8):
            value = 0
            for t in range(start - 3600, now + 1, 15):
                if (instance + t // 1800) % 5 == 0:
                    continue
                value += (instance * 7 + job * 3 + t // 15) % (11 + t // 3600 % 7)
                to.write(f'requests_total{{job="j{job}",instance="i{instance}"}} {value} {t}\n')
    to.write("# EOF\n")
END
claim "a server with five hours of samples runs" serve server "$work/a" --web.enable-admin-api=true
claim "samples are imported" "$firekeep" import --url="$url" --format=openmetrics "$work/in.om"

# --- through a server -------------------------------------------------------------------------------

claim "server: rules are evaluated over the past" through
claim "server: as many evaluations as there are times" grep -Eq \
    "^$((hours * 60 + hours * 30 + hours * 12)) evaluations of 3 groups, [0-9]{4,} samples" "$work/replay.out"
claim "server: what was recorded is there" recorded --url="$url" "$work/first"

# Checks that each result is that of a query at its time, and that no other is recorded then.
as_queried() { # NAME EXPRESSION OFFSET-S
    /usr/bin/python3 - "$url" "$@" "$start" "$now" <<'END'
import json
import sys
import urllib.parse
import urllib.request
url, name, expression, offset, start, now = sys.argv[1:]

def ask(path, **form):
    with urllib.request.urlopen(url + path, urllib.parse.urlencode(form).encode(), 60) as answer:
        return json.load(answer)["data"]["result"]

there = {}
for series in ask("/api/v1/query", query=f"{name}[{int(now) - int(start)}s]", time=now):
    labels = series["metric"]
    labels.pop("__name__")
    for time, value in series["values"]:
        there.setdefault(time, set()).add((json.dumps(labels, sort_keys=True), value))
times = sorted(there)
assert len(times) > 50, len(times)
for time in times[:: max(1, len(times) // 60)]:
    wanted = {(json.dumps(dict(r["metric"], **({"busy": "yes"} if name.startswith("instance") else {})),
                          sort_keys=True), r["value"][1])
              for r in ask("/api/v1/query", query=expression, time=time)}
    assert there[time] == wanted, (time, there[time], wanted)
END
}
claim "server: what is recorded is what queries give at these times" as_queried job:requests:rate5m \
    'sum by (job) (rate(requests_total[5m]))' 0
claim "server: the same with labels, and series that come and go" as_queried instance:requests:rate5m \
    'sum by (instance) (rate(requests_total[5m])) > 0.3' 0
claim "server: the same of what reads another group" as_queried job:requests:rate1h \
    'avg_over_time(job:requests:rate5m[1h])' 30
claim "server: series that end are marked stale" grep -q 'instance:requests:rate5m.*[Nn]a[Nn]\|instance:requests:rate5m.*stale' "$work/first"
claim "server: a rule that reads itself counts on" holds --url="$url" "steps:count == $((hours * 12))"
claim "server: a second time all is evaluated" through
claim "server: and found stored, also what a rule reads that it records" grep -Eq \
    "^$((hours * 60 + hours * 30 + hours * 12)) evaluations of 3 groups, 0 samples; .*; [0-9]{4,} stored already$" "$work/replay.out"
claim "server: nothing has changed" recorded --url="$url" "$work/again"
claim "server: not a sample" same "$work/first" "$work/again"

# --- through a server with a source -------------------------------------------------------------------

# The source has all results: the server has none of them.
{
    cat "$work/conf.yml"
    echo "sources: [{name: first, type: remote_read, url: '$url/api/v1/read'}]"
} >"$work/conf5.yml"
claim "source: a server that reads from the other one runs" start_firekeep reader "$work/f" "$port2" --config.file="$work/conf5.yml"
claim "source: results there are not taken for stored here" "$firekeep" rules replay --url="http://127.0.0.1:$port2" \
    --start="$start" --end="$((start + 3600))" --config.file="$work/conf.yml" --group=base
claim "source: the server stops" stop reader
claim "source: what was recorded is there" "$firekeep" export --storage.path="$work/f" --start="$start" --end="$((start + 3600))" \
    --match='{__name__=~"job:requests:max"}' --format=csv -o "$work/f.csv"
claim "source: each of the results" test "$(grep -c job:requests:max "$work/f.csv")" = 60

# --- on a directory ---------------------------------------------------------------------------------

on() { # DIRECTORY ARGUMENT...
    replay --storage.path="$1" "${@:2}"
}
claim "directory: samples are imported" "$firekeep" import --storage.path="$work/b" --format=openmetrics "$work/in.om"
claim "directory: rules are evaluated" on "$work/b" --slice=50m --concurrency=1
claim "directory: what was recorded is there" recorded --storage.path="$work/b" "$work/b.csv"
claim "directory: it is the same as through a server" same "$work/first" "$work/b.csv"
claim "directory: of a running server it is refused" fails 1 "a running server or command uses" on "$work/a"

# --- interrupted ------------------------------------------------------------------------------------

begin_slow() { # NAME DIRECTORY: slice by slice, in the background, until some evaluations are stored
    start "$1" "$firekeep" rules replay --start="$start" --end="$now" --config.file="$work/conf.yml" \
        --storage.path="$2" --slice=10s --resume="$work/$1.state"
    within 60 done_slices 100 "$work/$1.state"
}
ended() { # NAME
    ! is_running "$1"
}
claim "killed: samples are imported" "$firekeep" import --storage.path="$work/c" --format=openmetrics "$work/in.om"
claim "killed: a replay is on its way" begin_slow killed "$work/c"
crash killed
claim "killed: the same command continues" on "$work/c" --slice=10s --resume="$work/killed.state"
claim "killed: where it was" grep -q '^continuing: [0-9]* of [0-9]* slices are done' "$work/replay.out"
claim "killed: what was recorded is there" recorded --storage.path="$work/c" "$work/c.csv"
claim "killed: as if nothing had happened" same "$work/first" "$work/c.csv"

# --- rules that change ------------------------------------------------------------------------------

sed -i '/job:requests:max", expr/a\  - {record: "job:requests:min", expr: "min(job:requests:rate5m)"}' "$work/rules.yml"
claim "new rule: the group is evaluated again" on "$work/b" --group=base
claim "new rule: nothing is refused" says "$((hours * 60)) evaluations of 1 group,"
claim "new rule: what was recorded is there" recorded --storage.path="$work/b" "$work/b2.csv"
grep -v job:requests:min "$work/b2.csv" >"$work/b3.csv"
claim "new rule: what was there is as it was" same "$work/first" "$work/b3.csv"
claim "new rule: what it records is there" grep -q job:requests:min "$work/b2.csv"
claim "group: it can be named with its file" on "$work/b" --group="$work/rules.yml;upper"

# --- overwrite --------------------------------------------------------------------------------------

# These samples of a series are late.
/usr/bin/python3 - "$work/late.om" "$start" "$now" <<'END'
import sys
path, start, now = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "w") as to:
    to.write("# TYPE requests counter\n")
    for t in range(start, now + 1, 15):
        to.write(f'requests_total{{job="late",instance="late"}} {t % 100000} {t}\n')
    to.write("# EOF\n")
END
claim "overwrite: samples come late" "$firekeep" import --storage.path="$work/b" --format=openmetrics "$work/late.om"
claim "overwrite: without it, what differs from what is stored is printed" fails 1 ", computed as " on "$work/b"
claim "overwrite: with file, group, rule, time, labels and both values" grep -Eq \
    "rules.yml: group 'base', rule 'job:requests:m(ax|in)', 20[-0-9T:.]*Z: \{.*\} is stored as [0-9.]+, computed as [0-9.]+$" \
    "$work/replay.out"
claim "overwrite: and it is counted" grep -Eq "; [0-9]+ differ from what is stored$" "$work/replay.out"
claim "overwrite: what there is" recorded --storage.path="$work/b" "$work/b3.csv"
comm -23 "$work/b2.csv" "$work/b3.csv" >"$work/lost"
claim "overwrite: all that was stored is as it was" same /dev/null "$work/lost"
claim "overwrite: results of new series are there" grep -q 'job:requests:rate5m.*late' "$work/b3.csv"
claim "overwrite: all is evaluated again" on "$work/b" --overwrite --resume="$work/over.state"
claim "overwrite: what was there is deleted, and counted" says "deleted $(grep -vc '^name,' "$work/b3.csv") samples"
claim "overwrite: a directory with all samples from the beginning" "$firekeep" import --storage.path="$work/e" \
    --format=openmetrics "$work/in.om" "$work/late.om"
claim "overwrite: rules are evaluated there" on "$work/e"
claim "overwrite: what was recorded there" recorded --storage.path="$work/e" "$work/e.csv"
claim "overwrite: what was recorded" recorded --storage.path="$work/b" "$work/b4.csv"
claim "overwrite: it is the same" same "$work/e.csv" "$work/b4.csv"
cat >>"$work/rules.yml" <<'END'
- name: other
  rules:
  - {record: "job:latency", expr: "vector(1)"}
END
claim "overwrite: what another group records is not deleted" fails 1 "group 'other' records 'job:latency', too" \
    on "$work/b" --overwrite --group=upper
head -n -3 "$work/rules.yml" >"$work/rules.tmp" && mv "$work/rules.tmp" "$work/rules.yml"
claim "overwrite: through a server" through --overwrite
claim "overwrite: it deletes there" grep -q '^deleted [0-9]* samples' "$work/replay.out"
claim "overwrite: what was recorded there" recorded --url="$url" "$work/a2.csv"
claim "overwrite: all of it came back" same "$work/b2.csv" "$work/a2.csv"

# --- rules that fail --------------------------------------------------------------------------------

cat >"$work/bad.yml" <<'END'
groups:
- name: bad
  interval: 10m
  rules:
  - {record: "bad:match", expr: "requests_total * on (job) requests_total"}
  - {record: "good:count", expr: "count(requests_total)"}
END
claim "failing: the status is 1" fails 1 "" through "$work/bad.yml"
claim "failing: file, group, rule, time and reason are told" grep -Eq \
    "bad.yml: group 'bad', rule 'bad:match', 20[-0-9T:.]*Z: .*duplicate series" "$work/replay.out"
claim "failing: how many is told" says "$((hours * 6)) evaluations of a rule failed"
claim "failing: the other rule is evaluated" holds --url="$url" \
    "count_over_time(good:count[${hours}h]) == $((hours * 6))"

# --- subqueries -------------------------------------------------------------------------------------

printf '%s\n' 'groups:' '- {name: points, interval: 10m, rules: [{record: points, expr: "count_over_time(vector(1)[10m:])"}]}' \
    >"$work/points.yml"
sed '1i global: {evaluation_interval: 30s}' "$work/conf.yml" >"$work/conf3.yml"
claim "subquery: a replay with an evaluation interval of 30s" "$firekeep" rules replay --start="$start" --end="$now" \
    --config.file="$work/conf3.yml" --storage.path="$work/e" "$work/points.yml"
claim "subquery: it is the step of one that gives none" holds --storage.path="$work/e" \
    "count_over_time(points[${hours}h]) == $((hours * 6)) and min_over_time(points[${hours}h]) == 20"

# --- samples that are not kept ----------------------------------------------------------------------

sed '1i retention: {time: 2h}' "$work/conf.yml" >"$work/conf4.yml"
kept() { # ARGUMENT...
    "$firekeep" rules replay --start="$start" --config.file="$work/conf4.yml" --url="$url" "$@" "$work/points.yml" \
        >"$work/replay.out" 2>&1
}
claim "not kept: what is older than the retention is left out" kept --end="$now"
claim "not kept: which is told" grep -q '^begins at .*: older samples are not kept (retention.time)' "$work/replay.out"
claim "not kept: nothing but that" grep -Eq '^1[0-3] evaluations of 1 group,' "$work/replay.out"
claim "not kept: if nothing is left it is refused" fails 1 'older samples are not kept' \
    "$firekeep" rules replay --start="$start" --end="$((start + 60))" --config.file="$work/conf4.yml" --url="$url" "$work/points.yml"

# --- stored by the ruler API ------------------------------------------------------------------------

post() { # NAMESPACE YAML
    [[ $(curl -s -o "$work/posted" -w '%{http_code}' -H Content-Type:application/yaml --data-binary "$2" "$url/config/v1/rules/$1") == 202 ]]
}
claim "stored: a group is stored" post 'my%20space' 'name: stored
interval: 10m
rules: [{record: st, expr: sum(requests_total)}]'
claim "stored: it is replayed with those of files" through
claim "stored: its evaluations" says "$((hours * (60 + 30 + 12 + 6))) evaluations of 4 groups, $((hours * 6)) samples"
claim "stored: what it records is there" recorded --url="$url" "$work/st" st
claim "stored: it is listed" fails 0 'my space' "$firekeep" rules list --url="$url" --group=stored

# --- the server goes away ---------------------------------------------------------------------------

start away "$firekeep" rules replay --start="$start" --end="$now" --config.file="$work/conf.yml" --url="$url" \
    --slice=10s --overwrite --resume="$work/away.state"
claim "server away: a replay is on its way" within 60 compgen -G "$work/away.state.[0-9]"
crash server
claim "server away: it waits" within 30 grep -q 'retrying in' "$work/away.log"
claim "server away: the server comes back" serve server "$work/a" --web.enable-admin-api=true
claim "server away: the replay ends" within 240 ended away
claim "server away: with all that is to be done" done_slices 1 "$work/away.state"
claim "server away: what was recorded" recorded --url="$url" "$work/a3.csv" '{__name__=~".*:.*"}'
claim "server away: what was recorded before" recorded --storage.path="$work/c" "$work/c2.csv" '{__name__=~".*:.*"}'
grep -v 'job:requests:min\|good:count' "$work/a3.csv" >"$work/a4.csv"
claim "server away: nothing is missing" same "$work/c2.csv" "$work/a4.csv"
claim "server away: without one it fails" fails 1 "" "$firekeep" rules list --url=http://127.0.0.1:1 --retry=1s

# --- the list ---------------------------------------------------------------------------------------

claim "list: files, groups, rules and alerts" fails 0 "$work/rules.yml  base    Busy                      alerting" \
    "$firekeep" rules list --url="$url"
evaluated() {
    "$firekeep" rules list --url="$url" --group=base --format=json |
        jq -e '[.rules[] | select(.health == "ok" and .lastEvaluationMs > 0)] | length == 5' >/dev/null
}
claim "list: as JSON, with health and time, once they were evaluated" within 140 evaluated
claim "list: a group of no name is refused" fails 1 "group 'none' not found" \
    "$firekeep" rules list --url="$url" --group=none

# --- wide selectors ----------------------------------------------------------------------------------

{
    printf 'groups:\n- name: wide\n  rules:\n  - record: wide\n    expr: up{'
    printf 'l%d!="x",' {1..300}
    printf '}\n'
} >"$work/wide.yml"
claim "wide: a rule whose selector a server does not accept is told" fails 1 \
    "a selector has 301 matchers: at most 256 can be asked for" "$firekeep" rules replay --url="$url" \
    --start="$start" --end=$((start + 60)) "$work/wide.yml"

# --- paths and usage --------------------------------------------------------------------------------

relative() {
    (cd "$work" && "$firekeep" rules replay --url="$url" --start="$start" --end="$now" --config.file=conf2.yml)
}
on_moved() { # DIRECTORY
    (cd "$work" && on "$1" rules.yml)
}
sed "s|$work/||" "$work/conf.yml" >"$work/conf2.yml"
claim "path: another one than the server's is refused" fails 1 "the path decides when rules are evaluated" relative
claim "usage: a server or a directory" fails 2 "--url and --storage.path cannot be used together" \
    "$firekeep" rules replay --url="$url" --storage.path="$work/c" --start="$start" --end="$now"
claim "usage: the future is not evaluated" fails 2 "--end is in the future" \
    "$firekeep" rules replay --url="$url" --start=now --end=2100-01-01T00:00:00Z
claim "usage: files that are named are not overwritten" fails 2 "--overwrite requires --config.file" \
    "$firekeep" rules replay --url="$url" --start="$start" --end="$now" --overwrite "$work/rules.yml"
claim "usage: without rules" fails 1 "there are no rules" "$firekeep" rules replay --storage.path="$work/c" \
    --start="$start" --end="$now"
echo 'rule_files: []' >"$work/none.yml"
claim "usage: a configuration without rules is named" fails 1 "no rules for tenant 'anonymous': no rule files in $work/none.yml are for it" \
    "$firekeep" rules replay --storage.path="$work/c" --config.file="$work/none.yml" --start="$start" --end="$now"
echo 'groups: [{nam: x}]' >"$work/wrong.yml"
claim "usage: a directory that is not there is not made" fails 1 "is not a Firekeep storage directory" on "$work/mistyped"
claim "usage: and is not there then" test ! -e "$work/mistyped"

# --- many rules -------------------------------------------------------------------------------------

{
    printf '%s\n' 'groups:' '- name: many' '  interval: 10m' '  rules:'
    for i in {1..257}; do
        echo "  - {record: \"many:$i\", expr: \"vector($i)\"}"
    done
} >"$work/many.yml"
echo "rule_files: [$work/many.yml]" >"$work/many_conf.yml"
many() { # ARGUMENT...
    "$firekeep" rules replay --url="$url" --start="$start" --end="$now" --config.file="$work/many_conf.yml" --group=many "$@"
}
claim "many rules: they are replayed" many
claim "many rules: what they recorded" recorded --url="$url" "$work/many1.csv" '{__name__=~"many:.*"}'
sed -i 's/vector(\([0-9]*\))/vector(\1 + 1)/' "$work/many.yml"
claim "many rules: their results are overwritten" many --overwrite --resume="$work/many.state"
claim "many rules: it is one deletion" eval 'curl -sf "$url/api/v1/admin/tsdb/deletions" |
    jq -e "[.data[] | select(.selector | contains(\"many:1|many:2|\"))] | length == 1"'
claim "many rules: what they record now" recorded --url="$url" "$work/many2.csv" '{__name__=~"many:.*"}'
claim "many rules: each result is another one" eval \
    '(($(wc -l <"$work/many1.csv") == $(wc -l <"$work/many2.csv") && $(comm -12 "$work/many1.csv" "$work/many2.csv" | wc -l) == 1))'

# --- more deletions than can be held ------------------------------------------------------------------

labelled() { # FILE GROUPS RULES: each rule sets another label
    echo "groups:" >"$1"
    for ((g = 1; g <= $2; g++)); do
        printf '%s\n' "- name: g$g" "  interval: 1h" "  rules:"
        for ((i = 1; i <= $3; i++)); do
            echo "  - {record: \"held:$g\", expr: \"vector(1)\", labels: {n: \"$i\"}}"
        done
    done >>"$1"
    echo "rule_files: [$1]" >"$1.conf"
}
held() { # FILE ARGUMENT...
    (cd "$work" && "$firekeep" rules replay --start="$start" --end="$now" --config.file="$1.conf" "${@:2}" >"$work/replay.out" 2>&1)
    local status=$?
    cat "$work/replay.out"
    return $status
}
values() { # VALUE TARGET: prints how many results have it
    "$firekeep" export "$2" --start="$start" --end="$now" --match='{__name__=~"held:.*"}' --format=prometheus 2>/dev/null |
        grep -c "^held:.* $1 [0-9]*$"
}
reaches_limit() { # KIND TARGET ADVICE
    sed -i "s/vector($value)/vector($((value + 1)))/" "$work/held.yml"
    ((value++))
    claim "limit, $1: two of three groups are overwritten" fails 1 "that can be held, it needs 100: $3" \
        held "$work/held.yml" "$2" --overwrite
    claim "limit, $1: only what was written is counted" says "of 3 groups, $(values $value "$2") samples; "
    claim "limit, $1: again, it begins with the third group" fails 1 "continuing: 2 of 3 groups are done" \
        held "$work/held.yml" "$2" --overwrite
    claim "limit, $1: nothing else is deleted" fails 1 "" says "deleted"
}
is_overwritten() { # KIND TARGET
    claim "limit, $1: the same command ends then" held "$work/held.yml" "$2" --overwrite
    claim "limit, $1: all results are new" test "$(values $value "$2")" = "$all"
    claim "limit, $1: no file stays" fails 1 "" compgen -G "$work/firekeep-replay*"
}
serve_held() {
    start_firekeep held "$work/g" "$port2" --web.enable-admin-api
}
make_final() {
    curl -sf -X POST "http://127.0.0.1:$port2/api/v1/admin/tsdb/clean_tombstones"
}
labelled "$work/split.yml" 1 260
claim "limit: a group that needs too many deletions is refused" fails 1 "260 deletions, one for each rule with labels" \
    held "$work/split.yml" --storage.path="$work/e" --overwrite
claim "limit: it is to be split" says "split the group"
claim "limit: repeating does not help" fails 1 "" says "same command"
labelled "$work/held.yml" 3 100
claim "limit: samples are imported" "$firekeep" import --storage.path="$work/g" --format=openmetrics "$work/in.om"
claim "limit: three groups of 100 rules with labels" held "$work/held.yml" --storage.path="$work/g"
value=1
all=$(values $value --storage.path="$work/g")
claim "limit: their results" test "$all" -ge 1500
reaches_limit directory --storage.path="$work/g" "wait until delete.hold has passed, or POST /api/v1/admin/tsdb/clean_tombstones to a server that uses the directory, "
claim "limit, directory: a server is started" serve_held
claim "limit, directory: deletions are made final" make_final
claim "limit, directory: it stops" stop held
is_overwritten directory --storage.path="$work/g"

# --- a server that refuses ---------------------------------------------------------------------------

refused_overwrite() {
    fails 1 "status 503: the admin API is disabled; start with --web.enable-admin-api" \
        through --tenant=anonymous --overwrite --resume="$work/refused.state" &&
        ! compgen -G "$work/refused.state.[0-9]*" && ! grep "same command" "$work/replay.out"
}
claim "refused: the server stops" stop server
claim "path: in its directory another one is refused, too" fails 1 "the path decides when rules are evaluated" on_moved "$work/a"
claim "refused: with tenants, and without the admin API" start_firekeep server "$work/a" "$port" --tenancy.enabled --rules.api
claim "refused: what is missing is said, as a sentence" fails 1 "status 401: missing header X-Scope-OrgID; use --tenant" \
    "$firekeep" rules list --url="$url"
claim "refused: a path that is not the server's is told so" fails 1 "; --url must end with the server's web.route_prefix" \
    "$firekeep" rules list --url="$url/elsewhere" --tenant=nobody
claim "refused: a tenant without rules is told so" fails 0 "$url evaluates no rules of tenant nobody" \
    "$firekeep" rules list --url="$url" --tenant=nobody
claim "refused: the admin API is named, and nothing is to be continued" refused_overwrite

# --- downsampled samples ------------------------------------------------------------------------------

cat >"$work/levels.yml" <<END
rule_files: [$work/level_rules.yml]
downsampling:
- {match: '{__name__!~"level:.*"}', after: 1h, resolution: 1h}
END
cat >"$work/level_rules.yml" <<'END'
groups:
- name: levels
  interval: 10m
  rules:
  - {record: "level:count", expr: "count_over_time(requests_total[1h])"}
  - {record: "level:rate", expr: "rate(requests_total[5m])"}
- name: aligned
  interval: 10m
  rules:
  - {record: "level:whole", expr: "count_over_time(requests_total[1h] @ ALIGNED)"}
END
levels_end=$((now / 3600 * 3600 - 7200))
sed -i "s/ALIGNED/$((levels_end - 7200))/" "$work/level_rules.yml"
/usr/bin/python3 - "$work/level.om" "$levels_end" <<'END'
import sys
path, end = sys.argv[1], int(sys.argv[2])
with open(path, "w") as to:
    to.write("# TYPE requests counter\n")
    value = 0
    for t in range(end - 5 * 3600, end, 15):
        value += t // 15 * 7919 % 1000
        to.write(f'requests_total{{job="a"}} {value} {t}\n')
    to.write("# EOF\n")
END
levels() { # ARGUMENT...
    "$firekeep" rules replay --start=$((levels_end - 3 * 3600)) --end=$((levels_end - 3600)) --config.file="$work/levels.yml" "$@"
}
level_results() { # TARGET FILE
    recorded "$1" "$2" '{__name__=~"level:.*"}'
}
start=$((levels_end - 6 * 3600))
serve_levels() {
    start_firekeep levels "$work/levels" "$port2" --config.file="$work/levels.yml" --web.enable-admin-api
}
claim "levels: another server" serve_levels
url2=http://127.0.0.1:$port2
claim "levels: samples" "$firekeep" import --url="$url2" --format=openmetrics "$work/level.om"
claim "levels: rules are replayed over samples" levels --url="$url2"
claim "levels: what they recorded" level_results --url="$url2" "$work/level1.csv"
claim "levels: samples are downsampled" eval 'curl -sf -X POST "$url2/api/v1/admin/tsdb/flush" >/dev/null &&
    curl -sf -X POST "$url2/api/v1/admin/tsdb/merge?full=true" >/dev/null'
for target in "--url=$url2" "--storage.path=$work/levels"; do
    kind=${target%%=*}
    [[ $kind == --url ]] || claim "levels: the server stops" stop levels
    claim "levels, $kind: approximate results are refused" fails 1 "samples are downsampled to 1h" levels "$target" --group=levels
    claim "levels, $kind: nothing is deleted for them" fails 1 "put each evaluation at the end of a window" \
        levels "$target" --group=levels --overwrite --resume="$work/levels.state"
    claim "levels, $kind: whole windows give the results of samples" levels "$target" --group=aligned
    claim "levels, $kind: what was recorded" level_results "$target" "$work/level2.csv"
    claim "levels, $kind: it is there" same "$work/level1.csv" "$work/level2.csv"
    rm -f "$work"/levels.state*
done
claim "levels: approximate results are recorded if told" levels --storage.path="$work/levels" --group=levels --overwrite \
    --allow-approximate --resume="$work/levels.state"
claim "levels: what is recorded in the directory" level_results --storage.path="$work/levels" "$work/level3.csv"
claim "levels: they are others" fails 1 "" cmp -s "$work/level1.csv" "$work/level3.csv"
done_testing
