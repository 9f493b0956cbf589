//! Who writes a log line, on each of them: spans do not reach the tasks that a service spawns.

use crate::config::LogFormat;
use crate::life::Named;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// Puts service and id into every line, and hands it on to `inner` in one piece.
#[derive(Debug, Clone)]
pub(super) struct Tagged<W> {
    inner: W,
    format: LogFormat,
    tag: String,
}

impl<W> Tagged<W> {
    /// Both names need no escape in either format.
    pub(super) fn new(inner: W, format: LogFormat, named: &Named<'_>) -> Self {
        let Named { service, id, .. } = named;
        let tag = match format {
            LogFormat::Text => format!(" service={service} id={id}"),
            LogFormat::Json => format!("\"service\":\"{service}\",\"id\":\"{id}\","),
        };
        Self { inner, format, tag }
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Tagged<W> {
    type Writer = Line<'a, W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { inner: self.inner.make_writer(), format: self.format, tag: &self.tag }
    }
}

/// The writer of one line, which the subscriber writes whole.
pub(super) struct Line<'a, W> {
    inner: W,
    format: LogFormat,
    tag: &'a str,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let at = match self.format {
            LogFormat::Text => line.strip_suffix(b"\n").unwrap_or(line).len(),
            LogFormat::Json => usize::from(line.starts_with(b"{")),
        };
        let (before, after) = line.split_at(at);
        self.inner.write_all(&[before, self.tag.as_bytes(), after].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
