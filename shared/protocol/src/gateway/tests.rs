//! What is known, when it may be told, and what subscribers hear.

mod steps;

use super::*;
use crate::tests::{at, ballot, history, node, place, prober, record, replica_view, roster, voter};
use alloc::vec;
use vedette_model::{
    DigestReply, Event, EventName, Evidence, Member, NodeReport, NodeState, OdownVerdict, Opinion,
    Quorum, RecordCommitted, Revision, SdownReport, TraceId,
};

pub(super) struct Script {
    pub(super) gateway: Gateway,
    pub(super) now: u64,
}

fn beat(service: Service, id: &str, roster: Option<Roster>, serves: Option<NodeAddr>) -> Fact {
    Heartbeat {
        service,
        id: id.into(),
        incarnation: 1,
        tick: 1,
        place: place("dc1"),
        health: Health::Well,
        roster,
        standings: vec![],
        serves,
        back: false,
        host: None,
    }
    .into()
}

pub(super) fn committed(record: &GroupRecord) -> RecordCommitted {
    RecordCommitted { ballot: ballot(record.revision.0, 1), record: record.clone() }
}

impl Script {
    pub(super) fn new() -> Self {
        let sender = Sender::parse(Service::Gateway, "g1", 1).unwrap();
        let config =
            Config { sender, place: place("dc1"), serves: node(91), unreadable_is_down: true };
        let mut script = Self { gateway: Gateway::new(config, at(0)), now: 0 };
        let _ = script.outputs();
        script
    }

    /// Fresh, with a group of three nodes and three probers that live.
    pub(super) fn serving() -> Self {
        let mut script = Self::new();
        for n in 1..=3 {
            let _ = script.hears(beat(Service::Voter, voter(n).as_str(), Some(roster(3)), None));
            let _ = script.hears(beat(Service::Prober, &format!("p{n}"), None, None));
        }
        let _ = script.hears(committed(&record(3)).into());
        let _ = script.answered(2);
        script
    }

    pub(super) fn hears(&mut self, fact: Fact) -> Vec<Output> {
        self.gateway.handle(fact, at(self.now));
        self.outputs()
    }

    /// So many voters answer the digest.
    pub(super) fn answered(&mut self, voters: usize) -> Vec<Output> {
        let mut all = vec![];
        for n in 1..=voters {
            let reply =
                DigestReply { voter: voter(n), records: vec![], unsettled: vec![], more: false };
            all.extend(self.hears(reply.into()));
        }
        all
    }

    pub(super) fn until(&mut self, now: u64) -> Vec<Output> {
        let mut all = vec![];
        while self.now < now {
            let due = self.gateway.poll_timeout().unwrap().max(at(self.now)).min(at(now));
            self.now =
                u64::try_from(due.since(Instant::ZERO).as_millis()).unwrap().max(self.now + 1);
            self.gateway.handle_timeout(at(self.now));
            all.extend(self.outputs());
        }
        all
    }

    fn outputs(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.gateway.poll_output()).collect()
    }

    pub(super) fn down(&mut self, by: usize, n: usize, down: bool) -> Vec<Output> {
        let evidence = Evidence::Silence { for_ms: 1_000 };
        let record = self.gateway.record("g").unwrap();
        let report = SdownReport {
            group: record.group.clone(),
            epoch: record.epoch,
            node: node(n),
            prober: prober(by),
            place: place("dc1"),
            state: if down { NodeState::Down(evidence) } else { NodeState::Up },
            last_good_ms: None,
            run_id: None,
            echo: vec![],
        };
        self.hears(report.into())
    }

    fn verdict(&mut self, n: usize, reached: bool) -> Vec<Output> {
        let record = self.gateway.record("g").unwrap();
        let opinion = |n: usize| Opinion {
            prober: prober(n),
            place: place("dc1"),
            evidence: Evidence::Silence { for_ms: 1_000 },
        };
        let verdict = OdownVerdict {
            group: record.group.clone(),
            epoch: record.epoch,
            master: record.master.clone(),
            voter: voter(n),
            reached,
            quorum: Quorum::parse(2).unwrap(),
            tally: vec![opinion(1), opinion(2)],
        };
        self.hears(verdict.into())
    }
}

pub(super) fn told(outputs: &[Output]) -> Vec<(&str, &str)> {
    let told = outputs.iter().filter_map(|output| match output {
        Output::Tell { channel, payload } => Some((channel.as_str(), payload.as_str())),
        Output::Publish(_) | Output::Serve(_) => None,
    });
    told.collect()
}

fn serves(outputs: &[Output]) -> Vec<bool> {
    let served = outputs.iter().filter_map(|output| match output {
        Output::Serve(serve) => Some(*serve),
        Output::Publish(_) | Output::Tell { .. } => None,
    });
    served.collect()
}

