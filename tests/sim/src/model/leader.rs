//! An orchestrator: the real proposer and the real walk of a failover, and between them what
//! `protocol::orchestrator` does with both.
//!
//! Its clock stands still: a lease that it has got lasts as long as it leads, and it leads until it
//! stands again. It stands at any moment, for any purpose that a committed record allows, with any
//! ballot number that it can have learned. The answers of a majority reach it together, because
//! only the last of them changes what it does.

use super::bug::{self, Bug};
use super::names;
use super::records::{code, sign, written};
use super::scope::{Aim, Scope};
use super::table::{Event, Heard, Outcome, Process};
use vedette_model::{
    Answer, BallotNumber, Fact, GroupRecord, Instant, NodeAddr, NodeFault, ProposalReply, Purpose,
    RecordCommitted, Revision, Roster,
};
use vedette_protocol::failover::{Act, Failover, Setting};
use vedette_protocol::register::{Proposer, ProposerOutput};

/// One orchestrator.
#[derive(Debug, Clone)]
pub struct Leader {
    index: u8,
    life: u8,
    roster: Roster,
    proposer: Proposer,
    asked: Option<BallotNumber>,
    /// The number of its last ballot in this life.
    highest: u8,
    tenure: Tenure,
    /// The record that it stood because of.
    known: Option<GroupRecord>,
    /// What its next proposal is made from.
    base: Option<GroupRecord>,
    /// The revision that waits for its majority.
    proposing: Option<Revision>,
    /// Candidacies and lives left.
    stands: u8,
    crashes: u8,
    /// Changes that it may still write in this tenure.
    changes: u8,
}

#[derive(Debug, Clone)]
enum Tenure {
    None,
    Standing(Purpose),
    Walk {
        walk: Box<Failover>,
        /// Nodes whose answers to the survey are due.
        asked: Vec<NodeAddr>,
        /// The node told to be master, whose answer is due.
        promoting: Option<NodeAddr>,
        takes_over: bool,
        failures: u8,
    },
    /// Quiet work.
    Mend,
}

/// What can happen to an orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// Answers arrive.
    Hear(Heard),
    /// It asks for a ballot.
    Stand {
        /// What for.
        aim: Aim,
        /// The ballot's number.
        number: u8,
        /// Whether it died before, and this is its next life.
        reborn: bool,
        /// The newest committed record that it has heard of.
        known: Heard,
    },
    /// It gives up: a candidacy ends after 500 ms.
    GiveUp,
    /// Quiet work writes a record: the next one, or once more what it found.
    Write {
        /// The next one.
        next: bool,
    },
    /// The walk's next step is due.
    Walk,
    /// The nodes answer the survey.
    Survey,
    /// The node that was told so is master, or did not answer in time.
    Promoted {
        /// It is master.
        worked: bool,
    },
    /// All nodes follow the new master.
    Repaired,
}

const fn now() -> Instant {
    Instant::from_nanos(60_000_000_000)
}

impl Leader {
    /// An orchestrator at its start.
    pub fn new(index: u8, scope: &Scope) -> Self {
        let roster = scope.counted_by(index);
        let me = names::orchestrator(index);
        Self {
            index,
            life: 1,
            proposer: Proposer::new(me, 1, names::group(), roster.clone()),
            roster,
            asked: None,
            highest: 0,
            tenure: Tenure::None,
            known: None,
            base: None,
            proposing: None,
            stands: scope.stands[usize::from(index)],
            crashes: scope.leader_crashes,
            changes: 0,
        }
    }

    /// The ballot that it asks for, while it has no majority.
    pub fn standing(&self) -> Option<&BallotNumber> {
        matches!(self.tenure, Tenure::Standing(_)).then_some(self.asked.as_ref()).flatten()
    }

    /// What it proposes.
    pub const fn proposing(&self) -> Option<(&BallotNumber, Revision)> {
        match (self.proposer.ballot(), self.proposing) {
            (Some(ballot), Some(revision)) => Some((ballot, revision)),
            (Some(_) | None, _) => None,
        }
    }

    /// Whether it thinks that it leads.
    pub const fn leads(&self) -> bool {
        self.proposer.ballot().is_some()
    }

