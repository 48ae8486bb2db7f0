//! What the containers of a Pod come to together: what the scheduler counts, what the kubelet writes into the pod's cgroup, and what its
//! eviction compares usage with.
//!
//! Init containers run one after another before the others, sidecars (init containers that restart always) beside all that follow: at
//! any moment the pod needs the larger of "all containers and sidecars" and "one init container and the sidecars before it".
//! Source: k8s.io/component-helpers/resource/helpers.go, `PodRequests` and `PodLimits` (1.34).

use super::pod::{Container, ContainerKind, Pod, Resources};
use crate::units::Bytes;

const MEMORY: &str = "memory";

impl Pod {
    /// The memory that the pod requests, overhead included; zero where it requests none.
    #[must_use]
    pub fn memory_request(&self) -> Bytes {
        let of_pod = self.spec.resources.memory_request().map(super::Quantity::bytes);
        let request = of_pod.unwrap_or_else(|| self.together(|container| container.memory_request()));
        // v1resource.GetResourceRequestQuantity: overhead counts only where something is requested.
        if request == Bytes(0) { request } else { plus(request, self.memory_overhead()) }
    }

    /// The limit of the pod's cgroup, overhead included, before the kernel rounds it down to pages. `None`: a container has no limit, and
    /// the pod as a whole has none either.
    ///
    /// Source: pkg/kubelet/cm/helpers_linux.go, `ResourceConfigForPod`.
    #[must_use]
    pub fn memory_limit(&self) -> Option<Bytes> {
        let limit = match self.spec.resources.memory_limit() {
            Some(of_pod) => of_pod.bytes(),
            None => {
                self.every_container_is_limited().then(|| self.together(|container| container.resources_limit()))?
            }
        };
        Some(plus(limit, self.memory_overhead()))
    }

    /// Containers without a memory limit: one is enough for the pod's cgroup to have none. Ephemeral containers cannot have any and do
    /// not count.
    pub fn unlimited_containers(&self) -> impl Iterator<Item = &Container> {
        self.counted().map(|(_, container)| container).filter(|container| container.resources.memory_limit().is_none())
    }

    /// Added for the sandbox.
    #[must_use]
    pub fn memory_overhead(&self) -> Bytes {
        self.spec.overhead.get(MEMORY).map_or(Bytes(0), |overhead| overhead.bytes())
    }

    fn every_container_is_limited(&self) -> bool {
        !self.spec.containers.is_empty() && self.unlimited_containers().next().is_none()
    }

    fn counted(&self) -> impl Iterator<Item = (ContainerKind, &Container)> {
        self.containers().filter(|(kind, _)| *kind != ContainerKind::Ephemeral)
    }

    /// The most that is in force at any moment.
    fn together(&self, amount: impl Fn(&Container) -> Bytes) -> Bytes {
        let (mut apps, mut sidecars, mut largest_init) = (Bytes(0), Bytes(0), Bytes(0));
        for (kind, container) in self.counted() {
            let amount = amount(container);
            match kind {
                ContainerKind::Sidecar => {
                    sidecars = plus(sidecars, amount);
                    largest_init = largest_init.max(sidecars);
                }
                ContainerKind::Init => largest_init = largest_init.max(plus(sidecars, amount)),
                _ => apps = plus(apps, amount),
            }
        }
        plus(apps, sidecars).max(largest_init)
    }
}

impl Container {
    /// The memory that it requests: where only a limit is stated, the API server takes that.
    #[must_use]
    pub fn memory_request(&self) -> Bytes {
        requested(&self.resources)
    }

    fn resources_limit(&self) -> Bytes {
        self.resources.memory_limit().map_or(Bytes(0), super::Quantity::bytes)
    }
}

/// pkg/apis/core/v1/defaults.go, `SetDefaults_Pod`.
fn requested(resources: &Resources) -> Bytes {
    resources.memory_request().or_else(|| resources.memory_limit()).map_or(Bytes(0), super::Quantity::bytes)
}

fn plus(one: Bytes, other: Bytes) -> Bytes {
    Bytes(one.0.saturating_add(other.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn pod(spec: &str) -> Pod {
        serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).unwrap()
    }

    fn container(name: &str, request: &str, limit: &str) -> String {
        format!(r#"{{"name":"{name}","resources":{{"requests":{{{request}}},"limits":{{{limit}}}}}}}"#)
    }

    fn memory(amount: &str) -> String {
        format!(r#""memory":"{amount}""#)
    }

    /// Containers add up; a missing request is the limit; one container without a limit leaves the pod without.
    #[test]
    fn containers() {
        let a = container("a", &memory("10Mi"), &memory("20Mi"));
        let b = container("b", "", &memory("30Mi"));
        let both = pod(&format!(r#"{{"containers":[{a},{b}],"overhead":{{"memory":"5Mi"}}}}"#));
        assert_eq!((both.memory_request(), both.memory_limit()), (Bytes(45 * MIB), Some(Bytes(55 * MIB))));
        let c = container("c", &memory("1Mi"), "");
        let mixed = pod(&format!(r#"{{"containers":[{a},{c}]}}"#));
        assert_eq!((mixed.memory_request(), mixed.memory_limit()), (Bytes(11 * MIB), None));
        assert_eq!(mixed.unlimited_containers().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    /// A sidecar runs beside all that follow; of the other init containers the largest counts, if it is larger than all the rest.
    #[test]
    fn init_containers() {
        let init = container("i", "", &memory("100Mi"));
        let sidecar = container("s", "", &memory("7Mi")).replacen('{', r#"{"restartPolicy":"Always","#, 1);
        let app = container("a", "", &memory("30Mi"));
        let of = |inits: &str| pod(&format!(r#"{{"initContainers":[{inits}],"containers":[{app}]}}"#));
        let limit = |inits: &str| of(inits).memory_limit().map(|limit| limit.0 / MIB);
        assert_eq!((limit(&init), limit(&sidecar)), (Some(100), Some(37)));
        assert_eq!((limit(&format!("{sidecar},{init}")), limit(&format!("{init},{sidecar}"))), (Some(107), Some(100)));
    }

    /// What is said of the pod as a whole goes before its containers; overhead alone is no request.
    #[test]
    fn whole_pods() {
        let set =
            pod(r#"{"containers":[{"name":"a"}],"resources":{"requests":{"memory":"1Gi"},"limits":{"memory":"2Gi"}}}"#);
        assert_eq!((set.memory_request(), set.memory_limit()), (Bytes(1 << 30), Some(Bytes(2 << 30))));
        let none = pod(r#"{"containers":[{"name":"a"}],"overhead":{"memory":"120Mi"}}"#);
        assert_eq!((none.memory_request(), none.memory_limit()), (Bytes(0), None));
    }
}
