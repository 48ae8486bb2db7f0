//! A limit that what was seen does not fit into.
//!
//! What counts is the memory that could not be given up: page cache fills any limit and hurts nobody. Where that was seen close below the
//! very limit that is in force, the true need is cut off there: at least so much, how much more nobody knows. A peak that includes cache
//! (the kernel's own) is only evidence where it is above the limit, because then the limit has been lowered since.

use super::{Asks, Observation, Rule, best_effort, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::seen::Seen;
use crate::audit::subject::Subject;
use crate::kubernetes::Container;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "limit_below_peak",
    about: "A limit below, or within a tenth of, what was seen that cannot be given up (high, medium); below a peak with page cache (low).",
    asks: Asks::Subject(check),
};

const WHY: &str =
    "The next time it needs that much the kernel kills it; close below, it spends its time reclaiming first.";

fn check(subject: &Subject) -> Vec<Observation> {
    let limited = subject.lasting_containers().filter_map(|container| Some((container, amounts::limit(container)?)));
    limited.filter_map(|(container, limit)| tight(subject, container, limit)).collect()
}

fn tight(subject: &Subject, container: &Container, limit: Bytes) -> Option<Observation> {
    let seen = subject.seen(&container.name)?;
    let held = seen.held.unwrap_or_default();
    let peak = seen.peak.unwrap_or_default();
    let name = named(&container.name);
    let (risk, title, evidence) = if held >= limit {
        let (held, limit) = held.side_by_side(limit);
        (
            Risk::High,
            "Limit below what it needs",
            format!("{name} held {held} that cannot be given up; its limit is {limit}"),
        )
    } else if held.0 >= limit.0 / 10 * 9 {
        let (held, limit) = held.side_by_side(limit);
        (
            Risk::Medium,
            "Limit close to what it needs",
            format!("{name} held {held} that cannot be given up, of a limit of {limit}"),
        )
    } else if peak > Bytes(limit.0.saturating_add(limit.0 / 20)) {
        let evidence = format!("{name} used {peak}, page cache included, before the limit became {limit}");
        (Risk::Low, "Limit below an earlier peak", evidence)
    } else {
        return None;
    };
    let change = Change { container: &container.name, request: None, limit: Some(Amount::Of(needed(seen, limit))) };
    Some(Observation {
        risk,
        title,
        why: WHY,
        evidence,
        fix: "Raise the limit to what was seen and some room, or make the program take less.",
        patch: Some(subject.resources_patch(&[change])),
        containers: vec![container.name.clone()],
    })
}

/// A quarter above what was seen; half above where that was cut off by the limit at which it was seen.
fn needed(seen: &Seen, limit: Bytes) -> Bytes {
    let held = seen.held.unwrap_or(limit).max(limit);
    let cut_off = seen.held_at_limit.is_some_and(|at| held.0 >= at.0 / 20 * 19);
    if cut_off { Bytes(held.0.saturating_add(held.0 / 2)) } else { best_effort::with_room(held) }
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::seen::Seen;
    use crate::audit::testing::{found_with, limited, rules_of};
    use crate::units::Bytes;

    fn seen(held: u64, peak: u64, limit: u64) -> Seen {
        let mib = |n: u64| Some(Bytes(n << 20));
        Seen { held: mib(held), peak: mib(peak), held_at_limit: mib(limit), ..Seen::default() }
    }

    /// What cannot be given up decides, not a peak that cache has filled up to the limit.
    #[test]
    fn cache_is_no_need() {
        assert!(found_with(&[limited("256Mi")], seen(20, 256, 256)).is_empty());
        let close = found_with(&[limited("256Mi")], seen(240, 256, 256));
        assert_eq!((rules_of(&close), close[0].risk), (vec!["limit_below_peak"], Risk::Medium));
        let below = found_with(&[limited("256Mi")], seen(300, 310, 512));
        assert_eq!(below[0].risk, Risk::High);
        assert!(below[0].patch.as_ref().expect("a patch").contains("memory: 375Mi"), "{below:?}");
    }

    /// What was cut off by its limit is not taken for the whole need.
    #[test]
    fn cut_off() {
        let below = found_with(&[limited("100Mi")], seen(100, 100, 100));
        assert!(below[0].patch.as_ref().expect("a patch").contains("memory: 150Mi"), "{below:?}");
    }
}
