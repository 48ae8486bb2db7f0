//! Live records as evidence: a short account of each that a person can check a finding against.

mod contexts;
mod stacks;

pub(super) use contexts::context;
pub(super) use stacks::{hot_stacks, stacks};

use super::timeline::{CgroupRecord, ProcessRecord, Timeline};
use crate::evidence::{CounterChange, Counters, Part};
use crate::recorder::Series;
use crate::text::name_in_text;
use crate::time::BootTime;
use crate::units::{Bytes, Limit};

/// Rows shown of each cgroup.
const ROWS: usize = 12;
/// Cgroups and processes shown.
const SHOWN: usize = 16;

/// What can be cited of these.
pub(super) fn of(timeline: Option<&Timeline>, counters: &[CounterChange]) -> [(Part, Vec<String>); 3] {
    [
        (Part::FlightRecord, timeline.map(rows).unwrap_or_default()),
        (Part::Counters, counters.iter().take(SHOWN).map(change).collect()),
        (Part::Processes, timeline.map(processes).unwrap_or_default()),
    ]
}

fn rows(timeline: &Timeline) -> Vec<String> {
    timeline.cgroups.iter().filter(|record| !record.rows.is_empty()).take(SHOWN).flat_map(cgroup).collect()
}

/// A heading with the limits, then rows from the whole recording, the last few as they are.
fn cgroup(record: &CgroupRecord) -> Vec<String> {
    let limits = [("max", record.limits.max_bytes), ("high", record.limits.high_bytes)];
    let limits = limits.iter().filter_map(|(name, limit)| Some(format!(", {name} {}", (*limit)?))).collect::<String>();
    let mut lines = vec![format!("{}: {} rows{limits}", record.cgroup, record.rows.len())];
    lines.extend(sampled(record.rows.len()).map(|row| format!("  {}", row_text(record, row))));
    lines
}

/// The last half of [`ROWS`] as they are, before them every n-th.
fn sampled(rows: usize) -> impl Iterator<Item = usize> {
    let last = rows.saturating_sub(ROWS / 2);
    let step = last.div_ceil(ROWS / 2).max(1);
    (0..last).step_by(step).chain(last..rows)
}

fn row_text(record: &CgroupRecord, row: usize) -> String {
    const SHOWN: [(Series, &str); 8] = [
        (Series::Current, "current"),
        (Series::Peak, "peak"),
        (Series::Anon, "anon"),
        (Series::File, "file"),
        (Series::Shmem, "shmem"),
        (Series::Kernel, "kernel"),
        (Series::Sock, "sock"),
        (Series::Swap, "swap"),
    ];
    let at = record.rows.at_us.get(row).copied().unwrap_or_default();
    let value = |(series, name): &(Series, &str)| Some(format!(" {name} {}", Bytes(record.rows.value(*series, row)?)));
    format!("{}:{}", seconds(at), SHOWN.iter().filter_map(value).collect::<Vec<_>>().join(","))
}

fn seconds(at: BootTime) -> String {
    format!("{}.{:03} s", at.0 / 1_000_000, at.0 / 1000 % 1000)
}

/// One counter of a level, and what it is called.
type Named = (&'static str, fn(&Counters) -> Option<u64>);

const COUNTERS: [Named; 9] = [
    ("max", |c| c.local.and_then(|e| e.max)),
    ("high", |c| c.local.and_then(|e| e.high)),
    ("oom", |c| c.local.and_then(|e| e.oom)),
    ("oom_kill", |c| c.local.and_then(|e| e.oom_kill)),
    ("oom_group_kill", |c| c.local.and_then(|e| e.oom_group_kill)),
    ("oom with all below", |c| c.hierarchical.and_then(|e| e.oom)),
    ("oom_kill with all below", |c| c.hierarchical.and_then(|e| e.oom_kill)),
    ("failcnt", |c| c.failcnt),
    ("memsw.failcnt", |c| c.memory_swap_failcnt),
];

/// `/kubepods/pod…: oom 0 → 1, oom_kill 0 → 1, limit 64 MiB`.
fn change(change: &CounterChange) -> String {
    let shown = |reading: &Option<Counters>, counter: fn(&Counters) -> Option<u64>| {
        reading.as_ref().and_then(counter).map(|n| n.to_string())
    };
    let moved = COUNTERS.iter().filter_map(|(name, counter)| {
        let (before, after) = (shown(&change.before, *counter), shown(&change.after, *counter));
        let unread = || "?".to_owned();
        (before.is_some() || after.is_some())
            .then(|| format!("{name} {} → {}", before.unwrap_or_else(unread), after.unwrap_or_else(unread)))
    });
    let mut parts: Vec<String> = moved.collect();
    parts.extend(change.usage_bytes.map(|usage| format!("charged {usage}")));
    parts.extend(change.limits.max_bytes.map(|limit| match limit {
        Limit::At(bytes) => format!("limit {bytes}"),
        Limit::Unlimited => "no limit".to_owned(),
    }));
    if change.removed {
        parts.push("removed before it could be read again".to_owned());
    }
    format!("{}: {}", change.cgroup, parts.join(", "))
}

fn processes(timeline: &Timeline) -> Vec<String> {
    timeline.processes.iter().filter_map(process).take(SHOWN).collect()
}

/// `java (pid 5): anon 1 MiB, shmem 0 B at 10.000 s → anon 60 MiB, shmem 0 B at 12.000 s`.
fn process(record: &ProcessRecord) -> Option<String> {
    let point = |at: Option<&super::timeline::ProcessPoint>| {
        at.map(|p| {
            format!("anon {}, shmem {}, swap {} at {}", p.anon_bytes, p.shmem_bytes, p.swap_bytes, seconds(p.at_us))
        })
    };
    let (first, last) = (point(record.points.first())?, point(record.points.last())?);
    let pss = record.snapshot.as_ref().and_then(|s| s.pss_bytes).map(|pss| format!(", PSS {pss}")).unwrap_or_default();
    Some(format!("{} (pid {}): {first} → {last}{pss}", name_in_text(record.comm.as_bytes()), record.pid))
}
