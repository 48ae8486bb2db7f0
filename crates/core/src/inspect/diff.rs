//! What grew between two looks.
//!
//! A single look shows what is large, which is seldom what leaks. Of two looks the growth is what counts: ranked, with its
//! rate, by kind of memory, by mapping, by process and by open file. Whether it is the same cgroup and the same processes at all is
//! said first, since a container that was restarted in between has "shrunk" without anything having been mended.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::changes::{
    Change, Continuity, CountChange, Elapsed, Forecast, ProcessBrief, ProcessChange, SegmentGrowth, US_PER_MINUTE,
    difference, per_minute,
};
use super::{InspectedProcess, Inspection, MappingTotal, Target};
use crate::evidence::{CounterChange, Gap};
use crate::text::Untrusted;
use crate::time::When;
use crate::units::{Bytes, Limit};

/// Name and version of the JSON form.
const SCHEMA: &str = "oomscope.inspection_diff/v1";

/// What is left over when the kinds of memory are subtracted from the charge, by the name that the report has for it.
const UNACCOUNTED: &str = "not in the statistics";

/// Two looks compared. Serialises to the public JSON of `oomscope.inspection_diff/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InspectionDiff {
    /// `oomscope.inspection_diff/v1`.
    pub schema: String,
    /// What was looked at, the second time.
    pub target: Target,
    /// When the first look was.
    pub from: When,
    /// When the second was.
    pub to: When,
    /// The time between; `None` where the two have no clock in common. Then there are no rates.
    pub elapsed_us: Option<u64>,
    /// Whether the two looks saw the same thing.
    pub continuity: Continuity,
    /// What was charged.
    pub usage: Option<Change>,
    /// What of it cannot be taken back without swap.
    pub unreclaimable: Option<Change>,
    /// When the limit is met if it goes on like this; `None` where it does not grow or has no limit.
    pub forecast: Option<Forecast>,
    /// Kinds of memory that changed, those that grew most first.
    pub memory: Vec<Change>,
    /// Mappings that changed, all processes together.
    pub segments: Vec<Change>,
    /// Open files by kind, all processes together.
    pub fds: Vec<CountChange>,
    /// Processes that were there both times and changed.
    pub processes: Vec<ProcessChange>,
    /// Processes that are new, largest first.
    pub came: Vec<ProcessBrief>,
    /// Processes that are gone, largest first, as they were.
    pub went: Vec<ProcessBrief>,
    /// The counters of every level, before and after.
    pub levels: Vec<CounterChange>,
    /// What is not known of either look.
    pub gaps: Vec<Gap>,
}

impl InspectionDiff {
    /// Compares. The order of the two is the caller's; times are not looked at for it.
    #[must_use]
    pub fn between(before: &Inspection, after: &Inspection) -> Self {
        let elapsed = elapsed(before, after);
        let usage = changed_by(before, after, "charged", elapsed, |i| i.memory.as_ref().map(|m| Bytes(m.usage_bytes)));
        let unreclaimable =
            changed_by(before, after, "not reclaimable", elapsed, |i| i.reclaimable().map(|(_, held)| held));
        let (processes, came, went) = compare_processes(before, after, elapsed);
        Self {
            schema: SCHEMA.to_owned(),
            target: after.target.clone(),
            from: before.at,
            to: after.at,
            elapsed_us: elapsed,
            continuity: continuity(before, after),
            forecast: unreclaimable.as_ref().and_then(|held| forecast(after, held)),
            usage,
            unreclaimable,
            memory: sizes(&kinds_of(before), &kinds_of(after), elapsed),
            segments: segments(before, after, elapsed),
            fds: counts(before.fds.as_ref(), after.fds.as_ref(), elapsed),
            processes,
            came,
            went,
            levels: levels(before, after),
            gaps: gaps(before, after),
        }
    }

    /// How often a counter of the target's path rose, the target's own level first, without those that did not.
    pub fn rises<'a>(
        &'a self,
        counter: impl Fn(&crate::evidence::Counters) -> Option<u64> + Copy + 'a,
    ) -> impl Iterator<Item = (&'a Untrusted, u64)> + 'a {
        self.levels
            .iter()
            .filter_map(move |level| Some((&level.cgroup, level.rise(counter)?)))
            .filter(|(_, rise)| *rise > 0)
    }
}

/// By the clock of the boot where both are of one boot, since the other can be set.
fn elapsed(before: &Inspection, after: &Inspection) -> Elapsed {
    let same_boot = before.boot_id.is_some() && before.boot_id == after.boot_id;
    let by_boot = || after.at.boot_us?.0.checked_sub(before.at.boot_us?.0);
    let by_wall = || {
        let microseconds = after.at.wall?.as_microsecond().checked_sub(before.at.wall?.as_microsecond())?;
        u64::try_from(microseconds).ok()
    };
    same_boot.then(by_boot).flatten().or_else(by_wall).filter(|us| *us > 0)
}

