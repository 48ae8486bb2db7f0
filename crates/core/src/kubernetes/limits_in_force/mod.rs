//! A pod's spec against what every cgroup of its path really has in force.
//!
//! A limit takes a long way: manifest, admission (LimitRange), API, kubelet, runtime (NRI plugins), runc, systemd, kernel, and each step may
//! change, round or lose it. Only the cgroup's files say what holds. What is expected is computed as the kubelet does
//! (`expected`); what differs is named with the causes that are known for it (`causes`).

mod causes;
mod compare;
mod expected;
mod resize;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::{Comm, Gap, Limits};
use crate::formats::cgroup::Version;
use crate::kubernetes::{KubeletConfig, Pod};
use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

pub use compare::in_force;
pub use resize::{ContainerResize, Resize};

/// What is known besides the pod and the files.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// v1 or v2.
    pub version: Version,
    /// Bytes of a page: limits are rounded down to whole ones.
    pub page_size: u64,
    /// Memory of the node, by which `oom_score_adj` is computed.
    pub capacity: Option<Bytes>,
    /// The node's allocatable memory.
    pub allocatable: Option<Bytes>,
    /// Swap of the machine.
    pub swap_total: Option<Bytes>,
    /// The kubelet's configuration.
    pub kubelet: Option<&'a KubeletConfig>,
}

/// Which step of the path a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A container, by its name where that is known.
    Container(Option<String>),
    /// The container that holds the pod's namespaces.
    Pause,
    /// The pod.
    Pod,
    /// All pods of a class.
    QosClass,
    /// All pods.
    Kubepods,
    /// Anything above.
    Above,
}

/// What the files of one cgroup say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLevel {
    /// What it is.
    pub step: Step,
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// Its limits.
    pub limits: Limits,
    /// Its charge.
    pub usage: Option<Bytes>,
    /// The processes in it (not below it) with their `oom_score_adj`.
    pub processes: Vec<(u32, Comm, i32)>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// `namespace/name`, as far as it is known.
    pub pod: Option<String>,
    /// Containers first, then up to the root.
    pub levels: Vec<LevelInForce>,
    /// A change of resources that is not in force yet.
    pub resize: Option<Resize>,
    /// What could not be compared.
    pub gaps: Vec<Gap>,
}

/// One cgroup of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelInForce {
    /// What it is.
    pub step: Step,
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// Its charge.
    pub usage_bytes: Option<Bytes>,
    /// Its files, in a fixed order.
    pub settings: Vec<Setting>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Name of the file.
    pub file: String,
    /// What follows from the spec. `null`: not known, or nothing does.
    pub expected: Option<Value>,
    /// What it says. `null`: there is no such file, or it could not be read.
    pub actual: Option<Value>,
    /// Whether they agree.
    pub verdict: Verdict,
    /// Where the expected value comes from.
    pub from: Option<String>,
    /// Known causes of a difference, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

/// Whether spec and file agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They do.
    Same,
    /// But for the page that the kernel rounds down to.
    Rounded,
    /// Another value than computed, which other versions of kubelet or runtime are known to set.
    AlsoRight,
    /// They do not.
    Differs,
    /// There is nothing to compare with.
    NotCompared,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Flag(bool),
    /// A number that is no size.
    Number(Number),
    /// A size, or `"max"`.
    Amount(Limit),
}

/// `oom_score_adj`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// The number.
    pub number: i32,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.pad(if *flag { "on" } else { "off" }),
            Self::Number(number) => f.pad(&number.number.to_string()),
            Self::Amount(Limit::Unlimited) => f.pad("max"),
            Self::Amount(Limit::At(bytes)) => bytes.fmt(f),
        }
    }
}

impl InForce {
    /// The settings that differ from the spec, with their cgroup.
    pub fn differences(&self) -> impl Iterator<Item = (&LevelInForce, &Setting)> {
        let differs = |setting: &&Setting| setting.verdict == Verdict::Differs;
        self.levels
            .iter()
            .flat_map(move |level| level.settings.iter().filter(differs).map(move |setting| (level, setting)))
    }
}

/// What a file should say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    value: Value,
    from: String,
    /// Other values that are right under other versions.
    also: Vec<Value>,
}

impl Expected {
    fn new(value: Value, from: impl Into<String>) -> Self {
        Self { value, from: from.into(), also: Vec::new() }
    }

    fn or(mut self, also: Value) -> Self {
        self.also.push(also);
        self
    }
}

/// The pod's own name for people.
fn full_name(pod: &Pod) -> String {
    pod.metadata.full_name()
}

#[cfg(test)]
mod tests;
