//! `memory.stat`: what the charge consists of.
//!
//! The two versions use the same words for different things. v2 `file` and v1 `cache` hold tmpfs and shared memory as well,
//! which cannot be reclaimed without swap and kill processes with hardly any resident memory; they are told apart here. v1 has
//! each number twice, of which the `total_` one counts what is below the cgroup too, as v2 always does.
//! Source: `memory_stat_format` in mm/memcontrol.c, `memcg1_stat_format` in mm/memcontrol-v1.c.

use indexmap::IndexMap;

use super::{Version, pairs};
use crate::recorder::{Sample, Series};

/// Puts what `memory.stat` says into a sample. What it does not say stays as it was.
///
/// v1 has no slab (all kernel memory is in `memory.kmem.usage_in_bytes`), and its network buffers are counted apart from
/// the charge, so [`Series::Sock`] stays unknown there. v2 keeps swap in a file of its own.
pub fn fill_from_stat(sample: &mut Sample, text: &[u8], version: Version) {
    match version {
        Version::V1 => fill_v1(sample, text),
        Version::V2 => fill_v2(sample, text),
    }
}

/// Every number of `memory.stat`, by the kernel's name for it. Of names that are repeated the last counts, as everywhere here; there
/// are about sixty, and never more than 1024 are taken.
#[must_use]
pub fn stat(text: &[u8]) -> IndexMap<String, u64> {
    let readable = |(key, value): (&[u8], u64)| Some((std::str::from_utf8(key).ok()?.to_owned(), value));
    pairs(text).take(MOST_NAMES).filter_map(readable).collect()
}

/// NUMA machines have no more of them: those are in `memory.numa_stat`.
const MOST_NAMES: usize = 1024;

fn fill_v1(sample: &mut Sample, text: &[u8]) {
    let mut cache = None;
    for (key, value) in pairs(text) {
        match key {
            b"total_cache" => cache = Some(value),
            b"total_shmem" => sample.set(Series::Shmem, Some(value)),
            b"total_rss" => sample.set(Series::Anon, Some(value)),
            // Only where swap is accounted.
            b"total_swap" => sample.set(Series::Swap, Some(value)),
            _ => {}
        }
    }
    set_file(sample, cache);
}

fn fill_v2(sample: &mut Sample, text: &[u8]) {
    let (mut file, mut kernel, mut parts) = (None, None, KernelParts::default());
    for (key, value) in pairs(text) {
        match key {
            b"anon" => sample.set(Series::Anon, Some(value)),
            b"file" => file = Some(value),
            b"shmem" => sample.set(Series::Shmem, Some(value)),
            b"sock" => sample.set(Series::Sock, Some(value)),
            b"slab_reclaimable" => sample.set(Series::SlabReclaimable, Some(value)),
            b"slab_unreclaimable" => sample.set(Series::SlabUnreclaimable, Some(value)),
            b"kernel" => kernel = Some(value),
            b"slab" => parts.slab = Some(value),
            b"kernel_stack" | b"pagetables" | b"percpu" => parts.others = parts.others.saturating_add(value),
            _ => {}
        }
    }
    set_file(sample, file);
    if let Some(kernel) = kernel.or_else(|| parts.sum()) {
        sample.set(Series::Kernel, Some(kernel));
    }
}

/// Page cache alone. The counters are read one after the other while they change, so the part may for a moment exceed the whole.
fn set_file(sample: &mut Sample, with_shmem: Option<u64>) {
    if let (Some(all), Some(shmem)) = (with_shmem, sample.get(Series::Shmem)) {
        sample.set(Series::File, Some(all.saturating_sub(shmem)));
    }
}

/// What kernels before 5.18, which have no `kernel`, say of it. `pagetables` came with 5.11, `percpu` with 5.9: what is missing
/// there is charged, but not told.
#[derive(Default)]
struct KernelParts {
    slab: Option<u64>,
    others: u64,
}

impl KernelParts {
    fn sum(&self) -> Option<u64> {
        self.slab.map(|slab| slab.saturating_add(self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::BootTime;

    fn read(text: &str, version: Version) -> Sample {
        let mut sample = Sample::new(BootTime(1));
        fill_from_stat(&mut sample, text.as_bytes(), version);
        sample
    }

    /// tmpfs is not page cache, and the kernel's own sum is taken where it has one.
    #[test]
    fn v2() {
        let stat = "anon 100\nfile 50\nkernel 40\nkernel_stack 1\npagetables 2\nsec_pagetables 0\npercpu 3\nsock 7\nvmalloc 5\n\
                    shmem 20\nslab_reclaimable 8\nslab_unreclaimable 9\nslab 17\nworkingset_refault_anon 0\n";
        let expected = Sample::new(BootTime(1))
            .with(Series::Anon, 100)
            .with(Series::File, 30)
            .with(Series::Shmem, 20)
            .with(Series::Kernel, 40)
            .with(Series::Sock, 7)
            .with(Series::SlabReclaimable, 8)
            .with(Series::SlabUnreclaimable, 9);
        assert_eq!(read(stat, Version::V2), expected);
    }

    /// Before 5.18 kernel memory is the sum of its parts, slab counted once.
    #[test]
    fn v2_without_a_sum() {
        let stat = "anon 1\nfile 2\nkernel_stack 10\npercpu 20\nsock 9\nshmem 0\nslab_reclaimable 3\nslab_unreclaimable 4\nslab 7\n";
        assert_eq!(read(stat, Version::V2).get(Series::Kernel), Some(37));
        assert_eq!(read("kernel_stack 10\npercpu 20\n", Version::V2).get(Series::Kernel), None);
    }

    /// The hierarchical numbers are taken, not the cgroup's own that come before them.
    #[test]
    fn v1() {
        let stat = "cache 1\nrss 1\nshmem 1\nswap 1\nhierarchical_memory_limit 5\ntotal_cache 90\ntotal_rss 70\ntotal_rss_huge 60\n\
                    total_shmem 30\ntotal_swap 4\n";
        let expected = Sample::new(BootTime(1))
            .with(Series::Anon, 70)
            .with(Series::File, 60)
            .with(Series::Shmem, 30)
            .with(Series::Swap, 4);
        assert_eq!(read(stat, Version::V1), expected);
    }

    /// Every number is kept by its name, and damaged lines are passed over.
    #[test]
    fn by_name() {
        let all = stat(b"anon 1\nfile x\nnewer_thing 7\n\xff 3\n\nanon 2\n");
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [("anon".to_owned(), 2), ("newer_thing".to_owned(), 7)]);
    }

    /// Damaged lines leave their series unknown, and what depends on them; a part larger than the whole is not a huge rest.
    #[test]
    fn damage() {
        let damaged =
            read("anon\nfile 50\nshmem -1\nsock 1 2\nslab_reclaimable 99999999999999999999\n\0\n", Version::V2);
        assert_eq!(damaged, Sample::new(BootTime(1)));
        assert_eq!(read("file 10\nshmem 11\n", Version::V2).get(Series::File), Some(0));
        assert_eq!(read("slab 18446744073709551615\npercpu 1\n", Version::V2).get(Series::Kernel), Some(u64::MAX));
    }
}
