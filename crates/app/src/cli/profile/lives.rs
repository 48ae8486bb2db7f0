//! Processes as their samples come in: who they are, and where their code lies.
//!
//! A process may start another program, and its pid may be given to another process; addresses mean something else then. Each such
//! stretch is a life of its own. They are looked into at their first sample: whoever ends before that keeps a name and loses its stacks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use oomscope_core::evidence::{FoundBy, Frame};
use oomscope_core::incident::identity::identify;
use oomscope_core::profile::Process;
use oomscope_sources::ebpf::FaultSample;
use oomscope_sources::process::Proc;
use oomscope_sources::stacks::{Address, Space, Symboliser, Unwinder};

/// Of one life, how often its maps are read again because code lies where none was known: V8 and HotSpot make some all the time.
const REREAD_AFTER: Duration = Duration::from_millis(200);
/// Lives that are kept apart. Two descriptors each.
const MOST: usize = 1 << 14;

/// All of them.
pub(super) struct Lives {
    proc: Proc,
    unwinder: Unwinder,
    lives: Vec<Life>,
    current: HashMap<u32, usize>,
    /// Samples whose process had ended, or was one too many.
    pub(super) without_space: u64,
    /// Samples whose stack could not be followed to its end.
    pub(super) truncated: u64,
}

/// A process that runs one program.
pub(super) struct Life {
    pub(super) process: Process,
    space: Option<Space>,
    /// Of its first thread, when last seen: another name may be another program's.
    main_comm: Option<Vec<u8>>,
    read_at: Instant,
}

/// A sample's place.
pub(super) struct Found {
    /// Number of the life.
    pub(super) life: usize,
    /// Another program than at the last sample of this pid, or another process.
    pub(super) is_another: bool,
    /// Innermost first.
    pub(super) stack: Vec<Address>,
}

impl Lives {
    pub(super) fn new(proc: Proc) -> Self {
        Self {
            proc,
            unwinder: Unwinder::default(),
            lives: Vec::new(),
            current: HashMap::new(),
            without_space: 0,
            truncated: 0,
        }
    }

    pub(super) fn get(&self, life: usize) -> Option<&Life> {
        self.lives.get(life)
    }

    /// The life that its process leads now.
    pub(super) fn is_current(&self, life: usize) -> bool {
        self.lives.get(life).is_some_and(|of| self.current.get(&of.process.pid) == Some(&life))
    }

    /// Follows the stack of a sample.
    pub(super) fn find(&mut self, sample: &FaultSample) -> Found {
        let (life, is_another) = self.life_of(sample);
        let stack = self.unwind(life, sample);
        Found { life, is_another, stack }
    }

    fn life_of(&mut self, sample: &FaultSample) -> (usize, bool) {
        let Some(&life) = self.current.get(&sample.pid) else { return (self.begin(sample), false) };
        if self.lives.get_mut(life).is_some_and(|of| of.may_have_changed(sample)) && self.reread(life) {
            return (self.begin(sample), true);
        }
        (life, false)
    }

    fn begin(&mut self, sample: &FaultSample) -> usize {
        let pid = sample.pid;
        let cgroup = self.proc.memory_cgroup(pid);
        let container_id =
            cgroup.as_ref().and_then(|cgroup| identify(cgroup.as_bytes())).and_then(|id| id.container_id);
        let comm = self.proc.read_without_arguments(pid).map(|process| process.comm.0);
        let process =
            Process { pid, comm: comm.unwrap_or_else(|_| sample.comm.as_slice().into()), cgroup, container_id };
        let space = if self.lives.len() < MOST { self.proc.space(pid).ok() } else { None };
        let main_comm = (sample.pid == sample.tid).then(|| sample.comm.clone());
        self.lives.push(Life { process, space, main_comm, read_at: Instant::now() });
        let life = self.lives.len() - 1;
        self.current.insert(pid, life);
        life
    }

    /// Reads its maps again. True where it is another program, or another process.
    fn reread(&mut self, life: usize) -> bool {
        let Some(of) = self.lives.get_mut(life) else { return false };
        of.read_at = Instant::now();
        let Ok(fresh) = self.proc.space(of.process.pid) else { return false };
        match &mut of.space {
            Some(known) if !is_same_program(known, &fresh) => true,
            Some(known) => {
                self.proc.refresh(known);
                false
            }
            None => {
                of.space = Some(fresh);
                false
            }
        }
    }

    fn unwind(&mut self, life: usize, sample: &FaultSample) -> Vec<Address> {
        match self.lives.get(life).and_then(|life| life.space.as_ref()) {
            Some(space) => {
                let unwound = self.unwinder.unwind(space, &sample.stack);
                self.truncated += u64::from(unwound.truncated);
                unwound.addresses
            }
            None => {
                self.without_space += 1;
                Vec::new()
            }
        }
    }

    /// Names what was found of a life.
    pub(super) fn frames(&self, life: usize, stack: &[Address], symboliser: &mut Symboliser) -> Vec<Frame> {
        match self.lives.get(life).and_then(|life| life.space.as_ref()) {
            Some(space) => symboliser.frames(space, stack),
            None => stack.iter().map(unknown).collect(),
        }
    }
}

impl Life {
    fn may_have_changed(&mut self, sample: &FaultSample) -> bool {
        let renamed = sample.pid == sample.tid
            && self.main_comm.replace(sample.comm.clone()).is_some_and(|before| before != sample.comm);
        let code_is_known = match (&self.space, &sample.stack.registers) {
            (Some(space), Some(registers)) => space.mapping(registers.ip).is_some(),
            (None, _) => false,
            (_, None) => true,
        };
        renamed || (!code_is_known && self.read_at.elapsed() > REREAD_AFTER)
    }
}

/// The kernel maps the vDSO at a place of chance whenever a program is started, and leaves it there.
fn is_same_program(before: &Space, now: &Space) -> bool {
    let vdso = |space: &Space| {
        let is_vdso = |mapping: &&_| space.file(mapping).is_some_and(|file| file.path.as_bytes() == b"[vdso]");
        space.mappings().iter().find(is_vdso).map(|mapping| mapping.start)
    };
    before.started_ticks() == now.started_ticks()
        && before.handles().exe_path() == now.handles().exe_path()
        && vdso(before) == vdso(now)
}

fn unknown(address: &Address) -> Frame {
    Frame { address: Some(address.address), found_by: FoundBy::Registers, ..Frame::default() }
}
