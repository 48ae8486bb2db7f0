//! What the files have in common: lines of `Name:   123 kB`.

use std::str::FromStr;

use bstr::ByteSlice;

use crate::units::Bytes;

/// The lines that have a name, with what stands behind the colon, blanks taken off.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|b| *b == b'\n').filter_map(field)
}

/// One such line.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_once_str(b":")?;
    Some((name.trim_ascii(), value.trim_ascii()))
}

/// A decimal number with blanks around it.
pub(super) fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    value.trim_ascii().to_str().ok()?.parse().ok()
}

/// The first of several numbers.
pub(super) fn first_number<T: FromStr>(value: &[u8]) -> Option<T> {
    number(value.split(u8::is_ascii_whitespace).next()?)
}

/// The last of several numbers.
pub(super) fn last_number<T: FromStr>(value: &[u8]) -> Option<T> {
    number(value.trim_ascii().rsplit(u8::is_ascii_whitespace).next()?)
}

/// `1234 kB`.
pub(super) fn kib(value: &[u8]) -> Option<Bytes> {
    number(value.strip_suffix(b"kB")?).map(Bytes::from_kib)
}
