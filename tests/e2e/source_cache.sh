#!/bin/bash
# source_cache.sh - answers of a source are cached, whatever happens to the directory and the store.
#
#   samples --> store, a Firekeep <--remote read-- a Firekeep that stores nothing, with a cache <-- us
#
# It must give the answers of the store, and request only what it does not have.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 3)
store=http://127.0.0.1:${ports[0]}
cached=http://127.0.0.1:${ports[1]}
other=http://127.0.0.1:${ports[2]}
dir=$work/cache

# Four hours until an hour ago: an answer about them is believed for an hour.
start_s=$(($(date +%s) - 5 * 3600))
end_s=$((start_s + 4 * 3600))

samples_text() { # FACTOR
    awk -v begin="$start_s" -v factor="$1" 'BEGIN {
        for (n = 0; n < 480; n++) {
            t = sprintf("%.0f", begin * 1000 + n * 30000)
            for (i = 0; i < 10; i++) printf "requests_total{instance=\"i%d\"} %d %s\n", i, n * (i + factor), t
            printf "odd %s %s\n", n % 3 == 0 ? "0x7ff0000000000002" : "NaN", t
            printf "@histogram h %s kind=int schema=3 hint=0 threshold=0.001 zero=2 sum=%d count=%d pos=-2:2,3:1/%d,3,2\n", t, n, 7 + n + 1, n + 1
        }
    }'
}

write_config() { # MAX-AGE LINE...
    local age=$1
    shift
    {
        echo "storage: {path: $work/cached, mode: none}"
        echo 'sources:'
        echo "- {name: peer, type: remote_read, url: '$store/api/v1/read', cache: {path: $dir, max_age: $age}$*}"
    } >"$work/cached.yml"
}

start_cached() { # NAME URL
    mkdir -p "$work/$1"
    start "$1" build/firekeep serve "$small_log" "--config.file=$work/cached.yml" "--storage.path=$work/$1" \
        "--web.listen-address=${2#http://}" --web.enable-lifecycle
    wait_ready "$1" "$2/-/ready"
}

restart_cached() {
    stop cached
    start_cached cached "$cached"
}

reload() {
    write_config "$@"
    curl -fs --noproxy '*' -o /dev/null -X POST "$cached/-/reload"
}

questions=('sum(rate(requests_total[5m]))' 'requests_total{instance="i3"}' 'odd' 'histogram_quantile(0.9, h)' 'count({__name__=~".+"})')

ask() { # URL
    local question
    for question in "${questions[@]}"; do
        curl -s --noproxy '*' --max-time 60 -G "$1/api/v1/query_range" --data-urlencode "query=$question" \
            -d "start=$((start_s + 600))" -d "end=$end_s" -d step=60 -d nocache=1
        echo
    done
}

is_same() { # [URL]: two may run at once
    local answers=$work/answers.$BASHPID
    ask "$store" >"$answers.wanted"
    ask "${1:-$cached}" >"$answers.got"
    [[ $(grep -c '^{"status":"success"' "$answers.got") == "${#questions[@]}" ]] || {
        head -c 300 "$answers.got"
        return 1
    }
    cmp "$answers.wanted" "$answers.got"
}

counted() { # METRIC
    curl -s --noproxy '*' "$cached/metrics" | awk -v name="firekeep_source_$1{source=\"peer\"}" '$1 == name { print $2 }'
}

# Says whether the command sends requests to the store.
asks() {
    local before
    before=$(counted requests_total)
    "$@" || return 1
    (($(counted requests_total) > before)) || {
        echo "no request, $before before"
        return 1
    }
}
is_silent() {
    local before
    before=$(counted requests_total)
    "$@" || return 1
    [[ $(counted requests_total) == "$before" ]] || {
        echo "$(counted requests_total) requests, $before before"
        return 1
    }
}

files() {
    find "$dir" -type f
}

store_has() { # FACTOR
    samples_text "$1" | "$TOOLS/rwmake" --version 2 >"$work/samples.rw" &&
        rm -rf "${work:?}/store" && start_firekeep store "$work/store" "${ports[0]}" &&
        "$TOOLS/rwreplay" "$work/samples.rw" "$store" --check
}

# The store loses all that it had, and has something else.
store_forgets() { # FACTOR
    stop store
    store_has "$1"
}

