//! What an orchestrator saw.
//!
//! An incident is opened by the first verdict against the recorded master, by a leader that fell
//! silent, or by a person who wants another master. It is closed, and its root recorded, by the
//! orchestrator that takes the plan out of the record; if there never was a plan, by the group's
//! owner when the last verdict is withdrawn, or by whoever refuses the person.

mod case;
mod endings;
mod errand;

pub use errand::Errand;

use crate::context::trace_of;
use crate::{Context, Heard, Notes, Witness};
use case::{Case, Trigger};
use endings::{Ending, Endings};
use std::collections::BTreeMap;
use vedette_model::{
    Epoch, Event, EventName, Fact, FailoverStep, GroupName, GroupRecord, Heartbeat, Instruction,
    InstructionReply, NodeAddr, OdownVerdict, Outcome, Purpose, Revision, Service, Step, TraceId,
    VoterId,
};
use vedette_protocol::rank::weight;

/// A verdict that was not repeated for so long does not count, in microseconds.
const VERDICT_EXPIRY_US: u64 = 3_500_000;
/// An orchestrator that was not heard for so long records no root, in microseconds: longer than one is
/// stalled for and records it all the same.
const PEER_EXPIRY_US: u64 = 10_000_000;
/// What was said of an incident's beginning counts for so long, in microseconds.
const BEGAN_EXPIRY_US: u64 = 5_000_000;
/// An incident is over when nobody has called the master down for so long, in microseconds: who
/// was stalled takes its word back for a moment.
const CALM_US: u64 = 5_000_000;
/// A voter that was not heard for so long is not waited for, in microseconds.
const VOTER_EXPIRY_US: u64 = 2_000_000;
/// A person's wish is answered by then, in microseconds.
const WISH_EXPIRY_US: u64 = 30_000_000;

/// An orchestrator's witness: records what it did in an incident and, if it ends it, the root.
#[derive(Debug)]
pub struct Orchestrators {
    me: String,
    groups: BTreeMap<GroupName, Owned>,
    peers: BTreeMap<String, u64>,
    voters: BTreeMap<String, u64>,
    endings: Endings,
    notes: Notes,
}

/// What is known of a group.
#[derive(Debug)]
struct Owned {
    revision: Revision,
    epoch: Epoch,
    master: NodeAddr,
    /// The trace of the failover under way, or of the incident that would end the present reign.
    trace: TraceId,
    /// The master before, and the incident that ended its reign.
    before: Option<(NodeAddr, TraceId)>,
    /// A failover is recorded.
    planned: bool,
    /// It has its new master already.
    switched: bool,
    /// When each voter said last that the master is down.
    verdicts: BTreeMap<VoterId, u64>,
    /// When a person asked for another master.
    wished_us: Option<u64>,
    /// When an incident began by what others say, and when they said so.
    began: Option<(TraceId, u64, u64)>,
    case: Option<Case>,
}

impl Orchestrators {
    /// The witness of the orchestrator of this id.
    pub fn new(id: &str) -> Self {
        Self {
            me: id.into(),
            groups: BTreeMap::new(),
            peers: BTreeMap::new(),
            voters: BTreeMap::new(),
            endings: Endings::default(),
            notes: Notes::default(),
        }
    }

    /// Whether the group's quiet work is this orchestrator's.
    fn owns(&self, group: &GroupName, at_us: u64) -> bool {
        let mine = weight(group.as_str(), &self.me);
        let lives = |heard: u64| at_us.saturating_sub(heard) < PEER_EXPIRY_US;
        let mut live = self.peers.iter().filter(|(_, heard)| lives(**heard));
        live.all(|(id, _)| weight(group.as_str(), id) < mine)
    }

