//! The kernel's choice, replayed: `oom_badness()` of mm/oom_kill.c over the task table of the report.
//!
//! Points are pages: resident + swapped out + page tables + `oom_score_adj` × domain / 1000. The domain is the limit of the
//! cgroup, or the memory of the machine (of its allowed nodes) with swap. The table is printed after the choice was made, and
//! other CPUs keep allocating meanwhile, so a close race cannot be judged: within 1 % or 64 pages the choice is *consistent*.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::facts::{KernelVersion, list_contains};
use super::memory::managed_bytes;
use crate::evidence::{Comm, Constraint, Gap, KernelReport, NodeMemory, Scope, Task};
use crate::units::{Bytes, Limit};

/// Rows of the ranking that a diagnosis keeps; the table of a large machine has thousands.
pub(super) const MAX_ROWS: usize = 50;

/// One process of the table with its points, as the kernel computed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// As in the table.
    pub pid: u32,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Points in pages, `oom_score_adj` included.
    pub points: i64,
    /// Of these, what `oom_score_adj` gave or took.
    pub adj_points: i64,
    /// Its memory (without `oom_score_adj`), in thousandths of the domain; `null` where the domain's size is unknown.
    pub share_permille: Option<u64>,
    /// False for a process that the kernel never kills: `oom_score_adj` −1000, or pid 1.
    pub eligible: bool,
    /// The kernel chose it.
    pub is_victim: bool,
}

impl Ranked {
    /// Points without `oom_score_adj`: its memory in pages.
    #[must_use]
    pub const fn own_points(&self) -> i64 {
        self.points.saturating_sub(self.adj_points)
    }
}

/// How the kernel's choice compares with the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The chosen process has the most points.
    Confirmed,
    /// Another has more, by less than the table's uncertainty.
    Consistent,
    /// Another has clearly more.
    Contradicted,
    /// The kernel took whoever asked (`vm.oom_kill_allocating_task`), not the one with the most points.
    NotByPoints,
    /// The chosen process is not in the table, or none was chosen.
    NotInTable,
}

/// The replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// What `oom_score_adj` is a share of, in bytes; `null` where unknown (then every adj is equal, and does not matter).
    pub domain_bytes: Option<u64>,
    /// Most points first, those that are never killed last; at most 50.
    pub rows: Vec<Ranked>,
    /// How many more there were.
    pub rows_omitted: u64,
    /// The verdict on the kernel's choice.
    pub choice: Choice,
    /// True where the chosen process would not have been first by memory alone.
    pub adj_decided: bool,
}

/// The first release with percent-free points and `oom_score_adj`.
const OOM_SCORE_ADJ: KernelVersion = KernelVersion(2, 6, 36);
/// The last releases before 4.17 spare 3 % of the points of privileged processes (removed by commit d46078b28889).
const NO_ROOT_BONUS: KernelVersion = KernelVersion(4, 17, 0);

/// Replays the choice; the gap says what was missing.
pub(super) fn replay(report: &KernelReport, page_size: u64, no_table: &Gap) -> Result<Ranking, Gap> {
    let tasks = processes(&report.tasks);
    if tasks.is_empty() {
        return Err(no_table.clone());
    }
    let kernel = KernelVersion::of(report);
    if kernel.is_some_and(|k| k < OOM_SCORE_ADJ) || tasks.iter().any(|t| t.oom_adj.is_some()) {
        return Err(Gap::new("replay of the kernel's choice", "kernels before 2.6.36 choose by another formula"));
    }
    if tasks.iter().any(|t| t.rss_bytes.is_none()) {
        return Err(Gap::new("replay of the kernel's choice", "rows of the task table are damaged"));
    }
    let domain_bytes = domain(report);
    let one_adj = all_equal(tasks.iter().filter(|t| eligible(t)).map(|t| t.oom_score_adj));
    if domain_bytes.is_none() && !one_adj {
        return Err(Gap::new(
            "replay of the kernel's choice",
            "the processes differ in oom_score_adj, and how much memory that is a share of is not in the log",
        ));
    }
    let chosen = chosen_pid(report);
    let domain_pages = domain_bytes.map(|bytes| pages(bytes, page_size));
    let mut rows: Vec<Ranked> = tasks.iter().map(|task| rank(task, domain_pages, page_size, chosen)).collect();
    rows.sort_by_key(|r| (Reverse(r.eligible), Reverse(r.points), Reverse(r.is_victim)));
    let tolerance = if kernel.is_some_and(|k| k >= NO_ROOT_BONUS) { 100 } else { 32 };
    let choice = if report.allocating_task_killed { Choice::NotByPoints } else { judge(&rows, tolerance) };
    let judged = !matches!(choice, Choice::NotInTable | Choice::NotByPoints);
    let adj_decided = judged && !one_adj && decided_by_adj(&rows);
    let rows_omitted = rows.len().saturating_sub(MAX_ROWS) as u64;
    rows.truncate(MAX_ROWS);
    Ok(Ranking { domain_bytes, rows, rows_omitted, choice, adj_decided })
}

