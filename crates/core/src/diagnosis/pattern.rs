//! How memory came to be full: the shape of the last minutes in the cgroup whose limit was reached.

use serde::{Deserialize, Serialize};

use super::memory::MemoryUse;
use super::recorded::Recorded;
use crate::evidence::Gap;
use crate::recorder::Series;
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// The shape of a growth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// From its ordinary level to the top within seconds.
    Spike,
    /// The cgroup was new and filled up at once.
    StartUp,
    /// By about as much in every minute that was recorded.
    Leak,
    /// It grew, neither suddenly nor evenly.
    Growth,
    /// It stood near the top all the time: it was full before the recording began.
    Full,
    /// It neither grew nor was near the top.
    #[default]
    None,
}

/// What grew, as a kind of charged memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// The processes' own memory.
    Anon,
    /// Page cache, which the kernel can take back.
    FileCache,
    /// tmpfs and shared memory.
    Shmem,
    /// Kernel memory.
    Kernel,
    /// Network buffers.
    Sock,
}

/// By how much one kind of memory changed over the growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketChange {
    /// Which.
    pub bucket: Bucket,
    /// When the growth began.
    pub from_bytes: Bytes,
    /// At its end.
    pub to_bytes: Bytes,
}

/// The growth that led to the kill. Sizes are of what the kernel cannot take back: charged memory without page cache, where both were
/// recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Whose memory.
    pub cgroup: Untrusted,
    /// What it looked like.
    pub shape: Shape,
    /// What grew most; `null` where nothing grew or the kinds were not recorded.
    pub bucket: Option<Bucket>,
    /// When it began to grow.
    pub from_us: BootTime,
    /// The kill, or the last row before it.
    pub to_us: BootTime,
    /// Held before.
    pub from_bytes: Bytes,
    /// Held in the end.
    pub to_bytes: Bytes,
    /// How long the greater part of the growth (from a tenth to nine tenths) took.
    pub rise_us: u64,
    /// No reading lies within the rise: it may have been shorter, not longer.
    pub rise_at_most: bool,
    /// Bytes a second: of a leak its robust slope, else of the rise.
    pub bytes_per_s: u64,
    /// How long a restarted one takes to fill up again at the rate of a leak; `null` for other shapes.
    pub refill_us: Option<u64>,
    /// The kinds of memory, largest growth first.
    pub buckets: Vec<BucketChange>,
    /// Processes when the growth began and in the end; `null` where they were not counted.
    pub processes: Option<(u64, u64)>,
}

/// Points of the evenly spaced series that levels and slopes are taken from: samples are denser where it was hot, and would count more.
const GRID: u64 = 64;
/// A spike is over in this time.
const SPIKE_US: u64 = 10_000_000;
/// A cgroup is starting up for so long.
const START_UP_US: u64 = 120_000_000;
/// A slope of a shorter time is no leak.
const LEAK_US: u64 = 20_000_000;

/// One reading.
type Point = (BootTime, u64);

impl Pattern {
    /// How the record's cgroup filled up.
    pub(super) fn of(recorded: &Recorded<'_>, memory: Option<&MemoryUse>) -> Result<Self, Gap> {
        let mut points: Vec<Point> = recorded.held().collect();
        points.extend(recorded.held_at_kill(memory).map(|bytes| (recorded.kill, bytes)));
        let held = Self::of_points(recorded, &points)?;
        let pattern = if matches!(held.shape, Shape::None | Shape::Full) {
            with_cache(recorded)
                .filter(|cache| cache.shape == Shape::Growth || cache.shape == Shape::Leak)
                .unwrap_or(held)
        } else {
            held
        };
        Ok(pattern.with_buckets(recorded, memory))
    }

    fn of_points(recorded: &Recorded<'_>, points: &[Point]) -> Result<Self, Gap> {
        let (Some(&first), Some(&last), true) = (points.first(), points.last(), points.len() >= 3) else {
            let why = "fewer than three readings of the cgroup precede it";
            return Err(Gap::new("how memory grew before the kill", why));
        };
        let grid = evenly_spaced(points, first.0, last.0);
        let pattern = Self::above(recorded, points, &grid, low(&grid));
        // Where it began far below, as a process does that has just started, a spike stands out only from what was usual later.
        let spike = || Some(Self::above(recorded, points, &grid, usual(&grid))).filter(|it| it.shape == Shape::Spike);
        Ok(if pattern.shape == Shape::Growth { spike().unwrap_or(pattern) } else { pattern })
    }

