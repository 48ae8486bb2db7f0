//! The second account of a death: what Kubernetes says of the pod, the container and the node, at the time it was asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::eviction::{EvictionCause, EvictionMessage};
use super::{Condition, ContainerKind, Ending, NodeCondition, Qos, Source};
use crate::diagnosis::Killer;
use crate::time::When;
use crate::units::Bytes;

/// What Kubernetes says about the container of a case, beside what the kernel did there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who said it.
    pub source: Source,
    /// When it was asked; `None` for saved objects.
    pub as_of: Option<Timestamp>,
    /// The pod; `None` where only the node speaks of the kill.
    pub pod: Option<PodAccount>,
    /// The container; `None` where the case is about the whole pod, or where it is not known which.
    pub container: Option<ContainerAccount>,
    /// How Kubernetes says that the container instance of this case ended; `None` where it shows no end of it.
    pub ending: Option<Ending>,
    /// Whether the kill of this case is what ended that instance.
    pub ended_by: Option<EndedBy>,
    /// The kubelet evicted the pod.
    pub eviction: Option<Eviction>,
    /// Events about the pod, oldest first.
    pub events: Vec<ToldEvent>,
    /// The node.
    pub node: Option<NodeAccount>,
    /// What the kernel's side has about this container and pod.
    pub kernel: KernelSide,
}

/// A pod, as the case needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodAccount {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The uid that its cgroup carries.
    pub uid: Option<String>,
    /// `Running`, `Failed`, …
    pub phase: Option<String>,
    /// `Evicted`, …
    pub reason: Option<String>,
    /// The sentence to it.
    pub message: Option<String>,
    /// QoS class.
    pub qos: Option<Qos>,
    /// Number of its priority class.
    pub priority: Option<i32>,
    /// `Always`, `OnFailure`, `Never`.
    pub restart_policy: Option<String>,
    /// When its grace period ends or ended; set where it is being deleted.
    pub deletion: Option<Timestamp>,
    /// Seconds of grace.
    pub grace_seconds: Option<i64>,
    /// How many containers it has, the pause container not counted.
    pub containers: usize,
    /// Its status has no containers any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub statuses_lost: bool,
    /// Conditions that are not as they are in a healthy pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Names of its volumes in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory_volumes: Vec<String>,
    /// It is no longer in the API or on the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Labels that were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A container, as its status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerAccount {
    /// Its name.
    pub name: String,
    /// What it is to its pod.
    pub kind: Option<ContainerKind>,
    /// Its image.
    pub image: Option<String>,
    /// Memory limit of the spec; `None`: no limit.
    pub limit_bytes: Option<Bytes>,
    /// Memory request of the spec.
    pub request_bytes: Option<Bytes>,
    /// How far a change of them has come, while one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<String>,
    /// Restarts so far; `None` where the pod's status has no containers any more.
    pub restart_count: Option<u32>,
    /// Passes its readiness probe.
    pub ready: Option<bool>,
    /// `running`, `waiting`, `terminated`.
    pub state: Option<State>,
    /// Why it waits or how it ended: `CrashLoopBackOff`, `OOMKilled`.
    pub reason: Option<String>,
    /// Of the running instance.
    pub running_since: Option<Timestamp>,
    /// Id of the latest instance.
    pub current_id: Option<String>,
    /// How the instance before ended; the status keeps only one.
    pub last: Option<Ending>,
    /// It waits to be restarted.
    pub back_off: Option<BackOff>,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not started, or not again.
    Waiting,
    /// Running.
    Running,
    /// Ended.
    Terminated,
}

/// The delay before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// How long, as the kubelet says it: doubled at each end within ten minutes, up to five minutes.
    pub seconds: Option<u64>,
    /// When it ends: the kubelet counts from the end of the last instance. It acts on it at its next look, up to some seconds later.
    pub until: Option<Timestamp>,
}

/// An event, as the case needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldEvent {
    /// When it first happened.
    pub first: Option<Timestamp>,
    /// When it last happened.
    pub last: Option<Timestamp>,
    /// How often.
    pub count: Option<u32>,
    /// `Evicted`, `BackOff`, `Unhealthy`, …
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// The container that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// The node, as the case needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAccount {
    /// Its name.
    pub name: String,
    /// Conditions that are not as they are on a healthy node, and the one about memory.
    pub conditions: Vec<NodeCondition>,
    /// Events that speak of this kill (`SystemOOM`).
    pub events: Vec<ToldEvent>,
    /// When the kubelet was started, the last time before those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_started: Option<Timestamp>,
    /// When the condition MemoryPressure turned true, each time that was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory_pressure: Vec<Timestamp>,
}

/// A pod that the kubelet evicted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    /// When.
    pub at: Option<Timestamp>,
    /// The kubelet's sentence.
    pub message: String,
    /// What that says; `None` where the kubelet's words are not known.
    pub cause: Option<EvictionCause>,
}

/// How the end of an instance has to do with a kill in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The kill hit its first process.
    Kill,
    /// The kill hit another process, and the first one ended at once with its status, as a shell does.
    ChildsStatus,
    /// It ended later or in another way.
    Otherwise,
    /// The evidence does not tell.
    Unknown,
}

/// What the kernel's side has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSide {
    /// Whether the kernel's log was read for the time of this case.
    pub log: Coverage,
    /// Other kills in the same pod, oldest first.
    pub kills: Vec<KillSeen>,
}

/// How much of the kernel's log there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Watched at the time, or a log that begins before and ends after it.
    Whole,
    /// A log was read, and whether it has the time is not known.
    Uncertain,
    /// None was read.
    #[default]
    None,
}

/// A kill of the kernel in the same pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSeen {
    /// Id of its case.
    pub case: String,
    /// When.
    pub at: When,
    /// Which limit.
    pub killer: Killer,
    /// Pid of the first victim.
    pub pid: Option<u32>,
    /// In the same instance of the container.
    pub same_instance: bool,
    /// It is what ended that instance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_instance: bool,
    /// In another container of the pod, while this case's instance was running; `None` where the times do not tell.
    pub beside_instance: Option<bool>,
    /// Seconds from it to the end of this case's instance, at least; negative where the kill may have come after.
    pub seconds_before_end: Option<i64>,
}

impl Eviction {
    /// What the node was short of, where the sentence is about that.
    #[must_use]
    pub const fn low_on(&self) -> Option<&EvictionMessage> {
        match &self.cause {
            Some(EvictionCause::LowOnResource(message)) => Some(message),
            _ => None,
        }
    }

    /// Reads the kubelet's sentence.
    #[must_use]
    pub fn of_message(at: Option<Timestamp>, message: String) -> Self {
        let cause = EvictionCause::parse(&message);
        Self { at, message, cause }
    }
}