/// One row a process: kernels before 2.6.37 list threads, which share the memory of their leader.
fn processes(tasks: &[Task]) -> Vec<&Task> {
    let leaders: std::collections::HashSet<u32> =
        tasks.iter().filter(|t| t.tgid == Some(t.pid)).map(|t| t.pid).collect();
    tasks.iter().filter(|t| t.tgid.is_none_or(|tgid| tgid == t.pid || !leaders.contains(&tgid))).collect()
}

fn eligible(task: &Task) -> bool {
    // `oom_unkillable_task()`: the init of the machine. A container's own pid 1 has another pid in this table.
    task.oom_score_adj != Some(-1000) && task.pid != 1
}

fn all_equal<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    values.next().is_none_or(|first| values.all(|v| v == first))
}

/// The process that the kernel scored: the parent where a child was sacrificed for it.
fn chosen_pid(report: &KernelReport) -> Option<u32> {
    report.chosen.as_ref().or(report.victims.first()).map(|v| v.pid)
}

fn rank(task: &Task, domain_pages: Option<i64>, page_size: u64, chosen: Option<u32>) -> Ranked {
    let own = memory_pages([task.rss_bytes, task.swap_bytes, task.pgtables_bytes], page_size);
    let badness = Badness::new(own, task.oom_score_adj.unwrap_or(0), domain_pages);
    Ranked {
        pid: task.pid,
        comm: task.comm.clone(),
        points: badness.points(),
        adj_points: badness.adj,
        share_permille: domain_pages.filter(|d| *d > 0).and_then(|d| u64::try_from(own.saturating_mul(1000) / d).ok()),
        eligible: eligible(task),
        is_victim: chosen.is_some_and(|pid| task.pid == pid || task.tgid == Some(pid)),
    }
}

/// What a process weighs, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Badness {
    /// Its memory.
    pub(crate) own: i64,
    /// What `oom_score_adj` gives or takes.
    pub(crate) adj: i64,
}

impl Badness {
    /// `domain_pages` is what `oom_score_adj` is a share of; where that is unknown it counts for nothing.
    pub(crate) fn new(own: i64, oom_score_adj: i32, domain_pages: Option<i64>) -> Self {
        let adj = domain_pages.map_or(0, |domain| (domain / 1000).saturating_mul(i64::from(oom_score_adj)));
        Self { own, adj }
    }

    pub(crate) fn points(self) -> i64 {
        self.own.saturating_add(self.adj)
    }
}

/// Resident, swapped out and page tables together, each in whole pages as the kernel counts them.
pub(crate) fn memory_pages(parts: [Option<Bytes>; 3], page_size: u64) -> i64 {
    parts.into_iter().fold(0, |sum, part| sum.saturating_add(pages(part.map_or(0, |bytes| bytes.0), page_size)))
}

/// Whole pages.
pub(crate) fn pages(bytes: u64, page_size: u64) -> i64 {
    i64::try_from(bytes / page_size.max(1)).unwrap_or(i64::MAX)
}

/// By how many pages two scores may differ without that saying which is really larger: memory is counted at different instants,
/// and by the kernel itself in batches on every CPU. `tolerance` is the divisor of the larger one: 100 for 1 %.
pub(crate) fn uncertainty(largest: i64, tolerance: i64) -> i64 {
    (largest / tolerance).max(64)
}

/// `tolerance` is the divisor of the larger points that makes the margin: 100 for 1 %.
fn judge(rows: &[Ranked], tolerance: i64) -> Choice {
    let Some(victim) = rows.iter().find(|r| r.is_victim) else { return Choice::NotInTable };
    let Some(first) = rows.first() else { return Choice::NotInTable };
    let margin = uncertainty(first.own_points().max(victim.own_points()), tolerance);
    match first.points.saturating_sub(victim.points) {
        _ if !victim.eligible => Choice::Contradicted,
        0 => Choice::Confirmed,
        behind if behind <= margin => Choice::Consistent,
        _ => Choice::Contradicted,
    }
}

/// Whether another process that may be killed holds clearly more memory than the chosen one.
fn decided_by_adj(rows: &[Ranked]) -> bool {
    let Some(victim) = rows.iter().find(|r| r.is_victim) else { return false };
    let margin = uncertainty(victim.own_points(), 100);
    rows.iter().any(|r| r.own_points() > victim.own_points().saturating_add(margin))
}

/// `totalpages` of `constrained_alloc()`, in bytes.
fn domain(report: &KernelReport) -> Option<u64> {
    let cgroup = report.scope == Some(Scope::Memcg) || report.constraint == Some(Constraint::Memcg);
    if cgroup { domain_of_cgroup(report) } else { domain_of_node(report, report.node_memory.as_ref()?) }
}

