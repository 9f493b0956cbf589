//! redis-py, a client that knows Sentinel's protocol and nothing of who is behind it.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use vedette_harness::{GROUP, LIMIT, now, within};
use vedette_live::{plain, workshop};
use vedette_model::NodeAddr;

/// A Python that has redis-py.
pub struct Python {
    program: PathBuf,
    /// The version of redis-py.
    pub version: String,
}

impl Python {
    /// The one that `VEDETTE_DEMO_PYTHON` names, or one of its own beside this program, which is
    /// fetched once.
    ///
    /// # Errors
    /// If there is none; with what to install.
    pub async fn find() -> Result<Self> {
        let program = match plain::python() {
            Some(program) => program,
            None => {
                let here = std::env::current_exe().context("this program's own path")?;
                let own = here.with_file_name("vedette-bench-python");
                workshop::python(&own, &plain::programs().join("requirements.txt")).await?
            }
        };
        let asks = ["-c", "import redis.sentinel; print(redis.__version__)"];
        let said = Command::new(&program).args(asks).kill_on_drop(true).output().await;
        let said = said.with_context(|| program.display().to_string())?;
        ensure!(
            said.status.success(),
            "{} has no redis-py: `pip install redis` there, or unset VEDETTE_DEMO_PYTHON\n{}",
            program.display(),
            String::from_utf8_lossy(&said.stderr)
        );
        Ok(Self { program, version: String::from_utf8_lossy(&said.stdout).trim().into() })
    }
}

/// One client that writes every 10 ms, and gives up a command after 500 ms.
pub struct RedisPy {
    _child: Child,
    written: Arc<Mutex<Vec<(Instant, String)>>>,
    reader: JoinHandle<()>,
}

impl RedisPy {
    /// Starts one that asks at these places. It keeps its complaints in a file of the folder.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(python: &Python, places: &[SocketAddr], folder: &Path) -> Result<Self> {
        let listed: Vec<String> = places.iter().map(ToString::to_string).collect();
        let complaints = std::fs::File::create(folder.join("redis-py.log"))?;
        let mut child = Command::new(&python.program)
            .arg(plain::programs().join("sentinel.py"))
            .env("SENTINELS", listed.join(","))
            .env("GROUP", GROUP)
            .env("NAME", "redis-py")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| python.program.display().to_string())?;
        let output = child.stdout.take().context("its output is ours")?;
        let written = Arc::<Mutex<Vec<(Instant, String)>>>::default();
        let log = Arc::clone(&written);
        let reader = tokio::spawn(async move {
            let (mut lines, mut place) = (BufReader::new(output).lines(), String::new());
            while let Ok(Some(line)) = lines.next_line().await {
                let at = now();
                if let Some(addr) = line.strip_prefix("on ") {
                    place = addr.replace(' ', ":");
                } else if line.starts_with("ack ") {
                    let mut written = log.lock().unwrap_or_else(PoisonError::into_inner);
                    written.push((at, place.clone()));
                }
            }
        });
        Ok(Self { _child: child, written, reader })
    }

    /// Waits until it writes on this node. When it had the first acknowledgement from there.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn writes_on(&self, node: &NodeAddr) -> Result<Instant> {
        let wanted = node.to_string();
        within(LIMIT, &format!("redis-py writes on {node}"), async || {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.iter().find(|(_, place)| *place == wanted).map(|(at, _)| *at)
        })
        .await
    }
}

impl Drop for RedisPy {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
