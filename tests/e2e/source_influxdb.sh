#!/bin/bash
# source_influxdb.sh - what a destination of type influxdb wrote into a real InfluxDB 1 comes back
# through a source of that type, bit for bit, and answers as the store that had it all along.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
firekeep=build/firekeep
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control influxd influxd_meta influxdb reader

[[ -n $SAMPLES && -f $SAMPLES/v2hist.rw ]] || { skip influxdb "no captures beside the project"; exit 0; }
has influxd || { skip influxdb "influxd is not there"; exit 0; }

reader=http://127.0.0.1:${port[reader]}
claim "InfluxDB starts" start_influxd || exit 1

# Both have the capture: the writer's own store, and InfluxDB through its destination.
writes() { # DATABASE CAPTURE...
    local database=$1 capture
    shift
    influx_query "CREATE DATABASE \"$database\"" || return 1
    cat >"$work/writer.yml" <<END
destinations:
  - {name: influx, type: influxdb, version: 1, url: '$(url_of influxd)', database: $database, batch: {max_age: 50ms}}
END
    start_firekeep writer "$work/writer-$database" "${port[firekeep]}" --config.file="$work/writer.yml" || return 1
    within 20 all_open || return 1
    for capture; do
        is_acknowledged "$capture" || return 1
    done
    within 120 all_settled influx || return 1
    [[ $(samples dead_lettered_total influx) == 0 ]]
}

reads() { # DATABASE [LINE]
    cat >"$work/reader.yml" <<END
storage: {mode: none}
sources:
  - name: influx
    type: influxdb
    version: 1
    url: $(url_of influxd)
    database: $1
    ${2-}
END
    start_firekeep reader "$work/reader-$1" "${port[reader]}" --config.file="$work/reader.yml"
}

same() { # ARGUMENT...
    "$TOOLS/rrcompare" "$url" "$reader" "${whole[@]}" --streamed --quiet "$@"
}

every_kind | "$TOOLS/rwmake" --version 2 >"$work/kinds.rw"
for round in kinds node15s v2hist; do
    capture=$SAMPLES/$round.rw
    [[ $round != kinds ]] || capture=$work/kinds.rw
    claim "$round: InfluxDB is given the capture" writes "$round" "$capture" || break
    claim "$round: a server without a store starts" reads "$round" || break
    claim "$round: everything comes back, bit for bit" same
    stop reader
    stop writer
done
((failures == 0))
