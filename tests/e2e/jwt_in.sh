#!/bin/bash
# jwt_in.sh - users who sign in with tokens of an issuer: a real server over TLS, confined as by
# default, beside an issuer of OpenID Connect (doubles/oidc.py) that rotates keys, goes away and
# misbehaves. prometheus_in.sh has a real Prometheus.

. tests/lib.sh
for tool in openssl curl python3; do
    command -v "$tool" >/dev/null || skip_all "jwt_in" "no $tool"
done
python3 -c 'import cryptography' 2>/dev/null || skip_all "jwt_in" "no python3-cryptography"
read -r port issuer_port < <(free_ports 2 | tr '\n' ' ')
url=https://localhost:$port
issuer=https://localhost:$issuer_port

# --- certificates and configuration ----------------------------------------------------------------

certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=ca -keyout "$work/ca.key" -out "$work/ca.pem" &&
        printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >"$work/ext" &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$work/server.key" -out "$work/csr" &&
        openssl x509 -req -in "$work/csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 5 -extfile "$work/ext" -out "$work/server.pem"
}

# Modes of the issuer in which it gives no keys, or none that can be used.
bad_modes="hang drip garbage huge redirect error liar downgrade symmetric empty"

# The SHA-256 of the token "abc".
abc=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

write_config() {
    local mode
    cat <<END
tls_server_config: {cert_file: server.pem, key_file: server.key}
users:
- {name: ops, tokens: [$abc], permissions: [admin, metrics]}
- name: people
  jwt: {issuer: $issuer, ca_file: ca.pem, audience: [firekeep, fire], claims: {group: people, email_verified: 'true'}}
  permissions: [read, metrics]
- name: team
  jwt: {issuer: $issuer, ca_file: ca.pem, audience: [firekeep], tenant_claim: org.tenants, permissions_claim: scope}
  permissions: [read, write]
  tenants: ['team-*', shop]
- {name: file, jwt: {jwks_file: keys.json, issuer: offline, audience: [firekeep]}, permissions: [metrics]}
- {name: url, jwt: {jwks_url: '$issuer/good/keys', ca_file: ca.pem, issuer: elsewhere, audience: [firekeep]}, permissions: [metrics]}
- {name: untrusted, jwt: {issuer: $issuer/good, audience: [firekeep]}, permissions: [metrics]}
END
    for mode in $bad_modes; do
        echo "- {name: $mode, jwt: {issuer: '$issuer/$mode', ca_file: ca.pem, audience: [firekeep]}, permissions: [metrics]}"
    done
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

# Sets `token` to one that the issuer signs, of the JSON that POST /sign takes.
sign() { # JSON
    token=$(ask -f -d "$1" "$issuer/sign") && echo "$token" >>"$work/tokens"
}

# Each line: a status, the JSON of a token, and after a bar the arguments of a request, which is for
# /metrics without any. Once a minute, an unknown key gets 503 at first.
tokens_get() {
    local line words status json rest
    while read -r line; do
        [[ -n $line ]] || continue
        read -r status json <<<"$line"
        rest="$url/metrics"
        [[ $json != *' | '* ]] || {
            rest=${json##* | }
            json=${json% | *}
        }
        eval "words=($rest)"
        sign "$json" && within 20 is "$status" -H "Authorization: Bearer $token" "${words[@]}" || {
            echo "${line:0:300}"
            return 1
        }
    done
}

logged() { # PATTERN
    grep -q "$1" "$work/here.log"
}

value_of() { # METRIC, as it is written
    ask -H 'Authorization: Bearer abc' "$url/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}

# --- a server and its issuer -----------------------------------------------------------------------

claim "certificates are made" certificates
write_config >"$work/firekeep.yml"
begin_issuer() {
    start issuer python3 tests/doubles/oidc.py --port "$issuer_port" --dir "$work" --cert "$work/server.pem" --key "$work/server.key"
    within 30 is 404 "$issuer/none"
}
begin() {
    start here build/firekeep serve "$small_log" "--storage.path=$work/data" "--web.listen-address=127.0.0.1:$port" \
        "--config.file=$work/firekeep.yml" --tenancy.enabled --web.enable-lifecycle
    within 30 is 200 "$url/-/ready"
}
no_file() {
    timeout 30 build/firekeep serve "--storage.path=$work/data" "--web.listen-address=127.0.0.1:$port" \
        "--config.file=$work/firekeep.yml" --tenancy.enabled >"$work/none.txt" 2>&1
    [[ $? == 1 ]] && grep -q 'user file: jwt: .*keys.json' "$work/none.txt"
}
claim "the issuer starts" begin_issuer
claim "a file of keys that is missing stops the start" no_file
claim "keys are kept in a file" ask -f -o "$work/keys.json" "$issuer/keys"
sign '{"claims": {"group": "people", "email_verified": true}}'
early=$token # is good, but the issuer is away when the server starts
claim "the issuer goes away" crash issuer
claim "it starts without its issuer" begin
claim "a token is not judged before there are keys" is 503 -H "Authorization: Bearer $early" "$url/metrics"
claim "and the client is asked to come back" grep -qi '^retry-after: [0-9]' <(ask -i -H "Authorization: Bearer $early" "$url/metrics")
claim "what is no token is refused" is 401 -H "Authorization: Bearer a.b.c" "$url/metrics"
claim "a user without the issuer signs in" is 200 -H "Authorization: Bearer abc" "$url/metrics"
claim "the issuer comes back" begin_issuer
claim "keys are fetched again soon" within 30 is 200 -H "Authorization: Bearer $early" "$url/metrics"
is_confined() {
    local found
    _find here && [[ $(awk '$1 == "Seccomp:" { print $2 }' "/proc/${pids[found]}/status") == 2 ]]
}
claim "system calls are filtered" is_confined

# --- tokens ----------------------------------------------------------------------------------------

people='"group": "people", "email_verified": true'
claim "an algorithm that is not the key's is refused" tokens_get <<END
401 {"alg": "none", "claims": {$people}}
401 {"alg": "HS256", "claims": {$people}}
401 {"alg": "RS256", "header": {"alg": "ES256"}, "claims": {$people}}
401 {"alg": "ES256", "header": {"kid": "RS-1"}, "claims": {$people}}
401 {"alg": "RS256", "header": {"kid": "ES256-1"}, "claims": {$people}}
401 {"alg": "RS256", "header": {"alg": "none"}, "claims": {$people}}
END
claim "an unknown key is refused" tokens_get <<END
401 {"key": "stranger", "claims": {$people}}
401 {"key": "stranger", "header": {"kid": "RS-1"}, "claims": {$people}}
401 {"key": "stranger", "header": {"kid": null}, "claims": {$people}}
401 {"header": {"kid": "none"}, "claims": {$people}}
200 {"header": {"kid": null}, "claims": {$people}}
END
claim "keys and extensions of the header are not followed" tokens_get <<END
401 {"key": "stranger", "header": {"jku": "$issuer/keys"}, "claims": {$people}}
401 {"key": "stranger", "header": {"x5u": "$issuer/keys"}, "claims": {$people}}
401 {"header": {"crit": ["exp"]}, "claims": {$people}}
401 {"header": {"typ": "logout+jwt"}, "claims": {$people}}
200 {"header": {"typ": "at+jwt", "jku": "https://localhost:1/"}, "claims": {$people}}
END
claim "issuer, audience and times are judged" tokens_get <<END
401 {"claims": {$people, "iss": "https://localhost:1"}}
401 {"claims": {$people, "iss": "$issuer/"}}
401 {"claims": {$people, "iss": null}}
401 {"claims": {$people, "aud": "other"}}
401 {"claims": {$people, "aud": null}}
200 {"claims": {$people, "aud": ["other", "fire"]}}
401 {"claims": {$people, "exp": null}}
401 {"claims": {$people, "exp": "soon"}}
401 {"claims": {$people, "exp": -70}}
200 {"claims": {$people, "exp": -30}}
401 {"claims": {$people, "nbf": 100}}
200 {"claims": {$people, "nbf": 30}}
401 {"claims": {$people, "iat": 100}}
END
claim "claims are matched" tokens_get <<END
401 {"claims": {"group": "people"}}
401 {"claims": {"group": "people", "email_verified": false}}
200 {"claims": {"group": ["a", "people"], "email_verified": "true"}}
401 {"claims": {"group": "people a", "email_verified": true}}
403 {"claims": {$people}} | -X POST $url/-/reload
END
learns_nothing() { # from a refusal
    local json n=0
    for json in '"sub": "jo"' "$people, \"aud\": \"other\"" "$people, \"exp\": -100" "$people, \"iss\": \"x\""; do
        sign "{\"claims\": {$json}}" && ask -i -H "Authorization: Bearer $token" "$url/metrics" | grep -vi '^date:' >"$work/learnt.$n"
        n=$((n + 1))
    done
    for json in 'Bearer abd' 'Bearer a.b.c' Bearer 'Basic x'; do
        ask -i -H "Authorization: $json" "$url/metrics" | grep -vi '^date:' >"$work/learnt.$n"
        n=$((n + 1))
    done
    grep -q ' 401 ' "$work/learnt.0" && for ((n--; n > 0; n--)); do cmp "$work/learnt.0" "$work/learnt.$n" || return 1; done
}
claim "all refusals are the same bytes" learns_nothing
long=$(printf 'x%.0s' {1..5800})

# --- tenants and permissions of claims -------------------------------------------------------------

labels=$url/api/v1/labels
claim "claims select among tenants and permissions" tokens_get <<END
200 {"claims": {"org": {"tenants": "shop"}, "scope": "openid read"}} | $labels
200 {"claims": {"org": {"tenants": ["shop", "team-a"]}, "scope": ["read"]}} | -H X-Scope-OrgID:team-a $labels
200 {"claims": {"org": {"tenants": ["shop", "team-a"]}, "scope": "read"}} | -H 'X-Scope-OrgID: team-a|shop' $labels
401 {"claims": {"org": {"tenants": ["shop", "team-a"]}, "scope": "read"}} | $labels
403 {"claims": {"org": {"tenants": "shop"}, "scope": "read"}} | -H X-Scope-OrgID:team-a $labels
403 {"claims": {"org": {"tenants": ["shop", "bank"]}, "scope": "read"}} | -H X-Scope-OrgID:bank $labels
403 {"claims": {"org": {"tenants": "shop"}, "scope": "write"}} | $labels
415 {"claims": {"org": {"tenants": "shop"}, "scope": "write"}} | -X POST -H 'Content-Encoding: br' -d x $url/api/v1/write
403 {"claims": {"org": {"tenants": "shop"}, "scope": "admin metrics"}}
401 {"claims": {"org": {"tenants": []}, "scope": "read"}} | $labels
401 {"claims": {"org.tenant": "shop", "scope": "read"}} | $labels
END
claim "texts of claims are no patterns" tokens_get <<END
403 {"claims": {"org": {"tenants": "*"}, "scope": "read"}} | -H X-Scope-OrgID:shop $labels
403 {"claims": {"org": {"tenants": "team-*"}, "scope": "read"}} | -H X-Scope-OrgID:team-a $labels
403 {"claims": {"org": {"tenants": ["team-*", "shop"]}, "scope": "read"}} | -H X-Scope-OrgID:team-a $labels
403 {"claims": {"org": {"tenants": "shop|team-a"}, "scope": "read"}} | -H X-Scope-OrgID:team-a $labels
403 {"claims": {"org": {"tenants": "shop|team-a"}, "scope": "read"}} | -H 'X-Scope-OrgID: shop|team-a' $labels
END
sees() { # SUB: whether this person sees the query of jo
    sign "{\"claims\": {\"org\": {\"tenants\": \"shop\"}, \"scope\": \"read\", \"sub\": \"$1\"}}" &&
        ask -f -H "Authorization: Bearer $token" "$url/api/v1/status/top_queries" | grep -q 'vector(4711)'
}
knows_people_apart() {
    sign '{"claims": {"org": {"tenants": "shop"}, "scope": "read", "sub": "jo"}}' &&
        is 200 -H "Authorization: Bearer $token" "$url/api/v1/query?query=vector(4711)" && sees jo && ! sees lee && ! sees team:jo
}
claim "people of one user do not see each other's queries" knows_people_apart
begins_session() {
    local cookie
    sign '{"claims": {"org": {"tenants": "shop"}, "scope": "read", "sub": "jo", "long": "'"${long:3400}"'"}}' &&
        is 204 -D "$work/head.txt" -X POST -H "Authorization: Bearer $token" "$url/api/v1/session" || return 1
    cookie=$(sed -n 's/^set-cookie: \([^;]*\).*/\1/Ip' "$work/head.txt")
    is 200 -b "$cookie" "$labels" && is 403 -b "$cookie" -H X-Scope-OrgID:team-a "$labels" && is 403 -b "$cookie" "$url/metrics" &&
        is 200 -b "$cookie" "$url/api/v1/session" && grep -F '"user":"team:jo","session":true,"permissions":["read"],"tenancy":true,"tenants":["shop"]' "$work/body.txt"
}
claim "a token begins a session with its rights" begins_session
claim "unless it is too long for a cookie" tokens_get <<END
400 {"claims": {"org": {"tenants": "shop"}, "scope": "read", "long": "${long:2400}"}} | -X POST $url/api/v1/session
END

# --- other places of keys --------------------------------------------------------------------------

claim "keys of a file and of a URL are those of their users" tokens_get <<END
200 {"claims": {"iss": "offline"}}
200 {"claims": {"iss": "elsewhere"}}
401 {"claims": {"iss": "online"}}
END
misbehaves() {
    local mode expected
    for mode in $bad_modes untrusted; do
        expected=503
        [[ $mode != symmetric && $mode != empty ]] || expected=401
        sign "{\"claims\": {\"iss\": \"$issuer/${mode/untrusted/good}\"}}" && within 30 is "$expected" -H "Authorization: Bearer $token" "$url/metrics" || {
            echo "$mode"
            return 1
        }
    done
}
claim "tokens of an issuer that misbehaves are not accepted" misbehaves
claim "a key that is no public one is left out" within 20 logged "level=warn.*some cannot be used.*from=.*$issuer/symmetric.*keys=0.*kty 'oct'"
claim "redirects are not followed" [ "$(grep -c '^/moved' "$work/issuer.log")" == 0 ]
count_lines() { # of an issuer that was tried more often than once a minute
    local lines failures
    failures=$(value_of "firekeep_jwt_key_reads_total{from=\"$issuer/error\",result=\"failed\"}")
    lines=$(grep -c "cannot read the keys of tokens.*from=.*$issuer/error" "$work/here.log")
    ((lines > 0 && failures > lines))
}
claim "failures are counted, and logged once a minute" within 30 count_lines
file_changes() {
    cp "$work/keys.json" "$work/kept.json"
    head -c 100 "$work/kept.json" >"$work/keys.json"
    sign '{"claims": {"iss": "offline"}}'
    within 20 logged 'cannot read the keys of tokens, keeping the old ones.*keys.json' && is 200 -H "Authorization: Bearer $token" "$url/metrics" || return 1
    echo '{"keys": []}' >"$work/keys.json"
    within 20 is 401 -H "Authorization: Bearer $token" "$url/metrics" || return 1
    cp "$work/kept.json" "$work/keys.json"
    within 20 is 200 -H "Authorization: Bearer $token" "$url/metrics"
}
claim "a file of keys is read again when it changes, if it is good" file_changes

# The log says once a minute what is wrong with each; the first time, the issuer was away.
says_why() {
    local line
    while read -r line; do
        within 75 logged "level=error.*cannot read the keys of tokens.*from=.*$issuer/$line" || {
            echo "$line"
            return 1
        }
    done
}
claim "the log says what is wrong with an issuer" says_why <<'END'
hang .*openid-configuration: .*timed out
drip .*openid-configuration: .*timed out
garbage .*openid-configuration: invalid JSON
huge .*openid-configuration: the response is too large
redirect .*openid-configuration: status 302, and redirects are not followed
error .*openid-configuration: status 500
liar .*openid-configuration: its issuer is 'https://localhost:1'
downgrade .*openid-configuration: its jwks_uri has http
good .*certificate is not trusted
END

# --- keys that change -------------------------------------------------------------------------------

# The issuer replaced all keys a moment ago. The server fetches them for the first token that names
# one, but not twice in a minute; until then such tokens get 503 or 401, and old ones are accepted.
rotates() {
    sign "{\"claims\": {$people}}"
    old=$token
    ask -f -X POST "$issuer/rotate" || return 1
    is 200 -H "Authorization: Bearer $old" "$url/metrics" || return 1
    sign "{\"claims\": {$people}}"
    within 90 is 200 -H "Authorization: Bearer $token" "$url/metrics" && is 401 -H "Authorization: Bearer $old" "$url/metrics"
}
claim "new keys of the issuer replace the old ones" rotates
fetches() {
    grep -c '^/keys$' "$work/issuer.log"
}
asks_once() {
    local before
    before=$(fetches)
    for _ in {1..20}; do
        sign "{\"header\": {\"kid\": \"x-$RANDOM\"}, \"claims\": {$people}}" && is 401 -H "Authorization: Bearer $token" "$url/metrics" || return 1
    done
    (($(fetches) == before))
}
claim "unknown keys fetch at most once a minute" asks_once
claim "the issuer goes away again" crash issuer
good=$(tail -n 21 "$work/tokens" | head -n 1) # the last one with a key of the issuer
claim "old keys serve while it is away" is 200 -H "Authorization: Bearer $good" "$url/metrics"
reloads() { # EDIT of the configuration
    write_config | sed "$1" >"$work/firekeep.new" && mv "$work/firekeep.new" "$work/firekeep.yml" &&
        is 200 -X POST -H 'Authorization: Bearer abc' "$url/-/reload"
}
keeps_keys() {
    reloads '' && is 200 -H "Authorization: Bearer $good" "$url/metrics" &&
        reloads s/group:/groups:/ && is 401 -H "Authorization: Bearer $good" "$url/metrics" &&
        reloads '' && is 200 -H "Authorization: Bearer $good" "$url/metrics"
}
claim "a reload keeps them, and changes users at once" keeps_keys
# --- nothing is left --------------------------------------------------------------------------------

claim "the log has no part of a token" [ "$(tr . '\n' <"$work/tokens" | awk 'length > 30 { print substr($0, 1, 200) }' | sort -u | grep -cFf - "$work/here.log")" == 0 ]
fails_are_logged() {
    grep -q 'level=warn msg="a client could not sign in" client=127.0.0.1 peer=127.0.0.1:[0-9]* reason=.* failures=' "$work/here.log"
}
claim "failures are logged with their number" within 20 fails_are_logged
ask -f -d hang "$issuer/mode"
claim "the server stops while an issuer hangs" stop here
done_testing
