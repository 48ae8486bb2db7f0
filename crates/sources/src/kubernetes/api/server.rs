//! One server that speaks HTTP as Kubernetes does: an API server or a kubelet.
//!
//! Every request has a time limit, every answer a limit of its size, and every refusal becomes a [`Why`].

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::{AuthError, Body};
use kube::core::{Status, WatchEvent};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::{Error, Why};
use super::access::chain;
use super::ask::Ask;
use super::client;
use super::lenient::{Lenient, Page};

/// Larger than any list that is asked for here.
const LARGEST_ANSWER: usize = 256 << 20;
/// Larger than any error of a server that speaks Kubernetes.
const LARGEST_REFUSAL: usize = 64 << 10;
/// A server and how to ask it.
#[derive(Clone)]
pub(crate) struct Server {
    client: Client,
    /// Scheme, host and port.
    pub(crate) url: String,
    /// The namespace of the context.
    pub(crate) namespace: String,
    /// Longest wait for an answer.
    patience: Duration,
}

impl Server {
    /// Connects to nobody yet.
    pub(crate) fn new(config: Config, patience: Duration) -> Result<Self, Error> {
        let url = config.cluster_url.clone();
        let (Some(scheme @ ("http" | "https")), Some(host)) = (url.scheme_str(), url.host()) else {
            let why = "the kubeconfig's `server` is no address: it has to begin with https:// and a host";
            return Err(Error::new("the API server", "", Why::NotConfigured(why.to_owned())));
        };
        // Without user and path: whoever writes a password into a URL does not want to read it in a message.
        let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let url = format!("{scheme}://{host}{port}");
        let namespace = config.default_namespace.clone();
        let client = client::client(&config, patience, &namespace)
            .map_err(|error| Error::new("a connection", url.clone(), Why::NotConfigured(without_secrets(&error))))?;
        Ok(Self { client, url, namespace, patience })
    }

    /// Asks for one object, as it is.
    pub(crate) async fn get<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Error> {
        let text = self.text(ask, "get", &[]).await?;
        self.read(ask, &text)
    }

