//! The orchestrator's side of one group's register.

use super::{BEAT_EVERY, LEASE, SILENT_LIMIT};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Beat, BeatReply, Candidacy, GroupName, GroupRecord,
    Instant, OrchestratorId, Proposal, ProposalAnswer, ProposalReply, Purpose, RecordCommitted,
    Refusal, Revision, Roster, VoterId,
};

/// A question that is not answered is asked again this often.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A candidacy that has no majority by then is given up.
pub const CANDIDACY_LIMIT: Duration = Duration::from_millis(500);
/// Beats remembered for matching their answers.
const BEATS_KEPT: usize = 32;

/// What the proposer does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProposerOutput {
    /// Ask the voters.
    Prepare(Candidacy),
    /// Ask the voters.
    Accept(Proposal),
    /// Tell the voters that the leader lives.
    Beat(Beat),
    /// A majority promised.
    Elected {
        /// The ballot.
        ballot: BallotNumber,
        /// The record that is highest among the promises: the only one to start from.
        adopted: Option<GroupRecord>,
        /// No command to any node before this: the ballot before may still act.
        act_after: Instant,
        /// The least that any of these voters said; see [`BallotAnswer::Promise`].
        failover_ms_ago: Option<u64>,
        /// Who promised.
        votes: Vec<VoterId>,
    },
    /// A majority accepted.
    Committed(RecordCommitted),
    /// The ballot, or the hope for it, is gone.
    Lost(Lost),
}

/// Why a ballot was not won or not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lost {
    /// Too many voters refused; the refusals by voter.
    Refused(BTreeMap<VoterId, Refusal>),
    /// Too few voters answered in time.
    NoMajority {
        /// Voters that answered.
        answered: usize,
    },
    /// A majority can no longer be had: a higher ballot is promised.
    Superseded,
}

#[derive(Debug, Clone, Hash)]
struct Standing {
    candidacy: Candidacy,
    promises: BTreeMap<VoterId, Promised>,
    refusals: BTreeMap<VoterId, Refusal>,
    deadline: Instant,
    ask_again: Instant,
}

#[derive(Debug, Clone, Hash)]
struct Promised {
    accepted: Option<(BallotNumber, GroupRecord)>,
    lease_ms: u64,
    failover_ms_ago: Option<u64>,
}

#[derive(Debug, Clone, Hash)]
struct Leading {
    ballot: BallotNumber,
    proposing: Option<Proposing>,
    /// The newest revision that was handed to us or committed by us.
    newest: Option<Revision>,
    beat: u64,
    sent: BTreeMap<u64, Instant>,
    next_beat: Instant,
    /// When the newest question was sent that each voter answered in our favour.
    contact: BTreeMap<VoterId, Instant>,
    denied: BTreeMap<VoterId, ()>,
    since: Instant,
}

#[derive(Debug, Clone, Hash)]
struct Proposing {
    record: GroupRecord,
    accepted: BTreeMap<VoterId, ()>,
    sent_at: Instant,
    ask_again: Instant,
}

#[derive(Debug, Clone, Hash)]
enum Phase {
    Idle,
    Standing(Standing),
    Leading(Leading),
}

/// One orchestrator's hold on one group's register.
#[derive(Debug, Clone, Hash)]
pub struct Proposer {
    me: OrchestratorId,
    incarnation: u64,
    group: GroupName,
    roster: Roster,
    highest: u64,
    phase: Phase,
    outputs: VecDeque<ProposerOutput>,
}

impl Proposer {
    /// A proposer that holds nothing.
    pub const fn new(
        me: OrchestratorId,
        incarnation: u64,
        group: GroupName,
        roster: Roster,
    ) -> Self {
        let outputs = VecDeque::new();
        Self { me, incarnation, group, roster, highest: 0, phase: Phase::Idle, outputs }
    }

