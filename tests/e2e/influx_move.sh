#!/bin/bash
# influx_move.sh - the recipe of docs/migrate.md: samples of Telegraf move from a real InfluxDB 1, and the statements of
# its dashboards have the same results afterwards.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control influxd influxd_meta

has influxd || skip_all influx_move "influxd is not there"
now=$(date +%s) begin=$((now - now % 3600 - 7200))

lines() { # FROM TO: one for each host and ten seconds
    local t host
    for ((t = $1; t < $2; t += 10)); do
        for host in a 'b\ c'; do
            printf 'cpu,host=%s,region=eu usage_idle=%d.5,cores=%di %d\n' "$host" $((t / 10 % 90)) $((t % 7)) "$t"
            printf 'disk,host=%s value=%d %d\n' "$host" $((t % 1000)) "$t"
        done
    done
}

asks() { # URL STATEMENT
    quiet_curl -G "$1/query" --data-urlencode db=telegraf --data-urlencode epoch=ms --data-urlencode "q=$2"
}

is_same() { # STATEMENT
    asks "$(url_of influxd)" "$1" >"$work/theirs"
    asks "$(url_of firekeep)" "$1" >"$work/ours"
    grep -q values "$work/theirs" && diff "$work/theirs" "$work/ours"
}

starts_firekeep() {
    cat >"$work/firekeep.yml" <<END
sources:
  - name: old
    type: influxdb
    url: $(url_of influxd)
    version: 1
    database: telegraf
    mapping: telegraf
END
    start firekeep build/firekeep serve --storage.path="$work/stores" --web.listen-address="127.0.0.1:${port[firekeep]}"
    wait_ready firekeep "$(url_of firekeep)/-/ready"
}

claim "InfluxDB starts" start_influxd
influx_query 'CREATE DATABASE telegraf' >"$work/created"
lines "$begin" $((begin + 7000)) >"$work/old"
lines $((begin + 7000)) $((begin + 7200)) >"$work/new"
writes() { quiet_curl -XPOST "$(url_of "$1")/write?db=telegraf&precision=s" --data-binary "@$work/$2"; }
claim "it has lines of Telegraf" writes influxd old
claim "Firekeep starts" starts_firekeep
claim "new lines go to both" eval 'writes influxd new && writes firekeep new'
claim "the rest is copied" build/firekeep copy --config.file="$work/firekeep.yml" --start="$begin" --end=$((begin + 7000)) \
    --url="$(url_of firekeep)" --work="$work/copying" old local
while read -r statement; do
    claim "the same: $statement" is_same "${statement//BETWEEN/time >= ${begin}s AND time < $((begin + 7200))s}"
done <<'END'
SELECT mean(usage_idle) FROM cpu WHERE BETWEEN GROUP BY time(10m), host fill(null)
SELECT max(cores) FROM cpu WHERE host = 'b c' AND BETWEEN GROUP BY time(1h)
SELECT non_negative_derivative(last(value), 1s) FROM disk WHERE BETWEEN GROUP BY time(5m), host fill(none)
SELECT usage_idle, host FROM cpu WHERE host =~ /^a$/ AND BETWEEN LIMIT 5
SELECT count(usage_idle), count(cores) FROM cpu WHERE BETWEEN
SHOW MEASUREMENTS
SHOW TAG VALUES FROM cpu WITH KEY = host
SHOW FIELD KEYS
END
stop firekeep
stop influxd
done_testing
