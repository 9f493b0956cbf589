//! Nobody is made to follow a recorded master that says it is a replica: it may follow that one.

use super::*;

/// Only the script says what the master says.
fn round(wait: bool) -> Script {
    let mut script = Script::new(3);
    script.leads = false;
    let head = if wait { Act::Save(node(1)) } else { Act::Inspect(node(1)) };
    assert_eq!(script.begin(wait, 0, 0), [head, Act::Inspect(node(2)), Act::Inspect(node(3))]);
    script
}

/// A repair whose other nodes are in line.
fn all_but_the_head() -> Script {
    let mut script = round(true);
    assert_eq!(script.says(1, 2, good(2)), []);
    assert_eq!(script.says(1, 3, good(3)), []);
    script
}

#[test]
fn a_repair_lasts_until_the_new_master_has_written_its_role_down() {
    let mut script = all_but_the_head();
    assert_eq!(script.tick(100), [], "it was asked");
    assert_eq!(script.says(101, 1, stray(1)), [Act::Finished { timed_out: false }]);
}

#[test]
fn where_the_new_master_cannot_write_its_role_down_that_is_told() {
    let mut script = all_but_the_head();
    let rewrite_error = Some("ERR The server is running without a config file".to_string());
    let said =
        script.answer(2, 1, Answer::Done { view: stray(1), rewrite_error, changed_by: None });
    let told = rewrite_failed(&node(1), "ERR The server is running without a config file");
    assert_eq!(said, [Act::Event(told), Act::Finished { timed_out: false }]);
}

#[test]
fn what_was_not_sent_to_the_new_master_is_sent_again_but_no_repair_waits_for_a_dead_one() {
    let mut script = all_but_the_head();
    assert_eq!(script.fails(2, 1, NodeFault::Expired), []);
    assert_eq!(script.tick(101), []);
    assert_eq!(script.tick(102), [Act::Save(node(1))]);
    assert_eq!(script.fails(103, 1, NodeFault::Refused), [Act::Finished { timed_out: false }]);
}

#[test]
fn a_pause_does_not_keep_the_new_master_from_writing_its_role_down() {
    let mut script = Script::new(2);
    script.leads = false;
    script.record.pause = Some(Pause::for_good("work".to_string()));
    let acts = script.begin(true, 0, 0);
    assert_eq!(acts, [Act::Save(node(1)), Act::Finished { timed_out: true }]);
}

#[test]
fn nobody_is_pointed_at_a_master_that_says_it_is_a_replica() {
    let mut script = round(false);
    assert_eq!(script.says(1, 2, stray(2)), []);
    assert_eq!(script.says(2, 3, wrong(3)), []);
    let acts = script.says(3, 1, replica_view(1, 2, 100));
    assert_eq!(acts, [Act::Finished { timed_out: false }], "until it is master again");
    assert!(!script.has_work(10_000), "nor is a round begun for it");
    let _ = script.seen(10_000, 1, stray(1));
    assert!(script.has_work(10_000));
}

#[test]
fn nobody_is_pointed_at_a_master_that_was_not_heard_in_this_round() {
    let mut script = round(false);
    assert_eq!(script.says(1, 2, stray(2)), []);
    assert_eq!(follows(&script.says(2, 1, stray(1))), [converted(2)]);
}

#[test]
fn a_master_that_does_not_answer_is_followed_all_the_same() {
    let mut script = round(false);
    assert_eq!(script.says(1, 2, stray(2)), []);
    assert_eq!(follows(&script.fails(200, 1, NodeFault::TimedOut)), []);
    assert_eq!(follows(&script.says(201, 2, stray(2))), [converted(2)]);
}

#[test]
fn a_repair_looks_at_such_a_master_again_every_100_ms() {
    let mut script = round(true);
    assert_eq!(script.says(1, 2, wrong(2)), []);
    assert_eq!(script.says(1, 3, good(3)), []);
    assert_eq!(script.says(2, 1, replica_view(1, 2, 100)), []);
    assert_eq!(script.tick(102), [Act::Inspect(node(1)), Act::Inspect(node(2))]);
    assert_eq!(script.says(103, 1, stray(1)), []);
    assert_eq!(follows(&script.says(104, 2, wrong(2))), [sent(2)]);
}

#[test]
fn a_master_of_another_history_is_not_told_to_follow_itself() {
    let mut script = Script::new(2);
    let acts = script.seen(0, 1, changed(foreign(1), |v| v.role = Role::Replica));
    let [Act::Event(told)] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(told.name, EventName::IdentityConflict);
    assert!(!told.cause.contains("REPLICAOF 10.0.0.1"), "{}", told.cause);
    assert!(!script.reconciler.trouble(&script.record).contains("REPLICAOF 10.0.0.1"));
}

#[test]
fn the_recorded_master_as_a_replica_is_no_work_for_a_round() {
    assert_eq!(fit(1, &replica_view(1, 2, 100)), Fit::MasterIsReplica);
    let mut script = Script::new(3);
    assert_eq!(script.seen(0, 1, replica_view(1, 2, 100)), []);
    assert!(!script.has_work(0));
    assert_eq!(
        script.reconciler.trouble(&script.record),
        "the recorded master 10.0.0.1:6379 says it is a replica: nobody is made to follow it, and \
         it or another is promoted when a quorum of probers agrees"
    );
}