    /// Asks for a ballot, giving up whatever is held.
    pub fn stand(&mut self, purpose: Purpose, now: Instant) {
        self.highest = self.highest.saturating_add(1);
        let ballot = BallotNumber {
            number: self.highest,
            proposer: self.me.clone(),
            incarnation: self.incarnation,
        };
        let roster = self.roster.version;
        let candidacy = Candidacy { group: self.group.clone(), ballot, purpose, roster };
        self.outputs.push_back(ProposerOutput::Prepare(candidacy.clone()));
        self.phase = Phase::Standing(Standing {
            candidacy,
            promises: BTreeMap::new(),
            refusals: BTreeMap::new(),
            deadline: now + CANDIDACY_LIMIT,
            ask_again: now + ASK_AGAIN,
        });
    }

    /// Proposes a record under the ballot held. Ignored by a proposer that leads nothing or has a
    /// proposal under way; one that was silent for too long loses its ballot instead.
    ///
    /// A record says under which roster it was proposed. One that was adopted from an earlier
    /// roster gets the next revision with that, since no revision may have two values.
    pub fn propose(&mut self, mut record: GroupRecord, now: Instant) {
        if self.give_up_if_silent(now) {
            return;
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.proposing.is_some() {
            return;
        }
        if record.roster != self.roster.version {
            record.roster = self.roster.version;
            if Some(record.revision) <= leading.newest {
                record.revision = record.revision.next();
            }
        }
        let proposal = Proposal {
            ballot: leading.ballot.clone(),
            roster: self.roster.version,
            record: record.clone(),
        };
        leading.proposing = Some(Proposing {
            record,
            accepted: BTreeMap::new(),
            sent_at: now,
            ask_again: now + ASK_AGAIN,
        });
        // It tells the voters that the leader lives, and its answer renews the lease: a beat beside it
        // says no more. But other orchestrators hear beats only, and have to hear one soon.
        if leading.beat > 0 {
            leading.next_beat = leading.next_beat.max(now + BEAT_EVERY);
        }
        self.outputs.push_back(ProposerOutput::Accept(proposal));
    }

    /// Goes by another roster from now on. What is held or asked for under the old one is lost.
    pub fn set_roster(&mut self, roster: Roster) {
        self.roster = roster;
        if !self.is_idle() {
            self.lose(Lost::Superseded);
        }
    }

    /// Lets go of the ballot.
    pub fn resign(&mut self) {
        self.phase = Phase::Idle;
    }

    /// The ballot held.
    pub const fn ballot(&self) -> Option<&BallotNumber> {
        match &self.phase {
            Phase::Leading(leading) => Some(&leading.ballot),
            Phase::Idle | Phase::Standing(_) => None,
        }
    }

    /// Whether nothing is held or asked for.
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Until when commands may be sent to nodes: [`LEASE`] after the newest moment at which a
    /// majority was asked that answered.
    pub fn lease_end(&self) -> Option<Instant> {
        let Phase::Leading(leading) = &self.phase else { return None };
        Some(self.contact_of_majority(leading)? + LEASE)
    }

    fn contact_of_majority(&self, leading: &Leading) -> Option<Instant> {
        let mut contacts: alloc::vec::Vec<_> = leading.contact.values().copied().collect();
        contacts.sort_unstable_by(|a, b| b.cmp(a));
        contacts.get(self.roster.majority().get() - 1).copied()
    }

    /// Learns of a ballot somebody else uses, so that the next of ours is higher.
    pub fn heard_of(&mut self, ballot: &BallotNumber) {
        self.highest = self.highest.max(ballot.number);
    }

    /// Learns of a record that was committed under this ballot. Under a higher one than ours: a
    /// majority has promised it, and ours is over, whoever has not told us yet.
    pub fn committed_under(&mut self, ballot: &BallotNumber) {
        self.heard_of(ballot);
        if self.ballot().is_some_and(|own| own < ballot) {
            self.lose(Lost::Superseded);
        }
    }

    /// Takes a voter's answer to a candidacy.
    pub fn ballot_answer(&mut self, ballot: Ballot, now: Instant) {
        self.note_promised(&ballot.answer);
        let Phase::Standing(standing) = &mut self.phase else { return };
        if ballot.ballot != standing.candidacy.ballot || !self.roster.contains(&ballot.voter) {
            return;
        }
        // A process that was stopped may hear an answer before it learns that its time is over. A
        // voter that lost its memory counts on it that no promise of its is used so late.
        if now >= standing.deadline {
            return;
        }
        match ballot.answer {
            BallotAnswer::Promise { accepted, lease_ms, failover_ms_ago } => {
                standing.refusals.remove(&ballot.voter);
                let promised = Promised { accepted, lease_ms, failover_ms_ago };
                standing.promises.insert(ballot.voter, promised);
            }
            BallotAnswer::Refused { why, .. } => {
                standing.refusals.insert(ballot.voter, why);
            }
        }
        let majority = self.roster.majority();
        let voters = self.roster.voters().len();
        if majority.reached(standing.promises.len()) {
            self.elected(now);
        } else if standing.refusals.len() > voters - majority.get() {
            let refusals = core::mem::take(&mut standing.refusals);
            self.lose(Lost::Refused(refusals));
        }
    }

    fn note_promised(&mut self, answer: &BallotAnswer) {
        match answer {
            BallotAnswer::Refused { promised: Some(promised), .. } => self.heard_of(promised),
            BallotAnswer::Refused { promised: None, .. } | BallotAnswer::Promise { .. } => {}
        }
    }

    fn elected(&mut self, now: Instant) {
        let Phase::Standing(standing) = core::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let promises = || standing.promises.values();
        let lease_ms = promises().map(|p| p.lease_ms).max().unwrap_or(0);
        let failover_ms_ago = promises().filter_map(|p| p.failover_ms_ago).min();
        let votes = standing.promises.keys().cloned().collect();
        let adopted = standing
            .promises
            .into_values()
            .filter_map(|promised| promised.accepted)
            .max_by(|(ba, ra), (bb, rb)| (ba, ra.revision).cmp(&(bb, rb.revision)))
            .map(|(_, record)| record);
        let ballot = standing.candidacy.ballot;
        let newest = adopted.as_ref().map(|record| record.revision);
        self.outputs.push_back(ProposerOutput::Elected {
            ballot: ballot.clone(),
            adopted,
            act_after: now + Duration::from_millis(lease_ms),
            failover_ms_ago,
            votes,
        });
        self.phase = Phase::Leading(Leading {
            ballot,
            proposing: None,
            newest,
            beat: 0,
            sent: BTreeMap::new(),
            next_beat: now,
            contact: BTreeMap::new(),
            denied: BTreeMap::new(),
            since: now,
        });
    }

    /// Takes a voter's answer to a proposal.
    pub fn proposal_answer(&mut self, reply: ProposalReply, now: Instant) {
        if let ProposalAnswer::Superseded { promised } = &reply.answer {
            self.heard_of(&promised.clone());
        }
        let known = self.roster.contains(&reply.voter);
        let Phase::Leading(leading) = &mut self.phase else { return };
        if reply.ballot != leading.ballot || !known {
            return;
        }
        match reply.answer {
            ProposalAnswer::Accepted => self.accepted(reply.voter, reply.revision, now),
            ProposalAnswer::Superseded { promised } if promised > leading.ballot => {
                self.denied(reply.voter);
            }
            ProposalAnswer::OtherRoster { version } if version > self.roster.version => {
                self.denied(reply.voter);
            }
            ProposalAnswer::Lapsed => self.denied(reply.voter),
            // Our own earlier copy, a voter that is behind, or one without a store or memory:
            // neither grants nor supersedes.
            ProposalAnswer::Superseded { .. }
            | ProposalAnswer::OtherRoster { .. }
            | ProposalAnswer::Joining
            | ProposalAnswer::StoreFailed => {}
        }
    }

    fn accepted(&mut self, voter: VoterId, revision: Revision, _now: Instant) {
        let majority = self.roster.majority();
        let Phase::Leading(leading) = &mut self.phase else { return };
        let Some(proposing) = &mut leading.proposing else { return };
        if proposing.record.revision != revision {
            return;
        }
        let contact = leading.contact.entry(voter.clone()).or_insert(proposing.sent_at);
        *contact = (*contact).max(proposing.sent_at);
        proposing.accepted.insert(voter, ());
        if !majority.reached(proposing.accepted.len()) {
            return;
        }
        let ballot = leading.ballot.clone();
        if let Some(done) = leading.proposing.take() {
            leading.newest = Some(done.record.revision);
            let committed = RecordCommitted { ballot, record: done.record };
            self.outputs.push_back(ProposerOutput::Committed(committed));
        }
    }

    /// Takes a voter's answer to a heartbeat.
    pub fn beat_answer(&mut self, reply: BeatReply) {
        let known = self.roster.contains(&reply.voter);
        let Phase::Leading(leading) = &mut self.phase else { return };
        if reply.ballot != leading.ballot || !known {
            return;
        }
        if !reply.granted {
            self.denied(reply.voter);
            return;
        }
        let Some(sent_at) = leading.sent.get(&reply.beat).copied() else { return };
        let contact = leading.contact.entry(reply.voter).or_insert(sent_at);
        *contact = (*contact).max(sent_at);
    }

    /// A voter has promised something higher, goes by a newer roster, or took us for dead. A
    /// minority of them cannot stop us: the one they promised lacks a majority as long as we have it.
    fn denied(&mut self, voter: VoterId) {
        let spare = self.roster.voters().len() - self.roster.majority().get();
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.denied.insert(voter, ());
        if leading.denied.len() > spare {
            self.lose(Lost::Superseded);
        }
    }

    fn lose(&mut self, why: Lost) {
        self.phase = Phase::Idle;
        self.outputs.push_back(ProposerOutput::Lost(why));
    }

    /// What is asked for may not have arrived, or its answers: it is asked again at once.
    pub const fn ask_now(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Standing(standing) => standing.ask_again = now,
            Phase::Leading(leading) => {
                leading.next_beat = now;
                if let Some(proposing) = &mut leading.proposing {
                    proposing.ask_again = now;
                }
            }
        }
    }

