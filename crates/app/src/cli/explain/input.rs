//! What `explain` was asked to read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use oomscope_sources::log_file::{self, LogInput};

/// One log, not yet opened.
pub(super) enum Input {
    /// A file, a FIFO, or `-`.
    File(PathBuf),
    /// This machine's own kernel log.
    OwnKernel,
    /// An argument that names nothing readable.
    Unusable(log_file::Error),
}

/// In the order in which they are to be read.
pub(super) fn inputs(arguments: &[OsString]) -> Vec<Input> {
    if arguments.is_empty() {
        return vec![if is_piped_in() { Input::File(PathBuf::from("-")) } else { Input::OwnKernel }];
    }
    let input = |path: PathBuf| if path == Path::new("/dev/kmsg") { Input::OwnKernel } else { Input::File(path) };
    log_file::expand(arguments).into_iter().map(|path| path.map_or_else(Input::Unusable, input)).collect()
}

/// True when somebody gave us text: `dmesg | oomscope explain`, `oomscope explain < kern.log`. A terminal, /dev/null and
/// sockets (ssh) are no text.
fn is_piped_in() -> bool {
    rustix::fs::fstat(std::io::stdin()).is_ok_and(|stat| {
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        kind.is_fifo() || kind.is_file()
    })
}

/// True for an input that may pause for long and go on: a pipe, a terminal, a device.
pub(super) fn is_live(path: &Path) -> bool {
    let is_file = if path == Path::new("-") {
        rustix::fs::fstat(std::io::stdin())
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
    } else {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
    };
    !is_file
}

/// How a message calls it.
pub(super) fn display_name(input: &LogInput) -> &str {
    input.name().unwrap_or("standard input")
}
