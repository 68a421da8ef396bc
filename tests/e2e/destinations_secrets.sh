#!/bin/bash
# destinations_secrets.sh - a proxy that needs a user and a password is used for http and for https;
# and no secret of a configuration is in logs, pages, metrics, output of commands or files.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 5)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
table=https://127.0.0.1:${ports[2]}
proxy=127.0.0.1:${ports[3]}
closed=127.0.0.1:${ports[4]}
firekeep=build/firekeep
config=$work/firekeep.yml
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION
unset http_proxy https_proxy all_proxy no_proxy HTTPS_PROXY ALL_PROXY NO_PROXY
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none
export HUSH_VARIABLE=hush-of-variable

if ! command -v openssl >/dev/null; then
    skip_all "destinations_secrets" "no openssl"
fi
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
every_kind >"$work/bits.txt"
"$TOOLS/rwmake" --version 2 <"$work/bits.txt" >"$work/bits.rw"
echo hush-of-file >"$work/hush-file"

# Each secret begins with "hush". The first four work, the others lead nowhere, or are refused.
common='batch: {max_age: 100ms}, timeout: 2s, headers: {X-Extra: hush-header}'
cat >"$config" <<END
destinations:
  - {name: twin, type: remote_write, url: "$there/api/v1/write", proxy_url: "http://keeper:hush-proxy%21@$proxy", authorization: {credentials: hush-bearer}, $common}
  - {name: table, type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: TSKEY, secret_key: hush-key, write_endpoint: "$table", tls_config: {ca_file: $work/cert.pem}, proxy_url: "http://keeper:hush-proxy%21@$proxy", $common}
  - {name: beside, type: remote_write, url: "$there/api/v1/write", proxy_url: "http://keeper:hush-no@$closed", no_proxy: 127.0.0.0/8, basic_auth: {username: u, password_file: $work/hush-file}, $common}
  - {name: direct, type: remote_write, url: "$there/api/v1/write", proxy_url: "", authorization: {credentials: "\${HUSH_VARIABLE}"}, $common}
  - {name: stranger, type: remote_write, url: "$there/api/v1/write", proxy_url: "http://keeper:hush-wrong@$proxy", $common}
  - {name: strangers-table, type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: TSKEY, secret_key: hush-key, write_endpoint: "$table", tls_config: {ca_file: $work/cert.pem}, proxy_url: "http://hush-token@$proxy", $common}
  - {name: gone, type: remote_write, url: "$there/api/v1/write", proxy_url: "http://keeper:hush-gone@$closed", basic_auth: {username: u, password: hush-password}, $common}
  - {name: unknown, type: remote_write, url: "http://no-such-host.invalid/", proxy_url: "http://keeper:hush-unknown@no-such-proxy.invalid", $common}
  - {name: refused, type: remote_write, url: "$there/api/v1/nothing", authorization: {credentials: hush-refused}, $common}
  - {name: oauth2, type: remote_write, url: "$there/api/v1/write", oauth2: {client_id: c, client_secret: hush-client, token_url: "$there/api/v1/token", endpoint_params: {audience: hush-param}, proxy_url: "http://keeper:hush-proxy%21@$proxy"}, $common}
  - {name: sigv4, type: remote_write, url: "http://$closed/", sigv4: {region: eu-west-1, access_key: hush-access, secret_key: hush-key, session_token: hush-session}, $common}
  - {name: influx, type: influxdb, version: 2, org: o, bucket: b, url: "$there", token: hush-influx, $common}
  - {name: click, type: clickhouse, url: "$there", table: t, basic_auth: {username: u, password: hush-click}, $common}
  - {name: tsd, type: opentsdb, url: "$there", basic_auth: {username: u, password: hush-password}, $common}
  - {name: stream, type: kinesis, stream: s, region: eu-west-1, access_key: hush-access, secret_key: hush-key, session_token: hush-session, endpoint: "$there", $common}
  - {name: hose, type: firehose, delivery_stream: s, region: eu-west-1, access_key: hush-access, secret_key: hush-key, endpoint: "http://$closed", $common}
  - {name: bucket, type: s3, bucket: metrics, region: eu-west-1, access_key: hush-access, secret_key: hush-key, endpoint: "$there", path_style: true, roll_age: 1s, $common}
  - {name: missing, type: remote_write, url: "$there/api/v1/write", authorization: {credentials_file: $work/nothing}, $common}
END
all=(twin table beside direct stranger strangers-table gone unknown refused oauth2 sigv4 influx click tsd stream hose bucket missing)

# --- through a proxy --------------------------------------------------------------------------------

seen_by_proxy() { # PATTERN
    cat "$work/proxy.log"
    grep -q -e "$1" "$work/proxy.log"
}

unseen_by_proxy() { # PATTERN
    ! seen_by_proxy "$1"
}

# Says whether a test ends with this status and output.
tried() { # STATUS PATTERN NAME
    "$firekeep" destinations test "$3" --config.file="$config" >"$work/tried-$3.txt" 2>&1
    local got=$?
    cat "$work/tried-$3.txt"
    [[ $got == "$1" ]] && grep -q -e "$2" "$work/tried-$3.txt"
}

failed() { # DESTINATION...: each has a reason
    local name
    for name; do
        [[ -n $(last_error "$name") ]] || {
            echo "$name: nothing has failed yet"
            return 1
        }
    done
}

claim "the proxy starts" start proxy python3 tests/doubles/forward_proxy.py --port "${ports[3]}" --user keeper --password 'hush-proxy!'
claim "the proxy listens" within 20 grep -q listening "$work/proxy.log"
claim "a table behind TLS starts" start table python3 tests/doubles/timestream.py --port "${ports[2]}" --region eu-west-1 --table metrics.prometheus \
    --magnetic-writes --access-key TSKEY --secret-key hush-key --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
