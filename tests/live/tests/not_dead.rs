//! What looks like death and is none: a busy script, short hangs, a wrong password, a stalled
//! prober, voter or orchestrator. Nobody may fail over for it.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use vedette_harness::{GROUP, LIMIT, Node, Plan, ServiceProcess, System, now, pick, until};
use vedette_live::{
    finish, from_environment, invariants, ms, nothing_happens, seconds, switched, tell, writing,
};
use vedette_model::{EventName, Fact};

/// When an event of this name came.
async fn event(system: &System, mark: usize, name: EventName) -> Result<Instant> {
    Ok(vedette_live::event(system, mark, name, |_| true).await?.0)
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
    let budget = seconds(6)?;
    let down_after = budget / 6;
    let mut plan = Plan { down_after_ms: down_after.as_millis().try_into()?, ..Plan::default() };
    plan.settings.push(format!("busy_budget_ms = {}", budget.as_millis()));
    let mut system = System::start(plan).await?;
    system.announce(&["busy", "sdown", "odown", "down"]);
    let old = system.master();
    let _: String =
        system.nodes[0].command(&["CONFIG", "SET", "busy-reply-threshold", "100"]).await?;
    let (mark, began) = (system.watcher.mark(), now());
    let script = run_endless_script(&system)?;
    let told = event(&system, mark, EventName::Busy).await?;
    tell(&format!("a busy script is told after {:.0} ms", ms(began, told)));
    ensure!(told < began + down_after + Duration::from_secs(1), "that is too late");
    let most = (began + budget * 2 / 3).saturating_duration_since(now());
    nothing_happens(&system, mark, most).await?;
    let _: String = system.nodes[0].command(&["SCRIPT", "KILL"]).await?;
    script.await?;
    // A prober none of whose pings met the gap between two scripts would count them as one.
    over_for_all(&system, mark).await?;

    // Longer than its budget: the master serves nobody, so another does.
    let writer = writing(&system).await?;
    let (mark, began) = (system.watcher.mark(), now());
    let script = run_endless_script(&system)?;
    let tolerated = budget - Duration::from_millis(500);
    nothing_happens(&system, mark, tolerated).await?;
    let switch = switched(&system, &writer, mark, &old, began).await?;
    let took = ms(began, switch.announced);
    tell(&format!("with a budget of {budget:?} another is master after {took:.0} ms"));
    ensure!(switch.announced > began + tolerated, "before the budget was over");
    ensure!(switch.announced < began + budget + Duration::from_secs(2), "long after it was over");
    let _: String = system.nodes[0].command(&["SCRIPT", "KILL"]).await?;
    script.await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}

#[tokio::test]
async fn hanging_shorter_than_down_after_is_no_death() -> Result<()> {
    let node_lines = vec!["enable-debug-command yes".into()];
    let plan = Plan { down_after_ms: 1_000, node_lines, ..Plan::default() };
    let mut system = System::start(plan).await?;
    // A prober whose machine is slow may suspect itself meanwhile.
    system.announce(&["tilt", "suspect", "stalled"]);
    let writer = writing(&system).await?;
    let (mark, end) = (system.watcher.mark(), now() + seconds(10)?);
    let mut times = 0;
    while now() < end {
        let next = now() + Duration::from_secs(2);
        let _: String = system.nodes[0].command(&["DEBUG", "SLEEP", "0.8"]).await?;
        let rest = next.saturating_duration_since(now());
        nothing_happens(&system, mark, rest).await?;
        times += 1;
    }
    tell(&format!("the master slept {times} times for 0.8 s, with a down_after of 1 s"));
    let master = system.master();
    finish(system, writer, &master).await
}

/// Of a kilobyte, in one node, unless `VEDETTE_GIGABYTES` says otherwise.
const KEYS: u64 = 200_000;
/// `DEBUG POPULATE` serves nobody meanwhile.
const KEYS_AT_ONCE: u64 = 50_000;

async fn saves(node: &Node) -> Result<bool> {
    let info = node.info("persistence").await?;
    Ok(info.get("rdb_bgsave_in_progress").is_some_and(|field| field == "1"))
}

