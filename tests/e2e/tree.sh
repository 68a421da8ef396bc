#!/bin/bash
# tree.sh - the relocatable tree: starts wherever it is moved, in a root that has nothing else, and
# without any library of the system.

. tests/lib.sh
read -r port < <(free_ports 1)
tree="$work/some where"
url=http://127.0.0.1:$port

makes_it() {
    ARCHIVE=no packaging/make_tree "$work/tree" && mv "$work"/tree/firekeep-* "$tree"
}

# In a root with the tree alone; by a user namespace where this is not root.
in_the_tree() { # COMMAND...
    if [[ $(id -u) == 0 ]]; then
        chroot "$tree" "$@"
    else
        unshare --user --map-root-user chroot "$tree" "$@"
    fi
}

runs_alone() {
    in_the_tree /bin/firekeep version && in_the_tree /bin/firekeep check /share/firekeep/firekeep.yml
}

serves() {
    start moved "$tree/bin/firekeep" serve --storage.path="$work/data" --web.listen-address="127.0.0.1:$port" --config.file="$tree/share/firekeep/firekeep.yml"
    wait_ready moved "$url/-/ready"
}

# Resolving a name of this machine is what loads name services.
uses_only_its_own() {
    printf 'a 1 1700000000\n# EOF\n' >"$work/a.txt"
    "$tree/bin/firekeep" import --url="http://localhost:$port" "$work/a.txt" || return 1
    local maps
    maps=$(cat "/proc/${pids[-1]}/maps")
    [[ $maps == *"$tree/lib/libc.so.6"* ]] && ! grep -F '.so' <<<"$maps" | grep -vF "$tree/lib/"
}

# A link to it, as in /usr/local/bin, and another name.
starts_by_a_link() {
    ln -s "$tree/bin/firekeep" "$work/keep" && (cd / && "$work/keep" version)
}

names_of_services_are_empty() {
    local module
    for module in "$tree"/lib/libnss_*.so.2; do
        [[ $(readlink -f "$module") == "$tree/lib/libnss_none.so" ]] || return 1
    done
}

two_take_turns() {
    ARCHIVE=no packaging/make_tree "$work/two" &
    local first=$!
    ARCHIVE=no packaging/make_tree "$work/two" && wait $first && "$work"/two/*/bin/firekeep version && rm -rf "$work/two"
}

no_libraries_are_an_error() {
    mkdir "$work/bin"
    printf '#!/bin/sh\nexit 1\n' >"$work/bin/ldd"
    chmod 755 "$work/bin/ldd"
    ! PATH=$work/bin:$PATH ARCHIVE=no packaging/make_tree "$work/none"
}

claim "the tree is made" makes_it || exit 1
claim "two that are made at a time take turns" two_take_turns
claim "a tree whose libraries are not found is not made" no_libraries_are_an_error
claim "it runs in a root that has nothing else" runs_alone
claim "it serves, from a path with a space" serves
claim "it loads no library but its own" uses_only_its_own
claim "a link to it works" starts_by_a_link
claim "modules of name services are replaced" names_of_services_are_empty
claim "SIGTERM ends it with status 0" stop moved
done_testing
