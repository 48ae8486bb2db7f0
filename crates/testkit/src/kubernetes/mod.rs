//! A cluster for tests: an API server and a kubelet that speak HTTP on the loopback, hold what they are given, and misbehave when told to.
//!
//! They answer as the real ones do as far as a client can tell: list with selectors and pages, watch from a version with bookmarks
//! and 410, `Status` objects for errors, discovery enough for `kubectl`. `FakeCluster::kubeconfig` is a file that `kubectl --kubeconfig`
//! and `KUBECONFIG` take.

mod http;
mod machine;
mod route;
mod scenario;
mod select;
mod store;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use store::Store;

pub use machine::{machine, path_of};
pub use scenario::Scenario;

/// The token that everybody has who may ask.
pub const TOKEN: &str = "s3cret-token";

/// A cluster that runs until this is dropped.
pub struct FakeCluster {
    shared: Arc<Shared>,
    api: u16,
    kubelet: u16,
    secure_kubelet: u16,
    folder: TempDir,
    thread: Option<JoinHandle<()>>,
}

/// Which of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The API server.
    Api,
    /// The kubelet's read-only port.
    Kubelet,
    /// The kubelet's other port: https with a certificate of `FakeCluster::kubelet_ca`, and only for who shows [`TOKEN`].
    SecureKubelet,
}

/// How requests are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Refused with this HTTP status.
    Status(u16),
    /// Refused with 429 and this many seconds in `Retry-After`.
    Throttle(u64),
    /// Never answered.
    Hang,
    /// Answered late.
    Slow(Duration),
    /// Answered with something that is no JSON.
    Garbage,
}

/// What happens to every watch that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection breaks in the middle of an answer.
    Disconnect,
    /// The watch ends, as it does after its time.
    End,
    /// The server says that the version is gone, and ends it.
    Gone,
    /// A bookmark with the present version.
    Bookmark,
    /// A line as it is, with no newline in it.
    Line(String),
}

/// A request that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// By whom.
    pub who: Who,
    /// Path, with a query where there is one, decoded.
    pub uri: String,
    /// `Authorization` as it was sent.
    pub authorization: Option<String>,
}

struct Shared {
    store: Mutex<Store>,
    rules: Mutex<Vec<(Who, String, Misbehaviour)>>,
    requests: Mutex<Vec<Request>>,
    kubelet: Mutex<Vec<(String, Value)>>,
    /// Whether each server is there at all.
    up: watch::Sender<(bool, bool)>,
    /// How much there is to tell watches: a version of the store, or a [`Break`].
    changed: watch::Sender<u64>,
    breaks: Mutex<Vec<Break>>,
    watches: watch::Sender<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeCluster {
    /// Starts one without any object.
    ///
    /// # Panics
    /// Where no port is to be had.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            rules: Mutex::default(),
            requests: Mutex::default(),
            kubelet: Mutex::default(),
            up: watch::Sender::new((true, true)),
            changed: watch::Sender::new(0),
            breaks: Mutex::default(),
            watches: watch::Sender::new(0),
        });
        let ([api, kubelet, secure_kubelet], thread) = http::serve(&shared);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cluster = Self { shared, api, kubelet, secure_kubelet, folder, thread: Some(thread) };
        let context = |name: &str, namespace: &str| json!({"name": name, "context": {"cluster": "c", "user": "u", "namespace": namespace}});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "c", "cluster": {"server": cluster.url()}}],
            "contexts": [context("fake", "shop"), context("other", "default")],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        });
        std::fs::write(cluster.kubeconfig(), config.to_string()).expect("writing the kubeconfig");
        cluster
    }

    /// Where the API server is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// The kubelet's read-only port on 127.0.0.1.
    #[must_use]
    pub fn kubelet_port(&self) -> u16 {
        self.kubelet
    }

    /// The kubelet's port with TLS on 127.0.0.1.
    #[must_use]
    pub fn secure_kubelet_port(&self) -> u16 {
        self.secure_kubelet
    }

    /// The CA of the kubelet's certificate.
    #[must_use]
    pub fn kubelet_ca() -> PathBuf {
        tls::file("ca.crt")
    }

    /// A kubeconfig for it, with contexts `fake` (namespace `shop`) and `other`.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Adds or replaces an object; it gets a resourceVersion.
    ///
    /// # Panics
    /// Where it has no kind or no name.
    pub fn put(&self, object: Value) {
        lock(&self.shared.store).put(object);
        self.tell();
    }

    /// Deletes an object; nothing happens where there is none.
    pub fn delete(&self, plural: &str, namespace: Option<&str>, name: &str) {
        lock(&self.shared.store).delete(plural, namespace, name);
        self.tell();
    }

    /// Does what a line of a watch says: `{"type": "MODIFIED", "object": {…}}`.
    pub fn play(&self, line: &Value) {
        lock(&self.shared.store).play(line);
        self.tell();
    }

    /// Puts everything there that a scenario ended with: node, pods, events, what the kubelet said last.
    pub fn load(&self, scenario: &Scenario) {
        scenario.node().into_iter().for_each(|node| self.put(node));
        scenario.pods().iter().chain(&scenario.events()).for_each(|line| self.play(line));
        for (path, value) in scenario.kubelet() {
            self.kubelet_says(&path, value);
        }
    }

    /// What the kubelet answers: at `/pods`, `/configz`, `/stats/summary`; through the API server's proxy as well.
    pub fn kubelet_says(&self, path: &str, value: Value) {
        let mut kubelet = lock(&self.shared.kubelet);
        kubelet.retain(|(known, _)| known != path);
        kubelet.push((path.to_owned(), value));
    }

    /// From now on requests misbehave whose path and query (decoded) contain a text.
    pub fn misbehave(&self, who: Who, containing: &str, how: Misbehaviour) {
        lock(&self.shared.rules).push((who, containing.to_owned(), how));
    }

    /// From now on everybody answers as they should.
    pub fn behave(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Takes a server away: its port is closed, every connection broken.
    pub fn stop(&self, who: Who) {
        self.set_up(who, false);
    }

    /// Brings it back on the same port.
    pub fn resume(&self, who: Who) {
        self.set_up(who, true);
    }

    /// Does something to every watch that is open.
    pub fn break_watches(&self, how: Break) {
        lock(&self.shared.breaks).push(how);
        self.tell();
    }

    /// Forgets what was before now: a watch from before gets 410.
    pub fn compact(&self) {
        lock(&self.shared.store).compact();
    }

    /// How many watches are open.
    #[must_use]
    pub fn open_watches(&self) -> usize {
        *self.shared.watches.borrow()
    }

    /// Every request so far, in the order of their coming.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    fn set_up(&self, who: Who, is_up: bool) {
        self.shared.up.send_modify(|(api, kubelet)| match who {
            Who::Api => *api = is_up,
            Who::Kubelet | Who::SecureKubelet => *kubelet = is_up,
        });
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// The folder of the kubeconfig, for more files of a test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        http::end(&self.shared);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