    /// The roster it counts by.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether it may stand again, and in another life.
    pub const fn may_stand(&self) -> (bool, bool) {
        (self.stands > 0, self.crashes > 0)
    }

    /// The number of its last ballot in this life.
    pub const fn highest(&self) -> u8 {
        self.highest
    }

    /// Whether all it does is to write records.
    pub const fn only_writes(&self) -> bool {
        matches!(self.tenure, Tenure::Mend)
    }

    /// Whether it asks for nothing and holds nothing.
    pub const fn is_at_rest(&self) -> bool {
        matches!(self.tenure, Tenure::None)
    }

    /// Code of its newest ballot; zero before the first.
    pub fn ballot(&self) -> u8 {
        self.asked.as_ref().map_or(0, code)
    }

    /// All that follows from the input, as `protocol::orchestrator::Group::settle` does it.
    fn settle(&mut self, heard: &[&Fact], scope: &Scope, out: &mut Outcome) {
        loop {
            if let Some(output) = self.proposer.poll_output() {
                self.proposer_output(output, heard, scope, out);
            } else if let Tenure::Walk { walk, .. } = &mut self.tenure
                && let Some(act) = walk.poll_output()
            {
                self.act(act, scope, out);
            } else {
                break;
            }
        }
    }

    fn proposer_output(
        &mut self,
        output: ProposerOutput,
        heard: &[&Fact],
        scope: &Scope,
        out: &mut Outcome,
    ) {
        match output {
            ProposerOutput::Prepare(candidacy) => {
                self.asked = Some(candidacy.ballot.clone());
                out.said.push(candidacy.into());
            }
            ProposerOutput::Accept(proposal) => {
                self.proposing = Some(proposal.record.revision);
                out.said.push(proposal.into());
            }
            ProposerOutput::Elected { adopted, act_after, .. } => {
                let adopted = match scope.bug {
                    Some(Bug::AdoptOwnMemory) => self.known.clone(),
                    Some(Bug::AdoptLowest) => bug::lowest(heard),
                    Some(_) | None => adopted,
                };
                self.elected(adopted, act_after, heard, scope, out);
            }
            ProposerOutput::Committed(committed) => self.committed(committed, out),
            ProposerOutput::Beat(_) => {}
            ProposerOutput::Lost(_) => self.rest(),
        }
    }

    fn elected(
        &mut self,
        adopted: Option<GroupRecord>,
        act_after: Instant,
        heard: &[&Fact],
        scope: &Scope,
        out: &mut Outcome,
    ) {
        let Tenure::Standing(purpose) = self.tenure.clone() else { return };
        if let (Some(ballot), Some(record)) = (&self.asked, &adopted) {
            out.events.push(Event::Elected {
                ballot: code(ballot),
                voters: heard.iter().filter_map(|f| names::promised_by(f)).map(|v| 1 << v).sum(),
                mark: super::records::mark(record),
            });
        }
        self.base.clone_from(&adopted);
        self.known = None;
        self.changes = scope.changes;
        if purpose == Purpose::Configure {
            self.tenure = Tenure::Mend;
            return;
        }
        let takes_over = purpose == Purpose::Takeover;
        let setting = Setting {
            me: names::orchestrator(self.index),
            purpose,
            master_offset: None,
            odown_since: None,
            hard: false,
            returned: false,
            wish: None,
        };
        let mut walk = Box::new(Failover::new(setting, None, now()));
        walk.elected(adopted, act_after, None, now());
        self.tenure =
            Tenure::Walk { walk, asked: Vec::new(), promoting: None, takes_over, failures: 0 };
    }

    fn committed(&mut self, committed: RecordCommitted, out: &mut Outcome) {
        let record = committed.record.clone();
        out.events.push(Event::Committed(written(&committed.ballot, &record)));
        out.said.push(committed.into());
        self.proposing = None;
        if let Tenure::Walk { walk, takes_over, .. } = &mut self.tenure {
            walk.committed(&record, now());
            let had_plan = self.base.as_ref().is_some_and(|base| base.failover.is_some());
            if had_plan && record.failover.is_none() && record.epoch.0 > 1 {
                let what = ["a failover is completed", "a takeover is completed"];
                out.seen.push(what[usize::from(*takes_over)]);
            }
        }
        self.base = Some(record);
    }

