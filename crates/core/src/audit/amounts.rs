//! What a pod asks for and may take altogether, as the scheduler and the kubelet count it.
//!
//! Source: k8s.io/component-helpers/resource/helpers.go, `AggregateContainerRequests` and `AggregateContainerLimits`: containers and
//! sidecars run together; each init container runs beside the sidecars that were started before it.

use crate::kubernetes::{Container, ContainerKind, Pod};
use crate::units::Bytes;

/// The memory request that counts for a container: the API copies a limit into a missing request.
pub(super) fn request(container: &Container) -> Option<Bytes> {
    let resources = &container.resources;
    resources.memory_request().or_else(|| resources.memory_limit()).map(|q| q.bytes()).filter(|bytes| bytes.0 > 0)
}

/// Its memory limit.
pub(super) fn limit(container: &Container) -> Option<Bytes> {
    container.resources.memory_limit().map(|quantity| quantity.bytes())
}

/// What the pod requests altogether; 0 for nothing.
pub(super) fn pod_request(pod: &Pod) -> Bytes {
    if let Some(own) = pod.spec.resources.memory_request() {
        return own.bytes();
    }
    Bytes(at_most_together(pod, &|container| Some(request(container).unwrap_or_default().0)).unwrap_or(0))
}

/// What the pod may take altogether; `None` where one of its containers has no limit.
pub(super) fn pod_limit(pod: &Pod) -> Option<Bytes> {
    if let Some(own) = pod.spec.resources.memory_limit() {
        return Some(own.bytes());
    }
    at_most_together(pod, &|container| limit(container).map(|bytes| bytes.0)).map(Bytes)
}

/// What the containers ask for that run together, and those that run before them one by one.
fn at_most_together(pod: &Pod, amount: &dyn Fn(&Container) -> Option<u64>) -> Option<u64> {
    let (mut together, mut before) = (0_u64, 0_u64);
    for (kind, container) in pod.containers() {
        match kind {
            ContainerKind::Init => before = before.max(together.saturating_add(amount(container)?)),
            ContainerKind::App | ContainerKind::Sidecar => together = together.saturating_add(amount(container)?),
            ContainerKind::Ephemeral | ContainerKind::Pause => {}
        }
    }
    Some(together.max(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sidecars count beside everything, init containers only while they run.
    #[test]
    fn sums() {
        let container = |name: &str, mib: u64| serde_json::json!({"name": name, "resources": {"limits": {"memory": format!("{mib}Mi")}}});
        let mut sidecar = container("proxy", 50);
        sidecar["restartPolicy"] = "Always".into();
        let pod = |init: u64| -> Pod {
            let init = container("init", init);
            serde_json::from_value(serde_json::json!({"spec": {
                "initContainers": [sidecar, init], "containers": [container("a", 100), container("b", 20)]}}))
            .unwrap()
        };
        assert_eq!(pod_request(&pod(10)), Bytes(170 << 20));
        assert_eq!(pod_limit(&pod(400)), Some(Bytes(450 << 20)));
        assert_eq!(pod_limit(&serde_json::from_str(r#"{"spec":{"containers":[{"name":"a"}]}}"#).unwrap()), None);
    }
}
