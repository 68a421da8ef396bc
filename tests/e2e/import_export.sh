#!/bin/bash
# import_export.sh - export returns what import stored, in every format, through a server and
# through a stopped server's directory; interrupted work continues where it ended.

. tests/lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
other=http://127.0.0.1:${ports[1]}
whole=(--start 0 --end 4102444800000)
firekeep=build/firekeep

status_is() { # STATUS COMMAND...
    local wanted=$1 status
    shift
    "$@"
    status=$?
    ((status == wanted)) || echo "status $status instead of $wanted"
    ((status == wanted))
}

exported() { # TARGET-FLAG FILE [FLAG...]
    "$firekeep" export "$1" -o "$2" "${@:3}"
}

# Both servers hold the same.
same_servers() {
    "$TOOLS/rrcompare" "$url" "$other" "${whole[@]}"
}

# --- every form, every class of value ------------------------------------------------------------

cat >"$work/bits.txt" <<'END'
zero{sign="plus"} 0 1700000000000
zero{sign="minus"} -0 1700000000000
inf{sign="plus"} inf 1700000000000
inf{sign="minus"} -inf 1700000000000
nan{kind="ordinary"} 0x7ff8000000000001 1700000000000
payload{kind="stale"} 0x7ff0000000000002 1700000000000
payload{kind="other"} 0xfff8dead0000beef 1700000000000
small{kind="subnormal"} 5e-324 1700000000000
large 1.7976931348623157e308 1700000000000
text{q="a \"b\" \\ c,{}=#",unit="µs"} 1 1700000000001
old 1 1680000000001
old 0.1 1680000000000
old 1e-7 1700000000123
END
"$TOOLS/rwmake" <"$work/bits.txt" >"$work/bits.rw"
plain='{__name__=~".+",__name__!="payload"}'
forms=(jsonl ndjson csv rw om prom csv.zst jsonl.gz)

if claim "bits: a server starts" start_firekeep a "$work/a" "${ports[0]}"; then
    claim "bits: a capture is imported" "$firekeep" import --url="$url" "$work/bits.rw"
    claim "bits: all of it is there" "$TOOLS/rrcompare" "$url" "$work/bits.rw" "${whole[@]}"
    claim "bits: the directory of a running server is refused" says "stop it, or use --url" 1 \
        "$firekeep" export --storage.path="$work/a" -o "$work/no"
    exported --url="$url" "$work/all.jsonl" 2>/dev/null
    exported --url="$url" "$work/plain.jsonl" --match="$plain" 2>/dev/null
    for form in "${forms[@]}"; do
        [[ $form == om* || $form == prom ]] && match=$plain like=plain || match='{__name__!=""}' like=all
        file=$work/bits.$form dir=$work/d-$form
        claim "$form: exported" exported --url="$url" "$file" --match="$match"
        claim "$form: imported into a directory" "$firekeep" import --storage.path="$dir" "$file"
        claim "$form: verify finds nothing wrong" "$firekeep" verify "$dir"
        exported --storage.path="$dir" "$work/back.jsonl" 2>/dev/null
        claim "$form: comes back bit for bit" cmp "$work/$like.jsonl" "$work/back.jsonl"
    done
    claim "text forms say what they left out" says "1 staleness markers left out" 0 \
        "$firekeep" export --url="$url" --match=payload -o "$work/stale.om"
    claim "what two selectors select is written once" says "exported 3 samples" 0 \
        "$firekeep" export --url="$url" --match=zero --match='{__name__=~"zero|large"}' \
        -o "$work/twice.csv"
    claim "a range cuts" says "exported 2 samples" 0 "$firekeep" export --url="$url" --match=old \
        --start=1680000000.001 --end=2023-11-14T22:13:20.123Z -o "$work/range.csv"
    if claim "b: another server starts" start_firekeep b "$work/b" "${ports[1]}"; then
        claim "b: standard input, any packing" \
            "$firekeep" import --url="$other" - <"$work/bits.csv.zst"
        claim "b: holds the same" same_servers
        claim "b: the same again does no harm" \
            "$firekeep" import --url="$other" "$work/bits.csv" "$work/bits.jsonl"
        claim "b: still holds the same" same_servers
        stop b
    fi
