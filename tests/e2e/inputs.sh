#!/bin/bash
# inputs.sh - points of OpenTSDB, texts as VictoriaMetrics takes them, pushed metrics and listeners for lines, on a
# process: responses, samples, users, kill -9.

. tests/lib.sh
read -r port graphite telnet away < <(free_ports 4 | tr "\n" " ")
url=http://127.0.0.1:$port
data=$work/data now=$(date +%s)
curl_data=(curl -s --noproxy '*' -w '\n%{http_code}' --data-binary "@$work/body")

answered() { # STATUS TEXT PATH BODY [CURL-ARGUMENT...]
    local said
    printf '%s' "$4" >"$work/body"
    said=$("${curl_data[@]}" "${@:5}" "$url$3" 2>&1)
    echo "$said"
    [[ ${said##*$'\n'} == "$1" && $said == *"$2"* ]]
}

has() { # EXPRESSION VALUE [CURL-ARGUMENT...]
    local said
    said=$(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1" "${@:3}")
    echo "$said"
    [[ $said == *"\"$2\"]"* ]]
}

has_none() { # EXPRESSION
    [[ $(curl -s --noproxy '*' -G "$url/api/v1/query" --data-urlencode "query=$1") == *'"result":[]'* ]]
}

sends() { # PORT TEXT [ANSWER]: sends lines, and waits for the answer
    exec {line}<>/dev/tcp/127.0.0.1/"$1" || return 1
    printf '%s' "$2" >&"$line"
    local said=
    [[ -z ${3-} ]] || read -r -t 10 said <&"$line"
    exec {line}>&-
    echo "$said"
    [[ $said == *"${3-}"* ]]
}

is_cut() { # PORT TEXT: the connection ends in ten seconds
    exec {line}<>/dev/tcp/127.0.0.1/"$1" || return 1
    (trap '' PIPE && printf '%s' "$2" >&"$line") 2>/dev/null
    timeout 10 cat <&"$line" >"$work/cut" 2>&1
    local status=$?
    exec {line}>&-
    [[ $status != 124 ]] # it may be reset
}

counts() { # METRIC TEXT
    curl -s --noproxy '*' "$url/metrics" | grep -F "$1" | tee "$work/counts" | grep -qF "$2"
}

starts() { # [CONFIG-LINE...]
    printf '%s\n' "line_listeners:" "- {type: graphite, address: 127.0.0.1:$graphite, templates: ['servers.* .host.measurement*'], idle_timeout: 20s$1}" \
        "- {type: opentsdb, address: 127.0.0.1:$telnet, max_connections: 8$1}" "${@:2}" >"$work/firekeep.yml"
    start_firekeep firekeep "$data" "$port" --config.file="$work/firekeep.yml" --web.enable-admin-api
}

claim "the server starts" starts ''
point='{"metric":"sys.cpu","timestamp":'$now',"value":"18.5","tags":{"host":"a"}}'
claim "a point of OpenTSDB is taken" answered 204 '' /api/put "$point"
claim "it is there" has '{"sys.cpu",host="a"}' 18.5
claim "a summary counts" answered 200 '{"success":2,"failed":0}' '/api/put?summary' "[$point,$point]"
claim "details name each refused point" answered 400 '{"success":1,"failed":2,"errors":[{"datapoint":7,"error":"expected an object"}' \
    '/api/put?details' "[7,$point,{\"metric\":\"\"}]"
claim "without details the first is named" answered 400 'One or more data points had errors","details":"expected an object"' /api/put '[7]'
claim "what is not JSON is refused" answered 400 'Unable to parse the given JSON' /api/put '[{'
printf '%s' "$point" | gzip >"$work/zipped"
curl_zipped() { [[ $(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' -H "Content-Encoding: $2" --data-binary "@$1" "$url$3") == "$4" ]]; }
claim "gzip is unpacked" curl_zipped "$work/zipped" gzip /api/put 204
head -c 20 "$work/zipped" >"$work/cut-zipped"
claim "a body that is cut is refused" curl_zipped "$work/cut-zipped" gzip /api/put 400

claim "a text of Prometheus is taken" answered 204 '' '/api/v1/import/prometheus?extra_label=job=batch' $'# TYPE rows counter\nrows{job="x"} 5\n'
claim "with the label of the request" has 'rows{job="batch"}' 5
claim "OpenMetrics is known by its type" answered 204 '' /api/v1/import/prometheus "open_total 7 $now.5"$'\n# EOF\n' \
    -H 'Content-Type: application/openmetrics-text; version=1.0.0'
claim "and has seconds" has 'timestamp(open_total)' "$now.5"
claim "a bad line is numbered" answered 400 "1 of 2 points refused: line 2: 'x' is not a valid number" /api/v1/import/prometheus $'beside 1\nb x\n'
claim "the one beside it is there" has beside 1
claim "lines of JSON are taken" answered 204 '' /api/v1/import \
    "{\"metric\":{\"__name__\":\"json\"},\"values\":[1,2],\"timestamps\":[${now}000,${now}001]}"
claim "with all samples" has 'count_over_time(json[1m])' 2
claim "CSV is taken" answered 204 '' '/api/v1/import/csv?format=1:label:ticker,2:metric:ask,3:time:unix_s' "GOOG,1.5,$now"$'\n'
claim "by its columns" has 'ask{ticker="GOOG"}' 1.5
claim "CSV needs a format" answered 400 'format is required' /api/v1/import/csv 'a,1'

python3 - "$work" <<'END'
import sys
def field(n, b): return bytes([n << 3 | 2, len(b)]) + b
import struct
metric = field(1, field(1, b"x") + field(2, b"1")) + field(3, b"\x09" + struct.pack("<d", 3.5))
family = field(1, b"go_pushed_total") + b"\x18\x00" + field(4, metric)
open(sys.argv[1] + "/family", "wb").write(bytes([len(family)]) + family)
END
claim "a group is pushed" answered 200 '' /metrics/job/copy/instance/db1 $'rows_copied{instance="x"} 42\n'
claim "with its labels" has 'rows_copied{job="copy",instance="db1"}' 42
claim "and the time of the push" has 'push_time_seconds{job="copy"} > bool 0' 1
pushes() { # STATUS PATH [CURL-ARGUMENT...]
    [[ $(curl -s --noproxy '*' -o "$work/said" -w '%{http_code}' "${@:3}" "$url$2") == "$1" ]]
}
claim "protobuf of Go's clients is pushed" pushes 200 '/metrics/job@base64/YS9i' -X PUT --data-binary "@$work/family" \
    -H 'Content-Type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'
claim "with a job that has a slash" has 'go_pushed_total{job="a/b",x="1"}' 3.5
claim "an escaped slash is a part of the job" pushes 200 '/metrics/job/c%2Fd' --data-binary 'slashed 1
'
claim "as it was meant" has 'slashed{job="c/d"}' 1
claim "a timestamp is refused" answered 400 'must not have timestamps' /metrics/job/copy/instance/db1 $'rows_copied 43 5\n'
claim "a series that is there twice is refused" answered 400 'there twice' /metrics/job/copy/instance/db1 $'a 1\na 2\n'
claim "nothing of it is there" has_none a

claim "lines of Graphite are taken" sends "$graphite" "a.b;c=d 5 $now"$'\n'"servers.web1.cpu.load 2 $now"$'\n'
claim "with tags" within 10 has '{"a.b",c="d"}' 5
claim "and by a template" within 10 has 'cpu_load{host="web1"}' 2
claim "lines of OpenTSDB are taken, and a bad one is named" sends "$telnet" "put tel.net $now 6 host=b"$'\r\nput x\n' 'put: illegal argument'
claim "the good one is there" within 10 has '{"tel.net",host="b"}' 6
claim "diediedie is refused" sends "$telnet" $'diediedie\n' 'unknown command: diediedie'
claim "the version is told" sends "$telnet" $'version\n' firekeep
claim "an HTTP request is cut off" is_cut "$graphite" $'GET / HTTP/1.1\r\n\r\n'
claim "TLS is cut off" is_cut "$telnet" $'\x16\x03\x01\x02\n'
claim "a line without end is cut off" is_cut "$telnet" "$(head -c 70000 /dev/zero | tr '\0' x)"
claim "lines are counted" counts 'firekeep_input_lines_total{input="graphite"}' 3
claim "refused ones too" counts 'firekeep_input_refused_lines_total{input="opentsdb"}' 4

snapshot_has_groups() {
    curl -s --noproxy '*' -X POST "$url/api/v1/admin/tsdb/snapshot" >"$work/snapshot"
    cmp <(cd "$data/pushed" && ls) <(cd "$data"/snapshots/*/pushed && ls)
}
claim "a snapshot has the groups" snapshot_has_groups
crash firekeep
claim "the server starts after SIGKILL" starts ''
claim "the group is written again" within 90 has 'count_over_time(rows_copied{job="copy"}[1h]) > bool 1' 1
claim "the group is deleted" pushes 202 /metrics/job/copy/instance/db1 -X DELETE
claim "its series go stale" has_none 'rows_copied'
claim "the server stops" stop firekeep

claim "an address that others reach needs allow" says "'allow' must name who may connect" 1 \
    build/firekeep check <(echo "line_listeners: [{type: graphite, address: '0.0.0.0:$away'}]")
users=('users:' '- {name: carbon, tokens: [ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad], permissions: [write], write_labels: {zone: z1}}' '- {name: reader, tokens: [cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34], permissions: [read]}')
claim "the server starts with users" starts ', user: carbon' "${users[@]}"
claim "lines have the labels of their user" sends "$graphite" "of.user 8 $now"$'\n'
claim "which are there" within 10 has '{"of.user",zone="z1"}' 8 -H 'Authorization: Bearer def'
claim "a push needs the permission" answered 403 '' /metrics/job/x 'a 1' -H 'Authorization: Bearer def'
claim "and credentials" answered 401 '' /api/put '[]'
claim "a group has the labels of its user" answered 200 '' /metrics/job/x $'of_group 1\n' -H 'Authorization: Bearer abc'
claim "which are there, too" has 'of_group{zone="z1"}' 1 -H 'Authorization: Bearer def'
claim "the server stops again" stop firekeep
done_testing
