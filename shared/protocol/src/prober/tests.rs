//! Scripts: what a prober hears of groups and nodes, and what it says of them.

mod many;
mod rebirth;
mod sharing;

use super::*;
use crate::tests::{
    at, ballot, drain, group, history, master_view, node, place, prober, record, replica_view,
    run_id, voter,
};
use alloc::vec;
use vedette_model::{
    EventName, Evidence, RecordCommitted, ReplicaSeen, Revision, SdownReport, Secret, StatusQuery,
};

struct Script(Prober);

impl Script {
    /// Prober `p1` that has asked the voters and beaten once, at 0, and knows a group of so many
    /// nodes.
    fn new(nodes: usize) -> Self {
        let sender = Sender::parse(Service::Prober, "p1", 5).unwrap();
        let config = Config { sender, id: prober(1), place: place("here") };
        let mut script = Self(Prober::new(config, at(0)));
        script.0.handle_timeout(at(0));
        let said = drain(|| script.0.poll_output());
        assert_eq!(said.len(), 2, "a heartbeat and a question: {said:?}");
        let connects: Vec<_> = (1..=nodes).map(|n| connect(n, 1, None)).collect();
        assert_eq!(script.knows(0, record(nodes)), connects);
        script
    }

    fn hear(&mut self, now: u64, fact: impl Into<Fact>) -> Vec<Output> {
        self.0.handle(Input::Fact(fact.into()), at(now));
        drain(|| self.0.poll_output())
    }

    fn knows(&mut self, now: u64, record: GroupRecord) -> Vec<Output> {
        self.hear(now, RecordCommitted { ballot: ballot(1, 1), record })
    }

    fn link(&mut self, now: u64, n: usize, attempt: u64, what: LinkEvent) -> Vec<Output> {
        self.0.handle(Input::Link { watch: watch(n), attempt, what }, at(now));
        drain(|| self.0.poll_output())
    }

    /// Node `n` is connected, broken, and refuses twice: a crash, at 100 ms after `now`.
    fn crash(&mut self, now: u64, n: usize) -> Vec<Output> {
        let _ = self.link(now, n, 1, LinkEvent::Connected);
        let _ = self.link(now, n, 1, LinkEvent::Pong(PingReply::Pong));
        let _ = self.link(now, n, 1, LinkEvent::Lost);
        let refused = LinkEvent::ConnectFailed(NodeFault::Refused);
        let _ = self.link(now, n, 2, refused.clone());
        let _ = self.run(now + 100);
        let last = self.attempt(n);
        self.link(now + 100, n, last, refused)
    }

    /// The number of the newest connection to node `n`.
    fn attempt(&mut self, n: usize) -> u64 {
        self.0.watched(&watch(n)).unwrap().watcher.attempt()
    }

    /// Wakes the prober whenever it wants to be woken, up to and including `until`; what it says to
    /// the bus besides heartbeats and questions.
    fn run(&mut self, until: u64) -> Vec<(u64, Fact)> {
        let mut said = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            for output in drain(|| self.0.poll_output()) {
                if let Output::Publish(fact) = output
                    && !matches!(fact, Fact::Heartbeat(_) | Fact::Digest(_))
                {
                    said.push((due.as_nanos() / 1_000_000, fact));
                }
            }
        }
        said
    }
}

fn watch(n: usize) -> Watch {
    Watch { group: group(), node: node(n) }
}

fn connect(n: usize, attempt: u64, credentials: Option<Credentials>) -> Output {
    Output::Connect { watch: watch(n), attempt, credentials }
}

fn revision(number: u64, nodes: usize) -> GroupRecord {
    GroupRecord { revision: Revision(number), ..record(nodes) }
}

/// The reports among what was said.
fn reports<'a>(said: impl IntoIterator<Item = &'a Output>) -> Vec<SdownReport> {
    let report = |output: &Output| match output {
        Output::Publish(Fact::SdownReport(report)) => Some(report.clone()),
        Output::Publish(_)
        | Output::Connect { .. }
        | Output::Ping { .. }
        | Output::Info { .. }
        | Output::Role { .. }
        | Output::Forget { .. } => None,
    };
    said.into_iter().filter_map(report).collect()
}

/// The events among what was said.
fn events<'a>(said: impl IntoIterator<Item = &'a Output>) -> Vec<(EventName, String)> {
    let event = |output: &Output| match output {
        Output::Publish(Fact::Event(event)) => Some((event.name, event.payload.clone())),
        Output::Publish(_)
        | Output::Connect { .. }
        | Output::Ping { .. }
        | Output::Info { .. }
        | Output::Role { .. }
        | Output::Forget { .. } => None,
    };
    said.into_iter().filter_map(event).collect()
}

fn heartbeat(n: usize, incarnation: u64, tick: u64) -> Heartbeat {
    crate::tests::heartbeat(Service::Voter, voter(n).as_str(), incarnation, tick)
}

