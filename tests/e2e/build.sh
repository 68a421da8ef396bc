#!/bin/bash
# build.sh - a build goes on where a compiler warns, unless it is told not to.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh

# --- warnings -------------------------------------------------------------------------------------

# A compiler that warns of every file, as a newer one may.
printf 'static int that_is_not_used;\n' >"$work/warned.h"
printf '#!/bin/sh\nexec gcc -include %s/warned.h "$@"\n' "$work" >"$work/warning-gcc"
chmod +x "$work/warning-gcc"
object=$work/out/src/base/quote.o

makes() { # COMPILER [VARIABLE...]
    env -u WERROR -u MAKEFLAGS make --no-print-directory BUILD="$work/out" LTO= LIB_CFLAGS= CC="$1" "${@:2}" "$object" 2>&1
}

warns() {
    local output
    output=$(makes "$work/warning-gcc") && echo "$output" && [[ $output == *"warning: "*that_is_not_used* && -f $object ]]
}

stops() {
    local output
    output=$(makes "$work/warning-gcc" WERROR=1) && return 1
    echo "$output"
    [[ $output == *"error: "*that_is_not_used* ]]
}

compiles_nothing() {
    local output
    output=$(makes "$@") || return 1
    echo "$output"
    [[ $output != *"  CC "* ]]
}

claim "warnings: a build goes on, and shows them" warns
claim "warnings: with WERROR=1 they are errors, also of what was compiled before" stops
claim "warnings: and again" stops
claim "warnings: without them WERROR=1 is content" makes gcc WERROR=1
claim "warnings: and compiles nothing a second time" compiles_nothing gcc WERROR=1
claim "warnings: nor does a build without it" compiles_nothing gcc
((failures == 0))
