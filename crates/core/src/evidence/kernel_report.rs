//! One OOM event as the kernel reported it: everything that its log lines say, nothing that they do not.
//!
//! Field names and units are those of the public JSON (`oomscope.case/v1`): sizes in bytes, absent knowledge `null`.
//! Fields that the contract does not name are additions to it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{NodeMemory, Stacks};
use crate::text::Untrusted;
use crate::units::Bytes;

/// A process name with, where its bytes are no UTF-8, those bytes in hex. Flattened into its owner as `comm`, `comm_hex`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub Untrusted);

impl Comm {
    /// The exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&[u8]> for Comm {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Comm {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

#[derive(Serialize, Deserialize)]
struct CommFields {
    comm: Untrusted,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comm_hex: Option<String>,
}

impl Serialize for Comm {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CommFields { comm: self.0.clone(), comm_hex: self.0.hex_unless_utf8() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Comm {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = CommFields::deserialize(deserializer)?;
        let bytes = fields.comm_hex.as_deref().and_then(bytes_of_hex);
        Ok(Self(bytes.map_or(fields.comm, |b| b.as_slice().into())))
    }
}

/// A name that may be unknown: `comm` is then `null`, not left out.
pub(super) mod optional_comm {
    use super::{Comm, bytes_of_hex};
    use crate::text::Untrusted;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Fields {
        #[serde(default)]
        comm: Option<Untrusted>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comm_hex: Option<String>,
    }

    pub(in crate::evidence) fn serialize<S: Serializer>(comm: &Option<Comm>, serializer: S) -> Result<S::Ok, S::Error> {
        let name = comm.as_ref().map(|c| c.0.clone());
        Fields { comm_hex: name.as_ref().and_then(Untrusted::hex_unless_utf8), comm: name }.serialize(serializer)
    }

    pub(in crate::evidence) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Comm>, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let exact = fields.comm_hex.as_deref().and_then(bytes_of_hex).map(|b| Comm::from(b.as_slice()));
        Ok(exact.or(fields.comm.map(Comm)))
    }
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect()
}

/// Whether a memory cgroup's limit was hit, or the memory of the machine (or of a part of it) ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A limit of a memory cgroup.
    Memcg,
    /// The machine's own memory: all of it, or the nodes that a cpuset or a memory policy allows.
    Global,
}

/// The kernel's `enum oom_constraint` (mm/oom_kill.c), or whatever else a vendor's kernel printed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// `CONSTRAINT_NONE`: the whole machine.
    None,
    /// `CONSTRAINT_CPUSET`: the memory nodes that a cpuset allows.
    Cpuset,
    /// `CONSTRAINT_MEMORY_POLICY`: the memory nodes that a memory policy allows.
    MemoryPolicy,
    /// `CONSTRAINT_MEMCG`: a memory cgroup's limit.
    Memcg,
    /// Another word after `CONSTRAINT_`, in lower case.
    Other(String),
}

impl Constraint {
    /// Reads `CONSTRAINT_MEMCG` and the like, with or without the prefix, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        match lower.strip_prefix("constraint_").unwrap_or(&lower) {
            "none" => Self::None,
            "cpuset" => Self::Cpuset,
            "memory_policy" => Self::MemoryPolicy,
            "memcg" => Self::Memcg,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name in the public JSON.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Cpuset => "cpuset",
            Self::MemoryPolicy => "memory_policy",
            Self::Memcg => "memcg",
            Self::Other(other) => other,
        }
    }
}

impl Serialize for Constraint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}

/// Who asked for the page that could not be had: a *thread*, not necessarily of the victim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Thread id in the initial PID namespace, from the `CPU: … PID: …` line.
    pub pid: Option<u32>,
    /// The process that the thread belongs to; no log says it, a program in the kernel does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tgid: Option<u32>,
    /// The thread's name. `None` where neither the header nor the `CPU:` line was there to say it.
    #[serde(flatten, with = "optional_comm")]
    pub comm: Option<Comm>,
    /// Of the trigger's process; from the header. Kernels before 2.6.36 print `oom_adj`, a different scale: see
    /// `oom_adj`.
    pub oom_score_adj: Option<i32>,
    /// The −17…15 scale of kernels before 2.6.36.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_adj: Option<i32>,
    /// CPU it ran on.
    pub cpu: Option<u32>,
    /// Its uid, from `CPU: … UID: …` (kernel ≥ 6.11).
    pub uid: Option<u32>,
}

