//! Which zones of the machine were short.
//!
//! An ordinary allocation fails below a zone's `min` watermark (plus what is reserved for lower zones). On 32-bit machines the kernel
//! itself lives in `Normal` and `DMA`, so it can be out of memory with gigabytes free in `HighMem`; likewise a `GFP_DMA`
//! allocation can only use the lowest zone. Needs Mem-Info; the check is against the numbers printed, at the instant of
//! the report, which a few freed pages may already have changed: within a quarter of `min` counts as short.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::{Part, Zone};
use crate::text::escape;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "watermarks",
    about: "Which zones of the machine's memory were below their watermark, and whether only low memory was.",
    check,
};

const PARTS: &[Part] = &[Part::NodeMemory, Part::Header];

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_node_kill() {
        return Answer::Absent;
    }
    let zones = match &facts.report.node_memory {
        Some(memory) if !memory.zones.is_empty() => &memory.zones,
        _ => return Answer::CannotTell(facts.missing("zones of the machine's memory", Part::NodeMemory)),
    };
    let short: Vec<&Zone> = zones.iter().filter(|z| is_short(z)).collect();
    if short.is_empty() {
        return Answer::Absent;
    }
    let found = Found::that("Below the watermark", format!("{}.", words::list(short.iter().map(|z| state(z)))), PARTS);
    match only_low(zones, &short) {
        Some(high) => found
            .and(
                "Only low memory ran out",
                format!("{high} was free in HighMem, which the kernel's own data cannot use: a 32-bit kernel keeps those in the lowest 896 MiB."),
                PARTS,
            )
            .advise(
                Rank::Cause,
                "Use a 64-bit kernel",
                "More memory in the machine makes this worse, not better: its page structures also live in low memory.",
                None,
            )
            .into(),
        None => found.into(),
    }
}

fn is_short(zone: &Zone) -> bool {
    match (zone.free_bytes, zone.min_bytes) {
        (Some(free), Some(min)) => min.0 > 0 && free.0 <= min.0.saturating_add(min.0 / 4),
        _ => false,
    }
}

fn state(zone: &Zone) -> String {
    let name: String = escape(zone.name.as_bytes()).chars().take(16).collect();
    let (free, min) = zone.free_bytes.unwrap_or_default().side_by_side(zone.min_bytes.unwrap_or_default());
    format!("node {} {name}: {free} free, minimum {min}", zone.node)
}

/// What is free in HighMem, where that is plenty while a lower zone is short.
fn only_low(zones: &[Zone], short: &[&Zone]) -> Option<Bytes> {
    let high = zones.iter().filter(|z| z.name == "HighMem");
    let free = high.filter(|z| !is_short(z)).filter_map(|z| z.free_bytes).fold(0u64, |sum, b| sum.saturating_add(b.0));
    (free >= 64 << 20 && short.iter().any(|z| z.name != "HighMem")).then_some(Bytes(free))
}
