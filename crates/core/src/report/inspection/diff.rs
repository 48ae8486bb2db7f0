//! What grew, for a person at a terminal: the most first.

use super::{names, own_events};
use crate::evidence::Counters;
use crate::inspect::{Change, Continuity, InspectionDiff, ProcessBrief, ProcessChange};
use crate::report::TextOptions;
use crate::report::layout;
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::table::{self, Column, Row, Shrink, left, right};
use crate::report::words;
use crate::units::Bytes;

/// The comparison, with at most `count` rows of each kind. Ends with a newline.
#[must_use]
pub fn render(diff: &InspectionDiff, count: usize, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    title(&mut page, diff);
    names::write(&mut page, &diff.target);
    when(&mut page, diff);
    limit_events(&mut page, diff);
    sizes(&mut page, "WHICH MEMORY", "", &diff.memory, count);
    sizes(&mut page, "WHICH MAPPINGS", "of all processes, those of one name added up", &diff.segments, count);
    processes(&mut page, diff, count);
    open_files(&mut page, diff, count);
    briefs(&mut page, "NEW PROCESSES", &diff.came, count);
    briefs(&mut page, "PROCESSES THAT ENDED", &diff.went, count);
    super::gaps(&mut page, &diff.gaps);
    page.finish()
}

fn title(page: &mut Page, diff: &InspectionDiff) {
    let who = match diff.target.pid {
        Some(pid) => format!("the cgroup of process {pid}"),
        None => names::cgroup(&diff.target),
    };
    let time = diff.elapsed_us.map_or_else(|| "between the two".to_owned(), |us| format!("in {}", words::duration(us)));
    let grew = match &diff.usage {
        Some(usage) => format!("{who}: {} {time}{}", signed(usage.change_bytes), rate(usage.per_minute_bytes)),
        None => format!("{who}: how its memory changed {time} is not known"),
    };
    let grew = page.text(&grew);
    for line in layout::wrap(&grew, page.width()) {
        let line = page.paint(Role::Strong, &line);
        page.raw(&line);
    }
    if let Some(broken) = broken(diff.continuity) {
        page.paragraph(Role::Verdict, 0, broken);
    }
    if let Some(held) = &diff.unreclaimable {
        let text = format!(
            "What cannot be taken back without swap: {} {} {} ({}{}).",
            held.before_bytes,
            TO,
            held.after_bytes,
            signed(held.change_bytes),
            rate(held.per_minute_bytes)
        );
        page.paragraph(Role::Plain, 0, &text);
    }
    if let Some(forecast) = &diff.forecast
        && broken(diff.continuity).is_none()
    {
        let until = words::duration(forecast.until_limit_us);
        let text = format!("If it goes on like this, it fills its limit of {} in {until}.", forecast.limit_bytes);
        page.paragraph(Role::Strong, 0, &text);
    }
}

const TO: &str = "→";

/// Why the numbers are not of one and the same thing.
const fn broken(continuity: Continuity) -> Option<&'static str> {
    match continuity {
        Continuity::Same => None,
        Continuity::ProcessesReplaced => {
            Some("All of its processes are new: it was restarted in between. Differences are between two lives.")
        }
        Continuity::CgroupReplaced => Some(
            "The cgroup was removed and made again: it was restarted in between. Differences are between two lives.",
        ),
        Continuity::Rebooted => Some("The machine was booted in between: differences are between two lives."),
        Continuity::OtherCgroup => Some("The two snapshots are of different cgroups."),
    }
}

fn when(page: &mut Page, diff: &InspectionDiff) {
    let times: Vec<String> = [words::wall(&diff.from), words::wall(&diff.to)].into_iter().flatten().collect();
    page.facts("seen", Role::Plain, &times);
}

/// Counters that rose, of the level that they belong to.
fn limit_events(page: &mut Page, diff: &InspectionDiff) {
    type Counter = fn(&Counters) -> Option<u64>;
    let kinds: [(&str, Counter); 4] = [
        ("charges met the limit of", |c| own_events(c).max.or(c.failcnt)),
        ("times throttled at memory.high of", |c| own_events(c).high),
        ("times out of memory at the limit of", |c| own_events(c).oom),
        ("processes OOM-killed in", |c| own_events(c).oom_kill),
    ];
    let mut lines = Vec::new();
    for (what, counter) in kinds {
        for (cgroup, rise) in diff.rises(counter) {
            lines.push(format!("{} {what} {}", words::grouped(i128::from(rise)), names::level(cgroup)));
        }
    }
    if lines.is_empty() {
        return;
    }
    page.heading("AT THE LIMITS", "");
    for line in lines {
        page.hanging(Role::Strong, page.glyphs.bullet, 2, &line);
    }
}

fn size_columns(name: &'static str) -> [Column; 5] {
    [
        left(name, 0).shrinking(Shrink::Middle, 16),
        right("before", 2),
        right("after", 1),
        right("change", 0),
        right("a minute", 0),
    ]
}

