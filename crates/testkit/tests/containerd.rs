//! The private containerd cleans up after itself, whatever a test has left it in.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use oomscope_core::units::Bytes;
use oomscope_testkit::containerd::{ContainerSpec, Containerd, PodSpec};

/// Every process that names the path among its arguments.
fn processes_of(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let arguments = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(arguments);
    all.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(path)).collect()
}

/// Pods, volumes, containers without a pod, and a daemon that a failed test has ended: nothing of it stays.
#[test]
fn leaves_nothing_behind() {
    let Some(mut containerd) = Containerd::or_skip("leaves_nothing_behind") else { return };
    let (root, cgroup) = (containerd.root().to_owned(), containerd.cgroup().to_owned());
    let mut spec = PodSpec::new("shop", "api-1", "u-1", vec![ContainerSpec::idle("api", Some(Bytes(16 << 20)))]);
    spec.memory_volumes.insert("cache".to_owned(), Bytes(1 << 20));
    let pod = containerd.run_pod(spec).unwrap();
    containerd.run_plain("default", &ContainerSpec::idle("job", None)).unwrap();
    assert!(pod.cgroup.join(pod.id("api")).is_dir() && !processes_of(&root).is_empty());
    containerd.stop_daemon();
    // It cannot be started again either.
    fs::write(root.join("containerd.toml"), "version = nonsense").unwrap();
    drop(containerd);

    assert_eq!(processes_of(&root), [] as [String; 0]);
    let name = cgroup.file_name().unwrap().to_str().unwrap();
    let found = Command::new("find").args(["/sys/fs/cgroup", "-name", name]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
    assert!(!root.exists());
}
