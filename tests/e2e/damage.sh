#!/bin/bash
# damage.sh - damage costs its page and no more, is told, and whoever only reads a directory leaves
# it as it was.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
mapfile -t ports < <(free_ports 1)
url=http://127.0.0.1:${ports[0]}
firekeep=build/firekeep

says() { # TEXT STATUS COMMAND...
    local text=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "status $status: $output"
    [[ $output == *"$text"* ]] && ((status == wanted))
}

# Names, kinds, sizes, times of change and contents.
tree() {
    find "$1" -printf '%P %y %s %T@\n' | sort
    find "$1" -type f -print0 | sort -z | xargs -0 sha256sum
}

unchanged() { # DIRECTORY COMMAND...
    local dir=$1 before
    shift
    before=$(tree "$dir")
    "$@" >"$work/out.txt" 2>&1
    [[ $(tree "$dir") == "$before" ]] || {
        diff <(echo "$before") <(tree "$dir")
        return 1
    }
}

flip() { # FILE OFFSET (negative: from its end)
    local at=$2 byte
    ((at >= 0)) || at=$(($(stat -c %s "$1") + at))
    byte=$(dd if="$1" bs=1 skip="$at" count=1 status=none | od -An -tu1)
    printf '%b' "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

# Four days, a part for each: imports end in a part.
day=86400000
base=1700006400000
make_days() { # DIRECTORY
    local d
    for d in 0 1 2 3; do
        awk -v from=$((base + d * day)) 'BEGIN { srand(1); for (s = 0; s < 20; s++)
            for (t = 0; t < 1000; t++) printf "load{s=\"%02d\"} %.9f %.0f\n", s, rand(),
                from + t * 60000 }' >"$work/day.prom"
        "$firekeep" import --storage.path="$1" "$work/day.prom" >/dev/null 2>&1 || return 1
    done
}

readers=("$firekeep export --storage.path=DIR -o $work/all.jsonl"
    "$firekeep query --storage.path=DIR --start=2023-11-15 --end=2023-11-16 load"
    "$firekeep verify DIR")
leave_no_trace() { # CASE DIRECTORY
    local reader
    for reader in "${readers[@]}"; do
        # shellcheck disable=SC2086 # words
        claim "$1: ${reader#*/} changes nothing" unchanged "$2" ${reader//DIR/$2}
    done
}

# --- reading leaves no trace ---------------------------------------------------------------------

claim "four parts are made" make_days "$work/whole"
cp -a "$work/whole" "$work/stray"
mkdir "$work/stray/parts/00000000000000ff"
echo "half of a part" >"$work/stray/parts/00000000000000ff/part"
echo x >"$work/stray/MANIFEST.tmp"
echo x >"$work/stray/wal/next.tmp"
leave_no_trace "whole" "$work/whole"
claim "whole: everything is there" says "exported 80000 samples" 0 \
    "$firekeep" export --storage.path="$work/whole" -o "$work/all.jsonl"
leave_no_trace "strays" "$work/stray"

cp -a "$work/whole" "$work/rootless"
flip "$work/rootless/parts/0000000000000002/part" -1
leave_no_trace "a root that cannot be read" "$work/rootless"
claim "a root that cannot be read: the rest is exported, and it is told" \
    says "0000000000000002" 1 "$firekeep" export --storage.path="$work/rootless" \
    -o "$work/rootless.csv"
claim "a root that cannot be read: three days are there" \
    test "$(wc -l <"$work/rootless.csv")" == 60001
claim "a root that cannot be read: query tells" says "not all may be there" 1 "$firekeep" query \
    --storage.path="$work/rootless" --start=2023-11-15 --end=2023-11-16 load
claim "a root that cannot be read: verify tells" says "0000000000000002" 1 \
    "$firekeep" verify "$work/rootless"

# A log that a crash has left, and one that is cut off in the middle.
if claim "log: a server starts" start_firekeep a "$work/torn" "${ports[0]}"; then
    printf 'fresh 1 %s\n' "$(now_ms)" >"$work/fresh.prom"
    claim "log: samples are written" "$firekeep" import --url="$url" "$work/fresh.prom"
    claim "log: beside a server nobody reads the directory" says "stop it first" 1 \
        "$firekeep" export --storage.path="$work/torn" -o "$work/no"
    crash a
    leave_no_trace "log" "$work/torn"
    claim "log: what is in it is read" says "exported 1 samples" 0 \
        "$firekeep" export --storage.path="$work/torn" -o "$work/all.jsonl"
    segment=$(find "$work/torn/wal" -name '*.wal' | sort | tail -n 1)
    truncate -s 8300 "$segment"
    leave_no_trace "torn log" "$work/torn"
fi

# --- media that cannot be written ----------------------------------------------------------------

chmod -R a-w "$work/whole"
if unshare -rm true 2>/dev/null; then
    read_only() { # COMMAND...
        unshare -rm bash -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
            ! touch "$1/x" 2>/dev/null && "${@:2}"' - "$work/whole" "$@"
    }
else
    read_only() {
        "$@"
    }
fi
claim "read-only media: export" says "exported 80000 samples" 0 \
    read_only "$firekeep" export --storage.path="$work/whole" -o "$work/all.jsonl"
claim "read-only media: verify" says "ok (4 parts" 0 read_only "$firekeep" verify "$work/whole"
chmod -R u+w "$work/whole"

((failures == 0))
