# shellcheck shell=bash disable=SC2154
# rules_lib.sh - sourced by tests of rules on a running server, after lib.sh: rules/world.py, the
# rules and alerts of the server at $url, and the alerts that it sent. The caller sets `work`,
# `url`, `world` and `world_port`.

unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

begin_world() { # [WRITE_URL...]
    start world tests/rules/world.py "$world_port" "$@" && wait_ready world "$world/metrics"
}

set_world() { # NAME=VALUE...
    local IFS='&'
    "$TOOLS/get" "$world/set?$*"
}

pid_of() { # NAME
    local found
    _find "$1" && echo "${pids[found]}"
}

ask() { # QUERY [ARGUMENT...]
    curl -sfG "$url/api/v1/query" --data-urlencode "query=$1" "${@:2}"
}

# Prints the value of an instant query of one series; empty if there is none.
value() { # EXPRESSION [TIME]
    ask "$1" ${2:+-d "time=$2"} | jq -r '.data.result[0].value[1] // empty'
}

value_is() { # EXPRESSION VALUE [TIME]
    local got
    got=$(value "$1" "${3-}")
    echo "$1 is '$got'"
    [[ $got == "$2" ]]
}

metric_is() { # START VALUE
    "$TOOLS/metrics" "$url" "$within_seconds" are "$1" = "$2"
}

metric_is_above() { # START VALUE
    "$TOOLS/metrics" "$url" "$within_seconds" are "$1" '>' "$2"
}

# --- rules and alerts ----------------------------------------------------------------------------

# A line each: FILE GROUP NAME HEALTH ERROR.
rules() {
    "$TOOLS/get" "$url/api/v1/rules" | jq -r '.data.groups[] | . as $g | .rules[] | "\($g.file | sub(".*/"; "")) \($g.name) \(.name) \(.health) \(.lastError // "")"'
}

rule_says() { # NAME PATTERN: of its health and error
    rules | grep " $1 " | tee "$work/said.txt"
    grep -q -- " $1 $2" "$work/said.txt"
}

has_groups() { # FILE:GROUP...
    local said
    said=$("$TOOLS/get" "$url/api/v1/rules" | jq -r '[.data.groups[] | "\(.file | sub(".*/"; "")):\(.name)"] | sort | join(" ")')
    echo "groups: $said"
    [[ $said == "$*" ]]
}

# NAME STATE ACTIVE_AT, in seconds.
alert() { # NAME
    "$TOOLS/get" "$url/api/v1/alerts" | jq -r ".data.alerts[] | select(.labels.alertname == \"$1\") | \"\(.labels.alertname) \(.state) \(.activeAt | sub(\"\\\\..*\"; \"\") | sub(\"Z\"; \"\"))\""
}

fires() { # NAME...
    local name said
    for name; do
        said=$(alert "$name")
        echo "alert: ${said:-no $name}"
        [[ $said == "$name firing "* ]] || return 1
    done
}

has_no_alert() { # NAME...
    local name
    for name; do
        alert "$name" | grep . && return 1
    done
    return 0
}

# --- sent alerts ------------------------------------------------------------------------------

# Prints the notifications about an alert, one per line: firing|resolved STARTS ENDS.
told() { # NAME [WHO]
    "$TOOLS/get" "$world/told?who=${2:-firekeep}&about=$1"
}

is_told() { # NAME firing|resolved
    told "$1" | tail -n 1 | tee "$work/told.txt"
    [[ $(cut -d ' ' -f 1 "$work/told.txt") == "$2" ]]
}

told_count() { # NAME
    told "$1" | wc -l
}

is_told_again() { # NAME COUNT: more often than that
    (($(told_count "$1") > $2))
}

never_told_as_resolved() { # NAME...
    local name
    for name; do
        told "$name" | grep '^resolved' && return 1
    done
    return 0
}

# --- reloads ------------------------------------------------------------------------------------

lines_of_log() {
    wc -l <"$work/firekeep.log"
}

log_says_since() { # LINE PATTERN
    tail -n "+$(($1 + 1))" "$work/firekeep.log" | grep -m 1 -e "$2"
}

hangup() {
    local since
    since=$(lines_of_log)
    kill -HUP "$(pid_of firekeep)" && within 20 log_says_since "$since" 'configuration reload'
}

post_reload() { # prints status and answer
    curl -s --max-time 20 -X POST -w '%{http_code}\n' "$url/-/reload"
}

reloads() { # by SIGHUP and by a request
    hangup | grep 'msg="configuration reloaded"' && post_reload | grep 200 && metric_is firekeep_config_last_reload_successful 1
}

refuses_reload() { # STATUS PATTERN: of the reason
    local since
    since=$(lines_of_log)
    hangup | grep -e "configuration reload failed, keeping the old configuration.*$2" || {
        log_says_since "$since" .
        return 1
    }
    post_reload >"$work/answer.txt"
    cat "$work/answer.txt"
    grep -q -e "$2" "$work/answer.txt" && [[ $(tail -n 1 "$work/answer.txt") == "$1" ]] && metric_is firekeep_config_last_reload_successful 0
}
