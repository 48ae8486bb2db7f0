//! No request and no limit at all, where it matters.
//!
//! BestEffort pods are evicted first and have `oom_score_adj` 1000: in a node OOM one of theirs dies whatever it holds. That is right for
//! what may die, so only production namespaces are asked. Where the rule of host agents speaks, this one is silent.

use super::{Asks, Observation, Rule, named};
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::subject::Subject;
use crate::kubernetes::Qos;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "best_effort",
    about: "Pods of a production namespace without any request or limit (high; medium where a single bare pod has it).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    if !applies(subject) {
        return Vec::new();
    }
    let containers: Vec<String> = subject.lasting_containers().map(|container| container.name.clone()).collect();
    let changes: Vec<Change<'_>> = containers.iter().map(|name| from_seen(subject, name)).collect();
    let bare = subject.workload.kind == "Pod";
    let namespace = subject.workload.metadata.namespace.as_deref();
    let place = namespace.map(|name| format!("; namespace {} counts as production", named(name))).unwrap_or_default();
    vec![Observation {
        risk: if bare { Risk::Medium } else { Risk::High },
        title: "BestEffort in production",
        why: "Without requests the scheduler puts them onto full nodes; under pressure the kubelet evicts them first, and the kernel kills them \
              first (oom_score_adj 1000) however little they hold.",
        evidence: format!("no container has a request or a limit{place}"),
        fix: "Set a memory request that holds what it needs, and a limit.",
        patch: Some(subject.resources_patch(&changes)),
        containers: Vec::new(),
    }]
}

/// Whether this rule is the one to speak of a subject without limits.
pub(super) fn applies(subject: &Subject) -> bool {
    subject.qos() == Qos::BestEffort
        && subject.is_production()
        && !subject.is_host_agent()
        && subject.lasting_containers().next().is_some()
}

/// Request and limit from what was seen; what was not seen is to be filled in.
pub(super) fn from_seen<'a>(subject: &Subject, container: &'a str) -> Change<'a> {
    let seen = subject.seen(container);
    let needed = seen.and_then(|seen| seen.held).map(|held| Amount::Of(with_room(held)));
    Change {
        container,
        request: needed.clone().or(Some(Amount::Ask("what it holds in normal use"))),
        limit: needed.or(Some(Amount::Ask("its peak and a quarter"))),
    }
}

/// With less than this a runtime can hardly start a container, whatever its program holds at the moment.
const LEAST: u64 = 16 << 20;

/// A quarter on top: what grows between two looks, and what a sampler did not see.
pub(super) fn with_room(bytes: Bytes) -> Bytes {
    Bytes(bytes.0.saturating_add(bytes.0 / 4).max(LEAST))
}

#[cfg(test)]
mod tests {
    use crate::audit::testing::{deployment, found, rules_of};
    use serde_json::json;

    /// In production it is said, with the patch; elsewhere, and with any request, it is not.
    #[test]
    fn only_in_production() {
        let findings = found(&[deployment("shop", "api", json!([{"name": "a"}]))]);
        assert_eq!(rules_of(&findings), ["best_effort"]);
        assert!(findings[0].patch.as_ref().expect("a patch").contains("- name: a"), "{findings:?}");
        assert!(rules_of(&found(&[deployment("shop-dev", "api", json!([{"name": "a"}]))])).is_empty());
        let cpu = json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}]);
        assert_eq!(rules_of(&found(&[deployment("shop", "api", cpu)])), ["no_request"]);
    }
}
