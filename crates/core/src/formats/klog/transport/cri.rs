//! Parts of long lines in CRI container logs: `2024-01-01T00:00:00.123456789Z stdout P text`.
//!
//! containerd and CRI-O split what a container writes after 16 KiB (or where it paused) into parts tagged `P`, the last
//! one `F`. Format: `ContainerLogFormat` of the Kubernetes CRI.

use super::scan::word;
use super::stamp;

/// A line longer than this is given out as far as it has come.
const LONGEST: usize = 256 << 10;

/// Parts of one line, with the head of its first part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pending: Option<(Vec<u8>, u64)>,
}

/// Whether a part is the last of its line, and where its text begins.
fn part(line: &[u8]) -> Option<(bool, usize)> {
    if !line.first()?.is_ascii_digit() {
        return None;
    }
    let (_, rest) = stamp::iso(line)?;
    let rest = rest.strip_prefix(b" stdout ").or_else(|| rest.strip_prefix(b" stderr "))?;
    let (tag, rest) = word(rest);
    let last = match tag.split(|b| *b == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some((last, line.len() - rest.strip_prefix(b" ").unwrap_or(rest).len()))
}

impl Parts {
    /// Takes a line. `None`: it was kept, more of it must come. Else the line, whole, and where it began.
    pub(super) fn feed(&mut self, line: &[u8], number: u64) -> Option<(Vec<u8>, u64)> {
        let part = part(line);
        match (self.pending.take(), part) {
            (None, Some((false, text))) => {
                let mut head = line.get(..text).unwrap_or_default().to_vec();
                if let Some(tag) = head.iter().rposition(|b| *b == b'P').and_then(|at| head.get_mut(at)) {
                    *tag = b'F';
                }
                head.extend_from_slice(line.get(text..).unwrap_or_default());
                self.pending = Some((head, number));
                None
            }
            (Some((mut whole, first)), Some((last, text))) => {
                whole.extend_from_slice(line.get(text..).unwrap_or_default());
                if last || whole.len() > LONGEST {
                    return Some((whole, first));
                }
                self.pending = Some((whole, first));
                None
            }
            (pending, None) => {
                self.pending = pending;
                Some((line.to_vec(), number))
            }
            (None, Some((true, _))) => Some((line.to_vec(), number)),
        }
    }

    /// What has come of an unfinished line.
    pub(super) fn flush(&mut self) -> Option<(Vec<u8>, u64)> {
        self.pending.take()
    }

    /// Whether this line needs looking at.
    pub(super) fn concerns(&self, line: &[u8]) -> bool {
        self.pending.is_some() || part(line).is_some_and(|(last, _)| !last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three parts are one line; a line of its own passes.
    #[test]
    fn parts_are_joined() {
        let mut parts = Parts::default();
        let head = "2024-01-01T00:00:00.123456789Z stdout ";
        assert_eq!(parts.feed(format!("{head}P [1.0] ab").as_bytes(), 1), None);
        assert_eq!(parts.feed(format!("{head}P cd").as_bytes(), 2), None);
        assert_eq!(
            parts.feed(format!("{head}F ef").as_bytes(), 3),
            Some((format!("{head}F [1.0] abcdef").into_bytes(), 1))
        );
        assert!(!parts.concerns(format!("{head}F x").as_bytes()));
    }
}
