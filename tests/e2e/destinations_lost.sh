#!/bin/bash
# destinations_lost.sh - samples that a destination has taken are delivered or counted as dropped,
# whatever was done to the log or to its directory while the server was stopped: the log was given
# up while the destination was not configured, restored from an older state, removed; the directory
# is a link to something that is not mounted, or that of another destination; an operator decided to
# begin elsewhere. In both modes, with SIGKILL.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
nobody=http://127.0.0.1:${ports[1]} # nothing listens there
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh

make_load() { # FILE FROM COUNT
    awk -v from="$2" -v count="$3" 'BEGIN {
        for (i = from; i < from + count; i++) {
            printf "load{series=\"%d\",padding=\"%064d\"} %d.5 %.0f\n", i % 100, i % 100, i, 1700000000000 + 60000 * int(i / 100)
            if (i % 1000 == 999) print "---"
        }
    }' | "$TOOLS/rwmake" >"$1"
}
for i in 0 1 2 3; do make_load "$work/$i.rw" $((i * 5000)) 5000; done

destination() { # NAME [MORE]: a file
    printf -- '  - name: %s\n    type: file\n    path: %s\n    roll_age: 1h\n    batch: {max_age: 100ms}\n' "$1" "$work/$it-$1"
    [[ -z ${2-} ]] || printf '    %s\n' "${@:2}"
}

elsewhere() { # NAME: at an address without a listener
    printf -- '  - name: %s\n    type: remote_write\n    url: %s/api/v1/write\n    batch: {max_age: 100ms}\n' "$1" "$nobody"
}

configure() { # LINES
    { echo destinations: && cat; } >"$work/firekeep.yml"
}

serve() {
    start_firekeep "$it" "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" --storage.mode="$mode" \
        --wal.segment-bytes=1MiB --wal.budget=64MiB --web.enable-lifecycle --web.enable-admin-api
}

# A server of its own, in $dir, with the destinations that the commands print.
begin() { # NAME MODE COMMANDS
    it=$1-$2 mode=$2 dir=$work/$1-$2
    mkdir -p "$work/$it-west" "$work/$it-other"
    configure < <(eval "$3")
    claim "$it: starts" serve
    claim "$it: its destinations are open" within 20 all_open
}

takes() { # NUMBER
    is_acknowledged "$work/$1.rw" --retry 60
}

shows() { # DESTINATION TERM=COUNT...: and the equation holds
    local destination=$1 term terms=()
    for term in "${@:2}"; do
        terms+=("samples_${term%=*}" = "${term#*=}")
    done
    sums_are "$destination" "${terms[@]}" && balances "$destination"
}

dropped() { # DESTINATION REASON COUNT
    "$TOOLS/metrics" "$url" "$within_seconds" are "firekeep_destination_samples_dropped_total{destination=\"$1\",reason=\"$2\"" = "$3"
}

