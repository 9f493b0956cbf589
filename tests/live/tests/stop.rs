//! `SIGSTOP` of the master: it hangs, its sockets stay open.

use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Plan, System};
use vedette_live::{finish, ms, switched, tell, writing};

#[tokio::test]
async fn silence_is_death_after_down_after_and_the_woken_master_is_demoted() -> Result<()> {
    let plan = Plan::default();
    let down_after = Duration::from_millis(plan.down_after_ms);
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down"]);
    let old = system.master();
    let writer = writing(&system).await?;
    // A client that does not follow anything and would go on with the old master.
    let mut client = TcpStream::connect((old.host(), old.port())).await?;
    let mark = system.watcher.mark();

    let stopped = system.nodes[0].stop()?;
    let switch = switched(&system, &writer, mark, &old, stopped).await?;
    let new = switch.master.master.clone();
    tell(&format!(
        "SIGSTOP to announcement {:.0} ms, down_after {down_after:?}",
        ms(stopped, switch.announced)
    ));
    // From the first unanswered ping on, which may have been sent a moment before the stop.
    ensure!(switch.announced > stopped + down_after * 8 / 10, "too early");

    system.nodes[0].cont()?;
    system.all_follow(&new).await?;
    let end = tokio::time::timeout(LIMIT, client.read(&mut [0; 16])).await?;
    ensure!(matches!(end, Ok(0) | Err(_)), "the old master kept its client: {end:?}");
    finish(system, writer, &new).await
}
