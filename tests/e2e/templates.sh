#!/bin/bash
# templates.sh - templates of alerts have the results of the promtool of a real Prometheus 3, and
# their errors are in the same lines.

. tests/lib.sh
promtool=$PEERS/promtool/usr/bin/promtool
tool=$TOOLS/templaterun

expands_to() { # TEXT TEMPLATE OPTION...
    local answer
    answer=$(printf '%s\0' "$2" | "$tool" "${@:3}" | tail -n +2)
    echo "$answer"
    [[ $answer == "$1" ]]
}

claim "a template is expanded" expands_to "node is down for 1m 30s" \
    '{{ $labels.job }} is down for {{ $value | humanizeDuration }}' --label=job=node --value=90
claim "an error is a sentence of Prometheus" expands_to \
    'error parsing template __alert_Down: template: __alert_Down:1: function "foo" not defined' \
    '{{ foo }}' --name=__alert_Down
if [[ ! -x $promtool ]]; then
    skip "4,000 templates become what Prometheus makes of them" "tests/peers/fetch gets promtool"
else
    claim "4,000 templates become what Prometheus makes of them" \
        tests/rules/compare_templates.py "$tool" "$promtool" "$work" 4000 20240229
fi
done_testing
