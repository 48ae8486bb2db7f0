//! Where `/` is: an argument, so that a container can look at the node it stands on and a test at a made-up tree.

use std::path::{Path, PathBuf};

/// The folder that holds the machine's `/proc`, `/sys` and `/dev`; `/` unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot(PathBuf);

impl HostRoot {
    /// Looks below `root`, as with the node's `/` mounted at `/host`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The place of a path that is absolute on the machine.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.0.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }
}

impl Default for HostRoot {
    fn default() -> Self {
        Self::at("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of the machine never escapes to this process's own `/`.
    #[test]
    fn paths_stay_below_the_root() {
        assert_eq!(HostRoot::default().path("/proc/1"), Path::new("/proc/1"));
        assert_eq!(HostRoot::at("/host").path("/proc/1"), Path::new("/host/proc/1"));
        assert_eq!(HostRoot::at("/host").path("proc/1"), Path::new("/host/proc/1"));
    }
}