/// `mem_cgroup_get_max()`: the limit, with the swap that it may use. How much swap the machine has is not in such a
/// report, so swap counts only where some is in use.
fn domain_of_cgroup(report: &KernelReport) -> Option<u64> {
    let limit = Limit::from_printed(report.limit_bytes?).bytes()?.0;
    let finite = |c: Option<crate::evidence::Counter>| {
        c.and_then(|c| Limit::from_printed(c.limit_bytes).bytes().map(|l| (c.usage_bytes.0, l.0)))
    };
    let swapping = report.tasks.iter().any(|t| t.swap_bytes.is_some_and(|b| b.0 > 0));
    let swap = match (finite(report.memory_swap), finite(report.swap)) {
        (Some((_, both)), _) if swapping => both.saturating_sub(limit),
        (None, Some((used, swap))) if used > 0 => swap,
        _ => 0,
    };
    Some(limit.saturating_add(swap))
}

fn domain_of_node(report: &KernelReport, node: &NodeMemory) -> Option<u64> {
    let swap = node.swap.and_then(|s| s.total_bytes).map_or(0, |b| b.0);
    let allowed = match report.constraint {
        Some(Constraint::Cpuset) => Some(report.mems_allowed.as_deref()?),
        Some(Constraint::MemoryPolicy) => Some(report.nodemask.as_deref()?),
        _ => None,
    };
    let memory = match allowed {
        None => managed_bytes(node)?,
        // For these it is all that is present on the allowed nodes, also what is not managed.
        Some(nodes) => node
            .zones
            .iter()
            .filter(|zone| list_contains(nodes, zone.node))
            .map(|zone| zone.counters_bytes.get("present").copied())
            .try_fold(0u64, |sum, b| b.map(|b| sum.saturating_add(b)))
            .filter(|sum| *sum > 0)?,
    };
    Some(memory.saturating_add(swap))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Victim;

    fn task(pid: u32, rss_pages: u64, adj: i32) -> Task {
        Task {
            pid,
            tgid: Some(pid),
            comm: "x".into(),
            rss_bytes: Some(Bytes(rss_pages * 4096)),
            oom_score_adj: Some(adj),
            ..Task::default()
        }
    }

    fn killed(pid: u32, tasks: Vec<Task>) -> KernelReport {
        KernelReport {
            scope: Some(Scope::Memcg),
            limit_bytes: Some(Bytes::from_kib(65536)),
            victims: vec![Victim { pid, ..Victim::default() }],
            tasks,
            kernel_release: Some("6.1.0".into()),
            ..KernelReport::default()
        }
    }

    fn replayed(report: &KernelReport) -> Result<Ranking, Gap> {
        replay(report, 4096, &Gap::new("task table", "test"))
    }

    /// Scenario y of 6.1: a small process of another pod dies because its adj weighs more than the larger one's memory.
    #[test]
    fn adj_decides() {
        let ranking = replayed(&killed(164, vec![task(165, 13514, 250), task(164, 3153, 1000)])).unwrap();
        assert_eq!((ranking.choice, ranking.adj_decided), (Choice::Confirmed, true));
        assert_eq!(ranking.rows[0].points, 3153 + 16 * 1000);
    }

    /// A close race is not a contradiction, a clear one is.
    #[test]
    fn races() {
        assert_eq!(
            replayed(&killed(2, vec![task(1000, 10060, 0), task(2, 10000, 0)])).unwrap().choice,
            Choice::Consistent
        );
        assert_eq!(
            replayed(&killed(2, vec![task(1000, 20000, 0), task(2, 10000, 0)])).unwrap().choice,
            Choice::Contradicted
        );
        assert_eq!(replayed(&killed(7, vec![task(2, 10000, 0)])).unwrap().choice, Choice::NotInTable);
    }

    /// −1000 and pid 1 are never first, however large.
    #[test]
    fn spared() {
        let ranking = replayed(&killed(3, vec![task(1, 9000, 0), task(2, 9000, -1000), task(3, 10, 0)])).unwrap();
        assert_eq!(ranking.choice, Choice::Confirmed);
        assert_eq!(ranking.rows.iter().filter(|r| r.eligible).count(), 1);
    }

    /// Without a limit, equal adj still allow a ranking; different ones do not.
    #[test]
    fn unknown_domain() {
        let mut report = killed(2, vec![task(2, 100, 5), task(3, 50, 5)]);
        report.limit_bytes = None;
        assert_eq!(replayed(&report).unwrap().choice, Choice::Confirmed);
        report.tasks.push(task(4, 1, 6));
        assert!(replayed(&report).is_err());
    }

    /// Kernels before 2.6.36 had another formula.
    #[test]
    fn ancient() {
        let mut report = killed(2, vec![task(2, 100, 0)]);
        report.kernel_release = Some("2.6.32-754.el6.x86_64".into());
        assert!(replayed(&report).is_err());
    }
}
