//! What the flight recorder adds to a report: the curve, who grew, and what dashboards saw.

use super::page::Page;
use super::plot::Plot;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::words;
use crate::case::Case;
use crate::diagnosis::dashboards::{Dashboards, Seen};
use crate::diagnosis::growth::{Grower, Who};
use crate::diagnosis::pattern::{Pattern, Shape};
use crate::incident::timeline::CgroupRecord;
use crate::time::BootTime;
use crate::units::Bytes;

/// The scraper whose looks are drawn.
const DRAWN_US: u64 = 15_000_000;
/// No plot shows less: a few looks of a scraper fit in.
const SHORTEST_US: u64 = 60_000_000;
/// Looks drawn at most: a stored record may claim to be of any length.
const LOOKS: usize = 400;
/// A scraper that shows this share of the peak has shown it.
const SHOWN: f64 = 0.9;
/// Growers shown.
const GROWERS: usize = 6;

/// Writes all of it; nothing for a case from a log alone.
pub(super) fn write(page: &mut Page, case: &Case) {
    curve(page, case);
    growers(page, case);
    dashboards(page, case);
}

/// The record that the diagnosis is about.
fn record<'a>(case: &'a Case, pattern: &Pattern) -> Option<&'a CgroupRecord> {
    case.incident.timeline.as_ref()?.cgroups.iter().find(|record| record.cgroup == pattern.cgroup)
}

/// The curve of the minutes that matter: all of them for a leak, the last one or two for a spike. `None` where nothing was recorded.
#[must_use]
pub fn plot(case: &Case) -> Option<Plot> {
    let pattern = case.diagnosis.pattern.as_ref()?;
    let record = record(case, pattern)?;
    let kill = case.incident.at.boot_us?;
    let first = *record.rows.at_us.iter().min()?;
    let growth_us = kill.0.saturating_sub(pattern.from_us.0);
    let length_us = match pattern.shape {
        Shape::Spike | Shape::StartUp => growth_us.saturating_mul(3).max(SHORTEST_US),
        Shape::Growth => growth_us.saturating_mul(2).max(SHORTEST_US),
        Shape::Leak | Shape::Full | Shape::None => u64::MAX,
    };
    let from = BootTime(kill.0.saturating_sub(length_us)).max(first);
    let mut plot = Plot::of_rows(&record.rows, from, kill);
    plot.killed = true;
    plot.limit = case.diagnosis.dashboards.as_ref().and_then(|d| d.limit_bytes);
    let report = case.incident.report();
    if report.limit_cgroup.as_ref() == Some(&pattern.cgroup)
        && let (Some(usage), Some(last)) = (report.usage_bytes, plot.points.last().copied())
    {
        plot.points.push(super::plot::Point { at: kill, highest: usage.0, charged: usage.0, cache: last.cache });
    }
    plot.looks = looks(case, record, from, kill);
    Some(plot)
}

/// What the drawn scraper saw when its looks fell worst.
fn looks(case: &Case, record: &CgroupRecord, from: BootTime, kill: BootTime) -> Vec<(BootTime, Bytes)> {
    let Some(dashboards) = &case.diagnosis.dashboards else { return Vec::new() };
    let Some(usage) = dashboards.scraper(DRAWN_US).map(|scraper| scraper.usage) else { return Vec::new() };
    // Where the dashboards show the peak as well, the marks would only clutter the curve.
    if usage.lowest_bytes.is_none_or(|lowest| lowest.share_of(dashboards.peak.bytes) >= SHOWN) {
        return Vec::new();
    }
    let phase = usage.lowest_last_look_us;
    let rows: Vec<(BootTime, u64)> = record.rows.series(crate::recorder::Series::Current).collect();
    let seen = |at: BootTime| {
        let row = rows.partition_point(|(then, _)| *then <= at).checked_sub(1)?;
        Some((at, Bytes(rows.get(row)?.1)))
    };
    let instants = (0..).map_while(|n: u64| kill.0.checked_sub(phase.checked_add(n.checked_mul(DRAWN_US)?)?));
    instants.take(LOOKS).map(BootTime).take_while(|at| *at >= from).filter_map(seen).collect()
}

fn curve(page: &mut Page, case: &Case) {
    let Some(plot) = plot(case) else { return };
    page.heading("HOW IT GREW", case.diagnosis.pattern.as_ref().map_or("", |pattern| shape(pattern.shape)));
    plot.write(page);
    let mut legend = vec![format!("{} held", page.glyphs.held(0)), format!("{} page cache", page.glyphs.reclaimable)];
    if !plot.looks.is_empty() {
        legend.push(format!("{} what a look every 15 s saw at worst", page.glyphs.look));
    }
    legend.push(format!("{} kill", page.glyphs.cross));
    page.blank();
    page.flow(Role::Dim, &legend);
}

/// The shape in a few words.
pub(super) const fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Spike => "a sudden spike",
        Shape::StartUp => "full right after the start",
        Shape::Leak => "steadily, as a leak does",
        Shape::Growth => "neither suddenly nor evenly",
        Shape::Full => "full all the time",
        Shape::None => "no growth",
    }
}

/// The stretches of time that growth is told over.
pub(super) const STRETCHES: [(u64, &str); 3] =
    [(10_000_000, "last 10 s"), (60_000_000, "last 1 min"), (600_000_000, "last 10 min")];

/// The name of a process, or the end of a cgroup's path.
pub(super) fn grower_name(grower: &Grower) -> (String, String) {
    match &grower.who {
        Who::Process { pid, comm } => (words::name(comm), pid.to_string()),
        Who::Cgroup => (grower.cgroup.to_string(), String::new()),
    }
}

