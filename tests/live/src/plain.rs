//! A client that knows Sentinel's protocol and nothing of Vedette, as the demo shows it.

use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vedette_harness::{Home, LIMIT, Process, System, now, within};
use vedette_model::NodeAddr;

/// A Python that has redis-py; without it redis-cli in a loop does the same.
const PYTHON: &str = "VEDETTE_DEMO_PYTHON";
const LOOP: &str = r#"
number=0
while :; do
    for port in $PORTS; do
        set -- $(redis-cli -p "$port" sentinel get-master-addr-by-name "$GROUP")
        [ $# -eq 2 ] || continue
        number=$((number + 1))
        redis-cli -h "$1" -p "$2" sadd written-by-redis-cli "$number" >/dev/null
    done
done
"#;

/// The Python that the environment names, if it does.
pub fn python() -> Option<PathBuf> {
    std::env::var_os(PYTHON).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The folder of the clients' programs, and of the lists of what they need.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// A client that writes without a pause and is told where by gateways.
pub struct PlainClient {
    process: Process,
    key: String,
}

impl PlainClient {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(system: &System, gateways: &[SocketAddr]) -> Result<Self> {
        let (name, program, arguments) = match python() {
            Some(python) => {
                let script = programs().join("sentinel.py").to_string_lossy().into_owned();
                ("redis-py", python, vec![script])
            }
            None => ("redis-cli", PathBuf::from("/bin/sh"), vec!["-c".into(), LOOP.into()]),
        };
        let listed = |at: &SocketAddr| at.to_string();
        let port = |at: &SocketAddr| at.port().to_string();
        let environment = vec![
            ("SENTINELS".into(), gateways.iter().map(listed).collect::<Vec<_>>().join(",")),
            ("PORTS".into(), gateways.iter().map(port).collect::<Vec<_>>().join(" ")),
            ("GROUP".into(), system.group().to_string()),
            ("NAME".into(), name.into()),
        ];
        let folder = system.path()?;
        let home = Home::loopback();
        let process = Process::spawn_at(home, environment, name, program, arguments, &folder)?;
        Ok(Self { process, key: format!("written-by-{name}") })
    }

    /// What it is.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Waits until what it wrote changes on this node, which takes writes from nobody else of its
    /// kind. When that was seen.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn writes_on(&self, system: &System, master: &NodeAddr) -> Result<Instant> {
        let node = system.node(master)?;
        let before: u64 = node.command(&["SCARD", &self.key]).await?;
        let what = format!("{} writes on {master}", self.name());
        let seen = within(LIMIT, &what, async || {
            let value: u64 = node.command(&["SCARD", &self.key]).await.ok()?;
            (value != before).then(now)
        })
        .await;
        seen.with_context(|| self.process.log())
    }
}
