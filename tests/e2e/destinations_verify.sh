#!/bin/bash
# destinations_verify.sh - `firekeep verify` reads the whole state of destinations: it finds no
# fault after a stop or a kill, finds each changed byte, names the fault, counts queued samples, and
# writes nothing.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
nobody=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep

# One that confirms, one that has no form for histograms, one that is not there, one that wants a part.
write_config <<END
destinations:
  - {name: lines, type: file, path: $work/lines, batch: {max_age: 50ms}}
  - {name: table, type: file, path: $work/table, format: csv, batch: {max_age: 50ms}}
  - {name: away, type: remote_write, url: $nobody/api/v1/write, batch: {max_age: 50ms}}
  - {name: some, type: remote_write, url: $nobody/api/v1/write, select: ['late'], batch: {max_age: 50ms}}
END
every_kind | "$TOOLS/rwmake" --version 2 >"$work/bits.rw"
claim "fresh: starts" start_firekeep fresh "$work/fresh" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "fresh: destinations are open" within 20 all_open
claim "fresh: stops" stop fresh
claim "fresh: all is well" tells "4 destinations)" 0 "$firekeep" verify "--config.file=$work/firekeep.yml" "$work/fresh"
claim "starts" start_firekeep server "$work/store" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "destinations are open" within 20 all_open
claim "samples are acknowledged" is_acknowledged "$work/bits.rw"
claim "lines: all are confirmed" within 20 has_delivered lines 15
claim "table: what has a form is confirmed" within 20 has_delivered table 13
claim "away: it is known what waits" within 20 sums_are away samples_queued = 15
is_saved() { # until then settled items are not in the state
    cp -a "$work/store" "$work/look"
    tells 'destination table: histograms: taken 2 = delivered 0 + dead-lettered 2 ' 0 "$firekeep" verify "$work/look"
    local status=$?
    rm -rf "$work/look"
    return $status
}
claim "it is saved" within 20 is_saved
crash server

claim "killed: all is well" tells "4 destinations)" 0 "$firekeep" verify "$work/store"
cp -a "$work/store" "$work/stopped"
claim "starts again" start_firekeep server "$work/stopped" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "destinations are open again" within 20 all_open
claim "beside a server it refuses" tells "in use by another process" 1 "$firekeep" verify "$work/stopped"
claim "SIGTERM ends it with status 0" stop server
claim "stopped: all is well" tells "4 destinations)" 0 "$firekeep" verify "$work/stopped"

with_config=("$firekeep" verify "--config.file=$work/firekeep.yml" "$work/stopped")
claim "lines: the account" tells "destination lines: floats: taken 13 = delivered 13 + .*: balanced; 0 queued in the log" 0 "${with_config[@]}"
claim "table: histograms are counted in files" tells "destination table: histograms: taken 2 = delivered 0 + dead-lettered 2 (counted 2) .*: balanced; 0 queued" 0 "${with_config[@]}"
claim "away: what waits is counted" tells "destination away: floats: taken 0 .*: balanced; 13 queued in the log" 0 "${with_config[@]}"
claim "away: of histograms, too" tells "destination away: histograms: taken 0 .*: balanced; 2 queued in the log" 0 "${with_config[@]}"
claim "some: only what is selected" tells "destination some: floats: taken 0 .*: balanced; 3 queued in the log" 0 "${with_config[@]}"
claim "a configuration that is none is an error" tells "no.yml" 1 "$firekeep" verify "--config.file=$work/no.yml" "$work/stopped"
claim "it changes nothing" unchanged "$work/stopped" "${with_config[@]}"

# --- each file ------------------------------------------------------------------------------------

each_byte_is_found() { # FILE (below relay/): at its start, its end, and between
    local at size dir=$work/damaged
    size=$(stat -c %s "$work/stopped/relay/$1")
    rm -rf "$dir"
    cp -a "$work/stopped" "$dir"
    for at in 0 9 20 $((size / 2)) -1; do
        flip "$dir/relay/$1" "$at"
        tree "$dir" >"$work/flipped"
        tells "^destination ${1%%/*}: .*relay/$1" 1 "$firekeep" verify "$dir" || return 1
        tree "$dir" | diff "$work/flipped" - || return 1
        flip "$dir/relay/$1" "$at"
    done
}
for file in lines/state lines/state.previous away/state table/state table/dead-letters/00000001.ndjson; do
    claim "a changed byte is found: $file" each_byte_is_found "$file"
done

rm -rf "$work/damaged"
cp -a "$work/stopped" "$work/damaged"
flip "$work/damaged/relay/lines/state" 30
claim "a state that is damaged: it is said what to do" tells "destination lines: damaged: .*firekeep destinations reset" 1 "$firekeep" verify "$work/damaged"
claim "an operator decides" "$firekeep" destinations reset lines --from=previous --storage.path="$work/damaged"
claim "the decision is told" tells "relay/lines/reset: the destination resumes from previous" 1 "$firekeep" verify "$work/damaged"
flip "$work/damaged/relay/lines/reset" 20
claim "a changed byte of it is found" tells "damaged: .*relay/lines/reset" 1 "$firekeep" verify "$work/damaged"

cp -a "$work/stopped" "$work/strays"
echo x >"$work/strays/relay/lines/notes.txt"
echo x >"$work/strays/relay/table/dead-letters/letters.tmp"
mkdir "$work/strays/relay/.north.new"
claim "a file of nobody is named" tells "relay/lines/notes.txt: unknown" 0 "$firekeep" verify "$work/strays"
claim "one that was never finished is harmless" tells "letters.tmp: unfinished file of an interrupted write, harmless" 0 "$firekeep" verify "$work/strays"
claim "so is a directory" tells "relay/.north.new: a destination that was being created, harmless" 0 "$firekeep" verify "$work/strays"
rm "$work/strays/relay/lines/state"
claim "a state that is missing is found" tells "damaged: .*relay/lines/state is missing" 1 "$firekeep" verify "$work/strays"

# The log is another server's: positions do not belong to it.
claim "other: starts" start_firekeep other "$work/other" "${ports[0]}"
cp -a "$work/other" "$work/empty"
cp -a "$work/stopped/relay" "$work/empty/relay"
claim "empty: that there is no log is found" tells "destination lines: .*taken from a log that is missing" 1 "$firekeep" verify "$work/empty"
echo 'up 1 1700000000000' | "$TOOLS/rwmake" >"$work/one.rw"
claim "other: a sample is acknowledged" is_acknowledged "$work/one.rw"
claim "other: stops" stop other
cp -a "$work/stopped/relay" "$work/other/relay"
claim "other: a position behind the end of the log is found" tells "destination lines: .*is after the end of the log" 1 "$firekeep" verify "$work/other"

# --- media that cannot be written -----------------------------------------------------------------

chmod -R a-w "$work/stopped"
if unshare -rm true 2>/dev/null; then
    read_only() { # COMMAND...
        unshare -rm bash -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
            ! touch "$1/x" 2>/dev/null && "${@:2}"' - "$work/stopped" "$@"
    }
else
    read_only() {
        "$@"
    }
fi
claim "read-only media: all is well" tells "4 destinations)" 0 read_only "${with_config[@]}"
chmod -R u+w "$work/stopped"

done_testing
