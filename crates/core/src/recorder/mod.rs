//! Station 3 of the path: the flight recorder. The last minutes of every cgroup, bounded in bytes, finer when it gets hot.
//!
//! What is recorded is a [`Sample`]; what comes out on a kill is a [`Timeline`](crate::incident::timeline::Timeline).

mod chunk;
#[expect(clippy::module_inception, reason = "the folder and its chief type share the name")]
mod recorder;
mod sample;

pub use recorder::{Budget, CgroupKey, Recorder};
pub use sample::{Sample, Series};
