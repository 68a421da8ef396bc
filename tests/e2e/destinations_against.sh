#!/bin/bash
# destinations_against.sh - what becomes of what waits when the configuration removes a destination,
# renames it, or makes it another type: `firekeep check FILE --against` says it before, and what it
# says is true, by reload and by restart, with a store and without.

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

# Takes 1.0 alone: what speaks 2.0 to it learns that, and remembers it.
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
claim "type: they wait" within 20 eval '[[ $(samples queued west) == 10 ]]'
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

((failures == 0))
