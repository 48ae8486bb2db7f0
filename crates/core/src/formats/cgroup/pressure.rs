//! Pressure stall information: `memory.pressure`, and `/proc/pressure/memory` which is the same.
//!
//! Format: the kernel's Documentation/accounting/psi.rst. Whoever reads again and again takes the totals, which are exact; the averages are
//! decayed, and for a single look all there is.

use super::number;
use crate::inspect::{Stall, Stalls};

/// How long tasks have stalled for memory since the cgroup was made, in microseconds. `None`: the line is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some task stalled.
    pub some_us: Option<u64>,
    /// All tasks that could have run stalled.
    pub full_us: Option<u64>,
}

/// Reads a pressure file.
#[must_use]
pub fn pressure(text: &[u8]) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.split(|b| *b == b'\n') {
        let mut words = line.split(|b| *b == b' ');
        let total = match words.next() {
            Some(b"some") => &mut pressure.some_us,
            Some(b"full") => &mut pressure.full_us,
            _ => continue,
        };
        *total = words.find_map(|word| number(word.strip_prefix(b"total=")?)).or(*total);
    }
    pressure
}

/// Reads a pressure file with its averages. A line that lacks one of its numbers is not known at all.
#[must_use]
pub fn stalls(text: &[u8]) -> Stalls {
    let mut stalls = Stalls::default();
    for line in text.split(|b| *b == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split(' ');
        match words.next() {
            Some("some") => stalls.some = stall(words),
            Some("full") => stalls.full = stall(words),
            _ => {}
        }
    }
    stalls
}

fn stall<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Option<Stall> {
    let value = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    // `parse` would take "inf" and "NaN".
    let percent = |key: &str| value(key)?.parse().ok().filter(|share| (0.0..=100.0).contains(share));
    Some(Stall {
        avg10_percent: percent("avg10")?,
        avg60_percent: percent("avg60")?,
        avg300_percent: percent("avg300")?,
        total_us: value("total").and_then(|total| number(total.as_bytes()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The totals are found, wherever the kernel puts them on the line, and a line without one leaves it unknown.
    #[test]
    fn totals() {
        let text = b"some avg10=1.50 avg60=0.11 avg300=0.02 total=123456\nfull avg10=0.00 total=99 avg999=1\n";
        assert_eq!(pressure(text), Pressure { some_us: Some(123_456), full_us: Some(99) });
        assert_eq!(pressure(b"some avg10=0.00 total=\nfull"), Pressure::default());
        assert_eq!(pressure(b"somewhat total=1\n"), Pressure::default());
    }

    /// The averages come with the totals, or not at all.
    #[test]
    fn averages() {
        let text =
            b"some avg10=1.50 avg60=0.11 avg300=0.02 total=123456\nfull avg10=0.00 avg60=NaN avg300=0.00 total=99\n";
        let some = Stall { avg10_percent: 1.5, avg60_percent: 0.11, avg300_percent: 0.02, total_us: 123_456 };
        assert_eq!(stalls(text), Stalls { some: Some(some), full: None });
        assert_eq!(stalls(b"\xff\nsome\n"), Stalls::default());
    }
}
