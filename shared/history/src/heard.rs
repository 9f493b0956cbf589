//! What services answer to whoever asks everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{
    Digest, Fact, FactKind, GroupName, GroupRecord, Heartbeat, NodeAddr, NodeState, OdownVerdict,
    ProberId, RecordCommitted, SdownReport, Service, StatusQuery, VoterId,
};
use vedette_runtime::Bus;
use vedette_runtime::bus::BusError;

/// What is listened to besides answers. Who calls a node down says so when it is asked, and every few
/// seconds.
const HEARD: [FactKind; 4] =
    [FactKind::Heartbeat, FactKind::SdownReport, FactKind::OdownVerdict, FactKind::RecordCommitted];

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Services that live, each with its newest heartbeat.
    pub services: BTreeMap<(Service, String), Heartbeat>,
    /// Voters that said what they know.
    pub voters: BTreeSet<VoterId>,
    /// The newest committed record of each group.
    pub records: BTreeMap<GroupName, GroupRecord>,
    /// Groups with a change that some voter accepted and that nobody is known to have committed.
    pub unsettled: BTreeSet<GroupName>,
    /// Nodes that probers call down.
    pub down: BTreeMap<(GroupName, NodeAddr), BTreeMap<ProberId, SdownReport>>,
    /// Verdicts of the voters.
    pub verdicts: BTreeMap<GroupName, BTreeMap<VoterId, OdownVerdict>>,
}

impl Heard {
    /// Asks, and listens for so long.
    ///
    /// # Errors
    /// [`BusError`] if the bus does not let us hear them.
    pub async fn collect(bus: &Bus, limit: Duration) -> Result<Self, BusError> {
        let mut facts = bus.subscribe(&HEARD).await?;
        let mut heard = Self::default();
        bus.publish(&StatusQuery {}.into()).await;
        bus.publish(&Digest::default().into()).await;
        let listen = async {
            while let Some(received) = facts.recv().await {
                if let Some(next) = heard.take(received.fact) {
                    bus.publish(&next.into()).await;
                }
            }
        };
        // The time is always used up: nobody can say that all have answered.
        let _ = tokio::time::timeout(limit, listen).await;
        heard.records.retain(|_, record| !record.removed);
        Ok(heard)
    }

    /// How many services of a kind live.
    pub fn count(&self, service: Service) -> usize {
        self.services.keys().filter(|(kind, _)| *kind == service).count()
    }

    /// Takes a fact; what is to be asked next, if a voter has more to say.
    pub fn take(&mut self, fact: Fact) -> Option<Digest> {
        match fact {
            Fact::Heartbeat(beat) => self.heartbeat(beat),
            Fact::DigestReply(reply) => {
                self.voters.insert(reply.voter);
                self.unsettled.extend(reply.unsettled);
                let mut news = false;
                for committed in reply.records {
                    news |= self.record(committed);
                }
                // Each voter answers each question: one that brings nothing new asks for no other.
                if reply.more && news {
                    let have = self.records.iter().map(|(g, r)| (g.clone(), r.revision)).collect();
                    return Some(Digest { have });
                }
            }
            Fact::RecordCommitted(committed) => {
                self.record(committed);
            }
            Fact::SdownReport(report) => self.report(report),
            Fact::OdownVerdict(verdict) => {
                let voters = self.verdicts.entry(verdict.group.clone()).or_default();
                voters.insert(verdict.voter.clone(), verdict);
            }
            Fact::NodeReport(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::StatusQuery(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_)
            | Fact::Event(_) => {}
        }
        None
    }

    /// Only answers to a question hold standings: the next plain heartbeat must not wipe them out.
    fn heartbeat(&mut self, mut beat: Heartbeat) {
        let key = (beat.service, beat.id.clone());
        let before = self.services.remove(&key);
        if beat.standings.is_empty()
            && let Some(before) = before.filter(|before| before.incarnation == beat.incarnation)
        {
            beat.standings = before.standings;
        }
        self.services.insert(key, beat);
    }

    /// Whether it was news.
    fn record(&mut self, committed: RecordCommitted) -> bool {
        let record = committed.record;
        let news = self.records.get(&record.group).is_none_or(|k| k.revision < record.revision);
        if news {
            self.records.insert(record.group.clone(), record);
        }
        news
    }

    fn report(&mut self, report: SdownReport) {
        let probers = self.down.entry((report.group.clone(), report.node.clone())).or_default();
        match report.state {
            NodeState::Up => drop(probers.remove(&report.prober)),
            NodeState::Down(_) => drop(probers.insert(report.prober.clone(), report)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{BallotNumber, DigestReply, OrchestratorId, Quorum, Settings};

    #[test]
    fn several_answers_to_one_question_are_not_as_many_questions() {
        let proposer = OrchestratorId::parse("o1").unwrap();
        let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
        let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let record = GroupRecord::first(GroupName::parse("g").unwrap(), master, settings);
        let records = vec![RecordCommitted { ballot, record }];
        let mut heard = Heard::default();
        let mut answers = |voter: &str| {
            let (voter, records) = (VoterId::parse(voter).unwrap(), records.clone());
            heard.take(DigestReply { voter, records, unsettled: vec![], more: true }.into())
        };
        assert!(answers("v1").is_some_and(|next| next.have.len() == 1));
        assert_eq!(answers("v2"), None);
    }
}
