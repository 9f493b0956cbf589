//! What must hold after each round, seen from outside.

use super::Report;
use super::nodes::{Nodes, Promotion};
use super::story::Story;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_harness::{LIMIT, Seen, System, Write, Writer, Writes, pick, within};
use vedette_model::{
    Epoch, Fact, GroupRecord, MasterRecord, NodeAddr, ProposalAnswer, Revision, Sender, Service,
    VoterId,
};

/// A promotion may be seen so long after the first write that it made possible.
const SEEN_LATE: Duration = Duration::from_secs(1);

/// What is known from the rounds before.
#[derive(Default)]
pub struct Checks {
    mark: usize,
    /// So many of the acknowledged writes were on all nodes, but for those written off.
    settled: usize,
    written_off: BTreeSet<u64>,
    records: BTreeMap<Revision, GroupRecord>,
    accepted: BTreeMap<Revision, BTreeSet<VoterId>>,
    planned: BTreeMap<Epoch, NodeAddr>,
    announced: BTreeMap<Epoch, MasterRecord>,
    by_sender: BTreeMap<Sender, BTreeMap<u64, Epoch>>,
    digested: BTreeMap<Revision, NodeAddr>,
}

impl Checks {
    /// Everything.
    ///
    /// # Errors
    /// The first that does not hold.
    pub async fn round(
        &mut self,
        system: &System,
        writer: &Writer,
        nodes: &Nodes,
        master: &NodeAddr,
        story: &mut Story,
        report: &mut Report,
    ) -> Result<()> {
        let mark = system.watcher.mark();
        for seen in system.watcher.since(self.mark) {
            self.fact(&seen)?;
        }
        self.mark = mark;
        self.announcements()?;
        promotions_by_log(system)?;
        self.writes(system, writer, nodes, master, story, report).await?;
        report.switches = self.announced.len().saturating_sub(1);
        Ok(())
    }

    fn fact(&mut self, seen: &Seen) -> Result<()> {
        if let Fact::ProposalReply(reply) = &seen.fact
            && reply.answer == ProposalAnswer::Accepted
        {
            self.accepted.entry(reply.revision).or_default().insert(reply.voter.clone());
        }
        if let Fact::DigestReply(reply) = &seen.fact {
            for committed in &reply.records {
                let record = &committed.record;
                self.digested.insert(record.revision, record.master.clone());
            }
        }
        if let Some(record) = pick::record(&seen.fact) {
            let first = self.records.entry(record.revision).or_insert_with(|| record.clone());
            ensure!(first == record, "two records of one revision: {first:?} and {record:?}");
            self.plan(record)?;
        }
        if let Some(master) = pick::master(&seen.fact) {
            let first = self.announced.entry(master.epoch).or_insert_with(|| master.clone());
            ensure!(
                first.master == master.master,
                "two masters announced in epoch {}: {} and {}",
                master.epoch,
                first.master,
                master.master
            );
            if let (Some(sender), Some(sequence)) = (&seen.sender, seen.sequence) {
                let said = self.by_sender.entry(sender.clone()).or_default();
                said.insert(sequence, master.epoch);
            }
        }
        Ok(())
    }

    /// A committed plan promotes one node under its epoch.
    fn plan(&mut self, record: &GroupRecord) -> Result<()> {
        let Some(plan) = &record.failover else { return Ok(()) };
        let first = self.planned.entry(plan.epoch).or_insert_with(|| plan.target.clone());
        ensure!(
            *first == plan.target,
            "two nodes for epoch {}: {first} and {}",
            plan.epoch,
            plan.target
        );
        Ok(())
    }

    /// What was announced was committed, and no sender announces an older epoch after a newer one.
    fn announcements(&self) -> Result<()> {
        for master in self.announced.values() {
            let voters = self.accepted.get(&master.revision).map_or(0, BTreeSet::len);
            let committed = self.records.get(&master.revision).map(|record| &record.master);
            let known = committed.or_else(|| self.digested.get(&master.revision));
            ensure!(
                known.map_or(voters >= 2, |known| *known == master.master),
                "epoch {} (revision {}) was announced with {}, but {known:?} is committed and \
                 {voters} voters accepted it",
                master.epoch,
                master.revision,
                master.master
            );
        }
        for (sender, said) in &self.by_sender {
            let epochs: Vec<Epoch> = said.values().copied().collect();
            ensure!(epochs.is_sorted(), "{sender} announced {epochs:?}, in this order");
        }
        Ok(())
    }

