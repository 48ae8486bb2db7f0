//! How long to wait, for answers and between tries.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The feed's time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest wait for an answer, and for the beginning of a watch.
    pub patience: Duration,
    /// Wait after a first failure; doubles with each.
    pub first_wait: Duration,
    /// Longest wait between tries, unless a server asks for more.
    pub longest_wait: Duration,
    /// The longest that one watch lasts. The API server begins each anew anyway, after 5 to 10 min (a random share of it is taken off,
    /// so that the nodes of a cluster do not come back together).
    pub watch: Duration,
    /// How often the kubelet's pods are read while the API server is away.
    pub kubelet_pods: Duration,
    /// How often the kubelet's configuration is read.
    pub kubelet_config: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(15),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            watch: Duration::from_secs(300),
            kubelet_pods: Duration::from_secs(10),
            kubelet_config: Duration::from_secs(600),
        }
    }
}

/// Waits that grow with every failure in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now: the server's wish where it has one and that is sane, else twice as long as last time; up to half of it is
    /// taken off at random.
    pub(super) fn failed(&mut self, wish: Option<Duration>) -> Duration {
        const LONGEST_WISH: Duration = Duration::from_secs(120);
        let factor = 1_u32 << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        let own = shortened(self.pace.first_wait.saturating_mul(factor).min(self.pace.longest_wait), 50);
        wish.map_or(own, |wish| wish.min(LONGEST_WISH).max(own))
    }
}

/// Less by a random share, `percent` at most.
pub(super) fn shortened(duration: Duration, percent: u32) -> Duration {
    // Keys of the standard hasher are random for each thread and differ with each use: enough for spreading load.
    let random = RandomState::new().hash_one(0) % 1024;
    duration - duration.mul_f64(f64::from(percent) / 100.0 * random as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles up to its limit, never below half, obeys the server, and begins anew after a success.
    #[test]
    fn waits() {
        let pace = Pace::default();
        let mut backoff = Backoff::new(pace);
        for full in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = backoff.failed(None);
            let full = Duration::from_secs(full);
            assert!(wait <= full && wait >= full / 2, "{wait:?} of {full:?}");
        }
        backoff.succeeded();
        assert_eq!(backoff.failed(Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.failed(Some(Duration::MAX)), Duration::from_secs(120));
        for _ in 0..5000 {
            let _ = backoff.failed(None);
        }
    }
}
