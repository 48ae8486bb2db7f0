//! A made-up machine with cgroup v2: what the tests of the program cannot rely on to be there.

use std::path::Path;

use tempfile::TempDir;

use super::*;

const POD: &str = "sys/fs/cgroup/kubepods/pod1";

/// A pod of 300 MiB, of which 250 cannot be given up, with a container of 400 MiB that is killed as a whole and one without a limit.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "proc/meminfo",
        "MemTotal: 1048576 kB\nMemFree: 1024 kB\nMemAvailable: 524288 kB\nSwapTotal: 65536 kB\nSwapFree: 8192 kB\n",
    );
    write("proc/sys/vm/swappiness", "60\n");
    write("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write("proc/self/cgroup", "0::/\n");
    for (cgroup, limit, mib, pids) in [
        ("sys/fs/cgroup/kubepods", "max", 260, ""),
        (POD, "314572800", 250, ""),
        (&format!("{POD}/a"), "419430400", 150, "41\n"),
        (&format!("{POD}/b"), "max", 100, "42\n"),
    ] {
        let usage = (mib << 20).to_string();
        write(&format!("{cgroup}/memory.max"), limit);
        write(&format!("{cgroup}/memory.swap.max"), "1048576");
        write(&format!("{cgroup}/memory.current"), &usage);
        write(&format!("{cgroup}/memory.stat"), &format!("anon {usage}\nfile 0\nshmem 0\n"));
        write(&format!("{cgroup}/cgroup.procs"), pids);
        write(&format!("{cgroup}/memory.oom.group"), if cgroup.ends_with("/a") { "1\n" } else { "0\n" });
    }
    write("sys/fs/cgroup/cgroup.controllers", "memory\n");
    write("sys/fs/cgroup/cgroup.procs", "");
    for (pid, cgroup, kib) in [(41, "/kubepods/pod1/a", 153_600), (42, "/kubepods/pod1/b", 102_400)] {
        write(
            &format!("proc/{pid}/status"),
            &format!("Tgid: {pid}\nRssAnon: {kib} kB\nRssFile: 0 kB\nRssShmem: 0 kB\n"),
        );
        write(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
    }
    folder
}

fn ask(machine: &Path, target: &str, if_limit: Option<u64>) -> (oomscope_core::next::Outlook, Vec<u32>) {
    let host = Host::new(&HostRoot::at(machine));
    let (domain, candidates) = of_target(&host, target.as_ref(), if_limit.map(Bytes), &mut Vec::new()).unwrap();
    let found = outlook(domain, candidates, Machine { page_size: 4096, kernel_release: None }, 10);
    let pids = found.processes.iter().map(|row| row.process.pid).collect();
    (found, pids)
}

/// The limit with the least room decides, here the pod's, and brings the other container's process into the ranking; swap counts as far
/// as the pod may use it.
#[test]
fn the_limit_above_decides() {
    let machine = machine();
    for target in ["42", "41", "/kubepods/pod1/a"] {
        let (found, pids) = ask(machine.path(), target, None);
        assert_eq!((pids, found.domain.cgroup), (vec![41, 42], Some("/kubepods/pod1".into())), "{target}");
        assert_eq!((found.domain.swap_limit_bytes, found.room_bytes), (Bytes(1 << 20), Some(Bytes(51 << 20))));
        // The killed container is killed as a whole, the other would not be.
        assert_eq!(found.processes[0].dies_with, Some("/kubepods/pod1/a".into()));
        assert_eq!(found.processes[1].dies_with, None);
    }
}

/// A supposed limit is the target's own, and only its own processes are in the ranking.
#[test]
fn supposed() {
    let machine = machine();
    let (found, pids) = ask(machine.path(), "42", Some(50 << 20));
    assert_eq!((pids, found.domain.cgroup), (vec![42], Some("/kubepods/pod1/b".into())));
    assert_eq!(found.excess_bytes, Some(Bytes(49 << 20)), "100 MiB less 50 and the MiB of swap");
}

/// Where nothing limits the target the machine is ranked, with swap in its size.
#[test]
fn unlimited() {
    let machine = machine();
    let (found, pids) = ask(machine.path(), "/kubepods", None);
    assert_eq!((pids, found.domain.cgroup), (vec![41, 42], None));
    assert_eq!((found.domain.limit_bytes, found.domain.swap_limit_bytes), (Some(Bytes(1 << 30)), Bytes(64 << 20)));
    assert_eq!(found.processes[0].dies_with, Some("/kubepods/pod1/a".into()));
}
