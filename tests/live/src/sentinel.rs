//! Real Sentinels.

use anyhow::Result;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use vedette_harness::{Process, ports};
use vedette_model::{GroupName, NodeAddr};

/// What a Sentinel is told to watch.
pub struct Watch {
    /// The master's name.
    pub group: GroupName,
    /// Where it is.
    pub master: NodeAddr,
    /// Its `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// redis-server or valkey-server.
    pub program: PathBuf,
}

/// A Sentinel's process. It answers the verbs of a [`Process`] too.
pub struct Sentinel {
    process: Process,
    /// Where it answers.
    pub at: SocketAddr,
}

impl Sentinel {
    /// Starts one with a quorum of two in a folder of its own, which is made, with these lines
    /// besides.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(watch: &Watch, folder: &Path, lines: &str) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let at = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let Watch { group, master, down_after_ms, program } = watch;
        let text = format!(
            "port {}\nbind 127.0.0.1\nsentinel monitor {group} {} {} 2\n\
             sentinel down-after-milliseconds {group} {down_after_ms}\n\
             sentinel failover-timeout {group} 10000\n{lines}\n",
            at.port(),
            master.host(),
            master.port()
        );
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text)?;
        let arguments = vec![file.to_string_lossy().into_owned(), "--sentinel".into()];
        let process = Process::spawn("sentinel", program.clone(), arguments, folder)?;
        Ok(Self { process, at })
    }
}

impl Deref for Sentinel {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Sentinel {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
