//! What people want.

use crate::support::{first, nothing_else, root, switched, traced, whole};
use anyhow::{Result, ensure};
use vedette_harness::{GROUP, LIMIT, Plan, pick};
use vedette_model::{EventName, Fact, Step};

const SWITCHOVER: &[(&str, usize)] = &[
    ("candidacy", 1),
    ("ballot", 2),
    ("survey", 1),
    ("info", 2),
    ("select", 1),
    ("commit", 3),
    ("accept", 4),
    ("pause-writes", 1),
    ("level", 1),
    ("freeze", 1),
    ("promote", 1),
    ("announce", 1),
    ("return", 1),
    ("repoint", 1),
];

#[tokio::test]
async fn a_switchover() -> Result<()> {
    let (mut system, collector) = traced(Plan::default()).await?;
    system.announce(&[]);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.vedette(&["switchover", GROUP]).await?;
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    let spans = whole(&collector, &trace, SWITCHOVER).await?;
    let incident = root(&spans, "switched")?;
    ensure!(incident.attribute("vedette.purpose") == "switchover", "{incident:?}");
    ensure!(first(&spans, "freeze")?.attribute("server.port") == old.port().to_string());
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_switchover_that_is_refused() -> Result<()> {
    let mut plan = Plan::default();
    plan.node_lines.push("replica-priority 0".into());
    let (system, collector) = traced(plan).await?;
    let mark = system.watcher.mark();
    ensure!(system.vedette(&["switchover", GROUP]).await.is_err(), "who could take over?");
    let tries = |fact: &Fact| pick::event(fact, EventName::TryFailover).map(|e| e.trace_id);
    let (_, trace) = system.watcher.wait(mark, LIMIT, "it was tried", tries).await?;
    let trace = trace.to_string();
    let wanted = [("candidacy", 1), ("survey", 1), ("info", 2)];
    let spans = whole(&collector, &trace, &wanted).await?;
    let incident = root(&spans, "refused")?;
    ensure!(incident.attribute("vedette.reason").contains("priority 0"), "{incident:?}");
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_failover_by_hand_of_a_master_that_hangs() -> Result<()> {
    let (mut system, collector) = traced(Plan { down_after_ms: 20_000, ..Plan::default() }).await?;
    system.announce(&["timed out", "no answer"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].stop()?;
    system.vedette(&["failover", GROUP]).await?;
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    let ended = |fact: &Fact| pick::step(fact).filter(|s| s.step == Step::Ended).map(|_| ());
    system.watcher.wait(mark, LIMIT, "its end", ended).await?;
    let wanted = [
        ("candidacy", 1),
        ("survey", 1),
        ("select", 1),
        ("commit", 3),
        ("promote", 1),
        ("announce", 1),
        ("repoint", 1),
    ];
    let spans = whole(&collector, &trace, &wanted).await?;
    let incident = root(&spans, "switched")?;
    ensure!(incident.attribute("vedette.purpose") == "forced", "{incident:?}");
    system.nodes[0].cont()?;
    collector.span(&trace, "return").await?;
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}
