#!/bin/bash
# destinations_hole.sh - a record of the log that cannot be read while a destination waits: with a
# store, the destination gets its samples from the store; without one they are counted.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh

# Requests of 100 samples each, one of each series.
make_load() { # FILE FROM REQUESTS
    awk -v from="$2" -v requests="$3" 'BEGIN {
        for (i = 0; i < 100 * requests; i++) {
            printf "load{series=\"%d\"} %d.%06d %.0f\n", i % 100, i, (i * 7919) % 1000000, 1700000000000 + 60000 * (from + int(i / 100))
            if (i % 100 == 99) print "---"
        }
    }' | "$TOOLS/rwmake" >"$1"
}

# Changes a byte in the records of floats from number FROM on, COUNT of them, of the only segment.
spoil_log() { # DIR FROM COUNT
    /usr/bin/python3 - "$1"/wal/*.wal "$2" "$3" <<'END'
import sys
path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "r+b") as file:
    content = file.read()
    at, floats = 8192, 0
    while at + 16 <= len(content) and content[at + 3] != 0:
        size = int.from_bytes(content[at:at + 3], "little")
        if content[at + 3] == 3:
            if first <= floats < first + count:
                file.seek(at + 20)
                file.write(bytes([content[at + 20] ^ 8]))
            floats += 1
        at += 16 + (size + 7) // 8 * 8
    if floats < first + count:
        sys.exit("only %d records of floats" % floats)
END
}

write_config <<END
destinations:
  - name: twin
    type: remote_write
    url: $there/api/v1/write
    batch: {max_age: 100ms}
    retry: {min_backoff: 100ms, max_backoff: 200ms}
END
serve() { # NAME ARGUMENT...
    start_firekeep "$1" "$work/$1" "${ports[0]}" --config.file="$work/firekeep.yml" "${@:2}"
}

waits() { # COUNT
    echo "queued $(samples queued twin)"
    [[ $(samples queued twin) == "$1" ]]
}

is_accounted() { # DELIVERED DAMAGED
    local delivered dropped difference
    delivered=$(samples delivered_total twin)
    dropped=$(samples dropped_total twin)
    difference=$(metric firekeep_ledger_difference twin)
    echo "taken $(samples taken_total twin), delivered $delivered, dropped $dropped, difference $difference"
    [[ $delivered == "$1" && $dropped == "$2" && $difference == 0 ]] && balances twin
}

make_load "$work/first.rw" 0 40
make_load "$work/more.rw" 40 1
cat "$work/first.rw" "$work/more.rw" >"$work/all.rw"

# --- without a store ---------------------------------------------------------------------------------

claim "none: starts" serve none --storage.mode=none
claim "none: 4000 samples are acknowledged" is_acknowledged "$work/first.rw"
claim "none: all of them wait" within 20 waits 4000
crash none
claim "none: one record of the log is spoilt" spoil_log "$work/none" 19 1
claim "none: starts again" serve none --storage.mode=none
claim "none: the other server comes" start_firekeep twin "$work/none-twin" "${ports[1]}"
claim "none: the others arrive, and 100 are counted as damaged" within 30 is_accounted 3900 100
claim "none: the log says how many are lost" grep -q 'is damaged or missing, its samples are lost for this destination.*items=100.*dropped_as=damaged' "$work/none.log"
crash none
claim "none: after SIGKILL it starts again" serve none --storage.mode=none
claim "none: more is acknowledged" is_acknowledged "$work/more.rw"
claim "none: and they were counted once" within 30 is_accounted 4000 100
claim "none: SIGTERM ends it with status 0" stop none
stop twin

# --- with a store that has the samples ---------------------------------------------------------------

claim "local: starts" serve local --web.enable-admin-api
claim "local: nothing is read of the log" within 20 quiet_curl -X POST "$url/api/v1/admin/destinations/twin/pause"
claim "local: 4000 samples are acknowledged" is_acknowledged "$work/first.rw"
claim "local: all of them wait" within 20 waits 4000
claim "local: three records of the log are spoilt" spoil_log "$work/local" 10 3
claim "local: the other server comes" start_firekeep twin "$work/local-twin" "${ports[1]}"
claim "local: more is acknowledged" is_acknowledged "$work/more.rw"
claim "local: reading goes on" quiet_curl -X POST "$url/api/v1/admin/destinations/twin/resume"
claim "local: everything arrives, and nothing is dropped" within 60 is_accounted 4100 0
claim "local: the other server has the same" equals "$there" "$work/all.rw"
claim "local: the store was read for it" grep -q 'part of the log is damaged, reading it from the store instead' "$work/local.log"
claim "local: SIGTERM ends it with status 0" stop local
stop twin

# --- with a store that was opened on the damaged log -------------------------------------------------

claim "both: starts" serve both
claim "both: 4000 samples are acknowledged" is_acknowledged "$work/first.rw"
claim "both: all of them wait" within 20 waits 4000
crash both
claim "both: two records of the log are spoilt" spoil_log "$work/both" 30 2
claim "both: starts again" serve both
claim "both: the other server comes" start_firekeep twin "$work/both-twin" "${ports[1]}"
claim "both: more is acknowledged" is_acknowledged "$work/more.rw"
claim "both: what is left arrives, and 200 are counted as damaged" within 60 is_accounted 3900 200
claim "both: SIGTERM ends it with status 0" stop both
claim "both: the ledger balances, and says what is damaged" "$firekeep" verify "$work/both"
stop twin

# --- the newest file of the log is lost, and the store has its samples -------------------------------

many_values() { # enough for two segments
    awk 'BEGIN {
        srand(11)
        for (i = 0; i < 130000; i++) {
            printf "load{series=\"%d\"} %.15f %.0f\n", i % 100, rand() * 1000, 1700000000000 + 60000 * int(i / 100)
            if (i % 1000 == 999) print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/many.rw"
}

empty_newest() { # DIR
    local files=("$1"/wal/*.wal)
    ((${#files[@]} > 1)) && : >"${files[-1]}"
}

nothing_is_damaged() {
    "$firekeep" verify "$work/emptied" | tee /dev/stderr | grep -q 'float: received 130100 = stored 130100 .* damaged 0 '
}

many_values
claim "emptied: starts" serve emptied --wal.segment-bytes=1MiB --web.enable-admin-api
claim "emptied: 130000 samples are acknowledged" is_acknowledged "$work/many.rw"
claim "emptied: all of them wait" within 20 waits 130000
claim "emptied: they are stored" quiet_curl -o "$work/flushed" -X POST "$url/api/v1/admin/tsdb/flush"
crash emptied
claim "emptied: the newest file of the log is emptied" empty_newest "$work/emptied"
claim "emptied: starts again" serve emptied --wal.segment-bytes=1MiB
claim "emptied: the other server comes" start_firekeep twin "$work/emptied-twin" "${ports[1]}"
make_load "$work/late.rw" 3000 1
claim "emptied: more is acknowledged" is_acknowledged "$work/late.rw"
claim "emptied: everything arrives, and nothing is dropped" within 60 is_accounted 130100 0
claim "emptied: SIGTERM ends it with status 0" stop emptied
claim "emptied: the store's account says that nothing is damaged" nothing_is_damaged
stop twin
done_testing
