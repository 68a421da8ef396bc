#!/bin/bash
# locked_down.sh - the lines of docs/security.md and docs/tenants.md that end with a server that only
# its users reach: each line is run as it is written, with other directories and another port.

. tests/lib.sh
for tool in openssl curl hostname; do
    command -v "$tool" >/dev/null || skip_all "the documents' lines" "no $tool"
done
read -r port < <(free_ports 1)
url=https://localhost:$port
root=$PWD
TOOLS=$root/$TOOLS
password=correct-horse-battery

# The program is in the PATH, as it is after an installation.
mkdir -p "$work/bin"
ln -sf "$root/build/firekeep" "$work/bin/firekeep"
PATH=$work/bin:$PATH

# The lines of code that follow a heading, up to the next text after them.
lines_of() { # DOCUMENT HEADING
    awk -v heading="$2" '
        $0 == heading { found = 1; next }
        found && /^    / { print substr($0, 5); began = 1; next }
        began { exit }' "$1"
}

# Starts the server, for this machine only.
serve() { # LINE
    eval "start server ${1/--web.listen-address=:/--web.listen-address=127.0.0.1:}" && within 60 is 200 "$url/-/ready"
}

# Runs a line in this shell. A server stays; its lines in the documents come last, or end in "&".
run_line() { # LINE
    local name line=${1//\/etc\/firekeep/$work/etc} # `name`: of a line, not that of the claim
    line=${line//\/var\/lib\/firekeep/$work/data}
    line=${line//9201/$port}
    line=${line//\/etc\/default/$work}
    if [[ $line == 'firekeep serve'* ]]; then
        serve "${line% &}"
    else
        eval "$line" <<<"$password"
    fi
}

run_lines() { # DOCUMENT HEADING
    local line lines
    mapfile -t lines < <(lines_of "$root/$1" "$2")
    claim "$1 has ten lines" [ "${#lines[@]}" == 10 ]
    for line in "${lines[@]}"; do
        claim "$1: ${line:0:100}" run_line "$line"
    done
}

is() { # STATUS CURL-ARGUMENT...
    local got
    got=$(curl -s --noproxy '*' --max-time 20 --cacert "$work/etc/server.pem" -o "$work/answer" -w '%{http_code}' "${@:2}")
    echo "$got: $(head -c 300 "$work/answer")"
    [[ $got == "$1" ]]
}

bearer() { # NAME
    echo "Authorization: Bearer $(<"$work/etc/$1.token")"
}

answers() { # WANTED JQ CURL-ARGUMENT...
    local got
    is 200 "${@:3}" && got=$(jq -c "$2" "$work/answer") && echo "$got" && [[ $got == "$1" ]]
}

# The tools do not speak TLS: the same protocol, with curl.
write() { # FILE CURL-ARGUMENT...
    is 204 -X POST -H 'Content-Type: application/x-protobuf' -H 'Content-Encoding: snappy' \
        -H 'X-Prometheus-Remote-Write-Version: 0.1.0' --data-binary "@$1" "${@:2}" "$url/api/v1/write"
}

# The body of the first request in a capture, which follows its length.
make_body() { # NAME LINE...
    printf '%s\n' "${@:2}" | "$TOOLS/rwmake" --version 1 >"$work/$1.rw" && tail -c +5 "$work/$1.rw" >"$work/$1.body"
}

# --- one tenant ---------------------------------------------------------------------------------------

now=$(now_ms)
claim "samples are made" make_body one "up{team=\"a\"} 1 $now" "up{team=\"b\"} 2 $now"
mkdir "$work/etc"
printf '%s\n' 'web: {enable_admin_api: true}' 'self_scrape: {interval: 1s}' >"$work/etc/firekeep.yml"
chmod 644 "$work/etc/firekeep.yml"
# The group and the service are those of an installed package.
chgrp() { [[ $* == 'firekeep firekeep.yml server.key server.pem' ]]; }
systemctl() {
    local FIREKEEP_ARGS
    stop server && . "$work/firekeep" && serve "firekeep serve --storage.path=$work/data $FIREKEEP_ARGS"
}
run_lines docs/security.md '## From zero to a locked-down server'
claim "nobody else can read what was written" \
    [ "$(find "$work/etc" -type f -perm /077 -printf '%f %m\n')" == 'firekeep.yml 644' ]
mapfile -t lines < <(lines_of "$root/docs/security.md" 'to its group. Instead of the last line:')
claim "docs/security.md has lines for the service" [ "${#lines[@]}" == 4 ]
for line in "${lines[@]}"; do
    claim "docs/security.md: ${line:0:100}" run_line "$line"
done
cd "$root" || exit 1
claim "the group of the service can read what it needs" \
    [ "$(cd "$work/etc" && stat -c %a firekeep.yml server.key server.pem prometheus.token | xargs)" == '640 640 640 600' ]
claim "what was in the configuration stays" within 20 answers '"1"' '.data.result[0].value[1]' -u "ops:$password" "$url/api/v1/query?query=up"
claim "an unknown client is refused" is 401 "$url/api/v1/labels"
claim "clear text is refused" [ "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/-/ready")" == 400 ]
claim "the operator sees the process" is 200 -u "ops:$password" "$url/metrics"
claim "the operator reads" is 200 -u "ops:$password" "$url/api/v1/labels"
claim "the operator does not write" is 403 -u "ops:$password" -X POST "$url/api/v1/write"
claim "Prometheus writes" write "$work/one.body" -H "$(bearer prometheus)"
claim "Prometheus reads, and the server's own series" answers '"3"' '.data.result[0].value[1]' -H "$(bearer prometheus)" "$url/api/v1/query?query=count(up)"
claim "Prometheus does not see the process" is 403 -H "$(bearer prometheus)" "$url/metrics"
claim "no secret is in the configuration" eval "! grep -qF -e '$password' -e \"\$(<'$work/etc/prometheus.token')\" '$work/etc/firekeep.yml'"
claim "nor in the log" eval "! grep -qF -e '$password' -e \"\$(<'$work/etc/prometheus.token')\" '$work/server.log'"
claim "it ends with status 0" stop server

# --- tenants ------------------------------------------------------------------------------------------

# A sample that the last line finds, which is run before anything can be written: its server is new.
run_lines docs/tenants.md '## From zero to separate tenants'
cd "$root" || exit 1
umask 022
claim "nobody else can read what was written then" \
    [ -z "$(find "$work/etc" -type f -perm /007 -print -o -type f -perm /070 ! -name server.\* ! -name firekeep.yml -print)" ]
claim "a tenant writes" write "$work/one.body" -H "$(bearer shop)"
claim "it reads its samples" answers '"2"' '.data.result[0].value[1]' -H "$(bearer shop)" "$url/api/v1/query?query=count(up)"
claim "the other tenant has none" answers '[]' .data.result -H "$(bearer bank)" "$url/api/v1/query?query=count(up)"
claim "it may not name the first one" is 403 -H "$(bearer bank)" -H 'X-Scope-OrgID: shop' "$url/api/v1/labels"
claim "nor both" is 403 -H "$(bearer bank)" -H 'X-Scope-OrgID: bank|shop' "$url/api/v1/labels"
claim "the team sees its series" answers '["a"]' .data -H "$(bearer team-a)" "$url/api/v1/label/team/values"
claim "the team does not write" is 403 -H "$(bearer team-a)" -X POST "$url/api/v1/write"
claim "a user of all tenants has to name one" is 401 -H "$(bearer prometheus)" "$url/api/v1/labels"
claim "and may name any" is 200 -H "$(bearer prometheus)" -H 'X-Scope-OrgID: bank' "$url/api/v1/labels"
team_asks() {
    local got
    got=$(cd "$work/etc" && SSL_CERT_FILE=server.pem firekeep query "--url=$url" --http.config.file=team-a.yml --format=json up 2>&1)
    echo "$got"
    [[ $got == *'"team":"a"'* && $got != *'"team":"b"'* ]]
}
claim "the program asks as the team" team_asks
claim "the server ends with status 0" stop server
done_testing
