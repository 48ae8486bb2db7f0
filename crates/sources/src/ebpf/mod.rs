//! What programs in the kernel tell: each OOM kill in its instant, and samples of page faults.
//!
//! Built without the feature `ebpf`, the same functions answer with a [`Gap`]: callers need no `cfg`.
//!
//! ```text
//! oomscope_bpf's records ─▶ Kills  ─▶ Killed { KillContext, stacks }
//!                        ─▶ Faults ─▶ FaultSample
//! ```

use oomscope_core::evidence::{Gap, KillContext};
use oomscope_core::time::BootTime;

use crate::stacks::RawStack;

#[cfg(not(feature = "ebpf"))]
mod disabled;
#[cfg(feature = "ebpf")]
mod enabled;
mod kernel_symbols;
mod python;

#[cfg(not(feature = "ebpf"))]
pub use disabled::{Faults, Kills};
#[cfg(feature = "ebpf")]
pub use enabled::{Faults, Kills};
pub use kernel_symbols::KernelSymbols;
pub use python::{PythonLayouts, PythonStack, Pythons};

/// Names a kill as long as the machine runs. Its nanosecond: the kernel kills one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KillId(pub u64);

/// One kill, as far as it is known by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    /// Its name.
    pub id: KillId,
    /// There from the first call on; `tasks` fills up a moment later.
    pub context: KillContext,
    /// The trigger's frames in the kernel, innermost first: [`KernelSymbols::name`] names them, which takes tens of milliseconds.
    pub kernel: Vec<u64>,
    /// Where the trigger was. `None` for a kernel thread, or where it did not come (see [`Kills::lost`]).
    pub trigger_stack: Option<UserStack>,
    /// Where the victim was when it took the signal, if it is not the trigger.
    pub victim_stack: Option<UserStack>,
}

/// What a call of [`Kills::drain`] added to a [`Killed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is new: everything but tasks and stacks.
    Context,
    /// The trigger's stack.
    TriggerStack,
    /// The tasks, all of them that will come.
    Tasks,
    /// The victim's stack. Comes when it dies; before that the signal has to reach it.
    VictimStack,
}

/// A stack, and what else is needed to make sense of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserStack {
    /// Registers, addresses and memory.
    pub raw: RawStack,
    /// Base of the thread's own storage (x86-64: `fs`); `None` where it is not known.
    pub tls_base: Option<u64>,
    /// For each of `raw.frame_pointers` the file it lies in, as the kernel saw it in that instant; shorter where it is not known.
    pub files: Vec<Option<FrameFile>>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameFile {
    /// Build id, hexadecimal.
    pub build_id: String,
    /// Bytes from the file's beginning.
    pub offset: u64,
}

/// One page fault of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSample {
    /// CLOCK_MONOTONIC.
    pub at: BootTime,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The thread's name: any bytes.
    pub comm: Vec<u8>,
    /// Inode of its memory cgroup's folder; `None` where there is no memory controller.
    pub cgroup_id: Option<u64>,
    /// Where it touched memory.
    pub address: u64,
    /// What its process had resident before this fault, pages. On kernels from 6.2 behind by up to a few tens of pages a CPU.
    pub rss_pages: u64,
    /// Base of the thread's own storage, as in [`UserStack`].
    pub tls_base: Option<u64>,
    /// Where it was.
    pub stack: RawStack,
}

/// What to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultConfig {
    /// One of so many faults of a CPU is sampled.
    pub period: u64,
    /// How much of the stack is copied at most, bytes; up to 8 KiB, rounded up to KiB. 0: only registers and frame pointers.
    pub stack_bytes: u32,
    /// Samples a second and CPU, at most; what is more is counted ([`FaultLosses::over_rate`]).
    pub rate: u32,
    /// Whose faults.
    pub filter: FaultFilter,
}

/// Whose faults are sampled. The sets may change while the sampler runs; which of the three it is may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultFilter {
    /// The whole machine.
    All,
    /// Of these cgroups (inodes of their folders in the memory hierarchy) and of everything below.
    Cgroups(Vec<u64>),
    /// Of these processes.
    Processes(Vec<u32>),
}

/// Samples that did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultLosses {
    /// There were too many in a second.
    pub over_rate: u64,
    /// They were not read in time.
    pub buffer_full: u64,
}

/// Records of kills that did not come, because they were not read in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KillLosses {
    /// Whole kills.
    pub kills: u64,
    /// Stacks.
    pub stacks: u64,
    /// Parts of the list of tasks.
    pub tasks: u64,
}

impl KillLosses {
    /// What was lost in words; `None` where nothing was.
    #[must_use]
    pub fn gap(self) -> Option<Gap> {
        let Self { kills, stacks, tasks } = self;
        (kills + stacks + tasks > 0).then(|| {
            let what = format!("{kills} kills, {stacks} stacks and {tasks} parts of task lists as the kernel saw them");
            Gap::new(what, "they were not read in time: the ring buffer was full")
        })
    }
}
