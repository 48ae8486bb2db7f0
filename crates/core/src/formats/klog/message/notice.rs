//! The short messages around a report: who pressed the key, what could not be killed, what was lost.

use bstr::ByteSlice;

use super::scan::{fields, kernel_text, number};

/// A message that is no part of the report's body but changes what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `sysrq: Manual OOM execution`
    Sysrq,
    /// `Out of memory and no killable processes...`
    NoKillable,
    /// `Tasks state (memory values in pages):`
    TableTitle,
    /// `Kernel panic - not syncing: …`, when it is about memory.
    Panic(String),
    /// `oom_kill_process: 14 callbacks suppressed`
    Suppressed(u64),
    /// `** 12 printk messages dropped **`
    Dropped(u64),
    /// `java: page allocation failure: order:4, …`: a report of the same shape that kills nobody.
    AllocationFailure,
    /// `Memory cgroup min protection …`: behind the statistics of a cgroup or behind Mem-Info (kernel ≥ 7.0).
    Protection,
}

pub(super) fn notice(text: &[u8]) -> Option<Notice> {
    let text = text.trim_ascii();
    if text.starts_with(b"Out of memory and no killable processes") {
        return Some(Notice::NoKillable);
    }
    if text.starts_with(b"Tasks state (memory values in pages)") {
        return Some(Notice::TableTitle);
    }
    if text.ends_with(b"Manual OOM execution") {
        return Some(Notice::Sysrq);
    }
    if let Some(message) =
        text.strip_prefix(b"Kernel panic - not syncing: ").or_else(|| text.strip_prefix(b"Kernel panic: "))
    {
        let about_memory = message.to_ascii_lowercase().contains_str("memory");
        return about_memory.then(|| Notice::Panic(kernel_text(message)));
    }
    if let Some(at) = text.find(" callbacks suppressed") {
        let (function, count) = super::scan::rsplit_at(&text[..at], ": ")?;
        let count = number(count).filter(|(_, rest)| rest.is_empty())?.0;
        return matches!(function, b"oom_kill_process" | b"dump_header" | b"__ratelimit")
            .then_some(Notice::Suppressed(count));
    }
    if text.ends_with(b" messages dropped") || text.ends_with(b" messages dropped **") {
        let count = fields(text).find_map(number)?.0;
        return Some(Notice::Dropped(count));
    }
    if text.contains_str(": page allocation failure") || text.contains_str(": page allocation stalls for ") {
        return Some(Notice::AllocationFailure);
    }
    text.starts_with(b"Memory cgroup min protection ").then_some(Notice::Protection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of what was lost; other functions' rate limits say nothing of OOM reports.
    #[test]
    fn losses() {
        assert_eq!(notice(b"oom_kill_process: 14 callbacks suppressed"), Some(Notice::Suppressed(14)));
        assert_eq!(notice(b"net_ratelimit: 14 callbacks suppressed"), None);
        assert_eq!(notice(b"** 3 printk messages dropped ** "), Some(Notice::Dropped(3)));
        assert_eq!(notice(b"printk: 7 messages dropped"), Some(Notice::Dropped(7)));
    }

    /// Only panics about memory are of interest, and the end marker of a panic is not a second one.
    #[test]
    fn panics() {
        assert!(matches!(
            notice(b"Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled"),
            Some(Notice::Panic(_))
        ));
        assert_eq!(
            notice(b"---[ end Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled ]---"),
            None
        );
        assert_eq!(notice(b"Kernel panic - not syncing: Attempted to kill init!"), None);
    }
}
