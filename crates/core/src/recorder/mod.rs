//! Station 3 of the path: the flight recorder. The last minutes of every cgroup, bounded in bytes, finer when it gets hot.
//!
//! What is recorded is a [`Sample`]; what comes out on a kill is a [`Timeline`](crate::incident::timeline::Timeline).
//! [`Heat`] says when to read next; [`Recorder`] keeps what was read.

mod block;
mod flight;
mod heat;
mod ring;
mod sample;
mod thin;
mod tracks;

pub use flight::{Budget, CgroupKey, Recorder, Statistics};
pub use heat::{Heat, Pace};
pub use sample::{Sample, Series};
