//! A node's pods, kept up to date in the background: one thread, one [`Directory`], and news of what has changed.
//!
//! Sources in their order: the API server's list and watch of this node's pods, its Node object and the events about it; while
//! that is away, the kubelet's `/pods`. Each fails and comes back by itself. When one begins to fail it is told once, and once when it is
//! back; meanwhile the directory keeps what it knew. Nothing here ever makes the owner wait.
//!
//! What it costs the API server, for each node: three watches, each begun anew every 4 to 5 min, and one list of a pod's events
//! whenever somebody [asks for them](Feed::want_events). What it costs here: this node's pods, and none of other nodes.

mod api_tasks;
mod kubelet_task;
mod news;
mod pace;
mod reflect;
mod shared;

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, Source};
use tokio::sync::{mpsc, oneshot, watch};

use super::api::{Access, Server, node_name};
use super::kubelet::KubeletAccess;
use super::{Error, Why};
use crate::host_root::HostRoot;
use api_tasks::ApiTasks;
use kubelet_task::KubeletTask;
use pace::Backoff;
use shared::{API_SERVER, Shared};

pub use news::News;
pub use pace::Pace;

/// Pods whose events are waited for.
const MOST_WANTED: usize = 256;

/// What to follow.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The API server.
    pub api: Access,
    /// The node's name; `None`: `NODE_NAME` of the environment, else the host's name where the API server knows a node by it.
    pub node: Option<String>,
    /// The machine, for its host name and the kubelet's files.
    pub root: HostRoot,
    /// The kubelet.
    pub kubelet: KubeletAccess,
    /// Time limits.
    pub pace: Pace,
}

/// A feed that runs. It ends when this is dropped.
pub struct Feed {
    shared: Arc<Shared>,
    wanted: mpsc::Sender<String>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("pods_from", &self.pods_from()).finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts its thread. Nobody is asked before this returns; what cannot be had becomes a gap.
    ///
    /// `waker` is called on the feed's thread after each piece of news: it must not block, nor call the feed.
    ///
    /// # Errors
    /// Where the machine refuses a thread or what it needs to wait for sockets.
    pub fn start(
        options: Options,
        directory: Arc<Mutex<Directory>>,
        waker: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::new(directory, Box::new(waker)));
        let (wanted, wanted_by) = mpsc::channel(MOST_WANTED);
        let (end, ended) = oneshot::channel::<()>();
        let followed = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kubernetes".to_owned()).spawn(move || {
            runtime.block_on(async {
                let run = std::pin::pin!(run(options, followed, wanted_by));
                futures_util::future::select(run, ended).await;
            });
            // What waits for a name server cannot be interrupted.
            runtime.shutdown_background();
        })?;
        Ok(Self { shared, wanted, end: Some(end), thread: Some(thread) })
    }

    /// What is known, kept up to date. Lock it briefly.
    #[must_use]
    pub fn directory(&self) -> Arc<Mutex<Directory>> {
        Arc::clone(&self.shared.directory)
    }

    /// What has happened since this was last asked, in order; nothing twice.
    #[must_use]
    pub fn news(&self) -> Vec<News> {
        self.shared.take_news()
    }

    /// What cannot be had now, with the latest reason.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        self.shared.gaps()
    }

    /// Who tells of pods now; `None`: nobody (yet).
    #[must_use]
    pub fn pods_from(&self) -> Option<Source> {
        self.shared.pods_from()
    }

    /// Asks for the events about a pod, by the uid that its cgroup carries; [`News::PodEvents`] tells when there are new ones. False where
    /// too many are waited for already.
    pub fn want_events(&self, uid: &str) -> bool {
        self.wanted.try_send(uid.to_owned()).is_ok()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It stops at its next await; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// Everything, until it is dropped.
async fn run(options: Options, shared: Arc<Shared>, wanted: mpsc::Receiver<String>) {
    let (reached, api) = watch::channel(None);
    let kubelet = KubeletTask {
        access: options.kubelet.clone(),
        root: options.root.clone(),
        pace: options.pace,
        shared: Arc::clone(&shared),
    };
    let kubelet = tokio::spawn(kubelet.run(api));
    let tasks = connect(&options, &shared, &reached).await;
    let tasks = [
        tokio::spawn(tasks.clone().pods(reached)),
        tokio::spawn(tasks.clone().node()),
        tokio::spawn(tasks.clone().node_events()),
        tokio::spawn(tasks.pod_events(wanted)),
        kubelet,
    ];
    for task in tasks {
        // They never end, unless by a panic, which then ends none of the others.
        let _ = task.await;
    }
}

/// Tries until it is known where the API server is and which node this is.
async fn connect(options: &Options, shared: &Arc<Shared>, reached: &watch::Sender<Option<bool>>) -> ApiTasks {
    let mut backoff = Backoff::new(options.pace);
    loop {
        match try_connect(options).await {
            Ok((server, node)) => {
                shared.gap_ends(API_SERVER);
                return ApiTasks { server, node, pace: options.pace, shared: Arc::clone(shared) };
            }
            Err(error) => {
                shared.gap_begins(API_SERVER, error.to_string());
                reached.send_replace(Some(false));
            }
        }
        tokio::time::sleep(backoff.failed(None)).await;
    }
}

async fn try_connect(options: &Options) -> Result<(Server, String), Error> {
    let server = Server::new(options.api.config().await?, options.pace.patience)?;
    if let Some(node) = options.node.clone().or_else(node_name::from_environment) {
        return Ok((server, node));
    }
    match node_name::ask(&server, &options.root).await? {
        Some(node) => Ok((server, node)),
        None => {
            let why = "no node has this machine's name; set NODE_NAME";
            Err(Error::new("this node's name", server.url, Why::NotConfigured(why.to_owned())))
        }
    }
}
