#!/bin/bash
# inspect.sh - the content of a real server's directory is described, while it runs and when it is
# stopped; the figures add up to the files, and to the sent samples; damage is reported and costs
# only the damaged pages.

. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
firekeep=build/firekeep
dir=$work/store

admin() { # PATH
    curl -fsg --noproxy '*' --max-time 60 -o "$work/answer" -X POST "$url/api/v1/admin/tsdb/$1"
}

is_taken() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/some.rw" && "$TOOLS/rwreplay" "$work/some.rw" "$url" --check
}

# A gauge of three series, a counter of forty, every 15 s for ten minutes.
samples() { # BEGIN-MS
    local i s
    for ((i = 0; i < 40; i++)); do
        for s in 1 2 3; do echo "temperature{room=\"$s\"} $((20 + (i * s) % 7)).5 $(($1 + i * 15000))"; done
        for ((s = 0; s < 40; s++)); do echo "requests_total{code=\"$((200 + s))\",job=\"shop\"} $((i * s)) $(($1 + i * 15000))"; done
    done
}

first_part() {
    printf '%s\n' "$dir"/parts/* | head -n 1
}

status_is() { # STATUS COMMAND...: the output is kept in $work/said
    local wanted=$1 status
    shift
    "$@" >"$work/said" 2>&1
    status=$?
    ((status == wanted)) || {
        echo "status $status instead of $wanted"
        cat "$work/said"
        return 1
    }
}

says() { # STATUS TEXT COMMAND...
    local text=$2
    status_is "$1" "${@:3}" || return 1
    grep -qF -- "$text" "$work/said" || {
        echo "says no '$text'"
        cat "$work/said"
        return 1
    }
}

# Prints nothing on stderr, and one JSON object for which the filter is true.
json() { # FILTER PATH...
    local filter=$1
    shift
    "$firekeep" inspect --format json "$@" >"$work/said" 2>"$work/said.err" || {
        cat "$work/said.err"
        return 1
    }
    if [[ -s $work/said.err ]] || ! jq -e "$filter" "$work/said" >"$work/verdict"; then
        cat "$work/said.err" "$work/said"
        return 1
    fi
}

bytes_below() { # PATH: of files, not of links to them
    find "$1" -path "$1/snapshots" -prune -o -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}

adds_up() {
    json ".bytes.total == $(bytes_below "$dir") and
        .bytes.total == (.bytes | .data + .index + .meta + .log + .rules + .small + .others) and
        .bytes.data + .bytes.index == ([.partList[].bytes] | add) and
        .storage.floats == ([.partList[].floats] | add) and
        .storage.floats == ([.partitions[].floats] | add) and
        .storage.floats == ([.ledger[] | select(.kind == \"float\").stored] | add) and
        ([.ledger[].passedOn] | all(. == 0)) and
        .storage.parts == (.partList | length) and .remarks == []" "$dir"
}

# Every part: pages, headers and ends are the file.
parts_add_up() {
    local part
    for part in "$dir"/parts/*; do
        json ".fileBytes == $(stat -c %s "$part/part") and
            .fileBytes == ([.pages[].bytes] | add) and
            ([.pages[] | .headerBytes + .storedBytes] | add) + 128 == .fileBytes and
            .part.floats > 0 and .part.series == 43 and
            .remarks == []" "$part" || return 1
    done
}

segments_add_up() {
    local segment
    for segment in "$dir"/wal/*.wal; do
        json ".segment.fileBytes == $(stat -c %s "$segment") and
            .segment.fileBytes == (.bytes | .header + .records + .damaged + .rest) and
            .bytes.records == ([.records[].bytes] | add) and .bytes.damaged == 0 and
            ([.records[] | select(.type == \"commit\").records] | add // 0) == .commits.count and
            ([.records[] | select(.type == \"floats\").items] | add // 0) == .commits.floats and
            .remarks == []" "$segment" || return 1
    done
}

people_can_read_it() {
    says 0 'Where the bytes are' "$firekeep" inspect "$dir" &&
        grep -q '2023-11-14T22:13:20.000Z' "$work/said" &&
        says 0 'label values' "$firekeep" inspect "$dir/parts/0000000000000001/part" &&
        says 0 'ends                       clean: ' "$firekeep" inspect "$(printf '%s\n' "$dir"/wal/*.wal | tail -n 1)"
}

# Parts are flushed, merged and deleted all the time; nothing of that is damage.
works_while_parts_come_and_go() {
    local i failed=0 looks=0
    (
        for ((i = 0; i < 15; i++)); do
            is_taken "$(samples $((1700200000000 + i * 700000)))" && admin flush && admin 'merge?full=true'
        done
        touch "$work/done"
    ) >"$work/writer" 2>&1 &
    while [[ ! -e $work/done ]]; do
        "$firekeep" inspect "$dir" >"$work/said" 2>&1 || failed=$((failed + 1))
        "$firekeep" inspect "$(printf '%s\n' "$dir"/wal/*.wal | tail -n 1)" >>"$work/said" 2>&1 || failed=$((failed + 1))
        looks=$((looks + 1))
        ((failed == 0)) || break
    done
    wait $!
    ((failed == 0)) || cat "$work/said"
    echo "$looks looks"
    ((failed == 0 && looks > 3))
}

# Flips a byte within the first page of values.
damage_is_told() {
    local part=$dir/parts/$1 size
    cp -r "$dir" "$work/damaged"
    part=$work/damaged/parts/$1/part
    size=$(stat -c %s "$part")
    printf '\377\377\377\377' | dd of="$part" bs=1 seek=120 conv=notrunc status=none
    says 1 'damaged' "$firekeep" inspect "$work/damaged/parts/$1" &&
        grep -qE 'damage +.*page at [0-9]+ is damaged' "$work/said" &&
        grep -q 'label values' "$work/said" && # the rest is still there
        grep -q ' damaged$' "$work/said" || return 1
    head -c $((size - 70)) "$part" >"$work/cut" && cp "$work/cut" "$part"
    says 1 'Pages' "$firekeep" inspect "$part" || return 1
    says 1 "$1" "$firekeep" inspect "$work/damaged" || return 1
    rm -r "$work/damaged/parts/$1"
    says 1 'listed in MANIFEST but missing' "$firekeep" inspect "$work/damaged" &&
        jq -en --slurpfile it <("$firekeep" inspect --format json "$work/damaged" 2>/dev/null) \
            '$it[0].damagedPlaces == 1 and $it[0].remarks[0].kind == "damage"'
}

claim "starts" start_firekeep inspect "$dir" "$port" --web.enable-admin-api || exit 1
claim "takes samples of a month" is_taken "$(samples 1700000000000)"
claim "which become a part" admin flush
claim "takes samples of the next" is_taken "$(samples 1702592000000)"
claim "which become another" admin flush
claim "takes some more" is_taken "$(samples 1700043200000)"
# It prepares log segments by itself: then the sum is of another moment.
claim "a running server's directory adds up to its files" within 20 adds_up
claim "so do its parts" parts_add_up
claim "so does its log" segments_add_up
claim "people can read all of it" people_can_read_it
claim "it works while parts come and go" works_while_parts_come_and_go
claim "deletes" admin 'delete_series?match[]=temperature%7Broom%3D%221%22%7D'
claim "what was deleted is listed" json '.tombstones[0].selector == "{__name__=\"temperature\", room=\"1\"}"' "$dir"
claim "its receipt is listed" json '.receipts[0].state == "not final" and .receipts[0].series == 1' "$dir"
claim "takes a snapshot" admin snapshot
claim "which is a directory to inspect" json '.kind == "directory" and .bytes.log == 0 and .remarks == []' "$dir"/snapshots/*
claim "and is listed" json '.snapshots[0].finished and .snapshots[0].parts == .storage.parts' "$dir"
claim "SIGTERM ends it with status 0" stop inspect
claim "a directory at rest adds up to its files" adds_up
claim "damage is told where it lies, and the rest is explained" damage_is_told "$(basename "$(first_part)")"
done_testing
