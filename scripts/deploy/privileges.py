"""Runs the DaemonSet's container here, with runc and a real OOM kill, and takes its privileges away one by one.

    privileges.py BINARY MANIFEST…          what is lost without each: the evidence for the table in docs/deploy.md
    privileges.py --check BINARY MANIFEST…  only as rendered; fails where something is lost that should be there

A process that dies may be gone before it is looked at, so its mappings, PSS and open files are not held against it.

The container is made from the rendered manifest as containerd's CRI plugin makes it (internal/cri/server/container_create.go):
capabilities, device rules, namespaces, mounts, masked paths, memory limit. Not like there: no seccomp and no AppArmor profile.
It needs root, runc and a memory cgroup that it may make children of; BINARY must be static. It watches, limits and kills only
what it started itself, in cgroups below its own, and removes them.
"""

import contextlib
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import yaml

MIB = 1 << 20
LIMIT = 24 * MIB
POD = "pod3f3b1f6a-0000-4000-8000-00000000000e"
# Another user's process with some open files, which grows when it is told to.
VICTIM = """
import ctypes, os, sys, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
# Else /proc/PID belongs to root, as that of a program that has changed its user without exec.
PR_SET_DUMPABLE = 4
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
files = [open('/etc/passwd') for _ in range(5)]
print('ready', flush=True); sys.stdin.readline()
held = []
while True:
    held.append(bytearray(b'x' * 1048576)); time.sleep(0.05)
"""
# What an ordinary container may not see or write of /proc (the kubelet's DefaultMaskedPaths, DefaultReadonlyPaths).
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


# Of a process that is about to die.
LUCK = ("mappings", "PSS", "open files")


class Skip(Exception):
    """This machine cannot show it."""


class Machine:
    """The memory hierarchy, and where in it a cgroup may be made."""

    def __init__(self):
        lines = [line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()]
        v1 = [path for _, names, path in lines if "memory" in names.split(",")]
        self.v2 = not v1
        self.path = (v1 or [path for _, names, path in lines if not names])[0].rstrip("/")
        self.mount = pathlib.Path("/sys/fs/cgroup" if self.v2 else "/sys/fs/cgroup/memory")
        if self.v2:
            self.path = self.passes_memory_on()

    def passes_memory_on(self):
        """On v2 a cgroup with processes has no children with controllers, so the new one goes beside its own or further up."""
        own = self.mount / self.path.lstrip("/")
        for upper in [own, *own.parents]:
            control = upper / "cgroup.subtree_control"
            if upper.is_relative_to(self.mount) and control.exists() and "memory" in control.read_text().split():
                return str(upper).removeprefix(str(self.mount))
        raise Skip("no cgroup above this one passes the memory controller on")

    @contextlib.contextmanager
    def scratch(self):
        """A cgroup for all that is made here, as the kernel calls it."""
        before = set(self.folders())
        path = f"{self.path}/oomscope-deploy-{os.getpid()}"
        folder = self.mount / path.lstrip("/")
        try:
            folder.mkdir()
        except OSError as error:
            raise Skip(f"making a memory cgroup: {error}") from error
        try:
            if self.v2:
                (folder / "cgroup.subtree_control").write_text("+memory")
            yield path
        finally:
            # runc makes its folder in every hierarchy.
            for made in sorted(set(self.folders()) - before, key=lambda f: -len(f.parts)):
                if f"oomscope-deploy-{os.getpid()}" in made.parts or not any(made.iterdir()) or own_parent(made, self.path):
                    with contextlib.suppress(OSError):
                        made.rmdir()

    def folders(self):
        roots = [self.mount] if self.v2 else [f for f in pathlib.Path("/sys/fs/cgroup").iterdir() if f.is_dir()]
        for root in roots:
            place = root / self.path.lstrip("/")
            # Those on the way to its own place, and all below it.
            for upper in [place, *place.parents]:
                if upper.is_relative_to(root) and upper != root and upper.is_dir():
                    yield upper
            if place.is_dir():
                yield from (f for f in place.rglob("*") if f.is_dir())

    def cgroup(self, path, limit):
        folder = self.mount / path.lstrip("/")
        folder.mkdir(parents=True)
        if self.v2:
            for upper in reversed([f for f in folder.parents if "oomscope-deploy-" in str(f)]):
                (upper / "cgroup.subtree_control").write_text("+memory")
        (folder / ("memory.max" if self.v2 else "memory.limit_in_bytes")).write_text(str(limit))
        return folder


def own_parent(folder, path):
    """A folder of the same name as one of this process's own, in a hierarchy where it is elsewhere."""
    return any(str(folder).endswith(str(part)) for part in [pathlib.Path(path), *pathlib.Path(path).parents][:-1])


