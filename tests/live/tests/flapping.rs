//! A master that hangs again and again: after so many failovers it is held until a person says so.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vedette_harness::{GROUP, LIMIT, Plan, System, now, pick, stays, until, within};
use vedette_live::{
    event, events, finish, in_network, invariants, seconds, switched, tell, writing,
};
use vedette_model::{EventName, Fact, NodeAddr};

const DOWN_AFTER_MS: u64 = 500;
/// Of automatic failovers.
const ALLOWED: usize = 2;

fn masters_since(system: &System, mark: usize) -> Vec<NodeAddr> {
    let mut masters = Vec::new();
    for seen in system.watcher.since(mark) {
        let record = pick::master(&seen.fact);
        masters.extend(record.map(|record| record.master.clone()));
    }
    masters.dedup();
    masters
}

/// A span over which the master hangs, or not, and nobody takes its place.
async fn nobody_else(system: &System, mark: usize, master: &NodeAddr, ms: u64) -> Result<()> {
    stays(Duration::from_millis(ms), async || {
        let masters = masters_since(system, mark);
        ensure!(masters.iter().all(|m| m == master), "held, and yet {masters:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn after_two_failovers_it_is_held_until_it_is_released() -> Result<()> {
    let settings = [
        "failover_timeout_ms = 10000",
        "hold_off_ms = 200",
        "flap_limit = 2",
        "flap_window_ms = 600000",
    ];
    let settings = settings.map(Into::into).into();
    let plan = Plan { down_after_ms: DOWN_AFTER_MS, settings, ..Plan::default() };
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "held", "leader", "takeover"]);
    let writer = writing(&system).await?;
    let (start, mut master) = (system.watcher.mark(), system.master());

    for _ in 0..ALLOWED {
        let mark = system.watcher.mark();
        let stopped = system.node(&master)?.stop()?;
        let switch = switched(&system, &writer, mark, &master, stopped).await?;
        system.node(&master)?.cont()?;
        master = switch.master.master;
        system.all_follow(&master).await?;
    }
    let (_, held) = event(&system, start, EventName::Held, |_| true).await?;
    tell(&held.cause);
    ensure!(held.cause.contains("vedette release"), "it must say how to go on: {}", held.cause);

    // It goes on hanging, twice as long as a verdict and the rest after a failover take.
    let mark = system.watcher.mark();
    for round in 0..2 {
        let verdicts = system.watcher.mark();
        system.node(&master)?.stop()?;
        let odown = |fact: &Fact| pick::odown(fact).filter(|v| v.reached).map(|_| ());
        system.watcher.wait(verdicts, LIMIT, "it is called down", odown).await?;
        nobody_else(&system, mark, &master, 1_500).await?;
        if round == 0 {
            let status = system.vedette(&["status"]).await?;
            ensure!(status.contains("held: 2 failovers"), "the status does not say it:\n{status}");
            system.node(&master)?.cont()?;
            let up = |fact: &Fact| pick::odown(fact).filter(|v| !v.reached).map(|_| ());
            system.watcher.wait(verdicts, LIMIT, "it is up again", up).await?;
        }
    }
    ensure!(events(&system, start, EventName::Held).len() == 1, "it is said once");

    // Still hanging; one command, and the third failover comes.
    let released = now();
    let said = system.vedette(&["release", GROUP]).await?;
    tell(said.trim());
    let switch = switched(&system, &writer, mark, &master, released).await?;
    system.node(&master)?.cont()?;
    let new = switch.master.master;
    system.all_follow(&new).await?;
    let status = within(LIMIT, "the status says nothing of a hold", async || {
        system.vedette(&["status"]).await.ok().filter(|status| !status.contains("held"))
    });
    status.await.context("after the release")?;
    finish(system, writer, &new).await
}

/// How long the link is there, and then is not.
const LINK: Duration = Duration::from_secs(2);

#[test]
fn a_link_that_comes_and_goes_makes_no_more_than_two_failovers() -> Result<()> {
    in_network(async |network| {
        let node_lines = vec!["repl-timeout 5".into()];
        // With the settings that a group has if nothing is said.
        let plan =
            Plan { down_after_ms: 1_000, settings: Vec::new(), node_lines, ..Plan::default() };
        let mut system = System::start_servers_at(plan, Some(network)).await?;
        system.start_services()?;
        system.ready().await?;
        let (start, old, end) = (system.watcher.mark(), system.master(), now() + seconds(24)?);
        let (mut cut, mut cuts) = (links(&system), 0);
        cut.retain(|(from, to)| from == "redis1" || to == "redis1");
        while now() < end {
            system.network().context("there is one")?.cut(&cut)?;
            until(now() + LINK).await;
            system.network().context("there is one")?.cut(&[])?;
            until(now() + LINK).await;
            cuts += 1;
        }
        let changes = masters_since(&system, start);
        tell(&format!("{cuts} cuts of the master's link, masters since: {changes:?}"));
        let failovers = changes.iter().filter(|master| **master != old).count();
        ensure!((1..=ALLOWED).contains(&failovers), "{failovers} failovers");
        let master = system.ask_master().await?.master;
        system.all_follow(&master).await?;
        invariants(&system)?;
        system.shut_down().await
    })
}

/// All directions between processes.
fn links(system: &System) -> Vec<(String, String)> {
    let nodes = system.nodes.iter().map(|node| node.name().to_string());
    let services = system.services.iter().map(|service| service.name().to_string());
    let names: Vec<String> =
        nodes.chain(services).chain(["nats1".into(), "watch".into()]).collect();
    let pairs =
        names.iter().flat_map(|from| names.iter().map(move |to| (from.clone(), to.clone())));
    pairs.filter(|(from, to)| from != to).collect()
}
