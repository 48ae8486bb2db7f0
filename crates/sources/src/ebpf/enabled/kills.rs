//! Kills as the kernel sees them, put together from their records.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;

use oomscope_bpf::{Failure, KernelFunctions, KillHook, KillRecord, KillWatch, wire};
use oomscope_core::evidence::{Gap, Hook, Task};

use super::context::{Units, context, hook};
use super::stack;
use crate::ebpf::{KernelSymbols, KillId, KillLosses, Killed, Part, UserStack};
use crate::host_root::HostRoot;

/// Kills whose records may still come. The last to come is the victim's stack, when the victim gets to take its signal.
const REMEMBERED: usize = 256;
/// Victims' stacks that came before their kills.
const EARLY: usize = 64;
const FROM_CGROUPS: [&str; 1] = ["mem_cgroup_out_of_memory"];
const FROM_KILLS: [&str; 2] = ["oom_kill_process", "__oom_kill_process"];

/// The kills of this machine, in the instant they happen.
pub struct Kills {
    watch: KillWatch,
    units: Units,
    known: VecDeque<Known>,
    early: VecDeque<UserStack>,
    gaps: Vec<Gap>,
}

/// A kill and what came for it.
struct Known {
    killed: Killed,
    /// Whose trigger's stack and tasks are also this one's.
    details_of: KillId,
}

impl Kills {
    /// From now on. Reads the kernel's list of functions once, and tries one way after the other: some 0.1 s.
    ///
    /// # Errors
    /// Why kills cannot be seen here.
    pub fn start() -> Result<Self, Gap> {
        Self::start_from(Hook::OomKillProcess)
    }

    /// As [`start`](Self::start), with this hook the best that is tried.
    ///
    /// # Errors
    /// As there.
    pub fn start_from(best: Hook) -> Result<Self, Gap> {
        let mut gaps = Vec::new();
        let functions = kernel_functions().unwrap_or_else(|gap| {
            gaps.push(gap);
            KernelFunctions::default()
        });
        let best = match best {
            Hook::OomKillProcess => KillHook::OomKillProcess,
            Hook::MarkVictimBtf => KillHook::MarkVictimBtf,
            Hook::MarkVictim => KillHook::MarkVictim,
        };
        let watch = KillWatch::start_from(best, &functions).map_err(|failures| no_kills(&failures))?;
        gaps.extend(watch.failures().iter().map(|failure| lacking(failure, watch.hook())));
        let page_size = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Ok(Self { watch, units: Units { page_size }, known: VecDeque::new(), early: VecDeque::new(), gaps })
    }

    /// Readable when there is something to [`drain`](Self::drain).
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Which program sees the kills.
    #[must_use]
    pub fn hook(&self) -> Hook {
        hook(self.watch.hook())
    }

    /// What is not seen, although kills are.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// What was lost since the start.
    #[must_use]
    pub fn lost(&self) -> KillLosses {
        let wire::kill_losses { kills, stacks, tasks } = self.watch.lost();
        KillLosses { kills, stacks, tasks }
    }

    /// Calls `on` for each part of a kill that came since, with all that is known of that kill by now.
    pub fn drain(&mut self, on: &mut dyn FnMut(&Killed, Part)) {
        let Self { watch, units, known, early, .. } = self;
        watch.drain(&mut |record| match record {
            KillRecord::Kill(kill) => {
                let killed = begin(known, &kill, *units, on);
                if let Some(at) = early.iter().position(|stack| stack.raw.pid == killed.context.victim.pid) {
                    killed.victim_stack = early.remove(at);
                    on(killed, Part::VictimStack);
                }
            }
            KillRecord::Stack(stack) if stack.of_victim != 0 => {
                add_victim_stack(known, early, stack::of_kill(&stack), on);
            }
            KillRecord::Stack(stack) => {
                let came = stack::of_kill(&stack);
                for known in sharing(known, stack.kill_at_ns) {
                    known.killed.trigger_stack = Some(came.clone());
                    on(&known.killed, Part::TriggerStack);
                }
            }
            KillRecord::Tasks(tasks) => add_tasks(known, &tasks, *units, on),
        });
    }
}

