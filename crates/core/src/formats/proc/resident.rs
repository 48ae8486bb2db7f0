//! /proc/PID/smaps, for where memory is rather than what it is called.

use super::MapsLine;
use super::fields::{field, kib};

/// What is resident or swapped out of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Mappings in the order of their addresses, growing line by line.
#[derive(Clone, Debug, Default)]
pub struct ResidentMappings(pub Vec<Resident>);

impl ResidentMappings {
    /// Takes the next line of `smaps`, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        if let Some(mapping) = MapsLine::parse(line) {
            self.0.push(Resident { start: mapping.start, end: mapping.end, bytes: 0 });
        } else if let (Some(last), Some((b"Rss" | b"Swap", value))) = (self.0.last_mut(), field(line)) {
            last.bytes = last.bytes.saturating_add(kib(value).unwrap_or_default().0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident and swapped memory are added up for each mapping; other fields are passed over.
    #[test]
    fn mappings() {
        let text = "1000-3000 rw-p 00000000 00:00 0 [heap]\nSize: 8 kB\nRss: 4 kB\nPss: 2 kB\nSwap: 4 kB\nSwapPss: 4 kB\n\
                    5000-6000 r--p 00000000 08:01 7 /a\nRss: 0 kB\nVmFlags: rd\n";
        let mut found = ResidentMappings::default();
        text.lines().for_each(|line| found.line(line.as_bytes()));
        let resident = |start, end, bytes| Resident { start, end, bytes };
        assert_eq!(found.0, [resident(0x1000, 0x3000, 8192), resident(0x5000, 0x6000, 0)]);
    }
}
