//! Which code made memory resident in the last minutes, of every cgroup: page faults, sampled all the time.
//!
//! One fault in some thousand is looked at, so this costs a busy machine a fraction of a percent. Stacks are followed at once, because the
//! process may be gone later, and named only when a kill asks for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oomscope_core::evidence::Gap;
use oomscope_core::profile::Weigher;
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use oomscope_sources::ebpf::{FaultConfig, FaultFilter, FaultSample, Faults};
use oomscope_sources::process::{PageFlags, Proc, after_others};
use oomscope_sources::stacks::{Address, Unwinder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::spaces::Spaces;

/// One fault in so many: 16 MiB of pages of 4 KiB.
const PERIOD: u64 = 4096;
/// How much of a stack is copied: some 30 calls.
const STACK_BYTES: u32 = 4 << 10;
/// Samples a second and CPU, at most.
const RATE: u32 = 25;
/// How long a bucket of samples is.
const BUCKET_US: u64 = 10_000_000;
/// How far back is remembered.
const KEPT_US: u64 = 300_000_000;
/// Different stacks in one bucket; what comes after them counts as memory whose code is not known.
const STACKS: usize = 32;
/// Different stacks in all, of some 500 bytes each; the oldest buckets go first.
const ALL_STACKS: usize = 8192;
/// Stacks that are told of one kill.
const TOLD: usize = 12;
/// The samples are looked after this often.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// What is remembered, shared with the thread that samples. That one ends when this is dropped.
#[derive(Debug)]
pub(super) struct HotStacks(Arc<Mutex<Kept>>);

/// A stack that made memory resident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hot {
    pub(super) pid: u32,
    /// The thread's name when it was sampled last.
    pub(super) comm: Vec<u8>,
    /// Innermost first.
    pub(super) stack: Box<[Address]>,
    pub(super) bytes: Bytes,
}

/// Of some cgroups, in some minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hottest {
    /// The first and the last sampled moment.
    pub(super) span: Option<(BootTime, BootTime)>,
    /// Of all stacks.
    pub(super) sampled: Bytes,
    /// Most first, the first few.
    pub(super) stacks: Vec<Hot>,
}

impl HotStacks {
    /// Loads the sampler and starts its thread. `cgroup`: only of this one (inode) and below.
    ///
    /// # Errors
    /// Why there are no samples.
    pub(super) fn start(cgroup: Option<u64>, proc: Proc, spaces: Spaces) -> Result<Self, Gap> {
        let filter = cgroup.map_or(FaultFilter::All, |id| FaultFilter::Cgroups(vec![id]));
        let faults = Faults::start(&FaultConfig { period: PERIOD, stack_bytes: STACK_BYTES, rate: RATE, filter })?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let sampling = Sampling {
            faults,
            spaces,
            flags: proc.page_flags(),
            proc,
            unwinder: Unwinder::default(),
            weigher: Weigher::new(PERIOD, rustix::param::page_size() as u64),
        };
        let weak = Arc::downgrade(&kept);
        let run = move || sampling.run(&|| weak.upgrade());
        let started = std::thread::Builder::new().name("faults".into()).spawn(run);
        started.map_err(|error| Gap::new("samples of page faults", format!("starting a thread: {error}")))?;
        Ok(Self(kept))
    }

    /// Of cgroups that `is_wanted` by their inodes, up to a moment.
    pub(super) fn hottest(&self, is_wanted: impl Fn(u64) -> bool, until: BootTime) -> Hottest {
        lock(&self.0).hottest(is_wanted, until)
    }
}

struct Sampling {
    faults: Faults,
    spaces: Spaces,
    proc: Proc,
    flags: Option<PageFlags>,
    unwinder: Unwinder,
    weigher: Weigher,
}

