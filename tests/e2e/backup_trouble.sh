#!/bin/bash
# backup_trouble.sh - backups while everything goes wrong: backups, restores and prunings are killed
# at random moments beside a server that takes samples and merges, in a directory and in a bucket;
# each damaged or missing file of a backup is found; targets vanish, are full or read-only.
#
# With LONG=1 only: KILLS (50) for each place.

. tests/lib.sh
if [[ ${LONG-} != 1 ]]; then
    skip "backups while everything goes wrong" "it takes minutes: LONG=1"
    done_testing
    exit
fi
. tests/destinations_lib.sh
. tests/counterparts_lib.sh
region=eu-west-1
kills=${KILLS:-50}
name_ports firekeep control restored s3
firekeep=build/firekeep
export AWS_REGION=$region AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER
restored=http://127.0.0.1:${port[restored]}

says() { # TEXT STATUS COMMAND...
    local text=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "$output"
    [[ $output == *"$text"* ]] && ((status == wanted))
}

imports() { # NAME SERIES SAMPLES
    awk -v name="$1" -v series="$2" -v samples="$3" -v seed="$RANDOM" 'BEGIN {
        srand(seed)
        for (i = 0; i < series; i++)
            for (k = 0; k < samples; k++) printf "%s{i=\"%d\"} %.17g 17%08d000\n", name, i, rand(), k * 15
    }' | "$firekeep" import --url="$url" --format=prometheus -
}

exports() { # URL MATCH FILE
    "$firekeep" export --url="$1" --match="$2" --start=0 --end=now -o "$3"
}

ids() {
    "$firekeep" backup list --format=json "$store" | jq -r '.backups[].id'
}

admin() { # ACTION
    curl -fsS --noproxy '*' -XPOST "$url/api/v1/admin/tsdb/$1" -o /dev/null
}

# Samples come, and parts are flushed and merged, until it is stopped.
traffic() {
    local i
    for ((i = 0; ; i++)); do
        [[ ! -e $work/enough ]] || return 0
        imports "load_$((i % 7))" 50 40
        admin flush
        ((i % 4 != 0)) || admin 'merge?full=true'
    done >/dev/null 2>&1
}

# --- kills ----------------------------------------------------------------------------------------

# Kills one command at a random moment. The backups that were there are whole, but for those that
# are pruned.
kill_one() { # NUMBER
    local before after id
    before=$(ids)
    case $(($1 % 5)) in
    0 | 1 | 2) start victim "$firekeep" backup --url="$url" --rate=3 "$store" ;;
    3) start victim "$firekeep" restore --rate=3 "$store" "$work/half" ;;
    4) start victim "$firekeep" backup prune --keep=3 "$store" ;;
    esac
    doze "0.$((RANDOM % 9))$((RANDOM % 10))"
    ! is_running victim || killed=$((killed + 1))
    crash victim
    rm -rf "$work/half"
    "$firekeep" backup verify "$store" >"$work/verify.txt" 2>&1 || {
        broken=$((broken + 1))
        cat "$work/verify.txt"
    }
    after=$(ids)
    id=$(tail -n 1 <<<"$before")
    [[ $after == *"$id"* ]] || lost=$((lost + 1))
}

kills() { # NAME STORE
    local name=$1 killed=0 broken=0 lost=0 i
    store=$2
    claim "$name: a backup is made" "$firekeep" backup --url="$url" --create "$store"
    for ((i = 0; i < kills; i++)); do
        kill_one "$i"
        if ((i % 10 == 9)); then
            claim "$name: after $((i + 1)) commands, a backup is made" "$firekeep" backup --url="$url" "$store"
            claim "$name: and is restored" "$firekeep" restore "$store" "$work/new"
            claim "$name: and is intact" says "ok (" 0 "$firekeep" verify "$work/new"
            rm -rf "$work/new"
        fi
    done
    echo "# $name: $killed of $kills commands were killed"
    claim "$name: commands were killed" test "$killed" -gt $((kills / 3))
    claim "$name: no backup was damaged" test "$broken" -eq 0
    claim "$name: the newest backup was never lost" test "$lost" -eq 0
}

# --- under load -----------------------------------------------------------------------------------

