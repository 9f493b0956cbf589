//! Configuration is only read: what a failover changed is not undone by starting everything again
//! with the files of before, nor by nodes whose own files cannot be written.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use vedette_harness::{LIMIT, Plan, System, pick, within};
use vedette_live::{events, finish, invariants, switched, tell, writing};
use vedette_model::{EventName, Fact, NodeAddr};

/// A file that is bound over itself and can only be read, as containers get theirs. Given back on
/// drop.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn bind(file: PathBuf) -> Result<Self> {
        mount(&["--bind"], &[&file, &file])?;
        let bound = Self(file);
        mount(&["-o", "remount,bind,ro"], &[&bound.0])?;
        Ok(bound)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg("-l").arg(&self.0).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted: umount it", self.0.display());
        }
    }
}

fn mount(options: &[&str], paths: &[&Path]) -> Result<()> {
    let status = Command::new("mount").args(options).args(paths).status().context("mount")?;
    ensure!(status.success(), "binding a file needs root");
    Ok(())
}

/// Waits until the recorded master is one, and all others follow it.
async fn is_whole(system: &System, what: &str) -> Result<NodeAddr> {
    let whole = async || {
        let master = system.ask_master().await.ok()?.master;
        for node in &system.nodes {
            let right = if *node.addr() == master {
                node.is_master().await
            } else {
                node.follows(&master).await
            };
            if !right {
                return None;
            }
        }
        Some(master)
    };
    within(LIMIT, what, whole).await
}

#[tokio::test]
async fn nodes_whose_configuration_cannot_be_written_have_the_right_roles_after_every_restart()
-> Result<()> {
    let mut system = System::start_servers(Plan::of_many_failovers()).await?;
    system.announce(&["sdown", "odown", "down", "REWRITE", "reboot", "returned", "leader"]);
    let folder = system.path()?;
    let bind = |n: usize| ReadOnly::bind(folder.join(format!("redis{n}.conf")));
    let bound = (1..=system.nodes.len()).map(bind).collect::<Result<Vec<_>>>()?;
    system.start_services()?;
    system.ready().await?;
    system.members_are_known().await?;
    let writer = writing(&system).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let told = events(&system, mark, EventName::RewriteFailed);
    tell(&told.first().context("it is told that a file could not be written")?.cause);
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&switch.master.master).await?;
    for at in 0..system.nodes.len() {
        // Its file still says what it was at first.
        system.nodes[at].kill9()?;
        system.nodes[at].start()?;
        system.nodes[at].answers().await?;
        let what = format!("all is right after a restart of {}", system.nodes[at].name());
        let master = is_whole(&system, &what).await?;
        writer.write_on(&master, vedette_harness::now(), LIMIT).await?;
    }
    writer.stop().await?;
    drop(bound);
    invariants(&system)?;
    system.finish().await
}

/// The files that a process has open for writing.
fn written_by(pid: u32) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let number = entry.file_name().to_string_lossy().into_owned();
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let Ok(info) = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")) else {
            continue;
        };
        let Some(flags) = info.lines().find_map(|line| line.strip_prefix("flags:")) else {
            bail!("no flags in {info}");
        };
        let reads_only = u32::from_str_radix(flags.trim(), 8)? & 0o3 == 0;
        if target.is_file() && !reads_only {
            files.push(target);
        }
    }
    Ok(files)
}

#[tokio::test]
async fn the_files_of_before_change_nothing_after_a_failover() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "voter", "prober", "takeover"]);
    let writer = writing(&system).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    let killed = system.nodes[0].kill9()?;
    let master = switched(&system, &writer, mark, &old, killed).await?.master;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&master.master).await?;
    for service in &system.services {
        let own = [service.log_path(), system.path()?.join(format!("{}.redb", service.name()))];
        let written = written_by(service.pid().context("it runs")?)?;
        let others: Vec<_> = written.iter().filter(|file| !own.contains(file)).collect();
        ensure!(others.is_empty(), "{} writes {others:?}", service.name());
    }

    // The groups' file still names the first master.
    let before = system.ask_master().await?;
    for service in &mut system.services {
        service.kill9()?;
    }
    let mark = system.watcher.mark();
    for service in &mut system.services {
        service.start()?;
    }
    for id in ["o1", "o2"] {
        let lives = |fact: &Fact| pick::heartbeat(fact).filter(|beat| beat.id == id).map(|_| ());
        system.watcher.wait(mark, LIMIT, &format!("{id} lives again"), lives).await?;
    }
    let after = is_whole(&system, "all is as it was").await?;
    let again = system.ask_master().await?;
    ensure!(after == before.master && again.epoch == before.epoch, "{before:?} and {again:?}");
    finish(system, writer, &master.master).await
}