fi

# --- histograms that grow -------------------------------------------------------------------------

# A histogram with a predecessor may be reported as "unknown" or "no reset", whatever was sent.
exported_grow() { # TARGET-FLAG FILE
    exported "$1" "$2" 2>/dev/null && sed -i 's/,"reset_hint":2//' "$2"
}

cat >"$work/grow.txt" <<'END'
@histogram grow{} 1700000000000 kind=int schema=2 count=3 sum=1.5 pos=0:1/3
@histogram grow{} 1700000015000 kind=int schema=2 count=5 sum=2.5 pos=0:1,2:1/3,2
@histogram grow{} 1700000030000 kind=int schema=2 count=9 sum=7.5 pos=0:2,1:1/3,4,2
@histogram grow{} 1700000045000 kind=int schema=2 count=9 sum=7.5 pos=0:2,1:1/3,4,2
END
"$TOOLS/rwmake" --version 2 <"$work/grow.txt" >"$work/grow.rw"
if claim "grow: a server starts" start_firekeep g "$work/g" "${ports[1]}" \
    --web.enable-admin-api; then
    claim "grow: imported" "$firekeep" import --url="$other" "$work/grow.rw"
    exported_grow --url="$other" "$work/grow-head.ndjson"
    curl -fsS --noproxy '*' -o /dev/null -XPOST "$other/api/v1/admin/tsdb/flush"
    exported_grow --url="$other" "$work/grow-part.ndjson"
    claim "grow: what a server streams is what it holds" "$TOOLS/rrcompare" --streamed "$other" \
        "$work/grow.rw" "${whole[@]}"
    stop g
    exported_grow --storage.path="$work/g" "$work/grow.ndjson"
    claim "grow: four histograms" test "$(wc -l <"$work/grow.ndjson")" == 4
    claim "grow: a server's export has the spans that were sent" \
        cmp "$work/grow.ndjson" "$work/grow-head.ndjson"
    claim "grow: out of a part, too" cmp "$work/grow.ndjson" "$work/grow-part.ndjson"
fi

# --- wrong lines, wrong use ----------------------------------------------------------------------

cat >"$work/bad.prom" <<'END'
# HELP good_total Some help.
# TYPE good_total counter
good_total{n="1"} 1 1700000000000
good_total{n="2} 1 1700000000000
good_total{n="3"} three 1700000000000
good_total{n="4"} 4
good_total{n="5"} 5 1700000000000
END
claim "bad lines: a dry run counts them" says "would import 2 samples" 1 \
    "$firekeep" import --url="$url" --dry-run "$work/bad.prom"
claim "bad lines: a dry run sends nothing" test \
    "$("$firekeep" query --url="$url" --time=2023-11-15 --format=csv 'good_total[1d]')" == name,labels,time,value
claim "bad lines: are named by file and line" says "$work/bad.prom:4: " 1 \
    "$firekeep" import --url="$url" "$work/bad.prom"
claim "bad lines: the rest is there" test "$("$firekeep" query --url="$url" --format=csv \
    --time=2023-11-15 'good_total[1d]' | wc -l)" == 3
claim "bad lines: --timestamp helps those without a time" says "imported 3 samples" 1 \
    "$firekeep" import --url="$url" --timestamp=1700000000 "$work/bad.prom"
for name in bom.prom bom.jsonl bom.csv; do
    {
        printf '\xef\xbb\xbf'
        case $name in
        *.prom) printf 'marked{n="1"} 1 1700000000000\n' ;;
        *.jsonl) printf '{"metric":{"__name__":"marked"},"values":[1],"timestamps":[1700000000000]}\n' ;;
        *.csv) printf 'name,n,value,time\nmarked,2,1,1700000000000\n' ;;
        esac
    } >"$work/$name"
    claim "$name: a byte order mark is skipped" says "imported 1 sample," 0 \
        "$firekeep" import --url="$url" "$work/$name"
done
printf '[{"metric":{"__name__":"up"},"values":[1],"timestamps":[1700000000000]}]\n' >"$work/array.json"
claim "an array of JSON objects is refused, with what to do" says "one object on a line" 1 \
    "$firekeep" import --url="$url" "$work/array.json"
