//! /proc/PID, held open: every file below it is then of one and the same process, also if the pid is given to another meanwhile.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};

use super::Error;

/// A line of maps is a path of at most a page and some numbers.
const MAX_LINE: u64 = 8192;

/// The folder of one process.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(proc: &Path, pid: u32) -> Result<Self, Error> {
        let path = proc.join(pid.to_string());
        match rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(e) => Err(Error::new(pid, path, e.into())),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens a file below it.
    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(openat(&self.fd, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// The first `limit` bytes of a file; `None` where it cannot be read, for want of the process or of permission.
    pub(crate) fn read(&self, name: &str, limit: usize) -> Option<Vec<u8>> {
        self.try_read(name, limit).ok()
    }

    /// The same with the reason.
    pub(crate) fn try_read(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        read_up_to(&self.open_file(name, OFlags::RDONLY)?, limit)
    }

    /// Gives the lines of a file one by one, without their newlines, so that a large one is never held whole. True where it had no
    /// more than `limit` lines; what is behind is not read.
    pub(crate) fn lines(&self, name: &str, limit: usize, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut file = BufReader::with_capacity(64 << 10, File::from(self.open_file(name, OFlags::RDONLY)?));
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            if (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if number == limit {
                return Ok(false);
            }
            take(line.strip_suffix(b"\n").unwrap_or(&line));
        }
        Ok(true)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The first `limit` bytes. The kernel makes most of these files up in one go, of at most a page, so a buffer of that size makes for
/// one call and a second that finds the end.
pub(crate) fn read_up_to(fd: &OwnedFd, limit: usize) -> io::Result<Vec<u8>> {
    const STEP: usize = 4096;
    let mut bytes = Vec::with_capacity(STEP.min(limit));
    while bytes.len() < limit {
        let step = STEP.min(limit - bytes.len());
        bytes.reserve(step);
        let had = bytes.len();
        bytes.resize(had + step, 0);
        let read = loop {
            match rustix::io::read(fd, bytes.get_mut(had..).unwrap_or_default()) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        match read {
            Ok(count) => bytes.truncate(had + count),
            Err(e) => return Err(e.into()),
        }
        if bytes.len() == had {
            break;
        }
    }
    Ok(bytes)
}
