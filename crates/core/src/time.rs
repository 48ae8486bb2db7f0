//! When something happened, as exactly as the log says and no more exactly.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

/// Microseconds since the kernel booted, as printk stamps its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

/// The time of a record or an event.
///
/// A dmesg line knows the time since boot; a syslog line knows a local time of an unknown zone (and sometimes no
/// year); a journal entry knows everything. Nothing is made up: what the log did not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// Microseconds since boot.
    pub boot_us: Option<BootTime>,
    /// The instant in UTC, where the log states a zone or an epoch.
    pub wall: Option<Timestamp>,
    /// Date and time of day in the unstated zone of the machine that wrote the log.
    pub wall_local: Option<DateTime>,
}

impl When {
    /// Takes over what `other` knows and `self` does not.
    pub fn fill_from(&mut self, other: &Self) {
        self.boot_us = self.boot_us.or(other.boot_us);
        self.wall = self.wall.or(other.wall);
        self.wall_local = self.wall_local.or(other.wall_local);
    }

    /// True when the log gave no time at all.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.boot_us.is_none() && self.wall.is_none() && self.wall_local.is_none()
    }
}

/// Two units of a length of time given in microseconds: `3 min 20 s`, `2 d 4 h`, `14 ms`.
#[must_use]
pub fn duration(us: u64) -> String {
    let s = us / 1_000_000;
    match s {
        0 => format!("{} ms", us / 1000),
        1..10 => format!("{}.{} s", s, us / 100_000 % 10),
        10..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// The same without a second unit that is zero: `1 min`, `2 h`.
#[must_use]
pub fn span(us: u64) -> String {
    let text = duration(us);
    let short = [" 0 s", " 0 min", " 0 h"].iter().find_map(|zero| text.strip_suffix(zero));
    short.map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round length of time reads as people say it.
    #[test]
    fn round_spans() {
        assert_eq!([60_000_000, 61_000_000, 7_200_000_000, 500_000].map(span), ["1 min", "1 min 1 s", "2 h", "500 ms"]);
    }
}