class Container:
    """The one container of a rendered DaemonSet."""

    def __init__(self, manifest):
        documents = [d for d in yaml.safe_load_all(pathlib.Path(manifest).read_text()) if d]
        pod = next(d for d in documents if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]
        self.spec = pod["containers"][0]
        self.host_pid = pod.get("hostPID", False)
        self.volumes = {v["name"]: v["hostPath"] for v in pod["volumes"]}
        security = self.spec["securityContext"]
        self.privileged = security.get("privileged", False)
        self.device = self.privileged
        names = security.get("capabilities", {}).get("add", [])
        self.capabilities = bounding() if self.privileged else [f"CAP_{name}" for name in names]
        self.mounts = copy.deepcopy(self.spec["volumeMounts"])

    def without(self, **changes):
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def oci(self, machine, scratch, store, arguments):
        """The OCI runtime's config.json."""
        capabilities = [c for c in self.capabilities if c in bounding()]
        binds = [self.bind(mount, store) for mount in self.mounts]
        binds = [b for b in binds if os.path.exists(b["source"])]
        proc = {"destination": "/proc", "type": "proc", "source": "proc"}
        dev = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}
        sys_options = ["nosuid", "noexec", "nodev", "rw" if self.privileged else "ro"]
        sys_mount = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": sys_options}
        spaces = ["network", "ipc", "uts", "mount"]
        spaces += [] if self.host_pid else ["pid"]
        # containerd: none on v1 and none for privileged containers.
        spaces += ["cgroup"] if machine.v2 and not self.privileged else []
        limit = int(self.spec["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
        environment = [f"{e['name']}={e['value']}" for e in self.spec["env"] if "value" in e]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": self.spec["securityContext"]["runAsUser"], "gid": 0},
                "args": ["/oomscope", *self.spec["args"], *arguments],
                "env": environment,
                "cwd": "/",
                "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
                "noNewPrivileges": not self.spec["securityContext"].get("allowPrivilegeEscalation", True),
            },
            "root": {"path": "rootfs", "readonly": self.spec["securityContext"]["readOnlyRootFilesystem"]},
            "mounts": [proc, dev, sys_mount, *binds],
            "linux": {
                "cgroupsPath": f"{scratch}/watch",
                "namespaces": [{"type": kind} for kind in spaces],
                "resources": {"devices": [{"allow": self.device, "access": "rwm"}], "memory": {"limit": limit}},
                "maskedPaths": [] if self.privileged else MASKED,
                "readonlyPaths": [] if self.privileged else READ_ONLY,
            },
        }

    def bind(self, mount, store):
        path = self.volumes[mount["name"]]["path"]
        source = str(store) if mount["name"] == "store" else path
        options = ["rbind", "rprivate", "ro" if mount.get("readOnly") else "rw"]
        return {"destination": mount["mountPath"], "type": "bind", "source": source, "options": options}


def bounding():
    """The capabilities that this process may pass on."""
    names = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
             "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
             "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
             "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split()
    status = pathlib.Path("/proc/self/status").read_text()
    held = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    return [f"CAP_{name}" for bit, name in enumerate(names) if held >> bit & 1]


def observe(container, binary, machine):
    """One kill, watched from the container: what the last case of it holds, and what the watcher said it cannot have."""
    with machine.scratch() as scratch, tempfile.TemporaryDirectory() as place:
        bundle, store = pathlib.Path(place), pathlib.Path(place) / "store"
        (bundle / "rootfs").mkdir()
        store.mkdir()
        os.link(binary, bundle / "rootfs/oomscope") if same_disk(binary, bundle) else copy_file(binary, bundle / "rootfs/oomscope")
        victims = machine.cgroup(f"{scratch}/kubepods/{POD}/{'e' * 64}", LIMIT)
        arguments = ["--cgroup", str(machine.mount) + f"{scratch}/kubepods", "--for", "30s", "--count", "1"]
        (bundle / "config.json").write_text(json.dumps(container.oci(machine, scratch, store, arguments)))
        victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        name = f"oomscope-deploy-{os.getpid()}"
        runc = ["runc", "--root", str(bundle / "runc")]
        with open(bundle / "out", "w") as out, open(bundle / "err", "w") as err:
            watcher = subprocess.Popen([*runc, "run", "--bundle", str(bundle), name], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            try:
                victim.stdout.readline()
                (victims / "cgroup.procs").write_text(str(victim.pid))
                wait_for("the watcher", lambda: "watching" in (bundle / "err").read_text() or watcher.poll() is not None)
                time.sleep(1)
                with contextlib.suppress(BrokenPipeError):
                    print(file=victim.stdin, flush=True)
                victim.wait(20)
                watcher.wait(40)
            finally:
                victim.kill()
                victim.wait()
                subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)
                watcher.wait(10)
        cases = [json.loads(line) for line in (bundle / "out").read_text().splitlines() if line.startswith("{")]
        said = (bundle / "err").read_text()
        return facts(cases[-1] if cases else None, said, store)


