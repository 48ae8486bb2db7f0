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
use crate::evidence::{KernelReport, Part};
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
    let kind = kind(memory, itemises_slab(facts.report));
    let detail = format!(
        "{bytes} ({} of what is in use) are kernel memory, mostly {}. It shows in no process's size.",
        percent(bytes, Bytes(memory.usage_bytes)),
        kind.name
    );
    let mut found = Found::that("Kernel memory fills the limit", detail, PARTS);
    if let Some(victim) = facts.victim()
        && let Some(held) = facts.held_by(victim)
        && held.share_of(Bytes(memory.usage_bytes)) < 0.3
    {
        let name = words::victim(victim);
        let detail = match held {
            Bytes(0) => format!("{name} had no anonymous or shared memory of its own when it was killed."),
            held => format!(
                "{name} held {held} itself when it was killed; of its own memory no more than that could be freed."
            ),
        };
        found = found.and("The victim's own size does not explain it", detail, &[Part::Kill, Part::MemoryStat]);
    }
    let patch = Some(kind.look.join("\n").replace("{pid}", &suspect(facts))).filter(|p| !p.is_empty());
    found.advise(Rank::Cause, "Find who makes the kernel hold this memory", kind.advice, patch).into()
}

/// A kind of kernel memory: what usually holds it, and where to look.
struct Kind {
    name: &'static str,
    advice: &'static str,
    /// `{pid}` is the first suspect.
    look: &'static [&'static str],
}

const SLAB: Kind = Kind {
    name: "slab: directory entries, inodes, open files and the like",
    advice: "Slab grows with files touched or created: look for loops over many files or directories, for leaked descriptors and for \
             sockets. `slabtop` shows the kinds; killing the loop frees it, a larger limit only delays the next kill.",
    look: &[SLABTOP],
};
const SOCKETS: Kind = Kind {
    name: "socket buffers",
    advice: "Look for connections whose peer does not read, and lower the buffer sizes or the number of connections.",
    look: &["ss -tmp"],
};
const PAGE_TABLES: Kind = Kind {
    name: "page tables",
    advice: "Many processes that map the same large memory each have their own page tables: use fewer processes, or huge pages.",
    look: &["grep -H VmPTE /proc/[0-9]*/status | sort -k2 -n | tail"],
};
const STACKS: Kind = Kind {
    name: "kernel stacks",
    advice: "Each thread has a kernel stack of 16 KiB: look for a thread leak.",
    look: &["grep -H Threads /proc/[0-9]*/status | sort -k2 -n | tail"],
};
const PER_CPU: Kind = Kind {
    name: "per-CPU memory",
    advice: "eBPF maps, network namespaces and cgroups hold it: look for leaked ones.",
    look: &[],
};
const VMALLOC: Kind = Kind {
    name: "vmalloc areas",
    advice: "Large kernel tables made on behalf of the process: eBPF, netfilter, io_uring.",
    look: &["sort -k2 -n -r /proc/vmallocinfo | head"],
};
const ZSWAP: Kind = Kind {
    name: "compressed swap (zswap)",
    advice: "Swapped memory stays charged in compressed form: lower the anonymous memory, or set memory.zswap.max.",
    look: &[],
};
/// In no item of statistics that itemise slab.
const BUFFERS: Kind = Kind {
    name: "memory that the statistics do not itemise, as pipe buffers are",
    advice: "Pipes that are written and not read hold up to 64 KiB each (1 MiB if enlarged): look for a process with many pipes and a reader \
             that does not read. A larger limit only delays the next kill.",
    look: &[DESCRIPTORS],
};
/// In no item of statistics that have none for kernel memory.
const NOT_ITEMISED: Kind = Kind {
    name: "of a kind that the log cannot tell: these statistics do not itemise it",
    advice: "It can be slab (directory entries and inodes of many files, sockets), pipe buffers, page tables or thread stacks. Look at the \
             kinds of slab and at what the first suspect has open while it runs. A larger limit only delays the next kill.",
    look: &[SLABTOP, DESCRIPTORS],
};
const SLABTOP: &str = "slabtop -o -s c | head -20";
const DESCRIPTORS: &str =
    "ls -l /proc/{pid}/fd | awk '{print $NF}' | sed 's/[0-9]*//g' | sort | uniq -c | sort -rn | head";

/// The largest kind.
fn kind(memory: &MemoryUse, itemises_slab: bool) -> Kind {
    let named = |name: &str| memory.named(name).0;
    let slab = named("slab (unreclaimable)").saturating_add(named("slab (reclaimable)"));
    let tables = named("page tables").saturating_add(named("page tables of guests and devices"));
    let rest = named("other kernel memory").saturating_add(memory.unaccounted_bytes);
    let kinds = [
        (slab, SLAB),
        (named("socket buffers"), SOCKETS),
        (tables, PAGE_TABLES),
        (named("kernel stacks"), STACKS),
        (named("per-CPU memory"), PER_CPU),
        (named("vmalloc"), VMALLOC),
        (named("compressed swap (zswap)"), ZSWAP),
    ];
    let rest = (rest, if itemises_slab { BUFFERS } else { NOT_ITEMISED });
    kinds.into_iter().fold(rest, |most, kind| if kind.0 >= most.0 { kind } else { most }).1
}

/// cgroup v2 has had slab as an item since 4.18; v1's own statistics have nothing of the kernel's memory.
fn itemises_slab(report: &KernelReport) -> bool {
    report.memory_stat.as_ref().is_some_and(|stat| stat.keys().any(|key| key.starts_with("slab")))
}

/// The trigger asked for it: the first suspect where the memory belongs to no process, never a proof. Of the dead nothing can
/// be seen.
fn suspect(facts: &Facts<'_>) -> String {
    let pid = facts
        .trigger()
        .and_then(|trigger| trigger.process())
        .filter(|pid| facts.victim().is_none_or(|v| v.pid != *pid));
    pid.map_or_else(|| "<pid>".to_owned(), |pid| pid.to_string())
}