claim "metadata comes along" grep -q 'Some help' \
    <(curl -s --noproxy '*' "$url/api/v1/metadata?metric=good_total")
printf 'a_bucket{le="1"} 1 1700000000 # {id="x"} 0.5\n# EOF\n' >"$work/exemplar.om"
claim "exemplars come along" says "1 exemplar," 0 \
    "$firekeep" import --url="$url" "$work/exemplar.om"
printf 'b_bucket{le="1"} 1 1700000000 # {id="x"} 0.5 4102444800\n# EOF\n' >"$work/refused.om"
claim "exemplars that a server refuses are counted" says "refused: 1 exemplars; the server's log" 1 \
    "$firekeep" import --url="$url" "$work/refused.om"
printf 'far 1 99999999999\n# EOF\n' >"$work/far.om"
claim "what a server refuses is told" says "too_far_in_future" 1 \
    "$firekeep" import --url="$url" "$work/far.om"
printf 'cut 1 1700000000\n' >"$work/cut.om"
claim "OpenMetrics without its end is told" says "$work/cut.om:2: missing # EOF" 1 \
    "$firekeep" import --url="$url" "$work/cut.om"
head -c 200 "$work/bits.jsonl.gz" >"$work/cut.jsonl.gz"
claim "a file cut short is told, by its name once" says_not "cut.jsonl.gz: $work/cut" 1 \
    "$firekeep" import --url="$url" "$work/cut.jsonl.gz"
claim "a file cut short is told" says "cut short" 1 \
    "$firekeep" import --url="$url" "$work/cut.jsonl.gz"

# The rest of a last line could be another value at another time.
printf 'left 1 1700000000000\nleft 2 17000' >"$work/left.prom"
printf '# TYPE left gauge\nleft 1 1700000000\nleft 2 17000' >"$work/left.om"
printf 'name,time,value\nleft,1700000000000,1\nleft,1700000060000,12' >"$work/left.csv"
row='{"name":"left","time":1700000000000,"value":1}'
printf '%s\n{"name":"left","time":1700000060000,"value":12,' "$row" >"$work/left.ndjson"
printf '%s{"name":"left","time":1700000060000,"value":12' "$row" >"$work/left.joined.ndjson"
printf '{"metric":{"__name__":"left"},"values":[1],"timestamps":[1700000000000]}\n%s' \
    '{"metric":{"__name__":"left"},"values":[2],"timestamps":[1700000060000' >"$work/left.jsonl"
