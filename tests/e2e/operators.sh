#!/bin/bash
# operators.sh - files of the storage directory are removed, replaced or emptied while the server
# runs: nothing acknowledged is lost, and two servers never acknowledge into one directory.

. tests/lib.sh
. tests/wire.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
other=http://127.0.0.1:${ports[1]}
t=1700000000000
acked=0
: >"$work/empty.prom"

serve() { # NAME DIR [ARGUMENT...]
    start_firekeep "$1" "$work/$2" "${ports[0]}" --wal.segment-bytes=1MiB "${@:3}"
}

# A sample of its own for each write; `acked` counts those that were acknowledged.
write_one() { # [URL]
    echo "up{n=\"$acked\"} $acked $((t + acked * 1000))" | "$TOOLS/rwmake" >"$work/one.rw"
    "$TOOLS/rwreplay" "$work/one.rw" "${1-$url}" --check && acked=$((acked + 1))
}

write_some() {
    local i
    for i in 1 2 3 4 5; do
        write_one "$@" || return 1
    done
}

refuses_writes() { # [URL]
    ! write_one "$@" && grep -q '^status 503: 1$' "$work/claim.txt"
}

not_ready() { # PATTERN
    local status
    status=$(curl -s --noproxy '*' --max-time 10 -o "$work/ready.txt" -w '%{http_code}' "$url/-/ready")
    cat "$work/ready.txt"
    [[ $status == 503 ]] && grep -q "$1" "$work/ready.txt"
}

is_ready() {
    [[ $("$TOOLS/get" "$url/-/ready") == 'Firekeep is ready.' ]]
}

logged() { # NAME LEVEL PATTERN
    grep -q "level=$2.*$3" "$work/$1.log" || {
        tail -n 5 "$work/$1.log"
        return 1
    }
}

# Checks that everything acknowledged is stored, and nothing that was not sent.
all_is_there() { # [URL]
    local count
    count=$(build/firekeep query --url="${1-$url}" --time=$((t / 1000 + acked)) \
        "count(last_over_time(up[$((acked + 5))s]))" 2>&1)
    echo "$count; acknowledged: $acked"
    [[ $count =~ (^|[^0-9])$acked($|[^0-9]) ]]
}

is_sound() { # DIR
    build/firekeep verify "$work/$1"
}

restarts_with_all() { # NAME DIR: after a kill
    crash "$1"
    is_sound "$2" && serve "$1" "$2" && all_is_there
}

# --- LOCK and FORMAT ---

lock_removed() {
    acked=0
    claim "LOCK removed: the server starts" serve first locked || return
    claim "LOCK removed: writes are acknowledged" write_some
    rm "$work/locked/LOCK"
    claim "LOCK removed: a second server is refused" refuses_to_start locked
    claim "LOCK removed: the first is not ready, and says what to do" within 20 not_ready 'restart this one'
    claim "LOCK removed: the first acknowledges nothing more" refuses_writes
    claim "LOCK removed: an ERROR names the file" within 20 logged first error 'locked/LOCK was removed'
    claim "LOCK removed: what is stored can be read" all_is_there
    claim "LOCK removed: SIGTERM ends it with status 0" stop first
    claim "LOCK removed: the directory is sound" is_sound locked
    claim "LOCK removed: after a restart nothing is missing" restarted_with_all
    stop first
}

restarted_with_all() {
    serve first locked && all_is_there && write_some && all_is_there
}

refuses_to_start() { # DIR
    local status
    timeout 20 build/firekeep serve --storage.path="$work/$1" \
        --web.listen-address="127.0.0.1:${ports[1]}" >"$work/second.txt" 2>&1
    status=$?
    cat "$work/second.txt"
    ((status == 1)) && grep -q 'in use by another process' "$work/second.txt"
}

# A backup that is unpacked over the directory makes new files of the same content.
both_replaced() {
    acked=0
    claim "both replaced: the server starts" serve first replaced || return
    claim "both replaced: writes are acknowledged" write_some
    local file
    for file in LOCK FORMAT; do
        cp "$work/replaced/$file" "$work/$file"
        mv "$work/$file" "$work/replaced/$file"
    done
    claim "both replaced: the first is not ready" within 20 not_ready 'LOCK or FORMAT'
    claim "both replaced: a second server starts" start_firekeep second "$work/replaced" "${ports[1]}"
    claim "both replaced: it has all" all_is_there "$other"
    claim "both replaced: it acknowledges" write_some "$other"
    claim "both replaced: the first acknowledges nothing" refuses_writes
    claim "both replaced: the first ends with status 0" stop first
    claim "both replaced: the second goes on" write_some "$other"
    claim "both replaced: the second ends with status 0" stop second
    claim "both replaced: the directory is sound" is_sound replaced
    claim "both replaced: nothing is missing" restarts_with_all first replaced
    stop first
}

