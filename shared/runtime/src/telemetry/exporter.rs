//! What hands batches to the collector, and trusts whoever `telemetry.otlp_ca_file` names by then.

use super::export::{EXPORT_LIMIT, REMINDER};
use super::{TelemetryError, http};
use crate::Clock;
use crate::config::{OtlpProtocol, TelemetryConfig};
use crate::limit::Limit;
use crate::tls::{TlsError, certificates};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The process's own, renewed when the authority's file changes.
#[derive(Debug)]
pub(super) struct Exporter {
    endpoint: String,
    config: TelemetryConfig,
    resource: Resource,
    /// The thread that sends has none of its own.
    runtime: Handle,
    current: Mutex<Current>,
    clock: Clock,
    said: Limit,
}

#[derive(Debug)]
struct Current {
    /// What stands in the authority's file.
    authority: Option<Vec<u8>>,
    inner: Arc<opentelemetry_otlp::SpanExporter>,
}

impl Exporter {
    /// Needs a tokio runtime.
    pub(super) fn new(
        endpoint: &str,
        config: &TelemetryConfig,
        resource: Resource,
    ) -> Result<Self, TelemetryError> {
        let authority = authority(config)?;
        let inner = Arc::new(built(endpoint, config, authority.as_deref(), &resource)?);
        Ok(Self {
            endpoint: endpoint.into(),
            config: config.clone(),
            resource,
            runtime: Handle::current(),
            current: Mutex::new(Current { authority, inner }),
            clock: Clock::start(),
            said: Limit::new(REMINDER),
        })
    }

    /// The one to send with now. A file that cannot be used leaves the one before.
    fn current(&self) -> Arc<opentelemetry_otlp::SpanExporter> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match self.renewed(&current) {
            Ok(None) => {}
            Ok(Some(renewed)) => {
                tracing::info!("the collector's authority is another now: it is trusted");
                *current = renewed;
            }
            Err(error) => {
                if self.said.pass(self.clock.now()).is_some() {
                    tracing::warn!(%error, "the collector's authority is trusted as it was before");
                }
            }
        }
        Arc::clone(&current.inner)
    }

    fn renewed(&self, current: &Current) -> Result<Option<Current>, TelemetryError> {
        let authority = authority(&self.config)?;
        if authority == current.authority {
            return Ok(None);
        }
        let _runtime = self.runtime.enter();
        let inner = built(&self.endpoint, &self.config, authority.as_deref(), &self.resource)?;
        Ok(Some(Current { authority, inner: Arc::new(inner) }))
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.current().export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.current().shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.current().force_flush()
    }
}

/// What stands in the authority's file: certificates in PEM form.
fn authority(config: &TelemetryConfig) -> Result<Option<Vec<u8>>, TelemetryError> {
    let Some(path) = &config.otlp_ca_file else { return Ok(None) };
    let read = std::fs::read(path)
        .map_err(|source| TlsError::Read { path: path.clone(), source })
        .and_then(|text| certificates(&text, path).map(|_| text));
    read.map(Some).map_err(TelemetryError::CaFile)
}

fn built(
    endpoint: &str,
    config: &TelemetryConfig,
    authority: Option<&[u8]>,
    resource: &Resource,
) -> Result<opentelemetry_otlp::SpanExporter, TelemetryError> {
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let built = match config.otlp_protocol {
        OtlpProtocol::Grpc => {
            let builder = builder.with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_LIMIT);
            let tls = match authority {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            match endpoint.starts_with("https://") {
                true => builder.with_tls_config(tls).build(),
                false => builder.build(),
            }
        }
        OtlpProtocol::Http => builder
            .with_http()
            .with_http_client(http::Client::new(endpoint, authority)?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_LIMIT)
            .build(),
    };
    let mut exporter = built.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    exporter.set_resource(resource);
    Ok(exporter)
}
