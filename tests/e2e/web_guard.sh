#!/bin/bash
# web_guard.sh - what pages in a browser, and users with write_labels, can do to a real process: Host, Origin,
# bodies of forms, CORS, the audit log, labels that replace those that were sent, and what the log says of TLS.

. tests/lib.sh
. tests/requests_lib.sh
for tool in openssl curl python3 jq; do
    command -v "$tool" >/dev/null || skip_all "web_guard" "no $tool"
done
read -r port user_port tls_port list_port < <(free_ports 4 | tr '\n' ' ')
firekeep=build/firekeep
export no_proxy='*'

logged() { # NAME TEXT: within a moment
    within 20 grep -qF -- "$2" "$work/$1.log" || {
        tail -n 5 "$work/$1.log"
        return 1
    }
}

# --- without users ----------------------------------------------------------------------------------

url=http://127.0.0.1:$port
group=$'name: g\nrules: [{record: r, expr: "1"}]'
printf 'rules: {api: true}\n' >"$work/open.yml"
claim "a server without users starts" start_firekeep open "$work/open" "$port" --web.enable-lifecycle --web.enable-admin-api \
    --config.file="$work/open.yml" --web.allowed-hosts=fk.test,other.test --web.external-url=https://pages.test/

claim "it answers to names that it has" all_are <<END
200 $url/api/v1/labels
200 http://localhost:$port/api/v1/labels
200 -H Host:localhost $url/api/v1/labels
200 -H Host:[::1]:9 $url/api/v1/labels
200 -H Host:fk.test:9201 $url/api/v1/labels
200 -H Host:OTHER.test $url/api/v1/labels
200 -H Host:pages.test $url/api/v1/labels
200 -H Host:evil.test $url/-/healthy
200 -H Host:evil.test $url/-/ready
END
claim "and to no other" all_are <<END
403 -H Host:evil.test $url/api/v1/labels
403 -H Host:evil.test:$port $url/api/v1/query?query=up
403 -H Host:127.0.0.1.evil.test $url/metrics
403 -H Host:evil.test -X POST $url/-/reload
403 -H Host:evil.test $url/none
END
claim "requests that change something work without a body" all_are <<END
200 -X POST $url/-/reload
200 -X POST -d '' $url/-/reload
200 -X PUT $url/-/reload
200 -X POST -H Origin:http://127.0.0.1:$port $url/-/reload
200 -X POST -H Origin:https://pages.test $url/-/reload
200 -X POST '$url/api/v1/admin/tsdb/delete_series?match[]=up&start=1'
202 -H Content-Type:application/yaml --data-binary "\$group" $url/config/v1/rules/n
202 -H Content-Type: --data-binary "\$group" $url/prometheus/config/v1/rules/n
404 -X DELETE $url/api/v1/status/active_queries/77
404 -X DELETE $url/api/v1/admin/tsdb/snapshots/x
END
changes() { # ARGUMENT...: of requests that are refused with the same status
    printf '%s\n' "-X POST $url/-/reload" "-X PUT $url/-/reload" "-X POST $url/api/v1/admin/tsdb/flush" "-X POST $url/api/v1/admin/tsdb/merge" \
        "-X POST $url/api/v1/admin/tsdb/snapshot" "-X POST '$url/api/v1/admin/tsdb/delete_series?match[]=up'" "-X POST $url/prometheus/api/v1/admin/tsdb/clean_tombstones" \
        "-X DELETE $url/api/v1/admin/tsdb/snapshots/x" "-X POST $url/api/v1/status/config/check" "-X POST $url/api/v1/admin/destinations/x/pause" "-X POST '$url/api/v1/admin/dead_letters/x?action=drop'" "-X POST $url/api/v1/admin/destination_test/x" \
        "-X DELETE $url/api/v1/status/active_queries/1" "-X POST $url/config/v1/rules/n" \
        "-X DELETE $url/config/v1/rules/n" "-X DELETE $url/api/prom/rules/n/g" "-X POST $url/api/v1/write" "-X POST $url/write" "-X POST $url/api/v1/push" \
        "-X POST $url/api/v1/session" "-X DELETE $url/api/v1/session" |
        sed "s!^!$* !"
}
claim "pages of other origins change nothing" all_are < <(changes 403 -H Origin:https://evil.test && changes 403 -H Origin:null &&
    changes 403 -H "Origin:https://127.0.0.1:1")
