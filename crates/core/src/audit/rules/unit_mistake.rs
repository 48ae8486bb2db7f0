//! Amounts that cannot be meant: `128m` is a thousandth of 128 bytes, and no container starts in a MiB.
//!
//! runc and containerd refuse or kill a container whose limit cannot hold its own start: runc's `init` alone needs some 2 MiB, Docker
//! refuses less than 6 MiB. Decimal units (`512M` is 488.3 MiB) are only said where the mistake is likely: for a round number of them.

use super::{Asks, Observation, Rule, named};
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::subject::Subject;
use crate::kubernetes::{Container, Quantity};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "unit_mistake",
    about: "Memory amounts in millibytes (`128m`) or too small to start in (high), and decimal units where binary ones were likely meant (low).",
    asks: Asks::Subject(check),
};

/// Less than this holds no container.
const SMALLEST: Bytes = Bytes(4 << 20);

fn check(subject: &Subject) -> Vec<Observation> {
    subject.containers().filter_map(|(_, container)| mistaken(subject, container)).collect()
}

fn mistaken(subject: &Subject, container: &Container) -> Option<Observation> {
    let limit = container.resources.memory_limit();
    let stated = [limit, container.resources.memory_request()];
    if let Some(wrong) = stated.into_iter().flatten().find(|quantity| quantity.thousandths() % 1000 != 0) {
        return Some(millibytes(subject, container, wrong));
    }
    let limit = limit?;
    if limit.bytes() < SMALLEST {
        return Some(too_small(subject, container, limit));
    }
    decimal(subject, container, limit)
}

fn millibytes(subject: &Subject, container: &Container, wrong: Quantity) -> Observation {
    let meant = |stated: Option<Quantity>| {
        let wrong = stated.filter(|quantity| quantity.thousandths() % 1000 != 0)?;
        Some(Amount::Written(format!("{}Mi", wrong.thousandths().max(1))))
    };
    let resources = &container.resources;
    let (request, limit) = (meant(resources.memory_request()), meant(resources.memory_limit()));
    let change = Change { container: &container.name, request, limit };
    Observation {
        risk: Risk::High,
        title: "Memory in millibytes",
        why: "In a quantity `m` is a thousandth, as for cpu: the amount is less than a page, so the container cannot start, or counts for nothing \
              where it is scheduled.",
        evidence: format!("{} states {wrong}, which is {} of memory", named(&container.name), wrong.bytes()),
        fix: "Write Mi for mebibytes.",
        patch: Some(subject.resources_patch(&[change])),
        containers: vec![container.name.clone()],
    }
}

fn too_small(subject: &Subject, container: &Container, limit: Quantity) -> Observation {
    Observation {
        risk: Risk::High,
        title: "Limit too small to start in",
        why: "The runtime's own first steps in the container need some MiB: it is killed before its program runs.",
        evidence: format!("{} has a limit of {}", named(&container.name), limit.bytes()),
        fix: "Write the amount with its unit (128Mi); a bare number is bytes.",
        patch: patch(subject, container, Amount::Ask("amount with its unit, as 128Mi")),
        containers: vec![container.name.clone()],
    }
}

/// A round number of millions or of thousands of millions.
fn decimal(subject: &Subject, container: &Container, limit: Quantity) -> Option<Observation> {
    let bytes = limit.bytes().0;
    let million = 1_000_000_u64;
    if !bytes.is_multiple_of(million) || bytes.is_multiple_of(1 << 20) {
        return None;
    }
    let thousand = bytes.is_multiple_of(1000 * million);
    let (number, unit) = if thousand { (bytes / million / 1000, "G") } else { (bytes / million, "M") };
    Some(Observation {
        risk: Risk::Low,
        title: "Decimal unit in a limit",
        why: "M and G are powers of ten, 5 and 7 % less than Mi and Gi, in which heap sizes and most dashboards count.",
        evidence: format!("{} has a limit of {number}{unit}, which is {}", named(&container.name), limit.bytes()),
        fix: "Write the binary unit, if that was meant.",
        patch: patch(subject, container, Amount::Written(format!("{number}{unit}i"))),
        containers: vec![container.name.clone()],
    })
}

fn patch(subject: &Subject, container: &Container, limit: Amount) -> Option<String> {
    Some(subject.resources_patch(&[Change { container: &container.name, request: None, limit: Some(limit) }]))
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::testing::{found, limited};

    /// Each mistake is told for what it is, with what was meant.
    #[test]
    fn mistakes() {
        let of = |limit: &str| {
            let findings = found(&[limited(limit)]);
            findings.first().map(|f| {
                (f.risk, f.patch.clone().unwrap_or_default().lines().last().unwrap_or_default().trim().to_owned())
            })
        };
        assert_eq!(of("128m"), Some((Risk::High, "memory: 128Mi".to_owned())));
        assert_eq!(of("128"), Some((Risk::High, "memory: <amount with its unit, as 128Mi>".to_owned())));
        assert_eq!(of("1G"), Some((Risk::Low, "memory: 1Gi".to_owned())));
        assert_eq!((of("1Gi"), of("128974848"), of("512M").is_some()), (None, None, true));
    }
}
