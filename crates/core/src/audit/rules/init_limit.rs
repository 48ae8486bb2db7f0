//! An init container that the whole pod is scheduled for.
//!
//! A pod's request is the larger of what its containers request together and of what any init container requests beside the sidecars that
//! run by then. So a step that runs once for a second can reserve more than the pod ever uses, for as long as it lives.

use super::{Asks, Observation, Rule, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::subject::Subject;
use crate::kubernetes::ContainerKind;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "init_limit",
    about: "Init containers that request at least 256 MiB more than all containers of the pod together (low).",
    asks: Asks::Subject(check),
};

const LARGE: u64 = 256 << 20;

fn check(subject: &Subject) -> Vec<Observation> {
    if !subject.knows_requests() || subject.request_of_pod_is_set() {
        return Vec::new();
    }
    let lasting: u64 =
        subject.lasting_containers().filter_map(amounts::request).fold(0, |sum, one| sum.saturating_add(one.0));
    let init = subject.containers().filter(|(kind, _)| *kind == ContainerKind::Init);
    let largest = init
        .filter_map(|(_, container)| Some((amounts::request(container)?, container)))
        .max_by_key(|(request, _)| *request);
    let Some((request, container)) = largest.filter(|(request, _)| request.0 >= lasting.saturating_add(LARGE)) else {
        return Vec::new();
    };
    let pods =
        subject.pods.filter(|pods| *pods > 1).map(|pods| format!(", in each of {pods} pods")).unwrap_or_default();
    vec![Observation {
        risk: Risk::Low,
        title: "Init container larger than the pod",
        why: "The scheduler reserves the larger of the two for as long as the pod lives: memory that nobody can use, and pods that stay Pending \
              on nodes that could hold them.",
        evidence: format!(
            "{} requests {request}, all containers together {}{pods}",
            named(&container.name),
            Bytes(lasting)
        ),
        fix: "Request less for the init container (its limit may stay), or do the step in a Job.",
        patch: None,
        containers: vec![container.name.clone()],
    }]
}

#[cfg(test)]
mod tests {
    use crate::audit::testing::{deployment, found, rules_of};
    use serde_json::json;

    /// Only what costs something is said.
    #[test]
    fn large_steps() {
        let with = |init: &str| {
            let resources = |memory: &str| json!({"requests": {"memory": memory}, "limits": {"memory": memory}});
            let mut api = deployment("shop", "api", json!([{"name": "a", "resources": resources("128Mi")}]));
            api["spec"]["template"]["spec"]["initContainers"] =
                json!([{"name": "migrate", "resources": resources(init)}]);
            rules_of(&found(&[api])).len()
        };
        assert_eq!((with("1Gi"), with("256Mi")), (1, 0));
    }
}
