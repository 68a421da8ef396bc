# shellcheck shell=bash disable=SC2034,SC2154
# restored_lib.sh - sourced by tests of what a storage directory that is not what it was does to a bucket and to files,
# after destinations_lib.sh: 500 samples after the other, what arrived of them, and under which ids. The bucket is
# doubles/s3.py, which says when an object was overwritten with other content. The caller sets `work`, and `dir`, the
# storage directory, which it may change.

mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
s3=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep

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
        have=$(grep -o "\"time\":[0-9]*,\"value\":${name}[0-9]*\\.5" "$work/content" | sort -u | wc -l)
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

roll_age=1s

configure() {
    mkdir -p "$work/files"
    {
        printf '%s\n' 'destinations:' '  - name: bucket' '    type: s3' "    endpoint: $s3" '    region: eu-west-1' \
            '    bucket: metrics' '    prefix: m/' '    path_style: true' '    compression: none' "    roll_age: $roll_age" \
            '    access_key: KEY' '    secret_key: SECRET' '    retry: {min_backoff: 20ms, max_backoff: 300ms}'
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

put_back_as_copy() { rm -rf "$dir" && cp -a "$work/copy" "$dir"; }
# All of the volume is as it was, down to the numbers of its files: nothing in it can tell.
put_back_with_volume() { put_back_as_copy && python3 tests/tools/forge_identity.py "$dir"; }

for number in 1 2 3 4; do numbers "$number"; done
