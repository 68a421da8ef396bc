#!/bin/bash
# query.sh - `firekeep query` prints the same over a server and from its directory, in all formats;
# and over a real Prometheus; and its charts fit into the terminal.

. tests/lib.sh
firekeep=build/firekeep
read -r port peer_port < <(free_ports 2 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
program=$PEERS/prometheus/usr/bin/prometheus
hour=(--start=2023-11-14T22:00:00Z --end=2023-11-14T23:00:00Z)

# Floats with gaps, NaN and infinities, names in quotes, labels that want escapes, native histograms.
make_samples() {
    local t
    {
        echo '@series load{job="a"}'
        for t in {0..180}; do
            ((t > 60 && t < 80)) || echo "load{job=\"a\"} $((t * t % 97)).5 $((1700000000000 + t * 15000))"
            echo "load{job=\"b, \\\"c\\\"\"} $((t % 50))e3 $((1700000000000 + t * 15000))"
        done
        echo 'odd{is="nan"} NaN 1700000000000'
        echo 'odd{is="inf"} +Inf 1700000000000'
        echo 'odd{is="minus"} -Inf 1700000000000'
        echo 'odd{is="small"} 5e-324 1700000000000'
        for t in {0..40}; do
            echo "@histogram latency{code=\"200\"} $((1700000000000 + t * 15000)) kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=$((9 + t)) pos=-2:2,3:1/$((2 + t)),3,2"
            echo "@histogram gauge{code=\"500\"} $((1700000000000 + t * 15000)) kind=float schema=0 hint=3 threshold=0 zero=0.5 sum=-3.25 count=4 neg=0:1/1.5 pos=0:1/2"
        done
    } | grep -v '^@series' >"$work/samples.txt"
    "$TOOLS/rwmake" --version 2 <"$work/samples.txt" >"$work/samples.rw"
}

takes() { # URL
    "$TOOLS/rwreplay" "$work/samples.rw" "$1/api/v1/write" >"$work/replay.txt" 2>&1 ||
        tail -n 3 "$work/replay.txt"
}

begin_peer() {
    cat >"$work/prometheus.yml" <<'END'
storage:
  tsdb:
    out_of_order_time_window: 3650d
END
    start peer "$program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/peer" \
        --storage.tsdb.retention.time=20y --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --web.enable-remote-write-receiver --enable-feature=native-histograms
    wait_ready peer "$peer_url/-/ready"
}

# --- the same from each source --------------------------------------------------------------------

instant=('load' 'load[2m]' 'odd' '1 + 1' '"a string with \"quotes\""' 'latency' 'gauge[1m]'
    'sum(load)' 'count_values("of.utf8", load{job="a"})' 'nothing_of_this_name' 'rate(latency[5m])'
    'histogram_quantile(0.9, latency)' 'load / 0' 'latency > 1' 'rate(load[5m])')
range=('load' 'rate(load[1m])' 'sum by (job) (load)' '42' 'latency' 'odd' 'nothing_of_this_name'
    'histogram_count(latency) or load' '{__name__=~"load|gauge"}')
bad=('load{' 'load + on() group_left load[1m]' 'load and on() sum(load) * on() load' 'unknown(load)'
    'load * on() load')

# All that is printed, and the status.
asked() { # FILE ARGUMENT...
    local file=$1
    shift
    "$firekeep" query "$@" >"$file.out" 2>"$file.err"
    echo "status $?" >>"$file.out"
}

ask_all() { # NAME TARGET-FLAG
    local n=0 format expression
    mkdir -p "$work/of-$1"
    for format in table csv json chart; do
        for expression in "${instant[@]}"; do
            asked "$work/of-$1/$((++n))" "$2" --time=1700000300 --format=$format "$expression"
        done
        for expression in "${range[@]}"; do
            asked "$work/of-$1/$((++n))" "$2" "${hour[@]}" --format=$format "$expression"
        done
    done
    for expression in "${bad[@]}"; do
        asked "$work/of-$1/$((++n))" "$2" --time=1700000300 "$expression"
        asked "$work/of-$1/$((++n))" "$2" "${hour[@]}" "$expression"
    done
    asked "$work/of-$1/$((++n))" "$2" --time=1700000300 --limit=1 'load'
    asked "$work/of-$1/$((++n))" "$2" --time=1700000300 --limit=1 --format=json 'load'
    asked "$work/of-$1/$((++n))" "$2" --time=1700000300 --limit=2 'load'
    asked "$work/of-$1/$((++n))" "$2" --time=1700003000 'load'
    asked "$work/of-$1/$((++n))" "$2" --time=1700003000 --lookback-delta=1h 'load'
    asked "$work/of-$1/$((++n))" "$2" "${hour[@]}" --step=7m30s 'load'
    asked "$work/of-$1/$((++n))" "$2" "${hour[@]}" --step=500ms 'load'
    echo "$n questions"
    ((n > 100))
}

# The first answer shows that there are any.
are_the_same() { # A B
    head -n 4 "$work/of-$1/1.out"
    grep -q 'load{job="a"}' "$work/of-$1/1.out" && diff -r "$work/of-$1" "$work/of-$2"
}

# Some errors name series in another order.
outputs_are_the_same() {
    diff -r -x '*.err' "$work/of-server" "$work/of-peer"
}

is_the_data() { # PATH ARGUMENT... -- QUERY-ARGUMENT...
    local path=$1 curl_arguments=() data
    shift
    while [[ $1 != -- ]]; do
        curl_arguments+=(--data-urlencode "$1")
        shift
    done
    shift
    data=$(curl -sf --noproxy '*' "$url/api/v1/$path" "${curl_arguments[@]}")
    data=${data#'{"status":"success","data":'}
    [[ -n $data && ${data%\}} == "$("$firekeep" query --url="$url" --format=json "$@")" ]]
}

claim "samples are made" make_samples
claim "starts" start_firekeep firekeep "$work/data" "$port"
claim "takes samples" takes "$url"
claim "all is asked of the server" ask_all server --url="$url"
claim "json is the data of the API" is_the_data query 'query={__name__=~".+"}' time=1700000300 -- \
    --time=1700000300 '{__name__=~".+"}'
claim "of a range, too" is_the_data query_range 'query={__name__=~".+"}' start=1700000000 end=1700000600.5 \
    step=1.5 -- --start=1700000000 --end=1700000600.5 --step=1500ms '{__name__=~".+"}'
claim "a range of an hour has a step of 14 s" is_the_data query_range query=load start=1699999200 \
    end=1700002800 step=14 -- "${hour[@]}" load
claim "a slash at the end of the URL does no harm" says 'load{job="a"}' 0 \
    "$firekeep" query --url="$url/" --time=1700000300 load
claim "a path in the URL is what the API is below" says 'load{job="a"}' 0 \
    "$firekeep" query --url="$url/prometheus" --time=1700000300 load
claim "a server without such an API is told" says "status 404" 1 \
    "$firekeep" query --url="$url/elsewhere" load
claim "a timeout is that of the server" says "query timed out" 1 "$firekeep" query --url="$url" \
    --timeout=1ms --time=1700003600 'sum_over_time(rate(load[1h])[1y:10s])'
claim "a server that is not there is told" says "127.0.0.1:1" 1 "$firekeep" query --url=http://127.0.0.1:1 up

# --- a real Prometheus ---------------------------------------------------------------------------

if [[ ! -x $program ]]; then
    skip "a real Prometheus is asked" "tests/peers/fetch gets it"
else
    claim "a Prometheus 3 starts" begin_peer
    claim "it takes the samples" takes "$peer_url"
    claim "all is asked of it" ask_all peer --url="$peer_url"
    claim "the same is on standard output" outputs_are_the_same
fi

# --- wrong use, errors, notices ------------------------------------------------------------------

claim "an error of the language is told with its place" says "query: 1:6: parse error: " 2 \
    "$firekeep" query --url="$url" 'load{'
claim "an error of the evaluation has status 1" says "many-to-many matching not allowed" 1 \
    "$firekeep" query --url="$url" --time=1700000300 'load * on() load'
claim "a range vector over a range is told" says "must be Scalar or instant Vector" 2 \
    "$firekeep" query --url="$url" --start=0 --end=10 'load[1m]'
claim "infos go to standard error" says "PromQL info: metric might not be a counter" 0 \
    "$firekeep" query --url="$url" --time=1700000300 'rate(load[5m])'
claim "as JSON nothing but the data is on standard output" bash -c \
    "'$firekeep' query --url='$url' --time=1700000300 --format=json 'rate(load[5m])' 2>/dev/null | jq -e .resultType"
claim "an empty result is told" says "the result is empty" 0 "$firekeep" query --url="$url" nothing
full_disk() {
    "$firekeep" query --url="$url" "${hour[@]}" --step=1s load >/dev/full
}
claim "output that cannot be written is told, once" says "cannot write to standard output: an earlier write failed" 1 full_disk
claim "a reader that has seen enough ends it without a word" bash -c \
    "'$firekeep' query --url='$url' --time=1700003000 'load[1h]' 2>&1 | head -n 2 | wc -l | grep -x 2"

# --- charts --------------------------------------------------------------------------------------

fits() { # WIDTH HEIGHT COMMAND...
    local width=$1 height=$2
    shift 2
    "$@" >"$work/chart.txt" 2>/dev/null
    cat "$work/chart.txt"
    awk -v width="$width" -v height="$height" '{ sub(/\r$/, ""); if (length($0) > width) bad = 1 }
        END { exit bad || NR < height / 2 || NR >= height }' "$work/chart.txt"
}
# Runs it on a terminal of that size.
on_terminal() { # WIDTH HEIGHT ARGUMENT...
    local width=$1 height=$2
    shift 2
    script -qec "stty cols $width rows $height; exec $(printf '%q ' "$firekeep" query --url="$url" "$@")" /dev/null </dev/null
}
chart=("$firekeep" query --url="$url" "${hour[@]}" --format=chart)
claim "chart: 80 by 24 in a pipe" fits 80 24 "${chart[@]}" '{__name__=~"load|odd"}'
claim "chart: as the terminal is" fits 132 40 on_terminal 132 40 "${hour[@]}" --format=chart load
claim "chart: and all of its width is used" awk 'length($0) > 125 { wide = 1 } END { exit !wide }' "$work/chart.txt"
claim "chart: the hour before now is the default" says '* {}' 0 "$firekeep" query --url="$url" --format=chart 'time()'
claim "chart: histograms are named as what it does not show" says "native histograms are not shown" 0 \
    "${chart[@]}" '{__name__=~"latency|gauge|load"}'
claim "a caret shows the place" says $'\n  load{\n       ^' 2 "$firekeep" query --url="$url" 'load{'

# --- results as CSV ------------------------------------------------------------------------------

rows() { # EXPR
    "$firekeep" query --url="$url" "${hour[@]}" --step=1m --format=csv "$1"
}
imports_result() { # TEXT STATUS EXPR
    rows "$3" >"$work/result.csv" &&
        says "$1" "$2" "$firekeep" import --url="$url" "$work/result.csv"
}
is_there_again() {
    rows 'sum by (job) (load)' >"$work/before.csv" && rows 'max_over_time(res[1s])' >"$work/after.csv"
    [[ $(wc -l <"$work/before.csv") -gt 90 ]] && diff "$work/before.csv" "$work/after.csv"
}
claim "csv: floats that have a name are imported" imports_result '' 0 \
    'label_replace(sum by (job) (load), "__name__", "res", "", "")'
claim "csv: and are there" is_there_again
claim "csv: series without a name are refused" imports_result missing_name 1 'sum by (job) (load)'
claim "csv: native histograms are bad lines" imports_result 'is not a valid number' 1 'latency'

peak() { # ARGUMENT...
    python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)' "$@"
}
memory_stays() { # FORMAT
    local one many
    one=$(peak "$firekeep" query --url="$url" --format="$1" --time=1700000001 'many[1s]')
    many=$(peak "$firekeep" query --url="$url" --format="$1" --time=1700001000 'many[1h]')
    echo "$one MiB for a point, $many MiB for a million"
    ((many < one + 80))
}
awk 'BEGIN { for (t = 1; t <= 1000000; t++) printf "many{a=\"b\"} %d %.0f\n", t * t % 9973, 1700000000000 + t }' >"$work/many.prom"
claim "a million samples are imported" "$firekeep" import --url="$url" "$work/many.prom"
for format in table json; do
    claim "large: $format of a million points takes at most 80 bytes each" memory_stays $format
