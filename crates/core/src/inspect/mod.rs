//! A living cgroup looked into: limits of every level, memory by kind, processes, mappings, open files.
//!
//! Nothing is asked of the processes themselves, and no file of theirs is needed: everything comes from the kernel, so an image
//! without a shell is no obstacle. An [`Inspection`] is also the form in which a snapshot is stored, and two of them, minutes
//! apart, tell what grows ([`InspectionDiff`]).

mod changes;
mod diff;
mod sums;

pub use changes::{Change, Continuity, CountChange, Forecast, ProcessBrief, ProcessChange, SegmentGrowth};
pub use diff::InspectionDiff;
pub use sums::{MappingTotal, Totals};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::diagnosis::MemoryUse;
use crate::evidence::{Counters, Gap, Limits, Snapshot};
use crate::incident::identity::Identity;
use crate::text::Untrusted;
use crate::time::When;
use crate::units::{Bytes, Limit};

/// Name and version of the JSON form.
pub const SCHEMA: &str = "oomscope.inspection/v1";

/// One look. Serialises to the public JSON of `oomscope.inspection/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it began.
    pub at: When,
    /// Which boot of the machine; two looks of different boots have nothing in common but names.
    pub boot_id: Option<String>,
    /// The machine's name.
    pub host: Option<String>,
    /// What was looked at.
    pub target: Target,
    /// The cgroup and those above it, up to the root of what is mounted.
    pub levels: Vec<Level>,
    /// The target's memory by kind; `None` where the memory controller is not on for it.
    pub memory: Option<MemoryUse>,
    /// `memory.stat`, by the kernel's names; v1's own figures without what is below the cgroup too.
    pub memory_stat: Option<IndexMap<String, u64>>,
    /// Swapped out.
    pub swap_bytes: Option<Bytes>,
    /// How much its tasks stall for memory.
    pub pressure: Option<Stalls>,
    /// Its processes, largest first.
    pub processes: Vec<InspectedProcess>,
    /// Mappings of all of them by name, largest first; `None` where those were not read.
    pub mappings: Option<Vec<MappingTotal>>,
    /// Open files of all of them by kind, most first.
    pub fds: Option<IndexMap<String, u64>>,
    /// The pod's spec against every file of its path, where a pod was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<crate::kubernetes::limits_in_force::InForce>,
    /// What is not known, and why.
    pub gaps: Vec<Gap>,
}

/// What was asked for and what that is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// In the words of who asked.
    pub asked: Untrusted,
    /// The cgroup, as the kernel's log calls it.
    pub cgroup: Untrusted,
    /// The number of the cgroup's folder: another one for a cgroup that was removed and made again.
    pub inode: Option<u64>,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The one process that was asked for; the rest of its cgroup was not looked into then.
    pub pid: Option<u32>,
    /// Whose cgroup it is.
    pub identity: Option<Identity>,
}

/// One cgroup of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// What is in force here.
    pub limits: Limits,
    /// Charged to it and to what is below it.
    pub usage_bytes: Option<Bytes>,
    /// The highest charge since it was made, exact where the kernel keeps one (v1 unless somebody reset it, v2 ≥ 5.19).
    pub peak_bytes: Option<Bytes>,
    /// Up to its own limit; `None` where there is no limit or one of the two is unknown, 0 beyond it.
    pub headroom_bytes: Option<Bytes>,
    /// How often limits were met and processes killed, since it was made.
    pub counters: Counters,
}

impl Level {
    /// With [`Level::headroom_bytes`] worked out.
    #[must_use]
    pub fn new(
        cgroup: Untrusted,
        limits: Limits,
        usage_bytes: Option<Bytes>,
        peak_bytes: Option<Bytes>,
        counters: Counters,
    ) -> Self {
        let limit = limits.max_bytes.and_then(Limit::bytes);
        let headroom_bytes = limit.zip(usage_bytes).map(|(limit, usage)| Bytes(limit.0.saturating_sub(usage.0)));
        Self { cgroup, limits, usage_bytes, peak_bytes, headroom_bytes, counters }
    }
}

/// A pressure file: shares of time in percent, and totals since the cgroup was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stalls {
    /// Some task was stalled.
    pub some: Option<Stall>,
    /// Every task that could have run was.
    pub full: Option<Stall>,
}

/// One line of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Of the last ten seconds, as the kernel averages: older time counts less and less.
    pub avg10_percent: f64,
    /// Of the last minute.
    pub avg60_percent: f64,
    /// Of the last five minutes.
    pub avg300_percent: f64,
    /// In all, in microseconds.
    pub total_us: u64,
}

/// A process with its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectedProcess {
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// What /proc says of it. The mappings are its largest ones; [`Inspection::mappings`] has the sums of all.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

impl InspectedProcess {
    /// Its share of the memory: PSS, else what is resident, whose shared part counts in every process.
    #[must_use]
    pub fn share(&self) -> Option<Bytes> {
        self.snapshot.pss_bytes.or_else(|| self.snapshot.process.rss())
    }

    /// How many open files.
    #[must_use]
    pub fn fd_count(&self) -> Option<u64> {
        self.snapshot.fds.as_ref().map(|fds| fds.values().fold(0u64, |sum, n| sum.saturating_add(*n)))
    }
}

impl Inspection {
    /// What the kernel can take back without writing to swap, and what it cannot.
    #[must_use]
    pub fn reclaimable(&self) -> Option<(Bytes, Bytes)> {
        let memory = self.memory.as_ref()?;
        let sum = |wanted: bool| {
            let parts = memory.parts.iter().filter(|part| part.reclaimable == wanted);
            Bytes(parts.fold(0, |sum: u64, part| sum.saturating_add(part.bytes)))
        };
        Some((sum(true), sum(false)))
    }

    /// The level at which the least is left below the limit: of equals the outermost, to which the most is charged.
    #[must_use]
    pub fn tightest(&self) -> Option<&Level> {
        self.levels.iter().rev().filter(|level| level.headroom_bytes.is_some()).min_by_key(|level| level.headroom_bytes)
    }

    /// tmpfs and shared memory that certainly no process here has mapped: files in an emptyDir with medium Memory, in
    /// /dev/shm, or a memfd that is written to. `None` where it is not known of every process what it has mapped.
    ///
    /// Each page that is mapped at all stands in the resident size of at least one process, so what is charged beyond the sum
    /// of those is in no process. Pages that several processes have mapped make the sum larger: the true figure may be higher.
    #[must_use]
    pub fn unmapped_shmem(&self) -> Option<Bytes> {
        if self.target.pid.is_some() {
            return None;
        }
        let mapped = self
            .processes
            .iter()
            .try_fold(0u64, |sum, p| p.snapshot.process.shmem_bytes.map(|bytes| sum.saturating_add(bytes.0)))?;
        let charged = self.memory.as_ref()?.shmem();
        Some(Bytes(charged.0.saturating_sub(mapped)))
    }
}
