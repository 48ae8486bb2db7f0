//! WHERE THE MEMORY WENT: a bar with its legend, and for a machine out of memory its zones.

use std::borrow::Cow;

use super::layout::{self, Align};
use super::page::Page;
use super::style::Role;
use super::table::{self, Row, left, right};
use super::words;
use crate::case::Case;
use crate::diagnosis::MemoryUse;
use crate::evidence::{KernelReport, Zone};
use crate::units::{Bytes, Limit};

/// Zones shown; a machine with eight memory nodes has about twelve.
const ZONES: usize = 24;

/// Where the memory went as far as the case knows: without statistics, how much there was; `None` where not even that.
pub(super) fn of(case: &Case) -> Option<Cow<'_, MemoryUse>> {
    let report = case.incident.report();
    let without_statistics = || {
        let limit = report.limit_bytes.and_then(|printed| Limit::from_printed(printed).bytes());
        let usage_bytes = report.usage_bytes?.0;
        Some(MemoryUse { usage_bytes, limit_bytes: limit.map(|bytes| bytes.0), ..MemoryUse::default() })
    };
    case.diagnosis.memory.as_ref().map(Cow::Borrowed).or_else(|| without_statistics().map(Cow::Owned))
}

/// What the whole bar stands for: the limit, or what was used where that is more or there is no limit.
pub(super) fn whole(memory: &MemoryUse) -> Bytes {
    let parts = memory.parts.iter().fold(memory.unaccounted_bytes, |sum, part| sum.saturating_add(part.bytes));
    Bytes(memory.limit_bytes.unwrap_or(0).max(memory.usage_bytes).max(parts))
}

/// `127.9 MiB of 128 MiB in use (99.9 %)`.
pub(super) fn headline(memory: &MemoryUse) -> String {
    let usage = Bytes(memory.usage_bytes);
    match memory.limit_bytes.map(Bytes) {
        Some(limit) => format!("{usage} of {limit} in use ({})", words::percent(usage.share_of(limit))),
        None => format!("{usage} in use"),
    }
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let report = case.incident.report();
    let memory = of(case);
    let zones = report.node_memory.as_ref().map_or(&[][..], |node| node.zones.as_slice());
    if memory.is_none() && zones.is_empty() {
        return;
    }
    page.heading("WHERE THE MEMORY WENT", "");
    if let Some(memory) = &memory {
        bar(page, memory);
    }
    swap(page, report);
    zone_table(page, zones);
}

/// How each part looks in the bar.
struct Segment {
    glyph: &'static str,
    role: Role,
    bytes: Bytes,
    name: String,
    remark: &'static str,
}

fn segments(page: &Page, memory: &MemoryUse) -> Vec<Segment> {
    let mut held = 0;
    let mut segments: Vec<Segment> = memory
        .parts
        .iter()
        .filter(|part| part.bytes > 0)
        .map(|part| {
            let (glyph, role) = if part.reclaimable {
                (page.glyphs.reclaimable, Role::Reclaimable)
            } else {
                held += 1;
                (page.glyphs.held(held - 1), Role::Held(held - 1))
            };
            let says_so = part.name.contains("reclaimable");
            let remark = if part.reclaimable && !says_so { "reclaimable" } else { "" };
            Segment { glyph, role, bytes: Bytes(part.bytes), name: part.name.clone(), remark }
        })
        .collect();
    // What cannot be given back stands together at the beginning of the bar.
    segments.sort_by_key(|s| s.role == Role::Reclaimable);
    if memory.unaccounted_bytes > 0 && !memory.parts.is_empty() {
        let bytes = Bytes(memory.unaccounted_bytes);
        let name = "not in the statistics".to_owned();
        segments.push(Segment { glyph: page.glyphs.unaccounted, role: Role::Dim, bytes, name, remark: "" });
    }
    segments
}

/// The bar and its legend.
pub(super) fn bar(page: &mut Page, memory: &MemoryUse) {
    page.paragraph(Role::Strong, 0, &headline(memory));
    let segments = segments(page, memory);
    if segments.is_empty() {
        return;
    }
    let sizes: Vec<u64> = segments.iter().map(|s| s.bytes.0).collect();
    let columns = page.inner_width().min(80) - 2;
    let whole = whole(memory);
    let cells = layout::bar_cells(&sizes, whole.0, columns);
    let filled: String =
        segments.iter().zip(&cells).map(|(s, &n)| page.paint(s.role, &s.glyph.repeat(n))).collect::<Vec<_>>().concat();
    let free = " ".repeat(columns - cells.iter().sum::<usize>().min(columns));
    let [open, close] = page.glyphs.frame.map(|side| page.paint(Role::Dim, side));
    page.line(&format!("{open}{filled}{free}{close}"));
    legend(page, &segments, whole);
}