impl fmt::Debug for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kills").field("hook", &self.hook()).field("gaps", &self.gaps).finish_non_exhaustive()
    }
}

fn sharing(known: &mut VecDeque<Known>, kill_at_ns: u64) -> impl Iterator<Item = &mut Known> {
    known.iter_mut().filter(move |known| known.details_of == KillId(kill_at_ns))
}

/// A kill that shares the details of one before it has them from the start.
fn begin<'a>(
    known: &'a mut VecDeque<Known>,
    kill: &wire::kill,
    units: Units,
    on: &mut dyn FnMut(&Killed, Part),
) -> &'a mut Killed {
    let details_of = KillId(kill.details_of);
    let mut killed = Killed {
        id: KillId(kill.at_ns),
        context: context(kill, units),
        kernel: kill.kernel_frames().to_vec(),
        trigger_stack: None,
        victim_stack: None,
    };
    on(&killed, Part::Context);
    if let Some(first) = known.iter().rev().find(|first| first.killed.id == details_of) {
        killed.context.tasks.clone_from(&first.killed.context.tasks);
        killed.context.tasks_complete = first.killed.context.tasks_complete;
        killed.trigger_stack.clone_from(&first.killed.trigger_stack);
        if killed.trigger_stack.is_some() {
            on(&killed, Part::TriggerStack);
        }
        if !killed.context.tasks.is_empty() {
            on(&killed, Part::Tasks);
        }
    }
    if known.len() == REMEMBERED {
        known.pop_front();
    }
    &mut known.push_back_mut(Known { killed, details_of }).killed
}

/// The newest kill of this process: its number may have been another's before.
fn add_victim_stack(
    known: &mut VecDeque<Known>,
    early: &mut VecDeque<UserStack>,
    stack: UserStack,
    on: &mut dyn FnMut(&Killed, Part),
) {
    let mut kills = known.iter_mut().rev().map(|known| &mut known.killed);
    match kills.find(|killed| killed.context.victim.pid == stack.raw.pid) {
        Some(killed) if killed.victim_stack.is_some() => {}
        Some(killed) => {
            killed.victim_stack = Some(stack);
            on(killed, Part::VictimStack);
        }
        None => {
            if early.len() == EARLY {
                early.pop_front();
            }
            early.push_back(stack);
        }
    }
}

fn add_tasks(known: &mut VecDeque<Known>, tasks: &wire::tasks, units: Units, on: &mut dyn FnMut(&Killed, Part)) {
    let rows: Vec<Task> = tasks.rows().iter().map(|row| units.task(row)).collect();
    for known in sharing(known, tasks.kill_at_ns) {
        let context = &mut known.killed.context;
        context.tasks.extend_from_slice(&rows);
        if tasks.last != 0 {
            context.tasks_complete = tasks.complete != 0;
            on(&known.killed, Part::Tasks);
        }
    }
}

fn kernel_functions() -> Result<KernelFunctions, Gap> {
    let symbols = KernelSymbols::new(HostRoot::default());
    let [of_cgroups, of_kills] = symbols.places([&FROM_CGROUPS, &FROM_KILLS])?;
    Ok(KernelFunctions { of_cgroups, of_kills })
}

fn no_kills(failures: &[Failure]) -> Gap {
    let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Gap::new("kills as the kernel sees them", reasons.join("; "))
}

/// A failure on a better rung of the ladder, or of what comes beside.
fn lacking(failure: &Failure, hook: KillHook) -> Gap {
    let wanted = match hook {
        KillHook::OomKillProcess => "stack of a victim that is not the trigger",
        KillHook::MarkVictimBtf | KillHook::MarkVictim => {
            "gfp mask and order of the allocation, from the kernel itself"
        }
    };
    Gap::new(wanted, failure.to_string())
}
