#!/bin/bash
# backup.sh - backups of a running server: incremental, killed at any moment, on a full disk; what
# is restored serves the same samples.

. tests/lib.sh
mapfile -t ports < <(free_ports 2)
url=http://127.0.0.1:${ports[0]}
restored=http://127.0.0.1:${ports[1]}
firekeep=build/firekeep
store=$work/backups
login=$work/login.yml

backup() { # [ARGUMENT...]
    "$firekeep" backup --url="$url" --http.config.file="$login" "$@" "$store"
}

# Writes samples whose values do not compress.
numbers() { # NAME SERIES SAMPLES
    awk -v name="$1" -v series="$2" -v samples="$3" 'BEGIN {
        srand(4711)
        for (i = 0; i < series; i++)
            for (k = 0; k < samples; k++)
                printf "%s{i=\"%d\"} %.17g 17%08d000\n", name, i, rand(), k * 15
    }' >"$work/$1.txt"
    "$firekeep" import --url="$url" --http.config.file="$login" --format=prometheus "$work/$1.txt"
}

# While another process has the lock, which belongs to the open file.
with_lock() { # COMMAND...
    local status held
    exec {held}<>"$store/LOCK"
    python3 -c 'import fcntl, struct, sys
fcntl.fcntl(int(sys.argv[1]), fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))' "$held"
    "$@" {held}<&-
    status=$?
    exec {held}<&-
    return "$status"
}

