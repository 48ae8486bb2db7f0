//! What unwinding keeps of a mapped file. Shared by every process that maps it, wherever it lies there.

use std::collections::HashMap;
use std::sync::Arc;

use super::cfi::{Cfi, Context, Step};
use super::cpu::{self, Cpu, StackCopy};
use super::elf::{Bytes, Elf};
use super::go_table::GoTable;
use super::space::Mapping;

/// Instructions whose frame is remembered; a program asks for memory in few places.
const MAX_GO_FRAMES: usize = 4096;

/// The unwind tables of a file.
#[derive(Debug)]
pub(super) struct Module {
    elf: Elf,
    cfi: Option<Cfi>,
    go: Option<GoTable>,
    go_frames: HashMap<u64, Option<GoFrame>>,
}

/// What a function of Go leaves on the stack at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoFrame {
    /// The return address is so far above the stack pointer.
    Size(u64),
    /// Nothing called it.
    Outermost,
    /// It changed to another stack: the caller is not on this one.
    Switch,
}

impl Module {
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let mut elf = Elf::read(bytes)?;
        let cfi = Cfi::read(bytes, &elf);
        let go = GoTable::read(bytes, &elf);
        elf.sections = Vec::new();
        Some(Self { elf, cfi, go, go_frames: HashMap::new() })
    }

    /// What it holds, bytes.
    pub(super) fn memory(&self) -> usize {
        let frames = if self.go.is_some() { MAX_GO_FRAMES * size_of::<(u64, Option<GoFrame>)>() } else { 0 };
        size_of::<Self>()
            + self.cfi.as_ref().map_or(0, Cfi::bytes)
            + self.go.as_ref().map_or(0, GoTable::memory)
            + frames
    }

    /// Into the caller; `None` where the file's tables say nothing about the instruction.
    pub(super) fn step(
        &mut self,
        mapping: &Mapping,
        cpu: &Cpu,
        stack: &StackCopy<'_>,
        context: &mut Context,
    ) -> Option<Step> {
        let linked = cpu.lookup().wrapping_sub(self.elf.bias(mapping)?);
        if let Some(frame) = self.go_frame(linked) {
            return Some(frame.step(cpu, stack));
        }
        self.cfi.as_ref()?.step(linked, cpu, stack, context)
    }

    /// True for the outermost function of a stack.
    pub(super) fn is_outermost(&mut self, mapping: &Mapping, at: u64) -> bool {
        let linked = self.elf.bias(mapping).map(|bias| at.wrapping_sub(bias));
        linked.and_then(|linked| self.go_frame(linked)) == Some(GoFrame::Outermost)
    }

    fn go_frame(&mut self, at: u64) -> Option<GoFrame> {
        let table = self.go.as_ref()?;
        if self.go_frames.len() >= MAX_GO_FRAMES {
            self.go_frames.clear();
        }
        *self.go_frames.entry(at).or_insert_with(|| GoFrame::of(table, at))
    }
}

impl GoFrame {
    fn of(table: &GoTable, at: u64) -> Option<Self> {
        let function = table.function(at)?;
        // As Go's own unwinder has it (runtime/symtab.go, funcID; runtime/traceback.go).
        match table.name(&function)?.as_str() {
            "runtime.goexit" | "runtime.rt0_go" | "runtime.mstart" | "_rt0_amd64_linux" | "_rt0_arm64_linux" => {
                Some(Self::Outermost)
            }
            "runtime.systemstack"
            | "runtime.mcall"
            | "runtime.morestack"
            | "runtime.asmcgocall"
            | "runtime.cgocallback"
            | "runtime.asmcgocall.abi0"
            | "runtime.cgocallback.abi0"
            | "runtime.systemstack.abi0" => Some(Self::Switch),
            _ => table.frame_size(&function, at).map(Self::Size),
        }
    }

    fn step(self, cpu: &Cpu, stack: &StackCopy<'_>) -> Step {
        match self {
            Self::Outermost => Step::Outermost,
            Self::Switch => Step::Lost,
            Self::Size(size) => go_caller(size, cpu, stack).unwrap_or(Step::Lost),
        }
    }
}

/// x86-64: the call has pushed the return address, and a function with a frame keeps its caller's frame pointer below that.
#[cfg(target_arch = "x86_64")]
fn go_caller(size: u64, cpu: &Cpu, stack: &StackCopy<'_>) -> Option<Step> {
    let at = cpu.get(cpu::SP)?.checked_add(size)?;
    let mut caller = cpu.caller();
    caller.ip = stack.word(at)?;
    caller.set(cpu::SP, at.checked_add(8));
    if size >= 8 {
        caller.set(cpu::BP, stack.word(at - 8));
    }
    Some(if caller.ip == 0 { Step::Outermost } else { Step::Caller(caller) })
}

/// arm64: a function with a frame keeps the return address at its bottom and its caller's frame pointer below that.
#[cfg(target_arch = "aarch64")]
fn go_caller(size: u64, cpu: &Cpu, stack: &StackCopy<'_>) -> Option<Step> {
    let sp = cpu.get(cpu::SP)?;
    let mut caller = cpu.caller();
    caller.ip = if size == 0 { cpu.link_register()? } else { stack.word(sp)? };
    caller.set(cpu::SP, sp.checked_add(size));
    if size > 0 {
        caller.set(cpu::BP, stack.word(sp.wrapping_sub(8)));
    }
    Some(if caller.ip == 0 { Step::Outermost } else { Step::Caller(caller) })
}

/// Through the chain of frame pointers: the caller's and the return address lie side by side where it points.
pub(super) fn by_frame_pointer(cpu: &Cpu, stack: &StackCopy<'_>) -> Step {
    let caller = || {
        let bp = cpu.get(cpu::BP).filter(|bp| Some(*bp) >= cpu.get(cpu::SP))?;
        let mut caller = cpu.caller();
        caller.ip = stack.word(bp.checked_add(8)?)?;
        caller.set(cpu::SP, bp.checked_add(16));
        caller.set(cpu::BP, stack.word(bp));
        Some(if caller.ip == 0 { Step::Outermost } else { Step::Caller(caller) })
    };
    // Where a program or thread starts it is cleared; in the innermost frame it may be any number.
    if !cpu.interrupted && cpu.get(cpu::BP) == Some(0) { Step::Outermost } else { caller().unwrap_or(Step::Lost) }
}

/// The kernel's own shared object, the same in every process of this machine: read from this one.
pub(super) fn vdso() -> Option<Bytes> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let lines = maps.split(|b| *b == b'\n').filter_map(oomscope_core::formats::proc::MapsLine::parse);
    let line = { lines }.find(|line| line.path == b"[vdso]")?;
    let memory = Bytes::File(Arc::new(std::fs::File::open("/proc/self/mem").ok()?));
    let mut bytes = vec![0; usize::try_from(line.end - line.start).ok()?];
    memory.fill(line.start, &mut bytes)?;
    Some(Bytes::Memory(bytes.into()))
}
