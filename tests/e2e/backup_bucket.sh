#!/bin/bash
# backup_bucket.sh - backups in buckets: of s3rver, which checks signatures, and of moto. They are
# those of a directory (backup.sh): incremental, killed at any moment, and what is damaged is found.

. tests/lib.sh
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
name_ports firekeep control restored s3 moto silent
firekeep=build/firekeep
restored=http://127.0.0.1:${port[restored]}
export AWS_REGION=$region AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER
large=$((40 << 20)) # bytes of a file that is stored in three pieces

imports() { # NAME VALUE
    awk -v name="$1" -v value="$2" 'BEGIN { for (i = 0; i < 2000; i++) printf "%s{i=\"%d\"} %d 1700000000000\n", name, i, value + i }' |
        "$firekeep" import --url="$url" --format=prometheus -
}

# A stopped directory with a file that is larger than a piece, and many small ones.
makes_large() {
    cp -r "$work/data" "$work/large" && for i in {1..100}; do echo "$i" >"$work/large/rules/$i"; done && head -c "$large" /dev/urandom >"$work/large/rules/large" &&
        cp "$work/large/rules/large" "$work/large.bytes"
}

exports() { # URL FILE
    "$firekeep" export --url="$1" --start=0 --end=now -o "$work/$2"
}

counts_objects() { # COUNT
    local found
    found=$("$firekeep" backup list --format=json "$store" | jq '.backups | length')
    echo "$found backups"
    ((found == $1))
}

begins() {
    start_firekeep server "$work/data" "${port[firekeep]}" --web.enable-admin-api
}

round() { # NAME URL
    local name=$1 killed=0 broken=0 half
    store="s3://backups/$name?endpoint=$2&path_style=true"
    claim "$name: a server starts" begins
    claim "$name: samples are written" imports first 1
    claim "$name: a bucket without backups is refused" says "--create makes one" 1 "$firekeep" backup --url="$url" "$store"
    claim "$name: a bucket that is missing is refused" says "status 404" 1 \
        "$firekeep" backup --url="$url" --create "s3://none/x?endpoint=$2&path_style=true"
    claim "$name: a backup is made" "$firekeep" backup --url="$url" --create "$store"
    claim "$name: more samples are written" imports second 7
    claim "$name: the next backup reads only new parts" says '"unchanged":2' 0 "$firekeep" backup --url="$url" --format=json "$store"
    claim "$name: there are two" counts_objects 2
    claim "$name: both are intact" says ": ok (" 0 "$firekeep" backup verify "$store"
    claim "$name: the newest is restored" "$firekeep" restore "$store" "$work/new"
    claim "$name: it is intact" says "ok (" 0 "$firekeep" verify "$work/new"
    claim "$name: it is served" start_firekeep restored "$work/new" "${port[restored]}"
    claim "$name: its samples are exported" exports "$restored" new.jsonl
    claim "$name: those of the server, too" exports "$url" now.jsonl
    claim "$name: they are the same" cmp "$work/new.jsonl" "$work/now.jsonl"
    stop restored
    stop server
    claim "$name: a directory has a large file" makes_large
    for i in 1 2 3 4 5; do
        start backup "$firekeep" backup --storage.path="$work/large" --rate=40 "$store"
        doze "0.$((RANDOM % 9))$((RANDOM % 10))"
        is_running backup && killed=$((killed + 1))
        crash backup
        "$firekeep" backup verify "$store" >"$work/verify.txt" 2>&1 || broken=$((broken + 1))
    done
    claim "$name: backups of it were killed" test "$killed" -gt 0
    claim "$name: no earlier backup was damaged" test "$broken" -eq 0
    claim "$name: it is backed up" "$firekeep" backup --concurrency=64 --storage.path="$work/large" "$store"
    start restore "$firekeep" restore --rate=20 "$store" "$work/half"
    within 20 test -e "$work/half/RESTORING"
    crash restore
    claim "$name: a restore that was killed continues" "$firekeep" restore "$store" "$work/half"
    claim "$name: the large file is the same" cmp "$work/large.bytes" "$work/half/rules/large"
    claim "$name: pruning keeps the newest" says "1 kept" 0 "$firekeep" backup prune --keep=1 "$store"
    claim "$name: it keeps objects of the last day" says " 0 bytes freed" 0 "$firekeep" backup prune --keep=1 "$store"
    claim "$name: what is kept is intact" says ": ok (" 0 "$firekeep" backup verify "$store"
    rm -rf "$work/data" "$work/large" "$work/half" "$work/new"
}

if has s3 && can_read_aws && claim "s3rver starts" start_s3 && claim "s3rver: a bucket is made" client "$(url_of s3)" make-bucket backups; then
    round s3rver "$(url_of s3)"
    object=$(find "$work/s3/backups" -path '*objects*' -name '*_object' -size +8M | head -n 1)
    printf 'not what was written' | dd of="$object" bs=1 seek=1000 conv=notrunc status=none
    claim "s3rver: a damaged object is found" says "is damaged" 1 "$firekeep" backup verify "$store"
    rm "$object"
    claim "s3rver: a missing object is found" says "is missing" 1 "$firekeep" backup verify "$store"
    claim "s3rver: wrong keys are refused" says "status 403" 1 env AWS_ACCESS_KEY_ID=OTHER "$firekeep" backup list "$store"
    crash s3
    claim "a store that does not answer is reported" says "$(url_of s3)" 1 "$firekeep" backup list "$store"
else
    skip "buckets of s3rver" "s3rver is missing"
fi
if has moto && can_read_aws && claim "moto starts" start_moto && claim "moto: a bucket is made" client "$(url_of moto)" make-bucket backups; then
    round moto "$(url_of moto)"
else
    skip "buckets of moto" "moto is missing"
fi
# A store that takes connections and does not answer.
listens() {
    start silent python3 -c 'import pathlib, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
connection = listener.accept()
pathlib.Path(sys.argv[2]).touch()
signal.pause()' "${port[silent]}" "$work/asked"
}
listens
claim "a server backs itself up to a store that does not answer" start_firekeep waiting "$work/waiting" \
    "${port[firekeep]}" "--backup.to=s3://backups/x?endpoint=$(url_of silent)&path_style=true"
claim "it sends a request" within 20 test -e "$work/asked"
claim "it stops without waiting for the response" stop waiting
stop silent
claim "an address that is none is refused" says "s3://BUCKET/PREFIX?KEY=VALUE" 1 "$firekeep" backup list 's3://'
claim "an unknown key is refused" says "colour" 1 "$firekeep" backup list 's3://backups?colour=red'
done_testing