done
claim "large: all are there" test "$("$firekeep" query --url="$url" --format=csv --time=1700001000 'many[1h]' | wc -l)" == 1000001

# --- the directory -------------------------------------------------------------------------------

claim "SIGTERM ends it with status 0" stop firekeep
claim "all is asked of the directory" ask_all directory --storage.path="$work/data"
claim "server and directory give the same, in all formats" are_the_same server directory
claim "a look-back of the configuration counts" says 'load{job="a"}' 0 bash -c \
    "printf 'query:\n    lookback_delta: 1h\n' >'$work/firekeep.yml' &&
        '$firekeep' query --storage.path='$work/data' --config.file='$work/firekeep.yml' --time=1700003000 load"
claim "the evaluation interval of the configuration is the step of subqueries that give none" says '{}         20  ' 0 bash -c \
    "printf 'global:\n    evaluation_interval: 30s\n' >'$work/interval.yml' &&
        '$firekeep' query --storage.path='$work/data' --config.file='$work/interval.yml' --time=1700003000 'count_over_time(vector(1)[10m:])'"
claim "sources of the configuration are not read, and that is said" says 'sources, which are not read' 0 bash -c \
    "printf 'sources: [{name: a, type: remote_read, url: \"http://127.0.0.1:1/\"}]\n' >'$work/sources.yml' &&
        '$firekeep' query --storage.path='$work/data' --config.file='$work/sources.yml' --time=1700003000 load"
claim "other tenants have no such series" says "the result is empty" 0 \
    "$firekeep" query --storage.path="$work/data" --tenant=other --time=1700000300 load
claim "a timeout ends a query of a directory" says "query timed out" 1 "$firekeep" query \
    --storage.path="$work/data" --timeout=1ms --time=1700003600 'sum_over_time(rate(load[1h])[1y:10s])'
done_testing
