//! A node as a cluster has it: a real containerd with real pods that are really killed, and an API server that comes and goes.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use oomscope_core::units::Bytes;
use oomscope_testkit::containerd::{ContainerSpec, Containerd, PodSpec, RunningPod};
use oomscope_testkit::kubernetes::{FakeCluster, Who};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::run::{Files, Ran, oomscope, run};
use super::watch::lines;

const LIMIT: Bytes = Bytes(24 << 20);
const UID: &str = "5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2";
const PATIENCE: Duration = Duration::from_secs(60);

/// A watcher of the pods of one containerd.
struct Watcher {
    child: std::process::Child,
    cases: Receiver<String>,
    words: Receiver<String>,
    heard: Vec<String>,
    told: Vec<Value>,
}

impl Watcher {
    fn start(containerd: &Containerd, store: &str, more: &[&str]) -> Self {
        let root = containerd.root().to_str().unwrap();
        // As it is mounted below that root.
        let cgroup = format!("{root}{}", containerd.cgroup().to_str().unwrap());
        let cgroup = cgroup.as_str();
        let mut command =
            oomscope(&[&["watch", "-o", "json", "--root", root, "--cgroup", cgroup, "--store", store], more].concat());
        command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        let mut child = command.spawn().unwrap();
        let (cases, words) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let mut watcher = Self { child, cases, words, heard: Vec::new(), told: Vec::new() };
        watcher.hear("watching ");
        watcher
    }

    /// Waits until it has said so on standard error.
    #[track_caller]
    fn hear(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.heard.iter().any(|line| line.contains(what)) {
            let line = self.words.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            self.heard.push(line.unwrap_or_else(|_| panic!("waited in vain for \"{what}\": {:#?}", self.heard)));
        }
    }

    /// Waits for a case that answers to this, told before or to come.
    #[track_caller]
    fn case(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(case) = self.told.iter().find(|case| is_it(case)) {
                return case.clone();
            }
            let line = self.cases.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line =
                line.unwrap_or_else(|_| panic!("waited in vain for {what}: {:#?}\n{:#?}", self.told, self.heard));
            self.told.push(serde_json::from_str(&line).unwrap());
        }
    }

    /// The first telling of a kill in this container.
    #[track_caller]
    fn kill_in(&mut self, id: &str) -> Value {
        self.case("the kill", |case| case["revision"] == 1 && case["incident"]["identity"]["container_id"] == id)
    }

    /// The telling that has the container's end.
    #[track_caller]
    fn end_of(&mut self, id: &str) -> Value {
        self.case("the end", |case| case["incident"]["kubernetes"]["ending"]["container_id"] == id)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn shop(first: ContainerSpec) -> PodSpec {
    PodSpec::new("shop", "checkout-7f9-x2x", UID, vec![first, ContainerSpec::idle("log-shipper", None)])
}

#[track_caller]
fn assert_named(case: &Value, source: &[&str]) {
    let identity = &case["incident"]["identity"];
    let names = ["namespace", "pod", "container"].map(|name| identity[name].as_str().unwrap_or("-"));
    assert_eq!(names, ["shop", "checkout-7f9-x2x", "api"], "{identity:#}");
    assert!(source.contains(&identity["source"].as_str().unwrap_or("-")), "{identity:#}");
}

fn text_of(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

/// With no API at all a kill is named by what the runtime and the node's files say, the runtime's word on the end is set beside it, and
/// the page of the pod has it all.
#[test]
fn without_any_api() {
    let Some(containerd) = Containerd::or_skip("without_any_api") else { return };
    let files = Files::new();
    let store = files.path().join("incidents.db");
    let store = store.to_str().unwrap();
    let mut watcher = Watcher::start(&containerd, store, &[]);
    let pod = containerd.run_pod(shop(ContainerSpec::hog("api", LIMIT))).unwrap();
    pod.go();
    let id = pod.id("api").to_owned();
    let case = watcher.kill_in(&id);
    assert_named(&case, &["cri", "disk"]);
    assert_eq!(case["diagnosis"]["killer"], "container_limit");
    let ended = watcher.end_of(&id);
    assert_eq!(ended["id"], case["id"]);
    let account = &ended["incident"]["kubernetes"];
    assert_eq!((&account["ending"]["reason"], &account["ending"]["exit_code"]), (&json!("OOMKilled"), &json!(137)));
    assert_eq!(account["ended_by"], "kill");
    drop(watcher);

    let root = containerd.root().to_str().unwrap();
    let page = run(&["pod", "shop/checkout-7f9-x2x", "--local", "--root", root, "--store", store]);
    page.assert_code(0);
    for part in ["container limit", "log-shipper", "OOMKilled", "WHERE THE MEMORY IS", "WHO DIES NEXT"] {
        assert!(page.out.contains(part), "{part}:\n{}", text_of(&page));
    }
}

/// What the API server has of a pod that runs here.
fn status(pod: &RunningPod, version: u32, ended: Option<&str>) -> Value {
    let id = format!("containerd://{}", pod.id("api"));
    let state = match ended {
        Some(ended) => {
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                                             "containerID": format!("containerd://{ended}")}})
        }
        None => json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "checkout-7f9-x2x", "namespace": "shop", "uid": UID, "resourceVersion": version.to_string(),
            "labels": {"pod-template-hash": "7f9"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "checkout-7f9", "controller": true, "apiVersion": "apps/v1", "uid": "r"}]
        },
        "spec": {"nodeName": "node-1", "containers": [
            {"name": "api", "image": "shop/checkout:7", "resources": {"limits": {"memory": "24Mi"}}}, {"name": "log-shipper"}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": [
            {"name": "api", "containerID": id, "image": "x", "imageID": "x", "restartCount": 0, "ready": ended.is_none(), "state": state}]}
    })
}

