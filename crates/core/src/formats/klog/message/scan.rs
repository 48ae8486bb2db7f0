//! Small steps over bytes, for parsers that work from both ends of a line.

use bstr::ByteSlice;

use crate::units::Bytes;

/// The decimal number at the start, and what follows it. Numbers beyond `u64` are no numbers.
pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let value = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((value, &text[digits..]))
}

/// Like [`number`], with an optional minus sign.
pub(super) fn signed(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (value, rest) = number(rest)?;
    let value = i64::try_from(value).ok()?;
    Some((if negative { -value } else { value }, rest))
}

/// The number of the whole text.
pub(super) fn whole_number(text: &[u8]) -> Option<u64> {
    number(text).and_then(|(value, rest)| rest.is_empty().then_some(value))
}

/// A number that must fit the narrower type.
pub(super) fn narrow<T: TryFrom<u64>>(text: &[u8]) -> Option<(T, &[u8])> {
    let (value, rest) = number(text)?;
    Some((T::try_from(value).ok()?, rest))
}

/// The text after the first `key`.
pub(super) fn after<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    text.find(key).map(|at| &text[at + key.len()..])
}

/// The two sides of the first `separator`.
pub(super) fn split_at<'a>(text: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    // Preparing to search for one byte would take longer than the search.
    let at = match separator.as_bytes() {
        [byte] => text.find_byte(*byte),
        _ => text.find(separator),
    };
    at.map(|at| (&text[..at], &text[at + separator.len()..]))
}

/// The two sides of the last `separator`.
pub(super) fn rsplit_at<'a>(text: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    text.rfind(separator).map(|at| (&text[..at], &text[at + separator.len()..]))
}

/// The size that `keyNkB` states. `None` unless the unit is there: a cut number is no number.
pub(super) fn kib_field(text: &[u8], key: &str) -> Option<Bytes> {
    let value = after(text, key)?.trim_ascii_start();
    let (kib, rest) = number(value).filter(|(_, rest)| !rest.starts_with(b",")).or_else(|| separated_number(value))?;
    // A line may break off inside the unit; the number was whole then.
    (rest.starts_with(b"kB") || rest.starts_with(b"KB") || rest == b"k").then(|| Bytes::from_kib(kib))
}

/// `26,184,840`: somebody made a number easier to read.
fn separated_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let len = text.iter().take(32).take_while(|b| b.is_ascii_digit() || **b == b',').count();
    let (digits, rest) = text.split_at(len);
    let digits: Vec<u8> = digits.iter().copied().filter(u8::is_ascii_digit).collect();
    Some((number(&digits)?.0, rest))
}

/// Words between ASCII white space.
pub(super) fn fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Up to the next white space, or to the end.
pub(super) fn word(text: &[u8]) -> &[u8] {
    fields(text).next().unwrap_or_default()
}

/// Text that a kernel chose itself (release strings, flag names), shortened to something sensible.
pub(super) fn kernel_text(text: &[u8]) -> String {
    text.iter().take(256).filter(|b| b.is_ascii_graphic() || **b == b' ').map(|&b| char::from(b)).collect()
}
