#!/bin/bash
# source_archive.sh - samples written by the destinations `s3` and `file`, and by the old Kinesis
# adapter, are read back through a source of type `archive`: bit for bit by remote read, and with
# the answers of the store itself to look-ups and PromQL.
#
# S3 is s3rver, which checks signatures of writers.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
name_ports firekeep control s3 reader
# shellcheck source=tests/sources_lib.sh
. tests/sources_lib.sh
region=eu-west-1
s3=$(url_of s3)
archives=(none gzip zstd)

if [[ -z $SAMPLES || ! -f $SAMPLES/v2hist.rw ]]; then
    skip_all "archives" "no captures beside the project"
fi
bucket="region: $region, endpoint: '$s3', path_style: true, bucket: metrics, access_key: S3RVER, secret_key: S3RVER"
if has s3 && claim "s3rver is there" start_s3 && claim "the bucket is made" client "$s3" make-bucket metrics; then
    archives+=(s3-gzip s3-zstd)
else
    skip "s3" "s3rver is not there"
fi

archives_to() { # DIR: the writer starts, with all archives
    local name entries=()
    for name in "${archives[@]}"; do
        case $name in
        s3-*) entries+=("{name: $name, type: s3, $bucket, prefix: $1-$name/, compression: ${name#s3-}, roll_bytes: 128KiB, roll_age: 2s}") ;;
        *) entries+=("{name: $name, type: file, path: $work/$1/$name, compression: $name, roll_bytes: 4MiB}") ;;
        esac
    done
    mkdir -p "$work/$1"
    configure "${entries[@]}"
    start_firekeep writer "$work/writer-$1" "${port[firekeep]}" --config.file="$work/firekeep.yml" && within 20 all_open
}

reads_archive() { # KEYS
    ! is_running reader || stop reader
    reads archive "type: archive, $1"
}

reads_one_of() { # DIR ARCHIVE [KEYS]
    case $2 in
    s3-*) reads_archive "$bucket, prefix: $1-$2/, late: 100y${3-}" ;;
    *) reads_archive "path: $work/$1/$2, layout: flat${3-}" ;;
    esac
}

source_metric() { # NAME
    "$TOOLS/metrics" "$reader" 0 sum "$1{"
}

asks_range() { # QUERY START END STEP
    quiet_curl -G --max-time 60 "$reader/api/v1/query_range" --data-urlencode "query=$1" -d "start=$2" -d "end=$3" -d "step=$4" >"$work/answer.json"
}

# --- archives of our destinations -------------------------------------------------------------------

# Ten minutes of 600 series, with the names that are asked for, and requests of histograms.
make_captures() {
    local i job
    for ((i = 0; i < 40; i++)); do
        for job in node node2 prometheus; do
            echo "up{job=\"$job\"} $((i % 7 > 0)) $((begin_ms + i * 15000))"
            echo "node_cpu_seconds_total{job=\"$job\",mode=\"idle\",cpu=\"0\"} $((i * 13)).25 $((begin_ms + i * 15000))"
        done
        echo ---
    done | "$TOOLS/rwmake" --version 2 >"$work/ups.rw"
    "$TOOLS/rwspan" "$SAMPLES/node15s.rw" --version 2 --series 600 --scrapes 40 --end-ms $((begin_ms + 40 * 15000)) >"$work/span.rw" &&
        head_of "$SAMPLES/v2hist.rw" 300 >"$work/histograms.rw" && cat "$work"/{ups,span,histograms}.rw >"$work/all.rw"
}
begin_ms=$((($(now_ms) / 3600000 - 24) * 3600000))
claim "captures are made" make_captures
claim "captures: the writer starts" archives_to captures || exit 1
claim "captures: they are acknowledged" is_acknowledged "$work/all.rw"
claim "captures: all of them are delivered" within 60 all_settled "${archives[@]}"
claim "captures: the writer stops" stop writer
mkdir "$work/captures/joined"
for file in "$work"/captures/none/*.ndjson; do tr -d '\n' <"$file" >"$work/captures/joined/${file##*/}"; done
mkfifo "$work/captures/zstd/pipe.ndjson.zst" # is passed over
for name in "${archives[@]}" joined 'joined, with a cache'; do
    keys=
    [[ $name != *cache ]] || keys=", cache: {path: $work/joined-cache}"
    claim "captures: a server reads $name" reads_one_of captures "${name%,*}" "$keys"
    claim "captures: $name reads back bit for bit" equals "$reader" "$work/all.rw"
done

# --- a bucket that is asked again -------------------------------------------------------------------

