//! Scripts: how a failover is walked, and exactly what the leader does at each step.

mod flapping;
mod handover;
mod promotion;
mod returned;
mod takeover;

use super::*;
use crate::tests::{at, drain, history, master_view, node, orchestrator, record, replica_view};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{
    Branch, Epoch, Flapping, LossBound, Member, Pause, RejectReason, Rejection, Revision, Switch,
    SwitchReason,
};

struct Script(Failover);

/// Replaces node 1, master of epoch 1, which a majority called down at 0 ms.
fn replace() -> Purpose {
    Purpose::Failover { epoch: Epoch(1), master: node(1) }
}

impl Script {
    /// Orchestrator `o1` of a group of three; the master's last offset was 1,000, at 0 ms.
    fn new(purpose: Purpose) -> (Self, Vec<Act>) {
        Self::knowing(purpose, Some(&record(3)))
    }

    fn knowing(purpose: Purpose, known: Option<&GroupRecord>) -> (Self, Vec<Act>) {
        let setting = Setting {
            me: orchestrator(1),
            purpose,
            master_offset: Some((1_000, at(0))),
            odown_since: Some(at(0)),
            hard: false,
            returned: false,
            wish: None,
        };
        Self::setting(setting, known)
    }

    fn setting(setting: Setting, known: Option<&GroupRecord>) -> (Self, Vec<Act>) {
        let mut script = Self(Failover::new(setting, known, at(0)));
        let said = script.drain();
        (script, said)
    }

    /// Both replicas have answered, with all bytes, when the votes come in at 10 ms.
    fn planned() -> (Self, GroupRecord) {
        let (mut script, _) = Self::new(replace());
        for n in [2, 3] {
            assert_eq!(script.answer(5, n, replica(n)), []);
        }
        let said = script.elected(10, 0, &record(3));
        let [Act::Step(Step::Claimed), Act::Step(Step::Surveyed { .. }), Act::Propose(plan)] =
            &said[..]
        else {
            panic!("{said:?}")
        };
        let plan = plan.clone();
        (script, plan)
    }

    /// The plan to promote node 2 is committed at 12 ms, and the promotion sent.
    fn promoting() -> (Self, GroupRecord) {
        let (mut script, plan) = Self::planned();
        let said = script.committed(12, &plan);
        assert_eq!(names(&said), [EventName::SelectedSlave, EventName::SendSlaveofNoOne]);
        (script, plan)
    }

    fn drain(&mut self) -> Vec<Act> {
        drain(|| self.0.poll_output())
    }

    fn elected(&mut self, now: u64, act_after: u64, adopted: &GroupRecord) -> Vec<Act> {
        self.0.elected(Some(adopted.clone()), at(act_after), None, at(now));
        self.drain()
    }

    fn answer(&mut self, now: u64, n: usize, answer: Answer) -> Vec<Act> {
        self.0.answer(&node(n), answer, at(now));
        self.drain()
    }

    fn committed(&mut self, now: u64, record: &GroupRecord) -> Vec<Act> {
        self.0.committed(record, at(now));
        self.drain()
    }

    /// Wakes the walk whenever it wants to be woken, up to and including `until`.
    fn run(&mut self, until: u64) -> Vec<(u64, Vec<Act>)> {
        let mut said = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            said.push((due.as_nanos() / 1_000_000, self.drain()));
            assert!(self.0.poll_timeout().is_none_or(|next| next > due));
        }
        said
    }
}

fn done(view: NodeView) -> Answer {
    Answer::Done { view, rewrite_error: None, changed_by: None }
}

fn replica(n: usize) -> Answer {
    done(replica_view(n, 1, 1_000))
}

/// What a promoted node says of itself: a history of its own, after the group's.
fn promoted(n: usize) -> NodeView {
    NodeView { replid: history(7), replid2: Some(history(1)), ..master_view(n, 1_000) }
}

fn names(acts: &[Act]) -> Vec<EventName> {
    let name = |act: &Act| match act {
        Act::Event(happening) | Act::NoGoodSlave { told: happening, .. } => Some(happening.name),
        Act::Inspect(_)
        | Act::Promote(_)
        | Act::PauseWrites(..)
        | Act::Freeze(_)
        | Act::Unpause(_)
        | Act::Foreseen(_)
        | Act::NoHeir(_)
        | Act::Propose(_)
        | Act::Announce
        | Act::AnnounceAhead(_)
        | Act::Step(_)
        | Act::End { .. } => None,
    };
    acts.iter().filter_map(name).collect()
}

