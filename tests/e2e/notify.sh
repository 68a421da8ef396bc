#!/bin/bash
# notify.sh - alerts reach real Alertmanagers: all members, while one is killed and another one is
# stopped; over TLS and with a password; found by files and a server; with Retry-After, refusals,
# errors, slow and long answers of a proxy before one of them. tools/notifyrun is a stand-alone
# notifier.

. tests/lib.sh
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control one two three proxied secure list prometheus
prometheus3=$PEERS/prometheus/usr/bin/prometheus

command -v prometheus-alertmanager >/dev/null || skip_all "Alertmanagers are told" "no prometheus-alertmanager"

cat >"$work/alertmanager.yml" <<'END'
route: {receiver: none}
receivers: [{name: none}]
END

# --- Alertmanagers ----------------------------------------------------------------------------------

start_alertmanager() { # NAME [ARGUMENT...]
    start "$1" prometheus-alertmanager --config.file="$work/alertmanager.yml" --storage.path="$work/$1" \
        --web.listen-address="127.0.0.1:${port[$1]}" --cluster.listen-address= --log.level=warn "${@:2}"
}

starts() { # NAME...
    local name
    for name; do
        start_alertmanager "$name" && wait_ready "$name" "$(url_of "$name")/-/ready" || return 1
    done
}

# Prints the alerts that it considers firing.
alerts_of() { # NAME
    quiet_curl "$(url_of "$1")/api/v2/alerts"
}

knows() { # NAME COUNT
    local count
    count=$(alerts_of "$1" | jq 'length')
    echo "$1 knows $count"
    [[ $count == "$2" ]]
}

all_know() { # COUNT NAME...
    local name
    for name in "${@:2}"; do
        knows "$name" "$1" || return 1
    done
}

pause() { # NAME
    local found
    _find "$1" && kill -STOP -- "-${pids[found]}"
}

resume() { # NAME
    local found
    _find "$1" && kill -CONT -- "-${pids[found]}"
}

# --- the notifier -----------------------------------------------------------------------------------

notifies() { # ARGUMENT...: say() sends it commands
    rm -f "$work/in" "$work/out"
    mkfifo "$work/in" "$work/out" || return 1
    # shellcheck disable=SC2016 # the inner shell's own arguments
    start notifier bash -c 'exec "${@:2}" <"$0" >"$1"' "$work/in" "$work/out" "$TOOLS/notifyrun" "$@"
    exec {to_notifier}>"$work/in" {from_notifier}<"$work/out"
}

say() { # COMMAND: prints the answer
    local line
    echo "$*" >&"$to_notifier" || return 1
    while read -r -t 60 -u "$from_notifier" line; do
        [[ $line != . ]] || return 0
        echo "$line"
    done
    echo "no answer to $*"
    return 1
}

ends() { # false if it ends with an error: memory was leaked
    say end
    exec {to_notifier}>&- {from_notifier}<&-
    within 20 has_ended
    stop notifier
}

has_ended() {
    ! is_running notifier
}

is_idle() { # within SECONDS
    [[ $(say "idle $1") == yes ]]
}

number() { # METRIC NAME: of a member
    say metrics | awk -v name="firekeep_notifications_$1{alertmanager=\"$(url_of "$2")/api/v2/alerts\"}" '$1 == name {print $2}'
}

has_number() { # METRIC NAME VALUE
    local value
    value=$(number "$1" "$2")
    echo "$1 of $2 is $value"
    [[ $value == "$3" ]]
}

lists_members() { # NAME...
    local want=() name
    for name; do
        want+=("$(url_of "$name")/api/v2/alerts")
    done
    say members | tee "$work/members.txt"
    [[ $(jq -r '.activeAlertmanagers[].url' "$work/members.txt" | sort) == "$(printf '%s\n' "${want[@]}" | sort)" ]]
}

three=(--target="127.0.0.1:${port[one]}" --target="127.0.0.1:${port[two]}" --target="127.0.0.1:${port[three]}")

# --- sent alerts -----------------------------------------------------------------------------------

is_told_as_it_is() {
    say 'alert alertname=Odd,x=y\z -60000 240000 up{job="a b"} == 0 or vector(1)' && is_idle 10 || return 1
    alerts_of one | jq -c 'map(select(.labels.alertname == "Odd")) | .[0] |
        [.labels, .annotations, .generatorURL, ((.endsAt | sub("\\..*"; "Z") | fromdate) - (.startsAt | sub("\\..*"; "Z") | fromdate))]' |
        tee "$work/odd.txt"
    [[ $(cat "$work/odd.txt") == '[{"alertname":"Odd","region":"eu","x":"y\\z"},{"summary":"a \"summary\""},"http://firekeep:9201/graph?g0.expr=up%7Bjob%3D%22a+b%22%7D+%3D%3D+0+or+vector%281%29&g0.tab=1",300]' ]]
}

all_are_told_of_many() {
    say 'many 300 86400000 alertname=Many' && is_idle 20 && all_know 301 one two three
}

