//! Requests to a kubelet.

use std::time::Duration;

use http::Uri;
use kube::Config;
use oomscope_core::kubernetes::{Document, KubeletConfig};
use serde_json::Value;

use super::super::api::{Ask, Server};
use super::super::{Error, Why};
use super::KubeletAccess;

/// The ports of one kubelet.
#[derive(Clone)]
pub(crate) struct Client {
    secure: Option<Server>,
    read_only: Option<Server>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries([&self.secure, &self.read_only].into_iter().flatten().map(|server| &server.url)).finish()
    }
}

impl Client {
    pub(crate) fn new(access: &KubeletAccess, node_address: Option<&str>, patience: Duration) -> Result<Self, Error> {
        let host = access.host(node_address);
        let secure = match (access.secure_port, &access.token_file) {
            (Some(port), Some(token_file)) => {
                let mut config = Config::new(uri("https", &host, port)?);
                config.accept_invalid_certs = access.insecure;
                config.root_cert_file.clone_from(&access.ca_file);
                config.auth_info.token_file = Some(token_file.display().to_string());
                Some(Server::new(config, patience)?)
            }
            _ => None,
        };
        let read_only = match access.read_only_port {
            Some(port) => Some(Server::new(Config::new(uri("http", &host, port)?), patience)?),
            None => None,
        };
        Ok(Self { secure, read_only })
    }

    pub(crate) async fn pods(&self) -> Result<Document, Error> {
        let ask = Ask::path("the kubelet's /pods", "/pods", "nodes/pods or nodes/proxy");
        self.either(&ask).await.map(Document::read)
    }

    pub(crate) async fn stats_summary(&self) -> Result<Value, Error> {
        self.either(&Ask::path("the kubelet's /stats/summary", "/stats/summary", "nodes/stats")).await
    }

    pub(crate) async fn config(&self) -> Result<KubeletConfig, Error> {
        let ask = Ask::path("the kubelet's /configz", "/configz", "nodes/configz or nodes/proxy");
        let Some(server) = &self.secure else { return Err(nobody(&ask)) };
        let value = server.get(&ask).await?;
        KubeletConfig::from_json(value)
            .map_err(|error| Error::new(ask.what, server.url.clone(), Why::Unreadable(error.to_string())))
    }

    /// The port with credentials, else the other one. Of two refusals the first tells more, unless it did not even connect.
    async fn either(&self, ask: &Ask) -> Result<Value, Error> {
        let first = match &self.secure {
            Some(server) => match server.get(ask).await {
                Err(error) => error,
                answer => return answer,
            },
            None => nobody(ask),
        };
        let Some(server) = &self.read_only else { return Err(first) };
        server.get(ask).await.map_err(|second| {
            let only_second_connected =
                matches!(first.why, Why::Unreachable(_)) && !matches!(second.why, Why::Unreachable(_));
            if only_second_connected || matches!(first.why, Why::NotConfigured(_)) { second } else { first }
        })
    }
}

fn uri(scheme: &str, host: &str, port: u16) -> Result<Uri, Error> {
    let uri = format!("{scheme}://{host}:{port}");
    uri.parse().map_err(|_| Error::new("the kubelet", "", Why::NotConfigured(format!("no address of a node: {host}"))))
}

fn nobody(ask: &Ask) -> Error {
    let why = "no service-account token to show to the kubelet's port 10250";
    Error::new(ask.what.clone(), "", Why::NotConfigured(why.to_owned()))
}
