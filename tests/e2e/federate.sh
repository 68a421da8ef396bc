#!/bin/bash
# federate.sh - a real Prometheus federates from Firekeep, as text and as protobuf with native
# histograms, and gets the same samples; and Firekeep's answers are those of a real Prometheus, byte
# by byte.

. tests/lib.sh
firekeep=build/firekeep
read -r port peer_port puller_port < <(free_ports 3 | tr '\n' ' ')
url=http://127.0.0.1:$port
peer_url=http://127.0.0.1:$peer_port
puller_url=http://127.0.0.1:$puller_port
program=$PEERS/prometheus/usr/bin/prometheus
protobuf='application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

# One sample of each series, seconds ago. Names in quotes, values of all sizes, series that ended or are
# old, floats and histograms below one name, labels that sort before the name.
make_samples() { # LABEL-VALUE
    local now fed=$1
    now=$(now_ms)
    {
        echo "up{fed=\"$fed\",job=\"a\",instance=\"x\"} 1 $((now - 2000))"
        echo "up{fed=\"$fed\",job=\"b\"} NaN $((now - 3000))"
        echo "up{fed=\"$fed\",job=\"b\",A=\"before the name\"} -0 $((now - 3000))"
        echo "my.metric{fed=\"$fed\",job=\"j\",my.label=\"é\\n\"} -Inf $((now - 1000))"
        echo "{__name__=\"a b\",fed=\"$fed\",job=\"j\",q=\"\\\\ \\\"\"} 1e21 $((now - 1000))"
        echo "{__name__=\"1.2\",fed=\"$fed\",job=\"j\"} 5e-324 $((now - 1000))"
        echo "sizes:of{fed=\"$fed\",job=\"j\",n=\"1\"} 1000000 $((now - 1000))"
        echo "sizes:of{fed=\"$fed\",job=\"j\",n=\"2\"} 0.000012345 $((now - 1000))"
        echo "sizes:of{fed=\"$fed\",job=\"j\",n=\"3\"} 123456.75 $((now - 1000))"
        echo "ended{fed=\"$fed\",job=\"j\"} 1 $((now - 5000))"
        echo "ended{fed=\"$fed\",job=\"j\"} 0x7ff0000000000002 $((now - 4000))"
        echo "old{fed=\"$fed\",job=\"j\"} 1 $((now - 400000))"
        echo "h{fed=\"$fed\",job=\"j\"} 3 $((now - 1000))"
        echo "@histogram h{fed=\"$fed\",job=\"j\",kind=\"int\"} $((now - 1000)) kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=12.5 count=17 pos=-2:2,3:1/2,3,2 neg=0:1/8"
        echo "@histogram h{fed=\"$fed\",job=\"j\",kind=\"gauge\"} $((now - 1000)) kind=float schema=0 hint=3 threshold=0 zero=0.5 sum=-3.25 count=4 neg=0:1/1.5 pos=0:1/2"
        echo "@histogram h{fed=\"$fed\",job=\"j\",kind=\"low\"} $((now - 1000)) kind=int schema=-4 hint=1 threshold=1e-128 zero=1 sum=3 count=3 pos=1:1/2"
        echo "@histogram ended{fed=\"$fed\",job=\"j\",kind=\"int\"} $((now - 1000)) kind=int schema=0 hint=0 threshold=0 zero=0 sum=0x7ff0000000000002 count=0"
    } >"$work/samples-$fed.txt"
    cp "$work/samples-$fed.txt" "$work/custom-$fed.txt"
    echo "@histogram h{fed=\"$fed\",job=\"j\",kind=\"custom\",instance=\"i\"} $((now - 1000)) kind=int schema=-53 hint=0 threshold=0 zero=0 sum=30 count=10 pos=1:2,1:1/2,3,5 bounds=0.25,0.5,1,1e7" >>"$work/custom-$fed.txt"
    "$TOOLS/rwmake" --version 2 <"$work/samples-$fed.txt" >"$work/samples-$fed.rw" &&
        "$TOOLS/rwmake" --version 2 <"$work/custom-$fed.txt" >"$work/custom-$fed.rw"
}

takes() { # FILE URL
    "$TOOLS/rwreplay" "$1" "$2/api/v1/write" >"$work/replay.txt" 2>&1 || {
        tail -n 3 "$work/replay.txt"
        return 1
    }
}

