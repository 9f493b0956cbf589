//! Each reason to pass a node over, and who ranks first of the rest.

mod last_resort;
mod returned;

use super::*;
use crate::tests::{history, master_view, node, record, replica_view, run_id};
use alloc::string::String;
use alloc::vec;
use vedette_model::Branch;

/// A group whose master, node 1, failed 6 s ago with an offset of 1,000 bytes seen 200 ms before.
struct Script {
    record: GroupRecord,
    answers: BTreeMap<NodeAddr, Result<NodeView, NodeFault>>,
    excluded: BTreeSet<NodeAddr>,
    master_offset: Option<(u64, u64)>,
    reign_ms: Option<u64>,
    relaxed: bool,
}

impl Script {
    /// Of so many nodes, each replica of which is linked and has all bytes.
    fn new(nodes: usize) -> Self {
        let answer = |n| (node(n), Ok(replica_view(n, 1, 1_000)));
        Self {
            record: record(nodes),
            answers: (2..=nodes).map(answer).collect(),
            excluded: BTreeSet::new(),
            master_offset: Some((1_000, 200)),
            reign_ms: None,
            relaxed: false,
        }
    }

    fn answers(&mut self, n: usize, change: impl FnOnce(&mut NodeView)) -> &mut Self {
        let mut view = replica_view(n, 1, 1_000);
        change(&mut view);
        self.answers.insert(node(n), Ok(view));
        self
    }

    fn select(&self) -> Result<Selection, Vec<Rejection>> {
        select(&Evidence {
            record: &self.record,
            answers: &self.answers,
            excluded: &self.excluded,
            master_offset: self.master_offset,
            down_for_ms: 6_000,
            reign_ms: self.reign_ms,
            relaxed: self.relaxed,
        })
    }

    /// Whom it chooses of several, and why not the others, by number.
    fn chosen(&self) -> (NodeAddr, Vec<(NodeAddr, RejectReason)>) {
        let selection = self.select().unwrap();
        let rejected = selection.rejected.into_iter().map(|r| (r.node, r.reason));
        (selection.target, rejected.collect())
    }

    /// Why the only replica, node 2, is passed over.
    fn reason(&self) -> RejectReason {
        let rejected = self.select().unwrap_err();
        assert_eq!(rejected.len(), 2, "each node has its reason");
        assert_eq!(rejected[0].node, node(1));
        assert_eq!(rejected[0].reason, RejectReason::FailedMaster);
        assert_eq!(rejected[1].node, node(2));
        rejected[1].reason.clone()
    }
}

/// Changes the link of a replica.
fn link(view: &mut NodeView, link_up: bool, down_for_ms: Option<u64>, syncing: bool) {
    let upstream = view.upstream.as_mut().unwrap();
    (upstream.link_up, upstream.down_for_ms, upstream.syncing) = (link_up, down_for_ms, syncing);
}

#[test]
fn a_linked_replica_of_the_groups_history_is_chosen() {
    let (target, rejected) = Script::new(2).chosen();
    assert_eq!(target, node(2));
    assert_eq!(rejected, [(node(1), RejectReason::FailedMaster)]);
}

#[test]
fn a_node_that_did_not_answer_is_passed_over_and_it_is_said_how() {
    let mut script = Script::new(2);
    script.answers.insert(node(2), Err(NodeFault::Refused));
    assert_eq!(script.reason(), RejectReason::NoAnswer("connection refused".into()));
    script.answers.clear();
    assert_eq!(script.reason(), RejectReason::NoAnswer("no answer in time".into()));
}

#[test]
fn a_node_that_failed_in_an_earlier_attempt_is_passed_over() {
    let mut script = Script::new(2);
    script.excluded.insert(node(2));
    assert_eq!(script.reason(), RejectReason::FailedBefore);
}

#[test]
fn a_node_of_another_history_is_a_stranger() {
    let mut script = Script::new(2);
    script.answers(2, |v| v.replid = history(9));
    assert_eq!(script.reason(), RejectReason::Stranger);
    // Its former history will do: it followed the group's master until then.
    script.answers(2, |v| (v.replid, v.replid2) = (history(9), Some(history(1))));
    assert_eq!(script.chosen().0, node(2));
}