claim "the table answers" within 20 curl -fsk --noproxy '*' -o "$work/stats" "$table/stats"
claim "the other server starts" start_firekeep twin "$work/twin" "${ports[1]}"
claim "check takes the configuration" "$firekeep" check "$config"
claim "starts" start_firekeep server "$work/store" "${ports[0]}" --config.file="$config" --web.enable-lifecycle
claim "all destinations are open" within 20 all_open
claim "every request is acknowledged in full" is_acknowledged "$work/bits.rw"
for name in twin beside direct; do
    claim "$name confirms all samples" within 20 has_delivered "$name" 15
done
claim "table: what it takes is confirmed" within 20 all_settled table
claim "http goes through the proxy, with a whole URL" seen_by_proxy "POST $there/api/v1/write passed"
claim "https goes through the proxy, by CONNECT" seen_by_proxy "CONNECT 127.0.0.1:${ports[2]} passed"
claim "the proxy sees nothing of what goes to an https host" unseen_by_proxy '^saw '
claim "a token is asked for through the proxy of oauth2" seen_by_proxy "POST $there/api/v1/token passed"
claim "http: a wrong password is told" within 20 says stranger 'proxy: .*password'
claim "http: and blocks, until it is mended" within 20 is_in_state stranger blocked
claim "https: a wrong password is told" within 20 says strangers-table 'proxy: .*407'
claim "https: and blocks, until it is mended" within 20 is_in_state strangers-table blocked
claim "test: through the proxy" tried 0 "through the proxy: connection from the proxy to the server" table
claim "test: a proxy that refuses is told" tried 1 'FAILED .*through the proxy: connection from the proxy to the server: proxy' strangers-table
claim "test: and what to do" grep -q 'check the user and password of proxy_url' "$work/tried-strangers-table.txt"
claim "test: a proxy that is not there is told" tried 1 'FAILED .*connection: connect' gone

# --- secrets in output -----------------------------------------------------------------------------

claim "the others have failed, each in its way" within 30 failed stranger strangers-table gone unknown refused oauth2 sigv4 influx click stream hose bucket missing
sed -i 's/hush-refused/hush-refused-again/; s/hush-influx/hush-influx-again/' "$config"
claim "a reload with other secrets" quiet_curl -X POST "$url/-/reload"
claim "and these fail, too" within 30 failed refused influx
sed 's/hush-refused-again/hush-\nrefused/' "$config" >"$work/broken.yml"
"$firekeep" check "$work/broken.yml" >"$work/broken.txt" 2>&1
for wrong in 'url: "http://u:hush-url@h/"' 'url: "ftp://u:hush-url@h/"' 'url: "http://h/", proxy_url: "socks5://u:hush-url@h"' 'url: "http://h/", proxy_url: "http://u:hush-url@"' \
    'url: "http://h/", authorization: {credentials: "hush\u0001"}' 'url: "http://h/", headers: {Authorization: hush-a}, authorization: {credentials: hush-b}' \
    'url: "http://h/", authorization: {credentials: [hush-list]}' 'url: "http://h/", authorization: {credential: hush-key}'; do
    printf 'destinations:\n  - {name: a, type: remote_write, %s}\n' "$wrong" >"$work/wrong.yml"
    "$firekeep" check "$work/wrong.yml" >>"$work/wrong.txt" 2>&1
done
for page in metrics api/v1/status/config api/v1/status/destinations api/v1/status/flags api/v1/status/runtimeinfo; do
    quiet_curl "$url/$page" >"$work/page-${page//\//-}.txt"
done
for name in "${all[@]}"; do
    "$firekeep" destinations test "$name" --config.file="$config" >"$work/tried-$name.txt" 2>&1
    "$firekeep" destinations test "$name" --config.file="$config" --format=json >"$work/tried-json-$name.txt" 2>&1
    "$firekeep" dead-letters list --storage.path="$work/store" --destination "$name" --format json >"$work/letters-$name.txt" 2>&1
done
claim "a stop ends it with status 0" stop server

shows_secrets_as_words() {
    cat "$work/page-api-v1-status-config.txt"
    local count
    count=$(grep -o '<secret>' "$work/page-api-v1-status-config.txt" | wc -l)
    ((count >= 40)) && grep -q "http://keeper:<secret>@$proxy" "$work/page-api-v1-status-config.txt" &&
        grep -q "http://<secret>@$proxy" "$work/page-api-v1-status-config.txt"
}
claim "the configuration is shown with <secret>" shows_secrets_as_words

# Includes the form of HTTP Basic. The name of a file with a secret is not a secret.
tells_nothing() { # FILE OR DIRECTORY...
    local found
    found=$(grep -rn --binary-files=text -o -e 'hush.\{0,30\}' -e 'dTpodXNo.\{0,20\}' -e "$(printf 'keeper:hush' | base64 | cut -c1-14)" "$@" | grep -v 'hush-file')
    printf '%s\n' "$found" | head
    [[ -z $found ]]
}
claim "some lines were logged" grep -q 'relay: operation failed' "$work/server.log"
claim "no secret in the log" tells_nothing "$work/server.log"
claim "no secret in pages and metrics" tells_nothing "$work"/page-*.txt
claim "no secret in what commands say" tells_nothing "$work"/tried-*.txt "$work"/letters-*.txt
claim "wrong configurations are refused" grep -q 'must not contain a user name or password' "$work/wrong.txt"
claim "no secret in what is said of wrong configurations" tells_nothing "$work/wrong.txt" "$work/broken.txt"
claim "no secret in the data directory" tells_nothing "$work/store"
stop table
stop twin
stop proxy

done_testing
