//! The voter's role: verdicts, votes and records of all groups.
//!
//! ```text
//!  SdownReport ─► fresh? ─► odown ─► OdownVerdict
//!  Candidacy, Proposal, Beat ─► register::Acceptor ─► Persist, then the answer
//!  RecordCommitted ─► the acceptor's memory of what is committed
//!  Digest ─► DigestReply
//!  time ─► Digest; DigestReply of another voter ─► as RecordCommitted: a voter that missed one
//!          would have no verdict on the new master, and count as dead
//! ```

use crate::Machine;
use crate::happening::{Dresser, Happening};
use crate::odown::{self, Tally};
use crate::pulse::Pulse;
use crate::register::Acceptor;
use crate::timers::Timers;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Beat, Candidacy, Digest, DigestReply, Echo, EventName,
    Fact, GroupName, GroupRecord, Health, Instant, Opinion, Place, Proposal, ProposalAnswer,
    ProposalReply, RecordCommitted, Refusal, Roster, SdownReport, Sender, Standing, VoterId,
};

/// What a voter keeps on disk of one group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stored {
    /// The group.
    pub group: GroupName,
    /// The highest ballot promised.
    pub promised: Option<BallotNumber>,
    /// The record accepted last, with its ballot.
    pub accepted: Option<(BallotNumber, GroupRecord)>,
    /// The newest record known to be committed.
    pub committed: Option<RecordCommitted>,
}

/// What a voter hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus, with the subject its answer goes to if it wants one.
    Fact {
        /// The message.
        fact: Fact,
        /// Where to answer.
        reply_to: Option<String>,
    },
    /// The store could not sync a [`Output::Persist`]: what it protected was not sent. From now
    /// on the voter refuses everything and says so.
    StoreFailed {
        /// The store's words.
        why: String,
    },
}

/// What a voter does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write and sync before carrying out what follows.
    Persist(Stored),
    /// Tell the bus.
    Publish(Fact),
    /// Answer.
    Reply {
        /// The subject.
        to: String,
        /// The answer.
        fact: Fact,
    },
}

/// A report must prove that it was sent after a heartbeat of ours at most this old.
const FRESH: Duration = Duration::from_secs(2);
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);
/// A voter asks the others this often for records that it missed.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// Own heartbeats remembered for judging echoes.
const HEARTBEATS_KEPT: usize = 16;
/// Groups kept; a candidacy for one more is ignored.
const GROUP_LIMIT: usize = crate::directory::GROUP_LIMIT;

/// What a voter is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who speaks.
    pub sender: Sender,
    /// The same as an id.
    pub id: VoterId,
    /// Where it runs.
    pub place: Place,
    /// Who votes.
    pub roster: Roster,
}

#[derive(Debug, Clone)]
struct Group {
    acceptor: Acceptor,
    tally: Tally,
}

/// The voter.
#[derive(Debug, Clone)]
pub struct Voter {
    config: Config,
    groups: BTreeMap<GroupName, Group>,
    timers: Timers<GroupName>,
    pulse: Pulse,
    dresser: Dresser,
    heartbeats: VecDeque<(u64, Instant)>,
    next_ask: Instant,
    store_failed: Option<String>,
    stale_reports: u64,
    outputs: VecDeque<Output>,
}

