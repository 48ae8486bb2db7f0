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
    [survive(root), stay_in_memory(root)].into_iter().flatten().collect()
}

/// Up to the hard limit needs no permission. With fewer, [`CgroupFiles`](oomscope_sources::cgroup::CgroupFiles) opens files anew
/// for each reading, and says so.
pub(crate) fn raise_open_files() {
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
fn stay_in_memory(root: &HostRoot) -> Option<Gap> {
    let gap = |why| Gap::new("promptness of the watcher when memory is short", why);
    let status = std::fs::read_to_string(root.path("/proc/self/status")).unwrap_or_default();
    if !may_lock(&status) && getrlimit(Resource::Memlock).current.is_some() {
        // With MCL_FUTURE an allocation beyond that limit fails, and ends the program.
        return Some(gap("locking its pages into memory takes CAP_IPC_LOCK".to_owned()));
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let error = mlockall(all).err()?;
    Some(gap(format!("locking its pages into memory: {error}; it takes CAP_IPC_LOCK")))
}

/// The limit on locked memory does not hold for this process: CAP_IPC_LOCK is effective (/proc/PID/status, capabilities(7)).
fn may_lock(status: &str) -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether memory may be locked without limit is read off the effective capabilities alone, and a broken line says no.
    #[test]
    fn locking_memory() {
        for (status, expected) in [
            ("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n", true),
            ("CapEff:\t0000000000004000\n", true),
            ("CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffbfff\n", false),
            ("CapEff:\tgarbage\n", false),
            ("", false),
        ] {
            assert_eq!(may_lock(status), expected, "{status}");
        }
    }
}
