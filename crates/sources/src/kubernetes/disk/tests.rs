//! Made-up nodes: runtimes that are not at hand, damage, and ill will.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use oomscope_core::kubernetes::ContainerKind;
use oomscope_core::units::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const UID: &str = "5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2";
const TASKS: &str = "run/containerd/io.containerd.runtime.v2.task";

struct Node(TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn json(&self, path: &str, content: Value) -> &Self {
        self.file(path, content.to_string())
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn root(&self) -> HostRoot {
        HostRoot::at(self.0.path())
    }

    #[track_caller]
    fn container(&self, id: &str) -> RuntimeContainer {
        let one = container_on_disk(&self.root(), id).unwrap();
        let (all, gaps) = containers_on_disk(&self.root());
        assert_eq!(gaps, []);
        assert_eq!(all.iter().find(|container| container.id == id), Some(&one), "one looked for, and one of all");
        one
    }
}

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A container long gone, of which the kubelet's link and containerd's status are left.
#[test]
fn what_is_left_of_a_dead_container() {
    let (node, id) = (Node::new(), id('a'));
    let log = format!("/var/log/pods/shop_checkout-1_{UID}/api/4.log");
    node.link(&format!("var/log/containers/checkout-1_shop_api-{id}.log"), log);
    let status = json!({"Version": "v1", "Pid": 0, "StartedAt": 1_795_277_067_725_008_216_i64,
        "FinishedAt": 1_795_277_067_857_140_263_i64, "ExitCode": 137, "Reason": "OOMKilled"});
    node.json(
        &format!("var/lib/rancher/k3s/agent/containerd/io.containerd.grpc.v1.cri/containers/{id}/status"),
        status,
    );
    let container = node.container(&id);
    assert_eq!((container.namespace.as_deref(), container.pod.as_deref()), (Some("shop"), Some("checkout-1")));
    assert_eq!((container.container.as_deref(), container.restart_count), (Some("api"), Some(4)));
    assert_eq!(container.pod_uid.as_deref(), Some(UID));
    assert_eq!((container.exit_code, container.reason.as_deref()), (Some(137), Some("OOMKilled")));
    assert_eq!(container.finished.unwrap().to_string(), "2026-11-21T16:04:27.857140263Z");
}

/// The latest log is that of the container that runs; a rotated one and one of a stranger's name do not count.
#[test]
fn restarts_by_the_latest_log() {
    let (node, id) = (Node::new(), id('b'));
    let spec = json!({"annotations": {
        "io.kubernetes.cri.container-name": "api", "io.kubernetes.cri.sandbox-name": "p",
        "io.kubernetes.cri.sandbox-namespace": "n", "io.kubernetes.cri.sandbox-uid": UID}});
    node.json(&format!("{TASKS}/k8s.io/{id}/config.json"), spec).file(&format!("{TASKS}/k8s.io/{id}/init.pid"), "77");
    for log in ["0.log", "11.log", "9.log", "12.log.20261121-120000", "99.txt"] {
        node.file(&format!("var/log/pods/n_p_{UID}/api/{log}"), "");
    }
    let container = node.container(&id);
    assert_eq!((container.restart_count, container.init_pid), (Some(11), Some(77)));
}

/// CRI-O: the spec names the container, the state tells its end, and the sandbox has the pod's labels.
#[test]
fn cri_o() {
    let (node, id, sandbox) = (Node::new(), id('c'), id('d'));
    let folder = |id: &str| format!("var/lib/containers/storage/overlay-containers/{id}/userdata");
    let names = |kind: &str, name: &str| {
        json!({"io.container.manager": "cri-o", "io.kubernetes.cri-o.ContainerType": kind,
            "io.kubernetes.container.name": name, "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n",
            "io.kubernetes.pod.uid": UID, "io.kubernetes.cri-o.SandboxID": sandbox,
            "io.kubernetes.container.restartCount": "2", "io.kubernetes.cri-o.UserRequestedImage": "quay.io/api:7",
            "io.kubernetes.cri-o.Labels": "{\"app\":\"web\",\"io.kubernetes.pod.uid\":\"u\"}"})
    };
    let spec = json!({"annotations": names("container", "api"), "process": {"oomScoreAdj": 995},
        "linux": {"cgroupsPath": "kubepods-burstable-podx.slice:crio:c", "resources": {"memory": {"limit": 1 << 20}}}});
    node.json(&format!("{}/config.json", folder(&id)), spec);
    node.json(&format!("{}/config.json", folder(&sandbox)), json!({"annotations": names("sandbox", "POD")}));
    let state = json!({"status": "stopped", "started": "2026-11-21T07:33:34.1Z", "finished": "2026-11-21T07:33:43.2Z",
        "exitCode": 137, "oomKilled": true, "initPid": 5});
    node.json(&format!("{}/state.json", folder(&id)), state);
    let container = node.container(&id);
    assert_eq!((container.runtime.as_deref(), container.container.as_deref()), (Some("cri-o"), Some("api")));
    assert_eq!((container.image.as_deref(), container.restart_count), (Some("quay.io/api:7"), Some(2)));
    assert_eq!((container.exit_code, container.reason.as_deref()), (Some(137), Some("OOMKilled")));
    assert_eq!((container.memory_limit, container.oom_score_adj), (Some(Bytes(1 << 20)), Some(995)));
    assert_eq!((container.init_pid, container.labels.get("app").map(String::as_str)), (None, Some("web")));
    assert_eq!(node.container(&sandbox).kind, Some(ContainerKind::Pause));
}

/// Podman has a container's name in a list beside the containers' folders.
#[test]
fn podman() {
    let (node, id) = (Node::new(), id('e'));
    let folder = "var/lib/containers/storage/overlay-containers";
    let spec =
        json!({"annotations": {"io.container.manager": "libpod"}, "linux": {"cgroupsPath": "machine.slice:libpod:e"}});
    node.json(&format!("{folder}/{id}/userdata/config.json"), spec);
    let metadata = json!({"image-name": "docker.io/library/alpine:3", "name": "db"}).to_string();
    node.json(&format!("{folder}/containers.json"), json!([{"id": id, "names": ["db"], "metadata": metadata}]));
    let container = node.container(&id);
    assert_eq!((container.runtime.as_deref(), container.container.as_deref()), (Some("podman"), Some("db")));
    assert_eq!((container.image.as_deref(), container.pod_uid), (Some("docker.io/library/alpine:3"), None));
}

/// Docker: by itself a name and an end; under a kubelet the pod's names. The end of an earlier run is not the end.
#[test]
fn docker() {
    let (node, plain, in_pod) = (Node::new(), id('f'), id('0'));
    let folder = |id: &str| format!("var/lib/docker/containers/{id}");
    let config = json!({"Name": "/web", "RestartCount": 3, "Config": {"Image": "nginx:1", "Labels": null},
        "State": {"Running": false, "ExitCode": 137, "OOMKilled": true,
                  "StartedAt": "2026-11-21T07:33:34.1Z", "FinishedAt": "2026-11-21T07:33:43.2Z"}});
    node.json(&format!("{}/config.v2.json", folder(&plain)), config);
    node.json(&format!("{}/hostconfig.json", folder(&plain)), json!({"Memory": 1 << 26, "OomScoreAdj": 0}));
    let labels = json!({"io.kubernetes.docker.type": "container", "io.kubernetes.container.name": "api",
        "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n", "io.kubernetes.pod.uid": UID,
        "annotation.io.kubernetes.container.restartCount": "1", "io.kubernetes.sandbox.id": "s"});
    let config = json!({"Name": "/k8s_api_p_n_x_1", "Config": {"Labels": labels},
        "State": {"Running": true, "Pid": 42, "StartedAt": "2026-11-21T07:33:34.1Z", "FinishedAt": "0001-01-01T00:00:00Z"}});
    node.json(&format!("{}/config.v2.json", folder(&in_pod)), config);
    let container = node.container(&plain);
    assert_eq!((container.container.as_deref(), container.restart_count), (Some("web"), Some(3)));
    assert_eq!((container.exit_code, container.reason.as_deref()), (Some(137), Some("OOMKilled")));
    assert_eq!((container.memory_limit, container.image.as_deref()), (Some(Bytes(1 << 26)), Some("nginx:1")));
    let container = node.container(&in_pod);
    assert_eq!((container.container.as_deref(), container.restart_count), (Some("api"), Some(1)));
    assert_eq!((container.init_pid, container.finished, container.exit_code), (Some(42), None, None));
}

/// What somebody runs with ctr or nerdctl has a name for an id, and a container of Docker's own containerd is Docker's.
#[test]
fn other_namespaces_of_containerd() {
    let (node, moby) = (Node::new(), id('1'));
    node.json(&format!("{TASKS}/default/my-job_1/config.json"), json!({"linux": {"cgroupsPath": "/default/my-job_1"}}));
    node.json(&format!("{TASKS}/moby/{moby}/config.json"), json!({}));
    assert_eq!(node.container("my-job_1").runtime.as_deref(), Some("containerd"));
    assert_eq!(node.container(&moby).runtime.as_deref(), Some("docker"));
}

/// Links out of the root, pipes, files without end and damaged ones tell nothing, and are not waited for.
#[test]
fn ill_will_and_damage() {
    let (node, outside) = (Node::new(), Node::new());
    outside.json("config.json", json!({"annotations": {"io.kubernetes.cri.container-name": "secret"}}));
    let bundle = |digit: char| format!("{TASKS}/k8s.io/{}", id(digit));
    node.link(&format!("{}/config.json", bundle('1')), outside.0.path().join("config.json"));
    node.link(&bundle('2'), outside.0.path());
    fs::create_dir_all(node.0.path().join(bundle('3'))).unwrap();
    let pipe = node.0.path().join(bundle('3')).join("config.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::RWXU).unwrap();
    node.file(&format!("{}/config.json", bundle('4')), "{\"annotations\":");
    let annotation = "x".repeat(usize::try_from(LARGEST_FILE).unwrap());
    node.json(&format!("{}/config.json", bundle('5')), json!({"annotations": {"a": annotation}}));
    node.link(&format!("{}/config.json", bundle('6')), "/dev/zero");
    assert_eq!(containers_on_disk(&node.root()), (Vec::new(), Vec::new()));
    for name in ["", "..", "../x", "/etc", "a/b", "-a", &"x".repeat(300), "a\0b"] {
        assert_eq!(container_on_disk(&node.root(), name), None);
    }
}

/// Names in a link's target become parts of paths and of sentences: only plain ones are taken.
#[test]
fn names_of_logs() {
    let (node, id) = (Node::new(), id('7'));
    let target = "/var/log/pods/n\u{1b}[31m_p_u/../api/x.log";
    node.link(&format!("var/log/containers/p_n_api-{id}.log"), target);
    node.link("var/log/containers/p_n_api-cut.log", "/var/log/pods/n_p_u/api/0.log");
    assert_eq!(containers_on_disk(&node.root()).0, [], "no namespace in `..`");
    let odd = format!("/var/log/pods/n\u{1b}_p_{UID}/api/x.log");
    fs::remove_file(node.0.path().join(format!("var/log/containers/p_n_api-{id}.log"))).unwrap();
    node.link(&format!("var/log/containers/p_n_api-{id}.log"), odd);
    let container = node.container(&id);
    assert_eq!((container.namespace, container.container.as_deref()), (None, Some("api")));
    assert_eq!(container.restart_count, None);
}

/// A machine without containers, and one that is not there, are said to be so.
#[test]
fn nothing_there() {
    let (containers, gaps) = containers_on_disk(&Node::new().root());
    assert_eq!((containers.len(), gaps.len()), (0, 1));
    let (containers, gaps) = containers_on_disk(&HostRoot::at("/no such folder"));
    assert_eq!((containers.len(), gaps.len()), (0, 1));
}
