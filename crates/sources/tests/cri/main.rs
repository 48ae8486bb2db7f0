//! Runtimes that are old, slow, broken or no runtimes at all, on real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

mod fake;

use std::os::unix::fs::symlink;
use std::path::Path;

use fake::{INTERNAL, NOT_FOUND, Reply, UNIMPLEMENTED, field, listen, number};
use oomscope_core::kubernetes::ContainerKind;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::cri::{CgroupDriver, Cri, CriError};

const SOCKET: &str = "run/containerd/containerd.sock";

fn version() -> Reply {
    Reply::Message([field(1, "0.1.0"), field(2, "crio"), field(3, "1.19.0"), field(4, "v1alpha2")].concat())
}

fn connect(root: &Path) -> Result<Cri, CriError> {
    Cri::connect(&HostRoot::at(root), Some(Path::new("/").join(SOCKET).as_path()))
}

/// A sandbox s and a container c in it, as the lists have them.
fn lists(method: &str) -> Reply {
    let metadata = [field(1, "checkout-1"), field(2, "u-1"), field(3, "shop"), number(4, 1)].concat();
    let team = field(5, [field(1, "team"), field(2, "payments")].concat());
    match method {
        "ListPodSandbox" => Reply::Message(field(1, [field(1, "s"), field(2, metadata), team].concat())),
        "ListContainers" => {
            let metadata = [field(1, "api"), number(2, 3)].concat();
            let image = field(1, "api:7");
            Reply::Message(field(1, [field(1, "c"), field(2, "s"), field(3, metadata), field(4, image)].concat()))
        }
        _ => Reply::Failure(NOT_FOUND, "gone"),
    }
}

/// An old runtime has the older API, and lists are all that is left of what was removed since.
#[test]
fn an_old_runtime() {
    let node = tempfile::tempdir().unwrap();
    listen(node.path(), SOCKET, |method, _| match method.split_once('/').unwrap() {
        ("runtime.v1alpha2", "Version") => version(),
        ("runtime.v1alpha2", "RuntimeConfig") | ("runtime.v1", _) => Reply::Failure(UNIMPLEMENTED, "unknown service"),
        (_, method) => lists(method),
    });
    let cri = connect(node.path()).unwrap();
    assert_eq!((cri.name(), cri.version(), cri.api()), ("crio", "1.19.0", "runtime.v1alpha2"));
    assert_eq!(cri.cgroup_driver().unwrap(), None);
    let containers = cri.containers().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!((containers[0].kind, containers[0].pod.as_deref()), (Some(ContainerKind::Pause), Some("checkout-1")));
    let container = &containers[1];
    assert_eq!((container.id.as_str(), container.container.as_deref()), ("c", Some("api")));
    assert_eq!((container.namespace.as_deref(), container.pod_uid.as_deref()), (Some("shop"), Some("u-1")));
    assert_eq!((container.restart_count, container.image.as_deref()), (Some(3), Some("api:7")));
    assert_eq!(container.labels.get("team").map(String::as_str), Some("payments"));
    assert_eq!((container.started, container.exit_code, container.init_pid), (None, None, None));
    assert_eq!(cri.container("c").unwrap(), None);
}

/// One container that the runtime cannot tell of does not hide the others.
#[test]
fn one_that_cannot_be_told() {
    let node = tempfile::tempdir().unwrap();
    listen(node.path(), SOCKET, |method, _| match method.split_once('/').unwrap().1 {
        "Version" => version(),
        "ContainerStatus" => Reply::Failure(INTERNAL, "image is gone"),
        method => lists(method),
    });
    let cri = connect(node.path()).unwrap();
    assert_eq!(cri.containers().unwrap()[1].container.as_deref(), Some("api"));
    assert!(matches!(cri.container("c"), Err(CriError::Refused { call: "ContainerStatus", .. })));
}

/// The cgroup driver of a runtime that is new enough to tell; systemd is 0, which is not written.
#[test]
fn cgroup_drivers() {
    for (answer, driver) in [
        (field(1, number(1, 1)), Some(CgroupDriver::Cgroupfs)),
        (field(1, []), Some(CgroupDriver::Systemd)),
        (Vec::new(), None),
    ] {
        let node = tempfile::tempdir().unwrap();
        listen(node.path(), SOCKET, move |method, _| match method {
            "runtime.v1/Version" => version(),
            _ => Reply::Message(answer.clone()),
        });
        assert_eq!(connect(node.path()).unwrap().cgroup_driver().unwrap(), driver);
    }
}

