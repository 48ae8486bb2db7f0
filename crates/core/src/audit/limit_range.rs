//! A namespace's LimitRange: what the API server puts into containers that say nothing.
//!
//! Source: plugin/pkg/admission/limitranger/admission.go, `defaultContainerResourceRequirements`, and
//! pkg/apis/core/v1/defaults.go, `SetDefaults_LimitRangeItem`.

use serde::Deserialize;
use serde_json::Value;

use super::finding::{Place, Target};
use crate::kubernetes::{Container, Meta, Pod, Quantity};

/// The part of it that is about containers' memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitRange {
    /// Who it is.
    pub metadata: Meta,
    /// Limit of a container that has none.
    pub default_limit: Option<Quantity>,
    /// Request of a container that has neither.
    pub default_request: Option<Quantity>,
    /// Where it is written.
    pub place: Option<Place>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    limits: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    default: Amounts,
    #[serde(default)]
    default_request: Amounts,
    #[serde(default)]
    max: Amounts,
}

#[derive(Default, Deserialize)]
struct Amounts {
    memory: Option<Quantity>,
}

impl LimitRange {
    /// # Errors
    /// Where a field has another type than the API gives it.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        let written = Written::deserialize(value)?;
        let mut range = Self { metadata: written.metadata, ..Self::default() };
        for item in written.spec.limits.into_iter().filter(|item| item.kind == "Container") {
            let limit = item.default.memory.or(item.max.memory);
            range.default_limit = range.default_limit.or(limit);
            range.default_request = range.default_request.or(item.default_request.memory).or(limit);
        }
        Ok(range)
    }

    /// Puts the defaults into a template, as the API server does when a pod is made from it.
    pub(super) fn fill(&self, pod: &mut Pod) {
        let spec = &mut pod.spec;
        for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
            self.fill_container(container);
        }
    }

    fn fill_container(&self, container: &mut Container) {
        let resources = &mut container.resources;
        // A limit of the container's own has become its request before any default is looked at.
        if let Some(limit) = resources.limits.get("memory").copied() {
            resources.requests.entry("memory".to_owned()).or_insert(limit);
        }
        if let Some(limit) = self.default_limit {
            resources.limits.entry("memory".to_owned()).or_insert(limit);
        }
        if let Some(request) = self.default_request {
            resources.requests.entry("memory".to_owned()).or_insert(request);
        }
    }

    pub(super) fn target(&self) -> Target {
        Target {
            kind: "LimitRange".to_owned(),
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
            pods: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;
    use serde_json::json;

    /// Who says nothing gets both defaults; whoever has a limit keeps it, as its request too.
    #[test]
    fn fills_what_is_missing() {
        let range = json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {"limits": [
            {"type": "Pod", "max": {"memory": "9Gi"}},
            {"type": "Container", "default": {"memory": "256Mi"}, "defaultRequest": {"memory": "64Mi"}}]}});
        let range = LimitRange::read(&range).unwrap();
        let mut pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "resources": {"limits": {"memory": "1Gi"}}}]}}))
        .unwrap();
        range.fill(&mut pod);
        let amounts = |name: &str| {
            let resources = &pod.container(name).expect("it").resources;
            (resources.memory_request().map(Quantity::bytes), resources.memory_limit().map(Quantity::bytes))
        };
        assert_eq!(amounts("a"), (Some(Bytes(64 << 20)), Some(Bytes(256 << 20))));
        assert_eq!(amounts("b"), (Some(Bytes(1 << 30)), Some(Bytes(1 << 30))));
    }
}
