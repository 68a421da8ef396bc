#!/bin/bash
# sigv4_in.sh - requests that are signed for AWS (SigV4) sign in: with botocore and Firekeep itself as
# signers, in clear text and over TLS; what is changed after signing is refused; secrets are replaced
# under load. prometheus_in.sh has a real Prometheus.

. tests/lib.sh
for tool in openssl curl; do
    command -v "$tool" >/dev/null || skip_all "sigv4_in" "no $tool"
done
client=tests/tools/sigv4_client.py
/usr/bin/python3 -c 'import botocore.auth' 2>/dev/null || skip_all "sigv4_in" "no botocore"
read -r port secure sender_port small_port < <(free_ports 4 | tr '\n' ' ')
url=http://127.0.0.1:$port tls_url=https://127.0.0.1:$secure

# --- files -----------------------------------------------------------------------------------------

# The SHA-256 of the token "abc", and the hash of "secret" by bcrypt, with cost 4.
# shellcheck disable=SC2016 # the hash is not a variable
secret='$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW'
abc=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

write_config() { # SETTING OF auth...
    cat <<END
auth:
  sigv4_region: eu-west-1
  sigv4_services: [lambda]
$(printf '  %s\n' "$@")
web: {listen_address: []}
listeners:
- {address: "127.0.0.1:$port", tls_server_config: {}}
- {address: "127.0.0.1:$secure"}
tls_server_config: {cert_file: server.pem, key_file: server.key}
users:
- {name: ops, tokens: [$abc], permissions: [admin, metrics, read, write]}
- {name: ann, password: '$secret', permissions: [metrics]}
- name: shop
  access_keys:
  - {id: AKIASHOP, secret_file: secrets/shop}
  - {id: AKIASTS, secret_file: secrets/sts, session_token_file: secrets/token}
  permissions: [read, write]
  tenants: [shop]
- name: fixed
  access_keys: [{id: AKIAFIXED, secret_file: secrets/fixed}]
  permissions: [write]
  tenants: [fixed]
  tenant_header: ignore
- name: teams
  access_keys: [{id: AKIATEAMS, secret_file: secrets/teams}]
  permissions: [read]
  tenants: ['team-*']
END
}

put_secret() { # NAME LINE...: replaces a file as a whole
    printf '%s\n' "${@:2}" >"$work/secrets/$1.new" && mv "$work/secrets/$1.new" "$work/secrets/$1"
}

mkdir -p "$work/secrets"
for name in shop sts fixed teams; do
    put_secret "$name" "secret/of+$name/0123456789012345678901"
done
put_secret token 'token/with+chars=='
write_config "sigv4_unsigned_payload: true" >"$work/firekeep.yml"
make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$work/server.key" -out "$work/server.pem"
}

# Each line: a status, and the arguments of a request. Variables of the shell are expanded.
all_signed() {
    local line lines=''
    while IFS= read -r line; do lines+=$line$'\n'; done
    "$client" send "$work" <<<"$lines"
}
signed() { # STATUS ARGUMENT...
    printf '%q ' "$@" | "$client" send "$work"
}

ops() { # ARGUMENT... of curl
    curl -s --noproxy '*' --max-time 30 -H 'Authorization: Bearer abc' "$@"
}
metric_is() { # NAME VALUE
    ops "$url/metrics" | awk -v name="$1" -v value="$2" '$1 == name { found = $2 == value } END { exit !found }'
}
has_sample() { # TENANT NAME
    ops -G -H "X-Scope-OrgID: $1" --data-urlencode "query=count_over_time($2[1h])" "$url/api/v1/query" | grep -q '"value"'
}

# --- botocore --------------------------------------------------------------------------------------

claim "a certificate is made" make_certificate
begin() {
    start here build/firekeep serve "$small_log" "--storage.path=$work/data" "--config.file=$work/firekeep.yml" \
        --tenancy.enabled --web.enable-lifecycle
    wait_ready here "$url/-/ready"
}
claim "it starts" begin

for base in "$url" "$tls_url"; do
    scheme=${base%%:*}
    claim "$scheme: botocore writes and reads" all_signed <<END
