//! CPython: the functions of the Python program, each with file and line.
//!
//! ```text
//! Space ─recognise─▶ Layout ─walk (here) or the program in the kernel─▶ Copied ─▶ Frame
//! ```
//!
//! Supported are 3.8 to 3.14 with the interpreter lock, whether linked statically or as libpython. Code objects are data of the
//! process: nothing in them is believed beyond its bounds.

mod debug_offsets;
mod layout;
mod lines;
mod process;
mod text;
mod walk;

use oomscope_core::evidence::{FoundBy, Frame, Language, NamedBy};

pub use layout::{Entry, Instruction, Layout, LineTable, Offsets};
pub use process::ProcessMemory;
pub(super) use process::{layout, may_be};
pub use text::Text;
pub use walk::{Memory, Thread, walk};

/// One frame as copied from the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The function.
    pub name: Option<Text>,
    /// The source file.
    pub file: Option<Text>,
    /// The function's first line.
    pub first_line: u32,
    /// Its line table, or the beginning of it.
    pub line_table: Vec<u8>,
    /// Address of its code object.
    pub code: u64,
    /// Where in the code it is, as the frame says it: see [`Instruction`].
    pub place: u64,
    /// The interpreter's C function was called for this frame; frames before it, up to the one before with this mark, run in the same.
    pub entry: bool,
}

impl Copied {
    /// As a frame of a stack.
    #[must_use]
    pub fn frame(&self, layout: &Layout) -> Frame {
        let offsets = &layout.offsets;
        let at = offsets.instruction.bytes(self.code, self.place);
        let line = at.and_then(|at| lines::line(offsets.lines, &self.line_table, self.first_line, at));
        Frame {
            function: self.name.as_ref().map(Text::decode),
            file: self.file.as_ref().map(Text::decode),
            line,
            language: Some(Language::Python),
            found_by: FoundBy::Interpreter,
            named_by: self.name.is_some().then_some(NamedBy::Interpreter),
            ..Frame::default()
        }
    }
}

#[cfg(test)]
mod tests;
