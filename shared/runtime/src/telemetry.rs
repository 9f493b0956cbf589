//! Logs to standard error or a file and, where a collector is configured, traces over OTLP.

mod tag;

use crate::Clock;
use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::limit::Limit;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tag::Tagged;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use vedette_model::{Event, TraceId};

/// Spans that wait for the collector; those beyond are dropped.
const SPAN_QUEUE: usize = 2_048;
/// How often they are sent.
const SPAN_INTERVAL: Duration = Duration::from_secs(1);
/// For one batch; a collector that does not answer costs these spans and nothing else.
const EXPORT_LIMIT: Duration = Duration::from_secs(2);
/// How often a dead collector is complained about.
const REMINDER: Duration = Duration::from_secs(60);
/// For the last batch when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Why logs or traces could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log filter is none.
    #[error("{0}")]
    Filter(String),
    /// The exporter could not be built.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(String),
    /// The log's file cannot be written.
    #[error("log.file: {path} cannot be written: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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

/// Sets logs and traces up, once per process. `service` and `id`, both of `[A-Za-z0-9_-]`, name
/// the process on each line and in traces.
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
    let lines = match &log.file {
        None => lines(service, id, log.format, io::stderr),
        Some(path) => {
            let file = Appended(path.clone());
            file.open().map_err(|source| TelemetryError::File { path: path.clone(), source })?;
            lines(service, id, log.format, file)
        }
    };
    let provider = match &traces.otlp_endpoint {
        Some(endpoint) => Some(exporter(service, id, endpoint)?),
        None => None,
    };
    // Only our own spans, whatever is logged: those of the exporter's libraries would feed it.
    let ours = filter_fn(|meta| {
        meta.target().starts_with("vedette") && *meta.level() <= tracing::Level::INFO
    });
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("vedette")).with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter(&log.level)?))
        .with(spans)
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    Ok(Telemetry { provider })
}

fn lines<S, W>(service: &str, id: &str, format: LogFormat, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = Tagged::new(to, format, service, id);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false);
    match format {
        LogFormat::Text => layer.with_writer(writer).boxed(),
        LogFormat::Json => layer.json().with_writer(writer).boxed(),
    }
}

/// A file that each line is added to, wherever its name leads by then.
#[derive(Debug, Clone)]
struct Appended(PathBuf);

impl Appended {
    fn open(&self) -> io::Result<File> {
        File::options().append(true).create(true).open(&self.0)
    }
}

impl<'a> MakeWriter<'a> for Appended {
    type Writer = Box<dyn io::Write>;

    fn make_writer(&'a self) -> Self::Writer {
        // A disk that is full must not end a failover.
        self.open().map_or_else(|_| Box::new(io::sink()) as Self::Writer, |file| Box::new(file))
    }
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

/// The span of a happening, within the trace of its incident.
pub fn happening(event: &Event) -> Span {
    let Event { name, group, epoch, .. } = event;
    let span = info_span!("event", otel.name = name.as_str(), %group, epoch = epoch.0);
    attach(&span, event.trace_id);
    span
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
/// same with from and to. A bare word must be a level: the filter's own syntax would take a
/// misspelt one for a module and log nothing else.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let parts: Vec<_> = level.split(',').map(str::trim).collect();
    for word in parts.iter().filter(|part| !part.contains(['=', '['])) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            let why = format!(
                "{word:?} is not a level (off, error, warn, info, debug, trace), and a module \
                 needs one: module=level"
            );
            return Err(TelemetryError::Filter(why));
        }
    }
    let quiet = if level.contains("async_nats") { "" } else { ",async_nats=warn" };
    EnvFilter::builder()
        .parse(format!("{}{quiet}", parts.join(",")))
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
    let exporter = Watched { inner: exporter, clock: Clock::start(), said: Limit::new(REMINDER) };
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
    let resource = Resource::builder()
        .with_service_name(format!("vedette-{service}"))
        .with_attribute(KeyValue::new("service.instance.id", id.to_owned()))
        .build();
    Ok(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build())
}

