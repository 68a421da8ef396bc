#!/bin/bash
# destinations_state.sh - what a destination has taken is delivered, counted as dropped, or waits,
# whatever is done to its state, its directory, the log or the configuration while the server runs or
# is stopped; and the server, `verify`, `dead-letters` and `destinations reset` tell of it alike.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 4)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
nobody=http://127.0.0.1:${ports[2]}
slow=http://127.0.0.1:${ports[3]}
firekeep=build/firekeep
small=(--wal.segment-bytes=1MiB --wal.budget=64MiB)
none=("${small[@]}" --storage.mode=none)
age=100ms

to() { # NAME URL [MORE]
    echo "{name: $1, type: remote_write, url: '$2/api/v1/write', batch: {max_age: $age}, retry: {min_backoff: 100ms, max_backoff: 200ms}${3:+, $3}}"
}

to_files() { # NAME [MORE]
    echo "{name: $1, type: file, path: $work/$it-$1, roll_age: 1h, batch: {max_age: $age}${2:+, $2}}"
}

# Does not wait for a cut: the log is removed when no destination holds it.
give_up_log() { admin tsdb/flush >/dev/null 2>&1; }
verify() { "$firekeep" verify "$@"; }
with_config() { verify --config.file="$work/firekeep.yml" "$dir"; } # of the directory
reset_to() { "$firekeep" destinations reset "$1" --from="$2" --storage.path="$dir"; } # NAME FROM
letters() { "$firekeep" dead-letters "$1" --storage.path="$dir" "${@:2}"; } # WHAT [ARGUMENT...]
named() { it=$1 dir=$work/$1; } # NAME: a case with a directory of its own
there_comes() { start_firekeep twin "$work/$it-twin" "${ports[1]}"; }
waits() { within 20 shows "$1" queued="$2"; } # NAME COUNT

is_saved() { # ACCOUNT: as the state has it, which is saved each second
    rm -rf "$work/look" && cp -a "$dir" "$work/look" && tells "^destination $1" 0 verify "$work/look"
}

no_difference() { # in any account
    quiet_curl "$url/metrics" | grep '^firekeep_ledger_difference' >"$work/differences.txt" && ! grep -v ' 0$' "$work/differences.txt"
}

is_sound() {
    stop "$it" && with_config
}

for ((i = 0; i < 4; i++)); do make_load "$i" $((i * 5000)) 5000; done
make_load little 20000 100
make_kinds kinds
cat "$work/0.rw" "$work/1.rw" >"$work/both.rw"

# --- a reload changes a destination with a backlog, beside one that is slow to end ---------------------

named reload
accept_writes slow "${ports[3]}" "$work/hang"
configure "$(to twin "$there")" "$(to slow "$slow" 'timeout: 30s')"
# A log without a sample has another id at each start.
starts_again_in_silence() {
    serve "${none[@]}" && stop reload && serve "${none[@]}" && ! grep 'does not match' "$work/reload.log"
}
claim "reload: a restart before the first sample warns of nothing" starts_again_in_silence
takes 0
claim "reload: one has everything" within 20 shows slow delivered=5000 queued=0
touch "$work/hang"
takes little
claim "reload: a call of the first hangs" within 20 sums_are slow samples_queued = 100
claim "reload: for the other all of it waits" waits twin 5100
age=200ms
configure "$(to twin "$there")" "$(to slow "$slow" 'timeout: 30s')"
(while :; do give_up_log && doze 0.05; done) &
trimmer=$!
claim "reload: both destinations get other settings while the log is trimmed" reload
kill "$trimmer"
wait "$trimmer" 2>/dev/null
claim "reload: all of it waits as before" waits twin 5100
age=300ms
configure "$(to twin "$there")" "$(to slow "$slow" 'timeout: 30s')"
(reload) &
sleep 0.2 # not awaited: any moment within the reload is a good one
crash reload
wait $!
claim "reload: starts again after SIGKILL in the midst of a reload" serve "${none[@]}"
claim "reload: all of it waits then, too" waits twin 5100
claim "reload: the other server comes" there_comes
claim "reload: everything arrives" within 60 shows twin delivered=5100 queued=0
cat "$work/0.rw" "$work/little.rw" >"$work/sent.rw"
claim "reload: the other server has the same" equals "$there" "$work/sent.rw"
crash reload
crash slow
stop twin

# --- other settings ----------------------------------------------------------------------------------

