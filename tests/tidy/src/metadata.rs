//! The workspace as `cargo metadata` sees it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate of the workspace.
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder from the workspace's root.
    pub folder: String,
    /// What it names as dependencies in its manifest.
    pub arrows: Vec<Arrow>,
}

/// One dependency in a manifest.
pub struct Arrow {
    /// On whom.
    pub to: String,
    /// Whether only tests have it.
    pub dev: bool,
}

/// All crates: those of the workspace, and who reaches whom.
pub struct Graph {
    /// The workspace's own crates, ordered by name.
    pub packages: Vec<Package>,
    names: BTreeMap<String, String>,
    links: BTreeMap<String, Vec<String>>,
}

impl Graph {
    /// Asks cargo.
    ///
    /// # Panics
    /// If cargo does not answer.
    pub fn load() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(crate::root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        Self::parse(&metadata)
    }

    fn parse(metadata: &Value) -> Self {
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();
        let root = text(&metadata["workspace_root"]);
        let mut graph =
            Self { packages: Vec::new(), names: BTreeMap::new(), links: BTreeMap::new() };
        for package in list(&metadata["packages"]) {
            let id = text(&package["id"]);
            graph.names.insert(id.into(), text(&package["name"]).into());
            if members.contains(id) {
                graph.packages.push(parse_package(package, root));
            }
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let normal = list(&node["deps"])
                .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
                .map(|dep| text(&dep["pkg"]).to_string());
            graph.links.insert(text(&node["id"]).into(), normal.collect());
        }
        graph.packages.sort_by(|a, b| a.name.cmp(&b.name));
        graph
    }

    /// The way from one crate of the workspace to another crate over normal dependencies, if there
    /// is one: the crates passed, both ends included.
    pub fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let start = self.names.iter().find(|(_, name)| *name == from)?.0;
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = vec![start.as_str()];
        while let Some(id) = queue.pop() {
            if self.names[id] == to && id != start {
                let mut way = vec![self.names[id].clone()];
                let mut at = id;
                while let Some(&previous) = before.get(at) {
                    way.insert(0, self.names[previous].clone());
                    at = previous;
                }
                return Some(way);
            }
            for next in self.links.get(id).into_iter().flatten() {
                if next != start && !before.contains_key(next.as_str()) {
                    before.insert(next, id);
                    queue.push(next);
                }
            }
        }
        None
    }
}

fn parse_package(package: &Value, root: &str) -> Package {
    let manifest = text(&package["manifest_path"]);
    let folder = manifest.trim_start_matches(root).trim_matches('/');
    Package {
        name: text(&package["name"]).into(),
        folder: folder.trim_end_matches("/Cargo.toml").into(),
        arrows: list(&package["dependencies"])
            .map(|dep| Arrow { to: text(&dep["name"]).into(), dev: dep["kind"] == "dev" })
            .collect(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
