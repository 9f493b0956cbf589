//! A NATS cluster of three loses a server at the same moment as the group its master.

use anyhow::{Context, Result};
use vedette_harness::{LIMIT, Plan, System, within};
use vedette_live::{finish, ms, switched, tell, writing};

/// Which server dies.
enum Victim {
    /// The one that leads the retained masters' stream.
    Leader,
    /// Another one.
    Follower,
}

#[tokio::test]
async fn a_follower_of_the_streams_dies_with_the_master() -> Result<()> {
    dies_with_the_master(Victim::Follower).await
}

#[tokio::test]
async fn the_leader_of_the_streams_dies_with_the_master() -> Result<()> {
    dies_with_the_master(Victim::Leader).await
}

async fn dies_with_the_master(victim: Victim) -> Result<()> {
    let mut system = System::start(Plan { nats: 3, ..Plan::default() }).await?;
    system.announce(&["sdown", "odown", "down", "NATS", "nats", "jetstream", "bus"]);
    let writer = writing(&system).await?;

    // What it takes with all servers alive.
    let (old, mark) = (system.master(), system.watcher.mark());
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let plain = ms(killed, switch.announced);
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    let old = switch.master.master;
    system.all_follow(&old).await?;

    let leader = within(LIMIT, "the retained masters have a leader", async || {
        system.stream_leader().await.ok().flatten()
    })
    .await?;
    let server = system.nats.iter().position(|server| match victim {
        Victim::Leader => server.name() == leader,
        Victim::Follower => server.name() != leader,
    });
    let server = server.context("there is such a server")?;
    let node = system.nodes.iter().position(|node| *node.addr() == old);
    let node = node.context("the master is one of ours")?;
    let mark = system.watcher.mark();
    system.nats[server].kill9()?;
    let killed = system.nodes[node].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let with = ms(killed, switch.announced);
    tell(&format!(
        "{} ({}) killed with the master: announced after {with:.0} ms, without {plain:.0} ms, \
         added {:.0} ms",
        system.nats[server].name(),
        match victim {
            Victim::Leader => "leads the streams",
            Victim::Follower => "follows",
        },
        with - plain
    ));
    let new = switch.master.master;
    system.all_follow(&new).await?;
    within(LIMIT, "the retained master is healed", async || {
        system.retained().await.ok().flatten().filter(|record| record.master == new)
    })
    .await?;
    finish(system, writer, &new).await
}
