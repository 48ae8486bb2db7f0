//! Station 5 of the path: what an incident means.
//!
//! [`diagnose`] works out once what many questions need (`Facts`: the verdict on the killer, where the memory went, the kernel's
//! choice replayed), then asks every rule of the list [`rules::RULES`], one file each in `rules/`. A rule is a pure function and
//! answers [`Found`](rules::Answer::Found), [`Absent`](rules::Answer::Absent) or
//! [`CannotTell`](rules::Answer::CannotTell) with the gap.

mod counted;
pub mod dashboards;
pub mod facts;
pub mod growth;
mod kubernetes;
mod memory;
pub mod pattern;
pub(crate) mod placeholders;
mod plausible;
pub(crate) mod ranking;
mod recorded;
pub mod rules;
mod set_limit;
mod summary;
mod verdict;
mod words;

pub use memory::{Counted, MemoryPart, MemoryUse};
pub use ranking::{Choice, Ranked, Ranking};

use serde::{Deserialize, Serialize};

use crate::evidence::{EvidenceId, Gap};
use crate::incident::Incident;
use dashboards::Dashboards;
use facts::{Facts, Recording};
use growth::Grower;
use pattern::Pattern;
use rules::{Advice, Answer, Found, RULES, RULES_WITHOUT_KILL, Rule};

/// Version of the rule set: raised whenever a rule's answer changes for some incident.
pub const RULESET: &str = "3";

/// What killed, at which level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Killer {
    /// The limit of the container's own cgroup.
    ContainerLimit,
    /// The limit of the pod's cgroup.
    PodLimit,
    /// The limit of an ancestor of the pod: a QoS class, `kubepods`, or a slice above it.
    AncestorLimit,
    /// A cgroup limit outside any Kubernetes hierarchy: a service, a slice, a plain container.
    CgroupLimit,
    /// The machine ran out of memory.
    Node,
    /// The memory nodes of a cpuset ran out.
    Cpuset,
    /// The memory nodes of a memory policy ran out.
    MemoryPolicy,
    /// The kubelet evicted the pod.
    KubeletEviction,
    /// A userspace OOM daemon.
    UserspaceOom,
    /// Somebody else's SIGKILL.
    OtherSigkill,
    /// Not an OOM kill at all.
    NotOom,
    /// An OOM kill whose level the evidence does not tell.
    #[default]
    Unknown,
}

/// How sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// One reading among several.
    #[default]
    Possible,
    /// The best reading, with a piece of evidence missing.
    Likely,
    /// The kernel said so.
    Certain,
}

/// What one rule concluded, citing its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name: its file name in `rules/`.
    pub rule: String,
    /// A few words: `The trigger was not the victim`.
    pub title: String,
    /// One or two sentences with the numbers.
    pub detail: String,
    /// What it rests on: ids in the incident's `evidence`.
    pub evidence: Vec<EvidenceId>,
    /// A stable name of what was found, where machines may want to count it: `invisible_kill`, `false_oomkilled`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Something to do about it. The list in a diagnosis is ranked, best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// An imperative sentence.
    pub title: String,
    /// Why, and how to tell that it worked.
    pub detail: String,
    /// Text to paste: manifest YAML, a flag, a command.
    pub patch: Option<String>,
}

/// The meaning of one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What killed, at which level.
    pub killer: Killer,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence that a tired person understands; every number in it stands in the evidence.
    pub summary: String,
    /// What the rules found, in the order of [`rules::RULES`].
    pub findings: Vec<Finding>,
    /// What to do, best first.
    pub remedies: Vec<Remedy>,
    /// What the rules could not tell, and why.
    pub gaps: Vec<Gap>,
    /// The processes in the order in which the kernel would kill them; `null` where the log does not allow it.
    #[serde(default)]
    pub ranking: Option<Ranking>,
    /// Where the memory went; `null` where the log has no statistics.
    #[serde(default)]
    pub memory: Option<MemoryUse>,
    /// How the memory grew before the kill; absent where nothing recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Who grew, most first; absent where nothing recorded it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub growth: Vec<Grower>,
    /// What scrapers can have shown of it; absent where nothing recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboards: Option<Dashboards>,
}

/// Says what an incident means. Never fails: what cannot be told is a gap.
#[must_use]
pub fn diagnose(incident: &Incident) -> Diagnosis {
    let (incident, damage) = plausible::plausible(incident);
    let incident = incident.as_ref();
    let facts = Facts::of(incident);
    let mut diagnosis = Diagnosis {
        killer: facts.verdict.killer,
        confidence: facts.verdict.confidence,
        summary: summary::of(&facts),
        ..Diagnosis::default()
    };
    if let Some(gap) = damage {
        diagnosis.lacks(incident, gap);
    }
    let mut advice = Vec::new();
    let rules = if facts.ending.is_some() { RULES_WITHOUT_KILL } else { RULES };
    for rule in rules {
        match (rule.check)(&facts) {
            Answer::Found(found) => diagnosis.take(rule, incident, found, &mut advice),
            Answer::Absent => {}
            Answer::CannotTell(gap) => diagnosis.lacks(incident, gap),
        }
    }
    advice.sort_by_key(|a| a.rank);
    diagnosis.remedies = advice.into_iter().map(|a| a.remedy).collect();
    diagnosis.remedies.iter_mut().for_each(|remedy| placeholders::fill_in(remedy, incident));
    diagnosis.ranking = facts.ranking.ok();
    diagnosis.memory = facts.memory;
    if let Recording::Of(minutes) = facts.recorded {
        diagnosis.pattern = minutes.pattern.ok();
        diagnosis.growth = minutes.growth;
        diagnosis.dashboards = minutes.dashboards;
    }
    diagnosis
}

impl Diagnosis {
    /// Turns observations into findings that cite only what the log has.
    fn take(&mut self, rule: &Rule, incident: &Incident, found: Found, advice: &mut Vec<Advice>) {
        self.findings.extend(found.observations.into_iter().map(|o| Finding {
            rule: rule.name.to_owned(),
            title: o.title,
            detail: o.detail,
            kind: o.kind.map(str::to_owned),
            evidence: incident.evidence.iter().filter(|e| o.parts.contains(&e.part)).map(|e| e.id.clone()).collect(),
        }));
        for gap in found.gaps {
            self.lacks(incident, gap);
        }
        advice.extend(found.advice);
    }

    /// One missing part keeps several rules from answering; it is said once, and not again where the incident says it.
    fn lacks(&mut self, incident: &Incident, gap: Gap) {
        if !self.gaps.contains(&gap) && !is_said(incident, &gap) {
            self.gaps.push(gap);
        }
    }
}

/// What the reading of the log calls the things that rules ask for.
const SAME_THING: &[(&str, &[&str])] = &[
    (
        "trigger, gfp mask and order",
        &["who asked for the memory", "order of the allocation", "the first lines of the report"],
    ),
    (
        "trigger, limit, task table",
        &[
            "who asked for the memory",
            "limit of the cgroup",
            "task table",
            "the first lines of the report",
            "the report of this kill",
        ],
    ),
    ("cgroup whose limit was hit", &["the cgroup whose limit was reached"]),
    ("beginning of the task table", &["all rows of the task table"]),
    ("rows of the task table", &["all rows of the task table"]),
];

fn is_said(incident: &Incident, gap: &Gap) -> bool {
    incident.gaps.iter().any(|said| {
        let same = SAME_THING.iter().find(|(name, _)| *name == said.wanted);
        said.wanted == gap.wanted || same.is_some_and(|(_, asked)| asked.contains(&gap.wanted.as_str()))
    })
}
