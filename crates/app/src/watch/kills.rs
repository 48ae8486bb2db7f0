//! Kills: the kernel's report and what the counters say, brought together; and kills that have no report.
//!
//! A report comes first or a counter does: the counter rises microseconds before the kill line is printed, the line is read some
//! milliseconds later, or never, where the ring was overwritten. A counted kill therefore waits for its report, and
//! becomes a case of its own when none comes. A report becomes a case at once, and a better one a second later if more
//! has been seen by then.

use std::collections::HashMap;

use oomscope_core::evidence::Victim;
use oomscope_core::formats::klog::LogEvent;
use oomscope_core::incident::Incident;
use oomscope_core::time::BootTime;
use oomscope_sources::ebpf::KillId;

use super::contexts::{SAME_US, Sighting};

/// A report is awaited this long after its kill was counted. The reader of the log was never seen more than 64 ms late; a
/// slow serial console holds up printk for seconds. A report without its kill line, which is given up then, must come first.
pub(super) const PATIENCE_US: u64 = super::log::LONG_QUIET_US + 1_000_000;
/// After this a case is looked at again.
pub(super) const SETTLE_US: u64 = 1_000_000;
/// Names of stacks are awaited so much longer: the symbols of a large program take a second.
const NAMING_US: u64 = 30_000_000;
/// Members of a group are killed, and told of, within this time of the first.
const GROUP_US: u64 = 500_000;

/// A report that was made a case, and may become a better one.
#[derive(Debug)]
pub(super) struct Open {
    /// The report as it was read, grown by what came after it.
    pub(super) event: LogEvent,
    /// When it happened, on the recorder's clock.
    pub(super) at: BootTime,
    /// When it is looked at again.
    due: BootTime,
    /// As it was told last.
    pub(super) incident: Incident,
    pub(super) revision: u32,
    /// What programs in the kernel saw of it.
    pub(super) sightings: Vec<Sighting>,
}

impl Open {
    fn is_being_named(&self) -> bool {
        self.sightings.iter().any(|sighting| sighting.naming > 0)
    }
}

/// The kills of one cgroup: how many were counted, how many told.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    counted: u64,
    told: u64,
    /// Since when more are counted than told.
    waiting_since: Option<BootTime>,
    /// Since when more are told than counted.
    surplus_since: Option<BootTime>,
}

/// Kills that the log did not tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Untold {
    /// The victims' cgroup.
    pub(super) key: u64,
    /// How many.
    pub(super) count: u64,
    /// When the counter was seen to have risen.
    pub(super) at: BootTime,
}

/// All that is open.
#[derive(Debug, Default)]
pub(super) struct Kills {
    open: Vec<Open>,
    accounts: HashMap<u64, Account>,
    /// Kills told of in lines that name no cgroup, and when; each explains one that was counted somewhere.
    unplaced: Vec<(BootTime, u64)>,
}

impl Kills {
    /// A report was made a case.
    pub(super) fn told(
        &mut self,
        event: LogEvent,
        at: BootTime,
        now: BootTime,
        incident: Incident,
        sightings: Vec<Sighting>,
    ) {
        let due = BootTime(now.0.saturating_add(SETTLE_US));
        self.open.push(Open { event, at, due, incident, revision: 1, sightings });
    }

    /// Stacks of one that is open are being named.
    pub(super) fn awaits_names(&self) -> bool {
        self.open.iter().any(Open::is_being_named)
    }

    /// What a program in the kernel saw of a kill that was told.
    pub(super) fn sighting(&mut self, id: KillId) -> Option<&mut Sighting> {
        self.open.iter_mut().flat_map(|open| &mut open.sightings).find(|sighting| sighting.id == id)
    }

    /// Adds what was seen of a kill that was told without it; given back where no such kill is open.
    pub(super) fn add_sighting(&mut self, sighting: Sighting) -> Option<Sighting> {
        let victim = sighting.context.victim.pid;
        let is_of_it = |open: &&mut Open| {
            open.at.0.abs_diff(sighting.context.at.0) <= SAME_US
                && open.event.report.victims.iter().any(|known| known.pid == victim)
        };
        match self.open.iter_mut().rev().find(is_of_it) {
            Some(open) => {
                open.sightings.push(sighting);
                None
            }
            None => Some(sighting),
        }
    }

    /// The log told of `victims` in the cgroup.
    pub(super) fn count_told(&mut self, key: u64, victims: u64, now: BootTime) {
        let account = self.accounts.entry(key).or_default();
        account.told = account.told.saturating_add(victims);
        // The log is telling: what it has not come to yet may follow.
        account.waiting_since = account.waiting_since.map(|_| now);
        account.settle(now);
    }

    /// The log told of `victims` of which the cgroup is not known.
    pub(super) fn count_unplaced(&mut self, victims: u64, now: BootTime) {
        self.unplaced.push((now, victims));
    }

    /// The counter of the cgroup rose by `kills`.
    pub(super) fn count(&mut self, key: u64, kills: u64, now: BootTime) {
        let account = self.accounts.entry(key).or_default();
        account.counted = account.counted.saturating_add(kills);
        account.waiting_since.get_or_insert(now);
        account.settle(now);
    }

    /// The cgroup with a kill that was counted since then and not told yet, where there is exactly one.
    pub(super) fn only_one_waiting(&self, since: BootTime) -> Option<u64> {
        let mut waiting = self.accounts.iter().filter(|(_, account)| account.is_waiting(since));
        waiting.next().map(|(key, _)| *key).filter(|_| waiting.next().is_none())
    }

