//! What was seen of a container's memory: by its cgroup that lives, and by the cases of those that died.
//!
//! The kernel's peak (`memory.peak`, v1 `memory.max_usage_in_bytes`) includes page cache and stops at the limit, so it says how much
//! was *used*, seldom how much is *needed*. What cannot be given up is what a limit must hold; nothing keeps a peak of that but the
//! flight recordings, and the reading of this moment.

use jiff::Timestamp;

use crate::case::Case;
use crate::diagnosis::Killer;
use crate::incident::identity::Identity;
use crate::incident::timeline::Role;
use crate::kubernetes::{ContainerKind, ContainerStatus, SIGKILL_CODE, Terminated};
use crate::recorder::{Sample, Series};
use crate::units::{Bytes, Limit};

/// What was seen of one container, or of all instances of it together: always the highest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The highest charge, page cache included.
    pub peak: Option<Bytes>,
    /// The most that could not be given up.
    pub held: Option<Bytes>,
    /// The limit at which `held` was seen: what is close to it was cut off by it.
    pub held_at_limit: Option<Bytes>,
    /// OOM kills at a limit of the container or of its pod.
    pub kills: u64,
    /// The latest of them.
    pub last_kill: Option<Timestamp>,
    /// The largest limit at which it was killed.
    pub killed_at: Option<Bytes>,
    /// How many statuses of pods say `OOMKilled` with exit code 137: each keeps its latest ending alone.
    pub said: u64,
    /// The most restarts that one of those has had.
    pub restarts: u32,
    /// How often it was throttled at `memory.high`.
    pub throttled: u64,
    /// `memory.high` in force.
    pub high: Option<Bytes>,
    /// Share of the last five minutes in which some task stalled for memory, in percent.
    pub stalled_percent: Option<f64>,
    /// Processes in it now; `None` where nothing was looked at.
    pub processes: Option<u64>,
}

impl Seen {
    /// From a reading of a cgroup that lives.
    #[must_use]
    pub fn of_sample(sample: &Sample, lifetime_peak: Option<Bytes>, limit: Option<Limit>) -> Self {
        Self {
            peak: lifetime_peak.max(sample.get(Series::Current).map(Bytes)),
            held: sample.unreclaimable().map(Bytes),
            held_at_limit: limit.and_then(Limit::bytes),
            throttled: sample.get(Series::High).unwrap_or(0),
            processes: sample.get(Series::Processes),
            ..Self::default()
        }
    }

    /// From the status of a container in a pod; `None` where that does not say that it was killed for memory. The word alone does not: the
    /// runtime's flag outlives the child whose kill set it, so only a SIGKILL of the container itself counts.
    #[must_use]
    pub fn of_status(status: &ContainerStatus) -> Option<Self> {
        let endings = [&status.state, &status.last_state].into_iter().filter_map(|state| state.terminated.as_ref());
        let killed =
            |ended: &&Terminated| ended.reason.as_deref() == Some("OOMKilled") && ended.exit_code == SIGKILL_CODE;
        let last_kill = endings.filter(killed).map(|ended| ended.finished_at).max()?;
        Some(Self { said: 1, restarts: status.restart_count, last_kill, ..Self::default() })
    }

    /// Adds what was seen at another time, or of another instance.
    pub fn merge(&mut self, other: &Self) {
        self.peak = self.peak.max(other.peak);
        if other.held > self.held {
            self.held = other.held;
            self.held_at_limit = other.held_at_limit;
        }
        self.kills = self.kills.saturating_add(other.kills);
        self.last_kill = self.last_kill.max(other.last_kill);
        self.killed_at = self.killed_at.max(other.killed_at);
        self.said = self.said.saturating_add(other.said);
        self.restarts = self.restarts.max(other.restarts);
        self.throttled = self.throttled.max(other.throttled);
        self.high = self.high.or(other.high);
        self.processes = self.processes.max(other.processes);
        self.stalled_percent = match (self.stalled_percent, other.stalled_percent) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Something seen, and of whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Whose cgroup it was, with the names as far as anybody knew them.
    pub identity: Identity,
    /// What.
    pub seen: Seen,
}

impl Sight {
    /// From a stored case: the victim's container, killed at a limit of its own or of its pod. `None` for every other kind of kill: what
    /// the node or another pod ran out of says nothing of this container's limit.
    #[must_use]
    pub fn of_case(case: &Case) -> Option<Self> {
        if !matches!(case.diagnosis.killer, Killer::ContainerLimit | Killer::PodLimit) {
            return None;
        }
        let identity = case.incident.identity.clone()?;
        let report = case.incident.report();
        let limit = report.limit_bytes.map(Limit::from_printed).and_then(Limit::bytes);
        let at_container = case.diagnosis.killer == Killer::ContainerLimit;
        let mut seen = Seen {
            peak: report.usage_bytes.filter(|_| at_container),
            kills: 1,
            last_kill: case.incident.at.wall,
            killed_at: limit.filter(|_| at_container),
            ..Seen::default()
        };
        seen.merge(&recorded(case));
        Some(Self { identity, seen })
    }

