#!/bin/bash
# golden.sh - directories that earlier versions wrote are read exactly, and continue to be used: a
# server opens them and writes them in the new format, and nothing of them is lost.

. tests/lib.sh
port=$(free_ports 1)
url=http://127.0.0.1:$port
firekeep=build/firekeep

dump() { # DIRECTORY FILE
    "$TOOLS/storedump" "$1" >"$2"
}

# Prints the content that clients see.
content() { # FILE
    grep -aE '^(tenant|series|f|h|exemplar|metadata) ' "$1"
}

unpack() { # ARCHIVE NAME
    rm -rf "${work:?}/$2" && mkdir -p "$work/$2" && tar -C "$work/$2" --strip-components=1 -xzf "$1"
}

is_as_written() { # NAME TEXT
    dump "$work/$1" "$work/$1.txt" && zcat "$2" | diff - "$work/$1.txt" | head -n 20
    zcat "$2" | cmp - "$work/$1.txt"
}

is_explained() { # NAME
    local path
    for path in "$work/$1" "$work/$1"/parts/* "$work/$1"/wal/*.wal; do
        "$firekeep" inspect "$path" >"$work/said" || {
            echo "$path"
            return 1
        }
    done
}

admin() { # PATH
    curl -fsg --noproxy '*' --max-time 60 -o /dev/null -X POST -H 'X-Scope-OrgID: anonymous' "$url/api/v1/admin/tsdb/$1"
}

has_same_content() { # NAME
    dump "$work/$1" "$work/$1.after" || return 1
    diff <(content "$work/$1.txt") <(content "$work/$1.after") >"$work/difference" || {
        head -n 20 "$work/difference"
        return 1
    }
    ! grep -a '^tombstone ' "$work/$1.after" # it is removed, not only hidden
}

check_directory() { # ARCHIVE NAME
    local name=$2
    claim "$name: unpacks" unpack "$1" "$name" || return
    claim "$name: verify finds nothing wrong" "$firekeep" verify "$work/$name"
    claim "$name: holds what it held when it was written" is_as_written "$name" "${1%.tar.gz}.txt.gz"
    claim "$name: all of it is explained" is_explained "$name"
    claim "$name: this version says that it can open it" "$firekeep" version --check-storage "$work/$name"
    claim "$name: a server takes it over" start_firekeep "$name" "$work/$name" "$port" --tenancy.enabled \
        --web.enable-admin-api --retention.time=100y --wal.segment-bytes=1MiB || return
    claim "$name: the log becomes a part" admin flush
    claim "$name: all parts are written anew" admin 'merge?full=true'
    claim "$name: what was deleted is taken out" admin clean_tombstones
    claim "$name: SIGTERM ends it with status 0" stop "$name"
    claim "$name: verify finds nothing wrong afterwards" "$firekeep" verify "$work/$name"
    claim "$name: nothing was lost, and nothing came back" has_same_content "$name"
    claim "$name: all of it is explained afterwards" is_explained "$name"
}

tree() { # DIRECTORY
    (cd "$1" && find . -type f ! -name LOCK -print0 | sort -z | xargs -0 sha256sum)
}

# A server refuses it, names both versions, and changes nothing; so do programs that only read, and
# the one that was asked whether it can.
is_refused() { # DIRECTORY
    local status
    tree "$1" >"$work/tree"
    timeout 20 "$firekeep" serve --storage.path="$1" --web.listen-address="127.0.0.1:$port" >"$work/said" 2>&1
    status=$?
    cat "$work/said"
    ((status != 0 && status != 124)) && grep -q 'version 99 .*is newer than version [0-9]' "$work/said" &&
        ! "$TOOLS/storedump" "$1" >"$work/said" 2>&1 && grep -q 'is newer than' "$work/said" &&
        ! "$firekeep" version --check-storage "$1" >"$work/said" 2>&1 && grep -q 'version 99 .*is newer than' "$work/said" &&
        tree "$1" | diff "$work/tree" -
}

check_newer() { # NAME PATH
    rm -rf "$work/newer" && cp -a "$work/killed" "$work/newer"
    if [[ $2 == FORMAT ]]; then
        printf 'firekeep storage\nversion 99\nmin_reader 99\n' >"$work/newer/FORMAT"
    else
        "$TOOLS/storedump" --newer "$work/newer/$2"
    fi
    claim "a newer $1 is refused and left alone" is_refused "$work/newer"
}

found=0
for archive in tests/golden/*/*.tar.gz; do
    [[ -e $archive ]] || continue
    found=$((found + 1))
    version=${archive#tests/golden/}
    check_directory "$archive" "$(dirname "$version")-$(basename "$archive" .tar.gz)"
done
unpack tests/golden/1/killed.tar.gz killed
for kind in FORMAT MANIFEST parts wal; do
    path=$(cd "$work/killed" && find "$kind" -type f \( -name part -o -name '*.wal' -o -path "$kind" \) | sort | tail -n 1)
    check_newer "${kind%s}" "$path"
done
claim "there are golden directories" test "$found" -ge 2
done_testing
