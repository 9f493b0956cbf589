//! A copy of the sources that may be spoilt.

use crate::mutant::Mutant;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// The sources as they were when they were read: a run takes long, and somebody may go on working.
#[derive(Debug)]
pub struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    /// Reads all of the workspace.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read() -> Result<Self> {
        let root = root();
        let read = |path: PathBuf| {
            let from = root.join(&path);
            let bytes = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
            Ok((path, bytes))
        };
        files(&root)?.into_iter().map(read).collect::<Result<_>>().map(Self)
    }
}

/// A copy of the workspace, with a target folder of its own beside it.
#[derive(Debug)]
pub struct Tree<'a> {
    from: &'a Snapshot,
    /// The copy.
    pub sources: PathBuf,
    /// Where it is built.
    pub target: PathBuf,
}

impl<'a> Tree<'a> {
    /// The copy with this number.
    pub fn new(from: &'a Snapshot, number: usize) -> Self {
        let own = root().join("target/mutants").join(number.to_string());
        Self { from, sources: own.join("sources"), target: own.join("target") }
    }

    /// Makes the copy the same as the sources. A file that is the same already is not written, so
    /// that what was built from it stays built; one that the sources do not have is removed, such
    /// as what a failing test left behind.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn restore(&self) -> Result<()> {
        for (path, bytes) in &self.from.0 {
            let path = self.sources.join(path);
            if fs::read(&path).ok().as_ref() != Some(bytes) {
                write(&path, bytes)?;
            }
        }
        for path in files(&self.sources)? {
            if !self.from.0.contains_key(&path) {
                fs::remove_file(self.sources.join(path))?;
            }
        }
        Ok(())
    }

    /// Puts the bug into the copy.
    ///
    /// # Errors
    /// If it finds no place there, or more than one.
    pub fn spoil(&self, mutant: &Mutant) -> Result<()> {
        let (path, source) = mutant.apply(&self.sources)?;
        write(&path, source.as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// All files below the folder but those that are built, and hidden ones except cargo's own.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        let Ok(entries) = fs::read_dir(&at) else { continue };
        for entry in entries {
            let (path, kind) = entry.and_then(|e| Ok((e.path(), e.file_type()?)))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if kind.is_file() {
                found.push(path.strip_prefix(folder)?.to_path_buf());
            } else if kind.is_dir()
                && name != "target"
                && (!name.starts_with('.') || name == ".cargo")
            {
                open.push(path);
            }
        }
    }
    Ok(found)
}
