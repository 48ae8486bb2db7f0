//! The address spaces of processes that may be killed soon, taken while they live.
//!
//! What is mapped where, and a way into the process's files, is what its stack is named by, and neither can be had once it has ended.
//! So both are taken when its cgroup comes near its limit, again when that is some time ago, and at the latest when a program in the
//! kernel says that it is being killed: a race that is won more often than not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oomscope_core::time::BootTime;
use oomscope_sources::ebpf::PythonLayouts;
use oomscope_sources::process::Proc;
use oomscope_sources::stacks::Space;
use oomscope_sources::stacks::interpreters::python::Layout;
use oomscope_sources::stacks::interpreters::{Interpreter, recognise};

/// How many are kept, of the processes looked at last: each holds two descriptors and some KiB.
const KEPT: usize = 512;
/// What is older is taken again: libraries are loaded, code is compiled at run time.
const FRESH_US: u64 = 10_000_000;

/// Shared by the threads that take them and the one that names stacks.
#[derive(Clone, Debug)]
pub(super) struct Spaces {
    proc: Proc,
    /// Who copies Python's functions at a kill has to know of the process before.
    pythons: Option<PythonLayouts>,
    kept: Arc<Mutex<HashMap<u32, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    space: Arc<Space>,
    python: Option<Layout>,
    taken: BootTime,
}

impl Spaces {
    pub(super) fn new(proc: Proc, pythons: Option<PythonLayouts>) -> Self {
        Self { proc, pythons, kept: Arc::default() }
    }

    /// Takes that of a process, unless it was taken a short while ago; whether it was worth a look.
    pub(super) fn keep(&self, pid: u32, now: BootTime) -> bool {
        let is_due = !self.is_fresh(pid, now);
        if is_due {
            self.take(pid, now);
        }
        is_due
    }

    /// Takes that of a process that is being killed: what is there now is better than what was, where it still can be had.
    pub(super) fn at_kill(&self, pid: u32, now: BootTime) {
        self.take(pid, now);
    }

    /// As it was taken last.
    pub(super) fn known(&self, pid: u32) -> Option<Arc<Space>> {
        self.lock().get(&pid).map(|kept| Arc::clone(&kept.space))
    }

    /// How a process keeps its Python frames; `None` where it is no Python that is known.
    pub(super) fn python(&self, pid: u32) -> Option<Layout> {
        self.lock().get(&pid).and_then(|kept| kept.python)
    }

    /// Looked for once in a program's life, and told at once: the kill may be near.
    fn python_of(&self, space: &Space) -> Option<Layout> {
        let pythons = self.pythons.as_ref()?;
        let same = |kept: &&Kept| kept.space.started_ticks() == space.started_ticks();
        if let Some(known) = self.lock().get(&space.pid()).filter(same).and_then(|kept| kept.python) {
            return Some(known);
        }
        let Interpreter::Python(layout) = recognise(&self.proc, space)?;
        // Full kernel memory costs these functions, which the kill's case will say.
        let _ = pythons.set(space.pid(), &layout);
        Some(layout)
    }

    fn take(&self, pid: u32, now: BootTime) {
        // Not with the lock held: it may take a millisecond.
        let Ok(space) = self.proc.space(pid) else { return };
        if space.mappings().is_empty() {
            // It has given up its memory already.
            return;
        }
        let python = self.python_of(&space);
        let mut kept = self.lock();
        if kept.len() >= KEPT
            && !kept.contains_key(&pid)
            && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.taken).map(|(pid, _)| *pid)
        {
            kept.remove(&oldest);
        }
        kept.insert(pid, Kept { space: Arc::new(space), python, taken: now });
    }

    fn is_fresh(&self, pid: u32, now: BootTime) -> bool {
        self.lock().get(&pid).is_some_and(|kept| now.0.saturating_sub(kept.taken.0) < FRESH_US)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
