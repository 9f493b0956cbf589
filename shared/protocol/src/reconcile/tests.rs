//! Scripts: what the nodes say, and exactly these corrections.

mod branches;
mod chains;
mod external;
mod head;
mod identity;
mod properties;
mod tombstones;

use super::*;
use crate::failover::rewrite_failed;
use crate::tests::{at, drain, history, master_view, node, record, replica_view, run_id};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Answer, EventName, Member, NodeFault, Pause, Revision};

/// As recorded.
fn good(n: usize) -> NodeView {
    replica_view(n, 1, 100)
}

fn changed(mut view: NodeView, change: impl FnOnce(&mut NodeView)) -> NodeView {
    change(&mut view);
    view
}

/// Follows `of`; the link is not up.
fn linking(n: usize, of: usize) -> NodeView {
    changed(replica_view(n, of, 100), |v| v.upstream.as_mut().unwrap().link_up = false)
}

fn stray(n: usize) -> NodeView {
    master_view(n, 100)
}

fn wrong(n: usize) -> NodeView {
    linking(n, 99)
}

/// A process that nobody knows, with a history that nobody knows.
fn foreign(n: usize) -> NodeView {
    changed(master_view(n, 100), |v| (v.run_id, v.replid) = (run_id(n + 100), history(2)))
}

struct Script {
    reconciler: Reconciler,
    record: GroupRecord,
    /// The recorded master says that it is master whenever it is asked; otherwise the script tells.
    leads: bool,
}

impl Script {
    fn new(nodes: usize) -> Self {
        let mut reconciler = Reconciler::default();
        reconciler.permit(true);
        let mut script = Self { reconciler, record: record(nodes), leads: true };
        script.watch_over(true, 0);
        script
    }

    /// The group is this orchestrator's, and nobody says ODOWN, or somebody does.
    fn watch_over(&mut self, calm: bool, now: u64) {
        self.reconciler.watch_over(&self.record, true, calm, at(now));
    }

    /// In a round after a failover, or in quiet times; all nodes have been asked.
    fn round(nodes: usize, wait: bool) -> Self {
        let mut script = Self::new(nodes);
        let asked: Vec<_> = (2..=nodes).map(|n| Act::Inspect(node(n))).collect();
        assert_eq!(script.begin(wait, 0, 0), asked);
        script
    }

    fn begin(&mut self, wait: bool, act_after: u64, now: u64) -> Vec<Act> {
        self.reconciler.begin(&self.record, wait, at(act_after), at(now));
        self.acts(now)
    }

    fn acts(&mut self, now: u64) -> Vec<Act> {
        let mut acts = drain(|| self.reconciler.poll_output());
        let master = (1..).find(|n| node(*n) == self.record.master).unwrap();
        let looks = [Act::Inspect(node(master)), Act::Save(node(master))];
        let asked = acts.iter().position(|act| looks.contains(act));
        if let Some(asked) = asked.filter(|_| self.leads) {
            acts.remove(asked);
            acts.extend(self.says(now, master, stray(master)));
        }
        acts
    }

    fn tick(&mut self, now: u64) -> Vec<Act> {
        self.reconciler.tick(&self.record, at(now));
        self.acts(now)
    }

    fn answer(&mut self, now: u64, n: usize, answer: Answer) -> Vec<Act> {
        self.reconciler.answer(&self.record, &node(n), answer, at(now));
        self.tick(now)
    }

    fn says(&mut self, now: u64, n: usize, view: NodeView) -> Vec<Act> {
        self.answer(now, n, Answer::Done { view, rewrite_error: None, changed_by: None })
    }

    fn fails(&mut self, now: u64, n: usize, fault: NodeFault) -> Vec<Act> {
        self.answer(now, n, Answer::Failed(fault))
    }

    fn seen(&mut self, now: u64, n: usize, view: NodeView) -> Vec<Act> {
        self.reconciler.view(&self.record, &node(n), view, at(now));
        self.watch_over(true, now);
        self.acts(now)
    }

    fn has_work(&self, now: u64) -> bool {
        self.reconciler.has_work(&self.record, at(now))
    }

