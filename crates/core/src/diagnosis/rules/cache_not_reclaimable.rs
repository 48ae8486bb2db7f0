//! Lots of file cache, and yet out of memory.
//!
//! File cache can usually be dropped, so a cgroup full of it should not kill. When it does, the pages were stuck: dirty or under
//! writeback to a slow disk, locked in memory, protected by `memory.min`, or the allocation could not wait for a file system
//! (`GFP_NOFS`, `GFP_ATOMIC`). Trips when file cache without tmpfs is at least 30 % of a cgroup's usage. Which of the reasons it was
//! is said only where the numbers show it.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words::percent;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "cache_not_reclaimable",
    about: "File cache that should have been dropped was not: dirty, locked, protected, or not allowed to wait.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_cgroup_kill() {
        return Answer::Absent;
    }
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(facts.missing("statistics of the cgroup", Part::MemoryStat));
    };
    let (cache, usage) = (memory.cache(), Bytes(memory.usage_bytes));
    if cache.share_of(usage) < 0.3 {
        return Answer::Absent;
    }
    let stat = |keys: &[&str]| {
        let stat = facts.report.memory_stat.as_ref();
        Bytes(keys.iter().find_map(|k| stat.and_then(|s| s.get(*k))).copied().unwrap_or(0))
    };
    let writing = Bytes(
        stat(&["file_dirty", "total_dirty", "dirty"])
            .0
            .saturating_add(stat(&["file_writeback", "total_writeback", "writeback"]).0),
    );
    let locked = stat(&["total_unevictable", "unevictable"]);
    let mask = facts.report.gfp_flags.as_deref().unwrap_or_default();
    let (why, title, advice, patch) = if writing.share_of(cache) > 0.3 {
        (
            format!("{writing} of it wait to be written to disk"),
            "Write less at once, or let the disk keep up",
            "Dirty pages can be dropped only after they are written: write with O_DIRECT, sync in steps, or give the volume more throughput.",
            None,
        )
    } else if locked.share_of(cache) > 0.3 {
        (
            format!("{locked} are locked in memory (mlock, ramfs)"),
            "Lock less memory",
            "Locked pages count like anonymous memory and are never dropped.",
            None,
        )
    } else if ["GFP_NOFS", "GFP_NOIO", "GFP_ATOMIC", "GFP_NOWAIT"].iter().any(|f| mask.contains(f)) {
        (
            "the allocation was not allowed to wait for a file system".to_owned(),
            "Keep a margin with memory.high",
            "Reclaim then starts before an allocation that may not wait meets the limit.",
            facts.limit().map(|l| format!("memory.high = {}", l.0 / 10 * 9)),
        )
    } else {
        (
            "the report does not show why it was not; it may be in constant use (mapped programs), or protected by memory.min".to_owned(),
            "Look at the cache's refaults",
            "workingset_refault_file rising in memory.stat means that the program needs its file cache: the limit is too small for its working set.",
            None,
        )
    };
    Found::that(
        "Plenty of file cache, but it could not be dropped",
        format!(
            "{cache} ({} of what is in use) are file cache, which is normally dropped first; {why}.",
            percent(cache, usage)
        ),
        &[Part::MemoryStat, Part::Header],
    )
    .advise(Rank::Cause, title, advice, patch)
    .into()
}