    /// Takes a record for known. What it ends is ended by whoever committed it.
    fn learn(&mut self, record: &GroupRecord, mine: bool, at_us: u64) {
        let group = &record.group;
        if self.groups.get(group).is_some_and(|known| known.revision >= record.revision) {
            return;
        }
        if record.removed {
            self.groups.remove(group);
            return;
        }
        let trace = trace_of(record);
        let before = record.switch.previous.clone().map(|node| (node, record.switch.trace_id));
        let known = self.groups.entry(group.clone()).or_insert_with(|| Owned {
            revision: record.revision,
            epoch: record.epoch,
            master: record.master.clone(),
            trace,
            before: None,
            planned: false,
            switched: false,
            verdicts: BTreeMap::new(),
            wished_us: None,
            began: None,
            case: None,
        });
        if known.epoch != record.epoch || known.master != record.master {
            known.verdicts.clear();
            known.wished_us = None;
        }
        let was_planned = known.planned;
        (known.planned, known.switched) = (record.failover.is_some(), record.is_switched());
        (known.revision, known.epoch, known.trace) = (record.revision, record.epoch, trace);
        (known.master, known.before) = (record.master.clone(), before);
        let Some(case) = &mut known.case else {
            self.notes.context(group, Context::quiet(trace));
            return;
        };
        case.recorded(record);
        if known.planned {
            return;
        }
        if case.epoch == record.epoch {
            // A plan was given up; or the master is back, perhaps as another process, and has
            // another trace from now on.
            if was_planned {
                case.erased(mine);
            }
            return;
        }
        // The end's own events come right after the record.
        case.over_us = Some(at_us);
        if !mine {
            known.case = None;
            self.notes.context(group, Context::quiet(trace));
        }
    }

    /// A wish of this reign that somebody else answered long ago: that incident has the root.
    fn forget_wish(&mut self, group: &GroupName, at_us: u64) {
        let Some(known) = self.groups.get_mut(group) else { return };
        if known.wished_us.is_some_and(|wished| at_us.saturating_sub(wished) >= WISH_EXPIRY_US) {
            known.wished_us = None;
            self.endings.rooted(known.trace);
        }
    }

    /// The group's case, opened if there is none and its record is known.
    fn case(&mut self, group: &GroupName, trigger: Trigger, at_us: u64) -> Option<&mut Case> {
        self.forget_wish(group, at_us);
        let known = self.groups.get_mut(group)?;
        if known.case.is_none() {
            let wished = known.wished_us.take_if(|_| trigger == Trigger::Wish);
            let said = known.began.take().filter(|(trace, _, said)| {
                *trace == known.trace && at_us.saturating_sub(*said) < BEGAN_EXPIRY_US
            });
            let began_us = wished.into_iter().chain(said.map(|(_, began, _)| began)).min();
            let began_us = began_us.unwrap_or(at_us);
            let times = (at_us, began_us);
            let case = Case::new(group, known.trace, known.epoch, &known.master, trigger, times);
            self.notes.context(group, case.context());
            known.case = Some(case);
        }
        known.case.as_mut()
    }

    fn open(&mut self, group: &GroupName) -> Option<&mut Case> {
        self.groups.get_mut(group)?.case.as_mut()
    }

    fn verdict(&mut self, verdict: &OdownVerdict, heard: &Heard<'_>) {
        let (group, at_us) = (&verdict.group, heard.at_us);
        let Some(known) = self.groups.get_mut(group) else { return };
        if (verdict.epoch, &verdict.master) != (known.epoch, &known.master) {
            return;
        }
        if verdict.reached {
            known.verdicts.insert(verdict.voter.clone(), at_us);
            // A new master that fails while the others are still being moved is the next incident.
            if !known.switched {
                self.case(group, Trigger::Odown, at_us);
            }
            self.look(group, at_us);
            return;
        }
        known.verdicts.remove(&verdict.voter);
        self.look(group, at_us);
    }

    /// Takes over when the incident began, as far as others know it better.
    fn began(&mut self, heard: &Heard<'_>) {
        let Some(Context { trace, began_us: Some(began_us), .. }) = heard.live() else { return };
        let Some(group) = heard.fact.group() else { return };
        let Some(known) = self.groups.get_mut(group) else { return };
        let Some(case) = known.case.as_mut().filter(|case| case.trace == trace) else {
            known.began = Some((trace, began_us, heard.at_us));
            return;
        };
        if began_us < case.began_us {
            case.began_us = began_us;
            self.notes.context(group, case.context());
        }
    }

    /// Closes what has ended without a change of master.
    fn look(&mut self, group: &GroupName, at_us: u64) {
        let owns = self.owns(group, at_us);
        let Some(known) = self.groups.get_mut(group) else { return };
        known.verdicts.retain(|_, heard| at_us.saturating_sub(*heard) < VERDICT_EXPIRY_US);
        let Some(case) = &mut known.case else { return };
        let settled = case.over_us.is_some();
        let mine = match case.trigger {
            _ if settled => true,
            _ if known.planned => return,
            Trigger::Odown if known.verdicts.is_empty() => {
                let since_us = *case.calm_us.get_or_insert(at_us);
                if at_us.saturating_sub(since_us) < CALM_US {
                    return;
                }
                owns
            }
            // Whoever asked hears of it at once, if that was here.
            Trigger::Wish => match case.given_up {
                Some(mine) => mine,
                // Nothing came of it, and nobody was told why.
                None if at_us.saturating_sub(case.opened_us) >= WISH_EXPIRY_US => true,
                None => return,
            },
            Trigger::Odown => {
                case.calm_us = None;
                return;
            }
        };
        self.close(group, mine, None, at_us);
    }