for file in "$work"/left*.*; do
    name=${file##*/}
    gzip -k "$file"
    line=$(sed 's/}{/}\n{/' "$file" | grep -c '')
    claim "cut: $name: the last line is bad" says "$file:$line: " 1 \
        "$firekeep" import --storage.path="$work/$name.d" "$file"
    claim "cut: $name: nothing of it is stored" says "exported 1 samples" 0 \
        "$firekeep" export --storage.path="$work/$name.d" -o "$work/left.back.jsonl"
    claim "cut: $name: nor by a server, of a compressed file" says "imported 1 sample," 1 \
        "$firekeep" import --url="$url" "$file.gz"
done
claim "cut: nothing of any is stored" test "$("$firekeep" query --url="$url" --format=csv \
    --time=2023-11-15 'left[60y]' | wc -l)" == 2
printf 'name,when,value,time\nearly,1,1,1700000000\nearly,2,1,1700000060\n' >"$work/early.csv"
warns_once() {
    local output
    output=$("$firekeep" import --url="$url" --dry-run "$work/early.csv" 2>&1) && echo "$output" &&
        [[ $(grep -c warning <<<"$output") == 1 &&
            $output == "$work/early.csv:2: warning: \"time\" is before 1980: 1970-01-20T16:13:20.000Z; "* ]]
}
claim "a column with times before 1980 is named once" warns_once
printf '%s%s \n%s' "$row" "${row/1700/1701}" "${row/1700/1702}" >"$work/joined.ndjson"
claim "objects without line feeds are imported" says "imported 3 samples" 0 \
    "$firekeep" import --url="$url" "$work/joined.ndjson"
tr -d '\n' <"$work/all.jsonl" >"$work/joined.jsonl"
claim "a file that is missing stops before anything is sent" status_is 1 \
    "$firekeep" import --url="$url" "$work/bits.rw" "$work/missing.rw"
makes_no_directory() {
    status_is 1 "$firekeep" import --storage.path="$work/new" "$work/missing.rw" && [[ ! -e $work/new ]]
}
claim "nor is a storage directory made for it" makes_no_directory
cat >"$work/none.yml" <<END
storage: {mode: none}
sources: [{name: far, type: remote_read, url: 'http://127.0.0.1:1/api/v1/read'}]
END
claim "where nothing is stored nothing is imported" says "nothing is stored in $work/none with storage.mode=none" 2 \
    "$firekeep" import --config.file="$work/none.yml" --storage.path="$work/none" "$work/bits.rw"
if claim "a server that stores nothing starts" start_firekeep n "$work/none" "${ports[1]}" --config.file="$work/none.yml"; then
    claim "it is not asked again and again to store something" says_not "retrying" 1 \
        "$firekeep" import --url="$other" "$work/bits.rw"
    stop n
fi
claim "a server that is not there is waited for as long as --retry says" test "$("$firekeep" export \
    --url=http://127.0.0.1:1 --retry=2s 2>&1 | grep -c 'retrying in 0.2 s')" == 1
at_url() { # URL COMMAND...
    FIREKEEP_URL=$1 "${@:2}"
}
nowhere=http://127.0.0.1:1
claim "FIREKEEP_URL: query asks it" says 'zero{sign="minus"}' 0 \
    at_url "$url" "$firekeep" query --time=2023-11-14T22:14:00Z zero
claim "FIREKEEP_URL: import uses it" says "imported 13 samples" 0 \
    at_url "$url" "$firekeep" import "$work/bits.ndjson"
claim "FIREKEEP_URL: export uses it" says "exported 2 samples" 0 \
    at_url "$url" "$firekeep" export --match=zero -o "$work/env.csv"
claim "FIREKEEP_URL: copy means it by local" says "127.0.0.1:1" 1 at_url "$nowhere" \
    "$firekeep" copy --work="$work/copying" --start=2023-11-14 --end=2023-11-15 --retry=1s local "$url"
claim "FIREKEEP_URL: --url is used instead" at_url "$nowhere" "$firekeep" query --url="$url" zero
stop a

# --- tenants -------------------------------------------------------------------------------------

for tenant in "$(printf 'x%.0s' {1..151})" a/b .. ''; do
    claim "tenants: '${tenant:0:9}' is refused as it would be by a server" \
        says "--tenant: expected a tenant name of at most 150 letters, digits and ! - _ . * ' ( ), got '${tenant:0:50}" 2 \
        "$firekeep" import --storage.path="$work/refused" --tenant="$tenant" "$work/bits.rw"
done

if claim "tenants: a server starts" \
    start_firekeep t "$work/t" "${ports[0]}" --tenancy.enabled; then
    claim "tenants: without one it is refused" status_is 1 \
        "$firekeep" import --url="$url" "$work/bits.rw"
    claim "tenants: imported" "$firekeep" import --url="$url" --tenant=x "$work/bits.rw"
    exported --url="$url" "$work/x.jsonl" --tenant=x 2>/dev/null
    claim "tenants: exported" cmp "$work/x.jsonl" "$work/all.jsonl"
    exported --url="$url" "$work/y.jsonl" --tenant=y 2>/dev/null
    claim "tenants: another one has nothing" test ! -s "$work/y.jsonl"
    stop t
    exported --storage.path="$work/t" "$work/x.jsonl" --tenant=x 2>/dev/null
    claim "tenants: exported at rest" cmp "$work/x.jsonl" "$work/all.jsonl"
fi

# --- interrupted work goes on --------------------------------------------------------------------

awk 'BEGIN { for (t = 0; t < 1500; t++) for (s = 0; s < 80; s++)
    printf "{\"name\":\"load\",\"time\":%.0f,\"value\":%d.5,\"labels\":{\"s\":\"%d\"}}\n",
        1700000000000 + t * 60000, s * t, s }' >"$work/load.ndjson"

