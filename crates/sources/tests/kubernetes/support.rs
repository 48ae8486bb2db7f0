//! A feed of a fake cluster, quick to give up and quick to try again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oomscope_core::kubernetes::{Directory, PodRecord};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::api::Access;
use oomscope_sources::kubernetes::feed::{Feed, News, Options, Pace};
use oomscope_sources::kubernetes::kubelet::KubeletAccess;
use oomscope_testkit::kubernetes::FakeCluster;
use serde_json::{Value, json};

pub(crate) const NODE: &str = "node-1";

/// How the kubelet of a fake cluster is reached.
pub(crate) fn kubelet_access(cluster: &FakeCluster) -> KubeletAccess {
    KubeletAccess {
        address: Some("127.0.0.1".to_owned()),
        secure_port: None,
        read_only_port: Some(cluster.kubelet_port()),
        token_file: None,
        ca_file: None,
        insecure: false,
    }
}

pub(crate) fn options(cluster: &FakeCluster) -> Options {
    Options {
        api: Access::new(Some(&cluster.kubeconfig()), None),
        node: Some(NODE.to_owned()),
        root: HostRoot::at(cluster.folder()),
        kubelet: kubelet_access(cluster),
        pace: Pace {
            patience: Duration::from_millis(500),
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_millis(100),
            kubelet_pods: Duration::from_millis(50),
            ..Pace::default()
        },
    }
}

/// A feed, and all that it has told so far.
pub(crate) struct Followed {
    pub(crate) feed: Feed,
    told: Mutex<Vec<News>>,
}

impl Followed {
    pub(crate) fn start(options: Options) -> Self {
        let feed = Feed::start(options, Arc::default(), || ()).unwrap();
        Self { feed, told: Mutex::default() }
    }

    pub(crate) fn of(cluster: &FakeCluster) -> Self {
        Self::start(options(cluster))
    }

    /// Everything told so far.
    pub(crate) fn told(&self) -> Vec<News> {
        let mut told = self.told.lock().unwrap();
        told.extend(self.feed.news());
        told.clone()
    }

    /// How often a gap of this name was told to begin, and to end.
    pub(crate) fn gaps_told(&self, wanted: &str) -> (usize, usize) {
        let told = self.told();
        let begun = told.iter().filter(|news| matches!(news, News::GapBegins(gap) if gap.wanted == wanted)).count();
        let ended =
            told.iter().filter(|news| matches!(news, News::GapEnds { gap, .. } if gap.wanted == wanted)).count();
        (begun, ended)
    }

    pub(crate) fn directory<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.feed.directory().lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pod of this name, as it is known now.
    pub(crate) fn pod(&self, name: &str) -> Option<PodRecord> {
        self.directory(|directory| directory.pods_named(None, name).first().map(|(_, record)| (*record).clone()))
    }

    /// Waits until the pods known are these, by name; those that are gone are left out.
    pub(crate) fn wait_for_pods(&self, expected: &[&str]) {
        let names = || {
            let mut names: Vec<String> = self.directory(|directory| {
                let living = directory.pods().filter(|(_, record)| !record.gone);
                living.map(|(_, record)| record.pod.metadata.name.clone()).collect()
            });
            names.sort();
            names
        };
        wait(|| names() == expected, || format!("pods {expected:?}, not {:?}; told {:?}", names(), self.told()));
    }
}

/// Waits for a condition, long enough for a machine that does other things as well.
pub(crate) fn wait(mut holds: impl FnMut() -> bool, what: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A pod of this node whose only container has restarted so often.
pub(crate) fn pod(name: &str, restarts: u32) -> Value {
    pod_on(NODE, name, restarts)
}

pub(crate) fn pod_on(node: &str, name: &str, restarts: u32) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:phase": {}}}}]},
        "spec": {"nodeName": node, "containers": [{"name": "app", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "app", "restartCount": restarts, "containerID": format!("containerd://{name}-{restarts}"), "state": {"running": {}}}]},
    })
}

pub(crate) fn restarts(followed: &Followed, name: &str) -> Option<u32> {
    Some(followed.pod(name)?.pod.statuses().next()?.restart_count)
}

/// Asked lists and watches of pods, decoded.
pub(crate) fn pod_requests(cluster: &FakeCluster) -> Vec<String> {
    let requests = cluster.requests().into_iter().map(|request| request.uri);
    requests.filter(|uri| uri.starts_with("/api/v1/pods?")).collect()
}

pub(crate) fn lists_of_pods(cluster: &FakeCluster) -> usize {
    pod_requests(cluster).iter().filter(|uri| !uri.contains("watch=true")).count()
}

/// Waits until every watch of a feed is open: pods, node, events about the node.
pub(crate) fn wait_for_watches(cluster: &FakeCluster) {
    wait(|| cluster.open_watches() == 3, || format!("3 watches, not {}", cluster.open_watches()));
}

/// No file is there.
pub(crate) fn nowhere(cluster: &FakeCluster) -> Access {
    Access::new(Some(Path::new(&cluster.folder().join("no-such-config"))), None)
}
