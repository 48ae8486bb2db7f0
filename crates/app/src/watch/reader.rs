//! The real-time reader: waits for the kernel's alarms and looks at the processes while they are still there.
//!
//! Between the kernel's decision and the victim's end lie a few milliseconds, in which the machine is at its busiest. An
//! ordinary thread often comes too late (33 to 47 of 50 kills seen in time, 48 to 50 with SCHED_FIFO). It does nothing but
//! this, and is given nothing that could hold it up.
//!
//! Nothing else runs on its CPU meanwhile, so it has an [`Allowance`]: on cgroup v1 an OOM rings in every cgroup below the limit, and
//! a thousand snapshots would hold up the very kill they are about.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use oomscope_core::evidence::{Gap, KillContext, Occasion, Process, Snapshot};
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::{Alarm, AlarmKind, Alarms};
use oomscope_sources::clock::since_boot;
use oomscope_sources::ebpf::KillId;
use oomscope_sources::process::{Depth, Proc, real_time};

use super::contexts::KillNews;
use super::spaces::Spaces;
use super::wake::Waker;

/// Looked at for each alarm: the largest.
const PROCESSES: usize = 4;
/// Mappings that are kept of each: the largest.
const MAPPINGS: usize = 16;
/// Dear snapshots of one cgroup are at least this far apart, except at a kill.
const SNAPSHOT_EVERY_US: u64 = 10_000_000;
/// Kills of one cgroup that come faster are one.
const KILL_EVERY_US: u64 = 100_000;
/// Dear snapshots of all cgroups within [`ALLOWANCE_EVERY_US`], and the time for them: none is begun after that.
const SNAPSHOTS: usize = 8;
const SNAPSHOTS_US: u64 = 5_000;
const ALLOWANCE_EVERY_US: u64 = 20_000;
/// Of processes with more resident memory no PSS is read: that takes about 1 ms for each 100 MiB.
const PSS_UP_TO: Bytes = Bytes(2 << 30);
/// Cgroups of which is remembered when they rang last; the quiet ones are forgotten where there are more.
const REMEMBERED: usize = 4096;
/// Of the list of a cgroup's processes.
const PIDS_BYTES: u64 = 4096;
/// Alarms of one cgroup that come faster are one.
const ALARM_EVERY_US: u64 = 5_000;
/// Of SCHED_FIFO: the lowest there is, which is still above every ordinary thread.
pub(super) const PRIORITY: u8 = 1;

/// What the reader saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// An alarm, and the processes at that moment.
    Alarm {
        /// Of which cgroup.
        key: u64,
        /// Which.
        kind: AlarmKind,
        /// When it was heard.
        at: BootTime,
        /// Its processes at that moment.
        pids: Vec<u32>,
        /// Of its largest processes; empty where it was too soon after the last.
        snapshots: Vec<Snapshot>,
    },
    /// A program in the kernel saw a kill.
    Killed {
        /// Which.
        id: KillId,
        /// What it saw.
        context: Box<KillContext>,
    },
    /// More of a kill that was seen.
    OfKill {
        /// Which.
        id: KillId,
        /// What.
        news: KillNews,
    },
    /// It runs with less than it wants.
    Gap(Gap),
}

/// What the loop tells the reader of a cgroup.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Its processes, largest first, when they were last looked at.
    pub(super) largest: Vec<u32>,
    /// What they held then, together.
    pub(super) held: Bytes,
}

impl Subject {
    /// The loop has looked at its processes.
    pub(super) fn looked_at(&mut self, largest_first: &[Process]) {
        self.largest = largest_first.iter().map(|process| process.pid).collect();
        self.held = Bytes(largest_first.iter().filter_map(Process::rss).fold(0, |sum, rss| rss.0.saturating_add(sum)));
    }
}

/// Every subject, by key.
pub(super) type Subjects = Arc<Mutex<HashMap<u64, Subject>>>;