"$firekeep" import --storage.path="$work/reference" "$work/load.ndjson" 2>/dev/null
exported --storage.path="$work/reference" "$work/reference.jsonl" 2>/dev/null

claim "crash: a server starts" start_firekeep r "$work/r" "${ports[0]}"
claim "crash: it has a day of samples" "$firekeep" import --url="$url" "$work/load.ndjson"
if is_running r; then
    # The server dies during the import and is started again.
    awk 'BEGIN { for (t = 0; t < 60000; t++)
        printf "crash{s=\"%d\"} %d %.0f\n", t % 50, t, 1700000000000 + t * 1000 }' >"$work/crash.prom"
    start importing "$firekeep" import --url="$url" --retry=60s "$work/crash.prom"
    crash r
    claim "crash: the server starts again" start_firekeep r "$work/r" "${ports[0]}"
    finished() { ! is_running importing; }
    claim "crash: the import ends" within 240 finished
    claim "crash: nothing is missing" test "$("$firekeep" query --url="$url" --format=csv \
        --time=2023-11-16 'crash[2d]' | wc -l)" == 60001

    slices=(--start=2023-11-14T22:00:00Z --end=2023-11-16T00:00:00Z --slice=2m --match=load)
    exported --url="$url" "$work/slices.csv" "${slices[@]}" 2>/dev/null
    start exporting "$firekeep" export --url="$url" "${slices[@]}" --retry=60s \
        --resume="$work/resume-crashed" -o "$work/crashed.csv"
    exported_some() { grep -q '^next' "$work/resume-crashed" 2>/dev/null; }
    within 20 exported_some
    crash r
    claim "export: the server starts again" start_firekeep r "$work/r" "${ports[0]}"
    finished() { ! is_running exporting; }
    claim "export: ends although the server was away" within 240 finished
    claim "export: and is whole" cmp "$work/slices.csv" "$work/crashed.csv"
    claim "export: a full disk is told" says "No space left" 1 \
        "$firekeep" export --url="$url" -o /dev/full
    stop r
fi

# --- little room ---------------------------------------------------------------------------------

cat >"$work/small.yml" <<'END'
head:
  max_samples: 20000
wal:
  segment_bytes: 1MiB
  budget: 16MiB
memory:
  limit: 96MiB
END
claim "little room: an import into a directory writes parts as it goes" \
    "$firekeep" import --storage.path="$work/small" --config.file="$work/small.yml" \
    "$work/load.ndjson"
claim "little room: there are several parts" test "$(find "$work/small/parts" -mindepth 1 \
    -maxdepth 1 -type d | wc -l)" -gt 3
claim "little room: verify finds nothing wrong" "$firekeep" verify "$work/small"
exported --storage.path="$work/small" "$work/small.jsonl" 2>/dev/null
claim "little room: everything is there" cmp "$work/reference.jsonl" "$work/small.jsonl"

# One line of a million samples, and one that is longer than any may be.
awk 'BEGIN { printf "{\"metric\":{\"__name__\":\"long\"},\"values\":[0"
    for (i = 1; i < 1000000; i++) printf ",%d", i
    printf "],\"timestamps\":[1700000000000"
    for (i = 1; i < 1000000; i++) printf ",%.0f", 1700000000000 + i
    print "]}"; for (i = 0; i < 70 * 1024; i++) printf "%1024s", "x"
    print ""; print "{\"metric\":{\"__name__\":\"last\"},\"values\":[1],\"timestamps\":[1700000000000]}" }' \
    >"$work/long.jsonl"
claim "long lines: the longest is told" says "$work/long.jsonl:2: the line must be at most" 1 \
    "$firekeep" import --storage.path="$work/long" "$work/long.jsonl"
claim "long lines: all others are there" says "exported 1000001 samples" 0 \
    "$firekeep" export --storage.path="$work/long" -o "$work/long.csv"

# --- other servers -------------------------------------------------------------------------------

awk -v now="$(now_ms)" 'BEGIN { for (s = 0; s < 50; s++) {
    printf "{\"metric\":{\"__name__\":\"live\",\"s\":\"%02d\"},\"values\":[0", s
    for (t = 1; t < 300; t++) printf ",%d.25", s * t
    printf "],\"timestamps\":[%.0f", now - 300000
    for (t = 1; t < 300; t++) printf ",%.0f", now - 300000 + t * 1000
    print "]}" } }' >"$work/live.jsonl"
