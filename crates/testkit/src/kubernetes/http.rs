//! The wire: listeners that come and go, answers, and watches that stay open.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::route::{self, Answer};
use super::select::Selection;
use super::{Break, Misbehaviour, Request, Shared, TOKEN, Who, lock, tls};

type Body = BoxBody<Bytes, io::Error>;

/// Starts a thread with all servers; tells their ports: API server, kubelet, kubelet with TLS.
pub(super) fn serve(shared: &Arc<Shared>) -> ([u16; 3], JoinHandle<()>) {
    let listen = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    };
    let [(api, api_port), (kubelet, kubelet_port), (secure, secure_port)] = [listen(), listen(), listen()];
    let shared = Arc::clone(shared);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let api = run(Arc::clone(&shared), Who::Api, api, api_port);
            let kubelet = run(Arc::clone(&shared), Who::Kubelet, kubelet, kubelet_port);
            let secure = run(Arc::clone(&shared), Who::SecureKubelet, secure, secure_port);
            let all = std::pin::pin!(futures_util::future::join3(api, kubelet, secure));
            let ended = std::pin::pin!(ended(&shared));
            futures_util::future::select(all, ended).await;
        });
    });
    ([api_port, kubelet_port, secure_port], thread)
}

/// The highest count there is says that all is over.
const END: u64 = u64::MAX;

pub(super) fn end(shared: &Shared) {
    shared.changed.send_replace(END);
}

async fn ended(shared: &Shared) {
    let _ = shared.changed.subscribe().wait_for(|count| *count == END).await;
}

async fn run(shared: Arc<Shared>, who: Who, listener: std::net::TcpListener, port: u16) {
    let mut up = shared.up.subscribe();
    let is_up = move |up: &(bool, bool)| if who == Who::Api { up.0 } else { up.1 };
    let mut listener = Some(TcpListener::from_std(listener).expect("a listener"));
    loop {
        // Dropping the set breaks every connection.
        let mut connections = JoinSet::new();
        if let Some(listener) = listener.take() {
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve_connection(Arc::clone(&shared), who, stream));
                }
            };
            let down = async { drop(up.wait_for(|up| !is_up(up)).await) };
            futures_util::future::select(std::pin::pin!(accept), std::pin::pin!(down)).await;
        }
        drop(connections);
        if up.wait_for(is_up).await.is_err() {
            return;
        }
        listener = Some(TcpListener::bind(("127.0.0.1", port)).await.expect("the same port"));
    }
}

async fn serve_connection(shared: Arc<Shared>, who: Who, stream: TcpStream) {
    let service = service_fn(move |request| respond(Arc::clone(&shared), who, request));
    let http = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle, or does not trust the certificate, is no fault.
    if who == Who::SecureKubelet {
        let Ok(stream) = tls::acceptor().accept(stream).await else { return };
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }
}

async fn respond(
    shared: Arc<Shared>,
    who: Who,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = decode(request.uri().path());
    let query: BTreeMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let uri = format!("{path}{mark}{}", pairs.join("&"));
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_known = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ")) == Some(TOKEN);
    lock(&shared.requests).push(Request { who, uri: uri.clone(), authorization });
    if who == Who::SecureKubelet && !is_known {
        return Ok(whole(401, "Unauthorized".to_owned(), None));
    }
    let rule = lock(&shared.rules).iter().find(|(of, containing, _)| *of == who && uri.contains(containing)).cloned();
    match rule.map(|(_, _, how)| how) {
        Some(Misbehaviour::Status(code)) => return Ok(respond_with(route::status(code, "told to refuse", None), None)),
        Some(Misbehaviour::Throttle(after)) => {
            return Ok(respond_with(route::status(429, "too many requests", Some(after)), Some(after)));
        }
        Some(Misbehaviour::Hang) => std::future::pending().await,
        Some(Misbehaviour::Slow(by)) => tokio::time::sleep(by).await,
        Some(Misbehaviour::Garbage) => return Ok(whole(200, "<html>".to_owned(), None)),
        None => {}
    }
    let answer = {
        let kubelet = lock(&shared.kubelet);
        match who {
            Who::Api => route::answer(&path, &query, &lock(&shared.store), &kubelet),
            // Only the port that asks for credentials tells the configuration (pkg/kubelet/server/server.go).
            Who::Kubelet if path == "/configz" => route::status(404, "404 page not found", None),
            Who::Kubelet | Who::SecureKubelet => route::kubelet_answer(&path, &kubelet),
        }
    };
    Ok(match answer {
        Answer::Watch(selection, version) => watch_body(shared, selection, version),
        answer => respond_with(answer, None),
    })
}

