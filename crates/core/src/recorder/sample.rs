//! One reading of one cgroup.

use serde::{Deserialize, Serialize};

use crate::time::BootTime;

/// What is recorded of a cgroup. The JSON name carries the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Series {
    /// Charged now: `memory.current`, v1 `memory.usage_in_bytes`.
    #[serde(rename = "current_bytes")]
    Current,
    /// The exact highest charge since the sample before, where the kernel offers one (v2 `memory.peak` reset for this reader,
    /// Linux ≥ 6.12; v1 `memory.max_usage_in_bytes` reset by this reader).
    #[serde(rename = "peak_bytes")]
    Peak,
    /// Anonymous memory.
    #[serde(rename = "anon_bytes")]
    Anon,
    /// Page cache *without* tmpfs and shared memory, on both versions of cgroups (v2's own `file` includes them).
    #[serde(rename = "file_bytes")]
    File,
    /// tmpfs and shared memory.
    #[serde(rename = "shmem_bytes")]
    Shmem,
    /// Slab that can be reclaimed.
    #[serde(rename = "slab_reclaimable_bytes")]
    SlabReclaimable,
    /// Slab that cannot.
    #[serde(rename = "slab_unreclaimable_bytes")]
    SlabUnreclaimable,
    /// All kernel memory, slab included: v2 `kernel` (≥ 5.18) or the sum of its parts, v1 `memory.kmem.usage_in_bytes`.
    #[serde(rename = "kernel_bytes")]
    Kernel,
    /// Network buffers; not part of [`Series::Kernel`].
    #[serde(rename = "sock_bytes")]
    Sock,
    /// Swapped out.
    #[serde(rename = "swap_bytes")]
    Swap,
    /// How often it was throttled at `memory.high`, since it was made. Like the next three its own (`memory.events.local`),
    /// where the kernel tells that apart (≥ 5.2).
    #[serde(rename = "high_events")]
    High,
    /// How often a charge met the limit: `max` of the events, v1 `memory.failcnt` and `memory.memsw.failcnt` together.
    #[serde(rename = "max_events")]
    Max,
    /// How often reclaim failed and the OOM killer was called.
    #[serde(rename = "oom_events")]
    Oom,
    /// How many of its processes any OOM killer has killed.
    #[serde(rename = "oom_kill_events")]
    OomKill,
    /// Microseconds in which some task stalled for memory, since it was made.
    #[serde(rename = "pressure_some_us")]
    PressureSome,
    /// Microseconds in which all tasks stalled for memory.
    #[serde(rename = "pressure_full_us")]
    PressureFull,
    /// Processes in it, not below it.
    #[serde(rename = "processes")]
    Processes,
}

impl Series {
    /// Every series, in the order of [`Sample`]'s values.
    pub const ALL: [Self; 17] = [
        Self::Current,
        Self::Peak,
        Self::Anon,
        Self::File,
        Self::Shmem,
        Self::SlabReclaimable,
        Self::SlabUnreclaimable,
        Self::Kernel,
        Self::Sock,
        Self::Swap,
        Self::High,
        Self::Max,
        Self::Oom,
        Self::OomKill,
        Self::PressureSome,
        Self::PressureFull,
        Self::Processes,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// What a recorded value is a multiple of; values are rounded down to it. Sizes: 4096 bytes (what is charged in pages is
    /// then exact). Pressure: 1000 µs. Counts: exact.
    #[must_use]
    pub const fn step(self) -> u64 {
        match self {
            Self::High | Self::Max | Self::Oom | Self::OomKill | Self::Processes => 1,
            Self::PressureSome | Self::PressureFull => 1000,
            _ => 4096,
        }
    }

    /// Its place in [`Series::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One reading. `None`: this kernel does not offer it, or it was not read this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was read.
    pub at: BootTime,
    values: [Option<u64>; Series::COUNT],
}

impl Sample {
    /// Nothing read yet.
    #[must_use]
    pub const fn new(at: BootTime) -> Self {
        Self { at, values: [None; Series::COUNT] }
    }

    /// One value.
    #[must_use]
    pub const fn get(&self, series: Series) -> Option<u64> {
        self.values[series.index()]
    }

    /// Sets one value.
    pub const fn set(&mut self, series: Series, value: Option<u64>) {
        self.values[series.index()] = value;
    }

    /// The same with one more value.
    #[must_use]
    pub const fn with(mut self, series: Series, value: u64) -> Self {
        self.set(series, Some(value));
        self
    }

    /// As the recorder gives it back: every value rounded down to its [`Series::step`].
    #[must_use]
    pub fn rounded(mut self) -> Self {
        for series in Series::ALL {
            self.set(series, self.get(series).map(|value| value - value % series.step()));
        }
        self
    }

    /// The highest charge that is known of the time since the sample before: the exact peak, else what was charged now.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.get(Series::Peak).max(self.get(Series::Current))
    }

    /// What cannot be given up without swapping: anonymous and shared memory, network buffers, and kernel memory as far as it is known not
    /// to be reclaimable slab: v1 does not tell, and it is not counted there. `None` where `memory.stat` was not read.
    #[must_use]
    pub fn unreclaimable(&self) -> Option<u64> {
        let mut sum = self.get(Series::Anon)?;
        let kernel = self.get(Series::Kernel).zip(self.get(Series::SlabReclaimable));
        let kernel = kernel.map(|(all, reclaimable)| all.saturating_sub(reclaimable));
        for part in [self.get(Series::Shmem), self.get(Series::Sock), kernel] {
            sum = sum.saturating_add(part.unwrap_or(0));
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list and the numbering of the series agree, so a value is found where it was put.
    #[test]
    fn the_list_is_the_numbering() {
        for (index, series) in Series::ALL.into_iter().enumerate() {
            assert_eq!(series.index(), index);
            let sample = Sample::new(BootTime(1)).with(series, 8192);
            assert_eq!(sample.get(series), Some(8192));
        }
    }
}
