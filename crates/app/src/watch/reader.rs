//! The real-time reader: waits for the kernel's alarms and looks at the processes while they are still there.
//!
//! Between the kernel's decision and the victim's end lie a few milliseconds, in which the machine is at its busiest. An
//! ordinary thread often comes too late (33 to 47 of 50 kills seen in time, 48 to 50 with SCHED_FIFO). It does nothing but
//! this, and is given nothing that could hold it up.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use oomscope_core::evidence::{Gap, Occasion, Snapshot};
use oomscope_core::time::BootTime;
use oomscope_sources::cgroup::{Alarm, AlarmKind, Alarms};
use oomscope_sources::clock::since_boot;
use oomscope_sources::process::{Depth, Proc, real_time};

use super::wake::Waker;

/// Looked at for each alarm: the largest.
const PROCESSES: usize = 4;
/// Mappings that are kept of each: the largest.
const MAPPINGS: usize = 16;
/// Dear snapshots of one cgroup are at least this far apart, except at a kill.
const SNAPSHOT_EVERY_US: u64 = 10_000_000;
/// Of the list of a cgroup's processes.
const PIDS_BYTES: u64 = 4096;
/// Alarms of one cgroup that come faster are one.
const ALARM_EVERY_US: u64 = 5_000;
/// Of SCHED_FIFO: the lowest there is, which is still above every ordinary thread.
const PRIORITY: u8 = 1;

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
}

/// Every subject, by key.
pub(super) type Subjects = Arc<Mutex<HashMap<u64, Subject>>>;

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
        proc: Proc,
        subjects: Subjects,
        to: Sender<Seen>,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let work = Work {
            alarms: Arc::clone(&alarms),
            stopped: Arc::clone(&stopped),
            proc,
            subjects,
            to,
            waker,
            last: HashMap::new(),
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

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    alarm: Option<BootTime>,
    snapshot: Option<BootTime>,
}

struct Work {
    alarms: Arc<Alarms>,
    stopped: Arc<AtomicBool>,
    proc: Proc,
    subjects: Subjects,
    to: Sender<Seen>,
    waker: Waker,
    last: HashMap<u64, Last>,
}

impl Work {
    fn run(mut self) {
        if let Err(gap) = real_time(PRIORITY) {
            let _ = self.to.send(Seen::Gap(gap));
        }
        while let Ok(alarms) = self.alarms.wait(None) {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            for alarm in alarms {
                if !self.hear(&alarm) {
                    return;
                }
            }
            self.waker.wake();
        }
    }

    /// False when nobody listens any more.
    fn hear(&mut self, alarm: &Alarm) -> bool {
        let at = since_boot();
        let is_kill = alarm.kind == AlarmKind::Oom;
        let last = self.last.entry(alarm.key).or_default();
        let within = |then: Option<BootTime>, us| then.is_some_and(|then| at.0.saturating_sub(then.0) < us);
        if !is_kill && within(last.alarm, ALARM_EVERY_US) {
            return true;
        }
        last.alarm = Some(at);
        let wants_snapshots = is_kill || !within(last.snapshot, SNAPSHOT_EVERY_US);
        if wants_snapshots {
            last.snapshot = Some(at);
        }
        let subject = self.subjects.lock().unwrap_or_else(PoisonError::into_inner).get(&alarm.key).cloned();
        let subject = subject.unwrap_or_default();
        let pids = pids_in(&subject.folder);
        let occasion = if is_kill { Occasion::Kill } else { Occasion::NearLimit };
        let largest = if subject.largest.is_empty() { &pids } else { &subject.largest };
        let looked_at = largest.iter().take(if wants_snapshots { PROCESSES } else { 0 });
        let snapshots = looked_at.filter_map(|pid| self.snapshot(*pid, at, occasion)).collect();
        self.to.send(Seen::Alarm { key: alarm.key, kind: alarm.kind, at, pids, snapshots }).is_ok()
    }

    /// `None` for a process that has ended, or has become nobody's.
    fn snapshot(&self, pid: u32, at: BootTime, occasion: Occasion) -> Option<Snapshot> {
        let snapshot = self.proc.snapshot(pid, at, occasion, Depth::Sums { mappings: MAPPINGS }).snapshot;
        (snapshot.process.started_ticks.is_some() || snapshot.mappings.is_some()).then_some(snapshot)
    }
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
