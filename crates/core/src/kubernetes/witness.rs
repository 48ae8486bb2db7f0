//! A kill as far as it has to do with what Kubernetes tells: whose it was, when, and whether it hit a first process.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ContainerKind;
use super::account::KillSeen;
use super::clock_tie::Span;
use crate::case::Case;
use crate::diagnosis::Killer;
use crate::evidence::{Comm, KernelReport, Task};
use crate::incident::identity::identify;
use crate::time::When;

/// What is remembered of a case of the kernel for the accounts of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillWitness {
    /// Id of the case.
    pub case: String,
    /// When, on the log's clock.
    pub at: When,
    /// Which limit.
    pub killer: Killer,
    /// Pod of the victims, else of the limit.
    pub pod_uid: Option<String>,
    /// Container of the victims.
    pub container_id: Option<String>,
    /// Pods whose limit was reached.
    pub limit_pod_uid: Option<String>,
    /// Who died.
    pub pids: Vec<u32>,
    /// What each of them was called, where the log says it.
    names: Vec<Option<Comm>>,
    /// The whole cgroup was killed.
    pub group_kill: bool,
    /// The lowest pid of the task table that is no pause container's: the first process where only one container is in the table.
    oldest: Option<u32>,
    /// Whose processes the table lists.
    table: TableOf,
}

impl KillWitness {
    /// Of a case that tells of a kill; `None` for any other.
    #[must_use]
    pub fn of(case: &Case) -> Option<Self> {
        let incident = &case.incident;
        let report = incident.kills.first()?;
        let limit = report.limit_cgroup.as_ref().and_then(|path| identify(path.as_bytes()));
        let victim = report.victim_cgroup.as_ref().and_then(|path| identify(path.as_bytes()));
        let owner = victim.as_ref().or(limit.as_ref());
        let identity = incident.identity.as_ref();
        Some(Self {
            case: case.id.clone(),
            at: incident.at,
            killer: case.diagnosis.killer,
            pod_uid: owner.and_then(|owner| owner.pod_uid.clone()).or_else(|| identity?.pod_uid.clone()),
            container_id: owner.and_then(|owner| owner.container_id.clone()).or_else(|| identity?.container_id.clone()),
            limit_pod_uid: limit.and_then(|limit| limit.pod_uid),
            pids: report.victims.iter().map(|victim| victim.pid).collect(),
            names: report.victims.iter().map(|victim| victim.comm.clone()).collect(),
            group_kill: report.group_kill == Some(true),
            oldest: oldest(report),
            table: TableOf::limit_of(case.diagnosis.killer),
        })
    }

    /// Whether the container's first process was among the dead. `init`: its pid, where the runtime knows it; `alone`: the pod has no
    /// other container.
    #[must_use]
    pub fn hit_first_process(&self, init: Option<u32>, alone: bool) -> Option<bool> {
        if self.group_kill {
            return Some(true);
        }
        let is_only_container = match self.table {
            TableOf::Container => true,
            TableOf::Pod => alone,
            TableOf::Others => false,
        };
        let first = init.or(self.oldest.filter(|_| is_only_container))?;
        (!self.pids.is_empty()).then(|| self.pids.contains(&first))
    }

    /// Whether a process of this pid and, where both are known, this name is among the dead. A pid alone is soon another's: after a
    /// reboot, and on another node.
    pub(super) fn killed(&self, pid: u32, name: Option<&str>) -> bool {
        self.pids.iter().zip(&self.names).any(|(known, comm)| {
            let is_called_so = |comm: &Comm| name.is_none_or(|name| name.as_bytes() == comm.as_bytes());
            *known == pid && comm.as_ref().is_none_or(is_called_so)
        })
    }

    /// As another case cites it, which knows what it has to do with its own instance.
    pub(super) fn seen(&self) -> KillSeen {
        KillSeen {
            case: self.case.clone(),
            at: self.at,
            killer: self.killer,
            pid: self.pids.first().copied(),
            same_instance: false,
            ended_instance: false,
            beside_instance: None,
            seconds_before_end: None,
        }
    }

    /// When, on the wall, where the log says it.
    pub(super) fn wall(&self) -> Option<Span> {
        self.at.wall.map(Span::about)
    }

    /// Microseconds on the log's clock where the wall is not known: since boot, or a local time of an unstated zone.
    pub(super) fn log_us(&self) -> Option<(LogClock, i64)> {
        let boot = self.at.boot_us.and_then(|at| i64::try_from(at.0).ok()).map(|us| (LogClock::Boot, us));
        boot.or_else(|| {
            let as_if_utc = self.at.wall_local?.to_zoned(TimeZone::UTC).ok()?;
            Some((LogClock::Local, as_if_utc.timestamp().as_microsecond()))
        })
    }
}

/// Whose processes a task table lists: those below the limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableOf {
    Container,
    Pod,
    /// Of other pods and of the machine too.
    Others,
}

impl TableOf {
    const fn limit_of(killer: Killer) -> Self {
        match killer {
            Killer::ContainerLimit => Self::Container,
            Killer::PodLimit => Self::Pod,
            _ => Self::Others,
        }
    }
}

/// Which clock a log's time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogClock {
    Boot,
    Local,
}

fn oldest(report: &KernelReport) -> Option<u32> {
    let is_pause = |task: &&Task| task.comm.as_bytes() == b"pause";
    let whole = report.task_table.header_seen && report.task_table.rows_damaged == 0 && report.extent.records_lost == 0;
    report.tasks.iter().filter(|task| !is_pause(task)).map(|task| task.pid).min().filter(|_| whole)
}

/// A pod's containers that run side by side.
pub(super) fn is_side_by_side(kind: ContainerKind) -> bool {
    matches!(kind, ContainerKind::App | ContainerKind::Sidecar | ContainerKind::Ephemeral)
}

/// The end of the second in which the API says that something happened: it keeps whole seconds.
pub(super) fn end_of_second(at: Timestamp) -> Timestamp {
    if at.subsec_nanosecond() == 0 { super::clock_tie::moved(at, 1_000_000) } else { at }
}
