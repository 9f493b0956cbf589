//! What a voter saw.

use crate::names;
use crate::prober::detection;
use crate::{Context, Heard, Kind, Mark, Notes, Span, Witness, id};
use std::collections::BTreeMap;
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Candidacy, Epoch, Fact, GroupName, NodeAddr, NodeState,
    OdownVerdict, ProberId, Proposal, ProposalAnswer, ProposalReply, Purpose, Revision,
    SdownReport, TraceId,
};

/// A report that was not repeated for so long does not count, in microseconds.
const REPORT_EXPIRY_US: u64 = 3_000_000;
/// Groups remembered; of more, nothing is recorded.
const GROUPS_LIMIT: usize = vedette_protocol::directory::GROUP_LIMIT;
/// Questions of one group that may wait for their answer.
const QUESTIONS_LIMIT: usize = 64;

/// A voter's witness: records its verdicts and its answers to candidates and leaders.
#[derive(Debug, Default)]
pub struct Voters {
    groups: BTreeMap<GroupName, Judged>,
    notes: Notes,
}

#[derive(Debug, Default)]
struct Judged {
    context: Option<Context>,
    reports: BTreeMap<(NodeAddr, ProberId), Report>,
    /// The verdict that was said last.
    reached: Option<Epoch>,
    asked: BTreeMap<BallotNumber, Asked>,
    proposed: BTreeMap<(BallotNumber, Revision), Asked>,
}

#[derive(Debug)]
struct Report {
    first_us: u64,
    last_us: u64,
    began_us: u64,
}

/// A question that was heard, until it is answered: then it is told once.
#[derive(Debug)]
struct Asked {
    at_us: u64,
    trace: TraceId,
    purpose: &'static str,
    told: bool,
}

impl Voters {
    fn judged_of(&mut self, group: &GroupName) -> Option<&mut Judged> {
        let room = self.groups.len() < GROUPS_LIMIT || self.groups.contains_key(group);
        room.then(|| self.groups.entry(group.clone()).or_default())
    }

    fn reported(&mut self, report: &SdownReport, heard: &Heard<'_>) {
        let key = (report.node.clone(), report.prober.clone());
        if report.state == NodeState::Up {
            self.recovered(&report.group, &key);
            return;
        }
        let (Some(context), at_us) = (heard.live(), heard.at_us) else { return };
        let Some(judged) = self.judged_of(&report.group) else { return };
        if judged.context.is_some_and(|known| known.trace != context.trace) {
            judged.reports.clear();
        }
        judged.reports.retain(|_, r| at_us.saturating_sub(r.last_us) <= REPORT_EXPIRY_US);
        let began_us = context.began_us.unwrap_or(at_us);
        let known = judged.reports.entry(key);
        let known = known.or_insert(Report { first_us: at_us, last_us: at_us, began_us });
        (known.last_us, known.began_us) = (at_us, began_us);
        let began_us = judged.reports.values().map(|report| report.began_us).min();
        let context = Context { trace: context.trace, live: true, began_us };
        judged.context = Some(context);
        self.notes.context(&report.group, context);
    }

    fn recovered(&mut self, group: &GroupName, key: &(NodeAddr, ProberId)) {
        let Some(judged) = self.groups.get_mut(group) else { return };
        if judged.reports.remove(key).is_some()
            && judged.reports.is_empty()
            && let Some(context) = judged.context.take()
        {
            self.notes.context(group, Context::quiet(context.trace));
        }
    }

    fn judged(&mut self, verdict: &OdownVerdict, at_us: u64) {
        let Some(judged) = self.groups.get_mut(&verdict.group) else { return };
        if !verdict.reached {
            judged.reached = None;
            return;
        }
        let Some(context) = judged.context else { return };
        if judged.reached.replace(verdict.epoch) == Some(verdict.epoch) {
            return;
        }
        let counted = verdict.tally.iter().filter_map(|opinion| {
            let key = (verdict.master.clone(), opinion.prober.clone());
            judged.reports.get(&key).map(|report| (opinion, report))
        });
        let from_us = counted.clone().map(|(_, report)| report.first_us).min().unwrap_or(at_us);
        let who = format!("{}/{at_us}", verdict.voter);
        let count = u64::try_from(verdict.tally.len()).unwrap_or(u64::MAX);
        let mut span = Span::new(context.trace, names::VERDICT, &who, from_us, at_us)
            .with(names::GROUP, verdict.group.as_str())
            .with(names::EPOCH, verdict.epoch.0)
            .with(names::VOTER, verdict.voter.as_str())
            .with(names::NODE, verdict.master.to_string())
            .with(names::QUORUM, u64::from(verdict.quorum.get()))
            .with(names::REPORTS, count);
        for (opinion, report) in counted {
            let mark = Mark::new(report.first_us, format!("report of {}", opinion.prober))
                .with(names::PROBER, opinion.prober.as_str())
                .with(names::PLACE, opinion.place.as_str())
                .with(names::REASON, opinion.evidence.to_string());
            span.marks.push(mark);
            let who = detection(opinion.prober.as_str(), report.began_us);
            span.links.push(id(context.trace, names::DETECT, &who));
        }
        self.notes.span(span);
    }

    fn asked(&mut self, candidacy: &Candidacy, heard: &Heard<'_>) {
        let purpose = match candidacy.purpose {
            Purpose::Failover { .. } => "failover",
            Purpose::Switchover { .. } => "switchover",
            Purpose::Takeover => "takeover",
            Purpose::Configure => return,
        };
        let Some(context) = heard.live() else { return };
        let Some(judged) = self.judged_of(&candidacy.group) else { return };
        limit(&mut judged.asked);
        let asked = Asked { at_us: heard.at_us, trace: context.trace, purpose, told: false };
        judged.asked.entry(candidacy.ballot.clone()).or_insert(asked);
    }

