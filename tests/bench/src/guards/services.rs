//! Vedette around a crowd.

use super::{Happened, Said};
use crate::crowd::Crowd;
use crate::process::Watched;
use anyhow::Result;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use vedette_harness::{NatsServer, Process, Seen, ServiceProcess, Watcher, binary, pick};
use vedette_model::{
    BallotNumber, Candidacy, Epoch, Fact, FactKind, FailoverStep, GroupName, MasterRecord, Purpose,
    Service, Step,
};

const VOTERS: usize = 3;
const ORCHESTRATORS: usize = 2;
/// The subjects' prefix.
const PREFIX: &str = "vedette";
/// What is listened to; all that they say of thousands of nodes would cost too much here.
const KINDS: &[FactKind] = &[
    FactKind::MasterRecord,
    FactKind::Candidacy,
    FactKind::Proposal,
    FactKind::FailoverStep,
    FactKind::Event,
];

pub struct Services {
    nats: Vec<NatsServer>,
    services: Vec<ServiceProcess>,
    /// The command that declares the groups, until it has.
    applying: Option<Process>,
    watcher: Watcher,
    /// Groups whose record lacks a node.
    unknown: BTreeSet<GroupName>,
    /// What was heard before less was listened to.
    before: Vec<Seen>,
    /// The last epoch that was announced of each group.
    epochs: HashMap<GroupName, Epoch>,
    /// The ballots that were asked for to replace a master.
    ballots: HashSet<(GroupName, BallotNumber)>,
    /// Nodes of each group.
    members: usize,
    probers: usize,
}

impl Services {
    /// Starts them. The groups that this file declares are known to the orchestrators, or else are
    /// told them by the command line.
    pub async fn start(
        probers: usize,
        crowd: &Crowd,
        groups: &Path,
        apply: bool,
        folder: &Path,
    ) -> Result<Self> {
        let nats = NatsServer::start(1, true, folder).await?;
        let urls: Vec<String> = nats.iter().map(|server| server.url().into()).collect();
        let kinds = [KINDS, &[FactKind::RecordCommitted]].concat();
        let watcher = Watcher::start_for(&urls, PREFIX, &kinds).await?;
        let mut services = Vec::new();
        for (service, letter, count) in [
            (Service::Voter, 'v', VOTERS),
            (Service::Prober, 'p', probers),
            (Service::Orchestrator, 'o', ORCHESTRATORS),
        ] {
            for n in 1..=count {
                let id = format!("{letter}{n}");
                let mut keys = Vec::new();
                if service == Service::Voter {
                    keys.push(format!("store = {:?}", folder.join(format!("{id}.redb"))));
                } else if service == Service::Orchestrator && !apply {
                    keys.push(format!("groups_file = {groups:?}"));
                }
                services.push(ServiceProcess::start(service, &id, &urls, &keys, "text", folder)?);
            }
        }
        Ok(Self {
            applying: apply.then(|| applying(&urls, groups, folder)).transpose()?,
            nats,
            services,
            watcher,
            unknown: crowd.groups.iter().map(|group| group.name.clone()).collect(),
            before: Vec::new(),
            epochs: HashMap::new(),
            ballots: HashSet::new(),
            members: crowd.groups.first().map_or(0, |group| group.nodes.len()),
            probers,
        })
    }

    /// What is still missing, in words.
    pub async fn missing(&mut self, crowd: &mut Crowd) -> Result<Option<String>> {
        if let Some(applying) = &mut self.applying {
            match applying.collect() {
                Some(status) if status.success() => self.applying = None,
                // Nobody was there yet, or somebody took too long: it goes on where it was.
                Some(_) => applying.start()?,
                None => {}
            }
        }
        if !self.unknown.is_empty() {
            let (left, all) = (self.unknown.len(), crowd.groups.len());
            return Ok(Some(format!("{left} of {all} groups have no record with all nodes")));
        }
        let (watched, all) = (crowd.watched(self.probers).await?, crowd.nodes());
        let words = format!("{watched} of {all} nodes are watched by all probers");
        Ok((watched < all).then_some(words))
    }

    /// Once all groups are known, their records need not be heard any more.
    ///
    /// # Errors
    /// If NATS cannot be reached.
    pub async fn hear_less(&mut self) -> Result<()> {
        let urls: Vec<String> = self.nats.iter().map(|server| server.url().into()).collect();
        let less = Watcher::start_for(&urls, PREFIX, KINDS).await?;
        let more = std::mem::replace(&mut self.watcher, less);
        self.before.extend(more.take());
        Ok(())
    }

    /// Lines of their logs that tell of an error.
    pub fn errors(&self) -> usize {
        let services = self.services.iter().map(|service| service.log());
        let logs = services.chain(self.nats.iter().map(|server| server.log()));
        logs.map(|log| log.lines().filter(|line| is_error(line)).count()).sum()
    }

