//! The memory request, inferred from `oom_score_adj`.
//!
//! The kubelet sets −997 for Guaranteed and node-critical pods, 1000 for BestEffort, and for Burstable containers
//! `1000 − 1000 × request / capacity`, cut to 3…999 (pkg/kubelet/qos/policy.go). So the value tells the request to a thousandth of the
//! machine's memory, which only the report of an OOM of the machine states. An inference: a program may set its own value. Only for
//! victims in a pod; the class in the path must say the same.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::Killer;
use crate::diagnosis::facts::Facts;
use crate::evidence::{Gap, Part};
use crate::incident::identity::identify;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "request_inference",
    about: "The memory request and QoS class of the victim's pod, inferred from oom_score_adj.",
    check,
};

const PARTS: &[Part] = &[Part::Kill, Part::TaskTable, Part::OomKill];

fn check(facts: &Facts<'_>) -> Answer {
    let Some(victim) = facts.victim() else { return Answer::Absent };
    match facts.victim_in_pod() {
        Some(true) => {}
        Some(false) => return Answer::Absent,
        None => return Answer::CannotTell(facts.missing("cgroup of the victim", Part::OomKill)),
    }
    let Some(adj) = victim.oom_score_adj else {
        if facts.incident.is_without_log() {
            return Answer::CannotTell(facts.missing("oom_score_adj of the victim", Part::Kill));
        }
        return Answer::CannotTell(Gap::new(
            "oom_score_adj of the victim",
            "the kill line of this kernel has none, and neither has the table",
        ));
    };
    match adj {
        1000 => best_effort(facts).into(),
        -997 => Found::that(
            "Guaranteed, or critical for the node",
            "oom_score_adj -997 is what the kubelet gives pods whose requests equal their limits, and node-critical ones.",
            PARTS,
        )
        .into(),
        3..=999 if says_burstable(facts) => burstable(facts, adj),
        _ => Answer::Absent,
    }
}

fn best_effort(facts: &Facts<'_>) -> Found {
    let found = Found::that(
        "BestEffort: no memory request",
        "oom_score_adj 1000 is what the kubelet gives containers without any request: when the machine runs out they die first.",
        PARTS,
    );
    if !facts.is_node_kill() {
        return found;
    }
    found.advise(
        Rank::Contain,
        "Give the victim's container a memory request",
        "With a request close to its use it is placed where there is room, and its oom_score_adj falls with the request.",
        facts.victim().and_then(|v| facts.held_by(v)).map(|held| {
            format!("resources:\n  requests:\n    memory: \"{}\"", Bytes(held.0.saturating_add(held.0 / 4)).manifest_quantity())
        }),
    )
}

/// By the path, which every kubelet names after the class.
fn says_burstable(facts: &Facts<'_>) -> bool {
    let owner = facts.report.victim_cgroup.as_ref().and_then(|path| identify(path.as_bytes()));
    owner.and_then(|owner| owner.qos).as_deref() == Some("burstable")
}

/// Only a report of the machine states what the request is a share of; a bare percentage helps nobody.
fn burstable(facts: &Facts<'_>, adj: i32) -> Answer {
    if facts.verdict.killer != Killer::Node {
        return Answer::Absent;
    }
    let permille = u64::from((1000 - adj).unsigned_abs());
    let bound = match adj {
        3 => "at least ",
        999 => "at most ",
        _ => "about ",
    };
    let share = format!("{}.{} %", permille / 10, permille % 10);
    let Some(ram) = facts
        .report
        .node_memory
        .as_ref()
        .and_then(|m| m.ram_bytes.map(|r| Bytes(r.0.saturating_sub(m.reserved_bytes.unwrap_or_default().0))))
    else {
        return Answer::CannotTell(facts.missing("size of the machine's memory", Part::NodeMemory));
    };
    let request = Bytes(ram.0 / 1000 * permille);
    let found = Found::that(
        "Its request, inferred",
        format!(
            "If the kubelet set oom_score_adj {adj}, the container requests {bound}{share} of the machine's memory: {request} of {ram}."
        ),
        PARTS,
    );
    let held = facts.victim().and_then(|v| facts.resident(v)).unwrap_or_default();
    // One step of the formula, a thousandth of the machine, is its uncertainty.
    if facts.is_node_kill() && held.0 > request.0.saturating_add(ram.0 / 500) {
        return found
            .and(
                "It used more than it requests",
                format!(
                    "It had {held} resident with a request of about {request}: the scheduler kept back less than it takes."
                ),
                PARTS,
            )
            .advise(
                Rank::Contain,
                "Raise the victim's memory request to what it uses",
                "A request is what the scheduler keeps back; it also lowers oom_score_adj.",
                Some(format!("resources:\n  requests:\n    memory: \"{}\"", held.manifest_quantity())),
            )
            .into();
    }
    found.into()
}
