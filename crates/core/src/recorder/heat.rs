//! How often to read a cgroup: seldom while nothing happens, often when a kill may be near.
//!
//! Three things make it hot: memory that cannot be reclaimed near the limit, growth that would reach the limit within seconds,
//! and charges that met the limit and were not only page cache being dropped. It cools down step by step, and more slowly than it heats up,
//! so that a cgroup at the edge does not flicker. A container whose cache fills its limit is the ordinary case and stays cool:
//! its limit is met thousands of times an hour, and each time there is something to drop.

use super::{Sample, Series};
use crate::time::BootTime;
use crate::units::Limit;

/// The range of intervals, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// While nothing happens.
    pub base_us: u64,
    /// At the hottest.
    pub finest_us: u64,
}

impl Default for Pace {
    /// From 1 s down to 10 ms.
    fn default() -> Self {
        Self { base_us: 1_000_000, finest_us: 10_000 }
    }
}

/// Of the limit, in percent: held memory from here on makes it hot, and below there lets it cool down.
const NEAR: u64 = 90;
const NOT_NEAR: u64 = 85;
/// The hottest when the limit would be reached in this time, warm in that.
const SOON_US: u64 = 2_000_000;
const LATER_US: u64 = 20_000_000;
/// Growth is judged over no less than this: two readings a few milliseconds apart make any noise a trend.
const TREND_US: u64 = 50_000;
/// It stays as hot as it was for this long after the last reason.
const LINGER_US: u64 = 3_000_000;
/// A cgroup that has been near its limit for this long without anything happening is used to it.
const USED_TO_IT_US: u64 = 30_000_000;
/// Between base and finest, each step cooler is so many times slower.
const STEP: u64 = 5;

/// How warm, from cool to hottest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Cool,
    Warm,
    Hot,
}

/// One cgroup's.
#[derive(Clone, Debug)]
pub struct Heat {
    pace: Pace,
    level: Level,
    /// Until then it is not cooled down.
    until: BootTime,
    /// What could not be reclaimed, by the latest reading that told.
    reclaimable: u64,
    /// Where the trend is measured from.
    trend: Option<(BootTime, u64)>,
    /// Limit hits seen.
    hits: Option<u64>,
    /// Kills seen.
    kills: Option<u64>,
    /// Since when it is near its limit.
    near_since: Option<BootTime>,
}

impl Heat {
    /// Cool.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self {
            pace,
            level: Level::Cool,
            until: BootTime(0),
            reclaimable: 0,
            trend: None,
            hits: None,
            kills: None,
            near_since: None,
        }
    }

    /// Takes a reading, and answers after how many microseconds to read again. `limit`: the smallest on the path.
    pub fn observe(&mut self, sample: &Sample, limit: Limit) -> u64 {
        let now = sample.at;
        let might = self.near(sample, limit).max(self.growth(sample, limit)).max(self.met_limit(sample));
        // Whoever has lived at the edge for long may go on to; a kill is news all the same.
        let might = if self.is_used_to_it(now) { might.min(Level::Warm) } else { might };
        let reason = might.max(self.killed(sample));
        if reason >= self.level && reason > Level::Cool {
            self.level = reason;
            self.until = BootTime(now.0.saturating_add(LINGER_US));
        } else if now >= self.until && self.level > Level::Cool {
            self.level = if self.level == Level::Hot { Level::Warm } else { Level::Cool };
            self.level = self.level.max(reason);
            self.until = BootTime(now.0.saturating_add(LINGER_US));
        }
        self.interval_us()
    }

    /// Something else says that it is hot: an alarm of the kernel's.
    pub fn alarm(&mut self, now: BootTime) {
        if !self.is_used_to_it(now) {
            self.level = Level::Hot;
            self.until = BootTime(now.0.saturating_add(LINGER_US));
        }
    }

    fn is_used_to_it(&self, now: BootTime) -> bool {
        self.near_since.is_some_and(|since| now.0.saturating_sub(since.0) >= USED_TO_IT_US)
    }

    /// It is read more often than the base interval.
    #[must_use]
    pub fn is_hot(&self) -> bool {
        self.level > Level::Cool
    }

    fn interval_us(&self) -> u64 {
        match self.level {
            Level::Cool => self.pace.base_us,
            Level::Warm => self.pace.finest_us.saturating_mul(STEP * STEP).min(self.pace.base_us),
            Level::Hot => self.pace.finest_us,
        }
    }

    /// Memory that cannot be reclaimed stands near the limit.
    fn near(&mut self, sample: &Sample, limit: Limit) -> Level {
        if let Some(reclaimable) = reclaimable(sample) {
            self.reclaimable = reclaimable;
        }
        let (Some(current), Limit::At(limit)) = (sample.get(Series::Current), limit) else { return Level::Cool };
        let held = current.saturating_sub(self.reclaimable);
        let above = |percent: u64| held.saturating_mul(100) >= limit.0.saturating_mul(percent);
        if !above(NOT_NEAR) {
            self.near_since = None;
            return Level::Cool;
        }
        if self.near_since.is_none() && !above(NEAR) {
            return Level::Cool;
        }
        self.near_since.get_or_insert(sample.at);
        Level::Hot
    }

    /// At the present rate the limit is reached soon. Page cache counts as long as it is not known to be cache.
    fn growth(&mut self, sample: &Sample, limit: Limit) -> Level {
        let Some(current) = sample.highest() else { return Level::Cool };
        let Some((since, before)) = self.trend else {
            self.trend = Some((sample.at, current));
            return Level::Cool;
        };
        let elapsed = sample.at.0.saturating_sub(since.0);
        if elapsed < TREND_US {
            return Level::Cool;
        }
        self.trend = Some((sample.at, sample.get(Series::Current).unwrap_or(current)));
        let grown = current.saturating_sub(before);
        let Limit::At(limit) = limit else { return Level::Cool };
        // Small steps of an idle process are no trend.
        if grown.saturating_mul(200) < limit.0 {
            return Level::Cool;
        }
        let room = limit.0.saturating_sub(current.saturating_sub(self.reclaimable.min(current)));
        let time_left = u128::from(room) * u128::from(elapsed) / u128::from(grown.max(1));
        match time_left {
            left if left < u128::from(SOON_US) => Level::Hot,
            left if left < u128::from(LATER_US) => Level::Warm,
            _ => Level::Cool,
        }
    }

    /// A charge met the limit since the reading before, and little is left that could be dropped.
    fn met_limit(&mut self, sample: &Sample) -> Level {
        let has_risen = rise(&mut self.hits, sum(sample, [Series::Max, Series::High]));
        if has_risen && self.near_since.is_some() { Level::Hot } else { Level::Cool }
    }

    /// Somebody was killed, or was to be.
    fn killed(&mut self, sample: &Sample) -> Level {
        let has_risen = rise(&mut self.kills, sum(sample, [Series::OomKill, Series::Oom]));
        if has_risen { Level::Hot } else { Level::Cool }
    }
}