    pub fn processes(&self) -> Vec<Watched> {
        let services = self.services.iter().filter_map(|service| {
            let kind = match service.service() {
                Service::Prober => "prober",
                Service::Voter => "voter",
                Service::Orchestrator => "orchestrator",
                Service::Notifier | Service::Gateway | Service::Client => "other service",
            };
            Some(Watched { kind, name: service.name().into(), pid: service.pid()? })
        });
        let nats = self.nats.iter().filter_map(|server| {
            Some(Watched { kind: "NATS server", name: server.name().into(), pid: server.pid()? })
        });
        services.chain(nats).collect()
    }

    /// The masters that were announced since it was asked last.
    pub fn masters(&mut self, happened: &mut Happened) -> Vec<Said> {
        let mut said = Vec::new();
        let heard = std::mem::take(&mut self.before).into_iter().chain(self.watcher.take());
        for one in heard {
            if let Some(record) = pick::record(&one.fact)
                && record.members.len() == self.members
            {
                self.unknown.remove(&record.group);
            }
            if let Some(MasterRecord { group, epoch, master, .. }) = pick::master(&one.fact)
                && self.epochs.get(group).is_none_or(|known| known < epoch)
            {
                self.epochs.insert(group.clone(), *epoch);
                said.push(Said { at: one.at, group: group.clone(), master: master.clone() });
            }
            if let Fact::Candidacy(Candidacy { group, ballot, purpose, .. }) = &one.fact
                && matches!(purpose, Purpose::Failover { .. })
                && self.ballots.insert((group.clone(), ballot.clone()))
            {
                happened.tried(group);
            }
            if let Some(name) = happening(&one.fact) {
                happened.add(name);
            }
        }
        said
    }
}

/// Writes down the groups of a crowd as a groups file.
pub fn groups_file(
    crowd: &Crowd,
    quorum: usize,
    down_after_ms: u64,
    folder: &Path,
) -> Result<PathBuf> {
    let mut text = String::new();
    for group in &crowd.groups {
        let (name, master) = (&group.name, group.master());
        writeln!(text, "[[group]]\nname = \"{name}\"\nmaster = \"{master}\"")?;
        writeln!(text, "quorum = {quorum}\ndown_after_ms = {down_after_ms}")?;
    }
    let groups = folder.join("groups.toml");
    std::fs::write(&groups, text)?;
    Ok(groups)
}

fn applying(urls: &[String], groups: &Path, folder: &Path) -> Result<Process> {
    let mut words: Vec<String> =
        urls.iter().flat_map(|url| ["--nats".into(), url.clone()]).collect();
    words.extend(["apply".into(), groups.to_string_lossy().into_owned(), "--yes".into()]);
    Process::spawn("apply", binary::command_line()?, words, folder)
}

/// What is counted of a fact.
fn happening(fact: &Fact) -> Option<String> {
    if let Some(event) = pick::any_event(fact) {
        return Some(format!("event: {}", event.name));
    }
    if let Some(step) = pick::step(fact) {
        return Some(format!("step: {}", kind(step)));
    }
    let asks = [FactKind::Candidacy, FactKind::Proposal];
    asks.contains(&fact.kind()).then(|| format!("bus: {}", fact.kind().as_str()))
}

/// A step without what tells one group or node from another.
fn kind(step: &FailoverStep) -> String {
    match &step.step {
        Step::Surveyed { answered, asked } => format!("{answered} of {asked} surveyed"),
        Step::Selected { .. } => "selected".into(),
        Step::Promoted { .. } => "promoted".into(),
        Step::Level { .. } => "level".into(),
        Step::Committed { .. } => "committed".into(),
        Step::Repaired { .. } => "repaired".into(),
        Step::Aborted { why } => format!("aborted: {}", alike(why)),
        Step::Waiting { why } => format!("no attempt: {}", alike(why)),
        step @ (Step::Odown | Step::Claimed | Step::Paused | Step::Frozen | Step::Ended) => {
            step.to_string()
        }
    }
}

/// Whether a line of a service's or NATS server's log tells of an error.
fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR") || line.contains(" [ERR] ")
}

/// Words with `#` for each number, so that what is alike is counted together.
fn alike(words: &str) -> String {
    let mut text = String::new();
    for letter in words.chars() {
        if !letter.is_ascii_digit() {
            text.push(letter);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_level_makes_a_line_an_error() {
        let log = "2026-11-23T06:03:21.000000Z ERROR vedette_voter: the store's thread panicked\n\
                   2026-11-23T06:03:21.000000Z  WARN vedette_voter: an ERROR that was mended\n\
                   2026-11-23T06:03:21.000000Z  INFO vedette_voter: fine\n\
                   [7] 2026/11/23 06:03:21.000000 [ERR] JetStream failed to store a message\n\
                   [7] 2026/11/23 06:03:21.000000 [INF] Server is ready\n";
        assert_eq!(log.lines().filter(|line| is_error(line)).count(), 2);
    }

    #[test]
    fn reasons_that_differ_in_numbers_are_alike() {
        assert_eq!(alike("held off for 4980 ms at 127.0.0.1:7"), "held off for # ms at #.#.#.#:#");
    }
}
