#!/bin/bash
# destinations_places.sh - the places where destinations write and keep their state: no destination
# writes into the storage directory, and the server and every tool report the same about the content
# of relay/NAME (a link, a file, nothing, an unreadable directory).

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

# The text of a command and its status.
prints() { # PATTERN STATUS COMMAND...
    local pattern=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "status $status: $output"
    ((status == wanted)) && grep -qe "$pattern" <<<"$output"
}

logs() { # NAME PATTERN: once the process writes it
    within 20 grep -q -e "$2" "$work/$1.log"
}

serve() { # NAME DIR ARGUMENT...
    start_firekeep "$1" "$2" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle \
        --wal.segment-bytes=1MiB --wal.budget=64MiB "${@:3}"
}

verify() {
    "$firekeep" verify "$@"
}

away="{name: away, type: remote_write, url: '$nobody/api/v1/write', batch: {max_age: 50ms}, retry: {max_backoff: 200ms}}"
with() { # FILE DESTINATION...
    local file=$1
    shift
    {
        echo "storage: {path: $dir, mode: $mode}"
        (($# == 0)) || printf '%s\n' destinations: "${@/#/  - }"
    } >"$file"
}
seq 1 5000 | awk '{ printf "up{job=\"x\"} %d %.0f\n", $1, 1700000000000 + 1000 * $1 }' |
    "$TOOLS/rwmake" >"$work/many.rw"

# --- files in the storage directory ---------------------------------------------------------------

mode=none dir=$work/store
with "$work/firekeep.yml" "$away"
claim "inside: starts" serve inside "$dir"
ln -s "$dir/relay" "$work/link"
for path in "$dir" "$dir/wal" "$dir/new/deep" "$dir/relay/away" "$work/link/x" "$work/nothing/../store/wal" "$work/\${tenant}"; do
    text="destination west: path $path .*is inside the storage directory $dir"
    with "$work/firekeep.yml" "{name: west, type: file, path: '$path'}"
    claim "inside: check refuses ${path#"$work"/}" prints "${text/\$/\\$}" 1 "$firekeep" check "$work/firekeep.yml"
    claim "inside: so does a reload" eval '! quiet_curl -X POST "$url/-/reload"'
done
claim "inside: the log says why" logs inside "reload failed.*is inside the storage directory"
crash inside
claim "inside: so does a start" prints "is inside the storage directory" 1 timeout 20 "$firekeep" serve --config.file="$work/firekeep.yml"
with "$work/firekeep.yml" "{name: west, type: file, path: '$work/stores'}"
claim "inside: beside it is fine" "$firekeep" check "$work/firekeep.yml"

# --- links, files, and nothing --------------------------------------------------------------------

dir=$work/links
with "$work/firekeep.yml" "$away"
letters() { # WHAT ARGUMENT...
    "$firekeep" dead-letters "$1" --storage.path="$dir" "${@:2}"
}
claim "links: starts" serve links "$dir"
claim "links: the destination is open" within 20 all_open
claim "links: samples are acknowledged" is_acknowledged "$work/many.rw"
claim "links: they wait" within 20 eval '[[ $(samples queued away) == 5000 ]]'
claim "links: stops" stop links
mv "$dir/relay/away" "$work/elsewhere"
ln -s "$work/elsewhere" "$dir/relay/away"
claim "link: it is served" serve linked "$dir"
claim "link: and opened" within 20 all_open
claim "link: what waited waits" within 20 eval '[[ $(samples queued away) == 5000 ]]'
claim "link: it stops" stop linked
claim "link: verify follows it" prints "(.* 1 destination)" 0 verify --config.file="$work/firekeep.yml" "$dir"
cp "$work/elsewhere/state" "$work/state"
echo x >"$work/elsewhere/state"
claim "link: verify finds what is damaged behind it" prints "^destination away: damaged: .*firekeep destinations reset away --from" 1 verify "$dir"
claim "link: an operator decides" "$firekeep" destinations reset away --from=previous --storage.path="$dir"
echo x >"$work/elsewhere/reset"
claim "link: a damaged decision names the command" prints "^destination away: damaged: .*reset is damaged; reset the destination again: firekeep destinations reset away --from" 1 verify "$dir"
claim "link: the server starts beside it" serve undecided "$dir"
claim "link: so does the server" within 20 says away "reset the destination again: firekeep destinations reset away --from"
crash undecided
rm "$work/elsewhere/reset"
cp "$work/state" "$work/elsewhere/state"
claim "link: dead letters are looked for behind it" prints "no dead letters" 0 letters list

tools_say() { # CASE PATTERN
    claim "$1: verify finds it" prints "^destination away: $2" 1 verify --config.file="$work/firekeep.yml" "$dir"
    claim "$1: dead-letters, too" prints "$2" 1 letters list --destination=away
    claim "$1: destinations reset, too" prints "$2" 1 "$firekeep" destinations reset away --from=now --storage.path="$dir"
    claim "$1: the server starts" serve "${1// /}" "$dir"
    claim "$1: the destination says it" within 20 says away "$2"
    crash "${1// /}"
}
mv "$work/elsewhere" "$work/unmounted"
tools_say "dangling link" ".*relay/away is a dangling symbolic link: restore its target"
claim "dangling link: verify finds it without a configuration" prints "^destination away: .*is a dangling symbolic link" 1 verify "$dir"
claim "dangling link: dead-letters of all finds it" prints "away: .*is a dangling symbolic link" 1 letters list
ln -sfn away "$dir/relay/away"
tools_say "circle" ".*\(list\|stat\|open\) .*relay/away.*: Too many levels of symbolic links"
rm "$dir/relay/away"
echo x >"$dir/relay/away"
tools_say "file" ".*relay/away is a file, expected a directory: restore the directory"
claim "file: of nobody it is left alone" prints "relay/away: unknown, not written by Firekeep" 0 verify "$dir"
rm "$dir/relay/away"
claim "missing: verify says that it begins anew, and is content" prints "^destination away: .*relay/away is missing: it starts as a new destination" 0 verify --config.file="$work/firekeep.yml" "$dir"
claim "missing: a server starts" serve anew "$dir"
claim "missing: and where it begins" logs anew 'level=info .*destination has no saved state, starting as a new one" destination=away begins=now log_position=[1-9][0-9]* from_store=0'
claim "missing: stops" stop anew
rm -r "$dir/relay/away"
rmdir "$dir/relay"
claim "missing: so it does without any" prints "^destination away: .*it starts as a new destination" 0 verify --config.file="$work/firekeep.yml" "$dir"

mv "$work/unmounted" "$work/elsewhere"
ln -s "$work/nothing" "$dir/relay"
for what in "a dangling symbolic link" "a file, expected a directory"; do
    claim "relay/: verify says that it is $what" prints "/relay is $what" 1 verify "$dir"
    claim "relay/: and dead-letters" prints "/relay is $what" 1 letters list
    claim "relay/: and a start" prints "/relay is $what" 1 timeout 20 "$firekeep" serve --config.file="$work/firekeep.yml" --web.listen-address="127.0.0.1:${ports[0]}"
    rm "$dir/relay"
    echo x >"$dir/relay"
done
rm "$dir/relay"
mkdir "$dir/relay"
cp -a "$work/elsewhere" "$dir/relay/away"

# An unreadable state does not keep others from being read.
ln -s early "$dir/relay/early"
cp -a "$dir/relay/away" "$dir/relay/first"
ln -sfn state "$dir/relay/first/state"
echo x >"$dir/relay/away/state"
claim "unreadable: it is told" prints "^destination early: cannot be read: .*Too many levels" 1 verify "$dir"
claim "unreadable: so is a file of another" prints "^destination first: cannot be read: .*Too many levels" 1 verify "$dir"
mkdir "$dir/relay/last"
claim "unreadable: what is damaged before and after it is found" prints "^destination last: damaged: " 1 verify "$dir"

# --- two commands, one after the other -------------------------------------------------------------------------

dir=$work/two
begin_letters() {
    with "$work/firekeep.yml" "{name: table, type: file, path: $work/table, format: csv, batch: {max_age: 50ms}}"
    every_kind | "$TOOLS/rwmake" --version 2 >"$work/bits.rw"
    serve two "$dir" && within 20 all_open && is_acknowledged "$work/bits.rw" && within 20 has_delivered table 13 &&
        stop two
}
claim "two: there are dead letters" begin_letters
claim "two: the first counts three" prints "table *3$" 0 letters drop
claim "two: the second counts what is left" prints "table *0$" 0 letters replay

# --- states that stay, and differ -----------------------------------------------------------------

dir=$work/changed
with "$work/firekeep.yml" "$away"
with "$work/narrow.yml" "${away/, batch/, select: [\'none_of_it\'], batch}"
rule='relabel: [{action: drop, source_labels: [job], regex: x}]'
with "$work/relabeled.yml" "${away/batch/$rule, batch}"
with "$work/dry.yml" "${away/, batch/, dry_run: true, batch}"
with "$work/elsewhere.yml" "${away/api/other}"
reloads() { # FILE
    cp "$work/$1.yml" "$work/firekeep.yml"
    quiet_curl -X POST "$url/-/reload"
}
has_waiting() { # COUNT
    all_open && [[ $(samples queued away) == "$1" ]]
}
cp "$work/firekeep.yml" "$work/begin.yml"
claim "changed: starts" serve changed "$dir"
claim "changed: the destination is open" within 20 all_open
claim "changed: samples are acknowledged" is_acknowledged "$work/many.rw"
claim "changed: they wait" within 20 has_waiting 5000
claim "changed: a reload makes it a dry run" reloads dry
claim "changed: the log says so" logs changed "level=warn .*is now a dry run, queued samples wait.* destination=away queued=5000"
claim "changed: a reload ends that" reloads begin
claim "changed: what was queued waits" within 20 has_waiting 5000
claim "changed: a reload takes it to another place" reloads elsewhere
claim "changed: the log says so, too" logs changed "level=warn .*target of the destination changed.* destination=away queued=5000"
claim "changed: all of it waits still" within 20 has_waiting 5000
claim "changed: a reload selects other series" reloads narrow
claim "changed: the log says how much was queued" logs changed "level=warn .*selection or relabelling of the destination changed.* destination=away queued=5000"
claim "changed: nothing of it is" within 20 has_waiting 0
crash changed

done_testing
