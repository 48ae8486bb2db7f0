//! Who grew: the processes and the cgroups below the limit, by what they took in the last seconds and minutes.

use serde::{Deserialize, Serialize};

use super::memory::MemoryUse;
use super::recorded::{self, Recorded};
use crate::evidence::{Comm, KernelReport, Task, Trigger};
use crate::incident::timeline::{CgroupRecord, ProcessPoint, ProcessRecord};
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// What grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Who {
    /// One process.
    Process {
        /// Its id.
        pid: u32,
        /// Its name.
        #[serde(flatten)]
        comm: Comm,
    },
    /// A whole cgroup below the limit.
    Cgroup,
}

/// One process or cgroup that grew, with by how much over which time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grower {
    /// What.
    #[serde(flatten)]
    pub who: Who,
    /// The cgroup itself, or that of the process.
    pub cgroup: Untrusted,
    /// It asked for the page.
    pub is_trigger: bool,
    /// It was killed.
    pub is_victim: bool,
    /// Held in the end: without file pages.
    pub held_bytes: Bytes,
    /// Over the last 10 s, 1 min and 10 min, as far as the record goes back.
    pub grown: Vec<Grown>,
}

/// Growth over one stretch of time before the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// The stretch: 10 s, 1 min or 10 min.
    pub over_us: u64,
    /// The reading that it is measured from: of the stretch's beginning, or the first there is.
    pub from_us: BootTime,
    /// By how much; negative where it shrank.
    pub bytes: i64,
}

/// The stretches that growth is told over.
const STRETCHES_US: [u64; 3] = [10_000_000, 60_000_000, 600_000_000];
/// Processes kept, and as many cgroups.
const KEPT: usize = 8;

/// What was held at an instant, ascending in time.
type Points = Vec<(BootTime, u64)>;

/// Who grew, processes before cgroups and most first: by the growth over the shortest stretch that holds the whole rise, which began
/// `rise_us` before the kill.
pub(super) fn of(recorded: &Recorded<'_>, report: &KernelReport, rise_us: Option<u64>) -> Vec<Grower> {
    let over_us = stretch_for(rise_us);
    let processes = recorded.timeline.processes.iter().filter_map(|process| of_process(recorded, report, process));
    let cgroups = recorded.timeline.cgroups.iter().filter_map(|record| of_cgroup(recorded, report, record));
    let mut all = most_first(processes.collect(), over_us);
    all.extend(most_first(cgroups.collect(), over_us));
    all
}

/// The shortest stretch that holds the whole rise.
pub(super) fn stretch_for(rise_us: Option<u64>) -> u64 {
    let rise = rise_us.unwrap_or(0);
    STRETCHES_US.into_iter().find(|stretch| *stretch >= rise).unwrap_or(STRETCHES_US[2])
}

fn most_first(mut growers: Vec<Grower>, over_us: u64) -> Vec<Grower> {
    let grown = |grower: &Grower| grower.over(over_us).map_or(0, |grown| grown.bytes);
    growers.retain(|grower| grown(grower) > 0);
    growers.sort_by_key(|grower| std::cmp::Reverse(grown(grower)));
    growers.truncate(KEPT);
    growers
}

impl Grower {
    /// The growth over a stretch, or the longest shorter one that the record goes back to.
    #[must_use]
    pub fn over(&self, over_us: u64) -> Option<&Grown> {
        self.grown.iter().rev().find(|grown| grown.over_us <= over_us)
    }
}

fn of_process(recorded: &Recorded<'_>, report: &KernelReport, process: &ProcessRecord) -> Option<Grower> {
    let mut points: Points = process.points.iter().map(|point| (point.at_us, held(point))).collect();
    points.sort_by_key(|(at, _)| *at);
    points.retain(|(at, _)| *at <= recorded.kill);
    let file = process.points.last().map_or(0, |point| point.file_bytes.0);
    points.extend(at_kill(report, process.pid, file).map(|bytes| (recorded.kill, bytes)));
    let pid = Some(process.pid);
    Some(Grower {
        who: Who::Process { pid: process.pid, comm: process.comm.clone() },
        cgroup: process.cgroup.clone(),
        is_trigger: report.trigger.as_ref().and_then(Trigger::process) == pid,
        is_victim: report.victims.iter().any(|victim| Some(victim.pid) == pid),
        held_bytes: Bytes(points.last()?.1),
        grown: grown(recorded, &points),
    })
}

