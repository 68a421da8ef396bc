#!/bin/bash
# destinations_against.sh - queued samples when the configuration removes a destination, renames it,
# or changes its type: `firekeep check FILE --against` predicts their fate, and is right, for a
# reload and a restart, with a store and without.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 4)
url=http://127.0.0.1:${ports[0]}
there=http://127.0.0.1:${ports[1]}
nobody=http://127.0.0.1:${ports[2]}
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh

reload() {
    quiet_curl -X POST "$url/-/reload"
}

# Numbered samples of one series.
make_samples() { # FILE FIRST LAST
    seq "$2" "$3" | awk '{ printf "up{job=\"x\"} %d %.0f\n", $1, 1700000000000 + 1000 * $1 }' |
        "$TOOLS/rwmake" >"$1"
}

# --- another type -------------------------------------------------------------------------------------

# Accepts only 1.0: a sender of 2.0 learns that, and remembers it.
start older /usr/bin/python3 -c "
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(415 if 'v2' in self.headers['Content-Type'] else 204)
        self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('127.0.0.1', ${ports[1]}), Answer).serve_forever()"

write_config <<END
destinations:
  - {name: west, type: remote_write, protobuf_message: auto, url: '$there/', batch: {max_age: 50ms}}
END
make_samples "$work/first.rw" 1 10
make_samples "$work/second.rw" 11 20
claim "type: starts" start_firekeep type "$work/type" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "type: the destination is open" within 20 all_open
claim "type: samples are acknowledged" is_acknowledged "$work/first.rw"
claim "type: they are delivered" within 20 has_delivered west 10
claim "type: SIGTERM ends it with status 0" stop type
crash older
claim "type: starts again" start_firekeep type "$work/type" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "type: the destination is open again" within 20 all_open
claim "type: others are acknowledged" is_acknowledged "$work/second.rw"
claim "type: they wait" within 20 sums_are west samples_queued = 10
write_config <<END
destinations:
  - {name: west, type: file, path: $work/west, batch: {max_age: 50ms}}
END
claim "type: it becomes one of files by a reload" reload
claim "type: that opens with what another type remembers" within 20 all_open
claim "type: it is given what waited" within 20 has_delivered west 20
claim "type: the account is right" balances west
claim "type: SIGTERM ends it then" stop type
claim "type: the file has what waited, and nothing of before" eval '[[ $(cat "$work"/west/*.ndjson | grep -o "\"value\":[0-9]*" | sort -u | wc -l) == 10 ]]'

# --- predictions and results --------------------------------------------------------------------------

logs() { # NAME PATTERN: once the process writes it
    within 20 grep -q -e "$2" "$work/$1.log"
}

# All samples for `old` are queued, those without a form are dead letters of `table`, `lines` has
# all.
begin_config() {
    write_config <<END
storage: {mode: $mode}
destinations:
  - {name: old, type: remote_write, url: '$there/api/v1/write', batch: {max_age: 50ms}, retry: {max_backoff: 200ms}}
  - {name: table, type: file, path: $work/$mode-table, format: csv, batch: {max_age: 50ms}}
  - {name: lines, type: file, path: $work/$mode-lines, batch: {max_age: 50ms}}
END
}