    fn act(&mut self, act: Act, scope: &Scope, out: &mut Outcome) {
        let leased = self.proposer.lease_end().is_some();
        let Tenure::Walk { walk, asked, promoting, .. } = &mut self.tenure else { return };
        match act {
            Act::Inspect(node) => asked.push(node),
            Act::Promote(node) => {
                let plan = self.base.as_ref().and_then(|record| record.failover.as_ref());
                if let Some(plan) = plan.filter(|_| leased) {
                    let (epoch, number) = (plan.epoch.0, names::number(&node));
                    out.events.push(Event::Promote { epoch, node: number });
                    *promoting = Some(node);
                } else {
                    walk.answer(&node, Answer::Failed(NodeFault::Expired), now());
                }
            }
            Act::Propose(record) => self.propose(record, scope),
            Act::Announce | Act::Step(_) | Act::Event(_) | Act::NoGoodSlave { .. } => {}
            // Switchovers are not modelled: a plan of theirs is committed as any other is.
            Act::PauseWrites(..)
            | Act::Freeze(_)
            | Act::Unpause(_)
            | Act::AnnounceAhead(_)
            | Act::Foreseen(_)
            | Act::NoHeir(_) => {}
            Act::End { .. } => {
                self.rest();
                self.proposer.resign();
            }
        }
    }

    /// Proposes a record of the walk, signed if it is a new one.
    fn propose(&mut self, mut record: GroupRecord, scope: &Scope) {
        let before = self.base.as_ref().and_then(|base| base.failover.as_ref());
        if let Some(plan) = &mut record.failover {
            let same = before.is_some_and(|before| before.epoch == plan.epoch);
            if scope.bug == Some(Bug::TargetChosenAnew) && same && record.master != plan.target {
                plan.target = names::node(if self.index == 0 { 2 } else { 3 });
            }
            if scope.bug == Some(Bug::EpochUsedAgain) && !same {
                plan.epoch = record.epoch.next();
            }
        }
        let newer = self.base.as_ref().is_none_or(|base| base.revision < record.revision);
        if let Some(ballot) = self.asked.as_ref().filter(|_| newer) {
            sign(&mut record, ballot);
        }
        self.proposer.propose(record, now());
    }

    /// Keeps nothing of a tenure that is over.
    fn rest(&mut self) {
        self.tenure = Tenure::None;
        self.asked = None;
        self.known = None;
        self.base = None;
        self.proposing = None;
        self.changes = 0;
    }

    /// It stands no more: what it remembers has no use, but for the roster that it goes by.
    fn retire(&mut self, scope: &Scope) {
        let (index, roster) = (self.index, self.roster.clone());
        *self = Self { stands: 0, crashes: 0, roster, ..Self::new(index, scope) };
    }

    fn hear(&mut self, n: usize, fact: &Fact) {
        match fact {
            Fact::Ballot(answer) => self.proposer.ballot_answer(answer.clone(), now()),
            // Which voters it heard last has no meaning but for leases: it is as if they were the
            // first ones of the roster.
            Fact::ProposalReply(answer) => {
                let voter = self.roster.voters()[n].clone();
                let answer = ProposalReply { voter, ..answer.clone() };
                self.proposer.proposal_answer(answer, now());
            }
            Fact::Heartbeat(beat) => {
                let news = |roster: &&Roster| roster.version > self.roster.version;
                if let Some(roster) = beat.roster.as_ref().filter(news) {
                    self.roster = roster.clone();
                    self.proposer.set_roster(roster.clone());
                    self.rest();
                }
            }
            _ => {}
        }
    }

