//! `kill -9` of the master.

use anyhow::{Context, Result, ensure};
use vedette_harness::{LIMIT, Plan, System, pick, within};
use vedette_live::{finish, ms, switched, tell, writing};
use vedette_model::EventName;

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

#[tokio::test]
async fn one_failover_after_another_each_has_its_epoch() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down"]);
    let writer = writing(&system).await?;
    let (mut master, mut epoch) = (system.master(), None);
    for _ in 0..3 {
        let mark = system.watcher.mark();
        let at = system.nodes.iter().position(|node| *node.addr() == master);
        let dead = at.context("the master is one of ours")?;
        let killed = system.nodes[dead].kill9()?;
        let switch = switched(&system, &writer, mark, &master, killed).await?;
        ensure!(Some(switch.master.epoch) > epoch, "epochs only rise");
        epoch = Some(switch.master.epoch);
        master = switch.master.master;
        system.nodes[dead].start()?;
        system.nodes[dead].answers().await?;
        system.all_follow(&master).await?;
    }
    finish(system, writer, &master).await
}
