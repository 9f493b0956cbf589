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

mod digest;
mod memory;
mod verdicts;

use crate::Machine;
use crate::happening::Dresser;
use crate::odown::Tally;
use crate::pulse::Pulse;
use crate::register::Acceptor;
use crate::rejoin::Joining;
use crate::roster::Meta;
use crate::timers::Timers;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Beat, BeatReply, Candidacy, Fact, GroupName, GroupRecord,
    Health, Heartbeat, Instant, Place, Proposal, ProposalAnswer, ProposalReply, RecordCommitted,
    Refusal, Roster, Sender, Standing, VoterId,
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

impl Stored {
    /// Of a group that the voter never heard of.
    pub const fn empty(group: GroupName) -> Self {
        Self { group, promised: None, accepted: None, committed: None }
    }
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
    /// It was away from the bus and is there again: what it said last may be lost.
    Back,
    /// The store could not sync an [`Output::Persist`]: what it protected was not sent. From now
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
    /// The same, for what is not of one group.
    PersistMeta(Meta),
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
    /// The first roster; what the voter has on disk goes before it.
    pub roster: Roster,
}

/// What the voter remembers, or how it comes by a memory.
#[derive(Debug, Clone)]
enum Mind {
    Joining(Joining),
    Knows(Meta),
}

