//! A Pod: spec and status, as far as memory and death are concerned.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Meta, Quantity, null_is_empty};

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Who it is.
    pub metadata: Meta,
    /// What is wanted.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: PodSpec,
    /// What is.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that it was bound to.
    pub node_name: Option<String>,
    /// The containers.
    #[serde(deserialize_with = "null_is_empty")]
    pub containers: Vec<Container>,
    /// Run before them, one after another; those that restart always stay beside them (sidecars).
    #[serde(deserialize_with = "null_is_empty")]
    pub init_containers: Vec<Container>,
    /// Added to the running pod by `kubectl debug`.
    #[serde(deserialize_with = "null_is_empty")]
    pub ephemeral_containers: Vec<Container>,
    /// Volumes.
    #[serde(deserialize_with = "null_is_empty")]
    pub volumes: Vec<Volume>,
    /// Of the whole pod (1.32 and newer, where switched on).
    #[serde(deserialize_with = "null_is_empty")]
    pub resources: Resources,
    /// Added to the pod for the sandbox, by resource.
    #[serde(deserialize_with = "null_is_empty")]
    pub overhead: BTreeMap<String, Quantity>,
    /// Number of its priority class.
    pub priority: Option<i32>,
    /// Name of its priority class.
    pub priority_class_name: Option<String>,
    /// `Always`, `OnFailure`, `Never`.
    pub restart_policy: Option<String>,
    /// Seconds between SIGTERM and SIGKILL.
    pub termination_grace_period_seconds: Option<i64>,
    /// Sees the machine's processes.
    #[serde(rename = "hostPID")]
    pub host_pid: Option<bool>,
}

/// A container of a Pod's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Option<String>,
    /// Requests and limits.
    #[serde(deserialize_with = "null_is_empty")]
    pub resources: Resources,
    /// `Always` makes a sidecar of an init container.
    pub restart_policy: Option<String>,
    /// The command, where the manifest sets it.
    #[serde(deserialize_with = "null_is_empty")]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(deserialize_with = "null_is_empty")]
    pub args: Vec<String>,
    /// Variables with a plain value.
    #[serde(deserialize_with = "null_is_empty")]
    pub env: Vec<EnvVar>,
}

/// A variable of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, where it is not taken from elsewhere.
    pub value: Option<String>,
}

/// Requests and limits, by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// At most.
    #[serde(deserialize_with = "null_is_empty")]
    pub limits: BTreeMap<String, Quantity>,
    /// At least.
    #[serde(deserialize_with = "null_is_empty")]
    pub requests: BTreeMap<String, Quantity>,
}

impl Resources {
    /// The memory limit. Zero is none, as for the kubelet.
    #[must_use]
    pub fn memory_limit(&self) -> Option<Quantity> {
        self.limits.get("memory").copied().filter(|limit| !limit.is_zero())
    }

    /// The memory request as stated; the API server copies a limit into a missing request, a manifest does not have that yet.
    #[must_use]
    pub fn memory_request(&self) -> Option<Quantity> {
        self.requests.get("memory").copied()
    }
}

/// A volume, as far as it can hold memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// A scratch folder.
    pub empty_dir: Option<EmptyDir>,
}

/// An `emptyDir`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory` for a tmpfs; `HugePages…`; empty for disk.
    pub medium: Option<String>,
    /// At most.
    pub size_limit: Option<Quantity>,
}

impl EmptyDir {
    /// True for a tmpfs, whose files are memory of whoever wrote them.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.medium.as_deref() == Some("Memory")
    }
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerKind {
    /// One of `spec.containers`.
    App,
    /// An init container that ends before the others start.
    Init,
    /// An init container that restarts always.
    Sidecar,
    /// Added by `kubectl debug`.
    Ephemeral,
    /// The pause container that holds the pod's namespaces.
    Pause,
}

impl fmt::Display for ContainerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::App => "container",
            Self::Init => "init container",
            Self::Sidecar => "sidecar",
            Self::Ephemeral => "ephemeral container",
            Self::Pause => "pause container",
        })
    }
}

/// Quality of service class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Qos {
    /// Every container's limits equal its requests, for cpu and memory.
    Guaranteed,
    /// Something in between.
    Burstable,
    /// No request and no limit at all.
    BestEffort,
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        })
    }
}

/// `status` of a Pod. An evicted pod's has lost its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Option<String>,
    /// `Evicted`, `NodeLost`, `Preempting`, `Terminated`, …
    pub reason: Option<String>,
    /// The sentence to it.
    pub message: Option<String>,
    /// When the kubelet took it on.
    pub start_time: Option<Timestamp>,
    /// QoS class.
    pub qos_class: Option<Qos>,
    /// `Ready`, `DisruptionTarget`, `PodResizePending`, …
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
    /// Of `spec.containers`.
    #[serde(deserialize_with = "null_is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Of `spec.initContainers`.
    #[serde(deserialize_with = "null_is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Of `spec.ephemeralContainers`.
    #[serde(deserialize_with = "null_is_empty")]
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
    /// `Proposed`, `InProgress`, `Deferred`, `Infeasible` (before 1.33; then conditions).
    pub resize: Option<String>,
}

