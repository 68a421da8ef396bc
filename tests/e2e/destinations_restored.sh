#!/bin/bash
# destinations_restored.sh - a storage directory that was copied, put back from an older copy, or rolled back with its
# volume: what it sends afterwards never takes the place of what was sent before, in a bucket or in a directory of files.
#
# The bucket is doubles/s3.py, which says when an object was overwritten with other content. Each history is the same:
# 500 samples are delivered, a copy is taken, 500 more are delivered, the copy is put back in one way or another, and 500
# others come, which lie at the same positions of the log as those that the copy does not know.

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

# --- the bucket and the files -----------------------------------------------------------------------

start_bucket() { # ARGUMENT...
    start bucket python3 tests/doubles/s3.py --port "${ports[1]}" "$@"
    within 20 quiet_curl -o "$work/answer" "$s3/-/stats"
}

stats() { # EXPRESSION: whether jq finds it true
    quiet_curl "$s3/-/stats" >"$work/stats.json"
    jq -e "$1" "$work/stats.json" >"$work/answer" || {
        jq -c '{calls, answers, overwritten, uploads}' "$work/stats.json"
        return 1
    }
}

keys() { # of objects, without the indexes
    quiet_curl "$s3/metrics?list-type=2" | grep -o '<Key>[^<]*' | sed 's/^<Key>//' | grep -v '/_'
}

bucket_content() {
    local key
    for key in $(keys); do quiet_curl "$s3/metrics/$key"; done
}

file_content() {
    cat "$work/files"/*.ndjson "$work/files"/*.ndjson.tmp 2>"$work/answer"
}

# Every sample of these stands there at least once.
holds() { # CONTENT NAME...: what is written by `numbers`
    local what=$1 name have
    shift
    "$what" >"$work/content"
    for name; do
        have=$(grep -o "\"time\":[0-9]*,\"value\":$name[0-9]*\\.5" "$work/content" | sort -u | wc -l)
        [[ $have == 500 ]] || {
            echo "$have of 500 samples of $name are there"
            return 1
        }
    done
}

ids() { # that objects' names begin with
    keys | sed 's/.*\///; s/-.*//' | sort -u
}

# Its own objects are listed by the index of its id, and no index names what is not there.
indexes_are_right() {
    local index name listed
    keys | sort >"$work/keys"
    : >"$work/listed"
    for index in $(quiet_curl "$s3/metrics?list-type=2" | grep -o '<Key>[^<]*/_[^<]*' | sed 's/^<Key>//'); do
        quiet_curl "$s3/metrics/$index" >"$work/index.json"
        jq -e .all_objects "$work/index.json" >"$work/answer" || continue
        jq -r '.prefix as $p | .objects[] | $p + .name' "$work/index.json" >>"$work/listed"
    done
    listed=$(sort -u "$work/listed")
    diff <(echo "$listed") "$work/keys"
}

# An index that says that it lists all names every object of its id.
indexes_do_not_lie() {
    local index id
    keys >"$work/keys"
    for index in $(quiet_curl "$s3/metrics?list-type=2" | grep -o '<Key>[^<]*/_[^<]*' | sed 's/^<Key>//'); do
        quiet_curl "$s3/metrics/$index" >"$work/index.json"
        jq -e .all_objects "$work/index.json" >"$work/answer" || continue
        id=$(jq -r .instance "$work/index.json")
        diff <(jq -r '.prefix as $p | .objects[] | $p + .name' "$work/index.json" | sort) <(grep "/$id-" "$work/keys" | sort) || return 1
    done
}

# --- the server -------------------------------------------------------------------------------------

