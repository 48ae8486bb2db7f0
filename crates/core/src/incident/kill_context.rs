//! What a program in the kernel saw of a kill, as the kernel's report would say it: where the log is silent, and beside it.
//!
//! The log is rate-limited (10 reports in 5 s, all cgroups together), its ring is overwritten, and reading it takes a privilege; the
//! program sees every kill. It sees it an instant *before* the kernel prints, so sizes may differ by what other CPUs charge or give back in
//! between; names and ids may not.

use super::identity::identify;
use super::{Incident, LIVE, Origin, live_evidence};
use crate::evidence::{
    ChainLevel, Constraint, Counter, Gap, Hook, KernelReport, KillContext, Part, Party, Scope, TaskTable, Trigger,
    Victim, VictimMemory,
};
use crate::text::Untrusted;
use crate::time::When;
use crate::units::Bytes;

/// What user space knows and the kernel's program does not say.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The path of a cgroup, as the kernel's log calls it, by the inode of its folder; `None` where nobody knows it any more.
    pub path_of: &'a dyn Fn(u64) -> Option<Untrusted>,
    /// Of the memory controller, `1` or `2`; without it nobody knows what the second counter of a level counts.
    pub cgroup_version: Option<u8>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("cgroup_version", &self.cgroup_version).finish_non_exhaustive()
    }
}

impl Incident {
    /// A kill that no log tells of. `at` is on the clock of the log, which names the kill; the context's own time is `CLOCK_MONOTONIC`.
    /// `gaps`: why there is no log.
    #[must_use]
    pub fn from_context(
        at: When,
        boot_id: Option<String>,
        context: KillContext,
        around: Surroundings<'_>,
        gaps: Vec<Gap>,
    ) -> Self {
        let mut incident = Self {
            at,
            origin: Origin { source: LIVE.to_owned(), boot_id, ..Origin::default() },
            kills: vec![KernelReport::default()],
            gaps,
            ..Self::default()
        };
        incident.add_context(context, around);
        incident
    }

    /// Adds what was seen of this kill in the kernel: kept as it is, and filled in where the log left something out. Where the two disagree,
    /// the log stays and a gap says so.
    ///
    /// After [`add_live`](Self::add_live): a limit that a context only deduces must not stand in the way of what the counters know.
    pub fn add_context(&mut self, context: KillContext, around: Surroundings<'_>) {
        LIVE.clone_into(&mut self.origin.source);
        if let Some(report) = self.kills.first_mut() {
            self.gaps.extend(complete(report, &context, around));
        }
        if self.identity.is_none() {
            let report = self.report();
            let owner = report.victim_cgroup.as_ref().or(report.limit_cgroup.as_ref());
            self.identity = owner.and_then(|path| identify(path.as_bytes()));
        }
        self.contexts.push(context);
        let lines = self.contexts.iter().flat_map(|context| live_evidence::context(context, around.path_of)).collect();
        self.cite(Part::KillContext, lines);
    }

    /// True where a program in the kernel was told by the kernel itself what ran out, and need not deduce it from what is full.
    #[must_use]
    pub fn is_named_by_context(&self) -> bool {
        let names = |context: &KillContext| match context.global {
            Some(is_global) => is_global || context.limit_cgroup_id.is_some(),
            None => false,
        };
        self.contexts.iter().any(|context| context.hook == Hook::OomKillProcess && names(context))
    }
}

