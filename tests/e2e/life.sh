#!/bin/bash
# life.sh - start, reload, stop; users of a directory; a disk that is nearly full; commands.

. tests/lib.sh
. tests/wire.sh
mapfile -t ports < <(free_ports 2)
port=${ports[0]}
url=http://127.0.0.1:$port
t=1700000000000

one_sample() { # METRIC [LABELS]
    echo "$1${2-} 1 $t" | "$TOOLS/rwmake" >"$work/one.rw"
}

acknowledged() { # METRIC [LABELS]
    one_sample "$@"
    "$TOOLS/rwreplay" "$work/one.rw" "$url" --check
}

refused() { # STATUS PATTERN METRIC [LABELS]
    local output
    one_sample "${@:3}"
    output=$("$TOOLS/rwreplay" "$work/one.rw" "$url" --check)
    echo "$output"
    grep -q "^status $1: 1$" <<<"$output" && grep -q "$2" <<<"$output"
}

page_is() { # STATUS PATTERN PATH [CURL-ARGUMENT...]
    status=$(curl -s --noproxy '*' --max-time 10 -o "$work/answer" -D "$work/head" -w '%{http_code}' \
        "${@:4}" "$url$3")
    status_is "$1" "$2"
}

# ends_with STATUS PATTERN COMMAND...
ends_with() {
    local want=$1 pattern=$2 output got
    shift 2
    output=$(timeout 20 "$@" 2>&1 </dev/null)
    got=$?
    echo "$output" | head -n 5
    ((got == want)) || echo "status $got instead of $want"
    ((got == want)) && grep -qi -- "$pattern" <<<"$output"
}

metric_exceeds() { # PATTERN VALUE
    (($(metric "$1") > $2))
}

# --- commands ---

commands() {
    local program=build/firekeep dir=$work/commands
    mkdir -p "$dir"
    echo 'retention: {time: 1y}' >"$dir/good.yml"
    claim "a file that is not there: 2" ends_with 2 '--config.file: cannot open .*nowhere.yml' \
        "$program" serve --config.file="$dir/nowhere.yml"
    claim "verify of no directory: 1" ends_with 1 'nowhere' "$program" verify "$dir/nowhere"
    claim "a directory that cannot be made: 1" ends_with 1 'good.yml' \
        "$program" serve --storage.path="$dir/good.yml/data" --web.listen-address=127.0.0.1:0
    claim "an address that is not ours: 1" ends_with 1 'cannot listen on 192.0.2.1:9' \
        "$program" serve --storage.path="$dir/data" --web.listen-address=192.0.2.1:9
}

# --- two of them ---

two_of_them() {
    claim "two: the first starts" start_firekeep first "$work/shared" "$port" || return
    claim "two: a second one on the same directory is refused" ends_with 1 'another\|in use\|locked' \
        build/firekeep serve --storage.path="$work/shared" --web.listen-address="127.0.0.1:${ports[1]}"
    claim "two: verify of a directory in use is refused" ends_with 1 'in use\|running\|stop' \
        build/firekeep verify "$work/shared"
    claim "two: a check of the version needs the directory for itself" ends_with 1 'stop it' \
        build/firekeep version --check-storage "$work/shared"
    claim "two: the first goes on" acknowledged first
    claim "health: 0 while it runs" ends_with 0 healthy build/firekeep health --url="http://127.0.0.1:$port"
    claim "health: 0 while it is ready" ends_with 0 ready build/firekeep health --ready --url="http://127.0.0.1:$port"
    claim "health: 1 for another status" ends_with 1 'status 404' build/firekeep health --url="http://127.0.0.1:$port/other"
    claim "two: SIGTERM ends it with status 0" stop first
    claim "health: 1 after its end" ends_with 1 "127.0.0.1:$port" build/firekeep health --url="http://127.0.0.1:$port"
    claim "a check of the version opens it now" ends_with 0 'can open it' \
        build/firekeep version --check-storage "$work/shared"
}

# --- reload ---

