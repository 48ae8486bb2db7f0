//! From raw bytes to OOM events, with flat memory at any size of input.
//!
//! A kernel log is almost entirely about other things. So the scanner looks for a few literals that every OOM report must
//! contain, with a vectorised search over the raw bytes, and reads line by line only around them: from a little before
//! (the report may begin without one of the literals) until the report is over. The first 256 KiB are always read whole,
//! which covers what people paste and the kernel's own ring buffer.
//!
//! Memory is one buffer. A line that does not fit is read in pieces, and counted.

use std::sync::LazyLock;

use aho_corasick::packed;

use super::assembler::{Assembler, LogEvent};
use super::record::Record;
use super::transport::Unwrapper;

/// Size of the buffer, and so the longest line that is read in one piece.
const BUFFER: usize = 1 << 20;

/// Read line by line before a literal that was found.
const LOOK_BACK: usize = 16 << 10;

/// Read line by line after the last part of a report.
const LOOK_ON: u64 = 32 << 10;

/// Read line by line at the beginning of the input.
const READ_WHOLE: u64 = 256 << 10;

/// What every report or remainder of one contains, in whatever transport. Short on purpose: JSON and wrapping may break
/// longer ones.
const LITERALS: [&str; 10] = [
    "oom-kill",
    "oom_reaper",
    "oom_score",
    "Killed process",
    "ill process ",
    "ut of memory",
    "ut of Memory",
    "emory cgroup",
    "killed as a result",
    "Manual OOM",
];

static SEARCHER: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| packed::Searcher::new(LITERALS));

/// What was read, for the summary and for "no OOM event found".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Lines, the last one counted even without its newline.
    pub lines: u64,
    /// Lines longer than a mebibyte, read in pieces.
    pub lines_in_pieces: u64,
    /// The first of those.
    pub first_line_in_pieces: Option<u64>,
    /// Records that a printk prefix marked as the kernel's, among the lines that were read one by one.
    pub kernel_records: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Line by line, at least up to this offset of the input.
    Lines { until: u64 },
    /// Looking for literals.
    Skip,
}

