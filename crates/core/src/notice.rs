//! What a watcher tells as it happens, and is not a case: the limit reached and nobody killed, a stall, lost records.

use crate::text::{Untrusted, escape};
use crate::time::When;
use crate::units::{Bytes, Limit};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// A kill may follow, or evidence was lost.
    Warning,
    /// Somebody was killed.
    Critical,
}

/// One thing that a watcher saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it was seen.
    pub at: When,
    /// Whose.
    pub cgroup: Option<Untrusted>,
    /// What.
    pub event: Event,
}

/// The kinds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A cgroup was made, or was there when watching began.
    Appeared {
        /// The smallest limit that applies to it.
        limit: Limit,
    },
    /// A cgroup was removed.
    Vanished,
    /// Charges met the limit and reclaim made room each time: nobody was killed.
    LimitHit {
        /// How often since it was last told.
        times: u64,
        /// Charged now.
        usage: Option<Bytes>,
        /// What of it cannot be reclaimed without swap; `None` where the statistics were not read.
        unreclaimable: Option<Bytes>,
        /// Its own limit.
        limit: Limit,
    },
    /// Its tasks were made to wait because it is above `memory.high`.
    Throttled {
        /// How often since it was last told.
        times: u64,
        /// `memory.high`.
        high: Limit,
    },
    /// The kernel's ring was overwritten faster than it was read.
    RecordsLost {
        /// How many records; `None` where nothing was read before.
        count: Option<u64>,
    },
    /// Somebody set the wall clock.
    ClockStepped {
        /// By how much, in milliseconds; negative is back.
        by_ms: i64,
    },
    /// The machine has counted more kills (`oom_kill` of /proc/vmstat) than the log has told of.
    KillsUntold {
        /// How many more.
        count: u64,
    },
}

impl Notice {
    /// A limit that is met by page cache alone is every busy container's ordinary state; one that is met by memory which
    /// cannot be reclaimed is the state before a kill.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.event {
            Event::KillsUntold { .. } => Severity::Critical,
            Event::LimitHit { limit: Limit::At(limit), unreclaimable: Some(held), .. }
                if held.share_of(*limit) < 0.9 =>
            {
                Severity::Info
            }
            Event::LimitHit { .. } | Event::Throttled { .. } | Event::RecordsLost { .. } => Severity::Warning,
            Event::Appeared { .. } | Event::Vanished | Event::ClockStepped { .. } => Severity::Info,
        }
    }
}

impl std::fmt::Display for Notice {
    /// One line without its time, safe for a terminal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(cgroup) = &self.cgroup {
            write!(f, "{}: ", escape(cgroup.as_bytes()))?;
        }
        match &self.event {
            Event::Appeared { limit: Limit::Unlimited } => f.write_str("watched, no limit"),
            Event::Appeared { limit } => write!(f, "watched, limit {limit}"),
            Event::Vanished => f.write_str("removed"),
            Event::LimitHit { times, usage, unreclaimable, limit } => {
                write!(f, "limit of {limit} met {}, nobody killed", times_in_words(*times))?;
                match (usage, unreclaimable) {
                    (Some(usage), Some(held)) => write!(f, "; {usage} in use, {held} of it not reclaimable"),
                    (Some(usage), None) => write!(f, "; {usage} in use"),
                    _ => Ok(()),
                }
            }
            Event::Throttled { times, high } => {
                write!(f, "throttled at memory.high ({high}) {}", times_in_words(*times))
            }
            Event::RecordsLost { count: Some(count) } => {
                write!(f, "kernel log: {count} records were overwritten before they could be read")
            }
            Event::RecordsLost { count: None } => {
                f.write_str("kernel log: records were overwritten before they could be read")
            }
            Event::ClockStepped { by_ms } => write!(f, "the wall clock was set by {:+.3} s", *by_ms as f64 / 1000.0),
            Event::KillsUntold { count } => write!(
                f,
                "the kernel has counted {count} more OOM kill{} than its log has told of (oom_kill in /proc/vmstat)",
                if *count == 1 { "" } else { "s" }
            ),
        }
    }
}

fn times_in_words(times: u64) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(event: Event) -> Notice {
        Notice { at: When::default(), cgroup: Some("/a\x1b[31m".into()), event }
    }

    /// Cache at the limit is no warning, held memory at the limit is, and names cannot colour a terminal.
    #[test]
    fn cache_is_harmless() {
        let hit = |held: u64| {
            notice(Event::LimitHit {
                times: 3,
                usage: Some(Bytes(48 << 20)),
                unreclaimable: Some(Bytes(held << 20)),
                limit: Limit::At(Bytes(48 << 20)),
            })
        };
        assert_eq!(hit(10).severity(), Severity::Info);
        assert_eq!(hit(47).severity(), Severity::Warning);
        let text = hit(47).to_string();
        assert!(
            text.ends_with("limit of 48 MiB met 3 times, nobody killed; 48 MiB in use, 47 MiB of it not reclaimable"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }
}
