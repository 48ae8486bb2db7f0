//! Where the memory went: the charged bytes of a cgroup, or of the machine, split so that nothing is counted twice.
//!
//! The kernel's statistics overlap. cgroup v2 `file` (and v1 `cache`) contains `shmem`, and swap cache is in it too; `kernel`
//! (kernel ≥ 5.18) contains slab, stacks, page tables and more; v1 prints names of its own, in a `total_` form for the
//! subtree, and before 5.3 one line for each cgroup below. What the statistics leave over is kept as *unaccounted*: on
//! kernels without `kernel` that is where pipes and other kernel buffers are, and always what per-CPU batches have charged
//! ahead (`MEMCG_CHARGE_BATCH`, 64 pages a CPU, mm/memcontrol.c).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::facts::list_contains;
use crate::evidence::{KernelReport, NodeMemory, Zone};
use crate::units::{Bytes, Limit};

/// One kind of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// `anonymous`, `tmpfs and shared memory`, `file cache`, `slab`, …
    pub name: String,
    /// How much.
    pub bytes: u64,
    /// Whether the kernel may drop it without writing to swap. Under pressure even such memory can be stuck: dirty,
    /// locked, or protected.
    pub reclaimable: bool,
}

/// A split of what was used. The bytes of `parts` and `unaccounted_bytes` together are `usage_bytes` plus `overcounted_bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Charged to the cgroup; for the machine, everything that is not free.
    pub usage_bytes: u64,
    /// Its limit, `null` where there is none or the log does not say; for the machine, what the kernel manages.
    pub limit_bytes: Option<u64>,
    /// Largest first, without empty ones.
    pub parts: Vec<MemoryPart>,
    /// Used, but in none of the parts.
    pub unaccounted_bytes: u64,
    /// By how much the parts exceed the usage: the kernel updates statistics lazily.
    pub overcounted_bytes: u64,
}

/// What is counted of a cgroup besides its statistics; `None` where it is not known, or where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Charged.
    pub usage: Option<Bytes>,
    /// Its limit.
    pub limit: Option<Bytes>,
    /// All kernel memory (v1 `memory.kmem.usage_in_bytes`); v2 has it in the statistics.
    pub kernel: Option<Bytes>,
}

/// What kind of thing most of the memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// The processes' own memory.
    Anon,
    /// tmpfs and shared memory.
    Shmem,
    /// Kernel memory: slab, buffers, page tables, stacks.
    Kernel,
    /// File cache.
    Cache,
    /// The statistics do not say.
    Unaccounted,
}

/// Names of parts: the report's bar shows them.
const ANON: &str = "anonymous";
const SHMEM: &str = "tmpfs and shared memory";
const ANON_AND_SHMEM: &str = "anonymous and shared memory";
const CACHE: &str = "file cache";
const HUGETLB: &str = "huge pages set aside";
const MLOCKED: &str = "locked (unevictable)";

impl MemoryUse {
    /// The limit cgroup's memory, or the machine's; `None` where the log has no statistics.
    #[must_use]
    pub fn of(report: &KernelReport) -> Option<Self> {
        match (&report.memory_stat, &report.node_memory) {
            (Some(stat), _) => {
                let limit = report.limit_bytes.and_then(|l| Limit::from_printed(l).bytes());
                let counted = Counted { usage: report.usage_bytes, limit, kernel: report.kmem.map(|k| k.usage_bytes) };
                Self::of_cgroup(counted, &Stat { own: stat, below: &report.subtree_stat })
            }
            (None, Some(node)) => Self::of_node(node),
            (None, None) => None,
        }
    }

    /// A living cgroup's, from its `memory.stat` and the numbers of its other files; `None` where the statistics are of no
    /// memory cgroup.
    #[must_use]
    pub fn of_files(stat: &IndexMap<String, u64>, counted: Counted) -> Option<Self> {
        Self::of_cgroup(counted, &Stat { own: stat, below: &IndexMap::new() })
    }

