//! Where all of a machine's memory is, as one account that adds up to the byte.
//!
//! # The identity
//!
//! `MemTotal` (what the kernel manages; what the firmware and the kernel's own image keep is outside of it) is
//!
//! ```text
//! MemTotal = Σ charge of the topmost cgroups            kubepods, system, user, other_cgroups
//!          + (AnonPages − Σ anon)                       outside_cgroups: processes in the root cgroup
//!          + (kernel kinds − Σ the same, charged)       kernel
//!          + (Shmem − Σ shmem)                          shared_memory
//!          + (Cached − Shmem + Buffers − Σ (file − shmem))   page_cache
//!          + Hugetlb − Σ hugetlb                        hugepages
//!          + MemFree + pages on the lists of CPUs         free
//!          + remainder
//! ```
//!
//! with Σ over the topmost cgroups. A page is charged to one cgroup and counted in all above it, so the topmost ones cover everything that is
//! charged, also what was left behind by cgroups that are gone; what the kernel counts beyond the sum of what they are charged
//! with is charged to nobody. Kernel kinds are `SReclaimable`, `SUnreclaim`, `KernelStack`, `PageTables`, `SecPageTables`, `Percpu`,
//! `VmallocUsed − KernelStack` and compressed swap.
//! Sources: fs/proc/meminfo.c; mm/memcontrol.c `memory_stats[]`; mm/memcontrol-v1.c `memcg1_stats[]`; Linux 6.12.
//!
//! # Where counts overlap or lag
//!
//! - Kernel stacks are vmalloc memory where the kernel has `VMAP_STACK` (x86, arm64), so they are taken out of `VmallocUsed`.
//! - v1 tells kernel memory of a cgroup as one number (`memory.kmem.usage_in_bytes`): the kinds are then of all of it, with what is charged
//!   taken off in one (negative) part. v2 tells the kinds.
//! - Network buffers are charged by their size in the books of sockets (`sock`), and partly lie in slab as well: counted twice, the
//!   remainder is smaller by as much. `SwapCached` pages are in no part: those that are mapped are in `AnonPages`.
//! - The charge of a cgroup is taken from the page counter, which runs ahead of its statistics by up to 64 pages a CPU (`MEMCG_CHARGE_BATCH`)
//!   and 2 s (`FLUSH_TIME`). A parent is read at another instant than its children: of its own charge and their sum the larger counts.
//! - What is then estimated from differences (the four parts in the middle) may together exceed what is left; the last are cut to it, and
//!   [`Part::note`] says so. So the remainder is below zero only where charges and free memory alone exceed the total.
//!
//! Pages on the lists of CPUs (`pagesets` of /proc/zoneinfo) are free, but not in `MemFree`.
//!
//! The remainder is what drivers and the kernel took from the page allocator without any counter (GPU and DMA buffers, balloons, boot
//! allocations), plus all of the above inexactness.

mod account;
mod charged;
mod kubepods;
mod observed;
mod part;
mod pressure;
mod settle;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Gap;
use crate::kubernetes::eviction::Ranked;
use crate::next;
use crate::units::Bytes;

pub use charged::Charged;
pub use observed::{CgroupUse, MemoryVolume, Observed};
pub use part::Part;
pub use pressure::{Distance, Pressure, Reservation};
pub use settle::{Settings, settle};

/// What the JSON says of itself.
pub const SCHEMA: &str = "oomscope.node/v1";

/// The account of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was read.
    pub at: Option<Timestamp>,
    /// Name of the node, or of the machine.
    pub node: Option<String>,
    /// `MemTotal`.
    pub total_bytes: Bytes,
    /// Where it is. Their bytes add up to `total_bytes` exactly; each part's own parts add up to it.
    pub parts: Vec<Part>,
    /// What pods may use, what is kept from them, and what is outside of them.
    pub reservation: Reservation,
    /// How far the kubelet is from evicting.
    pub pressure: Pressure,
    /// In which order the kubelet would evict pods for memory. Empty where no pod's spec is known.
    pub eviction_order: Vec<Ranked>,
    /// In which order the kernel would kill processes if the machine ran out of memory.
    pub kill_order: Vec<next::Row>,
    /// Processes in that order that are not listed.
    pub kill_order_omitted: u64,
    /// What could not be found out.
    pub gaps: Vec<Gap>,
}

impl Ledger {
    /// A part, by its name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}

#[cfg(test)]
mod tests;
