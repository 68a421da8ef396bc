#!/bin/bash
# flood.sh - a sender whose series explode, under a memory limit that is too small for them: old
# series go on, memory stays within its limits, flushes and merges have enough, and no accepted
# sample is lost.

. tests/lib.sh
. tests/wire.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
limit_mib=96
old=5000
batch=2000
new=${NEW_SERIES:-500000}

begin() {
    start_firekeep flood "$work/data" "$port" --memory.limit=${limit_mib}MiB \
        --web.enable-admin-api "$@"
}

flood() {
    "$TOOLS/rwflood" "$url" --old "$old" --new "$1" --batch "$batch" >"$work/flood"
    local status=$?
    tr '\n' ' ' <"$work/flood"
    return $status
}

waits_are_short() {
    awk -F= '$1 == "longest_wait_seconds" { print $2 " s"; good = $2 < 30 } END { exit !good }' "$work/flood"
}

# Two thirds above the limit are for memory without a budget: code, stacks, and the allocator's
# reserve.
memory_stays() {
    local kib
    kib=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/${pids[$(_index_of flood)]}/status")
    echo "$kib KiB at most"
    ((kib < limit_mib * 1024 * 5 / 3))
}

merges_all() {
    curl -fsS --noproxy '*' --max-time 120 -X POST "$url/api/v1/admin/tsdb/merge?full=true" >"$work/merged" || return 1
    cat "$work/merged"
}

never_short_of_memory() {
    metric_is firekeep_flush_failures_total 0 && metric_is firekeep_merge_failures_total 0 &&
        ! grep -iE "(no|not enough) memory" "$work/flood.log"
}

# All samples are in one day or two, but one merge lacks the memory for all of them.
few_parts() {
    local parts
    parts=$(metric firekeep_parts)
    echo "$parts parts"
    ((parts <= 4 + new / 100000))
}

# A request that was refused for a while may have been stored in part. Its repeat is a duplicate, or, if that part had been
# written out meanwhile, a copy until two parts meet in a merge.
all_are_counted() {
    local received most
    received=$(metric 'firekeep_samples_received_total.tenant="anonymous",kind="float".')
    most=$((2 * new + batch * $(sed -n 's/^repeats=//p' "$work/flood")))
    echo "received $received, sent $((2 * new)), with all repeats $most"
    ((received >= 2 * new && received <= most))
}

new_ones_are_there() {
    build/firekeep export --storage.path="$work/data" --match=flood_new_total --format=csv -o /dev/null 2>&1 |
        tee "$work/export.txt"
    grep -q "^exported $new samples" "$work/export.txt"
}

old_ones_are_there() {
    build/firekeep export --url="$url" --match=flood_old_total --format=csv -o /dev/null 2>&1 | tee "$work/export.txt"
    grep -q "^exported $new samples" "$work/export.txt"
}

refuses_new_ones() {
    flood 20000 2>"$work/refusal" && return 1
    cat "$work/refusal"
    grep -q 'refused: [0-9]* series_limit' "$work/refusal"
}

claim "starts with $limit_mib MiB" begin || exit 1
claim "$new new series in batches of old ones are accepted" flood "$new"
claim "no request waited for 30 s" waits_are_short
claim "all parts are merged" merges_all
claim "no flush and no merge was short of memory" never_short_of_memory
claim "few parts are left" few_parts
claim "memory stays near its limit" memory_stays
claim "as much was taken as was sent, some of it again" all_are_counted
claim "all samples of old series are read back" old_ones_are_there
claim "SIGTERM ends it with status 0" stop flood
claim "verify finds nothing wrong" build/firekeep verify "$work/data"
claim "all samples of new series are there, once" new_ones_are_there
claim "starts with a limit of series" begin --write.max-series=$((2 * old)) || exit 1
claim "new series beyond it are refused" refuses_new_ones
claim "and it ends with status 0" stop flood
done_testing
