"""Builds the Debian package of binaries that are there, installs it, runs it, and purges it.

    python3 deploy/rehearse_package.py <folder with the built binaries> [<the package, if it is built already>]

Installed is in a copy of this machine's own root that is kept in memory and thrown away. There are no units running there, so what they say is done
by hand: the same command, user and folder. Needs root, cargo-deb, iproute2, redis-server, nats-server and dpkg.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from cage import LIMIT, enter, found, sh

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICES = ("prober", "voter", "orchestrator", "notifier", "gateway")
SERVERS = ("redis0", "redis1", "nats")
# Where the shipped files say that the servers are.
REDIS = "10.0.0.1"
REPLICA = "10.0.0.2"


def build(binaries, folder):
    """By cargo-deb, of these binaries."""
    target = folder / "target"
    (target / "release").mkdir(parents=True)
    for name in ("vedette", *(f"vedette-{service}" for service in SERVICES)):
        # As a release is; what is for debuggers would take minutes to pack.
        sh("strip", "-o", target / "release" / name, binaries / name)
    words = ["cargo", "deb", "--package", "vedette-cli", "--no-build", "--fast", "--output", folder]
    subprocess.run(words, cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True)
    shutil.rmtree(target)
    [package] = folder.glob("*.deb")
    return package


class Machine:
    """A root in which a package can be installed."""

    def __init__(self, folder):
        self.root = folder / "root"
        for part in ("memory", "root"):
            (folder / part).mkdir()
        sh("mount", "-t", "tmpfs", "tmpfs", folder / "memory")
        for part in ("upper", "work"):
            (folder / "memory" / part).mkdir()
        layers = f"lowerdir=/,upperdir={folder}/memory/upper,workdir={folder}/memory/work"
        sh("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        sh("mount", "--rbind", "/dev", self.root / "dev")
        sh("mount", "-t", "proc", "proc", self.root / "proc")
        sh("mount", "-t", "tmpfs", "tmpfs", self.root / "run")
        self.processes = {}

    def run(self, *words, user="root"):
        words = ["chroot", f"--userspec={user}", self.root, *words]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def must(self, *words, user="root"):
        run = self.run(*words, user=user)
        if run.returncode:
            sys.exit(f"{' '.join(map(str, words))} ended with {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout

    def start(self, name, words, user="root"):
        log = open(self.root / f"tmp/{name}.log", "wb")
        words = ["chroot", f"--userspec={user}", self.root, *words]
        self.processes[name] = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def wait(self, what, holds):
        until = time.monotonic() + LIMIT
        while not (value := holds()):
            for name, process in self.processes.items():
                if process.poll() is not None or time.monotonic() > until:
                    log = (self.root / f"tmp/{name}.log").read_text(errors="replace")[-2000:]
                    sys.exit(f"waiting for: {what}\n{name} ({process.poll()}):\n{log}")
            time.sleep(0.1)
        print(f"  {what}")
        return value


def unit(machine, service):
    """What systemd would do: the command, as whom, and the folder that it makes."""
    text = (machine.root / f"usr/lib/systemd/system/vedette-{service}.service").read_text()

    def said(key):
        value = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
        return value and value[1]

    if said("StateDirectory"):
        state = machine.root / "var/lib" / said("StateDirectory")
        state.mkdir(mode=0o700, exist_ok=True)
        machine.must("chown", f"{said('User')}:{said('Group')}", f"/var/lib/{said('StateDirectory')}")
    return said("ExecStart").split(), f"{said('User')}:{said('Group')}"


def serve(machine):
    """Everything on one machine with the files as they were installed; more of a kind by flags."""
    redis = os.environ.get("VEDETTE_REDIS_SERVER") or found("redis-server", "valkey-server")
    nats = os.environ.get("VEDETTE_NATS_SERVER") or found("nats-server")
    for n, address in enumerate((REDIS, REPLICA)):
        sh("ip", "addr", "add", f"{address}/32", "dev", "lo")
        own = ["--bind", address, "--port", "6379", "--save", "", "--dir", "/tmp", "--protected-mode", "no"]
        follow = ["--replicaof", f"{REDIS} 6379", "--replica-announce-ip", REPLICA] if n else []
        machine.start(f"redis{n}", [redis, *own, *follow])
    machine.start("nats", [nats, "--addr", "127.0.0.1", "--jetstream", "--store_dir", "/tmp/nats"])
    # What a person does: the groups, from the example.
    machine.must("cp", "/usr/share/doc/vedette/examples/groups.toml", "/etc/vedette/groups.toml")
    for service in SERVICES:
        command, user = unit(machine, service)
        machine.start(service, command, user)
        more = {"voter": ("v2", "v3"), "prober": ("p2", "p3"), "orchestrator": ("o2",)}.get(service, ())
        for id_ in more:
            own = ["--store", f"/var/lib/vedette/{id_}.redb"] if service == "voter" else []
            machine.start(id_, [*command, "--id", id_, *own], user)
    asked = ("vedette", "--config", "/etc/vedette/cli.toml")
    machine.wait("vedette master mymaster", lambda: machine.run(*asked, "master", "mymaster").stdout.strip() == f"{REDIS}:6379")

    def through_gateway():
        try:
            with socket.create_connection(("127.0.0.1", 26379), timeout=2) as client:
                client.sendall(b"SENTINEL get-master-addr-by-name mymaster\r\n")
                return REDIS in client.recv(1024).decode()
        except OSError:
            return False

    machine.wait("SENTINEL get-master-addr-by-name mymaster", through_gateway)
    machine.wait("vedette status", lambda: machine.run(*asked, "status").returncode == 0)
    for name, process in sorted(machine.processes.items(), key=lambda pair: pair[0] in SERVERS):
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=LIMIT)
        if code != 0 and name not in SERVERS:
            sys.exit(f"{name} ended with {code}")
    print(f"  {len(machine.processes)} processes ended when asked")


def main():
    binaries = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(os.environ.get("VEDETTE_CAGED") or tempfile.mkdtemp(prefix="vedette-package-"))
    enter(folder)
    package = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else build(binaries, folder)
    print(sh("dpkg-deb", "--info", package))
    machine = Machine(folder)
    shutil.copy(package, machine.root / "tmp/vedette.deb")
    print(machine.must("dpkg", "--install", "/tmp/vedette.deb"))
    if "vedette" not in machine.must("getent", "passwd", "vedette"):
        sys.exit("installing made no user")
    enabled = list((machine.root / "etc/systemd/system").glob("*/vedette-*"))
    if enabled:
        sys.exit(f"installing enabled {enabled}")
    conffiles = set(re.findall(r"/etc/vedette/(\S+)", machine.must("dpkg-query", "--show", "--showformat=${Conffiles}", "vedette")))
    if conffiles != {f"{name}.toml" for name in (*SERVICES, "cli")}:
        sys.exit(f"kept over upgrades: {sorted(conffiles)}")
    serve(machine)
    machine.must("rm", "/etc/vedette/groups.toml")
    print(machine.must("dpkg", "--purge", "vedette"))
    left = [path for path in ("usr/bin/vedette", "etc/vedette", "var/lib/vedette", "usr/share/doc/vedette") if (machine.root / path).exists()]
    if left:
        sys.exit(f"purging left {left}")
    print(f"{package.name}: installed, served, purged")


main()