requests_for() { # QUERY: requests, and bytes
    local requests bytes
    requests=$(source_metric firekeep_source_requests_total) bytes=$(source_metric firekeep_source_received_bytes_total)
    quiet_curl --max-time 60 "$reader/api/v1/query?query=$1&time=$((begin_ms / 1000 + 590))" >"$work/answer.json" || return 1
    echo $(($(source_metric firekeep_source_requests_total) - requests)) $(($(source_metric firekeep_source_received_bytes_total) - bytes))
}

asks_for() { # QUERY REQUESTS BYTES: at most
    local requests bytes
    read -r requests bytes < <(requests_for "$1")
    echo "$requests requests, $bytes bytes; at most $2, $3"
    ((requests > 0 && requests <= $2 && bytes <= $3))
}

if [[ " ${archives[*]} " == *" s3-zstd "* ]]; then
    claim "bucket: a server reads it with a cache" reads_one_of captures s3-zstd ", cache: {path: $work/s3cache}"
    read -r first_requests first_bytes < <(requests_for up)
    echo "# the first query: $first_requests requests, $first_bytes bytes"
    claim "bucket: the second query reads less" asks_for up $((first_requests - 1)) $((first_bytes * 3 / 4))
    claim "bucket: a metric that is nowhere costs a listing" asks_for nosuch 1 100000
    claim "bucket: the whole of it is as before" equals "$reader" "$work/all.rw"
fi

# --- archives of the old adapter: hours, gzip, cut values, rows without samples ---------------------

# An hour of samples per minute, as the adapter and a delivery stream write it; and a store that imports
# the same lines.
make_old_archive() {
    awk -v from="$begin_ms" '/^\{"name":"(up|go_|node_[c-l])/ && match($0, /"time":[0-9]+/) && substr($0, RSTART + 7, RLENGTH - 7) + 0 >= from' \
        "$work"/captures/none/*.ndjson | /usr/bin/python3 tests/tools/prk_archive.py "$work/old" "$work/old.ndjson" --stretch 60 --delay 600 --junk 2
    mkdir -p "$work/writer-old" && build/firekeep import --storage.path="$work/writer-old" "$work/old.ndjson"
}

read_old() { # [KEYS]
    reads_archive "path: $work/old${1-, late: 20m}"
}

paths_of() { # START END: look-ups and queries, for same_pages.py
    local range="start=$1\tend=$2" query page
    for page in labels label/__name__/values 'label/job/values\tmatch[]=up' 'series\tmatch[]=up' 'series\tmatch[]={job=~"node.*",mode="idle"}'; do
        printf '%b\n' "$page\t$range"
    done
    for query in up 'sum by (job)(up)' 'rate(node_cpu_seconds_total{mode="idle"}[1h])' 'topk(3,node_load1)' \
        'count({__name__=~"node_.*"})' 'max_over_time(go_goroutines[2h])' 'absent(nosuch)' 'count({job!="node",__name__!=""})'; do
        printf "query_range\tquery=%s\t$range\tstep=1800\n" "$query"
    done
}

all_paths() { # [START END]
    paths_of "${1:-$first}" "${2:-$last}" | python3 tests/tools/same_pages.py --data "$url" "$reader"
}

is_cached() { # files that changed just now are not
    asks_range up "$first" "$last" 60
    echo "$(find "$work/cache" -type f | wc -l) of $(find "$work/old" -type f | wc -l)"
    [[ $(find "$work/cache" -type f | wc -l) == "$(find "$work/old" -type f | wc -l)" ]]
}

reads_at_most() { # BYTES QUERY START END
    local before
    before=$(source_metric firekeep_source_received_bytes_total)
    asks_range "${@:2}" 600 || return 1
    echo "$(($(source_metric firekeep_source_received_bytes_total) - before)) bytes, at most $1"
    (($(source_metric firekeep_source_received_bytes_total) - before <= $1))
}

spoil_cache() { # HOW
    local file files=()
    mapfile -t files < <(find "$work/cache" -type f)
    case $1 in
    damaged) for file in "${files[@]}"; do printf 'x' | dd of="$file" bs=1 seek=$((RANDOM % $(stat -c %s "$file"))) conv=notrunc status=none; done ;;
    deleted) rm -rf "$work/cache" ;;
    cut) truncate -s 30 "${files[@]}" ;;
    exchanged) # each has the content of another
        cp "${files[0]}" "$work/one"
        for file in "${files[@]:1}"; do cp "$file" "$work/two" && cp "$work/one" "$file" && mv "$work/two" "$work/one"; done
        ;;
    nowhere) rm -rf "$work/cache" && touch "$work/cache" ;;
    esac
}

claim "old: the archive is made" make_old_archive
claim "old: a store that imported it starts" start_firekeep writer "$work/writer-old" "${port[firekeep]}"
read -r first last total < <(/usr/bin/python3 -c '
import json, os, sys
times = [t for t in (json.loads(l)["time"] for l in open(sys.argv[1])) if t > 0]
size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(sys.argv[2]) for f in fs)
print(min(times) // 1000, max(times) // 1000 + 1, size)' "$work/old.ndjson" "$work/old")
middle=$(((first + last) / 2))
read_old
claim "old: look-ups and queries are answered as by a store that imported it" all_paths
asks_range up "$first" "$last" 600
claim "old: a warning tells of rows that are not samples" grep -q 'lines are not samples' "$work/answer.json"
claim "old: they are counted" [ "$(source_metric firekeep_source_junk_lines_total)" -gt 0 ]
claim "old: an hour's query reads only some hours" reads_at_most $((total / 2)) up $((middle - 600)) "$middle"

read_old ", late: 20m, cache: {path: $work/cache}"
claim "cache: it is filled" within 30 is_cached
claim "cache: answers are the same" all_paths
claim "cache: a metric that is nowhere reads nothing" reads_at_most 0 nosuch "$first" "$last"
claim "cache: a name that no regex matches reads nothing" reads_at_most 0 '{__name__=~"nosuch.*"}' "$first" "$last"
for how in damaged cut exchanged deleted nowhere; do
    spoil_cache "$how"
    claim "cache: $how: answers are the same" all_paths
done
rm -f "$work/cache"
within 30 is_cached

twice=$(find "$work/old" -name '*.gz' | head -n 1)
cp "$twice" "${twice%.gz}-again.gz"
claim "records that were delivered twice count once" all_paths
rm "${twice%.gz}-again.gz"
printf 'not a line\n{"name":"up"\n' | gzip >"${twice%/*}/zz.gz"
claim "junk is left out" all_paths
rm "${twice%/*}/zz.gz"

# An object that arrived five hours late is found if `late` allows that.
late_file=$(find "$work/old/$(date -u -d "@$((middle - 3600))" +%Y/%m/%d/%H)" -name '*.gz' | sort | head -n 1)
late_dir=$work/old/$(date -u -d "@$((middle + 5 * 3600))" +%Y/%m/%d/%H)
mkdir -p "$late_dir"
mv "$late_file" "$late_dir/"
claim "late: what arrived later than allowed is not found" eval '! all_paths $((middle - 7200)) "$middle"'
read_old ", late: 6h"
claim "late: what arrived in time is found" all_paths $((middle - 7200)) "$middle"
mv "$late_dir/${late_file##*/}" "$late_file"
read_old ", late: 20m, cache: {path: $work/cache}"

