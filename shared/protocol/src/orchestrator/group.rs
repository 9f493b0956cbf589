//! One group in an orchestrator's hands: the stages wired together.

mod carry;
mod orders;
mod pause;
mod place;
mod quiet;
mod say;
mod walk;
mod wishes;

use super::Config;
use super::effect::Effect;
use crate::candidacy::{self, Candidate};
use crate::failover::{self, Failover, Setting};
use crate::happening::Happening;
use crate::reconcile::Reconciler;
use crate::register::{Lost, Proposer, ProposerOutput};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use orders::Orders;
use pause::PauseClock;
use vedette_model::{
    Answer, Ballot, BallotNumber, BeatReply, Command, EventName, FailoverStep, GroupName,
    GroupRecord, Instant, NodeAddr, NodeFault, NodeReport, OdownVerdict, OrchestratorId,
    ProposalReply, Purpose, Rejection, Role, Roster, Settings, Standing, Step, TraceId, VoterId,
};
use wishes::Wishes;

/// Rest after a quiet tenure.
const QUIET_PAUSE: Duration = Duration::from_millis(500);

/// What the ballot, held or asked for, is used for.
#[derive(Debug, Clone)]
enum Tenure {
    None,
    Walk(Failover),
    /// Quiet work: first what is proposed, then a round of corrections.
    Mend {
        act_after: Instant,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    me: OrchestratorId,
    name: GroupName,
    record: Option<GroupRecord>,
    seed: Option<(NodeAddr, Settings)>,
    candidate: Candidate,
    proposer: Proposer,
    reconciler: Reconciler,
    tenure: Tenure,
    master_offset: Option<(u64, Instant)>,
    /// Voters hold a record that they do not know to be committed.
    unsettled: bool,
    /// When the incident began for this orchestrator: a majority of voters said ODOWN.
    began: Option<Instant>,
    /// When it stood the last time.
    stood: Option<Instant>,
    /// The trace of the walk under way, also after its record has moved on.
    incident: Option<TraceId>,
    /// Why nobody could be promoted, and when that was told.
    last_abort: Option<(String, Instant)>,
    /// Why the last ballot was lost.
    last_loss: String,
    /// Who promised the ballot held.
    votes: Vec<VoterId>,
    /// Why nobody could be promoted, for each node, until that is told.
    rejected: Vec<Rejection>,
    /// Steps of an attempt that repeats a failed one.
    untold: Vec<FailoverStep>,
    orders: Orders,
    pause: PauseClock,
    wishes: Wishes,
    effects: VecDeque<Effect>,
}

impl Group {
    pub(super) fn new(config: &Config, name: GroupName, not_before: Instant) -> Self {
        let (id, incarnation) = (config.id.clone(), config.sender.incarnation);
        Self {
            me: id.clone(),
            proposer: Proposer::new(id, incarnation, name.clone(), config.roster.clone()),
            candidate: Candidate::new(config.roster.clone(), not_before),
            name,
            record: None,
            seed: None,
            reconciler: Reconciler::default(),
            tenure: Tenure::None,
            master_offset: None,
            unsettled: false,
            began: None,
            stood: None,
            incident: None,
            last_abort: None,
            last_loss: String::new(),
            votes: Vec::new(),
            rejected: Vec::new(),
            untold: Vec::new(),
            orders: Orders::default(),
            pause: PauseClock::default(),
            wishes: Wishes::default(),
            effects: VecDeque::new(),
        }
    }

    pub(super) const fn set_rank(&mut self, rank: u32) {
        self.candidate.set_rank(rank);
    }

    /// Goes by another roster; a ballot held under the old one is lost.
    pub(super) fn set_roster(&mut self, roster: &Roster) {
        self.candidate.set_roster(roster.clone());
        self.proposer.set_roster(roster.clone());
    }

    pub(super) const fn is_owned(&self) -> bool {
        self.candidate.owns()
    }

    pub(super) fn known(&self) -> Option<&GroupRecord> {
        self.record.as_ref().filter(|record| !record.removed)
    }

    pub(super) fn trouble(&self) -> String {
        let Some(record) = self.known() else { return String::new() };
        let trouble = self.reconciler.trouble(record);
        match (self.held(), trouble.is_empty()) {
            (None, _) => trouble,
            (Some(held), true) => held,
            (Some(held), false) => format!("{held}; {trouble}"),
        }
    }

