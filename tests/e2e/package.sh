#!/bin/bash
# package.sh - the Debian package: builds from what is compiled already, is clean for lintian, and
# what it installs is valid where it will be.

set -u
work=${SCRATCH:?}
# shellcheck source=tests/lib.sh
. tests/lib.sh
out=$work/package stage=$work/stage

lintian_is_content() {
    lintian --allow-root --pedantic "$out"/*.changes >"$work/lintian.txt" 2>&1
    cat "$work/lintian.txt"
    [[ ! -s $work/lintian.txt ]] && (($(grep -c '^firekeep: ' packaging/debian/firekeep.lintian-overrides) <= 3))
}

has_version_of_program() {
    local version
    version=$(dpkg-deb -f "$out"/firekeep_*.deb Version)
    [[ ${version%-*} == $("$stage/usr/bin/firekeep" version | cut -d ' ' -f 2) ]]
}

# Its paths are those of the installed system: here, of the stage.
configuration_is_valid() {
    sed "s|/usr/|$stage/usr/|" "$stage/etc/firekeep/firekeep.yml" >"$work/firekeep.yml"
    "$stage/usr/bin/firekeep" check "$work/firekeep.yml" && grep -q '^/etc/firekeep/firekeep.yml$' "$work/control/conffiles"
}

# Files of the package that its texts name: whole paths, and in the configuration names of documents.
names_files_that_exist() {
    local path bad=0
    while read -r path; do
        [[ -e $stage$path ]] || { echo "$path" && bad=1; }
    done < <(
        grep -rhoE '/usr/(share|lib)/(doc/)?firekeep/[[:alnum:]_./-]*[[:alnum:]]' "$stage"/etc "$units" "$stage/usr/share/doc"
        grep -hoE '[[:alpha:]_/.-]+\.(md|example\.yml)' "$stage/etc/firekeep/firekeep.yml" | sed 's|^|/usr/share/doc/firekeep/docs/|'
    )
    return "$bad"
}

# All but the links to pages about the source.
links_lead_to_files() {
    local file link bad=0
    while IFS=: read -r file link; do
        [[ $link == @(https|LICENSE|CONTRIBUTING.md|../bench/README.md) || -e ${file%/*}/$link ]] ||
            { echo "${file#"$stage"}: $link" && bad=1; }
    done < <(grep -IroE '\]\([[:alnum:]_./-]+' "$stage/usr/share/doc/firekeep" | sed 's/:](/:/')
    return "$bad"
}

unit_is_valid() {
    mkdir -p "$work/unit"
    for unit in firekeep.service firekeep.socket; do
        sed "s|/usr/bin/firekeep|$stage&|" "$units/$unit" >"$work/unit/$unit"
    done
    systemd-analyze verify "$work"/unit/firekeep.{service,socket} >"$work/verify.txt" 2>&1
    local status=$?
    cat "$work/verify.txt"
    ((status == 0)) && ! grep firekeep "$work/verify.txt"
}

unit_is_confined() {
    systemd-analyze security --offline=true --no-pager --threshold=12 "$units/firekeep.service" >"$work/security.txt" 2>&1
    local status=$?
    grep Overall "$work/security.txt"
    ((status == 0)) && grep -q '^User=firekeep$' "$units/firekeep.service" && ! grep -q DynamicUser "$units/firekeep.service"
}

scripts_are_valid() {
    local script
    for script in config preinst postinst prerm postrm; do
        sh -n "$work/control/$script" || return 1
    done
    ! grep -n '#[A-Z]*#' "$work"/control/{config,preinst,postinst,prerm,postrm}
}

# groff finds nothing to say, and each command and setting has its place.
pages_are_complete() {
    local page command flag
    for page in man1/firekeep.1 man5/firekeep.yml.5; do
        MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$stage/usr/share/man/$page.gz" 2>&1 >/dev/null | grep -v 'cannot adjust line'
        GROFF_NO_SGR=1 MANWIDTH=200 man -l -E UTF-8 -Tutf8 "$stage/usr/share/man/$page.gz" 2>/dev/null | sed 's/.\x08//g' >"$work/${page##*/}.txt"
    done >"$work/groff.txt"
    cat "$work/groff.txt"
    [[ ! -s $work/groff.txt ]] || return 1
    for command in $(firekeep_commands); do
        grep -q "^   $command$" "$work/firekeep.1.txt" || return 1
    done
    for flag in $("$stage/usr/bin/firekeep" help serve | sed -n 's/^  --\(\[no-\]\)\{0,1\}\([a-z.-]*\).*/\2/p'); do
        grep -q -- "--$flag" "$work/firekeep.yml.5.txt" || {
            echo "$flag"
            return 1
        }
    done
}

