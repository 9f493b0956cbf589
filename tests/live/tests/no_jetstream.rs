//! NATS without JetStream: history and the retained master are missing, a failover is not.

use anyhow::Result;
use vedette_harness::{LIMIT, Plan, System, within};
use vedette_live::{finish, switched, writing};

#[tokio::test]
async fn a_failover_needs_no_jetstream_and_a_warning_says_what_is_missing() -> Result<()> {
    let mut system = System::start(Plan { jetstream: false, ..Plan::default() }).await?;
    system.announce(&["sdown", "odown", "down", "jetstream"]);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    system.all_follow(&switch.master.master).await?;

    for id in ["o1", "o2"] {
        let orchestrator = system.service(id)?;
        within(LIMIT, "a warning that names jetstream", async || {
            let log = orchestrator.log();
            let warned = |line: &str| line.contains("\"WARN\"") && line.contains("jetstream");
            log.lines().any(warned).then_some(())
        })
        .await?;
    }
    finish(system, writer, &switch.master.master).await
}
