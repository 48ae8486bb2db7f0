//! What happened before in the same input: the memory that makes "again" and "the fourth time" possible.

use serde::{Deserialize, Serialize};

use crate::time::BootTime;

/// Earlier OOM events of the same limit cgroup (or of the machine), in the same input, oldest forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    /// How many earlier events hit the very same cgroup's limit.
    pub same_cgroup: u32,
    /// How many earlier events hit the same pod (container ids differ from restart to restart), this cgroup included.
    pub same_pod: u32,
    /// How many of those had a victim of the same name.
    pub same_victim_name: u32,
    /// How many events of any cgroup stood in the input within the 60 s before this one.
    pub any_within_minute: u32,
    /// Of the first event counted in `same_pod` or `same_cgroup`.
    pub first_at: Option<BootTime>,
    /// Of the latest event before this one, counted in the same way.
    pub previous_at: Option<BootTime>,
    /// The limit in force at that latest event, to tell whether somebody raised it since.
    pub previous_limit_bytes: Option<u64>,
}
