//! Nodes whose disks do not take a save any more.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vedette_harness::{LIMIT, Node, Plan, System, now, within};
use vedette_live::{event, events, finish, ms, nothing_happens, switched, tell, writing};
use vedette_model::EventName;

/// `INFO` comes every 10 s; before that a disk that only a save has found broken is not known.
const TOLD_WITHIN_MS: f64 = 5_000.0;

/// Takes the node's folder away and lets it find out.
async fn break_disk(system: &System, node: &Node) -> Result<()> {
    let _: String = node.command(&["CONFIG", "SET", "save", "3600 1"]).await?;
    std::fs::remove_dir_all(system.path()?.join(node.name()))?;
    let _: String = node.command(&["BGSAVE"]).await?;
    within(LIMIT, "its save has failed", async || {
        let info = node.info("persistence").await.ok()?;
        (info.get("rdb_last_bgsave_status")? == "err").then_some(())
    })
    .await
}

/// The beginning of an event's payload.
fn about(node: &Node, is_master: bool) -> String {
    let addr = node.addr();
    if is_master { format!("master orders.eu {} ", addr.host()) } else { format!("slave {addr} ") }
}

async fn refuses_writes(node: &Node) -> Result<()> {
    let set: Result<String> = node.command(&["SET", "refused", "1"]).await;
    let refusal = format!("{:#}", set.err().context("it took a write")?);
    ensure!(refusal.contains("MISCONF"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn a_master_that_refuses_writes_gives_way_to_a_replica_whose_disk_works() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["write-impaired", "sdown", "odown", "down", "reboot", "leader"]);
    let (old, mark) = (system.master(), system.watcher.mark());
    // The better one, but for its disk.
    let preferred = &system.nodes[1];
    let _: String = preferred.command(&["CONFIG", "SET", "replica-priority", "1"]).await?;
    break_disk(&system, preferred).await?;
    let its = about(preferred, false);
    event(&system, mark, EventName::WriteImpaired, |e| e.payload.starts_with(&its)).await?;
    let writer = writing(&system).await?;

    let mark = system.watcher.mark();
    break_disk(&system, &system.nodes[0]).await?;
    let broken = now();
    let its = about(&system.nodes[0], true);
    let impaired = |e: &vedette_model::Event| e.payload.starts_with(&its);
    let (told, _) = event(&system, mark, EventName::WriteImpaired, impaired).await?;
    ensure!(ms(broken, told) <= TOLD_WITHIN_MS, "told after {:.0} ms", ms(broken, told));
    let switch = switched(&system, &writer, mark, &old, broken).await?;
    let new = switch.master.master;
    tell(&format!(
        "from the failed save: told after {:.0} ms, switched after {:.0} ms",
        ms(broken, told),
        ms(broken, switch.announced)
    ));
    ensure!(new == *system.nodes[2].addr(), "{new} is no better");

    // Somebody mends both.
    for node in [0, 1] {
        system.nodes[node].kill9()?;
        std::fs::create_dir_all(system.path()?.join(system.nodes[node].name()))?;
        system.nodes[node].start()?;
        system.nodes[node].answers().await?;
    }
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

#[tokio::test]
async fn if_no_other_is_better_or_writes_are_still_taken_it_is_only_told() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["write-impaired"]);
    let mark = system.watcher.mark();
    let master = &system.nodes[0];
    let stop = "stop-writes-on-bgsave-error";
    let _: String = master.command(&["CONFIG", "SET", stop, "no"]).await?;
    break_disk(&system, master).await?;
    let its = about(master, true);
    let impaired = |e: &vedette_model::Event| e.payload.starts_with(&its);
    event(&system, mark, EventName::WriteImpaired, impaired).await?;
    let _: String = master.command(&["SET", "taken", "1"]).await?;
    nothing_happens(&system, mark, Duration::from_secs(3)).await?;

    for replica in &system.nodes[1..] {
        break_disk(&system, replica).await?;
        let its = about(replica, false);
        let impaired = |e: &vedette_model::Event| e.payload.starts_with(&its);
        event(&system, mark, EventName::WriteImpaired, impaired).await?;
    }
    let _: String = master.command(&["CONFIG", "SET", stop, "yes"]).await?;
    refuses_writes(master).await?;
    nothing_happens(&system, mark, Duration::from_secs(5)).await?;
    let told = events(&system, mark, EventName::WriteImpaired);
    let of_master = told.iter().filter(|event| event.payload.starts_with(&its)).count();
    ensure!(of_master == 3, "each of three probers tells it once, and not {of_master} times");
    refuses_writes(master).await?;
    system.finish().await
}