configure() { # [LINE...]: more of the bucket
    mkdir -p "$work/files"
    {
        printf '%s\n' 'destinations:' '  - name: bucket' '    type: s3' "    endpoint: $s3" '    region: eu-west-1' \
            '    bucket: metrics' '    prefix: m/' '    path_style: true' '    compression: none' '    roll_age: 1s' \
            '    access_key: KEY' '    secret_key: SECRET' '    retry: {min_backoff: 20ms, max_backoff: 300ms}'
        (($# == 0)) || printf '    %s\n' "$@"
        printf '%s\n' '  - name: files' '    type: file' "    path: $work/files" '    format: ndjson' '    compression: none' \
            '    roll_age: 1h' '    batch: {max_age: 50ms}'
    } | write_config
}

serve() {
    start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" && within 20 all_open
}

# 500 samples whose values begin with NUMBER; each number has times of its own.
numbers() { # NUMBER
    local i
    for ((i = 0; i < 500; i++)); do
        printf 'many{i="%d"} %d%03d.5 %d\n' "$((i % 50))" "$1" "$i" "$((1700000000000 + $1 * 10000000 + i * 1000))"
    done >"$work/$1.txt"
    "$TOOLS/rwmake" <"$work/$1.txt" >"$work/$1.rw"
}

have_delivered() { # COUNT of the bucket, COUNT of the files
    (($(samples delivered_total bucket) >= $1 && $(samples delivered_total files) >= $2))
}

delivers() { # NUMBER
    local bucket files more
    bucket=$(samples delivered_total bucket) files=$(samples delivered_total files) more=$(sent_samples "$work/$1.rw")
    is_acknowledged "$work/$1.rw" && within 20 have_delivered $((bucket + more)) $((files + more)) && within 20 all_settled bucket files
}

restart() { # after SIGKILL
    crash server
    serve
}

begin() { # [ARGUMENT of the bucket...]
    rm -rf "$work/data" "$work/copy" "$work/files"
    ! is_running server || crash server
    ! is_running bucket || crash bucket
    start_bucket "$@" && configure && serve
}

# How far the log was is kept beside the id, from time to time.
knows_its_log() {
    ! cmp "$dir/IDENTITY" "$work/identity"
}

# 500 delivered, a copy, 500 more. The server is dead then.
history_of_two() {
    delivers 1 && crash server && cp -a "$dir" "$work/copy" && serve && cp "$dir/IDENTITY" "$work/identity" &&
        delivers 2 && within 10 knows_its_log && crash server
}

nothing_was_overwritten() {
    stats '[.overwritten[] | select(test("/_") | not)] == []'
}

all_is_there() { # of these
    holds bucket_content "$@" && holds file_content "$@"
}

# --- ways to put a copy back ------------------------------------------------------------------------

put_back_as_copy() { rm -rf "$dir" && cp -a "$work/copy" "$dir"; }
put_back_over_it() { cp -a "$work/copy/." "$dir/"; }
put_back_from_tar() { tar -C "$work/copy" -cf "$work/copy.tar" . && rm -rf "$dir" && mkdir "$dir" && tar -C "$dir" -xf "$work/copy.tar"; }
# As rsync does it: files of another size or time are replaced, others are left.
synchronize() { # COMMAND...: given the file of the copy, and that of the directory
    local name
    (cd "$dir" && find . -type f) | while read -r name; do [[ -f $work/copy/$name ]] || rm "$dir/$name"; done
    (cd "$work/copy" && find . -type d) | while read -r name; do mkdir -p "$dir/$name"; done
    (cd "$work/copy" && find . -type f) | while read -r name; do
        [[ $(stat -c '%s %.9Y' "$work/copy/$name") == "$(stat -c '%s %.9Y' "$dir/$name" 2>/dev/null)" ]] || "$@" "$work/copy/$name" "$dir/$name"
    done
}
replace() { cp -p "$1" "$2.new" && mv "$2.new" "$2"; }
put_back_by_rsync() { synchronize replace; }
put_back_by_rsync_in_place() { synchronize cp -p; }
# What names the directory, and is not in an older backup, or was left out of it, stays as it is.
put_back_in_part() {
    local name
    for name in MANIFEST wal parts relay; do
        rm -rf "${dir:?}/$name" && cp -a "$work/copy/$name" "$dir/$name" || return 1
    done
}
# All of the volume is as it was, down to the numbers of its files: nothing in it can tell.
put_back_with_volume() { put_back_as_copy && python3 tests/tools/forge_identity.py "$dir"; }
put_back_hard_links() { rm -rf "$dir" && cp -al "$work/copy" "$dir"; }

for number in 1 2 3 4; do numbers "$number"; done

ways=(as_copy over_it from_tar by_rsync by_rsync_in_place in_part hard_links with_volume)

for conditional in enforce ignore refuse; do
    for way in "${ways[@]}"; do
        test=$conditional-$way
        claim "$test: begins" begin --conditional "$conditional" || continue
        claim "$test: two times 500 samples are delivered, and a copy is taken between" history_of_two || continue
        id=$(ids)
        claim "$test: the copy is put back" "put_back_$way"
        claim "$test: a server takes it" serve
        claim "$test: other samples are delivered" delivers 3
        claim "$test: no object took the place of another" nothing_was_overwritten
        claim "$test: all that was ever delivered is in the bucket" holds bucket_content 1 2 3
        claim "$test: and in the files" holds file_content 1 2 3
        claim "$test: what came last has names under another id" [ "$(ids | wc -l)" == 2 ]
        claim "$test: indexes list what is there" indexes_are_right
        claim "$test: a restart keeps the new id" restart
        claim "$test: more is delivered" delivers 4
        claim "$test: the ids are two" [ "$(ids | wc -l)" == 2 ]
        claim "$test: SIGTERM ends it with status 0" stop server
        claim "$test: all is there in the end" all_is_there 1 2 3 4
        [[ $way == with_volume ]] || claim "$test: the log says what it found" grep -q 'msg="the storage directory is not the one' "$work/server.log"
        : >"$work/server.log"
        [[ $conditional == enforce ]] || [[ $way == with_volume ]] || break # the id alone does it
    done
done

# --- what is no copy --------------------------------------------------------------------------------

tree() { # DIRECTORY
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Programs that only read leave a copy as it is, also one that they cannot write to.
are_only_read() { # DIRECTORY
    tree "$1" >"$work/tree"
    chmod -R a-w "$1"
    "$firekeep" verify "$1" >"$work/answer" && "$firekeep" inspect "$1" >"$work/answer"
    local status=$?
    chmod -R u+w "$1"
    tree "$1" | diff "$work/tree" - && return $status
}

move_away() {
    stop server && mv "$dir" "$work/moved" && dir=$work/moved && chmod -R g+w "$dir" && serve
}

is_alone() { # the warning is not in the log
    ! grep 'msg="the storage directory is not the one' "$work/server.log"
}

: >"$work/server.log"
claim "moved: begins" begin
claim "moved: 500 samples are delivered" delivers 1
claim "moved: after SIGKILL it goes on" restart
claim "moved: 500 more are delivered" delivers 2
rm -rf "$work/moved"
claim "moved: the directory is moved, and its permissions are changed" move_away
claim "moved: 500 more are delivered" delivers 3
claim "moved: all have names of one id" [ "$(ids | wc -l)" == 1 ]
claim "moved: nothing was said" is_alone
claim "moved: indexes list what is there" indexes_are_right
claim "moved: SIGTERM ends it with status 0" stop server
claim "moved: verify and inspect change nothing" are_only_read "$dir"
dir=$work/data

# --- a snapshot that is served ------------------------------------------------------------------------

serve_snapshot() {
    quiet_curl -X POST "$url/api/v1/admin/tsdb/snapshot" >"$work/snapshot.json" || return 1
    crash server
    dir=$(echo "$work/data/snapshots"/*) && serve
}

begin_admin() {
    begin && crash server && start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-admin-api &&
        within 20 all_open
}

claim "snapshot: begins" begin_admin
claim "snapshot: 500 samples are delivered" delivers 1
claim "snapshot: one is made, and served" serve_snapshot
claim "snapshot: 500 more are delivered by it" delivers 2
crash server
dir=$work/data
claim "snapshot: what it was made of is served again" serve
claim "snapshot: and delivers others" delivers 3
claim "snapshot: each has names of its own" [ "$(ids | wc -l)" == 2 ]
claim "snapshot: no object took the place of another" nothing_was_overwritten
claim "snapshot: all is there" all_is_there 1 2 3

# --- large objects, and a bucket that may not be looked at --------------------------------------------

# More than a part of an upload; only numbers matter.
large() { # NUMBER
    local i
    for ((i = 0; i < 60000; i++)); do
        ((i == 0 || i % 5000 > 0)) || echo '---'
        printf 'many{i="%d",text="%064d"} %d%05d.5 %d\n' "$((i % 1000))" "$((i % 1000))" "$1" "$i" "$((1700000000000 + $1 * 10000000 + i))"
    done >"$work/large.txt"
    "$TOOLS/rwmake" <"$work/large.txt" >"$work/$1.rw"
}

has_large() { # NUMBER...
    local number have
    bucket_content >"$work/content"
    for number; do
        have=$(grep -o "\"value\":$number[0-9]\{5\}\.5" "$work/content" | sort -u | wc -l)
        [[ $have == 60000 ]] || {
            echo "$have of 60000 samples of $number are there"
            return 1
        }
    done
}

for number in 5 6 7; do large "$number"; done

history_of_large() {
    delivers 5 && crash server && cp -a "$dir" "$work/copy" && serve && delivers 6 && crash server
}

for conditional in enforce ignore; do
    test=large-$conditional
    claim "$test: begins" begin --conditional "$conditional"
    claim "$test: two times 60,000 samples are delivered, and a copy is taken between" history_of_large
    claim "$test: they went in parts" stats '.calls.CompleteMultipartUpload >= 2'
    claim "$test: the volume is rolled back" put_back_with_volume
    claim "$test: a server takes it" serve
    claim "$test: other samples are delivered" delivers 7
    claim "$test: no object took the place of another" nothing_was_overwritten
    claim "$test: all that was ever delivered is in the bucket" has_large 5 6 7
    claim "$test: indexes list what is there" indexes_are_right
done

test=unseen
claim "$test: begins" begin --deny GetObject --deny ListObjectsV2
claim "$test: two times 500 samples are delivered, and a copy is taken between" history_of_two
claim "$test: the volume is rolled back" put_back_with_volume
claim "$test: a server takes it" serve
claim "$test: other samples are delivered" delivers 3
claim "$test: no object took the place of another" nothing_was_overwritten
claim "$test: the bucket may be read now" quiet_curl -o "$work/answer" -X POST "$s3/-/mode" -d '{"deny": []}'
claim "$test: all that was ever delivered is in the bucket" holds bucket_content 1 2 3
claim "$test: no index claims to list all and does not" indexes_do_not_lie

# --- answers that do not come, and conflicts ------------------------------------------------------------

fault() { # OPERATION KIND TIMES
    quiet_curl -o "$work/answer" -X POST "$s3/-/fault" -d "{\"operation\": \"$1\", \"kind\": \"$2\", \"times\": $3, \"index\": false}"
}

for kind in cut conflict error; do
    claim "$kind: begins" begin
    claim "$kind: three answers are spoilt" fault PutObject "$kind" 3
    claim "$kind: 500 samples are delivered" delivers 1
    claim "$kind: there is one object" [ "$(keys | wc -l)" == 1 ]
    claim "$kind: and it is listed" indexes_are_right
done

((failures == 0))
