//! From a copy of a stack to the calls in it.
//!
//! Ordinary programs have no frame pointers but unwind tables, code made at run time has frame pointers but no tables, and a copy
//! ends somewhere. So the walk goes by table where there is one, else by frame pointer, and where it cannot go on, what the kernel
//! found by following frame pointers in the living process goes on from there, if both agree on a frame.

use std::sync::Arc;

use oomscope_core::evidence::FoundBy;

use super::bounded::Bounded;
use super::cfi::{Context, Step};
use super::cpu::{self, Cpu, Missing, StackCopy};
use super::elf::Bytes;
use super::file::Identity;
use super::module::{Module, by_frame_pointer, vdso};
use super::{RawStack, Space};

/// Files whose tables are kept.
const MAX_FILES: usize = 512;
/// Bytes of tables that are kept: libc has 0.2 MB, CPython 0.6 MB, libnode 6 MB.
const MAX_BYTES: usize = 32 << 20;
/// The kernel's own limit of a stack is 127 (`kernel.perf_event_max_stack`).
const MAX_FRAMES: usize = 256;

/// An instruction that a call stack goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// In the process. Of a caller the return address minus one, so that it lies within the call.
    pub address: u64,
    /// How it was found.
    pub found_by: FoundBy,
}

/// A call stack without names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Innermost first. Empty for a kernel thread.
    pub addresses: Vec<Address>,
    /// The stack may go on behind what is here: the copy ended, or what is there could not be followed.
    pub truncated: bool,
}

/// Follows stacks of any process. Keeps the unwind tables of files that it met, up to a limit.
pub struct Unwinder {
    modules: Bounded<Key, Option<Module>>,
    context: Context,
}

/// What tables are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    File(Identity),
    Vdso,
}

/// A frame on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    /// Instruction pointer or return address, as the kernel has it too.
    ip: u64,
    address: Address,
}

impl Default for Unwinder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unwinder").field("files", &self.modules.len()).field("bytes", &self.modules.weight()).finish()
    }
}

impl Unwinder {
    /// Knows no file yet.
    #[must_use]
    pub fn new() -> Self {
        Self { modules: Bounded::new(MAX_FILES, MAX_BYTES), context: Context::new() }
    }

    /// Bytes of unwind tables that are held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.modules.weight()
    }

    /// Follows a stack. Some microseconds, once the tables of its files are known.
    pub fn unwind(&mut self, space: &Space, raw: &RawStack) -> Unwound {
        let Some(registers) = raw.registers else { return Unwound::default() };
        let stack = StackCopy::of(raw, &registers);
        let (mut found, end) = self.walk(space, Cpu::new(&registers), &stack);
        let mut truncated = end.is_some();
        if truncated {
            go_on(space, &mut found, &raw.frame_pointers);
            truncated = !found.last().is_some_and(|last| self.is_outermost(space, last.address.address));
        }
        Unwound { addresses: found.into_iter().map(|found| found.address).collect(), truncated }
    }

    /// As far as the copy and the tables lead, and why no further; `None` where there is nothing further.
    fn walk(&mut self, space: &Space, mut cpu: Cpu, stack: &StackCopy<'_>) -> (Vec<Found>, Option<Missing>) {
        let mut found = vec![Found::new(&cpu, FoundBy::Registers)];
        while found.len() < MAX_FRAMES {
            let (step, found_by) = self.step(space, &cpu, stack);
            match step {
                Step::Caller(caller) if is_plausible(space, &cpu, &caller) => {
                    found.push(Found::new(&caller, found_by));
                    cpu = caller;
                }
                Step::Caller(_) => return (found, Some(Missing::Elsewhere)),
                Step::Outermost => return (found, None),
                Step::Lost(missing) => return (found, Some(missing)),
            }
        }
        (found, Some(Missing::Behind))
    }

    fn step(&mut self, space: &Space, cpu: &Cpu, stack: &StackCopy<'_>) -> (Step, FoundBy) {
        let by_table = space.mapping(cpu.lookup()).and_then(|mapping| {
            self.learn(space, mapping)?;
            let module = self.modules.get(&key(space, mapping)?)?.as_mut()?;
            module.step(mapping, cpu, stack, &mut self.context)
        });
        match by_table {
            Some(step) => (step, FoundBy::UnwindTable),
            None => (by_frame_pointer(cpu, stack), FoundBy::FramePointer),
        }
    }

    fn is_outermost(&mut self, space: &Space, address: u64) -> bool {
        let Some(mapping) = space.mapping(address) else { return false };
        let module = key(space, mapping).and_then(|key| self.modules.get(&key)?.as_mut());
        module.is_some_and(|module| module.is_outermost(mapping, address))
    }

    /// Reads the tables of a file that was not met before.
    fn learn(&mut self, space: &Space, mapping: &super::Mapping) -> Option<()> {
        let key = key(space, mapping)?;
        if !self.modules.contains(&key) {
            let bytes = match key {
                Key::Vdso => vdso(),
                Key::File(_) => space.open(space.file(mapping)?).map(|file| Bytes::File(Arc::new(file))),
            };
            let module = bytes.as_ref().and_then(Module::read);
            let weight = module.as_ref().map_or(0, Module::memory);
            self.modules.insert(key, module, weight);
        }
        Some(())
    }
}

