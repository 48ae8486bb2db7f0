//! Every memory cgroup of the machine with its charge, at as nearly one instant as can be had.
//!
//! The folders are listed first; then the charges of all are read in one go, those below before those above, and only then what takes
//! longer. Depth and number are bounded, as whoever may make cgroups of his own could make any number.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use oomscope_core::evidence::Gap;
use oomscope_core::formats::cgroup as format;
use oomscope_core::ledger::{CgroupUse, Charged};
use oomscope_core::units::Bytes;

use super::Version;
use super::place::Hierarchy;

/// Deeper ones are counted in those above.
const DEEPEST: usize = 32;
/// More are counted in those above.
const MOST: usize = 1 << 14;
/// `memory.stat` has some sixty lines.
const LARGEST_FILE: u64 = 64 << 10;

/// A folder, with the places of those below it.
struct Found {
    folder: PathBuf,
    depth: usize,
    usage: Option<Bytes>,
    below: Vec<usize>,
}

/// The topmost visible cgroup with all below it.
#[must_use]
pub fn census(hierarchy: &Hierarchy, gaps: &mut Vec<Gap>) -> CgroupUse {
    let mut found = list(hierarchy.mount(), gaps);
    let names = Names::of(hierarchy.version());
    let mut refused = 0_u64;
    for cgroup in found.iter_mut().rev() {
        match read(&cgroup.folder.join(names.usage)) {
            Ok(text) => cgroup.usage = text.and_then(|text| format::number(&text)).map(Bytes),
            Err(_) => refused += 1,
        }
    }
    if refused > 0 {
        gaps.push(Gap::new(format!("the charge of {refused} cgroups"), format!("{} could not be read", names.usage)));
    }
    // Those below a cgroup come after it.
    let mut done: Vec<Option<CgroupUse>> = Vec::new();
    done.resize_with(found.len(), || None);
    for (at, cgroup) in found.iter().enumerate().rev() {
        let children = cgroup.below.iter().filter_map(|child| done.get_mut(*child)?.take()).collect();
        let read = describe(hierarchy, cgroup, &names, children);
        if let Some(place) = done.get_mut(at) {
            *place = Some(read);
        }
    }
    done.into_iter().next().flatten().unwrap_or_default()
}

/// Parents before children.
fn list(top: &Path, gaps: &mut Vec<Gap>) -> Vec<Found> {
    let of = |folder: PathBuf, depth| Found { folder, depth, usage: None, below: Vec::new() };
    let mut found = vec![of(top.to_owned(), 0)];
    let mut at = 0;
    let (mut too_many, mut too_deep) = (false, false);
    while let Some(cgroup) = found.get(at) {
        let depth = cgroup.depth;
        let mut folders = folders(&cgroup.folder);
        if depth == DEEPEST {
            too_deep |= !folders.is_empty();
            folders.clear();
        }
        for folder in folders {
            if found.len() == MOST {
                too_many = true;
                break;
            }
            let place = found.len();
            if let Some(parent) = found.get_mut(at) {
                parent.below.push(place);
            }
            found.push(of(folder, depth + 1));
        }
        at += 1;
    }
    if too_many {
        gaps.push(Gap::new(
            "some cgroups by themselves",
            format!("there are more than {MOST}: the others are counted in those above"),
        ));
    }
    if too_deep {
        gaps.push(Gap::new(
            "some cgroups by themselves",
            format!("they are nested more than {DEEPEST} deep: they are counted in those above"),
        ));
    }
    found
}

/// None where it is gone meanwhile.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

struct Names {
    usage: &'static str,
    limit: &'static str,
    kernel: Option<&'static str>,
}

impl Names {
    const fn of(version: Version) -> Self {
        match version {
            Version::V1 => Self {
                usage: "memory.usage_in_bytes",
                limit: "memory.limit_in_bytes",
                kernel: Some("memory.kmem.usage_in_bytes"),
            },
            Version::V2 => Self { usage: "memory.current", limit: "memory.max", kernel: None },
        }
    }
}

fn describe(hierarchy: &Hierarchy, cgroup: &Found, names: &Names, children: Vec<CgroupUse>) -> CgroupUse {
    let file = |name: &str| read(&cgroup.folder.join(name)).ok().flatten();
    let number = |name: &str| file(name).and_then(|text| format::number(&text));
    let stat = file("memory.stat").map(|text| format::stat(&text)).filter(|stat| !stat.is_empty());
    CgroupUse {
        path: hierarchy.kernel_path(&cgroup.folder).as_os_str().as_bytes().into(),
        usage: cgroup.usage,
        limit: file(names.limit).and_then(|text| format::limit(&text)),
        charged: stat.map(|stat| Charged::of(&stat, hierarchy.version(), names.kernel.and_then(number))),
        children,
    }
}

/// `None`: there is no such file.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut text)) {
        Ok(_) => Ok(Some(text)),
        // Without the controller there is no file; a cgroup that goes away answers ENODEV.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_root::HostRoot;

    /// A machine with these cgroups of v2, each with its charge.
    fn machine(cgroups: &[(&str, Option<u64>)]) -> (tempfile::TempDir, Hierarchy) {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(&mount).unwrap();
        std::fs::write(mount.join("cgroup.controllers"), "memory\n").unwrap();
        for (path, usage) in cgroups {
            let cgroup = mount.join(path);
            std::fs::create_dir_all(&cgroup).unwrap();
            if let Some(usage) = usage {
                std::fs::write(cgroup.join("memory.current"), format!("{usage}\n")).unwrap();
                std::fs::write(cgroup.join("memory.max"), "max\n").unwrap();
                std::fs::write(cgroup.join("memory.stat"), format!("anon {usage}\nfile 0\n")).unwrap();
            }
        }
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let hierarchy = Hierarchy::find(&HostRoot::at(folder.path()), mountinfo, "0::/\n").unwrap();
        (folder, hierarchy)
    }

    /// Every cgroup with its charge, in its place; those without the controller without one.
    #[test]
    fn a_tree() {
        let (_folder, hierarchy) =
            machine(&[("a", Some(30)), ("a/b", Some(20)), ("a/b/c", Some(5)), ("a/d", None), ("e", Some(1))]);
        let mut gaps = Vec::new();
        let root = census(&hierarchy, &mut gaps);
        assert_eq!((root.path.to_string().as_str(), root.usage, gaps.len()), ("/", None, 0));
        let names: Vec<_> = root.children.iter().map(|child| child.path.to_string()).collect();
        assert_eq!(names, ["/a", "/e"]);
        let a = &root.children[0];
        assert_eq!((a.usage, a.children[1].usage), (Some(Bytes(30)), None));
        let c = &a.children[0].children[0];
        assert_eq!((c.path.to_string().as_str(), c.charged.and_then(|charged| charged.anon)), ("/a/b/c", Some(5)));
        assert!(hierarchy.is_whole());
    }

    /// Whoever nests cgroups without end is counted in those above, and that is said.
    #[test]
    fn too_deep() {
        let deep = vec!["x"; DEEPEST + 3].join("/");
        let (_folder, hierarchy) = machine(&[(&deep, Some(1))]);
        let mut gaps = Vec::new();
        let mut cgroup = census(&hierarchy, &mut gaps);
        let mut depth = 0;
        while let Some(child) = cgroup.children.pop() {
            (cgroup, depth) = (child, depth + 1);
        }
        assert_eq!((depth, gaps.len()), (DEEPEST, 1));
    }
}