/// `None` where neither was read.
fn sum(sample: &Sample, series: [Series; 2]) -> Option<u64> {
    series.into_iter().filter_map(|series| sample.get(series)).reduce(u64::saturating_add)
}

/// Takes the newest value, where there is one, and answers whether it is above the one before.
fn rise(known: &mut Option<u64>, now: Option<u64>) -> bool {
    let Some(now) = now else { return false };
    known.replace(now).is_some_and(|before| now > before)
}

/// Cache and slab that the kernel can drop.
fn reclaimable(sample: &Sample) -> Option<u64> {
    Some(sample.get(Series::File)?.saturating_add(sample.get(Series::SlabReclaimable).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    const LIMIT: Limit = Limit::At(Bytes(100 << 20));

    fn sample(ms: u64, anon_mib: u64, file_mib: u64) -> Sample {
        Sample::new(BootTime(ms * 1000))
            .with(Series::Current, (anon_mib + file_mib) << 20)
            .with(Series::Anon, anon_mib << 20)
            .with(Series::File, file_mib << 20)
    }

    /// Anonymous memory near the limit is hot, and cools down some seconds after it is gone, not at once.
    #[test]
    fn near_the_limit() {
        let mut heat = Heat::new(Pace::default());
        assert_eq!(heat.observe(&sample(0, 50, 0), LIMIT), 1_000_000);
        assert_eq!(heat.observe(&sample(1000, 95, 0), LIMIT), 10_000);
        assert_eq!(heat.observe(&sample(1010, 40, 0), LIMIT), 10_000);
        assert_eq!(heat.observe(&sample(4100, 40, 0), LIMIT), 250_000);
        assert_eq!(heat.observe(&sample(7200, 40, 0), LIMIT), 1_000_000);
        assert!(!heat.is_hot());
    }

    /// Page cache that fills the limit and is dropped all the time is the ordinary case.
    #[test]
    fn cache_at_the_limit_stays_cool() {
        let mut heat = Heat::new(Pace::default());
        for second in 0..100 {
            let sample = sample(second * 1000, 20, 79).with(Series::Max, second * 50);
            assert_eq!(heat.observe(&sample, LIMIT), 1_000_000, "at {second} s");
        }
    }

    /// A leak that will take minutes is cool, one that will take seconds is hot long before it is near.
    #[test]
    fn growth_heats() {
        let mut slow = Heat::new(Pace::default());
        let mut fast = Heat::new(Pace::default());
        for second in 0..4 {
            slow.observe(&sample(second * 1000, 10 + second, 0), LIMIT);
            fast.observe(&sample(second * 1000, 10 + second * 20, 0), LIMIT);
        }
        assert!(!slow.is_hot());
        assert_eq!(fast.observe(&sample(4000, 80, 0), LIMIT), 10_000);
    }

    /// Whoever lives at its limit for long is read less often again, until something happens.
    #[test]
    fn used_to_it() {
        let mut heat = Heat::new(Pace::default());
        let mut at = 0;
        while at < 40_000 {
            at += heat.observe(&sample(at, 95, 0).with(Series::OomKill, 0), LIMIT) / 1000;
        }
        assert_eq!(heat.observe(&sample(at, 95, 0).with(Series::OomKill, 0), LIMIT), 250_000);
        assert_eq!(heat.observe(&sample(at + 250, 95, 0).with(Series::OomKill, 1), LIMIT), 10_000);
    }
}
