//! Opening the files that a process has mapped.
//!
//! The process chooses the paths, and its root folder may hold anything by now: links that lead out of it, pipes and devices that
//! block or act when they are opened, another file under the same name. A file is opened only where it is a regular one below the
//! process's own root, and used only where it is the one that was mapped.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use oomscope_core::formats::proc::MapsLine;
use rustix::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::time::{ClockId, clock_gettime};

use super::elf::Bytes;
use super::space::{MappedFile, Mapping, Space};

/// The vdso has two pages or four.
const MAX_VDSO: u64 = 1 << 20;
const NANOS: i128 = 1_000_000_000;

/// Which file it is, in which state: two that are equal have the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        let nanos = |seconds: i64, nanos: u64| i128::from(seconds) * NANOS + i128::from(nanos);
        #[allow(clippy::useless_conversion, reason = "the types differ between architectures")]
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.try_into().unwrap_or(0),
            modified_ns: nanos(stat.st_mtime, stat.st_mtime_nsec.into()),
            changed_ns: nanos(stat.st_ctime, stat.st_ctime_nsec.into()),
        }
    }

    /// Of an open file.
    pub(super) fn of_file(file: &File) -> Option<Self> {
        fstat(file).ok().map(|stat| Self::of(&stat))
    }
}

/// Where mapped code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// A file.
    File(Identity),
    /// The kernel, the same for every process.
    Vdso,
}

impl Space {
    /// `None` for memory that is no file's, and for a file that cannot be had any more.
    pub(super) fn origin(&self, mapping: &Mapping) -> Option<Origin> {
        let file = self.file(mapping)?;
        if file.path.as_bytes() == b"[vdso]" {
            return Some(Origin::Vdso);
        }
        self.identity(file).map(Origin::File)
    }

    /// What is mapped, whole, and its size in bytes.
    pub(super) fn content(&self, mapping: &Mapping, origin: Origin) -> Option<(Bytes, u64)> {
        match origin {
            Origin::Vdso => Some((vdso()?, MAX_VDSO)),
            Origin::File(identity) => {
                let file = self.open(self.file(mapping)?)?;
                Some((Bytes::File(Arc::new(file)), identity.size))
            }
        }
    }

    /// Which file is mapped: found out once. `None` where it cannot be had any more.
    fn identity(&self, file: &MappedFile) -> Option<Identity> {
        *file.identity.get_or_init(|| self.locate(file).map(|(_, identity)| identity))
    }

    /// Opens a mapped file for reading.
    pub(super) fn open(&self, file: &MappedFile) -> Option<File> {
        let (path, identity) = self.locate(file)?;
        let opened = reopen(&path)?;
        // What was checked is what was opened: the descriptor names it, not the path. Its content may have changed.
        (Identity::of_file(&opened)? == identity).then_some(opened)
    }

    /// Opens another file below the process's root, such as one with debug information. Regular files only.
    pub(super) fn open_path(&self, path: &Path) -> Option<File> {
        let found = below(self.handles().root()?, path)?;
        regular(&found).and_then(|_| reopen(&found))
    }

    /// A descriptor without access (`O_PATH`) of the very file that is mapped.
    fn locate(&self, file: &MappedFile) -> Option<(OwnedFd, Identity)> {
        if !file.is_file() {
            return None;
        }
        if let Some(exe) = self.handles().exe().filter(|_| self.is_program(file)) {
            return with_identity(exe.try_clone_to_owned().ok()?);
        }
        if let Some(kept) = &file.kept {
            return with_identity(kept.try_clone().ok()?);
        }
        if file.deleted {
            return None;
        }
        let found = below(self.handles().root()?, Path::new(std::ffi::OsStr::from_bytes(file.path.as_bytes())))?;
        let (found, identity) = with_identity(found)?;
        self.is_same(file, &identity).then_some((found, identity))
    }

    fn is_program(&self, file: &MappedFile) -> bool {
        let exe = self.handles().exe_path().map(|path| path.as_os_str().as_bytes());
        exe.map(|path| path.strip_suffix(b" (deleted)").unwrap_or(path)) == Some(file.path.as_bytes())
    }

    /// The inode is the one in maps; its device is not compared, because overlay (before 6.8) and btrfs give another to stat(). Where
    /// the inode differs too, as it may on overlay, a file that was last touched before the process started cannot have been put in
    /// the place of another since.
    fn is_same(&self, file: &MappedFile, found: &Identity) -> bool {
        found.inode == file.inode || self.started_ns().is_some_and(|started| found.changed_ns < started)
    }

    /// Wall clock, nanoseconds.
    fn started_ns(&self) -> Option<i128> {
        let nanos = |clock| {
            let now = clock_gettime(clock);
            i128::from(now.tv_sec) * NANOS + i128::from(now.tv_nsec)
        };
        let booted = nanos(ClockId::Realtime) - nanos(ClockId::Boottime);
        let ticks = i128::from(self.started_ticks()?);
        Some(booted + ticks * NANOS / i128::from(rustix::param::clock_ticks_per_second()))
    }
}

/// Where a path leads for a process with this root; magic links of /proc lead nowhere.
fn below(root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()
}

fn regular(fd: &OwnedFd) -> Option<Stat> {
    fstat(fd).ok().filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

fn with_identity(fd: OwnedFd) -> Option<(OwnedFd, Identity)> {
    let identity = Identity::of(&regular(&fd)?);
    Some((fd, identity))
}

/// Only for what was seen to be a regular file.
fn reopen(fd: &OwnedFd) -> Option<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).ok().map(File::from)
}

/// The kernel's own shared object, the same in every process of this machine: read from this one.
fn vdso() -> Option<Bytes> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let lines = maps.split(|b| *b == b'\n').filter_map(MapsLine::parse);
    let line = { lines }.find(|line| line.path == b"[vdso]")?;
    let memory = Bytes::File(Arc::new(File::open("/proc/self/mem").ok()?));
    let mut bytes = vec![0; usize::try_from(line.end - line.start).ok()?];
    memory.fill(line.start, &mut bytes)?;
    Some(Bytes::Memory(bytes.into()))
}
