#!/bin/bash
# tls_clients.sh - OpenSSL and curl connect over versions, cipher suites and curves: what the
# settings name is used, and nothing else. ALPN, renegotiation, compression, tickets.

. tests/lib.sh
for tool in openssl curl; do
    command -v "$tool" >/dev/null || skip_all "tls_clients" "no $tool"
done
read -r port rsa_port chosen_port old_port client_port < <(free_ports 5 | tr '\n' ' ')

# --- certificates and a server with several listeners -------------------------------------------------

make_certificate() { # NAME KEY-ARGUMENT...
    openssl req -x509 -nodes -days 2 -subj "/CN=$1" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$work/$1.key" -out "$work/$1.pem" "${@:2}" 2>"$work/openssl.txt"
}
certificates() {
    make_certificate ecdsa -newkey ec -pkeyopt ec_paramgen_curve:P-256 && make_certificate next -newkey ec -pkeyopt ec_paramgen_curve:P-256 &&
        make_certificate rsa -newkey rsa:2048 && cat "$work/ecdsa.pem" "$work/next.pem" "$work/rsa.pem" >"$work/ca.pem"
}
use_certificate() { # NAME
    cp "$work/$1.key" "$work/server.key.new" && cp "$work/$1.pem" "$work/server.pem.new" &&
        mv "$work/server.key.new" "$work/server.key" && mv "$work/server.pem.new" "$work/server.pem"
}
write_config() {
    cat <<END
tls_server_config: {cert_file: server.pem, key_file: server.key}
listeners:
- address: "127.0.0.1:$rsa_port"
  tls_server_config: {cert_file: rsa.pem, key_file: rsa.key}
- address: "127.0.0.1:$chosen_port"
  tls_server_config:
    cert_file: rsa.pem
    key_file: rsa.key
    min_version: TLS12
    max_version: TLS12
    cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]
    curve_preferences: [CurveP384]
- address: "127.0.0.1:$old_port"
  tls_server_config: {cert_file: rsa.pem, key_file: rsa.key, min_version: TLS10}
- address: "127.0.0.1:$client_port"
  tls_server_config: {cert_file: rsa.pem, key_file: rsa.key, min_version: TLS13, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}
END
}
begin() {
    start here build/firekeep serve "$small_log" "--storage.path=$work/data" "--web.listen-address=127.0.0.1:$port" "--config.file=$work/firekeep.yml"
    within 30 asks 200 "$port"
}

# --- clients ------------------------------------------------------------------------------------------

asks() { # STATUS PORT CURL-ARGUMENT...
    local got
    got=$(curl -s --noproxy '*' --max-time 20 --cacert "$work/ca.pem" -o "$work/body.txt" -w '%{http_code}' "${@:3}" "https://localhost:$2/-/ready")
    echo "status $got"
    [[ $got == "$1" ]]
}

# Prints the version, the suite and the curve of a handshake by OpenSSL, all weak ones allowed.
openssl_says() { # PORT ARGUMENT...
    openssl s_client -connect "localhost:$1" -CAfile "$work/ca.pem" -servername localhost "${@:2}" </dev/null >"$work/client.txt" 2>&1
    awk '/^New, / { version = $2; sub(/,$/, "", version); suite = $NF } /^(Server|Peer) Temp Key: / { key = $4 == "ECDH," ? $5 : $4; sub(/,$/, "", key) }
        /^ *Protocol *:/ { version = $NF } END { print version, suite, key }' "$work/client.txt"
}
openssl_gets() { # "VERSION SUITE CURVE" PORT ARGUMENT...
    local got
    got=$(openssl_says "${@:2}")
    echo "$got"
    # shellcheck disable=SC2053 # a pattern
    [[ $got == $1 ]]
}
openssl_is_refused() { # PORT ARGUMENT...
    local got
    got=$(openssl_says "$@")
    echo "$got"
    grep -q 'Cipher is (NONE)' "$work/client.txt"
}

all() { # FUNCTION: each line is its arguments
    local line words
    while read -r line; do
        [[ -n $line ]] || continue
        eval "words=($line)"
        "$1" "${words[@]}" || {
            echo "$line: $(head -n 5 "$work/client.txt" | tr '\n' ' ')"
            return 1
        }
    done
}

claim "certificates are made" certificates
use_certificate ecdsa
write_config >"$work/firekeep.yml"
claim "it starts" begin

# --- versions and suites --------------------------------------------------------------------------------

