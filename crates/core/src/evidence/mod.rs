//! Station 2 of the path: normalised facts, with the log lines they rest on, or a [`Gap`] where a fact was sought and
//! not had.

mod cgroup_files;
mod frame_name;
mod gap;
mod hot_stacks;
mod kernel_report;
mod kill_context;
pub mod levels;
mod log_lines;
mod node_memory;
pub mod own_code;
mod process;
mod stack;

pub use cgroup_files::{CounterChange, Counters, Events, Limits};
pub use gap::Gap;
pub use hot_stacks::{HotFunction, HotStack, HotStacks};
pub use kernel_report::{
    Comm, Constraint, Counter, KernelReport, LogExtent, Panic, Reaped, Scope, Task, TaskTable, Trigger, Victim,
};
pub use kill_context::{ChainLevel, Hook, KillContext, Party, VictimMemory};
pub use log_lines::{Evidence, EvidenceId, Part};
pub use node_memory::{FreeBlocks, NodeMemory, Swap, Zone};
pub use process::{Mapping, Occasion, Process, Snapshot};
pub use stack::{FoundBy, Frame, KernelStack, Language, NamedBy, Stacks, VictimStack};
