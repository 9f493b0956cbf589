//! Scripts: reports at times, and exactly these verdicts.

mod properties;

use super::*;
use crate::tests::{at, drain, group, node, place, prober, record, voter};
use alloc::string::ToString;
use alloc::vec;
use vedette_model::Evidence;

const SILENCE: Evidence = Evidence::Silence { for_ms: 5_000 };

/// Prober `p<n>`, in a place of its own, on node 1 in epoch 1.
fn report(n: usize, state: NodeState) -> SdownReport {
    SdownReport {
        group: group(),
        epoch: Epoch(1),
        node: node(1),
        prober: prober(n),
        place: place(&format!("place{n}")),
        state,
        last_good_ms: None,
        run_id: None,
        echo: Vec::new(),
    }
}

fn down(n: usize) -> SdownReport {
    report(n, NodeState::Down(SILENCE))
}

fn up(n: usize) -> SdownReport {
    report(n, NodeState::Up)
}

/// What voter `v1` says, with the opinions of these probers.
fn verdict(reached: bool, probers: &[usize]) -> OdownVerdict {
    let opinion = |n: &usize| Opinion {
        prober: prober(*n),
        place: place(&format!("place{n}")),
        evidence: SILENCE,
    };
    OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master: node(1),
        voter: voter(1),
        reached,
        quorum: Quorum::parse(2).unwrap(),
        tally: probers.iter().map(opinion).collect(),
    }
}

fn changed(reached: bool, probers: &[usize]) -> Output {
    Output { verdict: verdict(reached, probers), changed: true }
}

fn repeated(probers: &[usize]) -> Output {
    Output { verdict: verdict(true, probers), changed: false }
}

struct Script(Tally);

impl Script {
    /// A quorum of 2.
    fn new() -> Self {
        Self::of(&record(3))
    }

    fn of(record: &GroupRecord) -> Self {
        let mut tally = Tally::new(voter(1));
        tally.judge(record, at(0));
        Self(tally)
    }

    fn hear(&mut self, now: u64, report: SdownReport) -> Vec<Output> {
        self.0.report(report, at(now));
        drain(|| self.0.poll_output())
    }

    /// Wakes the tally whenever it wants to be woken, up to and including `until`.
    fn run(&mut self, until: u64) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            let now = due.as_nanos() / 1_000_000;
            said.extend(drain(|| self.0.poll_output()).into_iter().map(|output| (now, output)));
            assert!(self.0.poll_timeout().is_none_or(|next| next > due));
        }
        said
    }
}

#[test]
fn a_quorum_of_reports_is_odown() {
    let mut script = Script::new();
    assert_eq!(script.hear(10, down(1)), []);
    assert!(!script.0.reached());
    assert_eq!(script.hear(20, down(2)), [changed(true, &[1, 2])]);
    assert!(script.0.reached());
    assert_eq!(script.hear(30, down(3)), [], "one more changes nothing");
}

#[test]
fn a_prober_counts_once_whatever_it_says_how_often() {
    let mut script = Script::new();
    for now in 0..100 {
        assert_eq!(script.hear(now, down(1)), []);
    }
    let mut moved = down(1);
    moved.place = place("elsewhere");
    assert_eq!(script.hear(100, moved), []);
    assert!(!script.0.reached());
}

#[test]
fn a_verdict_that_stands_is_repeated_every_second_with_what_it_counts_now() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(0, down(2));
    let _ = script.hear(500, down(3));
    let _ = script.hear(500, down(2));
    assert_eq!(
        script.run(3_499),
        [(1_000, repeated(&[1, 2, 3])), (2_000, repeated(&[1, 2, 3])), (3_000, repeated(&[2, 3]))]
    );
}

#[test]
fn said_again_on_request_it_counts_no_report_that_is_over() {
    let mut script = Script::new();
    script.0.say_again(at(1));
    assert_eq!(script.hear(10, down(1)), []);
    let _ = script.hear(20, down(2));
    script.0.say_again(at(30));
    // It wakes late.
    script.0.say_again(at(3_010));
    let said = drain(|| script.0.poll_output());
    assert_eq!(said, [repeated(&[1, 2]), changed(false, &[2])]);
}

#[test]
fn a_report_that_is_not_repeated_for_3_s_no_longer_counts() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(400, down(2));
    let said = script.run(10_000);
    assert_eq!(said.last(), Some(&(3_000, changed(false, &[2]))));
    assert_eq!(said.len(), 3, "after two repetitions, and then nothing more");
    assert!(!script.0.reached());
}

#[test]
fn an_expired_report_counts_for_nothing_also_if_nobody_woke_in_time() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    assert_eq!(script.hear(3_000, down(2)), []);
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(1_000, down(2));
    assert_eq!(script.hear(3_500, up(3)), [changed(false, &[2])]);
}

#[test]
fn a_repeated_report_goes_on_counting() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(0, down(2));
    for now in (1_000..30_000).step_by(1_000) {
        let _ = script.run(now);
        assert_eq!((script.hear(now, down(1)), script.hear(now, down(2))), (vec![], vec![]));
        assert!(script.0.reached());
    }
}