    /// Ends the incident; `mine` if the root is this orchestrator's to record.
    fn close(&mut self, group: &GroupName, mine: bool, refused: Option<String>, at_us: u64) {
        let Some(known) = self.groups.get_mut(group) else { return };
        let Some(mut case) = known.case.take() else { return };
        let (trace, master) = (known.trace, known.master.clone());
        case.settle(at_us, &mut self.notes);
        self.notes.context(group, Context::quiet(trace));
        if mine {
            let ended = group.clone();
            self.endings.push(Ending { group: ended, case, master, refused, at_us });
            self.end(Some(group), at_us);
        } else {
            self.endings.rooted(case.trace);
        }
    }

    /// Records the roots of those that nobody has to add to any more: of one group or of all.
    fn end(&mut self, group: Option<&GroupName>, at_us: u64) {
        if self.endings.is_empty() {
            return;
        }
        let lives = |(_, heard): &(&String, &u64)| at_us.saturating_sub(**heard) < VOTER_EXPIRY_US;
        let voters: Vec<_> = self.voters.iter().filter(lives).map(|(id, _)| id.as_str()).collect();
        self.notes.spans.extend(self.endings.roots(group, &voters, at_us));
    }

    /// The group's case, and those that are over.
    fn cases(&mut self, group: &GroupName) -> impl Iterator<Item = &mut Case> {
        let open = self.groups.get_mut(group).and_then(|known| known.case.as_mut());
        open.into_iter().chain(self.endings.cases(group))
    }

    fn event(&mut self, event: &Event, at_us: u64) {
        if event.name == EventName::TryFailover {
            let down = self.groups.get(&event.group).is_some_and(|g| !g.verdicts.is_empty());
            let trigger = if down { Trigger::Odown } else { Trigger::Wish };
            self.case(&event.group, trigger, at_us);
        }
        let Some(case) = self.groups.get_mut(&event.group).and_then(|g| g.case.as_mut()) else {
            return;
        };
        if case.trace == event.trace_id {
            case.told(event, at_us);
        }
    }

    fn step(&mut self, step: &FailoverStep, at_us: u64) {
        match &step.step {
            Step::Odown | Step::Waiting { .. } => {
                self.case(&step.group, Trigger::Odown, at_us);
            }
            Step::Claimed
            | Step::Surveyed { .. }
            | Step::Selected { .. }
            | Step::Paused
            | Step::Level { .. }
            | Step::Frozen
            | Step::Promoted { .. }
            | Step::Committed { .. }
            | Step::Repaired { .. }
            | Step::Ended
            | Step::Aborted { .. } => {}
        }
        let Some(known) = self.groups.get_mut(&step.group) else { return };
        let verdicts = known.verdicts.len();
        let Some(case) = known.case.as_mut() else { return };
        case.stepped(step, verdicts, at_us, &mut self.notes);
        if step.step == Step::Ended {
            self.close(&step.group, true, None, at_us);
        }
    }

    /// Somebody lives, and time has passed.
    fn beat(&mut self, beat: &Heartbeat, at_us: u64) {
        if beat.service == Service::Orchestrator && beat.id != self.me {
            heard_of(&mut self.peers, &beat.id, at_us);
        }
        if beat.service == Service::Voter {
            heard_of(&mut self.voters, &beat.id, at_us);
        }
        self.end(None, at_us);
        let open = self.groups.iter().filter(|(_, known)| known.case.is_some());
        let open: Vec<_> = open.map(|(group, _)| group.clone()).collect();
        open.iter().for_each(|group| self.look(group, at_us));
    }

    /// A person asks for another master, perhaps again.
    fn instruction(&mut self, instruction: &Instruction, at_us: u64) {
        let Some(group) = wished(instruction) else { return };
        self.forget_wish(group, at_us);
        if let Some(known) = self.groups.get_mut(group)
            && known.case.is_none()
        {
            known.wished_us.get_or_insert(at_us);
        }
    }