impl Trigger {
    /// The process, where it is known or the thread is its first; else the thread, which is then a process of no table.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.tgid.or(self.pid)
    }
}

/// One `usage …, limit …, failcnt …` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Charged when the kernel gave up.
    pub usage_bytes: Bytes,
    /// As printed; a number of an exbibyte and more is the kernel's way of saying "none": see [`crate::units::Limit`].
    pub limit_bytes: Bytes,
    /// How often a charge met the limit; on cgroup v2 a count of attempts, not of failures.
    pub failcnt: Option<u64>,
}

/// A process that the kernel killed. Every number is from its own `Killed process` line, except where said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// Its name; `None` where the log does not say.
    #[serde(flatten, with = "optional_comm")]
    pub comm: Option<Comm>,
    /// From the kill line, or the task table where that line has none.
    pub uid: Option<u32>,
    /// Virtual size.
    pub total_vm_bytes: Option<Bytes>,
    /// Resident anonymous memory.
    pub anon_bytes: Option<Bytes>,
    /// Resident file pages, also those that were charged to another cgroup.
    pub file_bytes: Option<Bytes>,
    /// Resident shared memory (tmpfs, SysV, shared anonymous mappings).
    pub shmem_bytes: Option<Bytes>,
    /// Page tables.
    pub pgtables_bytes: Option<Bytes>,
    /// From the kill line, or the task table where that line has none.
    pub oom_score_adj: Option<i32>,
    /// The `score` that kernels before 5.0 print, when the scored task is the killed one.
    pub score: Option<i64>,
    /// The victim's own memory cgroup, where the log says it.
    pub cgroup: Option<Untrusted>,
    /// True where only `Kill process N …` was read, not `Killed process N`: the kernel chose it, and may have killed a
    /// child in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_chosen: bool,
}

/// A row of the task table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Process id (for kernels that list threads: thread id) in the initial PID namespace.
    pub pid: u32,
    /// Thread group id.
    pub tgid: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Virtual size.
    pub total_vm_bytes: Option<Bytes>,
    /// Resident pages of every kind.
    pub rss_bytes: Option<Bytes>,
    /// Kernel ≥ 6.8.
    pub anon_bytes: Option<Bytes>,
    /// Kernel ≥ 6.8.
    pub file_bytes: Option<Bytes>,
    /// Kernel ≥ 6.8.
    pub shmem_bytes: Option<Bytes>,
    /// Page tables; kernels before 4.15 print a number of pages (`nr_ptes`, `nr_pmds`), counted here as pages.
    pub pgtables_bytes: Option<Bytes>,
    /// Swapped out.
    pub swap_bytes: Option<Bytes>,
    /// −1000 (never) … 1000 (first).
    pub oom_score_adj: Option<i32>,
    /// The −17…15 scale of kernels before 2.6.36.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_adj: Option<i32>,
}

/// How much of the task table was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTable {
    /// The header row was read, so the columns are known and not guessed from their number.
    pub header_seen: bool,
    /// Rows of which only a part was there.
    pub rows_damaged: u32,
}

/// `oom_reaper: reaped process …` for a victim: what it still held after the reaper had passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    /// The victim.
    pub pid: u32,
    /// Anonymous memory left; all three are `None` for `unable to reap`.
    pub anon_bytes: Option<Bytes>,
    /// File pages left.
    pub file_bytes: Option<Bytes>,
    /// Shared memory left.
    pub shmem_bytes: Option<Bytes>,
}

/// The kernel panicked instead of, or after, killing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// The text after `Kernel panic - not syncing: `.
    pub message: String,
}

/// Which parts of a report were in the log: what rules ask before they say "absent".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogExtent {
    /// `invoked oom-killer` was read.
    pub header: bool,
    /// `memory: usage …` was read.
    pub usage: bool,
    /// The `oom-kill:` line was read to its end.
    pub oom_kill_line: bool,
    /// A `Killed process` line was read.
    pub kill_line: bool,
    /// The kernel printed no report for this kill: its rate limit (10 per 5 s) allowed only the kill line.
    pub rate_limited: bool,
    /// Records are known to be missing inside the report (sequence numbers, `messages dropped`).
    pub records_lost: u64,
}

