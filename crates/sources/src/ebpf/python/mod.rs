//! The Python functions in which the task was that asked for the page that was one too many.
//!
//! They are copied in the instant of the kill, by a program in the kernel that follows them in the dying process. For that it has to be
//! told beforehand where that process keeps them ([`PythonLayouts::set`]): of one that was told too late, nothing comes.

#[cfg(not(feature = "ebpf"))]
mod disabled;
#[cfg(feature = "ebpf")]
mod enabled;

use crate::stacks::interpreters::python::Copied;

#[cfg(not(feature = "ebpf"))]
pub use disabled::{PythonLayouts, Pythons};
#[cfg(feature = "ebpf")]
pub use enabled::{PythonLayouts, Pythons};

/// The Python frames of a task, innermost first: of one kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonStack {
    /// CLOCK_MONOTONIC, nanoseconds: within the kill, which begins earlier and may end later.
    pub at_ns: u64,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its frames; the innermost forty at most.
    pub frames: Vec<Copied>,
}
