# shellcheck shell=bash disable=SC2154
# destinations_lib.sh - sourced by tests of destinations, after lib.sh: what the Firekeep at $url says
# of a destination, and samples of every kind. The caller sets `url` and `work`,
# and for imports_as `spare`, a free port, and `firekeep`.

whole=(--start 0 --end 4102444800000)

# A URL alone is got by what starts faster than curl.
quiet_curl() {
    if (($# == 1)); then
        "$TOOLS/get" "$1"
    else
        curl -fsg --noproxy '*' --max-time 10 "$@"
    fi
}

# The value of a metric of a destination, summed over its other labels.
metric() { # NAME DESTINATION
    local page
    page=$(quiet_curl "$url/metrics") || echo "no metrics: curl ends with status $?" >&2
    awk -v want="$1{destination=\"$2\"" 'index($0, want) == 1 { sum += $NF } END { printf "%.0f\n", sum }' <<<"$page"
}

samples() { # WHAT DESTINATION
    metric "firekeep_destination_samples_$1" "$2"
}

state_of() { # DESTINATION
    quiet_curl "$url/metrics" | sed -n "s/^firekeep_destination_state{destination=\"$1\",state=\"\\([a-z_]*\\)\"} 1$/\\1/p"
}

is_in_state() { # DESTINATION STATE
    [[ $(state_of "$1") == "$2" ]]
}

# Until then `start: now` has not begun. No answer is not one: of nothing jq says that all is true.
all_open() {
    quiet_curl "$url/api/v1/status/destinations" >"$work/open.json" && jq -e 'all(.data[]; .state != "closed")' "$work/open.json"
}

last_error() { # DESTINATION
    quiet_curl "$url/api/v1/status/destinations" | jq -r ".data[] | select(.name == \"$1\") | .lastError"
}

says() { # DESTINATION PATTERN: its last error
    last_error "$1" | tee "$work/said.txt"
    grep -q -e "$2" "$work/said.txt"
}

# As long as it is not open, there is nothing to be read of it: no count of what is queued, too.
is_open() { # DESTINATION
    quiet_curl "$url/metrics" | grep -qxF "firekeep_destination_open{destination=\"$1\"} 1"
}

# taken = delivered + dead-lettered + dropped + queued; of one page, as all of them may move.
balances() { # DESTINATION
    quiet_curl "$url/metrics" | awk -v of="{destination=\"$1\"" '
        function is(name) { return index($0, "firekeep_destination_" name of) == 1 }
        is("open") { is_open = $NF }
        is("samples_taken_total") { taken += $NF }
        is("samples_delivered_total") || is("samples_dead_lettered_total") || is("samples_dropped_total") || is("samples_queued") { sum += $NF }
        END {
            if (!is_open) print "not open"
            if (taken != sum) printf "taken %.0f, accounted for %.0f\n", taken, sum
            exit !is_open || taken != sum
        }'
}

all_settled() { # DESTINATION...: nothing of them is queued, and nothing in the log is ahead of them
    quiet_curl "$url/metrics" >"$work/settled.txt" || return 1
    awk -v wanted="$*" '
        match($0, /^firekeep_destination_(open|samples_queued|lag_bytes){destination="[^"]*"/) {
            split(substr($0, 1, RLENGTH), part, /[{"]/)
            found[part[1], part[3]] += $NF
        }
        END {
            count = split(wanted, names, " ")
            for (i = 1; i <= count; i++) {
                is_open = found["firekeep_destination_open", names[i]]
                queued = found["firekeep_destination_samples_queued", names[i]]
                lag = found["firekeep_destination_lag_bytes", names[i]]
                if (is_open && !queued && !lag) continue
                printf "%s: open %d, queued %d, lag %d\n", names[i], is_open, queued, lag
                exit 1
            }
        }' "$work/settled.txt"
}

has_delivered() { # DESTINATION COUNT
    local delivered
    delivered=$(samples delivered_total "$1")
    echo "delivered $delivered of $2"
    [[ $delivered == "$2" ]]
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

# What rwmake makes requests from: every class of float, labels that are hard to write, times that go
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
