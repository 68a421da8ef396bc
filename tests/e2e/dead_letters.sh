#!/bin/bash
# dead_letters.sh - files of dead letters that are cut, changed, removed or copied back: each reader
# reports that and fails, the server names the losses and counts them once, and nothing is sent
# twice without a report.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 1)
url=http://127.0.0.1:${ports[0]}
firekeep=build/firekeep
batches=5 batch=20
all=$((batches * batch))

# Histograms have no form as csv.
use_format() { # FORMAT [MAX_BYTES]
    write_config <<END
destinations:
  - name: east
    type: file
    path: $work/files
    format: $1
    batch: {max_age: 50ms}
    dead_letters: {max_bytes: ${2:-64MiB}}
END
}

start_server() { # DIRECTORY
    counters=$work/counters.${1##*/}
    : >"$work/server.log"
    start_firekeep server "$1" "${ports[0]}" --config.file="$work/firekeep.yml" && within 20 is_open east
}

histograms() { # BATCH
    local i text=''
    for ((i = 0; i < batch; i++)); do
        printf -v text '%s%s\n' "$text" "@histogram latency{batch=\"$1\",n=\"$i\"} $((1700000000000 + 1000 * $1)) kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=9 pos=-2:2,3:1/2,3,2"
    done
    echo "$text"
}

shown() { # DIRECTORY
    "$firekeep" dead-letters show --storage.path="$1" --format=json 2>/dev/null | wc -l
}

has_letters() { # DIRECTORY COUNT
    local count
    count=$(shown "$1")
    echo "$count letters in files"
    [[ $count == "$2" ]]
}

send_batches() { # DIRECTORY FROM COUNT WANTED: each is counted, and so on disk, before the next is sent
    local i before
    before=$(samples dead_lettered_total east)
    for ((i = 0; i < $3; i++)); do
        histograms $(($2 + i)) | "$TOOLS/rwmake" --version 2 >"$work/batch.rw"
        is_acknowledged "$work/batch.rw" || return 1
        within 20 sums_are east samples_dead_lettered_total = $((before + (i + 1) * batch)) || return 1
    done
    within 20 has_letters "$1" $(($4 + $3 * batch))
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

# Checks the current fates of all samples.
account_is() { # TAKEN DELIVERED LETTERS DROPPED QUEUED
    local account
    sums_are east samples_delivered_total = "$2" samples_dropped_total = "$4" samples_queued = "$5" || return 1
    account=$(quiet_curl "$url/api/v1/status/destinations" | jq -r '.data[] | select(.name == "east").samples |
        "taken \(.taken), delivered \(.delivered), letters \(.deadLettered), dropped \([.dropped[]] | add // 0), queued \(.queued), difference \(.difference)"')
    echo "$account"
    [[ $account == "taken $1, delivered $2, letters $3, dropped $4, queued $5, difference 0" ]] &&
        balances east && counters_rise
}

letters_of() { # DIRECTORY [NUMBER]
    echo "$1/relay/east/dead-letters/$(printf %08x "${2:-1}").letters"
}

complains() { # LEVEL PATTERN: the server at work
    grep -e "level=$1" "$work/server.log" | grep -e "$2"
}

is_damaged() { # COUNT
    "$TOOLS/metrics" "$url" "$within_seconds" are 'firekeep_destination_samples_dropped_total{destination="east",reason="damaged"' = "$1"
}

# Checks a stopped directory with damage in it, of which LOST letters of `all` cannot be read.
meets_damage() { # CASE DIRECTORY NAMED [LOST]
    local case=$1 dir=$2 named=$3 lost
    lost=${4:-$((all - $(shown "$dir")))}
    rm -f "$work/counters.${dir##*/}" # from an earlier case
    tree "$dir" >"$work/before"
    claim "$case: list tells and fails" tells "$named" 1 "$firekeep" dead-letters list --storage.path="$dir"
    claim "$case: show tells and fails" tells "$named" 1 "$firekeep" dead-letters show --storage.path="$dir"
    claim "$case: verify tells and fails" tells "east.*$named" 1 "$firekeep" verify "$dir"
    claim "$case: whoever looks changes nothing" eval 'tree "$dir" | diff "$work/before" -'
    cp -a "$dir" "$dir.asked"
    claim "$case: replay tells and fails" tells "$named" 1 "$firekeep" dead-letters replay --storage.path="$dir.asked"
    rm -rf "$dir.asked"
    claim "$case: the server starts" start_server "$dir" || return
    claim "$case: $lost letters are lost, and counted" within 10 account_is "$all" 0 $((all - lost)) "$lost" 0
    claim "$case: as damaged" within 10 is_damaged "$lost"
    if ((lost > 0)); then
        claim "$case: an error names the file" within 20 complains error "$named"
        claim "$case: an error says how many" within 20 complains error "letters=$lost\b"
    else
        claim "$case: a warning names the file" within 20 complains warn "$named"
    fi
    crash server
    claim "$case: it starts again after SIGKILL" start_server "$dir" || return
    claim "$case: they are counted once" within 10 account_is "$all" 0 $((all - lost)) "$lost" 0
    claim "$case: and told once" eval '! grep -e "letters=$lost\b" "$work/server.log"'
    claim "$case: another batch is kept" send_batches "$dir" 50 1 $((all - lost))
    "$firekeep" dead-letters drop --storage.path="$dir" >"$work/drop.txt" 2>&1
    claim "$case: what is left can be dropped" within 10 account_is $((all + batch)) 0 0 $((all + batch)) 0
    stop server
}

make_letters() { # NAME
    start_server "$work/$1" && send_batches "$work/$1" 0 "$batches" 0
}

# --- one file -------------------------------------------------------------------------------------

use_format csv
if claim "letters are made" make_letters one; then
    claim "they are counted" account_is "$all" 0 "$all" 0 0
    claim "SIGTERM ends it with status 0" stop server
    size=$(stat -c %s "$(letters_of "$work/one")")
    claim "nothing is wrong with them" tells "east" 0 "$firekeep" verify "$work/one"
    claim "list is content" "$firekeep" dead-letters list --storage.path="$work/one"
    damage() { # CASE NAMED [LOST] -- COMMAND... with DIR and FILE in it
        local case=$1 named=$2 dir=$work/damaged lost=()
        shift 2
        [[ $1 == -- ]] || { lost=("$1") && shift; }
        shift
        rm -rf "$dir"
        cp -a "$work/one" "$dir"
        eval "${*//FILE/$(letters_of "$dir")}"
        meets_damage "$case" "$dir" "$named" "${lost[@]}"
    }
    damage "first batch" '00000001.letters' -- flip FILE 200
    damage "header" '00000001.letters' -- flip FILE 3
    damage "middle batch" '00000001.letters' -- flip FILE $((size / 2))
    damage "last batch" '00000001.letters' -- flip FILE -10
    damage "cut short" '00000001.letters' -- truncate -s $((size - 700)) FILE
    damage "cut in the first batch" '00000001.letters' -- truncate -s 500 FILE
    damage "empty" '00000001.letters' "$all" -- truncate -s 0 FILE
    damage "removed" '00000001.letters' "$all" -- rm FILE
    damage "directory removed" '00000001.letters' "$all" -- rm -r '$dir/relay/east/dead-letters'
fi

# --- several files --------------------------------------------------------------------------------

use_format csv 1MiB
batch=500 all=$((batches * batch))
if claim "several: letters are made" make_letters several; then
    claim "several: SIGTERM ends it with status 0" stop server
    claim "several: there are some files" test -f "$(letters_of "$work/several" 3)"
    for number in 1 2; do
        rm -rf "$work/damaged"
        cp -a "$work/several" "$work/damaged"
        rm "$(letters_of "$work/damaged" $number)"
        meets_damage "several: file $number removed" "$work/damaged" "$(printf %08x $number).letters"
        rm -rf "$work/damaged"
        cp -a "$work/several" "$work/damaged"
        flip "$(letters_of "$work/damaged" $number)" -5
        meets_damage "several: end of file $number" "$work/damaged" "$(printf %08x $number).letters" 0
        rm -rf "$work/damaged"
        cp -a "$work/several" "$work/damaged"
        flip "$(letters_of "$work/damaged" $number)" -100
        meets_damage "several: last letter of file $number" "$work/damaged" "$(printf %08x $number).letters"
        rm -rf "$work/damaged"
        cp -a "$work/several" "$work/damaged"
        truncate -s -13 "$(letters_of "$work/damaged" $number)"
        meets_damage "several: file $number without its end" "$work/damaged" "$(printf %08x $number).letters" 0
    done
fi

# --- an older copy --------------------------------------------------------------------------------

use_format csv
batch=20 all=$((batches * batch))
if claim "older: letters are made" make_letters older; then
    stop server
    rm -rf "$work/copy"
    cp -a "$work/older/relay/east/dead-letters" "$work/copy"
    use_format ndjson
    claim "older: a replay is asked for" "$firekeep" dead-letters replay --storage.path="$work/older"
    claim "older: starts" start_server "$work/older"
    claim "older: all are delivered" within 20 account_is "$all" "$all" 0 0 0
    claim "older: none is left" within 20 has_letters "$work/older" 0
    stop server
    sent=$(cat "$work"/files/*.ndjson | wc -l)
    rm -rf "$work/older/relay/east/dead-letters"
    cp -a "$work/copy" "$work/older/relay/east/dead-letters"
    claim "older: verify tells and fails" tells "east.*$all .*back" 1 "$firekeep" verify "$work/older"
    claim "older: list tells and fails" tells "$all dead letters that had been removed are back" 1 "$firekeep" dead-letters list --storage.path="$work/older"
    claim "older: starts with the old copy" start_server "$work/older"
    claim "older: letters that were gone are back, and count as taken once more" within 10 account_is $((2 * all)) "$all" "$all" 0 0
    claim "older: an error says so" complains error "back=$all\b"
    claim "older: nothing is sent" [ "$(cat "$work"/files/* | wc -l)" == "$sent" ]
    "$firekeep" dead-letters drop --storage.path="$work/older" >"$work/drop.txt" 2>&1
    claim "older: they can be dropped" within 20 account_is $((2 * all)) "$all" 0 "$all" 0
    stop server
    claim "older: nothing is wrong any more" "$firekeep" verify "$work/older"
fi

# The copy was made when all of them were being replayed, to a destination that is paused.
use_format csv
if claim "replaying: letters are made" make_letters replaying; then
    stop server
    use_format ndjson
    sed -i 's/type: file/&\n    paused: true/' "$work/firekeep.yml"
    claim "replaying: a replay is asked for" "$firekeep" dead-letters replay --storage.path="$work/replaying"
    claim "replaying: starts" start_server "$work/replaying"
    claim "replaying: all are queued" within 20 account_is "$all" 0 0 0 "$all"
    stop server
    rm -rf "$work/copy"
    cp -a "$work/replaying/relay/east/dead-letters" "$work/copy"
    use_format ndjson
    claim "replaying: starts again" start_server "$work/replaying"
    claim "replaying: all are delivered" within 20 account_is "$all" "$all" 0 0 0
    stop server
    sent=$(cat "$work"/files/* | wc -l)
    rm -rf "$work/replaying/relay/east/dead-letters"
    cp -a "$work/copy" "$work/replaying/relay/east/dead-letters"
    claim "replaying: starts with the old copy" start_server "$work/replaying"
    claim "replaying: letters that were gone are back, none is queued" within 10 account_is $((2 * all)) "$all" "$all" 0 0
    claim "replaying: an error says so" complains error "back=$all\b"
    claim "replaying: a warning says that replays are called off" within 10 complains warn "replays canceled.*letters=$all\b"
    claim "replaying: nothing is sent" [ "$(cat "$work"/files/* | wc -l)" == "$sent" ]
    "$firekeep" dead-letters replay --storage.path="$work/replaying" >"$work/replay.txt" 2>&1
    claim "replaying: when somebody wants it again, all are sent once more" within 20 account_is $((2 * all)) $((2 * all)) 0 0 0
    stop server
fi

done_testing
