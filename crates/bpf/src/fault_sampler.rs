//! Samples of the machine's page faults.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle, ProgramMut};

use crate::object::{Loaded, image};
use crate::perf_event::{hand_over, online_cpus, page_faults};
use crate::records::FaultRecord;
use crate::ring::{Ring, counters};
use crate::{Failure, Reason, wire};

/// What to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// One of so many faults of a CPU.
    pub period: u64,
    /// KiB of the stack to copy: 0, or up to 8.
    pub stack_kib: u32,
    /// Samples a second and CPU, at most.
    pub rate: u32,
    /// Whose.
    pub filter: Filter,
}

/// Whose faults are sampled; the sets are filled later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everybody's.
    All,
    /// Of some cgroups and of what is below them.
    Cgroups,
    /// Of some processes.
    Processes,
}

/// Samples until it is dropped.
pub struct FaultSampler {
    // Dropped first: no more records then.
    _links: Vec<Link>,
    ring: Ring<FaultRecord>,
    cgroups: MapHandle,
    processes: MapHandle,
    bss: MapHandle,
}

impl FaultSampler {
    /// On each CPU that runs now.
    ///
    /// # Errors
    /// Why it does not work here.
    pub fn start(sampling: &Sampling) -> Result<Self, Failure> {
        let prepare = |constants: &mut [u8]| {
            let filter = match sampling.filter {
                Filter::All => wire::fault_filter::FILTER_ALL,
                Filter::Cgroups => wire::fault_filter::FILTER_CGROUPS,
                Filter::Processes => wire::fault_filter::FILTER_PROCESSES,
            };
            put(constants, offset_of!(wire::faults_rodata, filter), filter.0);
            put(constants, offset_of!(wire::faults_rodata, stack_kib), sampling.stack_kib);
            put(constants, offset_of!(wire::faults_rodata, rate), sampling.rate);
        };
        let attach = |program: &ProgramMut<'_>| attach_everywhere(program, sampling.period);
        let mut loaded = Loaded::new(image!("faults"), &["on_fault"], &prepare, &attach)?;
        let ring = Ring::new(loaded.map("events")?, FaultRecord::decode).map_err(|e| Failure {
            tried: "ring buffer of page faults".to_owned(),
            reason: Reason::Other(e.to_string()),
        })?;
        Ok(Self {
            ring,
            cgroups: loaded.map("cgroups")?,
            processes: loaded.map("processes")?,
            bss: loaded.map(".bss")?,
            _links: loaded.links,
        })
    }

    /// Readable when many samples wait; to be looked at now and then anyhow.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Calls `on` for each sample that waits, a thousand at most; how many there were.
    pub fn drain(&mut self, on: &mut dyn FnMut(FaultRecord)) -> usize {
        self.ring.drain(on)
    }

    /// Samples that were not sent.
    #[must_use]
    pub fn lost(&self) -> wire::fault_losses {
        let [over_rate, buffer_full] = counters(&self.bss);
        wire::fault_losses { over_rate, buffer_full }
    }

    /// Also this cgroup, by the inode of its folder, with all below.
    ///
    /// # Errors
    /// There are 8192 already.
    pub fn add_cgroup(&self, id: u64) -> libbpf_rs::Result<()> {
        self.cgroups.update(&id.to_ne_bytes(), &[1], MapFlags::ANY)
    }

    /// No longer this cgroup. One that is not there is fine.
    pub fn remove_cgroup(&self, id: u64) {
        let _ = self.cgroups.delete(&id.to_ne_bytes());
    }

    /// Also this process.
    ///
    /// # Errors
    /// There are 8192 already.
    pub fn add_process(&self, pid: u32) -> libbpf_rs::Result<()> {
        self.processes.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY)
    }

    /// No longer this process. One that is not there is fine.
    pub fn remove_process(&self, pid: u32) {
        let _ = self.processes.delete(&pid.to_ne_bytes());
    }
}

/// A CPU that goes offline meanwhile is passed over.
fn attach_everywhere(program: &ProgramMut<'_>, period: u64) -> libbpf_rs::Result<Vec<Link>> {
    let mut links = Vec::new();
    for cpu in online_cpus()? {
        match page_faults(cpu, period) {
            Ok(counter) => links.push(program.attach_perf_event(hand_over(counter))?),
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(links)
}

fn put(constants: &mut [u8], offset: usize, value: u32) {
    if let Some(place) = constants.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_ne_bytes();
    }
}
