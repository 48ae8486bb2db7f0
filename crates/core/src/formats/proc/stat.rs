//! /proc/PID/stat.

use bstr::{BStr, ByteSlice};

use super::fields::number;

/// The fields that no other file has, or that are cheapest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// The name. In parentheses, and may itself hold parentheses, blanks and newlines.
    pub comm: &'a BStr,
    /// `R`, `S`, `D`, `Z`, …
    pub state: Option<u8>,
    /// Parent.
    pub ppid: Option<u32>,
    /// `PF_…` of include/linux/sched.h.
    flags: Option<u32>,
    /// When it started, in clock ticks since boot.
    pub started_ticks: Option<u64>,
}

/// include/linux/sched.h, unchanged since 2.6.17.
const PF_KTHREAD: u32 = 0x0020_0000;

impl<'a> Stat<'a> {
    /// Reads the file; `None` where the name is not where it should be.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let open = bytes.find_byte(b'(')?;
        // Behind the name come only numbers and a letter, so the last parenthesis is the one that ends it.
        let close = bytes.rfind_byte(b')').filter(|close| *close > open)?;
        let comm = bytes.get(open + 1..close)?.as_bstr();
        // From field 3 on (proc_pid_stat(5) counts from 1).
        let behind = bytes.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let fields: Vec<&[u8]> = behind.take(20).collect();
        let field = |number_in_manual: usize| fields.get(number_in_manual - 3).copied();
        Some(Self {
            comm,
            state: field(3).and_then(|state| state.first().copied()),
            ppid: field(4).and_then(number),
            flags: field(9).and_then(number),
            started_ticks: field(22).and_then(number),
        })
    }

    /// It is a thread of the kernel, which has no memory and is never chosen.
    #[must_use]
    pub fn is_kernel_thread(&self) -> Option<bool> {
        self.flags.map(|flags| flags & PF_KTHREAD != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that pretends to be the fields behind it changes none of them.
    #[test]
    fn hostile_name() {
        let text =
            b"42 (a) R 1 (\n) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 187654 999 12 18446744073709551615 1\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.comm, "a) R 1 (\n");
        assert_eq!((stat.state, stat.ppid, stat.started_ticks), (Some(b'S'), Some(7), Some(187_654)));
        assert_eq!(stat.is_kernel_thread(), Some(false));
    }

    /// kthreadd of 6.1.
    #[test]
    fn kernel_thread() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 4 0 0\n";
        assert_eq!(Stat::parse(text).unwrap().is_kernel_thread(), Some(true));
    }

    /// Half a file is half an answer.
    #[test]
    fn cut() {
        assert_eq!(Stat::parse(b"42 (a) S 7").unwrap().started_ticks, None);
        assert_eq!(Stat::parse(b")("), None);
        assert_eq!(Stat::parse(b""), None);
    }
}
