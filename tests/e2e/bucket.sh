#!/bin/bash
# bucket.sh - parts in a bucket (docs/bucket.md): of moto and, with LONG=1, radosgw, which obey conditions, of s3rver, which
# ignores them, and in a directory. A killed server whose directory is gone comes back from it.

. tests/lib.sh
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control adopted s3 moto radosgw ceph
firekeep=build/firekeep
adopted=http://127.0.0.1:${port[adopted]}
export AWS_REGION=$region AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER

config() { # KEYS: of object_storage
    echo "object_storage: {$1, upload_after: 0s, keep_local: {time: 1d}}" >"$work/config.yml"
}

begins() {
    start_firekeep server "$work/data" "${port[firekeep]}" --config.file="$work/config.yml" --web.enable-admin-api --web.enable-lifecycle
}

imports() { # NAME VALUE
    awk -v name="$1" -v value="$2" 'BEGIN { for (i = 0; i < 2000; i++) printf "%s{i=\"%d\"} %d 1700000000000\n", name, i, value + i }' |
        "$firekeep" import --url="$url" --format=prometheus -
}

flushes() { # URL
    curl -sf -XPOST "$1/api/v1/admin/tsdb/flush"
}

deletes() { # SELECTOR
    curl -sfG -XPOST "$url/api/v1/admin/tsdb/delete_series" --data-urlencode "match[]=$1"
}

shows() { # URL METRIC EXPRESSION: of awk, about its value as $2
    curl -sf "$1/metrics" | awk "\$1 == \"firekeep_bucket_$2\" && ($3) { found = 1 } END { exit !found }"
}

exports() { # URL FILE
    "$firekeep" export --url="$1" --start=0 --end=now -o "$work/$2"
}

adopts() { # ADDRESS
    "$firekeep" bucket adopt --format=json "$1" "$work/new" >"$work/adopted.json"
}

# A backup, and a copy of the bucket, which is made after it.
from_backup() {
    config "type: directory, path: $work/copy"
    claim "a backup is restored" "$firekeep" restore "$work/backups" "$work/data"
    claim "beside a copy of the bucket a server starts" begins
    claim "its samples are exported" exports "$url" restored.jsonl
    claim "they are those of the backup" cmp "$work/restored.jsonl" "$work/now.jsonl"
    claim "it writes nothing into the copy" within 30 shows "$url" stopped '$2 == 1'
    stop server
    claim "the directory is taken for it" "$firekeep" bucket take "$work/copy" "$work/data"
    claim "it starts again" begins
    claim "it goes on with the copy" within 30 shows "$url" stopped '$2 == 0'
    stop server
    rm -rf "$work/data" "$work/copy"
    config "type: directory, path: $work/bucket"
}

round() { # NAME KEYS ADDRESS
    local name=$1 address=$3
    config "$2"
    claim "$name: a server starts" begins
    claim "$name: samples are written" imports first 1
    claim "$name: of two metrics" imports second 7
    claim "$name: they become a part" flushes "$url"
    claim "$name: it is in the bucket" within 30 shows "$url" parts '$2 == 1'
    for metric in $(grep -oh 'firekeep_bucket_[a-z_]*' docs/firekeep.rules.yml | sort -u); do
        claim "$name: $metric, which an alert names, exists" says "$metric " 0 curl -s "$url/metrics"
    done
    claim "$name: it is removed from the directory" within 60 shows "$url" remote_parts '$2 == 1'
    claim "$name: and still answers" exports "$url" remote.jsonl
    claim "$name: with all samples" test "$(wc -l <"$work/remote.jsonl")" == 4000
    claim "$name: a series is deleted" deletes 'second{i="5"}'
    claim "$name: the catalog says so at once" within 30 says '"deletions":1' 0 "$firekeep" bucket stats --format=json "$address"
    claim "$name: its removal is awaited" says '"bucket":"hides"' 0 curl -s -XPOST "$url/api/v1/admin/tsdb/clean_tombstones"
    claim "$name: the catalog has no deletion any more" says '"deletions":0' 0 "$firekeep" bucket stats --format=json "$address"
    claim "$name: the status says up to when it is complete" says '"completeTime":"2023-11-14T22:13:20Z"' 0 curl -s "$url/api/v1/status/storage"
    claim "$name: the new part is removed from the directory, too" within 60 shows "$url" remote_parts '$2 == 1'
    claim "$name: it is listed" says "parts/" 0 "$firekeep" bucket ls --config.file="$work/config.yml"
    claim "$name: it is intact" says "1 part, 0 missing or damaged" 0 "$firekeep" bucket verify --read-all "$address"
    claim "$name: samples of the server are exported" exports "$url" now.jsonl
    claim "$name: a backup has what is in the bucket, too" "$firekeep" backup --url="$url" --create --with-bucket "$work/whole"
    claim "$name: it is restored" "$firekeep" restore "$work/whole" "$work/restored"
    claim "$name: all parts are in the directory" says "1 part" 0 "$firekeep" verify "$work/restored"
    "$firekeep" export --storage.path="$work/restored" -o "$work/whole.jsonl" 2>/dev/null
    claim "$name: it has all samples" cmp "$work/whole.jsonl" "$work/now.jsonl"
    rm -rf "$work/whole" "$work/restored"
    if [ "$name" == directory ]; then
        claim "a backup is made" "$firekeep" backup --url="$url" --create "$work/backups"
        cp -r "$work/bucket" "$work/copy"
    fi
    crash server
    mv "$work/data" "$work/gone"
    if [ "$name" == directory ]; then from_backup; fi
    claim "$name: a new directory is made of it" adopts "$address"
    claim "$name: it is intact" says "1 of these parts is only in the bucket" 0 "$firekeep" verify "$work/new"
    claim "$name: a directory is not overwritten" says "is not empty" 1 "$firekeep" bucket adopt "$address" "$work/new"
    claim "$name: it is served" start_firekeep adopted "$work/new" "${port[adopted]}" --config.file="$work/config.yml"
    claim "$name: its samples are exported" exports "$adopted" new.jsonl
    claim "$name: they are those of the server" cmp "$work/new.jsonl" "$work/now.jsonl"
    claim "$name: it goes on with the bucket" within 30 shows "$adopted" catalog_number '$2 > 3'
    mv "$work/gone" "$work/data"
    claim "$name: the old server comes back" begins
    claim "$name: it writes nothing into the bucket" within 30 shows "$url" stopped '$2 == 1'
    claim "$name: and still takes samples" imports third 3
    claim "$name: a directory in use is not taken" says "is in use" 1 "$firekeep" bucket take "$address" "$work/data"
    stop adopted
    stop server
    "$firekeep" export --storage.path="$work/data" --after="$(grep -o '"completePosition":[0-9]*' "$work/adopted.json" | cut -d: -f2)" -o "$work/beyond.jsonl"
    claim "$name: what only the old directory has is exported" test "$(grep -c '"third"' "$work/beyond.jsonl") $(wc -l <"$work/beyond.jsonl")" == "2000 2000"
    echo damaged >"$work/data/CATALOG"
    claim "$name: without its list of parts no server starts" says "CATALOG is damaged" 1 timeout 20 "$firekeep" serve --storage.path="$work/data" --config.file="$work/config.yml" --web.listen-address=127.0.0.1:0
    "$firekeep" export --storage.path="$work/data" --partial -o "$work/local.jsonl" 2>/dev/null
    claim "$name: what is in the directory is exported" cmp "$work/local.jsonl" "$work/beyond.jsonl"
    rm -rf "$work/data" "$work/new"
}

