#!/bin/bash
# source_archive.sh - samples written by the destinations `s3` and `file`, and by the old Kinesis
# adapter, are read back through a source of type `archive`: bit for bit by remote read, and with
# the answers of the store itself to look-ups and PromQL.
#
# S3 is s3rver, which checks signatures of writers.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
firekeep=build/firekeep
read -ra captures <<<"${CAPTURES:-v2hist node15s}"
name_ports firekeep control s3 reader
s3=$(url_of s3)
reader=http://127.0.0.1:${port[reader]}
has_s3=

# --- helpers ----------------------------------------------------------------------------------------

write_to_archives() { # NAME COMMAND...: the output goes into a store, and into archives of it
    local prefix=$1 name
    shift
    {
        echo 'destinations:'
        for name in none gzip zstd; do
            echo "- {name: $name, type: file, path: $work/files/$name, compression: $name, roll_bytes: 4MiB}"
        done
        [[ -z $has_s3 ]] || for name in gzip zstd; do
            echo "- {name: s3-$name, type: s3, region: $region, endpoint: '$s3', path_style: true, bucket: metrics,"
            echo "   prefix: $prefix-$name/, compression: $name, roll_bytes: 1MiB, roll_age: 2s, access_key: S3RVER, secret_key: S3RVER}"
        done
    } | write_config
    start_firekeep writer "$work/writer" "${port[firekeep]}" --config.file="$work/firekeep.yml" || return 1
    within 20 all_open && "$@"
}

archived() {
    local all=(none gzip zstd)
    [[ -z $has_s3 ]] || all+=(s3-gzip s3-zstd)
    all_settled "${all[@]}"
}

s3_entry() { # NAME PREFIX MORE
    echo "- {name: $1, type: archive, region: $region, endpoint: '$s3', path_style: true, bucket: metrics, prefix: $2,"
    echo "   access_key: S3RVER, secret_key: S3RVER$3}"
}

read_with() { # LINES: the reader, with these sources
    [[ -z ${reading-} ]] || stop reader
    reading=yes
    cat >"$work/reader.yml"
    start_firekeep reader "$work/reader" "${port[reader]}" --config.file="$work/reader.yml" --storage.mode=none
}

source_metric() { # NAME
    quiet_curl "$reader/metrics" | awk -v want="$1{" 'index($0, want) == 1 { sum += $NF } END { printf "%.0f\n", sum }'
}

reads_back() { # CAPTURE
    equals "$reader" "$1"
}

writer_stops() {
    stop writer
}

same_answers() { # PATH...: from both, except warnings
    local path
    for path; do
        quiet_curl "$url$path" | jq -S 'del(.warnings, .infos)' >"$work/local.json" || return 1
        quiet_curl "$reader$path" | jq -S 'del(.warnings, .infos)' >"$work/archive.json" || return 1
        cmp "$work/local.json" "$work/archive.json" || {
            echo "$path"
            return 1
        }
    done
}

# --- archives of our destinations -------------------------------------------------------------------

mkdir -p "$work/files" "$work/reader"
if has s3 && claim "s3rver is there" start_s3 && claim "the bucket is made" client "$s3" make-bucket metrics; then
    has_s3=yes
else
    skip "s3" "s3rver is not there"
fi

if [[ -z $SAMPLES ]]; then
    skip "captures" "no captures beside the project"
    captures=()
fi
for capture in "${captures[@]}"; do
    rm -rf "$work/writer" "$work/files" && mkdir -p "$work/files"
    claim "$capture: it is written to archives" write_to_archives "$capture" is_acknowledged "$SAMPLES/$capture.rw" || exit 1
    claim "$capture: all of it is delivered" within 60 archived
    claim "$capture: the writer stops" stop writer
    for name in none gzip zstd; do
        read_with <<<"sources: [{name: a, type: archive, path: $work/files/$name, layout: flat}]"
        claim "$capture: files of $name read back bit for bit" reads_back "$SAMPLES/$capture.rw"
    done
    rm -rf "$work/files/joined" && mkdir "$work/files/joined"
    for file in "$work"/files/none/*.ndjson; do tr -d '\n' <"$file" >"$work/files/joined/${file##*/}"; done
    for cache in '' ", cache: {path: $work/joined-cache}"; do
        read_with <<<"sources: [{name: a, type: archive, path: $work/files/joined, layout: flat$cache}]"
        claim "$capture: objects without line feeds${cache:+, with a cache,} read back bit for bit" reads_back "$SAMPLES/$capture.rw"
    done
    read_with <<<"sources: [{name: a, type: archive, path: $work/files/zstd, layout: flat}]"
    mkfifo "$work/files/zstd/pipe.ndjson.zst"
    claim "$capture: a named pipe among them is passed over" reads_back "$SAMPLES/$capture.rw"
    [[ -z $has_s3 ]] || for name in gzip zstd; do
        read_with < <(echo 'sources:' && s3_entry a "$capture-$name/" ", late: 100y")
        claim "$capture: objects of $name read back bit for bit" reads_back "$SAMPLES/$capture.rw"
    done
