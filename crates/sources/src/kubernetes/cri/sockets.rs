//! Where runtimes listen.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Names a runtime's socket for crictl and others, as `unix:///run/…` or as a path.
const ENDPOINT: &str = "CONTAINER_RUNTIME_ENDPOINT";

/// The usual places, on the machine: those of kubeadm first, then of the distributions that keep a containerd of their own.
const USUAL: [&str; 7] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/k0s/containerd.sock",
    "/run/cri-dockerd.sock",
    "/var/run/dockershim.sock",
];

/// The sockets to try, in order. Where one was named, only that: another runtime's containers would be the wrong answer.
pub(super) fn candidates(explicit: Option<&Path>) -> Candidates {
    if let Some(path) = explicit {
        return Candidates::Named(plain(path.as_os_str()));
    }
    match std::env::var_os(ENDPOINT).filter(|endpoint| !endpoint.is_empty()) {
        Some(endpoint) => Candidates::Named(plain(&endpoint)),
        None => Candidates::Usual(USUAL.iter().map(PathBuf::from).collect()),
    }
}

pub(super) enum Candidates {
    Named(PathBuf),
    Usual(Vec<PathBuf>),
}

/// Without the scheme that kubelet and crictl want.
fn plain(endpoint: &OsStr) -> PathBuf {
    let path = endpoint.to_str().and_then(|text| text.strip_prefix("unix://"));
    path.map_or_else(|| PathBuf::from(endpoint), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kubelet's way of writing it, and a path.
    #[test]
    fn endpoints() {
        for endpoint in ["unix:///run/a.sock", "/run/a.sock"] {
            let Candidates::Named(path) = candidates(Some(Path::new(endpoint))) else { panic!("not named") };
            assert_eq!(path, Path::new("/run/a.sock"));
        }
    }
}
