#!/bin/bash
# container.sh - the container image: small, readable by other tools, the same each time; run by crun
# as its user on a read-only root, with a memory limit that Firekeep obeys.

. tests/lib.sh
for program in umoci skopeo; do
    command -v "$program" >/dev/null || skip_all "the container image" "no $program"
done
read -r port < <(free_ports 1)
url=http://127.0.0.1:$port
out=$work/container
version=$(build/firekeep version | cut -d ' ' -f 2)

builds() {
    packaging/container/build "$out" && mv "$out/firekeep.oci.tar" "$work/first.tar"
}

is_the_same_again() {
    (umask 077 && TZ=Asia/Tokyo packaging/container/build "$out") && cmp "$out/firekeep.oci.tar" "$work/first.tar"
}

# The layers as they are transferred.
is_small() {
    local bytes
    bytes=$(find "$out/image/blobs" -type f -printf '%s\n' | awk '{ all += $1 } END { print all }')
    echo "$bytes bytes"
    ((bytes <= 20 << 20))
}

is_an_image() {
    skopeo inspect --config "oci:$out/image:$version" >"$work/config.json" && skopeo copy -q "oci-archive:$out/firekeep.oci.tar:$version" "dir:$work/copied" &&
        jq -e '.config.User == "65532:65532" and .config.StopSignal == "SIGTERM" and .config.Entrypoint == ["/usr/bin/firekeep"] and
            (.config.Volumes | has("/var/lib/firekeep")) and (.config.ExposedPorts | has("9201/tcp"))' "$work/config.json"
}

has_no_shell() {
    umoci unpack --rootless --image "$out/image:$version" "$work/bundle" >"$work/unpack.log" 2>&1 || return 1
    ! find "$work/bundle/rootfs" -type f -perm /111 ! -path '*/usr/lib/*' ! -path '*/usr/bin/firekeep' | grep .
}

# --- run by crun -------------------------------------------------------------------------------------

# crun refuses a machine with both versions of control groups, as some sandboxes have: it is shown one.
crun_here() { # WORD...
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount sh -c 'umount /sys/fs/cgroup/unified /sys/fs/cgroup/systemd 2>/dev/null; exec crun --root "$0" "$@"' "$work/crun" "$@"
}

# As `docker run --read-only --memory 256m` does, but in the network of this machine.
prepare() {
    local config
    rm -rf "$work/bundle" "$work/data" && mkdir -p "$work/data" && chown 65532:65532 "$work/data"
    umoci unpack --image "$out/image:$version" "$work/bundle" >"$work/unpack.log" 2>&1 || return 1
    config=$(jq --arg data "$work/data" --arg port "$port" '.root.readonly = true | .process.terminal = false |
        .process.args[-1] = "--web.listen-address=127.0.0.1:\($port)" | .linux.resources.memory.limit = 268435456 |
        .linux.namespaces |= map(select(.type != "network")) | .mounts |= map(select(.type != "sysfs")) +
        [{destination: "/var/lib/firekeep", type: "bind", source: $data, options: ["rbind", "rw"]},
         {destination: "/sys", type: "tmpfs", source: "tmpfs"},
         {destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"]},
         {destination: "/tmp", type: "tmpfs", source: "tmpfs"}]' "$work/bundle/config.json") && echo "$config" >"$work/bundle/config.json"
}

# Some machines, a chroot among them, let nobody make containers: a program of this machine shows it.
crun_works_here() {
    mkdir -p "$work/probe/rootfs/usr" && ln -s usr/lib usr/lib64 "$work/probe/rootfs/" && (cd "$work/probe" && crun spec) || return 1
    local config
    config=$(jq '.process.terminal = false | .process.args = ["/usr/bin/true"] | .linux.resources.memory.limit = 268435456 |
        .mounts += [{destination: "/usr", type: "bind", source: "/usr", options: ["rbind", "ro"]}]' "$work/probe/config.json") && echo "$config" >"$work/probe/config.json"
    crun_here run --bundle "$work/probe" "firekeep-probe-$port" >"$work/probe.log" 2>&1
}

runs() {
    start contained unshare --mount sh -c 'umount /sys/fs/cgroup/unified /sys/fs/cgroup/systemd 2>/dev/null; exec crun --root "$0" run --bundle "$1" firekeep-test-"$2"' \
        "$work/crun" "$work/bundle" "$port"
    wait_ready contained "$url/-/ready" || {
        tail "$work/contained.log"
        return 1
    }
}

is_healthy_inside() {
    crun_here exec "firekeep-test-$port" /usr/bin/firekeep health --ready --url="$url"
}

has_the_limit() {
    local bytes
    bytes=$(curl -fs --noproxy '*' "$url/metrics" | sed -n 's/^firekeep_memory_limit_bytes{budget="process"} //p')
    echo "$bytes"
    ((bytes > 0 && bytes <= 268435456))
}

runs_as_its_user() {
    [[ $(stat -c %u "$work/data/FORMAT") == 65532 ]]
}

stores() {
    printf 'a 1 1700000000\n# EOF\n' >"$work/a.txt" && build/firekeep import --url="$url" "$work/a.txt"
}

ends_by_sigterm() {
    crun_here kill "firekeep-test-$port" TERM && within 30 eval '! is_running contained' && grep -q 'msg=stopped' "$work/contained.log"
}

claim "the image is made" builds || exit 1
claim "it is the same, byte for byte, when it is made again" is_the_same_again
claim "it has at most 20 MiB" is_small
claim "other tools read it, with user, signal, volume and port" is_an_image
claim "it has no program but Firekeep" has_no_shell
if [[ $(id -u) == 0 ]] && command -v crun >/dev/null && crun_works_here; then
    claim "it is unpacked for crun" prepare
    if claim "crun runs it on a read-only root" runs; then
        claim "its probe says that it is ready" is_healthy_inside
        claim "it obeys the memory limit of its control group" has_the_limit
        claim "it writes as its user" runs_as_its_user
        claim "it stores samples" stores
        claim "SIGTERM ends it, and it finishes its work" ends_by_sigterm
    fi
else
    skip "crun runs it on a read-only root" "not root, or $(tail -n 1 "$work/probe.log" 2>/dev/null || echo no crun)"
fi
done_testing
