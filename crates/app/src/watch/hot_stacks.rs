//! Which code of each cgroup made memory resident in the last minutes, always on: so that an incident that is sealed has it.
//!
//! Kept are addresses, not names: naming them takes tens of milliseconds and is done for the few that an incident shows. What is kept is
//! bounded in number and in time: buckets of some seconds, of which the oldest goes when there is a new one, and each cgroup keeps
//! its heaviest stacks.

use std::collections::{HashMap, VecDeque};

use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use oomscope_sources::stacks::Address;

/// Samples a second and CPU, at most, where nobody asked for a profile: at some 10 µs each a 4000th of a CPU.
pub(crate) const RATE: u32 = 25;
/// One fault in so many, so that a busy node (100,000 faults a second) stays within that rate: a sample stands for 16 MiB.
pub(crate) const PERIOD: u64 = 4096;
/// How long a bucket collects.
const BUCKET_US: u64 = 10_000_000;
/// How many are kept: five minutes.
const BUCKETS: usize = 30;
/// Different stacks of one cgroup in one bucket. Further ones count for the cgroup and are nobody's.
const STACKS_EACH: usize = 64;
/// Different stacks of all cgroups in one bucket: at 127 addresses of 16 bytes, and all buckets full, 62 MiB; ordinary stacks
/// have a fifth of that, and at [`RATE`] a bucket has some hundred.
const STACKS: usize = 1024;

/// A stack and what it made resident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HotStack {
    /// Innermost first; empty for the sum of those that were not kept apart.
    pub(crate) addresses: Vec<Address>,
    /// Whose: the process that had it last.
    pub(crate) pid: u32,
    /// Samples.
    pub(crate) samples: u64,
    /// Made resident: an estimate.
    pub(crate) bytes: Bytes,
}

/// The stacks of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct HotStacks {
    /// The newest last.
    buckets: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    began: BootTime,
    stacks: usize,
    by_cgroup: HashMap<u64, HashMap<Box<[Address]>, Tally>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    pid: u32,
    samples: u64,
    bytes: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.pid = other.pid;
        self.samples = self.samples.saturating_add(other.samples);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl HotStacks {
    /// A sample of a cgroup (the inode of its folder), with what it stands for.
    pub(crate) fn record(&mut self, at: BootTime, cgroup: u64, pid: u32, addresses: &[Address], bytes: Bytes) {
        let is_over = |bucket: &Bucket| at.0.saturating_sub(bucket.began.0) >= BUCKET_US;
        if self.buckets.back().is_none_or(is_over) {
            self.buckets.push_back(Bucket { began: at, stacks: 0, by_cgroup: HashMap::new() });
            self.buckets.drain(..self.buckets.len().saturating_sub(BUCKETS));
        }
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.add(cgroup, addresses, Tally { pid, samples: 1, bytes: bytes.0 });
        }
    }

    /// The heaviest stacks of a cgroup since a time, at most `most`, the heaviest first.
    pub(crate) fn hot(&self, cgroup: u64, since: BootTime, most: usize) -> Vec<HotStack> {
        let mut sums: HashMap<&[Address], Tally> = HashMap::new();
        // A bucket that had begun before may still have what came after.
        let recent = self.buckets.iter().filter(|bucket| bucket.began.0.saturating_add(BUCKET_US) > since.0);
        for (addresses, tally) in recent.filter_map(|bucket| bucket.by_cgroup.get(&cgroup)).flatten() {
            sums.entry(addresses).or_default().add(*tally);
        }
        let mut stacks: Vec<HotStack> = sums
            .into_iter()
            .map(|(addresses, tally)| HotStack {
                addresses: addresses.to_vec(),
                pid: tally.pid,
                samples: tally.samples,
                bytes: Bytes(tally.bytes),
            })
            .collect();
        let place = |stack: &HotStack| stack.addresses.iter().map(|address| address.address).collect::<Vec<_>>();
        stacks.sort_by_cached_key(|stack| (std::cmp::Reverse(stack.bytes), stack.pid, place(stack)));
        stacks.truncate(most);
        stacks
    }

    /// A cgroup is gone, and what its incidents need was taken.
    pub(crate) fn forget(&mut self, cgroup: u64) {
        for bucket in &mut self.buckets {
            let gone = bucket.by_cgroup.remove(&cgroup).map_or(0, |stacks| stacks.len());
            bucket.stacks = bucket.stacks.saturating_sub(gone);
        }
    }
}

impl Bucket {
    fn add(&mut self, cgroup: u64, addresses: &[Address], tally: Tally) {
        let stacks = self.by_cgroup.entry(cgroup).or_default();
        if let Some(known) = stacks.get_mut(addresses) {
            return known.add(tally);
        }
        let is_full = stacks.len() >= STACKS_EACH || self.stacks >= STACKS;
        let kept = if is_full { Box::default() } else { addresses.into() };
        let before = stacks.len();
        stacks.entry(kept).or_default().add(tally);
        self.stacks += stacks.len() - before;
    }
}

#[cfg(test)]
mod tests {
    use oomscope_core::evidence::FoundBy;

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn stack(address: u64) -> Vec<Address> {
        vec![Address { address, found_by: FoundBy::Registers }]
    }

    fn record(hot: &mut HotStacks, second: u64, cgroup: u64, address: u64) {
        hot.record(BootTime(second * SECOND), cgroup, 7, &stack(address), Bytes(1 << 20));
    }

    /// Equal stacks are one, also across buckets; each cgroup has its own; the heaviest comes first.
    #[test]
    fn sums() {
        let mut hot = HotStacks::default();
        for second in 0..40 {
            record(&mut hot, second, 1, 0xa);
            record(&mut hot, second, 2, 0xc);
        }
        record(&mut hot, 39, 1, 0xb);
        let found = hot.hot(1, BootTime(0), 5);
        let shown: Vec<_> = found.iter().map(|stack| (stack.addresses[0].address, stack.samples)).collect();
        assert_eq!(shown, [(0xa, 40), (0xb, 1)]);
        assert_eq!(found[0].bytes, Bytes(40 << 20));
        assert_eq!(hot.hot(1, BootTime(0), 1).len(), 1);
        assert_eq!(hot.hot(1, BootTime(35 * SECOND), 5)[0].samples, 10, "the bucket of seconds 30 to 39");
        hot.forget(1);
        assert!(hot.hot(1, BootTime(0), 5).is_empty() && !hot.hot(2, BootTime(0), 5).is_empty());
    }

    /// A day of ever new stacks of ever new cgroups takes no more than the bounds say, and no sample is lost to its cgroup.
    #[test]
    fn bounded() {
        let mut hot = HotStacks::default();
        for n in 0..20_000 {
            record(&mut hot, n / 100, 1 + n % 3, n);
        }
        assert!(hot.buckets.len() <= BUCKETS);
        let held: usize = hot.buckets.iter().flat_map(|b| b.by_cgroup.values()).map(HashMap::len).sum();
        assert!(held <= BUCKETS * (3 * STACKS_EACH + 3), "{held}");
        let samples: u64 = hot.hot(1, BootTime(199 * SECOND), usize::MAX).iter().map(|stack| stack.samples).sum();
        assert!(samples >= 330, "{samples}");
        for n in 0..5000 {
            record(&mut hot, 100_000, n, n);
        }
        assert_eq!(
            hot.buckets.back().unwrap().stacks,
            5000,
            "one each, of which those beyond the bound are without addresses"
        );
    }
}
