//! What several rules need to know of an incident, worked out once.

use super::Killer;
use super::counted;
use super::dashboards::Dashboards;
use super::growth::{self, Grower};
use super::kubernetes::{self, Judged};
use super::memory::{Filler, MemoryUse};
use super::pattern::Pattern;
use super::ranking::{self, Ranking};
use super::recorded::Recorded;
use super::rules::Answer;
use super::verdict::{self, Verdict};
use crate::evidence::{Gap, KernelReport, Part, Scope, Task, Trigger, Victim};
use crate::incident::Incident;
use crate::incident::describe::describe;
use crate::incident::identity::identify;
use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

/// One incident with what follows directly from its evidence.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// Its report.
    pub report: &'a KernelReport,
    /// Which killer.
    pub verdict: Verdict,
    /// Size of a page, in bytes; 4096 where the log does not tell.
    pub page_size: u64,
    /// Where the memory went.
    pub memory: Option<MemoryUse>,
    /// The kernel's choice, replayed.
    pub ranking: Result<Ranking, Gap>,
    /// How a container ended that only Kubernetes tells of.
    pub(super) ending: Option<Judged<'a>>,
    /// What was recorded before the kill.
    pub(super) recorded: Recording<'a>,
}

/// The minutes before the kill, with what follows from them.
#[derive(Debug)]
pub(super) enum Recording<'a> {
    /// Nothing recorded them.
    None,
    /// They were recorded, but not of this cgroup.
    Lacking(Gap),
    /// They are known.
    Of(Box<Minutes<'a>>),
}

/// See [`Recording`].
#[derive(Debug)]
pub(super) struct Minutes<'a> {
    pub(super) recorded: Recorded<'a>,
    pub(super) pattern: Result<Pattern, Gap>,
    pub(super) growth: Vec<Grower>,
    pub(super) dashboards: Option<Dashboards>,
}

impl<'a> Recording<'a> {
    fn of(incident: &'a Incident, memory: Option<&MemoryUse>) -> Self {
        let recorded = match Recorded::of(incident) {
            None => return Self::None,
            Some(Err(gap)) => return Self::Lacking(gap),
            Some(Ok(recorded)) => recorded,
        };
        let pattern = Pattern::of(&recorded, memory);
        let rise_us = pattern.as_ref().ok().map(|pattern| recorded.kill.0.saturating_sub(pattern.from_us.0));
        let growth = growth::of(&recorded, incident.report(), rise_us);
        let dashboards = Dashboards::of(&recorded);
        Self::Of(Box::new(Minutes { recorded, pattern, growth, dashboards }))
    }

    /// The minutes, or what a rule that asks about them answers instead.
    pub(super) fn minutes(&self) -> Result<&Minutes<'a>, Answer> {
        match self {
            Self::None => Err(Answer::Absent),
            Self::Lacking(gap) => Err(Answer::CannotTell(gap.clone())),
            Self::Of(minutes) => Ok(minutes),
        }
    }
}

impl<'a> Facts<'a> {
    /// Works them out.
    #[must_use]
    pub fn of(incident: &'a Incident) -> Self {
        let report = incident.report();
        let ending = kubernetes::judge(incident);
        let verdict = match &ending {
            Some(Judged { killer, confidence, .. }) => Verdict { killer: *killer, confidence: *confidence, gap: None },
            None => counted::verdict(incident),
        };
        let page_size = report.page_size_bytes.filter(|p| *p > 0).unwrap_or(4096);
        let memory = memory(report, verdict.killer);
        Self {
            incident,
            report,
            page_size,
            recorded: Recording::of(incident, memory.as_ref()),
            memory,
            ranking: ranking::replay(report, page_size, &missing(incident, "task table", Part::TaskTable)),
            verdict,
            ending,
        }
    }

    /// The gap for a part of the report that the log has not, with the most likely reason.
    #[must_use]
    pub fn missing(&self, wanted: &str, part: Part) -> Gap {
        missing(self.incident, wanted, part)
    }

