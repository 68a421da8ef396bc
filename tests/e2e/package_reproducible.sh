#!/bin/bash
# package_reproducible.sh - the Debian package and that of its debug symbols are the same, byte for
# byte, from two copies of the source in other paths, with other times of files, umasks, locales, time
# zones and numbers of jobs, built one after the other. Compiles everything twice, so it runs with LONG=1 only.

. tests/lib.sh
[[ ${LONG-} == 1 ]] || skip_all "the package is reproducible" "only with LONG=1"
command -v localedef >/dev/null || skip_all "the package is reproducible" "no localedef"
one=$work/one two="$work/another/deeper/path of two"

copy_to() { # DIRECTORY UMASK DATE
    (umask "$2" && mkdir -p "$1" && git ls-files -z | tar -c --null -T - | tar -x --no-same-permissions -C "$1") &&
        find "$1" -exec touch -h -d "$3" {} +
}

build_in() { # DIRECTORY UMASK COMMAND...
    (umask "$2" && cd "$1" && CCACHE_DISABLE=1 "${@:3}" packaging/make_deb)
}

# Upper case of Turkish is not that of English, and its numbers have a comma.
build_elsewhere() {
    mkdir -p "$work/locales" && localedef -i tr_TR -f UTF-8 "$work/locales/tr_TR.UTF-8" || return 1
    build_in "$two" 0077 env JOBS=1 TZ=Asia/Tokyo LOCPATH="$work/locales" LC_ALL=tr_TR.UTF-8
}

# The parts that differ, if some do.
are_equal() { # PACKAGE
    local first second
    first=$(compgen -G "$one/build/package/$1_*.deb") && second=$two/build/package/$(basename "$first") || return 1
    cmp "$first" "$second" && return
    command -v diffoscope >/dev/null && diffoscope --max-report-size 20000 "$first" "$second"
    return 1
}

copy_to "$one" 0002 2026-11-28 && copy_to "$two" 0077 2020-02-29 || exit 1
claim "the package builds with two jobs" build_in "$one" 0002 env JOBS=2 TZ=UTC LC_ALL=C || exit 1
claim "it builds elsewhere, later, in Turkish, with one job" build_elsewhere || exit 1
claim "both packages are equal" are_equal firekeep
claim "both packages of debug symbols are equal" are_equal firekeep-dbgsym
done_testing