# Clients of InfluxDB send their lines to /write as forms.
claim "nor do forms" all_are < <({ changes 415 -d a=b && changes 415 -F a=b && changes 415 -H Content-Type:text/plain -d a=b; } |
    grep -vxF -e "$(printf '%s\n' "415 -d a=b -X POST $url/write" "415 -F a=b -X POST $url/write" "415 -H Content-Type:text/plain -d a=b -X POST $url/write")")
claim "the rules are as they were" is 200 "$url/config/v1/rules/n/g"
claim "pages of other origins and forms may read" all_are <<END
200 -H Origin:https://evil.test -d query=1 $url/api/v1/query
200 -H Origin:https://evil.test $url/api/v1/labels
END
allows() { # ORIGIN
    grep -qi "^access-control-allow-origin: $1" "$work/head.txt" && ! grep -qi '^access-control-allow-credentials' "$work/head.txt"
}
claim "without users each origin is allowed to read" allows https://evil.test

claim "changes are in the audit log" eval 'logged open "msg=audit user=\"\" client=127.0.0.1 method=POST path=/api/v1/admin/tsdb/delete_series tenant=\"\" arguments=\"match[]=up start=1\" status=200" &&
    logged open "method=POST path=/config/v1/rules/n tenant=\"\" arguments=\"\" status=202" && logged open "method=PUT path=/-/reload tenant=\"\" arguments=\"\" status=200" &&
    logged open "method=DELETE path=/api/prom/rules/n/g tenant=\"\" arguments=\"\" status=403"'
claim "writes and reads are not" [ "$(grep msg=audit "$work/open.log" | grep -c 'path=/api/v1/write\|path=/write\|method=GET')" == 0 ]
claim "it stops" stop open

listens() { # NAME ADDRESS ARGUMENT...
    start "$1" tests/tools/activate.py "$2" "$port" web "$firekeep" serve "$small_log" "--storage.path=$work/passed" --web.listen-address="fd://web,unix:$work/s" "${@:3}"
    within 30 is 200 "$url/-/ready"
}
guards_socket() {
    listens loopback 127.0.0.1 && is 403 -H Host:evil.test "$url/metrics" && is 200 "$url/metrics" &&
        is 200 --unix-socket "$work/s" -H Host:evil.test http://x/metrics && stop loopback
}
claim "a socket of systemd on loopback is guarded, a Unix socket is not" guards_socket
guards_others() {
    listens all 0.0.0.0 && is 200 -H Host:any.test "$url/metrics" && logged all 'address=fd://web' && stop all &&
        listens named 0.0.0.0 --web.allowed-hosts=fk.test && is 403 -H Host:any.test "$url/metrics" && is 200 -H Host:fk.test "$url/metrics" && stop named
}
claim "one on all addresses is guarded if hosts are given, and else warned of" guards_others

# --- users ------------------------------------------------------------------------------------------

# The SHA-256 of the tokens "abc", "def", "ghi" and "jkl".
sha() {
    printf %s "$1" | sha256sum | cut -d ' ' -f 1
}
url=http://127.0.0.1:$user_port
write_users() { # KEYS of the user `team`
    cat <<END
rules: {api: true}
users:
- {name: team, tokens: [$(sha abc)], $1}
- {name: plain, tokens: [$(sha def)], permissions: [write, read]}
- {name: ops, tokens: [$(sha ghi)], permissions: [admin, metrics]}
- {name: ruler, tokens: [$(sha jkl)], permissions: [rules]}
END
}
write_users 'permissions: [write], write_labels: {zone: b, team: a}' >"$work/users.yml"
claim "a server with users starts" start_firekeep users "$work/users" "$user_port" --web.enable-lifecycle --web.enable-admin-api \
    --config.file="$work/users.yml" --write.max-labels=5 --web.trusted-proxies=127.0.0.1/32

