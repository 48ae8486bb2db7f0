//! A made-up machine with cgroup v2: which files are read and what they mean. That a kernel behaves so, only a kernel can tell.

use std::fs;
use std::path::{Path, PathBuf};

use oomscope_core::recorder::{Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{AlarmKind, Alarms, CgroupFiles, Depth, Hierarchy, PeakReset, limit_on_path};
use oomscope_sources::host_root::HostRoot;

const NOW: BootTime = BootTime(1);

/// The machine's folder, removed when dropped, and its hierarchy.
pub(crate) fn machine() -> (tempfile::TempDir, Hierarchy) {
    let tree = tempfile::tempdir().unwrap();
    let root = HostRoot::at(tree.path());
    let mount = root.path("/sys/fs/cgroup");
    for folder in [&mount, &root.path("/proc/self"), &root.path("/proc/1")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(mount.join("cgroup.controllers"), "memory\n").unwrap();
    // This process sees a part of the hierarchy; the machine's first process sees all of it.
    fs::write(root.path("/proc/self/mountinfo"), "30 24 0:26 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
    fs::write(root.path("/proc/1/mountinfo"), "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
    fs::write(root.path("/proc/self/cgroup"), "0::/\n").unwrap();
    let hierarchy = Hierarchy::of_this_machine(&root).unwrap();
    (tree, hierarchy)
}

/// A cgroup with these files.
fn cgroup(hierarchy: &Hierarchy, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = hierarchy.mount().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cgroup.procs"), "10\n0\n11\n").unwrap();
    files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
    folder
}

/// Every file lands in its series, its own counters before those of everything below.
#[test]
fn a_recent_kernel() {
    let (_machine, hierarchy) = machine();
    let files = [
        ("memory.current", "40960\n"),
        ("memory.peak", "81920\n"),
        (
            "memory.stat",
            "anon 8192\nfile 12288\nkernel 4096\nsock 0\nshmem 4096\nslab_reclaimable 1\nslab_unreclaimable 2\n",
        ),
        ("memory.events", "low 0\nhigh 1\nmax 20\noom 3\noom_kill 4\noom_group_kill 1\n"),
        ("memory.events.local", "low 0\nhigh 0\nmax 10\noom 1\noom_kill 2\noom_group_kill 0\n"),
        ("memory.pressure", "some avg10=0 avg60=0 avg300=0 total=5000\nfull avg10=0 avg60=0 avg300=0 total=3000\n"),
        ("memory.swap.current", "16384\n"),
        ("memory.max", "131072\n"),
        ("memory.high", "max\n"),
        ("memory.oom.group", "1\n"),
    ];
    let folder = cgroup(&hierarchy, "a/b", &files);
    let mut files = CgroupFiles::open(&hierarchy, &folder, PeakReset::Never).unwrap();
    assert_eq!(files.kernel_path(), Path::new("/a/b"));
    let usage = Sample::new(NOW).with(Series::Current, 40960);
    assert_eq!(files.sample(NOW, Depth::Usage).unwrap(), usage);
    let events = usage.with(Series::High, 0).with(Series::Max, 10).with(Series::Oom, 1).with(Series::OomKill, 2);
    assert_eq!(files.sample(NOW, Depth::Events).unwrap(), events);
    let full = [
        (Series::Anon, 8192),
        (Series::File, 8192),
        (Series::Shmem, 4096),
        (Series::Kernel, 4096),
        (Series::Sock, 0),
        (Series::SlabReclaimable, 1),
        (Series::SlabUnreclaimable, 2),
        (Series::Swap, 16384),
        (Series::PressureSome, 5000),
        (Series::PressureFull, 3000),
        (Series::Processes, 2),
    ];
    let full = full.into_iter().fold(events, |sample, (series, value)| sample.with(series, value));
    assert_eq!(files.sample(NOW, Depth::Full).unwrap(), full);
    assert_eq!(files.lifetime_peak(), Some(Bytes(81920)));

    let counters = files.counters().unwrap();
    assert_eq!(counters.local.unwrap().oom_kill, Some(2));
    assert_eq!(counters.hierarchical.unwrap().oom_kill, Some(4));
    let limits = files.limits().unwrap();
    assert_eq!((limits.max_bytes, limits.high_bytes), (Some(Limit::At(Bytes(131_072))), Some(Limit::Unlimited)));
    assert_eq!((limits.oom_group, limits.swap_max_bytes), (Some(true), None));

    // The highest ever has risen between two readings: that is a peak.
    fs::write(folder.join("memory.peak"), "90112\n").unwrap();
    assert_eq!(files.sample(NOW, Depth::Usage).unwrap().get(Series::Peak), Some(90112));
    assert_eq!(files.sample(NOW, Depth::Usage).unwrap().get(Series::Peak), None);
}

/// Before 5.2 there are no local counters, and the others are local; before 5.19 there is no peak, and that is said.
#[test]
fn an_old_kernel() {
    let (_machine, hierarchy) = machine();
    let events = ("memory.events", "low 0\nhigh 0\nmax 20\noom 3\noom_kill 4\n");
    let folder = cgroup(&hierarchy, "a", &[("memory.current", "4096\n"), events, ("memory.max", "max\n")]);
    let mut files = CgroupFiles::open(&hierarchy, &folder, PeakReset::PerFile).unwrap();
    let counters = files.counters().unwrap();
    assert_eq!((counters.local.unwrap().oom_kill, counters.hierarchical), (Some(4), None));
    assert_eq!(files.sample(NOW, Depth::Full).unwrap().get(Series::OomKill), Some(4));
    assert_eq!(files.lifetime_peak(), None);
    assert!(files.gaps()[0].why.contains("5.19"), "{:?}", files.gaps());
}

/// A manager makes the cgroup first and turns the controller on for it a moment later.
#[test]
fn the_controller_comes_later() {
    let (_machine, hierarchy) = machine();
    let folder = cgroup(&hierarchy, "a", &[]);
    let mut files = CgroupFiles::open(&hierarchy, &folder, PeakReset::PerFile).unwrap();
    assert_eq!(files.sample(NOW, Depth::Full).unwrap(), Sample::new(NOW).with(Series::Processes, 2));
    assert!(files.gaps()[0].why.contains("not on"), "{:?}", files.gaps());
    fs::write(folder.join("memory.current"), "4096\n").unwrap();
    files.sample(NOW, Depth::Full).unwrap();
    assert_eq!(files.usage().unwrap(), Some(Bytes(4096)));
}

/// Damage in any file leaves the value unknown and the others known.
#[test]
fn damaged_files() {
    let (_machine, hierarchy) = machine();
    let files = [("memory.current", "-5\n"), ("memory.stat", "anon \u{1b}[31m\nfile 1\n"), ("memory.max", "lots\n")];
    let folder = cgroup(&hierarchy, "a", &files);
    let mut files = CgroupFiles::open(&hierarchy, &folder, PeakReset::Never).unwrap();
    assert_eq!(files.sample(NOW, Depth::Full).unwrap(), Sample::new(NOW).with(Series::Processes, 2));
    assert_eq!(files.limits().unwrap().max_bytes, None);
}

/// The limit that will be met may be any number of levels up; where there is none, none is named.
#[test]
fn the_limit_above() {
    let (_machine, hierarchy) = machine();
    let pod = cgroup(&hierarchy, "pod", &[("memory.max", "8192\n")]);
    let container = cgroup(&hierarchy, "pod/x/container", &[("memory.max", "max\n")]);
    assert_eq!(limit_on_path(&hierarchy, &container), (Limit::At(Bytes(8192)), pod));
    let free = cgroup(&hierarchy, "free", &[("memory.max", "max\n")]);
    assert_eq!(limit_on_path(&hierarchy, &free), (Limit::Unlimited, free));
}

/// A change of `memory.events` rings with the key of its cgroup, once however many there were, and no more once forgotten.
#[test]
fn a_counter_changes() {
    let (_machine, hierarchy) = machine();
    let alarms = Alarms::new(&hierarchy).unwrap();
    let folders = ["a", "b"].map(|name| cgroup(&hierarchy, name, &[("memory.events", "oom 0\n")]));
    for (key, folder) in folders.iter().enumerate() {
        let files = CgroupFiles::open(&hierarchy, folder, PeakReset::Never).unwrap();
        alarms.watch(key as u64, &files, None).unwrap();
        alarms.watch(key as u64, &files, None).unwrap();
    }
    let nothing_rings = || alarms.wait(Some(std::time::Duration::ZERO)).unwrap().is_empty();
    let change =
        |folder: &Path| (0..3).for_each(|n| fs::write(folder.join("memory.events"), format!("oom {n}\n")).unwrap());
    assert!(nothing_rings());
    change(&folders[1]);
    let rang: Vec<_> = alarms.wait(None).unwrap().into_iter().map(|alarm| (alarm.key, alarm.kind)).collect();
    assert_eq!(rang, [(1, AlarmKind::Events)]);
    alarms.forget(1);
    change(&folders[1]);
    assert!(nothing_rings());
}