204 -w a_$scheme $base/api/v1/write
204 -w b_$scheme -c hash $base/api/v1/write
204 -w c_$scheme -S execute-api -H X-Scope-OrgID:shop $base/api/v1/write
204 -w d_$scheme -S lambda -k AKIASTS -t token/with+chars== $base/api/v1/write
200 -G '"value"' $base/api/v1/query?query=a_$scheme
200 -G '"value"' '$base/api/v1/query?query=sum%20by%20%28job%29%20%28b_$scheme%7Bx%3D%22%22%7D%29&stats=all'
200 -G '"value"' -H Content-Type:application/x-www-form-urlencoded -d query=c_$scheme%2B0 $base/api/v1/query
200 -G '"value"' -p 300 $base/api/v1/query?query=d_$scheme
200 -G a_$scheme -p 900 -a 800 '$base/api/v1/label/__name__/values?match[]=a_$scheme'
200 -p 300 -k AKIASTS -t token/with+chars== $base/api/v1/labels
200 -k AKIATEAMS -H X-Scope-OrgID:team-a $base/api/v1/labels
END
    claim "$scheme: what is not right is refused" all_signed <<END
401 -k AKIANONE -s x $base/api/v1/labels
401 -s wrong $base/api/v1/labels
401 -s wrong -w x $base/api/v1/write
401 -s wrong -p 300 $base/api/v1/labels
401 -w x -D other $base/api/v1/write
401 -w x -c hash -D other $base/api/v1/write
401 -a 400 $base/api/v1/labels
401 -a -400 $base/api/v1/labels
401 -p 10 -a 30 $base/api/v1/labels
401 -p 901 $base/api/v1/labels
401 -p 300 -X POST $base/api/v1/labels
401 -r us-east-1 $base/api/v1/labels
401 -S s3 $base/api/v1/labels
401 -k AKIASTS $base/api/v1/labels
401 -k AKIASTS -t other $base/api/v1/labels
401 -t token/with+chars== $base/api/v1/labels
401 -A X-Scope-OrgID:shop $base/api/v1/labels
401 -A X-Amz-Content-Sha256:UNSIGNED-PAYLOAD $base/api/v1/labels
401 -A 'Authorization:Bearer abc' $base/api/v1/labels
401 -p 300 -A 'Authorization:Bearer abc' $base/api/v1/labels
401 -c STREAMING-AWS4-HMAC-SHA256-PAYLOAD -w x $base/api/v1/write
401 -X DELETE -s wrong $base/none
404 $base/none
403 -k AKIATEAMS -H X-Scope-OrgID:team-a -w x $base/api/v1/write
403 -k AKIATEAMS -H X-Scope-OrgID:other $base/api/v1/labels
401 -k AKIATEAMS $base/api/v1/labels
403 -H X-Scope-OrgID:other $base/api/v1/labels
403 $base/metrics
204 -k AKIAFIXED -A X-Scope-OrgID:other -w fixed_$scheme $base/api/v1/write
END
    claim "$scheme: the path that is verified is the path that is routed" all_signed <<END
200 -G '"status":"success"' $base/api/v1/labels
301 $base//api/v1/labels
301 $base/api/v1/./labels
301 $base/api/v1/x/../labels
308 -d x $base//api/v1/query
301 -T //api/./v1/x/../labels $base/api/v1/labels
401 -T /api/v1/labels $base/api/v1/metadata
401 -T /api/v1/x%2f..%2flabels $base/api/v1/labels
401 -T /api/v1/%6cabels $base/api/v1/labels
401 -T /api/v1/%2e/labels $base/api/v1/labels
401 -T /api/v1/x/%2e%2e/labels $base/api/v1/labels
401 $base/api/v1/%2e/labels
401 -T /api/v1/label/a%2Fb/values $base/api/v1/label/a/b/values
401 -T /api/v1/label/a%2fb/values $base/api/v1/label/a%2Fb/values
200 -G '"data":[]' $base/api/v1/label/a%252Fb/values
401 -T /api/v1/query?query=2 $base/api/v1/query?query=1
401 -T http://127.0.0.1/api/v1/labels $base/api/v1/labels
END
done
claim "a tenant that is ignored may be unsigned" has_sample fixed fixed_https

