//! Limits above requests where it hurts: what is above the request is lent, and is taken back by killing.
//!
//! For what has a high priority or must answer quickly a node that is full is the wrong moment to find out. For everything else lending is
//! the point of requests and limits, so only large sums at a steep ratio are remarked.

use super::{Asks, Observation, Rule, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::subject::Subject;
use crate::kubernetes::Container;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "overcommit",
    about: "Limits above requests for pods of a high priority (medium; low in kube-* namespaces), and limits of four requests and 2 GiB more (low).",
    asks: Asks::Subject(check),
};

/// For pods of no particular priority.
const STEEP: u64 = 4;
const LARGE: Bytes = Bytes(2 << 30);

fn check(subject: &Subject) -> Vec<Observation> {
    if !subject.knows_requests() || subject.is_control_plane() {
        return Vec::new();
    }
    let lent: Vec<Lent<'_>> = subject.lasting_containers().filter_map(Lent::of).collect();
    let counts = |lent: &&Lent<'_>| subject.is_sensitive() || lent.is_steep();
    let lent: Vec<&Lent<'_>> = lent.iter().filter(counts).collect();
    if lent.is_empty() {
        return Vec::new();
    }
    let evidence: Vec<String> = lent.iter().map(|lent| lent.in_words()).collect();
    let (risk, title, why) = if subject.is_sensitive() {
        (sensitive(subject), "Limits above requests on a high priority", SENSITIVE)
    } else {
        (Risk::Low, "Limits far above requests", ORDINARY)
    };
    let of = if subject.is_sensitive() { format!(" ({})", subject.priority_in_words()) } else { String::new() };
    let changes: Vec<Change<'_>> = lent.iter().map(|lent| lent.change(subject)).collect();
    vec![Observation {
        risk,
        title,
        why,
        evidence: format!("{}{of}", evidence.join("; ")),
        fix: "Request what it needs at its peak, up to the limit.",
        patch: Some(subject.resources_patch(&changes)),
        containers: lent.iter().map(|lent| lent.container.name.clone()).collect(),
    }]
}

const SENSITIVE: &str = "What it uses above its request is lent: on a full node the kubelet ranks it for eviction and the kernel gives it a worse \
                         oom_score_adj than a Guaranteed pod has, although it is meant to outlive the others.";
const ORDINARY: &str = "The scheduler fills nodes by requests; when several use what they may, the node runs out and pods are evicted or killed.";

fn sensitive(subject: &Subject) -> Risk {
    if subject.class_is_system() { Risk::Low } else { Risk::Medium }
}

struct Lent<'a> {
    container: &'a Container,
    request: Bytes,
    limit: Bytes,
}

impl<'a> Lent<'a> {
    fn of(container: &'a Container) -> Option<Self> {
        let (request, limit) = (amounts::request(container)?, amounts::limit(container)?);
        (limit > request).then_some(Self { container, request, limit })
    }

    fn is_steep(&self) -> bool {
        self.limit.0 >= self.request.0.saturating_mul(STEEP) && self.limit.0 - self.request.0 >= LARGE.0
    }

    fn in_words(&self) -> String {
        let (request, limit) = self.request.side_by_side(self.limit);
        format!("{} requests {request} and may use {limit}", named(&self.container.name))
    }

    fn change(&self, subject: &Subject) -> Change<'a> {
        let held = subject.seen(&self.container.name).and_then(|seen| seen.held).filter(|held| *held > self.request);
        let request = held.map_or(Amount::Of(self.limit), |held| Amount::Of(held.min(self.limit)));
        Change { container: &self.container.name, request: Some(request), limit: None }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::testing::{deployment, found, priority_class};
    use serde_json::json;

    /// A high priority makes any lending a risk; without it only much of it is.
    #[test]
    fn priority_decides() {
        let api = |request: &str, limit: &str, class: Option<&str>| {
            let containers =
                json!([{"name": "a", "resources": {"requests": {"memory": request}, "limits": {"memory": limit}}}]);
            let mut api = deployment("shop", "api", containers);
            api["spec"]["template"]["spec"]["priorityClassName"] = class.into();
            found(&[priority_class("gold", 2_000_000), api]).first().map(|finding| (finding.rule.clone(), finding.risk))
        };
        let overcommit = |risk| Some(("overcommit".to_owned(), risk));
        assert_eq!(api("64Mi", "128Mi", Some("gold")), overcommit(Risk::Medium));
        assert_eq!(api("64Mi", "128Mi", None), None);
        assert_eq!(api("512Mi", "8Gi", None), overcommit(Risk::Low));
    }
}
