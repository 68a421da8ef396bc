# shellcheck shell=bash disable=SC2154
# destinations_lib.sh - sourced by tests of destinations, after lib.sh: reads the status of
# destinations from the Firekeep at $url, and makes samples of every kind. The caller sets `url` and
# `work`, and for imports_as `spare`, a free port, and `firekeep`.

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

says() { # DESTINATION PATTERN: its last error
    last_error "$1" >"$work/said.txt"
    cat "$work/said.txt"
    grep -q -e "$2" "$work/said.txt"
}

write_config() { # LINES
    cat >"$work/firekeep.yml"
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
    "$firekeep" import --storage.path="$work/fresh" "$1"/* || return 1
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
