//! House rules as a test: what the tests under `tests/` look at.
//!
//! Every finding is a sentence that names the place, and all findings of a rule come at once.

mod metadata;

pub use metadata::{Arrow, Graph, Package};

use std::path::{Path, PathBuf};

/// A text file of the project.
pub struct Source {
    /// Its path from the workspace's root, with `/` between the parts.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl Source {
    /// The lines that are not tests, with their numbers from 1: everything before the module of
    /// tests, which the house puts last; nothing of a file that only tests compile.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let product = !self.is_test_code();
        self.lines().take_while(move |(_, line)| product && !line.starts_with("#[cfg(test)]"))
    }

    /// All lines with their numbers from 1, without whole-line comments.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| {
            let line = line.trim_start();
            !line.starts_with("//")
        })
    }

    fn is_test_code(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }
}

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the root").to_path_buf()
}

/// All text files of the project whose name has one of these endings, ordered by path; an ending
/// of `""` takes all. Folders that are built or hidden are passed over, except `.ci`.
pub fn sources(endings: &[&str]) -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy();
            endings.iter().any(|ending| name.ends_with(ending))
        })
        .filter_map(|path| {
            // What is not text is not judged.
            let text = std::fs::read_to_string(&path).ok()?;
            Some(Source { path: relative(&root, &path), text })
        })
        .collect()
}

/// Fails the test with all findings, one a line.
///
/// # Panics
/// If there is any.
pub fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}\n", findings.join("\n  "));
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{} cannot be listed: {error}", folder.display()));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let built = name == "target" || name == "node_modules";
            if !built && (!name.starts_with('.') || name == ".ci") {
                collect(&entry.path(), paths);
            }
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
