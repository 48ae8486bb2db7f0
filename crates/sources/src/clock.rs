//! Which boot this is, and when on the wall clock it began.
//!
//! printk stamps records with `local_clock()`, which nothing outside the kernel can read. `CLOCK_MONOTONIC` comes closest:
//! both start with the kernel and stand still while the machine sleeps. They differ by the first fractions of a second of
//! the boot, and by how far NTP has since slewed `CLOCK_MONOTONIC`: at most 500 ppm (43 s a day), ordinarily a few ms an
//! hour. A record from before a sleep is early by the length of that sleep; [`BootAnchor::slept_us`] says how much there
//! was in all. For the same reasons `dmesg -T` warns of its times.

use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use oomscope_core::time::BootTime;
use rustix::time::{ClockId, clock_gettime};

use crate::host_root::HostRoot;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's own facts could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The boot id could not be read.
    #[error("reading {}: {source}", path.display())]
    BootId {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else than a uuid.
    #[error("reading {}: not a boot id", path.display())]
    NotABootId {
        /// The file.
        path: PathBuf,
    },
}

/// The uuid that the kernel drew when it booted, with dashes, in lower case.
///
/// # Errors
/// Where /proc is not mounted, or hides it.
pub fn boot_id(root: &HostRoot) -> Result<String, Error> {
    let path = root.path(BOOT_ID);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::BootId { path: path.clone(), source })?;
    let id = text.trim();
    let is_uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if is_uuid { Ok(id.to_ascii_lowercase()) } else { Err(Error::NotABootId { path }) }
}

/// Ties time since boot to the wall clock. Always of the running kernel: clocks have no [`HostRoot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootAnchor {
    /// What the wall clock would have shown when printk's clock was at zero, had it been set right then and had the
    /// machine never slept.
    pub zero: Timestamp,
    /// How long the machine has slept since it booted, in microseconds: records from before a sleep are that much later
    /// than they really were, at most.
    pub slept_us: u64,
}

impl BootAnchor {
    /// Reads the clocks now. `None` where the wall clock is set outside of all dates.
    #[must_use]
    pub fn now() -> Option<Self> {
        // The wall clock is read between two readings of the other, whose mean is then less than a scheduling delay off.
        let before = read(ClockId::Monotonic);
        let wall = read(ClockId::Realtime);
        let after = read(ClockId::Monotonic);
        let with_sleep = read(ClockId::Boottime);
        let monotonic = before.checked_add(after.checked_sub(before)? / 2)?;
        let zero = Timestamp::from_duration(wall.checked_sub(monotonic)?).ok()?;
        let slept = with_sleep.checked_sub(after)?.as_micros();
        // The two readings are not of one instant: under a millisecond is no sleep.
        let slept_us = u64::try_from(slept).unwrap_or(0);
        Some(Self { zero, slept_us: if slept_us < 1000 { 0 } else { slept_us } })
    }

    /// The wall clock at a printk time, within the errors that the module's head states.
    #[must_use]
    pub fn wall_of(&self, at: BootTime) -> Option<Timestamp> {
        let since_boot = SignedDuration::from_micros(i64::try_from(at.0).ok()?);
        self.zero.checked_add(since_boot).ok()
    }
}

/// `CLOCK_MONOTONIC` now: microseconds since boot, without sleep.
#[must_use]
pub fn since_boot() -> BootTime {
    BootTime(u64::try_from(read(ClockId::Monotonic).as_micros()).unwrap_or(0))
}

/// Ties printk's stamps to `CLOCK_MONOTONIC`, from records that are read as they come.
///
/// A record is read a little after it was stamped, never before: of many, the one with the smallest difference was read most
/// promptly, and its difference is the best estimate of how far the two clocks are apart. The clocks drift (see the module's
/// head), so an estimate is given up for the next after ten minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrintkClock {
    /// `CLOCK_MONOTONIC` less printk's clock, in microseconds, and when that was seen.
    ahead: Option<(i64, BootTime)>,
}

impl PrintkClock {
    /// How long an estimate is good: at 500 ppm the clocks drift 0.3 s in this time.
    const KEPT_US: u64 = 600_000_000;

    /// A record that printk stamped `stamp` was read at `now`, without having waited for its reader.
    pub fn observe(&mut self, stamp: BootTime, now: BootTime) {
        let ahead = signed(now).saturating_sub(signed(stamp));
        let is_better =
            self.ahead.is_none_or(|(known, since)| ahead < known || now.0.saturating_sub(since.0) > Self::KEPT_US);
        if is_better {
            self.ahead = Some((ahead, now));
        }
    }

    /// A printk stamp as `CLOCK_MONOTONIC`. Without any record read yet the clocks are taken to agree.
    #[must_use]
    pub fn to_monotonic(&self, stamp: BootTime) -> BootTime {
        BootTime(stamp.0.saturating_add_signed(self.ahead_us()))
    }

    /// By how many microseconds `CLOCK_MONOTONIC` is ahead of printk's clock; negative where it is behind.
    #[must_use]
    pub fn ahead_us(&self) -> i64 {
        self.ahead.map_or(0, |(ahead, _)| ahead)
    }
}

fn signed(time: BootTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn read(clock: ClockId) -> SignedDuration {
    let time = clock_gettime(clock);
    SignedDuration::new(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This boot has an id, and something that is none is not passed on as one.
    #[test]
    fn boot_ids() {
        assert_eq!(boot_id(&HostRoot::default()).unwrap().len(), 36);
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        assert!(matches!(boot_id(&root), Err(Error::BootId { .. })));
        let file = root.path(BOOT_ID);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "\x1b[31m\n").unwrap();
        assert!(boot_id(&root).unwrap_err().to_string().ends_with("not a boot id"));
    }

    /// The anchor agrees with the boot time in /proc/stat, which has whole seconds and counts sleep.
    #[test]
    fn agrees_with_the_kernel() {
        let anchor = BootAnchor::now().unwrap();
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let btime: i64 = stat.lines().find_map(|l| l.strip_prefix("btime ")).unwrap().parse().unwrap();
        let slept = i64::try_from(anchor.slept_us / 1_000_000).unwrap();
        assert!((anchor.zero.as_second() - slept - btime).abs() <= 2, "{anchor:?} {btime}");
        let five_seconds = anchor.wall_of(BootTime(5_000_000)).unwrap();
        assert_eq!(five_seconds.duration_since(anchor.zero), SignedDuration::from_secs(5));
        assert_eq!(anchor.wall_of(BootTime(u64::MAX)), None);
    }

    /// The record that was read most promptly ties the clocks, until that is long ago.
    #[test]
    fn the_most_prompt_reader_knows_best() {
        let mut clock = PrintkClock::default();
        assert_eq!(clock.to_monotonic(BootTime(5)), BootTime(5));
        clock.observe(BootTime(1_000), BootTime(51_000));
        clock.observe(BootTime(2_000), BootTime(22_000));
        clock.observe(BootTime(3_000), BootTime(63_000));
        assert_eq!(clock.to_monotonic(BootTime(4_000)), BootTime(24_000));
        let later = PrintkClock::KEPT_US + 30_000;
        clock.observe(BootTime(later), BootTime(later + 40_000));
        assert_eq!(clock.ahead_us(), 40_000);
        clock.observe(BootTime(later), BootTime(later - 7));
        assert_eq!((clock.ahead_us(), clock.to_monotonic(BootTime(10))), (-7, BootTime(3)));
    }
}
