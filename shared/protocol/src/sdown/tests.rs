//! Scripts: a node that behaves in some way, and exactly what its prober says of it.

mod crash;
mod identity;
mod loading;
mod replies;
mod role;
mod stall;
mod writes;

use super::*;
use crate::prober::PingReply;
use crate::tests::{at, drain, master_view, replica_view, run_id, settings};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Evidence, NodeFault};

/// How the node behaves towards its prober.
#[derive(Clone)]
enum Node {
    /// Takes connections and answers each `PING` at once.
    Says(PingReply),
    /// Takes connections and never answers.
    Mute,
    /// Connecting ends at once with this.
    Fails(NodeFault),
    /// Connecting does not end.
    Hangs,
}

const WELL: Node = Node::Says(PingReply::Pong);

struct Script {
    watcher: Watcher,
    attempt: u64,
    /// When something was last heard: no time before it comes again.
    heard_at: Instant,
}

impl Script {
    /// `down_after` 1 s, so that a ping comes every 100 ms; `crash_grace` 100 ms; a budget of 3 s
    /// for `BUSY`.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(2);
        settings.down_after_ms = 1_000;
        settings.busy_budget_ms = 3_000;
        change(&mut settings);
        Self { watcher: Watcher::new(&settings, at(0)), attempt: 0, heard_at: at(0) }
    }

    /// Wakes the watcher whenever it wants to be woken up to and including `until`, with the node
    /// behaving as given. All acts with their milliseconds.
    fn run(&mut self, until: u64, node: &Node) -> Vec<(u64, Act)> {
        let mut said = self.play(0, node);
        while let Some(due) = self.watcher.poll_timeout().filter(|due| *due <= at(until)) {
            let due = due.max(self.heard_at);
            self.watcher.handle_timeout(due);
            said.extend(self.play(due.as_nanos() / 1_000_000, node));
            let next = self.watcher.poll_timeout();
            assert!(next.is_none_or(|next| next > due), "{next:?} is not after {due:?}");
        }
        said
    }

    /// Lets the node react to what it is asked, until nothing more is asked.
    fn play(&mut self, now: u64, node: &Node) -> Vec<(u64, Act)> {
        let mut said = Vec::new();
        while let Some(act) = self.watcher.poll_output() {
            let event = match (&act, node) {
                (Act::Connect { attempt }, _) => {
                    self.attempt = *attempt;
                    match node {
                        Node::Says(_) | Node::Mute => Some(LinkEvent::Connected),
                        Node::Fails(fault) => Some(LinkEvent::ConnectFailed(fault.clone())),
                        Node::Hangs => None,
                    }
                }
                (Act::Ping, Node::Says(reply)) => Some(LinkEvent::Pong(reply.clone())),
                (Act::Ping, Node::Mute | Node::Fails(_) | Node::Hangs)
                | (Act::Info | Act::Role | Act::Report(_) | Act::View(_) | Act::Event(..), _) => {
                    None
                }
            };
            said.push((now, act));
            if let Some(event) = event {
                self.watcher.handle(self.attempt, event, at(now));
            }
        }
        said
    }

    /// As [`Script::run`], without the traffic to the node.
    fn tell(&mut self, until: u64, node: &Node) -> Vec<(u64, Act)> {
        told(self.run(until, node))
    }

    /// Something happens on the present connection; what is said of it, without the traffic.
    fn hear(&mut self, now: u64, what: LinkEvent) -> Vec<Act> {
        self.heard_at = at(now);
        self.watcher.handle(self.attempt, what, at(now));
        let acts = self.play(now, &Node::Hangs);
        told(acts).into_iter().map(|(_, act)| act).collect()
    }
}

/// What the group says of its master, with a replica that could take over.
fn master() -> Company {
    Company { master: true, spare: true, writable_spare: true, reborn: None }
}

fn told(acts: Vec<(u64, Act)>) -> Vec<(u64, Act)> {
    let traffic =
        |act: &Act| matches!(act, Act::Connect { .. } | Act::Ping | Act::Info | Act::Role);
    acts.into_iter().filter(|(_, act)| !traffic(act)).collect()
}

