//! Orchestrators that were started with another master than the recorded one.

use anyhow::{Result, ensure};
use std::time::Duration;
use vedette_harness::{GROUP, LIMIT, Node, Plan, Spy, System, pick, stays};
use vedette_live::{compare, event, events, finish, switched, tell, writing};
use vedette_model::{EventName, Fact, NodeAddr, Revision};

fn declaration(master: &NodeAddr) -> String {
    format!("[[group]]\nname = \"{GROUP}\"\nmaster = \"{master}\"\nquorum = 2\n")
}

async fn lives(system: &System, mark: usize, id: &str) -> Result<()> {
    let lives = |fact: &Fact| pick::heartbeat(fact).filter(|beat| beat.id == id).map(|_| ());
    system.watcher.wait(mark, LIMIT, &format!("{id} lives"), lives).await?;
    Ok(())
}

fn newest_revision(system: &System) -> Option<Revision> {
    let seen = system.watcher.since(0);
    seen.iter().filter_map(|seen| pick::record(&seen.fact).map(|record| record.revision)).max()
}

#[tokio::test]
async fn a_declared_stranger_is_told_and_the_record_counts() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["config-conflict", "which is no node of", "sdown", "odown", "down"]);
    system.announce(&["leader", "takeover"]);
    let (old, replica) = (system.master(), system.nodes[1].addr().clone());
    let stranger = Node::start("stranger", &system.path()?, None, None, &[]).await?;
    stranger.command::<()>(&["SET", "theirs", "1"]).await?;
    let spy = Spy::on(&stranger).await?;
    let writer = writing(&system).await?;

    let (mark, revision) = (system.watcher.mark(), newest_revision(&system));
    system.start_orchestrator_declaring("o3", &declaration(stranger.addr()))?;
    system.start_orchestrator_declaring("o4", &declaration(&replica))?;
    let mut gateways = Vec::new();
    for id in ["g1", "g2", "g3"] {
        gateways.push(system.start_gateway(id, &[])?);
    }
    for id in ["o3", "o4"] {
        lives(&system, mark, id).await?;
    }
    let by_o3 = |event: &_| told_by("o3", event);
    let (_, told) = event(&system, mark, EventName::ConfigConflict, by_o3).await?;
    tell(&told.cause);
    for words in ["o3", &stranger.addr().to_string(), &old.to_string(), "groups file"] {
        ensure!(told.cause.contains(words), "it does not name {words}: {}", told.cause);
    }
    let says = format!("{}, which is no node of it", stranger.addr());
    let status = system.vedette(&["status"]).await?;
    ensure!(status.contains(&says), "the status does not say it:\n{status}");

    // Nothing comes of it while all live, nor of what only o3 and o4 know.
    stays(Duration::from_secs(2), async || {
        ensure!(system.ask_master().await?.master == old, "another master is named");
        // Who connects is told the recorded one, or is not let in yet.
        for at in &gateways {
            let said = compare::master(*at, GROUP).await;
            ensure!(said.as_ref().is_ok_and(|said| *said == old) || said.is_err(), "{said:?}");
        }
        Ok(())
    })
    .await?;
    for at in &gateways {
        ensure!(compare::master(*at, GROUP).await? == old, "after two seconds all know it");
    }
    ensure!(newest_revision(&system) == revision, "the record was changed");
    let conflicts = events(&system, mark, EventName::ConfigConflict);
    ensure!(conflicts.len() == 1, "once, and by none but o3: {conflicts:?}");
    for id in ["o1", "o2"] {
        system.service(id)?.kill9()?;
    }
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master;
    let said = system.vedette(&["master", GROUP]).await?;
    ensure!(said.contains(&new.to_string()), "{new} is master, and it says {said}");
    ensure!(spy.changes(&stranger).await?.is_empty(), "the stranger was touched");
    for id in ["o1", "o2"] {
        system.service(id)?.start()?;
        lives(&system, mark, id).await?;
    }
    finish(system, writer, &new).await
}

fn told_by(id: &str, event: &vedette_model::Event) -> bool {
    event.source == format!("orchestrator/{id}")
}
