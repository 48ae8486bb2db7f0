//! A node whose pods may together take much more than it has.
//!
//! Some overcommitment is what limits above requests are for. From half as much again on it takes only some of them at once; at twice as
//! much the limits protect nobody any more.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::machine::Machine;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "node_overcommit",
    about: "Nodes whose pods' limits add up to 1.5 times what is allocatable (low), or twice (medium).",
    asks: Asks::Machine(check),
};

fn check(machine: &Machine) -> Vec<Observation> {
    let committed = &machine.committed;
    let Some(whole) = machine.allocatable.or(machine.capacity).filter(|whole| whole.0 > 0) else { return Vec::new() };
    let percent = |bytes: Bytes| u64::try_from(u128::from(bytes.0) * 100 / u128::from(whole.0)).unwrap_or(u64::MAX);
    let risk = match percent(committed.limits) {
        200.. => Risk::Medium,
        150.. => Risk::Low,
        _ => return Vec::new(),
    };
    let unlimited = match committed.unlimited {
        0 => String::new(),
        1 => ", and one pod has no limit".to_owned(),
        many => format!(", and {many} pods have no limit"),
    };
    let requests = committed.requests.map(|sum| format!(", their requests to {sum} ({} %)", percent(sum)));
    let requests = requests.unwrap_or_default();
    vec![Observation {
        risk,
        title: "Node overcommitted",
        why: "If pods use what they may, the node runs out although each stays within its limit: whoever is above its request is evicted or killed.",
        evidence: format!(
            "the limits of {} pods add up to {} ({} % of {whole}){requests}{unlimited}",
            committed.pods,
            committed.limits,
            percent(committed.limits),
        ),
        fix: "Bring requests closer to what is used at the peak, so that the scheduler spreads these pods; spread those that peak together.",
        patch: None,
        containers: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::machine::Committed;

    /// Twice as much is a risk, a little more is business as usual.
    #[test]
    fn shares() {
        let risk = |limits_gib: u64| {
            let committed =
                Committed { pods: 3, limits: Bytes(limits_gib << 30), unlimited: 1, ..Committed::default() };
            let machine = Machine { committed, allocatable: Some(Bytes(10 << 30)), ..Machine::default() };
            check(&machine).first().map(|seen| seen.risk)
        };
        assert_eq!((risk(25), risk(16), risk(12)), (Some(Risk::Medium), Some(Risk::Low), None));
    }
}
