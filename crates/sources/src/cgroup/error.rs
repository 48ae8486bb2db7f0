//! What can go wrong with cgroups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A cgroup could not be made, found, read or watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the cgroup, or of /proc, did not do what was asked of it.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// `reading`, `writing "52428800" to`.
        doing: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine has no memory controller that this process can see.
    #[error(
        "no memory cgroup: {mountinfo} names no cgroup v1 mount with the memory controller and no cgroup2 mount that offers it"
    )]
    NoController {
        /// Where it was looked for.
        mountinfo: PathBuf,
    },
    /// There is a hierarchy, but nowhere in it could a cgroup with a limit be made.
    #[error("no place for a scratch memory cgroup: {}{}", list(.attempts), advice(.attempts))]
    NoPlace {
        /// What was tried, in order.
        attempts: Vec<Error>,
    },
    /// The file holds no number.
    #[error("reading {}: not a number of bytes: {text:?}", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// The cgroup has been removed. What was read before is the last there is to know of it.
    #[error("{}: the cgroup has been removed", folder.display())]
    Gone {
        /// Its folder.
        folder: PathBuf,
    },
    /// The kernel would not set up or deliver notifications.
    #[error("{doing}: {source}")]
    Notify {
        /// `making an inotify instance`.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Something that was to be done with a path.
    pub(super) fn file(doing: impl Into<String>, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File { doing: doing.into(), path: path.into(), source: source.into() }
    }

    pub(super) fn notify(doing: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::Notify { doing, source: errno.into() }
    }
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::file("reading", path, source))
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|source| Error::file(format!("writing {value:?} to"), path, source))
}

fn list(attempts: &[Error]) -> String {
    attempts.iter().map(Error::to_string).collect::<Vec<_>>().join("; ")
}

/// What to do about the usual reasons.
fn advice(attempts: &[Error]) -> &'static str {
    let met = |kind| attempts.iter().any(|e| matches!(e, Error::File { source, .. } if source.kind() == kind));
    if met(io::ErrorKind::PermissionDenied) && !rustix::process::geteuid().is_root() {
        " (run as root)"
    } else if met(io::ErrorKind::ReadOnlyFilesystem) {
        " (cgroups are read-only here, as in an unprivileged container: run on the node itself)"
    } else if met(io::ErrorKind::ResourceBusy) {
        " (the only parent in sight holds processes, as inside a container: run on the node itself)"
    } else {
        ""
    }
}
