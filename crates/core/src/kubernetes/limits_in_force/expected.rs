//! What the kubelet writes, computed from the spec as it does.
//!
//! Sources (Kubernetes 1.35, back to 1.20): pkg/kubelet/kuberuntime/kuberuntime_container_linux.go `generateLinuxContainerResources`,
//! `configureContainerSwapResources`; pkg/kubelet/cm/helpers_linux.go `ResourceConfigForPod`; node_container_manager_linux.go
//! `getNodeAllocatableInternalAbsolute`; qos_container_manager_linux.go `setMemoryQoS`; pkg/kubelet/qos/policy.go
//! `GetContainerOOMScoreAdjust`.

use super::{Expected, Number, Surroundings, Value};
use crate::formats::cgroup::Version;
use crate::kubernetes::eviction::Spared;
use crate::kubernetes::{Container, ContainerKind, KubeletConfig, Pod, Qos};
use crate::units::{Bytes, Limit};

/// Of `MemoryQoS`, where the configuration does not say.
const THROTTLING: f64 = 0.9;
/// Guaranteed and node-critical.
const GUARANTEED_ADJ: i32 = -997;
/// Before 1.21.
const OLD_GUARANTEED_ADJ: i32 = -998;
const BEST_EFFORT_ADJ: i32 = 1000;
const PAUSE_ADJ: i32 = -998;

const fn at(bytes: Bytes) -> Value {
    Value::Amount(Limit::At(bytes))
}

const NO_LIMIT: Value = Value::Amount(Limit::Unlimited);
const NOTHING: Value = at(Bytes(0));

const fn number(number: i32) -> Value {
    Value::Number(Number { number })
}

/// What is expected of a container's files.
pub(super) struct OfContainer<'a> {
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) around: Surroundings<'a>,
}

impl OfContainer<'_> {
    pub(super) fn limit(&self) -> Expected {
        match (self.container.resources.memory_limit(), self.pod.spec.resources.memory_limit()) {
            (Some(own), _) => Expected::new(at(own.bytes()), format!("limit of {own}")),
            // 1.34 and newer give it the pod's.
            (None, Some(of_pod)) => {
                Expected::new(at(of_pod.bytes()), format!("no limit of its own, {of_pod} of the pod")).or(NO_LIMIT)
            }
            (None, None) => Expected::new(NO_LIMIT, "no limit"),
        }
    }

    /// Floor to a page of request + factor × (limit, else allocatable, − request); none where request and limit are equal.
    pub(super) fn high(&self) -> Option<Expected> {
        let kubelet = self.around.kubelet?;
        if !kubelet.memory_qos() {
            return Some(Expected::new(NO_LIMIT, "MemoryQoS is off"));
        }
        let request = self.container.memory_request().0;
        let limit = self.container.resources.memory_limit().map(|limit| limit.bytes());
        if limit == Some(Bytes(request)) {
            return Some(Expected::new(NO_LIMIT, "MemoryQoS: request and limit are equal"));
        }
        let most = limit.or(self.around.allocatable)?.0;
        let factor = kubelet.memory_throttling_factor.unwrap_or(THROTTLING);
        let high = request.saturating_add((most.saturating_sub(request) as f64 * factor) as u64);
        let high = high - high % self.around.page_size.max(1);
        Some(Expected::new(at(Bytes(high)), format!("MemoryQoS: {factor} of the way from request to limit")))
    }

    /// What is kept for it.
    pub(super) fn min(&self) -> Option<Expected> {
        let request = self.container.memory_request();
        Some(if self.around.kubelet?.memory_qos() {
            // Since 1.36 the request may be protected by memory.low instead (memoryReservationPolicy).
            Expected::new(at(request), "MemoryQoS: its request").or(NOTHING)
        } else {
            Expected::new(NOTHING, "MemoryQoS is off")
        })
    }

    pub(super) fn low(&self) -> Option<Expected> {
        let expected = Expected::new(NOTHING, "the kubelet does not set it");
        let kubelet = self.around.kubelet?;
        Some(if kubelet.memory_qos() { expected.or(at(self.container.memory_request())) } else { expected })
    }

    pub(super) fn swap(&self) -> Option<Expected> {
        let kubelet = self.around.kubelet?;
        if !may_swap(kubelet) || !self.is_of_swapping_class() {
            // Kubelets before 1.30 left the file as it was.
            return Some(Expected::new(NOTHING, "no swap for it").or(NO_LIMIT));
        }
        let (swap, capacity) = (self.around.swap_total?, self.around.capacity.filter(|capacity| capacity.0 > 0)?);
        let share = u128::from(self.container.memory_request().0) * u128::from(swap.0) / u128::from(capacity.0);
        let share = u64::try_from(share).ok()?;
        let share = share - share % self.around.page_size.max(1);
        Some(Expected::new(at(Bytes(share)), "LimitedSwap: its request's share of the machine's swap"))
    }

    fn is_of_swapping_class(&self) -> bool {
        let request = self.container.memory_request();
        let limit = self.container.resources.memory_limit().map(|limit| limit.bytes());
        self.pod.qos() == Qos::Burstable && Spared::of(self.pod).is_none() && request.0 > 0 && limit != Some(request)
    }

    pub(super) fn oom_group(&self) -> Expected {
        let single = self.around.kubelet.and_then(|kubelet| kubelet.single_process_oom_kill).unwrap_or(false);
        let from = if single { "singleProcessOOMKill" } else { "a container dies as a whole (1.28 and newer)" };
        Expected::new(Value::Flag(!single), from)
    }

    pub(super) fn oom_score_adj(&self) -> Option<Expected> {
        let is_node_critical = Spared::of(self.pod).is_some()
            && self.pod.spec.priority_class_name.as_deref() == Some("system-node-critical");
        if is_node_critical {
            return Some(Expected::new(number(GUARANTEED_ADJ), "node-critical").or(number(OLD_GUARANTEED_ADJ)));
        }
        match self.pod.qos() {
            Qos::Guaranteed => Some(Expected::new(number(GUARANTEED_ADJ), "Guaranteed").or(number(OLD_GUARANTEED_ADJ))),
            Qos::BestEffort => Some(Expected::new(number(BEST_EFFORT_ADJ), "BestEffort")),
            Qos::Burstable => self.burstable_adj(),
        }
    }

    fn burstable_adj(&self) -> Option<Expected> {
        let capacity = self.around.capacity.filter(|capacity| capacity.0 > 0)?;
        let spread = self.unrequested_by_containers();
        let adj = |container: &Container| 1000 - share(container.memory_request().0.saturating_add(spread), capacity);
        let mut own = adj(self.container);
        if self.pod.kind_of(&self.container.name) == Some(ContainerKind::Sidecar) {
            // A sidecar is not to go before the containers that it serves.
            own = self.pod.spec.containers.iter().map(adj).fold(own, |own, app| own.min(app.max(0)));
        }
        // Between the classes: 1000 is BestEffort's, below 3 would come near Guaranteed (2 before 1.21).
        let clamped = own.clamp(3, 999);
        let expected = Expected::new(number(clamped), "Burstable, by its request");
        Some(if clamped == 3 { expected.or(number(2)) } else { expected })
    }

    /// What the pod as a whole requests beyond its containers, for each of them.
    fn unrequested_by_containers(&self) -> u64 {
        let Some(of_pod) = self.pod.spec.resources.memory_request() else { return 0 };
        let counted =
            || self.pod.containers().filter(|(kind, _)| matches!(kind, ContainerKind::App | ContainerKind::Sidecar));
        let theirs = counted().map(|(_, container)| container.memory_request().0).fold(0, u64::saturating_add);
        of_pod.bytes().0.saturating_sub(theirs) / (counted().count().max(1) as u64)
    }
}

