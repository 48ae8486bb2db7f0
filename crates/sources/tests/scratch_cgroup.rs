//! A program of its own, because going into a cgroup takes the whole process along.

use std::fs;

use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;

/// A process that went into its scratch cgroup is back where it was once the cgroup is removed.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn going_in_and_coming_back() {
    let before = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut scratch = match Scratch::create(&HostRoot::default(), Bytes(512 << 20)) {
        Ok(scratch) => scratch,
        Err(e) => return eprintln!("SKIPPED: {e}"),
    };
    let folder = scratch.folder().to_owned();
    scratch.add_self().unwrap();
    let inside = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert!(inside.contains(scratch.kernel_path().to_str().unwrap()), "{inside}");
    scratch.remove().unwrap();
    assert!(!folder.exists());
    assert_eq!(fs::read_to_string("/proc/self/cgroup").unwrap(), before);
}
