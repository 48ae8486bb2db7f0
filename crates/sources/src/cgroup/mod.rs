//! Memory cgroups of this machine: found as they come and go, read through files that stay open, watched for their alarms.
//!
//! Whoever reads a cgroup every second must not open files to do so: open, read and close cost ten times what a read at
//! offset 0 of an open file costs. Once a cgroup is removed, its open files answer `ENODEV` and nothing more can be had of it:
//! what was read last is then [all there is](Error::Gone).

mod alarms;
mod census;
mod error;
mod files;
mod kept_file;
mod limits;
mod peak;
mod place;
mod scratch;
mod tree;

pub use alarms::{Alarm, AlarmKind, Alarms};
pub use census::census;
pub use error::Error;
pub use files::{CgroupFiles, Depth};
pub use limits::limit_on_path;
pub use peak::PeakReset;
pub use place::Hierarchy;
pub use scratch::Scratch;
pub use tree::{Change, Tree};

pub use oomscope_core::formats::cgroup::Version;