done

# --- a bucket that is asked again -------------------------------------------------------------------

requests_for() { # QUERY: requests, and bytes
    local requests bytes
    requests=$(source_metric firekeep_source_requests_total) bytes=$(source_metric firekeep_source_received_bytes_total)
    quiet_curl "$reader/api/v1/query?query=$1&time=$at" >"$work/answer.json" || return 1
    echo $(($(source_metric firekeep_source_requests_total) - requests)) $(($(source_metric firekeep_source_received_bytes_total) - bytes))
}

asks_for() { # QUERY REQUESTS BYTES: at most
    local requests bytes
    read -r requests bytes < <(requests_for "$1")
    echo "$requests requests, $bytes bytes; at most $2, $3"
    ((requests > 0 && requests <= $2 && bytes <= $3))
}

if [[ -n $has_s3 && -n $SAMPLES ]]; then
    read_with < <(echo 'sources:' && s3_entry a node15s-zstd/ ", late: 100y, cache: {path: $work/s3cache}")
    at=$(($(sed -n '$s/.*"time":\([0-9]*\),.*/\1/p' "$(printf '%s\n' "$work"/files/none/*.ndjson | tail -n 1)") / 1000))
    read -r first_requests first_bytes < <(requests_for up)
    echo "# the first query: $first_requests requests, $first_bytes bytes"
    claim "bucket: the second query reads less" asks_for up "$first_requests" $((first_bytes / 2))
    claim "bucket: a metric that is nowhere costs a listing" asks_for nosuch 1 100000
    claim "bucket: the whole of it is as before" reads_back "$SAMPLES/node15s.rw"
fi

# --- series that are hard to write, random questions -------------------------------------------------

seed=${SEED:-$RANDOM}
asks_at_random() { # COMMAND ARGUMENT...: of the store, and of the archive
    python3 tests/tools/random_matchers.py "$@" "$url" "$reader"
}
same_samples() {
    "$TOOLS/rrcompare" "$url" "$reader" --start 1 --end 9000000000000 --streamed
}

# Without its first bytes, compressed data is nothing: no lines either, that could be left out.
begins_wrong() { # PACKING
    rm -rf "$work/files/wrong" && cp -r "$work/files/$1" "$work/files/wrong" || return 1
    printf XX | dd of="$(find "$work/files/wrong" -type f | head -n 1)" conv=notrunc status=none || return 1
    read_with <<<"sources: [{name: a, type: archive, path: $work/files/wrong, layout: flat}]"
    curl -s --noproxy '*' "$reader/api/v1/query?query=up&time=1700000100" | tee "$work/answer.json"
    grep -q '"error":"source a: .*neither lines, nor gzip or zstd' "$work/answer.json"
}

random_round() {
    local name
    python3 tests/tools/random_matchers.py series "$seed" 120 >"$work/random.ndjson"
    stop writer
    rm -rf "$work/writer" "$work/files" && mkdir -p "$work/files"
    claim "seed $seed: series that are hard to write are archived" write_to_archives random "$firekeep" import --url="$url" "$work/random.ndjson" || return
    claim "seed $seed: all of them are delivered" within 60 archived
    claim "seed $seed: the writer ends its files and starts again" eval 'stop writer && start_firekeep writer "$work/writer" "${port[firekeep]}"'
    for name in none gzip zstd ${has_s3:+s3-gzip s3-zstd}; do
        if [[ $name == s3-* ]]; then
            read_with < <(echo 'sources:' && s3_entry a "random-${name#s3-}/" ", late: 100y")
        else
            read_with <<<"sources: [{name: a, type: archive, path: $work/files/$name, layout: flat}]"
        fi
        claim "seed $seed, $name: everything comes back, bit for bit" same_samples
        claim "seed $seed, $name: ${CASES:-20} random questions are answered the same" asks_at_random compare "$seed" "${CASES:-20}"
    done
    claim "seed $seed: hostile texts find what the store finds" asks_at_random hostile
    claim "seed $seed: the writer stops" stop writer
    claim "a gzip object that begins wrong is damaged" begins_wrong gzip
    claim "so is one of zstd" begins_wrong zstd
}

