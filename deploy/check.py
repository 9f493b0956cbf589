"""Looks at deploy/systemd, deploy/kubernetes, deploy/helm, deploy/compose and deploy/sbom.py: what can be checked without a cluster and
without root.

    python3 deploy/check.py <folder with the built binaries>

Each service is asked with --print-config whether it takes what the manifests say to it. Needs what requirements.txt lists, helm
among it, and systemd-analyze; scripts/test has them.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import compose_spec
import kubernetes_validate
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import sbom

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = "1.31"
COMPONENTS = {"prober", "voter", "orchestrator", "notifier", "gateway"}
CHART = HERE / "helm/vedette"
# What is set for a rendering besides the defaults, the release's name, and the kinds of services that come of it.
RENDERINGS = [
    ([], "vedette", COMPONENTS),
    (
        ["voters.replicas=5", "voters.rosterVersion=2", "probers.zones.a=null", "probers.zones.d=zone-d", "probers.perZone=1",
         "gateways.replicas=0", "notifier.enabled=false", "networkPolicies.enabled=false", "image.tag=9.9.9"],
        "vedette",
        {"prober", "voter", "orchestrator"},
    ),
    (
        ["telemetry.otlpEndpoint=http://collector:4317", "log.level=info\\,vedette_runtime=debug", "nats.prefix=blue",
         "image.pullSecrets={registry}", "image.pullPolicy=Always", "voters.storageClass=local", "gateways.serviceType=LoadBalancer",
         "networkPolicies.nodePorts={6379,6380}", "gateways.env.VEDETTE_CLIENTS__MAX_CLIENTS=20000",
         "notifier.env.VEDETTE_SINK__WEBHOOK__URLS=https://hooks.example.com/vedette"],
        "blue",
        COMPONENTS,
    ),
]
# What the chart must refuse.
REFUSED = [
    "voters.replicas=4", "voters.rosterVersion=0", "gateways.replicas=-1", "image.repositry=x", "nats.servers={}", "nats.prefix=a.b",
    "telemetry.otlpEndpoint=collector:4317", "probers.env.lower=x", "networkPolicies.nodePorts={0}", "probers.perZone=0",
]
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


def kustomized(all_documents):
    """What kustomize makes of the manifests: namespace, labels, image."""
    rules = yaml.safe_load((HERE / "kubernetes/kustomization.yaml").read_text())
    [labels], [image] = rules["labels"], rules["images"]
    for name, document in copy.deepcopy(all_documents):
        if document["kind"] == "Namespace":
            continue
        document["metadata"]["namespace"] = rules["namespace"]
        document["metadata"].setdefault("labels", {}).update(labels["pairs"])
        if document["kind"] in ("Deployment", "StatefulSet"):
            template = document["spec"]["template"]
            template["metadata"]["labels"].update(labels["pairs"])
            for container in template["spec"]["containers"]:
                check(container["image"] == image["name"], f"{name}: image {container['image']}")
                container["image"] = f"{image['newName']}:{image['newTag']}"
        yield document


def helm(*words):
    with tempfile.TemporaryDirectory() as home:
        # Nothing of this machine's own settings.
        places = {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
        program = pathlib.Path(sys.executable).parent / "helm"
        return subprocess.run([program, *words], env=places, capture_output=True, text=True, timeout=60, check=False)


def rendered(settings, release):
    """The chart's manifests with these settings."""
    words = [word for setting in settings for word in ("--set-string" if ".env." in setting else "--set", setting)]
    run = helm("template", release, CHART, "--namespace", "vedette", *words)
    check(run.returncode == 0, f"helm template {settings}: {run.stderr.strip()}")
    return [(f"chart of {release}", document) for document in yaml.safe_load_all(run.stdout) if document]


