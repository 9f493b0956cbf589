//! Members that nobody sees any more.

use super::*;

const TOMBSTONE: u64 = 60_000;
const PRUNE: u64 = 86_400_000;

/// The master and the first replicas are seen every 10 s.
fn run(script: &mut Script, alive: usize, from: u64, until: u64) {
    for now in (from..=until).step_by(10_000) {
        see(script, alive, now);
    }
}

fn see(script: &mut Script, alive: usize, now: u64) {
    let _ = script.seen(now, 1, stray(1));
    for n in 2..=alive {
        let _ = script.seen(now, n, good(n));
    }
}

fn gone(record: &GroupRecord) -> Vec<NodeAddr> {
    record.members.iter().filter(|m| m.gone).map(|m| m.addr.clone()).collect()
}

#[test]
fn a_replica_that_nobody_sees_is_gone_after_its_time() {
    let mut script = Script::new(3);
    run(&mut script, 2, 0, TOMBSTONE - 10_000);
    assert_eq!(script.learned(TOMBSTONE - 1), None);
    assert!(script.has_work(TOMBSTONE));
    let next = script.learned(TOMBSTONE).unwrap();
    assert_eq!(gone(&next), [node(3)]);
    assert_eq!(next.revision, Revision(2));
}

#[test]
fn a_time_shorter_than_the_rhythm_of_reports_is_no_reason() {
    let mut script = Script::new(2);
    script.record.settings.tombstone_after_ms = 1_000;
    run(&mut script, 2, 0, 100_000);
    assert_eq!(script.learned(109_999), None, "its next report is due");
}

#[test]
fn while_the_master_is_not_well_nobody_goes() {
    for harm in ["odown", "silent", "not the owner", "paused"] {
        let mut script = Script::new(3);
        run(&mut script, 2, 0, 50_000);
        match harm {
            "odown" => script.watch_over(false, 55_000),
            "silent" => script.watch_over(true, 65_000),
            "paused" => {
                script.record.pause = Some(Pause::for_good("work".to_string()));
                script.watch_over(true, 55_000);
                script.record.pause = None;
            }
            _ => script.reconciler.watch_over(&script.record, false, true, at(55_000)),
        }
        run(&mut script, 2, 70_000, 120_000);
        assert_eq!(script.learned(129_999), None, "{harm}");
        see(&mut script, 2, 130_000);
        assert_eq!(gone(&script.learned(130_000).unwrap()), [node(3)], "{harm}");
    }
}

#[test]
fn when_the_probers_come_back_everybody_is_waited_for_anew() {
    let mut script = Script::new(3);
    run(&mut script, 3, 0, 10_000);
    let _ = script.seen(1_000_000, 1, stray(1));
    assert_eq!(script.learned(1_000_000), None);
}

#[test]
fn a_gone_member_that_is_a_replica_again_is_back() {
    let mut script = Script::new(3);
    script.record.members[2].gone = true;
    let _ = script.seen(0, 3, linking(3, 1));
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 3, good(3));
    assert_eq!(gone(&script.learned(0).unwrap()), []);
}

#[test]
fn a_gone_member_that_comes_back_as_a_master_is_corrected_and_back() {
    let mut script = Script::new(3);
    script.record.members[2].gone = true;
    let _ = script.seen(0, 3, stray(3));
    assert!(script.has_work(0));
    let _ = script.begin(false, 0, 0);
    assert_eq!(follows(&script.says(0, 3, stray(3))), [converted(3)]);
    let _ = script.says(10, 3, good(3));
    assert_eq!(gone(&script.learned(10).unwrap()), []);
}

#[test]
fn a_stranger_at_a_gone_members_address_brings_nobody_back() {
    let mut script = Script::new(3);
    script.record.members[2].gone = true;
    let _ = script.seen(0, 3, foreign(3));
    assert_eq!(script.learned(0), None);
    run(&mut script, 2, 0, TOMBSTONE);
    assert!(!script.has_work(TOMBSTONE));
}

#[test]
fn a_member_whose_address_hosts_a_stranger_is_not_seen() {
    let mut script = Script::new(3);
    for now in (0..=TOMBSTONE).step_by(10_000) {
        see(&mut script, 2, now);
        let _ = script.seen(now, 3, foreign(3));
    }
    assert_eq!(gone(&script.learned(TOMBSTONE).unwrap()), [node(3)]);
}

#[test]
fn a_gone_member_is_forgotten_after_another_time_and_never_while_the_master_is_down() {
    let mut script = Script::new(3);
    script.record.members[2].gone = true;
    script.watch_over(true, 0);
    see(&mut script, 2, PRUNE - 30_000);
    see(&mut script, 2, PRUNE - 20_000);
    see(&mut script, 2, PRUNE - 10_000);
    assert_eq!(script.learned(PRUNE - 1), None);
    script.watch_over(false, PRUNE);
    assert_eq!(script.learned(PRUNE), None, "odown");
    run(&mut script, 2, PRUNE, PRUNE + 20_000);
    assert_eq!(script.learned(PRUNE + 20_000).unwrap().members, record(2).members);
}

#[test]
fn in_a_full_list_who_is_gone_longest_makes_room() {
    let mut script = Script::new(GroupRecord::MEMBER_LIMIT - 1);
    let member = |addr| Member { gone: true, ..Member::new(addr, None) };
    let odd = |n: usize| NodeAddr::parse(&format!("10.0.1.{n}:6379")).unwrap();
    script.record.members.truncate(GroupRecord::MEMBER_LIMIT - 2);
    script.record.members.extend([member(odd(1)), member(odd(2))]);
    script.record.members[GroupRecord::MEMBER_LIMIT - 2].gone = false;
    script.watch_over(true, 0);
    script.record.members[GroupRecord::MEMBER_LIMIT - 2].gone = true;
    let _ = script.seen(1_000, 1, stray(1));
    script.reconciler.view(&script.record, &odd(3), good(300), at(1_000));
    let next = script.learned(1_000).unwrap();
    assert_eq!(next.members.len(), GroupRecord::MEMBER_LIMIT);
    let has = |n| next.member(&odd(n)).is_some();
    assert_eq!([has(1), has(2), has(3)], [true, false, true]);
}

#[test]
fn asked_to_forget_it_forgets_whom_nobody_has_seen_for_15_s() {
    let mut script = Script::new(4);
    run(&mut script, 3, 0, 10_000);
    let forgotten = |script: &Script, now| {
        let (next, well) = script.reconciler.without_dead(&script.record, at(now));
        assert_eq!(next.revision, script.record.revision);
        (gone(&next), well)
    };
    assert_eq!(forgotten(&script, 14_999), (vec![], true));
    assert_eq!(forgotten(&script, 15_000), (vec![node(4)], true));
    script.watch_over(false, 16_000);
    assert_eq!(forgotten(&script, 20_000), (vec![], false), "the master is down");
}
