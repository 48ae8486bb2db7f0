//! Files of the machine whose `/` is somewhere else, opened so that no link leads out of it.
//!
//! Seen from a container that has the node's `/` at `/host`, a link to `/run` on the node means `/host/run`; followed by a plain
//! `open(2)` it would be the container's own. And whoever may write a folder on the node may put a link there. `openat2(2)` with
//! `RESOLVE_IN_ROOT` (Linux 5.6) resolves every link as after a `chroot`. Where it is missing or forbidden (older kernels, older seccomp
//! profiles), this process's own `/` still needs none of that; any other root cannot be read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use crate::host_root::HostRoot;

/// The machine's `/`, held open.
#[derive(Debug)]
pub(super) struct Below {
    root: OwnedFd,
    /// It is this process's own.
    is_own: bool,
}

impl Below {
    pub(super) fn new(root: &HostRoot) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = root.path("/");
        Ok(Self { root: rustix::fs::open(&path, flags, Mode::empty())?, is_own: path == Path::new("/") })
    }

    /// Opens a path that is absolute on the machine.
    pub(super) fn open(&self, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
        let (path, flags) = (path.as_ref(), flags | OFlags::CLOEXEC);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) if self.is_own => Ok(openat(&self.root, path, flags, Mode::empty())?),
            opened => Ok(opened?),
        }
    }

    /// The whole of an ordinary file of at most `limit` bytes. A pipe or a device in its place is refused, not waited for.
    pub(super) fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an ordinary file"));
        }
        let mut bytes = Vec::new();
        File::from(fd).take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The names in a folder, at most `limit`, in no order.
    pub(super) fn names(&self, folder: impl AsRef<Path>, limit: usize) -> io::Result<Names> {
        let fd = self.open(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Names { names: Vec::new(), are_all: true };
        for entry in Dir::new(fd)? {
            let name = entry?.file_name().to_bytes().to_owned();
            if name == b"." || name == b".." {
                continue;
            }
            if names.names.len() == limit {
                names.are_all = false;
                break;
            }
            names.names.push(OsString::from_vec(name));
        }
        Ok(names)
    }

    /// Where a link points, as it says itself.
    pub(super) fn target(&self, link: impl AsRef<Path>) -> io::Result<PathBuf> {
        let fd = self.open(link, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(fd, c"", Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    pub(super) fn is_there(&self, path: impl AsRef<Path>) -> bool {
        self.open(path, OFlags::PATH).is_ok()
    }
}

/// Names in a folder.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) names: Vec<OsString>,
    /// False: the folder has more than were asked for.
    pub(super) are_all: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Absolute links and `..` stay below the root, as after a chroot.
    #[test]
    fn links_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("host");
        fs::create_dir_all(root.join("run/a")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        fs::write(root.join("run/a/file"), "inside").unwrap();
        fs::write(folder.path().join("file"), "outside").unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        symlink(folder.path().join("file"), root.join("absolute")).unwrap();
        symlink("../../../../file", root.join("upwards")).unwrap();
        let below = Below::new(&HostRoot::at(&root)).unwrap();
        assert_eq!(below.read("/var/run/a/file", 10).unwrap(), b"inside");
        assert!(below.read("/absolute", 10).is_err());
        assert!(below.read("/upwards", 10).is_err());
        assert_eq!(below.target("/var/run").unwrap(), Path::new("/run"));
        assert_eq!(below.names("/var", 9).unwrap().names, ["run"]);
    }

    /// A file that is too large, a pipe that nobody writes and a folder are refused at once.
    #[test]
    fn what_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("large"), "12345").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        let below = Below::new(&HostRoot::at(folder.path())).unwrap();
        assert_eq!(below.read("/large", 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(below.read("large", 5).unwrap(), b"12345");
        assert!(below.read("/pipe", 5).is_err());
        assert!(below.read("/", 5).is_err());
        let some = below.names("/", 1).unwrap();
        assert_eq!((some.names.len(), some.are_all), (1, false));
    }
}
