//! What the dashboards saw: the same minutes through the eyes of a scraper that looks every 10, 15 or 30 s.

use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::recorded::Recorded;
use crate::recorder::{Sample, Series};
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// What scrapers can have shown of one cgroup up to the kill, beside what there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboards {
    /// Whose memory: that of the limit, or the victim's where no cgroup's limit was reached.
    pub cgroup: Untrusted,
    /// Its limit; `null` where it has none.
    pub limit_bytes: Option<Bytes>,
    /// The first row that was compared.
    pub from_us: BootTime,
    /// The kill.
    pub to_us: BootTime,
    /// What there was.
    pub peak: Peak,
    /// By interval: 10, 15, 30 s.
    pub scrapers: Vec<Scraper>,
}

/// The highest charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// How much.
    pub bytes: Bytes,
    /// It happened at this instant or before it …
    pub at_us: BootTime,
    /// … but not before this one.
    pub not_before_us: BootTime,
    /// The kernel's own maximum, or the limit itself, which nothing exceeds. Otherwise the highest of the samples: what happened between two
    /// of them may have been higher.
    pub exact: bool,
    /// From nine tenths of the peak on, charged memory counts as being at the peak. So long it was, at least …
    pub lasted_at_least_us: u64,
    /// … and at most: the readings around it are as far apart as that.
    pub lasted_at_most_us: u64,
}

/// What a scraper of one interval shows, depending on when its first look falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scraper {
    /// Microseconds between two looks.
    pub interval_us: u64,
    /// Charged memory, `container_memory_usage_bytes`.
    pub usage: Seen,
    /// Charged memory without page cache; the least that `container_memory_working_set_bytes` shows, which leaves out only inactive
    /// cache. `null` where the cache was not recorded.
    pub working_set: Option<Seen>,
}

/// The highest value in any look up to the kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// At the least fortunate instants; `null` where a scraper may not have looked at all.
    pub lowest_bytes: Option<Bytes>,
    /// At the most fortunate ones.
    pub highest_bytes: Bytes,
    /// How long before the kill the last look is that shows the lowest: others precede it by multiples of the interval.
    pub lowest_last_look_us: u64,
    /// What the last look before the kill showed, at its lowest.
    pub last_lowest_bytes: Option<Bytes>,
    /// And at its highest.
    pub last_highest_bytes: Bytes,
}

/// Seconds between two looks of common scrapers: cAdvisor's housekeeping, and two settings of Prometheus.
const INTERVALS_US: [u64; 3] = [10_000_000, 15_000_000, 30_000_000];

impl Dashboards {
    /// `None` where charged memory was not recorded.
    pub(super) fn of(recorded: &Recorded<'_>) -> Option<Self> {
        let usage: Vec<_> = recorded.series(Series::Current).collect();
        let without_cache =
            |sample: &Sample| Some((sample.at, sample.get(Series::Current)?.saturating_sub(sample.get(Series::File)?)));
        let working_set: Vec<_> = recorded.samples.iter().filter_map(without_cache).collect();
        let scraper = |interval_us| {
            Some(Scraper {
                interval_us,
                usage: seen(&usage, recorded.kill, interval_us)?,
                working_set: seen(&working_set, recorded.kill, interval_us),
            })
        };
        Some(Self {
            cgroup: recorded.record.cgroup.clone(),
            limit_bytes: recorded.limit,
            from_us: recorded.from(),
            to_us: recorded.kill,
            peak: peak(recorded)?,
            scrapers: INTERVALS_US.into_iter().map(scraper).collect::<Option<_>>()?,
        })
    }

    /// The scraper of one interval.
    #[must_use]
    pub fn scraper(&self, interval_us: u64) -> Option<&Scraper> {
        self.scrapers.iter().find(|scraper| scraper.interval_us == interval_us)
    }

    /// What shares are of: the limit, else the peak.
    #[must_use]
    pub fn whole(&self) -> Bytes {
        self.limit_bytes.filter(|limit| limit.0 > 0).unwrap_or(self.peak.bytes)
    }
}

/// A stretch of instants that show one value: as microseconds before the kill, from `near` up to but not with `far`.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    near: u64,
    far: u64,
    value: u64,
}

/// A look shows the last sample at or before its instant.
fn stretches(values: &[(BootTime, u64)], kill: BootTime) -> Vec<Stretch> {
    let before_kill = |at: BootTime| kill.0.saturating_sub(at.0);
    let ends = values.iter().skip(1).map(|(next, _)| before_kill(*next).saturating_add(1)).chain([0]);
    let stretch = |((at, value), near): (&(BootTime, u64), u64)| {
        let far = before_kill(*at).saturating_add(1);
        (far > near).then_some(Stretch { near, far, value: *value })
    };
    values.iter().zip(ends).filter_map(stretch).collect()
}

