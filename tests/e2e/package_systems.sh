#!/bin/bash
# package_systems.sh - the package on fresh systems, booted with their own systemd: installed,
# upgraded under load, refused, removed, purged. Needs root, systemd-nspawn, debootstrap and minutes
# for each system in SUITES (bookworm and trixie), so it runs with LONG=1 only. The package is built
# on each system, and so is that of the program of commit EARLIER, from which it upgrades; unless
# PACKAGES names a directory that has both.

. tests/lib.sh
[[ ${LONG-} == 1 ]] || skip_all "the package on fresh systems" "only with LONG=1"
for program in systemd-nspawn debootstrap; do
    command -v "$program" >/dev/null || skip_all "the package on fresh systems" "no $program"
done
[[ $(id -u) == 0 ]] || skip_all "the package on fresh systems" "not root"
earlier=${EARLIER:-5f066ae03}
suites=${SUITES:-bookworm trixie}
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -n 1)

# --- a system ----------------------------------------------------------------------------------------

# Runs in the system, or in its root before it boots.
inside() { # COMMAND...
    local enter=(chroot "$root")
    [[ -z $init ]] || enter=(nsenter --target "$init" --mount --uts --ipc --pid --root --wd)
    "${enter[@]}" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

make_system() { # SUITE
    root=$work/$1 init=
    debootstrap --variant=minbase --include=ca-certificates,systemd,systemd-sysv,dbus "$1" "$root" "$mirror" >"$work/$1.debootstrap.log" 2>&1 || return 1
    cp -a /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d "$root/etc/apt/"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cp -a /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null
    printf 'deb %s %s main\n' "$mirror" "$1" >"$root/etc/apt/sources.list"
    inside apt-get update -q
}

# A tree, built with ./run package where it has that; else its program, in the package of this tree.
# Its sources include assert.h through the headers of libraries of Debian 12; those of 13 do not.
build_packages() {
    [[ -z ${PACKAGES-} ]] || {
        cp "$PACKAGES"/firekeep_*.deb "$root/srv/"
        return
    }
    mkdir -p "$root/srv/now" "$root/srv/earlier"
    git ls-files -z | tar -c --null -T - | tar -x -C "$root/srv/now" && git archive "$earlier" | tar -x -C "$root/srv/earlier" || return 1
    inside bash -c 'cd /srv/now && ./run package && mv build/package/*.deb /srv/' || return 1
    inside bash -c 'cd /srv/earlier && cp -r /srv/now/packaging /srv/now/run . && sed -i "s/0.1.0/0.0.9/" src/base/version.h &&
        sed -i "1s/0.1.0/0.0.9/" packaging/debian/changelog &&
        grep -rlZ "\<assert(" src | xargs -0 grep -LZ "#include <assert.h>" | xargs -0 sed -i "1i #include <assert.h>" &&
        packaging/make_deb && mv build/package/firekeep_0.0.9*.deb /srv/'
}

boot() {
    start "system" systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --link-journal=no --console=pipe
    local spawn=${pids[-1]}
    within 60 eval "init=\$(pgrep -P $spawn -x systemd)" && within 60 eval 'inside systemctl is-system-running | grep -q "running\|degraded"'
}

shut_down() {
    inside systemctl poweroff --force
    init=
    stop system
}

# --- claims ------------------------------------------------------------------------------------------

is_healthy() {
    within 30 build/firekeep health --ready --url="$url"
}

installs() { # DEB
    mkdir -p "$root/etc/default"
    echo "FIREKEEP_ARGS=\"--config.file=/etc/firekeep/firekeep.yml --web.listen-address=127.0.0.1:$port\"" >"$root/etc/default/firekeep"
    inside apt-get install -q -y -o Dpkg::Options::=--force-confold "/srv/$1"
}

runs_as_its_user() {
    inside systemctl is-active firekeep && [[ $(inside systemctl show -P User firekeep) == firekeep ]] &&
        [[ $(inside stat -c '%U:%G %a' /var/lib/firekeep) == 'firekeep:firekeep 700' ]] && is_healthy
}

# Imports batches until the file `enough` is there; each is acknowledged, however long it takes.
load() {
    local i=0 t
    while [[ ! -e $work/enough ]]; do
        for t in {1..500}; do
            echo "load{batch=\"$i\"} $t $((1700000000 + t))"
        done >"$work/batch.txt"
        echo '# EOF' >>"$work/batch.txt"
        build/firekeep import --url="$url" --retry=2m "$work/batch.txt" >"$work/import.log" 2>&1 || return 1
        i=$((i + 1))
        echo "$i" >"$work/batches"
    done
}

upgrades_under_load() {
    rm -f "$work/enough" "$work/batches"
    load &
    local loader=$! status
    within 30 test -e "$work/batches" && inside apt-get install -q -y "/srv/$now"
    status=$?
    local before
    before=$(cat "$work/batches")
    within 30 eval "(( \$(cat '$work/batches') > $before ))"
    touch "$work/enough"
    wait "$loader" && ((status == 0)) && [[ $(inside dpkg-query -W -f '${Version}' firekeep) == 0.1.0* ]] && runs_as_its_user
}

has_all_of_the_load() {
    local count
    count=$(build/firekeep query --url="$url" --format=csv --time=1700000600 'sum(count_over_time(load[1h]))' | tail -n 1)
    echo "$count of $(($(cat "$work/batches") * 500))"
    [[ ${count##*,} == $(($(cat "$work/batches") * 500)) ]]
}

refuses_the_older() {
    ! inside apt-get install -q -y --allow-downgrades "/srv/$before" >"$work/refusal.txt" 2>&1 || return 1
    cat "$work/refusal.txt"
    grep -q 'version --check-storage /var/lib/firekeep' "$work/refusal.txt" && runs_as_its_user && has_all_of_the_load
}

takes_the_older_if_told() {
    inside env FIREKEEP_DOWNGRADE=1 apt-get install -q -y --allow-downgrades "/srv/$before" && is_healthy && has_all_of_the_load &&
        inside apt-get install -q -y "/srv/$now" && is_healthy
}

keeps_data_when_removed() {
    inside apt-get remove -q -y firekeep && ! inside systemctl is-active firekeep && [[ -e $root/var/lib/firekeep/FORMAT && -e $root/etc/firekeep/firekeep.yml ]]
}

says_where_data_are_when_purged() {
    inside apt-get purge -q -y firekeep >"$work/purge.txt" 2>&1 || return 1
    cat "$work/purge.txt"
    grep -q 'kept in /var/lib/firekeep' "$work/purge.txt" && [[ -e $root/var/lib/firekeep/FORMAT && ! -e $root/etc/firekeep ]]
}

removes_data_when_asked() {
    inside bash -c 'echo "firekeep firekeep/remove-data boolean true" | debconf-set-selections' && inside apt-get purge -q -y firekeep &&
        [[ ! -e $root/var/lib/firekeep ]]
}

# The unit from source, which has a dynamic user.
runs_from_source() {
    inside bash -c 'cd /srv && dpkg-deb -x "$0" program && install -m 755 program/usr/bin/firekeep /usr/local/bin/' "$now" &&
        install -D -m 644 packaging/firekeep.service "$root/etc/systemd/system/firekeep.service" || return 1
    mkdir -p "$root/etc/default"
    echo "FIREKEEP_ARGS=--web.listen-address=127.0.0.1:$port" >"$root/etc/default/firekeep"
    inside systemctl daemon-reload && inside systemctl start firekeep && within 30 build/firekeep health --url="$url" || return 1
    echo 'before{a="b"} 7 1700000000' >"$work/one.txt"
    echo '# EOF' >>"$work/one.txt"
    build/firekeep import --url="$url" "$work/one.txt" && [[ -L $root/var/lib/firekeep ]]
}

takes_over() {
    inside systemctl stop firekeep
    inside rm /etc/systemd/system/firekeep.service && inside systemctl daemon-reload && installs "$now" && runs_as_its_user && [[ ! -L $root/var/lib/firekeep ]] &&
        [[ $(build/firekeep query --url="$url" --format=csv --time=1700000000 before | tail -n 1) == *,7 ]]
}

takes_the_socket() {
    echo 'FIREKEEP_ARGS="--config.file=/etc/firekeep/firekeep.yml --web.listen-address=fd://firekeep"' >"$root/etc/default/firekeep"
    mkdir -p "$root/etc/systemd/system/firekeep.socket.d"
    printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:%s\n' "$port" >"$root/etc/systemd/system/firekeep.socket.d/port.conf"
    inside systemctl daemon-reload && inside systemctl stop firekeep && inside systemctl enable --now firekeep.socket && build/firekeep health --url="$url"
}

on_a_system() { # SUITE
    claim "$1: a fresh system" make_system "$1" || return
    claim "$1: it boots" boot || return
    claim "$1: ./run package, and the package of the earlier program" build_packages || return
    now=$(basename "$root"/srv/firekeep_0.1.0*.deb) before=$(basename "$root"/srv/firekeep_0.0.9*.deb)
    claim "$1: the earlier program installs" installs "$before"
    claim "$1: it runs as its user" runs_as_its_user
    claim "$1: an upgrade under load" upgrades_under_load
    claim "$1: lost nothing" has_all_of_the_load
    claim "$1: an older version is refused, with advice" refuses_the_older
    claim "$1: an older version is taken if told so" takes_the_older_if_told
    claim "$1: removing keeps the data" keeps_data_when_removed
    claim "$1: purging keeps the data and says where" says_where_data_are_when_purged
    claim "$1: installing goes on with the data" installs "$now"
    claim "$1: all of the load is there" has_all_of_the_load
    claim "$1: purging removes the data if asked" removes_data_when_asked
    claim "$1: the unit from source runs" runs_from_source
    claim "$1: the package takes its data over" takes_over
    claim "$1: systemd may hold the port" takes_the_socket
    claim "$1: it shuts down" shut_down
    rm -rf --one-file-system "$root"
}

for suite in $suites; do
    on_a_system "$suite"
done
done_testing
