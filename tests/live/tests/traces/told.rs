//! Who is told.

use crate::support::{FAILOVER, nothing_else, switched, traced, whole};
use anyhow::{Result, ensure};
use vedette_harness::{LIMIT, Plan, within};
use vedette_live::collector::{Collector, Taken};
use vedette_live::compare;
use vedette_live::receiver::Receiver;

/// Waits for a message about the new master that came to this.
async fn notified(collector: &Collector, trace: &str, outcome: &str) -> Result<Taken> {
    let fits = |span: &Taken| {
        let about = span.attribute("vedette.events").contains("+switch-master");
        (span.trace == trace && span.name == "notify" && about)
            && span.attribute("vedette.outcome") == outcome
    };
    let found = async || collector.taken().into_iter().find(fits);
    within(LIMIT, &format!("a message of outcome {outcome}"), found).await
}

#[tokio::test]
async fn each_try_at_a_notification_and_each_gateway_that_tells_clients_is_a_span() -> Result<()> {
    let mut receiver = Receiver::start().await?;
    let notifier_keys = vec![format!("sink.webhook.urls = [{:?}]", receiver.url())];
    let plan = Plan { notifier_keys, ..Plan::default() };
    let (mut system, collector) = traced(plan).await?;
    system.announce(&["events wait"]);
    for id in ["g1", "g2"] {
        compare::gateway(&mut system, id).await?;
    }
    receiver.leave();
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    let master = switched(&system, mark, &old).await?;
    let trace = master.trace_id.to_string();
    // The message about the new master may wait behind older ones, each tried for itself.
    let tries = [("notify", 1)];
    collector.whole(&trace, &tries).await?;
    receiver.come_back().await?;

    let told = notified(&collector, &trace, "delivered").await?;
    ensure!(told.service == "vedette-notifier" && told.error.is_none(), "{told:?}");
    let wanted: Vec<_> = FAILOVER.iter().copied().chain([("tell", 2), ("notify", 3)]).collect();
    let spans = whole(&collector, &trace, &wanted).await?;
    let is_failed = |span: &&Taken| span.name == "notify" && span.error.is_some();
    ensure!(spans.iter().any(|span| is_failed(&span)), "no try failed");
    for tell in spans.iter().filter(|span| span.name == "tell") {
        ensure!(tell.service == "vedette-gateway", "{tell:?}");
        ensure!(tell.attribute("vedette.master.new") == master.master.to_string(), "{tell:?}");
    }
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}
