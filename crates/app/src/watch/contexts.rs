//! What programs in the kernel saw of kills, and the log's reports of the same kills, brought together.
//!
//! The program in the kernel is first: its record is here before the kernel has printed a line. So a context waits for its report; while
//! it does, the log is looked at often, because the kernel wakes readers of the log milliseconds late. Where no report comes, because
//! the log is lost, limited or closed, the context is an incident by itself.

use oomscope_core::evidence::{Gap, KernelReport, KillContext, Stacks};
use oomscope_core::time::BootTime;

/// The log is looked at this often while a report is awaited,
const LOOK_US: u64 = 200;
/// for so long. Then it comes when it comes: a slow console prints for seconds.
const HURRY_US: u64 = 50_000;
/// A report is of the same kill if it names the same victim within this time: a pid comes round again later than that.
const SAME_US: u64 = 5_000_000;
/// How many wait, newest: a storm of kills whose reports the kernel's rate limit keeps back.
const WAITING: usize = 1024;

/// One kill as it was seen, and what was made of its stacks since.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Names it among those of this watcher.
    pub(super) id: u64,
    pub(super) context: KillContext,
    /// `None` until they are named, or where there are none.
    pub(super) stacks: Option<Stacks>,
    /// Stacks are being named.
    pub(super) is_awaited: bool,
    pub(super) gaps: Vec<Gap>,
}

/// Those whose report has not been read.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    waiting: Vec<Seen>,
    /// Given up to keep the number bounded.
    dropped: u64,
}

impl Contexts {
    pub(super) fn add(&mut self, seen: Seen) {
        if self.waiting.len() >= WAITING {
            self.waiting.remove(0);
            self.dropped += 1;
        }
        self.waiting.push(seen);
    }

    /// Those of the victims of a report, which happened `at`; in order of death.
    pub(super) fn take(&mut self, report: &KernelReport, at: BootTime) -> Vec<Seen> {
        let is_of_it = |seen: &mut Seen| {
            let victim = seen.context.victim.pid;
            seen.context.at.0.abs_diff(at.0) <= SAME_US && report.victims.iter().any(|known| known.pid == victim)
        };
        self.waiting.extract_if(.., is_of_it).collect()
    }

    /// Those of one cgroup's processes.
    pub(super) fn take_in(&mut self, key: u64) -> Vec<Seen> {
        self.waiting.extract_if(.., |seen| seen.context.victim.cgroup_id == key).collect()
    }

    /// Those whose report was awaited since before `since`.
    pub(super) fn overdue(&mut self, since: BootTime) -> Vec<Seen> {
        self.waiting.extract_if(.., |seen| seen.context.at <= since).collect()
    }

    /// One that still waits.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Seen> {
        self.waiting.iter_mut().find(|seen| seen.id == id)
    }

    /// When the log is to be looked at for a report that is being printed.
    pub(super) fn look(&self, now: BootTime) -> Option<BootTime> {
        self.is_urgent(now).then(|| BootTime(now.0.saturating_add(LOOK_US)))
    }

    /// A report is expected any moment.
    pub(super) fn is_urgent(&self, now: BootTime) -> bool {
        self.waiting.iter().any(|seen| now.0.saturating_sub(seen.context.at.0) <= HURRY_US)
    }

    /// When the oldest is given up, which is `patience` after it happened.
    pub(super) fn due(&self, patience_us: u64) -> Option<BootTime> {
        self.waiting.iter().map(|seen| BootTime(seen.context.at.0.saturating_add(patience_us))).min()
    }

    /// How many were given up, once.
    pub(super) fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
