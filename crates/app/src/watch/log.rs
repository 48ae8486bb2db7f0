//! The kernel log, followed.

use oomscope_core::formats::klog::{LogEvent, PATIENCE_MS, Scanner};
use oomscope_core::time::BootTime;
use oomscope_sources::clock::{PrintkClock, since_boot};
use oomscope_sources::kmsg::{Error, KernelLog, Next, stamp};

/// How long the log must be quiet for a report with a kill line to be taken as complete. The lines of one kill are printed
/// under `oom_lock`, microseconds apart; what comes later (the reaper, members of a group) is told as a revision.
const QUIET_US: u64 = 2_000;
/// After this a report without a kill line is complete too. [`Scanner::idle`] decides; it wants to know how long it was.
pub(super) const LONG_QUIET_US: u64 = PATIENCE_MS * 1000;

/// What reading brought.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Complete reports, in order.
    pub(super) events: Vec<LogEvent>,
    /// Losses: how many records, where that is known.
    pub(super) lost: Vec<Option<u64>>,
}

/// Reads records as they come and puts reports together.
#[derive(Debug)]
pub(super) struct Follower {
    log: KernelLog,
    scanner: Scanner,
    clock: PrintkClock,
    /// When the latest record was read, until the quiet after it was told to the scanner as a long one.
    quiet_since: Option<BootTime>,
    told_short: bool,
}

impl Follower {
    /// Starts at the oldest record of the ring: the first [`Follower::read`] brings what happened before.
    pub(super) fn new(log: KernelLog) -> Self {
        Self { log, scanner: Scanner::new(), clock: PrintkClock::default(), quiet_since: None, told_short: false }
    }

    /// For a poll.
    pub(super) const fn log(&self) -> &KernelLog {
        &self.log
    }

    /// The tie between printk's clock and the recorder's.
    pub(super) const fn clock(&self) -> &PrintkClock {
        &self.clock
    }

    /// Reads what the ring holds from before now. A report that is complete by now is among it.
    pub(super) fn read_past(&mut self, news: &mut News) -> Result<(), Error> {
        self.read(false, news)?;
        self.scanner.idle(0, &mut |event| news.events.push(event));
        Ok(())
    }

    /// Reads all there is. `live`: the records come as they are read, and tell how printk's clock stands.
    pub(super) fn read(&mut self, live: bool, news: &mut News) -> Result<(), Error> {
        loop {
            match self.log.next()? {
                Next::Record(record) => {
                    let now = since_boot();
                    if let Some(stamp) = stamp(record).filter(|_| live) {
                        self.clock.observe(stamp, now);
                    }
                    self.scanner.push(record, &mut |event| news.events.push(event));
                    self.quiet_since = Some(now);
                    self.told_short = false;
                }
                Next::Lost(count) => news.lost.push(count),
                Next::End => return Ok(()),
            }
        }
    }

    /// When [`Follower::settle`] is to be called next, if no record comes before.
    pub(super) fn due(&self) -> Option<BootTime> {
        let wait = if self.told_short { LONG_QUIET_US } else { QUIET_US };
        self.quiet_since.map(|since| BootTime(since.0.saturating_add(wait)))
    }

    /// Hands on what is complete after a time of quiet.
    pub(super) fn settle(&mut self, now: BootTime, news: &mut News) {
        let Some(since) = self.quiet_since else { return };
        let quiet = now.0.saturating_sub(since.0);
        if quiet < QUIET_US || (self.told_short && quiet < LONG_QUIET_US) {
            return;
        }
        self.scanner.idle(quiet / 1000, &mut |event| news.events.push(event));
        self.told_short = true;
        if quiet >= LONG_QUIET_US {
            self.quiet_since = None;
        }
    }

    /// Hands on what is complete, without waiting for quiet: programs in the kernel saw the kill, so its line is the report's last.
    pub(super) fn hurry(&mut self, news: &mut News) {
        if self.quiet_since.is_some() {
            self.scanner.idle(0, &mut |event| news.events.push(event));
        }
    }

    /// Hands on what is open, complete or not. Nothing is read after this.
    pub(super) fn finish(&mut self, news: &mut News) {
        self.quiet_since = None;
        self.scanner.finish(&mut |event| news.events.push(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quiet after which a report without its kill line is handed on is as long as the scanner wants it to be.
    #[test]
    fn a_half_report_ends() {
        let mut scanner = Scanner::new();
        scanner.push(
            b"6,1,100,-;tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n",
            &mut |_| {},
        );
        let mut events = 0;
        scanner.idle(QUIET_US / 1000, &mut |_| events += 1);
        assert_eq!(events, 0);
        scanner.idle(LONG_QUIET_US / 1000, &mut |_| events += 1);
        assert_eq!(events, 1);
    }
}
