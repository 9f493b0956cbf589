//! The voter's side of one group's register.

use super::{LEASE, SILENT_LIMIT, TAKEOVER_AFTER};
use crate::voter::Stored;
use core::time::Duration;
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Beat, BeatReply, Candidacy, GroupName, GroupRecord,
    Instant, Proposal, ProposalAnswer, ProposalReply, Purpose, RecordCommitted, Refusal, Roster,
    RosterVersion, SwitchReason, VoterId,
};

/// The hold-off grows up to this, unless it is set longer.
const HOLD_OFF_LIMIT: Duration = Duration::from_secs(300);
/// So often it doubles at most: enough to get from a millisecond to the limit.
const HOLD_OFF_DOUBLED: u32 = 19;

/// An answer, and whether [`Acceptor::stored`] must be on disk before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptorOutput<T> {
    /// Whether the state changed.
    pub persist: bool,
    /// The answer.
    pub answer: T,
}

/// Who may act, as far as this voter's grants go.
#[derive(Debug, Clone, Hash)]
struct Lease {
    /// The ballot granted last; unknown after a restart.
    holder: Option<BallotNumber>,
    /// When what was granted last ends.
    until: Instant,
    /// When everything granted to other processes than the holder's has ended.
    others_until: Instant,
}

impl Lease {
    /// Grants are not written down: one that may have been given counts as given just now.
    fn forgotten(now: Instant) -> Self {
        let until = now + LEASE;
        Self { holder: None, until, others_until: until }
    }

    fn is_held_by(&self, ballot: &BallotNumber) -> bool {
        self.holder.as_ref().is_some_and(|holder| {
            (&holder.proposer, holder.incarnation) == (&ballot.proposer, ballot.incarnation)
        })
    }

    fn grant(&mut self, ballot: &BallotNumber, now: Instant) {
        if !self.is_held_by(ballot) {
            self.others_until = self.until;
        }
        self.holder = Some(ballot.clone());
        self.until = now + LEASE;
    }

    /// How long another process than the ballot's may still act.
    fn left(&self, ballot: &BallotNumber, now: Instant) -> Duration {
        let end = if self.is_held_by(ballot) { self.others_until } else { self.until };
        end.since(now)
    }
}

/// One voter's promises and accepted record of one group.
#[derive(Debug, Clone, Hash)]
pub struct Acceptor {
    voter: VoterId,
    stored: Stored,
    leader_heard: Instant,
    /// When the holder of the promise was heard last.
    holder_heard: Instant,
    lease: Lease,
    last_failover: Option<Instant>,
}

impl Acceptor {
    /// A voter that never heard of the group.
    pub fn new(voter: VoterId, group: GroupName, now: Instant) -> Self {
        Self::restore(voter, Stored { group, promised: None, accepted: None, committed: None }, now)
    }

    /// A voter that was restarted. What it did not write down it takes for granted at its worst:
    /// the leader was heard just now and has a whole lease.
    ///
    /// What it accepted it has promised as well; a voter that lost its file learned only the former.
    pub fn restore(voter: VoterId, mut stored: Stored, now: Instant) -> Self {
        let accepted = stored.accepted.as_ref().map(|(ballot, _)| ballot);
        if stored.promised.as_ref() < accepted {
            stored.promised = accepted.cloned();
        }
        let lease = Lease::forgotten(now);
        Self { voter, stored, leader_heard: now, holder_heard: now, lease, last_failover: None }
    }

    /// What must be on disk.
    pub const fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The record accepted last.
    pub fn record(&self) -> Option<&GroupRecord> {
        self.stored.accepted.as_ref().map(|(_, record)| record)
    }

    /// Whether the record accepted last is known to be committed, and by a majority of this
    /// roster; see [`crate::roster`]. Nothing accepted is settled.
    pub fn is_settled(&self, roster: RosterVersion) -> bool {
        let committed =
            self.stored.committed.as_ref().map(|c| (c.record.revision, c.record.roster));
        self.record().is_none_or(|r| {
            committed.is_some_and(|(revision, by)| revision >= r.revision && by == roster)
        })
    }

