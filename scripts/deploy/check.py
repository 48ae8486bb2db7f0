"""What is under deploy/ is what Helm, each Kubernetes and hadolint accept, and the plain manifests are those of the chart.

Each check is a function whose first line says what it makes sure of. All run, and each failure is told.
"""

import copy
import json
import pathlib
import re
import subprocess
import sys

import helm_python
import kubernetes_validate
import yaml

import chart

DEVICE = {"kernelLog": {"access": "devicePlugin", "deviceResource": "example.com/kmsg"}}
# Values that take every branch of the templates.
VARIANTS = {
    "default": {},
    "device plugin": DEVICE,
    "no kernel log, no capabilities": {"kernelLog": {"access": "none"}, "capabilities": {name: False for name in (
        "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_NICE", "SYS_RESOURCE", "IPC_LOCK", "BPF", "PERFMON")}},
    "nothing of Kubernetes": {**DEVICE, "kubernetes": {"enabled": False}, "serviceAccount": {"create": False}, "rbac": {"create": False},
                              "priorityClass": {"create": False}, "hostPID": False, "seLinuxType": "",
                              "identity": {"runtimeFolder": "", "stateFolder": "", "podLogs": False}},
    "everything": {**DEVICE, "kubernetes": {"kubelet": "proxy", "kubeletConfigFile": "/var/lib/kubelet/config.yaml"}, "openshift": {"enabled": True}, "namespace": {"create": True},
                   "image": {"repository": "example.com/team/oomscope", "tag": "1.2.3", "pullSecrets": [{"name": "key"}]},
                   "watch": {"output": "text", "keepV1Peaks": True, "extraArgs": ["--finest", "20ms"]},
                   "serviceAccount": {"name": "watcher", "annotations": {"example.com/a": "b"}},
                   "priorityClass": {"name": "mine", "value": 7, "preemptionPolicy": "PreemptLowerPriority"},
                   "podAnnotations": {"a": "true"}, "podLabels": {"team": "x"}, "affinity": {"nodeAffinity": {}},
                   "env": [{"name": "A", "value": "b"}], "nameOverride": "scope", "fullnameOverride": "memory-scope"},
}
# Each is refused, and the message names the key.
REFUSED = {
    "a misspelt key": ({"kernellog": {}}, "kernellog"),
    "an unknown way to the log": ({"kernelLog": {"access": "host"}}, "access"),
    "a relative path": ({"store": {"hostPath": "state"}}, "hostPath"),
    "a capability that is not used": ({"capabilities": {"SYS_ADMIN": True}}, "SYS_ADMIN"),
    "a priority of the system": ({"priorityClass": {"value": 2000000000}}, "value"),
}


def lint():
    """Helm's linter has nothing to say but that there is no icon."""
    # The second is from before appArmorProfile.
    for name, values, v in [(name, values, v) for name, values in VARIANTS.items() for v in ("v1.37.0", "v1.25.0")]:
        report = helm_python.lint(chart.CHART, values, strict=True, namespace=chart.NAME, kube_version=v)
        for message in report["messages"]:
            if "icon is recommended" not in message["error"]:
                yield f"{name}, {v}: {message['path']}: {message['error']}"


def refusals():
    """Values that cannot be meant are refused before anything is installed."""
    for name, (values, key) in REFUSED.items():
        try:
            chart.render(values)
            yield f"{name} was accepted"
        except helm_python.HelmError as error:
            if key not in str(error):
                yield f"{name}: the message does not name {key}: {error}"
    try:
        chart.render({"kernelLog": {"access": "devicePlugin"}})
        yield "a device plugin without a resource was accepted"
    except helm_python.HelmError as error:
        if "deviceResource" not in str(error):
            yield f"a device plugin without a resource: {error}"


def schemas():
    """Every object is accepted by the schema of each Kubernetes there is one for, unknown fields refused."""
    folder = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    versions = sorted({re.match(r"v([\d.]+)-", entry.name)[1] for entry in folder.iterdir()}, key=version)
    wanted = version(re.search(r"[\d.]+", yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["kubeVersion"])[0])
    versions = [v for v in versions if version(v) >= wanted]
    looked_at = 0
    for name, values in VARIANTS.items():
        for text in chart.documents(chart.render(values)):
            for v in versions:
                looked_at += 1
                try:
                    kubernetes_validate.validate(suited(yaml.safe_load(text), v), v, strict=True)
                except kubernetes_validate.ValidationError as error:
                    yield f"{name}: Kubernetes {v}: {error}"
    print(f"   {looked_at} validations, Kubernetes {versions[0]} to {versions[-1]}")