named changed
configure "$(to away "$nobody")"
step serve "${none[@]}"
takes 0
claim "changed: they wait" waits away 5000
while IFS='|' read -r name place more said; do
    configure "$(to away "$nobody")"
    step reload
    configure "$(to away "$nobody$place" "$more")"
    step reload
    claim "changed: the log tells of $name" logs "level=warn .*$said.* destination=away queued=5000"
done <<'END'
a dry run||dry_run: true|is now a dry run, queued samples wait
another place|/other||target of the destination changed
another selection||select: [none_of_it]|selection or relabelling of the destination changed
END
claim "changed: what is selected no more is dropped by the operator" within 20 eval 'shows away queued=0 dropped=5000 && dropped away operator 5000'
claim "changed: there is no difference" no_difference
claim "changed: the directory is sound" is_sound

# --- the state is damaged, or gone -------------------------------------------------------------------

# The twin has the first half, and that is saved: each case begins with copies of both.
named spoilt
configure "$(to twin "$there")"
step there_comes
step serve "${none[@]}"
takes 0
step within 60 shows twin delivered=5000
claim "spoilt: half is saved as delivered" within 20 is_saved 'twin: floats: taken 5000 = delivered 5000 '
claim "spoilt: beside a server verify refuses" tells "in use by another process" 1 verify "$dir"
stop twin
ends
claim "spoilt: a readable state is not reset" tells 'is readable' 1 reset_to twin now
state=relay/twin/state
while IFS='|' read -r name spoil mend; do
    named "$name"
    cp -a "$work/spoilt" "$dir"
    cp -a "$work/spoilt-twin" "$work/$name-twin"
    (cd "$dir" && eval "$spoil")
    claim "$name: starts all the same" begins "${none[@]}"
    claim "$name: says that it is closed, and what to do" within 20 is_closed twin 'firekeep destinations reset twin'
    takes 1
    give_up_log
    crash "$name"
    step begins "${none[@]}"
    give_up_log
    claim "$name: the log says how much is kept" logs 'cannot open destination.*log_bytes_kept=[1-9]'
    step there_comes
    step eval "$mend"
    claim "$name: opens again" within 30 all_open
    [[ $name != lost ]] || takes 2
    claim "$name: nothing waits any more" within 60 all_settled twin
    claim "$name: the account is right" balances twin
    if [[ $name == lost ]]; then
        claim "lost: what came from then on arrived" within 60 has_delivered twin 5000
    else
        claim "$name: the other server has all of it" equals "$there" "$work/both.rw"
    fi
    crash "$name"
    stop twin
done <<'END'
damaged|flip $state 40|reset_to twin previous
cut|cp $state ../kept && head -c 10 ../kept >$state|cp "$work/kept" "$dir/$state"
gone|rm $state|reset_to twin oldest
lost|rm $state $state.previous|tells 'choose another --from' 1 reset_to twin previous && reset_to twin now
END

# --- not configured while the log goes on; a log of before; swapped directories ------------------------

begin() { # NAME MODE ENTRY: samples wait for `west`
    named "$1"
    configure "${@:3}"
    step serve "${small[@]}" --storage.mode="$2"
    takes 0
    step waits west 5000
}

it=away # the directory of its files
begin away none "$(to_files west 'paused: true')" "$(to_files other)"
configure "$(to_files other)"
claim "away: the destination is removed" reload
for i in 1 2; do
    takes "$i"
    step within 20 has_delivered other $((5000 + i * 5000))
    step stop away
    step serve "${none[@]}"
done
configure "$(to_files west)" "$(to_files other)"
claim "away: the destination is configured again" reload
takes 3
claim "away: what the log has is delivered, what it gave up is dropped" within 20 eval \
    'shows west taken=20000 queued=0 && (($(samples delivered_total west) + $(samples dropped_total west) == 20000))'
claim "away: for the reason that the log gave it up" dropped west log_budget $((20000 - $(samples delivered_total west)))
claim "away: it is said" logs dropped_as=log_budget
claim "away: there is no difference" no_difference
claim "away: the directory is sound" is_sound