hangup() { # NAME PATTERN-IN-LOG: a SIGHUP, and its effect
    local pid lines
    lines=$(wc -l <"$work/$1.log")
    pid=${pids[$(_index_of "$1")]}
    kill -HUP "$pid"
    within 20 eval "tail -n +$((lines + 1)) '$work/$1.log' | grep -q -- '$2'" || {
        tail -n +$((lines + 1)) "$work/$1.log"
        return 1
    }
}

settings() { # MAX-LABELS [MORE]
    printf 'write:\n  max_labels: %s\n%s\n' "$1" "${2-}" >"$work/reload.yml"
}

reload_by_signal() {
    settings 2
    claim "reload: starts" start_firekeep reload "$work/reload" "$port" \
        --config.file="$work/reload.yml" || return
    claim "reload: the file counts" refused 400 label many '{a="1",b="2"}'
    settings 3
    claim "reload: SIGHUP reads it again" hangup reload 'configuration reloaded'
    claim "reload: the new limit holds" acknowledged many '{a="1",b="2"}'
    settings none
    claim "reload: a bad file is refused" hangup reload 'reload failed.*reload.yml:2:15'
    claim "reload: the old limit stays" acknowledged many '{a="1",b="3"}'
    settings 1 'web: {workers: 7}'
    claim "reload: what needs a restart is named" hangup reload 'reload failed.*web.workers'
    claim "reload: and nothing of that file holds" acknowledged many '{a="1",b="4"}'
    rm "$work/reload.yml"
    claim "reload: a missing file is refused" hangup reload 'reload failed.*reload.yml'
    claim "reload: it goes on" acknowledged many '{a="1",b="5"}'
    mkfifo "$work/reload.yml"
    claim "reload: a pipe is refused, and not waited for" hangup reload 'reload failed.*reload.yml: it is not a regular file'
    rm "$work/reload.yml"
    claim "reload: the page says what holds" page_is 200 'max_labels: 3' /api/v1/status/config
    stop reload
}

reload_by_request() {
    settings 2
    claim "lifecycle: starts" start_firekeep lifecycle "$work/reload" "$port" \
        --config.file="$work/reload.yml" --web.enable-lifecycle || return
    settings 3
    claim "lifecycle: POST reloads" page_is 200 reloaded /-/reload -X POST
    settings none
    claim "lifecycle: a bad file gets 400 and is named" page_is 400 'reload.yml:2:15' /-/reload -X POST
    claim "lifecycle: the old settings stay" page_is 200 'max_labels: 3' /api/v1/status/config
    stop lifecycle
}

# --- a full disk, health ---

nearly_full() {
    claim "healthy" page_is 200 healthy /-/healthy
    claim "ready" page_is 200 ready /-/ready
    claim "what the full disk has" acknowledged before
    stop first
    start full build/firekeep serve --storage.path="$work/shared" \
        --web.listen-address="127.0.0.1:$port" --storage.min-free=1PiB
    wait_ready full "$url/-/healthy"
    claim "full: not ready, and why" page_is 503 'disk is nearly full' /-/ready
    claim "full: healthy all the same" page_is 200 healthy /-/healthy
    claim "full: writes get 503 and why" refused 503 'disk' after
    claim "full: with Retry-After and what was written" full_headers
    one_sample before
    claim "full: reads go on" "$TOOLS/rrcompare" "$url" "$work/one.rw" --start 0 --end 4102444800000 \
        --match '{__name__="before"}'
    claim "full: nothing of it was taken" full_took_nothing
    claim "full: the log says so" within 20 grep -q 'refusing writes.*nearly full' "$work/full.log"
    claim "full: SIGTERM ends it with status 0" stop full
}

full_headers() {
    send_2 "$(field_text 4 '')$(field_text 4 __name__)$(field_text 4 x)$(
        )$(field 5 "$(packed 1 1 2)$(field 2 "$(field_double 1 1)$(field_int 2 "$t")")")"
    status_is 503 && written_is 0 0 0 && [[ $(header Retry-After) =~ ^[0-9]+$ ]]
}

full_took_nothing() {
    [[ $(metric firekeep_head_series) == 0 ]] && [[ $(metric firekeep_disk_low) == 1 ]]
}

# --- stopping ---

