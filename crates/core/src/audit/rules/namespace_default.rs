//! A LimitRange that gives every container that says nothing a limit too small for anything.
//!
//! It strikes who has never heard of it: a new container starts with the default and is killed. 64 MiB hold a small Go or C program and no
//! runtime with a heap of its own.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::inventory::Inventory;
use crate::audit::limit_range::LimitRange;
use crate::audit::namespace::Class;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "namespace_default",
    about: "LimitRanges whose default memory limit is below 64 MiB (medium; low outside of production).",
    asks: Asks::LimitRange(check),
};

const SMALL: Bytes = Bytes(64 << 20);

fn check(range: &LimitRange, inventory: &Inventory) -> Vec<Observation> {
    let Some(limit) = range.default_limit.map(|limit| limit.bytes()).filter(|limit| *limit < SMALL) else {
        return Vec::new();
    };
    let is_production = inventory.class(range.metadata.namespace.as_deref()) == Class::Production;
    vec![Observation {
        risk: if is_production { Risk::Medium } else { Risk::Low },
        title: "Tiny default limit",
        why: "Every container that states no limit gets this one, and whoever wrote it does not see it in the manifest.",
        evidence: format!("the default memory limit of a container is {limit}"),
        fix: "Raise the default, or drop it and demand that limits are stated (a ResourceQuota on limits.memory does).",
        patch: Some("spec:\n  limits:\n    - type: Container\n      default:\n        memory: 256Mi\n      defaultRequest:\n        memory: 128Mi\n".to_owned()),
        containers: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use crate::audit::testing::{found, limit_range, rules_of};

    /// Only a default that hardly anything fits into.
    #[test]
    fn tiny() {
        assert_eq!(rules_of(&found(&[limit_range("shop", "32Mi", "16Mi")])), ["namespace_default"]);
        assert!(found(&[limit_range("shop", "512Mi", "16Mi")]).is_empty());
    }
}
