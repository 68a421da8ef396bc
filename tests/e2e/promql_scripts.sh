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
    claim "$(basename "$each" .test), ours, in three shards, measured" runs --shards 3 --measured "$each"
done
for each in tests/promql/scripts/*/*.test; do # in folders of the features that are on
    features=$(basename "$(dirname "$each")")
    [[ $features != plain ]] || features=
    claim "$(basename "$each" .test), ours, features '$features'" runs --features "$features" "$each"
    claim "$(basename "$each" .test), ours, features '$features', from parts, in three shards" \
        runs --features "$features" --flush --shards 3 "$each"
done
others=0
for each in "$scripts"/*.test; do
    [[ -f $each ]] || continue
    others=$((others + 1))
    claim "$(basename "$each" .test)" runs "$each"
    claim "$(basename "$each" .test), from parts, measured" runs --flush --measured "$each"
    claim "$(basename "$each" .test), in three shards" runs --flush --shards 3 "$each"
done
((others > 0)) || skip "Prometheus' own scripts" "there are none beside the captures"
