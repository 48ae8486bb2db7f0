//! What a process holds, read again and again.
//!
//! `status` is the one cheap file that tells the kinds of memory apart and knows what is swapped out; `statm` lumps shared memory
//! and files together, `stat` has only the sum. (Kept open, they would cost 2 and 4 µs; all three add up the counters of every CPU.)

use std::io;
use std::path::PathBuf;

use oomscope_core::formats::proc::Status;
use oomscope_core::incident::timeline::ProcessPoint;
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;

use super::folder::Folder;
use super::{Error, Proc};

/// The `status` of one process, kept open: a reading costs 7 to 10 µs, 13 where it is opened anew, and it is never another process that has taken the pid.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    path: PathBuf,
    status: OwnedFd,
}

/// What one look at a process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it holds.
    pub point: ProcessPoint,
    /// What it calls itself, as `status` writes it: with a line break and a backslash escaped. Another name than before: it has
    /// become another program, or its main thread was given a name.
    pub name: Vec<u8>,
}

impl Proc {
    /// Starts to follow a process.
    ///
    /// # Errors
    /// [`Error::Gone`], or that it may not be opened.
    pub fn meter(&self, pid: u32) -> Result<Meter, Error> {
        let folder = Folder::open(&self.folder, pid)?;
        let path = folder.path("status");
        match folder.open_file("status", OFlags::RDONLY) {
            Ok(status) => Ok(Meter { pid, path, status }),
            Err(e) => Err(Error::new(pid, path, e)),
        }
    }

    /// One reading, for a process that is not followed.
    ///
    /// # Errors
    /// As [`Meter::point`].
    pub fn point(&self, pid: u32, at: BootTime) -> Result<ProcessPoint, Error> {
        self.meter(pid)?.point(at)
    }
}

impl Meter {
    /// Whose it is.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What it holds now; `at` is the reader's clock.
    ///
    /// # Errors
    /// [`Error::Gone`] once it has ended, and already when it has given up its memory on the way there.
    pub fn point(&self, at: BootTime) -> Result<ProcessPoint, Error> {
        self.reading(at).map(|reading| reading.point)
    }

    /// What it holds now, and what it calls itself; `at` is the reader's clock.
    ///
    /// # Errors
    /// As [`Meter::point`].
    pub fn reading(&self, at: BootTime) -> Result<Reading, Error> {
        // The sizes stand in the first KiB, unless the user is in very many groups.
        let mut buffer = [0; 8192];
        let read = rustix::io::pread(&self.status, &mut buffer, 0)
            .map_err(|e| Error::new(self.pid, self.path.clone(), e.into()))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        let status = Status::parse(bytes);
        let (Some(anon_bytes), Some(file_bytes)) = (status.rss_anon, status.rss_file) else {
            return Err(self.without_sizes(&status));
        };
        let or_none = |bytes: Option<Bytes>| bytes.unwrap_or_default();
        let point = ProcessPoint {
            at_us: at,
            anon_bytes,
            file_bytes,
            shmem_bytes: or_none(status.rss_shmem),
            swap_bytes: or_none(status.swap),
        };
        let first_line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let name = first_line.strip_prefix(b"Name:\t").unwrap_or_default().to_vec();
        Ok(Reading { point, name })
    }

    fn without_sizes(&self, status: &Status) -> Error {
        if status.rss.is_none() {
            return Error::Gone { pid: self.pid };
        }
        let source =
            io::Error::new(io::ErrorKind::Unsupported, "kernels before 4.5 do not tell the kinds of memory apart");
        Error::File { path: self.path.clone(), source }
    }
}