#[test]
fn up_again_takes_the_verdict_back_at_once() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(0, down(2));
    assert_eq!(script.hear(10, up(1)), [changed(false, &[2])]);
    assert_eq!(script.hear(20, up(2)), []);
    assert_eq!(script.run(10_000), []);
}

#[test]
fn the_quorum_must_come_from_enough_places() {
    let mut two_places = record(3);
    two_places.settings.quorum_places = Some(2);
    let mut script = Script::of(&two_places);
    let from = |n, name: &str| SdownReport { place: place(name), ..down(n) };
    assert_eq!(script.hear(0, from(1, "east")), []);
    assert_eq!(script.hear(0, from(2, "east")), []);
    assert_eq!(script.hear(0, from(3, "east")), [], "three probers of one place");
    let said = script.hear(10, from(4, "west"));
    assert!(matches!(&said[..], [Output { verdict, changed: true }] if verdict.reached));
    let said = script.hear(20, up(4));
    assert!(matches!(&said[..], [Output { verdict, changed: true }] if !verdict.reached));
}

#[test]
fn a_report_on_another_epoch_or_another_node_counts_for_nothing() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    assert_eq!(script.hear(0, SdownReport { epoch: Epoch(0), ..down(2) }), []);
    assert_eq!(script.hear(0, SdownReport { epoch: Epoch(2), ..down(2) }), []);
    assert_eq!(script.hear(0, SdownReport { node: node(2), ..down(2) }), []);
    assert_eq!(script.hear(0, down(3)), [changed(true, &[1, 3])]);
    assert_eq!(script.hear(0, SdownReport { epoch: Epoch(2), ..up(3) }), [], "nor does up again");
}

#[test]
fn without_a_record_nothing_is_judged() {
    let mut script = Script(Tally::new(voter(1)));
    for n in 1..5 {
        assert_eq!(script.hear(0, down(n)), []);
    }
    assert!(!script.0.reached());
    assert_eq!(script.0.poll_timeout(), None);
    script.0.judge(&record(3), at(1));
    assert!(!script.0.reached(), "and what came before the record is not kept");
}

#[test]
fn a_new_reign_begins_with_no_reports() {
    let mut next = record(3);
    (next.epoch, next.master) = (Epoch(2), node(2));
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let _ = script.hear(0, down(2));
    script.0.judge(&next, at(10));
    assert!(!script.0.reached());
    assert_eq!(script.run(10_000), [], "the old verdict is over with its master");
    assert_eq!(script.hear(20, down(3)), [], "a report on the old master comes late");
    assert!(!script.0.reached());
}

#[test]
fn a_new_revision_of_the_same_reign_keeps_the_reports() {
    let mut script = Script::new();
    let _ = script.hear(0, down(1));
    let mut changed_quorum = record(4);
    changed_quorum.settings.quorum = Quorum::parse(1).unwrap();
    script.0.judge(&changed_quorum, at(10));
    assert!(script.0.reached(), "a lower quorum is reached at once");
    script.0.judge(&record(4), at(20));
    assert!(!script.0.reached());
    let said = drain(|| script.0.poll_output());
    assert_eq!(
        said.iter().map(|o| (o.verdict.reached, o.changed)).collect::<Vec<_>>(),
        [(true, true), (false, true)]
    );
}

#[test]
fn no_more_than_256_probers_are_counted() {
    let mut script = Script::new();
    for n in 1..=257 {
        let _ = script.hear(0, down(n));
    }
    let _ = script.run(1_000);
    assert_eq!(script.0.opinions.len(), PROBER_LIMIT);
    // One that is counted may go on, and one more finds room when another leaves.
    let _ = script.hear(1_000, up(1));
    let _ = script.hear(1_000, down(257));
    assert_eq!(script.0.opinions.len(), PROBER_LIMIT);
}

#[test]
fn the_standing_says_who_and_how_many_are_needed() {
    let mut script = Script::new();
    assert_eq!(script.0.standing(), "");
    let _ = script.hear(0, down(1));
    assert_eq!(
        script.0.standing(),
        "no verdict: 1 of 2 needed probers report 10.0.0.1:6379 down: p1 (silent for 5000 ms)"
    );
    let crash = report(2, NodeState::Down(Evidence::Crash { refused: 2 }));
    let _ = script.hear(0, crash);
    assert_eq!(
        script.0.standing(),
        "odown: 2 of 2 needed probers report 10.0.0.1:6379 down: p1 (silent for 5000 ms), \
         p2 (link broken, 2 reconnects refused)"
            .to_string()
    );
}

#[test]
fn of_a_removed_group_there_is_no_verdict() {
    let mut tally = Tally::new(voter(1));
    tally.judge(&record(3), at(0));
    tally.report(down(1), at(10));
    tally.report(down(2), at(20));
    assert!(tally.reached());
    let _ = drain(|| tally.poll_output());
    tally.judge(&record(3).buried(), at(30));
    tally.report(down(3), at(40));
    tally.handle_timeout(at(5_000));
    assert!(!tally.reached() && tally.standing().is_empty());
    assert_eq!((drain(|| tally.poll_output()), tally.poll_timeout()), (vec![], None));
}
