//! Scripts: when a candidate stands, and what for.

mod barred;
mod refused;

use super::*;
use crate::tests::{at, drain, group, node, record, roster, voter};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Failover, LossBound, Quorum};

struct Script(Candidate);

impl Script {
    /// A candidate of rank 0 that knows the record of three nodes, before three voters.
    fn new() -> Self {
        Self::ranked(0)
    }

    fn ranked(rank: u32) -> Self {
        let mut candidate = Candidate::new(roster(3), at(0));
        candidate.set_rank(rank);
        candidate.record(&record(3), at(0));
        Self(candidate)
    }

    fn drain(&mut self) -> Vec<Output> {
        drain(|| self.0.poll_output())
    }

    /// Voter `v<n>` says ODOWN on the recorded master, or takes it back.
    fn hear(&mut self, now: u64, n: usize, reached: bool) -> Vec<Output> {
        self.0.verdict(&verdict(n, reached), at(now));
        self.drain()
    }

    /// Voters `v1` and `v2` say ODOWN.
    fn odown(&mut self, now: u64) -> Vec<Output> {
        assert_eq!(self.hear(now, 1, true), []);
        self.hear(now, 2, true)
    }

    fn record(&mut self, now: u64, record: &GroupRecord) -> Vec<(u64, Output)> {
        self.0.record(record, at(now));
        self.run(now)
    }

    /// Wakes the candidate whenever it wants to be woken, up to and including `until`.
    fn run(&mut self, until: u64) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        let mut last = None;
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            assert_ne!(last.replace(due), Some(due), "it wants to be woken twice at {due:?}");
            self.0.handle_timeout(due);
            let now = due.as_nanos() / 1_000_000;
            said.extend(self.drain().into_iter().map(|output| (now, output)));
        }
        said
    }
}

fn verdict(n: usize, reached: bool) -> OdownVerdict {
    OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master: node(1),
        voter: voter(n),
        reached,
        quorum: Quorum::parse(2).unwrap(),
        tally: vec![],
    }
}

fn failover() -> Output {
    Output::Stand(Purpose::Failover { epoch: Epoch(1), master: node(1) })
}

const TAKEOVER: Output = Output::Stand(Purpose::Takeover);
const CONFIGURE: Output = Output::Stand(Purpose::Configure);

/// The record with a plan of `o9`.
fn under_way() -> GroupRecord {
    let mut record = record(3);
    record.failover = Some(Failover {
        epoch: Epoch(2),
        leader: crate::tests::orchestrator(9),
        failed: node(1),
        target: node(2),
        rejected: vec![],
        loss: LossBound::default(),
        trace_id: record.trace_id(),
        flapping: vedette_model::Flapping::default(),
        perhaps_announced: false,
        reason: vedette_model::PlanReason::Odown,
    });
    record
}

#[test]
fn when_a_majority_of_voters_says_odown_the_first_in_rank_stands_at_once() {
    let mut script = Script::new();
    assert_eq!(script.odown(10), [Output::Odown, failover()]);
    assert!(script.0.is_odown());
    assert_eq!(script.hear(20, 3, true), [], "once");
    assert_eq!(script.run(2_000), []);
}

#[test]
fn each_rank_waits_50_ms_longer() {
    for (rank, stands_at) in [(1, 60), (2, 110), (9, 460)] {
        let mut script = Script::ranked(rank);
        assert_eq!(script.odown(10), [Output::Odown]);
        assert_eq!(script.run(1_000), [(stands_at, failover())], "rank {rank}");
    }
}

#[test]
fn whoever_comes_later_does_not_stand_while_the_leader_lives() {
    let mut script = Script::ranked(1);
    let _ = script.odown(10);
    script.0.other_leads(at(30));
    script.0.other_leads(at(130));
    assert_eq!(script.run(2_000), [(130 + 500 + 50, failover())]);
}

#[test]
fn a_minority_of_voters_moves_nobody() {
    let mut script = Script::new();
    for now in 0..50 {
        assert_eq!(script.hear(now, 1, true), [], "one voter, however often");
    }
    let why = "1 of 2 needed voters say odown, v2 and v3 do not: nothing is done";
    assert_eq!(script.0.standing(), why);
    assert_eq!(script.run(2_000), [(1_000, Output::Waiting(why.into()))], "and says so once");
}

#[test]
fn a_verdict_of_a_stranger_or_on_another_reign_counts_for_nothing() {
    let mut script = Script::new();
    let _ = script.hear(0, 1, true);
    let others = [
        verdict(4, true),
        OdownVerdict { epoch: Epoch(2), ..verdict(2, true) },
        OdownVerdict { master: node(2), ..verdict(2, true) },
    ];
    for other in others {
        script.0.verdict(&other, at(10));
        assert_eq!(script.drain(), [], "{other:?}");
    }
    let mut script = Script(Candidate::new(roster(3), at(0)));
    assert_eq!(script.odown(0), [], "nor does any without a record");
}

