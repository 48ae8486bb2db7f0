//! Calls of CRI over a unix socket, each with its time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use rustix::fd::AsRawFd as _;
use rustix::fs::OFlags;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::error::CriError;
use super::messages::{VersionRequest, VersionResponse};
use crate::host_root::HostRoot;
use crate::kubernetes::below::Below;

/// A runtime that is busy starting hundreds of containers is slow; one that hangs must not hold up a diagnosis.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much as containerd sends (`defaults.DefaultMaxSendMsgSize`).
const LARGEST_ANSWER: usize = 16 << 20;

/// Versions of the API, the present one first. containerd before 1.6 and CRI-O before 1.20 know the second only.
const APIS: [&str; 2] = ["runtime.v1", "runtime.v1alpha2"];

/// A runtime that answers.
#[derive(Debug)]
pub(super) struct Client {
    channel: Channel,
    socket: PathBuf,
    api: &'static str,
    /// Who answered.
    pub(super) version: VersionResponse,
}

impl Client {
    /// Connects and asks for the version, in whichever API the runtime has. `socket` is a path on the machine.
    pub(super) async fn connect(root: &HostRoot, socket: &Path) -> Result<Self, CriError> {
        let failed = |source| CriError::Connect { socket: socket.to_owned(), source };
        // Once by hand, because the channel would hide the reason.
        drop(stream(root, socket).await.map_err(failed)?);
        let mut client = Self {
            channel: channel(root.clone(), socket.to_owned()),
            socket: socket.to_owned(),
            api: APIS[0],
            version: VersionResponse::default(),
        };
        for api in APIS {
            client.api = api;
            let request = VersionRequest { version: "0.1.0".to_owned() };
            match client.call("Version", request).await {
                Ok(version) => return Ok(Self { version, ..client }),
                Err(Failure::Unimplemented) => {}
                Err(failure) => return Err(client.error("Version", failure)),
            }
        }
        Err(CriError::NotCri { socket: socket.to_owned() })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `runtime.v1`.
    pub(super) const fn api(&self) -> &'static str {
        self.api
    }

    /// Calls a method; `None` where this runtime is too old to have it.
    pub(super) async fn optional<Q, A>(&self, method: &'static str, request: Q) -> Result<Option<A>, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        match self.call(method, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Unimplemented) => Ok(None),
            Err(failure) => Err(self.error(method, failure)),
        }
    }

    /// Calls a method about something; `None` where the runtime does not know it (any more).
    pub(super) async fn about<Q, A>(&self, method: &'static str, request: Q) -> Result<Option<A>, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        match self.call(method, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Status(status)) if status.code() == Code::NotFound => Ok(None),
            Err(failure) => Err(self.error(method, failure)),
        }
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path: PathAndQuery = format!("/{}.RuntimeService/{method}", self.api)
            .parse()
            .map_err(|error: http::uri::InvalidUri| Failure::Status(Status::internal(error.to_string())))?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let call = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(request), path, ProstCodec::default()).await
        };
        match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == Code::Unimplemented => Err(Failure::Unimplemented),
            Ok(Err(status)) => Err(Failure::Status(status)),
            Err(_) => Err(Failure::Timeout),
        }
    }

    fn error(&self, call: &'static str, failure: Failure) -> CriError {
        let socket = self.socket.clone();
        match failure {
            Failure::Unimplemented => CriError::NotCri { socket },
            Failure::Timeout => CriError::Timeout { socket, call, after: PATIENCE },
            Failure::Status(status) if status.code() == Code::Unavailable => {
                let source = io::Error::new(io::ErrorKind::NotConnected, status.message().to_owned());
                CriError::Connect { socket, source }
            }
            Failure::Status(status) => CriError::Refused { socket, call, message: status.message().to_owned() },
        }
    }
}

enum Failure {
    Unimplemented,
    Timeout,
    Status(Status),
}

/// A channel that connects when needed, and again when the runtime was restarted.
fn channel(root: HostRoot, socket: PathBuf) -> Channel {
    let connect = move |_: Uri| {
        let (root, socket) = (root.clone(), socket.clone());
        async move { stream(&root, &socket).await.map(TokioIo::new) }
    };
    // The name is for the HTTP header only; nothing is looked up.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(connect))
}

/// Connects through the open file's number, because a socket's address has 108 bytes and links in its path must not lead out of the
/// machine's root.
async fn stream(root: &HostRoot, socket: &Path) -> io::Result<UnixStream> {
    let file = Below::new(root)?.open(socket, OFlags::PATH)?;
    UnixStream::connect(format!("/proc/self/fd/{}", file.as_raw_fd())).await
}
