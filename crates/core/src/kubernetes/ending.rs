//! How one instance of a container ended, as Kubernetes or the runtime tells it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ContainerKind, ContainerStatus, Pod, RuntimeContainer, Source, Terminated};

/// The exit code of a process that SIGKILL ended.
pub const SIGKILL_CODE: i32 = 137;

/// The end of one instance of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Name of the container.
    pub container: Option<String>,
    /// What it is to its pod.
    pub kind: Option<ContainerKind>,
    /// Id of the instance, without the runtime's name.
    pub container_id: Option<String>,
    /// 128 + the signal where one ended it.
    pub exit_code: Option<i32>,
    /// The signal, where the runtime tells it.
    pub signal: Option<i32>,
    /// `OOMKilled`, `Error`, `Completed`, `ContainerStatusUnknown`, …
    pub reason: Option<String>,
    /// The sentence to it.
    pub message: Option<String>,
    /// Whole seconds where the API says it, finer where the runtime does.
    pub started: Option<Timestamp>,
    /// Whole seconds where the API says it, finer where the runtime does.
    pub finished: Option<Timestamp>,
    /// How many instances there were before it, where known.
    pub restarts_before: Option<u32>,
    /// Who said it.
    pub source: Option<Source>,
}

impl Ending {
    /// Of a state that a pod's status shows.
    #[must_use]
    pub fn of(pod: &Pod, status: &ContainerStatus, ended: &Terminated, source: Source) -> Self {
        // The state is that of the latest instance; the last state that of the one before, unless nothing was started since.
        let is_latest = status.state.terminated.as_ref() == Some(ended) || ended.id() == status.id();
        let restarts_before = if is_latest { Some(status.restart_count) } else { status.restart_count.checked_sub(1) };
        Self {
            container: Some(status.name.clone()),
            kind: pod.kind_of(&status.name),
            container_id: ended.id().or_else(|| status.id().filter(|_| is_latest)).map(str::to_owned),
            exit_code: Some(ended.exit_code),
            signal: ended.signal.filter(|signal| *signal != 0),
            reason: ended.reason.clone(),
            message: ended.message.clone(),
            started: ended.started_at.filter(is_a_time),
            finished: ended.finished_at.filter(is_a_time),
            restarts_before,
            source: Some(source),
        }
    }

    /// Of a container that the runtime knows to have ended.
    #[must_use]
    pub fn of_runtime(container: &RuntimeContainer, source: Source) -> Option<Self> {
        container.finished?;
        Some(Self {
            container: container.container.clone(),
            kind: container.kind,
            container_id: Some(container.id.clone()),
            exit_code: container.exit_code,
            signal: None,
            reason: container.reason.clone(),
            message: None,
            started: container.started,
            finished: container.finished,
            restarts_before: container.restart_count,
            source: Some(source),
        })
    }

    /// True where Kubernetes calls it an OOM kill.
    #[must_use]
    pub fn says_oom(&self) -> bool {
        self.reason.as_deref() == Some("OOMKilled") || self.start_was_killed()
    }

    /// True where the container did not come to run its program: exit code 128, and the runtime's error as the message.
    ///
    /// Source: containerd `internal/cri/server/container_start.go`, `setContainerUnstarted`; CRI-O and dockershim say
    /// `ContainerCannotRun`.
    #[must_use]
    pub fn failed_to_start(&self) -> bool {
        matches!(self.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
    }

    /// True where runc says that its own process was killed for memory before it became the container's (runc `libcontainer/
    /// container_linux.go`: "container init was OOM-killed (memory limit too low?)").
    #[must_use]
    pub fn start_was_killed(&self) -> bool {
        let says = |message: &str| message.contains("OOM-killed") || message.contains("OOM killed");
        self.failed_to_start() && self.message.as_deref().is_some_and(says)
    }

    /// True where the exit code is that of a SIGKILL, which a process may also return of its own accord.
    #[must_use]
    pub fn is_sigkill(&self) -> bool {
        self.exit_code == Some(SIGKILL_CODE) || self.signal == Some(9)
    }

    /// The same end of the same instance.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.container_id, &other.container_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.container == other.container && self.finished == other.finished,
        }
    }
}

/// Go's zero time, and the epoch that some runtimes write for "never".
fn is_a_time(time: &Timestamp) -> bool {
    time.as_second() > 0
}
