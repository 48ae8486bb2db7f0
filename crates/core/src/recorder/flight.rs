//! The recorder: every cgroup's last minutes, within a fixed number of bytes.
//!
//! Each cgroup has two rings. The *coarse* one gets a row a second, the one with the highest charge of that second and with the highest
//! peak, so no peak is lost by being coarse; it reaches back furthest. The *fine* one gets every row while the cgroup is
//! hot; it holds the last seconds or minutes before a kill. Each has its own part of the cgroup's budget and gives up its
//! oldest rows. Where all cgroups together need more than the whole budget, the oldest rows of all are given up, coarse before fine.

use std::collections::{HashMap, VecDeque};

use super::ring::Ring;
use super::thin::{highest, thin};
use super::tracks::Tracks;
use super::{Sample, Series};
use crate::evidence::Process;
use crate::incident::timeline::{ProcessRecord, Rows};
use crate::time::BootTime;

/// Which cgroup: the inode of its folder, as the kernel itself numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupKey(pub u64);

/// Bounds of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes for each cgroup.
    pub per_cgroup_bytes: usize,
    /// Bytes for all cgroups together.
    pub total_bytes: usize,
    /// How far back it reaches, in microseconds; what is known of a removed cgroup is kept as long.
    pub keep_us: u64,
}

impl Default for Budget {
    /// 64 KiB a cgroup, 32 MiB in all, 15 minutes.
    fn default() -> Self {
        Self { per_cgroup_bytes: 64 << 10, total_bytes: 32 << 20, keep_us: 900_000_000 }
    }
}

/// A coarse row stands for so much time.
const COARSE_US: u64 = 1_000_000;

/// What it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Cgroups, removed ones included.
    pub cgroups: usize,
    /// Bytes in memory, as counted against the budget.
    pub memory_bytes: usize,
    /// Bytes written for samples.
    pub written_bytes: usize,
    /// Values written in them: one for each series of each sample.
    pub values: u64,
}

/// One cgroup's recording.
#[derive(Debug, Default)]
struct Record {
    coarse: Ring,
    fine: Ring,
    tracks: Tracks,
    /// Samples of the coarse row that is not written yet: the highest of them, and when the first came.
    second: Option<(BootTime, Sample)>,
    latest: Option<Sample>,
    forgotten_at: Option<BootTime>,
    /// Bytes as they were last counted into the whole.
    counted: usize,
}

impl Record {
    fn memory(&self) -> usize {
        size_of::<(CgroupKey, Self)>() + self.coarse.memory() + self.fine.memory() + self.tracks.memory()
    }

    /// When its oldest row was read.
    fn oldest_ms(&self) -> Option<u64> {
        self.coarse.oldest_ms().into_iter().chain(self.fine.oldest_ms()).min()
    }

    /// Gives up a block of the oldest rows; coarse before fine.
    fn shrink(&mut self) {
        match (self.coarse.oldest_ms(), self.fine.oldest_ms()) {
            (Some(coarse), Some(fine)) if coarse > fine => self.fine.drop_oldest(),
            (None, _) => self.fine.drop_oldest(),
            _ => self.coarse.drop_oldest(),
        }
    }
}

/// Of all cgroups.
#[derive(Debug, Default)]
pub struct Recorder {
    budget: Budget,
    records: HashMap<CgroupKey, Record>,
    /// Those that were removed, oldest first; one that came back meanwhile has another time in its record, or none.
    forgotten: VecDeque<(BootTime, CgroupKey)>,
    memory: usize,
}

impl Recorder {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Records a sample. `fine`: it was read because the cgroup is hot. Samples of a cgroup come in order of time.
    pub fn push(&mut self, key: CgroupKey, sample: &Sample, fine: bool) {
        let budget = self.budget;
        let oldest_ms = sample.at.0.saturating_sub(budget.keep_us) / 1000;
        let record = self.records.entry(key).or_default();
        record.forgotten_at = None;
        record.latest = Some(*sample);
        if fine {
            record.fine.push(sample, budget.per_cgroup_bytes / 8 * 3);
        }
        let (begun, second) = match record.second.take() {
            Some((begun, second)) => (begun, highest(&[second, *sample]).unwrap_or(*sample)),
            None => (sample.at, *sample),
        };
        if fine && sample.at.0.saturating_sub(begun.0) < COARSE_US {
            record.second = Some((begun, second));
        } else {
            record.coarse.push(&second, budget.per_cgroup_bytes / 8 * 3);
        }
        record.coarse.drop_before(oldest_ms);
        record.fine.drop_before(oldest_ms);
        self.settle(key);
    }

    /// Records what the processes of a cgroup hold.
    pub fn push_processes(&mut self, key: CgroupKey, at: BootTime, processes: &[Process]) {
        let (bytes, keep_us) = (self.budget.per_cgroup_bytes / 8, self.budget.keep_us);
        self.records.entry(key).or_default().tracks.push(at, processes, bytes, keep_us);
        self.settle(key);
    }

