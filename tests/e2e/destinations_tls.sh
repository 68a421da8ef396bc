#!/bin/bash
# destinations_tls.sh - https follows `tls_config`: trusted servers and names, the client's
# certificate, and versions. A server that is not trusted gets nothing; queued samples are sent
# after the problem is solved.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control twin secure

if ! command -v openssl >/dev/null; then
    skip_all "tls" "no openssl"
fi

tls_proxy() { # ARGUMENT...
    start_proxy secure=remote_write:twin -- --tls secure --tls-cert "$work/there.pem" --tls-key "$work/there.key" "$@"
}

destinations() { # NAME "TLS-KEYS"...
    echo 'destinations:'
    while (($# > 0)); do
        printf '  - name: %s\n' "$1"
        printf '    %s\n' 'type: remote_write' "url: https://127.0.0.1:${port[secure]}/api/v1/write" "tls_config: {$2}" 'batch: {max_age: 100ms}'
        shift 2
    done
}

reload() {
    quiet_curl -X POST "$url/-/reload"
}

is_stopped_by_tls() { # DESTINATION
    is_in_state "$1" blocked && says "$1" '^tls: '
}

every_kind >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"
claim "certificates are made" make_certificate there there.example.org "DNS:there.example.org"
claim "one of our own, too" make_certificate ours firekeep DNS:firekeep
claim "the other server starts" start_firekeep twin "$work/twin" "${port[twin]}"
claim "it speaks TLS 1.3 with those it knows" tls_proxy --tls-client-ca "$work/ours.pem" --tls-least 1.3

known="ca_file: $work/there.pem, server_name: there.example.org"
shown="cert_file: $work/ours.pem, key_file: $work/ours.key"
destinations \
    stranger "server_name: there.example.org, $shown" \
    other_name "ca_file: $work/there.pem, $shown" \
    unknown "$known" \
    old "$known, $shown, max_version: TLS12" \
    trusting "insecure_skip_verify: true, $shown" \
    right "$known, $shown, min_version: TLS13" | write_config
claim "it starts" start_firekeep here "$work/here" "${port[firekeep]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "its destinations are open" within 20 all_open
claim "writes are acknowledged" is_acknowledged "$work/bits.rw"
for name in right trusting; do
    claim "$name: all is delivered" within 20 has_delivered "$name" 15
    claim "$name: the account is right" balances "$name"
done
for name in stranger other_name old; do
    claim "$name: TLS is what stands in the way" within 20 is_stopped_by_tls "$name"
done
claim "stranger: that its issuer is unknown is said" says stranger 'not trusted: its issuer is not among'
advises_http_only() {
    { echo destinations: && printf '  - {name: plain, type: remote_write, url: "%s"}\n' "https://127.0.0.1:${port[twin]}/"; } >"$work/plain.yml"
    build/firekeep destinations test plain --config.file="$work/plain.yml" | tee "$work/plain.txt"
    grep -q 'use http:// instead of https://' "$work/plain.txt" && ! grep ca_file "$work/plain.txt"
}
claim "plain: the test of https to a port for http advises http, and no certificates" advises_http_only
# In TLS 1.3 a client is refused after its handshake: it may see only a closed connection.
is_stopped() { # DESTINATION
    [[ $(state_of "$1") =~ ^(blocked|retrying)$ ]]
}
claim "unknown: without our certificate nothing is delivered" within 20 is_stopped unknown
for name in stranger other_name unknown old; do
    claim "$name: everything is kept" [ "$(samples delivered_total "$name"):$(samples queued "$name")" == 0:15 ]
done
claim "the other server has the same" equals "$(url_of twin)" "$work/bits.rw"

destinations stranger "$known, $shown" other_name "$known, $shown" unknown "$known, $shown" old "$known, $shown" | write_config
claim "a reload mends them" reload
for name in stranger other_name unknown old; do
    claim "$name: then all is delivered" within 20 has_delivered "$name" 15
done
claim "SIGTERM ends it with status 0" stop here

done_testing