    fn proposed(&mut self, proposal: &Proposal, heard: &Heard<'_>) {
        // How it ends is of no interest to a voter.
        let Some(context) = heard.live().filter(|_| proposal.record.failover.is_some()) else {
            return;
        };
        let Some(judged) = self.judged_of(&proposal.record.group) else { return };
        limit(&mut judged.proposed);
        let purpose = if proposal.record.is_switched() { "master" } else { "plan" };
        let asked = Asked { at_us: heard.at_us, trace: context.trace, purpose, told: false };
        let key = (proposal.ballot.clone(), proposal.record.revision);
        judged.proposed.entry(key).or_insert(asked);
    }

    fn voted(&mut self, ballot: &Ballot, at_us: u64) {
        let Some(judged) = self.groups.get_mut(&ballot.group) else { return };
        let Some(asked) = judged.asked.get_mut(&ballot.ballot).filter(|asked| !asked.told) else {
            return;
        };
        asked.told = true;
        let (outcome, why) = match &ballot.answer {
            BallotAnswer::Promise { .. } => ("promised", None),
            BallotAnswer::Refused { why, .. } => ("refused", Some(why.to_string())),
        };
        let who = format!("{}/{}", ballot.voter, candidacy(&ballot.ballot));
        let mut span = Span::new(asked.trace, names::BALLOT, &who, asked.at_us, at_us)
            .with(names::GROUP, ballot.group.as_str())
            .with(names::VOTER, ballot.voter.as_str())
            .with(names::BALLOT_NUMBER, ballot.ballot.to_string())
            .with(names::PURPOSE, asked.purpose)
            .with(names::OUTCOME, outcome)
            .with_some(names::REASON, why);
        span.kind = Kind::Consumer;
        span.links.push(id(asked.trace, names::CANDIDACY, &candidacy(&ballot.ballot)));
        self.notes.span(span);
    }

    fn wrote(&mut self, reply: &ProposalReply, at_us: u64) {
        let Some(judged) = self.groups.get_mut(&reply.group) else { return };
        let key = (reply.ballot.clone(), reply.revision);
        let Some(asked) = judged.proposed.get_mut(&key).filter(|asked| !asked.told) else {
            return;
        };
        asked.told = true;
        let (outcome, why) = outcome(&reply.answer);
        let commit = commit(&reply.ballot, reply.revision);
        let who = format!("{}/{commit}", reply.voter);
        let mut span = Span::new(asked.trace, names::ACCEPT, &who, asked.at_us, at_us)
            .with(names::GROUP, reply.group.as_str())
            .with(names::VOTER, reply.voter.as_str())
            .with(names::BALLOT_NUMBER, reply.ballot.to_string())
            .with(names::REVISION, reply.revision.0)
            .with(names::STAGE, asked.purpose)
            .with(names::OUTCOME, outcome)
            .with_some(names::REASON, why);
        span.kind = Kind::Consumer;
        span.links.push(id(asked.trace, names::COMMIT, &commit));
        self.notes.span(span);
    }
}

/// What tells a candidacy apart.
pub(crate) fn candidacy(ballot: &BallotNumber) -> String {
    format!("{ballot}/{:x}", ballot.incarnation)
}

/// What tells a commit apart.
pub(crate) fn commit(ballot: &BallotNumber, revision: Revision) -> String {
    format!("{}/{revision}", candidacy(ballot))
}

/// A voter's answer as a word, and why if it is none that was hoped for.
pub(crate) fn outcome(answer: &ProposalAnswer) -> (&'static str, Option<String>) {
    match answer {
        ProposalAnswer::Accepted => ("accepted", None),
        ProposalAnswer::Superseded { promised } => {
            ("superseded", Some(format!("ballot {promised} is promised")))
        }
        ProposalAnswer::OtherRoster { version } => {
            ("refused", Some(format!("the voter goes by roster {version}")))
        }
        ProposalAnswer::Lapsed => ("refused", Some("the ballot was silent for too long".into())),
        ProposalAnswer::Joining => ("refused", Some("the voter has no memory yet".into())),
        ProposalAnswer::StoreFailed => ("refused", Some("the voter's store failed".into())),
    }
}

/// Makes room for another question; the lowest ballots are the oldest.
fn limit<K: Ord, V>(asked: &mut BTreeMap<K, V>) {
    if asked.len() >= QUESTIONS_LIMIT {
        asked.pop_first();
    }
}

impl Witness for Voters {
    fn heard(&mut self, heard: &Heard<'_>) {
        if let Fact::SdownReport(report) = heard.fact {
            self.reported(report, heard);
        } else if let Fact::Candidacy(candidacy) = heard.fact {
            self.asked(candidacy, heard);
        } else if let Fact::Proposal(proposal) = heard.fact {
            self.proposed(proposal, heard);
        }
    }

    fn says(&mut self, fact: &Fact, at_us: u64) {
        if let Fact::OdownVerdict(verdict) = fact {
            self.judged(verdict, at_us);
        } else if let Fact::Ballot(ballot) = fact {
            self.voted(ballot, at_us);
        } else if let Fact::ProposalReply(reply) = fact {
            self.wrote(reply, at_us);
        }
    }

    fn take(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }
}
