//! The rules of the audit: one file each, one line each in [`RULES`].
//!
//! A rule is a pure function of a workload, a machine or a LimitRange, and answers with what it observed: nothing, where the thing is not
//! so or the evidence is missing. Text out of manifests is escaped here, where it enters a sentence.

use super::finding::Risk;
use super::inventory::Inventory;
use super::limit_range::LimitRange;
use super::machine::Machine;
use super::subject::Subject;
use crate::text::name_in_text;

mod best_effort;
mod eviction_threshold;
mod guaranteed_missed;
mod host_agent;
mod host_service;
mod init_limit;
mod limit_below_peak;
mod namespace_default;
mod no_limit;
mod no_request;
mod node_overcommit;
mod oom_kills;
mod overcommit;
mod reservation;
mod runtime_flags;
mod single_process_kill;
mod stalls;
mod swap;
mod tmpfs_volume;
mod unit_mistake;

/// One question asked of everything of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its file name in `audit/rules/`, and the `rule` of its findings.
    pub name: &'static str,
    /// One sentence: what it finds, with its risks.
    pub about: &'static str,
    /// The question.
    pub asks: Asks,
}

/// Of what a question is asked.
#[derive(Clone, Copy, Debug)]
pub enum Asks {
    /// Of every workload.
    Subject(fn(&Subject) -> Vec<Observation>),
    /// Of every node.
    Machine(fn(&Machine) -> Vec<Observation>),
    /// Of every LimitRange.
    LimitRange(fn(&LimitRange, &Inventory) -> Vec<Observation>),
}

impl Asks {
    /// What it is asked of, in a word.
    #[must_use]
    pub const fn of(self) -> &'static str {
        match self {
            Self::Subject(_) => "workload",
            Self::Machine(_) => "node",
            Self::LimitRange(_) => "namespace",
        }
    }
}

/// Every rule: what kills now, what will, what is merely bound to go wrong, then the nodes.
pub const RULES: &[Rule] = &[
    oom_kills::RULE,
    limit_below_peak::RULE,
    unit_mistake::RULE,
    runtime_flags::RULE,
    tmpfs_volume::RULE,
    host_agent::RULE,
    best_effort::RULE,
    no_request::RULE,
    no_limit::RULE,
    namespace_default::RULE,
    stalls::RULE,
    overcommit::RULE,
    guaranteed_missed::RULE,
    init_limit::RULE,
    reservation::RULE,
    eviction_threshold::RULE,
    node_overcommit::RULE,
    host_service::RULE,
    swap::RULE,
    single_process_kill::RULE,
];

/// What a rule saw, before it has a name and a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// How bad.
    pub risk: Risk,
    /// A few words, the same for everything that has this.
    pub title: &'static str,
    /// Why it is a risk.
    pub why: &'static str,
    /// What was seen, with the numbers; escaped.
    pub evidence: String,
    /// What to do.
    pub fix: &'static str,
    /// The change.
    pub patch: Option<String>,
    /// Which containers.
    pub containers: Vec<String>,
}

/// A name in a sentence.
fn named(name: &str) -> String {
    name_in_text(name.as_bytes())
}

/// The verb that fits a number of names.
const fn verb<'a>(names: &[String], one: &'a str, many: &'a str) -> &'a str {
    if names.len() == 1 { one } else { many }
}

/// `a`, `a and b`, `a, b and c`; long lists end in how many more there are.
fn listed(names: &[String]) -> String {
    const MOST: usize = 6;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| named(name)).collect();
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    let last = shown.pop().unwrap_or_default();
    if shown.is_empty() { last } else { format!("{} and {last}", shown.join(", ")) }
}
