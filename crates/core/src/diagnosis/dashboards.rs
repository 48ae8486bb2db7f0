//! What the dashboards saw: the same minutes through the eyes of a scraper that looks every 10, 15 or 30 s.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// What scrapers can have shown of one cgroup up to the kill, beside what there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboards {
    /// Whose memory: that of the limit, or the victim's where no cgroup's limit was reached.
    pub cgroup: Untrusted,
    /// Its limit; `null` where it has none.
    pub limit_bytes: Option<Bytes>,
    /// The first row that was compared.
    pub from_us: BootTime,
    /// The kill.
    pub to_us: BootTime,
    /// What there was.
    pub peak: Peak,
    /// By interval: 10, 15, 30 s.
    pub scrapers: Vec<Scraper>,
}

/// The highest charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// How much.
    pub bytes: Bytes,
    /// It happened at this instant or before it …
    pub at_us: BootTime,
    /// … but not before this one.
    pub not_before_us: BootTime,
    /// The kernel's own maximum, or the limit itself, which nothing exceeds. Otherwise the highest of the samples: what happened between two
    /// of them may have been higher.
    pub exact: bool,
    /// From nine tenths of the peak on, charged memory counts as being at the peak. So long it was, at least …
    pub lasted_at_least_us: u64,
    /// … and at most: the readings around it are as far apart as that.
    pub lasted_at_most_us: u64,
}

/// What a scraper of one interval shows, depending on when its first look falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scraper {
    /// Microseconds between two looks.
    pub interval_us: u64,
    /// Charged memory, `container_memory_usage_bytes`.
    pub usage: Seen,
    /// Charged memory without page cache; the least that `container_memory_working_set_bytes` shows, which leaves out only inactive
    /// cache. `null` where the cache was not recorded.
    pub working_set: Option<Seen>,
}

/// The highest value in any look up to the kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// At the least fortunate instants; `null` where a scraper may not have looked at all.
    pub lowest_bytes: Option<Bytes>,
    /// At the most fortunate ones.
    pub highest_bytes: Bytes,
    /// How long before the kill the last look is that shows the lowest: others precede it by multiples of the interval.
    pub lowest_last_look_us: u64,
    /// What the last look before the kill showed, at its lowest.
    pub last_lowest_bytes: Option<Bytes>,
    /// And at its highest.
    pub last_highest_bytes: Bytes,
}
