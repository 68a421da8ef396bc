#!/bin/bash
# source_influxdb.sh - samples that a destination of type influxdb wrote into a real InfluxDB 1 are
# read back through a source of that type, bit for bit, with the answers of a store that has them
# all.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control influxd influxd_meta double reader

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || skip_all influxdb "no captures beside the project"
has influxd || skip_all influxdb "influxd is not there"

reader=http://127.0.0.1:${port[reader]}

# Prints the keys that destination and source share, as YAML of a flow mapping. Version 1 is real.
place() { # VERSION DATABASE
    case $1 in
    1) echo "type: influxdb, version: 1, url: '$(url_of influxd)', database: $2" ;;
    2) echo "type: influxdb, version: 2, url: '$(url_of double)', org: ours, bucket: metrics, token: secret" ;; # org: for the destination
    3) echo "type: influxdb, version: 3, url: '$(url_of double)', database: metrics, token: secret" ;;
    esac
}

start_double() {
    influx_query 'DROP DATABASE "metrics"' && influx_query 'CREATE DATABASE "metrics"' || return 1
    start double python3 tests/doubles/influxdb.py --port "${port[double]}" --influxd "${port[influxd]}"
    within 20 answers double "$(url_of double)/stats"
}

# Both have the capture: the writer's own store, and InfluxDB through its destination.
writes() { # VERSION DATABASE CAPTURE [ARGUMENT...]
    local version=$1 database=$2 capture=$3
    [[ $version != 1 ]] || influx_query "CREATE DATABASE \"$database\"" || return 1
    cat >"$work/writer.yml" <<END
destinations:
  - {name: influx, $(place "$version" "$database"), batch: {max_age: 50ms}}
END
    start_firekeep writer "$work/writer-$version-$database" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    is_acknowledged "$capture" "${@:4}" || return 1
    within 120 all_settled influx || return 1
    [[ $(samples dead_lettered_total influx) == 0 ]]
}

reads() { # VERSION DATABASE [KEYS]
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - {name: influx, $(place "$1" "$2")${3-}}
END
    start_firekeep reader "$work/reader-$1-$2" "${port[reader]}" --config.file="$work/reader.yml"
}

every_kind | sed 's/^text{/&time="t",/' | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"

round() { # VERSION NAME CAPTURE [ARGUMENT...]
    local who="version $1, $2"
    claim "$who: it is given the capture" writes "$1" "$2" "${@:3}" || return
    claim "$who: a server without a store starts" reads "$1" "$2" || return
    claim "$who: everything comes back, bit for bit" same
    if [[ $2 != kinds ]]; then
        set_bounds
        claim "$who: look-ups answer the same" look_ups_are_the_same "${bounds[@]}"
        claim "$who: PromQL answers the same" results_are_the_same
    fi
    stop reader
    stop writer
}

# Series that are hard to write, and random questions about them.
seed=${SEED:-$RANDOM}
is_imported() {
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson" &&
        "$firekeep" import --url="$url" "$work/random.ndjson" && within 60 all_settled influx &&
        [[ $(samples dead_lettered_total influx) == 0 ]]
}

random_round() { # VERSION CASES
    local who="version $1, seed $seed"
    claim "$who: it is given what every kind is" writes "$1" random "$work/kinds.rw" || return
    claim "$who: and series that are hard to write" is_imported
    claim "$who: a server without a store starts" reads "$1" random || return
    claim "$who: everything comes back, bit for bit" same
    claim "$who: $2 random questions are answered the same" python3 tests/tools/random_matchers.py compare "$seed" "$2" "$url" "$reader"
    stop reader
    stop writer
}

# Reads InfluxDB 1's own endpoints for Prometheus by a source of type remote_read. It has only
# finite floats, and panics when it reads names or values that its line protocol escapes, or gets a
# negative matcher without the name of a metric: then the query fails.
prometheus_endpoint_has() {
    influx_query "CREATE DATABASE prom" || return 1
    cat >"$work/writer.yml" <<END
destinations:
  - {name: influx, type: remote_write, url: '$(url_of influxd)/api/v1/prom/write?db=prom', batch: {max_age: 50ms}}
END
    start_firekeep writer "$work/writer-prom" "${port[firekeep]}" --config.file="$work/writer.yml" && within 20 all_open || return 1
    awk 'BEGIN {
        split("up node_load1 a:b", name, " "); split("x y xy", job, " ")
        for (i = 0; i < 30; i++) for (n = 0; n < 20; n++)
            printf "%s{instance=\"i%d\"%s} %s %.0f\n", name[i % 3 + 1], i % 5, i % 4 ? ",job=\"" job[i % 4] "\"" : "", n * i + 0.1, 1700000000000 + n * 15000
    }' >"$work/finite.prom" &&
        "$firekeep" import --url="$url" "$work/finite.prom" && within 60 all_settled influx &&
        [[ $(samples dead_lettered_total influx) == 0 ]]
}

reads_prometheus_endpoint() {
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - {name: influx, type: remote_read, url: '$(url_of influxd)/api/v1/prom/read?db=prom'}
END
    start_firekeep reader "$work/reader-prom" "${port[reader]}" --config.file="$work/reader.yml"
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

prometheus_endpoint_round() {
    local who="endpoints for Prometheus"
    claim "$who: they are given series" prometheus_endpoint_has || return
    claim "$who: a server without a store starts" reads_prometheus_endpoint || return
    claim "$who: everything comes back" same --match '{__name__!=""}'
    claim "$who: questions are answered the same" same_at_endpoint
    stop reader
    stop writer
}

# A missing database is reported for any request.
names_no_database() {
    local query
    for query in up '{__name__=~".+"}' '{job="node"}'; do
        curl -sgG --noproxy '*' --max-time 60 "$reader/api/v1/query" --data-urlencode "query=$query" | tee "$work/nowhere.txt"
        grep -q 'database not found: nowhere' "$work/nowhere.txt" || return 1
    done
    ! build/firekeep sources test influx --config.file="$work/reader.yml"
}

claim "InfluxDB starts" start_influxd || exit 1
claim "a server starts with a database that is not there" reads 1 nowhere
claim "each query says so" names_no_database
stop reader
random_round 1 "${CASES:-50}"
prometheus_endpoint_round
[[ -n ${ONLY_RANDOM-} ]] || round 1 kinds "$work/kinds.rw"
[[ -n ${ONLY_RANDOM-} ]] || round 1 floats "$SAMPLES/node15s.rw" --first 100
[[ -n ${ONLY_RANDOM-} ]] || round 1 histograms "$SAMPLES/v2hist.rw"
for version in ${VERSIONS-2 3}; do
    claim "the double of version $version starts, for random questions" start_double || exit 1
    random_round $version "${CASES:-25}"
    stop double
    claim "the double of version $version starts" start_double || exit 1
    [[ -n ${ONLY_RANDOM-} ]] || round $version kinds "$work/kinds.rw"
    stop double
    claim "the double of version $version starts again" start_double || exit 1
    [[ -n ${ONLY_RANDOM-} ]] || round $version floats "$SAMPLES/node15s.rw" --first 2 --skip 1
    stop double
    claim "the double of version $version starts once more" start_double || exit 1
    [[ -n ${ONLY_RANDOM-} ]] || round $version histograms "$SAMPLES/v2hist.rw" --first 40
    stop double
done
done_testing