/// The names of events among what was said.
fn events(said: &[(u64, Act)]) -> Vec<(u64, EventName)> {
    let name = |(at, act): &(u64, Act)| match act {
        Act::Event(name, _) => Some((*at, *name)),
        Act::Connect { .. } | Act::Ping | Act::Info | Act::Role | Act::Report(_) | Act::View(_) => {
            None
        }
    };
    said.iter().filter_map(name).collect()
}

fn times(said: &[(u64, Act)], wanted: &Act) -> Vec<u64> {
    said.iter().filter(|(_, act)| act == wanted).map(|(at, _)| *at).collect()
}

fn down(evidence: Evidence) -> Act {
    Act::Report(NodeState::Down(evidence))
}

fn silent(for_ms: u64) -> Act {
    down(Evidence::Silence { for_ms })
}

const UP: Act = Act::Report(NodeState::Up);

#[test]
fn it_connects_at_once_and_then_asks_at_once() {
    let mut script = Script::new();
    let said = script.run(0, &WELL);
    assert_eq!(said, [(0, Act::Connect { attempt: 1 }), (0, Act::Info), (0, Act::Ping)]);
    assert_eq!(script.watcher.last_good(), Some(at(0)));
}

#[test]
fn a_ping_comes_every_tenth_of_down_after_and_info_every_ten_seconds() {
    let mut script = Script::new();
    let said = script.run(20_000, &WELL);
    assert_eq!(times(&said, &Act::Ping), Vec::from_iter((0..=20_000).step_by(100)));
    assert_eq!(times(&said, &Act::Info), [0, 10_000, 20_000]);
    assert_eq!(told(said), []);
}

#[test]
fn in_trouble_info_comes_at_once_and_then_every_second() {
    let mut script = Script::new();
    let _ = script.run(3_500, &WELL);
    script.watcher.set_trouble(true, at(3_500));
    assert_eq!(times(&script.run(6_000, &WELL), &Act::Info), [3_500, 4_500, 5_500]);
    script.watcher.set_trouble(true, at(6_000));
    assert_eq!(times(&script.run(6_400, &WELL), &Act::Info), [], "it was in trouble already");
    script.watcher.set_trouble(false, at(6_400));
    assert_eq!(times(&script.run(17_000, &WELL), &Act::Info), [6_500, 16_500]);
}

#[test]
fn silence_for_down_after_is_sdown() {
    let mut script = Script::new();
    assert_eq!(script.tell(300, &WELL), []);
    // The ping of 400 ms is the first that is not answered.
    assert_eq!(script.tell(1_399, &Node::Mute), []);
    assert_eq!(script.tell(1_400, &Node::Mute), [(1_400, silent(1_000))]);
    assert_eq!(script.watcher.last_good(), Some(at(300)));
}

#[test]
fn silence_is_measured_again_from_each_answer() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    assert_eq!(script.tell(1_050, &Node::Mute), []);
    assert_eq!(script.hear(1_099, LinkEvent::Pong(PingReply::Pong)), []);
    assert_eq!(script.tell(2_099, &Node::Mute), []);
    assert_eq!(script.tell(2_100, &Node::Mute), [(2_100, silent(1_000))]);
}

#[test]
fn a_down_master_is_reported_every_second() {
    let mut script = Script::new();
    script.watcher.keep_company(master(), at(0));
    let _ = script.run(0, &WELL);
    let said = script.tell(3_500, &Node::Mute);
    assert_eq!(said, [(1_100, silent(1_000)), (2_100, silent(1_000)), (3_100, silent(1_000))]);
}

#[test]
fn another_down_node_is_reported_once_more_soon_and_then_every_five_seconds() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let times = |said: Vec<(u64, Act)>| -> Vec<u64> { said.into_iter().map(|(t, _)| t).collect() };
    assert_eq!(times(script.tell(7_500, &Node::Mute)), [1_100, 2_100, 7_100]);
    script.watcher.new_reign(at(7_500));
    assert_eq!(times(script.tell(20_000, &Node::Mute)), [8_500, 13_500, 18_500]);
    script.watcher.keep_company(master(), at(20_000));
    script.watcher.new_reign(at(20_000));
    assert_eq!(times(script.tell(22_500, &Node::Mute)), [21_000, 22_000]);
}

