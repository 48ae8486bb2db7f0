//! What a sampled fault stands for, in bytes.
//!
//! One fault in N is sampled, so a sample stands for N faults, of a page each. That is wrong where a fault brings more than a page: a
//! huge page (2 MiB), a large folio, a page of a file with those around it. There a process grows faster than its faults say. By how
//! much is known, since each sample comes with the process's resident memory; for whom is known where the sampled page itself is a
//! large one. So what a process grew beyond its faults is kept as its balance and given to its next sample in a large page. A stack that
//! only touches small pages is never blamed for somebody else's huge ones, however few samples meet those.
//!
//! The gaps between the samples of one process vary when several share a CPU; the balance takes that as it comes and never falls below
//! nothing. Memory that is given back between two samples hides as much growth: huge pages that come and go weigh too little then, never
//! too much. What nobody was given is [`Weigher::unattributed`].

use std::collections::HashMap;

use crate::units::Bytes;

/// Where it is not known whether a page is large, growth beyond so many times the faults is taken for it. The gap between two samples
/// of a process is so much longer than the mean one time in 3000.
const SURELY_LARGE: u64 = 8;

/// Weighs the samples of one profile, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Weigher {
    period: u64,
    page_bytes: u64,
    processes: HashMap<u32, Balance>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    /// Resident at the last sample, pages.
    resident: u64,
    /// Grown beyond the faults, pages.
    beyond: u64,
}

impl Weigher {
    /// For one fault in `period`, on a machine with pages of `page_bytes`.
    #[must_use]
    pub fn new(period: u64, page_bytes: u64) -> Self {
        Self { period: period.max(1), page_bytes, processes: HashMap::new() }
    }

    /// Process `pid` has so many pages resident: at the beginning of the profile, or now that it runs another program.
    pub fn begin(&mut self, pid: u32, resident_pages: u64) {
        self.processes.insert(pid, Balance { resident: resident_pages, beyond: 0 });
    }

    /// What a sample stands for. `resident_pages`: of the process; `None` where unknown. `is_large`: whether the page of the fault is
    /// part of a larger one, `None` where unknown; asked only where it matters.
    pub fn weigh(&mut self, pid: u32, resident_pages: Option<u64>, is_large: impl FnOnce() -> Option<bool>) -> Bytes {
        let beyond = resident_pages.map_or(0, |now| self.take_beyond(pid, now, is_large));
        Bytes::from_pages(self.period.saturating_add(beyond), self.page_bytes)
    }

    fn take_beyond(&mut self, pid: u32, now: u64, is_large: impl FnOnce() -> Option<bool>) -> u64 {
        let Some(balance) = self.processes.get_mut(&pid) else {
            self.begin(pid, now);
            return 0;
        };
        let grown = now.saturating_sub(balance.resident);
        balance.resident = now;
        balance.beyond = balance.beyond.saturating_add(grown).saturating_sub(self.period);
        if balance.beyond < self.period {
            return 0;
        }
        let surely = grown >= self.period.saturating_mul(SURELY_LARGE);
        if is_large().unwrap_or(surely) { std::mem::take(&mut balance.beyond) } else { 0 }
    }

    /// What the processes grew beyond their faults and no sample was given.
    #[must_use]
    pub fn unattributed(&self) -> Bytes {
        let pages = self.processes.values().fold(0_u64, |sum, balance| sum.saturating_add(balance.beyond));
        Bytes::from_pages(pages, self.page_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;
    const HUGE: u64 = 512;

    fn pages(bytes: Bytes) -> u64 {
        bytes.0 / PAGE
    }

    /// Small pages: the period, whatever is given back meanwhile.
    #[test]
    fn small_pages() {
        let mut weigher = Weigher::new(1000, PAGE);
        for resident in [1000, 2000, 500, 1500] {
            assert_eq!(pages(weigher.weigh(7, Some(resident), || Some(false))), 1000);
        }
        assert_eq!(weigher.unattributed(), Bytes(0));
        assert_eq!(pages(weigher.weigh(7, None, || None)), 1000);
    }

    /// Huge pages only: every sample stands for what the process grew since the last one.
    #[test]
    fn huge_pages() {
        let mut weigher = Weigher::new(100, PAGE);
        weigher.begin(7, 0);
        for n in 1..=10 {
            assert_eq!(pages(weigher.weigh(7, Some(n * 100 * HUGE), || Some(true))), 100 * HUGE);
        }
        // Where the kernel does not tell, growth that cannot be chance does.
        assert_eq!(pages(weigher.weigh(7, Some(11 * 100 * HUGE), || None)), 100 * HUGE);
    }

    /// One fault in a hundred is huge and makes five sixths of the memory: the samples in huge pages get it, those in small ones do not.
    #[test]
    fn a_few_huge_pages_among_small_ones() {
        let mut weigher = Weigher::new(100, PAGE);
        weigher.begin(7, 0);
        let (mut small, mut large, mut resident) = (0, 0, 0);
        for n in 0..10_000_u64 {
            resident += 99 + HUGE;
            let is_huge = n % 100 == 42;
            let bytes = pages(weigher.weigh(7, Some(resident), || Some(is_huge)));
            *(if is_huge { &mut large } else { &mut small }) += bytes;
        }
        let total = small + large + pages(weigher.unattributed());
        assert_eq!(total, resident);
        assert_eq!(small, 9_900 * 100);
        assert!(large as f64 / resident as f64 > 0.82, "{large} of {resident}");
    }

    /// A process that does not fault while others do has long gaps now and then: they add nothing.
    #[test]
    fn gaps_of_chance() {
        let mut weigher = Weigher::new(100, PAGE);
        let mut resident = 0;
        let mut total = 0;
        for n in 0..1000 {
            resident += if n % 2 == 0 { 20 } else { 180 };
            total += pages(weigher.weigh(7, Some(resident), || None));
        }
        assert_eq!(total, 1000 * 100);
    }
}
