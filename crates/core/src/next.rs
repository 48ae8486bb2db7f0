//! Whom the kernel would kill now, if memory ran out: its own ranking over living processes.
//!
//! The same formula as for a report's task table ([`crate::diagnosis::Ranking`]), with what /proc says. Two things cannot be seen from
//! there: a process between `vfork` and `exec`, which the kernel passes over, and `swapoff`, which it prefers. And everything moves:
//! the margin says how far the order is from changing.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::diagnosis::facts::KernelVersion;
use crate::diagnosis::ranking::{Badness, memory_pages, pages, uncertainty};
use crate::evidence::{Comm, Gap, Process};
use crate::recorder::{Sample, Series};
use crate::text::Untrusted;
use crate::units::Bytes;

/// What the JSON says of itself.
pub const SCHEMA: &str = "oomscope.next/v1";

/// Since this release the last of equals is chosen, before the first (mm/oom_kill.c, `oom_evaluate_task()`; commit f168a9a54ec3).
const LAST_OF_EQUALS: KernelVersion = KernelVersion(5, 3, 0);

/// Where the memory would run out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// The cgroup whose limit it is; `null` for the whole machine.
    pub cgroup: Option<Untrusted>,
    /// Its limit, or the machine's memory. `null`: not known, or none.
    pub limit_bytes: Option<Bytes>,
    /// The limit is not the one in force, but one to try out.
    pub limit_is_supposed: bool,
    /// How much swap may be used on top: this counts for the weight of `oom_score_adj`.
    pub swap_limit_bytes: Bytes,
    /// Of that, what is still free.
    pub swap_free_bytes: Bytes,
    /// In use, page cache included.
    pub usage_bytes: Option<Bytes>,
    /// Of that, what the kernel cannot get back without swapping.
    pub unreclaimable_bytes: Option<Bytes>,
    /// v1 `oom_kill_disable`: nobody would be killed; who asks for memory waits.
    pub oom_kill_disabled: bool,
}

impl Domain {
    /// What is left to the limit; page cache can be given up on top of it.
    #[must_use]
    pub fn headroom(&self) -> Option<Bytes> {
        Some(Bytes(self.limit_bytes?.0.saturating_sub(self.usage_bytes?.0)))
    }

    /// By how much what cannot be given up exceeds the limit, swap being used up: an OOM kill at the next allocation.
    #[must_use]
    pub fn excess(&self) -> Option<Bytes> {
        let stays = self.unreclaimable_bytes?.0.saturating_sub(self.swap_free_bytes.0);
        stays.checked_sub(self.limit_bytes?.0).filter(|excess| *excess > 0).map(Bytes)
    }

    /// How much may still be asked for before the kernel must kill: everything reclaimable given up, swap used up.
    #[must_use]
    pub fn room(&self) -> Option<Bytes> {
        let stays = self.unreclaimable_bytes?.0.saturating_sub(self.swap_free_bytes.0);
        Some(Bytes(self.limit_bytes?.0.saturating_sub(stays)))
    }

    /// Takes over what a sample of the cgroup says is in use.
    pub fn fill_from(&mut self, sample: &Sample) {
        self.usage_bytes = sample.get(Series::Current).map(Bytes);
        self.unreclaimable_bytes = sample.unreclaimable().map(Bytes);
    }

    /// `totalpages` of `constrained_alloc()`, in bytes.
    fn size(&self) -> Option<u64> {
        Some(self.limit_bytes?.0.saturating_add(self.swap_limit_bytes.0))
    }
}

/// A process of the domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// What /proc says.
    pub process: Process,
    /// Its memory cgroup, as the kernel's log calls it.
    pub cgroup: Option<Untrusted>,
    /// The cgroup that dies with it (`memory.oom.group`).
    pub dies_with: Option<Untrusted>,
    /// The first process of the machine, which is never killed.
    pub is_init: bool,
}

/// One process with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// 1 would be killed first; `null` for one that is never killed.
    pub rank: Option<u64>,
    /// The process.
    #[serde(flatten)]
    pub process: Process,
    /// Resident, swapped out and page tables.
    pub memory_bytes: Bytes,
    /// Points in pages, `oom_score_adj` included: what the kernel compares.
    pub points: i64,
    /// Of these, what `oom_score_adj` gave or took.
    pub adj_points: i64,
    /// Its memory cgroup.
    pub cgroup: Option<Untrusted>,
    /// The cgroup that dies with it.
    pub dies_with: Option<Untrusted>,
}