round directory "type: directory, path: $work/bucket" "$work/bucket"
find "$work/bucket/parts" -type f -delete
claim "a missing part is found" says "1 missing or damaged" 1 "$firekeep" bucket verify "$work/bucket"
claim "a directory is made of the rest" "$firekeep" bucket adopt "$work/bucket" "$work/half"
claim "which no server opens without the bucket" says "configure its object_storage" 1 timeout 20 "$firekeep" serve --storage.path="$work/half" --web.listen-address=127.0.0.1:0
claim "a bucket that is not there is named" says "empty is missing" 1 "$firekeep" bucket stats "$work/empty"
mkdir "$work/empty"
claim "an empty bucket has no catalog" says "has no catalog" 1 "$firekeep" bucket stats "$work/empty"
config "type: directory, path: $work/data/bucket"
claim "a bucket in the storage directory is refused" says "lies in the storage directory" 1 timeout 20 "$firekeep" serve --storage.path="$work/data" --config.file="$work/config.yml" --web.listen-address=127.0.0.1:0
config "type: directory, path: $work/bucket"
claim "a new directory beside a full bucket is told so" begins
claim "it names the way" within 30 grep -q "firekeep bucket adopt" "$work/server.log"
stop server
rm -rf "$work/data"
config "type: directory, path: $work/other"
claim "a server starts with another bucket" begins
sed -i 's/other/third/' "$work/config.yml"
claim "a reload does not replace the bucket" says "restart to use the new values" 0 curl -s -XPOST "$url/-/reload"
stop server
rm -rf "$work/data"

if has moto && can_read_aws && claim "moto starts" start_moto && claim "moto: a bucket is made" client "$(url_of moto)" make-bucket parts; then
    round moto "type: s3, bucket: parts, prefix: one/, endpoint: '$(url_of moto)', path_style: true" "s3://parts/one?endpoint=$(url_of moto)&path_style=true"
else
    skip "buckets of moto" "moto is missing"
fi
if has s3 && can_read_aws && claim "s3rver starts" start_s3 && claim "s3rver: a bucket is made" client "$(url_of s3)" make-bucket parts; then
    keys="type: s3, bucket: parts, endpoint: '$(url_of s3)', path_style: true"
    config "$keys"
    claim "s3rver: a server starts" begins
    claim "s3rver: it refuses a bucket that ignores conditions" within 30 shows "$url" stopped '$2 == 1'
    stop server
    rm -rf "$work/data"
    round s3rver "$keys, single_writer: true" "s3://parts?endpoint=$(url_of s3)&path_style=true"
else
    skip "buckets of s3rver" "s3rver is missing"
fi
if [[ ${LONG-} != 1 ]]; then
    skip "buckets of radosgw" "LONG is not 1"
elif has radosgw && can_read_aws && claim "radosgw starts" start_radosgw && claim "radosgw: a bucket is made" client "$(url_of radosgw)" make-bucket parts; then
    round radosgw "type: s3, bucket: parts, prefix: one/, endpoint: '$(url_of radosgw)', path_style: true" "s3://parts/one?endpoint=$(url_of radosgw)&path_style=true"
else
    skip "buckets of radosgw" "radosgw, ceph-mon or ceph-osd is missing"
fi
done_testing
