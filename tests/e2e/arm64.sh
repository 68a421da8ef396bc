#!/bin/bash
# arm64.sh - the program and its tests, cross-compiled for arm64 without warnings, run in a root of
# arm64 under qemu: unit tests, a round of SIGKILL, golden directories that amd64 wrote, and the
# package for AWS Lambda. Compiles everything once, and qemu takes ten times as long as a machine, so
# it runs with LONG=1 only.

. tests/lib.sh
everything="the program on arm64"
[[ ${LONG-} == 1 ]] || skip_all "$everything" "only with LONG=1"
unset LONG # the tests inside do what every check does
for program in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ qemu-aarch64-static; do
    command -v "$program" >/dev/null || skip_all "$everything" "no $program"
done
packages=$work/packages
# What the scripts find inside.
export BUILD=build/release TOOLS=build/release/tools PEERS=build/peers SAMPLES=

inside() { # COMMAND...
    SCRATCH=$(mktemp -d "$work/XXXXXX") packaging/arm64/enter "$@"
}

makes_root() {
    [[ -d build/arm64/root/project ]] || packaging/arm64/make_root
}

builds() {
    packaging/arm64/make -j "$(nproc)" --silent program tests test-tools
}

passes() { # SCRIPT
    inside "$1" >"$work/output.txt" 2>&1
    local status=$?
    grep -v '^ok ' "$work/output.txt" | tail -n 60
    ((status == 0)) && grep -q '^ok ' "$work/output.txt" && ! grep -q '^not ok ' "$work/output.txt"
}

# qemu has no filters of system calls, 0 in place of the memory in /proc/self/stat, and a fork in
# place of posix_spawn(), which then does not report a program that is missing. Of TCP_INFO it gives
# the first four bytes, so that a client whose header is late gets no answer.
beyond_qemu='^not ok (app/(confine|process_metrics)|backend/aws/(credentials|process))_test(:| -) '
beyond_qemu+='|^not ok net/http_limits_test: test_dripped_header_meets_its_deadline'
beyond_qemu+='|^not ok net/http_conn_test(: test_request_that_was_cut_off_gets_no_second_answer| - took)'

passes_unit_tests() {
    inside tests/run.sh unit corpora >"$work/unit.txt" 2>&1
    tail -n 100 "$work/unit.txt"
    grep -q '^[1-9][0-9]* passed, ' "$work/unit.txt" && ! grep '^not ok ' "$work/unit.txt" | grep -vE "$beyond_qemu"
}

has_package() {
    ARCHITECTURE=arm64 packaging/make_deb "$packages" && [[ $(dpkg-deb -f "$packages"/firekeep_*_arm64.deb Architecture) == arm64 ]] &&
        dpkg-deb -f "$packages"/firekeep_*_arm64.deb Depends | grep -q 'libzstd1 .*zlib1g'
}

claim "a root of arm64 is made" makes_root || exit 1
claim "the program and its tests compile for arm64 without warnings" builds || exit 1
inside true
(($? != 125)) || skip_all "the program under qemu" "neither binfmt_misc in a user namespace nor proot works here"
claim "it says that it is for arm64" eval "inside build/firekeep version | grep ' arm64, '"
ROUNDS=1 claim "SIGKILL loses nothing that was acknowledged" passes tests/crash/kill.sh
claim "directories that amd64 wrote are read exactly, and continue to be used" passes tests/e2e/golden.sh
claim "unit tests and corpora pass" passes_unit_tests
grep -E "$beyond_qemu" "$work/unit.txt" | while read -r _ _ name; do
    skip "$name" "qemu lacks what it tests"
done
claim "a package for arm64 is made" has_package
runs_in_lambda() {
    mkdir -p "$work/lambda"
    BUILD=build/release ARCHITECTURE=arm64 SCRATCH=$work/lambda packaging/arm64/enter --here tests/e2e/lambda.sh >"$work/lambda.txt" 2>&1
    local status=$?
    grep -v '^ok ' "$work/lambda.txt" | tail -n 60
    ((status == 0)) && ! grep -q '^not ok ' "$work/lambda.txt" && grep -q '^all tests ran' "$work/lambda.txt"
}
if packaging/arm64/enter --here true; then
    claim "the package for AWS Lambda is made, and runs there" runs_in_lambda
else
    skip "the package for AWS Lambda is made, and runs there" "binfmt_misc does not work in a user namespace"
fi
done_testing
