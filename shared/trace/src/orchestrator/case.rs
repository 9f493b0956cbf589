//! One incident in an orchestrator's eyes.

mod choice;

use crate::names;
use crate::voter::{candidacy, commit, outcome};
use crate::{Context, Kind, Mark, Notes, Span, id};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Candidacy, Epoch, Event, FailoverStep, GroupName,
    GroupRecord, LossBound, MasterRecord, NodeAddr, PlanReason, Proposal, ProposalReply, Purpose,
    Revision, Step, TraceId,
};

/// Candidacies and surveys recorded for one incident, which may go on for hours; more are counted.
const ATTEMPTS_TOLD: u64 = 32;
/// Questions to voters whose answers are waited for.
const QUESTIONS_KEPT: usize = 8;
/// After the last verdict was withdrawn, in microseconds: then no candidate of any orchestrator waits
/// for an answer any more.
const SETTLED_US: u64 = 500_000;
/// Moments kept of one span.
const MARKS_KEPT: usize = 96;

/// What an incident began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A verdict against the master, or a leader that fell silent.
    Odown,
    /// A person wants another master.
    Wish,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) trace: TraceId,
    pub(super) trigger: Trigger,
    /// When this orchestrator heard of it.
    pub(super) opened_us: u64,
    pub(super) began_us: u64,
    /// The plan is out of the record, and another reign has begun.
    pub(super) over_us: Option<u64>,
    /// The last verdict is withdrawn, since then.
    pub(super) calm_us: Option<u64>,
    /// A plan was erased without a change of master, by this orchestrator or another.
    pub(super) given_up: Option<bool>,
    pub(super) announcing_us: Option<u64>,
    pub(super) epoch: Epoch,
    group: GroupName,
    master: NodeAddr,
    reason: Option<PlanReason>,
    loss: Option<LossBound>,
    new_epoch: Option<Epoch>,
    candidacies: u64,
    standing: Option<Standing>,
    /// When the choice could begin.
    ready_us: Option<u64>,
    inspected: BTreeMap<NodeAddr, Inspected>,
    commit: Option<Commit>,
    paused_us: Option<u64>,
    why: Option<String>,
    /// How many voters called the master down when that was said.
    agreed: usize,
    /// The last questions, and who has answered each.
    questions: VecDeque<Question>,
    answered_us: u64,
    marks: Vec<Mark>,
}

#[derive(Debug)]
struct Standing {
    ballot: BallotNumber,
    purpose: &'static str,
    from_us: u64,
    answers: Vec<Mark>,
}

#[derive(Debug)]
struct Inspected {
    from_us: u64,
    answer: Option<(u64, Option<String>)>,
}

#[derive(Debug)]
struct Commit {
    ballot: BallotNumber,
    revision: Revision,
    from_us: u64,
    answers: Vec<Mark>,
}

/// A candidacy or, with a revision, a proposal.
#[derive(Debug)]
struct Question {
    ballot: BallotNumber,
    revision: Option<Revision>,
    answered: BTreeSet<String>,
}

impl Case {
    pub(super) fn new(
        group: &GroupName,
        trace: TraceId,
        epoch: Epoch,
        master: &NodeAddr,
        trigger: Trigger,
        (opened_us, began_us): (u64, u64),
    ) -> Self {
        Self {
            trace,
            trigger,
            opened_us,
            began_us,
            over_us: None,
            calm_us: None,
            given_up: None,
            announcing_us: None,
            group: group.clone(),
            epoch,
            master: master.clone(),
            reason: None,
            loss: None,
            new_epoch: None,
            candidacies: 0,
            standing: None,
            ready_us: None,
            inspected: BTreeMap::new(),
            commit: None,
            paused_us: None,
            why: None,
            agreed: 0,
            questions: VecDeque::new(),
            answered_us: 0,
            marks: Vec::new(),
        }
    }

    pub(super) const fn context(&self) -> Context {
        Context { trace: self.trace, live: true, began_us: Some(self.began_us) }
    }

    fn span(&self, name: &'static str, who: &str, from_us: u64, to_us: u64) -> Span {
        Span::new(self.trace, name, who, from_us, to_us).with(names::GROUP, self.group.as_str())
    }