/// Memory that goes with the process, wherever it is.
fn held(point: &ProcessPoint) -> u64 {
    [point.anon_bytes, point.shmem_bytes, point.swap_bytes].iter().fold(0, |sum, bytes| sum.saturating_add(bytes.0))
}

/// What the kernel's report says of a process: later, and more exact, than any sample. Tables of older kernels have one number for all that is
/// resident; its file pages are taken to be those of the last sample.
fn at_kill(report: &KernelReport, pid: u32, file: u64) -> Option<u64> {
    let swap = |task: &Task| task.swap_bytes.unwrap_or_default().0;
    let task = report.tasks.iter().find(|task| task.pid == pid);
    let by_table = task.and_then(|task| {
        let split = task.anon_bytes.map(|anon| anon.0.saturating_add(task.shmem_bytes.unwrap_or_default().0));
        let held = split.or_else(|| Some(task.rss_bytes?.0.saturating_sub(file)))?;
        Some(held.saturating_add(swap(task)))
    });
    let victim = report.victims.iter().find(|victim| victim.pid == pid);
    let by_kill_line = victim.and_then(|victim| {
        let held = victim.anon_bytes?.0.saturating_add(victim.shmem_bytes.unwrap_or_default().0);
        Some(held.saturating_add(task.map_or(0, swap)))
    });
    by_kill_line.or(by_table)
}

/// A cgroup below the limit; the limit's own, and what lies above it, is no answer to who grew in it.
fn of_cgroup(recorded: &Recorded<'_>, report: &KernelReport, record: &CgroupRecord) -> Option<Grower> {
    let limit = recorded.record.cgroup.as_bytes();
    let rest = record.cgroup.as_bytes().strip_prefix(limit.strip_suffix(b"/").unwrap_or(limit))?;
    if rest.len() < 2 || !rest.starts_with(b"/") {
        return None;
    }
    let mut points: Points =
        record.rows.samples().filter_map(|sample| Some((sample.at, recorded::held(&sample)?))).collect();
    points.sort_by_key(|(at, _)| *at);
    points.retain(|(at, _)| *at <= recorded.kill);
    Some(Grower {
        who: Who::Cgroup,
        cgroup: record.cgroup.clone(),
        is_trigger: false,
        is_victim: report.victim_cgroup.as_ref() == Some(&record.cgroup),
        held_bytes: Bytes(points.last()?.1),
        grown: grown(recorded, &points),
    })
}

/// The growth of the limit's own cgroup over a stretch.
pub(super) fn of_limit(recorded: &Recorded<'_>, memory: Option<&MemoryUse>, over_us: u64) -> Option<Grown> {
    let mut points: Points = recorded.held().collect();
    points.extend(recorded.held_at_kill(memory).map(|bytes| (recorded.kill, bytes)));
    grown(recorded, &points).into_iter().rev().find(|grown| grown.over_us <= over_us)
}

/// By how much the last point exceeds those at the beginnings of the stretches. A stretch that reaches further back than the record is told once,
/// from the first reading on.
fn grown(recorded: &Recorded<'_>, points: &[(BootTime, u64)]) -> Vec<Grown> {
    let Some((&first, &last)) = points.first().zip(points.last()) else { return Vec::new() };
    // What was first seen well after the recording began was born then: it had nothing before.
    let slack = recorded.record.base_interval_us.saturating_mul(3).max(3_000_000);
    let is_born = first.0.0 > recorded.timeline.from_us.0.saturating_add(slack);
    let mut all: Vec<Grown> = Vec::new();
    for over_us in STRETCHES_US {
        let begin = recorded.kill.0.saturating_sub(over_us);
        let known = points.iter().rfind(|(at, _)| at.0 <= begin);
        let (from, bytes) = known.copied().unwrap_or(if is_born { (first.0, 0) } else { first });
        if all.last().is_some_and(|shorter: &Grown| shorter.from_us == from && known.is_none()) {
            break;
        }
        let change = i128::from(last.1) - i128::from(bytes);
        all.push(Grown { over_us, from_us: from, bytes: i64::try_from(change).unwrap_or(i64::MAX) });
    }
    all
}
