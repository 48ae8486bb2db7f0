//! The little that must be remembered beyond one report.

use std::collections::VecDeque;

use crate::formats::klog::record::Record;
use crate::time::BootTime;

/// The kernel lets ten reports through in five seconds, all cgroups together (`oom_kill_process()` with
/// `DEFAULT_RATELIMIT_BURST`, `DEFAULT_RATELIMIT_INTERVAL`), and of the rest only the kill line.
const RATE_LIMIT: (usize, u64) = (10, 5_000_000);

/// What happened just before.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Reports that the kernel said it suppressed, not yet told of.
    pub(super) suppressed: u64,
    headers: VecDeque<BootTime>,
    any_victim: bool,
    last: Option<(BootTime, Vec<u8>)>,
}

impl Recent {
    /// The same text with the same stamp again: a log that two daemons wrote to.
    pub(super) fn is_repetition_of_last(&mut self, record: &Record) -> bool {
        let Some(at) = record.when.boot_us else { return false };
        if self.last.as_ref().is_some_and(|(t, text)| *t == at && *text == record.text && record.seq.is_none()) {
            return true;
        }
        self.last = Some((at, record.text.clone()));
        false
    }

    /// A whole report began.
    pub(super) fn header(&mut self, at: Option<BootTime>) {
        if let Some(at) = at {
            self.headers.push_back(at);
            if self.headers.len() > RATE_LIMIT.0 {
                self.headers.pop_front();
            }
        }
    }

    /// The kernel's rate limit explains a kill line without a report at this time.
    pub(super) fn rate_limit_reached(&self, at: Option<BootTime>) -> bool {
        let (Some(at), Some(tenth)) = (at, self.headers.front()) else { return false };
        self.headers.len() == RATE_LIMIT.0 && at >= *tenth && at.0 - tenth.0 <= RATE_LIMIT.1
    }

    /// A process died.
    pub(super) fn victim(&mut self) {
        self.any_victim = true;
    }

    /// Somebody was killed before in this log. The reaper is slow, names threads and processes that shared memory with the
    /// victim, and is never the only one to tell of a kill, except at the very beginning of a log.
    pub(super) fn knows_victims(&self) -> bool {
        self.any_victim
    }
}