    /// A limit of some cgroup was hit.
    #[must_use]
    pub fn is_cgroup_kill(&self) -> bool {
        use Killer::{AncestorLimit, CgroupLimit, ContainerLimit, PodLimit};
        matches!(self.verdict.killer, ContainerLimit | PodLimit | AncestorLimit | CgroupLimit)
            || self.report.scope == Some(Scope::Memcg)
            || (self.report.scope.is_none() && verdict::charge_in_stack(self.report))
    }

    /// The machine, or some of its memory nodes, ran out; a kill by sysrq-f is not one.
    #[must_use]
    pub fn is_node_kill(&self) -> bool {
        matches!(self.verdict.killer, Killer::Node | Killer::Cpuset | Killer::MemoryPolicy) && !self.is_sysrq()
    }

    /// Only some of the machine's memory nodes were allowed.
    #[must_use]
    pub fn is_of_some_nodes(&self) -> bool {
        matches!(self.verdict.killer, Killer::Cpuset | Killer::MemoryPolicy)
    }

    /// A person or a watchdog asked for it.
    #[must_use]
    pub fn is_sysrq(&self) -> bool {
        self.report.sysrq || self.report.order == Some(-1)
    }

    /// The limit that was hit, where the log says it and it is one.
    #[must_use]
    pub fn limit(&self) -> Option<Bytes> {
        self.report.limit_bytes.and_then(|l| Limit::from_printed(l).bytes())
    }

    /// cgroup v1's limit of memory and swap together, where that was hit and the limit of memory was not.
    #[must_use]
    pub fn memory_swap_hit(&self) -> Option<(Bytes, Bytes)> {
        let slack = self.page_size.saturating_mul(64);
        let memory_free = self.report.usage_bytes?.0.saturating_add(slack) < self.report.limit_bytes?.0;
        self.memory_swap_at_limit().filter(|_| memory_free)
    }

    /// Swap that the cgroup was allowed was used up: its own limit (v2), or that of memory and swap together (v1).
    #[must_use]
    pub fn swap_full(&self) -> bool {
        let own = self.report.swap.filter(|s| s.limit_bytes.0 > 0);
        let own = own.and_then(|s| {
            Limit::from_printed(s.limit_bytes).bytes().map(|limit| s.usage_bytes.share_of(limit) >= 0.98)
        });
        own.unwrap_or(false) || self.memory_swap_at_limit().is_some()
    }

    /// cgroup v1: memory and swap together stand at their limit, and swap is part of it. Charges come in batches of 64
    /// pages, so a little less than the limit is at it.
    #[must_use]
    pub fn memory_swap_at_limit(&self) -> Option<(Bytes, Bytes)> {
        let both = self.report.memory_swap?;
        let limit = Limit::from_printed(both.limit_bytes).bytes()?;
        let slack = self.page_size.saturating_mul(64);
        let swapped = both.usage_bytes > self.report.usage_bytes?;
        (swapped && both.usage_bytes.0.saturating_add(slack) >= limit.0).then_some((both.usage_bytes, limit))
    }

