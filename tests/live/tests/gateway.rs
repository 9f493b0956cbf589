//! The gateway on real servers: beside real Sentinels, and through a failover.

use anyhow::{Context as _, Result, bail, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Plan, System, now, within};
use vedette_live::compare::{self, Asked, Form};
use vedette_live::{finish, in_network, invariants, ms, switched, tell, writing};
use vedette_model::{NodeAddr, SwitchReason};

/// One that is cut off serves for so long at most; and a second for a busy machine.
const LEASE: Duration = Duration::from_secs(7 + 1);

/// Subscribers of `+switch-master`, one at each gateway.
async fn listening(gateways: &[SocketAddr]) -> Result<Vec<(SocketAddr, Asked)>> {
    let mut all = Vec::new();
    for at in gateways {
        let mut asked = Asked::connect(*at).await?;
        let _ = asked.ask(&["HELLO", "3"]).await?;
        let _ = asked.ask(&["SUBSCRIBE", "+switch-master"]).await?;
        all.push((*at, asked));
    }
    Ok(all)
}

/// Each is told of the change next, and the new master can be read there at once.
async fn all_hear(
    listening: &mut [(SocketAddr, Asked)],
    group: &str,
    old: &NodeAddr,
    new: &NodeAddr,
) -> Result<()> {
    for (at, asked) in listening {
        let Form::Push(message) = asked.reply().await? else { bail!("no push") };
        let wanted = format!("{group} {} {} {} {}", old.host(), old.port(), new.host(), new.port());
        ensure!(message[2].text() == wanted, "{message:?}");
        ensure!(compare::master(*at, group).await? == *new, "it is told and cannot be read");
    }
    Ok(())
}

#[tokio::test]
async fn it_answers_as_a_sentinel_does_but_for_what_the_table_says() -> Result<()> {
    let report = compare::run().await?;
    tell(&format!("{} answers compared, {} differ", report.count, report.found.len()));
    for difference in report.found.iter().filter(|found| found.why.is_none()) {
        tell(&difference.to_string());
    }
    let faults = report.faults();
    ensure!(faults.is_empty(), "see docs/migration.md:\n{}", faults.join("\n"));
    Ok(())
}

#[tokio::test]
async fn subscribers_hear_of_a_failover_and_can_read_it_at_once() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let (first, second) =
        (compare::gateway(&mut system, "g1").await?, compare::gateway(&mut system, "g2").await?);
    let (group, old) = (system.group().to_string(), system.master());
    let mut listening = listening(&[first, second]).await?;
    for at in [first, second] {
        ensure!(compare::master(at, &group).await? == old);
    }
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();
    all_hear(&mut listening, &group, &old, &new).await?;
    let mut asked = Asked::connect(first).await?;
    let master = asked.ask(&["SENTINEL", "MASTER", &group]).await?.entry();
    let field = |name: &str| master.get(name).map(String::as_str).context("a field is missing");
    ensure!(field("flags")? == "master" && field("num-other-sentinels")? == "1", "{master:?}");
    ensure!(field("config-epoch")? == "2", "{master:?}");
    let Form::Array(others) = asked.ask(&["SENTINEL", "SENTINELS", &group]).await? else {
        bail!("no list")
    };
    ensure!(others[0].entry().get("port") == Some(&second.port().to_string()), "{others:?}");
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

#[tokio::test]
async fn a_failover_that_a_client_asks_for_is_planned_and_loses_nothing() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    let gateways =
        [compare::gateway(&mut system, "g1").await?, compare::gateway(&mut system, "g2").await?];
    let (group, mut master) = (system.group().to_string(), system.master());
    let mut listening = listening(&gateways).await?;
    let writer = writing(&system).await?;
    let options: [&[&str]; 2] = [&[], &["COORDINATED"]];
    for option in options {
        let (mark, begun) = (system.watcher.mark(), now());
        let words = [&["SENTINEL", "FAILOVER", &group][..], option].concat();
        let answer = Asked::connect(gateways[0]).await?.ask(&words).await?;
        ensure!(answer == Form::Simple("OK".into()), "{words:?}: {answer:?}");
        let switch = switched(&system, &writer, mark, &master, begun).await?;
        let new = switch.master.master.clone();
        all_hear(&mut listening, &group, &master, &new).await?;
        ensure!(switch.master.reason == SwitchReason::Switchover, "{words:?}: {:?}", switch.master);
        let missing = writer.missing_on(system.node(&new)?).await?;
        ensure!(missing.is_empty(), "{words:?}: {} acknowledged writes are lost", missing.len());
        tell(&format!("{words:?}: announced after {:.0} ms", ms(begun, switch.announced)));
        // With a link to the new master, so that the next one can hand over too.
        system.all_follow(&new).await?;
        master = new;
    }
    finish(system, writer, &master).await
}

/// From now on nothing goes between these and the others; whoever is outside the system reaches all.
fn cut_off(system: &System, these: &[&str]) -> Result<()> {
    let nats = system.nats.iter().map(|server| server.name());
    let nodes = system.nodes.iter().map(|node| node.name());
    let services = system.services.iter().map(|service| service.name());
    let others: Vec<&str> =
        nats.chain(nodes).chain(services).filter(|name| !these.contains(name)).collect();
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let both = these
        .iter()
        .flat_map(|one| others.iter().flat_map(|other| [pair(one, other), pair(other, one)]));
    system.network().context("there is one")?.cut(&both.collect::<Vec<_>>())
}

