#!/bin/bash
# source_influxdb.sh - samples that a destination of type influxdb wrote into a real InfluxDB 1, and
# through a double of versions 2 and 3, are read back through a source of that type, bit for bit, with
# the answers of a store that has them all.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control influxd influxd_meta double reader
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all influxdb "no captures beside the project"
has influxd || skip_all influxdb "influxd is not there"

# Keys that destination and source share. Version 1 is real; an organization is the destination's alone.
place() { # VERSION
    case $1 in
    1) echo "type: influxdb, version: 1, url: '$(url_of influxd)', database: metrics" ;;
    2) echo "type: influxdb, version: 2, url: '$(url_of double)', org: ours, bucket: metrics, token: secret" ;;
    3) echo "type: influxdb, version: 3, url: '$(url_of double)', database: metrics, token: secret" ;;
    esac
}

begins() { # VERSION: with an empty database
    influx_query 'DROP DATABASE metrics' && influx_query 'CREATE DATABASE metrics' || return 1
    if (($1 > 1)) && ! is_running double; then
        start double python3 tests/doubles/influxdb.py --port "${port[double]}" --influxd "${port[influxd]}"
        within 20 answers double "$(url_of double)/stats" || return 1
    fi
    writes "$1" "$(place "$1")" && reads "$1" "$(place "$1")"
}

ends() {
    stop reader
    stop writer
}

round() { # VERSION CASES
    claim "version $1: a server with a store starts, and one without" begins "$1" || return
    hard_series_are_the_same "version $1" "$2"
    [[ -n ${ONLY_RANDOM-} ]] || captures_are_the_same "version $1" 150 10 10
    ends
}

# A missing database is reported for any request.
names_no_database() {
    local query
    for query in up '{__name__=~".+"}' '{job="node"}'; do
        fails_with 'database not found: nowhere' "$query" || return 1
    done
    tested 1 'database not found: nowhere' "$1"
}
nowhere="type: influxdb, version: 1, url: '$(url_of influxd)', database: nowhere"
claim "InfluxDB starts" start_influxd || exit 1
claim "a server starts with a database that is not there" reads nowhere "$nowhere"
claim "each query says so" names_no_database "$nowhere"
stop reader
round 1 "${CASES:-40}"
for version in ${VERSIONS-2 3}; do
    round "$version" "${CASES:-20}"
done

# InfluxDB 1's own endpoints for Prometheus, read by a source of type remote_read. It has only finite
# floats, and panics when it reads names or values that its line protocol escapes, or gets a negative
# matcher without the name of a metric: then the query fails.
prometheus_endpoint_has() {
    influx_query "CREATE DATABASE prom" && writes prom "type: remote_write, url: '$(url_of influxd)/api/v1/prom/write?db=prom'" || return 1
    awk 'BEGIN {
        split("up node_load1 a:b", name, " "); split("x y xy", job, " ")
        for (i = 0; i < 30; i++) for (n = 0; n < 20; n++)
            printf "%s{instance=\"i%d\"%s} %s %.0f\n", name[i % 3 + 1], i % 5, i % 4 ? ",job=\"" job[i % 4] "\"" : "", n * i + 0.1, 1700000000000 + n * 15000
    }' >"$work/finite.prom" && imports "$work/finite.prom"
}

same_at_endpoint() {
    local query bounds=(-d start=1700000000 -d end=1700000900)
    for query in '{__name__!=""}' up 'up{job!="x"}' 'up{job=""}' 'up{job=~"x|y|"}' 'up{job!~"x.*"}' '{__name__=~"up|a:.*"}' \
        '{job=~".+"}' 'count by (job) ({__name__=~"up|node_load1"})'; do
        ask_both /api/v1/query_range "${bounds[@]}" -d step=30 --data-urlencode "query=$query" || return 1
    done
    ask_both /api/v1/series "${bounds[@]}" --data-urlencode 'match[]={__name__!=""}' &&
        ask_both /api/v1/labels "${bounds[@]}" && ask_both /api/v1/label/job/values "${bounds[@]}"
}

claim "endpoints for Prometheus: they are given series" prometheus_endpoint_has
claim "endpoints for Prometheus: a server without a store starts" reads prom "type: remote_read, url: '$(url_of influxd)/api/v1/prom/read?db=prom'"
claim "endpoints for Prometheus: everything comes back" same --match '{__name__!=""}'
claim "endpoints for Prometheus: questions are answered the same" same_at_endpoint
ends
done_testing
