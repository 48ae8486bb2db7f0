//! Programs that outgrow their memory in a known function: what the stacks of a kill, and a profile, are measured by.
//!
//! One for each language, in each variant that changes how its stack can be read ([`Kind`]). [`build`] compiles it with what this
//! machine has; [`Hog`] runs it, also out of sight of this machine's files.

mod build;
mod kind;
mod run;
mod told;
mod watch;

pub use build::{Program, Unbuilt, build};
pub use kind::{Function, Kind, Language};
pub use run::{Hog, Place, Task};
pub use told::{functions, own};
pub use watch::Watch;
