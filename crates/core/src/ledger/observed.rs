//! What is read of a machine for its account.

use crate::evidence::Gap;
use crate::formats::cgroup::Version;
use crate::formats::proc::MemInfo;
use crate::incident::level::{Level, level_of};
use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

use super::Charged;

/// One reading of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// /proc/meminfo.
    pub meminfo: MemInfo,
    /// Free memory on the lists of CPUs (/proc/zoneinfo), which `MemFree` leaves out.
    pub on_cpu_lists: Option<Bytes>,
    /// Memory of compressed swap, zswap's and zram's (`nr_zspages` of /proc/vmstat).
    pub compressed: Option<Bytes>,
    /// The topmost cgroup that can be seen, with those below it; `None` without memory cgroups.
    pub root: Option<CgroupUse>,
    /// That is the root of the whole machine, and not a container's own.
    pub is_whole_machine: bool,
    /// v1 or v2.
    pub version: Option<Version>,
    /// tmpfs volumes of pods.
    pub volumes: Vec<MemoryVolume>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// A cgroup with what it is charged with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupUse {
    /// As the kernel's log calls it.
    pub path: Untrusted,
    /// `memory.current`, v1 `memory.usage_in_bytes`. `None`: without the controller, unreadable, or the root of v2.
    pub usage: Option<Bytes>,
    /// `memory.max`, v1 `memory.limit_in_bytes`.
    pub limit: Option<Limit>,
    /// `memory.stat`, where it was read.
    pub charged: Option<Charged>,
    /// Those directly below.
    pub children: Vec<CgroupUse>,
}

impl CgroupUse {
    pub(super) fn level(&self) -> Level {
        level_of(self.path.as_bytes())
    }

    /// The last component of its path.
    pub(super) fn last_name(&self) -> String {
        let path = self.path.to_lossy();
        path.rsplit('/').find(|name| !name.is_empty()).unwrap_or("/").to_owned()
    }

    /// Usage less the page cache that was not used lately: the kubelet's measure.
    #[must_use]
    pub fn working_set(&self) -> Option<Bytes> {
        Some(Bytes(self.usage?.0.saturating_sub(self.charged?.inactive_file?)))
    }
}

/// A memory-backed volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryVolume {
    /// Of the pod, as its cgroup carries it.
    pub pod_uid: String,
    /// Name of the volume in the pod's spec.
    pub name: String,
    /// What its files take.
    pub used: Bytes,
    /// The size of the tmpfs; `None` where it has none of its own.
    pub size: Option<Bytes>,
}