has_lines() { # DESTINATION COUNT: so many distinct samples are in its files
    local count
    # SIGKILL leaves half a line in a file that is kept.
    count=$(awk 1 "$work/$it-$1"/* | jq -Rr 'fromjson? | "\(.labels.series) \(.time)"' | sort -u | wc -l)
    echo "$count of $2"
    [[ $count == "$2" ]]
}

logged() { # TEXT
    grep -qF -- "$1" "$work/$it.log" || {
        tail -n 20 "$work/$it.log"
        return 1
    }
}

no_difference() { # checks the store's or a destination's account, which report differences
    quiet_curl "$url/metrics" | grep '^firekeep_ledger_difference' >"$work/differences.txt" &&
        grep -q 'destination="west"' "$work/differences.txt" && ! grep -v ' 0$' "$work/differences.txt"
}

is_sound() {
    stop "$it" && "$firekeep" verify --config.file="$work/firekeep.yml" "$dir"
}

missed_by_verify() { # COUNT
    ! "$firekeep" verify --config.file="$work/firekeep.yml" "$dir" >"$work/verified.txt" 2>&1 &&
        grep -q "destination west: floats: $1 queued items are no longer in the log" "$work/verified.txt" || {
        cat "$work/verified.txt"
        return 1
    }
}

reload() {
    quiet_curl -X POST "$url/-/reload"
}

# --- not configured while the log goes on ---------------------------------------------------------------

begin away none "destination west 'paused: true' ; destination other"
claim "$it: samples are acknowledged" takes 0
claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
configure < <(destination other)
claim "$it: the destination is removed" reload
for i in 1 2; do
    claim "$it: more is acknowledged" takes "$i"
    claim "$it: the other destination has it" within 20 shows other delivered_total=$((5000 + i * 5000))
    claim "$it: SIGTERM ends it" stop "$it"
    claim "$it: starts again" serve
done
configure < <(destination west && destination other)
claim "$it: the destination is configured again" reload
claim "$it: more is acknowledged" takes 3
claim "$it: what the log has is delivered, what it gave up is dropped" within 20 eval \
    'shows west taken_total=20000 queued=0 && (($(samples delivered_total west) + $(samples dropped_total west) == 20000))'
claim "$it: for the reason that the log gave it up" dropped west log_budget $((20000 - $(samples delivered_total west)))
claim "$it: it is said" within 20 logged dropped_as=log_budget
claim "$it: there is no difference" no_difference
claim "$it: the directory is sound" is_sound

# --- the log put back to an older state, or removed -----------------------------------------------------

for mode in none local; do
    begin older "$mode" "destination west 'paused: true'"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
    crash "$it"
    cp -a "$dir/wal" "$work/wal-copy"
    claim "$it: starts again" serve
    claim "$it: more is acknowledged" takes 1
    claim "$it: it waits" within 20 shows west taken_total=10000 queued=10000
    # The store has the samples in a part already.
    [[ $mode == none ]] || claim "$it: it is flushed" quiet_curl -X POST "$url/api/v1/admin/tsdb/flush"
    claim "$it: the last is acknowledged" takes 2
    claim "$it: it waits, too" within 20 shows west taken_total=15000 queued=15000
    crash "$it"
    rm -r "$dir/wal"
    mv "$work/wal-copy" "$dir/wal"
    claim "$it: verify says what is not in the log any more" missed_by_verify 10000
    claim "$it: starts with the older log" serve
    configure < <(destination west)
    claim "$it: the destination goes on" reload
    arrived=5000
    [[ $mode == none ]] || arrived=10000
    claim "$it: log and store deliver what they have, the rest is dropped" within 40 shows west taken_total=15000 delivered_total="$arrived" queued=0
    claim "$it: as damaged" dropped west damaged $((15000 - arrived))
    claim "$it: it is said" within 20 logged 'the log does not match the position of this destination'
    claim "$it: there is no difference" no_difference
    claim "$it: more is acknowledged" takes 3
    claim "$it: it arrives" within 20 shows west taken_total=20000 delivered_total=$((arrived + 5000)) queued=0
    claim "$it: the files have what was delivered" within 20 has_lines west $((arrived + 5000))
    claim "$it: the directory is sound" is_sound

    begin removed "$mode" "destination west 'paused: true'"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
    crash "$it"
    rm "$dir"/wal/*.wal
    claim "$it: starts without a log" serve
    claim "$it: what waited is dropped as damaged" within 20 eval 'shows west taken_total=5000 queued=0 && dropped west damaged 5000'
    configure < <(destination west)
    claim "$it: the destination goes on" reload
    claim "$it: more is acknowledged" takes 1
    claim "$it: it arrives" within 20 shows west taken_total=10000 delivered_total=5000 queued=0
    claim "$it: there is no difference" no_difference
    stop "$it"
done

# --- its directory is elsewhere, or another's -----------------------------------------------------------

for mode in none local; do
    begin link "$mode" "destination west 'paused: true'"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
    crash "$it"
    mv "$dir/relay/west" "$work/mounted"
    ln -s "$work/mount/west" "$dir/relay/west"
    claim "$it: starts" serve
    claim "$it: the destination is closed, and it is said why" within 20 says west 'is a dangling symbolic link'
    claim "$it: more is acknowledged" takes 1
    quiet_curl -X POST "$url/api/v1/admin/tsdb/flush" >/dev/null
    crash "$it"
    mkdir "$work/mount" && mv "$work/mounted" "$work/mount/west"
    configure < <(destination west)
    claim "$it: starts with the volume mounted" serve
    claim "$it: everything arrives" within 30 shows west taken_total=10000 delivered_total=10000 queued=0
    claim "$it: there is no difference" no_difference
    stop "$it"
    rm -r "$work/mount"

    begin swapped "$mode" "destination west ; elsewhere other"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: one has them" within 20 shows west delivered_total=5000
    claim "$it: for the other they wait" within 20 shows other queued=5000
    stop "$it"
    for what in "" /state; do
        mv "$dir/relay/west$what" "$work/west" && mv "$dir/relay/other$what" "$dir/relay/west$what" && mv "$work/west" "$dir/relay/other$what"
        claim "$it: starts with two that are swapped (${what:-directories})" serve
        claim "$it: one is closed" within 20 says west 'relay/west/state belongs to destination other'
        claim "$it: so is the other" within 20 says other 'relay/other/state belongs to destination west'
        crash "$it"
        mv "$dir/relay/west$what" "$work/west" && mv "$dir/relay/other$what" "$dir/relay/west$what" && mv "$work/west" "$dir/relay/other$what"
    done
    claim "$it: starts when they are back" serve
    claim "$it: more is acknowledged" takes 1
    claim "$it: one has it all" within 20 shows west delivered_total=10000 queued=0
    claim "$it: for the other all of it waits" within 20 shows other queued=10000
    stop "$it"
    cp "$dir/relay/west/state" "$dir/relay/other/state"
    claim "$it: starts with a foreign state" serve
    claim "$it: that destination is closed" within 20 says other 'relay/other/state belongs to destination west'
    claim "$it: the operator decides" "$firekeep" destinations reset other --storage.path="$dir" --from=previous
    claim "$it: all of it waits again" within 30 shows other queued=10000
    claim "$it: there is no difference" no_difference
    claim "$it: the directory is sound" is_sound
done

# --- the operator begins elsewhere ----------------------------------------------------------------------

for mode in none local; do
    begin reset "$mode" "destination west 'paused: true'"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
    crash "$it"
    rm "$dir/relay/west/state"
    claim "$it: a time to come is refused" eval '! "$firekeep" destinations reset west --storage.path="$dir" --from=2099-01-01T00:00:00Z 2>"$work/said.txt" && grep -q "is in the future" "$work/said.txt"'
    claim "$it: a later time than that of what waits is not" "$firekeep" destinations reset west --storage.path="$dir" --from=2024-01-01T00:00:00Z
    configure < <(destination west)
    claim "$it: starts" serve
    claim "$it: what waited is dropped by the operator" within 20 eval 'shows west taken_total=5000 queued=0 && dropped west operator 5000'
    claim "$it: more is acknowledged" takes 1
    claim "$it: it arrives" within 20 shows west taken_total=10000 delivered_total=5000 queued=0
    claim "$it: the directory is sound" is_sound

    # A destination that selects less drops queued samples that are not selected any more.
    begin narrowed "$mode" "destination west 'paused: true'"
    claim "$it: samples are acknowledged" takes 0
    claim "$it: they wait" within 20 shows west taken_total=5000 queued=5000
    configure < <(destination west "select: ['{series=\"7\"}']")
    claim "$it: less is selected" reload
    claim "$it: the rest is dropped by the operator" within 20 eval 'shows west taken_total=5000 delivered_total=50 queued=0 && dropped west operator 4950'
    claim "$it: there is no difference" no_difference
    claim "$it: the directory is sound" is_sound
done

done_testing