/// The report that the kernel would have printed, as far as the context has it. Nothing of `extent`: no line was read.
#[must_use]
pub fn report_of(context: &KillContext, around: Surroundings<'_>) -> KernelReport {
    let level = context.limit_cgroup_id.and_then(|id| context.chain.iter().find(|level| level.cgroup_id == id));
    let is_memcg = context.global.map_or(context.limit_cgroup_id.is_some(), |is_global| !is_global);
    let victim_cgroup = (around.path_of)(context.victim.cgroup_id);
    let second = level.and_then(second_counter);
    KernelReport {
        scope: match (is_memcg, context.global) {
            (true, _) => Some(Scope::Memcg),
            (false, Some(_)) => Some(Scope::Global),
            (false, None) => None,
        },
        // That the machine ran out leaves open whether a cpuset or a memory policy narrowed it.
        constraint: (context.global == Some(false)).then_some(Constraint::Memcg),
        trigger: Some(trigger(&context.trigger)),
        gfp_mask: context.gfp_mask.map(|mask| format!("{mask:#x}")),
        order: context.order,
        limit_cgroup: context.limit_cgroup_id.filter(|_| is_memcg).and_then(around.path_of),
        usage_bytes: level.map(|level| level.usage_bytes),
        limit_bytes: level.and_then(|level| level.limit_bytes),
        failcnt: level.and_then(|level| level.failcnt),
        swap: second.filter(|_| around.cgroup_version == Some(2)),
        memory_swap: second.filter(|_| around.cgroup_version == Some(1)),
        victims: vec![victim(&context.victim, &context.victim_memory, victim_cgroup.clone())],
        victim_cgroup,
        tasks: context.tasks.clone(),
        // Each field has its name: no column is guessed.
        task_table: TaskTable { header_seen: !context.tasks.is_empty(), rows_damaged: 0 },
        cgroup_version: around.cgroup_version,
        ..KernelReport::default()
    }
}

fn trigger(party: &Party) -> Trigger {
    Trigger {
        pid: Some(party.tid),
        tgid: Some(party.pid),
        comm: Some(party.comm.clone()),
        oom_score_adj: Some(i32::from(party.oom_score_adj)),
        uid: Some(party.uid),
        ..Trigger::default()
    }
}

fn victim(party: &Party, memory: &VictimMemory, cgroup: Option<Untrusted>) -> Victim {
    Victim {
        pid: party.pid,
        comm: Some(party.comm.clone()),
        uid: Some(party.uid),
        total_vm_bytes: memory.total_vm_bytes,
        anon_bytes: memory.anon_bytes,
        file_bytes: memory.file_bytes,
        shmem_bytes: memory.shmem_bytes,
        pgtables_bytes: memory.pgtables_bytes,
        oom_score_adj: Some(i32::from(party.oom_score_adj)),
        cgroup,
        ..Victim::default()
    }
}

/// What a 64-bit kernel prints for no limit, with pages of 4 KiB: `PAGE_COUNTER_MAX` (include/linux/page_counter.h).
const NONE_PRINTED: Bytes = Bytes(9_007_199_254_740_988 << 10);

fn second_counter(level: &ChainLevel) -> Option<Counter> {
    let limit_bytes = level.swap_limit_bytes.unwrap_or(NONE_PRINTED);
    level.swap_usage_bytes.map(|usage_bytes| Counter { usage_bytes, limit_bytes, failcnt: None })
}

/// Fills in what the log left out, and never touches what it says.
///
/// Answers with the gaps: a context of another kill, and what the two do not agree on.
#[must_use]
pub fn complete(report: &mut KernelReport, context: &KillContext, around: Surroundings<'_>) -> Vec<Gap> {
    let seen = report_of(context, around);
    if !is_of(report, context) {
        return vec![Gap::new(
            "what the kernel's program saw of this kill",
            format!("it saw the kill of pid {}, which the log does not name", context.victim.pid),
        )];
    }
    let mut gaps = disagreements(report, &seen);
    gaps.extend(lacking(report, context));
    fill(report, seen);
    gaps
}

/// Whether the context can be of this kill: its victim is among those of the log, or the log names none.
#[must_use]
pub fn is_of(report: &KernelReport, context: &KillContext) -> bool {
    let named = report.victims.iter().chain(&report.killed_sharing_memory).chain(&report.chosen);
    let mut named = named.map(|victim| victim.pid).peekable();
    named.peek().is_none() || named.any(|pid| pid == context.victim.pid)
}

