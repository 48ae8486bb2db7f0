//! A container that says nothing of memory in a pod that is not BestEffort: often one with a cpu request only.
//!
//! The scheduler counts it as nothing, and the kubelet ranks whoever uses more than was requested first: here that is any use at all. A
//! container with a limit alone has its limit as request.

use super::{Asks, Observation, Rule, best_effort, listed, verb};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::Change;
use crate::audit::subject::Subject;
use crate::kubernetes::Qos;

pub(super) const RULE: Rule = Rule {
    name: "no_request",
    about: "Containers with neither a memory request nor a limit in pods that are not BestEffort (medium; low outside of production).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    let containers = without(subject);
    if containers.is_empty() || subject.is_host_agent() || subject.is_control_plane() {
        return Vec::new();
    }
    let changes: Vec<Change<'_>> = containers.iter().map(|name| best_effort::from_seen(subject, name)).collect();
    vec![Observation {
        risk: if subject.is_production() { Risk::Medium } else { Risk::Low },
        title: "Neither memory request nor limit",
        why: "The scheduler places it as if it used nothing, nothing bounds it, and under pressure the kubelet evicts first who uses more than \
              requested.",
        evidence: format!(
            "{} {} no memory (the pod is {})",
            listed(&containers),
            verb(&containers, "states", "state"),
            subject.qos()
        ),
        fix: "Set a memory request that holds what it needs, and a limit.",
        patch: Some(subject.resources_patch(&changes)),
        containers,
    }]
}

/// Containers that state nothing; of a BestEffort pod none, as that is another rule's.
pub(super) fn without(subject: &Subject) -> Vec<String> {
    if !subject.knows_requests() || subject.qos() == Qos::BestEffort || subject.request_of_pod_is_set() {
        return Vec::new();
    }
    let states_nothing = |container: &&crate::kubernetes::Container| amounts::request(container).is_none();
    subject.unlimited().filter(states_nothing).map(|container| container.name.clone()).collect()
}
