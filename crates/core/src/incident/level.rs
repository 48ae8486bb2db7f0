//! How high in the hierarchy a cgroup stands: what a limit that was hit there is the limit *of*.

use super::cgroup_path::CgroupPath;

/// The kind of a cgroup, by its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// `/`.
    #[default]
    Root,
    /// A container of a pod.
    Container,
    /// Below a pod's container: made by the runtime (`…/crio-<id>.scope/container`) or by the container itself (systemd
    /// or Docker in a pod).
    BelowContainer,
    /// A pod: its containers, its pause container and its memory-backed volumes together.
    Pod,
    /// All burstable or all best-effort pods of the node.
    QosClass,
    /// All pods of the node: the node's allocatable memory.
    Kubepods,
    /// Below kubepods, but cut, damaged, or not named as a kubelet names anything.
    InKubepods,
    /// The parent that the kubelet was told to put kubepods in (`--cgroup-root=/kubelet`, as kind does).
    AboveKubepods,
    /// A container outside of Kubernetes: Docker, Podman, LXC, systemd-nspawn, …
    PlainContainer,
    /// Below a container outside of Kubernetes.
    BelowPlainContainer,
    /// A virtual machine's emulator and its parts.
    VirtualMachine,
    /// A task of another scheduler, or a part of one: ECS, Slurm, Nomad, Mesos.
    Job,
    /// A systemd service or scope, or what it has made below itself.
    Service,
    /// A systemd slice: `system.slice`, `user-1000.slice`.
    Slice,
    /// An Android app, by uid.
    App,
    /// Any other name.
    Other,
}

impl Level {
    /// True for kubepods and all below it.
    #[must_use]
    pub const fn is_kubernetes(self) -> bool {
        matches!(
            self,
            Self::Container | Self::BelowContainer | Self::Pod | Self::QosClass | Self::Kubepods | Self::InKubepods
        )
    }
}

/// The kind of the cgroup that `path` names.
#[must_use]
pub fn level_of(path: &[u8]) -> Level {
    CgroupPath::read(path).level
}