    /// The shape of the last rise above a level.
    fn above(recorded: &Recorded<'_>, points: &[Point], grid: &[u64], level: u64) -> Self {
        let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return Self::default() };
        let end = highest_of_the_end(points, last.0);
        let top = recorded.limit.map_or(end, |limit| limit.0.max(end));
        let mut pattern = Self {
            cgroup: recorded.record.cgroup.clone(),
            from_us: first.0,
            to_us: last.0,
            from_bytes: Bytes(first.1),
            to_bytes: Bytes(end),
            ..Self::default()
        };
        let rise = end.saturating_sub(level);
        if rise.saturating_mul(20) < top {
            pattern.shape = if level.saturating_mul(5) >= top.saturating_mul(4) { Shape::Full } else { Shape::None };
            return pattern;
        }
        pattern.take_rise(points, level, rise);
        let slope = Slope::of(grid, first.0, last.0);
        let begins_us = pattern.from_us.0.saturating_sub(first.0.0);
        let length_us = last.0.0.saturating_sub(first.0.0);
        let at_once = begins_us.saturating_mul(10) <= length_us.saturating_mul(3);
        pattern.shape = if is_young(recorded, first.1, end) && at_once && length_us <= START_UP_US {
            Shape::StartUp
        } else if pattern.rise_us <= SPIKE_US && begins_us >= pattern.rise_us.saturating_mul(2) {
            Shape::Spike
        } else if length_us >= LEAK_US && slope.as_ref().is_some_and(|slope| slope.explains(rise, length_us)) {
            Shape::Leak
        } else {
            Shape::Growth
        };
        if let (Shape::Leak, Some(slope)) = (pattern.shape, slope) {
            (pattern.from_us, pattern.from_bytes) = (first.0, Bytes(first.1));
            pattern.bytes_per_s = slope.bytes_per_s();
            pattern.refill_us = time_for(end, pattern.bytes_per_s);
        }
        pattern
    }

    /// From where the growth left the ordinary level by a tenth, for the last time, to where it was within a tenth of its end.
    fn take_rise(&mut self, points: &[Point], level: u64, rise: u64) {
        let (tenth, nine_tenths) = (level.saturating_add(rise / 10), level.saturating_add(rise / 10 * 9));
        let begin = points.iter().rposition(|(_, bytes)| *bytes <= tenth).unwrap_or(0);
        let end = points.iter().skip(begin).position(|(_, bytes)| *bytes >= nine_tenths).map(|n| begin + n);
        let (Some(&from), Some(&to)) = (points.get(begin), points.get(end.unwrap_or(points.len() - 1))) else { return };
        (self.from_us, self.from_bytes) = (from.0, Bytes(from.1));
        self.rise_us = to.0.0.saturating_sub(from.0.0);
        self.rise_at_most = end.is_some_and(|end| end <= begin + 1);
        self.bytes_per_s = rate(to.1.saturating_sub(from.1), self.rise_us);
    }

    /// What grew, from the beginning of the growth to the kill.
    fn with_buckets(mut self, recorded: &Recorded<'_>, memory: Option<&MemoryUse>) -> Self {
        let before = recorded.samples.iter().rfind(|sample| sample.at <= self.from_us).or(recorded.samples.first());
        let Some((before, last)) = before.zip(recorded.samples.last()) else { return self };
        let at_kill = memory.filter(|memory| recorded.usage_at_kill.is_some() && !memory.parts.is_empty());
        let change = |(bucket, series): (Bucket, Series)| {
            let by_report = at_kill.and_then(|memory| bucket.at_kill(memory));
            let to = by_report.or_else(|| last.get(series).map(Bytes))?;
            Some(BucketChange { bucket, from_bytes: Bytes(before.get(series)?), to_bytes: to })
        };
        self.buckets = BUCKETS.into_iter().filter_map(change).collect();
        self.buckets.sort_by_key(|change| std::cmp::Reverse(change.grown()));
        let grew = self.buckets.first().filter(|_| !matches!(self.shape, Shape::None | Shape::Full));
        self.bucket = grew.filter(|change| change.grown() > 0).map(|change| change.bucket);
        self.processes = before.get(Series::Processes).zip(last.get(Series::Processes));
        self
    }

    /// The number of processes rose with the memory.
    #[must_use]
    pub fn forked(&self) -> Option<(u64, u64)> {
        self.processes.filter(|(from, to)| *to >= from.saturating_mul(2) && to.saturating_sub(*from) >= 5)
    }
}

const BUCKETS: [(Bucket, Series); 5] = [
    (Bucket::Anon, Series::Anon),
    (Bucket::FileCache, Series::File),
    (Bucket::Shmem, Series::Shmem),
    (Bucket::Kernel, Series::Kernel),
    (Bucket::Sock, Series::Sock),
];