/// Says now and then that the collector does not take our spans, and nothing else: spans are
/// dropped, the service goes on.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    clock: Clock,
    said: Limit,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.inner.export(batch).await;
        if let Err(error) = &outcome
            && let Some(times) = self.said.pass(self.clock.now())
        {
            tracing::warn!(
                times, spans, %error,
                "spans were dropped: is the collector at telemetry.otlp_endpoint running?"
            );
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The span that stands for the whole incident in headers and as the parent of all its spans. It
/// is never recorded itself; every process computes the same one.
pub(crate) fn span_of(trace: TraceId) -> u64 {
    u64::try_from(trace.as_u128() & u128::from(u64::MAX)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::error::OTelSdkError;
    use std::sync::{Arc, Mutex};
    use vedette_model::{Epoch, GroupName, NodeAddr};

    #[derive(Debug)]
    struct Dead;

    impl SpanExporter for Dead {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("connection refused".into()))
        }
    }

    /// Keeps what was exported.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().append(&mut batch);
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn a_dead_collector_costs_one_warning_and_not_one_per_batch() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let watched = Watched { inner: Dead, clock: Clock::start(), said: Limit::new(REMINDER) };
        for _ in 0..5 {
            assert!(watched.export(Vec::new()).await.is_err());
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        assert!(text.contains("otlp_endpoint") && text.contains("connection refused"), "{text}");
    }

    #[test]
    fn spans_of_several_processes_fall_into_one_trace() {
        let trace = TraceId::of(
            &GroupName::parse("orders").unwrap(),
            Epoch(7),
            &NodeAddr::parse("10.0.0.1:6379").unwrap(),
            None,
        );
        let kept = Kept::default();
        for _process in 0..2 {
            let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("vedette"));
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::with_default(subscriber, || {
                let span = tracing::info_span!("failover");
                attach(&span, trace);
                let _entered = span.enter();
                tracing::info_span!("promote").in_scope(|| ());
            });
        }
        let spans = kept.0.lock().unwrap();
        let wanted = trace.to_string();
        assert_eq!(spans.len(), 4);
        assert!(spans.iter().all(|span| span.span_context.trace_id().to_string() == wanted));
        let parent = SpanId::from(span_of(trace));
        assert_eq!(spans.iter().filter(|span| span.parent_span_id == parent).count(), 2);
        let header = vedette_wire::traceparent(trace, span_of(trace));
        assert_eq!(header, format!("00-{wanted}-{parent}-01"));
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let kept = Lines::default();
        let layer = lines("voter", "v1", format, kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn every_line_names_its_service_also_a_librarys() {
        let text = logged(LogFormat::Text, || {
            tracing::info!(epoch = 7, "first");
            tracing::warn!(target: "async_nats", "second");
        });
        let ends: Vec<_> =
            text.lines().map(|line| line.ends_with(" service=voter id=v1")).collect();
        assert_eq!(ends, [true, true], "{text}");

        let text = logged(LogFormat::Json, || {
            tracing::info!(epoch = 7, "first");
            tracing::warn!(target: "async_nats", "{{second}}");
        });
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["service"], &line["id"]), (&"voter".into(), &"v1".into()));
            assert!(line["level"].is_string() && line["fields"]["message"].is_string(), "{line}");
        }
    }

    #[test]
    fn a_file_may_be_moved_away_between_two_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let layer = lines("voter", "v1", LogFormat::Text, Appended(path.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("first");
            std::fs::rename(&path, &moved).unwrap();
            tracing::info!("second");
        });
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert!(read(&moved).contains("first") && read(&path).contains("second"));
    }

    #[test]
    fn a_filter_that_is_none_is_refused_and_the_bus_library_is_quiet() {
        for wrong in ["inof", "", "info,loud", "info,vedette_runtime=loud"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        assert!(filter("off").is_ok() && filter("info, vedette_runtime=debug").is_ok());
        assert!(filter("debug").unwrap().to_string().contains("async_nats=warn"));
        assert!(!filter("info,async_nats=debug").unwrap().to_string().contains("async_nats=warn"));
    }
}