#[test]
fn a_down_node_is_reported_until_it_answers() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let said = script.tell(3_500, &Node::Mute);
    assert_eq!(said, [(1_100, silent(1_000)), (2_100, silent(1_000))]);
    assert_eq!(script.tell(3_600, &WELL), [], "its four pings are under way");
    assert_eq!(script.hear(3_650, LinkEvent::Pong(PingReply::Pong)), [UP]);
    assert_eq!(script.tell(20_000, &WELL), []);
}

#[test]
fn a_node_that_never_answered_is_sdown_after_down_after() {
    for node in [Node::Mute, Node::Hangs, Node::Fails(NodeFault::Refused)] {
        let mut script = Script::new();
        assert_eq!(script.tell(1_500, &node), [(1_000, silent(1_000))]);
        assert_eq!(script.watcher.last_good(), None);
    }
}

#[test]
fn half_way_into_silence_a_fresh_connection_is_opened_once() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let said = script.run(2_000, &Node::Mute);
    assert_eq!(times(&said, &Act::Connect { attempt: 2 }), [600]);
    assert_eq!(times(&said, &Act::Connect { attempt: 3 }), []);
}

#[test]
fn an_answer_on_the_fresh_connection_ends_the_silence() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let _ = script.run(599, &Node::Mute);
    let said = script.run(20_000, &WELL);
    let asked = [(600, Act::Connect { attempt: 2 }), (600, Act::Info), (600, Act::Ping)];
    assert_eq!(said[..3], asked);
    assert_eq!(told(said), []);
}

#[test]
fn a_connection_that_was_slow_to_open_is_not_taken_for_an_old_one() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let _ = script.hear(50, LinkEvent::Lost);
    // It opens 600 ms later, when half of down_after is over, and answers.
    let _ = script.hear(650, LinkEvent::Connected);
    assert_eq!(script.attempt, 2);
    assert_eq!(script.hear(651, LinkEvent::Pong(PingReply::Pong)), []);
    assert_eq!(script.tell(5_000, &WELL), []);
    assert_eq!(script.attempt, 2);
}

#[test]
fn what_happens_on_an_older_connection_counts_for_nothing() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let _ = script.run(700, &Node::Mute);
    assert_eq!(script.attempt, 2);
    script.watcher.handle(1, LinkEvent::Pong(PingReply::Pong), at(800));
    script.watcher.handle(1, LinkEvent::Lost, at(800));
    assert_eq!(drain(|| script.watcher.poll_output()), []);
    assert_eq!(script.tell(1_100, &Node::Mute), [(1_100, silent(1_000))]);
}

#[test]
fn a_silent_node_gets_four_pings_on_one_connection_and_no_more() {
    let mut script = Script::with(|s| s.down_after_ms = 10_000);
    let _ = script.run(0, &WELL);
    let said = script.run(60_000, &Node::Mute);
    assert_eq!(
        times(&said, &Act::Ping),
        [800, 1_600, 2_400, 3_200, 5_800, 6_600, 7_400, 8_200],
        "four on the first, and four on the fresh one of 5.8 s"
    );
}

#[test]
fn a_connection_that_does_not_open_is_given_up_after_a_second_and_a_half() {
    let mut script = Script::new();
    let said = script.run(4_600, &Node::Hangs);
    for (attempt, time) in [(1, 0), (2, 1_500), (3, 3_000), (4, 4_500)] {
        assert_eq!(times(&said, &Act::Connect { attempt }), [time]);
    }
}

#[test]
fn what_is_down_is_said_again_to_a_voter_that_has_just_been_born() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    script.watcher.report_again();
    assert_eq!(script.tell(50, &WELL), [], "nothing is down");
    assert_eq!(script.tell(1_100, &Node::Mute), [(1_100, silent(1_000))]);
    script.watcher.report_again();
    assert_eq!(script.watcher.poll_output(), Some(silent(1_000)));
}

#[test]
fn changed_settings_are_taken() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let mut changed = settings(2);
    changed.down_after_ms = 2_000;
    script.watcher.set(&changed);
    assert_eq!(script.tell(2_099, &Node::Mute), []);
    assert_eq!(script.tell(2_100, &Node::Mute), [(2_100, silent(2_000))]);
}
