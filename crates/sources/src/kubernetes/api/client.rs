//! The layers between a question and the wire.
//!
//! kube brings credentials and TLS. The rest is put together here, since what kube puts together has no time limit for an answer,
//! retries on its own and never notices a peer that is silently gone; and since it goes through the proxy of `HTTPS_PROXY` whatever
//! `NO_PROXY` says of the API server.

use std::fmt::Debug;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, Service, ServiceBuilder};

/// A peer that vanished without a word is noticed after `IDLE` + `PROBES` × `INTERVAL`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 4;

/// Connects to nobody yet.
pub(super) fn client(config: &Config, patience: Duration, namespace: &str) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // Whoever cannot even be connected to is away, not slow.
    connector.set_connect_timeout(Some(patience / 2));
    connector.set_keepalive(Some(KEEPALIVE_IDLE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    let Some(proxy) = proxy(config)? else { return stack(config, connector, namespace) };
    match proxy.uri().scheme_str() {
        Some("http") => {
            let tunnel = Tunnel::new(proxy.uri().clone(), connector);
            let tunnel = match proxy.basic_auth() {
                Some(auth) => tunnel.with_auth(auth.clone()),
                None => tunnel,
            };
            stack(config, tunnel, namespace)
        }
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(proxy.uri().clone(), connector);
            let socks = match proxy.raw_auth() {
                Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                None => socks,
            };
            stack(config, socks, namespace)
        }
        _ => Err(unsupported(proxy.uri())),
    }
}

/// The proxy on the way to the server: the kubeconfig's `proxy-url`, else that of the environment, from which `NO_PROXY` may except the server.
fn proxy(config: &Config) -> kube::Result<Option<Intercept>> {
    let Some(configured) = &config.proxy_url else { return Ok(None) };
    let is_the_environments = ["HTTPS_PROXY", "https_proxy"].iter().any(|name| {
        let uri = std::env::var(name).ok().and_then(|value| value.parse::<Uri>().ok());
        uri.as_ref() == Some(configured)
    });
    if is_the_environments {
        return Ok(Matcher::from_env().intercept(&config.cluster_url));
    }
    // Going around a proxy that was asked for would be worse than not going.
    let intercept = Matcher::builder().all(configured.to_string()).build().intercept(&config.cluster_url);
    intercept.map(Some).ok_or_else(|| unsupported(configured))
}

fn unsupported(proxy: &Uri) -> kube::Error {
    kube::Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy.clone()) }
}

fn stack<C>(config: &Config, connector: C, namespace: &str) -> kube::Result<Client>
where
    C: Service<Uri> + Clone + Debug + Send + Sync + 'static,
    C::Response: hyper_util::client::legacy::connect::Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin,
    C::Future: Send,
    C::Error: Into<BoxError>,
{
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let client: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(Client::new(service, namespace))
}
