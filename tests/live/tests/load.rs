//! A machine with more to do than it can, and a network that loses packets: nobody is dead.

use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use vedette_harness::{Node, Plan, System, now, until};
use vedette_live::{events, finish, in_network, nothing_happens, seconds, tell, writing};
use vedette_model::EventName;

/// Packets lost of a thousand.
const LOST: u32 = 20;
/// Data of each node: keys of a kilobyte.
const KEYS: &str = "50000";
/// Rounds of an empty loop.
const ROUNDS: &str = "10000000";
const SCRIPT: &str = "for i = 1, tonumber(ARGV[1]) do end";
/// From one fork, or script, to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Threads that take every core until they are dropped.
struct Burners(Arc<AtomicBool>);

impl Burners {
    fn start() -> Result<Self> {
        let burns = Arc::new(AtomicBool::new(true));
        for _ in 0..std::thread::available_parallelism()?.get() {
            let burns = Arc::clone(&burns);
            std::thread::spawn(move || while burns.load(Ordering::Relaxed) {});
        }
        Ok(Self(burns))
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Sends a command again and again. What is answered does not matter: a save may be under way.
fn again_and_again(tasks: &mut JoinSet<()>, node: &Node, words: &[&str]) -> Result<()> {
    let (client, mut command) = (node.client()?, redis::Cmd::new());
    command.arg(words);
    tasks.spawn(async move {
        loop {
            let next = now() + PAUSE;
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                let _: redis::RedisResult<redis::Value> =
                    command.query_async(&mut connection).await;
            }
            until(next).await;
        }
    });
    Ok(())
}

#[test]
fn full_load_forks_slow_scripts_and_lost_packets_are_no_death() -> Result<()> {
    in_network(async |network| {
        let node_lines = vec!["enable-debug-command yes".into()];
        // With the settings that a group has if nothing is said.
        let plan = Plan { down_after_ms: 500, settings: Vec::new(), node_lines, ..Plan::default() };
        let mut system = System::start_servers_at(plan, Some(network)).await?;
        for node in &system.nodes {
            let _: String = node.command(&["DEBUG", "POPULATE", KEYS, "key", "1000"]).await?;
        }
        system.start_services()?;
        system.ready().await?;
        // Single probers may be mistaken for a moment; a quorum of them must not be.
        system.announce(&["sdown", "down", "tilt", "suspect", "stalled", "lease", "nats"]);
        let (writer, mark) = (writing(&system).await?, system.watcher.mark());
        system.network().context("there is one")?.lose(LOST)?;
        let (burners, mut tasks) = (Burners::start()?, JoinSet::new());
        for node in &system.nodes {
            again_and_again(&mut tasks, node, &["BGSAVE"])?;
            again_and_again(&mut tasks, node, &["EVAL", SCRIPT, "0", ROUNDS])?;
        }
        let (span, before) = (seconds(20)?, writer.acknowledged().len());
        nothing_happens(&system, mark, span).await?;
        let writes = writer.acknowledged().len() - before;
        drop((burners, tasks));
        let lost = system.network().context("there is one")?.lost()?;
        ensure!(lost > 0, "no packet was lost");
        for node in &system.nodes {
            let forks = node.info("stats").await?.get("total_forks").cloned();
            let forks: u64 = forks.context("it counts forks")?.parse()?;
            let calls = node.info("commandstats").await?;
            let scripts = calls.get("cmdstat_eval").context("it ran no script")?.clone();
            ensure!(forks > 0, "{} never forked", node.name());
            tell(&format!("{}: {forks} forks, scripts: {scripts}", node.name()));
        }
        let said = |name| events(&system, mark, name).len();
        tell(&format!(
            "{span:?} of full load and {lost} packets lost, {LOST} of 1000: {writes} writes, {} SDOWN, {} \
             ODOWN, no failover",
            said(EventName::Sdown),
            said(EventName::Odown)
        ));
        let master = system.master();
        finish(system, writer, &master).await
    })
}
