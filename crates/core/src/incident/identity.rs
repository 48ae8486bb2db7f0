//! Whose cgroup it was, from the path alone.

use serde::{Deserialize, Serialize};

/// What a cgroup path tells of its owner. Kubernetes names (`namespace`, `pod`, `container`, `owner`, `node`) are not in
/// a path: other sources fill them in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Pod uid with dashes, or the hash of a static pod.
    pub pod_uid: Option<String>,
    /// Container id, full length as in the path.
    pub container_id: Option<String>,
    /// `containerd`, `cri-o`, `docker`, `podman`, `lxc`, …
    pub runtime: Option<String>,
    /// `guaranteed`, `burstable`, `besteffort`.
    pub qos: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Pod name.
    pub pod: Option<String>,
    /// Container name.
    pub container: Option<String>,
    /// Owner of the pod.
    pub owner: Option<String>,
    /// Node name.
    pub node: Option<String>,
}
