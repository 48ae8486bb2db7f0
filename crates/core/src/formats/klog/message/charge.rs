//! What was charged, to which cgroup, against which limit.
//!
//! Source: `mem_cgroup_print_oom_context()`, `mem_cgroup_print_oom_meminfo()` in mm/memcontrol.c and, before 4.20,
//! `mem_cgroup_print_oom_info()`.

use bstr::ByteSlice;

use super::scan::{after, fields, narrow, number, rsplit_at, split_at, whole_number};
use crate::evidence::Counter;
use crate::units::Bytes;

/// `Task in /a killed as a result of limit of /b` (before 4.20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInCgroup<'a> {
    /// The victim's cgroup; `None` in `Memory limit reached of cgroup /b` (nothing could be killed).
    pub task: Option<&'a [u8]>,
    /// The cgroup whose limit was hit; `None` where the line broke off.
    pub limit: Option<&'a [u8]>,
}

pub(super) fn task_in_cgroup(text: &[u8]) -> Option<TaskInCgroup<'_>> {
    if let Some(limit) = text.strip_prefix(b"Memory limit reached of cgroup ") {
        return Some(TaskInCgroup { task: None, limit: Some(limit.trim_ascii_end()) });
    }
    let rest = text.strip_prefix(b"Task in ")?;
    match rsplit_at(rest, " killed as a result of limit of ") {
        Some((task, limit)) => {
            let limit = limit.trim_ascii_end();
            Some(TaskInCgroup { task: Some(task), limit: (!limit.is_empty()).then_some(limit) })
        }
        None if rest.starts_with(b"/") || rest.is_empty() => {
            let cut = rest.find(" killed as").unwrap_or(rest.len());
            Some(TaskInCgroup { task: (cut < rest.len()).then_some(&rest[..cut]), limit: None })
        }
        None => None,
    }
}

/// Which counter a usage line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageOf {
    /// `memory:`
    Memory,
    /// `swap:` (v2)
    Swap,
    /// `memory+swap:` (v1)
    MemorySwap,
    /// `kmem:` (v1)
    Kmem,
}

/// `memory: usage 49152kB, limit 49152kB, failcnt 19`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which counter.
    pub of: UsageOf,
    /// Its numbers.
    pub counter: Counter,
}

pub(super) fn usage(text: &[u8]) -> Option<Usage> {
    let (name, rest) = split_at(text, ": usage ")?;
    let of = match name.trim_ascii_start() {
        b"memory" => UsageOf::Memory,
        b"swap" => UsageOf::Swap,
        b"memory+swap" => UsageOf::MemorySwap,
        b"kmem" => UsageOf::Kmem,
        _ => return None,
    };
    let (usage_bytes, rest) = kib(rest)?;
    let (limit_bytes, rest) = kib(rest.strip_prefix(b",")?.trim_ascii_start().strip_prefix(b"limit")?)?;
    let failcnt = after(rest, "failcnt").and_then(|f| number(f.trim_ascii_start())).map(|(n, _)| n);
    Some(Usage { of, counter: Counter { usage_bytes, limit_bytes, failcnt } })
}

fn kib(text: &[u8]) -> Option<(Bytes, &[u8])> {
    let (kib, rest) = number(text.trim_ascii_start())?;
    Some((Bytes::from_kib(kib), rest.strip_prefix(b"kB")?))
}

/// `Memory cgroup stats for /path:`, alone (≥ 5.3: the cgroup at its limit) or with statistics behind it (v1 before that:
/// one line for each cgroup of the subtree).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsFor<'a> {
    /// The cgroup; `None` in `Memory cgroup stats:` (before 3.9).
    pub cgroup: Option<&'a [u8]>,
    /// `cache:32KB rss:524188KB …`
    pub inline: Option<&'a [u8]>,
    /// The colon behind the path was there.
    pub complete: bool,
}

pub(super) fn stats_for(text: &[u8]) -> Option<StatsFor<'_>> {
    let rest = text.strip_prefix(b"Memory cgroup stats")?;
    if let Some(inline) = rest.strip_prefix(b": ") {
        return Some(StatsFor { cgroup: None, inline: Some(inline), complete: true });
    }
    let rest = rest.strip_prefix(b" for ")?;
    if let Some((path, _)) = rsplit_at(rest, ": cache:") {
        return Some(StatsFor { cgroup: Some(path), inline: Some(&rest[path.len() + 2..]), complete: true });
    }
    let path = rest.trim_ascii_end();
    Some(match path.strip_suffix(b":") {
        Some(path) => StatsFor { cgroup: Some(path), inline: None, complete: true },
        None => StatsFor { cgroup: Some(path), inline: None, complete: false },
    })
}

pub(super) fn statistic(text: &[u8]) -> Option<(&str, u64)> {
    let (key, value) = split_at(text.trim_ascii(), " ")?;
    Some((stat_key(key)?, whole_number(value)?))
}

fn stat_key(key: &[u8]) -> Option<&str> {
    let well_formed = key.first().is_some_and(u8::is_ascii_lowercase)
        && key.len() <= 64
        && key.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
    well_formed.then(|| std::str::from_utf8(key).ok()).flatten()
}

pub(super) fn inline_statistics(text: &[u8]) -> impl Iterator<Item = (&str, u64)> {
    fields(text).filter_map(|field| {
        let (key, value) = split_at(field, ":")?;
        let (kib, unit) = narrow::<u64>(value)?;
        Some((stat_key(key)?, (unit == b"KB").then(|| kib.saturating_mul(1024))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Usage of each counter; a number that was cut off is not a number.
    #[test]
    fn usage_lines() {
        let full = usage(b"memory+swap: usage 16384kB, limit 9007199254740988kB, failcnt 7").unwrap();
        assert_eq!(
            (full.of, full.counter.usage_bytes, full.counter.failcnt),
            (UsageOf::MemorySwap, Bytes(16 << 20), Some(7))
        );
        assert_eq!(usage(b"memory: usage 49152kB, limit 491"), None);
        assert_eq!(usage(b"memory: usage 49152kB, limit 49152kB, fail").unwrap().counter.failcnt, None);
    }

    /// A path may contain the kernel's own words; the last ones are the kernel's.
    #[test]
    fn task_in_cgroup_lines() {
        let t =
            task_in_cgroup(b"Task in /a killed as a result of limit of /x killed as a result of limit of /b").unwrap();
        assert_eq!((t.task, t.limit), (Some(&b"/a killed as a result of limit of /x"[..]), Some(&b"/b"[..])));
        assert_eq!(task_in_cgroup(b"Memory limit reached of cgroup /b").unwrap().limit, Some(&b"/b"[..]));
        assert_eq!(task_in_cgroup(b"Task in /abc").unwrap().task, None, "the path may be cut");
    }

    /// Statistics in both layouts.
    #[test]
    fn statistics() {
        assert_eq!(stats_for(b"Memory cgroup stats for /a:b:").unwrap().cgroup, Some(&b"/a:b"[..]));
        let v1 =
            stats_for(b"Memory cgroup stats for /kubepods/pod1: cache:32KB rss:524188KB inactive_file:12K").unwrap();
        assert_eq!(v1.cgroup, Some(&b"/kubepods/pod1"[..]));
        let stats: Vec<_> = inline_statistics(v1.inline.unwrap()).collect();
        assert_eq!(stats, [("cache", 32 << 10), ("rss", 524_188 << 10)]);
        assert_eq!(statistic(b" active_file 0"), Some(("active_file", 0)));
        assert_eq!(statistic(b"Hello 5"), None);
    }
}