#[tokio::test]
async fn the_fork_of_a_large_data_set_is_no_death() -> Result<()> {
    let node_lines = vec!["enable-debug-command yes".into(), "rdbcompression no".into()];
    let plan = Plan { replicas: 1, down_after_ms: 1_000, node_lines, ..Plan::default() };
    let mut system = System::start_servers(plan).await?;
    let gigabytes: Option<u64> = from_environment("VEDETTE_GIGABYTES")?;
    let keys = gigabytes.map_or(KEYS, |gigabytes| gigabytes << 20);
    // It is not replicated.
    for node in &system.nodes {
        for part in 0..keys / KEYS_AT_ONCE {
            let (count, prefix) = (KEYS_AT_ONCE.to_string(), format!("part{part}"));
            let words = ["DEBUG", "POPULATE", &count, &prefix, "1000"];
            let _: String = node.command(&words).await?;
        }
    }
    system.start_services()?;
    system.ready().await?;
    system.announce(&["tilt", "suspect", "stalled"]);
    let (writer, mark) = (writing(&system).await?, system.watcher.mark());
    let before = writer.acknowledged().len();
    for _ in 0..2 {
        let _: String = system.nodes[0].command(&["BGSAVE"]).await?;
        while saves(&system.nodes[0]).await? {
            nothing_happens(&system, mark, Duration::from_millis(100)).await?;
        }
    }
    let info = system.nodes[0].info("stats").await?;
    let took = info.get("latest_fork_usec").context("it forked")?;
    let memory = system.nodes[0].info("memory").await?;
    let used = memory.get("used_memory_human").context("no size")?;
    let writes = writer.acknowledged().len() - before;
    tell(&format!("{used} forked in {took} us; {writes} writes meanwhile"));
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

/// Cuts off everybody who is not a replica: they must log in again.
async fn cut_clients(node: &Node) -> Result<()> {
    node.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]).await.map(drop)
}