#[test]
fn a_master_is_not_promoted() {
    let mut script = Script::new(2);
    script.answers.insert(node(2), Ok(master_view(2, 1_000)));
    assert_eq!(script.reason(), RejectReason::NotAReplica);
    script.answers(2, |v| v.upstream = None);
    assert_eq!(script.reason(), RejectReason::NotAReplica, "a replica of nobody is none");
}

#[test]
fn a_node_that_loads_its_data_set_is_passed_over() {
    let mut script = Script::new(2);
    script.answers(2, |v| v.loading = true);
    assert_eq!(script.reason(), RejectReason::Loading);
}

#[test]
fn priority_0_is_never_promoted_also_when_patience_is_over() {
    let mut script = Script::new(2);
    script.relaxed = true;
    script.answers(2, |v| v.priority = 0);
    assert_eq!(script.reason(), RejectReason::PriorityZero);
}

#[test]
fn a_node_that_never_finished_a_synchronisation_holds_nothing() {
    let mut script = Script::new(2);
    script.relaxed = true;
    script.answers(2, |v| link(v, false, Some(10), true));
    assert_eq!(script.reason(), RejectReason::NeverSynced, "in the middle of it");
    script.answers(2, |v| {
        (v.replid, v.offset) = (history(9), 0);
        link(v, false, None, false);
    });
    assert_eq!(script.reason(), RejectReason::NeverSynced, "before it");
}

#[test]
fn a_link_that_was_down_too_long_before_the_master_is_not_fresh_enough() {
    // The outage of 6 s and ten times down_after of 5 s.
    let limit_ms = 56_000;
    let mut script = Script::new(2);
    script.answers(2, |v| link(v, false, Some(limit_ms), false));
    assert_eq!(script.chosen().0, node(2));
    script.answers(2, |v| link(v, false, Some(limit_ms + 1), false));
    assert_eq!(script.reason(), RejectReason::LinkDown { for_ms: limit_ms + 1, limit_ms });
}

#[test]
fn when_patience_is_over_the_best_of_what_is_left_is_taken() {
    let mut script = Script::new(2);
    script.relaxed = true;
    script.answers(2, |v| link(v, false, Some(9_000_000), false));
    assert_eq!(script.chosen().0, node(2));
}

#[test]
fn who_lacks_too_many_bytes_compared_with_the_furthest_is_passed_over() {
    let mut script = Script::new(3);
    script.record.settings.max_lag_bytes = 100;
    script.answers(2, |v| (v.offset, v.priority) = (899, 1));
    let too_far = RejectReason::TooFarBehind { bytes: 101 };
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3));
    assert_eq!(rejected, [(node(1), RejectReason::FailedMaster), (node(2), too_far)]);
    script.answers(2, |v| (v.offset, v.priority) = (900, 1));
    assert_eq!(script.chosen().0, node(2), "near enough, and its priority counts");
}

#[test]
fn who_may_not_be_promoted_does_not_count_as_the_furthest() {
    let mut script = Script::new(3);
    script.record.settings.max_lag_bytes = 100;
    script.answers(2, |v| v.offset = 500).answers(3, |v| v.priority = 0);
    assert_eq!(script.chosen().0, node(2));
}

#[test]
fn of_those_left_priority_counts_then_offset_then_run_id() {
    let mut script = Script::new(4);
    let others = |a: usize, b: usize| {
        [
            (1, RejectReason::FailedMaster),
            (a, RejectReason::RanksLower),
            (b, RejectReason::RanksLower),
        ]
        .map(|(n, reason)| (node(n), reason))
    };
    script.answers(4, |v| (v.priority, v.offset) = (10, 500));
    assert_eq!(script.chosen(), (node(4), others(2, 3).to_vec()), "the lowest priority number");
    script.answers(4, |v| v.offset = 2_000);
    assert_eq!(script.chosen(), (node(4), others(2, 3).to_vec()), "the largest offset");
    script.answers(4, |_| {}).answers(2, |v| v.run_id = run_id(99));
    assert_eq!(script.chosen(), (node(3), others(2, 4).to_vec()), "the smallest run id");
}

