#!/bin/bash
# influxql.sh - queries as InfluxDB 1 has them: forms of results, errors, permissions, other metrics; and random
# statements whose results are those of a real InfluxDB.

. tests/lib.sh
read -r port peer_port rpc_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
statements=$([[ ${LONG-0} == 1 ]] && echo 5000 || echo 600)

# ask STATEMENT [CURL-ARGUMENT...]: prints the response, then its status and type
ask() {
    curl -s --noproxy '*' -G -w '\n%{http_code} %{content_type}' --data-urlencode "q=$1" "${@:2}" "$url/query"
}

answers() { # STATUS TEXT STATEMENT [CURL-ARGUMENT...]
    local said
    said=$(ask "${@:3}" 2>&1)
    echo "$said"
    [[ ${said##*$'\n'} == "$1 "* && $said == *"$2"* ]]
}

write() { # LINES [CURL-ARGUMENT...]
    [[ $(curl -s --noproxy '*' -o /dev/stderr -w '%{http_code}' --data-binary "$1" "${@:2}" "$url/write?db=d&precision=s") == 204 ]]
}

is_page() {
    curl -s --noproxy '*' "$url/query" | grep -q '<!doctype html>'
}

pings() {
    curl -s --noproxy '*' -D - "$url/ping" | grep -qi '^x-influxdb-version: 1\.'
}

is_healthy() {
    curl -s --noproxy '*' -H 'Accept: application/json' "$url/health" | grep -F '"status":"pass"'
}

# The same result in lines and in one, with a text that ends with a backslash before the next.
pretty_is_the_same() {
    local plain pretty
    printf 'slash{a="q\\\\",b="{,:"} 1 %s\n' "$(now_ms)" >"$work/sent.prom"
    build/firekeep import --url="$url" "$work/sent.prom" || return 1
    plain=$(curl -s --noproxy '*' -G "$url/query" --data-urlencode 'q=SELECT * FROM slash' -d db=prometheus)
    pretty=$(curl -s --noproxy '*' -G "$url/query" --data-urlencode 'q=SELECT * FROM slash' -d db=prometheus -d pretty=true)
    echo "$plain" "$pretty"
    [[ $plain == *'"q\\","{,:"'* && $pretty == *'"q\\",'$'\n'* && $(jq -c . <<<"$pretty") == "$plain" ]]
}

posts() {
    curl -s --noproxy '*' --data-urlencode 'q=SHOW DATABASES' "$url/query" | tee /dev/stderr | grep -qF '[["d"],["prometheus"]]'
}

asks() {
    local t
    t=$(($(date +%s) - 60))
    claim "lines are taken" write "m,host=a v=1,n=2i $t"$'\n'"m,host=b v=3.5 $((t + 1))"
    printf 'requests_total{job="x"} 5 %s\n' "$(now_ms)" >"$work/sent.prom"
    claim "a metric of Prometheus is stored" build/firekeep import --url="$url" "$work/sent.prom"
    claim "the page at /query is still there" is_page
    claim "/ping has a version" pings
    claim "/health is understood by clients" is_healthy
    claim "a statement in a form is answered" posts
    claim "a metric of Prometheus is a measurement of the database prometheus" \
        answers 200 '"columns":["time","job","value"],"values":[[' 'SELECT * FROM requests_total' -d db=prometheus
    claim "times are as wanted" answers 200 "[$t,1,2]" "SELECT v, n FROM m WHERE host = 'a'" -d db=d -d epoch=s
    claim "results come as CSV" answers 200 "m,host=b,$((t + 1)),3.5" 'SELECT v FROM m GROUP BY host' -d db=d -d epoch=s \
        -H 'Accept: application/csv'
    claim "results come in chunks" answers 200 '"partial":true}]}' 'SELECT v FROM m' -d db=d -d chunked=true -d chunk_size=1
    claim "results come in lines" answers 200 '            "statement_id": 0,' 'SELECT v FROM m' -d db=d -d pretty=true
    claim "and are the same, whatever the texts have" pretty_is_the_same
    claim "several statements are answered" answers 200 '{"statement_id":1,"series":' 'SHOW DATABASES; SHOW MEASUREMENTS' -d db=d
    claim "after an error none is" answers 200 '"error":"undefined function nix()"},{"statement_id":1,"error":"not executed"}' \
        'SELECT nix(v) FROM m; SHOW DATABASES' -d db=d
    claim "a malformed statement is refused with its place" answers 400 \
        '{"error":"error parsing query: found EOF, expected FROM at line 1, char 9"}' 'SELECT v'
    claim "a database is required" answers 200 '"error":"database name required"' 'SHOW MEASUREMENTS'
    claim "CREATE DATABASE is answered" answers 200 '{"results":[{"statement_id":0}]}' 'CREATE DATABASE x'
    claim "INTO is refused by name" answers 400 'SELECT INTO is not supported' 'SELECT v INTO x FROM m' -d db=d
    local texts='(SELECT v, host AS h FROM m)'
    claim "a window without a text is filled with none" answers 200 '"series":[' \
        "SELECT last(h) FROM $texts WHERE time > now() - 1h GROUP BY time(1m) fill(99999999)" -d db=d
    claim "nor is one beside a number" answers 200 '"series":[' \
        "SELECT first(v), h FROM $texts WHERE time > now() - 1h GROUP BY time(1m) fill(7)" -d db=d
    claim "a text is not added up" answers 200 'sum() takes no texts' "SELECT sum(h) FROM $texts" -d db=d
    claim "and not the last of some" answers 200 'difference() takes no texts' \
        "SELECT difference(last(h)) FROM $texts WHERE time > now() - 1h GROUP BY time(1m)" -d db=d
    claim "an operation on one gives nothing" answers 200 ',null,1]' "SELECT h + 1 AS n, v FROM $texts" -d db=d
    claim "windows may reach to the end of time" answers 200 '"series":[' \
        'SELECT count(v) FROM m WHERE time > 0 AND time < 9223372036854775807 GROUP BY time(36500d) fill(0)' -d db=d
    claim "beyond it there is none" answers 200 'not compatible' "SELECT v FROM m WHERE time > '2500-01-01T00:00:00Z'" -d db=d
    claim "a folder of zones is none" answers 200 'unable to find time zone' "SELECT v FROM m tz('Europe')" -d db=d
    claim "DROP is refused by name" answers 400 'drop is not supported' 'DROP MEASUREMENT m' -d db=d
    replays
}

# What Telegraf's output and Grafana's source for InfluxDB 1 send.
telegraf_writes() {
    printf 'cpu,cpu=cpu0,host=web-1 usage_idle=97.5,usage_user=1.25 %s000000000\ncpu,cpu=cpu1,host=web-1 usage_idle=99 %s000000000\n' \
        "$1" "$1" | gzip >"$work/telegraf.gz"
    answers 200 '{"results":[{"statement_id":0}]}' 'CREATE DATABASE "telegraf"' -X POST -A Telegraf/1.30.0 || return 1
    [[ $(curl -s --noproxy '*' -o /dev/stderr -w '%{http_code}' -A Telegraf/1.30.0 -H 'Content-Type: text/plain; charset=utf-8' \
        -H 'Content-Encoding: gzip' --data-binary "@$work/telegraf.gz" "$url/write?db=telegraf") == 204 ]]
}

grafana() { # TEXT STATEMENT
    answers 200 "$1" "$2" -d db=telegraf -d epoch=ms -A Grafana/11.0.0
}

replays() {
    local t
    t=$(($(date +%s) / 10 * 10 - 60))
    local from="time >= $((t - 30))000ms and time <= $((t + 10))000ms"
    claim "Telegraf writes" telegraf_writes "$t"
    claim "Grafana finds the source healthy" grafana '["autogen",' 'SHOW RETENTION POLICIES on "telegraf"'
    claim "and measurements" grafana '[["cpu"]]' 'SHOW MEASUREMENTS LIMIT 100'
    claim "and fields" grafana '["usage_idle","float"]' 'SHOW FIELD KEYS FROM "cpu"'
    claim "and keys of ad hoc filters" grafana '[["cpu"],["host"]]' 'SHOW TAG KEYS FROM "cpu"'
    claim "and values of variables" grafana '["cpu","cpu1"]' \
        "SHOW TAG VALUES FROM \"cpu\" WITH KEY = \"cpu\" WHERE \"host\" =~ /^web-1\$/"
    claim "and series of a panel" grafana '"tags":{"cpu":"cpu0"},"columns":["time","mean"],"values":[['"$((t - 30))000,null]," \
        "SELECT mean(\"usage_idle\") FROM \"cpu\" WHERE (\"host\"::tag =~ /^web-1\$/ AND \"cpu\"::tag = 'cpu0') AND $from GROUP BY time(10s), \"cpu\"::tag fill(null)"
    claim "and what an alert asks" grafana "[$t"'000,98.25]' \
        "SELECT mean(\"usage_idle\") FROM \"telegraf\".\"autogen\".\"cpu\" WHERE $from GROUP BY time(10s) fill(none)"
    claim "and days of another zone" grafana ',2]' \
        "SELECT count(\"usage_idle\") FROM \"cpu\" WHERE time >= $((t - 86400))s AND time <= ${t}s GROUP BY time(1d) fill(none) tz('Asia/Tokyo')"
    claim "texts of times are those of the zone" answers 200 '+09:00",' "SELECT usage_user FROM cpu tz('Asia/Tokyo')" -d db=telegraf
    claim "a zone that there is not is refused" answers 200 'unable to find time zone' "SELECT usage_user FROM cpu tz('Mars/Base')" -d db=telegraf
}

begin_influxdb() {
    cat >"$work/influxdb.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:$rpc_port"
[meta]
dir = "$work/influxdb/meta"
[data]
dir = "$work/influxdb/data"
wal-dir = "$work/influxdb/wal"
[coordinator]
query-timeout = "10s"
max-select-buckets = 100000
[http]
bind-address = "127.0.0.1:$peer_port"
log-enabled = false
[monitor]
store-enabled = false
END
    start influxdb influxd -config "$work/influxdb.conf" && wait_ready influxdb "$peer_url/ping"
}

# The hash of "secret" by bcrypt, with cost 4.
# shellcheck disable=SC2016 # the hash is not a variable
begin_with_users() {
    cat >"$work/users.yml" <<'END'
users:
- {name: writer, password: '$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW', permissions: [write]}
- name: reader
  password: '$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW'
  permissions: [read]
  read_matchers: ['{host="a"}']
END
    start_firekeep users "$work/users" "$port" "--config.file=$work/users.yml"
}

sees_only_a() { # STATEMENT
    local said
    said=$(ask "$1" -d db=d -u reader:secret)
    echo "$said"
    [[ $said == *'"a"'* && $said != *'"b"'* ]]
}

asks_with_users() {
    local t
    t=$(($(date +%s) - 60))
    claim "a writer writes" write "m,host=a v=1 $t"$'\n'"m,host=b v=3.5 $t" -u writer:secret
    claim "without credentials nothing is answered" answers 401 '' 'SHOW DATABASES'
    claim "the page asks nobody" is_page
    claim "a writer may create a database" answers 200 '{"statement_id":0}' 'CREATE DATABASE d' -d u=writer -d p=secret
    claim "and read nothing" answers 200 'not permitted' 'SELECT v FROM m' -d db=d -d u=writer -d p=secret
    claim "a reader may create none" answers 200 'not permitted' 'CREATE DATABASE d' -u reader:secret
    claim "a reader sees the series of its matchers" sees_only_a 'SELECT v, host FROM m'
    claim "and no other values of tags" sees_only_a 'SHOW TAG VALUES WITH KEY = host'
}

claim "a server starts" start_firekeep server "$work/data" "$port" && asks
stop server
claim "a server with users starts" begin_with_users && asks_with_users
stop users
if command -v influxd >/dev/null && influxd version 2>/dev/null | grep -q 'v1\.'; then
    claim "InfluxDB starts" begin_influxdb
    claim "a server starts beside it" start_firekeep beside "$work/beside" "$port"
    claim "results are those of InfluxDB" tests/api/compare_influxql.py "$url" "$peer_url" "$statements" 1
    stop beside
    stop influxdb
else
    skip "results are those of InfluxDB" "influxd 1 is not here"
fi
done_testing
