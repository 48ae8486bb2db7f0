//! A Node, as far as memory is concerned.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Meta, Quantity, null_is_empty};

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Name, labels.
    pub metadata: Meta,
    /// What is wanted of it.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: NodeSpec,
    /// What it says of itself.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Taints.
    #[serde(deserialize_with = "null_is_empty")]
    pub taints: Vec<Taint>,
    /// Cordoned.
    pub unschedulable: Option<bool>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// `node.kubernetes.io/memory-pressure`, …
    pub key: String,
    /// `NoSchedule`, …
    pub effect: String,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// By resource.
    #[serde(deserialize_with = "null_is_empty")]
    pub capacity: BTreeMap<String, Quantity>,
    /// By resource: capacity less what is reserved and the hard eviction threshold.
    #[serde(deserialize_with = "null_is_empty")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Where it is reached.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// `MemoryPressure`, `Ready`, …
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<NodeCondition>,
    /// Kernel, kubelet, runtime.
    #[serde(deserialize_with = "null_is_empty")]
    pub node_info: NodeInfo,
}

/// An address of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// `status.nodeInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// The kernel's boot id.
    #[serde(rename = "bootID")]
    pub boot_id: Option<String>,
    /// `uname -r`.
    pub kernel_version: Option<String>,
    /// `v1.34.1`.
    pub kubelet_version: Option<String>,
    /// `containerd://2.1.4`.
    pub container_runtime_version: Option<String>,
}

/// A condition of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    /// `MemoryPressure`, `Ready`, …
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
    /// Last said so.
    pub last_heartbeat_time: Option<Timestamp>,
}

impl Node {
    /// Memory of the machine, as the kubelet counts it.
    #[must_use]
    pub fn memory_capacity(&self) -> Option<Quantity> {
        self.status.capacity.get("memory").copied()
    }

    /// Memory that pods may request together.
    #[must_use]
    pub fn memory_allocatable(&self) -> Option<Quantity> {
        self.status.allocatable.get("memory").copied()
    }

    /// Its address inside the cluster.
    #[must_use]
    pub fn internal_ip(&self) -> Option<&str> {
        self.status
            .addresses
            .iter()
            .find(|address| address.kind == "InternalIP")
            .map(|address| address.address.as_str())
    }

    /// A condition, by its type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }
}
