//! Whose limit was reached, by the counters of the cgroups alone.
//!
//! v2 (`memory.events.local`): `oom` rises in the cgroup whose limit was reached, `oom_kill` in the victim's
//! (mm/memcontrol.c, `mem_cgroup_oom()`; mm/oom_kill.c, `__oom_kill_process()`). A rise of `oom_kill` with no `oom` anywhere on the
//! path is an OOM of the machine, or of the memory nodes of a cpuset or of a memory policy. `memory.events` counts with everything
//! below: it remains the ledger of a cgroup that was removed before it could be read again.
//!
//! v1: `oom_kill` (`memory.oom_control`, ≥ 4.13) rises in the victim's cgroup alone, and `failcnt` wherever a charge met the limit, also
//! where reclaim then helped. The limit is that of the one level whose `failcnt` rose; of several, of the one that stands at its limit.

use crate::evidence::{CounterChange, Counters, Events, Gap};
use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

/// What the counters say of the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountedLimit {
    /// That of one cgroup.
    Of {
        /// Its place in the list of counters.
        level: usize,
        /// The kernel counted an OOM there and nowhere else; otherwise it is the best reading.
        sure: bool,
    },
    /// No cgroup's on the whole path: the machine, or some of its memory nodes, ran out.
    NoCgroup,
    /// They do not tell.
    Unknown(Gap),
}

/// What a counter did at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rise {
    By(u64),
    Unknown,
}

impl Rise {
    /// A cgroup that was removed before it could be read again may have counted after its last reading. One that was not yet known before
    /// and has counted nothing has not risen.
    fn of(change: &CounterChange, counter: impl Fn(&Counters) -> Option<u64>) -> Self {
        let after = change.after.as_ref().and_then(&counter);
        match change.rise(&counter) {
            Some(by) if by > 0 || !change.removed => Self::By(by),
            None if change.before.is_none() && after == Some(0) && !change.removed => Self::By(0),
            _ => Self::Unknown,
        }
    }

    const fn is_up(self) -> bool {
        matches!(self, Self::By(by) if by > 0)
    }

    const fn known(self) -> u64 {
        match self {
            Self::By(by) => by,
            Self::Unknown => 0,
        }
    }
}

fn local(event: fn(&Events) -> Option<u64>) -> impl Fn(&Counters) -> Option<u64> {
    move |counters| counters.local.as_ref().and_then(event)
}

fn hierarchical(event: fn(&Events) -> Option<u64>) -> impl Fn(&Counters) -> Option<u64> {
    move |counters| counters.hierarchical.as_ref().and_then(event)
}

/// The levels that can have a limit: all but the root, which has no such files on v2 and never a limit.
fn levels(counters: &[CounterChange]) -> impl DoubleEndedIterator<Item = (usize, &CounterChange)> {
    counters.iter().enumerate().filter(|(_, change)| change.cgroup.as_bytes() != b"/")
}

/// Deepest first, whatever order the list has.
fn deepest_first(counters: &[CounterChange]) -> Vec<(usize, &CounterChange)> {
    let depth = |path: &Untrusted| path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty()).count();
    let mut all: Vec<_> = levels(counters).collect();
    all.sort_by_key(|(_, change)| std::cmp::Reverse(depth(&change.cgroup)));
    all
}

/// True where any reading is of cgroup v1.
fn is_v1(counters: &[CounterChange]) -> bool {
    counters.iter().flat_map(|change| [&change.before, &change.after]).flatten().any(|c| c.failcnt.is_some())
}

/// Whose limit was reached.
#[must_use]
pub fn limit(counters: &[CounterChange]) -> CountedLimit {
    let levels = deepest_first(counters);
    if levels.is_empty() {
        return unknown("the counters of the cgroups were not read");
    }
    if is_v1(counters) { limit_v1(&levels) } else { limit_v2(&levels) }
}

fn unknown(why: &str) -> CountedLimit {
    CountedLimit::Unknown(Gap::new("level of the limit, by the counters", why))
}

fn limit_v2(levels: &[(usize, &CounterChange)]) -> CountedLimit {
    let own: Vec<Rise> = levels.iter().map(|(_, change)| Rise::of(change, local(|e| e.oom))).collect();
    let below: Vec<Rise> = levels.iter().map(|(_, change)| Rise::of(change, hierarchical(|e| e.oom))).collect();
    let risen: Vec<usize> = (0..levels.len()).filter(|&at| own.get(at).is_some_and(|rise| rise.is_up())).collect();
    if let Some(&deepest) = risen.first() {
        return of(levels, deepest, risen.len() == 1);
    }
    // No level of its own: the deepest whose subtree counted one, or the one below it that could not be read again.
    let Some(ledger) = (0..levels.len()).find(|&at| below.get(at).is_some_and(|rise| rise.is_up())) else {
        let known = (0..levels.len()).all(|at| [&own, &below].iter().any(|rises| rises.get(at) == Some(&Rise::By(0))));
        return if known {
            CountedLimit::NoCgroup
        } else {
            unknown("some levels of the path could not be read before and after the kill")
        };
    };
    if own.get(ledger) == Some(&Rise::Unknown) {
        return of(levels, ledger, false);
    }
    let mut unread = (0..ledger).filter(|&at| own.get(at) == Some(&Rise::Unknown));
    match (unread.next(), unread.next()) {
        (Some(only), None) => of(levels, only, false),
        _ => unknown("the limit was one below the cgroups that could be read"),
    }
}