/// What is done to nodes and voters, without what is only told.
fn deeds(acts: Vec<Act>) -> Vec<Act> {
    let told = |act: &Act| matches!(act, Act::Step(_) | Act::Event(_) | Act::NoGoodSlave { .. });
    acts.into_iter().filter(|act| !told(act)).collect()
}

fn proposed(said: &[Act]) -> GroupRecord {
    let found = said
        .iter()
        .find_map(|act| if let Act::Propose(record) = act { Some(record.clone()) } else { None });
    found.unwrap_or_else(|| panic!("{said:?}"))
}

fn end(aborted: Option<&str>, pause_ms: u64) -> Act {
    let pause = Duration::from_millis(pause_ms);
    Act::End { aborted: aborted.map(ToString::to_string), pause }
}

/// The plan that `o1` writes for three healthy nodes.
fn plan() -> GroupRecord {
    let record = record(3);
    let rejected = [(1, RejectReason::FailedMaster), (3, RejectReason::RanksLower)]
        .map(|(n, reason)| Rejection { node: node(n), reason });
    GroupRecord {
        revision: Revision(2),
        top_epoch: Epoch(2),
        failover: Some(Plan {
            epoch: Epoch(2),
            leader: orchestrator(1),
            failed: node(1),
            target: node(2),
            rejected: rejected.to_vec(),
            loss: LossBound { bytes: Some(0), as_of_ms: Some(10) },
            trace_id: record.trace_id(),
            flapping: Flapping { count: 1, held: false },
            reason: PlanReason::Odown,
            perhaps_announced: false,
        }),
        branches: vec![Branch { node: node(2), offset: 1_000 }],
        ..record
    }
}

#[test]
fn the_replicas_are_looked_at_while_the_votes_are_asked_for() {
    let (mut script, said) = Script::new(replace());
    assert_eq!(said, [Act::Inspect(node(2)), Act::Inspect(node(3))]);
    assert_eq!(script.run(5_000), [], "and nothing is decided without them");
}

#[test]
fn when_all_have_answered_and_voted_the_plan_is_written_down_before_anything_is_done() {
    let (_, proposed) = Script::planned();
    assert_eq!(proposed, plan());
}

