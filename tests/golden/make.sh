#!/bin/bash
# make.sh - makes the golden directories of the current formats: tests/golden/make.sh VERSION writes
# tests/golden/VERSION/{clean,killed}.{tar,txt}.gz. Existing ones are never made again: README.md.

set -u
cd "$(dirname "$0")/../.." || exit 1
to=tests/golden/${1:?a version}
TOOLS=build/release/tools
work=$(mktemp -d "${TMPDIR:-/tmp}/golden.XXXXXX") || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
trap 'stop_all; rm -rf "$work"' EXIT
port=$(free_ports 1)
url=http://127.0.0.1:$port
mkdir -p "$to"

die() {
    echo "$*" >&2
    exit 1
}

admin() { # TENANT PATH
    curl -fsg --noproxy '*' --max-time 60 -o /dev/null -X POST -H "X-Scope-OrgID: $1" \
        "$url/api/v1/admin/tsdb/$2" || die "$2 failed"
}

put() { # TENANT BATCH...
    local tenant=$1 batch version
    shift
    for batch; do
        version=1
        [[ $batch != *histograms ]] || version=2
        awk -v batch="$batch" -f tests/golden/content.awk |
            "$TOOLS/rwmake" --version $version >"$work/batch.rw" || die "$batch cannot be made"
        "$TOOLS/rwreplay" "$work/batch.rw" "$url" --header "X-Scope-OrgID: $tenant" >"$work/answer" ||
            die "$batch cannot be written"
        [[ $batch == refused ]] || ! grep -q 'status 400' "$work/answer" || die "$batch: $(cat "$work/answer")"
    done
}

serve() { # DIRECTORY
    start_firekeep "$1" "$work/$1" "$port" --tenancy.enabled --web.enable-admin-api --retention.time=100y \
        --wal.segment-bytes=1MiB --wal.budget=8MiB --write.max-value-bytes=32KiB \
        --write.max-series-per-metric=60 || die "no server"
}

fill() { # DIRECTORY: the steps of both
    serve "$1"
    put anonymous first long many histograms around refused
    put zeta tenant
    put team-a tenant histograms
    admin anonymous flush
    put anonymous again
    admin anonymous flush
    admin anonymous 'merge?full=true' # repeated samples are superseded
    admin anonymous 'delete_series?match[]=bits{kind="doubles"}&match[]=hist{hint="3"}'
    admin team-a 'delete_series?match[]={__name__="special"}&start=1700000000&end=1700259300'
    admin anonymous clean_tombstones # done: gone from the parts
    stop "$1"
    serve "$1" # writes a log segment of its own
    [[ $1 == clean ]] || put anonymous 'filler 1' # fills a segment, which is used again
    put anonymous second
    admin anonymous flush
    put anonymous 'second histograms'
    admin anonymous flush
    admin anonymous 'merge?full=true' # a part for each month, packed hard
    put zeta histograms               # too little to be merged at once
    admin anonymous flush
    admin anonymous 'delete_series?match[]=decimal{mode="line"}&start=1700001000&end=1700002000'
    admin team-a 'delete_series?match[]={__name__=~"hist|mixed",kind!="custom"}' # both are pending
}

pack() { # DIRECTORY
    local at=$to/$1
    [[ ! -e $at.tar.gz ]] || die "$at.tar.gz is there: it is never made again"
    build/firekeep verify "$work/$1" >"$work/verify" || die "$(cat "$work/verify")"
    "$TOOLS/storedump" "$work/$1" | gzip -9n >"$at.txt.gz" || die "no dump"
    tar -C "$work" --sparse --sort=name --format=gnu --mtime=@1700000000 --owner=0 --group=0 \
        --numeric-owner -c "$1" | gzip -9n >"$at.tar.gz" || die "it cannot be packed"
    ls -l "$at".*
}

fill clean
stop clean || die "the server did not end well"
pack clean

fill killed
put anonymous 'filler 2' last 'last histograms'
put team-a tenant 'last histograms'
crash killed
pack killed