    /// The cgroup was removed `at`. Its record is kept for as long as everything is.
    pub fn forget(&mut self, key: CgroupKey, at: BootTime) {
        if let Some(record) = self.records.get_mut(&key) {
            record.forgotten_at = Some(at);
            self.forgotten.push_back((at, key));
        }
        while let Some((then, key)) = self.forgotten.front().copied()
            && at.0.saturating_sub(then.0) > self.budget.keep_us
        {
            self.forgotten.pop_front();
            let is_still = self.records.get(&key).is_some_and(|record| record.forgotten_at == Some(then));
            if is_still && let Some(record) = self.records.remove(&key) {
                self.memory -= record.counted;
            }
        }
    }

    /// How far its charge stands above the lowest since `from`, in bytes; 0 where nothing was read since. Cheap, and somewhat
    /// more than that where the charge was lower shortly before `from`: enough to tell which cgroups grew most.
    #[must_use]
    pub fn growth(&self, key: CgroupKey, from: BootTime) -> u64 {
        let Some(record) = self.records.get(&key) else { return 0 };
        let latest = record.latest.filter(|latest| latest.at >= from);
        let Some(now) = latest.and_then(|latest| latest.get(Series::Current)) else { return 0 };
        let from_ms = from.0 / 1000;
        let lowest = record.coarse.lowest(from_ms).into_iter().chain(record.fine.lowest(from_ms)).min();
        lowest.map_or(0, |lowest| now.saturating_sub(lowest))
    }

    /// Its rows from `from` to `to`, at most `at_most`: the highest charges, the first and the last row are always there, and the
    /// newest minute is the finest.
    #[must_use]
    pub fn rows(&self, key: CgroupKey, from: BootTime, to: BootTime, at_most: usize) -> Rows {
        let Some(record) = self.records.get(&key) else { return Rows::default() };
        let (from_ms, to_ms) = (from.0 / 1000, to.0 / 1000);
        let unwritten = record.second.map(|(_, sample)| sample.rounded());
        let coarse = record.coarse.samples(from_ms, to_ms).chain(unwritten);
        let mut samples: Vec<Sample> = record.fine.samples(from_ms, to_ms).chain(coarse).collect();
        samples.retain(|sample| (from_ms..=to_ms).contains(&(sample.at.0 / 1000)));
        // Stable: of two rows of one millisecond the fine one stands first, and takes over the other's higher peak.
        samples.sort_by_key(|sample| sample.at.0 / 1000);
        samples.dedup_by(|later, first| {
            let is_same = later.at.0 / 1000 == first.at.0 / 1000;
            if is_same {
                first.set(Series::Peak, first.get(Series::Peak).max(later.get(Series::Peak)));
            }
            is_same
        });
        thin(samples, at_most).into_iter().collect()
    }

    /// What its processes held from `from` to `to`, largest first. Their cgroup and snapshots are not recorded here.
    #[must_use]
    pub fn processes(&self, key: CgroupKey, from: BootTime, to: BootTime) -> Vec<ProcessRecord> {
        self.records.get(&key).map(|record| record.tracks.records(from, to)).unwrap_or_default()
    }

    /// The latest sample of a cgroup, as it was pushed.
    #[must_use]
    pub fn latest(&self, key: CgroupKey) -> Option<Sample> {
        self.records.get(&key)?.latest
    }

    /// Bytes in memory, as counted against the budget: what was allocated for rows and processes and a fixed size for each
    /// cgroup; not the hash table's empty places.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// What it holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics =
            Statistics { cgroups: self.records.len(), memory_bytes: self.memory, ..Statistics::default() };
        for (bytes, values) in self.records.values().flat_map(|r| [r.coarse.written(), r.fine.written()]) {
            statistics.written_bytes += bytes;
            statistics.values += values;
        }
        statistics
    }

    /// Counts a record that has changed, and gives up what is too much.
    fn settle(&mut self, key: CgroupKey) {
        if let Some(record) = self.records.get_mut(&key) {
            let memory = record.memory();
            self.memory = self.memory - record.counted + memory;
            record.counted = memory;
        }
        while self.memory > self.budget.total_bytes {
            let oldest = self.records.iter().filter_map(|(key, r)| Some((r.oldest_ms()?, *key))).min();
            let Some((_, oldest)) = oldest else { return self.drop_all_but(key) };
            let Some(record) = self.records.get_mut(&oldest) else { return };
            record.shrink();
            let memory = record.memory();
            self.memory = self.memory - record.counted + memory;
            record.counted = memory;
        }
    }

    /// Not even the empty records fit: those of removed cgroups go, then all but the one that is being written.
    fn drop_all_but(&mut self, key: CgroupKey) {
        self.records.retain(|_, record| record.forgotten_at.is_none());
        self.forgotten.clear();
        self.memory = self.records.values().map(|record| record.counted).sum();
        if self.memory > self.budget.total_bytes {
            self.records.retain(|kept, _| *kept == key);
            self.memory = self.records.values().map(|record| record.counted).sum();
        }
    }
}
