#!/bin/bash
# dead_letters.sh - what a destination refuses is kept as lines: the account has as many as the files,
# through kills; a running server and a stopped one send them again; and an import reads them.
# relay_letters_test.c has files that are packed, damaged, gone or dropped.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 1)
url=http://127.0.0.1:${ports[0]}
firekeep=build/firekeep
batches=3 batch=20
all=$((batches * batch))

# Histograms have no form as csv.
use_format() { # FORMAT
    configure "{name: east, type: file, path: $work/files, format: $1, batch: {max_age: 50ms}, dead_letters: {max_bytes: 64MiB}}"
}

it=server
start_server() { # DIR
    dir=$1
    counters=$work/counters.${1##*/}
    : >"$work/server.log"
    serve
}

histograms() { # BATCH
    local i text=''
    for ((i = 0; i < batch; i++)); do
        printf -v text '%s%s\n' "$text" "@histogram latency{batch=\"$1\",n=\"$i\"} $((1700000000000 + 1000 * $1)) kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=9 pos=-2:2,3:1/2,3,2"
    done
    echo "$text"
}

has_letters() { # DIRECTORY COUNT
    local count
    count=$("$firekeep" dead-letters show --storage.path="$1" | wc -l)
    echo "$count letters in files"
    [[ $count == "$2" ]]
}

send_batches() { # DIRECTORY FROM COUNT WANTED: each is in a file before the next is sent
    local i
    for ((i = 0; i < $3; i++)); do
        histograms $(($2 + i)) | "$TOOLS/rwmake" --version 2 >"$work/batch.rw"
        is_acknowledged "$work/batch.rw" || return 1
        within 20 has_letters "$1" $(($4 + (i + 1) * batch)) || return 1
    done
}

# The counters of a directory only rise, whatever happens to letters.
counters_rise() {
    quiet_curl "$url/metrics" | awk -v file="$counters" '
        BEGIN { while ((getline line < file) > 0) if (split(line, part, " ") == 2) before[part[1]] = part[2]; close(file) }
        /^firekeep_destination_samples_[a-z_]*_total[{]/ {
            print >file
            if ($2 < before[$1]) { print; less = 1 }
        }
        END { exit less }'
}

account_is() { # TAKEN DELIVERED LETTERS DROPPED: none waits
    local account
    account=$(quiet_curl "$url/api/v1/status/destinations" | jq -r '.data[] | select(.name == "east").samples |
        "\(.taken) \(.delivered) \(.deadLettered) \([.dropped[]] | add // 0), queued \(.queued), difference \(.difference)"')
    echo "$account"
    [[ $account == "$1 $2 $3 $4, queued 0, difference 0" ]] && balances east && counters_rise
}

asked() { # VERB PATTERN ARGUMENT...
    "$firekeep" dead-letters "$1" "${@:3}" | tee "$work/asked.txt"
    grep -q -e "$2" "$work/asked.txt"
}

# --- a running server -----------------------------------------------------------------------------

use_format csv
dir=$work/one
if claim "letters are made" eval 'start_server "$dir" && send_batches "$dir" 0 "$batches" 0'; then
    claim "they are counted" within 10 account_is "$all" 0 "$all" 0
    claim "the server lists them" asked list "east *unrepresentable *$all *0 " --url="$url" --destination=east
    claim "so does its directory" asked list "east *unrepresentable *$all *0 " --storage.path="$dir"
    claim "its directory is its own" tells "ask it with --url" 1 "$firekeep" dead-letters drop --storage.path="$dir"
    claim "a reason is for lists" tells "applies to all dead letters" 2 "$firekeep" dead-letters drop --storage.path="$dir" --reason=unrepresentable
    "$firekeep" dead-letters show --storage.path="$dir" >"$work/lines.ndjson"
    claim "a line has the whole histogram" eval 'jq -se "length == $all and all(.[]; .histogram.count_int == 9 and .state == \"kept\" and .tenant == \"anonymous\")" "$work/lines.ndjson"'
    claim "refused again, they are letters again" asked replay "east *$all$" --url="$url" --destination=east
    claim "as many" within 20 has_letters "$dir" "$all"
    claim "and counted so" within 20 account_is "$all" 0 "$all" 0
    for i in 1 2 3; do
        [[ $i == 2 ]] && "$firekeep" dead-letters replay --url="$url" --destination=east >/dev/null
        histograms $((10 + i)) | "$TOOLS/rwmake" --version 2 >"$work/batch.rw"
        claim "kill $i: acknowledged" is_acknowledged "$work/batch.rw"
        sleep "0.$i"
        crash server
        claim "kill $i: verify finds no fault" "$firekeep" verify "$dir"
        claim "kill $i: starts again" start_server "$dir" || break
        all=$((all + batch))
        claim "kill $i: as many lines as are counted" within 20 eval 'account_is "$all" 0 "$all" 0 && has_letters "$dir" "$all"'
    done
    claim "SIGTERM ends it with status 0" stop server
    claim "verify recounts them" tells "dead-lettered $all (counted $all)" 0 "$firekeep" verify "$dir"
fi

# --- without a server -----------------------------------------------------------------------------

use_format ndjson
claim "stopped: a replay is decided" asked replay "east *$all$" --storage.path="$dir"
claim "stopped: once" asked replay "east *0$" --storage.path="$dir"
claim "stopped: verify finds no fault" "$firekeep" verify "$dir"
claim "stopped: the next start delivers them" eval 'start_server "$dir" && within 20 account_is "$all" "$all" 0 0'
claim "stopped: none is left" within 20 has_letters "$dir" 0
claim "stopped: all arrived" eval '[[ $(cat "$work"/files/* | wc -l) == "$all" ]]'
stop server

# What was refused can be imported elsewhere.
claim "import: a server starts" start_server "$work/elsewhere"
claim "import: reads the lines" "$firekeep" import --url="$url" --format=ndjson "$work/lines.ndjson"
claim "import: they are there" eval '[[ $(quiet_curl -G "$url/api/v1/series" --data-urlencode "match[]=latency" --data-urlencode start=1690000000 | jq ".data | length") == 60 ]]'
crash server

done_testing
