"""Runs what compose/compose.yaml says without containers, kills the master, and sees the switch.

    python3 deploy/rehearse_compose.py <folder with the built binaries>

The commands, users, environments, files, networks, health checks and periods of grace are those of the file; a root file system of
each image is put together from this machine's programs, see cage.py. What needs a program that is not here is not started, and said.
Needs root, PyYAML, openssl, iproute2, busybox, nats-server, redis-server and redis-cli.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml
from cage import LIMIT, Image, Network, Service, enter, found, introduce

HERE = pathlib.Path(__file__).resolve().parent / "compose"
GROUP = "mymaster"
SHELL = ("sh", "cat", "grep", "mv", "wget", "chown")
BEGUN = time.monotonic()


def tell(words):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {words}", flush=True)


def programs(binaries):
    """For each image, without registry and tag: its programs and the folders that its users own; none that is not here."""
    redis, nats = os.environ.get("VEDETTE_REDIS_SERVER"), os.environ.get("VEDETTE_NATS_SERVER")
    busybox = found("busybox")
    tools = {f"/bin/{tool}": busybox for tool in SHELL}
    vedette = ("vedette", *(f"vedette-{kind}" for kind in ("prober", "voter", "orchestrator", "notifier", "gateway")))
    table = {
        "vedette": ({f"/usr/bin/{name}": binaries / name for name in vedette}, {"/var/lib/vedette": 65532}),
        "busybox": (tools, {}),
        "nats": ({"/usr/local/bin/nats-server": nats or found("nats-server"), **tools}, {}),
        "redis": (
            {
                "/usr/local/bin/redis-server": redis or found("redis-server", "valkey-server"),
                "/usr/local/bin/redis-cli": found("redis-cli", "valkey-cli"),
                **tools,
            },
            {"/data": 999},
        ),
        "prom/prometheus": ({"/bin/prometheus": found("prometheus"), **tools}, {"/prometheus": 65534}),
    }
    entry = {"prom/prometheus": ["/bin/prometheus"]}
    return {
        image: (has, owned, entry.get(image, []))
        for image, (has, owned) in table.items()
        if all(path and os.access(path, os.X_OK) for path in has.values())
    }


def bare(image):
    """docker.io/prom/prometheus:v3 → prom/prometheus"""
    return re.sub(r":[^/]*$", "", image).removeprefix("docker.io/").removeprefix("library/")


class Rehearsal:
    def __init__(self, binaries, folder):
        self.folder, self.file = folder, yaml.safe_load((HERE / "compose.yaml").read_text())
        subprocess.run(["sh", HERE / "prepare.sh", folder / "secrets"], check=True)
        table = programs(binaries)
        self.network = Network(self.file["networks"])
        self.services, self.absent, self.unwell = {}, [], []
        images = {}
        for name, spec in self.file["services"].items():
            image = bare(spec["image"])
            if image not in table:
                self.absent.append(f"{name} ({image})")
                continue
            has, owned, entry = table[image]
            if image not in images:
                images[image] = Image(folder / "images" / image.replace("/", "-"), has, owned)
            spec.setdefault("entrypoint", entry)
            self.services[name] = self.service(name, spec, images[image])
        for service in self.services.values():
            networks = [] if service.spec.get("network_mode") == "none" else service.spec["networks"]
            service.addresses = self.network.join(service.name, networks) if networks else {}

    def source(self, path):
        """A file beside compose.yaml, or what prepare.sh made for this run."""
        if path.startswith("./secrets/"):
            return self.folder / path.removeprefix("./")
        return (HERE / path).resolve()

    def volume(self, name, image, inside):
        at = self.folder / "volumes" / name
        if not at.exists():
            at.mkdir(parents=True)
            # A new volume takes the owner of the image's folder.
            uid = image.owned.get(inside, 0)
            os.chown(at, uid, uid)
        return at

    def service(self, name, spec, image):
        mounts = [(None, inside, True) for inside in spec.get("tmpfs", [])]
        for entry in spec.get("volumes", []):
            what, inside, *how = entry.split(":")
            if what in self.file["volumes"]:
                mounts.append((self.volume(what, image, inside), inside, True))
            else:
                mounts.append((self.source(what), inside, "ro" not in how))
        for entry in spec.get("secrets", []):
            wanted = {"source": entry} if isinstance(entry, str) else entry
            inside = wanted.get("target", f"/run/secrets/{wanted['source']}")
            mounts.append((self.source(self.file["secrets"][wanted["source"]]["file"]), inside, False))
        for here, _, _ in mounts:
            if here is not None and not here.exists():
                sys.exit(f"{name} mounts {here}, which is not there")
        environment = {}
        if "env_file" in spec:
            lines = self.source(spec["env_file"]).read_text().split()
            environment.update(line.split("=", 1) for line in lines)
        environment.update({key: str(value) for key, value in spec.get("environment", {}).items()})
        return Service(name, spec, image, self.folder, mounts, environment)

    def start(self):
        """All that is not for people to call, in the order the file asks for."""
        introduce(self.services.values())
        waiting = [service for service in self.services.values() if "profiles" not in service.spec]
        started = set()
        while waiting:
            ready = [s for s in waiting if set(s.spec.get("depends_on", {})) <= started]
            if not ready:
                sys.exit(f"depend on each other: {[s.name for s in waiting]}")
            for service in ready:
                service.start()
                if service.spec["restart"] == "no" and service.process.wait(timeout=LIMIT):
                    sys.exit(f"{service.name} failed: {service.log.read_text()}")
                started.add(service.name)
                waiting.remove(service)
        self.running = [self.services[name] for name in started if self.services[name].spec["restart"] != "no"]

    def wait(self, what, holds):
        """Until it holds; what it was then. Nobody may have ended meanwhile."""
        until = time.monotonic() + LIMIT
        while True:
            for service in self.running:
                if service.process.poll() is not None:
                    sys.exit(f"{service.name} ended with {service.process.returncode}: {tail(service)}")
            value = holds()
            if value:
                tell(what if value is True else f"{what}: {value}")
                return value
            if time.monotonic() > until:
                for service in self.running:
                    print(f"--- {service.name}\n{tail(service)}", file=sys.stderr)
                print(self.vedette("status")[1], file=sys.stderr)
                sys.exit(f"not within {LIMIT} s: {what}; not well by their checks: {', '.join(self.unwell) or 'nobody'}")
            time.sleep(0.05)

    def vedette(self, *words):
        tool = self.services["vedette"]
        return tool.run(tool.words(words))

    def well(self):
        checked = [service for service in self.running if "healthcheck" in service.spec]
        self.unwell = [service.name for service in checked if not service.is_well()]
        return not self.unwell and f"{len(checked)} services"

    def ready(self):
        """Whether each service that has the port says so there; Prometheus's network reaches it."""
        asked = [service for service in self.running if "VEDETTE_HTTP__LISTEN" in service.environment]
        self.unwell = []
        for service in asked:
            _, port = service.environment["VEDETTE_HTTP__LISTEN"].split(":")
            try:
                urllib.request.urlopen(f"http://{service.addresses['sight']}:{port}/readyz", timeout=2).close()
            except OSError:
                self.unwell.append(service.name)
        return not self.unwell and f"{len(asked)} services"

    def master(self, gateway):
        """What a Sentinel client is told."""
        at = self.services[gateway].addresses["nodes"]
        try:
            with socket.create_connection((at, 26379), timeout=2) as client:
                client.settimeout(2)
                client.sendall(f"SENTINEL get-master-addr-by-name {GROUP}\r\n".encode())
                said = client.recv(1024).decode().split("\r\n")
        except OSError:
            return None
        return said[2] if said[0] == "*2" else None

    def redis(self, node, *words):
        password = (self.folder / "secrets/redis-application").read_text()
        service = self.services[node]
        service.environment["REDISCLI_AUTH"] = password
        return service.run(["redis-cli", "--user", "application", *words])[1].strip()