    /// Why there is no further failover, and who must end that.
    fn held(&self) -> Option<String> {
        let record = self.record.as_ref().filter(|record| record.flapping.held)?;
        Some(format!(
            "held: {} failovers, each within {} s of the one before, and there will be no further \
             one. Find out why, then `vedette release {}`",
            record.flapping.count,
            record.settings.flap_window_ms / 1_000,
            self.name
        ))
    }

    pub(super) fn seed(&mut self, master: NodeAddr, settings: Settings) {
        if self.record.is_none() {
            self.seed = Some((master, settings));
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Option<Standing> {
        let record = self.known()?;
        let paused = self.pause.standing(record, now);
        let leads = self.proposer.ballot().map(|ballot| format!("leads with ballot {ballot}"));
        let stands = Some(self.candidate.standing()).filter(|text| !text.is_empty());
        let all: Vec<_> = [paused, self.held(), leads, stands].into_iter().flatten().collect();
        let text = all.join("; ");
        Some(Standing { group: self.name.clone(), epoch: record.epoch, text })
    }

    pub(super) fn record(&mut self, record: &GroupRecord, now: Instant) {
        let before = self.record.as_ref().map(|r| (r.epoch, r.master.clone()));
        if before != Some((record.epoch, record.master.clone())) {
            self.reconciler.new_reign();
            self.master_offset = None;
            self.last_abort = None;
            self.last_loss.clear();
        }
        self.seed = None;
        self.pause.record(record, now);
        if record.removed {
            self.reconciler = Reconciler::default();
        }
        self.candidate.record(record, now);
        self.record = Some(record.clone());
    }

    pub(super) fn verdict(&mut self, verdict: &OdownVerdict, now: Instant) {
        self.candidate.verdict(verdict, now);
    }

    pub(super) fn report(&mut self, report: NodeReport, now: Instant) {
        let Some(record) = self.record.as_ref().filter(|record| !record.removed) else { return };
        let NodeReport { node, view, .. } = report;
        if node == record.master && view.role == Role::Master {
            self.master_offset = Some((view.offset, now));
        }
        self.reconciler.view(record, &node, view, now);
    }

    pub(super) fn ballot(&mut self, ballot: Ballot, now: Instant) {
        self.proposer.ballot_answer(ballot, now);
    }

    pub(super) fn proposal_reply(&mut self, reply: ProposalReply, now: Instant) {
        self.proposer.proposal_answer(reply, now);
    }

    pub(super) fn beat_reply(&mut self, reply: BeatReply, now: Instant) {
        self.proposer.beat_answer(reply);
        self.tick_round(now);
    }

    /// Corrections wait for the lease, and go on the moment it is there.
    fn tick_round(&mut self, now: Instant) {
        self.reconciler.permit(self.is_leased(now));
        if let Some(record) = &self.record {
            self.reconciler.tick(record, now);
        }
    }

    /// A voter, or this orchestrator, was away: what is under way is asked again.
    pub(super) fn ask_now(&mut self, now: Instant) {
        self.proposer.ask_now(now);
        self.proposer.handle_timeout(now);
    }

    pub(super) fn is_asking(&self) -> bool {
        !self.proposer.is_idle()
    }

    pub(super) fn committed_under(&mut self, ballot: &BallotNumber) {
        self.proposer.committed_under(ballot);
    }

    pub(super) fn other_leads(&mut self, ballot: &BallotNumber, now: Instant) {
        self.proposer.heard_of(ballot);
        self.candidate.other_leads(now);
    }

    pub(super) fn answer(&mut self, node: &NodeAddr, answer: Answer, now: Instant) {
        self.foreseen(node, &answer, now);
        if self.reconciler.in_round() {
            if let Some(record) = &self.record {
                self.reconciler.answer(record, node, answer, now);
            }
            self.tick_round(now);
            return;
        }
        let leased = self.is_leased(now);
        if let Tenure::Walk(walk) = &mut self.tenure {
            // Who slept past its permission cannot tell from this what the node does.
            let answer = match answer {
                Answer::Failed(_) if walk.is_promoting() && !leased => {
                    Answer::Failed(NodeFault::Expired)
                }
                Answer::Failed(_) | Answer::Done { .. } => answer,
            };
            walk.answer(node, answer, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.candidate.handle_timeout(now);
        self.proposer.handle_timeout(now);
        if let Tenure::Walk(walk) = &mut self.tenure {
            walk.handle_timeout(now);
        }
        self.tick_round(now);
        self.expire_orders(now);
        self.expire_wishes(now);
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let walk = match &self.tenure {
            Tenure::Walk(walk) => walk.poll_timeout(),
            Tenure::None | Tenure::Mend { .. } => None,
        };
        let work = self.reconciler.work_due(now).filter(|_| self.candidate.owns());
        let people =
            [self.orders.poll_timeout(), self.pause.poll_timeout(now), self.wishes.poll_timeout()];
        let stages = [self.candidate.poll_timeout(), self.proposer.poll_timeout(), walk, work];
        stages.into_iter().chain(people).flatten().chain(self.reconciler.poll_timeout()).min()
    }

    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    // What comes of it: every stage's outputs, until all are quiet.

    pub(super) fn settle(&mut self, unsettled: bool, now: Instant) {
        self.unsettled = unsettled;
        loop {
            if let Some(output) = self.candidate.poll_output() {
                self.candidate_output(output, now);
            } else if let Some(output) = self.proposer.poll_output() {
                self.proposer_output(output, now);
            } else if let Some(act) = self.poll_walk() {
                self.walk_act(act, now);
            } else if let Some(act) = self.reconciler.poll_output() {
                self.reconcile_act(act, now);
            } else if let Some(act) = self.wishes.poll_foresight() {
                self.foresight_act(act);
            } else {
                break;
            }
        }
        if let Some(record) = self.record.as_ref().filter(|record| !record.removed) {
            let (owner, calm) = (self.candidate.owns(), !self.candidate.is_odown());
            self.reconciler.watch_over(record, owner, calm, now);
        }
        let work = match &self.record {
            None => self.seed.is_some() || unsettled,
            Some(record) if record.removed => unsettled,
            Some(record) => {
                let mends = !self.candidate.is_odown() && self.reconciler.has_work(record, now);
                unsettled || mends
            }
        };
        self.candidate.set_work(work);
        self.candidate.set_ordered(!self.orders.is_empty() || self.pause.is_due(now));
        self.settle_wish();
        self.candidate.set_switch(self.wishes.wants_ballot());
    }

    fn poll_walk(&mut self) -> Option<failover::Act> {
        match &mut self.tenure {
            Tenure::Walk(walk) => walk.poll_output(),
            Tenure::None | Tenure::Mend { .. } => None,
        }
    }

    fn candidate_output(&mut self, output: candidacy::Output, now: Instant) {
        if let candidacy::Output::Stand(_) = &output {
            self.stood = Some(now);
        }
        match output {
            candidacy::Output::Odown => {
                self.began = Some(now);
                self.step(Step::Odown, now);
                // Quiet work can wait; a dead master cannot.
                if matches!(self.tenure, Tenure::Mend { .. }) && self.orders.is_empty() {
                    self.leave(Duration::ZERO, String::new(), now);
                    self.candidate.handle_timeout(now);
                }
                self.cut_repair_short();
            }
            candidacy::Output::Waiting(why) => self.step(Step::Waiting { why }, now),
            candidacy::Output::Stand(Purpose::Configure) => {
                self.tenure = Tenure::Mend { act_after: now };
                self.proposer.stand(Purpose::Configure, now);
            }
            candidacy::Output::Stand(
                purpose @ (Purpose::Failover { .. }
                | Purpose::Switchover { .. }
                | Purpose::Takeover),
            ) => {
                let began = self.began.filter(|_| self.candidate.is_odown());
                self.began = began.or(Some(now));
                self.tenure = Tenure::None;
                self.untold.clear();
                self.incident = self.trace();
                let setting = Setting {
                    me: self.me.clone(),
                    purpose: purpose.clone(),
                    master_offset: self.master_offset,
                    odown_since: self.began,
                    hard: self.candidate.is_hard(),
                    returned: self.candidate.is_returned(),
                    wish: match purpose {
                        Purpose::Switchover { .. } => self.wishes.wanted(),
                        Purpose::Failover { .. } | Purpose::Takeover | Purpose::Configure => None,
                    },
                };
                if let Purpose::Switchover { .. } = &purpose {
                    let why = "a person wants another master";
                    self.tell_once(Happening::new(EventName::TryFailover, why));
                }
                if let Purpose::Failover { .. } = &purpose {
                    let why = self.candidate.standing();
                    self.tell_once(Happening::new(EventName::TryFailover, why));
                }
                self.proposer.stand(purpose, now);
                self.tenure = Tenure::Walk(Failover::new(setting, self.record.as_ref(), now));
            }
        }
    }

    fn proposer_output(&mut self, output: ProposerOutput, now: Instant) {
        match output {
            ProposerOutput::Prepare(candidacy) => self.publish(candidacy.into()),
            ProposerOutput::Accept(proposal) => self.publish(proposal.into()),
            ProposerOutput::Beat(beat) => self.publish(beat.into()),
            ProposerOutput::Elected { ballot, adopted, act_after, failover_ms_ago, votes } => {
                self.votes = votes;
                self.elected(&ballot, adopted, (act_after, failover_ms_ago), now);
            }
            ProposerOutput::Committed(committed) => {
                let record = committed.record.clone();
                let before = self.record.clone();
                self.effects.push_back(Effect::Committed(committed));
                self.record(&record, now);
                self.wish_planned(&record);
                self.tell_news(before.as_ref(), &record, now);
                match &mut self.tenure {
                    Tenure::Walk(walk) => walk.committed(&record, now),
                    Tenure::Mend { act_after } => {
                        let act_after = *act_after;
                        self.mend(record, act_after, now);
                    }
                    Tenure::None => {}
                }
            }
            ProposerOutput::Lost(why) => self.lost(&why, now),
        }
    }

    fn elected(
        &mut self,
        ballot: &BallotNumber,
        adopted: Option<GroupRecord>,
        (act_after, failover_ms_ago): (Instant, Option<u64>),
        now: Instant,
    ) {
        match &mut self.tenure {
            Tenure::Walk(walk) => {
                walk.elected(adopted, act_after, failover_ms_ago, now);
                let votes: Vec<_> = self.votes.iter().map(VoterId::as_str).collect();
                let why = format!("ballot {ballot}, promised by {}", votes.join(", "));
                self.tell_once(Happening::new(EventName::ElectedLeader, why));
            }
            Tenure::Mend { act_after: at } => {
                *at = act_after;
                self.mend_elected(adopted, act_after, now);
            }
            Tenure::None => self.proposer.resign(),
        }
    }

    fn lost(&mut self, why: &Lost, now: Instant) {
        let tenure = core::mem::replace(&mut self.tenure, Tenure::None);
        self.reconciler.stop();
        self.candidate.lost(why, now);
        if let Tenure::Walk(_) = tenure {
            let why = self.candidate.standing();
            if why != self.last_loss {
                self.step(Step::Aborted { why: why.clone() }, now);
                self.last_loss = why;
            }
        }
    }

    /// A new master that is down already cannot be followed: the repair must not hold up its own
    /// failover.
    fn cut_repair_short(&mut self) {
        if let Tenure::Walk(walk) = &mut self.tenure
            && walk.is_repairing()
            && self.candidate.is_odown()
        {
            self.reconciler.stop();
            walk.repaired(true);
        }
    }

    fn leave(&mut self, pause: Duration, why: String, now: Instant) {
        let quiet = matches!(self.tenure, Tenure::Mend { .. });
        self.tenure = Tenure::None;
        self.proposer.resign();
        self.reconciler.stop();
        if quiet {
            self.candidate.rested(pause, now);
        } else {
            self.candidate.ended(pause, why, now);
        }
    }

    fn command(&mut self, node: NodeAddr, command: Command) {
        let credentials = self.record.as_ref().and_then(|r| r.settings.login().cloned());
        let lease = self.proposer.lease_end();
        self.effects.push_back(Effect::Command { node, command, credentials, lease });
    }

    /// Whether nobody else can be acting for the group.
    fn is_leased(&self, now: Instant) -> bool {
        self.proposer.lease_end().is_some_and(|end| now < end)
    }

    /// A command that changes a node: only while the lease lasts. Whether it was sent.
    fn guarded(&mut self, node: NodeAddr, command: Command, now: Instant) -> bool {
        let sent = self.is_leased(now);
        if sent {
            self.command(node, command);
        } else {
            self.answer(&node, Answer::Failed(NodeFault::Expired), now);
        }
        sent
    }
}