    /// Asks again, beats, gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Standing(standing) => {
                if now >= standing.deadline {
                    let answered = standing.promises.len() + standing.refusals.len();
                    let why = if standing.refusals.is_empty() || standing.promises.is_empty() {
                        Lost::NoMajority { answered }
                    } else {
                        Lost::Refused(core::mem::take(&mut standing.refusals))
                    };
                    self.lose(why);
                } else if now >= standing.ask_again {
                    standing.ask_again = now + ASK_AGAIN;
                    self.outputs.push_back(ProposerOutput::Prepare(standing.candidacy.clone()));
                }
            }
            Phase::Leading(_) => self.tick_leading(now),
        }
    }

    fn give_up_if_silent(&mut self, now: Instant) -> bool {
        let Phase::Leading(leading) = &self.phase else { return false };
        let contact = self.contact_of_majority(leading).unwrap_or(leading.since);
        let silent = now >= contact.max(leading.since) + SILENT_LIMIT;
        if silent {
            let answered = leading.contact.len();
            self.lose(Lost::NoMajority { answered });
        }
        silent
    }

    fn tick_leading(&mut self, now: Instant) {
        if self.give_up_if_silent(now) {
            return;
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        if now >= leading.next_beat {
            leading.next_beat = now + BEAT_EVERY;
            leading.beat += 1;
            leading.sent.insert(leading.beat, now);
            if leading.sent.len() > BEATS_KEPT {
                leading.sent.pop_first();
            }
            let (group, ballot) = (self.group.clone(), leading.ballot.clone());
            let (roster, beat) = (self.roster.version, leading.beat);
            self.outputs.push_back(ProposerOutput::Beat(Beat { group, ballot, roster, beat }));
        }
        if let Some(proposing) = &mut leading.proposing
            && now >= proposing.ask_again
        {
            proposing.ask_again = now + ASK_AGAIN;
            let record = proposing.record.clone();
            let ballot = leading.ballot.clone();
            let roster = self.roster.version;
            self.outputs.push_back(ProposerOutput::Accept(Proposal { ballot, roster, record }));
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Standing(standing) => Some(standing.ask_again.min(standing.deadline)),
            Phase::Leading(leading) => {
                let again = leading.proposing.as_ref().map(|p| p.ask_again);
                again.into_iter().chain([leading.next_beat]).min()
            }
        }
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<ProposerOutput> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
