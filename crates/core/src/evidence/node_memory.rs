//! What `Mem-Info` says of the machine's memory at the instant of an OOM of the machine.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// Totals, zones and swap of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMemory {
    /// The totals of the first lines (`active_anon`, `slab_unreclaimable`, …), in bytes, by the kernel's names.
    pub totals_bytes: IndexMap<String, u64>,
    /// Zones with their watermarks.
    pub zones: Vec<Zone>,
    /// Page cache in all, from `N total pagecache pages`.
    pub pagecache_bytes: Option<Bytes>,
    /// Swap of the machine.
    pub swap: Option<Swap>,
    /// `N pages RAM`.
    pub ram_bytes: Option<Bytes>,
    /// `N pages reserved`.
    pub reserved_bytes: Option<Bytes>,
    /// Memory set aside as huge pages, used or not.
    pub hugetlb_bytes: Option<Bytes>,
}

/// `Free swap`, `Total swap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Not in use.
    pub free_bytes: Option<Bytes>,
    /// In all.
    pub total_bytes: Option<Bytes>,
}

/// One zone of one memory node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Memory node.
    pub node: u32,
    /// `DMA`, `DMA32`, `Normal`, `HighMem`, `Movable`.
    pub name: String,
    /// Free.
    pub free_bytes: Option<Bytes>,
    /// Watermark below which only the reserves are left.
    pub min_bytes: Option<Bytes>,
    /// Watermark at which kswapd wakes.
    pub low_bytes: Option<Bytes>,
    /// Watermark at which kswapd sleeps.
    pub high_bytes: Option<Bytes>,
    /// Under the page allocator's control.
    pub managed_bytes: Option<Bytes>,
    /// Every `name:NkB` of the line, in bytes, `free` … `free_cma`.
    pub counters_bytes: IndexMap<String, u64>,
    /// `all_unreclaimable? yes`.
    pub all_unreclaimable: Option<bool>,
    /// `lowmem_reserve[]`: pages kept from allocations that could use higher zones.
    pub lowmem_reserve_pages: Vec<u64>,
    /// Free blocks by size, smallest first.
    pub free_blocks: Vec<FreeBlocks>,
}

/// `27*4kB (UME)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeBlocks {
    /// Size of one block.
    pub block_bytes: Bytes,
    /// How many are free.
    pub count: u64,
    /// Migrate types that have one: `U`nmovable, `M`ovable, r`E`claimable, `H`ighatomic, `C`MA, `I`solate.
    pub types: Option<String>,
}
