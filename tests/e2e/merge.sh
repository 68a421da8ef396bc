#!/bin/bash
# merge.sh - parts become fewer while the server runs, which changes no answer; deletions can be undone,
# and are final later.

. tests/lib.sh
port=$(free_ports 1)
port2=$(free_ports 1)
url=http://127.0.0.1:$port
range=(--start 0 --end 4102444800000)
pieces=12

metric() { # PATTERN
    "$TOOLS/get" "$url/metrics" | sed -n "s/^$1 //p"
}

# Some requests at a time, each time by a process of its own, every third of which is killed.
in_pieces() { # NAME CAPTURE REQUESTS, in a piece
    local piece size=$3 last=() dir=$work/$1
    for ((piece = 0; piece < pieces; piece++)); do
        last=(--first $(((piece + 1) * size)))
        ((piece + 1 < pieces)) || last=()
        start_firekeep "$1" "$dir" "$port" || return 1
        "$TOOLS/rwreplay" "$2" "$url" --check --skip $((piece * size)) "${last[@]}" || return 1
        if ((piece % 3 == 2)); then
            crash "$1"
        else
            stop "$1" || return 1
        fi
    done
}

few_parts() {
    (($(metric firekeep_parts) < 6)) && [[ $(metric firekeep_merge_failures_total) == 0 ]]
}

reads_back() { # CAPTURE
    "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" &&
        "$TOOLS/rrcompare" "$url" "$1" "${range[@]}" --streamed
}

merged() { # NAME CAPTURE REQUESTS
    local name=$1 dir=$work/$1
    claim "$name: is taken in pieces, through crashes" in_pieces "$name" "$2" "$3"
    claim "$name: starts" start_firekeep "$name" "$dir" "$port" || return
    claim "$name: the pieces become less than six parts" within 30 few_parts
    claim "$name: reads back" reads_back "$2"
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: verify finds nothing wrong" build/firekeep verify "$dir"
    claim "$name: starts again" start_firekeep "$name" "$dir" "$port" || return
    claim "$name: reads back after the restart" reads_back "$2"
    stop "$name"
}

# --- on request ---

admin() { # PATH: 200, and the answer in $work/answer
    local status
    status=$(curl -sg --noproxy '*' --max-time 60 -o "$work/answer" -w '%{http_code}' -X POST "$url/api/v1/admin/tsdb/$1")
    [[ $status == "${2:-200}" ]] || {
        echo "status $status: $(cat "$work/answer")"
        return 1
    }
}