for mode in none local; do
    it=older-$mode
    begin "$it" "$mode" "$(to_files west 'paused: true')"
    crash "$it"
    cp -a "$dir/wal" "$work/wal-copy"
    step serve "${small[@]}" --storage.mode="$mode"
    takes 1
    step waits west 10000
    [[ $mode == none ]] || step admin tsdb/flush # the store has them in a part then
    takes 2
    step waits west 15000
    crash "$it"
    rm -r "$dir/wal"
    mv "$work/wal-copy" "$dir/wal"
    claim "$it: verify says what is not in the log any more" tells "destination west: floats: 10000 queued items are no longer in the log" 1 with_config
    claim "$it: starts with the older log" serve "${small[@]}" --storage.mode="$mode"
    configure "$(to_files west)"
    step reload
    arrived=$([[ $mode == none ]] && echo 5000 || echo 10000)
    claim "$it: log and store deliver what they have, the rest is dropped as damaged" within 40 eval \
        'shows west taken=15000 delivered="$arrived" queued=0 && dropped west damaged $((15000 - arrived))'
    claim "$it: it is said" logs 'the log does not match the position of this destination'
    takes 3
    claim "$it: what comes then arrives" within 20 shows west taken=20000 delivered=$((arrived + 5000)) queued=0
    claim "$it: there is no difference" no_difference
    claim "$it: the directory is sound" is_sound
done

it=swapped
begin swapped none "$(to west "$nobody")" "$(to_files other)"
ends
swap() { # WHAT
    mv "$dir/relay/west$1" "$work/west" && mv "$dir/relay/other$1" "$dir/relay/west$1" && mv "$work/west" "$dir/relay/other$1"
}
for what in "" /state; do
    step swap "$what"
    claim "swapped: starts with two that are swapped (${what:-directories})" begins "${none[@]}"
    claim "swapped: one is closed" within 20 is_closed west 'relay/west/state belongs to destination other'
    claim "swapped: so is the other" within 20 is_closed other 'relay/other/state belongs to destination west'
    crash swapped
    step swap "$what"
done
cp "$dir/relay/other/state" "$dir/relay/west/state"
step begins "${none[@]}"
claim "swapped: with a foreign state a destination is closed" within 20 is_closed west 'relay/west/state belongs to destination other'
claim "swapped: the operator decides" reset_to west previous
claim "swapped: all of it waits again" waits west 5000
claim "swapped: there is no difference" no_difference
crash swapped
rm "$dir/relay/west/state"
claim "reset: a time to come is refused" tells "is in the future" 1 reset_to west 2099-01-01T00:00:00Z
claim "reset: a later time than that of what waits is not" reset_to west 2024-01-01T00:00:00Z
claim "reset: the decision is told" tells "relay/west/reset: the destination resumes from " 1 verify "$dir"
step begins "${none[@]}"
claim "reset: what waited is dropped by the operator" within 20 eval 'shows west queued=0 && dropped west operator 5000'
claim "reset: the directory is sound" is_sound

# --- its directory is a link, a file, or nothing -------------------------------------------------------

it=links
begin links local "$(to west "$nobody")"
ends
mv "$dir/relay/west" "$work/elsewhere"
ln -s "$work/elsewhere" "$dir/relay/west"
claim "link: it is served" serve "${small[@]}"
claim "link: what waited waits" waits west 5000
crash links
claim "link: verify follows it" tells "(.* 1 destination)" 0 with_config
claim "link: dead letters are looked for behind it" tells "no dead letters" 0 letters list
echo x >"$dir/relay/west/reset"
claim "link: a damaged decision names the command" tells "^destination west: damaged: .*reset is damaged; reset the destination again: firekeep destinations reset west --from" 1 verify "$dir"
rm "$dir/relay/west/reset"
tools_say() { # CASE PATTERN
    claim "$1: verify finds it" tells "^destination west: $2" 1 with_config
    claim "$1: dead-letters, too" tells "$2" 1 letters list --destination=west
    claim "$1: destinations reset, too" tells "$2" 1 reset_to west now
    step begins "${small[@]}"
    claim "$1: the destination says it" within 20 has_error west "$2"
    takes little
    crash links
}
mv "$work/elsewhere" "$work/unmounted"
tools_say "dangling link" ".*relay/west is a dangling symbolic link: restore its target"
ln -sfn west "$dir/relay/west"
tools_say "circle" ".*\(list\|stat\|open\) .*relay/west.*: Too many levels of symbolic links"
rm "$dir/relay/west"
echo x >"$dir/relay/west"
tools_say "file" ".*relay/west is a file, expected a directory: restore the directory"
rm "$dir/relay/west"
mv "$work/unmounted" "$dir/relay/west"
configure "$(to_files west)"
claim "link: starts with its directory" serve "${small[@]}"
claim "link: everything arrives" within 30 shows west taken=5100 delivered=5100 queued=0
claim "link: there is no difference" no_difference
ends
mv "$dir/relay" "$work/relay"
claim "missing: verify says that it begins anew, and is content" tells "^destination west: .*relay/west is missing: it starts as a new destination" 0 with_config
ln -s "$work/nothing" "$dir/relay"
for what in "a dangling symbolic link" "a file, expected a directory"; do
    claim "relay/: verify says that it is $what" tells "/relay is $what" 1 verify "$dir"
    claim "relay/: and dead-letters" tells "/relay is $what" 1 letters list
    claim "relay/: and a start" tells "/relay is $what" 1 timeout 20 "$firekeep" serve --storage.path="$dir" --config.file="$work/firekeep.yml" --web.listen-address=127.0.0.1:0
    rm "$dir/relay"
    echo x >"$dir/relay"
