//! What is declared wrongly: a clear event each, and nothing is touched that is not ours.

use anyhow::{Result, ensure};
use std::time::Duration;
use vedette_harness::{GROUP, LIMIT, Node, Plan, Spy, System, pick, stays};
use vedette_live::{finish, switched, tell, writing};
use vedette_model::{EventName, NodeState};

/// Long enough for a wrong correction to be sent.
const SPAN: Duration = Duration::from_secs(3);

async fn event(system: &System, mark: usize, name: EventName, groups: &[&str]) -> Result<()> {
    let wanted = |fact: &_| {
        pick::event(fact, name).filter(|event| groups.contains(&event.group.as_str())).cloned()
    };
    let what = format!("{name} of {groups:?}");
    let (_, event) = system.watcher.wait(mark, LIMIT, &what, wanted).await?;
    ensure!(!event.cause.is_empty(), "{name} must say why and what to do");
    tell(&format!("{name} of {}: {}", event.group, event.cause));
    Ok(())
}

async fn nodes_stay_untouched(system: &System, spies: &[Spy]) -> Result<()> {
    stays(SPAN, async || {
        for (spy, node) in spies.iter().zip(&system.nodes) {
            let changes = spy.changes(node).await?;
            ensure!(changes.is_empty(), "{} was touched: {changes:?}", node.name());
        }
        Ok(())
    })
    .await
}

async fn spies(system: &System) -> Result<Vec<Spy>> {
    let mut spies = Vec::new();
    for node in &system.nodes {
        spies.push(Spy::on(node).await?);
    }
    Ok(spies)
}

#[tokio::test]
async fn two_groups_that_claim_the_same_nodes() -> Result<()> {
    let more_groups = "\n[[group]]\nname = \"twin\"\nmaster = \"{master}\"\nquorum = 2\n".into();
    let mut system = System::start_servers(Plan { more_groups, ..Plan::default() }).await?;
    system.announce(&["twin", "config-conflict"]);
    let spies = spies(&system).await?;
    system.start_services()?;
    event(&system, 0, EventName::ConfigConflict, &["twin", GROUP]).await?;
    nodes_stay_untouched(&system, &spies).await?;
    system.finish().await
}

#[tokio::test]
async fn a_master_that_cannot_be_reached_at_start() -> Result<()> {
    let more_groups = "\n[[group]]\nname = \"ghost\"\nmaster = \"127.0.0.1:1\"\nquorum = 2\n\
         down_after_ms = 500\n";
    let plan = Plan { more_groups: more_groups.into(), ..Plan::default() };
    let mut system = System::start_servers(plan).await?;
    system.announce(&["ghost"]);
    let spies = spies(&system).await?;
    system.start_services()?;
    event(&system, 0, EventName::Sdown, &["ghost"]).await?;
    system.ready().await?;
    nodes_stay_untouched(&system, &spies).await?;
    let switched = system.watcher.first(0, |fact| {
        pick::event(fact, EventName::SwitchMaster).map(|event| event.payload.clone())
    });
    ensure!(switched.is_none(), "{switched:?}");
    system.finish().await
}

#[tokio::test]
async fn a_wrong_password() -> Result<()> {
    let plan = Plan {
        password: Some("right".into()),
        wrong_password: Some("wrong".into()),
        down_after_ms: 500,
        ..Plan::default()
    };
    let mut system = System::start_servers(plan).await?;
    system.announce(&["auth"]);
    let spies = spies(&system).await?;
    system.start_services()?;
    event(&system, 0, EventName::AuthError, &[GROUP]).await?;
    nodes_stay_untouched(&system, &spies).await?;
    let voted = system.watcher.first(0, |fact| {
        let report = pick::sdown(fact)?;
        matches!(report.state, NodeState::Down(_)).then(|| report.clone())
    });
    ensure!(voted.is_none(), "a fault of the monitoring was taken for a death: {voted:?}");
    system.finish().await
}

#[tokio::test]
async fn a_replica_that_came_back_with_a_history_of_its_own() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "identity-conflict"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let mark = system.watcher.mark();

    // The same address, another server's data: somebody reused the machine.
    let (stranger, folder) = (2, system.path()?);
    let other = Node::start("other", &folder, None, None, &[]).await?;
    other.command::<()>(&["SET", "theirs", "1"]).await?;
    other.save().await?;
    system.nodes[stranger].kill9()?;
    let data = folder.join(system.nodes[stranger].name());
    std::fs::copy(folder.join("other/dump.rdb"), data.join("dump.rdb"))?;
    system.nodes[stranger].forget_master()?;
    system.nodes[stranger].start()?;
    system.nodes[stranger].answers().await?;
    let spy = Spy::on(&system.nodes[stranger]).await?;
    event(&system, mark, EventName::IdentityConflict, &[GROUP]).await?;

    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    ensure!(switch.master.master == *system.nodes[1].addr(), "the stranger was promoted");
    stays(SPAN, async || {
        let changes = spy.changes(&system.nodes[stranger]).await?;
        ensure!(changes.is_empty(), "the stranger was touched: {changes:?}");
        Ok(())
    })
    .await?;
    finish(system, writer, &switch.master.master).await
}
