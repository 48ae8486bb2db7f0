//! Why a container runtime could not be asked, or did not answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use oomscope_core::text::escape;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CriError {
    /// No runtime listens at any of the usual places.
    #[error("no container runtime answers CRI: {}", list(.tried))]
    NoRuntime {
        /// Each socket that is there, and why it does not do; empty where there is none at all.
        tried: Vec<CriError>,
    },
    /// The socket cannot be connected to, at first or again: nobody listens, or no permission.
    #[error("connecting to {}: {}", socket.display(), escape(.source.to_string().as_bytes()))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What listens there does not speak CRI (containerd with its CRI plugin off, as Docker ships it).
    #[error("{} does not speak CRI (containerd with disabled_plugins = [\"cri\"]?)", socket.display())]
    NotCri {
        /// The socket.
        socket: PathBuf,
    },
    /// No answer in time. The runtime may answer the next call.
    #[error("{call} to {}: no answer in {after:?}", socket.display())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// The method.
        call: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The runtime answered with an error, or with something else than an answer.
    #[error("{call} to {}: {}", socket.display(), escape(.message.as_bytes()))]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// The method.
        call: &'static str,
        /// The runtime's words: as it sent them.
        message: String,
    },
    /// No thread of execution for the calls.
    #[error("starting the client: {0}")]
    Client(io::Error),
}

fn list(tried: &[CriError]) -> String {
    if tried.is_empty() {
        return "none of the usual sockets is there (name one, or set CONTAINER_RUNTIME_ENDPOINT)".to_owned();
    }
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
