//! What the watcher adds to a kill: the counters of every level, the recorded minutes, the processes.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::VecDeque;

use oomscope_core::evidence::{Constraint, CounterChange, Gap, KernelReport, Limits, Occasion, Scope, Snapshot};
use oomscope_core::incident::counted::{self, CountedLimit};
use oomscope_core::incident::timeline::{CgroupRecord, ProcessPoint, ProcessRecord, Role, Timeline};
use oomscope_core::recorder::{CgroupKey, Series};
use oomscope_core::text::Untrusted;
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};

use super::cgroups::{Cgroups, MACHINE};

/// The window before a kill.
const WINDOW_US: u64 = 900_000_000;
/// The counters of a kill rise while its report is printed, which takes up to this long on a slow console: a reading is
/// from before the kill only if it is older.
const REPORT_US: u64 = 150_000;
/// Rows of a sealed recording, by role: what a plot of a screen's width can show several times over.
const ROWS_LIMIT: usize = 1200;
const ROWS_VICTIM: usize = 400;
const ROWS_OTHERS: usize = 120;
/// Other cgroups below the limit that are sealed with it: those that grew most.
const MEMBERS: usize = 6;
/// Processes that are sealed: the largest.
const PROCESSES: usize = 24;
/// Snapshots that are kept for kills to come, newest.
const SNAPSHOTS: usize = 256;

/// Evidence of one kill, on the recorder's clock.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) timeline: Option<Timeline>,
    pub(super) counters: Vec<CounterChange>,
    /// What of these cgroups could not be known.
    pub(super) gaps: Vec<Gap>,
}

impl Sealed {
    /// A cgroup may be gone before its limit could be read; the kernel's report has it.
    fn take_limit_of(&mut self, report: &KernelReport) {
        let Some((path, limit)) = report.limit_cgroup.as_ref().zip(report.limit_bytes) else { return };
        let records = self.timeline.iter_mut().flat_map(|timeline| &mut timeline.cgroups);
        let recorded = records.filter(|record| record.cgroup == *path).map(|record| &mut record.limits);
        let counted = self.counters.iter_mut().filter(|change| change.cgroup == *path).map(|change| &mut change.limits);
        for limits in
            recorded.chain(counted).filter(|limits| limits.max_bytes.is_none_or(|max| max == Limit::Unlimited))
        {
            limits.max_bytes = Some(Limit::from_printed(limit));
        }
    }
}

/// The dear looks at processes, by pid.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// With the cgroup.
    latest: HashMap<u32, (u64, Snapshot)>,
    order: VecDeque<u32>,
}

impl Snapshots {
    /// Keeps one; one from a kill is not replaced by a lesser one of the same process that comes after it.
    pub(super) fn add(&mut self, key: u64, snapshot: Snapshot) {
        let pid = snapshot.process.pid;
        let keep = self.latest.get(&pid).is_some_and(|(_, known)| {
            let started = known.process.started_ticks.zip(snapshot.process.started_ticks);
            let is_same = started.is_none_or(|(known, new)| known == new);
            is_same && known.occasion == Occasion::Kill && known.pss_bytes.is_some() && snapshot.pss_bytes.is_none()
        });
        if keep {
            return;
        }
        if self.latest.insert(pid, (key, snapshot)).is_none() {
            self.order.push_back(pid);
        }
        if self.order.len() > SNAPSHOTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.latest.remove(&oldest);
        }
    }

    fn of(&self, pid: u32, since: BootTime) -> Option<&Snapshot> {
        self.latest.get(&pid).map(|(_, snapshot)| snapshot).filter(|snapshot| snapshot.at >= since)
    }

    /// Those of one cgroup.
    fn in_cgroup(&self, key: u64, since: BootTime) -> impl Iterator<Item = &Snapshot> {
        self.latest.values().filter(move |(home, snapshot)| *home == key && snapshot.at >= since).map(|(_, s)| s)
    }
}

