//! Perf maps: the list of functions that a runtime compiled while it ran, in `/tmp/perf-PID.map` (Linux's
//! tools/perf/Documentation/jit-interface.txt), which Node.js writes with `--perf-basic-prof` and a JVM on `jcmd PID Compiler.perfmap`.
//!
//! A line is `START SIZE NAME`, the numbers hexadecimal. V8 adds a line each time it compiles, so later lines are truer; a map may
//! have 100 MB. The ranges are kept, the names are read when they are asked for.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use bstr::ByteSlice as _;

use super::elf::Bytes;

/// What is read of a map.
const MAX_FILE: u64 = 256 << 20;
/// Ranges that are kept.
const MAX_ENTRIES: usize = 1 << 20;
const MAX_LINE: u64 = 4096;
/// How many ranges that begin before an address are looked at: code that was moved leaves its old range behind.
const LOOK_BACK: usize = 16;

/// The ranges of one map.
#[derive(Debug)]
pub(super) struct PerfMap {
    bytes: Bytes,
    /// By first address.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    start: u64,
    /// Of its line in the file: the larger, the later.
    place: u32,
    size: u32,
}

impl PerfMap {
    /// Reads a map; lines that are none are left out.
    pub(super) fn read(file: File) -> Self {
        let bytes = Bytes::File(std::sync::Arc::new(file));
        let Bytes::File(file) = &bytes else { return Self { bytes, entries: Vec::new() } };
        let mut entries = Vec::new();
        let mut reader = BufReader::with_capacity(1 << 16, file.as_ref().take(MAX_FILE));
        let (mut line, mut place) = (Vec::new(), 0);
        loop {
            line.clear();
            let length = match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            if let Some((start, size, _)) = fields(&line)
                && let (Ok(place), Ok(size)) = (place.try_into(), size.try_into())
                && entries.len() < MAX_ENTRIES
            {
                entries.push(Entry { start, place, size });
            }
            place += length;
        }
        entries.sort_unstable();
        entries.shrink_to_fit();
        Self { bytes, entries }
    }

    /// What it holds in memory.
    pub(super) fn memory(&self) -> usize {
        size_of_val(self.entries.as_slice())
    }

    /// The name of the function there.
    pub(super) fn name(&self, address: u64) -> Option<String> {
        let behind = self.entries.partition_point(|entry| entry.start <= address);
        let before = self.entries.get(behind.saturating_sub(LOOK_BACK)..behind)?;
        let holds = |entry: &&Entry| address - entry.start < u64::from(entry.size);
        let latest = before.iter().filter(holds).max_by_key(|entry| entry.place)?;
        let mut line = vec![0; usize::try_from(MAX_LINE).ok()?];
        // The last line of the file is shorter than the buffer.
        let Bytes::File(file) = &self.bytes else { return None };
        let length = std::os::unix::fs::FileExt::read_at(file.as_ref(), &mut line, latest.place.into()).ok()?;
        let line = line.get(..length)?.split(|b| *b == b'\n').next()?;
        let (start, _, name) = fields(line)?;
        (start == latest.start).then(|| name.to_str_lossy().into_owned())
    }
}

fn fields(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (start, rest) = line.split_once_str(b" ")?;
    let (size, name) = rest.split_once_str(b" ")?;
    let hex = |digits: &[u8]| {
        let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
        u64::from_str_radix(digits.to_str().ok()?, 16).ok()
    };
    let name = name.trim_ascii();
    (!name.is_empty()).then_some((hex(start)?, hex(size)?, name))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::{Duration, Instant};

    use super::*;

    fn map(text: &[u8]) -> PerfMap {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        PerfMap::read(file)
    }

    /// The line that was written last counts, also where it begins elsewhere; what is between ranges has no name.
    #[test]
    fn later_lines_are_truer() {
        let map = map(b"1000 100 old\n0x2000 0x10 LazyCompile:*parse /a b.js:3\n1080 100 new \xff\nzz 1 x\n3000 10\n1000 40 newest");
        let name = |address| map.name(address);
        assert_eq!(name(0x1000).as_deref(), Some("newest"));
        assert_eq!(name(0x1050).as_deref(), Some("old"));
        assert_eq!(name(0x1090).as_deref(), Some("new \u{fffd}"));
        assert_eq!(name(0x200f).as_deref(), Some("LazyCompile:*parse /a b.js:3"));
        assert_eq!((name(0x2010), name(0xfff), name(u64::MAX)), (None, None, None));
    }

    /// A map of 100 MB is read in seconds, and what is kept of it is bounded.
    #[test]
    fn large() {
        let started = Instant::now();
        let text: Vec<u8> = (0..3_000_000_u64)
            .flat_map(|n| format!("{:x} 10 LazyCompile:~f{n} /a.js:1\n", n * 16).into_bytes())
            .collect();
        let map = map(&text);
        assert!(map.memory() <= MAX_ENTRIES * size_of::<Entry>() && map.entries.len() == MAX_ENTRIES);
        assert_eq!(map.name(16 * 77).as_deref(), Some("LazyCompile:~f77 /a.js:1"));
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    proptest::proptest! {
        /// Any lines make a map that answers.
        #[test]
        fn any_lines(text in "([0-9a-fx]{0,17}[ \n]){0,20}", address in proptest::prelude::any::<u64>()) {
            let _ = map(text.as_bytes()).name(address);
        }
    }
}
