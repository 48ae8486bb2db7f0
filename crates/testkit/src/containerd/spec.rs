//! What pods are to be run: as much of a manifest as the kubelet tells the runtime.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oomscope_core::kubernetes::Qos;
use oomscope_core::units::Bytes;

/// A pod.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Which folder its cgroup is in.
    pub qos: Qos,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Volumes in memory, by name, with their size.
    pub memory_volumes: BTreeMap<String, Bytes>,
    /// Its containers, started in this order.
    pub containers: Vec<ContainerSpec>,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// What it runs: a script for busybox's shell. `/control` is a folder that it shares with the test.
    pub script: String,
    /// Its memory limit.
    pub memory_limit: Option<Bytes>,
    /// Its oom_score_adj.
    pub oom_score_adj: i32,
    /// Instances of it before this one.
    pub restarts: u32,
    /// Where volumes of the pod are mounted in it, by name.
    pub mounts: BTreeMap<String, PathBuf>,
}

impl PodSpec {
    /// A burstable pod without labels.
    #[must_use]
    pub fn new(namespace: &str, name: &str, uid: &str, containers: Vec<ContainerSpec>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            qos: Qos::Burstable,
            labels: BTreeMap::new(),
            memory_volumes: BTreeMap::new(),
            containers,
        }
    }

    /// The kubelet limits a pod where each of its containers is limited.
    pub(super) fn memory_limit(&self) -> Option<Bytes> {
        let limits: Option<Vec<u64>> =
            self.containers.iter().map(|container| container.memory_limit.map(|limit| limit.0)).collect();
        limits.map(|limits| Bytes(limits.iter().sum()))
    }

    /// The folder of its cgroup below kubepods (`pkg/kubelet/cm/pod_container_manager_linux.go`, cgroupfs driver).
    pub(super) fn cgroup(&self) -> String {
        let class = match self.qos {
            Qos::Guaranteed => "",
            Qos::Burstable => "burstable/",
            Qos::BestEffort => "besteffort/",
        };
        format!("kubepods/{class}pod{}", self.uid)
    }

    pub(super) fn log_folder(&self) -> String {
        format!("/var/log/pods/{}_{}_{}", self.namespace, self.name, self.uid)
    }
}

impl ContainerSpec {
    /// A container with a limit and an oom_score_adj of 900.
    #[must_use]
    pub fn new(name: &str, memory_limit: Option<Bytes>, script: &str) -> Self {
        Self { name: name.to_owned(), script: script.to_owned(), memory_limit, oom_score_adj: 900, ..Self::default() }
    }

    /// Waits for the test, and then takes more memory than `limit` in its first process: the container ends.
    #[must_use]
    pub fn hog(name: &str, limit: Bytes) -> Self {
        Self::new(name, Some(limit), &format!("{WAIT}; exec {}", take(limit)))
    }

    /// Waits for the test, and then takes more memory than `limit` in a child: the container lives on.
    #[must_use]
    pub fn with_hungry_child(name: &str, limit: Bytes) -> Self {
        Self::new(name, Some(limit), &format!("{WAIT}; {}; echo ended $?; exec sleep 100000", take(limit)))
    }

    /// Does nothing for ever.
    #[must_use]
    pub fn idle(name: &str, memory_limit: Option<Bytes>) -> Self {
        Self::new(name, memory_limit, "exec sleep 100000")
    }
}

const WAIT: &str = "while ! test -e /control/go; do sleep 0.05; done";

fn take(limit: Bytes) -> String {
    format!("dd if=/dev/zero of=/dev/null bs={} count=1", limit.0.saturating_mul(2))
}
