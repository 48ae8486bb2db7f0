//! Kernel memory fills the limit, and the victim is innocent.
//!
//! Pipe and socket buffers, directory entries and inodes, page tables: the kernel charges them to the cgroup whose process
//! caused them, but no process's size shows them. The one with the largest size dies for it, and often nothing is freed, so
//! the kills go on until the holder itself dies. Trips when kernel memory (itemised, or in no statistic) is at least 40 % of
//! the usage and more than any other kind. Kernels without the `kernel` key show pipes in no statistic: said so.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::MemoryUse;
use crate::diagnosis::facts::{Facts, Impersonal};
use crate::diagnosis::words::{self, percent};
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "kernel_memory",
    about: "Kernel memory (buffers, directory entries, page tables) fills the limit, so the victim is innocent.",
    check,
};

const PARTS: &[Part] = &[Part::MemoryStat, Part::Usage, Part::OtherUsage, Part::TaskTable];

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_cgroup_kill() {
        return Answer::Absent;
    }
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(facts.missing("statistics of the cgroup", Part::MemoryStat));
    };
    let Some(Impersonal::Kernel(bytes)) = facts.impersonal() else { return Answer::Absent };
    let (kind, advice) = kind(memory);
    let detail = format!(
        "{bytes} ({} of what is in use) are kernel memory, mostly {kind}. It shows in no process's size.",
        percent(bytes, Bytes(memory.usage_bytes))
    );
    let mut found = Found::that("Kernel memory fills the limit", detail, PARTS);
    if let Some(victim) = facts.victim()
        && let Some(held) = facts.held_by(victim)
        && held.share_of(Bytes(memory.usage_bytes)) < 0.3
    {
        found = found.and(
            "The victim is innocent by its size",
            format!(
                "{} held {held} when it was killed; its death could free no more than that.",
                words::victim(victim)
            ),
            &[Part::Kill, Part::MemoryStat],
        );
    }
    found.advise(Rank::Cause, "Find who makes the kernel hold this memory", advice, Some(suspects(facts))).into()
}

/// The largest kind, and what usually holds it.
fn kind(memory: &MemoryUse) -> (&'static str, &'static str) {
    let named = |name: &str| memory.named(name);
    let slab = Bytes(named("slab (unreclaimable)").0.saturating_add(named("slab (reclaimable)").0));
    let tables = Bytes(named("page tables").0.saturating_add(named("page tables of guests and devices").0));
    let buffers = Bytes(named("other kernel memory").0.saturating_add(memory.unaccounted_bytes));
    let kinds = [
        (
            slab,
            "slab: directory entries, inodes, open files and the like",
            "Slab grows with files touched or created: look for loops over many files or directories, for leaked descriptors and for \
             sockets. `slabtop` shows the kinds; killing the loop frees it, a larger limit only delays the next kill.",
        ),
        (
            named("socket buffers"),
            "socket buffers",
            "Look for connections whose peer does not read (`ss -tmp`), and lower the buffer sizes or the number of connections.",
        ),
        (
            tables,
            "page tables",
            "Many processes that map the same large memory each have their own page tables: use fewer processes, or huge pages.",
        ),
        (named("kernel stacks"), "kernel stacks", "Each thread has a kernel stack of 16 KiB: look for a thread leak."),
        (
            named("per-CPU memory"),
            "per-CPU memory",
            "eBPF maps, network namespaces and cgroups hold it: look for leaked ones.",
        ),
        (
            named("vmalloc"),
            "vmalloc areas",
            "Large kernel tables made on behalf of the process: eBPF, netfilter, io_uring.",
        ),
        (
            named("compressed swap (zswap)"),
            "compressed swap (zswap)",
            "Swapped memory stays charged in compressed form: lower the anonymous memory, or set memory.zswap.max.",
        ),
        (
            buffers,
            "memory that the statistics do not itemise, as pipe buffers are",
            "Pipes that are written and not read hold up to 64 KiB each (1 MiB if enlarged): look for a process with many pipes and a reader \
             that does not read. A larger limit only delays the next kill.",
        ),
    ];
    kinds.into_iter().rev().max_by_key(|(bytes, _, _)| *bytes).map_or(("", ""), |(_, kind, advice)| (kind, advice))
}

/// The trigger asked for it: the first suspect where the memory belongs to no process, never a proof.
fn suspects(facts: &Facts<'_>) -> String {
    let pid = facts.trigger().and_then(|t| t.pid).filter(|pid| facts.victim().is_none_or(|v| v.pid != *pid));
    let pid = pid.map_or_else(|| "<pid>".to_owned(), |pid| pid.to_string());
    format!(
        "ls -l /proc/{pid}/fd | awk '{{print $NF}}' | sed 's/[0-9]*//g' | sort | uniq -c | sort -rn | head\nslabtop -o -s c | head -20"
    )
}
