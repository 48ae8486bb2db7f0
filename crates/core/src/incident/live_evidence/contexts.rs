//! What a program in the kernel saw, line by line.

use super::seconds;
use crate::evidence::{ChainLevel, Hook, KillContext, Party};
use crate::text::{Untrusted, name_in_text};
use crate::units::Bytes;

/// Levels shown: a path of Kubernetes has about six.
const LEVELS: usize = 24;

/// Who, what was asked for, what the victim held, and every level with its limit.
pub(in crate::incident) fn context(context: &KillContext, path_of: &dyn Fn(u64) -> Option<Untrusted>) -> Vec<String> {
    let hook = match context.hook {
        Hook::OomKillProcess => "entry of oom_kill_process",
        Hook::MarkVictimBtf => "mark_victim, with access to the kernel's types",
        Hook::MarkVictim => "mark_victim",
    };
    let mut lines = vec![
        format!("seen at {} on the monotonic clock by {hook}", seconds(context.at)),
        format!("trigger {}", party(&context.trigger)),
        format!("victim {}{}", party(&context.victim), held(context)),
    ];
    lines.extend(asked(context));
    lines.extend(context.chain.iter().take(LEVELS).map(|level| self::level(context, level, path_of)));
    let whole = if context.tasks_complete { "" } else { ", and more that were not looked at" };
    lines.push(format!("{} processes looked at{whole}", context.tasks.len()));
    lines
}

fn party(party: &Party) -> String {
    let name = name_in_text(party.comm.as_bytes());
    let thread = if party.tid == party.pid { String::new() } else { format!(", thread {}", party.tid) };
    format!("{name} (pid {}{thread}), uid {}, oom_score_adj {}", party.pid, party.uid, party.oom_score_adj)
}

fn held(context: &KillContext) -> String {
    let memory = &context.victim_memory;
    let sizes = [
        ("anon", memory.anon_bytes),
        ("file", memory.file_bytes),
        ("shmem", memory.shmem_bytes),
        ("swap", memory.swap_bytes),
    ];
    sizes.into_iter().filter_map(|(name, bytes)| bytes.map(|bytes| format!(", {name} {bytes}"))).collect()
}

fn asked(context: &KillContext) -> Option<String> {
    let order = context.order.map(|order| format!("order {order}"));
    let mask = context.gfp_mask.map(|mask| format!("gfp_mask {mask:#x}"));
    let facts: Vec<String> = [order, mask].into_iter().flatten().collect();
    (!facts.is_empty()).then(|| format!("asked for {}", facts.join(", ")))
}

fn level(context: &KillContext, level: &ChainLevel, path_of: &dyn Fn(u64) -> Option<Untrusted>) -> String {
    let name = path_of(level.cgroup_id)
        .map_or_else(|| format!("cgroup {} (path not known)", level.cgroup_id), |path| path.to_lossy().into_owned());
    let limit = level.limit_bytes.map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
    let optional = [("peak", level.peak_bytes), ("second counter", level.swap_usage_bytes)];
    let optional =
        optional.into_iter().filter_map(|(name, bytes)| bytes.map(|bytes: Bytes| format!(", {name} {bytes}")));
    let failcnt = level.failcnt.map(|count| format!(", failcnt {count}"));
    let mark = if context.limit_cgroup_id == Some(level.cgroup_id) { ": its limit was reached" } else { "" };
    let more: String = optional.chain(failcnt).collect();
    format!("{name}: charged {}, {limit}{more}{mark}", level.usage_bytes)
}
