"""`kubectl oomscope` works as it is documented: plugin.py BINARY

The archive and the manifest that scripts/krew makes are taken apart and installed as krew does it (unpacked, the file that
`bin` names linked as kubectl-NAME into a folder of PATH), and kubectl is asked.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import chart  # only for where the project is
import yaml


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"plugin: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(binary):
    with tempfile.TemporaryDirectory() as place:
        out, packages, path = (pathlib.Path(place) / name for name in ("out", "packages", "bin"))
        krew = chart.ROOT / "scripts/krew"
        run(krew, "pack", "/bin/sh", "amd64", out)
        first = next(out.glob("*.tar.gz")).read_bytes()
        run(krew, "pack", "/bin/sh", "amd64", out)
        assert next(out.glob("*.tar.gz")).read_bytes() == first, "two archives of one program differ"

        run(krew, "pack", binary, "amd64", out)
        run(krew, "manifest", "https://example.com/releases", out)

        plugin = yaml.safe_load((out / "oomscope.yaml").read_text())
        assert (plugin["kind"], plugin["metadata"]["name"]) == ("Plugin", "oomscope")
        assert plugin["spec"]["version"].startswith("v") and len(plugin["spec"]["shortDescription"]) <= 50
        (platform,) = plugin["spec"]["platforms"]
        assert platform["selector"]["matchLabels"] == {"os": "linux", "arch": "amd64"}
        packed = out / os.path.basename(platform["uri"])
        assert hashlib.sha256(packed.read_bytes()).hexdigest() == platform["sha256"]

        with tarfile.open(packed) as tar:
            assert any(name.startswith("LICENSE") for name in tar.getnames())
            tar.extractall(packages)
        path.mkdir()
        (path / f"kubectl-{plugin['metadata']['name']}").symlink_to(packages / platform["bin"])
        environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "HOME": place}
        listed = run("kubectl", "plugin", "list", env=environment)
        assert str(path / "kubectl-oomscope") in listed, listed
        version = run("kubectl", "oomscope", "--version", env=environment)
        assert version == run(binary, "--version"), version
    print("kubectl finds and runs `kubectl oomscope`")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
