//! The hierarchy that has the memory controller, and where in it a new memory cgroup may go.
//!
//! A cgroup v1 memory hierarchy lets anything be made below one's own cgroup. On v2 a cgroup that holds processes may not
//! pass controllers on to children (the no-internal-process rule, Documentation/admin-guide/cgroup-v2.rst), so a new one goes
//! beside one's own cgroup or beside one further up; only the real root is exempt.

use std::path::{Component, Path, PathBuf};

use super::Version;
use super::error::{Error, read};
use crate::host_root::HostRoot;

/// A mounted hierarchy that has the memory controller, and where this process stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub(super) version: Version,
    /// Where it is mounted, with the [`HostRoot`] in front.
    pub(super) mount: PathBuf,
    /// This process's own cgroup as a folder; the mount itself where it lies outside of what is mounted.
    pub(super) own: PathBuf,
    /// The path by which the kernel's log calls `mount`, as far as this process can know it from inside its namespace.
    pub(super) kernel_path_of_mount: PathBuf,
    /// Mounted so that `memory.events` counts as `memory.events.local` does (the option `memory_localevents`).
    pub(super) events_are_local: bool,
}

impl Hierarchy {
    /// The hierarchy of the machine below `root`.
    ///
    /// # Errors
    /// [`Error::File`] where /proc cannot be read, [`Error::NoController`].
    pub fn of_this_machine(root: &HostRoot) -> Result<Self, Error> {
        let own = read(&root.path("/proc/self/cgroup"))?;
        let (mountinfo, mounts) = mounts_of(root)?;
        Self::find(root, &mounts, &own).ok_or(Error::NoController { mountinfo })
    }

    /// Which interface it has.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The folder of its topmost visible cgroup.
    #[must_use]
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The mount shows every cgroup of the machine, and not only those of a container.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        is_root(self.version, &self.mount)
    }

    /// The path by which the kernel's log calls a cgroup; inside a cgroup namespace only the end of that path.
    #[must_use]
    pub fn kernel_path(&self, folder: &Path) -> PathBuf {
        match folder.strip_prefix(&self.mount) {
            Ok(below) if below.as_os_str().is_empty() => self.kernel_path_of_mount.clone(),
            Ok(below) => self.kernel_path_of_mount.join(below),
            Err(_) => folder.to_owned(),
        }
    }

    /// The folder of a cgroup that the kernel's log names, whether or not it still exists; `None` where it lies outside of what
    /// is mounted here.
    #[must_use]
    pub fn folder(&self, kernel_path: &Path) -> Option<PathBuf> {
        let below = kernel_path.strip_prefix(&self.kernel_path_of_mount).ok()?;
        // The path comes out of a log: it must not lead out of the hierarchy.
        below
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
            .then(|| if below.as_os_str().is_empty() { self.mount.clone() } else { self.mount.join(below) })
    }

    /// The memory hierarchy in use: v1 where the controller is there (also on hybrid systems), else v2.
    pub(super) fn find(root: &HostRoot, mountinfo: &str, own_cgroup: &str) -> Option<Self> {
        let mounts: Vec<_> = mountinfo.lines().filter_map(Mount::parse).collect();
        let v1 = mounts.iter().find(|m| m.kind == "cgroup" && m.options.split(',').any(|o| o == "memory"));
        let v2 = mounts.iter().filter(|m| m.kind == "cgroup2").find(|m| has_memory(&root.path(&m.at)));
        let (mount, version, own) = match (v1, v2) {
            (Some(mount), _) => {
                (mount, Version::V1, path_of(own_cgroup, |names| names.split(',').any(|n| n == "memory")))
            }
            (None, Some(mount)) => (mount, Version::V2, path_of(own_cgroup, str::is_empty)),
            (None, None) => return None,
        };
        let at = root.path(&mount.at);
        // `/../x`: outside of the cgroup namespace, so outside of what is mounted.
        let below = own.and_then(|own| own.strip_prefix(&mount.root).ok().map(Path::to_owned)).unwrap_or_default();
        let own =
            if below.components().all(|c| matches!(c, Component::Normal(_))) { at.join(below) } else { at.clone() };
        let events_are_local = mount.options.split(',').any(|option| option == "memory_localevents");
        // In a cgroup namespace the mount of the whole machine is `/../..`, as far up as the namespace's own root is deep.
        let is_above = mount.root.components().any(|c| c == Component::ParentDir);
        let is_whole = is_above && is_root(version, &at);
        let kernel_path_of_mount = if is_whole { PathBuf::from("/") } else { mount.root.clone() };
        Some(Self { version, own, mount: at, kernel_path_of_mount, events_are_local })
    }

    /// Folders to make a new cgroup in, best first.
    pub(super) fn parents(&self) -> Vec<PathBuf> {
        let upwards = self.own.ancestors().take_while(|folder| folder.starts_with(&self.mount));
        match self.version {
            Version::V1 => upwards.map(Path::to_owned).collect(),
            Version::V2 => {
                // Beside, not below, unless there is nothing above.
                let skip = usize::from(self.own != self.mount);
                let beside: Vec<_> = upwards.skip(skip).map(Path::to_owned).collect();
                // Those that pass memory on already come first: nothing else need be changed there.
                let (ready, other): (Vec<_>, Vec<_>) = beside.into_iter().partition(|folder| passes_memory_on(folder));
                ready.into_iter().chain(other.into_iter().filter(|folder| has_memory(folder))).collect()
            }
        }
    }
}

