#!/bin/bash
# destinations_objects.sh - objects in a bucket, and files: none takes the place of another, whatever
# was restored, copied, moved or renamed; none arrives damaged, though bytes change on the disk or on
# the way, and no sample is lost if the log or the store has it.
#
# The bucket is doubles/s3.py, which checks Content-MD5 as the service does and reports objects that
# were overwritten with other content.

set -u
work=${SCRATCH:?}
dir=$work/data
# shellcheck source=tests/restored_lib.sh
. tests/restored_lib.sh

# --- a copy is put back -----------------------------------------------------------------------------

# Each history is the same: 500 samples are delivered, a copy is taken, 500 more are delivered, the copy
# is restored in some way, and 500 others arrive, which have the same positions in the log as those that
# the copy lacks.
put_back_over_it() { cp -a "$work/copy/." "$dir/"; }
# Copies like rsync, in place: files of another size or time are replaced, others are not.
put_back_by_rsync() {
    local name
    files_of "$work/copy" >"$work/wanted" && files_of "$dir" >"$work/had"
    join -t ' ' -v 1 <(cut -d ' ' -f 1 "$work/had") <(cut -d ' ' -f 1 "$work/wanted") | (cd "$dir" && xargs -r rm)
    (cd "$work/copy" && find . -type d) | (cd "$dir" && xargs mkdir -p)
    comm -13 "$work/had" "$work/wanted" | while read -r name _; do
        cp -p "$work/copy/$name" "$dir/$name"
    done
}
files_of() { (cd "$1" && find . -type f -printf '%p %s %T@\n' | sort); } # with size and time
# Files that identify the directory, and are not in an older backup or were left out of it, stay.
put_back_in_part() {
    local name
    for name in MANIFEST wal parts relay; do
        rm -rf "${dir:?}/$name" && cp -a "$work/copy/$name" "$dir/$name" || return 1
    done
}

