//! What runs on every node without a limit: its leak is a leak of the whole fleet, at the same time.
//!
//! DaemonSets, and pods that see the machine's processes. In `kube-*` namespaces the distribution decides (kubeadm's kube-proxy has no
//! limit), so there it is medium. Priority makes it worse, not better: with system-node-critical the kernel spares the leaker and kills
//! its neighbours.

use super::{Asks, Observation, Rule, best_effort, listed, verb};
use crate::audit::finding::Risk;
use crate::audit::patch::Change;
use crate::audit::subject::Subject;

pub(super) const RULE: Rule = Rule {
    name: "host_agent",
    about: "DaemonSets and pods with hostPID that have a container without a memory limit (high; medium in kube-* namespaces).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    if !subject.is_host_agent() || subject.is_control_plane() {
        return Vec::new();
    }
    let containers: Vec<String> = subject.unlimited().map(|container| container.name.clone()).collect();
    if containers.is_empty() {
        return Vec::new();
    }
    let changes: Vec<Change<'_>> = containers.iter().map(|name| best_effort::from_seen(subject, name)).collect();
    let place = if subject.workload.kind == "DaemonSet" {
        "on every node"
    } else {
        "with the machine's processes in sight (hostPID)"
    };
    let spared = if subject.is_sensitive() {
        format!("; with {} it is spared while its neighbours are killed", subject.priority_in_words())
    } else {
        String::new()
    };
    vec![Observation {
        risk: if subject.class_is_system() { Risk::Medium } else { Risk::High },
        title: "Host agent without a memory limit",
        why: "It runs everywhere: one bad release or one flood of logs takes memory from every workload of every node at once.",
        evidence: format!(
            "{} {} {place} without a limit{spared}",
            listed(&containers),
            verb(&containers, "runs", "run")
        ),
        fix: "Give it a request and a limit; a restart of an agent costs less than a node.",
        patch: Some(subject.resources_patch(&changes)),
        containers,
    }]
}
