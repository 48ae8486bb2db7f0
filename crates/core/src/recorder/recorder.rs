//! The recorder of all cgroups: what is kept, and what is given up when the budget is spent.

use std::collections::{BTreeMap, VecDeque};

use super::chunk::Chunk;
use super::{Sample, Series};
use crate::incident::timeline::Rows;
use crate::time::BootTime;

/// Samples that are gathered before they are sealed.
const OPEN_ROWS: usize = 32;
/// Allocator and map overhead that is charged for each cgroup and each chunk.
const OVERHEAD: usize = 64;

/// Which cgroup; the caller's choice, never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupKey(pub u64);

/// How much may be kept. The rows not yet sealed and the bookkeeping count too.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// For one cgroup, in bytes.
    pub per_cgroup_bytes: usize,
    /// For all of them, in bytes.
    pub total_bytes: usize,
    /// Rows older than this are dropped, in microseconds.
    pub keep_us: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_cgroup_bytes: 64 << 10, total_bytes: 32 << 20, keep_us: 15 * 60 * 1_000_000 }
    }
}

/// Rows of one fineness, in order of time.
#[derive(Debug, Default)]
struct Ring {
    sealed: VecDeque<Chunk>,
    open: Vec<Sample>,
}

impl Ring {
    fn push(&mut self, sample: Sample) {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(OPEN_ROWS);
        }
        self.open.push(sample);
        if self.open.len() == OPEN_ROWS {
            self.sealed.push_back(Chunk::seal(&self.open));
            self.open.clear();
        }
    }

    fn bytes(&self) -> usize {
        let chunks: usize = self.sealed.iter().map(|chunk| chunk.encoded_bytes() + OVERHEAD).sum();
        chunks + self.sealed.capacity() * size_of::<Chunk>() + self.open.capacity() * size_of::<Sample>()
    }

    fn values(&self) -> usize {
        let open = self.open.iter().flat_map(|sample| Series::ALL.map(|series| sample.get(series))).flatten().count();
        open + self.sealed.iter().map(Chunk::values).sum::<usize>()
    }

    fn oldest(&self) -> Option<BootTime> {
        self.sealed.front().map(Chunk::last).or_else(|| self.open.last().map(|sample| sample.at))
    }

    fn give_up_oldest(&mut self) {
        if self.sealed.pop_front().is_none() {
            self.open = Vec::new();
        }
        self.sealed.shrink_to_fit();
    }

    fn samples(&self) -> impl Iterator<Item = Sample> + '_ {
        self.sealed.iter().flat_map(Chunk::samples).chain(self.open.iter().map(|sample| {
            let mut sample = sample.rounded();
            sample.at.0 -= sample.at.0 % super::chunk::TIME_STEP_US;
            sample
        }))
    }
}

#[derive(Debug, Default)]
struct Track {
    coarse: Ring,
    fine: Ring,
    latest: Option<Sample>,
    /// The highest charge of fine rows since the last coarse one.
    highest: Option<u64>,
    gone_at: Option<BootTime>,
}

impl Track {
    fn bytes(&self) -> usize {
        size_of::<Self>() + OVERHEAD + self.coarse.bytes() + self.fine.bytes()
    }

    fn oldest(&self) -> Option<BootTime> {
        self.coarse.oldest().into_iter().chain(self.fine.oldest()).min()
    }

    fn give_up_oldest(&mut self) {
        match (self.coarse.oldest(), self.fine.oldest()) {
            (Some(coarse), Some(fine)) if fine < coarse => self.fine.give_up_oldest(),
            (None, _) => self.fine.give_up_oldest(),
            _ => self.coarse.give_up_oldest(),
        }
    }

    fn push(&mut self, sample: &Sample, fine: bool) {
        self.latest = Some(*sample);
        self.gone_at = None;
        if fine {
            self.highest = self.highest.max(sample.highest());
            self.fine.push(*sample);
            return;
        }
        let mut row = *sample;
        if let Some(highest) = self.highest.take() {
            row.set(Series::Peak, sample.highest().max(Some(highest)));
        }
        self.coarse.push(row);
    }
}

/// The last minutes of every cgroup, within a [`Budget`].
#[derive(Debug)]
pub struct Recorder {
    budget: Budget,
    tracks: BTreeMap<CgroupKey, Track>,
    bytes: usize,
}

impl Recorder {
    /// Nothing recorded yet.
    #[must_use]
    pub const fn new(budget: Budget) -> Self {
        Self { budget, tracks: BTreeMap::new(), bytes: 0 }
    }

    /// Records one reading; `fine` for those between two of the base interval. Times of one cgroup must ascend: an
    /// older reading than its latest is left out.
    pub fn push(&mut self, key: CgroupKey, sample: &Sample, fine: bool) {
        let track = self.tracks.entry(key).or_default();
        let before = if track.latest.is_some() { track.bytes() } else { 0 };
        if track.latest.is_none_or(|latest| latest.at <= sample.at) {
            track.push(sample, fine);
        }
        let keep_from = sample.at.0.saturating_sub(self.budget.keep_us);
        while track.oldest().is_some_and(|at| at.0 < keep_from)
            || (track.bytes() > self.budget.per_cgroup_bytes && track.oldest().is_some())
        {
            track.give_up_oldest();
        }
        self.bytes = self.bytes + track.bytes() - before;
        if self.bytes > self.budget.total_bytes {
            self.shrink();
        }
    }

