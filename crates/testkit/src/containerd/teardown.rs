//! Leaves nothing behind, whatever state a test has left.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::messages::{Id, Nothing};
use super::{Containerd, lock};

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            // The test has ended it; the sandboxes are removed through it.
            let _ = self.start_daemon();
        }
        self.remove_plain();
        for Id { id } in std::mem::take(&mut *lock(&self.sandboxes)) {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let _ = self.client.call::<_, Nothing>(method, Id { id: id.clone() });
            }
        }
        self.stop_daemon();
        self.kill_shims();
        self.cgroups.remove();
        if let Some(folder) = self.folder.take() {
            unmount_below(folder.path());
            if !mounts_below(folder.path()).is_empty() {
                // Removing would go into what is mounted there.
                let _ = folder.keep();
            }
        }
    }
}

impl Containerd {
    /// Shims outlive containerd where a sandbox could not be removed. They name its socket among their arguments.
    fn kill_shims(&self) {
        let socket = self.socket();
        let Ok(processes) = fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let is_own = arguments.split(|byte| *byte == 0).any(|argument| argument == socket.as_os_str().as_bytes());
            if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| is_own) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn unmount_below(folder: &Path) {
    // The innermost first.
    for mount in mounts_below(folder).iter().rev() {
        let _ = Command::new("umount").args(["--lazy"]).arg(mount).output();
    }
}

fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}
