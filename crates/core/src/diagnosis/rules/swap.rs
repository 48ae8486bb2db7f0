//! Swap's part in it.
//!
//! cgroup v1 limits memory and swap *together*: that limit can be hit while `memory: usage` is below its own. cgroup v2 and the machine
//! limit swap by itself: when it is full, anonymous memory can no longer be moved out. No swap at all is the ordinary state
//! of a Kubernetes node and no finding.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::evidence::Part;
use crate::units::{Bytes, Limit};

pub(super) const RULE: Rule =
    Rule { name: "swap", about: "The limit of memory and swap together was the one reached, or swap was full.", check };

fn check(facts: &Facts<'_>) -> Answer {
    if facts.is_cgroup_kill() { of_cgroup(facts) } else { of_machine(facts) }
}

fn of_cgroup(facts: &Facts<'_>) -> Answer {
    let report = facts.report;
    if let Some((usage, limit)) = facts.memory_swap_hit() {
        let below = report.usage_bytes.unwrap_or_default();
        let found = Found::that(
            "The limit of memory and swap together was reached",
            format!("Memory alone stood at {below}, below its limit; with swap it was {usage} of {limit}."),
            &[Part::OtherUsage, Part::Usage],
        );
        return found
            .advise(
                Rank::Cause,
                "Look at memory and swap together",
                "memory.memsw.limit_in_bytes is the limit that counts here; raising memory.limit_in_bytes changes nothing.",
                None,
            )
            .into();
    }
    if let Some((usage, limit)) = facts.memory_swap_at_limit() {
        return Found::that(
            "Its swap was used up as well",
            format!(
                "Memory and swap together stood at {usage} of {limit}, so anonymous memory could not be moved out."
            ),
            &[Part::OtherUsage, Part::Usage],
        )
        .into();
    }
    let Some(swap) = report.swap else {
        // v1 prints `memory+swap:` in its place, which the limit of memory alone did not reach.
        return if report.memory_swap.is_some() {
            Answer::Absent
        } else {
            Answer::CannotTell(facts.missing("swap of the cgroup", Part::OtherUsage))
        };
    };
    match Limit::from_printed(swap.limit_bytes).bytes() {
        Some(Bytes(0)) | None => Answer::Absent,
        Some(limit) if facts.swap_full() => Found::that(
            "Its swap was full as well",
            format!("{} of {limit} swap were in use, so anonymous memory could not be moved out.", swap.usage_bytes),
            &[Part::OtherUsage],
        )
        .into(),
        Some(_) => Answer::Absent,
    }
}

fn of_machine(facts: &Facts<'_>) -> Answer {
    if !facts.is_node_kill() {
        return Answer::Absent;
    }
    let swap = facts.report.node_memory.as_ref().and_then(|n| n.swap);
    let Some((free, total)) = swap.and_then(|s| s.free_bytes.zip(s.total_bytes)) else {
        return Answer::CannotTell(facts.missing("swap of the machine", Part::NodeMemory));
    };
    if total.0 == 0 || free.share_of(total) > 0.02 {
        return Answer::Absent;
    }
    Found::that(
        "The machine's swap was full",
        format!("{free} of {total} swap were free: anonymous memory could not be moved out."),
        &[Part::NodeMemory],
    )
    .into()
}
