//! The verbs that show what there is, as a person runs them.

use anyhow::{Result, ensure};
use vedette_harness::{GROUP, LIMIT, Plan, System, within};

/// Waits until a verb's output holds these words; it may fail, as one that found something does.
async fn says(system: &System, verb: &[&str], words: &[&str]) -> Result<()> {
    let what = format!("vedette {} says {words:?}", verb.join(" "));
    within(LIMIT, &what, async || {
        let said = match system.vedette(verb).await {
            Ok(said) => said,
            Err(error) => format!("{error:#}"),
        };
        words.iter().all(|words| said.contains(words)).then_some(())
    })
    .await
}

#[tokio::test]
async fn groups_and_nodes_are_shown_as_they_are() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "link"]);
    let (master, replica) = (system.master().to_string(), system.nodes[2].addr().to_string());
    says(&system, &["groups"], &[GROUP, &master, "  ok\n"]).await?;
    says(&system, &["nodes", GROUP], &[&master, &replica, "replica  up"]).await?;
    system.nodes[2].kill9()?;
    says(&system, &["groups"], &["1 replicas down"]).await?;
    says(&system, &["nodes", "--json"], &["does not answer here: connection refused", "down for"])
        .await?;
    let unknown = system.vedette(&["nodes", "nobody"]).await;
    ensure!(unknown.is_err_and(|error| format!("{error:#}").contains("`vedette groups` lists")));
    system.finish().await
}

#[tokio::test]
async fn what_will_hurt_one_day_is_found_at_the_nodes() -> Result<()> {
    let plan = Plan { password: Some("secret".into()), ..Plan::default() };
    let mut system = System::start(plan).await?;
    system.announce(&["auth-error", "NOPERM", "denied", "login"]);
    says(
        &system,
        &["doctor"],
        &[
            "keeps nothing on its disk",
            "min-replicas-to-write 1",
            "facts of the last 90 days",
            "note",
            "sync_interval",
            "1 copies on disk",
        ],
    )
    .await?;
    let node = &system.nodes[2];
    let rights = ["-replicaof", "-client|pause", "-client|list"];
    let _: String = node.command(&[&["ACL", "SETUSER", "default"], &rights[..]].concat()).await?;
    let _: String = node.command(&["CONFIG", "SET", "masterauth", ""]).await?;
    says(
        &system,
        &["doctor"],
        &[
            "ERROR",
            "may not send REPLICAOF NO ONE",
            "it has a password and no masterauth",
            "without it there is no planned switchover",
            "without it an external-change does not say who did it",
        ],
    )
    .await?;
    let rights = ["+replicaof", "+client|pause", "+client|list"];
    let _: String = node.command(&[&["ACL", "SETUSER", "default"], &rights[..]].concat()).await?;
    let _: String = node.command(&["CONFIG", "SET", "masterauth", "secret"]).await?;
    says(&system, &["survive"], &["voter/v1", "weaker", "host "]).await?;
    let completions = system.vedette(&["completions", "bash"]).await?;
    ensure!(completions.contains("_vedette()"), "{completions}");
    system.finish().await
}