/// How far the order at the top is from changing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margin {
    /// Who would be first then.
    pub pid: u32,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// The second must grow, or the first shrink, by this much.
    pub bytes: Bytes,
    /// Too little to say who is first: the counts that the kernel compares are that inexact themselves.
    pub too_close: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where the memory would run out.
    pub domain: Domain,
    /// See [`Domain::headroom`].
    pub headroom_bytes: Option<Bytes>,
    /// See [`Domain::room`].
    pub room_bytes: Option<Bytes>,
    /// See [`Domain::excess`]; `null` where there is none.
    pub excess_bytes: Option<Bytes>,
    /// The first are killed first, those that are never killed come last.
    pub processes: Vec<Row>,
    /// How many more there are.
    pub processes_omitted: u64,
    /// `null` where there are not two to compare.
    pub margin: Option<Margin>,
    /// What could not be found out.
    pub gaps: Vec<Gap>,
}

impl Outlook {
    /// Who would be killed; `None` where nobody can be.
    #[must_use]
    pub fn first(&self) -> Option<&Row> {
        self.processes.first().filter(|row| row.rank.is_some())
    }

    /// There is nobody to kill, or the kernel was told to kill nobody.
    #[must_use]
    pub fn nobody_would_be_killed(&self) -> bool {
        self.first().is_none() || self.domain.oom_kill_disabled
    }
}

/// The machine on which the ranking is made.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Bytes of a page.
    pub page_size: u64,
    /// `uname -r`; it decides between equals.
    pub kernel_release: Option<&'a str>,
}

/// Ranks the processes of a domain; at most `count` are kept.
#[must_use]
pub fn outlook(domain: Domain, candidates: Vec<Candidate>, machine: Machine<'_>, count: usize) -> Outlook {
    let mut gaps = Vec::new();
    let domain_pages = domain.size().map(|bytes| pages(bytes, machine.page_size));
    if domain_pages.is_none() {
        gaps.push(Gap::new("the weight of oom_score_adj", "the size of what would run out is not known"));
    }
    let seen = candidates.len();
    let mut rows: Vec<_> = candidates.into_iter().filter_map(|c| row(c, domain_pages, machine.page_size)).collect();
    if rows.is_empty() && seen > 0 {
        gaps.push(Gap::new("memory of the processes", "/proc tells it for none of them"));
    }
    let order = Order::of(machine.kernel_release);
    rows.sort_by_cached_key(|(row, killable)| {
        (Reverse(*killable), Reverse(row.points), order.among_equals(&row.process))
    });
    let margin = margin(&rows, order, machine.page_size);
    let processes_omitted = rows.len().saturating_sub(count) as u64;
    let places = (1..).map(Some);
    let processes = rows
        .into_iter()
        .zip(places)
        .take(count)
        .map(|((row, killable), place)| Row { rank: place.filter(|_| killable), ..row })
        .collect();
    Outlook {
        schema: SCHEMA.to_owned(),
        headroom_bytes: domain.headroom(),
        room_bytes: domain.room(),
        excess_bytes: domain.excess(),
        domain,
        processes,
        processes_omitted,
        margin,
        gaps,
    }
}

/// A row, and whether it may be killed. `None`: it has no memory of its own, as kernel threads and the dead, which the kernel passes over.
fn row(candidate: Candidate, domain_pages: Option<i64>, page_size: u64) -> Option<(Row, bool)> {
    let Candidate { process, cgroup, dies_with, is_init } = candidate;
    let own = memory_pages([Some(process.rss()?), process.swap_bytes, process.pgtables_bytes], page_size);
    let badness = Badness::new(own, process.oom_score_adj.unwrap_or(0), domain_pages);
    let killable = !is_init && process.oom_score_adj != Some(-1000);
    let memory_bytes = Bytes(u64::try_from(own).unwrap_or(0).saturating_mul(page_size));
    let points = badness.points();
    Some((Row { rank: None, process, memory_bytes, points, adj_points: badness.adj, cgroup, dies_with }, killable))
}

/// How equals are told apart. The kernel goes through them in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    YoungestFirst,
    OldestFirst,
}

impl Order {
    fn of(kernel_release: Option<&str>) -> Self {
        match kernel_release.and_then(KernelVersion::of_release) {
            Some(version) if version < LAST_OF_EQUALS => Self::OldestFirst,
            _ => Self::YoungestFirst,
        }
    }

    /// Less is killed sooner.
    fn among_equals(self, process: &Process) -> (i128, i64) {
        let age = (i128::from(process.started_ticks.unwrap_or(0)), i64::from(process.pid));
        match self {
            Self::YoungestFirst => (-age.0, -age.1),
            Self::OldestFirst => age,
        }
    }
}

