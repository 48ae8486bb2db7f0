//! Call stacks: of the task that asked for the page, and of the processes that died.
//!
//! A frame says how it was found and how it was named, because neither is certain: programs are built without frame pointers and
//! without symbols. One that could not be named keeps module, offset and build id, so that it can be named later, elsewhere.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;

/// One call, innermost first in a stack. Names come from the program itself: they are as untrusted as its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Demangled. `None` where no symbol covers the address.
    pub function: Option<String>,
    /// Path of the mapped file as the process saw it, `[vdso]`, or `None` for memory without a file.
    pub module: Option<Untrusted>,
    /// The instruction's offset in that file, bytes.
    pub offset: Option<u64>,
    /// The file's build id, hexadecimal.
    pub build_id: Option<String>,
    /// Address in the process; of a caller the return address minus one, so that it lies within the call. `None` for frames that an
    /// interpreter keeps.
    pub address: Option<u64>,
    /// Source file, where debug information or an interpreter tells it.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// The compiler put this function's code into its caller's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inlined: bool,
    /// What it was written in, where that is known.
    pub language: Option<Language>,
    /// How this frame was found.
    pub found_by: FoundBy,
    /// How its function was named; `None` where it was not.
    pub named_by: Option<NamedBy>,
}

/// What a function was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Or another language with plain names, assembly among them.
    C,
    /// Mangled by the Itanium ABI.
    Cpp,
    /// Mangled by rustc.
    Rust,
    /// From its own tables.
    Go,
    /// CPython.
    Python,
    /// V8.
    Javascript,
    /// HotSpot.
    Java,
}

/// How a frame was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The instruction pointer itself: the innermost frame.
    #[default]
    Registers,
    /// The chain of frame pointers.
    FramePointer,
    /// The program's unwind tables (`.eh_frame`, `.debug_frame`, Go's), over a copy of the stack.
    UnwindTable,
    /// An interpreter's own frames.
    Interpreter,
}

/// How a function was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamedBy {
    /// `.symtab` or `.dynsym`.
    Symbols,
    /// DWARF.
    DebugInfo,
    /// Go's table of functions (`.gopclntab`).
    GoTable,
    /// A perf map (`/tmp/perf-PID.map`) that the runtime writes.
    PerfMap,
    /// The interpreter's own data.
    Interpreter,
    /// Only the kind of code is known: an interpreter's or a compiler's at run time.
    Region,
}

/// Call stacks at a kill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacks {
    /// Frames of the trigger's program, innermost first; the kernel log has none.
    pub user: Vec<Frame>,
    /// The trigger's frames in the kernel, as the log prints them: `try_charge_memcg+0x488/0x630`.
    pub kernel: KernelStack,
    /// Where others than the trigger died: where they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<VictimStack>,
}

/// Frames of the `Call Trace`, outermost last, without the `?` guesses.
pub type KernelStack = Vec<String>;

/// Where a victim was when it took the signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VictimStack {
    /// The process.
    pub pid: u32,
    /// The thread that took the signal first.
    pub tid: u32,
    /// Its frames, innermost first.
    pub user: Vec<Frame>,
}
