//! A made-up cgroup v2 machine in a folder: a pod of one container with two processes, whose names mean harm.

use std::fs;
use std::path::Path;

use super::run::Files;

/// The pod's cgroup.
pub(crate) const POD: &str = "/kubepods.slice/kubepods-burstable.slice/\
                              kubepods-burstable-pod0f1e2d3c_1111_2222_3333_444455556666.slice";
/// The container's id.
pub(crate) const CONTAINER: &str = "3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4c";

/// The machine; to be given to `--root`.
pub(crate) struct FakeNode(Files);

impl FakeNode {
    pub(crate) fn new() -> Self {
        let node = Self(Files::new());
        node.write("proc/self/cgroup", "0::/\n");
        node.write("proc/1/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
        node.write("proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n");
        node.cgroups();
        // A name that would clear the screen and turn the text around.
        node.process(4711, "\u{1b}[2J\u{202e}x", 180, 60, 3);
        node.process(4712, "worker", 30, 60, 1);
        node
    }

    pub(crate) fn root(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub(crate) fn container(&self) -> String {
        format!("{POD}/cri-containerd-{CONTAINER}.scope")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cgroup(&self, path: &str, file: &str, text: &str) {
        self.write(&format!("sys/fs/cgroup{path}/{file}"), text);
    }

    fn cgroups(&self) {
        let container = self.container();
        for level in Path::new(&container).ancestors() {
            let level = level.to_str().unwrap().trim_end_matches('/');
            self.cgroup(level, "cgroup.controllers", "memory\n");
            self.cgroup(level, "cgroup.procs", "");
            if !level.is_empty() {
                self.level(level, 600 << 20, "max");
            }
        }
        // The kubelet gives the pod the sum of its containers' limits; here another container has taken most of it.
        self.level(POD, 500 << 20, "536870912");
        self.level(&container, 300 << 20, "402653184");
        self.cgroup(&container, "cgroup.procs", "4711\n4712\n");
        self.cgroup(&container, "memory.high", "377487360\n");
        self.cgroup(&container, "memory.oom.group", "1\n");
        self.cgroup(&container, "memory.swap.max", "0\n");
        self.cgroup(&container, "memory.events.local", "low 0\nhigh 12\nmax 40\noom 2\noom_kill 1\noom_group_kill 1\n");
        self.cgroup(
            &container,
            "memory.pressure",
            "some avg10=1.50 avg60=0.40 avg300=0.09 total=2500000\nfull avg10=0.75 avg60=0.20 avg300=0.04 total=1200000\n",
        );
        self.stat(200, 60, 20);
    }

    fn level(&self, level: &str, usage: u64, max: &str) {
        self.cgroup(level, "memory.current", &format!("{usage}\n"));
        self.cgroup(level, "memory.max", &format!("{max}\n"));
        self.cgroup(level, "memory.peak", &format!("{}\n", usage + (10 << 20)));
        self.cgroup(level, "memory.events", "low 0\nhigh 12\nmax 40\noom 2\noom_kill 1\n");
        self.cgroup(level, "memory.events.local", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
        for (file, value) in
            [("memory.high", "max"), ("memory.low", "0"), ("memory.min", "0"), ("memory.oom.group", "0")]
        {
            self.cgroup(level, file, &format!("{value}\n"));
        }
    }

    /// The container's `memory.stat`, in MiB; with 20 MiB of kernel memory.
    pub(crate) fn stat(&self, anon: u64, shmem: u64, cache: u64) {
        let mib = |n: u64| n << 20;
        let text = format!(
            "anon {}\nfile {}\nkernel {}\nkernel_stack {}\npagetables {}\npercpu {}\nsock {}\nshmem {}\nslab_reclaimable {}\n\
             slab_unreclaimable {}\nslab {}\n",
            mib(anon),
            mib(shmem + cache),
            mib(20),
            mib(1),
            mib(2),
            mib(1),
            mib(3),
            mib(shmem),
            mib(4),
            mib(8),
            mib(12),
        );
        self.cgroup(&self.container(), "memory.stat", &text);
        self.cgroup(&self.container(), "memory.current", &format!("{}\n", mib(anon + shmem + cache + 23)));
    }

    /// A process with so many MiB on its heap, so many KiB of a shared library, so many sockets.
    pub(crate) fn process(&self, pid: u32, name: &str, heap: u64, library: u64, sockets: u32) {
        let folder = format!("proc/{pid}");
        let cgroup = self.container();
        let (heap, mapped) = (heap << 10, 1 << 10);
        self.write(&format!("{folder}/comm"), &format!("{name}\n"));
        self.write(&format!("{folder}/cmdline"), "/srv/app\0--serve\0");
        self.write(&format!("{folder}/cgroup"), &format!("0::{cgroup}\n"));
        self.write(&format!("{folder}/oom_score_adj"), "937\n");
        let zeros = "0 ".repeat(30);
        self.write(
            &format!("{folder}/stat"),
            &format!("{pid} (x) S 1 {pid} {pid} 0 -1 4194560 {}{pid} {zeros}\n", "0 ".repeat(12)),
        );
        let status = format!(
            "Name:\tx\nPPid:\t1\nUid:\t0\t0\t0\t0\nVmRSS:\t{} kB\nRssAnon:\t{heap} kB\nRssFile:\t{library} kB\nRssShmem:\t{mapped} kB\n\
             VmSwap:\t0 kB\nVmPTE:\t64 kB\nThreads:\t4\n",
            heap + library + mapped
        );
        self.write(&format!("{folder}/status"), &status);
        let mapping = |range: &str, name: &str, size: u64, pss: u64, anon: u64| {
            format!(
                "{range} rw-p 00000000 00:00 0 {name}\nSize: {size} kB\nRss: {size} kB\nPss: {pss} kB\nAnonymous: {anon} kB\nSwap: 0 kB\n"
            )
        };
        let half = library / 2;
        let smaps = [
            mapping("10000000-20000000", "[heap]", heap, heap, heap),
            mapping("30000000-40000000", "/lib/\u{1b}]0;title\u{7}.so", library, half, 0),
            mapping("50000000-60000000", "/dev/shm/ring", mapped, mapped, 0),
        ];
        self.write(&format!("{folder}/smaps"), &smaps.concat());
        let is_mapping = |line: &&str| line.contains(" rw-p ");
        let maps = smaps.concat().lines().filter(is_mapping).map(|line| format!("{line}\n")).collect::<String>();
        self.write(&format!("{folder}/maps"), &maps);
        self.write(
            &format!("{folder}/smaps_rollup"),
            &format!("0-1 ---p 0 00:00 0 [rollup]\nPss: {} kB\n", heap + half + mapped),
        );
        let fds = self.0.path().join(&folder).join("fd");
        let _ = fs::remove_dir_all(&fds);
        fs::create_dir_all(&fds).unwrap();
        for fd in 0..sockets {
            std::os::unix::fs::symlink(format!("socket:[{fd}]"), fds.join(fd.to_string())).unwrap();
        }
    }
}
