#!/bin/bash
# fuzz.sh - runs each built fuzzer for FUZZ_SECONDS (600) on a copy of its corpus. Inputs that it
# finds stay in build/fuzz-corpus/NAME; those that break something are named crash-*, leak-*,
# timeout-*.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
seconds=${FUZZ_SECONDS:-600}
failed=0
count=0
while IFS= read -r fuzzer; do
    count=$((count + 1))
    name=${fuzzer#build/fuzz/fuzz/}
    name=${name%_fuzz}
    corpus=build/fuzz-corpus/$name
    mkdir -p "$corpus"
    [[ ! -d tests/corpus/$name ]] || cp -n tests/corpus/"$name"/* "$corpus"/
    echo "fuzzing $name for $seconds s"
    if ! "$fuzzer" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$corpus/" "$corpus" >"build/fuzz-corpus/$name.log" 2>&1; then
        failed=$((failed + 1))
        echo "not ok $name"
        tail -n 60 "build/fuzz-corpus/$name.log"
    else
        grep -E '^stat::number_of_executed_units' "build/fuzz-corpus/$name.log"
    fi
done < <(find build/fuzz/fuzz -type f -name '*_fuzz' | sort)
echo "$count fuzzers, $failed failed"
((failed == 0))
