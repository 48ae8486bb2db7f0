//! The kubelet of this node: its pods while the API server is away, and the configuration that it runs with.
//!
//! It is asked over https (port 10250) with the pod's service-account token, which goes to the node's own address only, and only
//! over a certificate that the cluster's CA signed, unless it was said that any will do: kubelets sign their own until somebody
//! sets `serverTLSBootstrap`. Where its read-only port (10255) is open, that needs no token, but does not tell the configuration;
//! then its [config file](ConfigFile) has to do.

mod access;
mod client;
mod config_file;

use std::time::Duration;

use oomscope_core::kubernetes::{Document, KubeletConfig};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Error, Why};

pub use access::KubeletAccess;
pub use config_file::ConfigFile;

pub(crate) use client::Client;

/// The kubelet answers from memory; `/stats/summary` may take seconds on a node in distress.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kubelet, asked by somebody who waits for the answer. Every method blocks, 10 s at most for each port.
pub struct Kubelet {
    runtime: Runtime,
    client: Client,
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Kubelet {
    /// Reads token and certificates; nobody is asked yet. `node_address`: the node's own, where it is known.
    ///
    /// # Errors
    /// [`Why::NotConfigured`].
    pub fn connect(access: &KubeletAccess, node_address: Option<&str>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::new("a connection", "", Why::Unreachable(format!("starting its runtime: {error}")))
        })?;
        let client = {
            let _inside = runtime.enter();
            Client::new(access, node_address, PATIENCE)?
        };
        Ok(Self { runtime, client })
    }

    /// Its pods, with the status that it knows.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn pods(&self) -> Result<Document, Error> {
        self.runtime.block_on(self.client.pods())
    }

    /// The configuration that it runs with.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn config(&self) -> Result<KubeletConfig, Error> {
        self.runtime.block_on(self.client.config())
    }

    /// Memory of node, pods and containers as it measures it.
    ///
    /// # Errors
    /// See [`Why`].
    pub fn stats_summary(&self) -> Result<Value, Error> {
        self.runtime.block_on(self.client.stats_summary())
    }
}
