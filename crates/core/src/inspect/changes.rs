//! How a single thing changed between two looks.

use serde::{Deserialize, Serialize};

use crate::evidence::Comm;
use crate::text::Untrusted;
use crate::units::Bytes;

pub(super) const US_PER_MINUTE: f64 = 60e6;

/// A length of time in microseconds; `None` where the looks have no clock in common.
pub(super) type Elapsed = Option<u64>;

/// Whether two looks are of the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuity {
    /// The same cgroup, with at least one process that was there both times, or without processes.
    #[default]
    Same,
    /// The same cgroup, but none of its processes was there before.
    ProcessesReplaced,
    /// A cgroup of the same name that was made anew: the container was restarted.
    CgroupReplaced,
    /// The machine has booted in between.
    Rebooted,
    /// Two different cgroups.
    OtherCgroup,
}

/// A size, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of what.
    pub name: Untrusted,
    /// Before; 0 where there was none of it.
    pub before_bytes: Bytes,
    /// After.
    pub after_bytes: Bytes,
    /// By how much it grew.
    pub change_bytes: i64,
    /// That per minute.
    pub per_minute_bytes: Option<i64>,
}

impl Change {
    /// With the difference and the rate worked out.
    #[must_use]
    pub(super) fn new(name: Untrusted, before: Bytes, after: Bytes, elapsed: Elapsed) -> Self {
        let change_bytes = difference(before.0, after.0);
        let per_minute_bytes = per_minute(change_bytes, elapsed).map(|rate| rate.round() as i64);
        Self { name, before_bytes: before, after_bytes: after, change_bytes, per_minute_bytes }
    }
}

/// A number, before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountChange {
    /// Of what.
    pub kind: String,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// By how many it grew.
    pub change: i64,
    /// That per minute.
    pub per_minute: Option<f64>,
}

/// When a limit is met at the present pace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The target's own limit.
    pub limit_bytes: Bytes,
    /// Until memory that cannot be taken back fills it, in microseconds from the second look.
    pub until_limit_us: u64,
}

/// A process that was there both times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessChange {
    /// In the PID namespace of the reader.
    pub pid: u32,
    /// Its name, the second time.
    #[serde(flatten)]
    pub comm: Comm,
    /// What `before_bytes` and `after_bytes` are: `pss`, or `rss` where PSS is not known of both looks.
    pub measure: String,
    /// Before.
    pub before_bytes: Bytes,
    /// After.
    pub after_bytes: Bytes,
    /// By how much it grew.
    pub change_bytes: i64,
    /// That per minute.
    pub per_minute_bytes: Option<i64>,
    /// By how much what it has swapped out grew.
    pub swap_change_bytes: Option<i64>,
    /// By how many its threads grew.
    pub threads_change: Option<i64>,
    /// By how many its open files grew.
    pub fds_change: Option<i64>,
    /// Of its largest mappings the one that grew most.
    pub segment: Option<SegmentGrowth>,
}

/// A mapping that grew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentGrowth {
    /// Its name.
    pub name: Untrusted,
    /// By how much.
    pub change_bytes: i64,
}

/// A process that was there once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessBrief {
    /// In the PID namespace of the reader.
    pub pid: u32,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Its arguments.
    pub cmdline: Option<Untrusted>,
    /// PSS, else what was resident.
    pub share_bytes: Option<Bytes>,
}

/// Of numbers from a file that somebody may have edited: saturates.
pub(super) fn difference(before: u64, after: u64) -> i64 {
    let difference = i128::from(after) - i128::from(before);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn per_minute(change: i64, elapsed: Elapsed) -> Option<f64> {
    elapsed.filter(|us| *us > 0).map(|us| change as f64 / us as f64 * US_PER_MINUTE)
}