    /// Whether it is not settled and nobody seems to be at it.
    pub fn is_left_unsettled(&self, roster: RosterVersion, now: Instant) -> bool {
        now.since(self.leader_heard) > TAKEOVER_AFTER * 2 && !self.is_settled(roster)
    }

    /// Answers a candidacy; `odown` is this voter's own verdict on its recorded master.
    pub fn candidacy(
        &mut self,
        candidacy: &Candidacy,
        roster: &Roster,
        odown: bool,
        now: Instant,
    ) -> AcceptorOutput<Ballot> {
        let repeated = self.stored.promised.as_ref() == Some(&candidacy.ballot);
        let verdict = self.check(candidacy, roster, odown, repeated, now);
        let answer = match verdict {
            Ok(()) => {
                let lease_ms = millis(self.lease.left(&candidacy.ballot, now));
                self.stored.promised = Some(candidacy.ballot.clone());
                if !repeated {
                    self.holder_heard = now;
                }
                let failover_ms_ago = self.last_failover.map(|at| millis(now.since(at)));
                let accepted = self.stored.accepted.clone();
                BallotAnswer::Promise { accepted, lease_ms, failover_ms_ago }
            }
            Err(why) => BallotAnswer::Refused { why, promised: self.stored.promised.clone() },
        };
        let promise = matches!(answer, BallotAnswer::Promise { .. });
        AcceptorOutput {
            persist: promise && !repeated,
            answer: Ballot {
                group: candidacy.group.clone(),
                ballot: candidacy.ballot.clone(),
                voter: self.voter.clone(),
                answer,
            },
        }
    }

    fn check(
        &self,
        candidacy: &Candidacy,
        roster: &Roster,
        odown: bool,
        repeated: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        if candidacy.roster != roster.version {
            return Err(Refusal::OtherRoster { version: roster.version });
        }
        if !repeated && self.stored.promised.as_ref() >= Some(&candidacy.ballot) {
            return Err(Refusal::OlderBallot);
        }
        let record = self.record();
        let under_way = record.is_some_and(|r| r.failover.is_some());
        match &candidacy.purpose {
            Purpose::Configure if under_way => Err(Refusal::FailoverUnderWay),
            Purpose::Configure => Ok(()),
            Purpose::Takeover if record.is_none() => Err(Refusal::NoFailover),
            // Also where no failover is recorded: this voter may have missed the plan, and without
            // its vote nobody could go on with it. Whoever finds none among all promises leaves.
            Purpose::Takeover => {
                let quiet_at = self.leader_heard + TAKEOVER_AFTER;
                if now < quiet_at {
                    return Err(Refusal::LeaderAlive { remaining_ms: millis(quiet_at.since(now)) });
                }
                Ok(())
            }
            Purpose::Failover { .. } | Purpose::Switchover { .. } if under_way => {
                Err(Refusal::FailoverUnderWay)
            }
            Purpose::Failover { epoch, master } | Purpose::Switchover { epoch, master } => {
                let Some(record) = record else {
                    return Err(Refusal::OtherMaster { epoch: vedette_model::Epoch(0) });
                };
                if record.removed || record.epoch != *epoch || record.master != *master {
                    return Err(Refusal::OtherMaster { epoch: record.epoch });
                }
                let wanted = matches!(candidacy.purpose, Purpose::Switchover { .. });
                self.check_failover(record, wanted, odown, now)
            }
        }
    }

    /// What a person wants needs nobody's opinion of the master, and no rest.
    fn check_failover(
        &self,
        record: &GroupRecord,
        wanted: bool,
        odown: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        if record.pause.is_some() {
            return Err(Refusal::Paused);
        }
        if wanted {
            return Ok(());
        }
        if record.flapping.held {
            return Err(Refusal::Held);
        }
        if !odown {
            return Err(Refusal::NotOdown);
        }
        let hold_off = hold_off(record);
        let over = self.last_failover.map(|at| at + hold_off).filter(|over| now < *over);
        over.map_or(Ok(()), |over| Err(Refusal::HeldOff { remaining_ms: millis(over.since(now)) }))
    }