#[tokio::test]
async fn a_password_is_changed_and_nothing_but_that_is_said() -> Result<()> {
    let password = Some("old".to_string());
    let mut system =
        System::start(Plan { down_after_ms: 500, password, ..Plan::default() }).await?;
    system.announce(&["sdown", "odown", "down"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let mark = system.watcher.mark();
    // Vedette first: it takes either from now on, and the nodes know the old one only.
    std::fs::write(system.path()?.join("new.pass"), "new\n")?;
    tell(system.vedette(&["set", GROUP, "--password-file", "new.pass"]).await?.trim());
    event(&system, mark, EventName::CredentialRotated).await?;
    for node in &system.nodes {
        cut_clients(node).await?;
    }
    nothing_happens(&system, mark, Duration::from_secs(2)).await?;
    // Then the nodes, which take either for a while; applications change meanwhile.
    for node in &system.nodes {
        let _: String = node.command(&["ACL", "SETUSER", "default", ">new"]).await?;
        let _: String = node.command(&["CONFIG", "SET", "masterauth", "new"]).await?;
    }
    let writes = writer.stop().await?;
    for node in &mut system.nodes {
        node.set_password("new");
        let _: String = node.command(&["ACL", "SETUSER", "default", "<old"]).await?;
        cut_clients(node).await?;
    }
    writes.nothing_received_is_missing_on(&system.nodes[0]).await?;
    nothing_happens(&system, mark, Duration::from_secs(2)).await?;
    let said = system.watcher.since(mark);
    for seen in said {
        let Fact::Event(event) = seen.fact else { continue };
        let meant = [EventName::CredentialRotated, EventName::Set].contains(&event.name);
        ensure!(meant, "{} {}: {}", event.name, event.payload, event.cause);
    }
    // Orchestrators log in with the new one, too.
    let killed = system.nodes[0].kill9()?;
    let group = system.group();
    let (announced, record) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    tell(&format!("with the new password a failover took {:.0} ms", ms(killed, announced)));
    system.all_follow(&record.master).await?;
    invariants(&system)?;
    system.finish().await
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
    let woken = now();
    for id in ["p1", "v1", "o1"] {
        system.service(id)?.cont()?;
    }
    event(&system, mark, EventName::SelfSuspect).await?;
    let votes = event(&system, mark, EventName::SelfSuspectOver).await?;
    tell(&format!("the woken prober counts again after {:.0} ms", ms(woken, votes)));
    ensure!(votes < woken + Duration::from_secs(2), "that is too late");
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

/// Stops a process for 95 of every 100 ms, as the kernel does to one that may use a twentieth of a
/// processor and wants more.
async fn throttled<T>(
    service: &ServiceProcess,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let throttle = async {
        loop {
            service.stop()?;
            until(now() + Duration::from_millis(95)).await;
            service.cont()?;
            until(now() + Duration::from_millis(5)).await;
        }
    };
    let done = tokio::select! {
        done = work => done,
        ended = throttle => ended,
    };
    service.cont()?;
    done
}

#[tokio::test]
async fn a_voter_that_hardly_gets_any_time_harms_nobody() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["voter", "quiet", "stalled", "slow", "sdown", "odown", "down", "leader"]);
    system.announce(&["connection", "missed", "impaired", "takeover", "tilt", "suspect"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let at = system.services.iter().position(|service| service.name() == "v1");
    let voter = system.services.remove(at.context("there is a v1")?);
    let took = throttled(&voter, async {
        let mark = system.watcher.mark();
        nothing_happens(&system, mark, Duration::from_secs(5)).await?;
        let killed = system.nodes[0].kill9()?;
        let switch = switched(&system, &writer, mark, &old, killed).await?;
        Ok((ms(killed, switch.announced), switch.master.master))
    });
    let (took, new) = took.await?;
    system.services.push(voter);
    tell(&format!("with a throttled voter: announced after {took:.0} ms"));
    ensure!(took < 5_000.0, "it took too long");
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

/// Our processes see another time of day than the machine's, and it jumps.
fn other_clock(clock: &Path) -> Result<Vec<(String, String)>> {
    let libraries = Path::new("/usr/lib");
    let machines = std::fs::read_dir(libraries)?.filter_map(std::result::Result::ok);
    let places = machines.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = places.chain([libraries.join("faketime/libfaketime.so.1")]).find(|p| p.is_file());
    let library = library.context("libfaketime is missing: `apt-get install faketime`")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok([
        ("LD_PRELOAD", text(&library)),
        ("FAKETIME_TIMESTAMP_FILE", text(clock)),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
    .map(|(name, value)| (name.into(), value))
    .into())
}

#[tokio::test]
async fn a_clock_that_jumps_by_an_hour_is_nothing() -> Result<()> {
    let clock = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock");
    let shift = |by: &str| std::fs::write(&clock, by);
    shift("+0")?;
    let service_environment = other_clock(&clock)?;
    let mut system = System::start(Plan { service_environment, ..Plan::default() }).await?;
    system.announce(&["sdown", "odown", "down"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let mark = system.watcher.mark();
    for by in ["+3600", "-3600", "+3600", "-3600"] {
        shift(by)?;
        nothing_happens(&system, mark, Duration::from_secs(2)).await?;
    }
    for name in [EventName::SelfSuspect, EventName::SelfSuspectOver] {
        ensure!(vedette_live::events(&system, mark, name).is_empty(), "{name} for nothing");
    }
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let took = ms(killed, switch.announced);
    tell(&format!("after jumps of the clock: announced after {took:.0} ms"));
    ensure!(took < 5_000.0, "it took too long");
    // They did see it: what is logged last is dated before what was logged first.
    let went_back = |service: &&ServiceProcess| {
        let log = service.log();
        let dated =
            |line: &str| Some(line.split_once("\"timestamp\":\"")?.1.get(..19)?.to_string());
        let mut dates = log.lines().filter_map(dated);
        dates.next().is_some_and(|first| dates.next_back().is_some_and(|last| last < first))
    };
    let back = system.services.iter().filter(went_back).count();
    // All but the orchestrator and the notifier that had nothing to say.
    ensure!(back >= system.services.len() - 2, "the clock went back for {back} services only");
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}