    fn learned(&self, now: u64) -> Option<GroupRecord> {
        self.reconciler.learned(&self.record, at(now))
    }
}

/// Who is told to follow, and under which name people hear of it, now or once it answers.
fn follows(acts: &[Act]) -> Vec<(NodeAddr, EventName)> {
    let follow = |act: &Act| {
        let Act::Follow { node, cut_clients, told, .. } = act else { return None };
        assert_eq!(*cut_clients, told.is_none());
        let name = told.as_ref().map_or(EventName::ConvertToSlave, |told| told.name);
        Some((node.clone(), name))
    };
    acts.iter().filter_map(follow).collect()
}

fn converted(n: usize) -> (NodeAddr, EventName) {
    (node(n), EventName::ConvertToSlave)
}

fn sent(n: usize) -> (NodeAddr, EventName) {
    (node(n), EventName::SlaveReconfSent)
}

fn conflicts(acts: &[Act]) -> usize {
    let conflict =
        |a: &&Act| matches!(a, Act::Event(told) if told.name == EventName::IdentityConflict);
    acts.iter().filter(conflict).count()
}

fn fit(n: usize, view: &NodeView) -> Fit {
    compare(&record(3), &node(n), view)
}

#[test]
fn the_master_and_its_linked_replicas_are_in_line() {
    assert_eq!(fit(1, &stray(1)), Fit::InLine);
    assert_eq!(fit(2, &good(2)), Fit::InLine);
}

#[test]
fn a_replica_of_the_master_whose_link_is_not_up_is_syncing() {
    assert_eq!(fit(2, &linking(2, 1)), Fit::Syncing);
}

#[test]
fn another_master_of_the_groups_history_is_a_stray() {
    assert_eq!(fit(2, &stray(2)), Fit::Stray);
    let restarted = changed(foreign(2), |v| v.replid2 = Some(history(1)));
    assert_eq!(fit(2, &restarted), Fit::Stray, "also if it was the group's before");
}

#[test]
fn a_replica_of_somebody_else_has_the_wrong_upstream() {
    assert_eq!(fit(2, &wrong(2)), Fit::WrongUpstream);
    assert_eq!(fit(2, &replica_view(2, 3, 100)), Fit::WrongUpstream, "also behind a member");
}

#[test]
fn a_node_of_another_history_is_foreign() {
    assert_eq!(fit(2, &foreign(2)), Fit::Foreign);
    assert_eq!(fit(1, &foreign(1)), Fit::Foreign, "also where the master was");
    assert_eq!(fit(9, &changed(foreign(9), |v| v.empty = true)), Fit::Foreign, "not a member");
}

#[test]
fn an_empty_node_at_a_members_address_is_ours() {
    assert_eq!(fit(2, &changed(foreign(2), |v| v.empty = true)), Fit::Stray);
}

#[test]
fn a_trusted_address_is_ours() {
    let mut record = record(3);
    record.settings.trust_recorded_address = true;
    assert_eq!(compare(&record, &node(2), &foreign(2)), Fit::Stray);
    assert_eq!(compare(&record, &node(9), &foreign(9)), Fit::Foreign, "it is not recorded");
}

#[test]
fn a_known_run_id_is_ours() {
    assert_eq!(fit(2, &changed(foreign(2), |v| v.run_id = run_id(2))), Fit::Stray);
    assert_eq!(fit(2, &changed(foreign(2), |v| v.run_id = run_id(3))), Fit::Foreign);
}

#[test]
fn a_replica_linked_to_an_alias_of_the_master_is_in_line() {
    let alias = replica_view(2, 99, 100);
    assert_eq!(fit(2, &alias), Fit::InLine);
    let mut newer = record(3);
    newer.lineage.add(&history(2));
    assert_eq!(compare(&newer, &node(2), &alias), Fit::WrongUpstream, "of an older history");
}

