//! What a node has been asked to do.

use crate::Node;
use anyhow::Result;
use std::collections::BTreeMap;

/// Commands that only look. Everything else may change a node.
const LOOKS: &[&str] = &[
    "ping",
    "info",
    "role",
    "hello",
    "auth",
    "select",
    "client|setname",
    "client|setinfo",
    "client|id",
    "replconf",
    "psync",
    "command",
    "get",
    "exists",
    "mget",
];

/// Counts a node's commands from a moment on, by `INFO commandstats`.
pub struct Spy {
    before: BTreeMap<String, u64>,
}

impl Spy {
    /// From now on.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn on(node: &Node) -> Result<Self> {
        Ok(Self { before: calls(node).await? })
    }

    /// The commands carried out since, refused ones included, with how often; those that only look
    /// are left out.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn changes(&self, node: &Node) -> Result<BTreeMap<String, u64>> {
        let mut since = calls(node).await?;
        since.retain(|command, count| {
            *count -= self.before.get(command).copied().unwrap_or_default().min(*count);
            *count > 0 && !LOOKS.contains(&command.as_str())
        });
        Ok(since)
    }
}

/// `cmdstat_set:calls=1,…,rejected_calls=0,failed_calls=0`
async fn calls(node: &Node) -> Result<BTreeMap<String, u64>> {
    let count = |line: &str| {
        let numbers = line.split(',').filter_map(|part| part.split_once('='));
        let wanted = numbers.filter(|(key, _)| matches!(*key, "calls" | "rejected_calls"));
        wanted.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum()
    };
    let info = node.info("commandstats").await?;
    let commands = info.iter().filter_map(|(key, line)| {
        let name = key.strip_prefix("cmdstat_")?;
        Some((name.to_lowercase(), count(line)))
    });
    Ok(commands.collect())
}
