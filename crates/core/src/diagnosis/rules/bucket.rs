//! What fills the limit.
//!
//! Everything that is charged counts, not only what processes hold: see [`super::super::memory`] for how the kernel's
//! overlapping statistics are split. Trips whenever there are statistics; without them it cannot tell, for the sizes of
//! the processes alone leave out tmpfs, cache and kernel memory.

use super::{Answer, Found, Rule};
use crate::diagnosis::MemoryUse;
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words::percent;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "bucket",
    about: "Which kind of memory fills the limit (anonymous, tmpfs, cache, slab, other kernel memory), and how much of it could be reclaimed.",
    check,
};

const PARTS: &[Part] = &[Part::MemoryStat, Part::NodeMemory, Part::Usage, Part::OtherUsage];

fn check(facts: &Facts<'_>) -> Answer {
    if facts.is_sysrq() {
        return Answer::Absent;
    }
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(if facts.is_cgroup_kill() {
            facts.missing("statistics of the cgroup", Part::MemoryStat)
        } else if facts.is_of_some_nodes() {
            facts.missing("state of the allowed memory nodes", Part::NodeMemory)
        } else {
            facts.missing("state of the machine's memory", Part::NodeMemory)
        });
    };
    if memory.parts.is_empty() && memory.unaccounted_bytes == 0 {
        return Answer::Absent;
    }
    Found::that(title(memory), detail(facts, memory), PARTS).into()
}

fn title(memory: &MemoryUse) -> String {
    let usage = Bytes(memory.usage_bytes);
    match memory.parts.first() {
        Some(top) if top.bytes >= memory.unaccounted_bytes => {
            format!("Most of it is {}: {}", top.name, percent(Bytes(top.bytes), usage))
        }
        _ => format!("Most of it is in no statistic: {}", percent(Bytes(memory.unaccounted_bytes), usage)),
    }
}

fn detail(facts: &Facts<'_>, memory: &MemoryUse) -> String {
    let usage = Bytes(memory.usage_bytes);
    let mut said: Vec<String> = memory
        .parts
        .iter()
        .filter(|p| p.bytes.saturating_mul(100) >= memory.usage_bytes)
        .take(6)
        .map(|p| format!("{} {}", p.name, Bytes(p.bytes)))
        .collect();
    if memory.unaccounted_bytes.saturating_mul(100) >= memory.usage_bytes && memory.unaccounted_bytes > 0 {
        let what = match () {
            () if facts.is_cgroup_kill() => "kernel memory not itemised",
            () if facts.is_of_some_nodes() => "of other kinds, which are not itemised by node,",
            () => "in no statistic",
        };
        said.push(format!("{what} {}", Bytes(memory.unaccounted_bytes)));
    }
    let reclaimable = memory.parts.iter().filter(|p| p.reclaimable).fold(0u64, |sum, p| sum.saturating_add(p.bytes));
    let it = if facts.is_of_some_nodes() { "what is itemised" } else { "it" };
    let reclaim = match reclaimable {
        0 => format!("Nothing of {it} can be dropped without writing to swap."),
        bytes if bytes.saturating_mul(100) < memory.usage_bytes => {
            format!("Next to nothing of {it} can be dropped without writing to swap.")
        }
        bytes => format!("Of it {} ({}) could be dropped without swap.", Bytes(bytes), percent(Bytes(bytes), usage)),
    };
    let place = if facts.is_of_some_nodes() { " on the allowed memory nodes" } else { "" };
    format!("Of {usage} in use{place}: {}. {reclaim}", said.join(", "))
}
