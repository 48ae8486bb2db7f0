//! Fewer rows, with what matters kept: the highest charges, the ends, and the newest minute at its finest.

use super::{Sample, Series};

/// The time at the end that gets half of the rows.
const NEWEST_US: u64 = 60_000_000;

/// At most `most` of the samples. Each stands for the group it was chosen from: the one with the highest charge, with the group's
/// highest peak.
pub(super) fn thin(samples: Vec<Sample>, most: usize) -> Vec<Sample> {
    if samples.len() <= most || most == 0 {
        return if most == 0 { Vec::new() } else { samples };
    }
    let Some(end) = samples.last().map(|last| last.at.0) else { return samples };
    let newest = samples.partition_point(|sample| sample.at.0.saturating_add(NEWEST_US) < end);
    let (old, new) = samples.split_at(newest);
    // The first and the last row stand by themselves; what one part does not need the other may have.
    let inner = most.saturating_sub(2);
    let for_new = new.len().saturating_sub(1).min(inner - (inner / 2).min(old.len()));
    let for_old = inner - for_new;
    let first = samples.first().into_iter();
    let last = samples.last().filter(|_| most > 1).into_iter();
    let skip_first = usize::from(!old.is_empty());
    let old = groups(old.get(skip_first..).unwrap_or_default(), for_old);
    let new_inner = new.get(1 - skip_first..new.len().saturating_sub(1)).unwrap_or_default();
    first.copied().chain(old).chain(groups(new_inner, for_new)).chain(last.copied()).collect()
}

/// One sample for each of `count` groups of equal length.
fn groups(samples: &[Sample], count: usize) -> impl Iterator<Item = Sample> + '_ {
    let length = if count == 0 { usize::MAX } else { samples.len().div_ceil(count).max(1) };
    samples.chunks(length).take(count).filter_map(highest)
}

/// The sample with the highest charge, with the highest peak of all of them.
pub(super) fn highest(samples: &[Sample]) -> Option<Sample> {
    let mut highest = *samples.iter().max_by_key(|sample| (sample.highest(), sample.get(Series::Current)))?;
    let peak = samples.iter().filter_map(|sample| sample.get(Series::Peak)).max();
    highest.set(Series::Peak, peak);
    Some(highest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::BootTime;
    use proptest::prelude::*;

    proptest! {
        /// However few rows are left, they are in order, within the bound, and have the highest charge, the first and the last.
        #[test]
        fn what_matters_is_kept(charges in proptest::collection::vec(0..1_000_000_u64, 0..400), wait in 1_000..500_000_u64, most in 4..100_usize) {
            let samples: Vec<_> = (0..).zip(&charges).map(|(n, charge)| {
                Sample::new(BootTime(n * wait)).with(Series::Current, *charge).with(Series::Peak, charge + 1)
            }).collect();
            let thinned = thin(samples.clone(), most);
            prop_assert!(thinned.len() <= most);
            prop_assert!(thinned.windows(2).all(|pair| pair[0].at < pair[1].at));
            let peak = |samples: &[Sample]| samples.iter().filter_map(Sample::highest).max();
            prop_assert_eq!(peak(&thinned), peak(&samples));
            prop_assert_eq!(thinned.first(), samples.first());
            prop_assert_eq!(thinned.last(), samples.last());
        }
    }
}
