//! Where the machine's memory went, when processes do not explain it.
//!
//! The ranking shows processes; what the kernel, tmpfs or reserved huge pages hold is in none of them. Trips, for an OOM of
//! the machine, for each of these that has at least a fifth of the memory, and for memory in no statistic (drivers, balloon, GPU
//! buffers, ZFS's cache) of at least a quarter.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words::percent;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "node_memory",
    about: "What holds the machine's memory besides processes: slab, tmpfs, huge pages, locked memory, memory in no statistic.",
    check,
};

struct Kind {
    part: &'static str,
    title: &'static str,
    advice: &'static str,
    patch: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        part: "slab (unreclaimable)",
        title: "Kernel objects hold much of the memory",
        advice: "See which objects grow; leaked sockets, dentries of deleted cgroups and drivers are the usual ones.",
        patch: "slabtop -o -s c | head -20",
    },
    Kind {
        part: "tmpfs and shared memory",
        title: "tmpfs and shared memory hold much of the memory",
        advice: "It belongs to no process that could be killed: empty tmpfs mounts, remove SysV segments, bound both.",
        patch: "df -h -t tmpfs; ipcs -m",
    },
    Kind {
        part: "huge pages set aside",
        title: "Huge pages set aside hold much of the memory",
        advice: "Reserved huge pages are lost to everything else, used or not: reserve what is used.",
        patch: "grep -i huge /proc/meminfo\nsysctl vm.nr_hugepages",
    },
    Kind {
        part: "locked (unevictable)",
        title: "Locked memory holds much of the memory",
        advice: "mlock and ramfs keep pages from being reclaimed: bound them with LimitMEMLOCK.",
        patch: "grep -h VmLck /proc/[0-9]*/status | sort -k2 -n | tail",
    },
    Kind {
        part: "page tables",
        title: "Page tables hold much of the memory",
        advice: "Many processes that map the same large memory: use huge pages, or fewer processes.",
        patch: "grep -h VmPTE /proc/[0-9]*/status | sort -k2 -n | tail",
    },
];

fn check(facts: &Facts<'_>) -> Answer {
    // Of some nodes only, the statistics do not say what the kernel holds there.
    if !facts.is_node_kill() || facts.is_of_some_nodes() {
        return Answer::Absent;
    }
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(facts.missing("state of the machine's memory", Part::NodeMemory));
    };
    let all = Bytes(memory.limit_bytes.unwrap_or(memory.usage_bytes));
    let mut found = Found::default();
    for kind in KINDS {
        let bytes = memory.named(kind.part);
        if bytes.share_of(all) >= 0.2 {
            found = found
                .and(
                    kind.title,
                    format!("{} of the machine's {all}, {}: {}.", percent(bytes, all), bytes, kind.part),
                    &[Part::NodeMemory],
                )
                .advise(Rank::Cause, format!("Look into the {}", kind.part), kind.advice, Some(kind.patch.to_owned()));
        }
    }
    let lost = Bytes(memory.unaccounted_bytes);
    if lost.share_of(all) >= 0.25 {
        found = found
            .and(
                "Much of the memory is in no statistic",
                format!(
                    "{lost} ({}) of the machine's {all} belong to no process, cache or slab: drivers, GPU buffers, a balloon of the \
                     hypervisor, or ZFS's cache allocate that way.",
                    percent(lost, all)
                ),
                &[Part::NodeMemory],
            )
            .advise(
                Rank::Cause,
                "Look for memory that the kernel does not itemise",
                "Check for a memory balloon, ZFS (arc_summary), GPU drivers and large vmalloc areas.",
                Some("grep -E 'Vmalloc|Percpu' /proc/meminfo; sort -k2 -n -r /proc/vmallocinfo | head".to_owned()),
            );
    }
    if found.observations.is_empty() { Answer::Absent } else { found.into() }
}
