//! One known bug.

use crate::net::Net;
use anyhow::{Context, Result, bail, ensure};
use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;
use std::path::Path;

/// One known bug, as its file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// The name of its file.
    #[serde(skip)]
    pub name: String,
    /// The bug in one sentence.
    pub bug: String,
    /// What would come of it: the invariant or the promise of the protocol that breaks.
    pub breaks: String,
    /// The source file, from the workspace's root.
    pub file: String,
    /// What stands there, exactly once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
    /// The nets that are tried on it.
    pub nets: Vec<Net>,
    /// Why one of them cannot see it.
    pub unseen: Option<String>,
}

impl Mutant {
    fn load(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let read = Figment::from(Toml::file_exact(path)).extract::<Self>();
        let mut mutant = read.with_context(|| format!("mutant {name} cannot be read"))?;
        ensure!(!mutant.nets.is_empty(), "mutant {name} names no net");
        ensure!(mutant.find != mutant.replace, "mutant {name} changes nothing");
        mutant.nets.sort_unstable();
        mutant.name = name;
        Ok(mutant)
    }

    /// The source with the bug in it.
    ///
    /// # Errors
    /// If the place of the bug is not found exactly once: the sources have moved on, and the mutant
    /// must follow them.
    pub fn apply(&self, source: &str) -> Result<String> {
        let Self { name, file, find, replace, .. } = self;
        match source.matches(find.as_str()).count() {
            1 => Ok(source.replacen(find.as_str(), replace, 1)),
            count => bail!("mutant {name} finds its place in {file} {count} times, not once"),
        }
    }
}

/// All mutants, by name.
///
/// # Errors
/// If one cannot be read.
pub fn all() -> Result<Vec<Mutant>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let mut mutants = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        mutants.push(Mutant::load(&entry?.path())?);
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}
