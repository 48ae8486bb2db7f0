//! Cases that were saved as lines of JSON, alone or among the lines of a log.

use memchr::memmem;
use oomscope_core::case::{Case, SCHEMA};
use serde::Deserialize;

/// In every line that holds a case.
pub(crate) const NEEDLE: &[u8] = b"oomscope.case/";

/// Within so many bytes a line has said whether it is a case: `{"schema":"oomscope.case/`, with spaces as other programs
/// write them.
const DECIDED_AFTER: usize = 40;

/// The longest line that is kept to be read, as the store has it.
pub(crate) const LONGEST: usize = 64 << 20;

/// Why a saved case cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("this case is of a newer oomscope ({}; this one reads {SCHEMA})", oomscope_core::text::escape(.0.as_bytes()))]
    Newer(String),
    #[error("this case is damaged: {0}")]
    Damaged(serde_json::Error),
    #[error("this case is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    #[error("this is no saved case of oomscope (one JSON object a line, as `oomscope export` and `-o json` write it)")]
    NoCase,
}

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Result<Case, Unreadable> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    if !is_case(line) {
        return Err(Unreadable::NoCase);
    }
    if line.len() > LONGEST {
        return Err(Unreadable::TooLong);
    }
    let head: Head = serde_json::from_slice(line).map_err(Unreadable::Damaged)?;
    if head.schema != SCHEMA {
        return Err(Unreadable::Newer(head.schema));
    }
    serde_json::from_slice(line).map_err(Unreadable::Damaged)
}

/// Whether a line begins as a case does.
fn is_case(line: &[u8]) -> bool {
    let tokens: [&[u8]; 4] = [b"{", b"\"schema\"", b":", b"\"oomscope.case/"];
    let start = line.get(..DECIDED_AFTER).unwrap_or(line);
    tokens.into_iter().try_fold(start, |rest, token| rest.trim_ascii_start().strip_prefix(token)).is_some()
}

/// A piece of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes of a log, as they came.
    Log(&'a [u8]),
    /// A line that begins as a case does, with its newline where it has one.
    Case(&'a [u8]),
}

/// Takes the saved cases out of an input that arrives in chunks. What is in no such line passes through as it is.
#[derive(Debug, Default)]
pub(crate) struct Sieve {
    /// The beginning of a line: of a case, or of what may become one.
    held: Vec<u8>,
    /// `held` is a case.
    in_case: bool,
    /// The next byte stands in the middle of a line of a log.
    in_line: bool,
}

impl Sieve {
    /// True while a line is held back, whose rest must come through [`Sieve::push`] too.
    pub(crate) const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Bytes without a case went by, which ended so.
    pub(crate) fn passed(&mut self, tail: &[u8]) {
        self.in_line = tail.last().is_some_and(|&last| last != b'\n');
    }

    /// The next bytes of the input.
    pub(crate) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
        if self.held.is_empty() && memmem::find(bytes, NEEDLE).is_none() {
            let tail = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
            let (whole, tail) = bytes.split_at(if tail == 0 && self.in_line { bytes.len() } else { tail });
            if !whole.is_empty() {
                each(Piece::Log(whole));
                self.passed(whole);
            }
            if !tail.is_empty() {
                self.part_of_line(tail, each);
            }
            return;
        }
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            self.part_of_line(line, each);
        }
    }

    /// The input is at its end.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            each(if self.in_case { Piece::Case(&held) } else { Piece::Log(&held) });
        }
        *self = Self::default();
    }

    fn part_of_line(&mut self, part: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
        let ends = part.ends_with(b"\n");
        if self.in_line {
            each(Piece::Log(part));
            self.in_line = !ends;
            return;
        }
        // One byte too many, so that it is known to be too long.
        let room = (LONGEST + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(part.get(..room.min(part.len())).unwrap_or(part));
        self.in_case = self.in_case || is_case(&self.held);
        let may_be_case = self.held.first() == Some(&b'{') && self.held.len() < DECIDED_AFTER;
        if !ends && (self.in_case || may_be_case) {
            return;
        }
        each(if self.in_case { Piece::Case(&self.held) } else { Piece::Log(&self.held) });
        self.in_line = !ends;
        self.in_case = false;
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input again with every case in brackets.
    fn sieved(input: &[u8], chunk: usize) -> String {
        let mut out = Vec::new();
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Log(bytes) => out.extend_from_slice(bytes),
            Piece::Case(line) => out.extend([b"<", line, b">"].concat()),
        };
        let mut sieve = Sieve::default();
        for bytes in input.chunks(chunk) {
            sieve.push(bytes, &mut each);
        }
        sieve.finish(&mut each);
        String::from_utf8(out).unwrap()
    }

    /// However the input is cut, whole lines that begin as a case does are taken out and everything else passes.
    #[test]
    fn cases_among_lines() {
        let case = "{\"schema\":\"oomscope.case/v1\",\"id\":\"x\"}\n";
        let spaced = "{ \"schema\" : \"oomscope.case/v9\"}\n";
        let log = "[ 1.0] a {\"schema\":\"oomscope.case/v1\"} inside\n{\"MESSAGE\":\"oomscope.case/\"}\n{\n\n{\"schema\":\"x\"}\n";
        let input = [log, case, spaced, log, case, case, log, "{\"sch"].concat();
        let expected = [log, "<", case, "><", spaced, ">", log, "<", case, "><", case, ">", log, "{\"sch"].concat();
        for chunk in 1..input.len() {
            assert_eq!(sieved(input.as_bytes(), chunk), expected, "in chunks of {chunk}");
        }
        assert_eq!(sieved(case.trim_end().as_bytes(), 7), ["<", case.trim_end(), ">"].concat(), "without a newline");
    }

    /// What is wrong with a line is said: a newer version, damage, or that it is something else.
    #[test]
    fn says_what_is_wrong() {
        let error = |line: &str| parse(line.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"schema":"oomscope.case/v2","x":1}"#).contains("newer oomscope (oomscope.case/v2"));
        assert!(error(r#"{"schema":"oomscope.case/v1","id"#).contains("damaged: EOF"));
        assert!(error(r#"{"schema":"oomscope.case/v1","id":5}"#).contains("damaged: invalid type"));
        assert!(error(r#"{"MESSAGE":"x"}"#).contains("no saved case"));
    }
}