    /// Its cgroup is gone. The record stays until [`Recorder::expire`] or the budget ends it.
    pub fn forget(&mut self, key: CgroupKey, at: BootTime) {
        if let Some(track) = self.tracks.get_mut(&key) {
            track.gone_at = Some(at);
        }
    }

    /// Drops vanished cgroups whose time to be kept is over.
    pub fn expire(&mut self, now: BootTime) {
        let keep_us = self.budget.keep_us;
        self.tracks.retain(|_, track| track.gone_at.is_none_or(|at| now.0.saturating_sub(at.0) <= keep_us));
        self.bytes = self.tracks.values().map(Track::bytes).sum();
    }

    /// Gives up what is gone first, then the oldest of all.
    fn shrink(&mut self) {
        while self.bytes > self.budget.total_bytes {
            let order = |track: &Track| (track.gone_at.is_none(), track.oldest().is_none(), track.oldest());
            let Some(key) = self.tracks.iter().min_by_key(|(_, track)| order(track)).map(|(key, _)| *key) else {
                return;
            };
            let Some(track) = self.tracks.get_mut(&key) else { return };
            self.bytes -= track.bytes();
            track.give_up_oldest();
            if track.oldest().is_none() {
                self.tracks.remove(&key);
            } else {
                self.bytes += track.bytes();
            }
        }
    }

    /// The rows from `from` to `to`, both included, in order of time; at most `at_most`: the first, the last, and those with the highest charge.
    #[must_use]
    pub fn rows(&self, key: CgroupKey, from: BootTime, to: BootTime, at_most: usize) -> Rows {
        let Some(track) = self.tracks.get(&key) else { return Rows::default() };
        let mut rows: Vec<_> =
            track.coarse.samples().chain(track.fine.samples()).filter(|row| (from..=to).contains(&row.at)).collect();
        rows.sort_by_key(|row| row.at);
        if rows.len() > at_most {
            let last = rows.len() - 1;
            let mut order: Vec<_> = (0..rows.len()).collect();
            order.sort_by_key(|&row| {
                let ends = row == 0 || row == last;
                std::cmp::Reverse((ends, rows.get(row).and_then(Sample::highest)))
            });
            order.truncate(at_most);
            order.sort_unstable();
            return order.into_iter().filter_map(|row| rows.get(row).copied()).collect();
        }
        rows.into_iter().collect()
    }

    /// Its newest reading, as it was pushed.
    #[must_use]
    pub fn latest(&self, key: CgroupKey) -> Option<Sample> {
        self.tracks.get(&key)?.latest
    }

    /// What is held now, as [`Budget`] counts.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many values are recorded.
    #[must_use]
    pub fn values(&self) -> usize {
        self.tracks.values().map(|track| track.coarse.values() + track.fine.values()).sum()
    }

    /// How many cgroups have a record, vanished ones included.
    #[must_use]
    pub fn cgroups(&self) -> usize {
        self.tracks.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is pushed, the budget holds, the count of bytes is true, and time keeps its order.
        #[test]
        fn the_budget_holds(pushes in proptest::collection::vec((0_u64..6, 0_u64..5_000_000, any::<u64>(), any::<bool>()), 0..600)) {
            let budget = Budget { per_cgroup_bytes: 24 << 10, total_bytes: 60 << 10, ..Budget::default() };
            let mut recorder = Recorder::new(budget);
            let mut now = 0;
            for (key, step, value, fine) in pushes {
                now += step;
                let sample = Sample::new(BootTime(now)).with(Series::Current, value).with(Series::Anon, value / 2);
                recorder.push(CgroupKey(key), &sample, fine);
                prop_assert!(recorder.bytes() <= budget.total_bytes);
                prop_assert_eq!(recorder.bytes(), recorder.tracks.values().map(Track::bytes).sum::<usize>());
                prop_assert!(recorder.tracks.values().all(|track| track.bytes() <= budget.per_cgroup_bytes));
            }
            for key in 0..6 {
                let rows = recorder.rows(CgroupKey(key), BootTime(0), BootTime(u64::MAX), usize::MAX);
                prop_assert!(rows.at_us.is_sorted());
            }
        }
    }

    /// A peak between two coarse rows is in the later one, and survives thinning.
    #[test]
    fn the_peak_is_kept() {
        let mut recorder = Recorder::new(Budget::default());
        for row in 0..100_u64 {
            let charge = if row == 55 { 1 << 30 } else { 1 << 20 };
            recorder.push(
                CgroupKey(1),
                &Sample::new(BootTime(row * 10_000)).with(Series::Current, charge),
                row % 10 != 0,
            );
        }
        let rows = recorder.rows(CgroupKey(1), BootTime(0), BootTime(u64::MAX), 4);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows.samples().filter_map(|row| row.highest()).max(), Some(1 << 30));
        assert!(recorder.tracks[&CgroupKey(1)].coarse.samples().any(|row| row.highest() == Some(1 << 30)));
    }

    /// A vanished cgroup's record stays for the time to be kept, and then goes.
    #[test]
    fn the_vanished_expire() {
        let mut recorder = Recorder::new(Budget { keep_us: 1000, ..Budget::default() });
        recorder.push(CgroupKey(1), &Sample::new(BootTime(5)), false);
        recorder.forget(CgroupKey(1), BootTime(10));
        recorder.expire(BootTime(1010));
        assert_eq!(recorder.cgroups(), 1);
        recorder.expire(BootTime(1011));
        assert_eq!((recorder.cgroups(), recorder.bytes()), (0, 0));
    }
}