other_config() { # FILE DESTINATION...: beside `lines`
    local file=$1
    shift
    {
        echo "storage: {mode: $mode}"
        echo "destinations:"
        echo "  - {name: lines, type: file, path: $work/$mode-lines, batch: {max_age: 50ms}}"
        (($# == 0)) || printf "  - {%s}\n" "$@"
    } >"$file"
}
new="name: new, type: remote_write, url: '$there/api/v1/write', batch: {max_age: 50ms}, retry: {max_backoff: 200ms}"
old=${new/name: new/name: old}
table() {
    echo "name: table, type: file, path: $work/$mode-table, format: csv, batch: {max_age: 50ms}"
}

serve() {
    start_firekeep "$mode" "$work/$mode" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle --web.enable-admin-api \
        --wal.segment-bytes=1MiB --wal.budget=64MiB && within 20 all_open
}

# Waits a second for the states to be saved: then the directory is up to date.
waits() { # DESTINATION SAMPLES
    within 20 sums_are "$1" samples_queued = "$2"
}
is_saved() { # the letters of `table` are in its state
    within 20 eval '"$firekeep" check "$work/alone.yml" --against "$work/$mode" | tee "$work/look.txt" | grep -q "table: .* 0 samples queued, .* 3 dead letters"'
}

against() { # FILE DIR|URL
    "$firekeep" check "$work/$1" --against "$2"
}

# Checking against the server's address and against its directory gives the same.
alike() { # FILE STATUS PATTERN
    local by_url by_dir
    against "$1" "$url" >"$work/by-url.txt" 2>&1
    by_url=$?
    against "$1" "$dir" >"$work/by-dir.txt" 2>&1
    by_dir=$?
    echo "status $by_url:"
    cat "$work/by-url.txt"
    diff "$work/by-url.txt" "$work/by-dir.txt" && ((by_url == $2 && by_dir == $2)) && grep -qe "$3" "$work/by-url.txt"
}

remembers() { # EXPRESSION: what the server reports about states without a configuration
    quiet_curl "$url/api/v1/status/remembered" >"$work/remembered.json" && jq -e ".data | $1" "$work/remembered.json"
}

# Changes relay/ of a server that has only `lines`, and restores it.
remembered() {
    local relay=$dir/relay closed='when configured again, it stays closed until firekeep destinations reset sets its position'
    local blocked='when configured again, it stays closed until this can be read'
    claim "$mode, remembered: the page names both" remembers '([.[].name] == ["old", "table"]) and all(.[]; .configured == false and .condition == "resting")'
    claim "$mode, remembered: what is queued is told, and what becomes of it" \
        alike alone.yml 3 "^destination old: not in the file: at most 15 samples and 1 exemplars or metadata entries queued, [1-9][0-9]* bytes of log, 0 dead letters; consequence: $then$"
    claim "$mode, remembered: so are dead letters" alike alone.yml 3 "^destination table: not in the file: 0 samples queued, .* 3 dead letters; consequence: $then$"
    claim "$mode, remembered: of a new name it is told how to keep all" alike renamed.yml 3 "^destination old: new is new and writes to the same target; .* mv $dir/relay/old $dir/relay/new,"
    claim "$mode, remembered: the same file again changes nothing" alike begin.yml 0 "no destination is added, removed or changed"
    claim "$mode, remembered: another address is told" alike moved.yml 0 "^destination old: writes to another target: continues at its current position"
    claim "$mode, remembered: another type is told" alike moved.yml 0 "^destination table: becomes opentsdb, was file: continues at its current position"
    claim "$mode, remembered: a new one is new" alike late.yml 0 "^destination from: new, starts with the oldest sample in [a-z ]*$"

    cp -a "$relay/table" "$work/table-copy"
    rm -r "$relay/table" && cp -a "$work/table-copy" "$relay/table"
    flip "$relay/table/dead-letters/00000001.ndjson" 40
    claim "$mode, remembered: letters that cannot be read are named" alike alone.yml 3 "^destination table: .* dead letters (.*00000001.ndjson"
    rm -r "$relay/table" && mv "$work/table-copy" "$relay/table"

    mv "$relay/old" "$work/old-copy"
    claim "$mode, remembered: of one that is gone nothing is told" eval 'alike alone.yml 3 "^destination table: " && ! alike alone.yml 3 "destination old"'
    ln -s "$work/old-copy" "$relay/old"
    claim "$mode, remembered: a link is followed" alike alone.yml 3 "^destination old: not in the file: at most 15 samples"
    ln -sfn "$work/nothing" "$relay/old"
    claim "$mode, remembered: one that leads nowhere is told" alike alone.yml 3 "^destination old: not in the file: an unknown number .*is a dangling symbolic link.*; consequence: $blocked$"
    claim "$mode, remembered: and what it means to who is called so" alike begin.yml 3 "^destination old: stays closed until this is fixed: .*is a dangling symbolic link"
    rm "$relay/old"
    echo x >"$relay/old"
    claim "$mode, remembered: a file is no destination" eval 'alike alone.yml 3 "^destination table: " && ! alike alone.yml 3 "destination old"'
    claim "$mode, remembered: who is called so stays closed" alike begin.yml 3 "^destination old: stays closed until this is fixed: .*relay/old is a file, expected a directory"
    rm "$relay/old"
    cp -a "$work/old-copy" "$relay/old"
    flip "$relay/old/state" 40
    claim "$mode, remembered: a damaged state is told" alike alone.yml 3 "^destination old: not in the file: an unknown number of samples queued, 0 dead letters (.*relay/old/state: the file is damaged.*; consequence: $closed$"
    claim "$mode, remembered: a new one may be its new name" alike renamed.yml 3 "^destination old: new is new and may be its new name; "
    rm "$relay/old/state"
    claim "$mode, remembered: a missing one, too" alike alone.yml 3 "^destination old: not in the file: an unknown number of samples queued, 0 dead letters (.*relay/old/state is missing.*; consequence: $closed$"
    rm -r "$relay/old" && mv "$work/old-copy" "$relay/old"
    claim "$mode, remembered: all of it is there again" alike alone.yml 3 "^destination old: not in the file: at most 15 samples"
}

# A server that has `old` and `table` configured, and neither open.
closed() {
    local relay=$dir/relay closed='when configured again, it stays closed until firekeep destinations reset sets its position'
    claim "$mode, closed: the page says so" within 20 remembers 'all(.[]; .configured and .condition == "closed") and ([.[].name] == ["old", "table"])'
    claim "$mode, closed: of a damaged state all is told" \
        alike alone.yml 3 "^destination old: not in the file: an unknown number of samples queued, 0 dead letters (.*relay/old/state: the file is damaged.*; consequence: $closed$"
    claim "$mode, closed: of a missing one, too, and letters are counted" \
        alike alone.yml 3 "^destination table: not in the file: an unknown number of samples queued, 3 dead letters (.*relay/table/state is missing.*; consequence: $closed$"
    claim "$mode, closed: who stays is not told" alike begin.yml 0 "no destination is added, removed or changed"
    claim "$mode, closed: the server knows what place it was" tells "^destination old: new is new and writes to the same target; " 3 against renamed.yml "$url"
    mv "$relay/old" "$work/old-copy"
    ln -s "$work/nothing" "$relay/old"
    claim "$mode, closed: a link that leads nowhere is told" alike begin.yml 3 "^destination old: stays closed until this is fixed: .*is a dangling symbolic link"
    rm "$relay/old"
    mv "$work/old-copy" "$relay/old"
}

# Does not wait for a cut: the log is removed when no destination holds it.
log_is_gone() {
    quiet_curl --max-time 60 -X POST "$url/api/v1/admin/tsdb/flush" >/dev/null
    ! compgen -G "$dir/wal/$first_segment"
}

# Samples of 100 series, in many segments.
awk 'BEGIN {
    for (i = 0; i < 150000; i++) {
        printf "load{series=\"%d\"} %.17g %.0f\n", i % 100, rand(), 1700000000000 + 60000 * int(i / 100)
        if (i % 5000 == 4999) print "---"
    }
}' | "$TOOLS/rwmake" >"$work/load.rw"
every_kind | "$TOOLS/rwmake" --version 2 >"$work/bits.rw"
cat "$work/bits.rw" "$work/load.rw" >"$work/all.rw"
for mode in local none; do
    dir=$work/$mode
    case $mode in
    local) then='a destination configured under this name continues from there' ;;
    none) then='the log is no longer kept for it, queued samples are lost' ;;
    esac
    begin_config
    cp "$work/firekeep.yml" "$work/begin.yml"
    other_config "$work/alone.yml"
    other_config "$work/renamed.yml" "$new" "$(table)"
    other_config "$work/elsewhere.yml" "${old/there/nobody}" "name: table, type: opentsdb, url: '$nobody'"
    other_config "$work/moved.yml" "${old/${ports[1]}/${ports[2]}}" "name: table, type: opentsdb, url: '$nobody'"
    other_config "$work/late.yml" "$old" "$(table)" "name: from, type: file, path: $work/from, start: beginning"
    claim "$mode: starts" serve || exit 1
    claim "$mode: samples of every kind are acknowledged" is_acknowledged "$work/bits.rw"
    claim "$mode: all of it waits for one" waits old 15
    claim "$mode: another has what it has a form for" within 20 has_delivered table 13
    claim "$mode: states are saved" is_saved
    claim "$mode: who is open is not on the page of others" remembers '. == []'

    for at in "$url" "$dir"; do
        case $at in
        http*) what="URL" most="" more=" and 1 exemplars or metadata entries" ;;
        *) what="DIR" most="at most " more=" and 1 exemplars or metadata entries" ;;
        esac
        claim "$mode, $what: the same file changes nothing" tells "no destination is added, removed or changed" 0 against firekeep.yml "$at"
        claim "$mode, $what: what is queued is told, and what becomes of it" \
            tells "^destination old: not in the file: ${most}15 samples$more queued, [1-9][0-9]* bytes of log, 0 dead letters; consequence: $then$" 3 against alone.yml "$at"
        claim "$mode, $what: so are dead letters" tells "^destination table: not in the file: 0 samples queued, .* 3 dead letters; consequence: $then$" 3 against alone.yml "$at"
        claim "$mode, $what: of a new name it is told how to keep all" \
            tells "^destination old: new is new and writes to the same target; .* mv $dir/relay/old $dir/relay/new," 3 against renamed.yml "$at"
        claim "$mode, $what: a new one begins now" tells "^destination new: new, starts with samples received after it is configured" 3 against renamed.yml "$at"
        claim "$mode, $what: or with the oldest" tells "^destination from: new, starts with the oldest sample in" 0 against late.yml "$at"
        claim "$mode, $what: another address is told" tells "^destination old: writes to another target: continues at its current position" 0 against moved.yml "$at"
        claim "$mode, $what: another type is told" tells "^destination table: becomes opentsdb, was file: continues at its current position" 0 against moved.yml "$at"
    done

    sed 's/mode: [a-z]*/mode: local/' "$work/firekeep.yml" >"$work/as-local.yml"
    sed 's/mode: [a-z]*/mode: none/' "$work/firekeep.yml" >"$work/as-none.yml"
    case $mode in
    local) claim "local, URL: another mode is told" tells "^storage.mode: the file says none, the server has local: a reload refuses it, and a server with stored parts does not start with it" 3 against as-none.yml "$url" ;;
    none) claim "none, URL: another mode is told" tells "^storage.mode: the file says local, the server has none: takes effect after a restart" 0 against as-local.yml "$url" ;;
    esac

    # By a reload.
    cp "$work/alone.yml" "$work/firekeep.yml"
    claim "$mode, reload: both are removed" reload
    claim "$mode, reload: the log names what waited" logs "$mode" 'destination removed with a backlog" destination=old queued=16 log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'"'
    claim "$mode, reload: and dead letters" logs "$mode" 'destination removed with a backlog" destination=table queued=0 log_bytes=0 dead_letters=3 '
    claim "$mode, reload: the server has them no more" eval '[[ $(quiet_curl "$url/api/v1/status/destinations" | jq -r ".data[].name") == lines ]]'
    remembered

    # By a restart.
    claim "$mode: SIGTERM ends it" stop "$mode"
    claim "$mode, stopped: it is told" tells "^destination old: not in the file: at most 15 samples$more queued, " 3 against alone.yml "$dir"
    claim "$mode, stopped: nothing is changed" unchanged "$dir" against alone.yml "$dir"
    claim "$mode, stopped: verify says that it is not named" tells "^destination old: not in the configuration" 0 "$firekeep" verify --config.file="$work/alone.yml" "$dir"
    : >"$work/$mode.log"
    claim "$mode, restart: starts without them" serve
    claim "$mode, restart: the log names what waits" \
        logs "$mode" 'level=warn .*not configured has a backlog.* destination=old queued_at_most=16 .* log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'" to_do=.* directory='"$dir/relay/old"
    claim "$mode, restart: and dead letters" logs "$mode" 'level=warn .*not configured has a backlog.* destination=table queued_at_most=0 .* dead_letters=3 '
    claim "$mode, restart: SIGTERM ends it" stop "$mode"

    # Damage.
    cp -a "$dir" "$work/$mode-damaged"
    cp -a "$dir" "$work/$mode-letters"
    flip "$work/$mode-letters/relay/table/dead-letters/00000001.ndjson" 40
    claim "$mode, damaged: letters that cannot be read are named" tells "^destination table: .* dead letters (.*00000001.ndjson" 3 against alone.yml "$work/$mode-letters"
    flip "$work/$mode-damaged/relay/old/state" 40
    rm "$work/$mode-damaged/relay/table/state"
    claim "$mode, damaged: a state is named" tells "^destination old: not in the file: an unknown number of samples queued, 0 dead letters (.*relay/old/state: the file is damaged" 3 against alone.yml "$work/$mode-damaged"
    claim "$mode, damaged: one that is missing, too, and letters are counted" \
        tells "^destination table: not in the file: an unknown number of samples queued, 3 dead letters (.*relay/table/state is missing" 3 against alone.yml "$work/$mode-damaged"
    kept=$dir dir=$work/$mode-damaged
    : >"$work/broken.log"
    claim "$mode, damaged: starts" start_firekeep broken "$dir" "${ports[0]}" --config.file="$work/alone.yml"
    claim "$mode, damaged: the log names it" logs broken 'level=warn .*cannot read the state of a destination that is not configured" destination=old error=".*state: the file is damaged'
    crash broken
    cp "$work/begin.yml" "$work/firekeep.yml"
    claim "$mode, closed: starts" start_firekeep closed "$dir" "${ports[0]}" --config.file="$work/firekeep.yml"
    closed
    crash closed
    dir=$kept

    # The rename is the predicted one.
    cp "$work/renamed.yml" "$work/firekeep.yml"
    claim "$mode, renamed: the directory is" mv "$dir/relay/old" "$dir/relay/new"
    claim "$mode, renamed: then nothing is left behind" tells "no destination is added, removed or changed" 0 against renamed.yml "$dir"
    claim "$mode, renamed: starts" serve
    claim "$mode, renamed: all of it waits" waits new 15
    claim "$mode, renamed: the other server comes" start_firekeep "$mode-there" "$work/$mode-there" "${ports[1]}"
    claim "$mode, renamed: everything is delivered" within 20 has_delivered new 15
    claim "$mode, renamed: the account is right" balances new
    claim "$mode, renamed: the other server has the same" equals "$there" "$work/bits.rw"
    claim "$mode, renamed: so has the table its letters" eval '[[ $(samples dead_lettered_total table) == 2 ]]'
    claim "$mode, renamed: nothing waits, so it may go" tells "^destination new: not in the file: nothing is queued for it" 3 against alone.yml "$url"
    crash "$mode-there"

    # After the removal the log is dropped, as predicted.
    claim "$mode, given up: more is acknowledged" is_acknowledged "$work/load.rw" --retry 60
    claim "$mode, given up: all of it waits" waits new 150000
    claim "$mode, given up: another has it" within 20 has_delivered lines 150015
    first_segment=$(basename "$(compgen -G "$dir/wal/0*.wal" | sort | tail -n 2 | head -n 1)")
    cp "$work/alone.yml" "$work/firekeep.yml"
    claim "$mode, given up: the destination is removed" reload
    claim "$mode, given up: SIGTERM ends it" stop "$mode"
    claim "$mode, given up: starts" serve
    claim "$mode, given up: the log goes" within 20 log_is_gone
    case $mode in
    local) lost=$then ;;
    none) lost='some queued samples are lost for this destination: they were removed from the log' ;;
    esac
    claim "$mode, given up: it is told what becomes of it" \
        tells "^destination new: not in the file: at most 150000 samples queued, .*; consequence: $lost$" 3 against alone.yml "$dir"
    claim "$mode, given up: SIGTERM ends it again" stop "$mode"
    case $mode in
    local)
        claim "local, DIR: another mode is told" tells "^storage.mode: the file says none, the directory holds stored samples (parts): a server with stored parts does not start with it" 3 against as-none.yml "$dir"
        claim "local, given up: verify says that the store has it" tells "^destination new: position .*are read from the store" 0 "$firekeep" verify "$dir"
        ;;
    none)
        lost_to_it="^destination new: position .* no store: at most [1-9][0-9]* samples that it has not taken are lost"
        claim "none, given up: verify says how much is lost" tells "$lost_to_it" 1 "$firekeep" verify "$dir"
        claim "none, given up: so it does where it is configured" tells "$lost_to_it" 1 "$firekeep" verify --config.file="$work/renamed.yml" "$dir"
        claim "none, given up: where it is not, that is no finding" tells "$lost_to_it" 0 "$firekeep" verify --config.file="$work/alone.yml" "$dir"
        ;;
    esac
    claim "$mode, given up: starts again" serve
    claim "$mode, given up: so says the log" logs "$mode" "destination=new queued_at_most=150000 .* then=\"$lost\""
    cp "$work/renamed.yml" "$work/firekeep.yml"
    claim "$mode, given up: it is configured again" reload
    claim "$mode, given up: the other server comes back" start_firekeep "$mode-there" "$work/$mode-there" "${ports[1]}"
    claim "$mode, given up: it has caught up" within 60 all_settled new
    case $mode in
    local) claim "$mode, given up: everything arrives" equals "$there" "$work/all.rw" ;;
    none) claim "$mode, given up: not all of it arrives" eval '! equals "$there" "$work/all.rw"' ;;
    esac
    crash "$mode"
    crash "$mode-there"
