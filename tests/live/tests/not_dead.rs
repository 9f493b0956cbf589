//! What looks like death and is none: a busy script, short hangs, a wrong password, a stalled
//! prober, voter or orchestrator. Nobody may fail over for it.

use anyhow::{Result, ensure};
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, pick, stays};
use vedette_live::{finish, nothing_happens, switched, writing};
use vedette_model::{EventName, Fact};

async fn event(system: &System, mark: usize, name: EventName) -> Result<()> {
    let what = format!("event {name}");
    let named = |fact: &Fact| pick::event(fact, name).map(|_| ());
    system.watcher.wait(mark, LIMIT, &what, named).await?;
    Ok(())
}

/// Waits until each prober has said that a trouble is over.
async fn over_for_all(system: &System, mark: usize) -> Result<()> {
    for source in ["prober/p1", "prober/p2", "prober/p3"] {
        let over = |fact: &Fact| {
            let event = pick::event(fact, EventName::TroubleOver)?;
            (event.source == source).then_some(())
        };
        system.watcher.wait(mark, LIMIT, &format!("{source} says that it is over"), over).await?;
    }
    Ok(())
}

/// Runs a script that never ends on the first node, until it is killed or the node is.
fn run_endless_script(system: &System) -> Result<tokio::task::JoinHandle<()>> {
    let client = system.nodes[0].client()?;
    Ok(tokio::spawn(async move {
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
            // It ends with an error: by SCRIPT KILL, or because the connection does.
            let script = redis::cmd("EVAL").arg("while true do end").arg(0).to_owned();
            let _: redis::RedisResult<()> = script.query_async(&mut connection).await;
        }
    }))
}

#[tokio::test]
async fn a_busy_script_has_a_budget_of_its_own_and_then_counts() -> Result<()> {
    let mut plan = Plan { down_after_ms: 1_000, ..Plan::default() };
    plan.settings.push("busy_budget_ms = 6000".into());
    let mut system = System::start(plan).await?;
    system.announce(&["busy", "sdown", "odown", "down"]);
    let old = system.master();
    let _: String =
        system.nodes[0].command(&["CONFIG", "SET", "busy-reply-threshold", "100"]).await?;
    let mark = system.watcher.mark();
    let script = run_endless_script(&system)?;
    event(&system, mark, EventName::Busy).await?;
    nothing_happens(&system, mark, Duration::from_secs(3)).await?;
    let _: String = system.nodes[0].command(&["SCRIPT", "KILL"]).await?;
    script.await?;
    // A prober none of whose pings met the gap between two scripts would count them as one.
    over_for_all(&system, mark).await?;

    // Longer than its budget: the master serves nobody, so another does.
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let began = vedette_harness::now();
    let script = run_endless_script(&system)?;
    let switch = switched(&system, &writer, mark, &old, began).await?;
    ensure!(switch.announced > began + Duration::from_millis(5_500), "before the budget was over");
    let _: String = system.nodes[0].command(&["SCRIPT", "KILL"]).await?;
    script.await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}

#[tokio::test]
async fn hanging_shorter_than_down_after_is_no_death() -> Result<()> {
    let mut system = System::start(Plan { down_after_ms: 1_500, ..Plan::default() }).await?;
    // A prober whose machine is slow may suspect itself meanwhile.
    system.announce(&["tilt", "suspect", "stalled"]);
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    for _ in 0..5 {
        system.nodes[0].stop()?;
        stays(Duration::from_millis(800), async || Ok(())).await?;
        system.nodes[0].cont()?;
        nothing_happens(&system, mark, Duration::from_millis(1_000)).await?;
    }
    let master = system.master();
    finish(system, writer, &master).await
}

#[tokio::test]
async fn a_password_changed_on_the_master_alone_is_a_fault_of_the_monitoring() -> Result<()> {
    let mut system = System::start(Plan { down_after_ms: 500, ..Plan::default() }).await?;
    system.announce(&["auth-error", "login", "denied", "access", "NOAUTH", "impaired"]);
    let mark = system.watcher.mark();
    let master = &system.nodes[0];
    let _: String = master.command(&["CONFIG", "SET", "requirepass", "new"]).await?;
    let cut = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").to_owned();
    let logged_in = redis::RedisConnectionInfo::default().set_password("new");
    let info = redis::IntoConnectionInfo::into_connection_info(redis::ConnectionAddr::Tcp(
        master.addr().host().into(),
        master.addr().port(),
    ))?;
    let client = redis::Client::open(info.set_redis_settings(logged_in))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let _: u64 = cut.query_async(&mut connection).await?;
    event(&system, mark, EventName::AuthError).await?;
    nothing_happens(&system, mark, Duration::from_secs(5)).await?;
    let back: redis::Cmd = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").to_owned();
    let () = back.query_async(&mut connection).await?;
    event(&system, mark, EventName::TroubleOver).await?;
    let writer = writing(&system).await?;
    let master = system.master();
    finish(system, writer, &master).await
}

#[tokio::test]
async fn a_stalled_process_of_ours_says_so_and_harms_nobody() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&[
        "tilt",
        "suspect",
        "stalled",
        "sdown",
        "odown",
        "down",
        "quiet",
        "missed",
        "slow",
        "leader",
        "voter",
        "connection",
        "reconnect",
        "JetStream",
        "impaired",
    ]);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    for id in ["p1", "v1", "o1"] {
        system.service(id)?.stop()?;
    }
    nothing_happens(&system, mark, Duration::from_secs(5)).await?;
    for id in ["p1", "v1", "o1"] {
        system.service(id)?.cont()?;
    }
    event(&system, mark, EventName::SelfSuspect).await?;
    event(&system, mark, EventName::SelfSuspectOver).await?;
    nothing_happens(&system, mark, Duration::from_secs(2)).await?;

    // The woken one votes again: with another prober gone, the quorum of two needs it.
    system.service("p3")?.kill9()?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    ensure!(switch.announced < killed + Duration::from_secs(5), "it took too long");
    system.service("p3")?.start()?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}
