//! One file of a cgroup, kept open and read from its start again and again.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread};

/// No file of a cgroup is nearly as large, except `cgroup.procs` of very many processes; the rest of that is not read.
const LARGEST: usize = 1 << 20;
/// Holds `memory.stat` of today's kernels at once.
const USUAL: usize = 8 << 10;

/// A file that may not be there, or may not be kept open.
#[derive(Debug)]
pub(super) enum KeptFile {
    /// Open for reading.
    Open(OwnedFd),
    /// Opened, read and closed each time: for want of file descriptors, or since it must be.
    EachTime(&'static str),
    /// This kernel does not have it, or not for this cgroup.
    Missing,
    /// It is there, and may not be read.
    Refused(Errno),
}

impl KeptFile {
    /// Opens a file of the cgroup whose folder is open. That the file is missing or refused is what it then is, not an error.
    pub(super) fn open(directory: &OwnedFd, name: &'static str) -> Self {
        match open_to_read(directory, name) {
            Ok(file) => Self::Open(file),
            Err(Errno::MFILE | Errno::NFILE) => Self::EachTime(name),
            Err(Errno::NOENT | Errno::NODEV) => Self::Missing,
            Err(errno) => Self::Refused(errno),
        }
    }

    /// Reads a file that the kernel prints in one go into `buffer`; false where there is none.
    pub(super) fn read(&self, directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<bool, Errno> {
        self.read_by(read_record, directory, buffer)
    }

    /// Reads a list of any length into `buffer`; false where there is none.
    pub(super) fn read_list(&self, directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<bool, Errno> {
        self.read_by(read_list, directory, buffer)
    }

    fn read_by(
        &self,
        read: fn(&OwnedFd, &mut Vec<u8>) -> Result<(), Errno>,
        directory: &OwnedFd,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, Errno> {
        buffer.clear();
        match self {
            Self::Open(file) => read(file, buffer).map(|()| true),
            Self::EachTime(name) => read(&open_to_read(directory, name)?, buffer).map(|()| true),
            Self::Missing | Self::Refused(_) => Ok(false),
        }
    }
}

/// Reads a file of an open folder once; false where there is none.
pub(super) fn read_once(directory: &OwnedFd, name: &str, buffer: &mut Vec<u8>) -> Result<bool, Errno> {
    buffer.clear();
    match open_to_read(directory, name) {
        Ok(file) => read_record(&file, buffer).map(|()| true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open_to_read(directory: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Reads a file whose text the kernel makes at once: what does not fill the buffer is all of it.
pub(super) fn read_record(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    read_until(file, buffer, |read, room| read < room)
}

/// Reads from the start to the end. The end is known only from a read that gives nothing: a list of processes comes in parts
/// even where the buffer has room (`seq_read_iter` in fs/seq_file.c). Going on right behind the last part costs next to
/// nothing, since the kernel still stands there.
fn read_list(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    read_until(file, buffer, |read, _| read == 0)
}

fn read_until(file: &OwnedFd, buffer: &mut Vec<u8>, is_end: fn(usize, usize) -> bool) -> Result<(), Errno> {
    buffer.clear();
    while buffer.len() < LARGEST {
        buffer.reserve(USUAL);
        let (offset, room) = (buffer.len() as u64, buffer.capacity() - buffer.len());
        match pread(file, spare_capacity(buffer), offset) {
            Ok(read) if is_end(read, room) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
