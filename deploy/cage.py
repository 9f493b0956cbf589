"""What a container engine does, as far as compose.yaml asks for it, with namespaces alone and without images.

A root of its own for each service: the programs that its image has, from this machine, with the libraries they need, and nothing
else; its volumes, files and secrets where the file says; its user, capabilities and read-only root; its networks, where others
are found by their names. Needs Linux, root, `ip` and `mount`. Must run in namespaces of its own, see `enter`.
"""

import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 0x40000000, 1, 24, 38
CAPABILITIES = {"CHOWN": 0}
LAST_CAPABILITY = 40
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES = ("null", "zero", "full", "random", "urandom")
# More than a container engine's stop is ever given here.
LIMIT = 60


def enter(folder):
    """Starts this program again in namespaces of its own, and removes the folder after it. When it ends, however it does, all that it
    started ends and no mount is left: only then is anything removed, for what is mounted in there is this machine's own."""
    if "VEDETTE_CAGED" in os.environ:
        del os.environ["VEDETTE_CAGED"]
        sh("mount", "--make-rprivate", "/")
        sh("mount", "-t", "proc", "proc", "/proc")
        sh("ip", "link", "set", "lo", "up")
        os.makedirs("/run/netns", exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        return
    if os.geteuid() != 0:
        sys.exit("namespaces need root: run it as root")
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv]
    environment = {**os.environ, "VEDETTE_CAGED": str(folder)}
    with subprocess.Popen(words, env=environment, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)) as inner:
        try:
            code = inner.wait()
        except KeyboardInterrupt:
            inner.kill()
            code = inner.wait()
    shutil.rmtree(folder)
    sys.exit(code)


def sh(*words):
    run = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, words))} failed: {run.stderr.strip()}")
    return run.stdout


def libraries(program):
    """Files that the loader takes for a program, its own among them; none if it is linked statically."""
    run = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", run.stdout)


