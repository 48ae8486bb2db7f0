//! The limits of a cgroup, and which of those above it is the one that will be met.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oomscope_core::evidence::Limits;
use oomscope_core::formats::cgroup::{Version, flag, limit, oom_control};
use oomscope_core::units::Limit;

use super::kept_file::read_once;
use super::place::Hierarchy;

/// Reads every limit of an open folder.
pub(super) fn read(directory: &OwnedFd, version: Version, buffer: &mut Vec<u8>) -> Limits {
    match version {
        Version::V1 => Limits {
            max_bytes: value(directory, "memory.limit_in_bytes", buffer, limit),
            low_bytes: value(directory, "memory.soft_limit_in_bytes", buffer, limit),
            memory_swap_max_bytes: value(directory, "memory.memsw.limit_in_bytes", buffer, limit),
            oom_kill_disable: value(directory, "memory.oom_control", buffer, |text| oom_control(text).oom_kill_disable),
            ..Limits::default()
        },
        Version::V2 => Limits {
            max_bytes: value(directory, "memory.max", buffer, limit),
            high_bytes: value(directory, "memory.high", buffer, limit),
            low_bytes: value(directory, "memory.low", buffer, limit),
            min_bytes: value(directory, "memory.min", buffer, limit),
            swap_max_bytes: value(directory, "memory.swap.max", buffer, limit),
            oom_group: value(directory, "memory.oom.group", buffer, flag),
            ..Limits::default()
        },
    }
}

fn value<T>(directory: &OwnedFd, name: &str, buffer: &mut Vec<u8>, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    if read_once(directory, name, buffer).ok()? { parse(buffer) } else { None }
}

/// The smallest limit of a cgroup and of those above it, and whose it is.
///
/// Of equal ones the outermost, since the most is charged to it: a pod with one container is at its limit no later than the
/// container. Where nothing limits it, the cgroup itself.
#[must_use]
pub fn limit_on_path(hierarchy: &Hierarchy, folder: &Path) -> (Limit, PathBuf) {
    let mut smallest = (Limit::Unlimited, folder);
    for cgroup in folder.ancestors().take_while(|cgroup| cgroup.starts_with(hierarchy.mount())) {
        // v1 before 5.11 could pass nothing on to the parent (`memory.use_hierarchy`).
        if cgroup != folder
            && hierarchy.version() == Version::V1
            && file(cgroup, "memory.use_hierarchy", flag) == Some(false)
        {
            break;
        }
        let name = match hierarchy.version() {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        if let Some(Limit::At(bytes)) = file(cgroup, name, limit)
            && Limit::At(bytes) <= smallest.0
        {
            smallest = (Limit::At(bytes), cgroup);
        }
    }
    (smallest.0, smallest.1.to_owned())
}

fn file<T>(cgroup: &Path, name: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    parse(&std::fs::read(cgroup.join(name)).ok()?)
}