    fn stand(&mut self, input: Input, heard: &[&Fact], scope: &Scope) -> bool {
        let Input::Stand { aim, number, reborn, .. } = input else { return false };
        let known = heard.iter().find_map(|fact| match fact {
            Fact::RecordCommitted(committed) => Some(committed.record.clone()),
            _ => None,
        });
        let under_way = known.as_ref().is_some_and(|record| record.failover.is_some());
        let purpose = match (aim, &known) {
            (Aim::Configure, _) => Purpose::Configure,
            (Aim::Takeover, Some(_)) if under_way => Purpose::Takeover,
            (Aim::Failover, Some(record)) if !under_way => {
                Purpose::Failover { epoch: record.epoch, master: record.master.clone() }
            }
            (Aim::Takeover | Aim::Failover, _) => return false,
        };
        self.rest();
        if reborn {
            (self.life, self.crashes) = (self.life + 1, self.crashes - 1);
            self.roster = scope.counted_by(self.index);
            let me = names::orchestrator(self.index);
            let group = names::group();
            self.proposer = Proposer::new(me, self.life.into(), group, self.roster.clone());
        }
        self.stands -= 1;
        self.highest = number;
        self.known = known;
        self.proposer.heard_of(&BallotNumber {
            number: u64::from(number) - 1,
            proposer: names::orchestrator(self.index),
            incarnation: self.life.into(),
        });
        self.proposer.stand(purpose.clone(), now());
        self.tenure = Tenure::Standing(purpose);
        true
    }

    fn write(&mut self, next: bool) -> bool {
        let Some(mut record) = self.base.clone() else { return false };
        if !matches!(self.tenure, Tenure::Mend) || self.proposing.is_some() || self.changes == 0 {
            return false;
        }
        self.changes -= 1;
        if next {
            record.revision = record.revision.next();
            if let Some(ballot) = &self.asked {
                sign(&mut record, ballot);
            }
        }
        self.proposer.propose(record, now());
        true
    }

    fn walk_on(&mut self) -> bool {
        let Tenure::Walk { walk, asked, promoting: None, .. } = &mut self.tenure else {
            return false;
        };
        let due = asked.is_empty() && walk.poll_timeout().is_some_and(|due| due <= now());
        if due {
            walk.handle_timeout(now());
        }
        due
    }

    fn survey(&mut self) -> bool {
        let high = self.index != 0;
        let Tenure::Walk { walk, asked, .. } = &mut self.tenure else { return false };
        let asked = std::mem::take(asked);
        for node in &asked {
            walk.answer(node, names::replica(node, high), now());
        }
        !asked.is_empty()
    }

    fn promoted(&mut self, worked: bool, scope: &Scope) -> bool {
        let Tenure::Walk { walk, promoting, failures, .. } = &mut self.tenure else { return false };
        let Some(node) = promoting.take_if(|_| worked || *failures < scope.failures) else {
            return false;
        };
        let answer = if worked {
            names::master(&node)
        } else {
            *failures += 1;
            Answer::Failed(NodeFault::Refused)
        };
        walk.answer(&node, answer, now());
        true
    }
}

impl Process for Leader {
    type Input = Input;

    fn heard(input: &Input) -> Option<Heard> {
        match input {
            Input::Hear(heard) | Input::Stand { known: heard, .. } => Some(*heard),
            Input::GiveUp
            | Input::Write { .. }
            | Input::Walk
            | Input::Survey
            | Input::Promoted { .. }
            | Input::Repaired => None,
        }
    }

    fn step(&mut self, input: Input, heard: &[&Fact], scope: &Scope, out: &mut Outcome) -> bool {
        let happens = match input {
            Input::Hear(_) => {
                for (n, fact) in heard.iter().enumerate() {
                    self.hear(n, fact);
                }
                true
            }
            Input::Stand { .. } => self.stand(input, heard, scope),
            Input::GiveUp => {
                self.rest();
                self.proposer.resign();
                if self.stands == 0 {
                    self.retire(scope);
                }
                true
            }
            Input::Write { next } => self.write(next),
            Input::Walk => self.walk_on(),
            Input::Survey => self.survey(),
            Input::Promoted { worked } => self.promoted(worked, scope),
            Input::Repaired => match &mut self.tenure {
                Tenure::Walk { walk, .. } if walk.is_repairing() => {
                    walk.repaired(false);
                    true
                }
                Tenure::Walk { .. } | Tenure::None | Tenure::Standing(_) | Tenure::Mend => false,
            },
        };
        if happens {
            self.settle(heard, scope, out);
        }
        happens
    }
}
