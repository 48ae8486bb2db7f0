//! The processes of the watched cgroups: who they are, read once in a while, and what they hold, read often.
//!
//! Names, arguments and scores are five files; what a process holds is one, kept open. Looking at three processes of each of
//! a hundred containers costs a few thousandths of what a core can do.

use std::cmp::Reverse;
use std::collections::HashMap;

use oomscope_core::evidence::Process;
use oomscope_core::text::Untrusted;
use oomscope_core::time::BootTime;
use oomscope_sources::process::{Meter, Proc};

/// Names and scores are read again after this: a process may become another program, or be given another score.
const IDENTITY_US: u64 = 60_000_000;
/// What is known of a process that has ended is kept this long: its death may be told late.
const KEPT_US: u64 = 300_000_000;

/// A process that is followed.
#[derive(Debug)]
struct Followed {
    /// `None` once it has ended.
    meter: Option<Meter>,
    process: Process,
    /// Its cgroup.
    home: u64,
    identified: BootTime,
    seen: BootTime,
}

/// All of them, by pid.
#[derive(Debug)]
pub(super) struct Processes {
    proc: Proc,
    followed: HashMap<u32, Followed>,
    /// Where processes were at an alarm; most of them are not followed yet.
    homes: HashMap<u32, (u64, BootTime)>,
}

impl Processes {
    pub(super) fn new(proc: Proc) -> Self {
        Self { proc, followed: HashMap::new(), homes: HashMap::new() }
    }

    /// What the processes of a cgroup hold now, largest first. Those that have ended meanwhile are left out.
    pub(super) fn look(&mut self, home: u64, pids: &[u32], now: BootTime) -> Vec<Process> {
        let mut processes: Vec<Process> = pids.iter().filter_map(|pid| self.one(home, *pid, now)).collect();
        processes.sort_by_key(|process| Reverse(process.rss()));
        processes
    }

    fn one(&mut self, home: u64, pid: u32, now: BootTime) -> Option<Process> {
        if let Some(followed) = self.followed.get_mut(&pid)
            && now.0.saturating_sub(followed.identified.0) < IDENTITY_US
            && followed.read(home, now)
        {
            return Some(followed.process.clone());
        }
        let process = self.proc.read(pid).ok()?;
        let meter = self.proc.meter(pid).ok();
        let followed = Followed { meter, process: process.clone(), home, identified: now, seen: now };
        self.followed.insert(pid, followed);
        Some(process)
    }

    /// These were in the cgroup at an alarm.
    pub(super) fn live_in(&mut self, home: u64, pids: &[u32], at: BootTime) {
        self.homes.extend(pids.iter().map(|pid| (*pid, (home, at))));
    }

    /// The cgroup in which a process was seen last, alive or not.
    pub(super) fn home_of(&self, pid: u32) -> Option<u64> {
        let followed = self.followed.get(&pid).map(|followed| (followed.home, followed.seen));
        let seen = [followed, self.homes.get(&pid).copied()].into_iter().flatten().max_by_key(|(_, seen)| *seen);
        seen.map(|(home, _)| home)
    }

    /// The memory cgroup of a process that may still be there.
    pub(super) fn cgroup_now(&self, pid: u32) -> Option<Untrusted> {
        self.proc.memory_cgroup(pid)
    }

    /// Forgets those that were not seen for long.
    pub(super) fn tidy(&mut self, now: BootTime) {
        self.homes.retain(|_, (_, seen)| now.0.saturating_sub(seen.0) <= KEPT_US);
        self.followed.retain(|_, followed| now.0.saturating_sub(followed.seen.0) <= KEPT_US);
    }
}

impl Followed {
    /// False where it has ended: the pid may be another process by now.
    fn read(&mut self, home: u64, now: BootTime) -> bool {
        let Some(Ok(point)) = self.meter.as_ref().map(|meter| meter.point(now)) else {
            self.meter = None;
            return false;
        };
        self.process.anon_bytes = Some(point.anon_bytes);
        self.process.file_bytes = Some(point.file_bytes);
        self.process.shmem_bytes = Some(point.shmem_bytes);
        self.process.swap_bytes = Some(point.swap_bytes);
        (self.home, self.seen) = (home, now);
        true
    }
}
