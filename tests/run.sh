#!/bin/bash
# run.sh [STAGE...] - runs what is built and sums it up; called by ./check and make check.
#
# Stages: source build-gcc unit corpora build-clang crash e2e. The last line is "N passed, N failed"
# and, if there are any, ", N skipped"; the status is 0 if nothing failed. Failures are printed in
# full, each stage and script when it begins; everything else goes to build/check/*.log. Afterwards
# the source tree must have the same files as before: tests write only below build/. CHECK_JOBS (one
# more than there are processors, 5 at most) run at a time, of scripts four more, 7 at most. Only
# build-gcc ends before the next stage begins, and what takes long begins first.
# build/check/times.txt has the times of each: seconds, seconds of CPU in programs, seconds of CPU
# in the kernel, name of its log.
#
# A script under tests/e2e or tests/crash prints `ok NAME`, `not ok NAME - reason` or `skip NAME -
# reason` for each of its tests and `all tests ran` at its end (done_testing of tests/lib.sh), runs
# in the project's directory, and finds there build/firekeep. In its environment: BUILD
# (build/release), TOOLS ($BUILD/tools), PEERS (build/peers), PORTS_FROM (1750 ports of its own),
# ROUNDS (repetitions of a crash test), SCRATCH (an empty directory of its own), SAMPLES (a
# directory of captured write requests, *.rw; empty if there is none). tests/lib.sh has the
# functions for it.

set -u
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export LC_ALL=C.UTF-8
export BUILD=${BUILD:-build/release}
export TOOLS=$BUILD/tools PEERS=build/peers
logs=build/check
long=${LONG:-0}
export ROUNDS=${ROUNDS:-$([[ $long == 1 ]] && echo 200 || echo 10)}
# Captures are not part of the source: they may be in a directory next to it.
if [[ -z ${SAMPLES-} ]]; then
    SAMPLES=$(compgen -G '../*/data/*.rw' | head -n 1)
    SAMPLES=${SAMPLES%/*}
fi
export SAMPLES
export PYTHONDONTWRITEBYTECODE=1 # no file is written into the source tree
export GOGC=400 # Prometheus and other peers in Go collect garbage less often
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-second_deadlock_stack=1}
unit_seconds=$([[ $BUILD == build/release ]] && echo 300 || echo 900)
((long == 0)) || unit_seconds=3600
script_seconds=$([[ $long == 1 ]] && echo 7200 || echo 900)
passed=0
failed=0
skipped=0
jobs=${CHECK_JOBS:-$(($(nproc) + 1))} # number of simultaneous jobs: unit tests wait for disks half of their time
((jobs <= 5)) || jobs=5

pass() {
    passed=$((passed + 1))
}

fail() { # NAME [REASON]
    failed=$((failed + 1))
    echo "not ok $1${2:+ - $2}"
}

skip() { # NAME REASON
    skipped=$((skipped + 1))
    echo "skip $1${2:+ - $2}"
}

announce() { # WHAT BEGINS
    printf '[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"
}

# --- a pool ---------------------------------------------------------------------------------------
# What is begun runs beside others, and is counted in the order in which it was begun.

declare -A running=() # number of the slot by process
pids=()               # by number of start
statuses=()           # the same; empty: not ended
counting=()           # the same: the function that counts it, and its arguments
counted=0

stop_children() {
    local pid
    for pid in "${!running[@]}"; do
        kill -KILL -- "-$pid" 2>/dev/null
    done
    running=()
}
trap stop_children EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Waits until one has ended, ends the rest of its process group, and counts all that can be counted.
pool_turn() {
    local pid='' status i count
    wait -n -p pid "${!running[@]}" 2>/dev/null # else bash reports signals
    status=$?
    [[ -n $pid ]] || return
    kill -KILL -- "-$pid" 2>/dev/null
    unset "running[$pid]"
    for i in "${!pids[@]}"; do
        [[ ${pids[i]} != "$pid" || -n ${statuses[i]} ]] || statuses[i]=$status
    done
    while ((counted < ${#pids[@]})) && [[ -n ${statuses[counted]} ]]; do
        eval "count=(${counting[counted]})"
        "${count[@]}" "${statuses[counted]}"
        counted=$((counted + 1))
    done
}

free_slot() {
    local slot
    for ((slot = 0; slot < jobs; slot++)); do
        [[ " ${running[*]} " == *" $slot "* ]] || break
    done
    echo "$slot"
}

# pool_run SECONDS LOG COUNT COMMAND...: COUNT, words for the shell, is called with the status as
# the last word: that of the command, or 124 after a timeout. The command has ports of its own.
pool_run() {
    local seconds=$1 log=$2 count=$3 slot
    shift 3
    while ((${#running[@]} >= jobs)); do
        pool_turn
    done
    slot=$(free_slot)
    # shellcheck disable=SC2016 # the inner shell's own arguments
    PORTS_FROM=$((20000 + slot * 1750)) setsid timeout --kill-after=10 "$seconds" bash -c '
        TIMEFORMAT="%R %U %S ${0##*/}"
        { time "${@:2}" >"$0" 2>&1; } 2>>"$1"' "$log" "$logs/times.txt" "$@" </dev/null &
    running[$!]=$slot
    pids+=($!)
    statuses+=('')
    counting+=("$count")
}

