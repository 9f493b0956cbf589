//! Every verb's answer as JSON.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use vedette_harness::{GROUP, LIMIT, Node, Plan, System, binary, within};

/// Verbs that give no answer: they run until they are ended, or print for a shell.
const OTHERS: [&str; 5] = ["up", "watch", "sentinel", "completions", "help"];

/// How each verb is called, the second group's node and two files given.
fn call(verb: &str, replica: &str, node: &str, files: [&str; 2]) -> Option<Vec<String>> {
    let [groups, sentinel] = files;
    let words: &[&str] = match verb {
        "status" | "history" | "groups" | "nodes" | "doctor" | "survive" | "roster" | "notify" => {
            &[]
        }
        "explain" | "master" | "resume" | "release" | "reset" | "failover" => &[GROUP],
        "pause" => &[GROUP, "--reason", "lunch", "--for", "30m"],
        "set" => &[GROUP, "hold_off_ms=500"],
        "monitor" => &["second", node, "--quorum", "2"],
        "remove" => &["second"],
        "apply" => &[groups, "--dry-run"],
        "switchover" => &[GROUP, "--dry-run"],
        "drain" => &[replica],
        "import" => &[sentinel],
        _ => return None,
    };
    let words = [verb].into_iter().chain(words.iter().copied()).chain(["--json"]);
    Some(words.map(String::from).collect())
}

/// The verbs, as the command itself lists them.
async fn verbs(system: &System) -> Result<Vec<String>> {
    let help = system.vedette(&["--help"]).await?;
    let list = help.split_once("Commands:\n").context("it lists its verbs")?.1;
    let list = list.lines().take_while(|line| !line.is_empty());
    // What is said of a verb may go on in a line that is further in.
    let list = list.filter(|line| !line.starts_with("   "));
    Ok(list.filter_map(|line| line.split_whitespace().next().map(String::from)).collect())
}

/// One text, or one on each line.
fn parsed(said: &str) -> Result<Vec<Value>> {
    if let Ok(whole) = serde_json::from_str(said) {
        return Ok(vec![whole]);
    }
    said.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test]
async fn every_verb_answers_in_json() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["no replica", "sdown", "odown", "down", "failover"]);
    let folder = system.path()?.join("second");
    std::fs::create_dir(&folder)?;
    let second = Node::start_group(0, &folder, None).await?;
    let (replica, node) = (system.nodes[1].addr().to_string(), second[0].addr().to_string());
    let (groups, sentinel) = (folder.join("groups.toml"), folder.join("sentinel.conf"));
    let master = system.master();
    let text = format!("[[group]]\nname = \"{GROUP}\"\nmaster = \"{master}\"\nquorum = 2\n");
    std::fs::write(&groups, text)?;
    let (host, port) = (master.host(), master.port());
    std::fs::write(&sentinel, format!("sentinel monitor orders {host} {port} 2\n"))?;
    let files = [groups, sentinel].map(|path| path.to_string_lossy().into_owned());
    let files = [files[0].as_str(), &files[1]];

    // Something that can be explained.
    system.vedette(&["switchover", GROUP]).await?;
    within(LIMIT, "the switchover is kept", async || {
        system
            .vedette(&["explain", GROUP])
            .await
            .is_ok_and(|said| said.contains("switchover: "))
            .then_some(())
    })
    .await?;
    let all = verbs(&system).await?;
    ensure!(all.len() > 20, "{all:?}");
    for verb in all.iter().filter(|verb| !OTHERS.contains(&verb.as_str())) {
        let Some(words) = call(verb, &replica, &node, files) else {
            bail!("`vedette {verb}` is new: say here how it is called");
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = system.vedette(&words).await?;
        let values = parsed(&said).with_context(|| format!("{words:?} said:\n{said}"))?;
        ensure!(!values.is_empty(), "{words:?} said nothing");
        if verb == "pause" {
            let groups = system.vedette(&["groups", "--json"]).await?;
            let left = parsed(&groups)?[0][0]["pause_ends_within_ms"].as_u64();
            ensure!(left.is_some_and(|ms| ms > 1_700_000), "{groups}");
        }
    }
    let line = first_line_of_watch(&system).await?;
    ensure!(serde_json::from_str::<Value>(&line)?["sender"].is_string(), "{line}");
    system.finish().await
}

async fn first_line_of_watch(system: &System) -> Result<String> {
    let mut command = Command::new(binary::command_line()?);
    command.args(["watch", "--json", "--nats", &system.urls()[0]]);
    let mut watch = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let out = watch.stdout.take().context("it has a standard output")?;
    let line = tokio::time::timeout(LIMIT, BufReader::new(out).lines().next_line()).await??;
    line.context("it ended without a line")
}
