//! From a copy of a stack to the calls in it.
//!
//! Ordinary programs have no frame pointers but unwind tables, code made at run time has frame pointers but no tables, and a copy
//! ends somewhere. So the walk goes by table where there is one, else by frame pointer, and where it cannot go on, what the kernel
//! found by following frame pointers in the living process goes on from there, if both agree on a frame.

use std::sync::Arc;

use oomscope_core::evidence::FoundBy;

use super::bounded::Bounded;
use super::cfi::{Context, Step};
use super::cpu::{self, Cpu, StackCopy};
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
        if let Some(last) = end {
            let untouched = last.get(cpu::BP) == Some(registers.bp);
            go_on(space, &mut found, &raw.frame_pointers, untouched);
            truncated = !found.last().is_some_and(|last| self.is_outermost(space, last.address.address));
        }
        Unwound { addresses: found.into_iter().map(|found| found.address).collect(), truncated }
    }

    /// As far as the copy and the tables lead, and where that ended; `None` where there is nothing further.
    fn walk(&mut self, space: &Space, mut cpu: Cpu, stack: &StackCopy<'_>) -> (Vec<Found>, Option<Cpu>) {
        let mut found = vec![Found::new(&cpu, FoundBy::Registers)];
        while found.len() < MAX_FRAMES {
            let (step, found_by) = self.step(space, &cpu, stack);
            match step {
                Step::Caller(caller) if is_plausible(space, &cpu, &caller) => {
                    found.push(Found::new(&caller, found_by));
                    cpu = caller;
                }
                Step::Outermost => return (found, None),
                Step::Caller(_) | Step::Lost => return (found, Some(cpu)),
            }
        }
        (found, Some(cpu))
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

/// Adds what the kernel found by frame pointers: behind the last frame that both know; or, where the last frame still has the frame
/// pointer that the kernel began with (`untouched`), behind that, as when Go has called C on another stack. Where they have nothing
/// in common the one that has more is taken.
fn go_on(space: &Space, found: &mut Vec<Found>, kernels: &[u64], untouched: bool) {
    let is_code = |(depth, ip): &(usize, &u64)| space.mapping(ip.saturating_sub(u64::from(*depth > 0))).is_some();
    let code = kernels.iter().enumerate().take_while(is_code).count();
    let kernels = kernels.get(..code).unwrap_or_default();
    // The innermost is the same in any case.
    let common = (1..found.len()).rev().find_map(|own| Some((own, position(found.get(..=own)?, kernels)?)));
    let (keep, from) = match common {
        Some((own, kernel)) if kernels.len() - kernel > found.len() - own => (own + 1, kernel + 1),
        Some(_) => return,
        None if untouched => (found.len(), 1),
        None if kernels.len() > found.len() => (1, 1),
        None => return,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::Registers;

    /// Code that is no file's, as of a compiler at run time.
    fn space() -> Space {
        Space::of_maps("10000-20000 rwxp 00000000 00:00 0\n")
    }

    const SP: u64 = 0x7ffc_0000_1000;

    fn raw(bp: u64, words: &[u64], frame_pointers: &[u64]) -> RawStack {
        RawStack {
            registers: Some(Registers { ip: 0x1_0000, sp: SP, bp, lr: 0 }),
            frame_pointers: frame_pointers.to_vec(),
            copy: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            ..RawStack::default()
        }
    }

    fn addresses(raw: &RawStack) -> (Vec<u64>, bool) {
        let unwound = Unwinder::new().unwind(&space(), raw);
        (unwound.addresses.iter().map(|found| found.address).collect(), unwound.truncated)
    }

    /// Without tables the chain of frame pointers is followed in the copy, to its proper end.
    #[test]
    fn by_frame_pointers_alone() {
        let words = [9, SP + 32, 0x1_0100, 9, 0, 0x1_0200];
        assert_eq!(addresses(&raw(SP + 8, &words, &[])), (vec![0x1_0000, 0x1_00ff, 0x1_01ff], false));
    }

    /// A chain that leads back, to itself, to another stack or to what is no code ends there.
    #[test]
    fn nonsense_ends() {
        for (bp, words) in [
            (SP + 8, [9, SP + 8, 0x1_0100, 9]),
            (SP + 8, [9, SP, 0x1_0100, 9]),
            (SP + 8, [9, 0x5555_0000, 0x1_0100, 9]),
            (SP + 8, [9, u64::MAX - 4, 0x1_0100, 9]),
            (SP + 8, [9, SP + 24, 0x1_0100, 9]),
        ] {
            assert_eq!(addresses(&raw(bp, &words, &[])), (vec![0x1_0000, 0x1_00ff], true), "{words:x?}");
        }
        assert_eq!(addresses(&raw(SP + 8, &[9, SP + 24, 0x999, 9], &[])), (vec![0x1_0000], true));
        assert_eq!(addresses(&raw(u64::MAX, &[], &[])), (vec![0x1_0000], true));
    }

    /// Where the copy ends, what the kernel found in the living process goes on from the last frame that both know.
    #[test]
    fn the_kernel_goes_on() {
        let words = [9, SP + 24, 0x1_0100, SP + 4096, 0x1_0100];
        let kernels = [0x1_0000, 0x1_0100, 0x1_0100, 0x1_0300, 0x1_0400, 0x99_0000];
        let expected = vec![0x1_0000, 0x1_00ff, 0x1_00ff, 0x1_02ff, 0x1_03ff];
        assert_eq!(addresses(&raw(SP + 8, &words, &kernels)), (expected, true));
        // Without a copy there is only the kernel's.
        assert_eq!(addresses(&raw(SP + 8, &[], &kernels[..3])), (vec![0x1_0000, 0x1_00ff, 0x1_00ff], true));
        // The kernel's is shorter: it changes nothing.
        assert_eq!(addresses(&raw(SP + 8, &words, &[0x1_0000, 0x1_0700])), (vec![0x1_0000, 0x1_00ff, 0x1_00ff], true));
    }

    /// A kernel thread has no stack of a program.
    #[test]
    fn kernel_thread() {
        assert_eq!(Unwinder::new().unwind(&space(), &RawStack::default()), Unwound::default());
    }

    /// What others hold on to may move between threads.
    #[test]
    fn may_be_sent() {
        fn send<T: Send>() {}
        send::<(Space, Unwinder, crate::stacks::Symboliser)>();
    }

    proptest::proptest! {
        /// Any stack comes to an end, within the limit.
        #[test]
        fn any_stack(words in proptest::collection::vec((0_u64..3, 0_u64..0x400), 0..64), bp in 0_u64..64) {
            let word = |&(kind, value): &(u64, u64)| match kind {
                0 => SP + value,
                1 => 0x1_0000 + value,
                _ => value,
            };
            let words: Vec<u64> = words.iter().map(word).collect();
            let (found, _) = addresses(&raw(SP + bp * 8, &words, &words));
            proptest::prop_assert!(!found.is_empty() && found.len() <= MAX_FRAMES + words.len());
        }
    }
}
