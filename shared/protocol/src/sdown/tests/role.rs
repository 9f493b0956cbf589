//! Between two `INFO`s.

use super::*;
use crate::prober::RoleReply;

/// A node that has said by `INFO` what it is.
fn known(view: NodeView) -> Script {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let _ = script.hear(0, LinkEvent::Info(Ok(view)));
    script
}

/// Whether this answer to `ROLE` is looked into at once.
fn is_looked_into(script: &mut Script, now: u64, reply: RoleReply) -> bool {
    script.watcher.handle(script.attempt, LinkEvent::Role(reply), at(now));
    !times(&script.play(now, &Node::Hangs), &Act::Info).is_empty()
}

const fn replica(linked: bool) -> RoleReply {
    RoleReply::Replica { linked }
}

const fn master(offset: u64, least: u64) -> RoleReply {
    RoleReply::Master { offset, replicas: 2, least: Some(least) }
}

#[test]
fn role_is_asked_more_often_than_once_a_second_except_in_trouble() {
    let mut script = Script::new();
    assert_eq!(times(&script.run(2_000, &WELL), &Act::Role), [800, 1_600]);
    script.watcher.set_trouble(true, at(2_000));
    assert_eq!(times(&script.run(9_000, &WELL), &Act::Role), [], "INFO comes as often");
    script.watcher.set_trouble(false, at(9_000));
    assert_eq!(times(&script.run(10_700, &WELL), &Act::Role), [9_000, 9_800, 10_600]);
}

#[test]
fn a_ping_that_is_due_before_the_next_role_goes_with_this_one() {
    let mut script = Script::with(|s| s.down_after_ms = 10_000);
    let said = script.run(4_000, &WELL);
    let every_800 = [0, 800, 1_600, 2_400, 3_200, 4_000];
    assert_eq!(times(&said, &Act::Role), every_800[1..]);
    assert_eq!(times(&said, &Act::Ping), every_800, "one each second would do");
    script.watcher.handle(1, LinkEvent::Role(RoleReply::Refused), at(4_000));
    assert_eq!(times(&script.run(7_000, &WELL), &Act::Ping), [5_000, 6_000, 7_000]);
}

#[test]
fn a_silent_node_is_not_asked_for_ever() {
    let asked = times(&Script::new().run(3_000, &Node::Mute), &Act::Role);
    assert!(asked.len() <= 2, "{asked:?}");
}

#[test]
fn who_may_not_say_is_asked_again_on_another_connection_only() {
    let mut script = known(replica_view(1, 2, 0));
    assert!(!is_looked_into(&mut script, 10, RoleReply::Refused));
    assert_eq!(times(&script.run(5_000, &WELL), &Act::Role), []);
    script.watcher.handle(script.attempt, LinkEvent::Lost, at(5_000));
    assert!(!times(&script.run(7_000, &WELL), &Act::Role).is_empty());
}

#[test]
fn who_cannot_say_at_the_moment_is_asked_again() {
    let mut script = known(replica_view(1, 2, 0));
    assert!(!is_looked_into(&mut script, 10, RoleReply::Unclear));
    assert_eq!(times(&script.run(1_600, &WELL), &Act::Role), [800, 1_600]);
    assert!(is_looked_into(&mut script, 1_610, replica(false)), "what was known is known");
}

#[test]
fn a_link_that_breaks_or_is_back_is_looked_into_at_once() {
    let mut script = known(replica_view(1, 2, 0));
    assert!(!is_looked_into(&mut script, 800, replica(true)), "as INFO said");
    assert!(is_looked_into(&mut script, 1_600, replica(false)));
    assert!(!is_looked_into(&mut script, 2_400, replica(false)), "it is known");
    assert!(is_looked_into(&mut script, 3_200, replica(true)));
}

#[test]
fn another_role_is_looked_into_at_once() {
    let mut script = known(replica_view(1, 2, 0));
    assert!(is_looked_into(&mut script, 800, master(5, 5)));
    let mut script = known(master_view(1, 0));
    assert!(is_looked_into(&mut script, 800, replica(true)));
}

#[test]
fn replicas_that_are_behind_are_looked_into_until_they_are_not() {
    let mut script = known(master_view(1, 0));
    assert!(!is_looked_into(&mut script, 800, master(100, 90)), "acknowledged once a second");
    assert!(!is_looked_into(&mut script, 1_600, master(200, 100)));
    assert!(is_looked_into(&mut script, 2_400, master(300, 199)));
    assert!(is_looked_into(&mut script, 3_200, master(300, 199)), "still");
    assert!(is_looked_into(&mut script, 4_000, master(300, 300)), "and once more");
    assert!(!is_looked_into(&mut script, 4_800, master(300, 300)));
}

#[test]
fn another_number_of_replicas_is_looked_into_at_once() {
    let mut script = known(master_view(1, 0));
    let replicas = |replicas| RoleReply::Master { offset: 100, replicas, least: Some(100) };
    assert!(!is_looked_into(&mut script, 800, replicas(2)));
    assert!(is_looked_into(&mut script, 1_600, replicas(1)));
    assert!(!is_looked_into(&mut script, 2_400, replicas(1)));
    assert!(is_looked_into(&mut script, 3_200, replicas(2)));
}
