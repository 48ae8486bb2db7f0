//! A container as its runtime knows it, without any Kubernetes object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ContainerKind;
use crate::units::Bytes;

/// A container or a pod's sandbox, from the runtime (CRI) or from files on the node. What the witness does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeContainer {
    /// Full id, without the runtime's name.
    pub id: String,
    /// `containerd`, `cri-o`, `docker`.
    pub runtime: Option<String>,
    /// The pod's uid.
    pub pod_uid: Option<String>,
    /// Namespace of the pod.
    pub namespace: Option<String>,
    /// Name of the pod.
    pub pod: Option<String>,
    /// Name of the container; `None` for a sandbox.
    pub container: Option<String>,
    /// What it is, as far as the runtime can tell: it knows sandboxes from containers, not init from others.
    pub kind: Option<ContainerKind>,
    /// The sandbox that it belongs to.
    pub sandbox_id: Option<String>,
    /// Restarts before it.
    pub restart_count: Option<u32>,
    /// Image, as the manifest named it where known.
    pub image: Option<String>,
    /// Pid of its first process, in the machine's pid namespace, while it runs.
    pub init_pid: Option<u32>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended; `None` while it runs.
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// The runtime's word for it: `OOMKilled`, `Error`, `Completed`. On one that runs `OOMKilled` is containerd's word for a kill in it
    /// that its first process survived.
    pub reason: Option<String>,
    /// The cgroup that it was told to use: a path, or `slice:prefix:name` with the systemd driver.
    pub cgroup: Option<String>,
    /// The memory limit that it was told.
    pub memory_limit: Option<Bytes>,
    /// The oom_score_adj that it was told.
    pub oom_score_adj: Option<i32>,
    /// Labels of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl RuntimeContainer {
    /// Takes from another account of the same container what this one lacks.
    pub fn fill(&mut self, other: Self) {
        macro_rules! fill {
            ($($field:ident),*) => { $( if self.$field.is_none() { self.$field = other.$field; } )* };
        }
        fill!(
            runtime,
            pod_uid,
            namespace,
            pod,
            container,
            kind,
            sandbox_id,
            restart_count,
            image,
            init_pid,
            started,
            finished,
            exit_code,
            reason,
            cgroup,
            memory_limit,
            oom_score_adj
        );
        if self.labels.is_empty() {
            self.labels = other.labels;
        }
    }
}
