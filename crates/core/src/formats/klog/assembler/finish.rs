//! Turns what was read of a report into facts, and what was not into gaps.

use super::LogEvent;
use super::draft::{Draft, OtherPages, RawRow, SummaryVictim};
use super::recent::Recent;
use crate::evidence::{Comm, Constraint, Gap, KernelReport, NodeMemory, Scope, Task, Victim};
use crate::formats::klog::message::Column;
use crate::units::Bytes;

/// What every common architecture uses where the log does not tell.
const USUAL_PAGE: u64 = 4096;

pub(super) fn finish(mut draft: Draft, recent: &mut Recent) -> LogEvent {
    let told = page_size(&draft);
    let page = told.unwrap_or(USUAL_PAGE);
    let rows = std::mem::take(&mut draft.rows);
    let report = &mut draft.report;
    report.page_size_bytes = told;
    report.tasks = rows.iter().map(|row| task(row, page)).collect();
    if let Some(memory) = report.node_memory.as_mut() {
        fill_node_memory(memory, &draft.total_pages, &draft.other_pages, page);
    }
    settle_scope(report);
    if report.no_killable_process || (report.panic.is_some() && report.victims.is_empty()) {
        report.group_kill.get_or_insert(false);
    }
    settle_victims(report, draft.summary.as_ref());
    settle_cgroup_version(report);
    let bare =
        !report.extent.header && report.tasks.is_empty() && !report.extent.oom_kill_line && report.extent.kill_line;
    report.extent.rate_limited = bare && recent.rate_limit_reached(draft.killed_at.and_then(|at| at.boot_us));
    let mut gaps = gaps(&draft);
    let suppressed = std::mem::take(&mut recent.suppressed);
    if suppressed > 0 {
        gaps.push(Gap::new(
            format!("{suppressed} reports of kills before this one"),
            "the kernel's rate limit (10 reports in 5 s) suppressed them; only their kill lines were printed",
        ));
    }
    LogEvent {
        at: draft.killed_at.unwrap_or(draft.last_at),
        lines: draft.lines,
        host: draft.host,
        boot_id: draft.boot_id,
        evidence: draft.evidence,
        report: draft.report,
        gaps,
    }
}

/// The smallest free block is one page; without free lists, a victim's size is told in pages by the table and in KiB by its
/// kill line; and the number that stands for "no limit" is a whole number of pages.
fn page_size(draft: &Draft) -> Option<u64> {
    let known = |bytes: u64| [4096, 8192, 16384, 32768, 65536].contains(&bytes).then_some(bytes);
    let by_free_list = draft
        .report
        .node_memory
        .iter()
        .flat_map(|m| &m.zones)
        .find_map(|z| z.free_blocks.first())
        .and_then(|b| known(b.block_bytes.0));
    let by_victim = || {
        draft.report.victims.iter().find_map(|victim| {
            let bytes = victim.total_vm_bytes?.0;
            let row = draft.rows.iter().find(|row| row.pid == victim.pid)?;
            let pages = cell(row, Column::TotalVm).filter(|pages| *pages > 0)?;
            (bytes % pages == 0).then(|| known(bytes / pages)).flatten()
        })
    };
    let by_no_limit = || {
        let counters = [draft.report.swap, draft.report.memory_swap, draft.report.kmem];
        let limits = counters.into_iter().flatten().map(|c| c.limit_bytes).chain(draft.report.limit_bytes);
        limits.into_iter().find_map(|limit| match limit.0 >> 10 {
            9_007_199_254_740_988 => Some(4096),
            9_007_199_254_740_976 => Some(16384),
            9_007_199_254_740_928 => Some(65536),
            _ => None,
        })
    };
    // Debian, Ubuntu and RHEL build such kernels with a name of their own: `6.12.107+deb13-arm64-16k`.
    let by_release = || {
        let release = draft.report.kernel_release.as_deref()?;
        [("-64k", 65536), ("+64k", 65536), ("-16k", 16384), ("+16k", 16384)]
            .into_iter()
            .find_map(|(suffix, bytes)| release.contains(suffix).then_some(bytes))
    };
    by_free_list.or_else(by_victim).or_else(by_no_limit).or_else(by_release)
}

