# shellcheck shell=bash
# lib.sh - sourced by tests of whole programs and by the demo: processes that never outlive the
# script, ports, waiting, and reporting results. `work`, the directory for logs and files, is SCRATCH
# unless it is set before; TOOLS is the directory of the tools. Starting a process costs more than most of its work, so functions that
# are called often start few.
#
#   start_firekeep NAME DIR PORT [ARGUMENT...]   and waits until it is ready; with $small_log
#   start NAME COMMAND...     in the background, output to $work/NAME.log (appended)
#   wait_ready NAME URL [S]   until URL answers below 400; false if NAME ended or S (60) seconds passed
#   stop NAME                 SIGTERM, then SIGKILL after 35 s; status as of the process
#   crash NAME                SIGKILL, at once
#   within S COMMAND...       repeats it until it succeeds; false if it has not after S seconds, and no
#                             less than 60: the machine may be busy. What can wait itself does so as
#                             long as $within_seconds, 0 elsewhere
#   doze S                    a sleep without a process
#   claim NAME COMMAND...     prints "ok NAME", or "not ok NAME - output" and is false
#   skip NAME REASON
#   says TEXT STATUS COMMAND...      true if the output has the text, and the status is this one
#   says_not TEXT STATUS COMMAND...  the same without the text
#   together N FUNCTION ARGUMENT...  calls FUNCTION for each ARGUMENT, N at a time, each in a subshell with
#                             processes and a directory, $work/ARGUMENT, of its own; prints what they print
#   skip_all NAME REASON      skips the rest of the script, which ends here
#   done_testing              the last command of each script: without its line run.sh reports that
#                             the script ended early; false if a claim failed
#   free_ports N              prints N ports that no socket has, not even one of a connection that is over
#   now_ms                    Unix milliseconds
#
# With TIMES=1 each claim is followed by `# S s, S s of CPU`: since the claim before, with the CPU of the
# processes that ended since and of those that `start` began.

set -u
work=${work-${SCRATCH:?}}
# Debian's programs come first, and numbers and messages have one form, whatever the caller uses.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH} LC_ALL=C.UTF-8
names=()
pids=()
failures=0

# Each start writes a segment of the log in advance: 64 MiB, if it is not told otherwise, are half of its CPU.
small_log=--wal.segment-bytes=4MiB

# Opens a pipe without a writer.
exec {nothing}<> <(:)
within_seconds=0

doze() {
    read -rt "$1" -u "$nothing" _ || :
}

