//! An inspection for a person at a terminal: whose it is, how far it is from which limit, what fills it, who holds that.

mod diff;
mod in_force;
mod names;

pub use diff::render as render_diff;

use super::TextOptions;
use super::memory;
use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::words;
use crate::evidence::{Counters, Events, Gap};
use crate::inspect::{InspectedProcess, Inspection, Level, MappingTotal, Stall};
use crate::text::name_in_text;
use crate::units::{Bytes, Limit};

/// Gaps shown.
const GAPS: usize = 12;

/// The inspection, with at most `count` processes and as many mappings. Ends with a newline.
#[must_use]
pub fn render(inspection: &Inspection, count: usize, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    title(&mut page, inspection);
    names::write(&mut page, &inspection.target);
    when(&mut page, inspection);
    levels(&mut page, inspection);
    if let Some(in_force) = &inspection.in_force {
        in_force::write(&mut page, in_force);
    }
    memory_section(&mut page, inspection);
    processes(&mut page, inspection, count);
    mappings(&mut page, inspection, count);
    open_files(&mut page, inspection);
    let compared = inspection.in_force.iter().flat_map(|in_force| in_force.gaps.iter());
    let all: Vec<Gap> = compared.chain(&inspection.gaps).cloned().collect();
    gaps(&mut page, &all);
    page.finish()
}

/// What a page about more than this shows of it: the levels, and where the memory is.
pub(super) fn short(page: &mut Page, inspection: &Inspection) {
    levels(page, inspection);
    // A table of what agrees would hide what matters; `inspect pod` shows all of it.
    if let Some(in_force) = inspection.in_force.as_ref().filter(|in_force| in_force.differences().next().is_some()) {
        in_force::write(page, in_force);
    }
    memory_section(page, inspection);
}

/// How much, and how far from the nearest limit: the answer in one line.
fn title(page: &mut Page, inspection: &Inspection) {
    // The root of v2 has statistics, but no charge.
    let total = || inspection.memory.as_ref().map(|memory| Bytes(memory.usage_bytes));
    let used = inspection.levels.first().and_then(|level| level.usage_bytes).or_else(total);
    let used = used.map_or_else(|| "memory not known".to_owned(), |bytes| format!("{bytes} in use"));
    let line = page.text(&format!("{}{}: {used}", process_in(inspection), names::cgroup(&inspection.target)));
    for line in super::layout::wrap(&line, page.width()) {
        let line = page.paint(Role::Strong, &line);
        page.raw(&line);
    }
    let tightest = inspection.tightest().and_then(|level| Some((level, level.headroom_bytes?)));
    let text = match tightest {
        Some((level, room)) => {
            let limit = level.limits.max_bytes.map_or_else(String::new, |limit| limit.to_string());
            let whose = if Some(level) == inspection.levels.first() {
                "its own limit".to_owned()
            } else {
                format!("the limit of {}", names::level(&level.cgroup))
            };
            format!("{room} are left until {whose} of {limit} is met{}.", can_be_freed(inspection))
        }
        None => "No limit is set here or above it: only the machine's memory ends its growth.".to_owned(),
    };
    page.paragraph(Role::Plain, 0, &text);
}

/// `java (pid 7) with 12 MiB (PSS), in `, where one process was asked for.
fn process_in(inspection: &Inspection) -> String {
    let Some(pid) = inspection.target.pid else { return String::new() };
    let Some(inspected) = inspection.processes.first() else { return format!("process {pid} in ") };
    let name = words::process(Some(&inspected.snapshot.process.comm), "pid", Some(pid));
    match (inspected.snapshot.pss_bytes, inspected.share()) {
        (Some(pss), _) => format!("{name} with {pss} by PSS, in "),
        (None, Some(rss)) => format!("{name} with {rss} resident, in "),
        (None, None) => format!("{name} in "),
    }
}

fn can_be_freed(inspection: &Inspection) -> String {
    match inspection.reclaimable() {
        Some((free, _)) if free.0 > 0 => format!("; {free} more the kernel can take back from the target"),
        _ => String::new(),
    }
}

fn when(page: &mut Page, inspection: &Inspection) {
    let host = inspection.host.as_ref().map(|host| format!("host {}", name_in_text(host.as_bytes())));
    let facts: Vec<String> = [words::wall(&inspection.at), host].into_iter().flatten().collect();
    page.facts("seen", Role::Plain, &facts);
}

