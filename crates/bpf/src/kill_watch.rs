//! The kills of the machine, from the best of the places where the kernel lets a program look.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;

use libbpf_rs::{Link, MapHandle};

use crate::object::{Loaded, image};
use crate::records::KillRecord;
use crate::ring::{Ring, counters};
use crate::{Failure, Reason, wire};

/// Where in the kernel kills are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillHook {
    /// Entry of `oom_kill_process`, and `mark_victim` for those that die with the one that was chosen.
    OomKillProcess,
    /// `mark_victim`, with access to the kernel's types.
    MarkVictimBtf,
    /// `mark_victim` as an ordinary tracepoint.
    MarkVictim,
}

/// Where functions of the kernel lie, from `/proc/kallsyms`; empty where that hides it. At most eight of each are used.
#[derive(Clone, Debug, Default)]
pub struct KernelFunctions {
    /// Those that a kill by the limit of a cgroup passes through, and no other does: `mem_cgroup_out_of_memory`.
    pub of_cgroups: Vec<std::ops::Range<u64>>,
    /// Those that each kill passes through: `oom_kill_process`, `__oom_kill_process`. Without them, a process that is ending by itself
    /// may be taken for one that was killed.
    pub of_kills: Vec<std::ops::Range<u64>>,
}

/// One way to see kills.
struct Rung {
    hook: KillHook,
    kills: &'static [&'static str],
    /// They send the victim's stack.
    signals: &'static [&'static str],
}

/// Best first.
const LADDER: [Rung; 3] = [
    Rung {
        hook: KillHook::OomKillProcess,
        kills: &["on_oom_kill_process", "on_mark_victim_btf"],
        signals: &["on_signal_generate_btf", "on_signal_deliver_btf"],
    },
    Rung {
        hook: KillHook::MarkVictimBtf,
        kills: &["on_mark_victim_btf"],
        signals: &["on_signal_generate_btf", "on_signal_deliver_btf"],
    },
    Rung { hook: KillHook::MarkVictim, kills: &["on_mark_victim"], signals: &["on_signal_deliver"] },
];

/// Sees the kills of the machine until it is dropped.
pub struct KillWatch {
    // Dropped first: no more records then.
    _links: Vec<Link>,
    ring: Ring<KillRecord>,
    bss: MapHandle,
    hook: KillHook,
    failures: Vec<Failure>,
}

impl KillWatch {
    /// Tries each way, best first. Takes some 15 ms for each.
    ///
    /// # Errors
    /// None works: what each failed of.
    pub fn start(functions: &KernelFunctions) -> Result<Self, Vec<Failure>> {
        Self::start_from(KillHook::OomKillProcess, functions)
    }

    /// As [`start`](Self::start), with this way the best that is tried.
    ///
    /// # Errors
    /// As there.
    pub fn start_from(best: KillHook, functions: &KernelFunctions) -> Result<Self, Vec<Failure>> {
        let mut failures = Vec::new();
        for rung in LADDER.iter().skip_while(|rung| rung.hook != best) {
            match rung.load(functions).and_then(|(loaded, lacking)| {
                failures.extend(lacking);
                Self::new(loaded, rung.hook)
            }) {
                Ok(watch) => return Ok(Self { failures, ..watch }),
                Err(failure) if failure.reason == Reason::NoBtf => return Err(vec![failure]),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures)
    }

    fn new(mut loaded: Loaded, hook: KillHook) -> Result<Self, Failure> {
        let ring = Ring::new(loaded.map("events")?, KillRecord::decode)
            .map_err(|e| Failure { tried: "ring buffer of kills".to_owned(), reason: Reason::Other(e.to_string()) })?;
        Ok(Self { ring, bss: loaded.map(".bss")?, _links: loaded.links, hook, failures: Vec::new() })
    }

    /// Which way works.
    #[must_use]
    pub fn hook(&self) -> KillHook {
        self.hook
    }

    /// Why no better way works, and what else does not.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Readable from the moment of a kill until it is drained.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Calls `on` for each record that waits, without waiting for more.
    pub fn drain(&mut self, on: &mut dyn FnMut(KillRecord)) {
        self.ring.drain(on);
    }

    /// Records that were not sent because the ring buffer was full.
    #[must_use]
    pub fn lost(&self) -> wire::kill_losses {
        let [kills, stacks, tasks] = counters(&self.bss);
        wire::kill_losses { kills, stacks, tasks }
    }
}

impl Rung {
    /// Without the victim's stack rather than not at all, and then why.
    fn load(&self, functions: &KernelFunctions) -> Result<(Loaded, Option<Failure>), Failure> {
        let with_signals: Vec<&str> = self.kills.iter().chain(self.signals).copied().collect();
        let full = match self.load_programs(&with_signals, functions) {
            Ok(loaded) => return Ok((loaded, None)),
            Err(failure) => failure,
        };
        if !full.reason.may_be_the_program() {
            return Err(full);
        }
        self.load_programs(self.kills, functions).map(|loaded| (loaded, Some(full)))
    }

    fn load_programs(&self, programs: &[&str], functions: &KernelFunctions) -> Result<Loaded, Failure> {
        let prepare = |constants: &mut [u8]| {
            put(constants, offset_of!(wire::kill_rodata, cgroup_functions), &functions.of_cgroups);
            put(constants, offset_of!(wire::kill_rodata, kill_functions), &functions.of_kills);
        };
        Loaded::new(image!("kill"), programs, &prepare, &|program| program.attach().map(|link| vec![link]))
    }
}

/// Writes ranges into the program's constants; the rest of its eight stay 0.
fn put(constants: &mut [u8], offset: usize, ranges: &[std::ops::Range<u64>]) {
    let room = size_of::<wire::range>();
    let places = constants.get_mut(offset..).unwrap_or_default().chunks_exact_mut(room).take(8);
    for (place, range) in places.zip(ranges) {
        let (start, end) = place.split_at_mut(room / 2);
        start.copy_from_slice(&range.start.to_ne_bytes());
        end.copy_from_slice(&range.end.to_ne_bytes());
    }
}