    /// The plan is out of the record, and the reign goes on; `mine` if it was erased here.
    pub(super) const fn erased(&mut self, mine: bool) {
        self.given_up = Some(mine);
        // What may come now is another attempt, with another survey.
        self.new_epoch = None;
    }

    /// What the record says of it.
    pub(super) fn recorded(&mut self, record: &GroupRecord) {
        if let Some(plan) = &record.failover {
            (self.reason, self.loss) = (Some(plan.reason), Some(plan.loss));
            self.new_epoch = Some(plan.epoch);
        }
    }

    pub(super) fn told(&mut self, event: &Event, at_us: u64) {
        if self.marks.len() < MARKS_KEPT && self.calm_us.is_none() {
            let mark = Mark::new(at_us, event.name.as_str());
            self.marks.push(mark.with(names::REASON, event.cause.as_str()));
        }
    }

    fn asks(&mut self, ballot: &BallotNumber, revision: Option<Revision>) {
        if self.questions.len() == QUESTIONS_KEPT {
            self.questions.pop_front();
        }
        let (ballot, answered) = (ballot.clone(), BTreeSet::new());
        self.questions.push_back(Question { ballot, revision, answered });
    }

    fn answered(
        &mut self,
        (ballot, revision): (&BallotNumber, Option<Revision>),
        voter: &str,
        at_us: u64,
    ) {
        let asked =
            |question: &&mut Question| (&question.ballot, question.revision) == (ballot, revision);
        if let Some(question) = self.questions.iter_mut().find(asked)
            && question.answered.len() < MARKS_KEPT
            && question.answered.insert(voter.into())
        {
            self.answered_us = self.answered_us.max(at_us);
        }
    }

    /// Whether each of these voters has answered all that it was asked.
    pub(super) fn is_answered_by(&self, voters: &[&str]) -> bool {
        let answered = |question: &Question| voters.iter().all(|v| question.answered.contains(*v));
        self.questions.iter().all(answered)
    }

    /// Asks for votes, perhaps again.
    pub(super) fn stands(&mut self, asked: &Candidacy, at_us: u64, notes: &mut Notes) {
        let purpose = match asked.purpose {
            Purpose::Failover { .. } => "failover",
            Purpose::Switchover { .. } => "switchover",
            Purpose::Takeover => "takeover",
            Purpose::Configure => return,
        };
        if self.standing.as_ref().is_some_and(|standing| standing.ballot == asked.ballot) {
            return;
        }
        self.lost(None, at_us, notes);
        self.candidacies += 1;
        self.ready_us = None;
        self.asks(&asked.ballot, None);
        let (ballot, answers) = (asked.ballot.clone(), Vec::new());
        self.standing = Some(Standing { ballot, purpose, from_us: at_us, answers });
    }

    pub(super) fn voted(&mut self, answer: &Ballot, at_us: u64) {
        self.answered((&answer.ballot, None), answer.voter.as_str(), at_us);
        let Some(standing) = &mut self.standing else { return };
        let known = |mark: &Mark| mark.name == answer.voter.as_str();
        if standing.ballot != answer.ballot
            || standing.answers.len() >= MARKS_KEPT
            || standing.answers.iter().any(known)
        {
            return;
        }
        let mark = Mark::new(at_us, answer.voter.as_str());
        let mark = match &answer.answer {
            BallotAnswer::Promise { .. } => mark.with(names::OUTCOME, "promised"),
            BallotAnswer::Refused { why, .. } => {
                mark.with(names::OUTCOME, "refused").with(names::REASON, why.to_string())
            }
        };
        standing.answers.push(mark);
    }

    fn won(&mut self, ballot: &BallotNumber, at_us: u64, notes: &mut Notes) {
        if self.standing.as_ref().is_some_and(|standing| standing.ballot == *ballot) {
            self.ready_us = Some(at_us);
            self.stood("won", None, at_us, notes);
        }
    }

    fn lost(&mut self, why: Option<String>, at_us: u64, notes: &mut Notes) {
        let last = self.standing.as_ref().and_then(|s| s.answers.last().map(|mark| mark.at_us));
        self.stood("lost", why, last.unwrap_or(at_us), notes);
    }

