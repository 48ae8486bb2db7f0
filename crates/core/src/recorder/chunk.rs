//! A sealed run of samples of one cgroup, compressed by columns.
//!
//! Layout; every number is an unsigned LEB128 varint, a signed one is folded by zigzag first:
//!
//! 1. Times in milliseconds (rounded down): each row's difference of differences, signed; before the first row both are 0.
//! 2. For each [`Series`] in order one byte: 0 = no row has it, 1 = every row has it, 2 = a bitmap follows
//!    (one bit a row, lowest bit first). Then the differences of the values that are there, in units of [`Series::step`],
//!    signed, starting from 0. A difference of 0 is followed by how many more zeros follow it.
//!
//! Differences wrap, so that every `u64` comes back. Chunks live in memory only; decoding bounds all work by the row count all the same.

use super::{Sample, Series};
use crate::time::BootTime;

const ABSENT: u8 = 0;
const CONSTANT: u8 = 1;
const MIXED: u8 = 2;

/// What a chunk's time is a multiple of.
pub(super) const TIME_STEP_US: u64 = 1000;

/// A compressed run of samples.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    rows: usize,
    values: usize,
    last: BootTime,
}

impl Chunk {
    /// Compresses `samples`.
    pub(super) fn seal(samples: &[Sample]) -> Self {
        let mut out = Vec::with_capacity(samples.len() * 16);
        let (mut before, mut step) = (0_u64, 0_u64);
        for sample in samples {
            let at = sample.at.0 / TIME_STEP_US;
            let now = at.wrapping_sub(before);
            put(&mut out, zigzag(now.wrapping_sub(step)));
            (before, step) = (at, now);
        }
        let values = Series::ALL.into_iter().map(|series| put_column(&mut out, samples, series)).sum();
        let last = samples.last().map_or(BootTime(0), |sample| sample.at);
        Self { bytes: out.into_boxed_slice(), rows: samples.len(), values, last }
    }

    /// The samples, rounded.
    pub(super) fn samples(&self) -> Vec<Sample> {
        decode(&self.bytes, self.rows).unwrap_or_default()
    }

    /// How many values are recorded in it.
    pub(super) const fn values(&self) -> usize {
        self.values
    }

    /// Compressed size, without the chunk's own fields.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// When its last row was read.
    pub(super) const fn last(&self) -> BootTime {
        self.last
    }
}

fn put_column(out: &mut Vec<u8>, samples: &[Sample], series: Series) -> usize {
    let present = samples.iter().filter(|sample| sample.get(series).is_some()).count();
    if present == 0 {
        out.push(ABSENT);
        return 0;
    }
    out.push(if present == samples.len() { CONSTANT } else { MIXED });
    if present < samples.len() {
        out.extend(samples.chunks(8).map(|rows| {
            rows.iter().enumerate().fold(0, |bits, (bit, row)| bits | u8::from(row.get(series).is_some()) << bit)
        }));
    }
    let (mut before, mut zeros) = (0_u64, 0_u64);
    for value in samples.iter().filter_map(|sample| sample.get(series)) {
        let value = value / series.step();
        if value == before {
            zeros += 1;
            continue;
        }
        put_zeros(out, &mut zeros);
        put(out, zigzag(value.wrapping_sub(before)));
        before = value;
    }
    put_zeros(out, &mut zeros);
    present
}

fn put_zeros(out: &mut Vec<u8>, zeros: &mut u64) {
    if *zeros > 0 {
        out.push(0);
        put(out, *zeros - 1);
        *zeros = 0;
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

const fn unzigzag(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

/// `None` when the bytes are no chunk of so many rows.
fn decode(bytes: &[u8], rows: usize) -> Option<Vec<Sample>> {
    // Each row takes at least the byte of its time, so that a wrong count allocates nothing.
    if rows > bytes.len() {
        return None;
    }
    let mut rest = bytes;
    let mut samples = Vec::with_capacity(rows);
    let (mut at, mut step) = (0_u64, 0_u64);
    for _ in 0..rows {
        step = step.wrapping_add(unzigzag(take(&mut rest)?));
        at = at.wrapping_add(step);
        samples.push(Sample::new(BootTime(at.wrapping_mul(TIME_STEP_US))));
    }
    for series in Series::ALL {
        take_column(&mut rest, &mut samples, series)?;
    }
    Some(samples)
}

fn take_column(rest: &mut &[u8], samples: &mut [Sample], series: Series) -> Option<()> {
    let bitmap = match take_byte(rest)? {
        ABSENT => return Some(()),
        CONSTANT => None,
        MIXED => {
            let (bitmap, after) = rest.split_at_checked(samples.len().div_ceil(8))?;
            *rest = after;
            Some(bitmap)
        }
        _ => return None,
    };
    let (mut value, mut zeros) = (0_u64, 0_u64);
    for (row, sample) in samples.iter_mut().enumerate() {
        if bitmap.is_some_and(|bits| bits.get(row / 8).is_none_or(|byte| byte >> (row % 8) & 1 == 0)) {
            continue;
        }
        if zeros > 0 {
            zeros -= 1;
        } else {
            match take(rest)? {
                0 => zeros = take(rest)?,
                folded => value = value.wrapping_add(unzigzag(folded)),
            }
        }
        sample.set(series, Some(value.wrapping_mul(series.step())));
    }
    Some(())
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_sample()(at: u64, values in proptest::array::uniform17(any::<Option<u64>>())) -> Sample {
            let mut sample = Sample::new(BootTime(at));
            for (series, value) in Series::ALL.into_iter().zip(values) {
                sample.set(series, value);
            }
            sample
        }
    }

    proptest! {
        /// What was sealed comes back, rounded as stated, whatever the values.
        #[test]
        fn sealed_samples_come_back(samples in proptest::collection::vec(any_sample(), 0..40)) {
            let expected: Vec<_> = samples.iter().map(|sample| {
                let mut sample = sample.rounded();
                sample.at.0 -= sample.at.0 % TIME_STEP_US;
                sample
            }).collect();
            prop_assert_eq!(Chunk::seal(&samples).samples(), expected);
        }

        /// Arbitrary bytes are refused or decoded, never a panic.
        #[test]
        fn any_bytes_decode(bytes: Vec<u8>, rows in 0_usize..200) {
            let _ = decode(&bytes, rows);
        }
    }

    /// A noisy leak of 900 samples costs at most two bytes a value.
    #[test]
    fn a_leak_costs_little() {
        let (mut noise, mut anon) = (1_u64, 50 << 20);
        let samples: Vec<_> = (0..900_u64)
            .map(|second| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                anon += (noise >> 45) & 0x3_ffff;
                let file = (20 << 20) + (noise >> 50);
                Sample::new(BootTime(second * 1_000_000 + (noise >> 54)))
                    .with(Series::Current, anon + file)
                    .with(Series::Peak, anon + file + 8192)
                    .with(Series::Anon, anon)
                    .with(Series::File, file)
                    .with(Series::Shmem, 0)
                    .with(Series::Kernel, 3 << 20)
                    .with(Series::Max, 0)
                    .with(Series::Oom, 0)
                    .with(Series::PressureSome, second * 300)
                    .with(Series::Processes, 4)
            })
            .collect();
        let chunks: Vec<_> = samples.chunks(32).map(Chunk::seal).collect();
        let bytes: usize = chunks.iter().map(|chunk| chunk.encoded_bytes() + size_of::<Chunk>()).sum();
        let values: usize = chunks.iter().map(Chunk::values).sum();
        eprintln!("{:.3} bytes a value", bytes as f64 / values as f64);
        assert!(bytes <= 2 * values);
    }
}