fn limit_v1(levels: &[(usize, &CounterChange)]) -> CountedLimit {
    let met = |change: &CounterChange| [Rise::of(change, |c| c.failcnt), Rise::of(change, |c| c.memory_swap_failcnt)];
    let rises: Vec<[Rise; 2]> = levels.iter().map(|(_, change)| met(change)).collect();
    let risen: Vec<usize> =
        (0..levels.len()).filter(|&at| rises.get(at).is_some_and(|r| r.iter().any(|r| r.is_up()))).collect();
    if let [only] = risen.as_slice() {
        return of(levels, *only, false);
    }
    if risen.is_empty() {
        let mut full = (0..levels.len()).filter(|&at| levels.get(at).is_some_and(|(_, c)| is_at_uncounted_limit(c)));
        match (full.next(), full.next()) {
            (Some(only), None) => return of(levels, only, false),
            (Some(_), Some(_)) => return unknown("several levels stand at limits that this kernel does not count"),
            (None, _) => {}
        }
        // Memory and swap together are not counted where the kernel does not account swap.
        let known = rises.iter().all(|[memory, _]| *memory == Rise::By(0));
        return if known {
            CountedLimit::NoCgroup
        } else {
            unknown("some levels of the path could not be read before and after the kill")
        };
    }
    let mut full = risen.iter().filter(|&&at| levels.get(at).is_some_and(|(_, change)| is_at_limit(change)));
    match (full.next(), full.next()) {
        (Some(only), None) => of(levels, *only, false),
        _ => unknown("charges met the limits of several levels, and failcnt does not say at which reclaim failed"),
    }
}

fn is_at_limit(change: &CounterChange) -> bool {
    is_at(change, change.limits.max_bytes)
}

/// v1's limit of memory and swap together is charged before that of memory. Newer kernels do not count the charges that met it:
/// seen on 6.18 with both limits alike, where neither `failcnt` rises. Without swap in use, usage shows it.
fn is_at_uncounted_limit(change: &CounterChange) -> bool {
    is_at(change, change.limits.memory_swap_max_bytes)
}

/// The kernel charges in batches of 64 pages a CPU, so a little less than the limit is at it.
fn is_at(change: &CounterChange, limit: Option<Limit>) -> bool {
    const SLACK: u64 = 64 * 4096;
    let Some((Bytes(usage), Limit::At(Bytes(limit)))) = change.usage_bytes.zip(limit) else { return false };
    usage.saturating_add(SLACK.max(limit / 100)) >= limit
}

fn of(levels: &[(usize, &CounterChange)], at: usize, sure: bool) -> CountedLimit {
    levels.get(at).map_or_else(
        || unknown("the counters of the cgroups were not read"),
        |(level, _)| CountedLimit::Of { level: *level, sure },
    )
}

/// Whether a charge met this level's limit in the end: reclaim failed there (v2), or at least it was met (v1). `None` where that is
/// not known.
#[must_use]
pub fn met_limit(change: &CounterChange) -> Option<bool> {
    let rises = if is_v1(std::slice::from_ref(change)) {
        [Rise::of(change, |c| c.failcnt), Rise::of(change, |c| c.memory_swap_failcnt)]
    } else {
        [Rise::of(change, local(|e| e.oom)); 2]
    };
    match rises {
        [one, other] if one.is_up() || other.is_up() => Some(true),
        [Rise::By(_), _] if !is_at_uncounted_limit(change) => Some(false),
        _ => None,
    }
}

/// How many processes the kernel counted as killed at one level, not below it; `None` where that is not known.
#[must_use]
pub fn kills_in(change: &CounterChange) -> Option<u64> {
    match Rise::of(change, local(|e| e.oom_kill)) {
        Rise::By(kills) => Some(kills),
        Rise::Unknown => None,
    }
}

/// How many processes the counters say were killed: those of the levels, or of everything below one of them.
#[must_use]
pub fn kills(counters: &[CounterChange]) -> u64 {
    let own = counters.iter().map(|change| Rise::of(change, local(|e| e.oom_kill)).known()).sum::<u64>();
    let below = counters.iter().map(|change| Rise::of(change, hierarchical(|e| e.oom_kill)).known()).max();
    own.max(below.unwrap_or(0))
}

/// The cgroup in which a process was killed: the deepest that counted one of its own.
#[must_use]
pub fn victim_cgroup(counters: &[CounterChange]) -> Option<Untrusted> {
    let mut levels = deepest_first(counters).into_iter();
    levels.find(|(_, change)| Rise::of(change, local(|e| e.oom_kill)).is_up()).map(|(_, c)| c.cgroup.clone())
}

/// The counters of one level that rose by themselves, not with those below it.
pub fn rises(change: &CounterChange) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let all = [
        ("oom", Rise::of(change, local(|e| e.oom))),
        ("oom_kill", Rise::of(change, local(|e| e.oom_kill))),
        ("failcnt", Rise::of(change, |c| c.failcnt)),
        ("memsw.failcnt", Rise::of(change, |c| c.memory_swap_failcnt)),
    ];
    all.into_iter().filter(|(_, rise)| rise.is_up()).map(|(name, rise)| (name, rise.known()))
}
