#!/bin/bash
# destinations_removed.sh - queued samples when the configuration removes a destination, renames it,
# or changes its type, by a reload and a restart, with a store and without: the log says what waits
# and what becomes of it, and is right.

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

# --- removed destinations --------------------------------------------------------------------------------

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

waits() { # DESTINATION SAMPLES
    within 20 sums_are "$1" samples_queued = "$2"
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
    claim "$mode: starts" serve || exit 1
    claim "$mode: samples of every kind are acknowledged" is_acknowledged "$work/bits.rw"
    claim "$mode: all of it waits for one" waits old 15
    claim "$mode: another has what it has a form for" within 20 has_delivered table 13

    # By a reload.
    cp "$work/alone.yml" "$work/firekeep.yml"
    claim "$mode, reload: both are removed" reload
    claim "$mode, reload: the log names what waited" logs "$mode" 'destination removed with a backlog" destination=old queued=16 log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'"'
    claim "$mode, reload: and dead letters" logs "$mode" 'destination removed with a backlog" destination=table queued=0 log_bytes=0 dead_letters=3 '
    claim "$mode, reload: the server has them no more" eval '[[ $(quiet_curl "$url/api/v1/status/destinations" | jq -r ".data[].name") == lines ]]'

    # By a restart.
    claim "$mode: SIGTERM ends it" stop "$mode"
    claim "$mode, stopped: verify says that it is not named" tells "^destination old: not in the configuration" 0 "$firekeep" verify --config.file="$work/alone.yml" "$dir"
    : >"$work/$mode.log"
    claim "$mode, restart: starts without them" serve
    claim "$mode, restart: the log names what waits" \
        logs "$mode" 'level=warn .*not configured has a backlog.* destination=old queued_at_most=16 .* log_bytes=[1-9][0-9]* dead_letters=0 then="'"$then"'" to_do=.* directory='"$dir/relay/old"
    claim "$mode, restart: and dead letters" logs "$mode" 'level=warn .*not configured has a backlog.* destination=table queued_at_most=0 .* dead_letters=3 '
    claim "$mode, restart: SIGTERM ends it" stop "$mode"

    # Damage.
    cp -a "$dir" "$work/$mode-damaged"
    flip "$work/$mode-damaged/relay/old/state" 40
    rm "$work/$mode-damaged/relay/table/state"
    kept=$dir dir=$work/$mode-damaged
    : >"$work/broken.log"
    claim "$mode, damaged: starts" start_firekeep broken "$dir" "${ports[0]}" --config.file="$work/alone.yml"
    claim "$mode, damaged: the log names it" logs broken 'level=warn .*cannot read the state of a destination that is not configured" destination=old error=".*state: the file is damaged'
    crash broken
    dir=$kept

    # Its directory gets the new name.
    cp "$work/renamed.yml" "$work/firekeep.yml"
    claim "$mode, renamed: the directory is" mv "$dir/relay/old" "$dir/relay/new"
    claim "$mode, renamed: starts" serve
    claim "$mode, renamed: all of it waits" waits new 15
    claim "$mode, renamed: the other server comes" start_firekeep "$mode-there" "$work/$mode-there" "${ports[1]}"
    claim "$mode, renamed: everything is delivered" within 20 has_delivered new 15
    claim "$mode, renamed: the account is right" balances new
    claim "$mode, renamed: the other server has the same" equals "$there" "$work/bits.rw"
    claim "$mode, renamed: so has the table its letters" eval '[[ $(samples dead_lettered_total table) == 2 ]]'
    crash "$mode-there"

    # After the removal the log is dropped.
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
    claim "$mode, given up: SIGTERM ends it again" stop "$mode"
    case $mode in
    local)
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

# --- the flag of earlier versions ---------------------------------------------------------------------

for flag in "--against $url" "--against=$work/local"; do
    # shellcheck disable=SC2086 # words
    claim "check $flag names what is left" tells "against was removed: POST /api/v1/status/config/check" 2 "$firekeep" check "$work/alone.yml" $flag
done
claim "two files" tells "unexpected argument" 2 "$firekeep" check "$work/alone.yml" "$work/alone.yml"
rm -rf "$work/local-damaged/relay"
echo x >"$work/local-damaged/relay"
echo "storage: {mode: local}" >"$work/none.yml"
claim "relay/ is a file: starts without destinations" start_firekeep file "$work/local-damaged" "${ports[0]}" --config.file="$work/none.yml"
claim "relay/ is a file: the log says so" logs file "cannot list the destinations in the storage directory"
crash file

done_testing
