//! The `vedette` command, as a person uses it.

use crate::{LIMIT, System, binary};
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use tokio::process::Command;

impl System {
    /// Runs `vedette` with these words against the system's NATS servers. Returns what it printed
    /// on standard output, whatever its exit code; `status` uses that to say that all is not well.
    ///
    /// # Errors
    /// If it cannot be run, does not end in time, or prints nothing; with its complaints.
    pub async fn vedette(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(binary::command_line()?);
        for url in self.urls() {
            command.args(["--nats", &url]);
        }
        command.args(words).stdin(Stdio::null()).current_dir(self.path()?).kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("VEDETTE_") {
                command.env_remove(variable);
            }
        }
        let what = format!("vedette {}", words.join(" "));
        let output = tokio::time::timeout(LIMIT, command.output()).await;
        let output =
            output.with_context(|| format!("{what} did not end"))?.context(what.clone())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(!text.is_empty(), "{what} ended with {} and said: {complaints}", output.status);
        Ok(text)
    }
}