    /// The first process that was killed.
    #[must_use]
    pub fn victim(&self) -> Option<&'a Victim> {
        self.report.victims.first()
    }

    /// Who asked for the page.
    #[must_use]
    pub fn trigger(&self) -> Option<&'a Trigger> {
        self.report.trigger.as_ref()
    }

    /// The table was read whole, as far as the log can show: no row is known to be missing, damaged or left out.
    #[must_use]
    pub fn table_is_whole(&self) -> bool {
        let report = self.report;
        !report.tasks.is_empty()
            && report.task_table.header_seen
            && report.task_table.rows_damaged == 0
            && report.extent.records_lost == 0
            && self.incident.gaps.iter().all(|gap| !gap.wanted.contains("task table"))
    }

    /// The row of a process or of one of its threads.
    #[must_use]
    pub fn row_of(&self, pid: u32) -> Option<&'a Task> {
        self.report.tasks.iter().find(|t| t.pid == pid || t.tgid == Some(pid))
    }

    /// What a victim's death gives back: anonymous and shared memory, from the kill line, else from the table.
    #[must_use]
    pub fn held_by(&self, victim: &Victim) -> Option<Bytes> {
        match (victim.anon_bytes, victim.shmem_bytes) {
            (Some(anon), shmem) => Some(Bytes(anon.0.saturating_add(shmem.map_or(0, |b| b.0)))),
            (None, _) => self.row_of(victim.pid).and_then(held_by_task),
        }
    }

    /// All that is resident of a victim, file pages included: from the table, so that it compares with the other rows, else
    /// from the kill line.
    #[must_use]
    pub fn resident(&self, victim: &Victim) -> Option<Bytes> {
        self.row_of(victim.pid).and_then(|t| t.rss_bytes).or_else(|| {
            let (anon, file) = victim.anon_bytes.zip(victim.file_bytes)?;
            Some(Bytes(anon.0.saturating_add(file.0).saturating_add(victim.shmem_bytes.map_or(0, |b| b.0))))
        })
    }

    /// What most of the memory is.
    #[must_use]
    pub fn filler(&self) -> Option<Filler> {
        self.memory.as_ref().map(MemoryUse::filler)
    }

    /// Memory of the limit that processes do not hold and their death therefore does not free: tmpfs that nobody maps, or
    /// kernel memory. `None` where that is not what fills the limit, or cannot be told.
    #[must_use]
    pub fn impersonal(&self) -> Option<Impersonal> {
        let memory = self.memory.as_ref().filter(|_| self.is_cgroup_kill())?;
        let most = |bytes: Bytes| bytes.0.saturating_mul(5) >= memory.usage_bytes.saturating_mul(2);
        let unmapped = Bytes(memory.shmem().0.saturating_sub(self.mapped_shmem()?.0));
        if unmapped > memory.anon() && most(unmapped) {
            return Some(Impersonal::Tmpfs(unmapped));
        }
        let kernel = Bytes(memory.kernel().0.saturating_add(memory.unaccounted_bytes));
        (kernel > memory.anon() && kernel > memory.shmem() && kernel > memory.cache() && most(kernel))
            .then_some(Impersonal::Kernel(kernel))
    }

    /// How much shared memory some process maps: at most the mapped file pages, which include it.
    #[must_use]
    pub fn mapped_shmem(&self) -> Option<Bytes> {
        let stat = self.report.memory_stat.as_ref()?;
        let mapped = ["total_mapped_file", "file_mapped", "mapped_file"].iter().find_map(|key| stat.get(*key).copied());
        let by_tasks = self
            .report
            .tasks
            .iter()
            .map(|t| t.shmem_bytes.map(|b| b.0))
            .try_fold(0u64, |s, b| b.map(|b| s.saturating_add(b)));
        let by_tasks = by_tasks.filter(|_| !self.report.tasks.is_empty());
        match (mapped, by_tasks) {
            (Some(a), Some(b)) => Some(Bytes(a.min(b))),
            (a, b) => a.or(b).map(Bytes),
        }
    }

    /// Whether the victim ran in a pod; `None` where its cgroup is not in the log.
    #[must_use]
    pub fn victim_in_pod(&self) -> Option<bool> {
        self.report.victim_cgroup.as_ref().map(in_pod)
    }

    /// Whose limit it was, in words for a sentence.
    #[must_use]
    pub fn limit_owner(&self) -> Option<String> {
        self.report.limit_cgroup.as_ref().map(|path| describe(path.as_bytes()))
    }
}

/// True for a pod, its containers and what these made below.
#[must_use]
pub fn in_pod(cgroup: &Untrusted) -> bool {
    identify(cgroup.as_bytes()).is_some_and(|owner| owner.pod_uid.is_some())
}

