//! OTLP over HTTP: one request, one connection, on the process's own runtime. The exporter's thread
//! has none.

use super::TelemetryError;
use super::export::EXPORT_LIMIT;
use bytes::Bytes;
use futures::future::{BoxFuture, join};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Bytes of an answer that are read; there is nothing in it that we need.
const ANSWER_LIMIT: usize = 65_536;

/// Sends spans.
#[derive(Clone)]
pub(super) struct Client {
    runtime: Handle,
    tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of an `http://` or `https://` endpoint; `ca` is a PEM file's text, instead of the
    /// system's authorities.
    pub(super) fn new(endpoint: &str, ca: Option<&[u8]>) -> Result<Self, TelemetryError> {
        let tls = endpoint.starts_with("https://").then(|| trusting(ca)).transpose()?;
        Ok(Self { runtime: Handle::current(), tls: tls.map(Arc::new) })
    }
}

fn trusting(ca: Option<&[u8]>) -> Result<ClientConfig, TelemetryError> {
    let words = |error: &dyn std::fmt::Display| TelemetryError::Exporter(error.to_string());
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| words(&error))?;
                roots.add(certificate).map_err(|error| words(&error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        return Err(words(&"no authority to trust: give telemetry.otlp_ca_file"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| words(&error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl HttpClient for Client {
    // What `async fn` in this trait stands for.
    fn send_bytes<'client, 'sent>(
        &'client self,
        request: Request<Bytes>,
    ) -> BoxFuture<'sent, Result<Response<Bytes>, HttpError>>
    where
        'client: 'sent,
    {
        let exchange = exchange(request, self.tls.clone());
        // The timer needs the runtime from the first.
        let sent =
            self.runtime.spawn(async move { tokio::time::timeout(EXPORT_LIMIT, exchange).await });
        Box::pin(async move { sent.await?? })
    }
}

async fn exchange(
    request: Request<Bytes>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Response<Bytes>, HttpError> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let port = request.uri().port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((bare.as_str(), port)).await?;
    match tls {
        None => send(TokioIo::new(stream), request).await,
        Some(config) => {
            let name = ServerName::try_from(bare)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            send(TokioIo::new(stream), request).await
        }
    }
}

async fn send<S>(stream: S, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().map_or("", |authority| authority.as_str());
    head.headers.insert(HOST, HeaderValue::from_str(authority)?);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse::<Uri>()?;
    let answer = async move {
        let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // The connection ends with the exchange, whatever became of it.
    join(answer, connection).await.0
}
