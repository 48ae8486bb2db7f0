//! Who grew: the processes and the cgroups below the limit, by what they took in the last seconds and minutes.

use serde::{Deserialize, Serialize};

use crate::evidence::Comm;
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// What grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Who {
    /// One process.
    Process {
        /// Its id.
        pid: u32,
        /// Its name.
        #[serde(flatten)]
        comm: Comm,
    },
    /// A whole cgroup below the limit.
    Cgroup,
}

/// One process or cgroup that grew, with by how much over which time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grower {
    /// What.
    #[serde(flatten)]
    pub who: Who,
    /// The cgroup itself, or that of the process.
    pub cgroup: Untrusted,
    /// It asked for the page.
    pub is_trigger: bool,
    /// It was killed.
    pub is_victim: bool,
    /// Held in the end: without file pages.
    pub held_bytes: Bytes,
    /// Over the last 10 s, 1 min and 10 min, as far as the record goes back.
    pub grown: Vec<Grown>,
}

/// Growth over one stretch of time before the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// The stretch: 10 s, 1 min or 10 min.
    pub over_us: u64,
    /// The reading that it is measured from: of the stretch's beginning, or the first there is.
    pub from_us: BootTime,
    /// By how much; negative where it shrank.
    pub bytes: i64,
}