done

# --- names that end as directories do that are being made ------------------------------------------------

west_new="name: west.new, type: opentsdb, url: '$nobody', batch: {max_age: 50ms}"
mode=local
other_config "$work/firekeep.yml" "$west_new"
claim "west.new: starts" start_firekeep names "$work/names" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle
claim "west.new: is open" within 20 all_open
claim "west.new: samples are acknowledged" is_acknowledged "$work/first.rw"
claim "west.new: they wait" waits west.new 10
other_config "$work/firekeep.yml" "$west_new" "${west_new/west.new/west}"
claim "west.new: west is added" reload
claim "west.new: both are open" within 20 all_open
claim "west.new: both are remembered" eval '[[ -e $work/names/relay/west.new/state && -e $work/names/relay/west/state ]]'
crash names
claim "west.new: starts again" start_firekeep names "$work/names" "${ports[0]}" --config.file="$work/firekeep.yml"
claim "west.new: they still wait" waits west.new 10
crash names

# --- servers that cannot be asked ---------------------------------------------------------------------

# Answers like a web server other than Firekeep, in several ways.
start stranger /usr/bin/python3 -c "
import http.server, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        texts = {'text': b'hello', 'list': b'[1]', 'nothing': b'{\"data\": {}}', 'names': b'{\"data\": [{\"name\": 7}]}'}
        body = texts.get(self.path.split('/')[1])
        self.send_response(403 if body is None else 200)
        body = body or b'no'
        self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('127.0.0.1', ${ports[1]}), Answer).serve_forever()"