    /// Replication is a stream, so each master's successor has a beginning of what it acknowledged.
    async fn writes(
        &mut self,
        system: &System,
        writer: &Writer,
        nodes: &Nodes,
        master: &NodeAddr,
        story: &mut Story,
        report: &mut Report,
    ) -> Result<()> {
        let acknowledged = writer.acknowledged();
        everywhere(system, master).await?;
        let writes = Writes { acknowledged };
        let missing = writes.missing_on(system.node(master)?).await?;
        let missing: BTreeSet<u64> = missing.iter().map(|write| write.number).collect();
        let promotions = nodes.promotions();
        let held = promotions.iter().rfind(|promotion| promotion.node == *master);
        if let Some(promotion) = held {
            let gone: Vec<&u64> = missing.intersection(&promotion.held).collect();
            let gone: Vec<_> = gone.iter().filter(|n| !self.written_off.contains(n)).collect();
            ensure!(
                gone.is_empty(),
                "{master} held {} acknowledged writes when it was promoted, and lacks them now: \
                 {:?}",
                gone.len(),
                gone.iter().take(20).collect::<Vec<_>>()
            );
        }
        let (settled, new) = writes.acknowledged.split_at(self.settled);
        let gone: Vec<u64> = (settled.iter().map(|write| write.number))
            .filter(|n| missing.contains(n) && !self.written_off.contains(n))
            .collect();
        ensure!(
            gone.is_empty(),
            "{} writes that all nodes had after an earlier round are gone: {:?}",
            gone.len(),
            gone.iter().take(20).collect::<Vec<_>>()
        );
        for (epoch, lost) in lost_by_epoch(new, &missing, &promotions)? {
            let stated = self.announced.range(epoch.next()..).next().map(|(_, next)| &next.loss);
            let words = format!("{lost} acknowledged writes of {epoch} lost; stated: {stated:?}");
            story.tell(&words);
            report.notes.push(words);
        }
        report.lost += new.iter().filter(|write| missing.contains(&write.number)).count();
        report.acknowledged = writes.acknowledged.len();
        self.written_off.extend(missing);
        self.settled = writes.acknowledged.len();
        Ok(())
    }
}

/// How many acknowledged writes of each epoch are lost. A node that was demoted and promoted again
/// begins anew, also for a writer that has heard of neither.
fn lost_by_epoch(
    writes: &[Write],
    missing: &BTreeSet<u64>,
    promotions: &[Promotion],
) -> Result<BTreeMap<Epoch, usize>> {
    let mut counts = BTreeMap::new();
    let mut last_lost: BTreeMap<(Epoch, &NodeAddr), &Write> = BTreeMap::new();
    for write in writes {
        // Before the first announcement it is the first epoch.
        let epoch = write.epoch.unwrap_or(Epoch(1));
        let key = (epoch, &write.node);
        if missing.contains(&write.number) {
            last_lost.insert(key, write);
            *counts.entry(epoch).or_default() += 1;
        } else if let Some(lost) = last_lost.remove(&key) {
            let span = lost.at..=write.at + SEEN_LATE;
            ensure!(
                promotions.iter().any(|p| p.node == write.node && span.contains(&p.at)),
                "{} acknowledged write {} in epoch {epoch} after write {}, which is lost, and it is \
                 still there: not an end of the stream is lost, but its middle",
                write.node,
                write.number,
                lost.number
            );
        }
    }
    Ok(counts)
}

/// Waits until the replicas have what the master has now.
async fn everywhere(system: &System, master: &NodeAddr) -> Result<()> {
    let offset = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok());
    let info = system.node(master)?.info("replication").await?;
    let wanted = offset(info.get("master_repl_offset")).context("a master has an offset")?;
    for node in system.nodes.iter().filter(|node| node.addr() != master) {
        let what = format!("{} has everything up to {wanted}", node.name());
        within(LIMIT, &what, async || {
            let info = node.info("replication").await.ok()?;
            (offset(info.get("slave_repl_offset"))? >= wanted).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// The orchestrators' logs: `+selected-slave` names the plan's epoch, `+promoted-slave` the node.
fn promotions_by_log(system: &System) -> Result<()> {
    let mut promoted: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for service in system.services.iter().filter(|s| s.service() == Service::Orchestrator) {
        let mut selected: BTreeMap<String, u64> = BTreeMap::new();
        for line in service.log().lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let field = |name: &str| entry["fields"][name].as_str().unwrap_or_default();
            let node = field("payload").split(' ').nth(1).unwrap_or_default().to_string();
            match field("message") {
                "+selected-slave" => {
                    let number = field("cause").strip_prefix("epoch ");
                    let number = number.and_then(|rest| rest.split(';').next()?.parse().ok());
                    let number = number.with_context(|| format!("no epoch in {line}"))?;
                    selected.insert(node, number);
                }
                "+promoted-slave" => {
                    let epoch = selected.get(&node).with_context(|| {
                        format!("{} promoted {node} without having selected it", service.name())
                    })?;
                    promoted.entry(*epoch).or_default().insert(node);
                }
                _ => {}
            }
        }
    }
    for (epoch, nodes) in promoted {
        ensure!(nodes.len() == 1, "the logs tell of two promotions in epoch {epoch}: {nodes:?}");
    }
    Ok(())
}
