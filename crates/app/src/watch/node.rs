//! The machine as a whole: how many kills it has counted, and whether somebody sets its clock.

use jiff::{SignedDuration, Timestamp};
use oomscope_core::notice::Event;
use oomscope_core::time::BootTime;
use oomscope_sources::clock::BootAnchor;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::node;

/// Looked at this often.
const EVERY_US: u64 = 5_000_000;
/// The count must be ahead of what was told for this long: a report is read within milliseconds, a lost one given up after 3 s.
const PATIENCE_US: u64 = 10_000_000;
/// A smaller step of the wall clock is how NTP ordinarily disciplines it.
const STEP: SignedDuration = SignedDuration::from_millis(500);

/// What was seen last.
#[derive(Debug)]
pub(super) struct Node {
    source: node::Node,
    due: BootTime,
    /// `oom_kill` of /proc/vmstat when watching began, plus all that was told since.
    accounted: Option<u64>,
    ahead_since: Option<BootTime>,
    zero: Option<Timestamp>,
}

impl Node {
    pub(super) fn new(root: &HostRoot) -> Self {
        let source = node::Node::new(root.clone());
        Self {
            accounted: source.read().oom_kills,
            source,
            due: BootTime(0),
            ahead_since: None,
            zero: BootAnchor::now().map(|anchor| anchor.zero),
        }
    }

    /// Kills that were told of, by the log or from a cgroup's counters.
    pub(super) fn told(&mut self, kills: usize) {
        let kills = u64::try_from(kills).unwrap_or(u64::MAX);
        self.accounted = self.accounted.map(|accounted| accounted.saturating_add(kills));
    }

    /// When [`Node::turn`] has something to do next.
    pub(super) const fn due(&self) -> Option<BootTime> {
        Some(self.due)
    }

    /// Looks, when it is time. Kills are compared only where all of the machine is watched.
    pub(super) fn turn(&mut self, now: BootTime, compare: bool) -> Vec<Event> {
        if now < self.due {
            return Vec::new();
        }
        self.due = BootTime(now.0.saturating_add(EVERY_US));
        let untold = if compare { self.untold(now) } else { None };
        self.clock_step().into_iter().chain(untold).collect()
    }

    fn untold(&mut self, now: BootTime) -> Option<Event> {
        let counted = self.source.read().oom_kills?;
        let ahead = counted.checked_sub(self.accounted?).filter(|ahead| *ahead > 0);
        let Some(count) = ahead else {
            self.ahead_since = None;
            return None;
        };
        let since = *self.ahead_since.get_or_insert(now);
        if now.0.saturating_sub(since.0) < PATIENCE_US {
            return None;
        }
        self.ahead_since = None;
        self.accounted = Some(counted);
        Some(Event::KillsUntold { count })
    }

    fn clock_step(&mut self) -> Option<Event> {
        let zero = BootAnchor::now()?.zero;
        let step = zero.duration_since(self.zero.replace(zero)?);
        (step.abs() >= STEP).then(|| Event::ClockStepped { by_ms: i64::try_from(step.as_millis()).unwrap_or(0) })
    }
}
