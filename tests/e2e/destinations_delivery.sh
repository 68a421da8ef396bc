#!/bin/bash
# destinations_delivery.sh - samples written to one server arrive where its configuration says, each
# one, and nowhere else: in another server, in files and in stores of others, whichever process is
# killed; with tenants apart, through TLS and proxies, and without a secret in any output.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control twin secure spare nobody prometheus prometheus3 victoriametrics victoria_opentsdb influxd influxd_meta table proxy
there=$(url_of twin)
spare=${port[spare]}
firekeep=build/firekeep

start_twin() { # NAME [ARGUMENT...]: its directory
    start_firekeep twin "$work/$1" "${port[twin]}" "${@:2}"
}

make_kinds bits
every="batch: {max_age: 100ms}"
write_to="type: remote_write, url: '$there/api/v1/write', $every"

# --- every kind of value, to a server like this one and into files ---------------------------------

it=bits
configure "{name: twin, $write_to}" "{name: twin-1, protobuf_message: prometheus.WriteRequest, $write_to}" \
    "{name: lines, type: file, path: $work/lines, $every}" "{name: packed, type: file, path: $work/packed, compression: zstd, $every}" \
    "{name: some, type: file, path: $work/some, format: csv, select: ['late', '{sign=\"minus\"}'], external_labels: {site: north}, relabel: [{source_labels: [sign], target_label: way}], $every}"
claim "bits: check counts the destinations" tells '5 destinations' 0 "$firekeep" check "$work/firekeep.yml"
printf 'destinations:\n  - {name: a, type: file, path: /x}\n  - {name: b, type: file, path: //x/}\n' >"$work/twice.yml"
claim "bits: two that write into one directory are refused" tells 'a and b write to the same target' 1 "$firekeep" check "$work/twice.yml"
step start_twin bits-twin
claim "bits: starts" serve
claim "bits: every request is acknowledged in full" is_acknowledged "$work/bits.rw"
for name in twin twin-1 lines packed; do
    claim "bits: $name confirms all samples, and the account is right" within 15 shows "$name" delivered=15 queued=0
done
claim "bits: the other server has the same" equals "$there" "$work/bits.rw"
ends
for name in lines packed; do
    claim "bits: $name: a stop leaves whole files" files_are_whole "$work/$name"
    claim "bits: $name: imported, they are what was sent" imports_as "$work/$name" "$work/bits.rw"
