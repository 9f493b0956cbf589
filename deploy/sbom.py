"""Writes what the programs are made of as a CycloneDX SBOM.

    python3 deploy/sbom.py [<file>]                # on standard output without one

It lists the crates that are compiled into the command and the services on Linux, and those that build them; not what only tests use. Where
a crate's optional part is used by tests alone, what that part needs is listed, too. The same sources give the same bytes: there is no time and no
serial number in it. Needs cargo and the crates' sources (cargo fetch --locked).
"""

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {"vedette-cli", *(f"vedette-{service}" for service in ("prober", "voter", "orchestrator", "notifier", "gateway"))}
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")


def metadata():
    words = ["cargo", "metadata", "--locked", "--format-version", "1"]
    for platform in PLATFORMS:
        words += ["--filter-platform", platform]
    return json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout)


def checksums():
    """What Cargo.lock says of each crate."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}


def needed(nodes, roots):
    """All that the roots are made of, each with what it needs itself."""
    found, waiting = {}, sorted(roots)
    while waiting:
        this = waiting.pop()
        if this in found:
            continue
        wanted = [dep["pkg"] for dep in nodes[this]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        found[this] = wanted
        waiting += wanted
    return found


def url(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, sums):
    ours = package["source"] is None
    described = {
        "type": "application" if package["name"] in PROGRAMS else "library",
        "bom-ref": url(package),
        "name": package["name"],
        "version": package["version"],
        "purl": url(package),
    }
    if package["description"]:
        described["description"] = " ".join(package["description"].split())
    if package["license"]:
        # As crates wrote it before there were expressions.
        described["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := sums.get((package["name"], package["version"])):
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    elif not ours:
        sys.exit(f"{url(package)} has no checksum in Cargo.lock")
    if package["repository"]:
        described["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return described


def sbom():
    known = metadata()
    packages = {package["id"]: package for package in known["packages"]}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    programs = [id for id in known["workspace_members"] if packages[id]["name"] in PROGRAMS]
    if len(programs) != len(PROGRAMS):
        sys.exit("the programs of this workspace have other names: correct PROGRAMS")
    found, sums = needed(nodes, programs), checksums()
    everything = {
        "type": "application",
        "bom-ref": "vedette",
        "name": "vedette",
        "version": packages[programs[0]]["version"],
    }
    depends = [{"ref": "vedette", "dependsOn": sorted(url(packages[id]) for id in programs)}]
    depends += [
        {"ref": url(packages[id]), "dependsOn": sorted({url(packages[one]) for one in wanted})} for id, wanted in found.items()
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": everything},
        "components": sorted((component(packages[id], sums) for id in found), key=lambda one: one["bom-ref"]),
        "dependencies": sorted(depends, key=lambda one: one["ref"]),
    }


def main():
    text = json.dumps(sbom(), indent=2, ensure_ascii=False) + "\n"
    if len(sys.argv) > 1:
        pathlib.Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
