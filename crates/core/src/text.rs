//! Text that someone else chose: process names, cgroup paths, whole log lines.
//!
//! A process may call itself anything up to 15 bytes, a delegated cgroup anything up to 255 bytes a level. Both
//! may hold terminal escapes, right-to-left marks, newlines and bytes that are no UTF-8. The exact bytes are kept
//! here; [`escape`] is the one door through which they reach a person.

use std::borrow::Cow;
use std::fmt;

use bstr::{BString, ByteSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes chosen by somebody else, kept exactly.
///
/// Serialises as a string, decoded leniently as UTF-8 (the exact bytes of a [`comm`](crate::evidence::Task::comm) that
/// is not UTF-8 stand beside it as `comm_hex`). `Display` escapes, so that formatting one is always safe.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Untrusted(pub BString);

impl Untrusted {
    /// The exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Lenient UTF-8, *not* escaped: for comparing and for JSON, never for a terminal.
    #[must_use]
    pub fn to_lossy(&self) -> Cow<'_, str> {
        self.0.to_str_lossy()
    }

    /// Lower-case hex of the bytes, when they are not UTF-8 and the string form therefore lost something.
    #[must_use]
    pub fn hex_unless_utf8(&self) -> Option<String> {
        if self.0.to_str().is_ok() {
            return None;
        }
        Some(self.0.iter().map(|b| format!("{b:02x}")).collect())
    }
}

impl From<&[u8]> for Untrusted {
    fn from(bytes: &[u8]) -> Self {
        Self(BString::from(bytes))
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(BString::from(text))
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_bstr(), f)
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.as_bytes()))
    }
}

impl Serialize for Untrusted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_lossy())
    }
}

impl<'de> Deserialize<'de> for Untrusted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(BString::from(String::deserialize(deserializer)?)))
    }
}

/// Makes bytes safe to show on a terminal or in a text file, without losing what they were.
///
/// Control characters, including newline and escape, become `\n`, `\x1b` and the like; bytes that are no UTF-8 become
/// `\xNN`; characters that change the direction or the shape of the text around them (bidirectional controls,
/// zero-width characters, tags, line and paragraph separators) become `\u{…}`. A backslash becomes `\\`, so that the
/// escapes cannot be forged.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\\' => out.push_str("\\\\"),
                c if c.is_ascii_control() => {
                    let _ = write!(out, "\\x{:02x}", c as u32);
                }
                c if acts_on_its_surroundings(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", c as u32);
                }
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

/// A name as it stands in a sentence: escaped, and in quotes where it could be mistaken for the text around it.
#[must_use]
pub fn name_in_text(bytes: &[u8]) -> String {
    let shown = escape(bytes);
    let is_plain = |c: char| c.is_alphanumeric() || "._-+/:@~[]".contains(c);
    if !shown.is_empty() && shown.chars().all(is_plain) { shown } else { format!("\"{shown}\"") }
}

/// True for control characters and for those that are invisible or change the text beside them: what [`escape`] escapes
/// besides the backslash.
#[must_use]
pub fn acts_on_its_surroundings(c: char) -> bool {
    c.is_control() || changes_its_surroundings(c)
}

/// Characters that are invisible or that re-order, join or break the text beside them.
/// Unicode: Bidi_Control, Default_Ignorable_Code_Point (those in use), line and paragraph separators, interlinear
/// annotations, private-use and tag characters.
const fn changes_its_surroundings(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No name can move the cursor, colour the screen, start a line or turn the text around.
    #[test]
    fn nothing_that_acts_on_a_terminal_survives() {
        assert_eq!(escape(b"\x1b[31mred\x07"), "\\x1b[31mred\\x07");
        assert_eq!(escape(b"x\ny: z\t\\"), "x\\ny: z\\t\\\\");
        assert_eq!(escape("a\u{202e}b\u{9b}c".as_bytes()), "a\\u{202e}b\\u{9b}c");
        assert_eq!(escape(b"\xff\xfe\x80bad"), "\\xff\\xfe\\x80bad");
        assert_eq!(escape("é日本語".as_bytes()), "é日本語");
    }

    /// A name that reads like the sentence around it is quoted.
    #[test]
    fn names_in_a_sentence() {
        assert_eq!(name_in_text(b"java"), "java");
        assert_eq!(name_in_text(b"x,pid=1,uid=0"), "\"x,pid=1,uid=0\"");
        assert_eq!(name_in_text(b""), "\"\"");
    }

    /// `comm_hex` appears exactly when the string form lost something.
    #[test]
    fn hex_only_where_utf8_fails() {
        assert_eq!(Untrusted::from("java").hex_unless_utf8(), None);
        assert_eq!(Untrusted::from(&b"\xffa"[..]).hex_unless_utf8().as_deref(), Some("ff61"));
    }
}