claim "a stranger is there" within 20 eval 'curl -s --noproxy "*" -o "$work/answer" "$there/"'
for way in text list nothing names; do
    claim "an answer that is none: $way" tells "firekeep check: --against: $there" 1 against alone.yml "$there/$way"
done
claim "a server that refuses" tells "status 403: no" 1 against alone.yml "$there/"
claim "a server that does not answer" tells "Failed to connect" 1 against alone.yml "$nobody"
claim "a password is not shown" tells "against: ${nobody//./\\.}/api" 1 against alone.yml "${nobody/:\/\//://u:p@}"
claim "an address of another kind" tells "expected a URL" 1 against alone.yml "ftp://127.0.0.1/"
claim "a directory that is not there" tells "No such file or directory" 1 against alone.yml "$work/nowhere"
claim "a directory of something else" tells "is not a Firekeep storage directory" 1 against alone.yml "$work"
claim "a file that is wrong" tells "alone.yml.*$" 1 against no-alone.yml "$work/local"
claim "no address" tells "against" 2 "$firekeep" check "$work/alone.yml" --against
claim "two files" tells "unexpected argument" 2 "$firekeep" check "$work/alone.yml" "$work/alone.yml"
echo "storage: {mode: local}" >"$work/none.yml"
rm -rf "$work/local-damaged/relay"
echo x >"$work/local-damaged/relay"
claim "relay/ is a file: starts without destinations" start_firekeep file "$work/local-damaged" "${ports[0]}" --config.file="$work/none.yml"
for at in "$url" "$work/local-damaged"; do
    claim "relay/ is a file: it cannot be asked for what it remembers (${at%%:*})" tells "/relay is a file, expected a directory" 1 against none.yml "$at"
done
crash file
rm "$work/local-damaged/relay"
sed -i "s/mode: none/mode: local/" "$work/alone.yml"
claim "a directory without destinations: all are new" tells "^destination lines: new, starts with samples received" 0 against alone.yml "$work/local-damaged"

done_testing
