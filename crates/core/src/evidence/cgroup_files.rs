//! What the files of one cgroup say, v1 and v2 in the same terms.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

/// The limits of one cgroup. `None`: no such file on this machine, or not readable; [`Limit::Unlimited`] is written `"max"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `memory.max`, v1 `memory.limit_in_bytes`.
    pub max_bytes: Option<Limit>,
    /// `memory.high`; v2 only.
    pub high_bytes: Option<Limit>,
    /// `memory.low`, v1 `memory.soft_limit_in_bytes` (which protects in much the same way).
    pub low_bytes: Option<Limit>,
    /// `memory.min`; v2 only.
    pub min_bytes: Option<Limit>,
    /// `memory.swap.max`; v2 only.
    pub swap_max_bytes: Option<Limit>,
    /// `memory.memsw.limit_in_bytes`: memory and swap together; v1 only.
    pub memory_swap_max_bytes: Option<Limit>,
    /// `memory.oom.group`; v2 only.
    pub oom_group: Option<bool>,
    /// v1 `memory.oom_control`: `oom_kill_disable`.
    pub oom_kill_disable: Option<bool>,
}

/// `memory.events` or `memory.events.local` (v2). `None`: this kernel does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Reclaimed although protected by `memory.low`.
    pub low: Option<u64>,
    /// Throttled at `memory.high`.
    pub high: Option<u64>,
    /// A charge met the limit.
    pub max: Option<u64>,
    /// Reclaim failed at this cgroup's limit.
    pub oom: Option<u64>,
    /// Processes killed by any OOM killer.
    pub oom_kill: Option<u64>,
    /// Whole-group kills (≥ 5.17).
    pub oom_group_kill: Option<u64>,
}

/// Every counter of one cgroup that rises with a kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// This cgroup's own: `memory.events.local` (≥ 5.2). On v1 `oom_kill` of `memory.oom_control` (≥ 4.13), which counts
    /// the cgroup of the victim alone.
    pub local: Option<Events>,
    /// With everything below: `memory.events`; v2 only (before 5.2 the file counts the cgroup alone, and stands in `local`).
    pub hierarchical: Option<Events>,
    /// v1 `memory.failcnt`: charges that met this cgroup's limit.
    pub failcnt: Option<u64>,
    /// v1 `memory.memsw.failcnt`.
    pub memory_swap_failcnt: Option<u64>,
}

/// The counters of one level of a cgroup path, before and after a kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterChange {
    /// The cgroup, as the kernel's log calls it.
    pub cgroup: Untrusted,
    /// The latest reading before the kill; `None` where the cgroup was not yet known.
    pub before: Option<Counters>,
    /// The first reading after it, or the last one before the cgroup was removed.
    pub after: Option<Counters>,
    /// The most that was seen charged to it in the moments around the kill.
    pub usage_bytes: Option<Bytes>,
    /// The limits then.
    pub limits: Limits,
    /// The cgroup was gone before it could be read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl CounterChange {
    /// By how much a counter rose; `None` where either reading lacks it. A counter never falls while the cgroup lives; where
    /// it did, another cgroup has taken the name, and nothing can be said.
    #[must_use]
    pub fn rise(&self, counter: impl Fn(&Counters) -> Option<u64>) -> Option<u64> {
        let before = self.before.as_ref().and_then(&counter)?;
        self.after.as_ref().and_then(&counter)?.checked_sub(before)
    }
}
