#!/bin/bash
# demo.sh - the demo, short: an empty Prometheus reads through Firekeep the samples that another one
# scraped.

. tests/lib.sh

for program in prometheus prometheus-node-exporter; do
    if ! command -v "$program" >/dev/null; then
        skip_all "demo" "$program is not there"
    fi
done
claim "an empty Prometheus reads through Firekeep what another one scraped" \
    env DEMO_SECONDS=15 DEMO_EXIT=1 tests/demo.sh
done_testing