# Makes so many requests that the end comes in the middle of them.
make_load() {
    awk 'BEGIN {
        for (r = 0; r < 12000; r++) {
            for (s = 0; s < 10; s++)
                printf "load{series=\"%03d\"} %.3f %.0f\n", s, s + r / 7, 1700000000000 + r * 15000
            print "---"
        }
    }' | "$TOOLS/rwmake" >"$work/load.rw"
}

# stop_under_load NAME READER [ARGUMENT...]: SIGTERM in the middle of a load. The sender repeats
# unacknowledged requests until the next start. If READER is 1, the server waits for a reader that
# reads nothing, until a second SIGTERM; without that it would cancel the read and flush.
stop_under_load() {
    local name=$1 reader=$2 dir=$work/$1 pid sender ends=('stopped took_ms' 'stopping immediately')
    shift 2
    start_firekeep "$name" "$dir" "$port" "$@" || return 1
    "$TOOLS/rwreplay" "$work/load.rw" "$url" --check --first 2000 || return 1
    pid=${pids[$(_index_of "$name")]}
    if ((reader)); then
        stall_reads 1 1000 load
        within 20 metric_exceeds firekeep_reads_running 0 || return 1
    fi
    setpriv --pdeathsig TERM "$TOOLS/rwreplay" "$work/load.rw" "$url" --check --retry 60 --concurrency 4 \
        --skip 2000 >"$work/replay.txt" 2>&1 &
    sender=$!
    within 20 metric_exceeds firekeep_samples_received_total 20100 || return 1
    if ((reader)); then
        kill -TERM "$pid"
        within 20 grep -q 'finishing open requests' "$work/$name.log" || return 1
    fi
    stop "$name" || {
        echo "status $? after SIGTERM"
        return 1
    }
    stall_ends
    grep "${ends[reader]}" "$work/$name.log" && ! grep "${ends[!reader]}" "$work/$name.log" || return 1
    if ! kill -0 "$sender" 2>/dev/null; then
        echo "the load was over before the end came"
        return 1
    fi
    start_firekeep "$name" "$dir" "$port" || return 1
    wait "$sender" || {
        cat "$work/replay.txt"
        return 1
    }
    "$TOOLS/rrcompare" "$url" "$work/load.rw" --start 0 --end 4102444800000 || return 1
    stop "$name" && build/firekeep verify "$dir"
}

stops() {
    make_load
    claim "SIGTERM under load: status 0, nothing acknowledged is lost" stop_under_load gentle 0
    claim "SIGTERM twice: at once, nothing acknowledged is lost" stop_under_load hurried 1
    claim "SIGTERM twice with --wal.ack=memory, too" stop_under_load memory 1 --wal.ack=memory
    claim "the log says that it hurried" grep -q 'stopping immediately' "$work/hurried.log"
}

# --- logs ---

json_log() {
    start_firekeep json "$work/json" "$port" --log.format=json || return 1
    stop json
    jq -es 'length > 2 and all(.[]; has("ts") and has("level") and has("msg"))' "$work/json.log" || {
        head -n 3 "$work/json.log"
        return 1
    }
}

# --- strange files ---

# A pipe in the place of each file that a start opens. FILE is below $work/strange.
refuses_pipe() { # FILE
    local path=$work/strange/$1 ended
    mv "$path" "$work/original" && mkfifo "$path" || return 1
    ends_with 1 "cannot open $path: it is not a regular file" build/firekeep serve \
        "--storage.path=$work/strange" "--web.listen-address=127.0.0.1:$port"
    ended=$?
    rm "$path" && mv "$work/original" "$path" && return "$ended"
}

starts_without_identity() {
    rm "$work/strange/IDENTITY" && mkfifo "$work/strange/IDENTITY" &&
        start_firekeep strange "$work/strange" "$port" && stop strange &&
        grep 'level=warn .*IDENTITY: it is not a regular file' "$work/strange.log"
}

