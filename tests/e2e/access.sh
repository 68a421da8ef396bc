#!/bin/bash
# access.sh - who may reach the server: TLS, listeners, users and permissions on a real process, with
# curl and openssl as clients; files that change under load. prometheus_in.sh has a real Prometheus.

. tests/lib.sh
for tool in openssl curl python3; do
    command -v "$tool" >/dev/null || skip_all "access" "no $tool"
done
read -r port write_port < <(free_ports 2 | tr '\n' ' ')
url=https://localhost:$port

# --- certificates and configuration ----------------------------------------------------------------

make_ca() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign -keyout "$work/$1.key" -out "$work/$1.pem"
}

issue() { # CA NAME PURPOSE SAN
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$4" "$3" >"$work/$2.ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$work/$2.key" -out "$work/$2.csr" &&
        openssl x509 -req -in "$work/$2.csr" -CA "$work/$1.pem" -CAkey "$work/$1.key" -CAcreateserial -days 5 -extfile "$work/$2.ext" -out "$work/$2.pem"
}

certificates() {
    make_ca ca && make_ca other &&
        issue ca server serverAuth DNS:localhost,IP:127.0.0.1 && issue ca next serverAuth DNS:localhost,IP:127.0.0.1 &&
        issue ca ops clientAuth DNS:ops.test && issue other foreign clientAuth DNS:ops.test
}

# The hash of "secret" by bcrypt, with cost 4, and the SHA-256 of the token "abc".
# shellcheck disable=SC2016 # the hash is not a variable
secret='$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW'
abc=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

write_web() { # USER...
    cat <<END
tls_server_config:
  cert_file: tls/server.pem
  key_file: tls/server.key
  client_ca_file: ca.pem
  client_auth_type: VerifyClientCertIfGiven
http_server_config:
  headers: {X-Frame-Options: deny}
basic_auth_users:
END
    printf "  %s: '$secret'\n" "$@"
}

write_config() {
    cat <<END
listeners:
- {address: "unix:$work/s", tls_server_config: {}}
- {address: "127.0.0.1:$write_port", allow: [write]}
users:
- {name: writer, tokens: [$abc], permissions: [write]}
- {name: reader, password: '$secret', permissions: [read]}
- {name: ops, client_certificate: ops.test, permissions: [admin, metrics]}
- {name: shop, password: '$secret', permissions: [read, write], tenants: [shop]}
- {name: teams, password: '$secret', permissions: [read], tenants: ['team-*', x]}
END
}

use_certificate() { # NAME
    cp "$work/$1.key" "$work/tls/key.new" && cp "$work/$1.pem" "$work/tls/pem.new" &&
        mv "$work/tls/key.new" "$work/tls/server.key" && mv "$work/tls/pem.new" "$work/tls/server.pem"
}

# --- requests --------------------------------------------------------------------------------------

ask() { # ARGUMENT...
    curl -s --noproxy '*' --max-time 20 --cacert "$work/ca.pem" "$@"
}

is() { # STATUS ARGUMENT...
    local got
    got=$(ask -o "$work/body.txt" -w '%{http_code}' "${@:2}")
    [[ $got == "$1" ]] || {
        echo "$got: $(head -c 300 "$work/body.txt")"
        return 1
    }
}

# Each line: a status, and the arguments of a request.
all_are() {
    local line words
    while read -r line; do
        [[ -n $line ]] || continue
        eval "words=($line)"
        is "${words[@]}" || {
            echo "$line"
            return 1
        }
    done
}

# --- a server with everything ----------------------------------------------------------------------

mkdir -p "$work/tls"
claim "certificates are made" certificates
use_certificate server
write_web ann >"$work/web.yml"
write_config >"$work/firekeep.yml"
begin() {
    start here build/firekeep serve "$small_log" "--storage.path=$work/data" "--web.listen-address=127.0.0.1:$port" \
        "--web.config.file=$work/web.yml" "--config.file=$work/firekeep.yml" --tenancy.enabled \
        --web.enable-lifecycle --web.enable-admin-api
    within 30 is 200 "$url/-/ready"
}
claim "it starts" begin

