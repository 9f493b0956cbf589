//! Nodes whose disks do not take a save any more.

use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use vedette_harness::{LIMIT, Node, Plan, System, now, within};
use vedette_live::{event, events, finish, ms, nothing_happens, switched, tell, writing};
use vedette_model::EventName;

/// `INFO` comes every 10 s; before that a disk that only a save has found broken is not known.
const TOLD_WITHIN_MS: f64 = 5_000.0;

/// A file system of 64 MiB in the place of a node's folder. Given back on drop.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: PathBuf) -> Result<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(&folder)
            .status();
        ensure!(mount.context("mount")?.success(), "mounting a tmpfs needs root");
        Ok(Self(folder))
    }

    /// Takes the last byte.
    fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.0.join("fill"))?;
        loop {
            match file.write_all(&[1; 1 << 16]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("fill"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while the node still runs there.
        let gone = Command::new("umount").arg("-l").arg(&self.0).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted: umount it", self.0.display());
        }
    }
}

/// A system whose nodes have small disks, in their order.
async fn on_small_disks() -> Result<(Vec<Disk>, System)> {
    let mut system = System::start_servers(Plan::default()).await?;
    let (folder, mut disks) = (system.path()?, Vec::new());
    for node in &mut system.nodes {
        node.kill9()?;
        disks.push(Disk::mount(folder.join(node.name()))?);
        node.start()?;
        node.answers().await?;
    }
    system.all_follow(&system.master()).await?;
    system.start_services()?;
    system.ready().await?;
    Ok((disks, system))
}

/// Whether its last save ended so; lets it save again if not.
async fn saved(node: &Node, outcome: &str) -> Option<()> {
    let info = node.info("persistence").await.ok()?;
    let ended = info.get("rdb_bgsave_in_progress")? == "0";
    if ended && info.get("rdb_last_bgsave_status")? == outcome {
        return Some(());
    }
    // Whoever is demoted meanwhile cuts its clients off.
    let _: Result<String> = node.command(&["BGSAVE"]).await;
    None
}

/// Fills the node's disk and lets it find out.
async fn break_disk(disk: &Disk, node: &Node) -> Result<()> {
    let _: String = node.command(&["CONFIG", "SET", "save", "3600 1"]).await?;
    disk.fill()?;
    within(LIMIT, "its save has failed", async || saved(node, "err").await).await
}

/// Somebody makes room. A replica that could not write a command to its disk has ended: that is what
/// `replica-ignore-disk-write-errors no` means.
async fn mend(disk: &Disk, node: &mut Node) -> Result<()> {
    disk.empty()?;
    within(LIMIT, "it saves again", async || {
        if node.collect().is_some() {
            node.start().ok()?;
        }
        saved(node, "ok").await
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
    let (disks, mut system) = on_small_disks().await?;
    system.announce(&["write-impaired", "sdown", "odown", "down", "reboot", "leader"]);
    let (old, mark) = (system.master(), system.watcher.mark());
    // The better one, but for its disk.
    let preferred = &system.nodes[1];
    let _: String = preferred.command(&["CONFIG", "SET", "replica-priority", "1"]).await?;
    break_disk(&disks[1], preferred).await?;
    let its = about(preferred, false);
    event(&system, mark, EventName::WriteImpaired, |e| e.payload.starts_with(&its)).await?;
    let writer = writing(&system).await?;

    let mark = system.watcher.mark();
    let broken = now();
    break_disk(&disks[0], &system.nodes[0]).await?;
    let its = about(&system.nodes[0], true);
    let impaired = |e: &vedette_model::Event| e.payload.starts_with(&its);
    let (told, _) = event(&system, mark, EventName::WriteImpaired, impaired).await?;
    ensure!(ms(broken, told) <= TOLD_WITHIN_MS, "told after {:.0} ms", ms(broken, told));
    let switch = switched(&system, &writer, mark, &old, broken).await?;
    let new = switch.master.master;
    tell(&format!(
        "from the full disk: told after {:.0} ms, switched after {:.0} ms",
        ms(broken, told),
        ms(broken, switch.announced)
    ));
    ensure!(new == *system.nodes[2].addr(), "{new} is no better");

    for node in [0, 1] {
        mend(&disks[node], &mut system.nodes[node]).await?;
    }
    system.all_follow(&new).await?;
    drop(disks);
    finish(system, writer, &new).await
}

#[tokio::test]
async fn if_no_other_is_better_or_writes_are_still_taken_it_is_only_told() -> Result<()> {
    let (disks, mut system) = on_small_disks().await?;
    system.announce(&["write-impaired"]);
    let mark = system.watcher.mark();
    let master = &system.nodes[0];
    let stop = "stop-writes-on-bgsave-error";
    let _: String = master.command(&["CONFIG", "SET", stop, "no"]).await?;
    break_disk(&disks[0], master).await?;
    let its = about(master, true);
    let impaired = |e: &vedette_model::Event| e.payload.starts_with(&its);
    event(&system, mark, EventName::WriteImpaired, impaired).await?;
    let _: String = master.command(&["SET", "taken", "1"]).await?;
    nothing_happens(&system, mark, Duration::from_secs(3)).await?;

    for (disk, replica) in disks[1..].iter().zip(&system.nodes[1..]) {
        break_disk(disk, replica).await?;
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
    mend(&disks[0], &mut system.nodes[0]).await?;
    let _: String = system.nodes[0].command(&["SET", "taken", "2"]).await?;
    drop(disks);
    system.finish().await
}