/// Of the usual sockets the first that speaks CRI is taken: not Docker's containerd, not a socket that nobody listens on.
#[test]
fn the_first_that_speaks_cri() {
    let node = tempfile::tempdir().unwrap();
    let root = HostRoot::at(node.path());
    assert!(matches!(Cri::connect(&root, None), Err(CriError::NoRuntime { tried }) if tried.is_empty()));
    listen(node.path(), SOCKET, |_, _| Reply::Failure(UNIMPLEMENTED, "unknown service runtime.v1.RuntimeService"));
    let dead = node.path().join("run/k3s/containerd/containerd.sock");
    std::fs::create_dir_all(dead.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let error = Cri::connect(&root, None).unwrap_err();
    let CriError::NoRuntime { tried } = &error else { panic!("{error}") };
    assert!(matches!(&tried[..], [CriError::NotCri { .. }, CriError::Connect { .. }]), "{error}");
    listen(node.path(), "run/crio/crio.sock", |_, _| version());
    assert_eq!(Cri::connect(&root, None).unwrap().socket(), Path::new("/run/crio/crio.sock"));
    // Named is named: no other is taken in its place.
    assert!(matches!(connect(node.path()), Err(CriError::NotCri { .. })));
}

/// A link is followed as on the machine, and never out of it.
#[test]
fn links() {
    let (node, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    listen(node.path(), SOCKET, |_, _| version());
    listen(outside.path(), "other.sock", |_, _| version());
    std::fs::create_dir(node.path().join("var")).unwrap();
    symlink("/run", node.path().join("var/run")).unwrap();
    symlink(outside.path().join("other.sock"), node.path().join("run/out.sock")).unwrap();
    let root = HostRoot::at(node.path());
    assert!(Cri::connect(&root, Some(Path::new("/var/run/containerd/containerd.sock"))).is_ok());
    assert!(matches!(Cri::connect(&root, Some(Path::new("/run/out.sock"))), Err(CriError::Connect { .. })));
}

/// A path longer than a socket's address may be.
#[test]
fn a_long_path() {
    let node = tempfile::tempdir().unwrap();
    let deep = node.path().join("x".repeat(120));
    listen(node.path(), SOCKET, |_, _| version());
    std::fs::create_dir(&deep).unwrap();
    std::fs::rename(node.path().join("run"), deep.join("run")).unwrap();
    assert!(connect(&deep).is_ok());
}

/// Whoever answers nothing is given up; the next call is tried.
#[test]
fn silence() {
    let node = tempfile::tempdir().unwrap();
    listen(node.path(), SOCKET, |method, _| match method {
        "runtime.v1/Version" => version(),
        "runtime.v1/ListPodSandbox" => Reply::Silence,
        method => lists(method),
    });
    let cri = connect(node.path()).unwrap();
    let error = cri.containers().unwrap_err();
    assert!(matches!(error, CriError::Timeout { call: "ListPodSandbox", .. }), "{error}");
    assert_eq!(cri.container("c").unwrap(), None);
}

/// Nonsense is an error in plain words: no panic, no memory taken for what was only announced, no escapes on the terminal.
#[test]
fn nonsense() {
    let announced = [&[0], &u32::MAX.to_be_bytes()[..], b"x"].concat();
    for body in [announced, vec![0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], b"hello".to_vec(), Vec::new()] {
        let node = tempfile::tempdir().unwrap();
        listen(node.path(), SOCKET, move |_, _| Reply::Raw(body.clone()));
        let error = connect(node.path()).unwrap_err();
        assert!(matches!(error, CriError::Refused { call: "Version", .. }), "{error}");
    }
    let node = tempfile::tempdir().unwrap();
    listen(node.path(), SOCKET, |_, _| Reply::Failure(INTERNAL, "%1b[31mred%0a"));
    let message = connect(node.path()).unwrap_err().to_string();
    assert!(message.contains("red") && !message.contains(['\u{1b}', '\n']), "{message:?}");
}