/// What looks every `interval` microseconds show, over all instants that the last of them before the kill can fall on. `None`
/// without values. `values` ascend in time and end before the kill.
///
/// Folding the time before the kill onto one interval turns each stretch into an arc of phases that see its value; a phase shows the highest
/// of the arcs that it lies on. Sweeping over the ends of the arcs finds the lowest phase in n log n.
fn seen(values: &[(BootTime, u64)], kill: BootTime, interval: u64) -> Option<Seen> {
    let stretches = stretches(values, kill);
    let highest = stretches.iter().map(|s| s.value).max()?;
    let last: Vec<&Stretch> = stretches.iter().filter(|s| s.near < interval).collect();
    let is_long_enough = stretches.iter().any(|s| s.far >= interval);
    let (phase, lowest) = lowest_phase(&stretches, interval);
    Some(Seen {
        lowest_bytes: lowest.map(Bytes),
        highest_bytes: Bytes(highest),
        lowest_last_look_us: phase,
        last_lowest_bytes: last.iter().map(|s| s.value).min().filter(|_| is_long_enough).map(Bytes),
        last_highest_bytes: Bytes(last.iter().map(|s| s.value).max().unwrap_or(0)),
    })
}

/// The phase whose looks show the least, with what they show; `None` where it has no look at all.
fn lowest_phase(stretches: &[Stretch], interval: u64) -> (u64, Option<u64>) {
    let (everywhere, arcs): (Vec<Stretch>, Vec<Stretch>) =
        stretches.iter().partition(|stretch| stretch.far - stretch.near >= interval);
    let everywhere = everywhere.iter().map(|s| s.value).max();
    let mut arcs: Vec<(u64, u64, u64)> = arcs.iter().flat_map(|arc| folded(arc, interval)).flatten().collect();
    arcs.sort_unstable();
    let mut phases: Vec<u64> = arcs.iter().flat_map(|(start, end, _)| [*start, *end]).chain([0]).collect();
    phases.retain(|phase| *phase < interval);
    phases.sort_unstable();
    phases.dedup();
    let mut coming = arcs.into_iter().peekable();
    let mut open = BinaryHeap::new();
    let mut lowest: Option<(Option<u64>, u64)> = None;
    for phase in phases {
        while let Some((_, end, value)) = coming.next_if(|(start, ..)| *start <= phase) {
            open.push((value, end));
        }
        while open.peek().is_some_and(|(_, end)| *end <= phase) {
            open.pop();
        }
        let shown = open.peek().map(|(value, _)| *value).max(everywhere);
        if lowest.is_none_or(|(least, _)| shown < least) {
            lowest = Some((shown, phase));
        }
    }
    lowest.map_or((0, everywhere), |(least, phase)| (phase, least))
}

/// The phases of a stretch shorter than the interval: one arc, or two where it goes over the end.
fn folded(stretch: &Stretch, interval: u64) -> [Option<(u64, u64, u64)>; 2] {
    let start = stretch.near % interval;
    let end = start + (stretch.far - stretch.near);
    if end <= interval {
        [Some((start, end, stretch.value)), None]
    } else {
        [Some((start, interval, stretch.value)), Some((0, end - interval, stretch.value))]
    }
}

/// The share of the peak from which on memory counts as being at it.
const AT_PEAK: (u64, u64) = (9, 10);

/// One instant or stretch in which the highest charge is known.
#[derive(Clone, Copy)]
struct High {
    bytes: u64,
    at: BootTime,
    not_before: BootTime,
}

fn peak(recorded: &Recorded<'_>) -> Option<Peak> {
    let top = highs(recorded).into_iter().max_by_key(|high| (high.bytes, high.at))?;
    let threshold = top.bytes / AT_PEAK.1 * AT_PEAK.0;
    let (at_least, at_most) = lasted(recorded, &top, threshold);
    Some(Peak {
        bytes: Bytes(top.bytes),
        at_us: top.at,
        not_before_us: top.not_before,
        exact: is_exact(recorded, top.bytes),
        lasted_at_least_us: at_least,
        lasted_at_most_us: at_most,
    })
}

/// Every reading of the highest charge: of each sample, of the one after the kill, and of the kernel's report.
fn highs(recorded: &Recorded<'_>) -> Vec<High> {
    let mut highs = Vec::with_capacity(recorded.samples.len() * 2 + 2);
    let mut before = recorded.from();
    for sample in &recorded.samples {
        let current = sample.get(Series::Current).map(|bytes| High { bytes, at: sample.at, not_before: sample.at });
        let peak = sample.get(Series::Peak).map(|bytes| High { bytes, at: sample.at, not_before: before });
        // Of two that are equal the instant is the better statement.
        highs.extend(peak.filter(|peak| current.is_none_or(|current| current.bytes < peak.bytes)));
        highs.extend(current);
        before = sample.at;
    }
    let at_kill = |bytes, not_before| High { bytes, at: recorded.kill, not_before };
    highs.extend(recorded.after.and_then(|after| after.get(Series::Peak)).map(|bytes| at_kill(bytes, before)));
    highs.extend(recorded.usage_at_kill.map(|usage| at_kill(usage.0, recorded.kill)));
    highs
}