fn legend(page: &mut Page, segments: &[Segment], whole: Bytes) {
    let widest = |texts: &[String]| texts.iter().map(|text| layout::width_of(text)).max().unwrap_or(0);
    let names: Vec<String> = segments.iter().map(|s| page.text(&s.name)).collect();
    let sizes: Vec<String> = segments.iter().map(|s| s.bytes.to_string()).collect();
    let shares: Vec<String> = segments.iter().map(|s| words::percent(s.bytes.share_of(whole))).collect();
    // A glyph with a space on either side, and two spaces before each of size and share.
    let beside_names = 3 + 2 + widest(&sizes) + 2 + widest(&shares);
    let name_width = widest(&names).min(page.inner_width().saturating_sub(beside_names));
    for (((segment, name), size), share) in segments.iter().zip(&names).zip(&sizes).zip(&shares) {
        let name = layout::pad(&layout::shorten_end(name, name_width, page.glyphs.ellipsis), name_width, Align::Left);
        let size = layout::pad(size, widest(&sizes), Align::Right);
        let share = layout::pad(share, widest(&shares), Align::Right);
        let remark = if page.is_wide() { page.paint(Role::Dim, segment.remark) } else { String::new() };
        let line = format!(" {} {name}  {size}  {share}  {remark}", page.paint(segment.role, segment.glyph));
        page.line(&line);
    }
}

/// A line for each further counter that has a limit of its own.
fn swap(page: &mut Page, report: &KernelReport) {
    let counters = [("swap", report.swap), ("memory+swap", report.memory_swap), ("kernel memory", report.kmem)];
    for (name, counter) in counters {
        let Some(counter) = counter else { continue };
        let Limit::At(limit) = Limit::from_printed(counter.limit_bytes) else { continue };
        let text = match limit {
            Bytes(0) => format!("{name}: none allowed"),
            limit => {
                let share = words::percent(counter.usage_bytes.share_of(limit));
                format!("{name}: {} of {limit} in use ({share})", counter.usage_bytes)
            }
        };
        page.paragraph(Role::Plain, 0, &text);
    }
    if let Some(swap) = report.node_memory.as_ref().and_then(|node| node.swap) {
        let text = match (swap.free_bytes, swap.total_bytes) {
            (_, Some(Bytes(0))) => "swap: the machine has none".to_owned(),
            (Some(free), Some(total)) => format!("swap of the machine: {free} of {total} free"),
            (None, Some(total)) => format!("swap of the machine: {total}"),
            _ => return,
        };
        page.paragraph(Role::Plain, 0, &text);
    }
}

/// Zones with their watermarks: why an allocation failed on a machine that shows free memory.
fn zone_table(page: &mut Page, zones: &[Zone]) {
    if zones.is_empty() {
        return;
    }
    let columns =
        [left("zone", 0), right("free", 0), right("min", 0), right("low", 3), right("managed", 2), left("", 1)];
    let rows: Vec<Row> = zones.iter().take(ZONES).map(zone_row).collect();
    page.blank();
    table::write(page, &columns, &rows);
    if zones.len() > ZONES {
        page.paragraph(Role::Dim, 0, &format!("and {} more", zones.len() - ZONES));
    }
}

fn zone_row(zone: &Zone) -> Row {
    let is_short = zone.free_bytes.zip(zone.min_bytes).is_some_and(|(free, min)| free <= min);
    let (free, min) = match zone.free_bytes.zip(zone.min_bytes) {
        Some((free, min)) => free.side_by_side(min),
        None => (words::size(zone.free_bytes), words::size(zone.min_bytes)),
    };
    let remark = match (is_short, zone.all_unreclaimable == Some(true)) {
        (true, true) => "below min, nothing to reclaim",
        (true, false) => "below min",
        (false, true) => "nothing to reclaim",
        (false, false) => "",
    };
    Row {
        role: if is_short { Role::Strong } else { Role::Plain },
        cells: vec![
            format!("node {} {}", zone.node, zone.name),
            free,
            min,
            words::size(zone.low_bytes),
            words::size(zone.managed_bytes),
            remark.to_owned(),
        ],
    }
}
