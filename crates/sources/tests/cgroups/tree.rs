//! Cgroups coming and going.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oomscope_sources::cgroup::{Change, Hierarchy, Tree};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{Own, unified};

/// Two hundred cgroups that come and go while they are followed: each is told to have come once and to
/// have gone once, in this order.
#[test]
fn two_hundred_come_and_go() {
    let Some(own) = Own::limited_to(64) else { return };
    let top = own.scratch.folder().to_owned();
    let mut tree = Tree::open(&own.hierarchy, &top).unwrap();
    assert_eq!(tree.changes().unwrap(), [Change::Appeared(top.clone())]);

    let maker = std::thread::spawn(move || {
        for n in 0..200 {
            let folder = top.join(format!("c{n}"));
            std::fs::create_dir(&folder).unwrap();
            if n % 2 == 0 {
                std::fs::remove_dir(&folder).unwrap();
            }
        }
        for n in (1..200).step_by(2) {
            std::fs::remove_dir(top.join(format!("c{n}"))).unwrap();
        }
    });
    let mut all = Vec::new();
    while !maker.is_finished() {
        all.extend(tree.changes().unwrap());
    }
    maker.join().unwrap();
    all.extend(tree.changes().unwrap());
    let counts = count(&all);
    assert_eq!(counts.len(), 200);
    assert!(counts.values().all(|count| *count == (1, 1)), "{counts:?}");
    assert_eq!(tree.gaps(), []);
}

/// What is made below a new cgroup before it could be watched is found; a descriptor tells when to look.
#[test]
fn nested_at_once() {
    let (_machine, hierarchy) = unified::machine();
    let mut tree = Tree::open(&hierarchy, hierarchy.mount()).unwrap();
    tree.changes().unwrap();
    let deep = hierarchy.mount().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    let mut fds = [PollFd::new(&tree, PollFlags::IN)];
    assert_eq!(poll(&mut fds, None).unwrap(), 1);
    let names = ["a", "a/b", "a/b/c"].map(|name| hierarchy.mount().join(name));
    assert_eq!(tree.changes().unwrap(), names.clone().map(Change::Appeared));
    std::fs::rename(hierarchy.mount().join("a"), hierarchy.mount().join("z")).unwrap();
    let moved = tree.changes().unwrap();
    let gone = names.into_iter().rev().map(Change::Vanished);
    let come = ["z", "z/b", "z/b/c"].map(|name| Change::Appeared(hierarchy.mount().join(name)));
    assert_eq!(moved, gone.chain(come).collect::<Vec<_>>());
}

/// More changes than the kernel queues: afterwards what is told is what is there.
#[test]
fn more_than_the_queue_holds() {
    let queue = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: usize = queue.trim().parse().unwrap();
    if queue > 1 << 15 {
        return;
    }
    let (_machine, hierarchy) = unified::machine();
    let mut tree = Tree::open(&hierarchy, hierarchy.mount()).unwrap();
    let kept: Vec<_> = ["first", "last"].map(|name| hierarchy.mount().join(name)).into();
    std::fs::create_dir(&kept[0]).unwrap();
    for n in 0..queue / 2 + 1 {
        let folder = hierarchy.mount().join(n.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::remove_dir(&folder).unwrap();
    }
    std::fs::create_dir(&kept[1]).unwrap();
    let mut all = tree.changes().unwrap();
    std::fs::remove_dir(&kept[0]).unwrap();
    all.extend(tree.changes().unwrap());
    assert_eq!(all.first(), Some(&Change::Appeared(hierarchy.mount().to_owned())));
    let left: Vec<_> =
        count(&all[1..]).into_iter().filter(|(_, (come, gone))| come > gone).map(|(path, _)| path).collect();
    assert_eq!(left, [kept[1].as_path()]);
}

/// A tree nested without end is followed to a depth, and that is said. A folder outside of the hierarchy is refused.
#[test]
fn bounds() {
    let (_machine, hierarchy) = unified::machine();
    let deep: PathBuf = std::iter::repeat_n("d", 80).collect();
    std::fs::create_dir_all(hierarchy.mount().join(deep)).unwrap();
    let mut tree = Tree::open(&hierarchy, hierarchy.mount()).unwrap();
    assert_eq!(tree.changes().unwrap().len(), 65);
    assert!(tree.gaps()[0].why.contains("nested"), "{:?}", tree.gaps());
    assert!(Tree::open(&hierarchy, Path::new("/proc")).is_err());
    assert!(Tree::open(&hierarchy, &hierarchy.mount().join("none")).is_err());
}

/// The topmost cgroup's own removal is told too.
#[test]
fn the_top_goes() {
    let (_machine, hierarchy) = unified::machine();
    let top = make(&hierarchy, "pod");
    let below = make(&hierarchy, "pod/container");
    let mut tree = Tree::open(&hierarchy, &top).unwrap();
    assert_eq!(tree.changes().unwrap(), [Change::Appeared(top.clone()), Change::Appeared(below.clone())]);
    std::fs::remove_dir(&below).unwrap();
    std::fs::remove_dir(&top).unwrap();
    assert_eq!(tree.changes().unwrap(), [Change::Vanished(below), Change::Vanished(top)]);
}

fn make(hierarchy: &Hierarchy, name: &str) -> PathBuf {
    let folder = hierarchy.mount().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// How often each came and went, in this order.
fn count(changes: &[Change]) -> HashMap<&Path, (usize, usize)> {
    let mut counts = HashMap::new();
    for change in changes {
        match change {
            Change::Appeared(path) => counts.entry(path.as_path()).or_insert((0, 0)).0 += 1,
            Change::Vanished(path) => {
                let (come, gone) = counts.entry(path.as_path()).or_insert((0, 0));
                *gone += 1;
                assert!(gone <= come, "{path:?} went before it came");
            }
        }
    }
    counts
}
