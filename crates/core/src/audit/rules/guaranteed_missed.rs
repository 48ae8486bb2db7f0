//! Guaranteed was wanted and is not what came out.
//!
//! The class needs cpu *and* memory limits equal to requests in *every* container, init containers and sidecars included
//! (pkg/apis/core/v1/helper/qos/qos.go). One injected sidecar or an init container without limits makes the pod Burstable: oom_score_adj goes
//! from −997 to a positive number. It counts as wanted where some lasting container has both equal, or where memory is equal everywhere and only cpu
//! is not; the latter is often a decision (no cpu limit against throttling), so it is low, and said only of a high priority or where a cpu
//! limit is set.

use super::{Asks, Observation, Rule, listed, verb};
use crate::audit::finding::Risk;
use crate::audit::subject::Subject;
use crate::kubernetes::{Container, Qos, Quantity};

pub(super) const RULE: Rule = Rule {
    name: "guaranteed_missed",
    about: "Pods that are Guaranteed but for a container or for cpu (medium in production or of a high priority; low otherwise).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    let silent = !subject.knows_requests() || subject.qos() != Qos::Burstable || subject.request_of_pod_is_set();
    if silent || subject.is_control_plane() {
        return Vec::new();
    }
    let containers: Vec<&Container> = subject.containers().map(|(_, container)| container).collect();
    let (equal, spoilers): (Vec<&Container>, Vec<&Container>) =
        containers.iter().partition(|container| is_equal(container, "memory") && is_equal(container, "cpu"));
    // An init container may have equal ones for reasons of its own.
    let lasting = |one: &&&Container| subject.lasting_containers().any(|container| container.name == one.name);
    if equal.iter().any(|one| lasting(&one)) {
        return vec![spoiled(subject, &equal, &spoilers)];
    }
    let by_memory = containers.iter().all(|container| is_equal(container, "memory") && states_request(container));
    let has_cpu_limit = containers.iter().any(|container| amount(&container.resources.limits, "cpu").is_some());
    if by_memory && (has_cpu_limit || subject.is_sensitive()) {
        vec![cpu_differs(subject, &containers)]
    } else {
        Vec::new()
    }
}

const WHY: &str = "As Burstable its oom_score_adj is positive instead of -997, so in a shortage of the node it is killed before those that are \
                   Guaranteed, and it has no claim to exclusive CPUs.";

fn spoiled(subject: &Subject, equal: &[&Container], spoilers: &[&Container]) -> Observation {
    let (equal, names) = (names(equal), names(spoilers));
    Observation {
        risk: if subject.is_production() || subject.is_sensitive() { Risk::Medium } else { Risk::Low },
        title: "Guaranteed wanted, not reached",
        why: WHY,
        evidence: format!(
            "{} would be Guaranteed; {} {} the pod Burstable",
            listed(&equal),
            listed(&names),
            verb(&names, "makes", "make")
        ),
        fix: "Give every container, init containers and sidecars too, limits equal to requests for cpu and memory (an injected one by \
              its injector's annotations).",
        patch: None,
        containers: names,
    }
}

fn cpu_differs(subject: &Subject, containers: &[&Container]) -> Observation {
    Observation {
        risk: if subject.is_sensitive() { Risk::Medium } else { Risk::Low },
        title: "Guaranteed wanted, not reached",
        why: WHY,
        evidence: "memory limits equal requests in every container, cpu limits do not".to_owned(),
        fix: "Make cpu limits equal cpu requests, if the class is wanted; if cpu is meant to burst, let it be.",
        patch: None,
        containers: names(containers),
    }
}

fn names(containers: &[&Container]) -> Vec<String> {
    containers.iter().map(|container| container.name.clone()).collect()
}

fn amount(map: &std::collections::BTreeMap<String, Quantity>, name: &str) -> Option<Quantity> {
    map.get(name).copied().filter(|amount| !amount.is_zero())
}

fn is_equal(container: &Container, name: &str) -> bool {
    let limit = amount(&container.resources.limits, name);
    limit.is_some() && amount(&container.resources.requests, name).or(limit) == limit
}

/// A limit alone is equal to the request that it becomes, but nobody has decided that.
fn states_request(container: &Container) -> bool {
    container.resources.memory_request().is_some()
}

#[cfg(test)]
mod tests {
    use crate::audit::testing::{deployment, found, rules_of};
    use serde_json::{Value, json};

    fn equal(name: &str) -> Value {
        json!({"name": name, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}})
    }

    /// A sidecar without cpu limits spoils the class of the others, and is named.
    #[test]
    fn spoiled_by_a_sidecar() {
        let sidecar =
            json!({"name": "proxy", "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}});
        let findings = found(&[deployment("shop", "api", json!([equal("a"), sidecar]))]);
        assert_eq!(rules_of(&findings), ["guaranteed_missed"]);
        assert_eq!(findings[0].containers, ["proxy"]);
        assert!(found(&[deployment("shop", "api", json!([equal("a")]))]).is_empty());
    }

    /// Cpu that may burst without a limit is a decision and not a mistake.
    #[test]
    fn cpu() {
        let with = |cpu: Value| {
            let mut resources = json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi", "cpu": "500m"}});
            if !cpu.is_null() {
                resources["limits"]["cpu"] = cpu;
            }
            rules_of(&found(&[deployment("shop", "api", json!([{"name": "a", "resources": resources}]))])).len()
        };
        assert_eq!((with(json!("1")), with(Value::Null)), (1, 0));
    }
}