    /// A person who cannot be helped is the end of that incident.
    fn answered(&mut self, reply: &InstructionReply, at_us: u64) {
        let InstructionReply { instruction, outcome, .. } = reply;
        let Some(group) = wished(instruction) else { return };
        let why = match outcome {
            Outcome::Refused { why } | Outcome::NoCandidate { why } => why.clone(),
            Outcome::Done { .. } | Outcome::Started { .. } => return,
        };
        let Some(known) = self.groups.get(group) else { return };
        let others = known.case.as_ref().is_some_and(|case| case.trigger != Trigger::Wish);
        if known.planned || others {
            return;
        }
        self.case(group, Trigger::Wish, at_us);
        self.close(group, true, Some(why), at_us);
    }

    /// The bus has taken it.
    pub fn said(&mut self, fact: &Fact, subject: &str, at_us: u64) {
        let Fact::MasterRecord(master) = fact else { return };
        let Some(known) = self.groups.get_mut(&master.group) else { return };
        if let Some(case) = known.case.as_mut().filter(|case| case.trace == master.trace_id) {
            case.announced(master, subject, at_us, &mut self.notes);
        }
    }
}

/// Who was not heard for long is forgotten.
fn heard_of(known: &mut BTreeMap<String, u64>, id: &str, at_us: u64) {
    if known.insert(id.into(), at_us).is_none() {
        known.retain(|_, heard| at_us.saturating_sub(*heard) < PEER_EXPIRY_US);
    }
}

/// Whose master somebody wants replaced, and not only to know what would come of it.
fn wished(instruction: &Instruction) -> Option<&GroupName> {
    let wanted = instruction.verb.wanted_master()?;
    instruction.group.as_ref().filter(|_| !wanted.dry_run)
}

impl Witness for Orchestrators {
    fn heard(&mut self, heard: &Heard<'_>) {
        let at_us = heard.at_us;
        for record in heard.records() {
            self.learn(record, false, at_us);
        }
        if let Fact::OdownVerdict(verdict) = heard.fact {
            self.verdict(verdict, heard);
        } else if let Fact::Ballot(ballot) = heard.fact {
            self.cases(&ballot.group).for_each(|case| case.voted(ballot, at_us));
            self.end(Some(&ballot.group), at_us);
        } else if let Fact::ProposalReply(reply) = heard.fact {
            self.cases(&reply.group).for_each(|case| case.accepted(reply, at_us));
            self.end(Some(&reply.group), at_us);
        } else if let Fact::Instruction(instruction) = heard.fact {
            self.instruction(instruction, at_us);
        } else if let Fact::Heartbeat(beat) = heard.fact {
            self.beat(beat, at_us);
        }
        self.began(heard);
    }

    fn says(&mut self, fact: &Fact, at_us: u64) {
        if let Fact::Event(event) = fact {
            self.event(event, at_us);
        } else if let Fact::FailoverStep(step) = fact {
            self.step(step, at_us);
        } else if let Fact::InstructionReply(reply) = fact {
            self.answered(reply, at_us);
        } else if let Fact::RecordCommitted(committed) = fact {
            if let Some(known) = self.groups.get_mut(&committed.record.group)
                && let Some(case) = &mut known.case
            {
                case.committed(&committed.ballot, &committed.record, at_us, &mut self.notes);
            }
            self.learn(&committed.record, true, at_us);
        } else if let Fact::Candidacy(candidacy) = fact {
            match &candidacy.purpose {
                Purpose::Failover { .. } | Purpose::Takeover => {
                    self.case(&candidacy.group, Trigger::Odown, at_us);
                }
                Purpose::Switchover { .. } => {
                    self.case(&candidacy.group, Trigger::Wish, at_us);
                }
                Purpose::Configure => {}
            }
            if let Some(known) = self.groups.get_mut(&candidacy.group)
                && let Some(case) = &mut known.case
            {
                case.stands(candidacy, at_us, &mut self.notes);
            }
        } else if let Fact::Proposal(proposal) = fact {
            // Quiet work belongs to no incident.
            if let Some(known) = self.groups.get_mut(&proposal.record.group)
                && (known.planned || proposal.record.failover.is_some())
                && let Some(case) = &mut known.case
            {
                case.proposes(proposal, at_us, &mut self.notes);
            }
        } else if let Fact::MasterRecord(master) = fact
            && let Some(case) = self.open(&master.group)
        {
            case.announcing_us = Some(at_us);
        }
    }

    fn take(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }
}