damage_all() {
    local file size
    for file in $(files); do
        size=$(stat -c %s "$file")
        printf '\x5a\xa5\x5a' | dd of="$file" bs=1 seek=$((RANDOM % size)) conv=notrunc status=none
    done
}

round_kept() {
    claim "the first question asks the store, and is right" asks is_same
    claim "the second one does not" is_silent is_same
    claim "metrics count both" eval '(($(counted cache_misses_total) >= 5 && $(counted cache_hits_total) >= 5))'
    claim "after a restart it is not asked either" eval 'restart_cached && is_silent is_same'
    claim "a part of the time is not asked for" is_silent eval "start_s=$((start_s + 3600)) is_same"
    claim "another process with the same settings shares it" eval 'start_cached other "$other" && is_silent is_same "$other"'
    claim "another process does not ask either" eval '! curl -s --noproxy "*" "$other/metrics" | grep -E "^firekeep_source_requests_total.* [1-9]"'
}

round_directory() {
    claim "damaged files are asked for again" eval 'damage_all && asks is_same'
    claim "and kept again" is_silent is_same
    claim "files that are cut short are asked for again" eval 'truncate -s 100 $(files) && asks is_same'
    claim "the directory may go" eval 'rm -rf "$dir" && asks is_same'
    claim "and come back" is_silent is_same
    finds_no_cache() {
        build/firekeep sources test peer --config.file="$work/cached.yml" | grep '^FAILED  cache: cannot be written' ||
            { build/firekeep sources test peer --config.file="$work/cached.yml"; false; }
    }
    finds_nothing_so_early() {
        sed 's/type:/time: {to: 2d}, type:/; s/, cache:.*}}/}/' "$work/cached.yml" >"$work/early.yml"
        build/firekeep sources test peer --config.file="$work/early.yml" | tee "$work/early.txt"
        grep -qx 'ok      series: none at this time; try an earlier --from' "$work/early.txt"
    }
    claim "sources test looks at the times of the source" finds_nothing_so_early
    claim "named pipes in place of its files hold nothing up" eval 'for f in $(files); do rm "$f" && mkfifo "$f" || exit 1; done; asks is_same'
    claim "and are replaced" is_silent is_same
    claim "after a restart, too" eval 'for f in $(files); do rm "$f" && mkfifo "$f" || exit 1; done; restart_cached && asks is_same'
    claim "a file may stand in its place" eval 'rm -rf "$dir" && touch "$dir" && asks is_same && asks is_same'
    claim "the log says so" within 20 grep -q 'msg="cannot write to the cache' "$work/cached.log"
    claim "so does sources test" finds_no_cache
    claim "it may be of a parent that is not there" eval 'rm -f "$dir" && dir=$work/none/cache reload 1d && asks is_same && asks is_same'
    reload 1d
    claim "two processes that fill it at once answer alike" eval '{ is_same "$other" & is_same; } && wait $! && is_silent is_same'
    stop other
}

# The directory is a small file system of its own.
round_full() {
    local disk=$work/disk
    mkdir -p "$disk"
    mount -t tmpfs -o size=64k tmpfs "$disk" 2>/dev/null || {
        skip "a full disk" "tmpfs cannot be mounted"
        return
    }
    trap 'stop_all; umount "$disk"' EXIT # others may see it
    claim "a full disk does no harm" eval 'dir=$disk/cache reload 1d && head -c 60000 /dev/zero >"$disk/rest" && asks is_same'
    claim "and is used when there is room" eval 'rm -f "$disk/rest" && asks is_same && is_silent is_same'
    reload 1d
    umount "$disk"
    trap stop_all EXIT
}

round_changes() {
    claim "other settings are another source" eval 'reload 1d ", external_labels: {site: one}" && asks ask "$cached" | grep "\"site\":\"one\"" >/dev/null'
    claim "the first ones find what they had" eval 'reload 1d && is_silent is_same'
    cp -a "$dir" "$work/older"
    claim "what the store lost shows when it is older than max_age" eval 'reload 2s && is_same && store_forgets 5 && within 10 is_same'
    claim "an older copy of the directory is not believed" eval 'rm -rf "$dir" && cp -a "$work/older" "$dir" && is_same'
}

mkdir -p "$work"
write_config 1d
claim "a store has samples" store_has 1 &&
    claim "a Firekeep that stores nothing, with a cache, starts" start_cached cached "$cached" &&
    round_kept && round_directory && round_full && round_changes
done_testing