def facts(case, said, store):
    """Each as a sentence's worth of truth: None is 'cannot be seen here'."""
    incident = (case or {}).get("incident", {})
    kill = (incident.get("kills") or [{}])[0]
    processes = (incident.get("timeline") or {}).get("processes") or []
    snapshot = next((p["snapshot"] for p in processes if p.get("snapshot")), {}) or {}
    peaks = [c["rows"].get("peak_bytes") for c in (incident.get("timeline") or {}).get("cgroups") or []]
    return {
        "case": case is not None,
        "kernel log": bool((kill.get("extent") or {}).get("header")),
        "victim's name": bool([v for v in kill.get("victims") or [] if v.get("comm")]),
        "kill seen in the kernel": bool(incident.get("contexts")),
        "code that asked": bool((kill.get("stacks") or {}).get("user")),
        "growth": any(c["rows"].get("current_bytes") for c in (incident.get("timeline") or {}).get("cgroups") or []),
        "peaks": any(any(v is not None for v in p or []) for p in peaks),
        "processes": bool(processes),
        "mappings": bool(snapshot.get("mappings")),
        "PSS": snapshot.get("pss_bytes") is not None,
        "open files": bool(snapshot.get("fds")),
        "real time": "real-time" not in said + json.dumps(incident.get("gaps")),
        "own score": "oom_score_adj" not in said,
        "pages locked": "locking its pages" not in said,
        "store": (store / "incidents.db").exists(),
    }


def observe_well(container, binary, machine):
    """What needs luck in the last milliseconds of the victim gets three chances."""
    seen = observe(container, binary, machine)
    for _ in range(2):
        if seen["case"] and all(seen[what] for what in LUCK):
            break
        again = observe(container, binary, machine)
        seen = {what: there or again[what] for what, there in seen.items()}
    return seen


def wait_for(what, condition):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"privileges: waited 30 s for {what}")
        time.sleep(0.05)


def same_disk(one, other):
    return os.stat(one).st_dev == os.stat(other).st_dev


def copy_file(source, to):
    to.write_bytes(pathlib.Path(source).read_bytes())
    to.chmod(0o755)


def variants(container):
    """As it is, then with less."""
    yield "as rendered", container
    if container.privileged:
        # What of a privileged container it is that counts: the device alone, with the capabilities that are said to be used.
        used = [f"CAP_{c}" for c in ("SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_NICE", "SYS_RESOURCE", "IPC_LOCK", "BPF", "PERFMON")]
        container = container.without(privileged=False, capabilities=used)
        yield "eight capabilities and the device", container
        yield "the same without the device rule", container.without(device=False)
    for capability in container.capabilities:
        yield f"without {capability}", container.without(capabilities=[c for c in container.capabilities if c != capability])
    for mount in container.mounts:
        if mount["name"] in ("cgroup", "kmsg"):
            yield f"without the mount {mount['name']}", container.without(mounts=[m for m in container.mounts if m is not mount])
    read_only = [{**m, "readOnly": True} if m["name"] == "cgroup" else m for m in container.mounts]
    yield "cgroups read-only", container.without(mounts=read_only)
    yield "without hostPID", container.without(host_pid=False)


def main(arguments):
    check = "--check" in arguments
    binary, *manifests = [a for a in arguments if a != "--check"]
    if os.geteuid() != 0:
        raise Skip("it needs root")
    if subprocess.run(["sh", "-c", "command -v runc"], capture_output=True, check=False).returncode:
        raise Skip("there is no runc")
    machine = Machine()
    # CONFIG_RT_GROUP_SCHED gives a new cgroup no real-time budget.
    lacking = {*LUCK, "real time"} | ({"own score"} if "CAP_SYS_RESOURCE" not in bounding() else set())
    failed = False
    for manifest in manifests:
        whole = Container(manifest)
        expected = None
        for name, container in variants(whole):
            if check and name != "as rendered":
                break
            seen = observe(container, binary, machine) if check else observe_well(container, binary, machine)
            expected = expected or seen
            lost = [what for what, there in seen.items() if not there and (expected[what] or container is whole)]
            allowed = lacking if whole.device else lacking | {"kernel log", "victim's name"}
            bad = check and bool(set(lost) - allowed)
            failed |= bad
            told = ("lost: " if bad or not check else "as is known, without: ") + ", ".join(lost) if lost else "nothing is lost"
            print(f"{pathlib.Path(manifest).stem}: {name}: {told}", flush=True)
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Skip as reason:
        print(f"SKIPPED privileges: {reason}", file=sys.stderr)
        sys.exit(75)
