//! Each service killed and restarted, in quiet and in the middle of a failover: nothing gets
//! stuck and nobody is promoted twice.

use anyhow::{Result, ensure};
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, pick};
use vedette_live::{finish, ms, nothing_happens, switched, tell, writing};
use vedette_model::{Fact, NodeState, Step};

/// A killed service leaves links broken; the others say so.
const ANNOUNCED: &[&str] = &["sdown", "odown", "down", "leader", "voter", "prober", "takeover"];

#[tokio::test]
async fn in_quiet_a_restart_changes_nothing() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    for id in ["p1", "v1", "o1", "n1", "v2", "o2"] {
        system.service(id)?.kill9()?;
        let mark = system.watcher.mark();
        system.service(id)?.start()?;
        let lives = |fact: &Fact| pick::heartbeat(fact).filter(|beat| beat.id == id).map(|_| ());
        system.watcher.wait(mark, LIMIT, &format!("{id} lives again"), lives).await?;
    }
    nothing_happens(&system, mark, Duration::from_secs(2)).await?;

    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}

/// Kills the master; when `moment` comes by, kills the service it names, and starts that again
/// once the new master is announced.
async fn killed_in_a_failover(
    what: &str,
    moment: impl FnMut(&Fact) -> Option<String>,
) -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let (_, id) = system.watcher.wait(mark, LIMIT, what, moment).await?;
    system.service(&id)?.kill9()?;
    let group = system.group();
    let (announced, _) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    system.service(&id)?.start()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    tell(&format!("{id} killed at {what}: announced after {:.0} ms", ms(killed, announced)));
    let new = switch.master.master;
    system.all_follow(&new).await?;

    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    let masters = system.watcher.since(mark);
    let masters = masters.iter().filter_map(|seen| pick::master(&seen.fact));
    ensure!(masters.clone().all(|record| record.master == new), "there was another master");
    finish(system, writer, &new).await
}

/// The leader, when it has finished this step.
fn leader_at(wanted: fn(&Step) -> bool) -> impl FnMut(&Fact) -> Option<String> {
    move |fact| {
        let step = pick::step(fact).filter(|step| wanted(&step.step))?;
        Some(step.ballot.as_ref()?.proposer.to_string())
    }
}

#[tokio::test]
async fn the_leader_killed_when_elected() -> Result<()> {
    killed_in_a_failover("its election", leader_at(|step| matches!(step, Step::Claimed))).await
}

#[tokio::test]
async fn the_leader_killed_when_the_plan_is_written() -> Result<()> {
    killed_in_a_failover("selection", leader_at(|step| matches!(step, Step::Selected { .. }))).await
}

#[tokio::test]
async fn the_leader_killed_when_the_replica_is_promoted() -> Result<()> {
    killed_in_a_failover("promotion", leader_at(|step| matches!(step, Step::Promoted { .. }))).await
}

#[tokio::test]
async fn the_leader_killed_when_the_master_is_committed() -> Result<()> {
    killed_in_a_failover("commit", leader_at(|step| matches!(step, Step::Committed { .. }))).await
}

#[tokio::test]
async fn a_voter_killed_when_it_has_its_verdict() -> Result<()> {
    killed_in_a_failover("its verdict", |fact| {
        pick::odown(fact).filter(|verdict| verdict.reached).map(|v| v.voter.to_string())
    })
    .await
}

#[tokio::test]
async fn a_prober_killed_when_it_has_reported() -> Result<()> {
    killed_in_a_failover("its report", |fact| {
        let report = pick::sdown(fact)?;
        matches!(report.state, NodeState::Down(_)).then(|| report.prober.to_string())
    })
    .await
}

#[tokio::test]
async fn the_notifier_killed_at_the_first_report() -> Result<()> {
    killed_in_a_failover("the first report", |fact| {
        let report = pick::sdown(fact)?;
        matches!(report.state, NodeState::Down(_)).then(|| "n1".to_string())
    })
    .await
}
