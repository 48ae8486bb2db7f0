//! What programs in the kernel saw of kills, and the log's reports of the same kills, brought together.
//!
//! The program in the kernel is first: its record is here before the kernel has printed a line. So a context waits for its report; while
//! it does, the log is looked at often, because the kernel wakes readers of the log milliseconds late. Where no report comes, because
//! the log is lost, limited or closed, the context is an incident by itself.

use oomscope_core::evidence::{Gap, HotStacks, KernelReport, KillContext, Stacks, Task};
use oomscope_core::time::BootTime;
use oomscope_sources::ebpf::KillId;

use super::naming::NamedStack;

/// The log is looked at this often while a report is awaited,
const LOOK_US: u64 = 200;
/// for so long. Then it comes when it comes: a slow console prints for seconds.
const HURRY_US: u64 = 50_000;
/// A report is of the same kill if it names the same victim within this time: a pid comes round again later than that.
pub(super) const SAME_US: u64 = 5_000_000;
/// How many wait, newest: a storm of kills whose reports the kernel's rate limit keeps back.
const WAITING: usize = 1024;

/// One kill as it was seen, and what was made of its stacks since.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// Names it among those of this watcher.
    pub(super) id: KillId,
    pub(super) context: KillContext,
    /// As far as they are named; `None` before any is.
    pub(super) stacks: Option<Stacks>,
    /// The code that made memory resident before it.
    pub(super) hot: Option<HotStacks>,
    /// How many answers are awaited.
    pub(super) naming: u32,
    pub(super) gaps: Vec<Gap>,
}

impl Sighting {
    pub(super) const fn new(id: KillId, context: KillContext) -> Self {
        Self { id, context, stacks: None, hot: None, naming: 0, gaps: Vec::new() }
    }

    /// More is known of it.
    pub(super) fn learn(&mut self, news: KillNews) {
        match news {
            KillNews::Tasks { tasks, are_all } => {
                self.context.tasks = tasks;
                self.context.tasks_complete = are_all;
            }
            KillNews::Naming => self.naming += 1,
            KillNews::Hot(hot) => {
                self.naming = self.naming.saturating_sub(1);
                self.hot = hot.filter(|hot| !hot.stacks.is_empty());
            }
            KillNews::Named { stack, gaps } => {
                self.naming = self.naming.saturating_sub(1);
                self.gaps.extend(gaps);
                let stacks = self.stacks.get_or_insert_default();
                match stack {
                    NamedStack::Trigger { user, kernel } => (stacks.user, stacks.kernel) = (user, kernel),
                    NamedStack::Victim(victim) => stacks.victims.push(victim),
                }
            }
        }
    }
}

/// What comes to be known of a kill after it was seen.
#[derive(Clone, Debug)]
pub(super) enum KillNews {
    /// The processes of the cgroup.
    Tasks { tasks: Vec<Task>, are_all: bool },
    /// A stack of it came and is being named.
    Naming,
    /// The code that made memory resident before it, where any was sampled.
    Hot(Option<HotStacks>),
    /// It is named.
    Named { stack: NamedStack, gaps: Vec<Gap> },
}

/// Those whose report has not been read.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    waiting: Vec<Sighting>,
    /// Given up to keep the number bounded.
    dropped: u64,
}

impl Contexts {
    pub(super) fn add(&mut self, seen: Sighting) {
        if self.waiting.len() >= WAITING {
            self.waiting.remove(0);
            self.dropped += 1;
        }
        self.waiting.push(seen);
    }

    /// Those of the victims of a report, which happened `at`; in order of death.
    pub(super) fn take(&mut self, report: &KernelReport, at: BootTime) -> Vec<Sighting> {
        let is_of_it = |seen: &mut Sighting| {
            let victim = seen.context.victim.pid;
            seen.context.at.0.abs_diff(at.0) <= SAME_US && report.victims.iter().any(|known| known.pid == victim)
        };
        self.waiting.extract_if(.., is_of_it).collect()
    }

    /// Those of one cgroup's processes.
    pub(super) fn take_in(&mut self, key: u64) -> Vec<Sighting> {
        self.waiting.extract_if(.., |seen| seen.context.victim.cgroup_id == key).collect()
    }

    /// Those whose report was awaited since before `since`.
    pub(super) fn overdue(&mut self, since: BootTime) -> Vec<Sighting> {
        self.waiting.extract_if(.., |seen| seen.context.at <= since).collect()
    }

    /// One that still waits.
    pub(super) fn find(&mut self, id: KillId) -> Option<&mut Sighting> {
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