done
rm "$dir/relay"
step serve "${small[@]}"
claim "missing: the log says where it begins" logs 'level=info .*destination has no saved state, starting as a new one" destination=west begins=now log_position=[1-9][0-9]* from_store=0'
takes 1
step within 20 has_delivered west 5000
for path in "$dir/relay/west" "$work/nothing/../links/wal" "$work/\${tenant}"; do
    configure "{name: west, type: file, path: '$path'}"
    claim "inside: a reload refuses ${path#"$work"/}" eval '! reload'
done
claim "inside: the log says why" logs "reload failed.*is inside the storage directory"
crash links
sed -i "1i storage: {path: $dir}" "$work/firekeep.yml"
for command in 'check ' 'serve --config.file='; do
    # shellcheck disable=SC2086 # words
    claim "inside: so does ${command%% *}" tells "destination west: path .*is inside the storage directory $dir" 1 timeout 20 "$firekeep" $command$work/firekeep.yml
done
claim "check names what is left of --against" tells "against was removed: POST /api/v1/status/config/check" 2 "$firekeep" check "$work/firekeep.yml" --against "$url"

# --- queued samples of a destination that is removed or renamed ------------------------------------------

# For `old` all samples wait, those without a form are dead letters of `table`, `lines` has all.
awk 'BEGIN {
    for (i = 0; i < 150000; i++) {
        printf "load{series=\"%d\"} %.17g %.0f\n", i % 100, rand(), 1700000000000 + 60000 * int(i / 100)
        if (i % 5000 == 4999) print "---"
    }
}' | "$TOOLS/rwmake" >"$work/load.rw"
cat "$work/kinds.rw" "$work/load.rw" >"$work/all.rw"
for mode in local none; do
    named "removed-$mode"
    as=("${small[@]}" --storage.mode="$mode")
    case $mode in
    local) then='a destination configured under this name continues from there' lost=$then ;;
    none) then='the log is no longer kept for it, queued samples are lost' lost='some queued samples are lost for this destination: they were removed from the log' ;;
    esac
    configure "$(to old "$there")" "$(to_files table 'format: csv')" "$(to_files lines)"
    step serve "${as[@]}"
    takes kinds
    step waits old 15
    step within 20 has_delivered table 13
    configure "$(to_files lines)"
    sed -i "1i storage: {mode: $mode}" "$work/firekeep.yml"
    cp "$work/firekeep.yml" "$work/alone.yml"
    claim "$it: both are removed by a reload" reload
    claim "$it: the log names what waited" logs 'destination removed with a backlog" destination=old queued=16 log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'"'
    claim "$it: and dead letters" logs 'destination removed with a backlog" destination=table queued=0 log_bytes=0 dead_letters=3 '
    ends
    claim "$it: verify says that it is not named" tells "^destination old: not in the configuration" 0 with_config
    : >"$work/$it.log"
    step serve "${as[@]}"
    claim "$it: a start names what waits" \
        logs 'level=warn .*not configured has a backlog.* destination=old queued_at_most=16 .* log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'" to_do=.* directory='"$dir/relay/old"
    claim "$it: and dead letters, too" logs 'level=warn .*not configured has a backlog.* destination=table queued_at_most=0 .* dead_letters=3 '
    step stop "$it"

    # Its directory gets the new name.
    mv "$dir/relay/old" "$dir/relay/new"
    configure "$(to new "$there")" "$(to_files table 'format: csv')" "$(to_files lines)"
    sed -i "1i storage: {mode: $mode}" "$work/firekeep.yml"
    cp "$work/firekeep.yml" "$work/renamed.yml"
    step serve "${as[@]}"
    claim "$it: renamed, all of it waits" waits new 15
    step there_comes
    claim "$it: renamed, everything is delivered" within 20 shows new delivered=15 queued=0
    claim "$it: the other server has the same" equals "$there" "$work/kinds.rw"
    crash twin

    # After the removal the log is dropped.
    takes load
    step waits new 150000
    step within 60 has_delivered lines 150015
    first_segment=$(basename "$(compgen -G "$dir/wal/0*.wal" | sort | tail -n 2 | head -n 1)")
    cp "$work/alone.yml" "$work/firekeep.yml"
    step reload
    step stop "$it"
    step serve "${as[@]}"
    claim "$it: the log goes" within 20 eval 'give_up_log; ! compgen -G "$dir/wal/$first_segment"'
    step stop "$it"
    lost_to_it="^destination new: position .* no store: at most [1-9][0-9]* samples that it has not taken are lost"
    if [[ $mode == local ]]; then
        claim "$it: verify says that the store has it" tells "^destination new: position .*are read from the store" 0 verify "$dir"
    else
        claim "$it: verify says how much is lost" tells "$lost_to_it" 1 verify --config.file="$work/renamed.yml" "$dir"
        claim "$it: where it is not configured, that is no finding" tells "$lost_to_it" 0 with_config
    fi
    step serve "${as[@]}"
    claim "$it: so says the log" logs "destination=new queued_at_most=150000 .* then=\"$lost\""
    cp "$work/renamed.yml" "$work/firekeep.yml"
    claim "$it: it is configured again" reload
    step there_comes
    claim "$it: it has caught up" within 60 all_settled new
    [[ $mode == none ]] || claim "$it: everything arrives" equals "$there" "$work/all.rw"
    crash "$it"
    crash twin
