#!/bin/bash
# scaling.sh - the first chapter of docs/scaling.md: Firekeeps without a store behind nginx, before
# two shards of ClickHouse, and one with rules. What is written arrives once, and queries through any
# of them have the answers of a store, while shards and Firekeeps stop and come back.
#
# Configurations are those of the page.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/scaling_lib.sh
. tests/scaling_lib.sh
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
command -v clickhouse-server >/dev/null || skip_all scaling "no clickhouse-server"
command -v nginx >/dev/null || skip_all scaling "no nginx"
store_port=$(PORTS_FROM=$((${PORTS_FROM:-20000} + 1)) free_ports 1)
store=http://127.0.0.1:$store_port

name_machines
lb=http://${at[lb:9200]} url=http://${at[fk1:9201]}
skips='<skip_unavailable_shards>1</skip_unavailable_shards>'

# The shards differ in their time zones; a user's profile would have partial answers.
shards_start() {
    start_shard ch1 "$skips" && start_shard ch2 '' Asia/Kathmandu && create_tables ch1 && create_tables ch2
}
firekeeps_start() {
    cat >"$work/rules/sums.yml" <<END
groups:
  - name: sums
    interval: 4s
    rules:
      - {record: "work:sum", expr: 'sum(last_over_time(work{part="a"}[9999d]))'}
END
    start_firekeep store "$work/store" "$store_port" && start_front fk1 ch1 --wal.ack-timeout=4s &&
        start_front fk2 ch2 --wal.ack-timeout=4s && start_ruler
}

# A capture of 200 series with two samples each. All times are in the past.
make_work() { # NAME PART
    for ((i = 0; i < 200; i++)); do
        echo "work{part=\"$2\",shop=\"$i\"} $i 1700000000000"
        echo "work{part=\"$2\",shop=\"$i\"} $((i * 3)) 1700000015000"
        ((i % 20 != 19)) || echo ---
    done | "$TOOLS/rwmake" >"$work/$1.rw"
}

both_take() { # CAPTURE [ARGUMENT...]: written through the balancer, and to the store
    "$TOOLS/rwreplay" "$work/$1.rw" "$lb" --check "${@:2}" && "$TOOLS/rwreplay" "$work/$1.rw" "$store" --check
}

rows() { # FROM: of both shards
    shard_query ch1 "SELECT count() FROM metrics.$1"
}
each_shard_has_rows() {
    local one two
    one=$(shard_query ch1 'SELECT count() FROM metrics.samples_local')
    two=$(shard_query ch2 'SELECT count() FROM metrics.samples_local')
    echo "$one and $two"
    ((one > 100 && two > 100))
}

# What rules recorded is not in the store.
same() { # URL
    "$TOOLS/rrcompare" "$store" "$1" "${whole[@]}" --streamed --quiet --match '{__name__!="work:sum"}'
}
all_have_the_same() {
    local machine
    for machine in fk1:9201 fk2:9201 fk3:9201 lb:9200; do
        same "http://${at[$machine]}" || { echo "$machine"; return 1; }
    done
}

asks() { # URL EXPRESSION
    curl -sG --noproxy '*' --max-time 60 "$1/api/v1/query_range" --data-urlencode "query=$2" -d start=1700000000 -d end=1700000060 -d step=15
}
asks_alike() { # URL EXPRESSION
    [[ $(asks "$1" "$2") == "$(asks "$store" "$2")" ]]
}
answers_are_the_same() {
    local expression machine expected
    for expression in 'work{shop=~"1.*"}' 'sum by (part) (rate(work[1m]))' 'topk(3, work)' 'histogram_quantile(0.9, latency)' 'count({__name__=~".+"}) by (__name__)'; do
        expected=$(asks "$store" "$expression")
        [[ $expected == '{"status":"success"'*'"values"'* ]] || { echo "$expression: $expected"; return 1; }
        for machine in fk1:9201 fk2:9201 fk3:9201 lb:9200; do
            [[ $(asks "http://${at[$machine]}" "$expression") == "$expected" ]] || { echo "$machine: $expression"; return 1; }
        done
    done
}

