#!/bin/bash
# cli_auth.sh - commands sign in to a server: with --http.config.file, with the user of a URL, over TLS
# and over a socket. A proxy that requires credentials is in front of the server. No secret is in what they print, in
# what they write, or in the arguments of their processes.

. tests/lib.sh
firekeep=build/firekeep
read -r port door_port other_port other_door_port tls_port proxy_port < <(free_ports 6 | tr '\n' ' ')
door=http://127.0.0.1:$door_port
secrets=(correct-horse-battery hidden-token-of-it)
export no_proxy='*'

says() { # TEXT STATUS COMMAND...
    local text=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1 </dev/null)
    status=$?
    echo "$output" | tee -a "$work/said.txt"
    [[ $output == *"$text"* ]] && ((status == wanted))
}

# Runs it without a terminal.
alone() {
    setsid --wait "$@"
}

has_passed() { # METHOD-AND-PATH [NAME]
    grep -q "^$1 20[04]\$" "$work/${2-door}.log"
}

authorization_of() { # USER:PASSWORD
    printf 'Basic %s\n' "$(printf %s "$1" | base64 -w 0)"
}

{
    authorization_of "alice:${secrets[0]}"
    # shellcheck disable=SC2016 # it is not expanded by commands either
    authorization_of 'b c:p@:/%${HOME}'
    echo "Bearer ${secrets[1]}"
} >"$work/users.txt"
authorization_of "eve:${secrets[1]}" >"$work/others.txt"
mkdir "$work/client"
printf %s "${secrets[0]}" >"$work/client/password.txt"
printf '%s\n' "${secrets[1]}" >"$work/client/token.txt"
echo 'basic_auth: {username: alice, password_file: password.txt}' >"$work/client/alice.yml"
echo 'authorization: {credentials_file: token.txt}' >"$work/client/token.yml"
echo "basic_auth: {username: alice, password: ${secrets[1]}}" >"$work/client/wrong.yml"
echo "basic_auth: {username: eve, password: ${secrets[1]}}" >"$work/client/eve.yml"
echo "authorisation: {credentials: ${secrets[1]}}" >"$work/client/typing.yml"
printf 'up{job="a"} 1 1700000000\nup{job="a"} 2 1700000015\n# EOF\n' >"$work/up.om"
printf 'groups:\n- {name: g, rules: [{record: r, expr: up * 10}]}\n' >"$work/rules.yml"
printf 'destinations: []\n' >"$work/config.yml"
as_alice=--http.config.file=$work/client/alice.yml
as_token=--http.config.file=$work/client/token.yml

claim "a server starts" start_firekeep server "$work/server" "$port" --web.enable-admin-api \
    --write.max-future=10m --config.file="$work/config.yml"
claim "another server starts" start_firekeep other "$work/other" "$other_port"
start door /usr/bin/python3 tests/doubles/doorkeeper.py --to "$port" --listen "$door_port" --users "$work/users.txt"
start other_door /usr/bin/python3 tests/doubles/doorkeeper.py --to "$other_port" --listen "$other_door_port" --users "$work/others.txt"
claim "a proxy is before the server" within 20 grep -q listening "$work/door.log"
claim "and before the other" within 20 grep -q listening "$work/other_door.log"

# --- every command ----------------------------------------------------------------------------------
claim "import" says 'imported 2' 0 "$firekeep" import --url="$door" "$as_alice" "$work/up.om"
claim "it was signed in" has_passed 'POST /api/v1/write'
claim "query" says '2' 0 "$firekeep" query --url="$door" "$as_token" --time=1700000015 up
claim "explain" says 'up' 0 "$firekeep" query --url="$door" "$as_alice" --explain up
claim "export" says 'up{job="a"} 2 1700000015' 0 "$firekeep" export --url="$door" "$as_token" --match=up --format=openmetrics
claim "rules list" says '' 0 "$firekeep" rules list --url="$door" "$as_alice"
claim "it was signed in, too" has_passed 'GET /api/v1/rules'
claim "rules replay" says '' 0 "$firekeep" rules replay --url="$door" "$as_alice" --start=1700000000 --end=1700000060 "$work/rules.yml"
claim "its results are there" says '20' 0 "$firekeep" query --url="$door" "$as_alice" --time=1700000060 r
claim "copy, to a server with other credentials" says 'verified' 0 "$firekeep" copy "$door" \
    "http://127.0.0.1:$other_door_port" --start=1700000000 --end=1700000060 --select=up --work="$work/copying" \
    "$as_alice" --to-http.config.file="$work/client/eve.yml"
claim "they arrived" says 'up{job="a"} 2 1700000015' 0 "$firekeep" export --url="http://127.0.0.1:$other_port" --match=up --format=openmetrics
claim "the other server did not get the first one's credentials" eval "! grep -q ' 401' '$work/other_door.log'"