    fn stood(&mut self, outcome: &'static str, why: Option<String>, at_us: u64, notes: &mut Notes) {
        let Some(standing) = self.standing.take() else { return };
        if self.candidacies > ATTEMPTS_TOLD {
            return;
        }
        let who = candidacy(&standing.ballot);
        let mut span = self
            .span(names::CANDIDACY, &who, standing.from_us, at_us)
            .with(names::BALLOT_NUMBER, standing.ballot.to_string())
            .with(names::PURPOSE, standing.purpose)
            .with(names::OUTCOME, outcome)
            .with_some(names::REASON, why);
        span.marks = standing.answers;
        notes.span(span);
    }

    pub(super) fn proposes(&mut self, proposal: &Proposal, at_us: u64, notes: &mut Notes) {
        let (record, ballot) = (&proposal.record, &proposal.ballot);
        self.won(ballot, at_us, notes);
        let same = |known: &Commit| known.ballot == *ballot && known.revision == record.revision;
        if self.commit.as_ref().is_some_and(same) {
            return;
        }
        if let Some(plan) = &record.failover
            && !record.is_switched()
            && self.new_epoch != Some(plan.epoch)
        {
            self.selects(Some(&plan.target), &plan.rejected, at_us, notes);
            self.recorded(record);
        }
        // How it ends is of no interest to a voter.
        if record.failover.is_some() {
            self.asks(ballot, Some(record.revision));
        }
        let (ballot, revision) = (ballot.clone(), record.revision);
        let answers = Vec::new();
        self.commit = Some(Commit { ballot, revision, from_us: at_us, answers });
    }

    pub(super) fn accepted(&mut self, reply: &ProposalReply, at_us: u64) {
        self.answered((&reply.ballot, Some(reply.revision)), reply.voter.as_str(), at_us);
        let Some(commit) = &mut self.commit else { return };
        let known = |mark: &Mark| mark.name == reply.voter.as_str();
        if (&commit.ballot, commit.revision) != (&reply.ballot, reply.revision)
            || commit.answers.len() >= MARKS_KEPT
            || commit.answers.iter().any(known)
        {
            return;
        }
        let (outcome, why) = outcome(&reply.answer);
        let mut mark = Mark::new(at_us, reply.voter.as_str()).with(names::OUTCOME, outcome);
        if let Some(why) = why {
            mark = mark.with(names::REASON, why);
        }
        commit.answers.push(mark);
    }

    pub(super) fn committed(
        &mut self,
        ballot: &BallotNumber,
        record: &GroupRecord,
        at_us: u64,
        notes: &mut Notes,
    ) {
        let Some(known) = self.commit.take() else { return };
        if (&known.ballot, known.revision) != (ballot, record.revision) {
            self.commit = Some(known);
            return;
        }
        let stage = match &record.failover {
            None => "end",
            Some(_) if record.is_switched() => "master",
            Some(_) => "plan",
        };
        let who = commit(ballot, record.revision);
        let mut span = self
            .span(names::COMMIT, &who, known.from_us, at_us)
            .with(names::STAGE, stage)
            .with(names::BALLOT_NUMBER, ballot.to_string())
            .with(names::REVISION, record.revision.0);
        span.marks = known.answers;
        notes.span(span);
    }

    pub(super) fn announced(
        &mut self,
        master: &MasterRecord,
        subject: &str,
        at_us: u64,
        notes: &mut Notes,
    ) {
        let Some(from_us) = self.announcing_us.take() else { return };
        let span = self
            .span(names::ANNOUNCE, &from_us.to_string(), from_us, at_us)
            .with(names::NEW_EPOCH, master.epoch.0)
            .with(names::NEW_MASTER, master.master.to_string())
            .with(names::MESSAGING_SYSTEM, "nats")
            .with(names::MESSAGING_OPERATION, "publish")
            .with(names::MESSAGING_TYPE, "send")
            .with(names::MESSAGING_DESTINATION, subject);
        notes.span(Span { kind: Kind::Producer, ..span });
    }