impl Cgroups {
    /// Seals what is known of a kill that happened `at`. Reads the counters of its levels now.
    pub(super) fn seal(&mut self, report: &KernelReport, at: BootTime, now: BootTime, snapshots: &Snapshots) -> Sealed {
        let of = |path: &Untrusted| self.of_path(path.as_bytes(), at);
        let (limit, victim) = (report.limit_cgroup.as_ref().and_then(of), report.victim_cgroup.as_ref().and_then(of));
        let levels = self.levels(victim.or(limit), at);
        for key in &levels {
            if let Some(watched) = self.known.get_mut(key) {
                watched.read_counters(now);
                watched.read_limits();
            }
        }
        let counters: Vec<_> = levels.iter().filter_map(|key| self.counter_change(*key, at, now)).collect();
        // Of a rate-limited kill the log does not name the limit; the counters often do.
        let limit = limit.or_else(|| counted_limit(report, &counters).and_then(|path| self.of_path(path, at)));
        let from = BootTime(at.0.saturating_sub(WINDOW_US));
        let domain = self.members(limit, &levels, from);
        let mut roles: Vec<(u64, Role)> = limit.into_iter().map(|key| (key, Role::Limit)).collect();
        roles.extend(
            levels
                .iter()
                .filter(|key| Some(**key) != limit)
                .map(|key| (*key, if Some(*key) == victim { Role::Victim } else { Role::Ancestor })),
        );
        roles.extend(domain.iter().map(|key| (*key, Role::Member)));
        let machine = is_of_the_machine(report).then(|| self.machine_record(from, now)).flatten();
        let records = roles.iter().filter_map(|(key, role)| self.record(*key, *role, from, now));
        let cgroups: Vec<_> = machine.into_iter().chain(records).collect();
        let inhabited: Vec<u64> = [limit, victim].into_iter().flatten().chain(domain).collect();
        let processes = self.processes(&inhabited, from, now, snapshots);
        let known = levels.iter().filter_map(|key| self.known.get(key));
        let mut gaps: Vec<Gap> = known.flat_map(|watched| watched.gaps.iter().cloned()).collect();
        gaps.extend(self.gaps());
        let mut sealed = Sealed { timeline: timeline(cgroups, processes), counters, gaps };
        sealed.take_limit_of(report);
        sealed
    }

    /// The cgroup and those above it that are watched, from the innermost up.
    fn levels(&self, innermost: Option<u64>, at: BootTime) -> Vec<u64> {
        let Some(watched) = innermost.and_then(|key| self.known.get(&key)) else { return Vec::new() };
        let path = watched.path.as_bytes();
        let ends = (1..path.len()).rev().filter(|at| path.get(*at) == Some(&b'/'));
        let above = ends.filter_map(|end| self.of_path(path.get(..end)?, at));
        innermost
            .into_iter()
            .chain(above)
            .chain(self.of_path(b"/", at).filter(|root| Some(*root) != innermost))
            .collect()
    }

    fn counter_change(&self, key: u64, at: BootTime, now: BootTime) -> Option<CounterChange> {
        let watched = self.known.get(&key)?;
        let around = self.recorder.rows(CgroupKey(key), BootTime(at.0.saturating_sub(REPORT_US)), now, 16);
        let charges = [Series::Current, Series::Peak].into_iter().flat_map(|series| around.series(series));
        let latest = watched.latest.and_then(|sample| sample.get(Series::Current));
        Some(CounterChange {
            cgroup: watched.path.clone(),
            before: watched.counters_before(at, REPORT_US),
            after: watched.counters_now(),
            usage_bytes: charges.map(|(_, bytes)| bytes).chain(latest).max().map(Bytes),
            limits: watched.limits,
            removed: watched.gone_at.is_some(),
        })
    }

    /// Those below the limit (of a kill of the machine: all) that grew most, apart from the levels of the kill themselves.
    fn members(&self, limit: Option<u64>, levels: &[u64], from: BootTime) -> Vec<u64> {
        let domain = limit.and_then(|key| self.known.get(&key)).map(|watched| watched.path.as_bytes());
        let is_below = |path: &[u8]| match domain {
            Some(domain) => path.strip_prefix(domain).is_some_and(|rest| rest.starts_with(b"/") || domain == b"/"),
            None => true,
        };
        let candidates =
            self.known.iter().filter(|(key, watched)| !levels.contains(key) && is_below(watched.path.as_bytes()));
        let mut grown: Vec<(u64, u64)> =
            candidates.map(|(key, _)| (self.recorder.growth(CgroupKey(*key), from), *key)).collect();
        grown.sort_unstable_by_key(|(growth, key)| (Reverse(*growth), *key));
        grown.into_iter().filter(|(growth, _)| *growth > 0).take(MEMBERS).map(|(_, key)| key).collect()
    }

    fn record(&self, key: u64, role: Role, from: BootTime, to: BootTime) -> Option<CgroupRecord> {
        let watched = self.known.get(&key)?;
        let at_most = match role {
            Role::Limit => ROWS_LIMIT,
            Role::Victim => ROWS_VICTIM,
            Role::Ancestor | Role::Member => ROWS_OTHERS,
        };
        let rows = self.recorder.rows(CgroupKey(key), from, to, at_most);
        (!rows.is_empty()).then(|| CgroupRecord {
            cgroup: watched.path.clone(),
            role,
            limits: watched.limits,
            base_interval_us: self.base_interval_us(),
            lifetime_peak_bytes: watched.lifetime_peak,
            rows,
        })
    }

    /// What a kill of the machine is about, in the place of a cgroup with a limit.
    fn machine_record(&self, from: BootTime, to: BootTime) -> Option<CgroupRecord> {
        let rows = self.recorder.rows(MACHINE, from, to, ROWS_LIMIT);
        (!rows.is_empty()).then(|| CgroupRecord {
            cgroup: "/".into(),
            role: Role::Limit,
            limits: Limits { max_bytes: self.machine.map(Limit::At), ..Limits::default() },
            base_interval_us: self.base_interval_us(),
            lifetime_peak_bytes: None,
            rows,
        })
    }

