//! The container runtime, asked over CRI (containerd, CRI-O, cri-dockerd): what it knows of its containers, without any API server.
//!
//! The runtime remembers containers that have ended until the kubelet removes them (it keeps the last dead one of each container),
//! with exit code and reason. It is asked by one caller at a time, and every call ends in time or with an error.
//!
//! containerd sets the reason `OOMKilled` with the first OOM kill in a container, whoever was killed: on one that runs it is the only
//! trace of a killed child, and once that has ended for another reason it is the wrong one.

mod client;
mod error;
mod messages;
mod read;
mod sockets;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

pub use error::CriError;
use oomscope_core::kubernetes::RuntimeContainer;
use tokio::runtime::{Builder, Runtime};

use crate::host_root::HostRoot;
use client::Client;
use messages::{
    ContainerStatusRequest, ContainerStatusResponse, ListContainersRequest, ListContainersResponse,
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxFilter, PodSandboxStatusRequest,
    PodSandboxStatusResponse, RuntimeConfigRequest, RuntimeConfigResponse,
};
use sockets::Candidates;

/// For all containers together.
const PATIENCE: Duration = Duration::from_secs(20);

/// A container runtime that answers.
///
/// Its functions block, and must not be called on a thread that runs asynchronous tasks.
#[derive(Debug)]
pub struct Cri {
    client: Client,
    runtime: Runtime,
}

/// Who makes cgroups: systemd, or the runtime itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Slices and scopes.
    Systemd,
    /// Plain folders.
    Cgroupfs,
}

