//! Real kernels in throw-away virtual machines: the only way to see cgroup v1 and v2 on several kernels in one run, and to
//! let a whole machine run out of memory.
//!
//! `scripts/vm/kernels` puts what is booted into `target/vm`. A [`Guest`] boots one kernel under QEMU without KVM (which CI
//! machines lack), with an initial RAM disk of busybox, a load generator, the scenarios and the files of the test; it comes
//! back with a folder of results. Emulation without KVM is slow and, on newer kernels, sometimes crashes the guest in a place
//! that differs each time (about a fifth of the boots of 6.12); a crash is tried again, a wrong result never.

mod facts;
mod guest;
mod initramfs;
mod kernel;

pub use facts::{Expected, Facts, Fields, Spike};
pub use guest::{Cgroups, Guest};
pub use kernel::{Kernel, root, unavailable};
