//! Failovers that do not come about, or are given up.

use crate::support::{FAILOVER, first, nothing_else, root, switched, traced, whole};
use anyhow::{Context, Result, ensure};
use vedette_harness::{GROUP, LIMIT, Plan, ServiceProcess, System, pick, within};
use vedette_live::event;
use vedette_model::{EventName, Fact, Step};

/// Waits until all voters have taken their verdict back.
async fn withdrawn(system: &System, mark: usize) -> Result<()> {
    let up = |fact: &Fact| pick::odown(fact).filter(|verdict| !verdict.reached).map(|_| ());
    system.watcher.wait(mark, LIMIT, "the verdict is withdrawn", up).await?;
    Ok(())
}

/// Waits until the group's owner says why nothing is done. The trace of that incident.
async fn waiting(system: &System, mark: usize) -> Result<String> {
    let waits = |fact: &Fact| {
        let step = pick::step(fact)?;
        matches!(step.step, Step::Waiting { .. }).then(|| step.trace_id.to_string())
    };
    Ok(system.watcher.wait(mark, LIMIT, "the owner says why it waits", waits).await?.1)
}

#[tokio::test]
async fn nobody_can_be_promoted() -> Result<()> {
    let mut plan = Plan::default();
    plan.node_lines.push("replica-priority 0".into());
    let (mut system, collector) = traced(plan).await?;
    system.announce(&["no replica can be promoted", "no-good-slave"]);
    let mark = system.watcher.mark();
    system.nodes[0].stop()?;
    let (_, told) = event(&system, mark, EventName::AbortNoGoodSlave, |_| true).await?;
    system.nodes[0].cont()?;
    withdrawn(&system, mark).await?;
    let trace = told.trace_id.to_string();
    let wanted = [
        ("detect", 2),
        ("verdict", 2),
        ("candidacy", 1),
        ("ballot", 2),
        ("survey", 1),
        ("info", 2),
        ("select", 1),
    ];
    let spans = whole(&collector, &trace, &wanted).await?;
    let incident = root(&spans, "refused")?;
    ensure!(incident.attribute("vedette.reason").contains("priority 0"), "{incident:?}");
    let select = first(&spans, "select")?;
    ensure!(select.error.is_some(), "{select:?}");
    let reasons = select.events.iter().filter_map(|(_, _, about)| about.get("vedette.reason"));
    ensure!(reasons.filter(|reason| *reason == "priority 0").count() == 2, "{select:?}");
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_failover_that_is_given_up_since_its_master_comes_back() -> Result<()> {
    let plan = Plan { fault_points: true, replicas: 1, ..Plan::default() };
    let (mut system, collector) = traced(plan).await?;
    system.announce(&["no replica can be promoted", "no-good-slave", "stalled", "suspect", "tilt"]);
    system.announce(&["timeout", "quiet"]);
    let mark = system.watcher.mark();
    // The choice is committed, the promotion is not sent.
    system.arm("stop@selected")?;
    system.nodes[0].stop()?;
    let stopped = |service: &&ServiceProcess| service.is_stopped();
    let leader =
        within(LIMIT, "the leader has chosen", async || system.services.iter().find(stopped));
    let leader = leader.await?.name().to_string();
    system.nodes[1].kill9()?;
    system.service(&leader)?.cont()?;
    let (_, told) = event(&system, mark, EventName::AbortNoGoodSlave, |_| true).await?;
    system.nodes[0].cont()?;
    withdrawn(&system, mark).await?;
    let trace = told.trace_id.to_string();
    let wanted = [("detect", 2), ("verdict", 2), ("candidacy", 1), ("select", 2), ("commit", 2)];
    let spans = whole(&collector, &trace, &wanted).await?;
    root(&spans, "aborted")?;
    nothing_else(&collector, &[&trace])?;
    system.nodes[1].start()?;
    system.nodes[1].answers().await?;
    system.finish().await
}

#[tokio::test]
async fn a_group_that_is_paused() -> Result<()> {
    let (system, collector) = traced(Plan::default()).await?;
    system.vedette(&["pause", GROUP, "--reason", "works on the rack"]).await?;
    let mark = system.watcher.mark();
    system.nodes[0].stop()?;
    let trace = waiting(&system, mark).await?;
    system.nodes[0].cont()?;
    withdrawn(&system, mark).await?;
    let spans = whole(&collector, &trace, &[("detect", 2), ("verdict", 2)]).await?;
    let incident = root(&spans, "refused")?;
    ensure!(incident.attribute("vedette.reason").contains("paused"), "{incident:?}");
    nothing_else(&collector, &[&trace])?;
    system.vedette(&["resume", GROUP]).await?;
    system.finish().await
}

#[tokio::test]
async fn a_group_that_is_held() -> Result<()> {
    let settings =
        ["hold_off_ms = 200", "flap_limit = 1", "flap_window_ms = 600000"].map(Into::into).into();
    let (mut system, collector) = traced(Plan { settings, ..Plan::default() }).await?;
    system.announce(&["held"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].stop()?;
    let one = switched(&system, mark, &old).await?;
    system.nodes[0].cont()?;
    system.all_follow(&one.master).await?;
    let one_trace = one.trace_id.to_string();
    whole(&collector, &one_trace, FAILOVER).await?;

    let mark = system.watcher.mark();
    system.node(&one.master)?.stop()?;
    let trace = waiting(&system, mark).await?;
    system.node(&one.master)?.cont()?;
    withdrawn(&system, mark).await?;
    let spans = whole(&collector, &trace, &[("detect", 2), ("verdict", 2)]).await?;
    let incident = root(&spans, "refused")?;
    ensure!(incident.attribute("vedette.reason").contains("held"), "{incident:?}");
    nothing_else(&collector, &[&one_trace, &trace])?;
    system.finish().await.context("after the hold")
}