/// The mounts of the machine, and the file that says so. Seen from a container with the node's `/` elsewhere, the node's own
/// first process knows them, not this one.
fn mounts_of(root: &HostRoot) -> Result<(PathBuf, String), Error> {
    let own = root.path("/proc/self/mountinfo");
    if *root != HostRoot::default() {
        let first = root.path("/proc/1/mountinfo");
        if let Ok(mounts) = read(&first) {
            return Ok((first, mounts));
        }
    }
    read(&own).map(|mounts| (own, mounts))
}

/// The folder is the hierarchy's own root, which alone has some files of v1 and lacks some of v2 (`CFTYPE_ONLY_ON_ROOT`,
/// `CFTYPE_NOT_ON_ROOT` in kernel/cgroup/cgroup-v1.c and cgroup.c).
fn is_root(version: Version, folder: &Path) -> bool {
    match version {
        Version::V1 => folder.join("release_agent").exists(),
        Version::V2 => folder.join("cgroup.controllers").exists() && !folder.join("cgroup.events").exists(),
    }
}

/// The memory controller is available in this v2 cgroup.
fn has_memory(folder: &Path) -> bool {
    lists_memory(&folder.join("cgroup.controllers"))
}

/// Children of this v2 cgroup have memory files.
pub(super) fn passes_memory_on(folder: &Path) -> bool {
    lists_memory(&folder.join("cgroup.subtree_control"))
}

fn lists_memory(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"))
}

/// A line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
struct Mount<'a> {
    /// Which part of the file system is mounted.
    root: PathBuf,
    at: PathBuf,
    kind: &'a str,
    /// Of the file system, not of the mount: for v1 the controllers.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut filesystem = filesystem.split(' ');
        let (root, at) = (unescape(mount.next()?), unescape(mount.next()?));
        let kind = filesystem.next()?;
        let options = filesystem.nth(1)?;
        Some(Self { root, at, kind, options })
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> PathBuf {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
        .into()
}