fn continuity(before: &Inspection, after: &Inspection) -> Continuity {
    let (old, new) = (&before.target, &after.target);
    let differ = |a: Option<&String>, b: Option<&String>| a.zip(b).is_some_and(|(a, b)| a != b);
    let is_inode_new = old.inode.zip(new.inode).is_some_and(|(a, b)| a != b);
    if old.cgroup != new.cgroup {
        Continuity::OtherCgroup
    } else if differ(before.boot_id.as_ref(), after.boot_id.as_ref()) {
        Continuity::Rebooted
    } else if is_inode_new {
        Continuity::CgroupReplaced
    } else if !before.processes.is_empty() && !after.processes.is_empty() && !shares_a_process(before, after) {
        Continuity::ProcessesReplaced
    } else {
        Continuity::Same
    }
}

fn shares_a_process(before: &Inspection, after: &Inspection) -> bool {
    let known: HashSet<_> = before.processes.iter().map(key).collect();
    after.processes.iter().any(|process| known.contains(&key(process)))
}

/// Tells two processes apart that had the same pid.
fn key(process: &InspectedProcess) -> (u32, Option<u64>) {
    (process.snapshot.process.pid, process.snapshot.process.started_ticks)
}

fn changed_by(
    before: &Inspection,
    after: &Inspection,
    name: &str,
    elapsed: Elapsed,
    of: impl Fn(&Inspection) -> Option<Bytes>,
) -> Option<Change> {
    Some(Change::new(name.into(), of(before)?, of(after)?, elapsed))
}

/// Kinds of memory with their sizes; `None` where they are not known.
fn kinds_of(inspection: &Inspection) -> Option<IndexMap<Untrusted, Bytes>> {
    let memory = inspection.memory.as_ref()?;
    let parts = memory.parts.iter().map(|part| (Untrusted::from(part.name.as_str()), Bytes(part.bytes)));
    let rest = (Untrusted::from(UNACCOUNTED), Bytes(memory.unaccounted_bytes));
    let swap = inspection.swap_bytes.map(|bytes| (Untrusted::from("swapped out"), bytes));
    Some(parts.chain([rest]).chain(swap).collect())
}

/// Mappings by name: by PSS where both looks have it, else by what is resident, else not at all.
fn segments(before: &Inspection, after: &Inspection, elapsed: Elapsed) -> Vec<Change> {
    let (Some(old), Some(new)) = (&before.mappings, &after.mappings) else { return Vec::new() };
    let with_pss = |mappings: &[MappingTotal]| mappings.iter().any(|total| total.mapping.pss_bytes.is_some());
    let by_pss = with_pss(old) && with_pss(new);
    let sizes_of = |mappings: &[MappingTotal]| -> Option<IndexMap<Untrusted, Bytes>> {
        let size = |m: &MappingTotal| if by_pss { m.mapping.pss_bytes } else { m.mapping.rss_bytes };
        Some(mappings.iter().filter_map(|m| Some((m.mapping.name.clone(), size(m)?))).collect())
    };
    sizes(&sizes_of(old), &sizes_of(new), elapsed)
}

/// What changed, those that grew most first, those that shrank most last.
fn sizes(
    before: &Option<IndexMap<Untrusted, Bytes>>,
    after: &Option<IndexMap<Untrusted, Bytes>>,
    elapsed: Elapsed,
) -> Vec<Change> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let get = |map: &IndexMap<Untrusted, Bytes>, name: &Untrusted| map.get(name).copied().unwrap_or_default();
    let vanished = before.keys().filter(|name| !after.contains_key(*name));
    let mut changes: Vec<_> = after
        .keys()
        .chain(vanished)
        .map(|name| Change::new(name.clone(), get(before, name), get(after, name), elapsed))
        .filter(|change| change.change_bytes != 0)
        .collect();
    changes.sort_by(|a, b| b.change_bytes.cmp(&a.change_bytes).then_with(|| a.name.cmp(&b.name)));
    changes
}

fn counts(
    before: Option<&IndexMap<String, u64>>,
    after: Option<&IndexMap<String, u64>>,
    elapsed: Elapsed,
) -> Vec<CountChange> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let vanished = before.keys().filter(|kind| !after.contains_key(*kind));
    let mut changes: Vec<_> = after
        .keys()
        .chain(vanished)
        .map(|kind| {
            let get = |map: &IndexMap<String, u64>| map.get(kind).copied().unwrap_or(0);
            let (before, after) = (get(before), get(after));
            let change = difference(before, after);
            let per_minute = per_minute(change, elapsed).map(|rate| (rate * 100.0).round() / 100.0);
            CountChange { kind: kind.clone(), before, after, change, per_minute }
        })
        .filter(|change| change.change != 0)
        .collect();
    changes.sort_by(|a, b| b.change.cmp(&a.change).then_with(|| a.kind.cmp(&b.kind)));
    changes
}

type Processes = (Vec<ProcessChange>, Vec<ProcessBrief>, Vec<ProcessBrief>);

