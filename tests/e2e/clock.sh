#!/bin/bash
# clock.sh - a clock that jumps years ahead and back: the server is ready again when the clock is
# right, unless a sender's sample of the future is stored; then its message has the remedy, which
# makes it ready.

. tests/lib.sh
mapfile -t ports < <(free_ports 1)
url=http://127.0.0.1:${ports[0]}
data=$work/data
years=$((3 * 365 * 86400)) # in seconds, how far the clock jumps

get() { # PATH [CURL-ARGUMENT...]
    local path=$1
    shift
    curl -s --noproxy '*' "$@" "$url$path"
}

serve() {
    start firekeep env LD_PRELOAD="$work/clock.so" CLOCK_AHEAD="$work/ahead" build/firekeep serve --storage.path="$data" \
        --web.listen-address="127.0.0.1:${ports[0]}" --web.enable-admin-api --config.file="$work/firekeep.yml"
}

serve_and_wait() {
    serve && wait_ready firekeep "$url/-/ready"
}

serve_alive() {
    serve && wait_ready firekeep "$url/-/healthy"
}

prepare() {
    "${CC:-cc}" -shared -fPIC -O1 -o "$work/clock.so" tests/doubles/clock.c || return 1
    printf '%s\n' 'groups:' '- name: clock' '  interval: 1s' '  rules:' '  - {record: one, expr: vector(1)}' >"$work/rules.yml"
    printf '%s\n' 'self_scrape: {interval: 1s}' 'rules: {catch_up_wait: 2s}' "rule_files: ['$work/rules.yml']" >"$work/firekeep.yml"
    set_clock 0 && serve_and_wait && import_at 0
}

set_clock() { # SECONDS ahead
    echo "$1" >"$work/next" && mv "$work/next" "$work/ahead"
}

import_at() { # SECONDS ahead of the machine
    printf 'sent 1 %s\n' $(($(now_ms) + $1 * 1000)) >"$work/sent.prom"
    build/firekeep import --url="$url" "$work/sent.prom" 2>&1
}

ready() { # TEXT [STATUS]
    local answer
    answer=$(get /-/ready -w ' %{http_code}')
    echo "$answer"
    [[ $answer == *"$1"*" ${2:-200}" ]]
}

is_ready() {
    ready "Firekeep is ready."
}

metric_is() { # NAME VALUE
    get /metrics | grep -F "$1 " | tee /dev/stderr | grep -qxF "$1 $2"
}

has() { # EXPRESSION SECONDS-AHEAD: a result there
    local answer
    answer=$(get /api/v1/query --data-urlencode "query=$1" --data-urlencode "time=$(($(date +%s) + $2))")
    echo "$answer"
    [[ $answer == *'"value"'* ]]
}

admin() { # PATH [CURL-ARGUMENT...]
    local path=$1 answer
    shift
    answer=$(get "/api/v1/admin/tsdb/$path" -X POST -w ' %{http_code}' "$@")
    echo "$answer"
    [[ $answer == *" 20"? ]]
}

delete_as_shown() {
    local answer
    answer=$(get /-/ready)
    [[ $answer =~ POST\ (/[^ ]+) ]] || return 1
    answer=$(get "${BASH_REMATCH[1]}" -X POST -w ' %{http_code}')
    echo "$answer"
    [[ $answer == *" 200" ]]
}

# --- samples of the server ------------------------------------------------------------------------

jumps_ahead() {
    set_clock "$years" && within 20 has 'up{job="firekeep-self"}' "$years" && within 20 has one "$years"
}

claim "a server with rules and its own metrics starts" prepare
claim "years ahead: it writes at the times of its clock" jumps_ahead
claim "years ahead: it is ready" is_ready
set_clock 0
doze 1.5
claim "back again: it is ready at once" is_ready
claim "back again: the clock is believed" metric_is firekeep_clock_suspect 0
before=$(date +%s)
written_since() { # EXPRESSION: a sample that is younger
    local answer
    answer=$(get /api/v1/query --data-urlencode "query=timestamp($1) >= $before")
    echo "$answer"
    [[ $answer == *'"value"'* ]]
}
claim "back again: its metrics are stored" within 20 written_since 'up{job="firekeep-self"}'
claim "back again: rules are evaluated" within 20 written_since one
claim "back again: senders are served" import_at 0
crash firekeep
claim "back again: it is ready after SIGKILL and a start" serve_and_wait
claim "back again: what was written in the future is flushed" admin flush
crash firekeep
claim "back again: it is ready after a flush, SIGKILL and a start" serve_and_wait
claim "back again: parts are merged" admin merge
claim "back again: a snapshot is taken" admin snapshot
claim "back again: SIGTERM ends it" stop firekeep
claim "back again: it is ready after a merge and a start" serve_and_wait

# --- samples of a sender --------------------------------------------------------------------------

set_clock "$years"
claim "a sender as far ahead: it is served" import_at "$years"
set_clock 0
claim "a sender as far ahead: the server is not ready when the clock is right" within 10 ready "admin/tsdb/delete_series" 503
claim "a sender as far ahead: the clock is not believed" metric_is firekeep_clock_suspect 1
claim "a sender as far ahead: the log says so" within 10 grep -q 'level=error.*the system clock is not believed' "$work/firekeep.log"
claim "a sender as far ahead: samples of now are taken" import_at 0
claim "a sender as far ahead: what is taken is not called refused" eval '! grep "refusing writes" "$work/firekeep.log"'
crash firekeep
claim "a sender as far ahead: it starts again" serve_alive
claim "a sender as far ahead: it is not ready after SIGKILL and a start, either" within 10 ready "admin/tsdb/delete_series" 503
claim "a sender as far ahead: the request that it shows deletes the samples" delete_as_shown
claim "a sender as far ahead: it is ready when they are deleted" within 10 is_ready
claim "a sender as far ahead: the log says that it is over" within 10 grep -q 'the system clock is believed again' "$work/firekeep.log"
crash firekeep
claim "a sender as far ahead: it is ready after SIGKILL and a start" serve_and_wait
claim "a sender as far ahead: what was deleted is removed from disk" admin clean_tombstones
claim "a sender as far ahead: SIGTERM ends it" stop firekeep
claim "a sender as far ahead: it is ready after that and a start" serve_and_wait
claim "a sender as far ahead: nothing is left of the future" eval '! has "{__name__!=\"\"}" "$years"'
claim "a sender as far ahead: SIGTERM ends it, the last time" stop firekeep
claim "the directory is intact" build/firekeep verify "$data"
done_testing