fn cell(row: &RawRow, column: Column) -> Option<u64> {
    row.cells.iter().find(|(c, _)| *c == column).and_then(|(_, value)| u64::try_from(*value).ok())
}

fn task(row: &RawRow, page: u64) -> Task {
    let signed = |column| row.cells.iter().find(|(c, _)| *c == column).and_then(|(_, v)| i32::try_from(*v).ok());
    let id = |column| {
        let value = row.cells.iter().find(|(c, _)| *c == column).map(|(_, v)| *v)?;
        u32::try_from(value).ok().or_else(|| i32::try_from(value).ok().map(i32::cast_unsigned))
    };
    let pages = |column| cell(row, column).map(|n| Bytes::from_pages(n, page));
    let tables = [Column::NrPtes, Column::NrPmds, Column::NrPuds]
        .into_iter()
        .filter_map(|c| cell(row, c))
        .reduce(u64::saturating_add);
    Task {
        pid: row.pid,
        tgid: id(Column::Tgid),
        uid: id(Column::Uid),
        comm: Comm(row.comm.clone()),
        total_vm_bytes: pages(Column::TotalVm),
        rss_bytes: pages(Column::Rss),
        anon_bytes: pages(Column::RssAnon),
        file_bytes: pages(Column::RssFile),
        shmem_bytes: pages(Column::RssShmem),
        pgtables_bytes: cell(row, Column::PgtablesBytes)
            .map(Bytes)
            .or_else(|| tables.map(|n| Bytes::from_pages(n, page))),
        swap_bytes: pages(Column::Swapents),
        oom_score_adj: signed(Column::OomScoreAdj),
        oom_adj: signed(Column::OomAdj),
    }
}

fn fill_node_memory(memory: &mut NodeMemory, totals: &indexmap::IndexMap<String, u64>, other: &OtherPages, page: u64) {
    let bytes = |pages: Option<u64>| pages.map(|n| Bytes::from_pages(n, page));
    memory.totals_bytes = totals.iter().map(|(key, pages)| (key.clone(), pages.saturating_mul(page))).collect();
    memory.pagecache_bytes = bytes(other.pagecache);
    memory.ram_bytes = bytes(other.ram);
    memory.reserved_bytes = bytes(other.reserved);
}

/// What proves a memory cgroup proves the constraint, also where no `oom-kill:` line says it.
fn settle_scope(report: &mut KernelReport) {
    if report.scope.is_none() && report.panic.as_ref().is_some_and(|panic| is_about_the_machine(&panic.message)) {
        report.scope = Some(Scope::Global);
    }
    if report.scope == Some(Scope::Memcg) {
        report.constraint.get_or_insert(Constraint::Memcg);
    }
}

/// Panics that only an OOM of the machine ends in; `compulsory panic_on_oom` a cgroup's limit can cause as well.
/// Before 4.19 "no killable processes" was such a panic, and not said of cgroups.
fn is_about_the_machine(message: &str) -> bool {
    message.contains("deadlocked on memory")
        || message.contains("system-wide panic_on_oom")
        || message.starts_with("Out of memory and no killable")
}