claim "OpenSSL: suites of TLS 1.3" all openssl_gets <<END
"TLSv1.3 TLS_AES_128_GCM_SHA256 X25519" $port -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256
"TLSv1.3 TLS_AES_256_GCM_SHA384 X25519" $port -tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384
"TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 X25519" $rsa_port -tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256
END
claim "OpenSSL: suites of TLS 1.2 with forward secrecy and AEAD" all openssl_gets <<END
"TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 *" $port -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
"TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 *" $port -tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384
"TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305 *" $port -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305
"TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 *" $rsa_port -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
"TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 *" $rsa_port -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384
"TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305 *" $rsa_port -tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305
END
claim "OpenSSL: curves" all openssl_gets <<END
"TLSv1.3 * X25519" $port -curves X25519
"TLSv1.3 * prime256v1" $port -curves P-256
"TLSv1.3 * secp384r1" $port -curves P-384
"TLSv1.3 * secp521r1" $port -curves P-521
END
claim "OpenSSL: older versions, and suites without forward secrecy or AEAD, are refused" all openssl_is_refused <<END
$port -tls1 -cipher ALL:@SECLEVEL=0
$port -tls1_1 -cipher ALL:@SECLEVEL=0
$rsa_port -tls1_1 -cipher ALL:@SECLEVEL=0
$rsa_port -tls1_2 -cipher AES128-GCM-SHA256
$rsa_port -tls1_2 -cipher AES256-SHA
$rsa_port -tls1_2 -cipher ECDHE-RSA-AES128-SHA
$rsa_port -tls1_2 -cipher ECDHE-RSA-AES128-SHA256
$rsa_port -tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256
$port -tls1_2 -cipher AECDH:ADH:eNULL:@SECLEVEL=0
END
claim "OpenSSL: the suite, the version and the curve that are named" openssl_gets "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 secp384r1" "$chosen_port"
claim "OpenSSL: others are refused there" all openssl_is_refused <<END
$chosen_port -tls1_3
$chosen_port -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
$chosen_port -tls1_2 -curves X25519
END
claim "OpenSSL: TLS 1.0 and 1.1 where they are named" all openssl_gets <<END
"TLSv1 ECDHE-RSA-AES*-SHA *" $old_port -tls1 -cipher ALL:@SECLEVEL=0
"TLSv1.1 ECDHE-RSA-AES*-SHA *" $old_port -tls1_1 -cipher ALL:@SECLEVEL=0
"TLSv1.3 * *" $old_port
END

# --- ALPN, renegotiation, compression ---------------------------------------------------------------------

alpn_is() { # TEXT PROTOCOLS
    openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" -alpn "$2" </dev/null >"$work/client.txt" 2>&1
    grep ALPN "$work/client.txt"
    grep -q "$1" "$work/client.txt"
}
claim "ALPN chooses HTTP/1.1" alpn_is 'ALPN protocol: http/1.1' h2,http/1.1
http_version_is() {
    local got
    got=$(curl -s --noproxy '*' --http2 --cacert "$work/ca.pem" -o /dev/null -w '%{http_version}' "https://localhost:$port/-/ready")
    [[ $got == 1.1 ]]
}
claim "a client of HTTP/2 speaks HTTP/1.1" http_version_is
says() { # TEXT ARGUMENT...
    openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" "${@:2}" </dev/null >"$work/client.txt" 2>&1
    grep -q "$1" "$work/client.txt"
}
claim "nothing is compressed" says 'Compression: NONE' -tls1_2 -comp
claim "renegotiation is secure" says 'Secure Renegotiation IS supported' -tls1_2

# "R" at the beginning of a line makes s_client renegotiate.
renegotiates() {
    { echo R && sleep 2; } | timeout 20 openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" -tls1_2 >"$work/client.txt" 2>&1
    grep -q '^RENEGOTIATING' "$work/client.txt" || return 1
    ! grep -A 20 '^RENEGOTIATING' "$work/client.txt" | grep -q 'verify return:1\|HTTP/1.1'
}
claim "a client cannot renegotiate" renegotiates

# --- tickets ------------------------------------------------------------------------------------------------

# Keeps a session's ticket in FILE. TLS 1.3 sends it after the handshake, with the answer.
keep_session() { # VERSION FILE
    printf 'GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        timeout 20 openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" "$1" -ign_eof -sess_out "$2" >"$work/client.txt" 2>&1
    [[ -s $2 ]]
}
is_resumed() { # VERSION FILE
    openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" "$1" -sess_in "$2" </dev/null >"$work/client.txt" 2>&1
    grep -q '^Reused, ' "$work/client.txt"
}
is_not_resumed() { # VERSION FILE
    openssl s_client -connect "localhost:$port" -CAfile "$work/ca.pem" "$1" -sess_in "$2" </dev/null >"$work/client.txt" 2>&1
    grep -q '^New, TLS' "$work/client.txt"
}
serves() { # NAME of a certificate
    [[ $(openssl s_client -connect "localhost:$port" </dev/null 2>/dev/null | openssl x509 -noout -serial) == "$(openssl x509 -noout -serial -in "$work/$1.pem")" ]]
}
tickets_end() { # VERSION
    use_certificate ecdsa && within 30 serves ecdsa && keep_session "$1" "$work/session.$1" && is_resumed "$1" "$work/session.$1" &&
        use_certificate next && within 30 serves next && is_not_resumed "$1" "$work/session.$1"
}
claim "TLS 1.3: a session is resumed until the certificate changes" tickets_end -tls1_3
claim "TLS 1.2: a session is resumed until the certificate changes" tickets_end -tls1_2

claim "it stops" stop here
done_testing
