//! Standard output, which may be closed by whoever reads it, and the last word on standard error.

use anyhow::Error;
use std::io::{self, ErrorKind, Write};

/// Prints a line at once.
///
/// # Errors
/// The operating system's; [`is_closed`] tells a reader that went away.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints a text that brings its own line ends.
///
/// # Errors
/// The operating system's; [`is_closed`] tells a reader that went away.
pub fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Whether nobody reads our output any more, as after `| head`: no failure.
pub fn is_closed(error: &Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.into_iter().any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Says on standard error what is worth knowing besides the answer.
pub fn note(text: &str) {
    // Nothing is left to tell anybody if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "vedette: {text}");
}

/// Asks on standard error, on a line that the answer goes on.
pub fn ask(question: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(question.as_bytes()).and_then(|()| err.flush());
}

/// Says on standard error why it did not work.
pub fn complain(error: &Error) {
    note(&format!("{error:#}"));
}
