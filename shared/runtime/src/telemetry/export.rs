//! Spans on their way to the collector: a bounded queue, a thread that sends batches, and nobody who
//! waits for either.

use super::TelemetryError;
use super::exporter::Exporter;
use crate::Clock;
use crate::config::TelemetryConfig;
use crate::life::Named;
use crate::limit::Limit;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks,
    SpanProcessor,
};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vedette_trace::{Kind, Mark, Span, Value};

/// Spans that wait for the collector; those beyond are dropped.
const SPAN_QUEUE: usize = 2_048;
/// How often they are sent. Whoever is killed takes those along that it has not sent.
const SPAN_INTERVAL: Duration = Duration::from_millis(250);
/// For one batch; a collector that does not answer costs these spans and nothing else.
pub(super) const EXPORT_LIMIT: Duration = Duration::from_secs(2);
/// How often a dead collector is complained about.
pub(super) const REMINDER: Duration = Duration::from_secs(60);
/// For the last batch when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of one text of a span: what others said may be long.
const TEXT_LIMIT: usize = 1_024;

static LINE: OnceLock<Line> = OnceLock::new();

/// The way to the collector.
struct Line {
    processor: BatchSpanProcessor,
    tally: Arc<Tally>,
}

/// What became of the spans.
#[derive(Debug, Default)]
struct Tally {
    waiting: AtomicUsize,
    sent: AtomicU64,
    lost: AtomicU64,
}

/// Begins to send the process's spans, once per process.
pub(super) fn start(
    named: &Named<'_>,
    endpoint: &str,
    config: &TelemetryConfig,
) -> Result<(), TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(format!("vedette-{}", named.traced))
        .with_attribute(KeyValue::new("service.instance.id", named.id.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    LINE.set(Line::new(Exporter::new(endpoint, config, resource)?))
        .map_err(|_| TelemetryError::Exporter("spans are exported once per process".into()))
}

/// Hands spans over, without waiting. Nothing happens where no traces are exported.
pub(crate) fn record(spans: Vec<Span>, source: &str) {
    if let Some(line) = LINE.get() {
        line.take(spans, source);
    }
}

/// How many spans the collector took, and how many were lost.
pub(crate) fn spans() -> (u64, u64) {
    let tally = LINE.get().map(|line| &line.tally);
    tally.map_or((0, 0), |tally| (tally.sent.load(Relaxed), tally.lost.load(Relaxed)))
}

/// Sends the last spans, for two seconds at most.
pub(super) async fn finish() {
    let Some(line) = LINE.get() else { return };
    let flush = || line.processor.shutdown_with_timeout(FLUSH_LIMIT);
    match tokio::task::spawn_blocking(flush).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "the last spans were not sent"),
        Err(error) => tracing::info!(%error, "the last spans were not sent"),
    }
}

impl Line {
    fn new<E: SpanExporter + 'static>(inner: E) -> Self {
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(SPAN_QUEUE)
            .with_scheduled_delay(SPAN_INTERVAL)
            .build();
        let tally = Arc::new(Tally::default());
        let watched = Watched::new(inner, Arc::clone(&tally));
        Self {
            processor: BatchSpanProcessor::builder(watched).with_batch_config(batch).build(),
            tally,
        }
    }

    fn take(&self, spans: Vec<Span>, source: &str) {
        for span in spans {
            self.put(data(span, source));
        }
    }

    fn put(&self, span: SpanData) {
        if self.tally.has_room() {
            self.processor.on_end(span);
        }
    }
}

/// Where spans enter the line that OpenTelemetry's own library made.
#[derive(Debug)]
pub(super) struct Entry;

impl SpanProcessor for Entry {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if let Some(line) = LINE.get() {
            line.put(span);
        }
    }

    // The line is flushed and ended by `finish`, for all spans.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Tally {
    /// Takes a place in the queue. Without one the span is lost.
    fn has_room(&self) -> bool {
        let room = self.waiting.fetch_add(1, Relaxed) < SPAN_QUEUE;
        if !room {
            self.waiting.fetch_sub(1, Relaxed);
            self.lost.fetch_add(1, Relaxed);
        }
        room
    }
}

/// A span of this trace.
pub(super) fn context(trace: vedette_model::TraceId, id: u64) -> SpanContext {
    let (trace, id) = (TraceId::from(trace.as_u128()), SpanId::from(id));
    SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default())
}

fn data(span: Span, source: &str) -> SpanData {
    let context = |id| context(span.trace, id);
    let mut attributes = keys(span.attributes);
    attributes.push(KeyValue::new(vedette_trace::names::SOURCE, source.to_owned()));
    let mut events = SpanEvents::default();
    events.events = span.marks.into_iter().map(event).collect();
    let mut links = SpanLinks::default();
    links.links = span.links.into_iter().map(|id| Link::new(context(id), Vec::new(), 0)).collect();
    SpanData {
        span_context: context(span.id),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: true,
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: span.name.into(),
        start_time: time(span.from_us),
        end_time: time(span.to_us),
        attributes,
        dropped_attributes_count: 0,
        events,
        links,
        status: span.error.map_or(Status::Unset, |why| Status::error(short(why))),
        instrumentation_scope: InstrumentationScope::builder("vedette").build(),
    }
}