def tail(service):
    return "\n".join(service.log.read_text(errors="replace").splitlines()[-8:])


def story(play):
    play.start()
    everyone = play.services.values()
    tell(f"started: {len(play.running)} services")
    play.wait("`vedette status` has nothing to say", lambda: play.vedette("status")[0] == 0)
    play.wait("well by their health checks", play.well)
    play.wait("ready by /readyz", play.ready)
    for gateway in ("gateway-1", "gateway-2"):
        play.wait(f"{gateway} names the master", lambda at=gateway: play.master(at))
    old = play.master("gateway-1")
    # Only with a replica that has it, so that it is not lost.
    play.wait("written there", lambda: play.redis(old, "SET", "word", "kept") == "OK")
    play.wait("and at both replicas", lambda: play.redis(old, "WAIT", "2", "1000") == "2")

    tell(f"docker compose kill {old}")
    killed = time.monotonic()
    play.services[old].kill()
    play.running.remove(play.services[old])
    introduce(everyone, absent={old})
    for gateway in ("gateway-1", "gateway-2"):
        play.wait(f"{gateway} names another", lambda at=gateway: play.master(at) not in (None, old) and play.master(at))
    took = time.monotonic() - killed
    new = play.master("gateway-1")
    play.wait(f"{new} has what was written", lambda: play.redis(new, "GET", "word") == "kept")
    play.wait("and takes writes", lambda: play.redis(new, "SET", "word", "anew") == "OK")
    code, said = play.vedette("status")
    if code != 1 or old not in said:
        sys.exit(f"`vedette status` ended with {code} and does not say that {old} is down:\n{said}")
    tell("`vedette status` says who is down")
    print(said, end="")

    tell(f"docker compose start {old}")
    introduce(everyone)
    play.services[old].start()
    play.running.append(play.services[old])
    play.wait(f"{old} follows", lambda: play.redis(old, "GET", "word") == "anew")
    play.wait("`vedette status` has nothing to say", lambda: play.vedette("status")[0] == 0)
    if "prometheus" in play.services:
        play.wait("Prometheus reaches all its targets", lambda: targets(play))
    return took