done

# --- what verify finds, and does not change -------------------------------------------------------------

# One that confirms, one that has no form for histograms, one that is not there, one that wants a part,
# whose name ends as a directory does that is being made.
named verify
configure "$(to_files lines)" "$(to_files table 'format: csv')" "$(to away "$nobody")" "$(to some.new "$nobody" 'select: [late]')"
step serve
takes kinds
step within 20 has_delivered lines 15
step within 20 has_delivered table 13
step waits away 15
claim "verify: it is saved" within 20 is_saved 'table: histograms: taken 2 = delivered 0 + dead-lettered 2 '
crash verify
claim "verify: killed, all is well" tells "4 destinations)" 0 verify "$dir"
step serve
ends
claim "verify: stopped, all is well" tells "4 destinations)" 0 verify "$dir"
while IFS='|' read -r name text; do
    claim "verify: $name" tells "destination $text" 0 with_config
done <<'END'
the account|lines: floats: taken 13 = delivered 13 + .*: balanced; 0 queued in the log
histograms are counted in files|table: histograms: taken 2 = delivered 0 + dead-lettered 2 (counted 2) .*: balanced; 0 queued
what waits is counted|away: floats: taken 0 .*: balanced; 13 queued in the log
of histograms, too|away: histograms: taken 0 .*: balanced; 2 queued in the log
only what is selected|some.new: floats: taken 0 .*: balanced; 3 queued in the log
END
claim "verify: it changes nothing" unchanged "$dir" with_config
flip "$dir/relay/table/dead-letters/00000001.ndjson" 20
claim "verify: a changed byte is found, and nothing changed" eval 'unchanged "$dir" tells "^destination table: .*dead-letters/00000001.ndjson" 1 verify "$dir"'
flip "$dir/relay/table/dead-letters/00000001.ndjson" 20
chmod -R a-w "$dir"
read_only() { # COMMAND...
    unshare -rm true 2>/dev/null || { "$@"; return; }
    unshare -rm bash -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1/x" 2>/dev/null && "${@:2}"' - "$dir" "$@"
}
claim "verify: on read-only media all is well" tells "4 destinations)" 0 read_only "$firekeep" verify --config.file="$work/firekeep.yml" "$dir"
chmod -R u+w "$dir"
# An unreadable state does not keep others from being read.
flip "$dir/relay/away/state" 40
ln -s early "$dir/relay/early"
mkdir "$dir/relay/later"
for text in "away: damaged: " "early: cannot be read: .*Too many levels" "later: damaged: "; do
    claim "verify: beside others it finds ${text%%:*}" tells "^destination $text" 1 verify "$dir"
done
configure
claim "verify: a server starts without these" serve
claim "verify: its log names what it cannot read" logs 'level=warn .*cannot read the state of a destination that is not configured" destination=away error=".*state: the file is damaged'
crash verify
rm -r "$dir/relay"
echo x >"$dir/relay"
claim "verify: a server starts without a relay/" serve
claim "verify: its log says so" logs "cannot list the destinations in the storage directory"
crash verify
done_testing