# Sets `found`, the index of the last process that was started under the name and not stopped.
_find() { # NAME
    for ((found = ${#names[@]} - 1; found >= 0; found--)); do
        [[ ${names[found]} == "$1" && -n ${pids[found]} ]] && return 0
    done
    return 1
}

_index_of() {
    local found
    _find "$1" && echo "$found"
}

# Each child leads a session of its own, so that Ctrl-C reaches only the script; should the script
# be killed, the kernel ends them.
start() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >>"$work/$name.log" 2>&1 </dev/null {nothing}<&- &
    names+=("$name")
    pids+=($!)
}

start_firekeep() {
    local name=$1 dir=$2 port=$3
    shift 3
    start "$name" build/firekeep serve "--storage.path=$dir" \
        "--web.listen-address=127.0.0.1:$port" "$small_log" "$@"
    wait_ready "$name" "http://127.0.0.1:$port/-/ready" || {
        tail -n 5 "$work/$name.log"
        return 1
    }
}

# Says whether it is a child of this shell, and not another process with the number of one that
# ended. The shell notices an end at once, and scripts beside this one start thousands of processes
# per minute.
_lives() { # PID
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -r _ stat _ <<<"${stat##*) }" # after the name: state, parent
    [[ $stat == "$$" || $stat == "$BASHPID" ]]
}

is_running() {
    local i
    for i in "${!names[@]}"; do # without a subshell: it is asked often
        [[ ${names[i]} == "$1" && -n ${pids[i]} ]] && _lives "${pids[i]}" && return 0
    done
    return 1
}

stop() {
    local found pause=0.02 until=$((SECONDS + 36)) status
    _find "$1" || return 1
    if _lives "${pids[found]}"; then
        kill -TERM "${pids[found]}" 2>/dev/null
        while _lives "${pids[found]}"; do
            ((SECONDS < until)) || {
                echo "$1 had to be killed" >&2
                break
            }
            doze "$pause"
            pause=0.05
        done
        kill -KILL -- "-${pids[found]}" 2>/dev/null
    fi
    wait "${pids[found]}" 2>/dev/null
    status=$?
    pids[found]=
    return "$status"
}

crash() {
    local found
    _find "$1" || return 1
    _lives "${pids[found]}" && kill -KILL -- "-${pids[found]}" 2>/dev/null
    wait "${pids[found]}" 2>/dev/null
    pids[found]=
}

# The last started stops first.
stop_all() {
    local i
    trap '' INT TERM HUP
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        [[ -z ${pids[i]} ]] || stop "${names[i]}"
    done
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

wait_ready() {
    local found
    is_running "$1" && _find "$1" && "$TOOLS/get" --wait "${pids[found]}" "$2" "${3:-60}"
}

within() {
    # shellcheck disable=SC2034 # for what is called
    local within_seconds=$(($1 < 60 ? 60 : $1))
    local until=$((SECONDS + within_seconds)) pauses=(0.05 0.05 0.1 0.1 0.1 0.2) i=0
    shift
    until "$@"; do
        ((SECONDS < until)) || return 1
        doze "${pauses[i++]:-0.3}" # waits longer the longer it takes
    done
}

free_ports() {
    local count=$1 port hex used
    used=$(</proc/net/tcp)$(</proc/net/tcp6)
    while ((count > 0)); do
        port=$((${PORTS_FROM:-20000} + RANDOM % 1750))
        printf -v hex ':%04X ' "$port"
        [[ $used == *"$hex"* ]] && continue
        used+=$hex
        echo "$port"
        count=$((count - 1))
    done
}

now_ms() {
    echo $((${EPOCHREALTIME/./} / 1000))
}

# Prints the time and CPU since its last call, in hundredths of seconds as the kernel has them.
_print_times() {
    local pid stat cpu=0 now=${EPOCHREALTIME/./}
    for pid in "$BASHPID" "${pids[@]}"; do
        { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
        read -ra stat <<<"${stat##*) }" # after the name: 11 to 14 are the CPU of it and of its children
        cpu=$((cpu + stat[11] + stat[12] + stat[13] + stat[14]))
    done
    printf '# %d.%02d s, %d.%02d s of CPU\n' $(((now - times_now) / 1000000)) $(((now - times_now) / 10000 % 100)) \
        $(((cpu - times_cpu) / 100)) $(((cpu - times_cpu) % 100))
    times_now=$now times_cpu=$cpu
}
times_now=${EPOCHREALTIME/./} times_cpu=0

# Not in a subshell, so that the command may start and stop processes.
claim() {
    local name=$1 output=$work/claim.txt
    shift
    if "$@" >"$output" 2>&1; then
        echo "ok $name"
        [[ ${TIMES-} != 1 ]] || _print_times
        return 0
    else
        failures=$((failures + 1))
        echo "not ok $name - $(grep -m 1 . "$output" | cut -c 1-200)"
        sed 's/^/  /' "$output"
        return 1
    fi
}

skip() {
    echo "skip $1 - $2"
}

says() {
    local text=$1 wanted=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "$output"
    [[ $output == *"$text"* ]] && ((status == wanted))
}

says_not() {
    local text=$1 output
    output=$("${@:3}" 2>&1)
    [[ $? == "$2" && $output != *"$text"* ]] || {
        echo "$output"
        return 1
    }
}

together() {
    local most=$1 function=$2 outer=$work argument pid
    local -A running=()
    shift 2
    for argument; do
        if ((${#running[@]} >= most)); then
            wait -n -p pid "${!running[@]}"
            unset "running[$pid]"
        fi
        (
            trap stop_all EXIT
            names=() pids=() failures=0
            work=$outer/$argument
            mkdir -p "$work" && "$function" "$argument"
            : >"$outer/$argument.ended"
        ) >"$outer/$argument.txt" 2>&1 &
        running[$!]=$argument
    done
    wait "${!running[@]}"
    for argument; do
        cat "$outer/$argument.txt"
        [[ -e $outer/$argument.ended ]] || echo "not ok $argument - it ended early" | tee -a "$outer/$argument.txt"
        ! grep -q '^not ok' "$outer/$argument.txt" || failures=$((failures + 1))
    done
}

done_testing() {
    echo "all tests ran"
    ((failures == 0))
}

skip_all() {
    skip "$1" "$2"
    done_testing
    exit
}
