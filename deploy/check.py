"""Looks at deploy/systemd and deploy/kubernetes: what can be checked without a cluster and without root.

    python3 deploy/check.py <folder with the built binaries>

Each service is asked with --print-config whether it takes what the manifests say to it. Needs PyYAML and kubernetes-validate,
and systemd-analyze; scripts/test has them.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = "1.31"
# Out of 100: what is left when everything that services do without is taken away.
EXPOSURE = 20
findings = []


def check(holds, words):
    if not holds:
        findings.append(words)


def documents():
    """Every manifest that the kustomization names, with its file."""
    folder = HERE / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    present = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    check(set(listed) == present, f"kustomization.yaml lists {sorted(listed)}, there are {sorted(present)}")
    for name in listed:
        for document in yaml.safe_load_all((folder / name).read_text()):
            yield name, document


def schemas(all_documents):
    for name, document in all_documents:
        what = f"{name}: {document['kind']}/{document['metadata']['name']}"
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            findings.append(f"{what}: {'.'.join(map(str, error.path))}: {error.message}")


def workloads(all_documents):
    return [(name, d) for name, d in all_documents if d["kind"] in ("Deployment", "StatefulSet")]


def names(all_documents):
    """What refers to something finds it."""
    pods = [d["spec"]["template"]["metadata"]["labels"] for _, d in workloads(all_documents)]
    for name, document in all_documents:
        spec, kind = document.get("spec", {}), document["kind"]
        if kind == "Service":
            wanted = spec["selector"]
        elif kind in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
            wanted = spec["selector"]["matchLabels"]
        else:
            continue
        found = [labels for labels in pods if wanted.items() <= labels.items()]
        check(found, f"{name}: {kind}/{document['metadata']['name']} selects no pod")
    voters = next(d for _, d in all_documents if d["kind"] == "StatefulSet")
    config = next(d for _, d in all_documents if d["kind"] == "ConfigMap")["data"]
    for n in range(voters["spec"]["replicas"]):
        check(f"{voters['metadata']['name']}-{n}" in config["VEDETTE_ROSTER"], f"voter {n} is not on the roster")
    components = {labels["app.kubernetes.io/component"] for labels in pods}
    check(components == {"prober", "voter", "orchestrator", "notifier", "gateway"}, f"workloads: {components}")


def restricted(all_documents):
    """What the namespace's pod security asks for, and more."""
    for name, document in workloads(all_documents):
        pod = document["spec"]["template"]["spec"]
        check(pod["securityContext"]["runAsNonRoot"] is True, f"{name}: runs as root")
        check(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: no seccomp profile")
        check(pod["automountServiceAccountToken"] is False, f"{name}: has a token of the cluster")
        for container in pod["containers"]:
            own = container["securityContext"]
            check(own.get("readOnlyRootFilesystem") is True, f"{name}: writes where it should not")
            check(own.get("allowPrivilegeEscalation") is False, f"{name}: may become more")
            check(own.get("capabilities") == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
            check(mounted == {volume["name"] for volume in pod["volumes"]} | claims, f"{name}: volumes and mounts differ")


def environment(container, config):
    """What the container finds in its environment."""
    values = dict(config)
    for entry in container["env"]:
        if "value" in entry:
            values[entry["name"]] = entry["value"]
        elif "fieldRef" in entry["valueFrom"]:
            values[entry["name"]] = {"metadata.name": "pod-0", "status.podIP": "10.0.0.1"}[
                entry["valueFrom"]["fieldRef"]["fieldPath"]
            ]
        else:
            values[entry["name"]] = "planted"
    return values


def taken(all_documents, binaries):
    """Each service takes its configuration, and uses all of it."""
    config = next(d for _, d in all_documents if d["kind"] == "ConfigMap")["data"]
    for name, document in workloads(all_documents):
        for container in document["spec"]["template"]["spec"]["containers"]:
            values = environment(container, config)
            program = binaries / pathlib.Path(container["command"][0]).name
            run = subprocess.run(
                [program, *container["command"][1:], "--print-config"],
                env=values, capture_output=True, text=True, timeout=60, check=False,
            )
            check(run.returncode == 0, f"{name}: {container['name']} refuses it: {run.stderr.strip()}")
            check("planted" not in run.stdout + run.stderr, f"{name}: {container['name']} prints its password")
            for variable, value in values.items():
                if not variable.startswith("VEDETTE_"):
                    continue
                key = variable.removeprefix("VEDETTE_").lower().replace("__", ".")
                if variable == "VEDETTE_ROSTER":
                    used = "vedette-voter-2" in run.stdout or container["name"] not in ("voter", "orchestrator")
                else:
                    used = re.search(rf"^{re.escape(key)} = ", run.stdout, re.MULTILINE)
                check(used, f"{name}: {container['name']} does not use {variable} = {value}")


def units():
    """systemd understands them, and they are in a tight cage."""
    with tempfile.TemporaryDirectory() as folder:
        found = sorted((HERE / "systemd").glob("*.service"))
        check(len(found) == 5, f"{len(found)} units")
        copies = []
        for unit in found:
            text = unit.read_text()
            [program] = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
            check(pathlib.Path(program).name == unit.stem, f"{unit.name} starts {program}")
            copy = pathlib.Path(folder) / unit.name
            # Verified is also that the program is there.
            copy.write_text(text.replace(program, "/bin/true"))
            copies.append(copy)
        for words in (["verify", "--man=no"], ["security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]):
            for copy in copies:
                run = subprocess.run(["systemd-analyze", *words, copy], capture_output=True, text=True, check=False)
                said = (run.stderr + run.stdout).strip().splitlines()[-1:]
                check(run.returncode == 0, f"systemd-analyze {words[0]} {copy.name}: {said}")
                if words[0] == "verify":
                    check(not run.stderr, f"systemd-analyze verify {copy.name}: {run.stderr.strip()}")
    return len(found)


def main():
    [_, binaries] = sys.argv
    binaries = pathlib.Path(binaries)
    if not os.access(binaries / "vedette-voter", os.X_OK):
        sys.exit(f"{binaries} has no vedette-voter: cargo build --workspace")
    found = list(documents())
    count = units()
    schemas(found)
    if not findings:
        # What follows counts on their form.
        names(found)
        restricted(found)
        taken(found, binaries)
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{len(found)} manifests for Kubernetes {KUBERNETES}, {count} units: {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
