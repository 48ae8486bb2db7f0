//! Pressure stall information: `memory.pressure`, and `/proc/pressure/memory` which is the same.
//!
//! Format: the kernel's Documentation/accounting/psi.rst. The averages are not read: they are decayed, the totals exact.

use super::number;

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
}
