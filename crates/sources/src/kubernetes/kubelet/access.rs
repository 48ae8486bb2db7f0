//! How the kubelet is reached, and with which credentials.

use std::path::{Path, PathBuf};

/// Where Kubernetes mounts a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// pkg/cluster/ports/ports.go
const SECURE_PORT: u16 = 10250;
const READ_ONLY_PORT: u16 = 10255;

/// How to reach this node's kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletAccess {
    /// The node's own address; `None`: `NODE_IP` or `HOST_IP` of the environment (downward API, `status.hostIP`), else what the Node
    /// object says, else this machine's loopback address.
    pub address: Option<String>,
    /// The port that asks for credentials; `None`: it is not asked.
    pub secure_port: Option<u16>,
    /// The port that does not, where the kubelet has one; `None`: it is not asked.
    pub read_only_port: Option<u16>,
    /// The token to show; without one only the read-only port is asked.
    pub token_file: Option<PathBuf>,
    /// The CA that signed the kubelet's certificate; `None`: those that this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Takes any certificate, as the kubelet's self-signed one. Whoever can answer on the node's address then sees the token.
    pub insecure: bool,
}

impl Default for KubeletAccess {
    fn default() -> Self {
        let file = |name: &str| Some(Path::new(SERVICE_ACCOUNT).join(name)).filter(|path| path.exists());
        let variable = |name: &str| std::env::var(name).ok().filter(|address| !address.is_empty());
        Self {
            address: variable("NODE_IP").or_else(|| variable("HOST_IP")),
            secure_port: Some(SECURE_PORT),
            read_only_port: Some(READ_ONLY_PORT),
            token_file: file("token"),
            ca_file: file("ca.crt"),
            insecure: false,
        }
    }
}

impl KubeletAccess {
    /// Asks nobody.
    #[must_use]
    pub fn none() -> Self {
        Self { secure_port: None, read_only_port: None, ..Self::default() }
    }

    /// The host part of a URL.
    pub(super) fn host(&self, node_address: Option<&str>) -> String {
        let address = self.address.as_deref().or(node_address).unwrap_or("127.0.0.1");
        if address.contains(':') && !address.starts_with('[') { format!("[{address}]") } else { address.to_owned() }
    }
}