under_load() { # NAME
    claim "$1: samples are written" imports "before_$1" 100 200
    claim "$1: a backup is made under load" "$firekeep" backup --url="$url" "$store"
    claim "$1: it is restored" "$firekeep" restore "$store" "$work/new"
    claim "$1: it is intact" says "ok (" 0 "$firekeep" verify "$work/new"
    claim "$1: it is served" start_firekeep restored "$work/new" "${port[restored]}"
    claim "$1: it has what was there before" exports "$restored" "before_$1" "$work/new.jsonl"
    claim "$1: as the server has it" exports "$url" "before_$1" "$work/old.jsonl"
    claim "$1: bit for bit" cmp "$work/new.jsonl" "$work/old.jsonl"
    stop restored
    rm -rf "$work/new"
}

# --- incremental ----------------------------------------------------------------------------------

# At most MANIFEST, and small files that a snapshot writes anew.
adds_little() {
    local bytes
    bytes=$(comm -13 "$work/objects.1" "$work/objects.2" | xargs -r du -cb | tail -n 1 | cut -f 1)
    echo "${bytes:-0} bytes"
    ((${bytes:-0} < 20000))
}

incremental() {
    store=$work/incremental
    claim "incremental: samples are written" imports increments 50 100
    claim "incremental: parts are flushed" admin flush
    claim "incremental: and merged, so that none is due to be" admin 'merge?full=true'
    claim "incremental: a backup is made" "$firekeep" backup --url="$url" --create "$store"
    objects() { find "$store/objects" -type f | sort; }
    objects >"$work/objects.1"
    claim "incremental: without a change, another is made" "$firekeep" backup --url="$url" "$store"
    objects >"$work/objects.2"
    claim "incremental: it adds no part" adds_little
    claim "incremental: more samples are written" imports more 50 100
    claim "incremental: parts are flushed again" admin flush
    claim "incremental: and merged" admin 'merge?full=true'
    claim "incremental: another is made" "$firekeep" backup --url="$url" "$store"
    claim "incremental: all are intact" says ": ok (" 0 "$firekeep" backup verify "$store"
    claim "incremental: pruning removes the old parts" "$firekeep" backup prune --keep=1 "$store"
    claim "incremental: the newest is intact" says ": ok (" 0 "$firekeep" backup verify "$store"
}

# --- damage ---------------------------------------------------------------------------------------

# Each object, damaged in one byte, then missing, is found by verify and by restore.
damages() {
    local object size unseen=0 count=0 kept=$work/kept
    while IFS= read -r object; do
        size=$(stat -c %s "$object")
        cp -p "$object" "$kept"
        count=$((count + 1))
        if ((size > 0)); then
            # the complement of a byte, which differs from it
            printf '%b' "$(printf '\\x%02x' $((255 - $(od -An -tu1 -j $((size / 2)) -N 1 "$object"))))" |
                dd of="$object" bs=1 seek=$((size / 2)) conv=notrunc status=none
            says "is damaged" 1 "$firekeep" backup verify "$store" || unseen=$((unseen + 1))
            says "is damaged" 1 "$firekeep" restore "$store" "$work/new" || unseen=$((unseen + 1))
            rm -rf "$work/new"
        fi
        rm "$object"
        says "is missing" 1 "$firekeep" backup verify "$store" || unseen=$((unseen + 1))
        says "is missing" 1 "$firekeep" restore "$store" "$work/new" || unseen=$((unseen + 1))
        rm -rf "$work/new"
        cp -p "$kept" "$object"
    done < <(find "$store/objects" -type f)
    echo "$count objects, $unseen times not found"
    ((count > 3 && unseen == 0))
}

damaged_records() {
    local record kept=$work/kept
    record=$store/backups/$(ids | tail -n 1)
    cp -p "$record" "$kept"
    sed -i '1s/./x/' "$record"
    says "${record##*/}" 1 "$firekeep" backup verify "$store" || return 1
    says_not "removed" 1 "$firekeep" backup prune --keep=1 "$store" || return 1
    head -c 100 "$kept" >"$record"
    says "${record##*/}" 1 "$firekeep" restore "$store" "$work/new" || return 1
    cp -p "$kept" "$record"
    mv "$store/BACKUP" "$kept"
    says "--create makes one" 1 "$firekeep" backup list "$store" || return 1
    mv "$kept" "$store/BACKUP"
    says ": ok (" 0 "$firekeep" backup verify "$store"
}

# --- at once --------------------------------------------------------------------------------------

