"""The chart, rendered by Helm itself: its Go library, which the package helm-python-sdk carries. No cluster is asked."""

import json
import pathlib

import helm_python

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/oomscope"
MANIFESTS = ROOT / "deploy/manifests"
NAME = "oomscope"

# The plain manifests, each with the values that differ from the chart's own.
PLAIN = {
    "oomscope.yaml": {},
    "oomscope-unprivileged.yaml": {"kernelLog": {"access": "none"}},
}
NEEDS = {"oomscope-unprivileged.yaml": "# For Kubernetes 1.30 and later, which know appArmorProfile. The chart suits older ones too.\n"}
# The order of `helm install`, as far as these kinds go: what others need comes first.
ORDER = ["Namespace", "PriorityClass", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"]


def render(values=None, name=NAME, namespace=NAME):
    """Template's file name to what it became, without those that became nothing."""
    with helm_python.Chart.load(CHART) as chart:
        # The library's render does not look at the schema; `helm install` does.
        chart.validate_schema(values or {})
        rendered = chart.render(values or {}, name=name, namespace=namespace)
    return {pathlib.PurePath(path).name: text for path, text in rendered.items() if text.strip()}


def documents(rendered):
    """The YAML documents of rendered templates, as text with comments, in the order in which they can be applied."""
    texts = [part.strip() for name, text in rendered.items() if name.endswith(".yaml") for part in text.split("\n---\n")]
    kind = lambda text: next(line.split()[1] for line in text.splitlines() if line.startswith("kind:"))
    return sorted((text for text in texts if text), key=lambda text: ORDER.index(kind(text)))


def plain(file):
    """A file of deploy/manifests."""
    values = {**PLAIN[file], "namespace": {"create": True}}
    options = "".join(f" with {json.dumps(PLAIN[file])}" for _ in [0] if PLAIN[file])
    head = (f"# Generated from deploy/helm/oomscope{options}: `make manifests`, not by hand.\n"
            f"{NEEDS.get(file, '')}"
            "# Set `image:` to an image that your nodes can pull, then: kubectl apply -f FILE\n")
    return head + "---\n" + "\n---\n".join(documents(render(values))) + "\n"


if __name__ == "__main__":
    MANIFESTS.mkdir(exist_ok=True)
    for file in PLAIN:
        (MANIFESTS / file).write_text(plain(file))
        print(f"wrote deploy/manifests/{file}")