    /// Whether this is about a container at all, and not about the pod's pause container.
    #[must_use]
    pub fn is_of_a_container(&self) -> bool {
        self.identity.container_kind != Some(ContainerKind::Pause)
    }
}

/// What the flight recorder kept of the victim's own cgroup.
fn recorded(case: &Case) -> Seen {
    let Some(timeline) = &case.incident.timeline else { return Seen::default() };
    let victim = case.incident.report().victim_cgroup.as_ref();
    let is_it = |record: &&crate::incident::timeline::CgroupRecord| {
        victim.map_or(record.role == Role::Victim, |victim| record.cgroup == *victim)
    };
    let Some(record) = timeline.cgroups.iter().find(is_it) else { return Seen::default() };
    let held = record.rows.samples().filter_map(|sample| sample.unreclaimable()).max();
    let highest = record.rows.samples().filter_map(|sample| sample.highest()).max();
    Seen {
        peak: record.lifetime_peak_bytes.max(highest.map(Bytes)),
        held: held.map(Bytes),
        held_at_limit: record.limits.max_bytes.and_then(Limit::bytes),
        ..Seen::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Diagnosis, diagnose};
    use crate::evidence::{KernelReport, Limits};
    use crate::incident::Incident;
    use crate::incident::timeline::{CgroupRecord, Timeline};
    use crate::time::BootTime;

    fn case(killer: Killer) -> Case {
        let report = KernelReport {
            usage_bytes: Some(Bytes(50 << 20)),
            limit_bytes: Some(Bytes(50 << 20)),
            victim_cgroup: Some("/kubepods/pod1/a".into()),
            ..KernelReport::default()
        };
        let rows = [30_u64, 48, 41].map(|mib| {
            Sample::new(BootTime(mib))
                .with(Series::Current, 50 << 20)
                .with(Series::Anon, mib << 20)
                .with(Series::Shmem, 0)
        });
        let record = CgroupRecord {
            cgroup: "/kubepods/pod1/a".into(),
            limits: Limits { max_bytes: Some(Limit::At(Bytes(50 << 20))), ..Limits::default() },
            rows: rows.into_iter().collect(),
            ..CgroupRecord::default()
        };
        let incident = Incident {
            kills: vec![report],
            identity: Some(Identity { pod: Some("p".to_owned()), ..Identity::default() }),
            timeline: Some(Timeline { cgroups: vec![record], ..Timeline::default() }),
            ..Incident::default()
        };
        let diagnosis = Diagnosis { killer, ..diagnose(&incident) };
        Case::new(incident, diagnosis)
    }

    /// A kill at the container's own limit tells what it held before, by the recording; one for the node's sake tells nothing.
    #[test]
    fn cases() {
        let sight = Sight::of_case(&case(Killer::ContainerLimit)).expect("a sight");
        let (held, at) = (sight.seen.held, sight.seen.killed_at);
        assert_eq!((sight.seen.kills, held, at), (1, Some(Bytes(48 << 20)), Some(Bytes(50 << 20))));
        assert_eq!(Sight::of_case(&case(Killer::Node)), None);
    }

    /// The highest of several sightings counts, with the limit that it was seen at.
    #[test]
    fn the_highest_counts() {
        let seen = |held: u64, limit: u64, kills: u64| Seen {
            held: Some(Bytes(held)),
            held_at_limit: Some(Bytes(limit)),
            kills,
            stalled_percent: (kills > 0).then_some(2.5),
            ..Seen::default()
        };
        let mut all = seen(5, 10, 1);
        all.merge(&seen(4, 99, 2));
        all.merge(&seen(7, 8, 0));
        assert_eq!((all.held, all.held_at_limit, all.kills), (Some(Bytes(7)), Some(Bytes(8)), 3));
        assert_eq!(all.stalled_percent, Some(2.5));
    }
}
