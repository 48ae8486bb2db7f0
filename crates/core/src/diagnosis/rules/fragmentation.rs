//! Free memory, but no free block of the size that was wanted.
//!
//! The page allocator gives 2^order contiguous pages. Up to order 3 (32 KiB) it rather kills than fails
//! (`PAGE_ALLOC_COSTLY_ORDER`, mm/page_alloc.c), so memory in pieces can kill although plenty is free. Trips for an OOM of
//! the machine with order ≥ 1, when no zone has both a free block of that size and free memory above its watermark, while
//! some zone has free memory above its watermark. Without free lists (`27*4kB (UME)`) it cannot tell.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::{Part, Zone};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "fragmentation",
    about: "The machine had free memory, but not in a contiguous block of the size that was wanted.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_node_kill() {
        return Answer::Absent;
    }
    let Some(order) = facts.report.order else {
        return Answer::CannotTell(facts.missing("order of the allocation", Part::Header));
    };
    if order < 1 {
        return Answer::Absent;
    }
    if !facts.report.node_memory.as_ref().is_some_and(|m| m.zones.iter().any(|z| !z.free_blocks.is_empty())) {
        return Answer::CannotTell(facts.missing("free lists of the machine's memory", Part::NodeMemory));
    }
    let Some(block) = block_wanted(facts) else { return Answer::Absent };
    Found::that(
        "Memory was free, but in pieces",
        format!("The allocation wanted {block} in one piece (order {order}); zones with free memory above their watermark had no such block."),
        &[Part::Header, Part::NodeMemory],
    )
    .advise(
        Rank::Cause,
        "Keep more memory free for contiguous blocks",
        "A somewhat higher vm.min_free_kbytes lets compaction succeed; the call trace shows which driver or socket asks for large blocks, and \
         newer kernels ask for fewer of them.",
        Some(match reserve_kib(facts) {
            Some(kib) => format!("sysctl -w vm.min_free_kbytes={kib}\necho 1 > /proc/sys/vm/compact_memory"),
            None => "echo 1 > /proc/sys/vm/compact_memory".to_owned(),
        }),
    )
    .into()
}

/// A `vm.min_free_kbytes` above the present one that the machine can spare; `None` where there is none or the sizes are not in the log.
/// It is 2 % of the memory, 256 MiB at most: what is kept free is lost to processes, and too much of it makes an OOM by itself.
fn reserve_kib(facts: &Facts<'_>) -> Option<u64> {
    const MOST_KIB: u64 = 256 << 10;
    let memory = facts.report.node_memory.as_ref()?;
    let spare = (memory.ram_bytes?.0 / 50 / 1024).min(MOST_KIB);
    let present =
        memory.zones.iter().try_fold(0u64, |sum, zone| zone.min_bytes.map(|min| sum.saturating_add(min.0)))?;
    (spare > present.div_ceil(1024)).then_some(spare)
}

/// The size of the block, where lack of a block and not of memory was the reason.
pub(in crate::diagnosis) fn block_wanted(facts: &Facts<'_>) -> Option<Bytes> {
    let order = facts.report.order.filter(|o| *o >= 1)?;
    if !facts.is_node_kill() {
        return None;
    }
    let block = words::block(order, facts.page_size);
    let roomy: Vec<&Zone> = facts.report.node_memory.as_ref()?.zones.iter().filter(|z| has_room(z, block)).collect();
    let none_has = roomy.iter().all(|z| !z.free_blocks.iter().any(|b| b.block_bytes >= block && b.count > 0));
    (!roomy.is_empty() && none_has).then_some(block)
}

/// Free memory clearly above the watermark, of which the free lists are known.
fn has_room(zone: &Zone, block: Bytes) -> bool {
    match (zone.free_bytes, zone.min_bytes) {
        (Some(free), Some(min)) => {
            !zone.free_blocks.is_empty() && free.0 > min.0.saturating_add(min.0 / 4).saturating_add(block.0)
        }
        _ => false,
    }
}
