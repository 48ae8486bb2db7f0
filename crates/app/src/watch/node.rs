//! The machine as a whole: what of its memory is in use, how many kills it has counted, and whether somebody sets its clock.

use jiff::{SignedDuration, Timestamp};
use oomscope_core::notice::Event;
use oomscope_core::recorder::{Heat, Pace, Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::clock::BootAnchor;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::node::{self, NodeReading};

/// Kills and clock are looked at this often.
const EVERY_US: u64 = 5_000_000;
/// The count must be ahead of what was told for this long: a report is read within milliseconds, a lost one given up after 4 s.
const PATIENCE_US: u64 = 10_000_000;
/// A smaller step of the wall clock is how NTP ordinarily disciplines it.
const STEP: SignedDuration = SignedDuration::from_millis(500);

/// What was seen last.
#[derive(Debug)]
pub(super) struct Node {
    source: node::Node,
    due: BootTime,
    /// `oom_kill` of /proc/vmstat when watching began, plus all that was told since.
    accounted: Option<u64>,
    ahead_since: Option<BootTime>,
    zero: Option<Timestamp>,
    heat: Heat,
    sample_due: BootTime,
    total: Option<Bytes>,
}

impl Node {
    pub(super) fn new(root: &HostRoot, pace: Pace) -> Self {
        let source = node::Node::new(root.clone());
        let reading = source.read();
        Self {
            accounted: reading.oom_kills,
            total: reading.meminfo.total(),
            heat: Heat::new(pace),
            sample_due: BootTime(0),
            source,
            due: BootTime(0),
            ahead_since: None,
            zero: None,
        }
    }

    /// Kills that were told of, by the log or from a cgroup's counters.
    pub(super) fn told(&mut self, kills: usize) {
        let kills = u64::try_from(kills).unwrap_or(u64::MAX);
        self.accounted = self.accounted.map(|accounted| accounted.saturating_add(kills));
    }

    /// When [`Node::turn`] has something to do next.
    pub(super) fn due(&self) -> Option<BootTime> {
        Some(self.due.min(self.sample_due))
    }

    /// All of the machine's memory: what it can run out of.
    pub(super) const fn total(&self) -> Option<Bytes> {
        self.total
    }

    /// What of it is in use, when it is time to look, and whether that is looked at more often than ordinarily.
    pub(super) fn sample(&mut self, now: BootTime) -> Option<(Sample, bool)> {
        if now < self.sample_due {
            return None;
        }
        let sample = sample(&self.source.read(), now);
        let limit = self.total.map_or(Limit::Unlimited, Limit::At);
        self.sample_due = BootTime(now.0.saturating_add(self.heat.observe(&sample, limit)));
        Some((sample, self.heat.is_hot()))
    }

    /// Looks, when it is time. Kills are compared only where all of the machine is watched.
    pub(super) fn turn(&mut self, now: BootTime, compare: bool) -> Vec<Event> {
        if now < self.due {
            return Vec::new();
        }
        self.due = BootTime(now.0.saturating_add(EVERY_US));
        let untold = if compare { self.untold(now) } else { None };
        self.clock_step().into_iter().chain(untold).collect()
    }

    fn untold(&mut self, now: BootTime) -> Option<Event> {
        let counted = self.source.read().oom_kills?;
        let ahead = counted.checked_sub(self.accounted?).filter(|ahead| *ahead > 0);
        let Some(count) = ahead else {
            self.ahead_since = None;
            return None;
        };
        let since = *self.ahead_since.get_or_insert(now);
        if now.0.saturating_sub(since.0) < PATIENCE_US {
            return None;
        }
        self.ahead_since = None;
        self.accounted = Some(counted);
        Some(Event::KillsUntold { count })
    }

    /// While the machine sleeps only the wall clock goes on; that is no step.
    fn clock_step(&mut self) -> Option<Event> {
        let anchor = BootAnchor::now()?;
        let slept = SignedDuration::from_micros(i64::try_from(anchor.slept_us).ok()?);
        let zero = anchor.zero.checked_sub(slept).ok()?;
        let step = zero.duration_since(self.zero.replace(zero)?);
        (step.abs() >= STEP).then(|| Event::ClockStepped { by_ms: i64::try_from(step.as_millis()).unwrap_or(0) })
    }
}

/// The machine in the terms of a cgroup: all that is not free is charged to it.
fn sample(reading: &NodeReading, now: BootTime) -> Sample {
    let bytes = |name: &str| reading.meminfo.get(name).map(|bytes| bytes.0);
    let less = |all: Option<u64>, part: Option<u64>| Some(all?.saturating_sub(part?));
    let sum = |names: &[&str]| names.iter().map(|name| bytes(name)).sum::<Option<u64>>();
    let values = [
        (Series::Current, less(bytes("MemTotal"), bytes("MemFree"))),
        (Series::Anon, bytes("AnonPages")),
        (Series::File, less(sum(&["Cached", "Buffers"]), bytes("Shmem"))),
        (Series::Shmem, bytes("Shmem")),
        (Series::SlabReclaimable, bytes("SReclaimable")),
        (Series::SlabUnreclaimable, bytes("SUnreclaim")),
        (Series::Kernel, sum(&["Slab", "KernelStack", "PageTables"])),
        (Series::Swap, less(bytes("SwapTotal"), bytes("SwapFree"))),
        (Series::OomKill, reading.oom_kills),
        (Series::PressureSome, reading.pressure.some_us),
        (Series::PressureFull, reading.pressure.full_us),
    ];
    values.into_iter().fold(Sample::new(now), |mut sample, (series, value)| {
        sample.set(series, value);
        sample
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of this machine's memory are parts of what is in use.
    #[test]
    fn parts_of_this_machine() {
        let sample = sample(&node::Node::new(HostRoot::default()).read(), BootTime(1));
        let value = |series| sample.get(series).unwrap();
        assert!(value(Series::Current) >= value(Series::Anon) + value(Series::File) + value(Series::Shmem));
        assert!(value(Series::Kernel) >= value(Series::SlabReclaimable) + value(Series::SlabUnreclaimable));
    }
}
