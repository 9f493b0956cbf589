//! Logs to standard error and, where a collector is configured, traces over OTLP.

use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use vedette_model::TraceId;

/// Spans that wait for the collector; those beyond are dropped.
const SPAN_QUEUE: usize = 2_048;
/// How often they are sent.
const SPAN_INTERVAL: Duration = Duration::from_secs(1);
/// For one batch; a collector that does not answer costs these spans and nothing else.
const EXPORT_LIMIT: Duration = Duration::from_secs(2);
/// For the last batch when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Why logs or traces could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log filter is none.
    #[error("log.level: {0}")]
    Filter(String),
    /// The exporter could not be built.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(String),
    /// There is a subscriber already.
    #[error("telemetry is set up once per process: {0}")]
    Twice(String),
}

/// Holds what must be flushed when the process ends.
#[derive(Debug)]
#[must_use = "finish it at the end, or the last spans are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Sets logs and traces up, once per process. `service` and `id` name the process in traces.
/// Needs a tokio runtime if a collector is configured.
///
/// # Errors
/// [`TelemetryError`] names the key at fault.
pub fn init(
    service: &str,
    id: &str,
    log: &LogConfig,
    traces: &TelemetryConfig,
) -> Result<Telemetry, TelemetryError> {
    let filter = filter(&log.level)?;
    let lines = match log.format {
        LogFormat::Text => {
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr).boxed()
        }
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(io::stderr).boxed(),
    };
    let provider = match &traces.otlp_endpoint {
        Some(endpoint) => Some(exporter(service, id, endpoint)?),
        None => None,
    };
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("vedette")));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(spans)
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Sends the last spans, for two seconds at most.
    pub async fn finish(self) {
        let Some(provider) = self.provider else { return };
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%error, "the last spans were not sent"),
            Err(error) => tracing::info!(%error, "the last spans were not sent"),
        }
    }
}

/// Makes the trace the remote parent of the span, so that the spans of several processes that
/// compute the same id fall into one trace. Does nothing where no traces are exported.
pub fn attach(span: &Span, trace: TraceId) {
    let context = SpanContext::new(
        opentelemetry::trace::TraceId::from(trace.as_u128()),
        SpanId::from(span_of(trace)),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    // The only errors are: no exporter, a disabled span, or a span that has started already.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}

/// The log filter. The bus library's own lines are left out unless asked for: the bus says the
/// same with from and to.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let quiet = if level.contains("async_nats") { "" } else { ",async_nats=warn" };
    EnvFilter::builder()
        .parse(format!("{level}{quiet}"))
        .map_err(|error| TelemetryError::Filter(error.to_string()))
}

fn exporter(service: &str, id: &str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_LIMIT)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .with_scheduled_delay(SPAN_INTERVAL)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
    let resource = Resource::builder()
        .with_service_name(format!("vedette-{service}"))
        .with_attribute(KeyValue::new("service.instance.id", id.to_owned()))
        .build();
    Ok(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build())
}

/// The span that stands for the whole incident in headers and as the parent of all its spans. It
/// is never recorded itself; every process computes the same one.
pub(crate) fn span_of(trace: TraceId) -> u64 {
    u64::try_from(trace.as_u128() & u128::from(u64::MAX)).unwrap_or(1).max(1)
}