# --- FORMAT and MANIFEST ---

format_lost() { # NAME COMMAND...
    local name=$1
    acked=0
    claim "FORMAT $name: the server starts" serve "$name" "format-$name" || return
    claim "FORMAT $name: writes are acknowledged" write_some
    (cd "$work/format-$name" && "${@:2}") || echo "not ok FORMAT $name: damage"
    stop "$name"
    claim "FORMAT $name: a start says what to do" refuses_without_format "format-$name"
    build/firekeep import --storage.path="$work/another" "$work/empty.prom" 2>/dev/null
    cp "$work/another/FORMAT" "$work/format-$name/FORMAT"
    claim "FORMAT $name: with a copy it starts, and has all" starts_and_has_all "$name" "format-$name"
    stop "$name"
    claim "FORMAT $name: the directory is sound" is_sound "format-$name"
}

refuses_without_format() { # DIR
    local status
    timeout 20 build/firekeep serve --storage.path="$work/$1" \
        --web.listen-address="127.0.0.1:${ports[1]}" >"$work/second.txt" 2>&1
    status=$?
    cat "$work/second.txt"
    ((status == 1)) && grep -q "$1/FORMAT is .*copy FORMAT from a backup" "$work/second.txt"
}

starts_and_has_all() { # NAME DIR
    serve "$1" "$2" && all_is_there
}

manifest_lost() { # NAME COMMAND...
    local name=$1
    acked=0
    claim "MANIFEST $name: the server starts" serve "$name" "manifest-$name" --web.enable-admin-api || return
    claim "MANIFEST $name: writes are acknowledged" write_some
    claim "MANIFEST $name: they become a part" curl -sf --noproxy '*' -X POST "$url/api/v1/admin/tsdb/flush"
    claim "MANIFEST $name: more are acknowledged" write_some
    (cd "$work/manifest-$name" && "${@:2}") || echo "not ok MANIFEST $name: damage"
    claim "MANIFEST $name: an ERROR names it" within 10 logged "$name" error 'MANIFEST was .* while the server runs'
    claim "MANIFEST $name: writes are acknowledged still" write_some
    claim "MANIFEST $name: after a kill nothing is missing" restarts_with_all "$name" "manifest-$name"
    stop "$name"
}

# --- parts ---

parts_removed() {
    acked=0
    claim "parts removed: the server starts" serve parts parts --web.enable-admin-api || return
    claim "parts removed: writes are acknowledged" write_some
    claim "parts removed: they become a part" curl -sf --noproxy '*' -X POST "$url/api/v1/admin/tsdb/flush"
    cp -r "$work/parts/parts" "$work/parts.copy"
    rm -r "$work"/parts/parts/*
    claim "parts removed: an ERROR names it" within 10 logged parts error 'parts/[0-9a-f]*/part was removed'
    claim "parts removed: a metric counts it" parts_removed_is 1
    claim "parts removed: what was in it can be read" all_is_there
    claim "parts removed: SIGTERM ends it with status 0" stop parts
    cp -r "$work/parts.copy"/* "$work/parts/parts"
    claim "parts removed: when it is put back, nothing is missing" starts_and_has_all parts parts
    claim "parts removed: no metric counts it" parts_removed_is 0
    stop parts
}

parts_removed_is() { # COUNT
    "$TOOLS/get" "$url/metrics" | grep "^firekeep_parts_removed $1\$"
}

# --- the log ---

wal_is_back() { # NAME TIMES
    is_ready && (($(grep -c 'recovered on a new segment' "$work/$1.log") >= $2)) &&
        (($(grep -c 'head flushed' "$work/$1.log") >= $2))
}

log_lost() { # NAME COMMAND...: COMMAND damages the log in the current directory
    local name=log-$1
    acked=0
    claim "$name: the server starts" serve "$name" "$name" || return
    claim "$name: writes are acknowledged" write_some
    (cd "$work/$name" && "${@:2}") || echo "not ok $name: damage"
    claim "$name: it is noticed without a write, and all of memory becomes a part" within 10 wal_is_back "$name" 1
    claim "$name: an ERROR names the file" logged "$name" error 'while the server runs'
    claim "$name: after a kill nothing is missing" restarts_with_all "$name" "$name"
    claim "$name: writes are acknowledged again" write_some
    (cd "$work/$name" && "${@:2}") || echo "not ok $name: damage"
    claim "$name: the write that meets it is repeated" within 10 write_one
    claim "$name: the first one's samples become a part" within 10 wal_is_back "$name" 2
    claim "$name: after another kill nothing is missing" restarts_with_all "$name" "$name"
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: the directory is sound" is_sound "$name"
}

remove_files() {
    rm wal/*.wal
}

parts_removed
lock_removed
both_replaced
format_lost removed rm FORMAT
manifest_lost removed rm MANIFEST
log_lost removed remove_files
done_testing
