//! What node rules are asked about: one machine, with its kubelet's configuration and what runs beside its pods.

use super::finding::Target;
use crate::incident::describe::describe;
use crate::kubernetes::KubeletConfig;
use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

/// What the pods of a node have been promised, and what they may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Pods that run or shall run there.
    pub pods: u64,
    /// Sum of their requests; `None` where those are not known.
    pub requests: Option<Bytes>,
    /// Sum of the limits of those that have one.
    pub limits: Bytes,
    /// How many have none.
    pub unlimited: u64,
}

impl Committed {
    /// One more pod.
    pub fn add(&mut self, request: Option<Bytes>, limit: Option<Bytes>) {
        let plus = |sum: Bytes, more: Bytes| Bytes(sum.0.saturating_add(more.0));
        self.pods += 1;
        self.requests = request.map(|request| plus(self.requests.unwrap_or_default(), request)).or(self.requests);
        match limit {
            Some(limit) => self.limits = plus(self.limits, limit),
            None => self.unlimited += 1,
        }
    }
}

/// A cgroup in no pod that has memory of its own: a systemd unit, a container of Docker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// What it holds now that cannot be given up.
    pub held: Option<Bytes>,
    /// What is charged to it now.
    pub usage: Option<Bytes>,
    /// The most that ever was.
    pub peak: Option<Bytes>,
    /// The smallest limit of it and of what it is in.
    pub limit: Option<Limit>,
    /// How often it was throttled at `memory.high`.
    pub throttled: u64,
    /// Share of the last five minutes in which some task of it stalled for memory, in percent.
    pub stalled_percent: Option<f64>,
}

impl Service {
    /// In a few words, escaped.
    #[must_use]
    pub fn describe(&self) -> String {
        describe(self.cgroup.as_bytes())
    }

    /// The unit's name, for systemd.
    #[must_use]
    pub fn unit(&self) -> Option<String> {
        let unit = crate::incident::identity::identify(self.cgroup.as_bytes())?.unit?;
        Some(unit.to_lossy().into_owned()).filter(|unit| unit.ends_with(".service") || unit.ends_with(".scope"))
    }
}

/// One machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// Its name, where known.
    pub name: Option<String>,
    /// True for this machine, of which more can be seen than an API tells.
    pub is_local: bool,
    /// Whether pods run here at all.
    pub has_pods: bool,
    /// All its memory.
    pub capacity: Option<Bytes>,
    /// What pods may request together.
    pub allocatable: Option<Bytes>,
    /// The kubelet's configuration, where it could be read.
    pub kubelet: Option<KubeletConfig>,
    /// Swap.
    pub swap: Option<Bytes>,
    /// The version of cgroups that the memory controller is on.
    pub cgroup_version: Option<u8>,
    /// What is held outside of pods and cannot be given up: services and the kernel.
    pub outside: Option<Bytes>,
    /// What the pods were promised.
    pub committed: Committed,
    /// What runs beside the pods.
    pub services: Vec<Service>,
}

impl Machine {
    /// What is kept from pods: reserved for the kubelet and for the system together; `None` where nobody says.
    #[must_use]
    pub fn reserved(&self) -> Option<Bytes> {
        let (kube, system) = self.kubelet.as_ref()?.reserved();
        let bytes = |quantity: Option<crate::kubernetes::Quantity>| quantity.map_or(0, |quantity| quantity.bytes().0);
        Some(Bytes(bytes(kube).saturating_add(bytes(system))))
    }

    pub(super) fn target(&self) -> Target {
        Target {
            kind: "Node".to_owned(),
            namespace: None,
            name: self.name.clone().unwrap_or_else(|| "this machine".to_owned()),
            pods: Some(self.committed.pods).filter(|pods| *pods > 0),
        }
    }
}
