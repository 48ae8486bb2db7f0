//! CPython's strings (PEP 393): one, two or four bytes a character.

/// The characters of a string, or the beginning of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// `PyASCIIObject.state`.
    pub state: u32,
    /// Characters that it has.
    pub length: usize,
    /// Those that were copied.
    pub data: Vec<u8>,
}

impl Text {
    /// Bytes of one character; `None` where the state is not that of a string with its characters behind its head.
    #[must_use]
    pub const fn width(state: u32) -> Option<usize> {
        // Of the lowest bits: two of `interned`, three of `kind`, then `compact` and `ascii` (Include/cpython/unicodeobject.h).
        match (state >> 2 & 7, state >> 5 & 1) {
            (kind @ (1 | 2 | 4), 1) => Some(kind as usize),
            _ => None,
        }
    }

    /// Whether the short head of ASCII strings stands before the characters.
    #[must_use]
    pub const fn is_ascii(state: u32) -> bool {
        state >> 6 & 1 == 1
    }

    /// What it says; `…` stands for what was not copied.
    #[must_use]
    pub fn decode(&self) -> String {
        let width = Self::width(self.state).unwrap_or(1);
        let code_points = self
            .data
            .chunks_exact(width)
            .map(|bytes| bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte)));
        let mut text: String =
            code_points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        if self.data.len() / width < self.length {
            text.push('…');
        }
        text
    }
}
