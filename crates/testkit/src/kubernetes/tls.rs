//! The kubelet's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(super) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/kubernetes/tls").join(name)
}

pub(super) fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(file("kubelet.crt")).expect("the certificate");
    let key = PrivateKeyDer::from_pem_file(file("kubelet.key")).expect("its key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}