firekeep_commands() {
    "$stage/usr/bin/firekeep" help | sed -n 's/^  \([a-z-]*\)  .*/\1/p' | grep -v '^help$'
}

# What bash offers after the words.
completed() { # WORD...
    bash --norc -c '
        . /usr/share/bash-completion/bash_completion
        . "$1"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
        COMP_LINE=${COMP_LINE// = /=}
        COMP_POINT=${#COMP_LINE} COMP_WORDBREAKS=$'"' \\t\\n\"\\'><=;|&(:'"'
        _firekeep firekeep
        printf "%s\n" "${COMPREPLY[@]}"' bash "$stage/usr/share/bash-completion/completions/firekeep" "$@" 2>/dev/null
}

bash_completes() {
    completed firekeep ser | grep -qx serve &&
        completed firekeep serve --storage.m | grep -qx -- '--storage.mode=' &&
        completed firekeep serve --storage.mode = n | grep -qx none &&
        completed firekeep query --format = c | grep -qx csv &&
        completed firekeep dead-letters r | grep -qx replay
}

# What zsh offers for the last word of a line: its own function for that is replaced by one that prints.
zsh_completed() { # LINE
    # shellcheck disable=SC2016 # expanded by zsh
    timeout 60 zsh -f -c '
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "PS1= PS2=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D
            compadd() {
                local -a offered
                builtin compadd -O offered \"\$@\"
                print -rl -- \"offered \"\$^offered
                builtin compadd \"\$@\"
            }
            last() { print -r -- all of it }
            comppostfuncs=(last)
            bindkey \"^I\" complete-word
            stty -echo; print -r -- read\"\"y"
        zpty -r shell said "*ready*"
        zpty -w -n shell "$2"$'"'\\t'"'
        zpty -r shell said "*all of it*" && print -r -- "$said"
        zpty -d shell' zsh "$stage/usr/share/zsh/vendor-completions" "$1" | tr -d '\r' | sed -n 's/.*offered //p'
}

zsh_completes() {
    zsh_completed 'firekeep ser' | grep -qx serve &&
        zsh_completed 'firekeep serve --storage.m' | grep -qx -- --storage.mode &&
        zsh_completed 'firekeep serve --storage.mode=' | grep -qx none &&
        zsh_completed 'firekeep query --format=c' | grep -qx csv &&
        zsh_completed 'firekeep dead-letters r' | grep -qx replay
}

fish_completed() { # LINE
    HOME=$work timeout 60 fish --no-config -c 'source $argv[1]; complete -C $argv[2]' \
        "$stage/usr/share/fish/vendor_completions.d/firekeep.fish" "$1" | cut -f 1
}

fish_completes() {
    fish_completed 'firekeep ser' | grep -qx serve &&
        fish_completed 'firekeep serve --storage.m' | grep -qx -- --storage.mode &&
        fish_completed 'firekeep serve --storage.mode=' | grep -qx -- --storage.mode=none &&
        fish_completed 'firekeep query --format=c' | grep -qx -- --format=csv &&
        fish_completed 'firekeep dead-letters r' | grep -qx replay
}

# Runs a script of packaging/debian in a namespace of mounts, for the directories of `$work/lib`; what
# would change the machine does nothing. `before` is evaluated first.
runs_script() { # SCRIPT ARGUMENT
    cat >"$work/confmodule" <<'END'
for name in adduser deluser chown install db_fset db_input db_go db_stop; do
    eval "$name() { :; }"
done
db_get() { RET=true; }
END
    sed "s|/var/lib/|$work/lib/|g; s|/usr/share/debconf/confmodule|$work/confmodule|; s|/run/systemd/system|$work/none|" "packaging/debian/firekeep.$1" >"$work/script"
    unshare --user --map-root-user --mount sh -c "cd '$work/lib'; $before; sh ../script $2" 2>"$work/said"
}

empties() { # COMMAND-THAT-MAKES-firekeep
    local before=$1
    rm -rf "$work/lib"
    mkdir -p "$work/lib/other/parts"
    touch "$work/lib/other/"{FORMAT,.hidden,parts/1}
    runs_script postrm "purge && ls -A other firekeep; true" >"$work/left" 2>&1
    [[ ! -e $work/lib/other/parts && ! -e $work/lib/other/FORMAT && ! -e $work/lib/other/.hidden ]] && ! grep -q FORMAT "$work/left"
}

purging_empties_other_disks() {
    empties 'ln -s other firekeep' && [[ ! -L $work/lib/firekeep ]] || return 1
    empties 'mkdir firekeep; mount --bind other firekeep' && grep -q 'is empty, and stays' "$work/said"
}

# The unit from source has its data in private/firekeep; a link of an administrator is left alone.
takes_over() {
    local before=: link
    for link in private other; do
        rm -rf "$work/lib"
        mkdir -p "$work/lib/private/firekeep" "$work/lib/other/firekeep"
        touch "$work/lib/private/firekeep/FORMAT"
        ln -s "$link/firekeep" "$work/lib/firekeep"
        runs_script postinst configure || return 1
        if [[ $link == other ]]; then
            [[ $(readlink "$work/lib/firekeep") == other/firekeep && -e $work/lib/private/firekeep/FORMAT ]] || return 1
        else
            [[ ! -L $work/lib/firekeep && -e $work/lib/firekeep/FORMAT ]] || return 1
        fi
    done
    before='rm firekeep; ln -s private/firekeep firekeep; mount --bind private/firekeep private/firekeep'
    ! runs_script postinst configure && grep -q 'could not be moved' "$work/said" && [[ -e $work/lib/firekeep/FORMAT ]]
}

if unshare -rm true 2>/dev/null; then
    claim "purging empties a directory that is a link or a mount point" purging_empties_other_disks
    claim "only data of the unit from source are taken over" takes_over
else
    skip "purging empties a directory that is a link or a mount point" "no user namespaces here"
    skip "only data of the unit from source are taken over" "no user namespaces here"
fi
claim "the package builds" packaging/make_deb "$out"
mkdir -p "$work/control" && dpkg-deb -x "$out"/firekeep_*.deb "$stage" && dpkg-deb -e "$out"/firekeep_*.deb "$work/control"
units=$(dirname "$(find "$stage" -name firekeep.service)") # Debian 12 and 13 have different places
if command -v lintian >/dev/null; then
    claim "lintian finds nothing, with at most three overrides" lintian_is_content
else
    skip "lintian finds nothing, with at most three overrides" "no lintian"
fi
claim "it has the version of its program" has_version_of_program
claim "its configuration is a valid conffile" configuration_is_valid
claim "the files that it names are in it" names_files_that_exist
claim "its examples listen for this machine only" eval "! grep -rnE '0\\.0\\.0\\.0|[\"=]:[0-9]' '$stage/etc' '$units'"
claim "links of its documents lead to files in it" links_lead_to_files
claim "its scripts are valid" scripts_are_valid
if command -v systemd-analyze >/dev/null; then
    claim "systemd accepts its units" unit_is_valid
    claim "its unit has a fixed user, and an exposure of at most 1.2" unit_is_confined
else
    skip "systemd accepts its units" "no systemd-analyze"
    skip "its unit has a fixed user, and an exposure of at most 1.2" "no systemd-analyze"
fi
claim "man pages have each command and setting, and no warnings" pages_are_complete
claim "bash completes commands, flags and values" bash_completes
for shell in zsh fish; do
    if command -v "$shell" >/dev/null; then
        claim "$shell completes commands, flags and values" "${shell}_completes"
    else
        skip "$shell completes commands, flags and values" "no $shell"
    fi
done
done_testing