has_snapshots() { # COUNT
    local -a found
    mapfile -t found < <(compgen -G "$work/data/snapshots/*")
    echo "${#found[@]} snapshots"
    ((${#found[@]} == $1))
}

restores() { # [ARGUMENT...]
    rm -rf "$work/new"
    "$firekeep" restore "$@" "$store" "$work/new" && "$firekeep" verify "$work/new"
}

# --- a running server -----------------------------------------------------------------------------

token=$("$firekeep" token 2>/dev/null)
secret=$(head -n 1 <<<"$token")
hash=$("$firekeep" token --hash <<<"$secret" 2>/dev/null | tail -n 1)
cat >"$work/firekeep.yml" <<END
users: [{name: keeper, tokens: [$hash], permissions: [write, read, admin, metrics]}]
END
printf 'authorization: {credentials: "%s"}\n' "$secret" >"$login"

claim "running: a server with users starts" start_firekeep a "$work/data" "${ports[0]}" \
    --config.file="$work/firekeep.yml" --web.enable-admin-api
claim "running: samples are written" numbers first 100 300
claim "running: a directory that was not made for backups is refused" says "--create makes one" 1 backup
claim "running: a server that does not know us is not backed up" says "status 401" 1 \
    "$firekeep" backup --url="$url" --create "$store"
claim "running: a backup is made" backup --create
claim "running: its snapshot is gone" has_snapshots 0
claim "running: more samples are written" numbers second 100 300
claim "running: the next backup reads only new parts" says '"unchanged":2' 0 backup --format=json
claim "running: a suffix that is no number is refused" says "expected 16 hexadecimal digits" 0 \
    curl -sS -XPOST -H "Authorization: Bearer $secret" "$url/api/v1/admin/tsdb/snapshot?suffix=../x"
claim "running: both are intact" says ": ok (" 0 "$firekeep" backup verify "$store"

# --- kills ----------------------------------------------------------------------------------------

claim "kills: more samples are written" numbers third 200 1000
killed=0 broken=0
for i in {1..12}; do
    start backup "$firekeep" backup --url="$url" --http.config.file="$login" --rate=1 "$store"
    doze "0.$((RANDOM % 9))$((RANDOM % 10))"
    is_running backup && killed=$((killed + 1))
    crash backup
    "$firekeep" backup verify "$store" >"$work/verify.txt" 2>&1 || broken=$((broken + 1))
done
claim "kills: backups were killed" test "$killed" -gt 0
claim "kills: no backup was damaged" test "$broken" -eq 0
claim "kills: another backup has to wait" with_lock says "another process is using" 1 backup
claim "kills: the next backup is made" backup
claim "kills: the snapshots of killed backups are gone" has_snapshots 0
claim "kills: pruning keeps the newest" says "1 kept" 0 "$firekeep" backup prune --keep=1 "$store"
claim "kills: it is intact" says ": ok (" 0 "$firekeep" backup verify "$store"

# --- restore --------------------------------------------------------------------------------------

start restore "$firekeep" restore --rate=1 "$store" "$work/half"
within 20 test -e "$work/half/RESTORING"
crash restore

# Each command that opens a directory names the one that continues the restore, and changes nothing.
expect_refusals() {
    local before command half=$work/half
    local commands=(
        "serve --storage.path=$half --web.listen-address=127.0.0.1:${ports[1]}" "verify $half" "inspect $half"
        "version --check-storage $half" "import --storage.path=$half $work/b.txt" "export --storage.path=$half"
        "query --storage.path=$half up" "backup --storage.path=$half $store"
        "dead-letters list --storage.path=$half" "destinations reset --storage.path=$half --from=now north"
        "plan --storage.path=$half $work/firekeep.yml"
    )
    echo 'up 1 1700000000000' >"$work/b.txt"
    before=$(cd "$half" && find . | sort)
    for command in "${commands[@]}"; do
        # shellcheck disable=SC2086 # words
        timeout 20 "$firekeep" $command >"$work/refused.txt" 2>&1 &&
            echo "$command: not refused" && return 1
        grep -q "firekeep restore --id=$(<"$half/RESTORING") BACKUPS $half" "$work/refused.txt" || {
            echo "$command: $(<"$work/refused.txt")"
            return 1
        }
    done
    [[ $(cd "$half" && find . | sort) == "$before" ]]
}

claim "restore: nothing opens half of a restore" expect_refusals
if [[ ! -e $work/half/FORMAT ]]; then
    cp "$work/data/FORMAT" "$work/half/FORMAT"
    claim "restore: also with FORMAT from elsewhere" expect_refusals
fi
claim "restore: it continues" "$firekeep" restore "$store" "$work/half"
claim "restore: what is restored is intact" says "ok (" 0 "$firekeep" verify "$work/half"
claim "restore: a server starts on it" start_firekeep b "$work/half" "${ports[1]}"
printf '%s\n' "$secret" >"$work/secret"
claim "restore: it has the same samples" "$firekeep" export --url="$restored" -o "$work/b.jsonl" --start=0 --end=now
claim "restore: as the server that was backed up" "$firekeep" export --url="$url" \
    --http.config.file="$login" -o "$work/a.jsonl" --start=0 --end=now
claim "restore: bit for bit" cmp "$work/a.jsonl" "$work/b.jsonl"
stop b
stop a

# --- destinations ---------------------------------------------------------------------------------

# `here` is paused with all samples queued; `nowhere` cannot be reached, and its target cannot hold one
# sample, which is a dead letter, and is read again where it is restored.
destinations() { # URL-PORT DIRECTORY
    cat <<END
destinations:
  - {name: here, type: file, path: $work/here, batch: {max_age: 50ms}}
  - {name: nowhere, type: opentsdb, url: "http://127.0.0.1:9", batch: {max_age: 50ms}}
END
}

accounts() { # NAME EXPRESSION
    curl -fsS --noproxy '*' "$restored/api/v1/status/destinations" |
        jq -e ".data[] | select(.name == \"$1\") | $2" >/dev/null
}

destinations >"$work/destinations.yml"
cat >"$work/kinds.txt" <<'END'
up{job="a"} 1 1700000000000
up{job="b"} 2 1700000000000
nan{job="c"} 0x7ff8000000000001 1700000000000
END
"$TOOLS/rwmake" <"$work/kinds.txt" >"$work/kinds.rw"
serve() { # NAME DIRECTORY
    start_firekeep "$1" "$2" "${ports[1]}" --config.file="$work/destinations.yml" --web.enable-admin-api
}
claim "destinations: a server starts" serve d "$work/d"
claim "destinations: one is paused" within 20 curl -fsS --noproxy '*' -XPOST "$restored/api/v1/admin/destinations/here/pause"
stop d # a pause is saved within a second, and before the end
claim "destinations: it starts again" serve d "$work/d"
claim "destinations: samples are written" "$TOOLS/rwreplay" "$work/kinds.rw" "$restored" --check
claim "destinations: they are queued" within 20 accounts here '.samples.queued == 3'
claim "destinations: what cannot be sent is a dead letter" within 20 accounts nowhere '.samples.deadLettered == 1 and .samples.queued == 2'
are_saved() { # counters are those of durable states
    curl -fsS --noproxy '*' "$restored/metrics" | tee "$work/saved.txt" |
        grep -q '^firekeep_destination_samples_queued{destination="here".* 3$' &&
        grep -q '^firekeep_destination_samples_dead_lettered_total{destination="nowhere".* 1$' "$work/saved.txt"
}
claim "destinations: their states are saved" within 20 are_saved
claim "destinations: the server is backed up" "$firekeep" backup --url="$restored" "$store"
crash d
claim "destinations: it is restored" restores
claim "destinations: a server starts on it" serve e "$work/new"
claim "destinations: one is still paused" within 20 accounts here '.state == "paused" and .samples.queued == 3'
claim "destinations: the dead letter is there" within 20 accounts nowhere '.samples.deadLettered == 1 and .samples.queued == 2'
claim "destinations: it goes on" curl -fsS --noproxy '*' -XPOST "$restored/api/v1/admin/destinations/here/resume"
claim "destinations: what was queued is delivered" within 20 accounts here '.samples.delivered == 3 and .samples.queued == 0'
stop e
claim "destinations: all accounts balance" "$firekeep" verify "$work/new"

# A restored destination begins behind the part that it had delivered, although samples wait five
# seconds for a request to fill, and its state is only saved once a second.
reads_no_part() {
    grep 'the log does not match .* destination=here .* reading_the_store=0' "$work/h.log"
}
sed -i 's/50ms/5s, max_samples: 50000/' "$work/destinations.yml"
claim "destinations: a server starts once more" serve g "$work/new"
claim "destinations: more samples are written" "$firekeep" import --url="$restored" --format=prometheus "$work/first.txt"
claim "destinations: and backed up at once" "$firekeep" backup --url="$restored" "$store"
crash g
claim "destinations: that is restored" restores
claim "destinations: a server starts on it" serve h "$work/new"
claim "destinations: it sends nothing again" within 20 reads_no_part
stop h

# --- by the server itself -------------------------------------------------------------------------

scheduled=$work/scheduled
metric() { # NAME CONDITION
    curl -fsS --noproxy '*' "$restored/metrics" | awk -v name="$1" "\$1 == name && \$2 $2 { found = 1 } END { exit !found }"
}
holds() { # BACKUPS
    (($("$firekeep" backup list --format=json "$scheduled" | jq '.backups | length') == $1))
}
serve_itself() { # TO [FLAG...]
    start_firekeep s "$work/itself" "${ports[1]}" --backup.to="$1" --backup.every=1s --web.enable-lifecycle "${@:2}"
}
claim "itself: a server starts" serve_itself "$scheduled"
claim "itself: it does not make the directory of backups" within 20 metric 'firekeep_backups_total{outcome="failed"}' '> 0'
claim "itself: nor does it leave anything there" test ! -e "$scheduled"
claim "itself: samples are written" "$firekeep" import --url="$restored" --format=prometheus "$work/first.txt"
stop s
claim "itself: the directory is made by hand" "$firekeep" backup --create --storage.path="$work/itself" "$scheduled"
claim "itself: the server starts again" serve_itself "$scheduled" --backup.keep=2
claim "itself: it makes backups" within 30 metric 'firekeep_backups_total{outcome="done"}' '> 2'
claim "itself: it keeps two" within 20 holds 2
claim "itself: its metrics have the time of the last one" metric firekeep_backup_last_success_timestamp_seconds '> 1700000000'
snapshots_are_gone() {
    [[ -z $(ls -A "$work/itself/snapshots" 2>/dev/null) ]]
}
crash s
claim "itself: after SIGKILL, it starts again" serve_itself "$scheduled" --backup.keep=2
claim "itself: and makes backups" within 30 metric 'firekeep_backups_total{outcome="done"}' '> 0'
stop s
claim "itself: no snapshot is left" snapshots_are_gone
# The clock was ahead, and was set back.
mv "$scheduled/backups/$("$firekeep" backup list --format=json "$scheduled" | jq -r '.backups[-1].id')" \
    "$scheduled/backups/20990101T000000.000Z"
claim "itself: with a backup of the future, it starts again" serve_itself "$scheduled" --backup.keep=2
claim "itself: and makes backups" within 30 metric 'firekeep_backups_total{outcome="done"}' '> 1'
claim "itself: whose time is that of the clock" metric firekeep_backup_last_success_timestamp_seconds "<= $(($(date +%s) + 1))"
claim "itself: and is known" metric firekeep_backup_last_success_timestamp_seconds '> 1700000000'
stop s
record=$("$firekeep" backup list --format=json "$scheduled" | jq -r '.backups[-1].id')
cp "$scheduled/backups/$record" "$work/record"
echo x >>"$scheduled/backups/$record"
claim "itself: beside a damaged record, it starts again" serve_itself "$scheduled" --backup.keep=2
claim "itself: makes backups" within 30 metric 'firekeep_backups_total{outcome="done"}' '> 0'
claim "itself: and says that it cannot remove others" grep -q "cannot remove old backups" "$work/s.log"
claim "itself: which is no failure of a backup" metric 'firekeep_backups_total{outcome="failed"}' '== 0'
stop s
[[ ! -e $scheduled/backups/$record ]] || cp "$work/record" "$scheduled/backups/$record"
claim "itself: the backups are intact" says ": ok (" 0 "$firekeep" backup verify "$scheduled"
claim "itself: a server that stores nothing is refused" says "backup.to requires storage.mode=local" 2 \
    "$firekeep" serve --storage.path="$work/nothing" --storage.mode=none --backup.to="$scheduled"

# --- a target with trouble -------------------------------------------------------------------------

# After another backup of this outcome.
again() { # done|failed
    local before
    before=$(curl -fsS --noproxy '*' "$restored/metrics" | awk -v name="firekeep_backups_total{outcome=\"$1\"}" '$1 == name { print $2 }')
    within 60 metric "firekeep_backups_total{outcome=\"$1\"}" "> $before"
}
remounted() { # MODE OUTCOME
    mount -o "remount,$1" "$disk" && again "$2"
}
disk=$work/disk to=$work/disk/backups
mkdir -p "$disk"
if mount -t tmpfs -o size=32m tmpfs "$disk" 2>/dev/null; then
    trap 'stop_all; umount -l "$disk" 2>/dev/null' EXIT
    claim "targets: the directory is made" "$firekeep" backup --create --storage.path="$work/itself" "$to"
    claim "targets: the server starts" serve_itself "$to" --backup.keep=3
    claim "targets: it makes backups" again done
    claim "targets: a disk that is read-only fails" remounted ro failed
    claim "targets: when it is not, it goes on" remounted rw done
    head -c 40000000 /dev/zero >"$disk/filler" 2>/dev/null
    claim "targets: a full disk fails" again failed
    rm "$disk/filler"
    claim "targets: with room, it goes on" again done
    mv "$to" "$disk/away"
    claim "targets: a directory that vanished fails" again failed
    claim "targets: and is not made again" test ! -e "$to"
    mv "$disk/away" "$to"
    claim "targets: when it is back, it goes on" again done
    umount -l "$disk"
    claim "targets: a disk that is not mounted fails" again failed
    claim "targets: and nothing is written below it" test -z "$(ls -A "$disk")"
    claim "targets: the server still takes samples" curl -fsS --noproxy '*' "$restored/-/ready"
    stop s
else
    skip "targets" "no file system can be mounted here"
fi

# --- a stopped server, a full disk ----------------------------------------------------------------

claim "stopped: the directory of a stopped server is backed up" \
    "$firekeep" backup --storage.path="$work/data" "$store"
claim "stopped: it is restored with its log" restores
claim "stopped: a server without users starts on it" start_firekeep c "$work/new" "${ports[1]}"
claim "stopped: the directory of a running server is refused" says "in use by another process" 1 \
    "$firekeep" backup --storage.path="$work/new" "$store"
stop c

small=$work/small
mkdir -p "$small"
if mount -t tmpfs -o size=512k tmpfs "$small" 2>/dev/null; then
    trap 'stop_all; umount -l "$small"' EXIT
    claim "full disk: a backup fails and says so" says "o space" 1 \
        "$firekeep" backup --storage.path="$work/data" --create "$small"
    claim "full disk: nothing is taken for a backup" says "has no backups" 1 \
        "$firekeep" backup verify "$small"
    mount -o remount,size=64m "$small"
    claim "full disk: with room, it continues" \
        "$firekeep" backup --storage.path="$work/data" "$small"
    claim "full disk: and is intact" says ": ok (" 0 "$firekeep" backup verify "$small"
else
    skip "full disk" "no file system can be mounted here"
fi
done_testing
