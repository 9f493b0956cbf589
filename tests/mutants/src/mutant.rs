//! One known bug.

use crate::net::Net;
use crate::tree;
use anyhow::{Context, Result, bail, ensure};
use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// The folder it is in, from the workspace's root. Not the file: files are divided more often
    /// than what stands in them changes.
    pub under: String,
    /// What stands in one of the sources there, exactly once.
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

    /// The file that the bug belongs into, and what it holds with the bug in it.
    ///
    /// # Errors
    /// If the place of the bug is not found exactly once: the sources have moved on, and the mutant
    /// must follow them.
    pub fn apply(&self, root: &Path) -> Result<(PathBuf, String)> {
        let Self { name, under, find, replace, .. } = self;
        let mut places = Vec::new();
        for path in product(&root.join(under))? {
            let source = fs::read_to_string(&path)?;
            let count = source.matches(find.as_str()).count();
            places.extend(std::iter::repeat_n((path, source), count));
        }
        let count = places.len();
        match places.pop() {
            Some((path, source)) if count == 1 => Ok((path, source.replacen(find, replace, 1))),
            Some(_) | None => {
                bail!("mutant {name} finds its place in {under} {count} times, not once: {find}")
            }
        }
    }
}

/// The sources below the folder that are not tests.
fn product(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = tree::files(folder)?.into_iter().filter(|path| {
        let test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        path.extension().is_some_and(|ending| ending == "rs") && !test
    });
    Ok(files.map(|path| folder.join(path)).collect())
}

/// All mutants, by name.
///
/// # Errors
/// If one cannot be read.
pub fn all() -> Result<Vec<Mutant>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let mut mutants = Vec::new();
    for entry in fs::read_dir(&folder)? {
        mutants.push(Mutant::load(&entry?.path())?);
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}