/// What is said of the stray master 2 when the recorded one says this: at offset 1,000 it was looked at,
/// and at 1,200 demoted.
fn said_of_stray(master: NodeView) -> alloc::string::String {
    let mut script = round(false);
    assert_eq!(script.says(1, 2, master_view(2, 1_000)), []);
    assert_eq!(follows(&script.says(2, 1, master)), [converted(2)]);
    let demoted = changed(linking(2, 1), |v| v.offset = 1_200);
    conversions(&script.says(3, 2, demoted)).pop().unwrap()
}

/// What people hear of stray masters.
fn conversions(acts: &[Act]) -> Vec<alloc::string::String> {
    let told = |act: &Act| match act {
        Act::Event(told) => (told.name == EventName::ConvertToSlave).then(|| told.cause.clone()),
        Act::Follow { .. }
        | Act::Inspect(_)
        | Act::Save(_)
        | Act::Repaired(_)
        | Act::Finished { .. } => None,
    };
    acts.iter().filter_map(told).collect()
}

#[test]
fn what_a_stray_master_gives_up_is_counted_from_where_the_histories_part_to_its_demotion() {
    let promoted = |v: &mut NodeView| {
        (v.replid2, v.second_offset) =
            (Some(core::mem::replace(&mut v.replid, history(7))), Some(901));
    };
    let said = said_of_stray(changed(master_view(1, 1_500), promoted));
    assert!(said.contains("gives up the 300 bytes that it took after 10.0.0.1:6379"), "{said}");
    let ahead = |v: &mut NodeView| {
        promoted(v);
        v.second_offset = Some(1_201);
    };
    let said = said_of_stray(changed(master_view(1, 1_500), ahead));
    assert!(said.contains("gives up the 0 bytes"), "{said}");
}

#[test]
fn a_stray_master_that_was_told_to_follow_is_told_of_once_whatever_it_answers() {
    let told = |fault: NodeFault| {
        let mut script = round(true);
        assert_eq!(script.says(1, 1, master_view(1, 1_500)), []);
        assert_eq!(follows(&script.says(2, 2, master_view(2, 1_000))), [converted(2)]);
        let first = conversions(&script.fails(3, 2, fault));
        (first, conversions(&script.says(4, 2, linking(2, 1))))
    };
    let said = Vec::from([alloc::string::String::from("10.0.0.1:6379 is master now")]);
    assert_eq!(told(NodeFault::TimedOut), (said, Vec::new()));
    // It was not sent.
    assert_eq!(told(NodeFault::Expired), (Vec::new(), Vec::new()));
}

#[test]
fn where_the_histories_do_not_part_nothing_is_counted() {
    let said = said_of_stray(master_view(1, 1_500));
    assert!(!said.contains("gives up"), "{said}");
}

/// The recorded master died before its disk held what it had, and came back.
fn outdated() -> Script {
    let mut script = Script::new(3);
    script.leads = false;
    script.record.settings.trust_recorded_address = true;
    script.record.members[0].unsaved = true;
    script
}

#[test]
fn nobody_is_pointed_at_a_master_whose_disk_was_behind() {
    let mut script = outdated();
    let _ = script.seen(0, 2, changed(foreign(2), |v| v.role = Role::Master));
    assert!(script.has_work(0), "a stray, by its address");
    let acts = script.seen(0, 1, foreign(1));
    assert_eq!(conflicts(&acts), 1);
    assert!(!script.has_work(0));
    assert_eq!(script.learned(0), None);
    let _ = script.begin(false, 0, 1);
    assert_eq!(script.says(2, 2, foreign(2)), []);
    assert_eq!(follows(&script.says(3, 1, foreign(1))), []);
}

#[test]
fn it_is_believed_when_all_share_what_it_has_or_nobody_else_is_left() {
    let mut script = outdated();
    let _ = script.seen(0, 1, foreign(1));
    for n in 2..=3 {
        let _ = script.seen(0, n, changed(good(n), |v| v.replid = history(2)));
    }
    let next = script.learned(0).unwrap();
    assert!(next.lineage.contains(&history(2)));
    let mut script = outdated();
    for member in &mut script.record.members[1..] {
        member.gone = true;
    }
    let _ = script.seen(0, 1, foreign(1));
    assert!(script.learned(0).unwrap().lineage.contains(&history(2)));
}

#[test]
fn a_known_process_that_has_written_all_down_is_marked_and_stays_so() {
    let mut script = outdated();
    let _ = script.seen(0, 1, changed(stray(1), |v| v.unsaved = true));
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 1, stray(1));
    script.record = script.learned(0).unwrap();
    assert!(!script.record.members[0].unsaved);
    // It rewrites its file now and then; the former one is complete until the new one is.
    let _ = script.seen(0, 1, changed(stray(1), |v| v.unsaved = true));
    assert_eq!(script.learned(0), None);
}

#[test]
fn another_process_that_is_learned_is_marked_as_what_it_says() {
    let mut script = Script::new(3);
    let unsaved = changed(good(2), |v| (v.run_id, v.unsaved) = (run_id(77), true));
    let _ = script.seen(0, 2, unsaved);
    assert!(script.learned(0).unwrap().members[1].unsaved);
}
