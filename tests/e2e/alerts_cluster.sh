#!/bin/bash
# alerts_cluster.sh - alerts of Firekeep reach a pager by way of three real Alertmanagers, while
# members of their cluster are killed, stopped, cut off and partitioned, and Firekeep is killed:
# each alert is notified as firing and as resolved, never wrongly, and only twice if the cluster had
# trouble (tests/rules/pager.py checks that).
#
#   pager --remote write--> Firekeep --alerts--> one, two, three --notifications--> pager
#                                                 <--gossip-->
#
# Each member has a network of its own, if the kernel permits making them, and can be cut off from
# some of the others. EPISODES is the number of times each alert fires, about 75 s each; SEED
# decides when, and the events.


# Runs in a network of its own, which ends with the last process in it.
if [[ -z ${ALERTS_NETWORK-} ]]; then
    for flags in --net '--map-root-user --net'; do
        # shellcheck disable=SC2086 # words
        if command -v ip >/dev/null && unshare $flags ip link set lo up 2>/dev/null; then
            exec env ALERTS_NETWORK=own unshare $flags bash "$0"
        fi
    done
fi

. tests/lib.sh
seed=${SEED:-1}
episodes=${EPISODES:-$([[ ${LONG-} == 1 ]] && echo 12 || echo 1)}
members=(one two three)
declare -A web gossip
RANDOM=$seed

command -v prometheus-alertmanager >/dev/null || skip_all "a cluster of Alertmanagers is told" "no prometheus-alertmanager"

# --- networks ------------------------------------------------------------------------------------

