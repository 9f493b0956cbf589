//! Everything is killed at once and started again in any order.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vedette_harness::{LIMIT, Node, Plan, System, Writer, now, pick, until, within};
use vedette_live::chaos::rng::Rng;
use vedette_live::{distribution, invariants, ms, rounds, seconds, tell, writing};
use vedette_model::{Fact, NodeAddr};

const WRITES_A_ROUND: usize = 200;
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// What dies and comes back leaves broken links; everybody says so.
const ANNOUNCED: &[&str] = &[
    "sdown",
    "odown",
    "down",
    "leader",
    "voter",
    "prober",
    "takeover",
    "connection",
    "reconnect",
    "JetStream",
    "impaired",
    "quiet",
    "reboot",
    "slave",
    "seed",
    "identity",
    "refused",
    "record",
    "stalled",
    "suspect",
    "tilt",
    "nats",
    "good",
    "failover",
];

/// One kind of process to start again.
#[derive(Clone, Copy, Debug)]
enum Part {
    Nats,
    Node(usize),
    Services,
}

/// Waits until exactly one node says master and all others that run follow it.
async fn the_one_master(system: &System) -> Result<NodeAddr> {
    let what = "exactly one master, all others follow it";
    within(LIMIT * 2, what, async || {
        let mut masters = Vec::new();
        for node in system.nodes.iter().filter(|n| n.pid().is_some()) {
            if node.is_master().await {
                masters.push(node.addr().clone());
            }
        }
        let [master] = masters.as_slice() else { return None };
        for node in system.nodes.iter().filter(|n| n.pid().is_some() && n.addr() != master) {
            if !node.follows(master).await {
                return None;
            }
        }
        Some(master.clone())
    })
    .await
}

/// Kills everything: services, nodes from this one on, NATS.
fn switch_off(system: &mut System, first: usize) -> Result<()> {
    for service in &mut system.services {
        service.kill9()?;
    }
    for n in 0..system.nodes.len() {
        let at = (first + n) % system.nodes.len();
        system.nodes[at].kill9()?;
    }
    system.nats[0].kill9().map(drop)
}

/// Starts everything but that node, with a rest after each part.
async fn switch_on(
    system: &mut System,
    order: &[Part],
    without: Option<usize>,
    mut rest: impl AsyncFnMut(),
) -> Result<()> {
    for part in order {
        match part {
            Part::Nats => system.nats[0].start()?,
            Part::Node(n) if Some(*n) == without => {}
            Part::Node(n) => system.nodes[*n].start()?,
            Part::Services => {
                for service in &mut system.services {
                    service.start()?;
                }
            }
        }
        rest().await;
    }
    Ok(())
}