#[test]
fn a_verdict_that_is_taken_back_or_not_repeated_for_3_s_is_over() {
    let mut script = Script::ranked(2);
    let _ = script.odown(10);
    assert_eq!(script.hear(50, 1, false), []);
    assert!(!script.0.is_odown());
    assert_eq!(script.run(2_000), [], "it does not stand any more");
    let mut script = Script::new();
    let _ = script.hear(0, 1, true);
    let _ = script.run(3_000);
    assert_eq!(script.hear(3_000, 2, true), []);
    assert!(!script.0.is_odown());
}

#[test]
fn a_new_reign_begins_without_verdicts() {
    let mut next = record(3);
    (next.epoch, next.master) = (Epoch(2), node(2));
    let mut script = Script::ranked(1);
    let _ = script.odown(10);
    assert_eq!(script.record(20, &next), []);
    assert!(!script.0.is_odown());
    assert_eq!(script.hear(30, 3, true), [], "a late verdict on the old master");
    assert_eq!((script.run(2_000), script.0.standing()), (vec![], String::new()));
}

#[test]
fn a_failover_whose_leader_is_silent_for_half_a_second_is_taken_over() {
    for (rank, stands_at) in [(0, 600), (1, 650), (2, 700)] {
        let mut script = Script::ranked(rank);
        assert_eq!(script.record(100, &under_way()), []);
        assert_eq!(script.run(5_000), [(stands_at, TAKEOVER)], "rank {rank}");
    }
}

#[test]
fn a_leader_that_is_heard_is_left_to_work() {
    let mut script = Script::new();
    let _ = script.record(100, &under_way());
    for now in (200..5_000).step_by(100) {
        script.0.other_leads(at(now));
        assert_eq!(script.run(now + 99), []);
    }
    assert_eq!(script.run(9_000), [(4_900 + 500, TAKEOVER)]);
}

#[test]
fn a_failover_under_way_is_taken_over_and_not_begun_again() {
    let mut script = Script::new();
    let _ = script.record(100, &under_way());
    assert_eq!(script.odown(200), [Output::Odown]);
    assert_eq!(script.run(5_000), [(600, TAKEOVER)]);
}

#[test]
fn a_failover_that_ended_is_not_taken_over() {
    let mut script = Script::new();
    let _ = script.record(100, &under_way());
    assert_eq!(script.record(300, &record(3)), []);
    assert_eq!(script.run(5_000), []);
}

#[test]
fn quiet_work_is_done_by_the_owner_alone() {
    let mut script = Script::new();
    assert!(script.0.owns());
    script.0.set_work(true);
    assert_eq!(script.run(0), [(0, CONFIGURE)]);
    let mut script = Script::ranked(1);
    assert!(!script.0.owns());
    script.0.set_work(true);
    assert_eq!(script.run(5_000), []);
}

#[test]
fn quiet_work_waits_for_whoever_leads() {
    let mut script = Script::new();
    script.0.other_leads(at(100));
    script.0.set_work(true);
    assert_eq!(script.run(5_000), [(600, CONFIGURE)]);
}

#[test]
fn a_dead_master_does_not_wait_for_the_rest_after_quiet_work() {
    let mut script = Script::new();
    script.0.set_work(true);
    assert_eq!(script.run(0), [(0, CONFIGURE)]);
    script.0.rested(Duration::from_millis(500), at(100));
    assert_eq!(script.odown(200), [Output::Odown, failover()]);
    let mut script = Script::new();
    script.0.set_work(true);
    let _ = script.run(0);
    script.0.rested(Duration::from_millis(500), at(100));
    assert_eq!(script.run(5_000), [(600, CONFIGURE)]);
}

#[test]
fn nothing_is_asked_for_while_something_is() {
    let mut script = Script::new();
    let _ = script.odown(10);
    let _ = script.record(20, &under_way());
    script.0.set_work(true);
    assert_eq!(script.run(2_000), []);
    script.0.ended(Duration::from_millis(50), String::new(), at(2_000));
    assert_eq!(script.run(2_049), []);
    assert_eq!(script.run(2_050), [(2_050, TAKEOVER)]);
}

#[test]
fn in_its_first_moments_it_only_listens() {
    let mut candidate = Candidate::new(roster(3), at(300));
    candidate.set_rank(0);
    candidate.record(&record(3), at(0));
    let mut script = Script(candidate);
    assert_eq!(script.odown(10), [Output::Odown]);
    assert_eq!(script.run(1_000), [(300, failover())]);
}

#[test]
fn one_prober_that_saw_the_master_as_a_replica_is_enough_to_ask_it() {
    let mut script = Script::new();
    let _ = script.odown(10);
    assert!(!script.0.is_returned());
    let mut verdict = verdict(3, true);
    verdict.tally = vec![Opinion {
        prober: crate::tests::prober(1),
        place: crate::tests::place("dc1"),
        evidence: Evidence::WrongRole { for_ms: 3_000 },
    }];
    script.0.verdict(&verdict, at(20));
    assert!(script.0.is_returned());
}
