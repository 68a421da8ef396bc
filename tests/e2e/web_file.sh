#!/bin/bash
# web_file.sh - `check` accepts and refuses the same files for web.config.file as the promtool of a
# real Prometheus 3, and says where an error is.

. tests/lib.sh
promtool=$(realpath -m "$PEERS/promtool/usr/bin/promtool")
firekeep=$PWD/build/firekeep

if ! command -v openssl >/dev/null; then
    skip_all "web files" "no openssl"
fi

# Writes files with these names: good (both accept it), wrong (both refuse it), strict (only
# Firekeep refuses it), loose (only Firekeep accepts it).
files() {
    cat <<'END'
=== good-nothing
=== good-comment
# nothing
=== good-empty-sections
tls_server_config: {}
http_server_config: {}
basic_auth_users: {}
=== good-null-sections
tls_server_config:
http_server_config:
basic_auth_users:
=== good-tls
tls_server_config:
  cert_file: server.crt
  key_file: server.key
=== good-all-keys
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: server.crt
  client_allowed_sans: [a.example.org, 10.0.0.1, a@example.org, 'spiffe://a/b']
  min_version: TLS10
  max_version: TLS13
  prefer_server_cipher_suites: false
  cipher_suites:
  - TLS_AES_128_GCM_SHA256
  - TLS_AES_256_GCM_SHA384
  - TLS_CHACHA20_POLY1305_SHA256
  - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
  - TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
  - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
  - TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
  - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
  - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
  curve_preferences: [X25519, CurveP256, CurveP384, CurveP521]
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Content-Type-Options: nosniff
    X-Frame-Options: sameorigin
    X-XSS-Protection: "1"
    Content-Security-Policy: default-src 'self'
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2b$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m
=== good-any-client
tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAnyClientCert}
=== good-older-word
tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireClientCert}
=== good-optional-client
tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: VerifyClientCertIfGiven}
=== good-blank-keys
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  cert: ""
  client_ca_file: ''
  client_auth_type: ""
  min_version:
  prefer_server_cipher_suites: no
http_server_config: {http2: True}
=== good-versions-alone
tls_server_config: {min_version: TLS13}
=== good-users
basic_auth_users: {alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze}
=== wrong-no-key
tls_server_config: {cert_file: server.crt}
=== wrong-no-certificate
tls_server_config: {key_file: server.key}
=== wrong-client-without-certificate
tls_server_config: {client_auth_type: RequireAnyClientCert}
=== wrong-ca-without-certificate
tls_server_config: {client_ca_file: server.crt}
=== wrong-ca-without-type
tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: server.crt}
=== wrong-type
tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: Always}
=== wrong-version
tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS111}
=== wrong-suite
tls_server_config: {cert_file: server.crt, key_file: server.key, cipher_suites: [TLS_ECDHE_RSA_WITH_INVENTED_SHA]}
=== wrong-curve
tls_server_config: {cert_file: server.crt, key_file: server.key, curve_preferences: [Curve25519]}
=== wrong-key-of-tls
tls_server_config: {cert_file: server.crt, key_file: server.key, client_cert_auth: true}
=== wrong-key
tls_config: {cert_file: server.crt, key_file: server.key}
=== wrong-twice
basic_auth_users: {}
basic_auth_users: {}
=== wrong-users
basic_auth_users: [alice]
=== wrong-hash
basic_auth_users: {alice: secret}
=== wrong-http2
http_server_config: {http2: maybe}
=== wrong-header
http_server_config: {headers: {X-Other: a}}
=== wrong-frame-options
http_server_config: {headers: {X-Frame-Options: allow}}
=== wrong-content-type-options
http_server_config: {headers: {X-Content-Type-Options: sniff}}
=== wrong-list
- tls_server_config
=== strict-both-forms
tls_server_config: {cert_file: server.crt, key_file: server.key, key: "x"}
=== strict-no-ca
tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert}
=== strict-blank-certificate
tls_server_config: {cert_file: "", key_file: ""}
=== strict-versions
tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS13, max_version: TLS12}
=== loose-no-forward-secrecy
tls_server_config: {cert_file: server.crt, key_file: server.key, cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]}
=== loose-new-curve
tls_server_config: {cert_file: server.crt, key_file: server.key, curve_preferences: [X25519MLKEM768, X25519]}
=== loose-yescrypt
basic_auth_users: {alice: $y$j9T$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG}
END
}

write_files() { # DIRECTORY
    mkdir -p "$1" && cd "$1" || return 1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
        -keyout server.key -out server.crt -days 2 2>/dev/null || return 1
    files | awk '/^=== / { file = $2 ".yml"; printf "" >file; next } { print >file }'
    local file
    for file in *.yml; do
        printf 'web: {config_file: %s}\n' "$file" >"${file%.yml}.conf"
    done
}

ours() { # FILE
    "$firekeep" check "${1%.yml}.conf" >said.txt 2>&1
}

theirs() { # FILE
    "$promtool" check web-config "$1" >said.txt 2>&1
}

# Says whether a tool accepts (0) or refuses (1) all files of some kinds.
judges() { # ours|theirs STATUS KINDS
    local file status count=0 bad=0
    for file in *.yml; do
        [[ $file =~ ^($3)- ]] || continue
        count=$((count + 1))
        "$1" "$file"
        status=$?
        ((status == $2)) && continue
        bad=$((bad + 1))
        echo "$file: status $status: $(<said.txt)"
    done
    ((count > 0 && bad == 0))
}

prints() { # NAME STATUS EXPECTED
    ours "$1.yml"
    local status=$?
    echo "status $status: $(<said.txt)"
    ((status == $2)) && grep -qF -- "$3" said.txt
}

claim "files and a certificate can be made" write_files "$work/files"
cd "$work/files" || exit 1
claim "good files are accepted" judges ours 0 'good|loose'
claim "wrong files are refused" judges ours 1 'wrong|strict'
claim "an error has its place in the file" prints wrong-hash 1 \
    'wrong-hash.yml:1:27: basic_auth_users: unknown kind of password hash: expected bcrypt'
claim "users are counted" prints good-all-keys 0 'good-all-keys.conf: ok, 2 users'
claim "suites without forward secrecy are warned of" prints loose-no-forward-secrecy 0 \
    'warning: tls_server_config: TLS_RSA_WITH_AES_128_GCM_SHA256 has no forward secrecy'
claim "names that are ignored are warned of" prints loose-new-curve 0 \
    'warning: tls_server_config: X25519MLKEM768 is not supported and is ignored'
claim "a section without a certificate is warned of" prints good-versions-alone 0 \
    'warning: tls_server_config: there is no certificate, and so no TLS'
if [[ -x $promtool ]]; then
    claim "promtool accepts the same files" judges theirs 0 'good|strict'
    claim "promtool refuses the same files" judges theirs 1 'wrong|loose'
else
    skip "promtool accepts the same files" "tests/peers/fetch gets promtool"
    skip "promtool refuses the same files" "tests/peers/fetch gets promtool"
fi
done_testing
