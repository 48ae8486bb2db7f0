//! At which level of a Kubernetes hierarchy a cgroup stands, from its path alone.
//!
//! Paths nest: kind and k3d run a whole kubelet inside a container, systemd and Docker run inside containers. The
//! *innermost* Kubernetes hierarchy is the one whose pod was hit, so the path is read from its end.

/// Where a cgroup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The cgroup of a container of a pod, or one that the container made below its own.
    Container,
    /// The cgroup of a pod.
    Pod,
    /// `kubepods`, or the slice of a QoS class.
    KubeAncestor,
    /// In no Kubernetes hierarchy: a service, a session, a plain container.
    Outside,
}

/// Classifies a path as the kernel prints it.
#[must_use]
pub fn level_of(path: &str) -> Level {
    let last = path.trim_end_matches('/').split('/').count().saturating_sub(1);
    let innermost = path
        .trim_end_matches('/')
        .split('/')
        .enumerate()
        .filter_map(|(at, part)| kind_of(part).map(|kind| (at, kind)))
        .last();
    match innermost {
        Some((_, Kind::Ctr)) => Level::Container,
        Some((at, Kind::Pod)) if at == last => Level::Pod,
        Some((_, Kind::Pod)) => Level::Container,
        Some((_, Kind::Ancestor)) => Level::KubeAncestor,
        None => Level::Outside,
    }
}

/// The part of `path` up to and including its innermost pod: the same for every container and every restart.
#[must_use]
pub fn pod_path(path: &str) -> Option<&str> {
    let mut end = 0;
    let mut found = None;
    for part in path.split('/') {
        end += part.len();
        match kind_of(part) {
            Some(Kind::Pod) => found = path.get(..end),
            Some(Kind::Ctr) => found = part.find(':').and_then(|colon| path.get(..end - part.len() + colon)),
            Some(Kind::Ancestor) => found = None,
            None => {}
        }
        end += 1;
    }
    found
}

/// What one component of a path says by itself.
enum Kind {
    Ancestor,
    Pod,
    /// `kubepods-burstable-pod….slice:cri-containerd:<id>`: what containerd makes of the systemd driver's name when it
    /// is itself set to the cgroupfs driver.
    Ctr,
}

fn kind_of(component: &str) -> Option<Kind> {
    if let Some((slice, _)) = component.split_once(".slice:") {
        return pod_suffix(slice).then_some(Kind::Ctr);
    }
    let name = component.strip_suffix(".slice").unwrap_or(component);
    if pod_suffix(name) {
        return Some(Kind::Pod);
    }
    // `kubepods`, `kubepods-burstable`, and kind's `kubelet-kubepods`, `kubelet-kubepods-burstable`; with the cgroupfs
    // driver the QoS class is a component of its own, which stands below `kubepods` and needs no recognising.
    name.split('-').any(|word| word == "kubepods").then_some(Kind::Ancestor)
}

/// True for `pod<uid>` and `…-pod<uid>`: a uid is 32 hex digits, with or without four separators (`-`, or `_` in the
/// names of slices); static pods have a hash of the same length.
fn pod_suffix(name: &str) -> bool {
    let Some(at) = name.rfind("pod") else { return false };
    let (before, uid) = (&name[..at], &name[at + 3..]);
    (before.is_empty() || before.ends_with('-'))
        && uid.bytes().filter(u8::is_ascii_hexdigit).count() == 32
        && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0890e4ec-26c7-4b33-a1da-e364a1f444fc";

    /// Both drivers, every level, and the nested hierarchies of kind.
    #[test]
    fn levels() {
        let slice_uid = UID.replace('-', "_");
        for (path, level) in [
            (format!("/kubepods/burstable/pod{UID}/aea2a6cf"), Level::Container),
            (format!("/kubepods/burstable/pod{UID}/aea2a6cf/init.scope"), Level::Container),
            (format!("/kubepods/burstable/pod{UID}"), Level::Pod),
            (format!("/kubepods/pod{UID}/"), Level::Pod),
            ("/kubepods/burstable".into(), Level::KubeAncestor),
            ("/kubepods.slice".into(), Level::KubeAncestor),
            ("/kubepods.slice/kubepods-besteffort.slice".into(), Level::KubeAncestor),
            (format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice_uid}.slice"), Level::Pod),
            (format!("/kubepods.slice/kubepods-pod{slice_uid}.slice/crio-293d.scope"), Level::Container),
            (format!("/system.slice/kubepods-burstable-pod{slice_uid}.slice:cri-containerd:f00"), Level::Container),
            (format!("/docker/02ea/kubelet/kubepods/burstable/pod{UID}/bd20"), Level::Container),
            (format!("/kubepods/pod{UID}/aea2/kubelet/kubepods"), Level::KubeAncestor),
            (
                format!("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{slice_uid}.slice/x.scope"),
                Level::Container,
            ),
            ("/docker/02ea328cc23e".into(), Level::Outside),
            ("/system.slice/nginx.service".into(), Level::Outside),
            ("/machine.slice/machine-libpod_pod_0890e4ec26c74b33a1dae364a1f444fc.slice".into(), Level::Outside),
            ("/".into(), Level::Outside),
            (String::new(), Level::Outside),
        ] {
            assert_eq!(level_of(&path), level, "{path}");
        }
    }

    /// Two containers of one pod have the same pod path, whatever the driver.
    #[test]
    fn pods_have_one_path() {
        let pod = format!("/docker/0/kubepods/burstable/pod{UID}");
        assert_eq!(pod_path(&format!("{pod}/aea2/init.scope")), Some(pod.as_str()));
        assert_eq!(pod_path(&pod), Some(pod.as_str()));
        assert_eq!(pod_path("/kubepods/burstable"), None);
        assert_eq!(pod_path("/system.slice/x.service"), None);
    }
}
