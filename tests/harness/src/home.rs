//! Where a process lives.

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// An address to listen on, and the network namespace it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    host: String,
    namespace: Option<String>,
}

impl Home {
    /// This machine's loopback address.
    pub fn loopback() -> Self {
        Self { host: "127.0.0.1".into(), namespace: None }
    }

    /// A network namespace made by [`crate::Network`].
    pub(crate) const fn of(namespace: String, host: String) -> Self {
        Self { host, namespace: Some(namespace) }
    }

    /// The address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A command that will run here.
    pub fn command(&self, program: &Path) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(program) };
        // It becomes the program: same process id, nothing in between.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// Moves the calling thread here. Threads that it starts from now on live here too.
    ///
    /// # Errors
    /// If the namespace is gone, or without the right to.
    pub fn enter(&self) -> Result<()> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let file = File::open(Path::new("/run/netns").join(namespace))
            .with_context(|| format!("the network namespace {namespace}"))?;
        setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {namespace}"))
    }
}
