//! The files of /proc, as bytes in and numbers out (Documentation/filesystems/proc.rst).
//!
//! Not the `procfs` crate: it wants UTF-8, and a process may give itself a name, an argument or a mapped file that is none.
//! A parser here never fails. A field that this kernel does not print, or that cannot be read, is `None`.

mod cgroup;
mod fields;
mod mappings;
mod maps;
mod meminfo;
mod resident;
mod smaps_rollup;
mod stat;
mod status;

pub use cgroup::memory_cgroup;
pub use mappings::{MAX_NAMES, MappingSums};
pub use maps::MapsLine;
pub use meminfo::MemInfo;
pub use resident::{Resident, ResidentMappings};
pub use smaps_rollup::SmapsRollup;
pub use stat::Stat;
pub use status::Status;

/// One counter of /proc/vmstat (`oom_kill 3`); `None` where this kernel does not count it.
#[must_use]
pub fn vmstat_counter(bytes: &[u8], name: &str) -> Option<u64> {
    bytes.split(|b| *b == b'\n').find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?;
        fields::number(value)
    })
}

/// Free pages that CPUs keep to themselves, of all zones, from /proc/zoneinfo (`pagesets`, `count:`): they are not in `MemFree`. `None`
/// where the file has none. On large machines with 6.7 and newer these are gigabytes (`pcp->high` then follows the load).
#[must_use]
pub fn cpu_list_pages(zoneinfo: &[u8]) -> Option<u64> {
    let counts = fields::fields(zoneinfo).filter(|(name, _)| *name == b"count");
    counts
        .filter_map(|(_, count)| fields::number::<u64>(count))
        .fold(None, |sum, count| Some(sum.unwrap_or(0_u64).saturating_add(count)))
}

/// The arguments of /proc/PID/cmdline, joined by blanks: they end in NUL there, and a process that rewrote them may have left
/// several NULs at the end.
#[must_use]
pub fn cmdline(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    bytes.iter().take(end).map(|b| if *b == 0 { b' ' } else { *b }).collect()
}

/// The one number of /proc/PID/oom_score or oom_score_adj.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<i64> {
    fields::number(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the whole name counts: `oom_kill` is not `oom_kill_x`.
    #[test]
    fn vmstat() {
        let text = b"nr_free_pages 12\noom_kill_x 9\noom_kill 3\n";
        assert_eq!(vmstat_counter(text, "oom_kill"), Some(3));
        assert_eq!(vmstat_counter(text, "oom"), None);
        assert_eq!(vmstat_counter(b"oom_kill \xff\n", "oom_kill"), None);
    }

    /// The lists of every CPU and zone are added up, and nothing else that has a number.
    #[test]
    fn lists_of_cpus() {
        let text = b"Node 0, zone      DMA\n  pages free     3\n  pagesets\n    cpu: 0\n              count:    7\n              high:     40\n\
                     Node 0, zone   Normal\n    cpu: 0\n              count: 12325\n    cpu: 1\n              count:    x\n";
        assert_eq!(cpu_list_pages(text), Some(12332));
        assert_eq!(cpu_list_pages(b"Node 0, zone DMA\n"), None);
    }

    /// Arguments are told apart by blanks, and what they hold stays as it is.
    #[test]
    fn arguments() {
        assert_eq!(cmdline(b"java\0-Xmx1g\0\0\0"), b"java -Xmx1g");
        assert_eq!(cmdline(b"\xff\n\0"), b"\xff\n");
        assert_eq!(cmdline(b""), b"");
    }

    /// Numbers may be negative and end in a newline; anything else is not known.
    #[test]
    fn numbers() {
        assert_eq!(number(b"-998\n"), Some(-998));
        assert_eq!(number(b"\n"), None);
        assert_eq!(number(b"99999999999999999999\n"), None);
    }

    proptest::proptest! {
        /// No bytes make a parser panic, and what it gives back is never larger than what it was given.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = (Status::parse(&bytes), SmapsRollup::parse(&bytes), MemInfo::parse(&bytes), number(&bytes));
            let _ = (memory_cgroup(&bytes), vmstat_counter(&bytes, "oom_kill"));
            let comm = Stat::parse(&bytes).map_or(0, |stat| stat.comm.len());
            proptest::prop_assert!(comm <= bytes.len() && cmdline(&bytes).len() <= bytes.len());
            let mut sums = MappingSums::default();
            bytes.split(|b| *b == b'\n').for_each(|line| sums.line(line));
            proptest::prop_assert!(sums.finish().iter().all(|mapping| mapping.name.as_bytes().len() <= bytes.len().max(6)));
        }
    }
}
