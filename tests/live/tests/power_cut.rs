//! Everything is killed at once and started again in any order.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, now, pick, within};
use vedette_live::{invariants, ms, tell, writing};
use vedette_model::{Fact, NodeAddr};

/// What dies and comes back leaves broken links; everybody says so.
const ANNOUNCED: &[&str] = &[
    "sdown",
    "odown",
    "down",
    "leader",
    "voter",
    "prober",
    "takeover",
    "connection",
    "reconnect",
    "JetStream",
    "impaired",
    "quiet",
    "reboot",
    "slave",
    "seed",
    "identity",
    "refused",
    "record",
    "stalled",
    "suspect",
    "tilt",
    "nats",
    "good",
    "failover",
];

/// One kind of process to start again.
#[derive(Clone, Copy, Debug)]
enum Part {
    Nats,
    Node(usize),
    Services,
}

/// Waits until exactly one node says master and all others that run follow it.
async fn the_one_master(system: &System) -> Result<NodeAddr> {
    let what = "exactly one master, all others follow it";
    within(LIMIT * 2, what, async || {
        let mut masters = Vec::new();
        for node in system.nodes.iter().filter(|n| n.pid().is_some()) {
            if node.is_master().await {
                masters.push(node.addr().clone());
            }
        }
        let [master] = masters.as_slice() else { return None };
        for node in system.nodes.iter().filter(|n| n.pid().is_some() && n.addr() != master) {
            if !node.follows(master).await {
                return None;
            }
        }
        Some(master.clone())
    })
    .await
}

async fn cut_power(order: &[Part], without: Option<usize>) -> Result<()> {
    let mut plan = Plan { down_after_ms: 500, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    let writer = writing(&system).await?;
    let deadline = now() + Duration::from_millis(300);
    within(LIMIT, "some writes", async || (now() > deadline).then_some(())).await?;

    for service in &mut system.services {
        service.kill9()?;
    }
    for node in &mut system.nodes {
        node.kill9()?;
    }
    system.nats[0].kill9()?;
    drop(writer);
    for part in order {
        match part {
            Part::Nats => system.nats[0].start()?,
            Part::Node(n) if Some(*n) == without => {}
            Part::Node(n) => system.nodes[*n].start()?,
            Part::Services => {
                for service in &mut system.services {
                    service.start()?;
                }
            }
        }
    }
    let began = now();
    for (n, node) in system.nodes.iter_mut().enumerate() {
        if Some(n) != without {
            node.answers().await?;
        }
    }
    let master = the_one_master(&system).await?;
    tell(&format!("{order:?} without {without:?}: settled after {:.0} ms", ms(began, now())));
    ensure!(now() < began + Duration::from_secs(30), "it took longer than 30 s");
    // These nodes keep nothing on their disks: a master that came back empty may have a successor.
    ensure!(without.is_none() || master != old, "the dead node cannot be master");
    // And it is what is announced to whoever asks now.
    let announced = |fact: &Fact| pick::record(fact).filter(|r| r.master == master).map(|_| ());
    system.watcher.wait(0, LIMIT, "the master's record", announced).await?;
    let node = system.node(&master)?;
    let set: String =
        node.command(&["SET", "after", "1"]).await.context("the master takes writes")?;
    ensure!(set == "OK", "{set}");
    invariants(&system)?;
    system.shut_down().await
}

#[tokio::test]
async fn there_is_one_master_and_it_is_recorded_when_services_come_first() -> Result<()> {
    let order = [Part::Nats, Part::Services, Part::Node(2), Part::Node(1), Part::Node(0)];
    cut_power(&order, None).await
}

#[tokio::test]
async fn there_is_one_master_and_it_is_recorded_when_nats_comes_last() -> Result<()> {
    let order = [Part::Node(1), Part::Services, Part::Node(0), Part::Node(2), Part::Nats];
    cut_power(&order, None).await
}

#[tokio::test]
async fn a_rightful_successor_takes_over_without_the_former_masters_machine() -> Result<()> {
    let order = [Part::Nats, Part::Node(2), Part::Services, Part::Node(1), Part::Node(0)];
    cut_power(&order, Some(0)).await
}

#[tokio::test]
async fn services_that_come_minutes_late_still_find_a_successor() -> Result<()> {
    // Minutes for a down_after of 500 ms: ten times down_after is the strict limit of freshness.
    let mut plan = Plan { down_after_ms: 500, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    for service in &mut system.services {
        service.kill9()?;
    }
    system.nodes[0].kill9()?;
    let gone = now();
    within(LIMIT, "an outage longer than the strict limit", async || {
        (now() > gone + Duration::from_secs(12)).then_some(())
    })
    .await?;
    let mark = system.watcher.mark();
    let began = now();
    for service in &mut system.services {
        service.start()?;
    }
    let group = system.group();
    let (announced, record) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    tell(&format!("services back to announcement {:.0} ms", ms(began, announced)));
    ensure!(announced < began + Duration::from_secs(15), "it took longer than 15 s");
    system.all_follow(&record.master).await?;
    invariants(&system)?;
    system.shut_down().await
}