/// Of what ran out: the totals of the machine say nothing about those of its nodes that a cpuset or a policy allows.
fn memory(report: &KernelReport, killer: Killer) -> Option<MemoryUse> {
    let nodes = match killer {
        Killer::Cpuset => &report.mems_allowed,
        Killer::MemoryPolicy => &report.nodemask,
        _ => return MemoryUse::of(report),
    };
    MemoryUse::of_nodes(report.node_memory.as_ref()?, nodes.as_deref()?)
}

/// Why a kill that only the counters tell lacks what a log would have.
pub(super) const NO_LOG: &str = "the kernel log of this kill was not read; that it happened is known from the counters";

/// Why a kill that only a program in the kernel saw lacks what a log would have.
const ONLY_SEEN: &str =
    "the kernel log of this kill was not had, and the program that saw it in the kernel does not see this";

/// Memory that belongs to no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impersonal {
    /// Files in tmpfs that no process maps.
    Tmpfs(Bytes),
    /// Kernel memory, itemised or not.
    Kernel(Bytes),
}

/// Anonymous and shared memory of a row; all that is resident where the table does not split it.
#[must_use]
pub fn held_by_task(task: &Task) -> Option<Bytes> {
    match task.anon_bytes {
        Some(anon) => Some(Bytes(anon.0.saturating_add(task.shmem_bytes.map_or(0, |b| b.0)))),
        None => task.rss_bytes,
    }
}

fn missing(incident: &Incident, wanted: &str, part: Part) -> Gap {
    let extent = &incident.report().extent;
    let why = if incident.is_counted_only() {
        NO_LOG
    } else if incident.is_without_log() {
        ONLY_SEEN
    } else if extent.rate_limited {
        "the kernel prints at most 10 reports in 5 s, and only the kill line of the others"
    } else if extent.records_lost > 0 {
        "records of this report are missing from the log"
    } else if !extent.header {
        "the log does not have the beginning of this report"
    } else if part == Part::TaskTable {
        "the report has none: vm.oom_dump_tasks is 0, or its lines were cut"
    } else {
        "the report has no such lines, or they were cut"
    };
    Gap::new(wanted, why)
}

/// Major, minor and patch level of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32, pub u32);

impl KernelVersion {
    /// Of the kernel that wrote the report; `None` where the log has no `CPU:` line.
    #[must_use]
    pub fn of(report: &KernelReport) -> Option<Self> {
        Self::of_release(report.kernel_release.as_deref()?)
    }

    /// Of `uname -r`; `None` where that does not begin with numbers.
    #[must_use]
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self(major, minor, numbers.next().and_then(Result::ok).unwrap_or(0)))
    }
}

/// Whether `0-1,4` contains a number.
#[must_use]
pub fn list_contains(list: &str, number: u32) -> bool {
    list.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        match (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            (Ok(from), Ok(to)) => (from..=to).contains(&number),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases of every distribution start with numbers.
    #[test]
    fn kernel_versions() {
        let version = |release: &str| {
            KernelVersion::of(&KernelReport { kernel_release: Some(release.into()), ..KernelReport::default() })
        };
        assert_eq!(version("6.12.107+deb13-cloud-amd64"), Some(KernelVersion(6, 12, 107)));
        assert_eq!(version("2.6.32-754.el6"), Some(KernelVersion(2, 6, 32)));
        assert_eq!(version("6.8-rc1"), Some(KernelVersion(6, 8, 0)));
        assert_eq!(version("next"), None);
    }

    /// Lists of nodes as the kernel prints them.
    #[test]
    fn lists() {
        assert!(list_contains("0-1,4", 1) && list_contains("0-1,4", 4) && !list_contains("0-1,4", 3));
        assert!(!list_contains("", 0) && !list_contains("(null)", 0));
    }
}
