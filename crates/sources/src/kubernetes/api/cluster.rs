//! A cluster, asked by somebody who waits for the answer: the verbs that run once, from a laptop or a node.

use std::time::Duration;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Event, KubeletConfig, Node, Pod};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::super::{Error, Why};
use super::ask::{Ask, EVENT, Kind, NODE, POD};
use super::server::{From, Server};
use super::{Access, Lenient, node_name};
use crate::host_root::HostRoot;

/// A person waits: longer than an API server takes under load, shorter than patience.
const PATIENCE: Duration = Duration::from_secs(20);
/// Objects of a page: a pod of a large mesh has 100 KB.
const PAGE: u32 = 250;
/// How often a busy server is asked again, and the longest wait that it may ask for.
const TRIES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A cluster's API server. Every method blocks until it answers, 20 s at most for each request.
pub struct Cluster {
    runtime: Runtime,
    server: Server,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("url", &self.server.url).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the configuration; nobody is asked yet.
    ///
    /// # Errors
    /// [`Why::NotConfigured`].
    pub fn connect(access: &Access) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::new("a connection", "", Why::Unreachable(format!("starting its runtime: {error}")))
        })?;
        let server = runtime.block_on(async { Server::new(access.config().await?, PATIENCE) })?;
        Ok(Self { runtime, server })
    }

    /// Scheme, host and port of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The namespace that the kubeconfig's context names, else `default`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.server.namespace
    }

    /// Hands out each pod of a namespace, or of all, page by page; none is kept. Those that cannot be read are gaps.
    ///
    /// # Errors
    /// See [`Why`]; the pods before the page that failed have been handed out.
    pub fn pods(&self, namespace: Option<&str>, each: impl FnMut(Pod)) -> Result<Vec<Gap>, Error> {
        self.each(Ask::list(&POD, namespace), each)
    }

    /// Hands out each pod that is bound to a node.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn pods_on(&self, node: &str, each: impl FnMut(Pod)) -> Result<Vec<Gap>, Error> {
        let ask = Ask::list(&POD, None).fields(&[("spec.nodeName", node)]).named(format!("pods of node {node}"));
        self.each(ask, each)
    }

    /// A pod; `None` where there is none of this name.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, Error> {
        self.get(&Ask::get(&POD, Some(namespace), name, ""))
    }

    /// Events about a pod of this name, also about earlier ones that had it, in no order. The server keeps them for an hour.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn events_about(&self, namespace: &str, pod: &str) -> Result<Vec<Event>, Error> {
        self.all(
            Ask::list(&EVENT, Some(namespace))
                .fields(&[("involvedObject.kind", "Pod"), ("involvedObject.name", pod)])
                .named(format!("events about pod {namespace}/{pod}")),
        )
    }

    /// A node; `None` where there is none of this name.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn node(&self, name: &str) -> Result<Option<Node>, Error> {
        self.get(&Ask::get(&NODE, None, name, ""))
    }

    /// The name of the node that this machine is: `NODE_NAME` of the environment, else the one that the server knows by the host's name.
    /// `None`: it knows none.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn this_node(&self, root: &HostRoot) -> Result<Option<String>, Error> {
        match node_name::from_environment() {
            Some(name) => Ok(Some(name)),
            None => self.ask(|| node_name::ask(&self.server, root)),
        }
    }

    /// Every node.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.all(Ask::list(&NODE, None))
    }

    /// Events about a node.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn node_events(&self, name: &str) -> Result<Vec<Event>, Error> {
        self.all(node_events(name))
    }

    /// Hands out each object of any kind as the server wrote it, page by page, without `managedFields`.
    ///
    /// # Errors
    /// See [`Why`]; [`Why::NotFound`] where the server does not have this kind.
    pub fn objects(&self, kind: &Kind, namespace: Option<&str>, mut each: impl FnMut(Value)) -> Result<(), Error> {
        let each = |mut object: Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            // Items of a list do not say their kind.
            if let Some(fields) = object.as_object_mut() {
                fields.entry("kind").or_insert_with(|| kind.kind.into());
            }
            each(object);
        };
        self.each(Ask::list(kind, namespace), each).map(drop)
    }

    /// The configuration that a node's kubelet runs with, through the API server's proxy (permission `get nodes/proxy`).
    ///
    /// # Errors
    /// See [`Why`].
    pub fn kubelet_config(&self, node: &str) -> Result<KubeletConfig, Error> {
        let ask = Ask::get(&NODE, None, node, "proxy/configz");
        let value = self.ask(|| self.server.get(&ask))?;
        KubeletConfig::from_json(value)
            .map_err(|error| Error::new(ask.what, self.url(), Why::Unreadable(error.to_string())))
    }

    /// A node's `/stats/summary`, through the API server's proxy (permission `get nodes/proxy`).
    ///
    /// # Errors
    /// See [`Why`].
    pub fn stats_summary(&self, node: &str) -> Result<Value, Error> {
        let ask = Ask::get(&NODE, None, node, "proxy/stats/summary");
        self.ask(|| self.server.get(&ask))
    }

    fn get<T: DeserializeOwned>(&self, ask: &Ask) -> Result<Option<T>, Error> {
        match self.ask(|| self.server.get(ask)) {
            Ok(object) => Ok(Some(object)),
            Err(Error { why: Why::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn all<T: DeserializeOwned>(&self, ask: Ask) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.each(ask, |object| all.push(object))?;
        Ok(all)
    }

    fn each<T: DeserializeOwned>(&self, ask: Ask, mut each: impl FnMut(T)) -> Result<Vec<Gap>, Error> {
        let mut gaps = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let from = next.as_deref().map_or(From::Newest, From::Next);
            let page = self.ask(|| self.server.page::<T>(&ask, &from, PAGE))?;
            for Lenient { full_name, object, .. } in page.items {
                match object {
                    Ok(object) => each(object),
                    Err(why) => gaps.push(Gap::new(format!("{full_name} of {}", ask.what), why)),
                }
            }
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(gaps);
            }
        }
    }

    /// Asks again where the server is only busy.
    fn ask<T, F: Future<Output = Result<T, Error>>>(&self, request: impl Fn() -> F) -> Result<T, Error> {
        self.runtime.block_on(async {
            let mut tries = 1;
            loop {
                let wait = match request().await {
                    Err(Error { why: Why::Throttled { retry_after }, .. }) if tries < TRIES => {
                        retry_after.unwrap_or(Duration::from_secs(1))
                    }
                    Err(Error { why: Why::Answer { code: 503 | 504, .. }, .. }) if tries < TRIES => {
                        Duration::from_millis(500)
                    }
                    answer => return answer,
                };
                tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
                tries += 1;
            }
        })
    }
}

/// Events about a node are kept in the namespace `default`, since a node has none
/// (client-go, tools/record/event.go, `makeEvent`).
pub(crate) fn node_events(node: &str) -> Ask {
    Ask::list(&EVENT, Some("default"))
        .fields(&[("involvedObject.kind", "Node"), ("involvedObject.name", node)])
        .named(format!("events about node {node}"))
}