/// Completes the victims from the lines around the kill line.
fn settle_victims(report: &mut KernelReport, summary: Option<&SummaryVictim>) {
    let chosen = report.chosen.take();
    if report.victims.is_empty() && !report.no_killable_process && report.panic.is_none() {
        // No kill line: whom the kernel announced.
        if let Some(s) = summary {
            report.victims.push(Victim {
                pid: s.pid,
                comm: Some(Comm(s.comm.clone())),
                uid: s.uid,
                only_chosen: true,
                ..Victim::default()
            });
        } else if let Some(chosen) = &chosen {
            report.victims.push(Victim { only_chosen: true, ..chosen.clone() });
        }
    }
    let first = report.victims.first().map(|v| v.pid);
    if let Some(chosen) = chosen {
        match report.victims.first_mut().filter(|v| v.pid == chosen.pid) {
            Some(victim) => victim.score = chosen.score,
            None => report.chosen = Some(chosen),
        }
    }
    for victim in &mut report.victims {
        let row = report.tasks.iter().find(|task| task.pid == victim.pid);
        let summary = summary.filter(|s| s.pid == victim.pid);
        if let Some(s) = summary {
            victim.uid = victim.uid.or(s.uid);
            victim.comm.get_or_insert_with(|| Comm(s.comm.clone()));
        }
        let Some(row) = row else { continue };
        victim.uid = victim.uid.or(row.uid);
        victim.comm.get_or_insert_with(|| row.comm.clone());
        victim.oom_score_adj = victim.oom_score_adj.or(row.oom_score_adj);
        // 5.4.0 to 5.4.7 print bytes and call them kB (fixed by 941f762bcb27).
        if let (Some(line), Some(table)) = (victim.pgtables_bytes, row.pgtables_bytes)
            && table.0 > 0
            && line.0 == table.0.saturating_mul(1024)
        {
            victim.pgtables_bytes = Some(table);
        }
    }
    if let (Some(pid), Some(cgroup)) = (first, report.victim_cgroup.clone()) {
        let named = summary.is_none_or(|s| s.pid == pid);
        let group = report.group_kill == Some(true);
        for victim in report
            .victims
            .iter_mut()
            .filter(|v| (v.pid == pid && named) || (group && report.limit_cgroup.as_ref() == Some(&cgroup)))
        {
            victim.cgroup = Some(cgroup.clone());
        }
    }
}

/// `swap:` is printed on v2, `kmem:` on v1; the statistics' names tell too.
fn settle_cgroup_version(report: &mut KernelReport) {
    if report.cgroup_version.is_some() {
        return;
    }
    let stat = report.memory_stat.as_ref();
    if stat.is_some_and(|s| {
        s.contains_key("total_rss") || s.contains_key("hierarchical_memory_limit") || s.contains_key("cache")
    }) {
        report.cgroup_version = Some(1);
    }
}

fn gaps(draft: &Draft) -> Vec<Gap> {
    let report = &draft.report;
    let mut gaps = Vec::new();
    let mut gap = |wanted: &str, why: String| gaps.push(Gap::new(wanted, why));
    let bare = !report.extent.header && report.tasks.is_empty() && !report.extent.oom_kill_line;
    if bare && report.extent.kill_line {
        let why = if report.extent.rate_limited {
            "the kernel prints at most 10 reports in 5 s and gave only the kill line for this one"
        } else {
            "the log holds only the kill line: rate-limited by the kernel, filtered, or cut"
        };
        gap("trigger, limit, task table", why.to_owned());
    } else if !report.extent.header {
        gap(
            "trigger, gfp mask and order",
            format!("the log has no `invoked oom-killer` line for this report, which begins at line {}", draft.lines.0),
        );
    } else if report.trigger.as_ref().is_some_and(|t| t.pid.is_none()) {
        gap("thread id of the trigger", "the log has no `CPU: … PID: …` line for this report".to_owned());
    }
    if !report.extent.kill_line && !report.no_killable_process && report.panic.is_none() {
        gap(
            "who was killed",
            format!("the log has no `Killed process` line for this report, which ends at line {}", draft.lines.1),
        );
    }
    if report.tasks.is_empty() && report.extent.header && (report.extent.kill_line || report.extent.oom_kill_line) {
        gap("task table", "the report has none: vm.oom_dump_tasks is 0, or its lines were lost".to_owned());
    }
    if report.task_table.rows_damaged > 0 {
        gap("rows of the task table", format!("{} broke off before the process name", report.task_table.rows_damaged));
    }
    if !report.tasks.is_empty() && !report.task_table.header_seen {
        gap(
            "beginning of the task table",
            "its header line is not in the log, so rows may be missing too; columns were told by their number"
                .to_owned(),
        );
    }
    if draft.rows_left_out > 0 {
        gap(
            "rest of the task table",
            format!("{} rows beyond the {} that are kept", draft.rows_left_out, report.tasks.len()),
        );
    }
    if report.extent.records_lost > 0 {
        gap(
            "log records inside the report",
            format!("{} are missing by their sequence numbers or the kernel's own count", report.extent.records_lost),
        );
    }
    if report.scope == Some(Scope::Memcg) && report.limit_cgroup.is_none() {
        gap("cgroup whose limit was hit", "no line that is left of the report names it".to_owned());
    }
    gaps
}