fn lacking(report: &KernelReport, context: &KillContext) -> Option<Gap> {
    (report.tasks.is_empty() && !context.tasks_complete && !context.tasks.is_empty()).then(|| {
        let why = "no log has the table, and there were more processes than a program in the kernel may look at";
        Gap::new("all rows of the task table", why)
    })
}

fn fill(report: &mut KernelReport, seen: KernelReport) {
    macro_rules! keep {
        ($to:expr, $from:expr; $($field:ident),*) => {{ $( $to.$field = $to.$field.take().or($from.$field); )* }};
    }
    keep!(report, seen; scope, constraint, gfp_mask, order, limit_cgroup, victim_cgroup, usage_bytes, limit_bytes, failcnt, swap, memory_swap, cgroup_version);
    match (&mut report.trigger, seen.trigger) {
        (Some(printed), Some(seen)) if printed.pid.is_none() || printed.pid == seen.pid => {
            keep!(printed, seen; pid, tgid, comm, oom_score_adj, uid);
        }
        (printed, seen) => *printed = printed.take().or(seen),
    }
    if report.tasks.is_empty() {
        report.tasks = seen.tasks;
        report.task_table = seen.task_table;
    }
    if report.victims.is_empty() && !report.no_killable_process {
        report.victims = seen.victims;
        return;
    }
    for seen in seen.victims {
        if let Some(printed) = report.victims.iter_mut().find(|printed| printed.pid == seen.pid) {
            keep!(printed, seen; comm, uid, total_vm_bytes, anon_bytes, file_bytes, shmem_bytes, pgtables_bytes, oom_score_adj, cgroup);
        }
    }
}

/// Sizes of two looks an instant apart: each CPU may have charged a batch of 64 pages, and threads of the victim run on until the signal.
fn differ(printed: Option<Bytes>, seen: Option<Bytes>) -> Option<(Bytes, Bytes)> {
    const SLACK: u64 = 4 << 20;
    let (printed, seen) = printed.zip(seen)?;
    let tolerated = SLACK.max(printed.0.max(seen.0) / 16);
    (printed.0.abs_diff(seen.0) > tolerated).then_some((printed, seen))
}

fn disagreements(printed: &KernelReport, seen: &KernelReport) -> Vec<Gap> {
    let mut found: Vec<(&str, String, String)> = Vec::new();
    let paths = [
        ("the cgroup whose limit was reached", &printed.limit_cgroup, &seen.limit_cgroup),
        ("the victim's cgroup", &printed.victim_cgroup, &seen.victim_cgroup),
    ];
    for (what, printed, seen) in paths {
        if let (Some(printed), Some(seen)) = (printed, seen)
            && printed != seen
        {
            found.push((what, printed.to_string(), seen.to_string()));
        }
    }
    let tid = |report: &KernelReport| report.trigger.as_ref().and_then(|trigger| trigger.pid);
    if let Some((printed, seen)) = tid(printed).zip(tid(seen)).filter(|(printed, seen)| printed != seen) {
        found.push(("who asked for the memory", format!("thread {printed}"), format!("thread {seen}")));
    }
    let same_limit = printed.limit_cgroup.as_ref().zip(seen.limit_cgroup.as_ref()).is_none_or(|(a, b)| a == b);
    let sizes = [
        ("the limit", printed.limit_bytes, seen.limit_bytes),
        ("what was charged", printed.usage_bytes, seen.usage_bytes),
    ];
    let sizes = sizes.into_iter().filter(|_| same_limit);
    for (what, printed, seen) in sizes.filter_map(|(what, a, b)| differ(a, b).map(|(a, b)| (what, a, b))) {
        let (printed, seen) = printed.side_by_side(seen);
        found.push((what, printed, seen));
    }
    let to_gap = |(what, printed, seen): (&str, String, String)| {
        Gap::new(
            format!("{what}, beyond doubt"),
            format!("the log says {printed}, and a program in the kernel saw {seen}; the log's is kept"),
        )
    };
    found.into_iter().map(to_gap).collect()
}

#[cfg(test)]
#[path = "kill_context_tests.rs"]
mod tests;