    fn processes(&self, keys: &[u64], from: BootTime, to: BootTime, snapshots: &Snapshots) -> Vec<ProcessRecord> {
        let mut records: Vec<ProcessRecord> = Vec::new();
        for key in keys {
            let Some(watched) = self.known.get(key) else { continue };
            for mut record in self.recorder.processes(CgroupKey(*key), from, to) {
                record.cgroup = Untrusted::clone(&watched.path);
                record.snapshot = snapshots.of(record.pid, from).cloned();
                // Under pressure only the reader's thread may wait for them.
                let of_snapshot = || record.snapshot.as_ref()?.process.cmdline.clone();
                record.cmdline = record.cmdline.take().or_else(of_snapshot);
                if !records.iter().any(|known| known.pid == record.pid) {
                    records.push(record);
                }
            }
            for snapshot in snapshots.in_cgroup(*key, from) {
                if !records.iter().any(|known| known.pid == snapshot.process.pid) {
                    records.push(only_seen_once(snapshot, &watched.path));
                }
            }
        }
        records.sort_by_key(|record| Reverse(largest(record)));
        records.truncate(PROCESSES);
        records
    }
}

/// The cgroup whose limit the counters say was reached, where the report is about some cgroup and does not say which.
fn counted_limit<'a>(report: &KernelReport, counters: &'a [CounterChange]) -> Option<&'a [u8]> {
    match counted::limit(counters) {
        CountedLimit::Of { level, .. } if report.scope != Some(Scope::Global) => {
            Some(counters.get(level)?.cgroup.as_bytes())
        }
        _ => None,
    }
}

/// Not about some of its memory nodes, of which the machine's totals say nothing.
fn is_of_the_machine(report: &KernelReport) -> bool {
    report.scope == Some(Scope::Global) && matches!(report.constraint, None | Some(Constraint::None))
}

/// A process that came and grew too fast to be recorded, but was looked at when the alarm was raised.
fn only_seen_once(snapshot: &Snapshot, cgroup: &Untrusted) -> ProcessRecord {
    let process = &snapshot.process;
    let held = ProcessPoint {
        at_us: snapshot.at,
        anon_bytes: process.anon_bytes.unwrap_or_default(),
        file_bytes: process.file_bytes.unwrap_or_default(),
        shmem_bytes: process.shmem_bytes.unwrap_or_default(),
        swap_bytes: process.swap_bytes.unwrap_or_default(),
    };
    ProcessRecord {
        pid: process.pid,
        comm: process.comm.clone(),
        cmdline: process.cmdline.clone(),
        cgroup: cgroup.clone(),
        points: process.anon_bytes.map(|_| held).into_iter().collect(),
        snapshot: Some(snapshot.clone()),
    }
}

/// The most that a process was seen to hold.
fn largest(record: &ProcessRecord) -> u64 {
    let held = |p: &ProcessPoint| p.anon_bytes.0.saturating_add(p.shmem_bytes.0).saturating_add(p.swap_bytes.0);
    record.points.iter().map(held).max().unwrap_or(0)
}

fn timeline(cgroups: Vec<CgroupRecord>, processes: Vec<ProcessRecord>) -> Option<Timeline> {
    let first = cgroups.iter().filter_map(|cgroup| cgroup.rows.at_us.first()).min()?;
    let last = cgroups.iter().filter_map(|cgroup| cgroup.rows.at_us.last()).max()?;
    Some(Timeline { from_us: *first, to_us: *last, cgroups, processes })
}

#[cfg(test)]
mod tests {
    use oomscope_core::evidence::Process;

    use super::*;

    /// What was seen of a process at its kill outlives a lesser look at it, and not another process that has its pid.
    #[test]
    fn a_pid_is_used_again() {
        let snapshot = |started_ticks, occasion, pss| {
            let process = Process { pid: 5, started_ticks, ..Process::default() };
            Snapshot { process, occasion, pss_bytes: pss, ..Snapshot::default() }
        };
        let mut snapshots = Snapshots::default();
        let at_kill = snapshot(Some(1), Occasion::Kill, Some(Bytes(4096)));
        snapshots.add(7, at_kill.clone());
        snapshots.add(7, snapshot(Some(1), Occasion::NearLimit, None));
        snapshots.add(7, snapshot(None, Occasion::Kill, None));
        assert_eq!(snapshots.of(5, BootTime(0)), Some(&at_kill));
        let another = snapshot(Some(2), Occasion::NearLimit, None);
        snapshots.add(8, another.clone());
        assert_eq!(snapshots.of(5, BootTime(0)), Some(&another));
        assert_eq!(snapshots.in_cgroup(7, BootTime(0)).count(), 0);
    }
}