fn levels(page: &mut Page, inspection: &Inspection) {
    // The root of v2 is neither charged nor limited.
    let levels: Vec<_> =
        inspection.levels.iter().filter(|l| l.usage_bytes.is_some() || l.limits.max_bytes.is_some()).collect();
    if levels.is_empty() {
        return;
    }
    let tightest = inspection.tightest();
    let counts = |of: fn(&Level) -> Option<u64>| levels.iter().filter_map(|level| of(level)).collect::<Vec<_>>();
    let is_zero = |counts: &[u64]| !counts.is_empty() && counts.iter().all(|n| *n == 0);
    let (hits, ooms, killed) = (counts(limit_hits), counts(|l| own_events(&l.counters).oom), counts(oom_kills));
    let marked = tightest.map(|_| ", the least headroom marked").unwrap_or_default();
    let never = if is_zero(&hits) { "; none was ever hit" } else { "" };
    page.heading("LIMITS IN FORCE", &format!("from the target up{marked}{never}"));
    let columns = [
        left("", 0),
        left("cgroup", 0).shrinking(Shrink::Middle, 22),
        right("used", 0),
        right("limit", 0),
        right("headroom", 1),
        right("peak", 2),
        right("hits", 3),
        right("ooms", 5),
        right("killed", 4),
    ];
    // A column of zeros tells less than the path that it would take the room of.
    let told = |counts: &[u64], count: Option<u64>| count_cell(count.filter(|_| !is_zero(counts)));
    let row = |level: &Level| {
        let is_tightest = tightest == Some(level);
        Row {
            role: if is_tightest { Role::Strong } else { Role::Plain },
            cells: vec![
                if is_tightest { page.glyphs.bullet.to_owned() } else { String::new() },
                names::level(&level.cgroup),
                words::size(level.usage_bytes),
                level.limits.max_bytes.map_or_else(String::new, short_limit),
                words::size(level.headroom_bytes),
                words::size(level.peak_bytes),
                told(&hits, limit_hits(level)),
                told(&ooms, own_events(&level.counters).oom),
                told(&killed, oom_kills(level)),
            ],
        }
    };
    let rows: Vec<Row> = levels.iter().map(|level| row(level)).collect();
    table::write(page, &columns, &rows);
    for level in levels {
        let other = other_limits(level);
        if !other.is_empty() {
            page.paragraph(Role::Dim, 0, &format!("{}: {}", names::level(&level.cgroup), other.join(", ")));
        }
    }
}

/// A cgroup's own where the kernel tells them apart.
fn own_events(counters: &Counters) -> Events {
    counters.local.or(counters.hierarchical).unwrap_or_default()
}

fn limit_hits(level: &Level) -> Option<u64> {
    own_events(&level.counters).max.or(level.counters.failcnt)
}

fn oom_kills(level: &Level) -> Option<u64> {
    own_events(&level.counters).oom_kill
}

fn short_limit(limit: Limit) -> String {
    limit.bytes().map_or_else(|| "none".to_owned(), |bytes| bytes.to_string())
}

fn count_cell(count: Option<u64>) -> String {
    count.map_or_else(String::new, |count| words::grouped(i128::from(count)))
}