fn event(name: EventName, id: &str, payload: &str) -> Event {
    Event {
        id: id.into(),
        group: record(3).group,
        name,
        payload: payload.into(),
        cause: "x".into(),
        epoch: Epoch(1),
        source: "orchestrator/o1".into(),
        trace_id: TraceId::of(&record(3).group, Epoch(1), &node(1), None),
    }
}

/// The next reign, under another master.
pub(super) fn switched(record: &GroupRecord, to: usize) -> GroupRecord {
    let mut next = record.clone();
    next.revision = Revision(record.revision.0 + 1);
    next.epoch = record.epoch.next();
    next.switch.previous = Some(record.master.clone());
    next.master = node(to);
    next
}

#[test]
fn it_serves_as_soon_as_a_majority_of_the_roster_answers() {
    let mut script = Script::new();
    assert_eq!(serves(&script.answered(3)), [] as [bool; 0], "of what roster is not known");
    let mut script = Script::new();
    let _ = script.hears(beat(Service::Voter, "v1", Some(roster(3)), None));
    assert_eq!(serves(&script.answered(1)), [] as [bool; 0]);
    assert_eq!(serves(&script.answered(2)), [true]);
    assert!(script.gateway.is_fresh(at(script.now)));
}

#[test]
fn it_stops_when_too_few_voters_have_answered_for_seven_seconds() {
    let mut script = Script::serving();
    assert_eq!(serves(&script.until(6_000)), [] as [bool; 0]);
    assert_eq!(serves(&script.until(9_000)), [false]);
    assert!(!script.gateway.is_fresh(at(script.now)));
    assert_eq!(serves(&script.answered(2)), [true]);
}

#[test]
fn a_voter_that_was_taken_off_does_not_count() {
    let mut script = Script::serving();
    let next = Roster::parse(roster(3).version.next(), vec![voter(3), voter(4)]).unwrap();
    let said = script.hears(beat(Service::Voter, "v3", Some(next), None));
    assert_eq!(serves(&said), [false], "neither of these two has answered");
    let _ = script.hears(beat(Service::Voter, "v1", Some(roster(3)), None));
    assert!(!script.gateway.is_fresh(at(script.now)), "an older roster changes nothing");
}

#[test]
fn a_change_of_master_is_told_when_it_can_be_read() {
    let mut script = Script::serving();
    let next = switched(&record(3), 2);
    let said = script.hears(committed(&next).into());
    let (a, b, c) = (node(1), node(2), node(3));
    let slave =
        |n: &NodeAddr| format!("slave {n} {} {} @ g {} {}", n.host(), n.port(), b.host(), b.port());
    let switch = format!("g {} {} {} {}", a.host(), a.port(), b.host(), b.port());
    let (first, third) = (slave(&a), slave(&c));
    let wanted = [("+switch-master", &*switch), ("+slave", &*first), ("+slave", &*third)];
    assert_eq!(told(&said), wanted);
    assert_eq!(script.gateway.record("g").unwrap().master, b);
    let again = script.hears(committed(&next).into());
    assert_eq!(told(&again), [], "once");
    let older = script.hears(committed(&record(3)).into());
    assert_eq!(told(&older), []);
    assert_eq!(script.gateway.record("g").unwrap().master, b, "and never back");
}

#[test]
fn the_first_record_it_hears_of_is_no_change() {
    let mut script = Script::new();
    assert_eq!(told(&script.hears(committed(&record(3)).into())), []);
}

#[test]
fn a_new_replica_is_told_and_one_that_is_gone_is_not() {
    let mut script = Script::serving();
    let mut next = record(3);
    next.revision = Revision(next.revision.0 + 1);
    next.members.push(Member::new(node(4), None));
    next.members.push(Member { gone: true, ..Member::new(node(5), None) });
    let said = script.hears(committed(&next).into());
    let said = told(&said);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].1.contains(&node(4).to_string()), "{said:?}");
}

#[test]
fn a_node_is_down_when_a_quorum_of_probers_says_so() {
    let mut script = Script::serving();
    assert_eq!(told(&script.down(1, 3, true)), []);
    assert_eq!(told(&script.down(1, 3, true)), [], "a prober counts once");
    let said = script.down(2, 3, true);
    assert_eq!(told(&said)[0].0, "+sdown");
    let record = script.gateway.record("g").unwrap().clone();
    let look = script.gateway.look(&record, &node(3), at(script.now));
    assert_eq!(look.down.map(|down| down.by), Some(2));
    assert_eq!(told(&script.down(3, 3, true)), [], "told once");
    let _ = script.down(1, 3, false);
    assert_eq!(told(&script.down(2, 3, false))[0].0, "-sdown");
}

