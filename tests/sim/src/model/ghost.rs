//! What the properties need to remember of the past, and no more.

use super::records::descends;
use super::table::{Event, Renaming, Written};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A record was chosen that was not made from what was chosen before, or two of one revision.
    Lost,
    /// Two records were accepted under one ballot as the same revision.
    TwoUnderOneBallot,
    /// A leader took a record for committed that no majority has.
    NotChosen,
    /// A leader starts from a record older than one chosen under an earlier ballot.
    StartsTooEarly,
    /// A majority could elect a leader and hand over nothing of what was chosen.
    Forgotten,
    /// A later record has a lower epoch.
    EpochFell,
    /// Two nodes were told to be master under one epoch.
    TwoInOneEpoch,
    /// A voter voted in a ballot below one that its word may have decided.
    WordBroken,
    /// Two rosters of one version are in use, or one that was not decided.
    TwoRosters,
}

/// Votes for one record under one ballot, until it is chosen or out of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Votes {
    what: Written,
    /// One bit for each voter.
    voters: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RosterVotes {
    from: u8,
    ballot: u8,
    next: u8,
    voters: u8,
}

/// The past.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ghost {
    votes: Vec<Votes>,
    /// The newest record chosen: its mark names all before it.
    top: Written,
    /// Which node was told to be master under an epoch.
    promoted: Vec<(u64, u8)>,
    /// The highest ballot in which the voter's word may have decided something, where that is more
    /// than it remembers.
    pub bound: Vec<u8>,
    /// The rosters decided on, the first one first: one bit for each voter.
    rosters: Vec<u8>,
    roster_votes: Vec<RosterVotes>,
    /// What went wrong first.
    pub fault: Option<Fault>,
}

const fn is_majority(voters: u8, of: u8) -> bool {
    (voters & of).count_ones() > of.count_ones() / 2
}

impl Ghost {
    /// The first record is chosen, nothing else has happened.
    pub fn new(voters: usize, roster: u8, first: Written) -> Self {
        Self {
            votes: Vec::new(),
            top: first,
            promoted: Vec::new(),
            bound: vec![0; voters],
            rosters: vec![roster],
            roster_votes: Vec::new(),
            fault: None,
        }
    }

    /// The same past with the voters renamed; their rosters are the same.
    #[must_use]
    pub fn renamed(&self, renaming: &Renaming) -> Self {
        let mut other = self.clone();
        for votes in &mut other.votes {
            let old = votes.voters;
            let bits = (0..self.bound.len()).filter(|v| old >> v & 1 == 1);
            votes.voters = bits.map(|v| 1 << renaming[v]).sum();
        }
        for (v, bound) in self.bound.iter().enumerate() {
            other.bound[renaming[v]] = *bound;
        }
        other
    }

    fn blame(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }

    /// The newest revision chosen.
    pub const fn revision(&self) -> u8 {
        self.top.revision
    }

    /// A further roster is decided on.
    pub fn decided(&mut self, roster: u8) {
        self.rosters.push(roster);
    }

    /// `lacking` says which voters of a roster's version hold nothing of a record.
    pub fn check(&mut self, lacking: impl Fn(u64, u64) -> u8) {
        let forgotten = (1..)
            .zip(&self.rosters)
            .any(|(version, roster)| is_majority(lacking(version, self.top.mark), *roster));
        if forgotten {
            self.blame(Fault::Forgotten);
        }
    }

