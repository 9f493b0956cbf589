//! `kill -9` of the master.

use anyhow::{Context, Result, ensure};
use vedette_harness::{LIMIT, Plan, ServiceProcess, System, pick, within};
use vedette_live::{distribution, finish, ms, rounds, switched, tell, writing};
use vedette_model::{EventName, Fact, NodeAddr};

#[tokio::test]
async fn a_replica_takes_over_and_the_old_master_comes_back_as_a_replica() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down"]);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();

    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();
    tell(&format!(
        "kill -9 to announcement {:.0} ms, to first write {:.0} ms",
        ms(killed, switch.announced),
        ms(killed, switch.write.at)
    ));
    ensure!(switch.master.previous.as_ref() == Some(&old), "{:?}", switch.master);
    system.all_follow(&new).await?;

    let name = EventName::SwitchMaster;
    let event = |fact: &_| pick::event(fact, name).cloned();
    let (_, event) = system.watcher.wait(mark, LIMIT, name.as_str(), event).await?;
    let words =
        [old.host(), &old.port().to_string(), new.host(), &new.port().to_string()].join(" ");
    ensure!(event.payload == format!("{} {words}", system.group()), "{}", event.payload);
    ensure!(event.trace_id == switch.master.trace_id, "one incident, one trace");

    let retained = within(LIMIT, "the retained master is the new one", async || {
        system.retained().await.ok().flatten().filter(|record| record.master == new)
    })
    .await?;
    ensure!(retained.epoch == switch.master.epoch);
    let notifier = system.service("n1")?;
    within(LIMIT, "the notifier tells it", async || {
        notifier.log().contains(name.as_str()).then_some(())
    })
    .await?;

    let mark = system.watcher.mark();
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    let again =
        system.watcher.first(mark, |f| pick::master(f).filter(|r| r.master == old).cloned());
    ensure!(again.is_none(), "the returning master was announced: {again:?}");
    finish(system, writer, &new).await
}

/// With a `down_after` of a second, in ms: half of all failovers, and nearly all.
const WRITABLE_AGAIN: (f64, f64) = (1_500.0, 3_000.0);
/// From the death of the chosen replica to the announcement of another.
const NEXT_WITHIN_MS: f64 = 2_000.0;

#[tokio::test]
async fn one_failover_after_another_each_has_its_epoch() -> Result<()> {
    let mut system = System::start(Plan::of_many_failovers()).await?;
    system.announce(&["sdown", "odown", "down"]);
    let writer = writing(&system).await?;
    let (mut master, mut epoch) = (system.master(), None);
    let mut took = Vec::new();
    for _ in 0..rounds(3)? {
        let mark = system.watcher.mark();
        let dead = position(&system, &master)?;
        let killed = system.nodes[dead].kill9()?;
        let switch = switched(&system, &writer, mark, &master, killed).await?;
        took.push(ms(killed, switch.write.at));
        ensure!(Some(switch.master.epoch) > epoch, "epochs only rise");
        epoch = Some(switch.master.epoch);
        master = switch.master.master;
        system.nodes[dead].start()?;
        system.nodes[dead].answers().await?;
        system.all_follow(&master).await?;
    }
    tell(&format!("kill -9 to the first write in ms: {}", distribution(&mut took)));
    let (half, nearly_all) = (took[(took.len() - 1) / 2], took[(took.len() - 1) * 99 / 100]);
    ensure!(half <= WRITABLE_AGAIN.0 && nearly_all <= WRITABLE_AGAIN.1, "it took too long");
    finish(system, writer, &master).await
}

#[tokio::test]
async fn a_chosen_replica_that_dies_before_its_promotion_has_a_successor() -> Result<()> {
    let plan = Plan { fault_points: true, ..Plan::of_many_failovers() };
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "leader", "takeover", "lease", "superseded"]);
    system.announce(&["failover", "abort", "slave", "stalled", "suspect", "tilt", "quiet"]);
    let writer = writing(&system).await?;
    let mut master = system.master();
    let mut took = Vec::new();
    for _ in 0..rounds(1)? {
        let (mark, dead) = (system.watcher.mark(), position(&system, &master)?);
        // The choice is committed, the promotion is not sent.
        system.arm("stop@selected")?;
        let killed = system.nodes[dead].kill9()?;
        within(LIMIT, "the leader has chosen", async || {
            system.is_armed().is_ok_and(|armed| !armed).then_some(())
        })
        .await?;
        let stopped = |service: &&ServiceProcess| service.is_stopped();
        let leader = within(LIMIT, "it is stopped", async || system.services.iter().find(stopped));
        let leader = leader.await?.name().to_string();
        let target = |fact: &Fact| {
            let record = pick::record(fact).filter(|record| record.master == master)?;
            record.failover.as_ref().map(|failover| failover.target.clone())
        };
        let (_, chosen) = system.watcher.wait(mark, LIMIT, "the plan", target).await?;
        let chosen_at = position(&system, &chosen)?;
        let died = system.nodes[chosen_at].kill9()?;
        system.service(&leader)?.cont()?;
        let switch = switched(&system, &writer, mark, &master, killed).await?;
        let new = switch.master.master;
        ensure!(new != chosen, "a dead replica was announced");
        took.push(ms(died, switch.announced));
        for node in [dead, chosen_at] {
            system.nodes[node].start()?;
            system.nodes[node].answers().await?;
        }
        system.all_follow(&new).await?;
        master = new;
    }
    tell(&format!(
        "death of the chosen to the next one's announcement in ms: {}",
        distribution(&mut took)
    ));
    ensure!(took.iter().all(|ms| *ms <= NEXT_WITHIN_MS), "the next one took too long");
    finish(system, writer, &master).await
}

fn position(system: &System, addr: &NodeAddr) -> Result<usize> {
    let at = system.nodes.iter().position(|node| node.addr() == addr);
    at.context("the node is one of ours")
}
