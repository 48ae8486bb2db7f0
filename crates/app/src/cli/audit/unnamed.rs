//! Pods that only their cgroups tell of, put into the form of a Pod: limits and the QoS class, no requests.

use indexmap::IndexMap;
use oomscope_core::incident::identity::Identity;
use oomscope_core::kubernetes::{Container, Meta, Pod, Qos, Quantity};
use oomscope_core::units::Limit;

use super::node::{Living, is_pause};

/// A pause container holds less than this, and nobody gives it a limit.
const PAUSE: u64 = 2 << 20;

/// One for each pod's uid. Containers go by their names where a runtime told them, else by their ids.
pub(super) fn pods<'a>(living: impl Iterator<Item = &'a Living>) -> Vec<Pod> {
    let mut pods: IndexMap<&str, Pod> = IndexMap::new();
    for living in living.filter(|living| !is_pause(&living.identity) && !looks_like_pause(living)) {
        let identity = &living.identity;
        let Some(uid) = identity.pod_uid.as_deref() else { continue };
        let pod = pods.entry(uid).or_insert_with(|| pod(living, uid));
        pod.spec.containers.push(container(living));
    }
    pods.into_values().collect()
}

/// As `crictl ps` shows it.
pub(super) fn short_id(identity: &Identity) -> Option<String> {
    Some(identity.container_id.as_deref()?.chars().take(12).collect())
}

/// Without a runtime to ask, the sandbox is a container like any other; one process without a limit that holds next to nothing is taken
/// for it.
fn looks_like_pause(living: &Living) -> bool {
    let small = living.seen.peak.is_some_and(|peak| peak.0 < PAUSE);
    living.identity.container.is_none()
        && small
        && living.limit == Some(Limit::Unlimited)
        && living.seen.processes == Some(1)
}

fn pod(living: &Living, uid: &str) -> Pod {
    let identity = &living.identity;
    let metadata = Meta {
        name: identity.pod.clone().unwrap_or_else(|| uid.to_owned()),
        namespace: identity.namespace.clone(),
        uid: Some(uid.to_owned()),
        ..Meta::default()
    };
    let mut pod = Pod { metadata, ..Pod::default() };
    pod.status.qos_class = match identity.qos.as_deref() {
        Some("guaranteed") => Some(Qos::Guaranteed),
        Some("besteffort") => Some(Qos::BestEffort),
        _ => Some(Qos::Burstable),
    };
    pod
}

fn container(living: &Living) -> Container {
    let identity = &living.identity;
    let name = identity.container.clone().or_else(|| short_id(identity)).unwrap_or_default();
    let mut container = Container { name, ..Container::default() };
    if let Some(Limit::At(limit)) = living.limit {
        container.resources.limits.insert("memory".to_owned(), Quantity::of_bytes(limit));
    }
    container
}
