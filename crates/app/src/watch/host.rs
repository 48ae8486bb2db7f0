//! What the watcher asks of the machine for itself: enough open files, to outlive an OOM of the machine, to stay in memory.
//!
//! Each is a wish. Where it is refused, watching goes on, and the gap says what that may cost.

use oomscope_core::evidence::Gap;
use oomscope_sources::host_root::HostRoot;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kubelet's own; −1000 would be for what the machine cannot live without.
const OOM_SCORE_ADJ: &str = "-999";
/// A dozen files for each of some thousand cgroups.
const OPEN_FILES: u64 = 65_536;

/// Asks for all of it.
pub(super) fn prepare(root: &HostRoot) -> Vec<Gap> {
    raise_open_files();
    [survive(root), stay_in_memory()].into_iter().flatten().collect()
}

/// Up to the hard limit needs no permission. With fewer, [`CgroupFiles`](oomscope_sources::cgroup::CgroupFiles) opens files anew
/// for each reading, and says so.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if now.current.is_some_and(|current| current < most) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum });
    }
}

/// Lowering one's own score takes CAP_SYS_RESOURCE.
fn survive(root: &HostRoot) -> Option<Gap> {
    let error = std::fs::write(root.path("/proc/self/oom_score_adj"), OOM_SCORE_ADJ).err()?;
    let why = format!("writing {OOM_SCORE_ADJ} to /proc/self/oom_score_adj: {error}; it takes CAP_SYS_RESOURCE");
    Some(Gap::new("protection of the watcher itself when the machine runs out of memory", why))
}

/// When memory is short, the watcher's own pages would be dropped and read again just when it must be quick.
fn stay_in_memory() -> Option<Gap> {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let error = mlockall(all).err()?;
    Some(Gap::new(
        "promptness of the watcher when memory is short",
        format!("locking its pages into memory: {error}; it takes CAP_IPC_LOCK or a higher `ulimit -l`"),
    ))
}