    /// True where a kill was counted in this cgroup since then and not told yet.
    pub(super) fn is_waiting(&self, key: u64, since: BootTime) -> bool {
        self.accounts.get(&key).is_some_and(|account| account.is_waiting(since))
    }

    /// Kills that were counted and not told in time. They count as told from now on. `now`: when the log had nothing more to
    /// tell; what was printed since may still tell of them.
    pub(super) fn untold(&mut self, now: BootTime) -> Vec<Untold> {
        let is_late = |since: BootTime| now.0.saturating_sub(since.0) >= PATIENCE_US;
        for account in self.accounts.values_mut() {
            // Killed before its cgroup was read for the first time: the counter will not rise for it any more.
            if account.surplus_since.take_if(|since| is_late(*since)).is_some() {
                account.told = account.told.min(account.counted);
            }
        }
        let unplaced = &mut self.unplaced;
        unplaced.retain(|(told, _)| now.0.saturating_sub(told.0) < 2 * PATIENCE_US);
        let late = self.accounts.iter_mut().filter_map(|(key, account)| {
            let at = account.waiting_since.take_if(|since| is_late(*since))?;
            let mut count = account.counted.saturating_sub(account.told);
            account.told = account.counted;
            // Told of, by a line that names no cgroup.
            for (_, victims) in unplaced.iter_mut() {
                let here = count.min(*victims);
                (count, *victims) = (count - here, *victims - here);
            }
            (count > 0).then_some(Untold { key: *key, count, at })
        });
        let mut late: Vec<Untold> = late.collect();
        late.sort_unstable_by_key(|untold| (untold.at, untold.key));
        late
    }

    /// Forgets the accounts of cgroups that are forgotten.
    pub(super) fn tidy(&mut self, is_known: impl Fn(u64) -> bool) {
        self.accounts.retain(|key, _| is_known(*key));
    }

    /// Cases that are to be looked at again now.
    pub(super) fn settled(&mut self, now: BootTime) -> Vec<Open> {
        let is_done = |open: &mut Open| {
            let waits = open.is_being_named() && now.0.saturating_sub(open.due.0) < NAMING_US;
            open.due <= now && !waits
        };
        self.open.extract_if(.., is_done).collect()
    }

    /// Everything that is open, at the end.
    pub(super) fn drain(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.open)
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Option<BootTime> {
        let waiting = self.accounts.values().filter_map(|account| account.waiting_since);
        let late = waiting.map(|since| BootTime(since.0.saturating_add(PATIENCE_US)));
        // One whose stacks are being named is looked at when they are.
        let settling = self.open.iter().filter(|open| !open.is_being_named()).map(|open| open.due);
        settling.chain(late).min()
    }

    /// A report that is only the rest of one that is open: members of a group that died after the first. It is taken in, and
    /// the case it belongs to is told again.
    pub(super) fn take_in(&mut self, late: &LogEvent, at: BootTime) -> bool {
        if late.report.extent.header || late.report.victims.is_empty() {
            return false;
        }
        let found = self.open.iter_mut().rev().find(|open| {
            at.0.saturating_sub(open.at.0) <= GROUP_US
                && late.report.victim_cgroup.is_some()
                && (late.report.group_kill == Some(true) || open.event.report.group_kill == Some(true))
                && is_same_cgroup(&open.event, late)
        });
        let Some(open) = found else { return false };
        let report = &mut open.event.report;
        report.group_kill = Some(true);
        let known: Vec<u32> = report.victims.iter().map(|victim| victim.pid).collect();
        let new: Vec<Victim> = late.report.victims.iter().filter(|v| !known.contains(&v.pid)).cloned().collect();
        report.victims.extend(new);
        true
    }
}

impl Account {
    fn is_waiting(&self, since: BootTime) -> bool {
        self.counted > self.told && self.waiting_since.is_some_and(|counted| counted >= since)
    }

    fn settle(&mut self, now: BootTime) {
        if self.told >= self.counted {
            self.waiting_since = None;
        }
        self.surplus_since = (self.told > self.counted).then(|| self.surplus_since.unwrap_or(now));
    }
}

/// Nothing that both say of a cgroup differs.
fn is_same_cgroup(one: &LogEvent, other: &LogEvent) -> bool {
    let paths = [
        (&one.report.limit_cgroup, &other.report.limit_cgroup),
        (&one.report.victim_cgroup, &other.report.victim_cgroup),
    ];
    paths.into_iter().all(|(one, other)| one.as_ref().zip(other.as_ref()).is_none_or(|(one, other)| one == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counted kill whose report comes is nothing more; one whose report never comes is told once.
    #[test]
    fn reports_and_counters_meet() {
        let mut kills = Kills::default();
        kills.count(7, 1, BootTime(100));
        assert_eq!(kills.untold(BootTime(200)), []);
        kills.count_told(7, 1, BootTime(110));
        assert_eq!(kills.due(), None);
        assert_eq!(kills.untold(BootTime(PATIENCE_US * 2)), []);

        kills.count(9, 2, BootTime(100));
        kills.count_unplaced(1, BootTime(200));
        assert_eq!(kills.untold(BootTime(100 + PATIENCE_US)), [Untold { key: 9, count: 1, at: BootTime(100) }]);

        kills.count_told(8, 1, BootTime(900));
        kills.count(8, 3, BootTime(1_000));
        assert_eq!(kills.due(), Some(BootTime(1_000 + PATIENCE_US)));
        let late = BootTime(1_000 + PATIENCE_US);
        assert_eq!(kills.untold(late), [Untold { key: 8, count: 2, at: BootTime(1_000) }]);
        assert_eq!(kills.untold(BootTime(late.0 * 2)), []);
    }
}