strange_files() {
    local file
    claim "pipes: a store" start_firekeep strange "$work/strange" "$port" --web.enable-admin-api || return
    acknowledged strange >/dev/null
    claim "pipes: with a part" page_is 200 '"parts":1' /api/v1/admin/tsdb/flush -X POST
    claim "pipes: which is stopped" stop strange
    for file in FORMAT LOCK MANIFEST wal/0000000000000001.wal parts/0000000000000001/part; do
        claim "pipes: $file is refused, named, and not waited for" refuses_pipe "$file"
    done
    claim "pipes: IDENTITY is not waited for" starts_without_identity
}

# --- rights ---

without_rights() {
    local dir=$work/rights other=() user
    user=$(id -u)
    if ((user == 0)); then
        user=65534
        other=(setpriv --reuid=$user --regid=$user --clear-groups)
    fi
    mkdir -p "$dir/plain" "$dir/closed/in"
    touch "$dir/file"
    chmod 555 "$dir/plain" "$dir"
    chmod 600 "$dir/closed"
    if ! "${other[@]}" build/firekeep version >"$work/rights.txt" 2>&1 || ! "${other[@]}" test -x "$dir"; then
        skip "rights" "user $user cannot run the program or reach $dir"
        return
    fi
    local needs="Permission denied; give access to user ID $user" serve
    serve=("${other[@]}" build/firekeep serve "--web.listen-address=127.0.0.1:$port")
    claim "rights: a directory that cannot be written" ends_with 1 "cannot create $dir/plain/LOCK: $needs" \
        "${serve[@]}" "--storage.path=$dir/plain"
    claim "rights: a directory that cannot be created" ends_with 1 "cannot create directory $dir/new: $needs" \
        "${serve[@]}" "--storage.path=$dir/new"
    claim "rights: a directory that cannot be reached" ends_with 1 "cannot resolve storage.path $dir/closed/in: $needs" \
        "${serve[@]}" "--storage.path=$dir/closed/in"
    claim "rights: a file in place of the directory" ends_with 1 "cannot create directory $dir/file: Not a directory" \
        "${serve[@]}" "--storage.path=$dir/file"
    chmod 755 "$dir" "$dir/closed"
}

# --- the first instructions ---

# A library's constructor sends the signal: before main(), when the loader is done.
hangup_at_once() {
    settings 2
    echo '#include <signal.h>
        __attribute__((constructor)) static void hangup(void) { raise(SIGHUP); }' |
        cc -shared -fPIC -x c -o "$work/hangup.so" - || return 1
    start early env "LD_PRELOAD=$work/hangup.so" build/firekeep serve "--storage.path=$work/early" \
        "--web.listen-address=127.0.0.1:$port" --config.file="$work/reload.yml"
    wait_ready early "$url/-/ready" && within 10 grep -q 'configuration reloaded' "$work/early.log" && stop early
}

# The shell that becomes the server closes them, so that no file of the server gets their numbers.
closed_files() {
    start closed sh -c 'exec "$0" "$@" <&- >&- 2>&-' build/firekeep serve "--storage.path=$work/closed" \
        "--web.listen-address=127.0.0.1:$port"
    wait_ready closed "$url/-/ready" && _find closed && readlink "/proc/${pids[found]}/fd/"{0,1,2} >"$work/files.txt"
    cat "$work/files.txt"
    [[ $(sort -u "$work/files.txt") == / ]] && acknowledged closed && stop closed && build/firekeep verify "$work/closed"
}

file_limit() {
    start limited prlimit --nofile=64: build/firekeep serve "--storage.path=$work/limited" \
        "--web.listen-address=127.0.0.1:$port"
    wait_ready limited "http://127.0.0.1:$port/-/ready" && _find limited || return 1
    awk '/^Max open files/ { print; raised = $4 == $5 && $4 > 64 } END { exit !raised }' \
        "/proc/${pids[found]}/limits" && stop limited
}

commands
two_of_them
reload_by_signal
reload_by_request
if claim "health: starts" start_firekeep first "$work/shared" "$port"; then
    nearly_full
fi
stops
claim "the limit of open files is raised to what the system allows" file_limit
strange_files
without_rights
claim "SIGHUP before main() is a reload after the start" hangup_at_once
claim "closed standard files are not those of the store" closed_files
claim "--log.format=json: every line is an object with ts, level, msg" json_log
done_testing
