//! The few reading steps that all recognisers share: each takes bytes and gives back what it read and what remains.

/// An unsigned decimal number of at most 19 digits.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(len).filter(|_| (1..20).contains(&len))?;
    Some((digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')), rest))
}

/// A number of exactly `len` digits.
pub(super) fn fixed_number(bytes: &[u8], len: usize) -> Option<(u64, &[u8])> {
    number(bytes).filter(|(_, rest)| bytes.len() - rest.len() == len)
}

/// What follows any blanks and tabs.
pub(super) fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|b| is_blank(**b)).count();
    bytes.get(blanks..).unwrap_or_default()
}

/// What follows one blank, if there is one. The kernel's text may begin with blanks of its own.
pub(super) fn skip_one_blank(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b" ").unwrap_or(bytes)
}

/// The bytes up to the next blank, and what follows (beginning with that blank).
pub(super) fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = bytes.iter().position(|b| is_blank(*b)).unwrap_or(bytes.len());
    bytes.split_at(len)
}

/// The next word after any blanks; empty at the end.
pub(super) fn next_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    word(skip_blanks(bytes))
}

/// At most the first `len` bytes.
pub(super) fn head(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

/// What follows the first `len` bytes.
pub(super) fn after(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(len..).unwrap_or_default()
}

/// Without blanks and tabs at the end.
pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let kept = bytes.iter().rposition(|b| !is_blank(*b)).map_or(0, |last| last + 1);
    head(bytes, kept)
}

pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