def differences(one, other, path):
    """Where two manifests differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [d for key in sorted({*one, *other}) for d in differences(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for n, pair in enumerate(zip(one, other)) for d in differences(*pair, f"{path}[{n}]")]
    return [] if one == other else [f"{path}: {one!r} in kubernetes/, {other!r} in the chart"]


def same(plain, chart):
    """The chart with its defaults is what the plain manifests are."""
    def named(documents):
        return {f"{d['kind']}/{d['metadata']['name']}": d for d in documents}

    def bare(document):
        document = copy.deepcopy(document)
        for of_helm in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
            document["metadata"]["labels"].pop(of_helm)
        if "template" in document.get("spec", {}):
            document["spec"]["template"]["metadata"].pop("annotations")
        return document

    plain, chart = named(kustomized(plain)), named(bare(document) for _, document in chart)
    for what in sorted({*plain, *chart}):
        findings.extend(differences(plain.get(what), chart.get(what), what))


def charts(plain, binaries):
    """The chart is well-formed, renders to what the cluster takes and the services take, and refuses nonsense."""
    run = helm("lint", "--strict", CHART)
    check(run.returncode == 0, f"helm lint: {run.stdout}")
    for settings, release, components in RENDERINGS:
        manifests = rendered(settings, release)
        if release == "vedette" and not settings:
            same(plain, manifests)
        schemas(manifests)
        if findings:
            return
        names(manifests, components)
        restricted(manifests)
        taken(manifests, binaries)
    for setting in REFUSED:
        check(helm("template", CHART, "--set", setting).returncode != 0, f"the chart takes {setting}")


def composed():
    """The compose file is one, and each service in it is in a cage, comes back, and can be asked how it is."""
    file = yaml.safe_load((HERE / "compose/compose.yaml").read_text())
    plain = {key: value for key, value in file.items() if not key.startswith("x-")}
    try:
        # It knows no merge keys, which are resolved by now.
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(plain))
    except ValueError as error:
        findings.append(f"compose.yaml: {error}")
    for name, service in file["services"].items():
        check(service.get("read_only") is True, f"compose.yaml: {name} writes where it should not")
        check(service.get("cap_drop") == ["ALL"], f"compose.yaml: {name} keeps capabilities")
        check(service.get("security_opt") == ["no-new-privileges:true"], f"compose.yaml: {name} may become more")
        check(re.search(r":v?\d[^:]*$", service["image"]), f"compose.yaml: {name} is of no certain version")
        # What runs once, and what people call.
        once = name in ("volumes", "vedette")
        check(service["restart"] == ("no" if once else "unless-stopped"), f"compose.yaml: {name} restarts {service['restart']}")
        check((service["user"] == "0:0") == (name == "volumes"), f"compose.yaml: {name} runs as {service['user']}")
        own = service["image"].startswith("vedette:")
        check("healthcheck" in service or own or once, f"compose.yaml: {name} has no health check")
        check("stop_grace_period" in service or not own, f"compose.yaml: {name} is given no time to end")
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"compose.yaml: {name} is open to everybody at {port}")
    return len(file["services"])


def names(all_documents, expected):
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
    check(components == expected, f"workloads: {components}")


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
            values[entry["name"]] = {"metadata.name": "pod-0", "status.podIP": "10.0.0.1", "spec.nodeName": "node-1"}[
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
                    used = "-voter-2" in run.stdout or container["name"] not in ("voter", "orchestrator")
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


def bill():
    """What the programs are made of; how many crates that is."""
    written = sbom.sbom()
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(json.dumps(written))
    check(error is None, f"sbom.py: {error}")
    found = {one["name"]: one for one in written["components"]}
    # Which tests alone need, and which every program does.
    check("proptest" not in found and "tokio" in found, "sbom.py lists other crates than those of the programs")
    for name, one in found.items():
        check(one.get("licenses"), f"sbom.py: {name} has no licence")
    references = {one["bom-ref"] for one in written["components"]}
    missing = {ref for one in written["dependencies"] for ref in one["dependsOn"]} - references
    check(not missing, f"sbom.py does not list {sorted(missing)}")
    return len(found)


def main():
    [_, binaries] = sys.argv
    binaries = pathlib.Path(binaries)
    if not os.access(binaries / "vedette-voter", os.X_OK):
        sys.exit(f"{binaries} has no vedette-voter: cargo build --workspace")
    found = list(documents())
    count = units()
    services = composed()
    crates = bill()
    schemas(found)
    if not findings:
        # What follows counts on their form.
        names(found, COMPONENTS)
        restricted(found)
        taken(found, binaries)
        charts(found, binaries)
    for finding in findings:
        print(finding, file=sys.stderr)
    print(
        f"{len(found)} manifests for Kubernetes {KUBERNETES}, {len(RENDERINGS)} renderings of the chart, {services} services to compose, "
        f"{count} units, {crates} crates: {len(findings)} findings"
    )
    sys.exit(1 if findings else 0)


main()
