//! Processes, from /proc.
//!
//! A process may end between any two reads, and near an OOM kill it does: what was not had is `None`, and only a process of which
//! nothing at all could be read is an error. The cheap files (`status`, `stat`, …) cost microseconds and may be read at any time; the
//! dear ones (`smaps`, `smaps_rollup`: about 1 ms per 100 MiB, with the process's memory map locked) only on an [`Occasion`].
//!
//! [`Occasion`]: oomscope_core::evidence::Occasion

mod fds;
pub(crate) mod folder;
mod handles;
mod meter;
mod pages;
mod priority;
mod snapshot;

use std::io;
use std::path::PathBuf;

use oomscope_core::evidence::Process;
use oomscope_core::formats::proc::{self, Stat, Status};
use oomscope_core::text::Untrusted;

use crate::host_root::HostRoot;
use folder::Folder;

pub use handles::Handles;
pub use meter::{Meter, Reading};
pub use pages::{PageFlags, PageMap};
pub use priority::{after_others, before_others, real_time};
pub use snapshot::{Depth, Taken};

/// What is kept of a command line; the kernel allows 6 MiB.
const MAX_CMDLINE: usize = 4096;
/// `status` and `stat` are made up of numbers and a name of 15 bytes, but for the groups of the user in `status`: up to 65,536.
const MAX_STATUS: usize = 64 << 10;
/// A path of a cgroup is at most a page, a line of a v1 hierarchy each.
const MAX_CGROUP: usize = 256 << 10;

/// A process could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such process (any more).
    #[error("no process has the pid {pid}")]
    Gone {
        /// The pid.
        pid: u32,
    },
    /// /proc refused.
    #[error("reading {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn new(pid: u32, path: PathBuf, source: io::Error) -> Self {
        let gone = source.kind() == io::ErrorKind::NotFound
            || source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if gone { Self::Gone { pid } } else { Self::File { path, source } }
    }
}

/// The /proc of a machine.
#[derive(Clone, Debug)]
pub struct Proc {
    pub(crate) folder: PathBuf,
}

impl Proc {
    /// Below the machine's root. Its pids are those of that /proc's namespace.
    #[must_use]
    pub fn new(root: &HostRoot) -> Self {
        Self { folder: root.path("/proc") }
    }

    /// Every process, in the order of /proc, which is by pid.
    ///
    /// # Errors
    /// Where /proc cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// The cheap files of one process.
    ///
    /// # Errors
    /// Where neither its `status` nor its `stat` can be read.
    pub fn read(&self, pid: u32) -> Result<Process, Error> {
        let folder = Folder::open(&self.folder, pid)?;
        let process = cheap_files(&folder, pid)?;
        Ok(Process { cmdline: cmdline(&folder), ..process })
    }

    /// Those that can be read at once, whatever the process is doing: without its arguments, which are in its own memory, and are
    /// not had while its memory map is locked (`mmap_lock`, by a thread that waits for reclaim).
    ///
    /// # Errors
    /// As [`Proc::read`].
    pub fn read_without_arguments(&self, pid: u32) -> Result<Process, Error> {
        cheap_files(&Folder::open(&self.folder, pid)?, pid)
    }

    /// When the process that has this pid now was started, in clock ticks since boot; `None` where there is none.
    #[must_use]
    pub fn started_ticks(&self, pid: u32) -> Option<u64> {
        let file = Folder::open(&self.folder, pid).ok()?.read("stat", MAX_STATUS)?;
        Stat::parse(&file)?.started_ticks
    }

    /// The path of its memory cgroup as this process's cgroup namespace sees it; `None` where the process is gone.
    #[must_use]
    pub fn memory_cgroup(&self, pid: u32) -> Option<Untrusted> {
        let file = Folder::open(&self.folder, pid).ok()?.read("cgroup", MAX_CGROUP)?;
        proc::memory_cgroup(&file).map(Untrusted::from)
    }

    /// True where process 1 of this /proc is the machine's own first process, which is never killed, and not that of a container.
    /// `None` where that cannot be seen.
    #[must_use]
    pub fn has_init_of_machine(&self) -> Option<bool> {
        // PROC_PID_INIT_INO, include/linux/proc_ns.h.
        const INITIAL: &[u8] = b"pid:[4026531836]";
        let namespace = rustix::fs::readlink(self.folder.join("1/ns/pid"), Vec::new()).ok()?;
        Some(namespace.as_bytes() == INITIAL)
    }

    /// True for a thread of the kernel; `None` where the process is gone.
    #[must_use]
    pub fn is_kernel_thread(&self, pid: u32) -> Option<bool> {
        let file = Folder::open(&self.folder, pid).ok()?.read("stat", MAX_STATUS)?;
        Stat::parse(&file)?.is_kernel_thread()
    }
}

/// All but the arguments.
fn cheap_files(folder: &Folder, pid: u32) -> Result<Process, Error> {
    let status = folder.try_read("status", MAX_STATUS);
    let stat = folder.read("stat", MAX_STATUS);
    if let (Err(_), None) = (&status, &stat) {
        return Err(Error::new(
            pid,
            folder.path("status"),
            status.err().unwrap_or_else(|| io::ErrorKind::Other.into()),
        ));
    }
    let status = Status::parse(&status.unwrap_or_default());
    let stat = stat.as_deref().and_then(Stat::parse);
    let number = |name: &str| folder.read(name, 64).as_deref().and_then(proc::number);
    let comm = folder.read("comm", 64);
    let comm = comm.as_deref().map(|name| name.strip_suffix(b"\n").unwrap_or(name));
    Ok(Process {
        pid,
        started_ticks: stat.and_then(|stat| stat.started_ticks),
        ppid: status.ppid.or(stat.and_then(|stat| stat.ppid)),
        comm: comm.or(stat.map(|stat| stat.comm.as_ref())).unwrap_or_default().into(),
        cmdline: None,
        uid: status.uid,
        anon_bytes: status.rss_anon,
        file_bytes: status.rss_file,
        shmem_bytes: status.rss_shmem,
        swap_bytes: status.swap,
        pgtables_bytes: status.page_tables,
        threads: status.threads,
        oom_score: number("oom_score"),
        oom_score_adj: number("oom_score_adj").and_then(|adj| adj.try_into().ok()),
    })
}

fn cmdline(folder: &Folder) -> Option<Untrusted> {
    folder.read("cmdline", MAX_CMDLINE).map(|bytes| proc::cmdline(&bytes).as_slice().into())
}

#[cfg(test)]
mod tests;