/// What it looks at.
#[derive(Debug)]
pub(super) struct Reading {
    /// Kept for the stacks of those whose they are; `None` where nobody will ask.
    pub(super) spaces: Option<Spaces>,
    pub(super) proc: Proc,
    pub(super) subjects: Subjects,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Reader {
    alarms: Arc<Alarms>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts it.
    pub(super) fn start(
        alarms: Arc<Alarms>,
        reading: Reading,
        to: Sender<Seen>,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let Reading { spaces, proc, subjects } = reading;
        let stopped = Arc::new(AtomicBool::new(false));
        let work = Work {
            alarms: Arc::clone(&alarms),
            stopped: Arc::clone(&stopped),
            spaces,
            proc,
            subjects,
            to,
            waker,
            last: HashMap::new(),
            near_limit: Allowance::default(),
            kills: Allowance::default(),
            has_spared: false,
        };
        let thread = std::thread::Builder::new().name("reader".into()).spawn(move || work.run())?;
        Ok(Self { alarms, stopped, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.alarms.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// When a cgroup was heard last.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    alarm: Option<BootTime>,
    kill: Option<BootTime>,
    snapshot: Option<BootTime>,
}

impl Last {
    /// False for one that comes too soon after the last.
    fn is_worth_hearing(&mut self, is_kill: bool, at: BootTime) -> bool {
        let (last, every) = if is_kill { (&mut self.kill, KILL_EVERY_US) } else { (&mut self.alarm, ALARM_EVERY_US) };
        let is_worth_it = !is_within(*last, every, at);
        if is_worth_it {
            *last = Some(at);
        }
        is_worth_it
    }

    fn is_quiet(&self, at: BootTime) -> bool {
        let all = [self.alarm, self.kill, self.snapshot];
        all.into_iter().all(|then| !is_within(then, SNAPSHOT_EVERY_US, at))
    }
}

fn is_within(then: Option<BootTime>, us: u64, now: BootTime) -> bool {
    then.is_some_and(|then| now.0.saturating_sub(then.0) < us)
}

/// How much more it may look at before others must have their turn.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    since: BootTime,
    snapshots: usize,
    spent_us: u64,
}

impl Allowance {
    fn renew(&mut self, now: BootTime) {
        if now.0.saturating_sub(self.since.0) >= ALLOWANCE_EVERY_US {
            *self = Self { since: now, ..Self::default() };
        }
    }

    const fn is_used_up(&self) -> bool {
        self.snapshots >= SNAPSHOTS || self.spent_us >= SNAPSHOTS_US
    }

    const fn spend(&mut self, began: BootTime, ended: BootTime) {
        self.snapshots += 1;
        self.spent_us = self.spent_us.saturating_add(ended.0.saturating_sub(began.0));
    }
}

struct Work {
    alarms: Arc<Alarms>,
    stopped: Arc<AtomicBool>,
    spaces: Option<Spaces>,
    proc: Proc,
    subjects: Subjects,
    to: Sender<Seen>,
    waker: Waker,
    last: HashMap<u64, Last>,
    near_limit: Allowance,
    /// Of its own: a cgroup that grows fast meets its limit right after it was near.
    kills: Allowance,
    /// PSS was not read of some process, which was said.
    has_spared: bool,
}

impl Work {
    fn run(mut self) {
        if let Err(gap) = real_time(PRIORITY) {
            let _ = self.to.send(Seen::Gap(gap));
        }
        loop {
            let alarms = match self.alarms.wait(None) {
                Ok(alarms) => alarms,
                Err(error) => {
                    let why = format!("waiting for them failed: {error}");
                    let _ = self.to.send(Seen::Gap(Gap::new("the kernel's alarms from then on", why)));
                    return self.waker.wake();
                }
            };
            if self.stopped.load(Ordering::Acquire) || !self.hear_all(&alarms) {
                return;
            }
            self.waker.wake();
        }
    }

    /// Kills first, and the fullest cgroups: while the allowance lasts. False when nobody listens any more.
    fn hear_all(&mut self, alarms: &[Alarm]) -> bool {
        let now = since_boot();
        self.near_limit.renew(now);
        self.kills.renew(now);
        let mut heard: Vec<(Alarm, Subject)> = {
            let subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
            alarms.iter().map(|alarm| (*alarm, subjects.get(&alarm.key).cloned().unwrap_or_default())).collect()
        };
        heard.sort_by_key(|(alarm, subject)| Reverse((alarm.kind == AlarmKind::Oom, subject.held)));
        heard.iter().all(|(alarm, subject)| self.hear(*alarm, subject))
    }

    /// False when nobody listens any more.
    fn hear(&mut self, alarm: Alarm, subject: &Subject) -> bool {
        let at = since_boot();
        let is_kill = alarm.kind == AlarmKind::Oom;
        if self.last.len() >= REMEMBERED {
            self.last.retain(|_, last| !last.is_quiet(at));
        }
        let last = self.last.entry(alarm.key).or_default();
        if !last.is_worth_hearing(is_kill, at) {
            return true;
        }
        let wants_snapshots = is_kill || !is_within(last.snapshot, SNAPSHOT_EVERY_US, at);
        let pids = pids_in(&subject.folder);
        let largest = still_there(&subject.largest, &pids);
        let snapshots = match wants_snapshots && !pids.is_empty() {
            true => self.snapshots(&largest, at, if is_kill { Occasion::Kill } else { Occasion::NearLimit }),
            false => {
                self.keep_spaces(&largest, at);
                Vec::new()
            }
        };
        if !snapshots.is_empty() {
            self.last.entry(alarm.key).or_default().snapshot = Some(at);
        }
        self.to.send(Seen::Alarm { key: alarm.key, kind: alarm.kind, at, pids, snapshots }).is_ok()
    }

    /// Of the largest, while the allowance lasts.
    fn snapshots(&mut self, largest: &[u32], at: BootTime, occasion: Occasion) -> Vec<Snapshot> {
        let mut snapshots = Vec::new();
        for pid in largest.iter().take(PROCESSES) {
            if self.allowance(occasion).is_used_up() {
                break;
            }
            let began = since_boot();
            snapshots.extend(self.snapshot(*pid, at, occasion));
            if let Some(spaces) = &self.spaces {
                spaces.keep(*pid, at);
            }
            self.allowance(occasion).spend(began, since_boot());
        }
        snapshots
    }

    /// Those that were not looked at yet: in a cgroup whose processes die and are started again, they come between snapshots.
    fn keep_spaces(&mut self, largest: &[u32], at: BootTime) {
        let Some(spaces) = self.spaces.clone() else { return };
        for pid in largest.iter().take(PROCESSES) {
            if self.near_limit.is_used_up() {
                break;
            }
            let began = since_boot();
            if spaces.keep(*pid, at) {
                self.near_limit.spend(began, since_boot());
            }
        }
    }

    const fn allowance(&mut self, occasion: Occasion) -> &mut Allowance {
        match occasion {
            Occasion::Kill => &mut self.kills,
            Occasion::NearLimit | Occasion::Request => &mut self.near_limit,
        }
    }

    /// `None` for a process that has ended, or has become nobody's.
    fn snapshot(&mut self, pid: u32, at: BootTime, occasion: Occasion) -> Option<Snapshot> {
        let depth = match self.is_too_large(pid, at) {
            true => Depth::Names { mappings: MAPPINGS },
            false => Depth::Sums { mappings: MAPPINGS },
        };
        let snapshot = self.proc.snapshot(pid, at, occasion, depth).snapshot;
        (snapshot.process.started_ticks.is_some() || snapshot.mappings.is_some()).then_some(snapshot)
    }

    /// Its PSS would take too long; said once.
    fn is_too_large(&mut self, pid: u32, at: BootTime) -> bool {
        let Ok(point) = self.proc.point(pid, at) else { return false };
        let resident = [point.anon_bytes, point.file_bytes, point.shmem_bytes];
        let is_too_large = resident.into_iter().fold(0, |sum: u64, part| sum.saturating_add(part.0)) > PSS_UP_TO.0;
        if is_too_large && !std::mem::replace(&mut self.has_spared, true) {
            let wanted = format!("PSS of processes with more than {PSS_UP_TO} of resident memory");
            let _ = self.to.send(Seen::Gap(Gap::new(wanted, "reading it would hold up a CPU for too long")));
        }
        is_too_large
    }
}

/// Those that were the largest when they were last looked at and have not ended, then the others.
fn still_there(largest: &[u32], pids: &[u32]) -> Vec<u32> {
    let known = largest.iter().filter(|pid| pids.contains(pid));
    known.chain(pids.iter().filter(|pid| !largest.contains(pid))).take(PROCESSES).copied().collect()
}

/// Those of a cgroup now, some hundred at most; none of one that is gone.
fn pids_in(folder: &Path) -> Vec<u32> {
    let mut text = String::new();
    let file = File::open(folder.join("cgroup.procs"));
    // Cut at a line's end or within a pid: the rest is not needed, the last one may be wrong.
    let read = file.and_then(|file| file.take(PIDS_BYTES).read_to_string(&mut text));
    let whole = if text.len() as u64 == PIDS_BYTES { text.rfind('\n').unwrap_or(0) } else { text.len() };
    let lines = text.get(..whole).unwrap_or_default().lines();
    if read.is_ok() { lines.filter_map(|pid| pid.parse().ok()).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many cgroups ring at once, few processes are looked at and for a short time, and more only a while later.
    #[test]
    fn the_allowance_ends() {
        let mut allowance = Allowance::default();
        allowance.renew(BootTime(1_000_000));
        for _ in 0..SNAPSHOTS {
            assert!(!allowance.is_used_up());
            allowance.spend(BootTime(0), BootTime(10));
        }
        assert!(allowance.is_used_up());
        allowance.renew(BootTime(1_000_000 + ALLOWANCE_EVERY_US - 1));
        assert!(allowance.is_used_up());
        allowance.renew(BootTime(1_000_000 + ALLOWANCE_EVERY_US));
        assert!(!allowance.is_used_up());
        allowance.spend(BootTime(0), BootTime(SNAPSHOTS_US));
        assert!(allowance.is_used_up());
    }

    /// A kill is heard however soon after another alarm, a second kill of the same cgroup only after a while.
    #[test]
    fn what_is_worth_hearing() {
        let mut last = Last::default();
        assert!(last.is_worth_hearing(false, BootTime(1_000)));
        assert!(last.is_worth_hearing(true, BootTime(1_001)));
        assert!(!last.is_worth_hearing(false, BootTime(1_002)));
        assert!(!last.is_worth_hearing(true, BootTime(1_001 + KILL_EVERY_US - 1)));
        assert!(last.is_worth_hearing(true, BootTime(1_001 + KILL_EVERY_US)));
        assert!(!last.is_quiet(BootTime(SNAPSHOT_EVERY_US)) && last.is_quiet(BootTime(SNAPSHOT_EVERY_US * 2)));
    }
}
