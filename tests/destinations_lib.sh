# shellcheck shell=bash disable=SC2154
# destinations_lib.sh - sourced by tests of destinations, instead of lib.sh: reads the status of
# destinations from the Firekeep at $url, starts it with a configuration, and makes samples. The caller
# sets `url` and `work`, for imports_as `spare`, a free port, and for a case (serve and what follows it)
# `it`.

# shellcheck source=tests/lib.sh
[[ -n ${within_seconds-} ]] || . tests/lib.sh

whole=(--start 0 --end 4102444800000)

# Does the same as curl; a program that starts in a tenth of its time sends a GET, or a POST of a
# text.
quiet_curl() {
    local at='' form=() to=/dev/stdout seconds=10 i arguments=("$@")
    for ((i = 0; i < $#; i++)); do
        case ${arguments[i]} in
        http://*) [[ -z $at ]] && at=${arguments[i]} || at='' i=$# ;;
        -o) to=${arguments[++i]} ;;
        -X) [[ ${arguments[++i]} == POST ]] && form=(-d "${form[1]-}") || at='' i=$# ;;
        -d | --data-binary) [[ ${arguments[++i]} != @* ]] && form=(-d "${arguments[i]}") || at='' i=$# ;;
        --max-time) seconds=${arguments[++i]} ;;
        *) at='' i=$# ;;
        esac
    done
    if [[ -z $at ]]; then
        curl -fsg --noproxy '*' --max-time 10 "$@"
    elif [[ $to == /dev/stdout ]]; then
        "$TOOLS/get" "${form[@]}" "$at" "$seconds"
    else
        "$TOOLS/get" "${form[@]}" "$at" "$seconds" >"$to"
    fi
}

# The value of a metric of a destination, summed over its other labels.
metric() { # NAME DESTINATION
    "$TOOLS/metrics" "$url" 0 sum "$1{destination=\"$2\""
}

samples() { # WHAT DESTINATION
    metric "firekeep_destination_samples_$1" "$2"
}

state_of() { # DESTINATION
    "$TOOLS/metrics" "$url" 0 state "$1"
}

# Within `within` these wait themselves.

is_in_state() { # DESTINATION STATE
    "$TOOLS/metrics" "$url" "$within_seconds" state "$1" "$2"
}

# Until then `start: now` has not begun.
all_open() {
    "$TOOLS/metrics" "$url" "$within_seconds" opened
}

# A destination that is not open has no metrics, not even its queue length.
is_open() { # DESTINATION
    "$TOOLS/metrics" "$url" "$within_seconds" are "firekeep_destination_open{destination=\"$1\"}" = 1
}

# taken = delivered + dead-lettered + dropped + queued.
balances() { # DESTINATION
    "$TOOLS/metrics" "$url" "$within_seconds" balances "$1"
}

all_settled() { # DESTINATION...: nothing of them is queued, and nothing in the log is ahead of them
    "$TOOLS/metrics" "$url" "$within_seconds" settled "$@"
}

has_delivered() { # DESTINATION COUNT
    sums_are "$1" samples_delivered_total = "$2"
}

