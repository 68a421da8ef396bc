#!/bin/bash
# source_archive.sh - what the destinations `s3` and `file` leave, and what the old Kinesis adapter
# left, comes back through a source of type `archive`: bit for bit by remote read, and as the store
# itself answers look-ups and PromQL.
#
# S3 is s3rver, which checks signatures.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
# shellcheck source=tests/destinations_lib.sh
. tests/destinations_lib.sh
# shellcheck source=tests/counterparts_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
firekeep=build/firekeep
samples_dir=${SAMPLES:?}
name_ports firekeep control s3 reader
s3=$(url_of s3)
reader=http://127.0.0.1:${port[reader]}
has_s3=

# --- helpers ----------------------------------------------------------------------------------------

write_to_archives() { # CAPTURE NAME: a store that has it, and archives of it
    local name
    {
        echo 'destinations:'
        for name in none gzip zstd; do
            echo "- {name: $name, type: file, path: $work/files/$name, compression: $name, roll_bytes: 4MiB}"
        done
        [[ -z $has_s3 ]] || for name in gzip zstd; do
            echo "- {name: s3-$name, type: s3, region: $region, endpoint: '$s3', path_style: true, bucket: metrics,"
            echo "   prefix: $2-$name/, compression: $name, roll_bytes: 1MiB, roll_age: 2s, access_key: S3RVER, secret_key: S3RVER}"
        done
    } | write_config
    start_firekeep writer "$work/writer" "${port[firekeep]}" --config.file="$work/firekeep.yml" || return 1
    within 20 all_open && is_acknowledged "$1"
}

archived() {
    local all=(none gzip zstd)
    [[ -z $has_s3 ]] || all+=(s3-gzip s3-zstd)
    all_settled "${all[@]}"
}

s3_entry() { # NAME PREFIX MORE
    echo "- {name: $1, type: archive, region: $region, endpoint: '$s3', path_style: true, bucket: metrics, prefix: $2,"
    echo "   access_key: S3RVER, secret_key: S3RVER$3}"
}

read_with() { # LINES: the reader, with these sources
    [[ -z ${reading-} ]] || stop reader
    reading=yes
    cat >"$work/reader.yml"
    start_firekeep reader "$work/reader" "${port[reader]}" --config.file="$work/reader.yml" --storage.mode=none
}

source_metric() { # NAME
    quiet_curl "$reader/metrics" | awk -v want="$1{" 'index($0, want) == 1 { sum += $NF } END { printf "%.0f\n", sum }'
}

reads_back() { # CAPTURE
    equals "$reader" "$1"
}

same_answers() { # PATH...: of both, but for warnings
    local path
    for path; do
        quiet_curl "$url$path" | jq -S 'del(.warnings, .infos)' >"$work/local.json" || return 1
        quiet_curl "$reader$path" | jq -S 'del(.warnings, .infos)' >"$work/archive.json" || return 1
        cmp "$work/local.json" "$work/archive.json" || {
            echo "$path"
            return 1
        }
    done
}

# --- what our destinations wrote --------------------------------------------------------------------

mkdir -p "$work/files" "$work/reader"
if has s3 && claim "s3rver is there" start_s3 && claim "the bucket is made" client "$s3" make-bucket metrics; then
    has_s3=yes
else
    skip "s3" "s3rver is not there"
fi

for capture in v2hist node15s; do
    rm -rf "$work/writer" "$work/files" && mkdir -p "$work/files"
    claim "$capture: it is written to archives" write_to_archives "$samples_dir/$capture.rw" "$capture" || exit 1
    claim "$capture: all of it is delivered" within 60 archived
    claim "$capture: the writer stops" stop writer
    for name in none gzip zstd; do
        read_with <<<"sources: [{name: a, type: archive, path: $work/files/$name, layout: flat}]"
        claim "$capture: files of $name read back bit for bit" reads_back "$samples_dir/$capture.rw"
    done
    [[ -z $has_s3 ]] || for name in gzip zstd; do
        read_with < <(echo 'sources:' && s3_entry a "$capture-$name/" ", late: 100y")
        claim "$capture: objects of $name read back bit for bit" reads_back "$samples_dir/$capture.rw"
    done
done

exit $((failures > 0))
