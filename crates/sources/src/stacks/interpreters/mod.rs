//! Interpreters: their programs' functions are not on the native stack, but in objects of their own.
//!
//! Where such objects lie is worked out once for a process, while it lives ([`python::Layout`]). At a kill the program in the kernel
//! follows them in the dying process; of a living one they are read from /proc/PID/mem.

mod merge;
pub mod python;

use crate::process::Proc;
use crate::stacks::Space;

pub use merge::merge;

/// An interpreter whose frames can be followed in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// CPython.
    Python(python::Layout),
}

/// Which interpreter a living process is; `None` where it is none, or none that is known. By the names of what is mapped: a program
/// that contains CPython and is called otherwise is not recognised. Takes about a millisecond where there is something to find.
#[must_use]
pub fn recognise(proc: &Proc, space: &Space) -> Option<Interpreter> {
    let may_be_python = |mapping: &&super::Mapping| space.file(mapping).is_some_and(python::may_be);
    let mut candidates = space.mappings().iter().filter(may_be_python).peekable();
    // Only then is its memory opened.
    candidates.peek()?;
    let memory = proc.memory(space.pid()).ok()?;
    candidates.find_map(|mapping| python::layout(space, mapping, &memory)).map(Interpreter::Python)
}
