//! A runtime that answers as a test wants: gRPC over HTTP/2 on a unix socket, as little of it as CRI needs.

use std::path::Path;
use std::sync::Arc;

use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use prost::bytes::Bytes;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

/// gRPC's codes.
pub(crate) const NOT_FOUND: u32 = 5;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNIMPLEMENTED: u32 = 12;

/// What becomes of a call.
pub(crate) enum Reply {
    /// An encoded message.
    Message(Vec<u8>),
    /// An error.
    Failure(u32, &'static str),
    /// Whatever is sent as the body, framed or not.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Silence,
}

type Handler = dyn Fn(&str, &[u8]) -> Reply + Send + Sync;

/// Listens below `root`, until the test's program ends. The handler is told the method (`runtime.v1/Version`) and the request.
pub(crate) fn listen(root: &Path, socket: &str, handler: impl Fn(&str, &[u8]) -> Reply + Send + Sync + 'static) {
    let path = root.join(socket);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let handler: Arc<Handler> = Arc::new(handler);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async move {
            let listener = UnixListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(serve(stream, Arc::clone(&handler)));
            }
        });
    });
}

async fn serve(stream: UnixStream, handler: Arc<Handler>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let handler = Arc::clone(&handler);
        tokio::task::spawn_local(async move {
            let method = parts.uri.path().trim_start_matches('/').replace(".RuntimeService", "");
            let request = read(body).await;
            // Without gRPC's frame: a byte and a length.
            answer(respond, handler(&method, request.get(5..).unwrap_or_default())).await;
        });
    }
}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut request = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        request.extend_from_slice(&data);
    }
    request
}

async fn answer(mut respond: SendResponse<Bytes>, reply: Reply) {
    let head = || Response::builder().header("content-type", "application/grpc");
    let body = match reply {
        Reply::Silence => return std::future::pending().await,
        Reply::Failure(code, message) => {
            let head = head().header("grpc-status", code).header("grpc-message", message).body(()).unwrap();
            let _ = respond.send_response(head, true);
            return;
        }
        Reply::Raw(body) => body,
        Reply::Message(message) => {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            [&[0], &length[..], &message].concat()
        }
    };
    let Ok(mut stream) = respond.send_response(head().body(()).unwrap(), false) else { return };
    let _ = stream.send_data(body.into(), false);
    let _ = stream.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]));
}

/// A field that has a length: a text, bytes, a message.
pub(crate) fn field(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    assert!(tag < 16 && content.len() < 128, "one byte each is all this writes");
    [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A field that is a small number.
pub(crate) fn number(tag: u8, value: u8) -> Vec<u8> {
    assert!(tag < 16 && value < 128, "one byte each is all this writes");
    vec![tag << 3, value]
}
