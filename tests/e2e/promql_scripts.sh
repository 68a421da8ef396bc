#!/bin/bash
# promql_scripts.sh - scripts in Prometheus' language for tests of PromQL, over what is in the head and
# over parts.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
scripts=$SAMPLES/../promqltest

runs() { # ARGUMENT...
    tests/promql/run "$@" >"$work/out"
    local status=$?
    tail -n 20 "$work/out"
    return $status
}

for each in tests/promql/scripts/*.test; do
    claim "$(basename "$each" .test), ours" runs "$each"
    claim "$(basename "$each" .test), ours, from parts" runs --flush "$each"
done
for each in aggregators collision literals operators selectors staleness subquery trig_functions; do
    if [[ ! -f $scripts/$each.test ]]; then
        skip "$each" "no scripts beside the captures"
        continue
    fi
    claim "$each" runs "$scripts/$each.test"
    claim "$each, from parts" runs --flush "$scripts/$each.test"
done
