//! WHERE THE MEMORY WENT: a bar with its legend, and for a machine out of memory its zones.

use super::layout::{self, Align};
use super::page::Page;
use super::style::Role;
use super::table::{self, Row, left, right};
use super::words;
use crate::case::Case;
use crate::evidence::{KernelReport, Zone};
use crate::units::{Bytes, Limit};

/// What a bar shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryView {
    /// Charged when the kernel gave up.
    pub(super) usage: Option<Bytes>,
    /// `None`: no limit, or not known.
    pub(super) limit: Option<Bytes>,
    /// Largest first.
    pub(super) parts: Vec<PartView>,
    /// Charged, but in none of the parts.
    pub(super) unaccounted: Option<Bytes>,
}

/// One kind of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartView {
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) reclaimable: bool,
}

impl MemoryView {
    /// What the case knows; `None` when that is nothing.
    pub(super) fn of(case: &Case) -> Option<Self> {
        let report = case.incident.report();
        let limit = report.limit_bytes.and_then(|printed| Limit::from_printed(printed).bytes());
        let view = Self { usage: report.usage_bytes, limit, ..Self::default() };
        (view.usage.is_some() || !view.parts.is_empty()).then_some(view)
    }

    /// What the whole bar stands for: the limit, or the usage where it is more or there is no limit.
    pub(super) fn whole(&self) -> Bytes {
        let sum = self.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
        let known = [self.limit, self.usage].into_iter().flatten().map(|bytes| bytes.0).max();
        Bytes(known.unwrap_or(sum).max(sum))
    }

    /// `127.9 MiB of 128 MiB (99.9 %)`, `512 MiB, no limit known`.
    pub(super) fn headline(&self) -> Option<String> {
        match (self.usage, self.limit) {
            (Some(usage), Some(limit)) => {
                Some(format!("{usage} of {limit} in use ({})", words::percent(usage.share_of(limit))))
            }
            (Some(usage), None) => Some(format!("{usage} in use")),
            (None, Some(limit)) => Some(format!("limit {limit}")),
            (None, None) => None,
        }
    }
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let report = case.incident.report();
    let view = MemoryView::of(case);
    let zones = report.node_memory.as_ref().map_or(&[][..], |node| node.zones.as_slice());
    if view.is_none() && zones.is_empty() {
        return;
    }
    page.heading("WHERE THE MEMORY WENT", "");
    if let Some(view) = &view {
        bar(page, view);
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

fn segments(page: &Page, view: &MemoryView) -> Vec<Segment> {
    let mut held = 0;
    let mut segments: Vec<Segment> = view
        .parts
        .iter()
        .filter(|part| part.bytes.0 > 0)
        .map(|part| {
            let (glyph, role) = if part.reclaimable {
                (page.glyphs.reclaimable, Role::Reclaimable)
            } else {
                held += 1;
                let last = page.glyphs.held[page.glyphs.held.len() - 1];
                (page.glyphs.held.get(held - 1).copied().unwrap_or(last), Role::Held(held - 1))
            };
            let remark = if part.reclaimable { "reclaimable" } else { "" };
            Segment { glyph, role, bytes: part.bytes, name: part.name.clone(), remark }
        })
        .collect();
    // What cannot be given back stands together at the beginning of the bar.
    segments.sort_by_key(|s| s.role == Role::Reclaimable);
    if let Some(bytes) = view.unaccounted.filter(|bytes| bytes.0 > 0) {
        let name = "not in the statistics".to_owned();
        segments.push(Segment { glyph: page.glyphs.unaccounted, role: Role::Dim, bytes, name, remark: "" });
    }
    segments
}

fn bar(page: &mut Page, view: &MemoryView) {
    if let Some(headline) = view.headline() {
        page.paragraph(Role::Strong, 0, &headline);
    }
    let segments = segments(page, view);
    if segments.is_empty() {
        return;
    }
    let sizes: Vec<u64> = segments.iter().map(|s| s.bytes.0).collect();
    let columns = page.inner_width().min(80) - 2;
    let whole = view.whole();
    let cells = layout::bar_cells(&sizes, whole.0, columns);
    let filled: String =
        segments.iter().zip(&cells).map(|(s, &n)| page.paint(s.role, &s.glyph.repeat(n))).collect::<Vec<_>>().concat();
    let free = " ".repeat(columns - cells.iter().sum::<usize>().min(columns));
    let [open, close] = page.glyphs.frame.map(|side| page.paint(Role::Dim, side));
    page.line(&format!("{open}{filled}{free}{close}"));
    legend(page, &segments, whole);
}

fn legend(page: &mut Page, segments: &[Segment], whole: Bytes) {
    let widest = |of: &dyn Fn(&Segment) -> String| segments.iter().map(|s| layout::width_of(&of(s))).max().unwrap_or(0);
    let name_width = widest(&|s| page.text(&s.name)).min(page.inner_width().saturating_sub(22));
    let size_width = widest(&|s| s.bytes.to_string());
    for s in segments {
        let name = layout::shorten_end(&page.text(&s.name), name_width, page.glyphs.ellipsis);
        let name = layout::pad(&name, name_width, Align::Left);
        let size = layout::pad(&s.bytes.to_string(), size_width, Align::Right);
        let share = layout::pad(&words::percent(s.bytes.share_of(whole)), 7, Align::Right);
        let remark = if page.is_wide() { s.remark } else { "" };
        let glyph = page.paint(s.role, s.glyph);
        let line = format!(" {glyph} {name}  {size}  {share}  {}", page.paint(Role::Dim, remark));
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

fn zone_table(page: &mut Page, zones: &[Zone]) {
    if zones.is_empty() {
        return;
    }
    let columns =
        [left("zone", 0), right("free", 0), right("min", 0), right("low", 3), right("managed", 2), left("", 1)];
    let size = |bytes: Option<Bytes>| bytes.map_or_else(String::new, |b| b.to_string());
    let rows: Vec<Row> = zones
        .iter()
        .map(|zone| {
            let is_short = zone.free_bytes.zip(zone.min_bytes).is_some_and(|(free, min)| free <= min);
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
                    size(zone.free_bytes),
                    size(zone.min_bytes),
                    size(zone.low_bytes),
                    size(zone.managed_bytes),
                    remark.to_owned(),
                ],
            }
        })
        .collect();
    page.blank();
    table::write(page, &columns, &rows);
}
