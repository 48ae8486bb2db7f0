//! Memory cgroups of this machine.

mod place;
mod scratch;

pub use scratch::{Error, Scratch};

/// Which of the two interfaces the memory controller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `memory.limit_in_bytes` and its like.
    V1,
    /// `memory.max` and its like.
    V2,
}