# Each has a server and a bucket of its own.
declare -A ports_of=()
samples=$work
round() { # CONDITIONAL-WAY
    local test=$1 conditional=${1%%-*} way=${1#*-}
    read -ra ports <<<"${ports_of[$1]}"
    url=http://127.0.0.1:${ports[0]}
    s3=http://127.0.0.1:${ports[1]}
    dir=$work/data
    ln -s "$samples"/?.rw "$work/"
    claim "$test: begins" begin --conditional "$conditional" || return
    claim "$test: two times 500 samples are delivered, and a copy is taken between" history_of_two || return
    claim "$test: the copy is put back" "put_back_$way"
    claim "$test: a server takes it" serve
    claim "$test: other samples are delivered" delivers 3
    claim "$test: a restart keeps the new id" restart
    claim "$test: more is delivered" delivers 4
    claim "$test: what came last has names under another id" are_of_ids 2
    claim "$test: no object took the place of another" nothing_was_overwritten
    claim "$test: indexes list what is there" indexes_are_right
    claim "$test: SIGTERM ends it with status 0" stop server
    claim "$test: all that was ever delivered is in the bucket, and in the files" all_is_there 1 2 3 4
    [[ $way == with_volume ]] || claim "$test: the log says what it found" grep -q 'msg="the storage directory was copied or restored' "$work/server.log"
}
# Stores that enforce, ignore or refuse the condition that a name is new.
tests=(enforce-as_copy enforce-by_rsync enforce-over_it enforce-in_part ignore-with_volume refuse-with_volume)
mapfile -t free < <(free_ports $((2 * ${#tests[@]})))
for i in "${!tests[@]}"; do
    ports_of[${tests[i]}]="${free[2 * i]} ${free[2 * i + 1]}"
done
together 3 round "${tests[@]}"

# --- a directory that is moved, and a snapshot that is served ------------------------------------------

contents() { # DIRECTORY
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Programs that only read do not change a copy, even one that they cannot write to.
are_only_read() { # DIRECTORY
    contents "$1" >"$work/tree"
    chmod -R a-w "$1"
    build/firekeep verify "$1" >"$work/answer" && build/firekeep inspect "$1" >"$work/answer"
    local status=$?
    chmod -R u+w "$1"
    contents "$1" | diff "$work/tree" - && return $status
}

move_away() {
    stop server && mv "$dir" "$work/moved" && dir=$work/moved && chmod -R g+w "$dir" && serve
}

: >"$work/server.log"
claim "moved: begins" begin
claim "moved: 500 samples are delivered" delivers 1
claim "moved: the directory is moved, and its permissions are changed" move_away
claim "moved: 500 more are delivered" delivers 2
claim "moved: all have names of one id" are_of_ids 1
claim "moved: nothing was said" eval '! grep "msg=\"the storage directory was copied or restored" "$work/server.log"'
serve_snapshot() {
    quiet_curl -X POST "$url/api/v1/admin/tsdb/snapshot" >"$work/snapshot.json" || return 1
    crash server
    dir=$(echo "$work/moved/snapshots"/*) && serve
}
claim "snapshot: one is made, and served" serve_snapshot
claim "snapshot: 500 more are delivered by it" delivers 3
crash server
dir=$work/moved
claim "snapshot: what it was made of is served again" serve
claim "snapshot: and delivers others" delivers 4
claim "snapshot: each has names of its own" are_of_ids 2
claim "snapshot: no object took the place of another" nothing_was_overwritten
claim "snapshot: all is there" all_is_there 1 2 3 4
claim "snapshot: SIGTERM ends it with status 0" stop server
claim "moved: verify and inspect change nothing" are_only_read "$dir"
dir=$work/data

# --- large objects, and a bucket that may not be looked at --------------------------------------------

# More than a part of an upload; only numbers matter.
large() { # NUMBER
    awk -v number="$1" 'BEGIN {
        for (i = 0; i < 16000; i++) {
            if (i && i % 2000 == 0) print "---"
            printf "many{i=\"%d\",text=\"%0480d\"} %d%05d.5 %.0f\n", i % 1000, i % 1000, number, i, 1700000000000 + number * 10000000 + i
        }
    }' | "$TOOLS/rwmake" >"$work/$1.rw"
    sizes[$1]=16000
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

history_of_large() {
    delivers 5 && crash server && cp -a "$dir" "$work/copy" && serve && delivers 6 && crash server
}

for number in 5 6 7; do large "$number"; done
roll_age=6s # all of them in one
claim "large: begins" begin --conditional ignore
claim "large: two times 16,000 samples are delivered, and a copy is taken between" history_of_large
claim "large: they went in parts" stats '.calls.CompleteMultipartUpload >= 2'
claim "large: the volume is rolled back" put_back_with_volume
claim "large: a server takes it" serve
claim "large: other samples are delivered" delivers 7
claim "large: no object took the place of another" nothing_was_overwritten
claim "large: all that was ever delivered is in the bucket" has_large 5 6 7
claim "large: indexes list what is there" indexes_are_right
roll_age=1s

claim "unseen: begins" begin --deny GetObject --deny ListObjectsV2
claim "unseen: two times 500 samples are delivered, and a copy is taken between" history_of_two
claim "unseen: the volume is rolled back" put_back_with_volume
claim "unseen: a server takes it" serve
claim "unseen: other samples are delivered" delivers 3
claim "unseen: no object took the place of another" nothing_was_overwritten
claim "unseen: the bucket may be read now" quiet_curl -o "$work/answer" -X POST "$s3/-/mode" -d '{"deny": []}'
claim "unseen: all that was ever delivered is in the bucket" holds bucket_content 1 2 3
claim "unseen: no index claims to list all and does not" indexes_do_not_lie

# --- answers that do not come, and other names of destinations --------------------------------------------

spoil_answers() { # OPERATION KIND TIMES
    quiet_curl -o "$work/answer" -X POST "$s3/-/fault" -d "{\"operation\": \"$1\", \"kind\": \"$2\", \"times\": $3, \"index\": false}"
}

for kind in cut conflict error; do
    claim "$kind: begins" begin
    claim "$kind: three answers are spoilt" spoil_answers PutObject "$kind" 3
    claim "$kind: 500 samples are delivered" delivers 1
    claim "$kind: there is one object" [ "$(keys | wc -l)" == 1 ]
    claim "$kind: and it is listed" indexes_are_right
done

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
claim "renamed: the bucket fails" spoil_answers PutObject error 100000
claim "renamed: 500 more are acknowledged" is_acknowledged "$work/2.rw"
claim "renamed: they wait as an object and in a file" within 20 waits_as_files
crash server
claim "renamed: both destinations get other names" rename_both
claim "renamed: the bucket works again" quiet_curl -o "$work/answer" -X POST "$s3/-/clear"
claim "renamed: starts" serve
claim "renamed: others are acknowledged" is_acknowledged "$work/3.rw"
claim "renamed: all of it is delivered" within 30 all_settled cold lines
claim "renamed: SIGTERM ends it" stop server
claim "renamed: all is there, also in finished files" eval 'all_is_there 1 2 3 && holds finished 1 2 3'
claim "renamed: names are of one id as before" are_of_ids 1
claim "renamed: no object took the place of another" nothing_was_overwritten
claim "renamed: indexes list what is there" indexes_are_right

# --- bytes that change --------------------------------------------------------------------------------

objects_in=$dir/relay/bucket/objects
prepare() { # COMPRESSION [ARGUMENT...]: without a bucket an object of 2000 samples waits
    ! is_running server || crash server
    ! is_running bucket || crash bucket
    rm -rf "$dir"
    : >"$work/server.log"
    configure "$1" && sed -i '/name: files/,$d' "$work/firekeep.yml" && serve "${@:2}" && is_acknowledged "$work/${load:-small}.rw" && within 30 waits_for_bucket
}
waits_for_bucket() {
    is_in_state bucket retrying && [[ $(find "$objects_in" -type f | wc -l) == 1 ]] && has_error bucket .
}
flip_object() { # OFFSET
    flip "$(find "$objects_in" -type f)" "$1"
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
        file.seek(end - 200)
        file.write(bytes([content[end - 200] ^ 8]))
END
}
unpacked() {
    local key
    for key in $(keys); do
        case $key in
        *.zst) quiet_curl "$s3/metrics/$key" | zstd -dc ;;
        *.gz) quiet_curl "$s3/metrics/$key" | gzip -dc ;;
        *) quiet_curl "$s3/metrics/$key" ;;
        esac || return 1
    done
}
has_all() { # NAME: these samples, bit for bit
    unpacked | python3 tests/tools/aws_content.py "$work/arrived.rw" --any-order >"$work/arrived.txt" &&
        "$TOOLS/rrcompare" "$work/$1.rw" "$work/arrived.rw" "${whole[@]}"
}
told_damage() {
    grep 'level=error' "$work/server.log" | grep 'msg="s3: an undelivered object is .*damaged on disk'
}
settles() { # DELIVERED
    within 30 shows bucket delivered="$1" queued=0
}
make_load small 0 2000
make_load more 2000 500
make_load half 0 1000 # its other half is the last record of the log
cat "$work/half.rw" "$work/more.rw" >"$work/rest.rw"
cp "$work/5.rw" "$work/large.rw"

# The object, the checksum of a block, the bytes after it; while the server runs, and after SIGKILL.
for how in none:100 gzip:-50 zstd:-30 gzip:100:crash gzip:-10:crash; do
    IFS=: read -r compression where crash <<<"$how"
    test=${crash:+$crash-}$compression$where
    claim "$test: an object of 2000 samples waits" prepare "$compression" || continue
    [[ -z $crash ]] || { crash server && claim "$test: verify finds nothing wrong" build/firekeep verify "$dir"; }
    claim "$test: a bit of it is flipped" flip_object "$where"
    [[ -z $crash ]] || claim "$test: verify names it" tells "damaged: $objects_in/[0-9]* .*rebuilt from the log or the store" 1 build/firekeep verify "$dir"
    claim "$test: the bucket comes" start_bucket
    [[ -z $crash ]] || claim "$test: it starts again" serve
    claim "$test: all is delivered, and the account is right" settles 2000
    claim "$test: the bucket has all samples" has_all small
    [[ $where == -30 ]] || claim "$test: the log says that it was damaged" told_damage
done

roll_age=6s load=large # all of them in one
claim "parts: an object of 16,000 samples waits" prepare none
claim "parts: it is larger than one part" [ "$(stat -c %s "$(find "$objects_in" -type f)")" -gt 8500000 ]
claim "parts: a bit of the second part is flipped" flip_object 8400000
claim "parts: the bucket comes" start_bucket
claim "parts: all is delivered, and the account is right" settles 16000
claim "parts: the bucket has all samples" has_all large
claim "parts: the log says that it was damaged" told_damage
roll_age=1s load=small

claim "store: an object waits" prepare gzip
claim "store: a bit of it is flipped, and one of the log" eval 'flip_object 100 && flip_log'
claim "store: the bucket comes" start_bucket
claim "store: all is delivered, and the account is right" settles 2000
claim "store: the bucket has all samples" has_all small

claim "wire: bits of the next three uploads are flipped on the way" spoil_answers PutObject damage 3
claim "wire: 500 samples are acknowledged" is_acknowledged "$work/more.rw"
claim "wire: they are delivered" settles 2500
claim "wire: the store refused what was damaged" stats '.answers["PutObject 400"] == 3'

claim "none: an object waits" prepare gzip --storage.mode=none
claim "none: a bit of it is flipped, and one of the log" eval 'flip_object 100 && flip_log'
claim "none: 500 more are acknowledged" is_acknowledged "$work/more.rw"
claim "none: the bucket comes" start_bucket
claim "none: what is left is delivered, and the account is right" settles 1500
claim "none: the others are counted as damaged" dropped bucket damaged 1000
claim "none: the bucket has those that are left" has_all rest
claim "none: the log says it" grep -q 'cannot read undelivered samples again from the log' "$work/server.log"

crash server
index_is_right() { # it lists all, or states that it does not
    quiet_curl "$s3/metrics/$(all_keys | grep '/_' | tail -n 1)" >"$work/index.json"
    jq -c . "$work/index.json"
    jq -e '(.objects | length) == 2 or .all_objects == false' "$work/index.json"
}
claim "index: a bit of the one on the disk is flipped" flip "$(find "$dir/relay/bucket/index" -type f)" 200
claim "index: it starts again" serve --storage.mode=none
claim "index: 500 more are acknowledged" is_acknowledged "$work/2.rw"
claim "index: they are delivered" within 30 all_settled bucket
claim "index: the one in the bucket is right" index_is_right
claim "index: the log says that it was damaged" grep -q 'level=error msg="s3: the local index' "$work/server.log"
done_testing
