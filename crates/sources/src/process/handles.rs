//! A way into a process's files that outlives it.
//!
//! Descriptors of /proc/PID/maps, status and mem are dead once the process has ended; those of its root folder and of its program
//! file are not, also when its mount namespace is gone. Through them its files can still be read for symbols.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, readlinkat};

use super::Proc;
use super::folder::Folder;

/// What was open of a process while it lived. A kernel thread has neither.
#[derive(Debug)]
pub struct Handles {
    root: Option<OwnedFd>,
    exe: Option<OwnedFd>,
    exe_path: Option<PathBuf>,
}

impl Proc {
    /// Opens what can be; each part may be missing, for want of the process or of permission (ptrace access is needed).
    #[must_use]
    pub fn handles(&self, pid: u32) -> Handles {
        let folder = Folder::open(&self.folder, pid).ok();
        let open = |name: &str| folder.as_ref()?.open_file(name, OFlags::PATH).ok();
        let exe_path = folder.as_ref().and_then(|folder| readlinkat(folder.fd(), "exe", Vec::new()).ok());
        Handles {
            root: open("root"),
            exe: open("exe"),
            exe_path: exe_path.map(|path| OsString::from_vec(path.into_bytes()).into()),
        }
    }
}

impl Handles {
    /// Its root folder (`O_PATH`): its files can be opened below it.
    #[must_use]
    pub fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(|fd| fd.as_fd())
    }

    /// Its program file (`O_PATH`): reads through /proc/self/fd.
    #[must_use]
    pub fn exe(&self) -> Option<BorrowedFd<'_>> {
        self.exe.as_ref().map(|fd| fd.as_fd())
    }

    /// What its program file was called, as the process saw it; ` (deleted)` stands behind one that was replaced meanwhile.
    #[must_use]
    pub fn exe_path(&self) -> Option<&std::path::Path> {
        self.exe_path.as_deref()
    }
}