#[test]
fn the_first_correction_is_confirmed_before_the_rest_and_then_parallel_syncs_at_a_time() {
    let mut script = Script::round(6, true);
    script.record.settings.parallel_syncs = 2;
    assert_eq!(follows(&script.says(10, 2, wrong(2))), [sent(2)]);
    for n in 3..=6 {
        assert_eq!(script.says(10, n, wrong(n)), []);
    }
    assert_eq!(follows(&script.says(20, 2, linking(2, 1))), [], "its link is not up yet");
    let acts = script.says(60, 2, good(2));
    assert_eq!(acts[0], Act::Repaired(node(2)));
    assert!(matches!(&acts[1], Act::Event(told) if told.name == EventName::SlaveReconfDone));
    assert_eq!(follows(&acts), [sent(3), sent(4)]);
    assert_eq!(follows(&script.says(70, 4, good(4))), [sent(5)]);
    assert_eq!(follows(&script.says(80, 5, good(5))), [sent(6)]);
    assert_eq!(follows(&script.says(90, 3, good(3))), []);
    let acts = script.says(95, 6, good(6));
    assert_eq!(acts.last(), Some(&Act::Finished { timed_out: false }));
    assert!(!script.reconciler.in_round());
}

#[test]
fn a_node_whose_link_is_not_up_within_10_s_gives_its_slot_to_the_next() {
    let mut script = Script::round(3, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    assert_eq!(script.says(0, 3, wrong(3)), []);
    let _ = script.says(10, 2, linking(2, 1));
    assert_eq!(script.tick(9_999), [Act::Inspect(node(2))]);
    assert_eq!(script.tick(10_000), [Act::Inspect(node(3))], "it was seen long ago");
    assert_eq!(follows(&script.says(10_000, 3, wrong(3))), [sent(3)]);
}

#[test]
fn a_node_that_cannot_be_corrected_gives_its_slot_to_the_next() {
    let mut script = Script::round(3, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    assert_eq!(script.says(0, 3, wrong(3)), []);
    assert_eq!(follows(&script.fails(10, 2, NodeFault::Refused)), [sent(3)]);
}

#[test]
fn a_stray_is_not_made_to_wait() {
    let mut script = Script::round(4, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    assert_eq!(follows(&script.says(0, 3, stray(3))), [converted(3)]);
    assert_eq!(follows(&script.says(0, 4, stray(4))), [converted(4)]);
}

#[test]
fn without_permission_nothing_is_corrected() {
    let mut script = Script::round(2, false);
    script.reconciler.permit(false);
    assert_eq!(script.says(10, 2, stray(2)), []);
    assert_eq!(script.tick(50), []);
    script.reconciler.permit(true);
    assert_eq!(follows(&script.tick(60)), [converted(2)]);
}

#[test]
fn nothing_is_corrected_before_its_time() {
    let mut script = Script::new(2);
    assert_eq!(script.begin(false, 550, 0), [Act::Inspect(node(2))]);
    assert_eq!(script.says(500, 2, stray(2)), []);
    assert_eq!(script.tick(549), []);
    assert_eq!(script.reconciler.poll_timeout(), Some(at(550)));
    assert_eq!(follows(&script.tick(550)), [converted(2)]);
}

#[test]
fn what_was_not_sent_is_tried_again_and_counts_for_nothing() {
    let mut script = Script::round(2, true);
    assert_eq!(follows(&script.says(0, 2, stray(2))), [converted(2)]);
    assert_eq!(script.fails(10, 2, NodeFault::Expired), []);
    assert_eq!(script.tick(110), [Act::Inspect(node(2))], "a fresh look before anything else");
    assert_eq!(follows(&script.says(110, 2, stray(2))), [converted(2)]);
    assert_eq!(script.fails(120, 2, NodeFault::Expired), []);
    let _ = script.tick(220);
    assert_eq!(
        script.says(230, 2, good(2)),
        [Act::Finished { timed_out: false }],
        "somebody else repaired it"
    );
    assert_eq!(script.reconciler.work_due(at(230)), None);
}

#[test]
fn a_node_is_corrected_once_in_5_s() {
    let mut script = Script::round(2, true);
    assert_eq!(follows(&script.says(0, 2, stray(2))), [converted(2)]);
    for now in (10..5_000).step_by(10) {
        assert_eq!(follows(&script.says(now, 2, stray(2))), []);
    }
    assert_eq!(follows(&script.says(5_000, 2, stray(2))), [converted(2)]);
}

#[test]
fn the_5_s_last_longer_than_a_round() {
    let mut script = Script::round(2, false);
    assert_eq!(follows(&script.says(0, 2, stray(2))), [converted(2)]);
    let told = Act::Event(words::converted(&script.record, &node(2), None));
    assert_eq!(script.says(10, 2, stray(2)), [told, Act::Finished { timed_out: false }]);
    assert!(!script.has_work(4_999));
    assert_eq!(script.reconciler.work_due(at(10)), Some(at(5_000)));
    assert!(script.has_work(5_000));
    let _ = script.begin(false, 1_000, 1_000);
    assert_eq!(script.says(1_010, 2, stray(2)), [Act::Finished { timed_out: false }]);
}

#[test]
fn a_new_master_does_not_wait_for_the_5_s_of_the_one_before() {
    let mut script = Script::round(3, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    script.reconciler.stop();
    script.record.master = node(3);
    script.reconciler.new_reign();
    let _ = script.begin(true, 1_000, 1_000);
    assert_eq!(follows(&script.says(1_010, 2, good(2))), [sent(2)]);
}

#[test]
fn a_foreign_node_is_never_followed_and_told_once_per_process() {
    let mut script = Script::round(2, true);
    let acts = script.says(0, 2, foreign(2));
    assert_eq!((conflicts(&acts), follows(&acts)), (1, vec![]));
    assert_eq!(acts.last(), Some(&Act::Finished { timed_out: false }));
    assert_eq!(script.seen(10, 2, foreign(2)), []);
    assert!(!script.has_work(10));
    let restarted = changed(foreign(2), |v| v.run_id = run_id(77));
    assert_eq!(conflicts(&script.seen(20, 2, restarted)), 1);
    assert_eq!(script.seen(30, 9, foreign(9)), [], "who is no member is nobody's business");
}

#[test]
fn a_replica_of_the_groups_history_is_admitted_and_one_of_another_is_not() {
    let mut script = Script::new(2);
    let _ = script.seen(0, 4, changed(good(4), |v| v.replid = history(2)));
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 3, good(3));
    assert!(script.has_work(0));
    let expected = GroupRecord { revision: Revision(2), ..record(3) };
    assert_eq!(script.learned(0), Some(expected));
}

#[test]
fn a_node_that_is_not_in_line_is_not_admitted() {
    let mut script = Script::new(2);
    for (n, view) in [(3, stray(3)), (4, wrong(4)), (5, linking(5, 1))] {
        let _ = script.seen(0, n, view);
    }
    assert_eq!(script.learned(0), None);
    assert!(!script.has_work(0));
}

#[test]
fn a_member_that_restarted_gets_its_new_run_id_once_it_is_in_line() {
    let mut script = Script::new(2);
    let restarted = |view| changed(view, |v| v.run_id = run_id(77));
    let _ = script.seen(0, 2, restarted(linking(2, 1)));
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 2, restarted(good(2)));
    let next = script.learned(0).unwrap();
    assert_eq!(next.member(&node(2)).unwrap().run_id, Some(run_id(77)));
}

#[test]
fn the_history_of_the_master_becomes_the_groups() {
    let mut script = Script::new(2);
    let next = changed(stray(1), |v| (v.replid, v.replid2) = (history(2), Some(history(1))));
    let _ = script.seen(0, 1, next);
    let learned = script.learned(0).unwrap();
    assert!(learned.lineage.is_current(&history(2)));
    assert!(learned.lineage.knows(&good(2)), "and the old one still is");
}

#[test]
fn what_was_seen_15_s_ago_says_nothing_any_more() {
    let mut script = Script::new(2);
    let _ = script.seen(0, 2, stray(2));
    let _ = script.seen(0, 3, good(3));
    assert!(script.has_work(14_999));
    assert!(!script.has_work(15_000));
    assert_eq!(script.learned(15_000), None);
}

#[test]
fn a_paused_group_has_no_work() {
    let mut script = Script::new(2);
    let _ = script.seen(0, 2, stray(2));
    let _ = script.seen(0, 3, good(3));
    assert!(script.has_work(0));
    script.record.pause = Some(Pause::for_good("maintenance".to_string()));
    assert!(!script.has_work(0));
}

#[test]
fn a_round_ends_at_its_deadline_as_timed_out() {
    for (wait, deadline) in [(true, 60_000), (false, 2_000)] {
        let mut script = Script::round(3, wait);
        let _ = script.says(10, 2, good(2));
        assert_eq!(script.tick(deadline - 1), []);
        assert_eq!(script.tick(deadline), [Act::Finished { timed_out: true }]);
        assert!(!script.reconciler.in_round());
        assert_eq!(script.reconciler.poll_timeout(), None);
    }
}

#[test]
fn a_quiet_round_does_not_wait_for_links() {
    let mut script = Script::round(2, false);
    let acts = script.says(0, 2, wrong(2));
    assert_eq!(follows(&acts), [(node(2), EventName::FixSlaveConfig)]);
    assert_eq!(
        script.says(10, 2, linking(2, 1)),
        [Act::Repaired(node(2)), Act::Finished { timed_out: false }]
    );
}

#[test]
fn a_role_that_was_not_written_down_is_told() {
    let mut script = Script::round(2, true);
    let _ = script.says(0, 2, stray(2));
    let answer = Answer::Done {
        view: good(2),
        rewrite_error: Some("read-only".to_string()),
        changed_by: None,
    };
    let acts = script.answer(10, 2, answer);
    assert_eq!(acts[0], Act::Event(rewrite_failed(&node(2), "read-only")));
    assert_eq!(acts[1], Act::Event(words::converted(&script.record, &node(2), None)));
    assert_eq!(acts[2], Act::Repaired(node(2)));
}

#[test]
fn a_role_that_cannot_be_written_down_is_told_once_per_process() {
    let mut script = Script::round(2, true);
    let mut told = 0;
    for (now, n) in [(0, 2), (5_000, 2), (10_000, 77), (15_000, 77)] {
        let again = changed(stray(2), |v| v.run_id = run_id(n));
        assert_eq!(follows(&script.says(now, 2, again.clone())), [converted(2)]);
        let rewrite_error = Some("read-only".to_string());
        let answer = Answer::Done { view: again, rewrite_error, changed_by: None };
        let acts = script.answer(now + 10, 2, answer);
        told += acts
            .iter()
            .filter(|a| matches!(a, Act::Event(e) if e.name == EventName::RewriteFailed))
            .count();
    }
    assert_eq!(told, 2);
}

#[test]
fn what_was_seen_100_ms_ago_is_looked_at_again_before_it_is_corrected() {
    let mut script = Script::round(3, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    assert_eq!(script.says(0, 3, wrong(3)), []);
    let acts = script.says(100, 2, good(2));
    assert_eq!((follows(&acts), acts.last()), (vec![], Some(&Act::Inspect(node(3)))));
    let acts = script.says(101, 3, good(3));
    assert_eq!(acts, [Act::Finished { timed_out: false }], "somebody else repaired it");
}

#[test]
fn a_node_that_was_told_to_follow_is_looked_at_sooner_at_first() {
    let mut script = Script::round(2, true);
    assert_eq!(follows(&script.says(0, 2, wrong(2))), [sent(2)]);
    let mut now = 3;
    for pause in [5, 10, 20, 50, 100, 100] {
        assert_eq!(script.says(now, 2, linking(2, 1)), []);
        assert_eq!(script.tick(now + pause - 1), []);
        assert_eq!(script.tick(now + pause), [Act::Inspect(node(2))]);
        now += pause;
    }
}

#[test]
fn a_pause_ends_the_round_and_teaches_nothing() {
    let mut script = Script::round(2, false);
    let _ = script.seen(0, 3, good(3));
    script.record.pause = Some(Pause::for_good("maintenance".to_string()));
    assert_eq!(script.says(10, 2, stray(2)), [Act::Finished { timed_out: true }]);
    assert_eq!(script.learned(10), None);
}
