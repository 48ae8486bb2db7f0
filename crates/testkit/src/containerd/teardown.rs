//! Leaves nothing behind, whatever state a test has left.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::messages::{Id, Nothing};
use super::{Containerd, STATE, lock};

impl Drop for Containerd {
    fn drop(&mut self) {
        // A test may have ended it.
        if self.daemon.is_some() || self.start_daemon().is_ok() {
            self.remove_containers();
        }
        self.stop_daemon();
        let sockets = self.shim_sockets();
        self.kill_shims();
        for socket in sockets {
            let _ = fs::remove_file(socket);
        }
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
    /// As the kubelet does, while the daemon answers.
    fn remove_containers(&self) {
        self.remove_plain();
        for Id { id } in std::mem::take(&mut *lock(&self.sandboxes)) {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let _ = self.client.call::<_, Nothing>(method, Id { id: id.clone() });
            }
        }
    }

    /// Where shims listen: in a folder of the machine's, whatever the configuration. Each removes its own when it ends by itself.
    fn shim_sockets(&self) -> Vec<PathBuf> {
        let tasks = self.root().join(STATE).join("io.containerd.runtime.v2.task");
        let bundles = entries(&tasks).into_iter().flat_map(|namespace| entries(&namespace));
        let addresses = bundles.filter_map(|bundle| fs::read_to_string(bundle.join("address")).ok());
        addresses.filter_map(|address| Some(PathBuf::from(address.strip_prefix("unix://")?))).collect()
    }

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

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
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
