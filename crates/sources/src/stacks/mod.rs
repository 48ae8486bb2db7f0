//! From what the kernel copied of a program's stack to functions, files and lines.
//!
//! ```text
//! RawStack + Space ─▶ Unwinder ─Address─▶ Symboliser ─▶ core::evidence::Frame
//! ```
//!
//! Nothing here touches the process itself, which may be gone: a [`Space`] is taken while it lives.
//!
//! Everything that is read belongs to the watched programs: their files, the names and tables in them, the maps that their runtimes
//! write. So nothing of it is mapped (who cuts such a file short kills whoever reads the mapping), every size has a limit, and the one
//! large parser that is not ours, blazesym, gets a private copy and a thread that may die ([`symbols`]).
//!
//! | file | what |
//! |---|---|
//! | `space`, `file`, `runtime` | where code lies, a way to its files, what runs there |
//! | `unwind`, `module`, `cfi`, `cpu` | the walk; the tables of one file; its steps; registers and stack |
//! | `symbolise`, `symbols`, `slim`, `names` | the order in which names are looked for; blazesym; demangling |
//! | `elf`, `go_table`, `perf_map`, `jit_names` | formats |
//! | `bounded` | caches with a limit |

mod bounded;
mod cfi;
#[cfg(test)]
mod cost_tests;
mod cpu;
#[cfg(test)]
mod damage_tests;
mod elf;
mod file;
mod go_table;
pub mod interpreters;
mod jit_names;
mod module;
mod names;
mod perf_map;
mod runtime;
mod slim;
mod space;
mod symbolise;
mod symbols;
mod unwind;

pub use file::Identity;
pub use runtime::Runtime;
pub use space::{MappedFile, Mapping, Space};
pub use symbolise::Symboliser;
pub use unwind::{Address, Unwinder, Unwound};

/// Registers of user space, as they were when the kernel was entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub bp: u64,
    /// Link register; 0 on x86-64, which has none.
    pub lr: u64,
}

/// What the kernel kept of the stack of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawStack {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// `None` for a kernel thread.
    pub registers: Option<Registers>,
    /// Addresses that the kernel found by following frame pointers, innermost first: the first is the instruction pointer, the
    /// others are return addresses.
    pub frame_pointers: Vec<u64>,
    /// Bytes of the stack from the stack pointer upwards.
    pub copy: Vec<u8>,
}
