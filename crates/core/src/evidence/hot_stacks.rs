//! The code that made memory resident before a kill, by sampled page faults.
//!
//! A page is made resident where it is first touched, which is where the program that holds it was, not where the limit happened to be
//! crossed. What was given back since is counted too: the samples tell who took memory, not who kept it.

use serde::{Deserialize, Serialize};

use super::Frame;
use super::kernel_report::{Comm, optional_comm};
use crate::time::BootTime;
use crate::units::Bytes;

/// What was sampled in the domain of one kill, in the minutes before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotStacks {
    /// The first instant that the samples are of, on the clock of the incident's own `at.boot_us`.
    pub from_us: BootTime,
    /// The last.
    pub to_us: BootTime,
    /// All that the samples stand for, those of stacks that are not listed too.
    pub sampled_bytes: Bytes,
    /// Most bytes first.
    pub stacks: Vec<HotStack>,
}

/// Memory that was made resident from one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotStack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// What its samples stand for.
    pub bytes: Bytes,
    /// The process, where they are of one.
    pub pid: Option<u32>,
    /// Its name.
    #[serde(flatten, with = "optional_comm")]
    pub comm: Option<Comm>,
}
