//! What a cgroup's charge consists of, v1 and v2 in the same terms.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::formats::cgroup::Version;

/// Kinds of memory of one cgroup and all below it, in bytes. `None`: this kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// Anonymous pages that are mapped.
    pub anon: Option<u64>,
    /// Page cache, tmpfs and shared memory included.
    pub file: Option<u64>,
    /// tmpfs and shared memory.
    pub shmem: Option<u64>,
    /// Page cache that was not used lately: what the kubelet takes off usage for the working set.
    pub inactive_file: Option<u64>,
    /// All kernel memory; on v1 the only number of it.
    pub kernel: Option<u64>,
    /// Slab that can be given up.
    pub slab_reclaimable: Option<u64>,
    /// Slab that cannot.
    pub slab_unreclaimable: Option<u64>,
    /// Stacks of threads.
    pub kernel_stack: Option<u64>,
    /// Page tables.
    pub page_tables: Option<u64>,
    /// Page tables of virtual machines.
    pub sec_page_tables: Option<u64>,
    /// Counters of each CPU.
    pub percpu: Option<u64>,
    /// vmalloc, without stacks.
    pub vmalloc: Option<u64>,
    /// Compressed swap.
    pub zswap: Option<u64>,
    /// Huge pages, where they are accounted as memory (mount option `memory_hugetlb_accounting`, 6.7 and newer).
    pub hugetlb: Option<u64>,
}

impl Charged {
    /// Of `memory.stat`; `kmem` is v1's `memory.kmem.usage_in_bytes`.
    #[must_use]
    pub fn of(stat: &IndexMap<String, u64>, version: Version, kmem: Option<u64>) -> Self {
        let get = |name: &str| stat.get(name).copied();
        match version {
            Version::V1 => Self {
                anon: get("total_rss"),
                file: get("total_cache"),
                shmem: get("total_shmem"),
                inactive_file: get("total_inactive_file"),
                kernel: kmem,
                ..Self::default()
            },
            Version::V2 => Self {
                anon: get("anon"),
                file: get("file"),
                shmem: get("shmem"),
                inactive_file: get("inactive_file"),
                kernel: get("kernel"),
                slab_reclaimable: get("slab_reclaimable"),
                slab_unreclaimable: get("slab_unreclaimable"),
                kernel_stack: get("kernel_stack"),
                page_tables: get("pagetables"),
                sec_page_tables: get("sec_pagetables"),
                percpu: get("percpu"),
                vmalloc: get("vmalloc"),
                zswap: get("zswap"),
                hugetlb: get("hugetlb"),
            },
        }
    }

    /// Page cache alone.
    #[must_use]
    pub fn cache(&self) -> Option<u64> {
        Some(self.file?.saturating_sub(self.shmem?))
    }
}
