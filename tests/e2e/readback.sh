#!/bin/bash
# readback.sh - PromQL over Firekeep has the same results as over Prometheus' own storage.
#
#   capture --remote write--> Firekeep <--remote read-- a Prometheus without data
#           --remote write--> a Prometheus with data
#
# Both answer the same questions. Half of the capture is in a part, half in the head, so every
# answer is merged from both. Prometheus 2.42 asks for SAMPLES (and does not read histograms from
# them), Prometheus 3 for chunks. Histograms with changing layouts are all in a part, where chunks
# are made of many blocks and cached.

. tests/lib.sh
. tests/wire.sh
. tests/questions_lib.sh
newer=$PEERS/prometheus/usr/bin/prometheus
mapfile -t ports < <(free_ports 3)
port=${ports[0]}
url=http://127.0.0.1:$port

layouts=(
    '{job="layouts"}'
    'last_over_time({job="layouts"}[15s])'
    'rate({job="layouts"}[2m])'
    'increase({job="layouts"}[20m])'
    'resets({job="layouts"}[1h])'
    'changes({job="layouts"}[30m])'
    'histogram_count({job="layouts"})'
    'histogram_sum({job="layouts"})'
    'histogram_quantile(0.9, {job="layouts"})'
    'histogram_fraction(0, 3, rate({job="layouts"}[3m]))'
    'sum by (kind) (increase({job="layouts",kind=~"int|float"}[5m]))'
    'count_over_time({job="layouts"}[10m])'
)

# --- the actors ---

# One half is written out by stopping, the other stays in the head.
firekeep_has() { # NAME CAPTURE HALF
    start_firekeep "$1" "$work/$1" "$port" || return 1
    is_sent "$2" "$url" --first "$3" || return 1
    stop "$1"
    start_firekeep "$1" "$work/$1" "$port" || return 1
    is_sent "$2" "$url" --skip "$3"
}

# --- questions ---

# The times the capture covers, as whole seconds.
find_range() {
    local page
    page=$(curl -fs --noproxy '*' "$url/api/v1/status/tsdb")
    start_s=$(($(jq .data.partStats.minTime <<<"$page") / 1000))
    end_s=$(($(jq .data.headStats.maxTime <<<"$page") / 1000))
    echo "from $start_s to $end_s"
    ((end_s - start_s > 60 && end_s - start_s < 86400))
}

series_of() { # NAME
    curl -s --noproxy '*' --max-time 60 -G "${at[$1]}/api/v1/series" --data-urlencode 'match[]={__name__=~".+"}' \
        -d "start=$start_s" -d "end=$end_s" | jq -cS '.data | sort_by(tostring)[]'
}

# same_series A B SAMPLES: reads only the first of so many samples of each series, as they are
# stored.
same_series() {
    local before after count
    before=$(metric firekeep_read_samples_total)
    series_of "$1" >"$work/series.a"
    series_of "$2" >"$work/series.b"
    after=$(metric firekeep_read_samples_total)
    count=$(wc -l <"$work/series.b")
    echo "$count series, $((after - before)) samples"
    ((count > 100 && after > before && (after - before) * 10 < $3 * 6)) && cmp "$work/series.a" "$work/series.b"
}

form_was() { # FORM
    (($(metric "firekeep_read_requests_total.form=\"$1\".") > 0))
}

