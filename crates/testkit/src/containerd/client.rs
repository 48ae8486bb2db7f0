//! Calls of CRI, as the kubelet makes them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Generous: the machine may be busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Client {
    runtime: Runtime,
    channel: Channel,
}

impl Client {
    pub(super) fn new(socket: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        // Connects with the first call, and again when containerd was started again.
        let channel = {
            let _guard = runtime.enter();
            endpoint.connect_lazy()
        };
        Ok(Self { runtime, channel })
    }

    pub(super) fn call<Q, A>(&self, method: &str, request: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = format!("/runtime.v1.RuntimeService/{method}").parse()?;
        let mut grpc = Grpc::new(self.channel.clone());
        let call = async {
            grpc.ready().await?;
            anyhow::Ok(grpc.unary(Request::new(request), path, ProstCodec::default()).await?.into_inner())
        };
        let answer = self.runtime.block_on(async { timeout(PATIENCE, call).await });
        answer.with_context(|| format!("{method}: no answer in {PATIENCE:?}"))?.with_context(|| method.to_owned())
    }
}
