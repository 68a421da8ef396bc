#!/bin/bash
# web_session.sh - sessions of browsers on a real process: sign-in by password and by token, the cookie with and
# without TLS, what requests with it may do, and what ends a session.

. tests/lib.sh
. tests/requests_lib.sh
for tool in openssl curl jq; do
    command -v "$tool" >/dev/null || skip_all "web_session" "no $tool"
done
read -r port tls_port < <(free_ports 2 | tr '\n' ' ')
export no_proxy='*'
url=http://127.0.0.1:$port
page=X-Firekeep-Page:1

head_has() { # PATTERN: a line of the last answer's head
    tr -d '\r' <"$work/head.txt" | grep -i -- "$1"
}

says() { # TEXT: the last answer's body
    grep -F -- "$1" "$work/body.txt"
}

logged() { # NAME TEXT: within a moment
    within 20 grep -qF -- "$2" "$work/$1.log" || {
        tail -n 5 "$work/$1.log"
        return 1
    }
}

sign_in() { # NAME ARGUMENT...: the variable NAME is "NAME=VALUE" of the cookie
    is 204 -X POST -H $page "${@:2}" || return 1
    printf -v "$1" %s "$(head_has '^set-cookie:' | sed 's/^[^ ]* \([^;]*\).*/\1/')"
    [[ -n ${!1} ]]
}

# --- users ------------------------------------------------------------------------------------------

hash_of() { # PASSWORD
    printf '%s\n' "$1" | build/firekeep hash --kind=bcrypt
}
secret=$(hash_of hidden1)
other=$(hash_of hidden2)
abc=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad # the SHA-256 of the token
write_config() { # HASH of ann [LINE...]
    cat <<END
tenancy: {enabled: true}
users:
- {name: ann, password: '$1', permissions: [read], tenants: [shop, lab]}
- {name: ops, password: '$secret', tokens: [$abc], permissions: [write, read, rules, admin, metrics]}
- {name: pen, password: '$secret', permissions: [write]}
END
    printf '%s\n' "${@:2}"
}
write_config "$secret" >"$work/firekeep.yml"
start_here() {
    start_firekeep here "$work/data" "$port" --web.enable-lifecycle --web.enable-admin-api --config.file="$work/firekeep.yml" \
        --web.cors-origin='https://a\.test' --web.allowed-hosts=fk.test
}
claim "a server with users starts" start_here || exit 1
session=$url/api/v1/session

# --- sign-in ----------------------------------------------------------------------------------------

claim "the page needs no credentials" all_are <<END
200 $url/query
200 $url/assets/licences.txt
302 -H Accept:text/html $url/
END
challenges() {
    is 401 "$session" && head_has '^www-authenticate: basic' && is 401 -H $page "$session" && head_has '^www-authenticate: session' &&
        is 401 -H $page -u ann:wrong -X POST "$session" && head_has '^www-authenticate: session' && ! head_has basic
}
claim "browsers do not ask for a password in place of the page" challenges
claim "wrong passwords and tokens begin no session" all_are <<END
401 -X POST -u ann:wrong $session
401 -X POST -u nobody:hidden1 $session
401 -X POST -H "Authorization: Bearer abd" $session
401 -X POST $session
END
# shellcheck disable=SC2154 # sign_in sets the variables
begins() {
    sign_in ann -u ann:hidden1 "$session" && head_has '^set-cookie: firekeep-[0-9a-f]*=.*; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$' &&
        head_has '^cache-control: no-store' && is 200 -b "$ann" "$session"
}
claim "a password begins a session" begins
claim "the server says who is signed in, and what he may do" eval 'is 200 -b "$ann" "$session" &&
    jq -e ".data == {user: \"ann\", session: true, permissions: [\"read\"], tenancy: true, tenants: [\"shop\", \"lab\"], restricted: false, adminApi: true}" "$work/body.txt"'
claim "a token begins one" eval 'sign_in ops -H "Authorization: Bearer abc" "$session" && is 200 -b "$ops" "$session" &&
    jq -e ".data.user == \"ops\" and .data.tenants == null" "$work/body.txt"'
claim "a session begins none" eval 'is 400 -X POST -b "$ops" -H $page "$session" && says "begins with a password or a token"'
claim "a user who may only write gets no session" eval 'is 403 -X POST -u pen:hidden1 -H $page "$session" && says "no permission that a page needs" && ! head_has "^set-cookie"'
claim "nor does a form" is 415 -X POST -u ann:hidden1 -d user=ann "$session"
claim "a sign-in is in the audit log" logged here 'msg=audit user=ann client=127.0.0.1 method=POST path=/api/v1/session'

# --- requests with a session ------------------------------------------------------------------------

