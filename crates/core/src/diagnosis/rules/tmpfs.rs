//! tmpfs that outlives its writer.
//!
//! Files in tmpfs (`emptyDir` with `medium: Memory`, /dev/shm, /tmp on tmpfs) are charged to the cgroup that wrote them and
//! belong to no process: killing frees nothing of them. An `emptyDir` lives as long as its pod, so its pages meet the
//! restarted container at once, and it can crash for ever. Trips when shared memory that no process maps is at least 40 % of
//! the usage and more than anonymous memory. How much is mapped comes from `file_mapped` or the table's `rss_shmem`;
//! with neither it cannot tell.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::{Facts, Impersonal, in_pod};
use crate::diagnosis::words::percent;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "tmpfs",
    about: "Files in tmpfs fill the limit and no process maps them: a kill frees nothing, and a restart meets them again.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_cgroup_kill() {
        return Answer::Absent;
    }
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(facts.missing("statistics of the cgroup", Part::MemoryStat));
    };
    let bytes = match facts.impersonal() {
        Some(Impersonal::Tmpfs(bytes)) => bytes,
        _ if memory.shmem() > memory.anon() && facts.mapped_shmem().is_none() => {
            return Answer::CannotTell(facts.missing("how much of the shared memory is mapped", Part::MemoryStat));
        }
        _ if memory.shmem() > memory.anon() && memory.shmem().share_of(Bytes(memory.usage_bytes)) >= 0.4 => {
            return mapped(facts, memory.shmem(), Bytes(memory.usage_bytes)).into();
        }
        _ => return Answer::Absent,
    };
    let found = Found::that(
        "Files in tmpfs fill the limit",
        format!(
            "{bytes} ({} of what is in use) are shared memory that no process maps: files in tmpfs, or SysV segments without a \
             user. Killing a process frees nothing of it.",
            percent(bytes, Bytes(memory.usage_bytes))
        ),
        &[Part::MemoryStat, Part::TaskTable, Part::Usage],
    );
    remedies(facts, bytes, " A larger memory limit would only fill later.", found).into()
}

/// A process maps it, so the kill may have freed it, or not: a file in tmpfs stays, an anonymous shared mapping goes.
fn mapped(facts: &Facts<'_>, shmem: Bytes, usage: Bytes) -> Found {
    let found = Found::that(
        "Shared memory or tmpfs fills the limit",
        format!(
            "{shmem} ({} of what is in use) are shared memory that processes map. What of it is files in tmpfs stays after the kill; shared \
             memory of the processes alone goes with the last of them.",
            percent(shmem, usage)
        ),
        &[Part::MemoryStat, Part::TaskTable, Part::Usage],
    );
    // Shared memory that a program needs may well want a larger limit.
    remedies(facts, shmem, "", found)
}

fn remedies(facts: &Facts<'_>, bytes: Bytes, larger_limit: &str, found: Found) -> Found {
    let kubernetes = facts.report.limit_cgroup.as_ref().or(facts.report.victim_cgroup.as_ref()).is_some_and(in_pod);
    if !kubernetes {
        return found.advise(
            Rank::Cause,
            "Delete the files, and bound the tmpfs",
            "Look for what was written to tmpfs mounts by this service or container; a size stops the next writer with ENOSPC \
             instead of killing somebody.",
            Some(format!("df -h -t tmpfs && ipcs -m\nmount -o remount,size={}M <mount>", half_mib(facts, bytes))),
        );
    }
    let found = found
        .and(
            "It survives the container",
            "If it is an emptyDir with medium Memory, its files stay until the pod is deleted: each restart starts with less room, \
             down to a crash loop.",
            &[Part::MemoryStat],
        )
        .advise(
            Rank::Cause,
            "Clean up the memory-backed volume, and give it a size",
            format!(
                "Find the memory-backed emptyDir, /dev/shm or tmpfs /tmp that this container writes to; with sizeLimit the writer gets \
                 ENOSPC (and the pod is evicted with a clear reason) instead of a random kill.{larger_limit}"
            ),
            Some(format!(
                "volumes:\n  - name: <volume>\n    emptyDir:\n      medium: Memory\n      sizeLimit: \"{}\"",
                Bytes(half_mib(facts, bytes) << 20).manifest_quantity()
            )),
        );
    if facts.victim().is_none() {
        return found;
    }
    found.advise(
        Rank::Contain,
        "Delete the pod to get out of a crash loop",
        "Only that empties a memory-backed emptyDir; a restart of the container does not.",
        Some("kubectl delete pod <pod>".to_owned()),
    )
}

/// Half of the limit, in MiB: room for the files and for the processes.
fn half_mib(facts: &Facts<'_>, bytes: Bytes) -> u64 {
    (facts.limit().unwrap_or(bytes).0 / 2).div_ceil(1 << 20).max(1)
}