#[test]
fn members_are_watched_and_who_is_one_no_longer_is_forgotten() {
    let mut script = Script::new(2);
    assert_eq!(script.knows(10, revision(2, 3)), [connect(3, 1, None)]);
    let mut without_2 = revision(3, 3);
    without_2.members.remove(1);
    assert_eq!(script.knows(20, without_2), [Output::Forget { watch: watch(2) }]);
    assert_eq!(script.knows(30, revision(2, 2)), [], "an older record says nothing");
    assert_eq!(script.link(40, 2, 1, LinkEvent::Connected), [], "nor does who is forgotten");
}

#[test]
fn a_member_that_is_down_is_reported_with_all_that_a_voter_needs() {
    let mut script = Script::new(2);
    let _ = script.hear(50, heartbeat(1, 7, 3));
    let _ = script.hear(60, heartbeat(2, 8, 9));
    let _ = script.hear(70, heartbeat(1, 7, 4));
    let said = script.crash(100, 1);
    let echo = |n, incarnation, tick| Echo { voter: voter(n), incarnation, tick };
    let expected = SdownReport {
        group: group(),
        epoch: Epoch(1),
        node: node(1),
        prober: prober(1),
        place: place("here"),
        state: NodeState::Down(Evidence::Crash { refused: 2 }),
        last_good_ms: Some(100),
        run_id: None,
        echo: vec![echo(1, 7, 4), echo(2, 8, 9)],
    };
    assert_eq!(reports(&said), core::slice::from_ref(&expected));
    let payload = "master g 10.0.0.1 6379".to_string();
    assert_eq!(events(&said), [(EventName::Sdown, payload.clone())]);
    // Said again to the voters every second, to people once.
    let said = script.run(1_200);
    let again = SdownReport { last_good_ms: Some(1_100), ..expected };
    assert_eq!(said, [(1_200, again.into())]);
    let again = script.attempt(1);
    let _ = script.link(1_300, 1, again, LinkEvent::Connected);
    let said = script.link(1_300, 1, again, LinkEvent::Info(Ok(master_view(1, 0))));
    assert_eq!(reports(&said), [], "it did not answer PING");
    let said = script.link(1_300, 1, again, LinkEvent::Pong(PingReply::Pong));
    assert_eq!(reports(&said)[0].state, NodeState::Up);
    assert_eq!(events(&said), [(EventName::SdownOver, payload)]);
}

#[test]
fn a_heartbeat_heard_5_s_ago_is_no_proof_and_is_left_out() {
    for (heard, expected) in [(1, 1), (0, 0)] {
        let mut script = Script::new(1);
        let _ = script.hear(heard, heartbeat(1, 7, 3));
        let _ = script.link(10, 1, 1, LinkEvent::Connected);
        let said = script.run(5_000);
        let Some((5_000, Fact::SdownReport(report))) = said.first() else { panic!("{said:?}") };
        assert_eq!(report.echo.len(), expected, "heard at {heard}");
    }
}

#[test]
fn only_voters_are_echoed() {
    let mut script = Script::new(1);
    let other = Heartbeat { service: Service::Notifier, ..heartbeat(1, 7, 3) };
    let _ = script.hear(50, other);
    assert_eq!(reports(&script.crash(100, 1))[0].echo, []);
}

#[test]
fn a_voter_that_has_just_been_born_is_told_at_once_what_is_down() {
    let mut script = Script::new(2);
    let _ = script.hear(50, heartbeat(1, 7, 3));
    let _ = script.crash(100, 2);
    assert_eq!(script.hear(300, heartbeat(1, 7, 4)), [], "it is the same life");
    let said = script.hear(400, heartbeat(1, 8, 1));
    assert_eq!(reports(&said)[0].node, node(2));
    assert_eq!((said.len(), &reports(&said)[0].echo[0].incarnation), (1, &8));
}

#[test]
fn who_comes_back_to_the_bus_tells_again_what_is_down_and_is_told() {
    let mut script = Script::new(2);
    let _ = script.hear(50, heartbeat(1, 7, 3));
    let _ = script.crash(100, 2);
    let back = Heartbeat { back: true, ..heartbeat(1, 7, 4) };
    let said = script.hear(300, back);
    assert_eq!(reports(&said)[0].node, node(2), "a voter that was away may have missed it");
    script.0.handle(Input::Back, at(400));
    let said = drain(|| script.0.poll_output());
    assert_eq!(reports(&said)[0].node, node(2), "it may have been lost");
    let beats = |o: &Output| matches!(o, Output::Publish(Fact::Heartbeat(beat)) if beat.back);
    let asks = |o: &Output| matches!(o, Output::Publish(Fact::Digest(_)));
    assert!(said.iter().any(beats) && said.iter().any(asks), "{said:?}");
}