# --- URLs -------------------------------------------------------------------------------------------
claim "the user of the URL" says '2' 0 "$firekeep" query --url="http://alice:${secrets[0]}@${door#*//}" --time=1700000015 up
claim "escapes in the URL" says '2' 0 "$firekeep" query --url="http://b%20c:p%40%3a%2F%25\${HOME}@${door#*//}" --time=1700000015 up
claim "the URL of the environment" says '2' 0 env FIREKEEP_URL="http://alice:${secrets[0]}@${door#*//}" "$firekeep" query --time=1700000015 up
claim "a user, and the password of a file" says '2' 0 "$firekeep" query --url="http://alice@${door#*//}" "$as_alice" --time=1700000015 up
claim "a user without a password or terminal" says 'use --http.config.file' 1 alone "$firekeep" query --url="http://alice@${door#*//}" up
claim "copy from the user of a URL" says 'verified' 0 "$firekeep" copy "http://alice:${secrets[0]}@${door#*//}" \
    "http://eve:${secrets[1]}@127.0.0.1:$other_door_port/api/v1/write" --start=1700000000 --end=1700000060 \
    --select=r --work="$work/copying"

# The terminal shows the question, and not the answer; ps shows no password.
answer_question() {
    /usr/bin/python3 - "$firekeep" "http://alice@${door#*//}" "$work/client/password.txt" <<'END'
import os, pty, sys
program, url, password = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(program, [program, "query", "--url=" + url, "--time=1700000015", "up"])
shown = b""
while b"Password of alice at http://127.0.0.1" not in shown or not shown.endswith(b": "):
    shown += os.read(fd, 1000)
with open(f"/proc/{pid}/cmdline", "rb") as words:
    words = words.read()
with open(password, "rb") as file:
    secret = file.read()
os.write(fd, secret + b"\n")
try:
    while more := os.read(fd, 1000):
        shown += more
except OSError:
    pass
print(shown.decode())
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(status or secret in shown or secret in words or b"2" not in shown.split(b": ")[-1])
END
}
claim "the password is asked for" answer_question

# --- TLS --------------------------------------------------------------------------------------------
# A CA, a certificate of the server and one of a client.
make_certificates() {
    local name
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$work/ca.key" -out "$work/ca.pem" || return 1
    for name in server.example.org client; do
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$work/client/$name.key" -out "$work/$name.csr" &&
            openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
                -extfile <(echo "subjectAltName=DNS:$name") -out "$work/client/$name.pem" || return 1
    done
}
# Makes a file of client settings. Paths begin at its directory.
with_tls() { # NAME KEYS
    echo "basic_auth: {username: alice, password_file: password.txt}" >"$work/client/$1.yml"
    echo "tls_config: {$2}" >>"$work/client/$1.yml"
}
tls=https://127.0.0.1:$tls_port
if command -v openssl >/dev/null; then
    claim "certificates are made" make_certificates
    start tls /usr/bin/python3 tests/doubles/doorkeeper.py --to "$port" --listen "$tls_port" --users "$work/users.txt" \
        --cert "$work/client/server.example.org.pem" --key "$work/client/server.example.org.key" --client-ca "$work/ca.pem"
    claim "the proxy speaks TLS" within 20 grep -q listening "$work/tls.log"
    name='server_name: server.example.org' ca='ca_file: ../ca.pem'
    pair='cert_file: client.pem, key_file: client.key'
    with_tls right "$ca, $name, $pair, min_version: TLS12"
    with_tls environment "$name, $pair"
    with_tls stranger "$name, $pair"
    with_tls other_name "$ca, $pair"
    with_tls nameless "$ca, $name"
    with_tls careless "insecure_skip_verify: true, $pair"
    with_tls missing "ca_file: nothing.pem, $name, $pair"
    as_right=--http.config.file=$work/client/right.yml
    claim "query over TLS" says '2' 0 "$firekeep" query --url="$tls" "$as_right" --time=1700000015 up
    claim "copy over TLS, both ways" says 'verified' 0 "$firekeep" copy "$tls" "$tls" --start=1700000000 --end=1700000060 \
        --select=up --tenant=anonymous --to-tenant=other --work="$work/copying" "$as_right"
    claim "the CA of SSL_CERT_FILE" says '2' 0 env SSL_CERT_FILE="$work/ca.pem" "$firekeep" query --url="$tls" \
        --http.config.file="$work/client/environment.yml" --time=1700000015 up
    claim "without a check of the certificate" says '2' 0 "$firekeep" query --url="$tls" \
        --http.config.file="$work/client/careless.yml" --time=1700000015 up
    for name in stranger other_name; do
        claim "$name: it is not trusted" says 'certificate' 1 "$firekeep" query --url="$tls" --http.config.file="$work/client/$name.yml" up
    done
    claim "a CA file that does not exist is named" says 'cannot read certificates from ca_file' 1 "$firekeep" query --url="$tls" --http.config.file="$work/client/missing.yml" up
    claim "no certificate of the client" says "$tls" 1 "$firekeep" query --url="$tls" --http.config.file="$work/client/nameless.yml" up
    claim "a server that is not trusted gets no request" eval "! grep -q 401 '$work/tls.log'"
else
    skip "TLS" "no openssl"
fi

