//! The same functions, in a build without eBPF.

use std::os::fd::BorrowedFd;

use oomscope_core::evidence::{Gap, Hook};

use super::{FaultConfig, FaultLosses, FaultSample, KillLosses, Killed, Part};

const WHY: &str = "built without eBPF";

/// The kills of this machine, in the instant they happen. There is none of these here.
#[derive(Debug)]
pub enum Kills {}

impl Kills {
    /// # Errors
    /// Always.
    pub fn start() -> Result<Self, Gap> {
        Err(Gap::new("kills as the kernel sees them", WHY))
    }

    /// # Errors
    /// Always.
    pub fn start_from(_best: Hook) -> Result<Self, Gap> {
        Self::start()
    }

    /// Readable when there is something to [`drain`](Self::drain).
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    /// Calls `on` for each part of a kill that came since.
    pub fn drain(&mut self, _on: &mut dyn FnMut(&Killed, Part)) {
        match *self {}
    }

    /// Which program sees the kills.
    #[must_use]
    pub fn hook(&self) -> Hook {
        match *self {}
    }

    /// What is not seen, although kills are.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        match *self {}
    }

    /// What was lost since the start.
    #[must_use]
    pub fn lost(&self) -> KillLosses {
        match *self {}
    }
}

/// Samples of page faults. There is none of these here.
#[derive(Debug)]
pub enum Faults {}

impl Faults {
    /// # Errors
    /// Always.
    pub fn start(_config: &FaultConfig) -> Result<Self, Gap> {
        Err(Gap::new("samples of page faults", WHY))
    }

    /// Readable when many samples wait; look now and then, too.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    /// Calls `on` for each sample that came since, a thousand at most: until it returns 0 there may be more.
    pub fn drain(&mut self, _on: &mut dyn FnMut(FaultSample)) -> usize {
        match *self {}
    }

    /// From now on also this cgroup.
    ///
    /// # Errors
    /// The set is full, or the sampler is not one of cgroups.
    pub fn add_cgroup(&self, _id: u64) -> Result<(), Gap> {
        match *self {}
    }

    /// No longer this cgroup.
    pub fn remove_cgroup(&self, _id: u64) {
        match *self {}
    }

    /// From now on also this process.
    ///
    /// # Errors
    /// The set is full, or the sampler is not one of processes.
    pub fn add_process(&self, _pid: u32) -> Result<(), Gap> {
        match *self {}
    }

    /// No longer this process.
    pub fn remove_process(&self, _pid: u32) {
        match *self {}
    }

    /// What was lost since the start.
    #[must_use]
    pub fn lost(&self) -> FaultLosses {
        match *self {}
    }
}