async fn cut_power(order: &[Part], without: Option<usize>) -> Result<()> {
    let mut plan = Plan { down_after_ms: 500, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    let writer = writing(&system).await?;
    let deadline = now() + Duration::from_millis(300);
    within(LIMIT, "some writes", async || (now() > deadline).then_some(())).await?;

    switch_off(&mut system, 0)?;
    drop(writer);
    switch_on(&mut system, order, without, async || {}).await?;
    let began = now();
    for (n, node) in system.nodes.iter_mut().enumerate() {
        if Some(n) != without {
            node.answers().await?;
        }
    }
    let master = the_one_master(&system).await?;
    tell(&format!("{order:?} without {without:?}: settled after {:.0} ms", ms(began, now())));
    ensure!(now() < began + SETTLED_WITHIN, "it took longer than 30 s");
    // These nodes keep nothing on their disks: a master that came back empty may have a successor.
    ensure!(without.is_none() || master != old, "the dead node cannot be master");
    // And it is what is announced to whoever asks now.
    let announced = |fact: &Fact| pick::record(fact).filter(|r| r.master == master).map(|_| ());
    system.watcher.wait(0, LIMIT, "the master's record", announced).await?;
    let node = system.node(&master)?;
    let set: String =
        node.command(&["SET", "after", "1"]).await.context("the master takes writes")?;
    ensure!(set == "OK", "{set}");
    invariants(&system)?;
    system.shut_down().await
}

#[tokio::test]
async fn there_is_one_master_and_it_is_recorded_when_services_come_first() -> Result<()> {
    let order = [Part::Nats, Part::Services, Part::Node(2), Part::Node(1), Part::Node(0)];
    cut_power(&order, None).await
}

#[tokio::test]
async fn there_is_one_master_and_it_is_recorded_when_nats_comes_last() -> Result<()> {
    let order = [Part::Node(1), Part::Services, Part::Node(0), Part::Node(2), Part::Nats];
    cut_power(&order, None).await
}

#[tokio::test]
async fn a_rightful_successor_takes_over_without_the_former_masters_machine() -> Result<()> {
    let order = [Part::Nats, Part::Node(2), Part::Services, Part::Node(1), Part::Node(0)];
    cut_power(&order, Some(0)).await
}

/// Which of the writer's numbers a node's append-only file names.
fn on_disk(system: &System, node: &Node) -> Result<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    let key = b"seq:";
    for file in std::fs::read_dir(system.path()?.join(node.name()).join("appendonlydir"))? {
        let bytes = std::fs::read(file?.path())?;
        for at in memchr_all(&bytes, key) {
            let digits = bytes[at + key.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            numbers.insert(number);
        }
    }
    Ok(numbers)
}

fn memchr_all(bytes: &[u8], key: &[u8]) -> Vec<usize> {
    let found = bytes.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    found.map(|(at, _)| at).collect()
}

/// Of all processes, which is started when.
fn any_order(rng: &mut Rng) -> Vec<Part> {
    let mut parts = vec![Part::Nats, Part::Services, Part::Node(0), Part::Node(1), Part::Node(2)];
    for last in (1..parts.len()).rev() {
        let other = rng.range(0, last as u64 + 1);
        parts.swap(last, usize::try_from(other).unwrap_or(last));
    }
    parts
}

/// Looks at all nodes until the condition holds; how often two said master before and after.
async fn two_masters_until(system: &System, done: &AtomicBool) -> (usize, usize) {
    let (mut looks, mut twice, mut before) = (0, 0, BTreeSet::new());
    while !done.load(Ordering::Relaxed) {
        let answers = futures::future::join_all(system.nodes.iter().map(async |node| {
            let claims = node.pid().is_some() && node.is_master().await;
            claims.then(|| node.addr().clone())
        }));
        let masters: BTreeSet<NodeAddr> = answers.await.into_iter().flatten().collect();
        looks += 1;
        twice += usize::from(masters.intersection(&before).count() > 1);
        before = masters;
    }
    (looks, twice)
}

/// Of all rounds.
#[derive(Default)]
struct Seen {
    /// From the first start to one master that takes writes, in ms.
    took: Vec<f64>,
    /// From the answer of a former master's machine that was away to its following, in ms.
    late: Vec<f64>,
    looks: usize,
    kept: usize,
}

/// One cut. Returns who is master afterwards.
async fn one_cut(
    system: &mut System,
    writer: &Writer,
    rng: &mut Rng,
    (old, without): (&NodeAddr, Option<usize>),
    all: &mut Seen,
) -> Result<NodeAddr> {
    switch_off(system, usize::try_from(rng.range(0, 3))?)?;
    let acknowledged: BTreeSet<u64> = writer.acknowledged().iter().map(|w| w.number).collect();
    let mut left = BTreeSet::new();
    for (_, node) in system.nodes.iter().enumerate().filter(|(n, _)| Some(*n) != without) {
        left.extend(&on_disk(system, node)? & &acknowledged);
    }
    ensure!(left.len() * 10 > acknowledged.len() * 9, "hardly anything is on the disks");
    let (order, began) = (any_order(rng), now());
    let rest = async || until(now() + Duration::from_millis(rng.range(0, 500))).await;
    switch_on(system, &order, without, rest).await?;
    let done = AtomicBool::new(false);
    let settled = async {
        let master = the_one_master(system).await;
        if let Ok(master) = &master {
            let wrote = writer.write_on(master, began, LIMIT).await;
            wrote.context("the writer goes on")?;
        }
        done.store(true, Ordering::Relaxed);
        master
    };
    let (settled, (looks, twice)) = futures::join!(settled, two_masters_until(system, &done));
    let master = settled.with_context(|| format!("{order:?} without {without:?}"))?;
    all.took.push(ms(began, now()));
    all.looks += looks;
    all.kept += left.len();
    ensure!(twice == 0, "two said master at once, in {twice} of {looks} looks");
    ensure!(now() < began + SETTLED_WITHIN, "it took longer than 30 s");
    ensure!(without.is_none() || master != *old, "the dead node cannot be master");
    let lost = writer.missing_on(system.node(&master)?).await?;
    let lost: Vec<_> = lost.iter().filter(|write| left.contains(&write.number)).collect();
    ensure!(
        lost.is_empty(),
        "{order:?} without {without:?}: {master} lacks {} writes that were on a disk, the first is \
         {:?}",
        lost.len(),
        lost[0]
    );
    Ok(master)
}

#[tokio::test]
async fn in_any_order_there_is_one_master_and_it_has_what_was_kept() -> Result<()> {
    let node_lines = vec!["appendonly yes".into()];
    let mut plan = Plan { down_after_ms: 500, node_lines, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    plan.settings.push("trust_recorded_address = true".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let writer = writing(&system).await?;
    let (mut rng, mut all) = (Rng::new(3), Seen::default());
    let (mut old, rounds) = (system.master(), rounds(3)?);
    for round in 0..rounds {
        let written = writer.acknowledged().len();
        within(LIMIT, "some more writes", async || {
            (writer.acknowledged().len() > written + WRITES_A_ROUND).then_some(())
        })
        .await?;
        // In three of ten the former master's machine does not come back.
        let former = system.nodes.iter().position(|node| *node.addr() == old);
        let former = former.context("the master is one of ours")?;
        let without = (round % 10 % 3 == 2).then_some(former);
        let cut = one_cut(&mut system, &writer, &mut rng, (&old, without), &mut all).await;
        let master = cut.with_context(|| format!("round {round}"))?;
        // Now it is back, and its disk says that it is a master.
        if let Some(former) = without {
            system.nodes[former].start()?;
            system.nodes[former].answers().await?;
            let since = now();
            system.all_follow(&master).await?;
            all.late.push(ms(since, now()));
        }
        settled_record(&system, &master).await?;
        old = master;
    }
    let took = distribution(&mut all.took);
    tell(&format!("{rounds} rounds, to one master that all others follow in ms: {took}"));
    tell(&format!(
        "two masters in none of {} looks; {} writes on disks, none lost",
        all.looks, all.kept
    ));
    tell(&format!("former masters follow, in ms: {}", distribution(&mut all.late)));
    invariants(&system)?;
    system.shut_down().await
}

/// Waits until the record says that nothing is under way any more.
async fn settled_record(system: &System, master: &NodeAddr) -> Result<()> {
    within(LIMIT, "the record is settled", async || {
        let seen = system.watcher.since(0);
        let records = seen.iter().rev().filter_map(|seen| pick::record(&seen.fact));
        let newest = records.max_by_key(|record| record.revision)?;
        (newest.master == *master && newest.failover.is_none()).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_master_that_dies_while_everything_is_looked_at_anew_has_a_successor() -> Result<()> {
    let mut plan = Plan { down_after_ms: 500, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let (old, mark, group) = (system.master(), system.watcher.mark(), system.group());
    for service in &mut system.services {
        service.restart()?;
    }
    until(now() + Duration::from_millis(500)).await;
    let killed = system.nodes[0].kill9()?;
    let (announced, record) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    tell(&format!(
        "half a second after a restart: announced after {:.0} ms",
        ms(killed, announced)
    ));
    ensure!(announced < killed + Duration::from_secs(15), "it took longer than 15 s");
    system.all_follow(&record.master).await?;
    invariants(&system)?;
    system.shut_down().await
}

#[tokio::test]
async fn services_that_come_minutes_late_still_find_a_successor() -> Result<()> {
    // Minutes for a down_after of 500 ms: ten times down_after is the strict limit of freshness.
    let mut plan = Plan { down_after_ms: 500, ..Plan::default() };
    plan.settings.push("patience_ms = 2000".into());
    let mut system = System::start(plan).await?;
    system.announce(ANNOUNCED);
    let old = system.master();
    for service in &mut system.services {
        service.kill9()?;
    }
    system.nodes[0].kill9()?;
    let gone = now();
    let outage = seconds(12)?;
    within(outage + LIMIT, "an outage longer than the strict limit", async || {
        (now() > gone + outage).then_some(())
    })
    .await?;
    let mark = system.watcher.mark();
    let began = now();
    for service in &mut system.services {
        service.start()?;
    }
    let group = system.group();
    let (announced, record) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    tell(&format!("services back to announcement {:.0} ms", ms(began, announced)));
    ensure!(announced < began + Duration::from_secs(15), "it took longer than 15 s");
    system.all_follow(&record.master).await?;
    invariants(&system)?;
    system.shut_down().await
}
