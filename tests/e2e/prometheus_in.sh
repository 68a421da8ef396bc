#!/bin/bash
# prometheus_in.sh - real Prometheus servers, 2.42 and 3.x, write and read over TLS with each way to
# sign in that they have, beside the same ways with wrong credentials. Not tested are azuread and
# google_iam, which ask services of these companies for tokens.
#
# Each way has a name: what is written by it has the name as label `way`, and is read by it, because
# Prometheus asks a remote_read only for what has its required_matchers. Wrong passwords slow down
# their address, so each way has an address of its own: that of a proxy through which it connects.
# The 2.42 of Debian 12 ignores `sigv4` and `headers`: it signs nothing.

. tests/lib.sh
for tool in openssl curl python3; do
    command -v "$tool" >/dev/null || skip_all "prometheus_in" "no $tool"
done
python3 -c 'import cryptography' 2>/dev/null || skip_all "prometheus_in" "no python3-cryptography"
programs=()
for program in "$PEERS/prometheus/usr/bin/prometheus" "$(command -v prometheus)"; do
    [[ ! -x $program ]] || programs+=("$program")
done
((${#programs[@]} > 0)) || skip_all "prometheus_in" "no prometheus"
read -r port issuer_port proxy_port prometheus_port < <(free_ports 4 | tr '\n' ' ')
url=https://localhost:$port
issuer=https://localhost:$issuer_port

# --- certificates and configuration ----------------------------------------------------------------

make_ca() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.pem"
}
issue() { # CA NAME PURPOSE
    printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=%s\n' "$3" >"$work/ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$work/$2.key" -out "$work/csr" &&
        openssl x509 -req -in "$work/csr" -CA "$work/$1.pem" -CAkey "$work/$1.key" -CAcreateserial -days 5 -extfile "$work/ext" -out "$work/$2.pem"
}
certificates() {
    make_ca ca && make_ca other && issue ca server serverAuth && issue ca sender clientAuth && issue ca stranger clientAuth &&
        issue other foreign clientAuth
}

# The hash of "secret" by bcrypt, with cost 4, and the SHA-256 of the token "abc".
# shellcheck disable=SC2016 # the hash is not a variable
secret='$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW'
abc=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
key=secret/of+sigv4/01234567890123456789

write_config() {
    cat <<END_OF_FILE
tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, client_auth_type: VerifyClientCertIfGiven}
users:
- {name: basic, password: '$secret', permissions: [write, read]}
- {name: reader, password: '$secret', permissions: [read]}
- {name: writer, password: '$secret', permissions: [write]}
- {name: token, tokens: [$abc], permissions: [write, read]}
- {name: certificate, client_certificate: CN=sender, permissions: [write, read]}
- {name: sigv4, access_keys: [{id: AKIAPROM, secret_file: key}], permissions: [write]}
- {name: jwt, jwt: {issuer: $issuer, ca_file: ca.pem, audience: [firekeep]}, permissions: [write, read]}
END_OF_FILE
}

# The ways: a name, the status that writing and reading get (000: no TLS; -: it does not read), and
# the settings.
ways() {
    local oauth="client_id: prometheus, client_secret: hush, token_url: $issuer/token, tls_config: {ca_file: ca.pem}"
    cat <<END_OF_FILE
basic 200 200 basic_auth: {username: basic, password: secret}
basic_wrong 401 401 basic_auth: {username: basic, password: wrong}
basic_unknown 401 401 basic_auth: {username: nobody, password: secret}
basic_reader 403 200 basic_auth: {username: reader, password: secret}
basic_writer 200 403 basic_auth: {username: writer, password: secret}
token 200 200 authorization: {credentials: abc}
token_wrong 401 401 authorization: {credentials: abd}
token_other 401 401 authorization: {type: Other, credentials: abc}
token_influx 200 200 authorization: {type: Token, credentials: abc}
certificate 200 200 cert_file: sender.pem, key_file: sender.key
certificate_unknown 401 401 cert_file: stranger.pem, key_file: stranger.key
certificate_foreign 000 000 cert_file: foreign.pem, key_file: foreign.key
sigv4 200 - sigv4: {region: eu-west-1, access_key: AKIAPROM, secret_key: $key}
sigv4_wrong 401 - sigv4: {region: eu-west-1, access_key: AKIAPROM, secret_key: wrong}
sigv4_unknown 401 - sigv4: {region: eu-west-1, access_key: AKIANONE, secret_key: $key}
oauth2 200 200 oauth2: {$oauth}
oauth2_wrong 401 401 oauth2: {$oauth, endpoint_params: {claims: '{"aud": "other"}'}}
jwt 200 200 authorization: {credentials_file: jwt}
jwt_expired 401 401 authorization: {credentials_file: jwt_expired}
nothing 401 401
END_OF_FILE
}

# Writes one entry of remote_write or remote_read; the settings of a certificate are those of TLS.
write_way() { # NUMBER NAME PATH SETTINGS
    local tls='ca_file: ca.pem' settings=$4
    [[ $settings != cert_file* ]] || {
        tls+=", $settings"
        settings=
    }
    printf -- '- name: %s\n  url: %s/api/v1/%s\n  proxy_url: http://%d:x@127.0.0.1:%s\n  tls_config: {%s}\n' "$2" "$url" "$3" "$1" "$proxy_port" "$tls"
    [[ -z $settings ]] || echo "  $settings"
}

write_prometheus() { # VERSION
    local name write read settings n=1
    cat <<END_OF_FILE
global: {scrape_interval: 1s, external_labels: {version: '$1'}}
scrape_configs: [{job_name: own, static_configs: [{targets: ['127.0.0.1:$prometheus_port']}]}]
remote_write:
END_OF_FILE
    while read -r name write read settings; do
        write_way "$((++n))" "$name" write "$settings"
        printf '  queue_config: {batch_send_deadline: 1s}\n  write_relabel_configs: [{target_label: way, replacement: %s}]\n' "$name"
    done < <(ways)
    echo remote_read:
    while read -r name write read settings; do
        [[ $read == - ]] || {
            write_way "$((++n))" "$name" read "$settings"
            printf '  read_recent: true\n  required_matchers: {way: %s}\n' "$name"
        }
    done < <(ways)
}

# --- what arrives, and what does not -----------------------------------------------------------------

# Sets `got` to a query's response of the server, or of Prometheus.
ask_server() { # QUERY
    got=$(curl -sfG --noproxy '*' --max-time 20 --cacert "$work/ca.pem" -u reader:secret --data-urlencode "query=$1" "$url/api/v1/query")
}
ask_prometheus() { # QUERY
    got=$(curl -sfG --noproxy '*' --max-time 20 --data-urlencode "query=$1" "http://127.0.0.1:$prometheus_port/api/v1/query")
}

is_written() { # VERSION WAY
    ask_server "count_over_time(up{job=\"own\",version=\"$1\",way=\"$2\"}[1h]) > 2" && [[ $got == *'"value"'* ]]
}
# Says whether Prometheus has dropped samples, as a status tells it to, or sent them again.
failed() { # REMOTE failed|retried
    curl -sf --noproxy '*' "http://127.0.0.1:$prometheus_port/metrics" | awk -v name="remote_name=\"$1\"" -v kind="_samples_$2_total" '
        index($0, kind "{") && index($0, name) && $2 > 0 { found = 1 } END { exit !found }'
}
write_gets() { # VERSION WAY STATUS
    case $3 in
    200) within 60 is_written "$1" "$2" ;;
    000) within 60 failed "$2" retried ;;
    *) within 60 failed "$2" failed ;;
    esac || return 1
    [[ $3 == 200 ]] || ! is_written "$1" "$2"
}
read_gets() { # VERSION WAY STATUS WRITTEN
    ask_prometheus "count_over_time(up{way=\"$2\"}[1h])" || return 1
    case $3-$4 in
    200-200) [[ $got == *'"value"'* && $got != *warnings* ]] ;;
    200-*) [[ $got == *'"result":[]'* && $got != *warnings* ]] ;;
    000-*) [[ $got == *'"result":[]'*'remote error: tls: bad certificate'* ]] ;;
    *) [[ $got == *'"result":[]'*"returned http status $3 "* || $got == *'"result":[]'*"returned HTTP status $3 "* ]] ;;
    esac
}