claim "unsigned bodies need TLS" all_signed <<END
204 -w unsigned -c UNSIGNED-PAYLOAD $tls_url/api/v1/write
401 -w unsigned -c UNSIGNED-PAYLOAD $url/api/v1/write
END
reload_with() { # SETTING...
    write_config "$@" >"$work/firekeep.yml" && ops -f -X POST "$url/-/reload"
}
host_counts() {
    reload_with "sigv4_host: '127.0.0.1:$port'" || return 1
    all_signed <<END
200 $url/api/v1/labels
401 $tls_url/api/v1/labels
401 -w unsigned -c UNSIGNED-PAYLOAD $tls_url/api/v1/write
END
}
claim "the host counts, and unsigned bodies need the setting" host_counts
claim "the settings are taken back" reload_with "sigv4_unsigned_payload: true"

# Whoever is not known gets the same bytes, whatever is wrong.
learns_nothing() {
    local n=0 head date
    date=$(date -u +%Y%m%dT%H%M%SZ)
    for head in "AKIANONE" "AKIASHOP" "AKIATEAMS"; do
        curl -si --noproxy '*' --max-time 30 -H "X-Amz-Date: $date" -d x "$url/api/v1/write" \
            -H "Authorization: AWS4-HMAC-SHA256 Credential=$head/${date%%T*}/eu-west-1/aps/aws4_request, SignedHeaders=host;x-amz-date, Signature=$(printf '0%.0s' {1..64})" |
            grep -vi '^date:' >"$work/learnt.$n"
        cmp "$work/learnt.0" "$work/learnt.$n" || return 1
        n=$((n + 1))
    done
    curl -si --noproxy '*' -d x "$url/none" | grep -vi '^date:' | cmp - "$work/learnt.0" && grep -q '401 Unauthorized' "$work/learnt.0"
}
claim "an unknown key and a wrong signature get the same answer" learns_nothing

