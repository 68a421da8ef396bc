#!/bin/bash
# destinations_names.sh - copies of a storage directory, and directories that are not copies; and
# existing names in a bucket, for large objects, without the permission to look, and with lost
# answers.

set -u
work=${SCRATCH:?}
dir=$work/data
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/restored_lib.sh
. tests/restored_lib.sh

# --- directories that are not copies ----------------------------------------------------------------

tree() { # DIRECTORY
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Programs that only read do not change a copy, even one that they cannot write to.
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
    ! grep 'msg="the storage directory was copied or restored' "$work/server.log"
}

: >"$work/server.log"
claim "moved: begins" begin
claim "moved: 500 samples are delivered" delivers 1
claim "moved: after SIGKILL it goes on" restart
claim "moved: 500 more are delivered" delivers 2
rm -rf "$work/moved"
claim "moved: the directory is moved, and its permissions are changed" move_away
claim "moved: 500 more are delivered" delivers 3
claim "moved: all have names of one id" are_of_ids 1
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
    begin --conditional enforce && crash server && start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-admin-api &&
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
claim "snapshot: each has names of its own" are_of_ids 2
claim "snapshot: no object took the place of another" nothing_was_overwritten
claim "snapshot: all is there" all_is_there 1 2 3

# --- large objects, and a bucket that may not be looked at --------------------------------------------

# More than a part of an upload; only numbers matter.
large() { # NUMBER
    awk -v number="$1" 'BEGIN {
        for (i = 0; i < 16000; i++) {
            if (i && i % 2000 == 0) print "---"
            printf "many{i=\"%d\",text=\"%0480d\"} %d%05d.5 %.0f\n", i % 1000, i % 1000, number, i, 1700000000000 + number * 10000000 + i
        }
    }' | "$TOOLS/rwmake" >"$work/$1.rw"
    sizes[$1]=$(sent_samples "$work/$1.rw")
}

has_large() { # NUMBER...
    local number have
    bucket_content | grep -o '"value":[0-9]*\.5' | sort -u >"$work/content"
    for number; do
        have=$(grep -c "^\"value\":${number}[0-9]\{5\}\.5" "$work/content")
        [[ $have == 16000 ]] || {
            echo "$have of 16000 samples of $number are there"
            return 1
        }
    done
}

for number in 5 6 7; do large "$number"; done
roll_age=6s # all of them in one

history_of_large() {
    delivers 5 && crash server && cp -a "$dir" "$work/copy" && serve && delivers 6 && crash server
}

for conditional in enforce ignore; do
    test=large-$conditional
    claim "$test: begins" begin --conditional "$conditional"
    claim "$test: two times 16,000 samples are delivered, and a copy is taken between" history_of_large
    claim "$test: they went in parts" stats '.calls.CompleteMultipartUpload >= 2'
    claim "$test: the volume is rolled back" put_back_with_volume
    claim "$test: a server takes it" serve
    claim "$test: other samples are delivered" delivers 7
    claim "$test: no object took the place of another" nothing_was_overwritten
    claim "$test: all that was ever delivered is in the bucket" has_large 5 6 7
    claim "$test: indexes list what is there" indexes_are_right
done

roll_age=1s
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

# --- other names of destinations --------------------------------------------------------------------------

rename_both() {
    mv "$dir/relay/bucket" "$dir/relay/cold" && mv "$dir/relay/files" "$dir/relay/lines" &&
        sed -i 's/name: bucket/name: cold/; s/name: files/name: lines/' "$work/firekeep.yml"
}

waits_as_files() { # until then a crash would come before the object and the file exist
    compgen -G "$dir/relay/bucket/objects/*" && [[ -s $(compgen -G "$work/files/*.ndjson.tmp") ]]
}

finished() { # files without those that a crash left open
    cat "$work/files"/*.ndjson
}

claim "renamed: begins" begin
claim "renamed: 500 samples are delivered" delivers 1
claim "renamed: the bucket fails" fault PutObject error 100000
claim "renamed: 500 more are acknowledged" is_acknowledged "$work/2.rw"
claim "renamed: they wait as an object and in a file" within 20 waits_as_files
crash server
claim "renamed: both destinations get other names" rename_both
claim "renamed: the bucket works again" quiet_curl -o "$work/answer" -X POST "$s3/-/clear"
claim "renamed: starts" serve
claim "renamed: others are acknowledged" is_acknowledged "$work/3.rw"
claim "renamed: all of it is delivered" within 30 all_settled cold lines
claim "renamed: SIGTERM ends it" stop server
claim "renamed: all is there" all_is_there 1 2 3
claim "renamed: also in finished files" holds finished 1 2 3
claim "renamed: names are of one id as before" are_of_ids 1
claim "renamed: no object took the place of another" nothing_was_overwritten
claim "renamed: indexes list what is there" indexes_are_right

done_testing