claim "both shards start, and have the tables of the page" shards_start || exit 1
claim "three Firekeeps and a store start" firekeeps_start || exit 1
claim "nginx takes the page's file" start_balancer || exit 1

# --- nothing fails ----------------------------------------------------------------------------------

every_kind | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"
make_work first a
claim "every kind of sample is acknowledged" both_take kinds
claim "so are requests on several connections" both_take first --concurrency 4
claim "each shard has a part of the rows" each_shard_has_rows
claim "each Firekeep has the samples of the store, bit for bit" all_have_the_same
claim "PromQL has the same answers, byte for byte" answers_are_the_same

has_more_than() { # ROWS
    [[ $(rows samples) -gt $1 ]]
}
arrives_twice() {
    local before
    before=$(rows 'samples FINAL')
    for machine in fk1 fk2; do
        "$TOOLS/rwreplay" "$work/first.rw" "http://${at[$machine:9201]}" --check || return 1
    done
    within 20 has_more_than "$before" && [[ $(rows "samples FINAL WHERE metric != 'work:sum'") == "$((15 + 400))" ]]
}
claim "the same batch through both Firekeeps is stored once" arrives_twice

records() { # COUNT: of results, without a hole
    local times
    times=$(shard_query ch1 "SELECT time FROM metrics.samples FINAL WHERE metric = 'work:sum' AND bits = 0 ORDER BY time")
    [[ $(wc -l <<<"$times") -ge $1 ]] && awk 'NR > 1 && $1 - last != 4000 { print last, $1; bad = 1 } { last = $1 } END { exit bad }' <<<"$times"
}
claim "results of the rules are in ClickHouse" within 20 records 2
claim "the balancer shows the rules" eval "quiet_curl \"\$lb/api/v1/rules\" | jq -e '.data.groups[0].rules[0].health == \"ok\"'"

# --- the Firekeep with the rules stops --------------------------------------------------------------

claim "without the rules' Firekeep" stop fk3
make_work second b
claim "writes are acknowledged" both_take second
claim "queries are answered" same "$lb"
claim "only the rules are missing" [ "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$lb/api/v1/rules")" == 502 ]
began_s=$(shard_query ch1 "SELECT intDiv(min(time), 1000) FROM metrics.samples WHERE metric = 'work:sum'")
sum_was=$(shard_query ch1 "SELECT count() FROM metrics.samples FINAL WHERE metric = 'work:sum' AND bits = 0")

# --- a Firekeep behind the balancer stops -----------------------------------------------------------

sender=0
sends_on() { # CAPTURE: in the background, again and again, until the file `enough` exists
    rm -f "$work/enough"
    while [[ ! -e $work/enough ]]; do
        "$TOOLS/rwreplay" "$work/$1.rw" "$lb" --check --concurrency 2 --retry 30 || exit 1
        echo round >>"$work/rounds"
    done >"$work/sender.txt" 2>&1 &
    sender=$!
}
has_sent() { # ROUNDS more
    (($(wc -l <"$work/rounds") >= $1))
}
sends_some_more() {
    within 30 has_sent $(($(wc -l <"$work/rounds") + 3))
}
stops_sending() {
    touch "$work/enough"
    wait "$sender" || { tail -n 5 "$work/sender.txt"; return 1; }
}
echo begin >"$work/rounds"
make_work third c
sends_on third
claim "a sender sends" sends_some_more
was_sent_writes() { # NAME
    "$TOOLS/metrics" "http://${at[$1:9201]}" "$within_seconds" are 'firekeep_waited_writes_total{outcome="confirmed"' '>' 0
}
for how in "crash fk1 ch1" "stop fk2 ch2"; do
    read -r ends name shard <<<"$how"
    "$ends" "$name"
    claim "$name ends ($ends): the sender goes on" sends_some_more
    claim "$name: queries are answered without it" asks_alike "$lb" 'work{part="a"}'
    claim "$name: it comes back" start_front "$name" "$shard" --wal.ack-timeout=4s
    claim "$name: the balancer uses it again" within 20 was_sent_writes "$name"
done
claim "no write of the sender failed in all this time" stops_sending
claim "the store has the same" "$TOOLS/rwreplay" "$work/third.rw" "$store" --check
claim "the rules' Firekeep comes back" start_ruler
claim "everything is there once" all_have_the_same
claim "evaluations that it missed are filled" within 40 records $((sum_was + 2))