    /// A step, while so many voters call the master down.
    pub(super) fn stepped(
        &mut self,
        step: &FailoverStep,
        verdicts: usize,
        at_us: u64,
        notes: &mut Notes,
    ) {
        match &step.step {
            Step::Claimed => {
                if let Some(ballot) = &step.ballot {
                    self.won(ballot, at_us, notes);
                }
            }
            Step::Surveyed { .. } => self.surveyed(at_us, notes),
            Step::Paused => self.paused_us = Some(at_us),
            Step::Level { target } => {
                let from_us = self.paused_us.take().unwrap_or(at_us);
                let span = self.span(names::LEVEL, &from_us.to_string(), from_us, at_us);
                notes.span(span.with(names::NODE, target.to_string()));
            }
            // What stands in the way changes once more while verdicts are withdrawn one by one.
            Step::Waiting { why } => {
                if verdicts >= self.agreed {
                    (self.agreed, self.why) = (verdicts, Some(why.clone()));
                }
            }
            Step::Aborted { why } => {
                self.why = Some(why.clone());
                self.lost(Some(why.clone()), at_us, notes);
                if !step.rejected.is_empty() {
                    self.selects(None, &step.rejected, at_us, notes);
                }
                // What comes now is another attempt, with another survey.
                self.new_epoch = None;
            }
            Step::Odown
            | Step::Selected { .. }
            | Step::Frozen
            | Step::Promoted { .. }
            | Step::Committed { .. }
            | Step::Repaired { .. }
            | Step::Ended => {}
        }
    }

    /// Records what is not complete and will not be.
    pub(super) fn settle(&mut self, at_us: u64, notes: &mut Notes) {
        self.lost(None, at_us, notes);
        self.surveyed(at_us, notes);
    }

    /// The root, or, for another incident of a reign that had one, its child.
    pub(super) fn root(
        mut self,
        master: &NodeAddr,
        refused: Option<String>,
        first: bool,
        at_us: u64,
    ) -> Span {
        let settled_us = self.calm_us.map(|calm_us| calm_us + SETTLED_US);
        let told_us = self.marks.last().map_or(0, |mark| mark.at_us);
        let to_us = self.over_us.or(settled_us).unwrap_or(at_us).max(told_us).max(self.answered_us);
        let (outcome, why) = match (self.over_us, refused) {
            (Some(_), _) if *master == self.master => ("kept", None),
            (Some(_), _) => ("switched", None),
            (None, Some(why)) => ("refused", Some(why)),
            (None, None) if self.given_up.is_some() => ("aborted", self.why.take()),
            (None, None) => ("refused", self.why.take()),
        };
        let purpose = match (self.reason, self.trigger) {
            (Some(PlanReason::Odown), _) | (None, Trigger::Odown) => "failover",
            (Some(PlanReason::Switchover), _) | (None, Trigger::Wish) => "switchover",
            (Some(PlanReason::Forced), _) => "forced",
        };
        let switched = self.over_us.is_some();
        let nothing = match self.trigger {
            Trigger::Odown => "the master came back",
            Trigger::Wish => "nothing came of it",
        };
        let (began_us, candidacies) = (self.began_us, self.candidacies);
        let mut span = self
            .span(names::INCIDENT, &began_us.to_string(), began_us, to_us)
            .with(names::EPOCH, self.epoch.0)
            .with(names::OLD_MASTER, self.master.to_string())
            .with(names::PURPOSE, purpose)
            .with(names::OUTCOME, outcome)
            .with(names::CANDIDACIES, candidacies)
            .with_some(names::REASON, why.clone())
            .with_some(names::NEW_MASTER, switched.then(|| master.to_string()))
            .with_some(names::NEW_EPOCH, self.new_epoch.filter(|_| switched).map(|e| e.0))
            .with_some(names::LOSS, self.loss.filter(|_| switched).and_then(|l| l.bytes))
            .with_some(names::LOSS_AGE, self.loss.filter(|_| switched).and_then(|l| l.as_of_ms));
        span.marks = self.marks;
        if first {
            (span.id, span.parent) = (self.trace.root_span(), None);
        } else {
            span.id = id(self.trace, names::INCIDENT, &began_us.to_string());
        }
        let error = (!switched).then(|| why.unwrap_or_else(|| nothing.into()));
        span.failed(error)
    }
}