#[test]
fn of_those_near_enough_one_in_the_preferred_place_comes_first() {
    let mut script = Script::new(4);
    let place = |name| vedette_model::Place::parse(name).unwrap();
    let at = |n, name| vedette_model::NodePlace { node: node(n), place: place(name) };
    script.record.settings.max_lag_bytes = 100;
    script.record.settings.preferred_place = Some(place("here"));
    script.record.settings.node_places = vec![at(1, "here"), at(2, "there"), at(3, "here")];
    script.answers(2, |v| v.priority = 1).answers(3, |v| v.offset = 900);
    assert_eq!(script.chosen().0, node(3), "before priority and offset");
    script.answers(3, |v| v.offset = 899);
    assert_eq!(script.chosen().0, node(2), "too far behind, and anywhere else will do");
    script.record.settings.preferred_place = None;
    script.answers(3, |v| v.offset = 900);
    assert_eq!(script.chosen().0, node(2), "without a preference places do not count");
}

#[test]
fn a_node_whose_disk_does_not_work_is_passed_over_if_anothers_does() {
    let mut script = Script::new(3);
    script.answers(2, |v| (v.persistence_ok, v.priority) = (false, 1));
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3));
    assert_eq!(rejected[1], (node(2), RejectReason::WriteImpaired));
    script.answers(3, |v| v.persistence_ok = false);
    assert_eq!(script.chosen().0, node(2), "of broken ones the best is better than none");
}

#[test]
fn the_newest_history_comes_before_the_largest_offset() {
    let mut script = Script::new(3);
    script.record.lineage.add(&history(2));
    script.answers(2, |v| v.offset = 9_000).answers(3, |v| v.replid = history(2));
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3), "offsets of two histories say nothing of each other");
    assert_eq!(rejected[1], (node(2), RejectReason::OlderHistory));
}

#[test]
fn who_has_nothing_of_the_present_reign_is_as_old_as_the_reign() {
    // The same limit as for a link: the outage of 6 s and ten times down_after of 5 s.
    let mut script = Script::new(2);
    script.record.lineage.add(&history(2));
    assert_eq!(script.reason(), RejectReason::OlderHistory, "nobody knows how long it lasted");
    script.reign_ms = Some(56_001);
    assert_eq!(script.reason(), RejectReason::OlderHistory);
    script.reign_ms = Some(56_000);
    assert_eq!(script.chosen().0, node(2), "the new master died before anybody could follow it");
    (script.reign_ms, script.relaxed) = (None, true);
    assert_eq!(script.chosen().0, node(2), "the best of what is left");
}

#[test]
fn what_may_be_lost_is_stated() {
    let mut script = Script::new(2);
    let loss = |script: &Script| script.select().unwrap().loss;
    script.answers(2, |v| v.offset = 880);
    assert_eq!(loss(&script), LossBound { bytes: Some(120), as_of_ms: Some(200) });
    script.answers(2, |v| v.offset = 1_500);
    assert_eq!(loss(&script), LossBound { bytes: Some(0), as_of_ms: Some(200) });
    script.master_offset = None;
    assert_eq!(loss(&script), LossBound { bytes: None, as_of_ms: None });
}

#[test]
fn a_node_that_is_no_member_is_never_chosen() {
    let mut script = Script::new(2);
    script.answers(9, |v| (v.priority, v.offset) = (1, 1_000_000));
    assert_eq!(script.chosen(), (node(2), vec![(node(1), RejectReason::FailedMaster)]));
}

#[test]
fn every_reason_is_said_in_words() {
    let mut script = Script::new(3);
    script.answers(2, |v| v.loading = true);
    script.answers.remove(&node(3));
    let rejected = script.select().unwrap_err();
    let words: Vec<String> = rejected.iter().map(|r| r.reason.to_string()).collect();
    assert_eq!(words, ["the failed master", "loading its data set", "no answer in time"]);
}