    /// Answers a proposal.
    pub fn proposal(&mut self, proposal: &Proposal, now: Instant) -> AcceptorOutput<ProposalReply> {
        let Proposal { ballot, record, .. } = proposal;
        let promised = self.stored.promised.as_ref();
        let mut persist = false;
        let answer = match promised.filter(|promised| *promised > ballot) {
            Some(promised) => ProposalAnswer::Superseded { promised: promised.clone() },
            None if self.has_lapsed(ballot, now) => ProposalAnswer::Lapsed,
            None => match self.accept(ballot, record, now) {
                Some(changed) => {
                    persist = changed;
                    if changed {
                        self.heard(ballot, now);
                    }
                    ProposalAnswer::Accepted
                }
                // A late copy of an earlier proposal of the same leader, who is past it.
                None => ProposalAnswer::Superseded { promised: ballot.clone() },
            },
        };
        AcceptorOutput {
            persist,
            answer: ProposalReply {
                group: record.group.clone(),
                ballot: ballot.clone(),
                revision: record.revision,
                voter: self.voter.clone(),
                answer,
            },
        }
    }

    /// Whether the accept changed anything; none if it would go back.
    fn accept(
        &mut self,
        ballot: &BallotNumber,
        record: &GroupRecord,
        now: Instant,
    ) -> Option<bool> {
        if let Some((held_ballot, held)) = &self.stored.accepted {
            if (held_ballot, held.revision) == (ballot, record.revision) {
                return (held == record).then_some(false);
            }
            if (held_ballot, held.revision) > (ballot, record.revision) {
                return None;
            }
            if record.epoch > held.epoch && record.switch.reason == SwitchReason::Failover {
                self.last_failover = Some(now);
            }
        }
        if self.stored.promised.as_ref() < Some(ballot) {
            self.stored.promised = Some(ballot.clone());
            self.holder_heard = now;
        }
        self.stored.accepted = Some((ballot.clone(), record.clone()));
        Some(true)
    }

    fn heard(&mut self, ballot: &BallotNumber, now: Instant) {
        self.leader_heard = now;
        self.holder_heard = now;
        self.lease.grant(ballot, now);
    }

    /// Whether this promise was given, and its holder silent, for so long that what it was elected
    /// for may be over. After a restart it counts as heard just now.
    fn has_lapsed(&self, ballot: &BallotNumber, now: Instant) -> bool {
        self.stored.promised.as_ref() == Some(ballot) && now.since(self.holder_heard) > SILENT_LIMIT
    }

    /// Answers a leader's heartbeat.
    pub fn beat(&mut self, beat: &Beat, now: Instant) -> BeatReply {
        let granted = self.stored.promised.as_ref() <= Some(&beat.ballot);
        let granted = granted && !self.has_lapsed(&beat.ballot, now);
        if granted {
            self.heard(&beat.ballot, now);
        }
        BeatReply {
            group: beat.group.clone(),
            ballot: beat.ballot.clone(),
            beat: beat.beat,
            voter: self.voter.clone(),
            granted,
        }
    }

    /// Learns that a record is committed; true if that was news.
    ///
    /// What is committed is also accepted from here on if it is newer: a voter that missed the
    /// proposal, or promised somebody else who never won, would otherwise judge by an old master
    /// for as long as nothing else changes. A promise is not touched by that, and is not broken:
    /// whoever holds it starts from this record or a newer one.
    pub fn committed(&mut self, committed: &RecordCommitted, now: Instant) -> bool {
        let known = self.stored.committed.as_ref().map(|c| c.record.revision);
        if known >= Some(committed.record.revision) {
            return false;
        }
        let leads = self.stored.promised.as_ref() <= Some(&committed.ballot);
        let news = self.accept(&committed.ballot, &committed.record, now) == Some(true);
        if leads && news {
            self.leader_heard = now;
        }
        self.stored.committed = Some(committed.clone());
        true
    }
}

/// The rest after a failover: twice as long with each further one in a row.
fn hold_off(record: &GroupRecord) -> Duration {
    let first = Duration::from_millis(record.settings.hold_off_ms);
    let doubled = record.flapping.count.saturating_sub(1).min(HOLD_OFF_DOUBLED);
    (first * (1 << doubled)).min(HOLD_OFF_LIMIT.max(first))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
