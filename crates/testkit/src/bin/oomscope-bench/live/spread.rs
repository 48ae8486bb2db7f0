//! Many measurements as three numbers.

use serde::Serialize;

/// Nearest-rank percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let ranked = |percent: usize| values.get((count * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { count, median: ranked(50)?, p99: ranked(99)?, max: ranked(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 1 to 200: the 100th, the 198th and the last.
    #[test]
    fn ranks() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!(spread, Spread { count: 200, median: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Spread::of(vec![7.0]).unwrap().p99, 7.0);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