/// Everything that one OOM report says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelReport {
    /// Memory cgroup or machine; `None` where the remains of the report do not tell.
    pub scope: Option<Scope>,
    /// As printed by `oom-kill:constraint=`, or `memcg` where other lines prove it.
    pub constraint: Option<Constraint>,
    /// Who asked for the page.
    pub trigger: Option<Trigger>,
    /// `0xcc0`.
    pub gfp_mask: Option<String>,
    /// `GFP_KERNEL|__GFP_ZERO`, where the kernel printed names.
    pub gfp_flags: Option<String>,
    /// Pages asked for, as a power of two; −1 is sysrq-f.
    pub order: Option<i32>,
    /// The cgroup whose limit was hit.
    pub limit_cgroup: Option<Untrusted>,
    /// The (first) victim's own cgroup.
    pub victim_cgroup: Option<Untrusted>,
    /// Charged to the limit cgroup.
    pub usage_bytes: Option<Bytes>,
    /// Its limit, as printed.
    pub limit_bytes: Option<Bytes>,
    /// How often a charge met the limit.
    pub failcnt: Option<u64>,
    /// cgroup v2 swap.
    pub swap: Option<Counter>,
    /// cgroup v1 kernel memory.
    pub kmem: Option<Counter>,
    /// cgroup v1 memory+swap.
    pub memory_swap: Option<Counter>,
    /// The log says that a whole cgroup was killed (`memory.oom.group`); `false` where a kill line was read and no such
    /// notice; `null` where no kill line was.
    pub group_kill: Option<bool>,
    /// `Out of memory and no killable processes`.
    pub no_killable_process: bool,
    /// In order of death, each process once.
    pub victims: Vec<Victim>,
    /// Rows of the task table, in the order of the log.
    pub tasks: Vec<Task>,
    /// Statistics of the limit cgroup, keys and numbers as the kernel printed them, `NKB` turned into bytes.
    pub memory_stat: Option<IndexMap<String, u64>>,
    /// Statistics of the cgroups below it, which v1 kernels before 5.3 print.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub subtree_stat: IndexMap<String, IndexMap<String, u64>>,
    /// The trigger's stacks.
    pub stacks: Option<Stacks>,

    /// Other processes that shared the victim's memory and were killed with it (`sharing same memory`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub killed_sharing_memory: Vec<Victim>,
    /// `Kill process N (x) score S or sacrifice child` where the process killed was another one (its child).
    pub chosen: Option<Victim>,
    /// The kernel killed the allocating task itself (`vm.oom_kill_allocating_task`).
    #[serde(default)]
    pub allocating_task_killed: bool,
    /// Somebody pressed sysrq-f or wrote `f` to `/proc/sysrq-trigger`.
    #[serde(default)]
    pub sysrq: bool,
    /// The kernel panicked.
    pub panic: Option<Panic>,
    /// What the reaper said of the victims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaped: Vec<Reaped>,
    /// `6.12.107+deb13-cloud-amd64`.
    pub kernel_release: Option<String>,
    /// Last component of the trigger's cpuset.
    pub cpuset: Option<Untrusted>,
    /// Memory nodes the trigger may use, as printed: `0-1`.
    pub mems_allowed: Option<String>,
    /// Memory nodes the allocation asked for, as printed; absent for `(null)`.
    pub nodemask: Option<String>,
    /// Mem-Info, for OOMs of the machine.
    pub node_memory: Option<NodeMemory>,
    /// Size of a page where the log tells it.
    pub page_size_bytes: Option<u64>,
    /// `1` or `2`, where the wording tells it.
    pub cgroup_version: Option<u8>,
    /// How much of the task table was there.
    #[serde(default)]
    pub task_table: TaskTable,
    /// Which parts were in the log.
    #[serde(default)]
    pub extent: LogExtent,
}

impl KernelReport {
    /// True where runc's own process was killed and the container had no other yet: it had not become the container's first process. Beside
    /// others it is the start of a probe's or of `kubectl exec`'s command.
    #[must_use]
    pub fn killed_at_start(&self) -> bool {
        let is_starter = |comm: &Comm| comm.as_bytes().starts_with(b"runc:[");
        let victim = self.victims.first().and_then(|victim| victim.comm.as_ref());
        victim.is_some_and(is_starter) && self.tasks.iter().all(|task| is_starter(&task.comm))
    }
}