fn margin(rows: &[(Row, bool)], order: Order, page_size: u64) -> Option<Margin> {
    let [(first, true), (second, true), ..] = rows else { return None };
    let behind = first.points.saturating_sub(second.points);
    // With as many points the one that comes first among equals is chosen.
    let wins_a_tie = order.among_equals(&second.process) < order.among_equals(&first.process);
    let needed = behind.saturating_add(i64::from(!wins_a_tie));
    let largest = first.points.saturating_sub(first.adj_points).max(second.points.saturating_sub(second.adj_points));
    Some(Margin {
        pid: second.process.pid,
        comm: second.process.comm.clone(),
        bytes: Bytes::from_pages(u64::try_from(needed).unwrap_or(0), page_size),
        too_close: behind <= uncertainty(largest, 100),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: Machine<'_> = Machine { page_size: 4096, kernel_release: Some("6.12.1") };

    fn candidate(pid: u32, mib: u64, adj: i32) -> Candidate {
        let process = Process {
            pid,
            comm: "x".into(),
            started_ticks: Some(u64::from(pid)),
            anon_bytes: Some(Bytes(mib * MIB)),
            file_bytes: Some(Bytes(0)),
            oom_score_adj: Some(adj),
            ..Process::default()
        };
        Candidate { process, ..Candidate::default() }
    }

    fn domain(limit_mib: u64) -> Domain {
        Domain {
            cgroup: Some("/a".into()),
            limit_bytes: Some(Bytes(limit_mib * MIB)),
            usage_bytes: Some(Bytes(200 * MIB)),
            unreclaimable_bytes: Some(Bytes(150 * MIB)),
            ..Domain::default()
        }
    }

    fn pids(outlook: &Outlook) -> Vec<u32> {
        outlook.processes.iter().map(|row| row.process.pid).collect()
    }

    /// `oom_score_adj` weighs a share of the limit: the same processes are ordered otherwise under another limit.
    #[test]
    fn adj_is_a_share_of_the_limit() {
        let ask = |limit| pids(&outlook(domain(limit), vec![candidate(5, 100, 0), candidate(6, 30, 500)], MACHINE, 10));
        assert_eq!(ask(100), [5, 6]);
        assert_eq!(ask(1000), [6, 5]);
    }

    /// Those that are never killed have no rank and come last, however large; those without memory are not listed.
    #[test]
    fn spared() {
        let init = Candidate { is_init: true, ..candidate(1, 500, 0) };
        let kernel_thread = Candidate { process: Process { pid: 2, ..Process::default() }, ..Candidate::default() };
        let candidates = vec![init, kernel_thread, candidate(5, 400, -1000), candidate(6, 1, 0)];
        let found = outlook(domain(512), candidates, MACHINE, 10);
        assert_eq!(pids(&found), [6, 1, 5]);
        assert_eq!(found.processes.iter().map(|row| row.rank).collect::<Vec<_>>(), [Some(1), None, None]);
        assert_eq!(found.margin, None);
    }

    /// Of equals the youngest is first, before 5.3 the oldest; to overtake takes a page more only where a tie would be lost.
    #[test]
    fn equals() {
        let ask = |release| {
            let machine = Machine { kernel_release: Some(release), ..MACHINE };
            outlook(domain(512), vec![candidate(5, 100, 0), candidate(6, 100, 0)], machine, 10)
        };
        assert_eq!((pids(&ask("6.1.0")), pids(&ask("4.19.0"))), (vec![6, 5], vec![5, 6]));
        let margin = ask("6.1.0").margin.unwrap();
        assert_eq!((margin.pid, margin.bytes, margin.too_close), (5, Bytes(4096), true));
    }

    /// The margin is what the second lacks.
    #[test]
    fn margins() {
        let found = outlook(domain(512), vec![candidate(6, 60, 0), candidate(5, 100, 0)], MACHINE, 1);
        let margin = found.margin.unwrap();
        assert_eq!((margin.pid, margin.bytes, margin.too_close), (6, Bytes(40 * MIB), false));
        assert_eq!(found.processes_omitted, 1);
    }

    /// Page cache is room, and swap too; only what cannot be given up exceeds a limit.
    #[test]
    fn room() {
        let found = |limit, swap_free| {
            let domain = Domain { swap_free_bytes: Bytes(swap_free * MIB), ..domain(limit) };
            (domain.headroom(), domain.room(), domain.excess())
        };
        let mib = |n| Some(Bytes(n * MIB));
        assert_eq!(found(256, 0), (mib(56), mib(106), None));
        assert_eq!(found(100, 0), (mib(0), mib(0), mib(50)));
        assert_eq!(found(100, 60), (mib(0), mib(10), None));
    }
}
