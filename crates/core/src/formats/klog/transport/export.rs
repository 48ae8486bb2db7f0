//! `journalctl -o export` and `-o verbose`: entries of many lines.
//!
//! Export (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>): `KEY=value` lines; a value that is no plain text has its name
//! alone on a line, then 8 bytes of little-endian length, the bytes, and a newline. Since input comes line by line, the
//! newlines among these bytes are put back here.

use super::journal::{Entry, Message};
use super::scan::is_blank;
use super::syslog::weekday_and_iso;

/// An entry longer than this is given up.
const LONGEST_ENTRY: usize = 1 << 20;

/// An entry that has begun.
#[derive(Debug)]
pub(super) struct Export {
    entry: Entry,
    /// A binary field being read: its name, and length and value so far.
    binary: Option<(Vec<u8>, Vec<u8>)>,
    lines: (u64, u64),
    given_up: bool,
}

impl Export {
    /// Whether an entry begins with this line.
    pub(super) fn begins(line: &[u8]) -> bool {
        line.starts_with(b"__CURSOR=") || line.starts_with(b"__REALTIME_TIMESTAMP=")
    }

    pub(super) fn new(number: u64) -> Self {
        Self { entry: Entry::default(), binary: None, lines: (number, number), given_up: false }
    }

    /// Takes a raw line; false if the entry ended with it.
    pub(super) fn push(&mut self, line: &[u8], number: u64) -> bool {
        self.lines.1 = number;
        if let Some((name, value)) = &mut self.binary {
            if value.len() > LONGEST_ENTRY {
                self.give_up();
            } else if take_binary(value, line) {
                self.entry.set(name, value.get(8..).unwrap_or_default());
                self.binary = None;
            }
            return true;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return false;
        }
        match line.iter().position(|b| *b == b'=') {
            Some(at) if !self.given_up => {
                let (name, value) = line.split_at(at);
                self.entry.set(name, value.get(1..).unwrap_or_default());
            }
            None if is_field_name(line) && !self.given_up => self.binary = Some((line.to_vec(), Vec::new())),
            _ => {}
        }
        if self.entry.size() > LONGEST_ENTRY {
            self.give_up();
        }
        true
    }

    fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::new(self.lines.0) };
    }

    /// The entry as far as it was read.
    pub(super) fn finish(self) -> Option<Message> {
        self.entry.into_message(self.lines)
    }
}

/// Adds a line to length and value; true when the value is complete. A length beyond all bounds never completes.
fn take_binary(value: &mut Vec<u8>, line: &[u8]) -> bool {
    value.extend_from_slice(line);
    value.push(b'\n');
    let Some(length) = value.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else { return false };
    let Some(end) = usize::try_from(length).ok().and_then(|length| length.checked_add(8)) else { return false };
    // The newline behind the value has just been added.
    let complete = value.len() > end;
    if complete {
        value.truncate(end);
    }
    complete
}

fn is_field_name(line: &[u8]) -> bool {
    line.len() <= 64 && line.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
}

/// An entry of `-o verbose`: `Tue 2024-12-03 09:44:33.590220 UTC [s=…;i=…]`, then `    KEY=value` lines.
#[derive(Debug)]
pub(super) struct Verbose {
    entry: Entry,
    in_message: bool,
    lines: (u64, u64),
}

const FIELD_INDENT: usize = 4;
/// Further lines of a value stand below its beginning.
const MESSAGE_INDENT: usize = FIELD_INDENT + b"MESSAGE=".len();

impl Verbose {
    /// The entry that begins with this line.
    pub(super) fn begin(line: &[u8], number: u64) -> Option<Self> {
        if !line.ends_with(b"]") {
            return None;
        }
        let (when, cursor) = weekday_and_iso(line)?;
        cursor.strip_prefix(b" [s=")?;
        let mut entry = Entry::default();
        entry.set_wall(when);
        Some(Self { entry, in_message: false, lines: (number, number) })
    }

    /// Takes a line; false if it no longer belongs to the entry.
    pub(super) fn push(&mut self, line: &[u8], number: u64) -> bool {
        let indent = line.iter().take_while(|b| is_blank(**b)).count();
        let Some(content) = line.get(FIELD_INDENT..).filter(|_| indent >= FIELD_INDENT) else { return false };
        let equals = content.iter().position(|b| *b == b'=');
        match equals {
            Some(at) if indent == FIELD_INDENT && content.get(..at).is_some_and(is_field_name) => {
                let (name, value) = content.split_at(at);
                self.in_message = name == b"MESSAGE";
                self.entry.set(name, value.get(1..).unwrap_or_default());
            }
            _ if self.in_message && self.entry.size() < LONGEST_ENTRY => {
                self.entry.continue_message(line.get(MESSAGE_INDENT.min(indent)..).unwrap_or_default());
            }
            _ => {}
        }
        self.lines.1 = number;
        true
    }

    pub(super) fn finish(self) -> Option<Message> {
        self.entry.into_message(self.lines)
    }
}
