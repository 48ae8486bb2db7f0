//! Whose cgroup it was, from the path alone.

use serde::{Deserialize, Serialize};

use super::cgroup_path::CgroupPath;
use crate::kubernetes::{ContainerKind, Source};
use crate::text::Untrusted;

/// What a cgroup path tells of its owner. Kubernetes names (`namespace`, `pod`, `container`, `owner`, `node`) are not in
/// a path: other sources fill them in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Pod uid with dashes, or the hash of a static pod.
    pub pod_uid: Option<String>,
    /// Container id, full length as in the path.
    pub container_id: Option<String>,
    /// `containerd`, `cri-o`, `docker`, `podman`, `lxc`, …; `None` where the path does not say, as with the cgroupfs
    /// driver of the kubelet.
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

    /// What the container is to its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_kind: Option<ContainerKind>,
    /// Image of the container, as the manifest names it where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Who knew the names; `None` where only the path spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The path ends inside the container id: `container_id` is its beginning, at least 12 digits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub container_id_cut: bool,
    /// A container that somebody started inside the pod's container (Docker in a pod).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_container_id: Option<String>,
    /// systemd unit as systemd writes it, with its `\x2d` escapes: `nginx.service`, `session-4.scope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Untrusted>,
    /// Innermost systemd slice outside of Kubernetes: `system.slice`, `user-1000.slice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Untrusted>,
    /// Whose session, user manager, Slurm job or Android app it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_uid: Option<u32>,
    /// A container or virtual machine with a name in place of an id: LXC, systemd-nspawn, libvirt, Proxmox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Untrusted>,
    /// `ecs`, `slurm`, `nomad`, `mesos`: who placed the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// The scheduler's name for it: ECS task, Slurm job number, Nomad `allocation.task`, Mesos container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Untrusted>,
    /// What the machine that this is about runs in itself, when that is a container (kind, k3d, nested LXC). Of several
    /// the outermost: the one which a reader of this kernel's log can look up on this kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Box<Identity>>,
}

impl Identity {
    /// A static pod's uid is a hash of its manifest: 32 digits without dashes (kubelet's `pkg/kubelet/config/common.go`).
    #[must_use]
    pub fn is_static_pod(&self) -> bool {
        self.pod_uid.as_ref().is_some_and(|uid| !uid.contains('-'))
    }

    /// True when it names a container, pod or machine, and not only where in systemd's tree it lives.
    pub(super) const fn is_somebody(&self) -> bool {
        self.pod_uid.is_some() || self.container_id.is_some() || self.machine.is_some() || self.job.is_some()
    }
}

/// Reads the owner out of a cgroup path; `None` where the path names none (`/`, `/kubepods`, `/my-own-group`).
///
/// Whoever may create cgroups chooses their names, so a path is a claim: uids and ids are taken only in the exact shape
/// that the kubelet and the runtimes give them.
#[must_use]
pub fn identify(path: &[u8]) -> Option<Identity> {
    let owner = CgroupPath::read(path).owner;
    (owner != Identity::default()).then_some(owner)
}
