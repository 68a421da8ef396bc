#!/bin/bash
# destinations_damaged.sh - bytes that change on the disk, or on the way, between the making of an
# object and its arrival in a bucket: no damaged object arrives, and no sample is lost if the log or
# the store has it; otherwise it is counted.
#
# The bucket is doubles/s3.py, which checks Content-MD5 as the service does.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
s3=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep
dir=$work/data
objects=$dir/relay/bucket/objects

start_bucket() {
    start bucket python3 tests/doubles/s3.py --port "${ports[1]}"
    wait_ready bucket "$s3/-/stats" 20
}

stats() { # EXPRESSION: whether jq finds it true
    quiet_curl "$s3/-/stats" >"$work/stats.json"
    jq -e "$1" "$work/stats.json" >"$work/answer" || {
        jq -c '{calls, answers, overwritten, uploads}' "$work/stats.json"
        return 1
    }
}

fault() { # OPERATION KIND TIMES
    quiet_curl -o "$work/answer" -X POST "$s3/-/fault" -d "{\"operation\": \"$1\", \"kind\": \"$2\", \"times\": $3}"
}

roll_age=1s

configure() { # COMPRESSION
    printf '%s\n' 'destinations:' '  - name: bucket' '    type: s3' "    endpoint: $s3" '    region: eu-west-1' \
        '    bucket: metrics' '    prefix: m/' '    path_style: true' "    compression: $1" "    roll_age: $roll_age" \
        '    access_key: KEY' '    secret_key: SECRET' '    retry: {min_backoff: 20ms, max_backoff: 300ms}' | write_config
}

serve() { # [ARGUMENT...]
    start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" "$@" && within 20 all_open
}

begin() { # COMPRESSION [ARGUMENT...]: the bucket's address does not answer
    ! is_running server || crash server
    ! is_running bucket || crash bucket
    rm -rf "$dir"
    configure "$1"
    serve "${@:2}"
}

numbers() { # NAME SERIES SAMPLES [LENGTH of a label]
    awk -v name="$1" -v series="$2" -v count="$3" -v length_of="${4-64}" 'BEGIN {
        for (i = 0; i < count; i++) {
            if (i && i % 2000 == 0) print "---"
            printf "%s{i=\"%d\",text=\"%0" length_of "d\"} %d.5 %.0f\n", name, i % series, i % series, i, 1700000000000 + int(i / series) * 1000
        }
    }' | "$TOOLS/rwmake" >"$work/$1.rw"
}

# The object is complete, and cannot go anywhere.
waits() {
    is_in_state bucket retrying && [[ $(find "$objects" -type f | wc -l) == 1 ]] && says bucket .
}

flip_object() { # OFFSET
    flip "$(find "$objects" -type f)" "$1"
}

# Changes the last record of the log, after which there are zeros.
flip_log() {
    python3 - "$dir"/wal/*.wal <<'END'
import sys
for path in sys.argv[1:]:
    with open(path, "r+b") as file:
        content = file.read()
        end = len(content.rstrip(b"\0"))
        if end <= 8192:
            continue
        at = end - 200
        file.seek(at)
        file.write(bytes([content[at] ^ 8]))
END
}

all_keys() {
    quiet_curl "$s3/metrics?list-type=2" | awk -v RS='<Key>' 'NR > 1 { sub(/<.*/, ""); print }'
}

content() {
    local key
    for key in $(all_keys); do
        case $key in
        */_*) ;;
        *.zst) quiet_curl "$s3/metrics/$key" | zstd -dc ;;
        *.gz) quiet_curl "$s3/metrics/$key" | gzip -dc ;;
        *) quiet_curl "$s3/metrics/$key" ;;
        esac || return 1
    done
}

# The bucket has these samples, bit for bit, and none twice.
has_all() { # NAME
    (
        set -o pipefail
        content | python3 tests/tools/aws_content.py "$work/arrived.rw" --any-order
    ) >"$work/arrived.txt" || return 1
    grep -q 'repeats=0' "$work/arrived.txt" || cat "$work/arrived.txt"
    "$TOOLS/rrcompare" "$work/$1.rw" "$work/arrived.rw" "${whole[@]}"
}

names_damage() {
    "$firekeep" verify "$dir" >"$work/said" 2>&1 && return 1
    grep "damaged: $objects/[0-9]* .*rebuilt from the log or the store" "$work/said"
}

told_damage() {
    grep 'level=error' "$work/server.log" | grep 'msg="s3: an undelivered object is .*damaged on disk'
}

settles() { # DELIVERED
    within 30 has_delivered bucket "$1" && within 10 all_settled bucket && balances bucket
}

numbers small 50 2000
numbers large 1000 16000 480 # more than a part of an upload
has_zstd=$(command -v zstd)

# --- while it waits ---------------------------------------------------------------------------------