class Image:
    """A root file system with some programs of this machine."""

    def __init__(self, root, programs, owned):
        """`programs`: where the image has it → where it is here. `owned`: folders of the image that a user owns."""
        self.root, self.owned = root, owned
        for folder in ("proc", "dev", "etc", "tmp", "run/secrets", "usr/bin", "usr/sbin", "lib", "lib64"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for device in DEVICES:
            (root / "dev" / device).touch()
        for file in ("hosts", "resolv.conf"):
            (root / "etc" / file).touch()
        (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
        for inside, here in programs.items():
            self.bind(here, inside)
            for library in libraries(here):
                self.bind(library, library)
        for folder, uid in owned.items():
            at = self.inside(folder)
            at.mkdir(parents=True, exist_ok=True)
            os.chown(at, uid, uid)

    def inside(self, path):
        return self.root / str(path).lstrip("/")

    def bind(self, here, inside):
        """A file of this machine; bound and not copied, for binaries are large."""
        at = self.inside(inside)
        if not at.exists():
            at.parent.mkdir(parents=True, exist_ok=True)
            at.touch()
            sh("mount", "--bind", os.path.realpath(here), at)


class Network:
    """Bridges, one for each network of the file; this process is at .254 of each."""

    def __init__(self, names):
        self.subnets = {name: f"10.77.{n}" for n, name in enumerate(sorted(names))}
        self.used = {name: 0 for name in names}
        for n, (name, subnet) in enumerate(self.subnets.items()):
            sh("ip", "link", "add", f"br{n}", "type", "bridge")
            sh("ip", "addr", "add", f"{subnet}.254/24", "dev", f"br{n}")
            sh("ip", "link", "set", f"br{n}", "up")
        self.bridges = {name: f"br{n}" for n, name in enumerate(self.subnets)}

    def join(self, service, networks):
        """A namespace for the service; its address in each of the networks."""
        sh("ip", "netns", "add", service)
        sh("ip", "-n", service, "link", "set", "lo", "up")
        addresses = {}
        for n, name in enumerate(networks):
            self.used[name] += 1
            addresses[name] = f"{self.subnets[name]}.{self.used[name]}"
            port = f"{self.bridges[name]}p{self.used[name]}"
            sh("ip", "link", "add", f"eth{n}", "netns", service, "type", "veth", "peer", "name", port)
            sh("ip", "link", "set", port, "master", self.bridges[name], "up")
            sh("ip", "-n", service, "addr", "add", f"{addresses[name]}/24", "dev", f"eth{n}")
            sh("ip", "-n", service, "link", "set", f"eth{n}", "up")
        return addresses


class Service:
    """One service of the file. `spec` is what stands there, `mounts` pairs of what and where with whether it may be written."""

    def __init__(self, name, spec, image, folder, mounts, environment):
        self.name, self.spec, self.environment = name, spec, {"PATH": PATH, **environment}
        self.root, self.hosts = folder / "roots" / name, folder / f"{name}.hosts"
        self.log = folder / f"{name}.log"
        self.addresses, self.process = {}, None
        user, _, group = spec["user"].partition(":")
        self.uid, self.gid = int(user), int(group)
        self.kept = {CAPABILITIES[name] for name in spec.get("cap_add", [])}
        self.hosts.touch()
        for _, inside, _ in mounts:
            at = image.inside(inside)
            if not at.exists():
                at.parent.mkdir(parents=True, exist_ok=True)
                at.touch() if self.source_is_file(mounts, inside) else at.mkdir()
        self.root.mkdir(parents=True)
        sh("mount", "--rbind", image.root, self.root)
        if spec.get("read_only"):
            sh("mount", "-o", "remount,bind,ro", self.root)
        sh("mount", "-t", "proc", "proc", self.root / "proc")
        for device in DEVICES:
            sh("mount", "--bind", f"/dev/{device}", self.root / "dev" / device)
        sh("mount", "--bind", self.hosts, self.root / "etc/hosts")
        for here, inside, writable in mounts:
            at = self.root / inside.lstrip("/")
            if here is None:
                sh("mount", "-t", "tmpfs", "tmpfs", at)
                continue
            sh("mount", "--bind", here, at)
            if not writable:
                sh("mount", "-o", "remount,bind,ro", at)

    @staticmethod
    def source_is_file(mounts, inside):
        return any(at == inside and here is not None and here.is_file() for here, at, _ in mounts)

    def _become(self):
        """In the child, before it is another program."""
        if self.addresses:
            with open(f"/run/netns/{self.name}", encoding="ascii") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
        elif libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        os.chroot(self.root)
        os.chdir("/")
        for capability in set(range(LAST_CAPABILITY + 1)) - self.kept:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Also not by a signal that was meant for this program.
        os.setsid()

    def _find(self, program):
        if program.startswith("/"):
            return program
        found = (f"{folder}/{program}" for folder in PATH.split(":"))
        return next((path for path in found if (self.root / path.lstrip("/")).exists()), program)

    def spawn(self, words, output):
        words = [self._find(words[0]), *words[1:]]
        return subprocess.Popen(
            words, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            preexec_fn=self._become, executable=words[0],
        )

    def words(self, more=None):
        return [*self.spec.get("entrypoint", []), *(self.spec.get("command", []) if more is None else more)]

    def _links(self, state):
        for n in range(len(self.addresses)):
            sh("ip", "-n", self.name, "link", "set", f"eth{n}", state)

    def start(self):
        self._links("up")
        with open(self.log, "ab") as log:
            self.process = self.spawn(self.words(), log)

    def run(self, words):
        """What it printed, and its exit code, of a program beside the service."""
        process = self.spawn(words, subprocess.PIPE)
        try:
            said, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        return process.returncode, said.decode(errors="replace")

    def is_well(self):
        """What its health check says; nothing if the file has none."""
        test = self.spec.get("healthcheck", {}).get("test")
        if test is None:
            return None
        words = test[1:] if test[0] == "CMD" else ["/bin/sh", "-c", test[1].replace("$$", "$")]
        return self.run(words)[0] == 0

    def kill(self):
        """Its address answers nobody any more, as when a container is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=LIMIT)
        self._links("down")

    def stop(self):
        """Asks it to end; its exit code and the seconds it took, or none if it did not end within its grace."""
        grace = float(self.spec.get("stop_grace_period", "10s").removesuffix("s"))
        begun = time.monotonic()
        self.process.terminate()
        try:
            return self.process.wait(timeout=grace), time.monotonic() - begun
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def introduce(services, absent=()):
    """Tells each service the addresses of those that it shares a network with, as an engine's name server does."""
    for service in services:
        lines = ["127.0.0.1 localhost"]
        for other in services:
            shared = [net for net in other.addresses if net in service.addresses]
            if shared and other.name not in absent:
                lines.append(f"{other.addresses[shared[0]]} {other.name}")
        # In place, since the file is bound.
        service.hosts.write_text("\n".join(lines) + "\n")


def found(*names):
    """The first of these programs on this machine, or nothing."""
    return next((path for path in map(shutil.which, names) if path), None)
