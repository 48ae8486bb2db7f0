//! Python's own functions in the stacks of kills.
//!
//! A program in the kernel copies them in the instant of the kill, where it was told of the process before; what it copied is put
//! into the native stack of the same thread here.

use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use oomscope_core::evidence::{Frame, Gap};
use oomscope_sources::ebpf::{KillId, PythonLayouts, PythonStack, Pythons};
use oomscope_sources::stacks::interpreters::merge;
use oomscope_sources::stacks::interpreters::python::Layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The kernel's report lies between the two programs that see a kill, and a slow console prints it for a while.
const PATIENCE: Duration = Duration::from_millis(250);
/// What came belongs to the same kill if it came within this time of its beginning, nanoseconds.
const SAME_NS: u64 = 5_000_000_000;
/// Stacks whose kill was not asked for yet.
const WAITING: usize = 64;

/// What the program in the kernel copies.
pub(super) struct Copies {
    program: Result<Pythons, Gap>,
    waiting: VecDeque<PythonStack>,
}

impl Copies {
    /// Loads the program. Where that does not work, the stacks of Python programs have a gap.
    pub(super) fn start() -> Self {
        Self { program: Pythons::start(), waiting: VecDeque::new() }
    }

    /// Where it is told of processes.
    pub(super) fn layouts(&self) -> Option<PythonLayouts> {
        self.program.as_ref().ok().map(Pythons::layouts)
    }

    /// Puts the Python functions of a thread, which caused a kill, into its native stack.
    pub(super) fn put_into(
        &mut self,
        native: Vec<Frame>,
        (id, tid): (KillId, u32),
        layout: &Layout,
        gaps: &mut Vec<Gap>,
    ) -> Vec<Frame> {
        match self.stack_of(id, tid) {
            Ok(stack) => merge(native, layout, &stack.frames),
            Err(gap) => {
                gaps.push(gap);
                native
            }
        }
    }

    fn stack_of(&mut self, id: KillId, tid: u32) -> Result<PythonStack, Gap> {
        let Self { program, waiting } = self;
        let program = program.as_mut().map_err(|gap| gap.clone())?;
        let is_it = |stack: &PythonStack| stack.tid == tid && stack.at_ns.abs_diff(id.0) < SAME_NS;
        let until = Instant::now() + PATIENCE;
        loop {
            program.drain(&mut |stack| waiting.push_back(stack));
            if let Some(stack) = waiting.iter().position(is_it).and_then(|at| waiting.remove(at)) {
                return Ok(stack);
            }
            while waiting.len() > WAITING {
                waiting.pop_front();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "none were copied: the process was first looked at too late, or another thread holds them";
                return Err(Gap::new(format!("the Python functions of thread {tid}"), why));
            }
            wait(program, left);
        }
    }
}

fn wait(program: &Pythons, at_most: Duration) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: at_most.subsec_nanos().into() };
    // Whether it was that or the end of the time: the caller looks.
    let _ = poll(&mut [PollFd::from_borrowed_fd(program.as_fd().as_fd(), PollFlags::IN)], Some(&timeout));
}
