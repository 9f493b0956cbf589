//! What the live tests have in common: services against real processes.

pub mod chaos;
pub mod collector;
pub mod compare;
pub mod page;
pub mod plain;
pub mod receiver;
pub mod sentinel;
pub mod workshop;

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Network, System, Write, Writer, pick, signed_ms};
use vedette_model::{
    Event, EventName, Fact, Failover, GroupRecord, MasterRecord, NodeAddr, ProposalAnswer,
    Revision, VoterId,
};

/// A change of master as the tests saw it.
pub struct Switch {
    /// When the announcement came.
    pub announced: Instant,
    /// The announcement.
    pub master: MasterRecord,
    /// The first write on the new master.
    pub write: Write,
}

/// Waits until another master is announced after the mark, the writer goes on there, and the
/// failover has ended.
///
/// # Errors
/// What did not happen.
pub async fn switched(
    system: &System,
    writer: &Writer,
    mark: usize,
    old: &NodeAddr,
    since: Instant,
) -> Result<Switch> {
    let (announced, master) = system.watcher.new_master(mark, LIMIT, &system.group(), old).await?;
    let write = writer.write_on(&master.master, since, LIMIT).await?;
    let what = "a record of the new master without a failover";
    let settled = |fact: &Fact| {
        let record = pick::record(fact)?;
        (record.master == master.master && record.failover.is_none()).then_some(())
    };
    system.watcher.wait(mark, LIMIT, what, settled).await?;
    Ok(Switch { announced, master, write })
}

/// Waits until the writer writes.
///
/// # Errors
/// If it does not in time.
pub async fn writing(system: &System) -> Result<Writer> {
    let writer = system.writer().await?;
    writer.write_on(&system.master(), vedette_harness::now(), LIMIT).await?;
    Ok(writer)
}

/// Stops the writer, checks what must hold of every run, and ends the system.
///
/// # Errors
/// What did not hold.
pub async fn finish(system: System, writer: Writer, master: &NodeAddr) -> Result<()> {
    let since = vedette_harness::now();
    writer.write_on(master, since, LIMIT).await?;
    let writes = writer.stop().await?;
    writes.nothing_received_is_missing_on(system.node(master)?).await?;
    invariants(&system)?;
    system.finish().await
}

/// The protocol's invariants as far as the bus shows them.
///
/// # Errors
/// The first that does not hold.
pub fn invariants(system: &System) -> Result<()> {
    let mut records: BTreeMap<(String, Revision), GroupRecord> = BTreeMap::new();
    let mut masters: BTreeMap<(String, u64), NodeAddr> = BTreeMap::new();
    let mut promoted: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    let mut accepted: BTreeMap<(String, Revision), BTreeSet<VoterId>> = BTreeMap::new();
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for seen in system.watcher.since(0) {
        if let Fact::ProposalReply(reply) = &seen.fact
            && reply.answer == ProposalAnswer::Accepted
        {
            let key = (reply.group.to_string(), reply.revision);
            accepted.entry(key).or_default().insert(reply.voter.clone());
        }
        if let Some(record) = pick::record(&seen.fact) {
            let key = (record.group.to_string(), record.revision);
            let first = records.entry(key).or_insert_with(|| record.clone());
            ensure!(first == record, "two records of one revision: {first:?} and {record:?}");
        }
        if let Some(event) = pick::event(&seen.fact, EventName::PromotedSlave) {
            let key = (event.group.to_string(), event.epoch.0);
            let nodes = promoted.entry(key.clone()).or_default();
            nodes.insert(event.payload.clone());
            ensure!(nodes.len() == 1, "two promotions in epoch {}: {nodes:?}", key.1);
        }
        if let Some(master) = pick::master(&seen.fact) {
            let group = master.group.to_string();
            let first = masters.entry((group.clone(), master.epoch.0));
            let first = first.or_insert_with(|| master.master.clone());
            ensure!(*first == master.master, "two masters in epoch {}", master.epoch);
            let voters = accepted.get(&(group.clone(), master.revision)).map_or(0, BTreeSet::len);
            let planned = records.values().any(|record| {
                let plan = record.failover.as_ref();
                let names =
                    |plan: &Failover| (plan.epoch, &plan.target) == (master.epoch, &master.master);
                record.group == master.group && plan.is_some_and(names)
            });
            // Repeated announcements of an old record come without its votes.
            let is_news = newest.insert(group, master.epoch.0) < Some(master.epoch.0);
            ensure!(
                !is_news || system.nats.len() > 1 || voters >= 2 || planned,
                "epoch {} was announced after only {voters} voters had accepted it",
                master.epoch
            );
        }
    }
    Ok(())
}