# layouts_text BEGIN-MS: 300 histograms of each series, one every 15 s. Counters get buckets between
# and after others, begin again, change their zero threshold or custom bounds, and go stale. The
# buckets of a gauge come and go, and its counts fall. One series changes its kind.
layouts_text() {
    awk -v begin="$1" '
    function side(from, step, count, factor,    i, text, end, spans, counts) {
        end = 0
        for (i = 0; i < count; i++) {
            spans = spans (i ? "," : "") (from + i * step - end) ":1"
            counts = counts (i ? "," : "") factor * (i + 1)
            end = from + i * step + 1
            total += factor * (i + 1)
        }
        return spans "/" counts
    }
    function line(name, kind, keys) {
        printf "@histogram %s{job=\"layouts\",kind=\"%s\"} %.0f kind=%s %s\n", name, kind, t,
            kind == "mixed" ? (n % 200 < 100 ? "int" : "float") : kind == "float" ? kind : "int", keys
    }
    function stale(name, kind, keys) {
        line(name, kind, keys " sum=0x7ff0000000000002")
    }
    function exponential(name, kind, keys, factor, step, count,    pos, neg) {
        total = 3
        pos = side(-4, step, count, factor)
        neg = side(2, 3, int(count / 3), factor)
        line(name, kind, keys " count=" total " zero=3 sum=" (total / 4) " pos=" pos \
            (count < 3 ? "" : " neg=" neg))
    }
    BEGIN {
        for (n = 0; n < 300; n++) {
            t = begin + n * 15000 + (n % 50 == 7) * 1234
            age = n < 200 ? n : n - 200 # all begins again
            threshold = "schema=3 threshold=" (n < 250 ? 0.001 : 0.002)
            for (k = split("int float mixed", kinds, " "); k > 0; k--) {
                if (n == 110 || n == 111) {
                    stale("grow", kinds[k], "schema=3")
                } else if (n % 23 != 5) {
                    exponential("grow", kinds[k], threshold, age + 1, age < 60 ? 4 : 2, 1 + int(age / 15))
                }
            }
            if (n == 130) {
                stale("moves", "gauge", "schema=1 hint=3")
            } else {
                exponential("moves", "gauge", "schema=1 hint=3", 1 + n * 7 % 11,
                    1 + int(n / 40) % 3, 2 + int(n / 25) % 5)
            }
            total = 0
            buckets = side(0, 1, n < 150 ? 3 : 4, 1 + n % 90)
            gsub(/:1,[0-9]+:1/, ":1,0:1", buckets)
            if (n == 170) {
                stale("custom", "bounds", "schema=-53")
            } else {
                line("custom", "bounds", "schema=-53 bounds=" (n < 150 ? "0.1,1.5" : "0.1,0.7,1.5") \
                    " count=" total " sum=" n " pos=" buckets)
            }
        }
    }'
}

# --- rounds ---

need() { # WHAT: false, with a message, if something is missing
    [[ -n $SAMPLES && -f $SAMPLES/$2 ]] || {
        skip "$1" "no captures beside the project"
        return 1
    }
    command -v "$3" >/dev/null || {
        skip "$1" "$3 is not there"
        return 1
    }
}

round_floats() { # NAME PROGRAM FORM
    local name=$1 program=$2 capture=$SAMPLES/node15s.rw
    need "$name: floats" node15s.rw "$program" || return
    claim "$name: Firekeep has the capture" firekeep_has "$name-firekeep" "$capture" 132 || return
    claim "$name: the capture covers some time" find_range || return
    claim "$name: a Prometheus with data starts" prometheus_at "$name-owner" "$program" "${ports[1]}" || return
    claim "$name: it has the capture" is_sent "$capture" "${at[$name-owner]}" || return
    claim "$name: one without data starts" prometheus_at "$name-reader" "$program" "${ports[2]}" "$url" || return
    all_the_same "$name" "$name-owner" "$name-reader" "${floats[@]}"
    claim "$name: it asked for $3" form_was "$3"
    claim "$name: series are the same, and not all samples are read" \
        same_series "$name-owner" "$name-reader" 378784
    stop "$name-reader"
    stop "$name-owner"
    stop "$name-firekeep"
}

round_histograms() {
    local capture=$SAMPLES/v2hist.rw
    need histograms v2hist.rw "$newer" || return
    claim "histograms: Firekeep has the capture" firekeep_has histograms "$capture" 870 || return
    claim "histograms: the capture covers some time" find_range || return
    claim "histograms: a Prometheus 3 with data starts" prometheus_at owner "$newer" "${ports[1]}" || return
    claim "histograms: it has the capture" is_sent "$capture" "${at[owner]}" || return
    claim "histograms: one without data starts" prometheus_at reader "$newer" "${ports[2]}" "$url" || return
    all_the_same histograms owner reader "${histograms[@]}"
    claim "histograms: series are the same, and not all samples are read" same_series owner reader 118794
}

# All in a part. The later questions are answered from chunks that the first ones left in the cache.
round_layouts() {
    local capture=$work/layouts.rw
    need layouts v2hist.rw "$newer" || return
    start_s=1700000000
    end_s=$((start_s + 300 * 15))
    layouts_text "${start_s}000" | "$TOOLS/rwmake" --version 2 >"$capture"
    claim "layouts: Firekeep starts" start_firekeep layouts "$work/layouts" "$port" || return
    claim "layouts: Firekeep has them" is_sent "$capture" "$url"
    stop layouts
    claim "layouts: it goes on with a part" start_firekeep layouts "$work/layouts" "$port" || return
    claim "layouts: a Prometheus 3 with data starts" prometheus_at owner "$newer" "${ports[1]}" || return
    claim "layouts: it has them" is_sent "$capture" "${at[owner]}" || return
    claim "layouts: one without data starts" prometheus_at reader "$newer" "${ports[2]}" "$url" || return
    all_the_same layouts owner reader "${layouts[@]}"
}

round_floats prometheus-2 prometheus samples
round_floats prometheus-3 "$newer" streamed_xor_chunks
round_histograms
stop reader
stop owner
stop histograms
round_layouts
done_testing
