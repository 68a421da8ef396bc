#!/bin/bash
# secrets.sh - no secret is in logs, answers, pages, errors, output of commands, their arguments or
# files, while all kinds of secrets are in use against servers that repeat them. Each secret begins
# with "hush-"; destinations_delivery.sh has proxies and servers that work.

. tests/lib.sh
for tool in openssl curl python3 jq; do
    command -v "$tool" >/dev/null || skip_all "secrets" "no $tool"
done
behaviours=(refused failing moved typed wrong)
read -r port tls_port closed_port refused failing moved typed wrong < <(free_ports 8 | tr '\n' ' ')
url=http://127.0.0.1:$port
firekeep=build/firekeep
config=$work/firekeep.yml
kept=$work/kept # the secrets' own files, which no test looks into
mkdir -p "$kept" "$work/said"
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION
unset http_proxy https_proxy all_proxy no_proxy HTTPS_PROXY ALL_PROXY NO_PROXY
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none

# What follows the name of a secret: characters that JSON, URLs and YAML escape.
hard='"/+%41\é=~'
export HUSH_ENVIRONMENT="hush-environment$hard"

# --- configuration ----------------------------------------------------------------------------------

make_keys() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$kept/server.key" -out "$work/server.pem" &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=inline \
            -keyout "$kept/inline.key" -out "$work/inline.pem" &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=client \
            -keyout "$kept/client.key" -out "$work/client.pem" || return 1
    printf '%s\n' "hush-file$hard" >"$kept/file"
    printf '%s\n' "hush-access-secret$hard" >"$kept/access"
    printf '%s\n' "hush-user$hard" >"$kept/user"
    printf '%s\n' "hush-signing${hard/é/}" >"$kept/eve" # in ASCII
    # The key of the example in RFC 8037.
    echo '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}' >"$work/jwks.json"
}

hash_of() { # SECRET
    printf '%s\n' "$1" | "$firekeep" hash --kind=yescrypt
}
digest_of() { # SECRET
    printf %s "$1" | sha256sum | cut -c 1-64
}

# Writes all kinds of secrets, for each behaviour of the other servers. TURN is part of some
# secrets, so that a reload changes them.
write_config() { # TURN
    HASH=$(hash_of "hush-password-$1$hard") DIGEST=$(digest_of "hush-token-$1$hard") tests/tools/secrets_config.py "$1" "$hard" "$work" "$tls_port" "$closed_port" \
        "refused=$refused" "failing=$failing" "moved=$moved" "typed=$typed" "wrong=$wrong"
}

write_rules() {
    cat >"$work/rules.yml" <<'END'
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Always, expr: vector(1), annotations: {text: 'value {{ $value }}'}}
  - {record: sums, expr: 'count(up)'}
END
}

# --- looking ----------------------------------------------------------------------------------------

# Prints an expression for "hush-" as it is and as a part of any base64.
marks() {
    python3 - <<'END'
import base64
print("hush-", end="")
for before in range(3):
    text = base64.b64encode(b"\0" * before + b"hush-").decode().rstrip("=")
    print("|" + text[{0: 0, 1: 2, 2: 3}[before]:len(text) - (1 if (before + 5) % 3 else 0)], end="")
END
}
marks=$(marks)
key_lines=

tells_nothing() { # FILE OR DIRECTORY...
    local found
    found=$(grep -raEno -e "($marks).{0,40}" "$@" | head -n 20)
    printf '%s\n' "$found"
    [[ -z $found ]] || return 1
    found=$(grep -raFn -e "$key_lines" "$@" | cut -c 1-200 | head -n 5)
    printf '%s\n' "$found"
    [[ -z $found ]]
}

say() { # NAME COMMAND...: keeps what a command prints
    local name=$1
    shift
    echo "\$ $name" >>"$work/said/$name.txt"
    timeout 60 "$@" >>"$work/said/$name.txt" 2>&1 </dev/null
    return 0
}

