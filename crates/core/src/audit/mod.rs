//! What is likely to end in an OOM kill, an eviction or a starved node, before it does: risks, ranked, each with its reason and its fix.
//!
//! ```text
//! manifests, API objects, this node's files ─▶ Inventory ─▶ Subjects, Machines, LimitRanges ─rules─▶ Findings, ranked
//! cgroups, stored cases ─▶ Seen ─────────────────┘
//! ```
//!
//! An audit that cries wolf is switched off. So a finding must be something that somebody on call would act on; the same thing is said once
//! for all pods of a workload; what is not known (a request, in a cgroup) is not held against anybody; and who cannot change a thing
//! (a distribution's own pods) is not woken for it.

mod amounts;
mod finding;
mod inventory;
mod limit_range;
mod machine;
mod namespace;
mod patch;
pub mod rules;
mod seen;
mod subject;
#[cfg(test)]
mod testing;

use serde::{Deserialize, Serialize};

use crate::evidence::Gap;

pub use finding::{Finding, Place, Risk, Target};
pub use inventory::{Inventory, Sighting};
pub use limit_range::LimitRange;
pub use machine::{Committed, Machine, Service};
pub use namespace::{Class, Production};
pub use seen::{Seen, Sight};
pub use subject::{Subject, Witness};

use rules::{Asks, Observation, RULES, Rule};

/// What the JSON says of itself.
pub const SCHEMA: &str = "oomscope.audit/v1";

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Manifests.
    #[default]
    Manifests,
    /// This machine, from its own files.
    Node,
    /// A cluster, from its API.
    Cluster,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// What was looked at.
    pub scope: Scope,
    /// The worst first; of equal risk in the order of [`RULES`].
    pub findings: Vec<Finding>,
    /// How many workloads.
    pub workloads: u64,
    /// How many nodes.
    pub nodes: u64,
    /// How many documents or objects could not be read: whatever is in them is not in this answer.
    pub unread: u64,
    /// What was sought and not had: rules that rest on it were silent.
    pub gaps: Vec<Gap>,
}

impl Audit {
    /// How many findings are of this risk.
    #[must_use]
    pub fn count(&self, risk: Risk) -> usize {
        self.findings.iter().filter(|finding| finding.risk == risk).count()
    }

    /// The worst risk of all.
    #[must_use]
    pub fn worst(&self) -> Option<Risk> {
        self.findings.iter().map(|finding| finding.risk).max()
    }

    /// Asks every rule of everything in the inventory.
    #[must_use]
    pub fn of(inventory: &Inventory, scope: Scope) -> Self {
        let mut findings = Vec::new();
        for rule in RULES {
            ask(rule, inventory, &mut findings);
        }
        // Stable: within a risk the order of the rules and of the inventory stays.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.risk));
        Self {
            scope,
            findings,
            workloads: inventory.subjects().len() as u64,
            nodes: inventory.machines().len() as u64,
            unread: 0,
            gaps: inventory.gaps.clone(),
        }
    }
}

fn ask(rule: &Rule, inventory: &Inventory, findings: &mut Vec<Finding>) {
    let mut add = |target: Target, places: &dyn Fn(&Observation) -> Vec<Place>, observations: Vec<Observation>| {
        for seen in observations {
            let places = places(&seen);
            findings.push(Finding::new(rule.name, target.clone(), places, seen));
        }
    };
    match rule.asks {
        Asks::Subject(check) => {
            for subject in inventory.subjects() {
                let mut observations = check(subject);
                if subject.is_nameless() {
                    // There is no object to be changed by the names that are known.
                    observations.iter_mut().for_each(|seen| seen.patch = None);
                }
                add(subject.target(), &|seen| subject.places(&seen.containers), observations);
            }
        }
        Asks::Machine(check) => {
            for machine in inventory.machines() {
                add(machine.target(), &|_| Vec::new(), check(machine));
            }
        }
        Asks::LimitRange(check) => {
            for range in inventory.limit_ranges() {
                add(range.target(), &|_| range.place.iter().cloned().collect(), check(range, inventory));
            }
        }
    }
}