# All writes first, so that some of each are there to be read.
all_as_expected() { # VERSION write|read KIND
    local name write read settings
    while read -r name write read settings; do
        case $2-$name in
        write-"$3"*) write_gets "$1" "$name" "$write" ;;
        read-"$3"*) [[ $read == - ]] || read_gets "$1" "$name" "$read" "$write" ;;
        esac || {
            echo "$name: $got; $(grep "remote_name=$name " "$work/prometheus-$1.log" | tail -n 1)"
            return 1
        }
    done < <(ways)
}
# Prometheus logs some of the refusals; 3.5 only the first of all.
learns_nothing() { # VERSION
    sed -n 's/.*remote_name=\([a-z0-9_]*\) .*err="server returned HTTP status \(4.*\)/\1 \2/p' "$work/prometheus-$1.log" | tr -d '"' |
        sed 's/\\n$//' | sort -u >"$work/refusals.txt"
    [[ -s $work/refusals.txt ]] &&
        ! grep -v '^basic_reader 403 Forbidden: the user is not permitted to do this$' "$work/refusals.txt" | grep -v ' 401 Unauthorized: unauthorized$'
}

sign() { # FILE JSON
    curl -sf --noproxy '*' --max-time 20 --cacert "$work/ca.pem" -d "$2" -o "$work/$1" "$issuer/sign"
}
begin_issuer() {
    start issuer python3 tests/doubles/oidc.py --port "$issuer_port" --dir "$work" --cert "$work/server.pem" --key "$work/server.key"
    within 30 sign jwt '{}' && sign jwt_expired '{"claims": {"exp": -100}}'
}
begin() {
    echo "$key" >"$work/key"
    write_config >"$work/firekeep.yml"
    start proxy tests/doubles/address_proxy.py "$proxy_port"
    start here build/firekeep serve "$small_log" "--storage.path=$work/data" "--web.listen-address=127.0.0.1:$port" "--config.file=$work/firekeep.yml"
    within 30 ask_server 1
}
begin_prometheus() { # PROGRAM VERSION
    write_prometheus "$2" >"$work/prometheus.yml"
    start "prometheus-$2" "$1" "--config.file=$work/prometheus.yml" "--storage.tsdb.path=$work/prometheus-$2" "--web.listen-address=127.0.0.1:$prometheus_port" \
        --storage.remote.flush-deadline=1s
    wait_ready "prometheus-$2" "http://127.0.0.1:$prometheus_port/-/ready"
}

got=
claim "certificates are made" certificates
claim "the issuer starts" begin_issuer
claim "the server starts" begin
for program in "${programs[@]}"; do
    version=$("$program" --version 2>&1 | sed -n '1s/^prometheus, version \([0-9]*\.[0-9]*\).*/\1/p')
    claim "$version: Prometheus starts" begin_prometheus "$program" "$version"
    for direction in write read; do
        for kind in basic token certificate sigv4 oauth2 jwt nothing; do
            [[ $kind != sigv4 || ($direction == write && $version != 2.42) ]] || continue # reads are not signed
            claim "$version: $direction, $kind: each way gets its status" all_as_expected "$version" "$direction" "$kind"
        done
    done
    claim "$version: all refusals have the same text" learns_nothing "$version"
    claim "$version: Prometheus stops" stop "prometheus-$version"
done
claim "the server stops" stop here
done_testing
