#!/bin/bash
# input_clients.sh - clients that others publish write and read: the SDK of OpenTelemetry, node-influx, prom-client's
# Pushgateway, python3-influxdb, the shell of InfluxDB, collectd, vmagent and vmctl.

. tests/lib.sh
read -r port graphite_port tsdb_port agent_port copy_port < <(free_ports 5 | tr '\n' ' ')
url=http://127.0.0.1:$port
export NODE_PATH=${PEERS:-build/peers}/npm/node_modules

shell() { # TEXT ARGUMENT...: what the shell of InfluxDB prints
    influx -host 127.0.0.1 -port "$port" -precision rfc3339 "${@:2}" >"$work/said" 2>&1
    local status=$?
    cat "$work/said"
    [[ $status == 0 && -z $1 ]] || grep -qE -- "$1" "$work/said"
}

imports() {
    cat >"$work/lines" <<END
# DDL
CREATE DATABASE moved
# DML
# CONTEXT-DATABASE: moved
cpu,host=a usage=1.5,cores=4i 1700000000
cpu,host=b usage=2.5 1700000010
END
    shell 'Processed 2 inserts' -import -path="$work/lines" -precision=s
}

begin() {
    cat >"$work/firekeep.yml" <<END
line_listeners:
- {type: graphite, address: "127.0.0.1:$graphite_port", templates: ["collectd.* .host.measurement*"]}
- {type: opentsdb, address: "127.0.0.1:$tsdb_port"}
END
    start_firekeep server "$work/data" "$port" "--config.file=$work/firekeep.yml"
}

begin_collectd() {
    cat >"$work/collectd.conf" <<END
BaseDir "$work"
PIDFile "$work/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Hostname "web-1"
FQDNLookup false
Interval 1
LoadPlugin load
LoadPlugin write_graphite
LoadPlugin write_tsdb
<Plugin write_graphite>
  <Node "paths">
    Host "127.0.0.1"
    Port "$graphite_port"
    Prefix "collectd."
  </Node>
  <Node "tags">
    Host "127.0.0.1"
    Port "$graphite_port"
    Prefix "tagged."
    UseTags true
  </Node>
</Plugin>
<Plugin write_tsdb>
  <Node>
    Host "127.0.0.1"
    Port "$tsdb_port"
    HostTags "status=production"
  </Node>
</Plugin>
END
    start collectd collectd -f -C "$work/collectd.conf"
}

has() { # SELECTOR
    curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1" | grep -q '"value":'
}

refuses_no_line() {
    ! curl -s --noproxy '*' "$url/metrics" | grep '^firekeep_input_refused_lines_total.* [1-9]'
}

begin_vmagent() {
    printf 'global: {scrape_interval: 1s}\nscrape_configs: [{job_name: vm, static_configs: [{targets: ["127.0.0.1:%s"]}]}]\n' \
        "$port" >"$work/scrape.yml"
    start vmagent "$vm/vmagent" -promscrape.config="$work/scrape.yml" -remoteWrite.url="$url/api/v1/write" \
        -remoteWrite.tmpDataPath="$work/vmagent" -remoteWrite.flushInterval=1s -httpListenAddr="127.0.0.1:$agent_port"
}

stored() { # PORT: samples of one series, and all series
    local expression
    for expression in 'sum(count_over_time(up{job="vm"}[1h]))' 'count(last_over_time({job="vm"}[1h]))'; do
        curl -s --noproxy '*' -G "http://127.0.0.1:$1/api/v1/query" --data-urlencode "query=$expression" |
            jq -r '.data.result[0].value[1]'
    done
}

vmctl_copies() {
    timeout 60 "$vm/vmctl" remote-read -s --disable-progress-bar --remote-read-src-addr="$url" --remote-read-step-interval=day \
        --remote-read-filter-time-start="$(date -u -d '2 hours ago' +%Y-%m-%dT%H:%M:%SZ)" \
        --vm-addr="http://127.0.0.1:$copy_port" || return 1
    stored "$port"
    stored "$copy_port"
    [[ $(stored "$port") != *null* && $(stored "$port") == "$(stored "$copy_port")" ]]
}

vm=$PEERS/victoria-metrics/usr/bin
claim "a server starts" begin
if [[ -d $NODE_PATH/influx ]]; then
    for client in influx prom otlp-proto otlp-json; do
        claim "$client writes and reads" timeout 60 node tests/tools/input_clients.js "$client" "$url"
    done
else
    skip "clients of npm" "tests/peers/fetch_npm has not fetched them"
fi
if python3 -c 'import influxdb' 2>/dev/null; then
    claim "python3-influxdb writes and reads" timeout 60 tests/tools/influx_client.py 127.0.0.1 "$port"
else
    skip "python3-influxdb" "it is not here"
fi
if command -v influx >/dev/null; then
    claim "the shell of InfluxDB imports a file" imports
    claim "it shows databases" shell '^moved$' -execute 'SHOW DATABASES'
    claim "it shows fields" shell '^cores +integer' -database moved -execute 'SHOW FIELD KEYS'
    claim "it selects" shell '^2023-11-14T22:13:20Z +4 +a +1.5' -database moved -execute 'SELECT * FROM cpu LIMIT 1'
    claim "it inserts" shell '' -database moved -execute 'INSERT cpu,host=c usage=7'
    claim "which is there" shell ' 7$' -database moved -execute "SELECT usage FROM cpu WHERE host = 'c'"
    claim "it prints CSV" shell '^cpu,1700000000000000000,1.5' -database moved -format csv -precision ns \
        -execute "SELECT usage FROM cpu WHERE host = 'a'"
else
    skip "the shell of InfluxDB" "influx is not there"
fi
if command -v collectd >/dev/null; then
    claim "collectd starts" begin_collectd
    claim "it writes paths of Graphite" within 60 has 'load_load_shortterm{host="web-1"}'
    claim "and tags" within 60 has '{"tagged.load.load.shortterm",plugin="load",host="web-1"}'
    claim "and puts of OpenTSDB" within 60 has '{"load.load.shortterm",status="production",fqdn="web-1"}'
    claim "of which no line is refused" refuses_no_line
    stop collectd
else
    skip "collectd" "it is not there"
fi
if [[ -x $vm/vmagent ]]; then
    claim "vmagent starts" begin_vmagent
    claim "what it scrapes is there" within 60 has 'up{job="vm"}'
    stop vmagent
    claim "a second server starts" start_firekeep copy "$work/copy" "$copy_port"
    claim "vmctl copies all of it" vmctl_copies
    stop copy
else
    skip "vmagent and vmctl" "they are not there"
fi
stop server
done_testing
