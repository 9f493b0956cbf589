//! Prints or writes the translation.

use super::conf::Conf;
use super::lines::{Lines, Refused};
use super::native::{File, files};
use crate::out;
use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use serde_json::json;
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// `vedette import`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// A `sentinel.conf`; it is only read
    pub file: PathBuf,
    /// Write the files into this folder instead; none of them may be there already
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The files' names and texts as JSON, or only the names with --out
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  vedette import /etc/redis/sentinel.conf              prints the files, without passwords
  vedette import /etc/redis/sentinel.conf --out new    writes them, passwords in files of their own

Each directive that is done otherwise is named in a comment. Exit code 1 if a line cannot be followed;
each of those is named with the reason.";

/// Every line that cannot be followed, in Sentinel's manner.
#[derive(Debug)]
pub struct Fatal(pub Vec<Refused>);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n*** FATAL CONFIG FILE ERROR (Vedette {}) ***", env!("CARGO_PKG_VERSION"))?;
        for refused in &self.0 {
            write!(f, "\nReading the configuration file {refused}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fatal {}

/// Reads and understands a file, with the options of a command line.
///
/// # Errors
/// A file that cannot be read, or [`Fatal`].
pub fn understand(path: &Path, options: &[String]) -> anyhow::Result<Conf> {
    let read = Lines::read(path);
    let mut lines =
        read.with_context(|| format!("Fatal error, can't open config file '{}'", path.display()))?;
    lines.options(options);
    Ok(Conf::parse(lines).map_err(Fatal)?)
}

/// Prints the files, or writes them.
///
/// # Errors
/// What cannot be read, followed or written.
pub fn run(wanted: &Import) -> anyhow::Result<()> {
    let conf = understand(&wanted.file, &[])?;
    let files = files(&conf);
    match &wanted.out {
        Some(folder) => {
            let paths = write(folder, &files)?;
            if wanted.json {
                return out::line(&json!({ "written": paths }).to_string());
            }
            paths.iter().try_for_each(|path| out::line(&path.display().to_string()))
        }
        None if wanted.json => {
            // A password is not printed.
            let shown = files.iter().map(|file| {
                let text = Some(&file.text).filter(|_| !file.secret);
                json!({ "name": file.name, "secret": file.secret, "text": text })
            });
            let all = json!({ "files": shown.collect::<Vec<_>>() });
            out::line(&serde_json::to_string_pretty(&all)?)
        }
        None => out::text(&printed(&files)),
    }
}

fn printed(files: &[File]) -> String {
    let mut text = String::new();
    for file in files {
        text += &format!("# ---- {} ----\n", file.name);
        text += if file.secret {
            "# A password and nothing else, chmod 600: not printed; --out writes it.\n"
        } else {
            &file.text
        };
        text += "\n";
    }
    text
}

/// Where each was written.
fn write(folder: &Path, files: &[File]) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    for file in files {
        let path = folder.join(&file.name);
        let mode = if file.secret { 0o600 } else { 0o644 };
        let opened =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("{} is there already: name another folder with --out", path.display())
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be made", path.display()));
            }
        };
        opened
            .write_all(file.text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        written.push(path);
    }
    Ok(written)
}
