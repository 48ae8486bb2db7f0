//! Samples of page faults.

use std::fmt;
use std::os::fd::BorrowedFd;

use oomscope_bpf::{FaultRecord, FaultSampler, Filter, Sampling, name, wire};
use oomscope_core::evidence::Gap;

use super::context::boot_time;
use super::stack::{self, known};
use crate::ebpf::{FaultConfig, FaultFilter, FaultLosses, FaultSample};

/// What the programs copy of a stack at most.
const STACK_KIB: u32 = 8;

/// Samples of page faults.
pub struct Faults {
    sampler: FaultSampler,
    filter: Filter,
}

impl Faults {
    /// From now on, on each CPU that runs now.
    ///
    /// # Errors
    /// Why there are no samples here.
    pub fn start(config: &FaultConfig) -> Result<Self, Gap> {
        let filter = match config.filter {
            FaultFilter::All => Filter::All,
            FaultFilter::Cgroups(_) => Filter::Cgroups,
            FaultFilter::Processes(_) => Filter::Processes,
        };
        let sampling = Sampling {
            period: config.period.max(1),
            stack_kib: config.stack_bytes.div_ceil(1024).min(STACK_KIB),
            rate: config.rate,
            filter,
        };
        let sampler = FaultSampler::start(&sampling)
            .map_err(|failure| Gap::new("samples of page faults", failure.to_string()))?;
        let faults = Self { sampler, filter };
        match &config.filter {
            FaultFilter::All => {}
            FaultFilter::Cgroups(ids) => ids.iter().try_for_each(|&id| faults.add_cgroup(id))?,
            FaultFilter::Processes(pids) => pids.iter().try_for_each(|&pid| faults.add_process(pid))?,
        }
        Ok(faults)
    }

    /// Readable when many samples wait; look now and then, too.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.sampler.as_fd()
    }

    /// Calls `on` for each sample that came since, a thousand at most: until it returns 0 there may be more.
    pub fn drain(&mut self, on: &mut dyn FnMut(FaultSample)) -> usize {
        self.sampler.drain(&mut |record| on(sample(&record)))
    }

    /// From now on also this cgroup.
    ///
    /// # Errors
    /// The set is full, or the sampler is not one of cgroups.
    pub fn add_cgroup(&self, id: u64) -> Result<(), Gap> {
        self.check(Filter::Cgroups)?;
        self.sampler
            .add_cgroup(id)
            .map_err(|e| Gap::new(format!("page faults of the cgroup with inode {id}"), e.to_string()))
    }

    /// No longer this cgroup.
    pub fn remove_cgroup(&self, id: u64) {
        self.sampler.remove_cgroup(id);
    }

    /// From now on also this process.
    ///
    /// # Errors
    /// The set is full, or the sampler is not one of processes.
    pub fn add_process(&self, pid: u32) -> Result<(), Gap> {
        self.check(Filter::Processes)?;
        self.sampler.add_process(pid).map_err(|e| Gap::new(format!("page faults of process {pid}"), e.to_string()))
    }

    /// No longer this process.
    pub fn remove_process(&self, pid: u32) {
        self.sampler.remove_process(pid);
    }

    /// What was lost since the start.
    #[must_use]
    pub fn lost(&self) -> FaultLosses {
        let wire::fault_losses { over_rate, buffer_full } = self.sampler.lost();
        FaultLosses { over_rate, buffer_full }
    }

    fn check(&self, filter: Filter) -> Result<(), Gap> {
        if self.filter == filter {
            return Ok(());
        }
        Err(Gap::new("page faults of more", "the sampler was started for others"))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("filter", &self.filter).finish_non_exhaustive()
    }
}

fn sample(record: &FaultRecord) -> FaultSample {
    FaultSample {
        at: boot_time(record.at_ns),
        pid: record.pid,
        tid: record.tid,
        comm: name(&record.comm).to_vec(),
        cgroup_id: known(record.cgroup_id),
        address: record.address,
        rss_pages: u64::try_from(record.rss_pages).unwrap_or(0),
        tls_base: known(record.tls_base),
        stack: stack::of_fault(record),
    }
}
