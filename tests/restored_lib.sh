# shellcheck shell=bash disable=SC2034,SC2154
# restored_lib.sh - sourced, after destinations_lib.sh, by tests of restored storage directories,
# and their effect on a bucket and on files: sends batches of 500 samples, and reads which of them
# arrived, and under which ids. The bucket is doubles/s3.py, which reports objects that were
# overwritten with other content. The caller sets `work`, and `dir`, the storage directory, which it
# may change.

# shellcheck source=tests/destinations_lib.sh
[[ -n ${whole-} ]] || . tests/destinations_lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
s3=http://127.0.0.1:${ports[1]}

# --- the bucket and the files -----------------------------------------------------------------------

start_bucket() { # ARGUMENT...
    start bucket python3 tests/doubles/s3.py --port "${ports[1]}" "$@"
    wait_ready bucket "$s3/-/stats" 20
}

stats() { # EXPRESSION: whether jq finds it true
    quiet_curl "$s3/-/stats" >"$work/stats.json"
    jq -e "$1" "$work/stats.json" >"$work/answer" || {
        jq -c '{calls, answers, overwritten, uploads}' "$work/stats.json"
        return 1
    }
}

all_keys() {
    quiet_curl "$s3/metrics?list-type=2" | awk -v RS='<Key>' 'NR > 1 { sub(/<.*/, ""); print }'
}

keys() { # keys of objects, without the indexes
    all_keys | sed '/\/_/d'
}

objects() { # KEY...: prints their content
    (($# == 0)) || "$TOOLS/get" "${@/#/$s3/metrics/}" 60
}

bucket_content() {
    local found
    mapfile -t found < <(keys)
    objects "${found[@]}"
}

file_content() {
    cat "$work/files"/*.ndjson "$work/files"/*.ndjson.tmp 2>"$work/answer"
}

# Checks that every sample of these is in the content at least once.
holds() { # CONTENT NAME...: as written by `numbers`
    "$1" >"$work/content"
    awk -v wanted="${*:2}" '
        {
            while (match($0, /"time":[0-9]*,"value":[0-9]*\.5/)) {
                sample = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                value = sample
                sub(/.*:/, "", value)
                if (!(sample in seen)) found[substr(value, 1, 1)]++
                seen[sample] = 1
            }
        }
        END {
            for (count = split(wanted, names, " "); count > 0; count--) {
                if (found[names[count]] == 500) continue
                printf "%d of 500 samples of %s are there\n", found[names[count]], names[count]
                lost = 1
            }
            exit lost
        }' "$work/content"
}

ids() { # ids at the start of objects' names
    keys | sed 's/.*\///; s/-.*//' | sort -u
}

are_of_ids() { # COUNT
    local found
    mapfile -t found < <(ids)
    echo "${found[*]}"
    ((${#found[@]} == $1))
}

# The index of its id lists its own objects, and no index names an object that does not exist.
indexes_are_right() {
    local all indexes=() key
    mapfile -t all < <(all_keys)
    for key in "${all[@]}"; do
        [[ $key != */_* ]] || indexes+=("$key")
    done
    diff <(objects "${indexes[@]}" | jq -r 'select(.all_objects) | .prefix as $p | .objects[] | $p + .name' | sort -u) \
        <(printf '%s\n' "${all[@]}" | sed '/\/_/d' | sort)
}

# An index that claims to list all names every object of its id.
indexes_do_not_lie() {
    local index id
    keys >"$work/keys"
    for index in $(all_keys | grep '/_'); do
        quiet_curl "$s3/metrics/$index" >"$work/index.json"
        jq -e .all_objects "$work/index.json" >"$work/answer" || continue
        id=$(jq -r .instance "$work/index.json")
        diff <(jq -r '.prefix as $p | .objects[] | $p + .name' "$work/index.json" | sort) <(grep "/$id-" "$work/keys" | sort) || return 1
    done
}

# --- the server -------------------------------------------------------------------------------------

roll_age=1s

configure() { # [COMPRESSION of objects]
    mkdir -p "$work/files"
    {
        printf '%s\n' 'destinations:' '  - name: bucket' '    type: s3' "    endpoint: $s3" '    region: eu-west-1' \
            '    bucket: metrics' '    prefix: m/' '    path_style: true' "    compression: ${1:-none}" "    roll_age: $roll_age" \
            '    access_key: KEY' '    secret_key: SECRET' '    retry: {min_backoff: 20ms, max_backoff: 300ms}'
        printf '%s\n' '  - name: files' '    type: file' "    path: $work/files" '    format: ndjson' '    compression: none' \
            '    roll_age: 1h' '    batch: {max_age: 50ms}'
    } | write_config
}

serve() { # [ARGUMENT...]
    start_firekeep server "$dir" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-admin-api "$@" && within 20 all_open
}

# Makes 500 samples whose values begin with NUMBER; each number has its own times.
declare -A sizes=() # samples by number
numbers() { # NUMBER
    awk -v number="$1" 'BEGIN {
        for (i = 0; i < 500; i++)
            printf "many{i=\"%d\"} %d%03d.5 %.0f\n", i % 50, number, i, 1700000000000 + number * 10000000 + i * 1000
    }' | "$TOOLS/rwmake" >"$work/$1.rw"
    sizes[$1]=$(sent_samples "$work/$1.rw")
}

delivered=('firekeep_destination_samples_delivered_total{destination="bucket"' 'firekeep_destination_samples_delivered_total{destination="files"')

have_delivered() { # COUNT of the bucket, COUNT of the files
    "$TOOLS/metrics" "$url" "$within_seconds" are "${delivered[0]}" '>=' "$1" "${delivered[1]}" '>=' "$2"
}

delivers() { # NUMBER
    local before more=${sizes[$1]}
    mapfile -t before < <("$TOOLS/metrics" "$url" 0 sum "${delivered[@]}")
    is_acknowledged "$work/$1.rw" && within 20 have_delivered $((before[0] + more)) $((before[1] + more)) && within 20 all_settled bucket files
}

restart() { # after SIGKILL
    crash server
    serve
}

begin() { # [ARGUMENT of the bucket...]
    ! is_running server || crash server
    ! is_running bucket || crash bucket
    rm -rf "$work/data" "$work/copy" "$work/files"
    start_bucket "$@" && configure && serve
}

# The position of the log is saved with the id, from time to time.
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

all_is_there() { # checks that all of these are there
    holds bucket_content "$@" && holds file_content "$@"
}

put_back_as_copy() { rm -rf "$dir" && cp -a "$work/copy" "$dir"; }
# All of the volume is restored, including the inode numbers: nothing in it can show that.
put_back_with_volume() { put_back_as_copy && python3 tests/tools/forge_identity.py "$dir"; }

for number in 1 2 3 4; do numbers "$number"; done