claim "rights are those of the user" all_are <<END
200 -b $ann -H X-Scope-OrgID:shop $url/api/v1/labels
200 -b $ann -H X-Scope-OrgID:lab "$url/api/v1/query?query=up"
401 -b $ann $url/api/v1/labels
403 -b $ann -H X-Scope-OrgID:other $url/api/v1/labels
403 -b $ann $url/metrics
200 -b $ops $url/metrics
403 -b $ann -H $page -X POST $url/-/reload
200 -b $ops -H $page -X POST $url/-/reload
404 -b $ann $url/none
END
claim "without our header nothing is changed" all_are <<END
403 -b $ops -X POST $url/-/reload
403 -b $ops -X POST $url/api/v1/admin/tsdb/flush
403 -b $ops -X DELETE $url/api/v1/status/active_queries/1
403 -b $ops -X DELETE $session
200 -b $ops -H X-Scope-OrgID:shop -d query=1 $url/api/v1/query
END
claim "pages of other origins change nothing, and read nothing" all_are <<END
403 -b $ops -H $page -H Origin:https://evil.test -X POST $url/-/reload
403 -b $ops -H $page -H Origin:null -X POST $url/-/reload
403 -b $ops -H Origin:https://evil.test $url/metrics
403 -b $ops -H Origin:http://127.0.0.1:1 $url/metrics
403 -b $ops -H Origin:https://a.test $url/metrics
403 -b $ops -H Origin:https://a.test -H X-Scope-OrgID:shop $url/api/v1/labels
403 -u ops:hidden1 -H Origin:https://evil.test -X POST $session
200 -b $ops -H $page -H Origin:$url -X POST $url/-/reload
END
is_of_no_use() {
    is 204 -X OPTIONS -H Origin:https://a.test -H Access-Control-Request-Headers:x-firekeep-page "$url/api/v1/labels" &&
        head_has '^access-control-allow-origin: https://a.test' && ! head_has 'x-firekeep-page\|allow-credentials'
}
claim "an origin that may read has no use of cookies" is_of_no_use
claim "a Host is known or refused" all_are <<END
403 -b $ops -H Host:evil.test $url/metrics
403 -u ops:hidden1 -H Host:evil.test -X POST $session
200 -b $ops -H Host:fk.test $url/metrics
200 -b $ops -H Host:localhost:$port $url/metrics
END
claim "Authorization counts before the cookie" all_are <<END
403 -b $ops -u ann:hidden1 $url/metrics
401 -b $ops -H "Authorization: Bearer abd" $url/metrics
200 -b $ann -H "Authorization: Bearer abc" $url/metrics
END
value=${ops#*=}
changed=$([[ ${value:50:1} == A ]] && echo B || echo A)
claim "no other cookie is one" all_are <<END
401 -b ${ops%%=*}=${value:0:50}$changed${value:51} $url/metrics
401 -b ${ops%%=*}=${value:0:60} $url/metrics
401 -b ${ops%%=*}=${value%.*}.${ann##*.} $url/metrics
401 -b ${ops%%=*}= $url/metrics
401 -b x$ops $url/metrics
200 -b "x=1; $ops; y" $url/metrics
END

# --- the end ----------------------------------------------------------------------------------------

signs_out() {
    sign_in again -u ops:hidden1 "$session" && is 204 -X DELETE -H $page -b "$again" "$session" &&
        head_has '^set-cookie: firekeep-[0-9a-f]*=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict' &&
        is 401 -b "$again" "$url/metrics" && is 200 -b "$ops" "$url/metrics"
}
claim "after sign-out a copy of the cookie is of no use" signs_out
reload() {
    is 200 -X POST -H 'Authorization: Bearer abc' "$url/-/reload"
}
ends_with_password() {
    is 200 -b "$ann" "$session" && write_config "$other" >"$work/firekeep.yml" && reload && is 401 -b "$ann" "$session" && is 200 -b "$ops" "$session"
}
claim "another password ends the sessions of its user" ends_with_password
ends_with_user() {
    sign_in ann -u ann:hidden2 "$session" && is 200 -b "$ann" "$session" && write_config "$other" | sed '/name: ann/d' >"$work/firekeep.yml" &&
        reload && is 401 -b "$ann" "$session" && write_config "$secret" >"$work/firekeep.yml" && reload
}
claim "so does its removal" ends_with_user
fails_often() {
    within 60 is 503 -X POST -u ann:wrong "$session" && says "credentials cannot be checked now" && is 200 -b "$ops" "$url/metrics" &&
        logged here 'a client could not sign in'
}
claim "failures slow the address down, but not its sessions" fails_often
claim "the log has no secret" [ "$(grep -c "hidden\|Bearer\|${value:0:20}\|\$2b" "$work/here.log")" == 0 ]
claim "it stops" stop here
claim "it starts again" start_here
claim "a restart ends all sessions" eval 'is 401 -b "$ops" "$url/metrics" && sign_in ops -H "Authorization: Bearer abc" "$session" && is 200 -b "$ops" "$url/metrics"'
claim "it stops again" stop here

# --- TLS, and a prefix ------------------------------------------------------------------------------

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/tls.key" -out "$work/tls.pem"
}
claim "a certificate is made" certificate
write_config "$secret" 'tls_server_config: {cert_file: tls.pem, key_file: tls.key}' >"$work/tls.yml"
tls=https://localhost:$tls_port
ca=(--cacert "$work/tls.pem")
serve_tls() {
    start tls build/firekeep serve "--storage.path=$work/tls" "--web.listen-address=127.0.0.1:$tls_port" "--config.file=$work/tls.yml" "--web.external-url=$tls/keep"
    within 30 is 200 "${ca[@]}" "$tls/keep/-/ready"
}
claim "a server with TLS and a prefix starts" serve_tls
begins_secure() {
    sign_in safe "${ca[@]}" -u ops:hidden1 "$tls/keep/api/v1/session" &&
        head_has '^set-cookie: __Host-firekeep-[0-9a-f]*=.*; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$' &&
        is 200 "${ca[@]}" -b "$safe" "$tls/keep/metrics" && is 200 "${ca[@]}" -b "$safe" "$tls/keep/prometheus/api/v1/session"
}
claim "over TLS the cookie is secure, and of this host only" begins_secure
claim "a cookie that other hosts could set is not accepted" is 401 "${ca[@]}" -b "${safe#__Host-}" "$tls/keep/metrics"
claim "each server has a cookie of its own" eval '[[ ${safe%%=*} != "__Host-${ops%%=*}" ]]'
claim "it stops with status 0" stop tls
done_testing