    /// Something happened to voter or orchestrator `who`.
    pub fn happened(&mut self, who: usize, event: Event) {
        match event {
            Event::Promised { ballot } => self.voted(who, ballot),
            Event::Accepted(what) => {
                self.voted(who, what.ballot);
                self.accepted(what, 1 << who);
            }
            Event::Elected { ballot, mark, .. } => {
                if self.top.ballot < ballot && !descends(mark, self.top.mark) {
                    self.blame(Fault::StartsTooEarly);
                }
            }
            Event::Committed(what) => {
                let chosen =
                    self.top.revision >= what.revision && descends(self.top.mark, what.mark);
                if !chosen {
                    self.blame(Fault::NotChosen);
                }
            }
            Event::Promote { epoch, node } => {
                if self.promoted.iter().any(|(e, n)| *e == epoch && *n != node) {
                    self.blame(Fault::TwoInOneEpoch);
                }
                if !self.promoted.contains(&(epoch, node)) {
                    self.promoted.push((epoch, node));
                    self.promoted.sort_unstable();
                }
            }
            Event::RosterAccepted { from, ballot, next } => {
                let vote = RosterVotes { from, ballot, next, voters: 1 << who };
                self.roster_accepted(vote);
            }
            Event::RosterUsed { version, voters } => {
                if self.rosters.get(usize::from(version) - 1) != Some(&voters) {
                    self.blame(Fault::TwoRosters);
                }
            }
        }
    }

    /// A voter answered under a ballot.
    fn voted(&mut self, voter: usize, ballot: u8) {
        if ballot < self.bound[voter] {
            self.blame(Fault::WordBroken);
        }
    }

    fn accepted(&mut self, what: Written, voter: u8) {
        let same = |v: &Votes| (v.what.ballot, v.what.revision) == (what.ballot, what.revision);
        let index = self.votes.iter().position(same).unwrap_or_else(|| {
            self.votes.push(Votes { what, voters: 0 });
            self.votes.sort_unstable_by_key(|v| (v.what.ballot, v.what.revision));
            self.votes.iter().position(same).unwrap_or(0)
        });
        let held = &mut self.votes[index];
        if held.what != what {
            self.blame(Fault::TwoUnderOneBallot);
            return;
        }
        held.voters |= voter;
        let voters = held.voters;
        match self.rosters.get(usize::from(what.roster) - 1) {
            Some(roster) if is_majority(voters, *roster) => self.chosen(what),
            Some(_) => {}
            None => self.blame(Fault::TwoRosters),
        }
    }

    fn chosen(&mut self, what: Written) {
        let top = self.top;
        if what.revision > top.revision && descends(what.mark, top.mark) {
            if what.epoch < top.epoch {
                self.blame(Fault::EpochFell);
            }
            self.top = what;
        } else if what.revision > top.revision || !descends(top.mark, what.mark) {
            self.blame(Fault::Lost);
        }
    }

    fn roster_accepted(&mut self, vote: RosterVotes) {
        let RosterVotes { from, ballot, next, .. } = vote;
        let same = |v: &RosterVotes| (v.from, v.ballot) == (from, ballot);
        let index = self.roster_votes.iter().position(same).unwrap_or_else(|| {
            self.roster_votes.push(RosterVotes { voters: 0, ..vote });
            self.roster_votes.sort_unstable_by_key(|v| (v.from, v.ballot));
            self.roster_votes.iter().position(same).unwrap_or(0)
        });
        self.roster_votes[index].voters |= vote.voters;
        let held = self.roster_votes[index];
        if held.next != next {
            self.blame(Fault::TwoRosters);
        }
        let decides = self.rosters.get(usize::from(from) - 1).copied().unwrap_or(0);
        if !is_majority(held.voters, decides) {
            return;
        }
        match self.rosters.get(usize::from(from)) {
            Some(known) if *known != next => self.blame(Fault::TwoRosters),
            Some(_) => {}
            None => self.rosters.push(next),
        }
    }

    /// Forgets votes that can no longer come to anything: those in favour, and those who may yet
    /// be, are too few; or what they chose is known.
    pub fn forget(&mut self, open: impl Fn(u8) -> u8) {
        let Self { top, votes, rosters, roster_votes, .. } = self;
        votes.retain(|votes| {
            let roster = rosters.get(usize::from(votes.what.roster) - 1).copied().unwrap_or(0);
            let possible = is_majority(votes.voters | open(votes.what.ballot), roster);
            let what = votes.what;
            possible && !(what.revision <= top.revision && descends(top.mark, what.mark))
        });
        let decided = u8::try_from(rosters.len()).unwrap_or(u8::MAX);
        // One decision more than the one under way may still be voted on by who is behind.
        roster_votes.retain(|votes| votes.from + 1 >= decided);
    }
}