/// The API server names pods and owners and tells their status; while it is gone no kill is lost, what it said before is remembered, the
/// runtime tells the end, and that it is gone is said once; when it is back it is asked again.
#[test]
fn the_api_server_goes_and_comes_back() {
    let Some(containerd) = Containerd::or_skip("the_api_server_goes_and_comes_back") else { return };
    let files = Files::new();
    let store = files.path().join("incidents.db");
    let cluster = FakeCluster::start();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "node-1"}, "spec": {}, "status": {}});
    cluster.put(node);
    let hog = ContainerSpec::hog("api", LIMIT);
    let mut pod = containerd.run_pod(shop(hog.clone())).unwrap();
    cluster.put(status(&pod, 10, None));
    let kubeconfig = cluster.kubeconfig();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node", "node-1"];
    let mut watcher = Watcher::start(&containerd, store.to_str().unwrap(), &arguments);
    let deadline = Instant::now() + PATIENCE;
    while cluster.open_watches() < 3 {
        assert!(Instant::now() < deadline, "it does not watch: {:#?}", cluster.requests());
        std::thread::sleep(Duration::from_millis(20));
    }

    pod.go();
    let first = pod.id("api").to_owned();
    let case = watcher.kill_in(&first);
    assert_named(&case, &["api"]);
    assert_eq!(case["incident"]["identity"]["owner"], "Deployment/checkout");
    cluster.put(status(&pod, 20, Some(&first)));
    let ended = watcher.case("the account", |case| {
        case["incident"]["kubernetes"]["source"] == "api" && case["incident"]["kubernetes"]["ending"].is_object()
    });
    assert_eq!(ended["id"], case["id"]);
    assert_eq!(ended["incident"]["kubernetes"]["ended_by"], "kill");

    cluster.stop(Who::Api);
    watcher.hear("not known for now");
    pod.wait_again();
    containerd.start_container(&mut pod, &ContainerSpec { restarts: 1, ..hog }).unwrap();
    pod.go();
    let second = pod.id("api").to_owned();
    let case = watcher.kill_in(&second);
    assert_named(&case, &["api"]);
    let ended = watcher.end_of(&second);
    assert_eq!(ended["incident"]["kubernetes"]["ending"]["source"], "cri");
    let gaps = ended["incident"]["gaps"].to_string();
    assert!(gaps.contains("the API server") && !gaps.contains("configuration"), "{gaps}");

    cluster.resume(Who::Api);
    watcher.hear("known again");
}

/// An end that only the API server tells of is told once, and with the event that names its cause, which is asked for then.
#[test]
fn a_probe_that_kubernetes_alone_tells_of() {
    let Some(containerd) = Containerd::or_skip("a_probe_that_kubernetes_alone_tells_of") else { return };
    let files = Files::new();
    let store = files.path().join("incidents.db");
    let cluster = FakeCluster::start();
    let pod = containerd.run_pod(shop(ContainerSpec::idle("api", None))).unwrap();
    cluster.put(status(&pod, 10, None));
    let kubeconfig = cluster.kubeconfig();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node", "node-1"];
    let mut watcher = Watcher::start(&containerd, store.to_str().unwrap(), &arguments);
    let deadline = Instant::now() + PATIENCE;
    while cluster.open_watches() < 1 {
        assert!(Instant::now() < deadline, "it does not watch: {:#?}", cluster.requests());
        std::thread::sleep(Duration::from_millis(20));
    }

    // The API keeps whole seconds: an end in the second in which watching began would be one from before.
    std::thread::sleep(Duration::from_secs(1));
    let mut ended = status(&pod, 20, Some(pod.id("api")));
    ended["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = json!("Error");
    let now = ended["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"].clone();
    cluster.put(json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "checkout.1", "namespace": "shop", "resourceVersion": "19"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "checkout-7f9-x2x", "uid": UID, "fieldPath": "spec.containers{api}"},
        "reason": "Killing", "message": "Container api failed liveness probe, will be restarted", "type": "Normal", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
    }));
    cluster.put(ended.clone());
    let case = watcher.case("the end", |case| case["id"].as_str().is_some_and(|id| id.starts_with("end-")));
    let summary = case["diagnosis"]["summary"].as_str().unwrap();
    assert!(summary.contains("liveness probe failed"), "{summary}");
    ended["metadata"]["resourceVersion"] = json!("30");
    cluster.put(ended);
    assert!(watcher.cases.recv_timeout(Duration::from_secs(8)).is_err(), "told twice");
}
