//! A run of samples, compressed as they come.
//!
//! Most values of most cgroups do not change from one second to the next, so a row names only what changed. It is written at
//! once, so nothing waits uncompressed for a block to fill.
//!
//! ```text
//! row   := time  changes  [present]  delta*
//! time  := varint   milliseconds since the row before (in the first row: since boot)
//! changes := varint bit 0: `present` follows. Bit n+1: series n has another value than it had last
//! present := varint bit n: series n has a value in this row and those that follow
//! delta := varint   zigzag of the difference, in units of Series::step, for each changed series in order
//! varint := LEB128: seven bits a byte, lowest first, the top bit set on all but the last
//! ```
//!
//! Every block begins from zero (time 0, no series present, all values 0), so it can be read, and dropped, by itself. Values are
//! rounded down to [`Series::step`], times to milliseconds. Whatever the bytes, reading them ends and never fails: it stops
//! at the first row that is not whole.

use crate::recorder::{Sample, Series};
use crate::time::BootTime;

/// Times are kept in milliseconds.
const TIME_STEP_US: u64 = 1000;

/// What a row is written relative to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    ms: u64,
    present: u32,
    values: [u64; Series::COUNT],
}

/// Samples of one cgroup in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    rows: u32,
    values: u32,
    first_ms: u64,
    last_ms: u64,
    lowest: Option<u64>,
}

impl Block {
    /// One that takes about `bytes` before it should be followed by another.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Bytes in memory, its own fields included.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    /// Room for one more row of any content.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= LONGEST_ROW
    }

    /// Bytes written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Values written: one for each series that a row has.
    pub(super) const fn values(&self) -> u32 {
        self.values
    }

    /// Milliseconds since boot of the first row.
    pub(super) const fn first_ms(&self) -> u64 {
        self.first_ms
    }

    /// Milliseconds since boot of the last row.
    pub(super) const fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// The lowest charge of its rows, in bytes; `None` where no row has one.
    pub(super) const fn lowest(&self) -> Option<u64> {
        self.lowest
    }

    /// Adds a row. `state` is that of this block's last row; that of a new block is the default. A sample that is older than the last
    /// is put at the time of the last.
    pub(super) fn push(&mut self, sample: &Sample, state: &mut State) {
        let ms = (sample.at.0 / TIME_STEP_US).max(state.ms);
        let (mut changes, mut present) = (0_u64, 0_u32);
        for series in Series::ALL {
            let Some(value) = sample.get(series) else { continue };
            present |= 1 << series.index();
            if value / series.step() != state.values[series.index()] {
                changes |= 2 << series.index();
            }
        }
        changes |= u64::from(present != state.present);
        put(&mut self.bytes, ms - state.ms);
        put(&mut self.bytes, changes);
        if present != state.present {
            put(&mut self.bytes, u64::from(present));
        }
        for series in Series::ALL {
            if changes & (2 << series.index()) == 0 {
                continue;
            }
            let value = sample.get(series).unwrap_or(0) / series.step();
            let before = std::mem::replace(&mut state.values[series.index()], value);
            put(&mut self.bytes, zigzag(value.wrapping_sub(before)));
        }
        if self.rows == 0 {
            self.first_ms = ms;
        }
        self.lowest = self.lowest.into_iter().chain(sample.get(Series::Current)).min();
        (self.last_ms, state.ms, state.present) = (ms, ms, present);
        self.rows += 1;
        self.values += present.count_ones();
    }

    /// Its rows, in order.
    pub(super) fn samples(&self) -> Rows<'_> {
        Rows { bytes: &self.bytes, state: State::default() }
    }
}

/// Reads rows.
#[derive(Clone, Debug)]
pub(super) struct Rows<'a> {
    bytes: &'a [u8],
    state: State,
}

impl Rows<'_> {
    fn row(&mut self) -> Option<Sample> {
        self.state.ms = self.state.ms.checked_add(take(&mut self.bytes)?)?;
        let changes = take(&mut self.bytes)?;
        if changes & 1 == 1 {
            self.state.present = u32::try_from(take(&mut self.bytes)?).ok()?;
        }
        let mut sample = Sample::new(BootTime(self.state.ms.checked_mul(TIME_STEP_US)?));
        for series in Series::ALL {
            let value = &mut self.state.values[series.index()];
            if changes & (2 << series.index()) != 0 {
                *value = value.wrapping_add(unzigzag(take(&mut self.bytes)?));
            }
            if self.state.present & (1 << series.index()) != 0 {
                sample.set(series, Some(value.checked_mul(series.step())?));
            }
        }
        Some(sample)
    }
}

impl Iterator for Rows<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let row = if self.bytes.is_empty() { None } else { self.row() };
        if row.is_none() {
            self.bytes = &[];
        }
        row
    }
}

/// A varint of 64 bits takes ten bytes at most; time, changes, presence, values.
const LONGEST_ROW: usize = (3 + Series::COUNT) * 10;

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Small differences of either sign become small numbers. The difference wraps, so any two values have one.
const fn zigzag(difference: u64) -> u64 {
    let difference = difference.cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let value = prop_oneof![Just(None), (0..5_u64).prop_map(Some), any::<u64>().prop_map(Some)];
        let row = (0..10_000_000_u64, proptest::collection::vec(value, Series::COUNT));
        proptest::collection::vec(row, 0..40).prop_map(|rows| {
            let mut at = 0_u64;
            rows.into_iter()
                .map(|(wait, values)| {
                    at += wait;
                    let mut sample = Sample::new(BootTime(at));
                    for (series, value) in Series::ALL.into_iter().zip(values) {
                        sample.set(series, value);
                    }
                    sample
                })
                .collect()
        })
    }

    fn at_ms(mut sample: Sample) -> Sample {
        sample.at.0 -= sample.at.0 % TIME_STEP_US;
        sample
    }

    proptest! {
        /// What was pushed comes back, rounded as is stated.
        #[test]
        fn nothing_is_lost(samples in samples()) {
            let (mut block, mut state) = (Block::default(), State::default());
            for sample in &samples {
                block.push(sample, &mut state);
            }
            let expected: Vec<_> = samples.iter().map(|sample| at_ms(sample.rounded())).collect();
            prop_assert_eq!(block.samples().collect::<Vec<_>>(), expected);
        }

        /// No bytes make reading fail or go on for ever.
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let rows = Rows { bytes: &bytes, state: State::default() };
            prop_assert!(rows.count() <= bytes.len());
        }
    }
}