now=$(($(now_ms) - 60000))
send() { # TOKEN VERSION TEXT [OPTION...]
    printf '%s\n' "$3" | "$TOOLS/rwmake" --version "$2" >"$work/sent.rw" &&
        "$TOOLS/rwreplay" "$work/sent.rw" "$url" --version "$2" --header "Authorization: Bearer $1" "${@:4}"
}
series() { # SELECTOR: their labels, sorted
    curl -sgG -H 'Authorization: Bearer def' --data-urlencode "match[]=$1" "$url/api/v1/series" | jq -cS '.data[]' | sort
}
has_series() { # SELECTOR LABELS...
    local got
    got=$(series "$1")
    [[ $got == "$(printf '%s\n' "${@:2}" | jq -cS . | sort)" ]] || {
        echo "$got"
        return 1
    }
}
overwrites() { # VERSION
    local n=v$1
    send abc "$1" "$n{job=\"x\"} 1 $now
$n{job=\"y\",team=\"other\",zone=\"c\"} 2 $now
$n{team=\"a\",zone=\"b\"} 3 $now
$n{zz=\"1\",job=\"z\",team=\"q\"} 4 $now
@exemplar $n{job=\"x\",team=\"no\"} {trace=\"t1\",team=\"e\"} 5 $now
@histogram ${n}_h{team=\"no\"} $now count=3 sum=4 pos=0:1/3" --check &&
        has_series "$n" "{\"__name__\":\"$n\",\"job\":\"x\",\"team\":\"a\",\"zone\":\"b\"}" "{\"__name__\":\"$n\",\"job\":\"y\",\"team\":\"a\",\"zone\":\"b\"}" \
            "{\"__name__\":\"$n\",\"team\":\"a\",\"zone\":\"b\"}" "{\"__name__\":\"$n\",\"job\":\"z\",\"team\":\"a\",\"zone\":\"b\",\"zz\":\"1\"}" &&
        has_series "${n}_h" "{\"__name__\":\"${n}_h\",\"team\":\"a\",\"zone\":\"b\"}" &&
        send abc "$1" "$n{job=\"x\"} 6 $((now + 1000))
$n{job=\"y\",team=\"third\"} 7 $((now + 1000))" --check
}
claim "1.0: labels of the user replace those that are sent" overwrites 1
claim "2.0: labels of the user replace those that are sent" overwrites 2
values() { # EXPRESSION: the values, sorted
    curl -sgG -H 'Authorization: Bearer def' --data-urlencode "query=$1" "$url/api/v1/query" | jq -r '.data.result[].value[1]' | sort | tr '\n' ' '
}
claim "the series of one sender stay one series" eval '[[ $(values "count_over_time(v1[1h])") == "1 1 2 2 " && $(values "count_over_time(v2{team=\"a\"}[1h])") == "1 1 2 2 " ]]'
exemplar_follows() {
    local got
    got=$(curl -sgG -H 'Authorization: Bearer def' --data-urlencode 'query={__name__=~"v[12]"}' -d "start=$((now / 1000 - 10))" -d "end=$((now / 1000 + 10))" "$url/api/v1/query_exemplars" |
        jq -c '[.data[] | [.seriesLabels.team, .seriesLabels.zone, .exemplars[0].labels.team]]')
    echo "$got"
    [[ $got == '[["a","b","e"],["a","b","e"]]' ]]
}
claim "exemplars follow their series, with their own labels" exemplar_follows
keeps_metadata() {
    send abc 1 '@metadata v1 2 bytes Some help.' && curl -sg -H 'Authorization: Bearer def' "$url/api/v1/metadata?metric=v1" |
        jq -e '.data.v1[0] == {"type": "gauge", "unit": "bytes", "help": "Some help."}'
}
claim "metadata stays as it is" keeps_metadata
claim "other users write what they send" eval 'send def 2 "plain{team=\"q\"} 1 $now" --check && has_series plain "{\"__name__\":\"plain\",\"team\":\"q\"}"'
conflicts() { # VERSION
    local got
    got=$(send abc "$1" "c$1{job=\"x\",team=\"one\"} 1 $now
c$1{job=\"x\",team=\"two\"} 2 $now" --check)
    echo "$got"
    [[ $got == *400* && $got == *"conflict"* && $got == *"write_labels of user 'team'"* ]]
}
claim "1.0: a conflict names the setting" conflicts 1
claim "2.0: a conflict names the setting" conflicts 2
plain_conflict() {
    local got
    got=$(send def 2 "p{job=\"x\"} 1 $now
p{job=\"x\"} 2 $now" --check)
    echo "$got"
    [[ $got == *400* && $got == *"conflict"* && $got != *write_labels* ]]
}
claim "a conflict of another user does not" plain_conflict
claim "so does the log" logged users "write_labels of user 'team'"
counts_limits() {
    local got
    send abc 1 "l{a=\"1\",b=\"2\",team=\"q\"} 1 $now
l{a=\"1\",team=\"q\",zone=\"r\"} 1 $now" --check || return 1
    got=$(send abc 2 "l{a=\"1\",b=\"2\",c=\"3\"} 1 $now" --check)
    echo "$got"
    [[ $got == *400* && $got == *label_limit* ]]
}
claim "the limit of labels counts what is stored" counts_limits
changes_on_reload() {
    write_users 'permissions: [write], write_labels: {team: b}' >"$work/users.yml"
    is 200 -X POST -H 'Authorization: Bearer ghi' "$url/-/reload" && send abc 2 "after{team=\"q\"} 1 $now" --check &&
        has_series after '{"__name__":"after","team":"b"}'
}
claim "a reload changes them" changes_on_reload
for keys in 'permissions: [write, rules], write_labels: {team: a}' 'permissions: [rules], read_matchers: [up]'; do
    write_users "$keys" >"$work/wrong.yml"
    claim "${keys##*, }: not with rules" says 'rules cannot be combined with' 1 "$firekeep" check "$work/wrong.yml"
done
write_users "permissions: [read], read_matchers: ['{team=']" >"$work/wrong.yml"
claim "check finds a wrong selector" says 'users.read_matchers: invalid selector' 1 "$firekeep" check "$work/wrong.yml"
# shellcheck disable=SC2016 # it is not a variable
write_users 'permissions: [read], password: $2b$31$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234' >"$work/wrong.yml"
claim "check finds a hash that is too dear" says 'the bcrypt cost is 31' 1 "$firekeep" check "$work/wrong.yml"

claim "a user's name is in the audit log, behind a proxy too" eval 'is 202 -H "Authorization: Bearer jkl" -H X-Forwarded-For:192.0.2.7 -H Content-Type:application/yaml --data-binary "$group" "$url/config/v1/rules/n" &&
    logged users "msg=audit user=ruler client=192.0.2.7 method=POST path=/config/v1/rules/n" && logged users "msg=audit user=ops client=127.0.0.1 method=POST path=/-/reload"'
claim "so is what a user tries" eval 'is 403 -X POST -H "Authorization: Bearer jkl" "$url/api/v1/admin/tsdb/snapshot?X-Amz-Signature=hush&match[]=x" &&
    logged users "msg=audit user=ruler client=127.0.0.1 method=POST path=/api/v1/admin/tsdb/snapshot tenant=\"\" arguments=\"match[]=x\" status=403"'
claim "who is unknown is not" eval 'is 401 -X POST "$url/-/reload" && is 401 -X POST -H "Authorization: Bearer wrong" -H X-Forwarded-For:192.0.2.9 "$url/-/reload" &&
    logged users "a client could not sign in\" client=192.0.2.9 peer=127.0.0.1:" && [[ $(grep -c "msg=audit user=\"\"" "$work/users.log") == 0 ]]'
claim "the log has no secret" [ "$(grep -c 'hush\|Bearer\|ABCDEFGHIJKL\|ba7816bf' "$work/users.log")" == 0 ]
claim "who is known gets 403 for a foreign page" eval 'is 403 -X POST -H "Authorization: Bearer ghi" -H Origin:https://evil.test "$url/-/reload" && is 401 -X POST -H Origin:https://evil.test "$url/-/reload"'
claim "with users no Host is refused" is 200 -H 'Authorization: Bearer ghi' -H Host:evil.test "$url/metrics"
no_origin() {
    is 200 -H 'Authorization: Bearer def' -H Origin:https://a.test "$url/api/v1/labels" && ! allows https://a.test && is 204 -X OPTIONS -H Origin:https://a.test "$url/api/v1/labels" &&
        ! allows https://a.test
}
claim "with users no origin may read" no_origin
claim "it stops" stop users
set_origin() {
    start_firekeep users "$work/users" "$user_port" --config.file="$work/users.yml" --web.cors-origin='https://a\.test' &&
        is 200 -H 'Authorization: Bearer def' -H Origin:https://a.test "$url/api/v1/labels" && allows https://a.test &&
        is 204 -X OPTIONS -H Origin:https://a.test -H Access-Control-Request-Headers:authorization "$url/api/v1/labels" && allows https://a.test &&
        is 401 -X OPTIONS "$url/none" && is 401 -X OPTIONS "$url/-/reload" && stop users
}
claim "an origin that is set may, without credentials of the browser" set_origin

# --- TLS --------------------------------------------------------------------------------------------

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/tls.key" -out "$work/tls.pem"
}
claim "a certificate is made" certificate
write_tls() { # LINE...
    cat <<END
tls_server_config: {cert_file: tls.pem, key_file: tls.key}
self_scrape: {interval: 1s}
global: {evaluation_interval: 1s}
rule_files: [alert.yml]
END
    printf '%s\n' "$@"
}
# shellcheck disable=SC2016 # a template
printf 'groups:\n- name: g\n  rules: [{alert: a, expr: vector(1), annotations: {u: "{{ $externalURL }}"}}]\n' >"$work/alert.yml"
write_tls "listeners: [{address: '127.0.0.1:$list_port'}]" "destinations:" "- {name: own, type: remote_write, url: 'https://localhost:$tls_port/api/v1/write', tls_config: {ca_file: $work/tls.pem}, select: ['{job=\"firekeep-self\"}'], external_labels: {copy: '1'}}" >"$work/tls.yml"
serve_tls() {
    start tls "$firekeep" serve "--storage.path=$work/tls" "--web.listen-address=127.0.0.1:$tls_port" "--config.file=$work/tls.yml"
    within 30 is 200 --cacert "$work/tls.pem" "https://localhost:$tls_port/-/ready"
}
claim "a server with TLS starts" serve_tls
ask_tls() { # PATH
    curl -sg --max-time 20 --cacert "$work/tls.pem" "https://localhost:$tls_port$1"
}
claim "its default URL is https" within 20 eval 'ask_tls /api/v1/alerts | grep -qF "\"u\":\"https://$(uname -n):$tls_port\""'
claim "it scrapes itself" within 20 eval 'ask_tls "/api/v1/query?query=firekeep_build_info{copy=\"\"}" | grep -q "\"value\""'
claim "it may send to itself" within 20 eval 'ask_tls "/api/v1/query?query=firekeep_build_info{copy=\"1\"}" | grep -q "\"value\""'
distrusts() { # VERSION
    ! curl -s --tlsv1."$1" --tls-max 1."$1" "https://localhost:$tls_port/-/ready" && logged tls "the client does not trust the server's certificate"
}
claim "a client that does not trust the certificate is named" distrusts 3
claim "it stops" stop tls
write_tls "listeners: [{address: '127.0.0.1:$list_port'}]" "sources:" "- {name: own, type: remote_read, url: 'https://127.0.0.1:$list_port/api/v1/read'}" >"$work/own.yml"
claim "a source that is a listener of the server is refused" says 'url is an address of this server (listeners)' 1 "$firekeep" check "$work/own.yml"
done_testing
