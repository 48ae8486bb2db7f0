//! What transports did to bytes that they would not print, and its undoing.
//!
//! Nothing here may let a process name forge a record: an unescaped newline stays inside its text, except rsyslog's
//! `#012`, which stands for the line ends that the same text has in every other log.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::scan::{after, head};

/// /dev/kmsg escapes every byte below 0x20, above 0x7e and the backslash as `\xNN` (`kernel/printk/printk.c`,
/// `msg_print_ext_body`), so every escape is undone.
pub(super) fn kmsg(text: &[u8]) -> Vec<u8> {
    hex(text, |_| true).into_owned()
}

/// dmesg, busybox and crash write `\xNN` too, but leave a backslash alone: `\x41` is somebody's name, `\x1b` an escape.
pub(super) fn plain(text: &[u8]) -> Cow<'_, [u8]> {
    hex(text, |byte| byte < 0x20 || byte == b'\\' || byte >= 0x7f)
}

fn hex(text: &[u8], undo: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let byte = escape.strip_prefix(b"\\x").and_then(hex_byte).filter(|byte| undo(*byte));
        out.push(byte.unwrap_or(b'\\'));
        rest = after(escape, if byte.is_some() { 4 } else { 1 });
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|d| char::from(*d).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// rsyslog's `#ooo`: control characters, and bytes above 0x7e, in octal.
pub(super) fn rsyslog(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'#', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'#', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let byte = octal_byte(after(escape, 1)).filter(|byte| *byte < 0x20 || *byte >= 0x7f);
        out.push(byte.unwrap_or(b'#'));
        rest = after(escape, if byte.is_some() { 4 } else { 1 });
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|d| char::from(*d).to_digit(8));
    u8::try_from(digit(0)? * 64 + digit(1)? * 8 + digit(2)?).ok()
}

/// Removes what a terminal would act on and not show: CSI sequences (colours), OSC (titles, links), two-byte escapes.
pub(super) fn without_terminal_sequences(line: &[u8]) -> Cow<'_, [u8]> {
    const ESC: u8 = 0x1b;
    if memchr(ESC, line).is_none() {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = memchr(ESC, rest) {
        let (before, sequence) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match terminal_sequence(after(sequence, 1)) {
            Some(behind) => behind,
            None => {
                out.push(ESC);
                after(sequence, 1)
            }
        };
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// What follows the sequence that begins after an ESC; `None` if none does. At most 256 bytes are looked at.
fn terminal_sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (kind, body) = bytes.split_first()?;
    match kind {
        b'[' => {
            let parameters = head(body, 64).iter().take_while(|b| (0x20..=0x3f).contains(*b)).count();
            let end = body.get(parameters).filter(|b| (0x40..=0x7e).contains(*b))?;
            body.get(parameters..)?.strip_prefix(&[*end])
        }
        b']' => {
            let end = memchr2(0x07, 0x1b, head(body, 256))?;
            let behind = after(body, end + 1);
            Some(if body.get(end) == Some(&0x1b) { behind.strip_prefix(b"\\").unwrap_or(behind) } else { behind })
        }
        b'(' | b')' => body.get(1..),
        b'=' | b'>' | b'7' | b'8' | b'c' | b'M' => Some(body),
        _ => None,
    }
}

/// HTML's named and numbered characters, as far as pages write them into logs.
pub(super) fn html(line: &[u8]) -> Cow<'_, [u8]> {
    const ENTITIES: [(&[u8], &[u8]); 9] = [
        (b"&lt;", b"<"),
        (b"&gt;", b">"),
        (b"&quot;", b"\""),
        (b"&#39;", b"'"),
        (b"&#x27;", b"'"),
        (b"&apos;", b"'"),
        (b"&nbsp;", b" "),
        (b"&#34;", b"\""),
        (b"&amp;", b"&"),
    ];
    if memchr(b'&', line).is_none() {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = memchr(b'&', rest) {
        let (before, entity) = rest.split_at(at);
        out.extend_from_slice(before);
        let known = ENTITIES.iter().find(|(name, _)| entity.starts_with(name));
        let (name, character): (&[u8], &[u8]) = known.copied().unwrap_or((b"&", b"&"));
        out.extend_from_slice(character);
        rest = after(entity, name.len());
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kmsg's escapes are all undone; dmesg's only where dmesg writes them.
    #[test]
    fn hex_escapes() {
        assert_eq!(kmsg(b"a\\x0ab\\x5cx41 \\x41"), b"a\nb\\x41 A");
        assert_eq!(&*plain(b"a\\x0ab\\x41\\xff\\x5c\\xzz\\x"), b"a\nb\\x41\xff\\\\xzz\\x");
    }

    /// Octal escapes stand for control characters only: `#100` may be part of a kernel's version line.
    #[test]
    fn octal_escapes() {
        assert_eq!(&*rsyslog(b"a#012b#011c #1 SMP #100 #303#251 #77"), b"a\nb\tc #1 SMP #100 \xc3\xa9 #77");
    }

    /// Colours go, a lone escape character stays.
    #[test]
    fn terminal_sequences() {
        assert_eq!(&*without_terminal_sequences(b"\x1b[32m[  1.0]\x1b[0m x\x1b]0;t\x07y\x1b"), b"[  1.0] xy\x1b");
        assert_eq!(&*without_terminal_sequences(b"\x1b]8;;u\x1b\\link"), b"link");
    }

    /// Each entity is decoded once.
    #[test]
    fn html_entities() {
        assert_eq!(&*html(b"&lt;6&gt; &amp;lt; & &#39;x&#39;"), b"<6> &lt; & 'x'");
    }
}