/// Waits for an event of this name that `fits`. When it came, and the event.
///
/// # Errors
/// If none comes in time.
pub async fn event(
    system: &System,
    mark: usize,
    name: EventName,
    fits: impl Fn(&Event) -> bool,
) -> Result<(Instant, Event)> {
    let named = |fact: &Fact| pick::event(fact, name).filter(|event| fits(event)).cloned();
    system.watcher.wait(mark, LIMIT, &format!("event {name}"), named).await
}

/// The events of this name since a mark.
pub fn events(system: &System, mark: usize, name: EventName) -> Vec<Event> {
    let seen = system.watcher.since(mark);
    seen.iter().filter_map(|seen| pick::event(&seen.fact, name).cloned()).collect()
}

/// The longest time that a write waited for its acknowledgement, of those that came in a span or
/// within 200 ms after it, ms.
pub fn gap(writes: &[Write], from: Instant, to: Instant) -> f64 {
    let near = |write: &&Write| write.at > from && write.at < to + Duration::from_millis(200);
    writes.iter().filter(near).map(|write| ms(write.wanted, write.at)).fold(0.0, f64::max)
}

/// Fails if another master is announced or a node is promoted over this span.
///
/// # Errors
/// What happened.
pub async fn nothing_happens(system: &System, mark: usize, span: Duration) -> Result<()> {
    let old = system.master();
    vedette_harness::stays(span, async || {
        let happened = system.watcher.first(mark, |fact| {
            let announced = pick::master(fact).filter(|record| record.master != old);
            let promoted = pick::event(fact, EventName::PromotedSlave);
            announced
                .map(|record| format!("{} was announced", record.master))
                .or_else(|| promoted.map(|event| format!("{} {}", event.name, event.payload)))
        });
        ensure!(happened.is_none(), "nothing should have happened, but {happened:?}");
        for replica in &system.nodes[1..] {
            ensure!(!replica.is_master().await, "{} is a master", replica.name());
        }
        Ok(())
    })
    .await
}

/// Runs this on a thread of its own that lives in a namespace of a new [`Network`].
///
/// # Errors
/// If the network cannot be made, or what the work gives.
pub fn in_network<T: Send>(work: impl AsyncFnOnce(Network) -> Result<T> + Send) -> Result<T> {
    let mut network = Network::new()?;
    let home = network.add("watch")?;
    let work = move || -> Result<T> {
        home.enter()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(work(network))
    };
    let joined = std::thread::scope(|scope| scope.spawn(work).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How often a test repeats what it does: `VEDETTE_ROUNDS` of the environment, or so often.
///
/// # Errors
/// If the variable is no number.
pub fn rounds(default: usize) -> Result<usize> {
    Ok(from_environment("VEDETTE_ROUNDS")?.unwrap_or(default))
}

/// How long a test keeps up what it does: `VEDETTE_SECONDS` of the environment, or so long.
///
/// # Errors
/// If the variable is no number.
pub fn seconds(default: u64) -> Result<Duration> {
    Ok(Duration::from_secs(from_environment("VEDETTE_SECONDS")?.unwrap_or(default)))
}

/// A number in the environment.
///
/// # Errors
/// If it is there and is none.
pub fn from_environment<T: FromStr>(name: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    let number = text.parse().ok().with_context(|| format!("{name} is no number: {text:?}"))?;
    Ok(Some(number))
}

/// Times in one line: a single one as it is, of more their distribution.
pub fn distribution(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    match times.len() {
        0 => "none".into(),
        1 => format!("{:>7.1}", times[0]),
        n => format!(
            "min {:>7.1}  median {:>7.1}  p90 {:>7.1}  p99 {:>7.1}  max {:>7.1}  of {n}",
            at(0),
            at(50),
            at(90),
            at(99),
            at(100)
        ),
    }
}

/// A line that is shown although the test passes.
pub fn tell(line: &str) {
    // There is nobody to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "    {line}");
}

/// Milliseconds between two moments.
pub fn ms(from: Instant, to: Instant) -> f64 {
    signed_ms(to, from)
}