fn share(request: u64, capacity: Bytes) -> i32 {
    i32::try_from(u128::from(request) * 1000 / u128::from(capacity.0)).unwrap_or(i32::MAX).min(1000)
}

fn may_swap(kubelet: &KubeletConfig) -> bool {
    kubelet.memory_swap.swap_behavior.as_deref() == Some("LimitedSwap")
}

/// Of the sandbox: the kubelet asks for no limit.
pub(super) fn pause_adj() -> Expected {
    Expected::new(number(PAUSE_ADJ), "the pause container")
}

/// The pod's own limit.
pub(super) fn pod_limit(pod: &Pod) -> Expected {
    let overhead = match pod.memory_overhead() {
        Bytes(0) => String::new(),
        overhead => format!(" and an overhead of {overhead}"),
    };
    match (pod.memory_limit(), pod.unlimited_containers().next()) {
        (Some(limit), _) if pod.spec.resources.memory_limit().is_some() => {
            Expected::new(at(limit), format!("the pod's own limit{overhead}"))
        }
        (Some(limit), _) => Expected::new(at(limit), format!("its containers' limits together{overhead}")),
        (None, Some(container)) => Expected::new(NO_LIMIT, format!("container {} has no limit", container.name)),
        (None, None) => Expected::new(NO_LIMIT, "no limit"),
    }
}

pub(super) fn pod_min(pod: &Pod, around: Surroundings<'_>) -> Option<Expected> {
    Some(if around.kubelet?.memory_qos() {
        Expected::new(at(pod.memory_request()), "MemoryQoS: the pod's request").or(NOTHING)
    } else {
        Expected::new(NOTHING, "MemoryQoS is off")
    })
}

/// The kubelet limits all pods together to capacity less what is reserved; the hard eviction threshold stays inside.
pub(super) fn kubepods_limit(around: Surroundings<'_>) -> Option<Expected> {
    let kubelet = around.kubelet?;
    if !kubelet.enforces_pods() {
        return Some(Expected::new(NO_LIMIT, "enforceNodeAllocatable without pods"));
    }
    let (kube, system) = kubelet.reserved();
    let reserved = [kube, system].into_iter().flatten().map(|quantity| quantity.bytes().0).fold(0, u64::saturating_add);
    let limit = Bytes(around.capacity?.0.saturating_sub(reserved));
    Some(Expected::new(at(limit), "capacity less kubeReserved and systemReserved"))
}

/// Of the classes: limited only by an alpha feature, `QOSReserved`.
pub(super) fn class_limit() -> Expected {
    Expected::new(NO_LIMIT, "the kubelet sets none")
}

/// v2 has a file for each, v1 has few.
pub(super) const fn limit_file(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    }
}