for compression in none gzip zstd; do
    [[ $compression != zstd || -n $has_zstd ]] || { skip "$compression" "no zstd"; continue; }
    for where in 100 -50 -30; do # the object; the checksum of a block; the bytes after it
        test=$compression-$where
        : >"$work/server.log"
        claim "$test: starts without a bucket" begin "$compression"
        claim "$test: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
        claim "$test: an object of them waits" within 20 waits
        claim "$test: a bit of it is flipped" flip_object "$where"
        claim "$test: the bucket comes" start_bucket
        claim "$test: all is delivered, and the account is right" settles 2000
        claim "$test: the bucket has all samples" has_all small
        ((where < -40 || where > 0)) && claim "$test: the log says that it was damaged" told_damage
        claim "$test: SIGTERM ends it with status 0" stop server
    done
done

# --- across a crash ---------------------------------------------------------------------------------

for where in 100 -50 -30 -10; do
    test=crash-$where
    : >"$work/server.log"
    claim "$test: starts without a bucket" begin gzip
    claim "$test: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
    claim "$test: an object of them waits" within 20 waits
    crash server
    claim "$test: verify finds nothing wrong" "$firekeep" verify "$dir"
    claim "$test: a bit of it is flipped" flip_object "$where"
    claim "$test: verify names it" names_damage
    claim "$test: the bucket comes" start_bucket
    claim "$test: it starts again" serve
    claim "$test: all is delivered, and the account is right" settles 2000
    claim "$test: the bucket has all samples" has_all small
    claim "$test: the log says that it was damaged" told_damage
done

# --- an object of several parts ---------------------------------------------------------------------

roll_age=6s # all of them in one
: >"$work/server.log"
claim "parts: starts without a bucket" begin none
claim "parts: 16,000 samples are acknowledged" is_acknowledged "$work/large.rw"
claim "parts: an object of them waits" within 30 waits
claim "parts: it is larger than one part" [ "$(stat -c %s "$(find "$objects" -type f)")" -gt 8500000 ]
claim "parts: a bit of the second part is flipped" flip_object 8400000
claim "parts: the bucket comes" start_bucket
claim "parts: all is delivered, and the account is right" settles 16000
claim "parts: the bucket has all samples" has_all large
claim "parts: the log says that it was damaged" told_damage

roll_age=1s

# --- on the way -------------------------------------------------------------------------------------

claim "wire: starts with a bucket" begin gzip
claim "wire: the bucket comes" start_bucket
claim "wire: bits of the next three uploads are flipped on the way" fault PutObject damage 3
claim "wire: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
claim "wire: all is delivered, and the account is right" settles 2000
claim "wire: the store refused what was damaged" stats '.answers["PutObject 400"] == 3'
claim "wire: the bucket has all samples" has_all small

# --- the log is damaged, too ------------------------------------------------------------------------

: >"$work/server.log"
claim "store: starts without a bucket" begin gzip
claim "store: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
claim "store: an object of them waits" within 20 waits
claim "store: a bit of it is flipped" flip_object 100
claim "store: and a bit of the log" flip_log
claim "store: the bucket comes" start_bucket
claim "store: all is delivered, and the account is right" settles 2000
claim "store: the bucket has all samples" has_all small

: >"$work/server.log"
numbers more 50 500
claim "none: starts without a bucket" begin gzip --storage.mode=none
claim "none: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
claim "none: an object of them waits" within 20 waits
claim "none: a bit of it is flipped" flip_object 100
claim "none: and a bit of the log" flip_log
claim "none: 500 more are acknowledged" is_acknowledged "$work/more.rw"
claim "none: the bucket comes" start_bucket
claim "none: what is left is delivered, and the account is right" settles 500
claim "none: the others are counted as damaged" [ "$(samples dropped_total bucket)" == 2000 ]
claim "none: with that reason" grep -q '^firekeep_destination_samples_dropped_total{destination="bucket",reason="damaged"} 2000$' <(quiet_curl "$url/metrics")
claim "none: the bucket has those that are left" has_all more
claim "none: the log says it" grep -q 'cannot read undelivered samples again from the log' "$work/server.log"

# --- the index that it keeps ------------------------------------------------------------------------

claim "index: starts" begin gzip
claim "index: the bucket comes" start_bucket
claim "index: 2000 samples are acknowledged" is_acknowledged "$work/small.rw"
claim "index: they are delivered" settles 2000
crash server
claim "index: a bit of it is flipped" flip "$(find "$dir/relay/bucket/index" -type f)" 200
claim "index: it starts again" serve
claim "index: 500 more are acknowledged" is_acknowledged "$work/more.rw"
claim "index: they are delivered" settles 2500
index_is_right() { # it lists all, or states that it does not
    local key
    key=$(all_keys | grep '/_' | tail -n 1)
    quiet_curl "$s3/metrics/$key" >"$work/index.json"
    jq -c . "$work/index.json"
    jq -e '(.objects | length) == 2 or .all_objects == false' "$work/index.json"
}
claim "index: the one in the bucket is right" index_is_right
claim "index: the log says that it was damaged" grep -q 'level=error msg="s3: the local index' "$work/server.log"

done_testing