begin_peer() {
    echo 'storage: {tsdb: {out_of_order_time_window: 1h}}' >"$work/peer.yml"
    start peer "$program" --config.file="$work/peer.yml" --storage.tsdb.path="$work/peer" \
        --web.listen-address="127.0.0.1:$peer_port" --log.level=warn \
        --web.enable-remote-write-receiver --enable-feature=native-histograms
    wait_ready peer "$peer_url/-/ready"
}

# A job for each form.
begin_puller() {
    cat >"$work/puller.yml" <<END
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: text
    honor_labels: true
    metrics_path: /federate
    params: {'match[]': ['{fed="2"}']}
    scrape_protocols: [PrometheusText1.0.0, PrometheusText0.0.4]
    static_configs: [{targets: ['127.0.0.1:$port'], labels: {form: text}}]
  - job_name: protobuf
    honor_labels: true
    metrics_path: /federate
    params: {'match[]': ['{fed="2"}']}
    scrape_protocols: [PrometheusProto]
    convert_classic_histograms_to_nhcb: true
    static_configs: [{targets: ['127.0.0.1:$port'], labels: {form: protobuf}}]
END
    start puller "$program" --config.file="$work/puller.yml" --storage.tsdb.path="$work/puller" \
        --web.listen-address="127.0.0.1:$puller_port" --log.level=warn --enable-feature=native-histograms
    wait_ready puller "$puller_url/-/ready"
}

# --- answers -------------------------------------------------------------------------------------

fetch() { # URL ACCEPT FILE QUERY
    curl -sg --noproxy '*' -H "Accept: $2" -w '%{http_code} %{content_type}\n' "$1/federate?$4" >"$3"
}

is_answered_as_by_prometheus() { # ACCEPT QUERY
    fetch "$url" "$1" "$work/ours.txt" "$2"
    fetch "$peer_url" "$1" "$work/theirs.txt" "$2"
    [[ -s $work/ours.txt ]] && diff "$work/ours.txt" "$work/theirs.txt"
}

# Messages are compared by what their readers get; here only the texts in them are checked.
has_all_kinds() {
    fetch "$url" "$protobuf;escaping=allow-utf-8" "$work/ours.bin" 'match[]={fed="1"}'
    tail -n 1 "$work/ours.bin" | grep -a "200 ${protobuf//;/; }; escaping=allow-utf-8" &&
        grep -qa 'my.metric' "$work/ours.bin" && grep -qa 'custom' "$work/ours.bin" &&
        ! grep -qa 'ended' "$work/ours.bin" && ! grep -qa 'old' "$work/ours.bin"
}

is_compressed() {
    curl -sg --noproxy '*' -H 'Accept-Encoding: gzip' -D "$work/headers.txt" -o "$work/ours.gz" \
        "$url/federate?match[]={fed=\"1\"}"
    cat "$work/headers.txt"
    grep -qi '^content-encoding: gzip' "$work/headers.txt" && fetch "$url" '' "$work/ours.txt" 'match[]={fed="1"}' &&
        gzip -dc "$work/ours.gz" | diff - <(head -n -1 "$work/ours.txt")
}

claim "starts" start_firekeep firekeep "$work/data" "$port"
claim "samples are made" make_samples 1
if [[ ! -x $program ]]; then
    skip_all "a Prometheus federates" "tests/peers/fetch gets it"
fi
claim "a Prometheus 3 starts" begin_peer
claim "takes samples" takes "$work/samples-1.rw" "$url"
claim "Prometheus takes them" takes "$work/samples-1.rw" "$peer_url"
for escaping in '' underscores dots values allow-utf-8; do
    claim "text is that of Prometheus, names escaped as '$escaping'" is_answered_as_by_prometheus \
        "text/plain${escaping:+;escaping=$escaping}" 'match[]={fed="1"}'
done
for query in 'match[]=up&match[]={job="b"}' 'match[]={fed=""}' '' 'match[]=nothing' 'match[]=up{' 'match[]=' \
    'match[]=rate(up[1m])' 'match[]=up[5m]' 'match[]={__name__=~"u.*",job!="a"}'; do
    claim "the answer to '$query' is that of Prometheus" is_answered_as_by_prometheus '*/*' "$query"
done
claim "takes a histogram of custom buckets" takes "$work/custom-1.rw" "$url"
claim "protobuf has floats and histograms, and none that ended or is old" has_all_kinds
claim "text is sent with gzip to who takes it" is_compressed

# --- a Prometheus that federates -----------------------------------------------------------------

