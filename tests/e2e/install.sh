#!/bin/bash
# install.sh - the result of `make install`: files that every user can read, a configuration that is
# valid at its location, and a unit that systemd accepts.

. tests/lib.sh
stage=$work/stage

# Installs with the umask of a root whose files others cannot read.
installs() {
    (umask 077 && make -s --no-print-directory install PREFIX=/usr DESTDIR="$stage")
}

everybody_can_read() {
    local hidden
    hidden=$(find "$stage/usr" \( -type d ! -perm -005 -o -type f ! -perm -004 \) -print)
    echo "$hidden"
    [[ -z $hidden ]]
}

is_valid() {
    "$stage/usr/bin/firekeep" check "$stage/usr/share/firekeep/firekeep.yml"
}

# What is commented out, too.
examples_are_valid() {
    sed '/^#[a-z]/,/^$/s/^#//; /config_file:/d' "$stage/usr/share/firekeep/firekeep.yml" >"$stage/usr/share/firekeep/examples.yml"
    grep -c '^[a-z]' "$stage/usr/share/firekeep/examples.yml" && "$stage/usr/bin/firekeep" check "$stage/usr/share/firekeep/examples.yml"
}

# Its paths are those below PREFIX: here, of the stage.
systemd_accepts() {
    mkdir -p "$work/unit" && sed "s|/usr/|$stage/usr/|g" "$stage/usr/lib/systemd/system/firekeep.service" >"$work/unit/firekeep.service" &&
        systemd-analyze verify "$work/unit/firekeep.service" >"$work/verify.txt" 2>&1
    local status=$?
    cat "$work/verify.txt"
    ((status == 0)) && ! grep firekeep "$work/verify.txt"
}

# At most 1.2 of 10, as systemd rates what the process could do to the machine.
is_confined() {
    systemd-analyze security --offline=true --no-pager --threshold=12 packaging/firekeep.service >"$work/security.txt" 2>&1
    local status=$?
    grep -E '^✗|Overall' "$work/security.txt"
    ((status == 0))
}

claim "everything is installed" installs
claim "everybody can read it, whatever the umask" everybody_can_read
claim "its configuration is valid" is_valid
claim "so are the examples in it" examples_are_valid
if command -v systemd-analyze >/dev/null; then
    claim "systemd accepts its unit" systemd_accepts
    claim "systemd rates the exposure of its unit as at most 1.2" is_confined
    claim "systemd starts it again after a SIGHUP that came too early" \
        grep -x RestartForceExitStatus=SIGHUP packaging/firekeep.service
else
    skip "systemd accepts its unit" "no systemd-analyze"
    skip "systemd rates the exposure of its unit as at most 1.2" "no systemd-analyze"
fi
done_testing