# Says whether these metrics of a destination, each summed over its other labels, compare like this
# at the same time.
sums_are() { # DESTINATION {WHAT COMPARISON NUMBER}...
    local destination=$1 triples=()
    shift
    while (($# > 0)); do
        triples+=("firekeep_destination_$1{destination=\"$destination\"" "$2" "$3")
        shift 3
    done
    "$TOOLS/metrics" "$url" "$within_seconds" are "${triples[@]}"
}

last_error() { # DESTINATION
    quiet_curl "$url/api/v1/status/destinations" | jq -r ".data[] | select(.name == \"$1\") | .lastError"
}

is_closed() { # DESTINATION PATTERN: and says why
    quiet_curl "$url/api/v1/status/destinations" | jq -r ".data[] | select(.name == \"$1\") | .state" | grep -qx closed && has_error "$1" "$2"
}

has_error() { # DESTINATION PATTERN: its last one
    last_error "$1" >"$work/said.txt"
    cat "$work/said.txt"
    grep -q -e "$2" "$work/said.txt"
}

write_config() { # LINES
    cat >"$work/firekeep.yml"
}

configure() { # ENTRY...: destinations, each a flow mapping
    { (($# == 0)) || printf '%s\n' destinations: "${@/#/  - }"; } | write_config
}

is_acknowledged() { # CAPTURE ARGUMENT...
    "$TOOLS/rwreplay" "$1" "$url" --check "${@:2}"
}

equals() { # URL CAPTURE
    "$TOOLS/rrcompare" "$1" "$2" "${whole[@]}"
}

# Prints the input of rwmake: every class of float, labels that are hard to write, times that go
# back, histograms of both kinds, an exemplar. 15 samples and an exemplar.
every_kind() {
    cat <<'END'
zero{sign="plus"} 0 1700000000000
zero{sign="minus"} -0 1700000000000
inf{sign="plus"} inf 1700000000000
inf{sign="minus"} -inf 1700000000000
nan{kind="ordinary"} 0x7ff8000000000001 1700000000000
nan{kind="stale"} 0x7ff0000000000002 1700000000000
nan{kind="payload"} 0xfff8dead0000beef 1700000000000
small{kind="subnormal"} 5e-324 1700000000000
large 1.7976931348623157e308 1700000000000
text{q="a \"b\" \\ c",unit="µs",empty="",table="t",result="r"} 1 1700000000000
late 1 1680000000001
late 2 1680000000000
late 3 1700000000000
@histogram latency{code="200"} 1700000000000 kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=9 pos=-2:2,3:1/2,3,2
@histogram latency{code="500"} 1700000000000 kind=float schema=0 hint=3 threshold=0 zero=0 sum=-0.5 count=4 neg=0:2/1,3
@exemplar late {trace_id="abc"} 3 1700000000000
END
}

sent_samples() { # CAPTURE
    "$TOOLS/rrcompare" "$1" "$1" | awk '/^A:/ { print $4 + $6 }'
}

files_are_whole() { # DIR
    ls "$1"
    compgen -G "$1/*" >/dev/null && ! compgen -G "$1/*.tmp"
}

imports_as() { # DIR CAPTURE: a fresh server that takes in these files is like the capture
    rm -rf "$work/fresh"
    mkdir -p "$work/fresh"
    build/firekeep import --storage.path="$work/fresh" "$1"/* || return 1
    start_firekeep fresh "$work/fresh" "$spare" || return 1
    equals "http://127.0.0.1:$spare" "$2"
    local status=$?
    stop fresh
    return $status
}

# --- commands and directories -----------------------------------------------------------------------

tells() { # PATTERN STATUS COMMAND...: the text of a command and its status
    local pattern=$1 wanted=$2 status
    shift 2
    "$@" >"$work/tells.txt" 2>&1
    status=$?
    ((status == wanted)) && grep -qe "$pattern" "$work/tells.txt" && return
    echo "status $status: $(<"$work/tells.txt")"
    return 1
}

# Everything about a directory that a program could have changed.
tree() { # DIRECTORY
    find "$1" -printf '%P %y %s %T@\n' -type f -exec cksum {} + | sort
}

unchanged() { # DIRECTORY COMMAND...: whatever its status is
    local dir=$1
    shift
    tree "$dir" >"$work/tree.before"
    "$@"
    tree "$dir" | diff "$work/tree.before" -
}

flip() { # FILE OFFSET (negative: from its end): all bits of this byte; another time, and it is as before
    perl -e 'open my $file, "+<", $ARGV[0] or die; my $at = $ARGV[1];
        sub to { seek $file, $at, $at < 0 ? 2 : 0 or die }
        to; read $file, my $byte, 1 or die;
        to; print $file ~$byte; close $file or die' -- "$1" "$2"
}

# --- a case -----------------------------------------------------------------------------------------
# A case has a name, `it`: its claims begin with it, and its server, directory and log are called so.

# A preparation of a case, told only when it fails.
step() { # COMMAND...
    "$@" >"$work/step.txt" 2>&1 && return
    failures=$((failures + 1))
    echo "not ok $it: ready for it: $*"
    sed 's/^/  /' "$work/step.txt"
    return 1
}

begins() { # [ARGUMENT...]: in $dir, or $work/$it
    start_firekeep "$it" "${dir:-$work/$it}" "${url##*:}" --config.file="$work/firekeep.yml" --web.enable-lifecycle \
        --web.enable-admin-api "$@"
}

serve() { # [ARGUMENT...]: the same, until all destinations are open
    begins "$@" && within 20 all_open
}

takes() { # NAME: of a capture
    step is_acknowledged "$work/$1.rw" --retry 60
}

ends() {
    claim "$it: SIGTERM ends it with status 0" stop "$it"
}

# The parts of the account of a destination, which balances.
shows() { # DESTINATION {taken|taken_again|delivered|dead_lettered|dropped|queued}=COUNT...
    local destination=$1 part parts=()
    shift
    for part; do
        [[ $part == queued=* ]] && parts+=(samples_queued) || parts+=("samples_${part%=*}_total")
        parts+=(= "${part#*=}")
    done
    sums_are "$destination" "${parts[@]}" && balances "$destination"
}

dropped() { # DESTINATION REASON COUNT
    "$TOOLS/metrics" "$url" "$within_seconds" are "firekeep_destination_samples_dropped_total{destination=\"$1\",reason=\"$2\"" = "$3"
}

logs() { # PATTERN: once the server of the case writes it
    within 20 grep -qe "$1" "$work/$it.log" || {
        tail -n 20 "$work/$it.log"
        return 1
    }
}

reload() {
    quiet_curl -X POST "$url/-/reload"
}

admin() { # PATH: a request of an operator
    quiet_curl --max-time 60 -X POST "$url/api/v1/admin/$1"
}

# Samples of 100 series a minute apart, number FROM and following, in requests of 1000 at most.
make_load() { # NAME FROM COUNT
    awk -v from="$2" -v count="$3" 'BEGIN {
        for (i = from; i < from + count; i++) {
            printf "load{series=\"%d\",padding=\"%064d\"} %d.%06d %.0f\n", i % 100, i % 100, i, (i * 7919) % 1000000, 1700000000000 + 60000 * int(i / 100)
            if (i % 1000 == 999) print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/$1.rw"
}

head_of() { # CAPTURE REQUESTS: the first ones
    perl -e 'binmode STDIN; binmode STDOUT; for (1 .. $ARGV[0]) { read STDIN, my $size, 4 or last; read STDIN, my $body, unpack "V", $size; print $size, $body }' "$2" <"$1"
}

make_kinds() { # NAME: of every kind
    every_kind >"$work/$1.txt"
    "$TOOLS/rwmake" --version 2 <"$work/$1.txt" >"$work/$1.rw"
}

# Accepts every write, but not while FILE exists: then it never answers.
accept_writes() { # NAME PORT FILE
    start "$1" /usr/bin/python3 -c '
import http.server, os, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if os.path.exists(sys.argv[2]): threading.Event().wait()
        self.send_response(204); self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()' "$2" "$3"
}
