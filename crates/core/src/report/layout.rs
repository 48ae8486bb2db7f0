//! Widths, wrapping and bars: arithmetic on plain text. Colour is put on afterwards, so that nothing here has to know
//! of it.

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// Columns of a terminal that the text takes.
pub(super) fn width_of(text: &str) -> usize {
    text.width()
}

/// Fills up with spaces to `width` columns; longer text stays as it is.
pub(super) fn pad(text: &str, width: usize, align: Align) -> String {
    let spaces = " ".repeat(width.saturating_sub(width_of(text)));
    match align {
        Align::Left => format!("{text}{spaces}"),
        Align::Right => format!("{spaces}{text}"),
    }
}

/// The longest beginning that fits into `width` columns.
fn beginning(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// The longest ending that fits into `width` columns.
fn ending(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > width {
            return text.get(at + c.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

/// Cuts the end off where the text is wider than `width`.
pub(super) fn shorten_end(text: &str, width: usize, ellipsis: &str) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    format!("{}{ellipsis}", beginning(text, width.saturating_sub(width_of(ellipsis))))
}

/// Cuts the beginning off where the text is wider than `width`.
pub(super) fn shorten_front(text: &str, width: usize, ellipsis: &str) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    format!("{ellipsis}{}", ending(text, width.saturating_sub(width_of(ellipsis))))
}

/// Cuts the middle out where the text is wider than `width`. Of a cgroup path, the ending names the container and the
/// beginning only the driver: the ending gets two thirds.
pub(super) fn shorten_middle(text: &str, width: usize, ellipsis: &str) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(width_of(ellipsis));
    let head = beginning(text, room / 3);
    format!("{head}{ellipsis}{}", ending(text, room - width_of(head)))
}

/// Breaks into lines of at most `width` columns, between words where possible, inside a word that is wider than a line.
/// A number stays with its unit.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    wrap_at(&glue(text), width, WordSeparator::AsciiSpace).map(|line| line.replace(GLUE, " ")).collect()
}

/// The same for a line of a log: `key=value,key=value` and paths may break after each comma and slash.
pub(super) fn wrap_log_line(text: &str, width: usize) -> Vec<String> {
    wrap_at(text, width, WordSeparator::Custom(after_separators)).collect()
}

fn wrap_at(text: &str, width: usize, separator: WordSeparator) -> impl Iterator<Item = String> {
    let options = Options::new(width.max(1))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_separator(separator);
    textwrap::wrap(text, options).into_iter().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().into_iter()
}

fn after_separators(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    Box::new(line.split_inclusive([' ', ',', '/']).map(Word::from))
}

/// Stands for a space at which a line must not break.
const GLUE: char = '\u{a0}';

fn glue(text: &str) -> String {
    let is_unit =
        |word: &str| matches!(word.trim_end_matches([',', '.', ';', ')']), "B" | "KiB" | "MiB" | "GiB" | "TiB" | "%");
    let mut out = String::with_capacity(text.len());
    let mut before = "";
    for (at, word) in text.split(' ').enumerate() {
        let holds = before.ends_with(|c: char| c.is_ascii_digit()) && is_unit(word);
        if at > 0 {
            out.push(if holds || before.starts_with('[') { GLUE } else { ' ' });
        }
        out.push_str(word);
        before = word;
    }
    out
}

/// Puts pieces into lines of at most `width` columns with `between` between them, and never a line break within a piece that
/// fits into a line.
pub(super) fn flow(pieces: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        match lines.last_mut() {
            Some(line) if width_of(line) + width_of(between) + width_of(piece) <= width => {
                line.push_str(between);
                line.push_str(piece);
            }
            _ => lines.extend(wrap(piece, width)),
        }
    }
    lines
}

/// How many of `width` cells each part takes when `whole` fills all of them. Rounded so that the cells of all parts
/// together are as many as their sum deserves; a part too small for a cell gets none.
pub(super) fn bar_cells(parts: &[u64], whole: u64, width: usize) -> Vec<usize> {
    let sum: u128 = parts.iter().map(|&p| u128::from(p)).sum();
    let whole = u128::from(whole).max(sum).max(1);
    let columns = width as u128;
    // Running sums are rounded, not the parts: the error never adds up.
    let edge = |upto: u128| (upto * columns * 2 + whole) / (whole * 2);
    let mut before = 0_u128;
    parts
        .iter()
        .map(|&part| {
            let from = edge(before);
            before += u128::from(part);
            usize::try_from(edge(before) - from).unwrap_or(width)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wide characters count as two columns and are never cut in half.
    #[test]
    fn width_is_columns_not_bytes() {
        assert_eq!(pad("日本", 6, Align::Right), "  日本");
        assert_eq!(shorten_end("日本語処理", 6, "…"), "日本…");
        assert_eq!(width_of(&shorten_middle("日本語処理日本語処理", 9, "…")), 9);
    }

    /// A path keeps its driver's end and most of its container's.
    #[test]
    fn paths_lose_their_middle() {
        assert_eq!(shorten_middle("/kubepods/burstable/pod1234/abcdef", 16, "…"), "/kube…234/abcdef");
        assert_eq!(shorten_middle("/short", 16, "…"), "/short");
        assert_eq!(shorten_middle("abc", 0, "…"), "…");
    }

    /// No line is wider than asked, even of a text without any space.
    #[test]
    fn wrapping_holds_the_width() {
        for line in wrap(&"x".repeat(95), 40) {
            assert!(width_of(&line) <= 40, "{line}");
        }
        assert_eq!(wrap("a tired person", 7), ["a tired", "person"]);
    }

    /// What belongs together stays on one line.
    #[test]
    fn lines_break_where_a_reader_pauses() {
        assert_eq!(wrap("a limit of 128 MiB of", 14), ["a limit of", "128 MiB of"]);
        assert_eq!(wrap("seen. [lines 1–2]", 12), ["seen.", "[lines 1–2]"]);
        assert_eq!(wrap_log_line("a=/b/c,d=/e", 7), ["a=/b/c,", "d=/e"]);
        let facts = ["one fact".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(flow(&facts, " · ", 14), ["one fact · two", "three"]);
    }

    /// The bar is as long as the sum of its parts deserves and never longer than its frame.
    #[test]
    fn bar_adds_up() {
        assert_eq!(bar_cells(&[50, 25, 25], 100, 40), [20, 10, 10]);
        assert_eq!(bar_cells(&[1, 1, 1], 3, 40).iter().sum::<usize>(), 40);
        assert_eq!(bar_cells(&[50], 100, 40), [20]);
        assert_eq!(bar_cells(&[300], 100, 40), [40]);
        assert_eq!(bar_cells(&[u64::MAX, u64::MAX], 1, 40).iter().sum::<usize>(), 40);
        assert_eq!(bar_cells(&[0], 0, 40), [0]);
    }
}
