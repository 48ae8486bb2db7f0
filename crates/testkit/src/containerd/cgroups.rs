//! A kubepods of one's own, below a scratch cgroup of one's own.
//!
//! runc makes a container's folder in every hierarchy of cgroup v1, under the path that it has in the memory hierarchy, and removes
//! only the last one. What it made above is removed here, and nothing that was there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::{Scratch, Version};
use oomscope_sources::host_root::HostRoot;

/// As much as all pods of a test may take together.
const LIMIT: Bytes = Bytes(1 << 30);
const MOUNTS: &str = "/sys/fs/cgroup";
/// Killed processes hold their cgroup for a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// In a hierarchy without the memory controller.
#[derive(Debug)]
struct Other {
    /// The scratch cgroup, made by runc: all below it is the test's own.
    own: PathBuf,
    /// Folders above it that were not there before, the innermost first.
    above: Vec<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Cgroups {
    scratch: Scratch,
    /// The scratch cgroup's path in every hierarchy.
    path: PathBuf,
    /// The same cgroup in the other hierarchies.
    others: Vec<Other>,
}

impl Cgroups {
    pub(super) fn new() -> Result<Self> {
        let scratch = Scratch::create(&HostRoot::default(), LIMIT)?;
        let mount = match scratch.version() {
            Version::V1 => Path::new(MOUNTS).join("memory"),
            Version::V2 => PathBuf::from(MOUNTS),
        };
        let path =
            scratch.folder().strip_prefix(&mount).context("cgroups are not mounted at the usual place")?.to_owned();
        let others = match scratch.version() {
            Version::V1 => other_hierarchies(&mount)?.iter().map(|hierarchy| Other::new(hierarchy, &path)).collect(),
            Version::V2 => Vec::new(),
        };
        Ok(Self { scratch, path, others })
    }

    /// The folder that kubepods is in, of the memory hierarchy.
    pub(super) fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// The path by which runc and the kernel call a cgroup of a pod.
    pub(super) fn path(&self, below: &str) -> String {
        format!("/{}/{below}", self.path.display())
    }

    /// Makes a pod's cgroup as the kubelet does.
    pub(super) fn make(&self, below: &str, limit: Option<Bytes>) -> Result<()> {
        let folder = self.folder().join(below);
        let mut made = self.folder().to_owned();
        for part in Path::new(below) {
            if self.scratch.version() == Version::V2 {
                fs::write(made.join("cgroup.subtree_control"), "+memory")
                    .with_context(|| format!("passing memory on in {}", made.display()))?;
            }
            made.push(part);
            match fs::create_dir(&made) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("making {}", made.display()));
                }
                _ => {}
            }
        }
        if let Some(limit) = limit {
            let file = match self.scratch.version() {
                Version::V1 => "memory.limit_in_bytes",
                Version::V2 => "memory.max",
            };
            fs::write(folder.join(file), limit.0.to_string())?;
        }
        Ok(())
    }

    /// Kills what still runs in them, which is nobody's but the test's, and removes all that was made.
    pub(super) fn remove(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.remove_once() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        for folder in self.others.iter().flat_map(|other| &other.above) {
            // Somebody else may have found it there meanwhile, and use it: then it is not empty, and stays.
            let _ = fs::remove_dir(folder);
        }
    }

    /// False where some are still held by processes that are ending.
    fn remove_once(&self) -> bool {
        let below_scratch = below(self.folder());
        below_scratch.iter().for_each(|folder| kill_all(folder));
        let others = self.others.iter().map(|other| &other.own).filter(|own| own.is_dir());
        let others = others.flat_map(|own| below(own).into_iter().chain([own.clone()]));
        below_scratch.into_iter().chain(others).filter(|folder| fs::remove_dir(folder).is_err()).count() == 0
    }
}

impl Other {
    fn new(hierarchy: &Path, path: &Path) -> Self {
        let own = hierarchy.join(path);
        let above = own.ancestors().skip(1).take_while(|folder| *folder != hierarchy && !folder.exists());
        Self { above: above.map(Path::to_owned).collect(), own }
    }
}

/// Every hierarchy of cgroup v1 but the memory's, and the unified one beside them.
fn other_hierarchies(memory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(MOUNTS)? {
        let path = entry?.path();
        // Several controllers may share a hierarchy, and then have links to it.
        if path != memory && fs::symlink_metadata(&path)?.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The cgroups below a folder, the innermost first.
fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    folders.flat_map(|path| below(&path).into_iter().chain([path])).collect()
}

fn kill_all(cgroup: &Path) {
    let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