    /// Asks for a page of a list: the first one not older than a version, or one that follows. The server may send more than `limit`.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        from: &From<'_>,
        limit: u32,
    ) -> Result<Page<T>, Error> {
        let mut more = Vec::new();
        // With a limit a list of some version is read out of the store (apiserver, pkg/storage/cacher/delegator,
        // `shouldDelegateList`); with version 0 the limit is passed over where the server has the objects in its memory.
        if !matches!(from, From::NotOlderThan(version) if *version != "0") {
            more.push(("limit", limit.to_string()));
        }
        match from {
            From::Newest => {}
            From::NotOlderThan(version) => {
                more.push(("resourceVersion", (*version).to_owned()));
                more.push(("resourceVersionMatch", "NotOlderThan".to_owned()));
            }
            From::Next(token) => more.push(("continue", (*token).to_owned())),
        }
        let text = self.text(ask, "list", &more).await?;
        self.read(ask, &text)
    }

    /// Watches what a list would show, from a version on. The time limit is for the beginning; the server ends it after `longest`.
    pub(crate) async fn watch<T>(
        &self,
        ask: &Ask,
        version: &str,
        longest: Duration,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Lenient<T>>, Error>> + Send + use<T>, Error>
    where
        T: DeserializeOwned + Clone + Send + 'static,
    {
        let more = [
            ("watch", "true".to_owned()),
            ("allowWatchBookmarks", "true".to_owned()),
            ("timeoutSeconds", longest.as_secs().max(1).to_string()),
            ("resourceVersion", version.to_owned()),
        ];
        let request = self.request(ask, &more)?;
        let begun = timeout(self.patience, self.client.request_events::<Lenient<T>>(request)).await;
        let events = begun.map_err(|_| self.error(ask, Why::TooSlow(self.patience)))?;
        let events = events.map_err(|error| self.error(ask, why(&error, &ask.needs("watch"))))?;
        let (ask, server) = (ask.clone(), self.clone());
        Ok(events.map(move |event| event.map_err(|error| server.error(&ask, why(&error, &ask.needs("watch"))))))
    }

    fn error(&self, ask: &Ask, why: Why) -> Error {
        Error::new(ask.what.clone(), self.url.clone(), why)
    }

    fn request(&self, ask: &Ask, more: &[(&'static str, String)]) -> Result<Request<Vec<u8>>, Error> {
        let request = Request::get(ask.uri(more)).header(header::ACCEPT, "application/json");
        request.body(Vec::new()).map_err(|error| self.error(ask, Why::NotConfigured(error.to_string())))
    }

    /// Reads an answer of JSON.
    fn read<'a, T: Deserialize<'a>>(&self, ask: &Ask, text: &'a [u8]) -> Result<T, Error> {
        serde_json::from_slice(text).map_err(|error| self.error(ask, Why::Unreadable(error.to_string())))
    }

    async fn text(&self, ask: &Ask, verb: &str, more: &[(&'static str, String)]) -> Result<Vec<u8>, Error> {
        let request = self.request(ask, more)?.map(Body::from);
        let answer = timeout(self.patience, async {
            let response = self.client.send(request).await.map_err(|error| why(&error, &ask.needs(verb)))?;
            body(response, &ask.needs(verb)).await
        });
        let answer = answer.await.unwrap_or(Err(Why::TooSlow(self.patience)));
        answer.map_err(|why| self.error(ask, why))
    }
}

/// Where a list begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From<'a> {
    /// The latest state, which the server reads out of its store.
    Newest,
    /// The server's memory, at least as new as this version; `0`: whatever it has.
    ///
    /// A list by node out of the store reads every pod of the cluster; out of the server's memory it is found by an index
    /// (pkg/registry/core/pod/strategy.go, `NodeNameIndexFunc`).
    NotOlderThan(&'a str),
    /// Where the page before ended.
    Next(&'a str),
}

/// All of an answer, or why it is none.
async fn body(response: Response<Body>, needs: &str) -> Result<Vec<u8>, Why> {
    let (head, body) = response.into_parts();
    let is_good = head.status.is_success();
    let longest = if is_good { LARGEST_ANSWER } else { LARGEST_REFUSAL };
    let read = Limited::new(body, longest).collect().await;
    if is_good {
        let read = read.map_err(|error| Why::Unreachable(format!("the answer broke off: {}", chain(&*error))))?;
        return Ok(read.to_bytes().into());
    }
    let text = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = serde_json::from_slice::<Status>(&text).ok().filter(|status| !status.message.is_empty());
    let message =
        status.as_ref().map_or_else(|| String::from_utf8_lossy(&text).into_owned(), |status| status.message.clone());
    let header = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let retry_after =
        header.or_else(|| Some(u64::from(status?.details?.retry_after_seconds)).filter(|after| *after > 0));
    Err(refusal(head.status.as_u16(), message, needs, retry_after.map(Duration::from_secs)))
}

fn refusal(code: u16, message: String, needs: &str, retry_after: Option<Duration>) -> Why {
    match StatusCode::from_u16(code) {
        Ok(StatusCode::UNAUTHORIZED) => Why::NotLoggedIn(message),
        Ok(StatusCode::FORBIDDEN) => Why::Forbidden { needs: needs.to_owned(), message },
        Ok(StatusCode::NOT_FOUND) => Why::NotFound,
        Ok(StatusCode::GONE) => Why::Expired,
        Ok(StatusCode::TOO_MANY_REQUESTS) => Why::Throttled { retry_after },
        _ => Why::Answer { code, message },
    }
}

/// Why a request failed before there was an answer, or what the answer to a watch was.
fn why(error: &kube::Error, needs: &str) -> Why {
    match error {
        kube::Error::Api(status) => status_refusal(status, needs),
        kube::Error::SerdeError(error) => Why::Unreadable(error.to_string()),
        kube::Error::Auth(error) => Why::NotLoggedIn(without_output(error)),
        kube::Error::Service(error) if error.downcast_ref::<AuthError>().is_some() => {
            Why::NotLoggedIn(error.downcast_ref().map(without_output).unwrap_or_default())
        }
        kube::Error::Service(error) => Why::Unreachable(innermost(&**error)),
        kube::Error::ReadEvents(error) => Why::Unreachable(innermost(error)),
        kube::Error::HyperError(error) => Why::Unreachable(innermost(error)),
        other => Why::Unreachable(chain(other)),
    }
}

/// What happened to a connection: the layers around it (`client error (Connect): tcp connect error`) say nothing more.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    // Nobody nests deeper; a source that returns itself would not end.
    for _ in 0..16 {
        innermost = innermost.source().unwrap_or(innermost);
    }
    let text = innermost.to_string();
    match text.strip_prefix("invalid peer certificate: ") {
        Some(why) => {
            format!("its certificate is not to be trusted ({why}): another CA signed it, or it is for another name")
        }
        None => text,
    }
}

/// What an error in the middle of a watch says.
pub(crate) fn status_refusal(status: &Status, needs: &str) -> Why {
    let retry_after = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|after| *after > 0);
    refusal(status.code, status.message.clone(), needs, retry_after.map(|after| Duration::from_secs(after.into())))
}

fn without_secrets(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => without_output(error),
        kube::Error::ProxyProtocolUnsupported { proxy_url } => {
            format!("a proxy of this kind cannot be used: {}", proxy_url.scheme_str().unwrap_or_default())
        }
        other => chain(other),
    }
}

/// A credential plugin may print the credential that it was asked for, and may be given others by its command line.
fn without_output(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!(
                "the kubeconfig's credential plugin failed ({}); `kubectl get nodes` shows what it says",
                out.status
            )
        }
        AuthError::AuthExecParse(_) => "the output of the kubeconfig's credential plugin cannot be read".to_owned(),
        other => chain(other),
    }
}