/// `None` for memory that is no file's.
fn key(space: &Space, mapping: &super::Mapping) -> Option<Key> {
    let file = space.file(mapping)?;
    if file.path.as_bytes() == b"[vdso]" {
        return Some(Key::Vdso);
    }
    space.identity(file).map(Key::File)
}

/// The caller is code, and its frame lies further out; only a signal may have been taken on another stack.
fn is_plausible(space: &Space, callee: &Cpu, caller: &Cpu) -> bool {
    let outwards = match (callee.get(cpu::SP), caller.get(cpu::SP)) {
        (Some(callee_sp), Some(caller_sp)) => caller_sp > callee_sp || callee.link_register().is_some(),
        _ => false,
    };
    space.mapping(caller.lookup()).is_some() && (outwards || caller.interrupted)
}

/// Adds what the kernel found behind the last frame that both know, or takes the kernel's instead where they have nothing in common
/// and it has more.
fn go_on(space: &Space, found: &mut Vec<Found>, kernels: &[u64]) {
    let code = kernels
        .iter()
        .enumerate()
        .take_while(|(depth, ip)| space.mapping(ip.saturating_sub(u64::from(*depth > 0))).is_some());
    let code = code.count();
    let kernels = kernels.get(..code).unwrap_or_default();
    let common = (0..found.len()).rev().find_map(|own| Some((own, position(found.get(..=own)?, kernels)?)));
    let (keep, from) = match common {
        // Of the innermost alone both always know.
        Some((0, _)) | None if kernels.len() > found.len() => (1, 1),
        Some((own, kernel)) if kernels.len() - kernel > found.len() - own => (own + 1, kernel + 1),
        _ => return,
    };
    found.truncate(keep);
    found.extend(kernels.iter().skip(from).map(|ip| Found::by_frame_pointer(*ip)));
}

/// Where the kernel has the last of these frames. A function that calls itself has the same return address many times: then the one
/// that is as many times in.
fn position(found: &[Found], kernels: &[u64]) -> Option<usize> {
    let last = found.last()?.ip;
    let times = found.iter().filter(|found| found.ip == last).count();
    kernels.iter().enumerate().filter(|(_, ip)| **ip == last).nth(times - 1).map(|(position, _)| position)
}

impl Found {
    fn new(cpu: &Cpu, found_by: FoundBy) -> Self {
        Self { ip: cpu.ip, address: Address { address: cpu.lookup(), found_by } }
    }

    fn by_frame_pointer(ip: u64) -> Self {
        Self { ip, address: Address { address: ip.wrapping_sub(1), found_by: FoundBy::FramePointer } }
    }
}