/// Why a ballot is refused, whatever the group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Barred {
    StoreFailed,
    Joining,
    /// The floor, as the highest ballot that it stands for.
    Floor(BallotNumber),
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
    mind: Mind,
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
    /// A voter with what its store held; without `meta` it has no memory and asks for one.
    pub fn new(config: Config, meta: Option<Meta>, stored: Vec<Stored>, now: Instant) -> Self {
        let (sender, place) = (config.sender.clone(), config.place.clone());
        let (id, first) = (config.id.clone(), config.roster.clone());
        let (mind, stored) = match meta {
            Some(meta) => (Mind::Knows(meta), stored),
            None => {
                let joining = Joining::new(id, sender.incarnation, first, stored, now);
                (Mind::Joining(joining), Vec::new())
            }
        };
        let mut voter = Self {
            mind,
            groups: BTreeMap::new(),
            timers: Timers::new(),
            dresser: Dresser::new(sender.clone()),
            pulse: Pulse::new(sender, place, None, HEARTBEAT_EVERY, now),
            heartbeats: VecDeque::new(),
            next_ask: now,
            store_failed: None,
            stale_reports: 0,
            outputs: VecDeque::new(),
            config,
        };
        voter.tell_roster();
        voter.restore(stored, now);
        voter
    }

    fn restore(&mut self, stored: Vec<Stored>, now: Instant) {
        for stored in stored {
            let group = stored.group.clone();
            let acceptor = Acceptor::restore(self.config.id.clone(), stored, now);
            let mut tally = Tally::new(self.config.id.clone());
            if let Some(record) = acceptor.record() {
                tally.judge(record, now);
            }
            self.groups.insert(group, Group { acceptor, tally });
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
                let mut news = false;
                for committed in &reply.records {
                    news |= self.committed(committed, now);
                }
                // As in the directory: not once for each of those that answer.
                if reply.more && news {
                    self.next_ask = now;
                }
            }
            Fact::Heartbeat(beat) => {
                self.heard(&beat, now);
                self.heard_back(&beat, now);
            }
            Fact::RosterBallot(ballot) => self.roster_ballot(&ballot, reply_to, now),
            Fact::Rejoin(rejoin) => self.rejoin(&rejoin, reply_to),
            Fact::RejoinAnswer(answer) => self.rejoin_answer(answer, now),
            Fact::RecordCommitted(committed) => {
                self.committed(&committed, now);
            }
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
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_)
            | Fact::RosterAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::Event(_) => {}
        }
    }

    fn health(&self, now: Instant) -> Health {
        if let Some(why) = &self.store_failed {
            return Health::Impaired(format!(
                "the store failed ({why}): this voter no longer votes; mend the disk and restart it"
            ));
        }
        match &self.mind {
            Mind::Joining(joining) => Health::Impaired(joining.standing(now)),
            Mind::Knows(meta) if !meta.roster.contains(&self.config.id) => {
                Health::Impaired(format!(
                    "not on {}: its votes do not count; stop it, or put it on with `vedette \
                     roster add {}`",
                    meta.roster, self.config.id
                ))
            }
            Mind::Knows(_) => Health::Well,
        }
    }

    fn heartbeat(&mut self, standings: Vec<Standing>, now: Instant) {
        let beat = self.pulse.beat(self.health(now), standings);
        self.beats(beat, now);
    }

    fn beats(&mut self, beat: Heartbeat, now: Instant) {
        self.heartbeats.push_back((beat.tick, now));
        if self.heartbeats.len() > HEARTBEATS_KEPT {
            self.heartbeats.pop_front();
        }
        self.outputs.push_back(Output::Publish(beat.into()));
    }

    fn standings(&self) -> Vec<Standing> {
        let stand = |(name, group): (&GroupName, &Group)| {
            let record = group.acceptor.record().filter(|record| !record.removed)?;
            let text = group.tally.standing();
            Some(Standing { group: name.clone(), epoch: record.epoch, text })
        };
        self.groups.iter().filter_map(stand).collect()
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
        if let Some(barred) = self.barred(&candidacy.ballot) {
            let group = self.groups.get(&candidacy.group);
            let promised = group.and_then(|g| g.acceptor.stored().promised.clone());
            let (why, promised) = match barred {
                Barred::StoreFailed => (Refusal::StoreFailed, promised),
                Barred::Joining => (Refusal::Joining, promised),
                Barred::Floor(floor) => (Refusal::OlderBallot, promised.max(Some(floor))),
            };
            let answer = self.ballot(candidacy, BallotAnswer::Refused { why, promised });
            self.answer(None, reply_to, answer.into());
            return;
        }
        let roster = self.roster().clone();
        let Some(group) = self.group(&candidacy.group, now) else { return };
        // Reports that are over must not win a vote because the timer is late.
        group.tally.handle_timeout(now);
        let odown = group.tally.reached();
        let said = group.acceptor.candidacy(candidacy, &roster, odown, now);
        let stored = said.persist.then(|| group.acceptor.stored().clone());
        self.answer(stored, reply_to, said.answer.into());
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
        let version = self.roster().version;
        let refusal = match self.barred(&proposal.ballot) {
            Some(Barred::StoreFailed) => Some(ProposalAnswer::StoreFailed),
            Some(Barred::Joining) => Some(ProposalAnswer::Joining),
            _ if proposal.roster != version => Some(ProposalAnswer::OtherRoster { version }),
            Some(Barred::Floor(promised)) => Some(ProposalAnswer::Superseded { promised }),
            None => None,
        };
        if let Some(answer) = refusal {
            let reply = ProposalReply {
                group: name,
                ballot: proposal.ballot.clone(),
                revision: proposal.record.revision,
                voter: self.config.id.clone(),
                answer,
            };
            self.answer(None, reply_to, reply.into());
            return;
        }
        let Some(group) = self.group(&name, now) else { return };
        let said = group.acceptor.proposal(proposal, now);
        if let Some(record) = group.acceptor.record().filter(|_| said.persist) {
            group.tally.judge(record, now);
        }
        let stored = said.persist.then(|| group.acceptor.stored().clone());
        self.answer(stored, reply_to, said.answer.into());
        self.verdicts(&name);
    }

    fn beat(&mut self, beat: &Beat, reply_to: Option<String>, now: Instant) {
        let version = self.roster().version;
        // One of an older roster must learn that it leads no more; one of a newer roster asks a
        // voter that is behind.
        let refused = match self.barred(&beat.ballot) {
            Some(Barred::StoreFailed | Barred::Joining) => return,
            _ if beat.roster > version => return,
            Some(Barred::Floor(_)) => true,
            None => beat.roster < version,
        };
        let Some(group) = self.groups.get_mut(&beat.group) else { return };
        let reply = if refused {
            BeatReply {
                group: beat.group.clone(),
                ballot: beat.ballot.clone(),
                beat: beat.beat,
                voter: self.config.id.clone(),
                granted: false,
            }
        } else {
            group.acceptor.beat(beat, now)
        };
        self.answer(None, reply_to, reply.into());
    }

    /// Whether it was news.
    fn committed(&mut self, committed: &RecordCommitted, now: Instant) -> bool {
        let name = committed.record.group.clone();
        if self.store_failed.is_some() || self.meta().is_none() {
            return false;
        }
        let Some(group) = self.group(&name, now) else { return false };
        if !group.acceptor.committed(committed, now) {
            return false;
        }
        if let Some(record) = group.acceptor.record() {
            group.tally.judge(record, now);
        }
        let stored = group.acceptor.stored().clone();
        self.outputs.push_back(Output::Persist(stored));
        self.verdicts(&name);
        true
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

impl Machine for Voter {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact { fact, reply_to } => self.fact(fact, reply_to, now),
            Input::Back => self.back(now),
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
        self.join(now);
        if self.meta().is_some() && now >= self.next_ask {
            self.next_ask = now + ASK_EVERY;
            self.ask();
        }
        if self.pulse.is_due(now) {
            self.heartbeat(Vec::new(), now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ask = match &self.mind {
            Mind::Joining(joining) => joining.poll_timeout(),
            Mind::Knows(_) => self.next_ask,
        };
        [Some(self.pulse.next()), Some(ask), self.timers.next()].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