def suited(document, v):
    """As the chart would render it for that version: the library's own Kubernetes version cannot be chosen, so what
    semverCompare leaves out for clusters before 1.30 is left out here."""
    document = copy.deepcopy(document)
    if document["kind"] == "DaemonSet" and version(v) < (1, 30):
        document["spec"]["template"]["spec"]["containers"][0]["securityContext"].pop("appArmorProfile", None)
    return document


def version(text):
    return tuple(int(part) for part in text.split(".")[:2])


def manifests():
    """The plain manifests are those that the chart renders now."""
    for file in chart.PLAIN:
        path = chart.MANIFESTS / file
        if not path.exists() or path.read_text() != chart.plain(file):
            yield f"deploy/manifests/{file} is not what the chart renders: make manifests"


def consistency():
    """What one object says of another is so: names, accounts, selectors, mounts; and what is granted is read-only."""
    for name, values in VARIANTS.items():
        objects = [yaml.safe_load(text) for text in chart.documents(chart.render(values, namespace="ns"))]
        by_kind = {o["kind"]: o for o in objects}
        pod = by_kind["DaemonSet"]["spec"]["template"]
        selector = by_kind["DaemonSet"]["spec"]["selector"]["matchLabels"]
        if not selector.items() <= pod["metadata"]["labels"].items():
            yield f"{name}: the selector does not select the pod"
        if pod["metadata"]["labels"]["app.kubernetes.io/name"] != "oomscope":
            yield f"{name}: `oomscope pod` does not find the pod: app/src/cli/pod/agent.rs"
        container = pod["spec"]["containers"][0]
        if {m["name"] for m in container["volumeMounts"]} != {v["name"] for v in pod["spec"]["volumes"]}:
            yield f"{name}: mounts and volumes differ"
        for mount in container["volumeMounts"]:
            # `watch` looks for the node's files at the paths that they have on the node.
            path = next(v["hostPath"]["path"] for v in pod["spec"]["volumes"] if v["name"] == mount["name"])
            if mount["mountPath"] != path:
                yield f"{name}: {path} is mounted at {mount['mountPath']}"
        if "ServiceAccount" in by_kind and by_kind["ServiceAccount"]["metadata"]["name"] != pod["spec"]["serviceAccountName"]:
            yield f"{name}: the pod has another account"
        if "ClusterRoleBinding" in by_kind:
            subject = by_kind["ClusterRoleBinding"]["subjects"][0]
            if (subject["name"], subject["namespace"]) != (pod["spec"]["serviceAccountName"], "ns"):
                yield f"{name}: the roles are bound to another account"
            for rule in by_kind["ClusterRole"]["rules"]:
                if not set(rule["verbs"]) <= {"get", "list", "watch", "use"} or "*" in rule["resources"] + rule["apiGroups"]:
                    yield f"{name}: {rule} grants more than reading"
        recorded = int(next(a for a in container["args"] if a.startswith("--memory=")).split("=")[1])
        if int(container["resources"]["limits"]["memory"].removesuffix("Mi")) < 2 * recorded:
            yield f"{name}: the memory limit has no room for a recording of {recorded} MiB"


def flags(binary):
    """`oomscope watch` knows every argument that the DaemonSet gives it, and every value of those that have a choice."""
    help_text = subprocess.run([binary, "watch", "--help"], capture_output=True, text=True, check=True).stdout
    for name, values in VARIANTS.items():
        objects = (yaml.safe_load(text) for text in chart.documents(chart.render(values)))
        arguments = next(o for o in objects if o["kind"] == "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["args"]
        for argument in arguments[1:]:
            flag = argument.split("=")[0]
            if flag.startswith("--") and not re.search(rf"(^|\s){re.escape(flag)}\b", help_text):
                yield f"{name}: watch has no {flag}"
    schema = json.loads((chart.CHART / "values.schema.json").read_text())["properties"]["watch"]["properties"]
    for key in ("output", "minSeverity"):
        for choice in schema[key]["enum"]:
            if not re.search(rf"- {choice}:", help_text):
                yield f"watch.{key}: watch has no {choice}"


def containerfile():
    """hadolint has nothing to say of the Containerfile, and the program is where `oomscope pod` runs it in the image."""
    if "/image/usr/bin/oomscope" not in (chart.ROOT / "deploy/Containerfile").read_text():
        yield "/usr/bin/oomscope is not in the image: app/src/cli/pod/agent.rs"
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", chart.ROOT / "deploy/Containerfile"], capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stdout + done.stderr


def main(arguments):
    checks = [lint, refusals, schemas, manifests, consistency, containerfile]
    if arguments:
        checks.append(lambda: flags(arguments[0]))
        checks[-1].__doc__ = flags.__doc__
    failed = 0
    for check in checks:
        print(f"-- {check.__doc__.splitlines()[0]}", flush=True)
        for failure in check():
            print(f"deploy-check: {failure}", file=sys.stderr)
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