/// A condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Ready`, `DisruptionTarget`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// A word.
    pub reason: Option<String>,
    /// A sentence.
    pub message: Option<String>,
    /// Since when.
    pub last_transition_time: Option<Timestamp>,
}

/// Status of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// `containerd://<id>` of the latest instance.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
    /// Image as the runtime names it.
    pub image: Option<String>,
    /// Digest of the image.
    #[serde(rename = "imageID")]
    pub image_id: Option<String>,
    /// Restarts so far.
    pub restart_count: u32,
    /// Passes its readiness probe.
    pub ready: bool,
    /// Now.
    #[serde(deserialize_with = "null_is_empty")]
    pub state: ContainerState,
    /// Of the instance before; only one is kept.
    #[serde(deserialize_with = "null_is_empty")]
    pub last_state: ContainerState,
    /// What the node has granted (1.27 and newer).
    #[serde(deserialize_with = "null_is_empty")]
    pub allocated_resources: BTreeMap<String, Quantity>,
    /// What is in force, as the kubelet read it from the runtime (1.27 and newer).
    pub resources: Option<Resources>,
}

/// One of the three, or none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// Not running yet, or again.
    pub waiting: Option<Waiting>,
    /// Running.
    pub running: Option<Running>,
    /// Ended.
    pub terminated: Option<Terminated>,
}

/// Why it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ContainerCreating`, …
    pub reason: Option<String>,
    /// The sentence to it.
    pub message: Option<String>,
}

/// Since when it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Whole seconds.
    pub started_at: Option<Timestamp>,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// 128 + the signal where one ended it; 137 is any SIGKILL.
    pub exit_code: i32,
    /// The signal, where the runtime tells it (containerd does not).
    pub signal: Option<i32>,
    /// `OOMKilled`, `Error`, `Completed`, `ContainerStatusUnknown`, …
    pub reason: Option<String>,
    /// The end of its termination log, or the runtime's error.
    pub message: Option<String>,
    /// Whole seconds.
    pub started_at: Option<Timestamp>,
    /// Whole seconds.
    pub finished_at: Option<Timestamp>,
    /// `containerd://<id>`.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
}

impl Pod {
    /// Every container of the spec with what it is, in the order in which they start.
    pub fn containers(&self) -> impl Iterator<Item = (ContainerKind, &Container)> {
        let init = self.spec.init_containers.iter().map(|container| {
            let stays = container.restart_policy.as_deref() == Some("Always");
            (if stays { ContainerKind::Sidecar } else { ContainerKind::Init }, container)
        });
        let apps = self.spec.containers.iter().map(|container| (ContainerKind::App, container));
        let added = self.spec.ephemeral_containers.iter().map(|container| (ContainerKind::Ephemeral, container));
        init.chain(apps).chain(added)
    }

    /// Every container's status.
    pub fn statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = &self.status;
        let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
        lists.into_iter().flatten()
    }

    /// What a container of this name is.
    #[must_use]
    pub fn kind_of(&self, name: &str) -> Option<ContainerKind> {
        self.containers().find(|(_, container)| container.name == name).map(|(kind, _)| kind)
    }

    /// A container of the spec, by its name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers().find(|(_, container)| container.name == name).map(|(_, container)| container)
    }

    /// A container's status, by its name.
    #[must_use]
    pub fn status_of(&self, name: &str) -> Option<&ContainerStatus> {
        self.statuses().find(|status| status.name == name)
    }

    /// The class that the API server gave it, else the one that its spec comes to.
    ///
    /// Source: pkg/apis/core/v1/helper/qos/qos.go, `ComputePodQOS`.
    #[must_use]
    pub fn qos(&self) -> Qos {
        self.status.qos_class.unwrap_or_else(|| self.qos_of_spec())
    }

    fn qos_of_spec(&self) -> Qos {
        let spec = &self.spec;
        let own = !spec.resources.limits.is_empty() || !spec.resources.requests.is_empty();
        let resources: Vec<&Resources> = if own {
            vec![&spec.resources]
        } else {
            spec.init_containers.iter().chain(&spec.containers).map(|container| &container.resources).collect()
        };
        let amount = |map: &BTreeMap<String, Quantity>, name| map.get(name).copied().filter(|amount| !amount.is_zero());
        let is_set = |resources: &&Resources| {
            ["cpu", "memory"]
                .iter()
                .any(|name| amount(&resources.limits, *name).or_else(|| amount(&resources.requests, *name)).is_some())
        };
        let is_equal = |resources: &&Resources| {
            ["cpu", "memory"].iter().all(|name| {
                let limit = amount(&resources.limits, *name);
                limit.is_some() && amount(&resources.requests, *name).or(limit) == limit
            })
        };
        match (resources.iter().any(is_set), resources.iter().all(is_equal)) {
            (false, _) => Qos::BestEffort,
            (true, true) => Qos::Guaranteed,
            (true, false) => Qos::Burstable,
        }
    }

    /// The uid that its cgroup carries: of a static pod the hash of its manifest, not the uid of its mirror in the API. The kubelet's own
    /// list has the hash as the uid already. On a pod that is no mirror the annotation is anybody's word, and would lend it the name of
    /// another pod's cgroup.
    ///
    /// Source: pkg/kubelet/types/constants.go and pod_update.go, `kubernetes.io/config.hash`.
    #[must_use]
    pub fn cgroup_uid(&self) -> Option<&str> {
        let annotation = |name: &str| self.metadata.annotations.get(name).map(String::as_str);
        mirrored_uid(annotation).or(self.metadata.uid.as_deref())
    }
}

