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

/// No value is longer, by the journal's own bound for what it imports (systemd, `journal-importer.h`, `DATA_SIZE_MAX`).
const LONGEST_VALUE: u64 = 768 << 20;

/// An entry that has begun.
#[derive(Debug)]
pub(super) struct Export {
    entry: Entry,
    /// A binary field being read.
    binary: Option<Binary>,
    /// The last line is the field whose rest is still to come.
    in_line: bool,
    lines: (u64, u64),
    /// The lines so far, each with a newline, as long as they may turn out to be ordinary text.
    doubted: Option<Vec<u8>>,
    given_up: bool,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It belongs to the entry.
    Inside,
    /// The entry ended with it.
    End,
    /// This is no line of an entry, and so there was none, or its end is missing.
    Broken,
}

impl Export {
    /// Whether an entry may begin with this line.
    pub(super) fn begins(line: &[u8]) -> bool {
        line.starts_with(b"__CURSOR=") || line.starts_with(b"__REALTIME_TIMESTAMP=")
    }

    pub(super) fn new(number: u64) -> Self {
        Self {
            entry: Entry::default(),
            binary: None,
            in_line: false,
            lines: (number, number),
            doubted: Some(Vec::new()),
            given_up: false,
        }
    }

    /// Takes a raw line, or a piece of one (`ends`: the line ends with it).
    pub(super) fn push(&mut self, line: &[u8], number: u64, ends: bool) -> Taken {
        let goes_on = std::mem::replace(&mut self.in_line, !ends);
        let taken = match self.binary.take() {
            Some(binary) => self.take_binary(binary, line, ends),
            // The rest of a field that is too long.
            None if goes_on => Taken::Inside,
            None => self.take_field(line.strip_suffix(b"\r").unwrap_or(line)),
        };
        if taken != Taken::Broken {
            self.lines.1 = number;
            self.doubt(line);
        }
        taken
    }

    fn take_field(&mut self, line: &[u8]) -> Taken {
        if line.is_empty() {
            return Taken::End;
        }
        match line.iter().position(|b| *b == b'=') {
            Some(at) if line.get(..at).is_some_and(is_field_name) => {
                let (name, value) = line.split_at(at);
                self.set(name, value.get(1..).unwrap_or_default());
            }
            None if is_field_name(line) => self.binary = Some(Binary::new(line)),
            _ => return Taken::Broken,
        }
        Taken::Inside
    }

    fn take_binary(&mut self, mut binary: Binary, line: &[u8], ends: bool) -> Taken {
        match binary.push(line, ends) {
            Some(true) => {
                self.set(&binary.name, binary.value());
                self.given_up |= binary.too_long;
                // No text has such a length before a value and fits it.
                self.doubted = None;
            }
            Some(false) => self.binary = Some(binary),
            None => return Taken::Broken,
        }
        Taken::Inside
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        if self.given_up {
            return;
        }
        self.entry.set(name, value);
        if self.entry.size() > LONGEST_ENTRY {
            self.entry = Entry::default();
            self.given_up = true;
        }
    }

    fn doubt(&mut self, line: &[u8]) {
        let Some(doubted) = &mut self.doubted else { return };
        doubted.extend_from_slice(line);
        doubted.push(b'\n');
        if doubted.len() > LONGEST_ENTRY {
            self.doubted = None;
        }
    }

    /// The lines of a broken entry that may be ordinary text, and the number of the first. Text that begins with
    /// `__CURSOR=` must not hide what follows it.
    pub(super) fn doubted(&mut self) -> Option<(Vec<u8>, u64)> {
        Some((self.doubted.take()?, self.lines.0))
    }

    /// The entry as far as it was read. `complete`: its end was seen.
    pub(super) fn finish(self, complete: bool) -> Option<Message> {
        if self.given_up {
            return None;
        }
        self.entry.into_message(self.lines, complete)
    }
}

/// A binary field: 8 bytes of length, the value, a newline.
#[derive(Debug)]
struct Binary {
    name: Vec<u8>,
    /// The length's bytes and the value's; of a value that is too long nothing but the length.
    bytes: Vec<u8>,
    /// How many bytes came.
    came: u64,
    too_long: bool,
}

impl Binary {
    const LENGTH: usize = 8;

    fn new(name: &[u8]) -> Self {
        Self { name: name.to_vec(), bytes: Vec::new(), came: 0, too_long: false }
    }

    /// Takes a line: true when the value is complete, `None` if this is no binary field.
    fn push(&mut self, line: &[u8], ends: bool) -> Option<bool> {
        self.came += line.len() as u64 + u64::from(ends);
        if !self.too_long {
            self.bytes.extend_from_slice(line);
            self.bytes.extend(ends.then_some(b'\n'));
        }
        let Some(length) = self.bytes.first_chunk::<{ Self::LENGTH }>().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return Some(false);
        };
        if length > LONGEST_VALUE {
            return None;
        }
        if length > LONGEST_ENTRY as u64 {
            self.too_long = true;
            self.bytes.truncate(Self::LENGTH);
        }
        // The newline behind the value comes last, and nothing behind it.
        let whole = Self::LENGTH as u64 + length + 1;
        // Whoever made CRLF of the newlines did so here too.
        let end = whole + u64::from(line.ends_with(b"\r"));
        match self.came {
            came if came < whole => Some(false),
            came if came <= end && ends => Some(true),
            _ => None,
        }
    }

    fn value(&self) -> &[u8] {
        let value = self.bytes.get(Self::LENGTH..).unwrap_or_default();
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let length = self.bytes.first_chunk::<{ Self::LENGTH }>().map(|bytes| u64::from_le_bytes(*bytes));
        length.and_then(|length| value.get(..usize::try_from(length).ok()?)).unwrap_or_default()
    }
}

fn is_field_name(line: &[u8]) -> bool {
    (1..=64).contains(&line.len()) && line.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
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

    /// The entry as far as it was read. `complete`: what follows it was seen.
    pub(super) fn finish(self, complete: bool) -> Option<Message> {
        self.entry.into_message(self.lines, complete)
    }
}
