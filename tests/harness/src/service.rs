//! One of Vedette's services as its own process.

use crate::{Home, Process, binary, logs};
use anyhow::Result;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use vedette_model::Service;

/// A service's process. It answers the verbs of a [`Process`] too.
pub struct ServiceProcess {
    process: Process,
    service: Service,
}

impl ServiceProcess {
    /// Starts a service's binary with a configuration file of its own. `keys` are lines of TOML
    /// that belong to no table.
    ///
    /// # Errors
    /// If the binary is missing or cannot be started.
    pub fn start(
        service: Service,
        id: &str,
        urls: &[String],
        keys: &[String],
        log_format: &str,
        folder: &Path,
    ) -> Result<Self> {
        let own = (Home::loopback(), Vec::new());
        Self::start_at(own, service, id, urls, keys, log_format, folder)
    }

    /// [`ServiceProcess::start`] with its home and more environment.
    ///
    /// # Errors
    /// If the binary is missing or cannot be started.
    pub fn start_at(
        (home, environment): (Home, Vec<(String, String)>),
        service: Service,
        id: &str,
        urls: &[String],
        keys: &[String],
        log_format: &str,
        folder: &Path,
    ) -> Result<Self> {
        let mut text = format!("id = \"{id}\"\nplace = \"{id}\"\n");
        for key in keys {
            writeln!(text, "{key}")?;
        }
        writeln!(text, "[nats]\nservers = {urls:?}")?;
        let level = std::env::var("VEDETTE_TEST_LOG").unwrap_or_else(|_| "info".into());
        writeln!(text, "[log]\nformat = {log_format:?}\nlevel = {level:?}")?;
        let file = folder.join(format!("{id}.toml"));
        std::fs::write(&file, text)?;
        // Some keys are secrets.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let arguments = vec!["--config".into(), file.to_string_lossy().into_owned()];
        let program = binary::service(service)?;
        let process = Process::spawn_at(home, environment, id, program, arguments, folder)?;
        Ok(Self { process, service })
    }

    /// What kind it is.
    pub const fn service(&self) -> Service {
        self.service
    }

    /// The NATS server that it connected to when it was started last.
    pub fn nats_server(&self) -> Option<String> {
        logs::nats_server(&self.log())
    }

    /// The lines of its log that nobody announced.
    pub fn complaints(&self, announced: &[String]) -> Vec<String> {
        let found = logs::complaints(&self.log(), announced);
        found.into_iter().map(|line| format!("{}: {line}", self.name())).collect()
    }
}

impl Deref for ServiceProcess {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for ServiceProcess {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