early() { # KEY TEXT
    "$client" early "$work" "$1" "$port" | grep "$2"
}
claim "an unknown key is refused before the body" early AKIANONE '^HTTP/1.1 401'
claim "a known key is not" early AKIASHOP 'no answer'
counts_refusals() {
    ops "$url/metrics" | awk '/^firekeep_http_requests_not_let_in_total.*unauthorized/ { found = $2 > 50 } END { exit !found }' &&
        grep -q 'level=warn.*a client could not sign in.*reason=' "$work/here.log"
}
claim "refusals are counted and logged" within 20 counts_refusals
# A further one, as an address is let in again some time after the last.
blocks_a_password() {
    early AKIANONE ^HTTP/1.1 && [[ $(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' -u ann:secret "$url/metrics") == 503 ]]
}
claim "they count for its address like wrong passwords" blocks_a_password

# --- secrets that change under load ----------------------------------------------------------------

new=second/of+shop/9876543210987654321098
# Each of the four threads then has no request of an earlier secret under way.
all_have_used() { # SECRET
    [[ $(grep -F " $1" "$work/rounds" | sort | uniq -c | awk '$1 >= 5' | wc -l) == 4 ]]
}
swap() {
    local old
    old=$(head -n 1 "$work/secrets/shop")
    within 60 all_have_used "$old" || return 1
    put_secret shop "$old" "$new" && within 60 signed 200 -s "$new" "$url/api/v1/labels" || return 1
    printf '%s\n' "$new" >"$work/mine.new" && mv "$work/mine.new" "$work/mine"
    within 60 all_have_used "$new" || return 1
    put_secret shop "$new" && within 60 signed 401 -s "$old" "$url/api/v1/labels" && signed 200 -s "$new" "$url/api/v1/labels"
}
rotates() {
    local load result
    cp "$work/secrets/shop" "$work/mine"
    "$client" load "$work" "$work/stop" "$work/mine" "$url" "$tls_url" >"$work/load.txt" 2>&1 &
    load=$!
    swap
    result=$?
    touch "$work/stop"
    wait "$load" || result=1
    cat "$work/load.txt"
    return $result
}
claim "a secret is replaced under load without a failed request" rotates
half_a_file() {
    : >"$work/secrets/shop"
    within 20 metric_is firekeep_access_keys_last_reread_successful 0 && signed 200 -s "$new" "$url/api/v1/labels" &&
        within 20 grep -q 'level=error.*cannot reread the secrets of access keys.*AKIASHOP.*it is empty' "$work/here.log" || return 1
    put_secret shop "$new" && within 20 metric_is firekeep_access_keys_last_reread_successful 1 && signed 200 "$url/api/v1/labels"
}
claim "a file without a secret leaves the old one in force" half_a_file
shows_no_secret() {
    ops "$url/api/v1/status/config" "$url/api/v1/status/flags" "$url/metrics" >"$work/shown.txt"
    grep -q AKIASHOP "$work/shown.txt" && ! grep -q 'secret/of\|second/of\|token/with' "$work/shown.txt" "$work/here.log"
}
claim "its log and its pages show no secret" shows_no_secret

# --- Firekeep --------------------------------------------------------------------------------------

write_sender() {
    cat <<END
destinations:
- {name: clear, type: remote_write, url: "$url/api/v1/write", sigv4: {region: eu-west-1, access_key: AKIASHOP, secret_key_file: $work/secrets/shop}, batch: {max_age: 100ms}}
- name: safe
  type: remote_write
  url: "$tls_url/api/v1/write"
  sigv4: {region: eu-west-1, access_key: AKIASTS, secret_key_file: $work/secrets/sts, session_token_file: $work/secrets/token, service_name: execute-api}
  tls_config: {ca_file: $work/server.pem}
  relabel: [{target_label: way, replacement: safe}]
  batch: {max_age: 100ms}
- {name: foreign, type: remote_write, url: "$url/api/v1/write", sigv4: {region: us-east-1, access_key: AKIASHOP, secret_key_file: $work/secrets/shop}, batch: {max_age: 100ms}}
sources:
- {name: back, type: remote_read, url: "$url/api/v1/read", sigv4: {region: eu-west-1, access_key: AKIASHOP, secret_key_file: $work/secrets/shop}}
END
}
write_sender >"$work/sender.yml"
sends() {
    echo "own{way=\"clear\"} 1 $(now_ms)" | "$TOOLS/rwmake" >"$work/own.rw" && "$TOOLS/rwreplay" "$work/own.rw" "http://127.0.0.1:$sender_port" --check
}
claim "another server starts" start_firekeep sender "$work/sender" "$sender_port" "--config.file=$work/sender.yml"
claim "it takes a sample" sends
claim "the sample arrives" within 30 has_sample shop 'own{way="clear"}'
claim "it arrives over TLS, with a session token" within 30 has_sample shop 'own{way="safe"}'
foreign_is_refused() {
    curl -sf --noproxy '*' "http://127.0.0.1:$sender_port/metrics" | grep 'destination="foreign"' | grep -q 'refused\|blocked\|failing' || return 1
    curl -sf --noproxy '*' "http://127.0.0.1:$sender_port/api/v1/status/destinations" | grep -q 401
}
claim "a foreign region is refused" within 30 foreign_is_refused
reads_back() { # NAME
    curl -sfG --noproxy '*' --data-urlencode "query=$1" "http://127.0.0.1:$sender_port/api/v1/query" | grep -q '"value"' &&
        curl -sfG --noproxy '*' --data-urlencode "match[]=$1" "http://127.0.0.1:$sender_port/api/v1/label/__name__/values" | grep -q "$1"
}
claim "its source reads what botocore wrote" within 30 reads_back a_https
claim "it stops" stop sender

claim "the server stops" stop here

# --- bodies that are not verified ------------------------------------------------------------------

write_config | sed -e "s/$port/$small_port/" -e "/$secure/d" >"$work/small.yml"
start_small() {
    start small build/firekeep serve "--storage.path=$work/small" "--config.file=$work/small.yml" \
        --tenancy.enabled --memory.limit=192MiB
    wait_ready small "http://127.0.0.1:$small_port/-/ready"
}
shows_share() {
    ops "http://127.0.0.1:$small_port/metrics" | awk '/^firekeep_memory_refused_total{budget="unverified"}/ { found = $2 > 0 } END { exit !found }'
}
claim "a small server starts" start_small
claim "bodies that are not verified have a share of the memory" "$client" flood "$work" "$small_port"
claim "metrics have that share" shows_share
claim "it stops" stop small
done_testing
