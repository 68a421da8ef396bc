#!/bin/bash
# noninterference.sh - two servers whose data differ only in what a user may not see answer every
# request of that user with the same bytes, over each route of the API: by read_matchers, tenants,
# extra_filters[] and extra_label; from memory, parts and sources; with limits that only hidden
# series exceed. tests/tools/noninterference.py has the users, the data, the requests and the
# comparison.
#
#   alone  visible series        far    stores a part of them, reads the rest from alone
#   both   hidden series, too    wide   stores the rest, and reads from both

. tests/lib.sh
command -v python3 >/dev/null || skip_all "noninterference" "no python3"
read -r port other_port source_port other_source_port < <(free_ports 4 | tr '\n' ' ')
declare -A at=([alone]=http://127.0.0.1:$port [both]=http://127.0.0.1:$other_port
    [far]=http://127.0.0.1:$source_port [wide]=http://127.0.0.1:$other_source_port)
tool=tests/tools/noninterference.py
seed=${SEED:-1}
cases=$((${LONG:-0} == 1 ? 20000 : 400)) # of each stage
end_ms=$(($(now_ms) / 15000 * 15000))

# --- the servers ------------------------------------------------------------------------------------

write_config() { # NAME [LINE...]
    {
        cat <<END
storage: {path: $work/$1}
web: {enable_lifecycle: true, enable_admin_api: true}
tenancy: {enabled: true}
rules: {api: true}
global: {evaluation_interval: 1s}
END
        python3 "$tool" users
        printf '%s\n' "${@:2}"
    } >"$work/$1.yml"
}

# The same alerting rule has visible and hidden alerts; two groups have hidden ones only. All become
# active at once, when there is the series "go": their order is that in which they became so.
write_rules() {
    cat >"$work/rules.yml" <<'END'
groups:
- name: shared
  rules:
  - alert: Seen
    expr: last_over_time(up[2h]) and on () go
    labels: {shared: '{{ $labels.team }}'}
    annotations: {value: '{{ $value }}'}
END
    cat >"$work/hidden.yml" <<'END'
groups:
- name: a hidden group
  rules:
  - {alert: Hidden, expr: 'last_over_time(up{team="b"}[2h]) and on () go'}
- name: shared too
  rules:
  - {alert: Hidden, expr: 'last_over_time(up{team="b"}[2h]) and on () go'}
END
}

rules_of() { # FILE...
    printf 'tenants: {alerts: {rule_files: [%s]}}' "$(IFS=,; echo "${*/#/$work/}")"
}

begin() { # NAME
    # Federation has the last samples, which are as old as the script.
    start "$1" build/firekeep serve "$small_log" "--config.file=$work/$1.yml" "--web.listen-address=${at[$1]#http://}" --query.lookback-delta=90m
    wait_ready "$1" "${at[$1]}/-/ready"
}

begin_both() {
    begin alone && begin both
}

end_both() {
    stop alone && stop both
}

post() { # NAME PATH
    curl -fs --noproxy '*' -o "$work/answer" -X POST -H 'Authorization: Bearer root' -H 'X-Scope-OrgID: shop' -g "${at[$1]}$2"
}

both_do() { # PATH
    post alone "$1" && post both "$1"
}

# --- samples -----------------------------------------------------------------------------------------

send() { # FILE NAME TENANT
    "$TOOLS/rwreplay" "$1" "${at[$2]}/api/v1/write" --check --header "X-Scope-OrgID: $3" --header 'Authorization: Bearer root'
}

# Sends the samples of a stage in the order of files, hidden ones to one server only.
take_samples() { # STAGE ALONE BOTH
    local text name tenant version
    for text in "$work/samples/$1"-*.txt; do
        name=$(basename "$text" .txt)
        tenant=${name#*-*-}
        tenant=${tenant%-*}
        version=$([[ $1 == m ]] && echo 1 || echo 2)
        "$TOOLS/rwmake" --version "$version" <"$text" >"$work/$name.rw" || return 1
        send "$work/$name.rw" "$3" "$tenant" || return 1
        [[ $name == *-hidden ]] || send "$work/$name.rw" "$2" "$tenant" || return 1
    done
}

take_alerts() {
    local name
    echo "go 1 $(now_ms)" | "$TOOLS/rwmake" >"$work/go.rw" || return 1
    for name in a-0-shop-hidden a-1-shop-visible a-2-shop-hidden a-3-shop-visible; do
        send "$work/$name.rw" both alerts || return 1
        [[ $name == *-hidden ]] || send "$work/$name.rw" alone alerts || return 1
    done
    send "$work/go.rw" alone alerts && send "$work/go.rw" both alerts
}

alerts_of() { # NAME
    curl -fs --noproxy '*' -H 'Authorization: Bearer root' -H 'X-Scope-OrgID: alerts' "${at[$1]}/api/v1/alerts" | jq '.data.alerts | length'
}

have_alerts() {
    [[ $(alerts_of alone) == 5 ]] && (($(alerts_of both) > 20))
}

# A hidden tenant has stored rules, too.
store_rules() {
    curl -fs --noproxy '*' -o "$work/answer" -X POST -H 'Authorization: Bearer root' -H 'X-Scope-OrgID: secret' \
        -H 'Content-Type: application/yaml' --data-binary '{name: group, rules: [{record: "a:b", expr: up}]}' \
        "${at[both]}/config/v1/rules/space"
}

# --- comparisons -------------------------------------------------------------------------------------

compare() { # STAGE ALONE BOTH [VIEWER...]
    claim "$1: every route" python3 "$tool" routes "${at[$2]}" "${at[$3]}" "$end_ms" "${@:4}"
    seed=$((seed + 1))
    claim "$1: generated queries" python3 "$tool" queries "${at[$2]}" "${at[$3]}" "$end_ms" "$seed" "$cases"
}

set_limits() { # LINE...
    write_config alone "$rules" "$@" && write_config both "$hidden_rules" "$@" && both_do /-/reload
}

limits_agree() { # NAME VALUE
    local n
    for n in $(($2 - 1)) "$2"; do
        set_limits "query: {max_$1: $n}" "read: {max_${1%_read}: $n}" || return 1
        python3 "$tool" limits "${at[alone]}" "${at[both]}" "$end_ms" || return 1
    done
}

some=(fenced several "by a form" "of one tenant")
echo "seed $seed"
write_rules
rules=$(rules_of rules.yml)
hidden_rules=$(rules_of rules.yml hidden.yml)
write_config alone "$rules"
write_config both "$hidden_rules"
claim "samples are made" python3 "$tool" samples "$work/samples" "$end_ms" "$seed"
claim "two servers start" begin_both || exit 1
claim "they take samples" take_samples a alone both || exit 1
claim "they take metadata" take_samples m alone both
claim "they take the samples of alerts" take_alerts
claim "a hidden tenant stores rules" store_rules
claim "alerts are active" within 60 have_alerts
claim "for one who sees everything, each route has other answers" python3 "$tool" power "${at[alone]}" "${at[both]}" "$end_ms"
compare "in memory" alone both
claim "queries are shown to their users only" python3 "$tool" own "${at[alone]}" "${at[both]}" "$end_ms"
claim "they flush" both_do /api/v1/admin/tsdb/flush
claim "they take later samples" take_samples b alone both
compare "in a part and in memory" alone both "${some[@]}"
claim "they take earlier samples" take_samples c alone both
claim "they flush again" both_do /api/v1/admin/tsdb/flush
claim "hidden series are deleted" post both '/api/v1/admin/tsdb/delete_series?match[]={team="A"}'
compare "in parts" alone both labelled "fenced too" "of one tenant"

read -r series samples bytes < <(python3 "$tool" costs "${at[alone]}" "${at[both]}" "$end_ms")
echo "a viewer may see $series series, $samples samples, $bytes bytes"
claim "limits of series count visible ones" limits_agree series "$series"
claim "limits of samples count visible ones" limits_agree samples_read "$samples"
claim "limits of bytes count visible ones" limits_agree bytes "$bytes"
set_limits

claim "they merge" both_do /api/v1/admin/tsdb/merge
compare "in one part" alone both "${some[@]}"
claim "they end with status 0" end_both
claim "they start again" begin_both
compare "after a restart" alone both "${some[@]}"

# --- sources -----------------------------------------------------------------------------------------

# Firekeep does not restrict what it reads as the source of another.
source_of() { # NAME
    cat <<END
sources:
- name: rest
  type: remote_read
  url: ${at[$1]}/api/v1/read
  tenants: [shop, quiet, secret]
  tenant_header: X-Scope-OrgID
  authorization: {credentials: root}
  cache: {path: $work/cache-$1, max_bytes: 64MiB}
END
}

begin_with_sources() {
    write_config far "$rules" "$(source_of alone)"
    write_config wide "$hidden_rules" "$(source_of both)"
    begin far && begin wide && take_samples b far wide
}
claim "servers with a source start" begin_with_sources || exit 1
# The cache of a source ends ten minutes before the clock, and the two servers are asked one after
# the other: only earlier samples are requested.
end_ms=$((end_ms - 15 * 60000))
compare "with a source" far wide
end_with_sources() {
    stop far && stop wide && end_both
}
claim "all end with status 0" end_with_sources
done_testing
