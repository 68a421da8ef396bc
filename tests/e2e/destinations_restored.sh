#!/bin/bash
# destinations_restored.sh - a storage directory that was restored from an older copy, or rolled
# back with its volume: objects and files that it sends afterwards never replace earlier ones, in a
# bucket or in a directory of files.
#
# Each history is the same: 500 samples are delivered, a copy is taken, 500 more are delivered, the
# copy is restored in some way, and 500 others arrive, which have the same positions in the log as
# those that the copy lacks.

set -u
work=${SCRATCH:?}
dir=$work/data
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/restored_lib.sh
. tests/restored_lib.sh

# --- ways to put a copy back ------------------------------------------------------------------------

put_back_over_it() { cp -a "$work/copy/." "$dir/"; }
put_back_from_tar() { tar -C "$work/copy" -cf "$work/copy.tar" . && rm -rf "$dir" && mkdir "$dir" && tar -C "$dir" -xf "$work/copy.tar"; }
# Copies like rsync: files of another size or time are replaced, others are not.
synchronize() { # COMMAND...: given the file of the copy, and that of the directory
    local name
    files_of "$work/copy" >"$work/wanted" && files_of "$dir" >"$work/had"
    join -t ' ' -v 1 <(cut -d ' ' -f 1 "$work/had") <(cut -d ' ' -f 1 "$work/wanted") | (cd "$dir" && xargs -r rm)
    (cd "$work/copy" && find . -type d) | (cd "$dir" && xargs mkdir -p)
    comm -13 "$work/had" "$work/wanted" | while read -r name _; do
        "$@" "$work/copy/$name" "$dir/$name"
    done
}
files_of() { (cd "$1" && find . -type f -printf '%p %s %T@\n' | sort); } # with size and time
replace() { cp -p "$1" "$2.new" && mv "$2.new" "$2"; }
put_back_by_rsync() { synchronize replace; }
put_back_by_rsync_in_place() { synchronize cp -p; }
# Files that identify the directory, and are not in an older backup or were left out of it, stay.
put_back_in_part() {
    local name
    for name in MANIFEST wal parts relay; do
        rm -rf "${dir:?}/$name" && cp -a "$work/copy/$name" "$dir/$name" || return 1
    done
}
put_back_hard_links() { rm -rf "$dir" && cp -al "$work/copy" "$dir"; }

# --- the histories ----------------------------------------------------------------------------------

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
    claim "$test: no object took the place of another" nothing_was_overwritten
    claim "$test: all that was ever delivered is in the bucket" holds bucket_content 1 2 3
    claim "$test: and in the files" holds file_content 1 2 3
    claim "$test: what came last has names under another id" are_of_ids 2
    claim "$test: indexes list what is there" indexes_are_right
    claim "$test: a restart keeps the new id" restart
    claim "$test: more is delivered" delivers 4
    claim "$test: the ids are two" are_of_ids 2
    claim "$test: SIGTERM ends it with status 0" stop server
    claim "$test: all is there in the end" all_is_there 1 2 3 4
    [[ $way == with_volume ]] || claim "$test: the log says what it found" grep -q 'msg="the storage directory was copied or restored' "$work/server.log"
}

tests=()
for conditional in enforce ignore refuse; do
    ways=(as_copy with_volume)
    [[ $conditional != enforce ]] || ways+=(over_it from_tar by_rsync by_rsync_in_place in_part hard_links)
    tests+=("${ways[@]/#/$conditional-}")
done
mapfile -t free < <(free_ports $((2 * ${#tests[@]})))
for i in "${!tests[@]}"; do
    ports_of[${tests[i]}]="${free[2 * i]} ${free[2 * i + 1]}"
done
together 4 round "${tests[@]}"

done_testing
