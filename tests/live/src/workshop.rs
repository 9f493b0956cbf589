//! Installs what programs in other languages need, from their package registries.
//!
//! Each goes into a folder of its own, which is kept between runs: no two tests share one.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// For one step of fetching and building.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// A Python that has the packages of the list.
///
/// # Errors
/// If it cannot be had; with what to install.
pub async fn python(folder: &Path, list: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let system = found("python3", "python3 python3-venv")?;
    let python = folder.join("venv/bin/python");
    if !python.is_file() {
        let venv = [PathBuf::from("-m"), "venv".into(), folder.join("venv")];
        install(&system, &venv, folder, "python3 python3-venv").await?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let mut pip: Vec<PathBuf> = pip.iter().map(PathBuf::from).collect();
    pip.push(list.into());
    install(&python, &pip, folder, "python3-venv").await?;
    Ok(python)
}

/// Node, after these programs and the packages that `sources` lists were put into the folder.
///
/// # Errors
/// If they cannot be had; with what to install.
pub async fn node(folder: &Path, sources: &Path, programs: &[&str]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (node, npm) = (found("node", "nodejs npm")?, found("npm", "nodejs npm")?);
    // Packages are found beside the program that imports them.
    for file in ["package.json", "package-lock.json"].iter().chain(programs) {
        std::fs::copy(sources.join(file), folder.join(file))
            .with_context(|| (*file).to_string())?;
    }
    let words = ["ci", "--no-audit", "--no-fund", "--loglevel=error"].map(PathBuf::from);
    install(&npm, &words, folder, "npm").await?;
    Ok(node)
}

/// A program in Go, built.
///
/// # Errors
/// If it cannot be built; with what to install.
pub async fn go(folder: &Path, sources: &Path, program: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let go = found("go", "golang-go")?;
    let program = folder.join(program);
    let words =
        ["build".into(), "-buildvcs=false".into(), "-o".into(), program.clone(), ".".into()];
    install(&go, &words, sources, "golang-go").await?;
    Ok(program)
}

fn found(program: &str, packages: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is missing: `apt-get install {packages}`"))
}

async fn install(program: &Path, words: &[PathBuf], at: &Path, packages: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).current_dir(at).kill_on_drop(true).stdin(Stdio::null());
    let what = format!("{} {words:?}", program.display());
    let output = tokio::time::timeout(INSTALL_LIMIT, command.output()).await;
    let output = output.with_context(|| format!("{what} does not end"))?.context(what.clone())?;
    if !output.status.success() {
        bail!(
            "{what} failed: check the network, and `apt-get install {packages}`\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
