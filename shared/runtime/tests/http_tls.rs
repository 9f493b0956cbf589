//! The second port over TLS.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use support::{eventually, free_port, soon};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use vedette_harness::papers::Papers;
use vedette_runtime::http::{self, Basic};
use vedette_runtime::metrics::Meter;
use vedette_runtime::{Clock, HttpConfig, Shutdown};

/// A port that answers, and the folder of its papers.
async fn served() -> (SocketAddr, TempDir, Papers) {
    let folder = tempfile::tempdir().unwrap();
    let papers = Papers::issue(folder.path(), &["127.0.0.1"]).unwrap();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let config = HttpConfig {
        listen: Some(at),
        certificate_file: Some(papers.certificate.clone()),
        key_file: Some(papers.key.clone()),
    };
    let port = http::bind(&config).await.unwrap();
    let site = Basic { meter: Meter::default(), ready: || Ok(()) };
    http::spawn(port, site, &Clock::start(), &Shutdown::new());
    (at, folder, papers)
}

/// Somebody who trusts this authority and no other.
fn who_trusts(authority: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// What is answered to a question for health.
async fn asked(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let question = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut says so; what came before counts.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The same over TLS; nothing if the handshake fails.
async fn asked_by(client: &TlsConnector, at: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(at).await.ok()?;
    let name = ServerName::from(at.ip());
    let stream = soon(client.connect(name, stream)).await.ok()?;
    Some(asked(stream).await)
}

#[tokio::test]
async fn a_port_with_a_certificate_answers_over_tls_and_to_nobody_else() {
    let (at, _folder, papers) = served().await;
    let answer = asked_by(&who_trusts(&papers.authority), at).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = asked(TcpStream::connect(at).await.unwrap()).await;
    assert!(!answer.contains("HTTP"), "it answers in the clear: {answer}");
    let others = tempfile::tempdir().unwrap();
    let others = Papers::issue(others.path(), &["127.0.0.1"]).unwrap();
    assert_eq!(asked_by(&who_trusts(&others.authority), at).await, None);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_without_a_restart() {
    let (at, folder, papers) = served().await;
    let old = who_trusts(&papers.authority);
    assert!(asked_by(&old, at).await.is_some());
    let new = Papers::issue(folder.path(), &["127.0.0.1"]).unwrap();
    let new = who_trusts(&new.authority);
    eventually("the new one is shown", || async { asked_by(&new, at).await.is_some() }).await;
    assert_eq!(asked_by(&old, at).await, None);
}

#[tokio::test]
async fn files_that_cannot_be_used_end_the_start_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let config = HttpConfig {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        certificate_file: Some(missing.clone()),
        key_file: Some(missing),
    };
    let error = http::bind(&config).await.err().map(|error| format!("{error:#}"));
    let words = error.unwrap_or_default();
    assert!(words.contains("http.certificate_file") && words.contains("missing.pem"), "{words}");
}