impl Cri {
    /// Connects to the socket that is named, a path on the machine below `root` (`unix://` before it is understood); else to the one
    /// that `CONTAINER_RUNTIME_ENDPOINT` names; else to the first of the usual ones that answers.
    ///
    /// # Errors
    /// [`CriError::NoRuntime`] with what each socket said; for a named socket what that one said.
    pub fn connect(root: &HostRoot, socket: Option<&Path>) -> Result<Self, CriError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CriError::Client)?;
        let client = match sockets::candidates(socket) {
            Candidates::Named(socket) => runtime.block_on(Client::connect(root, &socket))?,
            Candidates::Usual(sockets) => {
                let mut tried = Vec::new();
                let found = sockets.iter().find_map(|socket| match runtime.block_on(Client::connect(root, socket)) {
                    Ok(client) => Some(client),
                    Err(error) => {
                        tried.extend(Some(error).filter(|error| !is_missing(error)));
                        None
                    }
                });
                found.ok_or(CriError::NoRuntime { tried })?
            }
        };
        Ok(Self { client, runtime })
    }

    /// `containerd`, `cri-o`, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.client.version.runtime_name
    }

    /// Version of the runtime.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.client.version.runtime_version
    }

    /// `runtime.v1`, or `runtime.v1alpha2` of an old runtime.
    #[must_use]
    pub fn api(&self) -> &str {
        self.client.api()
    }

    /// The socket, as a path on the machine.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// Which cgroup driver the runtime has; `None` where it is too old to say (containerd before 2.0, CRI-O before 1.28).
    ///
    /// # Errors
    /// [`CriError::Connect`], [`CriError::Timeout`], [`CriError::Refused`].
    pub fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, CriError> {
        let asked = self.client.optional("RuntimeConfig", RuntimeConfigRequest {});
        let config: Option<RuntimeConfigResponse> = self.runtime.block_on(asked)?;
        Ok(config.and_then(|config| config.linux).and_then(|linux| match linux.cgroup_driver {
            0 => Some(CgroupDriver::Systemd),
            1 => Some(CgroupDriver::Cgroupfs),
            _ => None,
        }))
    }

    /// Every sandbox and container that the runtime still knows, running or ended. Each is asked for by itself, some 0.7 ms each with
    /// containerd; from a runtime that takes more than 20 s for all of them, the rest is known as far as its lists tell.
    ///
    /// # Errors
    /// [`CriError::Connect`], [`CriError::Timeout`], [`CriError::Refused`]; not when one of them is removed meanwhile, or cannot be told of.
    pub fn containers(&self) -> Result<Vec<RuntimeContainer>, CriError> {
        self.runtime.block_on(self.all())
    }

    /// One container or sandbox, by its whole id; `None` where the runtime does not know it (any more).
    ///
    /// # Errors
    /// [`CriError::Connect`], [`CriError::Timeout`], [`CriError::Refused`].
    pub fn container(&self, id: &str) -> Result<Option<RuntimeContainer>, CriError> {
        self.runtime.block_on(async {
            if let Some(status) = self.container_status(id).await? {
                let mut container = read::container(&status, self.name());
                if let Some(sandbox) = self.sandbox_of(&container).await? {
                    read::complete(&mut container, &sandbox);
                }
                return Ok(Some(container));
            }
            self.sandbox(id).await
        })
    }

    async fn all(&self) -> Result<Vec<RuntimeContainer>, CriError> {
        let started = Instant::now();
        let sandboxes = self.sandboxes(None).await?;
        let listed: Option<ListContainersResponse> =
            self.client.optional("ListContainers", ListContainersRequest {}).await?;
        let listed = listed.unwrap_or_default().containers;
        let mut containers = Vec::with_capacity(sandboxes.len() + listed.len());
        for sandbox in &sandboxes {
            let status = unless_late(started, self.sandbox(&sandbox.id)).await?;
            containers.push(status.unwrap_or_else(|| read::listed_sandbox(sandbox, self.name())));
        }
        let by_id: HashMap<&str, &PodSandbox> =
            sandboxes.iter().map(|sandbox| (sandbox.id.as_str(), sandbox)).collect();
        for listed in &listed {
            let status = unless_late(started, self.container_status(&listed.id)).await?;
            let mut container = read::listed(listed, self.name());
            if let Some(status) = status {
                let by_list = std::mem::replace(&mut container, read::container(&status, self.name()));
                container.fill(by_list);
            }
            if let Some(sandbox) = by_id.get(listed.pod_sandbox_id.as_str()) {
                read::complete(&mut container, sandbox);
            }
            containers.push(container);
        }
        Ok(containers)
    }

    async fn container_status(&self, id: &str) -> Result<Option<ContainerStatusResponse>, CriError> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        self.client.about("ContainerStatus", request).await
    }

    async fn sandbox(&self, id: &str) -> Result<Option<RuntimeContainer>, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let status: Option<PodSandboxStatusResponse> = self.client.about("PodSandboxStatus", request).await?;
        Ok(status.map(|status| read::sandbox(&status, self.name())))
    }

    /// The labels of a pod are those of its sandbox.
    async fn sandbox_of(&self, container: &RuntimeContainer) -> Result<Option<PodSandbox>, CriError> {
        let Some(id) = &container.sandbox_id else { return Ok(None) };
        Ok(self.sandboxes(Some(id)).await?.into_iter().next())
    }

    async fn sandboxes(&self, id: Option<&str>) -> Result<Vec<PodSandbox>, CriError> {
        let request = ListPodSandboxRequest { filter: id.map(|id| PodSandboxFilter { id: id.to_owned() }) };
        let answer: Option<ListPodSandboxResponse> = self.client.optional("ListPodSandbox", request).await?;
        Ok(answer.unwrap_or_default().items)
    }
}

/// What more the runtime tells of one of many; `None` where there is no time left for that, and where it refuses for this one: the
/// others are worth having.
async fn unless_late<T>(
    started: Instant,
    asked: impl Future<Output = Result<Option<T>, CriError>>,
) -> Result<Option<T>, CriError> {
    if started.elapsed() > PATIENCE {
        return Ok(None);
    }
    match asked.await {
        Err(CriError::Refused { .. }) => Ok(None),
        told => told,
    }
}

/// No socket is there: not worth a word among several.
fn is_missing(error: &CriError) -> bool {
    matches!(error, CriError::Connect { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