has_own_network() {
    local found
    _find "network of $1" && [[ $(readlink "/proc/${pids[found]}/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

within_network() { # MEMBER COMMAND...
    local found
    _find "network of $1" && nsenter --net="/proc/${pids[found]}/ns/net" "${@:2}"
}

add_network() { # MEMBER ADDRESS
    local found
    start "network of $1" unshare --net sleep infinity
    within 10 has_own_network "$1" && _find "network of $1" &&
        ip link add "to_$1" type veth peer name lan netns "${pids[found]}" &&
        ip link set "to_$1" master lan up &&
        within_network "$1" ip link set lo up &&
        within_network "$1" ip addr add "$2/24" dev lan &&
        within_network "$1" ip link set lan up
}

# Firekeep is at .1, the pager at .2, and the members have a switch of their own.
make_networks() {
    [[ ${ALERTS_NETWORK-} == own ]] && ip link set lo up && ip link add name lan type bridge &&
        ip addr add 10.77.0.1/24 dev lan && ip addr add 10.77.0.2/24 dev lan && ip link set lan up &&
        add_network one 10.77.0.11 && add_network two 10.77.0.12 && add_network three 10.77.0.13
}

# --- the actors ----------------------------------------------------------------------------------

if make_networks >"$work/networks.txt" 2>&1; then
    read -r port pager_port < <(free_ports 2 | tr '\n' ' ')
    pager_address=10.77.0.2
    web=([one]=10.77.0.11:9093 [two]=10.77.0.12:9093 [three]=10.77.0.13:9093)
    gossip=([one]=10.77.0.11:9094 [two]=10.77.0.12:9094 [three]=10.77.0.13:9094)
    kinds=(one_is_killed Firekeep_is_killed one_is_cut_off all_are_parted two_are_killed
        Firekeep_is_killed_while_one_is_cut_off one_is_stopped one_hears_nothing_of_Firekeep one_reaches_no_pager)
else
    skip "members are cut off" "networks cannot be made here: $(head -n 1 "$work/networks.txt")"
    read -r port pager_port web_one web_two web_three gossip_one gossip_two gossip_three < <(free_ports 8 | tr '\n' ' ')
    pager_address=127.0.0.1
    web=([one]=127.0.0.1:$web_one [two]=127.0.0.1:$web_two [three]=127.0.0.1:$web_three)
    gossip=([one]=127.0.0.1:$gossip_one [two]=127.0.0.1:$gossip_two [three]=127.0.0.1:$gossip_three)
    kinds=(one_is_killed Firekeep_is_killed one_is_stopped two_are_killed Firekeep_is_killed_while_one_is_stopped)
fi
url=http://127.0.0.1:$port
pager=http://$pager_address:$pager_port
wait=2 # seconds of the third member, before it notifies; shorter than group_interval, so that it seldom is too late

# An alert is valid for four intervals of its group after it was sent to Alertmanagers, 20 s:
# trouble must be shorter, or else they consider it resolved.
write_configs() {
    local member
    cat >"$work/rules.yml" <<END
groups:
- name: at_once
  interval: 5s
  rules:
  - {alert: Loaded, expr: 'load{kind="at_once"} > 50', annotations: {summary: '{{ \$labels.n }} is at {{ \$value }}'}}
- name: waits
  interval: 5s
  rules:
  - {alert: Waited, expr: 'load{kind="waits"} > 50', for: 5s, labels: {severity: page}}
- name: kept
  interval: 5s
  rules:
  - {alert: Kept, expr: 'load{kind="kept"} > 50', keep_firing_for: 5s}
END
    cat >"$work/firekeep.yml" <<END
rule_files: ['$work/rules.yml']
rules: {resend_delay: 2s}
alerting: {alertmanagers: [{timeout: 2s, static_configs: [{targets: ['${web[one]}', '${web[two]}', '${web[three]}']}]}]}
END
    for member in "${members[@]}"; do
        cat >"$work/$member.yml" <<END
route: {receiver: pager, group_by: ['...'], group_wait: 1s, group_interval: 5s, repeat_interval: 1d}
receivers: [{name: pager, webhook_configs: [{url: '$pager/$member', max_alerts: 0}]}]
END
    done
}

begin_pager() {
    start pager tests/rules/pager.py "$pager_address" "$pager_port" "$url/api/v1/write" "$seed" "$episodes" "$wait" && wait_ready pager "$pager/open"
}

begin_firekeep() {
    start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml"
}

begin_member() { # NAME
    local found network=() peer peers=()
    for peer in "${members[@]}"; do
        [[ $peer == "$1" ]] || peers+=("--cluster.peer=${gossip[$peer]}")
    done
    _find "network of $1" && network=(nsenter --net="/proc/${pids[found]}/ns/net")
    start "$1" "${network[@]}" prometheus-alertmanager --config.file="$work/$1.yml" --storage.path="$work/$1" \
        --web.listen-address="${web[$1]}" --cluster.listen-address="${gossip[$1]}" --cluster.advertise-address="${gossip[$1]}" \
        "${peers[@]}" --cluster.peer-timeout="$((wait / 2))s" --cluster.gossip-interval=50ms --cluster.pushpull-interval=2s \
        --cluster.probe-interval=500ms --cluster.probe-timeout=300ms --cluster.tcp-timeout=1s \
        --cluster.reconnect-interval=1s --cluster.settle-timeout=10s --log.level=warn
}

quiet_curl() {
    curl -sf --noproxy '*' --max-time 2 "$@"
}

tell_pager() { # PATH
    quiet_curl "$pager/$1"
}

knows_all() { # NAME
    [[ $(quiet_curl "http://${web[$1]}/api/v2/status" | jq -r '"\(.cluster.status) \(.cluster.peers | length)"') == 'ready 3' ]]
}

all_know_each_other() {
    knows_all one && knows_all two && knows_all three
}

everybody_is_there() {
    local member
    write_configs
    for member in "${members[@]}"; do
        begin_member "$member"
    done
    within 30 all_know_each_other || { tail -n 3 "$work/one.log"; return 1; }
    begin_firekeep && begin_pager
}

# --- troubles ------------------------------------------------------------------------------------

# Short enough for alerts to stay valid.
last_a_while() {
    doze "$((3 + RANDOM % 3)).$((RANDOM % 10))"
}

signal() { # NAME SIGNAL
    local found
    _find "$1" && kill "-$2" -- "-${pids[found]}"
}

# Chooses members: `first`, `second`.
choose() {
    local at=$((RANDOM % 3))
    first=${members[at]} second=${members[(at + 1 + RANDOM % 2) % 3]}
}

address_of() { # MEMBER
    echo "${web[$1]%:*}"
}

one_is_killed() {
    crash "$first" && last_a_while && begin_member "$first"
}

two_are_killed() {
    crash "$first" && crash "$second" && last_a_while && begin_member "$first" && begin_member "$second"
}

Firekeep_is_killed() {
    crash firekeep && doze "$((RANDOM % 4))" && begin_firekeep
}

one_is_cut_off() {
    ip link set "to_$first" down && last_a_while && ip link set "to_$first" up
}

Firekeep_is_killed_while_one_is_cut_off() {
    ip link set "to_$first" down && Firekeep_is_killed && ip link set "to_$first" up
}

one_is_stopped() {
    signal "$first" STOP && last_a_while && signal "$first" CONT
}

Firekeep_is_killed_while_one_is_stopped() {
    signal "$first" STOP && Firekeep_is_killed && signal "$first" CONT
}

# Drops packets from one to the other.
lose() { # add|del MEMBER ADDRESS
    within_network "$2" ip route "$1" blackhole "$3/32"
}

part() { # add|del
    local from to
    for from in "${members[@]}"; do
        for to in "${members[@]}"; do
            [[ $from == "$to" ]] || lose "$1" "$from" "$(address_of "$to")" || return 1
        done
    done
}

all_are_parted() {
    part add && last_a_while && part del
}

one_hears_nothing_of_Firekeep() {
    lose add "$first" 10.77.0.1 && last_a_while && lose del "$first" 10.77.0.1
}

one_reaches_no_pager() {
    lose add "$first" "$pager_address" && last_a_while && lose del "$first" "$pager_address"
}

goes_through() { # KIND
    local first second of=cluster
    choose
    [[ $1 != Firekeep_is_killed ]] || of=sender
    [[ $1 != Firekeep_is_killed_while* ]] || of=both
    tell_pager "trouble?what=$1&of=$of" && "$1" && within 30 all_know_each_other && tell_pager healed
}

nothing_is_open() {
    local open
    open=$(tell_pager open)
    echo "$open are open"
    [[ $open == 0 ]]
}

# Says whether the kind may follow now. Alerts that ended while Firekeep was down are held until it has
# run for half a minute without samples of that time: it is given 45 s.
may_follow() { # KIND
    [[ $1 != Firekeep_is_killed* ]] || ((SECONDS >= killed_at + 45))
}

# Sets `kind`: first each in its turn, later at random, among those that may follow.
choose_kind() {
    local i
    for i in "${!turns[@]}"; do
        kind=${turns[i]}
        may_follow "$kind" && unset "turns[i]" && return
    done
    kind=${kinds[RANDOM % ${#kinds[@]}]}
    may_follow "$kind" || choose_kind
}

all_of_them() {
    local count=0 kind killed_at=-45 turns=("${kinds[@]}") until=$((SECONDS + 90 * episodes + 60))
    until nothing_is_open; do
        ((SECONDS < until)) || return 1
        choose_kind
        [[ $kind != Firekeep_is_killed* ]] || killed_at=$SECONDS
        count=$((count + 1))
        goes_through "$kind" || { echo "trouble $count, $kind"; return 1; }
        last_a_while
    done
}

# Prints failures before the figures.
is_well() {
    curl -s --noproxy '*' "$pager/log" >"$work/log.jsonl"
    curl -s --noproxy '*' "$pager/verdict" >"$work/verdict.txt"
    tell_pager verdict >/dev/null || { cat "$work/verdict.txt"; return 1; }
}

drops_none() {
    local dropped
    dropped=$(quiet_curl "$url/metrics" | awk '/^firekeep_notifications_dropped_total/ {sum += $2} END {print sum + 0}')
    echo "$dropped were dropped"
    [[ $dropped == 0 ]]
}

claim "three Alertmanagers, Firekeep and a pager are there" everybody_is_there || exit 1
claim "alerts fire, while members are killed, stopped, cut off and parted, and Firekeep is killed (seed $seed)" all_of_them
claim "each alert is notified when it fires and when it is over, and twice only where the cluster was in trouble" is_well &&
    sed 's/^/  /' "$work/verdict.txt"
claim "no alert was dropped" drops_none
done_testing