claim "each way to sign in has its permissions" all_are <<END
200 $url/-/healthy
401 $url/api/v1/labels
401 $url/metrics
200 -u ann:secret -H X-Scope-OrgID:a $url/api/v1/labels
200 -u ann:secret $url/metrics
401 -u ann:Secret $url/metrics
401 -u nobody:secret $url/metrics
401 -u ann: $url/metrics
200 -u reader:secret -H X-Scope-OrgID:a $url/api/v1/labels
403 -u reader:secret $url/metrics
403 -u reader:secret -X POST -H X-Scope-OrgID:a $url/api/v1/write
415 -H 'Authorization: Bearer abc' -H X-Scope-OrgID:a -X POST -H 'Content-Encoding: br' -d x $url/api/v1/write
403 -H 'Authorization: Bearer abc' -H X-Scope-OrgID:a $url/api/v1/labels
401 -H 'Authorization: Bearer abd' -H X-Scope-OrgID:a $url/api/v1/labels
200 --cert "$work/ops.pem" --key "$work/ops.key" $url/metrics
200 --cert "$work/ops.pem" --key "$work/ops.key" -X POST $url/-/reload
403 --cert "$work/ops.pem" --key "$work/ops.key" -H X-Scope-OrgID:a $url/api/v1/labels
END
claim "tenants are those of the user" all_are <<END
200 -u shop:secret $url/api/v1/labels
200 -u shop:secret -H X-Scope-OrgID:shop $url/api/v1/labels
200 -u shop:secret -H X-Scope-OrgID:shop:key=value $url/api/v1/labels
403 -u shop:secret -H X-Scope-OrgID:other $url/api/v1/labels
403 -u shop:secret -H 'X-Scope-OrgID: shop|other' $url/api/v1/labels
200 -u teams:secret -H 'X-Scope-OrgID: team-a|x' $url/api/v1/labels
403 -u teams:secret -H 'X-Scope-OrgID: team-a|y' $url/api/v1/labels
401 -u teams:secret $url/api/v1/labels
END
claim "listeners serve what they are allowed to" all_are <<END
401 --unix-socket "$work/s" http://x/metrics
200 --unix-socket "$work/s" -u ann:secret http://x/metrics
403 -u ann:secret https://localhost:$write_port/metrics
415 -u ann:secret -X POST -H X-Scope-OrgID:a -H 'Content-Encoding: br' -d x https://localhost:$write_port/api/v1/write
END
claim "a certificate of another CA is refused" [ "$(ask --cert "$work/foreign.pem" --key "$work/foreign.key" -o /dev/null -w '%{http_code}' "$url/metrics")" == 000 ]
claim "the socket's file is for its owner and group" [ "$(stat -c %a "$work/s")" == 660 ]
has_header() { # all answers
    ask -i -u ann:secret "$url/metrics" | head -n 20 | grep -qi '^x-frame-options: deny' && ask -i "$url/metrics" | grep -qi '^x-frame-options: deny'
}
claim "all answers have the configured headers" has_header

# Whoever is not known gets the same bytes, whatever the request.
learns_nothing() {
    local args n=0
    for args in "$url/api/v1/labels" "$url/none" "-X DELETE $url/metrics" "$url//metrics" "-u nobody:x $url/metrics" "-u ann:x $url/metrics" \
        "-H Authorization:x $url/metrics" "-H Content-Encoding:x -d x $url/api/v1/write" "-u ann $url/api/v1/query?query=("; do
        # shellcheck disable=SC2086 # words
        ask -i $args </dev/null | grep -vi '^date:' >"$work/learnt.$n"
        cmp "$work/learnt.0" "$work/learnt.$n" || return 1
        n=$((n + 1))
    done
    grep -qi '^www-authenticate: basic' "$work/learnt.0"
}
claim "who is not known learns nothing about the request" learns_nothing

# --- files that change under load -------------------------------------------------------------------