fn sizes(page: &mut Page, title: &'static str, note: &str, changes: &[Change], count: usize) {
    if changes.is_empty() {
        return;
    }
    page.heading(title, note);
    let shown = most_changed(changes, count, |change| change.change_bytes);
    let row = |change: &&Change| Row {
        role: if change.change_bytes > 0 { Role::Plain } else { Role::Dim },
        cells: vec![
            change.name.to_string(),
            change.before_bytes.to_string(),
            change.after_bytes.to_string(),
            signed(change.change_bytes),
            change.per_minute_bytes.map_or_else(String::new, signed),
        ],
    };
    let rows: Vec<Row> = shown.iter().map(row).collect();
    table::write(page, &size_columns(""), &rows);
    super::more(page, changes.len(), rows.len(), "change", "changes");
}

/// The list is in order, grown first and shrunk last: those of either end that changed most, in the same order.
fn most_changed<T>(changes: &[T], count: usize, change: impl Fn(&T) -> i64) -> Vec<&T> {
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(changes.get(*at).map_or(0, |c| change(c).unsigned_abs())));
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().filter_map(|at| changes.get(at)).collect()
}

fn processes(page: &mut Page, diff: &InspectionDiff, count: usize) {
    if diff.processes.is_empty() {
        return;
    }
    let all_pss = diff.processes.iter().all(|p| p.measure == "pss");
    page.heading("WHICH PROCESSES", if all_pss { "by PSS" } else { "by what is resident" });
    let columns = [
        left("name", 0).shrinking(Shrink::End, 12),
        right("pid", 0),
        right("before", 3),
        right("after", 2),
        right("change", 0),
        right("a minute", 0),
        right("swap", 4),
        right("threads", 5),
        right("files", 4),
        left("mostly in", 1).shrinking(Shrink::Middle, 12),
    ];
    let shown = most_changed(&diff.processes, count, |process| process.change_bytes);
    let rows: Vec<Row> = shown.iter().map(|process| process_row(process)).collect();
    table::write(page, &columns, &rows);
    super::more(page, diff.processes.len(), rows.len(), "process", "processes");
}

fn process_row(process: &ProcessChange) -> Row {
    let rise = |change: Option<i64>| change.filter(|n| *n != 0).map_or_else(String::new, |n| format!("{n:+}"));
    Row {
        role: if process.change_bytes > 0 { Role::Plain } else { Role::Dim },
        cells: vec![
            words::name(&process.comm),
            process.pid.to_string(),
            process.before_bytes.to_string(),
            process.after_bytes.to_string(),
            signed(process.change_bytes),
            process.per_minute_bytes.map_or_else(String::new, signed),
            process.swap_change_bytes.filter(|n| *n != 0).map_or_else(String::new, signed),
            rise(process.threads_change),
            rise(process.fds_change),
            process.segment.as_ref().map_or_else(String::new, |segment| segment.name.to_string()),
        ],
    }
}

fn open_files(page: &mut Page, diff: &InspectionDiff, count: usize) {
    if diff.fds.is_empty() {
        return;
    }
    page.heading("OPEN FILES", "");
    let shown = most_changed(&diff.fds, count, |fd| fd.change);
    let rows: Vec<Row> = shown
        .iter()
        .map(|fd| Row {
            role: if fd.change > 0 { Role::Plain } else { Role::Dim },
            cells: vec![
                names::fd_kind(&fd.kind),
                fd.before.to_string(),
                fd.after.to_string(),
                format!("{:+}", fd.change),
                fd.per_minute.map_or_else(String::new, |rate| format!("{rate:+.1}")),
            ],
        })
        .collect();
    table::write(page, &size_columns("kind"), &rows);
    super::more(page, diff.fds.len(), rows.len(), "kind", "kinds");
}

fn briefs(page: &mut Page, title: &'static str, processes: &[ProcessBrief], count: usize) {
    if processes.is_empty() {
        return;
    }
    page.heading(title, &processes.len().to_string());
    let columns = [
        left("name", 0).shrinking(Shrink::End, 12),
        right("pid", 0),
        right("held", 0),
        left("command", 1).shrinking(Shrink::End, 12),
    ];
    let row = |process: &ProcessBrief| {
        Row::plain(vec![
            words::name(&process.comm),
            process.pid.to_string(),
            words::size(process.share_bytes),
            process.cmdline.as_ref().map_or_else(String::new, ToString::to_string),
        ])
    };
    let rows: Vec<Row> = processes.iter().take(count).map(row).collect();
    table::write(page, &columns, &rows);
    super::more(page, processes.len(), rows.len(), "process", "processes");
}

/// `+48 MiB`, `-3 MiB`, `0 B`.
fn signed(bytes: i64) -> String {
    let size = Bytes(bytes.unsigned_abs());
    match bytes {
        0 => size.to_string(),
        1.. => format!("+{size}"),
        _ => format!("-{size}"),
    }
}

fn rate(per_minute: Option<i64>) -> String {
    per_minute.filter(|rate| *rate != 0).map_or_else(String::new, |rate| format!(", {} a minute", signed(rate)))
}
