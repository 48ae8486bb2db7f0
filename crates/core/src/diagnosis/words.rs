//! How processes and shares are said, the same in every finding. Names pass through [`name_in_text`], which
//! escapes and where necessary quotes them.

use crate::evidence::{Comm, Task, Trigger, Victim};
use crate::text::name_in_text;
pub(super) use crate::time::span as duration;
use crate::units::Bytes;

/// `java (pid 193)`, `a process with an empty name (pid 4)`, `pid 5`.
#[must_use]
pub(super) fn process(comm: Option<&Comm>, pid: Option<u32>) -> String {
    let name = comm.map(|c| match c.as_bytes() {
        b"" => "a process with an empty name".to_owned(),
        name => name_in_text(name),
    });
    match (name, pid) {
        (Some(name), Some(pid)) => format!("{name} (pid {pid})"),
        (Some(name), None) => name,
        (None, Some(pid)) => format!("pid {pid}"),
        (None, None) => "an unnamed process".to_owned(),
    }
}

/// A victim.
#[must_use]
pub(super) fn victim(victim: &Victim) -> String {
    process(victim.comm.as_ref(), Some(victim.pid))
}

/// A row of the table.
#[must_use]
pub(super) fn task(task: &Task) -> String {
    process(Some(&task.comm), Some(task.pid))
}

/// The trigger: its pid is a thread's, and its process's too where the table has a process of that id.
#[must_use]
pub(super) fn trigger(trigger: &Trigger, tasks: &[Task]) -> String {
    if let (Some(tgid), Some(tid)) = (trigger.tgid, trigger.pid)
        && tgid != tid
    {
        let of = tasks.iter().find(|task| task.pid == tgid).map_or_else(|| format!("pid {tgid}"), task);
        return format!("{} (thread {tid} of {of})", process(trigger.comm.as_ref(), None));
    }
    match (&trigger.comm, trigger.pid) {
        (Some(comm), Some(tid)) if tasks.iter().all(|t| t.pid != tid) => {
            format!("{} (thread {tid})", process(Some(comm), None))
        }
        (comm, tid) => process(comm.as_ref(), tid),
    }
}

/// `77 %`; `under 1 %` rather than zero.
#[must_use]
pub(super) fn percent(part: Bytes, whole: Bytes) -> String {
    match (part.share_of(whole) * 100.0).round() {
        p if p < 1.0 && part.0 > 0 => "under 1 %".to_owned(),
        p => format!("{p} %"),
    }
}

/// `1 process`, `3 processes`.
#[must_use]
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// The first few, then how many more: a report may have a thousand.
#[must_use]
pub(super) fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let more = items.len().saturating_sub(SHOWN);
    let mut shown = items.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        shown.push_str(&format!(" and {more} more"));
    }
    shown
}

/// `order` as a size.
#[must_use]
pub(super) fn block(order: i32, page_size: u64) -> Bytes {
    Bytes(page_size.checked_shl(order.clamp(0, 32).unsigned_abs()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that act on a terminal are escaped, an empty one is said.
    #[test]
    fn names() {
        assert_eq!(process(Some(&"a\x1b".into()), Some(1)), "\"a\\x1b\" (pid 1)");
        assert_eq!(process(Some(&"".into()), Some(4)), "a process with an empty name (pid 4)");
        assert_eq!(list((0..7).map(|i| i.to_string())), "0, 1, 2, 3, 4 and 2 more");
    }
}