pool_end() {
    while ((${#running[@]} > 0)); do
        pool_turn
    done
}

# --- counting -------------------------------------------------------------------------------------

ended_how() { # STATUS
    case $1 in
    0) echo "ended early" ;;
    124 | 137) echo "took too long or was killed (status $1)" ;;
    *) echo "ended with status $1" ;;
    esac
}

# The tail of a log, indented, below a failure.
print_log() {
    tail -n "${2:-60}" "$1" | sed 's/^/    /'
    echo "    (log: $1)"
}

count_build() { # NAME LOG STATUS
    local name=$1 log=$2 status=$3
    if ((status == 0)); then
        pass
        return 0
    fi
    fail "$name" "$(ended_how "$status")"
    grep -E 'error:|Error |[*][*][*]' "$log" | head -n 20 | sed 's/^/    /'
    echo "    (log: $log)"
    return 1
}

# Counts what compiled with warnings only; a newer gcc than Debian 13's may warn of more.
count_warnings() {
    local version file source warned=()
    version=$(gcc -dumpversion)
    while IFS= read -r file; do
        source=${file#"$BUILD"/}
        source=${source#unit/}
        source=${source%.o.warned}
        [[ ! -d $source && ! -e $source.c && ! -e $source.cc ]] || warned+=("$file")
    done < <(find "$BUILD" -name '*.o.warned' | sort)
    if ((${#warned[@]} == 0)); then
        pass
    elif ((${version%%.*} > 14)); then
        skip "all compiles without warnings" "gcc $version warns of ${#warned[@]} files"
    else
        fail "all compiles without warnings" "gcc $version warns of ${#warned[@]} files"
        grep -h 'warning:\|error:' "${warned[@]}" | head -n 20 | sed 's/^/    /'
    fi
}

# Without a program there is nothing to test; with warnings there is.
stage_build_gcc() {
    local log=$logs/build-gcc.log
    make --no-print-directory -j "$(nproc)" CC=gcc CXX=g++ program tests test-tools bench-tools >"$log" 2>&1
    count_build build-gcc "$log" $? || return
    count_warnings
}

# Nothing waits for it: it has the time that tests leave.
stage_build_clang() {
    local log=$logs/build-clang.log
    pool_run 1800 "$log" "count_build build-clang $log" nice -n 19 make --no-print-directory -j "$(nproc)" \
        CC="clang-${CLANG:-14}" CXX="clang++-${CLANG:-14}" BUILD=build/clang syntax
}

# cmocka's TAP: "ok N - NAME", "not ok N - NAME", and "not ok N # SKIP NAME", from 1.1.7 on "ok N # SKIP NAME".
count_tap() { # BINARY LOG STATUS
    local name=$1 log=$2 status=$3 line planned=0 told=0 bad=0
    while IFS= read -r line; do
        case $line in
        1..*) planned=$((planned + ${line#1..})) ;;
        *'ok '*' # SKIP '*)
            told=$((told + 1))
            skip "$name: ${line#*# SKIP }"
            ;;
        'ok '*)
            told=$((told + 1))
            pass
            ;;
        'not ok '*)
            told=$((told + 1))
            bad=$((bad + 1))
            fail "$name: ${line#* - }"
            ;;
        esac
    done < <(grep -aE '^(1\.\.[0-9]+$|ok [0-9]+ (- |# SKIP )|not ok [0-9]+ )' "$log")
    if ((told < planned || planned == 0)); then
        bad=$((bad + 1))
        fail "$name" "$(ended_how "$status") after $told of $planned tests"
    elif ((status != 0 && bad == 0)); then
        bad=1
        fail "$name" "$(ended_how "$status")"
    fi
    ((bad == 0)) || print_log "$log"
}

count_source() { # CLAIM LOG STATUS
    if (($3 == 0)); then
        pass
    else
        fail "$1"
        print_log "$2"
    fi
}

check_source() { # CLAIM COMMAND...
    local log
    log=$logs/source-$(basename "$2" .py).log
    pool_run 300 "$log" "count_source ${1@Q} $log" "${@:2}"
}

stage_source() {
    check_source 'each include is one that docs/rooms.txt allows' tests/includes.py
    check_source 'comments and documents name files that exist, and comments have their lines' tests/named_files.py
    check_source 'documents quote texts that exist' tests/quoted_messages.py
    check_source 'names of tests are short claims in plain English' tests/test_names.py
    check_source 'docs/security.md lists the routes of src/api (make routes writes them)' \
        tests/routes.py --check docs/security.md
    check_source 'tests that tests/attacks.txt names exist' tests/named_tests.py
    check_source 'secrets and signatures are compared in constant time' tests/constant_time.py
    check_source 'tests/golden/messages.txt lists the texts that users see (make messages writes it)' \
        tests/messages.py --check tests/golden/messages.txt
}

# Prints the input's lines, sorted, after those of them that are PREFIX, one of NAME... and SUFFIX, in the order of NAME.
slow_first() { # PREFIX SUFFIX NAME...
    sort | awk 'NR == FNR { rank[$0] = NR; next } { print ($0 in rank ? rank[$0] : 1000 + FNR), $0 }' \
        <(printf "$1%s$2\n" "${@:3}") - | sort -n | cut -d ' ' -f 2-
}

# More than ten seconds each.
slow_tests=(tsdb/tsdb_fault tsdb/tsdb_memory tsdb/tsdb_crash sim/server sim/server_life tsdb/tsdb_damage tsdb/tsdb_replay
    net/http_limits relay/relay_fill relay/relay_lost)

stage_unit() {
    local binary name log
    local -x CMOCKA_MESSAGE_OUTPUT=TAP MALLOC_PERTURB_=165 # reads of freed memory return this
    while IFS= read -r binary; do
        name=${binary#"$BUILD"/test/}
        log=$logs/unit-${name//\//-}.log
        pool_run "$unit_seconds" "$log" "count_tap $name $log" "$binary"
    done < <(find "$BUILD/test" -type f -name '*_test' | slow_first "$BUILD/test/" _test "${slow_tests[@]}")
    stage_promql
}

# Counts the result of promqlrun: a line for each script, and the sum.
count_promql() { # NAME LOG STATUS
    local name=$1 log=$2 status=$3 line bad=0
    while IFS= read -r line; do
        if [[ $line == *': '[1-9]*' passed, 0 failed' ]]; then
            pass
        else
            bad=$((bad + 1))
            fail "$name: $line"
        fi
    done < <(grep -aE '^[^ ]+[.]test: [0-9]+ passed, [0-9]+ failed$' "$log")
    if ((bad == 0)) && { ((status != 0)) || ! tail -n 1 "$log" | grep -qE '^[1-9][0-9]* passed, 0 failed$'; }; then
        bad=1
        fail "$name" "$(ended_how "$status")"
    fi
    ((bad == 0)) || print_log "$log"
}

run_promql() { # NAME ARGUMENT...
    local log=$logs/$1.log
    pool_run "$unit_seconds" "$log" "count_promql $1 $log" "$TOOLS/promqlrun" "${@:2}"
}

# Scripts in Prometheus' language, with the product's settings and with those that Prometheus' own tests
# have, over the head and over parts. Those in a folder are for the features that it names, and some of
# the other project's scripts expect delayed-name-removal.
stage_promql() {
    local ours=(tests/promql/scripts/*.test) others=("${SAMPLES:-.}"/../promqltest/*.test) plain=()
    local folder name features script
    run_promql promql-ours --features '' "${ours[@]}"
    run_promql promql-ours-parts --features '' --flush --shards 3 "${ours[@]}"
    run_promql promql-ours-features "${ours[@]}"
    run_promql promql-ours-features-parts --flush "${ours[@]}"
    run_promql promql-ours-features-shards --shards 3 --measured "${ours[@]}"
    for folder in tests/promql/scripts/*/; do
        name=promql-$(basename "$folder")
        features=${name#promql-}
        [[ $features != plain ]] || features=
        run_promql "$name" --features "$features" "$folder"*.test
        run_promql "$name-parts" --features "$features" --flush --shards 3 "$folder"*.test
    done
    if [[ ! -f ${others[0]} ]]; then
        skip "Prometheus' own scripts" "there are none beside the captures"
        return
    fi
    for script in "${others[@]}"; do
        [[ $script =~ /(name_label_dropping|histograms|native_histograms).test$ ]] || plain+=("$script")
    done
    run_promql promql-others-plain --features '' "${plain[@]}"
    run_promql promql-others-names --features delayed-name-removal "${others[@]}"
    run_promql promql-others "${others[@]}"
    run_promql promql-others-parts --flush --measured "${others[@]}"
    run_promql promql-others-shards --flush --shards 3 "${others[@]}"
}

count_corpus() { # NAME LOG STATUS
    local name=$1 log=$2 status=$3
    if ((status != 0)); then
        fail "corpus $name" "$(ended_how "$status")"
        print_log "$log"
    elif ! grep -qE '^[1-9][0-9]* inputs replayed$' "$log"; then
        fail "corpus $name" "no input was replayed"
    else
        pass
    fi
}

stage_corpora() {
    local binary name corpus log
    local -x MALLOC_PERTURB_=165
    while IFS= read -r binary; do
        name=${binary#"$BUILD"/replay/}
        name=${name%_fuzz}
        corpus=tests/corpus/$name
        log=$logs/corpus-${name//\//-}.log
        if [[ ! -d $corpus ]]; then
            fail "corpus $name" "$corpus is not there"
            continue
        fi
        pool_run "$unit_seconds" "$log" "count_corpus $name $log" "$binary" "$corpus"
    done < <(find "$BUILD/replay" -type f -name '*_fuzz' | sort)
}

count_script() { # NAME LOG SCRATCH STATUS
    local name=$1 log=$2 scratch=$3 status=$4 line told=0 bad=0
    while IFS= read -r line; do
        told=$((told + 1))
        case $line in
        'ok '*) pass ;;
        'skip '*) skip "$name: ${line#skip }" ;;
        'not ok '*)
            bad=$((bad + 1))
            fail "$name: ${line#not ok }"
            ;;
        esac
    done < <(grep -aE '^(ok|not ok|skip) ' "$log")
    if ((told == 0)) || { ((bad == 0)) && { ((status != 0)) || ! grep -qx 'all tests ran' "$log"; }; }; then
        bad=$((bad + 1))
        fail "$name" "$(ended_how "$status") after telling of $told tests"
    fi
    if ((bad == 0)); then
        rm -rf "$scratch"
    else
        print_log "$log"
    fi
}

# More than fifty seconds each; a long one that begins last runs alone.
slow_scripts=(rules_long rules_disks web_page destinations_hour destinations_delivery destinations_state
    destinations_behind destinations_objects rules_replay alerts_cluster jwt_in promtool aws copy source_influxdb
    destinations_refused noninterference rules_operators source_archive source_timestream import_export replicas
    source_remote_read lambda scaling package)

# A script mostly waits, for a deadline, a retry, a disk: four more than of other jobs, as far as there are ports below
# those that the system gives away.
stage_scripts() { # KIND
    local kind=$1 script name log scratch jobs=$((jobs < 3 ? jobs + 4 : 7))
    for script in $(printf '%s\n' tests/"$kind"/*.sh | slow_first "tests/$kind/" .sh "${slow_scripts[@]}"); do
        name=$kind/$(basename "$script" .sh)
        log=$logs/${name//\//-}.log
        scratch=$PWD/$logs/scratch-${name//\//-}
        rm -rf "$scratch"
        mkdir -p "$scratch"
        announce "$name"
        pool_run "$script_seconds" "$log" "count_script $name $log ${scratch@Q}" \
            env SCRATCH="$scratch" bash "$script"
    done
}

# The names of all files but those that may change.
list_tree() {
    find . \( -path ./build -o -path ./data -o -path ./.git \) -prune -o -print | sort
}

check_tree() {
    local changed
    changed=$(list_tree | diff "$logs/tree.txt" - | grep '^[<>]')
    if [[ -z $changed ]]; then
        pass
    else
        fail "the source tree holds the same files as before"
        sed 's/^</    gone: /; s/^>/    new: /' <<<"$changed"
    fi
}

summary() {
    local line="$passed passed, $failed failed"
    ((skipped == 0)) || line+=", $skipped skipped"
    echo "$line"
    ((failed == 0))
}

mkdir -p "$logs" || exit 1
: >"$logs/times.txt"
list_tree >"$logs/tree.txt"
for stage; do
    case $stage in
    e2e | crash) ;; # each script is announced
    *) announce "$stage" ;;
    esac
    case $stage in
    build-gcc) stage_build_gcc || break ;;
    build-clang) stage_build_clang ;;
    source) stage_source ;;
    unit) stage_unit ;;
    corpora) stage_corpora ;;
    e2e | crash) stage_scripts "$stage" ;;
    *) fail "$stage" "no such stage" ;;
    esac
done
pool_end
check_tree
summary
