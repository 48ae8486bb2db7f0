//! The rules: one file each, one line each in [`RULES`].
//!
//! A rule is a pure function of the [`Facts`] of one incident. It answers [`Answer::Found`], [`Answer::Absent`] where
//! the evidence shows that the thing is not so, or [`Answer::CannotTell`] where the evidence that would show it is
//! missing. Cutting lines out of a log may therefore turn `Found` and `Absent` into `CannotTell`, and nothing else.

use super::Remedy;
use super::facts::Facts;
use crate::evidence::{Gap, Part};

mod badness;
mod bucket;
mod cache_not_reclaimable;
mod counters;
mod culprit;
mod dashboards;
mod ending;
mod file_rss;
mod fragmentation;
mod group_kill;
mod kernel_memory;
mod killer;
mod kubernetes;
mod limit_probe;
mod lost_records;
mod many_small;
mod near_misses;
mod no_killable_process;
mod node_memory;
mod panic_on_oom;
mod pattern;
mod recurrence;
mod request_inference;
mod runtime;
mod survivors;
mod swap;
mod sysrq;
mod tmpfs;
mod trigger_victim;
mod watermarks;
mod who_asked;

#[cfg(test)]
mod tests;

pub(in crate::diagnosis) use fragmentation::block_wanted;
pub(in crate::diagnosis) use group_kill::spared;
pub(in crate::diagnosis) use many_small::crowd;
pub(in crate::diagnosis) use trigger_victim::another_process;

/// One question asked of every incident.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its file name in `rules/`, and the `rule` of its findings.
    pub name: &'static str,
    /// One sentence: what it tells.
    pub about: &'static str,
    /// The question.
    pub check: fn(&Facts<'_>) -> Answer,
}

/// Every rule, in the order in which findings are told: the verdict first, then who, what filled the memory, the
/// circumstances, and what to do.
pub const RULES: &[Rule] = &[
    killer::RULE,
    ending::RULE,
    kubernetes::RULE,
    counters::RULE,
    sysrq::RULE,
    panic_on_oom::RULE,
    no_killable_process::RULE,
    trigger_victim::RULE,
    culprit::RULE,
    who_asked::RULE,
    badness::RULE,
    group_kill::RULE,
    survivors::RULE,
    pattern::RULE,
    dashboards::RULE,
    near_misses::RULE,
    bucket::RULE,
    tmpfs::RULE,
    kernel_memory::RULE,
    many_small::RULE,
    cache_not_reclaimable::RULE,
    swap::RULE,
    watermarks::RULE,
    fragmentation::RULE,
    node_memory::RULE,
    recurrence::RULE,
    file_rss::RULE,
    request_inference::RULE,
    runtime::RULE,
    limit_probe::RULE,
    lost_records::RULE,
];

/// The rules that can say something where the kernel has reported no kill; the others would each tell the same gap.
pub const RULES_WITHOUT_KILL: &[Rule] = &[ending::RULE, kubernetes::RULE];

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    Found(Found),
    /// The evidence shows that it is not so, or the question does not arise for this kind of kill.
    Absent,
    /// The evidence that would show it is missing.
    CannotTell(Gap),
}

/// What was seen, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of telling.
    pub observations: Vec<Observation>,
    /// Ranked across all rules afterwards.
    pub advice: Vec<Advice>,
    /// What was found all the same, but less exactly than it could be.
    pub gaps: Vec<Gap>,
}

/// A finding before it has a rule's name and before its evidence is checked against the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// A few words.
    pub title: String,
    /// One or two sentences with the numbers.
    pub detail: String,
    /// The parts that it rests on; those that the log has are cited.
    pub parts: &'static [Part],
    /// A stable name, for machines that count this finding.
    pub kind: Option<&'static str>,
}

/// A remedy and its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// How directly it helps.
    pub rank: Rank,
    /// What to do.
    pub remedy: Remedy,
}

/// The order of remedies, best first. Within a rank, the order of [`RULES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Removes what the evidence shows to be the cause.
    Cause,
    /// Makes the program live within its limit.
    Fit,
    /// A guess worth trying, with the way to tell whether it was right.
    Probe,
    /// Limits the harm next time.
    Contain,
    /// Gets the evidence that was missing.
    Learn,
}

impl Found {
    /// One observation.
    #[must_use]
    pub fn that(title: impl Into<String>, detail: impl Into<String>, parts: &'static [Part]) -> Self {
        Self::default().and(title, detail, parts)
    }

    /// And another.
    #[must_use]
    pub fn and(mut self, title: impl Into<String>, detail: impl Into<String>, parts: &'static [Part]) -> Self {
        self.observations.push(Observation { title: title.into(), detail: detail.into(), parts, kind: None });
        self
    }

    /// Names the last observation for machines.
    #[must_use]
    pub fn named(mut self, kind: &'static str) -> Self {
        if let Some(last) = self.observations.last_mut() {
            last.kind = Some(kind);
        }
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn advise(
        mut self,
        rank: Rank,
        title: impl Into<String>,
        detail: impl Into<String>,
        patch: Option<String>,
    ) -> Self {
        self.advice.push(Advice { rank, remedy: Remedy { title: title.into(), detail: detail.into(), patch } });
        self
    }

    /// Adds what would have told more.
    #[must_use]
    pub fn lacking(mut self, gap: Gap) -> Self {
        self.gaps.push(gap);
        self
    }
}

impl From<Found> for Answer {
    fn from(found: Found) -> Self {
        Self::Found(found)
    }
}
