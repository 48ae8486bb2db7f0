//! The files of a memory cgroup, v1 and v2, put into the same terms.
//!
//! They are read every second for every cgroup, so the parsers work on the bytes as read and allocate nothing. Keys that this
//! program does not know are passed over: every kernel adds some. A line that is not as it should be counts as absent.
//! Formats: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

mod events;
mod pressure;
mod stat;

pub use events::{OomControl, events, oom_control};
pub use pressure::{Pressure, pressure, stalls};
pub use stat::{fill_from_stat, stat};

use crate::units::{Bytes, Limit};

/// Which of the two interfaces the memory controller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `memory.limit_in_bytes` and its like.
    V1,
    /// `memory.max` and its like.
    V2,
}

impl Version {
    /// As people say it: 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// A file that holds one number: `memory.current`, `memory.peak`, v1 `memory.failcnt`. `None`: it holds something else.
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii())
        .ok()
        .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))?
        .parse()
        .ok()
}

/// A file that holds a limit: a number of bytes or `max`; v1 writes a huge number for "none". `None`: it holds something else.
#[must_use]
pub fn limit(text: &[u8]) -> Option<Limit> {
    if text.trim_ascii() == b"max" {
        return Some(Limit::Unlimited);
    }
    number(text).map(|bytes| Limit::from_printed(Bytes(bytes)))
}

/// A file that holds 0 or 1: `memory.oom.group`, v1 `memory.use_hierarchy`.
#[must_use]
pub fn flag(text: &[u8]) -> Option<bool> {
    match number(text)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// The process ids in `cgroup.procs`. The kernel writes 0 for a process that is outside of the reader's pid namespace; those are
/// left out, as nothing can be asked about them.
pub fn pids(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    text.split(|b| *b == b'\n')
        .filter_map(|line| number(line).and_then(|pid| u32::try_from(pid).ok()))
        .filter(|pid| *pid != 0)
}

/// The lines `key number` of a flat keyed file.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text.split(|b| *b == b'\n').filter_map(|line| {
        let blank = line.iter().position(|b| *b == b' ')?;
        let (key, value) = line.split_at_checked(blank)?;
        Some((key, number(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are numbers only: no sign, no second word, nothing too large.
    #[test]
    fn numbers() {
        assert_eq!(number(b"4096\n"), Some(4096));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for damaged in [&b""[..], b"\n", b"+1", b"-1", b"1 2", b"18446744073709551616", b"0x10", b"\xff"] {
            assert_eq!(number(damaged), None, "{damaged:?}");
        }
    }

    /// Both ways of saying "no limit" are the same, and damage is neither a limit nor none.
    #[test]
    fn limits() {
        assert_eq!(limit(b"max\n"), Some(Limit::Unlimited));
        assert_eq!(limit(b"9223372036854771712\n"), Some(Limit::Unlimited));
        assert_eq!(limit(b"33554432\n"), Some(Limit::At(Bytes(32 << 20))));
        assert_eq!(limit(b"0\n"), Some(Limit::At(Bytes(0))));
        assert_eq!(limit(b"maximum\n"), None);
        assert_eq!((flag(b"1\n"), flag(b"0\n"), flag(b"2\n"), flag(b"")), (Some(true), Some(false), None, None));
    }

    /// Processes of another pid namespace and damaged lines are left out, the others found.
    #[test]
    fn processes() {
        assert_eq!(pids(b"1\n0\n42\nx\n4294967296\n4294967295\n").collect::<Vec<_>>(), [1, 42, u32::MAX]);
        assert_eq!(pids(b"").count(), 0);
    }
}