# --- archives of the old adapter: hours, gzip, cut values, rows without samples ---------------------

if [[ -z $SAMPLES ]]; then
    skip "old, cache, late" "no captures beside the project"
    random_round
    done_testing
    exit
fi

# Makes a quarter of the capture's series, an hour of it per minute, as the adapter and a delivery
# stream write it; and a store that imports the same lines.
make_old_archive() {
    grep -hE '^\{"name":"(up|go_|node_[c-l])' "$work"/files/none/*.ndjson | /usr/bin/python3 tests/tools/prk_archive.py "$work/old" "$work/old.ndjson" --stretch 60 --delay 600 --junk 7
    rm -rf "$work/writer" && mkdir -p "$work/writer"
    "$firekeep" import --storage.path="$work/writer" "$work/old.ndjson"
}

read_old() { # MORE
    local late=', late: 20m'
    [[ $1 != *late:* ]] || late=
    read_with <<<"sources: [{name: old, type: archive, path: $work/old$late$1}]"
}

paths_of() { # START END: look-ups and queries
    local range="start=$1&end=$2" query
    echo "/api/v1/labels?$range" "/api/v1/label/__name__/values?$range" "/api/v1/label/job/values?$range&match[]=up"
    echo "/api/v1/series?$range&match[]=up" "/api/v1/series?$range&match[]={job=~\"node.*\",mode=\"idle\"}"
    for query in 'up' 'sum%20by%20(job)(up)' 'rate(node_cpu_seconds_total{mode="idle"}[1h])' 'topk(3,node_load1)' \
        'count({__name__=~"node_.*"})' 'max_over_time(go_goroutines[2h])' 'absent(nosuch)' 'count({job!="node"})'; do
        echo "/api/v1/query_range?query=$query&$range&step=1800"
    done
}

all_paths() { # START END
    local paths
    read -ra paths < <(paths_of "$1" "$2" | tr '\n' ' ')
    same_answers "${paths[@]}"
}

is_cached() { # files that changed just now are not
    quiet_curl "$reader/api/v1/query_range?query=up&start=$first&end=$last&step=60" >"$work/answer.json"
    echo "$(find "$work/cache" -type f | wc -l) of $(find "$work/old" -type f | wc -l)"
    [[ $(find "$work/cache" -type f | wc -l) == "$(find "$work/old" -type f | wc -l)" ]]
}

bytes_for() { # QUERY START END: that are read for it
    local before
    before=$(source_metric firekeep_source_received_bytes_total)
    quiet_curl "$reader/api/v1/query_range?query=$1&start=$2&end=$3&step=600" >"$work/answer.json" || return 1
    echo $(($(source_metric firekeep_source_received_bytes_total) - before))
}

reads_less() { # WHAT LIMIT: bytes of a query
    echo "$1 bytes, at most $2"
    (($1 <= $2))
}

spoil_cache() { # HOW
    local file
    case $1 in
    damaged) find "$work/cache" -type f | while read -r file; do printf 'x' | dd of="$file" bs=1 seek=$((RANDOM % $(stat -c %s "$file"))) conv=notrunc status=none; done ;;
    deleted) rm -rf "$work/cache" ;;
    cut) find "$work/cache" -type f -exec truncate -s 30 {} + ;;
    exchanged) # each has the content of another
        local files=()
        mapfile -t files < <(find "$work/cache" -type f)
        cp "${files[0]}" "$work/one"
        for file in "${files[@]:1}"; do cp "$file" "$work/two" && cp "$work/one" "$file" && mv "$work/two" "$work/one"; done
        ;;
    nowhere) rm -rf "$work/cache" && touch "$work/cache" ;;
    esac
}

claim "old: the archive is made" make_old_archive
start_firekeep writer "$work/writer" "${port[firekeep]}"
read -r first last total < <(/usr/bin/python3 -c '
import json, os, sys
times = [t for t in (json.loads(l)["time"] for l in open(sys.argv[1])) if t > 0]
size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(sys.argv[2]) for f in fs)
print(min(times) // 1000, max(times) // 1000 + 1, size)' "$work/old.ndjson" "$work/old")
read_old ""
claim "old: look-ups and queries are answered as by a store that imported it" all_paths "$first" "$last"
claim "old: a warning tells of rows that are not samples" grep -q 'lines are not samples' <(quiet_curl "$reader/api/v1/query_range?query=up&start=$first&end=$last&step=600")
claim "old: they are counted" [ "$(source_metric firekeep_source_junk_lines_total)" -gt 0 ]
middle=$(((first + last) / 2))
claim "old: an hour's query reads only some hours" reads_less "$(bytes_for up $((middle - 600)) "$middle")" $((total / 4))

read_old ", cache: {path: $work/cache}"
claim "cache: it is filled" within 30 is_cached
claim "cache: answers are the same" all_paths "$first" "$last"
claim "cache: a metric that is nowhere reads nothing" reads_less "$(bytes_for nosuch "$first" "$last")" 0
claim "cache: a name that no regex matches reads nothing" reads_less "$(bytes_for '{__name__=~"nosuch.*"}' "$first" "$last")" 0
for how in damaged cut exchanged deleted nowhere; do
    spoil_cache "$how"
    claim "cache: $how: answers are the same" all_paths "$first" "$last"
done
rm -f "$work/cache"
within 30 is_cached

twice=$(find "$work/old" -name '*.gz' | head -n 1)
cp "$twice" "${twice%.gz}-again.gz"
claim "records that were delivered twice count once" all_paths "$first" "$last"
rm "${twice%.gz}-again.gz"
printf 'not a line\n{"name":"up"\n' | gzip >"${twice%/*}/zz.gz"
claim "junk is left out" all_paths "$first" "$last"
rm "${twice%/*}/zz.gz"

# An object that arrived five hours late is found if `late` allows that.
late_file=$(find "$work/old/$(date -u -d "@$((middle - 3600))" +%Y/%m/%d/%H)" -name '*.gz' | sort | head -n 1)
late_dir=$work/old/$(date -u -d "@$((middle + 5 * 3600))" +%Y/%m/%d/%H)
mkdir -p "$late_dir"
mv "$late_file" "$late_dir/"
stays_missing() {
    all_paths $((middle - 7200)) "$middle" && echo "nothing is missing" && return 1
    return 0
}
claim "late: what arrived later than allowed is not found" stays_missing
read_old ", late: 6h"
claim "late: what arrived in time is found" all_paths $((middle - 7200)) "$middle"
mv "$late_dir/${late_file##*/}" "$late_file"
read_old ", cache: {path: $work/cache}"

# Samples removed from the archive are removed from answers, whatever the cache has.
find "$work/old" -type f -delete
gone() {
    quiet_curl "$reader/api/v1/query_range?query=up&start=$first&end=$last&step=3600" | tee "$work/answer.json"
    jq -e '.data.result == []' "$work/answer.json"
}
claim "what the archive lost is not answered" gone

# A missing archive is not an empty one.
rm -r "$work/old"
no_directory() {
    quiet_curl "$reader/api/v1/query_range?query=up&start=$first&end=$last&step=3600" | tee "$work/answer.json"
    jq -e --arg path "$work/old" '.errorType == "internal" and (.error | startswith("source ") and contains($path))' "$work/answer.json"
}
missing_counted() {
    quiet_curl "$reader/metrics" | grep 'firekeep_source_errors_total{source="[a-z]*",kind="refused"} 1$' &&
        quiet_curl "$reader/api/v1/status/sources" | jq -e --arg path "$work/old" '.data[0] | (.lastError | contains($path)) and .lastErrorAt != null'
}
claim "without its directory the query fails, and names it" no_directory
claim "and that is counted, and shown" missing_counted

random_round

done_testing
