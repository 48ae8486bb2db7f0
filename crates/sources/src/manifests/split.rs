//! Cuts a stream into documents, of which one at a time is in memory.

use std::io::{self, BufRead, Read as _};

/// The longest document that is read: a list of some ten thousand pods is one.
pub const LONGEST_DOCUMENT: usize = 256 << 20;

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A document, or what stands between two separators.
    Document { line: u64, text: String },
    /// One that is passed over for its length.
    TooLong { line: u64 },
}

pub(super) struct Splitter<R> {
    input: R,
    /// Lines read.
    lines: u64,
    /// What stands behind `---` on its line belongs to the next document.
    held: Vec<u8>,
    done: bool,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, lines: 0, held: Vec::new(), done: false }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if self.done {
            return Ok(None);
        }
        let line = self.lines + u64::from(self.held.is_empty());
        let mut text = std::mem::take(&mut self.held);
        let (mut too_long, mut at_line_start) = (false, true);
        loop {
            let start = text.len();
            let read = self.input.by_ref().take(LONGEST_DOCUMENT as u64 + 1).read_until(b'\n', &mut text)?;
            if read == 0 {
                self.done = true;
                break;
            }
            let last = text.get(start..).unwrap_or_default();
            let ends_line = last.ends_with(b"\n");
            let separator = after_separator(last).filter(|_| at_line_start);
            self.lines += u64::from(at_line_start);
            at_line_start = ends_line;
            if let Some(rest) = separator {
                self.held = rest;
                text.truncate(start);
                break;
            }
            too_long |= text.len() > LONGEST_DOCUMENT;
            if too_long {
                text.clear();
            }
        }
        if too_long {
            return Ok(Some(Piece::TooLong { line }));
        }
        // A byte order mark and the like are no content; what is not UTF-8 shows in the parser's error.
        let text =
            String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(Some(Piece::Document { line, text }))
    }
}

/// What stands behind `---` or `...` at the beginning of a line, if this is such a line. A document that begins on the line of its separator
/// (`--- {kind: Pod}`) keeps its columns.
fn after_separator(line: &[u8]) -> Option<Vec<u8>> {
    let rest = line.strip_prefix(b"---").or_else(|| line.strip_prefix(b"..."))?;
    let ends = rest.first().is_none_or(|c| c.is_ascii_whitespace());
    let content = rest.trim_ascii_start();
    let has_content = !content.is_empty() && !content.starts_with(b"#");
    ends.then(|| if has_content { [b"   ", rest].concat() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(u64, String)> {
        let mut splitter = Splitter::new(text.as_bytes());
        let mut pieces = Vec::new();
        while let Some(Piece::Document { line, text }) = splitter.next().unwrap() {
            pieces.push((line, text));
        }
        pieces
    }

    /// Every document with the line of its first byte, whatever stands around the separators.
    #[test]
    fn documents() {
        let piece = |line, text: &str| (line, text.to_owned());
        assert_eq!(pieces("a\n---\nb\n"), [piece(1, "a\n"), piece(3, "b\n")]);
        assert_eq!(
            pieces("---\na\n--- b\nc\n...\n"),
            [piece(1, ""), piece(2, "a\n"), piece(3, "    b\nc\n"), piece(6, "")]
        );
        assert_eq!(pieces("a: |\n  ---\n---x\n"), [piece(1, "a: |\n  ---\n---x\n")]);
        assert_eq!(pieces(""), [piece(1, "")]);
    }
}