fn respond_with(answer: Answer, retry_after: Option<u64>) -> Response<Body> {
    let Answer::Json(code, value) = answer else { unreachable!("a watch is served elsewhere") };
    whole(code, value.to_string(), retry_after)
}

fn whole(code: u16, text: String, retry_after: Option<u64>) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::builder().status(StatusCode::from_u16(code).expect("a status"));
    response = response.header("content-type", "application/json");
    if let Some(after) = retry_after {
        response = response.header("retry-after", after);
    }
    response.body(body).expect("a response")
}

fn watch_body(shared: Arc<Shared>, selection: Selection, version: u64) -> Response<Body> {
    let (lines, body) = mpsc::channel::<Result<String, io::Error>>(16);
    tokio::spawn(serve_watch(shared, selection, version, lines));
    let frames = stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    let frames = frames.map(|line| line.map(|line| Frame::data(Bytes::from(line + "\n"))));
    Response::builder()
        .header("content-type", "application/json")
        .body(BodyExt::boxed(StreamBody::new(frames)))
        .expect("a response")
}

/// Counts the watches that are open.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn serve_watch(
    shared: Arc<Shared>,
    selection: Selection,
    mut version: u64,
    lines: mpsc::Sender<Result<String, io::Error>>,
) {
    let mut changed = shared.changed.subscribe();
    let mut breaks_seen = lock(&shared.breaks).len();
    shared.watches.send_modify(|count| *count += 1);
    let _counted = Counted(shared.watches.clone());
    if !lock(&shared.store).keeps(version) {
        let _ = lines.send(Ok(gone())).await;
        return;
    }
    loop {
        let (news, now) = {
            let store = lock(&shared.store);
            (store.since(version, &selection), store.version())
        };
        version = now;
        for line in news {
            if lines.send(Ok(line)).await.is_err() {
                return;
            }
        }
        let breaks: Vec<Break> = lock(&shared.breaks).iter().skip(breaks_seen).cloned().collect();
        breaks_seen += breaks.len();
        for how in breaks {
            let sent = match how {
                Break::Disconnect => {
                    let _ = lines.send(Err(io::Error::other("broken on purpose"))).await;
                    return;
                }
                Break::End => return,
                Break::Gone => {
                    let _ = lines.send(Ok(gone())).await;
                    return;
                }
                Break::Bookmark => {
                    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()}});
                    lines.send(Ok(json!({"type": "BOOKMARK", "object": object}).to_string())).await
                }
                Break::Line(line) => lines.send(Ok(line)).await,
            };
            if sent.is_err() {
                return;
            }
        }
        let closed = std::pin::pin!(lines.closed());
        let change = std::pin::pin!(changed.changed());
        if let futures_util::future::Either::Left(_) = futures_util::future::select(closed, change).await {
            return;
        }
    }
}

fn gone() -> String {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "too old resource version",
        "reason": "Expired", "code": 410, "metadata": {}});
    json!({"type": "ERROR", "object": status}).to_string()
}

/// Percent-decoding; `+` is a space, as in queries.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex =
            text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(hex.unwrap_or(if bytes[at] == b'+' { b' ' } else { bytes[at] }));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
