//! Which witness said it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where something about a pod or container was read, the best informed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The API server.
    Api,
    /// The kubelet's own `/pods`.
    Kubelet,
    /// The container runtime, over CRI.
    Cri,
    /// Files of the runtime and of the kubelet on the node's disk.
    Disk,
    /// Objects that somebody saved.
    File,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Api => "the API server",
            Self::Kubelet => "the kubelet",
            Self::Cri => "the container runtime",
            Self::Disk => "files on the node",
            Self::File => "saved objects",
        })
    }
}