as_ann() { # TURN CURL-ARGUMENT...
    printf 'user = "ann:%s"\n' "$(sed 's/[\\"]/\\&/g' <<<"hush-password-$1$hard")" >"$kept/ann.curl"
    curl -sg --noproxy '*' --max-time 20 -K "$kept/ann.curl" "${@:2}"
}

answers() { # STATUS TURN CURL-ARGUMENT...
    local got
    got=$(as_ann "$2" -o "$work/said/answer.txt" -w '%{http_code}' "${@:3}")
    echo "$got: $(head -c 300 "$work/said/answer.txt")"
    [[ $got == "$1" ]]
}

# --- a server with everything -----------------------------------------------------------------------

claim "keys and files are made" make_keys
key_lines=$(grep -hv -- --- "$kept"/*.key | cut -c 1-40)
write_rules
claim "the configuration is written" eval 'write_config 1 >"$config"'
printf 'tls_server_config: {}\nbasic_auth_users: {dot: "%s"}\n' "$(hash_of "hush-dot$hard")" >"$work/web.yml"
claim "servers that repeat what they get start" start parrot python3 tests/doubles/parrot.py --seen "$kept/seen" \
    "refused=$refused" "failing=$failing" "moved=$moved" "typed=$typed" "wrong=$wrong"
claim "they listen" within 20 grep -q listening "$work/parrot.log"
claim "check accepts the configuration" "$firekeep" check "$config"
begin() {
    start here "$firekeep" serve "$small_log" "--config.file=$config" "--web.config.file=$work/web.yml" "--storage.path=$work/store" \
        "--web.listen-address=127.0.0.1:$port" --web.enable-lifecycle --web.enable-admin-api --self-scrape.interval=1s
    wait_ready here "$url/-/ready"
}
# Rules ask sources about alerts before the start, for a minute while one fails: they are added when
# alerts have been sent.
begin_without_sources() {
    cp "$config" "$kept/all.yml"
    sed '/^sources:/,/^alerting:/{/^alerting:/!d}' "$kept/all.yml" >"$config"
    begin
}
were_sent() { # NAME...
    local name missing=0
    for name; do
        grep -q "^hush-$name" "$kept/seen" || {
            echo "$name was not sent"
            missing=1
        }
    done
    ((missing == 0))
}
add_sources() {
    cp "$kept/all.yml" "$config"
    kill -HUP "${pids[$(_index_of here)]}" && within 30 grep -q 'configuration reloaded.* sources=[1-9]' "$work/here.log"
}
claim "it starts" begin_without_sources || {
    tail -n 3 "$work/here.log"
    exit 1
}
claim "alertmanagers were asked" within 40 were_sent alerts-{basic,header,bearer,oauth-client,oauth-param,sigv4-session,discovery}-1
claim "sources are added" add_sources
claim "a user signs in" answers 200 1 "$url/metrics"

# The cookie is a secret as well.
has_session() {
    local page
    as_ann 1 -o "$kept/answer" -D "$kept/session" -X POST "$url/api/v1/session" || return 1
    sed -n 's/^set-cookie: \([^;]*\).*/header = "Cookie: \1"/Ip' "$kept/session" >"$kept/cookie.curl"
    key_lines+=$'\n'$(sed 's/.*=\(.\{40\}\).*"$/\1/' "$kept/cookie.curl")
    for page in metrics api/v1/session api/v1/status/config api/v1/none; do
        curl -s --noproxy '*' --max-time 20 -i -K "$kept/cookie.curl" "$url/$page" >>"$work/said/session.txt" || return 1
    done
    grep -q '"user":"ann","session":true' "$work/said/session.txt"
}
claim "a session is in use" has_session

# Signs a request as for AWS.
signs() { # STATUS SECRET
    local got
    printf 'user = "AKIDEVE:%s"\n' "$(sed 's/[\\"]/\\&/g' <<<"$2")" >"$kept/eve.curl"
    got=$(curl -s --noproxy '*' --max-time 20 -K "$kept/eve.curl" --aws-sigv4 aws:amz:eu-west-1:aps -o "$work/said/bad-signature.txt" \
        -w '%{http_code}' "$url/api/v1/query?query=1")
    echo "$got"
    [[ $got == "$1" ]]
}
claim "a signed request is let in" signs 200 "hush-signing${hard/é/}"
claim "one of another secret is not" signs 401 "hush-wrong${hard/é/}"