#[test]
fn replicas_that_the_master_lists_are_watched_and_only_looked_at() {
    let mut script = Script::new(1);
    let seen = |n| ReplicaSeen { addr: node(n), online: true, offset: 0 };
    let mut view = master_view(1, 0);
    view.replicas = vec![seen(1), seen(5)];
    let _ = script.link(0, 1, 1, LinkEvent::Connected);
    let said = script.link(10, 1, 1, LinkEvent::Info(Ok(view.clone())));
    assert!(said.contains(&connect(5, 1, None)), "{said:?}");
    // Nothing is reported of it but what it says of itself: it is no member yet.
    assert_eq!(reports(&script.crash(20, 5)), []);
    let said = script.run(640);
    assert!(!said.iter().any(|(_, fact)| matches!(fact, Fact::SdownReport(_))), "{said:?}");
    let again = script.attempt(5);
    let _ = script.link(650, 5, again, LinkEvent::Connected);
    let said = script.link(660, 5, again, LinkEvent::Info(Ok(replica_view(5, 1, 0))));
    assert!(matches!(&said[0], Output::Publish(Fact::NodeReport(r)) if r.node == node(5)));
    view.replicas.clear();
    let said = script.link(670, 1, 1, LinkEvent::Info(Ok(view)));
    assert!(said.contains(&Output::Forget { watch: watch(5) }), "{said:?}");
}

#[test]
fn what_a_replica_lists_is_not_watched() {
    let mut script = Script::new(2);
    let mut view = replica_view(2, 1, 0);
    view.replicas = vec![ReplicaSeen { addr: node(5), online: true, offset: 0 }];
    let _ = script.link(0, 2, 1, LinkEvent::Connected);
    let said = script.link(10, 2, 1, LinkEvent::Info(Ok(view)));
    assert!(!said.contains(&connect(5, 1, None)), "{said:?}");
}

#[test]
fn after_a_change_of_master_reports_are_of_the_new_epoch() {
    let mut script = Script::new(2);
    let _ = script.crash(100, 1);
    let mut next = revision(2, 2);
    (next.epoch, next.master) = (Epoch(2), node(2));
    let _ = script.knows(300, next);
    let said = script.run(1_200);
    let Some((1_200, Fact::SdownReport(report))) = said.last() else { panic!("{said:?}") };
    assert_eq!((report.epoch, &report.node), (Epoch(2), &node(1)));
}

#[test]
fn credentials_go_with_each_connection() {
    let mut script = Script::new(1);
    let credentials = Some(Credentials::new(None, Secret::new("hush".into())));
    let mut changed = revision(2, 2);
    changed.settings.credentials = credentials.clone();
    // Who was let in without them, or refused, is to show at once that these will do.
    let said = script.knows(10, changed);
    assert_eq!(said, [connect(1, 2, credentials.clone()), connect(2, 1, credentials.clone())]);
    let said = script.link(20, 1, 2, LinkEvent::ConnectFailed(NodeFault::TimedOut));
    assert_eq!(said, []);
    script.0.handle_timeout(at(520));
    let said = drain(|| script.0.poll_output());
    assert!(said.contains(&connect(1, 3, credentials)), "{said:?}");
}

#[test]
fn a_stall_is_told_once_however_many_nodes_are_watched() {
    let mut script = Script::new(9);
    script.0.handle_timeout(at(60_000));
    let said = drain(|| script.0.poll_output());
    let expected = (EventName::SelfSuspect, "master g 10.0.0.1 6379".to_string());
    assert_eq!(events(&said), [expected]);
}

#[test]
fn the_same_node_in_two_groups_is_watched_twice() {
    let mut script = Script::new(1);
    let other = GroupName::parse("other").unwrap();
    let second = GroupRecord { group: other.clone(), ..record(1) };
    let watch = Watch { group: other, node: node(1) };
    let connect = Output::Connect { watch, attempt: 1, credentials: None };
    assert_eq!(script.knows(10, second), [connect]);
}

#[test]
fn asked_for_its_status_it_says_how_each_node_is() {
    let mut script = Script::new(3);
    let _ = script.crash(100, 1);
    let _ = script.link(100, 2, 1, LinkEvent::Connected);
    let _ = script.link(150, 2, 1, LinkEvent::Pong(PingReply::Pong));
    let said = script.hear(300, StatusQuery {});
    assert_eq!(reports(&said)[0].node, node(1), "and says again what is down");
    let [Output::Publish(Fact::Heartbeat(beat)), _] = &said[..] else { panic!("{said:?}") };
    assert_eq!(
        beat.standings[0].text,
        "10.0.0.1:6379 down (link broken, 2 reconnects refused); 10.0.0.2:6379 up, answered 150 ms \
         ago; 10.0.0.3:6379 has not answered yet; 1 probers watch it and its quorum is 2: start \
         more, or raise watchers_per_place"
    );
    assert_eq!(beat.standings[0].epoch, Epoch(1));
}

#[test]
fn a_removed_group_is_watched_no_longer_until_it_is_watched_again() {
    let mut script = Script::new(2);
    let removed = revision(2, 2).buried();
    let forget = |n| Output::Forget { watch: watch(n) };
    assert_eq!(script.knows(10, removed.clone()), [forget(1), forget(2)]);
    assert_eq!(script.run(20_000), []);
    let mut again = removed.revived(node(2), revision(2, 2).settings);
    again.revision = Revision(3);
    assert_eq!(script.knows(20_010, again), [connect(2, 1, None)]);
}
