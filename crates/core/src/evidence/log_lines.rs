//! What findings cite and `--evidence` prints: the parts of a report with the log lines where they stood, and what was recorded live.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;

/// What can be cited: a part of an OOM report, or a record of a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// `… invoked oom-killer: …`
    Header,
    /// `… cpuset=… mems_allowed=…`
    Cpuset,
    /// `CPU: … PID: … Comm: …`
    Cpu,
    /// The call trace.
    Stack,
    /// `Task in … killed as a result of limit of …`
    TaskInCgroup,
    /// `memory: usage …`
    Usage,
    /// `swap:`, `memory+swap:`, `kmem:` usage.
    OtherUsage,
    /// `Memory cgroup stats for …` and what follows.
    MemoryStat,
    /// `Mem-Info:` and what follows.
    NodeMemory,
    /// The task table.
    TaskTable,
    /// `oom-kill:constraint=…`
    OomKill,
    /// `Kill process … or sacrifice child`
    Chosen,
    /// `Killed process …`
    Kill,
    /// `Tasks in … are going to be killed due to memory.oom.group set`
    GroupKill,
    /// `Out of memory and no killable processes…`
    NoKillable,
    /// `oom_reaper: …`
    Reaper,
    /// `Kernel panic - not syncing: …`
    Panic,
    /// `… callbacks suppressed`, `… messages dropped`
    Lost,
    /// `sysrq: … OOM`
    Sysrq,
    /// The recorded minutes of the cgroups.
    FlightRecord,
    /// The cgroups' event counters before and after.
    Counters,
    /// The recorded sizes of the processes, and their snapshots.
    Processes,
    /// What a program in the kernel saw at the instant of the kill.
    KillContext,
    /// Where in its program the trigger was, and the victims that were not the trigger.
    UserStack,
    /// The code that made memory resident in the minutes before.
    HotStacks,
    /// What Kubernetes says of the pod and its container.
    PodStatus,
    /// Events about the pod.
    PodEvents,
    /// What Kubernetes says of the node.
    NodeStatus,
}

impl Part {
    /// The stable name that [`EvidenceId`]s are built from.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cpuset => "cpuset",
            Self::Cpu => "cpu",
            Self::Stack => "stack",
            Self::TaskInCgroup => "task-in-cgroup",
            Self::Usage => "usage",
            Self::OtherUsage => "other-usage",
            Self::MemoryStat => "memory-stat",
            Self::NodeMemory => "node-memory",
            Self::TaskTable => "task-table",
            Self::OomKill => "oom-kill",
            Self::Chosen => "chosen",
            Self::Kill => "kill",
            Self::GroupKill => "group-kill",
            Self::NoKillable => "no-killable",
            Self::Reaper => "reaper",
            Self::Panic => "panic",
            Self::Lost => "lost",
            Self::Sysrq => "sysrq",
            Self::FlightRecord => "flight-record",
            Self::Counters => "counters",
            Self::Processes => "processes",
            Self::KillContext => "kill-context",
            Self::UserStack => "user-stack",
            Self::HotStacks => "hot-stacks",
            Self::PodStatus => "pod-status",
            Self::PodEvents => "pod-events",
            Self::NodeStatus => "node-status",
        }
    }

    /// True for what a watcher recorded and no log has.
    #[must_use]
    pub const fn is_live(self) -> bool {
        use Part::{Counters, FlightRecord, HotStacks, KillContext, Processes, UserStack};
        matches!(self, FlightRecord | Counters | Processes | KillContext | UserStack | HotStacks)
    }

    /// True for what Kubernetes says.
    #[must_use]
    pub const fn is_kubernetes(self) -> bool {
        matches!(self, Self::PodStatus | Self::PodEvents | Self::NodeStatus)
    }

    /// True for lines of a kernel log.
    #[must_use]
    pub const fn is_of_log(self) -> bool {
        !self.is_live() && !self.is_kubernetes()
    }
}

/// What a finding cites: the name of a [`Part`] of the case's own evidence (`usage`, `task-table`, `counters`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvidenceId(pub String);

impl From<Part> for EvidenceId {
    fn from(part: Part) -> Self {
        Self(part.name().to_owned())
    }
}

/// One part of a report with its lines, or one live record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Unique within the case.
    pub id: EvidenceId,
    /// Which part it is.
    pub part: Part,
    /// First and last line in the file, counted from 1. Foreign lines may stand between them. `None` for what no log has.
    pub lines: Option<(u64, u64)>,
    /// The kernel's text of those lines without the log's prefixes, bounded: see
    /// [`formats::klog`](crate::formats::klog). Of a live record, a short account.
    pub text: Vec<Untrusted>,
}