flushes_now() { # LINES
    is_taken "$1" && admin flush &&
        jq -e '.status == "success" and .data.before.headSamples > 0 and .data.after.headSamples == 0 and
            .data.after.parts == .data.before.parts + 1 and
            .data.after.partSamples == .data.before.partSamples + .data.before.headSamples and
            .data.after.partExemplars == .data.before.partExemplars + .data.before.headExemplars' "$work/answer" &&
        curl -fs --noproxy '*' "$url/metrics" | grep -q '^firekeep_flush_duration_seconds_count [1-9]' &&
        grep -q 'msg="head flushed"' "$work"/*.log
}

merges_now() {
    admin 'merge?full=true' &&
        jq -e '.data.after.parts == 1 and .data.after.partSamples == .data.before.partSamples' "$work/answer"
}

# A snapshot lacks later samples, and is an ordinary store.
snapshot_serves() {
    local name dir=$work/request
    admin snapshot || return 1
    name=$(jq -r .data.name "$work/answer")
    is_taken 'later 1 1700000009000' || return 1
    build/firekeep verify "$dir/snapshots/$name" || return 1
    start_firekeep copy "$dir/snapshots/$name" "$port2" || return 1
    "$TOOLS/rrcompare" "http://127.0.0.1:$port2" "$work/asked.rw" "${range[@]}" || return 1
    "$TOOLS/rwreplay" "$work/some.rw" "http://127.0.0.1:$port2" --check || return 1
    stop copy && build/firekeep verify "$dir/snapshots/$name" &&
        start_firekeep copy "$dir/snapshots/$name" "$port2" && stop copy
}

storage_adds_up() {
    curl -fs --noproxy '*' "$url/api/v1/status/storage" | jq -es '.[0].data |
        .parts.bytes == .parts.dataBytes + .parts.indexBytes and
        .parts.bytes == ([.partitions[].bytes] | add) and
        .parts.samples == ([.partitions[].samples] | add) and
        .parts.exemplars == ([.partitions[].exemplars] | add) and
        (.partitions | length) == 1 and .log.bytes > 0 and .head.samples == 0'
}

deleted() { # QUERY SERIES SAMPLES
    admin "delete_series?$1" && jq -e ".data | del(.ids) == {\"series\": $2, \"samples\": $3, \"windows\": 0}" "$work/answer"
}

expect_only() { # LINES: both forms
    holds_only "$1" && "$TOOLS/rrcompare" "$url" "$work/only.rw" "${range[@]}" --streamed
}

deletion() {
    local dir=$work/deletion lines left
    lines=$'d{n="1"} 1 1700000001000\nd{n="1"} 2 1700000002000\nd{n="2"} 3 1700000001000\ne 4 1700000001000'
    left=$'d{n="2"} 3 1700000001000\ne 4 1700000001000'
    claim "deletion: starts" start_firekeep deletion "$dir" "$port" --web.enable-admin-api || return
    claim "deletion: there is something" is_taken "$lines"
    claim "deletion: from the head, too" deleted 'match[]=d%7Bn%3D%221%22%7D' 1 2
    claim "deletion: it is gone at once" expect_only "$left"
    local id
    id=$(jq -r '.data.ids[0]' "$work/answer")
    claim "deletion: a merge keeps it until the hold ends" admin 'merge?full=true'
    crash deletion
    start_firekeep deletion "$dir" "$port" --web.enable-admin-api
    claim "deletion: after SIGKILL it is listed" says " held " 0 build/firekeep deletions --url="$url"
    claim "deletion: both samples are hidden, none is gone" says '"hidden":2,"gone":0' 0 build/firekeep deletions --url="$url" --format=json "$id"
    claim "deletion: it can be undone" says undone 0 build/firekeep undelete --url="$url" "$id"
    claim "deletion: then all of it is back" expect_only "$lines"
    claim "deletion: no command undoes it twice" says "status 400" 1 build/firekeep undelete --url="$url" "$id"
    claim "deletion: the samples are deleted again" deleted 'match[]=d%7Bn%3D%221%22%7D' 1 2
    claim "deletion: they are gone again" expect_only "$left"
    claim "deletion: SIGTERM ends it with status 0" stop deletion
    claim "deletion: verify finds nothing wrong" build/firekeep verify "$dir"
    start_firekeep deletion "$dir" "$port" --web.enable-admin-api
    claim "deletion: it is still gone after a restart" expect_only "$left"
    claim "deletion: clean_tombstones" admin clean_tombstones
    claim "deletion: then it is gone from disk" metric_is firekeep_part_samples 2
    claim "deletion: the receipt says so" says '"hidden":0,"gone":2' 0 build/firekeep deletions --url="$url" --format=json 2
    claim "deletion: and nothing else" expect_only "$left"
    crash deletion
    start_firekeep deletion "$dir" "$port"
    claim "deletion: also after SIGKILL" expect_only "$left"
    stop deletion
    claim "deletion: verify finds nothing wrong after all" build/firekeep verify "$dir"
}

metric_is() {
    [[ $(metric "$1") == "$2" ]] || {
        echo "$1 is $(metric "$1")"
        return 1
    }
}

on_request() {
    local dir=$work/request i
    claim "on request: starts" start_firekeep request "$dir" "$port" --web.enable-admin-api || return
    for i in 1 2 3; do
        claim "on request: the head is written out ($i)" flushes_now "asked{n=\"$i\"} $i 170000000${i}000"
    done
    claim "on request: an empty head is no error" admin flush
    claim "on request: all parts become one" merges_now
    claim "on request: status/storage adds up" storage_adds_up
    for i in 1 2 3; do echo "asked{n=\"$i\"} $i 170000000${i}000"; done | "$TOOLS/rwmake" >"$work/asked.rw"
    claim "on request: a snapshot is a store of its own" snapshot_serves
    claim "on request: GET is not allowed" \
        test "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$url/api/v1/admin/tsdb/merge")" == 405
    claim "on request: SIGTERM ends it with status 0" stop request
    claim "on request: verify finds nothing wrong" build/firekeep verify "$dir"
    start_firekeep request "$dir" "$port"
    claim "on request: only with --web.enable-admin-api" admin flush 503
    stop request
}

# --- samples ---

is_taken() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/some.rw" && "$TOOLS/rwreplay" "$work/some.rw" "$url" --check
}

holds_only() { # LINES
    "$TOOLS/rwmake" <<<"$1" >"$work/only.rw" && "$TOOLS/rrcompare" "$url" "$work/only.rw" "${range[@]}"
}

declare -A size=([node15s]=22 [v2hist]=145) # 264 and 1740 requests
for name in node15s v2hist; do
    if [[ -z $SAMPLES || ! -f $SAMPLES/$name.rw ]]; then
        skip "$name" "no captures beside the project"
        continue
    fi
    merged "$name" "$SAMPLES/$name.rw" "${size[$name]}"
done
on_request
deletion
done_testing