all_are_told_of_their_end() {
    say 'many 300 -1 alertname=Many' && is_idle 20 && within 10 all_know 1 one two three
}

goes_on_without_the_dead_one() {
    crash one || return 1
    say 'many 200 86400000 alertname=Dead' && within 20 all_know 201 two three && within 20 has_number queue_length one 200
}

is_told_when_it_is_back() {
    starts one && is_idle 60 && knows one 200 && has_number dropped_total one 0
}

# Its port accepts connections and requests, and does not answer.
goes_on_without_the_stopped_one() {
    local before
    is_idle 60 && pause two || return 1
    before=$(number sent_total two)
    say 'many 200 86400000 alertname=Stopped' && within 20 knows three 401 && within 20 knows one 400 && has_number sent_total two "$before"
}

is_told_when_it_goes_on() {
    resume two && is_idle 60 && knows two 401 && has_number dropped_total two 0
}

# Alertmanager refuses a request with an alert that ends before it starts, and takes the others in it.
refused_alone() {
    say 'many 100 86400000 alertname=Good' && say 'alert alertname=Bad,times=swapped 7200000 3600000' && say 'many 100 86400000 alertname=Fine' || return 1
    is_idle 30 && all_know 601 two three && knows one 600 && has_number dropped_total three 1 || return 1
    grep -q 'alert refused by Alertmanager, dropped.*swapped' "$work/notifier.log"
}

log_has() { # COUNT TEXT
    local count
    count=$(grep -c "$2" "$work/notifier.log")
    echo "$count times '$2'"
    ((count == $1))
}

claim "three Alertmanagers start" starts one two three || exit 1
claim "a notifier starts" notifies "${three[@]}" --external=region=eu --external-url=http://firekeep:9201/ --timeout=10000 --queue=1000
claim "it lists its members" lists_members one two three
claim "an alert is told with all that it has" is_told_as_it_is
claim "all are told of many alerts" all_are_told_of_many
claim "all are told that they ended" all_are_told_of_their_end
claim "a member that is killed delays no other" goes_on_without_the_dead_one
claim "it is told when it is back" is_told_when_it_is_back
claim "the log says so once each" eval 'log_has 1 "cannot send alerts to Alertmanager" && log_has 1 "accepts alerts again"'
claim "a member that is stopped delays no other" goes_on_without_the_stopped_one
claim "it is told when it goes on" is_told_when_it_goes_on
claim "an alert that is refused is found among others and dropped alone" refused_alone
claim "the notifier ends without having lost memory" ends
crash one

# --- a proxy before one of them ---------------------------------------------------------------------

proxied=(--target="127.0.0.1:${port[proxied]}" --timeout=3000)

begins() { # ARGUMENT...: a fresh Alertmanager after the proxy
    stop three
    starts three && notifies "${proxied[@]}" "$@"
}

obeys_retry_after() {
    local before after
    fault proxied status '"status": 503, "retry_after": 4, "times": 1' || return 1
    before=$(now_ms)
    say 'alert alertname=Later 0 86400000' && is_idle 30 || return 1
    after=$(now_ms)
    echo "after $((after - before)) ms"
    ((after - before > 4000)) && has_number errors_total proxied 1 && knows three 1
}

tries_again() { # KIND MEMBERS COUNT
    fault proxied "$1" "$2" && say "alert alertname=Again,kind=$1 0 86400000" && is_idle 30 && knows three "$3"
}

# An answer that is too long is not a success, and the alert is sent later.
survives_long_answers() {
    fault proxied status '"status": 200, "times": 1, "bytes": 40000000' && say 'alert alertname=Long 0 86400000' && is_idle 30 && knows three "$1"
}

claim "a proxy starts before one of them" start_proxy proxied=alertmanager:three -- --record proxied="$work/ours.record"
claim "a notifier starts behind it" begins
claim "Retry-After is obeyed" obeys_retry_after
claim "an error of the server is tried again" tries_again error '"times": 2' 2
claim "so is a connection that is cut before it is answered" tries_again cut_before '"times": 1' 3
claim "and one that is cut afterwards" tries_again cut '"times": 1' 4
claim "an answer without an end does no harm" survives_long_answers 5
claim "the notifier ends" ends

# --- as Prometheus ----------------------------------------------------------------------------------

body_of() { # FILE: the last record that has the alert, without times
    /usr/bin/python3 -c '
import json, struct, sys
data, at, last = open(sys.argv[1], "rb").read(), 0, None
while at < len(data):
    size = struct.unpack_from("<I", data, at)[0]
    for alert in json.loads(data[at + 4:at + 4 + size]):
        if alert["labels"]["alertname"] == "Odd":
            last = alert
    at += 4 + size
last["times"] = [len(last.pop(key)) for key in ("startsAt", "endsAt")]
print(json.dumps(last, sort_keys=True, indent=1))' "$1"
}

expression='vector(1) > 0 unless label_replace(vector(2), "ab", "~*é()/?&=+% #", "", "") == 4'
prometheus_has_told() {
    [[ -s $work/ours.record ]]
}