/// One input, fed as bytes. See the module's head.
///
/// ```
/// # use oomscope_core::formats::klog::Scanner;
/// let mut scanner = Scanner::new();
/// let mut events = Vec::new();
/// scanner.push(b"[1870.083143] Memory cgroup out of memory: Killed process 6021 (netdata) total-vm:47820kB\n", &mut |e| events.push(e));
/// scanner.finish(&mut |e| events.push(e));
/// assert_eq!(events[0].report.victims[0].pid, 6021);
/// ```
#[derive(Debug)]
pub struct Scanner {
    buffer: Box<[u8]>,
    /// First byte not yet read.
    start: usize,
    /// Behind the last byte received.
    end: usize,
    /// Bytes up to here were searched for literals without a find.
    searched: usize,
    /// Offset of `buffer[0]` in the input.
    offset: u64,
    /// Number of the line that begins (or goes on) at `start`.
    line: u64,
    /// The line at `start` is the rest of one that did not fit.
    in_pieces: bool,
    mode: Mode,
    unwrapper: Unwrapper,
    assembler: Assembler,
    tally: Tally,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// For one input.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            searched: 0,
            offset: 0,
            line: 1,
            in_pieces: false,
            mode: Mode::Lines { until: READ_WHOLE },
            unwrapper: Unwrapper::new(),
            assembler: Assembler::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the next bytes, which may begin and end anywhere.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(LogEvent)) {
        self.tally.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.mode == Mode::Skip {
                bytes = self.skip_over(bytes);
            }
            self.make_room();
            let count = bytes.len().min(self.buffer.len() - self.end);
            self.buffer[self.end..self.end + count].copy_from_slice(&bytes[..count]);
            self.end += count;
            self.read(out);
            bytes = &bytes[count..];
        }
    }

    /// True while the scanner only looks for literals, and [`Self::pass`] may be used.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.mode == Mode::Skip
    }

    /// How much of the end of what is passed over [`Self::pass`] wants to see.
    pub const TAIL: usize = LOOK_BACK;

    /// Passes over the next `length` bytes, in which [`has_literal`] found none, also not across their ends. `tail` is their
    /// end, [`Self::TAIL`] of it. Only while [`Self::is_skipping`].
    pub fn pass(&mut self, length: u64, newlines_in_it: u64, tail: &[u8]) {
        debug_assert!(self.is_skipping(), "bytes may only be passed over while nothing waits for the rest of a line");
        let tail = &tail[tail.len().saturating_sub(LOOK_BACK)..];
        self.tally.bytes += length;
        self.advance(self.end);
        self.line += newlines_in_it - newlines(tail);
        self.offset += length - tail.len() as u64;
        self.make_room();
        self.buffer[self.end..self.end + tail.len()].copy_from_slice(tail);
        self.end += tail.len();
        self.searched = self.end;
    }

    /// Nothing came for `waited_ms`: hands on the events that are complete.
    pub fn idle(&mut self, waited_ms: u64, out: &mut dyn FnMut(LogEvent)) {
        self.hand_on(Unwrapper::idle, out);
        self.assembler.idle(waited_ms, out);
    }

    /// Lets the unwrapper give out what it holds back.
    fn hand_on(&mut self, pending: fn(&mut Unwrapper, &mut dyn FnMut(Record)), out: &mut dyn FnMut(LogEvent)) {
        let Self { unwrapper, assembler, tally, .. } = self;
        pending(unwrapper, &mut |record| assemble(record, assembler, tally, out));
    }

    /// The end of the input (or of what could be read of it).
    pub fn finish(&mut self, out: &mut dyn FnMut(LogEvent)) {
        self.read(out);
        if self.start < self.end && matches!(self.mode, Mode::Lines { .. }) {
            self.read_line(self.end, self.end, out);
        }
        self.hand_on(Unwrapper::flush, out);
        self.tally.lines +=
            self.line - 1 + newlines(&self.buffer[self.start..self.end]) + u64::from(self.ends_without_newline());
        self.idle(0, out);
        self.assembler.finish(out);
    }

    /// What follows is the next file of the same rotated log: an open report goes on, line numbers begin again.
    pub fn begin_next_file(&mut self, out: &mut dyn FnMut(LogEvent)) {
        if self.ends_without_newline() {
            self.push(b"\n", out);
        }
        self.tally.lines += self.line - 1 + newlines(&self.buffer[self.start..self.end]);
        self.line = 1;
    }

    /// The line that is read next.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// So far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn ends_without_newline(&self) -> bool {
        self.start < self.end && self.buffer[self.end - 1] != b'\n'
    }

    /// Moves what is not yet read to the front. There is room afterwards: reading by lines takes a line that fills the
    /// buffer in pieces, and skipping keeps no more than it may look back on.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() && self.start <= self.buffer.len() / 2 {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.offset += self.start as u64;
        self.searched = self.searched.saturating_sub(self.start);
        self.end -= self.start;
        self.start = 0;
    }

    /// Passes over bytes without a literal, copying only what [`LOOK_BACK`] asks for; answers what is left to be read.
    fn skip_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(searcher) = SEARCHER.as_ref() else { return bytes };
        let seam = LONGEST_LITERAL - 1;
        let before = &self.buffer[self.end.saturating_sub(seam).max(self.start)..self.end];
        let across = [before, &bytes[..bytes.len().min(seam)]].concat();
        if searcher.find(&across).is_some() {
            return bytes;
        }
        let (pass, rest) = match searcher.find(bytes) {
            Some(found) => bytes.split_at(found.start().saturating_sub(LOOK_BACK)),
            None => (bytes, &bytes[bytes.len()..]),
        };
        let keep = &pass[pass.len().saturating_sub(LOOK_BACK)..];
        let drop_from_buffer = (self.end - self.start + keep.len()).saturating_sub(LOOK_BACK);
        self.advance((self.start + drop_from_buffer).min(self.end));
        if keep.len() < pass.len() {
            // The buffer is empty now: everything in it lies further back.
            let passed = &pass[..pass.len() - keep.len()];
            self.line += newlines(passed);
            self.offset += passed.len() as u64;
        }
        self.make_room();
        self.buffer[self.end..self.end + keep.len()].copy_from_slice(keep);
        self.end += keep.len();
        self.searched = self.end;
        rest
    }

    fn read(&mut self, out: &mut dyn FnMut(LogEvent)) {
        loop {
            let goes_on = match self.mode {
                Mode::Lines { .. } => self.read_lines(out),
                Mode::Skip => self.skip(),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Reads whole lines. True when the mode changed.
    fn read_lines(&mut self, out: &mut dyn FnMut(LogEvent)) -> bool {
        while let Some(newline) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
            let end = self.start + newline;
            self.read_line(end, end + 1, out);
            if self.may_skip() {
                self.begin_skipping(out);
                return true;
            }
        }
        if self.end - self.start < self.buffer.len() {
            return false;
        }
        self.read_piece(out);
        let skip = self.may_skip();
        if skip {
            self.begin_skipping(out);
        }
        skip
    }

    /// A line fills the buffer: reads it as a line, and what follows as another of the same number.
    fn read_piece(&mut self, out: &mut dyn FnMut(LogEvent)) {
        if !self.in_pieces {
            self.tally.lines_in_pieces += 1;
            self.tally.first_line_in_pieces.get_or_insert(self.line);
        }
        // Cut where an escaped newline or a blank is, not inside a word.
        let last = &self.buffer[self.end - 4096..self.end];
        let cut = memchr::memmem::rfind(last, b"\\n")
            .or_else(|| memchr::memmem::rfind(last, b"#012"))
            .or_else(|| memchr::memrchr(b' ', last));
        let end = cut.map_or(self.end, |at| self.end - 4096 + at);
        let (number, start) = (self.line, std::mem::replace(&mut self.start, end));
        let Self { buffer, unwrapper, assembler, tally, .. } = self;
        unwrapper.push_piece(&buffer[start..end], number, &mut |record| assemble(record, assembler, tally, out));
        self.in_pieces = true;
        self.read_on();
    }

    fn read_line(&mut self, end: usize, next: usize, out: &mut dyn FnMut(LogEvent)) {
        let Self { buffer, unwrapper, assembler, tally, .. } = self;
        unwrapper.push(&buffer[self.start..end], self.line, &mut |record| assemble(record, assembler, tally, out));
        self.start = next;
        self.line += 1;
        self.in_pieces = false;
        self.read_on();
    }

    /// Where a part of a report was read, more of it may follow.
    fn read_on(&mut self) {
        if self.assembler.read_a_part() {
            let here = self.offset + self.start as u64;
            if let Mode::Lines { until } = &mut self.mode {
                *until = (*until).max(here + LOOK_ON);
            }
        }
    }

    fn may_skip(&self) -> bool {
        let Mode::Lines { until } = self.mode else { return false };
        self.offset + self.start as u64 >= until
            && !self.assembler.wants_every_line()
            && !self.unwrapper.is_inside_entry()
            && SEARCHER.is_some()
    }

    fn begin_skipping(&mut self, out: &mut dyn FnMut(LogEvent)) {
        self.mode = Mode::Skip;
        self.searched = self.start;
        self.hand_on(Unwrapper::gap, out);
        self.assembler.idle(0, out);
    }

    /// Looks for a literal. True when one was found, and reading by lines goes on before it.
    fn skip(&mut self) -> bool {
        let Some(searcher) = SEARCHER.as_ref() else { return false };
        // A literal may have begun in what was searched before.
        let from = self.searched.saturating_sub(LONGEST_LITERAL).max(self.start);
        let found = searcher.find(&self.buffer[from..self.end]);
        self.searched = self.end;
        match found {
            None => {
                self.advance(self.end.saturating_sub(LOOK_BACK));
                false
            }
            Some(found) => {
                let hit = from + found.start();
                self.advance(hit.saturating_sub(LOOK_BACK));
                // Begin at the beginning of a line, if one begins before the literal.
                let inside_a_line = self.start > 0 && self.buffer[self.start - 1] != b'\n';
                let newline = memchr::memchr(b'\n', &self.buffer[self.start..hit]);
                if let Some(newline) = newline.filter(|_| inside_a_line) {
                    self.advance(self.start + newline + 1);
                }
                self.mode = Mode::Lines { until: self.offset + hit as u64 + LOOK_ON };
                true
            }
        }
    }

    /// Passes over bytes without reading them.
    fn advance(&mut self, to: usize) {
        if to > self.start {
            self.line += newlines(&self.buffer[self.start..to]);
            self.start = to;
        }
    }
}

/// Hands a record on, and counts the kernel's own.
fn assemble(record: Record, assembler: &mut Assembler, tally: &mut Tally, out: &mut dyn FnMut(LogEvent)) {
    tally.kernel_records += u64::from(record.prefixed && !record.foreign);
    assembler.push(record, out);
}

/// True for bytes that may hold a part of a report: the scanner must read them. For looking ahead, on any thread.
#[must_use]
pub fn has_literal(bytes: &[u8]) -> bool {
    SEARCHER.as_ref().is_none_or(|searcher| searcher.find(bytes).is_some())
}

/// How many newlines the bytes hold.
#[must_use]
pub fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The longest of `LITERALS`: how far a look must reach beyond both ends of a stretch.
pub const LONGEST_LITERAL: usize = {
    let (mut longest, mut i) = (0, 0);
    while i < LITERALS.len() {
        if LITERALS[i].len() > longest {
            longest = LITERALS[i].len();
        }
        i += 1;
    }
    longest
};

#[cfg(test)]
mod tests {
    use super::*;

    const KILL: &str = "[1870.083143] Memory cgroup out of memory: Killed process 6021 (netdata) total-vm:47820kB, anon-rss:7560kB, file-rss:0kB\n";

    fn events(chunks: &[&[u8]]) -> (Vec<LogEvent>, Tally) {
        let mut scanner = Scanner::new();
        let mut events = Vec::new();
        for chunk in chunks {
            scanner.push(chunk, &mut |e| events.push(e));
        }
        scanner.finish(&mut |e| events.push(e));
        (events, scanner.tally())
    }

    /// A report far behind anything that is read whole is found, with its line number.
    #[test]
    fn finds_a_kill_after_megabytes_of_other_lines() {
        let mut log =
            "[    1.000000] audit: type=1325 audit(1583448728.949:176): table=filter\n".repeat(60_000).into_bytes();
        let lines = 60_000;
        log.extend_from_slice(KILL.as_bytes());
        log.extend_from_slice(&b"[    1.000000] veth0: renamed\n".repeat(60_000));
        for size in [1 << 20, 4099] {
            let chunks: Vec<&[u8]> = log.chunks(size).collect();
            let (found, tally) = events(&chunks);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].lines, (lines + 1, lines + 1));
            assert_eq!(tally.lines, 120_001);
            assert_eq!(tally.bytes, log.len() as u64);
        }
    }

    /// One line of many mebibytes neither grows memory nor hides what comes after it.
    #[test]
    fn a_line_that_does_not_fit() {
        let long = vec![b'x'; 5 << 20];
        let (found, tally) = events(&[&long, b"\n", KILL.as_bytes()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines, (2, 2));
        assert_eq!(tally.first_line_in_pieces, Some(1));
    }

    /// Another program's journal entry that quotes a report stays its own, wherever in a long export it stands: at the
    /// end of what is read whole, and longer than what is looked back on.
    #[test]
    fn a_foreign_entry_in_a_long_export() {
        let other = "__CURSOR=s\nMESSAGE=hello world\n_TRANSPORT=stdout\n\n".repeat(25_000);
        let filler = format!("A={0}\nB={0}\n", "x".repeat(9000));
        let quoting = format!("__CURSOR=s\n_TRANSPORT=stdout\n{filler}MESSAGE={}{filler}\n", &KILL[14..]);
        let (found, _) = events(&[other.as_bytes(), quoting.as_bytes(), other.as_bytes()]);
        assert!(found.is_empty());
        let kernel = quoting.replace("=stdout", "=kernel");
        let (found, _) = events(&[other.as_bytes(), kernel.as_bytes(), quoting.as_bytes()]);
        assert_eq!(found.len(), 1);
    }
}