fn compare_processes(before: &Inspection, after: &Inspection, elapsed: Elapsed) -> Processes {
    // A process of another boot may have the same pid and start time by chance.
    let other_boot = continuity(before, after) == Continuity::Rebooted;
    let mut old: HashMap<_, _> =
        before.processes.iter().filter(|_| !other_boot).map(|process| (key(process), process)).collect();
    let mut changes = Vec::new();
    let mut came = Vec::new();
    for process in &after.processes {
        match old.remove(&key(process)) {
            Some(earlier) => changes.extend(change_of(earlier, process, elapsed)),
            None => came.push(brief(process)),
        }
    }
    let is_gone = |process: &&InspectedProcess| other_boot || old.contains_key(&key(process));
    let mut went: Vec<_> = before.processes.iter().filter(is_gone).map(brief).collect();
    changes.sort_by(|a, b| b.change_bytes.cmp(&a.change_bytes).then_with(|| a.pid.cmp(&b.pid)));
    for list in [&mut came, &mut went] {
        list.sort_by(|a, b| b.share_bytes.cmp(&a.share_bytes).then_with(|| a.pid.cmp(&b.pid)));
    }
    (changes, came, went)
}

/// `None` where nothing changed.
fn change_of(before: &InspectedProcess, after: &InspectedProcess, elapsed: Elapsed) -> Option<ProcessChange> {
    let (old, new) = (&before.snapshot, &after.snapshot);
    let pss = old.pss_bytes.zip(new.pss_bytes);
    let (measure, (before_bytes, after_bytes)) = match pss {
        Some(pair) => ("pss", pair),
        None => ("rss", old.process.rss().zip(new.process.rss())?),
    };
    let rise = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| difference(a, b));
    let bytes = |b: Option<Bytes>| b.map(|b| b.0);
    let threads = |t: Option<u32>| t.map(u64::from);
    let change_bytes = difference(before_bytes.0, after_bytes.0);
    let change = ProcessChange {
        pid: new.process.pid,
        comm: new.process.comm.clone(),
        measure: measure.to_owned(),
        before_bytes,
        after_bytes,
        change_bytes,
        per_minute_bytes: per_minute(change_bytes, elapsed).map(|rate| rate.round() as i64),
        swap_change_bytes: rise(bytes(old.process.swap_bytes), bytes(new.process.swap_bytes)),
        threads_change: rise(threads(old.process.threads), threads(new.process.threads)),
        fds_change: rise(before.fd_count(), after.fd_count()),
        segment: segment_of(before, after),
    };
    let others = [change.swap_change_bytes, change.threads_change, change.fds_change];
    (change_bytes != 0 || others.iter().flatten().any(|change| *change != 0)).then_some(change)
}

/// Only the largest mappings of each look are known: one that is new among them has grown by no more than it now holds.
fn segment_of(before: &InspectedProcess, after: &InspectedProcess) -> Option<SegmentGrowth> {
    let (old, new) = (before.snapshot.mappings.as_ref()?, after.snapshot.mappings.as_ref()?);
    let size = |m: &crate::evidence::Mapping| m.pss_bytes.or(m.rss_bytes);
    let old: HashMap<_, _> = old.iter().map(|mapping| (&mapping.name, size(mapping))).collect();
    new.iter()
        .filter_map(|mapping| {
            let before = old.get(&mapping.name).copied().unwrap_or(Some(Bytes(0)))?;
            let change_bytes = difference(before.0, size(mapping)?.0);
            Some(SegmentGrowth { name: mapping.name.clone(), change_bytes })
        })
        .filter(|growth| growth.change_bytes > 0)
        .max_by_key(|growth| growth.change_bytes)
}

fn brief(process: &InspectedProcess) -> ProcessBrief {
    let p = &process.snapshot.process;
    ProcessBrief { pid: p.pid, comm: p.comm.clone(), cmdline: p.cmdline.clone(), share_bytes: process.share() }
}

fn levels(before: &Inspection, after: &Inspection) -> Vec<CounterChange> {
    let earlier = |cgroup: &Untrusted| before.levels.iter().find(|level| level.cgroup == *cgroup);
    let change = |level: &super::Level| CounterChange {
        cgroup: level.cgroup.clone(),
        before: earlier(&level.cgroup).map(|level| level.counters),
        after: Some(level.counters),
        usage_bytes: level.usage_bytes,
        limits: level.limits,
        removed: false,
    };
    after.levels.iter().map(change).collect()
}

/// Linear, because of two points nothing else is known. Cache is left out: it goes when room is needed.
fn forecast(after: &Inspection, held: &Change) -> Option<Forecast> {
    let limit_bytes = after.levels.first()?.limits.max_bytes.and_then(Limit::bytes)?;
    let rate = held.per_minute_bytes.filter(|rate| *rate > 0)?;
    let room = limit_bytes.0.checked_sub(held.after_bytes.0)?;
    let until_limit_us = (room as f64 / rate as f64 * US_PER_MINUTE) as u64;
    Some(Forecast { limit_bytes, until_limit_us })
}

fn gaps(before: &Inspection, after: &Inspection) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for gap in before.gaps.iter().chain(&after.gaps) {
        if !gaps.contains(gap) {
            gaps.push(gap.clone());
        }
    }
    gaps
}

#[cfg(test)]
mod tests;
