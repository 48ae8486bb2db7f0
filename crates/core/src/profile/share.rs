//! How large a part is, and how far that may be off because only some faults were looked at.

use std::fmt;

/// A part of a whole that was sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// 0 to 1.
    pub part: f64,
    /// Half of the interval in which the true part lies 19 times of 20, 0 to 1.
    pub error: f64,
}

impl Share {
    /// Of a sample of `samples` faults.
    ///
    /// The interval is Agresti's and Coull's (The American Statistician 52, 1998), which stays honest where the simpler one says ± 0:
    /// at a part of nothing or all, and with few samples. It takes the samples as independent and of equal weight. Every Nth fault is
    /// steadier than that for a program that does one thing, and huge pages are less so.
    #[must_use]
    pub fn new(part: f64, samples: u64) -> Self {
        const Z: f64 = 1.96;
        let n = samples as f64 + Z * Z;
        let p = (part * samples as f64 + Z * Z / 2.0) / n;
        Self { part, error: (Z * (p * (1.0 - p) / n).max(0.0).sqrt()).min(1.0) }
    }

    /// The part in words: `62 %`, `< 1 %`.
    #[must_use]
    pub fn percent(&self) -> String {
        match self.part * 100.0 {
            p if p > 0.0 && p < 1.0 => "< 1 %".to_owned(),
            p => format!("{p:.0} %"),
        }
    }

    /// The error in points of a hundred: `3`, `0.4`.
    #[must_use]
    pub fn points(&self) -> String {
        let points = self.error * 100.0;
        if points < 1.0 { format!("{points:.1}") } else { format!("{points:.0}") }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ±{}", self.percent(), self.points())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More samples make it surer, and never quite sure.
    #[test]
    fn error() {
        let points = |part, samples| (Share::new(part, samples).error * 1000.0).round() / 10.0;
        assert_eq!((points(0.5, 100), points(0.5, 10_000)), (9.6, 1.0));
        assert!(points(1.0, 5) > 20.0 && points(0.0, 5) > 20.0);
        assert_eq!(points(0.5, 0), 50.0);
        assert_eq!(Share::new(0.624, 1000).to_string(), "62 % ±3");
        assert_eq!(Share::new(0.002, 100_000).to_string(), "< 1 % ±0.0");
    }
}