fn event(mark: Mark) -> Event {
    Event::new(short(mark.name), time(mark.at_us), keys(mark.attributes), 0)
}

fn keys(attributes: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
    let key = |(key, value): (&'static str, Value)| match value {
        Value::Text(text) => KeyValue::new(key, short(text)),
        Value::Count(count) => KeyValue::new(key, i64::try_from(count).unwrap_or(i64::MAX)),
    };
    attributes.into_iter().map(key).collect()
}

pub(super) fn short(mut text: String) -> String {
    if text.len() > TEXT_LIMIT {
        let end = (0..=TEXT_LIMIT).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}

fn time(us: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(us)
}

/// Counts what the collector takes, and says now and then that spans are lost. The service goes on.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    tally: Arc<Tally>,
    clock: Clock,
    said: Limit,
    /// As many were lost when it was said.
    told: AtomicU64,
}

impl<E> Watched<E> {
    fn new(inner: E, tally: Arc<Tally>) -> Self {
        let said = Limit::new(REMINDER);
        Self { inner, tally, clock: Clock::start(), said, told: AtomicU64::new(0) }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, tally) = (batch.len(), &self.tally);
        tally.waiting.fetch_sub(spans, Relaxed);
        let outcome = self.inner.export(batch).await;
        let counter = if outcome.is_ok() { &tally.sent } else { &tally.lost };
        counter.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Relaxed);
        let lost = tally.lost.load(Relaxed);
        if lost > self.told.load(Relaxed) && self.said.pass(self.clock.now()).is_some() {
            self.told.store(lost, Relaxed);
            let error = outcome.as_ref().err().map(tracing::field::display);
            tracing::warn!(
                lost,
                error,
                "spans were dropped: does the collector at telemetry.otlp_endpoint run, and keep up?"
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::Lines;
    use opentelemetry_sdk::error::OTelSdkError;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use vedette_model::{Epoch, GroupName, NodeAddr};
    use vedette_trace::names;

    #[derive(Debug)]
    struct Dead;

    impl SpanExporter for Dead {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("connection refused".into()))
        }
    }

    fn a_span() -> Span {
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let trace =
            vedette_model::TraceId::of(&GroupName::parse("g").unwrap(), Epoch(7), &master, None);
        Span::new(trace, names::PROMOTE, "x", 1_000_000, 3_000_000)
            .to_node(&master, "REPLICAOF NO ONE")
            .failed(Some("é".repeat(TEXT_LIMIT)))
    }

    /// Answers once the other end of the channel is gone.
    #[derive(Debug)]
    struct Stuck(Mutex<Receiver<()>>);

    impl SpanExporter for Stuck {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let _gone = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_dropped_and_counted() {
        let (held, end) = channel();
        let line = Line::new(Stuck(Mutex::new(end)));
        let many = 3 * SPAN_QUEUE;
        line.take(vec![a_span(); many], "v");
        let tally = &line.tally;
        assert!(tally.waiting.load(Relaxed) <= SPAN_QUEUE);
        assert!(tally.lost.load(Relaxed) > 0 && tally.sent.load(Relaxed) == 0, "{tally:?}");
        drop(held);
        line.processor.shutdown_with_timeout(FLUSH_LIMIT).unwrap();
        let (sent, lost) = (tally.sent.load(Relaxed), tally.lost.load(Relaxed));
        assert_eq!(sent + lost, u64::try_from(many).unwrap());
    }

    #[tokio::test]
    async fn a_dead_collector_costs_one_warning_and_not_one_per_batch() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let watched = Watched::new(Dead, Arc::default());
        for _ in 0..5 {
            assert!(watched.tally.has_room());
            assert!(watched.export(vec![data(a_span(), "v")]).await.is_err());
        }
        assert_eq!(watched.tally.lost.load(Relaxed), 5);
        let text = lines.text();
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        assert!(text.contains("otlp_endpoint") && text.contains("connection refused"), "{text}");
    }

    #[test]
    fn a_span_is_handed_on_with_all_it_has() {
        let mut span = a_span();
        let trace = span.trace;
        span.marks.push(Mark::new(2_000_000, "asked"));
        span.links.push(7);
        let data = data(span, "orchestrator/o1");
        assert_eq!(data.span_context.trace_id().to_string(), trace.to_string());
        let header = trace.traceparent(true);
        assert_eq!(header, format!("00-{trace}-{}-01", data.parent_span_id));
        let took = data.end_time.duration_since(data.start_time).unwrap();
        assert_eq!(took, Duration::from_secs(2));
        assert_eq!((data.events.len(), data.links.len()), (1, 1));
        assert_eq!(data.status, Status::error("é".repeat(TEXT_LIMIT / 2)));
        let key = |key: &str| data.attributes.iter().any(|known| known.key.as_str() == key);
        assert!(key(names::SERVER_PORT) && key(names::SOURCE));
    }
}
