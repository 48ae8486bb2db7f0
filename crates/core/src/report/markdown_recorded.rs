//! What the flight recorder adds to a ticket: the curve in ASCII, who grew, and what dashboards saw.

use std::fmt::Write as _;

use super::markdown::{cell, code, fenced, prose};
use super::recorded;
use super::text::TextOptions;
use crate::case::Case;
use crate::diagnosis::growth::Grower;

/// Columns of the curve: what ticket systems show without a scroll bar.
const WIDTH: usize = 80;

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

/// Appends all of it; nothing for a case from a log alone.
pub(super) fn write(out: &mut String, case: &Case) {
    curve(out, case);
    growers(out, case);
    dashboards(out, case);
}

fn curve(out: &mut String, case: &Case) {
    let (Some(plot), Some(pattern)) = (recorded::plot(case), &case.diagnosis.pattern) else { return };
    put!(out, "\n## How it grew: {}\n", recorded::shape(pattern.shape));
    let options = TextOptions { width: WIDTH, ..TextOptions::default() };
    let lines: Vec<String> = plot.render(&options).lines().map(str::to_owned).collect();
    fenced(out, "text", "", &lines);
    let looks = if plot.looks.is_empty() { "" } else { "; ○ what a look every 15 s saw at worst" };
    put!(out, "\n█ held; ░ page cache{looks}; ✖ the kill");
}

fn growers(out: &mut String, case: &Case) {
    let shown = recorded::shown_growers(case);
    if shown.is_empty() {
        return;
    }
    let [ten_s, minute, ten_min] = recorded::STRETCHES.map(|(_, title)| title);
    put!(out, "\n## Who grew\n");
    put!(out, "| Name | pid | {ten_s} | {minute} | {ten_min} | Held | |\n|---|---:|---:|---:|---:|---:|---|");
    for grower in shown {
        put!(out, "{}", grower_row(grower));
    }
}

fn grower_row(grower: &Grower) -> String {
    let (name, pid) = recorded::grower_name(grower);
    let [ten_s, minute, ten_min] = recorded::STRETCHES.map(|(over_us, _)| recorded::grown(grower, over_us));
    let (held, remark) = (grower.held_bytes, recorded::grower_remark(grower));
    format!("| {} | {pid} | {ten_s} | {minute} | {ten_min} | {held} | {remark} |", cell(&code(&name)))
}

fn dashboards(out: &mut String, case: &Case) {
    let Some(dashboards) = &case.diagnosis.dashboards else { return };
    put!(out, "\n## What dashboards saw\n\nThe highest they can have shown up to the kill.\n");
    put!(out, "| Looking | at worst | at best | last look, at worst |\n|---|---:|---:|---:|");
    for row in recorded::dashboard_rows(dashboards) {
        put!(out, "| {} |", row.join(" | "));
    }
    put!(out, "\nT{}.", prose(recorded::peak_line(dashboards).strip_prefix('t').unwrap_or_default()));
    if recorded::shows_working_set(dashboards) {
        put!(out, "{}", recorded::WORKING_SET);
    }
}
