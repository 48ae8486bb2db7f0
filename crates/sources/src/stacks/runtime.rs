//! Which language runtime a process is, as far as that names the code it makes while it runs.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use oomscope_core::evidence::Language;

/// A runtime that compiles while it runs. Its code lies in memory without a file and without unwind tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Node.js, Chromium.
    V8,
    /// OpenJDK.
    HotSpot,
}

impl Runtime {
    /// From the program's path and the names of what is mapped: libjvm.so is HotSpot (whatever started it), a program called
    /// node or with libnode.so is V8. `None` where neither is seen: another runtime's code is not guessed at.
    pub(super) fn of<'a>(exe: Option<&Path>, mapped: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let named = |path: &[u8]| path.rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec).unwrap_or_default();
        let mut v8 = exe.is_some_and(|exe| matches!(named(exe.as_os_str().as_bytes()).as_slice(), b"node" | b"nodejs"));
        for path in mapped {
            let name = named(path);
            if name == b"libjvm.so" {
                return Some(Self::HotSpot);
            }
            v8 |= name.starts_with(b"libnode.so");
        }
        v8.then_some(Self::V8)
    }

    /// What such code is called where nothing says more.
    pub(super) const fn region(self) -> &'static str {
        match self {
            Self::V8 => "[JIT code, V8]",
            Self::HotSpot => "[JIT code or interpreter, HotSpot]",
        }
    }

    /// What the code was made from.
    pub(super) const fn language(self) -> Language {
        match self {
            Self::V8 => Language::Javascript,
            Self::HotSpot => Language::Java,
        }
    }
}