same_as_prometheus() {
    mkdir -p "$work/prometheus"
    printf '%s\n' 'groups:' '- name: g' '  interval: 1s' '  rules:' '  - alert: Odd' '    expr: |-' "      $expression" \
        '    labels: {job: "x \"y\" \\ z"}' '    annotations: {summary: "a \"summary\""}' >"$work/rules.yml"
    printf '%s\n' 'global: {external_labels: {region: eu}}' "rule_files: ['$work/rules.yml']" \
        "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:${port[proxied]}']}]}]}" >"$work/prometheus.yml"
    : >"$work/ours.record"
    start prometheus "$prometheus3" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="127.0.0.1:${port[prometheus]}" --web.external-url=http://firekeep:9201/x/ --rules.alert.resend-delay=1s
    within 60 prometheus_has_told || return 1
    stop prometheus
    body_of "$work/ours.record" >"$work/theirs.txt" || return 1
    : >"$work/ours.record"
    notifies "${proxied[@]}" --external=region=eu --external-url=http://firekeep:9201/x/
    say "alert alertname=Odd,job=x_\"y\"_\\_z 0 86400000 $expression" && is_idle 10 || return 1
    body_of "$work/ours.record" | sed 's/x_/x /; s/_\(\\\\\)_/ \1 /' >"$work/ours.txt"
    diff "$work/theirs.txt" "$work/ours.txt"
}

if [[ -x $prometheus3 ]]; then
    claim "an alert is told as a real Prometheus 3 does" same_as_prometheus
    ends
else
    skip "an alert is told as a real Prometheus 3 does" "tests/peers/fetch gets it"
fi

# --- TLS, a password, a path ------------------------------------------------------------------------

is_secure() {
    make_certificate there localhost DNS:localhost || return 1
    # The password is "secret".
    printf '%s\n' "tls_server_config: {cert_file: $work/there.pem, key_file: $work/there.key}" \
        "basic_auth_users: {us: \"\$2b\$05\$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\"}" >"$work/web.yml"
    start_alertmanager secure --web.config.file="$work/web.yml" --web.route-prefix=/am
    within 20 secure_curl /-/ready
}

secure_curl() { # PATH
    curl -fsS --noproxy '*' --cacert "$work/there.pem" -u us:secret "https://localhost:${port[secure]}/am$1"
}

is_told_securely() {
    say 'alert alertname=Secret 0 86400000' && is_idle 10 || return 1
    [[ $(secure_curl /api/v2/alerts | jq -r '.[].labels.alertname') == Secret ]]
}

# The same with a wrong password: nothing is dropped, and the problem is reported.
is_refused() {
    say 'alert alertname=Lost 0 86400000' && within 20 grep 'cannot send alerts.*http_401' "$work/notifier.log" && [[ $(say 'idle 2') == no ]]
}

claim "an Alertmanager with TLS and a password starts" is_secure
claim "a notifier knows the password" notifies --target="localhost:${port[secure]}" --scheme=https --ca-file="$work/there.pem" --username=us --password=secret --prefix=/am
claim "it is told" is_told_securely
ends
claim "another does not" notifies --target="localhost:${port[secure]}" --scheme=https --ca-file="$work/there.pem" --username=us --password=wrong --prefix=/am
claim "it waits, and says why" is_refused
ends
stop secure

# --- found ------------------------------------------------------------------------------------------

lists_in_file() { # NAME...
    local name addresses=''
    for name; do
        addresses+="${addresses:+, }\"127.0.0.1:${port[$name]}\""
    done
    echo "[{\"targets\": [$addresses]}]" >"$work/next.json" && mv "$work/next.json" "$work/targets.json"
}

starts_list() {
    mkdir -p "$work/www"
    lists_in_file two && cp "$work/targets.json" "$work/www/list.json"
    start list /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$work/www" "${port[list]}"
    within 10 answers list "$(url_of list)/list.json"
}

moves_to_the_other_member() {
    say 'alert alertname=Found 0 86400000' && is_idle 10 && alerts_of two | grep -q Found || return 1
    lists_in_file three && within 10 lists_members three && say 'alert alertname=Moved 0 86400000' && is_idle 10 && alerts_of three | grep -q Moved
}

follows_the_list() {
    within 10 lists_members two && cp "$work/targets.json" "$work/www/list.json" && within 10 lists_members three || return 1
    echo nonsense >"$work/www/list.json"
    within 10 grep -q 'cannot get targets from server' "$work/notifier.log" && lists_members three
}

lists_in_file two
claim "a notifier reads a file" notifies --file="$work/t*.json" --refresh=500
claim "it finds a member" within 10 lists_members two
claim "it moves to another one" moves_to_the_other_member
ends
claim "a server lists members" starts_list
claim "a notifier asks it" notifies --list="$(url_of list)/list.json" --refresh=500
lists_in_file three
claim "it follows the list, and keeps what was good" follows_the_list
ends
done_testing