at_once() {
    start one "$firekeep" backup --url="$url" --rate=1 "$store"
    within 20 has_unfinished || return 1
    says "another process is using" 1 "$firekeep" backup --url="$url" "$store" || return 1
    says "another process is using" 1 "$firekeep" backup prune --keep=1 "$store" || return 1
    stop one
    start one "$firekeep" restore --rate=1 "$store" "$work/half"
    within 20 test -e "$work/half/RESTORING" || return 1
    says "another process is using" 1 "$firekeep" backup prune --keep=1 "$store" || return 1
    says ": ok (" 0 "$firekeep" backup verify "$store" || return 1 # beside a reader
    crash one
    rm -rf "$work/half"
}

has_unfinished() {
    [[ -n $(compgen -G "$store/objects/*.tmp") ]]
}

# --- targets --------------------------------------------------------------------------------------

metric() { # NAME CONDITION
    curl -fsS --noproxy '*' "$restored/metrics" | awk -v name="$1" "\$1 == name && \$2 $2 { found = 1 } END { exit !found }"
}
failures_of() {
    curl -fsS --noproxy '*' "$restored/metrics" | awk '$1 == "firekeep_backups_total{outcome=\"failed\"}" { print $2 }'
}
fails_again() {
    local before
    before=$(failures_of)
    within 30 metric 'firekeep_backups_total{outcome="failed"}' "> $before"
}
makes_again() {
    local before
    before=$(curl -fsS --noproxy '*' "$restored/metrics" | awk '$1 == "firekeep_backups_total{outcome=\"done\"}" { print $2 }')
    within 60 metric 'firekeep_backups_total{outcome="done"}' "> $before"
}

targets() {
    local disk=$work/disk to=$work/disk/backups
    mkdir -p "$disk"
    mount -t tmpfs -o size=32m tmpfs "$disk" || return 1
    trap 'stop_all; umount -l "$work/disk" 2>/dev/null' EXIT
    claim "targets: a server starts" start_firekeep t "$work/t" "${port[restored]}" --backup.to="$to" --backup.every=1s --backup.keep=3
    stop t
    claim "targets: the directory is made" "$firekeep" backup --create --storage.path="$work/t" "$to"
    claim "targets: the server starts again" start_firekeep t "$work/t" "${port[restored]}" --backup.to="$to" --backup.every=1s --backup.keep=3
    claim "targets: it makes backups" makes_again
    claim "targets: a disk that is read-only fails" remounted ro fails_again
    claim "targets: when it is not, it goes on" remounted rw makes_again
    head -c 40000000 /dev/zero >"$disk/filler" 2>/dev/null
    claim "targets: a full disk fails" fails_again
    rm "$disk/filler"
    claim "targets: with room, it goes on" makes_again
    mv "$to" "$disk/away"
    claim "targets: a directory that vanished fails" fails_again
    claim "targets: and is not made again" test ! -e "$to"
    mv "$disk/away" "$to"
    claim "targets: when it is back, it goes on" makes_again
    umount -l "$disk"
    claim "targets: a disk that is not mounted fails" fails_again
    claim "targets: and nothing is written below it" test -z "$(ls -A "$disk")"
    claim "targets: the server still takes samples" curl -fsS --noproxy '*' "$restored/-/ready"
    stop t
}

remounted() { # MODE COMMAND
    mount -o "remount,$1" "$work/disk" && "$2"
}

# --- all ------------------------------------------------------------------------------------------

claim "a server starts" start_firekeep server "$work/data" "${port[firekeep]}" --web.enable-admin-api
claim "samples are written" imports first 200 500
traffic &
traffic=$!
kills directory "$work/backups"
under_load directory
claim "at once: changes exclude each other" at_once
if has s3 && can_read_aws && claim "s3rver starts" start_s3 && claim "s3rver: a bucket is made" client "$(url_of s3)" make-bucket backups; then
    kills bucket "s3://backups/x?endpoint=$(url_of s3)&path_style=true"
    under_load bucket
else
    skip "buckets of s3rver" "s3rver is missing"
fi
: >"$work/enough"
wait "$traffic"
incremental
stop server
store=$work/small
claim "damage: a directory is backed up" "$firekeep" backup --storage.path="$work/data" --create "$store"
claim "damage: in each object it is found" damages
claim "damage: in records it is found" damaged_records
if mkdir -p "$work/disk" && mount -t tmpfs tmpfs "$work/disk" 2>/dev/null; then
    umount "$work/disk"
    targets
else
    skip "targets" "no file system can be mounted here"
fi
done_testing
