//! Quoted-printable mail text (RFC 2045 §6.7): `=3D` for `=`, and lines broken after 76 columns with a `=` at the end.
//!
//! Archives and `git am`-ready mails keep it. No log line says that it is encoded so, and a process name may look like an
//! escape; so a stream counts as encoded only once it has said so in a mail header, or has escapes behind two of the
//! kernel's own keys, which is more than a name can hold.

use std::borrow::Cow;

use memchr::memchr;

/// The encoding allows 76 columns, encoders fill them nearly.
const BROKEN_LINE: std::ops::RangeInclusive<usize> = 70..=76;

/// No message is put together from more than this.
const LONGEST: usize = 16 << 10;

/// What one stream has shown.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    known: bool,
    /// A line that was broken, without its `=`, and where it began.
    broken: Option<(Vec<u8>, u64)>,
}

/// What became of a line.
pub(super) enum Fed<'a> {
    /// A whole line, decoded where that was called for, and the number of its first line.
    Line(Cow<'a, [u8]>, u64),
    /// It goes on with the next line.
    Broken,
    /// It did not go on after all: here is the line from before. The new one must be fed again.
    Before(Vec<u8>, u64),
}

impl QuotedPrintable {
    /// Takes a line; `begins` tells whether a line begins with a log's prefix, so that it continues none.
    pub(super) fn feed<'a>(&mut self, line: &'a [u8], number: u64, begins: impl Fn(&[u8]) -> bool) -> Fed<'a> {
        let (whole, first) = match self.broken.take() {
            None => (Cow::Borrowed(line), number),
            Some((before, first)) if !self.known && begins(line) => {
                return Fed::Before(self.broken_off(before), first);
            }
            Some((mut before, first)) => {
                before.extend_from_slice(line);
                (Cow::Owned(before), first)
            }
        };
        if let Some(content) = whole.strip_suffix(b"=")
            && (self.known || BROKEN_LINE.contains(&line.len()))
            && content.len() < LONGEST
            && is_well_formed(content)
        {
            self.broken = Some((content.to_vec(), first));
            return Fed::Broken;
        }
        self.known |= is_evidence(&whole);
        if self.known && is_well_formed(&whole) {
            return Fed::Line(decode(whole), first);
        }
        Fed::Line(whole, first)
    }

    /// The line that did not go on: the end of the input.
    pub(super) fn flush(&mut self) -> Option<(Vec<u8>, u64)> {
        let (line, first) = self.broken.take()?;
        Some((self.broken_off(line), first))
    }

    /// A line that ends in the `=` that was taken off it.
    fn broken_off(&mut self, mut line: Vec<u8>) -> Vec<u8> {
        self.known |= is_evidence(&line);
        if self.known {
            return decode(Cow::Owned(line)).into_owned();
        }
        line.push(b'=');
        line
    }
}

/// Every `=` begins an escape; the last one may have been cut.
fn is_well_formed(line: &[u8]) -> bool {
    let mut escapes = line.split(|b| *b == b'=').skip(1).peekable();
    while let Some(after) = escapes.next() {
        let cut = escapes.peek().is_none() && matches!(after, [] | [b'0'..=b'9' | b'A'..=b'F']);
        if !cut && escaped_byte(after).is_none() {
            return false;
        }
    }
    true
}

fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit =
        |at: usize| digits.get(at).filter(|d| !d.is_ascii_lowercase()).and_then(|d| char::from(*d).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A mail header, or two keys of the kernel's that are followed by an encoded `=`.
fn is_evidence(line: &[u8]) -> bool {
    const KEYS: [&[u8]; 10] = [
        b"gfp_mask=3D",
        b"order=3D",
        b"oom_score_adj=3D",
        b"constraint=3D",
        b"nodemask=3D",
        b"cpuset=3D",
        b"mems_allowed=3D",
        b"oom_memcg=3D",
        b"task_memcg=3D",
        b"uid=3D",
    ];
    const HEADER: &[u8] = b"Content-Transfer-Encoding: quoted-printable";
    if memchr::memmem::find(line, b"=3D").is_none() {
        return line.eq_ignore_ascii_case(HEADER);
    }
    KEYS.iter().filter(|key| memchr::memmem::find(line, key).is_some()).take(2).count() == 2
}

/// A blank that must not break a line stands for a blank: mail programs write it where several follow each other.
fn decode(line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    const HARD_BLANK: &[u8] = b"=C2=A0";
    if memchr(b'=', &line).is_none() {
        return line;
    }
    let mut out = Vec::with_capacity(line.len());
    let mut rest = &line[..];
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(HARD_BLANK) {
            out.push(b' ');
            rest = after;
        } else if let Some(decoded) = escaped_byte(after).filter(|_| *byte == b'=') {
            out.push(decoded);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[&str]) -> Vec<(String, u64)> {
        let mut encoding = QuotedPrintable::default();
        let mut out = Vec::new();
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        for (line, number) in input.iter().zip(1..) {
            loop {
                match encoding.feed(line.as_bytes(), number, |line| line.starts_with(b"[")) {
                    Fed::Line(line, first) => out.push((text(&line), first)),
                    Fed::Broken => {}
                    Fed::Before(line, first) => {
                        out.push((text(&line), first));
                        continue;
                    }
                }
                break;
            }
        }
        out.extend(encoding.flush().map(|(line, first)| (text(&line), first)));
        out
    }

    /// A header line, broken in two, is put together and decoded; so is all that follows.
    #[test]
    fn evidence_and_soft_line_breaks() {
        let read = lines(&[
            "[49717.294138] ip invoked oom-killer: gfp_mask=3D0xc2cc0(GFP_KERNEL|__GFP_N=",
            "OWARN|__GFP_COMP|__GFP_NOMEMALLOC), order=3D3, oom_score_adj=3D0",
            "a=C2=A0b=",
            "c=20",
        ]);
        let header = "[49717.294138] ip invoked oom-killer: gfp_mask=0xc2cc0(GFP_KERNEL|__GFP_NOWARN|__GFP_COMP|__GFP_NOMEMALLOC), order=3, oom_score_adj=0";
        assert_eq!(read, [(header.to_owned(), 1), ("a bc ".to_owned(), 3)]);
    }

    /// A name that looks like an escape is a name, also where the stream is encoded; a line that ends in `=` and does not
    /// go on stays.
    #[test]
    fn names_are_not_decoded() {
        let kill = "[1.0] Killed process 12 (uid=3D) total-vm:1kB";
        let header = "[1.0] =3Dx invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=996";
        let ends_so = format!("[1.0] {}=", "x".repeat(65));
        for line in [kill, header, &ends_so] {
            assert_eq!(lines(&[line, "[2.0] y"]), [(line.to_owned(), 1), ("[2.0] y".to_owned(), 2)]);
        }
    }
}