impl Sampling {
    /// Until nobody keeps what it finds.
    fn run(mut self, kept: &dyn Fn() -> Option<Arc<Mutex<Kept>>>) {
        let _ = after_others();
        while let Some(kept) = kept() {
            let mut samples = Vec::new();
            self.faults.drain(&mut |sample| samples.push(sample));
            for sample in samples {
                self.take(&sample, &kept);
            }
            drop(kept);
            let mut fds = [PollFd::from_borrowed_fd(self.faults.as_fd(), PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&LOOK)), Ok(_) | Err(rustix::io::Errno::INTR)) {
                return;
            }
        }
    }

    fn take(&mut self, sample: &FaultSample, kept: &Mutex<Kept>) {
        let Some(cgroup) = sample.cgroup_id else { return };
        self.spaces.keep(sample.pid, sample.at);
        let space = self.spaces.known(sample.pid);
        let stack = space.map(|space| self.unwinder.unwind(&space, &sample.stack).addresses).unwrap_or_default();
        let (proc, flags) = (&self.proc, self.flags.as_ref());
        let is_large = || proc.page_map(sample.pid).ok()?.is_large(sample.address, flags?);
        let bytes = self.weigher.weigh(sample.pid, Some(sample.rss_pages), is_large);
        let hot = Hot { pid: sample.pid, comm: sample.comm.clone(), stack: stack.into(), bytes };
        lock(kept).add(cgroup, sample.at, hot);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By cgroup, oldest first.
#[derive(Debug, Default)]
struct Kept {
    cgroups: HashMap<u64, VecDeque<Bucket>>,
    /// How many there are in all.
    stacks: usize,
}

/// What was sampled in one cgroup within [`BUCKET_US`].
#[derive(Debug)]
struct Bucket {
    since: BootTime,
    last: BootTime,
    sampled: Bytes,
    stacks: HashMap<Place, Taken>,
}

/// Of a process, innermost call first.
type Place = (u32, Box<[Address]>);

/// What was made resident from one place.
#[derive(Clone, Debug, Default)]
struct Taken {
    comm: Vec<u8>,
    bytes: Bytes,
}

impl Kept {
    fn add(&mut self, cgroup: u64, at: BootTime, hot: Hot) {
        self.forget(at);
        let buckets = self.cgroups.entry(cgroup).or_default();
        if buckets.back().is_none_or(|bucket| at.0.saturating_sub(bucket.since.0) >= BUCKET_US) {
            buckets.push_back(Bucket { since: at, last: at, sampled: Bytes(0), stacks: HashMap::new() });
        }
        let Some(bucket) = buckets.back_mut() else { return };
        bucket.last = bucket.last.max(at);
        bucket.sampled = Bytes(bucket.sampled.0.saturating_add(hot.bytes.0));
        let is_full = bucket.stacks.len() >= STACKS;
        let key = (hot.pid, hot.stack);
        if hot.bytes.0 == 0 || (is_full && !bucket.stacks.contains_key(&key)) {
            return;
        }
        let before = bucket.stacks.len();
        let taken = bucket.stacks.entry(key).or_default();
        *taken = Taken { comm: hot.comm, bytes: Bytes(taken.bytes.0.saturating_add(hot.bytes.0)) };
        self.stacks += bucket.stacks.len() - before;
    }

    /// What is too old, and the oldest where there is too much.
    fn forget(&mut self, now: BootTime) {
        let oldest = |cgroups: &HashMap<u64, VecDeque<Bucket>>| {
            cgroups.iter().filter_map(|(id, buckets)| Some((buckets.front()?.since, *id))).min()
        };
        while let Some((since, id)) = oldest(&self.cgroups) {
            if self.stacks < ALL_STACKS && now.0.saturating_sub(since.0) <= KEPT_US {
                return;
            }
            let Some(buckets) = self.cgroups.get_mut(&id) else { return };
            self.stacks -= buckets.pop_front().map_or(0, |bucket| bucket.stacks.len());
            if buckets.is_empty() {
                self.cgroups.remove(&id);
            }
        }
    }

    fn hottest(&self, is_wanted: impl Fn(u64) -> bool, until: BootTime) -> Hottest {
        let mut all: HashMap<&Place, Taken> = HashMap::new();
        let mut hottest = Hottest::default();
        let wanted = self.cgroups.iter().filter(|(id, _)| is_wanted(**id)).flat_map(|(_, buckets)| buckets);
        for bucket in wanted.filter(|bucket| bucket.since <= until && until.0 - bucket.since.0 <= KEPT_US) {
            let (from, to) = hottest.span.unwrap_or((bucket.since, bucket.last));
            hottest.span = Some((from.min(bucket.since), to.max(bucket.last)));
            hottest.sampled = Bytes(hottest.sampled.0.saturating_add(bucket.sampled.0));
            for (place, taken) in &bucket.stacks {
                let sum = all.entry(place).or_default();
                *sum = Taken { comm: taken.comm.clone(), bytes: Bytes(sum.bytes.0.saturating_add(taken.bytes.0)) };
            }
        }
        let hot = all.into_iter().filter(|((_, stack), _)| !stack.is_empty());
        let mut stacks: Vec<Hot> = hot
            .map(|((pid, stack), Taken { comm, bytes })| Hot { pid: *pid, comm, stack: stack.clone(), bytes })
            .collect();
        stacks.sort_by_key(|hot| (std::cmp::Reverse(hot.bytes), hot.pid, hot.stack.first().map(|at| at.address)));
        stacks.truncate(TOLD);
        hottest.stacks = stacks;
        hottest
    }
}

#[cfg(test)]
mod tests {
    use oomscope_core::evidence::FoundBy;

    use super::*;

    fn hot(pid: u32, address: u64, bytes: u64) -> Hot {
        let stack = [Address { address, found_by: FoundBy::Registers }];
        Hot { pid, comm: b"shop".to_vec(), stack: stack.into(), bytes: Bytes(bytes) }
    }

    const SECOND: u64 = 1_000_000;

    /// Samples of one stack are added up over time and cgroups, those of other cgroups and of later moments are left out.
    #[test]
    fn the_hottest_come_first() {
        let mut kept = Kept::default();
        for n in 0..60 {
            kept.add(7, BootTime(n * SECOND), hot(1, 0x10, 100));
            kept.add(8, BootTime(n * SECOND), hot(1, 0x20, 300));
            kept.add(9, BootTime(n * SECOND), hot(1, 0x30, 1000));
        }
        let hottest = kept.hottest(|id| id != 9, BootTime(59 * SECOND));
        let told: Vec<_> = hottest.stacks.iter().map(|hot| (hot.stack[0].address, hot.bytes.0)).collect();
        assert_eq!(told, [(0x20, 18_000), (0x10, 6_000)]);
        assert_eq!(hottest.span, Some((BootTime(0), BootTime(59 * SECOND))));
        assert_eq!(hottest.sampled, Bytes(24_000));
    }

    /// However many stacks there are, what is kept of them is bounded, and their memory is still counted; what is old is forgotten.
    #[test]
    fn bounded() {
        let mut kept = Kept::default();
        for n in 0..20_000_u64 {
            kept.add(n % 100, BootTime(n * SECOND / 100), hot(1, n, 4096));
            assert!(kept.stacks <= ALL_STACKS);
        }
        let now = BootTime(200 * SECOND);
        assert!(kept.hottest(|_| true, now).stacks.len() <= TOLD);
        kept.add(7, BootTime(now.0 + 2 * KEPT_US), hot(2, 1, 4096));
        assert_eq!((kept.cgroups.len(), kept.stacks), (1, 1));
        assert_eq!(kept.hottest(|_| true, now).stacks, []);
    }

    /// More different stacks than a bucket holds: the rest is memory of unknown code, not forgotten.
    #[test]
    fn too_many_stacks_in_a_moment() {
        let mut kept = Kept::default();
        for n in 0..100 {
            kept.add(7, BootTime(1), hot(1, n, 10));
        }
        assert_eq!((kept.stacks, kept.hottest(|_| true, BootTime(1)).sampled), (STACKS, Bytes(1000)));
    }
}