impl Bucket {
    /// As the kernel's report has it; its kernel memory is itemised in another way than the recorder's.
    fn at_kill(self, memory: &MemoryUse) -> Option<Bytes> {
        match self {
            Self::Anon => Some(memory.anon()),
            Self::FileCache => Some(memory.cache()),
            Self::Shmem => Some(memory.shmem()),
            Self::Kernel | Self::Sock => None,
        }
    }
}

impl BucketChange {
    /// By how much; negative where it shrank.
    #[must_use]
    pub fn grown(&self) -> i64 {
        i64::try_from(i128::from(self.to_bytes.0) - i128::from(self.from_bytes.0)).unwrap_or(i64::MAX)
    }
}

/// The same question of all that is charged, page cache included.
fn with_cache(recorded: &Recorded<'_>) -> Option<Pattern> {
    let points: Vec<Point> = recorded.series(Series::Current).collect();
    Pattern::of_points(recorded, &points).ok()
}

/// What the series shows at evenly spaced instants: the last reading at or before each.
fn evenly_spaced(points: &[Point], from: BootTime, to: BootTime) -> Vec<u64> {
    let length = u128::from(to.0.saturating_sub(from.0));
    let mut at = 0;
    let mut value = |step: u64| {
        let instant =
            from.0.saturating_add(u64::try_from(length * u128::from(step) / u128::from(GRID)).unwrap_or(u64::MAX));
        while points.get(at + 1).is_some_and(|(next, _)| next.0 <= instant) {
            at += 1;
        }
        points.get(at).map_or(0, |(_, bytes)| *bytes)
    };
    (0..=GRID).map(&mut value).collect()
}

/// The ordinary low level: the lowest tenth is left out, so that one dip does not make a spike of everything.
fn low(grid: &[u64]) -> u64 {
    let mut sorted = grid.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 10).copied().unwrap_or(0)
}

/// The level above and below which it was for as long.
fn usual(grid: &[u64]) -> u64 {
    let mut sorted = grid.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Reclaim may have taken a little away at the very end.
fn highest_of_the_end(points: &[Point], end: BootTime) -> u64 {
    let last = points.iter().rev().take_while(|(at, _)| end.0.saturating_sub(at.0) <= 2_000_000);
    last.map(|(_, bytes)| *bytes).max().unwrap_or(0)
}

/// It began while the recorder watched, and small.
fn is_young(recorded: &Recorded<'_>, first: u64, end: u64) -> bool {
    let slack = recorded.record.base_interval_us.saturating_mul(2).max(2_000_000);
    recorded.from().0 > recorded.timeline.from_us.0.saturating_add(slack) && first.saturating_mul(4) <= end
}

/// The median of the slopes of all pairs (Theil–Sen): a third of the points may be anything, as in the sawtooth of a garbage collector.
struct Slope {
    bytes_per_step: f64,
    /// The median distance of the points from the line.
    residual: f64,
    step_us: f64,
}

impl Slope {
    fn of(grid: &[u64], from: BootTime, to: BootTime) -> Option<Self> {
        let pairs = (0..grid.len()).flat_map(|a| (a + 1..grid.len()).map(move |b| (a, b)));
        let slope = |(a, b): (usize, usize)| Some((*grid.get(b)? as f64 - *grid.get(a)? as f64) / (b - a) as f64);
        let bytes_per_step = median(pairs.filter_map(slope).collect())?;
        let rest: Vec<f64> = grid.iter().enumerate().map(|(at, y)| *y as f64 - bytes_per_step * at as f64).collect();
        let base = median(rest.clone())?;
        let residual = median(rest.into_iter().map(|r| (r - base).abs()).collect())?;
        Some(Self { bytes_per_step, residual, step_us: to.0.saturating_sub(from.0) as f64 / GRID as f64 })
    }

    /// The line accounts for most of the rise and the points lie near it.
    fn explains(&self, rise: u64, length_us: u64) -> bool {
        let risen = self.bytes_per_step * GRID as f64;
        length_us > 0 && risen >= rise as f64 / 2.0 && self.residual <= rise as f64 * 0.15
    }

    fn bytes_per_s(&self) -> u64 {
        // Never negative where it explains a rise; a float beyond the range saturates.
        (self.bytes_per_step / self.step_us.max(1.0) * 1e6) as u64
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn rate(bytes: u64, us: u64) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(us.max(1))).unwrap_or(u64::MAX)
}

fn time_for(bytes: u64, bytes_per_s: u64) -> Option<u64> {
    u64::try_from((u128::from(bytes) * 1_000_000).checked_div(u128::from(bytes_per_s))?).ok()
}
