//! A real containerd with real pods, some of whose containers are killed for want of memory: what it says over CRI, and what is on disk.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oomscope_core::kubernetes::{ContainerKind, RuntimeContainer};
use oomscope_core::units::Bytes;
use oomscope_sources::kubernetes::cri::{Cri, CriError};
use oomscope_sources::kubernetes::disk::{container_on_disk, containers_on_disk, memory_volumes, pod_on_disk};
use oomscope_testkit::containerd::{ContainerSpec, Containerd, PodSpec, RunningPod};

const LIMIT: Bytes = Bytes(24 << 20);
const UID: &str = "5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2";

/// A pod of two containers, the first of which will take too much.
fn shop(first: ContainerSpec) -> PodSpec {
    let mut spec = PodSpec::new("shop", "checkout-7f9-x2x", UID, vec![first, ContainerSpec::idle("log-shipper", None)]);
    spec.labels.insert("team".to_owned(), "payments".to_owned());
    spec
}

fn connect(containerd: &Containerd) -> Cri {
    Cri::connect(&containerd.host_root(), Some(Path::new("unix:///run/containerd/containerd.sock"))).unwrap()
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_for_end(containerd: &Containerd, id: &str) -> RuntimeContainer {
    wait_for("the container's end", || container_on_disk(&containerd.host_root(), id).filter(|c| c.finished.is_some()))
}

/// What every witness says of a container of the pod, whether it runs or not.
#[track_caller]
fn assert_named(container: &RuntimeContainer, pod: &RunningPod, name: &str, restarts: u32) {
    assert_eq!(container.runtime.as_deref(), Some("containerd"));
    assert_eq!(container.namespace.as_deref(), Some("shop"), "{container:#?}");
    assert_eq!(container.pod.as_deref(), Some(&*pod.spec.name));
    assert_eq!(container.pod_uid.as_deref(), Some(UID));
    assert_eq!(container.container.as_deref(), Some(name));
    assert_eq!(container.restart_count, Some(restarts));
    assert_eq!(container.kind, None);
}

#[track_caller]
fn assert_oom_killed(container: &RuntimeContainer) {
    assert_eq!((container.exit_code, container.reason.as_deref()), (Some(137), Some("OOMKilled")), "{container:#?}");
    assert!(container.started < container.finished, "{container:#?}");
    assert_eq!(container.init_pid, None);
}

/// The kernel counts kills in the container's own cgroup.
fn kills(cgroup: &Path) -> u64 {
    let read = |file| std::fs::read_to_string(cgroup.join(file)).ok();
    let text = read("memory.oom_control").or_else(|| read("memory.events")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// Over CRI: a container before and after its kill, the instance that replaces it, the sandbox, and the pod's labels on all of them.
#[test]
fn over_cri() {
    let Some(containerd) = Containerd::or_skip("over_cri") else { return };
    let hog = ContainerSpec::hog("api", LIMIT);
    let mut pod = containerd.run_pod(shop(hog.clone())).unwrap();
    let first = pod.id("api").to_owned();
    let cri = connect(&containerd);
    assert_eq!((cri.name(), cri.api()), ("containerd", "runtime.v1"));
    assert!(cri.cgroup_driver().is_ok());

    let running = cri.container(&first).unwrap().unwrap();
    assert_named(&running, &pod, "api", 0);
    assert_eq!((running.memory_limit, running.oom_score_adj), (Some(LIMIT), Some(900)));
    assert_eq!((running.exit_code, &running.reason, running.finished), (None, &None, None));
    assert_eq!(running.image.as_deref(), Some("localhost/workload:1"));
    assert_eq!(running.sandbox_id.as_deref(), Some(&*pod.sandbox_id));
    assert!(Path::new("/proc").join(running.init_pid.unwrap().to_string()).exists());
    assert!(running.cgroup.unwrap().ends_with(&format!("kubepods/burstable/pod{UID}/{first}")));

    pod.go();
    wait_for_end(&containerd, &first);
    let ended = cri.container(&first).unwrap().unwrap();
    assert_named(&ended, &pod, "api", 0);
    assert_oom_killed(&ended);

    pod.wait_again();
    containerd.start_container(&mut pod, &ContainerSpec { restarts: 1, ..hog }).unwrap();
    let all = cri.containers().unwrap();
    assert_eq!(all.len(), 4, "{all:#?}");
    let with_id = |id: &str| all.iter().find(|container| container.id == id).unwrap();
    assert_oom_killed(with_id(&first));
    assert_named(with_id(pod.id("api")), &pod, "api", 1);
    assert_named(with_id(pod.id("log-shipper")), &pod, "log-shipper", 0);
    let sandbox = with_id(&pod.sandbox_id);
    assert_eq!((sandbox.kind, &sandbox.container), (Some(ContainerKind::Pause), &None));
    assert_eq!((sandbox.pod_uid.as_deref(), sandbox.init_pid.is_some()), (Some(UID), true));
    assert!(all.iter().all(|c| c.labels.iter().eq([(&"team".to_owned(), &"payments".to_owned())])), "{all:#?}");
}

/// With the runtime gone, disk alone: names, limit and cgroup of what runs; names, exit code and reason of what was killed.
#[test]
fn on_disk_alone() {
    let Some(mut containerd) = Containerd::or_skip("on_disk_alone") else { return };
    let root = containerd.host_root();
    let hog = ContainerSpec { restarts: 3, ..ContainerSpec::hog("api", LIMIT) };
    let pod = containerd.run_pod(shop(hog)).unwrap();
    let running = container_on_disk(&root, pod.id("api")).unwrap();
    assert_named(&running, &pod, "api", 3);
    assert_eq!((running.memory_limit, running.oom_score_adj), (Some(LIMIT), Some(900)));
    assert_eq!((running.finished, running.init_pid.is_some()), (None, true));

    pod.go();
    wait_for_end(&containerd, pod.id("api"));
    containerd.stop_daemon();
    let _ = std::fs::remove_file(containerd.socket());
    assert!(matches!(Cri::connect(&root, None), Err(CriError::NoRuntime { .. })));
    assert_oom_killed(&container_on_disk(&root, pod.id("api")).unwrap());

    let (all, gaps) = containers_on_disk(&root);
    assert_eq!((all.len(), gaps), (3, Vec::new()), "{all:#?}");
    let with_id = |id: &str| all.iter().find(|container| container.id == id).unwrap();
    assert_named(with_id(pod.id("api")), &pod, "api", 3);
    assert_oom_killed(with_id(pod.id("api")));
    assert_named(with_id(pod.id("log-shipper")), &pod, "log-shipper", 0);
    assert_eq!(with_id(pod.id("log-shipper")).image.as_deref(), Some("localhost/workload:1"));
    assert_eq!(with_id(&pod.sandbox_id).kind, Some(ContainerKind::Pause));

    let names = pod_on_disk(&root, UID).unwrap();
    assert_eq!((names.namespace.as_str(), names.name.as_str()), ("shop", "checkout-7f9-x2x"));
    assert_eq!(names.containers, ["api", "log-shipper"]);
}

/// A child is killed and its container lives on: containerd calls that one OOMKilled while it runs, which no Pod status shows. Ended
/// later by something else, it is still called so.
#[test]
fn a_child_killed() {
    let Some(containerd) = Containerd::or_skip("a_child_killed") else { return };
    let pod = containerd.run_pod(shop(ContainerSpec::with_hungry_child("api", LIMIT))).unwrap();
    let id = pod.id("api");
    let cri = connect(&containerd);
    pod.go();
    let cgroup = pod.cgroup.join(id);
    wait_for("the kill", || (kills(&cgroup) > 0).then_some(()));
    let over_cri = || cri.container(id).unwrap();
    let on_disk = || container_on_disk(&containerd.host_root(), id);
    for witness in [&over_cri as &dyn Fn() -> Option<RuntimeContainer>, &on_disk] {
        let container = wait_for("the flag", || witness().filter(|container| container.reason.is_some()));
        assert_named(&container, &pod, "api", 0);
        assert_eq!(container.reason.as_deref(), Some("OOMKilled"));
        assert_eq!((container.finished, container.exit_code), (None, None));
        assert!(container.init_pid.is_some());
    }
    containerd.stop_container(id, 0).unwrap();
    let ended = cri.container(id).unwrap().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (Some(137), Some("OOMKilled")));
    assert!(!cgroup.exists());
}

/// One connection goes on after containerd was started again; a container that the runtime was told to forget is no error.
#[test]
fn containerd_restarts() {
    let Some(mut containerd) = Containerd::or_skip("containerd_restarts") else { return };
    let pod = containerd.run_pod(shop(ContainerSpec::idle("api", Some(LIMIT)))).unwrap();
    let cri = connect(&containerd);
    assert!(cri.container(pod.id("api")).unwrap().is_some());
    containerd.stop_daemon();
    assert!(cri.containers().is_err());
    containerd.start_daemon().unwrap();
    assert_eq!(cri.containers().unwrap().len(), 3);
    containerd.stop_container(pod.id("api"), 0).unwrap();
    containerd.remove_container(pod.id("api")).unwrap();
    assert_eq!(cri.container(pod.id("api")).unwrap(), None);
    assert_eq!(cri.container("no such container").unwrap(), None);
    assert_eq!(cri.containers().unwrap().len(), 2);
}

/// What a container wrote into a volume in memory is there after its end, and is found with its volume.
#[test]
fn volumes_in_memory() {
    const WRITTEN: u64 = 3 << 20;
    let Some(containerd) = Containerd::or_skip("volumes_in_memory") else { return };
    let script = format!("head -c {WRITTEN} /dev/zero > /cache/file");
    let mut writer = ContainerSpec::new("api", Some(LIMIT), &script);
    writer.mounts.insert("cache".to_owned(), PathBuf::from("/cache"));
    let mut spec = shop(writer);
    spec.memory_volumes.insert("cache".to_owned(), Bytes(16 << 20));
    let pod = containerd.run_pod(spec).unwrap();
    wait_for_end(&containerd, pod.id("api"));

    let (volumes, gaps) = memory_volumes(&containerd.host_root(), Some(UID));
    assert_eq!((volumes.len(), gaps), (1, Vec::new()));
    assert_eq!((&*volumes[0].name, &*volumes[0].plugin), ("cache", "empty-dir"));
    assert_eq!((volumes[0].used, volumes[0].size), (Some(Bytes(WRITTEN)), Some(Bytes(16 << 20))));
    let expected = format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/cache");
    assert_eq!(volumes[0].mount, Path::new(&expected));
    assert!(memory_volumes(&containerd.host_root(), Some("another")).0.is_empty());
}

/// Without Kubernetes there is no CRI to ask: the bundle names the runtime and the limit, and the kernel's path has the id.
#[test]
fn outside_of_kubernetes() {
    let Some(containerd) = Containerd::or_skip("outside_of_kubernetes") else { return };
    for (namespace, runtime) in [("default", "containerd"), ("moby", "docker")] {
        let name = format!("job-in-{namespace}");
        containerd.run_plain(namespace, &ContainerSpec::idle(&name, Some(LIMIT))).unwrap();
        let container = container_on_disk(&containerd.host_root(), &name).unwrap();
        assert_eq!((container.runtime.as_deref(), container.memory_limit), (Some(runtime), Some(LIMIT)));
        assert_eq!((container.pod, container.kind), (None, None));
        assert!(container.init_pid.is_some() && container.cgroup.is_some());
    }
    assert_eq!(connect(&containerd).containers().unwrap(), []);
}
