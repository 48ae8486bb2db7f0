//! A request, but no limit: a leak of one is a shortage of all.
//!
//! Some leave limits off on purpose for what they know well; so this is medium in production, and low elsewhere and where a container was
//! seen to stay within its request.

use super::{Asks, Observation, Rule, best_effort, listed, no_request};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::subject::Subject;
use crate::kubernetes::{Container, Qos};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "no_limit",
    about: "Containers without a memory limit (medium; low outside of production, and where it was seen to stay within its request).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    let silent = subject.is_host_agent() || subject.is_control_plane() || subject.class_is_system();
    // Of cgroups alone the class is known, and BestEffort has no limit by its nature.
    if silent || subject.qos() == Qos::BestEffort {
        return Vec::new();
    }
    let others = no_request::without(subject);
    let containers: Vec<&Container> = subject.unlimited().filter(|one| !others.contains(&one.name)).collect();
    if containers.is_empty() {
        return Vec::new();
    }
    let calm = containers.iter().all(|container| stays_within_request(subject, container));
    let changes: Vec<Change<'_>> = containers.iter().map(|container| limit_for(subject, container)).collect();
    let names: Vec<String> = containers.iter().map(|container| container.name.clone()).collect();
    vec![Observation {
        risk: if subject.is_production() && !calm { Risk::Medium } else { Risk::Low },
        title: "No memory limit",
        why: "Nothing stops a leak before the node itself runs out; then the kubelet evicts and the kernel kills by rank, often somebody else.",
        evidence: format!("{} can take all of the node's memory{}", listed(&names), in_numbers(subject, &containers)),
        fix: "Set a limit above the peak of what it cannot give up.",
        patch: Some(subject.resources_patch(&changes)),
        containers: names,
    }]
}

fn stays_within_request(subject: &Subject, container: &Container) -> bool {
    let peak = subject.seen(&container.name).and_then(|seen| seen.peak);
    peak.zip(amounts::request(container)).is_some_and(|(peak, request)| peak <= request)
}

/// `: requests 64 MiB, 900 MiB seen`, of a single one.
fn in_numbers(subject: &Subject, containers: &[&Container]) -> String {
    let [container] = containers else { return String::new() };
    let request = amounts::request(container).map(|bytes| format!("requests {bytes}"));
    let seen = subject.seen(&container.name).and_then(|seen| seen.peak).map(|peak| format!("up to {peak} seen in use"));
    let parts: Vec<String> = request.into_iter().chain(seen).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn limit_for<'a>(subject: &Subject, container: &'a Container) -> Change<'a> {
    let held = subject.seen(&container.name).and_then(|seen| seen.held);
    let least = amounts::request(container).unwrap_or(Bytes(0));
    let limit =
        held.map_or(Amount::Ask("its peak and a quarter"), |held| Amount::Of(best_effort::with_room(held).max(least)));
    Change { container: &container.name, request: None, limit: Some(limit) }
}

#[cfg(test)]
mod tests {
    use crate::audit::testing::{daemon_set, deployment, found, limit_range, rules_of};
    use serde_json::json;

    /// A request alone is not enough; a namespace's default limit is.
    #[test]
    fn a_default_is_a_limit() {
        let containers = json!([{"name": "a", "resources": {"requests": {"memory": "64Mi"}}}]);
        let api = deployment("shop", "api", containers);
        let findings = found(std::slice::from_ref(&api));
        assert_eq!(rules_of(&findings), ["no_limit"]);
        assert!(findings[0].evidence.contains("requests 64 MiB"), "{findings:?}");
        assert!(rules_of(&found(&[limit_range("shop", "256Mi", "64Mi"), api])).is_empty());
    }

    /// On every node it is worse, and said once.
    #[test]
    fn daemon_sets() {
        let containers = json!([{"name": "a", "resources": {"requests": {"memory": "64Mi"}}}]);
        assert_eq!(rules_of(&found(&[daemon_set("logging", "shipper", containers)])), ["host_agent"]);
    }
}
