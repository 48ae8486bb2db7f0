//! What counters tell between kills: limits met without a kill, throttling.
//!
//! A container whose page cache fills its limit meets it thousands of times an hour, so each cgroup is told of at most once in
//! [`EVERY_US`], with the count since.

use std::collections::HashMap;

use oomscope_core::notice::Event;
use oomscope_core::recorder::{Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};

use super::watched::Watched;

/// Each kind of notice of one cgroup is at least this far apart.
const EVERY_US: u64 = 30_000_000;
/// A limit that was met is told of only after this: a kill that follows says it better.
const PATIENCE_US: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    times: u64,
    since: Option<BootTime>,
    told: Option<BootTime>,
}

impl Count {
    fn add(&mut self, times: u64, now: BootTime) {
        if times > 0 {
            self.times = self.times.saturating_add(times);
            self.since.get_or_insert(now);
        }
    }

    fn due(&self) -> Option<BootTime> {
        let patience = self.since?.0.saturating_add(PATIENCE_US);
        Some(BootTime(patience.max(self.told.map_or(0, |told| told.0.saturating_add(EVERY_US)))))
    }

    /// The count, when it is time to tell it.
    fn take(&mut self, now: BootTime) -> Option<u64> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.told = Some(now);
        self.since = None;
        Some(std::mem::take(&mut self.times))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    limit: Count,
    high: Count,
}

/// What is counted and not told yet.
#[derive(Debug, Default)]
pub(super) struct Notices {
    counts: HashMap<u64, Counts>,
}

impl Notices {
    /// Two readings of a cgroup in a row.
    pub(super) fn observe(&mut self, key: u64, before: &Sample, sample: &Sample) {
        let rise = |series| {
            let (before, now) = before.get(series).zip(sample.get(series)).unwrap_or_default();
            now.saturating_sub(before)
        };
        let (limit, high) = (rise(Series::Max), rise(Series::High));
        if limit > 0 || high > 0 {
            let counts = self.counts.entry(key).or_default();
            counts.limit.add(limit, sample.at);
            counts.high.add(high, sample.at);
        }
    }

    /// A kill in the cgroup says what its limit hits came to.
    pub(super) fn killed(&mut self, key: u64) {
        if let Some(counts) = self.counts.get_mut(&key) {
            counts.limit.times = 0;
            counts.limit.since = None;
        }
    }

    /// It is gone.
    pub(super) fn forget(&mut self, key: u64) {
        self.counts.remove(&key);
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now: BootTime, known: &HashMap<u64, Watched>) -> Vec<(u64, Event)> {
        let mut events = Vec::new();
        for (key, counts) in &mut self.counts {
            let Some(watched) = known.get(key) else { continue };
            if let Some(times) = counts.limit.take(now) {
                events.push((*key, limit_hit(times, watched)));
            }
            if let Some(times) = counts.high.take(now) {
                let high = watched.limits.high_bytes.unwrap_or(Limit::Unlimited);
                events.push((*key, Event::Throttled { times, high }));
            }
        }
        events.sort_by_key(|(key, _)| *key);
        events
    }

    /// When [`Notices::take`] has something next.
    pub(super) fn due(&self) -> Option<BootTime> {
        self.counts.values().flat_map(|counts| [counts.limit.due(), counts.high.due()]).flatten().min()
    }
}

fn limit_hit(times: u64, watched: &Watched) -> Event {
    Event::LimitHit {
        times,
        usage: watched.latest.and_then(|sample| sample.get(Series::Current)).map(Bytes),
        unreclaimable: watched.unreclaimable(),
        limit: watched.limits.max_bytes.unwrap_or(Limit::Unlimited),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of hits are one notice, and a kill makes them needless.
    #[test]
    fn once_in_a_while() {
        let mut count = Count::default();
        count.add(5, BootTime(0));
        count.add(7, BootTime(10));
        assert_eq!(count.take(BootTime(PATIENCE_US - 1)), None);
        assert_eq!(count.take(BootTime(PATIENCE_US)), Some(12));
        count.add(1, BootTime(PATIENCE_US + 1));
        assert_eq!(count.take(BootTime(PATIENCE_US * 3)), None);
        assert_eq!(count.due(), Some(BootTime(PATIENCE_US + EVERY_US)));
        assert_eq!(count.take(BootTime(PATIENCE_US + EVERY_US)), Some(1));

        let mut notices = Notices::default();
        let sample = |at, hits| Sample::new(BootTime(at)).with(Series::Max, hits);
        notices.observe(3, &sample(0, 10), &sample(1, 14));
        assert!(notices.due().is_some());
        notices.killed(3);
        assert_eq!(notices.due(), None);
    }
}
