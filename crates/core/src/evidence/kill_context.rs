//! What a program in the kernel saw in the instant of a kill: exact where the log is coarse, and there where the log is silent.

use serde::{Deserialize, Serialize};

use super::kernel_report::{Comm, Task};
use crate::time::BootTime;
use crate::units::Bytes;

/// Where in the kernel it was seen. They differ in what they can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Entry of `oom_kill_process`: has the kernel's own `oom_control`.
    OomKillProcess,
    /// `mark_victim`, with access to kernel types (tp_btf).
    MarkVictimBtf,
    /// `mark_victim`, classic.
    MarkVictim,
}

/// The instant of one kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillContext {
    /// CLOCK_MONOTONIC, microseconds.
    pub at: BootTime,
    /// Which program saw it.
    pub hook: Hook,
    /// Who asked for the page.
    pub trigger: Party,
    /// Who was chosen.
    pub victim: Party,
    /// Allocation flags; only [`Hook::OomKillProcess`] sees them.
    pub gfp_mask: Option<u32>,
    /// Pages asked for, as a power of two; as above.
    pub order: Option<i32>,
    /// Whether the machine had no memory, rather than a cgroup; as above.
    pub global: Option<bool>,
    /// Inode of the cgroup whose limit was reached: as above, or the one of the victim's chain that is full.
    pub limit_cgroup_id: Option<u64>,
    /// The trigger's cgroup and its ancestors, outermost last.
    pub chain: Vec<ChainLevel>,
    /// What the victim held.
    pub victim_memory: VictimMemory,
    /// The processes of the cgroup whose limit was reached (of the machine, where it had no memory).
    pub tasks: Vec<Task>,
    /// False where there were more of them than could be looked at.
    pub tasks_complete: bool,
}

/// A task at a kill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// The thread's name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Its user (the real one, as in the kernel's log).
    pub uid: u32,
    /// `oom_score_adj`.
    pub oom_score_adj: i16,
    /// Inode of its memory cgroup's folder.
    pub cgroup_id: u64,
}

/// One memory cgroup at a kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLevel {
    /// Inode of its folder: what names it in user space.
    pub cgroup_id: u64,
    /// Charged.
    pub usage_bytes: Bytes,
    /// `None` for no limit.
    pub limit_bytes: Option<Bytes>,
    /// The highest ever, or since somebody reset it (v1).
    pub peak_bytes: Option<Bytes>,
    /// Charged to its second counter: swap (v2) or memory and swap (v1).
    pub swap_usage_bytes: Option<Bytes>,
    /// The second counter's limit, `None` for none.
    pub swap_limit_bytes: Option<Bytes>,
    /// How often a charge met the limit.
    pub failcnt: Option<u64>,
}

/// What a process held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VictimMemory {
    /// Address space.
    pub total_vm_bytes: Option<Bytes>,
    /// Resident, anonymous. On kernels from 6.2 behind by up to a few pages a CPU.
    pub anon_bytes: Option<Bytes>,
    /// Resident, of files.
    pub file_bytes: Option<Bytes>,
    /// Resident, shared.
    pub shmem_bytes: Option<Bytes>,
    /// Swapped out.
    pub swap_bytes: Option<Bytes>,
    /// Page tables.
    pub pgtables_bytes: Option<Bytes>,
}