#[test]
fn a_healthy_failover_goes_step_by_step() {
    let (mut script, plan) = Script::planned();
    let said = script.committed(12, &plan);
    assert_eq!(said.len(), 4);
    assert_eq!(said[1], Act::Step(Step::Selected { target: node(2) }));
    assert_eq!(said[2], Act::Promote(node(2)));
    let said = script.answer(13, 2, done(promoted(2)));
    let switched = &proposed(&said);
    assert_eq!(said[..2], [Act::AnnounceAhead(switched.clone()), Act::Propose(switched.clone())]);
    assert_eq!(names(&said), [EventName::PromotedSlave]);
    assert_eq!(said[3..], [Act::Step(Step::Promoted { target: node(2) })]);
    // Announced to all right after the commit, before the others are moved.
    let said = script.committed(15, switched);
    assert_eq!(said, [Act::Announce, Act::Step(Step::Committed { epoch: Epoch(2) })]);
    script.0.repaired(false);
    let said = script.drain();
    let [Act::Propose(settled)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((settled.revision, settled.failover.as_ref()), (Revision(4), None));
    let said = script.committed(20, settled);
    assert_eq!(names(&said), [EventName::FailoverEnd]);
    assert_eq!(said[1..], [Act::Step(Step::Ended), end(None, 0)]);
    assert_eq!(script.0.poll_timeout(), None);
}

#[test]
fn the_new_record_names_the_target_its_process_and_both_its_histories() {
    let (mut script, plan) = Script::promoting();
    let mut restarted = promoted(2);
    restarted.run_id = crate::tests::run_id(22);
    restarted.replid2 = Some(history(6));
    let switched = &proposed(&script.answer(13, 2, done(restarted.clone())));
    let failover = plan.failover.clone().unwrap();
    let mut expected = GroupRecord {
        revision: Revision(3),
        epoch: Epoch(2),
        master: node(2),
        flapping: failover.flapping,
        branches: vec![],
        switch: Switch {
            previous: Some(node(1)),
            reason: SwitchReason::Failover,
            loss: failover.loss,
            trace_id: failover.trace_id,
        },
        ..plan
    };
    expected.lineage.add(&history(6));
    expected.lineage.add(&history(7));
    expected.members[1].run_id = Some(restarted.run_id);
    assert_eq!(*switched, expected);
}

#[test]
fn a_replica_that_does_not_answer_is_waited_for_200_ms() {
    let (mut script, _) = Script::new(replace());
    let _ = script.answer(5, 2, replica(2));
    assert_eq!(script.elected(10, 0, &record(3)), [Act::Step(Step::Claimed)]);
    let said = script.run(5_000);
    let [(200, acts)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(acts[0], Act::Step(Step::Surveyed { answered: 1, asked: 2 }));
    let Act::Propose(proposed) = &acts[1] else { panic!("{acts:?}") };
    let rejected = &proposed.failover.as_ref().unwrap().rejected;
    assert_eq!(rejected[1].reason, RejectReason::NoAnswer("no answer in time".into()));
}

#[test]
fn a_replica_that_answers_with_a_fault_is_not_waited_for() {
    let (mut script, _) = Script::new(replace());
    let _ = script.elected(1, 0, &record(3));
    let _ = script.answer(2, 2, replica(2));
    let said = script.answer(3, 3, Answer::Failed(NodeFault::Refused));
    assert_eq!(said[0], Act::Step(Step::Surveyed { answered: 1, asked: 2 }));
    assert!(matches!(said[1], Act::Propose(_)));
}

#[test]
fn a_node_that_has_been_gone_for_long_is_asked_and_not_waited_for() {
    let mut known = record(3);
    known.members[2].gone = true;
    let (mut script, said) = Script::knowing(replace(), Some(&known));
    assert_eq!(said, [Act::Inspect(node(2)), Act::Inspect(node(3))]);
    let _ = script.answer(5, 2, replica(2));
    let said = script.elected(10, 0, &known);
    assert_eq!(said[1], Act::Step(Step::Surveyed { answered: 1, asked: 2 }));
    // If nobody else will do it is waited for after all.
    let (mut script, _) = Script::knowing(replace(), Some(&known));
    let _ = script.answer(5, 2, Answer::Failed(NodeFault::Refused));
    assert_eq!(script.elected(10, 0, &known), [Act::Step(Step::Claimed)]);
    let said = script.answer(20, 3, replica(3));
    let Act::Propose(proposed) = &said[1] else { panic!("{said:?}") };
    assert_eq!(proposed.failover.as_ref().unwrap().target, node(3));
}

#[test]
fn members_that_only_the_voters_know_are_looked_at_as_well() {
    let (mut script, _) = Script::new(replace());
    for n in [2, 3] {
        let _ = script.answer(5, n, replica(n));
    }
    let said = script.elected(10, 0, &record(4));
    assert_eq!(said, [Act::Step(Step::Claimed), Act::Inspect(node(4))]);
    assert_eq!(script.run(209), []);
    let said = script.answer(150, 4, done(replica_view(4, 1, 2_000)));
    let Act::Propose(proposed) = &said[1] else { panic!("{said:?}") };
    assert_eq!(proposed.failover.as_ref().unwrap().target, node(4));
}

#[test]
fn whoever_was_not_asked_has_nothing_to_say() {
    let (mut script, _) = Script::new(replace());
    for n in [1, 2, 9] {
        let _ = script.answer(5, n, replica(n));
    }
    assert_eq!(script.elected(10, 0, &record(3)), [Act::Step(Step::Claimed)], "3 is missing");
}

fn rejection(n: usize, reason: RejectReason) -> Rejection {
    Rejection { node: node(n), reason }
}

#[test]
fn without_an_eligible_replica_nothing_is_written_and_it_is_said_why() {
    let (mut script, _) = Script::new(replace());
    let _ = script.answer(5, 2, done(master_view(2, 0)));
    let _ = script.answer(5, 3, Answer::Failed(NodeFault::Refused));
    let said = script.elected(10, 0, &record(3));
    let why = "no replica can be promoted (patience is not over): 10.0.0.1:6379 (the failed master), 10.0.0.2:6379 (it \
               says it is a master), 10.0.0.3:6379 (connection refused); start one of them again, \
               or add one";
    let reasons = "10.0.0.1:6379 (the failed master), 10.0.0.2:6379 (it says it is a master), \
                   10.0.0.3:6379 (connection refused)";
    assert_eq!(
        said[2..],
        [
            Act::NoGoodSlave {
                told: Happening::new(EventName::AbortNoGoodSlave, why),
                reasons: format!("patience is not over: {reasons}"),
                rejected: vec![
                    rejection(1, RejectReason::FailedMaster),
                    rejection(2, RejectReason::NotAReplica),
                    rejection(3, RejectReason::NoAnswer("connection refused".into())),
                ],
            },
            end(Some(why), 1_000),
        ]
    );
}

#[test]
fn when_patience_is_over_a_stale_replica_will_do() {
    let stale = || {
        let mut view = replica_view(2, 1, 1_000);
        let upstream = view.upstream.as_mut().unwrap();
        (upstream.link_up, upstream.down_for_ms) = (false, Some(9_000_000));
        done(view)
    };
    for (now, taken) in [(9_999, false), (10_000, true)] {
        let (mut script, _) = Script::knowing(replace(), Some(&record(2)));
        let _ = script.answer(5, 2, stale());
        let said = script.elected(now, 0, &record(2));
        assert_eq!(said.iter().any(|act| matches!(act, Act::Propose(_))), taken, "at {now}");
    }
}

#[test]
fn the_next_attempt_comes_the_moment_patience_is_over() {
    for (now, pause) in [(10, 1_000), (9_400, 600), (9_990, 50), (10_000, 1_000)] {
        let (mut script, _) = Script::knowing(replace(), Some(&record(2)));
        let _ = script.answer(5, 2, Answer::Failed(NodeFault::Refused));
        let said = script.elected(now, 0, &record(2));
        let [.., Act::End { pause: waits, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!(*waits, Duration::from_millis(pause), "at {now}");
    }
}

#[test]
fn what_does_not_fit_the_purpose_any_more_is_committed_as_it_was_found_and_left() {
    let moved_on = GroupRecord { epoch: Epoch(2), master: node(2), ..record(3) };
    let mut paused = record(3);
    paused.pause = Some(Pause::for_good("maintenance".into()));
    let cases = [
        (moved_on, "the record moved on to epoch 2"),
        (plan(), "the record moved on to epoch 1"),
        (paused, "the group is paused: maintenance"),
    ];
    for (adopted, why) in cases {
        let (mut script, _) = Script::new(replace());
        let said = script.elected(10, 0, &adopted);
        assert_eq!(said, [Act::Step(Step::Claimed), Act::Propose(adopted.clone())]);
        assert_eq!(script.committed(12, &adopted), [end(Some(why), 0)]);
    }
}

#[test]
fn voters_that_know_no_such_group_end_it() {
    let (mut script, _) = Script::new(replace());
    script.0.elected(None, at(0), None, at(10));
    assert_eq!(script.drain(), [end(Some("the voters know no such group"), 1_000)]);
}

#[test]
fn a_repair_that_took_too_long_ends_all_the_same_and_says_so() {
    let (mut script, _) = Script::promoting();
    let said = script.answer(13, 2, done(promoted(2)));
    let switched = &proposed(&said);
    let _ = script.committed(15, switched);
    script.0.repaired(true);
    let said = script.drain();
    let [Act::Propose(settled)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(names(&script.committed(20, settled)), [EventName::FailoverEndForTimeout]);
}

#[test]
fn what_is_said_out_of_turn_changes_nothing() {
    let (mut script, _) = Script::planned();
    script.0.repaired(false);
    assert_eq!(script.drain(), [], "nothing is repaired yet");
    assert_eq!(script.answer(11, 2, done(promoted(2))), [], "nothing was promoted yet");
    assert_eq!(script.run(100_000), []);
    let unknown = GroupRecord { members: vec![Member::new(node(1), None)], ..record(1) };
    let (mut script, said) = Script::knowing(replace(), Some(&unknown));
    assert_eq!((said, script.committed(5, &unknown)), (vec![], vec![]));
}

#[test]
fn the_reasons_why_nobody_will_do_are_the_same_whatever_the_numbers() {
    let reasons = |down_for_ms| {
        let (mut script, _) = Script::knowing(replace(), Some(&record(2)));
        let mut view = replica_view(2, 1, 1_000);
        let upstream = view.upstream.as_mut().unwrap();
        (upstream.link_up, upstream.down_for_ms) = (false, Some(down_for_ms));
        let _ = script.answer(5, 2, done(view));
        let said = script.elected(10, 0, &record(2));
        let Act::NoGoodSlave { told, reasons, .. } = &said[2] else { panic!("{said:?}") };
        (told.cause.clone(), reasons.clone())
    };
    let (one, other) = (reasons(9_000_000), reasons(9_001_000));
    assert_ne!(one.0, other.0, "people are told the number");
    assert_eq!(one.1, other.1);
}
