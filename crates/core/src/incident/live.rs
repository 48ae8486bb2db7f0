//! An incident that was seen live: what a watcher adds to the kernel's report, or stands on where there is none.
//!
//! The kernel prints at most 10 reports in 5 s, its ring buffer overwrites what is not read in time, and reading it takes a
//! privilege. The counters of the cgroups lose nothing: they tell that there was a kill, where, and by whose limit.

use super::counted::{self, CountedLimit};
use super::identity::identify;
use super::timeline::Timeline;
use super::{Incident, Origin};
use crate::evidence::{Constraint, CounterChange, Gap, KernelReport, Part, Scope, Victim};
use crate::time::When;

/// `origin.source` of what a watcher saw.
pub const LIVE: &str = "live";

/// A log that has one of these says itself whose limit was reached.
const NAMES_THE_LIMIT: [Part; 3] = [Part::OomKill, Part::TaskInCgroup, Part::MemoryStat];

impl Incident {
    /// Adds what a watcher recorded around the kill. `counters`: the levels of the path, the victim's own or the limit's first.
    ///
    /// Where the log does not name the cgroup whose limit was reached (it prints only the victim's line when reports are many) and the
    /// counters do, the report takes it from them.
    pub fn add_live(&mut self, timeline: Option<Timeline>, counters: Vec<CounterChange>) {
        LIVE.clone_into(&mut self.origin.source);
        for (part, lines) in super::live_evidence::of(timeline.as_ref(), &counters) {
            self.cite(part, lines);
        }
        self.timeline = timeline;
        self.counters = counters;
        if self.is_named_by_counters()
            && let Some(report) = self.kills.first_mut()
        {
            complete(report, &self.counters);
        }
        if self.identity.is_none() {
            let report = self.report();
            let owner = report.victim_cgroup.as_ref().or(report.limit_cgroup.as_ref());
            self.identity = owner.and_then(|path| identify(path.as_bytes()));
        }
    }

    /// A kill that the counters tell and the log does not: rate-limited, overwritten, or not readable. `victims`: the processes that were
    /// seen to end, where known. `gaps`: why there is no log.
    #[must_use]
    pub fn from_counters(
        at: When,
        boot_id: Option<String>,
        counters: Vec<CounterChange>,
        timeline: Option<Timeline>,
        victims: Vec<Victim>,
        gaps: Vec<Gap>,
    ) -> Self {
        let mut incident = Self {
            at,
            origin: Origin { source: LIVE.to_owned(), boot_id, ..Origin::default() },
            kills: vec![KernelReport { victims, ..KernelReport::default() }],
            gaps,
            ..Self::default()
        };
        incident.add_live(timeline, counters);
        incident
    }

    /// True where no line of a log tells of this kill, but a watcher saw it.
    #[must_use]
    pub fn is_without_log(&self) -> bool {
        let is_seen = !self.counters.is_empty() || !self.contexts.is_empty();
        is_seen && !self.evidence.iter().any(|evidence| evidence.part.is_of_log())
    }

    /// True where nothing but counters tells of this kill.
    #[must_use]
    pub fn is_counted_only(&self) -> bool {
        self.contexts.is_empty() && self.is_without_log()
    }

    /// True where the cgroup whose limit was reached can only come from the counters.
    #[must_use]
    pub fn is_named_by_counters(&self) -> bool {
        !self.counters.is_empty() && !self.is_named_by_log() && !self.is_named_by_context()
    }

    /// True where the log itself says whose limit was reached.
    pub(crate) fn is_named_by_log(&self) -> bool {
        NAMES_THE_LIMIT.iter().any(|part| self.has(*part))
    }
}

/// Fills in what the log does not say.
fn complete(report: &mut KernelReport, counters: &[CounterChange]) {
    report.victim_cgroup = report.victim_cgroup.take().or_else(|| counted::victim_cgroup(counters));
    if report.scope == Some(Scope::Global) {
        return;
    }
    // A limit is there already where a program in the kernel deduced it from what was full. Counters that are sure know better.
    let is_deduced = report.limit_cgroup.is_some();
    if let CountedLimit::Of { level, sure } = counted::limit(counters)
        && (sure || !is_deduced)
        && let Some(level) = counters.get(level)
    {
        if is_deduced && report.limit_cgroup.as_ref() != Some(&level.cgroup) {
            (report.usage_bytes, report.limit_bytes, report.failcnt) = (None, None, None);
            (report.swap, report.memory_swap) = (None, None);
        }
        report.scope = Some(Scope::Memcg);
        report.constraint = report.constraint.take().or(Some(Constraint::Memcg));
        report.limit_cgroup = Some(level.cgroup.clone());
        report.limit_bytes = report.limit_bytes.or_else(|| level.limits.max_bytes.and_then(crate::units::Limit::bytes));
    }
}