impl Voter {
    /// A voter with what its store held.
    pub fn new(config: Config, stored: Vec<Stored>, now: Instant) -> Self {
        let (sender, place) = (config.sender.clone(), config.place.clone());
        let roster = Some(config.roster.clone());
        let restore = |stored: Stored| {
            let group = stored.group.clone();
            let acceptor = Acceptor::restore(config.id.clone(), stored, now);
            let mut tally = Tally::new(config.id.clone());
            if let Some(record) = acceptor.record() {
                tally.judge(record, now);
            }
            (group, Group { acceptor, tally })
        };
        Self {
            groups: stored.into_iter().map(restore).collect(),
            timers: Timers::new(),
            dresser: Dresser::new(sender.clone()),
            pulse: Pulse::new(sender, place, roster, HEARTBEAT_EVERY, now),
            heartbeats: VecDeque::new(),
            next_ask: now,
            store_failed: None,
            stale_reports: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// The record accepted last.
    pub fn record(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.groups.get(group)?.acceptor.record()
    }

    fn fact(&mut self, fact: Fact, reply_to: Option<String>, now: Instant) {
        match fact {
            Fact::SdownReport(report) => self.report(report, now),
            Fact::Candidacy(candidacy) => self.candidacy(&candidacy, reply_to, now),
            Fact::Proposal(proposal) => self.proposal(&proposal, reply_to, now),
            Fact::Beat(beat) => self.beat(&beat, reply_to, now),
            Fact::Digest(digest) => self.digest(&digest, reply_to, now),
            Fact::DigestReply(reply) => {
                for committed in &reply.records {
                    self.committed(committed, now);
                }
                if reply.more {
                    self.next_ask = now;
                }
            }
            Fact::RecordCommitted(committed) => self.committed(&committed, now),
            Fact::StatusQuery(_) => {
                let standings = self.standings();
                self.heartbeat(standings, now);
            }
            Fact::NodeReport(_)
            | Fact::OdownVerdict(_)
            | Fact::Ballot(_)
            | Fact::ProposalReply(_)
            | Fact::BeatReply(_)
            | Fact::FailoverStep(_)
            | Fact::Heartbeat(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::Event(_) => {}
        }
    }

    fn health(&self) -> Health {
        match &self.store_failed {
            None => Health::Well,
            Some(why) => Health::Impaired(format!(
                "the store failed ({why}): this voter no longer votes; mend the disk and restart it"
            )),
        }
    }

    fn heartbeat(&mut self, standings: Vec<Standing>, now: Instant) {
        let beat = self.pulse.beat(self.health(), standings);
        self.heartbeats.push_back((beat.tick, now));
        if self.heartbeats.len() > HEARTBEATS_KEPT {
            self.heartbeats.pop_front();
        }
        self.outputs.push_back(Output::Publish(beat.into()));
    }

    fn standings(&self) -> Vec<Standing> {
        let stand = |(name, group): (&GroupName, &Group)| {
            let record = group.acceptor.record()?;
            let text = group.tally.standing();
            Some(Standing { group: name.clone(), epoch: record.epoch, text })
        };
        self.groups.iter().filter_map(stand).collect()
    }

    /// A report counts only if it proves that it is fresh: a bus that was cut delivers late, and
    /// what a prober saw seconds ago must not bring a master down now.
    fn report(&mut self, report: SdownReport, now: Instant) {
        let mine = |e: &&Echo| {
            e.voter == self.config.id && e.incarnation == self.config.sender.incarnation
        };
        let tick = report.echo.iter().find(mine).map(|e| e.tick);
        let sent = self.heartbeats.iter().find(|(t, _)| Some(*t) == tick).map(|(_, at)| *at);
        if sent.is_none_or(|at| now.since(at) > FRESH) {
            self.stale_reports += 1;
            return;
        }
        let name = report.group.clone();
        if let Some(group) = self.groups.get_mut(&name) {
            group.tally.report(report, now);
        }
        self.verdicts(&name);
    }

    fn verdicts(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let mut said = Vec::new();
        while let Some(output) = group.tally.poll_output() {
            said.push(output);
        }
        self.timers.set(name, group.tally.poll_timeout());
        for output in said {
            self.say(output);
        }
    }

    fn say(&mut self, odown::Output { verdict, changed }: odown::Output) {
        self.outputs.push_back(Output::Publish(verdict.clone().into()));
        let Some(group) = self.groups.get(&verdict.group).filter(|_| changed) else { return };
        let Some(record) = group.acceptor.record().cloned() else { return };
        let name = if verdict.reached { EventName::Odown } else { EventName::OdownOver };
        let who: Vec<_> = verdict.tally.iter().map(opinion_text).collect();
        let cause =
            format!("quorum {}/{}: {}", verdict.tally.len(), verdict.quorum, who.join(", "));
        let event = self.dresser.dress(Happening::new(name, cause), &record, record.trace_id());
        self.outputs.push_back(Output::Publish(event.into()));
    }

    fn group(&mut self, name: &GroupName, now: Instant) -> Option<&mut Group> {
        if !self.groups.contains_key(name) && self.groups.len() >= GROUP_LIMIT {
            return None;
        }
        let id = &self.config.id;
        Some(self.groups.entry(name.clone()).or_insert_with(|| Group {
            acceptor: Acceptor::new(id.clone(), name.clone(), now),
            tally: Tally::new(id.clone()),
        }))
    }

    fn candidacy(&mut self, candidacy: &Candidacy, reply_to: Option<String>, now: Instant) {
        let roster = self.config.roster.clone();
        let failed = self.store_failed.is_some();
        let Some(group) = self.group(&candidacy.group, now) else { return };
        let (stored, answer) = if failed {
            let why = Refusal::StoreFailed;
            let promised = group.acceptor.stored().promised.clone();
            let answer = BallotAnswer::Refused { why, promised };
            (None, self.ballot(candidacy, answer))
        } else {
            // Reports that are over must not win a vote because the timer is late.
            group.tally.handle_timeout(now);
            let odown = group.tally.reached();
            let said = group.acceptor.candidacy(candidacy, &roster, odown, now);
            (said.persist.then(|| group.acceptor.stored().clone()), said.answer)
        };
        self.answer(stored, reply_to, answer.into());
        self.verdicts(&candidacy.group);
    }

    fn ballot(&self, candidacy: &Candidacy, answer: BallotAnswer) -> Ballot {
        Ballot {
            group: candidacy.group.clone(),
            ballot: candidacy.ballot.clone(),
            voter: self.config.id.clone(),
            answer,
        }
    }

    fn proposal(&mut self, proposal: &Proposal, reply_to: Option<String>, now: Instant) {
        let name = proposal.record.group.clone();
        let failed = self.store_failed.is_some();
        let voter = self.config.id.clone();
        let Some(group) = self.group(&name, now) else { return };
        let (stored, answer) = if failed {
            let answer = ProposalReply {
                group: name.clone(),
                ballot: proposal.ballot.clone(),
                revision: proposal.record.revision,
                voter,
                answer: ProposalAnswer::StoreFailed,
            };
            (None, answer)
        } else {
            let said = group.acceptor.proposal(proposal, now);
            if let Some(record) = group.acceptor.record().filter(|_| said.persist) {
                group.tally.judge(record, now);
            }
            (said.persist.then(|| group.acceptor.stored().clone()), said.answer)
        };
        self.answer(stored, reply_to, answer.into());
        self.verdicts(&name);
    }

    fn beat(&mut self, beat: &Beat, reply_to: Option<String>, now: Instant) {
        if self.store_failed.is_some() {
            return;
        }
        let Some(group) = self.groups.get_mut(&beat.group) else { return };
        let reply = group.acceptor.beat(beat, now);
        self.answer(None, reply_to, reply.into());
    }

    fn committed(&mut self, committed: &RecordCommitted, now: Instant) {
        let name = committed.record.group.clone();
        let failed = self.store_failed.is_some();
        let Some(group) = self.group(&name, now) else { return };
        if failed || !group.acceptor.committed(committed, now) {
            return;
        }
        if let Some(record) = group.acceptor.record() {
            group.tally.judge(record, now);
        }
        let stored = group.acceptor.stored().clone();
        self.outputs.push_back(Output::Persist(stored));
        self.verdicts(&name);
    }

    /// Asks the others for what was committed while this voter was away.
    fn ask(&mut self) {
        let revision =
            |g: &Group| g.acceptor.stored().committed.as_ref().map(|c| c.record.revision);
        let have = self.groups.iter().filter_map(|(n, g)| Some((n.clone(), revision(g)?)));
        self.outputs.push_back(Output::Publish(Digest { have: have.collect() }.into()));
    }

    fn digest(&mut self, digest: &Digest, reply_to: Option<String>, now: Instant) {
        let have: BTreeMap<_, _> = digest.have.iter().map(|(g, r)| (g, *r)).collect();
        let newer = |(name, group): (&GroupName, &Group)| {
            let committed = group.acceptor.stored().committed.clone()?;
            (have.get(name).copied() < Some(committed.record.revision)).then_some(committed)
        };
        let mut records: Vec<_> = self.groups.iter().filter_map(newer).collect();
        let more = records.len() > DigestReply::LIMIT;
        records.truncate(DigestReply::LIMIT);
        let unsettled = self.groups.iter().filter(|(_, g)| g.acceptor.is_left_unsettled(now));
        let reply = DigestReply {
            voter: self.config.id.clone(),
            records,
            unsettled: unsettled.map(|(name, _)| name.clone()).collect(),
            more,
        };
        self.answer(None, reply_to, reply.into());
    }

    fn answer(&mut self, stored: Option<Stored>, reply_to: Option<String>, fact: Fact) {
        if let Some(stored) = stored {
            self.outputs.push_back(Output::Persist(stored));
        }
        if let Some(to) = reply_to {
            self.outputs.push_back(Output::Reply { to, fact });
        }
    }
}

fn opinion_text(opinion: &Opinion) -> String {
    format!("{} in {} ({})", opinion.prober, opinion.place, opinion.evidence)
}

impl Machine for Voter {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact { fact, reply_to } => self.fact(fact, reply_to, now),
            Input::StoreFailed { why } => self.store_failed = Some(why),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for name in self.timers.take_due(now) {
            if let Some(group) = self.groups.get_mut(&name) {
                group.tally.handle_timeout(now);
            }
            self.verdicts(&name);
        }
        if now >= self.next_ask {
            self.next_ask = now + ASK_EVERY;
            self.ask();
        }
        if self.pulse.is_due(now) {
            self.heartbeat(Vec::new(), now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [Some(self.pulse.next()), Some(self.next_ask), self.timers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
