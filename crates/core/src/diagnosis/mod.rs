//! Station 5 of the path: what an incident means.
//!
//! Pure rules, one file each in `rules/`, in the list [`rules::RULES`]. A rule looks at one incident and at what the
//! rules before it found, and answers [`Answer::Found`], [`Answer::Absent`] or [`Answer::CannotTell`].

pub mod rules;

use serde::{Deserialize, Serialize};

use crate::evidence::{EvidenceId, Gap};

/// Version of the rule set: raised whenever a rule's answer changes for some incident.
pub const RULESET: &str = "1";

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
}
