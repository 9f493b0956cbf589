//! Too few to decide: nothing happens, the status says why, and it goes on when they are back.

use anyhow::Result;
use std::time::Duration;
use vedette_harness::{Plan, System};
use vedette_live::{finish, nothing_happens, switched, tell, writing};

/// Several times `down_after` and the time a failover takes.
const SPAN: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_minority_of_voters_changes_nothing() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "voter"]);
    let old = system.master();
    let writer = writing(&system).await?;
    for voter in ["v2", "v3"] {
        system.service(voter)?.kill9()?;
    }
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    nothing_happens(&system, mark, SPAN).await?;
    tell(&system.status_says(&["1 of 2 needed voters say odown"]).await?);

    system.service("v2")?.start()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}

#[tokio::test]
async fn fewer_probers_than_the_quorum_change_nothing() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "prober"]);
    let old = system.master();
    let writer = writing(&system).await?;
    for prober in ["p2", "p3"] {
        system.service(prober)?.kill9()?;
    }
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    nothing_happens(&system, mark, SPAN).await?;
    tell(&system.status_says(&["1 of 2 needed probers"]).await?);

    system.service("p2")?.start()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}