/// The uid of the static pod whose mirror has these annotations; `None` where they are not a mirror's.
#[must_use]
pub fn mirrored_uid<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    annotation("kubernetes.io/config.mirror")?;
    let is_hash = |hash: &&str| !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    annotation("kubernetes.io/config.hash").filter(is_hash)
}

/// `containerd://0123…` without the runtime's name, and that name as a cgroup path has it.
#[must_use]
pub fn split_container_id(id: &str) -> (Option<&str>, &str) {
    id.split_once("://").map_or((None, id), |(runtime, id)| (Some(runtime), id))
}

impl ContainerStatus {
    /// The id of its latest instance, without the runtime's name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.container_id.as_deref().map(|id| split_container_id(id).1).filter(|id| !id.is_empty())
    }
}

impl Terminated {
    /// The id of the instance that ended, without the runtime's name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.container_id.as_deref().map(|id| split_container_id(id).1).filter(|id| !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Pod {
        serde_json::from_str(json).unwrap()
    }

    /// The class that the API server would give.
    #[test]
    fn qos_of_a_spec() {
        let qos = |resources: &str| {
            pod(&format!(r#"{{"spec":{{"containers":[{{"name":"a","resources":{resources}}}]}}}}"#)).qos()
        };
        assert_eq!(qos("{}"), Qos::BestEffort);
        assert_eq!(qos("null"), Qos::BestEffort);
        assert_eq!(qos(r#"{"limits":{"ephemeral-storage":"1Gi"}}"#), Qos::BestEffort);
        assert_eq!(qos(r#"{"limits":{"memory":"1Gi"}}"#), Qos::Burstable);
        assert_eq!(qos(r#"{"limits":{"memory":"1Gi","cpu":"1"}}"#), Qos::Guaranteed);
        assert_eq!(
            qos(r#"{"limits":{"memory":"1Gi","cpu":"1"},"requests":{"memory":"1024Mi","cpu":"500m"}}"#),
            Qos::Burstable
        );
    }

    /// What containers are to their pod.
    #[test]
    fn kinds() {
        let pod = pod(
            r#"{"spec":{"containers":[{"name":"a"}],"initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always"}],
                "ephemeralContainers":[{"name":"e"}]}}"#,
        );
        let kinds: Vec<_> = pod.containers().map(|(kind, container)| (container.name.as_str(), kind)).collect();
        use ContainerKind::{App, Ephemeral, Init, Sidecar};
        assert_eq!(kinds, [("i", Init), ("s", Sidecar), ("a", App), ("e", Ephemeral)]);
    }

    /// A static pod's cgroup is named by the hash of its manifest, which only its mirror may state.
    #[test]
    fn static_pods() {
        let uid = |annotations: &str| {
            let pod = pod(&format!(r#"{{"metadata":{{"uid":"u","annotations":{{{annotations}}}}}}}"#));
            pod.cgroup_uid().map(str::to_owned)
        };
        let mirror = r#""kubernetes.io/config.mirror":"5eed""#;
        assert_eq!(uid(&format!(r#"{mirror},"kubernetes.io/config.hash":"5eed""#)).as_deref(), Some("5eed"));
        assert_eq!(uid(r#""kubernetes.io/config.hash":"5eed""#).as_deref(), Some("u"));
        assert_eq!(uid(&format!(r#"{mirror},"kubernetes.io/config.hash":"--root=/""#)).as_deref(), Some("u"));
    }
}
