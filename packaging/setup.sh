# shellcheck shell=bash disable=SC2034,SC2154
# setup.sh - sourced by ./run and ./check: the Debian packages we need, and how they get there.
#
# What is installed already is not asked for again, so a second run touches neither apt nor the
# network. The caller sets `program` (for messages) and `root` (the project's directory).

# Debian's programs come first: another python3, node or jq of the caller's need not have, or be,
# what these packages bring. Messages and numbers have one form.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH} LC_ALL=C.UTF-8

BUILD_LIBRARIES=(
    libgnutls28-dev libre2-dev libsnappy-dev libzstd-dev zlib1g-dev libisal-dev
    libxxhash-dev libroaring-dev libjansson-dev libyaml-dev libjemalloc-dev
    libcurl4-gnutls-dev libexpat1-dev libsqlite3-dev libc-ares-dev libcrypt-dev libseccomp-dev
)
BUILD_PACKAGES=(gcc g++ libc6-dev make pkg-config "${BUILD_LIBRARIES[@]}")
# What packaging/make_deb needs besides.
DEB_PACKAGES=(build-essential dpkg-dev debhelper po-debconf lowdown python3)
# The tools under tests/tools.
TOOL_PACKAGES=(protobuf-c-compiler libprotobuf-c-dev)
# What packaging/arm64 builds with on this machine, and what its root has besides.
ARM64_PACKAGES=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user-static)
ARM64_ROOT_PACKAGES=(
    "${BUILD_LIBRARIES[@]}" libc6-dev libprotobuf-c-dev libcmocka-dev
    libc-bin bash coreutils diffutils findutils grep gzip mawk procps sed tar util-linux base-passwd
    ca-certificates curl
)
PEER_PACKAGES=(prometheus prometheus-node-exporter prometheus-alertmanager influxdb influxdb-client curl)
# Debian 13 has another clang and no ClickHouse; tests that need it are skipped.
export CLANG=14
CLICKHOUSE_PACKAGES=(clickhouse-server)
if (. /etc/os-release && [[ $ID == debian && ${VERSION_ID:-14} -ge 13 ]]) 2>/dev/null; then
    CLANG=19
    CLICKHOUSE_PACKAGES=()
fi
TEST_PACKAGES=(
    "clang-$CLANG" "libclang-rt-$CLANG-dev" "${CLICKHOUSE_PACKAGES[@]}"
    libcmocka-dev debian-archive-keyring jq openssl gnutls-bin zstd
    # What moto needs, which tests/peers/fetch unpacks.
    python3 python3-boto3 python3-cryptography python3-flask python3-flask-cors python3-responses
    python3-xmltodict
    # What ruler_clients.py reads answers with.
    python3-yaml
    # What input_clients.sh writes and reads with.
    python3-influxdb collectd-core
    # What tests/peers/fetch_npm needs, and what it fetches.
    nodejs npm
    # What web_page.sh opens the web page with.
    chromium
    # What package.sh looks at the package with.
    "${DEB_PACKAGES[@]}" lintian man-db bash-completion zsh fish
    # What package_reproducible.sh makes another locale with.
    locales
    # What container.sh makes an image with, looks at it with, and runs it with.
    umoci skopeo crun
    # What deploy.sh reads docker-compose.yml and the Kubernetes manifests with.
    docker-compose kubernetes-client
    # What guides.sh puts in front.
    nginx
)

# shellcheck source=packaging/steps.sh
. "$root/packaging/steps.sh"

die() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

is_installed() { # PACKAGE
    # A nodejs that is not Debian's has npm in it, and cannot be installed beside Debian's npm. The
    # same is true of kubectl, which others package, too.
    [[ $1 != npm || ! -x /usr/bin/npm ]] || return 0
    [[ $1 != kubernetes-client || ! -x /usr/bin/kubectl ]] || return 0
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed* ]]
}

# The packages among the arguments that are not installed, one a line.
missing_packages() {
    local package
    for package in "$@"; do
        is_installed "$package" || echo "$package"
    done
}

# Runs in a subshell: until it ends, package scripts may not start services. A policy that was
# there before is left alone.
apt_install() (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' INT TERM HUP
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A foreign source that is broken need not matter: the installation tells.
    apt-get update -q
    # --no-remove: rather fail than take something of the machine's owner away.
    apt-get install -q -y --no-install-recommends --no-remove "$@"
)

# Services that came along with an installation do not start with the machine either.
disable_services() {
    local package
    for package in "$@"; do
        case $package in
        prometheus | prometheus-node-exporter | prometheus-alertmanager | nginx | clickhouse-server)
            deb-systemd-helper disable "$package.service"
            update-rc.d "$package" disable
            [[ ! -d /run/systemd/system ]] || systemctl stop "$package.service"
            ;;
        esac
    done >/dev/null 2>&1
}

# Installs those of the named packages that are missing, or ends the program with one sentence.
need_packages() {
    local missing log=$root/build/apt.log
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null ||
        ! (. /etc/os-release && [[ $ID == debian ]]) 2>/dev/null; then
        die "this script knows Debian only (12 and 13 are what we test); elsewhere install the libraries" \
            "that README.md names and run make."
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} > 0)) || return 0
    [[ $(id -u) == 0 ]] ||
        die "missing packages: ${missing[*]}; run this as root, or have them installed."
    echo "installing ${#missing[@]} packages: ${missing[*]}"
    mkdir -p "$root/build" || die "cannot write to $root/build."
    apt_install "${missing[@]}" 2>&1 | tee "$log" | show_packages
    if ((PIPESTATUS[0] != 0)); then
        die "apt-get could not install ${missing[*]}:" \
            "$(grep -E '^[EW]: ' "$log" | head -n 1 | cut -c 1-300) (all of it: $log)."
    fi
    disable_services "${missing[@]}"
}
