//! What oomscope sees from within the kernel: eBPF programs in C, one [`wire`] format, and the loader.
//!
//! ```text
//! programs/kill.bpf.c   ─ring buffer─▶ KillWatch    ─▶ KillRecord
//! programs/faults.bpf.c ─ring buffer─▶ FaultSampler ─▶ wire::fault
//! programs/python.bpf.c ─ring buffer─▶ PythonWatch  ─▶ PythonRecord
//! ```
//!
//! What works is found out by trying: kernels differ in what they let a program do, for reasons that neither version nor configuration
//! tell. What does not work is a [`Failure`] that says why. The only package with `unsafe`; each block says why it holds.

mod failure;
mod fault_sampler;
mod kill_watch;
mod object;
mod perf_event;
mod python_watch;
mod records;
mod ring;
pub mod wire;

pub use failure::{Failure, Reason};
pub use fault_sampler::{FaultSampler, Filter, Sampling};
pub use kill_watch::{KernelFunctions, KillHook, KillWatch};
pub use python_watch::{PythonLayouts, PythonRecord, PythonWatch};
pub use records::{FaultRecord, KillRecord, name};
