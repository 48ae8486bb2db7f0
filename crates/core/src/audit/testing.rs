//! Objects for the tests of rules.

use serde_json::{Value, json};

use super::inventory::{Inventory, Sighting};
use super::namespace::Production;
use super::seen::{Seen, Sight};
use super::{Audit, Finding, Scope};
use crate::incident::identity::Identity;
use crate::kubernetes::Document;

pub(super) fn deployment(namespace: &str, name: &str, containers: Value) -> Value {
    controller("Deployment", namespace, name, containers)
}

pub(super) fn daemon_set(namespace: &str, name: &str, containers: Value) -> Value {
    controller("DaemonSet", namespace, name, containers)
}

fn controller(kind: &str, namespace: &str, name: &str, containers: Value) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": {"containers": containers}}}})
}

/// `shop/api` with one container `a` whose request and limit are the same.
pub(super) fn limited(limit: &str) -> Value {
    let resources = json!({"requests": {"memory": limit}, "limits": {"memory": limit}});
    deployment("shop", "api", json!([{"name": "a", "resources": resources}]))
}

pub(super) fn pod_with_volume(limit: &str, folder: Value) -> Value {
    let resources = json!({"requests": {"memory": limit}, "limits": {"memory": limit}});
    json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {
        "containers": [{"name": "a", "resources": resources}], "volumes": [{"name": "scratch", "emptyDir": folder}]}})
}

pub(super) fn limit_range(namespace: &str, limit: &str, request: &str) -> Value {
    json!({"kind": "LimitRange", "metadata": {"name": "defaults", "namespace": namespace}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": limit}, "defaultRequest": {"memory": request}}]}})
}

pub(super) fn priority_class(name: &str, value: i64) -> Value {
    json!({"kind": "PriorityClass", "metadata": {"name": name}, "value": value})
}

fn inventory(objects: &[Value]) -> Inventory {
    let mut inventory = Inventory::new(Production::default());
    for value in objects {
        for (object, _) in Document::read(value.clone()).objects {
            inventory.see(&object, Sighting::default()).unwrap();
        }
    }
    inventory
}

pub(super) fn found(objects: &[Value]) -> Vec<Finding> {
    let mut inventory = inventory(objects);
    inventory.finish();
    Audit::of(&inventory, Scope::Manifests).findings
}

/// With what was seen of the container of [`limited`].
pub(super) fn found_with(objects: &[Value], seen: Seen) -> Vec<Finding> {
    let mut inventory = inventory(objects);
    let identity = Identity {
        namespace: Some("shop".to_owned()),
        owner: Some("Deployment/api".to_owned()),
        container: Some("a".to_owned()),
        ..Identity::default()
    };
    assert!(inventory.observe(&Sight { identity, seen }), "seen of somebody known");
    inventory.finish();
    Audit::of(&inventory, Scope::Manifests).findings
}

pub(super) fn rules_of(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule.as_str()).collect()
}