    fn of_cgroup(counted: Counted, stat: &Stat<'_>) -> Option<Self> {
        let anon = stat.either("anon", "rss")?;
        let cached = stat.either("file", "cache").unwrap_or(0);
        let shmem = stat.sum("shmem").or_else(|| stat.shmem_of_lru(anon)).unwrap_or(0).min(cached);
        // Pages of the swap cache are counted as file pages as well (mm/swap_state.c, `add_to_swap_cache()`).
        let cache = (cached - shmem).saturating_sub(stat.sum("swapcached").unwrap_or(0));
        let slab_free = stat.sum("slab_reclaimable").unwrap_or(0);
        let mut parts = vec![
            part(ANON, anon, false),
            part(SHMEM, shmem, false),
            part(CACHE, cache, true),
            part("slab (reclaimable)", slab_free, true),
        ];
        let mut itemised = slab_free;
        for (key, name) in KERNEL_PARTS {
            let bytes = stat.sum(key).unwrap_or(0);
            itemised = itemised.saturating_add(bytes);
            parts.push(part(name, bytes, false));
        }
        // v1 counts all kernel memory in a counter of its own, which `memory: usage` includes.
        if let Some(kernel) = stat.sum("kernel").or(counted.kernel.map(|k| k.0)) {
            parts.push(part("other kernel memory", kernel.saturating_sub(itemised), false));
        }
        // Socket buffers are charged beside `kernel`, not within it (mm/memcontrol.c, `mem_cgroup_charge_skmem()`).
        parts.push(part("socket buffers", stat.sum("sock").unwrap_or(0), false));
        // Only where the cgroup mount has `memory_hugetlb_accounting` are they part of the usage; then the key is there.
        parts.push(part(HUGETLB, stat.sum("hugetlb").unwrap_or(0), false));
        let usage = counted.usage.map_or_else(|| total(&parts), |u| u.0);
        Some(Self::balanced(usage, counted.limit.map(|l| l.0), parts))
    }

    /// `Mem-Info`: what is not free, of what the page allocator manages.
    fn of_node(node: &NodeMemory) -> Option<Self> {
        let get = |key: &str| node.totals_bytes.get(key).copied();
        let lru = |kind: &str| {
            get(&format!("active_{kind}")).zip(get(&format!("inactive_{kind}"))).map(|(a, i)| a.saturating_add(i))
        };
        let of_zones = |key: &str| {
            node.zones.iter().filter_map(|z| z.counters_bytes.get(key)).fold(0, |a: u64, b| a.saturating_add(*b))
        };
        let managed = managed_bytes(node)?;
        let free = get("free").filter(|free| *free <= managed)?;
        // Shared memory is on the anonymous lists.
        let shmem = get("shmem").unwrap_or(0);
        let anon = lru("anon")?.saturating_add(get("isolated_anon").unwrap_or(0)).saturating_sub(shmem);
        let parts = vec![
            part(ANON, anon, false),
            part(SHMEM, shmem, false),
            part(CACHE, lru("file")?.saturating_add(get("isolated_file").unwrap_or(0)), true),
            part(MLOCKED, get("unevictable").unwrap_or(0), false),
            part("slab (reclaimable)", get("slab_reclaimable").unwrap_or(0), true),
            part("slab (unreclaimable)", get("slab_unreclaimable").unwrap_or(0), false),
            part("page tables", get("pagetables").unwrap_or(0), false),
            part("kernel stacks", get("kernel_stack").unwrap_or_else(|| of_zones("kernel_stack")), false),
            part(HUGETLB, node.hugetlb_bytes.map_or(0, |b| b.0), false),
        ];
        Some(Self::balanced(managed.saturating_sub(free), Some(managed), parts))
    }

    /// What is known of some memory nodes alone: their zones' lists, on which shared memory is among the anonymous, and nothing
    /// of what the kernel holds there. `nodes` as printed; `None` where the log has not their zones.
    #[must_use]
    pub(super) fn of_nodes(node: &NodeMemory, nodes: &str) -> Option<Self> {
        let zones: Vec<_> = node.zones.iter().filter(|zone| list_contains(nodes, zone.node)).collect();
        let sum = |bytes: &dyn Fn(&Zone) -> Option<u64>| {
            zones.iter().try_fold(0u64, |sum, zone| bytes(zone).map(|b| sum.saturating_add(b)))
        };
        let counted = |keys: &[&str]| {
            keys.iter().fold(0u64, |total, key| {
                total.saturating_add(sum(&|zone| zone.counters_bytes.get(*key).copied()).unwrap_or(0))
            })
        };
        let managed = sum(&|zone| zone.managed_bytes.map(|b| b.0)).filter(|managed| *managed > 0)?;
        let free = sum(&|zone| zone.free_bytes.map(|b| b.0)).filter(|free| *free <= managed)?;
        let parts = vec![
            part(ANON_AND_SHMEM, counted(&["active_anon", "inactive_anon"]), false),
            part(CACHE, counted(&["active_file", "inactive_file"]), true),
            part(MLOCKED, counted(&["unevictable"]), false),
        ];
        Some(Self::balanced(managed - free, Some(managed), parts))
    }

    fn balanced(usage_bytes: u64, limit_bytes: Option<u64>, mut parts: Vec<MemoryPart>) -> Self {
        parts.retain(|p| p.bytes > 0);
        parts.sort_by_key(|p| std::cmp::Reverse(p.bytes));
        let sum = total(&parts);
        Self {
            usage_bytes,
            limit_bytes,
            parts,
            unaccounted_bytes: usage_bytes.saturating_sub(sum),
            overcounted_bytes: sum.saturating_sub(usage_bytes),
        }
    }