#[test]
fn where_fewer_probers_live_than_the_quorum_all_of_them_must_say_so() {
    let mut script = Script::serving();
    script.now = 4_000;
    let _ = script.hears(beat(Service::Prober, "p1", None, None));
    let _ = script.until(6_000);
    assert_eq!(script.gateway.probers(at(script.now)), 1);
    assert_eq!(told(&script.down(1, 3, true)).len(), 1);
}

#[test]
fn words_that_are_not_repeated_are_forgotten() {
    let mut script = Script::serving();
    for by in [1, 2] {
        let _ = script.down(by, 1, true);
        let _ = script.down(by, 3, true);
    }
    let record = script.gateway.record("g").unwrap().clone();
    let down = |script: &Script, n, after| {
        script.gateway.look(&record, &node(n), at(script.now + after)).down.is_some()
    };
    assert_eq!([down(&script, 1, 2_999), down(&script, 1, 3_000)], [true, false]);
    // Said less often, it counts for longer.
    assert_eq!([down(&script, 3, 11_999), down(&script, 3, 12_000)], [true, false]);
    let said = script.until(5_000);
    assert_eq!(told(&said), [("-sdown", "master g 10.0.0.1 6379")], "{said:?}");
}

#[test]
fn of_another_reign_or_another_node_nothing_is_believed() {
    let mut script = Script::serving();
    let _ = script.hears(committed(&switched(&record(3), 2)).into());
    let mut stale = record(3);
    stale.epoch = record(3).epoch;
    for by in 1..=3 {
        let report = SdownReport {
            group: stale.group.clone(),
            epoch: stale.epoch,
            node: node(2),
            prober: prober(by),
            place: place("dc1"),
            state: NodeState::Down(Evidence::Crash { refused: 3 }),
            last_good_ms: None,
            run_id: None,
            echo: vec![],
        };
        assert_eq!(told(&script.hears(report.into())), []);
        assert_eq!(told(&script.down(by, 77, true)), [], "no member");
    }
}

#[test]
fn what_was_said_of_the_reign_before_is_over() {
    let mut script = Script::serving();
    for by in 1..=2 {
        let _ = script.down(by, 1, true);
        let _ = script.down(by, 2, true);
        let _ = script.verdict(by, true);
    }
    let next = switched(&record(3), 2);
    let _ = script.hears(committed(&next).into());
    for n in 1..=2 {
        assert!(script.gateway.look(&next, &node(n), at(script.now)).down.is_none(), "node {n}");
    }
    assert!(script.gateway.odown(&next, at(script.now)).is_none());
    assert_eq!(told(&script.down(1, 1, true)), [], "one prober's word does not add to old ones");
    assert_eq!(told(&script.down(2, 1, true))[0].0, "+sdown", "the old master is still dead");
}

#[test]
fn the_master_is_objectively_down_by_a_majority_of_the_voters() {
    let mut script = Script::serving();
    assert_eq!(told(&script.verdict(1, true)), []);
    let said = script.verdict(2, true);
    let (channel, payload) = told(&said)[0];
    assert_eq!(channel, "+odown");
    assert!(payload.starts_with("master g ") && payload.ends_with(" #quorum 2/2"), "{payload}");
    let record = script.gateway.record("g").unwrap().clone();
    assert!(script.gateway.odown(&record, at(script.now)).is_some());
    let said = script.verdict(2, false);
    let (channel, payload) = told(&said)[0];
    assert_eq!(channel, "-odown");
    assert!(!payload.contains('#'), "{payload}");
    assert!(script.gateway.odown(&record, at(script.now)).is_none());
}

#[test]
fn other_events_are_passed_on_once() {
    let mut script = Script::serving();
    let event = |name, id: &str| event(name, id, "master g 1.2.3.4 5");
    let said = script.hears(event(EventName::SelectedSlave, "1").into());
    assert_eq!(told(&said), [("+selected-slave", "master g 1.2.3.4 5")]);
    assert_eq!(told(&script.hears(event(EventName::SelectedSlave, "1").into())), []);
    let own = [EventName::SwitchMaster, EventName::Slave, EventName::Sdown, EventName::Odown];
    for (n, name) in own.into_iter().enumerate() {
        let said = script.hears(event(name, &format!("own{n}")).into());
        assert_eq!(told(&said), [], "{name}: the gateway tells that by itself");
    }
}

