#!/bin/bash
# promql_results.sh - queries over the samples of captures get the answers of a real Prometheus 3:
# values, labels, warnings and errors; also with optional features enabled in both. PromQL is parsed,
# formatted and refused as by it, including words and positions of errors.

. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus

begin_peer() { # [FEATURE...]
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --storage.tsdb.retention.time=20y --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --web.enable-remote-write-receiver \
        --enable-feature="$(IFS=, && echo "promql-experimental-functions,promql-duration-expr,native-histograms${*:+,$*}")"
    wait_ready peer "$peer_url/-/ready"
}

# Makes metrics whose types are among their labels, and differ from those that their names suggest.
make_typed() { # FIRST_MS LAST_MS
    awk -v first="$1" -v last="$2" 'BEGIN {
        for (t = first; t <= last; t += 15000) {
            n = (t - first) / 15000
            printf "typed_seconds{__type__=\"counter\",__unit__=\"seconds\",job=\"a\"} %d %.0f\n", n % 40 * 3, t
            printf "typed_seconds{__type__=\"gauge\",__unit__=\"seconds\",job=\"b\"} %d %.0f\n", n * 7 % 11, t
            printf "typed_total{__type__=\"gauge\",job=\"a\"} %d %.0f\n", n * 5 % 13, t
            printf "typed_total{__type__=\"histogram\",job=\"b\"} %d %.0f\n", n, t
            printf "typed_total{job=\"c\"} %d %.0f\n", n * 2, t
            printf "typed_twice{__type__=\"counter\"} %d %.0f\n", n, t
            printf "typed_twice{__type__=\"gauge\"} %d %.0f\n", n % 7, t
            printf "@histogram typed{__type__=\"histogram\",job=\"a\"} %.0f kind=int count=%d sum=%d pos=0:2/%d,%d\n", \
                t, n * 3, n * 4, n, n * 2
            printf "@histogram typed{__type__=\"gaugehistogram\",job=\"b\"} %.0f kind=int hint=3 count=%d sum=%d pos=0:2/%d,%d\n", \
                t, n % 5 * 3, n, n % 5, n % 5 * 2
            if (n % 100 == 99) print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/typed.rw"
}

times_of_peer() {
    curl -s --noproxy '*' "$peer_url/api/v1/status/tsdb" |
        sed -E 's/.*"minTime":([0-9]+),"maxTime":([0-9]+).*/\1 \2/'
}

takes() { # URL CAPTURE...
    local capture to=$1
    shift
    for capture; do
        "$TOOLS/rwreplay" "$capture" "$to/api/v1/write" >"$work/replay.txt" 2>&1 || {
            tail -n 3 "$work/replay.txt"
            return 1
        }
    done
}

takes_typed() {
    local first last
    read -r first last < <(times_of_peer)
    make_typed "$first" "$last" && takes "$url" "$work/typed.rw" && takes "$peer_url" "$work/typed.rw"
}

configure() { # [FEATURE...]
    printf 'query:\n  features: [%s]\n' "$(IFS=, && echo "$*")" >"$work/firekeep.yml"
}

features() { # [FEATURE...]: both have these from now on
    configure "$@"
    curl -fs --noproxy '*' -X POST "$url/-/reload" || return 1
    stop peer || return 1
    begin_peer "${@/#delayed/promql-delayed}"
}

formats() { # CURL-ARGUMENT...
    local text
    text=$(curl -s --noproxy '*' "$url/api/v1/format_query" "$@")
    echo "$text"
    [[ $text == '{"status":"success","data":"sum by (a) (rate(b[5m]))"}' ]]
}

alike() { # COUNT
    tests/promql/compare_results.py "$url" "$peer_url" "$1"
}

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "queries are answered as Prometheus 3 answers them" "no captures beside the project"
elif [[ ! -x $program ]]; then
    skip "queries are answered as Prometheus 3 answers them" "tests/peers/fetch gets it"
else
    # The captures are of another day: a Prometheus must accept them as out of order, and keep them
    # long enough.
    printf 'storage:\n  tsdb:\n    out_of_order_time_window: 3650d\n' >"$work/prometheus.yml"
    configure
    claim "starts" start_firekeep firekeep "$work/data" "$port" --config.file="$work/firekeep.yml" --web.enable-lifecycle
    claim "a Prometheus 3 starts" begin_peer
    claim "it takes the captures" takes "$url" "$SAMPLES/node15s.rw" "$SAMPLES/v2hist.rw"
    claim "so does Prometheus" takes "$peer_url" "$SAMPLES/node15s.rw" "$SAMPLES/v2hist.rw"
    claim "both take metrics with types" takes_typed
    claim "format_query answers a GET" formats -G --data-urlencode 'query=sum(rate(b[5m]))by(a)'
    claim "and a form" formats --data-urlencode 'query=sum(rate(b[5m]))by(a)'
    claim "2,000 expressions are read, formatted and refused as Prometheus 3 does" tests/promql/compare_text.py "$url" "$peer_url" 2000
    claim "1,500 expressions are answered as Prometheus 3 does" alike 1500
    claim "both remove names at the end" features delayed-name-removal
    claim "250 expressions are answered as Prometheus 3 does then" alike 250
    claim "both look at types" features type-and-unit-labels
    claim "250 expressions are answered as Prometheus 3 does then" alike 250
    claim "both do both" features delayed-name-removal type-and-unit-labels
    claim "250 expressions are answered as Prometheus 3 does then, too" alike 250
    claim "SIGTERM ends it with status 0" stop firekeep
fi
done_testing
