//! What is new in a fact: probers and voters repeat themselves, and services say that they live.

use std::collections::BTreeMap;
use std::time::Duration;
use vedette_model::{
    Epoch, Fact, GroupName, Health, Heartbeat, Instant, NodeAddr, NodeState, ProberId, Revision,
    Service, VoterId,
};

/// Services say every second or oftener that they live.
const MISSING_AFTER: Duration = Duration::from_millis(3_500);
/// Services, nodes and groups that are remembered; what is beyond is shown as often as it is said.
const MEMORY: usize = 10_000;

/// What was shown last.
#[derive(Debug, Default)]
pub struct News {
    services: BTreeMap<(Service, String), Known>,
    down: BTreeMap<(GroupName, NodeAddr, ProberId), bool>,
    odown: BTreeMap<(GroupName, VoterId), (Epoch, bool, usize)>,
    masters: BTreeMap<GroupName, (Epoch, Revision)>,
}

#[derive(Debug)]
struct Known {
    incarnation: u64,
    health: Health,
    heard: Instant,
    missing: bool,
}

impl News {
    /// The fact in words, if it is more than a repetition or a sign of life.
    pub fn tell(&mut self, fact: &Fact, now: Instant) -> Option<String> {
        match fact {
            Fact::Heartbeat(beat) => return self.heartbeat(beat, now),
            Fact::SdownReport(report) => {
                let is_down = report.state != NodeState::Up;
                let key = (report.group.clone(), report.node.clone(), report.prober.clone());
                if !changed(&mut self.down, key, is_down) {
                    return None;
                }
            }
            Fact::OdownVerdict(verdict) => {
                let key = (verdict.group.clone(), verdict.voter.clone());
                let said = (verdict.epoch, verdict.reached, verdict.tally.len());
                if !changed(&mut self.odown, key, said) {
                    return None;
                }
            }
            Fact::MasterRecord(record) => {
                let said = (record.epoch, record.revision);
                if !changed(&mut self.masters, record.group.clone(), said) {
                    return None;
                }
            }
            Fact::NodeReport(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::RecordCommitted(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::DigestReply(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::StatusQuery(_)
            | Fact::MasterQuery(_)
            | Fact::Event(_) => {}
        }
        (!fact.kind().is_quiet()).then(|| fact.to_string())
    }

    /// Services that have gone quiet since the last time, each with words.
    pub fn missing(&mut self, now: Instant) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for ((service, id), known) in &mut self.services {
            let quiet = now.since(known.heard);
            if known.missing || quiet <= MISSING_AFTER {
                continue;
            }
            known.missing = true;
            let text = format!("has not been heard for {:.1} s", quiet.as_secs_f64());
            found.push((format!("{service}/{id}"), text));
        }
        found
    }

    fn heartbeat(&mut self, beat: &Heartbeat, now: Instant) -> Option<String> {
        let place = &beat.place;
        let health = beat.health.to_string();
        let key = (beat.service, beat.id.clone());
        let full = self.services.len() >= MEMORY;
        let Some(known) = self.services.get_mut(&key) else {
            if !full {
                let (incarnation, health) = (beat.incarnation, beat.health.clone());
                let known = Known { incarnation, health, heard: now, missing: false };
                self.services.insert(key, known);
            }
            return Some(format!("is here at place {place}, {health}"));
        };
        let (was_missing, before) = (known.missing, known.health.to_string());
        let restarted = known.incarnation != beat.incarnation;
        known.heard = now;
        known.missing = false;
        known.incarnation = beat.incarnation;
        known.health = beat.health.clone();
        if restarted {
            return Some(format!("was started again at place {place}, {health}"));
        }
        if before != health {
            return Some(format!("{before} → {health}"));
        }
        was_missing.then(|| format!("is heard again, {health}"))
    }
}

/// Remembers what is said now; whether it is something else than before.
fn changed<K: Ord, V: PartialEq>(said: &mut BTreeMap<K, V>, key: K, now: V) -> bool {
    match said.get_mut(&key) {
        Some(before) if *before == now => false,
        Some(before) => {
            *before = now;
            true
        }
        None => {
            if said.len() < MEMORY {
                said.insert(key, now);
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Evidence, Place, SdownReport};

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn beat(incarnation: u64, health: Health) -> Fact {
        Heartbeat {
            service: Service::Voter,
            id: "v1".into(),
            incarnation,
            tick: 1,
            place: Place::parse("a").unwrap(),
            health,
            roster: None,
            standings: Vec::new(),
            serves: None,
            back: false,
            host: None,
        }
        .into()
    }

    fn report(for_ms: Option<u64>) -> Fact {
        let state =
            for_ms.map_or(NodeState::Up, |for_ms| NodeState::Down(Evidence::Silence { for_ms }));
        SdownReport {
            group: GroupName::parse("g").unwrap(),
            epoch: Epoch(1),
            node: NodeAddr::parse("h:1").unwrap(),
            prober: ProberId::parse("p1").unwrap(),
            place: Place::parse("a").unwrap(),
            state,
            last_good_ms: None,
            run_id: None,
            echo: Vec::new(),
        }
        .into()
    }

    #[test]
    fn a_repeated_opinion_is_told_once_and_its_withdrawal_too() {
        let mut news = News::default();
        assert!(news.tell(&report(Some(500)), at(0)).unwrap().contains("down"));
        assert_eq!(news.tell(&report(Some(1_500)), at(1_000)), None);
        assert!(news.tell(&report(None), at(2_000)).unwrap().contains("up"));
        assert!(news.tell(&report(Some(500)), at(3_000)).is_some());
    }

    #[test]
    fn a_heartbeat_is_news_when_it_is_the_first_or_says_something_else() {
        let mut news = News::default();
        assert!(news.tell(&beat(1, Health::Well), at(0)).unwrap().contains("is here"));
        assert_eq!(news.tell(&beat(1, Health::Well), at(500)), None);
        let ill = Health::Impaired("no disk".into());
        assert_eq!(news.tell(&beat(1, ill.clone()), at(900)).unwrap(), "well → impaired: no disk");
        assert!(news.tell(&beat(2, ill), at(950)).unwrap().contains("started again"));
    }

    #[test]
    fn a_service_that_goes_quiet_is_told_once_and_again_when_it_is_back() {
        let mut news = News::default();
        news.tell(&beat(1, Health::Well), at(0));
        assert_eq!(news.missing(at(3_000)), []);
        assert_eq!(news.missing(at(4_000)).len(), 1);
        assert_eq!(news.missing(at(5_000)), []);
        assert!(news.tell(&beat(1, Health::Well), at(6_000)).unwrap().contains("again"));
    }
}