# Samples removed from the archive are removed from answers, whatever the cache has.
find "$work/old" -type f -delete
asks_range up "$first" "$last" 3600
claim "what the archive lost is not answered" jq -e '.data.result == []' "$work/answer.json"

# A missing archive is not an empty one.
rm -r "$work/old"
missing_counted() {
    [[ $("$TOOLS/metrics" "$reader" 0 sum 'firekeep_source_errors_total{source="there",kind="refused"') == 1 ]] &&
        quiet_curl "$reader/api/v1/status/sources" | jq -e --arg path "$work/old" '.data[0] | (.lastError | contains($path)) and .lastErrorAt != null'
}
no_directory() {
    curl -sg --noproxy '*' "$reader/api/v1/query_range?query=up&start=$first&end=$last&step=3600" | tee "$work/answer.json"
    jq -e --arg path "$work/old" '.errorType == "internal" and (.error | startswith("source ") and contains($path))' "$work/answer.json"
}
claim "without its directory the query fails, and names it" no_directory
claim "and that is counted, and shown" missing_counted
stop writer

# --- series that are hard to write, random questions -------------------------------------------------

makes_series
claim "seed $seed: series that are hard to write are archived" eval 'archives_to random && build/firekeep import --url="$url" "$work/random.ndjson"'
claim "seed $seed: all of them are delivered" within 60 all_settled "${archives[@]}"
claim "seed $seed: the writer ends its files and starts again" eval 'stop writer && start_firekeep writer "$work/writer-random" "${port[firekeep]}"'
for name in "${archives[@]}"; do
    claim "seed $seed, $name: a server reads it" reads_one_of random "$name"
    claim "seed $seed, $name: everything comes back, bit for bit" same
    claim "seed $seed, $name: ${CASES:-12} random questions are answered the same" answers_alike "${CASES:-12}"
done
claim "seed $seed: hostile texts find what the store finds" hostile_texts_find_the_same
# Without its first bytes, compressed data is nothing: no lines either, that could be left out.
for name in gzip zstd; do
    printf XX | dd of="$(find "$work/random/$name" -type f | head -n 1)" conv=notrunc status=none
    reads_one_of random "$name"
    claim "an object of $name that begins wrong is damaged" fails_with 'neither lines, nor gzip or zstd' up
done
done_testing
