//! Where and with what a run was made.

use crate::redis_py::Python;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;
use vedette_harness::binary;
use vedette_model::Service;

/// Recorded with the numbers.
#[derive(Debug, Default, Serialize)]
pub struct Surroundings {
    /// Vedette's git revision; `+` behind it says that files had been changed.
    revision: String,
    /// Of the services and of the bench: they lie in one folder.
    profile: &'static str,
    rustc: String,
    redis: String,
    nats: String,
    /// Absent if there is none.
    valkey: Option<String>,
    /// Absent where nobody uses it.
    redis_py: Option<String>,
    kernel: String,
    processor: String,
    cores: usize,
    memory: String,
    /// Seconds since 1970.
    started: u64,
    /// The machine's load averages of 1, 5 and 15 minutes at the start: what else it does.
    load: String,
}

impl Surroundings {
    /// Looks. All that a run needs is looked for here, before it begins.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn look(python: Option<&Python>) -> Result<Self> {
        for service in [Service::Prober, Service::Voter, Service::Orchestrator, Service::Gateway] {
            binary::service(service)?;
        }
        Ok(Self {
            revision: revision(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
            rustc: said("rustc".as_ref(), &["--version"]).unwrap_or_default(),
            redis: said(&binary::redis()?, &["--version"])?,
            nats: said(&binary::nats()?, &["--version"])?,
            valkey: binary::valkey()?.and_then(|valkey| said(&valkey, &["--version"]).ok()),
            redis_py: python.map(|python| python.version.clone()),
            kernel: file("/proc/sys/kernel/osrelease"),
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory: field("/proc/meminfo", "MemTotal"),
            started: UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            load: load(),
        })
    }

    /// In a few lines.
    pub fn words(&self) -> String {
        let Self { revision, profile, redis, valkey, nats, redis_py, .. } = self;
        let Self { kernel, processor, cores, memory, load, rustc, .. } = self;
        let valkey = valkey.as_deref().unwrap_or("without Valkey");
        let redis_py = redis_py.as_deref().unwrap_or("not used");
        format!(
            "Vedette {revision} ({profile}; {rustc})\n{redis}\n{valkey}\n{nats}\nredis-py {redis_py}\n\
             Linux {kernel}, {cores} cores ({processor}), {memory}, load before {load}"
        )
    }
}

/// The machine's load averages.
pub fn load() -> String {
    file("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn revision() -> String {
    let git = |words: &[&str]| {
        let here = ["-C", env!("CARGO_MANIFEST_DIR")];
        said("git".as_ref(), &[&here, words].concat()).ok()
    };
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return env!("CARGO_PKG_VERSION").into();
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|list| !list.is_empty());
    revision + if changed { "+" } else { "" }
}

fn said(program: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| program.display().to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> String {
    let text = file(path);
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    found.unwrap_or_default()
}
