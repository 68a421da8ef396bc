#!/bin/bash
# destinations_places.sh - where destinations write and where they are remembered: no destination
# writes into the storage directory, and what lies at relay/NAME (a link, a file, nothing, what
# nobody may read) is told alike by the server and by every tool.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
nobody=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep

# The text of a command and its status.
prints() { # PATTERN STATUS COMMAND...
    local pattern=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "status $status: $output"
    ((status == wanted)) && grep -qe "$pattern" <<<"$output"
}

logs() { # NAME PATTERN: once the process writes it
    within 20 grep -q -e "$2" "$work/$1.log"
}

serve() { # NAME DIR ARGUMENT...
    start_firekeep "$1" "$2" "${ports[0]}" --config.file="$work/firekeep.yml" --web.enable-lifecycle \
        --wal.segment-bytes=1MiB --wal.budget=64MiB "${@:3}"
}

verify() {
    "$firekeep" verify "$@"
}

away="{name: away, type: remote_write, url: '$nobody/api/v1/write', batch: {max_age: 50ms}, retry: {max_backoff: 200ms}}"
with() { # FILE DESTINATION...
    local file=$1
    shift
    {
        echo "storage: {path: $dir, mode: $mode}"
        echo "destinations:"
        (($# == 0)) || printf '  - %s\n' "$@"
    } >"$file"
}
seq 1 5000 | awk '{ printf "up{job=\"x\"} %d %.0f\n", $1, 1700000000000 + 1000 * $1 }' |
    "$TOOLS/rwmake" >"$work/many.rw"

# --- files in the storage directory ---------------------------------------------------------------

mode=none dir=$work/store
with "$work/firekeep.yml" "$away"
claim "inside: starts" serve inside "$dir"
ln -s "$dir/relay" "$work/link"
for path in "$dir" "$dir/wal" "$dir/new/deep" "$dir/relay/away" "$work/link/x" "$work/nothing/../store/wal" "$work/\${tenant}"; do
    text="destination west: path $path .*lies within the storage directory $dir"
    with "$work/firekeep.yml" "{name: west, type: file, path: '$path'}"
    claim "inside: check refuses ${path#"$work"/}" prints "${text/\$/\\$}" 1 "$firekeep" check "$work/firekeep.yml"
    claim "inside: so does a reload" eval '! quiet_curl -X POST "$url/-/reload"'
done
claim "inside: the log says why" logs inside "not reloaded.*lies within the storage directory"
crash inside
claim "inside: so does a start" prints "lies within the storage directory" 1 "$firekeep" serve --config.file="$work/firekeep.yml"
claim "inside: so does check against the directory of another path" eval 'sed -i "s|path: $dir,|path: $work/other,|; s|path: .*tenant.*|path: $dir/out}|" "$work/firekeep.yml"
    prints "lies within the storage directory $dir" 1 "$firekeep" check "$work/firekeep.yml" --against "$dir"'
with "$work/firekeep.yml" "{name: west, type: file, path: '$work/stores'}"
claim "inside: beside it is fine" "$firekeep" check "$work/firekeep.yml"

((failures == 0))
