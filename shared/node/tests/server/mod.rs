//! A real server with a folder of its own, and logins.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use tempfile::TempDir;
use vedette_harness::{Node, ports};
use vedette_model::{Credentials, NodeAddr, NodeView, Secret};

/// A node. It answers the verbs of a [`Node`] too.
pub struct Server {
    node: Node,
    pub folder: TempDir,
}

impl Server {
    /// Starts a server with these lines in its configuration file, and waits until it answers.
    pub async fn start(lines: &[&str]) -> Self {
        Self::start_as(None, None, lines).await
    }

    pub async fn start_as(
        master: Option<&NodeAddr>,
        password: Option<&str>,
        lines: &[&str],
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let node = Node::start("redis", folder.path(), master, password, &lines).await.unwrap();
        Self { node, folder }
    }

    /// Where it keeps its data.
    pub fn dump(&self) -> PathBuf {
        self.folder.path().join("redis/dump.rdb")
    }

    /// What its configuration file holds.
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.conf")).unwrap()
    }

    /// Carries out a command whose answer does not matter.
    pub async fn run(&self, words: &[&str]) {
        self.command::<redis::Value>(words).await.unwrap();
    }

    pub async fn view(&self) -> NodeView {
        let text: String = self.command(&["INFO"]).await.unwrap();
        vedette_node::info::parse(&text).unwrap()
    }

    /// How often each command was carried out or refused, as `INFO commandstats` prints it.
    pub async fn statistics(&self) -> String {
        self.command(&["INFO", "commandstats"]).await.unwrap()
    }
}

impl Deref for Server {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// An address that nobody listens on at this moment.
pub fn nobody() -> NodeAddr {
    NodeAddr::new("127.0.0.1", ports::free().unwrap()).unwrap()
}

pub fn password(text: &str) -> Credentials {
    Credentials::new(None, Secret::new(text.into()))
}

pub fn user(name: &str, text: &str) -> Credentials {
    Credentials { user: Some(name.into()), ..password(text) }
}