# --- a shard stops ----------------------------------------------------------------------------------

fails_with() { # STATUS WORDS COMMAND...
    "${@:3}" 2>&1 | tee "$work/fails.txt"
    grep -q "$1" "$work/fails.txt" && grep -qF "$2" "$work/fails.txt"
}
make_work fourth d
crash ch2
claim "a shard is killed: a write is answered with 503, and the reason" fails_with 'status 503' 'Connection refused' \
    "$TOOLS/rwreplay" "$work/fourth.rw" "$url" --check --first 1
claim "no answer is partial, whatever the user's profile says" fails_with '"unavailable"' 'Connection refused' asks "$url" 'count(work)'
claim "the status has the reason" within 10 has_error clickhouse 'Connection refused'
claim "the Firekeeps stay ready" "$TOOLS/get" "$lb/-/ready"
"$TOOLS/rwreplay" "$work/fourth.rw" "$lb" --retry 60 --check >"$work/waits.txt" 2>&1 &
sender=$!
claim "the shard comes back" start_shard ch2 '' Asia/Kathmandu
claim "what the sender kept is acknowledged" wait "$sender"
claim "the store has it as well" "$TOOLS/rwreplay" "$work/fourth.rw" "$store" --check
claim "what rules could not read is evaluated again" build/firekeep rules replay --url="http://${at[fk3:9201]}" --config.file="$work/fk3.yml" --start="$began_s" --end=now
claim "and recorded" within 30 records $((sum_was + 3))
claim "nothing is lost, and everything is there once" all_have_the_same
claim "PromQL still has the answers of the store" answers_are_the_same

# --- a shard that may only be read -------------------------------------------------------------------

shard_is_readonly() { # NAME VALUE
    [[ $(shard_query ch2 "SELECT value FROM system.settings WHERE name = 'readonly'") == "$1" ]]
}
make_work fifth e
shard_profile ch2 '<readonly>2</readonly>'
claim "a shard can only be read" within 20 shard_is_readonly 2
# Connections between the shards keep the profile that they began with: fk2 is the one that asks ch2.
claim "a write is answered with 503, and the reason" fails_with 'status 503' 'readonly' \
    "$TOOLS/rwreplay" "$work/fifth.rw" "http://${at[fk2:9201]}" --check --first 1
claim "queries are answered" same "$url"
shard_profile ch2 ''
claim "it can be written again" within 20 shard_is_readonly 0
claim "writes go on" both_take fifth --retry 60
claim "everything is there once again" all_have_the_same
# --- everything is killed ---------------------------------------------------------------------------

storm() { # CAPTURE: written while one machine after the other is killed
    local machine
    "$TOOLS/rwreplay" "$1" "$lb" --retry 120 --check --concurrency 4 >"$work/storm.txt" 2>&1 &
    sender=$!
    for machine in ch2 fk1 ch1 fk2 ch2; do
        doze 1 # not awaited: any moment is a good one
        crash "$machine"
        case $machine in
        ch1) start_shard ch1 "$skips" ;;
        ch2) start_shard ch2 '' Asia/Kathmandu ;;
        fk1) start_front fk1 ch1 --wal.ack-timeout=4s ;;
        fk2) start_front fk2 ch2 --wal.ack-timeout=4s ;;
        esac || return 1
    done
    wait "$sender" || { tail -n 5 "$work/storm.txt"; return 1; }
}
if [[ ${LONG:-0} != 1 ]]; then
    skip "captures while everything is killed" "only with LONG=1"
elif [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "captures while everything is killed" "no captures beside the project"
else
    for name in v2hist node15s; do
        claim "$name: everything is acknowledged while machines are killed" storm "$SAMPLES/$name.rw"
        claim "$name: the store has the same" "$TOOLS/rwreplay" "$SAMPLES/$name.rw" "$store" --check
        claim "$name: each Firekeep has it, bit for bit" all_have_the_same
    done
fi
for name in fk1 fk2 fk3; do
    claim "SIGTERM ends $name with status 0" stop "$name"
done
done_testing
