#!/bin/bash
# promql_results.sh - queries over the samples of captures are answered as a real Prometheus 3 answers them:
# values, labels, warnings and errors.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus

# The captures are of another day: what a Prometheus takes as out of order, and keeps for so long.
begin_peer() {
    cat >"$work/prometheus.yml" <<'EOF'
storage:
  tsdb:
    out_of_order_time_window: 3650d
EOF
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --storage.tsdb.retention.time=20y --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --web.enable-remote-write-receiver \
        --enable-feature=promql-experimental-functions,promql-duration-expr,native-histograms
    wait_ready peer "$peer_url/-/ready"
}

takes() { # URL
    local capture
    for capture in node15s v2hist; do
        "$TOOLS/rwreplay" "$SAMPLES/$capture.rw" "$1/api/v1/write" >"$work/replay.txt" 2>&1 || {
            tail -n 3 "$work/replay.txt"
            return 1
        }
    done
}

if [[ -z $SAMPLES || ! -f $SAMPLES/node15s.rw ]]; then
    skip "queries are answered as Prometheus 3 answers them" "no captures beside the project"
elif [[ ! -x $program ]]; then
    skip "queries are answered as Prometheus 3 answers them" "tests/peers/fetch gets it"
else
    claim "starts" start_firekeep firekeep "$work/data" "$port"
    claim "a Prometheus 3 starts" begin_peer
    claim "it takes the captures" takes "$url"
    claim "so does Prometheus" takes "$peer_url"
    claim "3,000 expressions are answered as Prometheus 3 does" \
        tests/promql/compare_results.py "$url" "$peer_url" 3000
    claim "SIGTERM ends it with status 0" stop firekeep
fi