    /// Anonymous memory.
    #[must_use]
    pub fn anon(&self) -> Bytes {
        self.named(ANON)
    }

    /// tmpfs and shared memory.
    #[must_use]
    pub fn shmem(&self) -> Bytes {
        self.named(SHMEM)
    }

    /// File cache without tmpfs.
    #[must_use]
    pub fn cache(&self) -> Bytes {
        self.named(CACHE)
    }

    /// Slab, stacks, page tables, buffers: what the kernel holds for the processes.
    #[must_use]
    pub fn kernel(&self) -> Bytes {
        let other = [ANON, SHMEM, ANON_AND_SHMEM, CACHE, HUGETLB, MLOCKED];
        Bytes(
            self.parts
                .iter()
                .filter(|p| !other.contains(&p.name.as_str()))
                .fold(0, |sum, p| sum.saturating_add(p.bytes)),
        )
    }

    /// The largest kind.
    #[must_use]
    pub fn filler(&self) -> Filler {
        let kinds = [
            (self.anon().0, Filler::Anon),
            (self.shmem().0, Filler::Shmem),
            (self.kernel().0, Filler::Kernel),
            (self.cache().0, Filler::Cache),
            (self.unaccounted_bytes, Filler::Unaccounted),
        ];
        // Of equals the first, so that an empty cgroup reads as the ordinary kind.
        kinds.into_iter().rev().max_by_key(|(bytes, _)| *bytes).map_or(Filler::Anon, |(_, kind)| kind)
    }

    /// Bytes of the part with this name, 0 where there is none of it.
    #[must_use]
    pub fn named(&self, name: &str) -> Bytes {
        Bytes(self.parts.iter().find(|p| p.name == name).map_or(0, |p| p.bytes))
    }
}

/// Parts of `kernel`, by the kernel's key (mm/memcontrol.c, `memory_stats[]`). `slab` is the sum of two and left out.
const KERNEL_PARTS: &[(&str, &str)] = &[
    ("slab_unreclaimable", "slab (unreclaimable)"),
    ("kernel_stack", "kernel stacks"),
    ("pagetables", "page tables"),
    ("sec_pagetables", "page tables of guests and devices"),
    ("percpu", "per-CPU memory"),
    ("vmalloc", "vmalloc"),
    ("zswap", "compressed swap (zswap)"),
];

fn part(name: &str, bytes: u64, reclaimable: bool) -> MemoryPart {
    MemoryPart { name: name.to_owned(), bytes, reclaimable }
}

fn total(parts: &[MemoryPart]) -> u64 {
    parts.iter().fold(0, |sum, p| sum.saturating_add(p.bytes))
}

/// Memory under the page allocator's control: RAM without what the kernel reserved at boot, else the zones' own count. The
/// zones come second because only those of allowed nodes are printed (`SHOW_MEM_FILTER_NODES`).
#[must_use]
pub(super) fn managed_bytes(node: &NodeMemory) -> Option<u64> {
    let ram = node.ram_bytes.zip(node.reserved_bytes).map(|(ram, reserved)| ram.0.saturating_sub(reserved.0));
    ram.filter(|bytes| *bytes > 0).or_else(|| {
        let mut zones = node.zones.iter().map(|z| z.managed_bytes.map(|b| b.0));
        zones.try_fold(0u64, |sum, b| b.map(|b| sum.saturating_add(b))).filter(|sum| *sum > 0)
    })
}

/// `memory_stat` of the limit cgroup, which either counts its whole subtree itself or leaves that to lines of its own.
struct Stat<'a> {
    own: &'a IndexMap<String, u64>,
    below: &'a IndexMap<String, IndexMap<String, u64>>,
}