/// The path on the line of /proc/PID/cgroup (`4:memory:/a/b`) whose controllers are the wanted ones.
fn path_of(own_cgroup: &str, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    own_cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        wanted(controllers).then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// On a hybrid system memory stays with v1, below one's own cgroup.
    #[test]
    fn hybrid() {
        let own = "4:memory:/a/b\n0::/c\n";
        let found = Hierarchy::find(&HostRoot::at("/h"), V1, own).unwrap();
        assert_eq!((found.version, found.own.as_path()), (Version::V1, Path::new("/h/sys/fs/cgroup/memory/a/b")));
        let parents = ["/h/sys/fs/cgroup/memory/a/b", "/h/sys/fs/cgroup/memory/a", "/h/sys/fs/cgroup/memory"];
        assert_eq!(found.parents(), parents.map(PathBuf::from));
    }

    /// A Docker container without a cgroup namespace sees its own cgroup mounted as if it were the root.
    #[test]
    fn part_of_a_hierarchy_is_mounted() {
        let mountinfo = "35 31 0:32 /docker/x /sys/fs/cgroup/mem\\040ory ro - cgroup cgroup rw,memory\n";
        let found = Hierarchy::find(&HostRoot::default(), mountinfo, "4:memory:/docker/x/y\n").unwrap();
        assert_eq!(found.own, Path::new("/sys/fs/cgroup/mem ory/y"));
        assert_eq!(found.kernel_path_of_mount, Path::new("/docker/x"));
        for outside in ["4:memory:/../elsewhere\n", "4:memory:/docker/x/../z\n", "0::/\n"] {
            let found = Hierarchy::find(&HostRoot::default(), mountinfo, outside).unwrap();
            assert_eq!(found.own, found.mount, "{outside}");
        }
    }

    /// In a cgroup namespace with the machine's cgroups mounted the log's paths are found; where only a part is mounted, its
    /// place in the whole is not known and is not guessed.
    #[test]
    fn the_whole_machine_seen_from_a_cgroup_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        let v1 = "35 31 0:32 /../.. /v1 rw - cgroup cgroup rw,memory\n";
        let v2 = "30 24 0:26 /../.. /v2 rw - cgroup2 cgroup2 rw\n";
        for mount in ["/v1", "/v2"] {
            std::fs::create_dir(root.path(mount)).unwrap();
        }
        std::fs::write(root.path("/v1/release_agent"), "").unwrap();
        std::fs::write(root.path("/v2/cgroup.controllers"), "memory\n").unwrap();
        for (mountinfo, mount) in [(v1, "/v1"), (v2, "/v2")] {
            let found = Hierarchy::find(&root, mountinfo, "4:memory:/\n0::/\n").unwrap();
            let cgroup = root.path(mount).join("a/b");
            assert_eq!(found.kernel_path(&cgroup), Path::new("/a/b"));
            assert_eq!(found.folder(Path::new("/a/b")), Some(cgroup));
        }
        std::fs::remove_file(root.path("/v1/release_agent")).unwrap();
        std::fs::write(root.path("/v2/cgroup.events"), "").unwrap();
        for mountinfo in [v1, v2] {
            let found = Hierarchy::find(&root, mountinfo, "4:memory:/\n0::/\n").unwrap();
            assert_eq!(found.folder(Path::new("/a/b")), None);
        }
    }

    /// On v2 the place is beside one's own cgroup, and before one that would have to be changed comes one that need not.
    #[test]
    fn unified() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        let cgroups = root.path("/sys/fs/cgroup");
        let session = cgroups.join("user.slice/session-1.scope");
        std::fs::create_dir_all(&session).unwrap();
        let own = "0::/user.slice/session-1.scope\n";
        assert_eq!(Hierarchy::find(&root, V2, own), None);
        for cgroup in [&cgroups, &cgroups.join("user.slice"), &session] {
            std::fs::write(cgroup.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
            std::fs::write(cgroup.join("cgroup.subtree_control"), "").unwrap();
        }
        let found = Hierarchy::find(&root, V2, own).unwrap();
        assert_eq!(found.parents(), [cgroups.join("user.slice"), cgroups.clone()]);
        std::fs::write(cgroups.join("cgroup.subtree_control"), "memory\n").unwrap();
        assert_eq!(found.parents(), [cgroups.clone(), cgroups.join("user.slice")]);
        // A process in the root itself, as in a container of its own namespace.
        assert_eq!(Hierarchy::find(&root, V2, "0::/\n").unwrap().parents(), [cgroups]);
    }

    /// What the log calls a cgroup and its folder are each found from the other, and a path from a log cannot lead outside.
    #[test]
    fn the_names_of_a_cgroup() {
        let whole = Hierarchy::find(&HostRoot::at("/h"), V1, "4:memory:/\n").unwrap();
        let mountinfo = "35 31 0:32 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let part = Hierarchy::find(&HostRoot::default(), mountinfo, "4:memory:/docker/x/y\n").unwrap();
        for (hierarchy, kernel, folder) in [
            (&whole, "/", "/h/sys/fs/cgroup/memory"),
            (&whole, "/a/b c", "/h/sys/fs/cgroup/memory/a/b c"),
            (&part, "/docker/x", "/sys/fs/cgroup/memory"),
            (&part, "/docker/x/y", "/sys/fs/cgroup/memory/y"),
        ] {
            // As bytes: `Path` compares `/a/` and `/a` as equal.
            assert_eq!(hierarchy.kernel_path(Path::new(folder)).as_os_str(), kernel);
            assert_eq!(hierarchy.folder(Path::new(kernel)).unwrap().as_os_str(), folder);
        }
        for outside in ["/docker/y", "/docker/x/../y", "", "docker/x"] {
            assert_eq!(part.folder(Path::new(outside)), None, "{outside}");
        }
    }

    /// Without any memory controller there is no hierarchy, rather than a wrong one.
    #[test]
    fn none() {
        assert_eq!(Hierarchy::find(&HostRoot::at("/nonexistent"), V2, "0::/\n"), None);
        assert_eq!(Hierarchy::find(&HostRoot::default(), "garbage\n - \n1 2 3 - cgroup\n", ""), None);
    }
}
