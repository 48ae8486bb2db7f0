//! What a verb is asked about: a cgroup, named in one of the ways in which people know it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use oomscope_core::formats::cgroup as format;
use oomscope_core::incident::identity::identify;
use oomscope_sources::cgroup::Hierarchy;
use oomscope_sources::process::Proc;

/// A shorter piece of a container's or pod's id says too little: what `docker ps` and a pod's cgroup show at least.
const SHORT_CONTAINER_ID: usize = 12;
const SHORT_POD_UID: usize = 8;
/// A pid has at most seven digits; what is longer is an id.
const LONGEST_PID: usize = 7;
/// Cgroups named when several fit.
const LISTED: usize = 5;
/// Folders that lie deeper are not looked into: a path that long could not be opened anyway (`PATH_MAX`).
const DEEPEST: usize = 128;

/// What `--help` says of a target.
pub(crate) const HELP: &str = "a cgroup's path, a pid, a container id or its beginning (12 digits), a pod's uid or its beginning \
                               (8 digits), or a systemd unit";

/// A target, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The folder of its cgroup.
    pub(crate) folder: PathBuf,
    /// The process that was named, if one was.
    pub(crate) pid: Option<u32>,
}

impl Target {
    /// Finds it. The error says what was looked for, and where.
    pub(crate) fn find(text: &OsStr, hierarchy: &Hierarchy, proc: &Proc) -> anyhow::Result<Self> {
        let bytes = text.as_bytes();
        if bytes.contains(&b'/') {
            return Ok(Self { folder: by_path(Path::new(text), hierarchy)?, pid: None });
        }
        if let Some(pid) = pid(bytes) {
            return Ok(Self { folder: by_pid(pid, hierarchy, proc)?, pid: Some(pid) });
        }
        Ok(Self { folder: by_name(bytes, hierarchy)?, pid: None })
    }
}

/// As it is mounted, as the kernel's log calls it, or below the mount.
fn by_path(path: &Path, hierarchy: &Hierarchy) -> anyhow::Result<PathBuf> {
    let mount = hierarchy.mount();
    let folder = if path.starts_with(mount) {
        Some(path.to_owned())
    } else if path.is_absolute() {
        hierarchy.folder(path)
    } else {
        Some(mount.join(path))
    };
    let is_cgroup = |folder: &PathBuf| folder.join("cgroup.procs").exists();
    let has_dots = path.components().any(|part| part == std::path::Component::ParentDir);
    folder
        .filter(|folder| !has_dots && is_cgroup(folder))
        .with_context(|| format!("no cgroup {} in {}", path.display(), mount.display()))
}

fn pid(text: &[u8]) -> Option<u32> {
    if text.len() > LONGEST_PID || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn by_pid(pid: u32, hierarchy: &Hierarchy, proc: &Proc) -> anyhow::Result<PathBuf> {
    let path = proc.memory_cgroup(pid).with_context(|| format!("no process has the pid {pid}"))?;
    let folder = hierarchy.folder(Path::new(OsStr::from_bytes(path.as_bytes()))).filter(|folder| folder.is_dir());
    folder.with_context(|| {
        format!(
            "the cgroup of process {pid}, {path}, lies outside of what is mounted at {}",
            hierarchy.mount().display()
        )
    })
}

fn by_name(name: &[u8], hierarchy: &Hierarchy) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    walk(hierarchy.mount(), &mut |folder| {
        let is_it = is_called(hierarchy.kernel_path(folder).as_os_str().as_bytes(), name);
        if is_it {
            found.push(folder.to_owned());
        }
        !is_it
    });
    // Whoever shows the error escapes it.
    let shown = String::from_utf8_lossy(name);
    match found.as_slice() {
        [] => bail!("nothing here is called \"{shown}\"; a target is {HELP}"),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<_> = several.iter().take(LISTED).map(|folder| hierarchy.kernel_path(folder)).collect();
            let names: Vec<_> = names.iter().map(|path| path.display().to_string()).collect();
            bail!("\"{shown}\" is {} cgroups, among them {}: give the path of one", several.len(), names.join(", "))
        }
    }
}

/// Whether a cgroup is the container, the pod or the unit of this name.
fn is_called(path: &[u8], name: &[u8]) -> bool {
    let last = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if !name.is_empty() && (last == name || last.strip_suffix(b".service") == Some(name)) {
        return true;
    }
    let Some(owner) = identify(path) else { return false };
    let starts_with = |id: &Option<String>, name: &[u8], least: usize| {
        name.len() >= least && id.as_ref().is_some_and(|id| id.as_bytes().starts_with(name))
    };
    if starts_with(&owner.container_id, name, SHORT_CONTAINER_ID) {
        return true;
    }
    // systemd's driver writes the uid with underscores; whoever copies it from there may too.
    let uid: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    starts_with(&owner.pod_uid, uid.strip_prefix(b"pod").unwrap_or(&uid), SHORT_POD_UID)
}

/// A cgroup and those above it whose limits are limits for it too.
pub(crate) fn upwards<'a>(hierarchy: &'a Hierarchy, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
    let visible = folder.ancestors().take_while(|level| level.starts_with(hierarchy.mount()));
    // v1 before 5.11 could pass nothing on to the parent.
    visible.take_while(move |level| *level == folder || !passes_nothing_on(level))
}

fn passes_nothing_on(folder: &Path) -> bool {
    std::fs::read(folder.join("memory.use_hierarchy")).ok().and_then(|text| format::flag(&text)) == Some(false)
}

/// Shows `visit` a cgroup and those below it, parents first; it answers whether to go further down. Those that go away or may not be
/// read meanwhile are passed over.
pub(crate) fn walk(folder: &Path, visit: &mut impl FnMut(&Path) -> bool) {
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        if !visit(&folder) || depth == DEEPEST {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| (entry.path(), depth + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f1e2d3c_1111_2222_3333_444455556666.slice";
    const ID: &str = "3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4c";

    /// A container, a pod and a unit answer to their names and the beginnings that people see, and to nothing shorter.
    #[test]
    fn names() {
        let container = format!("{POD}/cri-containerd-{ID}.scope");
        let is_called = |path: &str, name: &str| is_called(path.as_bytes(), name.as_bytes());
        assert!(is_called(&container, ID) && is_called(&container, "3d4cccf9d78b"));
        assert!(!is_called(&container, "3d4cccf9d78") && !is_called(&container, ""));
        assert!(is_called(POD, "0f1e2d3c-1111-2222-3333-444455556666") && is_called(POD, "0f1e2d3c"));
        assert!(is_called(POD, "pod0f1e2d3c_1111"));
        assert!(is_called("/system.slice/nginx.service", "nginx") && is_called("/system.slice", "system.slice"));
        assert!(!is_called("/system.slice/nginx.service", "ngin"));
    }

    /// A number is a pid unless it is as long as an id.
    #[test]
    fn pids() {
        assert_eq!((pid(b"4194304"), pid(b"123456789012"), pid(b"12a")), (Some(4_194_304), None, None));
    }
}
