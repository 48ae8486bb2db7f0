//! Interpreters: their programs' functions are not on the native stack, but in objects of their own.
//!
//! Where such objects lie is worked out once for a process, while it lives ([`python::Layout`]). At a kill the program in the kernel
//! follows them in the dying process; of a living one they are read from /proc/PID/mem.

mod merge;
pub mod python;

pub use merge::merge;