/// As clients do: asks one gateway after the other, and connects to the node that it is told. After
/// how many tries that was a master, and which.
async fn connects(
    system: &System,
    gateways: &[SocketAddr],
    group: &str,
) -> Result<(usize, NodeAddr)> {
    for (n, at) in gateways.iter().enumerate() {
        let Ok(master) = compare::master(*at, group).await else { continue };
        if system.node(&master)?.is_master().await {
            return Ok((n + 1, master));
        }
    }
    bail!("no gateway leads to a master")
}

#[test]
fn a_gateway_that_is_cut_off_with_the_old_master_turns_clients_away() -> Result<()> {
    in_network(async |network| {
        let mut system = System::start_servers_at(Plan::default(), Some(network)).await?;
        system.start_services()?;
        system.ready().await?;
        let mut gateways = Vec::new();
        for id in ["g1", "g2", "g3"] {
            gateways.push(compare::gateway(&mut system, id).await?);
        }
        let (group, old) = (system.group(), system.master());
        let mut there = Asked::connect(gateways[0]).await?;
        ensure!(there.ask(&["PING"]).await? == Form::Simple("PONG".into()));

        let mark = system.watcher.mark();
        let since = now();
        cut_off(&system, &["g1", "redis1"])?;
        within(LEASE, "it lets nobody in", async || {
            TcpStream::connect(gateways[0]).await.is_err().then_some(())
        })
        .await?;
        let shut = now();
        ensure!(there.ask(&["PING"]).await.is_err(), "a client is still served");
        let (announced, new) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
        tell(&format!(
            "cut off with the old master: shut after {:.0} ms; the new one is announced after {:.0} ms",
            ms(since, shut),
            ms(since, announced)
        ));
        ensure!(system.nodes[0].is_master().await, "the old one does not say so any more");
        let found = connects(&system, &gateways, group.as_str()).await?;
        ensure!(found == (2, new.master.clone()), "{found:?}, not {}", new.master);

        cut_off(&system, &[])?;
        within(LIMIT, "it lets clients in again, and knows better", async || {
            let master = compare::master(gateways[0], group.as_str()).await.ok()?;
            (master == new.master).then_some(())
        })
        .await?;
        system.all_follow(&new.master).await?;
        invariants(&system)?;
        system.shut_down().await
    })
}

#[tokio::test]
async fn without_a_majority_of_voters_the_door_is_shut() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["voter", "clients are turned away"]);
    let at = compare::gateway(&mut system, "g1").await?;
    let mut there = Asked::connect(at).await?;
    let _ = there.ask(&["PING"]).await?;
    for id in ["v1", "v2"] {
        system.service(id)?.kill9()?;
    }
    within(LIMIT, "connecting is refused", async || {
        TcpStream::connect(at).await.is_err().then_some(())
    })
    .await?;
    ensure!(there.ask(&["PING"]).await.is_err(), "a client is still served");
    for id in ["v1", "v2"] {
        system.service(id)?.start()?;
    }
    within(LIMIT, "clients are let in again", async || TcpStream::connect(at).await.ok().map(drop))
        .await?;
    ensure!(compare::master(at, system.group().as_str()).await? == system.master());
    system.finish().await
}

#[tokio::test]
async fn a_replica_that_has_lost_its_link_is_down_for_clients_until_it_has_one() -> Result<()> {
    let plan = Plan { password: Some("secret".into()), ..Plan::default() };
    let mut system = System::start(plan).await?;
    let at = compare::gateway(&mut system, "g1").await?;
    let (group, node) = (system.group().to_string(), &system.nodes[1]);
    let flags = async || -> Option<String> {
        let all = Asked::connect(at).await.ok()?.ask(&["SENTINEL", "REPLICAS", &group]).await;
        let Form::Array(all) = all.ok()? else { return None };
        let mut entries = all.iter().map(Form::entry);
        let found = entries.find(|entry| entry["name"] == node.addr().to_string())?;
        let since = found.contains_key("s-down-time");
        (since == found["flags"].contains("s_down")).then(|| found["flags"].clone())
    };
    let is = async |wanted: &str| {
        let seen = async || (flags().await? == wanted).then_some(());
        within(LIMIT, &format!("its flags are {wanted}"), seen).await
    };
    is("slave").await?;
    let mut asked = Asked::connect(at).await?;
    let _ = asked.ask(&["HELLO", "3"]).await?;
    for channel in ["+sdown", "-sdown"] {
        let _ = asked.ask(&["SUBSCRIBE", channel]).await?;
    }
    for (masterauth, channel, wanted) in
        [("wrong", "+sdown", "s_down,slave"), ("secret", "-sdown", "slave")]
    {
        let _: String = node.command(&["CONFIG", "SET", "masterauth", masterauth]).await?;
        let _killed: u32 = node.command(&["CLIENT", "KILL", "TYPE", "master"]).await?;
        let Form::Push(message) = asked.reply().await? else { bail!("no push") };
        ensure!(message[1].text() == channel, "{message:?}");
        ensure!(message[2].text().starts_with(&format!("slave {} ", node.addr())), "{message:?}");
        is(wanted).await?;
    }
    system.finish().await
}