#[test]
fn another_gateway_is_a_sentinel_while_it_serves() {
    let mut script = Script::serving();
    let said = script.hears(beat(Service::Gateway, "g2", None, Some(node(92))));
    let (channel, payload) = told(&said)[0];
    assert_eq!(channel, "+sentinel");
    assert!(payload.starts_with(&format!("sentinel {} ", sentinel_id("g2"))), "{payload}");
    let peers = |script: &Script| script.gateway.peers(at(script.now)).count();
    assert_eq!(peers(&script), 1);
    let _ = script.hears(beat(Service::Gateway, "g1", None, Some(node(91))));
    assert_eq!(peers(&script), 1, "itself is none");
    let _ = script.hears(beat(Service::Gateway, "g2", None, None));
    assert_eq!(peers(&script), 0, "it turns clients away");
    let _ = script.hears(beat(Service::Gateway, "g2", None, Some(node(92))));
    let _ = script.until(script.now + 6_000);
    assert_eq!(peers(&script), 0, "it is gone");
}

#[test]
fn its_heartbeat_says_where_it_serves_and_nothing_while_it_does_not() {
    let beats = |outputs: Vec<Output>| {
        let mut beats = outputs.into_iter().filter_map(|output| match output {
            Output::Publish(Fact::Heartbeat(beat)) => Some(beat),
            Output::Publish(_) | Output::Tell { .. } | Output::Serve(_) => None,
        });
        beats.next_back().unwrap()
    };
    let mut script = Script::new();
    let beat = beats(script.until(1_500));
    assert_eq!(beat.serves, None);
    assert!(matches!(&beat.health, Health::Impaired(why) if why.contains("voters answer")));
    let mut script = Script::serving();
    let beat = beats(script.until(1_500));
    assert_eq!((beat.serves, beat.health), (Some(node(91)), Health::Well));
}

#[test]
fn what_a_node_said_is_kept_with_its_time() {
    let mut script = Script::serving();
    script.now = 100;
    let view = replica_view(2, 1, 500);
    let group = record(3).group;
    let report = NodeReport { group, node: node(2), prober: prober(1), view: view.clone() };
    let _ = script.hears(report.clone().into());
    script.now = 900;
    let record = script.gateway.record("g").unwrap().clone();
    let look = script.gateway.look(&record, &node(2), at(900));
    assert_eq!(look.view, Some((&view, at(100))));
    assert_eq!((look.good, look.role_since), (Some(at(100)), Some(at(100))));
    let _ = script.hears(report.into());
    let look = script.gateway.look(&record, &node(2), at(900));
    assert_eq!((look.good, look.role_since), (Some(at(900)), Some(at(100))));
    assert!(script.gateway.look(&record, &node(9), at(900)).view.is_none());
    assert!(record.lineage.contains(&history(1)));
}

#[test]
fn an_id_is_forty_digits_and_each_its_own() {
    let ids = ["g1", "g2", "gateway-1", ""].map(sentinel_id);
    for id in &ids {
        assert!(id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    }
    let distinct: alloc::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 4);
    assert_eq!(sentinel_id("g1"), sentinel_id("g1"));
    assert_eq!(sentinel_id(&ids[0].to_ascii_uppercase()), ids[0], "a Sentinel's own id stays");
}

#[test]
fn a_removed_group_is_not_told_and_another_master_when_it_comes_back_is_a_switch() {
    let mut script = Script::serving();
    let mut removed = record(3).buried();
    removed.revision = Revision(2);
    assert_eq!(told(&script.hears(committed(&removed).into())), []);
    let group = removed.group.clone();
    assert_eq!(
        (script.gateway.record(group.as_str()), script.gateway.records().count()),
        (None, 0)
    );
    assert!(script.gateway.is_removed(&group));
    assert_eq!(script.gateway.revision(&group), Some(Revision(2)));
    let mut same = removed.revived(node(1), record(3).settings);
    same.revision = Revision(3);
    assert_eq!(told(&script.hears(committed(&same).into())), []);
    let mut again = same.buried().revived(node(2), record(3).settings);
    again.revision = Revision(5);
    let heard = script.hears(committed(&again).into());
    assert_eq!(told(&heard), [("+switch-master", "g 10.0.0.1 6379 10.0.0.2 6379")]);
    assert_eq!(script.gateway.record(group.as_str()).unwrap().master, node(2));
}

#[test]
fn what_a_prober_called_down_ends_with_its_life() {
    let again = |incarnation| -> Fact {
        let Fact::Heartbeat(beat) = beat(Service::Prober, "p1", None, None) else { unreachable!() };
        Heartbeat { incarnation, ..beat }.into()
    };
    for (life, down) in [(1, true), (2, false)] {
        let mut script = Script::serving();
        for by in [1, 2] {
            let _ = script.down(by, 3, true);
        }
        let _ = script.hears(again(life));
        let record = script.gateway.record("g").unwrap();
        assert_eq!(script.gateway.look(record, &node(3), at(script.now)).down.is_some(), down);
    }
}
