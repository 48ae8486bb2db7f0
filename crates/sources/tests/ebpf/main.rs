//! What programs in this machine's kernel tell of real OOM kills and page faults, compared with the kernel's log and the cgroup's files.
//!
//! Skips where no program can be loaded, or no cgroup made.

#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

mod faults;
mod kills;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use oomscope_core::evidence::Gap;
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;

/// What works here, or why it does not.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn or_skip<T>(started: Result<T, Gap>) -> Option<T> {
    started.map_err(|gap| eprintln!("SKIPPED: {}: {}", gap.wanted, gap.why)).ok()
}

/// A limited cgroup of this test alone.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn scratch(mebibytes: u64) -> Option<Scratch> {
    Scratch::create(&HostRoot::default(), Bytes(mebibytes << 20)).map_err(|e| eprintln!("SKIPPED: {e}")).ok()
}

/// Inode of its folder.
fn inode(scratch: &Scratch) -> u64 {
    fs::metadata(scratch.folder()).unwrap().ino()
}

/// Runs a shell's commands in the cgroup.
fn run_in(scratch: &Scratch, commands: &str) -> Child {
    let script = format!("echo $$ > {}/cgroup.procs; {commands}", scratch.folder().display());
    Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Grows until the limit: tail keeps a line that never ends.
const GROW: &str = "exec tail /dev/zero";
