//! Logs to standard error or a file and, where a collector is configured, traces over OTLP.

mod export;
mod exporter;
mod http;
mod tag;
mod verb;

pub(crate) use export::{record, spans};
pub use verb::{leads_to, traced};

use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::life::Named;
use crate::tls::TlsError;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use tag::Tagged;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, info_span};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use vedette_model::Event;

/// Why logs or traces could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log filter is none.
    #[error("{0}")]
    Filter(String),
    /// The exporter could not be built.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(String),
    /// The authority's certificate cannot be read.
    #[error("telemetry.otlp_ca_file: {0}")]
    CaFile(TlsError),
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
pub struct Telemetry(());

/// Sets logs and traces up, once per process. Needs a tokio runtime if a collector is configured.
///
/// # Errors
/// [`TelemetryError`] names the key at fault.
pub fn init(
    named: &Named<'_>,
    log: &LogConfig,
    traces: &TelemetryConfig,
) -> Result<Telemetry, TelemetryError> {
    let lines = match &log.file {
        None => lines(named, log.format, io::stderr),
        Some(path) => {
            let file = Appended(path.clone());
            file.open().map_err(|source| TelemetryError::File { path: path.clone(), source })?;
            lines(named, log.format, file)
        }
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter(&log.level)?))
        .with(traces.otlp_endpoint.as_ref().map(|_| verb::layer()))
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    if let Some(endpoint) = &traces.otlp_endpoint {
        export::start(named, endpoint, traces)?;
    }
    Ok(Telemetry(()))
}

fn lines<S, W>(named: &Named<'_>, format: LogFormat, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = Tagged::new(to, format, named);
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
        export::finish().await;
    }
}

/// Gives log lines the happening that they belong to.
pub fn happening(event: &Event) -> Span {
    let Event { name, group, epoch, trace_id, .. } = event;
    info_span!("event", %name, %group, epoch = epoch.0, %trace_id)
}

/// The log filter. The bus library's own lines are left out unless asked for: the bus says the
/// same with from and to. The span of a verb is for the collector only. A bare word must be a level: the filter's own syntax would take a
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
        .parse(format!("{},{}=off{quiet}", parts.join(","), verb::TARGET))
        .map_err(|error| TelemetryError::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::Threads;
    use std::sync::{Arc, Mutex};

    /// What was logged. Clones share it.
    #[derive(Clone, Default)]
    pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        /// All lines.
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

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

    const VOTER: Named<'_> =
        Named { service: "voter", traced: "voter", id: "v1", threads: Threads::One };

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let kept = Lines::default();
        let layer = lines(&VOTER, format, kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        kept.text()
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
        let layer = lines(&VOTER, LogFormat::Text, Appended(path.clone()));
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