# Prints the samples by labels and time, without the scraper's own label.
samples() { # URL SELECTOR FILE
    "$firekeep" query --url="$1" --format=csv "$2" >"$3.csv" 2>"$3.err" || return 1
    sed -E 's/,form=""(text|protobuf)""//' "$3.csv" | sort >"$3"
}

# `ended` and `old` are not in the answer.
has_the_same() { # FORM SELECTOR
    samples "$url" "{fed=\"2\"$2}[10m]" "$work/at-home" &&
        samples "$puller_url" "{fed=\"2\",form=\"$1\"$2}[10m]" "$work/pulled" &&
        (($(wc -l <"$work/at-home") > 1)) && diff "$work/at-home" "$work/pulled" >"$work/difference.txt"
}

gets_the_same() { # FORM SELECTOR
    within 20 has_the_same "$@" || {
        cat "$work/difference.txt"
        false
    }
}

is_up() { # FORM
    local answer
    answer=$(curl -sg --noproxy '*' "$puller_url/api/v1/query" --data-urlencode "query=up{form=\"$1\",job=\"$1\"}")
    echo "$answer"
    curl -s --noproxy '*' "$puller_url/api/v1/targets" | jq -r '.data.activeTargets[].lastError'
    [[ $answer == *'"1"]'* ]]
}

claim "samples are made anew" make_samples 2
claim "they are taken" takes "$work/custom-2.rw" "$url"
claim "a Prometheus 3 starts that federates" begin_puller
for form in text protobuf; do
    claim "$form: it is content" within 20 is_up $form
done
claim "text: it has the same floats" gets_the_same text ',__name__!~"h|h_.*|ended|old",A=""'
# It does not ask for names in UTF-8 here.
claim "protobuf: it has the same floats" gets_the_same protobuf ',__name__=~"up|sizes:.*"'
claim "protobuf: a zero keeps its sign" gets_the_same protobuf ',A!=""'
claim "protobuf: it has the same histograms, custom buckets included" gets_the_same protobuf ',__name__="h"'
custom_buckets_are_classic() {
    samples "$puller_url" '{fed="2",form="text",__name__=~"h_.*"}' "$work/pulled"
    cut -d , -f 1,2- "$work/pulled" | sed -E 's/,[0-9]{13},/ /' | cut -d '{' -f 2- >"$work/classic"
    cat "$work/classic"
    diff - "$work/classic" <<'END'
fed=""2"",instance=""i"",job=""j"",kind=""custom"",le=""+Inf""}" 10
fed=""2"",instance=""i"",job=""j"",kind=""custom"",le=""0.25""}" 0
fed=""2"",instance=""i"",job=""j"",kind=""custom"",le=""0.5""}" 2
fed=""2"",instance=""i"",job=""j"",kind=""custom"",le=""1.0""}" 5
fed=""2"",instance=""i"",job=""j"",kind=""custom"",le=""1e+07""}" 5
fed=""2"",instance=""i"",job=""j"",kind=""custom""}" 10
fed=""2"",instance=""i"",job=""j"",kind=""custom""}" 30
name,labels,time,value
END
}
claim "text: histograms of custom buckets are classic ones" custom_buckets_are_classic

# --- many series ---------------------------------------------------------------------------------

# The answer has 50 MB.
memory_stays() { # ACCEPT
    local pid before after
    pid=${pids[$(_index_of firekeep)]}
    echo 5 >"/proc/$pid/clear_refs"
    before=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
    fetch "$url" "$1" "$work/many.txt" 'match[]={__name__=~"many_.*"}' || return 1
    after=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
    echo "$before KiB before, $after KiB at most, $(wc -c <"$work/many.txt") bytes"
    (($(wc -c <"$work/many.txt") > 50000000 && after - before < 20000))
}
awk -v now="$(now_ms)" 'BEGIN { for (i = 0; i < 450; i++) long = long "x"; for (s = 0; s < 100000; s++)
    printf "many_%d{instance=\"host-%d\",job=\"%s\",n=\"%d\"} %d %.0f\n", s % 100, s, long, s, s, now - 1000 }' >"$work/many.prom"
claim "100,000 series are imported" "$firekeep" import --url="$url" "$work/many.prom"
claim "they are federated in pieces" memory_stays 'text/plain'
claim "each is there once" test "$(grep -c '^many_' "$work/many.txt")" == 100000
claim "SIGTERM ends it with status 0" stop firekeep
done_testing