/// `+12 MiB`, empty where the record does not go back so far.
pub(super) fn grown(grower: &Grower, over_us: u64) -> String {
    let grown = grower.grown.iter().find(|grown| grown.over_us == over_us);
    grown.map_or_else(String::new, |grown| {
        let size = Bytes(grown.bytes.unsigned_abs());
        if grown.bytes < 0 { format!("-{size}") } else { format!("+{size}") }
    })
}

/// `victim, trigger`.
pub(super) fn grower_remark(grower: &Grower) -> String {
    let marks = [(grower.is_victim, "victim"), (grower.is_trigger, "trigger")];
    marks.iter().filter(|(holds, _)| *holds).map(|(_, mark)| *mark).collect::<Vec<_>>().join(", ")
}

/// The growers that are shown: processes, else cgroups.
pub(super) fn shown_growers(case: &Case) -> Vec<&Grower> {
    let is_process = |grower: &&Grower| matches!(grower.who, Who::Process { .. });
    let growth = &case.diagnosis.growth;
    let cgroups = growth.iter().filter(|grower| !is_process(grower));
    growth.iter().filter(is_process).take(GROWERS).chain(cgroups.take(GROWERS)).collect()
}

fn growers(page: &mut Page, case: &Case) {
    let shown = shown_growers(case);
    if shown.is_empty() {
        return;
    }
    page.heading("WHO GREW", "");
    let columns = [
        left("name", 0).shrinking(Shrink::Middle, 12),
        right("pid", 2),
        right(STRETCHES[0].1, 0),
        right(STRETCHES[1].1, 1),
        right(STRETCHES[2].1, 3),
        right("held", 4),
        left("", 1),
    ];
    let rows: Vec<Row> = shown.into_iter().map(grower_row).collect();
    table::write(page, &columns, &rows);
}

fn grower_row(grower: &Grower) -> Row {
    let (name, pid) = grower_name(grower);
    let [ten_s, minute, ten_min] = STRETCHES.map(|(over_us, _)| grown(grower, over_us));
    let is_dead = grower.is_victim && matches!(grower.who, Who::Process { .. });
    Row {
        role: if is_dead { Role::Verdict } else { Role::Plain },
        cells: vec![name, pid, ten_s, minute, ten_min, grower.held_bytes.to_string(), grower_remark(grower)],
    }
}

/// The highest that was seen with a share of the limit, `nothing` where a scraper may not have looked.
pub(super) fn share(bytes: Option<Bytes>, dashboards: &Dashboards) -> String {
    bytes.map_or_else(
        || "nothing".to_owned(),
        |bytes| format!("{bytes} ({})", words::percent(bytes.share_of(dashboards.whole()))),
    )
}

/// One row of the table: what was looked at, highest at worst and at best, the last look.
pub(super) fn seen_cells(name: String, seen: &Seen, dashboards: &Dashboards) -> Vec<String> {
    vec![
        name,
        share(seen.lowest_bytes, dashboards),
        share(Some(seen.highest_bytes), dashboards),
        share(seen.last_lowest_bytes, dashboards),
    ]
}

/// All rows of the table.
pub(super) fn dashboard_rows(dashboards: &Dashboards) -> Vec<Vec<String>> {
    let seconds = |us: u64| us / 1_000_000;
    let usage = dashboards.scrapers.iter().map(|s| (format!("every {} s", seconds(s.interval_us)), Some(s.usage)));
    // Without cache to speak of the two are the same, and said once.
    let working_set = dashboards
        .scrapers
        .iter()
        .map(|s| (format!("working set, {} s", seconds(s.interval_us)), s.working_set.filter(|seen| *seen != s.usage)));
    let rows = usage.chain(working_set).filter_map(|(name, seen)| Some(seen_cells(name, &seen?, dashboards)));
    rows.collect()
}

/// `true peak: 50 MiB (100 %), exact, lasted 0.4 s, 12 ms before the kill`.
pub(super) fn peak_line(dashboards: &Dashboards) -> String {
    let peak = &dashboards.peak;
    let exact = if peak.exact { "exact" } else { "as fine as the samples" };
    let (least, most) = (peak.lasted_at_least_us, peak.lasted_at_most_us);
    let lasted = if most <= least.saturating_add(least / 4) {
        words::span(most)
    } else {
        format!("{} to {}", words::span(least), words::span(most))
    };
    let before = dashboards.to_us.0.saturating_sub(peak.at_us.0);
    let when =
        if before < 1000 { "at the kill".to_owned() } else { format!("{} before the kill", words::span(before)) };
    format!("true peak: {}, {exact}; above nine tenths of it for {lasted}; {when}", share(Some(peak.bytes), dashboards))
}

/// Whether the table has rows of the working set.
pub(super) fn shows_working_set(dashboards: &Dashboards) -> bool {
    dashboards.scrapers.iter().any(|scraper| scraper.working_set.is_some_and(|seen| seen != scraper.usage))
}

/// What the sizes in the table are, where the working set is among them.
pub(super) const WORKING_SET: &str = "The working set is shown without any page cache, the least it can have been; dashboards leave out only inactive cache.";

fn dashboards(page: &mut Page, case: &Case) {
    let Some(dashboards) = &case.diagnosis.dashboards else { return };
    page.heading("WHAT DASHBOARDS SAW", "the highest they can have shown up to the kill");
    let columns = [
        left("looking", 0).shrinking(Shrink::End, 8),
        right("at worst", 0),
        right("at best", 1),
        right("last look, at worst", 2),
    ];
    let rows: Vec<Row> = dashboard_rows(dashboards).into_iter().map(Row::plain).collect();
    table::write(page, &columns, &rows);
    page.paragraph(Role::Strong, 0, &peak_line(dashboards));
    if shows_working_set(dashboards) {
        page.paragraph(Role::Dim, 0, WORKING_SET);
    }
}