# The signature of a token is what a thief needs, and here its text.
bears() {
    local head body got
    head=$(printf '{"alg": "EdDSA", "kid": "k"}' | base64 -w 0 | tr -d =)
    body=$(printf '{"aud": "a", "exp": 4000000000, "sub": "hush-subject"}' | base64 -w 0 | tr -d =)
    echo "header = \"Authorization: Bearer $head.$body.hush-signature\"" >"$kept/jay.curl"
    got=$(curl -s --noproxy '*' -K "$kept/jay.curl" -o "$work/said/bad-token.txt" -w '%{http_code}' "$url/api/v1/query?query=1")
    echo "$got"
    [[ $got == 401 ]]
}
claim "a token of a wrong signature is refused" bears

# Pages that read wait for the sources that fail: several are asked at a time.
ask_pages() { # TURN
    local page i=0 said
    said=$(mktemp -d "$work/said/pages-XXXX")
    grep -o '{"/[^"*]*", HTTP_GET' src/api/api.c | cut -d '"' -f 2 | sort -u >"$work/pages.txt"
    (($(wc -l <"$work/pages.txt") > 30)) || return 1
    {
        grep -v '/live$' "$work/pages.txt" | sed 's/$/?query=up\&match[]=up\&search[]=u\&label=job/'
        printf '%s\n' /api/v1/label/__name__/values '/api/v1/query?query={__name__=~\"u.*\"}' /api/v1/status/config
    } | while read -r page; do
        printf 'url = "%s%s"\noutput = "%s/%s.txt"\n' "$url" "$page" "$said" $((i++))
    done >"$work/pages.curl"
    as_ann "$1" --parallel --parallel-max 5 -i -K "$work/pages.curl" &&
        [[ $(find "$said" -type f -size +0 | wc -l) == "$(grep -c ^url "$work/pages.curl")" ]]
}
claim "all pages answer" ask_pages 1

# Credentials that are wrong, malformed, in other places.
sign_in_badly() {
    local n=0 arguments
    for arguments in "-u|ann:hush-wrong$hard" "-u|nobody:hush-nobody$hard" "-u|hush-name$hard:x" "-H|Authorization: Bearer hush-bad-token$hard" \
        "-H|Authorization: hush-scheme$hard x" "-H|Authorization: Basic hush-malformed" "-H|Authorization: Digest hush-digest" \
        "-H|Authorization: AWS4-HMAC-SHA256 Credential=hush-id/20260101/eu-west-1/aps/aws4_request, SignedHeaders=host, Signature=hush-signature" \
        "-H|Cookie: session=hush-cookie" "-H|X-Amz-Security-Token: hush-inbound-session"; do
        curl -sg --noproxy '*' -o "$work/said/bad-$n.txt" -w '%{http_code}\n' "${arguments%%|*}" "${arguments#*|}" "$url/api/v1/status/config" | grep -qE '401|503' || return 1
        n=$((n + 1))
    done
    curl -s --noproxy '*' "$url/api/v1/query?query=up&access_token=hush-in-query" "http://u:hush-in-url@127.0.0.1:$port/metrics" >"$work/said/urls.txt"
    curl -sk --noproxy '*' --cert "$work/client.pem" --key "$kept/client.key" "https://localhost:$tls_port/metrics" >"$work/said/tls.txt"
    curl -s --noproxy '*' -H "Authorization: Bearer hush-token-1$hard" "$url/metrics" | grep -q firekeep_build_info
}
claim "wrong credentials are refused, right ones are not" sign_in_badly

# --- in use -----------------------------------------------------------------------------------------

