//! A Jaeger to look at traces with, where there is one.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Process, within};

/// Names the program.
const VARIABLE: &str = "VEDETTE_JAEGER";
/// What it is called where it is installed.
const NAMES: [&str; 2] = ["jaeger", "jaeger-all-in-one"];
/// Where it listens unless told otherwise, version 1 and 2 alike: OTLP over gRPC, and its pages.
const OTLP: &str = "127.0.0.1:4317";
const PAGES: &str = "127.0.0.1:16686";

/// A running Jaeger, which keeps its traces in memory. Ends on drop.
pub struct Jaeger {
    _process: Process,
}

impl Jaeger {
    /// Starts it on its usual ports; its log goes into the folder.
    ///
    /// # Errors
    /// If there is none, or its ports are taken.
    pub async fn start(folder: &Path) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = || {
            let folders = std::env::split_paths(&path);
            folders.flat_map(|dir| NAMES.map(|name| dir.join(name))).find(|file| file.is_file())
        };
        let program = std::env::var_os(VARIABLE).map(PathBuf::from).or_else(installed);
        let program = program.with_context(|| {
            format!("no Jaeger: name the program in {VARIABLE}, or put it on the PATH as jaeger")
        })?;
        let process = Process::spawn("jaeger", program, Vec::new(), folder)?;
        for at in [OTLP, PAGES] {
            let what = format!("Jaeger listens on {at}");
            within(LIMIT, &what, async || TcpStream::connect(at).await.ok().map(drop)).await?;
        }
        Ok(Self { _process: process })
    }

    /// Where it takes spans.
    pub fn endpoint(&self) -> String {
        format!("http://{OTLP}")
    }

    /// Where it shows a trace.
    pub fn page(&self, trace: &str) -> String {
        format!("http://{PAGES}/trace/{trace}")
    }
}
