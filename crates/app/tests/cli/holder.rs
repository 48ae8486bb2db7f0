//! A process that holds just as much memory as a test wants, in a cgroup of its own.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::Proc;

const MIB: u64 = 1 << 20;

/// `tail` keeps whatever it has read until it sees a newline: a process that holds just as much as it is given.
pub(crate) struct Holder(pub(crate) Child);

impl Holder {
    pub(crate) fn start(scratch: &Scratch) -> Self {
        let holder = Self(Command::new("tail").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        scratch.add(holder.pid()).unwrap();
        holder
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Gives it so much more, and waits until it has taken it.
    pub(crate) fn hold(&mut self, mib: u64) {
        let before = self.held();
        self.feed(mib).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // The last 64 KiB may still be in the pipe.
        while self.held() < before + mib * MIB - MIB {
            assert!(Instant::now() < deadline, "{} bytes held", self.held());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails when it is killed meanwhile.
    pub(crate) fn feed(&mut self, mib: u64) -> std::io::Result<()> {
        let stdin = self.0.stdin.as_mut().unwrap();
        (0..mib).try_for_each(|_| stdin.write_all(&[0; MIB as usize]))
    }

    /// Grows until it is killed, and answers its pid.
    pub(crate) fn grow_until_killed(mut self) -> u32 {
        // It takes what it is given until the kernel closes the pipe for it.
        while self.feed(1).is_ok() {}
        let status = self.0.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        self.pid()
    }

    fn held(&self) -> u64 {
        Proc::new(&HostRoot::default()).point(self.pid(), BootTime(0)).unwrap().anon_bytes.0
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `None`: not possible here, and said.
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
pub(crate) fn scratch(mib: u64) -> Option<Scratch> {
    Scratch::create(&HostRoot::default(), Bytes(mib * MIB)).map_err(|e| eprintln!("SKIPPED: {e}")).ok()
}