/// How long charged memory stayed at or above the threshold around the peak: at least, and at most.
fn lasted(recorded: &Recorded<'_>, top: &High, threshold: u64) -> (u64, u64) {
    let mut points: Vec<(BootTime, bool)> =
        recorded.series(Series::Current).map(|(at, bytes)| (at, bytes >= threshold)).collect();
    let high_at_kill = recorded.usage_at_kill.is_some_and(|usage| usage.0 >= threshold)
        || (top.at == recorded.kill && top.bytes >= threshold);
    points.push((recorded.kill, high_at_kill));
    let around = points.partition_point(|(at, _)| *at < top.at).min(points.len() - 1);
    let before = points.iter().take(around + 1).rev().skip_while(|(at, high)| *at == top.at && !high);
    let start = before.clone().take_while(|(_, high)| *high).last().map(|(at, _)| *at);
    let end = points.iter().skip(around).take_while(|(_, high)| *high).last().map(|(at, _)| *at);
    let earliest = before.clone().find(|(_, high)| !high).map_or(recorded.from(), |(at, _)| *at);
    let latest = points.iter().skip(around).find(|(_, high)| !high).map_or(recorded.kill, |(at, _)| *at);
    let length = |from: BootTime, to: BootTime| to.0.saturating_sub(from.0);
    let at_least = start.zip(end).map_or(0, |(start, end)| length(start, end));
    (at_least, length(earliest, latest).max(at_least))
}

/// Nothing higher was between the samples: the kernel kept the maximum of all the time between them, or nothing can be higher.
fn is_exact(recorded: &Recorded<'_>, top: u64) -> bool {
    // Charges are taken in batches of 64 pages a CPU (mm/memcontrol.c, `MEMCG_CHARGE_BATCH`).
    const BATCH: u64 = 64 * 4096;
    let at_limit = recorded.limit.is_some_and(|limit| top.saturating_add(BATCH) >= limit.0);
    let kept = recorded.samples.iter().skip(1).all(|sample| sample.get(Series::Peak).is_some());
    let to_the_end = recorded.usage_at_kill.is_some() || recorded.after.is_some_and(|a| a.get(Series::Peak).is_some());
    at_limit || (kept && to_the_end && recorded.samples.len() > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What looks at every phase show, each asked for by itself: its highest value, and its last one.
    fn by_force(values: &[(BootTime, u64)], kill: u64, interval: u64) -> Option<Seen> {
        let shown = |at: u64| values.iter().rfind(|(then, _)| then.0 <= at).map(|(_, value)| *value);
        let of_phase = |phase: u64| {
            let looks = (0..).map_while(|n| kill.checked_sub(phase + n * interval)).map(shown);
            looks.take_while(Option::is_some).flatten().collect::<Vec<_>>()
        };
        let phases: Vec<Vec<u64>> = (0..interval).map(of_phase).collect();
        let highest = phases.iter().flatten().max()?;
        let worst = (0..interval).min_by_key(|phase| phases[*phase as usize].iter().max().copied())?;
        let last = phases.iter().map(|looks| looks.first().copied());
        Some(Seen {
            lowest_bytes: phases[worst as usize].iter().max().copied().map(Bytes),
            highest_bytes: Bytes(*highest),
            lowest_last_look_us: worst,
            last_lowest_bytes: last.clone().min().flatten().map(Bytes),
            last_highest_bytes: Bytes(last.flatten().max()?),
        })
    }

    proptest! {
        /// The sweep over arcs finds what trying every phase finds, for irregular rows and recordings shorter than an interval.
        #[test]
        fn scrapers_by_force(steps in prop::collection::vec((0_u64..12, 0_u64..9), 1..40), after in 0_u64..12, interval in 1_u64..40) {
            let mut at = 100;
            let mut values = Vec::new();
            for (step, value) in steps {
                at += step;
                values.push((BootTime(at), value));
            }
            let kill = at + after;
            prop_assert_eq!(seen(&values, BootTime(kill), interval), by_force(&values, kill, interval));
        }
    }

    /// Without values there is nothing to see, and a recording shorter than the interval may be missed altogether.
    #[test]
    fn short_recordings() {
        assert_eq!(seen(&[], BootTime(9), 10), None);
        let seen = seen(&[(BootTime(5), 7)], BootTime(9), 10).unwrap();
        assert_eq!((seen.lowest_bytes, seen.highest_bytes, seen.last_lowest_bytes), (None, Bytes(7), None));
    }
}