each_was_tried() { # DESTINATION...
    local name
    as_ann 1 "$url/api/v1/status/destinations" >"$work/said/destinations.json"
    for name; do
        jq -e ".data[] | select(.name == \"$name\") | .lastError != \"\" or .samplesDelivered > 0" "$work/said/destinations.json" >/dev/null || {
            echo "$name: nothing has failed yet"
            return 1
        }
    done
}
mapfile -t destinations < <(sed -n '/^destinations:/,/^sources:/s/^- {name: \([a-z0-9-]*\),.*/\1/p' "$config")
mapfile -t sources < <(sed -n '/^sources:/,/^alerting:/s/^- {name: \([a-z0-9-]*\),.*/\1/p' "$config")
claim "there are many destinations and sources" [ $((${#destinations[@]} + ${#sources[@]})) -gt 90 ]
claim "every destination has sent, and most have failed" within 60 each_was_tried basic-refused bearer-moved oauth-failing click-typed table-moved behind
claim "queries read the sources" answers 200 1 "$url/api/v1/query?query=up&time=1700000000"
for name in "${sources[@]}"; do
    say "source-$name" "$firekeep" sources test "$name" --config.file="$config"
done
for name in "${destinations[@]}"; do
    say "test-$name" "$firekeep" destinations test "$name" --config.file="$config"
done
say letters "$firekeep" dead-letters list --storage.path="$work/store" --format json
say "test-json" "$firekeep" destinations test basic-failing --config.file="$config" --format=json
claim "all pages answer again" ask_pages 1

# Commands that sign in to servers that repeat.
clients() {
    local kind at file
    quoted=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "hush-url$hard")
    quoted_yaml=$(jq -Rn --arg s "hush-client$hard" '$s')
    echo "basic_auth: {username: u, password: $quoted_yaml}" >"$kept/basic.yml"
    echo "authorization: {credentials: $quoted_yaml}" >"$kept/bearer.yml"
    echo "http_headers: {X-Extra: {secrets: [$quoted_yaml]}}" >"$kept/headers.yml"
    echo "proxy_url: 'http://keeper:$quoted@127.0.0.1:$refused'" >"$kept/proxy.yml"
    echo "oauth2: {client_id: c, client_secret: $quoted_yaml, token_url: 'http://127.0.0.1:$failing/nothing'}" >"$kept/oauth2.yml"
    echo "oauth2: {client_id: c, client_secret: [$quoted_yaml]}" >"$kept/wrong.yml"
    for kind in "${behaviours[@]}"; do
        at=127.0.0.1:${!kind}
        say clients "$firekeep" query --url="http://u:$quoted@$at" up
        say clients "$firekeep" export --url="http://u:$quoted@$at" --match=up --format=openmetrics --retry=1s
        say clients "$firekeep" import --url="http://u:$quoted@$at" --retry=1s "$work/up.om"
        for file in basic bearer headers proxy oauth2 wrong; do
            say clients "$firekeep" rules list --url="http://$at" --http.config.file="$kept/$file.yml"
        done
    done
    say clients "$firekeep" query --url="http://u:$quoted@127.0.0.1:$closed_port" up
    say clients "$firekeep" copy "http://u:$quoted@127.0.0.1:$refused" "http://u:$quoted@127.0.0.1:$failing" --start=1700000000 --end=1700000060 \
        --work="$work/copying" --retry=1s
    say clients "$firekeep" query --url="http://u:$quoted@no-such-host.invalid" up
    say clients "$firekeep" query --url="http://u:$quoted@127.0.0.1:99999999" up
    say clients "$firekeep" query --url="htp://u:$quoted@127.0.0.1" up
}
printf 'up 1 1700000000\n# EOF\n' >"$work/up.om"
claim "commands ask servers that repeat" clients

# Configurations that are wrong at a secret, and files that are missing.
check_wrong() {
    local line n=0
    while read -r line; do
        printf '%b\n' "$line" >"$kept/wrong-config.yml"
        say check "$firekeep" check "$kept/wrong-config.yml"
        n=$((n + 1))
    done <<'END'
users: [{name: a, password: hush-plain, permissions: [read]}]
users: [{name: a, tokens: [hush-token], permissions: [read]}]
users: [{name: hush-name, permissions: [read], access_keys: [{id: a, secret_file: kept/access, secret: hush-inline}]}]
destinations: [{name: a, type: remote_write, url: "http://u:hush-url@h/"}]
destinations: [{name: a, type: remote_write, url: "http://h/", proxy_url: "http://u:hush-proxy@h:99999999"}]
destinations: [{name: a, type: remote_write, url: "http://h/", authorization: {type: Basic, credentials: [hush-list]}}]
destinations: [{name: a, type: remote_write, url: "http://h/", basic_auth: {username: u, password: "hush-\\x01"}}]
destinations: [{name: a, type: remote_write, url: "http://h/", headers: {Authorization: hush-a}, authorization: {credentials: hush-b}}]
destinations: [{name: a, type: remote_write, url: "http://h/", headers: {"X-Bad Name": hush-a}}]
destinations: [{name: a, type: influxdb, url: "http://h/", token: {a: hush-map}}]
destinations: [{name: a, type: kinesis, stream: s, region: r, secret_key: hush-alone}]
sources: [{name: a, type: remote_read, url: "http://u:hush-url@h/"}]
sources: [{name: a, type: timestream, secret_key: hush-alone}]
alerting: {alertmanagers: [{http_sd_configs: [{url: "http://u:hush-url@h/"}]}]}
alerting: {alertmanagers: [{basic_auth: {username: u, password: hush-a}, authorization: {credentials: hush-b}}]}
alerting: {alertmanagers: [{http_headers: {X-A: {secrets: hush-text}}}]}
listeners: [{address: ":1", tls_server_config: {cert: hush-cert, key: hush-key}}]
tls_server_config: {cert_file: a, key: [hush-key]}
basic_auth_users: {a: hush-plain}
web: {external_url: "http://u:hush-url@h/"}
END
    ((n == 20))
}
claim "wrong configurations are checked" check_wrong

# A secret that is never sent signs (secret keys), or is compared here.
claim "all secrets were used" within 40 were_sent {basic,header,bearer,oauth-client,oauth-param,sigv4-session,influx,click,tsdb}-1 \
    {stream,hose,bucket,table}-session-1 source-{basic,header,bearer,oauth-client,sigv4-session,influx,click,tsdb}-1 \
    source-{table,archive}-session-1 file environment url client issued

# --- changes ----------------------------------------------------------------------------------------

has_reloaded() { # COUNT PATTERN
    (($(grep -c "$2" "$work/here.log") >= $1))
}
reload_badly() {
    cp "$config" "$kept/good.yml"
    sed 's/^- {name: bearer-moved/- {nam: bearer-moved/' "$kept/good.yml" >"$config"
    kill -HUP "${pids[$(_index_of here)]}" && within 20 has_reloaded 1 'configuration reload failed'
}
claim "SIGHUP with a wrong configuration" reload_badly
reload() {
    write_config 2 >"$config" && kill -HUP "${pids[$(_index_of here)]}" && within 30 answers 200 2 "$url/metrics"
}
claim "SIGHUP with other secrets" reload
claim "the old password is refused" answers 401 1 "$url/metrics"
claim "all pages answer with other secrets" ask_pages 2
claim "more was sent" within 40 were_sent {basic,alerts-oauth-param}-2

pid=${pids[$(_index_of here)]}
tr '\0' '\n' <"/proc/$pid/cmdline" >"$work/said/cmdline.txt"
cat "/proc/$pid/comm" "/proc/$pid/task"/*/comm >>"$work/said/cmdline.txt"
claim "it stops" stop here

# --- nothing is told --------------------------------------------------------------------------------

claim "lines were logged" [ "$(wc -l <"$work/here.log")" -gt 100 ]
claim "no secret is in the log" tells_nothing "$work/here.log"
claim "no secret is in answers and pages" tells_nothing "$work"/said/pages-* "$work/said/destinations.json" "$work/said/answer.txt" "$work/said"/bad-*.txt
claim "secrets are shown as a word" grep -rq '<secret>' "$work"/said/pages-*
claim "no secret is in what commands print" tells_nothing "$work/said"
claim "no secret is in the storage directory" tells_nothing "$work/store"
stop parrot
done_testing
