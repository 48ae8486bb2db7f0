//! Cgroups as the kernel really has them, on the interface that this machine runs; and the other interface as files of a made-up
//! machine. Tests of real cgroups skip where none can be made.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

mod alarms;
mod files;
mod tree;
mod unified;

use std::process::{Child, Command, Stdio};

use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::{CgroupFiles, Hierarchy, PeakReset, Scratch};
use oomscope_sources::host_root::HostRoot;

/// A limited cgroup of this test alone.
struct Own {
    hierarchy: Hierarchy,
    scratch: Scratch,
}

impl Own {
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn limited_to(mebibytes: u64) -> Option<Self> {
        let root = HostRoot::default();
        let made = Scratch::create(&root, Bytes(mebibytes << 20))
            .and_then(|scratch| Ok(Self { hierarchy: Hierarchy::of_this_machine(&root)?, scratch }));
        made.map_err(|e| eprintln!("SKIPPED: {e}")).ok()
    }

    fn files(&self, reset: PeakReset) -> CgroupFiles {
        CgroupFiles::open(&self.hierarchy, self.scratch.folder(), reset).unwrap()
    }

    /// A process in it that holds so much memory at once, and ends.
    fn spike(&self, mebibytes: u64) -> Child {
        self.run(&format!("exec dd if=/dev/zero of=/dev/null bs={mebibytes}M count=1 2>/dev/null"))
    }

    fn run(&self, command: &str) -> Child {
        let script = format!("echo $$ > {}/cgroup.procs && {command}", self.scratch.folder().display());
        Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
    }
}