impl Stat<'_> {
    /// The whole subtree's count of `key`.
    fn sum(&self, key: &str) -> Option<u64> {
        if let Some(total) = self.own.get(&format!("total_{key}")) {
            return Some(*total);
        }
        let below = self.below.values().filter_map(|s| s.get(key)).fold(0, |sum: u64, b| sum.saturating_add(*b));
        self.own.get(key).map(|own| own.saturating_add(below))
    }

    /// By the v2 name, else by the v1 name.
    fn either(&self, v2: &str, v1: &str) -> Option<u64> {
        self.sum(v2).or_else(|| self.sum(v1))
    }

    /// Kernels before 4.13 print no `shmem`: it is what the anonymous lists hold beyond anonymous memory.
    fn shmem_of_lru(&self, anon: u64) -> Option<u64> {
        Some(self.sum("inactive_anon")?.saturating_add(self.sum("active_anon")?).saturating_sub(anon))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pairs: &[(&str, u64)]) -> IndexMap<String, u64> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
    }

    fn report(usage: u64, pairs: &[(&str, u64)]) -> KernelReport {
        KernelReport { usage_bytes: Some(Bytes(usage)), memory_stat: Some(stat(pairs)), ..KernelReport::default() }
    }

    fn balances(m: &MemoryUse) {
        assert_eq!(total(&m.parts) + m.unaccounted_bytes, m.usage_bytes + m.overcounted_bytes);
    }

    /// cgroup v2, scenario f of 6.12: tmpfs is counted once, not as file and as shmem.
    #[test]
    fn v2_counts_tmpfs_once() {
        let m = MemoryUse::of(&report(
            50_331_648,
            &[
                ("anon", 11_296_768),
                ("file", 38_912_000),
                ("kernel", 122_880),
                ("pagetables", 28_672),
                ("shmem", 38_912_000),
            ],
        ))
        .unwrap();
        assert_eq!((m.shmem(), m.cache(), m.filler()), (Bytes(38_912_000), Bytes(0), Filler::Shmem));
        assert_eq!(m.kernel(), Bytes(122_880));
        balances(&m);
    }

    /// Pipe buffers are in `kernel` and in no item of it (scenario h of 6.12), or in no statistic at all (5.10).
    #[test]
    fn pipes_are_other_kernel_memory() {
        let new = MemoryUse::of(&report(
            33_554_432,
            &[("anon", 6_144_000), ("kernel", 27_410_432), ("slab_reclaimable", 340_344)],
        ))
        .unwrap();
        assert_eq!(new.named("other kernel memory"), Bytes(27_070_088));
        assert_eq!(new.filler(), Filler::Kernel);
        let old = MemoryUse::of(&report(33_554_432, &[("anon", 6_144_000), ("file", 0)])).unwrap();
        assert_eq!((old.unaccounted_bytes, old.filler()), (27_410_432, Filler::Unaccounted));
        balances(&new);
        balances(&old);
    }

    /// v1 names: the subtree's totals where they are printed, else the sum over the cgroups below; shmem from the lists.
    #[test]
    fn v1_counts_the_subtree() {
        let totals = MemoryUse::of(&report(
            100,
            &[("rss", 1), ("cache", 0), ("total_rss", 60), ("total_cache", 30), ("total_shmem", 10)],
        ))
        .unwrap();
        assert_eq!(
            (totals.anon(), totals.shmem(), totals.cache(), totals.unaccounted_bytes),
            (Bytes(60), Bytes(10), Bytes(20), 10)
        );
        let mut lines = report(100, &[("rss", 0), ("cache", 0), ("inactive_anon", 0), ("active_anon", 0)]);
        lines
            .subtree_stat
            .insert("/a".into(), stat(&[("rss", 50), ("cache", 40), ("inactive_anon", 30), ("active_anon", 50)]));
        let lines = MemoryUse::of(&lines).unwrap();
        assert_eq!((lines.anon(), lines.shmem(), lines.cache()), (Bytes(50), Bytes(30), Bytes(10)));
    }

    /// Of a machine of which one node was allowed, only that node's zones count.
    #[test]
    fn one_node_of_several() {
        let zone = |node, free, anon| Zone {
            node,
            free_bytes: Some(Bytes(free)),
            managed_bytes: Some(Bytes(100)),
            counters_bytes: stat(&[("active_anon", anon), ("inactive_anon", 5)]),
            ..Zone::default()
        };
        let machine =
            NodeMemory { zones: vec![zone(0, 90, 1), zone(1, 10, 60), zone(1, 0, 70)], ..NodeMemory::default() };
        let one = MemoryUse::of_nodes(&machine, "1").unwrap();
        assert_eq!((one.usage_bytes, one.limit_bytes, one.unaccounted_bytes), (190, Some(200), 50));
        assert_eq!(one.named("anonymous and shared memory"), Bytes(140));
        balances(&one);
        assert_eq!(MemoryUse::of_nodes(&machine, "2"), None);
    }

    /// Statistics that ran ahead of the usage are not bent to fit; numbers from a hostile log do not overflow.
    #[test]
    fn more_than_used() {
        let m = MemoryUse::of(&report(100, &[("anon", 120)])).unwrap();
        assert_eq!((m.unaccounted_bytes, m.overcounted_bytes), (0, 20));
        let huge = MemoryUse::of(&report(
            1,
            &[("anon", u64::MAX), ("file", u64::MAX), ("kernel", u64::MAX), ("sock", u64::MAX)],
        ))
        .unwrap();
        assert_eq!(huge.filler(), Filler::Anon);
    }
}