def targets(play):
    """Whether each target of prometheus.yaml answers."""
    service = play.services["prometheus"]
    _, said = service.run(["wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/query?query=up"])
    values = re.findall(r'"value":\[[^,]*,"(\d)"\]', said)
    wanted = yaml.safe_load((HERE / "prometheus.yaml").read_text())["scrape_configs"]
    count = sum(len(config["targets"]) for job in wanted for config in job["static_configs"])
    return values == ["1"] * count and count


def stop(play):
    """As `docker compose stop`: each within its grace, and politely."""
    # Vedette first: it would speak of the others.
    order = sorted(play.running, key=lambda service: service.name.startswith(("redis", "nats")))
    for service in order:
        ended = service.stop()
        if ended is None or (ended[0] != 0 and not service.name.startswith("nats")):
            sys.exit(f"{service.name} did not stop as it should ({ended}): {tail(service)}")
    tell(f"stopped: {len(order)} services")


def main():
    [_, binaries] = sys.argv
    folder = pathlib.Path(os.environ.get("VEDETTE_CAGED") or tempfile.mkdtemp(prefix="vedette-compose-"))
    enter(folder)
    # Users of the services pass through it.
    folder.chmod(0o711)
    play = Rehearsal(pathlib.Path(binaries).resolve(), folder)
    took = story(play)
    stop(play)
    for absent in play.absent:
        print(f"not run, its program is not on this machine: {absent}")
    ran = len(play.services)
    print(f"{ran} services of {len(play.file['services'])} ran; from kill to another master at both gateways {took:.2f} s")


main()