echo 'global: {}' >"$work/prometheus.yml"

through() { # NAME PROGRAM PROTOCOL
    start "$1" "$2" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/$1" \
        --web.listen-address="${url#http://}" --web.enable-remote-write-receiver
    wait_ready "$1" "$url/-/ready" || return
    "$firekeep" import --url="$url" --protocol="$3" "$work/live.jsonl" || return
    exported --url="$url" "$work/$1.jsonl" --match=live || return
    cmp "$work/live.jsonl" "$work/$1.jsonl"
}

if command -v prometheus >/dev/null; then
    claim "Prometheus 2: imported by remote write 1.0, exported" through prometheus-2 prometheus 1
    claim "Prometheus 2: that it has no 2.0 is noticed" says "does not support remote write 2.0" 1 \
        "$firekeep" import --url="$url" "$work/live.jsonl"
    stop prometheus-2
else
    skip "Prometheus 2" "it is not installed"
fi
if [[ -x $PEERS/prometheus/usr/bin/prometheus ]]; then
    claim "Prometheus 3: imported by remote write 2.0, exported" \
        through prometheus-3 "$PEERS/prometheus/usr/bin/prometheus" 2
    stop prometheus-3
else
    skip "Prometheus 3" "it could not be fetched"
fi

# --- captures ------------------------------------------------------------------------------------

for name in node15s v2hist; do
    capture=$SAMPLES/$name.rw
    if [[ -z $SAMPLES || ! -f $capture ]]; then
        skip "$name" "no captures beside the project"
        continue
    fi
    claim "$name: a server starts" start_firekeep "$name" "$work/$name" "${ports[0]}" || continue
    claim "$name: imported" "$firekeep" import --url="$url" "$capture"
    claim "$name: exported" exported --url="$url" "$work/$name.rw"
    claim "$name: the capture written is the one read" \
        "$TOOLS/rrcompare" "$capture" "$work/$name.rw" "${whole[@]}"
    exported --url="$url" "$work/$name.jsonl" 2>/dev/null
    exported --url="$url" "$work/$name.om" 2>/dev/null
    stop "$name"
    exported --storage.path="$work/$name" "$work/$name-rest.jsonl" 2>/dev/null
    claim "$name: at rest it gives the same" cmp "$work/$name.jsonl" "$work/$name-rest.jsonl"
    claim "$name: a capture goes into a directory" "$firekeep" import \
        --storage.path="$work/$name-copy" "$work/$name.rw"
    exported --storage.path="$work/$name-copy" "$work/$name-copy.rw" 2>/dev/null
    claim "$name: and comes out again" \
        "$TOOLS/rrcompare" "$capture" "$work/$name-copy.rw" "${whole[@]}"
    exported --storage.path="$work/$name" "$work/$name.ndjson.zst" 2>/dev/null
    claim "$name: NDJSON goes into a directory" "$firekeep" import \
        --storage.path="$work/$name-lines" "$work/$name.ndjson.zst"
    exported --storage.path="$work/$name-lines" "$work/$name-lines.rw" 2>/dev/null
    claim "$name: and nothing was lost, histograms neither" \
        "$TOOLS/rrcompare" "$work/$name.rw" "$work/$name-lines.rw" "${whole[@]}"
    if command -v promtool >/dev/null; then
        samples=$(grep -vc '^#' "$work/$name.om")
        claim "$name: Prometheus' own tool reads the OpenMetrics" \
            promtool tsdb create-blocks-from openmetrics "$work/$name.om" "$work/$name-blocks"
        claim "$name: and finds every sample" test "$(for block in "$work/$name-blocks"/*/; do
            sed -n 's/.*"numSamples": *\([0-9]*\).*/\1/p' "$block/meta.json"
        done | awk '{ n += $1 } END { print n }')" == "$samples"
    else
        skip "$name: promtool" "it is not installed"
    fi
    rm -rf "${work:?}/$name"*
done
done_testing