serves() { # NAME of a certificate
    local served
    served=$(openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" </dev/null 2>/dev/null | openssl x509 -noout -serial)
    [[ $served == "$(openssl x509 -noout -serial -in "$work/$1.pem")" ]]
}
rotates() {
    local load result
    tests/tools/tls_load.py "$port" "$work/ca.pem" "$work/stop" >"$work/load.txt" 2>&1 &
    load=$!
    within 20 serves server && use_certificate next && within 30 serves next && use_certificate server && within 30 serves server
    result=$?
    touch "$work/stop"
    wait "$load" || result=1
    cat "$work/load.txt"
    return $result
}
claim "certificates change under load without a failed request" rotates

metric_is() { # NAME VALUE
    ask -u ann:secret "$url/metrics" | awk -v name="$1" -v value="$2" '$1 == name { found = $2 == value } END { exit !found }'
}
half_a_key() {
    head -c 80 "$work/next.key" >"$work/tls/server.key"
    within 20 metric_is firekeep_tls_last_reread_successful 0 && serves server &&
        within 20 grep -q 'level=error.*cannot reread TLS certificates' "$work/here.log" || return 1
    use_certificate next && within 20 metric_is firekeep_tls_last_reread_successful 1 && serves next
}
claim "a half-written key leaves the old one in force" half_a_key

reloads() {
    grep -c 'configuration reloaded' "$work/here.log"
}
users_change() {
    local before
    before=$(reloads)
    write_web bob >"$work/web.new" && mv "$work/web.new" "$work/web.yml" || return 1
    within 20 is 401 -u ann:secret "$url/metrics" && is 200 -u bob:secret "$url/metrics" && within 20 eval '(($(reloads) > before))' &&
        (($(reloads) == before + 1))
}
claim "users of the file for web.config.file change with it" users_change
wrong_file() {
    echo 'basic_auth_users: {bob: secret}' >"$work/web.new" && mv "$work/web.new" "$work/web.yml"
    within 20 grep -q 'configuration reload failed.*web.yml:1:25' "$work/here.log" && is 200 -u bob:secret "$url/metrics"
}
claim "a wrong file leaves the old users in force" wrong_file
claim "the log has no secret" [ "$(grep -c 'secret\|abcdefghij\|ba7816bf' "$work/here.log")" == 0 ]
shows_no_secret() {
    write_web bob >"$work/web.yml"
    ask -u bob:secret "$url/api/v1/status/config" "$url/api/v1/status/flags" "$url/metrics" >"$work/shown.txt"
    grep -q '<secret>' "$work/shown.txt" && ! grep -q '\$2b\$\|ba7816bf\|PRIVATE KEY' "$work/shown.txt"
}
claim "its pages show no secret" shows_no_secret

# --- Unix sockets and sockets of a service manager ---------------------------------------------------

claim "it is killed" crash here
is_replaced() {
    [[ -S $work/s ]] && begin && is 200 --unix-socket "$work/s" -u bob:secret http://x/metrics
}
claim "the file of a killed server's socket is replaced" is_replaced
second_is_refused() {
    timeout 30 build/firekeep serve "--storage.path=$work/data2" "--web.listen-address=unix:$work/s" >"$work/second.txt" 2>&1
    [[ $? == 1 ]] && grep -q 'another process listens there' "$work/second.txt" && is 200 --unix-socket "$work/s" -u bob:secret http://x/metrics
}
claim "a second server does not take the socket" second_is_refused
claim "it stops" stop here
claim "its socket's file is gone" [ ! -e "$work/s" ]

is_activated() {
    start passed tests/tools/activate.py 127.0.0.1 "$port" web:spare build/firekeep serve "$small_log" "--storage.path=$work/data3" --web.listen-address=fd://web
    within 30 is 200 "http://localhost:$port/-/ready" && stop passed
}
claim "a socket that the service manager passes is served" is_activated
claim "one that no listener uses is warned of" eval '[[ $(grep -c "no listener uses a socket .*name=spare" "$work/passed.log") == 1 ]]'
both_are_passed() {
    timeout 30 tests/tools/activate.py 127.0.0.1 "$port" web:web build/firekeep serve "--storage.path=$work/data3" --web.listen-address=fd://web >"$work/both.txt" 2>&1
    [[ $? == 1 ]] && grep -q 'fd://web: the service manager passes 2 sockets of this name' "$work/both.txt"
}
claim "two sockets of one name stop the start" both_are_passed
not_passed() {
    timeout 30 build/firekeep serve "--storage.path=$work/data3" --web.listen-address=fd://web >"$work/not.txt" 2>&1
    [[ $? == 1 ]] && grep -q 'fd://web: the service manager passes no socket of this name' "$work/not.txt"
}
claim "a socket that is not passed stops the start" not_passed

# --- files that are checked before a start ----------------------------------------------------------

cat >"$work/lacks.yml" <<END
web: {listen_address: []}
listeners:
- {address: ':1', tls_server_config: {cert_file: server.pem, key_file: next.key}}
- {address: ':2', tls_server_config: {cert_file: missing.pem, key_file: next.key}}
users:
- {name: aws, access_keys: [{id: X, secret_file: missing.secret}], permissions: [write]}
END
check_reads_files() {
    build/firekeep check "$work/lacks.yml" >"$work/check.txt" 2>&1
    [[ $? == 1 ]] && grep -q '^listener :1: .*server.pem' "$work/check.txt" && grep -q '^listener :2: .*missing.pem' "$work/check.txt" &&
        grep -q 'missing.secret' "$work/check.txt" && build/firekeep check --syntax-only "$work/lacks.yml"
}
claim "check reads certificates, keys and secrets" check_reads_files

expired_is_warned_of() {
    openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 0 -out "$work/expired.pem" &&
        echo 'tls_server_config: {cert_file: expired.pem, key_file: server.key}' >"$work/expired.yml" &&
        build/firekeep check "$work/expired.yml" 2>&1 | grep 'the certificate has expired' || return 1
    start expired build/firekeep serve "--storage.path=$work/data4" "--web.listen-address=127.0.0.1:$port" "--config.file=$work/expired.yml"
    within 30 grep -q 'the TLS certificate of a listener has expired' "$work/expired.log" && stop expired
}
claim "a certificate that has expired is warned of" expired_is_warned_of
done_testing
