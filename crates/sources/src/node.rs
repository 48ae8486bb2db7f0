//! The machine as a whole: its memory, its kernel.

use std::io;
use std::path::PathBuf;

use oomscope_core::evidence::Gap;
use oomscope_core::formats::cgroup::{Pressure, pressure};
use oomscope_core::formats::proc::{MemInfo, cpu_list_pages, vmstat_counter};
use oomscope_core::units::Bytes;

use crate::clock;
use crate::host_root::HostRoot;

/// One reading. What could not be read is `None`, with a gap that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReading {
    /// /proc/meminfo; empty where it could not be read.
    pub meminfo: MemInfo,
    /// Processes that any OOM killer has killed since boot (`oom_kill` of /proc/vmstat, ≥ 4.13).
    pub oom_kills: Option<u64>,
    /// How long tasks of the whole machine have stalled for memory since boot (/proc/pressure/memory, ≥ 4.20 where it is on).
    pub pressure: Pressure,
    /// `uname -r`.
    pub kernel_release: Option<String>,
    /// Why the kernel is not as it was shipped, a bit a reason (Documentation/admin-guide/tainted-kernels.rst); 0: it is.
    pub taint: Option<u64>,
    /// Memory of compressed swap, zswap's and zram's (`nr_zspages` of /proc/vmstat, ≥ 4.8 with zsmalloc).
    pub compressed: Option<Bytes>,
    /// Free memory that CPUs keep to themselves, which is not in `MemFree` (/proc/zoneinfo).
    pub on_cpu_lists: Option<Bytes>,
    /// Bytes of a page.
    pub page_size: u64,
    /// The uuid of this boot.
    pub boot_id: Option<String>,
    /// What is missing.
    pub gaps: Vec<Gap>,
}

/// The machine below a root.
#[derive(Clone, Debug)]
pub struct Node {
    root: HostRoot,
}

impl Node {
    /// Below the machine's root.
    #[must_use]
    pub const fn new(root: HostRoot) -> Self {
        Self { root }
    }

    /// Reads everything.
    #[must_use]
    pub fn read(&self) -> NodeReading {
        let mut gaps = Vec::new();
        let meminfo = self.file("/proc/meminfo", &mut gaps).map(|text| MemInfo::parse(&text)).unwrap_or_default();
        let vmstat = self.file("/proc/vmstat", &mut gaps);
        let oom_kills = vmstat.as_ref().and_then(|text| {
            let kills = vmstat_counter(text, "oom_kill");
            if kills.is_none() {
                gaps.push(Gap::new("OOM kills since boot", "this kernel does not count them in /proc/vmstat"));
            }
            kills
        });
        // Of the running kernel, as with clocks: there is no file for it.
        let page_size = rustix::param::page_size() as u64;
        let on_cpu_lists = self.file("/proc/zoneinfo", &mut gaps).and_then(|text| cpu_list_pages(&text));
        let zspages = vmstat.as_ref().and_then(|text| vmstat_counter(text, "nr_zspages"));
        let boot_id = clock::boot_id(&self.root).map_err(|e| gaps.push(Gap::new("boot id", e.to_string()))).ok();
        NodeReading {
            meminfo,
            oom_kills,
            pressure: self.file("/proc/pressure/memory", &mut gaps).map(|text| pressure(&text)).unwrap_or_default(),
            kernel_release: self.line("/proc/sys/kernel/osrelease", &mut gaps),
            taint: self.line("/proc/sys/kernel/tainted", &mut gaps).and_then(|bits| bits.parse().ok()),
            on_cpu_lists: on_cpu_lists.map(|pages| Bytes::from_pages(pages, page_size)),
            compressed: zspages.map(|pages| Bytes::from_pages(pages, page_size)),
            page_size,
            boot_id,
            gaps,
        }
    }

    /// How readily it swaps (`vm.swappiness`, 0 to 200); `None` where it cannot be read.
    #[must_use]
    pub fn swappiness(&self) -> Option<u64> {
        self.line("/proc/sys/vm/swappiness", &mut Vec::new())?.parse().ok()
    }

    fn line(&self, path: &str, gaps: &mut Vec<Gap>) -> Option<String> {
        self.file(path, gaps).map(|text| String::from_utf8_lossy(&text).trim().to_owned())
    }

    fn file(&self, path: &str, gaps: &mut Vec<Gap>) -> Option<Vec<u8>> {
        let path: PathBuf = self.root.path(path);
        std::fs::read(&path).map_err(|e: io::Error| gaps.push(Gap::new(path.display().to_string(), e.to_string()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of this machine everything that every kernel has is known.
    #[test]
    fn this_machine() {
        let node = Node::new(HostRoot::default()).read();
        assert!(node.meminfo.total().is_some_and(|total| total.0 > 1 << 20));
        assert!(node.kernel_release.is_some() && node.taint.is_some() && node.boot_id.is_some());
        assert!(node.page_size.is_power_of_two());
    }

    /// A machine without /proc is a list of gaps, each with the file and the reason.
    #[test]
    fn nothing_there() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::new(HostRoot::at(folder.path())).read();
        assert_eq!((node.oom_kills, node.taint, node.pressure), (None, None, Pressure::default()));
        assert_eq!(node.gaps.len(), 7);
        assert!(node.gaps.iter().all(|gap| gap.why.contains("No such file")), "{:?}", node.gaps);
    }
}
