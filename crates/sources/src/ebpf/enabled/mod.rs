//! The build with eBPF.

mod context;
mod faults;
mod kills;
mod stack;

pub use faults::Faults;
pub use kills::Kills;