# --- sockets and proxies ----------------------------------------------------------------------------
# The path of a socket is short, and that of $work may be long.
socket_dir=$(mktemp -d)
trap 'rm -rf "$socket_dir"; stop_all' EXIT
socket=unix:$socket_dir/f.sock
start socket /usr/bin/python3 tests/doubles/doorkeeper.py --to "$port" --listen "$socket" --users "$work/users.txt"
claim "a proxy listens on a socket" within 20 grep -q listening "$work/socket.log"
claim "query over a socket" says '2' 0 "$firekeep" query --url="$socket" "$as_alice" --time=1700000015 up
claim "the socket of the environment" says '2' 0 env FIREKEEP_URL="$socket" "$firekeep" query "$as_alice" --time=1700000015 up
claim "copy from a socket" says 'verified' 0 "$firekeep" copy "$socket" "http://127.0.0.1:$other_port" \
    --start=1700000000 --end=1700000060 --select=up --work="$work/copying" "$as_alice" --to-http.config.file=/dev/null
claim "copy to a socket" says 'verified' 0 "$firekeep" copy "http://127.0.0.1:$other_port" "$socket" \
    --start=1700000000 --end=1700000060 --select=up --tenant=anonymous --to-tenant=third --work="$work/copying" \
    --to-http.config.file="$work/client/alice.yml"
claim "a socket without a server" says "unix:$socket_dir/nothing: " 1 "$firekeep" query --url="unix:$socket_dir/nothing" up

start proxy /usr/bin/python3 tests/doubles/forward_proxy.py --port "$proxy_port" --user keeper --password "${secrets[0]}"
claim "a forward proxy starts" within 20 grep -q listening "$work/proxy.log"
echo "proxy_url: http://keeper:${secrets[0]}@127.0.0.1:$proxy_port" >"$work/client/proxy.yml"
claim "query through a proxy" says '2' 0 "$firekeep" query --url="http://127.0.0.1:$port" \
    --http.config.file="$work/client/proxy.yml" --time=1700000015 up
claim "the proxy got it" grep -q "POST http://127.0.0.1:$port/api/v1/query passed" "$work/proxy.log"

# --- secrets for a configuration --------------------------------------------------------------------
# Perl's crypt is that of the system's libcrypt.
hash_fits() { # KIND PREFIX
    local hash
    hash=$(printf '%s\n' "${secrets[0]}" | "$firekeep" hash --kind="$1") && [[ $hash == "$2"* ]] &&
        HASH=$hash perl -e 'exit crypt(<STDIN>, $ENV{HASH}) ne $ENV{HASH}' <"$work/client/password.txt"
}
# shellcheck disable=SC2016 # prefixes of hashes
claim "a hash of yescrypt" hash_fits yescrypt '$y$'
# shellcheck disable=SC2016
claim "a hash of bcrypt" hash_fits bcrypt '$2b$10$'
token_fits() {
    local token digest
    { read -r _ token && read -r _ digest; } < <("$firekeep" token)
    [[ ${#token} == 43 && $(printf %s "$token" | sha256sum) == "$digest  -" ]] &&
        [[ $(echo "$token" | "$firekeep" token --hash) == "$digest" ]]
}
claim "a token and its SHA-256" token_fits
claim "a password as an argument" says 'expected no arguments' 2 "$firekeep" hash "${secrets[0]}"

# --- refusals ---------------------------------------------------------------------------------------
claim "no credentials, and advice" says 'use --http.config.file, or a URL with a user' 1 "$firekeep" rules list --url="$door"
claim "a wrong password" says '401' 1 "$firekeep" query --url="$door" --http.config.file="$work/client/wrong.yml" up
claim "copy with a wrong password" says '401' 1 "$firekeep" copy "http://alice:${secrets[1]}@${door#*//}" \
    "http://127.0.0.1:$other_port" --start=1700000000 --end=1700000060 --work="$work/copying" --retry=1s
start echo /usr/bin/python3 tests/doubles/doorkeeper.py --to "$port" --listen "unix:$socket_dir/e.sock" --users "$work/users.txt" --echo
claim "a proxy repeats what it refuses" within 20 grep -q listening "$work/echo.log"
claim "credentials that are repeated are masked" says 'unknown credentials: Basic ***' 1 "$firekeep" rules list \
    --url="unix:$socket_dir/e.sock" --http.config.file="$work/client/wrong.yml"
claim "a directory has no users" says '--http.config.file requires --url' 2 "$firekeep" query --storage.path="$work/server" "$as_alice" up

# --- secrets ----------------------------------------------------------------------------------------
is_hidden() {
    local secret
    for secret in "${secrets[@]}" "$(printf %s "alice:${secrets[0]}" | base64 -w 0)" \
        "$(printf %s "alice:${secrets[1]}" | base64 -w 0)"; do
        ! grep -rlF -e "$secret" --exclude-dir=client --exclude=users.txt --exclude=others.txt "$work" || return 1
    done
}
claim "no secret was printed or written" is_hidden

claim "SIGTERM ends it with status 0" stop server
claim "and the other" stop other
done_testing