/// Everything besides the maximum that is set to something else than the kernel's default.
fn other_limits(level: &Level) -> Vec<String> {
    let limits = &level.limits;
    let at = |limit: Option<Limit>, name: &str| limit.and_then(Limit::bytes).map(|bytes| format!("{name} {bytes}"));
    let protects = |limit: Option<Limit>, name: &str| match limit {
        Some(Limit::At(Bytes(0))) | None => None,
        Some(Limit::At(bytes)) => Some(format!("{name} {bytes}")),
        // v1's soft limit is unlimited unless set; v2 protects everything with "max".
        Some(Limit::Unlimited) => limits.min_bytes.is_some().then(|| format!("{name} max")),
    };
    let swap = match limits.swap_max_bytes {
        Some(Limit::At(Bytes(0))) => Some("no swap".to_owned()),
        other => at(other, "swap at most"),
    };
    let events = own_events(&level.counters);
    let told = |count: Option<u64>, text: &str| count.filter(|n| *n > 0).map(|n| format!("{n} {text}"));
    [
        at(limits.high_bytes, "throttled from"),
        protects(limits.low_bytes, "low"),
        protects(limits.min_bytes, "min"),
        swap,
        at(limits.memory_swap_max_bytes, "memory and swap together at most"),
        limits.oom_group.filter(|on| *on).map(|_| "an OOM kill takes the whole group".to_owned()),
        limits.oom_kill_disable.filter(|on| *on).map(|_| "the OOM killer is disabled: processes hang".to_owned()),
        told(events.high, "times throttled"),
        told(events.low, "times reclaimed below its protection"),
        told(level.counters.memory_swap_failcnt, "times at the limit of memory and swap"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn memory_section(page: &mut Page, inspection: &Inspection) {
    let Some(memory_use) = &inspection.memory else { return };
    let note = if inspection.target.pid.is_some() { "of its whole cgroup" } else { "" };
    page.heading("WHERE THE MEMORY IS", note);
    memory::bar(page, memory_use);
    if let Some((free, held)) = inspection.reclaimable() {
        page.paragraph(Role::Plain, 0, &format!("{held} cannot be taken back without swap, {free} can."));
    }
    if let Some(bytes) = inspection.unmapped_shmem().filter(|bytes| bytes.0 >= 1 << 20) {
        let text = format!(
            "At least {bytes} of tmpfs and shared memory are mapped by no process here: files in /dev/shm, in a memory-backed \
             volume, or memfds."
        );
        page.paragraph(Role::Strong, 0, &text);
    }
    if let Some(swap) = inspection.swap_bytes.filter(|bytes| bytes.0 > 0) {
        page.paragraph(Role::Plain, 0, &format!("{swap} are swapped out."));
    }
    let stalls = inspection.pressure.unwrap_or_default();
    let line = |what: &str, stall: Stall| {
        format!(
            "{what}: {} % of the last 10 s, {} % of the last minute, {} % of the last 5",
            stall.avg10_percent, stall.avg60_percent, stall.avg300_percent
        )
    };
    let stalled = |stall: &Stall| stall.total_us > 0;
    for (what, stall) in [("Some task waited for memory", stalls.some), ("Every task did", stalls.full)] {
        if let Some(stall) = stall.filter(stalled) {
            page.paragraph(Role::Plain, 0, &line(what, stall));
        }
    }
    if stalls.some.is_some_and(|stall| !stalled(&stall)) {
        page.paragraph(Role::Dim, 0, "No task has ever waited for memory.");
    }
}

fn processes(page: &mut Page, inspection: &Inspection, count: usize) {
    if inspection.processes.is_empty() {
        return;
    }
    let n = inspection.processes.len();
    let total = inspection.processes.iter().try_fold(0u64, |sum, p| Some(sum.saturating_add(p.snapshot.pss_bytes?.0)));
    let note = match total {
        Some(bytes) if n > 1 => format!("{n}, {} together by PSS", Bytes(bytes)),
        _ => String::new(),
    };
    page.heading("PROCESSES", &note);
    let columns = [
        left("name", 0).shrinking(Shrink::End, 12),
        right("pid", 0),
        right("PSS", 0),
        right("anon", 1),
        right("file", 3),
        right("shared", 2),
        right("swap", 2),
        right("threads", 6),
        right("files", 5),
        right("adj", 4),
        left("in", 6).shrinking(Shrink::Middle, 12),
        left("command", 7).shrinking(Shrink::End, 12),
    ];
    let is_swapping = inspection.processes.iter().any(|p| p.snapshot.process.swap_bytes.is_some_and(|b| b.0 > 0));
    let in_several =
        inspection.processes.iter().any(|p| inspection.processes.first().is_some_and(|q| p.cgroup != q.cgroup));
    let row = |p: &InspectedProcess| process_row(p, is_swapping, in_several);
    let rows: Vec<Row> = inspection.processes.iter().take(count).map(row).collect();
    table::write(page, &columns, &rows);
    more(page, n, rows.len(), "process", "processes");
}

fn process_row(inspected: &InspectedProcess, is_swapping: bool, in_several: bool) -> Row {
    let process = &inspected.snapshot.process;
    Row::plain(vec![
        words::name(&process.comm),
        process.pid.to_string(),
        words::size(inspected.snapshot.pss_bytes),
        words::size(process.anon_bytes),
        words::size(process.file_bytes),
        words::size(process.shmem_bytes),
        words::size(process.swap_bytes.filter(|_| is_swapping)),
        process.threads.map_or_else(String::new, |n| n.to_string()),
        count_cell(inspected.fd_count()),
        words::adj(process.oom_score_adj),
        if in_several { names::level(&inspected.cgroup) } else { String::new() },
        process.cmdline.as_ref().map_or_else(String::new, ToString::to_string),
    ])
}

/// Of how many processes something is known; `None` where there is only one.
fn whose(inspection: &Inspection, is_known: impl Fn(&InspectedProcess) -> bool) -> Option<String> {
    let all = inspection.processes.len();
    let known = inspection.processes.iter().filter(|p| is_known(p)).count();
    (all > 1)
        .then(|| if known == all { "of all processes".to_owned() } else { format!("of {known} of {all} processes") })
}

fn mappings(page: &mut Page, inspection: &Inspection, count: usize) {
    let Some(mappings) = inspection.mappings.as_ref().filter(|mappings| !mappings.is_empty()) else { return };
    let several = inspection.processes.len() > 1;
    let resident_known = mappings.iter().any(|m| m.share().is_some());
    let whose = whose(inspection, |p| p.snapshot.mappings.is_some());
    let how = if resident_known { "those of one name added up" } else { "by address space (not what is resident)" };
    let note: Vec<String> = whose.into_iter().chain([how.to_owned()]).collect();
    page.heading("LARGEST MAPPINGS", &note.join(", "));
    let columns = [
        left("mapping", 0).shrinking(Shrink::Middle, 34),
        right("PSS", 0),
        right("resident", 1),
        right("anon", 3),
        right("swap", 2),
        right("size", 4),
        right("mappings", 6),
        right("processes", 5),
    ];
    let has = |of: fn(&MappingTotal) -> Option<Bytes>| mappings.iter().any(|m| of(m).is_some_and(|b| b.0 > 0));
    let is_swapping = has(|m| m.mapping.swap_bytes);
    let is_held = |m: &&MappingTotal| m.share().is_none_or(|share| share.0 > 0);
    let row = |m: &MappingTotal| {
        Row::plain(vec![
            m.mapping.name.to_string(),
            words::size(m.mapping.pss_bytes),
            words::size(m.mapping.rss_bytes),
            words::size(m.mapping.anon_bytes),
            words::size(m.mapping.swap_bytes.filter(|_| is_swapping)),
            m.mapping.size_bytes.to_string(),
            m.mapping.count.to_string(),
            if several { m.processes.to_string() } else { String::new() },
        ])
    };
    let held = mappings.iter().filter(is_held).count();
    let rows: Vec<Row> = mappings.iter().filter(is_held).take(count).map(row).collect();
    table::write(page, &columns, &rows);
    more(page, held, rows.len(), "name", "names");
}

fn open_files(page: &mut Page, inspection: &Inspection) {
    let Some(fds) = inspection.fds.as_ref().filter(|fds| !fds.is_empty()) else { return };
    let total = fds.values().fold(0u64, |sum, n| sum.saturating_add(*n));
    let whose = whose(inspection, |p| p.snapshot.fds.is_some());
    let note: Vec<String> = [words::grouped(i128::from(total))].into_iter().chain(whose).collect();
    page.heading("OPEN FILES", &note.join(", "));
    let kinds: Vec<String> =
        fds.iter().map(|(kind, n)| format!("{} {}", names::fd_kind(kind), words::grouped(i128::from(*n)))).collect();
    for line in super::layout::flow(&kinds, &format!(" {} ", page.glyphs.dot), page.inner_width()) {
        let line = page.text(&line);
        page.line(&line);
    }
}

pub(super) fn more(page: &mut Page, all: usize, shown: usize, one: &str, many: &str) {
    if all > shown {
        let rest = words::count(all - shown, one, many);
        page.paragraph(Role::Dim, 0, &format!("and {rest} more (--count)"));
    }
}

pub(super) fn gaps(page: &mut Page, gaps: &[Gap]) {
    if gaps.is_empty() {
        return;
    }
    page.heading("WHAT IS NOT KNOWN, AND WHY", "");
    for gap in gaps.iter().take(GAPS) {
        page.hanging(Role::Gap, page.glyphs.bullet, 2, &format!("{}: {}", gap.wanted, gap.why));
    }
    if gaps.len() > GAPS {
        page.paragraph(Role::Dim, 2, &format!("and {} more, in the JSON", gaps.len() - GAPS));
    }
}