done
only_some() {
    cat "$work"/some/* | sed 's/^"//' | tee "$work/some.csv"
    [[ $(grep -c '^late' "$work/some.csv") == 3 ]] && grep -q minus "$work/some.csv" && ! grep -q plus "$work/some.csv" &&
        grep -q site "$work/some.csv" && grep -q way "$work/some.csv"
}
claim "bits: selected and relabelled, others are left out" only_some

# --- real data, everybody is killed now and then ----------------------------------------------------

hammer() { # CAPTURE: is written while this server and the other one are killed
    "$TOOLS/rwreplay" "$1" "$url" --retry 60 --check >"$work/replay.txt" 2>&1 &
    local sender=$!
    for _ in 1 2 3; do
        sleep 0.3 # not awaited: any moment is a good one
        crash hammer
        crash twin
        start_twin hammer-twin && serve || return 1
    done
    wait "$sender" || {
        cat "$work/replay.txt"
        return 1
    }
}
stop twin
it=hammer
if [[ -z $SAMPLES || ! -f $SAMPLES/v2hist.rw ]]; then
    skip "captures" "no captures beside the project"
else
    configure "{name: twin, ${write_to/100ms/200ms}}" "{name: lines, type: file, path: $work/hammer-lines, roll_bytes: 8MiB, batch: {max_age: 200ms}}"
    claim "hammer: both start" eval 'start_twin hammer-twin && serve'
    claim "hammer: everything is acknowledged while all are killed again and again" hammer "$SAMPLES/v2hist.rw"
    claim "hammer: everything arrives" within 60 all_settled twin lines
    claim "hammer: the other server has the same" equals "$there" "$SAMPLES/v2hist.rw"
    for name in twin lines; do
        claim "hammer: $name: the account is right" balances "$name"
    done
    crash hammer
    claim "hammer: starts again" serve
    ends
    claim "hammer: the files are what was sent" imports_as "$work/hammer-lines" "$SAMPLES/v2hist.rw"
    stop twin
fi

# --- counterparts that refuse -----------------------------------------------------------------------

it=refusal
configure "{name: nobody, ${write_to/:${port[twin]}/:${port[nobody]}}}" "{name: wrong, ${write_to/write\'/status/flags\'}}" "{name: lines, type: file, path: $work/refusal-lines, $every}"
step start_twin bits-twin
step serve
takes bits
claim "refusal: where nobody answers it is tried again" within 10 is_in_state nobody retrying
claim "refusal: a wrong address blocks" within 10 is_in_state wrong blocked
claim "refusal: the third one has everything" within 10 has_delivered lines 15
claim "refusal: it pauses when told" admin destinations/nobody/pause
claim "refusal: it is paused" within 20 is_in_state nobody paused
claim "refusal: who is not there cannot be paused" eval '! admin destinations/who/pause'
claim "refusal: it goes on when told" admin destinations/nobody/resume
sed -i "s|:${port[nobody]}/|:${port[twin]}/|; s|/status/flags|/write|" "$work/firekeep.yml"
claim "refusal: a reload gives them an address" reload
for name in nobody wrong; do
    claim "refusal: now $name delivers" within 20 has_delivered "$name" 15
done
all_are_shown() {
    quiet_curl "$url/api/v1/status/destinations" | jq -e '[.data[] | .name + ":" + .state] == ["nobody:running", "wrong:running", "lines:running"]'
}
claim "refusal: the page shows all of them" all_are_shown
step stop refusal
stop twin

# --- stores of others -------------------------------------------------------------------------------

start_prometheus() { # NAME PROGRAM FLAG...
    mkdir -p "$work/$1"
    printf 'storage:\n  tsdb:\n    out_of_order_time_window: 30d\n' >"$work/$1.yml"
    start "$1" "$2" --config.file="$work/$1.yml" --storage.tsdb.path="$work/$1" --storage.tsdb.retention.time=100y \
        --web.listen-address="127.0.0.1:${port[$1]}" --web.enable-remote-write-receiver "${@:3}"
    wait_ready "$1" "$(url_of "$1")/-/ready"
}
start_victoria() {
    start victoriametrics "$PEERS/victoria-metrics/usr/bin/victoria-metrics" -storageDataPath="$work/victoria" -retentionPeriod=100y \
        -httpListenAddr="127.0.0.1:${port[victoriametrics]}" -opentsdbHTTPListenAddr="127.0.0.1:${port[victoria_opentsdb]}"
    wait_ready victoriametrics "$(url_of victoriametrics)/health"
}
begins_influxdb() {
    start_influxd && influx_query 'CREATE DATABASE metrics WITH DURATION INF'
}
has_row() { # QUERY PATTERN
    quiet_curl -G "$(url_of influxd)/query" -H 'Accept: application/csv' --data-urlencode db=metrics --data-urlencode epoch=ms --data-urlencode "q=$1" | tail -n +2 | tee "$work/rows"
    grep -q -e "$2" "$work/rows"
}
it=stores
floats="select: ['{__name__=~\".+\",__name__!~\"late|latency\"}'], $every" # what Prometheus has a place for
few="select: [large, small, zero], $every"
entries=() stores=()
for name in prometheus prometheus3 victoriametrics influxdb; do
    case $name in
    prometheus) program=prometheus flag=--enable-feature=native-histograms begin=(start_prometheus prometheus prometheus "$flag") ;;
    prometheus3) program=$PEERS/prometheus/usr/bin/prometheus begin=(start_prometheus prometheus3 "$program") ;;
    victoriametrics) program=$PEERS/victoria-metrics/usr/bin/victoria-metrics begin=(start_victoria) ;;
    influxdb) program=influxd begin=(begins_influxdb) ;;
    esac
    if ! command -v "$program" >/dev/null; then
        skip "$name" "not there"
        continue
    fi
    claim "$name: it starts" "${begin[@]}" || continue
    stores+=("$name")
    case $name in
    influxdb) entries+=("{name: influxdb, type: influxdb, version: 1, url: '$(url_of influxd)', database: metrics, $every}") ;;
    *) entries+=("{name: $name, type: remote_write, url: '$(url_of "$name")/api/v1/write', $floats}") ;;
    esac
    [[ $name != victoriametrics ]] || entries+=("{name: as_influxdb, type: influxdb, version: 2, url: '$(url_of victoriametrics)', org: o, bucket: b, token: t, $few}"
        "{name: as_opentsdb, type: opentsdb, url: '$(url_of victoria_opentsdb)', $few}")
done
configure "${entries[@]}"
claim "stores: starts with all of them" serve
takes bits
grep -v -e '^late' -e '@' "$work/bits.txt" | "$TOOLS/rwmake" >"$work/floats.rw"
settled_four() { # NAME: delivered, or dead letters
    shows "$1" taken=4 queued=0 && (($(samples delivered_total "$1") >= 2))
}
for name in "${stores[@]}"; do
    case $name in
    influxdb)
        claim "influxdb: confirms all samples, and the account is right" within 20 shows influxdb delivered=15 queued=0
        while IFS='|' read -r what query pattern; do
            claim "influxdb: $what" has_row "$query" "$pattern"
        done <<'END'
a number is there, exact|SELECT value FROM large|,17976931348623157
what is no number is there as its bits|SELECT bits FROM nan WHERE kind='payload'|fff8dead0000beef
times are milliseconds|SELECT value FROM late|1680000000001,1$
a label with all kinds of characters is there|SELECT value, unit FROM text|µs
a histogram is there as JSON|SELECT histogram FROM latency|schema
END
        claim "influxdb: exemplars became dead letters" within 10 tells 'influxdb *unrepresentable' 0 "$firekeep" dead-letters list --storage.path="$work/stores"
        ;;
    *) claim "$name: confirms all samples, and the account is right" within 20 shows "$name" delivered=10 queued=0 ;;
    esac
    case $name in
    prometheus*) claim "$name: has the same, bit for bit" "$TOOLS/rrcompare" "$(url_of "$name")" "$work/floats.rw" "${whole[@]}" --streamed ;;
    victoriametrics)
        for type in influxdb opentsdb; do
            claim "victoriametrics as $type: all samples are settled" within 20 settled_four "as_$type"
        done
        ;;
    esac
done
ends
for name in prometheus prometheus3 victoriametrics influxd; do
    ! is_running "$name" || stop "$name"
done

# --- tenants ----------------------------------------------------------------------------------------

is_refused() { # LINES-OF-A-DESTINATION PATTERN
    printf 'tenancy: {enabled: true}\ndestinations:\n  - {name: a, %s}\n' "$1" >"$work/refused.yml"
    tells "$2" 1 "$firekeep" check "$work/refused.yml"
}
claim "tenants: who names none is refused" is_refused "type: file, path: /x" tenants
claim "tenants: two of them at one store are refused" is_refused "type: remote_write, url: 'http://x/', tenants: [a, b]" tenant_header
it=tenants
configure "{name: twin, tenants: all, tenant_header: X-Scope-OrgID, $write_to}" "{name: paths, type: file, path: '$work/paths/\${tenant}', tenants: [red, blue], $every}" \
    "{name: label, type: file, path: $work/label, tenants: [red, green], tenant_label: team, $every}" "{name: one, type: file, path: $work/one, tenants: [blue], $every}"
sed -i '1i tenancy: {enabled: true}' "$work/firekeep.yml"
grep -v -e '^late' "$work/bits.txt" | "$TOOLS/rwmake" --version 2 >"$work/red.rw"
grep -e '^late' -e '^@histogram' "$work/bits.txt" | "$TOOLS/rwmake" --version 2 >"$work/green.rw"
echo 'late 7 1680000000001' | "$TOOLS/rwmake" --version 2 >"$work/blue.rw" # another value of a series of green's
step start_twin tenants-twin --tenancy.enabled
step serve
for tenant in red green blue; do
    claim "$tenant: writes are acknowledged" is_acknowledged "$work/$tenant.rw" --header "X-Scope-OrgID: $tenant"
done
for counts in twin:18 paths:13 label:17 one:1; do
    claim "tenants: ${counts%:*}: its samples are delivered, and the account is right" within 20 shows "${counts%:*}" delivered="${counts#*:}" queued=0
done
for tenant in red green blue; do
    claim "$tenant: the other server has the same under its name" \
        "$TOOLS/rrcompare" "$there" "$work/$tenant.rw" "${whole[@]}" --header "X-Scope-OrgID: $tenant"
done
crash tenants
claim "tenants: after SIGKILL it opens all of them" serve
ends
stop twin
for tenant in red blue; do
    claim "$tenant: its path has what is its" imports_as "$work/paths/$tenant" "$work/$tenant.rw"
done
claim "tenants: nobody else has a path" [ "$(cd "$work/paths" && echo *)" == "blue red" ]
claim "tenants: one has what is blue's" imports_as "$work/one" "$work/blue.rw"
teams() { # number of lines of each; an exemplar has a line of its own
    cat "$work/label"/* | jq -r .labels.team | sort | uniq -c | awk '{ print $2 ":" $1 }' | paste -sd ' '
}
claim "tenants: each line of label says whose it is" [ "$(teams)" == "green:5 red:13" ]

# --- TLS --------------------------------------------------------------------------------------------

if ! command -v openssl >/dev/null; then
    skip_all "tls, proxies and secrets" "no openssl"
fi
tls_entry() { # NAME TLS-KEYS
    echo "{name: $1, type: remote_write, url: 'https://127.0.0.1:${port[secure]}/api/v1/write', tls_config: {$2}, $every}"
}
is_stopped_by() { # PATTERN DESTINATION: in TLS 1.3 a client is refused after its handshake, and may see only a closed connection
    [[ $(state_of "$2") =~ ^(blocked|retrying)$ ]] && has_error "$2" "$1"
}
it=tls
step make_certificate there there.example.org "DNS:there.example.org"
step make_certificate ours firekeep DNS:firekeep
step start_twin tls-twin
step start_proxy secure=remote_write:twin -- --tls secure --tls-cert "$work/there.pem" --tls-key "$work/there.key" --tls-client-ca "$work/ours.pem" --tls-least 1.3
known="ca_file: $work/there.pem, server_name: there.example.org" shown="cert_file: $work/ours.pem, key_file: $work/ours.key"
configure "$(tls_entry stranger "server_name: there.example.org, $shown")" "$(tls_entry other_name "ca_file: $work/there.pem, $shown")" \
    "$(tls_entry unknown "$known")" "$(tls_entry old "$known, $shown, max_version: TLS12")" \
    "$(tls_entry trusting "insecure_skip_verify: true, $shown")" "$(tls_entry right "$known, $shown, min_version: TLS13")"
step serve
takes bits
for name in right trusting; do
    claim "tls: $name: all is delivered" within 20 shows "$name" delivered=15 queued=0
done
for name in stranger other_name old; do
    claim "tls: $name: TLS is what stands in the way" within 20 is_stopped_by '^tls: ' "$name"
done
claim "tls: unknown: without our certificate nothing is delivered" within 20 is_stopped_by . unknown
claim "stranger: that its issuer is unknown is said" has_error stranger 'not trusted: its issuer is not among'
for name in stranger other_name unknown old; do
    claim "tls: $name: everything is kept" shows "$name" delivered=0 queued=15
done
claim "tls: the other server has the same" equals "$there" "$work/bits.rw"
advises_http_only() {
    printf 'destinations:\n  - {name: plain, type: remote_write, url: "%s"}\n' "https://127.0.0.1:${port[twin]}/" >"$work/plain.yml"
    "$firekeep" destinations test plain --config.file="$work/plain.yml" | tee "$work/plain.txt"
    grep -q 'use http:// instead of https://' "$work/plain.txt" && ! grep ca_file "$work/plain.txt"
}
claim "tls: the test of https to a port for http advises http, and no certificates" advises_http_only
untrusting=(stranger other_name unknown old) entries=()
for name in "${untrusting[@]}"; do entries+=("$(tls_entry "$name" "$known, $shown")"); done
configure "${entries[@]}"
claim "tls: a reload mends them" reload
for name in "${untrusting[@]}"; do
    claim "tls: $name: then all is delivered" within 20 has_delivered "$name" 15
done
ends
stop proxy

# --- proxies and secrets ----------------------------------------------------------------------------

# Each secret begins with "hush". The first four work, the others lead nowhere, or are refused.
export HUSH_VARIABLE=hush-of-variable AWS_CONFIG_FILE=$work/no-file AWS_SHARED_CREDENTIALS_FILE=$work/no-file
table=https://127.0.0.1:${port[table]} proxy=127.0.0.1:${port[proxy]} closed=127.0.0.1:${port[nobody]}
step make_certificate table 127.0.0.1 IP:127.0.0.1
echo hush-of-file >"$work/hush-file"
through="proxy_url: 'http://keeper:hush-proxy%21@$proxy'" write="type: remote_write, url: '$there/api/v1/write'"
aws="region: eu-west-1, access_key: hush-access, secret_key: hush-key"
timestream="type: timestream, database: metrics, table: prometheus, region: eu-west-1, access_key: TSKEY, secret_key: hush-key, write_endpoint: '$table', tls_config: {ca_file: $work/table.pem}"
all=()
while read -r name keys; do
    all+=("$name")
    echo "  - {name: $name, $keys, $every, timeout: 2s, headers: {X-Extra: hush-header}}"
done >"$work/entries" <<END
twin $write, $through, authorization: {credentials: hush-bearer}
table $timestream, $through
beside $write, proxy_url: 'http://keeper:hush-no@$closed', no_proxy: 127.0.0.0/8, basic_auth: {username: u, password_file: $work/hush-file}
direct $write, proxy_url: "", authorization: {credentials: '\${HUSH_VARIABLE}'}
stranger $write, proxy_url: 'http://keeper:hush-wrong@$proxy'
strangers-table $timestream, proxy_url: 'http://hush-token@$proxy'
gone $write, proxy_url: 'http://keeper:hush-gone@$closed', basic_auth: {username: u, password: hush-password}
unknown type: remote_write, url: 'http://no-such-host.invalid/', proxy_url: 'http://keeper:hush-unknown@no-such-proxy.invalid'
refused type: remote_write, url: '$there/api/v1/nothing', authorization: {credentials: hush-refused}
oauth2 $write, oauth2: {client_id: c, client_secret: hush-client, token_url: '$there/api/v1/token', endpoint_params: {audience: hush-param}, $through}
sigv4 type: remote_write, url: 'http://$closed/', sigv4: {$aws, session_token: hush-session}
influx type: influxdb, version: 2, org: o, bucket: b, url: '$there/nothing', token: hush-influx
click type: clickhouse, url: '$there', table: t, basic_auth: {username: u, password: hush-click}
tsd type: opentsdb, url: '$there', basic_auth: {username: u, password: hush-password}
stream type: kinesis, stream: s, session_token: hush-session, endpoint: '$there', $aws
hose type: firehose, delivery_stream: s, endpoint: 'http://$closed', $aws
bucket type: s3, bucket: metrics, endpoint: '$there', path_style: true, roll_age: 1s, $aws
missing $write, authorization: {credentials_file: $work/nothing}
END
it=secrets
{ echo destinations: && cat "$work/entries"; } | write_config
failed() { # DESTINATION...: each has a reason
    local name
    for name; do
        [[ -n $(last_error "$name") ]] || {
            echo "$name: nothing has failed yet"
            return 1
        }
    done
}
tried() { # STATUS PATTERN NAME
    tells "$2" "$1" "$firekeep" destinations test "$3" --config.file="$work/firekeep.yml"
    local status=$?
    cp "$work/tells.txt" "$work/tried-$3.txt"
    return $status
}
claim "the proxy starts" start forward python3 tests/doubles/forward_proxy.py --port "${port[proxy]}" --user keeper --password 'hush-proxy!'
claim "the proxy listens" within 20 grep -q listening "$work/forward.log"
claim "a table behind TLS starts" start table python3 tests/doubles/timestream.py --port "${port[table]}" --region eu-west-1 --table metrics.prometheus \
    --magnetic-writes --access-key TSKEY --secret-key hush-key --tls-cert "$work/table.pem" --tls-key "$work/table.key"
claim "the table answers" within 20 curl -fsk --noproxy '*' -o "$work/stats" "$table/stats"
claim "check takes the configuration" "$firekeep" check "$work/firekeep.yml"
step begins
step within 20 all_open
takes bits
for name in twin beside direct; do
    claim "$name confirms all samples" within 20 has_delivered "$name" 15
done
claim "table: what it takes is confirmed" within 20 all_settled table
while IFS='|' read -r name pattern; do
    claim "$name" grep "$pattern" "$work/forward.log"
done <<END
http goes through the proxy, with a whole URL|POST $there/api/v1/write passed
https goes through the proxy, by CONNECT|CONNECT 127.0.0.1:${port[table]} passed
a token is asked for through the proxy of oauth2|POST $there/api/v1/token passed
END
claim "the proxy sees nothing of what goes to an https host" eval '! grep "^saw " "$work/forward.log"'
while IFS='|' read -r name destination pattern; do
    claim "$name: a wrong password is told" within 20 has_error "$destination" "$pattern"
    claim "$name: and blocks, until it is mended" within 20 is_in_state "$destination" blocked
done <<'END'
http|stranger|proxy: .*password
https|strangers-table|proxy: .*407
END
claim "test: through the proxy" tried 0 "through the proxy: connection from the proxy to the server" table
claim "test: a proxy that refuses is told" tried 1 'FAILED .*through the proxy: connection from the proxy to the server: proxy' strangers-table
claim "test: and what to do" grep -q 'check the user and password of proxy_url' "$work/tried-strangers-table.txt"
claim "test: a proxy that is not there is told" tried 1 'FAILED .*connection: connect' gone
claim "the others have failed, each in its way" within 30 failed stranger strangers-table gone unknown refused oauth2 sigv4 influx click stream hose bucket missing
sed -i 's/hush-refused/hush-refused-again/; s/hush-influx/hush-influx-again/' "$work/firekeep.yml"
claim "a reload with other secrets" reload
claim "and these fail, too" within 30 failed refused influx
sed 's/hush-refused-again/hush-\nrefused/' "$work/firekeep.yml" >"$work/broken.yml"
"$firekeep" check "$work/broken.yml" >"$work/said-broken.txt" 2>&1
while read -r wrong; do
    printf 'destinations:\n  - {name: a, type: remote_write, %s}\n' "$wrong" >"$work/wrong.yml"
    "$firekeep" check "$work/wrong.yml" >>"$work/said-wrong.txt" 2>&1
done <<'END'
url: "http://u:hush-url@h/"
url: "ftp://u:hush-url@h/"
url: "http://h/", proxy_url: "socks5://u:hush-url@h"
url: "http://h/", proxy_url: "http://u:hush-url@"
url: "http://h/", authorization: {credentials: "hush\u0001"}
url: "http://h/", headers: {Authorization: hush-a}, authorization: {credentials: hush-b}
url: "http://h/", authorization: {credentials: [hush-list]}
url: "http://h/", authorization: {credential: hush-key}
END
for page in metrics api/v1/status/config api/v1/status/destinations api/v1/status/flags api/v1/status/runtimeinfo; do
    quiet_curl "$url/$page" >"$work/said-${page//\//-}.txt"
done
for name in "${all[@]}"; do
    [[ -e $work/tried-$name.txt ]] || "$firekeep" destinations test "$name" --config.file="$work/firekeep.yml" --format=json
    "$firekeep" dead-letters list --storage.path="$work/secrets" --destination "$name" --format json
done >"$work/said-commands.txt" 2>&1
ends
shows_secrets_as_words() {
    cat "$work/said-api-v1-status-config.txt"
    (($(grep -o '<secret>' "$work/said-api-v1-status-config.txt" | wc -l) >= 40)) &&
        grep -q "http://keeper:<secret>@$proxy" "$work/said-api-v1-status-config.txt" && grep -q "http://<secret>@$proxy" "$work/said-api-v1-status-config.txt"
}
claim "the configuration is shown with <secret>" shows_secrets_as_words
# Includes the form of HTTP Basic. The name of a file with a secret is not a secret.
tells_nothing() { # FILE OR DIRECTORY...
    local found
    found=$(grep -rn --binary-files=text -o -e 'hush.\{0,30\}' -e 'dTpodXNo.\{0,20\}' -e "$(printf 'keeper:hush' | base64 | cut -c1-14)" "$@" | grep -v 'hush-file')
    printf '%s\n' "$found" | head
    [[ -z $found ]]
}
claim "some lines were logged" grep -q 'relay: operation failed' "$work/secrets.log"
claim "wrong configurations are refused" grep -q 'must not contain a user name or password' "$work/said-wrong.txt"
claim "no secret in the log" tells_nothing "$work/secrets.log"
claim "no secret in pages, in metrics, and in what commands say" tells_nothing "$work"/said-*.txt "$work"/tried-*.txt
claim "no secret in the data directory" tells_nothing "$work/secrets"
stop table
stop twin
stop forward
done_testing
